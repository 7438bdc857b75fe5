CREATE OR REPLACE VIEW alerts AS
SELECT
    alert_id, status, hotlist_id, entry, plate, match, match_probability, camera_id, seen_at, confidence,
    lat, lon, heading, speed, sighting_id, revision, priority, reason, emitted_at, inserted_at
FROM alerts_raw FINAL;
ALTER TABLE alerts_raw DROP COLUMN IF EXISTS look_back;
ALTER TABLE alerts_raw DROP COLUMN IF EXISTS region;
ALTER TABLE alerts_raw DROP COLUMN IF EXISTS owner;
