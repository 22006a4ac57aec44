package devfund_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func TestCloseMonth_MakesOneLineForEachPlanLinePCNAndMonth(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"), closePCN("U3", "QT6", "QT6"))
		s.approve(t, "p1", "QJK",
			closeTranche{"L1", "U1", "2020-09", 1500000}, closeTranche{"L1", "U1", "2020-10", 1500001}, closeTranche{"L1", "U2", "2020-09", 33}, closeTranche{"L2", "U2", "2020-08", 40},
			closeTranche{"L2", "U1", "2020-09", 0}, closeTranche{"supplier", "U1", "2020-09", 5000})
		s.approve(t, "p2", "QJK", closeTranche{"L1", "U1", "2020-09", 7})
		s.approve(t, "p3", "QT6", closeTranche{"L1", "U3", "2020-09", 43})
		closed := s.close(t, "QJK", "2020-09")
		require.Equal(t, "devfund-QJK-2020-09-1", closed.GetScheduleId())
		require.Equal(t, typev1.Fund_FUND_DEVFUND, closed.GetFund())
		require.Equal(t, "Body QJK", closed.GetCommissionerName())
		require.Equal(t, "picture-QJK-2020-09-01", closed.GetSnapshotId())
		require.ElementsMatch(t, []string{"U1 p1/L1 2020-09 1500000", "U2 p1/L1 2020-09 33", "U2 p1/L2 2020-08 40", "U1 p2/L1 2020-09 7"}, lineTexts(closed),
			"a tranche of nothing and a supplier have no line, and what is paid later waits")
		require.Equal(t, int64(1500080), closed.GetPayTotalPence())
		for _, line := range closed.GetLines() {
			require.Equal(t, "P"+line.GetPcnCode(), line.GetPayee().GetCode())
			require.Equal(t, []string{"LQJK", "PCN_DEVELOPMENT", "DEVELOPMENT", "Network " + line.GetPcnCode()},
				[]string{line.GetLocationCode(), line.GetPaymentCode(), line.GetFundingSource(), line.GetPcnName()})
			require.Equal(t, typev1.Instruction_INSTRUCTION_PAY, line.GetInstruction())
			require.Equal(t, typev1.Confidence_CONFIDENCE_SECONDARY, line.GetConfidence(), "that of the allocation")
			require.Empty(t, line.GetAdjustsLineId())
			require.Empty(t, line.GetHolds())
			require.True(t, strings.HasPrefix(line.GetLineId(), "devfund-"))
		}
		require.Equal(t, "PCN development fund 2020/21: PCN development, Coaching, L1 (change management): tranche of 2020-09",
			lineOf(t, closed, "U1 p1/L1 2020-09 1500000").GetBasis().GetClause())
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM outbox WHERE aggregate = 'commissioner/QJK'`))
		require.Equal(t, []string{closed.GetScheduleId()}, []string{s.announced(t, closed.GetScheduleId())[0].GetScheduleId()})

		again := s.close(t, "QJK", "2020-09")
		require.True(t, proto.Equal(closed, again), "closing again returns the same schedule")
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM outbox`))
		require.Equal(t, []string{"U1 p1/L1 2020-10 1500001"}, lineTexts(s.close(t, "QJK", "2020-10")))
		empty := s.close(t, "QJK", "2020-11")
		require.Empty(t, empty.GetLines())
		require.Equal(t, int32(1), empty.GetSequence(), "a month in which nothing is due is closed too")
	})
}

func TestCloseMonth_SchedulesTheDifferenceOfALaterVersion(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 1000}, closeTranche{"L2", "U1", "2020-09", 500}, closeTranche{"L1", "U2", "2020-10", 9})
		first := s.close(t, "QJK", "2020-09")
		s.draft(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 9999})
		require.Equal(t, first.GetScheduleId(), s.close(t, "QJK", "2020-09").GetScheduleId(), "a draft changes nothing")
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 1300}, closeTranche{"L3", "U1", "2020-08", 7}, closeTranche{"L1", "U2", "2020-10", 8})
		second := s.close(t, "QJK", "2020-09")
		require.Equal(t, []string{"devfund-QJK-2020-09-2", "2"}, []string{second.GetScheduleId(), strconv.Itoa(int(second.GetSequence()))})
		require.ElementsMatch(t, []string{"U1 p1/L1 2020-09 300", "U1 p1/L2 2020-09 -500", "U1 p1/L3 2020-08 7"}, lineTexts(second))
		require.Equal(t, int64(-193), second.GetPayTotalPence())
		raised := lineOf(t, second, "U1 p1/L1 2020-09 300")
		require.Equal(t, lineOf(t, first, "U1 p1/L1 2020-09 1000").GetLineId(), raised.GetAdjustsLineId())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PLAN_CHANGED, raised.GetAdjustmentCause())
		require.Equal(t, "PCN development fund 2020/21: PCN development, Coaching, L1 (change management): changed tranche of 2020-09", raised.GetBasis().GetClause())
		gone := lineOf(t, second, "U1 p1/L2 2020-09 -500")
		require.Equal(t, "PCN development fund 2020/21: PCN development, Coaching, L2 (change management): changed tranche of 2020-09", gone.GetBasis().GetClause(),
			"a line that fell away keeps its name")
		require.Empty(t, lineOf(t, second, "U1 p1/L3 2020-08 7").GetAdjustsLineId(), "there was no line of it before")
		require.Equal(t, second.GetScheduleId(), s.close(t, "QJK", "2020-09").GetScheduleId())
		require.Equal(t, []string{"U2 p1/L1 2020-10 8"}, lineTexts(s.close(t, "QJK", "2020-10")))

		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 1250}, closeTranche{"L3", "U1", "2020-08", 7}, closeTranche{"L1", "U2", "2020-10", 8})
		november := s.close(t, "QJK", "2020-11")
		require.Equal(t, []string{"U1 p1/L1 2020-09 -50"}, lineTexts(november), "a later month picks up what changed in an earlier one")
		require.Equal(t, raised.GetLineId(), november.GetLines()[0].GetAdjustsLineId(), "the line scheduled last")
		require.Equal(t, second.GetScheduleId(), s.close(t, "QJK", "2020-09").GetScheduleId(), "and the earlier one does not take it again")
		require.Equal(t, []int64{1250, 0, 7, 8}, []int64{s.held(t, "p1", "L1", "U1"), s.held(t, "p1", "L2", "U1"), s.held(t, "p1", "L3", "U1"), s.held(t, "p1", "L1", "U2")})
	})
}

func TestCloseMonth_TakesUnspentMoneyBackOnceItIsApproved(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 1000}, closeTranche{"L1", "U1", "2021-03", 500}, closeTranche{"L1", "U2", "2020-09", 600})
		s.close(t, "QJK", "2020-09")
		march := s.close(t, "QJK", "2021-03")
		s.treat(t, "t1", "p1", false, closeTranche{"L1", "U1", "2021-03", 300}, closeTranche{"L1", "U2", "2021-03", 100})
		require.Empty(t, s.close(t, "QJK", "2021-05").GetLines(), "one person alone takes nothing back")
		s.exec(t, `UPDATE treatments SET state = 2, decided_by = 'second', decided_at = 5 WHERE treatment_id = 't1'`)
		require.Empty(t, s.close(t, "QJK", "2021-02").GetLines(), "it is for March")
		june := s.close(t, "QJK", "2021-06")
		require.ElementsMatch(t, []string{"U1 p1/L1 2021-03 -300", "U2 p1/L1 2021-03 -100"}, lineTexts(june))
		back := lineOf(t, june, "U1 p1/L1 2021-03 -300")
		require.Equal(t, march.GetLines()[0].GetLineId(), back.GetAdjustsLineId())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPENT, back.GetAdjustmentCause())
		require.Equal(t, "PCN development fund 2020/21: PCN development, Coaching, L1 (change management): unspent money taken back", back.GetBasis().GetClause())
		require.Equal(t, june.GetScheduleId(), s.close(t, "QJK", "2021-06").GetScheduleId(), "once")
		s.treat(t, "t2", "p1", true, closeTranche{"L1", "U1", "2021-03", 20})
		july := s.close(t, "QJK", "2021-07")
		require.Equal(t, []string{"U1 p1/L1 2021-03 -20"}, lineTexts(july))
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPENT, july.GetLines()[0].GetAdjustmentCause())
		line, err := s.devfund.GetLine(testkit.As(t.Context(), testkit.PCNManager("U1")), &devfundv1.GetLineRequest{LineId: july.GetLines()[0].GetLineId()})
		require.NoError(t, err)
		require.True(t, line.GetVerified())
		require.Len(t, line.GetLine().GetWorking().GetInputs(), 5, "tranche, two treatments, two lines scheduled before")
		require.Equal(t, []int64{1180, 500}, []int64{s.held(t, "p1", "L1", "U1"), s.held(t, "p1", "L1", "U2")})
	})
}

func TestCloseMonth_HoldsWhatHasNoPayeeUntilOneIsRecorded(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(unpaidPCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 1000}, closeTranche{"L2", "U1", "2020-09", 500})
		kept := s.close(t, "QJK", "2020-09")
		for _, line := range kept.GetLines() {
			require.Nil(t, line.GetPayee())
			require.Equal(t, "PAYEE_NOT_RECORDED", line.GetHolds()[0].GetReason())
			require.Equal(t, "record the nominated payee of U1", line.GetHolds()[0].GetRemedy())
		}
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 900}, closeTranche{"L2", "U1", "2020-09", 500})
		beside := s.close(t, "QJK", "2020-10")
		require.Equal(t, []string{"U1 p1/L1 2020-09 -100"}, lineTexts(beside))
		require.Empty(t, beside.GetLines()[0].GetAdjustsLineId(), "it stands beside the line until somebody can be paid")
		require.Equal(t, beside.GetScheduleId(), s.close(t, "QJK", "2020-10").GetScheduleId())

		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 950}, closeTranche{"L2", "U1", "2020-09", 500})
		paid := s.close(t, "QJK", "2020-11")
		require.ElementsMatch(t, []string{
			"U1 p1/L1 2020-09 -1000", "U1 p1/L1 2020-09 100", "U1 p1/L1 2020-09 950", "U1 p1/L2 2020-09 -500", "U1 p1/L2 2020-09 500",
		}, lineTexts(paid))
		require.Equal(t, int64(50), paid.GetPayTotalPence(), "what moves comes to nothing")
		given := lineOf(t, paid, "U1 p1/L1 2020-09 950")
		require.Equal(t, "PU1", given.GetPayee().GetCode())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL, given.GetAdjustmentCause())
		moved := lineOf(t, paid, "U1 p1/L2 2020-09 500")
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE, moved.GetAdjustmentCause())
		require.Equal(t, "PCN development fund 2020/21: PCN development, Coaching, L2 (change management): tranche of 2020-09, which had no payee before",
			moved.GetBasis().GetClause())
		back := lineOf(t, paid, "U1 p1/L2 2020-09 -500")
		require.Nil(t, back.GetPayee(), "it takes back from nobody")
		require.Equal(t, lineOf(t, kept, "U1 p1/L2 2020-09 500").GetLineId(), back.GetAdjustsLineId())
		require.Equal(t, paid.GetScheduleId(), s.close(t, "QJK", "2020-11").GetScheduleId(), "once")
		require.Empty(t, s.close(t, "QJK", "2020-12").GetLines())
		require.Equal(t, int64(1450), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`))
	})
}

func TestCloseMonth_TakesOverThePlansOfCCGs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(unpaidPCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.approve(t, "p1", "15N", closeTranche{"L1", "U1", "2022-06", 100}, closeTranche{"L1", "U1", "2022-08", 40})
		s.approve(t, "p2", "11N", closeTranche{"L1", "U2", "2022-05", 10})
		s.approve(t, "p3", "QJK", closeTranche{"L1", "U2", "2022-08", 7})
		require.Equal(t, []string{"U1 p1/L1 2022-06 100"}, lineTexts(s.close(t, "15N", "2022-06")))
		july := s.closeAs(t, testkit.Preparer("QJK"), "QJK", "2022-07")
		require.Equal(t, []string{"U2 p2/L1 2022-05 10"}, lineTexts(july), "the ICB pays what the CCG had not")
		require.Equal(t, "QJK", july.GetCommissionerCode())
		require.Contains(t, s.register.questions(), "QJK 2022-05-01", "the month that the money is for decides whose debt it is")
		_, err := s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &devfundv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "15N", Month: "2022-07"})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", closeReason(err))
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.approve(t, "p1", "15N", closeTranche{"L1", "U1", "2022-06", 99}, closeTranche{"L1", "U1", "2022-08", 40})
		s.treat(t, "t1", "p2", true, closeTranche{"L1", "U2", "2022-05", 4})
		august := s.close(t, "QJK", "2022-08")
		require.ElementsMatch(t, []string{
			"U1 p1/L1 2022-06 -100", "U1 p1/L1 2022-06 99", "U1 p1/L1 2022-08 40", "U2 p2/L1 2022-05 -4", "U2 p3/L1 2022-08 7",
		}, lineTexts(august), "with what the CCG could pay nobody, what changed of its plan, and what is taken back")
		require.Empty(t, s.close(t, "11N", "2022-06").GetLines(), "and nobody pays it again")
	})
}

func TestCloseMonth_PartsThePlansOfABodyThatEndedAmongItsHeirs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(closePCN("U1", "15N", "QA"), closePCN("U2", "15N", "QB"))
		s.approve(t, "p1", "15N", closeTranche{"L1", "U1", "2022-06", 1}, closeTranche{"L1", "U2", "2022-06", 2}, closeTranche{"L1", "U2", "2022-07", 4})
		require.Equal(t, []string{"U1 p1/L1 2022-06 1"}, lineTexts(s.close(t, "QA", "2022-07")))
		require.ElementsMatch(t, []string{"U2 p1/L1 2022-06 2", "U2 p1/L1 2022-07 4"}, lineTexts(s.close(t, "QB", "2022-07")))
		require.Empty(t, s.close(t, "QA", "2022-08").GetLines())
	})
}

func TestCloseMonth_LeavesAPlanToTheCommissionerWhoseItIs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QA", "QA"), unpaidPCN("U2", "QA", "QA"), closePCN("U3", "QB", "QB"), closePCN("U4", "QA", "QA"))
		s.register.movedFrom, s.register.moved = "2020-10-01", map[string]string{"U1": "QB", "U2": "QB"}
		s.approve(t, "p1", "QA", closeTranche{"L1", "U1", "2020-09", 100}, closeTranche{"L1", "U2", "2020-09", 5}, closeTranche{"L1", "U3", "2020-09", 20}, closeTranche{"L1", "U1", "2020-10", 3})
		require.Empty(t, s.closeAs(t, testkit.Preparer("QB"), "QB", "2020-10").GetLines(), "it leads the PCNs now, and the money was released to the other")
		require.NotContains(t, s.register.questions(), "QA 2020-10-01", "who closes for one body sees no picture of another")
		own := s.closeAs(t, testkit.Preparer("QA"), "QA", "2020-10")
		require.ElementsMatch(t, []string{"U1 p1/L1 2020-09 100", "U2 p1/L1 2020-09 5", "U3 p1/L1 2020-09 20", "U1 p1/L1 2020-10 3"}, lineTexts(own))
		require.Equal(t, "PU1", lineOf(t, own, "U1 p1/L1 2020-09 100").GetPayee().GetCode())
		hold := lineOf(t, own, "U2 p1/L1 2020-09 5").GetHolds()[0]
		require.Equal(t, "record the nominated payee of U2 from 2020-09-01 or before: it is not among the PCNs of QA in 2020-10", hold.GetRemedy())
		require.Empty(t, s.close(t, "QB", "2020-11").GetLines())
	})
}

func TestCloseMonth_PaysAnothersPCNOfASystemPlan(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.approve(t, "p1", "15N", closeTranche{"L1", "U1", "2020-09", 1}, closeTranche{"L1", "U2", "2020-09", 2})
		require.Empty(t, s.closeAs(t, testkit.Preparer("11N"), "11N", "2020-09").GetLines(), "the money was released to the other")
		closed := s.close(t, "15N", "2020-09")
		require.ElementsMatch(t, []string{"U1 p1/L1 2020-09 1", "U2 p1/L1 2020-09 2"}, lineTexts(closed))
		other := lineOf(t, closed, "U2 p1/L1 2020-09 2")
		require.Equal(t, []string{"PU2", "Network U2", "L11N"}, []string{other.GetPayee().GetCode(), other.GetPcnName(), other.GetLocationCode()})
	})
}

func TestCloseMonth_AnswersOnceForARequestID(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		ask := func(id, month string, omit bool) (*typev1.PaymentSchedule, error) {
			return s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QJK")), &devfundv1.CloseMonthRequest{
				RequestId: id, CommissionerCode: "QJK", Month: month, OmitLines: omit,
			})
		}
		first, err := ask("same", "2020-09", false)
		require.NoError(t, err)
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 100})
		again, err := ask("same", "2020-09", false)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again), "the stored answer, though there is more by now")
		_, err = ask("same", "2020-10", false)
		require.Equal(t, "REQUEST_ID_REUSED", closeReason(err))
		brief, err := ask("brief", "2020-09", true)
		require.NoError(t, err)
		require.Empty(t, brief.GetLines())
		require.Equal(t, int32(1), brief.GetLineCount())
	})
}

func TestCloseMonth_RefusesWhatCannotBeClosed(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "15N", "QJK"))
		s.register.icbFrom = "2022-07-01"
		refused := map[string]string{
			"2999-01": "MONTH_NOT_STARTED", "2019-03": "MONTH_OUT_OF_RANGE", "2022-13": "MONTH_MALFORMED", "2022-07": "COMMISSIONER_NOT_IN_FORCE",
		}
		for month, want := range refused {
			_, err := s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &devfundv1.CloseMonthRequest{RequestId: month, CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
			_, err = s.devfund.PreviewMonth(testkit.As(t.Context(), testkit.Auditor("*")), &devfundv1.PreviewMonthRequest{CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
		}
		_, err := s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("11N")), &devfundv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "15N", Month: "2022-05"})
		require.Equal(t, codes.NotFound, status.Code(err))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM schedules`), "nothing is stored")
		require.Equal(t, int32(1), s.close(t, "15N", "2019-04").GetSequence(), "the first month of the fund")
	})
}

func TestCloseMonth_IsUndoneWhereSchedulesWouldNotHoldWhatIsOwed(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 100})
		// A line that nobody can name any more: what is scheduled of it cannot be explained.
		s.close(t, "QJK", "2020-09")
		s.exec(t, `INSERT INTO plans (plan_id, financial_year, commissioner_code, allocation_id, newest_version, approved_version, version)
			VALUES ('p2', '2020/21', 'QJK', 'close-pool', 1, 0, 1)`)
		s.exec(t, `INSERT INTO lines (line_id, schedule_id, commissioner_code, month, pcn_code, plan_id, plan_line_id, for_month, amount_pence, payee_code, message, working)
			SELECT 'devfund-stray', schedule_id, commissioner_code, month, pcn_code, 'p2', plan_line_id, for_month, 7, payee_code, message, working FROM lines`)
		_, err := s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QJK")), &devfundv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "QJK", Month: "2020-10"})
		require.Equal(t, codes.Internal, status.Code(err))
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM schedules`))
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM outbox WHERE aggregate = 'commissioner/QJK'`))
	})
}

// Whatever goes wrong between what was decided and what is stored undoes the close.
func TestCloseMonth_AssertsThatSchedulesHoldWhatIsApproved(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 100})
		const body = `UPDATE plans SET approved_version = 0 WHERE plan_id = NEW.plan_id`
		s.db = testkit.Owner(t, s.db)
		if s.db.Dialect() == sqldb.Postgres {
			s.exec(t, `CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN `+body+`; RETURN NEW; END'`)
			s.exec(t, `CREATE TRIGGER interferes AFTER INSERT ON lines FOR EACH ROW EXECUTE FUNCTION interfere()`)
		} else {
			s.exec(t, `CREATE TRIGGER interferes AFTER INSERT ON lines BEGIN `+body+`; END`)
		}
		_, err := s.devfund.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QJK")), &devfundv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "QJK", Month: "2020-09"})
		require.Equal(t, codes.Internal, status.Code(err))
		for _, table := range []string{"schedules", "lines"} {
			require.Zero(t, s.count(t, `SELECT COUNT(*) FROM `+table), table)
		}
	})
}

func TestPreviewMonth_WritesNothing(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 101})
		before := s.count(t, `SELECT COUNT(*) FROM outbox`) + s.count(t, `SELECT COUNT(*) FROM audit`)
		preview, err := s.devfund.PreviewMonth(testkit.As(t.Context(), testkit.Integration("QJK")), &devfundv1.PreviewMonthRequest{
			CommissionerCode: "QJK", Month: "2020-09", IncludeWorking: true,
		})
		require.NoError(t, err)
		require.Equal(t, []string{"U1 p1/L1 2020-09 101"}, lineTexts(preview))
		require.Equal(t, int64(101), preview.GetPayTotalPence())
		require.Equal(t, int32(1), preview.GetLineCount())
		require.NotEmpty(t, preview.GetLines()[0].GetWorking().GetSteps())
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM schedules`)+s.count(t, `SELECT COUNT(*) FROM lines`))
		require.Equal(t, before, s.count(t, `SELECT COUNT(*) FROM outbox`)+s.count(t, `SELECT COUNT(*) FROM audit`))
		require.Equal(t, preview.GetLines()[0].GetLineId(), s.close(t, "QJK", "2020-09").GetLines()[0].GetLineId(), "the close names the same line")
	})
}

func TestSchedules_AreReadByThoseWhoMay(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QT6", "QT6"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 12345})
		own, other := s.close(t, "QJK", "2020-09"), s.close(t, "QT6", "2020-09")
		again := s.close(t, "QJK", "2020-10")
		mine := testkit.As(t.Context(), testkit.Preparer("QJK"))
		found, err := s.devfund.GetSchedule(mine, &devfundv1.GetScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		require.True(t, proto.Equal(own, found))
		for _, id := range []string{other.GetScheduleId(), "devfund-none"} {
			_, err = s.devfund.GetSchedule(mine, &devfundv1.GetScheduleRequest{ScheduleId: id})
			require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
			_, err = s.devfund.DownloadSchedule(mine, &devfundv1.DownloadScheduleRequest{ScheduleId: id})
			require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		}
		list, err := s.devfund.ListSchedules(mine, &devfundv1.ListSchedulesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, again.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		list, err = s.devfund.ListSchedules(mine, &devfundv1.ListSchedulesRequest{PageSize: 1, PageToken: list.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, own.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		require.Empty(t, list.GetSchedules()[0].GetLines())
		require.Empty(t, list.GetNextPageToken())
		_, err = s.devfund.ListSchedules(mine, &devfundv1.ListSchedulesRequest{CommissionerCode: "QT6"})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.devfund.ListSchedules(mine, &devfundv1.ListSchedulesRequest{Month: "2020-13"})
		require.Equal(t, "MONTH_MALFORMED", closeReason(err))
		csv, err := s.devfund.DownloadSchedule(mine, &devfundv1.DownloadScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		rows := strings.Split(string(csv.GetData()), "\r\n")
		require.Len(t, rows, 3)
		require.Equal(t, "devfund-QJK-2020-09-1,QJK,2020-09,1,"+own.GetLines()[0].GetLineId()+
			",2020-09,PCN_DEVELOPMENT,U1,Network U1,,p1/L1,PU1,Payee of U1,LQJK,DEVELOPMENT,PAY,123.45,,UNSPECIFIED,secondary,", rows[1])
	})
}

func TestGetLine_ExplainsToThePCNAndItsCommissioner(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, "p1", "QJK", closeTranche{"L1", "U1", "2020-09", 12345})
		closed := s.close(t, "QJK", "2020-09")
		req := &devfundv1.GetLineRequest{LineId: closed.GetLines()[0].GetLineId()}
		director := auth.Principal{Subject: "director@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: []string{"U1"}}
		for _, by := range []auth.Principal{testkit.PCNManager("U1"), director, testkit.Approver("QJK"), testkit.Integration("QJK"), testkit.Auditor("*")} {
			line, err := s.devfund.GetLine(testkit.As(t.Context(), by), req)
			require.NoError(t, err, by.Subject)
			require.Equal(t, []string{closed.GetScheduleId(), "QJK", "2020-09"}, []string{line.GetScheduleId(), line.GetCommissionerCode(), line.GetMonth()})
			require.True(t, line.GetVerified())
			require.Len(t, line.GetSentences(), 2, "the tranche, and that it is due")
			require.Contains(t, line.GetSentences()[0], "version 1 of the plan as it was approved")
		}
		for _, by := range []auth.Principal{testkit.PCNManager("U2"), testkit.Approver("QT6")} {
			_, err := s.devfund.GetLine(testkit.As(t.Context(), by), req)
			require.Equal(t, "LINE_NOT_FOUND", closeReason(err), by.Subject)
		}
		_, err := s.devfund.GetLine(testkit.As(t.Context(), testkit.Auditor("*")), &devfundv1.GetLineRequest{LineId: "devfund-none"})
		require.Equal(t, "LINE_NOT_FOUND", closeReason(err))
	})
}

func TestReemitSchedule_PublishesItsEventsAgain(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		closed := s.close(t, "QJK", "2020-09")
		req := &devfundv1.ReemitScheduleRequest{RequestId: "e1", ScheduleId: closed.GetScheduleId()}
		_, err := s.devfund.ReemitSchedule(testkit.As(t.Context(), testkit.Preparer("*")), req)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		answer, err := s.devfund.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), req)
		require.NoError(t, err)
		require.Len(t, answer.GetEventIds(), 1)
		require.Equal(t, int64(2), s.count(t, `SELECT COUNT(*) FROM outbox WHERE aggregate = 'commissioner/QJK'`))
		_, err = s.devfund.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), &devfundv1.ReemitScheduleRequest{RequestId: "e2", ScheduleId: "devfund-none"})
		require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM audit WHERE resource = 'devfund/schedules/devfund-QJK-2020-09-1'
			AND summary = 'published 1 events once more'`))
		require.Equal(t, int64(1), s.count(t, `SELECT COUNT(*) FROM audit WHERE resource = 'devfund/schedules/devfund-QJK-2020-09-1'
			AND summary = 'closed 2020-09, sequence 1: 0 lines, £0.00 to pay'`))
	})
}

// closePlans closes a month of the body whose plans the tests approve.
func closePlans(t *testing.T, s *suite, month string) *typev1.PaymentSchedule {
	t.Helper()
	out, err := s.devfund.CloseMonth(s.as(t, testkit.Preparer(planBody)), &devfundv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: planBody, Month: month})
	require.NoError(t, err)
	require.NoError(t, schedule.Verify(out, out.GetLines()))
	return out
}

// monthLines are the lines of a schedule without the plan that all of them are of.
func monthLines(s *typev1.PaymentSchedule, plan *devfundv1.Plan) (out []string) {
	for _, text := range lineTexts(s) {
		out = append(out, strings.ReplaceAll(text, plan.GetPlanId()+"/", ""))
	}
	return out
}

func TestCloseMonth_PaysAPlanThatWasApproved(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		s.clock.Set(time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC))
		february := closePlans(t, s, "2026-02")
		require.ElementsMatch(t, []string{"U1 1 2026-02 1251", "U2 1 2026-02 1250", "U1 4 2026-02 10000"}, monthLines(february, plan))
		for _, tranche := range s.plan(t, plan.GetPlanId(), 0).GetTranches() {
			scheduled := map[string]string{"2026-02": february.GetScheduleId(), "2026-03": ""}
			require.Equal(t, scheduled[tranche.GetMonth()], tranche.GetScheduleId(), "the plan tells what of it is scheduled")
		}
		of := lineOf(t, february, "U1 "+plan.GetPlanId()+"/1 2026-02 1251")
		for name, c := range map[string]struct {
			by     auth.Principal
			line   *typev1.PaymentLine
			says   string
			hidden string
		}{
			"a commissioner":                  {testkit.Preparer(planBody), of, "£50.01", "£1.00"},
			"one of the PCNs of a line":       {testkit.PCNManager("U1"), of, "£25.01", "£50.01"},
			"the other":                       {testkit.PCNManager("U2"), lineOf(t, february, "U2 "+plan.GetPlanId()+"/1 2026-02 1250"), "£25.00", "£50.01"},
			"the only PCN that a line is for": {testkit.PCNManager("U1"), lineOf(t, february, "U1 "+plan.GetPlanId()+"/4 2026-02 10000"), "£100.00", "£50.01"},
		} {
			line, err := s.devfund.GetLine(s.as(t, c.by), &devfundv1.GetLineRequest{LineId: c.line.GetLineId()})
			require.NoError(t, err)
			require.True(t, line.GetVerified(), name)
			sentences := strings.Join(line.GetSentences(), " ")
			require.Contains(t, sentences, c.says, "%s: from the amount that it sees", name)
			require.NotContains(t, sentences, c.hidden, name)
			require.Equal(t, plan.GetPlanId()+"/"+strings.SplitN(c.line.GetSourceItem(), "/", 2)[1]+"/1", line.GetLine().GetWorking().GetInputs()[0].GetOrigin().GetRef(), name)
		}

		lines := goodLines()
		lines[0].AmountPence, lines[3].AmountPence = 5003, 9_990
		s.revise(t, plan, planHeader(), lines...)
		s.agree(t, plan, "U1", "U2", "U3")
		s.take(t, plan, "settle")
		_, err := s.devfund.ApprovePlan(s.as(t, takerOf("approve")), &devfundv1.ApprovePlanRequest{
			RequestId: s.next(), CommissionerCode: planBody, PlanId: plan.GetPlanId(), Etag: s.etag(t, plan), Body: "Committee", ApprovedOn: "2026-03-01", MinuteReference: "8",
		})
		require.NoError(t, err)
		again := closePlans(t, s, "2026-02")
		require.ElementsMatch(t, []string{"U2 1 2026-02 1", "U1 4 2026-02 -10"}, monthLines(again, plan),
			"a line without months stays in the month that it was paid in")
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PLAN_CHANGED, again.GetLines()[0].GetAdjustmentCause())
		march := closePlans(t, s, "2026-03")
		require.ElementsMatch(t, []string{"U1 1 2026-03 1251", "U2 1 2026-03 1250"}, monthLines(march, plan))
		require.Equal(t, int64(5003+9_990), february.GetPayTotalPence()+again.GetPayTotalPence()+march.GetPayTotalPence(), "what the plan commits to PCNs")
	})
}

// announced returns the parts of a schedule as they were published.
func (s *closeSuite) announced(t *testing.T, id string) (parts []*typev1.PaymentSchedule) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT payload FROM outbox WHERE aggregate = 'commissioner/QJK' AND subject LIKE '%QJK%' ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var payload []byte
			if err := rows.Scan(&payload); err != nil {
				return err
			}
			event := new(devfundv1.ScheduleClosed)
			if err := proto.Unmarshal(payload, event); err != nil {
				return err
			}
			if event.GetSchedule().GetScheduleId() == id {
				parts = append(parts, event.GetSchedule())
				require.Equal(t, int32(len(parts)), event.GetPart())
			}
		}
		return rows.Err()
	}))
	return parts
}

func TestScheduleClosed_GoesInPartsThatMakeUpTheSchedule(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		var all []closeTranche
		var pcns []*registerv1.SnapshotPcn
		for i := range 60 {
			network := closePCN(fmt.Sprintf("U%05d", i), "QJK", "QJK")
			network.Name = strings.Repeat("long name ", 400)
			pcns = append(pcns, network)
			for line := range 3 {
				all = append(all, closeTranche{fmt.Sprint("L", line), network.GetPcnCode(), "2020-09", int64(i + line + 1)})
			}
		}
		s.register.set(pcns...)
		s.approve(t, "p1", "QJK", all...)
		closed := s.close(t, "QJK", "2020-09")
		require.Len(t, closed.GetLines(), 180)
		parts := s.announced(t, closed.GetScheduleId())
		require.Greater(t, len(parts), 1)
		joined, err := schedule.Join(parts)
		require.NoError(t, err)
		require.True(t, proto.Equal(closed, joined))
		answer, err := s.devfund.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), &devfundv1.ReemitScheduleRequest{RequestId: "e", ScheduleId: closed.GetScheduleId()})
		require.NoError(t, err)
		require.Len(t, answer.GetEventIds(), len(parts))
	})
}

func TestCloseMonth_StormSchedulesEachTrancheOnce(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		var sum int64
		var pcns []*registerv1.SnapshotPcn
		var tranches []closeTranche
		for i := range 10 {
			code := "U" + strconv.Itoa(i)
			pcns = append(pcns, closePCN(code, "15N", "QJK"))
			tranches = append(tranches, closeTranche{"L1", code, "2022-06", int64(i + 1)})
			sum += int64(i + 1)
		}
		s.approve(t, "p1", "15N", tranches...)
		s.register.set(pcns...)
		ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("*")), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		failures := make(chan error, 30)
		for i := range 20 {
			wg.Go(func() {
				req := &devfundv1.CloseMonthRequest{RequestId: "storm-" + strconv.Itoa(i), CommissionerCode: "15N", Month: "2022-06"}
				if i%2 == 1 {
					req.CommissionerCode, req.Month = "QJK", "2022-07"
				}
				_, err := s.devfund.CloseMonth(ctx, req)
				failures <- err
			})
		}
		for i := range 10 {
			wg.Go(func() {
				failures <- s.db.Write(ctx, func(tx *sqldb.Tx) error {
					if err := tx.Lock(ctx, "commissioner/15N"); err != nil {
						return err
					}
					return putVersion(ctx, tx, "late"+strconv.Itoa(i), "15N", []closeTranche{{"L1", "U" + strconv.Itoa(i), "2022-06", 1000}})
				})
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		s.close(t, "15N", "2022-06")
		require.Equal(t, sum+10000, s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`), "whichever body closed first paid each tranche once")
		require.Equal(t, int64(20), s.count(t, `SELECT COUNT(*) FROM lines`))
		for _, code := range []string{"15N", "QJK"} {
			require.Equal(t, s.count(t, `SELECT COUNT(*) FROM schedules WHERE commissioner_code = $1`, code),
				s.count(t, `SELECT COALESCE(MAX(sequence), 0) FROM schedules WHERE commissioner_code = $1`, code), "sequences have no gap")
		}
	})
}

// Whatever order approvals, treatments, payees and closes come in, what schedules hold of a line of a plan is what its approved tranches come
// to less what was taken back.
func TestCloseMonth_HoldsWhatWasApprovedInWhateverOrder(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			ccg, icb := fmt.Sprintf("C%d", run), fmt.Sprintf("Q%d", run)
			pcns := []string{fmt.Sprintf("U%dA", run), fmt.Sprintf("U%dB", run), fmt.Sprintf("U%dC", run)}
			plans := map[string]string{fmt.Sprintf("p%d", run): ccg, fmt.Sprintf("q%d", run): icb}
			owed := make(map[string]int64) // by plan, line and PCN
			waiting := make(map[string][]closeTranche)
			recorded := make(map[string]bool)
			register := func() {
				var all []*registerv1.SnapshotPcn
				for _, code := range pcns {
					network := unpaidPCN(code, ccg, icb)
					if recorded[code] {
						network = closePCN(code, ccg, icb)
					}
					all = append(all, network)
				}
				s.register.set(all...)
			}
			register()
			taken := make(map[string]int64)
			for step := range rapid.IntRange(1, 14).Draw(rt, "steps") {
				plan := rapid.SampledFrom([]string{fmt.Sprintf("p%d", run), fmt.Sprintf("q%d", run)}).Draw(rt, "plan")
				switch rapid.IntRange(0, 5).Draw(rt, "step") {
				case 0, 1:
					var tranches []closeTranche
					for _, line := range []string{"L1", "L2"} {
						for _, pcn := range pcns {
							for _, month := range []string{"2022-05", "2022-06", "2022-08"} {
								pence := rapid.SampledFrom([]int64{-1, -1, 0, 1, 333, 123457}).Draw(rt, "pence")
								if pence >= 0 {
									tranches = append(tranches, closeTranche{line, pcn, month, pence})
								}
							}
						}
					}
					s.approve(rt, plan, plans[plan], tranches...)
					waiting[plan] = tranches
				case 2:
					if len(waiting[plan]) == 0 {
						continue
					}
					of := rapid.SampledFrom(waiting[plan]).Draw(rt, "taken")
					of.pence = rapid.Int64Range(1, 500).Draw(rt, "unspent")
					s.treat(rt, fmt.Sprintf("t%d-%d", run, step), plan, true, of)
					taken[plan+of.line+of.pcn] += of.pence
				case 3:
					pcn := rapid.SampledFrom(pcns).Draw(rt, "pcn")
					recorded[pcn] = !recorded[pcn]
					register()
				case 4:
					s.close(t, ccg, rapid.SampledFrom([]string{"2022-05", "2022-06"}).Draw(rt, "closed"))
				default:
					s.close(t, icb, rapid.SampledFrom([]string{"2022-07", "2022-08", "2022-09"}).Draw(rt, "closed"))
				}
			}
			for plan, tranches := range waiting {
				for _, d := range tranches {
					owed[plan+d.line+d.pcn] += d.pence
				}
			}
			for _, code := range pcns {
				recorded[code] = true
			}
			register()
			closed := s.close(t, icb, "2022-09")
			require.Equal(rt, closed.GetScheduleId(), s.close(t, icb, "2022-09").GetScheduleId(), "closing again changes nothing")
			for plan := range plans {
				for _, line := range []string{"L1", "L2"} {
					for _, pcn := range pcns {
						key := plan + line + pcn
						require.Equal(rt, owed[key]-taken[key], s.held(rt, plan, line, pcn), "%s %s %s", plan, line, pcn)
					}
				}
			}
			require.Zero(rt, s.count(rt, `SELECT CAST(COALESCE(SUM(amount_pence), 0) AS BIGINT) FROM lines WHERE payee_code = '' AND plan_id IN ($1, $2)`,
				fmt.Sprintf("p%d", run), fmt.Sprintf("q%d", run)), "and no money is left without a payee")
		})
	})
}
