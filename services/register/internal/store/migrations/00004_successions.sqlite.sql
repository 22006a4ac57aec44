-- +goose Up

-- Who takes over what a commissioner owes. No day: nobody does. No locations: all of it passes.
CREATE TABLE successions (
	load_position    BIGINT NOT NULL PRIMARY KEY REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	predecessor_code TEXT   NOT NULL,
	successor_code   TEXT   NOT NULL,
	effective_date   TEXT   NOT NULL,
	location_codes   TEXT   NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER successions_no_update BEFORE UPDATE ON successions
BEGIN
	SELECT RAISE(ABORT, 'successions is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER successions_no_delete BEFORE DELETE ON successions
BEGIN
	SELECT RAISE(ABORT, 'successions is append-only');
END;
-- +goose StatementEnd
