package iif_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

// indicatorOf returns what an indicator of the first PCN comes to.
func (s *courseSuite) indicatorOf(t testing.TB, code string) *iifv1.IndicatorResult {
	t.Helper()
	for _, of := range s.get(t, coursePCN).GetResult().GetIndicators() {
		if of.GetIndicatorCode() == code {
			return of
		}
	}
	require.Fail(t, "no indicator "+code)
	return nil
}

func TestWork_TheSumOverPracticesIsJudgedAndThePCNsRowHeldAgainstIt(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.put(t, coursePCN, "HI-03", 199, 200)
		s.calculate(t)
		year := s.get(t, coursePCN).GetResult()
		require.Equal(t, due, year.GetDuePence())
		require.Len(t, year.GetDifferences(), 1)
		d := year.GetDifferences()[0]
		require.Equal(t, "HI-03 numerator 150 199", d.GetIndicatorCode()+" "+d.GetName()+" "+decimalOf(d.GetSummed())+" "+decimalOf(d.GetStated()))
	})
}

func TestWork_ThePCNsRowIsJudgedWhereNoPracticeHasAny(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) {
			pcns[0] = courseNetwork(coursePCN, courseBody, map[string]int64{"A00008": 50_000})
		})
		s.put(t, coursePCN, "HI-03", 150, 200)
		s.put(t, coursePCN, "CAN-04", 75, 100)
		s.calculate(t)
		year := s.get(t, coursePCN).GetResult()
		require.Equal(t, due, year.GetDuePence())
		require.Empty(t, year.GetIncompletePractices())
	})
}

func TestWork_OnePracticeWithoutCountsLeavesThePCNWithoutASum(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) {
			pcns[0].Practices = append(pcns[0].Practices, coursePractice("A00009", 0))
		})
		s.put(t, "A00009", "CAN-04", 0, 0)
		s.put(t, coursePCN, "HI-03", 150, 200) // covers others than the practices that have counts
		s.calculate(t)
		year := s.get(t, coursePCN).GetResult()
		require.Equal(t, []string{"HI-03"}, year.GetMissing())
		require.Equal(t, []string{"A00009"}, year.GetIncompletePractices())
		require.Equal(t, due-427_680, year.GetDuePence())
	})
}

func TestWork_TwoFeedsEachBringTheirHalf(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.figure(t, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_Indicator{Indicator: &iifv1.SchemeIndicator{
			VersionId: "IIF-2025-04", IndicatorCode: "BD-01", Name: "Residents", Area: "Test", Kind: iifv1.IndicatorKind_BEDS, Direction: iifv1.Direction_HIGHER,
			Status: iifv1.IndicatorStatus_ACTIVE, NumeratorFrom: iifv1.CountsFeed_EXTRACT, DenominatorFrom: iifv1.CountsFeed_TYPED,
		}}})
		for field, value := range map[iifv1.ValueField]string{
			iifv1.ValueField_POINTS: "5", iifv1.ValueField_PREVALENCE_ADJUSTED: "0",
		} {
			s.value(t, "", &iifv1.SchemeValue{VersionId: "IIF-2025-04", IndicatorCode: "BD-01", Field: field, Value: value})
		}
		s.value(t, "", &iifv1.SchemeValue{VersionId: "IIF-2025-04", IndicatorCode: "BD-01", Field: iifv1.ValueField_LOWER_THRESHOLD, Value: "30"})
		s.value(t, "", &iifv1.SchemeValue{VersionId: "IIF-2025-04", IndicatorCode: "BD-01", Field: iifv1.ValueField_UPPER_THRESHOLD, Value: "70"})
		residents := func(n int64) store.Cells { return store.Cells{{Measure: feed.Numerator, Cell: rules.Count(n)}} }
		s.putCells(t, "A00001", "BD-01", residents(30))
		s.putCells(t, "A00002", "BD-01", residents(20))
		s.calculate(t)
		none := s.indicatorOf(t, "BD-01")
		require.Equal(t, []string{"BEDS_NOT_ENTERED", "NO_PERCENTAGE"}, none.GetNotes())
		s.putCells(t, coursePCN, "BD-01", store.Cells{{Measure: feed.Denominator, Cell: rules.Count(100)}})
		s.count(t, "A00001", "HI-03", 71, 100) // works the year out again
		half := s.indicatorOf(t, "BD-01")
		require.Equal(t, "50", half.GetNumerator())
		require.Equal(t, "100", half.GetDenominator())
		require.Equal(t, "2.5", half.GetDue().GetPoints())
	})
}

func TestWork_CountsThatContradictEachOtherAreRefusedByNameAndStopNoOther(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.putCells(t, "A00001", "HI-03", store.Cells{
			{Measure: feed.Numerator, Cell: rules.Count(70)}, {Measure: feed.Denominator, Cell: rules.Count(100)}, {Measure: feed.Register, Cell: rules.Count(200)},
		})
		out := s.calculate(t)
		require.EqualValues(t, 2, out.GetOpened())
		require.Len(t, out.GetRefusals(), 1)
		require.Equal(t, "COUNTS_DISAGREE", out.GetRefusals()[0].GetReason())
		require.Equal(t, []string{coursePCN}, out.GetRefusals()[0].GetPcnCodes())
		require.Contains(t, out.GetRefusals()[0].GetRemedy(), "A00001")
		of := s.indicatorOf(t, "HI-03")
		require.Equal(t, "COUNTS_DISAGREE", of.GetDue().GetRefusal().GetReason())
		require.Equal(t, []string{"COUNTS_DISAGREE"}, of.GetTests()[1].GetReasons())
		require.Equal(t, []string{"HI-03"}, s.get(t, coursePCN).GetResult().GetMissing())
		require.Empty(t, s.get(t, courseOthers).GetResult().GetRefusals())
	})
}

func TestWork_TakesTheListOfThePCNWhereItsPracticesHaveNone(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) {
			for _, practice := range pcns[0].GetPractices() {
				practice.Populations = nil
			}
			pcns[0].Populations = []*registerv1.SnapshotPopulation{{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: "50000"}}
		})
		s.calculate(t)
		require.Equal(t, due, s.get(t, coursePCN).GetResult().GetDuePence())
	})
}

func TestWork_LeavesOutPCNsThatWereClosedOnTheDay(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Closed, pcns[1].Opened = "2026-03-30", "2026-04-01" })
		_, err := s.iif.CalculateYear(s.as(t, counter(courseBody)), &iifv1.CalculateYearRequest{
			RequestId: s.next(), CommissionerCode: courseBody, FinancialYear: courseYear,
		})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", courseReason(err))
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Closed, pcns[1].Opened = "2026-03-31", "2026-03-31" })
		require.EqualValues(t, 2, s.calculate(t).GetPcns())
	})
}

func TestRework_AYearWhoseVersionIsNoLongerKnownWaitsForIt(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, "manager@example.test")
		s.bring(t, financial)
		require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			version, err := store.Figure(t.Context(), tx, "IIF-2025-04")
			if err != nil {
				return err
			}
			version.ID, version.Confidence, version.Replaces = "IIF-2025-04-gone", working.Unknown, version.ID
			version.KnownAt, version.RecordedBy = sqldb.Micros(s.clock.Now()), author().Subject
			return store.InsertFigures(t.Context(), tx, []store.FigureRow{version})
		}))
		s.value(t, "", &iifv1.SchemeValue{
			Field: iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, Value: "50001", ListKind: iifv1.ListKind_REGISTERED, ListDate: "2025-01-01",
		}) // works the year out again
		year := s.get(t, coursePCN)
		require.Equal(t, provider, year.GetState())
		require.False(t, year.GetResult().GetWhole())
		require.Zero(t, year.GetResult().GetDuePence())
		require.Equal(t, "SCHEME_VERSION_UNKNOWN", year.GetResult().GetRefusals()[0].GetReason())
		require.NotEmpty(t, year.GetWaiting())
		out, err := s.iif.GetResult(s.as(t, testkit.Auditor("*")), &iifv1.GetResultRequest{ResultId: year.GetResult().GetResultId()})
		require.NoError(t, err)
		require.Equal(t, year.GetResult().String(), out.String())
	})
}

func decimalOf(n int64) string { return rules.Count(n).String() }
