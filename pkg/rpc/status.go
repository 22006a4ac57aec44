package rpc

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the domain of every ErrorInfo this suite sends.
const Domain = "pcnfunding"

// MetaRetryAfter is the key of a fault's figures that says after how many milliseconds a retry makes sense. It becomes the
// RetryInfo of the status. TooMany and Busy without it ask for one second.
const MetaRetryAfter = "retry_after_ms"

// InternalMessage is all that a caller learns of an error that is not a fault.
const InternalMessage = "internal error"

const (
	defaultRetryAfter = time.Second
	// The limits below keep an error inside the header list that clients accept, whatever the request held.
	maxMessageBytes    = 2_000
	maxMetaBytes       = 500
	maxMetaEntries     = 40
	maxViolations      = 50
	maxViolationsBytes = 500
)

var codeOf = map[fault.Kind]codes.Code{
	fault.Invalid:         codes.InvalidArgument,
	fault.NotFound:        codes.NotFound,
	fault.Exists:          codes.AlreadyExists,
	fault.Refused:         codes.FailedPrecondition,
	fault.Denied:          codes.PermissionDenied,
	fault.Unauthenticated: codes.Unauthenticated,
	fault.Stale:           codes.Aborted,
	fault.TooMany:         codes.ResourceExhausted,
	fault.Busy:            codes.Unavailable,
}

var kindOf = func() map[codes.Code]fault.Kind {
	kinds := make(map[codes.Code]fault.Kind, len(codeOf))
	for kind, code := range codeOf {
		kinds[code] = kind
	}
	return kinds
}()

// Status turns an error into the status a caller sees. A fault keeps its kind (as the code), reason, message, figures and field
// violations, never its cause. A deadline or cancellation keeps its code. A status of another service of the suite is passed
// on. Anything else becomes INTERNAL with a fixed text. It is nil for nil.
func Status(err error) *status.Status {
	if err == nil {
		return nil
	}
	if f, ok := fault.As(err); ok {
		return faultStatus(f)
	}
	if st, ok := foreignStatus(err); ok {
		return st
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return status.New(codes.DeadlineExceeded, "the call took longer than its deadline")
	case errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the caller has gone")
	default:
		return status.New(codes.Internal, InternalMessage)
	}
}

// foreignStatus passes on a status found in the chain of an error: of another service of the suite as it is, of gRPC itself by
// its code with words of our own.
func foreignStatus(err error) (*status.Status, bool) {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) || carrier.GRPCStatus() == nil {
		return nil, false
	}
	st := carrier.GRPCStatus()
	if f := FaultFromStatus(st); f != nil && f.Reason != "" {
		return faultStatus(f), true
	}
	switch st.Code() {
	case codes.Unavailable:
		return faultStatus(fault.New(fault.Busy, "TRY_AGAIN", "a service that this call needs cannot be reached now")), true
	case codes.DeadlineExceeded:
		return status.New(codes.DeadlineExceeded, "the call took longer than its deadline"), true
	case codes.Canceled:
		return status.New(codes.Canceled, "the caller has gone"), true
	case codes.Unimplemented:
		return status.New(codes.Unimplemented, "this service does not offer the call"), true
	case codes.ResourceExhausted:
		return status.New(codes.ResourceExhausted, "a message is larger than the limit"), true
	default:
		return nil, false
	}
}

func faultStatus(f *fault.Fault) *status.Status {
	code, known := codeOf[f.Kind]
	if !known {
		return status.New(codes.Internal, InternalMessage)
	}
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: f.Reason, Domain: Domain, Metadata: metaOf(f.Meta)}}
	if len(f.Violations) > 0 {
		details = append(details, badRequest(f.Violations))
	}
	if f.Kind == fault.TooMany || f.Kind == fault.Busy {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter(f))})
	}
	st := status.New(code, clip(f.Message, maxMessageBytes))
	if detailed, err := st.WithDetails(details...); err == nil {
		return detailed
	}
	return st
}

func metaOf(meta map[string]string) map[string]string {
	if len(meta) == 0 {
		return nil
	}
	out := make(map[string]string, len(meta))
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if len(out) == maxMetaEntries {
			break
		}
		out[clip(key, maxMetaBytes)] = clip(meta[key], maxMetaBytes)
	}
	return out
}

func badRequest(violations []fault.Violation) *errdetails.BadRequest {
	out := &errdetails.BadRequest{}
	for _, v := range violations[:min(len(violations), maxViolations)] {
		out.FieldViolations = append(out.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: clip(v.Field, maxViolationsBytes), Reason: v.Reason, Description: clip(v.Description, maxViolationsBytes),
		})
	}
	return out
}

func retryAfter(f *fault.Fault) time.Duration {
	if ms, err := strconv.ParseInt(f.Meta[MetaRetryAfter], 10, 32); err == nil && ms >= 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return defaultRetryAfter
}

// clip makes text valid UTF-8 of at most n bytes: a status with any other text cannot be sent.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// FaultFromStatus reads a status back into the fault it was made from. It returns nil for OK and for a code that no kind of
// fault has, such as INTERNAL, DEADLINE_EXCEEDED or UNIMPLEMENTED. The reason is empty when the status was not made by this
// suite.
func FaultFromStatus(st *status.Status) *fault.Fault {
	kind, ok := kindOf[st.Code()]
	if !ok {
		return nil
	}
	f := fault.New(kind, "", "%s", st.Message())
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				f.Reason, f.Meta = d.GetReason(), maps.Clone(d.GetMetadata())
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Violations = append(f.Violations, fault.Violation{
					Field: v.GetField(), Reason: v.GetReason(), Description: v.GetDescription(),
				})
			}
		}
	}
	return f
}

// FaultOf returns the fault of an error: the one in its chain, or the one that the status of a call in its chain was made from.
func FaultOf(err error) (*fault.Fault, bool) {
	if f, ok := fault.As(err); ok {
		return f, true
	}
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil, false
	}
	f := FaultFromStatus(carrier.GRPCStatus())
	return f, f != nil
}

// CorrelationOf returns the correlation id that a status carries, or an empty string.
func CorrelationOf(st *status.Status) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RequestInfo); ok {
			return info.GetRequestId()
		}
	}
	return ""
}

// RetryAfterOf returns how long a status asks its caller to wait, or zero.
func RetryAfterOf(st *status.Status) time.Duration {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// withCorrelation adds the correlation id by which the error can be found in the logs.
func withCorrelation(st *status.Status, id string) *status.Status {
	if detailed, err := st.WithDetails(&errdetails.RequestInfo{RequestId: id}); err == nil {
		return detailed
	}
	return st
}
