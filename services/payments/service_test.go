package payments_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

func TestRun_FromScheduleToSettled(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P1", -2500), pay("P2", 700), pay("P3", -300))
		export := s.pays(t, "15N-2022-04-1")
		require.Equal(t, int32(2), export.GetPayments())
		require.Equal(t, int64(8200), export.GetAmountPence())
		got, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{"15N-2022-04-1-P1", "PAID", "75.00"}, [3]string{"15N-2022-04-1-P2", "REJECTED", "7.00"}))
		require.NoError(t, err)
		require.Equal(t, int32(2), got.GetFile().GetRowsApplied())
		require.Equal(t, paymentsv1.RunState_RUN_STATE_SETTLED, s.run(t, "15N-2022-04-1").GetState())
		again, err := s.reissue(t, "15N-2022-04-1-P2")
		require.NoError(t, err)
		require.Equal(t, "15N-2022-04-2", again.GetRunId())
		require.Equal(t, int64(700), s.run(t, again.GetRunId()).GetTotals().GetNetPence())
	})
}

func TestMove_PutsLinesOfLaterMonthsIntoALaterRun(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-05", 1, pay("P1", 10000))
		s.closes(t, "QJK", "2022-05", 1, pay("P2", 500))
		s.succeeds(t, "15N", "QJK", "2022-04-30")
		require.Equal(t, int64(10500), s.run(t, "QJK-2022-05-1").GetTotals().GetNetPence(), "the run of May that was assembled takes the lines of May")
		require.Equal(t, paymentsv1.RunState_RUN_STATE_WITHDRAWN, s.run(t, "15N-2022-05-1").GetState())
		s.closes(t, "15N", "2022-05", 2, pay("P1", 7))
		require.Equal(t, int64(10507), s.run(t, "QJK-2022-05-1").GetTotals().GetNetPence(), "what comes for the old body is owed by the new")
	})
}

func TestExport_LeavesOutWhatIsKeptBack(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 500))
		id := "15N-2022-04-1"
		_, err := s.submit(t, "maker", id)
		require.NoError(t, err)
		_, err = s.approve(t, "ann", id)
		require.NoError(t, err)
		_, err = s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P2", Reason: "doubt"})
		require.NoError(t, err)
		for _, format := range []paymentsv1.Format{variation, remittance} {
			file, err := s.export(t, id, format)
			require.NoError(t, err)
			require.Equal(t, int32(1), file.GetPayments(), format)
			require.Equal(t, int64(10000), file.GetAmountPence(), format)
		}
		payees, err := s.payments.ListRunPayees(s.as(t.Context(), "auditor"), &paymentsv1.ListRunPayeesRequest{RunId: id})
		require.NoError(t, err)
		require.Equal(t, id+"-P1", payees.GetPayees()[0].GetPaymentId())
		require.Empty(t, payees.GetPayees()[1].GetPaymentId(), "there is no such payment")
	})
}

func TestMove_KeepsTheInstalmentsThatWereAgreed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", -5000), pay("P2", 100))
		s.pays(t, "15N-2022-04-1")
		_, err := s.payments.PlanRecovery(s.as(t.Context(), "ann"), &paymentsv1.PlanRecoveryRequest{
			RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P1", InstalmentPence: 500, FromMonth: "2022-05", Reason: "agreed",
		})
		require.NoError(t, err)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.closes(t, "QJK", "2022-07", 1, pay("P1", 10000))
		totals := s.run(t, "QJK-2022-07-1").GetTotals()
		require.Equal(t, int64(-500), totals.GetBroughtForwardPence())
		require.Equal(t, int64(9500), totals.GetNetPence())
	})
}

func TestMove_EndsEveryRunThatIsLeftWithoutLines(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		april := pay("P1", 100)
		april.LocationCode = "L1"
		may := pay("P2", 200)
		may.LocationCode = "L2"
		s.closes(t, "15N", "2022-05", 1, may)
		s.closes(t, "15N", "2022-04", 1, april)
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, paymentsv1.RunState_RUN_STATE_ASSEMBLED, s.run(t, "15N-2022-05-1").GetState())
		require.Equal(t, paymentsv1.RunState_RUN_STATE_WITHDRAWN, s.run(t, "15N-2022-04-1").GetState())
	})
}

func TestHeldEvent_BehindAGapIsReleased(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.delivery(t, "15N", parts(closed(t, "15N", "2022-04", 1, pay("P1", 1)), 1)[0])
		may := s.delivery(t, "15N", parts(closed(t, "15N", "2022-05", 1, pay("P1", 7)), 1)[0])
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{may}))
		require.Zero(t, s.count(t, "schedules"))
		held := s.held(t)
		decision, err := s.payments.ReleaseHeldEvent(testkit.As(t.Context(), testkit.Operator()), &paymentsv1.ReleaseHeldEventRequest{
			RequestId: "r", EventId: held[0].GetEventId(), Reason: "April was lost",
		})
		require.NoError(t, err)
		require.Equal(t, []string{held[0].GetEventId()}, decision.GetHandledEventIds())
		require.Equal(t, int64(7), s.run(t, "15N-2022-05-1").GetTotals().GetNetPence())
	})
}
