-- +goose Up
-- An entry changes once, when its seal is noted; nothing else of it ever does.
-- +goose StatementBegin
CREATE TRIGGER audit_append_only BEFORE UPDATE ON audit
WHEN OLD.seal IS NOT NULL OR NEW.seal IS NULL
    OR (OLD.id, OLD.at, OLD.actor, OLD.roles, OLD.method, OLD.resource, OLD.commissioner, OLD.summary)
    IS NOT (NEW.id, NEW.at, NEW.actor, NEW.roles, NEW.method, NEW.resource, NEW.commissioner, NEW.summary)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
-- +goose StatementEnd
