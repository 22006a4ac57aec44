package sqldb_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func TestOpen_RefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  string
		opts sqldb.Options
		want string
	}{
		"no clock":      {url: "sqlite:/x", want: "no clock"},
		"other engine":  {url: "mysql://x", opts: sqldb.Options{Clock: time.Now}, want: "must begin with"},
		"no file":       {url: "sqlite:", opts: sqldb.Options{Clock: time.Now}, want: "no file"},
		"schema's name": {url: "postgres://x", opts: sqldb.Options{Clock: time.Now, Schema: "a; DROP"}, want: "identifier"},
		"no directory":  {url: "sqlite:" + t.TempDir() + "/none/x.db", opts: sqldb.Options{Clock: time.Now}, want: "no such file"},
	} {
		_, err := sqldb.Open(t.Context(), c.url, c.opts)
		assert.ErrorContains(t, err, c.want, name)
	}
}

func TestSQLite_PathsAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b?c#d%20.db")
	db, err := sqldb.Open(t.Context(), "sqlite:"+path, sqldb.Options{Clock: time.Now})
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), nil))
	require.NoError(t, db.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode(), "the file is for its owner only")
}

// A copy of the files of a database in use is what a crash leaves behind.
func TestSQLite_LooksForDamageAfterACrash(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), schema()))
	var middle string
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for i := range 300 {
			id := tx.NewID()
			if i == 150 {
				middle = id
			}
			if err := add(t.Context(), tx, id, 1); err != nil {
				return err
			}
		}
		return nil
	}))
	_, err := db.Exec(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)")
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return add(t.Context(), tx, "last", 1) }))

	settings, err := db.Durability(t.Context())
	require.NoError(t, err)
	for _, s := range settings {
		assert.True(t, s.Safe, s.Name)
	}
	whole := crashCopy(t, db, func([]byte) {})
	reopened, err := sqldb.Open(t.Context(), "sqlite:"+whole, sqldb.Options{Clock: time.Now})
	require.NoError(t, err)
	assert.Equal(t, 301, count(t, reopened))
	require.NoError(t, reopened.Close())

	damaged := crashCopy(t, db, func(body []byte) {
		const page = 4096
		at := bytes.Index(body, []byte(middle)) / page * page
		copy(body[at:], bytes.Repeat([]byte{0x5a}, page))
	})
	_, err = sqldb.Open(t.Context(), "sqlite:"+damaged, sqldb.Options{Clock: time.Now})
	require.ErrorContains(t, err, "was not closed properly")
}

// crashCopy copies the files of an open database, the main one changed by spoil.
func crashCopy(t *testing.T, db *sqldb.DB, spoil func([]byte)) string {
	t.Helper()
	var from string
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&from)
	}))
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		body, err := os.ReadFile(from + suffix)
		require.NoError(t, err)
		if suffix == "" {
			spoil(body)
		}
		require.NoError(t, os.WriteFile(to+suffix, body, 0o600))
	}
	return to
}

func TestSQLite_FullDiskIsBusyAndReadingGoesOn(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), schema()))
	_, err := db.Exec(t.Context(), "PRAGMA max_page_count = 1") // SQLite takes the present size instead
	require.NoError(t, err)
	fill := func(tx *sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO thing (id, pence, body) VALUES ('big', 1, $1)`, make([]byte, 1<<20))
		return err
	}
	err = db.Write(t.Context(), fill)
	f, ok := fault.As(err)
	require.True(t, ok, err)
	assert.Equal(t, fault.Busy, f.Kind)
	assert.Equal(t, sqldb.ReasonStorageFull, f.Reason)
	assert.Zero(t, count(t, db))

	_, err = db.Exec(t.Context(), "PRAGMA max_page_count = 1000000")
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), fill))
}

func TestPostgres_RefusesToRunUnsafe(t *testing.T) {
	t.Parallel()
	testkit.PostgresOwned(t, sqldb.Options{}) // skips or fails without a server
	address := postgresWith(t, "synchronous_commit", "off")
	_, err := sqldb.Open(t.Context(), address, sqldb.Options{Clock: time.Now})
	require.ErrorContains(t, err, "synchronous_commit is off")
	db, err := sqldb.Open(t.Context(), address, sqldb.Options{Clock: time.Now, AllowUnsafe: true})
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// postgresWith returns the test server's address with a session setting.
func postgresWith(t *testing.T, name, value string) string {
	t.Helper()
	u, err := url.Parse(os.Getenv(testkit.PostgresVariable))
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

func TestPostgres_ServerOutOfReachIsBusy(t *testing.T) {
	t.Parallel()
	_, err := sqldb.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none?sslmode=disable", sqldb.Options{Clock: time.Now})
	assert.Equal(t, sqldb.ReasonTryAgain, fault.ReasonOf(err), err)
}

func TestPostgres_LockTimeoutIsBusy(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
		require.NoError(t, tx.Lock(t.Context(), "thing/a"))
		return db.Write(t.Context(), func(other *sqldb.Tx) error { return other.Lock(t.Context(), "thing/a") })
	})
	f, ok := fault.As(err)
	require.True(t, ok, err)
	assert.Equal(t, fault.Busy, f.Kind)
	assert.Equal(t, sqldb.ReasonTryAgain, f.Reason)
}

func TestPostgres_LongJobsRaiseTheirLimit(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	limit := func(tx *sqldb.Tx) (s string) {
		require.NoError(t, tx.QueryRow(t.Context(), "SHOW statement_timeout").Scan(&s))
		return s
	}
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		assert.Equal(t, "4s", limit(tx))
		require.NoError(t, tx.Allow(t.Context(), time.Minute))
		assert.Equal(t, "1min", limit(tx))
		return nil
	}))
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		assert.Equal(t, "4s", limit(tx))
		return nil
	}))
}

// A locked aggregate must be free again after every retry, or the pool would hand out connections that hold it.
func TestPostgres_KeepsNoLockAfterARetry(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), schema()))
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return add(t.Context(), tx, "a", 0) }))
	together(10, func(int) {
		assert.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			if err := tx.Lock(t.Context(), "thing/a"); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `UPDATE thing SET pence = pence + 100 WHERE id = 'a'`)
			return err
		}))
	})
	var held int
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'advisory' AND a.application_name = $1`, "pcnfunding-"+db.Schema()).Scan(&held)
	}))
	assert.Zero(t, held)
}

func TestPostgres_LostConnectionIsBusyAndThenForgotten(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), schema()))
	err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
		var pid int
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
		_, err := db.Exec(t.Context(), "SELECT pg_terminate_backend($1)", pid)
		require.NoError(t, err)
		return add(t.Context(), tx, "a", 1)
	})
	require.Equal(t, sqldb.ReasonTryAgain, fault.ReasonOf(err), err)
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return add(t.Context(), tx, "a", 1) }))
}

func TestLead_OneAtATimeAndTheNextTakesOver(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		leads := make(chan int)
		var stops [2]context.CancelFunc
		done := make(chan error, 2)
		for i := range stops {
			var ctx context.Context
			ctx, stops[i] = context.WithCancel(t.Context())
			go func() {
				done <- db.Lead(ctx, "work", func(ctx context.Context) error {
					leads <- i
					<-ctx.Done()
					return context.Cause(ctx)
				})
			}()
		}
		first := <-leads
		select {
		case <-leads:
			t.Fatal("two lead at once")
		case <-time.After(1500 * time.Millisecond):
		}
		stops[first]()
		require.ErrorIs(t, <-done, context.Canceled)
		assert.Equal(t, 1-first, <-leads)
		stops[1-first]()
		require.ErrorIs(t, <-done, context.Canceled)
	})
}

func TestLead_EndsWithItsConnection(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	err := db.Lead(t.Context(), "work", func(ctx context.Context) error {
		_, err := db.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid IN
			(SELECT pid FROM pg_stat_activity WHERE application_name = $1)`, "pcnfunding-"+db.Schema())
		require.NoError(t, err)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	require.ErrorContains(t, err, "the connection that holds the lead is lost")
	require.NotErrorIs(t, err, context.Canceled)
}

func TestLead_HearsSignalsOfOtherProcesses(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	other := testkit.PostgresOwned(t, sqldb.Options{Schema: db.Schema()})
	ctx, stop := context.WithCancel(t.Context())
	waiting := make(chan struct{})
	err := db.Lead(ctx, "work", func(leading context.Context) error {
		go func() {
			defer close(waiting)
			_ = other.Lead(ctx, "work", func(context.Context) error { return nil })
		}()
		other.Raise("work")
		select {
		case <-db.Signal("work"):
		case <-leading.Done():
		}
		return leading.Err()
	})
	stop()
	<-waiting
	require.NoError(t, err)
}

func TestDialect_NamesItself(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "sqlite postgres Dialect(0)", strings.Join([]string{
		sqldb.SQLite.String(), sqldb.Postgres.String(), sqldb.Dialect(0).String(),
	}, " "))
}

func TestAnalyze_TellsThePlannerOfRowsOfItsOwnTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			for i := range 30 {
				if err := add(t.Context(), tx, string(rune('a'+i)), 1); err != nil {
					return err
				}
			}
			require.NoError(t, tx.Analyze(t.Context(), "thing"))
			if tx.Dialect() == sqldb.SQLite {
				return nil
			}
			require.ErrorContains(t, tx.Analyze(t.Context(), "thing; DROP"), "identifier")
			var rows int64
			err := tx.QueryRow(t.Context(), `SELECT reltuples FROM pg_class WHERE oid = 'thing'::regclass`).Scan(&rows)
			require.EqualValues(t, 30, rows)
			return err
		}))
	})
}
