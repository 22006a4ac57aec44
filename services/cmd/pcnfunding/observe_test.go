// A suite that loads England takes minutes under the race detector, and its parts have tests of their own there; make alerts runs this.

//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// observed is the commissioner of the run below.
const observed = "QWO"

// The pay of two people, each figure of which stands nowhere else, and what else is their own.
var (
	secretPay   = []int64{153_173, 20_917, 25_447, 199_537, 187_931}
	secretTexts = []string{"zz-9876543", "ZZ-9876543", "her pay was halved"}
)

// collector is where the suite sends what it tells of itself.
type collector struct {
	collecttraces.UnimplementedTraceServiceServer

	mu      sync.Mutex
	spans   []*tracev1.Span
	metrics strings.Builder
}

// Export takes spans in.
func (c *collector) Export(_ context.Context, r *collecttraces.ExportTraceServiceRequest) (*collecttraces.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &collecttraces.ExportTraceServiceResponse{}, nil
}

// metricsCollector is the part of a collector that takes metrics in.
type metricsCollector struct {
	collectmetrics.UnimplementedMetricsServiceServer
	*collector
}

// Export takes metrics in.
func (c metricsCollector) Export(_ context.Context, r *collectmetrics.ExportMetricsServiceRequest) (*collectmetrics.ExportMetricsServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.WriteString(protojson.Format(r))
	return &collectmetrics.ExportMetricsServiceResponse{}, nil
}

// collect starts a collector and has the process's environment name it.
func collect(t *testing.T) *collector {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c, server := new(collector), grpc.NewServer()
	collecttraces.RegisterTraceServiceServer(server, c)
	collectmetrics.RegisterMetricsServiceServer(server, metricsCollector{collector: c})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	return c
}

// book is a log that is written and read at once.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// observedSuite is the whole suite in this process, with all that it tells of itself.
type observedSuite struct {
	*collector
	process *process
	log     *book
	refused strings.Builder // all that refusals said
	stop    func() error
	ids     int
}

func observe(t *testing.T) *observedSuite {
	t.Helper()
	s := &observedSuite{collector: collect(t), log: new(book)}
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", Ops: "127.0.0.1:0", events: events{Copies: 1}, log: s.log}
	command.DataDir = t.TempDir()
	var err error
	s.process, err = command.assemble(t.Context())
	require.NoError(t, err)
	s.stop = sync.OnceValue(s.process.start(context.WithoutCancel(t.Context())))
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// who is a caller.
type who struct {
	role         optionsv1.Role
	subject      string
	pcn          string
	correlation  string
	commissioner []string
}

var (
	preparer = who{role: optionsv1.Role_ROLE_FINANCE_PREPARER, subject: "a.preparer", commissioner: []string{observed}}
	approver = who{role: optionsv1.Role_ROLE_FINANCE_APPROVER, subject: "an.approver", commissioner: []string{observed}}
	onlooker = who{role: optionsv1.Role_ROLE_AUDITOR, subject: "an.auditor", commissioner: []string{observed}}
)

// call calls over REST and returns the status and the answer.
func (s *observedSuite) call(t *testing.T, by who, method, path string, body map[string]any) (int, map[string]any) {
	t.Helper()
	principal := auth.Principal{Subject: by.subject, Roles: []optionsv1.Role{by.role}, Commissioners: by.commissioner}
	if by.pcn != "" {
		principal.PCNs = []string{by.pcn}
	}
	token, err := s.process.issuer.Mint(principal, time.Minute)
	require.NoError(t, err)
	if body != nil && body["claim_id"] == nil {
		s.ids++
		body["request_id"] = "observe-" + strconv.Itoa(s.ids)
	}
	content, err := json.Marshal(body)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.process.httpAddr+path, bytes.NewReader(content))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	if by.correlation != "" {
		r.Header.Set("X-Correlation-Id", by.correlation)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode >= http.StatusBadRequest {
		s.refused.Write(answer)
	}
	out := make(map[string]any)
	require.NoError(t, json.Unmarshal(answer, &out), "%s", answer)
	return resp.StatusCode, out
}

// post changes something and must succeed.
func (s *observedSuite) post(t *testing.T, by who, path string, body map[string]any) map[string]any {
	t.Helper()
	status, answer := s.call(t, by, http.MethodPost, path, body)
	require.Equal(t, http.StatusOK, status, "%s: %v", path, answer)
	return answer
}

// fetch reads what the operations address serves.
func (s *observedSuite) fetch(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.process.opsAddr+path, http.NoBody)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

// TestServe_TellsOfItself takes claims and two months through the whole suite, and then looks at what its log, its traces and its metrics
// say of that, and that none of them says what one person is paid.
func TestServe_TellsOfItself(t *testing.T) {
	s := observe(t)
	reach := client{Address: s.process.grpcAddr, DataDir: s.process.command.DataDir}
	require.NoError(t, reach.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		return loadSample(t.Context(), suite.register)
	}))
	s.claim(t)
	closing := preparer
	closing.correlation = "observed-close"
	closed := s.post(t, closing, "/v1/core/commissioners/"+observed+"/months/2025-04:close", map[string]any{})
	s.arrives(t, "2025-04", closed["schedule_id"])
	var metrics string
	require.Eventually(t, func() bool {
		metrics = s.fetch(t, "/metrics")
		return strings.Contains(metrics, "stream_messages{")
	}, 30*time.Second, 100*time.Millisecond)
	require.Contains(t, s.fetch(t, "/status"), "payments outbox")
	status, _ := s.call(t, onlooker, http.MethodGet, "/metrics", nil)
	require.Equal(t, http.StatusNotFound, status, "REST leaves it to the operations address")
	events := s.events(t)
	require.NoError(t, s.stop())

	t.Run("traces", func(t *testing.T) { s.requireOneTrace(t) })
	t.Run("log", func(t *testing.T) { s.requireIDs(t, "observed-close") })
	t.Run("metrics", func(t *testing.T) {
		requireDocumented(t, metrics)
		require.Contains(t, s.metrics.String(), `"rpc.server.call.duration"`, "what Prometheus can fetch is sent by OTLP too")
		require.Contains(t, s.metrics.String(), `"outbox_published_total"`)
		require.NotContains(t, metrics, "U89", "no PCN is in a label")
	})
	t.Run("no personal data", func(t *testing.T) {
		require.Empty(t, leaks(s.log.String()), "log")
		require.Empty(t, leaks(fmt.Sprint(s.spans)), "traces")
		require.Empty(t, leaks(metrics+s.metrics.String()), "metrics")
		require.Empty(t, leaks(events), "events")
		require.Empty(t, leaks(s.refused.String()), "errors")
		require.NotEmpty(t, s.refused.String())
		require.NotEmpty(t, leaks(fmt.Sprint("paid ", secretPay[0])), "the search finds")
	})
}

// claim has a PCN claim for two people, and the commissioner refuse, decide and close.
func (s *observedSuite) claim(t *testing.T) {
	t.Helper()
	s.post(t, preparer, "/v1/arrs/commissioners/"+observed+"/years/2022-23:fix", map[string]any{})
	_, years := s.call(t, onlooker, http.MethodGet, "/v1/arrs/years?financial_year=2022-23&page_size=1000&commissioner_code="+observed, nil)
	pcn := years["years"].([]any)[0].(map[string]any)["pcn_code"].(string)
	manager := who{role: optionsv1.Role_ROLE_PCN_MANAGER, subject: "a.manager", pcn: pcn}
	for i, label := range []string{"CC 1", "CC 2"} {
		s.post(t, manager, "/v1/arrs/engagements", map[string]any{
			"pcn_code": pcn, "commissioner_code": observed, "label": label, "person_reference": fmt.Sprint(secretTexts[0], i),
			"terms": map[string]any{"role_code": "CC", "per_week": "37.5", "start_date": "2022-04-01"},
		})
	}
	lines := []map[string]any{
		{"label": "CC 1", "salary_pence": secretPay[0], "employer_ni_pence": secretPay[1], "employer_pension_pence": secretPay[2]},
		{"label": "CC 2", "salary_pence": secretPay[4]},
	}
	body := map[string]any{"claim": map[string]any{
		"pcn_code": pcn, "commissioner_code": observed, "month": "2022-10", "kind": "MONTHLY", "declared": true, "lines": lines, "notes": secretTexts[2],
	}}
	status, _ := s.call(t, manager, http.MethodPost, "/v1/arrs/claims", body)
	require.Equal(t, http.StatusBadRequest, status, "the month is too long past for a PCN")
	claim := s.post(t, preparer, "/v1/arrs/claims", body)
	path := "/v1/arrs/claims/" + claim["claim_id"].(string)
	status, _ = s.call(t, preparer, http.MethodPost, path+":decide", map[string]any{"etag": claim["etag"], "approve": true})
	require.Equal(t, http.StatusForbidden, status)
	s.post(t, approver, path+":decide", map[string]any{"etag": claim["etag"], "approve": true, "reason": secretTexts[2]})
	closed := s.post(t, preparer, "/v1/arrs/commissioners/"+observed+"/months/2022-10:close", map[string]any{})
	require.Equal(t, "387468", closed["pay_total_pence"], "what the PCN is owed for both")
	s.arrives(t, "2022-10", closed["schedule_id"])
}

// arrives waits until payments has a schedule.
func (s *observedSuite) arrives(t *testing.T, month string, id any) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, found := s.call(t, onlooker, http.MethodGet, "/v1/payments/schedules?page_size=1000&commissioner_code="+observed+"&month="+month, nil)
		return strings.Contains(fmt.Sprint(found), fmt.Sprint(id))
	}, 30*time.Second, 50*time.Millisecond)
}

// events returns all that the streams hold.
func (s *observedSuite) events(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	all, err := bus.Open(t.Context(), bus.Config{Server: s.process.broker})
	require.NoError(t, err)
	defer all.Close()
	js := all.JetStream()
	for _, name := range serviceNames {
		stream, err := js.Stream(t.Context(), bus.ServiceStream(name).Name)
		require.NoError(t, err)
		last := stream.CachedInfo().State.LastSeq
		for n := uint64(1); n <= last; n++ {
			var m *jetstream.RawStreamMsg
			m, err = stream.GetMsg(t.Context(), n)
			require.NoError(t, err)
			fmt.Fprintln(&out, m.Subject, m.Header, string(m.Data))
		}
	}
	require.Contains(t, out.String(), "pcnfunding.arrs.v1.ScheduleClosed")
	return out.String()
}

// requireOneTrace follows the close of a month from the gateway into payments and on: each span hangs on the one before it.
func (s *observedSuite) requireOneTrace(t *testing.T) {
	t.Helper()
	var root *tracev1.Span
	for _, span := range s.spans {
		if span.GetName() == "POST /v1/arrs/commissioners/{commissioner_code}/months/{month}:close" {
			root = span
		}
	}
	require.NotNil(t, root)
	require.Empty(t, root.GetParentSpanId())
	under := make(map[string][]*tracev1.Span)
	for _, span := range s.spans {
		if bytes.Equal(span.GetTraceId(), root.GetTraceId()) {
			under[string(span.GetParentSpanId())] = append(under[string(span.GetParentSpanId())], span)
		}
	}
	at := root
	for _, name := range []string{
		"pcnfunding.arrs.v1.ArrsService/CloseMonth", // the gateway calls
		"pcnfunding.arrs.v1.ArrsService/CloseMonth", // arrs serves
		"publish pcnfunding.arrs.v1.ScheduleClosed",
		"process pcnfunding.arrs.v1.ScheduleClosed",
		"publish pcnfunding.payments.v1.RunAssembled",
	} {
		children := under[string(at.GetSpanId())]
		found := slices.IndexFunc(children, func(c *tracev1.Span) bool { return c.GetName() == name })
		require.GreaterOrEqual(t, found, 0, "%s under %s: %v", name, at.GetName(), names(children))
		if strings.HasPrefix(name, "publish pcnfunding.arrs") {
			require.Contains(t, names(children), "write arrs")
			require.Contains(t, names(children), "pcnfunding.register.v1.RegisterService/GetSnapshot")
		}
		at = children[found]
	}
}

func names(spans []*tracev1.Span) (all []string) {
	for _, span := range spans {
		all = append(all, span.GetName())
	}
	return all
}

// requireIDs checks that each line of a call, in whatever service, carries its correlation and trace ids.
func (s *observedSuite) requireIDs(t *testing.T, correlation string) {
	t.Helper()
	traces, calls := make(map[string]bool), 0
	for line := range strings.Lines(s.log.String()) {
		require.LessOrEqual(t, strings.Count(line, `"correlation_id"`), 1, line)
		var fields map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &fields), line)
		if fields["msg"] == "call" || fields["msg"] == "call refused" {
			calls++
			require.NotEmpty(t, fields["correlation_id"], line)
			require.NotEmpty(t, fields["trace_id"], line)
		}
		if fields["correlation_id"] == correlation {
			traces[fields["trace_id"].(string)] = true
		}
	}
	require.Greater(t, calls, 5)
	require.Len(t, traces, 1, "one request is one trace")
}

// written finds a secret figure that stands alone: identifiers and times have all digits somewhere.
var written = sync.OnceValue(func() *regexp.Regexp {
	var ways []string
	for _, amount := range secretPay {
		ways = append(ways, strconv.FormatInt(amount, 10), regexp.QuoteMeta(money.Pence(amount).Plain()),
			regexp.QuoteMeta(strings.TrimPrefix(money.Pence(amount).String(), "£")))
	}
	return regexp.MustCompile(`(?:^|[^0-9A-Za-z.])(` + strings.Join(ways, "|") + `)(?:[^0-9A-Za-z]|$)`)
})

// leaks finds what is secret in a text.
func leaks(text string) (found []string) {
	for _, match := range written().FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	for _, amount := range secretPay {
		encoded := string(protowire.AppendVarint(nil, uint64(amount)))
		for from := 1; from < len(text); {
			at := strings.Index(text[from:], encoded)
			if at < 0 {
				break
			}
			if tag := text[from+at-1]; tag < 0x80 && protowire.Type(tag&7) == protowire.VarintType { // else it is chance
				found = append(found, fmt.Sprint(amount, " in a message"))
			}
			from += at + 1
		}
	}
	for _, secret := range secretTexts {
		if strings.Contains(text, secret) {
			found = append(found, secret)
		}
	}
	return found
}

// requireDocumented holds what a running suite tells against the table of docs/observability.md, both ways. What the table says is there
// only in some places need not be there.
func requireDocumented(t *testing.T, metrics string) {
	t.Helper()
	page, err := os.ReadFile("../../../docs/observability.md")
	require.NoError(t, err)
	listed := make(map[string]string)
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) > 5 && strings.HasPrefix(cells[1], " `") {
			listed[strings.Trim(cells[1], " `")] = line
		}
	}
	told := make(map[string]bool)
	for line := range strings.Lines(metrics) {
		if name, isType := strings.CutPrefix(line, "# TYPE "); isType {
			name, _, _ = strings.Cut(name, " ")
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
				told[name] = true
				require.Contains(t, listed, name, "docs/observability.md does not list it")
			}
		}
	}
	for name, line := range listed {
		require.True(t, told[name] || strings.Contains(line, "Only where"), "%s is listed, and the suite does not tell of it", name)
	}
}
