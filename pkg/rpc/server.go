package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/certs"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

// MaxMessageBytes is the largest message a server or client of the suite takes.
const MaxMessageBytes = 4 << 20

const (
	maxConcurrentStreams  = 250
	keepaliveMinTime      = 30 * time.Second
	maxConnectionAge      = 5 * time.Minute
	maxConnectionAgeGrace = 30 * time.Second
	connectionTimeout     = 10 * time.Second

	defaultConcurrent  = 128
	defaultBulk        = 16
	defaultTimeout     = 10 * time.Second
	defaultBulkTimeout = 5 * time.Minute
	defaultBulkShare   = defaultBulk / 2
	defaultIdleTimeout = 30 * time.Second
	// longestCall is the latest deadline that a caller can have.
	longestCall = 10 * time.Minute
)

// ServerOptions say what a server is made of. Zero values take the defaults named here.
type ServerOptions struct {
	// Logger gets one line for each refused or failed call. Required.
	Logger *slog.Logger
	// Verifier turns bearer tokens into principals. Required.
	Verifier auth.Verifier
	// Meter and Tracer receive telemetry; nil sends it nowhere.
	Meter  metric.MeterProvider
	Tracer trace.TracerProvider
	// Clock tells the time. Required with RatePerSecond.
	Clock func() time.Time
	// Certs asks every connection for a certificate of the suite, and holds calls against the callers of their rule; nil serves
	// anyone in clear text, for in-process and loopback use.
	Certs *certs.Source
	// Self is the name of a process that may make any call of this server because it is this process, as one that runs every
	// service calls itself; empty for a service alone.
	Self string
	// Observe is told what each call came to: its answer, of a stream the last message sent, or its error. It must be quick and must
	// change nothing; nil is told nothing.
	Observe func(ctx context.Context, method string, answer any, err error)
	// MaxConcurrent bounds the unary calls worked on at once; 0 is 128, negative is no bound.
	MaxConcurrent int
	// MaxConcurrentBulk bounds the streams worked on at once; 0 is 16, negative is no bound.
	MaxConcurrentBulk int
	// MaxBulkPerSubject bounds the streams of one subject that are worked on at once; 0 is 8, negative is no bound.
	MaxBulkPerSubject int
	// RatePerSecond bounds the calls of each subject; 0 is no bound.
	RatePerSecond int
	// RateBurst is how many calls a subject can make at once; less than RatePerSecond is RatePerSecond.
	RateBurst int
	// Timeout is given to a unary call without a deadline; 0 is 10 s.
	Timeout time.Duration
	// BulkTimeout is given to a stream without a deadline; 0 is 5 min. No deadline of a caller is kept past 10 min.
	BulkTimeout time.Duration
	// IdleTimeout is how long a stream may go without a message of its caller; 0 is 30 s.
	IdleTimeout time.Duration
	// ConnectionAge is the age at which a connection is closed so that clients spread again; 0 is 5 min.
	ConnectionAge time.Duration
}

func (o *ServerOptions) complete() error {
	if o.Logger == nil || o.Verifier == nil {
		return errors.New("make a gRPC server: a logger and a verifier are needed")
	}
	if o.RatePerSecond > 0 && o.Clock == nil {
		return errors.New("make a gRPC server: a rate needs a clock")
	}
	if o.Meter == nil {
		o.Meter = metricnoop.NewMeterProvider()
	}
	if o.Tracer == nil {
		o.Tracer = tracenoop.NewTracerProvider()
	}
	if o.Observe == nil {
		o.Observe = func(context.Context, string, any, error) {}
	}
	orDefault(&o.MaxConcurrent, defaultConcurrent)
	orDefault(&o.MaxConcurrentBulk, defaultBulk)
	orDefault(&o.MaxBulkPerSubject, defaultBulkShare)
	orDefault(&o.Timeout, defaultTimeout)
	orDefault(&o.IdleTimeout, defaultIdleTimeout)
	orDefault(&o.BulkTimeout, defaultBulkTimeout)
	orDefault(&o.ConnectionAge, maxConnectionAge)
	return nil
}

func orDefault[T comparable](value *T, otherwise T) {
	var zero T
	if *value == zero {
		*value = otherwise
	}
}

// NewServer makes a gRPC server with the chain of interceptors described in the package comment. Register every service before
// it serves.
func NewServer(o ServerOptions) (*grpc.Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	v, err := validator()
	if err != nil {
		return nil, fmt.Errorf("make a gRPC server: %w", err)
	}
	codec, err := newStrictCodec()
	if err != nil {
		return nil, fmt.Errorf("make a gRPC server: %w", err)
	}
	c := &chain{
		log: o.Logger, certs: o.Certs, self: o.Self, verifier: o.Verifier, validator: v,
		unaries: newBound(o.MaxConcurrent), streams: newBound(o.MaxConcurrentBulk), shares: newShares(o.MaxBulkPerSubject),
		rates:   newRates(o.RatePerSecond, o.RateBurst, o.Clock),
		timeout: o.Timeout, bulk: o.BulkTimeout, idle: o.IdleTimeout, observe: o.Observe,
	}
	options := []grpc.ServerOption{
		grpc.StatsHandler(otelgrpc.NewServerHandler(telemetryOptions(o.Meter, o.Tracer)...)),
		grpc.UnaryInterceptor(c.unary),
		grpc.StreamInterceptor(c.stream),
		grpc.ForceServerCodecV2(codec),
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.NumStreamWorkers(uint32(2 * runtime.GOMAXPROCS(0))), //nolint:gosec // a number of processors fits
		grpc.ConnectionTimeout(connectionTimeout),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinTime, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: o.ConnectionAge, MaxConnectionAgeGrace: maxConnectionAgeGrace,
		}),
	}
	if o.Certs != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.Certs.Server())))
	}
	return grpc.NewServer(options...), nil
}

// Stop lets calls in progress end and refuses new ones; calls that outlast the limit or the context are cut. It returns an
// error when any had to be cut.
func Stop(ctx context.Context, srv *grpc.Server, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		srv.Stop()
		<-done
		return fmt.Errorf("stop the gRPC server: calls were cut after %s: %w", limit, ctx.Err())
	}
}

// telemetryOptions are those of servers and clients. Nothing global is used. Probes are left out, and so are methods that no contract has:
// their names are the caller's to choose, and each would be a series of its own.
func telemetryOptions(meter metric.MeterProvider, tracer trace.TracerProvider) []otelgrpc.Option {
	known := make(map[string]bool)
	for _, rule := range auth.Rules() {
		known[rule.Method] = true
	}
	return []otelgrpc.Option{
		otelgrpc.WithMeterProvider(meter),
		otelgrpc.WithTracerProvider(tracer),
		otelgrpc.WithPropagators(propagation.TraceContext{}),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool { return known[info.FullMethodName] }),
	}
}
