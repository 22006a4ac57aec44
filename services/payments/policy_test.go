package payments_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// setsPolicy has a person say who may approve how much from a month on.
func (s *suite) setsPolicy(t testing.TB, by, from string, policy *paymentsv1.ApprovalPolicy) {
	t.Helper()
	_, err := s.payments.SetSetting(s.as(t.Context(), by), &paymentsv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: "15N", FromMonth: from, Reason: "scheme",
		Choice: &paymentsv1.SetSettingRequest_ApprovalPolicy{ApprovalPolicy: policy},
	})
	require.NoError(t, err)
}

func carlOnly(pence int64) *paymentsv1.ApprovalPolicy {
	return &paymentsv1.ApprovalPolicy{Limits: []*paymentsv1.ApproverLimit{{Subject: "carl", LimitPence: pence}}}
}

func TestPolicy_IsThatOfTheSubmission(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.setsPolicy(t, "ann", "2022-04", carlOnly(100))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		_, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		s.setsPolicy(t, "carl", "2022-04", &paymentsv1.ApprovalPolicy{})
		_, err = s.approve(t, "carl", "15N-2022-04-1")
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, "APPROVER_LIMIT_EXCEEDED", reason(err), "a limit that was lifted since holds")
		_, err = s.approve(t, "ann", "15N-2022-04-1")
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, "APPROVER_SET_POLICY", reason(err))
		_, err = s.approve(t, "bob", "15N-2022-04-1")
		require.NoError(t, err)
	})
}

func TestPolicy_IsNotOfItsSetterUnderWhich(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.setsPolicy(t, "ann", "2022-04", carlOnly(100))
		s.setsPolicy(t, "carl", "2022-04", &paymentsv1.ApprovalPolicy{})
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		_, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		_, err = s.approve(t, "carl", "15N-2022-04-1")
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, "APPROVER_SET_POLICY", reason(err), "who lifts a limit does not approve beyond it")
		_, err = s.approve(t, "ann", "15N-2022-04-1")
		require.NoError(t, err, "a policy that was replaced binds nobody")
	})
}

func TestPolicy_BindsByTheDayOfSubmission(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.setsPolicy(t, "ann", "2022-07", carlOnly(100))
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.clock.Set(time.Date(2022, time.June, 30, 9, 0, 0, 0, time.UTC))
		_, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		_, err = s.approve(t, "carl", "15N-2022-04-1")
		require.NoError(t, err, "nothing was in force in June")
		s.clock.Set(time.Date(2022, time.July, 1, 9, 0, 0, 0, time.UTC))
		s.closes(t, "15N", "2022-04", 2, pay("P1", 1000))
		_, err = s.submit(t, "maker", "15N-2022-04-2")
		require.NoError(t, err)
		_, err = s.approve(t, "carl", "15N-2022-04-2")
		require.Equal(t, "APPROVER_LIMIT_EXCEEDED", reason(err), "the run of April is put forward in July")
	})
}
