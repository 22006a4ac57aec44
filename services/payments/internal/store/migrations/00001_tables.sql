-- +goose Up
CREATE TABLE schedules (
    schedule_id        TEXT PRIMARY KEY,
    fund               BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    sequence           BIGINT NOT NULL,
    lines_sha256       TEXT NOT NULL,
    header             BYTEA NOT NULL,
    event_id           TEXT NOT NULL,
    received_at        BIGINT NOT NULL,
    UNIQUE (fund, commissioner_code, month, sequence)
);
CREATE INDEX schedules_by_commissioner ON schedules (commissioner_code, month);

-- Parts of a schedule that has not come whole yet.
CREATE TABLE schedule_parts (
    schedule_id  TEXT NOT NULL,
    part         BIGINT NOT NULL,
    event_id     TEXT NOT NULL,
    payload      BYTEA NOT NULL,
    PRIMARY KEY (schedule_id, part)
);

CREATE TABLE lines (
    line_id            TEXT PRIMARY KEY,
    schedule_id        TEXT NOT NULL REFERENCES schedules (schedule_id),
    fund               BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    for_month          TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    practice_code      TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    instruction        BIGINT NOT NULL CHECK (instruction IN (1, 2)),
    amount_pence       BIGINT NOT NULL CHECK (amount_pence <> 0),
    message            BYTEA NOT NULL
);
CREATE INDEX lines_by_schedule ON lines (schedule_id, line_id);
CREATE INDEX lines_by_commissioner ON lines (commissioner_code, month);
CREATE INDEX lines_by_pcn ON lines (pcn_code, month);

-- Where the amount of each line to pay stands. The ledger is the record; this says what may happen to it next.
CREATE TABLE items (
    line_id            TEXT PRIMARY KEY REFERENCES lines (line_id),
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    location_code      TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 7),
    run_id             TEXT NOT NULL DEFAULT '',
    payment_id         TEXT NOT NULL DEFAULT ''
);
CREATE INDEX items_by_commissioner ON items (commissioner_code, run_id, month);
CREATE INDEX items_by_run ON items (run_id, payee_code);

CREATE TABLE entitlements (
    month              TEXT NOT NULL,
    schedule_id        TEXT NOT NULL,
    fund               BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    pcn_code           TEXT NOT NULL,
    practice_code      TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL,
    instalments        BIGINT NOT NULL,
    amount_pence       BIGINT NOT NULL,
    confidence         BIGINT NOT NULL,
    stated_at          BIGINT NOT NULL,
    event_id           TEXT NOT NULL,
    PRIMARY KEY (pcn_code, practice_code, fund, payment_code, from_month, to_month, stated_at, event_id)
);
CREATE INDEX entitlements_by_commissioner ON entitlements (commissioner_code, fund, month, stated_at);

CREATE TABLE runs (
    run_id             TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    commissioner_name  TEXT NOT NULL,
    month              TEXT NOT NULL,
    number             BIGINT NOT NULL CHECK (number >= 1),
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 7),
    version            BIGINT NOT NULL DEFAULT 1,
    totals             BYTEA NOT NULL,
    funds              BYTEA NOT NULL,
    assembled_at       BIGINT NOT NULL,
    submitted_by       TEXT NOT NULL DEFAULT '',
    submitted_at       BIGINT NOT NULL DEFAULT 0,
    submit_note        TEXT NOT NULL DEFAULT '',
    lines_sha256       TEXT NOT NULL DEFAULT '',
    approvals_needed   BIGINT NOT NULL DEFAULT 0,
    policy             BYTEA NOT NULL,
    policy_by          TEXT NOT NULL DEFAULT '',
    ended_by           TEXT NOT NULL DEFAULT '',
    ended_at           BIGINT NOT NULL DEFAULT 0,
    end_reason         TEXT NOT NULL DEFAULT '',
    replaced_by        TEXT NOT NULL DEFAULT '',
    export_id          TEXT NOT NULL DEFAULT '',
    exported_at        BIGINT NOT NULL DEFAULT 0,
    settled_at         BIGINT NOT NULL DEFAULT 0,
    UNIQUE (commissioner_code, month, number),
    CHECK (state IN (1, 7) OR submitted_by <> ''),
    CHECK (state <> 6 OR ended_by <> submitted_by)
);
CREATE UNIQUE INDEX runs_one_assembled ON runs (commissioner_code, month) WHERE state = 1;
CREATE INDEX runs_by_month ON runs (month, run_id);

CREATE TABLE approvals (
    run_id         TEXT NOT NULL REFERENCES runs (run_id),
    approved_by    TEXT NOT NULL,
    submitted_by   TEXT NOT NULL,
    approved_at    BIGINT NOT NULL,
    PRIMARY KEY (run_id, approved_by),
    CHECK (approved_by <> submitted_by)
);

-- What was frozen when a run was put forward.
CREATE TABLE run_lines (
    run_id        TEXT NOT NULL REFERENCES runs (run_id),
    line_id       TEXT NOT NULL REFERENCES lines (line_id),
    payee_code    TEXT NOT NULL,
    amount_pence  BIGINT NOT NULL,
    PRIMARY KEY (run_id, line_id)
);
CREATE TABLE run_payees (
    run_id                 TEXT NOT NULL REFERENCES runs (run_id),
    payee_code             TEXT NOT NULL,
    payee_name             TEXT NOT NULL,
    lines                  BIGINT NOT NULL,
    lines_pence            BIGINT NOT NULL,
    brought_forward_pence  BIGINT NOT NULL CHECK (brought_forward_pence <= 0),
    carried_forward_pence  BIGINT NOT NULL CHECK (carried_forward_pence <= 0),
    net_pence              BIGINT NOT NULL CHECK (net_pence >= 0),
    PRIMARY KEY (run_id, payee_code),
    CHECK (net_pence = lines_pence + brought_forward_pence - carried_forward_pence)
);

CREATE TABLE holds (
    hold_id            TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    line_id            TEXT NOT NULL,
    reason_code        TEXT NOT NULL,
    reason             TEXT NOT NULL,
    placed_by          TEXT NOT NULL,
    placed_at          BIGINT NOT NULL,
    released_by        TEXT NOT NULL DEFAULT '',
    released_at        BIGINT NOT NULL DEFAULT 0,
    release_reason     TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1,
    CHECK ((payee_code = '') <> (line_id = ''))
);
CREATE INDEX holds_by_commissioner ON holds (commissioner_code, released_at);

CREATE TABLE payments (
    payment_id         TEXT PRIMARY KEY,
    run_id             TEXT NOT NULL REFERENCES runs (run_id),
    commissioner_code  TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    payee_name         TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL CHECK (amount_pence > 0),
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    sent_at            BIGINT NOT NULL,
    sent_on            TEXT NOT NULL,
    confirmed_on       TEXT NOT NULL DEFAULT '',
    payer_reference    TEXT NOT NULL DEFAULT '',
    reject_reason      TEXT NOT NULL DEFAULT '',
    version            BIGINT NOT NULL DEFAULT 1,
    UNIQUE (run_id, payee_code)
);
CREATE INDEX payments_by_commissioner ON payments (commissioner_code, payee_code);
CREATE INDEX payments_by_sending ON payments (commissioner_code, sent_at);

CREATE TABLE exports (
    export_id          TEXT PRIMARY KEY,
    run_id             TEXT NOT NULL REFERENCES runs (run_id),
    commissioner_code  TEXT NOT NULL,
    format             BIGINT NOT NULL,
    instructs          BOOLEAN NOT NULL,
    payments           BIGINT NOT NULL,
    amount_pence       BIGINT NOT NULL,
    sha256             TEXT NOT NULL,
    size_bytes         BIGINT NOT NULL,
    file_name          TEXT NOT NULL,
    content            BYTEA NOT NULL,
    exported_by        TEXT NOT NULL,
    exported_at        BIGINT NOT NULL,
    UNIQUE (run_id, format)
);
CREATE UNIQUE INDEX exports_instruct_once ON exports (run_id) WHERE instructs;
CREATE INDEX exports_by_commissioner ON exports (commissioner_code, exported_at);

CREATE TABLE recovery_plans (
    plan_id            TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    payee_name         TEXT NOT NULL,
    instalment_pence   BIGINT NOT NULL CHECK (instalment_pence >= 0),
    from_month         TEXT NOT NULL,
    reason             TEXT NOT NULL,
    planned_by         TEXT NOT NULL,
    planned_at         BIGINT NOT NULL
);
CREATE INDEX recovery_plans_by_payee ON recovery_plans (commissioner_code, payee_code, from_month);

CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    kind               TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    value              BYTEA NOT NULL,
    reason             TEXT NOT NULL,
    set_by             TEXT NOT NULL,
    set_at             BIGINT NOT NULL
);
CREATE INDEX settings_by_commissioner ON settings (commissioner_code, kind, from_month);

CREATE TABLE code_mappings (
    mapping_id         TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    stream             TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    organisation_code  TEXT NOT NULL,
    effective_from     TEXT NOT NULL,
    effective_to       TEXT NOT NULL,
    value              BYTEA NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL
);
CREATE INDEX code_mappings_by_commissioner ON code_mappings (commissioner_code, stream);

CREATE TABLE suppliers (
    commissioner_code  TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    effective_from     TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    supplier_id        TEXT NOT NULL,
    value              BYTEA NOT NULL,
    recorded_by        TEXT NOT NULL,
    PRIMARY KEY (commissioner_code, payee_code, effective_from, supplier_id)
);

CREATE TABLE imports (
    import_id          TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    kind               BIGINT NOT NULL,
    file_name          TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    rows_read          BIGINT NOT NULL,
    rows_applied       BIGINT NOT NULL,
    rows_known         BIGINT NOT NULL,
    rows_unmatched     BIGINT NOT NULL,
    amount_pence       BIGINT NOT NULL,
    imported_by        TEXT NOT NULL,
    imported_at        BIGINT NOT NULL
);
CREATE INDEX imports_by_content ON imports (commissioner_code, kind, sha256);
CREATE TABLE imported_rows (
    import_id          TEXT NOT NULL REFERENCES imports (import_id),
    line               BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    kind               BIGINT NOT NULL,
    reference          TEXT NOT NULL,
    payee_code         TEXT NOT NULL,
    period             TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL,
    payment_code       TEXT NOT NULL,
    amount_pence       BIGINT NOT NULL,
    outcome            TEXT NOT NULL,
    payment_id         TEXT NOT NULL,
    note               TEXT NOT NULL,
    PRIMARY KEY (import_id, line)
);
CREATE INDEX imported_rows_by_commissioner ON imported_rows (commissioner_code, kind, from_month);
CREATE INDEX imported_rows_by_payee ON imported_rows (commissioner_code, kind, payee_code, payment_code, from_month);

CREATE TABLE moves (
    move_id            TEXT PRIMARY KEY,
    from_code          TEXT NOT NULL,
    to_code            TEXT NOT NULL,
    effective_date     TEXT NOT NULL,
    value              BYTEA NOT NULL,
    moved_at           BIGINT NOT NULL,
    CHECK (from_code <> to_code)
);
CREATE INDEX moves_by_from ON moves (from_code, effective_date);

-- The ledger. The entries of a posting are written first, then its header, whose arrival is checked: see the next migration.
CREATE TABLE postings (
    posting_id         TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    kind               BIGINT NOT NULL,
    effective_date     TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    source             TEXT NOT NULL,
    reverses           TEXT NOT NULL,
    recorded_by        TEXT NOT NULL,
    entry_count        BIGINT NOT NULL CHECK (entry_count >= 2)
);
CREATE INDEX postings_by_source ON postings (source);
CREATE INDEX postings_by_commissioner ON postings (commissioner_code, posting_id);
CREATE UNIQUE INDEX postings_reversed_once ON postings (reverses) WHERE reverses <> '';
-- Few postings are reversals or transfers, and every approval asks for those of its lines.
CREATE INDEX postings_returned ON postings (commissioner_code) WHERE kind IN (7, 8);
CREATE TABLE entries (
    posting_id         TEXT NOT NULL REFERENCES postings (posting_id) DEFERRABLE INITIALLY DEFERRED,
    number             BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    fund               BIGINT NOT NULL,
    payee_code         TEXT NOT NULL,
    stage              BIGINT NOT NULL CHECK (stage BETWEEN 1 AND 7),
    amount_pence       BIGINT NOT NULL CHECK (amount_pence <> 0),
    line_id            TEXT NOT NULL,
    effective_date     TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    PRIMARY KEY (posting_id, number)
);
CREATE INDEX entries_by_commissioner ON entries (commissioner_code, effective_date);
-- Few payees owe anything, and every run asks for those that do.
CREATE INDEX entries_to_recover ON entries (commissioner_code, payee_code) WHERE stage = 6;
