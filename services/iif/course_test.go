package iif_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

func TestCourse_FromCalculationToApproval(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		out := s.calculate(t)
		require.EqualValues(t, 2, out.GetPcns())
		require.EqualValues(t, 2, out.GetOpened())
		require.Equal(t, "picture-1", out.GetSnapshotId())
		require.Empty(t, out.GetRefusals())
		require.Empty(t, out.GetPcnsMissingCounts())
		year := s.get(t, coursePCN)
		require.Equal(t, provider, year.GetState())
		require.Equal(t, "Awaiting Service Provider Approval", year.GetStateWords())
		require.Equal(t, due, year.GetResult().GetDuePence())
		require.True(t, year.GetResult().GetWhole())
		require.Equal(t, []string{"A00001", "A00002"}, year.GetResult().GetPracticeCodes())
		require.Equal(t, "50000", year.GetResult().GetListSize())
		require.Equal(t, courseDay.String(), year.GetResult().GetAchievedOn())
		require.Nil(t, year.CorrectionPence)
		require.Equal(t, due+s.get(t, courseOthers).GetResult().GetDuePence(), out.GetDuePence())

		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		year, err := s.declare(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, commissioner, year.GetState())
		require.Equal(t, testkit.PCNManager().Subject, year.GetProvider().GetPerson())
		year, err = s.commit(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, "two more nurses", year.GetCommitment().GetText())
		year, err = s.accept(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, financial, year.GetState())
		year, err = s.approve(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, approvedYear, year.GetState())
		require.Equal(t, "2026-07", year.GetPaymentMonth())
		require.Equal(t, "2026-07-20", year.GetPaymentRun().GetPaymentRun().GetPayOn())
		require.Zero(t, year.GetCorrectionPence())
		require.NotNil(t, year.CorrectionPence)

		var steps []string
		for _, step := range year.GetSteps() {
			steps = append(steps, step.GetStep())
		}
		require.Equal(t, []string{
			"SERVICE_AGGREGATED", "PROVIDER_DECLARES", "REINVESTMENT_COMMITTED", "COMMISSIONER_DECLARES", "COMMISSIONER_FINANCIALLY_APPROVES",
		}, steps)
		require.Equal(t, 5, s.rows(t, `outbox WHERE aggregate = 'achievement/QXX/2025-26/U00001'`))
		require.Equal(t, 1, s.rows(t, `outbox WHERE aggregate = 'achievement/QXX/2025-26/U00002'`))
		require.Equal(t, 4, s.rows(t, `audit WHERE resource = 'iif/achievement/QXX/2025-26/U00001'`))
	})
}

func TestGetAchievement_ExplainsEveryPenny(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		result := s.get(t, coursePCN).GetResult()
		require.Len(t, result.GetIndicators(), 3)
		var sum int64
		for _, of := range result.GetIndicators() {
			w, err := working.FromProto(of.GetDue().GetWorking())
			require.NoError(t, err)
			pounds, err := working.Evaluate(w)
			require.NoError(t, err)
			require.Zero(t, pounds.Cmp(money.Pence(of.GetDue().GetAmountPence()).GBP()), of.GetIndicatorCode())
			sum += of.GetDue().GetAmountPence()
		}
		require.Equal(t, result.GetDuePence(), sum)
		w, err := working.FromProto(result.GetWorking())
		require.NoError(t, err)
		pounds, err := working.Evaluate(w)
		require.NoError(t, err)
		require.Zero(t, pounds.Cmp(money.Pence(due).GBP()))
	})
}

// causes change what the year of the first PCN rests on.
var causes = []struct {
	name  string
	cause iifv1.ChangeCause
	alter func(t *testing.T, s *courseSuite)
}{
	{"count amended", iifv1.ChangeCause_DATA_AMENDED, func(t *testing.T, s *courseSuite) { s.count(t, "A00001", "HI-03", 71, 100) }},
	{"answer", iifv1.ChangeCause_ANSWER_CHANGED, func(t *testing.T, s *courseSuite) { s.answer(t, coursePCN, iifv1.Answer_YES) }},
	{"figure", iifv1.ChangeCause_FIGURE_CHANGED, func(t *testing.T, s *courseSuite) {
		s.value(t, "", &iifv1.SchemeValue{IndicatorCode: "CAN-04", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.25"})
	}},
	{"figure of the commissioner", iifv1.ChangeCause_FIGURE_CHANGED, func(t *testing.T, s *courseSuite) {
		s.value(t, courseBody, &iifv1.SchemeValue{IndicatorCode: "HI-03", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.45"})
	}},
	{"setting", iifv1.ChangeCause_FIGURE_CHANGED, func(t *testing.T, s *courseSuite) {
		_, err := s.iif.SetSetting(s.as(t, author("*")), &iifv1.SetSettingRequest{
			RequestId: s.next(), VersionId: "IIF-2025-04", Name: "ROUNDING_PLACE", Value: "POINTS_AND_INDICATOR", Reason: "as the letter has it",
		})
		require.NoError(t, err)
	}},
	{"practice joined", iifv1.ChangeCause_PRACTICE_JOINED_PCN, func(t *testing.T, s *courseSuite) {
		s.put(t, "A00004", "HI-03", 10, 10)
		s.put(t, "A00004", "CAN-04", 10, 10)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) {
			pcns[0].Practices = append(pcns[0].Practices, coursePractice("A00004", 1000))
		})
		s.calculate(t)
	}},
	{"practice left", iifv1.ChangeCause_PRACTICE_LEFT_PCN, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = false })
		s.calculate(t)
	}},
	{"list", iifv1.ChangeCause_DATA_AMENDED, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[0] = coursePractice("A00001", 21_000) })
		s.calculate(t)
	}},
}

func TestCourse_FallsBackFromEveryStateForEveryCause(t *testing.T) {
	after := map[iifv1.AchievementState]iifv1.AchievementState{provider: provider, commissioner: provider, financial: provider, appealed: appealed, open: open}
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		others := s.get(t, courseOthers).GetResult().GetResultId()
		for _, state := range []iifv1.AchievementState{provider, commissioner, financial} {
			for i, c := range causes {
				before := s.bring(t, state)
				c.alter(t, s)
				year := s.get(t, coursePCN)
				require.Equal(t, after[state], year.GetState(), c.name)
				require.NotEqual(t, before.GetResult().GetResultId(), year.GetResult().GetResultId(), c.name)
				require.Equal(t, c.cause, year.GetResult().GetCause(), c.name)
				require.NotEmpty(t, year.GetResult().GetReason(), c.name)
				require.Nil(t, year.GetProvider(), c.name)
				require.Nil(t, year.GetCommissioner(), c.name)
				fell := before.GetFellBack()
				if state != provider {
					fell++
				}
				require.Equal(t, fell, year.GetFellBack(), c.name)
				last := year.GetSteps()[len(year.GetSteps())-1]
				require.Equal(t, "DATA_CHANGED", last.GetStep(), c.name)
				if i < 2 {
					require.Equal(t, others, s.get(t, courseOthers).GetResult().GetResultId(), "another PCN, %s", c.name)
				}
				s.undo(t)
				others = s.get(t, courseOthers).GetResult().GetResultId()
			}
		}
	})
}

// undo brings counts, figures and members back to where they began, through the years that are not approved.
func (s *courseSuite) undo(t *testing.T) {
	t.Helper()
	s.count(t, "A00001", "HI-03", 70, 100)
	s.answer(t, coursePCN, iifv1.Answer_NO)
	s.value(t, "", &iifv1.SchemeValue{IndicatorCode: "CAN-04", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.2"})
	s.value(t, courseBody, &iifv1.SchemeValue{IndicatorCode: "HI-03", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.5"})
	_, err := s.iif.SetSetting(s.as(t, author("*")), &iifv1.SetSettingRequest{
		RequestId: s.next(), VersionId: "IIF-2025-04", Name: "ROUNDING_PLACE", Value: "INDICATOR", Reason: "as it was",
	})
	require.NoError(t, err)
	s.register.change(func(pcns []*registerv1.SnapshotPcn) {
		pcns[0] = courseNetwork(coursePCN, courseBody, map[string]int64{"A00001": 20_000, "A00002": 30_000})
	})
	s.calculate(t)
	require.Equal(t, due, s.get(t, coursePCN).GetResult().GetDuePence())
}

func TestCourse_AChangeUnderAppealStaysThereAndAnOpenYearIsWorkedOutAgain(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		before := s.bring(t, appealed)
		s.count(t, "A00001", "HI-03", 71, 100)
		year := s.get(t, coursePCN)
		require.Equal(t, appealed, year.GetState())
		require.NotEqual(t, before.GetResult().GetResultId(), year.GetResult().GetResultId())
		_, err := s.decide(t, coursePCN, iifv1.Verdict_UPHELD)
		require.NoError(t, err)
		s.count(t, "A00001", "HI-03", 72, 100)
		year = s.get(t, coursePCN)
		require.Equal(t, open, year.GetState())
		require.Equal(t, iifv1.Verdict_UPHELD, year.GetAppeals()[0].GetVerdict())

		out := s.calculate(t)
		require.EqualValues(t, 1, out.GetReworked())
		require.EqualValues(t, 1, out.GetUnchanged())
		again := s.get(t, coursePCN)
		require.Equal(t, provider, again.GetState())
		require.NotEqual(t, year.GetResult().GetResultId(), again.GetResult().GetResultId(), "a result has a name of its own")
		require.Equal(t, year.GetResult().GetDuePence(), again.GetResult().GetDuePence())
	})
}

func TestCourse_AnApprovedYearStaysAndTellsWhatACorrectionWouldComeTo(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		before := s.bring(t, approvedYear)
		s.count(t, "A00001", "HI-03", 74, 100) // two more points in a hundred: 2 / 20 of 36 points at 0.8 × £198
		year := s.get(t, coursePCN)
		require.Equal(t, approvedYear, year.GetState())
		require.Equal(t, before.GetResult().GetResultId(), year.GetResult().GetResultId())
		require.Equal(t, due, year.GetResult().GetDuePence())
		require.EqualValues(t, 57_024, year.GetCorrectionPence())
		out := s.calculate(t)
		require.EqualValues(t, 1, out.GetApproved())
		require.EqualValues(t, 57_024, s.get(t, coursePCN).GetCorrectionPence())
		// Another threshold counts too.
		s.value(t, "", &iifv1.SchemeValue{VersionId: "IIF-2025-04", IndicatorCode: "HI-03", Field: iifv1.ValueField_LOWER_THRESHOLD, Value: "61"})
		require.Less(t, s.get(t, coursePCN).GetCorrectionPence(), int64(57_024))
	})
}

func TestCalculateYear_AgainChangesNothing(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		results, steps := s.rows(t, "results"), s.rows(t, "steps")
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Name = "Renamed" })
		out := s.calculate(t)
		require.EqualValues(t, 2, out.GetUnchanged())
		require.Zero(t, out.GetOpened()+out.GetReworked())
		require.Equal(t, results, s.rows(t, "results"))
		require.Equal(t, steps, s.rows(t, "steps"))
	})
}

func TestCalculateYear_RefusesWhatCannotBeCalculated(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		for _, c := range []struct{ year, commissioner, reason string }{
			{"2026-27", courseBody, "YEAR_NOT_OVER"},
			{"2019-20", courseBody, "YEAR_OUT_OF_RANGE"},
			{"2025-27", courseBody, "YEAR_MALFORMED"},
			{courseYear, "QWW", "COMMISSIONER_NOT_IN_FORCE"},
		} {
			_, err := s.iif.CalculateYear(s.as(t, testkit.Preparer("*")), &iifv1.CalculateYearRequest{
				RequestId: s.next(), CommissionerCode: c.commissioner, FinancialYear: c.year,
			})
			assert.Equal(t, c.reason, courseReason(err), c.year+" "+c.commissioner)
		}
		s.clock.Set(time.Date(2026, time.March, 31, 23, 0, 0, 0, time.UTC))
		_, err := s.iif.CalculateYear(testkit.As(t.Context(), testkit.Preparer("*")), &iifv1.CalculateYearRequest{
			RequestId: s.next(), CommissionerCode: courseBody, FinancialYear: courseYear,
		})
		require.Equal(t, "YEAR_NOT_OVER", courseReason(err))
		s.clock.Set(time.Date(2027, time.June, 1, 9, 0, 0, 0, time.UTC))
		_, err = s.iif.CalculateYear(s.as(t, testkit.Preparer("*")), &iifv1.CalculateYearRequest{
			RequestId: s.next(), CommissionerCode: courseBody, FinancialYear: "2026-27",
		})
		require.Equal(t, "SCHEME_VERSION_UNKNOWN", courseReason(err))
		require.Zero(t, s.rows(t, "achievements"))
	})
}

func TestCalculateYear_NamesWhatIsMissing(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.register.change(func(pcns []*registerv1.SnapshotPcn) {
			pcns[0].Practices = append(pcns[0].Practices, coursePractice("A00009", -1)) // no counts and no list
		})
		out := s.calculate(t)
		require.Equal(t, []string{coursePCN}, out.GetPcnsMissingCounts())
		year := s.get(t, coursePCN)
		require.False(t, year.GetResult().GetWhole())
		require.Equal(t, []string{"HI-03", "CAN-04"}, year.GetResult().GetMissing())
		require.Equal(t, []string{"A00009"}, year.GetResult().GetIncompletePractices())
		require.Empty(t, year.GetResult().GetListSize())
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		_, err := s.declare(t, coursePCN)
		require.Equal(t, "INDICATORS_MISSING", courseReason(err))
		// With the counts the list is what is left to find, and stops the money.
		s.put(t, "A00009", "HI-03", 1, 2)
		s.count(t, "A00009", "CAN-04", 1, 2)
		year = s.get(t, coursePCN)
		require.Empty(t, year.GetResult().GetMissing())
		require.NotEmpty(t, year.GetWaiting())
		for _, step := range []func(testing.TB, string) (*iifv1.Achievement, error){s.declare, s.commit, s.accept} {
			_, err := step(t, coursePCN)
			require.NoError(t, err)
		}
		_, err = s.approve(t, coursePCN)
		require.Equal(t, "FIGURES_MISSING", courseReason(err))
	})
}

func TestCourse_RefusesByName(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		_, err := s.declareFor(t, testkit.PCNManager(coursePCN), "none")
		require.Equal(t, "YEAR_NOT_CALCULATED", courseReason(err))
		s.calculate(t)
		result := s.get(t, coursePCN).GetResult().GetResultId()
		accept := func(p auth.Principal, seen string) error {
			_, err := s.iif.AcceptAchievement(s.as(t, p), &iifv1.AcceptAchievementRequest{
				RequestId: s.next(), CommissionerCode: courseBody, PcnCode: coursePCN, FinancialYear: courseYear, ResultId: seen,
			})
			return err
		}
		_, err = s.declareFor(t, testkit.PCNManager(coursePCN), result)
		require.Equal(t, "NOT_NOMINATED", courseReason(err))
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		_, err = s.declareFor(t, testkit.PCNManager(coursePCN), "another")
		require.Equal(t, "RESULT_CHANGED", courseReason(err))
		_, err = s.declareFor(t, testkit.PCNManager(courseOthers), result)
		require.NotEmpty(t, courseReason(err), "of another PCN")
		require.Equal(t, "STEP_OUT_OF_ORDER", courseReason(accept(testkit.Preparer(courseBody), result)))
		_, err = s.decide(t, coursePCN, iifv1.Verdict_UPHELD)
		require.Equal(t, "STEP_OUT_OF_ORDER", courseReason(err))
		_, err = s.approve(t, coursePCN)
		require.Equal(t, "STEP_OUT_OF_ORDER", courseReason(err))

		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, "APPROVER_IS_MAKER", courseReason(accept(named(testkit.Preparer(courseBody), testkit.PCNManager().Subject), result)))
		require.Equal(t, "RESULT_CHANGED", courseReason(accept(testkit.Preparer(courseBody), "another")))
		require.Equal(t, "YEAR_NOT_CALCULATED", courseReason(s.acceptFor(t, "QZZ", result)))
		require.NoError(t, accept(testkit.Preparer(courseBody), result))

		_, err = s.approve(t, coursePCN)
		require.Equal(t, "REINVESTMENT_COMMITMENT_REQUIRED", courseReason(err))
		_, err = s.iif.CommitReinvestment(s.as(t, testkit.PCNManager(coursePCN)), &iifv1.CommitReinvestmentRequest{
			RequestId: s.next(), PcnCode: coursePCN, FinancialYear: courseYear, Text: " ",
		})
		require.Equal(t, "REINVESTMENT_COMMITMENT_INVALID", courseReason(err))
		_, err = s.commit(t, coursePCN)
		require.NoError(t, err)
		for _, maker := range []string{author().Subject, testkit.PCNManager().Subject, testkit.Preparer().Subject} {
			_, err = s.approveAs(t, named(testkit.Approver(courseBody), maker), coursePCN)
			require.Equal(t, "APPROVER_IS_MAKER", courseReason(err), maker)
		}
		s.clock.Set(time.Date(2026, time.August, 6, 9, 0, 0, 0, time.UTC))
		_, err = s.approve(t, coursePCN)
		require.Equal(t, "PAYMENT_DAY_UNKNOWN", courseReason(err))
		require.Empty(t, s.get(t, coursePCN).GetPaymentMonth())
		s.figure(t, "", &iifv1.AddFigureRequest{Body: &iifv1.AddFigureRequest_PaymentRun{PaymentRun: &iifv1.PaymentRun{ApproveBy: "2026-09-05", PayOn: "2026-09-20"}}})
		_, err = s.approveAs(t, named(testkit.Approver(courseBody), author().Subject), coursePCN)
		require.Equal(t, "APPROVER_IS_MAKER", courseReason(err))
		_, err = s.approve(t, coursePCN)
		require.NoError(t, err)
		require.Equal(t, "2026-09", s.get(t, coursePCN).GetPaymentMonth())
		for name, step := range map[string]func(testing.TB, string) (*iifv1.Achievement, error){
			"declare": s.declare, "commit": s.commit, "appeal": s.appeal, "accept": s.accept, "approve": s.approve,
		} {
			_, err := step(t, coursePCN)
			require.Equal(t, "ALREADY_APPROVED", courseReason(err), name)
		}
	})
}

func (s *courseSuite) declareFor(t testing.TB, p auth.Principal, seen string) (*iifv1.Achievement, error) {
	t.Helper()
	return s.iif.DeclareAchievement(s.as(t, p), &iifv1.DeclareAchievementRequest{
		RequestId: s.next(), PcnCode: coursePCN, FinancialYear: courseYear, ResultId: seen,
	})
}

func (s *courseSuite) acceptFor(t testing.TB, body, seen string) error {
	t.Helper()
	_, err := s.iif.AcceptAchievement(s.as(t, testkit.Preparer(body)), &iifv1.AcceptAchievementRequest{
		RequestId: s.next(), CommissionerCode: body, PcnCode: coursePCN, FinancialYear: courseYear, ResultId: seen,
	})
	return err
}

func TestAppeals_AreDecidedByAnother(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.bring(t, appealed)
		decide := func(person string, verdict iifv1.Verdict, grounds string) error {
			_, err := s.iif.DecideAppeal(s.as(t, named(testkit.Preparer(courseBody), person)), &iifv1.DecideAppealRequest{
				RequestId: s.next(), CommissionerCode: courseBody, PcnCode: coursePCN, FinancialYear: courseYear, Verdict: verdict, Reason: grounds,
			})
			return err
		}
		require.Equal(t, "APPROVER_IS_MAKER", courseReason(decide(testkit.PCNManager().Subject, iifv1.Verdict_UPHELD, "so")))
		require.Equal(t, "REASON_REQUIRED", courseReason(decide("judge@example.test", iifv1.Verdict_DISMISSED, " ")))
		require.NoError(t, decide("judge@example.test", iifv1.Verdict_DISMISSED, "it is not"))
		year := s.get(t, coursePCN)
		require.Equal(t, provider, year.GetState())
		require.Equal(t, "it is not", year.GetAppeals()[0].GetGrounds())
		// Who decided the appeal does not approve the money.
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.bring(t, financial)
		_, err := s.commit(t, coursePCN)
		require.NoError(t, err)
		_, err = s.approveAs(t, named(testkit.Approver(courseBody), "judge@example.test"), coursePCN)
		require.Equal(t, "APPROVER_IS_MAKER", courseReason(err))
		_, err = s.iif.AppealAchievement(s.as(t, testkit.PCNManager(coursePCN)), &iifv1.AppealAchievementRequest{
			RequestId: s.next(), PcnCode: coursePCN, FinancialYear: courseYear, Reason: "too late",
		})
		require.Equal(t, "STEP_OUT_OF_ORDER", courseReason(err))
	})
}

func TestApprovePayment_OfTwoAtOnceOneWins(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		year := s.bring(t, financial)
		_, err := s.commit(t, coursePCN)
		require.NoError(t, err)
		var reasons [4]string
		var together sync.WaitGroup
		for i := range reasons {
			ctx := testkit.As(t.Context(), named(testkit.Approver(courseBody), fmt.Sprintf("approver%d@example.test", i)))
			req := &iifv1.ApprovePaymentRequest{
				RequestId: s.next(), CommissionerCode: courseBody, PcnCode: coursePCN, FinancialYear: courseYear, ResultId: year.GetResult().GetResultId(),
			}
			together.Go(func() {
				_, err := s.iif.ApprovePayment(ctx, req)
				reasons[i] = courseReason(err)
			})
		}
		together.Wait()
		require.ElementsMatch(t, []string{"", "ALREADY_APPROVED", "ALREADY_APPROVED", "ALREADY_APPROVED"}, reasons[:])
		require.Equal(t, 1, s.rows(t, `steps WHERE step = 'COMMISSIONER_FINANCIALLY_APPROVES'`))
	})
}

func TestApprovePayment_AgainstAFigureThatChangesLeavesNothingUnseen(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		year := s.bring(t, financial)
		_, err := s.commit(t, coursePCN)
		require.NoError(t, err)
		approving, counting := testkit.As(t.Context(), testkit.Approver(courseBody)), testkit.As(t.Context(), counter(courseBody))
		n, d := int64(79), int64(100)
		approve := &iifv1.ApprovePaymentRequest{
			RequestId: s.next(), CommissionerCode: courseBody, PcnCode: coursePCN, FinancialYear: courseYear, ResultId: year.GetResult().GetResultId(),
		}
		count := &iifv1.RecordCountsRequest{
			RequestId: s.next(), CommissionerCode: courseBody, OrganisationCode: "A00001", FinancialYear: courseYear, AchievedOn: courseDay.String(),
			Counts: &iifv1.IndicatorCounts{IndicatorCode: "HI-03", Numerator: &iifv1.Count{Value: &n}, Denominator: &iifv1.Count{Value: &d}}, Reason: "counted again",
		}
		var approved, counted error
		var together sync.WaitGroup
		together.Go(func() { _, approved = s.iif.ApprovePayment(approving, approve) })
		together.Go(func() { _, counted = s.iif.RecordCounts(counting, count) })
		together.Wait()
		require.NoError(t, counted)
		after := s.get(t, coursePCN)
		if approved == nil {
			require.Equal(t, approvedYear, after.GetState())
			require.Equal(t, year.GetResult().GetResultId(), after.GetResult().GetResultId())
			require.NotZero(t, after.GetCorrectionPence())
		} else {
			require.Contains(t, []string{"STEP_OUT_OF_ORDER", "RESULT_CHANGED"}, courseReason(approved))
			require.Equal(t, provider, after.GetState())
		}
	})
}

func TestSteps_AnswerOnceForARequestID(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		ctx := s.as(t, testkit.Preparer(courseBody))
		calculate := &iifv1.CalculateYearRequest{RequestId: "once", CommissionerCode: courseBody, FinancialYear: courseYear}
		first, err := s.iif.CalculateYear(ctx, calculate)
		require.NoError(t, err)
		again, err := s.iif.CalculateYear(ctx, calculate)
		require.NoError(t, err)
		require.Equal(t, first.String(), again.String())
		require.Equal(t, 2, s.rows(t, "steps"))
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		req := &iifv1.DeclareAchievementRequest{
			RequestId: "declare", PcnCode: coursePCN, FinancialYear: courseYear, ResultId: s.get(t, coursePCN).GetResult().GetResultId(),
		}
		ctx = s.as(t, testkit.PCNManager(coursePCN))
		declared, err := s.iif.DeclareAchievement(ctx, req)
		require.NoError(t, err)
		replayed, err := s.iif.DeclareAchievement(ctx, req)
		require.NoError(t, err)
		require.Equal(t, declared.String(), replayed.String())
		require.Equal(t, 3, s.rows(t, "steps"))
		req.ResultId = "another"
		_, err = s.iif.DeclareAchievement(ctx, req)
		require.Equal(t, "REQUEST_ID_REUSED", courseReason(err))
	})
}

func TestGetResult_GivesTheSamePenceAfterEverythingChanged(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		read := func(id string) *iifv1.YearResult {
			out, err := s.iif.GetResult(s.as(t, testkit.Auditor("*")), &iifv1.GetResultRequest{ResultId: id})
			require.NoError(t, err)
			return out
		}
		first := s.get(t, coursePCN).GetResult()
		require.Equal(t, first.String(), read(first.GetResultId()).String())
		seen := []*iifv1.YearResult{first}
		for _, c := range causes {
			c.alter(t, s)
			seen = append(seen, s.get(t, coursePCN).GetResult())
		}
		for i, result := range seen {
			require.Equal(t, result.String(), read(result.GetResultId()).String(), "result %d", i)
		}
		require.Equal(t, due, read(first.GetResultId()).GetDuePence())
	})
}

func TestGetResult_OfAYearThatHadNoCountsKnowsNoneThatCameLater(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
	s := newCourseSuite(t, testkit.SQLite(t, clockOptions(clock)), clock)
	s.register.pcns = []*registerv1.SnapshotPcn{courseNetwork(coursePCN, courseBody, map[string]int64{"A00001": 20_000})}
	s.calculate(t)
	first := s.get(t, coursePCN).GetResult()
	require.Zero(t, first.GetCountsPosition())
	require.Equal(t, []string{"HI-03", "CAN-04"}, first.GetMissing())
	s.count(t, "A00001", "HI-03", 70, 100)
	require.NotEqual(t, first.GetResultId(), s.get(t, coursePCN).GetResult().GetResultId())
	out, err := s.iif.GetResult(s.as(t, testkit.Auditor("*")), &iifv1.GetResultRequest{ResultId: first.GetResultId()})
	require.NoError(t, err)
	require.Equal(t, first.String(), out.String())
}

func TestListAchievements_InPagesByStateAndYear(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.calculateFor(t, "QZZ")
		s.bring(t, appealed)
		list := func(req *iifv1.ListAchievementsRequest) []string {
			var out []string
			for {
				page, err := s.iif.ListAchievements(s.as(t, testkit.Auditor("*")), req)
				require.NoError(t, err)
				for _, a := range page.GetAchievements() {
					require.Empty(t, a.GetSteps())
					require.Empty(t, a.GetResult().GetIndicators())
					require.NotEmpty(t, a.GetResult().GetResultId())
					out = append(out, a.GetPcnCode())
				}
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return out
				}
			}
		}
		require.Equal(t, []string{coursePCN, courseOthers, "U00003"}, list(&iifv1.ListAchievementsRequest{PageSize: 1}))
		require.Equal(t, []string{coursePCN, courseOthers}, list(&iifv1.ListAchievementsRequest{CommissionerCode: courseBody, FinancialYear: courseYear}))
		require.Equal(t, []string{coursePCN}, list(&iifv1.ListAchievementsRequest{State: appealed}))
		require.Equal(t, []string{courseOthers}, list(&iifv1.ListAchievementsRequest{PcnCode: courseOthers}))
		require.Empty(t, list(&iifv1.ListAchievementsRequest{FinancialYear: "2024-25"}))
	})
}

func TestYears_AreSeenByThoseWhoMay(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		result := s.get(t, coursePCN).GetResult().GetResultId()
		for name, c := range map[string]struct {
			who  auth.Principal
			sees bool
		}{
			"preparer":                 {testkit.Preparer(courseBody), true},
			"approver":                 {testkit.Approver(courseBody), true},
			"auditor":                  {testkit.Auditor(courseBody), true},
			"partner":                  {testkit.Integration(courseBody), true},
			"England":                  {testkit.Auditor("*"), true},
			"manager":                  {testkit.PCNManager(coursePCN), true},
			"preparer of another":      {testkit.Preparer("QZZ"), false},
			"partner of another":       {testkit.Integration("QZZ"), false},
			"manager of another":       {testkit.PCNManager(courseOthers), false},
			"operator":                 {testkit.Operator(), false},
			"manager who prepares QZZ": {both(testkit.PCNManager(courseOthers), testkit.Preparer("QZZ")), false},
		} {
			_, err := s.iif.GetAchievement(s.as(t, c.who), &iifv1.GetAchievementRequest{PcnCode: coursePCN, FinancialYear: courseYear})
			assert.Equal(t, c.sees, err == nil, "%s: %v", name, err)
			_, err = s.iif.GetResult(s.as(t, c.who), &iifv1.GetResultRequest{ResultId: result})
			assert.Equal(t, c.sees, err == nil, "%s: %v", name, err)
			page, err := s.iif.ListAchievements(s.as(t, c.who), new(iifv1.ListAchievementsRequest))
			assert.Equal(t, c.sees, err == nil && len(page.GetAchievements()) > 0 && page.GetAchievements()[0].GetPcnCode() == coursePCN, "%s: %v", name, err)
		}
		unknown, err := s.iif.GetAchievement(s.as(t, testkit.Preparer("QZZ")), &iifv1.GetAchievementRequest{PcnCode: "U77777", FinancialYear: courseYear})
		require.Nil(t, unknown)
		_, hidden := s.iif.GetAchievement(s.as(t, testkit.Preparer("QZZ")), &iifv1.GetAchievementRequest{PcnCode: coursePCN, FinancialYear: courseYear})
		require.Equal(t, courseReason(err), courseReason(hidden), "what is unknown and what is hidden look the same")
		_, err = s.iif.GetResult(s.as(t, testkit.Auditor("*")), &iifv1.GetResultRequest{ResultId: "none"})
		require.Equal(t, "RESULT_NOT_FOUND", courseReason(err))
	})
}

// both gives one person the roles of two.
func both(a, b auth.Principal) auth.Principal {
	a.Roles, a.Commissioners, a.PCNs = append(a.Roles, b.Roles...), append(a.Commissioners, b.Commissioners...), append(a.PCNs, b.PCNs...)
	return a
}

func TestCalculateYear_ASuccessorTakesTheCourseOver(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		nomination := s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		before := s.bring(t, commissioner)
		s.register.heirs[courseBody] = courseHeir
		out := s.calculateFor(t, courseHeir)
		require.EqualValues(t, 2, out.GetPcns())
		require.EqualValues(t, 2, out.GetUnchanged())
		year := s.get(t, coursePCN)
		require.Equal(t, courseHeir, year.GetCommissionerCode())
		require.Equal(t, commissioner, year.GetState(), "what was declared of the same result stands")
		require.Equal(t, before.GetResult().GetResultId(), year.GetResult().GetResultId())
		require.Equal(t, "YEAR_NOT_CALCULATED", courseReason(s.acceptFor(t, courseBody, before.GetResult().GetResultId())))
		require.NoError(t, s.acceptFor(t, courseHeir, before.GetResult().GetResultId()))
		list, err := s.iif.ListNominations(s.as(t, testkit.Preparer(courseHeir)), new(iifv1.ListNominationsRequest))
		require.NoError(t, err)
		require.Equal(t, nomination.GetNominationId(), list.GetNominations()[0].GetNominationId())
		// The body that owed it on the day does not take it back.
		out = s.calculateFor(t, courseBody)
		require.Zero(t, out.GetPcns())
		require.Equal(t, courseHeir, s.get(t, coursePCN).GetCommissionerCode())
		// The successor sees the results of its predecessor.
		_, err = s.iif.GetResult(s.as(t, testkit.Auditor(courseHeir)), &iifv1.GetResultRequest{ResultId: before.GetResult().GetResultId()})
		require.NoError(t, err)
	})
}

func TestCalculateYear_StartsAgainWhereAnotherSawALaterPicture(t *testing.T) {
	t.Parallel()
	clock := testkit.NewClock(time.Date(2026, time.June, 1, 9, 0, 0, 0, time.UTC))
	s := newCourseSuite(t, testkit.SQLite(t, clockOptions(clock)), clock)
	s.prepare(t)
	stale := sync.OnceFunc(func() {
		s.register.after = nil
		s.calculate(t)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = false })
		s.calculate(t)
	})
	// The picture of the outer calculation is older than those of the calculations that run inside it.
	s.register.after = stale
	s.calculate(t)
	require.Equal(t, 4, s.register.asked)
	require.Equal(t, []string{"A00001"}, s.get(t, coursePCN).GetResult().GetPracticeCodes())
}

func TestCalculateYear_WhatThePredecessorEnteredCountsForItsSuccessor(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.count(t, "A00001", "HI-03", 74, 100)
		s.value(t, courseBody, &iifv1.SchemeValue{IndicatorCode: "CAN-04", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.25"})
		s.setting(t, courseBody, "DOWN")
		before := s.bring(t, financial)
		require.Equal(t, courseBody, before.GetResult().GetPayerCode())
		require.Equal(t, "DOWN", before.GetResult().GetRounding())
		s.register.heirs[courseBody] = courseHeir
		out := s.calculateFor(t, courseHeir)
		require.EqualValues(t, 2, out.GetUnchanged())
		after := s.get(t, coursePCN)
		require.Equal(t, courseHeir, after.GetCommissionerCode())
		require.Equal(t, financial, after.GetState())
		require.Equal(t, before.GetResult().GetResultId(), after.GetResult().GetResultId())

		// Of what the two enter the later stands, also where the predecessor enters it.
		s.countFor(t, courseHeir, "A00001", "HI-03", 60, 100)
		require.Equal(t, "140", s.indicatorOf(t, "HI-03").GetNumerator())
		s.value(t, courseHeir, &iifv1.SchemeValue{IndicatorCode: "CAN-04", Field: iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, Value: "0.4"})
		s.setting(t, courseHeir, "HALF_EVEN")
		after = s.get(t, coursePCN)
		require.Equal(t, provider, after.GetState())
		require.Equal(t, "HALF_EVEN", after.GetResult().GetRounding())
		require.Equal(t, "0.5", s.indicatorOf(t, "CAN-04").GetPrevalenceAdjustment())
		s.count(t, "A00001", "HI-03", 71, 100)
		require.Equal(t, "151", s.indicatorOf(t, "HI-03").GetNumerator())
	})
}

func TestCalculateYear_ASuccessionAloneCorrectsNothing(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.count(t, "A00001", "HI-03", 74, 100)
		s.bring(t, approvedYear)
		s.clock.Set(s.clock.Now().AddDate(0, 1, 20))
		s.closeMonth(t, "2026-07")
		s.register.heirs[courseBody] = courseHeir
		s.calculateFor(t, courseHeir)
		require.Zero(t, s.get(t, coursePCN).GetCorrectionPence())
		_, err := s.iif.ProposeCorrection(s.as(t, testkit.Preparer(courseHeir)), &iifv1.ProposeCorrectionRequest{
			RequestId: s.next(), CommissionerCode: courseHeir, PcnCode: coursePCN, FinancialYear: courseYear, Reason: "taken over",
		})
		require.Equal(t, "NOTHING_TO_CORRECT", courseReason(err))
	})
}

func TestSteps_RefuseAResultThatNoLongerHolds(t *testing.T) {
	for name, c := range map[string]struct {
		cause iifv1.ChangeCause
		alter func(t *testing.T, s *courseSuite)
	}{
		"member": {iifv1.ChangeCause_PRACTICE_LEFT_PCN, func(_ *testing.T, s *courseSuite) {
			s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[1].Participating = false })
		}},
		"list": {iifv1.ChangeCause_DATA_AMENDED, func(_ *testing.T, s *courseSuite) {
			s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].Practices[0] = coursePractice("A00001", 21_000) })
		}},
		"figure of a release": {iifv1.ChangeCause_FIGURE_CHANGED, func(t *testing.T, s *courseSuite) {
			t.Helper()
			require.NoError(t, iif.Publish(t.Context(), s.db, period.NewDate(2026, time.June, 2), "100"))
		}},
		"count beside the service": {iifv1.ChangeCause_DATA_AMENDED, func(t *testing.T, s *courseSuite) { s.put(t, "A00001", "HI-03", 71, 100) }},
	} {
		t.Run(name, func(t *testing.T) {
			eachCourse(t, func(t *testing.T, s *courseSuite) {
				s.calculate(t)
				s.nominate(t, coursePCN, testkit.PCNManager().Subject)
				_, err := s.commit(t, coursePCN)
				require.NoError(t, err)
				for _, at := range []struct {
					state iifv1.AchievementState
					step  func(testing.TB, string) (*iifv1.Achievement, error)
				}{{provider, s.declare}, {commissioner, s.accept}, {financial, s.approve}} {
					before := s.bring(t, at.state)
					c.alter(t, s)
					_, err := at.step(t, coursePCN)
					require.Equal(t, "RESULT_OUTDATED", courseReason(err), at.state)
					require.Equal(t, at.state, s.get(t, coursePCN).GetState())
					s.calculate(t)
					after := s.get(t, coursePCN)
					require.Equal(t, provider, after.GetState(), "from %s", at.state)
					require.NotEqual(t, before.GetResult().GetResultId(), after.GetResult().GetResultId())
					require.Equal(t, c.cause, after.GetResult().GetCause())
					if at.state != financial {
						require.NoError(t, iif.Publish(t.Context(), s.db, period.NewDate(2026, time.June, 2), "198"))
						s.undo(t)
					}
				}
				s.bring(t, approvedYear)
			})
		})
	}
}

func TestCalculateYear_FollowsThePayerThatTheRegisterCorrects(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		nomination := s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.bring(t, financial)
		_, err := s.commit(t, coursePCN)
		require.NoError(t, err)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = courseHeir })
		out := s.calculate(t)
		require.EqualValues(t, 1, out.GetPcns())
		require.Equal(t, []string{coursePCN}, out.GetPcnsNotOwed())
		_, err = s.approve(t, coursePCN)
		require.Equal(t, "RESULT_OUTDATED", courseReason(err))

		out = s.calculateFor(t, courseHeir)
		require.EqualValues(t, 1, out.GetPcns())
		require.EqualValues(t, 1, out.GetReworked())
		year := s.get(t, coursePCN)
		require.Equal(t, courseHeir, year.GetCommissionerCode())
		require.Equal(t, courseHeir, year.GetResult().GetPayerCode())
		require.Equal(t, provider, year.GetState())
		require.Contains(t, year.GetResult().GetReason(), courseHeir)
		require.Empty(t, s.calculate(t).GetPcnsNotOwed())
		require.EqualValues(t, 1, s.calculateFor(t, courseHeir).GetUnchanged())
		list, err := s.iif.ListNominations(s.as(t, testkit.Preparer(courseHeir)), new(iifv1.ListNominationsRequest))
		require.NoError(t, err)
		require.Equal(t, nomination.GetNominationId(), list.GetNominations()[0].GetNominationId())
		_, err = s.declare(t, coursePCN)
		require.NoError(t, err)
		require.NoError(t, s.acceptFor(t, courseHeir, s.get(t, coursePCN).GetResult().GetResultId()))
		s.clock.Set(s.clock.Now().AddDate(0, 1, 20))
		require.Zero(t, s.closeMonth(t, "2026-07").GetPayTotalPence())
	})
}

func TestCalculateYear_AnApprovedYearGoesToThePayerThatTheRegisterCorrects(t *testing.T) {
	eachCourse(t, func(t *testing.T, s *courseSuite) {
		s.calculate(t)
		s.nominate(t, coursePCN, testkit.PCNManager().Subject)
		s.bring(t, approvedYear)
		s.register.change(func(pcns []*registerv1.SnapshotPcn) { pcns[0].PayerCode = courseHeir })
		require.Empty(t, s.calculate(t).GetPcnsNotOwed(), "what is approved is corrected")
		require.EqualValues(t, 1, s.calculateFor(t, courseHeir).GetApproved())
		year := s.get(t, coursePCN)
		require.Equal(t, approvedYear, year.GetState())
		require.Equal(t, courseHeir, year.GetCommissionerCode())
	})
}
