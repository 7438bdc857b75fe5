DROP VIEW IF EXISTS wrong_hits;
DROP VIEW IF EXISTS hotlist_rules;
DROP VIEW IF EXISTS hotlist;
DROP TABLE IF EXISTS hotlist_raw;
