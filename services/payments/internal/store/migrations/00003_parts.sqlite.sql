-- +goose Up
-- Each PCN's part of what an approved run comes to for a payee.
CREATE TABLE run_parts (
    run_id                 TEXT NOT NULL,
    payee_code             TEXT NOT NULL,
    pcn_code               TEXT NOT NULL,
    lines_pence            BIGINT NOT NULL,
    brought_forward_pence  BIGINT NOT NULL,
    carried_forward_pence  BIGINT NOT NULL,
    approved_at            BIGINT NOT NULL,
    PRIMARY KEY (run_id, payee_code, pcn_code),
    FOREIGN KEY (run_id, payee_code) REFERENCES run_payees (run_id, payee_code)
);
CREATE INDEX run_parts_by_pcn ON run_parts (pcn_code);
-- Few payees owe anything, and every recovery asks for whom they do.
CREATE INDEX run_parts_recovered ON run_parts (payee_code) WHERE brought_forward_pence <> 0 OR carried_forward_pence <> 0;
-- +goose StatementBegin
CREATE TRIGGER run_parts_no_update BEFORE UPDATE ON run_parts BEGIN SELECT RAISE(ABORT, 'run_parts is append-only'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER run_parts_no_delete BEFORE DELETE ON run_parts BEGIN SELECT RAISE(ABORT, 'run_parts is append-only'); END;
-- +goose StatementEnd
