package devfund_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

func TestDraftPlan_RefusesLinesThatMakeNoSense(t *testing.T) {
	cases := map[string]struct {
		spoil func(header *devfundv1.PlanHeader, lines []*devfundv1.PlanLine)
		why   string
		field string
	}{
		"a line that stands twice": {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[1].LineId = "1" }, "PLAN_LINE_MALFORMED", "lines[1].line_id"},
		"a category of nobody":     {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Category = "parking" }, "PLAN_LINE_MALFORMED", "lines[0].category"},
		"no domain":                {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Domain = 0 }, "PLAN_LINE_MALFORMED", "lines[0].domain"},
		"no priority":              {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[2].Priorities = nil }, "PLAN_LINE_MALFORMED", "lines[2].priorities"},
		"an end before the beginning": {
			func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) {
				l[0].StartsOn, l[0].EndsOn = "2026-02-02", "2026-02-01"
			}, "PLAN_LINE_MALFORMED", "lines[0].ends_on",
		},
		"money for nobody":             {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AmountPence = 0 }, "PLAN_LINE_MALFORMED", "lines[0].amount_pence"},
		"support in kind that costs":   {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[2].AmountPence = 1 }, "PLAN_LINE_MALFORMED", "lines[2].amount_pence"},
		"a supplier without a name":    {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[1].SupplierCode = "" }, "PLAN_LINE_MALFORMED", "lines[1].supplier_code"},
		"no beneficiary":               {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Beneficiaries = nil }, "BENEFICIARIES_MALFORMED", "lines[0].beneficiaries"},
		"a beneficiary out of the way": {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Beneficiaries[1].PcnCode = "U9" }, "NOT_OF_PCN", "lines[0].beneficiaries"},
		"parts short of the whole": {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) {
			l[0].Beneficiaries[0].SharePercent, l[0].Beneficiaries[1].SharePercent = "50", "49.99"
		}, "BENEFICIARIES_MALFORMED", "lines[0].beneficiaries"},
		"a part that is no number": {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Beneficiaries[0].SharePercent = "1e1" }, "DECIMAL_MALFORMED", "lines[0].beneficiaries[0].share_percent"},
		"a month of another year":  {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Tranches[1].Month = "2026-04" }, "TRANCHES_MALFORMED", "lines[0].tranches"},
		"months out of order":      {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Tranches[1].Month = "2026-02" }, "TRANCHES_MALFORMED", "lines[0].tranches"},
		"months of a supplier": {
			func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[1].Tranches = l[0].GetTranches() }, "TRANCHES_MALFORMED", "lines[1].tranches",
		},
		"a month that is none":     {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].Tranches[1].Month = "2026-13" }, "MONTH_MALFORMED", "lines[0].tranches[1].month"},
		"a day that is none":       {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[3].ActivityDate = "2026-02-30" }, "DATE_MALFORMED", "lines[3].activity_date"},
		"a percentage of letters":  {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.LeadershipPercent = "ten" }, "DECIMAL_MALFORMED", "header.leadership_percent"},
		"an allocation of nobody":  {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.AllocationId = "none" }, "ALLOCATION_NOT_FOUND", ""},
		"another's allocation":     {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.AllocationId = "theirs" }, "ALLOCATION_NOT_FOUND", ""},
		"money of another year":    {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.AllocationId = "last" }, "ALLOCATION_NOT_OF_PLAN", ""},
		"a line beside the pool":   {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AllocationId = "last" }, "ALLOCATION_NOT_OF_PLAN", "lines[0].allocation_id"},
		"a line of next year's":    {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AllocationId = "carried" }, "ALLOCATION_NOT_OF_PLAN", "lines[0].allocation_id"},
		"a line of another":        {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AllocationId = "theirs" }, "ALLOCATION_NOT_OF_PLAN", "lines[0].allocation_id"},
		"a line of no allocation":  {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AllocationId = "none" }, "ALLOCATION_NOT_OF_PLAN", "lines[0].allocation_id"},
		"another PCN's share":      {func(_ *devfundv1.PlanHeader, l []*devfundv1.PlanLine) { l[0].AllocationId = ownShare }, "ALLOCATION_NOT_OF_PLAN", "lines[0].beneficiaries"},
		"a line above the share":   {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.AllocationId = ownShare }, "ALLOCATION_NOT_OF_PLAN", "lines[0].allocation_id"},
		"a PCN of nobody":          {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.PcnCodes = []string{"U1", "X1"} }, "NOT_OF_PCN", "header.pcn_codes"},
		"a PCN that another leads": {func(h *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { h.PcnCode = "U9" }, "NOT_OF_PCN", "header.pcn_codes"},
	}
	eachPlan(t, func(t *testing.T, s *suite) {
		s.allocate(t, "theirs", "", "99X", "2025/26", devfundv1.AllocationLevel_SYSTEM, 100_000)
		s.allocate(t, "last", "", planBody, "2024/25", devfundv1.AllocationLevel_SYSTEM, 100_000)
		s.allocate(t, "carried", pool, planBody, "2026/27", devfundv1.AllocationLevel_SYSTEM, 100_000)
		for name, c := range cases {
			header, lines := planHeader(), goodLines()
			c.spoil(header, lines)
			_, err := s.tryDraft(t, header, lines...)
			require.Error(t, err, name)
			refused(t, err, c.why)
			if c.field != "" {
				require.Equal(t, c.field, faultOf(err).Violations[0].Field, "%s: %v", name, err)
			}
			require.Zero(t, s.count(t, "plans"))
			require.Zero(t, s.count(t, "plan_lines"))
		}
	})
}

func TestDraftPlan_ShowsNoMoreBadFieldsThanAnAnswerHolds(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		var lines []*devfundv1.PlanLine
		for i := range 30 {
			line := planLine(fmt.Sprint(i), "U1")
			line.Category = "parking"
			lines = append(lines, line)
		}
		_, err := s.tryDraft(t, planHeader(), lines...)
		refused(t, err, "PLAN_LINE_MALFORMED", "bad_fields", "30")
		require.Len(t, faultOf(err).Violations, 20)
	})
}

func TestDraftPlan_RefusesYearsThatAreNone(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		for year, why := range map[string]string{"2018-19": "YEAR_OUT_OF_RANGE", "2025-27": "YEAR_MALFORMED"} {
			_, err := s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody)), &devfundv1.DraftPlanRequest{
				RequestId: s.next(), CommissionerCode: planBody, FinancialYear: year, Header: planHeader(),
			})
			refused(t, err, why)
		}
	})
}

func TestDraftPlan_CoversThePCNsThatItNames(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		one := planHeader()
		one.PcnCode = "U2"
		require.Equal(t, []string{"U2"}, s.draft(t, one).GetCoveredPcns())
		some := planHeader()
		some.PcnCodes = []string{"U3", "U1", "U3"}
		require.Equal(t, []string{"U1", "U3"}, s.draft(t, some).GetCoveredPcns())

		// A PCN of the system that another commissioner leads is covered by who holds both.
		system := planHeader()
		system.PcnCodes, system.SystemCode = []string{"U1", "U9"}, "QWE"
		_, err := s.tryDraft(t, system)
		refused(t, err, "NOT_OF_PCN", "pcn_code", "U9")
		plan, err := s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody, "99X", "77Z")), &devfundv1.DraftPlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, FinancialYear: planYear, Header: system,
		})
		require.NoError(t, err)
		require.Equal(t, []string{"U1", "U9"}, plan.GetCoveredPcns())
		system.PcnCodes = []string{"U1", "U7"}
		_, err = s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody, "99X", "77Z")), &devfundv1.DraftPlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, FinancialYear: planYear, Header: system,
		})
		refused(t, err, "NOT_OF_PCN", "pcn_code", "U7", "system_code", "QWE")
	})
}

// The register is asked for the day of the draft within the year, and for 1 April of a year that is over or to come.
func TestDraftPlan_AsksTheRegisterForItsDay(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		for year, day := range map[string]string{"2025-26": "2026-01-15", "2024-25": "2024-04-01", "2026-27": "2026-04-01"} {
			id := "a" + year
			s.allocate(t, id, "", planBody, year[:4]+"/"+year[5:], devfundv1.AllocationLevel_SYSTEM, 100_000)
			_, err := s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody)), &devfundv1.DraftPlanRequest{
				RequestId: s.next(), CommissionerCode: planBody, FinancialYear: year, Header: &devfundv1.PlanHeader{Title: "Plan", AllocationId: id},
			})
			require.NoError(t, err)
			require.Equal(t, day, s.register.asked[len(s.register.asked)-1].GetMembershipDate(), year)
		}
	})
}

// A body that has ended within the year still mends its plans, for the PCNs that it led on 1 April.
func TestRevisePlan_OutlastsItsBody(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.draft(t, planHeader(), goodLines()...)
		s.register.mu.Lock()
		s.register.icbFrom = "2026-01-01"
		s.register.mu.Unlock()
		s.assess(t, "U1", "U2", "U3")
		require.Equal(t, []string{"U1", "U2", "U3"}, s.revise(t, plan, planHeader(), goodLines()...).GetCoveredPcns())
		s.register.mu.Lock()
		require.Equal(t, "2025-04-01", s.register.asked[len(s.register.asked)-1].GetMembershipDate())
		s.register.mu.Unlock()
	})
}

func TestDraftPlan_SaysWhatItsAllocationLacks(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.allocate(t, "unknown", "", planBody, "2025/26", devfundv1.AllocationLevel_SYSTEM, nil)
		header, line := planHeader(), planLine("1", "U1", "U2", "U3")
		header.AllocationId, line.AllocationId = "unknown", "unknown"
		plan := s.draft(t, header, line)
		check := plan.GetChecks()[7]
		require.False(t, check.GetPassed())
		require.Equal(t, []string{"unknown"}, check.GetMissing())
		require.Contains(t, check.GetWords(), "enter the amount")
	})
}

func TestRevisePlan_StaysWithItsAllocation(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.draft(t, planHeader(), goodLines()...)
		header := planHeader()
		header.AllocationId = ownShare
		_, err := s.tryRevise(t, plan, header)
		refused(t, err, "ALLOCATION_NOT_OF_PLAN", "allocation_id", pool)
		require.EqualValues(t, 1, s.plan(t, plan.GetPlanId(), 0).GetVersion())
	})
}

func TestAgreePlan_IsOfTheNewestVersionAndOfThePCNsThatItCovers(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		header := planHeader()
		header.PcnCodes = []string{"U1", "U2"}
		lines := []*devfundv1.PlanLine{planLine("1", "U1", "U2")}
		plan := s.draft(t, header, lines...)
		s.revise(t, plan, header, lines...)
		_, err := s.tryAgree(t, director("d", "U1"), plan, "U1", 1, false)
		refused(t, err, "AGREEMENT_OUTDATED", "version", "1", "newest_version", "2")
		_, err = s.tryAgree(t, director("d", "U1"), plan, "U1", 3, false)
		refused(t, err, "AGREEMENT_OUTDATED", "version", "3", "newest_version", "2")
		_, err = s.tryAgree(t, director("d", "U1"), plan, "U1", 2, true)
		refused(t, err, "AGREEMENT_NOT_FOUND", "pcn_code", "U1", "version", "2")
		out, err := s.tryAgree(t, director("d", "U1"), plan, "U1", 2, false)
		require.NoError(t, err)
		require.Len(t, out.GetAgreements(), 1)
		require.Equal(t, "Dr U1", out.GetAgreements()[0].GetDirector())
		require.Equal(t, "d", out.GetAgreements()[0].GetRecordedBy())
		_, err = s.tryAgree(t, director("d", "U1"), plan, "U1", 2, true)
		require.NoError(t, err)
		read := s.plan(t, plan.GetPlanId(), 0)
		require.True(t, read.GetAgreements()[0].GetWithdrawn())
		require.Equal(t, []string{"U1", "U2"}, read.GetChecks()[2].GetMissing())
		_, err = s.tryAgree(t, director("d", "U1"), plan, "U1", 2, true)
		refused(t, err, "AGREEMENT_NOT_FOUND")

		_, err = s.tryAgree(t, testkit.Preparer(planBody), plan, "U3", 2, false)
		refused(t, err, "NOT_OF_PCN", "pcn_code", "U3")
		for who, by := range map[string]auth.Principal{
			"a director of a PCN that is not covered": director("d", "U3"), "a preparer of another body": testkit.Preparer("99X"), "nobody": director("d", "U99"),
		} {
			pcn := "U1"
			if len(by.PCNs) > 0 {
				pcn = by.PCNs[0]
			}
			_, err = s.tryAgree(t, by, plan, pcn, 2, false)
			refused(t, err, "PLAN_NOT_FOUND")
			require.NotContains(t, err.Error(), "cover", who)
		}
		_, err = s.tryAgree(t, director("d", "U2"), plan, "U1", 2, false)
		refused(t, err, auth.ReasonNotFound)
		_, err = s.devfund.AgreePlan(s.as(t, director("d", "U1")), &devfundv1.AgreePlanRequest{
			RequestId: s.next(), PlanId: plan.GetPlanId(), PcnCode: "U1", Version: 2, Director: "d", AgreedOn: "2026-01-16", EvidenceReference: "e",
		})
		refused(t, err, "DAY_IN_FUTURE")
	})
}

func TestAssessPcn_IsForThePCNAndItsCommissioner(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		try := func(by auth.Principal, spoil func(req *devfundv1.AssessPcnRequest)) (*devfundv1.SelfAssessment, error) {
			req := assessment("U1")
			req.RequestId = s.next()
			if spoil != nil {
				spoil(req)
			}
			return s.devfund.AssessPcn(s.as(t, by), req)
		}
		for _, by := range []auth.Principal{testkit.PCNManager("U1"), director("d", "U1"), testkit.Preparer(planBody), testkit.Preparer("*")} {
			out, err := try(by, nil)
			require.NoError(t, err)
			require.Equal(t, by.Subject, out.GetRecordedBy())
		}
		for _, by := range []auth.Principal{testkit.PCNManager("U2"), director("d", "U9"), testkit.Preparer("99X"), holder("r", optionsv1.Role_ROLE_FINANCE_PREPARER)} {
			_, err := try(by, nil)
			refused(t, err, auth.ReasonNotFound)
		}
		_, err := try(testkit.Preparer("*"), func(req *devfundv1.AssessPcnRequest) { req.PcnCode = "X1" })
		refused(t, err, auth.ReasonNotFound)
		_, err = try(testkit.Approver(planBody), nil)
		refused(t, err, auth.ReasonRoleRequired)
		manager := testkit.PCNManager("U1")
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.Scores = req.GetScores()[1:] })
		refused(t, err, "ASSESSMENT_MALFORMED")
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.Scores[0].Area = req.GetScores()[1].GetArea() })
		refused(t, err, "ASSESSMENT_MALFORMED")
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.ServiceImprovementPriority = " " })
		refused(t, err, "ASSESSMENT_MALFORMED")
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.AssessedOn = "2026-01-16" })
		refused(t, err, "DAY_IN_FUTURE")
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.FinancialYear = "2018-19" })
		refused(t, err, "YEAR_OUT_OF_RANGE")
		require.Equal(t, 4, s.count(t, `assessments`))

		plan := s.draft(t, planHeader())
		_, err = try(manager, func(req *devfundv1.AssessPcnRequest) { req.ServiceImprovementPriority = "telephony" })
		require.NoError(t, err)
		read := s.plan(t, plan.GetPlanId(), 0).GetAssessments()
		require.Len(t, read, 1)
		require.Equal(t, "telephony", read[0].GetServiceImprovementPriority(), "the last stands")
	})
}

// Whoever holds the commissioner sees all of a plan, and a PCN what concerns it.
func TestGetPlan_ShowsAPCNItsOwnPart(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		s.take(t, plan, "mobilise", "review")
		get := func(by auth.Principal) (*devfundv1.Plan, error) {
			return s.devfund.GetPlan(s.as(t, by), &devfundv1.GetPlanRequest{PlanId: plan.GetPlanId()})
		}
		whole, err := get(testkit.Preparer(planBody))
		require.NoError(t, err)
		for _, by := range []auth.Principal{
			testkit.Approver(planBody), testkit.Auditor("*"), holder("v", optionsv1.Role_ROLE_REGIONAL_VIEWER, planBody), testkit.Operator(), testkit.Integration(planBody),
			testkit.PCNManager("U1", "U2", "U3"),
		} {
			out, err := get(by)
			require.NoError(t, err)
			require.True(t, proto.Equal(whole, out), "%v", by.Roles)
		}
		own, err := get(director("director of U2", "U2"))
		require.NoError(t, err)
		require.Len(t, own.GetLines(), 2)
		require.EqualValues(t, 2500, own.GetLines()[0].GetAmountPence(), "its part of £50.01")
		require.EqualValues(t, 3000, own.GetLines()[1].GetAmountPence(), "its part of £90.00")
		require.EqualValues(t, 5500, own.GetPlannedPence())
		for _, line := range own.GetLines() {
			require.Len(t, line.GetBeneficiaries(), 1)
			require.Equal(t, "U2", line.GetBeneficiaries()[0].GetPcnCode())
		}
		require.Equal(t, []string{"1 U2 2026-02 1250", "1 U2 2026-03 1250"}, paid(own))
		require.Len(t, own.GetAgreements(), 1)
		require.Len(t, own.GetAssessments(), 1)
		require.Empty(t, own.GetReviews())
		for _, step := range own.GetSteps() {
			require.Empty(t, step.GetWords())
		}
		require.Len(t, own.GetChecks(), 8)
		third, err := get(testkit.PCNManager("U3"))
		require.NoError(t, err)
		require.EqualValues(t, 3000, third.GetPlannedPence())
		require.Empty(t, third.GetTranches())
		for _, by := range []auth.Principal{testkit.PCNManager("U9"), testkit.Preparer("99X"), testkit.Auditor("99X")} {
			_, err := get(by)
			refused(t, err, "PLAN_NOT_FOUND")
		}
		_, err = s.devfund.GetPlan(s.as(t, testkit.Auditor("*")), &devfundv1.GetPlanRequest{PlanId: plan.GetPlanId(), Version: 2})
		refused(t, err, "PLAN_NOT_FOUND")
	})
}

// What the checks miss of others is not told, and that they fail is.
func TestGetPlan_TellsAPCNWhatIsMissingOfIt(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		lines := goodLines()
		lines[1].AmountPence = 90_000
		lines[0].Alignments, lines[3].Alignments = nil, nil
		plan := s.draft(t, planHeader(), lines...)
		own, err := s.devfund.GetPlan(s.as(t, testkit.PCNManager("U2")), &devfundv1.GetPlanRequest{PlanId: plan.GetPlanId()})
		require.NoError(t, err)
		require.Equal(t, failedChecks(s.plan(t, plan.GetPlanId(), 0)), failedChecks(own))
		checks := own.GetChecks()
		require.Equal(t, []string{"U2"}, checks[2].GetMissing())
		require.Equal(t, []string{"1"}, checks[5].GetMissing(), "line 4 is not of U2")
		require.NotContains(t, checks[5].GetWords(), "line 4")
		require.Empty(t, checks[7].GetMissing())
		require.Equal(t, "what is missing is not of your PCN", checks[7].GetWords())
		require.False(t, checks[7].GetPassed())
	})
}

func TestListPlans_ShowsThoseOfTheCaller(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		one := planHeader()
		one.PcnCode = "U1"
		first := s.draft(t, one, planLine("1", "U1"))
		second := s.draft(t, planHeader(), goodLines()...)
		third := s.draft(t, planHeader())
		s.take(t, second, "return")
		list := func(by auth.Principal, req *devfundv1.ListPlansRequest) (out []string) {
			t.Helper()
			for {
				page, err := s.devfund.ListPlans(s.as(t, by), req)
				require.NoError(t, err)
				for _, plan := range page.GetPlans() {
					require.Empty(t, plan.GetLines())
					require.Empty(t, plan.GetChecks())
					require.Empty(t, plan.GetSteps())
					out = append(out, plan.GetPlanId())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return out
				}
			}
		}
		a, b, c := first.GetPlanId(), second.GetPlanId(), third.GetPlanId()
		auditor := testkit.Auditor(planBody)
		require.Equal(t, []string{c, b, a}, list(auditor, &devfundv1.ListPlansRequest{PageSize: 1}))
		require.Equal(t, []string{c, b, a}, list(testkit.Auditor("*"), &devfundv1.ListPlansRequest{CommissionerCode: planBody, FinancialYear: planYear}))
		require.Empty(t, list(auditor, &devfundv1.ListPlansRequest{FinancialYear: "2024-25"}))
		require.Equal(t, []string{b}, list(auditor, &devfundv1.ListPlansRequest{State: devfundv1.PlanState_RETURNED}))
		require.Equal(t, []string{c, b}, list(auditor, &devfundv1.ListPlansRequest{PcnCode: "U2"}))
		require.Equal(t, []string{c, b}, list(testkit.PCNManager("U2"), &devfundv1.ListPlansRequest{}))
		require.Equal(t, []string{c, b, a}, list(testkit.PCNManager("U1"), &devfundv1.ListPlansRequest{CommissionerCode: planBody, PageSize: 2}))
		require.Empty(t, list(testkit.PCNManager("U9"), &devfundv1.ListPlansRequest{CommissionerCode: planBody}))
		require.Empty(t, list(testkit.Auditor("99X"), &devfundv1.ListPlansRequest{}))
		page, err := s.devfund.ListPlans(s.as(t, testkit.PCNManager("U2")), &devfundv1.ListPlansRequest{State: devfundv1.PlanState_RETURNED})
		require.NoError(t, err)
		require.EqualValues(t, 5500, page.GetPlans()[0].GetPlannedPence(), "its own part")
	})
}

func TestPlan_StepsAreOfItsCommissioner(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.settled(t)
		for name := range steps {
			by := takerOf(name)
			by.Commissioners = []string{"99X"}
			_, err := s.try(t, by, name, plan)
			refused(t, err, auth.ReasonNotFound)
		}
		_, err := s.devfund.ApprovePlan(s.as(t, testkit.Approver("99X")), &devfundv1.ApprovePlanRequest{
			RequestId: s.next(), CommissionerCode: "99X", PlanId: plan.GetPlanId(), Etag: s.etag(t, plan), Body: "b", ApprovedOn: "2026-01-15", MinuteReference: "m",
		})
		refused(t, err, "PLAN_NOT_FOUND")
		_, err = s.devfund.RevisePlan(s.as(t, testkit.Preparer("99X")), &devfundv1.RevisePlanRequest{
			RequestId: s.next(), CommissionerCode: "99X", PlanId: plan.GetPlanId(), Etag: s.etag(t, plan), Header: planHeader(), Reason: "r",
		})
		refused(t, err, "PLAN_NOT_FOUND")
		s.clock.Advance(time.Second)
		require.Equal(t, "AGREED_LOCALLY", s.plan(t, plan.GetPlanId(), 0).GetState().String())
	})
}
