package rules_test

import (
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// fullTerms are the terms of a year with every figure that nobody published stated by the test.
func fullTerms(t require.TestingT, year period.FinancialYear) *rules.Terms {
	at, err := rules.TermsFor(scheme(t), rules.Query{Year: year, Commissioner: "QX"})
	require.NoError(t, err)
	at.Incomplete = nil
	fill := func(held *rules.Held, value *big.Rat) {
		if held.Value == nil || held.Value.Amount == nil || !held.Value.Confidence.Payable() {
			*held = stated(held.Key, value)
		}
	}
	fill(&at.Average, big.NewRat(50_000, 1))
	for i := range at.Indicators {
		it := &at.Indicators[i]
		if it.Kind == rules.Undefined {
			it.Kind, it.Direction, it.Confidence = rules.Percentage, rules.LowerBetter, working.Secondary
		}
		lower, upper := int64(40), int64(80)
		if it.Kind == rules.Standardised {
			lower, upper = 0, -1
		} else if it.Direction == rules.LowerBetter {
			lower, upper = 80, 40
		}
		fill(&it.Points, big.NewRat(int64(10+i), 1))
		fill(&it.Lower, big.NewRat(lower, 1))
		fill(&it.Upper, big.NewRat(upper, 1))
		fill(&it.Prevalent, big.NewRat(int64(i%2), 1))
		fill(&it.National, big.NewRat(int64(1+i), 3))
	}
	return at
}

func drawTerms(t *rapid.T) *rules.Terms {
	at := fullTerms(t, period.FinancialYear(rapid.IntRange(2020, 2025).Draw(t, "year")))
	at.Version.Rounding.Mode = rapid.SampledFrom([]money.Rounding{money.HalfUp, money.HalfEven, money.Floor}).Draw(t, "mode")
	at.Version.Rounding.PointsFirst = rapid.Bool().Draw(t, "points first")
	return at
}

func drawNetwork(t *rapid.T) *rules.Network {
	return &rules.Network{PCN: "U00001", ListSize: rules.Given{Value: big.NewRat(rapid.Int64Range(1, 200_000).Draw(t, "list"), 1)}}
}

func drawCounts(t *rapid.T, it *rules.IndicatorTerms) rules.Counts {
	n := func(name string, most int64) rules.Cell {
		if rapid.IntRange(0, 19).Draw(t, name+" state") == 0 {
			return rapid.SampledFrom([]rules.Cell{{}, {State: rules.Suppressed}}).Draw(t, name+" hidden")
		}
		return rules.Count(rapid.Int64Range(0, most).Draw(t, name))
	}
	c := rules.Counts{Denominator: n("denominator", 2_000), Answer: rules.Answer(rapid.IntRange(0, 2).Draw(t, "answer"))}
	c.Numerator = n("numerator", c.Denominator.N)
	if it.Kind == rules.Change || it.Kind == rules.Standardised {
		c.BaselineDenominator = n("baseline denominator", 2_000)
		c.BaselineNumerator = n("baseline numerator", c.BaselineDenominator.N)
	}
	return c
}

func drawYear(t *rapid.T, at *rules.Terms) []rules.IndicatorCounts {
	var out []rules.IndicatorCounts
	for i := range at.Indicators {
		if rapid.IntRange(0, 9).Draw(t, "given") > 0 {
			out = append(out, rules.IndicatorCounts{Code: at.Indicators[i].Code, Counts: drawCounts(t, &at.Indicators[i])})
		}
	}
	return out
}

// requireHolds holds what is true of every result.
func requireHolds(t require.TestingT, it *rules.IndicatorTerms, r *rules.Result) {
	for _, p := range []*rules.Payment{&r.Measured, &r.Due} {
		if !p.Known() {
			require.Nil(t, p.Working)
			require.Zero(t, p.Amount)
			require.NotEmpty(t, p.Refused.Reason)
			continue
		}
		require.GreaterOrEqual(t, p.Points.Sign(), 0)
		if p.Points.Sign() > 0 {
			require.LessOrEqual(t, p.Points.Cmp(it.Points.Value.Amount), 0)
		}
		require.Equal(t, p.Working.Confidence(), p.Confidence)
		requireGives(t, p.Working, p.Amount)
	}
	for _, test := range r.Tests {
		require.NotEmpty(t, test.Test.String())
		if test.Outcome == rules.Failed || test.Outcome == rules.Waits {
			require.NotEmpty(t, test.Reasons)
		}
	}
}

func TestAssessYear_AddsUpWithinItsPoints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		counts := drawYear(t, at)
		year, err := rules.AssessYear(at, n, counts)
		require.NoError(t, err)
		var due, measured money.Pence
		points := new(big.Rat)
		for i := range year.Results {
			r := &year.Results[i]
			requireHolds(t, &at.Indicators[i], r)
			due, measured = due+r.Due.Amount, measured+r.Measured.Amount
			if r.Due.Points != nil {
				points.Add(points, r.Due.Points)
			}
			if r.Status == rules.Suspended || r.Status == rules.Deferred || r.Status == rules.Retired {
				require.Zero(t, r.Due.Amount)
				require.Zero(t, r.Due.Points.Sign())
			}
		}
		require.Equal(t, year.Due, due)
		require.Equal(t, year.Measured, measured)
		if year.Working != nil {
			requireGives(t, year.Working, year.Due)
			require.Equal(t, year.Confidence, year.Working.Confidence())
		}
		require.Zero(t, points.Cmp(year.Points))
		require.LessOrEqual(t, points.Cmp(year.Available), 0)

		again, err := rules.AssessYear(at, n, rapid.Permutation(counts).Draw(t, "another order"))
		require.NoError(t, err)
		require.Equal(t, year, again, "the order of the counts changes nothing")
	})
}

// A patient more in the numerator never earns less where higher is better, nor more where lower is.
func TestAssess_IsMonotoneInTheAchievedDirection(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		it := &at.Indicators[rapid.IntRange(0, len(at.Indicators)-1).Draw(t, "indicator")]
		if it.Kind == rules.Binary {
			return
		}
		c := drawCounts(t, it)
		if c.Numerator.State != rules.Stated || c.Denominator.State != rules.Stated {
			return
		}
		before, err := rules.Assess(at, it, n, &c)
		require.NoError(t, err)
		c.Numerator.N += rapid.Int64Range(1, 50).Draw(t, "more")
		after, err := rules.Assess(at, it, n, &c)
		require.NoError(t, err)
		if !before.Measured.Known() || !after.Measured.Known() {
			return
		}
		order := after.Measured.Points.Cmp(before.Measured.Points)
		if it.Direction == rules.LowerBetter {
			order = -order
		}
		require.GreaterOrEqual(t, order, 0)
		if it.Direction == rules.HigherBetter {
			require.GreaterOrEqual(t, after.Measured.Amount, before.Measured.Amount)
		} else {
			require.LessOrEqual(t, after.Measured.Amount, before.Measured.Amount)
		}
	})
}

// List × prevalence is the network's register over the average register, whatever the list.
func TestAssess_ListAndPrevalenceCancelTheList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := fullTerms(t, 2021)
		it, _ := at.Find("VI-01")
		it.National = stated(it.National.Key, big.NewRat(rapid.Int64Range(1, 5_000).Draw(t, "national"), 100))
		at.Average = stated(at.Average.Key, big.NewRat(rapid.Int64Range(1, 9_999_999).Draw(t, "average"), 100))
		register := rapid.Int64Range(1, 100_000).Draw(t, "register")
		got, err := rules.Assess(at, it, drawNetwork(t), &rules.Counts{Numerator: rules.Count(register), Denominator: rules.Count(register)})
		require.NoError(t, err)
		average := new(big.Rat).Mul(at.Average.Value.Amount, it.National.Value.Amount)
		average.Quo(average, big.NewRat(100, 1))
		product := new(big.Rat).Mul(got.ListSize, got.Prevalence)
		require.Zero(t, product.Cmp(new(big.Rat).Quo(big.NewRat(register, 1), average)))
	})
}

func TestAssess_AnOverrideNeverChangesWhatIsMeasured(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		i := rapid.IntRange(0, len(at.Indicators)-1).Draw(t, "indicator")
		it := at.Indicators[i]
		c := drawCounts(t, &it)
		it.Override = nil
		plain, err := rules.Assess(at, &it, n, &c)
		require.NoError(t, err)
		require.Equal(t, plain.Measured, plain.Due)
		it.Override = &rules.Override{
			Figure: rules.Figure{ID: "O", Confidence: working.Official}, Code: it.Code,
			Share: rules.Given{Value: big.NewRat(rapid.Int64Range(0, 4).Draw(t, "share"), 4)},
		}
		overridden, err := rules.Assess(at, &it, n, &c)
		require.NoError(t, err)
		require.Equal(t, plain.Measured, overridden.Measured)
		require.Equal(t, plain.Measure, overridden.Measure)
		requireHolds(t, &it, overridden)
		if overridden.Status == rules.Overridden && overridden.Due.Known() {
			want := new(big.Rat).Mul(it.Override.Share.Value, it.Points.Value.Amount)
			if at.Version.Rounding.PointsFirst {
				want = money.Round(want, at.Version.Rounding.Mode, 2)
			}
			require.Zero(t, want.Cmp(overridden.Due.Points))
		}
	})
}

// Which row governs does not depend on the order in which rows are loaded.
func TestTermsFor_DoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	plain := scheme(t)
	day := date(t, "2025-04-01")
	rapid.Check(t, func(t *rapid.T) {
		values := make([]rules.Value, rapid.IntRange(2, 6).Draw(t, "rows"))
		runs := make([]rules.Run, len(values))
		for i := range values {
			figure := rules.Figure{
				ID: string(rune('A' + i)), KnownFrom: day.AddDays(rapid.IntRange(0, 2).Draw(t, "known")),
				CommissionerCode: rapid.SampledFrom([]string{rules.England, "QX", "QY"}).Draw(t, "whose"),
				Confidence:       rapid.SampledFrom([]working.Confidence{working.Official, working.Inferred, working.Candidate, working.Unknown}).Draw(t, "confidence"),
			}
			values[i] = rules.Value{Figure: figure, Key: rules.Key{Year: 2025, Field: rules.AverageField}, Amount: big.NewRat(int64(i+1), 1)}
			runs[i] = rules.Run{Figure: figure, Year: 2025, Kind: rules.PaymentRun, ApproveBy: day, PayOn: day.AddDays(i)}
		}
		q := rules.Query{Year: 2025, Commissioner: "QX"}
		governs := func(values []rules.Value, runs []rules.Run) (string, string) {
			s := *plain
			s.Values, s.Calendar = values, runs
			at, err := rules.TermsFor(&s, q)
			require.NoError(t, err)
			run, err := rules.RunFor(&s, q, day)
			if err != nil {
				run = new(rules.Run)
			}
			if at.Average.Value == nil {
				return "", run.ID
			}
			return at.Average.Value.ID, run.ID
		}
		value, run := governs(values, runs)
		again, alsoRun := governs(rapid.Permutation(values).Draw(t, "another order"), rapid.Permutation(runs).Draw(t, "of runs"))
		require.Equal(t, value, again)
		require.Equal(t, run, alsoRun)
		for i := range values {
			if values[i].ID == value && values[i].Confidence.Payable() {
				require.Equal(t, value, run)
			}
		}
	})
}

func TestSumPractices_DoesNotDependOnTheOrder(t *testing.T) {
	t.Parallel()
	at := fullTerms(t, 2021)
	it, _ := at.Find("VI-01")
	rapid.Check(t, func(t *rapid.T) {
		rows := make([]rules.PracticeCounts, rapid.IntRange(0, 12).Draw(t, "practices"))
		var members []rules.Member
		var met, left int64
		for i := range rows {
			rows[i] = rules.PracticeCounts{
				Practice: string(rune('A' + i)),
				Counts:   rules.Counts{Numerator: rules.Count(rapid.Int64Range(0, 99).Draw(t, "numerator")), Denominator: rules.Count(100)},
			}
			rows[i].Counts.Adjustments = []rules.FieldCount{{Field: rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "field"), Cell: rules.Count(1)}}
			if rapid.Bool().Draw(t, "of a register") {
				rows[i].Counts.Denominator, rows[i].Counts.Register = rules.Cell{}, rules.Count(101)
			}
			if pcn := rapid.SampledFrom([]string{"", "U1", "U2"}).Draw(t, "network"); pcn != "" {
				members = append(members, rules.Member{Practice: rows[i].Practice, PCN: pcn})
				met, left = met+rows[i].Counts.Numerator.N, left+100
			}
		}
		sums, dropped, err := rules.SumPractices(&it.Indicator, members, rows, working.Origin{})
		require.NoError(t, err)
		n := len(dropped)
		for _, sum := range sums {
			met, left = met-sum.Counts.Numerator.N, left-sum.Counts.Denominator.N
			n += len(sum.Practices)
			require.Empty(t, sum.Incomplete)
			got, err := rules.Assess(at, it, &rules.Network{}, &sum.Counts)
			require.NoError(t, err)
			require.Equal(t, sum.Counts.Denominator.N, got.Measure.Denominator.Num().Int64(), "register and fields cover the same practices")
		}
		require.Zero(t, met, "no count is lost or made")
		require.Zero(t, left)
		require.Equal(t, len(rows), n)
		again, alsoDropped, err := rules.SumPractices(&it.Indicator, rapid.Permutation(members).Draw(t, "another order"),
			rapid.Permutation(rows).Draw(t, "and of rows"), working.Origin{})
		require.NoError(t, err)
		require.Equal(t, sums, again)
		require.Equal(t, dropped, alsoDropped)
	})
}

// Paying the differences leads from any year to any other.
func TestCorrect_LeadsFromWhatWasPaidToTheResult(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		year, err := rules.AssessYear(at, n, drawYear(t, at))
		require.NoError(t, err)
		paid := []rules.Paid{{Code: "GONE", Amount: money.Pence(rapid.Int64Range(-500, 500).Draw(t, "gone"))}}
		for _, r := range year.Results {
			if rapid.Bool().Draw(t, "paid") {
				paid = append(paid, rules.Paid{Code: r.Code, Amount: money.Pence(rapid.Int64Range(0, 900_000).Draw(t, "amount"))})
			}
		}
		lines, err := rules.Correct(year, paid)
		if !year.Whole() {
			require.Equal(t, rules.ReasonResultIncomplete, fault.ReasonOf(err))
			return
		}
		require.NoError(t, err)
		var sum money.Pence
		for _, p := range paid {
			sum += p.Amount
		}
		for _, line := range lines {
			require.NotZero(t, line.Amount)
			requireGives(t, line.Working, line.Amount)
			sum += line.Amount
		}
		require.Equal(t, year.Due, sum)
	})
}

// The patients that a distance names earn what it says, and one fewer does not.
func TestDistances_AreTheLeastThatReachesAThreshold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		at.Version.Rounding.PointsFirst = false
		counts := drawYear(t, at)
		distances, err := rules.Distances(at, n, counts)
		require.NoError(t, err)
		for _, d := range distances {
			if !d.Known() {
				continue
			}
			it, _ := at.Find(d.Code)
			i := slices.IndexFunc(counts, func(c rules.IndicatorCounts) bool { return c.Code == d.Code })
			if it.Kind == rules.Binary || i < 0 {
				continue
			}
			c := counts[i].Counts
			points := func(steps int64) *big.Rat {
				moved := c
				if it.Direction == rules.LowerBetter {
					steps = -steps
				}
				moved.Numerator.N += steps
				r, err := rules.Assess(at, it, n, &moved)
				require.NoError(t, err)
				return r.Due.Points
			}
			require.Zero(t, points(d.ToAll).Cmp(it.Points.Value.Amount))
			require.Positive(t, points(d.ToFirst).Sign())
			if d.ToAll > 0 {
				require.Negative(t, points(d.ToAll-1).Cmp(it.Points.Value.Amount))
			}
			if d.ToFirst > 0 {
				require.Zero(t, points(d.ToFirst-1).Sign())
			}
			require.True(t, d.WorthAll.Known())
			require.GreaterOrEqual(t, d.WorthAll.Amount, d.WorthFirst.Amount)
		}
	})
}

// A course never reaches payment without two declarations, a commitment and a third pair of eyes, whatever the steps.
func TestAdvance_NeverApprovesAlone(t *testing.T) {
	t.Parallel()
	onward := map[rules.State]rules.Event{
		rules.Open:                 step(rules.Aggregated, theSystem),
		rules.AwaitingProvider:     step(rules.ProviderDeclares, declarer),
		rules.AwaitingCommissioner: step(rules.CommissionerDeclares, preparer),
		rules.AwaitingFinancial:    step(rules.FinanciallyApproves, approver),
	}
	approved := 0
	rapid.Check(t, func(t *rapid.T) {
		c := rules.Course{Year: 2025, State: rules.Open}
		people := []string{"", "a", "b", "c", "d", "e"}
		made := make(map[string]bool) // kept beside the course, so that it cannot lose one
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			e := rules.Event{
				Step: rapid.SampledFrom([]rules.Step{
					rules.Aggregated, rules.ProviderDeclares, rules.CommissionerDeclares, rules.FinanciallyApproves, rules.Commits, rules.DataChanged,
					rules.Appeals, rules.AppealDecided,
				}).Draw(t, "step"),
				By: rules.Actor{Person: rapid.SampledFrom(people).Draw(t, "person"), Nominated: true, Role: rapid.SampledFrom([]rules.Role{
					rules.RolePCNManager, rules.RolePreparer, rules.RoleApprover, rules.RoleSystem,
				}).Draw(t, "role")},
				ResultID: c.ResultID, Cause: rules.DataAmended, Reason: "because", On: date(t, "2026-03-25").AddDays(i),
				Verdict: rapid.SampledFrom([]rules.Verdict{rules.Upheld, rules.Dismissed}).Draw(t, "verdict"),
			}
			if likely, known := onward[c.State]; known && rapid.IntRange(0, 3).Draw(t, "onward") > 0 {
				e.Step, e.By.Role = likely.Step, likely.By.Role
				if c.Commitment == nil {
					e.Step, e.By.Role = rules.Commits, rules.RolePCNManager
				}
			}
			result := e.Step == rules.Aggregated || e.Step == rules.DataChanged
			if result {
				e.ResultID = rapid.SampledFrom([]string{"", c.ResultID, string(rune('0' + i))}).Draw(t, "result")
				e.Makers = rapid.SliceOfN(rapid.SampledFrom(people), 0, 2).Draw(t, "makers")
			}
			e.Commitment = rules.Commitment{Person: e.By.Person, On: e.On, Year: 2025, Text: "more clinics"}
			next, err := rules.Advance(c, e)
			if err != nil {
				require.Equal(t, c, next, "a refused step changes nothing")
				require.NotEmpty(t, fault.ReasonOf(err))
				continue
			}
			require.NotEqual(t, rules.Approved, c.State)
			if result || e.Step == rules.AppealDecided {
				made[e.By.Person] = true
			}
			if result {
				require.NotEmpty(t, next.ResultID)
				require.NotEqual(t, c.ResultID, next.ResultID)
				for _, maker := range e.Makers {
					made[maker] = true
				}
			}
			if e.Step != rules.Commits && e.Step != rules.DataChanged {
				require.True(t, e.On.After(date(t, "2026-03-31")), "nothing is declared of a year that is not over")
			}
			if e.Step == rules.DataChanged {
				require.Empty(t, next.Provider.Person)
				require.NotContains(t, []rules.State{rules.AwaitingCommissioner, rules.AwaitingFinancial}, next.State)
			}
			c = next
		}
		if c.State != rules.Approved {
			return
		}
		approved++
		require.NotNil(t, c.Commitment)
		require.NotEmpty(t, c.Provider.Person)
		require.NotEqual(t, c.Provider.Person, c.Commissioner.Person)
		require.NotContains(t, []string{"", c.Provider.Person, c.Commissioner.Person}, c.Financial.Person)
		require.NotContains(t, made, c.Financial.Person)
	})
	require.Positive(t, approved, "some courses end in payment")
}

func FuzzParseCell(f *testing.F) {
	for _, seed := range []string{"", "*", "0", "14", " 7 ", "-1", "1.5", "1e3", "٣", "999999999999999", "9999999999999999", "**"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cell, err := rules.ParseCell(text)
		if err != nil {
			require.Equal(t, rules.ReasonCountMalformed, fault.ReasonOf(err))
			return
		}
		require.GreaterOrEqual(t, cell.N, int64(0))
		again, err := rules.ParseCell(cell.String())
		require.NoError(t, err)
		require.Equal(t, cell, again)
	})
}

// One network's year of 36 indicators, every figure stated.
func BenchmarkAssessYear_OneNetwork(b *testing.B) {
	at, err := rules.TermsFor(scheme(b), rules.Query{Year: 2022, Commissioner: "QX", Known: date(b, "2022-06-01")})
	require.NoError(b, err)
	full := fullTerms(b, 2022)
	full.Version, full.Price, full.Indicators = at.Version, at.Price, full.Indicators[:36]
	n := &rules.Network{PCN: "U00001", ListSize: rules.Given{Value: big.NewRat(48_613, 1)}}
	var counts []rules.IndicatorCounts
	for i := range full.Indicators {
		it := &full.Indicators[i]
		it.Status = rules.Active
		counts = append(counts, rules.IndicatorCounts{Code: it.Code, Counts: rules.Counts{
			Numerator: rules.Count(int64(601 + i)), Denominator: rules.Count(1_049), Answer: rules.Yes,
			BaselineNumerator: rules.Count(600), BaselineDenominator: rules.Count(1_049),
		}})
	}
	b.ReportAllocs()
	for b.Loop() {
		year, err := rules.AssessYear(full, n, counts)
		if err != nil || !year.Whole() {
			b.Fatal(err)
		}
	}
}
