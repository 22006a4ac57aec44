-- +goose Up
-- The day that a file bears; empty for files of before it was kept.
ALTER TABLE exports ADD COLUMN accounting_date TEXT NOT NULL DEFAULT '';
