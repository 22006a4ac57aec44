package rules

import (
	"cmp"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// FirstScheduleMonth is the first month that can be closed: the fund began with 2019/20.
var FirstScheduleMonth = period.NewMonth(2019, time.April)

const unitPounds = "GBP"

// Subject is what lines of schedules have in common that pay for the same: a line of a plan, a network and the month the money is for.
type Subject struct {
	PlanID, LineID, PCNCode string
	ForMonth                period.Month
}

// Taken is unspent money that an approved treatment takes back from a network.
type Taken struct {
	TreatmentID string
	Amount      money.Pence
}

// ScheduledLine is a line of a schedule that was closed before.
type ScheduledLine struct {
	LineID string
	Amount money.Pence
	// Unpaid tells that no payee was recorded, so that nobody was paid.
	Unpaid bool
	// TakesBack names the unpaid line that this one takes back; empty for all others.
	TakesBack  string
	Confidence working.Confidence
}

// Position is where one subject stands when a month is closed.
type Position struct {
	Subject
	// Version is the approved version of the plan, and Tranche what it pays; nothing where a later version has no such tranche.
	Version int
	Tranche money.Pence
	// Explained gives Tranche out of the line's amount, beneficiaries and months; nil where those are not at hand, and the tranche then
	// stands for itself.
	Explained *working.Working
	// Confidence is that of the allocation which the line draws on.
	Confidence working.Confidence
	// Taken are in the order in which they were approved.
	Taken []Taken
	// Lines are those that schedules hold, in the order in which they were closed.
	Lines []ScheduledLine
	// PayeeKnown tells that the network has a nominated payee now.
	PayeeKnown bool
}

// DueCause is why a line differs from what was scheduled before.
type DueCause int

// The causes. A first line has none.
const (
	// DuePlanChanged: a later approved version of the plan pays another sum.
	DuePlanChanged DueCause = iota + 1
	// DueUnspent: unspent money is taken back.
	DueUnspent
	// DuePayee: what had no payee goes to the one recorded since.
	DuePayee
	// DueSeveral: more than one of these.
	DueSeveral
)

// DueLine is what is due of one subject: one line of a schedule, and one more for each held line that it takes the place of.
type DueLine struct {
	Subject
	// Held are unpaid lines that are taken back, since the payee is known now.
	Held []ScheduledLine
	// Amount is below nothing where more was scheduled than is owed. It is nothing where only held lines are taken back.
	Amount money.Pence
	// New is what the schedules hold more of the subject with the line than without.
	New money.Pence
	// Adjusts names the line scheduled last for the same; empty for a first line, and while there is no payee.
	Adjusts string
	Cause   DueCause
	// Working gives Amount.
	Working *working.Working
}

// Owed is what the subject comes to: its tranche less what was taken back of it.
func (s *Position) Owed() (money.Pence, error) {
	owed := s.Tranche
	var err error
	for _, t := range s.Taken {
		if owed, err = owed.Sub(t.Amount); err != nil {
			return 0, err
		}
	}
	return owed, nil
}

// Due returns what is due when a month is closed, in order of plan, line, network and month: of each subject what is owed less what
// schedules hold. What schedules hold with it is what approved tranches come to, less what was taken back; nothing is due where they do.
func Due(positions []Position, closed period.Month) ([]DueLine, error) {
	var out []DueLine
	seen := make(map[Subject]bool, len(positions))
	for i := range positions {
		s := &positions[i]
		if seen[s.Subject] {
			return nil, fault.Bug("line %s of plan %s stands twice for %s in %s", s.LineID, s.PlanID, s.PCNCode, s.ForMonth)
		}
		seen[s.Subject] = true
		if s.ForMonth.After(closed) {
			return nil, fault.Bug("the tranche %s of line %s of plan %s is paid in %s", s.ForMonth, s.LineID, s.PlanID, closed)
		}
		line, err := s.due()
		if err != nil {
			return nil, err
		}
		if line.Amount != 0 || len(line.Held) > 0 {
			out = append(out, line)
		}
	}
	slices.SortFunc(out, func(a, b DueLine) int {
		return cmp.Or(cmp.Compare(a.PlanID, b.PlanID), cmp.Compare(a.LineID, b.LineID), cmp.Compare(a.PCNCode, b.PCNCode),
			a.ForMonth.Compare(b.ForMonth))
	})
	return out, nil
}

// due works one subject out.
func (s *Position) due() (DueLine, error) {
	line := DueLine{Subject: s.Subject}
	open := s.open()
	if s.PayeeKnown {
		line.Held = open
	}
	owed, err := s.Owed()
	if err != nil {
		return line, err
	}
	before, kept, err := s.sums(line.Held)
	if err != nil {
		return line, err
	}
	if line.Amount, err = owed.Sub(kept); err != nil {
		return line, err
	}
	if line.New, err = owed.Sub(before); err != nil {
		return line, err
	}
	line.Working = s.working(line.Held)
	if line.Working.Result().Cmp(line.Amount.GBP()) != 0 {
		return line, fault.Bug("the working of line %s of plan %s for %s gives other pence than what is due", s.LineID, s.PlanID, s.PCNCode)
	}
	if len(s.Lines) > 0 {
		line.Cause = s.cause(before, line.New, len(line.Held) > 0)
		if s.PayeeKnown {
			line.Adjusts = s.Lines[len(s.Lines)-1].LineID
		}
	}
	return line, nil
}

// open returns the unpaid lines that no line has taken back.
func (s *Position) open() (out []ScheduledLine) {
	back := make(map[string]bool)
	for _, l := range s.Lines {
		back[l.TakesBack] = true
	}
	for _, l := range s.Lines {
		if l.Unpaid && l.TakesBack == "" && !back[l.LineID] {
			out = append(out, l)
		}
	}
	return out
}

// sums returns what schedules hold of the subject, and what they hold without the lines that are taken back.
func (s *Position) sums(held []ScheduledLine) (before, kept money.Pence, err error) {
	for _, l := range s.Lines {
		if before, err = before.Add(l.Amount); err != nil {
			return 0, 0, err
		}
	}
	kept = before
	for _, l := range held {
		if kept, err = kept.Sub(l.Amount); err != nil {
			return 0, 0, err
		}
	}
	return before, kept, nil
}

// cause tells what differs. Money taken back is the cause where the tranche less some of what was taken back, in order, is what was
// scheduled. Owed has checked the sums.
func (s *Position) cause(before, difference money.Pence, moved bool) DueCause {
	if difference == 0 {
		return DuePayee
	}
	cause := DuePlanChanged
	if len(s.Taken) > 0 {
		cause = DueSeveral
	}
	stood := s.Tranche
	for _, t := range s.Taken {
		if stood == before {
			cause = DueUnspent
		}
		stood -= t.Amount
	}
	if moved {
		return DueSeveral
	}
	return cause
}

// working writes down the tranche, what was taken back of it and what schedules hold already. Lines that were taken back, and those that are
// now, come to nothing with what takes them back and are left out.
func (s *Position) working(held []ScheduledLine) *working.Working {
	out := make(map[string]bool)
	for _, l := range held {
		out[l.LineID] = true
	}
	for _, l := range s.Lines {
		if l.TakesBack != "" {
			out[l.LineID], out[l.TakesBack] = true, true
		}
	}
	b, tranche := new(working.Builder), new(working.Working)
	origin := working.Origin{
		Kind: working.FromDeclaration, Ref: s.PlanID + "/" + s.LineID + "/" + strconv.Itoa(s.Version),
		Source: "version " + strconv.Itoa(s.Version) + " of the plan as it was approved", Confidence: s.Confidence,
	}
	var terms []working.Term
	if s.explains() {
		tranche.Steps = s.Explained.Steps
		for _, in := range s.Explained.Inputs {
			if in.Origin.Kind == working.FromDeclaration {
				in.Origin = origin
			}
			tranche.Inputs = append(tranche.Inputs, in)
		}
		last := tranche.Steps[len(tranche.Steps)-1]
		terms = append(terms, working.Term{Name: last.Name, Value: last.Result})
	} else {
		terms = append(terms, b.Input(trancheName(s.ForMonth), s.Tranche.GBP(), unitPounds, origin))
	}
	for _, t := range s.Taken {
		terms = append(terms, b.Input("unspent money of treatment "+t.TreatmentID, t.Amount.GBP(), unitPounds, working.Origin{
			Kind: working.FromDeclaration, Ref: t.TreatmentID, Source: "treatment of unspent money as a second person approved it", Confidence: s.Confidence,
		}))
	}
	for _, l := range s.Lines {
		if !out[l.LineID] {
			terms = append(terms, l.scheduled(b, "scheduled before"))
		}
	}
	operation := working.Subtract
	if len(terms) == 1 {
		operation = working.Add
	}
	b.Step("due", operation, unitPounds, "development fund: the approved tranche, less unspent money taken back and what was scheduled", terms...)
	own := b.Done()
	return &working.Working{Inputs: slices.Concat(tranche.Inputs, own.Inputs), Steps: slices.Concat(tranche.Steps, own.Steps)}
}

// explains tells whether the line of the plan gives the tranche that was fixed when it was approved.
func (s *Position) explains() bool {
	return s.Explained != nil && s.Explained.Result() != nil && s.Explained.Result().Cmp(s.Tranche.GBP()) == 0
}

func trancheName(month period.Month) string { return "tranche of " + month.String() }

// scheduled notes what a line was scheduled with.
func (l ScheduledLine) scheduled(b *working.Builder, source string) working.Term {
	return b.Input("line "+l.LineID, l.Amount.GBP(), unitPounds, working.Origin{
		Kind: working.FromLine, Ref: l.LineID, Source: source, Confidence: l.Confidence,
	})
}

// TakenBack is the working of the line that takes an unpaid one back: nobody is due what had no payee.
func (l ScheduledLine) TakenBack() *working.Working {
	b := new(working.Builder)
	due := b.Input("due without a payee", new(big.Rat), unitPounds, working.Origin{Kind: working.FromContract})
	b.Step("taken back", working.Subtract, unitPounds, "development fund: the tranche goes to the payee recorded since", due,
		l.scheduled(b, "scheduled when no payee was recorded"))
	return b.Done()
}

// OwnPart returns a working for the network that it is of, which is not to see what others get: where a line is shared by several its part
// stands for itself, without the amount of the line and how that was parted.
func OwnPart(w *working.Working) *working.Working {
	parted := slices.IndexFunc(w.Steps, func(step working.Step) bool { return step.Clause == clauseParts && step.Name == shareName })
	line := slices.IndexFunc(w.Inputs, func(in working.Input) bool { return in.Name == lineName })
	if parted < 0 || line < 0 || w.Inputs[line].Value.Cmp(w.Steps[parted].Result) == 0 {
		return w
	}
	out := &working.Working{
		Inputs: []working.Input{{Name: shareName, Value: w.Steps[parted].Result, Unit: unitPounds, Origin: w.Inputs[line].Origin}},
		Steps:  w.Steps[parted+1:],
	}
	for _, in := range w.Inputs {
		if slices.ContainsFunc(out.Steps, func(step working.Step) bool { return slices.Contains(step.Operands, in.Name) }) {
			out.Inputs = append(out.Inputs, in)
		}
	}
	return out
}
