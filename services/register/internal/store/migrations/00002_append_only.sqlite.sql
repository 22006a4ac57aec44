-- +goose Up

-- What became known is never changed or taken back: a later load outranks an earlier one.

-- +goose StatementBegin
CREATE TRIGGER loads_no_update BEFORE UPDATE ON loads
BEGIN
	SELECT RAISE(ABORT, 'loads is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER loads_no_delete BEFORE DELETE ON loads
BEGIN
	SELECT RAISE(ABORT, 'loads is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER quarantined_rows_no_update BEFORE UPDATE ON quarantined_rows
BEGIN
	SELECT RAISE(ABORT, 'quarantined_rows is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER quarantined_rows_no_delete BEFORE DELETE ON quarantined_rows
BEGIN
	SELECT RAISE(ABORT, 'quarantined_rows is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER published_mappings_no_update BEFORE UPDATE ON published_mappings
BEGIN
	SELECT RAISE(ABORT, 'published_mappings is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER published_mappings_no_delete BEFORE DELETE ON published_mappings
BEGIN
	SELECT RAISE(ABORT, 'published_mappings is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER places_no_update BEFORE UPDATE ON places
BEGIN
	SELECT RAISE(ABORT, 'places is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER places_no_delete BEFORE DELETE ON places
BEGIN
	SELECT RAISE(ABORT, 'places is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER dated_memberships_no_update BEFORE UPDATE ON dated_memberships
BEGIN
	SELECT RAISE(ABORT, 'dated_memberships is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER dated_memberships_no_delete BEFORE DELETE ON dated_memberships
BEGIN
	SELECT RAISE(ABORT, 'dated_memberships is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER pcn_details_no_update BEFORE UPDATE ON pcn_details
BEGIN
	SELECT RAISE(ABORT, 'pcn_details is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER pcn_details_no_delete BEFORE DELETE ON pcn_details
BEGIN
	SELECT RAISE(ABORT, 'pcn_details is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER populations_no_update BEFORE UPDATE ON populations
BEGIN
	SELECT RAISE(ABORT, 'populations is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER populations_no_delete BEFORE DELETE ON populations
BEGIN
	SELECT RAISE(ABORT, 'populations is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER recorded_memberships_no_update BEFORE UPDATE ON recorded_memberships
BEGIN
	SELECT RAISE(ABORT, 'recorded_memberships is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER recorded_memberships_no_delete BEFORE DELETE ON recorded_memberships
BEGIN
	SELECT RAISE(ABORT, 'recorded_memberships is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER care_home_beds_no_update BEFORE UPDATE ON care_home_beds
BEGIN
	SELECT RAISE(ABORT, 'care_home_beds is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER care_home_beds_no_delete BEFORE DELETE ON care_home_beds
BEGIN
	SELECT RAISE(ABORT, 'care_home_beds is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER payees_no_update BEFORE UPDATE ON payees
BEGIN
	SELECT RAISE(ABORT, 'payees is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER payees_no_delete BEFORE DELETE ON payees
BEGIN
	SELECT RAISE(ABORT, 'payees is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER participations_no_update BEFORE UPDATE ON participations
BEGIN
	SELECT RAISE(ABORT, 'participations is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER participations_no_delete BEFORE DELETE ON participations
BEGIN
	SELECT RAISE(ABORT, 'participations is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER commissioners_no_update BEFORE UPDATE ON commissioners
BEGIN
	SELECT RAISE(ABORT, 'commissioners is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER commissioners_no_delete BEFORE DELETE ON commissioners
BEGIN
	SELECT RAISE(ABORT, 'commissioners is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sightings_no_update BEFORE UPDATE ON sightings
BEGIN
	SELECT RAISE(ABORT, 'sightings is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER sightings_no_delete BEFORE DELETE ON sightings
BEGIN
	SELECT RAISE(ABORT, 'sightings is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER snapshots_no_update BEFORE UPDATE ON snapshots
BEGIN
	SELECT RAISE(ABORT, 'snapshots is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER snapshots_no_delete BEFORE DELETE ON snapshots
BEGIN
	SELECT RAISE(ABORT, 'snapshots is append-only');
END;
-- +goose StatementEnd
