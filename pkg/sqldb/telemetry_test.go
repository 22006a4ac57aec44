package sqldb_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

func TestDB_TellsOfItsTransactions(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		db, reader, spans := open(t), metric.NewManualReader(), tracetest.NewInMemoryExporter()
		require.NoError(t, db.Measure(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), "core"))
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)).Tracer("test")
		ctx, call := tracer.Start(t.Context(), "call")
		secret := func(sqldb.Querier) error { return errors.New("row 153173 is there already") }
		require.NoError(t, db.Read(ctx, func(sqldb.Querier) error { return nil }))
		require.Error(t, db.Read(ctx, secret))
		require.Error(t, db.Write(ctx, func(*sqldb.Tx) error { return fault.New(fault.Refused, "NOT_NOW", "not now") }))
		require.NoError(t, db.Write(context.WithoutCancel(t.Context()), func(*sqldb.Tx) error { return nil }), "no span outside a call")
		call.End()

		got := spans.GetSpans()
		require.Len(t, got, 4)
		for i, want := range []struct {
			name string
			code codes.Code
		}{{"read", codes.Unset}, {"read", codes.Error}, {"write", codes.Unset}} {
			require.Equal(t, want.name+" "+db.Schema(), got[i].Name)
			require.Equal(t, want.code, got[i].Status.Code)
			require.Empty(t, got[i].Status.Description, "the text of an error may hold what it is about")
			require.Equal(t, call.SpanContext().SpanID(), got[i].Parent.SpanID())
		}
		var data metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &data))
		counts, gauges := make(map[string]uint64), 0
		for _, m := range data.ScopeMetrics[0].Metrics {
			if points, ok := m.Data.(metricdata.Histogram[float64]); ok {
				for _, p := range points.DataPoints {
					operation, _ := p.Attributes.Value("db.operation.name")
					outcome, _ := p.Attributes.Value("outcome")
					counts[operation.AsString()+" "+outcome.AsString()] = p.Count
				}
				continue
			}
			gauges++
		}
		require.Equal(t, map[string]uint64{"read done": 1, "read failed": 1, "write refused": 1, "write done": 1}, counts)
		require.Equal(t, 3, gauges, "the pool")
	})
}
