-- +goose Up
-- A second lock beside the triggers, which binds the owner too. What has no policy is refused or finds no row.
ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_read ON audit FOR SELECT USING (true);
CREATE POLICY audit_add ON audit FOR INSERT WITH CHECK (seal IS NULL);
CREATE POLICY audit_sealing ON audit FOR UPDATE USING (true) WITH CHECK (seal IS NOT NULL);
ALTER TABLE audit_seal ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_seal FORCE ROW LEVEL SECURITY;
CREATE POLICY audit_seal_read ON audit_seal FOR SELECT USING (true);
CREATE POLICY audit_seal_add ON audit_seal FOR INSERT WITH CHECK (true);

-- Row security hides rows from a statement that may not touch them, and a trigger on rows would then stay silent.
CREATE TRIGGER audit_refuse_delete BEFORE DELETE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_seal_refuse_change BEFORE UPDATE OR DELETE ON audit_seal FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
