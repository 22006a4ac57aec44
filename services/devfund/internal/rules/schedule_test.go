package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func scheduleMonth(text string) period.Month {
	month, err := period.ParseMonth(text)
	if err != nil {
		panic(err)
	}
	return month
}

func position(tranche money.Pence, lines ...rules.ScheduledLine) rules.Position {
	return rules.Position{
		Subject: rules.Subject{PlanID: "plan", LineID: "L1", PCNCode: "U1", ForMonth: scheduleMonth("2020-09")},
		Version: 2, Tranche: tranche, Confidence: working.Secondary, Lines: lines, PayeeKnown: true,
	}
}

func TestDue_SaysWhatIsOwedAndNotScheduled(t *testing.T) {
	t.Parallel()
	unpaid := func(id string, pence money.Pence) rules.ScheduledLine {
		return rules.ScheduledLine{LineID: id, Amount: pence, Unpaid: true}
	}
	paid := func(id string, pence money.Pence) rules.ScheduledLine {
		return rules.ScheduledLine{LineID: id, Amount: pence}
	}
	back := func(id, of string, pence money.Pence) rules.ScheduledLine {
		return rules.ScheduledLine{LineID: id, Amount: pence, Unpaid: true, TakesBack: of}
	}
	taken := func(amounts ...money.Pence) (out []rules.Taken) {
		for i, pence := range amounts {
			out = append(out, rules.Taken{TreatmentID: fmt.Sprint("t", i), Amount: pence})
		}
		return out
	}
	for name, test := range map[string]struct {
		position    rules.Position
		taken       []rules.Taken
		nobody      bool
		amount, new money.Pence
		held        int
		adjusts     string
		cause       rules.DueCause
		none        bool
	}{
		"a first tranche":                {position: position(100), amount: 100, new: 100},
		"a tranche that is held whole":   {position: position(100, paid("a", 100)), none: true},
		"a tranche of nothing":           {position: position(0), none: true},
		"a higher one":                   {position: position(150, paid("a", 100)), amount: 50, new: 50, adjusts: "a", cause: rules.DuePlanChanged},
		"one that fell away":             {position: position(0, paid("a", 100), paid("b", 20)), amount: -120, new: -120, adjusts: "b", cause: rules.DuePlanChanged},
		"unspent money":                  {position: position(100, paid("a", 100)), taken: taken(30), amount: -30, new: -30, adjusts: "a", cause: rules.DueUnspent},
		"unspent money for the 2nd time": {position: position(100, paid("a", 100), paid("b", -30)), taken: taken(30, 5), amount: -5, new: -5, adjusts: "b", cause: rules.DueUnspent},
		"unspent money of other months":  {position: position(0), taken: taken(30), amount: -30, new: -30},
		"unspent money of a changed one": {position: position(90, paid("a", 100)), taken: taken(30), amount: -40, new: -40, adjusts: "a", cause: rules.DueSeveral},
		"no payee":                       {position: position(100), nobody: true, amount: 100, new: 100},
		"no payee and less":              {position: position(90, unpaid("a", 100)), nobody: true, amount: -10, new: -10, cause: rules.DuePlanChanged},
		"a payee at last":                {position: position(100, unpaid("a", 100)), amount: 100, held: 1, adjusts: "a", cause: rules.DuePayee},
		"a payee at last, and less": {
			position: position(80, unpaid("a", 100), unpaid("b", -10)), amount: 80, new: -10, held: 2, adjusts: "b", cause: rules.DueSeveral,
		},
		"a payee, and nothing owed any more": {position: position(0, unpaid("a", 100)), amount: 0, new: -100, held: 1, adjusts: "a", cause: rules.DueSeveral},
		"what was taken back stays so":       {position: position(100, unpaid("a", 100), back("b", "a", -100), paid("c", 100)), none: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.position
			s.Taken, s.PayeeKnown = test.taken, !test.nobody
			due, err := rules.Due([]rules.Position{s}, scheduleMonth("2020-10"))
			require.NoError(t, err)
			if test.none {
				require.Empty(t, due)
				return
			}
			require.Len(t, due, 1)
			got := due[0]
			require.Equal(t, []any{test.amount, test.new, test.held, test.adjusts, test.cause}, []any{got.Amount, got.New, len(got.Held), got.Adjusts, got.Cause})
			result, err := working.Evaluate(got.Working)
			require.NoError(t, err)
			require.Zero(t, result.Cmp(test.amount.GBP()))
			require.Equal(t, working.Secondary, got.Working.Confidence(), "that of the allocation")
			for _, line := range got.Held {
				result, err := working.Evaluate(line.TakenBack())
				require.NoError(t, err)
				require.Zero(t, result.Cmp((-line.Amount).GBP()))
			}
		})
	}
}

func TestDue_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	one := position(100)
	require.Panics(t, func() { _, _ = rules.Due([]rules.Position{one}, scheduleMonth("2020-08")) }, "before its month")
	require.Panics(t, func() { _, _ = rules.Due([]rules.Position{one, one}, scheduleMonth("2020-09")) }, "twice")
	one.Lines = []rules.ScheduledLine{{LineID: "a", Amount: -1 << 62}, {LineID: "b", Amount: -1 << 62}, {LineID: "c", Amount: -1 << 62}}
	_, err := rules.Due([]rules.Position{one}, scheduleMonth("2020-09"))
	require.Error(t, err, "beyond what pence can hold")
}

func TestDue_OrdersByPlanLineNetworkAndMonth(t *testing.T) {
	t.Parallel()
	var all []rules.Position
	var want []string
	for _, plan := range []string{"p1", "p2"} {
		for _, pcn := range []string{"U1", "U2"} {
			for _, month := range []time.Month{time.May, time.November} {
				s := position(1)
				s.Subject = rules.Subject{PlanID: plan, LineID: "L", PCNCode: pcn, ForMonth: period.NewMonth(2020, month)}
				all = append([]rules.Position{s}, all...)
				want = append(want, fmt.Sprint(s.Subject))
			}
		}
	}
	due, err := rules.Due(all, scheduleMonth("2021-03"))
	require.NoError(t, err)
	var got []string
	for i := range due {
		got = append(got, fmt.Sprint(due[i].Subject))
	}
	require.Equal(t, want, got)
}

// Whatever tranches, treatments and payees come in whatever order, what schedules hold is what is owed, and closing again is due nothing.
func TestDue_HoldsWhatIsOwed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := position(0)
		closed := scheduleMonth("2020-10")
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				s.Tranche = money.Pence(rapid.Int64Range(0, 100000).Draw(t, "tranche"))
			case 1:
				s.Taken = append(s.Taken, rules.Taken{TreatmentID: fmt.Sprint(step), Amount: money.Pence(rapid.Int64Range(1, 50000).Draw(t, "taken"))})
			default:
				s.PayeeKnown = !s.PayeeKnown
			}
			due, err := rules.Due([]rules.Position{s}, closed)
			require.NoError(t, err)
			for i := range due {
				for _, line := range due[i].Held {
					s.Lines = append(s.Lines, rules.ScheduledLine{
						LineID: fmt.Sprint(step, " back ", line.LineID), Amount: -line.Amount, Unpaid: true, TakesBack: line.LineID,
					})
				}
				if due[i].Amount != 0 {
					s.Lines = append(s.Lines, rules.ScheduledLine{LineID: fmt.Sprint(step), Amount: due[i].Amount, Unpaid: !s.PayeeKnown})
				}
			}
			owed, err := s.Owed()
			require.NoError(t, err)
			var held, nobody money.Pence
			for _, line := range s.Lines {
				held += line.Amount
				if line.Unpaid {
					nobody += line.Amount
				}
			}
			require.Equal(t, owed, held)
			if s.PayeeKnown {
				require.Zero(t, nobody, "no money is left without a payee")
			}
			again, err := rules.Due([]rules.Position{s}, closed)
			require.NoError(t, err)
			require.Empty(t, again)
		}
	})
}

// A tranche is explained from the amount of its line on, whatever its beneficiaries and months.
func TestDue_ExplainsATrancheOutOfItsLine(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := rules.Line{ID: "L1", Payee: rules.PCNPayee, Amount: money.Pence(rapid.Int64Range(1, 100000000).Draw(t, "amount"))}
		for i := range rapid.IntRange(1, 5).Draw(t, "beneficiaries") {
			line.Beneficiaries = append(line.Beneficiaries, rules.Beneficiary{PCN: fmt.Sprint("U", i)})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "months") {
			line.Instalments = append(line.Instalments, rules.Instalment{Month: scheduleMonth("2020-05").Add(i)})
		}
		tranches, err := rules.Tranches(2020, &line, scheduleMonth("2020-09"))
		require.NoError(t, err)
		var positions []rules.Position
		for i := range tranches {
			p := position(tranches[i].Amount)
			p.PCNCode, p.ForMonth, p.Explained = tranches[i].PCN, tranches[i].Month, tranches[i].Working
			p.Lines = []rules.ScheduledLine{{LineID: "before", Amount: 1}}
			positions = append(positions, p)
		}
		due, err := rules.Due(positions, scheduleMonth("2020-09"))
		require.NoError(t, err)
		sum := money.Pence(len(tranches))
		for i := range due {
			sum += due[i].Amount
			result, err := working.Evaluate(due[i].Working)
			require.NoError(t, err)
			require.Zero(t, result.Cmp(due[i].Amount.GBP()))
			first := due[i].Working.Inputs[0]
			require.Zero(t, first.Value.Cmp(line.Amount.GBP()), "from the amount of the line")
			require.Equal(t, working.Origin{
				Kind: working.FromDeclaration, Ref: "plan/L1/2", Source: "version 2 of the plan as it was approved", Confidence: working.Secondary,
			}, first.Origin)
		}
		require.Equal(t, line.Amount, sum)
	})
}

func TestDue_LetsATrancheStandForItselfWhereItsLineGivesAnother(t *testing.T) {
	t.Parallel()
	p := position(100)
	tranches, err := rules.Tranches(2020, &rules.Line{Payee: rules.PCNPayee, Amount: 99, Beneficiaries: []rules.Beneficiary{{PCN: "U1"}}}, p.ForMonth)
	require.NoError(t, err)
	p.Explained = tranches[0].Working
	due, err := rules.Due([]rules.Position{p}, p.ForMonth)
	require.NoError(t, err)
	require.Equal(t, money.Pence(100), due[0].Amount)
	require.Len(t, due[0].Working.Inputs, 1)
}
