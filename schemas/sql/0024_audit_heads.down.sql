DROP VIEW IF EXISTS audit_heads;
