-- One row per plate and frame. Frames without a plate make no row: `cameras` counts them.
CREATE TABLE IF NOT EXISTS reads_raw
(
    camera_id LowCardinality(String),
    captured_at DateTime64(3, 'UTC') COMMENT 'Camera clock' CODEC(Delta, ZSTD(1)),
    seq UInt64 COMMENT 'Number of the frame of this camera' CODEC(Delta, ZSTD(1)),
    frame_index UInt16 COMMENT 'Which picture of an H.264 group',
    rank UInt16 COMMENT 'Which plate of the frame',
    plate String COMMENT 'Empty: a plate was found but cannot be read',
    confidence Float32,
    detection_confidence Float32,
    region LowCardinality(String),
    region_confidence Float32,
    legibility Float32,
    sharpness Float32,
    candidates Array(Tuple(plate String, confidence Float32)) CODEC(ZSTD(1)),
    box Tuple(x Float32, y Float32, width Float32, height Float32) COMMENT 'Pixels of the frame',
    corners Array(Tuple(x Float32, y Float32)) COMMENT 'Clockwise from the plate''s own top left' CODEC(ZSTD(1)),
    lat Nullable(Float64) CODEC(ZSTD(1)),
    lon Nullable(Float64) CODEC(ZSTD(1)),
    heading Nullable(Float32),
    speed Nullable(Float32),
    luma Float32 COMMENT 'Mean grey level 0..255 of the frame',
    width UInt32,
    height UInt32,
    still UInt8,
    model_version LowCardinality(String),
    frame_partition Int32 COMMENT 'Where the frame lies in fleet.frames',
    frame_offset Int64,
    frame_sha256 String CODEC(ZSTD(1)),
    published_at DateTime64(3, 'UTC') COMMENT 'Broker clock' CODEC(Delta, ZSTD(1)),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(captured_at)
ORDER BY (camera_id, captured_at, seq, frame_index, rank)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE VIEW IF NOT EXISTS reads AS SELECT * FROM reads_raw FINAL;
