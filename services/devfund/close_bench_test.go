package devfund_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// BenchmarkCloseMonth closes a month of all England, body by body: 1,260 PCNs under 42 commissioners with five lines each, in the third
// year of plans that are paid month by month. It tells how long the slowest close took, and the slowest that found nothing new.
// BENCH=short takes a tenth of England.
func BenchmarkCloseMonth(b *testing.B) {
	bodies, pcns, lines := 42, 30, 5
	if os.Getenv("BENCH") == "short" {
		bodies = 4
	}
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(name, func(b *testing.B) {
			s := newCloseSuite(b, open(b, sqldb.Options{}))
			var networks []*registerv1.SnapshotPcn
			for body := range bodies {
				for pcn := range pcns {
					networks = append(networks, closePCN(fmt.Sprintf("U%02d%03d", body, pcn), fmt.Sprintf("Q%02d", body), fmt.Sprintf("Q%02d", body)))
				}
			}
			s.register.set(networks...)
			for year := range 3 {
				s.england(b, 2022+year, bodies, pcns, lines)
			}
			all := func(month string, want int) time.Duration {
				var worst time.Duration
				for body := range bodies {
					begun := time.Now()
					closed, err := s.devfund.CloseMonth(testkit.As(b.Context(), testkit.Preparer("*")), &devfundv1.CloseMonthRequest{
						RequestId: s.next(), CommissionerCode: fmt.Sprintf("Q%02d", body), Month: month,
					})
					worst = max(worst, time.Since(begun))
					require.NoError(b, err)
					require.Len(b, closed.GetLines(), want)
				}
				return worst
			}
			all("2023-03", pcns*lines*12)
			all("2024-03", pcns*lines*12)
			for n := 0; b.Loop(); n++ {
				b.ReportMetric(float64(all(fmt.Sprintf("2024-%02d", 4+n%9), pcns*lines).Milliseconds()), "worst-ms")
			}
			b.ReportMetric(float64(all("2024-04", pcns*lines).Milliseconds()), "unchanged-ms")
		})
	}
}

// england puts a plan of every body there, whose lines pay every PCN each month of a year.
func (s *closeSuite) england(b *testing.B, year, bodies, pcns, lines int) {
	b.Helper()
	for body := range bodies {
		var tranches []closeTranche
		for pcn := range pcns {
			for line := range lines {
				for month := range 12 {
					text := fmt.Sprintf("%d-%02d", year+(month+3)/12, (month+3)%12+1)
					tranches = append(tranches, closeTranche{fmt.Sprint("L", line), fmt.Sprintf("U%02d%03d", body, pcn), text, int64(line + 1)})
				}
			}
		}
		require.NoError(b, s.db.Write(context.Background(), func(tx *sqldb.Tx) error {
			return putVersion(context.Background(), tx, fmt.Sprintf("plan-%d-%02d", year, body), fmt.Sprintf("Q%02d", body), tranches)
		}))
	}
}
