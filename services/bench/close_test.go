package bench

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core"
	"github.com/pcnfunding/pcnfunding/services/sample"
)

// closing is what the rounds of one store came to.
type closing struct {
	figures, bounds []float64
	note            string
	schedules       map[string]*typev1.PaymentSchedule
}

// BenchmarkClose closes a month for all of England on empty stores with the sample loaded, and compares it with storing the same
// lines in bulk and deciding them in process. After the last round it closes the sample's other months too and compares the
// schedules of both stores.
func BenchmarkClose(b *testing.B) {
	perLine, err := lineCost()
	require.NoError(b, err)
	closings := make(map[string]*closing)
	for _, store := range stores() {
		closings[store] = new(closing)
	}
	for round := range chosen.rounds {
		for _, store := range stores() {
			closings[store].round(b, store, perLine, round == chosen.rounds-1)
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, store := range stores() {
		c := closings[store]
		results.ratio(b, goal{id: "P6", work: "month close of England on " + store, unit: "s", at: 3, note: c.note}, c.figures, c.bounds)
		results.limit(b, goal{id: "P6", work: "the same, at most", unit: "s", at: 10}, c.figures)
	}
	if len(closings) == 2 {
		compareStores(b, closings[onSQLite].schedules, closings[onPostgres].schedules)
	}
}

func (c *closing) round(b *testing.B, store string, perLine float64, last bool) {
	b.Helper()
	month := sample.Months()[0]
	s := newSuite(b, store)
	defer s.close()
	s.loadSample(b)
	codes := s.england(b, month)
	figure, err := seconds(func() error { return s.closeMonth(b.Context(), month, codes) })
	require.NoError(b, err)
	lines, err := readTable(b.Context(), s.coreDB, "lines", "SELECT * FROM lines ORDER BY schedule_id, line_id")
	require.NoError(b, err)
	schedules, err := readTable(b.Context(), s.coreDB, "schedules", "SELECT * FROM schedules")
	require.NoError(b, err)

	var empty closers
	defer empty.close()
	db := openDB(b, &empty, store, core.Migrations())
	require.NoError(b, schedules.insert(b.Context(), db)) // lines refer to them
	bulk, err := seconds(func() error { return lines.insert(b.Context(), db) })
	require.NoError(b, err)
	c.figures, c.bounds = append(c.figures, figure), append(c.bounds, bulk+perLine*float64(len(lines.rows)))
	c.note = fmt.Sprintf("%d commissioners, %d lines, %.1f MB; the bound counts %s to decide them", len(codes), len(lines.rows),
		float64(lines.bytes())/1e6, value(perLine*float64(len(lines.rows)), "s"))
	if !last {
		return
	}
	for _, other := range sample.Months()[1:] {
		require.NoError(b, s.closeMonth(b.Context(), other, s.england(b, other)))
	}
	c.schedules = s.schedules(b)
}

// schedules returns every schedule, without its lines, by its identifier.
func (s *suite) schedules(b *testing.B) map[string]*typev1.PaymentSchedule {
	b.Helper()
	out := make(map[string]*typev1.PaymentSchedule)
	req := &corev1.ListSchedulesRequest{PageSize: 100}
	for {
		answer, err := s.core.ListSchedules(s.as(b.Context(), testkit.Auditor), req)
		require.NoError(b, err)
		for _, schedule := range answer.GetSchedules() {
			out[schedule.GetScheduleId()] = schedule
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return out
		}
	}
}

// compareStores counts the schedules that differ between two stores: in the hash of their lines, their totals or their number.
func compareStores(b *testing.B, sqlite, postgres map[string]*typev1.PaymentSchedule) {
	b.Helper()
	different, lines := 0, 0
	all := make(map[string]bool)
	for id := range sqlite {
		all[id] = true
	}
	for id := range postgres {
		all[id] = true
	}
	for id := range all {
		x, y := sqlite[id], postgres[id]
		lines += int(x.GetLineCount())
		if x.GetLinesSha256() != y.GetLinesSha256() || x.GetLineCount() != y.GetLineCount() ||
			x.GetPayTotalPence() != y.GetPayTotalPence() || x.GetReconcileTotalPence() != y.GetReconcileTotalPence() {
			different++
			b.Logf("%s differs: %d lines, %s, %d pence on SQLite; %d lines, %s, %d pence on Postgres", id, x.GetLineCount(), x.GetLinesSha256(),
				x.GetPayTotalPence(), y.GetLineCount(), y.GetLinesSha256(), y.GetPayTotalPence())
		}
	}
	results.limit(b, goal{
		id: "P13", work: "schedules that differ between the stores", unit: "schedules", at: 0,
		note: fmt.Sprintf("of %d, with %d lines, of months %v: hash of lines, count and totals", len(all), lines, sample.Months()),
	}, []float64{float64(different)})
}
