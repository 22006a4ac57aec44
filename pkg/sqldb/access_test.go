package sqldb_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// guarded are migrations of a table with row security.
func guarded(access string) fstest.MapFS {
	return fstest.MapFS{
		"00001_guarded.sql": {Data: []byte("-- +goose Up\nCREATE TABLE guarded (id BIGINT PRIMARY KEY, text TEXT NOT NULL);")},
		"00002_security.postgres.sql": {Data: []byte(`-- +goose Up
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY guarded_read ON guarded FOR SELECT USING (true);
CREATE POLICY guarded_add ON guarded FOR INSERT WITH CHECK (true);`)},
		"access.csv": {Data: []byte(access)},
	}
}

func TestTables_ReadsWhatMayBeDone(t *testing.T) {
	t.Parallel()
	tables, err := sqldb.Tables(guarded("table,update,delete\nguarded,text id,\n"))
	require.NoError(t, err)
	assert.Contains(t, tables, sqldb.Access{Table: "guarded", Update: []string{"text", "id"}})
	assert.Contains(t, tables, sqldb.Access{Table: "inbox_seen", Update: []string{}, Delete: true})
	for _, bad := range []string{
		"", "name,update,delete\n", "table,update,delete\nguarded,,\nDROP TABLE x,,\n", "table,update,delete\nguarded,text;,\n", "table,update,delete\nx\n",
	} {
		_, err := sqldb.Tables(guarded(bad))
		require.Error(t, err, bad)
	}
	_, err = sqldb.Tables(fstest.MapFS{})
	require.ErrorContains(t, err, "access.csv")
}

// TestBulkInsert_FillsATableWithRowSecurity holds that what COPY cannot fill is filled all the same, and whole or not at all.
func TestBulkInsert_FillsATableWithRowSecurity(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), guarded("table,update,delete\nguarded,,\n")))
		fill := func(from, to int, last error) error {
			return db.Write(t.Context(), func(tx *sqldb.Tx) error {
				n, err := tx.BulkInsert(t.Context(), "guarded", []string{"id", "text"}, func(yield func([]any, error) bool) {
					for i := from; i < to; i++ {
						if !yield([]any{i, fmt.Sprint(i)}, nil) {
							return
						}
					}
					if last != nil {
						yield(nil, last)
					}
				})
				if err == nil {
					require.EqualValues(t, to-from, n)
				}
				return err
			})
		}
		require.NoError(t, fill(0, 1203, nil))
		end := errors.New("the rows end")
		require.ErrorIs(t, fill(2000, 3100, end), end)
		require.True(t, sqldb.IsUnique(fill(1202, 1900, nil)))
		var rows, sum int64
		require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
			return q.QueryRow(t.Context(), `SELECT COUNT(*), SUM(id) FROM guarded`).Scan(&rows, &sum)
		}))
		assert.EqualValues(t, 1203, rows)
		assert.EqualValues(t, 1202*1203/2, sum)
		if db.Dialect() == sqldb.Postgres {
			_, err := db.Exec(t.Context(), `UPDATE guarded SET text = ''`)
			require.ErrorContains(t, err, "42501")
		}
	})
}
