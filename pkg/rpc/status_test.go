package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

func TestStatus_RoundTripsEveryKind(t *testing.T) {
	t.Parallel()
	for kind, code := range map[fault.Kind]codes.Code{
		fault.Invalid: codes.InvalidArgument, fault.NotFound: codes.NotFound, fault.Exists: codes.AlreadyExists,
		fault.Refused: codes.FailedPrecondition, fault.Denied: codes.PermissionDenied, fault.Unauthenticated: codes.Unauthenticated,
		fault.Stale: codes.Aborted, fault.TooMany: codes.ResourceExhausted, fault.Busy: codes.Unavailable,
	} {
		f := fault.New(kind, "A_REASON", "in words %d", 5).With("rate_gbp", "1.50").At("month", "why")
		st := rpc.Status(fmt.Errorf("close: %w", f))
		require.Equal(t, code, st.Code())
		require.Equal(t, f, rpc.FaultFromStatus(st))
		var info *errdetails.ErrorInfo
		for _, detail := range st.Details() {
			if d, ok := detail.(*errdetails.ErrorInfo); ok {
				info = d
			}
		}
		require.Equal(t, rpc.Domain, info.GetDomain())
		back, ok := rpc.FaultOf(fmt.Errorf("call core: %w", st.Err()))
		require.True(t, ok)
		require.Equal(t, f, back)
	}
}

func TestStatus_MapsOtherErrors(t *testing.T) {
	t.Parallel()
	below := rpc.Status(fault.New(fault.NotFound, "SNAPSHOT_NOT_FOUND", "none").With("id", "s1")).Err()
	cases := map[string]struct {
		err     error
		code    codes.Code
		message string
		reason  string
	}{
		"an error":                 {errors.New("secret"), codes.Internal, rpc.InternalMessage, ""},
		"a fault of no kind":       {&fault.Fault{Reason: "X", Message: "secret"}, codes.Internal, rpc.InternalMessage, ""},
		"a deadline":               {fmt.Errorf("query: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "the call took longer than its deadline", ""},
		"a cancellation":           {fmt.Errorf("query: %w", context.Canceled), codes.Canceled, "the caller has gone", ""},
		"another service's fault":  {fmt.Errorf("get snapshot: %w", below), codes.NotFound, "none", "SNAPSHOT_NOT_FOUND"},
		"a service not reached":    {status.Error(codes.Unavailable, "dial 10.0.0.1"), codes.Unavailable, "a service that this call needs cannot be reached now", "TRY_AGAIN"},
		"a service's deadline":     {status.Error(codes.DeadlineExceeded, "secret"), codes.DeadlineExceeded, "the call took longer than its deadline", ""},
		"a service's cancellation": {status.Error(codes.Canceled, "secret"), codes.Canceled, "the caller has gone", ""},
		"a call not built in":      {status.Error(codes.Unimplemented, "secret"), codes.Unimplemented, "this service does not offer the call", ""},
		"a message too large":      {status.Error(codes.ResourceExhausted, "secret"), codes.ResourceExhausted, "a message is larger than the limit", ""},
		"a foreign refusal":        {status.Error(codes.InvalidArgument, "secret"), codes.Internal, rpc.InternalMessage, ""},
		"a service's own failure":  {status.Error(codes.Internal, "secret"), codes.Internal, rpc.InternalMessage, ""},
		"a fault because of time":  {fault.New(fault.Busy, "TRY_AGAIN", "locked").Because(context.DeadlineExceeded), codes.Unavailable, "locked", "TRY_AGAIN"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := rpc.Status(c.err)
			require.Equal(t, c.code, st.Code())
			require.Equal(t, c.message, st.Message())
			if f := rpc.FaultFromStatus(st); c.reason != "" {
				require.Equal(t, c.reason, f.Reason)
			} else if f != nil {
				require.Empty(t, f.Reason)
			}
		})
	}
	require.Nil(t, rpc.Status(nil))
	require.Nil(t, rpc.FaultFromStatus(status.New(codes.OK, "")))
	_, ok := rpc.FaultOf(errors.New("x"))
	require.False(t, ok)
}

func TestStatus_SaysWhenToRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f    *fault.Fault
		want time.Duration
	}{
		"as the fault says":  {fault.New(fault.TooMany, "X", "x").With(rpc.MetaRetryAfter, 250), 250 * time.Millisecond},
		"a second otherwise": {fault.New(fault.Busy, "X", "x"), time.Second},
		"nonsense":           {fault.New(fault.Busy, "X", "x").With(rpc.MetaRetryAfter, "soon"), time.Second},
		"never for a wrong":  {fault.New(fault.Invalid, "X", "x"), 0},
	} {
		require.Equal(t, c.want, rpc.RetryAfterOf(rpc.Status(c.f)), name)
	}
}

func TestStatus_CanAlwaysBeSent(t *testing.T) {
	t.Parallel()
	f := fault.New(fault.Invalid, "X", "%s", "bad \xff"+strings.Repeat("£", 5_000)).With("k\xff", strings.Repeat("v", 5_000))
	for n := range 200 {
		f = f.At("field", strings.Repeat("é", 1_000)).With(fmt.Sprint(n), "x")
	}
	st := rpc.Status(f)
	require.LessOrEqual(t, len(st.Message()), 2_000)
	require.True(t, utf8.ValidString(st.Message()))
	body, err := proto.Marshal(st.Proto())
	require.NoError(t, err)
	require.Less(t, len(body), 64<<10)
	back := rpc.FaultFromStatus(st)
	require.Len(t, back.Violations, 50)
	require.Len(t, back.Meta, 40)
}
