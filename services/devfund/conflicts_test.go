package devfund_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

// settled brings a plan that pays U1 and U2, and supports U3 in kind, to the committee; prepared by somebody.
func (s *suite) settled(t *testing.T) *devfundv1.Plan {
	t.Helper()
	s.assess(t, "U1", "U2", "U3")
	plan := s.draft(t, planHeader(), goodLines()...)
	s.agree(t, plan, "U1", "U2", "U3")
	return s.take(t, plan, "settle")
}

func (s *suite) interest(t *testing.T, by auth.Principal, person, pcn, from string) (*devfundv1.Interest, error) {
	t.Helper()
	return s.devfund.RecordInterest(s.as(t, by), &devfundv1.RecordInterestRequest{
		RequestId: s.next(), CommissionerCode: planBody, Person: person, PcnCode: pcn, Nature: "partner of a member practice", FromDate: from,
	})
}

func (s *suite) endInterest(t *testing.T, by auth.Principal, id, to string) (*devfundv1.Interest, error) {
	t.Helper()
	return s.devfund.EndInterest(s.as(t, by), &devfundv1.EndInterestRequest{RequestId: s.next(), CommissionerCode: planBody, InterestId: id, ToDate: to})
}

// twoRoles may both prepare and approve.
func twoRoles(subject string) auth.Principal {
	return auth.Principal{
		Subject: subject, Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER, optionsv1.Role_ROLE_FINANCE_APPROVER}, Commissioners: []string{planBody},
	}
}

// Each person differs from one who may approve in one thing.
func TestApprovePlan_IsNotForWhoGainsByIt(t *testing.T) {
	approver := testkit.Approver(planBody)
	for name, c := range map[string]struct {
		before func(t *testing.T, s *suite) // before the committee
		who    auth.Principal
		why    string
		pcns   string
	}{
		"somebody else":                           {who: approver},
		"the author":                              {who: twoRoles(testkit.Preparer(planBody).Subject), why: "SELF_APPROVED"},
		"a director who agreed":                   {who: both("director of U2", optionsv1.Role_ROLE_CLINICAL_DIRECTOR), why: "CONFLICT_OF_INTEREST"},
		"a director of a PCN that is paid":        {who: both("x", optionsv1.Role_ROLE_CLINICAL_DIRECTOR, "U2", "U3"), why: "CONFLICT_OF_INTEREST", pcns: "U2"},
		"a manager of a PCN that is paid":         {who: both("x", optionsv1.Role_ROLE_PCN_MANAGER, "U1"), why: "CONFLICT_OF_INTEREST", pcns: "U1"},
		"a director of a PCN that gets no money":  {who: both("x", optionsv1.Role_ROLE_CLINICAL_DIRECTOR, "U3")},
		"a director of a PCN that is not covered": {who: both("x", optionsv1.Role_ROLE_CLINICAL_DIRECTOR, "U9")},
		"one with an interest in PCNs that are paid": {before: func(t *testing.T, s *suite) {
			for _, pcn := range []string{"U2", "U1", "U3"} {
				_, err := s.interest(t, testkit.Preparer(planBody), approver.Subject, pcn, "2026-01-15")
				require.NoError(t, err)
			}
		}, who: approver, why: "CONFLICT_OF_INTEREST", pcns: "U1,U2"},
		"one with an interest that another body recorded": {before: func(t *testing.T, s *suite) {
			_, err := s.devfund.RecordInterest(s.as(t, testkit.Preparer("99X")), &devfundv1.RecordInterestRequest{
				RequestId: s.next(), CommissionerCode: "99X", Person: approver.Subject, PcnCode: "U1", Nature: "spouse", FromDate: "2020-01-01",
			})
			require.NoError(t, err)
		}, who: approver, why: "CONFLICT_OF_INTEREST", pcns: "U1"},
		"one with an interest in a PCN that gets no money": {before: func(t *testing.T, s *suite) {
			_, err := s.interest(t, testkit.Preparer(planBody), approver.Subject, "U3", "2020-01-01")
			require.NoError(t, err)
		}, who: approver},
		"one whose interest has ended": {before: func(t *testing.T, s *suite) {
			interest, err := s.interest(t, testkit.Preparer(planBody), approver.Subject, "U1", "2020-01-01")
			require.NoError(t, err)
			_, err = s.endInterest(t, testkit.Preparer(planBody), interest.GetInterestId(), "2026-01-14")
			require.NoError(t, err)
		}, who: approver},
		"one whose interest ends on the day": {before: func(t *testing.T, s *suite) {
			interest, err := s.interest(t, testkit.Preparer(planBody), approver.Subject, "U1", "2020-01-01")
			require.NoError(t, err)
			_, err = s.endInterest(t, testkit.Preparer(planBody), interest.GetInterestId(), "2026-01-15")
			require.NoError(t, err)
		}, who: approver, why: "CONFLICT_OF_INTEREST", pcns: "U1"},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlan(t, func(t *testing.T, s *suite) {
				plan := s.settled(t)
				if c.before != nil {
					c.before(t, s)
				}
				_, err := s.try(t, c.who, "approve", plan)
				if c.why == "" {
					require.NoError(t, err)
					require.EqualValues(t, 14_001, s.committed(t, pool))
					return
				}
				refused(t, err, c.why)
				require.Equal(t, c.pcns, faultOf(err).Meta["pcns"])
				require.Zero(t, s.committed(t, pool))
				require.Zero(t, s.count(t, "tranches"))
			})
		})
	}
}

// An interest of the committee's day counts where the approval is recorded later.
func TestApprovePlan_LooksAtTheDayOfTheCommittee(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan, approver := s.settled(t), testkit.Approver(planBody)
		interest, err := s.interest(t, testkit.Preparer(planBody), approver.Subject, "U1", "2026-01-10")
		require.NoError(t, err)
		_, err = s.endInterest(t, testkit.Preparer(planBody), interest.GetInterestId(), "2026-01-15")
		require.NoError(t, err)
		s.clock.Set(time.Date(2026, time.January, 20, 9, 0, 0, 0, time.UTC))
		_, err = s.try(t, approver, "approve", plan)
		refused(t, err, "CONFLICT_OF_INTEREST", "pcns", "U1")
	})
}

// Who wrote an earlier version wrote lines that stay.
func TestApprovePlan_IsNotForWhoWroteAnEarlierVersion(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		first := twoRoles("first author")
		plan, err := s.devfund.DraftPlan(s.as(t, first), &devfundv1.DraftPlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, FinancialYear: "2025-26", Header: planHeader(), Lines: goodLines(),
		})
		require.NoError(t, err)
		s.revise(t, plan, planHeader(), goodLines()...)
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		_, err = s.try(t, first, "approve", plan)
		refused(t, err, "SELF_APPROVED")
	})
}

func TestApprovePlan_IsNotForWhoRecordedAnAgreementThatWasWithdrawn(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		plan, recorder := s.draft(t, planHeader(), goodLines()...), twoRoles("recorder")
		for _, withdraw := range []bool{false, true} {
			_, err := s.tryAgree(t, recorder, plan, "U1", 1, withdraw)
			require.NoError(t, err)
		}
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		_, err := s.try(t, recorder, "approve", plan)
		refused(t, err, "CONFLICT_OF_INTEREST")
	})
}

// Who gave an agreement that somebody else put on file gains as much as who recorded their own.
func TestApprovePlan_IsNotForWhoIsNamedAsADirectorThatAgreed(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		plan := s.draft(t, planHeader(), goodLines()...)
		s.agree(t, plan, "U2", "U3")
		approver := testkit.Approver(planBody)
		_, err := s.devfund.AgreePlan(s.as(t, testkit.Preparer(planBody)), &devfundv1.AgreePlanRequest{
			RequestId: s.next(), PlanId: plan.GetPlanId(), PcnCode: "U1", Version: 1, Director: approver.Subject, AgreedOn: "2026-01-14", EvidenceReference: "letter",
		})
		require.NoError(t, err)
		s.take(t, plan, "settle")
		_, err = s.try(t, approver, "approve", plan)
		refused(t, err, "CONFLICT_OF_INTEREST")
		require.Zero(t, s.committed(t, pool))
	})
}

func TestInterests_AreRecordedEndedAndListed(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		preparer := testkit.Preparer(planBody)
		_, err := s.interest(t, preparer, "a", "U1", "2026-01-16")
		refused(t, err, "DAY_IN_FUTURE", "today", "2026-01-15")
		_, err = s.interest(t, preparer, "a", "U1", "2026-02-30")
		refused(t, err, "DATE_MALFORMED")
		for _, code := range []string{"u1", "X1", planBody} {
			_, err = s.interest(t, preparer, "a", code, "2026-01-15")
			refused(t, err, auth.ReasonNotFound, "pcn_code", code)
		}
		var ids []string
		for i, pcn := range []string{"U1", "U2", "U1"} {
			interest, err := s.interest(t, preparer, "a", pcn, []string{"2025-04-01", "2025-04-01", "2025-04-02"}[i])
			require.NoError(t, err)
			require.Equal(t, preparer.Subject, interest.GetRecordedBy())
			ids = append(ids, interest.GetInterestId())
		}
		same, err := s.interest(t, preparer, "a", "U1", "2025-04-01")
		require.NoError(t, err)
		require.Equal(t, ids[0], same.GetInterestId(), "what is recorded already is recorded once")
		_, err = s.endInterest(t, holder("a", optionsv1.Role_ROLE_FINANCE_APPROVER, planBody), ids[0], "2026-01-01")
		refused(t, err, "CONFLICT_OF_INTEREST")
		_, err = s.endInterest(t, preparer, ids[0], "2025-03-31")
		refused(t, err, "DATE_MALFORMED", "from_date", "2025-04-01")
		_, err = s.endInterest(t, preparer, ids[0], "2026-01-16")
		refused(t, err, "DAY_IN_FUTURE")
		_, err = s.endInterest(t, preparer, "none", "2026-01-01")
		refused(t, err, "INTEREST_NOT_FOUND")
		ended, err := s.endInterest(t, preparer, ids[0], "2026-01-14")
		require.NoError(t, err)
		require.Equal(t, "2026-01-14", ended.GetToDate())
		_, err = s.devfund.EndInterest(s.as(t, testkit.Preparer("99X")), &devfundv1.EndInterestRequest{
			RequestId: s.next(), CommissionerCode: "99X", InterestId: ids[1], ToDate: "2026-01-01",
		})
		refused(t, err, "INTEREST_NOT_FOUND")

		list := func(by auth.Principal, req *devfundv1.ListInterestsRequest) (out []string) {
			for {
				page, err := s.devfund.ListInterests(s.as(t, by), req)
				require.NoError(t, err)
				for _, interest := range page.GetInterests() {
					out = append(out, interest.GetInterestId())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return out
				}
			}
		}
		auditor := testkit.Auditor(planBody)
		require.Equal(t, []string{ids[2], ids[1], ids[0]}, list(auditor, &devfundv1.ListInterestsRequest{PageSize: 2}))
		require.Equal(t, []string{ids[2], ids[1]}, list(auditor, &devfundv1.ListInterestsRequest{InForceOnly: true}))
		require.Equal(t, []string{ids[2], ids[0]}, list(auditor, &devfundv1.ListInterestsRequest{PcnCode: "U1", PageSize: 1}))
		require.Empty(t, list(testkit.Auditor("99X"), &devfundv1.ListInterestsRequest{}))
		_, err = s.devfund.ListInterests(s.as(t, testkit.Auditor("99X")), &devfundv1.ListInterestsRequest{CommissionerCode: planBody})
		refused(t, err, auth.ReasonNotFound)
		require.Equal(t, 4, s.count(t, `audit WHERE resource LIKE 'devfund/interests/%'`))
	})
}

// What another commissioner accounts for is drawn on by who holds both, though it came out of the plan's allocation: who gave it has no more
// say in it.
func TestPlan_DrawsOnWhatAnotherAccountsForByWhoHoldsBoth(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.allocate(t, "given", pool, "99X", "2025/26", devfundv1.AllocationLevel_COMMISSIONER, 5_001)
		lines := goodLines()
		lines[0].AllocationId = "given"
		_, err := s.tryDraft(t, planHeader(), lines...)
		refused(t, err, "ALLOCATION_NOT_OF_PLAN", "allocation_id", "given")
		s.assess(t, "U1", "U2", "U3")
		plan, err := s.devfund.DraftPlan(s.as(t, testkit.Preparer(planBody, "99X")), &devfundv1.DraftPlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, FinancialYear: planYear, Header: planHeader(), Lines: lines,
		})
		require.NoError(t, err)
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		_, err = s.try(t, testkit.Approver(planBody), "approve", plan)
		refused(t, err, "ALLOCATION_NOT_OF_PLAN", "allocation_id", "given")
		require.Zero(t, s.committed(t, "given"))
		_, err = s.try(t, testkit.Approver(planBody, "99X"), "approve", plan)
		require.NoError(t, err)
		require.EqualValues(t, 5_001, s.committed(t, "given"))
	})
}
