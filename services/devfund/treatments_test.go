package devfund_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

const (
	returned = devfundv1.UnspentPolicy_RETURN_TO_SYSTEM
	carried  = devfundv1.UnspentPolicy_CARRY_FORWARD_WITH_APPROVAL
)

// treatmentsOf returns the treatments of plan P, newest first.
func (s *suite) treatmentsOf(t *testing.T) []*devfundv1.UnspentTreatment {
	t.Helper()
	out, err := s.devfund.ListTreatments(s.as(t, testkit.Auditor("36J")), &devfundv1.ListTreatmentsRequest{PlanId: "P", FinancialYear: "2019-20"})
	require.NoError(t, err)
	return out.GetTreatments()
}

// TestTreatment_ReturnsAndRecovers follows money that a PCN was paid and did not spend.
func TestTreatment_ReturnsAndRecovers(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, pool string, own map[string]string) {
		require.Len(t, s.closeMonth(t, "2020-03").GetLines(), 3)
		s.spend(t, "1", "2020-03", 45_000)
		_, err := s.tryPropose(t, "1", returned, 15_000)
		refused(t, err, "POLICY_OTHER", "policy", "FLAGGED")
		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		_, err = s.tryPropose(t, "1", carried, 15_000)
		refused(t, err, "POLICY_OTHER", "policy", "RETURN_TO_SYSTEM")
		_, err = s.tryPropose(t, "1", returned, 15_001)
		refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "amount_pence", "15001", "unspent_pence", "15000", "treated_pence", "0")
		_, err = s.tryPropose(t, "2", returned, 1)
		refused(t, err, "SPEND_NOT_REPORTED")
		_, err = s.tryPropose(t, "9", returned, 1)
		refused(t, err, "LINE_NOT_FOUND")

		first := s.propose(t, "1", returned, 10_000)
		require.Equal(t, []int64{100_000, 60_000, 40_000}, sums(s.allocation(t, own["U1"])), "nothing moves before another person approves")
		_, err = s.tryPropose(t, "1", returned, 1)
		refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "treatment_id", first.GetTreatmentId(), "treated_pence", "10000")
		_, err = s.tryDecide(t, testkit.Approver("36J"), first, false, "")
		refused(t, err, "REQUEST_INVALID")
		first, err = s.tryDecide(t, testkit.Approver("36J"), first, false, "ask for all of it")
		require.NoError(t, err)
		require.Equal(t, devfundv1.TreatmentState_TREATMENT_REJECTED, first.GetState())
		_, err = s.tryDecide(t, testkit.Approver("36J"), first, true, "")
		refused(t, err, "TREATMENT_DECIDED", "treatment_id", first.GetTreatmentId())

		second := s.settleUnspent(t, s.propose(t, "1", returned, 15_000))
		require.Equal(t, devfundv1.TreatmentState_TREATMENT_APPROVED, second.GetState())
		require.Equal(t, []int64{85_000, 45_000, 40_000}, sums(s.allocation(t, own["U1"])))
		require.Equal(t, []int64{300_000, 0, 15_000}, sums(s.allocation(t, pool)), "the system has it again")
		balanced(t, s)
		_, err = s.tryPropose(t, "1", returned, 1)
		refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "unspent_pence", "15000", "treated_pence", "15000")

		audited, err := s.devfund.ListAuditEntries(s.as(t, testkit.Auditor("36J")), &devfundv1.ListAuditEntriesRequest{PageSize: 1})
		require.NoError(t, err)
		require.Equal(t, "line 1: RETURN_TO_SYSTEM of £150.00 is approved: £150.00 returns, £150.00 of it from networks", audited.GetEntries()[0].GetSummary())
		events := s.published(t)
		require.Equal(t, second.GetTreatmentId(), events[len(events)-1].event.(*devfundv1.UnspentTreated).GetTreatment().GetTreatmentId())

		require.Empty(t, s.treatmentsOf(t)[0].GetScheduleIds())
		after := s.closeMonth(t, "2020-03")
		require.Equal(t, []string{"U1 P/1 2020-03 -15000"}, lineTexts(after))
		require.Equal(t, []string{after.GetScheduleId()}, s.treatmentsOf(t)[0].GetScheduleIds())
		require.Empty(t, s.treatmentsOf(t)[1].GetScheduleIds())
		require.Equal(t, after.GetScheduleId(), s.closeMonth(t, "2020-03").GetScheduleId(), "it is taken back once")
	})
}

func TestTreatment_IsDecidedByAnotherPerson(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		s.spend(t, "1", "2020-03", 0)
		of := s.propose(t, "1", returned, 60_000)
		_, err := s.tryDecide(t, holder(of.GetProposedBy(), optionsv1.Role_ROLE_FINANCE_APPROVER, "36J"), of, true, "")
		refused(t, err, "SELF_APPROVED")
		_, err = s.tryDecide(t, testkit.Approver("99X"), of, true, "")
		refused(t, err, auth.ReasonNotFound)
		_, err = s.devfund.DecideTreatment(s.as(t, testkit.Approver("99X")), &devfundv1.DecideTreatmentRequest{
			RequestId: s.next(), CommissionerCode: "99X", TreatmentId: of.GetTreatmentId(), Etag: of.GetEtag(), Approve: true,
		})
		refused(t, err, "TREATMENT_NOT_FOUND", "treatment_id", of.GetTreatmentId())
		of.Etag = "7"
		_, err = s.tryDecide(t, testkit.Approver("36J"), of, true, "")
		refused(t, err, "VERSION_CHANGED")
		of.Etag = ""
		_, err = s.tryDecide(t, testkit.Approver("36J"), of, true, "")
		refused(t, err, "ETAG_REQUIRED")

		s.spend(t, "1", "2020-03", 10)
		of.Etag = "1"
		_, err = s.tryDecide(t, testkit.Approver("36J"), of, true, "")
		refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "amount_pence", "60000", "unspent_pence", "59990")
		require.Zero(t, s.count(t, `recoveries`))

		listed, err := s.devfund.ListTreatments(s.as(t, testkit.Auditor("99X")), new(devfundv1.ListTreatmentsRequest))
		require.NoError(t, err)
		require.Empty(t, listed.GetTreatments())
	})
}

// TestTreatment_SplitsWhatSeveralPCNsWerePaid takes back of a line twice what its PCNs were paid, to the penny.
func TestTreatment_SplitsWhatSeveralPCNsWerePaid(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.set(t, "UNSPENT_POLICY", "RETURN_TO_SYSTEM")
		s.spend(t, "2", "2020-03", 0)
		s.settleUnspent(t, s.propose(t, "2", returned, 10_001))
		s.settleUnspent(t, s.propose(t, "2", returned, 30_000))
		for pcn, want := range map[string]int64{"U1": 20_001, "U2": 20_000} {
			require.Equal(t, want, s.recovered(t, "2", pcn), pcn)
		}
		require.Equal(t, []string{"U1 P/1 2020-03 60000"}, lineTexts(s.closeMonth(t, "2020-03")), "what is taken back before it is paid is not paid")
	})
}

// recovered is what treatments take back of a line from a PCN.
func (s *suite) recovered(t *testing.T, line, pcn string) (pence int64) {
	t.Helper()
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		return q.QueryRow(t.Context(), `SELECT CAST(COALESCE(SUM(amount_pence), 0) AS BIGINT) FROM recoveries WHERE line_id = $1 AND pcn_code = $2`, line, pcn).Scan(&pence)
	}))
	return pence
}

func TestTreatment_CarriesForward(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, own map[string]string) {
		s.set(t, "UNSPENT_POLICY", "CARRY_FORWARD_WITH_APPROVAL")
		s.spend(t, "3", "2020-03", 80_000)
		first := s.settleUnspent(t, s.propose(t, "3", carried, 6_000))
		second := s.settleUnspent(t, s.propose(t, "3", carried, 4_000))
		require.Equal(t, first.GetAllocationId(), second.GetAllocationId(), "one allocation of the next year holds it")
		into := s.allocation(t, first.GetAllocationId())
		require.Equal(t, []int64{10_000, 0, 10_000}, sums(into))
		require.Equal(t, devfundv1.AllocationPurpose_CARRIED_FORWARD, into.GetPurpose())
		require.Equal(t, "2020-21", into.GetFinancialYear())
		require.Equal(t, []int64{100_000, 80_000, 10_000}, sums(s.allocation(t, own["U3"])))
		require.Zero(t, s.count(t, `recoveries`))
		balanced(t, s)

		ended, err := s.devfund.GetYearEnd(s.as(t, testkit.Auditor("36J")), &devfundv1.GetYearEndRequest{CommissionerCode: "36J", FinancialYear: "2019-20"})
		require.NoError(t, err)
		require.EqualValues(t, 300_000, ended.GetAvailablePence(), "what is carried forward was released for the year")
		require.EqualValues(t, 10_000, ended.GetTreatedPence())
		next, err := s.devfund.GetYearEnd(s.as(t, testkit.Auditor("36J")), &devfundv1.GetYearEndRequest{CommissionerCode: "36J", FinancialYear: "2020-21"})
		require.NoError(t, err)
		require.EqualValues(t, 10_000, next.GetAvailablePence())
	})
}

func TestTreatment_BeforeTheYearIsOver(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		plan := s.approved(t, planHeader(), goodLines()...)
		_, err := s.devfund.SetSetting(s.as(t, testkit.Approver(planBody)), &devfundv1.SetSettingRequest{
			RequestId: s.next(), CommissionerCode: planBody, FinancialYear: planYear, Name: "UNSPENT_POLICY", Value: "RETURN_TO_SYSTEM", Reason: "decided",
		})
		require.NoError(t, err)
		_, err = s.devfund.ProposeTreatment(s.as(t, testkit.Preparer(planBody)), &devfundv1.ProposeTreatmentRequest{
			RequestId: s.next(), CommissionerCode: planBody, PlanId: plan.GetPlanId(), LineId: "1", Policy: returned, AmountPence: 1, Reason: "not needed",
		})
		refused(t, err, "YEAR_NOT_OVER", "last_day", "2026-03-31")
	})
}

// addsUp holds that the return of the year's last quarter and its year-end statement say the same, line by line and in total.
func (s *suite) addsUp(t *testing.T) {
	t.Helper()
	ctx := s.as(t, testkit.Auditor("36J"))
	quarter, err := s.devfund.GetSystemReturn(ctx, &devfundv1.GetSystemReturnRequest{FinancialYear: "2019-20", Quarter: "4"})
	require.NoError(t, err)
	ended, err := s.devfund.GetYearEnd(ctx, &devfundv1.GetYearEndRequest{CommissionerCode: "36J", FinancialYear: "2019-20"})
	require.NoError(t, err)
	var rows, lines [4]int64
	for _, r := range quarter.GetRows() {
		for i, pence := range []int64{r.GetCommittedPence(), r.GetPaidPence(), r.GetSpentPence(), r.GetUnspentPence()} {
			rows[i] += pence
		}
	}
	for _, l := range ended.GetLines() {
		for i, pence := range []int64{l.GetCommittedPence(), l.GetPaidPence(), l.GetSpentPence(), l.GetUnspentPence()} {
			lines[i] += pence
		}
	}
	total := quarter.GetTotal()
	require.Equal(t, [4]int64{total.GetCommittedPence(), total.GetPaidPence(), total.GetSpentPence(), total.GetUnspentPence()}, rows)
	require.Equal(t, rows, lines, "no line is overspent here")
	require.Equal(t, [4]int64{ended.GetCommittedPence(), ended.GetPaidPence(), ended.GetSpentPence(), ended.GetCommittedPence() - ended.GetSpentPence()}, rows)
	require.Equal(t, total.GetAllocationPence(), ended.GetAvailablePence())
	require.Equal(t, ended.GetAvailablePence()-ended.GetSpentPence(), ended.GetUnspentPence())
}

// TestTreatment_KeepsEveryPenny lets lines be spent, treated and closed in whatever order, and holds the sums of every level.
func TestTreatment_KeepsEveryPenny(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		r := rand.New(rand.NewPCG(3, 4))
		amounts := map[string]int64{"1": 60_000, "2": 40_001, "3": 90_000}
		inForce := devfundv1.UnspentPolicy_FLAGGED
		for range 60 {
			line := fmt.Sprint(1 + r.IntN(3))
			switch r.IntN(4) {
			case 0:
				_, err := s.tryReport(t, testkit.Preparer("36J"), "P", line, "2020-03", r.Int64N(amounts[line]), 100_000, "restated")
				require.NoError(t, err)
			case 1:
				inForce = []devfundv1.UnspentPolicy{returned, carried}[r.IntN(2)]
				s.set(t, "UNSPENT_POLICY", inForce.String())
			case 2:
				s.closeMonth(t, "2020-03")
			default:
				of, err := s.tryPropose(t, line, inForce, 1+r.Int64N(5_000))
				if err == nil {
					s.settleUnspent(t, of)
				}
			}
			balanced(t, s)
			s.addsUp(t)
			require.Zero(t, s.count(t, `allocations a WHERE financial_year = '2019/20' AND committed_pence <> (SELECT COALESCE(SUM(l.amount_pence), 0) FROM plan_lines l WHERE l.allocation_id = a.allocation_id)
				- (SELECT COALESCE(SUM(x.amount_pence), 0) FROM treatments x JOIN plan_lines l ON l.plan_id = x.plan_id AND l.line_id = x.line_id WHERE l.allocation_id = a.allocation_id AND x.state = 2)`))
		}
		s.closeMonth(t, "2020-03")
		s.addsUp(t)
		require.NotZero(t, s.count(t, `recoveries`))
		require.NotZero(t, s.count(t, `treatments WHERE policy = 3`))
		require.Zero(t, s.count(t, `tranches t WHERE amount_pence - (SELECT COALESCE(SUM(c.amount_pence), 0) FROM recoveries c WHERE c.line_id = t.line_id AND c.pcn_code = t.pcn_code)
			<> (SELECT COALESCE(SUM(l.amount_pence), 0) FROM lines l WHERE l.plan_line_id = t.line_id AND l.pcn_code = t.pcn_code)`), "schedules hold what was not taken back")
		require.Zero(t, s.count(t, `treatments x WHERE state = 2 AND policy = 2 AND line_id <> '3' AND amount_pence <> (SELECT COALESCE(SUM(c.amount_pence), 0) FROM recoveries c
			WHERE c.treatment_id = x.treatment_id)`), "what PCNs were paid is recovered from them")
	})
}

// What a network was paid and did not spend it gives back, before a plan of the next year pays it anew.
func TestTreatment_TakesBackWhatIsCarriedForward(t *testing.T) {
	eachSpend(t, func(t *testing.T, s *suite, _ string, _ map[string]string) {
		s.closeMonth(t, "2020-03")
		s.set(t, "UNSPENT_POLICY", "CARRY_FORWARD_WITH_APPROVAL")
		s.spend(t, "1", "2020-03", 45_000)
		into := s.settleUnspent(t, s.propose(t, "1", carried, 15_000)).GetAllocationId()
		require.Equal(t, []int64{15_000, 0, 15_000}, sums(s.allocation(t, into)))
		require.Equal(t, []string{"U1 P/1 2020-03 -15000"}, lineTexts(s.closeMonth(t, "2020-03")))
	})
}
