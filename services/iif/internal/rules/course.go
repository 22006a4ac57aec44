package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// State is where a network's achievement of a year stands.
type State string

// The states. The words of the first two that wait are CQRS's; those of the others are chosen.
const (
	// Open is before the achievement was worked out after year end.
	Open State = "OPEN"
	// AwaitingProvider waits for the network to declare what it sees, or to appeal.
	AwaitingProvider State = "AWAITING_SERVICE_PROVIDER_APPROVAL"
	// AwaitingCommissioner waits for the commissioner to declare.
	AwaitingCommissioner State = "AWAITING_COMMISSIONING_ORGANISATION_APPROVAL"
	// AwaitingFinancial waits for another person of the commissioner to approve the money.
	AwaitingFinancial State = "AWAITING_FINANCIAL_APPROVAL"
	// Appealed waits for the commissioner to decide an appeal.
	Appealed State = "UNDER_APPEAL"
	// Approved is for payment. Nothing changes any more; corrections are lines of their own.
	Approved State = "APPROVED_FOR_PAYMENT"
)

// Words are the state as users of CQRS read it.
func (s State) Words() string {
	switch s {
	case Open:
		return "Open"
	case AwaitingProvider:
		return "Awaiting Service Provider Approval"
	case AwaitingCommissioner:
		return "Awaiting Commissioning Organisation Approval"
	case AwaitingFinancial:
		return "Awaiting Financial Approval"
	case Appealed:
		return "Under Appeal"
	case Approved:
		return "Approved for Payment"
	default:
		return ""
	}
}

// Role is in what capacity a person acts.
type Role string

// The roles.
const (
	RolePCNManager       Role = "pcn_manager"
	RoleClinicalDirector Role = "clinical_director"
	RolePreparer         Role = "finance_preparer"
	RoleApprover         Role = "finance_approver"
	// RoleSystem is the suite itself, which works out what counts come to.
	RoleSystem Role = "system"
)

// Actor is who acts. Nominated tells whether the commissioner approved the person to declare for the network.
type Actor struct {
	Person    string
	Role      Role
	Nominated bool
}

// Step is what happens to an achievement.
type Step string

// The steps.
const (
	// Aggregated works out the achievement after year end.
	Aggregated Step = "SERVICE_AGGREGATED"
	// ProviderDeclares is the network's declaration of the result it saw.
	ProviderDeclares Step = "PROVIDER_DECLARES"
	// CommissionerDeclares is the commissioner's.
	CommissionerDeclares Step = "COMMISSIONER_DECLARES"
	// FinanciallyApproves releases the money.
	FinanciallyApproves Step = "COMMISSIONER_FINANCIALLY_APPROVES"
	// Commits records the network's commitment to reinvest the money.
	Commits Step = "REINVESTMENT_COMMITTED"
	// DataChanged is an amended count or answer, or a practice that joins or leaves: the result was worked out again.
	DataChanged Step = "DATA_CHANGED"
	// Appeals contests the result, with a reason.
	Appeals Step = "APPEALED"
	// AppealDecided upholds or dismisses an appeal, with a reason.
	AppealDecided Step = "APPEAL_DECIDED"
)

// Cause says why data changed.
type Cause string

// The causes.
const (
	DataAmended    Cause = "DATA_AMENDED"
	AnswerChanged  Cause = "ANSWER_CHANGED"
	PracticeJoined Cause = "PRACTICE_JOINED_PCN"
	PracticeLeft   Cause = "PRACTICE_LEFT_PCN"
	FigureChanged  Cause = "FIGURE_CHANGED"
)

// Verdict is how an appeal ends.
type Verdict string

// The verdicts.
const (
	Upheld    Verdict = "UPHELD"
	Dismissed Verdict = "DISMISSED"
)

// Commitment is a network's promise to spend the money on extra workforce or primary medical services.
type Commitment struct {
	Person string
	On     period.Date
	Year   period.FinancialYear
	Text   string
}

// Appeal is one objection of the network.
type Appeal struct {
	Person, Reason string
	On             period.Date
	// Verdict, DecidedBy, DecidedOn and Grounds are empty until it is decided.
	Verdict            Verdict
	DecidedBy, Grounds string
	DecidedOn          period.Date
}

// Declaration is who declared or approved, and when.
type Declaration struct {
	Person string
	On     period.Date
}

// Course is where an achievement stands, and how it came there.
type Course struct {
	Year  period.FinancialYear
	State State
	// ResultID names the result worked out last: what is declared and approved.
	ResultID string
	// Missing are indicators without counts, and Waiting figures without which amounts are not known.
	Missing, Waiting []string
	// Provider, Commissioner and Financial are empty while nobody has declared or approved.
	Provider, Commissioner, Financial Declaration
	// Makers entered figures, overrides, settings or counts by hand, or took in a commissioner's own file; none of them approves the money.
	Makers []string
	// LastOn is the day of the last step; none is taken on a day before it.
	LastOn     period.Date
	Commitment *Commitment
	Appeals    []Appeal
	// FellBack counts how often a change of data brought the course back to the start.
	FellBack int
}

// Event is one step with who takes it and what they say.
type Event struct {
	Step Step
	By   Actor
	On   period.Date
	// ResultID names the result: the new one where it was worked out, the one that was seen where it is declared or approved.
	ResultID string
	// Missing and Waiting come with a result.
	Missing, Waiting []string
	// Makers come with a result too: everyone who entered or changed what it rests on, values, overrides, settings and counts. The
	// service gathers them; who takes the step is added.
	Makers []string
	Cause  Cause
	// Reason comes with an appeal and its decision.
	Reason     string
	Verdict    Verdict
	Commitment Commitment
}

// Advance takes one step (CQRS pages on declarations, changes and approval; examples IIF-033 and IIF-034). It returns the course
// after it, or refuses the step by name and leaves the course as it is. A change before financial approval brings the course back
// to the start, to be declared again; after it nothing changes.
func Advance(c Course, e Event) (Course, error) {
	if refused := c.permits(&e); refused != nil {
		return c, refused
	}
	next := c
	next.Makers, next.Appeals = slices.Clone(c.Makers), slices.Clone(c.Appeals)
	var refused *fault.Fault
	switch e.Step {
	case Aggregated:
		refused = next.aggregate(&e)
	case DataChanged:
		refused = next.change(&e)
	case ProviderDeclares:
		refused = next.declare(&e)
	case CommissionerDeclares:
		refused = next.commissionerDeclares(&e)
	case FinanciallyApproves:
		refused = next.approve(&e)
	case Commits:
		refused = next.commit(&e)
	case Appeals:
		refused = next.appeal(&e)
	case AppealDecided:
		refused = next.decide(&e)
	}
	if refused != nil {
		return c, refused
	}
	next.LastOn = e.On
	return next, nil
}

// rule says from which states and by whom a step may be taken.
type rule struct {
	from  []State
	roles []Role
}

var (
	network      = []Role{RolePCNManager, RoleClinicalDirector}
	commissioner = []Role{RolePreparer, RoleApprover}
	anywhere     = []State{Open, AwaitingProvider, AwaitingCommissioner, AwaitingFinancial, Appealed}
	steps        = map[Step]rule{
		Aggregated:           {[]State{Open}, []Role{RoleSystem}},
		DataChanged:          {anywhere, append([]Role{RoleSystem}, append(slices.Clone(network), commissioner...)...)},
		ProviderDeclares:     {[]State{AwaitingProvider}, network},
		CommissionerDeclares: {[]State{AwaitingCommissioner}, commissioner},
		FinanciallyApproves:  {[]State{AwaitingFinancial}, []Role{RoleApprover}},
		Commits:              {anywhere, network},
		Appeals:              {[]State{AwaitingProvider}, network},
		AppealDecided:        {[]State{Appealed}, commissioner},
	}
)

func (c *Course) permits(e *Event) *fault.Fault {
	r, known := steps[e.Step]
	switch {
	case known && c.State == Approved:
		return fault.New(fault.Refused, ReasonAlreadyApproved, "the year is approved for payment: it is corrected by lines of difference").With("state", c.State)
	case !known || !slices.Contains(r.from, c.State):
		return fault.New(fault.Refused, ReasonStepOutOfOrder, "%s is not a step from %s", e.Step, c.State).With("state", c.State)
	case !slices.Contains(r.roles, e.By.Role):
		return fault.New(fault.Denied, ReasonRoleNotAllowed, "%s is not for the role %s", e.Step, e.By.Role).With("role", e.By.Role)
	case e.By.Role != RoleSystem && e.By.Person == "":
		return fault.New(fault.Invalid, ReasonPersonRequired, "%s names who takes the step", e.Step)
	case e.On.IsZero() || e.On.Before(c.LastOn):
		return fault.New(fault.Invalid, ReasonDayInvalid, "%s has a day, not before the last step's, %s", e.Step, c.LastOn).With("on", e.On)
	}
	return nil
}

// aggregate takes the first result after year end. Before it the counts are not those of the year, and nobody may declare them.
func (c *Course) aggregate(e *Event) *fault.Fault {
	if last := c.Year.Last().Last(); !e.On.After(last) {
		return fault.New(fault.Refused, ReasonYearNotOver, "the year %s is worked out after its last day, %s", c.Year, last).With("on", e.On)
	}
	c.State = AwaitingProvider
	return c.worked(e)
}

// worked takes a new result; what was declared of the old one is void. The new result has a name of its own, or who read the old
// one could declare and approve the new one unseen. Who made it is remembered, whatever the role.
func (c *Course) worked(e *Event) *fault.Fault {
	if e.ResultID == "" || e.ResultID == c.ResultID {
		return fault.New(fault.Invalid, ReasonResultUnnamed, "%s has a result of its own name, not %q", e.Step, e.ResultID)
	}
	for _, maker := range append(slices.Clone(e.Makers), e.By.Person) {
		if maker != "" && !slices.Contains(c.Makers, maker) {
			c.Makers = append(c.Makers, maker)
		}
	}
	c.ResultID, c.Missing, c.Waiting = e.ResultID, slices.Clone(e.Missing), slices.Clone(e.Waiting)
	c.Provider, c.Commissioner, c.Financial = Declaration{}, Declaration{}, Declaration{}
	return nil
}

// change brings the course back to the start. One that is open, or under appeal, stays so.
func (c *Course) change(e *Event) *fault.Fault {
	switch e.Cause {
	case DataAmended, AnswerChanged, PracticeJoined, PracticeLeft, FigureChanged:
	default:
		return fault.New(fault.Invalid, ReasonReasonRequired, "a change of data says what changed").With("cause", e.Cause)
	}
	if refused := c.worked(e); refused != nil {
		return refused
	}
	if c.State == AwaitingCommissioner || c.State == AwaitingFinancial {
		c.State = AwaitingProvider
		c.FellBack++
	}
	return nil
}

// seen refuses who speaks of another result than the last.
func (c *Course) seen(e *Event) *fault.Fault {
	if e.ResultID != c.ResultID {
		return fault.New(fault.Stale, ReasonResultChanged, "the result was worked out again since it was read").With("result", c.ResultID)
	}
	return nil
}

func (c *Course) declare(e *Event) *fault.Fault {
	if refused := c.seen(e); refused != nil {
		return refused
	}
	if !e.By.Nominated {
		return fault.New(fault.Denied, ReasonNotNominated, "only a person nominated by the network and approved by the commissioner declares")
	}
	if len(c.Missing) > 0 {
		return fault.New(fault.Refused, ReasonIndicatorsMissing, "the year cannot be declared before every indicator is submitted").
			With(metaMissing, strings.Join(c.Missing, ", ")).With(metaRemedy, "submit the indicators' counts")
	}
	c.Provider, c.State = Declaration{e.By.Person, e.On}, AwaitingCommissioner
	return nil
}

func (c *Course) commissionerDeclares(e *Event) *fault.Fault {
	if refused := c.seen(e); refused != nil {
		return refused
	}
	if e.By.Person == c.Provider.Person {
		return isMaker("who declared for the network does not declare for the commissioner")
	}
	c.Commissioner, c.State = Declaration{e.By.Person, e.On}, AwaitingFinancial
	return nil
}

func (c *Course) approve(e *Event) *fault.Fault {
	if refused := c.seen(e); refused != nil {
		return refused
	}
	made := append([]string{c.Provider.Person, c.Commissioner.Person}, c.Makers...)
	for _, a := range c.Appeals {
		made = append(made, a.Person, a.DecidedBy)
	}
	switch {
	case slices.Contains(made, e.By.Person):
		return isMaker("who declared the year, entered its figures or decided its appeal does not approve its money")
	case len(c.Waiting) > 0:
		return fault.New(fault.Refused, ReasonFiguresMissing, "the amounts are not all known").
			With(metaMissing, strings.Join(c.Waiting, ", ")).With(metaRemedy, "enter or confirm the figures with their source")
	case c.Commitment == nil:
		return fault.New(fault.Refused, ReasonCommitmentRequired, "the network has not committed to reinvest the money of %s", c.Year).
			With(metaMissing, "reinvestment commitment").With(metaRemedy, "record the network's commitment")
	}
	c.Financial, c.State = Declaration{e.By.Person, e.On}, Approved
	return nil
}

func isMaker(message string) *fault.Fault {
	return fault.New(fault.Denied, ReasonApproverIsMaker, "%s", message)
}

// commit records the commitment. It is to the year, not to an amount, and so stands when data change.
func (c *Course) commit(e *Event) *fault.Fault {
	given := e.Commitment
	if given.Person != e.By.Person || given.On.IsZero() || given.Year != c.Year || strings.TrimSpace(given.Text) == "" {
		return fault.New(fault.Invalid, ReasonCommitmentInvalid, "a commitment has its text, its day and the year %s, and is the person's own", c.Year)
	}
	c.Commitment = &given
	return nil
}

func (c *Course) appeal(e *Event) *fault.Fault {
	if strings.TrimSpace(e.Reason) == "" {
		return fault.New(fault.Invalid, ReasonReasonRequired, "an appeal has a reason")
	}
	c.Appeals = append(c.Appeals, Appeal{Person: e.By.Person, Reason: e.Reason, On: e.On})
	c.State = Appealed
	return nil
}

// decide ends the appeal. Dismissed, the network declares the result as it stands or appeals again; upheld, it is worked out again.
func (c *Course) decide(e *Event) *fault.Fault {
	if len(c.Appeals) == 0 || c.Appeals[len(c.Appeals)-1].Verdict != "" {
		return fault.New(fault.Refused, ReasonStepOutOfOrder, "%s is not a step without an open appeal", e.Step).With("state", c.State)
	}
	last := &c.Appeals[len(c.Appeals)-1]
	switch {
	case e.Verdict != Upheld && e.Verdict != Dismissed:
		return fault.New(fault.Invalid, ReasonOutcomeRequired, "an appeal is upheld or dismissed")
	case strings.TrimSpace(e.Reason) == "":
		return fault.New(fault.Invalid, ReasonReasonRequired, "the decision of an appeal has a reason")
	case e.By.Person == last.Person:
		return isMaker("who appealed does not decide the appeal")
	}
	last.Verdict, last.Grounds, last.DecidedBy, last.DecidedOn = e.Verdict, e.Reason, e.By.Person, e.On
	c.State = AwaitingProvider
	if e.Verdict == Upheld {
		c.State = Open
	}
	return nil
}
