-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
-- +goose StatementEnd

-- An entry changes once, when its seal is noted; nothing else of it ever does.
CREATE TRIGGER audit_append_only BEFORE UPDATE ON audit FOR EACH ROW
    WHEN (OLD.seal IS NOT NULL OR NEW.seal IS NULL
        OR (OLD.id, OLD.at, OLD.actor, OLD.roles, OLD.method, OLD.resource, OLD.commissioner, OLD.summary)
        IS DISTINCT FROM (NEW.id, NEW.at, NEW.actor, NEW.roles, NEW.method, NEW.resource, NEW.commissioner, NEW.summary))
    EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_seal_append_only BEFORE UPDATE OR DELETE ON audit_seal FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_seal_no_truncate BEFORE TRUNCATE ON audit_seal FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
