package iif_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// BenchmarkCalculateYear calculates a year of all England, body by body: 1,270 PCNs of 6,500 practices under 42 commissioners, with 36
// indicators, 2 s at most with all that is loaded. Beside that it tells how long a calculation takes that finds nothing new, and a
// figure that works all years out again, and how much processor time each takes. BENCH=short takes a tenth of England.
func BenchmarkCalculateYear(b *testing.B) {
	bodies, pcns, practices, indicators := 42, 1270, 6500, 36
	if os.Getenv("BENCH") == "short" {
		bodies, pcns, practices = bodies/10, pcns/10, practices/10
	}
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.PostgresOwned} {
		b.Run(name, func(b *testing.B) {
			clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
			s := newCourseSuite(b, open(b, clockOptions(clock)), clock)
			codes := s.england(b, bodies, pcns, practices, indicators)
			all := func() (opened, unchanged int) {
				for i := range bodies {
					out := s.calculateFor(b, bodyOf(i))
					require.Empty(b, out.GetRefusals())
					opened, unchanged = opened+int(out.GetOpened()), unchanged+int(out.GetUnchanged())
				}
				return opened, unchanged
			}
			for b.Loop() {
				b.StopTimer()
				s.clear(b)
				b.StartTimer()
				timed(b, "open", func() {
					opened, _ := all()
					require.Equal(b, pcns, opened)
				})
			}
			timed(b, "unchanged", func() {
				_, unchanged := all()
				require.Equal(b, pcns, unchanged)
			})
			timed(b, "rework", func() {
				s.value(b, "", &iifv1.SchemeValue{IndicatorCode: codes[0], Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.44"})
			})
			require.Greater(b, s.rows(b, `steps WHERE step = 'DATA_CHANGED'`), pcns/2)
			timed(b, "get", func() { s.get(b, "U00000") })
		})
	}
}

func bodyOf(i int) string { return fmt.Sprintf("Q%02d", i) }

// timed tells how long something takes, and how much processor time of this process.
func timed(b *testing.B, what string, do func()) {
	b.Helper()
	processor := func() float64 {
		var used syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
	}
	began, before := time.Now(), processor()
	do()
	b.ReportMetric(time.Since(began).Seconds(), "s/"+what)
	b.ReportMetric(processor()-before, "cpu-s/"+what)
}

// england fabricates a version of the scheme and counts of every practice for it, and returns the codes of its indicators.
func (s *courseSuite) england(b *testing.B, bodies, pcns, practices, indicators int) []string {
	b.Helper()
	for i := range pcns {
		members := make(map[string]int64)
		for practice := i; practice < practices; practice += pcns {
			members[fmt.Sprintf("A%05d", practice)] = int64(5_000 + practice)
		}
		s.register.pcns = append(s.register.pcns, courseNetwork(fmt.Sprintf("U%05d", i), bodyOf(i%bodies), members))
	}
	s.figure(b, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Version{Version: &iifv1.SchemeVersion{
		VersionId: "IIF-2025-04", FromDate: "2025-04-01", ToDate: "2026-03-31", Points: "500", PayingIndicators: int32(indicators),
	}}})
	s.value(b, "", &iifv1.SchemeValue{Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, Value: "50000", ListKind: iifv1.ListKind_REGISTERED, ListDate: "2025-01-01"})
	codes := []string{"HI-03", "CAN-04"}
	for i := len(codes); i < indicators; i++ {
		codes = append(codes, fmt.Sprintf("BX-%02d", i))
		s.figure(b, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Indicator{Indicator: &iifv1.SchemeIndicator{
			VersionId: "IIF-2025-04", IndicatorCode: codes[i], Name: "Fabricated", Area: "Bench", Kind: iifv1.IndicatorKind_PERCENTAGE,
			Direction: iifv1.Direction_HIGHER, Status: iifv1.IndicatorStatus_ACTIVE, NumeratorFrom: iifv1.CountsFeed_EXTRACT, DenominatorFrom: iifv1.CountsFeed_EXTRACT,
		}}})
	}
	for _, code := range codes {
		for _, v := range []*iifv1.SchemeValue{
			{Field: iifv1.ValueField_LOWER_THRESHOLD, Value: "20"},
			{Field: iifv1.ValueField_UPPER_THRESHOLD, Value: "80"},
			{Field: iifv1.ValueField_POINTS, Value: "12"},
			{Field: iifv1.ValueField_PREVALENCE_ADJUSTED, Value: "1"},
		} {
			v.VersionId, v.IndicatorCode = "IIF-2025-04", code
			s.value(b, "", v)
		}
		s.value(b, "", &iifv1.SchemeValue{IndicatorCode: code, Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.4"})
	}
	require.NoError(b, s.db.Write(b.Context(), func(tx *sqldb.Tx) error {
		var rows []store.CountRow
		for practice := range practices {
			for i, code := range codes {
				rows = append(rows, store.CountRow{
					CountKey: store.CountKey{Organisation: fmt.Sprintf("A%05d", practice), On: courseDay, Indicator: code}, Position: int64(len(rows) + 1),
					CommissionerCode: rules.England, SourceID: "import", RecordedBy: "importer", RecordedAt: 1, Cells: store.Cells{
						{Measure: feed.Numerator, Cell: rules.Count(int64(20 + (practice*7+i*13)%70))}, {Measure: feed.Denominator, Cell: rules.Count(100)},
					},
				})
			}
		}
		return errors.Join(store.InsertCounts(b.Context(), tx, rows), store.AnalyzeCounts(b.Context(), tx))
	}))
	return codes
}

// clear takes the years away, so that they can be opened once more.
func (s *courseSuite) clear(b *testing.B) {
	b.Helper()
	require.NoError(b, s.db.Write(b.Context(), func(tx *sqldb.Tx) error {
		for _, table := range []string{"steps", "achievements", "results"} {
			triggers := []string{`ALTER TABLE ` + table + ` DISABLE TRIGGER USER`, `ALTER TABLE ` + table + ` ENABLE TRIGGER USER`}
			if tx.Dialect() == sqldb.SQLite {
				triggers = []string{`DROP TRIGGER IF EXISTS ` + table + `_no_delete`, ``}
			}
			for _, statement := range []string{triggers[0], `DELETE FROM ` + table, triggers[1]} {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				if _, err := tx.Exec(b.Context(), statement); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}
