package testkit

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers the driver "pgx"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// PostgresVariable names the environment variable with the address of a Postgres on which tests may make schemas.
const PostgresVariable = "PCN_TEST_POSTGRES"

// Databases runs test twice, as subtests: on SQLite, and on Postgres if PCN_TEST_POSTGRES holds an address. In continuous
// integration, where CI is set, a missing address fails the test. Each call of open gives a database of its own, without
// tables and with the real clock; it goes with the test.
func Databases(t *testing.T, test func(t *testing.T, open func(t *testing.T) *sqldb.DB)) {
	t.Helper()
	databases(t, Postgres, test)
}

// OwnedDatabases does what Databases does, for tests that make tables of their own.
func OwnedDatabases(t *testing.T, test func(t *testing.T, open func(t *testing.T) *sqldb.DB)) {
	t.Helper()
	databases(t, PostgresOwned, test)
}

func databases(t *testing.T, postgres func(testing.TB, sqldb.Options) *sqldb.DB, test func(t *testing.T, open func(t *testing.T) *sqldb.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, func(t *testing.T) *sqldb.DB { t.Helper(); return SQLite(t, sqldb.Options{}) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		requirePostgres(t)
		test(t, func(t *testing.T) *sqldb.DB { t.Helper(); return postgres(t, sqldb.Options{}) })
	})
}

// requirePostgres skips the test where there is no Postgres, and fails it where there has to be one.
func requirePostgres(tb testing.TB) {
	tb.Helper()
	if os.Getenv(PostgresVariable) != "" {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatalf("%s is not set; start one with: eval \"$(.ci/postgres start DIR)\"", PostgresVariable)
	}
	tb.Skipf("%s is not set; start one with: eval \"$(.ci/postgres start DIR)\"", PostgresVariable)
}

// SQLite opens a new SQLite file. The clock is the real one unless o sets another.
func SQLite(tb testing.TB, o sqldb.Options) *sqldb.DB {
	tb.Helper()
	return openDB(tb, SQLiteURL(tb), o)
}

// SQLiteURL returns the address of a SQLite file that is not there yet.
func SQLiteURL(tb testing.TB) string {
	tb.Helper()
	return "sqlite:" + filepath.Join(tb.TempDir(), "test.db")
}

var schemas atomic.Int64

// appRole is what sessions on Postgres act as in tests, so that they find out what a service needs and was not granted.
const appRole = "pcn_test_service"

// makeAppRole makes that role where it is not there. Two processes may try at once.
const makeAppRole = `DO $$ BEGIN
	IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '` + appRole + `') THEN
		CREATE ROLE ` + appRole + ` NOLOGIN NOSUPERUSER NOBYPASSRLS;
	END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
END $$`

// Postgres opens a new schema of the Postgres at PCN_TEST_POSTGRES, and drops it at the end of the test. Once it is migrated, sessions
// have the rights of a service on it, unless o names another role. Without that address the test is skipped, or fails where CI is set.
// The clock is the real one unless o sets another.
func Postgres(tb testing.TB, o sqldb.Options) *sqldb.DB {
	tb.Helper()
	requirePostgres(tb)
	if o.Role == "" {
		onPostgres(tb, makeAppRole)
		o.Role = appRole
	}
	return PostgresOwned(tb, o)
}

// PostgresOwned does what Postgres does, but sessions may do all that the owner of the schema may.
func PostgresOwned(tb testing.TB, o sqldb.Options) *sqldb.DB {
	tb.Helper()
	requirePostgres(tb)
	if o.Schema == "" {
		o.Schema = fmt.Sprintf("test_%d_%d_%d", os.Getpid(), time.Now().UnixNano(), schemas.Add(1))
	}
	onPostgres(tb, "CREATE SCHEMA IF NOT EXISTS "+o.Schema)
	tb.Cleanup(func() { onPostgres(tb, "DROP SCHEMA IF EXISTS "+o.Schema+" CASCADE") })
	return openDB(tb, os.Getenv(PostgresVariable), o)
}

// Owner opens the schema of a test on Postgres once more, with all that its owner may do. SQLite has no owner, so db itself comes back.
func Owner(tb testing.TB, db *sqldb.DB) *sqldb.DB {
	tb.Helper()
	if db.Dialect() == sqldb.SQLite {
		return db
	}
	return openDB(tb, os.Getenv(PostgresVariable), sqldb.Options{Schema: db.Schema(), MaxConns: 2})
}

// onPostgres runs one statement outside any schema.
func onPostgres(tb testing.TB, q string) {
	tb.Helper()
	pool, err := sql.Open("pgx", os.Getenv(PostgresVariable))
	if err != nil {
		tb.Fatalf("open the test Postgres: %v", err)
	}
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(context.Background(), q); err != nil {
		tb.Errorf("%s: %v", q, err)
	}
}

func openDB(tb testing.TB, address string, o sqldb.Options) *sqldb.DB {
	tb.Helper()
	if o.Clock == nil {
		o.Clock = time.Now
	}
	o.AllowUnsafe = true
	db, err := sqldb.Open(context.Background(), address, o)
	if err != nil {
		tb.Fatalf("open %s: %v", redact(address), err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Errorf("close the test database: %v", err)
		}
	})
	return db
}

// redact takes a password out of an address.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil && strings.HasPrefix(address, "postgres") {
		return u.Redacted()
	}
	return address
}
