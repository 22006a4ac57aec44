package store_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// Commissioners with their lines in a month, and the stages that each line passes: all of England.
	benchBodies, benchLines, benchStages = 106, 118, 4
)

// BenchmarkPost posts a month of all England, transaction by transaction as runs do, and compares that with bare inserts of the same
// rows into tables with a primary key and nothing else, in as many transactions.
func BenchmarkPost(b *testing.B) {
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"SQLite": testkit.SQLite, "Postgres": testkit.PostgresOwned} {
		b.Run(name, func(b *testing.B) {
			db := open(b, sqldb.Options{Clock: time.Now})
			require.NoError(b, db.Migrate(b.Context(), store.Migrations()))
			db.TrustLocks()
			for _, table := range []string{
				`bare_entries (posting_id TEXT, number BIGINT, commissioner_code TEXT, fund BIGINT, payee_code TEXT, stage BIGINT, amount_pence BIGINT,
					line_id TEXT, effective_date TEXT, recorded_at BIGINT, PRIMARY KEY (posting_id, number))`,
				`bare_postings (posting_id TEXT PRIMARY KEY, commissioner_code TEXT, kind BIGINT, effective_date TEXT, recorded_at BIGINT, source TEXT,
					reverses TEXT, recorded_by TEXT, entry_count BIGINT)`,
			} {
				_, err := db.Exec(b.Context(), `CREATE TABLE `+table)
				require.NoError(b, err)
			}
			day := period.NewMonth(2022, time.April).Last()
			var posted, bare time.Duration
			for round := 0; b.Loop(); round++ {
				for body := range benchBodies {
					for stage := range benchStages {
						postings := benchPostings(round, body, stage)
						posted += timed(b, db, func(ctx context.Context, tx *sqldb.Tx) error { return store.Post(ctx, tx, "bench", day, postings) })
						bare += timed(b, db, func(ctx context.Context, tx *sqldb.Tx) error { return insertBare(ctx, tx, day.String(), postings) })
					}
				}
			}
			b.ReportMetric(posted.Seconds()/float64(b.N), "s/posted")
			b.ReportMetric(bare.Seconds()/float64(b.N), "s/bare")
		})
	}
}

// benchPostings moves the lines of a commissioner from one stage to the next, payee by payee.
func benchPostings(round, body, stage int) []rules.Posting {
	code := fmt.Sprintf("B%03d", body)
	out := make([]rules.Posting, 0, benchLines/2)
	for payee := range benchLines / 2 {
		amounts := make([]rules.Amount, 2)
		for n := range amounts {
			amounts[n] = rules.Amount{LineID: fmt.Sprintf("%08x-%d-%d-%d", uint32(payee*7+n)*2654435761, round, body, n), Fund: 1, Pence: money.Pence(1000 + payee)}
		}
		out = append(out, rules.Posting{
			CommissionerCode: code, Kind: rules.Approval, Source: fmt.Sprintf("run/%s-%d-%d/A%05d", code, round, stage, payee),
			Entries: rules.Moved(fmt.Sprintf("A%05d", payee), rules.Accrued, rules.Payable, amounts),
		})
	}
	return out
}

func timed(b *testing.B, db *sqldb.DB, write func(ctx context.Context, tx *sqldb.Tx) error) time.Duration {
	b.Helper()
	began := time.Now()
	require.NoError(b, db.Write(b.Context(), func(tx *sqldb.Tx) error { return write(b.Context(), tx) }))
	return time.Since(began)
}

// insertBare writes the rows that store.Post writes.
func insertBare(ctx context.Context, tx *sqldb.Tx, day string, postings []rules.Posting) error {
	at, ids := sqldb.Micros(tx.Now()), make([]string, len(postings))
	for i := range ids {
		ids[i] = tx.NewID()
	}
	entries := iter.Seq2[[]any, error](func(yield func([]any, error) bool) {
		for i, p := range postings {
			for n, e := range p.Entries {
				if !yield([]any{ids[i], int64(n + 1), p.CommissionerCode, int64(e.Fund), e.PayeeCode, int64(e.Stage), int64(e.Amount), e.LineID, day, at}, nil) {
					return
				}
			}
		}
	})
	_, err := tx.BulkInsert(ctx, "bare_entries", []string{
		"posting_id", "number", "commissioner_code", "fund", "payee_code", "stage", "amount_pence", "line_id", "effective_date", "recorded_at",
	}, entries)
	if err != nil {
		return err
	}
	_, err = tx.BulkInsert(ctx, "bare_postings", []string{
		"posting_id", "commissioner_code", "kind", "effective_date", "recorded_at", "source", "reverses", "recorded_by", "entry_count",
	}, func(yield func([]any, error) bool) {
		for i, p := range postings {
			if !yield([]any{ids[i], p.CommissionerCode, int64(p.Kind), day, at, p.Source, p.Reverses, "bench", int64(len(p.Entries))}, nil) {
				return
			}
		}
	})
	return err
}
