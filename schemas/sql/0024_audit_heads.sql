-- Where each chain of the audit ends: all that who adds to it has to read.
CREATE OR REPLACE VIEW audit_heads AS
SELECT chain, max(number) AS rows, argMax(hash, number) AS head FROM audit GROUP BY chain;
