-- What is known of each plate, from the folded sightings: a withdrawn sighting leaves no trace in it.
CREATE VIEW IF NOT EXISTS vehicles AS
SELECT
    s.plate AS plate,
    min(s.first_seen) AS first_seen,
    max(s.last_seen) AS last_seen,
    count() AS sightings,
    uniqExact(s.camera_id) AS camera_count,
    arraySort(groupUniqArray(s.camera_id)) AS cameras,
    argMax(s.region, s.region_confidence) AS region,
    max(s.confidence) AS best_confidence,
    argMax(s.sighting_id, (s.last_seen, s.sighting_id)) AS last_sighting_id,
    argMax(s.camera_id, (s.last_seen, s.sighting_id)) AS last_camera_id,
    tupleElement(argMax(tuple(s.lat), (s.last_seen, s.sighting_id)), 1) AS last_lat,
    tupleElement(argMax(tuple(s.lon), (s.last_seen, s.sighting_id)), 1) AS last_lon,
    tupleElement(argMax(tuple(s.heading), (s.last_seen, s.sighting_id)), 1) AS last_heading,
    tupleElement(argMax(tuple(s.speed), (s.last_seen, s.sighting_id)), 1) AS last_speed
FROM sightings AS s
GROUP BY s.plate;
