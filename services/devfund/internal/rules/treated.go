package rules

import (
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// TreatedLine is what approved treatments moved of a line of a plan.
type TreatedLine struct {
	LineID string
	// Allocation is the one that it was moved out of.
	Allocation string
	Amount     money.Pence
	// TakenBack is what networks give back of it.
	TakenBack map[string]money.Pence
}

// KeepsTreated refuses a later version of a plan that has less of a line than treatments moved of it: of the allocation more would be given
// back than is drawn on it, or of a network more taken back than it is paid.
func (p *Plan) KeepsTreated(treated []TreatedLine) error {
	for i := range treated {
		t := &treated[i]
		line := &Line{Allocation: t.Allocation}
		if at := slices.IndexFunc(p.Lines, func(l Line) bool { return l.ID == t.LineID }); at >= 0 {
			line = &p.Lines[at]
		}
		if line.Allocation != t.Allocation || line.Amount < t.Amount {
			return lessThanTreated(t, line.Amount, t.Amount).With("allocation_id", t.Allocation)
		}
		var parts map[string]money.Pence
		if line.pays() {
			var err error
			if parts, err = Portions(line.Amount, line.Beneficiaries); err != nil {
				return err
			}
		}
		for _, pcn := range slices.Sorted(maps.Keys(t.TakenBack)) {
			if taken := t.TakenBack[pcn]; parts[pcn] < taken {
				return lessThanTreated(t, parts[pcn], taken).With("pcn_code", pcn)
			}
		}
	}
	return nil
}

func lessThanTreated(t *TreatedLine, amount, moved money.Pence) *fault.Fault {
	return fault.New(fault.Refused, ReasonTreatmentExceedsUnspent,
		"%s of line %s was unspent and moved out of %s, and the version has %s of it: leave that line as much of the same allocation, for the same networks",
		moved, t.LineID, t.Allocation, amount).With("line_id", t.LineID).With("amount_pence", int64(amount)).With("treated_pence", int64(moved))
}
