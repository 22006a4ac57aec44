package payments_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func (s *suite) release(t testing.TB, id string) *paymentsv1.Hold {
	t.Helper()
	held, err := s.payments.ListHolds(s.as(t.Context(), "auditor"), &paymentsv1.ListHoldsRequest{OpenOnly: true})
	require.NoError(t, err)
	for _, h := range held.GetHolds() {
		if h.GetHoldId() != id {
			continue
		}
		out, err := s.payments.ReleaseHold(s.as(t.Context(), "ann"), &paymentsv1.ReleaseHoldRequest{
			RequestId: s.next(), HoldId: id, Etag: h.GetEtag(), Reason: "answered",
		})
		require.NoError(t, err)
		return out
	}
	require.Fail(t, "no such hold is in force", id)
	return nil
}

func TestHold_OfWhatIsHeldIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		flagged := pay("P3", 30)
		flagged.Holds = []*typev1.Hold{{Reason: "RATE_DOUBTFUL", Remedy: "ask"}}
		lines := s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), flagged).GetLines()
		line := func(by, id string) (*paymentsv1.Hold, error) {
			return s.payments.PlaceHold(s.as(t.Context(), by), &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", LineId: id, Reason: "doubt"})
		}
		payee, err := s.holdOn(t, "15N", "P1")
		require.NoError(t, err)
		single, err := line("maker", lines[0].GetLineId())
		require.NoError(t, err, "one line may be held longer than the rest of its payee's")
		before := s.dump(t)
		for _, again := range []struct {
			of   *paymentsv1.Hold
			call func() error
		}{
			{payee, func() error { _, err := s.holdOn(t, "15N", "P1"); return err }},
			{single, func() error { _, err := line("bob", lines[0].GetLineId()); return err }},
		} {
			err := again.call()
			require.Equal(t, codes.AlreadyExists, status.Code(err))
			require.Equal(t, "HOLD_EXISTS", reason(err))
			require.ErrorContains(t, err, "maker")
			require.Equal(t, again.of.GetHoldId(), rpc.FaultFromStatus(status.Convert(err)).Meta["hold_id"])
		}
		require.Equal(t, before, s.dump(t))
		_, err = line("maker", lines[2].GetLineId())
		require.NoError(t, err, "a person's doubt may outlive the fund's")
		s.release(t, payee.GetHoldId())
		_, err = s.holdOn(t, "15N", "P1")
		require.NoError(t, err)
	})
}

func TestRace_OneHoldOfAPayee(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		atOnce(t, "hold", func(ctx context.Context, request string) error {
			_, err := s.payments.PlaceHold(ctx, &paymentsv1.PlaceHoldRequest{RequestId: request, CommissionerCode: "15N", PayeeCode: "P1", Reason: "doubt"})
			return err
		}, "HOLD_EXISTS")
		require.Equal(t, 1, s.count(t, "holds"))
	})
}
