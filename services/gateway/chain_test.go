package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// echoCore answers with what reached it through the interceptors.
type echoCore struct {
	corev1.UnimplementedCoreServiceServer
}

func (echoCore) ConfirmRate(_ context.Context, r *corev1.ConfirmRateRequest) (*corev1.Rate, error) {
	return &corev1.Rate{RateId: r.GetRateId(), Note: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (echoCore) ListRates(context.Context, *corev1.ListRatesRequest) (*corev1.ListRatesResponse, error) {
	return &corev1.ListRatesResponse{}, nil
}

func (echoCore) GetMonthSummary(context.Context, *corev1.GetMonthSummaryRequest) (*corev1.MonthSummary, error) {
	panic("a defect with a secret")
}

// echoPayments answers with the keys and tags that reached it through the interceptors.
type echoPayments struct {
	fakePayments
}

func (*echoPayments) SubmitRun(_ context.Context, r *paymentsv1.SubmitRunRequest) (*paymentsv1.Run, error) {
	return &paymentsv1.Run{SubmitNote: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (*echoPayments) ApproveRun(_ context.Context, r *paymentsv1.ApproveRunRequest) (*paymentsv1.Run, error) {
	return &paymentsv1.Run{SubmitNote: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (*echoPayments) RejectRun(_ context.Context, r *paymentsv1.RejectRunRequest) (*paymentsv1.Run, error) {
	return &paymentsv1.Run{SubmitNote: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (*echoPayments) WithdrawRun(_ context.Context, r *paymentsv1.WithdrawRunRequest) (*paymentsv1.Run, error) {
	return &paymentsv1.Run{SubmitNote: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (*echoPayments) ReleaseHold(_ context.Context, r *paymentsv1.ReleaseHoldRequest) (*paymentsv1.Hold, error) {
	return &paymentsv1.Hold{Reason: r.GetRequestId() + "|" + r.GetEtag(), Etag: "next"}, nil
}

func (*echoPayments) ReissuePayment(_ context.Context, r *paymentsv1.ReissuePaymentRequest) (*paymentsv1.ReissuePaymentResponse, error) {
	return &paymentsv1.ReissuePaymentResponse{RunId: r.GetRequestId() + "|" + r.GetEtag()}, nil
}

// newChain is a gateway in front of services with the suite's whole chain of interceptors.
func newChain(t *testing.T) (*suite, *testkit.TokenSource) {
	t.Helper()
	conn := testkit.Serve(t, func(s *grpc.Server) {
		corev1.RegisterCoreServiceServer(s, echoCore{})
		registerv1.RegisterRegisterServiceServer(s, &fakeRegister{})
		paymentsv1.RegisterPaymentsServiceServer(s, &echoPayments{})
	})
	handler, err := gateway.New(t.Context(), gateway.Deps{
		Conn: func(string) grpc.ClientConnInterface { return conn }, Logger: testkit.Logger(t), Clock: time.Now,
	})
	require.NoError(t, err)
	s := &suite{Server: httptest.NewServer(handler)}
	t.Cleanup(s.Close)
	return s, testkit.Tokens(t)
}

func TestChain_NeedsAToken(t *testing.T) {
	t.Parallel()
	s, _ := newChain(t)
	a := s.get(t, "/v1/core/rates")
	a.problem(t, http.StatusUnauthorized, "TOKEN_MISSING")
	require.Equal(t, `Bearer realm="pcnfunding"`, a.Header.Get("WWW-Authenticate"))
	a = s.get(t, "/v1/core/rates", "Authorization", "Bearer nonsense")
	a.problem(t, http.StatusUnauthorized, "TOKEN_INVALID")
	require.Contains(t, a.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
	s.call(t, http.MethodPost, "/v1/register/imports", "a,b\n", "Content-Type", "text/csv").
		problem(t, http.StatusUnauthorized, "TOKEN_MISSING")
}

func TestChain_ChecksRolesAndScope(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	preparer := "Bearer " + tokens.For(testkit.Preparer("15N"))
	s.post(t, "/v1/core/rates/r1:confirm", `{"commissioner_code": "15N", "source": "x"}`, "Authorization", preparer, "Idempotency-Key", "k").
		problem(t, http.StatusForbidden, "ROLE_REQUIRED")
	approver := "Bearer " + tokens.For(testkit.Approver("15N"))
	s.post(t, "/v1/core/rates/r1:confirm", `{"commissioner_code": "QJK", "source": "x"}`, "Authorization", approver, "Idempotency-Key", "k").
		problem(t, http.StatusNotFound, "RESOURCE_NOT_FOUND")
}

func TestChain_FillsKeyAndTagFromHeaders(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	a := s.post(t, "/v1/core/rates/r1:confirm", `{"commissioner_code": "15N", "source": "x"}`,
		"Authorization", "Bearer "+tokens.For(testkit.Approver("15N")), "Idempotency-Key", "key-1", "If-Match", `"tag-1"`)
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "key-1|tag-1", a.json(t)["note"])
	require.Equal(t, `"next"`, a.Header.Get("ETag"))
}

func TestChain_FillsTheTagOfEveryChangeOfPayments(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	preparer := "Bearer " + tokens.For(testkit.Preparer("16C"))
	approver := "Bearer " + tokens.For(testkit.Approver("16C"))
	for _, c := range []struct{ path, body, token, field, etag string }{
		{"/v1/payments/runs/16C-2022-04-1:submit", `{}`, preparer, "submit_note", `"next"`},
		{"/v1/payments/runs/16C-2022-04-1:approve", `{}`, approver, "submit_note", `"next"`},
		{"/v1/payments/runs/16C-2022-04-1:reject", `{"reason": "x"}`, approver, "submit_note", `"next"`},
		{"/v1/payments/runs/16C-2022-04-1:withdraw", `{"reason": "x"}`, preparer, "submit_note", `"next"`},
		{"/v1/payments/holds/hold-1:release", `{"reason": "x"}`, approver, "reason", `"next"`},
		{"/v1/payments/payments/16C-2022-04-1-U89141:reissue", `{"reason": "x"}`, preparer, "run_id", ""},
	} {
		a := s.post(t, c.path, c.body, "Authorization", c.token, "Idempotency-Key", "key-1", "If-Match", `"tag-1"`)
		require.Equal(t, http.StatusOK, a.Status, "%s: %s", c.path, a.Body)
		require.Equal(t, "key-1|tag-1", a.json(t)[c.field], c.path)
		require.Equal(t, c.etag, a.Header.Get("ETag"), c.path)
	}
}

func TestChain_NamesTheLimitThatIsBroken(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	token := "Bearer " + tokens.For(testkit.Auditor("*"))
	for query, field := range map[string]string{
		"page_size=1001":    "page_size",
		"page_size=-1":      "page_size",
		"on_date=yesterday": "on_date",
		"payment_code=" + strings.Repeat("x", 41):     "payment_code",
		"page_token=" + strings.Repeat("x", 501):      "page_token",
		"on_date=2022-04-01%27%20OR%20%271%27%3D%271": "on_date",
	} {
		p := s.get(t, "/v1/core/rates?"+query, "Authorization", token).problem(t, http.StatusBadRequest, "REQUEST_INVALID")
		first := p["errors"].([]any)[0].(map[string]any)
		require.Equal(t, field, first["field"], query)
		require.NotEmpty(t, first["description"])
	}
}

func TestChain_ShowsNothingOfADefect(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	a := s.get(t, "/v1/core/months/2022-04/summary", "Authorization", "Bearer "+tokens.For(testkit.Auditor("*")))
	a.problem(t, http.StatusInternalServerError, "INTERNAL")
	require.NotContains(t, a.Body, "secret")
}

func TestChain_UploadsThroughTheInterceptors(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	a := s.call(t, http.MethodPost, "/v1/register/imports?source=test", "a,b\n", "Content-Type", "text/csv",
		"Authorization", "Bearer "+tokens.For(testkit.Operator()), "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	s.call(t, http.MethodPost, "/v1/register/imports?extract_date=today", "a,b\n", "Content-Type", "text/csv",
		"Authorization", "Bearer "+tokens.For(testkit.Operator()), "Idempotency-Key", "k").
		problem(t, http.StatusBadRequest, "REQUEST_INVALID")
}

func TestChain_UploadsToPaymentsThroughTheInterceptors(t *testing.T) {
	t.Parallel()
	s, tokens := newChain(t)
	token := "Bearer " + tokens.For(testkit.Preparer("16C"))
	send := func(query string, headers ...string) answer {
		return s.call(t, http.MethodPost, paymentsPath+query, "a,b\n", append([]string{"Content-Type", "text/csv"}, headers...)...)
	}
	const query = "?commissioner_code=16C&kind=FILE_KIND_CONFIRMATIONS"
	a := send(query, "Authorization", token, "Idempotency-Key", "k")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	send(query, "Idempotency-Key", "k").problem(t, http.StatusUnauthorized, "TOKEN_MISSING")
	send("?commissioner_code=16C", "Authorization", token, "Idempotency-Key", "k").problem(t, http.StatusBadRequest, "REQUEST_INVALID")
	send(query, "Authorization", "Bearer "+tokens.For(testkit.Auditor("16C")), "Idempotency-Key", "k").
		problem(t, http.StatusForbidden, "ROLE_REQUIRED")
}
