package main

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// TestObserveCalls_CountsClosesFromNothing holds that each outcome of a close is told as 0 before the first, since only what increases from
// there raises an alert.
func TestObserveCalls_CountsClosesFromNothing(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	_, err := observeCalls(metric.NewMeterProvider(metric.WithReader(reader)).Meter("calls"), []string{"register", "core", gatewayName})
	require.NoError(t, err)
	var told metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &told))
	outcomes := make(map[string]int64)
	for _, scope := range told.ScopeMetrics {
		for _, m := range scope.Metrics {
			require.Equal(t, "schedule_closes_total", m.Name)
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				service, _ := point.Attributes.Value("service")
				outcome, _ := point.Attributes.Value("outcome")
				outcomes[service.AsString()+" "+outcome.AsString()] = point.Value
			}
		}
	}
	require.Equal(t, map[string]int64{"core done": 0, "core refused": 0, "core failed": 0}, outcomes)
}
