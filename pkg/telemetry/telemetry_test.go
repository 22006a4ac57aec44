package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

func open(t *testing.T, env map[string]string) (*telemetry.Telemetry, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	tel, shutdown, err := telemetry.OpenWith(t.Context(), telemetry.Options{
		Service: "core", Version: "1.2.3", Output: &out, Getenv: func(name string) string { return env[name] },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, shutdown(context.WithoutCancel(t.Context()))) })
	return tel, &out
}

func TestLogger_CarriesIDs(t *testing.T) {
	t.Parallel()
	tel, out := open(t, nil)
	ctx, span := tel.Tracer.Tracer("test").Start(telemetry.WithCorrelation(t.Context(), "abc-1"), "call")
	defer span.End()
	tel.Logger.With("part", "relay").WithGroup("event").InfoContext(ctx, "sent", "count", 5)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "core", line["service"])
	require.Equal(t, "sent", line["msg"])
	require.Equal(t, "relay", line["part"])
	event, ok := line["event"].(map[string]any)
	require.True(t, ok)
	require.Equal(t, "abc-1", event["correlation_id"])
	require.Equal(t, trace.SpanContextFromContext(ctx).TraceID().String(), event["trace_id"], "ids are there although nothing is exported")
	require.False(t, span.IsRecording(), "and cost nothing")
}

func TestLogger_LeavesOutIDsThatAreNotThere(t *testing.T) {
	t.Parallel()
	tel, out := open(t, nil)
	tel.Logger.InfoContext(t.Context(), "started")
	require.NotContains(t, out.String(), "trace_id")
	require.NotContains(t, out.String(), "correlation_id")
}

func TestLogger_FollowsTheLevel(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]bool{"": false, "info": false, "debug": true, "DEBUG": true, "error": false} {
		tel, _ := open(t, map[string]string{telemetry.EnvLogLevel: level})
		require.Equal(t, want, tel.Logger.Enabled(t.Context(), slog.LevelDebug), level)
	}
	_, _, err := telemetry.OpenWith(t.Context(), telemetry.Options{
		Service: "core", Getenv: func(string) string { return "loud" },
	})
	require.ErrorContains(t, err, "loud")
	_, _, err = telemetry.Open(t.Context(), "", "")
	require.Error(t, err)
}

func TestNewLogger_WritesTextForATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	telemetry.NewLogger(&out, slog.LevelInfo, true).InfoContext(telemetry.WithCorrelation(t.Context(), "abc-1"), "started")
	require.Contains(t, out.String(), "msg=started")
	require.Contains(t, out.String(), "correlation_id=abc-1")
}

func TestMetricsHandler_ServesInstruments(t *testing.T) {
	t.Parallel()
	tel, _ := open(t, nil)
	counter, err := tel.Meter.Meter("test").Int64Counter("claims.submitted")
	require.NoError(t, err)
	counter.Add(t.Context(), 3)
	recorder := httptest.NewRecorder()
	tel.MetricsHandler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	body := recorder.Body.String()
	require.Contains(t, body, "claims_submitted_total")
	require.Contains(t, body, "go_goroutines")
	require.Contains(t, body, "process_")
	require.Contains(t, body, `service_name="core"`)
}

func TestOpen_ExportsTracesWhenAsked(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"an endpoint":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_METRICS_EXPORTER": "none"}, true},
		"an endpoint of traces": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		"disabled all the same": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false},
		"traces wanted nowhere": {map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "prometheus",
		}, false},
		"no endpoint whatsoever": {nil, false},
	} {
		tel, _ := open(t, c.env)
		_, span := tel.Tracer.Tracer("test").Start(t.Context(), "call")
		require.Equal(t, c.want, span.IsRecording(), name)
		require.True(t, span.SpanContext().IsValid(), name)
	}
}

func TestShutdown_OfACollectorThatIsAwayIsNoFailure(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	_, shutdown, err := telemetry.OpenWith(t.Context(), telemetry.Options{Service: "core", Output: &out, Getenv: func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}[name]
	}})
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, shutdown(ended))
	require.Contains(t, out.String(), "telemetry not delivered")
}

func TestMeter_KeepsOnlyWhatTheSuiteDecides(t *testing.T) {
	t.Parallel()
	tel, _ := open(t, nil)
	duration, err := tel.Meter.Meter("http").Float64Histogram("http.server.request.duration")
	require.NoError(t, err)
	duration.Record(t.Context(), 1, metric.WithAttributes(attribute.String("server.address", "whatever.example"), attribute.String("http.route", "/v1/claims")))
	recorder := httptest.NewRecorder()
	tel.MetricsHandler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, recorder.Body.String(), `http_route="/v1/claims"`)
	require.NotContains(t, recorder.Body.String(), "whatever.example")
}
