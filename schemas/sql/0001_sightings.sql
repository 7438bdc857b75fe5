-- Sightings, every revision of them. Ordered and partitioned by what is fixed when a sighting opens; a plate
-- that changes leaves a deleting row under the old plate. `sightings` is the folded view that people ask.
-- The H3 cell: before ClickHouse 25.5 geoToH3 took (lon, lat), since then (lat, lon); the constant tells which.
CREATE TABLE IF NOT EXISTS sightings_raw
(
    plate String COMMENT 'Upper case, no spaces',
    opened_at DateTime64(3, 'UTC') COMMENT 'Capture time of the read that opened the sighting; never changes' CODEC(Delta, ZSTD(1)),
    sighting_id UUID,
    revision UInt32,
    is_deleted UInt8 COMMENT '1: this revision takes the sighting back from this plate',
    status LowCardinality(String) COMMENT 'provisional, final or withdrawn',
    camera_id LowCardinality(String),
    confidence Float32 COMMENT 'Calibrated probability that plate is right as a whole',
    region LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2, US with state; empty: not known',
    region_confidence Float32,
    candidates Array(Tuple(plate String, confidence Float32)) COMMENT 'Best first',
    votes UInt32 COMMENT 'Reads that agree with plate to the letter',
    frames UInt32 COMMENT 'Frames in which the plate was read',
    first_seen DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last_seen DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    lat Nullable(Float64) COMMENT 'Degrees north, WGS 84, of the camera at the winning read' CODEC(ZSTD(1)),
    lon Nullable(Float64) COMMENT 'Degrees east' CODEC(ZSTD(1)),
    heading Nullable(Float32) COMMENT 'Degrees clockwise from north',
    speed Nullable(Float32) COMMENT 'Metres per second',
    direction LowCardinality(String) COMMENT 'approaching, receding or unknown',
    trail Array(Tuple(at DateTime64(3, 'UTC'), lat Float64, lon Float64)) COMMENT 'Where the camera was at each read' CODEC(ZSTD(1)),
    evidence_seq UInt64 COMMENT 'The winning read: its frame of this camera',
    evidence_captured_at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    evidence_corners Array(Tuple(x Float32, y Float32)) COMMENT 'Pixels of that frame, clockwise from the plate''s top left' CODEC(ZSTD(1)),
    evidence_topic LowCardinality(String) COMMENT 'Where the whole frame can be fetched while Kafka keeps it',
    evidence_partition Int32,
    evidence_offset Int64,
    evidence_frame_index UInt16,
    frame_sha256 String CODEC(ZSTD(1)),
    crop_sha256 String CODEC(ZSTD(1)),
    model_version LowCardinality(String),
    emitted_at DateTime64(3, 'UTC') COMMENT 'When the tracker sent this revision' CODEC(Delta, ZSTD(1)),
    origin_partition Int32 DEFAULT -1 COMMENT 'Where this revision lies in fleet.sightings',
    origin_offset Int64 DEFAULT -1,
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    h3 UInt64 DEFAULT if(isNull(lat) OR isNull(lon), 0,
        if(geoToH3(toFloat64(10), toFloat64(50), toUInt8(9)) = 617550055351255039,
           geoToH3(assumeNotNull(lon), assumeNotNull(lat), toUInt8(9)),
           geoToH3(assumeNotNull(lat), assumeNotNull(lon), toUInt8(9)))) COMMENT 'H3 cell of resolution 9, about 350 m across; 0: no position'
)
ENGINE = ReplacingMergeTree(revision, is_deleted)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (plate, opened_at, sighting_id)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

CREATE VIEW IF NOT EXISTS sightings AS
SELECT
    sighting_id, camera_id, plate, confidence, region, region_confidence, candidates, votes, frames,
    opened_at, first_seen, last_seen, lat, lon, heading, speed, h3, direction, trail, status, revision,
    evidence_seq, evidence_captured_at, evidence_corners, evidence_topic, evidence_partition, evidence_offset,
    evidence_frame_index, frame_sha256, crop_sha256, model_version, emitted_at, inserted_at
FROM sightings_raw FINAL
WHERE is_deleted = 0;
