-- +goose Up
-- A table is analysed by its owner. The service, which owns none, has this done for those of its schema.
-- +goose StatementBegin
CREATE FUNCTION analyze_table(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_class WHERE oid = to_regclass(name) AND relnamespace = to_regnamespace(current_schema()) AND relkind = 'r') THEN
        RAISE EXCEPTION 'there is no table % to analyse', name;
    END IF;
    EXECUTE format('ANALYZE %I', name);
END
$$;
-- +goose StatementEnd
