-- One chain of hashes per writer: two programs that write at once cannot share one. How many rows a search gave is not
-- known when its row is written, which is before it runs.
ALTER TABLE audit ADD COLUMN IF NOT EXISTS chain LowCardinality(String) COMMENT 'Who keeps this chain' FIRST;
ALTER TABLE audit DROP COLUMN IF EXISTS result_rows;
