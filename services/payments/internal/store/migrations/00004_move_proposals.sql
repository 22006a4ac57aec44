-- +goose Up
-- Moves that were proposed. Nothing has passed by them: what another person confirms stands in moves under the same id.
CREATE TABLE move_proposals (
    move_id      TEXT PRIMARY KEY,
    from_code    TEXT NOT NULL,
    to_code      TEXT NOT NULL,
    state        BIGINT NOT NULL CHECK (state BETWEEN 1 AND 3),
    value        BYTEA NOT NULL,
    proposed_by  TEXT NOT NULL,
    proposed_at  BIGINT NOT NULL,
    decided_by   TEXT NOT NULL DEFAULT '',
    CHECK (from_code <> to_code),
    CHECK ((state = 1) = (decided_by = '')),
    CHECK (state <> 2 OR decided_by <> proposed_by)
);
