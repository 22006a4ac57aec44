-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER allocation_versions_no_update BEFORE UPDATE ON allocation_versions BEGIN SELECT RAISE(ABORT, 'allocation_versions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER allocation_versions_no_delete BEFORE DELETE ON allocation_versions BEGIN SELECT RAISE(ABORT, 'allocation_versions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_pcns_no_update BEFORE UPDATE ON plan_pcns BEGIN SELECT RAISE(ABORT, 'plan_pcns is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_pcns_no_delete BEFORE DELETE ON plan_pcns BEGIN SELECT RAISE(ABORT, 'plan_pcns is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_lines_no_update BEFORE UPDATE ON plan_lines BEGIN SELECT RAISE(ABORT, 'plan_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_lines_no_delete BEFORE DELETE ON plan_lines BEGIN SELECT RAISE(ABORT, 'plan_lines is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tranches_no_update BEFORE UPDATE ON tranches BEGIN SELECT RAISE(ABORT, 'tranches is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER tranches_no_delete BEFORE DELETE ON tranches BEGIN SELECT RAISE(ABORT, 'tranches is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER agreements_no_update BEFORE UPDATE ON agreements BEGIN SELECT RAISE(ABORT, 'agreements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER agreements_no_delete BEFORE DELETE ON agreements BEGIN SELECT RAISE(ABORT, 'agreements is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER assessments_no_update BEFORE UPDATE ON assessments BEGIN SELECT RAISE(ABORT, 'assessments is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER assessments_no_delete BEFORE DELETE ON assessments BEGIN SELECT RAISE(ABORT, 'assessments is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_steps_no_update BEFORE UPDATE ON plan_steps BEGIN SELECT RAISE(ABORT, 'plan_steps is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_steps_no_delete BEFORE DELETE ON plan_steps BEGIN SELECT RAISE(ABORT, 'plan_steps is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_no_update BEFORE UPDATE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER reviews_no_delete BEFORE DELETE ON reviews BEGIN SELECT RAISE(ABORT, 'reviews is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER spend_reports_no_update BEFORE UPDATE ON spend_reports BEGIN SELECT RAISE(ABORT, 'spend_reports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER spend_reports_no_delete BEFORE DELETE ON spend_reports BEGIN SELECT RAISE(ABORT, 'spend_reports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER recoveries_no_update BEFORE UPDATE ON recoveries BEGIN SELECT RAISE(ABORT, 'recoveries is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER recoveries_no_delete BEFORE DELETE ON recoveries BEGIN SELECT RAISE(ABORT, 'recoveries is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_update BEFORE UPDATE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER settings_no_delete BEFORE DELETE ON settings BEGIN SELECT RAISE(ABORT, 'settings is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER need_imports_no_update BEFORE UPDATE ON need_imports BEGIN SELECT RAISE(ABORT, 'need_imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER need_imports_no_delete BEFORE DELETE ON need_imports BEGIN SELECT RAISE(ABORT, 'need_imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER need_weights_no_update BEFORE UPDATE ON need_weights BEGIN SELECT RAISE(ABORT, 'need_weights is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER need_weights_no_delete BEFORE DELETE ON need_weights BEGIN SELECT RAISE(ABORT, 'need_weights is append-only'); END;
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
CREATE TRIGGER allocations_no_delete BEFORE DELETE ON allocations BEGIN SELECT RAISE(ABORT, 'allocations is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER decisions_no_delete BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plans_no_delete BEFORE DELETE ON plans BEGIN SELECT RAISE(ABORT, 'plans is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER plan_versions_no_delete BEFORE DELETE ON plan_versions BEGIN SELECT RAISE(ABORT, 'plan_versions is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER interests_no_delete BEFORE DELETE ON interests BEGIN SELECT RAISE(ABORT, 'interests is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER treatments_no_delete BEFORE DELETE ON treatments BEGIN SELECT RAISE(ABORT, 'treatments is append-only'); END;
-- +goose StatementEnd
