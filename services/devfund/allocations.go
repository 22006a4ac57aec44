package devfund

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// ListAllocations returns allocations that the caller may see, in order of their identifiers.
func (s *Service) ListAllocations(ctx context.Context, req *devfundv1.ListAllocationsRequest) (*devfundv1.ListAllocationsResponse, error) {
	ctx, err := s.listing(ctx, req)
	if err != nil {
		return nil, err
	}
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	size := page.Size(req.GetPageSize(), defaultPage)
	selected := store.AllocationsBy{
		Scope: store.Scope{Commissioners: by.CommissionerScope(), PCNs: by.PCNs}, Nation: len(by.Commissioners) > 0,
		CommissionerCode: req.GetCommissionerCode(), FundCode: req.GetFundCode(), Level: req.GetLevel(), HolderCode: req.GetHolderCode(),
		ParentID: req.GetParentAllocationId(), After: after, Limit: size + 1,
	}
	if code := req.GetCommissionerCode(); code != "" && code != rules.England && len(by.PCNs) == 0 {
		if _, err := visible(ctx, code); err != nil {
			return nil, err
		}
	}
	if req.GetFinancialYear() != "" {
		year, err := parseYear("financial_year", req.GetFinancialYear())
		if err != nil {
			return nil, err
		}
		selected.Year = year.String()
	}
	out := new(devfundv1.ListAllocationsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Allocations(ctx, q, selected)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.AllocationRow) string { return r.ID })
		out.Allocations, err = shownAll(ctx, q, rows)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// GetAllocation returns one allocation with every version of its amounts.
func (s *Service) GetAllocation(ctx context.Context, req *devfundv1.GetAllocationRequest) (*devfundv1.Allocation, error) {
	var out *devfundv1.Allocation
	err := s.readAsHeir(ctx, func(ctx context.Context) error {
		return s.db.Read(ctx, func(q sqldb.Querier) error {
			row, err := s.allocationOf(ctx, q, req.GetAllocationId())
			if err != nil {
				return err
			}
			out, err = shownWhole(ctx, q, &row)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// shownWhole writes an allocation with its versions.
func shownWhole(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) (*devfundv1.Allocation, error) {
	versions, err := store.Versions(ctx, q, row.ID)
	if err != nil {
		return nil, err
	}
	return withVersions(allocationToProto(row, versions[row.ID]), row, versions[row.ID]), nil
}

// amountRequest states an amount.
type amountRequest interface {
	GetBasis() devfundv1.AllocationBasis
	GetSource() string
	GetConfidence() typev1.Confidence
	GetKnownFrom() string
	GetReason() string
}

// stated reads the amount of a request. One that is not known has no confidence but that; one without a word on it is official, and known
// from today.
func (s *Service) stated(req amountRequest, pence *int64) (*statement, error) {
	out := &statement{
		basis: req.GetBasis(), amount: (*money.Pence)(pence), source: req.GetSource(), reason: req.GetReason(),
		confidence: working.ConfidenceFromProto(req.GetConfidence()),
	}
	switch {
	case out.confidence == working.Unstated && pence == nil:
		out.confidence = working.Unknown
	case out.confidence == working.Unstated:
		out.confidence = working.Official
	case pence == nil && out.confidence != working.Unknown:
		return nil, fault.New(fault.Invalid, rules.ReasonAmountUnknown, "an amount that is left out is not known: say so, or state it").
			At("amount_pence", "the amount, or confidence unknown")
	}
	if req.GetKnownFrom() == "" {
		out.knownFrom = period.DateOf(s.db.Now())
		return out, nil
	}
	var err error
	out.knownFrom, err = s.pastDay("known_from", req.GetKnownFrom())
	return out, err
}

// RecordAllocation enters an allocation that a level was given out of the one above.
func (s *Service) RecordAllocation(ctx context.Context, req *devfundv1.RecordAllocationRequest) (*devfundv1.Allocation, error) {
	year, err := planYear("financial_year", req.GetFinancialYear())
	if err != nil {
		return nil, err
	}
	of, err := s.stated(req, req.AmountPence) //nolint:protogetter // absent is not nothing
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*devfundv1.Allocation](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	row := store.AllocationRow{
		Year: year, FundCode: req.GetFundCode(), Level: req.GetLevel(), HolderCode: req.GetHolderCode(), HolderName: req.GetHolderName(),
		CommissionerCode: orEngland(req.GetCommissionerCode()), Purpose: purposeOf(req.GetPurpose()), ParentID: req.GetParentAllocationId(),
		Combined: req.GetCombined(), Version: 1,
	}
	if err := s.holds(ctx, &row); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Allocation, error) {
		row := row // a transaction may be run again
		row.ID = tx.NewID()
		if row.Level == devfundv1.AllocationLevel_NATION {
			row.ID = nationalID(row.FundCode, row.Year)
		}
		if err := s.record(ctx, tx, &row, of); err != nil {
			return nil, err
		}
		return shownWhole(ctx, tx, &row)
	})
}

// holds refuses a PCN that its commissioner led neither as the year began nor as it stands, and gives it its name.
func (s *Service) holds(ctx context.Context, row *store.AllocationRow) error {
	if row.Level != devfundv1.AllocationLevel_PCN || row.CommissionerCode == rules.England {
		return nil
	}
	first, today, last := membersOn(row.Year), period.DateOf(s.db.Now()), row.Year.Last().Last()
	days := []period.Date{first}
	if today.After(last) {
		today = last
	}
	if today.After(first) {
		days = append(days, today)
	}
	var refused error
	for _, day := range days {
		pcns, err := s.pcnsOf(ctx, row.CommissionerCode, day)
		if f := rpc.FaultFromStatus(status.Convert(err)); f != nil && f.Kind == fault.Refused {
			refused = cmp.Or(refused, err) // the body may have led it on the other day
			continue
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(pcns, func(n network) bool { return n.code == row.HolderCode })
		if i >= 0 {
			row.HolderName = cmp.Or(row.HolderName, pcns[i].name)
			return nil
		}
	}
	if refused != nil {
		return refused
	}
	return fault.New(fault.Refused, reasonReceiverUnknown, "%s is not a PCN that %s led in %s", money.Clip(row.HolderCode), row.CommissionerCode, row.Year).
		With("receiver", money.Clip(row.HolderCode)).With("commissioner_code", row.CommissionerCode).At("holder_code", "a PCN of the commissioner")
}

// record adds an allocation, and draws what it holds on the one it came out of.
func (s *Service) record(ctx context.Context, tx *change.Tx, row *store.AllocationRow, of *statement) error {
	var parent *store.AllocationRow
	accounts := []string{row.CommissionerCode}
	if row.ParentID != "" {
		above, err := s.allocationOf(ctx, tx, row.ParentID)
		if err != nil {
			return err
		}
		parent, accounts = &above, append(accounts, above.CommissionerCode)
	}
	if err := lockAccounts(ctx, tx, accounts...); err != nil {
		return err
	}
	if err := checkChild(parent, row); err != nil {
		return err
	}
	siblings, err := s.siblings(ctx, tx, row)
	if err != nil {
		return err
	}
	for i := range siblings {
		held := &siblings[i]
		if held.Year == row.Year && held.FundCode == row.FundCode && held.Level == row.Level && held.HolderCode == row.HolderCode && held.Purpose == row.Purpose {
			return exists(held)
		}
	}
	first := []store.VersionRow{versionOf(tx, row, of, 1)}
	setAmounts(row, first)
	if err := checkSums(row); err != nil {
		return err
	}
	if parent != nil {
		locked, err := store.Allocation(ctx, tx, parent.ID)
		if err != nil {
			return err
		}
		if err := s.share(ctx, tx, &locked, row.Holding(), row.Combined); err != nil {
			return err
		}
	}
	return s.addAllocation(ctx, tx, row, of)
}

// siblings returns what came out of the same allocation, or what the nation holds.
func (s *Service) siblings(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) ([]store.AllocationRow, error) {
	if row.ParentID != "" {
		return store.Children(ctx, q, row.ParentID)
	}
	return store.Allocations(ctx, q, store.AllocationsBy{Level: devfundv1.AllocationLevel_NATION, FundCode: row.FundCode, Year: row.Year.String()})
}

// checkSums refuses amounts of an allocation that contradict one another or what was drawn on it.
func checkSums(row *store.AllocationRow) error {
	if row.PCNShare != nil && *row.PCNShare > row.Holding() {
		return fault.New(fault.Refused, rules.ReasonAllocationExceeded, "%s of %s would be for PCN development, and %s are released to it: lower the share, or release more",
			row.PCNShare, row.ID, row.Holding()).With("allocation_id", row.ID).With("share_pence", int64(*row.PCNShare)).With("released_pence", int64(row.Holding())).
			With("excess_pence", int64(*row.PCNShare-row.Holding()))
	}
	bound, known := row.Available()
	if !known {
		bound = row.Holding()
		if row.Committed > 0 {
			bound = row.Shared
		}
	}
	if row.Drawn() > bound {
		return fallsBelow(row, bound)
	}
	return nil
}

// allocationChange is a request that changes an allocation.
type allocationChange interface {
	GetCommissionerCode() string
	GetAllocationId() string
	GetEtag() string
}

// changing returns an allocation that a caller changes for the commissioner that accounts for it, under its lock and that of the one
// above it, with everything that was stated of it.
func (s *Service) changing(ctx context.Context, tx *change.Tx, req allocationChange) (row, parent *store.AllocationRow, versions []store.VersionRow, err error) {
	read, err := s.ownAllocation(ctx, tx, req)
	if err != nil {
		return nil, nil, nil, err
	}
	accounts := []string{read.CommissionerCode}
	if read.ParentID != "" {
		above, err := store.Allocation(ctx, tx, read.ParentID)
		if err != nil {
			return nil, nil, nil, err
		}
		parent, accounts = &above, append(accounts, above.CommissionerCode)
	}
	if err := lockAccounts(ctx, tx, accounts...); err != nil {
		return nil, nil, nil, err
	}
	if read, err = s.ownAllocation(ctx, tx, req); err != nil {
		return nil, nil, nil, err
	}
	if err := checkTag(req.GetEtag(), read.Version); err != nil {
		return nil, nil, nil, err
	}
	if parent != nil {
		if *parent, err = store.Allocation(ctx, tx, parent.ID); err != nil {
			return nil, nil, nil, err
		}
	}
	all, err := store.Versions(ctx, tx, read.ID)
	return &read, parent, all[read.ID], err
}

// ownAllocation returns an allocation that the commissioner of a change accounts for.
func (s *Service) ownAllocation(ctx context.Context, q sqldb.Querier, req allocationChange) (store.AllocationRow, error) {
	row, err := s.allocationOf(ctx, q, req.GetAllocationId())
	if err == nil && row.CommissionerCode != orEngland(req.GetCommissionerCode()) {
		return row, noAllocation(req.GetAllocationId())
	}
	return row, err
}

// ReviseAllocation adds a version of an amount.
func (s *Service) ReviseAllocation(ctx context.Context, req *devfundv1.ReviseAllocationRequest) (*devfundv1.Allocation, error) {
	of, err := s.stated(req, req.AmountPence) //nolint:protogetter // absent is not nothing
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Allocation, error) {
		row, parent, versions, err := s.changing(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		return s.revise(ctx, tx, row, parent, versions, of, "revised")
	})
}

// ConfirmAllocation makes a candidate amount usable: it is stated again by another person than who entered it, as official where that one
// names a source, and otherwise as inferred, a label that stays on whatever rests on it.
func (s *Service) ConfirmAllocation(ctx context.Context, req *devfundv1.ConfirmAllocationRequest) (*devfundv1.Allocation, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.Allocation, error) {
		row, parent, versions, err := s.changing(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		candidate := amountsOf(row, versions, req.GetBasis()).waiting
		switch {
		case candidate == nil:
			return nil, fault.New(fault.Refused, reasonNotACandidate, "no %s amount of %s waits to be confirmed", basisWords[req.GetBasis()], row.ID).
				With("allocation_id", row.ID).With("basis", req.GetBasis())
		case candidate.RecordedBy == tx.By.Subject:
			return nil, fault.New(fault.Denied, reasonSelfConfirmed, "another person than %s, who entered it, confirms the %s amount of %s",
				candidate.RecordedBy, basisWords[req.GetBasis()], row.ID).With("allocation_id", row.ID).With("recorded_by", candidate.RecordedBy)
		}
		of := &statement{
			basis: candidate.Basis, amount: candidate.Amount, source: req.GetSource(), confidence: working.Official,
			knownFrom: period.DateOf(tx.Now()), reason: req.GetReason(),
		}
		if of.source == "" {
			of.source, of.confidence = candidate.Source, working.Inferred
		}
		return s.revise(ctx, tx, row, parent, versions, of, "confirmed")
	})
}

// revise adds a statement, sets the sums that follow from it, and moves what the allocation holds of the one above it.
func (s *Service) revise(
	ctx context.Context, tx *change.Tx, row, parent *store.AllocationRow, versions []store.VersionRow, of *statement, verb string,
) (*devfundv1.Allocation, error) {
	if row.DecisionID != "" && of.basis != devfundv1.AllocationBasis_PLANNED {
		return nil, fault.New(fault.Refused, reasonAlreadyShared, "what %s holds follows from decision %s: replace that decision", row.ID, row.DecisionID).
			With("allocation_id", row.ID).With("decision_id", row.DecisionID)
	}
	before := row.Holding()
	version := versionOf(tx, row, of, len(versions)+1)
	setAmounts(row, append(slices.Clip(versions), version))
	if err := checkSums(row); err != nil {
		return nil, err
	}
	if parent != nil {
		if err := s.share(ctx, tx, parent, row.Holding()-before, row.Combined); err != nil {
			return nil, err
		}
	}
	if err := store.InsertVersions(ctx, tx.Tx, version); err != nil {
		return nil, err
	}
	if err := changeAllocation(ctx, tx, row); err != nil {
		return nil, err
	}
	shown := added(row, versions, version)
	if err := announceAllocation(ctx, tx, row, shown); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("%s %s: %s: %s", verb, allocationWords(row), shown.words(), of.reason)
	if err := tx.Record(ctx, "devfund/allocations/"+row.ID, row.CommissionerCode, summary); err != nil {
		return nil, err
	}
	return shownWhole(ctx, tx, row)
}
