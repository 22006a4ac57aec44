package sqldb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/pressly/goose/v3"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// ReasonSchemaTooOld means that the schema lacks migrations that the code needs.
const ReasonSchemaTooOld = "SCHEMA_TOO_OLD"

// Version says how far a schema has been migrated: the number of the last migration of each set, 0 where none was.
type Version struct {
	Mechanism int64 `json:"mechanism"` // of the tables of the mechanisms
	Service   int64 `json:"service"`   // of the service's own
}

// Version returns how far the schema has been migrated.
func (db *DB) Version(ctx context.Context) (v Version, err error) {
	err = db.Read(ctx, func(q Querier) error {
		for table, into := range map[string]*int64{mechanismVersions: &v.Mechanism, serviceVersions: &v.Service} {
			if there, err := db.hasTable(ctx, q, table); err != nil {
				return err
			} else if !there {
				continue
			}
			const text = `SELECT COALESCE(MAX(version_id), 0) FROM `
			if err := q.QueryRow(ctx, text+table+` WHERE is_applied`).Scan(into); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Version{}, fmt.Errorf("read how far schema %s is migrated: %w", db.schema, err)
	}
	return v, nil
}

func (db *DB) hasTable(ctx context.Context, q Querier, name string) (there bool, err error) {
	text := `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)`
	args := []any{name}
	if db.dialect == Postgres {
		text = `SELECT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace($2) AND relname = $1)`
		args = append(args, db.schema)
	}
	return there, q.QueryRow(ctx, text, args...).Scan(&there)
}

// CheckVersion refuses, by name, a schema that lacks a migration that the code needs. A newer one is accepted: migrations only add
// until no release in use needs what they take away.
func (db *DB) CheckVersion(ctx context.Context, serviceMigrations fs.FS) error {
	has, err := db.Version(ctx)
	if err != nil {
		return err
	}
	needs := Version{}
	if needs.Mechanism, err = newest(mechanismMigrations(), db.dialect); err != nil {
		return err
	}
	if needs.Service, err = newest(serviceMigrations, db.dialect); err != nil {
		return err
	}
	if has.Mechanism >= needs.Mechanism && has.Service >= needs.Service {
		return nil
	}
	return fault.New(fault.Refused, ReasonSchemaTooOld,
		"schema %s has migration %d of %d of its mechanisms and %d of %d of its own: run pcnfunding migrate %[1]s as the role that owns it",
		db.schema, has.Mechanism, needs.Mechanism, has.Service, needs.Service).With("schema", db.schema)
}

// newest returns the number of the last migration of a set for an engine.
func newest(files fs.FS, dialect Dialect) (last int64, err error) {
	if files == nil {
		return 0, nil
	}
	entries, err := dialectFiles{files, dialect}.ReadDir(".")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if path.Ext(e.Name()) != ".sql" {
			continue
		}
		number, err := goose.NumericComponent(e.Name())
		if err != nil {
			return 0, fmt.Errorf("read the number of migration %s: %w", e.Name(), err)
		}
		last = max(last, number)
	}
	return last, nil
}

// catalogue describes all that a Postgres schema is made of, rights and data aside, a line each.
const catalogue = `
	SELECT format('table %s row security %s %s', relname, relrowsecurity, relforcerowsecurity) AS line
		FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p')
	UNION ALL SELECT format('column %s.%s %s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
		pg_get_expr(adbin, adrelid))
		FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT format('constraint %s on %s %s', conname, conrelid::regclass, pg_get_constraintdef(oid))
		FROM pg_constraint WHERE connamespace = to_regnamespace($1)
	UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = $1
	UNION ALL SELECT 'trigger ' || pg_get_triggerdef(pg_trigger.oid) || ' ' || tgenabled::text
		FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE relnamespace = to_regnamespace($1) AND NOT tgisinternal
	UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = to_regnamespace($1) AND prokind = 'f'
	UNION ALL SELECT format('policy %s on %s for %s using %s check %s', policyname, tablename, cmd, qual, with_check)
		FROM pg_policies WHERE schemaname = $1`

const catalogueSQLite = `SELECT type || ' ' || name || ' ' || COALESCE(sql, '') AS line FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'`

// SchemaDigest returns a hash of the schema itself, not of its rows: tables, columns, constraints, indexes, triggers, functions and
// policies. Two databases of one engine that were migrated by the same code have the same.
func (db *DB) SchemaDigest(ctx context.Context) (digest string, err error) {
	// The order must hang neither on the collation of the database nor on the name of the schema, which one service's may have changed. A schema
	// that was dumped and restored nests conditions with fewer parentheses.
	text, args := catalogueSQLite+` ORDER BY 1`, []any(nil)
	if db.dialect == Postgres {
		text = `SELECT line FROM (SELECT translate(replace(replace(line, $1 || '.', ''), $1, ''), '()', '') AS line FROM (` + catalogue + `) AS named) AS lines
			ORDER BY line COLLATE "C"`
		args = []any{db.schema}
	}
	err = db.Read(ctx, func(q Querier) error {
		digest, err = digestOf(ctx, q, text, args)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read what schema %s is made of: %w", db.schema, err)
	}
	return digest, nil
}

func digestOf(ctx context.Context, q Querier, text string, args []any) (digest string, err error) {
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	h := sha256.New()
	for rows.Next() {
		var line sql.NullString
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(h, "%d %s\n", len(line.String), line.String)
	}
	return hex.EncodeToString(h.Sum(nil)), rows.Err()
}
