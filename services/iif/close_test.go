package iif_test

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
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

func TestCloseMonth_MakesOneLineForEachPCNYearAndIndicator(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"), closePCN("U3", "QT6", "QT6"))
		s.approve(t,
			approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 350006, "ACC-08": 700000}},
			approved{pcn: "U1", commissioner: "QJK", year: 2022, due: amounts{"HI-03": 33}},
			approved{pcn: "U2", commissioner: "QJK", month: "2024-05", due: amounts{"CAN-02": 40}},
			approved{pcn: "U2", commissioner: "QJK", year: 2022, month: "2024-07", due: amounts{"CAN-02": 41}},
			approved{pcn: "U3", commissioner: "QT6", due: amounts{"CAN-02": 43}},
		)
		closed := s.close(t, "QJK", "2024-06")
		require.Equal(t, "iif-QJK-2024-06-1", closed.GetScheduleId())
		require.Equal(t, typev1.Fund_FUND_IIF, closed.GetFund())
		require.Equal(t, "Body QJK", closed.GetCommissionerName())
		require.Equal(t, "picture-QJK-2024-06-01", closed.GetSnapshotId())
		require.ElementsMatch(t, []string{"U1 HI-03 2024-03 350006", "U1 ACC-08 2024-03 700000", "U1 HI-03 2023-03 33", "U2 CAN-02 2024-03 40"}, lineTexts(closed),
			"an indicator that comes to nothing has no line, and what is paid later waits")
		require.Equal(t, int64(1050079), closed.GetPayTotalPence())
		for _, line := range closed.GetLines() {
			require.Equal(t, "P"+line.GetPcnCode(), line.GetPayee().GetCode())
			require.Equal(t, []string{"LQJK", "IIF", "IIF", "Network " + line.GetPcnCode()},
				[]string{line.GetLocationCode(), line.GetPaymentCode(), line.GetFundingSource(), line.GetPcnName()})
			require.Equal(t, typev1.Instruction_INSTRUCTION_PAY, line.GetInstruction())
			require.Equal(t, typev1.Confidence_CONFIDENCE_SECONDARY, line.GetConfidence(), "the least of the figures used")
			require.Empty(t, line.GetAdjustsLineId())
			require.Empty(t, line.GetHolds())
			require.True(t, strings.HasPrefix(line.GetLineId(), "iif-"))
		}
		require.Equal(t, "Network Contract DES 2023/24: Investment and Impact Fund, HI-03: achievement of the year",
			lineOf(t, closed, "U1 HI-03 2024-03 350006").GetBasis().GetClause())
		require.Equal(t, int64(3), s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id = $1 AND version = 6`, closed.GetScheduleId()))
		require.Equal(t, int64(2), s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id = '' AND version = 5`))
		require.Equal(t, []string{"QJK 2024-06-01", "QJK 2024-03-31"}, s.register.questions(), "one body's year waits for its own close")
		require.Equal(t, []string{"U3 CAN-02 2024-03 43"}, lineTexts(s.close(t, "QT6", "2024-06")), "two bodies close their own")
	})
}

func TestCloseMonth_AgainTakesOnlyWhatIsNew(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"), closePCN("U3", "QJK", "QJK"))
		empty := s.close(t, "QJK", "2024-06")
		require.Empty(t, empty.GetLines(), "a month without approvals is closed too")
		require.Equal(t, int32(1), empty.GetSequence())
		require.Equal(t, empty.GetScheduleId(), s.close(t, "QJK", "2024-06").GetScheduleId(), "nothing is new")
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 100}})
		second := s.close(t, "QJK", "2024-06")
		require.Equal(t, "iif-QJK-2024-06-2", second.GetScheduleId())
		require.Equal(t, []string{"U1 HI-03 2024-03 100"}, lineTexts(second))
		require.Equal(t, second.GetScheduleId(), s.close(t, "QJK", "2024-06").GetScheduleId())
		require.Equal(t, int64(2), s.count(t, `SELECT COUNT(*) FROM outbox`), "a schedule, twice")
		s.approve(t, approved{pcn: "U2", commissioner: "QJK", due: amounts{"HI-03": 8}})
		require.Equal(t, []string{"U2 HI-03 2024-03 8"}, lineTexts(s.close(t, "QJK", "2024-07")), "a later month takes up what is left of earlier ones")
		s.approve(t, approved{pcn: "U3", commissioner: "QJK"})
		nothing := s.close(t, "QJK", "2024-07")
		require.Equal(t, int32(2), nothing.GetSequence(), "a year that comes to nothing is taken up too")
		require.Empty(t, nothing.GetLines())
		require.Equal(t, nothing.GetScheduleId(), s.close(t, "QJK", "2024-07").GetScheduleId())
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id = ''`))
	})
}

func TestCloseMonth_SchedulesCorrectionsAsDifferences(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 1000, "CAN-02": 500}})
		first := s.close(t, "QJK", "2024-06")
		up := approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 1300, "ACC-08": 7}}
		s.correct(t, "c1", "2024-08", up, s.paid(t, "U1", 2023)...)
		require.Equal(t, first.GetScheduleId(), s.close(t, "QJK", "2024-06").GetScheduleId(), "it waits for its month")
		august := s.close(t, "QJK", "2024-08")
		require.ElementsMatch(t, []string{"U1 HI-03 2024-03 300", "U1 CAN-02 2024-03 -500", "U1 ACC-08 2024-03 7"}, lineTexts(august))
		require.Equal(t, int64(-193), august.GetPayTotalPence())
		raised := lineOf(t, august, "U1 HI-03 2024-03 300")
		require.Equal(t, lineOf(t, first, "U1 HI-03 2024-03 1000").GetLineId(), raised.GetAdjustsLineId())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_YEAR_CORRECTED, raised.GetAdjustmentCause())
		require.Equal(t, "Network Contract DES 2023/24: Investment and Impact Fund, HI-03: correction of the year", raised.GetBasis().GetClause())
		added := lineOf(t, august, "U1 ACC-08 2024-03 7")
		require.Empty(t, added.GetAdjustsLineId(), "there was no line of it before")
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPECIFIED, added.GetAdjustmentCause())

		s.correct(t, "c2", "2024-09", approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 900}}, s.paid(t, "U1", 2023)...)
		september := s.close(t, "QJK", "2024-09")
		require.ElementsMatch(t, []string{"U1 HI-03 2024-03 -400", "U1 ACC-08 2024-03 -7"}, lineTexts(september))
		require.Equal(t, raised.GetLineId(), lineOf(t, september, "U1 HI-03 2024-03 -400").GetAdjustsLineId(), "the line scheduled last")
		require.Equal(t, september.GetScheduleId(), s.close(t, "QJK", "2024-09").GetScheduleId())
		require.Equal(t, int64(900), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`))
		require.Equal(t, int64(2), s.count(t, `SELECT COUNT(*) FROM corrections WHERE schedule_id <> '' AND version = 3`))
	})
}

func TestCloseMonth_MakesOneLineOfAYearAndItsCorrection(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", month: "2024-08", due: amounts{"HI-03": 1000, "CAN-02": 500}})
		s.correct(t, "c1", "2024-07", approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 1300}},
			rules.Paid{Code: "HI-03", Amount: 1000}, rules.Paid{Code: "CAN-02", Amount: 500})
		require.Empty(t, s.close(t, "QJK", "2024-07").GetLines(), "a correction waits for its year")
		closed := s.close(t, "QJK", "2024-08")
		require.Equal(t, []string{"U1 HI-03 2024-03 1300"}, lineTexts(closed))
		require.Equal(t, "Network Contract DES 2023/24: Investment and Impact Fund, HI-03: achievement of the year and correction of the year",
			closed.GetLines()[0].GetBasis().GetClause())
		line, err := s.iif.GetLine(testkit.As(t.Context(), testkit.Auditor("QJK")), &iifv1.GetLineRequest{LineId: closed.GetLines()[0].GetLineId()})
		require.NoError(t, err)
		require.True(t, line.GetVerified())
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM corrections WHERE schedule_id = ''`))
	})
}

func TestCloseMonth_HoldsWhatHasNoPayeeUntilOneIsRecorded(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(unpaidPCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 1000, "CAN-02": 500}})
		kept := s.close(t, "QJK", "2024-06")
		for _, line := range kept.GetLines() {
			require.Nil(t, line.GetPayee())
			require.Equal(t, "PAYEE_NOT_RECORDED", line.GetHolds()[0].GetReason())
			require.Equal(t, "record the nominated payee of U1", line.GetHolds()[0].GetRemedy())
		}
		s.correct(t, "c1", "2024-07", approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 900, "CAN-02": 500}}, s.paid(t, "U1", 2023)...)
		beside := s.close(t, "QJK", "2024-07")
		require.Equal(t, []string{"U1 HI-03 2024-03 -100"}, lineTexts(beside))
		require.Empty(t, beside.GetLines()[0].GetAdjustsLineId(), "it stands beside the line until somebody can be paid")
		require.Equal(t, beside.GetScheduleId(), s.close(t, "QJK", "2024-07").GetScheduleId())

		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.correct(t, "c2", "2024-08", approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 950, "CAN-02": 500}}, s.paid(t, "U1", 2023)...)
		paid := s.close(t, "QJK", "2024-08")
		require.ElementsMatch(t, []string{
			"U1 HI-03 2024-03 -1000", "U1 HI-03 2024-03 100", "U1 HI-03 2024-03 950", "U1 CAN-02 2024-03 -500", "U1 CAN-02 2024-03 500",
		}, lineTexts(paid))
		require.Equal(t, int64(50), paid.GetPayTotalPence(), "what moves comes to nothing")
		given := lineOf(t, paid, "U1 HI-03 2024-03 950")
		require.Equal(t, "PU1", given.GetPayee().GetCode())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL, given.GetAdjustmentCause())
		require.Equal(t, beside.GetLines()[0].GetLineId(), given.GetAdjustsLineId())
		moved := lineOf(t, paid, "U1 CAN-02 2024-03 500")
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE, moved.GetAdjustmentCause())
		require.Equal(t, "Network Contract DES 2023/24: Investment and Impact Fund, CAN-02: what had no payee before", moved.GetBasis().GetClause())
		back := lineOf(t, paid, "U1 CAN-02 2024-03 -500")
		require.Nil(t, back.GetPayee(), "it takes back from nobody")
		require.Equal(t, lineOf(t, kept, "U1 CAN-02 2024-03 500").GetLineId(), back.GetAdjustsLineId())
		require.Equal(t, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE, back.GetAdjustmentCause())
		for _, line := range paid.GetLines() {
			explained, err := s.iif.GetLine(testkit.As(t.Context(), testkit.PCNManager("U1")), &iifv1.GetLineRequest{LineId: line.GetLineId()})
			require.NoError(t, err)
			require.True(t, explained.GetVerified())
		}
		require.Equal(t, paid.GetScheduleId(), s.close(t, "QJK", "2024-08").GetScheduleId(), "once")
		require.Empty(t, s.close(t, "QJK", "2024-09").GetLines())
		require.Equal(t, int64(1450), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`))
	})
}

func TestCloseMonth_TakesOverTheDebtsOfCCGs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(unpaidPCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.approve(t,
			approved{pcn: "U1", commissioner: "15N", year: 2021, month: "2022-06", due: amounts{"HI-03": 100}},
			approved{pcn: "U2", commissioner: "11N", year: 2021, month: "2022-08", due: amounts{"HI-03": 10}},
		)
		june := s.close(t, "15N", "2022-06")
		require.Equal(t, []string{"U1 HI-03 2022-03 100"}, lineTexts(june))
		require.Empty(t, s.close(t, "QJK", "2022-07").GetLines())
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "11N", "QJK"))
		s.correct(t, "c1", "2022-08", approved{pcn: "U1", commissioner: "QJK", year: 2021, due: amounts{"HI-03": 99}}, s.paid(t, "U1", 2021)...)
		august := s.closeAs(t, testkit.Preparer("QJK"), "QJK", "2022-08")
		require.ElementsMatch(t, []string{"U2 HI-03 2022-03 10", "U1 HI-03 2022-03 -100", "U1 HI-03 2022-03 99"}, lineTexts(august),
			"the ICB pays what the CCG approved, and what it could pay nobody")
		require.Contains(t, s.register.questions(), "QJK 2022-03-31", "the last day of the year decides whose debt it is")
		require.Empty(t, s.close(t, "11N", "2022-06").GetLines(), "and nobody pays it again")
		require.Empty(t, s.close(t, "15N", "2022-06").GetLines()[1:])
	})
}

func TestCloseMonth_PartsTheDebtsOfABodyThatEndedAmongItsHeirs(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(closePCN("U1", "15N", "QA"), unpaidPCN("U2", "15N", "QB"))
		s.approve(t,
			approved{pcn: "U1", commissioner: "15N", year: 2021, month: "2022-07", due: amounts{"HI-03": 1}},
			approved{pcn: "U2", commissioner: "15N", year: 2021, month: "2022-07", due: amounts{"HI-03": 2}},
			approved{pcn: "U2", commissioner: "15N", year: 2020, month: "2022-06", due: amounts{"HI-03": 4}},
		)
		s.close(t, "15N", "2022-06")
		require.Equal(t, []string{"U1 HI-03 2022-03 1"}, lineTexts(s.close(t, "QA", "2022-07")))
		s.register.set(closePCN("U1", "15N", "QA"), closePCN("U2", "15N", "QB"))
		require.Empty(t, s.close(t, "QA", "2022-08").GetLines())
		require.ElementsMatch(t, []string{"U2 HI-03 2022-03 2", "U2 HI-03 2021-03 -4", "U2 HI-03 2021-03 4"}, lineTexts(s.close(t, "QB", "2022-07")))
	})
}

func TestCloseMonth_LeavesADebtToTheBodyThatOwesIt(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(unpaidPCN("U1", "QA", "QA"), closePCN("U2", "QA", "QA"), closePCN("U3", "QB", "QB"))
		s.register.movedFrom, s.register.moved = "2024-04-01", map[string]string{"U1": "QB"}
		s.approve(t, approved{pcn: "U1", commissioner: "QA", due: amounts{"HI-03": 100}})
		require.Empty(t, s.close(t, "QB", "2024-06").GetLines(), "it leads the PCN now, and owes nothing of the year")
		kept := s.close(t, "QA", "2024-06")
		require.Equal(t, []string{"U1 HI-03 2024-03 100"}, lineTexts(kept))
		hold := kept.GetLines()[0].GetHolds()[0]
		require.Equal(t, "PAYEE_NOT_RECORDED", hold.GetReason())
		require.Equal(t, "record the nominated payee of U1 from 2024-03-31 or before: it is not among the PCNs of QA in 2024-06", hold.GetRemedy())
		require.Equal(t, []string{"Network U1", "LQA"}, []string{kept.GetLines()[0].GetPcnName(), kept.GetLines()[0].GetLocationCode()})
		s.register.set(closePCN("U1", "QA", "QA"), closePCN("U2", "QA", "QA"), closePCN("U3", "QB", "QB"))
		require.Empty(t, s.close(t, "QB", "2024-07").GetLines())
		paid := s.close(t, "QA", "2024-07")
		require.ElementsMatch(t, []string{"U1 HI-03 2024-03 -100", "U1 HI-03 2024-03 100"}, lineTexts(paid), "once its payee is known")
		require.Empty(t, s.close(t, "QA", "2024-08").GetLines())
	})
}

func TestCloseMonth_PaysAPCNThatMovedSinceItsYear(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QA", "QA"), closePCN("U2", "QA", "QA"), closePCN("U3", "QA", "QA"), closePCN("U4", "QB", "QB"))
		s.register.movedFrom, s.register.moved = "2024-04-01", map[string]string{"U1": "QB", "U2": "QB"}
		s.register.since = map[string]string{"U1": "PNEW", "U2": "PNEW"}
		s.approve(t,
			approved{pcn: "U1", commissioner: "QA", due: amounts{"HI-03": 100}},
			approved{pcn: "U2", commissioner: "QA", month: "2024-07", due: amounts{"HI-03": 200}},
		)
		payee := func(by auth.Principal, month string) string {
			closed := s.closeAs(t, by, "QA", month)
			require.Len(t, closed.GetLines(), 1)
			require.Empty(t, closed.GetLines()[0].GetHolds())
			return closed.GetLines()[0].GetPayee().GetCode()
		}
		require.Equal(t, "PNEW", payee(testkit.Preparer("QA", "QB"), "2024-06"), "to those who see the PCN with its commissioner of the month")
		require.Equal(t, "PU2", payee(testkit.Preparer("QA"), "2024-07"), "and else as it was on the last day of its year")
		require.Equal(t, []string{"QA 2024-07-01", "QA 2024-03-31", " 2024-07-01"}, s.register.questions()[4:])
		require.Empty(t, s.close(t, "QB", "2024-07").GetLines())
		require.Equal(t, int64(300), s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`))
	})
}

func TestCloseMonth_PaysWhatABodyTookOverOfAPCNThatMovedSince(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(unpaidPCN("U1", "15N", "QA"), closePCN("U2", "15N", "QA"), closePCN("U3", "15N", "QB"))
		s.approve(t, approved{pcn: "U1", commissioner: "15N", year: 2021, month: "2022-06", due: amounts{"HI-03": 100}})
		require.Len(t, s.close(t, "15N", "2022-06").GetLines(), 1, "held")
		s.approve(t, approved{pcn: "U2", commissioner: "15N", year: 2021, month: "2022-07", due: amounts{"HI-03": 10}})
		s.register.movedFrom, s.register.moved = "2022-09-01", map[string]string{"U1": "QB", "U2": "QB"}
		s.register.set(closePCN("U1", "15N", "QA"), closePCN("U2", "15N", "QA"), closePCN("U3", "15N", "QB"))
		require.Empty(t, s.close(t, "QB", "2022-09").GetLines())
		closed := s.close(t, "QA", "2022-09")
		require.ElementsMatch(t, []string{"U1 HI-03 2022-03 -100", "U1 HI-03 2022-03 100", "U2 HI-03 2022-03 10"}, lineTexts(closed))
		require.Equal(t, "PU1", lineOf(t, closed, "U1 HI-03 2022-03 100").GetPayee().GetCode())
	})
}

func TestCloseMonth_PaysTheOnlyPCNOfABodyAfterItMoved(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QA", "QA"), closePCN("U3", "QB", "QB"))
		s.register.movedFrom, s.register.moved = "2024-04-01", map[string]string{"U1": "QB"}
		s.approve(t, approved{pcn: "U1", commissioner: "QA", due: amounts{"HI-03": 100}})
		require.Empty(t, s.close(t, "QB", "2024-06").GetLines())
		closed := s.close(t, "QA", "2024-06")
		require.Equal(t, []string{"U1 HI-03 2024-03 100"}, lineTexts(closed))
		require.Equal(t, "PU1", closed.GetLines()[0].GetPayee().GetCode())
		require.Equal(t, closed.GetScheduleId(), s.close(t, "QA", "2024-06").GetScheduleId(), "closing again changes nothing")
		_, err := s.iif.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QA")), &iifv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "QA", Month: "2024-07"})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", closeReason(err), "nothing is left to pay")
	})
}

func TestCloseMonth_LeavesADebtToABodyThatIsStillThere(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		// Both owe the PCN's year by the register, as body of the place and as system; the one that it was put to pays.
		s.register.icbFrom = "2099-04-01"
		s.register.set(closePCN("U1", "15N", "QJK"), closePCN("U2", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "15N", due: amounts{"HI-03": 100}})
		require.Empty(t, s.closeAs(t, testkit.Preparer("QJK"), "QJK", "2024-06").GetLines())
		require.NotContains(t, s.register.questions(), "15N 2024-06-01", "who closes for one body sees no picture of another")
		require.Equal(t, int64(100), s.close(t, "15N", "2024-06").GetPayTotalPence())
	})
}

func TestCloseMonth_AnswersOnceForARequestID(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		ask := func(id, month string, omit bool) (*typev1.PaymentSchedule, error) {
			return s.iif.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QJK")), &iifv1.CloseMonthRequest{
				RequestId: id, CommissionerCode: "QJK", Month: month, OmitLines: omit,
			})
		}
		first, err := ask("same", "2024-06", false)
		require.NoError(t, err)
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 100}})
		again, err := ask("same", "2024-06", false)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again), "the stored answer, though there is more by now")
		_, err = ask("same", "2024-07", false)
		require.Equal(t, "REQUEST_ID_REUSED", closeReason(err))
		brief, err := ask("brief", "2024-06", true)
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
			"2999-01": "MONTH_NOT_STARTED", "2020-09": "MONTH_OUT_OF_RANGE", "2022-13": "MONTH_MALFORMED", "2022-07": "COMMISSIONER_NOT_IN_FORCE",
		}
		for month, want := range refused {
			_, err := s.iif.CloseMonth(testkit.As(t.Context(), testkit.Preparer("*")), &iifv1.CloseMonthRequest{RequestId: month, CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
			_, err = s.iif.PreviewMonth(testkit.As(t.Context(), testkit.Auditor("*")), &iifv1.PreviewMonthRequest{CommissionerCode: "15N", Month: month})
			require.Equal(t, want, closeReason(err), month)
		}
		_, err := s.iif.CloseMonth(testkit.As(t.Context(), testkit.Preparer("11N")), &iifv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "15N", Month: "2022-05"})
		require.Equal(t, codes.NotFound, status.Code(err))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM outbox`), "nothing is stored")
		require.Equal(t, int32(1), s.close(t, "15N", "2020-10").GetSequence(), "the first month of the fund")
	})
}

func TestCloseMonth_SchedulesNothingThatWasNotApproved(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 100}})
		s.mu.Lock()
		s.years[1] = yearOf("U1", amounts{"HI-03": 101}, indicators...)
		s.mu.Unlock()
		_, err := s.iif.CloseMonth(testkit.As(t.Context(), testkit.Preparer("QJK")), &iifv1.CloseMonthRequest{RequestId: "r", CommissionerCode: "QJK", Month: "2024-06"})
		require.Equal(t, codes.Internal, status.Code(err), "the year gives other pence than its result")
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM schedules`))
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id <> ''`))
	})
}

func TestPreviewMonth_WritesNothing(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 101}})
		preview, err := s.iif.PreviewMonth(testkit.As(t.Context(), testkit.Integration("QJK")), &iifv1.PreviewMonthRequest{
			CommissionerCode: "QJK", Month: "2024-06", IncludeWorking: true,
		})
		require.NoError(t, err)
		require.Equal(t, []string{"U1 HI-03 2024-03 101"}, lineTexts(preview))
		require.Equal(t, int64(101), preview.GetPayTotalPence())
		require.Equal(t, int32(1), preview.GetLineCount())
		require.NotEmpty(t, preview.GetLines()[0].GetWorking().GetSteps())
		for _, table := range []string{"schedules", "lines", "outbox", "audit"} {
			require.Zero(t, s.count(t, `SELECT COUNT(*) FROM `+table), table)
		}
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id <> '' OR version <> 5`))
		require.Equal(t, preview.GetLines()[0].GetLineId(), s.close(t, "QJK", "2024-06").GetLines()[0].GetLineId(), "the close names the same line")
	})
}

func TestSchedules_AreReadByThoseWhoMay(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"), closePCN("U2", "QT6", "QT6"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 12345}})
		own, other := s.close(t, "QJK", "2024-06"), s.close(t, "QT6", "2024-06")
		again := s.close(t, "QJK", "2024-07")
		mine := testkit.As(t.Context(), testkit.Preparer("QJK"))
		found, err := s.iif.GetSchedule(mine, &iifv1.GetScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		require.True(t, proto.Equal(own, found))
		for _, id := range []string{other.GetScheduleId(), "iif-none"} {
			_, err = s.iif.GetSchedule(mine, &iifv1.GetScheduleRequest{ScheduleId: id})
			require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
			_, err = s.iif.DownloadSchedule(mine, &iifv1.DownloadScheduleRequest{ScheduleId: id})
			require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		}
		list, err := s.iif.ListSchedules(mine, &iifv1.ListSchedulesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, again.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		list, err = s.iif.ListSchedules(mine, &iifv1.ListSchedulesRequest{PageSize: 1, PageToken: list.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, own.GetScheduleId(), list.GetSchedules()[0].GetScheduleId())
		require.Empty(t, list.GetSchedules()[0].GetLines())
		require.Empty(t, list.GetNextPageToken())
		_, err = s.iif.ListSchedules(mine, &iifv1.ListSchedulesRequest{CommissionerCode: "QT6"})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.iif.ListSchedules(mine, &iifv1.ListSchedulesRequest{Month: "2024-13"})
		require.Equal(t, "MONTH_MALFORMED", closeReason(err))
		csv, err := s.iif.DownloadSchedule(mine, &iifv1.DownloadScheduleRequest{ScheduleId: own.GetScheduleId()})
		require.NoError(t, err)
		rows := strings.Split(string(csv.GetData()), "\r\n")
		require.Len(t, rows, 3)
		require.Equal(t, "iif-QJK-2024-06-1,QJK,2024-06,1,"+own.GetLines()[0].GetLineId()+
			",2024-03,IIF,U1,Network U1,,HI-03,PU1,Payee of U1,LQJK,IIF,PAY,123.45,,UNSPECIFIED,secondary,", rows[1])
	})
}

func TestGetLine_ExplainsToThePCNAndItsCommissioner(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		s.approve(t, approved{pcn: "U1", commissioner: "QJK", due: amounts{"HI-03": 12345}})
		closed := s.close(t, "QJK", "2024-06")
		req := &iifv1.GetLineRequest{LineId: closed.GetLines()[0].GetLineId()}
		director := auth.Principal{Subject: "director@example.test", Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR}, PCNs: []string{"U1"}}
		for _, by := range []auth.Principal{testkit.PCNManager("U1"), director, testkit.Approver("QJK"), testkit.Integration("QJK"), testkit.Auditor("*")} {
			line, err := s.iif.GetLine(testkit.As(t.Context(), by), req)
			require.NoError(t, err, by.Subject)
			require.Equal(t, []string{closed.GetScheduleId(), "QJK", "2024-06"}, []string{line.GetScheduleId(), line.GetCommissionerCode(), line.GetMonth()})
			require.True(t, line.GetVerified())
			require.Len(t, line.GetSentences(), 4, "two figures, a product and its rounding")
			require.Len(t, line.GetLine().GetWorking().GetSteps(), 2)
		}
		for _, by := range []auth.Principal{testkit.PCNManager("U2"), testkit.Approver("QT6")} {
			_, err := s.iif.GetLine(testkit.As(t.Context(), by), req)
			require.Equal(t, "LINE_NOT_FOUND", closeReason(err), by.Subject)
		}
		_, err := s.iif.GetLine(testkit.As(t.Context(), testkit.Auditor("*")), &iifv1.GetLineRequest{LineId: "iif-none"})
		require.Equal(t, "LINE_NOT_FOUND", closeReason(err))
	})
}

func TestReemitSchedule_PublishesItsEventsAgain(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.set(closePCN("U1", "QJK", "QJK"))
		closed := s.close(t, "QJK", "2024-06")
		req := &iifv1.ReemitScheduleRequest{RequestId: "e1", ScheduleId: closed.GetScheduleId()}
		_, err := s.iif.ReemitSchedule(testkit.As(t.Context(), testkit.Preparer("*")), req)
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		answer, err := s.iif.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), req)
		require.NoError(t, err)
		require.Len(t, answer.GetEventIds(), 1)
		require.Equal(t, int64(2), s.count(t, `SELECT COUNT(*) FROM outbox`))
		_, err = s.iif.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), &iifv1.ReemitScheduleRequest{RequestId: "e2", ScheduleId: "iif-none"})
		require.Equal(t, "SCHEDULE_NOT_FOUND", closeReason(err))
		entries, err := s.iif.ListAuditEntries(testkit.As(t.Context(), testkit.Auditor("QJK")), &iifv1.ListAuditEntriesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, "published 1 events once more", entries.GetEntries()[0].GetSummary())
		entries, err = s.iif.ListAuditEntries(testkit.As(t.Context(), testkit.Auditor("QJK")), &iifv1.ListAuditEntriesRequest{PageToken: entries.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, "closed 2024-06, sequence 1: 0 lines, £0.00 to pay", entries.GetEntries()[0].GetSummary())
		require.Equal(t, "iif/schedules/iif-QJK-2024-06-1", entries.GetEntries()[0].GetResource())
		_, err = s.iif.ListAuditEntries(testkit.As(t.Context(), testkit.Auditor("QJK")), &iifv1.ListAuditEntriesRequest{CommissionerCode: "QT6"})
		require.Equal(t, codes.NotFound, status.Code(err))
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
			event := new(iifv1.ScheduleClosed)
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
		var all []approved
		var pcns []*registerv1.SnapshotPcn
		for i := range 60 {
			network := closePCN(fmt.Sprintf("U%05d", i), "QJK", "QJK")
			network.Name = strings.Repeat("long name ", 400)
			pcns = append(pcns, network)
			all = append(all, approved{pcn: network.GetPcnCode(), commissioner: "QJK", due: amounts{"HI-03": int64(i + 1), "CAN-02": 7, "ACC-08": 9}})
		}
		s.register.set(pcns...)
		s.approve(t, all...)
		closed := s.close(t, "QJK", "2024-06")
		require.Len(t, closed.GetLines(), 180)
		parts := s.announced(t, closed.GetScheduleId())
		require.Greater(t, len(parts), 1)
		joined, err := schedule.Join(parts)
		require.NoError(t, err)
		require.True(t, proto.Equal(closed, joined))
		answer, err := s.iif.ReemitSchedule(testkit.As(t.Context(), testkit.Operator()), &iifv1.ReemitScheduleRequest{RequestId: "e", ScheduleId: closed.GetScheduleId()})
		require.NoError(t, err)
		require.Len(t, answer.GetEventIds(), len(parts))
	})
}

func TestCloseMonth_StormTakesEachYearOnce(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		var sum int64
		var pcns []*registerv1.SnapshotPcn
		for i := range 10 {
			code := "U" + strconv.Itoa(i)
			pcns = append(pcns, closePCN(code, "15N", "QJK"))
			s.approve(t, approved{pcn: code, commissioner: "15N", year: 2021, month: "2022-06", due: amounts{"HI-03": int64(i + 1)}})
			sum += int64(i + 1)
		}
		s.register.set(pcns...)
		ctx, cancel := context.WithTimeout(testkit.As(t.Context(), testkit.Preparer("*")), time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		failures := make(chan error, 20)
		for i := range 10 {
			wg.Go(func() {
				req := &iifv1.CloseMonthRequest{RequestId: "storm-" + strconv.Itoa(i), CommissionerCode: "15N", Month: "2022-06"}
				if i%2 == 1 {
					req.CommissionerCode, req.Month = "QJK", "2022-07"
				}
				_, err := s.iif.CloseMonth(ctx, req)
				failures <- err
			})
			wg.Go(func() {
				late := approved{pcn: "V" + strconv.Itoa(i), commissioner: "15N", year: 2021, month: "2022-06", due: amounts{"CAN-02": 1000}}
				failures <- s.db.Write(ctx, func(tx *sqldb.Tx) error {
					if err := tx.Lock(ctx, "commissioner/15N"); err != nil {
						return err
					}
					return s.putYear(ctx, tx, late)
				})
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		s.close(t, "15N", "2022-06")
		require.Equal(t, sum+10000, s.count(t, `SELECT CAST(SUM(pay_total_pence) AS BIGINT) FROM schedules`), "whichever body closed first paid each year once")
		require.Zero(t, s.count(t, `SELECT COUNT(*) FROM achievements WHERE schedule_id = ''`))
		require.Equal(t, s.count(t, `SELECT COUNT(*) FROM schedules WHERE commissioner_code = '15N'`),
			s.count(t, `SELECT MAX(sequence) FROM schedules WHERE commissioner_code = '15N'`), "sequences have no gap")
	})
}

// courseOf is one PCN-year of the property, and what was approved of it last.
type courseOf struct {
	pcn         string
	owed        int64
	corrections int
}

// Whatever order approvals, corrections, payees and closes come in, what schedules hold of a year is what was approved of it last.
func TestCloseMonth_HoldsWhatWasApprovedInWhateverOrder(t *testing.T) {
	eachClose(t, func(t *testing.T, s *closeSuite) {
		s.register.icbFrom = "2022-07-01"
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++
			ccg, icb := fmt.Sprintf("C%d", run), fmt.Sprintf("Q%d", run)
			years := []*courseOf{{pcn: fmt.Sprintf("U%dA", run)}, {pcn: fmt.Sprintf("U%dB", run)}, {pcn: fmt.Sprintf("U%dC", run)}}
			recorded := make(map[string]bool)
			register := func() {
				var pcns []*registerv1.SnapshotPcn
				for _, y := range years {
					network := unpaidPCN(y.pcn, ccg, icb)
					if recorded[y.pcn] {
						network = closePCN(y.pcn, ccg, icb)
					}
					pcns = append(pcns, network)
				}
				s.register.set(pcns...)
			}
			draw := func() amounts {
				out := make(amounts)
				for _, code := range indicators {
					out[code] = rapid.SampledFrom([]int64{0, 0, 1, 333, 10000, 123457}).Draw(rt, code)
				}
				return out
			}
			sum := func(due amounts) (total int64) {
				for _, pence := range due {
					total += pence
				}
				return total
			}
			approvedYears := make(map[string]bool)
			register()
			for range rapid.IntRange(1, 12).Draw(rt, "steps") {
				y := rapid.SampledFrom(years).Draw(rt, "year")
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0:
					if approvedYears[y.pcn] {
						continue
					}
					due := draw()
					month := rapid.SampledFrom([]string{"2022-06", "2022-08"}).Draw(rt, "month")
					s.approve(rt, approved{pcn: y.pcn, commissioner: ccg, year: 2021, month: month, due: due})
					approvedYears[y.pcn], y.owed = true, sum(due)
				case 1:
					waiting := s.count(t, `SELECT COUNT(*) FROM corrections WHERE pcn_code = $1 AND schedule_id = ''`, y.pcn) +
						s.count(t, `SELECT COUNT(*) FROM achievements WHERE pcn_code = $1 AND schedule_id = ''`, y.pcn)
					if !approvedYears[y.pcn] || waiting > 0 {
						continue
					}
					due := draw()
					y.corrections++
					y.owed = sum(due)
					by := rapid.SampledFrom([]string{ccg, icb}).Draw(rt, "by")
					s.correct(rt, fmt.Sprintf("%s-%02d", y.pcn, y.corrections), rapid.SampledFrom([]string{"2022-06", "2022-07", "2022-09"}).Draw(rt, "month"),
						approved{pcn: y.pcn, commissioner: by, year: 2021, due: due}, s.paid(rt, y.pcn, 2021)...)
				case 2:
					recorded[y.pcn] = !recorded[y.pcn]
					register()
				case 3:
					s.close(t, ccg, "2022-06")
				default:
					s.close(t, icb, rapid.SampledFrom([]string{"2022-07", "2022-08", "2022-09"}).Draw(rt, "closed"))
				}
			}
			for _, y := range years {
				recorded[y.pcn] = true
			}
			register()
			closed := s.close(t, icb, "2022-09")
			require.Equal(rt, closed.GetScheduleId(), s.close(t, icb, "2022-09").GetScheduleId(), "closing again changes nothing")
			for _, y := range years {
				var held int64
				for _, p := range s.paid(rt, y.pcn, 2021) {
					held += int64(p.Amount)
				}
				require.Equal(rt, y.owed, held, "%s holds what was approved last", y.pcn)
				require.Zero(rt, s.unpaid(t, y.pcn), "and no money is left without a payee")
			}
		})
	})
}

// unpaid adds up the lines of a PCN that nobody can be paid.
func (s *closeSuite) unpaid(t testing.TB, pcn string) (sum int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := store.LinesWithoutPayee(t.Context(), q, []string{pcn})
		for _, row := range rows {
			sum += row.Message.GetAmountPence()
		}
		return err
	}))
	return sum
}
