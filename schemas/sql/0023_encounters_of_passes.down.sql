CREATE OR REPLACE VIEW encounters AS
SELECT
    plate,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    uniqExact(camera_id) AS camera_count,
    arraySort(groupUniqArray(camera_id)) AS cameras,
    count() AS sightings,
    groupArray(sighting_id) AS sighting_ids,
    max(confidence) AS best_confidence,
    argMin(lat, at) AS lat,
    argMin(lon, at) AS lon,
    round(max(metres)) AS widest_step_metres
FROM
(
    SELECT *, sum(begins) OVER (PARTITION BY plate ORDER BY opened_at, sighting_id) AS encounter
    FROM
    (
        SELECT
            *,
            abs(dateDiff('millisecond', previous.1, at)) / 1000 AS seconds,
            ifNull(greatCircleDistance(previous.3, previous.2, lon, lat), 1e9) AS step,
            seconds > 30 OR step > 100 + seconds * (15 + 1.5 * greatest(ifNull(speed, 25), ifNull(previous.4, 25)))
                AS begins,
            if(begins, 0, step) AS metres
        FROM
        (
            SELECT
                plate, camera_id, sighting_id, opened_at, first_seen, last_seen, confidence, lat, lon, speed,
                evidence_captured_at AS at,
                lagInFrame(tuple(evidence_captured_at, lat, lon, speed), 1) OVER before AS previous
            FROM sightings
            WHERE isNotNull(lat) AND isNotNull(lon)
            WINDOW before AS (PARTITION BY plate ORDER BY opened_at, sighting_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
)
GROUP BY plate, encounter
HAVING camera_count > 1;

CREATE OR REPLACE VIEW encounters_between AS
SELECT
    plate,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    uniqExact(camera_id) AS camera_count,
    arraySort(groupUniqArray(camera_id)) AS cameras,
    count() AS sightings,
    groupArray(sighting_id) AS sighting_ids,
    max(confidence) AS best_confidence,
    argMin(lat, at) AS lat,
    argMin(lon, at) AS lon,
    round(max(metres)) AS widest_step_metres
FROM
(
    SELECT *, sum(begins) OVER (PARTITION BY plate ORDER BY opened_at, sighting_id) AS encounter
    FROM
    (
        SELECT
            *,
            abs(dateDiff('millisecond', previous.1, at)) / 1000 AS seconds,
            ifNull(greatCircleDistance(previous.3, previous.2, lon, lat), 1e9) AS step,
            seconds > 30 OR step > 100 + seconds * (15 + 1.5 * greatest(ifNull(speed, 25), ifNull(previous.4, 25)))
                AS begins,
            if(begins, 0, step) AS metres
        FROM
        (
            SELECT
                plate, camera_id, sighting_id, opened_at, first_seen, last_seen, confidence, lat, lon, speed,
                evidence_captured_at AS at,
                lagInFrame(tuple(evidence_captured_at, lat, lon, speed), 1) OVER before AS previous
            FROM sightings_by_time
            WHERE isNotNull(lat) AND isNotNull(lon)
                AND opened_at >= {since:DateTime64(3, 'UTC')} AND opened_at < {until:DateTime64(3, 'UTC')}
            WINDOW before AS (PARTITION BY plate ORDER BY opened_at, sighting_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
)
GROUP BY plate, encounter
HAVING camera_count > 1;
