package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// lockAccounts locks what some commissioners account for, each once and in order.
func lockAccounts(ctx context.Context, tx *change.Tx, codes ...string) error {
	codes = slices.Compact(slices.Sorted(slices.Values(codes)))
	keys := make([]string, len(codes))
	for i, code := range codes {
		keys[i] = commissionerLock(code)
	}
	return tx.LockAll(ctx, keys)
}

// seesAllocation tells whether the caller may see an allocation: what a commissioner of theirs accounts for, what a PCN of theirs holds, and
// as a commissioner's what the nation holds, which is published.
func seesAllocation(by auth.Principal, r *store.AllocationRow) bool {
	switch r.Level {
	case devfundv1.AllocationLevel_NATION:
		return len(by.Commissioners) > 0
	case devfundv1.AllocationLevel_PCN:
		return by.MaySee(r.CommissionerCode, r.HolderCode)
	default:
		return by.HoldsCommissioner(r.CommissionerCode)
	}
}

func noAllocation(id string) error {
	return fault.New(fault.NotFound, reasonAllocationNotFound, "there is no allocation %q that you may see", money.Clip(id)).With("allocation_id", money.Clip(id))
}

// allocationOf returns an allocation that the caller may see, or ALLOCATION_NOT_FOUND.
func (s *Service) allocationOf(ctx context.Context, q sqldb.Querier, id string) (store.AllocationRow, error) {
	row, err := store.Allocation(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !seesAllocation(caller(ctx), &row)) {
		return store.AllocationRow{}, noAllocation(id)
	}
	if err != nil {
		return row, fmt.Errorf("load allocation %s: %w", id, err)
	}
	return row, nil
}

// accountsOf returns the commissioners that account for an allocation and for those it came out of below the nation: whoever gives money
// back up the hierarchy holds the locks of all of them.
func (s *Service) accountsOf(ctx context.Context, q sqldb.Querier, id string) ([]string, error) {
	row, err := store.Allocation(ctx, q, id)
	if err != nil {
		return nil, fmt.Errorf("load allocation %s: %w", id, err)
	}
	above, err := store.Above(ctx, q, &row)
	if err != nil {
		return nil, err
	}
	out := []string{row.CommissionerCode}
	for i := range above {
		if above[i].Level != devfundv1.AllocationLevel_NATION {
			out = append(out, above[i].CommissionerCode)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// exceeded refuses to draw more on an allocation than is left of a bound.
func exceeded(r *store.AllocationRow, bound, more money.Pence) *fault.Fault {
	left := bound - r.Drawn()
	return fault.New(fault.Refused, rules.ReasonAllocationExceeded,
		"%s more would be drawn on %s, of which %s are left: %s are available, %s shared and %s committed; lower it by %s, or release more",
		more, r.ID, left, bound, r.Shared, r.Committed, more-left).
		With("allocation_id", r.ID).With("available_pence", int64(bound)).With("shared_pence", int64(r.Shared)).With("committed_pence", int64(r.Committed)).
		With("left_pence", int64(left)).With("asked_pence", int64(more)).With("excess_pence", int64(more-left))
}

// commit moves what lines of approved plans draw on an allocation, up or down. It refuses with AMOUNT_UNKNOWN, AMOUNT_NOT_CONFIRMED or
// PCN_SHARE_NOT_SET what has no amount to draw on, and with ALLOCATION_EXCEEDED more than is left. The caller holds the lock of the
// commissioner that accounts for the allocation.
func (s *Service) commit(ctx context.Context, tx *change.Tx, id string, delta money.Pence) error {
	if delta == 0 {
		return nil
	}
	row, err := store.Allocation(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("load allocation %s: %w", id, err)
	}
	if delta > 0 {
		if err := usable(ctx, tx, &row); err != nil {
			return err
		}
		if left, _ := row.Left(); delta > left {
			return exceeded(&row, left+row.Drawn(), delta)
		}
	}
	if row.Committed, err = row.Committed.Add(delta); err != nil {
		return err
	}
	if row.Committed < 0 {
		return fault.Bug("%s would have %s committed", id, row.Committed)
	}
	return changeAllocation(ctx, tx, &row)
}

// changeAllocation stores an allocation under the lock that keeps others off it.
func changeAllocation(ctx context.Context, tx *change.Tx, row *store.AllocationRow) error {
	if changed, err := store.ChangeAllocation(ctx, tx.Tx, row); err != nil || !changed {
		return staleOr(err)
	}
	row.Version++
	return nil
}

// share moves what levels below hold of an allocation. What a fund mixes may go down as it is, within what was released; PCN development
// goes down within what is available.
func (s *Service) share(ctx context.Context, tx *change.Tx, row *store.AllocationRow, delta money.Pence, mixed bool) (err error) {
	if delta == 0 {
		return nil
	}
	if delta > 0 {
		bound, known := row.Available()
		if mixed && row.Combined && row.PCNShare == nil && row.Released != nil {
			bound, known = *row.Released, true
		}
		if !known {
			return usable(ctx, tx, row)
		}
		if delta > bound-row.Drawn() {
			return exceeded(row, bound, delta)
		}
	}
	if row.Shared, err = row.Shared.Add(delta); err != nil {
		return err
	}
	if row.Shared < 0 {
		return fault.Bug("%s would have %s shared", row.ID, row.Shared)
	}
	return changeAllocation(ctx, tx, row)
}

// statement is an amount that is stated of an allocation.
type statement struct {
	basis      devfundv1.AllocationBasis
	amount     *money.Pence
	source     string
	confidence working.Confidence
	knownFrom  period.Date
	reason     string
}

// restate sets what an allocation holds where that follows from what the suite itself decided, and states it. A share for PCN development
// moves along: what moves is of it.
func (s *Service) restate(ctx context.Context, tx *change.Tx, row *store.AllocationRow, released money.Pence, source, reason string) error {
	before := row.Holding()
	stated := []statement{{basis: devfundv1.AllocationBasis_RELEASED, amount: &released}}
	row.Released = &released
	if row.PCNShare != nil {
		share, err := row.PCNShare.Add(released - before)
		if err != nil {
			return err
		}
		row.PCNShare = &share
		stated = append(stated, statement{basis: devfundv1.AllocationBasis_PCN_SHARE, amount: &share})
	}
	if err := checkSums(row); err != nil {
		return err
	}
	for i := range stated {
		of := &stated[i]
		of.source, of.confidence, of.knownFrom, of.reason = source, working.Official, period.DateOf(tx.Now()), reason
		version, err := s.addVersion(ctx, tx, row, of)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := changeAllocation(ctx, tx, row); err != nil {
				return err
			}
		}
		if err := announceAllocation(ctx, tx, row, version); err != nil {
			return err
		}
	}
	return tx.Record(ctx, "devfund/allocations/"+row.ID, row.CommissionerCode, fmt.Sprintf("released amount from %s to %s: %s", before, released, reason))
}

// fallsBelow refuses an amount below what is shared or committed of it.
func fallsBelow(r *store.AllocationRow, to money.Pence) *fault.Fault {
	return fault.New(fault.Refused, reasonAllocationCommitted,
		"%s would fall to %s, and %s of it are shared and %s committed: take back %s of those first", r.ID, to, r.Shared, r.Committed, r.Drawn()-to).
		With("allocation_id", r.ID).With("amount_pence", int64(to)).With("shared_pence", int64(r.Shared)).With("committed_pence", int64(r.Committed)).
		With("excess_pence", int64(r.Drawn()-to))
}

// giveBack returns unspent money of a plan's line to the system: it is no longer committed, and what lies between its allocation and the
// system's holds so much less. The caller holds the locks of accountsOf.
func (s *Service) giveBack(ctx context.Context, tx *change.Tx, id string, amount money.Pence, source, reason string) error {
	if err := s.commit(ctx, tx, id, -amount); err != nil {
		return err
	}
	row, err := store.Allocation(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("load allocation %s: %w", id, err)
	}
	above, err := store.Above(ctx, tx, &row)
	if err != nil {
		return err
	}
	for _, parent := range slices.Backward(above) {
		if parent.Level == devfundv1.AllocationLevel_NATION {
			break
		}
		if err := s.restate(ctx, tx, &row, row.Holding()-amount, source, reason); err != nil {
			return err
		}
		if err := s.share(ctx, tx, &parent, -amount, false); err != nil {
			return err
		}
		if row = parent; row.Level == devfundv1.AllocationLevel_SYSTEM {
			break
		}
	}
	return nil
}

// carryForward lets unspent money of a plan's line over into the next year: it is no longer committed, and an allocation of the next year
// under the one that it was committed of holds it, of the same level and holder. It returns that allocation. The caller holds the lock of
// the commissioner that accounts for the allocation.
func (s *Service) carryForward(ctx context.Context, tx *change.Tx, id string, amount money.Pence, source, reason string) (string, error) {
	if err := s.commit(ctx, tx, id, -amount); err != nil {
		return "", err
	}
	from, err := store.Allocation(ctx, tx, id)
	if err != nil {
		return "", fmt.Errorf("load allocation %s: %w", id, err)
	}
	if err := s.share(ctx, tx, &from, amount, false); err != nil {
		return "", err
	}
	children, err := store.Children(ctx, tx, id)
	if err != nil {
		return "", err
	}
	next := from.Year + 1
	i := slices.IndexFunc(children, func(r store.AllocationRow) bool {
		return r.Year == next && r.Purpose == devfundv1.AllocationPurpose_CARRIED_FORWARD && r.Level == from.Level && r.HolderCode == from.HolderCode
	})
	if i >= 0 {
		return children[i].ID, s.restate(ctx, tx, &children[i], children[i].Holding()+amount, source, reason)
	}
	row := store.AllocationRow{
		ID: tx.NewID(), Year: next, FundCode: from.FundCode, Level: from.Level, HolderCode: from.HolderCode, HolderName: from.HolderName,
		CommissionerCode: from.CommissionerCode, Purpose: devfundv1.AllocationPurpose_CARRIED_FORWARD, ParentID: from.ID, Released: &amount, Version: 1,
	}
	return row.ID, s.addAllocation(ctx, tx, &row, &statement{
		basis: devfundv1.AllocationBasis_RELEASED, amount: &amount, source: source, confidence: working.Official, knownFrom: period.DateOf(tx.Now()), reason: reason,
	})
}
