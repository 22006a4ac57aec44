package devfund_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// TestSettings_HoldForWhoSetThem holds names and values of settings, who may set them and who sees them.
func TestSettings_HoldForWhoSetThem(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		set := func(commissioner, name, value string) error {
			_, err := s.devfund.SetSetting(s.as(t, testkit.Approver("*")), &devfundv1.SetSettingRequest{
				RequestId: s.next(), CommissionerCode: commissioner, FinancialYear: "2020-21", Name: name, Value: value, Reason: "board",
			})
			return err
		}
		for _, bad := range [][2]string{
			{"UNSPENT_POLICY", "KEEP"},
			{"UNSPENT_POLICY", "UNSPENT_POLICY_UNSPECIFIED"},
			{"LEADERSHIP_PERCENT", "100.1"},
			{"LEADERSHIP_PERCENT", "-1"},
			{"LEADERSHIP_PERCENT", "ten"},
			{"SPEND_DUE_DAY", "0"},
			{"SPEND_DUE_DAY", "29"},
			{"SPEND_DUE_DAY", "07"},
			{"MAXIMUM", "1"},
		} {
			refused(t, set("36J", bad[0], bad[1]), "SETTING_MALFORMED", "name", bad[0])
		}
		require.NoError(t, set("", "SPEND_DUE_DAY", "10"))
		require.NoError(t, set("36J", "UNSPENT_POLICY", "RETURN_TO_SYSTEM"))
		require.NoError(t, set("99K", "LEADERSHIP_PERCENT", "0"))

		_, err := s.devfund.SetSetting(s.as(t, testkit.Preparer("36J")), &devfundv1.SetSettingRequest{
			RequestId: s.next(), CommissionerCode: "36J", FinancialYear: "2020-21", Name: "SPEND_DUE_DAY", Value: "1", Reason: "board",
		})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		_, err = s.devfund.SetSetting(s.as(t, testkit.Approver("36J")), &devfundv1.SetSettingRequest{
			RequestId: s.next(), FinancialYear: "2020-21", Name: "SPEND_DUE_DAY", Value: "1", Reason: "board",
		})
		require.Equal(t, codes.PermissionDenied, status.Code(err), "one commissioner sets nothing for England")
		_, err = s.devfund.SetSetting(s.as(t, testkit.Approver("36J")), &devfundv1.SetSettingRequest{
			RequestId: s.next(), CommissionerCode: "36J", FinancialYear: "2018-19", Name: "SPEND_DUE_DAY", Value: "1", Reason: "board",
		})
		refused(t, err, "YEAR_OUT_OF_RANGE")

		list := func(page int32, token string) *devfundv1.ListSettingsResponse {
			out, err := s.devfund.ListSettings(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSettingsRequest{PageSize: page, PageToken: token})
			require.NoError(t, err)
			return out
		}
		own := list(2, "")
		require.Equal(t, "RETURN_TO_SYSTEM", own.GetSettings()[0].GetValue())
		require.Equal(t, "england", own.GetSettings()[1].GetCommissionerCode())
		rest := list(2, own.GetNextPageToken())
		require.Len(t, rest.GetSettings(), 1, "the portion of 2019/20, and nothing of another commissioner")
		require.Equal(t, "10", rest.GetSettings()[0].GetValue())
		require.Equal(t, "2019-20", rest.GetSettings()[0].GetFinancialYear())
		require.Empty(t, rest.GetNextPageToken())
		_, err = s.devfund.ListSettings(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSettingsRequest{CommissionerCode: "99K"})
		require.Equal(t, codes.NotFound, status.Code(err))
	})
}

// TestListAllocations_Pages holds that pages follow one another whatever is asked for.
func TestListAllocations_Pages(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 900_000)
		s.decide(t, decision(s, pool, devfundv1.SharingKind_EQUAL))
		var seen []string
		req := &devfundv1.ListAllocationsRequest{CommissionerCode: "36J", FinancialYear: "2019-20", FundCode: "PCN_DEV", PageSize: 3}
		for {
			out, err := s.devfund.ListAllocations(s.as(t, testkit.Auditor("36J")), req)
			require.NoError(t, err)
			for _, a := range out.GetAllocations() {
				require.Empty(t, a.GetVersions())
				seen = append(seen, a.GetHolderCode())
			}
			if req.PageToken = out.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		require.Equal(t, []string{"QWE", "U1", "U2", "U3"}, seen)
		for name, narrow := range map[string]*devfundv1.ListAllocationsRequest{
			"level":  {Level: devfundv1.AllocationLevel_SYSTEM},
			"holder": {HolderCode: "U2"},
			"nation": {Level: devfundv1.AllocationLevel_NATION, FinancialYear: "2019-20"},
		} {
			out, err := s.devfund.ListAllocations(s.as(t, testkit.Auditor("36J")), narrow)
			require.NoError(t, err)
			require.Len(t, out.GetAllocations(), 1, name)
		}
		_, err := s.devfund.ListAllocations(s.as(t, testkit.Auditor("36J")), &devfundv1.ListAllocationsRequest{CommissionerCode: "99K"})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.devfund.ListAllocations(s.as(t, testkit.Auditor("36J")), &devfundv1.ListAllocationsRequest{PageToken: "here"})
		refused(t, err, "PAGE_TOKEN_INVALID")
	})
}

// TestGetAllocationTree_SumsLines holds what lines of plans come to, seen from the allocation that they draw on.
func TestGetAllocationTree_SumsLines(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 900_000)
		for _, plan := range []struct {
			id               string
			newest, approved int
			state            devfundv1.PlanState
		}{{"p1", 2, 1, devfundv1.PlanState_PLAN_DRAFTED}, {"p2", 1, 1, devfundv1.PlanState_IN_PROGRESS}, {"p3", 1, 0, devfundv1.PlanState_REJECTED}} {
			s.exec(t, `INSERT INTO plans (plan_id, financial_year, commissioner_code, allocation_id, newest_version, approved_version, version) VALUES ($1, '2019/20', '36J', $2, $3, $4, 1)`,
				plan.id, pool.GetAllocationId(), plan.newest, plan.approved)
			for number := 1; number <= plan.newest; number++ {
				s.exec(t, `INSERT INTO plan_versions (plan_id, number, state, header, planned_pence, author, drafted_at) VALUES ($1, $2, $3, $4, 0, 'ann', 0)`,
					plan.id, number, int64(plan.state), []byte{})
				s.exec(t, `INSERT INTO plan_lines (plan_id, number, line_id, position, allocation_id, level, domain, payee, amount_pence, message) VALUES ($1, $2, 'l', 1, $3, 1, 1, 1, $4, $5)`,
					plan.id, number, pool.GetAllocationId(), 1000*number, []byte{})
			}
		}
		for i, report := range []struct {
			month string
			spent int64
		}{{"2019-10", 300}, {"2019-11", 500}, {"2019-11", 450}} {
			s.exec(t, `INSERT INTO spend_reports (report_id, plan_id, line_id, commissioner_code, financial_year, month, position, spent_to_date_pence, forecast_pence, note, recorded_by, recorded_at)
				VALUES ($1, 'p2', 'l', '36J', '2019/20', $2, $3, $4, 0, '', 'ann', 0)`, "r"+report.month+string(rune('a'+i)), report.month, i, report.spent)
		}
		tree, err := s.devfund.GetAllocationTree(s.as(t, testkit.Auditor("36J")), &devfundv1.GetAllocationTreeRequest{AllocationId: pool.GetAllocationId()})
		require.NoError(t, err)
		root := tree.GetNodes()[0]
		require.Equal(t, int64(2000), root.GetPlannedLinesPence(), "the newest version of a plan that is not approved yet")
		require.Equal(t, int64(450), root.GetSpentPence(), "the newest report of the newest month")
		require.Zero(t, root.GetScheduledPence())
	})
}
