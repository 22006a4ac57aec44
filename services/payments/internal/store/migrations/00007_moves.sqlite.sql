-- +goose Up
-- +goose StatementBegin
CREATE TRIGGER moves_confirmed BEFORE INSERT ON moves WHEN NOT EXISTS (
    SELECT 1 FROM move_proposals p WHERE p.move_id = NEW.move_id AND p.from_code = NEW.from_code AND p.to_code = NEW.to_code
        AND p.state = 2 AND p.decided_by <> '' AND p.decided_by <> p.proposed_by
) BEGIN
    SELECT RAISE(ABORT, 'a move takes a proposal that another person confirmed');
END;
-- +goose StatementEnd
-- Few entries are transfers, and every statement asks for those of its lines and payees.
CREATE INDEX entries_transferred ON entries (line_id) WHERE stage = 7;
CREATE INDEX entries_transferred_by_payee ON entries (commissioner_code, payee_code) WHERE stage = 7;
