package payments_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

const (
	keys   = 20
	copies = 50
)

// storm makes a call many times at once and asserts that all get one answer.
func storm[T proto.Message](t *testing.T, call func(ctx context.Context) (T, error)) {
	t.Helper()
	answers, errs := make([]T, copies), make([]error, copies)
	var wg sync.WaitGroup
	for i := range copies {
		wg.Go(func() { answers[i], errs[i] = call(testkit.As(t.Context(), person("maker"))) })
	}
	wg.Wait()
	for i := range copies {
		require.NoError(t, errs[i])
		require.True(t, proto.Equal(answers[0], answers[i]), "%v is not %v", answers[0], answers[i])
	}
}

// otherwise makes a call under a request id that was used for something else.
func otherwise(t *testing.T, err error) {
	t.Helper()
	require.Equal(t, codes.AlreadyExists, status.Code(err))
	require.Equal(t, "REQUEST_ID_REUSED", reason(err))
}

func TestStorm_OneEffectForOneRequestID(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for i := range keys {
			code := fmt.Sprintf("C%02d", i)
			run := code + "-2022-04-1"
			s.closes(t, code, "2022-04", 1, pay("P1", 1000), pay("P2", 500))
			submit := &paymentsv1.SubmitRunRequest{RequestId: "s", RunId: run, Etag: "1"}
			storm(t, func(ctx context.Context) (*paymentsv1.Run, error) {
				return s.payments.SubmitRun(ctx, withID(submit, "s"+code))
			})
			_, err := s.payments.SubmitRun(s.as(t.Context(), "maker"), withID(&paymentsv1.SubmitRunRequest{RunId: run, Etag: "1", Note: "another"}, "s"+code))
			otherwise(t, err)
			_, err = s.approve(t, "ann", run)
			require.NoError(t, err)
			hold := &paymentsv1.PlaceHoldRequest{CommissionerCode: code, PayeeCode: "P2", Reason: "doubt"}
			storm(t, func(ctx context.Context) (*paymentsv1.Hold, error) {
				return s.payments.PlaceHold(ctx, withID(hold, "h"+code))
			})
			hold.PayeeCode = "P1"
			_, err = s.payments.PlaceHold(s.as(t.Context(), "maker"), withID(hold, "h"+code))
			otherwise(t, err)
			export := &paymentsv1.ExportRunRequest{RunId: run, Format: variation}
			storm(t, func(ctx context.Context) (*paymentsv1.Export, error) {
				return s.payments.ExportRun(ctx, withID(export, "e"+code))
			})
			export.Format = remittance
			_, err = s.payments.ExportRun(s.as(t.Context(), "maker"), withID(export, "e"+code))
			otherwise(t, err)
		}
		s.books(t).hold(t)
		require.Equal(t, keys, s.count(t, "holds"))
		require.Equal(t, keys, s.count(t, "exports"))
		require.Equal(t, keys, s.count(t, "payments"), "P2 was kept back")
		for event, n := range map[string]int{"RunSubmitted": keys, "HoldPlaced": keys, "RunExported": keys, "PaymentSent": keys} {
			require.Equal(t, n, s.count(t, "outbox WHERE type = $1", "pcnfunding.payments.v1."+event), event)
		}
	})
}

// withID returns a request under an id.
func withID[T interface {
	proto.Message
	GetRequestId() string
}](req T, id string) T {
	out := proto.CloneOf(req)
	m := out.ProtoReflect()
	m.Set(m.Descriptor().Fields().ByName("request_id"), protoreflect.ValueOfString(id))
	return out
}

// TestRace_MakerAndCheckers has twenty people approve a run at once, and its maker with them.
func TestRace_MakerAndCheckers(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		run, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		const people = 20
		errs := make([]error, 2*people)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				by := "maker"
				if i < people {
					by = fmt.Sprint("approver", i)
				}
				_, errs[i] = s.payments.ApproveRun(testkit.As(t.Context(), person(by)), &paymentsv1.ApproveRunRequest{
					RequestId: fmt.Sprint("a", i), RunId: run.GetRunId(), Etag: run.GetEtag(),
				})
			})
		}
		wg.Wait()
		approvals := 0
		for i, err := range errs {
			if err == nil {
				assert.Less(t, i, people, "the maker has approved")
				approvals++
				continue
			}
			assert.Contains(t, []string{"APPROVER_IS_PREPARER", "RUN_CHANGED"}, reason(err), err)
		}
		require.Equal(t, 1, approvals)
		require.Equal(t, 1, s.count(t, "approvals"))
		require.Equal(t, 2, s.count(t, "postings WHERE kind = 2"), "one for each payee")
		s.books(t).hold(t)
		_, err = s.payments.ApproveRun(s.as(t.Context(), "maker"), &paymentsv1.ApproveRunRequest{RequestId: "late", RunId: run.GetRunId(), Etag: s.run(t, run.GetRunId()).GetEtag()})
		require.Error(t, err)
	})
}

// atOnce makes a call eight times at once, as many streams as one caller may have open, each under its own id: one takes effect, and
// the others are refused.
func atOnce(t *testing.T, label string, call func(ctx context.Context, id string) error, refusals ...string) {
	t.Helper()
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = call(testkit.As(t.Context(), person("ann")), label+fmt.Sprint(i)) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		assert.Contains(t, refusals, reason(err), err)
	}
	if len(refusals) > 0 {
		assert.Equal(t, 1, done)
	}
}

// TestRace_EachStepIsTakenOnce has many take each step of a month at once, with requests of their own.
func TestRace_EachStepIsTakenOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		const id = "15N-2022-04-1"
		atOnce(t, "assemble", func(ctx context.Context, id string) error {
			run, err := s.payments.AssembleRun(ctx, &paymentsv1.AssembleRunRequest{RequestId: id, CommissionerCode: "15N", Month: "2022-04"})
			if err == nil {
				assert.Equal(t, int32(1), run.GetNumber())
			}
			return err
		})
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		atOnce(t, "submit", func(ctx context.Context, request string) error {
			_, err := s.payments.SubmitRun(ctx, &paymentsv1.SubmitRunRequest{RequestId: request, RunId: id, Etag: "2"})
			return err
		}, "RUN_CHANGED")
		atOnce(t, "withdraw", func(ctx context.Context, request string) error {
			_, err := s.payments.WithdrawRun(ctx, &paymentsv1.WithdrawRunRequest{RequestId: request, RunId: id, Etag: "3", Reason: "doubt"})
			return err
		}, "RUN_CHANGED", "RUN_STATE_DIFFERS")
		const again, paid = "15N-2022-04-2", "15N-2022-04-2-P1"
		_, err := s.submit(t, "maker", again)
		require.NoError(t, err)
		atOnce(t, "approve", func(ctx context.Context, request string) error {
			_, err := s.payments.ApproveRun(ctx, &paymentsv1.ApproveRunRequest{RequestId: request, RunId: again, Etag: "2"})
			return err
		}, "RUN_CHANGED", "APPROVER_HAS_APPROVED")
		atOnce(t, "export", func(ctx context.Context, request string) error {
			_, err := s.payments.ExportRun(ctx, &paymentsv1.ExportRunRequest{RequestId: request, RunId: again, Format: variation})
			return err
		}, "RUN_EXPORTED")
		atOnce(t, "inform", func(ctx context.Context, request string) error {
			_, err := s.payments.ExportRun(ctx, &paymentsv1.ExportRunRequest{RequestId: request, RunId: again, Format: remittance})
			return err
		})
		atOnce(t, "confirm", func(ctx context.Context, request string) error {
			_, err := s.confirm(ctx, request, "15N", confirmations([3]string{paid, "REJECTED", "10.00"}))
			return err
		})
		atOnce(t, "reissue", func(ctx context.Context, request string) error {
			_, err := s.payments.ReissuePayment(ctx, &paymentsv1.ReissuePaymentRequest{RequestId: request, PaymentId: paid, Etag: "2", Reason: "new account"})
			return err
		}, "RUN_CHANGED", "PAYMENT_NOT_REJECTED")
		hold, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{RequestId: "h", CommissionerCode: "15N", PayeeCode: "P1", Reason: "doubt"})
		require.NoError(t, err)
		atOnce(t, "release", func(ctx context.Context, request string) error {
			_, err := s.payments.ReleaseHold(ctx, &paymentsv1.ReleaseHoldRequest{RequestId: request, HoldId: hold.GetHoldId(), Etag: "1", Reason: "answered"})
			return err
		}, "RUN_CHANGED", "HOLD_RELEASED")
		s.books(t).hold(t)
		require.Equal(t, 2, s.count(t, "exports"))
		require.Equal(t, 1, s.count(t, "imports"))
		require.Equal(t, 2, s.count(t, "payments"))
	})
}

// TestRace_SchedulesWhileRunsAreSubmitted has schedules arrive while the runs they go into are put forward: every line is in one run.
func TestRace_SchedulesWhileRunsAreSubmitted(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		const rounds = 15
		var events []inbox.Delivery
		for i := range rounds {
			of := closed(t, "15N", "2022-04", int32(i+1), pay("P1", 1000), pay("P2", int64(i+1)))
			for _, part := range parts(of, schedule.MaxEventBytes) {
				events = append(events, s.delivery(t, "15N", part))
			}
		}
		require.Equal(t, []inbox.Verdict{inbox.Settled}, s.service.Inbox().Take(t.Context(), events[:1]))
		var wg sync.WaitGroup
		var came atomic.Bool
		wg.Go(func() {
			defer came.Store(true)
			for _, event := range events[1:] {
				for verdict := inbox.Again; verdict == inbox.Again; {
					verdict = s.service.Inbox().Take(t.Context(), []inbox.Delivery{event})[0]
				}
			}
		})
		wg.Go(func() {
			for number := 1; number <= 5; number++ {
				id := fmt.Sprint("15N-2022-04-", number)
				maker := testkit.As(t.Context(), person("maker"))
				run, err := s.payments.AssembleRun(maker, &paymentsv1.AssembleRunRequest{RequestId: s.next(), CommissionerCode: "15N", Month: "2022-04"})
				if err != nil || run.GetRunId() != id {
					t.Errorf("run %s was not begun, but %s: %v", id, run.GetRunId(), err)
					return
				}
				for run.GetState() == paymentsv1.RunState_RUN_STATE_ASSEMBLED && !t.Failed() {
					now, err := s.payments.SubmitRun(maker, &paymentsv1.SubmitRunRequest{RequestId: s.next(), RunId: id, Etag: run.GetEtag()})
					if err == nil {
						run = now
						continue
					}
					if !assert.Contains(t, []string{"RUN_EMPTY", "RUN_CHANGED"}, reason(err), err) || (came.Load() && reason(err) == "RUN_EMPTY") {
						return
					}
					if run, err = s.payments.GetRun(maker, &paymentsv1.GetRunRequest{RunId: id}); !assert.NoError(t, err) {
						return
					}
				}
			}
		})
		wg.Wait()
		s.books(t).hold(t)
		require.Equal(t, 2*rounds, s.count(t, "items WHERE run_id <> ''"))
	})
}
