package arrs

import (
	"context"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// assessCorrection decides the lines of a correction as if what they replace had never been claimed: its days, its working time and its
// money are theirs to use again.
func (in *assessing) assessCorrection() (*assessed, error) {
	if err := in.replaceable(); err != nil {
		return nil, err
	}
	replaced := make([]*approvedMonth, len(in.lines))
	for i := range in.lines {
		was := in.approved[in.lines[i].of()]
		line := &in.lines[i].line
		line.Standing, line.StandingPot, replaced[i] = was.approved(), was.pot(), was
		if len(was.lines) == 1 && line.Standing > 0 {
			line.PriceKnown = was.time.PriceKnown // a new price is an uplift's to pay, where it was passed on
		}
	}
	out, err := in.assessTime(in.before(replaced...))
	if err != nil {
		return nil, err
	}
	var bad []badField
	for i := range out.lines {
		line, was := &out.lines[i], replaced[i]
		pot := was.pot()
		line.Replaced, line.Assessment.ChangedTerms = was.approved(), changedTerms(was.time.Terms, line.Terms)
		for _, test := range line.Assessment.GetTests() {
			if test.GetOutcome() == arrsv1.Outcome_WAITING && line.Claimed > 0 { // of nothing, nothing is due whatever is missing
				bad = append(bad, badField{i, "label", test.GetReason(), test.GetMessage() + ": until it is known nobody can tell what is due instead"})
			}
		}
		if line.Payable == 0 {
			line.Pot = pot // to which it goes back
		}
		if line.Pot != pot {
			bad = append(bad, badField{i, "label", reasonCorrectionOfOtherPot, fmt.Sprintf("pot %s would pay it, and pot %s paid what it replaces: %s", line.Pot, pot, correctTwice)})
		}
	}
	if err := refuseForm(bad); err != nil {
		return nil, err
	}
	return out, out.sum()
}

// correctTwice is what remains where one correction cannot do.
const correctTwice = "correct the month to 0, and have it claimed anew once that is approved (a month that is longer past than the form lists, by the commissioner)"

// replaceable names the lines of a correction that replace nothing, or that cannot be corrected now.
func (in *assessing) replaceable() error {
	seen := make(map[store.EngagementMonth]bool)
	var bad []badField
	for i := range in.lines {
		of, label := in.lines[i].of(), in.lines[i].engagement.Label
		refuse := func(reason, format string, args ...any) {
			bad = append(bad, badField{i, "label", reason, fmt.Sprintf(format, args...)})
		}
		was := in.approved[of]
		undecided, lost := in.beside(of, was)
		switch {
		case seen[of]:
			refuse(rules.ReasonAlreadyClaimed, "%s stands twice", label)
		case undecided:
			refuse(reasonCorrectionWaits, "a claim, uplift or correction of %s for %s waits for a decision: amend or withdraw that one", label, of.Month)
		case was == nil && !lost:
			refuse(reasonNothingToCorrect, "nothing is approved of %s for %s: claim the month", label, of.Month)
		case was == nil || lost:
			refuse(reasonNothingToCorrect, "what was approved of %s for %s is past its time and erased, and nobody knows any more what it was", label, of.Month)
		default:
			if _, by := was.scheduled(); len(by) > 1 {
				refuse(reasonCorrectionOfTwoBodies, "%s paid what was approved of %s for %s: they settle it between them", strings.Join(by, " and "), label, of.Month)
			}
		}
		seen[of] = true
	}
	return refuseForm(bad)
}

// beside tells what else there is of an engagement and month than what was approved: something that nobody has decided on, or something that
// was approved and is erased.
func (in *assessing) beside(of store.EngagementMonth, was *approvedMonth) (undecided, lost bool) {
	for i := range in.held {
		h := &in.held[i]
		switch {
		case h.Of() != of:
		case h.Undecided:
			undecided = true
		case was == nil || !was.has(h.LineID):
			lost = true
		}
	}
	return undecided, lost
}

// replace puts the lines of a correction in the place of what they correct.
func (s *Service) replace(ctx context.Context, tx *change.Tx, row *store.ClaimRow, lines []store.LineRow) error {
	standing, err := store.ApprovedLines(row.PCNCode, []period.Month{row.Month}).All(ctx, tx)
	if err != nil {
		return err
	}
	approved := approvedBy(standing)
	for i := range lines {
		line := &lines[i]
		was := approved[line.Of()]
		if was == nil || was.approved() != line.Replaced {
			return fault.New(fault.Refused, reasonNothingToCorrect,
				"what line %d replaces is not what it was when the correction was put forward: amend the correction, or reject it", line.Number)
		}
		paid, by := was.scheduled()
		ids := make([]string, len(was.lines))
		for n := range was.lines {
			ids[n] = was.lines[n].ID
		}
		if err := store.Replace(ctx, tx.Tx, line.ID, paid, strings.Join(by, " "), ids); err != nil {
			return err
		}
	}
	return nil
}
