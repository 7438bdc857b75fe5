-- Where each plate was seen last.
CREATE OR REPLACE VIEW last_seen AS
SELECT
    plate, newest.1 AS last_seen, newest.3 AS camera_id, newest.4 AS lat, newest.5 AS lon, newest.6 AS heading,
    newest.7 AS speed, newest.8 AS confidence, newest.2 AS sighting_id
FROM
(
    SELECT
        s.plate AS plate,
        max(tuple(s.last_seen, s.sighting_id, s.camera_id, s.lat, s.lon, s.heading, s.speed, s.confidence)) AS newest
    FROM sightings AS s
    GROUP BY s.plate
);

-- What is wrong with each camera, in words; an empty `problems` is a healthy one.
CREATE OR REPLACE VIEW camera_health AS
SELECT
    camera_id, status, last_seen, emitted_at, frames, missing, reads,
    dateDiff('second', emitted_at, now64(3, 'UTC')) AS seconds_without_state,
    round(if(frames + missing = 0, 0, missing / (frames + missing)), 4) AS missing_share,
    round(if(frames = 0, 0, reads / frames), 4) AS reads_per_frame,
    clock_skew_ms, round(luma, 1) AS luma, width, height, lat, lon, model_version,
    arrayFilter(problem -> problem != '', [
        if(status = 'silent', 'silent', ''),
        if(seconds_without_state > 300, 'no state for 5 minutes', ''),
        if(missing_share > 0.05, 'loses frames', ''),
        if(abs(clock_skew_ms) > 2000, 'wrong clock', ''),
        if(luma < 15, 'dark or covered', ''),
        if(luma > 240, 'blinded', ''),
        if(frames > 1000 AND reads = 0, 'reads nothing', '')
    ]) AS problems
FROM cameras;
