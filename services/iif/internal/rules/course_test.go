package rules_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// take takes steps that are all permitted.
func take(t *testing.T, c rules.Course, events ...rules.Event) rules.Course {
	t.Helper()
	for _, e := range events {
		var err error
		c, err = rules.Advance(c, e)
		require.NoError(t, err, e.Step)
	}
	return c
}

func step(s rules.Step, by rules.Actor) rules.Event {
	return rules.Event{Step: s, By: by, ResultID: "1", Reason: "because", Cause: rules.DataAmended}
}

func TestAdvance_RefusesByName(t *testing.T) {
	t.Parallel()
	second := rules.Actor{Person: "second", Role: rules.RoleApprover}
	open := committed(t)
	provider := take(t, open, step(rules.Aggregated, theSystem))
	commissioner := take(t, provider, step(rules.ProviderDeclares, declarer))
	financial := take(t, commissioner, step(rules.CommissionerDeclares, approver))
	approved := take(t, financial, step(rules.FinanciallyApproves, second))
	appealed := take(t, provider, step(rules.Appeals, declarer))
	with := func(c rules.Course, change func(*rules.Course)) rules.Course {
		change(&c)
		return c
	}
	event := func(e rules.Event, change func(*rules.Event)) rules.Event {
		change(&e)
		return e
	}
	decided := event(step(rules.AppealDecided, preparer), func(e *rules.Event) { e.Verdict = rules.Dismissed })
	cases := []struct {
		name   string
		from   rules.Course
		event  rules.Event
		reason string
		kind   fault.Kind
	}{
		{"declared before it was worked out", open, step(rules.ProviderDeclares, declarer), rules.ReasonStepOutOfOrder, fault.Refused},
		{"money before the commissioner declares", commissioner, step(rules.FinanciallyApproves, second), rules.ReasonStepOutOfOrder, fault.Refused},
		{"worked out twice", provider, step(rules.Aggregated, theSystem), rules.ReasonStepOutOfOrder, fault.Refused},
		{"no known step", open, step("JUMP", theSystem), rules.ReasonStepOutOfOrder, fault.Refused},
		{"appealed after declaring", commissioner, step(rules.Appeals, declarer), rules.ReasonStepOutOfOrder, fault.Refused},
		{"no known state", rules.Course{}, step(rules.Aggregated, theSystem), rules.ReasonStepOutOfOrder, fault.Refused},
		{"a commissioner for the network", provider, step(rules.ProviderDeclares, preparer), rules.ReasonRoleNotAllowed, fault.Denied},
		{"a preparer approves money", financial, step(rules.FinanciallyApproves, preparer), rules.ReasonRoleNotAllowed, fault.Denied},
		{
			"nobody", provider,
			step(rules.ProviderDeclares, rules.Actor{Role: rules.RolePCNManager, Nominated: true}),
			rules.ReasonPersonRequired, fault.Invalid,
		},
		{
			"not nominated", provider,
			step(rules.ProviderDeclares, rules.Actor{Person: "x", Role: rules.RolePCNManager}),
			rules.ReasonNotNominated, fault.Denied,
		},
		{
			"indicators missing", with(provider, func(c *rules.Course) { c.Missing = []string{"HI-03"} }),
			step(rules.ProviderDeclares, declarer),
			rules.ReasonIndicatorsMissing, fault.Refused,
		},
		{
			"another result", provider,
			event(step(rules.ProviderDeclares, declarer), func(e *rules.Event) { e.ResultID = "0" }),
			rules.ReasonResultChanged, fault.Stale,
		},
		{
			"another result declared", commissioner,
			event(step(rules.CommissionerDeclares, preparer), func(e *rules.Event) { e.ResultID = "0" }),
			rules.ReasonResultChanged, fault.Stale,
		},
		{
			"another result approved", financial,
			event(step(rules.FinanciallyApproves, second), func(e *rules.Event) { e.ResultID = "0" }),
			rules.ReasonResultChanged, fault.Stale,
		},
		{
			"the declarer for the commissioner", commissioner,
			step(rules.CommissionerDeclares, rules.Actor{Person: declarer.Person, Role: rules.RolePreparer}),
			rules.ReasonApproverIsMaker, fault.Denied,
		},
		{"who declared approves", financial, step(rules.FinanciallyApproves, approver), rules.ReasonApproverIsMaker, fault.Denied},
		{
			"who entered figures approves", with(financial, func(c *rules.Course) { c.Makers = []string{"second"} }),
			step(rules.FinanciallyApproves, second),
			rules.ReasonApproverIsMaker, fault.Denied,
		},
		{
			"figures missing", with(financial, func(c *rules.Course) { c.Waiting = []string{"price"} }),
			step(rules.FinanciallyApproves, second),
			rules.ReasonFiguresMissing, fault.Refused,
		},
		{
			"no commitment", with(financial, func(c *rules.Course) { c.Commitment = nil }),
			step(rules.FinanciallyApproves, second),
			rules.ReasonCommitmentRequired, fault.Refused,
		},
		{"a commitment without text", provider, step(rules.Commits, declarer), rules.ReasonCommitmentInvalid, fault.Invalid},
		{"data changed after approval", approved, step(rules.DataChanged, theSystem), rules.ReasonAlreadyApproved, fault.Refused},
		{"approved twice", approved, step(rules.FinanciallyApproves, second), rules.ReasonAlreadyApproved, fault.Refused},
		{
			"changed for no cause", provider,
			event(step(rules.DataChanged, theSystem), func(e *rules.Event) { e.Cause = "" }),
			rules.ReasonReasonRequired, fault.Invalid,
		},
		{
			"an appeal without reason", provider,
			event(step(rules.Appeals, declarer), func(e *rules.Event) { e.Reason = " " }),
			rules.ReasonReasonRequired, fault.Invalid,
		},
		{"an appeal without outcome", appealed, step(rules.AppealDecided, preparer), rules.ReasonOutcomeRequired, fault.Invalid},
		{"a decision without reason", appealed, event(decided, func(e *rules.Event) { e.Reason = "" }), rules.ReasonReasonRequired, fault.Invalid},
		{
			"who appealed decides", appealed,
			event(decided, func(e *rules.Event) { e.By.Person = declarer.Person }),
			rules.ReasonApproverIsMaker, fault.Denied,
		},
		{"declared under appeal", appealed, step(rules.ProviderDeclares, declarer), rules.ReasonStepOutOfOrder, fault.Refused},
	}
	for _, c := range cases {
		got, err := rules.Advance(c.from, c.event)
		refused, ok := fault.As(err)
		require.True(t, ok, c.name)
		require.Equal(t, c.reason, refused.Reason, c.name)
		require.Equal(t, c.kind, refused.Kind, c.name)
		require.Equal(t, c.from, got, c.name)
	}
	require.Equal(t, rules.Approved, approved.State)
	require.Equal(t, "second", approved.Financial.Person)
}

// A change before financial approval brings every state back to the start, and the commitment stands.
func TestAdvance_FallsBackWhenDataChange(t *testing.T) {
	t.Parallel()
	c := take(t, committed(t), step(rules.Aggregated, theSystem), step(rules.ProviderDeclares, declarer), step(rules.CommissionerDeclares, preparer))
	amended := rules.Event{Step: rules.DataChanged, By: preparer, Cause: rules.AnswerChanged, ResultID: "2", Missing: []string{"HI-03"}}
	c = take(t, c, amended)
	require.Equal(t, rules.AwaitingProvider, c.State)
	require.Empty(t, c.Provider.Person+c.Commissioner.Person)
	require.Equal(t, []string{"preparer"}, c.Makers)
	require.Equal(t, 1, c.FellBack)
	require.NotNil(t, c.Commitment)
	_, err := rules.Advance(c, rules.Event{Step: rules.ProviderDeclares, By: declarer, ResultID: "2"})
	requireReason(t, err, rules.ReasonIndicatorsMissing)
	amended.ResultID, amended.Missing = "3", nil
	c = take(t, c, amended)
	require.Equal(t, []string{"preparer"}, c.Makers)
	require.Equal(t, 1, c.FellBack, "it stood at the start already")
	open := take(t, committed(t), step(rules.DataChanged, theSystem))
	require.Equal(t, rules.Open, open.State)
}

func TestAdvance_DecidesAppealsWithGrounds(t *testing.T) {
	t.Parallel()
	provider := take(t, committed(t), step(rules.Aggregated, theSystem))
	appealed := take(t, provider, step(rules.Appeals, declarer), step(rules.DataChanged, theSystem))
	require.Equal(t, rules.Appealed, appealed.State, "a change does not decide an appeal")
	decide := func(verdict rules.Verdict) rules.Course {
		e := step(rules.AppealDecided, preparer)
		e.Verdict, e.On = verdict, date(t, "2026-06-05")
		return take(t, appealed, e)
	}
	upheld, dismissed := decide(rules.Upheld), decide(rules.Dismissed)
	require.Equal(t, rules.Open, upheld.State)
	require.Equal(t, rules.AwaitingProvider, dismissed.State)
	require.Equal(t, "preparer", dismissed.Appeals[0].DecidedBy)
	require.Equal(t, "because", dismissed.Appeals[0].Grounds)
	require.Equal(t, rules.Upheld, upheld.Appeals[0].Verdict)
	require.Empty(t, appealed.Appeals[0].Verdict, "what was decided later does not reach back")
	for _, s := range []rules.State{rules.Open, rules.AwaitingProvider, rules.AwaitingCommissioner, rules.AwaitingFinancial, rules.Appealed, rules.Approved} {
		require.NotEmpty(t, s.Words())
	}
	require.Empty(t, rules.State("").Words())
}
