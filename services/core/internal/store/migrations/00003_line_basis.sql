-- +goose Up
-- NULL for the lines written before: their hash was made without it.
ALTER TABLE lines ADD COLUMN basis BYTEA;
