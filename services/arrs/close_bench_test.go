package arrs_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

// BenchmarkCloseMonth closes a month of all England: 15,000 approved lines of 1,250 PCNs under 42 commissioners, which takes 5 s at most.
func BenchmarkCloseMonth(b *testing.B) {
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(name, func(b *testing.B) { benchmarkClose(b, open) })
	}
}

func benchmarkClose(b *testing.B, open func(testing.TB, sqldb.Options) *sqldb.DB) {
	const commissioners, pcns, lines = 42, 1250, 12
	s := newCloseSuite(b, open(b, sqldb.Options{}))
	var codes []string
	for i := range commissioners {
		codes = append(codes, fmt.Sprintf("Q%02d", i))
	}
	for i := range pcns {
		code := codes[i%commissioners]
		s.register.pcns = append(s.register.pcns, closePCN(fmt.Sprintf("U%04d", i), code, code))
	}
	ctx := testkit.As(b.Context(), testkit.Preparer("*"))
	for round := range b.N {
		b.StopTimer()
		s.write(b, func(tx *sqldb.Tx) error {
			for i, p := range s.register.pcns {
				claim := heldClaim{id: fmt.Sprintf("c%d-%d", round, i), pcn: p.GetPcnCode(), commissioner: p.GetPayerCode(), month: "2023-05"}
				for range lines {
					claim.approved = append(claim.approved, 412345)
				}
				if err := putClaim(b.Context(), tx, claim); err != nil {
					return err
				}
			}
			return nil
		})
		b.StartTimer()
		var total int64
		for _, code := range codes {
			closed, err := s.arrs.CloseMonth(ctx, &arrsv1.CloseMonthRequest{
				RequestId: fmt.Sprintf("%s-%d", code, round), CommissionerCode: code, Month: "2023-05",
			})
			require.NoError(b, err)
			total += closed.GetPayTotalPence()
		}
		require.Equal(b, int64(pcns*lines*412345), total)
	}
}
