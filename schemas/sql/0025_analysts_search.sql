-- needs: access_control
-- An analyst adds to the audit before each search, which readonly forbids: the grants alone bound what analysts change.
-- They read where their chain ends, and nobody's searches. An admin has rights of its own: with the analyst's role came
-- the analyst's limits. 0023 and 0024 made views anew.
CREATE SETTINGS PROFILE OR REPLACE analyst_limits
SETTINGS max_execution_time = 60, max_result_rows = 1000000, result_overflow_mode = 'throw'
TO analyst;
ALTER TABLE encounters MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE encounters_between MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
ALTER TABLE audit_heads MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
GRANT SELECT ON audit_heads TO analyst;
GRANT SELECT ON audit_heads TO auditor;
GRANT SELECT ON audit_heads TO ingest;
GRANT SELECT ON camera_states TO analyst;
REVOKE SELECT ON audit FROM analyst;
REVOKE SELECT ON audit FROM ingest;
REVOKE analyst FROM admin;
GRANT SELECT, INSERT ON * TO admin;
