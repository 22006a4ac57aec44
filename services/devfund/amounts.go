package devfund

import (
	"context"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// bases are the statements of the contract as the rules know them.
var bases = map[devfundv1.AllocationBasis]rules.Basis{
	devfundv1.AllocationBasis_PLANNED:   rules.Planned,
	devfundv1.AllocationBasis_RELEASED:  rules.Released,
	devfundv1.AllocationBasis_PCN_SHARE: rules.PCNShare,
}

// totalsOf returns the statements of an allocation as the rules go by them. A figure without a source that anybody vouches for is a
// candidate, however it is called.
func totalsOf(r *store.AllocationRow, versions []store.VersionRow) []rules.Total {
	out := make([]rules.Total, len(versions))
	for i := range versions {
		v := &versions[i]
		out[i] = rules.Total{
			Figure:   rules.Figure{ID: v.AllocationID, Source: v.Source, Confidence: v.Confidence, KnownFrom: v.KnownFrom, Position: int64(v.Number)},
			Key:      rules.Key{Year: r.Year, FundCode: r.FundCode, Basis: bases[v.Basis]},
			Combined: r.Combined, Amount: v.Amount,
		}
		if v.Amount != nil && !v.Confidence.Payable() {
			out[i].Confidence = working.Candidate
		}
	}
	return out
}

// amounts are the statements of one basis that no later one takes the place of.
type amounts struct {
	// settled is what the allocation goes by; its amount is nil where it says that none is known. It is nil where nothing was stated.
	settled *store.VersionRow
	// waiting is a later candidate, which waits for another person; nil where none does.
	waiting *store.VersionRow
}

// amountsOf finds what stands of a basis.
func amountsOf(r *store.AllocationRow, versions []store.VersionRow, basis devfundv1.AllocationBasis) (a amounts) {
	var settled, candidates []rules.Total
	for _, total := range totalsOf(r, versions) {
		if total.Confidence == working.Candidate {
			candidates = append(candidates, total)
		} else {
			settled = append(settled, total)
		}
	}
	key := rules.Key{Year: r.Year, FundCode: r.FundCode, Basis: bases[basis]}
	governing := func(all []rules.Total) *store.VersionRow {
		if total := rules.Governing(all, key, period.Date{}); total != nil {
			return &versions[total.Position-1]
		}
		return nil
	}
	a.settled, a.waiting = governing(settled), governing(candidates)
	if a.settled != nil && a.waiting != nil && governing(append(settled, asOfficial(candidates)...)) != a.waiting {
		a.waiting = nil
	}
	return a
}

// asOfficial returns statements as they would count if they were confirmed.
func asOfficial(all []rules.Total) []rules.Total {
	for i := range all {
		all[i].Confidence = working.Official
	}
	return all
}

// amount is what the allocation goes by, or nil.
func (a amounts) amount() *money.Pence {
	if a.settled == nil {
		return nil
	}
	return a.settled.Amount
}

// stands tells whether no later statement takes the place of one.
func (a amounts) stands(v *store.VersionRow) bool {
	return (a.settled != nil && v.Number == a.settled.Number) || (a.waiting != nil && v.Number == a.waiting.Number)
}

// available returns what may be shared or committed of an allocation, with where it is stated, and refuses by name what is not known, not
// confirmed or not set.
func available(r *store.AllocationRow, versions []store.VersionRow) (rules.Amount, error) {
	amount, err := rules.Usable(totalsOf(r, versions), r.Year, r.FundCode, period.Date{})
	if f, is := fault.As(err); is {
		f.Message = r.ID + ": " + f.Message
		return amount, f.With("allocation_id", r.ID)
	}
	return amount, err
}

// usable refuses, by name, an allocation of which nothing may be shared or committed.
func usable(ctx context.Context, q sqldb.Querier, r *store.AllocationRow) error {
	if _, known := r.Available(); known {
		return nil
	}
	versions, err := store.Versions(ctx, q, r.ID)
	if err != nil {
		return err
	}
	_, err = available(r, versions[r.ID])
	return err
}
