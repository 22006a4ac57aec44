package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

var errAbsent = errors.New("there is no such thing")

func things(where string, args ...any) sqldb.Select[string] {
	return sqldb.Select[string]{
		Scan: func(row sqldb.Row) (id string, err error) { err = row.Scan(&id); return id, err },
		Text: `SELECT id FROM thing WHERE ` + where + ` ORDER BY id`, Args: args,
	}
}

func queueThing(ctx context.Context, tx *sqldb.Tx, id string) error {
	return tx.Queue(ctx, "add "+id, `INSERT INTO thing (id, pence) VALUES ($1, 1)`, id)
}

// Whatever is run next finds what was queued, whichever way it is run.
func TestQueue_ComesBeforeWhatIsRunAfterIt(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), schema()))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			require.NoError(t, queueThing(t.Context(), tx, "a"))
			var n int
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FROM thing`).Scan(&n))
			assert.Equal(t, 1, n)
			require.NoError(t, queueThing(t.Context(), tx, "b"))
			got, err := things(`1 = 1`).All(t.Context(), tx)
			require.NoError(t, err)
			assert.Equal(t, []string{"a", "b"}, got)
			require.NoError(t, queueThing(t.Context(), tx, "c"))
			result, err := tx.Exec(t.Context(), `UPDATE thing SET pence = 2`)
			require.NoError(t, err)
			touched, err := result.RowsAffected()
			require.NoError(t, err)
			assert.EqualValues(t, 3, touched)
			require.NoError(t, queueThing(t.Context(), tx, "d"))
			var b sqldb.Batch
			late, none := things(`id > $1`, "b").In(&b), things(`id = 'x'`).In(&b)
			require.NoError(t, tx.Send(t.Context(), &b))
			assert.Equal(t, []string{"c", "d"}, *late)
			assert.Empty(t, *none)
			return queueThing(t.Context(), tx, "e")
		}))
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			var b sqldb.Batch
			all := things(`1 = 1`).In(&b)
			require.NoError(t, q.Send(t.Context(), &b))
			assert.Equal(t, []string{"a", "b", "c", "d", "e"}, *all, "the last one went with the commit")
			_, err := things(`id = 'x'`).First(t.Context(), q)
			require.Error(t, err)
			return nil
		}))
	})
}

// What was queued and fails undoes everything, even if the closure goes on, and even where it is found out with the commit alone.
func TestQueue_AFailureIsThatOfTheTransaction(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), schema()))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return queueThing(t.Context(), tx, "a") }))
		for name, then := range map[string]func(*sqldb.Tx) error{
			"nothing":             func(*sqldb.Tx) error { return nil },
			"another statement":   func(tx *sqldb.Tx) error { _, _ = tx.Exec(t.Context(), `UPDATE thing SET pence = 3`); return nil },
			"a row":               func(tx *sqldb.Tx) error { var n int; return tx.QueryRow(t.Context(), `SELECT 1`).Scan(&n) },
			"an error of its own": func(tx *sqldb.Tx) error { _, _ = tx.Query(t.Context(), `SELECT 1`); return errAbsent }, //nolint:rowserrcheck,sqlclosecheck // it fails
		} {
			err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
				if err := add(t.Context(), tx, "new-"+name, 1); err != nil {
					return err
				}
				_ = queueThing(t.Context(), tx, "a")
				return then(tx)
			})
			require.ErrorContains(t, err, "add a: ", name)
			assert.True(t, sqldb.IsUnique(err), "%s: %v", name, err)
		}
		assert.Equal(t, []string{"a"}, stored(t, db))
	})
}

func stored(t *testing.T, db *sqldb.DB) (ids []string) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) (err error) {
		ids, err = things(`1 = 1`).All(t.Context(), q)
		return err
	}))
	return ids
}

// A statement that must touch a row and touches none is no error to the engine: the commit must not go with it.
func TestQueueFirst_NothingIsCommittedBesideARowThatIsNotThere(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), schema()))
		take := func(id string) error {
			return db.Write(t.Context(), func(tx *sqldb.Tx) error {
				if err := tx.QueueFirst(t.Context(), errAbsent, "take", `UPDATE thing SET pence = 0 WHERE id = $1`, id); err != nil {
					return err
				}
				return queueThing(t.Context(), tx, "taken-"+id)
			})
		}
		require.ErrorIs(t, take("a"), errAbsent)
		assert.Empty(t, stored(t, db))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return queueThing(t.Context(), tx, "a") }))
		require.NoError(t, take("a"))
		assert.Equal(t, []string{"a", "taken-a"}, stored(t, db))
	})
}

// A statement that is kept prepared must serve while an earlier use of the same text is still being read, after the table has changed, and
// once it was thrown out for others.
func TestSQLite_KeptStatementsServeAgain(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), schema()))
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for _, id := range []string{"a", "b"} {
			require.NoError(t, queueThing(t.Context(), tx, id))
		}
		const text = `SELECT id FROM thing ORDER BY id`
		outer, err := tx.Query(t.Context(), text)
		require.NoError(t, err)
		defer outer.Close() //nolint:errcheck // Err is looked at
		var got []string
		for outer.Next() {
			id, err := sqldb.Text(outer)
			require.NoError(t, err)
			inner, err := sqldb.Collect(t.Context(), tx, sqldb.Text, text)
			require.NoError(t, err)
			got = append(got, fmt.Sprint(id, inner))
		}
		assert.Equal(t, []string{"a[a b]", "b[a b]"}, got)
		return outer.Err()
	}))
	_, err := db.Exec(t.Context(), `ALTER TABLE thing ADD COLUMN note TEXT NOT NULL DEFAULT 'n'`)
	require.NoError(t, err)
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for i := range 600 {
			rows, err := sqldb.Collect(t.Context(), tx, sqldb.Text, fmt.Sprintf(`SELECT note FROM thing WHERE id = $1 AND pence < %d`, i+2), "a")
			require.NoError(t, err)
			require.Equal(t, []string{"n"}, rows)
		}
		return queueThing(t.Context(), tx, "c")
	}))
	assert.Equal(t, []string{"a", "b", "c"}, stored(t, db))
}

func TestWrite_TellsWhereADroppedErrorUndidIt(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		hooked := false
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			tx.AfterCommit(func() { hooked = true })
			require.NoError(t, add(t.Context(), tx, "a", 1))
			_ = add(t.Context(), tx, "a", 1)
			return nil
		})
		if db.Dialect() == sqldb.SQLite { // undoes the statement alone
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "its error was dropped")
		}
		require.Equal(t, err == nil, hooked)
		require.Equal(t, err == nil, count(t, db) == 1)
	})
}

// The test ends by its time limit where the connection waits for the rows.
func TestTransaction_EndsThoughRowsWereLeftOpen(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			return errors.Join(add(t.Context(), tx, "a", 1), add(t.Context(), tx, "b", 1))
		}))
		leave := func(q sqldb.Querier) error {
			rows, err := q.Query(t.Context(), `SELECT id FROM thing`) //nolint:rowserrcheck,sqlclosecheck // they are left as they are
			require.NoError(t, err)
			require.True(t, rows.Next())
			return errors.New("left")
		}
		require.ErrorContains(t, db.Read(t.Context(), leave), "left")
		require.ErrorContains(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return leave(tx) }), "left")
		require.Panics(t, func() { _ = db.Write(t.Context(), func(tx *sqldb.Tx) error { panic(leave(tx)) }) })
		require.Equal(t, 2, count(t, db))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			for range 50 { // more than are kept in mind
				if _, err := sqldb.Collect(t.Context(), tx, sqldb.Text, `SELECT id FROM thing`); err != nil {
					return err
				}
			}
			return nil
		}))
	})
}
