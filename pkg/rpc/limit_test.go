package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestServer_BoundsWorkAtOnce(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	register := func(srv *grpc.Server) {
		closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
			entered <- struct{}{}
			<-release
			return &typev1.PaymentSchedule{}, nil
		})(srv)
		rpc.Health(srv, testkit.Logger(t), nil)
	}
	conn := testkit.Serve(t, register, testkit.WithServer(func(o *rpc.ServerOptions) { o.MaxConcurrent = 2 }))
	client := corev1.NewCoreServiceClient(conn)
	ctx := testkit.As(t.Context(), testkit.Preparer("15N"))
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := client.CloseMonth(ctx, validClose()); err != nil {
				t.Errorf("a call that had room: %v", err)
			}
		})
		<-entered
	}
	_, err := client.CloseMonth(ctx, validClose())
	requireFault(t, err, codes.ResourceExhausted, rpc.ReasonRateLimited)
	require.Equal(t, time.Second, rpc.RetryAfterOf(status.Convert(err)))

	_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err, "probes are answered by a server that is full")

	close(release)
	group.Wait()
	group.Go(func() { <-entered })
	_, err = client.CloseMonth(ctx, validClose())
	require.NoError(t, err, "room is given back")
	group.Wait()
}

func TestServer_BoundsStreamsAtOnce(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	conn := testkit.Serve(t, uploads{receive: func(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
		entered <- struct{}{}
		<-release
		return readAll(stream)
	}}.register, testkit.WithServer(func(o *rpc.ServerOptions) { o.MaxConcurrentBulk = 1 }))
	client := registerv1.NewRegisterServiceClient(conn)
	ctx := testkit.As(t.Context(), testkit.Operator())
	first, err := client.Import(ctx)
	require.NoError(t, err)
	<-entered
	second, err := client.Import(ctx)
	require.NoError(t, err)
	_, err = second.CloseAndRecv()
	requireFault(t, err, codes.ResourceExhausted, rpc.ReasonRateLimited)
	close(release)
	_, err = first.CloseAndRecv()
	require.NoError(t, err)
}

// TestServer_LeavesRoomBesideASlowUploader has one caller open streams and send nothing, as a slow or a hostile one does.
func TestServer_LeavesRoomBesideASlowUploader(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	conn := testkit.Serve(t, uploads{receive: func(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
		entered <- struct{}{}
		return readAll(stream)
	}}.register, testkit.WithServer(func(o *rpc.ServerOptions) { o.MaxConcurrentBulk, o.MaxBulkPerSubject = 3, 2 }))
	client := registerv1.NewRegisterServiceClient(conn)
	slow := testkit.As(t.Context(), testkit.Operator())
	var open []grpc.ClientStreamingClient[registerv1.ImportRequest, registerv1.ImportResponse]
	for range 2 {
		stream, err := client.Import(slow)
		require.NoError(t, err)
		<-entered
		open = append(open, stream)
	}
	third, err := client.Import(slow)
	require.NoError(t, err)
	_, err = third.CloseAndRecv()
	requireFault(t, err, codes.ResourceExhausted, rpc.ReasonRateLimited)

	other := testkit.Operator()
	other.Subject = "another"
	stream, err := client.Import(testkit.As(t.Context(), other))
	require.NoError(t, err)
	<-entered
	_, err = stream.CloseAndRecv()
	require.NoError(t, err, "others are served")
	for _, stream := range open {
		_, err := stream.CloseAndRecv()
		require.NoError(t, err)
	}
	again, err := client.Import(slow)
	require.NoError(t, err)
	<-entered
	_, err = again.CloseAndRecv()
	require.NoError(t, err, "the share is given back")
}

func TestServer_EndsAStreamOnWhichNothingComes(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, uploads{receive: readAll}.register,
		testkit.WithServer(func(o *rpc.ServerOptions) { o.IdleTimeout = 20 * time.Millisecond }))
	stream, err := registerv1.NewRegisterServiceClient(conn).Import(testkit.As(t.Context(), testkit.Operator()))
	require.NoError(t, err)
	err = stream.RecvMsg(&registerv1.ImportResponse{})
	requireFault(t, err, codes.InvalidArgument, rpc.ReasonStreamIdle)
}

func TestServer_ShortensADeadlineThatIsTooFarOff(t *testing.T) {
	t.Parallel()
	var got time.Duration
	conn := testkit.Serve(t, closing(func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		deadline, _ := ctx.Deadline()
		got = time.Until(deadline)
		return &typev1.PaymentSchedule{}, nil
	}))
	ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("15N")), 24*time.Hour)
	defer cancel()
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose())
	require.NoError(t, err)
	require.LessOrEqual(t, got, 10*time.Minute)
	require.Greater(t, got, 5*time.Minute, "a long call is let through")
}

// TestServer_BoundsAMessage has a message that is too large as it is sent, and one that is small as it is sent and too large unpacked.
func TestServer_BoundsAMessage(t *testing.T) {
	t.Parallel()
	client := corev1.NewCoreServiceClient(testkit.Serve(t, closing(succeed)))
	ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("15N")), time.Minute)
	defer cancel()
	large := validClose()
	large.CommissionerCode = strings.Repeat("A", rpc.MaxMessageBytes)
	for _, packing := range []string{encoding.Identity, gzip.Name} {
		_, err := client.CloseMonth(ctx, large, grpc.UseCompressor(packing))
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "%s: %v", packing, err)
		_, err = client.CloseMonth(ctx, validClose(), grpc.UseCompressor(packing))
		require.NoError(t, err, packing)
	}
}

func TestServer_BoundsTheRateOfEachSubject(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(testkit.Start)
	conn := testkit.Serve(t, closing(succeed), testkit.WithServer(func(o *rpc.ServerOptions) {
		o.RatePerSecond, o.RateBurst, o.Clock = 2, 3, clock.Now
	}))
	client := corev1.NewCoreServiceClient(conn)
	call := func(subject string) error {
		p := testkit.Preparer("15N")
		p.Subject = subject
		_, err := client.CloseMonth(testkit.As(t.Context(), p), validClose())
		return err
	}
	for range 3 {
		require.NoError(t, call("a"))
	}
	err := call("a")
	requireFault(t, err, codes.ResourceExhausted, rpc.ReasonRateLimited)
	require.Equal(t, 500*time.Millisecond, rpc.RetryAfterOf(status.Convert(err)))
	require.NoError(t, call("b"), "others are not held up")
	clock.Advance(500 * time.Millisecond)
	require.NoError(t, call("a"))
	require.Error(t, call("a"))
}

func TestNewServer_RefusesBadSettings(t *testing.T) {
	t.Parallel()
	log, tokens := testkit.Logger(t), testkit.Tokens(t)
	for name, o := range map[string]rpc.ServerOptions{
		"no logger":            {Verifier: tokens},
		"no verifier":          {Logger: log},
		"a rate and no clock":  {Logger: log, Verifier: tokens, RatePerSecond: 1},
		"nothing whatever set": {},
	} {
		_, err := rpc.NewServer(o)
		require.Error(t, err, name)
	}
}

func TestStop_LetsCallsEnd(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	srv, local := served(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		close(entered)
		<-release
		return &typev1.PaymentSchedule{}, nil
	}))
	conn, err := local.Dial(rpc.DialOptions{Token: tokenOf(t)})
	require.NoError(t, err)
	client := corev1.NewCoreServiceClient(conn)
	answered := make(chan error, 1)
	go func() {
		_, err := client.CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
		answered <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- rpc.Stop(t.Context(), srv, time.Minute) }()
	require.Eventually(t, func() bool {
		fresh, err := local.Dial(rpc.DialOptions{Token: tokenOf(t), Timeout: 200 * time.Millisecond})
		require.NoError(t, err)
		defer func() { require.NoError(t, fresh.Close()) }()
		_, err = corev1.NewCoreServiceClient(fresh).GetSchedule(testkit.As(t.Context(), testkit.Preparer("15N")), &corev1.GetScheduleRequest{ScheduleId: "x"})
		return status.Code(err) == codes.Unavailable || status.Code(err) == codes.DeadlineExceeded
	}, 10*time.Second, 5*time.Millisecond, "new calls are refused")
	close(release)
	require.NoError(t, <-answered, "a call in progress ends well")
	require.NoError(t, <-stopped)
	require.NoError(t, local.Wait())
	require.NoError(t, conn.Close())
}

func TestStop_CutsCallsThatOutlastTheLimit(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	srv, local := served(t, closing(func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		close(entered)
		<-ctx.Done()
		return nil, fmt.Errorf("work: %w", ctx.Err())
	}))
	conn, err := local.Dial(rpc.DialOptions{Token: tokenOf(t)})
	require.NoError(t, err)
	answered := make(chan error, 1)
	go func() {
		_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
		answered <- err
	}()
	<-entered
	require.Error(t, rpc.Stop(t.Context(), srv, 20*time.Millisecond))
	require.Error(t, <-answered)
	require.NoError(t, local.Wait())
	require.NoError(t, conn.Close())
}

// served is a server of which the test keeps hold.
func served(t *testing.T, register func(*grpc.Server)) (*grpc.Server, *rpc.Local) {
	t.Helper()
	srv, err := rpc.NewServer(rpc.ServerOptions{Logger: testkit.Logger(t), Verifier: testkit.Tokens(t)})
	require.NoError(t, err)
	register(srv)
	return srv, rpc.NewLocal(srv)
}

// tokenOf mints tokens for the principal of the context.
func tokenOf(t *testing.T) func(context.Context) (string, error) {
	tokens := testkit.Tokens(t)
	return func(ctx context.Context) (string, error) {
		p, ok := auth.From(ctx)
		if !ok {
			return "", nil
		}
		return tokens.Mint(p, time.Minute)
	}
}
