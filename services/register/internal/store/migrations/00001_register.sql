-- +goose Up

-- One version of reference data each. Position orders loads by the moment they became known; facts point at it, and are written
-- before it, so that known_from is as late as it can be. An empty commissioner_code means that the load is for all of England.
CREATE TABLE loads (
	position           BIGINT  PRIMARY KEY,
	load_id            TEXT    NOT NULL UNIQUE,
	kind               TEXT    NOT NULL,
	source             TEXT    NOT NULL,
	file_name          TEXT    NOT NULL,
	extract_date       TEXT    NOT NULL,
	sha256             TEXT    NOT NULL,
	rows_read          BIGINT  NOT NULL,
	rows_stored        BIGINT  NOT NULL,
	rows_quarantined   BIGINT  NOT NULL,
	rows_passed_over   TEXT    NOT NULL,
	warnings           TEXT    NOT NULL,
	known_from         BIGINT  NOT NULL,
	loaded_by          TEXT    NOT NULL,
	applied_from_month TEXT    NOT NULL,
	maps               BOOLEAN NOT NULL,
	locates            BOOLEAN NOT NULL,
	commissioner_code  TEXT    NOT NULL
);
CREATE INDEX loads_content ON loads (kind, sha256);
CREATE INDEX loads_of_a_day ON loads (kind, extract_date, position);
CREATE UNIQUE INDEX loads_known_from ON loads (known_from);

CREATE TABLE quarantined_rows (
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	number        BIGINT NOT NULL,
	line          BIGINT NOT NULL,
	column_name   TEXT   NOT NULL,
	value         TEXT   NOT NULL,
	reason        TEXT   NOT NULL,
	detail        TEXT   NOT NULL,
	PRIMARY KEY (load_position, number)
);

-- An empty pcn_code means in no PCN; an empty location_code or system_code means that the publication does not say.
CREATE TABLE published_mappings (
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	practice_code TEXT   NOT NULL,
	practice_name TEXT   NOT NULL,
	pcn_code      TEXT   NOT NULL,
	pcn_name      TEXT   NOT NULL,
	location_code TEXT   NOT NULL,
	system_code   TEXT   NOT NULL,
	region_code   TEXT   NOT NULL,
	PRIMARY KEY (load_position, practice_code)
);
CREATE INDEX published_mappings_practice ON published_mappings (practice_code);

-- Where each location lay and what the bodies were called, as a published mapping showed it.
CREATE TABLE places (
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	location_code TEXT   NOT NULL,
	location_name TEXT   NOT NULL,
	system_code   TEXT   NOT NULL,
	system_name   TEXT   NOT NULL,
	region_code   TEXT   NOT NULL,
	region_name   TEXT   NOT NULL,
	PRIMARY KEY (load_position, location_code, system_code, region_code)
);

CREATE TABLE dated_memberships (
	load_position          BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	practice_code          TEXT   NOT NULL,
	practice_name          TEXT   NOT NULL,
	practice_location_code TEXT   NOT NULL,
	practice_location_name TEXT   NOT NULL,
	pcn_code               TEXT   NOT NULL,
	pcn_name               TEXT   NOT NULL,
	pcn_location_code      TEXT   NOT NULL,
	pcn_location_name      TEXT   NOT NULL,
	starts                 TEXT   NOT NULL,
	ends                   TEXT   NOT NULL,
	PRIMARY KEY (load_position, practice_code, pcn_code, starts)
);

CREATE TABLE pcn_details (
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	pcn_code      TEXT   NOT NULL,
	name          TEXT   NOT NULL,
	location_code TEXT   NOT NULL,
	location_name TEXT   NOT NULL,
	opened        TEXT   NOT NULL,
	closed        TEXT   NOT NULL,
	PRIMARY KEY (load_position, pcn_code)
);

CREATE TABLE populations (
	load_position      BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	organisation_code  TEXT   NOT NULL,
	kind               TEXT   NOT NULL,
	reference_date     TEXT   NOT NULL,
	value              TEXT   NOT NULL,
	applied_from_month TEXT   NOT NULL,
	PRIMARY KEY (load_position, organisation_code, kind, reference_date)
);
CREATE INDEX populations_reference ON populations (reference_date, load_position);

CREATE TABLE recorded_memberships (
	load_position BIGINT NOT NULL PRIMARY KEY REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	practice_code TEXT   NOT NULL,
	pcn_code      TEXT   NOT NULL,
	starts        TEXT   NOT NULL,
	ends          TEXT   NOT NULL
);

CREATE TABLE care_home_beds (
	load_position    BIGINT  NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	pcn_code         TEXT    NOT NULL,
	month            TEXT    NOT NULL,
	beds             BIGINT  NOT NULL,
	coding_satisfied BOOLEAN NOT NULL,
	PRIMARY KEY (load_position, pcn_code, month)
);

CREATE TABLE payees (
	load_position     BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	organisation_code TEXT   NOT NULL,
	payee_code        TEXT   NOT NULL,
	payee_name        TEXT   NOT NULL,
	effective_from    TEXT   NOT NULL,
	PRIMARY KEY (load_position, organisation_code, effective_from)
);

CREATE TABLE participations (
	load_position  BIGINT  NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	practice_code  TEXT    NOT NULL,
	participating  BOOLEAN NOT NULL,
	notice_date    TEXT    NOT NULL,
	effective_from TEXT    NOT NULL,
	PRIMARY KEY (load_position, practice_code, effective_from)
);

CREATE TABLE commissioners (
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	code          TEXT   NOT NULL,
	name          TEXT   NOT NULL,
	kind          TEXT   NOT NULL,
	region_code   TEXT   NOT NULL,
	system_code   TEXT   NOT NULL,
	opened        TEXT   NOT NULL,
	closed        TEXT   NOT NULL,
	PRIMARY KEY (load_position, code, opened)
);

-- The names under which organisations were seen: one row whenever a load shows a code first or under another name.
CREATE TABLE sightings (
	kind          TEXT   NOT NULL,
	code          TEXT   NOT NULL,
	name          TEXT   NOT NULL,
	seen_on       TEXT   NOT NULL,
	load_position BIGINT NOT NULL REFERENCES loads (position) DEFERRABLE INITIALLY DEFERRED,
	PRIMARY KEY (kind, code, seen_on, load_position)
);

-- Pictures as they were given out; the identifier is a hash of the content.
CREATE TABLE snapshots (
	snapshot_id               TEXT   PRIMARY KEY,
	commissioner_code         TEXT   NOT NULL,
	membership_date           TEXT   NOT NULL,
	population_reference_date TEXT   NOT NULL,
	known_at                  BIGINT NOT NULL,
	content                   BYTEA  NOT NULL
);
