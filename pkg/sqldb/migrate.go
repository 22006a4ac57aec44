package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
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

//go:embed migrations/*.sql migrations/access.csv
var mechanismFiles embed.FS

// mechanismMigrations are those of the tables that idempotency, audit, outbox and inbox use.
func mechanismMigrations() fs.FS {
	files, err := fs.Sub(mechanismFiles, "migrations")
	if err != nil {
		panic(err) // the name is not a path
	}
	return files
}

// Migrate brings the schema up to date: first the tables that the packages idempotency, audit and outbox use, then the service's
// own, from the numbered files at the root of serviceMigrations (nil for none). A file named 00002_name.postgres.sql or
// 00002_name.sqlite.sql is for that engine only. Each file is one transaction; running it again, from two processes at
// once, or after one was killed in it, does no harm. Where sessions act as a role of their own (Options.Role), that role is then granted
// what it needs.
func (db *DB) Migrate(ctx context.Context, serviceMigrations fs.FS) error {
	open := db.migrationPool
	if db.dialect == SQLite {
		open = db.migrationFile
	}
	target, done, err := open(ctx)
	if err != nil {
		return fmt.Errorf("migrate schema %s: %w", db.schema, explain(err))
	}
	defer done()
	if err := db.migrateWith(ctx, target, mechanismMigrations(), mechanismVersions); err != nil {
		return fmt.Errorf("migrate the mechanisms' tables: %w", err)
	}
	if serviceMigrations != nil {
		if err := db.migrateWith(ctx, target, serviceMigrations, serviceVersions); err != nil {
			return fmt.Errorf("migrate the service's tables: %w", err)
		}
	}
	if db.role == "" {
		return nil
	}
	if err := db.grantWith(ctx, target, db.role, serviceMigrations); err != nil {
		return fmt.Errorf("grant %s what it needs on schema %s: %w", db.role, db.schema, explain(err))
	}
	return nil
}

// migrationFile keeps other migrations of a file out until done is called: SQLite would let two begin, and the second fail over what
// the first has made. The lock is on a file beside it, since closing the file itself would end the locks that SQLite holds on it.
func (db *DB) migrationFile(context.Context) (writer *sql.DB, done func(), err error) {
	lock, err := os.OpenFile(db.path+".migrate", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("wait for another migration: %w", err), lock.Close())
	}
	return db.writer, func() { _ = lock.Close() }, nil
}

// migrationPool opens connections of who logs in, with a migration's time limits, makes the schema, and keeps other migrations of it
// out until done is called.
func (db *DB) migrationPool(ctx context.Context) (pool *sql.DB, done func(), err error) {
	config := db.config.Copy()
	delete(config.RuntimeParams, roleParameter)
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
