-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Posting by posting, so that the work does not grow with the ledger: a join could read all of it.
    IF EXISTS (
        SELECT 1 FROM added a CROSS JOIN LATERAL (
            SELECT COUNT(*) AS entries, COALESCE(SUM(e.amount_pence), 1) AS total,
                   COUNT(*) FILTER (WHERE e.commissioner_code <> a.commissioner_code OR e.effective_date <> a.effective_date
                       OR e.recorded_at <> a.recorded_at) AS strange
            FROM entries e WHERE e.posting_id = a.posting_id
        ) s
        WHERE s.entries <> a.entry_count OR s.total <> 0 OR s.strange <> 0
    ) THEN
        RAISE EXCEPTION 'a posting does not balance, or its entries are not its own' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM (SELECT DISTINCT posting_id FROM added) a CROSS JOIN LATERAL (
            SELECT 1 FROM postings p WHERE p.posting_id = a.posting_id LIMIT 1
        ) s
    ) THEN
        RAISE EXCEPTION 'a posting that stands takes no more entries' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER postings_balance AFTER INSERT ON postings REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_postings();
CREATE TRIGGER entries_precede AFTER INSERT ON entries REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION check_entries();
CREATE TRIGGER postings_frozen BEFORE UPDATE OR DELETE ON postings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_frozen BEFORE UPDATE OR DELETE ON entries FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER schedules_frozen BEFORE UPDATE OR DELETE ON schedules FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lines_frozen BEFORE UPDATE OR DELETE ON lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approvals_frozen BEFORE UPDATE OR DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER run_lines_frozen BEFORE UPDATE OR DELETE ON run_lines FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER run_payees_frozen BEFORE UPDATE OR DELETE ON run_payees FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER exports_frozen BEFORE UPDATE OR DELETE ON exports FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entitlements_frozen BEFORE UPDATE OR DELETE ON entitlements FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER settings_frozen BEFORE UPDATE OR DELETE ON settings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER code_mappings_frozen BEFORE UPDATE OR DELETE ON code_mappings FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suppliers_frozen BEFORE UPDATE OR DELETE ON suppliers FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER imports_frozen BEFORE UPDATE OR DELETE ON imports FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER imported_rows_frozen BEFORE UPDATE OR DELETE ON imported_rows FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER moves_frozen BEFORE UPDATE OR DELETE ON moves FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- Items change their state four times: room beside them keeps their indexes out of that.
ALTER TABLE items SET (fillfactor = 50);
CREATE TRIGGER postings_kept BEFORE TRUNCATE ON postings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_kept BEFORE TRUNCATE ON entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER schedules_kept BEFORE TRUNCATE ON schedules FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER lines_kept BEFORE TRUNCATE ON lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER approvals_kept BEFORE TRUNCATE ON approvals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER run_lines_kept BEFORE TRUNCATE ON run_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER run_payees_kept BEFORE TRUNCATE ON run_payees FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER exports_kept BEFORE TRUNCATE ON exports FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entitlements_kept BEFORE TRUNCATE ON entitlements FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER settings_kept BEFORE TRUNCATE ON settings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER code_mappings_kept BEFORE TRUNCATE ON code_mappings FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER suppliers_kept BEFORE TRUNCATE ON suppliers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER imports_kept BEFORE TRUNCATE ON imports FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER imported_rows_kept BEFORE TRUNCATE ON imported_rows FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER moves_kept BEFORE TRUNCATE ON moves FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
