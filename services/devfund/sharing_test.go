package devfund_test

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

// decision is a request to share an allocation among the PCNs of its commissioner.
func decision(s *suite, pool *devfundv1.Allocation, kind devfundv1.SharingKind, slices ...*devfundv1.TopSlice) *devfundv1.DecideSharingRequest {
	return &devfundv1.DecideSharingRequest{
		RequestId: s.next(), CommissionerCode: pool.GetCommissionerCode(), AllocationId: pool.GetAllocationId(), Etag: pool.GetEtag(),
		Method: &devfundv1.SharingMethod{Kind: kind, Slices: slices}, DecidedBy: "committee", DecidedOn: "2019-12-03", MinuteReference: "PCCC 12/2019", Reason: "agreed",
	}
}

// slice is a percentage that is taken first.
func slice(purpose devfundv1.AllocationPurpose, percent, reason string) *devfundv1.TopSlice {
	return &devfundv1.TopSlice{Purpose: purpose, Percent: percent, Reason: reason}
}

// decide records a decision that stands.
func (s *suite) decide(t *testing.T, req *devfundv1.DecideSharingRequest) *devfundv1.SharingDecision {
	t.Helper()
	out, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), req)
	require.NoError(t, err)
	return out
}

// again asks to share in place of a decision.
func (s *suite) again(t *testing.T, earlier *devfundv1.SharingDecision, kind devfundv1.SharingKind, slices ...*devfundv1.TopSlice) *devfundv1.DecideSharingRequest {
	t.Helper()
	req := decision(s, s.allocation(t, earlier.GetAllocationId()), kind, slices...)
	req.ReplacesDecisionId = earlier.GetDecisionId()
	return req
}

// amountsOf are the shares of an outcome, in order of code.
func amountsOf(o *devfundv1.SharingOutcome) (out []int64) {
	for _, share := range o.GetShares() {
		out = append(out, share.GetAmountPence())
	}
	return out
}

// childrenOf are the allocations that came out of one.
func (s *suite) childrenOf(t *testing.T, id string) []*devfundv1.Allocation {
	t.Helper()
	out, err := s.devfund.ListAllocations(s.as(t, testkit.Auditor("*")), &devfundv1.ListAllocationsRequest{ParentAllocationId: id, PageSize: 1000})
	require.NoError(t, err)
	return out.GetAllocations()
}

// child is the one of a holder and purpose.
func (s *suite) child(t *testing.T, parent, holder string, purpose devfundv1.AllocationPurpose) *devfundv1.Allocation {
	t.Helper()
	all := s.childrenOf(t, parent)
	i := slices.IndexFunc(all, func(a *devfundv1.Allocation) bool { return a.GetHolderCode() == holder && a.GetPurpose() == purpose })
	require.GreaterOrEqual(t, i, 0, "%s for %s", holder, purpose)
	return all[i]
}

// TestDecideSharing_Kingston shares as Kingston did in 2019/20: £143,120 for five PCNs, the default of 10% for clinical directors first (DF-001,
// DF-004).
func TestDecideSharing_Kingston(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U00021", "08J", "QWE", 38_200), snapshotPCN("U00022", "08J", "QWE", 41_750), snapshotPCN("U00023", "08J", "QWE", 52_333),
			snapshotPCN("U00024", "08J", "QWE", 29_876), snapshotPCN("U00025", "08J", "QWE", 60_001))
		pool := s.system(t, "08J", "2019-20", "QWE", 14_312_000)
		out := s.decide(t, decision(s, pool, devfundv1.SharingKind_EQUAL, slice(devfundv1.AllocationPurpose_LEADERSHIP, "", "")))
		o := out.GetOutcome()
		require.Equal(t, "10% for leadership first, then the same for each", o.GetMethodWords())
		require.Equal(t, int64(1_431_200), o.GetSlices()[0].GetAmountPence())
		require.Equal(t, int64(12_880_800), o.GetSharedPoolPence())
		require.Equal(t, []int64{2_576_160, 2_576_160, 2_576_160, 2_576_160, 2_576_160}, amountsOf(o))
		require.Len(t, out.GetAllocationIds(), 6)
		require.Equal(t, "2019-07-01", out.GetMembershipDate(), "there were no PCNs on 1 April 2019")
		require.Len(t, o.GetSnapshotIds(), 1)
		for _, share := range o.GetShares() {
			w, err := working.FromProto(share.GetWorking())
			require.NoError(t, err)
			value, err := working.Evaluate(w)
			require.NoError(t, err)
			require.Zero(t, value.Cmp(money.Pence(share.GetAmountPence()).GBP()), "the working gives the same pence")
			require.Equal(t, "08J", share.GetCommissionerCode())
		}
		balanced(t, s)

		leadership := s.child(t, pool.GetAllocationId(), "QWE", devfundv1.AllocationPurpose_LEADERSHIP)
		require.Equal(t, devfundv1.AllocationLevel_SYSTEM, leadership.GetLevel())
		below := s.decide(t, decision(s, leadership, devfundv1.SharingKind_EQUAL))
		require.Equal(t, []int64{286_240, 286_240, 286_240, 286_240, 286_240}, amountsOf(below.GetOutcome()))
		require.Equal(t, devfundv1.AllocationPurpose_LEADERSHIP, s.childrenOf(t, leadership.GetAllocationId())[0].GetPurpose())
		_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), s.again(t, below, devfundv1.SharingKind_EQUAL, slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "5", "")))
		refused(t, err, "METHOD_MALFORMED")

		flat := s.again(t, out, devfundv1.SharingKind_FLAT_PLUS_PER_HEAD)
		flat.Method.FlatPence = 1_000_000
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), flat)
		refused(t, err, "ALLOCATION_COMMITTED", "allocation_id", leadership.GetAllocationId(), "excess_pence", "1431200")
		compared, err := s.devfund.CompareSharing(s.as(t, testkit.Auditor("08J")), &devfundv1.CompareSharingRequest{
			AllocationId: pool.GetAllocationId(), Methods: []*devfundv1.SharingMethod{flat.GetMethod()},
		})
		require.NoError(t, err)
		require.Equal(t, []int64{2_601_181, 2_749_982, 3_193_576, 2_252_275, 3_514_986}, amountsOf(compared.GetAlternatives()[0]), "the standing decision's pool")
		balanced(t, s)
	})
}

// TestDecideSharing_ReplacesAndKeepsIdentifiers holds what a later decision makes of what an earlier one gave.
func TestDecideSharing_ReplacesAndKeepsIdentifiers(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 12_000_001)
		first := s.decide(t, decision(s, pool, devfundv1.SharingKind_PER_HEAD_REGISTERED, slice(devfundv1.AllocationPurpose_SYSTEM_SUPPORT, "15", "")))
		u3 := s.child(t, pool.GetAllocationId(), "U3", devfundv1.AllocationPurpose_GENERAL)
		_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), decision(s, s.allocation(t, pool.GetAllocationId()), devfundv1.SharingKind_EQUAL))
		refused(t, err, "ALREADY_SHARED", "decision_id", first.GetDecisionId())
		stale := s.again(t, first, devfundv1.SharingKind_EQUAL)
		stale.Etag = pool.GetEtag()
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), stale)
		refused(t, err, "VERSION_CHANGED")
		_, err = s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("36J")), &devfundv1.ReviseAllocationRequest{
			RequestId: s.next(), CommissionerCode: "36J", AllocationId: u3.GetAllocationId(), Etag: u3.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED,
			AmountPence: proto.Int64(1), Source: "letter", Reason: "less",
		})
		refused(t, err, "ALREADY_SHARED", "decision_id", first.GetDecisionId())

		s.register.set(snapshotPCN("U1", "36J", "QWE", 40_000), snapshotPCN("U3", "36J", "QWE", 50_001), snapshotPCN("U4", "36J", "QWE", 1))
		second := s.decide(t, s.again(t, first, devfundv1.SharingKind_EQUAL))
		require.Equal(t, []int64{4_000_001, 4_000_000, 4_000_000}, amountsOf(second.GetOutcome()))
		require.Equal(t, first.GetDecisionId(), second.GetReplacesDecisionId())
		require.Equal(t, u3.GetAllocationId(), s.child(t, pool.GetAllocationId(), "U3", devfundv1.AllocationPurpose_GENERAL).GetAllocationId())
		gone := s.child(t, pool.GetAllocationId(), "U2", devfundv1.AllocationPurpose_GENERAL)
		require.Zero(t, gone.GetReleasedPence())
		require.NotContains(t, second.GetAllocationIds(), gone.GetAllocationId())
		require.Zero(t, s.child(t, pool.GetAllocationId(), "QWE", devfundv1.AllocationPurpose_SYSTEM_SUPPORT).GetReleasedPence())
		require.Zero(t, s.allocation(t, pool.GetAllocationId()).GetLeftPence())
		balanced(t, s)

		replaced := s.again(t, second, devfundv1.SharingKind_EQUAL)
		replaced.ReplacesDecisionId = first.GetDecisionId()
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), replaced)
		refused(t, err, "DECISION_REPLACED", "replaced_by", second.GetDecisionId())
		replaced.RequestId, replaced.ReplacesDecisionId = s.next(), "none"
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), replaced)
		refused(t, err, "DECISION_NOT_FOUND")

		require.NoError(t, s.service.Commit(t.Context(), u3.GetAllocationId(), 3_999_999))
		bids := s.again(t, second, devfundv1.SharingKind_BID)
		bids.Receivers = []*devfundv1.Receiver{{Code: "U1", BidPence: 5_000_000}, {Code: "U3", BidPence: 3_999_998}}
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), bids)
		refused(t, err, "ALLOCATION_COMMITTED", "allocation_id", u3.GetAllocationId(), "amount_pence", "3999998", "committed_pence", "3999999", "excess_pence", "1", "holders", "U3")
		bids.RequestId, bids.Receivers[1].BidPence = s.next(), 7_000_002
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), bids)
		refused(t, err, "BIDS_EXCEED_POOL", "pool_pence", "12000001", "excess_pence", "1")
		bids.RequestId, bids.Receivers[1].BidPence = s.next(), 4_000_000
		third := s.decide(t, bids)
		require.Equal(t, int64(3_000_001), third.GetOutcome().GetHeldPence())
		require.Equal(t, int64(3_000_001), s.allocation(t, pool.GetAllocationId()).GetLeftPence(), "what no bid took stays in the pool")
		balanced(t, s)

		list, err := s.devfund.ListSharingDecisions(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSharingDecisionsRequest{CommissionerCode: "36J", PageSize: 2})
		require.NoError(t, err)
		require.Equal(t, third.GetDecisionId(), list.GetDecisions()[0].GetDecisionId())
		require.Equal(t, devfundv1.DecisionState_REPLACED, list.GetDecisions()[1].GetState())
		require.Nil(t, list.GetDecisions()[1].GetOutcome().GetShares()[0].GetWorking())
		list, err = s.devfund.ListSharingDecisions(s.as(t, testkit.Auditor("36J")), &devfundv1.ListSharingDecisionsRequest{PageToken: list.GetNextPageToken(), FinancialYear: "2019-20"})
		require.NoError(t, err)
		require.Len(t, list.GetDecisions(), 1)
		require.Equal(t, first.GetDecisionId(), list.GetDecisions()[0].GetDecisionId())

		events := s.published(t)
		i := slices.IndexFunc(events, func(p published) bool {
			e, is := p.event.(*devfundv1.SharingDecided)
			return is && e.GetDecisionId() == third.GetDecisionId()
		})
		require.Equal(t, "allocation/"+pool.GetAllocationId(), events[i].aggregate)
		require.Len(t, events[i+1:], 5, "one for each allocation it gave anew, or took back")
	})
}

// TestDecideSharing_RefusesByName is the table of methods and receivers that a decision cannot rest on.
func TestDecideSharing_RefusesByName(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		earlier, later := s.system(t, "36J", "2019-20", "QWE", 1_000_000), s.system(t, "36J", "2020-21", "QWE", 1_000_000)
		for name, c := range map[string]struct {
			of     *devfundv1.Allocation
			change func(*devfundv1.DecideSharingRequest)
			want   string
		}{
			"leadership not stated": {later, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_LEADERSHIP, "", "")}
			}, "LEADERSHIP_PERCENT_MISSING"},
			"no leadership without a reason": {later, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_LEADERSHIP, "0", "")}
			}, "LEADERSHIP_REASON_MISSING"},
			"a slice without a percentage": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "", "")}
			}, "METHOD_MALFORMED"},
			"a slice twice": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "1", ""), slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "1", "")}
			}, "METHOD_MALFORMED"},
			"a slice for anything": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_GENERAL, "1", "")}
			}, "METHOD_MALFORMED"},
			"slices above all": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "50.1", ""), slice(devfundv1.AllocationPurpose_SYSTEM_SUPPORT, "50", "")}
			}, "PERCENTAGES_EXCEED_POOL"},
			"a percentage that is none": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Slices = []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "ten", "")}
			}, "DECIMAL_MALFORMED"},
			"a flat sum of an equal share": {earlier, func(r *devfundv1.DecideSharingRequest) { r.Method.FlatPence = 1 }, "METHOD_MALFORMED"},
			"flat sums above the pool": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method = &devfundv1.SharingMethod{Kind: devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, FlatPence: 333_334}
			}, "FLATS_EXCEED_POOL"},
			"need without a source": {earlier, func(r *devfundv1.DecideSharingRequest) { r.Method.Kind = devfundv1.SharingKind_NEED_INDEX }, "NEED_INDEX_SOURCE_MISSING"},
			"weighted by registered": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method = &devfundv1.SharingMethod{Kind: devfundv1.SharingKind_PER_HEAD_WEIGHTED, Population: devfundv1.PopulationKind_REGISTERED}
			}, "METHOD_MALFORMED"},
			"no such day":             {earlier, func(r *devfundv1.DecideSharingRequest) { r.Method.PopulationDate = "2019-02-30" }, "DATE_MALFORMED"},
			"decided tomorrow":        {earlier, func(r *devfundv1.DecideSharingRequest) { r.DecidedOn = "2026-01-16" }, "DAY_IN_FUTURE"},
			"decided before the fund": {earlier, func(r *devfundv1.DecideSharingRequest) { r.DecidedOn = "2019-03-31" }, "DATE_MALFORMED"},
			"decided by blanks":       {earlier, func(r *devfundv1.DecideSharingRequest) { r.DecidedBy = "  " }, "METHOD_MALFORMED"},
			"blank minutes":           {earlier, func(r *devfundv1.DecideSharingRequest) { r.MinuteReference = " \t" }, "METHOD_MALFORMED"},
			"another's PCN": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Receivers = []*devfundv1.Receiver{{Code: "U1"}, {Code: "U9"}}
			}, "RECEIVER_UNKNOWN"},
			"a PCN twice": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Receivers = []*devfundv1.Receiver{{Code: "U1"}, {Code: "U1"}}
			}, "RECEIVER_TWICE"},
			"a system":  {earlier, func(r *devfundv1.DecideSharingRequest) { r.ReceiversLevel = devfundv1.AllocationLevel_SYSTEM }, "ALLOCATION_LEVEL_WRONG"},
			"no places": {earlier, func(r *devfundv1.DecideSharingRequest) { r.ReceiversLevel = devfundv1.AllocationLevel_PLACE }, "NO_RECEIVERS"},
			"places of CCGs": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.ReceiversLevel, r.CommissionerCodes = devfundv1.AllocationLevel_PLACE, []string{"36J"}
			}, "METHOD_MALFORMED"},
			"patients of places": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.ReceiversLevel, r.Receivers, r.Method.Kind = devfundv1.AllocationLevel_PLACE, []*devfundv1.Receiver{{Code: "North"}, {Code: "South"}}, devfundv1.SharingKind_PER_HEAD_WEIGHTED
			}, "POPULATION_MISSING"},
			"patients from nowhere": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Receivers = []*devfundv1.Receiver{{Code: "U1", Population: "1"}}
			}, "METHOD_MALFORMED"},
			"no number": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Receivers = []*devfundv1.Receiver{{Code: "U1", Population: "many", Source: "me"}}
			}, "DECIMAL_MALFORMED"},
			"no patients": {earlier, func(r *devfundv1.DecideSharingRequest) {
				r.Method.Kind, r.Receivers = devfundv1.SharingKind_PER_HEAD_REGISTERED, []*devfundv1.Receiver{{Code: "U1", Population: "0", Source: "me"}}
			}, "NO_WEIGHT"},
			"another's allocation": {earlier, func(r *devfundv1.DecideSharingRequest) { r.CommissionerCode = "99K" }, "ALLOCATION_NOT_FOUND"},
			"another commissioner": {earlier, func(r *devfundv1.DecideSharingRequest) { r.CommissionerCodes = []string{"99K"} }, "COMMISSIONER_NOT_IN_FORCE"},
		} {
			req := decision(s, c.of, devfundv1.SharingKind_EQUAL)
			c.change(req)
			_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), req)
			require.Equal(t, c.want, reason(err), "%s: %v", name, err)
		}
		missing := snapshotPCN("U2", "36J", "QWE", 30_000)
		missing.Practices[0].Populations = missing.GetPractices()[0].GetPopulations()[:1]
		s.register.set(snapshotPCN("U1", "36J", "QWE", 40_000), missing)
		_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), decision(s, earlier, devfundv1.SharingKind_PER_HEAD_ADJUSTED))
		refused(t, err, "POPULATION_MISSING", "receivers", "U2")
		zero := decision(s, later, devfundv1.SharingKind_PER_HEAD_REGISTERED, slice(devfundv1.AllocationPurpose_LEADERSHIP, "0", "directors are funded by the region"))
		require.Len(t, s.decide(t, zero).GetAllocationIds(), 2, "a slice of nothing makes nothing")

		_, err = s.devfund.SetSetting(s.as(t, testkit.Approver("36J")), &devfundv1.SetSettingRequest{
			RequestId: s.next(), CommissionerCode: "36J", FinancialYear: "2020-21", Name: "LEADERSHIP_PERCENT", Value: "12.5", Reason: "board",
		})
		require.NoError(t, err)
		set := decision(s, s.system(t, "36J", "2020-21", "QRL", 1_000), devfundv1.SharingKind_EQUAL, slice(devfundv1.AllocationPurpose_LEADERSHIP, "", ""))
		require.Equal(t, int64(125), s.decide(t, set).GetOutcome().GetSlices()[0].GetAmountPence(), "the setting of the commissioner")
		balanced(t, s)
	})
}

// TestDecideSharing_GoesDownTheHierarchy shares a system's money among commissioners, and theirs among PCNs: each accounts for its own.
func TestDecideSharing_GoesDownTheHierarchy(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "36J", "QWE", 40_000), snapshotPCN("U2", "99K", "QWE", 30_000))
		system := s.system(t, "36J", "2019-20", "QWE", 1_000_000)
		req := decision(s, system, devfundv1.SharingKind_NEED_INDEX)
		req.Method.NeedIndexSource, req.ReceiversLevel = "system paper", devfundv1.AllocationLevel_COMMISSIONER
		req.Receivers = []*devfundv1.Receiver{
			{Code: "36J", Name: "Thirty-six", Population: "40000", NeedIndex: "1.25", Source: "paper"}, {Code: "99K", Name: "Ninety-nine", Population: "40000", NeedIndex: "0.90", Source: "paper"},
		}
		_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), req)
		require.NoError(t, err)
		own := s.child(t, system.GetAllocationId(), "99K", devfundv1.AllocationPurpose_GENERAL)
		require.Equal(t, "99K", own.GetCommissionerCode())
		require.Equal(t, int64(418_605), own.GetReleasedPence())
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), decision(s, own, devfundv1.SharingKind_EQUAL))
		require.Equal(t, codes.NotFound, status.Code(err), "who gave it shares it no further")
		s.decide(t, decision(s, own, devfundv1.SharingKind_EQUAL))
		balanced(t, s)

		tree := func(p auth.Principal, id string) (*devfundv1.GetAllocationTreeResponse, error) {
			return s.devfund.GetAllocationTree(s.as(t, p), &devfundv1.GetAllocationTreeRequest{AllocationId: id})
		}
		whole, err := tree(testkit.Auditor("*"), "PCN_DEV-2019-20")
		require.NoError(t, err)
		require.Equal(t, []string{"0 england", "1 QWE", "2 36J", "2 99K", "3 U2"}, places(whole))
		require.Equal(t, "by registered patients times a local index of need", whole.GetNodes()[2].GetMethod())
		require.Empty(t, whole.GetNodes()[1].GetMethod())
		giver, err := tree(testkit.Auditor("36J"), system.GetAllocationId())
		require.NoError(t, err)
		require.Equal(t, []string{"0 QWE", "1 36J", "1 99K"}, places(giver), "what was given, and not what became of it")
		require.Len(t, giver.GetAbove(), 1)
		receiver, err := tree(testkit.Auditor("99K"), "PCN_DEV-2019-20")
		require.NoError(t, err)
		require.Equal(t, []string{"0 england", "2 99K", "3 U2"}, places(receiver))
		_, err = tree(testkit.Auditor("99K"), system.GetAllocationId())
		refused(t, err, "ALLOCATION_NOT_FOUND")
	})
}

func places(tree *devfundv1.GetAllocationTreeResponse) (out []string) {
	for _, n := range tree.GetNodes() {
		out = append(out, strconv.Itoa(int(n.GetDepth()))+" "+n.GetAllocation().GetHolderCode())
	}
	return out
}

// TestDecideSharing_NationToSystems shares what the nation holds among systems by figures that are stated; the same request gets the stored
// answer, and other content under its identifier none.
func TestDecideSharing_NationToSystems(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		req := decision(s, s.allocation(t, "PCN_DEV-2019-20"), devfundv1.SharingKind_PER_HEAD_ADJUSTED)
		req.CommissionerCode, req.ReceiversLevel = "", devfundv1.AllocationLevel_SYSTEM
		req.Receivers = []*devfundv1.Receiver{{Code: "QRL", Population: "1500000.5", Source: "paper"}, {Code: "QWE", Population: "2", Source: "paper"}}
		_, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("QRL")), req)
		require.Equal(t, codes.PermissionDenied, status.Code(err), "the nation's money is England's to share")
		made := s.decide(t, req)
		require.Equal(t, []int64{4_349_994_200, 5_800}, amountsOf(made.GetOutcome()))
		require.Empty(t, made.GetOutcome().GetShares()[0].GetCommissionerCode())
		require.Equal(t, "QRL", s.child(t, "PCN_DEV-2019-20", "QRL", devfundv1.AllocationPurpose_GENERAL).GetCommissionerCode())
		require.True(t, proto.Equal(made, s.decide(t, req)))
		require.Equal(t, 1, s.count(t, "decisions"))
		req.Reason = "another"
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), req)
		require.Equal(t, codes.AlreadyExists, status.Code(err))
		balanced(t, s)
	})
}

// TestCompareSharing_TenMethods sets ten methods side by side: each comes to the pool or is refused, and nothing is written.
func TestCompareSharing_TenMethods(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 10_000_003)
		before := s.count(t, "outbox") + s.count(t, "audit") + s.count(t, "allocations") + s.count(t, "decisions")
		out, err := s.devfund.CompareSharing(s.as(t, testkit.Auditor("36J")), &devfundv1.CompareSharingRequest{
			AllocationId: pool.GetAllocationId(),
			Methods: []*devfundv1.SharingMethod{
				{Kind: devfundv1.SharingKind_PER_HEAD_REGISTERED},
				{Kind: devfundv1.SharingKind_EQUAL},
				{Kind: devfundv1.SharingKind_PER_HEAD_WEIGHTED},
				{Kind: devfundv1.SharingKind_PER_HEAD_ADJUSTED},
				{Kind: devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, FlatPence: 1_000_000},
				{Kind: devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, FlatPence: 4_000_000},
				{Kind: devfundv1.SharingKind_NEED_INDEX, NeedIndexSource: "paper", PopulationDate: "2018-10-01"},
				{Kind: devfundv1.SharingKind_BID},
				{Kind: devfundv1.SharingKind_EQUAL, Slices: []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_LEADERSHIP, "", "")}},
				{Kind: devfundv1.SharingKind_PER_HEAD_WEIGHTED, Slices: []*devfundv1.TopSlice{slice(devfundv1.AllocationPurpose_SYSTEM_SUPPORT, "33.3", ""), slice(devfundv1.AllocationPurpose_PLACE_SUPPORT, "20", "")}},
			},
			Receivers: []*devfundv1.Receiver{{Code: "U1", BidPence: 1_000_000, NeedIndex: "1.25"}, {Code: "U2", BidPence: 2_000_000}, {Code: "U3", BidPence: 3_000_000, NeedIndex: "0.9"}},
		})
		require.NoError(t, err)
		require.Len(t, out.GetAlternatives(), 10)
		for i, alternative := range out.GetAlternatives() {
			if i == 5 {
				require.Equal(t, "FLATS_EXCEED_POOL", alternative.GetRefusal().GetReason())
				continue
			}
			require.Nil(t, alternative.GetRefusal())
			sum := alternative.GetHeldPence()
			for _, share := range alternative.GetShares() {
				require.Nil(t, share.GetWorking())
				sum += share.GetAmountPence()
			}
			for _, slice := range alternative.GetSlices() {
				sum += slice.GetAmountPence()
			}
			require.Equal(t, int64(10_000_003), sum, alternative.GetMethodWords())
		}
		require.Len(t, out.GetReceivers(), 3)
		for _, r := range out.GetReceivers() {
			require.Len(t, r.GetAmountsPence(), 10)
			require.Zero(t, r.GetMovedPence()[0])
			require.Zero(t, r.GetAmountsPence()[5])
			require.Zero(t, r.GetMovedPence()[5], "what is refused moves nothing")
			for i := range r.GetAmountsPence() {
				if i == 5 {
					continue
				}
				require.Equal(t, r.GetAmountsPence()[i]-r.GetAmountsPence()[0], r.GetMovedPence()[i])
			}
			require.Equal(t, "0.83", r.GetPerHead()[0])
			require.Empty(t, r.GetPerHead()[1])
		}
		require.Equal(t, before, s.count(t, "outbox")+s.count(t, "audit")+s.count(t, "allocations")+s.count(t, "decisions"))

		what, err := s.devfund.CompareSharing(s.as(t, testkit.Auditor("36J")), &devfundv1.CompareSharingRequest{
			AllocationId: pool.GetAllocationId(), Methods: []*devfundv1.SharingMethod{{Kind: devfundv1.SharingKind_EQUAL}}, PoolPence: proto.Int64(1),
		})
		require.NoError(t, err)
		require.Equal(t, []int64{1, 0, 0}, amountsOf(what.GetAlternatives()[0]))
		_, err = s.devfund.CompareSharing(s.as(t, testkit.Auditor("99K")), &devfundv1.CompareSharingRequest{
			AllocationId: pool.GetAllocationId(), Methods: []*devfundv1.SharingMethod{{Kind: devfundv1.SharingKind_EQUAL}},
		})
		refused(t, err, "ALLOCATION_NOT_FOUND")
	})
}

// TestReplaySharing_TellsEveryDifference holds that a decision replays to the penny from what it rested on, after the register and the
// settings have changed, and that what is known now is told apart from it.
func TestReplaySharing_TellsEveryDifference(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 12_000_007)
		made := s.decide(t, decision(s, pool, devfundv1.SharingKind_PER_HEAD_WEIGHTED, slice(devfundv1.AllocationPurpose_LEADERSHIP, "", "")))
		replay := func(now bool) *devfundv1.ReplaySharingResponse {
			out, err := s.devfund.ReplaySharing(s.as(t, testkit.Auditor("36J")), &devfundv1.ReplaySharingRequest{DecisionId: made.GetDecisionId(), AsKnownNow: now})
			require.NoError(t, err)
			return out
		}
		require.True(t, replay(true).GetIdentical())

		_, err := s.devfund.SetSetting(s.as(t, testkit.Approver("36J")), &devfundv1.SetSettingRequest{
			RequestId: s.next(), CommissionerCode: "36J", FinancialYear: "2019-20", Name: "LEADERSHIP_PERCENT", Value: "20", Reason: "board",
		})
		require.NoError(t, err)
		s.register.set(snapshotPCN("U1", "36J", "QWE", 41_000), snapshotPCN("U3", "36J", "QWE", 50_001), snapshotPCN("U4", "36J", "QWE", 0))
		basis := replay(false)
		require.True(t, basis.GetIdentical())
		require.Empty(t, basis.GetDifferences())
		require.Len(t, basis.GetOutcome().GetShares(), len(made.GetOutcome().GetShares()))
		for i, share := range made.GetOutcome().GetShares() {
			require.True(t, proto.Equal(share.GetWorking(), basis.GetOutcome().GetShares()[i].GetWorking()), "the same working of %s", share.GetCode())
		}

		now := replay(true)
		require.False(t, now.GetIdentical())
		var codes []string
		var moved int64
		for _, d := range now.GetDifferences() {
			codes = append(codes, d.GetCode())
			require.Equal(t, d.GetAmountsPence()[1]-d.GetAmountsPence()[0], d.GetMovedPence()[1])
			moved += d.GetMovedPence()[1]
		}
		require.Equal(t, []string{"U1", "U2", "U3", "U4"}, codes, "who left, who came and whose share moved")
		require.Zero(t, moved, "the pool is the same")

		s.register.set(snapshotPCN("U9", "36J", "QWE", 1))
		s.register.pcns[0].Practices[0].Populations = nil
		gone := replay(true)
		require.False(t, gone.GetIdentical())
		require.Equal(t, "POPULATION_MISSING", gone.GetOutcome().GetRefusal().GetReason())
		require.Len(t, gone.GetDifferences(), 3)
		_, err = s.devfund.ReplaySharing(s.as(t, testkit.Auditor("99K")), &devfundv1.ReplaySharingRequest{DecisionId: made.GetDecisionId()})
		refused(t, err, "DECISION_NOT_FOUND")
	})
}

// TestAccess_PCNsSeeTheirOwn is the matrix of who sees what of a sharing.
func TestAccess_PCNsSeeTheirOwn(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 900_000)
		made := s.decide(t, decision(s, pool, devfundv1.SharingKind_EQUAL, slice(devfundv1.AllocationPurpose_LEADERSHIP, "", "")))
		share := s.child(t, pool.GetAllocationId(), "U1", devfundv1.AllocationPurpose_GENERAL).GetAllocationId()
		leadership := s.child(t, pool.GetAllocationId(), "QWE", devfundv1.AllocationPurpose_LEADERSHIP).GetAllocationId()
		regional := holder("region", optionsv1.Role_ROLE_REGIONAL_VIEWER, "36J")
		for name, c := range map[string]struct {
			p                                      auth.Principal
			nation, pool, leadership, share, other bool
			shares, listed                         int
		}{
			"its preparer":             {testkit.Preparer("36J"), true, true, true, true, true, 3, 11},
			"its auditor":              {testkit.Auditor("36J"), true, true, true, true, true, 3, 11},
			"its region":               {regional, true, true, true, true, true, 3, 11},
			"England's auditor":        {testkit.Auditor("*"), true, true, true, true, true, 3, 11},
			"another's preparer":       {testkit.Preparer("99K"), true, false, false, false, false, 0, 6},
			"the PCN's manager":        {testkit.PCNManager("U1"), false, false, false, true, false, 1, 1},
			"the PCN's director":       {director("dora", "U1"), false, false, false, true, false, 1, 1},
			"a manager of two":         {testkit.PCNManager("U1", "U2"), false, false, false, true, true, 2, 2},
			"another PCN's manager":    {testkit.PCNManager("U7"), false, false, false, false, false, 0, 0},
			"a PCN called as a system": {testkit.PCNManager("QWE"), false, false, false, false, false, 0, 0},
			"a holder of nothing":      {testkit.Preparer(), false, false, false, false, false, 0, 0},
		} {
			for id, sees := range map[string]bool{
				"PCN_DEV-2019-20": c.nation, pool.GetAllocationId(): c.pool, leadership: c.leadership, share: c.share,
				s.child(t, pool.GetAllocationId(), "U2", devfundv1.AllocationPurpose_GENERAL).GetAllocationId(): c.other,
			} {
				_, err := s.devfund.GetAllocation(s.as(t, c.p), &devfundv1.GetAllocationRequest{AllocationId: id})
				if sees {
					require.NoError(t, err, "%s: %s", name, id)
				} else {
					refused(t, err, "ALLOCATION_NOT_FOUND")
				}
			}
			got, err := s.devfund.GetSharingDecision(s.as(t, c.p), &devfundv1.GetSharingDecisionRequest{DecisionId: made.GetDecisionId()})
			if c.shares == 0 {
				refused(t, err, "DECISION_NOT_FOUND")
			} else {
				require.NoError(t, err, name)
				require.Len(t, got.GetOutcome().GetShares(), c.shares, name)
				if c.shares < 3 {
					require.Empty(t, got.GetOutcome().GetSlices(), name)
					require.Len(t, got.GetAllocationIds(), c.shares, name)
				}
			}
			list, err := s.devfund.ListAllocations(s.as(t, c.p), &devfundv1.ListAllocationsRequest{})
			require.NoError(t, err, name)
			require.Len(t, list.GetAllocations(), c.listed, name)
		}
		for name, p := range map[string]auth.Principal{"a manager": testkit.PCNManager("U1"), "a director": director("dora", "U1")} {
			_, err := s.devfund.DecideSharing(s.as(t, p), s.again(t, made, devfundv1.SharingKind_EQUAL))
			require.Equal(t, codes.PermissionDenied, status.Code(err), name)
			_, err = s.devfund.GetAllocationTree(s.as(t, p), &devfundv1.GetAllocationTreeRequest{AllocationId: share})
			require.Equal(t, codes.PermissionDenied, status.Code(err), name)
			_, err = s.devfund.CompareSharing(s.as(t, p), &devfundv1.CompareSharingRequest{AllocationId: share, Methods: []*devfundv1.SharingMethod{{Kind: devfundv1.SharingKind_EQUAL}}})
			require.Equal(t, codes.PermissionDenied, status.Code(err), name)
		}
	})
}

// TestGetSharingDecision_OfBidsTellsNoneOfOthers: what a PCN bid is no figure of others, and the pool less that and what is held is what they
// bid.
func TestGetSharingDecision_OfBidsTellsNoneOfOthers(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		req := decision(s, s.system(t, "36J", "2019-20", "QWE", 900_000), devfundv1.SharingKind_BID)
		req.Receivers = []*devfundv1.Receiver{{Code: "U1", BidPence: 123_456}, {Code: "U2", BidPence: 654_321}}
		made := s.decide(t, req)
		get := func(by auth.Principal) *devfundv1.SharingDecision {
			out, err := s.devfund.GetSharingDecision(s.as(t, by), &devfundv1.GetSharingDecisionRequest{DecisionId: made.GetDecisionId()})
			require.NoError(t, err)
			return out
		}
		require.Equal(t, int64(122_223), get(testkit.Preparer("36J")).GetOutcome().GetHeldPence())
		own := get(testkit.PCNManager("U1"))
		require.Equal(t, []int64{123_456}, amountsOf(own.GetOutcome()))
		require.NotNil(t, own.GetOutcome().GetShares()[0].GetWorking())
		require.Zero(t, own.GetOutcome().GetPoolPence())
		require.Zero(t, own.GetOutcome().GetSharedPoolPence())
		require.Zero(t, own.GetOutcome().GetHeldPence())
	})
}

// TestDecideSharing_OneOfTwoAtATime sends decisions on one pool at the same time: one stands, the others are told, and the sums hold.
func TestDecideSharing_OneOfTwoAtATime(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 1_000_001)
		kinds := []devfundv1.SharingKind{devfundv1.SharingKind_EQUAL, devfundv1.SharingKind_PER_HEAD_WEIGHTED, devfundv1.SharingKind_PER_HEAD_ADJUSTED, devfundv1.SharingKind_EQUAL}
		errs := make([]error, len(kinds))
		ctx := s.as(t, testkit.Preparer("36J"))
		var group sync.WaitGroup
		for i, kind := range kinds {
			req := decision(s, pool, kind)
			group.Go(func() { _, errs[i] = s.devfund.DecideSharing(ctx, req) })
		}
		group.Wait()
		stood := 0
		for _, err := range errs {
			if err == nil {
				stood++
				continue
			}
			require.Contains(t, []string{"VERSION_CHANGED", "ALREADY_SHARED", sqldb.ReasonTryAgain}, reason(err), "%v", err)
		}
		require.Equal(t, 1, stood)
		require.Equal(t, 1, s.count(t, "decisions"))
		require.Len(t, s.childrenOf(t, pool.GetAllocationId()), 3)
		balanced(t, s)
	})
}

// TestDecideSharing_WhilePlansCommit commits what a decision gave while others take its place: whichever comes first, nothing falls below what
// is committed.
func TestDecideSharing_WhilePlansCommit(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 300_000)
		first := s.decide(t, decision(s, pool, devfundv1.SharingKind_EQUAL))
		id := s.child(t, pool.GetAllocationId(), "U1", devfundv1.AllocationPurpose_GENERAL).GetAllocationId()
		replace := s.again(t, first, devfundv1.SharingKind_BID)
		replace.Receivers = []*devfundv1.Receiver{{Code: "U1", BidPence: 50_000}, {Code: "U2", BidPence: 250_000}}
		ctx, background := s.as(t, testkit.Preparer("36J")), t.Context()
		var group sync.WaitGroup
		var decided error
		committed := make([]error, 8)
		group.Go(func() { _, decided = s.devfund.DecideSharing(ctx, replace) })
		for i := range committed {
			group.Go(func() { committed[i] = s.service.Commit(background, id, 10_000) })
		}
		group.Wait()
		var sum int64
		for _, err := range committed {
			if err == nil {
				sum += 10_000
				continue
			}
			require.Contains(t, []string{"ALLOCATION_EXCEEDED", sqldb.ReasonTryAgain}, reason(err), "%v", err)
		}
		if decided != nil {
			require.Contains(t, []string{"ALLOCATION_COMMITTED", sqldb.ReasonTryAgain}, reason(decided), "%v", decided)
		}
		require.Equal(t, sum, s.allocation(t, id).GetCommittedPence())
		balanced(t, s)
	})
}

// TestHierarchy_SumsHoldWhateverHappens drives random trees through allocations, revisions, decisions, replacements, commitments and what is
// given back: after every step each level comes to the one above it, and the database's own bounds are never what refuses.
func TestHierarchy_SumsHoldWhateverHappens(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		r := rand.New(rand.NewPCG(2019, uint64(len(t.Name()))))
		all := []*registerv1.SnapshotPcn{
			snapshotPCN("U1", "36J", "QWE", 40_000), snapshotPCN("U2", "36J", "QWE", 30_000), snapshotPCN("U3", "36J", "QWE", 50_001), snapshotPCN("U4", "99K", "QWE", 12_345),
			snapshotPCN("U5", "99K", "QWE", 0),
		}
		s.register.set(all...)
		s.system(t, "36J", "2019-20", "QWE", 5_000_003)
		s.give(t, &devfundv1.RecordAllocationRequest{
			CommissionerCode: "36J", FinancialYear: "2022-23", FundCode: "GP_TRANSFORM", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: "QWE", Combined: true,
			ParentAllocationId: "GP_TRANSFORM-2022-23", AmountPence: proto.Int64(4_000_000),
		})
		tally := make(map[string]int)
		for step := range 200 {
			rows := slices.DeleteFunc(s.childrenOf(t, ""), func(a *devfundv1.Allocation) bool {
				unused := a.GetFinancialYear() != "2019-20" && a.GetFinancialYear() != "2022-23"
				return unused || (a.GetLevel() == devfundv1.AllocationLevel_PCN && r.IntN(4) > 0) // which are many, and pass nothing on
			})
			a := s.allocation(t, rows[r.IntN(len(rows))].GetAllocationId())
			what, err := s.disturb(t, r, a, all)
			if err != nil {
				require.NotContains(t, []codes.Code{codes.Internal, codes.Unknown}, codeOf(err), "step %d, %s of %s: %v", step, what, a.GetAllocationId(), err)
				what += " refused: " + reason(err)
			}
			tally[what]++
			balanced(t, s)
		}
		t.Log(tally)
		require.Greater(t, len(tally), 10)
	})
}

// codeOf is the code of a call's error; a fault of the service itself is told by its kind.
func codeOf(err error) codes.Code {
	if faultOf(err) != nil && reason(err) != "" {
		return codes.FailedPrecondition
	}
	return status.Code(err)
}

// disturb does one thing to an allocation, and says what.
func (s *suite) disturb(t *testing.T, r *rand.Rand, a *devfundv1.Allocation, all []*registerv1.SnapshotPcn) (string, error) {
	t.Helper()
	ctx := s.as(t, testkit.Preparer("*"))
	amount := r.Int64N(6_000_000)
	code := a.GetCommissionerCode()
	if code == "england" {
		code = ""
	}
	switch r.IntN(7) {
	case 0:
		_, err := s.devfund.ReviseAllocation(ctx, &devfundv1.ReviseAllocationRequest{
			RequestId: s.next(), CommissionerCode: code, AllocationId: a.GetAllocationId(), Etag: a.GetEtag(),
			Basis: devfundv1.AllocationBasis(1 + r.IntN(3)), AmountPence: &amount, Source: "letter", Reason: "restated",
		})
		return "revise", err
	case 1:
		return "commit", s.service.Commit(t.Context(), a.GetAllocationId(), amount/4)
	case 2:
		if a.GetCommittedPence() == 0 {
			return "nothing", nil
		}
		return "give back", s.service.GiveBack(t.Context(), a.GetAllocationId(), 1+r.Int64N(a.GetCommittedPence()))
	case 3:
		if a.GetCommittedPence() == 0 {
			return "nothing", nil
		}
		_, err := s.service.CarryForward(t.Context(), a.GetAllocationId(), 1+r.Int64N(a.GetCommittedPence()))
		return "carry forward", err
	case 4:
		_, err := s.devfund.RecordAllocation(ctx, &devfundv1.RecordAllocationRequest{
			RequestId: s.next(), CommissionerCode: "36J", FinancialYear: a.GetFinancialYear(), FundCode: a.GetFundCode(), Combined: a.GetCombined() && r.IntN(2) == 0, Level: devfundv1.AllocationLevel(2 + r.IntN(4)),
			HolderCode: []string{"36J", "U1", "North", "South"}[r.IntN(4)], ParentAllocationId: a.GetAllocationId(), Basis: devfundv1.AllocationBasis_RELEASED,
			AmountPence: &amount, Source: "letter", Reason: "given",
		})
		return "record", err
	default:
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		s.register.set(all[:2+r.IntN(len(all)-1)]...)
		req := decision(s, a, devfundv1.SharingKind(1+r.IntN(4)), slice(devfundv1.AllocationPurpose_LEADERSHIP, strconv.Itoa(r.IntN(60)), "why"))
		if r.IntN(2) == 0 {
			req.Method.Slices = nil
		}
		if req.CommissionerCode = code; code == "" {
			req.CommissionerCodes = []string{"QWE"}
		}
		if held, err := s.devfund.ListSharingDecisions(ctx, &devfundv1.ListSharingDecisionsRequest{AllocationId: a.GetAllocationId()}); err == nil && len(held.GetDecisions()) > 0 {
			req.ReplacesDecisionId = held.GetDecisions()[0].GetDecisionId()
		}
		_, err := s.devfund.DecideSharing(ctx, req)
		return "decide", err
	}
}

// TestSharing_KnowsItsReceivers holds that a system's money goes to its commissioners in force and the nation's to systems; asking what a method
// would make of it is no different.
func TestSharing_KnowsItsReceivers(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "36J", "QWE", 40_000), snapshotPCN("U2", "99K", "QWE", 30_000), snapshotPCN("U7", "77Z", "QAB", 20_000))
		system, nation := s.system(t, "36J", "2019-20", "QWE", 1_000), s.allocation(t, "PCN_DEV-2019-20")
		for name, of := range map[string]struct {
			pool    *devfundv1.Allocation
			level   devfundv1.AllocationLevel
			code    string
			refused bool
		}{
			"nobody":                        {system, devfundv1.AllocationLevel_COMMISSIONER, "ZZZ", true},
			"a PCN as a commissioner":       {system, devfundv1.AllocationLevel_COMMISSIONER, "U1", true},
			"a commissioner of another":     {system, devfundv1.AllocationLevel_COMMISSIONER, "77Z", true},
			"a commissioner of the system":  {system, devfundv1.AllocationLevel_COMMISSIONER, "99K", false},
			"no system":                     {nation, devfundv1.AllocationLevel_SYSTEM, "QZZ", true},
			"a commissioner, and no system": {nation, devfundv1.AllocationLevel_SYSTEM, "36J", true},
			"a system":                      {nation, devfundv1.AllocationLevel_SYSTEM, "QAB", false},
			"a place, known to nobody":      {system, devfundv1.AllocationLevel_PLACE, "North", false},
		} {
			req := decision(s, of.pool, devfundv1.SharingKind_EQUAL)
			req.ReceiversLevel, req.Receivers = of.level, []*devfundv1.Receiver{{Code: of.code}}
			if of.pool == nation {
				req.CommissionerCode = ""
			}
			_, err := s.devfund.CompareSharing(s.as(t, testkit.Auditor("*")), &devfundv1.CompareSharingRequest{
				AllocationId: of.pool.GetAllocationId(), ReceiversLevel: of.level, Receivers: req.GetReceivers(), Methods: []*devfundv1.SharingMethod{req.GetMethod()},
			})
			if !of.refused {
				require.NoError(t, err, name)
				continue
			}
			refused(t, err, "RECEIVER_UNKNOWN", "receivers", of.code)
			_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("*")), req)
			refused(t, err, "RECEIVER_UNKNOWN", "receivers", of.code)
		}
		require.Empty(t, s.childrenOf(t, system.GetAllocationId()))
	})
}

// TestDecideSharing_LeavesNothingOfNothing holds that a bid of nothing is told by the decision and makes no allocation.
func TestDecideSharing_LeavesNothingOfNothing(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		req := decision(s, s.system(t, "36J", "2019-20", "QWE", 1_000), devfundv1.SharingKind_BID)
		req.Receivers = []*devfundv1.Receiver{{Code: "U1", BidPence: 300}, {Code: "U2"}}
		made := s.decide(t, req)
		require.Equal(t, []int64{300, 0}, amountsOf(made.GetOutcome()))
		require.Len(t, made.GetAllocationIds(), 1)
		require.Len(t, s.childrenOf(t, req.GetAllocationId()), 1)
		balanced(t, s)
	})
}

// TestCompareSharing_NamesWhatIsRefused holds that a refused method is named and moves nothing.
func TestCompareSharing_NamesWhatIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 1_000)
		out, err := s.devfund.CompareSharing(s.as(t, testkit.Auditor("36J")), &devfundv1.CompareSharingRequest{
			AllocationId: pool.GetAllocationId(), Methods: []*devfundv1.SharingMethod{
				{Kind: devfundv1.SharingKind_EQUAL}, {Kind: devfundv1.SharingKind_FLAT_PLUS_PER_HEAD, FlatPence: 1_000, Population: devfundv1.PopulationKind_WEIGHTED},
			},
		})
		require.NoError(t, err)
		require.Equal(t, "£10.00 each, the remainder per weighted patient", out.GetAlternatives()[1].GetMethodWords())
		require.Equal(t, "FLATS_EXCEED_POOL", out.GetAlternatives()[1].GetRefusal().GetReason())
		for _, r := range out.GetReceivers() {
			require.Equal(t, []int64{0, 0}, r.GetMovedPence())
		}
	})
}
