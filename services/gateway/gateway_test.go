package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

const closePath = "/v1/core/commissioners/15N/months/2022-04:close"

func TestNew_RefusesMissingDeps(t *testing.T) {
	t.Parallel()
	_, err := gateway.New(t.Context(), gateway.Deps{})
	require.Error(t, err)
}

func TestNew_NeedsAConnectionToEachService(t *testing.T) {
	t.Parallel()
	conn, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	for _, absent := range []string{
		"register",
		"core",
		"arrs",
		"iif",
		"devfund",
		"activity",
		"payments",
		"partners",
		"none",
	} {
		_, err := gateway.New(t.Context(), gateway.Deps{
			Logger: slog.New(slog.DiscardHandler), Clock: time.Now,
			Conn: func(service string) grpc.ClientConnInterface {
				if service == absent {
					return nil
				}
				return conn
			},
		})
		require.Equal(t, absent == "none", err == nil, "%s: %v", absent, err)
	}
}

func TestPackages_AreThoseOfTheServices(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, []string{
		"pcnfunding.register.v1",
		"pcnfunding.core.v1",
		"pcnfunding.arrs.v1",
		"pcnfunding.iif.v1",
		"pcnfunding.devfund.v1",
		"pcnfunding.activity.v1",
		"pcnfunding.payments.v1",
		"pcnfunding.partners.v1",
	}, gateway.Packages())
}

func TestCall_WritesNamesOfTheContractAndPenceAsText(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.core.schedule = &typev1.PaymentSchedule{ScheduleId: "x", PayTotalPence: 9007199254740993}
	a := s.get(t, "/v1/core/schedules/x")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	body := a.json(t)
	require.Equal(t, "9007199254740993", body["pay_total_pence"])
	require.Equal(t, "0", body["reconcile_total_pence"], "zero is shown")
	require.Equal(t, []any{}, body["lines"], "an empty list is shown")
	require.NotContains(t, body, "known_at", "a message that is not there is not")
}

func TestCall_ForwardsHeaders(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	a := s.post(t, "/v1/core/rates/r1:confirm", `{"source": "x"}`, "Authorization", "Bearer abc", "Idempotency-Key", `"key-1"`,
		"If-Match", `W/"7"`, "X-Correlation-Id", "corr-1", "Traceparent", trace, "Grpc-Timeout", "1n", "Grpc-Metadata-Authorization", "forged",
		"Cookie", "a=b", "X-Forwarded-User", "root")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, []string{"Bearer abc"}, s.core.md.Get("authorization"))
	require.Equal(t, []string{"key-1"}, s.core.md.Get("idempotency-key"))
	require.Equal(t, []string{"7"}, s.core.md.Get("if-match"))
	require.Equal(t, []string{"corr-1"}, s.core.md.Get("x-correlation-id"))
	require.Equal(t, []string{trace}, s.core.md.Get("traceparent"))
	for _, name := range []string{"grpcgateway-cookie", "cookie", "x-forwarded-user", "grpcgateway-authorization"} {
		require.Empty(t, s.core.md.Get(name), name)
	}
	require.Equal(t, "corr-1", a.Header.Get("X-Correlation-Id"))
}

func TestCall_MakesUpACorrelationID(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for _, sent := range []string{"", "two words", strings.Repeat("x", 65)} {
		a := s.get(t, "/v1/core/rates/r1", "X-Correlation-Id", sent)
		require.Len(t, a.Header.Get("X-Correlation-Id"), 36)
		require.Equal(t, []string{a.Header.Get("X-Correlation-Id")}, s.core.md.Get("x-correlation-id"))
	}
}

func TestCall_SetsDeadlines(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	require.Equal(t, http.StatusOK, s.get(t, "/v1/core/rates/r1").Status)
	require.InDelta(t, 10, s.core.deadline.Seconds(), 2)
	require.Equal(t, http.StatusOK, s.post(t, closePath, `{}`).Status)
	require.InDelta(t, 120, s.core.deadline.Seconds(), 2)
	for path, want := range map[string]float64{
		"/v1/payments/commissioners/16C/months/2022-04:assemble": 120,
		"/v1/payments/runs/16C-2022-04-1:submit":                 120,
		"/v1/payments/runs/16C-2022-04-1:approve":                120,
		"/v1/payments/runs/16C-2022-04-1:export":                 120,
		"/v1/payments/moves":                                     120,
		"/v1/payments/moves/m:confirm":                           120,
		"/v1/payments/moves/m:withdraw":                          10,
		"/v1/payments/runs/16C-2022-04-1:reject":                 10,
		"/v1/payments/holds":                                     10,
	} {
		require.Equal(t, http.StatusOK, s.post(t, path, `{}`).Status, path)
		require.InDelta(t, want, s.payments.deadline.Seconds(), 2, path)
	}
}

func TestCall_ReadsPathQueryAndBody(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	require.Equal(t, http.StatusOK, s.post(t, closePath, `{"request_id": "a", "omitLines": true}`).Status)
	require.Equal(t, "15N", s.core.close.GetCommissionerCode())
	require.Equal(t, "2022-04", s.core.close.GetMonth())
	require.True(t, s.core.close.GetOmitLines(), "the protobuf mapping's own names are taken too")
	a := s.get(t, "/v1/core/commissioners/15N/months/2022-04:preview?known_at=2022-05-01T00:00:00Z&from_scratch=true")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, int64(1651363200), s.core.preview.GetKnownAt().GetSeconds())
	require.True(t, s.core.preview.GetFromScratch())
	require.Equal(t, http.StatusOK, s.get(t, "/v1/core/rates?payment_code=CORE_PCN&page_size=7").Status)
	require.Equal(t, int32(7), s.core.rates.GetPageSize())
}

func TestCall_RefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	big := `{"request_id": "` + strings.Repeat("x", gateway.MaxJSONBytes) + `"}`
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int
		reason, field      string
	}{
		"unknown field":          {"POST", closePath, `{"mnth": "2022-04"}`, nil, 400, "UNKNOWN_FIELD", "mnth"},
		"unknown nested field":   {"POST", "/v1/core/quotes/instalments", `{"streams": [{"foo": 1}]}`, nil, 400, "UNKNOWN_FIELD", "foo"},
		"unknown query":          {"GET", "/v1/core/rates?paymentcode=1", "", nil, 400, "UNKNOWN_FIELD", "paymentcode"},
		"query beside a body":    {"POST", closePath + "?omit_lines=true", `{}`, nil, 400, "UNKNOWN_FIELD", "omit_lines"},
		"query twice":            {"GET", "/v1/core/rates?page_size=1&page_size=2", "", nil, 400, "REQUEST_INVALID", "page_size"},
		"query of another type":  {"GET", "/v1/core/rates?page_size=ten", "", nil, 400, "REQUEST_INVALID", ""},
		"query with NUL":         {"GET", "/v1/core/rates?payment_code=%00", "", nil, 400, "TEXT_INVALID", "payment_code"},
		"query not UTF-8":        {"GET", "/v1/core/rates?payment_code=%ff", "", nil, 400, "TEXT_INVALID", "payment_code"},
		"query malformed":        {"GET", "/v1/core/rates?payment_code=%zz", "", nil, 400, "TEXT_INVALID", ""},
		"path not UTF-8":         {"GET", "/v1/core/rates/%ff", "", nil, 400, "TEXT_INVALID", ""},
		"path with NUL":          {"GET", "/v1/core/rates/a%00b", "", nil, 400, "TEXT_INVALID", ""},
		"JSON cut short":         {"POST", closePath, `{"request_id": "a"`, nil, 400, "JSON_INVALID", ""},
		"JSON array":             {"POST", closePath, `[]`, nil, 400, "JSON_INVALID", ""},
		"JSON null":              {"POST", closePath, `null`, nil, 400, "JSON_INVALID", ""},
		"JSON and more":          {"POST", closePath, `{} {}`, nil, 400, "JSON_INVALID", ""},
		"field twice":            {"POST", closePath, `{"request_id": "a", "request_id": "b"}`, nil, 400, "JSON_INVALID", "request_id"},
		"field of another type":  {"POST", closePath, `{"omit_lines": "personal secret"}`, nil, 400, "JSON_INVALID", "omit_lines"},
		"number with a fraction": {"POST", "/v1/core/quotes/share", `{"pool_pence": 1.5}`, nil, 400, "JSON_INVALID", "pool_pence"},
		"enum unknown":           {"POST", "/v1/register/populations", `{"kind": "NOBODY"}`, nil, 400, "JSON_INVALID", "kind"},
		"text not UTF-8":         {"POST", closePath, "{\"request_id\": \"\xff\"}", nil, 400, "JSON_INVALID", ""},
		"deep nesting":           {"POST", closePath, strings.Repeat("[", 100_000), nil, 400, "JSON_INVALID", ""},
		"body too large":         {"POST", closePath, big, nil, 413, "BODY_TOO_LARGE", ""},
		"body of another type":   {"POST", closePath, `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"body without a type":    {"POST", closePath, `{}`, []string{"Content-Type", ""}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"body in Latin-1":        {"POST", closePath, `{}`, []string{"Content-Type", "application/json; charset=latin1"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"body compressed":        {"POST", closePath, `{}`, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		"no such path":           {"GET", "/v1/core/nothing", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		"no such path outside":   {"GET", "/nothing", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		"path doubled":           {"GET", "/v1//core/rates", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		"two entity tags":        {"POST", "/v1/core/rates/r1:confirm", `{}`, []string{"Content-Type", "application/json", "If-Match", `"a", "b"`}, 400, "HEADER_INVALID", ""},
		"key twice":              {"POST", closePath, `{}`, []string{"Content-Type", "application/json", "Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, "HEADER_INVALID", ""},
		"key not ASCII":          {"POST", closePath, `{}`, []string{"Content-Type", "application/json", "Idempotency-Key", "schlüssel"}, 400, "HEADER_INVALID", ""},
		"method override":        {"POST", "/v1/core/rates/r1", ``, []string{"X-HTTP-Method-Override", "GET"}, 405, "METHOD_NOT_ALLOWED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			headers := c.headers
			if headers == nil && c.body != "" {
				headers = []string{"Content-Type", "application/json"}
			}
			a := s.call(t, c.method, c.path, c.body, headers...)
			p := a.problem(t, c.status, c.reason)
			require.NotContains(t, a.Body, "personal secret")
			if c.field != "" {
				first := p["errors"].([]any)[0].(map[string]any)
				require.Equal(t, c.field, first["field"])
				require.Equal(t, c.reason, first["reason"])
			}
		})
	}
}

func TestCall_TakesAnEmptyBody(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	require.Equal(t, http.StatusOK, s.call(t, http.MethodPost, closePath, "").Status)
}

func TestCall_NamesTheMethodsOfAPath(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for path, allow := range map[string]string{
		"/v1/core/rates":       "GET, POST, HEAD",
		closePath:              "POST",
		"/v1/core/rates/r1":    "GET, HEAD",
		"/healthz":             "GET, HEAD",
		"/v1/register/imports": "POST",
		"/v1/payments/imports": "GET, POST, HEAD",
	} {
		a := s.call(t, http.MethodDelete, path, "")
		a.problem(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
		require.Equal(t, allow, a.Header.Get("Allow"), path)
	}
}

func TestCall_AnswersHead(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.call(t, http.MethodHead, "/v1/core/rates/r1", "")
	require.Equal(t, http.StatusOK, a.Status)
	require.Empty(t, a.Body)
}

func TestFailure_MapsKindsToStatuses(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]int{
		codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.NotFound: 404, codes.AlreadyExists: 409,
		codes.PermissionDenied: 403, codes.Unauthenticated: 401, codes.Aborted: 412, codes.ResourceExhausted: 429,
		codes.Unavailable: 503,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.core.fail = refusal(code, "SOME_REASON", "some words", map[string]string{"missing": "rate"})
			p := s.get(t, "/v1/core/rates/r1").problem(t, want, "SOME_REASON")
			require.Equal(t, "some words", p["detail"])
			require.Equal(t, map[string]any{"missing": "rate"}, p["metadata"])
			require.Equal(t, http.StatusText(want), p["title"])
		})
	}
}

func TestFailure_CarriesFieldsAndWaitingTime(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.core.fail = refusal(codes.ResourceExhausted, "RATE_LIMITED", "slow down", nil,
		&errdetails.RetryInfo{RetryDelay: durationpb.New(2500 * time.Millisecond)},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "month", Reason: "MONTH_MALFORMED", Description: "is not YYYY-MM"}}})
	a := s.get(t, "/v1/core/rates/r1")
	p := a.problem(t, http.StatusTooManyRequests, "RATE_LIMITED")
	require.Equal(t, "3", a.Header.Get("Retry-After"))
	require.Equal(t, []any{map[string]any{"field": "month", "reason": "MONTH_MALFORMED", "description": "is not YYYY-MM"}}, p["errors"])
}

func TestFailure_ChallengesTheCaller(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.core.fail = refusal(codes.Unauthenticated, "TOKEN_MISSING", "no token", nil)
	a := s.get(t, "/v1/core/rates/r1")
	a.problem(t, http.StatusUnauthorized, "TOKEN_MISSING")
	require.Equal(t, `Bearer realm="pcnfunding"`, a.Header.Get("WWW-Authenticate"))
	s.core.fail = refusal(codes.Unauthenticated, "TOKEN_EXPIRED", `claim "exp" is past`, nil)
	a = s.get(t, "/v1/core/rates/r1")
	require.Equal(t, `Bearer realm="pcnfunding", error="invalid_token", error_description="claim 'exp' is past"`, a.Header.Get("WWW-Authenticate"))
}

func TestFailure_ShowsNothingOfTheInside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail   error
		status int
		reason string
	}{
		"unknown":                  {errors.New("pq: secret"), 500, "INTERNAL"},
		"internal":                 {status.Error(codes.Internal, "secret"), 500, "INTERNAL"},
		"internal with a reason":   {refusal(codes.Internal, "WHATEVER", "secret", map[string]string{"k": "secret"}), 500, "INTERNAL"},
		"unavailable of transport": {status.Error(codes.Unavailable, "dial tcp secret"), 503, "SERVICE_UNAVAILABLE"},
		"deadline":                 {status.Error(codes.DeadlineExceeded, "secret"), 504, "DEADLINE_EXCEEDED"},
		"answer too large":         {status.Error(codes.ResourceExhausted, "grpc: received message larger than max (secret)"), 500, "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.core.fail = c.fail
			a := s.get(t, "/v1/core/rates/r1")
			a.problem(t, c.status, c.reason)
			require.NotContains(t, a.Body, "secret")
		})
	}
}

func TestETag_IsQuotedAndSavesTheBody(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.core.rate = &corev1.Rate{RateId: "r1", Etag: "4"}
	a := s.get(t, "/v1/core/rates/r1")
	require.Equal(t, `"4"`, a.Header.Get("ETag"))
	s.core.headers = metadata.Pairs("etag", "5", "idempotent-replay", "true", "x-internal", "no")
	a = s.get(t, "/v1/core/rates/r1")
	require.Equal(t, `"5"`, a.Header.Get("ETag"), "the service's header goes before the field")
	require.Equal(t, "true", a.Header.Get("Idempotent-Replay"))
	require.Empty(t, a.Header.Get("Grpc-Metadata-X-Internal"))
	for header, want := range map[string]int{`"5"`: 304, `W/"5"`: 304, `"1", "5"`: 304, `*`: 304, `"6"`: 200} {
		a = s.get(t, "/v1/core/rates/r1", "If-None-Match", header)
		require.Equal(t, want, a.Status, header)
		require.Equal(t, want == 304, a.Body == "", header)
		require.Equal(t, `"5"`, a.Header.Get("ETag"))
	}
	a = s.post(t, "/v1/core/rates/r1:confirm", `{}`, "If-None-Match", `"5"`)
	require.Equal(t, http.StatusOK, a.Status, "only reads are conditional")
}

func TestIfMatch_StarMeansAnyVersion(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	require.Equal(t, http.StatusOK, s.post(t, "/v1/core/rates/r1:confirm", `{}`, "If-Match", "*").Status)
	require.Empty(t, s.core.md.Get("if-match"))
}

func TestDownload_IsAFile(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for _, a := range []answer{
		s.get(t, "/v1/core/schedules/s-1/lines.csv"),
		s.get(t, "/v1/core/schedules/s-1", "Accept", "text/csv"),
	} {
		require.Equal(t, http.StatusOK, a.Status, a.Body)
		require.Equal(t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"))
		require.Equal(t, `attachment; filename="s-1-lines.csv"`, a.Header.Get("Content-Disposition"))
		require.Equal(t, "line_id\ns-1\n", a.Body)
	}
	require.Equal(t, "application/json", s.get(t, "/v1/core/schedules/s-1", "Accept", "application/json, text/csv").Header.Get("Content-Type"))
}

func TestETag_OfPaymentsStandsInTheHeader(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.payments.run = &paymentsv1.Run{RunId: "16C-2022-04-1", Etag: "4"}
	s.payments.hold = &paymentsv1.Hold{HoldId: "h", Etag: "5"}
	s.payments.payment = &paymentsv1.Payment{PaymentId: "p", Etag: "6"}
	require.Equal(t, `"4"`, s.get(t, "/v1/payments/runs/16C-2022-04-1").Header.Get("ETag"))
	require.Equal(t, `"4"`, s.post(t, "/v1/payments/runs/16C-2022-04-1:submit", `{}`).Header.Get("ETag"))
	require.Equal(t, `"5"`, s.post(t, "/v1/payments/holds", `{}`).Header.Get("ETag"))
	require.Equal(t, `"6"`, s.get(t, "/v1/payments/payments/p").Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, s.get(t, "/v1/payments/runs/16C-2022-04-1", "If-None-Match", `"4"`).Status)
}

func TestDownload_IsNamedByItsPathAndContent(t *testing.T) {
	t.Parallel()
	const export = "/v1/payments/exports/16C-2022-04-1-payables-invoices/file"
	for _, c := range []struct{ path, content, call, name string }{
		{"/v1/payments/runs/16C-2022-04-1/lines.csv", "", "DownloadRunLines 16C-2022-04-1", "16C-2022-04-1-lines.csv"},
		{
			"/v1/payments/commissioners/16C/months/2022-04/transparency.csv", "", "DownloadTransparencyList 16C 2022-04",
			"16C-2022-04-transparency.csv",
		},
		{"/v1/payments/pcns/U89141/statements/2022-04/statement.pdf", "", "DownloadStatement U89141 2022-04", "U89141-2022-04-statement.pdf"},
		{"/v1/payments/pcns/U89141/statements/2022-23/statement.csv", "", "DownloadStatementCsv U89141 2022-23", "U89141-2022-23-statement.csv"},
		{export, "text/csv; charset=utf-8", "DownloadExport 16C-2022-04-1-payables-invoices", "16C-2022-04-1-payables-invoices.csv"},
		{export, "application/xml", "DownloadExport 16C-2022-04-1-payables-invoices", "16C-2022-04-1-payables-invoices.xml"},
		{export, "application/octet-stream", "DownloadExport 16C-2022-04-1-payables-invoices", "16C-2022-04-1-payables-invoices"},
		{"/v1/payments/exports/a%20%22;b/file", "text/csv", `DownloadExport a ";b`, "a---b.csv"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			s.payments.file = &httpbody.HttpBody{ContentType: c.content, Data: []byte("x")}
			a := s.get(t, c.path)
			require.Equal(t, http.StatusOK, a.Status, a.Body)
			require.Equal(t, c.call, s.payments.called)
			require.Equal(t, `attachment; filename="`+c.name+`"`, a.Header.Get("Content-Disposition"))
		})
	}
}

func TestAccept_ChoosesTheFormOfAResource(t *testing.T) {
	t.Parallel()
	const lines, statement = "/v1/payments/runs/16C-2022-04-1/lines", "/v1/payments/pcns/U89141/statements/2022-04"
	for _, c := range []struct{ path, accept, call, media string }{
		{lines, "", "ListRunLines", "application/json"},
		{lines, "text/csv", "DownloadRunLines 16C-2022-04-1", "text/csv; charset=utf-8"},
		{lines, "application/pdf", "ListRunLines", "application/json"},
		{lines, "application/json, text/csv", "ListRunLines", "application/json"},
		{statement, "*/*", "GetStatement", "application/json"},
		{statement, "text/csv", "DownloadStatementCsv U89141 2022-04", "text/csv; charset=utf-8"},
		{statement, "application/pdf", "DownloadStatement U89141 2022-04", "application/pdf"},
		{statement, "application/pdf, text/csv", "DownloadStatement U89141 2022-04", "application/pdf"},
		{statement, "text/html, application/pdf;q=0.9, */*;q=0.8", "DownloadStatement U89141 2022-04", "application/pdf"},
		{"/v1/payments/runs/16C-2022-04-1", "text/csv", "GetRun", "application/json"},
	} {
		t.Run(c.path+" "+c.accept, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			a := s.get(t, c.path, "Accept", c.accept)
			require.Equal(t, http.StatusOK, a.Status, a.Body)
			require.Equal(t, c.call, s.payments.called)
			require.Equal(t, c.media, a.Header.Get("Content-Type"))
		})
	}
}

func TestAccept_RefusesAFilterThatTheFileDoesNotHave(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.get(t, "/v1/payments/runs/16C-2022-04-1/lines?payee_code=U89141", "Accept", "text/csv").
		problem(t, http.StatusBadRequest, "UNKNOWN_FIELD")
}

func TestDownload_ProblemIsNoFile(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.core.fail = refusal(codes.NotFound, "SCHEDULE_NOT_FOUND", "no such schedule", nil)
	a := s.get(t, "/v1/core/schedules/s-1/lines.csv")
	a.problem(t, http.StatusNotFound, "SCHEDULE_NOT_FOUND")
	require.Empty(t, a.Header.Get("Content-Disposition"))
}

func TestPath_EscapesStayInTheirSegment(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, "/v1/core/schedules/"+url.PathEscape("a:b c")+"/lines.csv")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "line_id\na:b c\n", a.Body)
}

func TestPages_TellTheState(t *testing.T) {
	t.Parallel()
	down := errors.New("database secret is gone")
	s := newSuite(t, func(d *gateway.Deps) {
		d.Ready = func(context.Context) error { return down }
		d.Status = func(context.Context) any { return map[string]string{"core": "ok"} }
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("metric 1\n")) })
		d.PublicJWKS = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"keys":[]}`)) })
	})
	require.Equal(t, http.StatusOK, s.get(t, "/healthz").Status, "liveness looks at nothing outside")
	a := s.get(t, "/readyz")
	a.problem(t, http.StatusServiceUnavailable, "NOT_READY")
	require.NotContains(t, a.Body, "secret")
	body := s.get(t, "/status").json(t)
	require.Equal(t, "1.2.3", body["version"])
	require.Equal(t, map[string]any{"core": "ok"}, body["parts"])
	require.Equal(t, "metric 1\n", s.get(t, "/metrics").Body)
	require.JSONEq(t, `{"keys":[]}`, s.get(t, "/.well-known/jwks.json").Body)
}

func TestPages_LeaveOutWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	require.Equal(t, http.StatusOK, s.get(t, "/readyz").Status)
	s.get(t, "/metrics").problem(t, http.StatusNotFound, "ROUTE_NOT_FOUND")
	s.get(t, "/.well-known/jwks.json").problem(t, http.StatusNotFound, "ROUTE_NOT_FOUND")
}

func TestPages_ServeTheReferenceFromInside(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, "/")
	require.Equal(t, http.StatusFound, a.Status)
	require.Equal(t, "/docs/", a.Header.Get("Location"))
	a = s.get(t, "/docs/")
	require.Equal(t, http.StatusOK, a.Status)
	require.Contains(t, a.Body, "/openapi.json")
	require.NotRegexp(t, `(src|href)="?(https?:)?//`, a.Body, "nothing is fetched from outside")
	for _, asset := range []string{"swagger-ui-bundle.js", "swagger-ui.css"} {
		require.Contains(t, a.Body, "/docs/"+asset)
		require.Equal(t, http.StatusOK, s.get(t, "/docs/"+asset).Status, asset)
	}
	a = s.get(t, "/openapi.json")
	require.Equal(t, http.StatusOK, a.Status)
	require.Equal(t, "3.1.0", a.json(t)["openapi"])
	require.Equal(t, string(gateway.OpenAPI()), a.Body)
}

func TestAnswers_CarrySecurityHeaders(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	for _, path := range []string{"/v1/core/rates/r1", "/v1/nothing", "/healthz", "/docs/"} {
		h := s.get(t, path).Header
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Equal(t, "no-store", h.Get("Cache-Control"), path)
		require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'", path)
	}
}
