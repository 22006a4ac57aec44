-- +goose Up
-- event is the source and the id of an event, aggregate the source and the subject, each with a space between. An event without
-- usable attributes has a key made of its content, and no aggregate.
CREATE TABLE inbox_seen (
    event   TEXT   NOT NULL PRIMARY KEY,
    seen_at BIGINT NOT NULL
);
CREATE INDEX inbox_seen_by_age ON inbox_seen (seen_at);

CREATE TABLE inbox_sequence (
    aggregate TEXT   NOT NULL PRIMARY KEY,
    last      BIGINT NOT NULL CHECK (last >= 0)
);

-- A row without a reason is parked: it waits for an earlier event or, after a failure, for retry_at. One with a reason is in
-- quarantine and waits for a person, or for the event to be sent again.
CREATE TABLE inbox_held (
    id           TEXT   NOT NULL PRIMARY KEY,
    event        TEXT   NOT NULL UNIQUE,
    aggregate    TEXT   NOT NULL,
    sequence     BIGINT NOT NULL CHECK (sequence >= 0),
    subject      TEXT   NOT NULL,
    commissioner TEXT   NOT NULL,
    header       BYTEA  NOT NULL,
    payload      BYTEA  NOT NULL,
    reason       TEXT   NOT NULL,
    error        TEXT   NOT NULL,
    attempts     BIGINT NOT NULL,
    retry_at     BIGINT NOT NULL,
    held_at      BIGINT NOT NULL
);
CREATE INDEX inbox_held_by_sequence ON inbox_held (aggregate, sequence);
CREATE INDEX inbox_held_by_commissioner ON inbox_held (commissioner, id);
CREATE INDEX inbox_parked_by_age ON inbox_held (held_at) WHERE reason = '';
