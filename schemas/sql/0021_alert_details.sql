-- What an alert says beyond the hit: whose entry it is, the sighting's region, and whether it looks back.
ALTER TABLE alerts_raw ADD COLUMN IF NOT EXISTS owner String COMMENT 'Of the entry or its list' AFTER reason;
ALTER TABLE alerts_raw ADD COLUMN IF NOT EXISTS region LowCardinality(String) COMMENT 'Of the sighting' AFTER owner;
ALTER TABLE alerts_raw ADD COLUMN IF NOT EXISTS look_back UInt8 COMMENT '1: raised for a past sighting, when the entry was added' AFTER region;

CREATE OR REPLACE VIEW alerts AS
SELECT
    alert_id, status, hotlist_id, entry, plate, match, match_probability, camera_id, seen_at, confidence,
    lat, lon, heading, speed, sighting_id, revision, priority, reason, owner, region, look_back, emitted_at, inserted_at
FROM alerts_raw FINAL;
