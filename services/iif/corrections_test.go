package iif_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

func (s *courseSuite) propose(t testing.TB) (*iifv1.Correction, error) {
	t.Helper()
	return s.iif.ProposeCorrection(s.as(t, testkit.Preparer(courseBody)), &iifv1.ProposeCorrectionRequest{
		RequestId: s.next(), CommissionerCode: courseBody, PcnCode: coursePCN, FinancialYear: courseYear, Reason: "the extract was wrong",
	})
}

func (s *courseSuite) decideCorrection(t testing.TB, who auth.Principal, c *iifv1.Correction, approve bool, why string) (*iifv1.Correction, error) {
	t.Helper()
	return s.iif.DecideCorrection(s.as(t, who), &iifv1.DecideCorrectionRequest{
		RequestId: s.next(), CommissionerCode: courseBody, CorrectionId: c.GetCorrectionId(), Etag: c.GetEtag(), Approve: approve, Reason: why,
	})
}

func (s *courseSuite) closeMonth(t testing.TB, month string) *typev1.PaymentSchedule {
	t.Helper()
	out, err := s.iif.CloseMonth(s.as(t, testkit.Preparer(courseBody)), &iifv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: courseBody, Month: month})
	require.NoError(t, err)
	return out
}

// scheduled approves the year of the first PCN and closes the month that pays it.
func (s *courseSuite) scheduled(t testing.TB) {
	t.Helper()
	s.calculate(t)
	s.nominate(t, coursePCN, testkit.PCNManager().Subject)
	s.bring(t, approvedYear)
	s.clock.Set(s.clock.Now().AddDate(0, 1, 20))
	require.Equal(t, due, s.closeMonth(t, "2026-07").GetPayTotalPence())
	year := s.get(t, coursePCN)
	require.Equal(t, due, year.GetPaidPence())
	require.Zero(t, year.GetCorrectionPence())
	require.NotEmpty(t, year.GetScheduleId())
}

func TestCorrections_PayAndRecoverTheDifference(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		paid := due
		for _, c := range []struct{ numerator, amount int64 }{{74, 57_024}, {60, -199_584}} {
			s.count(t, "A00001", "HI-03", c.numerator, 100)
			require.Equal(t, c.amount, s.get(t, coursePCN).GetCorrectionPence())
			correction, err := s.propose(t)
			require.NoError(t, err)
			require.Equal(t, iifv1.CorrectionState_CORRECTION_PROPOSED, correction.GetState())
			require.Equal(t, c.amount, correction.GetAmountPence())
			require.Len(t, correction.GetLines(), 1)
			line := correction.GetLines()[0]
			require.Equal(t, "HI-03", line.GetIndicatorCode())
			require.Equal(t, c.amount, line.GetAfterPence()-line.GetBeforePence())
			require.NotEmpty(t, line.GetAdjustsLineId())
			w, err := working.FromProto(line.GetWorking())
			require.NoError(t, err)
			pounds, err := working.Evaluate(w)
			require.NoError(t, err)
			require.Equal(t, c.amount, pounds.Num().Int64()*(100/pounds.Denom().Int64()))
			got, err := s.iif.GetCorrection(s.as(t, testkit.PCNManager(coursePCN)), &iifv1.GetCorrectionRequest{CorrectionId: correction.GetCorrectionId()})
			require.NoError(t, err)
			require.Equal(t, paid+c.amount, got.GetResult().GetDuePence())
			require.Len(t, got.GetResult().GetIndicators(), 3)

			_, err = s.propose(t)
			require.Equal(t, "CORRECTION_WAITS", courseReason(err))
			correction, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, true, "")
			require.NoError(t, err)
			require.Equal(t, iifv1.CorrectionState_CORRECTION_APPROVED, correction.GetState())
			require.Zero(t, s.get(t, coursePCN).GetCorrectionPence(), "what is approved and waits for a close counts")
			_, err = s.propose(t)
			require.Equal(t, "NOT_SCHEDULED", courseReason(err))
			require.Equal(t, c.amount, s.closeMonth(t, "2026-07").GetPayTotalPence())
			paid += c.amount
			require.Equal(t, paid, s.get(t, coursePCN).GetPaidPence())
			require.Zero(t, s.get(t, coursePCN).GetCorrectionPence())
			_, err = s.propose(t)
			require.Equal(t, "NOTHING_TO_CORRECT", courseReason(err))
		}
		require.Equal(t, approvedYear, s.get(t, coursePCN).GetState())
		require.Equal(t, 4, s.rows(t, `outbox WHERE type = 'pcnfunding.iif.v1.CorrectionChanged'`))
	})
}

func TestCorrections_GoByTheMembersOfTheRegisterNow(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = false })
		correction, err := s.propose(t)
		require.NoError(t, err)
		require.Equal(t, []string{"A00001"}, correction.GetResult().GetPracticeCodes())
		require.Len(t, correction.GetLines(), 2)
		require.Negative(t, correction.GetAmountPence())
		// What a correction would come to follows the members that it was made by, once it is approved.
		require.Zero(t, s.get(t, coursePCN).GetCorrectionPence())
		_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, true, "")
		require.NoError(t, err)
		require.Zero(t, s.get(t, coursePCN).GetCorrectionPence())
	})
}

func TestCorrections_AreDecidedByAnotherWhoMadeNothingOfThem(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		s.count(t, "A00001", "HI-03", 74, 100)
		correction, err := s.propose(t)
		require.NoError(t, err)
		for _, maker := range []string{testkit.Preparer().Subject, author().Subject, counter().Subject} {
			_, err = s.decideCorrection(t, named(testkit.Approver(courseBody), maker), correction, true, "")
			require.Equal(t, "APPROVER_IS_MAKER", courseReason(err), maker)
		}
		_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, false, " ")
		require.Equal(t, "REASON_REQUIRED", courseReason(err))
		_, err = s.iif.DecideCorrection(s.as(t, testkit.Approver(courseBody)), &iifv1.DecideCorrectionRequest{
			RequestId: s.next(), CommissionerCode: courseBody, CorrectionId: correction.GetCorrectionId(), Etag: "9", Approve: true,
		})
		require.Equal(t, "VERSION_CHANGED", courseReason(err))
		_, err = s.iif.DecideCorrection(s.as(t, testkit.Approver("QZZ")), &iifv1.DecideCorrectionRequest{
			RequestId: s.next(), CommissionerCode: "QZZ", CorrectionId: correction.GetCorrectionId(), Etag: correction.GetEtag(), Approve: true,
		})
		require.Equal(t, "CORRECTION_NOT_FOUND", courseReason(err))
		rejected, err := s.decideCorrection(t, testkit.Approver(courseBody), correction, false, "the extract was right")
		require.NoError(t, err)
		require.Equal(t, iifv1.CorrectionState_CORRECTION_REJECTED, rejected.GetState())
		require.Equal(t, "the extract was right", rejected.GetDecisionReason())
		_, err = s.decideCorrection(t, testkit.Approver(courseBody), rejected, true, "")
		require.Equal(t, "CORRECTION_STATE_DIFFERS", courseReason(err))
		require.Zero(t, s.closeMonth(t, "2026-07").GetSequence()-1, "nothing new is due")
		_, err = s.propose(t)
		require.NoError(t, err, "it may be proposed again")
	})
}

func TestCorrections_AreOfApprovedAndScheduledYears(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		_, err := s.propose(t)
		require.Equal(t, "YEAR_NOT_CALCULATED", courseReason(err))
		s.calculate(t)
		_, err = s.propose(t)
		require.Equal(t, "NOT_APPROVED", courseReason(err))
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.bring(t, approvedYear)
		_, err = s.propose(t)
		require.Equal(t, "NOT_SCHEDULED", courseReason(err))
		s.clock.Set(s.clock.Now().AddDate(0, 1, 20))
		s.closeMonth(t, "2026-07")
		// A count that is hidden leaves the year without a whole sum: nothing is recovered on a guess.
		_, err = s.iif.RecordCounts(s.as(t, counter(courseBody)), &iifv1.RecordCountsRequest{
			RequestId: s.next(), CommissionerCode: courseBody, OrganisationCode: "A00001", FinancialYear: courseYear, AchievedOn: courseDay.String(),
			Counts: &iifv1.IndicatorCounts{IndicatorCode: "HI-03", Numerator: &iifv1.Count{Suppressed: true}, Denominator: &iifv1.Count{Suppressed: true}}, Reason: "hidden",
		})
		require.NoError(t, err)
		_, err = s.propose(t)
		require.Equal(t, "RESULT_INCOMPLETE", courseReason(err))
		require.Nil(t, s.get(t, coursePCN).CorrectionPence)
		_, err = s.iif.ProposeCorrection(s.as(t, testkit.Preparer("QZZ")), &iifv1.ProposeCorrectionRequest{
			RequestId: s.next(), CommissionerCode: "QZZ", PcnCode: coursePCN, FinancialYear: courseYear, Reason: "not ours",
		})
		require.Equal(t, "YEAR_NOT_CALCULATED", courseReason(err))
	})
}

func TestListCorrections_NewestFirstForThoseWhoMay(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		s.count(t, "A00001", "HI-03", 74, 100)
		var made []string
		for range 3 {
			correction, err := s.propose(t)
			require.NoError(t, err)
			made = append([]string{correction.GetCorrectionId()}, made...)
			_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, false, "no")
			require.NoError(t, err)
		}
		list := func(who auth.Principal) (out []string) {
			req := &iifv1.ListCorrectionsRequest{PageSize: 2, FinancialYear: courseYear}
			for {
				page, err := s.iif.ListCorrections(s.as(t, who), req)
				require.NoError(t, err)
				for _, c := range page.GetCorrections() {
					assert.Nil(t, c.GetLines()[0].GetWorking())
					out = append(out, c.GetCorrectionId())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return out
				}
			}
		}
		require.Equal(t, made, list(testkit.Auditor(courseBody)))
		require.Equal(t, made, list(testkit.PCNManager(coursePCN)))
		require.Empty(t, list(testkit.Auditor("QZZ")))
		require.Empty(t, list(testkit.PCNManager(courseOthers)))
		_, err := s.iif.GetCorrection(s.as(t, testkit.Auditor("QZZ")), &iifv1.GetCorrectionRequest{CorrectionId: made[0]})
		require.Equal(t, "CORRECTION_NOT_FOUND", courseReason(err))
	})
}

func TestCorrections_AreRejectedWhateverHasBecomeOfTheirResult(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		s.count(t, "A00001", "HI-03", 74, 100)
		correction, err := s.propose(t)
		require.NoError(t, err)
		s.rekeep(t, func(row *store.ResultRow) { row.Due++ })
		_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, true, "")
		require.Error(t, err)
		_, err = s.decideCorrection(t, named(testkit.Approver(courseBody), testkit.Preparer().Subject), correction, false, "not ours")
		require.Equal(t, "APPROVER_IS_MAKER", courseReason(err), "who proposed it")
		rejected, err := s.decideCorrection(t, testkit.Approver(courseBody), correction, false, "it cannot be read")
		require.NoError(t, err)
		require.Equal(t, iifv1.CorrectionState_CORRECTION_REJECTED, rejected.GetState())
	})
}

func TestCorrections_AreApprovedOnlyWhileTheyHold(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.scheduled(t)
		for name, alter := range map[string]func(){
			"counts": func() { s.count(t, "A00001", "HI-03", 70, 100) },
			"members": func() {
				s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = false })
			},
		} {
			s.count(t, "A00001", "HI-03", 74, 100)
			correction, err := s.propose(t)
			require.NoError(t, err)
			alter()
			_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, true, "")
			require.Equal(t, "RESULT_OUTDATED", courseReason(err), name)
			require.Zero(t, s.closeMonth(t, "2026-07").GetSequence()-1, "nothing new is due")
			_, err = s.decideCorrection(t, testkit.Approver(courseBody), correction, false, "it was amended")
			require.NoError(t, err, name)
			s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = true })
		}
	})
}
