package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Requirement is one version of one phase of a service requirement of the Network Contract DES in a financial year. A zero day is one
// that is not known.
type Requirement struct {
	ID                  string
	Year                period.FinancialYear
	Name, Phase         string
	Focus               string
	Start, Due, Other   period.Date // Other is a later due day that another source names
	End                 period.Date
	PutOff              bool // nothing is due in the year
	Evidence, HoldBasis string
	Source, Note        string
	Confidence          working.Confidence
	// Commissioner is the one for whose PCNs the version holds; empty for all of England.
	Commissioner string
	// TakenBack says that the commissioner has no version of its own any more.
	TakenBack bool
}

// DueDay returns the day by which the requirement must be delivered, and whether the source names it: where it names the beginning only,
// the service must stand from then on. A day that may not be relied on is none.
func (r *Requirement) DueDay() (day period.Date, stated bool) {
	switch {
	case r.PutOff || !r.Confidence.Payable():
		return period.Date{}, false
	case !r.Due.IsZero():
		return r.Due, true
	default:
		return r.Start, false
	}
}

// LastDue returns the last day on which delivery is in time by any source: sources that differ accuse nobody.
func (r *Requirement) LastDue() period.Date {
	day, _ := r.DueDay()
	if !day.IsZero() && r.Other.After(day) {
		return r.Other
	}
	return day
}

// Missing names what is not known and would be needed to follow the requirement.
func (r *Requirement) Missing() []string {
	day, _ := r.DueDay()
	switch {
	case r.PutOff:
		return nil
	case !day.IsZero() && r.Other.After(day):
		return []string{"which of " + day.String() + " and " + r.Other.String() + " is the due date of " + r.ID}
	case !day.IsZero():
		return nil
	case !r.Due.IsZero() || !r.Start.IsZero():
		return []string{"confirmed due date of " + r.ID}
	default:
		return []string{"due date of " + r.ID}
	}
}

// Check refuses a version that contradicts itself.
func (r *Requirement) Check() error {
	reversed := func(field string, a, b period.Date) error {
		if a.IsZero() || b.IsZero() || !b.Before(a) {
			return nil
		}
		return fault.New(fault.Invalid, ReasonPeriodReversed, "%s, %s, lies before %s", field, b, a).At(field, "not before "+a.String())
	}
	if !r.Other.IsZero() && (r.Due.IsZero() || !r.Other.After(r.Due)) {
		return fault.New(fault.Invalid, ReasonValueNotAllowed, "other_due_date is a second, later day beside due_date").At("other_due_date", "after due_date, or empty")
	}
	if r.Confidence == working.Unstated {
		return fault.New(fault.Invalid, ReasonValueMissing, "confidence is required").At("confidence", "how far the source may be relied on")
	}
	for _, err := range []error{
		reversed("end_date", r.Start, r.End), reversed("due_date", r.Start, r.Due), unnamed("name", r.Name), unnamed("phase", r.Phase), unnamed("source", r.Source),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func unnamed(field, text string) error {
	if strings.TrimSpace(text) == "" {
		return fault.New(fault.Invalid, ReasonValueMissing, "%s is required", field).At(field, "words")
	}
	return nil
}

// InForce returns the place of the version that holds for the PCNs of a body, or -1, of versions in the order in which they became known: the latest of the
// first of the body's codes that has one, else the latest for all of England. Codes are the body's own and then those that it took
// over.
func InForce(versions []Requirement, codes []string) int {
	for _, code := range append(slices.Clone(codes), "") {
		for i := len(versions) - 1; i >= 0; i-- {
			if versions[i].Commissioner != code {
				continue
			}
			if versions[i].TakenBack {
				break
			}
			return i
		}
	}
	return -1
}

// Bodies returns those who answer for a PCN of the picture, whose versions of a requirement hold for it: first who took over from the payer of
// the day, then that payer, then the location, whose code the CCG before it had.
func (n *National) Bodies(pcn *PCN) []string {
	owners := n.owners(pcn.Location, pcn.Payer, pcn.System)
	var out []string
	for _, code := range append(append(slices.Clone(owners[1:]), pcn.Payer), pcn.Location) {
		if code != "" && !slices.Contains(out, code) {
			out = append(out, code)
		}
	}
	return out
}

// Judges returns those who judge the evidence of a PCN on the day of the picture: its payer, and who took over from that. A location whose code
// a CCG had is not among them: who held the CCG's code decides nothing in the place of the ICB.
func (n *National) Judges(pcn *PCN) []string {
	return slices.DeleteFunc(n.owners(pcn.Location, pcn.Payer, pcn.System), func(code string) bool { return code == "" })
}

// RequirementState is where a PCN stands; the names are those of the contract.
type RequirementState string

// The states.
const (
	NotStarted  RequirementState = "NOT_STARTED"
	Planned     RequirementState = "PLANNED"
	InProgress  RequirementState = "IN_PROGRESS"
	Delivered   RequirementState = "DELIVERED"
	Evidenced   RequirementState = "EVIDENCED"
	Overdue     RequirementState = "OVERDUE"
	Withdrawn   RequirementState = "WITHDRAWN"
	Deferred    RequirementState = "DEFERRED"
	DateUnknown RequirementState = "DATE_UNKNOWN"
	NotDue      RequirementState = "NOT_DUE"
	PCNEnded    RequirementState = "PCN_ENDED"
	DuePassed   RequirementState = "DUE_PASSED"
)

// StepKind is what is done about a requirement; the names are those of the contract.
type StepKind string

// The steps.
const (
	PlanStep       StepKind = "PLAN"
	StartStep      StepKind = "START"
	DeliverStep    StepKind = "DELIVER"
	AcceptEvidence StepKind = "ACCEPT_EVIDENCE"
	ReturnEvidence StepKind = "RETURN_EVIDENCE"
	WithdrawStep   StepKind = "WITHDRAW"
)

// Step is one entry of a history, as it was given.
type Step struct {
	Number          int64
	Kind            StepKind
	Planned, Met    period.Date
	Evidence, Where string // kind of evidence, and its link or reference
	Reason, By      string
	Recorded        period.Date // day on which it was recorded
}

// day is that from which a step counts: of a delivery the day on which it was met, of any other the day on which it was recorded.
func (s *Step) day() period.Date {
	if s.Kind == DeliverStep {
		return s.Met
	}
	return s.Recorded
}

// Course is what a history comes to.
type Course struct {
	State           RequirementState
	Planned, Met    period.Date
	Evidence, Where string
	// Makers are those who said that it was delivered.
	Makers []string
	// Returned is the reason of the last step, where that returned the evidence.
	Returned string
	Last     int64 // number of the last step
}

// Follow brings a history, oldest first, to what it comes to.
func Follow(history []Step) Course {
	c := Course{State: NotStarted}
	for i := range history {
		c = c.after(&history[i])
	}
	return c
}

// FollowOn brings a history to what it comes to on a day: each step counts from its own day. A delivery that was stated anew, returned or taken
// back was none on any day, but shows that the PCN had begun.
func FollowOn(history []Step, on period.Date) Course {
	stands := true
	kept := make([]Step, 0, len(history))
	for _, s := range slices.Backward(history) {
		at := s.day()
		switch s.Kind {
		case DeliverStep:
			if !stands {
				s.Kind = StartStep
			}
			stands = false
		case AcceptEvidence:
			if !stands {
				continue
			}
		case ReturnEvidence, WithdrawStep:
			stands = false
		case PlanStep, StartStep:
		}
		if !at.After(on) {
			kept = append(kept, s)
		}
	}
	slices.Reverse(kept)
	return Follow(kept)
}

func (c Course) after(s *Step) Course {
	c.Last, c.Returned = s.Number, ""
	switch s.Kind {
	case PlanStep:
		c.State, c.Planned = Planned, s.Planned
	case StartStep:
		c.State = InProgress
	case DeliverStep:
		c.State, c.Met, c.Makers = Delivered, s.Met, append(slices.Clone(c.Makers), s.By)
		c.keepEvidence(s)
	case AcceptEvidence:
		c.State = Evidenced
		c.keepEvidence(s)
	case ReturnEvidence:
		c.State, c.Met, c.Returned = InProgress, period.Date{}, s.Reason
	case WithdrawStep:
		c = Course{State: Withdrawn, Last: s.Number}
	}
	return c
}

func (c *Course) keepEvidence(s *Step) {
	if s.Evidence != "" {
		c.Evidence = s.Evidence
	}
	if s.Where != "" {
		c.Where = s.Where
	}
}

// follows are the states from which a step may be taken.
var follows = map[StepKind][]RequirementState{
	PlanStep:       {NotStarted, Planned, Withdrawn},
	StartStep:      {NotStarted, Planned, Withdrawn},
	DeliverStep:    {NotStarted, Planned, InProgress, Delivered, Withdrawn},
	AcceptEvidence: {Delivered},
	ReturnEvidence: {Delivered, Evidenced},
	WithdrawStep:   {Planned, InProgress, Delivered},
}

// Take refuses a step that may not follow on a course, lacks what it needs, or is taken by who may not take it; today is the day on which
// it is taken. It returns what the step leaves.
func (c Course) Take(r *Requirement, s *Step, today period.Date) (Course, error) {
	if r.PutOff {
		return c, fault.New(fault.Refused, ReasonRequirementPutOff, "nothing is due of %s in %s: %s", r.ID, r.Year, r.Phase).With("requirement_id", r.ID)
	}
	if !slices.Contains(follows[s.Kind], c.State) {
		return c, fault.New(fault.Refused, ReasonStepNotAllowed, "%s does not follow on %s", s.Kind, c.State).With("state", c.State).With("step", s.Kind).
			With("remedy", "take one of the steps that follow: "+strings.Join(c.nextSteps(), ", "))
	}
	if err := s.check(r, today); err != nil {
		return c, err
	}
	next := c.after(s)
	if s.Kind == AcceptEvidence {
		switch {
		case slices.Contains(c.Makers, s.By):
			return c, fault.New(fault.Denied, ReasonAccepterIsMaker, "who said that %s was delivered does not accept the evidence", r.ID).
				With("requirement_id", r.ID).With("remedy", "another person of the commissioner accepts it")
		case next.Evidence == "" || next.Where == "":
			return c, fault.New(fault.Refused, ReasonEvidenceMissing, "the evidence of %s has no kind or no reference", r.ID).
				At("evidence_type", "the kind of evidence").At("evidence_reference", "a link, or a reference")
		}
	}
	return next, nil
}

func (c Course) nextSteps() []string {
	var out []string
	for _, kind := range []StepKind{PlanStep, StartStep, DeliverStep, AcceptEvidence, ReturnEvidence, WithdrawStep} {
		if slices.Contains(follows[kind], c.State) {
			out = append(out, string(kind))
		}
	}
	return out
}

// check refuses a step that lacks what it needs.
func (s *Step) check(r *Requirement, today period.Date) error {
	if s.Kind == PlanStep {
		if s.Planned.IsZero() {
			return fault.New(fault.Invalid, ReasonValueMissing, "planned_date is required to plan").At("planned_date", "a day, YYYY-MM-DD")
		}
		if err := r.notBefore("planned_date", s.Planned); err != nil {
			return err
		}
	}
	if s.Kind == DeliverStep {
		switch {
		case s.Met.IsZero():
			return fault.New(fault.Invalid, ReasonValueMissing, "met_date is required").At("met_date", "the day on which it was delivered, YYYY-MM-DD")
		case s.Met.After(today):
			return fault.New(fault.Invalid, ReasonDayInFuture, "met_date, %s, lies in the future: it is %s", s.Met, today).At("met_date", "a day up to today")
		}
		if err := r.notBefore("met_date", s.Met); err != nil {
			return err
		}
	}
	if s.needsReason() && strings.TrimSpace(s.Reason) == "" {
		return fault.New(fault.Invalid, ReasonReasonMissing, "%s of %s needs a reason", s.Kind, r.ID).At("reason", "why")
	}
	return nil
}

func (s *Step) needsReason() bool { return s.Kind == ReturnEvidence || s.Kind == WithdrawStep }

// notBefore refuses a day of a step before anything could be done of the requirement: before its year, or its own days where these are earlier.
func (r *Requirement) notBefore(field string, day period.Date) error {
	first := r.Year.First().First()
	for _, own := range []period.Date{r.Start, r.Due} {
		if !own.IsZero() && own.Before(first) {
			first = own
		}
	}
	if !day.Before(first) {
		return nil
	}
	return fault.New(fault.Invalid, ReasonValueNotAllowed, "%s, %s, lies before %s, when %s of %s began", field, day, first, r.ID, r.Year).
		At(field, "from "+first.String()+" on")
}

// Standing is where a PCN stands with a requirement on a day.
type Standing struct {
	State RequirementState
	// DaysLate is how long it has been overdue, or how late it was delivered.
	DaysLate int
	// MayHold says that it is overdue and the contract lets the commissioner withhold payment.
	MayHold bool
	Missing []string
}

// Setting is what else counts in where a PCN stands.
type Setting struct {
	// Opened is when the PCN came to be, zero where not known; Ended says that it came to an end within the year.
	Opened period.Date
	Ended  bool
	// Held is the day on which the program brought the due day; zero where a person recorded it.
	Held period.Date
}

// Stand tells where a PCN with a history stands with a requirement on a day. What was delivered after the day does not count on it. Of a due
// day that had passed before the program brought it nobody is accused by silence.
func Stand(r *Requirement, history []Step, on period.Date, at Setting) Standing {
	last := r.LastDue()
	c := FollowOn(history, on)
	out := Standing{State: c.State, Missing: r.Missing()}
	if c.State == Delivered || c.State == Evidenced {
		if !last.IsZero() && c.Met.After(last) {
			out.DaysLate = days(last, c.Met)
		}
		return out
	}
	silent := c.State == NotStarted || c.State == Withdrawn
	switch {
	case r.PutOff:
		out.State = Deferred
	case at.Ended:
		out.State = PCNEnded
	case last.IsZero():
		if silent {
			out.State = DateUnknown
		}
	case at.Opened.After(last):
		if out.State == NotStarted {
			out.State = NotDue
		}
	case on.After(last) && silent && last.Before(at.Held):
		out.State = DuePassed
	case on.After(last):
		out.State, out.DaysLate, out.MayHold = Overdue, days(last, on), r.HoldBasis != ""
	}
	return out
}

func days(from, to period.Date) int { return int(to.Time().Sub(from.Time()).Hours() / 24) }
