-- +goose Up
-- Estimates of what a PCN will leave of a pot.
CREATE TABLE unclaimed (
    unclaimed_id       TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    pot                TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL CHECK (amount_pence > 0),
    from_forecast      BOOLEAN NOT NULL,
    forecast_pence     BIGINT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    note               TEXT NOT NULL,
    estimated_by       TEXT NOT NULL,
    estimated_at       BIGINT NOT NULL,
    answered_by        TEXT NOT NULL DEFAULT '',
    answered_at        BIGINT NOT NULL DEFAULT 0,
    answer_reason      TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1,
    CHECK (answered_by <> estimated_by OR answered_by = '')
);
CREATE UNIQUE INDEX unclaimed_waits ON unclaimed (pcn_code, financial_year, pot) WHERE state = 1;
CREATE INDEX unclaimed_by_commissioner ON unclaimed (commissioner_code, financial_year, pot);

CREATE TABLE bids (
    bid_id             TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    pot                TEXT NOT NULL,
    asked_pence        BIGINT NOT NULL CHECK (asked_pence > 0),
    purpose            TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    awarded_pence      BIGINT NOT NULL DEFAULT 0 CHECK (awarded_pence BETWEEN 0 AND asked_pence),
    award_id           TEXT NOT NULL DEFAULT '',
    placed_by          TEXT NOT NULL,
    placed_at          BIGINT NOT NULL,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    decision_reason    TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1,
    CHECK (state NOT IN (3, 4) OR decided_by <> placed_by)
);
CREATE INDEX bids_by_commissioner ON bids (commissioner_code, financial_year, pot);
CREATE INDEX bids_by_pcn ON bids (pcn_code, bid_id);

CREATE TABLE awards (
    award_id           TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    pot                TEXT NOT NULL,
    available_pence    BIGINT NOT NULL,
    awarded_pence      BIGINT NOT NULL CHECK (awarded_pence >= 0),
    left_pence         BIGINT NOT NULL CHECK (left_pence >= 0),
    basis              BIGINT NOT NULL,
    reason             TEXT NOT NULL,
    awarded_on         TEXT NOT NULL,
    awarded_by         TEXT NOT NULL,
    awarded_at         BIGINT NOT NULL,
    CHECK (available_pence = awarded_pence + left_pence)
);
CREATE INDEX awards_by_commissioner ON awards (commissioner_code, financial_year, pot);

CREATE TABLE award_shares (
    award_id       TEXT NOT NULL REFERENCES awards (award_id),
    number         BIGINT NOT NULL,
    bid_id         TEXT NOT NULL UNIQUE REFERENCES bids (bid_id),
    pcn_code       TEXT NOT NULL,
    asked_pence    BIGINT NOT NULL,
    awarded_pence  BIGINT NOT NULL CHECK (awarded_pence BETWEEN 0 AND asked_pence),
    weight         TEXT NOT NULL,
    PRIMARY KEY (award_id, number)
);

-- Workforce plans of PCNs, version by version.
CREATE TABLE plans (
    plan_id            TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    location_code      TEXT NOT NULL,
    planned_in         TEXT NOT NULL,
    version            BIGINT NOT NULL CHECK (version >= 1),
    replaced           BOOLEAN NOT NULL DEFAULT FALSE,
    submitted_by       TEXT NOT NULL,
    submitted_at       BIGINT NOT NULL,
    agreed_on          TEXT NOT NULL DEFAULT '',
    agreed_by          TEXT NOT NULL DEFAULT '',
    withdrawal_reason  TEXT NOT NULL DEFAULT '',
    withdrawn_by       TEXT NOT NULL DEFAULT '',
    collated_on        TEXT NOT NULL DEFAULT '',
    collated_by        TEXT NOT NULL DEFAULT '',
    system_code        TEXT NOT NULL DEFAULT '',
    region_status      BIGINT NOT NULL DEFAULT 0,
    row_version        BIGINT NOT NULL DEFAULT 1,
    UNIQUE (pcn_code, planned_in, version)
);
CREATE UNIQUE INDEX plans_newest ON plans (pcn_code, planned_in) WHERE NOT replaced;
CREATE INDEX plans_by_commissioner ON plans (commissioner_code, planned_in);

CREATE TABLE plan_lines (
    line_id               TEXT PRIMARY KEY,
    plan_id               TEXT NOT NULL REFERENCES plans (plan_id),
    number                BIGINT NOT NULL,
    pcn_code              TEXT NOT NULL,
    financial_year        TEXT NOT NULL,
    role_code             TEXT NOT NULL,
    band                  TEXT NOT NULL,
    post                  TEXT NOT NULL,
    intention             TEXT NOT NULL CHECK (intention IN ('firm', 'indicative')),
    wte_in_post           TEXT NOT NULL,
    planned_wte           TEXT NOT NULL,
    start_month           TEXT NOT NULL,
    employer              TEXT NOT NULL,
    recruitment_model     TEXT NOT NULL,
    estimated_cost_pence  BIGINT NOT NULL CHECK (estimated_cost_pence >= 0),
    risks                 TEXT NOT NULL
);
CREATE INDEX plan_lines_by_plan ON plan_lines (plan_id, number);

CREATE TABLE system_plans (
    system_plan_id     TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    system_code        TEXT NOT NULL,
    planned_in         TEXT NOT NULL,
    version            BIGINT NOT NULL CHECK (version >= 1),
    items              BYTEA NOT NULL,
    submitted_by       TEXT NOT NULL,
    submitted_at       BIGINT NOT NULL,
    UNIQUE (commissioner_code, system_code, planned_in, version)
);

-- The published workforce. Its newest import of a month counts.
CREATE TABLE workforce_imports (
    import_id    TEXT PRIMARY KEY,
    position     BIGINT NOT NULL UNIQUE,
    month        TEXT NOT NULL,
    file_name    TEXT NOT NULL,
    source       TEXT NOT NULL,
    sha256       TEXT NOT NULL,
    row_count    BIGINT NOT NULL,
    pcn_count    BIGINT NOT NULL,
    wte          TEXT NOT NULL,
    warnings     TEXT NOT NULL,
    imported_by  TEXT NOT NULL,
    imported_at  BIGINT NOT NULL
);
CREATE INDEX workforce_imports_by_month ON workforce_imports (month, position);

-- Posts by PCN and published name of the role: the file's rows are single persons, and are not kept.
CREATE TABLE workforce (
    import_id            TEXT NOT NULL REFERENCES workforce_imports (import_id),
    number               BIGINT NOT NULL,
    pcn_code             TEXT NOT NULL,
    pcn_name             TEXT NOT NULL,
    location_code        TEXT NOT NULL,
    system_code          TEXT NOT NULL,
    staff_group          TEXT NOT NULL,
    staff_role           TEXT NOT NULL,
    detailed_staff_role  TEXT NOT NULL,
    posts                BIGINT NOT NULL,
    wte                  TEXT NOT NULL,
    PRIMARY KEY (import_id, number)
);
CREATE INDEX workforce_by_pcn ON workforce (import_id, pcn_code);
