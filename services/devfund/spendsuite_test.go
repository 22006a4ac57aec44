package devfund_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// spentLine is a line of an approved plan that a test puts there.
type spentLine struct {
	id, allocation string
	payee          devfundv1.PayeeKind
	pence          int64
	tranches       []closeTranche // without their line
}

// cash is a line that pays PCNs equal parts in the last month of 2019/20.
func cash(id, allocation string, pence int64, pcns ...string) spentLine {
	out := spentLine{id: id, allocation: allocation, payee: devfundv1.PayeeKind_PCN_PAYEE, pence: pence}
	for _, pcn := range pcns {
		out.tranches = append(out.tranches, closeTranche{pcn: pcn, month: "2020-03", pence: pence / int64(len(pcns))})
	}
	return out
}

// put puts a plan of U1, U2 and U3 there as its approval leaves it, and commits its lines.
func (s *suite) put(t *testing.T, plan, commissioner, year, allocation string, lines ...spentLine) {
	t.Helper()
	ctx := context.Background()
	header, err := sqldb.Marshal(&devfundv1.PlanHeader{Title: plan, AllocationId: allocation})
	require.NoError(t, err)
	approval, err := sqldb.Marshal(&devfundv1.PlanApproval{Body: "PCCC", ApprovedOn: year[:4] + "-05-07", MinuteReference: "PCCC 7", RecordedBy: "approver"})
	require.NoError(t, err)
	var planned int64
	for _, l := range lines {
		planned += l.pence
	}
	require.NoError(t, s.db.Write(ctx, func(tx *sqldb.Tx) (err error) {
		run := func(query string, args ...any) {
			if err == nil {
				_, err = tx.Exec(ctx, query, args...)
			}
		}
		run(`INSERT INTO plans (plan_id, financial_year, commissioner_code, allocation_id, newest_version, approved_version, version)
			VALUES ($1, $2, $3, $4, 1, 1, 1)`, plan, year[:4]+"/"+year[5:], commissioner, allocation)
		run(`INSERT INTO plan_versions (plan_id, number, state, header, planned_pence, author, approval, drafted_at) VALUES ($1, 1, 5, $2, $3, 'author', $4, 1)`,
			plan, header, planned, approval)
		for _, pcn := range []string{"U1", "U2", "U3"} {
			run(`INSERT INTO plan_pcns (plan_id, number, pcn_code) VALUES ($1, 1, $2)`, plan, pcn)
		}
		for i, l := range lines {
			message := planLine(l.id)
			message.AllocationId, message.Payee, message.AmountPence = l.allocation, l.payee, l.pence
			for _, tranche := range l.tranches {
				message.Beneficiaries = append(message.Beneficiaries, &devfundv1.Beneficiary{PcnCode: tranche.pcn})
			}
			body, failed := sqldb.Marshal(message)
			if failed != nil {
				return failed
			}
			run(`INSERT INTO plan_lines (plan_id, number, line_id, position, allocation_id, level, domain, payee, amount_pence, message)
				VALUES ($1, 1, $2, $3, $4, 1, 2, $5, $6, $7)`, plan, l.id, i+1, l.allocation, int64(l.payee), l.pence, body)
			for _, tranche := range l.tranches {
				run(`INSERT INTO tranches (plan_id, number, line_id, pcn_code, month, amount_pence) VALUES ($1, 1, $2, $3, $4, $5)`,
					plan, l.id, tranche.pcn, tranche.month, tranche.pence)
			}
		}
		return err
	}))
	for _, l := range lines {
		require.NoError(t, s.service.Commit(ctx, l.allocation, l.pence))
	}
}

// eachSpend runs a test on both stores: 36J accounts for £3,000.00 of 2019/20 that QWE holds, of which U1, U2 and U3 hold £1,000.00 each.
// Plan P pays U1 £600.00 and U1 and U2 £400.01 of their own, and a supplier £900.00 out of U3's.
func eachSpend(t *testing.T, test func(t *testing.T, s *suite, pool string, own map[string]string)) {
	t.Helper()
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 300_000)
		decided, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), decision(s, pool, devfundv1.SharingKind_EQUAL))
		require.NoError(t, err)
		own := make(map[string]string)
		for _, id := range decided.GetAllocationIds() {
			own[s.allocation(t, id).GetHolderCode()] = id
		}
		joint := cash("2", own["U2"], 40_001, "U1", "U2")
		joint.tranches[0].pence = 20_001
		s.put(t, "P", "36J", "2019-20", pool.GetAllocationId(), cash("1", own["U1"], 60_000, "U1"), joint,
			spentLine{id: "3", allocation: own["U3"], payee: devfundv1.PayeeKind_SUPPLIER, pence: 90_000})
		test(t, s, pool.GetAllocationId(), own)
	})
}

func (s *suite) tryReport(t *testing.T, by auth.Principal, plan, line, month string, spent, forecast int64, note string) (*devfundv1.SpendReport, error) {
	t.Helper()
	return s.devfund.ReportSpend(s.as(t, by), &devfundv1.ReportSpendRequest{
		RequestId: s.next(), PlanId: plan, LineId: line, Month: month, SpentToDatePence: spent, ForecastPence: forecast, Note: note,
	})
}

// spend reports spend as 36J does.
func (s *suite) spend(t *testing.T, line, month string, spent int64) *devfundv1.SpendReport {
	t.Helper()
	out, err := s.tryReport(t, testkit.Preparer("*"), "P", line, month, spent, spent, "as the ledger has it")
	require.NoError(t, err)
	return out
}

// set sets a policy of 36J for 2019/20.
func (s *suite) set(t *testing.T, name, value string) {
	t.Helper()
	_, err := s.devfund.SetSetting(s.as(t, testkit.Approver("36J")), &devfundv1.SetSettingRequest{
		RequestId: s.next(), CommissionerCode: "36J", FinancialYear: "2019-20", Name: name, Value: value, Reason: "decided",
	})
	require.NoError(t, err)
}

func (s *suite) tryPropose(t *testing.T, line string, policy devfundv1.UnspentPolicy, pence int64) (*devfundv1.UnspentTreatment, error) {
	t.Helper()
	return s.devfund.ProposeTreatment(s.as(t, testkit.Preparer("36J")), &devfundv1.ProposeTreatmentRequest{
		RequestId: s.next(), CommissionerCode: "36J", PlanId: "P", LineId: line, Policy: policy, AmountPence: pence, Reason: "not needed",
	})
}

func (s *suite) propose(t *testing.T, line string, policy devfundv1.UnspentPolicy, pence int64) *devfundv1.UnspentTreatment {
	t.Helper()
	out, err := s.tryPropose(t, line, policy, pence)
	require.NoError(t, err)
	return out
}

func (s *suite) tryDecide(t *testing.T, by auth.Principal, of *devfundv1.UnspentTreatment, approve bool, why string) (*devfundv1.UnspentTreatment, error) {
	t.Helper()
	return s.devfund.DecideTreatment(s.as(t, by), &devfundv1.DecideTreatmentRequest{
		RequestId: s.next(), CommissionerCode: "36J", TreatmentId: of.GetTreatmentId(), Etag: of.GetEtag(), Approve: approve, Reason: why,
	})
}

// settleUnspent approves a treatment.
func (s *suite) settleUnspent(t *testing.T, of *devfundv1.UnspentTreatment) *devfundv1.UnspentTreatment {
	t.Helper()
	out, err := s.tryDecide(t, testkit.Approver("36J"), of, true, "")
	require.NoError(t, err)
	return out
}

// closeMonth closes a month for 36J.
func (s *suite) closeMonth(t *testing.T, month string) *typev1.PaymentSchedule {
	t.Helper()
	out, err := s.devfund.CloseMonth(s.as(t, testkit.Preparer("*")), &devfundv1.CloseMonthRequest{RequestId: s.next(), CommissionerCode: "36J", Month: month})
	require.NoError(t, err)
	return out
}
