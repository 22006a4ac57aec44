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
CREATE TRIGGER imports_no_update BEFORE UPDATE ON imports BEGIN SELECT RAISE(ABORT, 'imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER imports_no_delete BEFORE DELETE ON imports BEGIN SELECT RAISE(ABORT, 'imports is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER field_names_no_update BEFORE UPDATE ON field_names BEGIN SELECT RAISE(ABORT, 'field_names is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER field_names_no_delete BEFORE DELETE ON field_names BEGIN SELECT RAISE(ABORT, 'field_names is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER counts_no_update BEFORE UPDATE ON counts BEGIN SELECT RAISE(ABORT, 'counts is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER counts_no_delete BEFORE DELETE ON counts BEGIN SELECT RAISE(ABORT, 'counts is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER results_no_update BEFORE UPDATE ON results BEGIN SELECT RAISE(ABORT, 'results is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER results_no_delete BEFORE DELETE ON results BEGIN SELECT RAISE(ABORT, 'results is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER steps_no_update BEFORE UPDATE ON steps BEGIN SELECT RAISE(ABORT, 'steps is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER steps_no_delete BEFORE DELETE ON steps BEGIN SELECT RAISE(ABORT, 'steps is append-only'); END;
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
CREATE TRIGGER achievements_no_delete BEFORE DELETE ON achievements BEGIN SELECT RAISE(ABORT, 'achievements is kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER nominations_no_delete BEFORE DELETE ON nominations BEGIN SELECT RAISE(ABORT, 'nominations is kept'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER corrections_no_delete BEFORE DELETE ON corrections BEGIN SELECT RAISE(ABORT, 'corrections is kept'); END;
-- +goose StatementEnd
