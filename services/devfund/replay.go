package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// ReplaySharing works a decision out again, from the pool, the method, the receivers and the register's pictures that it rested on, or from
// memberships and populations as they are known now, and tells every receiver whose share differs.
func (s *Service) ReplaySharing(ctx context.Context, req *devfundv1.ReplaySharingRequest) (*devfundv1.ReplaySharingResponse, error) {
	var held store.DecisionRow
	var row store.AllocationRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if held, err = store.Decision(ctx, q, req.GetDecisionId()); err != nil {
			return err
		}
		row, err = store.Allocation(ctx, q, held.AllocationID)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !caller(ctx).HoldsCommissioner(held.CommissionerCode)) {
		return nil, noDecision(req.GetDecisionId())
	}
	if err != nil {
		return nil, fmt.Errorf("load decision %s: %w", req.GetDecisionId(), err)
	}
	decided := held.Decision.GetOutcome()
	parties, err := receivingOf(&row, held.Decision)
	if err != nil {
		return nil, err
	}
	counted, err := countedOn(decided.GetMethod(), row.Year)
	if err != nil {
		return nil, err
	}
	snapshots := decided.GetSnapshotIds()
	if req.GetAsKnownNow() {
		snapshots = nil
	}
	if err := s.fetch(ctx, parties, counted, snapshots); err != nil {
		return nil, err
	}
	pool, err := decidedPool(decided)
	if err != nil {
		return nil, fmt.Errorf("read decision %s: %w", held.ID, err)
	}
	out := new(devfundv1.ReplaySharingResponse)
	if out.Outcome, _, err = alternative(&row, pool.Pence, pool, nil, decided.GetMethod(), parties); err != nil {
		return nil, err
	}
	out.Identical, out.Differences, err = identical(decided, out.GetOutcome())
	return out, err
}

// decidedPool is the pool of a decision as its workings have it, with the percentages that were taken of it: a setting that was read then
// may have changed since.
func decidedPool(o *devfundv1.SharingOutcome) (*rules.Pool, error) {
	pool := &rules.Pool{Amount: rules.Amount{Pence: money.Pence(o.GetPoolPence()), Origin: requested("pool of the decision")}}
	for _, slice := range o.GetSlices() {
		percent, origin, err := lastInput(slice.GetWorking(), " percent")
		if err != nil {
			return nil, err
		}
		if percent == nil {
			return nil, fmt.Errorf("the slice for %s has no percentage in its working", slice.GetPurpose())
		}
		given := rules.Given{Value: percent, Origin: origin}
		switch slice.GetPurpose() {
		case devfundv1.AllocationPurpose_LEADERSHIP:
			pool.LeadershipPercent = given
		case devfundv1.AllocationPurpose_SYSTEM_SUPPORT:
			pool.SystemPercent = given
		case devfundv1.AllocationPurpose_PLACE_SUPPORT:
			pool.PlacePercent = given
		default:
			return nil, fmt.Errorf("a slice is for %s", slice.GetPurpose())
		}
	}
	for _, share := range o.GetShares() {
		value, origin, err := lastInput(share.GetWorking(), "pool")
		if err != nil {
			return nil, err
		}
		if value != nil {
			pool.Origin = origin
			break
		}
	}
	return pool, nil
}

// lastInput returns the last input of a working whose name ends so, or nil.
func lastInput(of *typev1.Working, suffix string) (*big.Rat, working.Origin, error) {
	w, err := working.FromProto(of)
	if err != nil {
		return nil, working.Origin{}, err
	}
	for _, in := range slices.Backward(w.Inputs) {
		if strings.HasSuffix(in.Name, suffix) {
			return in.Value, in.Origin, nil
		}
	}
	return nil, working.Origin{}, nil
}

// identical tells whether two outcomes come to the same pence, and of which receivers they do not: as they were decided, and as they
// were worked out again.
func identical(decided, again *devfundv1.SharingOutcome) (bool, []*devfundv1.ShareDifference, error) {
	all, err := differences([]*devfundv1.SharingOutcome{decided, again})
	if err != nil {
		return false, nil, err
	}
	// A receiver that came or went differs, even if its share is nothing.
	before, after := codesIn(decided), codesIn(again)
	moved := slices.DeleteFunc(all, func(d *devfundv1.ShareDifference) bool {
		return d.GetMovedPence()[1] == 0 && before[d.GetCode()] == after[d.GetCode()]
	})
	same := len(moved) == 0 && again.GetRefusal() == nil && decided.GetHeldPence() == again.GetHeldPence() && decided.GetPoolPence() == again.GetPoolPence() &&
		slices.EqualFunc(decided.GetSlices(), again.GetSlices(), func(a, b *devfundv1.SliceAmount) bool {
			return a.GetPurpose() == b.GetPurpose() && a.GetAmountPence() == b.GetAmountPence()
		})
	return same, moved, nil
}

func codesIn(o *devfundv1.SharingOutcome) map[string]bool {
	out := make(map[string]bool, len(o.GetShares()))
	for _, share := range o.GetShares() {
		out[share.GetCode()] = true
	}
	return out
}
