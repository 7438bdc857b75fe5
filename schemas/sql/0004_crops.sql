-- The picture of each sighting's winning read. JPEG does not compress further.
CREATE TABLE IF NOT EXISTS crops_raw
(
    sighting_id UUID,
    opened_at DateTime64(3, 'UTC'),
    revision UInt32,
    plate String,
    camera_id LowCardinality(String),
    crop_sha256 String,
    crop_jpeg String CODEC(NONE),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(opened_at)
ORDER BY sighting_id
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE VIEW IF NOT EXISTS crops AS
SELECT sighting_id, plate, camera_id, opened_at, revision, crop_sha256, crop_jpeg
FROM crops_raw FINAL;
