package arrs_test

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

func planned(year, role string, intention arrsv1.Intention, wte string, pence int64) *arrsv1.PlanLine {
	return &arrsv1.PlanLine{
		FinancialYear: year, RoleCode: role, Intention: intention, WteInPost: "0.5", PlannedWte: []string{wte, wte, wte, wte}, EstimatedCostPence: pence,
		Employer: "Network Ltd", RecruitmentModel: "joint", Risks: "none",
	}
}

func (s *planSuite) submit(t *testing.T, id, pcn, in, tag string, lines ...*arrsv1.PlanLine) (*arrsv1.Plan, error) {
	t.Helper()
	return s.arrs.SubmitPlan(planAs(t, testkit.PCNManager(pcn)), &arrsv1.SubmitPlanRequest{RequestId: id, PcnCode: pcn, PlannedIn: in, Lines: lines, Etag: tag})
}

func (s *planSuite) agree(t *testing.T, id string, plan *arrsv1.Plan) *arrsv1.Plan {
	t.Helper()
	agreed, err := s.arrs.AgreePlan(planAs(t, director(plan.GetPcnCode())), &arrsv1.AgreePlanRequest{
		RequestId: id, PlanId: plan.GetPlanId(), Etag: plan.GetEtag(), AgreedOn: "2020-08-30",
	})
	require.NoError(t, err)
	return agreed
}

func TestPlan_IsVersionedAgreedAndLocked(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "15N", "2020/21", "main", 10_000_000)
		line := planned("2020-21", "CP", arrsv1.Intention_FIRM, "1.5", 8_000_000)
		line.StartMonth, line.PlannedWte = "2020-10", []string{"0.5", "0.5", "1", "1.25"}
		first, err := s.submit(t, "r1", "U1", "2020-21", "", line, planned("2021-22", "PARA", arrsv1.Intention_INDICATIVE, "1", 5_000_000))
		require.NoError(t, err)
		require.Equal(t, int32(1), first.GetVersion())
		require.Equal(t, "15N", first.GetCommissionerCode())
		require.Len(t, first.GetLines(), 2)
		require.Equal(t, []string{"0.5", "0.5", "0.5", "0.5", "0.5", "0.5", "1", "1", "1", "1.25", "1.25", "1.25"}, first.GetLines()[0].GetPlannedWte(), "quarters")
		require.Equal(t, "joint", first.GetLines()[0].GetRecruitmentModel())
		require.Len(t, first.GetPots(), 2)
		require.Equal(t, []int64{10_000_000, 8_000_000, 2_000_000}, []int64{
			first.GetPots()[0].GetAllocationPence(), first.GetPots()[0].GetPlannedPence(), first.GetPots()[0].GetGapPence(),
		})
		require.Equal(t, "YEAR_NOT_FIXED", first.GetPots()[1].GetRefusal().GetReason())

		_, err = s.submit(t, "r2", "U1", "2020-21", "", line)
		require.Equal(t, "ETAG_REQUIRED", planReason(err))
		second, err := s.submit(t, "r3", "U1", "2020-21", first.GetEtag(), line)
		require.NoError(t, err)
		require.Equal(t, int32(2), second.GetVersion())
		_, err = s.arrs.AgreePlan(planAs(t, director("U1")), &arrsv1.AgreePlanRequest{RequestId: "r4", PlanId: first.GetPlanId(), Etag: "2"})
		require.Equal(t, "PLAN_REPLACED", planReason(err))
		_, err = s.arrs.AgreePlan(planAs(t, testkit.PCNManager("U1")), &arrsv1.AgreePlanRequest{RequestId: "r5", PlanId: second.GetPlanId(), Etag: "1"})
		require.Equal(t, codes.PermissionDenied, status.Code(err), "the clinical director agrees")
		_, err = s.arrs.AgreePlan(planAs(t, director("U2")), &arrsv1.AgreePlanRequest{RequestId: "r5", PlanId: second.GetPlanId(), Etag: "1"})
		require.Equal(t, "PLAN_NOT_FOUND", planReason(err))
		_, err = s.arrs.AgreePlan(planAs(t, director("U1")), &arrsv1.AgreePlanRequest{RequestId: "r6", PlanId: second.GetPlanId(), Etag: "1", AgreedOn: "2999-01-01"})
		require.Equal(t, "DAY_IN_FUTURE", planReason(err))
		agreed := s.agree(t, "r7", second)
		require.Equal(t, "2020-08-30", agreed.GetAgreedOn())
		_, err = s.submit(t, "r8", "U1", "2020-21", agreed.GetEtag(), line)
		require.Equal(t, "PLAN_LOCKED", planReason(err))
		withdrawn, err := s.arrs.WithdrawPlanAgreement(planAs(t, director("U1")), &arrsv1.WithdrawPlanAgreementRequest{
			RequestId: "r9", PlanId: agreed.GetPlanId(), Etag: agreed.GetEtag(), Reason: "a candidate withdrew",
		})
		require.NoError(t, err)
		require.Empty(t, withdrawn.GetAgreedOn())
		third, err := s.submit(t, "r10", "U1", "2020-21", withdrawn.GetEtag(), line)
		require.NoError(t, err)
		require.Equal(t, int32(3), third.GetVersion())

		list, err := s.arrs.ListPlans(planAs(t, testkit.Auditor("15N")), &arrsv1.ListPlansRequest{PcnCode: "U1", IncludeReplaced: true})
		require.NoError(t, err)
		require.Len(t, list.GetPlans(), 3, "history is kept")
		require.Equal(t, "a candidate withdrew", list.GetPlans()[1].GetWithdrawalReason())
		list, err = s.arrs.ListPlans(planAs(t, director("U1")), &arrsv1.ListPlansRequest{PlannedIn: "2020-21"})
		require.NoError(t, err)
		require.Len(t, list.GetPlans(), 1)
		old, err := s.arrs.GetPlan(planAs(t, regional("15N")), &arrsv1.GetPlanRequest{PlanId: first.GetPlanId()})
		require.NoError(t, err)
		require.True(t, old.GetReplaced())
		require.Len(t, old.GetLines(), 2)
		_, err = s.arrs.GetPlan(planAs(t, testkit.Preparer("11N")), &arrsv1.GetPlanRequest{PlanId: first.GetPlanId()})
		require.Equal(t, "PLAN_NOT_FOUND", planReason(err))
	})
}

func TestPlan_IndicativeLinesAreNotLocked(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "15N", "2020/21", "main", 100)
		line := planned("2021-22", "CP", arrsv1.Intention_INDICATIVE, "1", 1)
		first, err := s.submit(t, "r1", "U1", "2020-21", "", line)
		require.NoError(t, err)
		agreed := s.agree(t, "r2", first)
		second, err := s.submit(t, "r3", "U1", "2020-21", agreed.GetEtag(), line)
		require.NoError(t, err)
		require.Empty(t, second.GetAgreedOn(), "a new version is to be agreed anew")
	})
}

func TestPlan_NamesEveryBadField(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "15N", "2020/21", "main", 100)
		s.year(t, "U1", "QJK", "2022/23", "main", 100)
		_, err := s.submit(t, "r1", "U1", "2020-21", "", planned("2021-22", "CP", arrsv1.Intention_FIRM, "1", 1))
		require.Equal(t, "PLAN_LINE_INVALID", planReason(err))
		require.Contains(t, status.Convert(err).String()+detailsOf(err), "PLAN_FIRM_NOT_ALLOWED", "2020/21 takes only indicative lines for later years")
		_, err = s.submit(t, "r2", "U1", "2022-23", "", planned("2023-24", "CP", arrsv1.Intention_FIRM, "1", 1))
		require.NoError(t, err, "later plans may be firm")
		bad := planned("2024-25", "XX", arrsv1.Intention_INDICATIVE, "1", 1)
		bad.PlannedWte, bad.StartMonth = []string{"1"}, "2024-13"
		late := planned("2024-25", "XX", arrsv1.Intention_INDICATIVE, "1", 1)
		late.StartMonth = "2020-10"
		_, err = s.submit(t, "r3", "U1", "2020-21", "", bad, late)
		details := detailsOf(err)
		for _, want := range []string{"lines[0].planned_wte", "lines[0].start_month", "lines[1].role", "lines[1].financial_year", "lines[1].start_month"} {
			require.Contains(t, details, want)
		}
		_, err = s.submit(t, "r4", "U9", "2020-21", "", planned("2020-21", "CP", arrsv1.Intention_FIRM, "1", 1))
		require.Equal(t, "YEAR_NOT_FIXED", planReason(err))
		_, err = s.arrs.SubmitPlan(planAs(t, testkit.Preparer("11N")), &arrsv1.SubmitPlanRequest{
			RequestId: "r5", PcnCode: "U1", PlannedIn: "2020-21", Lines: []*arrsv1.PlanLine{planned("2020-21", "CP", arrsv1.Intention_FIRM, "1", 1)},
		})
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err))
	})
}

// detailsOf returns the details of a status as text.
func detailsOf(err error) string {
	var out strings.Builder
	for _, detail := range status.Convert(err).Proto().GetDetails() {
		out.Write(detail.GetValue())
	}
	return out.String()
}

func TestCollation_AddsPlansUp(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		for _, pcn := range []string{"U1", "U2", "U3"} {
			s.year(t, pcn, "15N", "2020/21", "main", 1_000)
		}
		s.year(t, "U4", "11N", "2020/21", "main", 1_000)
		one, err := s.submit(t, "p1", "U1", "2020-21", "", planned("2020-21", "CP", arrsv1.Intention_FIRM, "1.25", 700))
		require.NoError(t, err)
		s.agree(t, "a1", one)
		_, err = s.submit(t, "p2", "U2", "2020-21", "", planned("2020-21", "CP", arrsv1.Intention_FIRM, "1.5", 200), planned("2021-22", "PT", arrsv1.Intention_INDICATIVE, "1", 50))
		require.NoError(t, err)
		_, err = s.submit(t, "p4", "U4", "2020-21", "", planned("2020-21", "CP", arrsv1.Intention_FIRM, "9", 1))
		require.NoError(t, err)
		collated, err := s.arrs.CollatePlans(planAs(t, testkit.Preparer("15N")), &arrsv1.CollatePlansRequest{
			RequestId: "c1", CommissionerCode: "15N", PlannedIn: "2020-21", CollatedOn: "2020-11-09", RegionStatus: arrsv1.RegionStatus_REGION_STATUS_SENT, SystemCode: "QJK",
		})
		require.NoError(t, err)
		require.Equal(t, int32(1), collated.GetPlans())
		require.Equal(t, []string{"U2"}, collated.GetNotAgreedPcnCodes())
		require.Equal(t, []string{"U3"}, collated.GetMissingPcnCodes())
		plan, err := s.arrs.GetPlan(planAs(t, director("U1")), &arrsv1.GetPlanRequest{PlanId: one.GetPlanId()})
		require.NoError(t, err)
		require.Equal(t, []any{"2020-11-09", "QJK", arrsv1.RegionStatus_REGION_STATUS_SENT}, []any{plan.GetCollatedOn(), plan.GetSystemCode(), plan.GetRegionStatus()})

		get := func(p auth.Principal, group arrsv1.CollationGroup, agreed bool) *arrsv1.Collation {
			out, err := s.arrs.GetCollation(planAs(t, p), &arrsv1.GetCollationRequest{PlannedIn: "2020-21", Group: group, AgreedOnly: agreed})
			require.NoError(t, err)
			return out
		}
		all := get(regional("15N"), 0, false)
		require.Len(t, all.GetRows(), 2)
		row := all.GetRows()[0]
		require.Equal(t, []any{"15N", "CP", int32(2), "1", "2.75", int64(900)}, []any{
			row.GetGroupCode(), row.GetRoleCode(), row.GetPcns(), row.GetWteInPost(), row.GetPlannedWte()[11], row.GetEstimatedCostPence(),
		})
		require.Equal(t, []string{"U3"}, all.GetMissingPcnCodes())
		require.Equal(t, []any{int64(2_000), int64(900), int64(1_100)}, []any{
			all.GetPots()[0].GetPot().GetAllocationPence(), all.GetPots()[0].GetPot().GetPlannedPence(), all.GetPots()[0].GetPot().GetGapPence(),
		})
		require.Equal(t, int32(1), all.GetPots()[1].GetUnknownPcns(), "2021/22 is not fixed")
		require.Len(t, get(testkit.Auditor("*"), arrsv1.CollationGroup_GROUP_PCN, false).GetRows(), 4)
		require.Equal(t, "L15N", get(testkit.Auditor("15N"), arrsv1.CollationGroup_GROUP_LOCATION, true).GetRows()[0].GetGroupCode())
		system := get(testkit.Auditor("*"), arrsv1.CollationGroup_GROUP_SYSTEM, true)
		require.Len(t, system.GetRows(), 1)
		require.Equal(t, "QJK", system.GetRows()[0].GetGroupCode())
		_, err = s.arrs.GetCollation(planAs(t, testkit.Auditor("11N")), &arrsv1.GetCollationRequest{PlannedIn: "2020-21", CommissionerCode: "15N"})
		require.Equal(t, codes.NotFound, status.Code(err))

		file, err := s.arrs.DownloadCollation(planAs(t, testkit.Preparer("15N")), &arrsv1.DownloadCollationRequest{CommissionerCode: "15N", PlannedIn: "2020-21"})
		require.NoError(t, err)
		rows, err := csv.NewReader(strings.NewReader(string(file.GetData()))).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, 3)
		require.Equal(t, []string{"2020/21", "COMMISSIONER", "15N", "2020/21", "CP", "Clinical pharmacist", "FIRM", "2", "1", "2.75"}, rows[1][:10])
		require.Equal(t, "9.00", rows[1][21])
	})
}

func TestComparePlan_SetsPlanBesideClaimsAndWorkforce(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U00001", "QJK", "2022/23", "main", 1_000_000)
		s.year(t, "U00002", "QJK", "2022/23", "main", -1)
		_, err := s.submit(t, "p", "U00001", "2022-23", "", planned("2022-23", "CP", arrsv1.Intention_FIRM, "2", 900_000))
		require.NoError(t, err)
		p := post{"U00001", "QJK", "CP 1", "CP", "30", "2022-04-16", ""}
		s.engage(t, p)
		s.claim(t, p, "2022-04", "2022/23", "main", 100_000, 0, true)
		s.claim(t, p, "2022-05", "2022/23", "main", 200_000, 0, false)
		s.claim(t, p, "2022-05", "2022/23", "main", 10_000, 0, false) // the rest of the same month
		_, err = s.upload(t, "w", workforceColumns+workforceRow("U00001", "Pharmacists", "Pharmacist", "1.75")+workforceRow("U00001", "Paramedics", "Paramedic", "1"), nil)
		require.NoError(t, err)
		got, err := s.arrs.ComparePlan(planAs(t, testkit.PCNManager("U00001")), &arrsv1.ComparePlanRequest{PcnCode: "U00001", FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Equal(t, []int64{1_000_000, 900_000, 100_000, 310_000}, []int64{
			got.GetPots()[0].GetUsablePence(), got.GetPots()[0].GetPlannedPence(), got.GetPots()[0].GetGapPence(), got.GetPots()[0].GetClaimedPence(),
		})
		require.Len(t, got.GetRoles(), 2)
		cp, para := got.GetRoles()[0], got.GetRoles()[1]
		require.Equal(t, []string{"CP", "2", "0.4", "0.8", "0", "1.75"}, []string{
			cp.GetRoleCode(), cp.GetPlannedWte()[0], cp.GetClaimedWte()[0], cp.GetClaimedWte()[1], cp.GetClaimedWte()[2], cp.GetPublishedWte(),
		})
		require.Equal(t, int64(310_000), cp.GetClaimedPence())
		require.Equal(t, "1", para.GetPublishedWte(), "published, and neither planned nor claimed")
		require.Equal(t, "2022-09", got.GetPublishedMonth())

		hidden, err := s.arrs.ComparePlan(planAs(t, regional("QJK")), &arrsv1.ComparePlanRequest{PcnCode: "U00001", FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Nil(t, hidden.GetRoles()[0].ClaimedPence, "one person's pay") //nolint:protogetter // absence counts
		require.Equal(t, int64(310_000), hidden.GetPots()[0].GetClaimedPence(), "positions are seen")
		_, err = s.arrs.ComparePlan(planAs(t, testkit.Auditor("QT6")), &arrsv1.ComparePlanRequest{PcnCode: "U00001", FinancialYear: "2022-23"})
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err))

		all, err := s.arrs.ComparePlans(planAs(t, testkit.Auditor("QJK")), &arrsv1.ComparePlansRequest{CommissionerCode: "QJK", FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Len(t, all.GetPcns(), 2)
		require.Equal(t, []string{"U00002"}, all.GetMissingPcnCodes())
		require.Equal(t, []string{"U00002"}, all.GetPots()[0].GetRefusal().GetPcnCodes())
		require.Equal(t, int64(1_000_000), all.GetPots()[0].GetUsablePence())
		lone, err := s.arrs.ComparePlan(planAs(t, testkit.PCNManager("U00002")), &arrsv1.ComparePlanRequest{PcnCode: "U00002", FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.True(t, lone.GetNotPublished())
		require.Equal(t, "SUM_UNKNOWN", lone.GetPots()[0].GetRefusal().GetReason())
	})
}

func TestSystemPlan_IsVersioned(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		items := []*arrsv1.SystemPlanItem{
			{Kind: arrsv1.SystemItemKind_TRAINEES, FinancialYear: "2020-21", StaffGroup: "GP trainees", Trainees: 40, ExpectedToStay: 31},
			{
				Kind: arrsv1.SystemItemKind_RETENTION_ACTION, FinancialYear: "2021-22", StaffGroup: "practice nurses", Action: "fellowships", Owner: "training hub",
				DueDate: "2021-09-30", HighNeedArea: true,
			},
		}
		req := &arrsv1.SubmitSystemPlanRequest{RequestId: "r1", CommissionerCode: "15N", SystemCode: "QJK", PlannedIn: "2020-21", Items: items}
		first, err := s.arrs.SubmitSystemPlan(planAs(t, testkit.Preparer("15N")), req)
		require.NoError(t, err)
		require.Equal(t, "2020/21", first.GetItems()[0].GetFinancialYear())
		req.RequestId = "r2"
		_, err = s.arrs.SubmitSystemPlan(planAs(t, testkit.Preparer("15N")), req)
		require.Equal(t, "ETAG_REQUIRED", planReason(err))
		req.Etag = first.GetEtag()
		second, err := s.arrs.SubmitSystemPlan(planAs(t, testkit.Preparer("15N")), req)
		require.NoError(t, err)
		require.Equal(t, int32(2), second.GetVersion())
		list, err := s.arrs.ListSystemPlans(planAs(t, regional("15N")), &arrsv1.ListSystemPlansRequest{PlannedIn: "2020-21", IncludeReplaced: true})
		require.NoError(t, err)
		require.Len(t, list.GetPlans(), 2)
		require.True(t, list.GetPlans()[1].GetReplaced())
		list, err = s.arrs.ListSystemPlans(planAs(t, testkit.Auditor("11N")), &arrsv1.ListSystemPlansRequest{})
		require.NoError(t, err)
		require.Empty(t, list.GetPlans())
		req.RequestId, req.Etag = "r3", second.GetEtag()
		req.Items = []*arrsv1.SystemPlanItem{
			{Kind: arrsv1.SystemItemKind_TRAINEES, FinancialYear: "2019-20", StaffGroup: "g", Trainees: 1, ExpectedToStay: 2},
			{Kind: arrsv1.SystemItemKind_RETENTION_ACTION, FinancialYear: "2020-21", StaffGroup: "g", DueDate: "2020-13-01"},
		}
		_, err = s.arrs.SubmitSystemPlan(planAs(t, testkit.Preparer("15N")), req)
		require.Equal(t, "PLAN_ITEM_INVALID", planReason(err))
		for _, want := range []string{"items[0].financial_year", "items[0].trainees", "items[1].due_date", "items[1].action"} {
			require.Contains(t, detailsOf(err), want)
		}
	})
}

func TestPlanTables_KeepWhatWasSaid(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "15N", "2020/21", "main", 100)
		_, err := s.submit(t, "r1", "U1", "2020-21", "", planned("2020-21", "CP", arrsv1.Intention_FIRM, "1", 1))
		require.NoError(t, err)
		for _, statement := range []string{`UPDATE plan_lines SET risks = ''`, `DELETE FROM plan_lines`, `DELETE FROM plans`} {
			require.Error(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			}), statement)
		}
	})
}
