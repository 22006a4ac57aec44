package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"

	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

// suite is a gateway in front of services whose answers a test states.
type suite struct {
	*httptest.Server
	core     *fakeCore
	register *fakeRegister
	arrs     *fakeArrs
	iif      *fakeIif
	devfund  *fakeDevfund
	payments *fakePayments
}

type fakeCore struct {
	corev1.UnimplementedCoreServiceServer
	mu       sync.Mutex
	md       metadata.MD
	deadline time.Duration
	fail     error
	headers  metadata.MD
	schedule *typev1.PaymentSchedule
	rate     *corev1.Rate
	close    *corev1.CloseMonthRequest
	preview  *corev1.PreviewMonthRequest
	rates    *corev1.ListRatesRequest
}

// note keeps what came with a call and sends the headers the test wants.
func (f *fakeCore) note(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.md, _ = metadata.FromIncomingContext(ctx)
	if at, ok := ctx.Deadline(); ok {
		f.deadline = time.Until(at)
	}
	if err := grpc.SetHeader(ctx, f.headers); err != nil {
		return err
	}
	return f.fail
}

func (f *fakeCore) CloseMonth(ctx context.Context, r *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	f.close = r
	return f.schedule, f.note(ctx)
}

func (f *fakeCore) PreviewMonth(ctx context.Context, r *corev1.PreviewMonthRequest) (*typev1.PaymentSchedule, error) {
	f.preview = r
	return f.schedule, f.note(ctx)
}

func (f *fakeCore) GetSchedule(ctx context.Context, _ *corev1.GetScheduleRequest) (*typev1.PaymentSchedule, error) {
	return f.schedule, f.note(ctx)
}

func (f *fakeCore) GetRate(ctx context.Context, _ *corev1.GetRateRequest) (*corev1.Rate, error) {
	return f.rate, f.note(ctx)
}

func (f *fakeCore) ListRates(ctx context.Context, r *corev1.ListRatesRequest) (*corev1.ListRatesResponse, error) {
	f.rates = r
	return &corev1.ListRatesResponse{}, f.note(ctx)
}

func (f *fakeCore) ConfirmRate(ctx context.Context, _ *corev1.ConfirmRateRequest) (*corev1.Rate, error) {
	return f.rate, f.note(ctx)
}

func (f *fakeCore) DownloadSchedule(ctx context.Context, r *corev1.DownloadScheduleRequest) (*httpbody.HttpBody, error) {
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8", Data: []byte("line_id\n" + r.GetScheduleId() + "\n")}, f.note(ctx)
}

func (f *fakeCore) GetMonthSummary(context.Context, *corev1.GetMonthSummaryRequest) (*corev1.MonthSummary, error) {
	panic("a defect")
}

type fakeRegister struct {
	registerv1.UnimplementedRegisterServiceServer
	mu      sync.Mutex
	md      metadata.MD
	header  *registerv1.ImportHeader
	chunks  []int
	data    []byte
	refuse  error // given at once, before the file is read
	already bool
}

func (f *fakeRegister) Import(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.md, _ = metadata.FromIncomingContext(stream.Context())
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f.header = first.GetHeader()
	if f.refuse != nil {
		return f.refuse
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		f.chunks = append(f.chunks, len(part.GetChunk()))
		f.data = append(f.data, part.GetChunk()...)
	}
	if f.already {
		if err := stream.SetHeader(metadata.Pairs("idempotent-replay", "true")); err != nil {
			return err
		}
	}
	return stream.SendAndClose(&registerv1.ImportResponse{
		Load: &registerv1.Load{LoadId: "load-1", RowsStored: int64(len(f.data))}, AlreadyLoaded: f.already,
	})
}

type fakeArrs struct {
	arrsv1.UnimplementedArrsServiceServer
	mu     sync.Mutex
	claim  *arrsv1.Claim
	close  *arrsv1.CloseMonthRequest
	submit *arrsv1.SubmitClaimRequest
	header *arrsv1.ClaimsHeader
	data   []byte
}

func (f *fakeArrs) CloseMonth(_ context.Context, r *arrsv1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	f.close = r
	return &typev1.PaymentSchedule{ScheduleId: "arrs-15N-2022-04-1"}, nil
}

func (f *fakeArrs) SubmitClaim(_ context.Context, r *arrsv1.SubmitClaimRequest) (*arrsv1.Claim, error) {
	f.submit = r
	return f.claim, nil
}

func (f *fakeArrs) GetClaim(context.Context, *arrsv1.GetClaimRequest) (*arrsv1.Claim, error) {
	return f.claim, nil
}

func (f *fakeArrs) DownloadSchedule(context.Context, *arrsv1.DownloadScheduleRequest) (*httpbody.HttpBody, error) {
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8", Data: []byte("schedule_id\n")}, nil
}

func (f *fakeArrs) ImportClaims(stream grpc.ClientStreamingServer[arrsv1.ImportClaimsRequest, arrsv1.ImportClaimsResponse]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f.header = first.GetHeader()
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		f.data = append(f.data, part.GetChunk()...)
	}
	return stream.SendAndClose(&arrsv1.ImportClaimsResponse{Rows: 1, Claims: []*arrsv1.Claim{f.claim}})
}

type fakePayments struct {
	paymentsv1.UnimplementedPaymentsServiceServer
	mu       sync.Mutex
	called   string
	deadline time.Duration
	run      *paymentsv1.Run
	hold     *paymentsv1.Hold
	payment  *paymentsv1.Payment
	file     *httpbody.HttpBody
	header   *paymentsv1.ImportHeader
	data     []byte
	refuse   error // given at once, before the file is read
	already  bool
}

// note keeps which call came and how long it may take.
func (f *fakePayments) note(ctx context.Context, call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.called = call
	if at, ok := ctx.Deadline(); ok {
		f.deadline = time.Until(at)
	}
}

func (f *fakePayments) AssembleRun(ctx context.Context, _ *paymentsv1.AssembleRunRequest) (*paymentsv1.Run, error) {
	f.note(ctx, "AssembleRun")
	return f.run, nil
}

func (f *fakePayments) GetRun(ctx context.Context, _ *paymentsv1.GetRunRequest) (*paymentsv1.Run, error) {
	f.note(ctx, "GetRun")
	return f.run, nil
}

func (f *fakePayments) SubmitRun(ctx context.Context, _ *paymentsv1.SubmitRunRequest) (*paymentsv1.Run, error) {
	f.note(ctx, "SubmitRun")
	return f.run, nil
}

func (f *fakePayments) ApproveRun(ctx context.Context, _ *paymentsv1.ApproveRunRequest) (*paymentsv1.Run, error) {
	f.note(ctx, "ApproveRun")
	return f.run, nil
}

func (f *fakePayments) RejectRun(ctx context.Context, _ *paymentsv1.RejectRunRequest) (*paymentsv1.Run, error) {
	f.note(ctx, "RejectRun")
	return f.run, nil
}

func (f *fakePayments) ExportRun(ctx context.Context, _ *paymentsv1.ExportRunRequest) (*paymentsv1.Export, error) {
	f.note(ctx, "ExportRun")
	return &paymentsv1.Export{}, nil
}

func (f *fakePayments) ProposeMove(ctx context.Context, _ *paymentsv1.ProposeMoveRequest) (*paymentsv1.Move, error) {
	f.note(ctx, "ProposeMove")
	return &paymentsv1.Move{}, nil
}

func (f *fakePayments) ConfirmMove(ctx context.Context, _ *paymentsv1.ConfirmMoveRequest) (*paymentsv1.Move, error) {
	f.note(ctx, "ConfirmMove")
	return &paymentsv1.Move{}, nil
}

func (f *fakePayments) WithdrawMove(ctx context.Context, _ *paymentsv1.WithdrawMoveRequest) (*paymentsv1.Move, error) {
	f.note(ctx, "WithdrawMove")
	return &paymentsv1.Move{}, nil
}

func (f *fakePayments) PlaceHold(ctx context.Context, _ *paymentsv1.PlaceHoldRequest) (*paymentsv1.Hold, error) {
	f.note(ctx, "PlaceHold")
	return f.hold, nil
}

func (f *fakePayments) GetPayment(ctx context.Context, _ *paymentsv1.GetPaymentRequest) (*paymentsv1.Payment, error) {
	f.note(ctx, "GetPayment")
	return f.payment, nil
}

func (f *fakePayments) ListRunLines(ctx context.Context, _ *paymentsv1.ListRunLinesRequest) (*paymentsv1.ListRunLinesResponse, error) {
	f.note(ctx, "ListRunLines")
	return &paymentsv1.ListRunLinesResponse{}, nil
}

func (f *fakePayments) GetStatement(ctx context.Context, _ *paymentsv1.GetStatementRequest) (*paymentsv1.Statement, error) {
	f.note(ctx, "GetStatement")
	return &paymentsv1.Statement{}, nil
}

func (f *fakePayments) DownloadRunLines(ctx context.Context, r *paymentsv1.DownloadRunLinesRequest) (*httpbody.HttpBody, error) {
	f.note(ctx, "DownloadRunLines "+r.GetRunId())
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8", Data: []byte("run_id\n")}, nil
}

func (f *fakePayments) DownloadTransparencyList(ctx context.Context, r *paymentsv1.DownloadTransparencyListRequest) (
	*httpbody.HttpBody, error,
) {
	f.note(ctx, "DownloadTransparencyList "+r.GetCommissionerCode()+" "+r.GetMonth())
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8", Data: []byte("entity\n")}, nil
}

func (f *fakePayments) DownloadStatement(ctx context.Context, r *paymentsv1.DownloadStatementRequest) (*httpbody.HttpBody, error) {
	f.note(ctx, "DownloadStatement "+r.GetPcnCode()+" "+r.GetPeriod())
	return &httpbody.HttpBody{ContentType: "application/pdf", Data: []byte("%PDF-1.7")}, nil
}

func (f *fakePayments) DownloadStatementCsv(ctx context.Context, r *paymentsv1.DownloadStatementCsvRequest) (*httpbody.HttpBody, error) {
	f.note(ctx, "DownloadStatementCsv "+r.GetPcnCode()+" "+r.GetPeriod())
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8", Data: []byte("section\n")}, nil
}

func (f *fakePayments) DownloadExport(ctx context.Context, r *paymentsv1.DownloadExportRequest) (*httpbody.HttpBody, error) {
	f.note(ctx, "DownloadExport "+r.GetExportId())
	return f.file, nil
}

func (f *fakePayments) ListImports(ctx context.Context, _ *paymentsv1.ListImportsRequest) (*paymentsv1.ListImportsResponse, error) {
	f.note(ctx, "ListImports")
	return &paymentsv1.ListImportsResponse{}, nil
}

func (f *fakePayments) Import(stream grpc.ClientStreamingServer[paymentsv1.ImportRequest, paymentsv1.ImportResponse]) error {
	f.note(stream.Context(), "Import")
	f.mu.Lock()
	defer f.mu.Unlock()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	f.header = first.GetHeader()
	if f.refuse != nil {
		return f.refuse
	}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		f.data = append(f.data, part.GetChunk()...)
	}
	return stream.SendAndClose(&paymentsv1.ImportResponse{
		File: &paymentsv1.ImportedFile{ImportId: "imp-1"}, AlreadyImported: f.already,
	})
}

func refusal(code codes.Code, reason, message string, meta map[string]string, more ...protoadapt.MessageV1) error {
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "pcnfunding", Metadata: meta}}, more...)
	st, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}
	return st.Err()
}

func newSuite(t testing.TB, change ...func(*gateway.Deps)) *suite {
	t.Helper()
	s := &suite{
		core: &fakeCore{schedule: &typev1.PaymentSchedule{}, rate: &corev1.Rate{}}, register: &fakeRegister{}, arrs: &fakeArrs{claim: &arrsv1.Claim{}},
		iif:      &fakeIif{},
		devfund:  &fakeDevfund{},
		payments: &fakePayments{run: &paymentsv1.Run{}, hold: &paymentsv1.Hold{}, payment: &paymentsv1.Payment{}},
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(4 << 20))
	corev1.RegisterCoreServiceServer(server, s.core)
	registerv1.RegisterRegisterServiceServer(server, s.register)
	arrsv1.RegisterArrsServiceServer(server, s.arrs)
	iifv1.RegisterIifServiceServer(server, s.iif)
	devfundv1.RegisterDevfundServiceServer(server, s.devfund)
	paymentsv1.RegisterPaymentsServiceServer(server, s.payments)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///suite", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	deps := gateway.Deps{
		Conn:    func(string) grpc.ClientConnInterface { return conn },
		Logger:  slog.New(slog.DiscardHandler),
		Version: "1.2.3",
		Clock:   func() time.Time { return time.Date(2022, 4, 1, 0, 0, 0, 0, time.UTC) },
	}
	for _, c := range change {
		c(&deps)
	}
	handler, err := gateway.New(t.Context(), deps)
	require.NoError(t, err)
	s.Server = httptest.NewUnstartedServer(handler)
	s.Config = gateway.NewHTTPServer("", handler, deps.Logger)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// answer is a response read whole.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	out := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(a.Body), &out), a.Body)
	return out
}

// problem checks the form that every error has and returns its members.
func (a answer) problem(t *testing.T, status int, reason string) map[string]any {
	t.Helper()
	require.Equal(t, status, a.Status, a.Body)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"), a.Body)
	out := a.json(t)
	require.Equal(t, reason, out["reason"], a.Body)
	require.Equal(t, "urn:pcnfunding:problem:"+reason, out["type"])
	require.InDelta(t, status, out["status"], 0)
	require.NotEmpty(t, out["title"])
	require.Equal(t, "urn:pcnfunding:request:"+a.Header.Get("X-Correlation-Id"), out["instance"])
	return out
}

// call sends one request; headers are pairs of name and value.
func (s *suite) call(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return s.send(t, method, path, strings.NewReader(body), headers...)
}

func (s *suite) send(t *testing.T, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, body)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(data)}
}

// post sends JSON.
func (s *suite) post(t *testing.T, path, body string, headers ...string) answer {
	t.Helper()
	return s.call(t, http.MethodPost, path, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (s *suite) get(t *testing.T, path string, headers ...string) answer {
	t.Helper()
	return s.call(t, http.MethodGet, path, "", headers...)
}
