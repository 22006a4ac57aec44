package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// State is where a version of a plan stands (development fund, section 2.9).
type State string

// The states. The last four end a version, or send it back.
const (
	// Allocated is before every network has assessed itself.
	Allocated State = "ALLOCATED"
	// SelfAssessed is before lines are drafted.
	SelfAssessed State = "SELF_ASSESSED"
	// PlanDrafted waits for the agreements, and for the checks to pass.
	PlanDrafted State = "PLAN_DRAFTED"
	// AgreedLocally waits for the committee.
	AgreedLocally State = "AGREED_LOCALLY"
	// Approved has its lines committed.
	Approved State = "APPROVED"
	// Mobilised has its support under contract.
	Mobilised State = "MOBILISED"
	// InProgress is reviewed now and then.
	InProgress State = "IN_PROGRESS"
	// Closed has its year-end statement.
	Closed State = "CLOSED"
	// Returned waits for a new version.
	Returned State = "RETURNED"
	// Rejected ends a plan that was not approved.
	Rejected State = "REJECTED"
	// Superseded gave its place to a later version.
	Superseded State = "SUPERSEDED"
)

// Committed tells whether a version in the state has its lines committed.
func (s State) Committed() bool {
	return s == Approved || s == Mobilised || s == InProgress || s == Closed
}

// Opening returns where a version stands before it is agreed: what its networks assessed and whether it has lines tells it.
func Opening(p *Plan, assessments []Assessment) State {
	switch {
	case len(Unassessed(p.PCNs, assessments)) > 0:
		return Allocated
	case len(p.Lines) == 0:
		return SelfAssessed
	}
	return PlanDrafted
}

// Step is what happens to a version of a plan.
type Step string

// The steps.
const (
	// Revise begins a new version of the plan; of one that is not approved the new version takes the place at once.
	Revise Step = "REVISED"
	// Agree records a clinical director's agreement, or its withdrawal.
	Agree Step = "AGREED"
	// Settle says that everybody agreed locally.
	Settle Step = "AGREED_LOCALLY"
	// Return sends a version back for changes.
	Return Step = "RETURNED"
	// Reject ends the plan.
	Reject Step = "REJECTED"
	// Approve is the committee's.
	Approve Step = "APPROVED"
	// Mobilise says that support is under contract.
	Mobilise Step = "MOBILISED"
	// Review records a review.
	Review Step = "REVIEWED"
	// Close ends the plan after its year.
	Close Step = "CLOSED"
	// Supersede gives the place of a version to a later one: at once where it is not approved, and else when the later one is.
	Supersede Step = "SUPERSEDED"
)

// Role is in what capacity a person acts.
type Role string

// The roles.
const (
	RolePCNManager       Role = "pcn_manager"
	RoleClinicalDirector Role = "clinical_director"
	RolePreparer         Role = "finance_preparer"
	RoleApprover         Role = "finance_approver"
	// RoleSystem is the suite itself.
	RoleSystem Role = "system"
)

// transition says from which states a step may be taken, where it leads, and whose it is. A step without a state to lead to leaves the
// version where it is.
type transition struct {
	from  []State
	to    State
	roles []Role
}

var (
	preparer  = []Role{RolePreparer}
	committee = []Role{RoleApprover}
	finance   = []Role{RolePreparer, RoleApprover}
	drafting  = []State{Allocated, SelfAssessed, PlanDrafted}
	underway  = []State{Approved, Mobilised, InProgress}

	transitions = map[Step]transition{
		Revise:    {slices.Concat(drafting, []State{AgreedLocally, Returned}, underway), "", preparer},
		Agree:     {[]State{PlanDrafted}, "", []Role{RoleClinicalDirector, RolePreparer}},
		Settle:    {[]State{PlanDrafted}, AgreedLocally, preparer},
		Return:    {[]State{PlanDrafted, AgreedLocally}, Returned, finance},
		Reject:    {[]State{PlanDrafted, AgreedLocally, Returned}, Rejected, committee},
		Approve:   {[]State{AgreedLocally}, Approved, committee},
		Mobilise:  {[]State{Approved}, Mobilised, preparer},
		Review:    {[]State{Mobilised, InProgress}, InProgress, finance},
		Close:     {[]State{Mobilised, InProgress}, Closed, finance},
		Supersede: {slices.Concat(drafting, []State{AgreedLocally, Returned}, underway), Superseded, []Role{RoleSystem}},
	}
)

// Next returns where a step leads from a state. It refuses a step that does not begin there, and roles of which none may take it. That
// checks pass before a version is settled and approved is asked by Approvable, and who may approve by MayApprove.
func Next(from State, step Step, roles []Role) (State, error) {
	t, known := transitions[step]
	if !known || !slices.Contains(t.from, from) {
		return from, fault.New(fault.Refused, ReasonPlanStateWrong, "%s is not a step from %s: it begins at %s", step, from, list(t.from)).
			With("state", from).With("step", step)
	}
	if !slices.ContainsFunc(roles, func(r Role) bool { return slices.Contains(t.roles, r) }) {
		return from, fault.New(fault.Denied, ReasonRoleNotAllowed, "%s is a step of %s", step, list(t.roles)).With("step", step)
	}
	if t.to == "" {
		return from, nil
	}
	return t.to, nil
}

// Steps returns the steps that roles may take from a state, in order of name.
func Steps(from State, roles []Role) []Step {
	var out []Step
	for step := range transitions {
		if _, err := Next(from, step, roles); err == nil {
			out = append(out, step)
		}
	}
	slices.Sort(out)
	return out
}

func list[T ~string](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	if len(words) == 0 {
		return "no state"
	}
	return strings.Join(words, ", ")
}

// Interest is a person's interest in a network.
type Interest struct {
	Person string
	PCN    string
	Nature string
	From   period.Date
	// To is the last day; zero while it lasts.
	To period.Date
}

func (i *Interest) lasts(on period.Date) bool {
	return !on.Before(i.From) && (i.To.IsZero() || !on.After(i.To))
}

// Approval is what must be known of who approves, to tell that the person has nothing to gain.
type Approval struct {
	Person string
	On     period.Date
	// DirectorOf are networks of which the person's token says that it is a director, or a manager.
	DirectorOf []string
	// Authors wrote the version, or changed it.
	Authors []string
	// Agreed are those who agreed for a network, as they are named, or recorded that one did, also where it was withdrawn.
	Agreed []string
	// Interests are all that are recorded of the person.
	Interests []Interest
	// Paid are the networks that the version pays (see Plan.Paid).
	Paid []string
}

// MayApprove refuses the author of a plan, whoever agreed to it for a network, and who has an interest on the day in a network that it
// pays or acts for one. Directors benefit: they may agree to a plan and not approve money to their own network (development fund,
// section 2.9).
func MayApprove(a *Approval) error {
	if slices.Contains(a.Authors, a.Person) {
		return fault.New(fault.Denied, ReasonSelfApproved, "who wrote the plan does not approve it: ask another person")
	}
	if slices.Contains(a.Agreed, a.Person) {
		return fault.New(fault.Denied, ReasonConflictOfInterest, "who agreed to the plan for a network does not approve it: ask another person")
	}
	var conflicts []string
	for _, pcn := range a.Paid {
		interested := func(i Interest) bool { return i.Person == a.Person && i.PCN == pcn && i.lasts(a.On) }
		if slices.Contains(a.DirectorOf, pcn) || slices.ContainsFunc(a.Interests, interested) {
			conflicts = append(conflicts, pcn)
		}
	}
	if len(conflicts) == 0 {
		return nil
	}
	return fault.New(fault.Denied, ReasonConflictOfInterest, "who has an interest in %s, which the plan pays, does not approve it: ask another person",
		strings.Join(conflicts, ", ")).With("pcns", strings.Join(conflicts, ","))
}
