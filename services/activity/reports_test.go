package activity_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func TestBuild_CountsByPCNAndAddsUpToTheCut(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		r := s.build(t, "2020-11")
		require.Equal(t, "activity-15N-2020-11-1", r.GetReportId())
		require.EqualValues(t, 500, r.GetTotals().GetAttendances())
		require.EqualValues(t, 500, r.GetCut().GetAttendances())
		require.Equal(t, "2020-01-01", r.GetListDate())
		got := make(map[string]int64)
		for _, p := range r.GetPcns() {
			got[p.GetPcnCode()] = p.GetTotals().GetAttendances()
			require.Nil(t, p.LastYear, "no report a year before")
			require.Equal(t, p.GetPcnCode() == "U10003", p.GetLedElsewhere())
		}
		require.Equal(t, map[string]int64{"U10001": 203, "U10002": 190, "U10003": 40, "NO_PCN": 35, "UNKNOWN": 32}, got)
		require.Equal(t, "10.15", r.GetPcns()[1].GetRatePer_1000(), "203 of 20,000")
		require.Nil(t, r.GetTotals().NotionalCostPence, "the tariff of 2020/21 is not known")
		require.EqualValues(t, 500, r.GetTotals().GetUncostedAttendances())
		require.Equal(t, "PRICE_UNKNOWN", r.GetMissing()[0].GetReason())
		require.Equal(t, "price of VB05Z in departments of type 01 by tariff-2020-21", r.GetMissing()[0].GetMissing())

		full, err := s.activity.GetReport(s.as(t, testkit.Auditor("15N")), &activityv1.GetReportRequest{
			ReportId: r.GetReportId(), IncludeRows: true, Level: activityv1.ReportLevel_PRACTICE_LEVEL, PageSize: 4,
		})
		require.NoError(t, err)
		require.Len(t, full.GetRows(), 4)
		var sum int64
		for token := ""; ; token = full.GetNextPageToken() {
			full, err = s.activity.GetReport(s.as(t, testkit.Auditor("15N")), &activityv1.GetReportRequest{
				ReportId: r.GetReportId(), IncludeRows: true, Level: activityv1.ReportLevel_PRACTICE_LEVEL, PageSize: 4, PageToken: token,
			})
			require.NoError(t, err)
			for _, row := range full.GetRows() {
				sum += row.GetTotals().GetAttendances()
			}
			if full.GetNextPageToken() == "" {
				break
			}
		}
		require.EqualValues(t, 500, sum)
	})
}

func TestBuild_CostsByAListThatStandsInAndByTheFile(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.set(t, "15N", "STAND_IN_LIST", "2020-21", "unit-cost-2024-25")
		content := fileHeader + ",cost_pence\nRH8,RH801,2020-11,03,first,L83001,VB01Z,2,\nRH8,RH801,2020-11,01,first,L83002,VB01Z,1,12345\nRH8,RH801,2020-11,01,first,L83002,UZ01Z,1,\n"
		s.load(t, "15N", content)
		r := s.build(t, "2020-11")
		require.EqualValues(t, 2*117998+12345, r.GetTotals().GetCostedPence())
		require.EqualValues(t, 1, r.GetTotals().GetUncostedAttendances())
		require.Equal(t, "unit-cost-2024-25", r.GetPriceList())
		require.Contains(t, r.GetNotes()[0], "never an amount owed")
		require.Contains(t, r.GetNotes()[1], "stands in for the tariff of 2020/21; no market forces factor")
		require.Len(t, r.GetSettingIds(), 1)
	})
}

func TestBuild_CostsByTariffAndFactorOnceBothAreKnown(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 3"))
		_, err := s.activity.ConfirmFigure(s.as(t, testkit.Approver("15N")), &activityv1.ConfirmFigureRequest{
			RequestId: s.next(), CommissionerCode: "15N", FigureId: "AE-TARIFF-2020-21-VB05Z", Value: "152.33", Source: "a test", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.NoError(t, err)
		r := s.build(t, "2020-11")
		require.Equal(t, "FACTOR_UNKNOWN", r.GetMissing()[0].GetReason())
		require.Equal(t, "market forces factor of RH8 in 2020/21", r.GetMissing()[0].GetMissing())
		add := &activityv1.AddFigureRequest{
			RequestId: s.next(), CommissionerCode: "15N", Source: "a test", Confidence: typev1.Confidence_CONFIDENCE_CANDIDATE,
			Body: &activityv1.AddFigureRequest_Factor{Factor: &activityv1.MarketForcesFactor{ProviderCode: "RH8", FinancialYear: "2020-21", Value: "1.05"}},
		}
		candidate, err := s.activity.AddFigure(s.as(t, testkit.Preparer("15N")), add)
		require.NoError(t, err)
		r = s.build(t, "2020-11")
		require.Equal(t, "FACTOR_NOT_CONFIRMED", r.GetMissing()[0].GetReason())
		_, err = s.activity.ConfirmFigure(s.as(t, testkit.Approver("15N")), &activityv1.ConfirmFigureRequest{
			RequestId: s.next(), CommissionerCode: "15N", FigureId: candidate.GetFigureId(), Source: "a test", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.NoError(t, err)
		r = s.build(t, "2020-11")
		require.EqualValues(t, 47984, r.GetTotals().GetNotionalCostPence(), "3 × £152.33 × 1.05 = £479.8395")
		require.Equal(t, []string{"market forces factor of RH8 in 2020/21: 1.05, which was missing"}, r.GetRestatement().GetCauses())
		require.EqualValues(t, 3, r.GetVersion())
		require.Len(t, r.GetFigureIds(), 2)
		require.NotEmpty(t, r.GetFactorVersion())
		quote, err := s.activity.QuoteCost(s.as(t, testkit.Preparer("15N")), &activityv1.QuoteCostRequest{
			CommissionerCode: "15N", Month: "2020-11", ProviderCode: "RH8", DepartmentType: activityv1.DepartmentType_EMERGENCY_DEPARTMENT, HrgCode: "VB05Z", Attendances: 3,
		})
		require.NoError(t, err)
		require.EqualValues(t, 47984, quote.GetNotionalCostPence())
		require.Equal(t, activityv1.CostBasis_TARIFF, quote.GetBasis())
		require.NotEmpty(t, quote.GetSentences())
	})
}

func TestBuild_RestatesForAPriceOnlyWhereBothNeededIt(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.set(t, "15N", "STAND_IN_LIST", "2020-21", "unit-cost-2024-25")
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 9", "L83001 VB09Z 9"))
		s.build(t, "2020-11")
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 9"), final)
		r := s.build(t, "2020-11")
		require.Equal(t, []string{"cut: activity-15N-2020-11-cut-2 after activity-15N-2020-11-cut-1"}, r.GetRestatement().GetCauses(), "no price changed")
		_, err := s.activity.AddFigure(s.as(t, testkit.Approver("15N")), &activityv1.AddFigureRequest{
			RequestId: s.next(), CommissionerCode: "15N", Source: "a test", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
			Body: &activityv1.AddFigureRequest_Price{Price: &activityv1.Price{List: "unit-cost-2024-25", HrgCode: "VB05Z", Gbp: "100"}},
		})
		require.NoError(t, err)
		r = s.build(t, "2020-11")
		require.Len(t, r.GetRestatement().GetCauses(), 1)
		require.Contains(t, r.GetRestatement().GetCauses()[0], "price of VB05Z by unit-cost-2024-25: £100 after £")
		s.set(t, "15N", "STAND_IN_LIST", "2020-21", "NONE")
		r = s.build(t, "2020-11")
		require.Equal(t, []string{"list of prices: tariff-2020-21 after unit-cost-2024-25"}, r.GetRestatement().GetCauses())
	})
}

func TestBuild_TheSameIsTheSameVersionAndOtherwiseTheNext(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		first := s.load(t, "15N", november())
		require.Equal(t, "activity-15N-2020-11-cut-1", first.GetCuts()[0].GetCutId())
		r1 := s.build(t, "2020-11")
		again := s.build(t, "2020-11")
		require.True(t, again.GetUnchanged())
		require.Equal(t, r1.GetReportId(), again.GetReportId())
		preview, err := s.activity.PreviewReport(s.as(t, testkit.Preparer("15N")), &activityv1.PreviewReportRequest{CommissionerCode: "15N", Month: "2020-11", IncludeRows: true})
		require.NoError(t, err)
		require.True(t, preview.GetUnchanged())
		require.Len(t, preview.GetRows(), 9)

		s.load(t, "15N", strings.Replace(november(), "L83003,VB05Z,100", "L83003,VB05Z,130", 1), final)
		s.register.move("L83004", "U10001")
		preview, err = s.activity.PreviewReport(s.as(t, testkit.Preparer("15N")), &activityv1.PreviewReportRequest{CommissionerCode: "15N", Month: "2020-11"})
		require.NoError(t, err)
		require.False(t, preview.GetUnchanged())
		require.Equal(t, 1, s.count(t, "reports"), "a preview keeps nothing")
		r2 := s.build(t, "2020-11")
		require.EqualValues(t, 2, r2.GetVersion())
		require.True(t, proto.Equal(preview.GetTotals(), r2.GetTotals()))
		require.Equal(t, activityv1.CutKind_FINAL_CUT, r2.GetCut().GetKind())
		differences := make(map[string][2]int64)
		for _, d := range r2.GetRestatement().GetDifferences() {
			differences[d.GetPcnCode()] = [2]int64{d.GetBefore().GetAttendances(), d.GetAfter().GetAttendances()}
		}
		require.Equal(t, map[string][2]int64{"U10001": {203, 293}, "U10002": {190, 130}}, differences)
		require.Contains(t, strings.Join(r2.GetRestatement().GetCauses(), "; "), "cut: activity-15N-2020-11-cut-2 after activity-15N-2020-11-cut-1")

		old, err := s.activity.GetReport(s.as(t, testkit.Preparer("15N")), &activityv1.GetReportRequest{ReportId: r1.GetReportId()})
		require.NoError(t, err)
		require.EqualValues(t, 500, old.GetTotals().GetAttendances(), "the version before stays")
		compared, err := s.activity.CompareReports(s.as(t, testkit.Preparer("15N")), &activityv1.CompareReportsRequest{ReportId: r2.GetReportId()})
		require.NoError(t, err)
		require.True(t, proto.Equal(r2.GetRestatement(), compared))
		_, err = s.activity.CompareReports(s.as(t, testkit.Preparer("15N")), &activityv1.CompareReportsRequest{ReportId: r1.GetReportId()})
		require.Equal(t, "REPORTS_NOT_COMPARABLE", refused(t, err).Reason)
	})
}

func TestBuild_ComparesWithTheSameMonthOfTheLastYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", strings.ReplaceAll(november(), "2020-11", "2019-11"))
		before := s.build(t, "2019-11")
		s.load(t, "15N", strings.Replace(november(), "L83001,VB05Z,120", "L83001,VB05Z,150", 1))
		r := s.build(t, "2020-11")
		require.Equal(t, []string{before.GetReportId()}, r.GetLastYearReportIds())
		require.Equal(t, "U10001", r.GetPcns()[1].GetPcnCode())
		require.EqualValues(t, 203, r.GetPcns()[1].GetLastYear())
		require.EqualValues(t, 30, r.GetPcns()[1].GetChange())
		require.Contains(t, strings.Join(r.GetNotes(), " "), "Records of 2019/20 are of two types")
	})
}

func TestImport_RefusesWhatIsWrongWhole(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for want, content := range map[string]string{
			"FILE_HAS_BAD_ROWS":    rows("2020-11", "L83001 VB05Z 1", "L83001 VB05Z 2"),
			"PATIENT_LEVEL_COLUMN": strings.Replace(november(), "provider_code", "nhs_number,provider_code", 1),
			"FILE_MALFORMED":       fileHeader + "\n",
		} {
			_, err := s.try(t, "15N", content)
			require.Equal(t, want, refused(t, err).Reason)
		}
		_, err := s.try(t, "15N", rows("2020-11", "L83001 VB05Z 1", "L83001 VB09Z x", "L83001 VB10Z y"))
		f := refused(t, err)
		require.Equal(t, "FILE_HAS_BAD_ROWS", f.Reason)
		require.Equal(t, "line 3, column attendances", f.Violations[0].Field)
		require.Equal(t, "COUNT_MALFORMED", f.Violations[0].Reason)
		_, err = s.try(t, "15N", november(), func(h *activityv1.AttendancesHeader) { h.ExtractDate = "2090-01-01" })
		require.Equal(t, "EXTRACT_IN_FUTURE", refused(t, err).Reason)
		_, err = s.try(t, "15N", november(), func(h *activityv1.AttendancesHeader) { h.ExtractDate = "2020-10-31" })
		require.Equal(t, "MONTH_NOT_BEGUN", refused(t, err).Violations[0].Reason, "nobody arrives after the day of the extract")
		require.Zero(t, s.count(t, "imports"))
		require.Zero(t, s.count(t, "attendances"))
		_, err = s.activity.BuildReport(s.as(t, testkit.Preparer("15N")), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11"})
		require.Equal(t, "CUT_NOT_FOUND", refused(t, err).Reason)
	})
}

func TestImport_NumbersCutsAndKeepsThem(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		header := fileHeader + ",commissioner_code\n"
		england := header + "RH8,RH801,2020-11,01,first,L83001,VB05Z,9,15N\nRH8,RH801,2020-12,01,first,L83001,VB05Z,8,15N\nRH8,RH801,2020-11,01,first,L85002,VB05Z,7,11X\n"
		in := s.load(t, "", england)
		require.Len(t, in.GetCuts(), 3)
		again, err := s.try(t, "", england)
		require.NoError(t, err)
		require.True(t, again.GetAlreadyImported())
		require.Len(t, again.GetAttendancesImport().GetCuts(), 3)
		s.load(t, "15N", november(), final)
		cuts, err := s.activity.ListCuts(s.as(t, testkit.Preparer("15N")), &activityv1.ListCutsRequest{Month: "2020-11"})
		require.NoError(t, err)
		require.Len(t, cuts.GetCuts(), 2)
		require.EqualValues(t, 2, cuts.GetCuts()[0].GetNumber())
		require.True(t, cuts.GetCuts()[0].GetNewest())
		require.False(t, cuts.GetCuts()[1].GetNewest())
		_, err = s.try(t, "", england)
		f := refused(t, err)
		require.Equal(t, "FINAL_CUT_STANDS", f.Reason)
		require.Contains(t, f.Violations[0].Description, "activity-15N-2020-11-cut-2")
		_, err = s.try(t, "", england, func(h *activityv1.AttendancesHeader) { h.SupersedeFinal = true })
		require.Equal(t, "REASON_REQUIRED", refused(t, err).Reason)
		s.load(t, "", england, func(h *activityv1.AttendancesHeader) {
			h.SupersedeFinal, h.Reason = true, "the final cut was of another month"
		})

		seen, err := s.activity.GetImport(s.as(t, testkit.Preparer("11X")), &activityv1.GetImportRequest{ImportId: in.GetImportId()})
		require.NoError(t, err)
		require.Len(t, seen.GetCuts(), 1)
		require.EqualValues(t, 7, seen.GetAttendances(), "of its own cut alone")
		_, err = s.activity.GetImport(s.as(t, testkit.Preparer("99Z")), &activityv1.GetImportRequest{ImportId: in.GetImportId()})
		require.Equal(t, "IMPORT_NOT_FOUND", refused(t, err).Reason)
		list, err := s.activity.ListImports(s.as(t, testkit.Preparer("11X")), &activityv1.ListImportsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetImports(), 2)
		_, err = s.try(t, "15N", november(), func(h *activityv1.AttendancesHeader) { h.CommissionerCode = "11X" })
		require.Equal(t, "RESOURCE_NOT_FOUND", refused(t, err).Reason)
	})
}

// extracted says on which day a file was extracted.
func extracted(day string) func(*activityv1.AttendancesHeader) {
	return func(h *activityv1.AttendancesHeader) { h.ExtractDate = day }
}

func TestImport_AnOlderExtractFollowsOnlyForAReason(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november(), final, extracted("2022-03-01"))
		older := strings.Replace(november(), "L83001,VB05Z,120", "L83001,VB05Z,110", 1)
		_, err := s.try(t, "15N", older, final, extracted("2022-01-15"))
		f := refused(t, err)
		require.Equal(t, "EXTRACT_OLDER", f.Reason)
		require.Contains(t, f.Violations[0].Description, "activity-15N-2020-11-cut-1, extracted on 2022-03-01; this file was on 2022-01-15")
		require.Equal(t, 1, s.count(t, "cuts"))
		in := s.load(t, "15N", older, final, extracted("2022-01-15"), func(h *activityv1.AttendancesHeader) {
			h.SupersedeFinal, h.Reason = true, "the later extract was of another trust"
		})
		require.Equal(t, "the later extract was of another trust", in.GetCuts()[0].GetReason())

		// The same day again is taken, and named.
		again, err := s.try(t, "15N", november(), final, extracted("2022-01-15"))
		require.NoError(t, err)
		require.Len(t, again.GetNotes(), 1)
		require.Contains(t, again.GetNotes()[0], "activity-15N-2020-11-cut-3 takes the place of activity-15N-2020-11-cut-2")
		require.Contains(t, again.GetNotes()[0], "extracted on the same day, 2022-01-15")
		later, err := s.try(t, "15N", older, final, extracted("2022-01-16"))
		require.NoError(t, err)
		require.Empty(t, later.GetNotes())
	})
}

func TestImport_RefusesMonthsThatNobodyCanReport(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.ended = map[string]string{"16C": "2022-06-30"}
		_, err := s.try(t, "16C", rows("2022-08", "L83001 VB05Z 1", "L83002 VB05Z 2"))
		f := refused(t, err)
		require.Equal(t, "MONTH_NOT_REPORTABLE", f.Reason)
		require.Equal(t, "line 2, column arrival_month", f.Violations[0].Field)
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", f.Violations[0].Reason)
		require.Equal(t, "16C in 2022-08 (rows: 2): 16C owed nothing on 2022-08-01", f.Violations[0].Description)
		_, err = s.try(t, "15N", rows("1990-12", "L83001 VB05Z 1"))
		require.Equal(t, "MONTH_NOT_REPORTABLE", refused(t, err).Reason)

		header := fileHeader + ",commissioner_code\n"
		_, err = s.try(t, "", header+"RH8,RH801,2022-08,01,first,L83001,VB05Z,9,15N\nRH8,RH801,2022-08,01,first,L83001,VB05Z,8,16C\n")
		f = refused(t, err)
		require.Len(t, f.Violations, 1, "of all England too, and only those months")
		require.Equal(t, "line 3, column arrival_month", f.Violations[0].Field)
		require.Zero(t, s.count(t, "imports"))
		s.load(t, "16C", rows("2022-06", "L83001 VB05Z 1"))
		// Who leads no PCN may pay for practices in none.
		s.load(t, "99Z", rows("2022-08", "L89999 VB05Z 1"))
	})
}

func TestImport_ReadsCodesByWhatPeopleEntered(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		content := strings.ReplaceAll(rows("2020-11", "L83001 VB05Z 3", "L83002 VB05Z 4"), ",first,", ",02,")
		_, err := s.try(t, "15N", content)
		require.Equal(t, "CATEGORY_UNMAPPED", refused(t, err).Violations[0].Reason)
		s.set(t, "", "CATEGORY", "02", "FOLLOW_UP_PLANNED")
		s.load(t, "15N", content)
		r := s.build(t, "2020-11")
		full, err := s.activity.GetReport(s.as(t, testkit.Auditor("15N")), &activityv1.GetReportRequest{ReportId: r.GetReportId(), IncludeRows: true})
		require.NoError(t, err)
		require.Equal(t, activityv1.AttendanceCategory_FOLLOW_UP_PLANNED, full.GetRows()[0].GetCategory())
		s.set(t, "15N", "CATEGORY", "02", "FOLLOW_UP_UNPLANNED")
		r = s.build(t, "2020-11")
		require.EqualValues(t, 2, r.GetVersion())
	})
}

func TestPublish_GivesEachPCNItsOwnAndKeepsProof(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		r := s.build(t, "2020-11")
		get := &activityv1.GetPcnReportRequest{PcnCode: "U10001", Month: "2020-11"}
		_, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10001")), get)
		require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason)
		require.Equal(t, []string{"U10001", "U10002", "U10003"}, s.publish(t, r).GetPcnCodes())
		require.True(t, s.publish(t, r).GetAlreadyPublished())

		own, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10001")), get)
		require.NoError(t, err)
		require.EqualValues(t, 203, own.GetTotals().GetTotals().GetAttendances())
		require.Len(t, own.GetRows(), 3)
		require.EqualValues(t, 3, own.GetRows()[1].GetTotals().GetAttendances(), "its own small numbers in full")
		require.Empty(t, own.GetReport().GetPcns())
		require.Nil(t, own.GetReport().GetTotals())
		require.Nil(t, own.GetReport().GetCut().Rows, "what is of others too is absent, not nothing")
		require.Nil(t, own.GetReport().GetCut().Attendances)
		require.Nil(t, own.GetReport().GetCut().Newest, "a report does not tell what came after it")
		for range 2 {
			body, err := s.activity.DownloadPcnReport(s.as(t, testkit.PCNManager("U10001")), &activityv1.DownloadPcnReportRequest{PcnCode: "U10001", Month: "2020-11"})
			require.NoError(t, err)
			require.Equal(t, 4, strings.Count(string(body.GetData()), "\r\n"))
		}
		require.Equal(t, 1, s.count(t, "receipts"))
		_, err = s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10002")), get)
		require.Equal(t, "RESOURCE_NOT_FOUND", refused(t, err).Reason, "another's")
		_, err = s.activity.GetPcnReport(s.as(t, testkit.Auditor("11X")), get)
		require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason, "another commissioner's")
		_, err = s.activity.GetPcnReport(s.as(t, testkit.Auditor("15N")), get)
		require.NoError(t, err)
		require.Equal(t, 1, s.count(t, "receipts"), "an auditor's reading proves nothing")

		deliveries := func() map[string]*activityv1.Delivery {
			out, err := s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), &activityv1.ListDeliveriesRequest{CommissionerCode: "15N", Month: "2020-11"})
			require.NoError(t, err)
			by := make(map[string]*activityv1.Delivery)
			for _, d := range out.GetDeliveries() {
				by[d.GetPcnCode()] = d
			}
			return by
		}
		d := deliveries()
		require.Equal(t, activityv1.PublicationState_DELIVERED, d["U10001"].GetState())
		require.Equal(t, own.GetSha256(), d["U10001"].GetReceipts()[0].GetSha256())
		require.Equal(t, testkit.PCNManager("U10001").Subject, d["U10001"].GetReceipts()[0].GetPerson())
		require.Equal(t, activityv1.PublicationState_PUBLISHED, d["U10002"].GetState())
		require.Equal(t, "DUE_DAY_NOT_SET", d["U10002"].GetDueUnknown().GetReason())
		s.set(t, "15N", "DUE_DAY", "", "DAY 20")
		require.Equal(t, activityv1.PublicationState_LATE, deliveries()["U10002"].GetState())
		require.Equal(t, "2020-12-20", deliveries()["U10002"].GetDueOn())
		require.True(t, deliveries()["U10001"].GetLate())

		_, err = s.activity.AcknowledgeReport(s.as(t, testkit.PCNManager("U10002")), &activityv1.AcknowledgeReportRequest{
			RequestId: s.next(), PcnCode: "U10002", Month: "2020-11", ReportId: r.GetReportId(), Sha256: own.GetSha256(),
		})
		require.Equal(t, "HASH_DIFFERS", refused(t, err).Reason)
		require.NotContains(t, refused(t, err).Error()+fmt.Sprint(refused(t, err)), d["U10002"].GetSha256(), "nobody is handed what they are to prove")
		ack, err := s.activity.AcknowledgeReport(s.as(t, testkit.PCNManager("U10002")), &activityv1.AcknowledgeReportRequest{
			RequestId: s.next(), PcnCode: "U10002", Month: "2020-11", ReportId: r.GetReportId(), Sha256: d["U10002"].GetSha256(),
		})
		require.NoError(t, err)
		require.Equal(t, activityv1.PublicationState_DELIVERED, ack.GetState())

		// A recut restates, and what was delivered is of the version before.
		s.load(t, "15N", strings.Replace(november(), "L83001,VB05Z,120", "L83001,VB05Z,121", 1), final)
		_, err = s.activity.PublishReport(s.as(t, testkit.Approver("15N")), &activityv1.PublishReportRequest{
			RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11", ReportId: r.GetReportId(),
		})
		require.Equal(t, "REPORT_OUTDATED", refused(t, err).Reason)
		r2 := s.build(t, "2020-11")
		_, err = s.activity.PublishReport(s.as(t, testkit.Approver("15N")), &activityv1.PublishReportRequest{
			RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11", ReportId: r.GetReportId(),
		})
		require.Equal(t, "REPORT_REPLACED", refused(t, err).Reason)
		s.publish(t, r2)
		require.Equal(t, activityv1.PublicationState_LATE, deliveries()["U10001"].GetState())
		own, err = s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10001")), get)
		require.NoError(t, err)
		require.EqualValues(t, 203, own.GetRestatement().GetBefore().GetAttendances())
		require.EqualValues(t, 204, own.GetRestatement().GetAfter().GetAttendances())
		differences := own.GetReport().GetRestatement().GetDifferences()
		require.Len(t, differences, 1, "its own")
		require.Equal(t, "U10001", differences[0].GetPcnCode())
		require.EqualValues(t, 203, differences[0].GetBefore().GetAttendances())
		require.EqualValues(t, 204, differences[0].GetAfter().GetAttendances())
		require.Len(t, deliveries()["U10001"].GetReceipts(), 2)

		var events []string
		for _, e := range s.published(t) {
			events = append(events, string(e.event.ProtoReflect().Descriptor().Name())+" "+e.aggregate)
			require.True(t, strings.HasSuffix(e.subject, ".15N"), e.subject)
		}
		require.Contains(t, events, "ReportDelivered report/15N/2020-11/U10001")
		require.Contains(t, events, "ReportPublished report/15N/2020-11/U10002")
		require.Contains(t, events, "ReportBuilt report/15N/2020-11")
	})
}

func TestDeliveries_TellWhatIsMissingBeforeThereIsAReport(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.clock.Set(time.Date(2026, time.April, 8, 9, 0, 0, 0, time.UTC))
		ask := &activityv1.ListDeliveriesRequest{CommissionerCode: "15N", Month: "2026-03"}
		out, err := s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), ask)
		require.NoError(t, err)
		require.Equal(t, map[string]int32{"DUE": 2}, out.GetStates())
		s.set(t, "15N", "DUE_DAY", "", "WORKING_DAY 4")
		out, err = s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), ask)
		require.NoError(t, err)
		require.Equal(t, "2026-04-08", out.GetDeliveries()[0].GetDueOn(), "1, 2, 7 and 8 April are working days, the register says")
		require.Equal(t, activityv1.PublicationState_DUE, out.GetDeliveries()[0].GetState())
		s.clock.Set(time.Date(2026, time.April, 9, 9, 0, 0, 0, time.UTC))
		ask.State = activityv1.PublicationState_MISSING
		out, err = s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), ask)
		require.NoError(t, err)
		require.Len(t, out.GetDeliveries(), 2)
		require.True(t, out.GetDeliveries()[0].GetMissing())
	})
}

func TestDeliveries_WorkingDaysRestOnTheRegister(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		list := func(month string) (*activityv1.ListDeliveriesResponse, error) {
			return s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), &activityv1.ListDeliveriesRequest{CommissionerCode: "15N", Month: month})
		}
		s.set(t, "", "DUE_DAY", "", "WORKING_DAY 4")
		s.clock.Set(time.Date(2027, time.February, 1, 9, 0, 0, 0, time.UTC))
		out, err := list("2026-12")
		require.NoError(t, err)
		require.Empty(t, out.GetDeliveries()[0].GetDueOn())
		require.Equal(t, "BANK_HOLIDAYS_UNKNOWN", out.GetDeliveries()[0].GetDueUnknown().GetReason())
		require.Equal(t, "bank holidays of England in 2027", out.GetDeliveries()[0].GetDueUnknown().GetMissing())
		require.Equal(t, map[string]int32{"DUE": 2}, out.GetStates(), "nothing is late by a day that is not known")
		s.register.away.Store(true)
		_, err = list("2026-12")
		require.Equal(t, codes.Unavailable, status.Code(err), "a register that is away does not make a day unknown")
		s.set(t, "15N", "DUE_DAY", "", "DAY 20")
		out, err = list("2026-12")
		require.NoError(t, err, "a day of the month needs no register")
		require.Equal(t, "2027-01-20", out.GetDeliveries()[0].GetDueOn())
	})
}

func TestAcknowledge_TheSameAgainIsTheStoredAnswer(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.clock.Set(time.Date(2026, time.April, 9, 9, 0, 0, 0, time.UTC))
		s.load(t, "15N", rows("2026-03", "L83001 VB05Z 120"), func(h *activityv1.AttendancesHeader) { h.ExtractDate = "2026-04-07" })
		s.set(t, "15N", "DUE_DAY", "", "WORKING_DAY 4")
		r := s.build(t, "2026-03")
		s.publish(t, r)
		manager := testkit.PCNManager("U10001")
		own, err := s.activity.GetPcnReport(s.as(t, manager), &activityv1.GetPcnReportRequest{PcnCode: "U10001", Month: "2026-03"})
		require.NoError(t, err)
		req := &activityv1.AcknowledgeReportRequest{RequestId: s.next(), PcnCode: "U10001", Month: "2026-03", ReportId: r.GetReportId(), Sha256: own.GetSha256()}
		first, err := s.activity.AcknowledgeReport(s.as(t, manager), req)
		require.NoError(t, err)
		require.Equal(t, "2026-04-08", first.GetDueOn())
		require.True(t, first.GetLate())
		s.register.away.Store(true)
		again, err := s.activity.AcknowledgeReport(s.as(t, manager), req)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again))
	})
}

func TestShared_HidesSmallNumbersFromOthers(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 120", "L83001 VB09Z 3", "L83001 VB08Z 30", "L83003 VB05Z 100", "L83005 VB09Z 5", "- VB05Z 60"))
		r := s.build(t, "2020-11")
		_, err := s.activity.GetReport(s.as(t, regional("15N")), &activityv1.GetReportRequest{ReportId: r.GetReportId()})
		require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason, "not published")
		s.publish(t, r)
		ask := &activityv1.GetReportRequest{ReportId: r.GetReportId(), IncludeRows: true, Level: activityv1.ReportLevel_PRACTICE_LEVEL}
		seen, err := s.activity.GetReport(s.as(t, regional("15N")), ask)
		require.NoError(t, err)
		require.Equal(t, activityv1.ReportView_SHARED_VIEW, seen.GetView())
		require.Equal(t, activityv1.ReportLevel_PCN_LEVEL, seen.GetLevel())
		shown := make(map[string]int64)
		for _, row := range seen.GetRows() {
			require.Empty(t, row.GetPracticeCode())
			if row.GetHidden() {
				require.Nil(t, row.GetTotals().Attendances)
				require.Empty(t, row.GetRatePer_1000())
				continue
			}
			shown[row.GetPcnCode()+" "+row.GetHrgCode()] = row.GetTotals().GetAttendances()
		}
		require.Equal(t, map[string]int64{"U10001 VB05Z": 120, "U10002 VB05Z": 100}, shown, "3 and with it 30; 5 and with it the 60 whose practice is not known")
		pcns := make(map[string]bool)
		for _, p := range seen.GetPcns() {
			pcns[p.GetPcnCode()] = p.GetHidden()
		}
		require.Equal(t, map[string]bool{"U10001": false, "U10002": false, "U10003": true, "UNKNOWN": true}, pcns)
		require.EqualValues(t, 7, seen.GetPolicy().GetHiddenUpTo())
		require.Contains(t, seen.GetPolicy().GetWords(), "recommended")
		full, err := s.activity.GetReport(s.as(t, testkit.Auditor("15N")), ask)
		require.NoError(t, err)
		require.Equal(t, activityv1.ReportView_FULL_VIEW, full.GetView())
		passed, err := s.activity.DownloadReport(s.as(t, testkit.Preparer("15N")), &activityv1.DownloadReportRequest{ReportId: r.GetReportId(), Shared: true})
		require.NoError(t, err)
		theirs, err := s.activity.DownloadReport(s.as(t, testkit.Integration("15N")), &activityv1.DownloadReportRequest{ReportId: r.GetReportId()})
		require.NoError(t, err)
		require.Equal(t, string(passed.GetData()), string(theirs.GetData()))
		list, err := s.activity.ListReports(s.as(t, testkit.Integration("15N")), &activityv1.ListReportsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetReports(), 1)
		require.Nil(t, list.GetReports()[0].GetTotals())

		for _, e := range s.published(t) {
			if p, ok := e.event.(*activityv1.ReportPublished); ok && p.GetPcnCode() == "U10003" {
				require.True(t, p.GetTotals().GetHidden())
				require.Nil(t, p.GetTotals().GetTotals().Attendances)
			}
		}
		// U10003 knows its own 5, and must not learn from the sum what the others are.
		compared, err := s.activity.GetComparison(s.as(t, testkit.PCNManager("U10003")), &activityv1.GetComparisonRequest{CommissionerCode: "15N", Month: "2020-11"})
		require.NoError(t, err)
		for _, p := range compared.GetPcns() {
			require.False(t, p.GetHidden(), "all others are large")
		}
		_, err = s.activity.GetComparison(s.as(t, testkit.PCNManager("U10009")), &activityv1.GetComparisonRequest{CommissionerCode: "15N", Month: "2020-11"})
		require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason)
		s.set(t, "15N", "SMALL_NUMBER_LIMIT", "", "0")
		seen, err = s.activity.GetReport(s.as(t, regional("15N")), ask)
		require.NoError(t, err)
		for _, row := range seen.GetRows() {
			require.False(t, row.GetHidden())
		}
	})
}

func TestTables_AreAppendOnly(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		r := s.build(t, "2020-11")
		s.publish(t, r)
		s.set(t, "15N", "DUE_DAY", "", "DAY 20")
		_, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10001")), &activityv1.GetPcnReportRequest{PcnCode: "U10001", Month: "2020-11"})
		require.NoError(t, err)
		owner := testkit.Owner(t, s.db)
		for _, table := range []string{"figures", "settings", "imports", "cuts", "attendances", "reports", "report_rows", "publications", "receipts"} {
			require.Positive(t, s.count(t, table), table)
			_, err := owner.Exec(t.Context(), "DELETE FROM "+table)
			require.ErrorContains(t, err, "append-only", table)
		}
	})
}

func TestReemit_PublishesTheEventsAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		r := s.build(t, "2020-11")
		s.publish(t, r)
		out, err := s.activity.ReemitReport(s.as(t, testkit.Operator()), &activityv1.ReemitReportRequest{RequestId: s.next(), ReportId: r.GetReportId()})
		require.NoError(t, err)
		require.Len(t, out.GetEventIds(), 4)
		log, err := s.activity.ListAuditEntries(s.as(t, testkit.Auditor("15N")), &activityv1.ListAuditEntriesRequest{CommissionerCode: "15N"})
		require.NoError(t, err)
		require.Len(t, log.GetEntries(), 4, "import, build, publication and this")
	})
}

// TestBuild_ComparesWithThoseItFollowed has an ICB that took over 15N and 11X, one PCN of which had attendances with both.
func TestBuild_ComparesWithThoseItFollowed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "", "commissioner_code,"+fileHeader+"\n"+
			"15N,RH8,,2021-11,01,first,L83005,VB05Z,40\n11X,RH8,,2021-11,01,first,L85001,VB05Z,50\n11X,RH8,,2021-11,01,first,L83005,VB05Z,2\n15N,RH8,,2021-11,01,first,L83001,VB05Z,60\n")
		for _, code := range []string{"15N", "11X"} {
			_, err := s.activity.BuildReport(s.as(t, testkit.Preparer(code)), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: code, Month: "2021-11"})
			require.NoError(t, err)
		}
		s.register.heirs = map[string]string{"15N": "QJK", "11X": "QJK"}
		for i := range s.register.practices {
			s.register.practices[i].commissioner = "QJK"
		}
		for pcn := range s.register.leads {
			s.register.leads[pcn] = "QJK"
		}
		s.load(t, "QJK", rows("2022-11", "L83005 VB05Z 30", "L85001 VB05Z 70"))
		r, err := s.activity.BuildReport(s.as(t, testkit.Preparer("QJK")), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: "QJK", Month: "2022-11"})
		require.NoError(t, err)
		require.Equal(t, []string{"activity-11X-2021-11-1", "activity-15N-2021-11-1"}, r.GetLastYearReportIds())
		got := make(map[string]int64)
		for _, p := range r.GetPcns() {
			got[p.GetPcnCode()] = p.GetLastYear()
		}
		require.Equal(t, map[string]int64{"U10001": 60, "U10002": 0, "U10003": 92, "U10004": 0}, got)
		seen, err := s.activity.GetReport(s.as(t, testkit.Auditor("QJK")), &activityv1.GetReportRequest{ReportId: r.GetReportId(), IncludeRows: true, Level: activityv1.ReportLevel_PRACTICE_LEVEL})
		require.NoError(t, err)
		require.EqualValues(t, 42, seen.GetRows()[0].GetLastYear(), "40 with one and 2 with the other")
	})
}
