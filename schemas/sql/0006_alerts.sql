-- One alert per hotlist entry and sighting. A withdrawn alert stays and says so in `status`.
CREATE TABLE IF NOT EXISTS alerts_raw
(
    hotlist_id LowCardinality(String),
    entry String,
    alert_id UUID,
    version UInt64 COMMENT 'Orders the messages of one alert: twice the revision, plus one when withdrawn',
    status LowCardinality(String) COMMENT 'raised or withdrawn',
    plate String,
    match LowCardinality(String) COMMENT 'exact, pattern or candidate',
    match_probability Float32,
    camera_id LowCardinality(String),
    seen_at DateTime64(3, 'UTC'),
    confidence Float32,
    lat Nullable(Float64),
    lon Nullable(Float64),
    heading Nullable(Float32),
    speed Nullable(Float32),
    sighting_id UUID,
    revision UInt32,
    priority LowCardinality(String),
    reason String,
    emitted_at DateTime64(3, 'UTC'),
    origin_partition Int32 DEFAULT -1,
    origin_offset Int64 DEFAULT -1,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (hotlist_id, entry, alert_id)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE VIEW IF NOT EXISTS alerts AS
SELECT
    alert_id, status, hotlist_id, entry, plate, match, match_probability, camera_id, seen_at, confidence,
    lat, lon, heading, speed, sighting_id, revision, priority, reason, emitted_at, inserted_at
FROM alerts_raw FINAL;
