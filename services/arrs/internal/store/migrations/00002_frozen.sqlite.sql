-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER figures_no_update BEFORE UPDATE ON figures BEGIN SELECT RAISE(ABORT, 'figures is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER figures_no_delete BEFORE DELETE ON figures BEGIN SELECT RAISE(ABORT, 'figures is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_update BEFORE UPDATE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_delete BEFORE DELETE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_no_update BEFORE UPDATE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER years_no_update BEFORE UPDATE ON years BEGIN SELECT RAISE(ABORT, 'years is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER years_no_delete BEFORE DELETE ON years BEGIN SELECT RAISE(ABORT, 'years is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_no_update BEFORE UPDATE ON entitlements BEGIN SELECT RAISE(ABORT, 'entitlements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entitlements_no_delete BEFORE DELETE ON entitlements BEGIN SELECT RAISE(ABORT, 'entitlements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER engagement_terms_no_update BEFORE UPDATE ON engagement_terms BEGIN SELECT RAISE(ABORT, 'engagement_terms is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER engagement_terms_no_delete BEFORE DELETE ON engagement_terms BEGIN SELECT RAISE(ABORT, 'engagement_terms is append-only'); END;
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
CREATE TRIGGER claims_no_delete BEFORE DELETE ON claims BEGIN SELECT RAISE(ABORT, 'claims are kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER claim_lines_no_delete BEFORE DELETE ON claim_lines BEGIN SELECT RAISE(ABORT, 'claim_lines are kept'); END;
-- +goose StatementEnd
