-- +goose Up

-- Who takes over what a commissioner owes. No day: nobody does. No locations: all of it passes.
CREATE TABLE successions (
	load_position    BIGINT NOT NULL PRIMARY KEY REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	predecessor_code TEXT   NOT NULL,
	successor_code   TEXT   NOT NULL,
	effective_date   TEXT   NOT NULL,
	location_codes   TEXT   NOT NULL
);

CREATE TRIGGER successions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON successions
	FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
