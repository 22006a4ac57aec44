package rpc_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestDial_RetriesWhatIsBusyAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     fault.Kind
		failures int64
		want     codes.Code
		calls    int64
	}{
		"busy twice, then served": {fault.Busy, 2, codes.OK, 3},
		"busy for good":           {fault.Busy, 99, codes.Unavailable, 4},
		"stale":                   {fault.Stale, 99, codes.Aborted, 1},
		"too many":                {fault.TooMany, 99, codes.ResourceExhausted, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			conn := testkit.Serve(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
				if calls.Add(1) <= c.failures {
					return nil, fault.New(c.kind, "TRY_AGAIN", "not now")
				}
				return &typev1.PaymentSchedule{}, nil
			}))
			_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
			require.Equal(t, c.want, status.Code(err))
			require.Equal(t, c.calls, calls.Load())
		})
	}
}

// TestDial_PassesOnTheCall has one service call another: caller, correlation id and a shorter deadline travel along.
func TestDial_PassesOnTheCall(t *testing.T) {
	t.Parallel()
	var outer time.Time
	inner := testkit.Serve(t, closing(func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		p, _ := auth.From(ctx)
		assert.Equal(t, "preparer@example.test", p.Subject)
		assert.Equal(t, "abc-1", telemetry.Correlation(ctx))
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.LessOrEqual(t, deadline, outer.Add(-400*time.Millisecond))
		return &typev1.PaymentSchedule{Month: "2026-01"}, nil
	}))
	conn := testkit.Serve(t, closing(func(ctx context.Context, req *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		outer, _ = ctx.Deadline()
		return corev1.NewCoreServiceClient(inner).CloseMonth(ctx, req)
	}))
	ctx := testkit.As(telemetry.WithCorrelation(t.Context(), "abc-1"), testkit.Preparer("15N"))
	got, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose())
	require.NoError(t, err)
	require.Equal(t, "2026-01", got.GetMonth())
}

func TestDial_PassesOnFaults(t *testing.T) {
	t.Parallel()
	inner := testkit.Serve(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		return nil, fault.New(fault.Refused, "MONTH_CLOSED", "closed")
	}))
	conn := testkit.Serve(t, closing(func(ctx context.Context, req *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		return corev1.NewCoreServiceClient(inner).CloseMonth(ctx, req)
	}))
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
	requireFault(t, err, codes.FailedPrecondition, "MONTH_CLOSED")
}

func TestDial_EndsACallAtItsDeadline(t *testing.T) {
	t.Parallel()
	_, local := stopping(t, closing(func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	conn, err := local.Dial(rpc.DialOptions{Token: tokenOf(t), Timeout: 30 * time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
}

func TestDial_ReportsATokenItCannotGet(t *testing.T) {
	t.Parallel()
	_, local := stopping(t, closing(succeed))
	conn, err := local.Dial(rpc.DialOptions{Token: func(context.Context) (string, error) { return "", errors.New("no key") }})
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = corev1.NewCoreServiceClient(conn).CloseMonth(t.Context(), validClose())
	require.ErrorContains(t, err, "no key")
}

func TestDial_LeavesOutServersThatAreNotServing(t *testing.T) {
	t.Parallel()
	broken := atomic.Bool{}
	var readiness *rpc.Readiness
	srv, local := stopping(t, func(srv *grpc.Server) {
		closing(succeed)(srv)
		readiness = rpc.Health(srv, testkit.Logger(t), map[string]rpc.Check{"core": func(context.Context) error {
			if broken.Load() {
				return errors.New("no database")
			}
			return nil
		}})
	})
	require.NotNil(t, srv)
	conn, err := local.Dial(rpc.DialOptions{Token: tokenOf(t), Health: "core", Timeout: 5 * time.Second})
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	call := func() error {
		_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
		return err
	}
	require.Equal(t, codes.Unavailable, status.Code(call()), "nothing serves before the checks were asked")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- readiness.Run(ctx) }()
	require.Eventually(t, func() bool { return call() == nil }, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return status.Code(call()) == codes.Unavailable }, 10*time.Second, 10*time.Millisecond)
}

func TestHealth_FollowsTheChecks(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var readiness *rpc.Readiness
	conn := testkit.Serve(t, func(srv *grpc.Server) {
		readiness = rpc.Health(srv, testkit.Logger(t), map[string]rpc.Check{
			"register": func(context.Context) error { return nil },
			"core": func(context.Context) error {
				if broken.Load() {
					return errors.New("no database")
				}
				return nil
			},
		})
	})
	client := healthv1.NewHealthClient(conn)
	serving := func(name string) bool {
		resp, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: name})
		require.NoError(t, err)
		return resp.GetStatus() == healthv1.HealthCheckResponse_SERVING
	}
	require.False(t, serving(""))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- readiness.Run(ctx) }()
	require.Eventually(t, func() bool { return serving("") && serving("core") && serving("register") }, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, readiness.Ready(t.Context()))
	broken.Store(true)
	require.ErrorContains(t, readiness.Ready(t.Context()), "core: no database")
	require.Eventually(t, func() bool { return !serving("") && !serving("core") && serving("register") }, 10*time.Second, 20*time.Millisecond)
	broken.Store(false)
	cancel()
	require.NoError(t, <-done)
	require.False(t, serving("register"), "it drains")
	require.Error(t, readiness.Ready(t.Context()))
}

// stopping is a server that stops with the test.
func stopping(t *testing.T, register func(*grpc.Server)) (*grpc.Server, *rpc.Local) {
	t.Helper()
	srv, local := served(t, register)
	t.Cleanup(func() {
		srv.Stop()
		require.NoError(t, local.Wait())
	})
	return srv, local
}
