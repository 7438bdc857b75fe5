-- An encounter joins passes, not the winning reads of passes: two cameras that follow one vehicle for minutes have their
-- best pictures a minute apart. A sighting joins the one before it of the same plate when there are at most 30 s between
-- the two passes (none where they overlap) and the cameras were, where their trails are nearest to when they met, no
-- further apart than 100 m plus what the vehicle can have driven between those two points.
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
            greatest(first_seen, previous.1) AS met,
            greatest(0, dateDiff('millisecond', least(last_seen, previous.2), met)) / 1000 AS gap,
            arraySort(p -> abs(dateDiff('millisecond', p.1, met)), path)[1] AS here,
            arraySort(p -> abs(dateDiff('millisecond', p.1, met)), previous.3)[1] AS there,
            abs(dateDiff('millisecond', there.1, here.1)) / 1000 AS seconds,
            greatCircleDistance(there.3, there.2, here.3, here.2) AS step,
            gap > 30 OR step > 100 + seconds * (15 + 1.5 * greatest(ifNull(speed, 25), ifNull(previous.4, 25)))
                AS begins,
            if(begins, 0, step) AS metres
        FROM
        (
            SELECT
                plate, camera_id, sighting_id, opened_at, first_seen, last_seen, confidence, lat, lon, speed,
                evidence_captured_at AS at,
                if(empty(trail), [(evidence_captured_at, assumeNotNull(lat), assumeNotNull(lon))],
                    arrayMap(p -> (p.1, p.2, p.3), trail)) AS path,
                lagInFrame(tuple(first_seen, last_seen, path, speed), 1) OVER before AS previous
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
            greatest(first_seen, previous.1) AS met,
            greatest(0, dateDiff('millisecond', least(last_seen, previous.2), met)) / 1000 AS gap,
            arraySort(p -> abs(dateDiff('millisecond', p.1, met)), path)[1] AS here,
            arraySort(p -> abs(dateDiff('millisecond', p.1, met)), previous.3)[1] AS there,
            abs(dateDiff('millisecond', there.1, here.1)) / 1000 AS seconds,
            greatCircleDistance(there.3, there.2, here.3, here.2) AS step,
            gap > 30 OR step > 100 + seconds * (15 + 1.5 * greatest(ifNull(speed, 25), ifNull(previous.4, 25)))
                AS begins,
            if(begins, 0, step) AS metres
        FROM
        (
            SELECT
                plate, camera_id, sighting_id, opened_at, first_seen, last_seen, confidence, lat, lon, speed,
                evidence_captured_at AS at,
                if(empty(trail), [(evidence_captured_at, assumeNotNull(lat), assumeNotNull(lon))],
                    arrayMap(p -> (p.1, p.2, p.3), trail)) AS path,
                lagInFrame(tuple(first_seen, last_seen, path, speed), 1) OVER before AS previous
            FROM sightings_by_time
            WHERE isNotNull(lat) AND isNotNull(lon)
                AND opened_at >= {since:DateTime64(3, 'UTC')} AND opened_at < {until:DateTime64(3, 'UTC')}
            WINDOW before AS (PARTITION BY plate ORDER BY opened_at, sighting_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
        )
    )
)
GROUP BY plate, encounter
HAVING camera_count > 1;
