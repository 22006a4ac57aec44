package rpc_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestServer_TellsOfItsCalls(t *testing.T) {
	t.Parallel()
	tel, shutdown, err := telemetry.OpenWith(t.Context(), telemetry.Options{
		Service: "core", Output: io.Discard, Getenv: func(string) string { return "" },
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, shutdown(t.Context())) }()
	seen := make(chan trace.TraceID, 1)
	srv, err := rpc.NewServer(rpc.ServerOptions{Logger: tel.Logger, Verifier: testkit.Tokens(t), Meter: tel.Meter, Tracer: tel.Tracer})
	require.NoError(t, err)
	closing(func(ctx context.Context, _ *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		seen <- trace.SpanContextFromContext(ctx).TraceID()
		return &typev1.PaymentSchedule{}, nil
	})(srv)
	rpc.Health(srv, tel.Logger, nil)
	local := rpc.NewLocal(srv)
	conn, err := local.Dial(rpc.DialOptions{Token: tokenOf(t), Meter: tel.Meter, Tracer: tel.Tracer})
	require.NoError(t, err)

	ctx, span := tel.Tracer.Tracer("test").Start(testkit.As(t.Context(), testkit.Preparer("15N")), "caller")
	_, err = corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose())
	span.End()
	require.NoError(t, err)
	require.Equal(t, span.SpanContext().TraceID(), <-seen, "the trace crosses the call")
	_, err = healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Error(t, conn.Invoke(t.Context(), "/Nobody.Has/This", &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{}))
	require.NoError(t, conn.Close())
	require.NoError(t, rpc.Stop(t.Context(), srv, time.Minute))
	require.NoError(t, local.Wait())

	recorder := httptest.NewRecorder()
	tel.MetricsHandler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, recorder.Body.String(), "rpc_server_call_duration_seconds")
	require.Contains(t, recorder.Body.String(), "CloseMonth")
	require.NotContains(t, recorder.Body.String(), "grpc.health.v1", "probes are left out")
	require.NotContains(t, recorder.Body.String(), "Nobody", "and so is what no contract has")
}

// TestServer_ObservesAnswersAndRefusals tells of each call once: the answer of a call and of a stream, and the error where there is none.
func TestServer_ObservesAnswersAndRefusals(t *testing.T) {
	t.Parallel()
	type seen struct {
		answer any
		err    error
	}
	var mu sync.Mutex
	told := make(map[string][]seen)
	observe := testkit.WithServer(func(o *rpc.ServerOptions) {
		o.Observe = func(_ context.Context, method string, answer any, err error) {
			mu.Lock()
			defer mu.Unlock()
			told[path.Base(method)] = append(told[path.Base(method)], seen{answer, err})
		}
	})
	conn := testkit.Serve(t, func(srv *grpc.Server) {
		closing(succeed)(srv)
		uploads{receive: func(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
			return stream.SendAndClose(&registerv1.ImportResponse{AlreadyLoaded: true})
		}}.register(srv)
	}, observe)
	client := corev1.NewCoreServiceClient(conn)
	_, err := client.CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
	require.NoError(t, err)
	_, err = client.CloseMonth(t.Context(), validClose())
	require.Error(t, err)
	stream, err := registerv1.NewRegisterServiceClient(conn).Import(testkit.As(t.Context(), testkit.Operator()))
	require.NoError(t, err)
	_, err = stream.CloseAndRecv()
	require.NoError(t, err)

	mu.Lock()
	defer mu.Unlock()
	require.Len(t, told["CloseMonth"], 2)
	require.IsType(t, &typev1.PaymentSchedule{}, told["CloseMonth"][0].answer)
	require.Equal(t, auth.ReasonTokenMissing, fault.ReasonOf(told["CloseMonth"][1].err))
	require.Len(t, told["Import"], 1)
	loaded, ok := told["Import"][0].answer.(*registerv1.ImportResponse)
	require.True(t, ok)
	require.True(t, loaded.GetAlreadyLoaded())
}

// TestDial_ReachesAServerOverTheNetwork proves the client against a real socket, as the cluster has it.
func TestDial_ReachesAServerOverTheNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil) // only its listener is used
	srv, err := rpc.NewServer(rpc.ServerOptions{Logger: testkit.Logger(t), Verifier: testkit.Tokens(t)})
	require.NoError(t, err)
	closing(succeed)(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(server.Listener) }()
	conn, err := rpc.Dial("dns:///"+server.Listener.Addr().String(), rpc.DialOptions{Token: tokenOf(t)})
	require.NoError(t, err)
	_, err = corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose(), grpc.WaitForReady(true))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, rpc.Stop(t.Context(), srv, time.Minute))
	require.NoError(t, <-served)
}
