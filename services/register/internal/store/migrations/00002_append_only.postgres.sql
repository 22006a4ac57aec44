-- +goose Up

-- What became known is never changed or taken back: a later load outranks an earlier one.

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
END;
$$;
-- +goose StatementEnd

CREATE TRIGGER loads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON loads
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER quarantined_rows_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quarantined_rows
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER published_mappings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON published_mappings
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER places_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON places
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER dated_memberships_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON dated_memberships
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER pcn_details_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pcn_details
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER populations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON populations
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER recorded_memberships_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recorded_memberships
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER care_home_beds_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON care_home_beds
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER payees_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON payees
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER participations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON participations
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER commissioners_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON commissioners
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER sightings_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sightings
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER snapshots_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON snapshots
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
