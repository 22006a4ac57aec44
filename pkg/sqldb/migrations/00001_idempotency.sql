-- +goose Up
CREATE TABLE idempotency (
    caller      TEXT   NOT NULL,
    method      TEXT   NOT NULL,
    request_id  TEXT   NOT NULL,
    fingerprint BYTEA  NOT NULL,
    request     BYTEA  NOT NULL,
    response    BYTEA,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (caller, method, request_id)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);
