package payments_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// figures returns what the service's meters show.
func (s *suite) figures(t *testing.T) map[string]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, s.metrics.Collect(t.Context(), &data))
	out := make(map[string]int64)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch points := m.Data.(type) {
			case metricdata.Sum[int64]:
				out[m.Name] = points.DataPoints[0].Value
			case metricdata.Gauge[int64]:
				out[m.Name] = points.DataPoints[0].Value
			}
		}
	}
	return out
}

func (s *suite) held(t *testing.T) []*paymentsv1.HeldEvent {
	t.Helper()
	out, err := s.payments.ListHeldEvents(testkit.As(t.Context(), testkit.Operator()), &paymentsv1.ListHeldEventsRequest{})
	require.NoError(t, err)
	return out.GetEvents()
}

func TestQuarantine_TakesWhatDoesNotVerify(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(e *corev1.ScheduleClosed)
		want  string
	}{
		"another hash":            {func(e *corev1.ScheduleClosed) { e.Schedule.LinesSha256 = "00" }, schedule.ReasonHashDiffers},
		"a changed line":          {func(e *corev1.ScheduleClosed) { e.Schedule.Lines[0].PcnName = "Another" }, schedule.ReasonHashDiffers},
		"another sum":             {func(e *corev1.ScheduleClosed) { e.Schedule.PayTotalPence++ }, schedule.ReasonSumDiffers},
		"another sum to compare":  {func(e *corev1.ScheduleClosed) { e.Schedule.ReconcileTotalPence-- }, schedule.ReasonSumDiffers},
		"another count":           {func(e *corev1.ScheduleClosed) { e.Schedule.LineCount++ }, schedule.ReasonCountDiffers},
		"a line less":             {func(e *corev1.ScheduleClosed) { e.Schedule.Lines = e.GetSchedule().GetLines()[1:] }, schedule.ReasonCountDiffers},
		"lines out of order":      {func(e *corev1.ScheduleClosed) { slices.Reverse(e.GetSchedule().GetLines()) }, schedule.ReasonLineOrder},
		"another fund":            {func(e *corev1.ScheduleClosed) { e.Schedule.Fund = typev1.Fund_FUND_ARRS }, "SCHEDULE_MALFORMED"},
		"another commissioner":    {func(e *corev1.ScheduleClosed) { e.Schedule.CommissionerCode = "QJK" }, "SCHEDULE_MALFORMED"},
		"a part beyond its parts": {func(e *corev1.ScheduleClosed) { e.Part = 2 }, "SCHEDULE_MALFORMED"},
		"no part":                 {func(e *corev1.ScheduleClosed) { e.Part = 0 }, "SCHEDULE_MALFORMED"},
		"no month":                {func(e *corev1.ScheduleClosed) { e.Schedule.Month = "2022-13" }, schedule.ReasonHeaderInvalid},
		"no schedule":             {func(e *corev1.ScheduleClosed) { e.Schedule = nil }, "SCHEDULE_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				event := parts(closed(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500)), schedule.MaxEventBytes)[0]
				c.spoil(event)
				spoilt := s.delivery(t, "15N", event)
				before := s.dump(t)
				require.Equal(t, []inbox.Verdict{inbox.Quarantined}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{spoilt}))
				require.Equal(t, before, s.dump(t))
				held := s.held(t)
				require.Len(t, held, 1)
				require.True(t, held[0].GetQuarantined())
				require.Equal(t, c.want, held[0].GetReason())
				require.Equal(t, 1, s.count(t, "audit WHERE actor = 'payments' AND commissioner = '15N' AND resource = $1", "payments/held-events/"+held[0].GetEventId()))
				figures := s.figures(t)
				require.Equal(t, int64(1), figures["inbox_quarantined"])
				require.Equal(t, int64(1), figures["inbox_quarantined_total"])
				_, err := s.payments.ReleaseHeldEvent(testkit.As(t.Context(), testkit.Operator()), &paymentsv1.ReleaseHeldEventRequest{
					RequestId: "r", EventId: held[0].GetEventId(), Reason: "it was mended",
				})
				require.Equal(t, c.want, reason(err), "it is still wrong")
				require.Equal(t, before, s.dump(t))
			})
		})
	}
}

func TestQuarantine_HoldsBackWhatComesBehind(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		changed := parts(closed(t, "15N", "2022-04", 1, pay("P1", 1001)), schedule.MaxEventBytes)[0]
		next := parts(closed(t, "15N", "2022-05", 1, pay("P1", 7)), schedule.MaxEventBytes)[0]
		before := s.dump(t)
		verdicts := s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.delivery(t, "15N", changed), s.delivery(t, "15N", next)})
		require.Equal(t, []inbox.Verdict{inbox.Quarantined, inbox.Settled}, verdicts)
		require.Equal(t, before, s.dump(t), "what is known is not changed, and what comes behind waits")
		held := s.held(t)
		require.Len(t, held, 2)
		slices.SortFunc(held, func(a, b *paymentsv1.HeldEvent) int { return int(a.GetSequence() - b.GetSequence()) })
		require.Equal(t, "SCHEDULE_CHANGED", held[0].GetReason())
		require.False(t, held[1].GetQuarantined())
		operator := testkit.As(t.Context(), testkit.Operator())
		_, err := s.payments.DiscardHeldEvent(s.as(t.Context(), "maker"), &paymentsv1.DiscardHeldEventRequest{RequestId: "d", EventId: held[0].GetEventId(), Reason: "no"})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		_, err = s.payments.ReleaseHeldEvent(operator, &paymentsv1.ReleaseHeldEventRequest{RequestId: "r", EventId: held[1].GetEventId(), Reason: "no"})
		require.Equal(t, inbox.ReasonHeldBehind, reason(err))
		for range 2 {
			decision, err := s.payments.DiscardHeldEvent(operator, &paymentsv1.DiscardHeldEventRequest{RequestId: "d", EventId: held[0].GetEventId(), Reason: "sent in error"})
			require.NoError(t, err)
			require.Equal(t, []string{held[1].GetEventId()}, decision.GetHandledEventIds(), "the same answer again")
		}
		require.Empty(t, s.held(t))
		require.Equal(t, int64(7), s.run(t, "15N-2022-05-1").GetTotals().GetNetPence())
		require.Equal(t, int64(1000), s.run(t, "15N-2022-04-1").GetTotals().GetNetPence())
		require.Equal(t, 1, s.count(t, "audit WHERE method = '/pcnfunding.payments.v1.PaymentsService/DiscardHeldEvent'"))
		require.Zero(t, s.figures(t)["inbox_quarantined"])
		s.books(t).hold(t)
	})
}

// TestParts_InAnyOrder sends the parts of a schedule as events of several aggregates, so that no order is kept for them.
func TestParts_InAnyOrder(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		whole := closed(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), pay("P3", 25), pay("", 3))
		var events []inbox.Delivery
		for i, part := range parts(whole, 1) {
			event := s.delivery(t, "15N", part)
			event.Header["ce-subject"], event.Header["ce-sequence"] = event.Header["ce-subject"]+string(rune('a'+i)), "1"
			events = append(events, event)
		}
		require.Len(t, events, 4)
		slices.Reverse(events)
		for i, event := range events[:3] {
			require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{event}))
			require.Zero(t, s.count(t, "schedules"), "a part is missing")
			require.Equal(t, i+1, s.count(t, "schedule_parts"))
		}
		again := proto.CloneOf(parts(whole, 1)[3])
		other := s.delivery(t, "15N", again)
		other.Header["ce-subject"], other.Header["ce-sequence"] = "schedules/again", "1"
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{other}))
		require.Zero(t, s.count(t, "schedules"), "the same part under another event is no other part")
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), events[3:]))
		require.Equal(t, 1, s.count(t, "schedules"))
		require.Equal(t, 4, s.count(t, "items"))
		require.Zero(t, s.count(t, "schedule_parts"))
		s.books(t).hold(t)
		run := s.run(t, "15N-2022-04-1")
		require.Equal(t, int64(1525), run.GetTotals().GetNetPence())
		assert.Equal(t, int32(1), run.GetTotals().GetHeldLines(), "nobody is recorded for one line")
		late := s.delivery(t, "15N", parts(whole, 1)[0])
		late.Header["ce-subject"], late.Header["ce-sequence"] = "schedules/late", "1"
		before := s.dump(t)
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{late}))
		require.Equal(t, before, s.dump(t), "a part of what is stored changes nothing")
	})
}

func TestParts_OfOneScheduleOnly(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		whole := closed(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		split := parts(whole, 1)
		split[1].Schedule.SnapshotId = "another"
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.delivery(t, "15N", split[0])}))
		require.Equal(t, []inbox.Verdict{inbox.Quarantined}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{s.delivery(t, "15N", split[1])}))
		require.Equal(t, schedule.ReasonHeaderInvalid, s.held(t)[0].GetReason())
		require.Zero(t, s.count(t, "schedules"))
	})
}
