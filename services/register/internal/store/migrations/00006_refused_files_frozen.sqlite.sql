-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER refused_files_no_update BEFORE UPDATE ON refused_files
BEGIN
	SELECT RAISE(ABORT, 'refused_files is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER refused_files_no_delete BEFORE DELETE ON refused_files
BEGIN
	SELECT RAISE(ABORT, 'refused_files is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER refused_rows_no_update BEFORE UPDATE ON refused_rows
BEGIN
	SELECT RAISE(ABORT, 'refused_rows is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER refused_rows_no_delete BEFORE DELETE ON refused_rows
BEGIN
	SELECT RAISE(ABORT, 'refused_rows is append-only');
END;
-- +goose StatementEnd
