-- One row per distinct plate, for partial, wildcard and fuzzy search: find plates here, then ask
-- `sightings` for `plate IN (...)`. It may hold a plate whose sightings were all withdrawn since.
CREATE TABLE IF NOT EXISTS plates
(
    plate String,
    first_seen SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_seen SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY plate;

CREATE MATERIALIZED VIEW IF NOT EXISTS plates_mv TO plates AS
SELECT s.plate AS plate, min(s.first_seen) AS first_seen, max(s.last_seen) AS last_seen
FROM sightings_raw AS s
WHERE s.is_deleted = 0
GROUP BY s.plate;
