-- +goose Up
-- Numbers, versions, indicators, overrides and payment runs: one table, since each is a dated figure with a source.
CREATE TABLE figures (
    figure_id          TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 5),
    financial_year     TEXT NOT NULL,
    -- What versions of a figure are versions of.
    subject            TEXT NOT NULL,
    body               BYTEA NOT NULL,
    source             TEXT NOT NULL CHECK (source <> ''),
    confidence         BIGINT NOT NULL CHECK (confidence BETWEEN 1 AND 5),
    known_from         TEXT NOT NULL,
    known_from_basis   TEXT NOT NULL,
    known_at           BIGINT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    note               TEXT NOT NULL,
    replaces_figure_id TEXT NOT NULL
);
CREATE INDEX figures_by_year ON figures (financial_year, kind, subject);

-- A setting takes its position among the figures: both govern results, and a result names the last that it knew.
CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    commissioner_code  TEXT NOT NULL,
    version_id         TEXT NOT NULL,
    name               TEXT NOT NULL,
    value              TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL
);

-- Files of counts and of field names, so that the same bytes have their effect once.
CREATE TABLE imports (
    import_id          TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    commissioner_code  TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    summary            BYTEA NOT NULL,
    imported_by        TEXT NOT NULL,
    imported_at        BIGINT NOT NULL,
    -- The last figure by which the file was read.
    figures_position   BIGINT NOT NULL
);
CREATE INDEX imports_by_file ON imports (commissioner_code, sha256);

-- Short names of the extract's fields, version by version.
CREATE TABLE field_names (
    financial_year     TEXT NOT NULL,
    code               TEXT NOT NULL,
    field_name         TEXT NOT NULL,
    position           BIGINT NOT NULL,
    short_name         TEXT NOT NULL,
    import_id          TEXT NOT NULL REFERENCES imports (import_id),
    PRIMARY KEY (financial_year, code, field_name, position)
);

-- Every version of the counts of an indicator of an organisation on a day; the one of the greatest position among those of England and
-- of a commissioner stands for it. A version is whole, whatever part of it a file brought, and has a position of its own.
CREATE TABLE counts (
    organisation_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    achieved_on        TEXT NOT NULL,
    indicator_code     TEXT NOT NULL,
    position           BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    source_id          TEXT NOT NULL,
    defaulted          BOOLEAN NOT NULL,
    -- 1 is yes and 2 no to a question; 0 is none, as for whatever is counted.
    answer             BIGINT NOT NULL,
    body               BYTEA NOT NULL,
    reason             TEXT NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    PRIMARY KEY (financial_year, achieved_on, organisation_code, indicator_code, position)
);
CREATE UNIQUE INDEX counts_by_position ON counts (position);
-- Answers stand beyond their day.
CREATE INDEX counts_answers ON counts (financial_year, achieved_on, organisation_code) WHERE answer <> 0;

-- Rows of a file on their way to counts: files come in any order, and counts are of whole indicators. One import at a time holds the
-- table, and leaves it empty.
CREATE TABLE import_cells (
    organisation_code  TEXT NOT NULL,
    achieved_on        TEXT NOT NULL,
    indicator_code     TEXT NOT NULL,
    measure            BIGINT NOT NULL,
    field              TEXT NOT NULL,
    -- -1 where the count is hidden.
    value              BIGINT NOT NULL,
    defaulted          BOOLEAN NOT NULL,
    line               BIGINT NOT NULL
);
CREATE INDEX import_cells_by_organisation ON import_cells (organisation_code);

-- What a year came to, and what it rests on: members, list, and the last figure and count it knew. Its working follows from those.
CREATE TABLE results (
    result_id          TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    basis              BYTEA NOT NULL,
    -- SHA-256 of all that the result says, so that the same again is known to be the same.
    digest             TEXT NOT NULL,
    due_pence          BIGINT NOT NULL CHECK (due_pence >= 0),
    whole              BOOLEAN NOT NULL,
    worked_by          TEXT NOT NULL,
    worked_at          BIGINT NOT NULL
);
CREATE INDEX results_by_pcn ON results (pcn_code, financial_year, result_id);

-- Where the years of PCNs stand.
CREATE TABLE achievements (
    pcn_code           TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    -- Body that owed the PCN's payments on the last day, as the result has it: what it enters counts for the year, whoever holds it.
    payer_code         TEXT NOT NULL DEFAULT '',
    pcn_name           TEXT NOT NULL,
    location_code      TEXT NOT NULL,
    state              BIGINT NOT NULL,
    course             BYTEA NOT NULL,
    result_id          TEXT NOT NULL REFERENCES results (result_id),
    payment_run_id     TEXT NOT NULL DEFAULT '',
    payment_month      TEXT NOT NULL DEFAULT '',
    schedule_id        TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL,
    PRIMARY KEY (pcn_code, financial_year)
);
CREATE INDEX achievements_by_commissioner ON achievements (commissioner_code, financial_year, pcn_code);
-- Approved years that wait for a close.
CREATE INDEX achievements_due ON achievements (commissioner_code, payment_month) WHERE payment_month <> '' AND schedule_id = '';

CREATE TABLE steps (
    pcn_code           TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    number             BIGINT NOT NULL,
    step               TEXT NOT NULL,
    taken_by           TEXT NOT NULL,
    taken_at           BIGINT NOT NULL,
    result_id          TEXT NOT NULL,
    state              BIGINT NOT NULL,
    cause              TEXT NOT NULL,
    words              TEXT NOT NULL,
    PRIMARY KEY (pcn_code, financial_year, number)
);

CREATE TABLE nominations (
    nomination_id      TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    person             TEXT NOT NULL,
    state              BIGINT NOT NULL,
    nominated_by       TEXT NOT NULL,
    nominated_at       BIGINT NOT NULL,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    reason             TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL
);
-- A person is nominated once at a time: those that wait and those that are approved.
CREATE UNIQUE INDEX nominations_of_person ON nominations (pcn_code, person) WHERE state IN (1, 2);
CREATE INDEX nominations_by_commissioner ON nominations (commissioner_code, nomination_id);

CREATE TABLE corrections (
    correction_id      TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    state              BIGINT NOT NULL,
    result_id          TEXT NOT NULL REFERENCES results (result_id),
    lines              BYTEA NOT NULL,
    amount_pence       BIGINT NOT NULL,
    reason             TEXT NOT NULL,
    proposed_by        TEXT NOT NULL,
    proposed_at        BIGINT NOT NULL,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    decision_reason    TEXT NOT NULL DEFAULT '',
    payment_month      TEXT NOT NULL DEFAULT '',
    schedule_id        TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL
);
-- One correction of a year waits at a time.
CREATE UNIQUE INDEX corrections_waiting ON corrections (pcn_code, financial_year) WHERE state = 1;
CREATE INDEX corrections_by_commissioner ON corrections (commissioner_code, correction_id);
CREATE INDEX corrections_due ON corrections (commissioner_code, payment_month) WHERE state = 2 AND schedule_id = '';

CREATE TABLE schedules (
    schedule_id            TEXT PRIMARY KEY,
    commissioner_code      TEXT NOT NULL,
    commissioner_name      TEXT NOT NULL,
    month                  TEXT NOT NULL,
    sequence               BIGINT NOT NULL CHECK (sequence >= 1),
    line_count             BIGINT NOT NULL,
    pay_total_pence        BIGINT NOT NULL,
    reconcile_total_pence  BIGINT NOT NULL,
    lines_sha256           TEXT NOT NULL,
    snapshot_id            TEXT NOT NULL,
    known_at               BIGINT NOT NULL,
    closed_by              TEXT NOT NULL,
    closed_at              BIGINT NOT NULL,
    event_ids              TEXT NOT NULL,
    UNIQUE (commissioner_code, month, sequence)
);
CREATE INDEX schedules_by_month ON schedules (month, commissioner_code);

CREATE TABLE lines (
    line_id            TEXT PRIMARY KEY,
    schedule_id        TEXT NOT NULL REFERENCES schedules (schedule_id),
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    -- Year and indicator that the line is of.
    financial_year     TEXT NOT NULL,
    indicator_code     TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    message            BYTEA NOT NULL,
    working            BYTEA NOT NULL
);
-- Lines that nobody can be paid, until a payee is recorded.
CREATE INDEX lines_without_payee ON lines (pcn_code) WHERE payee_code = '';
CREATE INDEX lines_by_schedule ON lines (schedule_id, line_id);
CREATE INDEX lines_by_pcn ON lines (pcn_code, month);
