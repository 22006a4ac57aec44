-- +goose Up
-- A file of a run may take back payments that an earlier one booked and that were issued again.
ALTER TABLE payments ADD COLUMN taken_back_by TEXT NOT NULL DEFAULT '';
ALTER TABLE exports ADD COLUMN reversals BIGINT NOT NULL DEFAULT 0;
ALTER TABLE exports ADD COLUMN reversed_pence BIGINT NOT NULL DEFAULT 0;
-- No file took back what was issued again before there were reversals: people did.
UPDATE payments SET taken_back_by = 'by hand' WHERE state = 4;
CREATE INDEX payments_to_take_back ON payments (commissioner_code) WHERE state = 4 AND taken_back_by = '';
