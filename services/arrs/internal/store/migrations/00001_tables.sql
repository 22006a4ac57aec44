-- +goose Up
-- Role maxima, rates of the yearly sum and number limits: one table, since each is a dated figure with a source.
CREATE TABLE figures (
    figure_id          TEXT PRIMARY KEY,
    position           BIGINT NOT NULL UNIQUE,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 3),
    role_code          TEXT NOT NULL,
    band               TEXT NOT NULL,
    post               TEXT NOT NULL,
    region             TEXT NOT NULL,
    pot                TEXT NOT NULL,
    list_from          BIGINT NOT NULL,
    list_to            BIGINT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL CHECK (to_month = '' OR to_month >= from_month),
    value              TEXT NOT NULL,
    value_most         TEXT NOT NULL,
    percent            TEXT NOT NULL,
    national_gbp       TEXT NOT NULL,
    needs_agreement    BOOLEAN NOT NULL,
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
    replaces_figure_id TEXT NOT NULL
);
CREATE INDEX figures_by_subject ON figures (kind, role_code, from_month);

CREATE TABLE settings (
    setting_id         TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    name               TEXT NOT NULL,
    value              TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    reason             TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    recorded_by        TEXT NOT NULL
);
CREATE INDEX settings_by_commissioner ON settings (commissioner_code, name);

CREATE TABLE decisions (
    decision_id        TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    kind               BIGINT NOT NULL,
    pcn_code           TEXT NOT NULL,
    role_code          TEXT NOT NULL,
    engagement_id      TEXT NOT NULL,
    value              TEXT NOT NULL,
    from_month         TEXT NOT NULL,
    to_month           TEXT NOT NULL,
    reason             TEXT NOT NULL,
    decided_by         TEXT NOT NULL,
    decided_at         BIGINT NOT NULL
);
CREATE INDEX decisions_by_commissioner ON decisions (commissioner_code, decision_id);
CREATE INDEX decisions_by_pcn ON decisions (pcn_code, kind);

-- What a PCN's claims of a year rest on, version by version.
CREATE TABLE years (
    pcn_code             TEXT NOT NULL,
    financial_year       TEXT NOT NULL,
    version              BIGINT NOT NULL CHECK (version >= 1),
    commissioner_code    TEXT NOT NULL,
    commissioner_name    TEXT NOT NULL,
    pcn_name             TEXT NOT NULL,
    location_code        TEXT NOT NULL,
    weighted_population  TEXT NOT NULL,
    weighted_load_id     TEXT NOT NULL,
    registered_patients  BIGINT NOT NULL,
    region               TEXT NOT NULL,
    snapshot_id          TEXT NOT NULL,
    fixed_by             TEXT NOT NULL,
    fixed_at             BIGINT NOT NULL,
    PRIMARY KEY (pcn_code, financial_year, version)
);
CREATE INDEX years_by_commissioner ON years (commissioner_code, financial_year, pcn_code);

CREATE TABLE entitlements (
    pcn_code        TEXT NOT NULL,
    financial_year  TEXT NOT NULL,
    version         BIGINT NOT NULL,
    pot             TEXT NOT NULL,
    from_month      TEXT NOT NULL,
    to_month        TEXT NOT NULL,
    amount_pence    BIGINT NOT NULL CHECK (amount_pence >= 0),
    rate_id         TEXT NOT NULL,
    confidence      BIGINT NOT NULL,
    refusal         BYTEA NOT NULL,
    working         BYTEA NOT NULL,
    PRIMARY KEY (pcn_code, financial_year, version, pot),
    FOREIGN KEY (pcn_code, financial_year, version) REFERENCES years (pcn_code, financial_year, version)
);

-- Running totals of a pot. They are those of the lines beneath them, and spare each claim from adding up a year.
CREATE TABLE pots (
    pcn_code         TEXT NOT NULL,
    financial_year   TEXT NOT NULL,
    pot              TEXT NOT NULL,
    given_up_pence   BIGINT NOT NULL DEFAULT 0 CHECK (given_up_pence >= 0),
    awarded_pence    BIGINT NOT NULL DEFAULT 0 CHECK (awarded_pence >= 0),
    submitted_pence  BIGINT NOT NULL DEFAULT 0 CHECK (submitted_pence >= 0),
    approved_pence   BIGINT NOT NULL DEFAULT 0 CHECK (approved_pence >= 0),
    scheduled_pence  BIGINT NOT NULL DEFAULT 0 CHECK (scheduled_pence >= 0),
    PRIMARY KEY (pcn_code, financial_year, pot)
);

CREATE TABLE engagements (
    engagement_id      TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    label              TEXT NOT NULL,
    -- The label without what people do not tell apart: one engagement of a PCN has it.
    folded_label       TEXT NOT NULL,
    role_code          TEXT NOT NULL,
    start_date         TEXT NOT NULL,
    end_date           TEXT NOT NULL,
    terms              BYTEA NOT NULL,
    pseudonym          TEXT NOT NULL,
    recorded_by        TEXT NOT NULL,
    recorded_at        BIGINT NOT NULL,
    changed_by         TEXT NOT NULL,
    changed_at         BIGINT NOT NULL,
    version            BIGINT NOT NULL DEFAULT 1,
    UNIQUE (pcn_code, label),
    UNIQUE (pcn_code, folded_label)
);
CREATE INDEX engagements_by_commissioner ON engagements (commissioner_code, pcn_code, label);
CREATE INDEX engagements_by_person ON engagements (pseudonym) WHERE pseudonym <> '';

-- Terms as they stood before each change.
CREATE TABLE engagement_terms (
    engagement_id  TEXT NOT NULL REFERENCES engagements (engagement_id),
    version        BIGINT NOT NULL,
    terms          BYTEA NOT NULL,
    stated_by      TEXT NOT NULL,
    stated_at      BIGINT NOT NULL,
    PRIMARY KEY (engagement_id, version)
);

CREATE TABLE claims (
    claim_id           TEXT PRIMARY KEY,
    pcn_code           TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    month              TEXT NOT NULL,
    financial_year     TEXT NOT NULL,
    kind               BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 3),
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 6),
    revision           BIGINT NOT NULL DEFAULT 1,
    line_count         BIGINT NOT NULL,
    notes              TEXT NOT NULL,
    query              TEXT NOT NULL DEFAULT '',
    totals             BYTEA NOT NULL,
    submitted_by       TEXT NOT NULL,
    submitted_at       BIGINT NOT NULL,
    -- When what was entered last was assessed: the claim rests on what was decided by then.
    assessed_at        BIGINT NOT NULL DEFAULT 0,
    decided_by         TEXT NOT NULL DEFAULT '',
    decided_at         BIGINT NOT NULL DEFAULT 0,
    decision_reason    TEXT NOT NULL DEFAULT '',
    amended_by         TEXT NOT NULL DEFAULT '',
    erased_at          BIGINT NOT NULL DEFAULT 0,
    version            BIGINT NOT NULL DEFAULT 1,
    CHECK (decided_by = '' OR (decided_by <> submitted_by AND decided_by <> amended_by))
);
CREATE INDEX claims_by_commissioner ON claims (commissioner_code, claim_id);
CREATE INDEX claims_by_pcn ON claims (pcn_code, month);
-- A claim that was withdrawn has the time of that, and nobody who decided.
CREATE INDEX claims_ended ON claims (commissioner_code, decided_at) WHERE erased_at = 0 AND decided_at > 0;

-- Lines of claims. Entry and assessment hold pay, and are emptied when its time is over; amounts of a line go with them.
CREATE TABLE claim_lines (
    line_id          TEXT PRIMARY KEY,
    claim_id         TEXT NOT NULL REFERENCES claims (claim_id),
    revision         BIGINT NOT NULL,
    number           BIGINT NOT NULL,
    pcn_code         TEXT NOT NULL,
    -- The month whose cost it is: of an uplift the month uplifted.
    month            TEXT NOT NULL,
    engagement_id    TEXT NOT NULL REFERENCES engagements (engagement_id),
    -- Last day of the person's work, if the line says that it was the last.
    left_date        TEXT NOT NULL DEFAULT '',
    kind             BIGINT NOT NULL,
    -- True while the line counts: of the newest revision of a claim that waits, or approved for more than nothing. A correction counts once
    -- it is approved, and what it replaces counts no more from then on.
    live             BOOLEAN NOT NULL,
    role_code        TEXT NOT NULL,
    person           TEXT NOT NULL,
    pot              TEXT NOT NULL,
    held             BYTEA NOT NULL,
    claimed_pence    BIGINT NOT NULL CHECK (claimed_pence >= 0),
    payable_pence    BIGINT NOT NULL CHECK (payable_pence BETWEEN 0 AND claimed_pence),
    approved_pence   BIGINT NOT NULL DEFAULT 0 CHECK (approved_pence BETWEEN 0 AND payable_pence),
    -- Least confidence among the figures that the payable amount rests on, so that a close need not read pay.
    confidence       BIGINT NOT NULL DEFAULT 0 CHECK (confidence BETWEEN 0 AND 5),
    -- The day whose knowledge of prices decided.
    price_known_on   TEXT NOT NULL DEFAULT '',
    schedule_id      TEXT NOT NULL DEFAULT '',
    -- Of a correction: what was approved of the lines it replaces, and what of that is in schedules. The difference is due, by whom those are.
    replaced_pence   BIGINT NOT NULL DEFAULT 0 CHECK (replaced_pence >= 0),
    paid_pence       BIGINT NOT NULL DEFAULT 0 CHECK (paid_pence >= 0),
    -- The body whose schedule the line is in, or that of what a correction replaces.
    paid_by          TEXT NOT NULL DEFAULT '',
    replaced_by      TEXT NOT NULL DEFAULT '',
    decision_reason  TEXT NOT NULL DEFAULT '',
    -- The engagement as it was stated when the line was read, and what was entered.
    terms            BYTEA NOT NULL,
    entry            BYTEA NOT NULL,
    assessment       BYTEA NOT NULL
);
CREATE INDEX claim_lines_by_claim ON claim_lines (claim_id, revision, number);
CREATE INDEX claim_lines_left ON claim_lines (engagement_id) WHERE left_date <> '';
CREATE INDEX claim_lines_by_engagement ON claim_lines (engagement_id, month);
CREATE INDEX claim_lines_by_month ON claim_lines (pcn_code, month) WHERE live;
-- Corrections that wait for a decision.
CREATE INDEX claims_correcting ON claims (pcn_code) WHERE kind = 3 AND state IN (1, 2);
-- Approved money that waits for a close.
CREATE INDEX claim_lines_due ON claim_lines (pcn_code) WHERE replaced_by = '' AND schedule_id = '' AND approved_pence <> paid_pence;

-- Files of claims, so that the same bytes have their effect once.
CREATE TABLE claim_files (
    file_id            TEXT PRIMARY KEY,
    commissioner_code  TEXT NOT NULL,
    sha256             TEXT NOT NULL,
    file_name          TEXT NOT NULL,
    row_count          BIGINT NOT NULL,
    claim_ids          TEXT NOT NULL,
    imported_by        TEXT NOT NULL,
    imported_at        BIGINT NOT NULL,
    UNIQUE (commissioner_code, sha256)
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
    payee_code         TEXT NOT NULL,
    message            BYTEA NOT NULL,
    working            BYTEA NOT NULL
);
-- Lines that nobody can be paid, until a payee is recorded.
CREATE INDEX lines_without_payee ON lines (pcn_code) WHERE payee_code = '';
CREATE INDEX lines_by_schedule ON lines (schedule_id, line_id);
CREATE INDEX lines_by_pcn ON lines (pcn_code, month);
