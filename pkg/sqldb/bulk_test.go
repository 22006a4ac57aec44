package sqldb_test

import (
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func thingRows(n int, prefix string) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for i := range n {
			if !yield([]any{fmt.Sprintf("%s%07d", prefix, i), int64(i) + 100, "2024-04-01", i%2 == 0, []byte{byte(i)}}, nil) {
				return
			}
		}
	}
}

var thingColumns = []string{"id", "pence", "day", "is_paid", "body"}

func TestBulkInsert_StoresEveryRow(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		for _, n := range []int{0, 1, 15, 16, 17, 119, 120, 121, 5000} {
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), `DELETE FROM thing`)
				require.NoError(t, err)
				stored, err := tx.BulkInsert(t.Context(), "thing", thingColumns, thingRows(n, ""))
				assert.EqualValues(t, n, stored)
				return err
			}))
			assert.Equal(t, n, count(t, db))
		}
		var sum int64
		var paid int
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT sum(pence), count(CASE WHEN is_paid THEN 1 END) FROM thing WHERE day = '2024-04-01'`).
				Scan(&sum, &paid)
		}))
		assert.EqualValues(t, 5000*4999/2+5000*100, sum)
		assert.Equal(t, 2500, paid)
	})
}

func TestBulkInsert_ComesAfterAndBeforeOtherStatements(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			require.NoError(t, add(t.Context(), tx, "before", 1))
			_, err := tx.BulkInsert(t.Context(), "thing", thingColumns, thingRows(10, ""))
			require.NoError(t, err)
			return add(t.Context(), tx, "after", 1)
		}))
		assert.Equal(t, 12, count(t, db))
	})
}

func TestBulkInsert_AnErrorLeavesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		broken := errors.New("row 400 is broken")
		failing := func(yield func([]any, error) bool) {
			for row, err := range thingRows(400, "") {
				if !yield(row, err) {
					return
				}
			}
			yield(nil, broken)
		}
		short := func(yield func([]any, error) bool) { yield([]any{"a"}, nil) }
		insert := func(table string, columns []string, rows iter.Seq2[[]any, error]) error {
			return db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.BulkInsert(t.Context(), table, columns, rows)
				return err
			})
		}
		require.ErrorIs(t, insert("thing", thingColumns, failing), broken)
		require.ErrorContains(t, insert("thing", thingColumns, short), "1 values for 5 columns")
		require.ErrorContains(t, insert("thing; --", thingColumns, thingRows(1, "")), "identifier")
		require.ErrorContains(t, insert("thing", []string{"id, pence"}, thingRows(1, "")), "identifier")
		require.ErrorContains(t, insert("thing", nil, thingRows(1, "")), "no columns")
		twice := func(yield func([]any, error) bool) {
			for range 2 {
				if !yield([]any{"a", 1}, nil) {
					return
				}
			}
		}
		assert.True(t, sqldb.IsUnique(insert("thing", []string{"id", "pence"}, twice)))
		assert.Zero(t, count(t, db))
	})
}

// BenchmarkBulkInsert stores 6,600 rows, a month's file of practices, in one transaction.
func BenchmarkBulkInsert(b *testing.B) {
	const rows = 6600
	open := map[string]func() *sqldb.DB{
		"sqlite":   func() *sqldb.DB { return testkit.SQLite(b, sqldb.Options{}) },
		"postgres": func() *sqldb.DB { return testkit.PostgresOwned(b, sqldb.Options{}) },
	}
	for name, open := range open {
		b.Run(name, func(b *testing.B) {
			db := open()
			require.NoError(b, db.Migrate(b.Context(), schema()))
			for round := 0; b.Loop(); round++ {
				require.NoError(b, db.Write(b.Context(), func(tx *sqldb.Tx) error {
					_, err := tx.BulkInsert(b.Context(), "thing", thingColumns, thingRows(rows, fmt.Sprintf("%d-", round)))
					return err
				}))
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
