DROP VIEW IF EXISTS encounters_between;
DROP VIEW IF EXISTS encounters;
