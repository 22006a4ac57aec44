package rules_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func spend(m time.Month, toDate, forecast money.Pence, position int64) rules.Spend {
	return rules.Spend{Month: month(m), ToDate: toDate, Forecast: forecast, Position: position}
}

func TestCheckSpend_AgreesWithOtherMonths(t *testing.T) {
	t.Parallel()
	reports := []rules.Spend{spend(time.June, 30, 100, 2), spend(time.June, 90, 100, 1), spend(time.September, 60, 100, 3)}
	for name, c := range map[string]struct {
		report rules.Spend
		reason string
	}{
		"between":                  {spend(time.August, 45, 100, 4), ""},
		"as much as before":        {spend(time.August, 30, 100, 4), ""},
		"as much as after":         {spend(time.August, 60, 100, 4), ""},
		"below an earlier month":   {spend(time.August, 29, 100, 4), rules.ReasonSpendBelowEarlier},
		"above a later month":      {spend(time.August, 61, 100, 4), rules.ReasonSpendBelowEarlier},
		"a correction of a month":  {spend(time.September, 31, 100, 4), ""},
		"before all":               {spend(time.April, 31, 100, 4), rules.ReasonSpendBelowEarlier},
		"below nothing":            {spend(time.April, -1, 100, 4), rules.ReasonSpendBelowEarlier},
		"a forecast that is spent": {spend(time.November, 100, 99, 4), rules.ReasonForecastBelowSpend},
		"a month not begun":        {spend(time.December, 60, 100, 4), rules.ReasonSpendMonthWrong},
		"a month of another year":  {rules.Spend{Month: month(time.April).Add(-1), ToDate: 1, Forecast: 1}, rules.ReasonSpendMonthWrong},
	} {
		err := rules.CheckSpend(2020, month(time.November), reports, &c.report)
		require.Equal(t, c.reason, fault.ReasonOf(err), name)
	}
	within, err := rules.SpentWithin(reports, month(time.July), month(time.March))
	require.NoError(t, err)
	require.Equal(t, money.Pence(30), within)
	_, found := rules.SpentTo(reports, month(time.May))
	require.False(t, found)
}

// What months report adds up to what the year reports, wherever it is cut.
func TestSpentWithin_AddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var reports []rules.Spend
		toDate := money.Pence(0)
		for i := range 12 {
			toDate += money.Pence(rapid.Int64Range(0, 100).Draw(t, "spent"))
			if rapid.Bool().Draw(t, "reported") {
				report := rules.Spend{Month: month(time.April).Add(i), ToDate: toDate, Forecast: toDate, Position: int64(i)}
				require.NoError(t, rules.CheckSpend(2020, month(time.March), reports, &report))
				reports = append(reports, report)
			}
		}
		cut := month(time.April).Add(rapid.IntRange(0, 10).Draw(t, "cut"))
		before, err := rules.SpentWithin(reports, month(time.April), cut)
		require.NoError(t, err)
		after, err := rules.SpentWithin(rapid.Permutation(reports).Draw(t, "order"), cut.Add(1), month(time.March))
		require.NoError(t, err)
		end, _ := rules.SpentTo(reports, month(time.March))
		require.Equal(t, end.ToDate, before+after)
	})
}

func lineYear(payee rules.PayeeKind, committed, scheduled money.Pence, reports ...rules.Spend) *rules.LineYear {
	return &rules.LineYear{PlanID: "P1", LineID: "1", Payee: payee, Committed: committed, Scheduled: scheduled, Reports: reports}
}

func TestEndOf_ToldByReports(t *testing.T) {
	t.Parallel()
	march := spend(time.March, 70, 70, 1)
	for name, c := range map[string]struct {
		line *rules.LineYear
		want rules.Sums
		said bool
	}{
		"a network's line":    {lineYear(rules.PCNPayee, 100, 100, march), rules.Sums{100, 100, 70, 70, 30, 30, 0}, true},
		"a month not closed":  {lineYear(rules.PCNPayee, 100, 80, march), rules.Sums{100, 80, 70, 70, 30, 30, 0}, true},
		"a supplier":          {lineYear(rules.Supplier, 100, 0, march), rules.Sums{100, 70, 70, 70, 30, 0, 0}, true},
		"overspent":           {lineYear(rules.PCNPayee, 60, 60, march), rules.Sums{60, 60, 70, 70, 0, 0, 10}, true},
		"support in kind":     {lineYear(rules.InKind, 0, 0), rules.Sums{}, false},
		"reported to January": {lineYear(rules.PCNPayee, 100, 100, spend(time.January, 50, 90, 1)), rules.Sums{100, 100, 50, 90, 50, 50, 0}, false},
	} {
		end, err := rules.EndOf(c.line, month(time.March))
		require.NoError(t, err)
		require.Equal(t, c.want, end.Sums, name)
		require.Equal(t, c.said, end.Reported, name)
	}
}

func TestSums_AddWithoutOverflow(t *testing.T) {
	t.Parallel()
	one := rules.Sums{1, 2, 3, 4, 5, 6, 7}
	got, err := one.Add(&rules.Sums{10, 20, 30, 40, 50, 60, 70})
	require.NoError(t, err)
	require.Equal(t, rules.Sums{11, 22, 33, 44, 55, 66, 77}, got)
	_, err = one.Add(&rules.Sums{Overspent: math.MaxInt64})
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestTreat_MovesUnspentMoneyAsThePolicyAllows(t *testing.T) {
	t.Parallel()
	after, last := period.NewDate(2021, time.April, 1), period.NewDate(2021, time.March, 31)
	network := lineYear(rules.PCNPayee, 100, 100, spend(time.March, 70, 70, 1))
	supplier := lineYear(rules.Supplier, 100, 0, spend(time.March, 70, 70, 1))
	for name, c := range map[string]struct {
		line   *rules.LineYear
		force  rules.Policy
		treat  rules.Treatment
		want   rules.Moved
		reason string
	}{
		"return from a network":    {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 30, 0, after}, rules.Moved{Returned: 30, Recovered: 30}, ""},
		"return from a supplier":   {supplier, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 30, 0, after}, rules.Moved{Returned: 30}, ""},
		"part of it":               {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 10, 20, after}, rules.Moved{Returned: 10, Recovered: 10}, ""},
		"carry forward":            {network, rules.CarryForwardWithApproval, rules.Treatment{rules.CarryForwardWithApproval, 30, 0, after}, rules.Moved{CarriedForward: 30, Recovered: 30}, ""},
		"carry a supplier forward": {supplier, rules.CarryForwardWithApproval, rules.Treatment{rules.CarryForwardWithApproval, 30, 0, after}, rules.Moved{CarriedForward: 30}, ""},
		"more than unspent":        {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 31, 0, after}, rules.Moved{}, rules.ReasonTreatmentExceedsUnspent},
		"more than is left":        {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 11, 20, after}, rules.Moved{}, rules.ReasonTreatmentExceedsUnspent},
		"nothing":                  {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 0, 0, after}, rules.Moved{}, rules.ReasonTreatmentExceedsUnspent},
		"on the last day":          {network, rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 30, 0, last}, rules.Moved{}, rules.ReasonYearNotOver},
		"flagged only":             {network, rules.Flagged, rules.Treatment{rules.ReturnToSystem, 30, 0, after}, rules.Moved{}, rules.ReasonPolicyOther},
		"flagged, as asked":        {network, rules.Flagged, rules.Treatment{rules.Flagged, 30, 0, after}, rules.Moved{}, rules.ReasonPolicyOther},
		"another policy":           {network, rules.CarryForwardWithApproval, rules.Treatment{rules.ReturnToSystem, 30, 0, after}, rules.Moved{}, rules.ReasonPolicyOther},
		"no report of March":       {lineYear(rules.PCNPayee, 100, 100), rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 30, 0, after}, rules.Moved{}, rules.ReasonSpendReportMissing},
		"everything, none spent":   {lineYear(rules.PCNPayee, 100, 100, spend(time.March, 0, 0, 1)), rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 100, 0, after}, rules.Moved{Returned: 100, Recovered: 100}, ""},
		"nothing left, overspent":  {lineYear(rules.PCNPayee, 60, 60, spend(time.March, 70, 70, 1)), rules.ReturnToSystem, rules.Treatment{rules.ReturnToSystem, 1, 0, after}, rules.Moved{}, rules.ReasonTreatmentExceedsUnspent},
		"a policy nobody knows of": {network, "KEEP", rules.Treatment{"KEEP", 1, 0, after}, rules.Moved{}, rules.ReasonPolicyOther},
	} {
		end, err := rules.EndOf(c.line, month(time.March))
		require.NoError(t, err)
		got, err := rules.Treat(2020, c.force, &end, &c.treat)
		require.Equal(t, c.reason, fault.ReasonOf(err), name)
		require.Equal(t, c.want, got, name)
	}
	require.NoError(t, rules.MayDecide("ann", "bob"))
	requireFault(t, rules.MayDecide("ann", "ann"), fault.Denied, rules.ReasonSelfApproved)
}

func TestParsePolicy_FlagsByDefault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]rules.Policy{
		"": rules.Flagged, "FLAGGED": rules.Flagged, "RETURN_TO_SYSTEM": rules.ReturnToSystem, "CARRY_FORWARD_WITH_APPROVAL": rules.CarryForwardWithApproval,
	} {
		got, err := rules.ParsePolicy(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := rules.ParsePolicy("none")
	require.Equal(t, rules.ReasonPolicyOther, fault.ReasonOf(err))
}

func TestRecoveries_ComeToTheAmountAndNoNetworkPaysMoreThanItGot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		paid := make([]rules.Paid, rapid.IntRange(1, 10).Draw(t, "networks"))
		all := money.Pence(0)
		for i := range paid {
			paid[i] = rules.Paid{fmt.Sprintf("U%05d", i), money.Pence(rapid.Int64Range(0, 1_000).Draw(t, "paid"))}
			all += paid[i].Amount
		}
		amount := money.Pence(rapid.Int64Range(0, int64(all)).Draw(t, "amount"))
		got, err := rules.Recoveries(amount, paid)
		require.NoError(t, err)
		sum := money.Pence(0)
		for _, back := range got {
			sum += back.Amount
			require.Positive(t, back.Amount)
			for _, p := range paid {
				if p.PCN == back.PCN {
					require.LessOrEqual(t, back.Amount, p.Amount)
				}
			}
		}
		require.Equal(t, amount, sum)
		_, err = rules.Recoveries(all+1, paid)
		require.Equal(t, rules.ReasonTreatmentExceedsUnspent, fault.ReasonOf(err))
	})
}

func account(body string, first, last period.Month, received, spent money.Pence) rules.Account {
	return rules.Account{Body: body, First: first, Last: last, Received: received, Spent: spent}
}

func TestSucceed_HandsOverWhatWasNotSpent(t *testing.T) {
	t.Parallel()
	april, june, july, march := period.NewMonth(2022, time.April), period.NewMonth(2022, time.June), period.NewMonth(2022, time.July), period.NewMonth(2023, time.March)
	got, err := rules.Succeed([]rules.Account{
		account("84H", april, june, 50, 60), account("01H", april, june, 100, 30), account("16C", april, june, 10, 10),
	}, account("QHM", july, march, 300, 320))
	require.NoError(t, err)
	require.Equal(t, []string{"01H", "16C", "84H", "QHM"}, []string{got[0].Body, got[1].Body, got[2].Body, got[3].Body})
	require.Equal(t, money.Pence(70), got[0].Unspent)
	require.Equal(t, money.Pence(10), got[2].Overspent)
	require.Zero(t, got[2].Unspent)
	require.Equal(t, money.Pence(70), got[3].HandedOver)
	require.Equal(t, money.Pence(50), got[3].Unspent)
	alone, err := rules.Succeed(nil, account("QHM", april, march, 5, 7))
	require.NoError(t, err)
	require.Equal(t, money.Pence(2), alone[0].Overspent)
	for name, a := range map[string]rules.Account{
		"a gap": account("01H", april, june.Add(-1), 1, 0), "an overlap": account("01H", april, july, 1, 0), "an end before the start": account("01H", july, june, 1, 0),
		"another year": account("01H", april.Add(-12), june, 1, 0),
	} {
		_, err = rules.Succeed([]rules.Account{a}, account("QHM", july, march, 1, 0))
		require.Equal(t, rules.ReasonSpendMonthWrong, fault.ReasonOf(err), name)
	}
}

// No pound is lost or made between the accounts.
func TestSucceed_KeepsEveryPound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		april, july := period.NewMonth(2022, time.April), period.NewMonth(2022, time.July)
		draw := func(name string) money.Pence { return money.Pence(rapid.Int64Range(0, 1_000).Draw(t, name)) }
		var before []rules.Account
		for i := range rapid.IntRange(0, 5).Draw(t, "predecessors") {
			before = append(before, account(fmt.Sprint(i), april, july.Add(-1), draw("received"), draw("spent")))
		}
		got, err := rules.Succeed(before, account("Q", july, july.Add(8), draw("received"), draw("spent")))
		require.NoError(t, err)
		balance := money.Pence(0)
		for i := range got {
			balance += got[i].Received - got[i].Spent + got[i].Overspent
		}
		require.Equal(t, balance, got[len(got)-1].Unspent)
	})
}
