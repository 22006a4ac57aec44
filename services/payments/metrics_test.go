package payments_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// TestWatch_CountsRunsSchedulesAndLedger looks at the figures once a run is put forward and its month closed, and once more when the
// ledger was changed behind the suite's back.
func TestWatch_CountsRunsSchedulesAndLedger(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		month := s.clock.Now().AddDate(0, -1, 0).Format("2006-01")
		s.codedFor(t, "15N")
		s.closes(t, "15N", month, 1, pay("P1", 100_00))
		_, err := s.submit(t, "ann", "15N-"+month+"-1")
		require.NoError(t, err)
		s.clock.Advance(90 * time.Second)
		got := s.watched(t)
		require.Zero(t, got["ledger_imbalance_pence"])
		require.Contains(t, got, "ledger_imbalance_pence")
		require.InDelta(t, 1, got["payment_runs submitted"], 0)
		require.Contains(t, got, "payment_runs settled", "a state that no run is in")
		require.InDelta(t, 90, got["payment_runs_oldest_age_seconds submitted"], 1)
		require.InDelta(t, 1, got["payment_schedule_commissioners core previous"], 0)
		require.Zero(t, got["payment_schedule_commissioners core current"])
		require.Zero(t, got["payment_schedule_commissioners arrs previous"])

		s.tamper(t)
		require.InDelta(t, 7, s.watched(t)["ledger_imbalance_pence"], 0)
	})
}

// watched returns the figures of a Watch of its own, by name and the values of their labels.
func (s *suite) watched(t *testing.T) map[string]float64 {
	t.Helper()
	reader := metric.NewManualReader()
	service := payments.New(payments.Deps{DB: s.db, Logger: testkit.Logger(t), Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("test")})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.Watch(ctx) }()
	out := make(map[string]float64)
	require.Eventually(t, func() bool {
		var data metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &data))
		for _, m := range data.ScopeMetrics[0].Metrics {
			switch points := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range points.DataPoints {
					out[m.Name+labels(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range points.DataPoints {
					out[m.Name+labels(p.Attributes)] = p.Value
				}
			}
		}
		_, counted := out["payment_runs submitted"]
		return counted
	}, 20*time.Second, 5*time.Millisecond)
	stop()
	require.NoError(t, errors.Join(<-ended))
	return out
}

func labels(of attribute.Set) (text string) {
	for _, kv := range of.ToSlice() {
		if kv.Key != "service" {
			text += " " + kv.Value.String()
		}
	}
	return text
}

// tamper adds an entry that no posting has, as only the owner of the database can.
func (s *suite) tamper(t *testing.T) {
	t.Helper()
	owner := testkit.Owner(t, s.db)
	insert := `INSERT INTO entries (posting_id, number, commissioner_code, fund, payee_code, stage, amount_pence, line_id, effective_date, recorded_at)
		SELECT posting_id, 99, commissioner_code, fund, payee_code, stage, 7, line_id, effective_date, recorded_at FROM entries LIMIT 1`
	off, on := []string{"DROP TRIGGER entries_precede"}, []string{}
	if s.db.Dialect() == sqldb.Postgres {
		off, on = []string{"ALTER TABLE entries DISABLE TRIGGER USER"}, []string{"ALTER TABLE entries ENABLE TRIGGER USER"}
	}
	for _, q := range append(append(off, insert), on...) {
		_, err := owner.Exec(t.Context(), q)
		require.NoError(t, err, q)
	}
}
