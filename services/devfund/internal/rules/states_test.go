package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

var everyState = []rules.State{
	rules.Allocated, rules.SelfAssessed, rules.PlanDrafted, rules.AgreedLocally, rules.Approved, rules.Mobilised, rules.InProgress, rules.Closed,
	rules.Returned, rules.Rejected, rules.Superseded,
}

var everyStep = []rules.Step{
	rules.Revise, rules.Agree, rules.Settle, rules.Return, rules.Reject, rules.Approve, rules.Mobilise, rules.Review, rules.Close, rules.Supersede,
}

var everyRole = []rules.Role{rules.RolePCNManager, rules.RoleClinicalDirector, rules.RolePreparer, rules.RoleApprover, rules.RoleSystem}

// TestNext_LeadsOnlyWhereItIsWritten writes down every step that is possible; every other is refused.
func TestNext_LeadsOnlyWhereItIsWritten(t *testing.T) {
	t.Parallel()
	possible := map[rules.State]map[rules.Step]rules.State{
		rules.Allocated:    {rules.Revise: rules.Allocated, rules.Supersede: rules.Superseded},
		rules.SelfAssessed: {rules.Revise: rules.SelfAssessed, rules.Supersede: rules.Superseded},
		rules.PlanDrafted: {
			rules.Revise: rules.PlanDrafted, rules.Agree: rules.PlanDrafted, rules.Settle: rules.AgreedLocally, rules.Return: rules.Returned,
			rules.Reject: rules.Rejected, rules.Supersede: rules.Superseded,
		},
		rules.AgreedLocally: {
			rules.Revise: rules.AgreedLocally, rules.Return: rules.Returned, rules.Reject: rules.Rejected, rules.Approve: rules.Approved,
			rules.Supersede: rules.Superseded,
		},
		rules.Approved:   {rules.Revise: rules.Approved, rules.Mobilise: rules.Mobilised, rules.Supersede: rules.Superseded},
		rules.Mobilised:  {rules.Revise: rules.Mobilised, rules.Review: rules.InProgress, rules.Close: rules.Closed, rules.Supersede: rules.Superseded},
		rules.InProgress: {rules.Revise: rules.InProgress, rules.Review: rules.InProgress, rules.Close: rules.Closed, rules.Supersede: rules.Superseded},
		rules.Returned:   {rules.Revise: rules.Returned, rules.Reject: rules.Rejected, rules.Supersede: rules.Superseded},
	}
	for _, from := range everyState {
		for _, step := range append(everyStep, "INVENTED") {
			to, err := rules.Next(from, step, everyRole)
			if want, is := possible[from][step]; is {
				require.NoError(t, err, "%s from %s", step, from)
				require.Equal(t, want, to)
				continue
			}
			requireFault(t, err, fault.Refused, rules.ReasonPlanStateWrong)
			require.Equal(t, from, to)
		}
	}
}

func TestNext_IsEachRolesOwn(t *testing.T) {
	t.Parallel()
	whose := map[rules.Step][]rules.Role{
		rules.Revise: {rules.RolePreparer}, rules.Agree: {rules.RoleClinicalDirector, rules.RolePreparer}, rules.Settle: {rules.RolePreparer},
		rules.Return: {rules.RolePreparer, rules.RoleApprover}, rules.Reject: {rules.RoleApprover}, rules.Approve: {rules.RoleApprover},
		rules.Mobilise: {rules.RolePreparer}, rules.Review: {rules.RolePreparer, rules.RoleApprover}, rules.Close: {rules.RolePreparer, rules.RoleApprover},
		rules.Supersede: {rules.RoleSystem},
	}
	for _, step := range everyStep {
		i := slices.IndexFunc(everyState, func(s rules.State) bool { _, err := rules.Next(s, step, everyRole); return err == nil })
		for _, role := range everyRole {
			_, err := rules.Next(everyState[i], step, []rules.Role{role})
			if slices.Contains(whose[step], role) {
				require.NoError(t, err)
				continue
			}
			requireFault(t, err, fault.Denied, rules.ReasonRoleNotAllowed)
		}
	}
	require.Equal(t, []rules.Step{rules.Approve, rules.Reject, rules.Return}, rules.Steps(rules.AgreedLocally, []rules.Role{rules.RoleApprover}))
}

// Nobody reaches a committed version but by local agreement and approval.
func TestNext_CommitsOnlyWhatWasApproved(t *testing.T) {
	t.Parallel()
	for _, from := range everyState {
		for _, step := range everyStep {
			to, err := rules.Next(from, step, everyRole)
			if err == nil && to.Committed() && !from.Committed() {
				require.Equal(t, rules.AgreedLocally, from)
				require.Equal(t, rules.Approve, step)
			}
		}
	}
}

func TestOpening_FollowsFromAssessmentsAndLines(t *testing.T) {
	t.Parallel()
	p := &rules.Plan{PCNs: []string{"U00001", "U00002"}}
	assessed := []rules.Assessment{{PCN: "U00002"}}
	require.Equal(t, rules.Allocated, rules.Opening(p, assessed))
	assessed = append(assessed, rules.Assessment{PCN: "U00001"})
	require.Equal(t, rules.SelfAssessed, rules.Opening(p, assessed))
	p.Lines = make([]rules.Line, 1)
	require.Equal(t, rules.PlanDrafted, rules.Opening(p, assessed))
	require.Equal(t, rules.Allocated, rules.Opening(p, nil))
}

func TestMayApprove_RefusesWhoGains(t *testing.T) {
	t.Parallel()
	on := day(time.December, 1)
	interest := func(pcn string, from, to period.Date) rules.Interest {
		return rules.Interest{Person: "ann", PCN: pcn, Nature: "partner in a member practice", From: from, To: to}
	}
	cases := map[string]struct {
		change func(*rules.Approval)
		reason string
	}{
		"nothing to gain":       {func(*rules.Approval) {}, ""},
		"the author":            {func(a *rules.Approval) { a.Authors = append(a.Authors, "ann") }, rules.ReasonSelfApproved},
		"who agreed":            {func(a *rules.Approval) { a.Agreed = append(a.Agreed, "ann") }, rules.ReasonConflictOfInterest},
		"director of a network": {func(a *rules.Approval) { a.DirectorOf = []string{"U00002"} }, rules.ReasonConflictOfInterest},
		"director of another":   {func(a *rules.Approval) { a.DirectorOf = []string{"U00009"} }, ""},
		"interest that lasts":   {func(a *rules.Approval) { a.Interests = append(a.Interests, interest("U00001", on, period.Date{})) }, rules.ReasonConflictOfInterest},
		"interest to the day":   {func(a *rules.Approval) { a.Interests = append(a.Interests, interest("U00001", day(time.April, 1), on)) }, rules.ReasonConflictOfInterest},
		"interest that has ended": {func(a *rules.Approval) {
			a.Interests = append(a.Interests, interest("U00001", day(time.April, 1), on.AddDays(-1)))
		}, ""},
		"interest that is to begin": {func(a *rules.Approval) {
			a.Interests = append(a.Interests, interest("U00001", on.AddDays(1), period.Date{}))
		}, ""},
		"interest in another": {func(a *rules.Approval) { a.Interests = append(a.Interests, interest("U00009", on, period.Date{})) }, ""},
		"another's interest": {func(a *rules.Approval) {
			a.Interests = append(a.Interests, rules.Interest{Person: "bob", PCN: "U00001", From: on})
		}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &rules.Approval{Person: "ann", On: on, Authors: []string{"cid"}, Agreed: []string{"dan"}, Paid: []string{"U00001", "U00002"}}
			c.change(a)
			err := rules.MayApprove(a)
			if c.reason == "" {
				require.NoError(t, err)
				return
			}
			requireFault(t, err, fault.Denied, c.reason)
		})
	}
}
