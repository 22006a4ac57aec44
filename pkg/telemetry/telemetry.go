package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// EnvLogLevel names the variable with the least level that is logged: debug, info, warn or error.
const EnvLogLevel = "PCN_LOG_LEVEL"

// flushLimit bounds what an end waits for a collector. It comes on top of what the parts of a process take to stop.
const flushLimit = 3 * time.Second

// Telemetry is what the parts of a process tell through.
type Telemetry struct {
	// Logger writes to the standard error stream.
	Logger *slog.Logger
	// Tracer makes spans; they are exported when an OTLP endpoint is set, and otherwise only give ids to logs.
	Tracer trace.TracerProvider
	// Meter makes instruments.
	Meter metric.MeterProvider
	// MetricsHandler serves the instruments, the Go runtime and the process to Prometheus.
	MetricsHandler http.Handler
}

// Options say what to set up. Zero values take the defaults named here.
type Options struct {
	// Service and Version name the process. Service is required.
	Service, Version string
	// Output takes the log; nil is the standard error stream.
	Output io.Writer
	// Getenv reads the OTEL_ variables and PCN_LOG_LEVEL; nil is os.Getenv. The OTLP exporter itself reads the process's
	// environment for everything but whether it is wanted.
	Getenv func(string) string
}

// Open sets up the telemetry of a process from its environment: logs at PCN_LOG_LEVEL, traces and metrics to
// OTEL_EXPORTER_OTLP_ENDPOINT (or the ones for traces and for metrics) if set. Which traces are exported is for OTEL_TRACES_SAMPLER to
// say; without it all are, unless the caller that began a trace decided against. Shutdown flushes what is not yet
// exported, for at most three seconds; call it last. A collector that is away is logged and no error: it must not make an orderly end look
// like a failure.
func Open(ctx context.Context, service, version string) (*Telemetry, func(context.Context) error, error) {
	return OpenWith(ctx, Options{Service: service, Version: version})
}

// OpenWith is Open with an output and an environment of one's own.
func OpenWith(ctx context.Context, o Options) (*Telemetry, func(context.Context) error, error) {
	if o.Service == "" {
		return nil, nil, errors.New("open telemetry: the service has no name")
	}
	if o.Output == nil {
		o.Output = os.Stderr
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	level, err := ParseLevel(o.Getenv(EnvLogLevel))
	if err != nil {
		return nil, nil, fmt.Errorf("open telemetry: %w", err)
	}
	logger := NewLogger(o.Output, level, onTerminal(o.Output)).With("service", o.Service)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("telemetry not delivered", "error", err) }))
	about, err := resource.New(ctx, resource.WithFromEnv(), resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", o.Service), attribute.String("service.version", o.Version),
	))
	if err != nil {
		return nil, nil, fmt.Errorf("describe the process: %w", err)
	}
	tracer, err := openTracer(ctx, about, o.Getenv)
	if err != nil {
		return nil, nil, err
	}
	meter, handler, err := openMeter(ctx, about, o.Getenv)
	if err != nil {
		return nil, nil, errors.Join(err, tracer.Shutdown(ctx))
	}
	shutdown := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, flushLimit)
		defer cancel()
		measured := make(chan error, 1)
		go func() { measured <- meter.Shutdown(ctx) }() // beside the spans, which may take all the time there is
		if err := errors.Join(tracer.Shutdown(ctx), <-measured); err != nil {
			logger.WarnContext(ctx, "telemetry not delivered", "error", err)
		}
		return nil
	}
	return &Telemetry{Logger: logger, Tracer: tracer, Meter: meter, MetricsHandler: handler}, shutdown, nil
}

// openTracer exports spans if an endpoint is set. If not, no span is sampled, but each still has ids for the logs.
func openTracer(ctx context.Context, about *resource.Resource, getenv func(string) string) (*sdktrace.TracerProvider, error) {
	if !exports(getenv, "TRACES") {
		return sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithSampler(sdktrace.NeverSample())), nil
	}
	exporter, err := otlptracegrpc.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the trace exporter: %w", err)
	}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(exporter)), nil
}

// exports tells whether a signal, TRACES or METRICS, is to be sent by OTLP.
func exports(getenv func(string) string, signal string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if wanted := getenv("OTEL_" + signal + "_EXPORTER"); wanted != "" && !strings.EqualFold(wanted, "otlp") {
		return false
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != ""
}

// openMeter keeps its own registry, so that two processes in one test do not meet. Metrics are always there for Prometheus to fetch, and
// are sent by OTLP too if an endpoint is set.
func openMeter(ctx context.Context, about *resource.Resource, getenv func(string) string) (*sdkmetric.MeterProvider, http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, collector := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(collector); err != nil {
			return nil, nil, fmt.Errorf("register the runtime's metrics: %w", err)
		}
	}
	fetched, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, nil, fmt.Errorf("open the metrics exporter: %w", err)
	}
	// Exemplars carry what the views take out, which is nobody's business and longer than Prometheus takes.
	options := []sdkmetric.Option{
		sdkmetric.WithReader(fetched), sdkmetric.WithResource(about), sdkmetric.WithView(bounded()...), sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
	}
	if exports(getenv, "METRICS") {
		sent, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("open the metrics exporter: %w", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(sent)))
	}
	return sdkmetric.NewMeterProvider(options...), promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}

// bounded keeps of what instrumentation libraries record the attributes whose values the suite itself decides. The others, such as the
// host that a request names, are the caller's to choose, and with them the number of series.
func bounded() []sdkmetric.View {
	keep := func(instruments string, keys ...attribute.Key) sdkmetric.View {
		return sdkmetric.NewView(sdkmetric.Instrument{Name: instruments}, sdkmetric.Stream{AttributeFilter: attribute.NewAllowKeysFilter(keys...)})
	}
	none := sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}}
	return []sdkmetric.View{
		// Nobody is woken or helped by the sizes of bodies, and they are two histograms for each route.
		sdkmetric.NewView(sdkmetric.Instrument{Name: "http.server.*.body.size"}, none),
		keep("http.server.request.duration", "http.request.method", "http.response.status_code", "http.route"),
		keep("rpc.*", "rpc.method", "rpc.response.status_code"),
	}
}
