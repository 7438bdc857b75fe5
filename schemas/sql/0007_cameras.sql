-- Every state that a camera reported (`camera_states`), and its newest (`cameras`).
CREATE TABLE IF NOT EXISTS camera_states
(
    camera_id LowCardinality(String),
    emitted_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    status LowCardinality(String) COMMENT 'live or silent',
    last_seq UInt64 CODEC(Delta, ZSTD(1)),
    last_seen DateTime64(3, 'UTC') COMMENT 'Capture time of its newest frame' CODEC(Delta, ZSTD(1)),
    frames UInt64 CODEC(Delta, ZSTD(1)),
    missing UInt64 COMMENT 'Frame numbers that never came' CODEC(Delta, ZSTD(1)),
    reads UInt64 CODEC(Delta, ZSTD(1)),
    clock_skew_ms Int64 COMMENT 'Camera clock minus broker clock',
    luma Float32,
    lat Nullable(Float64) CODEC(ZSTD(1)),
    lon Nullable(Float64) CODEC(ZSTD(1)),
    heading Nullable(Float32),
    speed Nullable(Float32),
    width UInt32,
    height UInt32,
    model_version LowCardinality(String)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(emitted_at)
ORDER BY (camera_id, emitted_at)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS cameras_raw AS camera_states
ENGINE = ReplacingMergeTree(emitted_at)
ORDER BY camera_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS cameras_mv TO cameras_raw AS
SELECT * FROM camera_states;

CREATE VIEW IF NOT EXISTS cameras AS SELECT * FROM cameras_raw FINAL;
