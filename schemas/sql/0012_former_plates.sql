-- The other plates that earlier revisions of a sighting said, in both orders and in both views.
ALTER TABLE sightings_time_raw ADD COLUMN IF NOT EXISTS former_plates Array(String) COMMENT 'Plates that earlier revisions said; each was withdrawn' AFTER candidates;
ALTER TABLE sightings_raw ADD COLUMN IF NOT EXISTS former_plates Array(String) COMMENT 'Plates that earlier revisions said; each was withdrawn' AFTER candidates;
ALTER TABLE sightings_time_mv MODIFY QUERY SELECT * FROM sightings_raw;

CREATE OR REPLACE VIEW sightings AS
SELECT
    sighting_id, camera_id, plate, confidence, region, region_confidence, candidates, former_plates, votes, frames,
    opened_at, first_seen, last_seen, lat, lon, heading, speed, h3, direction, trail, status, revision,
    evidence_seq, evidence_captured_at, evidence_corners, evidence_topic, evidence_partition, evidence_offset,
    evidence_frame_index, frame_sha256, crop_sha256, model_version, emitted_at, inserted_at
FROM sightings_raw FINAL
WHERE is_deleted = 0;

CREATE OR REPLACE VIEW sightings_by_time AS
SELECT
    sighting_id, camera_id, plate, confidence, region, region_confidence, candidates, former_plates, votes, frames,
    opened_at, first_seen, last_seen, lat, lon, heading, speed, h3, direction, trail, status, revision,
    evidence_seq, evidence_captured_at, evidence_corners, evidence_topic, evidence_partition, evidence_offset,
    evidence_frame_index, frame_sha256, crop_sha256, model_version, emitted_at, inserted_at
FROM sightings_time_raw FINAL
WHERE is_deleted = 0;
