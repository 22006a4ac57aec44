package devfund_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

func TestSystemReturn_AddsUp(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.system(t, "99X", "2019-20", "QAB", 7_000)
		s.closeMonth(t, "2020-03")
		s.spend(t, "1", "2019-12", 20_000)
		s.spend(t, "1", "2020-03", 65_000)
		s.spend(t, "3", "2020-02", 80_000)
		ctx := s.as(t, testkit.Auditor("*"))
		out, err := s.devfund.GetSystemReturn(ctx, &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4"})
		require.NoError(t, err)
		require.Equal(t, "2020-03", out.GetThroughMonth())
		require.Len(t, out.GetRows(), 1)
		row := out.GetRows()[0]
		require.Equal(t, devfundv1.LineLevel_LINE_PCN, row.GetLevel())
		require.Equal(t, devfundv1.SupportDomain_ORGANISATIONAL_DEVELOPMENT, row.GetDomain())
		require.Len(t, out.GetCommissionerTotals(), 2)
		require.EqualValues(t, 307_000, out.GetTotal().GetAllocationPence())
		require.Contains(t, out.GetNotes()[0], "2 lines have no report of 2020-03")

		file, err := s.devfund.DownloadSystemReturn(ctx, &devfundv1.DownloadSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4"})
		require.NoError(t, err)
		require.Equal(t, strings.Join([]string{
			"financial_year,quarter,through_month,fund_code,row,commissioner_code,level,domain,allocation_gbp,committed_gbp,paid_gbp,spent_gbp,forecast_gbp,unspent_gbp,lines,lines_unreported",
			"2019-20,4,2020-03,PCN_DEV,LINES,36J,PCN,ORGANISATIONAL_DEVELOPMENT,,1900.01,1800.01,1450.00,1450.00,450.01,3,2",
			"2019-20,4,2020-03,PCN_DEV,COMMISSIONER,36J,,,3000.00,1900.01,1800.01,1450.00,1450.00,450.01,3,2",
			"2019-20,4,2020-03,PCN_DEV,COMMISSIONER,99X,,,70.00,0.00,0.00,0.00,0.00,0.00,0,0",
			"2019-20,4,2020-03,PCN_DEV,TOTAL,,,,3070.00,1900.01,1800.01,1450.00,1450.00,450.01,3,2", "",
		}, "\r\n"), string(file.GetData()))

		third, err := s.devfund.GetSystemReturn(ctx, &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "3", CommissionerCode: "36J"})
		require.NoError(t, err)
		require.EqualValues(t, 20_000, third.GetTotal().GetSpentPence(), "as it stood in December")
		require.Zero(t, third.GetTotal().GetPaidPence(), "no tranche was for a month before March")

		mine, err := s.devfund.GetSystemReturn(s.as(t, testkit.Auditor("99X")), &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4"})
		require.NoError(t, err)
		require.Empty(t, mine.GetRows())
		require.EqualValues(t, 7_000, mine.GetTotal().GetAllocationPence())
		_, err = s.devfund.GetSystemReturn(s.as(t, testkit.Auditor("99X")), &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4", CommissionerCode: "36J"})
		refused(t, err, auth.ReasonNotFound)
		_, err = s.devfund.GetSystemReturn(ctx, &devfundv1.GetSystemReturnRequest{FinancialYear: "2026-27", Quarter: "1"})
		refused(t, err, "MONTH_NOT_STARTED", "first_day", "2026-04-01", "today", "2026-01-15")
		_, err = s.devfund.GetSystemReturn(ctx, &devfundv1.GetSystemReturnRequest{FinancialYear: "2018-19", Quarter: "1"})
		refused(t, err, "YEAR_OUT_OF_RANGE")
	})
}

func TestYearEnd_IsFinalOnceEverythingIsReportedAndClosed(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.closeMonth(t, "2020-03")
		s.spend(t, "1", "2020-03", 45_000)
		s.spend(t, "2", "2020-03", 40_001)
		ended := func() *devfundv1.YearEndStatement {
			out, err := s.devfund.GetYearEnd(s.as(t, testkit.Auditor("36J")), &devfundv1.GetYearEndRequest{CommissionerCode: "36J", FinancialYear: "2019-20"})
			require.NoError(t, err)
			require.Equal(t, out.GetAvailablePence()-out.GetSpentPence(), out.GetUnspentPence())
			return out
		}
		first := ended()
		require.Equal(t, devfundv1.UnspentPolicy_FLAGGED, first.GetPolicy())
		require.Equal(t, []string{"report of spend to 2020-03"}, first.GetLines()[2].GetMissing())
		s.spend(t, "3", "2020-03", 90_000)
		require.False(t, ended().GetFinal(), "the plan is not closed")
		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		waiting := s.propose(t, "1", returned, 15_000)
		require.Zero(t, ended().GetTreatedPence())
		s.settleUnspent(t, waiting)
		s.exec(t, `UPDATE plan_versions SET state = 8 WHERE plan_id = 'P'`)
		out := ended()
		require.True(t, out.GetFinal())
		require.Equal(t, []int64{300_000, 190_001, 100_001 + 90_000, 175_001, 124_999, 15_000}, []int64{
			out.GetAvailablePence(), out.GetCommittedPence(), out.GetPaidPence(), out.GetSpentPence(), out.GetUnspentPence(), out.GetTreatedPence(),
		}, "what is taken back is paid until a schedule takes it back")
		require.Equal(t, waiting.GetTreatmentId(), out.GetLines()[0].GetTreatmentId())
		require.EqualValues(t, 15_000, out.GetLines()[0].GetUnspentPence())
		require.Len(t, out.GetAccounts(), 1)
		require.Equal(t, "2019-04 2020-03", out.GetAccounts()[0].GetFromMonth()+" "+out.GetAccounts()[0].GetToMonth())
		s.closeMonth(t, "2020-03")
		require.EqualValues(t, 175_001, ended().GetPaidPence())
	})
}

// TestYearEnd_HasTwoAccountsIn2022 holds that what the CCG received to June and did not spend is the ICB's after.
func TestYearEnd_HasTwoAccountsIn2022(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.register.icbFrom = "2022-07-01"
		s.allocate(t, "PCN_DEV-2022-23", "", "england", "2022/23", devfundv1.AllocationLevel_NATION, 150_000)
		s.allocate(t, "ccg", "PCN_DEV-2022-23", "36J", "2022/23", devfundv1.AllocationLevel_SYSTEM, 100_000)
		s.allocate(t, "icb", "PCN_DEV-2022-23", "QWE", "2022/23", devfundv1.AllocationLevel_SYSTEM, 50_000)
		old, young := cash("1", "ccg", 60_000), cash("1", "icb", 40_000)
		old.tranches = []closeTranche{{pcn: "U1", month: "2022-05", pence: 30_000}, {pcn: "U1", month: "2022-08", pence: 30_000}}
		young.tranches = []closeTranche{{pcn: "U2", month: "2022-09", pence: 40_000}}
		s.put(t, "C", "36J", "2022-23", "ccg", old)
		s.put(t, "I", "QWE", "2022-23", "icb", young)
		for _, of := range [][2]string{{"36J", "2022-05"}, {"QWE", "2022-09"}} {
			_, err := s.devfund.CloseMonth(s.as(t, testkit.Preparer("*")), &devfundv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: of[0], Month: of[1]})
			require.NoError(t, err)
		}
		for _, of := range []struct {
			plan, month string
			spent       int64
		}{{"C", "2022-06", 25_000}, {"C", "2023-03", 55_000}, {"I", "2023-03", 40_000}} {
			_, err := s.tryReport(t, testkit.Preparer("*"), of.plan, "1", of.month, of.spent, of.spent, "")
			require.NoError(t, err)
		}
		ended := func(code string) (*devfundv1.YearEndStatement, []string) {
			out, err := s.devfund.GetYearEnd(s.as(t, testkit.Auditor(code)), &devfundv1.GetYearEndRequest{FundCode: "PCN_DEV", CommissionerCode: code, FinancialYear: "2022-23"})
			require.NoError(t, err)
			var words []string
			for _, a := range out.GetAccounts() {
				words = append(words, fmt.Sprint(a.GetCommissionerCode(), " ", a.GetFromMonth(), " ", a.GetToMonth(), " received ", a.GetReceivedPence(), " paid ", a.GetPaidPence(),
					" spent ", a.GetSpentPence(), " handed over ", a.GetHandedOverPence()))
			}
			return out, words
		}
		ccg := "36J 2022-04 2022-06 received 100000 paid 30000 spent 25000 handed over 75000"
		out, words := ended("QWE")
		require.Equal(t, []string{ccg, "QWE 2022-07 2023-03 received 125000 paid 70000 spent 70000 handed over 0"}, words)
		require.Equal(t, []int64{150_000, 95_000, 55_000}, []int64{out.GetAvailablePence(), out.GetSpentPence(), out.GetUnspentPence()})
		require.Len(t, out.GetLines(), 2)
		out, words = ended("36J")
		require.Equal(t, []string{ccg}, words)
		require.Equal(t, []int64{100_000, 25_000, 75_000}, []int64{out.GetAvailablePence(), out.GetSpentPence(), out.GetUnspentPence()})
		require.False(t, out.GetFinal())
	})
}

func TestYearEnd_RefusesWhatIsNotKnown(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.allocate(t, "unknown", "PCN_DEV-2019-20", "36J", "2019/20", devfundv1.AllocationLevel_SYSTEM, nil)
		_, err := s.devfund.GetYearEnd(s.as(t, testkit.Auditor("36J")), &devfundv1.GetYearEndRequest{CommissionerCode: "36J", FinancialYear: "2019-20"})
		refused(t, err, "AMOUNT_UNKNOWN", "allocation_id", "unknown")
		out, err := s.devfund.GetSystemReturn(s.as(t, testkit.Auditor("36J")), &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4"})
		require.NoError(t, err)
		require.EqualValues(t, 300_000, out.GetTotal().GetAllocationPence())
		require.Contains(t, out.GetNotes()[0], "unknown")
	})
}

// exceptions are those of 2019/20 in words: exception, commissioner, plan, allocation, pence and subjects.
func (s *suite) exceptions(t *testing.T, by auth.Principal) (out []string) {
	t.Helper()
	found, err := s.devfund.ListExceptions(s.as(t, by), &devfundv1.ListExceptionsRequest{FinancialYear: "2019-20"})
	require.NoError(t, err)
	for _, e := range found.GetExceptions() {
		require.NotEmpty(t, e.GetWords())
		out = append(out, fmt.Sprint(e.GetException(), " ", e.GetCommissionerCode(), " ", e.GetPlanId(), " ", e.GetAllocationId(), " ", e.GetAmountPence(), " ", e.GetSubjects()))
	}
	return out
}

func TestExceptions_NameWhatIsToDo(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, pool string, own map[string]string) {
		region := testkit.Auditor("*")
		agreed := "agreed_with_clinical_directors 36J P  190001 [U1 U2 U3]"
		require.Contains(t, s.exceptions(t, region), agreed, "a check goes under its own name")
		has := func(want string) {
			t.Helper()
			require.Contains(t, s.exceptions(t, region), want)
		}
		hasNo := func(exception string) {
			t.Helper()
			for _, e := range s.exceptions(t, region) {
				require.False(t, strings.HasPrefix(e, exception+" "), e)
			}
		}
		for _, exception := range []string{"PLAN_MISSING", "NOT_ALL_SHARED", "OVER_COMMITTED", "SPEND_OVERDUE", "OVERSPENT", "UNSPENT", "AMOUNT_UNKNOWN"} {
			hasNo(exception)
		}

		other := s.system(t, "99X", "2019-20", "QAB", 7_000)
		has("PLAN_MISSING 99X   7000 []")
		has("NOT_ALL_SHARED 99X  " + other.GetAllocationId() + " 7000 []")
		s.allocate(t, "unknown", "PCN_DEV-2019-20", "88Y", "2019/20", devfundv1.AllocationLevel_SYSTEM, nil)
		has("AMOUNT_UNKNOWN 88Y  unknown 0 []")

		s.put(t, "Q", "36J", "2019-20", pool, cash("1", own["U1"], 40_000, "U1"))
		require.NoError(t, s.service.Commit(t.Context(), own["U1"], -40_000))
		s.exec(t, `UPDATE plans SET approved_version = 0 WHERE plan_id = 'Q'`)
		s.exec(t, `UPDATE plan_versions SET state = 3 WHERE plan_id = 'Q'`)
		hasNo("OVER_COMMITTED")
		s.put(t, "R", "36J", "2019-20", pool, cash("1", own["U1"], 1, "U1"))
		has("OVER_COMMITTED 36J  " + own["U1"] + " 1 [R/1 Q/1 P/1]")
		s.exec(t, `UPDATE plan_versions SET state = 9 WHERE plan_id = 'Q'`)
		has("OVER_COMMITTED 36J  " + own["U1"] + " 1 [R/1 Q/1 P/1]")
		s.exec(t, `UPDATE plan_versions SET state = 10 WHERE plan_id = 'Q'`)
		hasNo("OVER_COMMITTED")

		s.set(t, "SPEND_DUE_DAY", "20")
		has("SPEND_OVERDUE 36J P  190001 [1 2 3]")
		s.spend(t, "1", "2020-03", 60_003)
		has("SPEND_OVERDUE 36J P  130001 [2 3]")
		has("OVERSPENT 36J P  3 [1]")
		hasNo("UNSPENT")
		s.spend(t, "3", "2020-03", 80_000)
		has("UNSPENT 36J P  10000 [3]")
		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		s.settleUnspent(t, s.propose(t, "3", returned, 9_000))
		has("UNSPENT 36J P  1000 [3]")
		has("NOT_ALL_SHARED 36J  " + pool + " 9000 []")

		require.Empty(t, s.exceptions(t, testkit.Auditor("77Z")))
		for _, e := range s.exceptions(t, testkit.Auditor("99X")) {
			require.Contains(t, e, " 99X ")
		}

		view, err := s.devfund.GetRegionalView(s.as(t, region), &devfundv1.GetRegionalViewRequest{FinancialYear: "2019-20"})
		require.NoError(t, err)
		require.Len(t, view.GetRows(), 3)
		require.EqualValues(t, len(s.exceptions(t, region)), view.GetTotal().GetExceptions())
		mine, unknown := view.GetRows()[0], view.GetRows()[1]
		require.Equal(t, "36J 88Y 99X", mine.GetCommissionerCode()+" "+unknown.GetCommissionerCode()+" "+view.GetRows()[2].GetCommissionerCode())
		require.EqualValues(t, 300_000, mine.GetAvailablePence())
		require.Nil(t, unknown.AvailablePence)
		require.Nil(t, view.GetTotal().AvailablePence, "a sum of what is not known is not known")
		require.EqualValues(t, 190_002, mine.GetPlannedPence())
		require.EqualValues(t, 190_002, mine.GetCommittedPence())
		require.EqualValues(t, 140_003, mine.GetSpentPence())
		require.EqualValues(t, 2, mine.GetPlans())
		require.Equal(t, devfundv1.PlanState_APPROVED, mine.GetFurthest())
		require.NotZero(t, mine.GetChecksFailed())
	})
}

// TestExceptions_OfSpendAreDueByTheDay holds that a month is due after its day, and only since the plan was approved.
func TestExceptions_OfSpendAreDueByTheDay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.clock.Set(time.Date(2019, time.June, 20, 9, 0, 0, 0, time.UTC))
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 300_000).GetAllocationId()
		s.put(t, "P", "36J", "2019-20", pool, cash("1", pool, 300_000, "U1"))
		s.set(t, "SPEND_DUE_DAY", "20")
		overdue := func() bool {
			return strings.Contains(strings.Join(s.exceptions(t, testkit.Auditor("36J")), ";"), "SPEND_OVERDUE")
		}
		require.False(t, overdue(), "the last day is today, and April was before the approval")
		s.clock.Set(time.Date(2019, time.June, 21, 9, 0, 0, 0, time.UTC))
		require.True(t, overdue())
		s.spend(t, "1", "2019-05", 0)
		require.False(t, overdue())
	})
}

// trace is what a trace says: kind and pence of each step.
func (s *suite) trace(t *testing.T, by auth.Principal, line string) (whole bool, says []string) {
	t.Helper()
	out, err := s.devfund.TraceLine(s.as(t, by), &devfundv1.TraceLineRequest{PlanId: "P", LineId: line})
	require.NoError(t, err)
	for _, step := range out.GetSteps() {
		require.NotEmpty(t, step.GetId())
		says = append(says, fmt.Sprint(step.GetKind(), " ", step.GetAmountPence()))
	}
	return out.GetWhole(), says
}

func TestTrace_FollowsAPoundFromTheNation(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, own map[string]string) {
		auditor := testkit.Auditor("36J")
		above := []string{"ALLOCATION 4350000000", "ALLOCATION 300000", "SHARING 100000", "ALLOCATION 100000", "PLAN_LINE 60000", "TRANCHE 60000"}
		whole, says := s.trace(t, auditor, "1")
		require.False(t, whole, "no schedule holds it yet")
		require.Equal(t, above, says)
		s.closeMonth(t, "2020-03")
		s.spend(t, "1", "2019-12", 1)
		s.spend(t, "1", "2020-03", 45_000)
		whole, says = s.trace(t, auditor, "1")
		require.True(t, whole)
		require.Equal(t, append(above, "SCHEDULE_LINE 60000", "SPEND 45000"), says)

		_, says = s.trace(t, testkit.PCNManager("U1"), "1")
		require.Equal(t, []string{"SHARING 100000", "ALLOCATION 100000", "PLAN_LINE 60000", "TRANCHE 60000", "SCHEDULE_LINE 60000", "SPEND 45000"}, says,
			"a PCN sees what it holds itself")
		whole, says = s.trace(t, auditor, "3")
		require.True(t, whole, "a supplier is paid outside schedules")
		require.Equal(t, "PLAN_LINE 90000", says[len(says)-1])

		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		s.settleUnspent(t, s.propose(t, "1", returned, 15_000))
		whole, _ = s.trace(t, auditor, "1")
		require.False(t, whole, "no schedule has taken it back")
		s.closeMonth(t, "2020-03")
		whole, says = s.trace(t, auditor, "1")
		require.True(t, whole)
		require.Equal(t, []string{"SCHEDULE_LINE 60000", "SCHEDULE_LINE -15000", "SPEND 45000", "TREATMENT 15000"}, says[6:])

		s.exec(t, `UPDATE allocations SET committed_pence = committed_pence - 1 WHERE allocation_id = $1`, own["U1"])
		whole, _ = s.trace(t, auditor, "1")
		require.False(t, whole, "what is committed is not what lines draw")
		_, err := s.devfund.TraceLine(s.as(t, testkit.Auditor("99X")), &devfundv1.TraceLineRequest{PlanId: "P", LineId: "1"})
		refused(t, err, "PLAN_NOT_FOUND")
	})
}

func TestViews_AreOfTheFundOfTheYear(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for year, fund := range map[string]string{
			"2019-20": "PCN_DEV", "2021-22": "PCN_DEV", "2022-23": "GP_TRANSFORM", "2023-24": "PC_TRANSFORM", "2024-25": "PC_TRANSFORM", "2025-26": "PCN_DEV",
		} {
			out, err := s.devfund.GetSystemReturn(s.as(t, testkit.Auditor("*")), &devfundv1.GetSystemReturnRequest{FinancialYear: year, Quarter: "1"})
			require.NoError(t, err, year)
			require.Equal(t, fund, out.GetFundCode(), year)
		}
	})
}
