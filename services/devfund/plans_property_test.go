package devfund_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// randomLines are lines that make sense, of any amounts, payees, parts and months.
func randomLines(r *rand.Rand) []*devfundv1.PlanLine {
	lines := make([]*devfundv1.PlanLine, 1+r.IntN(5))
	for i := range lines {
		pcns := []string{"U1", "U2", "U3"}
		r.Shuffle(len(pcns), func(a, b int) { pcns[a], pcns[b] = pcns[b], pcns[a] })
		line := planLine(fmt.Sprint(i), pcns[:1+r.IntN(3)]...)
		line.AmountPence = 1 + r.Int64N(9000)
		if r.IntN(3) == 0 {
			line.AllocationId = ownShare
			line.Beneficiaries = []*devfundv1.Beneficiary{{PcnCode: "U1"}}
		}
		if parts := line.GetBeneficiaries(); r.IntN(2) == 0 {
			left := 100
			for k, b := range parts {
				part := r.IntN(left + 1)
				if k == len(parts)-1 {
					part = left
				}
				b.SharePercent = fmt.Sprint(part)
				left -= part
			}
		}
		switch r.IntN(4) {
		case 0:
			line.Payee, line.SupplierCode = devfundv1.PayeeKind_SUPPLIER, "S"
		case 1:
			line.Payee, line.AmountPence = devfundv1.PayeeKind_IN_KIND, 0
		default:
			for month := range 1 + r.IntN(3) {
				line.Tranches = append(line.Tranches, &devfundv1.Tranche{Month: fmt.Sprintf("2026-%02d", month+1)})
			}
		}
		lines[i] = line
	}
	lines = append(lines, planLine("offer", "U1", "U2", "U3"))
	lines[len(lines)-1].Payee, lines[len(lines)-1].AmountPence = devfundv1.PayeeKind_IN_KIND, 0
	return lines
}

// Plans come, are revised and approved at random: what is committed of each allocation is what the lines of approved versions come to, never
// more than it holds, and every line that pays PCNs is paid to the penny.
func TestPlans_CommitWhatTheirApprovedLinesComeTo(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		r := rand.New(rand.NewPCG(7, 26))
		s.assess(t, "U1", "U2", "U3")
		stands := make(map[string]*devfundv1.Plan)
		var plans []*devfundv1.Plan
		approvals, refusals := 0, 0
		for range 24 {
			var plan *devfundv1.Plan
			if len(plans) == 0 || r.IntN(3) == 0 {
				plan = s.draft(t, planHeader(), randomLines(r)...)
				plans = append(plans, plan)
			} else {
				plan = s.revise(t, plans[r.IntN(len(plans))], planHeader(), randomLines(r)...)
			}
			s.agree(t, plan, "U1", "U2", "U3")
			if _, err := s.try(t, testkit.Preparer(planBody), "settle", plan); err != nil {
				refused(t, err, "CHECKS_FAILED", "failed_checks", "within_allocation")
				refusals++
			} else {
				stands[plan.GetPlanId()] = s.take(t, plan, "approve")
				approvals++
			}
			drawn := make(map[string]int64)
			for _, plan := range stands {
				require.Equal(t, linesPaid(plan), tranchesPaid(plan))
				for _, line := range plan.GetLines() {
					drawn[line.GetAllocationId()] += line.GetAmountPence()
				}
			}
			require.Equal(t, drawn[pool], s.committed(t, pool))
			require.Equal(t, drawn[ownShare], s.committed(t, ownShare))
			require.LessOrEqual(t, drawn[pool], int64(20_000))
			require.LessOrEqual(t, drawn[ownShare], int64(10_000))
		}
		require.Positive(t, approvals)
		require.Positive(t, refusals, "some do not fit")
	})
}

// linesPaid are the lines of a plan that pay PCNs, and tranchesPaid what they are paid.
func linesPaid(plan *devfundv1.Plan) map[string]int64 {
	out := make(map[string]int64)
	for _, line := range plan.GetLines() {
		if line.GetPayee() == devfundv1.PayeeKind_PCN_PAYEE {
			out[line.GetLineId()] = line.GetAmountPence()
		}
	}
	return out
}

func tranchesPaid(plan *devfundv1.Plan) map[string]int64 {
	out := make(map[string]int64)
	for _, tranche := range plan.GetTranches() {
		out[tranche.GetLineId()] += tranche.GetAmountPence()
	}
	return out
}

// Of two plans for money that is there once, one is approved, whoever comes first.
func TestApprovePlan_CommitsMoneyOnce(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *suite) {
		s.assess(t, "U1", "U2", "U3")
		plans := make([]*devfundv1.Plan, 4)
		etags := make([]string, len(plans))
		for i := range plans {
			plans[i] = s.draft(t, planHeader(), goodLines()...)
			s.agree(t, plans[i], "U1", "U2", "U3")
			etags[i] = s.take(t, plans[i], "settle").GetEtag()
		}
		ctx := s.as(t, testkit.Approver(planBody))
		failures := make([]error, len(plans))
		var group errgroup.Group
		for i := range plans {
			group.Go(func() error {
				_, failures[i] = steps["approve"](s, ctx, s.next(), plans[i].GetPlanId(), etags[i])
				return nil
			})
		}
		require.NoError(t, group.Wait())
		failed := slices.DeleteFunc(failures, func(err error) bool { return err == nil })
		require.Len(t, failed, len(plans)-1)
		for _, err := range failed {
			refused(t, err, "CHECKS_FAILED", "failed_checks", "within_allocation")
		}
		require.EqualValues(t, 14_001, s.committed(t, pool))
	})
}
