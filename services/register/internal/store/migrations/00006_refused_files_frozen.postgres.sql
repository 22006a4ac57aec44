-- +goose Up
CREATE TRIGGER refused_files_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refused_files
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refused_rows_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refused_rows
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
