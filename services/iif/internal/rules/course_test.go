package rules_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
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

// step is one on 1 June after the year; a change of data brings the result 2 in place of 1.
func step(s rules.Step, by rules.Actor) rules.Event {
	e := rules.Event{Step: s, By: by, ResultID: "1", Reason: "because", Cause: rules.DataAmended, On: period.NewDate(2026, time.June, 1)}
	if s == rules.DataChanged {
		e.ResultID = "2"
	}
	return e
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
		{"no appeal to decide", rules.Course{Year: 2025, State: rules.Appealed}, decided, rules.ReasonStepOutOfOrder, fault.Refused},
		{
			"on no day", provider,
			event(step(rules.ProviderDeclares, declarer), func(e *rules.Event) { e.On = period.Date{} }),
			rules.ReasonDayInvalid, fault.Invalid,
		},
		{
			"first of all on no day",
			rules.Course{Year: 2025, State: rules.Open},
			event(step(rules.DataChanged, theSystem), func(e *rules.Event) { e.On = period.Date{} }),
			rules.ReasonDayInvalid, fault.Invalid,
		},
		{
			"on a day before the last step", commissioner,
			event(step(rules.CommissionerDeclares, preparer), func(e *rules.Event) { e.On = e.On.AddDays(-1) }),
			rules.ReasonDayInvalid, fault.Invalid,
		},
		{
			"worked out on the last day of the year",
			rules.Course{Year: 2025, State: rules.Open},
			event(step(rules.Aggregated, theSystem), func(e *rules.Event) { e.On = period.NewDate(2026, time.March, 31) }),
			rules.ReasonYearNotOver, fault.Refused,
		},
		{
			"a result without a name", open,
			event(step(rules.Aggregated, theSystem), func(e *rules.Event) { e.ResultID = "" }),
			rules.ReasonResultUnnamed, fault.Invalid,
		},
		{
			"a change under the old result's name", provider,
			event(step(rules.DataChanged, theSystem), func(e *rules.Event) { e.ResultID = "1" }),
			rules.ReasonResultUnnamed, fault.Invalid,
		},
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
	amended := step(rules.DataChanged, preparer)
	amended.Cause, amended.Missing = rules.AnswerChanged, []string{"HI-03"}
	c = take(t, c, amended)
	require.Equal(t, rules.AwaitingProvider, c.State)
	require.Empty(t, c.Provider.Person+c.Commissioner.Person)
	require.Equal(t, []string{"preparer"}, c.Makers)
	require.Equal(t, 1, c.FellBack)
	require.NotNil(t, c.Commitment)
	_, err := rules.Advance(c, rules.Event{Step: rules.ProviderDeclares, By: declarer, On: amended.On, ResultID: "2"})
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

// A change that arrives while an approver reads is never approved unseen: the step is out of order, and once the year was declared
// anew the approver still speaks of the result that was read.
func TestAdvance_ChangeBetweenReadingAndApproval(t *testing.T) {
	t.Parallel()
	read := take(t, committed(t), step(rules.Aggregated, theSystem), step(rules.ProviderDeclares, declarer), step(rules.CommissionerDeclares, preparer))
	approval := step(rules.FinanciallyApproves, approver)
	changed := take(t, read, step(rules.DataChanged, theSystem))
	_, err := rules.Advance(changed, approval)
	requireReason(t, err, rules.ReasonStepOutOfOrder)
	again := func(s rules.Step, by rules.Actor) rules.Event {
		e := step(s, by)
		e.ResultID = "2"
		return e
	}
	declared := take(t, changed, again(rules.ProviderDeclares, declarer), again(rules.CommissionerDeclares, preparer))
	_, err = rules.Advance(declared, approval)
	requireReason(t, err, rules.ReasonResultChanged)
	require.Equal(t, rules.Approved, take(t, declared, again(rules.FinanciallyApproves, approver)).State)
}

// Whoever had a hand in the result does not approve its money, whatever the role and however it came to be known.
func TestAdvance_MakersDoNotApprove(t *testing.T) {
	t.Parallel()
	second := rules.Actor{Person: "second", Role: rules.RoleApprover}
	path := func(first rules.Event, rest ...rules.Event) rules.Course {
		c := take(t, committed(t), append([]rules.Event{first}, rest...)...)
		declares := []rules.Event{step(rules.ProviderDeclares, declarer), step(rules.CommissionerDeclares, preparer)}
		for i := range declares {
			declares[i].ResultID = c.ResultID
		}
		return take(t, c, declares...)
	}
	entered := step(rules.Aggregated, theSystem)
	entered.Makers = []string{"", approver.Person}
	asSystem := step(rules.Aggregated, rules.Actor{Person: approver.Person, Role: rules.RoleSystem})
	override := step(rules.DataChanged, theSystem)
	override.Makers = []string{approver.Person, approver.Person}
	dismissed := step(rules.AppealDecided, approver)
	dismissed.Verdict = rules.Dismissed
	for name, c := range map[string]rules.Course{
		"entered what was worked out":   path(entered),
		"ran it as the system":          path(asSystem),
		"changed it through the system": path(step(rules.Aggregated, theSystem), override),
		"decided the appeal":            path(step(rules.Aggregated, theSystem), step(rules.Appeals, declarer), dismissed),
	} {
		approval := step(rules.FinanciallyApproves, approver)
		approval.ResultID = c.ResultID
		_, err := rules.Advance(c, approval)
		require.Equal(t, rules.ReasonApproverIsMaker, fault.ReasonOf(err), name)
		require.LessOrEqual(t, len(c.Makers), 1, name)
		approval.By = second
		require.Equal(t, rules.Approved, take(t, c, approval).State, name)
	}
}
