-- Who searched for what, and why: a chain in which each row's hash covers the row before it.
CREATE TABLE IF NOT EXISTS audit
(
    number UInt64 COMMENT 'Rises by one; the first is 1',
    at DateTime64(3, 'UTC'),
    user LowCardinality(String),
    action LowCardinality(String),
    statement String COMMENT 'The search as it was made',
    reason String,
    result_rows UInt64,
    previous_hash String,
    hash String COMMENT 'SHA-256, hex'
)
ENGINE = MergeTree
ORDER BY number
SETTINGS non_replicated_deduplication_window = 10000;
