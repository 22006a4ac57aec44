package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Tables in which goose notes the migrations done.
const (
	mechanismVersions = "schema_mechanism"
	serviceVersions   = "schema_service"
)

// Limits of a migration session: its statements may take long, but must not queue behind a lock, where they would hold up
// every reader after them; they are tried again instead.
const (
	migrationLimit    = 10 * time.Minute
	migrationAttempts = 10
)

//go:embed migrations/*.sql
var mechanismFiles embed.FS

// Migrate brings the schema up to date: first the tables that the packages idempotency, audit and outbox use, then the service's
// own, from the numbered files at the root of serviceMigrations (nil for none). A file named 00002_name.postgres.sql or
// 00002_name.sqlite.sql is for that engine only. Each file is one transaction; running it again, or from two processes at
// once, does no harm.
func (db *DB) Migrate(ctx context.Context, serviceMigrations fs.FS) error {
	mechanism, err := fs.Sub(mechanismFiles, "migrations")
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	target := db.writer
	if db.dialect == Postgres {
		pool, done, err := db.migrationPool(ctx)
		if err != nil {
			return fmt.Errorf("migrate schema %s: %w", db.schema, explain(err))
		}
		defer done()
		target = pool
	}
	if err := db.migrateWith(ctx, target, mechanism, mechanismVersions); err != nil {
		return fmt.Errorf("migrate the mechanisms' tables: %w", err)
	}
	if serviceMigrations == nil {
		return nil
	}
	if err := db.migrateWith(ctx, target, serviceMigrations, serviceVersions); err != nil {
		return fmt.Errorf("migrate the service's tables: %w", err)
	}
	return nil
}

// migrationPool opens connections with a migration's time limits, makes the schema, and keeps other migrations of it out
// until done is called.
func (db *DB) migrationPool(ctx context.Context) (pool *sql.DB, done func(), err error) {
	config := db.config.Copy()
	config.RuntimeParams["statement_timeout"] = millis(migrationLimit)
	config.AfterConnect = nil
	pool = stdlib.OpenDB(*config)
	done = func() { _ = pool.Close() }
	defer func() {
		if err != nil {
			done()
		}
	}()
	// The lock lives as long as its connection, which is never given back to the pool.
	guard, err := pool.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	err = retryLocked(ctx, func() error {
		_, err := guard.ExecContext(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", db.lockName("migrate"))
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("wait for another migration: %w", err)
	}
	if err := makeSchema(ctx, guard, db.schema); err != nil {
		return nil, nil, fmt.Errorf("make the schema: %w", err)
	}
	return pool, func() { _ = guard.Close(); _ = pool.Close() }, nil
}

// makeSchema makes the schema if it is not there. It looks first, because CREATE SCHEMA IF NOT EXISTS asks for a right that a role
// confined to its own schema does not have.
func makeSchema(ctx context.Context, conn *sql.Conn, schema string) error {
	var there bool
	const q = `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`
	if err := conn.QueryRowContext(ctx, q, schema).Scan(&there); err != nil || there {
		return err
	}
	_, err := conn.ExecContext(ctx, "CREATE SCHEMA "+schema)
	return err
}

// migrateWith runs the files of one set that are not yet noted in its table.
func (db *DB) migrateWith(ctx context.Context, target *sql.DB, files fs.FS, versions string) error {
	dialect := goose.DialectSQLite3
	if db.dialect == Postgres {
		dialect = goose.DialectPostgres
	}
	provider, err := goose.NewProvider(dialect, target, dialectFiles{files, db.dialect},
		goose.WithTableName(versions), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	return retryLocked(ctx, func() error {
		_, err := provider.Up(ctx)
		return err
	})
}

// retryLocked runs fn again while it fails for want of a lock.
func retryLocked(ctx context.Context, fn func() error) error {
	for attempt := 1; ; attempt++ {
		err := fn()
		if err == nil || attempt == migrationAttempts || !isCode(err, pgLockTimeout) {
			return explain(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// dialectFiles hides the migrations of the other engine.
type dialectFiles struct {
	fs.FS
	dialect Dialect
}

// ReadDir implements fs.ReadDirFS.
func (d dialectFiles) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(d.FS, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	other := "." + Postgres.String() + ".sql"
	if d.dialect == Postgres {
		other = "." + SQLite.String() + ".sql"
	}
	kept := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), other) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}
