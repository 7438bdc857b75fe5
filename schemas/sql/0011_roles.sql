-- needs: access_control
-- Who may do what on a shared server. Users are made by the operator: CREATE USER ... ; GRANT analyst TO ... ;
-- A view is read with the rights of who asks, hence the grants on the tables below it.
CREATE ROLE IF NOT EXISTS analyst;

CREATE ROLE IF NOT EXISTS ingest;

CREATE ROLE IF NOT EXISTS auditor;

CREATE ROLE IF NOT EXISTS admin;

GRANT SELECT ON sightings TO analyst;

GRANT SELECT ON sightings_raw TO analyst;

GRANT SELECT ON sightings_by_time TO analyst;

GRANT SELECT ON sightings_time_raw TO analyst;

GRANT SELECT ON plates TO analyst;

GRANT SELECT ON vehicles TO analyst;

GRANT SELECT ON reads TO analyst;

GRANT SELECT ON reads_raw TO analyst;

GRANT SELECT ON alerts TO analyst;

GRANT SELECT ON alerts_raw TO analyst;

GRANT SELECT ON cameras TO analyst;

GRANT SELECT ON cameras_raw TO analyst;

GRANT SELECT ON camera_states TO analyst;

GRANT SELECT ON crops TO analyst;

GRANT SELECT ON crops_raw TO analyst;

GRANT INSERT, SELECT ON sightings_raw TO ingest;

GRANT INSERT, SELECT ON crops_raw TO ingest;

GRANT INSERT, SELECT ON reads_raw TO ingest;

GRANT INSERT, SELECT ON alerts_raw TO ingest;

GRANT INSERT, SELECT ON camera_states TO ingest;

GRANT INSERT, SELECT ON dead_letters_raw TO ingest;

GRANT INSERT, SELECT ON audit TO ingest;

GRANT SELECT ON audit TO auditor;

GRANT SELECT ON dead_letters TO auditor;

GRANT SELECT ON dead_letters_raw TO auditor;

GRANT analyst, ingest, auditor TO admin;

GRANT ALTER, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE ON * TO admin;

CREATE SETTINGS PROFILE IF NOT EXISTS analyst_limits
SETTINGS readonly = 2, max_execution_time = 60, max_result_rows = 1000000, result_overflow_mode = 'throw'
TO analyst;

CREATE QUOTA IF NOT EXISTS analyst_quota
FOR INTERVAL 1 hour MAX queries = 10000, execution_time = 1800
TO analyst;
