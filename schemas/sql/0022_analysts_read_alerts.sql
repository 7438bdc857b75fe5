-- needs: access_control
-- 0021 made this view anew.
ALTER TABLE alerts MODIFY DEFINER = CURRENT_USER SQL SECURITY DEFINER;
GRANT SELECT ON alerts TO analyst;
