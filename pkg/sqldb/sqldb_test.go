package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"math"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// schema is what the tests of this package work on.
func schema() fs.FS {
	return fstest.MapFS{
		"00001_things.sql": {Data: []byte(`-- +goose Up
			CREATE TABLE thing (
				id TEXT NOT NULL PRIMARY KEY, pence BIGINT NOT NULL CHECK (pence <> 13), day TEXT, is_paid BOOLEAN, body BYTEA,
				parent TEXT REFERENCES thing (id));`)},
		"00002_engine.postgres.sql": {Data: []byte("-- +goose Up\nCREATE TABLE engine (name TEXT);\nINSERT INTO engine VALUES ('postgres');")},
		"00002_engine.sqlite.sql":   {Data: []byte("-- +goose Up\nCREATE TABLE engine (name TEXT);\nINSERT INTO engine VALUES ('sqlite');")},
	}
}

// onBoth runs test on each engine, with the tables made.
func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), schema()))
		test(t, db)
	})
}

func add(ctx context.Context, tx *sqldb.Tx, id string, pence int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO thing (id, pence) VALUES ($1, $2)`, id, pence)
	return err
}

func count(t *testing.T, db *sqldb.DB) (n int) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT count(*) FROM thing`).Scan(&n)
	}))
	return n
}

func TestMigrate_IsSafeToRepeatAndKeepsToTheEngine(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Migrate(t.Context(), schema()))
		var name string
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT name FROM engine`).Scan(&name)
		}))
		assert.Equal(t, db.Dialect().String(), name)
	})
}

func TestMigrate_RunsOnceWhenStartedManyTimes(t *testing.T) {
	t.Parallel()
	db := testkit.PostgresOwned(t, sqldb.Options{})
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { errs[i] = db.Migrate(t.Context(), schema()) })
	}
	group.Wait()
	require.NoError(t, errors.Join(errs...))
}

func TestMigrate_AFileThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		broken := fstest.MapFS{"00001_x.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half (a TEXT);\nCREATE TABLE half (a TEXT);")}}
		require.Error(t, db.Migrate(t.Context(), broken))
		broken["00001_x.sql"].Data = []byte("-- +goose Up\nCREATE TABLE half (a TEXT);")
		require.NoError(t, db.Migrate(t.Context(), broken))
	})
}

func TestWrite_CommitsAndThenRunsTheHooks(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		hooks := 0
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			tx.AfterCommit(func() { hooks++ })
			tx.Raise("topic")
			tx.Raise("topic")
			begun := tx.Now()
			assert.Equal(t, time.UTC, begun.Location())
			assert.Equal(t, begun, tx.Now())
			assert.Empty(t, db.Signal("topic"), "nothing is raised before the commit")
			return add(t.Context(), tx, "a", 1)
		}))
		assert.Equal(t, 1, hooks)
		assert.Len(t, db.Signal("topic"), 1)
		assert.Equal(t, 1, count(t, db))
	})
}

func TestWrite_LeavesNothingOfAFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		refused := fault.New(fault.Refused, "NO", "no")
		never := func() { t.Error("the hook ran without a commit") }
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			tx.AfterCommit(never)
			require.NoError(t, add(t.Context(), tx, "a", 1))
			return refused
		})
		require.ErrorIs(t, err, refused)
		assert.Panics(t, func() {
			_ = db.Write(t.Context(), func(tx *sqldb.Tx) error {
				tx.AfterCommit(never)
				require.NoError(t, add(t.Context(), tx, "b", 1))
				panic("of the closure")
			})
		})
		ctx, cancel := context.WithCancel(t.Context())
		err = db.Write(ctx, func(tx *sqldb.Tx) error {
			tx.AfterCommit(never)
			require.NoError(t, add(ctx, tx, "c", 1))
			cancel()
			return nil
		})
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, count(t, db))
	})
}

func TestWrite_NamesTheEndOfItsContext(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		refused := fault.New(fault.Refused, "NO", "no")
		for of, want := range map[error]error{
			errors.New("sql: statement is closed"): context.Canceled, // what database/sql says, and does not export
			sql.ErrTxDone:                          context.Canceled,
			refused:                                refused,
		} {
			ctx, cancel := context.WithCancel(t.Context())
			err := db.Write(ctx, func(*sqldb.Tx) error {
				cancel()
				return of
			})
			require.ErrorIs(t, err, want)
			require.Equal(t, errors.Is(want, context.Canceled), errors.Is(err, context.Canceled))
		}
	})
}

func TestTypes_ReadBackAsWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		type thing struct {
			pence int64
			day   *string
			paid  *bool
			body  []byte
		}
		day, yes, no := "2024-02-29", true, false
		for id, want := range map[string]thing{
			"a":        {pence: math.MaxInt64, day: &day, paid: &yes, body: []byte{0, 1, 255}},
			"A":        {pence: math.MinInt64, paid: &no, body: []byte{}},
			"é'\"; --": {pence: 0},
		} {
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO thing (body, is_paid, day, pence, id) VALUES ($5, $4, $3, $2, $1)`,
					id, want.pence, want.day, want.paid, want.body)
				return err
			}))
			var got thing
			var isNull bool
			require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
				row := q.QueryRow(t.Context(), `SELECT pence, day, is_paid, body, body IS NULL FROM thing WHERE id = $1`, id)
				return row.Scan(&got.pence, &got.day, &got.paid, &got.body, &isNull)
			}))
			if got.body == nil && want.body != nil {
				got.body = []byte{} // an empty value may read back as nil; that it is not NULL is in isNull
			}
			assert.Equal(t, want, got, id)
			assert.Equal(t, want.body == nil, isNull, id)
		}
	})
}

func TestMicros_RoundTrips(t *testing.T) {
	t.Parallel()
	now := time.Date(2022, 7, 1, 0, 30, 0, 123456000, time.FixedZone("BST", 3600))
	assert.Equal(t, now.UTC(), sqldb.FromMicros(sqldb.Micros(now)))
}

func TestRead_SeesOneSnapshotAndCannotWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const q = `SELECT count(*) FROM thing`
		require.NoError(t, db.Read(t.Context(), func(r sqldb.Querier) error {
			var before, after int
			require.NoError(t, r.QueryRow(t.Context(), q).Scan(&before))
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return add(t.Context(), tx, "a", 1) }))
			require.NoError(t, r.QueryRow(t.Context(), q).Scan(&after))
			assert.Equal(t, before, after)
			return nil
		}))
		require.Error(t, db.Read(t.Context(), func(r sqldb.Querier) error {
			_, err := r.Exec(t.Context(), `DELETE FROM thing`)
			return err
		}))
		assert.Equal(t, 1, count(t, db))
	})
}

func TestErrors_AreTold(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		write := func(q string, args ...any) error {
			return db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), q, args...)
				return err
			})
		}
		require.NoError(t, write(`INSERT INTO thing (id, pence) VALUES ('a', 1)`))
		unique := write(`INSERT INTO thing (id, pence) VALUES ('a', 1)`)
		assert.True(t, sqldb.IsUnique(unique))
		assert.False(t, sqldb.IsCheck(unique))
		assert.True(t, sqldb.IsCheck(write(`INSERT INTO thing (id, pence) VALUES ('b', 13)`)))
		assert.True(t, sqldb.IsForeignKey(write(`INSERT INTO thing (id, pence, parent) VALUES ('b', 1, 'nobody')`)))
		assert.False(t, sqldb.IsUnique(nil))

		err := db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT pence FROM thing WHERE id = 'z'`).Scan(new(int64))
		})
		require.ErrorIs(t, err, sql.ErrNoRows)

		require.NoError(t, db.Ping(t.Context()))
		require.NoError(t, db.Close())
		require.Error(t, db.Ping(t.Context()))
		require.Error(t, write(`INSERT INTO thing (id, pence) VALUES ('c', 1)`))
	})
}

// A transaction that reads a sum and writes by it must not miss another that does the same at the same time; and without a lock
// all of them must get through.
func TestWrite_ActsAsIfAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const writers, limit = 40, 30
		spend := func(tx *sqldb.Tx) error {
			var sum int64
			if err := tx.QueryRow(t.Context(), `SELECT coalesce(sum(pence), 0) FROM thing`).Scan(&sum); err != nil || sum >= limit {
				return err
			}
			return add(t.Context(), tx, tx.NewID(), 1)
		}
		together(writers, func(int) {
			assert.NoError(t, db.Write(t.Context(), spend))
		})
		assert.Equal(t, limit, count(t, db))
	})
}

// With the aggregate locked nobody has to give up, however many there are.
func TestLock_LetsEveryoneThrough(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const writers = 30
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return add(t.Context(), tx, "a", 0) }))
		together(writers, func(int) {
			assert.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				if err := tx.Lock(t.Context(), "thing/a"); err != nil {
					return err
				}
				var pence int64
				if err := tx.QueryRow(t.Context(), `SELECT pence FROM thing WHERE id = 'a'`).Scan(&pence); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), `UPDATE thing SET pence = $1 WHERE id = 'a'`, pence+100)
				return err
			}))
		})
		var pence int64
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT pence FROM thing WHERE id = 'a'`).Scan(&pence)
		}))
		assert.EqualValues(t, writers*100, pence)
	})
}

// together runs fn so many times at once.
func together(n int, fn func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	group.Wait()
}

func TestNewID_SortsByTimeAndOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		last := ""
		for range 3 {
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				for range 3 {
					id := tx.NewID()
					assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
					assert.Greater(t, id, last)
					last = id
				}
				return nil
			}))
		}
	})
}
