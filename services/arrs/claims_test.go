package arrs_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// single is the one pot of 2025/26 with some sum.
func single(pence money.Pence) map[rules.Pot]money.Pence {
	return map[rules.Pot]money.Pence{rules.SinglePot: pence}
}

// coordinator is the most that a month of a care coordinator is reimbursed by the prices known in January 2026: 37,478 / 12.
const coordinator = 312317

func TestSubmitClaim_SetsAsideWhatIsPayable(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(10_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2", func(r *arrsv1.RecordEngagementRequest) { r.Terms.PerWeek = "18.75" })
		claim := s.submit(t, entry("U1", "2025-12", costing("CC 1", 2_900_00), costing("CC 2", 2_000_00)))
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_SUBMITTED, claim.GetState())
		require.Equal(t, int64(2_900_00), claim.GetLines()[0].GetPayablePence())
		require.Empty(t, claim.GetLines()[0].GetParts())
		half := claim.GetLines()[1]
		require.Equal(t, int64(coordinator/2), half.GetPayablePence())
		require.Equal(t, "0.5", half.GetWte())
		require.Equal(t, half.GetPayablePence(), half.GetMaximumPence())
		require.Equal(t, "OVER_MAXIMUM", half.GetParts()[0].GetReason())
		require.Equal(t, half.GetClaimedPence(), half.GetPayablePence()+half.GetParts()[0].GetAmountPence())
		require.Equal(t, []string{"ROLE", "ADDITIONALITY", "MAXIMUM", "YEAR_SUM"}, testsOf(half))
		require.Equal(t, arrsv1.Outcome_REDUCED, half.GetTests()[2].GetOutcome())
		require.Contains(t, half.GetTests()[2].GetMessage(), "maximum")
		require.NotEmpty(t, half.GetWorking().GetSteps())
		require.Equal(t, int64(4_900_00), claim.GetTotals()[0].GetClaimedPence())
		require.Equal(t, arrsv1.Pot_SINGLE, claim.GetTotals()[0].GetPot())
		require.Equal(t, int64(working.Inferred), s.number(t, `SELECT MIN(confidence) FROM claim_lines`), "the least of the figures a line rests on, for the close")
		require.Equal(t, int64(working.Inferred), s.number(t, `SELECT MAX(confidence) FROM claim_lines`))
		set := s.number(t, `SELECT submitted_pence FROM pots`)
		require.Equal(t, claim.GetTotals()[0].GetPayablePence(), set)

		again := s.submit(t, entry("U1", "2025-11", costing("CC 1", 3_000_00), costing("CC 2", 1_500_00)))
		require.Equal(t, int64(3_000_00), again.GetLines()[0].GetPayablePence())
		rest := s.submit(t, entry("U1", "2025-10", costing("CC 1", 3_000_00)))
		line := rest.GetLines()[0]
		require.Equal(t, int64(10_000_00)-set-4_500_00, line.GetPayablePence(), "what is left of the year's sum, to the penny")
		require.Equal(t, "OVER_YEAR_SUM", line.GetParts()[0].GetReason())
		require.Equal(t, int64(10_000_00), s.number(t, `SELECT submitted_pence FROM pots`))
	})
}

func testsOf(line *arrsv1.ClaimLine) (names []string) {
	for _, test := range line.GetTests() {
		names = append(names, test.GetTest())
	}
	return names
}

func TestSubmitClaim_IsAnsweredOnceForARequestID(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(10_000_00))
		s.engage(t, "U1", "CC 1")
		req := &arrsv1.SubmitClaimRequest{RequestId: "same", Claim: entry("U1", "2025-12", costing("CC 1", 2_900_00))}
		first, err := s.arrs.SubmitClaim(s.as(t, network("m", "U1")), req)
		require.NoError(t, err)
		second, err := s.arrs.SubmitClaim(s.as(t, network("m", "U1")), req)
		require.NoError(t, err)
		require.Equal(t, first.GetClaimId(), second.GetClaimId())
		require.Equal(t, int64(2_900_00), second.GetLines()[0].GetPayablePence(), "the answer is read anew")
		require.Equal(t, int64(1), s.number(t, `SELECT COUNT(*) FROM claims`))
		req.Claim.Lines[0].SalaryPence++
		_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), req)
		require.Equal(t, "REQUEST_ID_REUSED", claimReason(err))
	})
}

func TestCheckClaim_TellsWhatSubmitWouldAndStoresNothing(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		s.submit(t, entry("U1", "2025-11", costing("CC 1", 3_000_00)))
		in := entry("U1", "2025-12", costing("CC 1", 3_000_00))
		in.Declared = false
		checked, err := s.arrs.CheckClaim(s.as(t, network("m", "U1")), &arrsv1.CheckClaimRequest{Claim: in})
		require.NoError(t, err)
		require.Empty(t, checked.GetClaimId())
		require.Equal(t, int64(2_000_00), checked.GetLines()[0].GetPayablePence())
		require.Equal(t, int64(1), s.number(t, `SELECT COUNT(*) FROM claims`))
		require.Equal(t, int64(3_000_00), s.number(t, `SELECT submitted_pence FROM pots`))
		in.Declared = true
		submitted := s.submit(t, in)
		require.Equal(t, checked.GetLines()[0].GetParts()[0].GetAmountPence(), submitted.GetLines()[0].GetParts()[0].GetAmountPence())
	})
}

func TestSubmitClaim_NamesEachBadField(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(10_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CP 1", func(r *arrsv1.RecordEngagementRequest) { r.Terms.RoleCode = "CP" })
		late := func(r *arrsv1.RecordEngagementRequest) { r.Terms.StartDate = "2026-01-02" }
		s.engage(t, "U1", "CC 3", late)
		in := entry("U1", "2025-12",
			&arrsv1.LineEntry{Label: "CC 1", SalaryPence: 12_345_67_00, PerWeek: "41", LeftDate: "2025-11-30"}, costing("NOBODY", 1), costing("CP 1", 1), costing("CC 3", 1),
			&arrsv1.LineEntry{Label: "CC 1", SalaryPence: 1, FeesPence: 1, UpliftMonth: "2025-04"})
		in.Declared = false
		_, err := s.arrs.SubmitClaim(s.as(t, network("m", "U1")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in})
		require.Equal(t, "CLAIM_INVALID", claimReason(err))
		told := fields(err)
		for _, want := range []string{
			"claim.declared NOT_DECLARED", "claim.lines[0].salary_pence VALUE_OUT_OF_RANGE", "claim.lines[0].per_week VALUE_OUT_OF_RANGE",
			"claim.lines[0].left_date DATES_OUT_OF_ORDER", "claim.lines[1].label ENGAGEMENT_NOT_FOUND", "claim.lines[2].label VALUE_REQUIRED facts.on_pathway of engagement CP 1",
			"claim.lines[3].label DATES_OUT_OF_ORDER start_date of engagement CC 3", "claim.lines[4].uplift_month UPLIFT_MONTH_INVALID",
		} {
			require.Contains(t, told, want)
		}
		require.NotContains(t, told, "12345")
		for name, c := range map[string]struct{ month, want string }{
			"seven months back": {"2025-06", "MONTH_OUT_OF_RANGE"}, "no month": {"2025-13", "MONTH_MALFORMED"}, "a year that is not fixed": {"2026-04", "YEAR_NOT_FIXED"},
		} {
			_, err := s.arrs.SubmitClaim(s.as(t, network("m", "U1")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: entry("U1", c.month, costing("CC 1", 1))})
			require.Contains(t, claimReason(err)+fields(err), c.want, name)
		}
		in = entry("U1", "2025-12", costing("CC 1", 1))
		in.CommissionerCode = "11N"
		_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in})
		require.Equal(t, "COMMISSIONER_DIFFERS", claimReason(err))
	})
}

func TestClaims_AreSeenByThoseWhoMay(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(10_000_00))
		s.engage(t, "U1", "CC 1")
		claim := s.submit(t, entry("U1", "2025-12", costing("CC 1", 2_900_00)))
		odd := testkit.Auditor("11N") // holds the PCN, but in no role of one
		odd.PCNs = []string{"U1"}
		for name, c := range map[string]struct {
			by   auth.Principal
			sees bool
		}{
			"its manager": {network("m", "U1"), true}, "another PCN's": {network("m", "U2"), false}, "its preparer": {testkit.Preparer("15N"), true},
			"its approver": {testkit.Approver("15N"), true}, "its auditor": {testkit.Auditor("15N"), true}, "another's approver": {testkit.Approver("11N"), false},
			"England's auditor": {testkit.Auditor("*"), true}, "an auditor who names the PCN": {odd, false},
		} {
			_, err := s.arrs.GetClaim(s.as(t, c.by), &arrsv1.GetClaimRequest{ClaimId: claim.GetClaimId()})
			list, listErr := s.arrs.ListClaims(s.as(t, c.by), &arrsv1.ListClaimsRequest{})
			require.NoError(t, listErr)
			if c.sees {
				require.NoError(t, err, name)
				require.Len(t, list.GetClaims(), 1, name)
				require.Empty(t, list.GetClaims()[0].GetLines())
				continue
			}
			require.Equal(t, codes.NotFound, status.Code(err), name)
			require.Empty(t, list.GetClaims(), name)
		}
		_, err := s.arrs.GetClaim(s.as(t, testkit.Integration("15N")), &arrsv1.GetClaimRequest{ClaimId: claim.GetClaimId()})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		mixed := testkit.Auditor("15N") // sees it, and speaks for another PCN
		mixed.Roles = append(mixed.Roles, optionsv1.Role_ROLE_PCN_MANAGER)
		mixed.PCNs = []string{"U2"}
		_, err = s.arrs.WithdrawClaim(s.as(t, mixed), &arrsv1.WithdrawClaimRequest{RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Reason: "x"})
		require.Equal(t, "CLAIM_NOT_FOUND", claimReason(err))
		for _, in := range []*arrsv1.ClaimEntry{entry("U1", "2025-12", costing("CC 1", 1)), entry("U9", "2025-12", costing("CC 1", 1))} {
			_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U2")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in})
			require.Equal(t, "RESOURCE_NOT_FOUND", claimReason(err))
			_, err = s.arrs.CheckClaim(s.as(t, testkit.Preparer("11N")), &arrsv1.CheckClaimRequest{Claim: in})
			require.Equal(t, "RESOURCE_NOT_FOUND", claimReason(err))
		}
		own := entry("U1", "2025-12", costing("CC 1", 1))
		own.CommissionerCode = "11N"
		_, err = s.arrs.CheckClaim(s.as(t, testkit.Preparer("11N")), &arrsv1.CheckClaimRequest{Claim: own})
		require.Equal(t, "RESOURCE_NOT_FOUND", claimReason(err), "a PCN of another commissioner")
	})
}

func TestListClaims_PagesNewestFirst(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		for _, month := range []string{"2025-09", "2025-10", "2025-11"} {
			s.submit(t, entry("U1", month, costing("CC 1", 1_000_00)))
		}
		var months []string
		for token := ""; ; {
			page, err := s.arrs.ListClaims(s.as(t, network("m", "U1")), &arrsv1.ListClaimsRequest{PageSize: 2, PageToken: token})
			require.NoError(t, err)
			for _, claim := range page.GetClaims() {
				months = append(months, claim.GetMonth())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, []string{"2025-11", "2025-10", "2025-09"}, months)
		some, err := s.arrs.ListClaims(s.as(t, testkit.Approver("15N")), &arrsv1.ListClaimsRequest{
			Month: "2025-10", PcnCode: "U1", CommissionerCode: "15N", State: arrsv1.ClaimState_CLAIM_STATE_SUBMITTED,
		})
		require.NoError(t, err)
		require.Len(t, some.GetClaims(), 1)
	})
}

func TestClaims_PayNoMonthOfAnEngagementTwice(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		first := s.submit(t, entry("U1", "2025-12", costing("CC 1", 1_000_00), costing("CC 1", 900_00)))
		require.Equal(t, "ALREADY_CLAIMED", first.GetLines()[1].GetParts()[0].GetReason())
		second := s.submit(t, entry("U1", "2025-12", costing("CC 1", 2_000_00)))
		require.Zero(t, second.GetLines()[0].GetPayablePence())
		require.Equal(t, "ALREADY_CLAIMED", second.GetLines()[0].GetParts()[0].GetReason())
		_, err := s.withdraw(t, first)
		require.NoError(t, err)
		second, err = s.amend(t, second, entry("U1", "2025-12", costing("CC 1", 2_000_00)))
		require.NoError(t, err)
		require.Equal(t, int64(2_000_00), second.GetLines()[0].GetPayablePence(), "the first was taken back")
	})
}

func TestAmendClaim_KeepsItsPlaceInTheSum(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		first := s.submit(t, entry("U1", "2025-12", costing("CC 1", 3_000_00)))
		later := s.submit(t, entry("U1", "2025-12", costing("CC 2", 3_000_00)))
		require.Equal(t, int64(2_000_00), later.GetLines()[0].GetPayablePence())
		amended, err := s.amend(t, first, entry("U1", "2025-12", costing("CC 1", 2_500_00)))
		require.NoError(t, err)
		require.Equal(t, int32(2), amended.GetRevision())
		require.Equal(t, first.GetSubmittedAt().AsTime(), amended.GetSubmittedAt().AsTime())
		require.Equal(t, int64(2_500_00), amended.GetLines()[0].GetPayablePence())
		amended, err = s.amend(t, amended, entry("U1", "2025-12", costing("CC 1", 3_000_00)))
		require.NoError(t, err)
		require.Equal(t, int64(3_000_00), amended.GetLines()[0].GetPayablePence(), "nobody took what it gave back")
		_, err = s.amend(t, first, entry("U1", "2025-12", costing("CC 1", 1)))
		require.Equal(t, "VERSION_CHANGED", claimReason(err))
		_, err = s.amend(t, amended, entry("U1", "2025-11", costing("CC 1", 1)))
		require.Equal(t, "CLAIM_DIFFERS", claimReason(err))
	})
}

func TestClaims_AreAssessedAfterTheLinesOfTheirMonth(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2023, 1, map[rules.Pot]money.Pence{rules.MainPot: 500_000_00})
		for i := range 4 {
			s.engage(t, "U1", fmt.Sprintf("DTL %d", i), func(r *arrsv1.RecordEngagementRequest) {
				r.Terms = &arrsv1.EngagementTerms{RoleCode: "DTL", PerWeek: "22.5", StartDate: "2023-04-01"}
			})
		}
		file := "pcn_code,month,label,salary,employer_ni,employer_pension\n"
		first, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "f1", Declared: true}, file+"U1,2023-06,DTL 0,2000,0,0\n")
		require.NoError(t, err, fields(err))
		require.Empty(t, first.GetClaims()[0].GetLines()[0].GetParts())
		second, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "f2", Declared: true}, file+"U1,2023-06,DTL 1,2000,0,0\n")
		require.NoError(t, err)
		line := second.GetClaims()[0].GetLines()[0]
		require.Equal(t, "LIMIT_REACHED", line.GetParts()[0].GetReason(), "0.4 of one are left of 0.6")
		require.InDelta(t, 2_000_00*2/3, line.GetPayablePence(), 1)
		third, err := s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: "f3", Declared: true}, file+"U1,2023-06,DTL 2,2000,0,0\nU1,2023-07,DTL 2,2000,0,0\n")
		require.NoError(t, err)
		require.Zero(t, third.GetClaims()[0].GetLines()[0].GetPayablePence())
		require.Equal(t, int64(2_000_00), third.GetClaims()[1].GetLines()[0].GetPayablePence(), "another month")
	})
}

func TestClaims_CountAPersonOnceInAPCN(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		person := func(r *arrsv1.RecordEngagementRequest) { r.PersonReference = " ab123 " }
		s.engage(t, "U1", "CC 1", person)
		s.engage(t, "U1", "GPA 1", person, func(r *arrsv1.RecordEngagementRequest) { r.Terms.RoleCode, r.PersonReference = "GPA", "AB123" })
		s.submit(t, entry("U1", "2025-12", costing("CC 1", 1_000_00)))
		second := s.submit(t, entry("U1", "2025-12", costing("GPA 1", 1_000_00)))
		require.Zero(t, second.GetLines()[0].GetPayablePence(), "the person is full time already")
	})
}

func TestDecideClaim_ApprovesInWholeInPartOrNot(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		whole := s.approved(t, entry("U1", "2025-12", costing("CC 1", 2_000_00), costing("CC 2", 1_000_00)))
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_APPROVED, whole.GetState())
		require.Equal(t, int64(3_000_00), whole.GetTotals()[0].GetApprovedPence())
		require.Equal(t, "approver@example.test", whole.GetDecidedBy())
		require.Equal(t, int64(3_000_00), s.number(t, `SELECT approved_pence FROM pots`))
		require.Zero(t, s.number(t, `SELECT submitted_pence FROM pots`))

		claim := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00), costing("CC 2", 1_000_00)))
		lower := &arrsv1.LineDecision{LineId: claim.GetLines()[0].GetLineId(), ApprovedPence: 1_500_00, Reason: "half the month"}
		_, err := s.decide(t, claim, true, "", lower)
		require.Equal(t, "REASON_REQUIRED", claimReason(err))
		_, err = s.decide(t, claim, true, "x", &arrsv1.LineDecision{LineId: lower.GetLineId(), ApprovedPence: 2_000_01, Reason: "x"},
			&arrsv1.LineDecision{LineId: "other", Reason: "x"})
		require.Contains(t, fields(err), "APPROVED_ABOVE_PAYABLE")
		require.Contains(t, fields(err), "LINE_NOT_FOUND")
		part, err := s.decide(t, claim, true, "see the line", lower, &arrsv1.LineDecision{LineId: claim.GetLines()[1].GetLineId(), Reason: "not in post"})
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_PARTLY_APPROVED, part.GetState())
		require.Equal(t, int64(1_500_00), part.GetLines()[0].GetApprovedPence())
		require.Equal(t, "not in post", part.GetLines()[1].GetDecisionReason())
		again := s.submit(t, entry("U1", "2025-11", costing("CC 1", 500_00), costing("CC 2", 1_000_00)))
		require.Equal(t, "ALREADY_CLAIMED", again.GetLines()[0].GetParts()[0].GetReason())
		require.Equal(t, int64(1_000_00), again.GetLines()[1].GetPayablePence(), "nothing of it was approved before")

		_, err = s.decide(t, again, false, "")
		require.Equal(t, "REASON_REQUIRED", claimReason(err))
		_, err = s.decide(t, again, false, "x", lower)
		require.Equal(t, "CLAIM_INVALID", claimReason(err))
		rejected, err := s.decide(t, again, false, "ask again in May")
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_REJECTED, rejected.GetState())
		_, err = s.decide(t, rejected, true, "")
		require.Equal(t, "CLAIM_STATE_DIFFERS", claimReason(err))
		_, err = s.amend(t, rejected, entry("U1", "2025-11", costing("CC 2", 1)))
		require.Equal(t, "CLAIM_STATE_DIFFERS", claimReason(err))
		_, err = s.withdraw(t, whole)
		require.Equal(t, "CLAIM_STATE_DIFFERS", claimReason(err))
		require.Equal(t, int64(4_500_00), s.number(t, `SELECT approved_pence FROM pots`))
		zeroed := s.submit(t, entry("U1", "2025-10", costing("CC 2", 1_000_00)))
		zeroed, err = s.decide(t, zeroed, true, "nothing", &arrsv1.LineDecision{LineId: zeroed.GetLines()[0].GetLineId(), Reason: "no"})
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_REJECTED, zeroed.GetState())
	})
}

func TestDecideClaim_ApprovesNoMoreThanALoweredSumCovers(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
		claim := s.submit(t, entry("U1", "2025-11", costing("CC 1", 3_000_00)))
		s.fix(t, "U1", "15N", 2025, 2, single(3_500_00))
		before := s.number(t, `SELECT approved_pence FROM pots`)
		_, err := s.decide(t, claim, true, "")
		require.Equal(t, "SUM_LOWERED", claimReason(err))
		require.ErrorContains(t, err, "£2,500.00 of the sum of 2025/26 is left")
		require.Equal(t, before, s.number(t, `SELECT approved_pence FROM pots`))
		lower := &arrsv1.LineDecision{LineId: claim.GetLines()[0].GetLineId(), ApprovedPence: 2_500_01, Reason: "the sum was lowered"}
		_, err = s.decide(t, claim, true, "the sum was lowered", lower)
		require.Equal(t, "SUM_LOWERED", claimReason(err))
		lower.ApprovedPence = 2_500_00
		_, err = s.decide(t, claim, true, "the sum was lowered", lower)
		require.NoError(t, err)
		require.Equal(t, int64(3_500_00), s.number(t, `SELECT approved_pence FROM pots`))
		require.Zero(t, s.number(t, `SELECT submitted_pence FROM pots`))
	})
}

func TestLead_HandsOverTheClaimsOfItsYearAlone(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		s.submit(t, entry("U1", "2025-11", costing("CC 1", 1_000_00)))
		led := func(year period.FinancialYear) (moved []store.ClaimRow) {
			require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) (err error) {
				moved, err = store.LeadClaims(t.Context(), tx, "U1", year, "11N")
				return err
			}))
			return moved
		}
		require.Empty(t, led(2024))
		require.Empty(t, led(2026))
		require.Len(t, led(2025), 1)
		require.Equal(t, int64(1), s.number(t, `SELECT COUNT(*) FROM claims WHERE commissioner_code = '11N'`))
	})
}

// TestUpkeep_HandsEngagementsOverWhenTheYearBegins holds that who leads a PCN from April, as was fixed before, sees its staff from April.
func TestUpkeep_HandsEngagementsOverWhenTheYearBegins(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(5_000_00))
		s.engage(t, "U1", "CC 1")
		s.fix(t, "U1", "11N", 2026, 1, single(5_000_00))
		of := func() (led int64) {
			require.NoError(t, s.service.Upkeep(t.Context()))
			return s.number(t, `SELECT COUNT(*) FROM engagements WHERE commissioner_code = '11N'`)
		}
		s.clock.Set(day(2026, 3, 31))
		require.Zero(t, of())
		s.engage(t, "U1", "CC 2")
		s.clock.Set(day(2026, 4, 1))
		require.Equal(t, int64(2), of())
	})
}

func TestDecideClaim_NeedsAnotherPerson(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		both := testkit.Approver("15N")
		both.Subject, both.PCNs = "both", []string{"U1"}
		both.Roles = append(both.Roles, optionsv1.Role_ROLE_PCN_MANAGER)
		claim, err := s.arrs.SubmitClaim(s.as(t, both), &arrsv1.SubmitClaimRequest{RequestId: "a", Claim: entry("U1", "2025-12", costing("CC 1", 1))})
		require.NoError(t, err)
		decide := func() error {
			_, err := s.arrs.DecideClaim(s.as(t, both), &arrsv1.DecideClaimRequest{RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Approve: true})
			return err
		}
		require.Equal(t, "DECIDER_IS_SUBMITTER", claimReason(decide()))
		other := s.submit(t, entry("U1", "2025-11", costing("CC 1", 1)))
		claim, err = s.arrs.AmendClaim(s.as(t, both), &arrsv1.AmendClaimRequest{
			RequestId: "b", ClaimId: other.GetClaimId(), Etag: other.GetEtag(), Claim: entry("U1", "2025-11", costing("CC 1", 2)),
		})
		require.NoError(t, err)
		require.Equal(t, "both", claim.GetAmendedBy())
		require.Equal(t, "DECIDER_IS_SUBMITTER", claimReason(decide()), "nor who amended it last")
		_, err = s.decide(t, claim, true, "")
		require.NoError(t, err)
		require.Error(t, s.db.Write(t.Context(), decideBehind), "the database holds it too")
	})
}

func TestQueryClaim_WaitsForTheAnswer(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		claim, err := s.query(t, s.submit(t, entry("U1", "2025-12", costing("CC 1", 2_000_00))))
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_QUERIED, claim.GetState())
		require.Equal(t, int64(2_000_00), s.number(t, `SELECT submitted_pence FROM pots`))
		_, err = s.decide(t, claim, true, "")
		require.Equal(t, "CLAIM_STATE_DIFFERS", claimReason(err))
		claim, err = s.amend(t, claim, entry("U1", "2025-12", costing("CC 1", 1_000_00)))
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_SUBMITTED, claim.GetState())
		require.NotEmpty(t, claim.GetQuery(), "what was asked stays to be read")
		claim, err = s.query(t, claim)
		require.NoError(t, err)
		_, err = s.decide(t, claim, false, "no answer")
		require.NoError(t, err, "it can be rejected")
	})
}

func TestClaims_WaitForFiguresAndFacts(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "PA 1", func(r *arrsv1.RecordEngagementRequest) { r.Terms.RoleCode = "PA" })
		claim := s.submit(t, entry("U1", "2025-12", costing("PA 1", 2_000_00)))
		line := claim.GetLines()[0]
		require.Zero(t, line.GetPayablePence())
		require.Equal(t, "BASELINE_MISSING", line.GetParts()[0].GetReason())
		require.Equal(t, arrsv1.Outcome_WAITING, line.GetTests()[1].GetOutcome())
		require.Equal(t, arrsv1.Outcome_NOT_REACHED, line.GetTests()[2].GetOutcome())
		require.Contains(t, line.GetTests()[1].GetMessage(), "record the baseline")
		s.decided(t, store.DecisionRow{Kind: store.BaselineWTE, PCNCode: "U1", Role: "PA", Value: "0"})
		claim, err := s.amend(t, claim, entry("U1", "2025-12", costing("PA 1", 2_000_00)))
		require.NoError(t, err)
		require.Equal(t, int64(2_000_00), claim.GetLines()[0].GetPayablePence())
	})
}

// TestSubmitClaim_StormOnTheLastPounds has many claims of a PCN come at once for what one of them would use up.
func TestSubmitClaim_StormOnTheLastPounds(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		const sum, callers = 10_000_01, 12
		s.fix(t, "U1", "15N", 2025, 1, single(sum))
		for i := range callers {
			s.engage(t, "U1", fmt.Sprintf("CC %d", i))
		}
		s.engage(t, "U1", "SAME")
		var wg sync.WaitGroup
		claims := make([]*arrsv1.Claim, callers)
		errs := make([]error, callers)
		for i := range callers {
			ctx, id := testkit.As(t.Context(), network(fmt.Sprint("m", i), "U1")), s.next()
			wg.Go(func() {
				in := entry("U1", "2025-12", costing(fmt.Sprintf("CC %d", i), 1_234_56), costing("SAME", 1_000_00))
				claims[i], errs[i] = s.arrs.SubmitClaim(ctx, &arrsv1.SubmitClaimRequest{RequestId: id, Claim: in})
			})
		}
		wg.Wait()
		var payable int64
		same := 0
		for i, claim := range claims {
			require.NoError(t, errs[i])
			for _, line := range claim.GetLines() {
				payable += line.GetPayablePence()
				parts := int64(0)
				for _, part := range line.GetParts() {
					parts += part.GetAmountPence()
				}
				require.Equal(t, line.GetClaimedPence(), line.GetPayablePence()+parts)
			}
			if claim.GetLines()[1].GetPayablePence() > 0 {
				same++
			}
		}
		require.Equal(t, int64(sum), payable, "to the penny")
		require.Equal(t, 1, same)
		s.balanced(t)

		// Amendments, withdrawals and decisions at once leave the totals right.
		for i, claim := range claims {
			ctx, id := testkit.As(t.Context(), network(fmt.Sprint("m", i), "U1")), s.next()
			approver := testkit.As(t.Context(), testkit.Approver("15N"))
			wg.Go(func() {
				switch i % 3 {
				case 0:
					_, errs[i] = s.arrs.WithdrawClaim(ctx, &arrsv1.WithdrawClaimRequest{RequestId: id, ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Reason: "x"})
				case 1:
					_, errs[i] = s.arrs.AmendClaim(ctx, &arrsv1.AmendClaimRequest{
						RequestId: id, ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Claim: entry("U1", "2025-12", costing(fmt.Sprintf("CC %d", i), 2_000_00), costing("SAME", 1_00)),
					})
				default:
					_, errs[i] = s.arrs.DecideClaim(approver, &arrsv1.DecideClaimRequest{RequestId: id, ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Approve: true})
				}
			})
		}
		wg.Wait()
		for i := range errs {
			require.NoError(t, errs[i])
		}
		s.balanced(t)
	})
}

func TestClaimChanged_CarriesNoMoney(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.approved(t, entry("U1", "2025-12", costing("CC 1", 2_000_00)))
		require.Equal(t, int64(2), s.number(t, `SELECT COUNT(*) FROM outbox WHERE subject LIKE '%ClaimChanged.15N'`))
		message := (&arrsv1.ClaimChanged{}).ProtoReflect().Descriptor().Fields()
		for i := range message.Len() {
			require.NotContains(t, string(message.Get(i).Name()), "pence")
		}
	})
}

func TestUpliftClaim_PaysTheDifferenceOnce(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		// In June 2025 the maximum is 36,150; in August 37,478 replaces it from April on.
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		s.clock.Set(day(2025, 7, 10))
		june := s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_050_00), costing("CC 2", 2_000_00)))
		require.Equal(t, int64(301250), june.GetLines()[0].GetApprovedPence(), "36,150 / 12")
		s.clock.Set(day(2025, 9, 10))
		s.approved(t, entry("U1", "2025-08", costing("CC 1", 3_100_00)))
		up := func(label, month string, pence int64, passed bool) *arrsv1.LineEntry {
			return &arrsv1.LineEntry{Label: label, UpliftMonth: month, SalaryPence: pence, PassedOn: passed}
		}
		uplift := func(lines ...*arrsv1.LineEntry) *arrsv1.ClaimEntry {
			in := entry("U1", "2025-08", lines...)
			in.Kind = arrsv1.ClaimKind_UPLIFT
			return in
		}
		claim := s.submit(t, uplift(up("CC 1", "2025-06", 3_200_00, true), up("CC 2", "2025-06", 2_100_00, false), up("CC 1", "2025-08", 3_150_00, true),
			up("CC 1", "2025-05", 3_000_00, true), up("CC 1", "2025-06", 3_200_00, true)))
		lines := claim.GetLines()
		require.Equal(t, int64(coordinator-301250), lines[0].GetPayablePence(), "the difference of the maxima")
		require.Equal(t, int64(3_200_00-301250), lines[0].GetClaimedPence())
		require.NotEmpty(t, lines[0].GetWorking().GetSteps())
		for i, want := range []string{"OVER_MAXIMUM", "UPLIFT_NOT_PASSED_ON", "UPLIFT_NOT_PUBLISHED", "UPLIFT_LINE_MISSING", "ALREADY_CLAIMED"} {
			require.Equal(t, want, lines[i].GetParts()[0].GetReason(), i)
			parts := int64(0)
			for _, part := range lines[i].GetParts() {
				parts += part.GetAmountPence()
			}
			require.Equal(t, lines[i].GetClaimedPence(), lines[i].GetPayablePence()+parts, i)
		}
		require.Equal(t, int64(100_00), lines[1].GetParts()[0].GetAmountPence())
		again := s.submit(t, uplift(up("CC 1", "2025-06", 3_200_00, true)))
		require.Equal(t, "ALREADY_CLAIMED", again.GetLines()[0].GetParts()[0].GetReason())
		_, err := s.decide(t, claim, true, "")
		require.NoError(t, err)
		passed := s.submit(t, uplift(up("CC 2", "2025-06", 2_100_00, true)))
		require.Equal(t, int64(100_00), passed.GetLines()[0].GetPayablePence(), "the line of which nothing was approved")
		_, err = s.arrs.SubmitClaim(s.as(t, network("m", "U1")), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: uplift(costing("CC 1", 1), up("CC 1", "2025-09", 1, true))})
		require.Contains(t, fields(err), "claim.lines[0].uplift_month UPLIFT_MONTH_INVALID")
		require.Contains(t, fields(err), "claim.lines[1].uplift_month UPLIFT_MONTH_INVALID")
	})
}

func TestClaims_ReckonSessionsBandsAndTraining(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2024, 1, map[rules.Pot]money.Pence{rules.MainPot: 50_000_00, rules.GPPot: 3_000_00})
		s.clock.Set(day(2025, 3, 10))
		with := func(terms *arrsv1.EngagementTerms) func(*arrsv1.RecordEngagementRequest) {
			return func(r *arrsv1.RecordEngagementRequest) { r.Terms = terms }
		}
		s.engage(t, "U1", "GP 1", with(&arrsv1.EngagementTerms{RoleCode: "GP", PerWeek: "6", StartDate: "2024-10-01", Facts: &arrsv1.EngagementFacts{
			TrainedOn: "2024-08-01", SubstantiveGpBefore: arrsv1.Answer_NO, Temporary: arrsv1.Answer_NO, SalariedElsewhere: arrsv1.Answer_NO, ModelTerms: arrsv1.Answer_YES,
		}}))
		s.engage(t, "U1", "GP 2", with(&arrsv1.EngagementTerms{RoleCode: "GP", PerWeek: "6", StartDate: "2024-10-01"}))
		s.engage(t, "U1", "CC 1", with(&arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2024-10-01", Facts: &arrsv1.EngagementFacts{
			Training: "NOT_A_TRAINING", TrainingShare: "0.2",
		}}))
		s.engage(t, "U1", "SPLW 1", with(&arrsv1.EngagementTerms{RoleCode: "SPLW", PerWeek: "18.75", StartDate: "2024-10-01"}))
		s.decided(t, store.DecisionRow{Kind: store.BaselineWTE, PCNCode: "U1", Role: "SPLW", Value: "0"})
		claim := s.submit(t, entry("U1", "2025-02", costing("GP 1", 6_000_00), costing("GP 2", 6_000_00), costing("CC 1", 1_000_00),
			&arrsv1.LineEntry{Label: "SPLW 1", SalaryPence: 1_000_00, FeesPence: 150_00}))
		lines := claim.GetLines()
		require.Equal(t, "2/3", lines[0].GetWte(), "six sessions of nine")
		require.Equal(t, arrsv1.Pot_GP, lines[0].GetPot())
		require.Equal(t, int64(3_000_00), lines[0].GetPayablePence(), "the GP pot pays no more, and the main pot no GP")
		require.Equal(t, "FACT_MISSING", lines[1].GetParts()[0].GetReason())
		require.Equal(t, arrsv1.Outcome_WAITING, lines[1].GetTests()[0].GetOutcome())
		require.Equal(t, int64(800_00), lines[2].GetPayablePence())
		require.Equal(t, int64(1_100_00), lines[3].GetPayablePence(), "a fee of 200 a WTE")
		require.Len(t, claim.GetTotals(), 3)
		_, err := s.decide(t, claim, true, "")
		require.NoError(t, err)
	})
}

// TestClaims_LiveRandomLives has PCNs and a commissioner do what they may, in any order, and holds after each step what must always hold.
func TestClaims_LiveRandomLives(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		random := rand.New(rand.NewPCG(7, 11))
		s.fix(t, "U1", "15N", 2025, 1, single(20_000_00))
		for i := range 4 {
			s.engage(t, "U1", fmt.Sprintf("CC %d", i))
		}
		months := []string{"2025-10", "2025-11", "2025-12"}
		draw := func(month string) *arrsv1.ClaimEntry {
			var lines []*arrsv1.LineEntry
			for range 1 + random.IntN(3) {
				lines = append(lines, costing(fmt.Sprintf("CC %d", random.IntN(4)), random.Int64N(4_000_00)))
			}
			return entry("U1", month, lines...)
		}
		var claims []*arrsv1.Claim
		done := make(map[arrsv1.ClaimState]int)
		for range 60 {
			if len(claims) == 0 || random.IntN(3) == 0 {
				claims = append(claims, s.submit(t, draw(months[random.IntN(len(months))])))
				continue
			}
			at := random.IntN(len(claims))
			claim := claims[at]
			waits := claim.GetState() == arrsv1.ClaimState_CLAIM_STATE_SUBMITTED || claim.GetState() == arrsv1.ClaimState_CLAIM_STATE_QUERIED
			var next *arrsv1.Claim
			var err error
			switch random.IntN(6) {
			case 0:
				next, err = s.withdraw(t, claim)
			case 1:
				next, err = s.query(t, claim)
			case 2:
				next, err = s.decide(t, claim, false, "no")
			case 3:
				next, err = s.decide(t, claim, true, "part", &arrsv1.LineDecision{
					LineId: claim.GetLines()[0].GetLineId(), ApprovedPence: claim.GetLines()[0].GetPayablePence() / 2, Reason: "half",
				})
			default:
				next, err = s.amend(t, claim, draw(claim.GetMonth()))
			}
			if err != nil {
				require.Equal(t, "CLAIM_STATE_DIFFERS", claimReason(err))
				require.True(t, !waits || claim.GetState() == arrsv1.ClaimState_CLAIM_STATE_QUERIED)
				continue
			}
			require.True(t, waits)
			claims[at] = next
			done[next.GetState()]++
		}
		require.GreaterOrEqual(t, len(done), 4, done)
	})
}

// decideBehind has who put a claim forward decide it, past the service.
func decideBehind(tx *sqldb.Tx) error {
	_, err := tx.Exec(context.Background(), `UPDATE claims SET decided_by = submitted_by`)
	return err
}

// TestUpliftClaim_IsOfWhatWasClaimed holds that an uplift goes by the working time of its month, though the engagement changed since, and
// pays nothing back that an approver took off.
func TestUpliftClaim_IsOfWhatWasClaimed(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		half := s.engage(t, "U1", "CC 1", func(r *arrsv1.RecordEngagementRequest) { r.Terms.PerWeek = "18.75" })
		s.engage(t, "U1", "CC 2")
		s.clock.Set(day(2025, 7, 10))
		june := s.submit(t, entry("U1", "2025-06", costing("CC 1", 1_650_00), costing("CC 2", 3_050_00)))
		_, err := s.decide(t, june, true, "part", &arrsv1.LineDecision{LineId: june.GetLines()[1].GetLineId(), ApprovedPence: 2_000_00, Reason: "part of it was other work"})
		require.NoError(t, err)
		_, err = s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: half.GetEngagementId(), Etag: half.GetEtag(), Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01"},
		})
		require.NoError(t, err)
		s.clock.Set(day(2025, 9, 10))
		in := entry("U1", "2025-08", &arrsv1.LineEntry{Label: "CC 1", UpliftMonth: "2025-06", SalaryPence: 1_650_00, PassedOn: true},
			&arrsv1.LineEntry{Label: "CC 2", UpliftMonth: "2025-06", SalaryPence: 3_200_00, PassedOn: true})
		in.Kind = arrsv1.ClaimKind_UPLIFT
		lines := s.submit(t, in).GetLines()
		require.Equal(t, int64(156158-150625), lines[0].GetPayablePence(), "half of 37,478 / 12 less half of 36,150 / 12")
		require.Equal(t, "18.75", lines[0].GetTerms().GetPerWeek())
		require.Equal(t, int64(coordinator-301250), lines[1].GetPayablePence(), "what was not approved stays so")
	})
}

// TestClaims_EndWithWhoLeft holds that a person whom a claim reports as left is paid for no later month, until it is corrected.
func TestClaims_EndWithWhoLeft(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		left := costing("CC 1", 1_000_00)
		left.LeftDate = "2025-10-15"
		s.approved(t, entry("U1", "2025-10", left))
		forecast := func() int64 {
			got, err := s.arrs.GetForecast(s.as(t, network("manager", "U1")), &arrsv1.GetForecastRequest{PcnCode: "U1", FinancialYear: "2025-26"})
			require.NoError(t, err)
			return got.GetPots()[0].GetSpendPence()
		}
		require.Equal(t, int64(1_000_00), forecast(), "nobody is in post any more")
		later := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00)))
		require.Equal(t, "OUTSIDE_ENGAGEMENT", later.GetLines()[0].GetParts()[0].GetReason())
		require.Zero(t, later.GetLines()[0].GetPayablePence())
		_, err := s.withdraw(t, later)
		require.NoError(t, err)

		more := s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_100_00)))
		require.Equal(t, "15", more.GetLines()[0].GetTests()[0].GetNumbers()["days claimed"], "the day that was claimed")
		whole := costing("CC 1", 2_200_00)
		whole.Stayed = true
		stayed := s.approved(t, correcting("U1", "2025-10", whole))
		require.Equal(t, "31", stayed.GetLines()[0].GetTests()[0].GetNumbers()["days claimed"])
		require.Equal(t, int64(2_000_00), s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00))).GetLines()[0].GetPayablePence())
		whole.LeftDate = "2025-10-20"
		_, err = s.put(t, network("manager", "U1"), correcting("U1", "2025-10", whole))
		require.Contains(t, fields(err), "claim.lines[0].stayed VALUE_OUT_OF_RANGE")
		monthly := costing("CC 1", 1)
		monthly.Stayed = true
		_, err = s.put(t, network("manager", "U1"), entry("U1", "2025-12", monthly))
		require.Contains(t, fields(err), "claim.lines[0].stayed VALUE_OUT_OF_RANGE")
	})
}

// TestClaims_GoOnOnceALeaveIsTakenBack holds that of a month the last line speaks, also after it was corrected to nothing and claimed anew, and
// that a leave which becomes known stops the approval of later months.
func TestClaims_GoOnOnceALeaveIsTakenBack(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		later := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00)))
		left := costing("CC 1", 1_000_00)
		left.LeftDate = "2025-10-15"
		s.approved(t, entry("U1", "2025-10", left))
		_, err := s.decide(t, later, true, "")
		require.Equal(t, "FACTS_CHANGED", claimReason(err))
		require.ErrorContains(t, err, "ended on 2025-10-15")
		_, err = s.decide(t, later, false, "left in October")
		require.NoError(t, err)
		twice := s.submit(t, entry("U1", "2025-10", costing("CC 1", 2_000_00)))
		require.Zero(t, twice.GetLines()[0].GetPayablePence(), "claimed already")
		_, err = s.decide(t, twice, true, "")
		require.NoError(t, err)
		require.Zero(t, s.submit(t, entry("U1", "2025-12", costing("CC 1", 2_000_00))).GetLines()[0].GetPayablePence(), "what comes to nothing takes back no leave")
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 0)))
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 2_000_00)))
		require.Equal(t, int64(2_000_00), s.approved(t, entry("U1", "2025-11", costing("CC 1", 2_000_00))).GetLines()[0].GetApprovedPence())
		list, err := s.arrs.ListEngagements(s.as(t, network("manager", "U1")), &arrsv1.ListEngagementsRequest{})
		require.NoError(t, err)
		require.Empty(t, list.GetEngagements()[0].GetEndsOn())
	})
}

// TestDecideClaim_ApprovesWhatItWouldComeToNow holds that nothing is approved for a month that has not begun, nor on facts that were decided
// otherwise since.
func TestDecideClaim_ApprovesWhatItWouldComeToNow(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		future := s.submit(t, entry("U1", "2026-02", costing("CC 1", 1_000_00)))
		_, err := s.decide(t, future, true, "")
		require.Equal(t, "MONTH_NOT_STARTED", claimReason(err))
		forecast, err := s.arrs.GetForecast(s.as(t, network("manager", "U1")), &arrsv1.GetForecastRequest{PcnCode: "U1", FinancialYear: "2025-26"})
		require.NoError(t, err)
		require.Equal(t, "2025-03", forecast.GetAsOfMonth(), "a claim for a month to come tells of no month worked")

		claim := s.submit(t, entry("U1", "2025-11", costing("CC 1", 1_000_00)))
		since := func(role string, from period.Month) {
			s.decided(t, store.DecisionRow{Kind: store.EmployedWTE, PCNCode: "U1", Role: role, Value: "1", DecidedAt: sqldb.Micros(s.clock.Now()), Months: rules.Months{From: from}})
			s.clock.Advance(time.Second)
		}
		s.clock.Advance(time.Second)
		since("CP", period.NewMonth(2025, time.April))
		since("CC", period.NewMonth(2025, time.December))
		since("CC", period.NewMonth(2025, time.October))
		_, err = s.decide(t, claim, true, "")
		require.Equal(t, "FACTS_CHANGED", claimReason(err))
		require.ErrorContains(t, err, "EMPLOYED_WTE")
		claim, err = s.amend(t, claim, entry("U1", "2025-11", costing("CC 1", 1_000_00)))
		require.NoError(t, err)
		_, err = s.decide(t, claim, true, "")
		require.NoError(t, err, "assessed anew")
	})
}
