-- +goose Up
-- A second lock on the ledger beside the triggers, which binds the owner too. What has no policy finds no row.
ALTER TABLE entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE entries FORCE ROW LEVEL SECURITY;
CREATE POLICY entries_read ON entries FOR SELECT USING (true);
CREATE POLICY entries_add ON entries FOR INSERT WITH CHECK (true);
ALTER TABLE postings ENABLE ROW LEVEL SECURITY;
ALTER TABLE postings FORCE ROW LEVEL SECURITY;
CREATE POLICY postings_read ON postings FOR SELECT USING (true);
CREATE POLICY postings_add ON postings FOR INSERT WITH CHECK (true);

-- Row security hides rows from a statement that may not touch them, and a trigger on rows would then stay silent.
CREATE TRIGGER entries_refuse_change BEFORE UPDATE OR DELETE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER postings_refuse_change BEFORE UPDATE OR DELETE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER run_parts_kept BEFORE TRUNCATE ON run_parts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
