-- Messages that could not be processed, for people to find; fleet.dead holds them whole for a replay.
CREATE TABLE IF NOT EXISTS dead_letters_raw
(
    at DateTime64(3, 'UTC'),
    dead_id UUID,
    stage LowCardinality(String),
    reason LowCardinality(String),
    detail String,
    origin_topic LowCardinality(String),
    origin_partition Int32,
    origin_offset Int64,
    trace_id String,
    message_key String,
    payload_bytes UInt64 COMMENT 'Size of the whole message',
    payload String COMMENT 'Its first bytes' CODEC(ZSTD(1)),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY dead_id
SETTINGS non_replicated_deduplication_window = 10000;

CREATE VIEW IF NOT EXISTS dead_letters AS SELECT * FROM dead_letters_raw FINAL;
