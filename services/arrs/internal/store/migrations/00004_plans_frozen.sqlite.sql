-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER awards_no_update BEFORE UPDATE ON awards BEGIN SELECT RAISE(ABORT, 'awards is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER awards_no_delete BEFORE DELETE ON awards BEGIN SELECT RAISE(ABORT, 'awards is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER award_shares_no_update BEFORE UPDATE ON award_shares BEGIN SELECT RAISE(ABORT, 'award_shares is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER award_shares_no_delete BEFORE DELETE ON award_shares BEGIN SELECT RAISE(ABORT, 'award_shares is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_lines_no_update BEFORE UPDATE ON plan_lines BEGIN SELECT RAISE(ABORT, 'plan_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_lines_no_delete BEFORE DELETE ON plan_lines BEGIN SELECT RAISE(ABORT, 'plan_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER system_plans_no_update BEFORE UPDATE ON system_plans BEGIN SELECT RAISE(ABORT, 'system_plans is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER system_plans_no_delete BEFORE DELETE ON system_plans BEGIN SELECT RAISE(ABORT, 'system_plans is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER workforce_imports_no_update BEFORE UPDATE ON workforce_imports BEGIN SELECT RAISE(ABORT, 'workforce_imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER workforce_imports_no_delete BEFORE DELETE ON workforce_imports BEGIN SELECT RAISE(ABORT, 'workforce_imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER workforce_no_update BEFORE UPDATE ON workforce BEGIN SELECT RAISE(ABORT, 'workforce is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER workforce_no_delete BEFORE DELETE ON workforce BEGIN SELECT RAISE(ABORT, 'workforce is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER unclaimed_no_delete BEFORE DELETE ON unclaimed BEGIN SELECT RAISE(ABORT, 'unclaimed are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER bids_no_delete BEFORE DELETE ON bids BEGIN SELECT RAISE(ABORT, 'bids are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plans_no_delete BEFORE DELETE ON plans BEGIN SELECT RAISE(ABORT, 'plans are kept'); END;
-- +goose StatementEnd
