package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// The database itself keeps the ledger, whatever a program sends it.
func TestLedger_TakesOnlyWholePostings(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			return store.Post(t.Context(), tx, "test", period.NewMonth(2022, 4).Last(), []rules.Posting{{
				CommissionerCode: "15N", Kind: rules.Accrual, Source: "schedule/1",
				Entries: rules.Moved("U1", rules.Expense, rules.Accrued, []rules.Amount{{Fund: 1, LineID: "a", Pence: 100}}),
			}})
		}))
		const (
			entry = `INSERT INTO entries (posting_id, number, commissioner_code, fund, payee_code, stage, amount_pence, line_id, effective_date,
				recorded_at) VALUES ($1, $2, $3, 1, 'U1', 1, $4, 'b', '2022-04-30', 7)`
			header = `INSERT INTO postings (posting_id, commissioner_code, kind, effective_date, recorded_at, source, reverses, recorded_by, entry_count)
				VALUES ('new', '15N', 1, $1, $2, 'test', '', 'test', 2)`
		)
		debit, credit := statement{entry, []any{"new", 1, "15N", 100}}, statement{entry, []any{"new", 2, "15N", -100}}
		whole := statement{header, []any{"2022-04-30", 7}}
		for name, statements := range map[string][]statement{
			"entries that do not sum to zero": {debit, {entry, []any{"new", 2, "15N", -99}}, whole},
			"an entry too few":                {debit, whole},
			"an entry too many":               {debit, credit, {entry, []any{"new", 3, "15N", 1}}, {entry, []any{"new", 4, "15N", -1}}, whole},
			"no entries":                      {whole},
			"entries without a header":        {debit, credit},
			"an entry of another body":        {debit, {entry, []any{"new", 2, "36J", -100}}, whole},
			"another day":                     {debit, credit, {header, []any{"2022-05-01", 7}}},
			"another moment":                  {debit, credit, {header, []any{"2022-04-30", 8}}},
			"an entry after the header":       {debit, credit, whole, {entry, []any{"new", 3, "15N", 1}}, {entry, []any{"new", 4, "15N", -1}}},
			"a change of an entry":            {{`UPDATE entries SET amount_pence = amount_pence * 2`, nil}},
			"the loss of an entry":            {{`DELETE FROM entries`, nil}},
			"a change of a posting":           {{`UPDATE postings SET source = 'other'`, nil}},
			"the loss of a posting":           {{`DELETE FROM postings`, nil}},
		} {
			require.Error(t, run(t.Context(), db, statements), name)
		}
		require.NoError(t, run(t.Context(), db, []statement{debit, credit, whole}), "what all of them began with is taken")
	})
}

// statement is one with its arguments.
type statement struct {
	text string
	args []any
}

// run executes statements in one transaction.
func run(ctx context.Context, db *sqldb.DB, statements []statement) error {
	return db.Write(ctx, func(tx *sqldb.Tx) error {
		for _, s := range statements {
			if _, err := tx.Exec(ctx, s.text, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
}
