package testkit_test

import (
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestServe_CallsAsThePrincipal(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, func(srv *grpc.Server) {
		corev1.RegisterCoreServiceServer(srv, corev1.UnimplementedCoreServiceServer{})
	})
	client := corev1.NewCoreServiceClient(conn)
	req := &corev1.CloseMonthRequest{CommissionerCode: "15N", Month: "2026-01"}
	for name, c := range map[string]struct {
		p    auth.Principal
		want codes.Code
	}{
		"the preparer":    {testkit.Preparer("15N"), codes.Unimplemented},
		"another":         {testkit.Preparer("36J"), codes.NotFound},
		"the approver":    {testkit.Approver("15N"), codes.PermissionDenied},
		"the auditor":     {testkit.Auditor("15N"), codes.PermissionDenied},
		"the operator":    {testkit.Operator(), codes.PermissionDenied},
		"the partner":     {testkit.Integration("15N"), codes.PermissionDenied},
		"the PCN manager": {testkit.PCNManager("U12345"), codes.PermissionDenied},
	} {
		_, err := client.CloseMonth(testkit.As(t.Context(), c.p), req)
		require.Equal(t, c.want, status.Code(err), name)
	}
	_, err := client.CloseMonth(t.Context(), req)
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	_, err = client.CloseMonth(testkit.Tokens(t).Context(t.Context(), testkit.Preparer("15N")), req)
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

func TestClock_MovesByHand(t *testing.T) {
	t.Parallel()
	var clock testkit.Clock
	require.Equal(t, testkit.Start, clock.Now())
	clock.Advance(time.Hour)
	require.Equal(t, testkit.Start.Add(time.Hour), clock.Now())
	at := time.Date(2024, time.February, 29, 0, 0, 0, 0, time.UTC)
	clock.Set(at)
	clock.Advance(-time.Minute)
	require.Equal(t, at.Add(-time.Minute), clock.Now())
	require.Equal(t, at, testkit.NewClock(at).Now())
}
