-- +goose Up
-- What each level of the hierarchy holds. The sums stand beside the versions they follow from, so that the bound is the database's own.
CREATE TABLE allocations (
    allocation_id        TEXT PRIMARY KEY,
    financial_year       TEXT NOT NULL,
    fund_code            TEXT NOT NULL,
    level                BIGINT NOT NULL CHECK (level BETWEEN 1 AND 6),
    holder_code          TEXT NOT NULL CHECK (holder_code <> ''),
    holder_name          TEXT NOT NULL,
    commissioner_code    TEXT NOT NULL,
    purpose              BIGINT NOT NULL CHECK (purpose BETWEEN 1 AND 5),
    parent_allocation_id TEXT NOT NULL,
    -- Empty where the amount was given and no decision made it.
    decision_id          TEXT NOT NULL,
    combined             BOOLEAN NOT NULL,
    planned_pence        BIGINT CHECK (planned_pence >= 0),
    -- Confirmed amounts only.
    released_pence       BIGINT CHECK (released_pence >= 0),
    pcn_share_pence      BIGINT CHECK (pcn_share_pence >= 0),
    shared_pence         BIGINT NOT NULL CHECK (shared_pence >= 0),
    committed_pence      BIGINT NOT NULL CHECK (committed_pence >= 0),
    version              BIGINT NOT NULL,
    UNIQUE (parent_allocation_id, financial_year, fund_code, level, holder_code, purpose),
    -- Nobody gives on or commits more than was released to them, and not more than the share for PCN development where one is set. What a
    -- fund mixes may be given on as it is; committed is only what is for PCN development.
    CHECK (shared_pence + committed_pence <= COALESCE(pcn_share_pence, released_pence, 0)),
    CHECK (committed_pence = 0 OR NOT combined OR pcn_share_pence IS NOT NULL),
    CHECK (pcn_share_pence IS NULL OR pcn_share_pence <= COALESCE(released_pence, 0))
);
CREATE INDEX allocations_by_commissioner ON allocations (commissioner_code, financial_year, allocation_id);
CREATE INDEX allocations_by_holder ON allocations (holder_code, financial_year);

CREATE TABLE allocation_versions (
    allocation_id      TEXT NOT NULL REFERENCES allocations (allocation_id),
    version            BIGINT NOT NULL CHECK (version >= 1),
    basis              BIGINT NOT NULL CHECK (basis BETWEEN 1 AND 3),
    -- Null while the amount is not known.
    amount_pence       BIGINT CHECK (amount_pence >= 0),
    source             TEXT NOT NULL CHECK (source <> ''),
    confidence         BIGINT NOT NULL CHECK (confidence BETWEEN 1 AND 5),
    known_from         TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    PRIMARY KEY (allocation_id, version)
);

-- How allocations were shared: the request as it was decided and the outcome with its workings, so that it can be replayed.
CREATE TABLE decisions (
    decision_id        TEXT PRIMARY KEY,
    allocation_id      TEXT NOT NULL REFERENCES allocations (allocation_id),
    financial_year     TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    decision           BYTEA NOT NULL,
    -- Empty while it stands.
    replaced_by        TEXT NOT NULL DEFAULT '',
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL
);
-- One decision on an allocation stands at a time.
CREATE UNIQUE INDEX decisions_standing ON decisions (allocation_id) WHERE replaced_by = '';
CREATE INDEX decisions_by_commissioner ON decisions (commissioner_code, financial_year, decision_id);

CREATE TABLE plans (
    plan_id            TEXT PRIMARY KEY,
    financial_year     TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    allocation_id      TEXT NOT NULL REFERENCES allocations (allocation_id),
    newest_version     BIGINT NOT NULL CHECK (newest_version >= 1),
    -- Version that is committed; 0 before the first approval.
    approved_version   BIGINT NOT NULL CHECK (approved_version BETWEEN 0 AND newest_version),
    -- Counts changes, for the tag.
    version            BIGINT NOT NULL
);
CREATE INDEX plans_by_commissioner ON plans (commissioner_code, financial_year, plan_id);

CREATE TABLE plan_versions (
    plan_id            TEXT NOT NULL REFERENCES plans (plan_id),
    number             BIGINT NOT NULL CHECK (number >= 1),
    state              BIGINT NOT NULL,
    header             BYTEA NOT NULL,
    planned_pence      BIGINT NOT NULL CHECK (planned_pence >= 0),
    author             TEXT NOT NULL,
    -- Empty before it is approved.
    approval           BYTEA,
    drafted_at         BIGINT NOT NULL,
    PRIMARY KEY (plan_id, number)
);

-- PCNs that a version covers.
CREATE TABLE plan_pcns (
    plan_id            TEXT NOT NULL,
    number             BIGINT NOT NULL,
    pcn_code           TEXT NOT NULL,
    PRIMARY KEY (plan_id, number, pcn_code),
    FOREIGN KEY (plan_id, number) REFERENCES plan_versions (plan_id, number)
);
CREATE INDEX plan_pcns_by_pcn ON plan_pcns (pcn_code, plan_id);

CREATE TABLE plan_lines (
    plan_id            TEXT NOT NULL,
    number             BIGINT NOT NULL,
    line_id            TEXT NOT NULL,
    -- Place among the lines, as their author put them.
    position           BIGINT NOT NULL,
    allocation_id      TEXT NOT NULL REFERENCES allocations (allocation_id),
    level              BIGINT NOT NULL,
    domain             BIGINT NOT NULL,
    payee              BIGINT NOT NULL,
    amount_pence       BIGINT NOT NULL CHECK (amount_pence >= 0),
    -- The line as its author wrote it.
    message            BYTEA NOT NULL,
    PRIMARY KEY (plan_id, number, line_id),
    FOREIGN KEY (plan_id, number) REFERENCES plan_versions (plan_id, number)
);
CREATE INDEX plan_lines_by_allocation ON plan_lines (allocation_id);

-- What approved versions pay PCNs, month by month. What schedules hold of it is told by their lines.
CREATE TABLE tranches (
    plan_id            TEXT NOT NULL,
    number             BIGINT NOT NULL,
    line_id            TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    month              TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL CHECK (amount_pence >= 0),
    PRIMARY KEY (plan_id, number, line_id, pcn_code, month),
    FOREIGN KEY (plan_id, number, line_id) REFERENCES plan_lines (plan_id, number, line_id)
);
CREATE INDEX tranches_by_pcn ON tranches (pcn_code, month);

-- Agreements of clinical directors and their withdrawals; the newest of a version and PCN stands.
CREATE TABLE agreements (
    plan_id            TEXT NOT NULL,
    number             BIGINT NOT NULL,
    pcn_code           TEXT NOT NULL,
    position           BIGINT NOT NULL,
    director           TEXT NOT NULL,
    deputy             BOOLEAN NOT NULL,
    agreed_on          TEXT NOT NULL,
    evidence_reference TEXT NOT NULL,
    withdrawn          BOOLEAN NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    PRIMARY KEY (plan_id, number, pcn_code, position),
    FOREIGN KEY (plan_id, number) REFERENCES plan_versions (plan_id, number)
);

CREATE TABLE assessments (
    pcn_code           TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    position           BIGINT NOT NULL,
    message            BYTEA NOT NULL,
    PRIMARY KEY (pcn_code, financial_year, position)
);

CREATE TABLE plan_steps (
    plan_id            TEXT NOT NULL REFERENCES plans (plan_id),
    position           BIGINT NOT NULL,
    step               TEXT NOT NULL,
    number             BIGINT NOT NULL,
    state              BIGINT NOT NULL,
    taken_by           TEXT NOT NULL,
    taken_at           BIGINT NOT NULL,
    words              TEXT NOT NULL,
    PRIMARY KEY (plan_id, position)
);

CREATE TABLE reviews (
    plan_id            TEXT NOT NULL REFERENCES plans (plan_id),
    position           BIGINT NOT NULL,
    message            BYTEA NOT NULL,
    PRIMARY KEY (plan_id, position)
);

-- Interests of persons in PCNs: whoever has one approves no payment to it.
CREATE TABLE interests (
    interest_id        TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    person             TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    nature             TEXT NOT NULL,
    from_date          TEXT NOT NULL,
    to_date            TEXT NOT NULL DEFAULT '',
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL
);
CREATE INDEX interests_by_person ON interests (person, pcn_code);
CREATE INDEX interests_by_commissioner ON interests (commissioner_code, interest_id);

-- Spend to date and forecast, line by line and month by month; the newest of a line and month stands.
CREATE TABLE spend_reports (
    report_id            TEXT PRIMARY KEY,
    plan_id              TEXT NOT NULL REFERENCES plans (plan_id),
    line_id              TEXT NOT NULL,
    commissioner_code    TEXT NOT NULL,
    financial_year       TEXT NOT NULL,
    month                TEXT NOT NULL,
    position             BIGINT NOT NULL,
    spent_to_date_pence  BIGINT NOT NULL CHECK (spent_to_date_pence >= 0),
    forecast_pence       BIGINT NOT NULL CHECK (forecast_pence >= 0),
    note                 TEXT NOT NULL,
    recorded_by          TEXT NOT NULL,
    recorded_at          BIGINT NOT NULL,
    UNIQUE (plan_id, line_id, month, position)
);
CREATE INDEX spend_by_commissioner ON spend_reports (commissioner_code, financial_year, report_id);

CREATE TABLE treatments (
    treatment_id       TEXT PRIMARY KEY,
    plan_id            TEXT NOT NULL REFERENCES plans (plan_id),
    line_id            TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    policy             BIGINT NOT NULL CHECK (policy BETWEEN 2 AND 3),
    amount_pence       BIGINT NOT NULL CHECK (amount_pence > 0),
    reason             TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    proposed_by        TEXT NOT NULL,
    proposed_at        BIGINT NOT NULL,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    decision_reason    TEXT NOT NULL DEFAULT '',
    allocation_id      TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL,
    CHECK (state = 1 OR decided_by <> proposed_by)
);
-- One treatment of a line waits at a time.
CREATE UNIQUE INDEX treatments_waiting ON treatments (plan_id, line_id) WHERE state = 1;
CREATE INDEX treatments_by_commissioner ON treatments (commissioner_code, financial_year, treatment_id);

-- What approved treatments take back from PCNs, split as the line paid them.
CREATE TABLE recoveries (
    treatment_id       TEXT NOT NULL REFERENCES treatments (treatment_id),
    plan_id            TEXT NOT NULL,
    line_id            TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    -- Month the money was for: March of the year.
    month              TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL CHECK (amount_pence > 0),
    PRIMARY KEY (treatment_id, pcn_code)
);

CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    commissioner_code  TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    name               TEXT NOT NULL,
    value              TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL
);

-- Published practice weights, for the check and forecast of unmet need only.
CREATE TABLE need_imports (
    import_id          TEXT PRIMARY KEY,
    financial_year     TEXT NOT NULL,
    position           BIGINT NOT NULL,
    sha256             TEXT NOT NULL,
    summary            BYTEA NOT NULL,
    imported_by        TEXT NOT NULL,
    imported_at        BIGINT NOT NULL,
    UNIQUE (financial_year, position),
    UNIQUE (financial_year, sha256)
);

-- Exact decimals as they are published.
CREATE TABLE need_weights (
    import_id            TEXT NOT NULL REFERENCES need_imports (import_id),
    practice_code        TEXT NOT NULL,
    population           TEXT NOT NULL,
    primary_medical_care TEXT NOT NULL,
    health_inequality    TEXT NOT NULL,
    final_weighted       TEXT NOT NULL,
    PRIMARY KEY (import_id, practice_code)
);

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
    -- Plan, line and month that the line is of.
    plan_id            TEXT NOT NULL,
    plan_line_id       TEXT NOT NULL,
    for_month          TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL,
    payee_code         TEXT NOT NULL,
    message            BYTEA NOT NULL,
    working            BYTEA NOT NULL
);
-- Lines that nobody can be paid, until a payee is recorded.
CREATE INDEX lines_without_payee ON lines (pcn_code) WHERE payee_code = '';
CREATE INDEX lines_by_schedule ON lines (schedule_id, line_id);
-- With the amount, so that a close adds up what is scheduled without reading the lines.
CREATE INDEX lines_by_plan ON lines (plan_id, plan_line_id, pcn_code, for_month, amount_pence);
CREATE INDEX lines_by_pcn ON lines (pcn_code, month);
