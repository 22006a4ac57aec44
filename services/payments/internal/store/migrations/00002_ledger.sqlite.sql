-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER postings_balance AFTER INSERT ON postings BEGIN
    SELECT RAISE(ABORT, 'a posting does not balance, or its entries are not its own') FROM (
        SELECT COUNT(*) AS entries, COALESCE(SUM(amount_pence), 1) AS total,
               SUM(commissioner_code <> NEW.commissioner_code OR effective_date <> NEW.effective_date OR recorded_at <> NEW.recorded_at) AS strange
        FROM entries WHERE posting_id = NEW.posting_id
    ) WHERE entries <> NEW.entry_count OR total <> 0 OR strange <> 0;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_precede BEFORE INSERT ON entries WHEN EXISTS (SELECT 1 FROM postings WHERE posting_id = NEW.posting_id) BEGIN
    SELECT RAISE(ABORT, 'a posting that stands takes no more entries');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER schedules_no_update BEFORE UPDATE ON schedules BEGIN SELECT RAISE(ABORT, 'schedules is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER schedules_no_delete BEFORE DELETE ON schedules BEGIN SELECT RAISE(ABORT, 'schedules is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER lines_no_update BEFORE UPDATE ON lines BEGIN SELECT RAISE(ABORT, 'lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER lines_no_delete BEFORE DELETE ON lines BEGIN SELECT RAISE(ABORT, 'lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER approvals_no_update BEFORE UPDATE ON approvals BEGIN SELECT RAISE(ABORT, 'approvals is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'approvals is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER run_lines_no_update BEFORE UPDATE ON run_lines BEGIN SELECT RAISE(ABORT, 'run_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER run_lines_no_delete BEFORE DELETE ON run_lines BEGIN SELECT RAISE(ABORT, 'run_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER run_payees_no_update BEFORE UPDATE ON run_payees BEGIN SELECT RAISE(ABORT, 'run_payees is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER run_payees_no_delete BEFORE DELETE ON run_payees BEGIN SELECT RAISE(ABORT, 'run_payees is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER exports_no_update BEFORE UPDATE ON exports BEGIN SELECT RAISE(ABORT, 'exports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER exports_no_delete BEFORE DELETE ON exports BEGIN SELECT RAISE(ABORT, 'exports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_no_update BEFORE UPDATE ON entitlements BEGIN SELECT RAISE(ABORT, 'entitlements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_no_delete BEFORE DELETE ON entitlements BEGIN SELECT RAISE(ABORT, 'entitlements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_update BEFORE UPDATE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_delete BEFORE DELETE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER code_mappings_no_update BEFORE UPDATE ON code_mappings BEGIN SELECT RAISE(ABORT, 'code_mappings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER code_mappings_no_delete BEFORE DELETE ON code_mappings BEGIN SELECT RAISE(ABORT, 'code_mappings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER suppliers_no_update BEFORE UPDATE ON suppliers BEGIN SELECT RAISE(ABORT, 'suppliers is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER suppliers_no_delete BEFORE DELETE ON suppliers BEGIN SELECT RAISE(ABORT, 'suppliers is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER imports_no_update BEFORE UPDATE ON imports BEGIN SELECT RAISE(ABORT, 'imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER imports_no_delete BEFORE DELETE ON imports BEGIN SELECT RAISE(ABORT, 'imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER imported_rows_no_update BEFORE UPDATE ON imported_rows BEGIN SELECT RAISE(ABORT, 'imported_rows is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER imported_rows_no_delete BEFORE DELETE ON imported_rows BEGIN SELECT RAISE(ABORT, 'imported_rows is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER moves_no_update BEFORE UPDATE ON moves BEGIN SELECT RAISE(ABORT, 'moves is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER moves_no_delete BEFORE DELETE ON moves BEGIN SELECT RAISE(ABORT, 'moves is append-only'); END;
-- +goose StatementEnd
