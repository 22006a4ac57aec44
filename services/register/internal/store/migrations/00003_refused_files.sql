-- +goose Up

-- What was wrong with files of which nothing was stored. A file is known by its content and what was said of it.
CREATE TABLE refused_files (
	report_id  TEXT PRIMARY KEY,
	refused_to TEXT NOT NULL
);

CREATE TABLE refused_rows (
	report_id   TEXT   NOT NULL REFERENCES refused_files (report_id),
	number      BIGINT NOT NULL,
	line        BIGINT NOT NULL,
	column_name TEXT   NOT NULL,
	value       TEXT   NOT NULL,
	reason      TEXT   NOT NULL,
	detail      TEXT   NOT NULL,
	PRIMARY KEY (report_id, number)
);
