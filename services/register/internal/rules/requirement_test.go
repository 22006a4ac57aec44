package rules

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

func dayOf(t testing.TB, text string) period.Date {
	t.Helper()
	if text == "" {
		return period.Date{}
	}
	day, err := period.ParseDate(text)
	require.NoError(t, err)
	return day
}

// plan is a requirement due on 31 July 2022 that the contract lets payment be withheld for.
func plan(t testing.TB) Requirement {
	return Requirement{
		ID: "plan", Year: 2022, Name: "Enhanced access", Phase: "Plan", Due: dayOf(t, "2022-07-31"), Source: "s", Confidence: working.Secondary, HoldBasis: "clause",
	}
}

func TestStand_IsWorkedOutOnTheDay(t *testing.T) {
	t.Parallel()
	due := func(text string) func(*Requirement) {
		return func(r *Requirement) { r.Due = dayOf(t, text) }
	}
	for name, c := range map[string]struct {
		alter  func(*Requirement)
		steps  []Step
		on     string
		opened string
		ended  bool
		held   string
		state  RequirementState
		late   int
		hold   bool
		misses string
	}{
		"nothing is said on the day":           {on: "2022-07-31", state: NotStarted},
		"nothing is said the day after":        {on: "2022-08-01", state: Overdue, late: 1, hold: true},
		"planned, and late":                    {steps: []Step{{Kind: PlanStep}}, on: "2022-08-10", state: Overdue, late: 10, hold: true},
		"planned, and in time":                 {steps: []Step{{Kind: PlanStep}}, on: "2022-07-10", state: Planned},
		"delivered late":                       {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-08-05")}}, on: "2022-09-01", state: Delivered, late: 5},
		"delivered in time":                    {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-31")}}, on: "2022-09-01", state: Delivered},
		"delivered after the day":              {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-08-05")}}, on: "2022-08-03", state: Overdue, late: 3, hold: true},
		"delivered later, not late yet":        {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-05")}}, on: "2022-07-03", state: NotStarted},
		"without a clause no hold":             {alter: func(r *Requirement) { r.HoldBasis = "" }, on: "2022-08-01", state: Overdue, late: 1},
		"without a day never late":             {alter: due(""), on: "2030-01-01", state: DateUnknown, misses: "due date of plan"},
		"without a day, and begun":             {alter: due(""), steps: []Step{{Kind: StartStep}}, on: "2030-01-01", state: InProgress, misses: "due date of plan"},
		"a day that is a candidate":            {alter: func(r *Requirement) { r.Confidence = working.Candidate }, on: "2030-01-01", state: DateUnknown, misses: "confirmed due date of plan"},
		"sources differ, between the two":      {alter: func(r *Requirement) { r.Other = dayOf(t, "2022-08-31") }, on: "2022-08-31", state: NotStarted, misses: "which of 2022-07-31 and 2022-08-31 is the due date of plan"},
		"sources differ, after both":           {alter: func(r *Requirement) { r.Other = dayOf(t, "2022-08-31") }, on: "2022-09-01", state: Overdue, late: 1, hold: true, misses: "which of 2022-07-31 and 2022-08-31 is the due date of plan"},
		"only the beginning is known":          {alter: func(r *Requirement) { r.Due, r.Start = period.Date{}, dayOf(t, "2022-10-01") }, on: "2022-10-02", state: Overdue, late: 1, hold: true},
		"put off":                              {alter: func(r *Requirement) { r.PutOff = true }, on: "2030-01-01", state: Deferred},
		"the PCN came later":                   {on: "2022-09-01", opened: "2022-08-01", state: NotDue},
		"the PCN came on the day":              {on: "2022-09-01", opened: "2022-07-31", state: Overdue, late: 32, hold: true},
		"the PCN came later and delivered":     {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-08-05")}}, on: "2022-09-01", opened: "2022-08-01", state: Delivered, late: 5},
		"the PCN ended":                        {on: "2022-09-01", ended: true, state: PCNEnded},
		"the PCN ended, and had delivered":     {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-06-05")}}, on: "2022-09-01", ended: true, state: Delivered},
		"withdrawn, and late":                  {steps: []Step{{Kind: PlanStep}, {Kind: WithdrawStep}}, on: "2022-08-01", state: Overdue, late: 1, hold: true},
		"returned":                             {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-01")}, {Kind: ReturnEvidence, Reason: "r"}}, on: "2022-07-02", state: InProgress},
		"begun after the day asked for":        {steps: []Step{{Kind: StartStep, Recorded: dayOf(t, "2022-07-05")}}, on: "2022-07-04", state: NotStarted},
		"begun on the day asked for":           {steps: []Step{{Kind: StartStep, Recorded: dayOf(t, "2022-07-05")}}, on: "2022-07-05", state: InProgress},
		"planned, then begun later":            {steps: []Step{{Kind: PlanStep, Recorded: dayOf(t, "2022-07-01")}, {Kind: StartStep, Recorded: dayOf(t, "2022-07-09")}}, on: "2022-07-08", state: Planned},
		"evidenced after the day asked for":    {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-01")}, {Kind: AcceptEvidence, Recorded: dayOf(t, "2022-07-09")}}, on: "2022-07-08", state: Delivered},
		"delivered on a later day after all":   {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-01")}, {Kind: DeliverStep, Met: dayOf(t, "2022-07-09")}}, on: "2022-07-08", state: InProgress},
		"returned after the day asked for":     {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-01")}, {Kind: AcceptEvidence, Recorded: dayOf(t, "2022-07-03")}, {Kind: ReturnEvidence, Recorded: dayOf(t, "2022-07-09")}}, on: "2022-07-08", state: InProgress},
		"past when it was brought":             {held: "2022-08-05", on: "2022-09-01", state: DuePassed},
		"past when brought, but still to come": {held: "2022-08-05", on: "2022-07-31", state: NotStarted},
		"brought on the day":                   {held: "2022-07-31", on: "2022-08-01", state: Overdue, late: 1, hold: true},
		"past when brought, but planned":       {held: "2022-08-05", steps: []Step{{Kind: PlanStep}}, on: "2022-08-10", state: Overdue, late: 10, hold: true},
		"past when brought, and taken back":    {held: "2022-08-05", steps: []Step{{Kind: PlanStep}, {Kind: WithdrawStep}}, on: "2022-08-10", state: DuePassed},
		"past when brought, and delivered":     {held: "2022-08-05", steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-08-05")}}, on: "2022-09-01", state: Delivered, late: 5},
		"evidenced, and the day is long past":  {steps: []Step{{Kind: DeliverStep, Met: dayOf(t, "2022-07-01")}, {Kind: AcceptEvidence}}, on: "2030-07-02", state: Evidenced},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := plan(t)
			if c.alter != nil {
				c.alter(&r)
			}
			got := Stand(&r, c.steps, dayOf(t, c.on), Setting{Opened: dayOf(t, c.opened), Ended: c.ended, Held: dayOf(t, c.held)})
			want := Standing{State: c.state, DaysLate: c.late, MayHold: c.hold}
			if c.misses != "" {
				want.Missing = []string{c.misses}
			}
			require.Equal(t, want, got)
		})
	}
}

func TestTake_RefusesWhatDoesNotFollow(t *testing.T) {
	t.Parallel()
	r, today := plan(t), dayOf(t, "2022-07-10")
	deliver := Step{Kind: DeliverStep, Met: dayOf(t, "2022-07-01"), By: "manager", Evidence: "plan", Where: "ref 1"}
	for name, c := range map[string]struct {
		before []Step
		step   Step
		reason string
		state  RequirementState
	}{
		"plan":                      {step: Step{Kind: PlanStep, Planned: dayOf(t, "2022-07-20")}, state: Planned},
		"plan without a day":        {step: Step{Kind: PlanStep}, reason: ReasonValueMissing},
		"plan what is delivered":    {before: []Step{deliver}, step: Step{Kind: PlanStep, Planned: today}, reason: ReasonStepNotAllowed},
		"deliver":                   {step: deliver, state: Delivered},
		"deliver in the future":     {step: Step{Kind: DeliverStep, Met: dayOf(t, "2022-07-11")}, reason: ReasonDayInFuture},
		"deliver before the year":   {step: Step{Kind: DeliverStep, Met: dayOf(t, "2022-03-31")}, reason: ReasonValueNotAllowed},
		"deliver on its first day":  {step: Step{Kind: DeliverStep, Met: dayOf(t, "2022-04-01")}, state: Delivered},
		"plan before the year":      {step: Step{Kind: PlanStep, Planned: dayOf(t, "1980-01-01")}, reason: ReasonValueNotAllowed},
		"deliver without a day":     {step: Step{Kind: DeliverStep}, reason: ReasonValueMissing},
		"accept":                    {before: []Step{deliver}, step: Step{Kind: AcceptEvidence, By: "preparer"}, state: Evidenced},
		"accept what oneself did":   {before: []Step{deliver}, step: Step{Kind: AcceptEvidence, By: "manager"}, reason: ReasonAccepterIsMaker},
		"accept what oneself began": {before: []Step{deliver, {Kind: DeliverStep, Met: dayOf(t, "2022-07-02"), By: "director"}}, step: Step{Kind: AcceptEvidence, By: "manager"}, reason: ReasonAccepterIsMaker},
		"accept without evidence":   {before: []Step{{Kind: DeliverStep, Met: today, By: "manager"}}, step: Step{Kind: AcceptEvidence, By: "preparer"}, reason: ReasonEvidenceMissing},
		"accept with own reference": {before: []Step{{Kind: DeliverStep, Met: today, By: "manager", Evidence: "plan"}}, step: Step{Kind: AcceptEvidence, By: "preparer", Where: "ref 2"}, state: Evidenced},
		"accept what nobody did":    {step: Step{Kind: AcceptEvidence, By: "preparer"}, reason: ReasonStepNotAllowed},
		"return":                    {before: []Step{deliver}, step: Step{Kind: ReturnEvidence, Reason: "no signature"}, state: InProgress},
		"return without a reason":   {before: []Step{deliver}, step: Step{Kind: ReturnEvidence, Reason: " "}, reason: ReasonReasonMissing},
		"withdraw":                  {before: []Step{deliver}, step: Step{Kind: WithdrawStep, Reason: "another PCN's"}, state: Withdrawn},
		"withdraw what is accepted": {before: []Step{deliver, {Kind: AcceptEvidence}}, step: Step{Kind: WithdrawStep, Reason: "r"}, reason: ReasonStepNotAllowed},
		"withdraw nothing":          {step: Step{Kind: WithdrawStep, Reason: "r"}, reason: ReasonStepNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			course := Follow(c.before)
			got, err := course.Take(&r, &c.step, today)
			if c.reason != "" {
				require.Equal(t, c.reason, fault.ReasonOf(err), "%v", err)
				require.Equal(t, course, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.state, got.State)
			require.Equal(t, Follow(append(c.before, c.step)), got, "what a step leaves is what its history comes to")
		})
	}
	off := r
	off.PutOff = true
	_, err := Course{State: NotStarted}.Take(&off, &Step{Kind: StartStep}, today)
	require.Equal(t, ReasonRequirementPutOff, fault.ReasonOf(err))
}

// TestTake_KeepsItsPromises takes steps at random: what was accepted has its evidence, and nobody accepted what they delivered.
func TestTake_KeepsItsPromises(t *testing.T) {
	t.Parallel()
	r, today := plan(t), dayOf(t, "2022-07-10")
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []StepKind{PlanStep, StartStep, DeliverStep, AcceptEvidence, ReturnEvidence, WithdrawStep}
	people, words := []string{"a", "b", "c"}, []string{"", "x"}
	accepted := 0
	for range 500 {
		course := Follow(nil)
		delivered := map[string]bool{}
		for number := range int64(30) {
			step := Step{
				Number: number + 1, Kind: kinds[random.IntN(len(kinds))], Planned: today, Met: today.AddDays(-random.IntN(3)), By: people[random.IntN(3)],
				Evidence: words[random.IntN(2)], Where: words[random.IntN(2)], Reason: words[random.IntN(2)],
			}
			next, err := course.Take(&r, &step, today)
			if err != nil {
				require.Equal(t, course, next)
				continue
			}
			switch step.Kind {
			case DeliverStep:
				delivered[step.By] = true
			case WithdrawStep:
				clear(delivered)
			case AcceptEvidence:
				accepted++
				require.False(t, delivered[step.By])
				require.NotEmpty(t, next.Evidence)
				require.NotEmpty(t, next.Where)
			default:
			}
			require.Equal(t, step.Number, next.Last)
			require.Equal(t, next.State == Delivered || next.State == Evidenced, !next.Met.IsZero())
			course = next
		}
	}
	require.Greater(t, accepted, 100)
}

func TestInForce_IsTheNearestVersion(t *testing.T) {
	t.Parallel()
	version := func(commissioner, phase string) Requirement {
		return Requirement{ID: "r", Commissioner: commissioner, Phase: phase}
	}
	back := func(commissioner string) Requirement {
		return Requirement{ID: "r", Commissioner: commissioner, TakenBack: true}
	}
	for name, c := range map[string]struct {
		versions []Requirement
		bodies   []string
		want     string
	}{
		"England alone":                   {[]Requirement{version("", "1"), version("", "2")}, []string{"16C"}, "2"},
		"own outranks a later of England": {[]Requirement{version("16C", "own"), version("", "2")}, []string{"16C"}, "own"},
		"another's does not count":        {[]Requirement{version("", "1"), version("84H", "theirs")}, []string{"16C"}, "1"},
		"taken back":                      {[]Requirement{version("", "1"), version("16C", "own"), back("16C")}, []string{"16C"}, "1"},
		"recorded again":                  {[]Requirement{version("", "1"), version("16C", "own"), back("16C"), version("16C", "again")}, []string{"16C"}, "again"},
		"the predecessor's goes on":       {[]Requirement{version("", "1"), version("16C", "CCG")}, []string{"QHM", "16C"}, "CCG"},
		"the successor's goes before":     {[]Requirement{version("QHM", "ICB"), version("16C", "CCG")}, []string{"QHM", "16C"}, "ICB"},
		"of England no own counts":        {[]Requirement{version("16C", "own")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := InForce(c.versions, c.bodies)
			require.Equal(t, c.want != "", at >= 0)
			if at >= 0 {
				require.Equal(t, c.want, c.versions[at].Phase)
			}
		})
	}
}

func TestRequirementCheck_RefusesWhatContradictsItself(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alter  func(*Requirement)
		reason string
	}{
		"as it is":           {func(*Requirement) {}, ""},
		"no day":             {func(r *Requirement) { r.Due = period.Date{} }, ""},
		"other before due":   {func(r *Requirement) { r.Other = dayOf(t, "2022-07-30") }, ReasonValueNotAllowed},
		"other without due":  {func(r *Requirement) { r.Due, r.Other = period.Date{}, r.Due }, ReasonValueNotAllowed},
		"due before start":   {func(r *Requirement) { r.Start = dayOf(t, "2022-08-01") }, ReasonPeriodReversed},
		"end before start":   {func(r *Requirement) { r.Start, r.End = dayOf(t, "2022-07-01"), dayOf(t, "2022-06-01") }, ReasonPeriodReversed},
		"without a name":     {func(r *Requirement) { r.Name = " " }, ReasonValueMissing},
		"without confidence": {func(r *Requirement) { r.Confidence = working.Unstated }, ReasonValueMissing},
	} {
		r := plan(t)
		c.alter(&r)
		require.Equal(t, c.reason, fault.ReasonOf(r.Check()), name)
	}
}
