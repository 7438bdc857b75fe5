DROP VIEW IF EXISTS convoys;
DROP VIEW IF EXISTS co_travellers;
