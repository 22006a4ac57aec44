package payments_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// payFor makes a line of a PCN that a payee gets.
func payFor(pcn, payee string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.PcnCode, line.PcnName = pcn, "Network "+pcn
	return line
}

func (s *suite) statement(t require.TestingT, pcn, period string) *paymentsv1.Statement {
	out, err := s.payments.GetStatement(s.as(t.(interface{ Context() context.Context }).Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: pcn, Period: period})
	require.NoError(t, err)
	return out
}

// figures are those of a statement that nothing later may change.
func figures(s *paymentsv1.Statement) *paymentsv1.Statement {
	return &paymentsv1.Statement{
		StatementId: s.GetStatementId(), OpeningPence: s.GetOpeningPence(), TotalPence: s.GetTotalPence(), SentPence: s.GetSentPence(),
		ClosingPence: s.GetClosingPence(), Sent: s.GetSent(), Recoveries: s.GetRecoveries(),
	}
}

// recovers has a payee of two PCNs be overpaid for the first, and earn for the second.
func recovers(t *testing.T, s *suite) {
	t.Helper()
	s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", -6000), payFor("U2", "P1", 1000), payFor("U3", "P3", 10))
	s.pays(t, "15N-2022-04-1")
	s.closes(t, "15N", "2022-05", 1, payFor("U2", "P1", 8000))
	s.pays(t, "15N-2022-05-1")
}

func TestStatement_PartsSumToWhatWasSent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		recovers(t, s)
		first, second := s.statement(t, "U1", "2022-05"), s.statement(t, "U2", "2022-05")
		require.Equal(t, int64(3000), s.payment(t, "15N-2022-05-1-P1").GetAmountPence())
		if !(len(first.GetSent()) == 1 && len(second.GetSent()) == 1) {
			t.Fatalf("both PCNs have a part in the payment: %v, %v", first.GetSent(), second.GetSent())
		}
		require.Equal(t, int64(3000), first.GetSent()[0].GetPcnPence()+second.GetSent()[0].GetPcnPence())
		require.Zero(t, first.GetClosingPence(), "the debt was taken off")
		require.Zero(t, second.GetClosingPence())
	})
}

func TestStatement_OfAnEarlierMonthStays(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		recovers(t, s)
		before := make(map[string]*paymentsv1.Statement)
		for _, pcn := range []string{"U1", "U2"} {
			for _, month := range []string{"2022-04", "2022-05"} {
				before[pcn+" "+month] = figures(s.statement(t, pcn, month))
			}
		}
		s.closes(t, "QJK", "2022-05", 1, payFor("U9", "P1", -5000), payFor("U9", "P9", 1))
		s.pays(t, "QJK-2022-05-1")
		for key, was := range before {
			var pcn, month string
			_, err := fmt.Sscan(key, &pcn, &month)
			require.NoError(t, err)
			now := figures(s.statement(t, pcn, month))
			require.True(t, proto.Equal(was, now), "%s was %v and is %v", key, was, now)
		}
	})
}
