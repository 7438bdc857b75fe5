-- The same revisions in a second order, for questions of time, camera and area: `sightings_by_time`. The order
-- holds fixed values alone, so that it folds just as the first does. opened_at itself is not in it: a condition on it
-- would then no longer reach the hour before it (measured).
CREATE TABLE IF NOT EXISTS sightings_time_raw AS sightings_raw
ENGINE = ReplacingMergeTree(revision, is_deleted)
PARTITION BY toYYYYMM(opened_at)
ORDER BY (toStartOfHour(opened_at), camera_id, sighting_id, plate);

ALTER TABLE sightings_time_raw ADD INDEX IF NOT EXISTS lat_range lat TYPE minmax GRANULARITY 1;

ALTER TABLE sightings_time_raw ADD INDEX IF NOT EXISTS lon_range lon TYPE minmax GRANULARITY 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS sightings_time_mv TO sightings_time_raw AS
SELECT * FROM sightings_raw;

CREATE VIEW IF NOT EXISTS sightings_by_time AS
SELECT
    sighting_id, camera_id, plate, confidence, region, region_confidence, candidates, votes, frames,
    opened_at, first_seen, last_seen, lat, lon, heading, speed, h3, direction, trail, status, revision,
    evidence_seq, evidence_captured_at, evidence_corners, evidence_topic, evidence_partition, evidence_offset,
    evidence_frame_index, frame_sha256, crop_sha256, model_version, emitted_at, inserted_at
FROM sightings_time_raw FINAL
WHERE is_deleted = 0;
