package payments_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// states has core say what a year comes to, by the figures of a month: an amount for each practice of PCN UA, or of all under "".
func (s *suite) states(t testing.TB, month, schedule string, amounts map[string]int64) {
	t.Helper()
	event := &corev1.EntitlementsStated{CommissionerCode: "15N", CommissionerName: "Body 15N", Month: month, ScheduleId: schedule}
	for practice, pence := range amounts {
		event.Entitlements = append(event.Entitlements, &typev1.Entitlement{
			PcnCode: "UA", PracticeCode: practice, PaymentCode: "CORE_PCN", FundingSource: "CORE", FromMonth: "2022-04", ToMonth: "2023-03", Instalments: 12,
			AmountPence: pence, Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
	}
	s.clock.Advance(1)
	require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.delivery(t, "15N", event)}))
}

// entitled shows what a statement says each practice is entitled to.
func entitled(statement *paymentsv1.Statement) map[string]int64 {
	out := make(map[string]int64)
	for _, r := range statement.GetRemaining() {
		out[r.GetPracticeCode()] += r.GetEntitledPence()
	}
	return out
}

func TestEntitlements_OfALaterMonthOutlastAnEarlierOneThatIsClosedAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 100))
		s.states(t, "2022-04", "core-15N-2022-04-1", map[string]int64{"": 1200})
		s.states(t, "2022-09", "core-15N-2022-09-1", map[string]int64{"": 2400})
		s.states(t, "2022-04", "core-15N-2022-04-2", map[string]int64{"": 1300})
		require.Equal(t, map[string]int64{"": 2400}, entitled(s.statement(t, "UA", "2022-10")))
		require.Equal(t, map[string]int64{"": 1300}, entitled(s.statement(t, "UA", "2022-08")), "and the earlier months have the correction")
	})
}

func TestEntitlements_OfAPracticeThatLeftAreAtAnEnd(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("A", 100))
		s.states(t, "2022-04", "core-15N-2022-04-1", map[string]int64{"A1": 1200, "A2": 600})
		s.states(t, "2022-09", "core-15N-2022-09-1", map[string]int64{"A1": 1200})
		require.Equal(t, map[string]int64{"A1": 1200, "A2": 600}, entitled(s.statement(t, "UA", "2022-08")))
		require.Equal(t, map[string]int64{"A1": 1200}, entitled(s.statement(t, "UA", "2022-09")))
	})
}
