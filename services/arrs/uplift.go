package arrs

import (
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// uplifting is one line of an uplift on its way.
type uplifting struct {
	in       *enteredLine
	original *approvedMonth
	after    *rules.Assessed
	refused  string // why none of it can be uplifted
}

// assessUplift decides the lines of an uplift: each is the difference between what its month comes to with the cost after the uplift,
// by the prices now known, and what it came to before. What was approved of that, or not, stays as it was decided.
func (in *assessing) assessUplift() (*assessed, error) {
	taken := make(map[store.EngagementMonth]bool)
	for i := range in.held {
		if h := &in.held[i]; h.Kind == store.Uplift || h.Corrects() {
			taken[h.Of()] = true
		}
	}
	works := make([]uplifting, len(in.lines))
	var items []rules.UpliftItem
	for i := range in.lines {
		w := &works[i]
		w.in = &in.lines[i]
		of := w.in.of()
		w.original = in.approved[of]
		if err := w.assess(in, taken[of]); err != nil {
			return nil, err
		}
		taken[of] = true
		if w.refused == "" {
			items = append(items, rules.UpliftItem{PassedOn: passedOn(w.in.entry.GetPassedOn()), Paid: w.original.cost(), After: w.after})
		}
	}
	left := make(map[rules.Pot]money.Pence)
	for _, sum := range in.contextFor(nil, in.own).Sums {
		if sum.Refused == nil {
			left[sum.Pot] = max(sum.Usable-sum.PaidBefore, 0)
		}
	}
	result, err := rules.Uplift(items, left)
	if err != nil {
		return nil, err
	}
	out, next := new(assessed), 0
	for i := range works {
		of := works[i].refusal()
		if works[i].refused == "" {
			of = works[i].result(&result.Lines[next])
			next++
		}
		if err := settle(of); err != nil {
			return nil, err
		}
		out.add(in, i, of)
	}
	return out, out.sum()
}

func passedOn(yes bool) rules.Answer {
	if yes {
		return rules.Yes
	}
	return rules.No
}

// assess decides the month of the line anew, beside what the other lines of the month hold.
func (w *uplifting) assess(in *assessing, taken bool) error {
	c := in.contextFor(in.before(w.original), in.own)
	var err error
	if w.after, err = rules.Assess(c, w.in.line); err != nil {
		return err
	}
	switch {
	case taken:
		w.refused = rules.ReasonAlreadyClaimed
	case w.original == nil:
		w.refused = reasonUpliftLineMissing
	case !rules.Replaced(c, &w.in.line, in.today):
		w.refused = reasonUpliftNotPublished
	}
	return nil
}

// raised is the line as one of what the uplift added: days, person and role are held by the line of the month itself.
func (w *uplifting) raised(claimed money.Pence) *rules.Assessed {
	out := *w.after
	out.Held = rules.Held{LineID: out.LineID}
	out.Claimed, out.Parts, out.Payable, out.Working = max(claimed, 0), nil, 0, nil
	return &out
}

// refusal is a line of which nothing can be uplifted.
func (w *uplifting) refusal() *rules.Assessed {
	claimed := w.after.Claimed
	if w.original != nil {
		claimed -= w.original.cost()
	}
	out := w.raised(claimed)
	out.Pot = ""
	addPart(out, rules.Part{Test: rules.TestRole, Reason: w.refused, Amount: out.Claimed})
	return out
}

// result puts an uplift in the shape of a line: claimed is the cost after it above what the month came to before. What is not payable
// of that is what was withheld of the difference, and of the rest what the month's own tests took.
func (w *uplifting) result(line *rules.UpliftedLine) *rules.Assessed {
	out := w.raised(w.after.Claimed - line.Paid)
	out.Payable, out.Working = line.Payable, line.Working
	rest := out.Claimed - line.Payable - line.Withheld
	take := func(p rules.Part, amount money.Pence) {
		p.Amount = min(amount, rest)
		rest -= p.Amount
		addPart(out, p)
	}
	for _, p := range w.after.Parts {
		if line.Missing != "" && p.Missing != "" {
			take(p, rest)
		}
	}
	if line.Reason == rules.ReasonUpliftBelowPaid {
		take(rules.Part{Test: rules.TestMaximum, Reason: line.Reason}, rest)
	}
	for _, p := range w.after.Parts {
		if p.Test != rules.TestYearSum {
			take(p, p.Amount)
		}
	}
	test := rules.TestMaximum
	if line.Reason == rules.ReasonOverYearSum {
		test = rules.TestYearSum
	}
	addPart(out, rules.Part{Test: test, Reason: line.Reason, Amount: line.Withheld})
	return out
}

func addPart(a *rules.Assessed, p rules.Part) {
	if p.Amount > 0 {
		a.Parts = append(a.Parts, p)
	}
}

// settle states the tests by the parts, and asserts that they and what is payable come to what is claimed.
func settle(a *rules.Assessed) error {
	sum := a.Payable
	for _, p := range a.Parts {
		sum += p.Amount // parts of one amount
	}
	if sum != a.Claimed {
		return fault.Bug("uplift line %s: what is payable and what is not do not make up what is claimed", a.LineID)
	}
	left := a.Claimed
	for i := range a.Tests {
		r := &a.Tests[i]
		r.Reasons, r.Removed = nil, 0
		if left == 0 && a.Claimed > 0 {
			r.Outcome = rules.NotReached
			continue
		}
		r.Outcome = rules.Passed
		for _, p := range a.Parts {
			if p.Test != r.Test {
				continue
			}
			r.Reasons, r.Removed = append(r.Reasons, p.Reason), r.Removed+p.Amount
			left -= p.Amount
			switch {
			case p.Missing != "" || r.Outcome == rules.Waits:
				r.Outcome = rules.Waits
			case left == 0:
				r.Outcome = rules.Failed
			default:
				r.Outcome = rules.Reduced
			}
		}
	}
	return nil
}
