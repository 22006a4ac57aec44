package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func onBoth(t *testing.T, test func(t *testing.T, db *sqldb.DB)) {
	t.Helper()
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), nil))
		test(t, db)
	})
}

func entry(commissioner string, n int) audit.Entry {
	return audit.Entry{
		Actor: "ann", Roles: []string{"finance_approver", "auditor"}, Method: "/test.Service/Approve",
		Resource: fmt.Sprintf("runs/%s-%d", commissioner, n), CommissionerCode: commissioner, Summary: "approved",
	}
}

// addAll writes so many entries for each commissioner, in one transaction.
func addAll(t *testing.T, db *sqldb.DB, n int, commissioners ...string) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		for i := range n {
			for _, c := range commissioners {
				if err := audit.Add(t.Context(), tx, entry(c, i)); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

func list(t *testing.T, db *sqldb.DB, f audit.Filter) (rows []audit.Row) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) (err error) {
		rows, err = audit.List(t.Context(), q, f)
		return err
	}))
	return rows
}

func verify(t *testing.T, db *sqldb.DB) error {
	t.Helper()
	return db.Read(t.Context(), func(q sqldb.Querier) error { return audit.Verify(t.Context(), q) })
}

func TestAdd_ReadsBackAsWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 1, "15N")
		rows := list(t, db, audit.Filter{})
		require.Len(t, rows, 1)
		assert.Equal(t, entry("15N", 0), rows[0].Entry)
		assert.Zero(t, rows[0].Seal)
		assert.WithinDuration(t, db.Now(), rows[0].At, 60e9)
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error { return audit.Add(t.Context(), tx, audit.Entry{Method: "/a"}) })
		require.ErrorContains(t, err, "no actor")
	})
}

func TestList_KeepsToTheCommissionersAndPages(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 3, "15N", "99K", "")
		assert.Len(t, list(t, db, audit.Filter{}), 9)
		assert.Empty(t, list(t, db, audit.Filter{CommissionerCodes: []string{}}))
		assert.Len(t, list(t, db, audit.Filter{CommissionerCodes: []string{audit.England, "99K"}}), 6)
		own := audit.Filter{CommissionerCodes: []string{"15N"}, Limit: 2}
		first := list(t, db, own)
		require.Len(t, first, 2)
		assert.Equal(t, "runs/15N-2", first[0].Resource)
		own.Before = first[1].ID
		second := list(t, db, own)
		require.Len(t, second, 1)
		assert.Equal(t, "runs/15N-0", second[0].Resource)
	})
}

func TestSeal_CoversEveryEntryOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		addAll(t, db, 600, "15N", "") // more than one seal's worth
		n, err := audit.Seal(t.Context(), db)
		require.NoError(t, err)
		assert.Equal(t, 1200, n)
		n, err = audit.Seal(t.Context(), db)
		require.NoError(t, err)
		assert.Zero(t, n)
		require.NoError(t, verify(t, db))

		addAll(t, db, 1, "15N")
		require.NoError(t, verify(t, db), "an entry not yet sealed is no fault")
		_, err = audit.Seal(t.Context(), db)
		require.NoError(t, err)
		require.NoError(t, verify(t, db))
		newest := list(t, db, audit.Filter{CommissionerCodes: []string{"15N"}, Limit: 1})
		assert.EqualValues(t, 3, newest[0].Seal)
	})
}

func TestSeal_GoesTogetherWithWritersAndOtherSealers(t *testing.T) {
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		const writers, each = 6, 20
		var sealed atomic.Int64
		seal := func() error {
			n, err := audit.Seal(t.Context(), db)
			sealed.Add(int64(n))
			return err
		}
		var errs [writers + 2]error
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					errs[w] = errors.Join(errs[w], db.Write(t.Context(), func(tx *sqldb.Tx) error {
						return audit.Add(t.Context(), tx, entry("15N", w*each+i))
					}))
				}
			})
		}
		for s := range 2 {
			group.Go(func() {
				for range 5 {
					errs[writers+s] = errors.Join(errs[writers+s], seal())
				}
			})
		}
		group.Wait()
		require.NoError(t, errors.Join(errs[:]...))
		require.NoError(t, seal())
		assert.EqualValues(t, writers*each, sealed.Load())
		require.NoError(t, verify(t, db))
	})
}

func TestDatabase_RefusesToChangeTheLog(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), nil))
		addAll(t, db, 2, "15N")
		statements := []string{
			`UPDATE audit SET summary = 'x'`,
			`UPDATE audit SET summary = 'x', seal = 1`,
			`UPDATE audit SET actor = 'bob'`,
			`DELETE FROM audit`,
		}
		for _, q := range statements {
			_, err := db.Exec(t.Context(), q)
			require.ErrorContains(t, err, "append-only", q)
		}
		_, err := audit.Seal(t.Context(), db)
		require.NoError(t, err)
		statements = append(statements, `UPDATE audit SET seal = 2`, `UPDATE audit SET seal = NULL`,
			`UPDATE audit_seal SET entries = 1`, `DELETE FROM audit_seal`)
		if db.Dialect() == sqldb.Postgres {
			statements = append(statements, `TRUNCATE audit`, `TRUNCATE audit_seal`)
		}
		for _, q := range statements {
			_, err := db.Exec(t.Context(), q)
			require.ErrorContains(t, err, "append-only", q)
		}
		require.NoError(t, verify(t, db))
	})
}

// Whoever may drop the triggers can change the log, but not without Verify seeing it.
func TestVerify_FindsEveryChange(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]string{
		"text":           `UPDATE audit SET summary = 'refused' WHERE resource = 'runs/15N-3'`,
		"shifted text":   `UPDATE audit SET actor = 'an', roles = 'nfinance_approver,auditor' WHERE resource = 'runs/15N-3'`,
		"time":           `UPDATE audit SET at = at + 1 WHERE resource = 'runs/15N-3'`,
		"entry gone":     `DELETE FROM audit WHERE resource = 'runs/15N-3'`,
		"entry unsealed": `UPDATE audit SET seal = NULL WHERE resource = 'runs/15N-3'`,
		"seal gone":      `DELETE FROM audit_seal`,
		"seal rewritten": `UPDATE audit_seal SET hash = fingerprint FROM idempotency`,
		"other's seal":   `UPDATE audit SET commissioner = '99K' WHERE resource = 'runs/15N-3'`,
		"entries swapped": `UPDATE audit SET resource = CASE resource WHEN 'runs/15N-3' THEN 'runs/15N-4' ELSE 'runs/15N-3' END
			WHERE resource IN ('runs/15N-3', 'runs/15N-4')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testkit.SQLite(t, sqldb.Options{})
			require.NoError(t, db.Migrate(t.Context(), nil))
			addAll(t, db, 6, "15N")
			_, err := audit.Seal(t.Context(), db)
			require.NoError(t, err)
			require.NoError(t, verify(t, db))
			tamper(t, db, q)
			err = verify(t, db)
			f, ok := fault.As(err)
			require.True(t, ok, "the change was not found: %v", err)
			assert.Equal(t, audit.ReasonBroken, f.Reason)
		})
	}
}

func tamper(t *testing.T, db *sqldb.DB, q string) {
	t.Helper()
	for _, trigger := range []string{"audit_append_only", "audit_no_delete", "audit_seal_no_update", "audit_seal_no_delete"} {
		_, err := db.Exec(t.Context(), "DROP TRIGGER "+trigger)
		require.NoError(t, err)
	}
	ctx := context.WithoutCancel(t.Context())
	_, err := db.Exec(ctx, `INSERT INTO idempotency (caller, method, request_id, fingerprint, request, created_at)
		VALUES ('', '', '', x'00', x'00', 0)`)
	require.NoError(t, err)
	_, err = db.Exec(ctx, q)
	require.NoError(t, err)
}
