package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // makes the Postgres driver known by name
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// estate is a database of its own with the roles that migrate --print-roles makes.
type estate struct {
	admin, owner, service string // addresses; that of services holds the mark
	ownerRole, appRole    string
}

// newEstate makes one, and drops it at the end of the test.
func newEstate(t *testing.T) *estate {
	t.Helper()
	db := testkit.PostgresOwned(t, sqldb.Options{}) // skips or fails without a server
	require.NoError(t, db.Close())
	tag := "t_" + strings.ToLower(rand.Text())[:12]
	e := &estate{ownerRole: tag + "_owner", appRole: tag + "_" + serviceMark}
	onServer(t, os.Getenv(testkit.PostgresVariable), "CREATE DATABASE "+tag)
	t.Cleanup(func() {
		server := os.Getenv(testkit.PostgresVariable)
		onServer(t, server, "DROP DATABASE "+tag+" WITH (FORCE)")
		for _, role := range append(serviceNames, "owner") {
			onServer(t, server, "DROP ROLE IF EXISTS "+tag+"_"+role)
		}
	})
	as := func(role string) string {
		u, err := url.Parse(os.Getenv(testkit.PostgresVariable))
		require.NoError(t, err)
		u.Path = "/" + tag
		u.User = url.User("ROLE")
		return strings.Replace(u.String(), "ROLE", role, 1)
	}
	e.admin, e.owner, e.service = as("postgres"), as(e.ownerRole), as(e.appRole)
	for range 2 { // it may be run again
		e.makeRoles(t)
	}
	return e
}

func (e *estate) makeRoles(t *testing.T) {
	t.Helper()
	var script bytes.Buffer
	command := &migrateCommand{storage: storage{DatabaseURL: e.admin}, AppRole: e.appRole, Owner: e.ownerRole}
	require.NoError(t, command.printRoles(&script, serviceNames))
	cmd, err := postgresCommand(exec.Command, "psql", e.admin, "--set", "ON_ERROR_STOP=1", "--quiet")
	require.NoError(t, err)
	cmd.Stdin = &script
	require.NoError(t, runTool(cmd))
}

// migrate brings all schemas up to date as their owner.
func (e *estate) migrate(t *testing.T) {
	t.Helper()
	command := &migrateCommand{storage: storage{DatabaseURL: e.owner}, Service: "all", AppRole: e.appRole}
	require.NoError(t, command.Run(t.Context()))
}

func onServer(t *testing.T, address, q string) {
	t.Helper()
	pool, err := sql.Open("pgx", address)
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	_, err = pool.ExecContext(context.Background(), q)
	require.NoError(t, err, q)
}

// open opens the database of a service at an address in which the mark may stand.
func (e *estate) open(t *testing.T, address, service string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), ofService(address, service), sqldb.Options{Schema: service, Clock: time.Now, AllowUnsafe: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestRoles_MayDoWhatTheServiceNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.migrate(t)
	e.migrate(t) // granting again changes nothing
	for _, service := range serviceNames {
		db := e.open(t, e.service, service)
		require.NoError(t, db.CheckVersion(t.Context(), migrations(service)), "the version can be read")
		tables, err := sqldb.Tables(migrations(service))
		require.NoError(t, err)
		for _, table := range tables {
			e.checkTable(t, db, service, table)
		}
		e.checkLimits(t, service)
		other := serviceNames[0]
		if other == service {
			other = serviceNames[1]
		}
		for _, q := range []string{
			"CREATE TABLE mine (id TEXT)", "CREATE SCHEMA mine", "CREATE TEMPORARY TABLE mine (id TEXT)", "SELECT * FROM " + other + ".outbox",
			"INSERT INTO " + other + ".outbox_sequence VALUES ('x', 1)", "SET ROLE " + e.ownerRole,
			"UPDATE schema_service SET version_id = 0", "DELETE FROM schema_mechanism", "ALTER TABLE audit DISABLE TRIGGER ALL", "DROP TABLE audit",
			"ALTER TABLE audit DISABLE ROW LEVEL SECURITY", "SELECT pg_read_file('/etc/passwd')", "SELECT rolpassword FROM pg_authid",
		} {
			_, err := db.Exec(t.Context(), q)
			require.ErrorContains(t, err, "42501", "%s: %s", service, q) // insufficient privilege
		}
	}
}

// checkTable compares what a role may do with a table with what was decided.
func (e *estate) checkTable(t *testing.T, db *sqldb.DB, service string, table sqldb.Access) {
	t.Helper()
	var may struct{ read, add, change, changeAny, remove, truncate, refer bool }
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT has_table_privilege($1, 'SELECT'), has_table_privilege($1, 'INSERT'), has_table_privilege($1, 'UPDATE'),
			has_any_column_privilege($1, 'UPDATE'), has_table_privilege($1, 'DELETE'), has_table_privilege($1, 'TRUNCATE'),
			has_table_privilege($1, 'REFERENCES, TRIGGER')`, table.Table).
			Scan(&may.read, &may.add, &may.change, &may.changeAny, &may.remove, &may.truncate, &may.refer)
	}))
	name := service + "." + table.Table
	assert.True(t, may.read && may.add, name)
	assert.Equal(t, len(table.Update) == 1 && table.Update[0] == "*", may.change, name)
	assert.Equal(t, len(table.Update) > 0, may.changeAny, name)
	assert.Equal(t, table.Delete, may.remove, name)
	assert.False(t, may.truncate || may.refer, name)
}

// checkLimits holds that limits on time bind whoever logs in as a service, with any program.
func (e *estate) checkLimits(t *testing.T, service string) {
	t.Helper()
	pool, err := sql.Open("pgx", ofService(e.service, service))
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	for setting, want := range map[string]string{"statement_timeout": "4s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s"} {
		var got string
		require.NoError(t, pool.QueryRowContext(t.Context(), "SHOW "+setting).Scan(&got))
		assert.Equal(t, want, got, "%s of %s", setting, service)
	}
}

// TestRoles_ANewTableNeedsADecision shows what somebody meets who adds a table and says nothing of it.
func TestRoles_ANewTableNeedsADecision(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	owner := e.open(t, e.owner, core.Name)
	require.NoError(t, owner.Migrate(t.Context(), core.Migrations()))
	role := ofService(e.appRole, core.Name)
	_, err := owner.Exec(t.Context(), "CREATE TABLE surprise (id TEXT)")
	require.NoError(t, err)
	require.ErrorContains(t, owner.Grant(t.Context(), role, core.Migrations()), "access.csv does not say what may be done with table surprise")
	_, err = owner.Exec(t.Context(), "DROP TABLE surprise")
	require.NoError(t, err)
	require.NoError(t, owner.Grant(t.Context(), role, core.Migrations()))
	require.ErrorContains(t, owner.Grant(t.Context(), e.ownerRole, core.Migrations()), "owns tables of the schema")
	require.ErrorContains(t, owner.Grant(t.Context(), "nobody_at_all", core.Migrations()), "no such role")
	require.ErrorContains(t, owner.Grant(t.Context(), "postgres", core.Migrations()), "superuser")
}

func TestServe_RefusesASchemaThatIsTooOld(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), nil))
		err := db.CheckVersion(t.Context(), core.Migrations())
		f, ok := fault.As(err)
		require.True(t, ok, "%v", err)
		require.Equal(t, sqldb.ReasonSchemaTooOld, f.Reason)
		require.ErrorContains(t, err, "run pcnfunding migrate "+db.Schema())
		require.NoError(t, db.Migrate(t.Context(), core.Migrations()))
		require.NoError(t, db.CheckVersion(t.Context(), core.Migrations()))
		require.NoError(t, db.CheckVersion(t.Context(), nil), "older code goes on with a newer schema")
	})
}

// tampering is what nobody may do with the ledger and the audit log, whoever they are.
func tampering(table string) []string {
	column := map[string]string{"entries": "amount_pence", "postings": "kind", "audit": "at", "audit_seal": "at"}[table]
	return []string{
		fmt.Sprintf("UPDATE %s SET %s = %[2]s + 1", table, column), "DELETE FROM " + table,
		fmt.Sprintf("UPDATE %s SET commissioner%s = 'X'", table, map[bool]string{true: "_code"}[table == "entries" || table == "postings"]),
	}
}

// TestLedger_IsAppendOnlyForEveryone tries to change what was posted and logged as the service and as the owner of the tables.
func TestLedger_IsAppendOnlyForEveryone(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		e := newEstate(t)
		e.migrate(t)
		owner := e.open(t, e.owner, payments.Name)
		service := e.open(t, e.service, payments.Name)
		postAndLog(t, service)
		for _, table := range []string{"entries", "postings", "audit", "audit_seal"} {
			statements := append(tampering(table), "TRUNCATE "+table+" CASCADE",
				"MERGE INTO "+table+" USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE")
			for _, q := range statements {
				_, err := service.Exec(t.Context(), q)
				require.ErrorContains(t, err, "42501", "as the service: %s", q)
				_, err = owner.Exec(t.Context(), q)
				require.ErrorContains(t, err, "append-only", "as the owner: %s", q)
			}
			var secured, forced bool
			require.NoError(t, owner.Read(t.Context(), func(q sqldb.Querier) error {
				return q.QueryRow(t.Context(), `SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = to_regclass($1)`, table).Scan(&secured, &forced)
			}))
			require.True(t, secured && forced, table)
		}
		// Row security stands by itself, for one who gets past the triggers.
		for _, table := range []string{"entries", "postings", "audit_seal"} {
			_, err := owner.Exec(t.Context(), "ALTER TABLE "+table+" DISABLE TRIGGER USER")
			require.NoError(t, err)
			for _, q := range tampering(table) {
				result, err := owner.Exec(t.Context(), q)
				require.NoError(t, err)
				n, err := result.RowsAffected()
				require.NoError(t, err)
				require.Zero(t, n, q)
			}
		}
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		db := testkit.SQLite(t, sqldb.Options{})
		require.NoError(t, db.Migrate(t.Context(), payments.Migrations()))
		postAndLog(t, db)
		for _, table := range []string{"entries", "postings", "audit", "audit_seal"} {
			for _, q := range append(tampering(table), "REPLACE INTO "+table+" SELECT * FROM "+table) {
				_, err := db.Exec(t.Context(), q)
				require.Error(t, err, q)
			}
		}
	})
}

// postAndLog writes a posting and a sealed entry of the audit log.
func postAndLog(t *testing.T, db *sqldb.DB) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for _, q := range []string{
			`INSERT INTO entries VALUES ('p1', 1, '15N', 1, 'A', 1, 100, 'l1', '2025-04-30', 1), ('p1', 2, '15N', 1, 'A', 2, -100, 'l1', '2025-04-30', 1)`,
			`INSERT INTO postings VALUES ('p1', '15N', 1, '2025-04-30', 1, 'schedule/1', '', 'ann', 2)`,
			`INSERT INTO audit VALUES ('a1', 1, 'ann', '', 'm', 'r', '15N', 's', NULL)`,
			`INSERT INTO audit_seal VALUES ('15N', 1, 1, 1, 'x')`,
			`UPDATE audit SET seal = 1`,
		} {
			if _, err := tx.Exec(t.Context(), q); err != nil {
				return fmt.Errorf("%s: %w", q, err)
			}
		}
		return nil
	}))
}

// TestAppendOnly_IsEnforcedByTheDatabase holds, for every table that access.csv calls append-only, that triggers refuse the rest even to its owner.
func TestAppendOnly_IsEnforcedByTheDatabase(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		for _, service := range serviceNames {
			db := open(t)
			require.NoError(t, db.Migrate(t.Context(), migrations(service)))
			tables, err := sqldb.Tables(migrations(service))
			require.NoError(t, err)
			for _, table := range tables {
				if !table.AppendOnly() || strings.HasPrefix(table.Table, "inbox_") {
					continue
				}
				refused := refusedEvents(t, db, table.Table)
				for _, event := range []string{"UPDATE", "DELETE", "TRUNCATE"} {
					if event == "TRUNCATE" && db.Dialect() == sqldb.SQLite {
						continue // it has none
					}
					assert.Contains(t, refused, event, "%s.%s", service, table.Table)
				}
			}
		}
	})
}

// refusedEvents returns the definitions of the triggers before changes of a table, in one text.
func refusedEvents(t *testing.T, db *sqldb.DB, table string) string {
	t.Helper()
	q := `SELECT COALESCE(group_concat(sql), '') FROM sqlite_master WHERE type = 'trigger' AND tbl_name = $1 AND sql LIKE '%RAISE(ABORT%'`
	if db.Dialect() == sqldb.Postgres {
		q = `SELECT COALESCE(string_agg(pg_get_triggerdef(oid), ' '), '') FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal
			AND tgtype & 2 = 2 AND tgqual IS NULL AND tgenabled = 'O'`
	}
	var text string
	require.NoError(t, db.Read(t.Context(), func(querier sqldb.Querier) error { return querier.QueryRow(t.Context(), q, table).Scan(&text) }))
	return text
}
