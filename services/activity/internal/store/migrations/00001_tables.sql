-- +goose Up
-- Prices and market forces factors: one table, since each is a dated figure with a source.
CREATE TABLE figures (
    figure_id          TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 2),
    -- What versions of a figure are versions of.
    subject            TEXT NOT NULL,
    body               BYTEA NOT NULL,
    source             TEXT NOT NULL CHECK (source <> ''),
    confidence         BIGINT NOT NULL CHECK (confidence BETWEEN 1 AND 5),
    known_from         TEXT NOT NULL,
    known_from_basis   TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    note               TEXT NOT NULL,
    replaces_figure_id TEXT NOT NULL
);
CREATE INDEX figures_by_subject ON figures (kind, subject);

-- A setting takes its position among the figures: both decide what a report says.
CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    commissioner_code  TEXT NOT NULL,
    name               TEXT NOT NULL,
    subject            TEXT NOT NULL,
    value              TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL
);

-- Files of attendances.
CREATE TABLE imports (
    import_id          TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    -- england where the file is of all commissioners.
    commissioner_code  TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 2),
    file_name          TEXT NOT NULL,
    source             TEXT NOT NULL,
    extract_date       TEXT NOT NULL,
    row_count          BIGINT NOT NULL,
    attendances        BIGINT NOT NULL,
    imported_by        TEXT NOT NULL,
    imported_at        BIGINT NOT NULL
);
CREATE INDEX imports_by_file ON imports (commissioner_code, sha256);

-- What an import brought of a commissioner and a month. The one of the greatest number stands, and none is ever changed.
CREATE TABLE cuts (
    cut_id             TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    number             BIGINT NOT NULL CHECK (number >= 1),
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 2),
    import_id          TEXT NOT NULL REFERENCES imports (import_id),
    row_count          BIGINT NOT NULL,
    attendances        BIGINT NOT NULL,
    unknown_practice   BIGINT NOT NULL,
    reason             TEXT NOT NULL,
    UNIQUE (commissioner_code, month, number)
);
CREATE INDEX cuts_by_import ON cuts (import_id);

-- Rows of cuts: counts, never patients.
CREATE TABLE attendances (
    cut_position       BIGINT NOT NULL,
    line               BIGINT NOT NULL,
    provider_code      TEXT NOT NULL,
    site_code          TEXT NOT NULL,
    department_type    BIGINT NOT NULL,
    -- As the file has it; what it means is a setting.
    category           TEXT NOT NULL,
    -- Empty where the practice is not known.
    practice_code      TEXT NOT NULL,
    hrg_code           TEXT NOT NULL,
    attendances        BIGINT NOT NULL,
    -- Null where the file gives none.
    cost_pence         BIGINT,
    PRIMARY KEY (cut_position, line)
);

-- Versions of the report of a commissioner and a month.
CREATE TABLE reports (
    report_id          TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    version            BIGINT NOT NULL CHECK (version >= 1),
    cut_id             TEXT NOT NULL REFERENCES cuts (cut_id),
    -- SHA-256 of what the report says and rests on, so that the same again is known to be the same.
    digest             TEXT NOT NULL,
    -- The report without its rows.
    body               BYTEA NOT NULL,
    known_at           BIGINT NOT NULL,
    generated_at       BIGINT NOT NULL,
    generated_by       TEXT NOT NULL,
    event_id           TEXT NOT NULL,
    UNIQUE (commissioner_code, month, version)
);

-- Rows of reports, by practice.
CREATE TABLE report_rows (
    report_id          TEXT NOT NULL REFERENCES reports (report_id),
    number             BIGINT NOT NULL,
    pcn_code           TEXT NOT NULL,
    practice_code      TEXT NOT NULL,
    department_type    BIGINT NOT NULL,
    category           BIGINT NOT NULL,
    hrg_code           TEXT NOT NULL,
    attendances        BIGINT NOT NULL,
    uncosted           BIGINT NOT NULL,
    costed_pence       BIGINT NOT NULL,
    -- One bit for each basis of cost.
    bases              BIGINT NOT NULL,
    -- What is missing for a cost, by its number in the report, with the attendances that lack it.
    missing            TEXT NOT NULL,
    -- Registered patients of the practice; null where not known.
    registered_list    BIGINT,
    PRIMARY KEY (report_id, number)
);
CREATE INDEX report_rows_by_pcn ON report_rows (report_id, pcn_code);

-- Which version a PCN was given, and when.
CREATE TABLE publications (
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    version            BIGINT NOT NULL,
    report_id          TEXT NOT NULL REFERENCES reports (report_id),
    -- SHA-256 of the PCN's rows as CSV.
    sha256             TEXT NOT NULL,
    published_at       BIGINT NOT NULL,
    published_by       TEXT NOT NULL,
    event_id           TEXT NOT NULL,
    PRIMARY KEY (commissioner_code, month, pcn_code, version)
);
CREATE INDEX publications_by_pcn ON publications (pcn_code, month);
CREATE INDEX publications_by_report ON publications (report_id);

-- Proof that somebody of a PCN got a version.
CREATE TABLE receipts (
    report_id          TEXT NOT NULL REFERENCES reports (report_id),
    pcn_code           TEXT NOT NULL,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 2),
    person             TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    received_at        BIGINT NOT NULL,
    PRIMARY KEY (report_id, pcn_code, kind, person)
);
