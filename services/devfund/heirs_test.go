package devfund_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// TestHeirs_ReadWhatWasLeftToThem holds that an ICB reads what its CCG left as its own from the day on which the CCG pays nobody any more, that
// nobody else does, and that it changes nothing of it.
func TestHeirs_ReadWhatWasLeftToThem(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.register.mu.Lock()
		s.register.pcns = append(s.register.pcns, snapshotPCN("U7", "77Z", "QAB", 20_000))
		s.register.mu.Unlock()
		s.allocate(t, "PCN_DEV-2022-23", "", "england", "2022/23", devfundv1.AllocationLevel_NATION, 150_000)
		s.allocate(t, "ccg", "PCN_DEV-2022-23", "36J", "2022/23", devfundv1.AllocationLevel_SYSTEM, 100_000)
		line := cash("1", "ccg", 60_000)
		line.tranches = []closeTranche{{pcn: "U1", month: "2022-05", pence: 30_000}, {pcn: "U1", month: "2022-12", pence: 30_000}}
		s.put(t, "C", "36J", "2022-23", "ccg", line)
		_, err := s.tryReport(t, testkit.Preparer("36J"), "C", "1", "2022-06", 25_000, 60_000, "")
		require.NoError(t, err)

		reads := func(by auth.Principal) map[string]error {
			_, plan := s.devfund.GetPlan(s.as(t, by), &devfundv1.GetPlanRequest{PlanId: "C"})
			_, allocation := s.devfund.GetAllocation(s.as(t, by), &devfundv1.GetAllocationRequest{AllocationId: "ccg"})
			_, tree := s.devfund.GetAllocationTree(s.as(t, by), &devfundv1.GetAllocationTreeRequest{AllocationId: "ccg"})
			_, trace := s.devfund.TraceLine(s.as(t, by), &devfundv1.TraceLineRequest{PlanId: "C", LineId: "1"})
			return map[string]error{"plan": plan, "allocation": allocation, "tree": tree, "trace": trace}
		}
		listed := func(by auth.Principal, code, year string) (n [3]int) {
			plans, err := s.devfund.ListPlans(s.as(t, by), &devfundv1.ListPlansRequest{CommissionerCode: code, FinancialYear: year})
			if err != nil {
				return n
			}
			allocations, err := s.devfund.ListAllocations(s.as(t, by), &devfundv1.ListAllocationsRequest{CommissionerCode: code, FinancialYear: year, Level: devfundv1.AllocationLevel_SYSTEM})
			require.NoError(t, err)
			reports, err := s.devfund.ListSpendReports(s.as(t, by), &devfundv1.ListSpendReportsRequest{CommissionerCode: code, FinancialYear: year})
			require.NoError(t, err)
			return [3]int{len(plans.GetPlans()), len(allocations.GetAllocations()), len(reports.GetReports())}
		}
		for name, err := range reads(testkit.Auditor("QWE")) {
			require.Error(t, err, "%s: the CCG still pays", name)
		}
		require.Zero(t, listed(testkit.Auditor("QWE"), "", ""))

		s.register.mu.Lock()
		s.register.icbFrom = "2022-07-01"
		s.register.mu.Unlock()
		for name, err := range reads(testkit.Auditor("QWE")) {
			require.NoError(t, err, name)
		}
		for name, err := range reads(testkit.Auditor("QAB")) {
			require.Error(t, err, "%s: another's", name)
		}
		for _, of := range [][2]string{{"", ""}, {"", "2022-23"}, {"36J", ""}, {"36J", "2022-23"}} {
			require.Equal(t, [3]int{1, 1, 1}, listed(testkit.Auditor("QWE"), of[0], of[1]), "%v", of)
			require.Zero(t, listed(testkit.Auditor("QAB"), of[0], of[1]), "%v", of)
		}
		_, err = s.tryReport(t, testkit.Preparer("QWE"), "C", "1", "2022-12", 50_000, 60_000, "")
		require.Error(t, err, "to read is not to change")
	})
}
