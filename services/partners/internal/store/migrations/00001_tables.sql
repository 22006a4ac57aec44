-- +goose Up
-- Systems of other organisations. An empty commissioner is a national partner's. A time of 0 means not yet.
CREATE TABLE partners (
    partner_id         TEXT PRIMARY KEY,
    name               TEXT NOT NULL,
    contact_email      TEXT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    -- Subject of the tokens of the partner's own system; empty for none.
    subject            TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    added_by           TEXT NOT NULL,
    added_at           BIGINT NOT NULL,
    ended_at           BIGINT NOT NULL
);
CREATE INDEX partners_by_commissioner ON partners (commissioner_code, partner_id);

-- What a partner may have of a commissioner's events, a type a line.
CREATE TABLE grants (
    grant_id           TEXT PRIMARY KEY,
    partner_id         TEXT NOT NULL REFERENCES partners (partner_id),
    commissioner_code  TEXT NOT NULL CHECK (commissioner_code <> ''),
    event_types        TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    proposed_by        TEXT NOT NULL,
    proposed_at        BIGINT NOT NULL,
    confirmed_by       TEXT NOT NULL,
    confirmed_at       BIGINT NOT NULL,
    ended_at           BIGINT NOT NULL,
    CHECK (confirmed_by <> proposed_by),
    CHECK (state NOT IN (2, 3) OR confirmed_by <> '')
);
CREATE UNIQUE INDEX grants_proposed ON grants (partner_id, commissioner_code) WHERE state = 1;
CREATE UNIQUE INDEX grants_in_force ON grants (partner_id, commissioner_code) WHERE state = 2;

-- Credentials of the broker, without their files.
CREATE TABLE credentials (
    credential_id      TEXT PRIMARY KEY,
    partner_id         TEXT NOT NULL REFERENCES partners (partner_id),
    commissioner_code  TEXT NOT NULL,
    public_key         TEXT NOT NULL UNIQUE,
    -- Streams that it may fetch from, one a line.
    streams            TEXT NOT NULL,
    issued_by          TEXT NOT NULL,
    issued_at          BIGINT NOT NULL,
    expires_at         BIGINT NOT NULL,
    -- When it was or will be revoked; 0 if nothing is decided.
    revoked_at         BIGINT NOT NULL,
    -- When the broker was told.
    cut_off_at         BIGINT NOT NULL,
    replaced_by        TEXT NOT NULL
);
CREATE INDEX credentials_by_partner ON credentials (partner_id, credential_id);
CREATE INDEX credentials_to_cut_off ON credentials (revoked_at) WHERE cut_off_at = 0 AND revoked_at > 0;

-- The durable consumers that a partner is to have at the broker. One without subjects is to go.
CREATE TABLE feeds (
    partner_id         TEXT NOT NULL REFERENCES partners (partner_id),
    commissioner_code  TEXT NOT NULL,
    stream             TEXT NOT NULL,
    subjects           TEXT NOT NULL,
    -- Events published before are not delivered.
    start_at           BIGINT NOT NULL,
    version            BIGINT NOT NULL CHECK (version >= 1),
    -- The version that the broker has.
    applied            BIGINT NOT NULL,
    PRIMARY KEY (partner_id, commissioner_code, stream)
);

-- Addresses that events are sent to. The secrets are sealed by a key that the database does not hold.
CREATE TABLE webhooks (
    webhook_id         TEXT PRIMARY KEY,
    partner_id         TEXT NOT NULL REFERENCES partners (partner_id),
    commissioner_code  TEXT NOT NULL,
    url                TEXT NOT NULL,
    event_types        TEXT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    disabled_cause     BIGINT NOT NULL CHECK (disabled_cause BETWEEN 0 AND 3),
    failing_since      BIGINT NOT NULL,
    secret             TEXT NOT NULL,
    previous_secret    TEXT NOT NULL,
    previous_until     BIGINT NOT NULL,
    added_by           TEXT NOT NULL,
    added_at           BIGINT NOT NULL
);
CREATE INDEX webhooks_by_partner ON webhooks (partner_id, webhook_id);
CREATE INDEX webhooks_by_commissioner ON webhooks (commissioner_code) WHERE state < 3;

-- Events that a webhook wants, for a time: they are copies of what the streams hold.
CREATE TABLE events (
    source             TEXT NOT NULL,
    event_id           TEXT NOT NULL,
    type               TEXT NOT NULL,
    aggregate          TEXT NOT NULL,
    sequence           BIGINT NOT NULL,
    commissioner_code  TEXT NOT NULL,
    occurred_at        BIGINT NOT NULL,
    payload            BYTEA NOT NULL,
    received_at        BIGINT NOT NULL,
    PRIMARY KEY (source, event_id)
);
CREATE INDEX events_by_age ON events (received_at);

-- An event on its way to a webhook, and after that the log of it.
CREATE TABLE deliveries (
    delivery_id        TEXT PRIMARY KEY,
    webhook_id         TEXT NOT NULL REFERENCES webhooks (webhook_id),
    source             TEXT NOT NULL,
    event_id           TEXT NOT NULL,
    type               TEXT NOT NULL,
    aggregate          TEXT NOT NULL,
    sequence           BIGINT NOT NULL,
    state              BIGINT NOT NULL CHECK (state BETWEEN 1 AND 4),
    -- All attempts, and those that failed since it was last asked for.
    attempts           BIGINT NOT NULL,
    failures           BIGINT NOT NULL,
    next_at            BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    settled_at         BIGINT NOT NULL,
    UNIQUE (webhook_id, source, event_id)
);
CREATE INDEX deliveries_waiting ON deliveries (webhook_id, source, aggregate, sequence) WHERE state = 1;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 1;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, delivery_id);
CREATE INDEX deliveries_by_age ON deliveries (created_at);

CREATE TABLE attempts (
    delivery_id        TEXT NOT NULL REFERENCES deliveries (delivery_id) ON DELETE CASCADE,
    number             BIGINT NOT NULL CHECK (number >= 1),
    at                 BIGINT NOT NULL,
    outcome            BIGINT NOT NULL CHECK (outcome BETWEEN 1 AND 8),
    duration_micros    BIGINT NOT NULL,
    next_at            BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
