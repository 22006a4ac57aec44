package arrs_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// correcting makes a correction of lines.
func correcting(pcn, month string, lines ...*arrsv1.LineEntry) *arrsv1.ClaimEntry {
	in := entry(pcn, month, lines...)
	in.Kind = arrsv1.ClaimKind_CORRECTION
	return in
}

// put puts a claim forward in somebody's name.
func (s *claimSuite) put(t testing.TB, by auth.Principal, in *arrsv1.ClaimEntry) (*arrsv1.Claim, error) {
	t.Helper()
	out, err := s.arrs.SubmitClaim(s.as(t, by), &arrsv1.SubmitClaimRequest{RequestId: s.next(), Claim: in})
	s.balanced(t)
	return out, err
}

// closes closes a month of 15N, and returns its newest schedule.
func (s *claimSuite) closes(t testing.TB, month string) *typev1.PaymentSchedule {
	t.Helper()
	out, err := s.arrs.CloseMonth(s.as(t, testkit.Preparer("15N")), &arrsv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: "15N", Month: month})
	require.NoError(t, err)
	s.balanced(t)
	return out
}

func TestCorrection_TakesThePlaceOfWhatWasApproved(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		claim := s.submit(t, entry("U1", "2025-10", costing("CC 1", 2_000_00), costing("CC 2", 1_000_00)))
		first, err := s.decide(t, claim, true, "no rota yet", &arrsv1.LineDecision{LineId: claim.GetLines()[1].GetLineId(), ApprovedPence: 600_00, Reason: "no rota yet"})
		require.NoError(t, err)
		paid := s.closes(t, "2025-10")
		require.Equal(t, int64(2_600_00), paid.GetPayTotalPence())

		correction := s.submit(t, correcting("U1", "2025-10", costing("CC 1", 1_500_00), costing("CC 2", 1_000_00)))
		require.Equal(t, []int64{2_000_00, 600_00}, []int64{correction.GetLines()[0].GetReplacedPence(), correction.GetLines()[1].GetReplacedPence()})
		require.Equal(t, int64(1_500_00), correction.GetLines()[0].GetPayablePence(), "what the month comes to, not a difference")
		require.Equal(t, int64(2_600_00), correction.GetTotals()[0].GetReplacedPence())
		require.Zero(t, s.number(t, `SELECT submitted_pence FROM pots`), "it asks for no more than was approved")
		require.Empty(t, s.closes(t, "2025-11").GetLines(), "nothing is due until it is decided")

		_, err = s.put(t, network("manager", "U1"), correcting("U1", "2025-10", costing("CC 1", 1), costing("CC 1", 1)))
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_WAITS")
		_, err = s.put(t, network("manager", "U1"), entry("U1", "2025-10", costing("CC 1", 1_00)))
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_WAITS")

		decided, err := s.decide(t, correction, true, "")
		require.NoError(t, err)
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_APPROVED, decided.GetState())
		require.Equal(t, int64(2_500_00), s.number(t, `SELECT approved_pence FROM pots`))
		was, err := s.arrs.GetClaim(s.as(t, network("manager", "U1")), &arrsv1.GetClaimRequest{ClaimId: first.GetClaimId()})
		require.NoError(t, err)
		require.Equal(t, decided.GetLines()[0].GetLineId(), was.GetLines()[0].GetReplacedByLineId())
		require.Equal(t, int64(2_000_00), was.GetLines()[0].GetApprovedPence(), "what was decided stays to be read")

		taken := s.closes(t, "2025-10")
		require.Equal(t, int64(-100_00), taken.GetPayTotalPence())
		require.Len(t, taken.GetLines(), 1)
		require.Equal(t, paid.GetLines()[0].GetLineId(), taken.GetLines()[0].GetAdjustsLineId())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_CLAIM_CORRECTED, taken.GetLines()[0].GetAdjustmentCause())
		require.Contains(t, taken.GetLines()[0].GetBasis().GetClause(), "1 correction for 2025-10")
		require.Equal(t, int64(2_500_00), s.number(t, `SELECT scheduled_pence FROM pots`))
	})
}

func TestCorrection_OfACorrectionPaysWhatIsStillDue(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
		require.Equal(t, int64(1_000_00), s.closes(t, "2025-10").GetPayTotalPence())
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_800_00)))
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_300_00)))
		require.Equal(t, int64(300_00), s.closes(t, "2025-11").GetPayTotalPence(), "the correction in between was never scheduled")
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_200_00)))
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_300_00)))
		require.Empty(t, s.closes(t, "2025-12").GetLines(), "it is what was paid")

		nothing := s.approved(t, correcting("U1", "2025-10", costing("CC 1", 0)))
		require.Equal(t, arrsv1.ClaimState_CLAIM_STATE_APPROVED, nothing.GetState())
		anew := s.approved(t, entry("U1", "2025-10", costing("CC 1", 700_00)))
		require.Equal(t, int64(700_00), anew.GetLines()[0].GetApprovedPence(), "the month is free to be claimed")
		require.Equal(t, int64(-600_00), s.closes(t, "2025-12").GetPayTotalPence(), "£1,300 is taken off, and £700 due")
		require.Equal(t, int64(700_00), s.number(t, `SELECT scheduled_pence FROM pots`))
	})
}

func TestCorrection_RefusesWhatItCannotReplace(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(3_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		manager := network("manager", "U1")
		waits := s.submit(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
		_, err := s.put(t, manager, correcting("U1", "2025-10", costing("CC 1", 900_00), costing("CC 2", 1)))
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_WAITS")
		require.Contains(t, fields(err), "claim.lines[1].label NOTHING_TO_CORRECT")
		_, err = s.decide(t, waits, true, "")
		require.NoError(t, err)
		_, err = s.put(t, manager, correcting("U1", "2025-10", costing("CC 1", 900_00), costing("CC 1", 1)))
		require.Contains(t, fields(err), "claim.lines[1].label ALREADY_CLAIMED")
		_, err = s.put(t, network("stranger", "U2"), correcting("U1", "2025-10", costing("CC 1", 0)))
		require.Equal(t, "RESOURCE_NOT_FOUND", claimReason(err))
		_, err = s.put(t, testkit.Preparer("16C"), correcting("U1", "2025-10", costing("CC 1", 0)))
		require.Equal(t, "RESOURCE_NOT_FOUND", claimReason(err))

		s.approved(t, entry("U1", "2025-11", costing("CC 1", 1_500_00)))
		more := s.submit(t, correcting("U1", "2025-10", costing("CC 1", 2_000_00)))
		require.Equal(t, int64(1_500_00), more.GetLines()[0].GetPayablePence(), "what is left of the sum, and what was approved before")
		require.Equal(t, int64(500_00), s.number(t, `SELECT submitted_pence FROM pots`))
		_, err = s.decide(t, more, false, "not agreed")
		require.NoError(t, err)
		require.Equal(t, int64(2_500_00), s.number(t, `SELECT approved_pence FROM pots`), "what was approved stands")

		preparer := testkit.Preparer("15N")
		recovered, err := s.put(t, preparer, correcting("U1", "2025-10", costing("CC 1", 0)))
		require.NoError(t, err, "a commissioner recovers what a PCN does not give back")
		preparer.Roles = append(preparer.Roles, testkit.Approver("15N").Roles...)
		_, err = s.arrs.DecideClaim(s.as(t, preparer), &arrsv1.DecideClaimRequest{RequestId: s.next(), ClaimId: recovered.GetClaimId(), Etag: recovered.GetEtag(), Approve: true})
		require.Equal(t, "DECIDER_IS_SUBMITTER", claimReason(err))
		other := testkit.Preparer("15N")
		other.Subject = "another"
		_, err = s.arrs.WithdrawClaim(s.as(t, other), &arrsv1.WithdrawClaimRequest{RequestId: s.next(), ClaimId: recovered.GetClaimId(), Etag: recovered.GetEtag(), Reason: "no"})
		require.Equal(t, "CLAIM_NOT_FOUND", claimReason(err))
		_, err = s.arrs.WithdrawClaim(s.as(t, preparer), &arrsv1.WithdrawClaimRequest{RequestId: s.next(), ClaimId: recovered.GetClaimId(), Etag: recovered.GetEtag(), Reason: "a mistake"})
		require.NoError(t, err)
	})
}

// TestCorrection_MovesNoPot holds that what one pot paid is not taken off another.
func TestCorrection_MovesNoPot(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2024, 1, map[rules.Pot]money.Pence{rules.MainPot: 50_000_00, rules.GPPot: 50_000_00})
		s.clock.Set(day(2025, 3, 10))
		was := s.engage(t, "U1", "X", func(r *arrsv1.RecordEngagementRequest) { r.Terms.StartDate = "2024-10-01" })
		s.approved(t, entry("U1", "2025-01", costing("X", 1_000_00)))
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{
				RoleCode: "GP", PerWeek: "9", StartDate: "2024-10-01", Facts: &arrsv1.EngagementFacts{
					TrainedOn: "2024-08-01", SubstantiveGpBefore: arrsv1.Answer_NO, Temporary: arrsv1.Answer_NO, SalariedElsewhere: arrsv1.Answer_NO, ModelTerms: arrsv1.Answer_YES,
				},
			},
		})
		require.NoError(t, err)
		_, err = s.put(t, network("manager", "U1"), correcting("U1", "2025-01", costing("X", 1_000_00)))
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_OF_OTHER_POT")
		s.approved(t, correcting("U1", "2025-01", costing("X", 0)))
		s.approved(t, entry("U1", "2025-01", costing("X", 1_000_00)))
		require.Equal(t, int64(1_000_00), s.number(t, `SELECT approved_pence FROM pots WHERE pot = 'gp'`))
		require.Zero(t, s.number(t, `SELECT approved_pence FROM pots WHERE pot = 'main'`))
	})
}

// TestCorrection_OfPayUnderEachOthersNamesComesToNothing holds that a claim of which nothing is due in sum is closed as any other.
func TestCorrection_OfPayUnderEachOthersNamesComesToNothing(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 2_000_00), costing("CC 2", 1_000_00)))
		s.closes(t, "2025-10")
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_000_00), costing("CC 2", 2_000_00)))
		s.approved(t, entry("U1", "2025-11", costing("CC 1", 500_00)))
		closed := s.closes(t, "2025-11")
		require.Equal(t, int64(500_00), closed.GetPayTotalPence())
		require.Len(t, closed.GetLines(), 1)
		require.Zero(t, s.number(t, `SELECT COUNT(*) FROM claim_lines WHERE live AND schedule_id = ''`), "it waits for no other close")
	})
}

// erasedUnderUplift has the claim of a month erased, and the uplift of the month, which was decided later, not yet.
func erasedUnderUplift(t *testing.T, s *claimSuite) {
	t.Helper()
	s.register.set(closePCN("U1", "15N", ""))
	s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
	s.engage(t, "U1", "CC 1")
	s.clock.Set(day(2025, 7, 10))
	s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_050_00)))
	s.closes(t, "2025-06")
	s.clock.Set(day(2025, 9, 10))
	s.approved(t, uplifting("U1", "2025-08", "2025-06", 3_200_00))
	s.closes(t, "2025-08")
	s.clock.Set(day(2032, 8, 1)) // 84 months after the claim, and not after the uplift
	n, err := s.service.Erase(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// uplifting makes an uplift of one line that was passed on.
func uplifting(pcn, month, of string, pence int64) *arrsv1.ClaimEntry {
	in := entry(pcn, month, &arrsv1.LineEntry{Label: "CC 1", UpliftMonth: of, SalaryPence: pence, PassedOn: true})
	in.Kind = arrsv1.ClaimKind_UPLIFT
	return in
}

// TestCorrection_LeavesWhatIsErased holds that a month of which nobody knows any more what was paid is never paid again.
func TestCorrection_LeavesWhatIsErased(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		erasedUnderUplift(t, s)
		_, err := s.put(t, testkit.Preparer("15N"), correcting("U1", "2025-06", costing("CC 1", 3_200_00)))
		require.Contains(t, fields(err), "claim.lines[0].label NOTHING_TO_CORRECT what was approved of CC 1 for 2025-06 is past its time")
		again, err := s.put(t, testkit.Preparer("15N"), uplifting("U1", "2025-08", "2025-06", 3_200_00))
		require.NoError(t, err)
		require.Zero(t, again.GetLines()[0].GetPayablePence())
	})
}

func TestErase_KeepsWhatACorrectionWaitsFor(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.clock.Set(day(2025, 7, 10))
		s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_000_00)))
		s.closes(t, "2025-06")
		s.clock.Set(day(2032, 6, 30))
		correction, err := s.put(t, testkit.Preparer("15N"), correcting("U1", "2025-06", costing("CC 1", 2_000_00)))
		require.NoError(t, err)
		s.clock.Set(day(2032, 8, 1))
		erased := func() int {
			n, err := s.service.Erase(t.Context())
			require.NoError(t, err)
			return n
		}
		require.Zero(t, erased())
		_, err = s.decide(t, correction, true, "")
		require.NoError(t, err)
		require.Equal(t, int64(-1_000_00), s.closes(t, "2025-06").GetPayTotalPence())
		require.Equal(t, 1, erased())
	})
}

// TestCorrection_KeepsOtherClaimsOfTheMonthOut holds that what a correction restates is not claimed beside it.
func TestCorrection_KeepsOtherClaimsOfTheMonthOut(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		was := s.engage(t, "U1", "CC 1")
		part := func(pence int64) *arrsv1.LineEntry {
			line := costing("CC 1", pence)
			line.LeftDate = "2025-10-15"
			return line
		}
		s.approved(t, entry("U1", "2025-10", part(1_000_00)))
		correction := s.submit(t, correcting("U1", "2025-10", costing("CC 1", 900_00)))
		require.Equal(t, int64(900_00), correction.GetLines()[0].GetPayablePence())
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-10-20"},
		})
		require.NoError(t, err)
		_, err = s.put(t, network("manager", "U1"), entry("U1", "2025-10", costing("CC 1", 500_00)))
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_WAITS")
		_, err = s.importFile(t, testkit.Preparer("15N"), &arrsv1.ClaimsHeader{RequestId: s.next(), Declared: true}, claimsHeader+"U1,2025-10,CC 1,,,500,0,0,,\n")
		require.Contains(t, fields(err), "line 2, label CORRECTION_WAITS")
		_, err = s.decide(t, correction, true, "")
		require.NoError(t, err)
		second := s.submit(t, entry("U1", "2025-10", costing("CC 1", 500_00)))
		require.Equal(t, "ALREADY_CLAIMED", second.GetLines()[0].GetParts()[0].GetReason(), "a month of an engagement is claimed once, whatever its days")
	})
}

// TestCorrection_TakesOffNoMoreThanItAsksFor holds for an approver who cuts it, for hours that changed since, and for a sum that was lowered.
func TestCorrection_TakesOffNoMoreThanItAsksFor(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		was := s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 3_000_00), costing("CC 2", 1_000_00)))
		up := s.submit(t, correcting("U1", "2025-10", costing("CC 2", 1_100_00)))
		cut := func(pence int64) error {
			_, err := s.decide(t, up, true, "no", &arrsv1.LineDecision{LineId: up.GetLines()[0].GetLineId(), ApprovedPence: pence, Reason: "no"})
			return err
		}
		require.Contains(t, fields(cut(999_99)), "lines[0].approved_pence APPROVED_BELOW_REPLACED")
		require.NoError(t, cut(1_000_00))
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{
				RoleCode: "CC", PerWeek: "18.75", StartDate: "2025-04-02", EmployerCode: "A1",
			},
		})
		require.NoError(t, err)
		more := s.submit(t, correcting("U1", "2025-10", costing("CC 1", 3_001_00)))
		require.Equal(t, int64(3_001_00), more.GetLines()[0].GetPayablePence(), "by the hours that were claimed")
		require.ElementsMatch(t, []string{"start_date", "employer_code"}, more.GetLines()[0].GetChangedTerms())
		half := correcting("U1", "2025-10", costing("CC 1", 3_001_00))
		half.Lines[0].PerWeek = "18.75"
		more, err = s.amend(t, more, half)
		require.NoError(t, err)
		require.Less(t, more.GetLines()[0].GetPayablePence(), int64(1_600_00), "by those it states")
		_, err = s.withdraw(t, more)
		require.NoError(t, err)
	})
}

func TestCorrection_StandsWhereTheSumWasLowered(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		approved := s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00), costing("CC 2", 1_000_00)))
		require.Equal(t, int64(2_000_00), approved.GetTotals()[0].GetApprovedPence())
		s.fix(t, "U1", "15N", 2025, 2, single(1_500_00))
		one, err := s.arrs.CheckClaim(s.as(t, network("manager", "U1")), &arrsv1.CheckClaimRequest{Claim: correcting("U1", "2025-10", costing("CC 2", 1_010_00))})
		require.NoError(t, err)
		require.Equal(t, int64(1_000_00), one.GetLines()[0].GetPayablePence(), "what stood goes no higher by itself")
		less, err := s.arrs.SubmitClaim(s.as(t, network("manager", "U1")), &arrsv1.SubmitClaimRequest{
			RequestId: s.next(), Claim: correcting("U1", "2025-10", costing("CC 1", 990_00), costing("CC 2", 1_010_00)),
		})
		require.NoError(t, err)
		require.Equal(t, int64(990_00), less.GetLines()[0].GetPayablePence(), "no more is taken off than it says")
		require.Equal(t, int64(1_010_00), less.GetLines()[1].GetPayablePence(), "and what one line frees is there for the other")
	})
}

// TestCorrection_IsOfTheBodyThatPaid holds in whatever order two bodies close, after a PCN went from one to another that took over no debt.
func TestCorrection_IsOfTheBodyThatPaid(t *testing.T) {
	for _, order := range [][]string{{"15N", "16C"}, {"16C", "15N"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			eachClaims(t, func(t *testing.T, s *claimSuite) {
				s.paidBefore16C(t)
				s.by16C(t, correcting("U1", "2025-10", costing("CC 1", 0)))
				s.by16C(t, entry("U1", "2025-10", costing("CC 2", 300_00)))
				due := make(map[string]int64)
				for _, code := range order {
					due[code] = s.closeOf(t, code, "2025-12")
				}
				require.Equal(t, map[string]int64{"15N": -1_000_00, "16C": 300_00}, due)
			})
		})
	}
}

// TestCorrection_WithoutAPayeeIsNettedLater holds that what is kept for want of a payee, and what a correction takes off it, are both taken
// back and given to the payee once there is one.
func TestCorrection_WithoutAPayeeIsNettedLater(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		without := closePCN("U1", "15N", "")
		without.Payee = nil
		s.register.set(without)
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
		s.closes(t, "2025-10")
		s.approved(t, correcting("U1", "2025-10", costing("CC 1", 400_00)))
		less := s.closes(t, "2025-10").GetLines()
		require.Len(t, less, 1)
		require.Empty(t, less[0].GetAdjustsLineId(), "each is taken back by its own")
		s.register.set(closePCN("U1", "15N", ""))
		given := s.closes(t, "2025-10")
		require.Zero(t, given.GetPayTotalPence())
		require.Len(t, given.GetLines(), 3)
		var to int64
		for _, line := range given.GetLines() {
			if line.GetPayee().GetCode() != "" {
				to += line.GetAmountPence()
			}
		}
		require.Equal(t, int64(400_00), to)
	})
}

// TestCorrection_ReplacesTheUpliftToo holds also where the correction was amended before it was decided.
func TestCorrection_ReplacesTheUpliftToo(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.clock.Set(day(2025, 7, 10))
		s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_050_00)))
		require.Equal(t, int64(3_012_50), s.closes(t, "2025-06").GetPayTotalPence())
		s.clock.Set(day(2025, 9, 10))
		s.approved(t, uplifting("U1", "2025-08", "2025-06", 3_200_00)) // not yet in a schedule
		correction := s.submit(t, correcting("U1", "2025-06", costing("CC 1", 3_000_00)))
		require.Equal(t, int64(coordinator), correction.GetLines()[0].GetReplacedPence())
		another, err := s.put(t, network("manager", "U1"), uplifting("U1", "2025-08", "2025-06", 3_200_00))
		require.NoError(t, err)
		require.Equal(t, "ALREADY_CLAIMED", another.GetLines()[0].GetParts()[0].GetReason())
		_, err = s.amend(t, correction, correcting("U1", "2025-06", costing("CC 1", 2_900_00)))
		require.Contains(t, fields(err), "CORRECTION_WAITS", "the uplift waits, though nothing of it is payable")
		_, err = s.withdraw(t, another)
		require.NoError(t, err)
		list, err := s.arrs.ListClaims(s.as(t, network("manager", "U1")), &arrsv1.ListClaimsRequest{State: arrsv1.ClaimState_CLAIM_STATE_SUBMITTED})
		require.NoError(t, err)
		correction, err = s.amend(t, list.GetClaims()[0], correcting("U1", "2025-06", costing("CC 1", 2_900_00)))
		require.NoError(t, err)
		_, err = s.decide(t, correction, true, "")
		require.NoError(t, err)
		require.Equal(t, int64(2_900_00-3_012_50), s.closes(t, "2025-09").GetPayTotalPence())
	})
}

// paidBefore16C has 15N pay £1,000 for October of CC 1, before the PCN goes to 16C, which takes over no debt.
func (s *claimSuite) paidBefore16C(t *testing.T) {
	t.Helper()
	s.register.set(closePCN("U1", "15N", ""), closePCN("U2", "16C", ""), closePCN("U3", "15N", ""))
	s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
	s.engage(t, "U1", "CC 1")
	s.engage(t, "U1", "CC 2")
	s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
	require.Equal(t, int64(1_000_00), s.closes(t, "2025-10").GetPayTotalPence())
	s.fix(t, "U1", "16C", 2025, 2, single(100_000_00))
	s.register.movedFrom, s.register.moved = "2025-11-01", map[string]string{"U1": "16C"}
}

// by16C has a claim put forward and approved by people of 16C.
func (s *claimSuite) by16C(t *testing.T, in *arrsv1.ClaimEntry) *arrsv1.Claim {
	t.Helper()
	in.CommissionerCode = "16C"
	claim, err := s.put(t, testkit.Preparer("16C"), in)
	require.NoError(t, err, fields(err))
	out, err := s.arrs.DecideClaim(s.as(t, testkit.Approver("16C")), &arrsv1.DecideClaimRequest{
		RequestId: s.next(), ClaimId: claim.GetClaimId(), Etag: claim.GetEtag(), Approve: true,
	})
	require.NoError(t, err)
	return out
}

// closeOf closes a month of a body and returns what its newest schedule comes to.
func (s *claimSuite) closeOf(t *testing.T, code, month string) int64 {
	t.Helper()
	out, err := s.arrs.CloseMonth(s.as(t, testkit.Preparer(code)), &arrsv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: code, Month: month})
	require.NoError(t, err, code)
	return out.GetPayTotalPence()
}

// TestCorrection_OfLinesThatTwoBodiesPaid holds that each body takes up its own line of one claim.
func TestCorrection_OfLinesThatTwoBodiesPaid(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.paidBefore16C(t)
		s.by16C(t, entry("U1", "2025-10", costing("CC 2", 300_00)))
		s.by16C(t, correcting("U1", "2025-10", costing("CC 1", 900_00), costing("CC 2", 350_00)))
		require.Equal(t, int64(-100_00), s.closeOf(t, "15N", "2025-12"))
		require.Equal(t, int64(350_00), s.closeOf(t, "16C", "2025-12"))
	})
}

// TestCorrection_ToNothingWaitsForNothing holds that 0 needs no fact.
func TestCorrection_ToNothingWaitsForNothing(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2024, 1, map[rules.Pot]money.Pence{rules.MainPot: 50_000_00, rules.GPPot: 50_000_00})
		s.clock.Set(day(2025, 3, 10))
		facts := &arrsv1.EngagementFacts{TrainedOn: "2024-08-01", SubstantiveGpBefore: arrsv1.Answer_NO, Temporary: arrsv1.Answer_NO, SalariedElsewhere: arrsv1.Answer_NO, ModelTerms: arrsv1.Answer_YES}
		was := s.engage(t, "U1", "X", func(r *arrsv1.RecordEngagementRequest) {
			r.Terms.StartDate, r.Terms.RoleCode, r.Terms.PerWeek, r.Terms.Facts = "2024-10-01", "GP", "9", facts
		})
		s.approved(t, entry("U1", "2025-01", costing("X", 1_000_00)))
		facts.SalariedElsewhere = arrsv1.Answer_ANSWER_UNSPECIFIED
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{RoleCode: "GP", PerWeek: "9", StartDate: "2024-10-01", Facts: facts},
		})
		require.NoError(t, err)
		_, err = s.put(t, network("manager", "U1"), correcting("U1", "2025-01", costing("X", 0)))
		require.NoError(t, err, fields(err))
	})
}

// TestClaims_GoOnWithWhoCameBack holds for an engagement whose start was stated anew after the person had left.
func TestClaims_GoOnWithWhoCameBack(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		was := s.engage(t, "U1", "CC 1")
		part := costing("CC 1", 1_000_00)
		part.LeftDate = "2025-10-15"
		s.approved(t, entry("U1", "2025-10", part))
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "18.75", StartDate: "2025-10-16"},
		})
		require.NoError(t, err)
		later := s.submit(t, entry("U1", "2025-11", costing("CC 1", 1_000_00)))
		require.Equal(t, int64(1_000_00), later.GetLines()[0].GetPayablePence(), later.GetLines()[0].GetParts())
	})
}

// TestCorrection_LendsNoMoneyToAnotherPot holds where the role of what is corrected to 0 has changed pot.
func TestCorrection_LendsNoMoneyToAnotherPot(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2024, 1, map[rules.Pot]money.Pence{rules.MainPot: 50_000_00, rules.GPPot: 1_500_00})
		s.clock.Set(day(2025, 3, 10))
		facts := &arrsv1.EngagementFacts{TrainedOn: "2024-08-01", SubstantiveGpBefore: arrsv1.Answer_NO, Temporary: arrsv1.Answer_NO, SalariedElsewhere: arrsv1.Answer_NO, ModelTerms: arrsv1.Answer_YES}
		was := s.engage(t, "U1", "X", func(r *arrsv1.RecordEngagementRequest) { r.Terms.StartDate = "2024-10-01" })
		s.engage(t, "U1", "G", func(r *arrsv1.RecordEngagementRequest) {
			r.Terms.StartDate, r.Terms.RoleCode, r.Terms.PerWeek, r.Terms.Facts = "2024-10-01", "GP", "9", facts
		})
		s.approved(t, entry("U1", "2025-01", costing("X", 1_000_00), costing("G", 1_500_00)))
		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(), Terms: &arrsv1.EngagementTerms{RoleCode: "GP", PerWeek: "9", StartDate: "2024-10-01", Facts: facts},
		})
		require.NoError(t, err)
		both := s.submit(t, correcting("U1", "2025-01", costing("X", 0), costing("G", 2_400_00)))
		require.Equal(t, int64(1_500_00), both.GetLines()[1].GetPayablePence(), "the GP pot holds £1,500")
	})
}

// TestCorrection_OfACorrectionKeepsTheLastDay holds for its days, and for the months after it.
func TestCorrection_OfACorrectionKeepsTheLastDay(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		left := costing("CC 1", 1_000_00)
		left.LeftDate = "2025-10-15"
		s.approved(t, entry("U1", "2025-10", left))
		first := s.approved(t, correcting("U1", "2025-10", costing("CC 1", 1_100_00)))
		require.Equal(t, "15", first.GetLines()[0].GetTests()[0].GetNumbers()["days claimed"])
		second := s.approved(t, correcting("U1", "2025-10", costing("CC 1", 3_000_00)))
		later := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00)))
		require.Equal(t, "15", second.GetLines()[0].GetTests()[0].GetNumbers()["days claimed"])
		require.Zero(t, later.GetLines()[0].GetPayablePence())
	})
}

// TestUpliftClaim_OfACorrectionKeepsTheLastDay holds for the days that an uplift is of.
func TestUpliftClaim_OfACorrectionKeepsTheLastDay(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.clock.Set(day(2025, 7, 10))
		left := costing("CC 1", 1_600_00)
		left.LeftDate = "2025-06-15"
		s.approved(t, entry("U1", "2025-06", left))
		s.approved(t, correcting("U1", "2025-06", costing("CC 1", 1_600_00)))
		s.clock.Set(day(2025, 9, 10))
		up, err := s.put(t, network("manager", "U1"), uplifting("U1", "2025-08", "2025-06", 3_200_00))
		require.NoError(t, err)
		require.Less(t, up.GetLines()[0].GetPayablePence(), int64(200_00))
	})
}

// TestCorrection_ToNothingStillEndsWithWhoLeft holds though nothing of the line is payable.
func TestCorrection_ToNothingStillEndsWithWhoLeft(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00)))
		left := costing("CC 1", 0)
		left.LeftDate = "2025-10-01"
		s.approved(t, correcting("U1", "2025-10", left))
		later := s.submit(t, entry("U1", "2025-11", costing("CC 1", 2_000_00)))
		require.Zero(t, later.GetLines()[0].GetPayablePence())
	})
}

// TestCorrection_LeavesWhatTwoBodiesPaidToThem holds for a month that one body paid, and its uplift that another did.
func TestCorrection_LeavesWhatTwoBodiesPaidToThem(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.register.set(closePCN("U1", "15N", ""), closePCN("U2", "16C", ""), closePCN("U3", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.clock.Set(day(2025, 7, 10))
		s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_050_00)))
		require.Equal(t, int64(3_012_50), s.closes(t, "2025-06").GetPayTotalPence())
		s.fix(t, "U1", "16C", 2025, 2, single(100_000_00))
		s.register.movedFrom, s.register.moved = "2025-07-01", map[string]string{"U1": "16C"}
		s.clock.Set(day(2025, 9, 10))
		s.by16C(t, uplifting("U1", "2025-08", "2025-06", 3_200_00))
		up := s.closeOf(t, "16C", "2025-08")
		require.Positive(t, up)
		_, err := s.put(t, testkit.Preparer("16C"), func() *arrsv1.ClaimEntry {
			in := correcting("U1", "2025-06", costing("CC 1", 0))
			in.CommissionerCode = "16C"
			return in
		}())
		require.Contains(t, fields(err), "claim.lines[0].label CORRECTION_OF_TWO_BODIES 15N and 16C paid")
	})
}

// TestCorrection_OfSeveralLinesKeepsWhatStoodTogether holds for pay entered under each other's names, whatever the order of the lines and
// whatever is left of the sum.
func TestCorrection_OfSeveralLinesKeepsWhatStoodTogether(t *testing.T) {
	for name, sum := range map[string]money.Pence{"used up": 3_000_00, "lowered": 2_500_00} {
		t.Run(name, func(t *testing.T) {
			eachClaims(t, func(t *testing.T, s *claimSuite) {
				s.fix(t, "U1", "15N", 2025, 1, single(3_000_00))
				s.engage(t, "U1", "CC 1")
				s.engage(t, "U1", "CC 2")
				s.approved(t, entry("U1", "2025-10", costing("CC 1", 1_000_00), costing("CC 2", 2_000_00)))
				s.fix(t, "U1", "15N", 2025, 2, single(sum))
				for _, lines := range [][]*arrsv1.LineEntry{
					{costing("CC 1", 2_000_00), costing("CC 2", 1_000_00)}, {costing("CC 2", 1_000_00), costing("CC 1", 2_000_00)}, {costing("CC 1", 3_000_00), costing("CC 2", 0)},
				} {
					checked, err := s.arrs.CheckClaim(s.as(t, network("manager", "U1")), &arrsv1.CheckClaimRequest{Claim: correcting("U1", "2025-10", lines...)})
					require.NoError(t, err, fields(err))
					require.Equal(t, int64(3_000_00), checked.GetTotals()[0].GetPayablePence())
					require.Equal(t, lines[0].GetLabel(), checked.GetLines()[0].GetLabel(), "in the order in which they were entered")
				}
			})
		})
	}
}

// TestCorrection_FreesWhatItCameTo holds for money that is taken off otherwise than by a lower cost: fewer hours over the maximum, or an
// engagement that by now had ended before.
func TestCorrection_FreesWhatItCameTo(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		was := s.engage(t, "U1", "CC 1")
		s.engage(t, "U1", "CC 2")
		full := s.approved(t, entry("U1", "2025-10", costing("CC 1", 5_000_00), costing("CC 2", 1_000_00))).GetTotals()[0].GetApprovedPence()
		s.fix(t, "U1", "15N", 2025, 2, single(money.Pence(full)))
		check := func(lines ...*arrsv1.LineEntry) *arrsv1.Claim {
			checked, err := s.arrs.CheckClaim(s.as(t, network("manager", "U1")), &arrsv1.CheckClaimRequest{Claim: correcting("U1", "2025-10", lines...)})
			require.NoError(t, err, fields(err))
			return checked
		}
		half := costing("CC 1", 5_000_00)
		half.PerWeek = "18.75"
		first, last := check(half, costing("CC 2", 2_000_00)), check(costing("CC 2", 2_000_00), half)
		require.Equal(t, int64(2_000_00), first.GetLines()[1].GetPayablePence())
		require.Equal(t, int64(2_000_00), last.GetLines()[0].GetPayablePence())
		require.Equal(t, first.GetTotals()[0].GetPayablePence(), last.GetTotals()[0].GetPayablePence())

		_, err := s.arrs.ChangeEngagement(s.as(t, network("manager", "U1")), &arrsv1.ChangeEngagementRequest{
			RequestId: s.next(), EngagementId: was.GetEngagementId(), Etag: was.GetEtag(),
			Terms: &arrsv1.EngagementTerms{RoleCode: "CC", PerWeek: "37.5", StartDate: "2025-04-01", EndDate: "2025-09-30"},
		})
		require.NoError(t, err)
		gone := check(costing("CC 1", 0), costing("CC 2", 2_000_00))
		require.Equal(t, int64(2_000_00), gone.GetLines()[1].GetPayablePence(), "what was paid outside the engagement is there for others")
	})
}

// TestCorrection_ToNothingLeavesWorkingTimeToOthers holds for two engagements of one person, of which one should never have been claimed.
func TestCorrection_ToNothingLeavesWorkingTimeToOthers(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		person := func(r *arrsv1.RecordEngagementRequest) { r.PersonReference, r.Terms.PerWeek = "A1", "30" }
		s.engage(t, "U1", "CC 1", person)
		s.engage(t, "U1", "CC 2", person)
		s.approved(t, entry("U1", "2025-10", costing("CC 1", 2_000_00), costing("CC 2", 2_000_00)))
		for _, lines := range [][]*arrsv1.LineEntry{{costing("CC 1", 0), costing("CC 2", 2_000_00)}, {costing("CC 2", 2_000_00), costing("CC 1", 0)}} {
			checked, err := s.arrs.CheckClaim(s.as(t, network("manager", "U1")), &arrsv1.CheckClaimRequest{Claim: correcting("U1", "2025-10", lines...)})
			require.NoError(t, err, fields(err))
			require.Equal(t, int64(2_000_00), checked.GetTotals()[0].GetPayablePence(), "0.8 WTE is within the one that the person may count for")
		}
	})
}

// TestCorrection_GoesByThePriceThatWasKnown holds that a price which was replaced since is paid by an uplift, where it was passed on, and not
// by the way of a correction.
func TestCorrection_GoesByThePriceThatWasKnown(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		s.fix(t, "U1", "15N", 2025, 1, single(100_000_00))
		s.engage(t, "U1", "CC 1")
		s.clock.Set(day(2025, 7, 10))
		s.approved(t, entry("U1", "2025-06", costing("CC 1", 3_200_00)))
		s.clock.Set(day(2025, 9, 10))
		first := s.approved(t, correcting("U1", "2025-06", costing("CC 1", 3_199_99)))
		require.Equal(t, int64(3_012_50), first.GetLines()[0].GetPayablePence())
		second := s.approved(t, correcting("U1", "2025-06", costing("CC 1", 3_200_00)))
		require.Equal(t, int64(3_012_50), second.GetLines()[0].GetPayablePence(), "as known when the month was claimed")
		s.approved(t, uplifting("U1", "2025-08", "2025-06", 3_200_00))
		third := s.submit(t, correcting("U1", "2025-06", costing("CC 1", 3_200_00)))
		require.Equal(t, int64(coordinator), third.GetLines()[0].GetPayablePence(), "the uplift was passed on")
	})
}

// TestCorrection_RandomLivesPayWhatStands holds that whatever is claimed, corrected, decided and closed in whatever order, the schedules
// together come to what is approved of the lines that count.
func TestCorrection_RandomLivesPayWhatStands(t *testing.T) {
	eachClaims(t, func(t *testing.T, s *claimSuite) {
		random := rand.New(rand.NewPCG(3, 5))
		s.register.set(closePCN("U1", "15N", ""))
		s.fix(t, "U1", "15N", 2025, 1, single(12_000_00))
		for i := range 3 {
			s.engage(t, "U1", fmt.Sprintf("CC %d", i))
		}
		months := []string{"2025-10", "2025-11"}
		var waiting []*arrsv1.Claim
		var scheduled int64
		closes := func(month string) {
			before := s.number(t, `SELECT COUNT(*) FROM schedules`)
			if got := s.closes(t, month); s.number(t, `SELECT COUNT(*) FROM schedules`) > before {
				scheduled += got.GetPayTotalPence()
			}
		}
		done := make(map[arrsv1.ClaimKind]int)
		for range 250 {
			month := months[random.IntN(len(months))]
			switch random.IntN(7) {
			case 0, 1, 2:
				var lines []*arrsv1.LineEntry
				for _, at := range random.Perm(3)[:1+random.IntN(3)] {
					lines = append(lines, costing(fmt.Sprintf("CC %d", at), random.Int64N(30)*100_00))
				}
				in := entry("U1", month, lines...)
				if random.IntN(2) == 0 {
					in.Kind = arrsv1.ClaimKind_CORRECTION
				}
				if claim, err := s.put(t, network("manager", "U1"), in); err == nil {
					waiting = append(waiting, claim)
				}
			case 3, 4, 5:
				if len(waiting) == 0 {
					continue
				}
				at := random.IntN(len(waiting))
				claim := waiting[at]
				waiting = append(waiting[:at:at], waiting[at+1:]...)
				if random.IntN(4) == 0 {
					_, err := s.withdraw(t, claim)
					require.NoError(t, err)
					continue
				}
				first := claim.GetLines()[0]
				floor := min(first.GetReplacedPence(), first.GetPayablePence())
				decision := &arrsv1.LineDecision{LineId: first.GetLineId(), ApprovedPence: max(floor, first.GetPayablePence()/int64(1+random.IntN(2))), Reason: "so much"}
				_, err := s.decide(t, claim, random.IntN(5) > 0, "so", decision)
				if claimReason(err) == "CLAIM_INVALID" { // a rejection names no lines
					_, err = s.decide(t, claim, false, "no")
				}
				require.NoError(t, err)
				done[claim.GetKind()]++
			default:
				closes(month)
			}
		}
		closes("2025-10")
		closes("2025-12")
		require.Equal(t, s.number(t, `SELECT COALESCE(SUM(approved_pence), 0) FROM claim_lines WHERE live`), scheduled)
		require.Equal(t, scheduled, s.number(t, `SELECT scheduled_pence FROM pots`))
		require.Equal(t, scheduled, s.number(t, `SELECT approved_pence FROM pots`))
		require.Greater(t, done[arrsv1.ClaimKind_CORRECTION], 15, done)
	})
}
