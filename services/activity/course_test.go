package activity_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// TestCourse_NothingThatWasBuiltOrPublishedChanges goes through files, members, settings, builds and publications in any order, and holds
// after each step every version against what it was when it was built, and against its cut.
func TestCourse_NothingThatWasBuiltOrPublishedChanges(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := rand.New(rand.NewPCG(1, 2))
		practices := []string{"L83001", "L83002", "L83003", "L83004", "L83005", "L83009", "L89999", "-"}
		hrgs := []string{"VB05Z", "VB09Z", "VB11Z"}
		type kept struct {
			report *activityv1.Report
			csv    string
		}
		versions := make(map[string]kept)
		own := make(map[string]string) // what a PCN got, by its hash
		see := func(id string) kept {
			report, err := s.activity.GetReport(s.as(t, testkit.Auditor("15N")), &activityv1.GetReportRequest{ReportId: id, IncludeRows: true, Level: activityv1.ReportLevel_PRACTICE_LEVEL, PageSize: 10_000})
			require.NoError(t, err)
			body, err := s.activity.DownloadReport(s.as(t, testkit.Auditor("15N")), &activityv1.DownloadReportRequest{ReportId: id})
			require.NoError(t, err)
			return kept{report, string(body.GetData())}
		}
		newest := ""
		for range 30 {
			switch r.IntN(5) {
			case 0, 1:
				var of []string
				for _, practice := range practices {
					for _, hrg := range hrgs {
						if r.IntN(3) > 0 {
							of = append(of, fmt.Sprintf("%s %s %d", practice, hrg, r.IntN(30)))
						}
					}
				}
				of = append(of, "L83001 VB08Z 9")
				r.Shuffle(len(of), func(i, j int) { of[i], of[j] = of[j], of[i] })
				_, err := s.try(t, "15N", rows("2020-11", of...), final)
				require.NoError(t, err)
			case 2:
				s.register.move(practices[r.IntN(5)], fmt.Sprintf("U1000%d", 1+r.IntN(4)))
			case 3:
				s.set(t, "15N", "STAND_IN_LIST", "2020-21", []string{"NONE", "unit-cost-2024-25"}[r.IntN(2)])
			default:
				if newest != "" {
					if _, err := s.activity.PublishReport(s.as(t, testkit.Approver("15N")), &activityv1.PublishReportRequest{
						RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11", ReportId: newest,
					}); err != nil {
						require.Equal(t, "REPORT_OUTDATED", refused(t, err).Reason)
					}
				}
			}
			report, err := s.activity.BuildReport(s.as(t, testkit.Preparer("15N")), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11"})
			if err != nil {
				require.Equal(t, "CUT_NOT_FOUND", refused(t, err).Reason)
				continue
			}
			newest = report.GetReportId()
			if _, known := versions[newest]; !known {
				require.False(t, report.GetUnchanged())
				versions[newest] = see(newest)
			}
			for id, was := range versions {
				is := see(id)
				require.True(t, proto.Equal(was.report, is.report), id)
				require.Equal(t, was.csv, is.csv)
				var sum int64
				for _, row := range is.report.GetRows() {
					sum += row.GetTotals().GetAttendances()
				}
				require.Equal(t, is.report.GetCut().GetAttendances(), sum, "rows add up to the cut")
			}
			if got, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10001")), &activityv1.GetPcnReportRequest{PcnCode: "U10001", Month: "2020-11"}); err == nil {
				text := got.GetReport().GetReportId()
				require.True(t, own[got.GetSha256()] == "" || own[got.GetSha256()] == text)
				own[got.GetSha256()] = text
			}
		}
		require.Greater(t, len(versions), 5)
		require.Greater(t, len(own), 1)
	})
}

func TestBuild_AtTheSameTimeMakesOneVersion(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		ctx := s.as(t, testkit.Preparer("15N"))
		var wait sync.WaitGroup
		ids := make([]string, 6)
		for i := range ids {
			wait.Go(func() {
				out, err := s.activity.BuildReport(ctx, &activityv1.BuildReportRequest{RequestId: fmt.Sprint("same", i), CommissionerCode: "15N", Month: "2020-11"})
				if err == nil {
					ids[i] = out.GetReportId()
				}
			})
		}
		wait.Wait()
		for _, id := range ids {
			require.Equal(t, "activity-15N-2020-11-1", id)
		}
		require.Equal(t, 1, s.count(t, "reports"))
	})
}

func TestFetch_AtTheSameTimeIsNotedOnceForEachPerson(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		s.publish(t, s.build(t, "2020-11"))
		var wait sync.WaitGroup
		for i := range 12 {
			by := auth.Principal{Subject: fmt.Sprint("director ", i%3), Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: []string{"U10001"}}
			ctx := s.as(t, by)
			wait.Go(func() {
				_, err := s.activity.GetPcnReport(ctx, &activityv1.GetPcnReportRequest{PcnCode: "U10001", Month: "2020-11"})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		require.Equal(t, 3, s.count(t, "receipts"))
		delivered := 0
		for _, e := range s.published(t) {
			if _, ok := e.event.(*activityv1.ReportDelivered); ok {
				delivered++
			}
		}
		require.Equal(t, 3, delivered)
	})
}

func TestImport_UnderAUsedRequestIDIsTheSameOrRefused(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		same := func(h *activityv1.AttendancesHeader) { h.RequestId = "same" }
		first, err := s.try(t, "15N", november(), same)
		require.NoError(t, err)
		again, err := s.try(t, "15N", november(), same)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again))
		_, err = s.try(t, "15N", strings.Replace(november(), ",120", ",121", 1), same)
		require.Error(t, err)
		require.Equal(t, 1, s.count(t, "imports"))
	})
}

func TestRestatement_TellsOthersNoSmallNumber(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 120", "L83003 VB05Z 100", "L83005 VB09Z 5", "- VB05Z 60"))
		s.build(t, "2020-11")
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 125", "L83003 VB05Z 100", "L83005 VB09Z 6", "- VB05Z 61"), final)
		r := s.build(t, "2020-11")
		require.Len(t, r.GetRestatement().GetDifferences(), 3)
		for _, e := range s.published(t) {
			built, ok := e.event.(*activityv1.ReportBuilt)
			if !ok || built.GetRestatement() == nil {
				continue
			}
			for _, d := range built.GetRestatement().GetDifferences() {
				require.Equal(t, d.GetPcnCode() != "U10001", d.GetHidden(), d.GetPcnCode())
				if d.GetHidden() {
					require.Nil(t, d.GetBefore())
					require.Nil(t, d.GetAfter())
				}
				require.Zero(t, d.GetRowsDiffering())
			}
			require.Equal(t, []int64{285, 292}, []int64{built.GetRestatement().GetTotalsBefore().GetAttendances(), built.GetRestatement().GetTotalsAfter().GetAttendances()})
		}
	})
}

func TestAccess_IsByCommissionerAndRole(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", november())
		r := s.build(t, "2020-11")
		for _, by := range []auth.Principal{testkit.Auditor("11X"), regional("11X"), testkit.Integration("15N"), testkit.Preparer("11X")} {
			_, err := s.activity.GetReport(s.as(t, by), &activityv1.GetReportRequest{ReportId: r.GetReportId()})
			require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason, "%v", by)
			_, err = s.activity.DownloadReport(s.as(t, by), &activityv1.DownloadReportRequest{ReportId: r.GetReportId()})
			require.Equal(t, "REPORT_NOT_FOUND", refused(t, err).Reason)
		}
		_, err := s.activity.BuildReport(s.as(t, testkit.Preparer("11X")), &activityv1.BuildReportRequest{RequestId: s.next(), CommissionerCode: "15N", Month: "2020-11"})
		require.Equal(t, "RESOURCE_NOT_FOUND", refused(t, err).Reason)
		_, err = s.activity.GetReport(s.as(t, testkit.PCNManager("U10001")), &activityv1.GetReportRequest{ReportId: r.GetReportId()})
		require.Equal(t, "ROLE_REQUIRED", refused(t, err).Reason)
		list, err := s.activity.ListReports(s.as(t, testkit.Integration("15N")), &activityv1.ListReportsRequest{})
		require.NoError(t, err)
		require.Empty(t, list.GetReports())
		list, err = s.activity.ListReports(s.as(t, testkit.Auditor("*")), &activityv1.ListReportsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetReports(), 1)
		require.NotNil(t, list.GetReports()[0].GetTotals(), "who audits England sees all")
		_, err = s.activity.QuoteCost(s.as(t, testkit.Preparer("11X")), &activityv1.QuoteCostRequest{
			CommissionerCode: "15N", Month: "2020-11", DepartmentType: activityv1.DepartmentType_EMERGENCY_DEPARTMENT, HrgCode: "VB05Z", Attendances: 1,
		})
		require.Equal(t, "RESOURCE_NOT_FOUND", refused(t, err).Reason)
		_, err = s.activity.SetSetting(s.as(t, testkit.Approver("15N")), &activityv1.SetSettingRequest{RequestId: s.next(), Name: "DUE_DAY", Value: "DAY 3", Reason: "a test"})
		require.Equal(t, "ENGLAND_REQUIRED", refused(t, err).Reason)
	})
}

// TestEvents_TellNoSmallNumberByAHash tries every small number in the rows of a PCN, all else of which others may know, for one that has
// a hash that they see.
func TestEvents_TellNoSmallNumberByAHash(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", rows("2020-11", "L83001 VB09Z 3", "L83003 VB05Z 100", "- VB05Z 60"))
		r := s.build(t, "2020-11")
		s.publish(t, r)
		get := &activityv1.DownloadPcnReportRequest{PcnCode: "U10001", Month: "2020-11"}
		body, err := s.activity.DownloadPcnReport(s.as(t, testkit.PCNManager("U10001")), get)
		require.NoError(t, err)
		shown, err := s.activity.GetReport(s.as(t, regional("15N")), &activityv1.GetReportRequest{ReportId: r.GetReportId()})
		require.NoError(t, err)
		list, err := s.activity.ListReports(s.as(t, regional("15N")), &activityv1.ListReportsRequest{})
		require.NoError(t, err)
		neighbour, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10002")), &activityv1.GetPcnReportRequest{PcnCode: "U10002", Month: "2020-11"})
		require.NoError(t, err)
		seen := shown.String() + list.String() + neighbour.GetReport().String()
		for _, e := range s.published(t) {
			seen += fmt.Sprint(e.event)
		}
		for n := 1; n <= 7; n++ {
			for rate := range 100 {
				of := fmt.Sprintf(",VB09Z,%d,", n)
				text := strings.Replace(string(body.GetData()), ",VB09Z,3,", of, 1)
				text = strings.Replace(text, ",0.33,", fmt.Sprintf(",%d.%02d,", rate/100, rate%100), 1)
				sum := sha256.Sum256([]byte(text))
				require.NotContains(t, seen, hex.EncodeToString(sum[:]), "a guess of %d is confirmed", n)
			}
		}
		require.Contains(t, string(body.GetData()), ",VB09Z,3,", "the guesses are of the row")
		require.NotContains(t, seen, r.GetSha256())
	})
}

// TestPublish_RestatesToAPCNThatHasNoRowsAnyMore holds that nobody is left with attendances that a later version took back.
func TestPublish_RestatesToAPCNThatHasNoRowsAnyMore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 120", "L83005 VB09Z 40"))
		s.publish(t, s.build(t, "2020-11"))
		get := func() *activityv1.PcnReport {
			out, err := s.activity.GetPcnReport(s.as(t, testkit.PCNManager("U10003")), &activityv1.GetPcnReportRequest{PcnCode: "U10003", Month: "2020-11"})
			require.NoError(t, err)
			return out
		}
		require.EqualValues(t, 40, get().GetTotals().GetTotals().GetAttendances())
		s.load(t, "15N", rows("2020-11", "L83001 VB05Z 120", "L83002 VB09Z 40"), final)
		for range 2 {
			r := s.build(t, "2020-11")
			require.EqualValues(t, 2, r.GetVersion())
			s.publish(t, r)
			own := get()
			require.Equal(t, r.GetReportId(), own.GetReport().GetReportId())
			require.Empty(t, own.GetRows())
			require.Zero(t, own.GetTotals().GetTotals().GetAttendances())
			require.EqualValues(t, 40, own.GetRestatement().GetBefore().GetAttendances())
			require.Equal(t, "Network U10003", own.GetPcnName())
			require.True(t, own.GetTotals().GetLedElsewhere())
		}
		out, err := s.activity.ListDeliveries(s.as(t, testkit.Preparer("15N")), &activityv1.ListDeliveriesRequest{CommissionerCode: "15N", Month: "2020-11"})
		require.NoError(t, err)
		require.Len(t, out.GetDeliveries(), 3)
		require.EqualValues(t, 2, out.GetDeliveries()[2].GetVersion())
	})
}
