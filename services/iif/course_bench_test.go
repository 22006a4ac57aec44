package iif_test

import (
	"fmt"
	"os"
	"strings"
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

// BenchmarkCalculateYear calculates a year of all England, under one body: 1,270 PCNs of 6,500 practices with 36 indicators, 2 s at most
// with all that is loaded. The first calculation opens every year; each other one finds that nothing has changed. BENCH=short takes a
// tenth of England.
func BenchmarkCalculateYear(b *testing.B) {
	pcns, practices, indicators := 1270, 6500, 36
	if os.Getenv("BENCH") == "short" {
		pcns, practices = pcns/10, practices/10
	}
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		b.Run(name, func(b *testing.B) {
			clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
			s := newCourseSuite(b, open(b, clockOptions(clock)), clock)
			codes := s.england(b, pcns, practices, indicators)
			for b.Loop() {
				b.StopTimer()
				s.clear(b)
				b.StartTimer()
				out := s.calculate(b)
				require.EqualValues(b, pcns, out.GetOpened())
				require.Positive(b, out.GetDuePence())
				require.Empty(b, out.GetRefusals())
			}
			began := time.Now() //nolint:forbidigo // a measure
			require.EqualValues(b, pcns, s.calculate(b).GetUnchanged())
			b.ReportMetric(time.Since(began).Seconds(), "s/unchanged")
			began = time.Now() //nolint:forbidigo // a measure
			s.value(b, "", &iifv1.SchemeValue{IndicatorCode: codes[0], Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.44"})
			b.ReportMetric(time.Since(began).Seconds(), "s/rework")
			began = time.Now() //nolint:forbidigo // a measure
			s.get(b, "U00000")
			b.ReportMetric(time.Since(began).Seconds(), "s/get")
		})
	}
}

// england fabricates a version of the scheme and counts of every practice for it, and returns the codes of its indicators.
func (s *courseSuite) england(b *testing.B, pcns, practices, indicators int) []string {
	b.Helper()
	for i := range pcns {
		members := make(map[string]int64)
		for practice := i; practice < practices; practice += pcns {
			members[fmt.Sprintf("A%05d", practice)] = int64(5_000 + practice)
		}
		s.register.pcns = append(s.register.pcns, courseNetwork(fmt.Sprintf("U%05d", i), courseBody, members))
	}
	s.figure(b, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Version{Version: &iifv1.SchemeVersion{
		VersionId: "IIF-2025-04", FromDate: "2025-04-01", ToDate: "2026-03-31", Points: "500", PayingIndicators: int32(indicators), //nolint:gosec // few
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
			{Field: iifv1.ValueField_LOWER_THRESHOLD, Value: "20"}, {Field: iifv1.ValueField_UPPER_THRESHOLD, Value: "80"},
			{Field: iifv1.ValueField_POINTS, Value: "12"}, {Field: iifv1.ValueField_PREVALENCE_ADJUSTED, Value: "1"},
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
		return store.InsertCounts(b.Context(), tx, rows)
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
