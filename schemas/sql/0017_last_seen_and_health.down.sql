DROP VIEW IF EXISTS camera_health;
DROP VIEW IF EXISTS last_seen;
