package arrs

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// assessCorrection decides the lines of a correction as if what they replace had never been claimed: its days, its working time and its
// money are theirs to use again. A line that replaces nothing is refused, and so is one of what another claim that waits would change.
func (s *Service) assessCorrection(ctx context.Context, q sqldb.Querier, in *assessing) (*assessed, error) {
	replaces, err := s.replaceable(ctx, q, in)
	if err != nil {
		return nil, err
	}
	own := make(map[rules.Pot]money.Pence)
	for pot, amount := range in.own {
		own[pot] = amount
	}
	for _, was := range replaces {
		own[was.pot()] += was.approved()
	}
	out, err := in.assessMonthly(in.before(replaces), own)
	if err != nil {
		return nil, err
	}
	var bad []badField
	for i := range out.lines {
		line := &out.lines[i]
		was := replaces[in.lines[i].of()]
		if line.Replaced = was.approved(); line.Payable == 0 {
			line.Pot = was.pot() // to which it goes back
		}
		if line.Pot != was.pot() {
			bad = append(bad, badField{i, "label", reasonCorrectionOfOtherPot, fmt.Sprintf(
				"pot %s would pay it, and pot %s paid what it replaces: correct the month to 0, and claim it anew once that is approved", line.Pot, was.pot())})
		}
	}
	out.totals = nil
	if err := refuseForm(bad); err != nil {
		return nil, err
	}
	return out, out.sum()
}

// pot is the one that paid what was approved.
func (m *approvedMonth) pot() rules.Pot { return m.lines[0].Pot }

// replaceable returns what the lines of a correction replace, or names the lines that cannot be corrected now.
func (s *Service) replaceable(ctx context.Context, q sqldb.Querier, in *assessing) (map[store.EngagementMonth]*approvedMonth, error) {
	approved, err := approvedIn(ctx, q, in.year.PCNCode, in.months)
	if err != nil {
		return nil, err
	}
	corrected, err := store.WaitingCorrections(ctx, q, in.year.PCNCode, in.months, in.claim)
	if err != nil {
		return nil, err
	}
	undecided := make(map[store.EngagementMonth]bool)
	for i := range in.held {
		if h := &in.held[i]; h.Undecided {
			undecided[h.Of()] = true
		}
	}
	out := make(map[store.EngagementMonth]*approvedMonth)
	var bad []badField
	for i := range in.lines {
		of := in.lines[i].of()
		refuse := func(reason, why string) { bad = append(bad, badField{i, "label", reason, why}) }
		switch label := in.lines[i].engagement.Label; {
		case out[of] != nil:
			refuse(rules.ReasonAlreadyClaimed, fmt.Sprintf("%s stands twice", label))
		case slices.Contains(corrected, of):
			refuse(reasonCorrectionWaits, fmt.Sprintf("another correction of %s for %s waits for a decision: amend or withdraw that one", label, of.Month))
		case undecided[of]:
			refuse(reasonCorrectionWaits, fmt.Sprintf("a claim of %s for %s waits for a decision: amend or withdraw that one", label, of.Month))
		case approved[of] == nil:
			refuse(reasonNothingToCorrect, fmt.Sprintf("nothing is approved of %s for %s that is not erased: claim the month", label, of.Month))
		default:
			out[of] = approved[of]
		}
	}
	return out, refuseForm(bad)
}

// replace puts the lines of a correction in the place of what they correct. That is still what it was when the correction was put
// forward: until it is decided, nothing else may change it.
func (s *Service) replace(ctx context.Context, tx *change.Tx, row *store.ClaimRow, lines []store.LineRow) error {
	approved, err := approvedIn(ctx, tx, row.PCNCode, []period.Month{row.Month})
	if err != nil {
		return err
	}
	for i := range lines {
		line := &lines[i]
		was := approved[line.Of()]
		if was == nil || was.approved() != line.Replaced {
			return fault.Bug("line %s of a correction does not replace what it was assessed against", line.ID)
		}
		var paid money.Pence
		ids := make([]string, len(was.lines))
		for n := range was.lines {
			replaced := &was.lines[n]
			if ids[n] = replaced.ID; replaced.ScheduleID != "" {
				paid += replaced.Approved
			} else {
				paid += replaced.Paid
			}
		}
		if err := store.Replace(ctx, tx.Tx, line.ID, paid, ids); err != nil {
			return err
		}
	}
	return nil
}
