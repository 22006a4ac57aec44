-- +goose Up
-- id is the message's own; event_id names the event, and differs from id when the event is sent once more.
CREATE TABLE outbox (
    position           BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id                 TEXT   NOT NULL UNIQUE,
    event_id           TEXT   NOT NULL,
    aggregate          TEXT   NOT NULL,
    aggregate_sequence BIGINT NOT NULL CHECK (aggregate_sequence > 0),
    subject            TEXT   NOT NULL,
    type               TEXT   NOT NULL,
    payload            BYTEA  NOT NULL,
    traceparent        TEXT   NOT NULL,
    occurred_at        BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    sent_at            BIGINT
);
CREATE INDEX outbox_unsent ON outbox (position) WHERE sent_at IS NULL;
CREATE UNIQUE INDEX outbox_by_sequence ON outbox (aggregate, aggregate_sequence) WHERE id = event_id;

CREATE TABLE outbox_sequence (
    aggregate TEXT   NOT NULL PRIMARY KEY,
    last      BIGINT NOT NULL CHECK (last > 0)
);
