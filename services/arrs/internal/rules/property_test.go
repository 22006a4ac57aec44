package rules_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// drawLines draws lines of one year: few engagements and people, so that days, numbers and working time collide.
func drawLines(t *rapid.T, s *rules.Scheme, year period.FinancialYear) []rules.ClaimLine {
	n := rapid.IntRange(1, 14).Draw(t, "lines")
	lines := make([]rules.ClaimLine, n)
	for i := range lines {
		role := s.Roles[rapid.IntRange(0, len(s.Roles)-1).Draw(t, "role")]
		at := year.First().Add(rapid.IntRange(0, 11).Draw(t, "month"))
		engagement := rapid.IntRange(1, 5).Draw(t, "engagement")
		line := rules.ClaimLine{
			ID: fmt.Sprintf("L%d", i), EngagementID: fmt.Sprintf("E%d", engagement), Person: fmt.Sprintf("P%d", (engagement+1)/2),
			Role: role.Code, Month: at, Start: at.First().AddDays(rapid.IntRange(-60, 25).Draw(t, "start")),
			PerWeek: big.NewRat(rapid.Int64Range(1, 400).Draw(t, "per week"), 10),
			Salary:  money.Pence(rapid.Int64Range(0, 1_000_000).Draw(t, "salary")),
			Facts:   eligibleFacts(at),
		}
		line.EmployerNI, line.EmployerPension = line.Salary/10, line.Salary/7
		if rapid.Bool().Draw(t, "leaves") {
			line.End = line.Start.AddDays(rapid.IntRange(0, 90).Draw(t, "days"))
		}
		if rapid.IntRange(0, 3).Draw(t, "fee") == 0 {
			line.Fees = money.Pence(rapid.Int64Range(1, 100_000).Draw(t, "fees"))
		}
		if rapid.IntRange(0, 3).Draw(t, "training") == 0 {
			line.Training, line.TrainingShare = "PERSONALISED_CARE", big.NewRat(rapid.Int64Range(0, 5).Draw(t, "share"), 5)
		}
		if role.Code == rules.MentalHealth || role.NeedsAgreement {
			line.Band = rapid.SampledFrom([]string{"", "4", "5", "7"}).Draw(t, "band")
		}
		if role.Code == rules.MentalHealth {
			line.Post = rapid.SampledFrom([]rules.Post{rules.OnlyPost, rules.FirstPost, rules.LaterPost}).Draw(t, "post")
		}
		line.Known = rapid.SampledFrom([]period.Date{{}, at.First(), year.Last().Last()}).Draw(t, "known")
		lines[i] = line
	}
	return lines
}

func drawContext(t *rapid.T) *rules.Context {
	year := period.FinancialYear(rapid.IntRange(2019, 2026).Draw(t, "year"))
	c := contextFor(t, year)
	c.Region = rules.Region(rapid.IntRange(1, 3).Draw(t, "region"))
	c.List = rules.ListSize{Patients: rapid.Int64Range(20_000, 130_000).Draw(t, "list"), Known: rapid.IntRange(0, 9).Draw(t, "list known") > 0}
	for i := range c.Sums {
		c.Sums[i].Usable = money.Pence(rapid.Int64Range(0, 4_000_000).Draw(t, "usable"))
		c.Sums[i].PaidBefore = money.Pence(rapid.Int64Range(0, 500_000).Draw(t, "paid before"))
	}
	c.Decisions = []rules.Decision{
		always(rules.ShareAgreed, big.NewRat(rapid.Int64Range(0, 10).Draw(t, "agreed share"), 10), period.Date{}),
		always(rules.ProviderAgreed, nil, period.Date{}),
	}
	if rapid.Bool().Draw(t, "role agreed") {
		c.Decisions = append(c.Decisions, always(rules.RoleAgreed, nil, period.Date{}))
	}
	for i := range c.Baselines {
		c.Baselines[i].WTE = big.NewRat(rapid.Int64Range(0, 20).Draw(t, "baseline"), 10)
		for m := year.First(); !m.After(year.Last()); m = m.Add(1) {
			c.Employed = append(c.Employed, rules.Employed{Role: c.Baselines[i].Role, Month: m, WTE: big.NewRat(rapid.Int64Range(0, 40).Draw(t, "employed"), 10)})
		}
	}
	c.Settings = []rules.Setting{
		{Name: rules.SettingRounding, Value: rapid.SampledFrom([]string{rules.RoundingHalfUp, rules.RoundingDown}).Draw(t, "rounding"), CommissionerCode: rules.England},
	}
	return c
}

func TestAssessYear_NeverPaysTooMuch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawContext(t)
		lines := drawLines(t, c.Scheme, c.Year)
		year, err := rules.AssessYear(c, lines)
		require.NoError(t, err)
		again, err := rules.AssessYear(c, lines)
		require.NoError(t, err)
		require.Equal(t, year, again, "the same question has the same answer")

		paid := make(map[rules.Pot]money.Pence)
		for i := range year.Lines {
			line := &year.Lines[i]
			requireHolds(t, line)
			requireWithinMaximum(t, c, &lines[i], line)
			paid[line.Pot] += line.Payable
		}
		for _, pot := range year.Pots {
			require.Equal(t, paid[pot.Pot], pot.Paid)
			require.LessOrEqual(t, pot.PaidBefore+pot.Paid, max(pot.Usable, pot.PaidBefore))
		}
		requireOncePerDay(t, lines, year)
	})
}

// requireWithinMaximum recomputes the maximum of a line from the price alone.
func requireWithinMaximum(t *rapid.T, c *rules.Context, line *rules.ClaimLine, got *rules.Assessed) {
	if got.Payable == 0 {
		return
	}
	for _, price := range c.Scheme.Prices.Rows() {
		if price.ID != got.PriceID {
			continue
		}
		most := new(big.Rat).Mul(price.AnnualGBP, big.NewRat(int64(got.Days), 1))
		most.Quo(most, big.NewRat(int64(12*line.Month.Last().Time().Day()), 1))
		role, _ := c.Scheme.Role(line.Role)
		if wte := role.WTE(line.PerWeek); wte.Cmp(big.NewRat(1, 1)) < 0 {
			most.Mul(most, wte)
		}
		cost, err := line.Cost()
		require.NoError(t, err)
		share := new(big.Rat).Mul(cost.GBP(), price.Percent)
		share.Quo(share, big.NewRat(100, 1))
		for _, bound := range []*big.Rat{most, share} {
			rounded, err := money.RoundHalfUp(bound)
			require.NoError(t, err)
			require.LessOrEqual(t, got.Payable, rounded)
		}
		return
	}
	require.Fail(t, "no price", got.PriceID)
}

// requireOncePerDay holds that no two paid lines of an engagement have a day in common, and that on no day a person counts for
// more than one WTE over all paid lines of a month.
func requireOncePerDay(t *rapid.T, lines []rules.ClaimLine, year *rules.Year) {
	days := make(map[string]bool)
	people := make(map[string]*big.Rat)
	for i := range lines {
		line, got := &lines[i], &year.Lines[i]
		if got.AdmittedWTEDays != nil {
			key := line.Person + line.Month.String()
			if people[key] == nil {
				people[key] = new(big.Rat)
			}
			people[key].Add(people[key], got.AdmittedWTEDays)
			require.LessOrEqual(t, people[key].Cmp(big.NewRat(int64(line.Month.Last().Time().Day()), 1)), 0)
		}
		if got.Payable == 0 {
			continue
		}
		for day := line.Month.First(); !day.After(line.Month.Last()); day = day.AddDays(1) {
			if day.Before(line.Start) || (!line.End.IsZero() && day.After(line.End)) {
				continue
			}
			key := line.EngagementID + day.String()
			require.False(t, days[key], "%s is paid twice", key)
			days[key] = true
		}
	}
}

// Where nothing but the pots binds, the order of submission decides who is paid and not how much is.
func TestAssessYear_AnotherOrderPaysAsMuchOfEachPot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawContext(t)
		c.Employed, c.Scheme = nil, withoutLimits(c.Scheme)
		lines := drawLines(t, c.Scheme, c.Year)
		for i := range lines {
			lines[i].EngagementID, lines[i].Person = lines[i].ID, lines[i].ID
		}
		first, err := rules.AssessYear(c, lines)
		require.NoError(t, err)
		second, err := rules.AssessYear(c, rapid.Permutation(lines).Draw(t, "another order"))
		require.NoError(t, err)
		require.Equal(t, first.Pots, second.Pots)
		within := make(map[string]money.Pence)
		for _, line := range first.Lines {
			within[line.LineID] = line.WithinMaximum
		}
		for _, line := range second.Lines {
			require.Equal(t, within[line.LineID], line.WithinMaximum, "the first three tests do not depend on the order")
		}
	})
}

func withoutLimits(s *rules.Scheme) *rules.Scheme {
	out := *s
	out.Limits = nil
	return &out
}

// Where a number binds, another order admits the same working time, though of other people.
func TestAssessYear_AnotherOrderAdmitsAsMuchWorkingTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := contextFor(t, 2024)
		lines := drawLines(t, c.Scheme, c.Year)
		for i := range lines {
			lines[i].EngagementID, lines[i].Person, lines[i].Role, lines[i].Band, lines[i].Post = lines[i].ID, lines[i].ID, "EPN", "", ""
			lines[i].Training, lines[i].Month = "", month(t, "2024-06")
		}
		admitted := func(lines []rules.ClaimLine) *big.Rat {
			year, err := rules.AssessYear(c, lines)
			require.NoError(t, err)
			sum := new(big.Rat)
			for _, line := range year.Lines {
				if line.AdmittedWTEDays != nil {
					sum.Add(sum, line.AdmittedWTEDays)
				}
			}
			return sum
		}
		most := admitted(lines)
		require.LessOrEqual(t, most.Cmp(big.NewRat(30, 1)), 0)
		require.Equal(t, 0, most.Cmp(admitted(rapid.Permutation(lines).Draw(t, "another order"))))
	})
}

func TestAwardUnclaimed_SharesEveryPenny(t *testing.T) {
	t.Parallel()
	planning, _ := rules.PlanningFor(scheme(t).Planning, 2022)
	rapid.Check(t, func(t *rapid.T) {
		weighed := rapid.Bool().Draw(t, "weighed")
		var bids []rules.Bid
		var asked money.Pence
		for i := range rapid.IntRange(1, 8).Draw(t, "bids") {
			bid := rules.Bid{ID: fmt.Sprint(i), PCN: fmt.Sprintf("U%d", i), Asked: money.Pence(rapid.Int64Range(1, 100_000).Draw(t, "asked"))}
			if weighed {
				bid.Weight = big.NewRat(rapid.Int64Range(1, 60_000).Draw(t, "weight"), 1)
			}
			asked += bid.Asked
			bids = append(bids, bid)
		}
		available := money.Pence(rapid.Int64Range(0, 500_000).Draw(t, "available"))
		awards, left, err := rules.AwardUnclaimed(planning, available, bids, date(t, "2022-12-01"))
		require.NoError(t, err)
		sum := left
		for i, award := range awards {
			require.LessOrEqual(t, award.Awarded, award.Asked)
			require.Equal(t, bids[i].ID, award.BidID)
			sum += award.Awarded
		}
		require.Equal(t, available, sum)
		require.Equal(t, max(available-asked, 0), left, "nothing is left while a bid is not met")
	})
}

func FuzzValidateLine(f *testing.F) {
	f.Add("CC", "2025-04-01", "", "37.5", "3000.00", "300", "430.5", "0")
	f.Add("GP", "2025-04-01", "2025-04-30", "6", "1e3", "-1", "٣", "")
	f.Add("SPLW", "x", "2020-01-01", "1/3", "9999999999999999999", "0.001", "NaN", "1000.01")
	s, err := schemeForFuzz()
	if err != nil {
		f.Fatal(err)
	}
	at := period.FinancialYear(2025).First()
	f.Fuzz(func(t *testing.T, role, start, left, perWeek, salary, ni, pension, fees string) {
		hours, sessions := perWeek, ""
		if role == rules.GP {
			hours, sessions = sessions, hours
		}
		line, violations := rules.ValidateLine(s, rules.FormLine{
			ID: "L", Role: role, StartDate: start, LeftDate: left, HoursPerWeek: hours, SessionsPerWeek: sessions,
			MonthlySalary: salary, MonthlyNI: ni, MonthlyPension: pension, MonthlyFees: fees, OnPathway: rules.Yes,
		}, at, "QX")
		require.Equal(t, line == nil, len(violations) > 0)
		for _, v := range violations {
			require.NotEmpty(t, v.Field)
			require.NotEmpty(t, v.Reason)
			if strings.HasPrefix(v.Field, "monthly_") {
				require.NotContains(t, v.Description, "%!")
				for _, typed := range []string{salary, ni, pension, fees} {
					require.False(t, len(typed) > 5 && strings.Contains(v.Description, typed), "pay is repeated")
				}
			}
		}
		if line == nil {
			return
		}
		line.EngagementID, line.Person, line.Facts = "E", "P", eligibleFacts(at)
		got, err := rules.Assess(contextFor(t, 2025), *line)
		require.NoError(t, err, "what the form lets through can be assessed")
		requireHolds(t, got)
	})
}
