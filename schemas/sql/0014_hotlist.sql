-- fleet.hotlist as SQL: entries, the rules of a list, and hits that a person called wrong. A record that was taken off
-- is a deleting row. The topic is compacted, and one key keeps to one partition: the offset orders a key's versions.
CREATE TABLE IF NOT EXISTS hotlist_raw
(
    hotlist_id LowCardinality(String),
    entry String COMMENT 'A plate, or a pattern with ? and *; empty: the rules of the list',
    plate String COMMENT 'The text of a wrong hit, else empty',
    version UInt64 COMMENT 'One more than the offset in fleet.hotlist',
    is_deleted UInt8,
    kind LowCardinality(String) COMMENT 'entry, rules or wrong hit',
    priority LowCardinality(String),
    reason String,
    owner String,
    region LowCardinality(String) COMMENT 'Only sightings of this region match; empty: any',
    valid_from Nullable(DateTime64(3, 'UTC')),
    valid_until Nullable(DateTime64(3, 'UTC')),
    changed_at DateTime64(3, 'UTC'),
    changed_by String,
    message String COMMENT 'The whole record as JSON, also what has no column here' CODEC(ZSTD(1)),
    inserted_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(version, is_deleted)
ORDER BY (hotlist_id, entry, plate)
SETTINGS non_replicated_deduplication_window = 10000;

CREATE OR REPLACE VIEW hotlist AS
SELECT
    hotlist_id, entry, priority, reason, owner, region, valid_from, valid_until, changed_at AS added_at,
    changed_by AS added_by, message, match(entry, '[?*]') AS is_pattern,
    (isNull(valid_from) OR valid_from <= now64(3, 'UTC')) AND (isNull(valid_until) OR valid_until > now64(3, 'UTC'))
        AS in_force
FROM hotlist_raw FINAL
WHERE is_deleted = 0 AND kind = 'entry';

CREATE OR REPLACE VIEW hotlist_rules AS
SELECT
    hotlist_id, JSONExtractString(message, 'kind') AS kind, priority, reason, owner, region, valid_from, valid_until,
    changed_at AS updated_at, changed_by AS updated_by, message
FROM hotlist_raw AS r FINAL
WHERE is_deleted = 0 AND r.kind = 'rules';

CREATE OR REPLACE VIEW wrong_hits AS
SELECT
    hotlist_id, entry, plate, JSONExtractString(message, 'truth') AS truth,
    JSONExtractBool(message, 'suppress') AS suppress, changed_at AS at, changed_by AS by, message
FROM hotlist_raw FINAL
WHERE is_deleted = 0 AND kind = 'wrong hit';
