REVOKE SELECT, INSERT ON * FROM admin;
GRANT analyst TO admin;
GRANT SELECT ON audit TO ingest;
GRANT SELECT ON audit TO analyst;
REVOKE SELECT ON camera_states FROM analyst;
REVOKE SELECT ON audit_heads FROM ingest;
REVOKE SELECT ON audit_heads FROM auditor;
REVOKE SELECT ON audit_heads FROM analyst;
ALTER TABLE encounters_between MODIFY SQL SECURITY INVOKER;
ALTER TABLE encounters MODIFY SQL SECURITY INVOKER;
CREATE SETTINGS PROFILE OR REPLACE analyst_limits
SETTINGS readonly = 2, max_execution_time = 60, max_result_rows = 1000000, result_overflow_mode = 'throw'
TO analyst;
