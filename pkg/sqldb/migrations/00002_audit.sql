-- +goose Up
CREATE TABLE audit (
    id           TEXT   NOT NULL PRIMARY KEY,
    at           BIGINT NOT NULL,
    actor        TEXT   NOT NULL,
    roles        TEXT   NOT NULL,
    method       TEXT   NOT NULL,
    resource     TEXT   NOT NULL,
    commissioner TEXT   NOT NULL,
    summary      TEXT   NOT NULL,
    seal         BIGINT CHECK (seal > 0)
);
CREATE INDEX audit_by_commissioner ON audit (commissioner, id);
CREATE INDEX audit_by_seal ON audit (commissioner, seal, id);
CREATE INDEX audit_unsealed ON audit (commissioner, id) WHERE seal IS NULL;

CREATE TABLE audit_seal (
    commissioner TEXT   NOT NULL,
    seal         BIGINT NOT NULL CHECK (seal > 0),
    at           BIGINT NOT NULL,
    entries      BIGINT NOT NULL CHECK (entries > 0),
    hash         BYTEA  NOT NULL,
    PRIMARY KEY (commissioner, seal)
);
