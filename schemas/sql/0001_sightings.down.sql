DROP VIEW IF EXISTS sightings;
DROP TABLE IF EXISTS sightings_raw;
