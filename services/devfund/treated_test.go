package devfund_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// unspent puts an approved treatment of a line of the pool there, with what it takes back of PCNs.
func (s *suite) unspent(t *testing.T, plan *devfundv1.Plan, line string, amount int64, taken map[string]int64) {
	t.Helper()
	id := "treatment of " + line
	s.exec(t, `INSERT INTO treatments (treatment_id, plan_id, line_id, commissioner_code, financial_year, policy, amount_pence, reason, state,
		proposed_by, proposed_at, decided_by, decided_at, version) VALUES ($1, $2, $3, $4, '2025/26', 2, $5, 'unspent', 2, 'first', 1, 'second', 2, 1)`,
		id, plan.GetPlanId(), line, planBody, amount)
	for pcn, pence := range taken {
		s.exec(t, `INSERT INTO recoveries (treatment_id, plan_id, line_id, pcn_code, month, amount_pence) VALUES ($1, $2, $3, $4, '2026-03', $5)`,
			id, plan.GetPlanId(), line, pcn, pence)
	}
	s.exec(t, `UPDATE allocations SET committed_pence = committed_pence - $1 WHERE allocation_id = $2`, amount, pool) // it is of the system itself
}

// What was treated as unspent is drawn no more and taken back of PCNs: a later version that has less of the line than that would draw
// below nothing, and take more back than was paid.
func TestApprovePlan_KeepsWhatWasTreatedAsUnspent(t *testing.T) {
	for name, c := range map[string]struct {
		change func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine
		line   string // that is refused
		pool   int64  // that is committed of the pool otherwise
	}{
		"the same":          {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine { return lines }, "", 14_001 - 3_000 - 1_000},
		"a line goes":       {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine { return lines[1:] }, "1", 0},
		"a supplier's line": {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine { lines[1].AmountPence = 999; return lines }, "2", 0},
		"just enough of it": {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine { lines[1].AmountPence = 1_000; return lines }, "", 5_001 - 3_000},
		"of another allocation": {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine {
			lines[1].AllocationId, lines[3].AllocationId = ownShare, pool
			return lines
		}, "2", 0},
		"too little of a PCN": {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine {
			lines[0].Beneficiaries[0].SharePercent, lines[0].Beneficiaries[1].SharePercent = "39", "61" // £19.50 of £20.00
			return lines
		}, "1", 0},
		"a PCN that is paid no more": {func(lines []*devfundv1.PlanLine) []*devfundv1.PlanLine {
			lines[0].Payee, lines[0].SupplierCode, lines[0].Tranches = devfundv1.PayeeKind_SUPPLIER, "S1", nil
			return lines
		}, "1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachPlan(t, func(t *testing.T, s *suite) {
				plan := s.approved(t, planHeader(), goodLines()...)
				s.take(t, plan, "mobilise")
				s.revise(t, plan, planHeader(), c.change(goodLines())...)
				s.agree(t, plan, "U1", "U2", "U3")
				s.take(t, plan, "settle")
				s.unspent(t, plan, "1", 3_000, map[string]int64{"U1": 2_000, "U2": 1_000})
				s.unspent(t, plan, "2", 1_000, nil)
				_, err := s.try(t, testkit.Approver(planBody), "approve", plan)
				if c.line == "" {
					require.NoError(t, err)
					require.Equal(t, c.pool, s.committed(t, pool))
					return
				}
				refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "line_id", c.line)
				require.EqualValues(t, 14_001-3_000-1_000, s.committed(t, pool))
				_, err = s.tryRevise(t, plan, planHeader(), c.change(goodLines())...)
				refused(t, err, "TREATMENT_EXCEEDS_UNSPENT", "line_id", c.line)
			})
		})
	}
}
