-- +goose Up
-- The day that a file bears; empty where it is not known.
ALTER TABLE exports ADD COLUMN accounting_date TEXT NOT NULL DEFAULT '';
-- What a confirmation said, by which a row that says it again is known; empty where it is not known.
ALTER TABLE imported_rows ADD COLUMN confirmed_on TEXT NOT NULL DEFAULT '';
ALTER TABLE imported_rows ADD COLUMN status TEXT NOT NULL DEFAULT '';
ALTER TABLE imported_rows ADD COLUMN payer_reference TEXT NOT NULL DEFAULT '';
CREATE INDEX imported_rows_by_payment ON imported_rows (payment_id) WHERE payment_id <> '';
