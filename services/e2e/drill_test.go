package e2e

import (
	"context"
	cryptorand "crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // makes the Postgres driver known by name
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// newDatabase makes a database on the Postgres of the tests, with the roles and schemas that an installation has, and drops it at the end.
// It returns the address of the owner, and that of the services, in which {service} stands for each one's name.
func newDatabase(t *testing.T, binary string) (owner, service string) {
	t.Helper()
	server, err := url.Parse(os.Getenv(testkit.PostgresVariable))
	require.NoError(t, err)
	pool, err := sql.Open("pgx", server.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = pool.Close() })
	name := "e2e_" + strings.ToLower(cryptorand.Text())[:12]
	_, err = pool.ExecContext(t.Context(), "CREATE DATABASE "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		require.NoError(t, err)
		for _, role := range texts(t, pool, `SELECT rolname FROM pg_roles WHERE starts_with(rolname, $1)`, name+"_") {
			_, err := pool.ExecContext(context.Background(), "DROP ROLE "+role)
			require.NoError(t, err)
		}
	})
	as := func(role string) string {
		u := *server
		u.Path, u.User = "/"+name, url.User("ROLE")
		return strings.Replace(u.String(), "ROLE", role, 1)
	}
	owner, service = as(name+"_owner"), as(name+"_{service}")
	roles := program(t, binary, "migrate", "all", "--print-roles", "--owner-role", name+"_owner", "--app-role", name+"_{service}", "--database-url", owner)
	psql := exec.Command(postgresTool(t, "psql"), "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", as("postgres"))
	psql.Stdin = strings.NewReader(roles)
	out, err := psql.CombinedOutput()
	require.NoError(t, err, string(out))
	program(t, binary, "migrate", "all", "--app-role", name+"_{service}", "--database-url", owner)
	return owner, service
}

// texts returns the one column of a query.
func texts(t *testing.T, pool *sql.DB, query string, args ...any) (list []string) {
	t.Helper()
	rows, err := pool.QueryContext(context.Background(), query, args...)
	require.NoError(t, err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		require.NoError(t, rows.Scan(&text))
		list = append(list, text)
	}
	require.NoError(t, rows.Err())
	return list
}

// postgresTool finds a program of Postgres as .ci/postgres does.
func postgresTool(t *testing.T, name string) string {
	t.Helper()
	places, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	require.NoError(t, err)
	if len(places) > 0 {
		return places[len(places)-1]
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err)
	return path
}

// program runs the program, which must succeed, and returns what it prints.
func program(t *testing.T, binary string, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
	return string(out)
}

// run runs a command on the databases of a suite.
func (m *mortal) run(args ...string) (string, error) {
	m.t.Helper()
	out, err := exec.Command(m.harness.binary, append(args, m.storage...)...).CombinedOutput()
	return string(out), err
}

// do runs a command that must succeed.
func (m *mortal) do(args ...string) string {
	m.t.Helper()
	out, err := m.run(args...)
	require.NoError(m.t, err, "%v: %s", args, out)
	return out
}

// awaitEvents waits until the streams hold what the databases do.
func (m *mortal) awaitEvents() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var out string
	err := m.harness.wait(ctx, "streams and databases to hold the same", func() (same bool) {
		var err error
		out, err = m.run("events", "check", "--nats", "nats://"+m.nats)
		return err == nil && !strings.Contains(strings.ReplaceAll(out, " 0 wait", ""), " wait to be published")
	})
	require.NoError(m.t, err, out)
}

// drill is what an operator practises, on a suite whose books are known: take a backup while it runs; lose a stream; lose everything,
// restore it elsewhere and rebuild the streams; lose one service's newest days. The books must be the same after each.
func drill(t *testing.T, m, spare *mortal, books map[string]any) {
	t.Helper()
	backup := filepath.Join(t.TempDir(), "backup")
	m.start()
	m.awaitEvents()
	t.Log(m.do("backup", backup))

	// F6: the stream is lost and made again from the outbox.
	m.do("events", "rebuild", "core", "--replace", "--nats", "nats://"+m.nats)
	m.awaitEvents()
	require.Equal(t, books, m.books())

	// F20: core goes back to the backup, while the stream and payments know of a month that it closed since.
	closing := change{name: "close later", role: "finance_preparer", path: "/v1/core/commissioners/" + killOf + "/months/2022-06:close", body: fixed("{}")}
	m.perform(closing)
	run := m.read("/v1/payments/runs/"+killOf+"-2022-06-1", there)
	m.kill()
	m.forget("core")
	t.Log(m.do("restore", backup, "--service", "core"))
	m.grant()
	m.start()
	out, err := m.run("events", "check", "core", "--nats", "nats://"+m.nats)
	require.Error(t, err)
	require.Contains(t, out, "are in the stream only, so the database is older than the stream: pcnfunding events adopt core")
	t.Log(m.do("events", "adopt", "core", "--nats", "nats://"+m.nats))
	m.awaitEvents()
	m.perform(closing) // its answer was lost with the database, and so was what it did
	m.awaitEvents()
	m.settled()
	again := m.read("/v1/payments/runs/"+killOf+"-2022-06-1", there)
	require.Equal(t, run["totals"], again["totals"], "the month counts once")
	m.kill()

	// Everything is lost, streams included.
	spare.forget("*")
	t.Log(spare.do("restore", backup))
	spare.grant()
	spare.do("events", "rebuild", "all")
	spare.start()
	spare.awaitEvents()
	spare.settled()
	require.Equal(t, books, spare.books())
	spare.do("audit", "verify")
	_, err = spare.run("restore", backup)
	require.Error(t, err, "what is there is not written over")
	spare.kill()
}

// grant gives the roles of services their rights again, which a backup leaves out.
func (m *mortal) grant() {
	m.t.Helper()
	if m.storage[0] == "--database-url" {
		name := strings.TrimSuffix(strings.SplitN(strings.TrimPrefix(m.storage[1], "postgres://"), "@", 2)[0], "_owner")
		m.do("migrate", "all", "--app-role", name+"_{service}")
	}
}

// forget loses the data of a service, or of all with *.
func (m *mortal) forget(service string) {
	m.t.Helper()
	if m.storage[0] != "--database-url" {
		files, err := filepath.Glob(filepath.Join(m.harness.dataDir, service+".db*"))
		require.NoError(m.t, err)
		for _, file := range files {
			require.NoError(m.t, os.Remove(file))
		}
		return
	}
	pool, err := sql.Open("pgx", m.storage[1])
	require.NoError(m.t, err)
	defer func() { _ = pool.Close() }()
	const owned = `SELECT nspname FROM pg_namespace WHERE nspowner = current_user::regrole AND nspname LIKE $1`
	for _, schema := range texts(m.t, pool, owned, strings.ReplaceAll(service, "*", "%")) {
		_, err := pool.ExecContext(m.t.Context(), "DROP SCHEMA "+schema+" CASCADE")
		require.NoError(m.t, err)
	}
}

// settled waits until payments has nothing left to take in, and holds that nothing is in quarantine.
func (m *mortal) settled() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	token, err := m.harness.mint("operator", "")
	require.NoError(m.t, err)
	require.NoError(m.t, m.harness.wait(ctx, "payments to take everything in", func() bool {
		got, err := m.harness.send(ctx, request{method: "GET", path: "/v1/payments/held-events", token: token})
		return err == nil && got.Status == 200 && !strings.Contains(string(got.Body), `"event_id"`)
	}))
}
