package arrs_test

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs"
)

const (
	// fewClaims is what a small store holds, and manyClaims a large one; a look at it makes do with less.
	fewClaims, manyClaims, lookClaims = 10_000, 1_000_000, 100_000
	// benchPCNs are those of England, and benchStaff the engagements of each.
	benchPCNs, benchStaff = 1250, 4
	// claimRounds is how many claims are put forward in each store, in turn.
	claimRounds = 200
)

// BenchmarkSubmitClaim compares what a claim costs after many with what it costs after few. It makes its own rounds, in which both stores
// take one claim after the other, and gives their medians. BENCH=full puts a million into the large one.
func BenchmarkSubmitClaim(b *testing.B) {
	many := lookClaims
	if os.Getenv("BENCH") == "full" {
		many = manyClaims
	}
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.PostgresOwned} {
		b.Run(fmt.Sprintf("%s/after_%d_and_%d", name, fewClaims, many), func(b *testing.B) {
			small, large := newClaimStore(b, open, fewClaims), newClaimStore(b, open, many)
			var few, more []time.Duration
			for range claimRounds {
				few, more = append(few, small.submit(b)), append(more, large.submit(b))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(middleOf(few).Seconds(), "s/few")
			b.ReportMetric(middleOf(more).Seconds(), "s/many")
		})
	}
}

func middleOf(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// claimStore is a service with claims of past years.
type claimStore struct {
	arrs arrsv1.ArrsServiceClient
	next int
}

func newClaimStore(b *testing.B, open func(testing.TB, sqldb.Options) *sqldb.DB, claims int) *claimStore {
	b.Helper()
	db := open(b, sqldb.Options{Clock: testkit.NewClock(testkit.Start).Now})
	require.NoError(b, db.Migrate(b.Context(), arrs.Migrations()))
	service, err := arrs.New(b.Context(), arrs.Deps{DB: db, Logger: testkit.Logger(b), PersonKey: bytes.Repeat([]byte("k"), 32)})
	require.NoError(b, err)
	s := &claimStore{arrs: arrsv1.NewArrsServiceClient(testkit.Serve(b, func(srv *grpc.Server) { service.Register(srv) }))}
	fixture := &claimSuite{db: db}
	for pcn := range benchPCNs {
		fixture.fix(b, benchPCN(pcn), "15N", 2025, 1, single(1_000_000_00))
	}
	s.fill(b, db, claims)
	return s
}

func benchPCN(n int) string { return fmt.Sprintf("U%05d", n) }

func benchEngagement(pcn, n int) string { return fmt.Sprintf("%s-%d", benchPCN(pcn), n) }

// fill puts people to work and lets them be claimed for, approved and scheduled, month after month before the year that runs.
func (s *claimStore) fill(b *testing.B, db *sqldb.DB, claims int) {
	b.Helper()
	terms, err := sqldb.Marshal(&arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2019-07-01"})
	require.NoError(b, err)
	body := bytes.Repeat([]byte{0xff}, 600) // about what an entry and its assessment take
	none := []byte{}
	rows := func(n int, row func(i int) []any) iter.Seq2[[]any, error] {
		return func(yield func([]any, error) bool) {
			for i := range n {
				if !yield(row(i), nil) {
					return
				}
			}
		}
	}
	month := func(i int) period.Month {
		return period.FinancialYear(2019).First().Add(3 + i/benchPCNs%69)
	}
	for _, table := range []struct {
		name    string
		columns []string
		rows    iter.Seq2[[]any, error]
	}{
		{"engagements", []string{
			"engagement_id", "pcn_code", "commissioner_code", "label", "folded_label", "role_code", "start_date", "end_date", "terms", "pseudonym", "recorded_by", "recorded_at", "changed_by", "changed_at",
		}, rows(benchPCNs*benchStaff, func(i int) []any {
			id := benchEngagement(i%benchPCNs, i/benchPCNs)
			return []any{id, benchPCN(i % benchPCNs), "15N", id, id, "CC", "2019-07-01", "", terms, "", "m", int64(1), "m", int64(1)}
		})},
		{"claims", []string{
			"claim_id", "pcn_code", "commissioner_code", "month", "financial_year", "kind", "state", "line_count", "notes", "totals", "submitted_by", "submitted_at", "decided_by", "decided_at",
		}, rows(claims, func(i int) []any {
			return []any{
				fmt.Sprintf("c%08d", i), benchPCN(i % benchPCNs), "15N", month(i).String(), month(i).FinancialYear().String(), int64(1), int64(4), int64(1), "", none, "m", int64(1), "a", int64(1),
			}
		})},
		{"claim_lines", []string{
			"line_id", "claim_id", "revision", "number", "pcn_code", "month", "engagement_id", "kind", "live", "role_code", "person", "pot", "held", "claimed_pence", "payable_pence",
			"approved_pence", "schedule_id", "terms", "entry", "assessment",
		}, rows(claims, func(i int) []any {
			return []any{
				fmt.Sprintf("l%08d", i), fmt.Sprintf("c%08d", i), int64(1), int64(1), benchPCN(i % benchPCNs), month(i).String(), benchEngagement(i%benchPCNs, i%benchStaff), int64(1), true, "CC", "p",
				"main", none, int64(1), int64(1), int64(1), "s", none, body, body,
			}
		})},
	} {
		require.NoError(b, db.Write(b.Context(), func(tx *sqldb.Tx) error {
			if err := tx.Allow(b.Context(), 10*time.Minute); err != nil {
				return err
			}
			if _, err := tx.BulkInsert(b.Context(), table.name, table.columns, table.rows); err != nil {
				return err
			}
			// As the server itself does with a table that has grown, though not at once.
			return tx.Analyze(b.Context(), table.name)
		}))
	}
}

// submit puts the next claim forward and returns how long that took.
func (s *claimStore) submit(b *testing.B) time.Duration {
	b.Helper()
	pcn := s.next % benchPCNs
	req := &arrsv1.SubmitClaimRequest{RequestId: fmt.Sprint(s.next), Claim: entry(benchPCN(pcn), "2025-11", &arrsv1.LineEntry{
		EngagementId: benchEngagement(pcn, s.next/benchPCNs), SalaryPence: 250_000, EmployerNiPence: 25_000, EmployerPensionPence: 50_000,
	})}
	s.next++
	ctx := testkit.As(b.Context(), testkit.Preparer("15N"))
	began := time.Now()
	claim, err := s.arrs.SubmitClaim(ctx, req)
	took := time.Since(began)
	require.NoError(b, err)
	require.Positive(b, claim.GetLines()[0].GetPayablePence())
	return took
}
