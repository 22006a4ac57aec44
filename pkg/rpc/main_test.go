package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// core is a core service of two calls.
type core struct {
	corev1.UnimplementedCoreServiceServer
	close   func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error)
	confirm func(context.Context, *corev1.ConfirmRateRequest) (*corev1.Rate, error)
}

func (c core) CloseMonth(ctx context.Context, req *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	return c.close(ctx, req)
}

func (c core) ConfirmRate(ctx context.Context, req *corev1.ConfirmRateRequest) (*corev1.Rate, error) {
	return c.confirm(ctx, req)
}

func (c core) register(srv *grpc.Server) { corev1.RegisterCoreServiceServer(srv, c) }

// closing is a core service whose CloseMonth is the function.
func closing(f func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error)) func(*grpc.Server) {
	return core{close: f}.register
}

// succeed answers every CloseMonth.
func succeed(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	return &typev1.PaymentSchedule{}, nil
}

// uploads is a register service of one streaming call.
type uploads struct {
	registerv1.UnimplementedRegisterServiceServer
	receive func(grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error
}

func (u uploads) Import(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
	return u.receive(stream)
}

func (u uploads) register(srv *grpc.Server) { registerv1.RegisterRegisterServiceServer(srv, u) }

// readAll receives to the end.
func readAll(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&registerv1.ImportResponse{})
		} else if err != nil {
			return err
		}
	}
}

func validClose() *corev1.CloseMonthRequest {
	return &corev1.CloseMonthRequest{RequestId: "r1", CommissionerCode: "15N", Month: "2026-01"}
}

func requireFault(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	_ = faultOf(t, err, code, reason)
}

// faultOf returns the fault of a call that must have been refused for the reason.
func faultOf(t *testing.T, err error, code codes.Code, reason string) *fault.Fault {
	t.Helper()
	require.Error(t, err)
	st := status.Convert(err)
	require.Equal(t, code, st.Code(), "%v", err)
	f := rpc.FaultFromStatus(st)
	require.NotNil(t, f, "%v", err)
	require.Equal(t, reason, f.Reason, "%v", err)
	require.NotEmpty(t, rpc.CorrelationOf(st), "every refusal carries the correlation id")
	return f
}

// logBook is a log that tests read.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBook) logger() *slog.Logger {
	return telemetry.NewLogger(b, slog.LevelDebug, false)
}
