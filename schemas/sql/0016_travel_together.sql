-- Vehicles that are seen near one another again and again: within a minute and 500 m, by whatever cameras. A meeting
-- counts once per place (H3 cell of resolution 8, about 1 km across), however many sightings it made.
-- `co_travellers(plate = '...', since = '...', until = '...')`: who travels with one plate.
CREATE OR REPLACE VIEW co_travellers AS
SELECT
    other AS plate,
    count() AS pairs,
    uniqExact(place) AS places,
    uniqExact(toStartOfInterval(own_at, INTERVAL 10 MINUTE)) AS occasions,
    uniqExact(camera) AS cameras,
    min(own_at) AS first_together,
    max(own_at) AS last_together,
    round(avg(seconds), 1) AS mean_seconds_behind,
    round(avg(metres)) AS mean_metres
FROM
(
    SELECT
        them.plate AS other, them.camera_id AS camera, own.at AS own_at, own.place AS place,
        dateDiff('millisecond', own.at, them.at) / 1000 AS seconds,
        greatCircleDistance(own.lon, own.lat, them.lon, them.lat) AS metres
    FROM
    (
        SELECT
            plate, camera_id, evidence_captured_at AS at, assumeNotNull(lat) AS lat, assumeNotNull(lon) AS lon,
            toStartOfMinute(evidence_captured_at) AS minute, h3ToParent(h3, toUInt8(8)) AS cell
        FROM sightings_by_time
        WHERE toStartOfHour(opened_at) IN
            (
                SELECT arrayJoin([toStartOfHour(opened_at - 120), toStartOfHour(opened_at + 120)])
                FROM sightings
                WHERE plate = {plate:String} AND opened_at >= {since:DateTime64(3, 'UTC')}
                    AND opened_at < {until:DateTime64(3, 'UTC')}
            )
            AND plate != {plate:String} AND h3 != 0
    ) AS them
    INNER JOIN
    (
        SELECT
            at, lat, lon, place,
            arrayJoin([minute - 60, minute, minute + 60]) AS minute,
            arrayJoin(h3kRing(place, toUInt8(1))) AS cell
        FROM
        (
            SELECT
                evidence_captured_at AS at, assumeNotNull(lat) AS lat, assumeNotNull(lon) AS lon,
                toStartOfMinute(evidence_captured_at) AS minute, h3ToParent(h3, toUInt8(8)) AS place
            FROM sightings
            WHERE plate = {plate:String} AND opened_at >= {since:DateTime64(3, 'UTC')}
                AND opened_at < {until:DateTime64(3, 'UTC')} AND h3 != 0
        )
    ) AS own ON them.minute = own.minute AND them.cell = own.cell
    WHERE abs(seconds) <= 60 AND metres <= 500
)
GROUP BY other
HAVING places >= 2
ORDER BY places DESC, occasions DESC, plate;

-- `convoys(since = '...', until = '...')`: pairs of plates with at least three places in common. A day is joined with
-- itself: ask for hours or days, not for years.
CREATE OR REPLACE VIEW convoys AS
SELECT
    least(a_plate, b_plate) AS plate_a,
    greatest(a_plate, b_plate) AS plate_b,
    count() AS pairs,
    uniqExact(place) AS places,
    uniqExact(toStartOfInterval(a_at, INTERVAL 10 MINUTE)) AS occasions,
    uniqExactArray([a_camera, b_camera]) AS cameras,
    min(a_at) AS first_together,
    max(b_at) AS last_together,
    round(avg(seconds), 1) AS mean_seconds_apart,
    round(avg(metres)) AS mean_metres
FROM
(
    SELECT
        a.plate AS a_plate, b.plate AS b_plate, a.camera_id AS a_camera, b.camera_id AS b_camera,
        a.at AS a_at, b.at AS b_at, a.place AS place,
        dateDiff('millisecond', a.at, b.at) / 1000 AS seconds,
        greatCircleDistance(a.lon, a.lat, b.lon, b.lat) AS metres
    FROM
    (
        SELECT
            plate, camera_id, sighting_id, evidence_captured_at AS at, assumeNotNull(lat) AS lat,
            assumeNotNull(lon) AS lon, toStartOfMinute(evidence_captured_at) AS minute,
            h3ToParent(h3, toUInt8(8)) AS cell
        FROM sightings_by_time
        WHERE opened_at >= {since:DateTime64(3, 'UTC')} AND opened_at < {until:DateTime64(3, 'UTC')} AND h3 != 0
    ) AS b
    INNER JOIN
    (
        SELECT
            plate, camera_id, sighting_id, evidence_captured_at AS at, assumeNotNull(lat) AS lat,
            assumeNotNull(lon) AS lon,
            arrayJoin([toStartOfMinute(evidence_captured_at), toStartOfMinute(evidence_captured_at) + 60]) AS minute,
            h3ToParent(h3, toUInt8(8)) AS place,
            arrayJoin(h3kRing(place, toUInt8(1))) AS cell
        FROM sightings_by_time
        WHERE opened_at >= {since:DateTime64(3, 'UTC')} AND opened_at < {until:DateTime64(3, 'UTC')} AND h3 != 0
    ) AS a ON a.minute = b.minute AND a.cell = b.cell
    WHERE a.plate != b.plate AND (a.at, a.sighting_id) < (b.at, b.sighting_id) AND seconds <= 60 AND metres <= 500
)
GROUP BY plate_a, plate_b
HAVING places >= 3
ORDER BY places DESC, occasions DESC, plate_a, plate_b;
