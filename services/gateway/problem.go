package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ProblemType is the media type of every error of the gateway (RFC 9457).
const ProblemType = "application/problem+json"

// Reasons of the gateway's own refusals, beside those of the services.
const (
	reasonJSONInvalid       = "JSON_INVALID"
	reasonUnknownField      = "UNKNOWN_FIELD"
	reasonBodyTooLarge      = "BODY_TOO_LARGE"
	reasonBodyIncomplete    = "BODY_INCOMPLETE"
	reasonUnsupportedMedia  = "UNSUPPORTED_MEDIA_TYPE"
	reasonRouteNotFound     = "ROUTE_NOT_FOUND"
	reasonMethodNotAllowed  = "METHOD_NOT_ALLOWED"
	reasonHeaderInvalid     = "HEADER_INVALID"
	reasonTextInvalid       = "TEXT_INVALID"
	reasonRequestInvalid    = "REQUEST_INVALID"
	reasonDeadlineExceeded  = "DEADLINE_EXCEEDED"
	reasonCancelled         = "CANCELLED"
	reasonServiceDown       = "SERVICE_UNAVAILABLE"
	reasonNotReady          = "NOT_READY"
	reasonInternal          = "INTERNAL"
	statusClientClosed      = 499
	problemTypePrefix       = "urn:pcnfunding:problem:"
	correlationInstance     = "urn:pcnfunding:request:"
	defaultRetryAfter       = time.Second
	longestEchoedName       = 100
	internalDetail          = "An internal error occurred. Report the correlation id."
	unavailableDetail       = "The service cannot be reached at the moment. Try again soon with the same idempotency key."
	deadlineDetail          = "The call did not finish in time. Try again with the same idempotency key."
	permissionWithoutDetail = "The call is not allowed."
)

// problem is the body of every error: RFC 9457 with the suite's own members reason, metadata and errors.
type problem struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Detail   string            `json:"detail,omitempty"`
	Instance string            `json:"instance,omitempty"`
	Reason   string            `json:"reason"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Errors   []fieldProblem    `json:"errors,omitempty"`

	retryAfter time.Duration
	allow      []string
}

// fieldProblem names one field of the request and what is wrong with it.
type fieldProblem struct {
	Field       string `json:"field"`
	Reason      string `json:"reason"`
	Description string `json:"description"`
}

func newProblem(httpStatus int, reason, detail string) *problem {
	title := http.StatusText(httpStatus)
	if httpStatus == statusClientClosed {
		title = "Client Closed Request"
	}
	return &problem{Type: problemTypePrefix + reason, Title: title, Status: httpStatus, Detail: detail, Reason: reason}
}

func (p *problem) at(field, description string) *problem {
	p.Errors = append(p.Errors, fieldProblem{Field: field, Reason: p.Reason, Description: description})
	return p
}

// httpStatus maps the codes of faults as the suite does: a stale entity tag is a failed precondition of HTTP, a refusal is not.
func httpStatus(code codes.Code) int {
	switch code {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists:
		return http.StatusConflict
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.Aborted:
		return http.StatusPreconditionFailed
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Canceled:
		return statusClientClosed
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unknown, codes.Internal, codes.DataLoss:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// problemFromError turns the error of a call into a problem. Only text that a service wrote for callers is shown: a status
// that carries no reason comes from the transport or from a defect, and its text stays in the log.
func problemFromError(err error) *problem {
	st, ok := status.FromError(err)
	if !ok {
		if ctxStatus := status.FromContextError(err); ctxStatus.Code() != codes.Unknown {
			st = ctxStatus
		}
	}
	info, fields, retry := details(st)
	if info == nil {
		return problemWithoutReason(st, fields)
	}
	p := newProblem(httpStatus(st.Code()), info.GetReason(), st.Message())
	if p.Status == http.StatusInternalServerError {
		p = newProblem(p.Status, reasonInternal, internalDetail)
	}
	p.Metadata, p.Errors, p.retryAfter = info.GetMetadata(), fields, retry
	if p.Status == http.StatusInternalServerError {
		p.Metadata, p.Errors = nil, nil
	}
	return p
}

func problemWithoutReason(st *status.Status, fields []fieldProblem) *problem {
	code := httpStatus(st.Code())
	switch st.Code() {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		p := newProblem(code, reasonRequestInvalid, st.Message())
		p.Errors = fields
		return p
	case codes.Unauthenticated:
		return newProblem(code, "TOKEN_INVALID", "A valid bearer token is needed.")
	case codes.PermissionDenied:
		return newProblem(code, "DENIED", permissionWithoutDetail)
	case codes.NotFound:
		return newProblem(code, "RESOURCE_NOT_FOUND", "There is no such resource.")
	case codes.AlreadyExists:
		return newProblem(code, "ALREADY_EXISTS", "The identifier is taken by other content.")
	case codes.Aborted:
		return newProblem(code, "VERSION_CHANGED", "The resource changed since it was read.")
	case codes.Unavailable:
		return newProblem(code, reasonServiceDown, unavailableDetail)
	case codes.DeadlineExceeded:
		return newProblem(code, reasonDeadlineExceeded, deadlineDetail)
	case codes.Canceled:
		return newProblem(code, reasonCancelled, "The caller gave up.")
	case codes.ResourceExhausted:
		if strings.Contains(st.Message(), "larger than max") { // the transport's words for a message over its size limit
			return newProblem(http.StatusInternalServerError, reasonInternal, internalDetail)
		}
		return newProblem(code, "RATE_LIMITED", "Too many requests. Slow down.")
	case codes.Unimplemented:
		return newProblem(code, "NOT_IMPLEMENTED", "The service does not know this call.")
	case codes.OK, codes.Unknown, codes.Internal, codes.DataLoss:
	}
	return newProblem(http.StatusInternalServerError, reasonInternal, internalDetail)
}

func details(st *status.Status) (info *errdetails.ErrorInfo, fields []fieldProblem, retry time.Duration) {
	var violations []fieldProblem
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				fields = append(fields, fieldProblem{Field: v.GetField(), Reason: v.GetReason(), Description: v.GetDescription()})
			}
		case *validate.Violations:
			for _, v := range d.GetViolations() {
				violations = append(violations, fieldProblem{
					Field: protovalidate.FieldPathString(v.GetField()), Reason: reasonOfRule(v.GetRuleId()), Description: v.GetMessage(),
				})
			}
		}
	}
	if len(fields) == 0 {
		fields = violations
	}
	return info, fields, retry
}

// reasonOfRule writes a validation rule's id, such as string.max_len, as a reason code.
func reasonOfRule(id string) string { return strings.ToUpper(strings.ReplaceAll(id, ".", "_")) }

// write sends the problem. It may be called only before anything else was written.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	if id := h.Get(headerCorrelationID); id != "" {
		p.Instance = correlationInstance + id
	}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge(p))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(retrySeconds(p.retryAfter), 10))
	case http.StatusMethodNotAllowed:
		h.Set("Allow", strings.Join(p.allow, ", "))
	}
	h.Del("Etag")
	h.Del("Content-Disposition")
	h.Set("Content-Type", ProblemType)
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(p); err != nil { // strings and a number: cannot fail
		http.Error(w, internalDetail, http.StatusInternalServerError)
		return
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body.Bytes()) // the caller may be gone; there is nobody to tell
}

func retrySeconds(d time.Duration) int64 {
	d = max(d, defaultRetryAfter)
	return int64((d + time.Second - 1) / time.Second)
}

// challenge is the WWW-Authenticate header of RFC 6750: an error code only if a token was sent.
func challenge(p *problem) string {
	const realm = `Bearer realm="pcnfunding"`
	if p.Reason == "TOKEN_MISSING" {
		return realm
	}
	description := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '\''
		}
		return r
	}, p.Detail)
	return realm + `, error="invalid_token", error_description="` + description + `"`
}

// fail writes the problem of a failed call and logs what the caller is not shown.
func (g *gateway) fail(ctx context.Context, w http.ResponseWriter, err error) {
	p := problemFromError(err)
	if p.Status >= http.StatusInternalServerError {
		g.logger.ErrorContext(ctx, "call failed", "status", p.Status,
			"reason", p.Reason, "error", err)
	}
	p.write(w)
}

// methodNotAllowed names the methods that the path does know.
func methodNotAllowed(verbs []string) *problem {
	p := newProblem(http.StatusMethodNotAllowed, reasonMethodNotAllowed, "The path does not know this method.")
	p.allow = slices.Clone(verbs)
	if slices.Contains(verbs, http.MethodGet) {
		p.allow = append(p.allow, http.MethodHead)
	}
	return p
}
