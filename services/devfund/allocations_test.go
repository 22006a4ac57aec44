package devfund_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund"
)

// TestSeed_KeepsPlannedApartFromReleased holds what the nation has to what was published: a planned sum is never available, and one that
// nobody published is refused by name.
func TestSeed_KeepsPlannedApartFromReleased(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		year := s.allocation(t, "PCN_DEV-2020-21")
		require.Equal(t, int64(4_500_000_000), year.GetPlannedPence())
		require.Equal(t, int64(4_370_000_000), year.GetReleasedPence())
		require.Equal(t, int64(4_370_000_000), year.GetAvailablePence())
		require.Len(t, year.GetVersions(), 2)
		require.Nil(t, year.GetRefusal())

		unknown := s.allocation(t, "PCN_DEV-2021-22")
		require.Nil(t, unknown.ReleasedPence)
		require.Nil(t, unknown.AvailablePence)
		require.Equal(t, "AMOUNT_UNKNOWN", unknown.GetRefusal().GetReason())
		require.NotEmpty(t, unknown.GetRefusal().GetMissing())
		require.NotEmpty(t, unknown.GetRefusal().GetRemedy())

		mixed := s.allocation(t, "GP_TRANSFORM-2022-23")
		require.True(t, mixed.GetCombined())
		require.Equal(t, int64(7_800_000_000), mixed.GetReleasedPence())
		require.Equal(t, "PCN_SHARE_NOT_SET", mixed.GetRefusal().GetReason())
		require.Equal(t, "AMOUNT_UNKNOWN", s.allocation(t, "PC_TRANSFORM-2023-24").GetRefusal().GetReason())

		before := s.count(t, "allocations") + s.count(t, "allocation_versions") + s.count(t, "settings")
		_, err := devfund.New(t.Context(), devfund.Deps{DB: s.db, Register: s.register, Logger: testkit.Logger(t)})
		require.NoError(t, err)
		require.Equal(t, before, s.count(t, "allocations")+s.count(t, "allocation_versions")+s.count(t, "settings"), "what is there stays")
	})
}

// TestRecordAllocation_NeverGivesMoreThanIsHeld holds what came out of an allocation to what it holds, with the numbers.
func TestRecordAllocation_NeverGivesMoreThanIsHeld(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.system(t, "36J", "2019-20", "QWE", 113_400_000)
		require.Equal(t, int64(113_400_000), s.allocation(t, "PCN_DEV-2019-20").GetSharedPence())

		rest := int64(4_350_000_000 - 113_400_000)
		_, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), &devfundv1.RecordAllocationRequest{
			RequestId: s.next(), FinancialYear: "2019-20", FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: "QRL",
			ParentAllocationId: "PCN_DEV-2019-20", Basis: devfundv1.AllocationBasis_RELEASED, AmountPence: proto.Int64(rest + 1), Source: "letter", Reason: "given",
		})
		refused(t, err, "ALLOCATION_EXCEEDED", "available_pence", "4350000000", "shared_pence", "113400000", "left_pence", "4236600000",
			"asked_pence", "4236600001", "excess_pence", "1")
		require.Equal(t, int64(113_400_000), s.allocation(t, "PCN_DEV-2019-20").GetSharedPence(), "nothing is half stored")

		s.system(t, "", "2019-20", "QRL", rest)
		whole := s.allocation(t, "PCN_DEV-2019-20")
		require.Zero(t, whole.GetLeftPence())
		_, err = s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("*")), &devfundv1.ReviseAllocationRequest{
			RequestId: s.next(), AllocationId: whole.GetAllocationId(), Etag: whole.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED,
			AmountPence: proto.Int64(4_349_999_999), Source: "letter", Reason: "less",
		})
		refused(t, err, "ALLOCATION_COMMITTED", "amount_pence", "4349999999", "shared_pence", "4350000000", "excess_pence", "1")
	})
}

// TestRecordAllocation_RefusesWhatContradictsItself is the table of requests that cannot stand.
func TestRecordAllocation_RefusesWhatContradictsItself(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		system := s.system(t, "36J", "2019-20", "QWE", 1_000_000)
		good := &devfundv1.RecordAllocationRequest{
			CommissionerCode: "36J", FinancialYear: "2019-20", FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_PLACE, HolderCode: "Kingston",
			ParentAllocationId: system.GetAllocationId(), Basis: devfundv1.AllocationBasis_RELEASED, AmountPence: proto.Int64(100), Source: "letter", Reason: "given",
		}
		for name, c := range map[string]struct {
			change func(*devfundv1.RecordAllocationRequest)
			want   string
		}{
			"no parent":               {func(r *devfundv1.RecordAllocationRequest) { r.ParentAllocationId = "" }, "ALLOCATION_LEVEL_WRONG"},
			"a parent that is not":    {func(r *devfundv1.RecordAllocationRequest) { r.ParentAllocationId = "none" }, "ALLOCATION_NOT_FOUND"},
			"a system under a system": {func(r *devfundv1.RecordAllocationRequest) { r.Level = devfundv1.AllocationLevel_SYSTEM }, "ALLOCATION_LEVEL_WRONG"},
			"a nation of a CCG":       {func(r *devfundv1.RecordAllocationRequest) { r.Level = devfundv1.AllocationLevel_NATION }, "ALLOCATION_LEVEL_WRONG"},
			"another year":            {func(r *devfundv1.RecordAllocationRequest) { r.FinancialYear = "2020-21" }, "ALLOCATION_LEVEL_WRONG"},
			"another fund":            {func(r *devfundv1.RecordAllocationRequest) { r.FundCode = "PC_TRANSFORM" }, "ALLOCATION_LEVEL_WRONG"},
			"mixed under unmixed":     {func(r *devfundv1.RecordAllocationRequest) { r.Combined = true }, "ALLOCATION_LEVEL_WRONG"},
			"a CCG for another":       {func(r *devfundv1.RecordAllocationRequest) { r.Level = devfundv1.AllocationLevel_COMMISSIONER }, "ALLOCATION_LEVEL_WRONG"},
			"a place of England":      {func(r *devfundv1.RecordAllocationRequest) { r.CommissionerCode = "" }, "ALLOCATION_LEVEL_WRONG"},
			"a PCN of another": {func(r *devfundv1.RecordAllocationRequest) {
				r.Level, r.HolderCode = devfundv1.AllocationLevel_PCN, "U9"
			}, "RECEIVER_UNKNOWN"},
			"a year before":  {func(r *devfundv1.RecordAllocationRequest) { r.FinancialYear = "2018-19" }, "YEAR_OUT_OF_RANGE"},
			"no year":        {func(r *devfundv1.RecordAllocationRequest) { r.FinancialYear = "2019-21" }, "YEAR_MALFORMED"},
			"known tomorrow": {func(r *devfundv1.RecordAllocationRequest) { r.KnownFrom = "2026-01-16" }, "DAY_IN_FUTURE"},
			"no such day":    {func(r *devfundv1.RecordAllocationRequest) { r.KnownFrom = "2025-02-30" }, "DATE_MALFORMED"},
			"a share above":  {func(r *devfundv1.RecordAllocationRequest) { r.Basis = devfundv1.AllocationBasis_PCN_SHARE }, "ALLOCATION_EXCEEDED"},
			"too much":       {func(r *devfundv1.RecordAllocationRequest) { r.AmountPence = proto.Int64(1_000_001) }, "ALLOCATION_EXCEEDED"},
			"official without a sum": {func(r *devfundv1.RecordAllocationRequest) {
				r.AmountPence, r.Confidence = nil, typev1.Confidence_CONFIDENCE_OFFICIAL
			}, "AMOUNT_UNKNOWN"},
			"out of an unknown amount": {func(r *devfundv1.RecordAllocationRequest) {
				r.Level, r.FinancialYear, r.ParentAllocationId = devfundv1.AllocationLevel_SYSTEM, "2021-22", "PCN_DEV-2021-22"
			}, "AMOUNT_UNKNOWN"},
		} {
			req := proto.CloneOf(good)
			req.RequestId = s.next()
			c.change(req)
			_, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), req)
			require.Equal(t, c.want, reason(err), "%s: %v", name, err)
		}
		good.RequestId = s.next()
		made, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), good)
		require.NoError(t, err)
		again := proto.CloneOf(good)
		again.RequestId = s.next()
		_, err = s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), again)
		refused(t, err, "ALLOCATION_EXISTS", "allocation_id", made.GetAllocationId())
		replayed, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), good)
		require.NoError(t, err)
		require.True(t, proto.Equal(made, replayed), "the same request gets the same answer")
	})
}

// TestRecordAllocation_OfPCNs holds that a PCN is its commissioner's where that led it as the year began, or leads it since.
func TestRecordAllocation_OfPCNs(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.register.icbFrom = "2022-07-01"
		record := func(commissioner, year, holder string) (*devfundv1.Allocation, error) {
			nation := s.allocation(t, "PCN_DEV-"+year)
			if nation.ReleasedPence == nil {
				_, err := s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("*")), &devfundv1.ReviseAllocationRequest{
					RequestId: s.next(), AllocationId: nation.GetAllocationId(), Etag: nation.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED,
					AmountPence: proto.Int64(1_000), Source: "letter", Reason: "found",
				})
				require.NoError(t, err)
			}
			all := s.childrenOf(t, nation.GetAllocationId())
			if len(all) == 0 {
				all = append(all, s.system(t, "36J", year, "QWE", 1_000))
			}
			return s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), &devfundv1.RecordAllocationRequest{
				RequestId: s.next(), CommissionerCode: commissioner, FinancialYear: year, FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_PCN, HolderCode: holder,
				ParentAllocationId: all[0].GetAllocationId(), Basis: devfundv1.AllocationBasis_RELEASED, AmountPence: proto.Int64(1), Source: "letter", Reason: "given",
			})
		}
		first, err := record("36J", "2019-20", "U1")
		require.NoError(t, err, "there were PCNs from July 2019")
		require.Equal(t, "Network U1", first.GetHolderName())
		_, err = record("36J", "2021-22", "U9")
		refused(t, err, "RECEIVER_UNKNOWN", "receiver", "U9", "commissioner_code", "36J")
		_, err = record("99K", "2021-22", "U1")
		refused(t, err, "COMMISSIONER_NOT_IN_FORCE")
	})
}

// TestConfirmAllocation_TakesAnotherPerson holds that nothing goes by a candidate before somebody else than its author confirms it.
func TestConfirmAllocation_TakesAnotherPerson(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		year := s.allocation(t, "PCN_DEV-2021-22")
		author := holder("ann", optionsv1.Role_ROLE_FINANCE_APPROVER, "*")
		entered, err := s.devfund.ReviseAllocation(s.as(t, author), &devfundv1.ReviseAllocationRequest{
			RequestId: s.next(), AllocationId: year.GetAllocationId(), Etag: year.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED,
			AmountPence: proto.Int64(4_300_000_000), Source: "recalled", Confidence: typev1.Confidence_CONFIDENCE_CANDIDATE, Reason: "to plan with",
		})
		require.NoError(t, err)
		require.Nil(t, entered.AvailablePence)
		require.Equal(t, "AMOUNT_NOT_CONFIRMED", entered.GetRefusal().GetReason())
		require.Equal(t, int64(4_300_000_000), entered.GetRefusal().GetCandidatePence())
		require.True(t, entered.GetVersions()[0].GetStands() && entered.GetVersions()[1].GetStands(), "it waits beside what stands")

		confirm := &devfundv1.ConfirmAllocationRequest{
			RequestId: s.next(), AllocationId: year.GetAllocationId(), Etag: entered.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED, Reason: "checked",
		}
		_, err = s.devfund.ConfirmAllocation(s.as(t, author), confirm)
		refused(t, err, "SELF_CONFIRMED", "recorded_by", "ann")
		_, err = s.devfund.ConfirmAllocation(s.as(t, testkit.Preparer("*")), confirm)
		require.Equal(t, codes.PermissionDenied, status.Code(err), "a preparer confirms nothing")
		confirm.RequestId, confirm.Etag = s.next(), "77"
		_, err = s.devfund.ConfirmAllocation(s.as(t, testkit.Approver("*")), confirm)
		refused(t, err, "VERSION_CHANGED")
		confirm.RequestId, confirm.Etag = s.next(), ""
		_, err = s.devfund.ConfirmAllocation(s.as(t, testkit.Approver("*")), confirm)
		refused(t, err, "ETAG_REQUIRED")
		confirm.RequestId, confirm.Etag = s.next(), entered.GetEtag()
		confirmed, err := s.devfund.ConfirmAllocation(s.as(t, testkit.Approver("*")), confirm)
		require.NoError(t, err)
		require.Equal(t, int64(4_300_000_000), confirmed.GetAvailablePence())
		require.Nil(t, confirmed.GetRefusal())
		require.Len(t, confirmed.GetVersions(), 3)
		require.False(t, confirmed.GetVersions()[1].GetStands())
		require.Equal(t, "recalled", confirmed.GetVersions()[2].GetSource(), "the candidate's where none is given")
		require.Equal(t, typev1.Confidence_CONFIDENCE_INFERRED, confirmed.GetVersions()[2].GetConfidence())
		confirm.RequestId, confirm.Etag = s.next(), confirmed.GetEtag()
		_, err = s.devfund.ConfirmAllocation(s.as(t, testkit.Approver("*")), confirm)
		refused(t, err, "NOT_A_CANDIDATE", "allocation_id", "PCN_DEV-2021-22")
	})
}

// TestReviseAllocation_KeepsEveryStatement holds the two clocks of amounts: what became known last stands, whenever it was entered.
func TestReviseAllocation_KeepsEveryStatement(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		held := s.system(t, "36J", "2019-20", "QWE", 1_000_000)
		revise := func(pence int64, known string) *devfundv1.Allocation {
			out, err := s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("36J")), &devfundv1.ReviseAllocationRequest{
				RequestId: s.next(), CommissionerCode: "36J", AllocationId: held.GetAllocationId(), Etag: held.GetEtag(), Basis: devfundv1.AllocationBasis_RELEASED,
				AmountPence: &pence, Source: "letter", KnownFrom: known, Reason: "restated",
			})
			require.NoError(t, err)
			held = out
			return out
		}
		require.Equal(t, int64(1_200_000), revise(1_200_000, "").GetReleasedPence())
		late := revise(900_000, "2019-07-01")
		require.Equal(t, int64(1_200_000), late.GetReleasedPence(), "an older letter that was found later changes nothing")
		require.False(t, late.GetVersions()[2].GetStands())
		require.Len(t, late.GetVersions(), 3)
		require.Equal(t, int64(1_200_000), s.allocation(t, "PCN_DEV-2019-20").GetSharedPence())
		require.Equal(t, int64(800_000), revise(800_000, "").GetReleasedPence())
		require.Equal(t, int64(800_000), s.allocation(t, "PCN_DEV-2019-20").GetSharedPence())

		events := s.published(t)
		last, is := events[len(events)-1].event.(*devfundv1.AllocationChanged)
		require.True(t, is)
		require.Equal(t, "allocation/"+held.GetAllocationId(), events[len(events)-1].aggregate)
		require.True(t, strings.HasSuffix(events[len(events)-1].subject, ".36J"))
		require.Equal(t, int32(4), last.GetVersion().GetVersion())
		require.Equal(t, int64(800_000), last.GetAllocation().GetReleasedPence())
		audit, err := s.devfund.ListAuditEntries(s.as(t, testkit.Auditor("36J")), &devfundv1.ListAuditEntriesRequest{CommissionerCode: "36J"})
		require.NoError(t, err)
		require.Len(t, audit.GetEntries(), 4)
		require.Contains(t, audit.GetEntries()[0].GetSummary(), "£8,000.00")
	})
}

// TestCombined_IsSharedOnlyWithinItsShare holds that a fund that mixes goes down as it is, and that nothing of it is shared or committed for
// PCN development before a share is set locally.
func TestCombined_IsSharedOnlyWithinItsShare(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		s.register.icbFrom = "2022-07-01"
		amount := int64(200_000_000)
		req := &devfundv1.RecordAllocationRequest{
			CommissionerCode: "QWE", FinancialYear: "2022-23", FundCode: "GP_TRANSFORM", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: "QWE",
			ParentAllocationId: "GP_TRANSFORM-2022-23", Basis: devfundv1.AllocationBasis_RELEASED, AmountPence: &amount, Source: "letter", Reason: "given",
		}
		req.RequestId = s.next()
		_, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("*")), req)
		refused(t, err, "PCN_SHARE_NOT_SET")
		req.RequestId, req.Combined = s.next(), true
		held, err := s.devfund.RecordAllocation(s.as(t, testkit.Preparer("QWE")), req)
		require.NoError(t, err)
		require.Equal(t, "PCN_SHARE_NOT_SET", held.GetRefusal().GetReason())
		refused(t, s.service.Commit(t.Context(), held.GetAllocationId(), 1), "PCN_SHARE_NOT_SET")
		_, err = s.devfund.DecideSharing(s.as(t, testkit.Preparer("QWE")), decision(s, held, devfundv1.SharingKind_EQUAL))
		refused(t, err, "PCN_SHARE_NOT_SET")

		set := &devfundv1.ReviseAllocationRequest{
			CommissionerCode: "QWE", AllocationId: held.GetAllocationId(), Etag: held.GetEtag(), Basis: devfundv1.AllocationBasis_PCN_SHARE, Source: "board", Reason: "decided",
		}
		set.RequestId, set.AmountPence = s.next(), proto.Int64(amount+1)
		_, err = s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("QWE")), set)
		refused(t, err, "ALLOCATION_EXCEEDED", "share_pence", "200000001", "released_pence", "200000000", "excess_pence", "1")
		set.RequestId, set.AmountPence = s.next(), proto.Int64(90_000_000)
		held, err = s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("QWE")), set)
		require.NoError(t, err)
		require.Equal(t, int64(90_000_000), held.GetAvailablePence())
		require.NoError(t, s.service.Commit(t.Context(), held.GetAllocationId(), 90_000_000))
		refused(t, s.service.Commit(t.Context(), held.GetAllocationId(), 1), "ALLOCATION_EXCEEDED", "available_pence", "90000000", "committed_pence", "90000000", "excess_pence", "1")
	})
}

// TestDraw_MovesUnspentMoney holds the sums of every level when unspent money goes back to the system or over into the next year.
func TestDraw_MovesUnspentMoney(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		pool := s.system(t, "36J", "2019-20", "QWE", 300_000)
		decided, err := s.devfund.DecideSharing(s.as(t, testkit.Preparer("36J")), decision(s, pool, devfundv1.SharingKind_EQUAL))
		require.NoError(t, err)
		id := decided.GetAllocationIds()[0]
		require.NoError(t, s.service.Commit(t.Context(), id, 70_000))
		refused(t, s.service.Commit(t.Context(), id, 30_001), "ALLOCATION_EXCEEDED", "left_pence", "30000", "excess_pence", "1")

		require.NoError(t, s.service.GiveBack(t.Context(), id, 20_000))
		require.Equal(t, []int64{80_000, 50_000, 30_000}, sums(s.allocation(t, id)))
		require.Equal(t, []int64{300_000, 0, 20_000}, sums(s.allocation(t, pool.GetAllocationId())))

		into, err := s.service.CarryForward(t.Context(), id, 15_000)
		require.NoError(t, err)
		again, err := s.service.CarryForward(t.Context(), id, 5_000)
		require.NoError(t, err)
		require.Equal(t, into, again, "one allocation takes what is carried forward")
		carried := s.allocation(t, into)
		require.Equal(t, "2020-21", carried.GetFinancialYear())
		require.Equal(t, devfundv1.AllocationPurpose_CARRIED_FORWARD, carried.GetPurpose())
		require.Equal(t, []int64{20_000, 0, 20_000}, sums(carried))
		from := s.allocation(t, id)
		require.Equal(t, []int64{80_000, 30_000, 30_000}, sums(from))
		require.Equal(t, int64(20_000), from.GetSharedPence())
		balanced(t, s)
	})
}

// TestDraw_MovesTheShareOfAMixedFund gives money back through a place that holds a fund with other money in it: its share for PCN development
// falls with what it holds.
func TestDraw_MovesTheShareOfAMixedFund(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		accounts(s)
		mixed := func(level devfundv1.AllocationLevel, holder, parent string, pence int64) *devfundv1.Allocation {
			return s.give(t, &devfundv1.RecordAllocationRequest{
				CommissionerCode: "36J", FinancialYear: "2022-23", FundCode: "GP_TRANSFORM", Level: level, HolderCode: holder, ParentAllocationId: parent,
				AmountPence: &pence, Combined: true,
			})
		}
		system := mixed(devfundv1.AllocationLevel_SYSTEM, "QWE", "GP_TRANSFORM-2022-23", 1_000_000)
		place := mixed(devfundv1.AllocationLevel_PLACE, "North", system.GetAllocationId(), 400_000)
		place, err := s.devfund.ReviseAllocation(s.as(t, testkit.Preparer("36J")), &devfundv1.ReviseAllocationRequest{
			RequestId: s.next(), CommissionerCode: "36J", AllocationId: place.GetAllocationId(), Etag: place.GetEtag(), Basis: devfundv1.AllocationBasis_PCN_SHARE,
			AmountPence: proto.Int64(300_000), Source: "board", Reason: "decided",
		})
		require.NoError(t, err)
		made := s.decide(t, decision(s, place, devfundv1.SharingKind_EQUAL))
		id := made.GetAllocationIds()[0]
		require.NoError(t, s.service.Commit(t.Context(), id, 90_000))
		require.NoError(t, s.service.GiveBack(t.Context(), id, 60_000))
		after := s.allocation(t, place.GetAllocationId())
		require.Equal(t, int64(340_000), after.GetReleasedPence())
		require.Equal(t, int64(240_000), after.GetPcnSharePence())
		require.Zero(t, after.GetLeftPence())
		require.Equal(t, int64(340_000), s.allocation(t, system.GetAllocationId()).GetSharedPence())
		balanced(t, s)
	})
}

// sums are what is available, committed and left of an allocation.
func sums(a *devfundv1.Allocation) []int64 {
	return []int64{a.GetAvailablePence(), a.GetCommittedPence(), a.GetLeftPence()}
}

// balanced holds the sums of every level: what an allocation has shared is what those that came out of it hold, and it has drawn no more
// than is available.
func balanced(t *testing.T, s *suite) {
	t.Helper()
	require.Zero(t, s.count(t, `allocations a WHERE shared_pence <> (SELECT COALESCE(SUM(c.released_pence), 0) FROM allocations c
		WHERE c.parent_allocation_id = a.allocation_id)`), "shares of a level come to what the level above has shared")
	require.Zero(t, s.count(t, `allocations a WHERE COALESCE(pcn_share_pence, -1) <> COALESCE((SELECT v.amount_pence FROM allocation_versions v
		WHERE v.allocation_id = a.allocation_id AND v.basis = 3 ORDER BY v.known_from DESC, v.version DESC LIMIT 1), -1)`))
	require.Zero(t, s.count(t, `allocations WHERE shared_pence + committed_pence > COALESCE(pcn_share_pence, released_pence, 0)`))
	require.Zero(t, s.count(t, `allocations a WHERE COALESCE(released_pence, -1) <> COALESCE((SELECT v.amount_pence FROM allocation_versions v
		WHERE v.allocation_id = a.allocation_id AND v.basis = 2 AND v.confidence <= 3 AND NOT EXISTS (SELECT 1 FROM allocation_versions l
			WHERE l.allocation_id = v.allocation_id AND l.basis = 2 AND l.confidence <= 3 AND
			(l.known_from > v.known_from OR (l.known_from = v.known_from AND l.version > v.version)))), -1)`), "what stands is what was stated last")
}
