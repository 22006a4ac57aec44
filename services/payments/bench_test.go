package payments_test

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/payments"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// fewPostings is what a small ledger holds, and manyPostings a large one; a look at it makes do with less.
	fewPostings, manyPostings, lookPostings = 10_000, 1_000_000, 100_000
	// postedTogether is the number of postings of one transaction: the payees of a commissioner.
	postedTogether = 60
	// filledTogether is that while a ledger is filled.
	filledTogether = 4_980
	// postingRounds is how often each ledger is posted to, in turn.
	postingRounds = 100
)

// BenchmarkPostings compares what a posting costs in a large ledger with what it costs in a small one. It makes its own rounds, in
// which both are posted to in turn, and gives their medians. BENCH=full fills the large one with a million.
func BenchmarkPostings(b *testing.B) {
	many := lookPostings
	if os.Getenv("BENCH") == "full" {
		many = manyPostings
	}
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(fmt.Sprintf("%s/after_%d_and_%d", name, fewPostings, many), func(b *testing.B) {
			small, large := &ledger{db: open(b, sqldb.Options{})}, &ledger{db: open(b, sqldb.Options{})}
			small.fill(b, fewPostings)
			large.fill(b, many)
			var few, more []time.Duration
			for range postingRounds {
				few, more = append(few, small.post(b, postedTogether)), append(more, large.post(b, postedTogether))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(middle(few).Seconds()/postedTogether, "s/few")
			b.ReportMetric(middle(more).Seconds()/postedTogether, "s/many")
		})
	}
}

func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// ledger is one that is posted to.
type ledger struct {
	db   *sqldb.DB
	next int
}

func (l *ledger) fill(b *testing.B, postings int) {
	b.Helper()
	require.NoError(b, l.db.Migrate(b.Context(), payments.Migrations()))
	for l.next < postings {
		l.post(b, min(filledTogether, postings-l.next))
	}
}

// post records what is due to the next payees, of one commissioner after the other and month after month, and returns how long that
// took.
func (l *ledger) post(b *testing.B, postings int) time.Duration {
	b.Helper()
	const bodies = 42
	group := l.next / postedTogether
	month := period.NewMonth(2022, time.July).Add(group / bodies % 120)
	batch := make([]rules.Posting, postings)
	for i := range batch {
		n := l.next + i
		body := n / postedTogether % bodies
		line := rules.Amount{Fund: 1, LineID: fmt.Sprintf("%08x-%d", uint32(n)*2654435761, n), Pence: money.Pence(100_000 + n%7919)}
		batch[i] = rules.Posting{
			CommissionerCode: fmt.Sprintf("Q%02d", body), Kind: rules.Accrual, Source: fmt.Sprintf("schedule/core-Q%02d-%s-1", body, month),
			Entries: rules.Moved(fmt.Sprintf("A%05d", n%postedTogether*bodies+body), rules.Expense, rules.Accrued, []rules.Amount{line}),
		}
	}
	l.next += postings
	began := time.Now()
	require.NoError(b, l.db.Write(b.Context(), func(tx *sqldb.Tx) error {
		return store.Post(b.Context(), tx, "bench", month.Last(), batch)
	}))
	return time.Since(began)
}
