-- +goose Up
CREATE TABLE rates (
    rate_id            TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    payment_code       TEXT NOT NULL,
    component          TEXT NOT NULL,
    name               TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL CHECK (to_month >= from_month),
    rate_gbp           TEXT NOT NULL,
    monthly_rate_gbp   TEXT NOT NULL,
    unit               BIGINT NOT NULL,
    timing             BIGINT NOT NULL,
    first_paid_month   TEXT NOT NULL,
    population_date    TEXT NOT NULL,
    paid_to_practice   BOOLEAN NOT NULL,
    funding_source     TEXT NOT NULL,
    source             TEXT NOT NULL CHECK (source <> ''),
    version            TEXT NOT NULL,
    confidence         BIGINT NOT NULL CHECK (confidence BETWEEN 1 AND 5),
    known_from         TEXT NOT NULL,
    known_from_basis   TEXT NOT NULL,
    known_at           BIGINT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    note               TEXT NOT NULL,
    replaces_rate_id   TEXT NOT NULL,
    CHECK (rate_gbp <> '' OR confidence = 5)
);
CREATE INDEX rates_by_payment ON rates (payment_code, component, from_month);

CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    name               TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    value              TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL
);
CREATE INDEX settings_by_commissioner ON settings (commissioner_code, name);

CREATE TABLE withholdings (
    withholding_id     TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL,
    reason             TEXT NOT NULL,
    withheld_by        TEXT NOT NULL,
    withheld_at        BIGINT NOT NULL,
    released_by        TEXT NOT NULL DEFAULT '',
    released_at        BIGINT NOT NULL DEFAULT 0,
    release_reason     TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX withholdings_by_commissioner ON withholdings (commissioner_code, withheld_at);
CREATE INDEX withholdings_by_pcn ON withholdings (pcn_code);

CREATE TABLE declarations (
    declaration_id     TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    month              TEXT NOT NULL,
    period_from        TEXT NOT NULL,
    share              TEXT NOT NULL,
    evidence           TEXT NOT NULL,
    state              BIGINT NOT NULL,
    declared_by        TEXT NOT NULL,
    declared_at        BIGINT NOT NULL,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    decision_reason    TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1,
    CHECK (decided_by <> declared_by OR decided_by = '')
);
CREATE INDEX declarations_by_commissioner ON declarations (commissioner_code, declared_at);
CREATE UNIQUE INDEX declarations_once ON declarations (pcn_code, payment_code, period_from) WHERE state <> 3;
CREATE INDEX declarations_by_pcn ON declarations (pcn_code, state);

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
    practices              BIGINT NOT NULL,
    registered_patients    BIGINT NOT NULL,
    waiting                BYTEA NOT NULL,
    event_ids              TEXT NOT NULL,
    UNIQUE (commissioner_code, month, sequence)
);
CREATE INDEX schedules_by_month ON schedules (month, commissioner_code);

CREATE TABLE lines (
    line_id            TEXT PRIMARY KEY,
    schedule_id        TEXT NOT NULL REFERENCES schedules (schedule_id),
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    sequence           BIGINT NOT NULL,
    for_month          TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    pcn_name           TEXT NOT NULL,
    practice_code      TEXT NOT NULL,
    item               TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    payee_name         TEXT NOT NULL,
    location_code      TEXT NOT NULL,
    funding_source     TEXT NOT NULL,
    instruction        BIGINT NOT NULL CHECK (instruction IN (1, 2)),
    amount_pence       BIGINT NOT NULL CHECK (amount_pence <> 0),
    adjusts_line_id    TEXT NOT NULL,
    adjustment_cause   BIGINT NOT NULL,
    confidence         BIGINT NOT NULL,
    holds              TEXT NOT NULL,
    working            BYTEA NOT NULL
);
CREATE INDEX lines_by_schedule ON lines (schedule_id, line_id);
CREATE INDEX lines_by_commissioner ON lines (commissioner_code, for_month);
CREATE INDEX lines_by_pcn ON lines (pcn_code, month);
-- Few lines are for an earlier month than their schedule's, and every close asks for those.
CREATE INDEX lines_for_earlier_months ON lines (month, commissioner_code, for_month, schedule_id) WHERE for_month < month;
