package devfund_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// report puts a report of a line's spend into the database.
func (s *suite) report(t *testing.T, plan, line, month string) {
	t.Helper()
	s.exec(t, `INSERT INTO spend_reports (report_id, plan_id, line_id, commissioner_code, financial_year, month, position, spent_to_date_pence, forecast_pence, note,
		recorded_by, recorded_at) VALUES ($1, $2, $3, '36J', '2025/26', $4, 1, 0, 0, '', 'x', 0)`, s.next(), plan, line, month)
}

func TestPlan_GoesThroughEveryState(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.draft(t, planHeader())
		require.Equal(t, devfundv1.PlanState_ALLOCATED, plan.GetState())
		require.Equal(t, []string{"U1", "U2", "U3"}, plan.GetCoveredPcns(), "without a list, all that its commissioner leads")
		require.False(t, plan.GetApprovable())

		s.assess(t, "U1", "U2")
		require.Equal(t, devfundv1.PlanState_ALLOCATED, s.plan(t, plan.GetPlanId(), 0).GetState())
		s.assess(t, "U3")
		require.Equal(t, devfundv1.PlanState_SELF_ASSESSED, s.plan(t, plan.GetPlanId(), 0).GetState())

		second := s.revise(t, plan, planHeader(), goodLines()...)
		require.Equal(t, devfundv1.PlanState_PLAN_DRAFTED, second.GetState())
		require.EqualValues(t, 24_001, second.GetPlannedPence())
		require.Equal(t, devfundv1.PlanState_SUPERSEDED, s.plan(t, plan.GetPlanId(), 1).GetState())
		require.Len(t, second.GetAssessments(), 3)

		_, err := s.try(t, testkit.Preparer(planBody), "settle", plan)
		refused(t, err, "CHECKS_FAILED", "failed_checks", "agreed_with_clinical_directors", "agreed_with_clinical_directors", "U1,U2,U3")
		s.agree(t, plan, "U1", "U2")
		_, err = s.tryAgree(t, testkit.Preparer(planBody), plan, "U3", 2, false)
		require.NoError(t, err, "the commissioner has it on file")
		settled := s.take(t, plan, "settle")
		require.Equal(t, devfundv1.PlanState_AGREED_LOCALLY, settled.GetState())
		require.True(t, settled.GetApprovable())
		require.Zero(t, s.committed(t, pool))

		returned := s.take(t, plan, "return")
		require.Equal(t, devfundv1.PlanState_RETURNED, returned.GetState())
		third := s.revise(t, plan, planHeader(), goodLines()...)
		require.Empty(t, third.GetAgreements(), "agreements are of one version")
		require.Equal(t, []string{"agreed_with_clinical_directors"}, failedChecks(third))
		s.agree(t, plan, "U1", "U2", "U3")
		approved := s.take(t, plan, "settle", "approve")
		require.Equal(t, devfundv1.PlanState_APPROVED, approved.GetState())
		require.Equal(t, "PCCC 7", approved.GetApproval().GetMinuteReference())
		require.Equal(t, []string{
			"1 U1 2026-02 1251", "1 U1 2026-03 1250", "1 U2 2026-02 1250", "1 U2 2026-03 1250", "4 U1 2026-02 10000",
		}, paid(approved), "suppliers and support in kind stay out of schedules; a line without months is paid in the month after its approval")
		require.EqualValues(t, 14_001, s.committed(t, pool))
		require.EqualValues(t, 10_000, s.committed(t, ownShare))
		require.Empty(t, failedChecks(approved), "what the plan has committed is not held against it")

		s.take(t, plan, "mobilise")
		reviewed := s.take(t, plan, "review", "review")
		require.Equal(t, devfundv1.PlanState_IN_PROGRESS, reviewed.GetState())
		require.Len(t, reviewed.GetReviews(), 2)
		_, err = s.try(t, testkit.Preparer(planBody), "close", plan)
		refused(t, err, "YEAR_NOT_OVER", "last_day", "2026-03-31", "today", "2026-01-15")
		s.clock.Set(time.Date(2026, time.April, 1, 9, 0, 0, 0, time.UTC))
		s.report(t, plan.GetPlanId(), "1", "2026-03")
		s.report(t, plan.GetPlanId(), "2", "2026-02")
		_, err = s.try(t, testkit.Preparer(planBody), "close", plan)
		refused(t, err, "SPEND_NOT_REPORTED", "month", "2026-03", "lines", "2", "line_ids", "2,4")
		s.report(t, plan.GetPlanId(), "2", "2026-03")
		s.report(t, plan.GetPlanId(), "4", "2026-03")
		closed := s.take(t, plan, "close")
		require.Equal(t, devfundv1.PlanState_CLOSED, closed.GetState())
		require.Equal(t, []string{
			"DRAFTED 1 ALLOCATED", "ASSESSED 1 SELF_ASSESSED", "SUPERSEDED 1 SUPERSEDED", "REVISED 2 PLAN_DRAFTED", "AGREED 2 PLAN_DRAFTED", "AGREED 2 PLAN_DRAFTED",
			"AGREED 2 PLAN_DRAFTED", "AGREED_LOCALLY 2 AGREED_LOCALLY", "RETURNED 2 RETURNED", "SUPERSEDED 2 SUPERSEDED", "REVISED 3 PLAN_DRAFTED",
			"AGREED 3 PLAN_DRAFTED", "AGREED 3 PLAN_DRAFTED", "AGREED 3 PLAN_DRAFTED", "AGREED_LOCALLY 3 AGREED_LOCALLY", "APPROVED 3 APPROVED",
			"MOBILISED 3 MOBILISED", "REVIEWED 3 IN_PROGRESS", "REVIEWED 3 IN_PROGRESS", "CLOSED 3 CLOSED",
		}, taken(closed))
		_, err = s.tryRevise(t, plan, planHeader(), goodLines()...)
		refused(t, err, "PLAN_STATE_WRONG", "state", "CLOSED")
	})
}

func TestPlan_TellsEveryStep(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		var steps []string
		for _, p := range s.published(t) {
			if event, ok := p.event.(*devfundv1.PlanChanged); ok {
				require.Equal(t, "plan/"+plan.GetPlanId(), p.aggregate)
				require.Equal(t, planBody, p.subject[strings.LastIndex(p.subject, ".")+1:])
				require.EqualValues(t, 24_001, event.GetPlannedPence())
				steps = append(steps, strings.Join(append([]string{event.GetStep()}, event.GetFailedChecks()...), " "))
			}
		}
		const silent = " agreed_with_clinical_directors"
		require.Equal(t, []string{"DRAFTED" + silent, "AGREED" + silent, "AGREED" + silent, "AGREED", "AGREED_LOCALLY", "APPROVED"}, steps)
		require.Equal(t, len(steps), s.count(t, `audit WHERE resource = $1`, "devfund/plans/"+plan.GetPlanId()))
	})
}

func TestPlan_AStepIsTakenOnce(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		plan := s.draft(t, planHeader(), goodLines()...)
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		etag, id := s.etag(t, plan), s.next()
		first, err := steps["approve"](s, s.as(t, testkit.Approver(planBody)), id, plan.GetPlanId(), etag)
		require.NoError(t, err)
		again, err := steps["approve"](s, s.as(t, testkit.Approver(planBody)), id, plan.GetPlanId(), etag)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again))
		require.EqualValues(t, 14_001, s.committed(t, pool), "once")
		_, err = steps["mobilise"](s, s.as(t, testkit.Preparer(planBody)), s.next(), plan.GetPlanId(), etag)
		refused(t, err, "VERSION_CHANGED")
		_, err = steps["mobilise"](s, s.as(t, testkit.Preparer(planBody)), s.next(), plan.GetPlanId(), "")
		refused(t, err, "ETAG_REQUIRED")
	})
}

// Each plan differs from one that passes in one thing, and is refused for the one check that it fails.
func TestSettlePlan_NamesTheOneCheckThatFails(t *testing.T) {
	cases := map[string]struct {
		spoil   func(header *devfundv1.PlanHeader, lines []*devfundv1.PlanLine)
		silent  string // PCN that does not agree
		check   string
		missing string
	}{
		"a service to patients": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[0].Category = "service_delivery" },
			check: "development_not_delivery", missing: "1",
		},
		"running costs": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[1].Category = "operating_cost" },
			check: "development_not_delivery", missing: "2",
		},
		"freed time without an activity": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[3].DevelopmentActivity = "" },
			check: "development_not_delivery", missing: "4",
		},
		"freed time without a day": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[3].ActivityDate = "" },
			check: "development_not_delivery", missing: "4",
		},
		"a PCN without an offer": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) {
				lines[1].Beneficiaries = lines[1].GetBeneficiaries()[:2]
				lines[2].Beneficiaries[0].PcnCode = "U2"
			},
			check: "universal_offer", missing: "U3",
		},
		"no staff but clinical": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) {
				for _, line := range lines {
					line.StaffGroups = []devfundv1.StaffGroup{devfundv1.StaffGroup_CLINICAL}
				}
			},
			check: "universal_offer", missing: "NON_CLINICAL",
		},
		"a director who is silent": {silent: "U2", check: "agreed_with_clinical_directors", missing: "U2"},
		"bought once without a reason": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[1].LevelReason = " " },
			check: "level_decided", missing: "2",
		},
		"no leadership portion": {
			spoil: func(header *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { header.LeadershipPercent = "" },
			check: "leadership_portion_decided", missing: "leadership_percent",
		},
		"no leadership without a reason": {
			spoil: func(header *devfundv1.PlanHeader, _ []*devfundv1.PlanLine) { header.LeadershipPercent = "0" },
			check: "leadership_portion_decided", missing: "leadership_reason",
		},
		"a line that serves nothing": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[2].Alignments = nil },
			check: "des_and_ltp_alignment", missing: "3",
		},
		"no word of partners": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[0].WiderPartners = "" },
			check: "collaboration", missing: "1",
		},
		"a penny more than the pool has left": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[1].AmountPence = 15_000 },
			check: "within_allocation", missing: pool,
		},
		"a penny more than the share below it": {
			spoil: func(_ *devfundv1.PlanHeader, lines []*devfundv1.PlanLine) { lines[3].AmountPence++ },
			check: "within_allocation", missing: ownShare,
		},
	}
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		for name, c := range cases {
			header, lines := planHeader(), goodLines()
			if c.spoil != nil {
				c.spoil(header, lines)
			}
			plan := s.draft(t, header, lines...)
			s.agree(t, plan, slices.DeleteFunc([]string{"U1", "U2", "U3"}, func(pcn string) bool { return pcn == c.silent })...)
			read := s.plan(t, plan.GetPlanId(), 0)
			require.Equal(t, []string{c.check}, failedChecks(read), name)
			require.False(t, read.GetApprovable())
			_, err := s.try(t, testkit.Preparer(planBody), "settle", plan)
			refused(t, err, "CHECKS_FAILED", "failed_checks", c.check, c.check, c.missing)
			require.Equal(t, devfundv1.PlanState_PLAN_DRAFTED, s.plan(t, plan.GetPlanId(), 0).GetState(), name)
		}
	})
}

func TestSettlePlan_TakesNothingForLeadershipWithAReason(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		header := planHeader()
		header.LeadershipPercent, header.LeadershipReason = "0", "the system pays for it"
		require.Equal(t, devfundv1.PlanState_APPROVED, s.approved(t, header, goodLines()...).GetState())
	})
}

// What became of the money between settling and approving is asked again.
func TestApprovePlan_ChecksAgain(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		first, second := s.draft(t, planHeader(), goodLines()...), s.draft(t, planHeader(), goodLines()...)
		for _, plan := range []*devfundv1.Plan{first, second} {
			s.agree(t, plan, "U1", "U2", "U3")
			s.take(t, plan, "settle")
		}
		s.take(t, first, "approve")
		_, err := s.try(t, testkit.Approver(planBody), "approve", second)
		refused(t, err, "CHECKS_FAILED", "failed_checks", "within_allocation", "within_allocation", pool+","+ownShare)
		require.EqualValues(t, 14_001, s.committed(t, pool))
		require.Contains(t, s.plan(t, second.GetPlanId(), 0).GetChecks()[7].GetWords(), "lines 1, 2, 3 come to £140.01, the general allocation of Holder (Hpool) in 2025-26 holds £59.99: plan £80.02 less")
	})
}

func TestPlan_AStepBeginsWhereItMay(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.draft(t, planHeader(), goodLines()...)
		may := func(states ...string) {
			t.Helper()
			for name := range maps.Keys(steps) {
				if slices.Contains(states, name) {
					continue
				}
				before := s.plan(t, plan.GetPlanId(), 0)
				_, err := s.try(t, takerOf(name), name, plan)
				refused(t, err, "PLAN_STATE_WRONG", "state", before.GetState().String())
			}
		}
		may()
		_, err := s.tryAgree(t, director("d", "U1"), plan, "U1", 1, false)
		refused(t, err, "PLAN_STATE_WRONG", "state", "ALLOCATED")
		s.assess(t, "U1", "U2", "U3")
		may("settle", "return", "reject")
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		may("return", "reject", "approve")
		_, err = s.tryAgree(t, director("d", "U1"), plan, "U1", 1, true)
		refused(t, err, "PLAN_STATE_WRONG", "state", "AGREED_LOCALLY")
		s.take(t, plan, "return")
		may("reject")
		s.take(t, plan, "reject")
		may()
		_, err = s.tryRevise(t, plan, planHeader(), goodLines()...)
		refused(t, err, "PLAN_STATE_WRONG", "state", "REJECTED")
	})
}

// A step without its checks is refused for the state first, and a plan that is drafted waits for the assessments of its PCNs.
func TestPlan_WaitsForTheAssessmentsOfItsPCNs(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U3")
		plan := s.draft(t, planHeader(), goodLines()...)
		require.Equal(t, devfundv1.PlanState_ALLOCATED, plan.GetState())
		require.Equal(t, []string{"U2"}, s.plan(t, plan.GetPlanId(), 0).GetMissingAssessments())
		_, err := s.try(t, testkit.Preparer(planBody), "settle", plan)
		refused(t, err, "PLAN_STATE_WRONG", "state", "ALLOCATED", "missing_assessments", "U2", "missing", "1")
		require.Contains(t, faultOf(err).Message, "the self-assessment of 2025-26 is missing of U2")
		_, err = s.tryAgree(t, testkit.Preparer(planBody), plan, "U1", 1, false)
		refused(t, err, "PLAN_STATE_WRONG", "missing_assessments", "U2")
		_, err = s.tryAgree(t, director("director of U1", "U1"), plan, "U1", 1, false)
		refused(t, err, "PLAN_STATE_WRONG", "missing_assessments", "", "missing", "1")
		require.NotContains(t, faultOf(err).Message, "U2")
		s.assess(t, "U2")
		require.Empty(t, s.plan(t, plan.GetPlanId(), 0).GetMissingAssessments())
		require.Equal(t, devfundv1.PlanState_PLAN_DRAFTED, s.plan(t, plan.GetPlanId(), 0).GetState())
		s.assess(t, "U2")
		require.Equal(t, []string{"DRAFTED 1 ALLOCATED", "ASSESSED 1 PLAN_DRAFTED"}, taken(s.plan(t, plan.GetPlanId(), 0)))
	})
}

func TestApprovePlan_OfALaterVersionMovesWhatIsCommittedByTheDifference(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		s.take(t, plan, "mobilise", "review")
		lines := goodLines()
		lines[0].AmountPence = 7000                                     // £19.99 more of the pool
		lines[0].Beneficiaries = lines[0].GetBeneficiaries()[:1]        // for U1 alone
		lines[1].AmountPence = 4000                                     // £50.00 less of the pool
		lines[3].AllocationId, lines[3].AmountPence = pool, 9000        // the share of U1 is free again
		lines = append(lines, planLine("5", "U2"), planLine("6", "U3")) // £20.00 more of the pool
		second := s.revise(t, plan, planHeader(), lines...)
		require.Equal(t, devfundv1.PlanState_PLAN_DRAFTED, second.GetState())
		require.Equal(t, devfundv1.PlanState_IN_PROGRESS, s.plan(t, plan.GetPlanId(), 1).GetState(), "the approved version stands until then")
		require.Equal(t, "IN_PROGRESS", s.take(t, plan, "review").GetState().String(), "and is reviewed meanwhile")
		require.EqualValues(t, 14_001, s.committed(t, pool))
		s.agree(t, plan, "U1", "U2", "U3")
		_, err := s.try(t, testkit.Preparer(planBody), "settle", plan)
		refused(t, err, "CHECKS_FAILED", "failed_checks", "within_allocation", "within_allocation", pool)
		require.EqualValues(t, 14_001, s.committed(t, pool))

		lines[3].AmountPence = 7000 // £200.00 of the pool: all that U1 does not hold of it
		s.revise(t, plan, planHeader(), lines...)
		s.agree(t, plan, "U1", "U2", "U3")
		third := s.take(t, plan, "settle", "approve")
		require.EqualValues(t, 3, third.GetVersion())
		require.EqualValues(t, 20_000, s.committed(t, pool))
		require.Zero(t, s.committed(t, ownShare))
		require.Equal(t, []string{"1 U1 2026-02 3500", "1 U1 2026-03 3500", "4 U1 2026-02 7000", "5 U2 2026-02 1000", "6 U3 2026-02 1000"}, paid(third))
		require.Len(t, paid(s.plan(t, plan.GetPlanId(), 1)), 5, "what was approved before is kept")
		for version, state := range []string{"SUPERSEDED", "SUPERSEDED", "APPROVED"} {
			require.Equal(t, state, s.plan(t, plan.GetPlanId(), int32(version+1)).GetState().String())
		}
		s.take(t, plan, "mobilise")
	})
}

func TestRejectPlan_OfALaterVersionLeavesTheApprovedOne(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		s.revise(t, plan, planHeader(), goodLines()[:1]...)
		s.take(t, plan, "reject")
		require.Equal(t, "APPROVED", s.plan(t, plan.GetPlanId(), 1).GetState().String())
		s.take(t, plan, "mobilise")
		require.EqualValues(t, 14_001, s.committed(t, pool))
		third := s.revise(t, plan, planHeader(), goodLines()...)
		require.EqualValues(t, 3, third.GetVersion())
		require.Equal(t, "REJECTED", s.plan(t, plan.GetPlanId(), 2).GetState().String())
	})
}

// A version that waits when its plan closes is approved no more, and no other is begun.
func TestClosePlan_EndsWhatWaitsBehindIt(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		s.take(t, plan, "mobilise")
		s.revise(t, plan, planHeader(), goodLines()...)
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		s.clock.Set(time.Date(2026, time.April, 1, 9, 0, 0, 0, time.UTC))
		for _, line := range []string{"1", "2", "4"} {
			s.report(t, plan.GetPlanId(), line, "2026-03")
		}
		require.EqualValues(t, 1, s.take(t, plan, "close").GetVersion())
		_, err := s.try(t, testkit.Approver(planBody), "approve", plan)
		refused(t, err, "PLAN_STATE_WRONG", "state", "CLOSED")
		_, err = s.tryRevise(t, plan, planHeader(), goodLines()...)
		refused(t, err, "PLAN_STATE_WRONG", "state", "CLOSED")
		s.take(t, plan, "reject")
		_, err = s.tryRevise(t, plan, planHeader(), goodLines()...)
		refused(t, err, "PLAN_STATE_WRONG", "state", "CLOSED")
		require.EqualValues(t, 14_001, s.committed(t, pool))
	})
}

func TestApprovePlan_PaysLinesWithoutMonthsWithinTheYear(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.clock.Set(time.Date(2026, time.March, 20, 9, 0, 0, 0, time.UTC))
		s.assess(t, "U1", "U2", "U3")
		plan := s.draft(t, planHeader(), planLine("1", "U1", "U2", "U3"))
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		approve := func(on string) (*devfundv1.Plan, error) {
			return s.devfund.ApprovePlan(s.as(t, testkit.Approver(planBody)), &devfundv1.ApprovePlanRequest{
				RequestId: s.next(), CommissionerCode: planBody, PlanId: plan.GetPlanId(), Etag: s.etag(t, plan), Body: "PCCC", ApprovedOn: on, MinuteReference: "8",
			})
		}
		_, err := approve("2026-03-21")
		refused(t, err, "DAY_IN_FUTURE", "today", "2026-03-20")
		out, err := approve("2026-03-20")
		require.NoError(t, err)
		require.Equal(t, []string{"1 U1 2026-03 334", "1 U2 2026-03 333", "1 U3 2026-03 333"}, paid(out))
	})
}

// What an approved plan pays is what closes schedule; a version that takes its place moves them by the difference.
func TestPlan_IsPaidByCloses(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		close := func(month string) map[string]int64 {
			t.Helper()
			out, err := s.devfund.CloseMonth(s.as(t, testkit.Preparer(planBody)), &devfundv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: planBody, Month: month})
			require.NoError(t, err)
			sums := make(map[string]int64)
			for _, line := range out.GetLines() {
				sums[line.GetPcnCode()+" "+line.GetForMonth()] += line.GetAmountPence()
			}
			return sums
		}
		s.clock.Set(time.Date(2026, time.February, 15, 9, 0, 0, 0, time.UTC))
		require.Equal(t, map[string]int64{"U1 2026-02": 11_251, "U2 2026-02": 1250}, close("2026-02"))
		for _, tranche := range s.plan(t, plan.GetPlanId(), 0).GetTranches() {
			require.Equal(t, tranche.GetMonth() == "2026-02", tranche.GetScheduleId() != "", "%v", tranche)
		}
		lines := goodLines()
		lines[0].AmountPence = 6001
		s.revise(t, plan, planHeader(), lines...)
		s.agree(t, plan, "U1", "U2", "U3")
		settled := s.take(t, plan, "settle")
		second, err := s.devfund.ApprovePlan(s.as(t, testkit.Approver(planBody)), &devfundv1.ApprovePlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, PlanId: plan.GetPlanId(), Etag: settled.GetEtag(), Body: "PCCC", ApprovedOn: "2026-02-15", MinuteReference: "9",
		})
		require.NoError(t, err)
		require.Equal(t, []string{
			"1 U1 2026-02 1501", "1 U1 2026-03 1500", "1 U2 2026-02 1500", "1 U2 2026-03 1500", "4 U1 2026-02 10000",
		}, paid(second), "a line without months stays in the month that it was approved for")
		s.clock.Set(time.Date(2026, time.March, 15, 9, 0, 0, 0, time.UTC))
		require.Equal(t, map[string]int64{"U1 2026-02": 250, "U2 2026-02": 250, "U1 2026-03": 1500, "U2 2026-03": 1500}, close("2026-03"))
		for _, tranche := range s.plan(t, plan.GetPlanId(), 0).GetTranches() {
			require.NotEmpty(t, tranche.GetScheduleId())
		}
	})
}
