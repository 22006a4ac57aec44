package rpc

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets round_robin leave out servers that are not serving
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	clientKeepaliveTime    = 60 * time.Second
	clientKeepaliveTimeout = 20 * time.Second
	// deadlineMargin is left to the caller, so that they can still answer when the callee has used up its time.
	deadlineMargin = 500 * time.Millisecond
)

// DialOptions say how a client calls. Zero values take the defaults named here.
type DialOptions struct {
	// Meter and Tracer receive telemetry; nil sends it nowhere.
	Meter  metric.MeterProvider
	Tracer trace.TracerProvider
	// TLS secures the connection, see certs.Source.Client; nil calls in clear text, for in-process and loopback use.
	TLS *tls.Config
	// Health is the service name whose health decides which addresses are used; empty uses all.
	Health string
	// Token gives the bearer token of calls whose context carries no token of a caller, as those of background work. Nil
	// sends none.
	Token func(ctx context.Context) (string, error)
	// Timeout is given to a unary call without a deadline; 0 is 10 s.
	Timeout time.Duration
	// BulkTimeout is given to a stream without a deadline; 0 is 5 min.
	BulkTimeout time.Duration
	// Dialer replaces the network, as an in-process listener does.
	Dialer func(ctx context.Context) (net.Conn, error)
}

// Dial makes a client connection to a target such as "dns:///core:9090". It connects when first used. Calls are retried on
// UNAVAILABLE only, spread over all addresses, and carry the caller's token, correlation id and remaining time less a margin.
func Dial(target string, o DialOptions) (*grpc.ClientConn, error) {
	if o.Meter == nil {
		o.Meter = metricnoop.NewMeterProvider()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider()
	}
	orDefault(&o.Timeout, defaultTimeout)
	orDefault(&o.BulkTimeout, defaultBulkTimeout)
	config, err := serviceConfig(o.Health)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	caller := &caller{token: o.Token, timeout: o.Timeout, bulk: o.BulkTimeout}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(telemetryOptions(o.Meter, o.Tracer)...)),
		grpc.WithUnaryInterceptor(caller.unary),
		grpc.WithStreamInterceptor(caller.stream),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: clientKeepaliveTime, Timeout: clientKeepaliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes)),
	}
	if o.Dialer != nil {
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return o.Dialer(ctx) }))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	return conn, nil
}

// serviceConfig is the client side of the suite's promises on retries. Writes can be retried because each carries a request_id.
func serviceConfig(health string) (string, error) {
	config := map[string]any{
		"loadBalancingConfig": []any{map[string]any{"round_robin": map[string]any{}}},
		"methodConfig": []any{map[string]any{
			"name": []any{map[string]any{}},
			"retryPolicy": map[string]any{
				"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}},
		"retryThrottling": map[string]any{"maxTokens": 100, "tokenRatio": json.Number("0.1")},
	}
	if health != "" {
		config["healthCheckConfig"] = map[string]any{"serviceName": health}
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("write the service config: %w", err)
	}
	return string(text), nil
}

// caller passes on what belongs to the call that is being served.
type caller struct {
	token         func(context.Context) (string, error)
	timeout, bulk time.Duration
}

func (c *caller) unary(
	ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	ctx, err := c.outgoing(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := shorten(ctx, c.timeout)
	defer cancel()
	return invoke(ctx, method, req, reply, conn, opts...)
}

func (c *caller) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, err := c.outgoing(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := shorten(ctx, c.bulk)
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	return &endingStream{ClientStream: stream, cancel: cancel, single: !desc.ServerStreams}, nil
}

// outgoing adds the token and the correlation id where the caller has not put any.
func (c *caller) outgoing(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	if id := telemetry.Correlation(ctx); id != "" && len(md.Get(KeyCorrelationID)) == 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, KeyCorrelationID, id)
	}
	if len(md.Get(KeyAuthorization)) > 0 {
		return ctx, nil
	}
	token := ""
	if principal, ok := auth.From(ctx); ok {
		token = principal.Token
	}
	if token == "" && c.token != nil {
		var err error
		if token, err = c.token(ctx); err != nil {
			return ctx, fmt.Errorf("get a token for the call: %w", err)
		}
	}
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, KeyAuthorization, "Bearer "+token)
	}
	return ctx, nil
}

// shorten leaves the caller a margin of the remaining time, half of it when there is little, and gives a call without a deadline
// the default.
func shorten(ctx context.Context, otherwise time.Duration) (context.Context, context.CancelFunc) {
	deadline, has := ctx.Deadline()
	if !has {
		return context.WithTimeout(ctx, otherwise)
	}
	remaining := time.Until(deadline) //nolint:forbidigo // a deadline is a time of the system's clock
	return context.WithTimeout(ctx, remaining-min(deadlineMargin, remaining/2))
}

// endingStream releases the deadline's timer when the stream has ended.
type endingStream struct {
	grpc.ClientStream
	cancel context.CancelFunc
	single bool
}

// RecvMsg receives a message; the error that ends the stream, or the one answer of a client stream, releases the timer.
func (s *endingStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil || s.single {
		s.cancel()
	}
	return err
}
