package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestUnary_ServesAnAuthorisedCall(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(func(ctx context.Context, req *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		p, ok := auth.From(ctx)
		assert.True(t, ok)
		assert.Equal(t, "preparer@example.test", p.Subject)
		assert.NotEmpty(t, p.Token)
		assert.Len(t, p.Roles, 2)
		assert.Equal(t, []string{"15N"}, p.Commissioners)
		assert.Empty(t, p.PCNs, "the call is not for a manager")
		assert.Equal(t, "abc-1", telemetry.Correlation(ctx))
		_, has := ctx.Deadline()
		assert.True(t, has, "every call has a deadline")
		assert.Equal(t, "15N", req.GetCommissionerCode())
		rpc.MarkReplay(ctx)
		return &typev1.PaymentSchedule{}, nil
	}))
	preparer := testkit.Preparer("15N")
	preparer.Roles, preparer.PCNs = append(preparer.Roles, optionsv1.Role_ROLE_PCN_MANAGER), []string{"U12345"}
	ctx := testkit.As(telemetry.WithCorrelation(t.Context(), "abc-1"), preparer)
	var header metadata.MD
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose(), grpc.Header(&header))
	require.NoError(t, err)
	require.Equal(t, []string{"abc-1"}, header.Get(rpc.KeyCorrelationID))
	require.Equal(t, []string{"true"}, header.Get(rpc.KeyReplay))
}

func TestUnary_RefusesBeforeTheHandler(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		t.Error("the handler must not run")
		return nil, nil
	}))
	client := corev1.NewCoreServiceClient(conn)
	bearer := func(value string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), rpc.KeyAuthorization, value)
	}
	cases := map[string]struct {
		ctx    context.Context
		req    *corev1.CloseMonthRequest
		code   codes.Code
		reason string
	}{
		"no token":              {t.Context(), validClose(), codes.Unauthenticated, auth.ReasonTokenMissing},
		"another scheme":        {bearer("Basic YTpi"), validClose(), codes.Unauthenticated, auth.ReasonTokenMissing},
		"a bearer of nothing":   {bearer("Bearer "), validClose(), codes.Unauthenticated, auth.ReasonTokenMissing},
		"no token but garbage":  {bearer("bearer x.y.z"), validClose(), codes.Unauthenticated, auth.ReasonTokenInvalid},
		"another role":          {testkit.As(t.Context(), testkit.Auditor("*")), validClose(), codes.PermissionDenied, auth.ReasonRoleRequired},
		"another commissioner":  {testkit.As(t.Context(), testkit.Preparer("36J")), validClose(), codes.NotFound, auth.ReasonNotFound},
		"limits of the request": {testkit.As(t.Context(), testkit.Preparer("*")), &corev1.CloseMonthRequest{CommissionerCode: "15N"}, codes.InvalidArgument, rpc.ReasonRequestInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := client.CloseMonth(c.ctx, c.req)
			requireFault(t, err, c.code, c.reason)
		})
	}
}

func TestUnary_RefusesACallWithoutARule(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, func(srv *grpc.Server) {
		grpc_testing.RegisterTestServiceServer(srv, grpc_testing.UnimplementedTestServiceServer{})
	})
	ctx := testkit.As(t.Context(), testkit.Operator())
	_, err := grpc_testing.NewTestServiceClient(conn).EmptyCall(ctx, &grpc_testing.Empty{})
	requireFault(t, err, codes.PermissionDenied, auth.ReasonNoRule)
	stream, err := grpc_testing.NewTestServiceClient(conn).FullDuplexCall(ctx)
	require.NoError(t, err)
	_, err = stream.Recv()
	requireFault(t, err, codes.PermissionDenied, auth.ReasonNoRule)
}

func TestUnary_NamesFieldsAndRules(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(succeed))
	req := &corev1.CloseMonthRequest{CommissionerCode: "15N", Month: "January <script>", RequestId: strings.Repeat("r", 129)}
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), req)
	f := faultOf(t, err, codes.InvalidArgument, rpc.ReasonRequestInvalid)
	require.Len(t, f.Violations, 2)
	require.Equal(t, "request_id", f.Violations[0].Field)
	require.Equal(t, "STRING_MAX_LEN", f.Violations[0].Reason)
	require.Equal(t, "month", f.Violations[1].Field)
	require.Equal(t, "STRING_PATTERN", f.Violations[1].Reason)
	for _, v := range f.Violations {
		require.NotEmpty(t, v.Description)
		require.NotContains(t, v.Description, "script", "values are not echoed")
	}
}

func TestUnary_MasksWhatIsNoFault(t *testing.T) {
	t.Parallel()
	cases := map[string]func() error{
		"an error of the driver": func() error {
			return fmt.Errorf("load: %w", errors.New("pq: password=secret"))
		},
		"a status from below":   func() error { return status.Error(codes.Unknown, "secret") },
		"a panic":               func() error { panic("secret") },
		"a panic with an error": func() error { panic(errors.New("secret")) },
		"a nil dereference": func() error {
			var req *struct{ secret string }
			return errors.New(req.secret)
		},
	}
	for name, fail := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var book logBook
			conn := testkit.Serve(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
				return nil, fail()
			}), testkit.WithLogger(book.logger()))
			_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
			st := status.Convert(err)
			require.Equal(t, codes.Internal, st.Code())
			require.Equal(t, rpc.InternalMessage, st.Message())
			require.NotContains(t, err.Error(), "secret")
			id := rpc.CorrelationOf(st)
			require.NotEmpty(t, id)
			require.Contains(t, book.String(), id, "the cause can be found by the id")
			require.Contains(t, book.String(), "preparer@example.test")
			if name != "a nil dereference" {
				require.Contains(t, book.String(), "secret")
			}
			if strings.Contains(name, "panic") {
				require.Contains(t, book.String(), "goroutine", "the stack is logged")
			}
		})
	}
}

func TestUnary_ShowsFaultsWithoutTheirCause(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(func(context.Context, *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
		return nil, fmt.Errorf("close: %w", fault.New(fault.Refused, "MONTH_CLOSED", "the month %s is closed", "2026-01").
			With("month", "2026-01").At("month", "closed").Because(errors.New("secret")))
	}))
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(testkit.As(t.Context(), testkit.Preparer("15N")), validClose())
	f := faultOf(t, err, codes.FailedPrecondition, "MONTH_CLOSED")
	require.Equal(t, "the month 2026-01 is closed", f.Message)
	require.Equal(t, map[string]string{"month": "2026-01"}, f.Meta)
	require.Equal(t, []fault.Violation{{Field: "month", Reason: "MONTH_CLOSED", Description: "closed"}}, f.Violations)
	require.NotContains(t, err.Error(), "secret")
}

func TestUnary_MakesACorrelationIDOfItsOwn(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(succeed))
	for _, given := range []string{"", "two words", strings.Repeat("x", 65), "<script>"} {
		ctx := testkit.As(t.Context(), testkit.Preparer("15N"))
		if given != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, rpc.KeyCorrelationID, given)
		}
		var header metadata.MD
		_, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, validClose(), grpc.Header(&header))
		require.NoError(t, err)
		got := header.Get(rpc.KeyCorrelationID)
		require.Len(t, got, 1)
		require.Len(t, got[0], 36)
	}
}

func TestUnary_FillsFromMetadata(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		key, match, requestID, etag string
		wantID, wantEtag            string
	}{
		"both empty fields":          {key: "k1", match: `"v7"`, wantID: "k1", wantEtag: "v7"},
		"both say the same":          {key: "k1", match: `"v7"`, requestID: "k1", etag: "v7", wantID: "k1", wantEtag: "v7"},
		"nothing to fill with":       {},
		"a tag without quotes":       {match: "v7", wantEtag: "v7"},
		"a weak tag matches nothing": {match: `W/"v7"`, wantEtag: `W/"v7"`},
		"a lone quote":               {match: `"`, wantEtag: `"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := testkit.Serve(t, core{confirm: func(_ context.Context, req *corev1.ConfirmRateRequest) (*corev1.Rate, error) {
				assert.Equal(t, c.wantID, req.GetRequestId())
				assert.Equal(t, c.wantEtag, req.GetEtag())
				return &corev1.Rate{Etag: "v8"}, nil
			}}.register)
			ctx := testkit.As(t.Context(), testkit.Approver("15N"))
			if c.key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, rpc.KeyIdempotencyKey, c.key)
			}
			if c.match != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, rpc.KeyIfMatch, c.match)
			}
			var header metadata.MD
			_, err := corev1.NewCoreServiceClient(conn).ConfirmRate(ctx, &corev1.ConfirmRateRequest{
				RequestId: c.requestID, Etag: c.etag, CommissionerCode: "15N", RateId: "x", Source: "a page",
				Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
			}, grpc.Header(&header))
			require.NoError(t, err)
			require.Equal(t, []string{`"v8"`}, header.Get(rpc.KeyETag))
		})
	}
}

func TestUnary_RefusesHeadersThatContradictTheMessage(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, core{}.register)
	for key, value := range map[string]string{rpc.KeyIdempotencyKey: "k1", rpc.KeyIfMatch: `"v7"`} {
		ctx := metadata.AppendToOutgoingContext(testkit.As(t.Context(), testkit.Approver("15N")), key, value)
		_, err := corev1.NewCoreServiceClient(conn).ConfirmRate(ctx, &corev1.ConfirmRateRequest{
			RequestId: "r1", Etag: "v1", CommissionerCode: "15N", RateId: "x", Source: "a page", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.Equal(t, rpc.ReasonContradiction, rpc.FaultFromStatus(status.Convert(err)).Reason, key)
	}
}

func TestUnary_ValidatesWhatMetadataFilled(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(succeed))
	ctx := metadata.AppendToOutgoingContext(testkit.As(t.Context(), testkit.Preparer("15N")), rpc.KeyIdempotencyKey, strings.Repeat("k", 129))
	_, err := corev1.NewCoreServiceClient(conn).CloseMonth(ctx, &corev1.CloseMonthRequest{CommissionerCode: "15N", Month: "2026-01"})
	requireFault(t, err, codes.InvalidArgument, rpc.ReasonRequestInvalid)
}

func TestStream_AdmitsEachMessage(t *testing.T) {
	t.Parallel()
	header := &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Header{Header: &registerv1.ImportHeader{}}}
	chunk := &registerv1.ImportRequest{Part: &registerv1.ImportRequest_Chunk{Chunk: []byte("a,b\n")}}
	invalid := &registerv1.ImportRequest{}
	conn := testkit.Serve(t, uploads{receive: func(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
		opening, err := stream.Recv()
		if err != nil {
			return err
		}
		assert.Equal(t, "k1", opening.GetHeader().GetRequestId(), "the key reaches the header of the upload")
		p, ok := auth.From(stream.Context())
		assert.True(t, ok)
		assert.Equal(t, "operator@example.test", p.Subject)
		return readAll(stream)
	}}.register)
	send := func(ctx context.Context, messages ...*registerv1.ImportRequest) error {
		stream, err := registerv1.NewRegisterServiceClient(conn).Import(metadata.AppendToOutgoingContext(ctx, rpc.KeyIdempotencyKey, "k1"))
		require.NoError(t, err)
		for _, m := range messages {
			if stream.Send(m) != nil {
				break
			}
		}
		_, err = stream.CloseAndRecv()
		return err
	}
	operator := testkit.As(t.Context(), testkit.Operator())
	require.NoError(t, send(operator, header, chunk, chunk))
	requireFault(t, send(operator, header, chunk, invalid), codes.InvalidArgument, rpc.ReasonRequestInvalid)
	requireFault(t, send(t.Context(), header), codes.Unauthenticated, auth.ReasonTokenMissing)
	requireFault(t, send(testkit.As(t.Context(), testkit.Preparer("*")), header), codes.PermissionDenied, auth.ReasonRoleRequired)
}

func TestStream_MasksPanics(t *testing.T) {
	t.Parallel()
	var book logBook
	conn := testkit.Serve(t, uploads{receive: func(grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
		panic("secret")
	}}.register, testkit.WithLogger(book.logger()))
	stream, err := registerv1.NewRegisterServiceClient(conn).Import(testkit.As(t.Context(), testkit.Operator()))
	require.NoError(t, err)
	_, err = stream.CloseAndRecv()
	require.Equal(t, codes.Internal, status.Code(err))
	require.Equal(t, rpc.InternalMessage, status.Convert(err).Message())
	require.Contains(t, book.String(), rpc.CorrelationOf(status.Convert(err)))
}

func TestStream_EndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	tokens := testkit.Tokens(t)
	srv, err := rpc.NewServer(rpc.ServerOptions{Logger: testkit.Logger(t), Verifier: tokens, BulkTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	uploads{receive: readAll}.register(srv)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	// A bare client sets no deadline; this one sends nothing and never closes.
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	stream, err := registerv1.NewRegisterServiceClient(conn).Import(tokens.Context(t.Context(), testkit.Operator()))
	require.NoError(t, err)
	err = stream.RecvMsg(&registerv1.ImportResponse{})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.NoError(t, conn.Close())
	srv.Stop()
	require.NoError(t, <-served)
}

func TestUnary_RefusesBytesThatAreNoRequest(t *testing.T) {
	t.Parallel()
	conn := testkit.Serve(t, closing(succeed))
	ctx := testkit.As(t.Context(), testkit.Preparer("*"))
	for name, body := range map[string]string{
		"cut short":           "\x0a\x05ab",
		"text that is no UTF": "\x12\x02\xff\xfe",
		"an endless varint":   strings.Repeat("\xff", 20),
		"a wrong group":       "\x0c",
	} {
		err := conn.Invoke(ctx, corev1.CoreService_CloseMonth_FullMethodName, []byte(body), &typev1.PaymentSchedule{}, grpc.ForceCodec(rawCodec{}))
		require.Error(t, err, name)
		requireFault(t, err, codes.InvalidArgument, rpc.ReasonRequestMalformed)
	}
}

// rawCodec sends bytes as they are, under the name of the protobuf codec.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is no bytes", v)
	}
	return body, nil
}

func (rawCodec) Unmarshal([]byte, any) error { return nil }

func (rawCodec) Name() string { return "proto" }
