DROP VIEW IF EXISTS sightings_by_time;
DROP VIEW IF EXISTS sightings_time_mv;
DROP TABLE IF EXISTS sightings_time_raw;
