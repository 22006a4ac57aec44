-- +goose Up

-- Versions of the service requirements, in the order in which they became known. An empty commissioner is all of England; an empty day
-- is not known.
CREATE TABLE requirement_versions (
	position          BIGINT  PRIMARY KEY,
	requirement_id    TEXT    NOT NULL,
	financial_year    TEXT    NOT NULL,
	name              TEXT    NOT NULL,
	phase             TEXT    NOT NULL,
	focus_area        TEXT    NOT NULL,
	start_date        TEXT    NOT NULL,
	due_date          TEXT    NOT NULL,
	other_due_date    TEXT    NOT NULL,
	end_date          TEXT    NOT NULL,
	put_off           BOOLEAN NOT NULL,
	evidence_type     TEXT    NOT NULL,
	hold_clause       TEXT    NOT NULL,
	source            TEXT    NOT NULL,
	confidence        BIGINT  NOT NULL,
	note              TEXT    NOT NULL,
	commissioner_code TEXT    NOT NULL,
	taken_back        BOOLEAN NOT NULL,
	known_from        BIGINT  NOT NULL,
	recorded_by       TEXT    NOT NULL,
	reason            TEXT    NOT NULL
);
CREATE INDEX requirement_versions_of_one ON requirement_versions (requirement_id, position);
CREATE INDEX requirement_versions_of_a_year ON requirement_versions (financial_year, position);

-- What was done about a requirement at a PCN. Whoever leads the PCN later goes on with the same history.
CREATE TABLE requirement_steps (
	requirement_id     TEXT   NOT NULL,
	pcn_code           TEXT   NOT NULL,
	number             BIGINT NOT NULL,
	kind               TEXT   NOT NULL,
	planned_date       TEXT   NOT NULL,
	met_date           TEXT   NOT NULL,
	evidence_type      TEXT   NOT NULL,
	evidence_reference TEXT   NOT NULL,
	reason             TEXT   NOT NULL,
	commissioner_code  TEXT   NOT NULL,
	recorded_by        TEXT   NOT NULL,
	recorded_at        BIGINT NOT NULL,
	PRIMARY KEY (requirement_id, pcn_code, number)
);

-- Items of the planning calendar, each change a row.
CREATE TABLE calendar_changes (
	item_id           TEXT    NOT NULL,
	number            BIGINT  NOT NULL,
	title             TEXT    NOT NULL,
	owner_level       TEXT    NOT NULL,
	owner_code        TEXT    NOT NULL,
	commissioner_code TEXT    NOT NULL,
	due_date          TEXT    NOT NULL,
	window_start      TEXT    NOT NULL,
	window_end        TEXT    NOT NULL,
	working_day_rule  TEXT    NOT NULL,
	evidence          TEXT    NOT NULL,
	state             TEXT    NOT NULL,
	completed_date    TEXT    NOT NULL,
	linked_record     TEXT    NOT NULL,
	source            TEXT    NOT NULL,
	confidence        BIGINT  NOT NULL,
	reason            TEXT    NOT NULL,
	recorded_by       TEXT    NOT NULL,
	recorded_at       BIGINT  NOT NULL,
	PRIMARY KEY (item_id, number)
);
CREATE INDEX calendar_changes_commissioner ON calendar_changes (commissioner_code);

-- Reminders that were sent. The subject is an item or a requirement; PCN is empty for an item. A day that moves is reminded of again.
CREATE TABLE reminders (
	subject  TEXT   NOT NULL,
	pcn_code TEXT   NOT NULL,
	due_date TEXT   NOT NULL,
	moment   TEXT   NOT NULL,
	sent_at  BIGINT NOT NULL,
	PRIMARY KEY (subject, due_date, moment, pcn_code)
);

-- Editions of the program's own requirements and calendar that were taken in.
CREATE TABLE tracker_editions (
	sha256   TEXT   PRIMARY KEY,
	taken_at BIGINT NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER requirement_versions_no_update BEFORE UPDATE ON requirement_versions
BEGIN
	SELECT RAISE(ABORT, 'requirement_versions is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER requirement_versions_no_delete BEFORE DELETE ON requirement_versions
BEGIN
	SELECT RAISE(ABORT, 'requirement_versions is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER requirement_steps_no_update BEFORE UPDATE ON requirement_steps
BEGIN
	SELECT RAISE(ABORT, 'requirement_steps is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER requirement_steps_no_delete BEFORE DELETE ON requirement_steps
BEGIN
	SELECT RAISE(ABORT, 'requirement_steps is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER calendar_changes_no_update BEFORE UPDATE ON calendar_changes
BEGIN
	SELECT RAISE(ABORT, 'calendar_changes is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER calendar_changes_no_delete BEFORE DELETE ON calendar_changes
BEGIN
	SELECT RAISE(ABORT, 'calendar_changes is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER reminders_no_update BEFORE UPDATE ON reminders
BEGIN
	SELECT RAISE(ABORT, 'reminders is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER reminders_no_delete BEFORE DELETE ON reminders
BEGIN
	SELECT RAISE(ABORT, 'reminders is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tracker_editions_no_update BEFORE UPDATE ON tracker_editions
BEGIN
	SELECT RAISE(ABORT, 'tracker_editions is append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER tracker_editions_no_delete BEFORE DELETE ON tracker_editions
BEGIN
	SELECT RAISE(ABORT, 'tracker_editions is append-only');
END;
-- +goose StatementEnd
