package bench

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// echoPayments answers each call with a message it was given.
type echoPayments struct {
	paymentsv1.UnimplementedPaymentsServiceServer
	run       *paymentsv1.Run
	statement *paymentsv1.Statement
}

func (e *echoPayments) GetRun(context.Context, *paymentsv1.GetRunRequest) (*paymentsv1.Run, error) {
	return e.run, nil
}

func (e *echoPayments) GetStatement(context.Context, *paymentsv1.GetStatementRequest) (*paymentsv1.Statement, error) {
	return e.statement, nil
}

// BenchmarkPaymentCalls compares reads of payments, by gRPC, with a server that does nothing but answer the same bytes. A month of
// England has been sent.
func BenchmarkPaymentCalls(b *testing.B) {
	var all closers
	b.Cleanup(all.close)
	run := &paymentsv1.GetRunRequest{RunId: runID("B106000", firstPaid)}
	statement := &paymentsv1.GetStatementRequest{PcnCode: "U00000", Period: firstPaid.String()}
	var calls []named
	bare := new(echoPayments)
	for i, store := range stores() {
		p := newPaying(b, store)
		p.month(b, firstPaid, sent)
		if i == 0 {
			ctx := p.as(b.Context(), testkit.Auditor)
			var err error
			bare.run, err = p.client.GetRun(ctx, run)
			require.NoError(b, err)
			bare.statement, err = p.client.GetStatement(ctx, statement)
			require.NoError(b, err)
			require.NotEmpty(b, bare.statement.GetPayments())
		}
		calls = append(calls, paymentCalls(b, &all, p.address, store, p.issuer.For(testkit.Auditor(auth.England)), run, statement)...)
	}
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := grpc.NewServer()
	paymentsv1.RegisterPaymentsServiceServer(server, bare)
	serve(server, listener, &all)
	calls = append(calls, paymentCalls(b, &all, "passthrough:///"+listener.Addr().String(), "bare", "", run, statement)...)
	slices.SortStableFunc(calls, func(x, y named) int { return strings.Compare(kindOf(x.name), kindOf(y.name)) })

	got := takeTurns(b, calls)
	b.ReportMetric(0, "ns/op")
	sizes := map[string]int{"gRPC GetRun": proto.Size(bare.run), "gRPC GetStatement": proto.Size(bare.statement)}
	for _, c := range calls {
		kind, where, _ := strings.Cut(c.name, " on ")
		if where == "bare" {
			continue
		}
		figure, bound := got[c.name], got[kind+" on bare"]
		results.ratio(b, goal{
			id: "P3", work: c.name, unit: "/s", at: 0.30, least: true,
			note: fmt.Sprintf("p99 %s, bare %s; %d bytes", value(figure.p99(), "s"), value(bound.p99(), "s"), sizes[kind]),
		}, figure.perSecond(), bound.perSecond())
	}
}

// paymentCalls returns the calls, made by clients that each have a connection of their own.
func paymentCalls(
	b *testing.B, c *closers, address, where, token string, run *paymentsv1.GetRunRequest, statement *paymentsv1.GetStatementRequest,
) []named {
	b.Helper()
	stubs := make([]paymentsv1.PaymentsServiceClient, clients)
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(token)))
	}
	for i := range stubs {
		conn, err := grpc.NewClient(address, options...)
		require.NoError(b, err)
		c.add(func() { _ = conn.Close() })
		stubs[i] = paymentsv1.NewPaymentsServiceClient(conn)
	}
	return []named{
		{"gRPC GetRun on " + where, func(ctx context.Context, i int) error {
			_, err := stubs[i].GetRun(ctx, run)
			return err
		}},
		{"gRPC GetStatement on " + where, func(ctx context.Context, i int) error {
			_, err := stubs[i].GetStatement(ctx, statement)
			return err
		}},
	}
}
