package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
	coregw "github.com/pcnfunding/pcnfunding/services/gateway/gen/pcnfunding/core/v1"
)

// answers are the messages of the calls measured.
type answers struct {
	schedule *typev1.PaymentSchedule
	line     *corev1.ExplainedLine
	quote    *corev1.QuoteInstalmentsResponse
}

// echo answers each call with a message it was given: the least that a server can do for it.
type echo struct {
	corev1.UnimplementedCoreServiceServer
	answers
}

func (e *echo) GetSchedule(context.Context, *corev1.GetScheduleRequest) (*typev1.PaymentSchedule, error) {
	return e.schedule, nil
}

func (e *echo) GetLine(context.Context, *corev1.GetLineRequest) (*corev1.ExplainedLine, error) {
	return e.line, nil
}

func (e *echo) QuoteInstalments(context.Context, *corev1.QuoteInstalmentsRequest) (*corev1.QuoteInstalmentsResponse, error) {
	return e.quote, nil
}

// quoteAsked is a month of merged core funding: two rates on two populations, with the working.
func quoteAsked() *corev1.QuoteInstalmentsRequest {
	return &corev1.QuoteInstalmentsRequest{Streams: []*corev1.Stream{{
		PaymentCode: "CORE_PCN", Instalments: 12,
		Components: []*corev1.Component{
			{Name: "REGISTERED", RateGbp: "2.266", Population: "48124"}, {Name: "ADJUSTED", RateGbp: "0.733", Population: "47251.5"},
		},
	}}}
}

// requests are the calls measured, ready to be made.
type requests struct {
	schedule *corev1.GetScheduleRequest
	line     *corev1.GetLineRequest
	quote    *corev1.QuoteInstalmentsRequest
}

// ask makes each call once and returns the messages it was answered with.
func ask(b *testing.B, s *suite, q requests) answers {
	b.Helper()
	ctx := s.as(b.Context(), testkit.Auditor)
	var a answers
	var err error
	a.schedule, err = s.core.GetSchedule(ctx, q.schedule)
	require.NoError(b, err)
	a.line, err = s.core.GetLine(ctx, q.line)
	require.NoError(b, err)
	a.quote, err = s.core.QuoteInstalments(ctx, q.quote)
	require.NoError(b, err)
	return a
}

// requestsFor picks the schedule of middle size of a closed month, and its middle line.
func requestsFor(b *testing.B, s *suite, month string) requests {
	b.Helper()
	ctx := s.as(b.Context(), testkit.Auditor)
	list, err := s.core.ListSchedules(ctx, &corev1.ListSchedulesRequest{Month: month, PageSize: 1000})
	require.NoError(b, err)
	schedules := list.GetSchedules()
	require.NotEmpty(b, schedules)
	slices.SortFunc(schedules, func(x, y *typev1.PaymentSchedule) int {
		if x.GetLineCount() != y.GetLineCount() {
			return int(x.GetLineCount()) - int(y.GetLineCount())
		}
		return strings.Compare(x.GetScheduleId(), y.GetScheduleId())
	})
	q := requests{schedule: &corev1.GetScheduleRequest{ScheduleId: schedules[len(schedules)/2].GetScheduleId()}, quote: quoteAsked()}
	full, err := s.core.GetSchedule(ctx, q.schedule)
	require.NoError(b, err)
	q.line = &corev1.GetLineRequest{LineId: full.GetLines()[len(full.GetLines())/2].GetLineId()}
	return q
}

// BenchmarkCalls compares reads and quotations, by gRPC and by REST, with servers that do nothing but answer the same bytes.
func BenchmarkCalls(b *testing.B) {
	const month = "2022-04"
	var all closers
	b.Cleanup(all.close)
	var calls []named
	var q requests
	var bare answers
	for i, store := range stores() {
		s := newSuite(b, store)
		s.loadSample(b)
		require.NoError(b, s.closeMonth(b.Context(), month, s.england(b, month)))
		if i == 0 {
			q = requestsFor(b, s, month)
			bare = ask(b, s, q)
		}
		require.Equal(b, proto.Size(bare.line), proto.Size(ask(b, s, q).line), "both stores answer alike")
		calls = append(calls, overGRPC(b, &all, s.address, store, q, s.issuer.For(testkit.Auditor("*")))...)
		calls = append(calls, overREST(b, &all, s.gateway(b, &all), store, q, s.issuer.For(testkit.Auditor("*")))...)
	}
	address := serveEcho(b, &all, bare)
	calls = append(calls, overGRPC(b, &all, address, "bare", q, "")...)
	calls = append(calls, overREST(b, &all, bareGateway(b, &all, address), "bare", q, "")...)
	slices.SortStableFunc(calls, func(x, y named) int { return strings.Compare(kindOf(x.name), kindOf(y.name)) })

	got := takeTurns(b, calls)
	b.ReportMetric(0, "ns/op")
	sizes := map[string]int{"GetLine": proto.Size(bare.line), "GetSchedule": proto.Size(bare.schedule), "QuoteInstalments": proto.Size(bare.quote)}
	for _, c := range calls {
		kind, where, _ := strings.Cut(c.name, " on ")
		if where == "bare" || (strings.HasSuffix(kind, "QuoteInstalments") && where != onSQLite) {
			continue // a quotation does not touch the store
		}
		protocol, method, _ := strings.Cut(kind, " ")
		figure, bound := got[c.name], got[kind+" on bare"]
		g := goal{id: "P3", work: c.name, unit: "/s", at: 0.30, least: true}
		switch {
		case protocol == "REST":
			g.id, g.at = "REST", 0.60
		case method == "QuoteInstalments":
			g.id, g.at = "P4", 0.50
		}
		g.note = fmt.Sprintf("p99 %s, bare %s; %d bytes", value(figure.p99(), "s"), value(bound.p99(), "s"), sizes[method])
		results.ratio(b, g, figure.perSecond(), bound.perSecond())
	}
}

// kindOf returns protocol and method of a named call, so that a call and its bound follow each other in each round.
func kindOf(name string) string {
	kind, _, _ := strings.Cut(name, " on ")
	return kind
}

// overGRPC returns the calls, made by clients that each have a connection of their own.
func overGRPC(b *testing.B, c *closers, address, where string, q requests, token string) []named {
	b.Helper()
	stubs := make([]corev1.CoreServiceClient, clients)
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	for i := range stubs {
		conn, err := grpc.NewClient(address, options...)
		require.NoError(b, err)
		c.add(func() { _ = conn.Close() })
		stubs[i] = corev1.NewCoreServiceClient(conn)
	}
	return []named{
		{"gRPC GetLine on " + where, func(ctx context.Context, i int) error {
			_, err := stubs[i].GetLine(ctx, q.line)
			return err
		}},
		{"gRPC GetSchedule on " + where, func(ctx context.Context, i int) error {
			_, err := stubs[i].GetSchedule(ctx, q.schedule)
			return err
		}},
		{"gRPC QuoteInstalments on " + where, func(ctx context.Context, i int) error {
			_, err := stubs[i].QuoteInstalments(ctx, q.quote)
			return err
		}},
	}
}

// bearer sends a token with every call, over loopback without TLS.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// serveEcho starts a plain gRPC server and returns its address.
func serveEcho(b *testing.B, c *closers, a answers) string {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := grpc.NewServer()
	corev1.RegisterCoreServiceServer(server, &echo{answers: a})
	serve(server, listener, c)
	return "passthrough:///" + listener.Addr().String()
}

// gateway serves REST in front of the suite, as serve all does, and returns its address.
func (s *suite) gateway(b *testing.B, c *closers) string {
	b.Helper()
	conn, err := rpc.Dial(s.address, rpc.DialOptions{Meter: s.telling.Meter, Tracer: s.telling.Tracer})
	require.NoError(b, err)
	c.add(func() { _ = conn.Close() })
	handler, err := gateway.New(b.Context(), gateway.Deps{
		Conn: func(string) grpc.ClientConnInterface { return conn }, Logger: s.telling.Logger, Version: "bench", Clock: time.Now,
	})
	require.NoError(b, err)
	return serveHTTP(b, c, gateway.NewHTTPServer("", handler, s.telling.Logger))
}

// bareGateway serves the generated handlers in front of a server, with nothing around them, and returns its address.
func bareGateway(b *testing.B, c *closers, address string) string {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(b, err)
	c.add(func() { _ = conn.Close() })
	mux := runtime.NewServeMux()
	require.NoError(b, coregw.RegisterCoreServiceHandlerClient(b.Context(), mux, corev1.NewCoreServiceClient(conn)))
	return serveHTTP(b, c, &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute})
}

func serveHTTP(b *testing.B, c *closers, server *http.Server) string {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	c.add(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// overREST returns the calls over HTTP, each client on a connection that it keeps.
func overREST(b *testing.B, c *closers, base, where string, q requests, token string) []named {
	b.Helper()
	body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(q.quote)
	require.NoError(b, err)
	transport := &http.Transport{MaxIdleConns: clients, MaxIdleConnsPerHost: clients, DisableCompression: true}
	c.add(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	send := func(ctx context.Context, method, path string, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n == 0 || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s: status %d, %d bytes: %w", method, path, resp.StatusCode, n, err)
		}
		return nil
	}
	return []named{
		{"REST GetLine on " + where, func(ctx context.Context, _ int) error {
			return send(ctx, http.MethodGet, "/v1/core/lines/"+q.line.GetLineId(), nil)
		}},
		{"REST GetSchedule on " + where, func(ctx context.Context, _ int) error {
			return send(ctx, http.MethodGet, "/v1/core/schedules/"+q.schedule.GetScheduleId(), nil)
		}},
		{"REST QuoteInstalments on " + where, func(ctx context.Context, _ int) error {
			return send(ctx, http.MethodPost, "/v1/core/quotes/instalments", body)
		}},
	}
}
