package devfund_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

func TestReportSpend_TheNewestOfAMonthStands(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		finance := testkit.Preparer("36J")
		first, err := s.tryReport(t, finance, "P", "1", "2019-12", 30_000, 60_000, "")
		require.NoError(t, err)
		require.True(t, first.GetStands())
		require.Equal(t, "2019-20", first.GetFinancialYear())

		_, err = s.tryReport(t, finance, "P", "1", "2020-01", 29_999, 60_000, "")
		refused(t, err, "SPEND_BELOW_EARLIER", "month", "2019-12", "spent_pence", "30000")
		_, err = s.tryReport(t, finance, "P", "1", "2019-11", 30_001, 60_000, "")
		refused(t, err, "SPEND_BELOW_EARLIER", "month", "2019-12", "spent_pence", "30000")
		_, err = s.tryReport(t, finance, "P", "1", "2020-04", 30_000, 60_000, "")
		refused(t, err, "SPEND_MONTH_WRONG", "month", "2020-04")
		_, err = s.tryReport(t, finance, "P", "1", "2020-13", 30_000, 60_000, "")
		refused(t, err, "MONTH_MALFORMED")
		_, err = s.tryReport(t, finance, "P", "1", "2020-01", 30_000, 29_999, "")
		refused(t, err, "FORECAST_BELOW_SPEND", "forecast_pence", "29999", "spent_pence", "30000")
		_, err = s.tryReport(t, finance, "P", "1", "2019-12", 10_000, 60_000, " ")
		refused(t, err, "SPEND_BELOW_EARLIER", "reported_pence", "30000", "spent_pence", "10000")
		_, err = s.tryReport(t, finance, "P", "9", "2019-12", 1, 1, "")
		refused(t, err, "LINE_NOT_FOUND", "plan_id", "P", "line_id", "9")
		_, err = s.tryReport(t, testkit.Preparer("99X"), "P", "1", "2019-12", 1, 1, "")
		refused(t, err, "PLAN_NOT_FOUND")

		again, err := s.tryReport(t, finance, "P", "1", "2019-12", 10_000, 60_000, "an invoice was cancelled")
		require.NoError(t, err)
		listed, err := s.devfund.ListSpendReports(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSpendReportsRequest{PlanId: "P", PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, again.GetReportId(), listed.GetReports()[0].GetReportId())
		rest, err := s.devfund.ListSpendReports(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSpendReportsRequest{PlanId: "P", PageToken: listed.GetNextPageToken()})
		require.NoError(t, err)
		require.Len(t, rest.GetReports(), 1)
		require.False(t, rest.GetReports()[0].GetStands())
		standing, err := s.devfund.ListSpendReports(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSpendReportsRequest{FinancialYear: "2019-20", LineId: "1", StandingOnly: true})
		require.NoError(t, err)
		require.Len(t, standing.GetReports(), 1)

		events := s.published(t)
		last := events[len(events)-1]
		require.Equal(t, "plan/P", last.aggregate)
		require.Equal(t, again.GetReportId(), last.event.(*devfundv1.SpendReported).GetReport().GetReportId())

		s.exec(t, `UPDATE plan_versions SET state = 8 WHERE plan_id = 'P'`)
		_, err = s.tryReport(t, finance, "P", "1", "2020-03", 30_000, 60_000, "")
		refused(t, err, "PLAN_STATE_WRONG", "plan_id", "P")
	})
}

func TestReportSpend_OfAMonthThatHasNotBegun(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		_, err := s.tryReport(t, testkit.Preparer(planBody), plan.GetPlanId(), "1", "2026-02", 1, 1, "")
		refused(t, err, "SPEND_MONTH_WRONG", "month", "2026-02")
		_, err = s.tryReport(t, testkit.Preparer(planBody), plan.GetPlanId(), "1", "2026-01", 1, 1, "")
		require.NoError(t, err)
		drafted := s.draft(t, planHeader(), planLine("1", "U1", "U2", "U3"))
		_, err = s.tryReport(t, testkit.Preparer(planBody), drafted.GetPlanId(), "1", "2026-01", 1, 1, "")
		refused(t, err, "LINE_NOT_FOUND")
	})
}

// TestSpend_PCNsHaveLinesThatPayThemAlone holds what a PCN may report, list and trace.
func TestSpend_PCNsHaveLinesThatPayThemAlone(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		for _, tc := range []struct {
			by   auth.Principal
			line string
			want string
		}{
			{testkit.PCNManager("U1"), "1", ""},
			{director("director", "U1"), "1", ""},
			{testkit.PCNManager("U1"), "2", "LINE_NOT_FOUND"},
			{testkit.PCNManager("U1"), "3", "LINE_NOT_FOUND"},
			{testkit.PCNManager("U1", "U2"), "2", ""},
			{testkit.PCNManager("U2"), "1", "LINE_NOT_FOUND"},
			{testkit.PCNManager("U8"), "1", "PLAN_NOT_FOUND"},
		} {
			_, err := s.tryReport(t, tc.by, "P", tc.line, "2019-12", 100, 100, "")
			require.Equal(t, tc.want, reason(err), "%v %s", tc.by.PCNs, tc.line)
			_, err = s.devfund.TraceLine(s.as(t, tc.by), &devfundv1.TraceLineRequest{PlanId: "P", LineId: tc.line})
			require.Equal(t, tc.want, reason(err), "%v %s", tc.by.PCNs, tc.line)
		}
		s.spend(t, "3", "2019-12", 5)
		for _, tc := range []struct {
			by   auth.Principal
			want string
		}{
			{testkit.PCNManager("U1"), "[1 1]"},
			{testkit.PCNManager("U1", "U2"), "[2 1 1]"},
			{testkit.PCNManager("U2"), "[]"},
			{testkit.PCNManager("U3"), "[]"},
			{testkit.Auditor("99X"), "[]"},
			{testkit.Auditor("36J"), "[3 2 1 1]"},
		} {
			listed, err := s.devfund.ListSpendReports(s.as(t, tc.by), new(devfundv1.ListSpendReportsRequest))
			require.NoError(t, err)
			lines := []string{}
			for _, r := range listed.GetReports() {
				lines = append(lines, r.GetLineId())
			}
			require.Equal(t, tc.want, fmt.Sprint(lines), "%v", tc.by)
		}
	})
}
