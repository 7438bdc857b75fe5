-- needs: access_control
-- Analysts read views, not the tables behind them: a view is read with the rights of who made it (ClickHouse 24.2 and
-- newer). That user must stay. A later migration that makes a view anew has to say so again. Every program of an
-- analyst that keeps the audit adds to it and reads where its chain ends.
ALTER TABLE sightings MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE sightings_by_time MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE vehicles MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE last_seen MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE encounters MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE encounters_between MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE co_travellers MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE convoys MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE reads MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE alerts MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE hotlist MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE cameras MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE camera_health MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE crops MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
GRANT SELECT ON sightings TO analyst;
GRANT SELECT ON sightings_by_time TO analyst;
GRANT SELECT ON vehicles TO analyst;
GRANT SELECT ON last_seen TO analyst;
GRANT SELECT ON encounters TO analyst;
GRANT SELECT ON encounters_between TO analyst;
GRANT SELECT ON co_travellers TO analyst;
GRANT SELECT ON convoys TO analyst;
GRANT SELECT ON reads TO analyst;
GRANT SELECT ON alerts TO analyst;
GRANT SELECT ON hotlist TO analyst;
GRANT SELECT ON cameras TO analyst;
GRANT SELECT ON camera_health TO analyst;
GRANT SELECT ON crops TO analyst;
REVOKE SELECT ON sightings_raw FROM analyst;
REVOKE SELECT ON sightings_time_raw FROM analyst;
REVOKE SELECT ON reads_raw FROM analyst;
REVOKE SELECT ON alerts_raw FROM analyst;
REVOKE SELECT ON cameras_raw FROM analyst;
REVOKE SELECT ON camera_states FROM analyst;
REVOKE SELECT ON crops_raw FROM analyst;
GRANT SELECT, INSERT ON audit TO analyst;
GRANT SELECT ON hotlist_rules TO auditor;
GRANT SELECT ON wrong_hits TO auditor;
GRANT SELECT ON hotlist_raw TO auditor;
GRANT INSERT, SELECT ON hotlist_raw TO ingest;
GRANT CREATE FUNCTION, DROP FUNCTION ON *.* TO admin;
GRANT ALTER DELETE, ALTER UPDATE ON * TO admin;
