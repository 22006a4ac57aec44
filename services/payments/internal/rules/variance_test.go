package rules

import (
	"math"
	"math/big"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

var may = period.NewMonth(2025, time.May)

// varianceExamples reads the examples, all of PCN U1.
func varianceExamples(t testing.TB) (names []string, examples map[string]*VarianceInput) {
	t.Helper()
	examples = make(map[string]*VarianceInput)
	for _, row := range readTable(t, "variance.csv") {
		name := row["example"]
		if examples[name] == nil {
			examples[name] = &VarianceInput{Month: may}
			names = append(names, name)
		}
		in := examples[name]
		if row["side"] == "entitlement" {
			from := monthOf(t, row["month"])
			in.Entitlements = append(in.Entitlements, Entitlement{
				PCNCode: "U1", PaymentCode: row["payment"], Amount: penceOf(t, row["amount"]), From: from, To: from.Add(11),
				Instalments: numberOf(t, row["instalments"]), Convention: row["convention"],
			})
			continue
		}
		line := VarianceLine{
			LineID: "L" + strconv.Itoa(len(in.Lines)+len(in.Previous)+1), PCNCode: "U1", PracticeCode: row["practice"], PayeeCode: row["payee"],
			PaymentCode: row["payment"], Item: row["item"], ForMonth: monthOf(t, row["month"]), Amount: penceOf(t, row["amount"]),
			Adjusts: row["adjusts"], Cause: row["cause"], Basis: basis(t, row),
		}
		if row["side"] == "this" {
			in.Lines = append(in.Lines, line)
		} else {
			in.Previous = append(in.Previous, line)
		}
	}
	return names, examples
}

func TestVariance_Examples(t *testing.T) {
	t.Parallel()
	names, examples := varianceExamples(t)
	records := [][]string{{"example", "payment", "this", "last", "change", "expected", "difference", "of", "cause", "amount", "sentence"}}
	for _, name := range names {
		report, err := Variance(examples[name])
		require.NoError(t, err, name)
		for _, m := range report.Movements {
			expected, difference := "", ""
			if m.Entitled {
				expected, difference = m.Expected.Plain(), m.Difference.Plain()
			}
			head := []string{name, m.PaymentCode, m.This.Plain(), m.Last.Plain(), m.Change.Plain(), expected, difference}
			add := func(of string, effects []Effect) {
				for _, e := range effects {
					records = append(records, append(append([]string(nil), head...), of, string(e.Cause), e.Amount.Plain(), e.Sentence))
				}
			}
			add("change", m.Effects)
			add("difference", m.Reasons)
		}
	}
	holdGolden(t, "variance_movements.csv", records)
}

func TestVariance_AddsUpByPaymentAndCause(t *testing.T) {
	t.Parallel()
	report, err := Variance(&VarianceInput{
		Month: may,
		Lines: []VarianceLine{
			{LineID: "a", PCNCode: "U2", PaymentCode: "CORE", ForMonth: may, Amount: 100},
			{LineID: "b", PCNCode: "U1", PaymentCode: "CORE", ForMonth: may, Amount: 60},
			{LineID: "c", PCNCode: "U1", PaymentCode: "BEDS", ForMonth: may, Amount: 7},
			{LineID: "d", PCNCode: "U1", PaymentCode: "CORE", ForMonth: may.Add(-2), Amount: -20, Adjusts: "x", Cause: "RATE"},
		},
		Previous: []VarianceLine{
			{LineID: "e", PCNCode: "U1", PaymentCode: "CORE", ForMonth: may.Add(-1), Amount: 50},
			{LineID: "f", PCNCode: "U3", PaymentCode: "BEDS", ForMonth: may.Add(-1), Amount: 100},
		},
		Entitlements: []Entitlement{
			{PCNCode: "U1", PaymentCode: "CORE", Amount: 720, From: may.Add(-1), To: may.Add(10), Instalments: 12},
			{PCNCode: "U1", PaymentCode: "CORE", Amount: 720, From: may.Add(-13), To: may.Add(-2), Instalments: 12},
		},
	})
	require.NoError(t, err)
	assert.Equal(t, VarianceTotals{
		This: 147, Last: 150, Change: -3, Expected: 60, Difference: -20, Movements: 4, WithoutEntitlement: 3,
		Causes:  []CauseTotal{{MovedByCorrection, -20}, {MovedByJoiner, 107}, {MovedByLeaver, -100}, {MovedByOther, 10}},
		Reasons: []CauseTotal{{MovedByCorrection, -20}},
	}, report.Totals)
	assert.Equal(t, []PaymentVariance{
		{"BEDS", VarianceTotals{This: 7, Last: 100, Change: -93, Movements: 2, WithoutEntitlement: 2, Causes: []CauseTotal{{MovedByJoiner, 7}, {MovedByLeaver, -100}}}},
		{"CORE", VarianceTotals{
			This: 140, Last: 50, Change: 90, Expected: 60, Difference: -20, Movements: 2, WithoutEntitlement: 1,
			Causes:  []CauseTotal{{MovedByCorrection, -20}, {MovedByJoiner, 100}, {MovedByOther, 10}},
			Reasons: []CauseTotal{{MovedByCorrection, -20}},
		}},
	}, report.Payments)
	var order []string
	for _, m := range report.Largest(3) {
		order = append(order, m.PCNCode+" "+m.PaymentCode)
	}
	assert.Equal(t, []string{"U2 CORE", "U3 BEDS", "U1 CORE"}, order)
	assert.Len(t, report.Largest(9), 4)
	assert.Empty(t, report.Largest(-1))
	assert.Equal(t, "1 correction this month of 2025-03 (RATE): -£0.20. "+
		"The payment went from £0.50 to £0.60, and the figures behind it cannot be compared: +£0.10.", report.Largest(3)[2].Sentence())
}

func TestVariance_RefusesWhatCannotBeCompared(t *testing.T) {
	t.Parallel()
	line := VarianceLine{LineID: "a", PaymentCode: "CORE", ForMonth: may, Amount: 1}
	with := func(change func(*VarianceLine)) *VarianceInput {
		changed := line
		change(&changed)
		return &VarianceInput{Month: may, Previous: []VarianceLine{changed}}
	}
	entitlement := Entitlement{PCNCode: "U1", PaymentCode: "CORE", Amount: 1, From: may, To: may, Instalments: 1}
	entitled := func(change func(*Entitlement)) *VarianceInput {
		changed := entitlement
		change(&changed)
		return &VarianceInput{Month: may, Entitlements: []Entitlement{changed}}
	}
	cases := []struct {
		name, reason string
		in           *VarianceInput
	}{
		{"no month", ReasonVarianceLineInvalid, new(VarianceInput)},
		{"no identifier", ReasonVarianceLineInvalid, with(func(l *VarianceLine) { l.LineID = "" })},
		{"a line twice", ReasonVarianceLineInvalid, &VarianceInput{Month: may, Lines: []VarianceLine{line, line}}},
		{"no payment", ReasonVarianceLineInvalid, with(func(l *VarianceLine) { l.PaymentCode = "" })},
		{"no month of the line", ReasonVarianceLineInvalid, with(func(l *VarianceLine) { l.ForMonth = period.Month{} })},
		{"too much", money.ReasonOverflow, with(func(l *VarianceLine) { l.Amount = math.MaxInt64 })},
		{"an entitlement without a payment", ReasonEntitlementInvalid, entitled(func(e *Entitlement) { e.PaymentCode = "" })},
		{"an entitlement without instalments", ReasonEntitlementInvalid, entitled(func(e *Entitlement) { e.Instalments = 0 })},
		{"an entitlement that ends before it begins", ReasonEntitlementInvalid, entitled(func(e *Entitlement) { e.To = may.Add(-1) })},
		{"an entitlement beyond all measure", money.ReasonOverflow, entitled(func(e *Entitlement) { e.Amount = math.MinInt64 })},
		{"an entitlement twice", ReasonEntitlementTwice, &VarianceInput{Month: may, Entitlements: []Entitlement{entitlement, entitlement}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Variance(c.in)
			require.Equal(t, c.reason, fault.ReasonOf(err))
		})
	}
}

// drawVariance draws lines of few PCNs, practices and payments, most of them with figures that give their amount.
func drawVariance(t *rapid.T) *VarianceInput {
	in := &VarianceInput{Month: may}
	draw := func(side string, month period.Month) []VarianceLine {
		var out []VarianceLine
		for n := range rapid.IntRange(0, 8).Draw(t, side) {
			line := VarianceLine{
				LineID: side + strconv.Itoa(n), PCNCode: rapid.SampledFrom([]string{"U1", "U2"}).Draw(t, "pcn"),
				PracticeCode: rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "practice"), PayeeCode: rapid.SampledFrom([]string{"P", "Q"}).Draw(t, "payee"),
				PaymentCode: rapid.SampledFrom([]string{"CORE", "BEDS"}).Draw(t, "payment"), ForMonth: month,
				Amount: money.Pence(rapid.Int64Range(-1000, 1_000_000).Draw(t, "amount")),
			}
			if rapid.Bool().Draw(t, "has a basis") {
				line.Basis = drawBasis(t)
				amount, err := line.Basis.instalment()
				require.NoError(t, err)
				line.Amount = amount + money.Pence(rapid.SampledFrom([]int64{0, 0, 0, 1, -1, 40}).Draw(t, "off"))
			}
			if rapid.IntRange(0, 3).Draw(t, "corrects") == 0 {
				line.ForMonth = month.Add(-rapid.IntRange(0, 3).Draw(t, "earlier"))
				line.Adjusts = rapid.SampledFrom([]string{"", "x"}).Draw(t, "adjusts")
				line.Cause = rapid.SampledFrom([]string{"", "RATE", "POPULATION"}).Draw(t, "cause")
			}
			out = append(out, line)
		}
		return out
	}
	in.Lines = draw("this", may)
	if in.First = rapid.IntRange(0, 5).Draw(t, "first") == 0; !in.First {
		in.Previous = draw("last", may.Add(-1))
	}
	for i, pcn := range []string{"U1", "U2", "U3"} {
		if rapid.Bool().Draw(t, "entitled") {
			in.Entitlements = append(in.Entitlements, Entitlement{
				PCNCode: pcn, PaymentCode: "CORE", Amount: money.Pence(rapid.Int64Range(0, 10_000_000).Draw(t, "entitlement")),
				From: may.Add(-i), To: may.Add(11 - i), Instalments: rapid.IntRange(1, 12).Draw(t, "instalments"),
				Convention: rapid.SampledFrom([]string{"", byPCNAnnual, byResidualLast}).Draw(t, "convention"),
			})
		}
	}
	return in
}

func drawBasis(t *rapid.T) *LineBasis {
	b := &LineBasis{
		Instalments: rapid.SampledFrom([]int{12, 12, 12, 6, 1}).Draw(t, "instalments"),
		Convention:  rapid.SampledFrom([]string{byPCNAnnual, byPCNAnnual, byPCNMonthlyRate, byPracticeSum, byResidualLast, ""}).Draw(t, "convention"),
	}
	pers := []string{"registered_patient", "adjusted_patient"}[:rapid.IntRange(1, 2).Draw(t, "components")]
	for _, per := range pers {
		b.Factors = append(b.Factors, LineFactor{
			RateGBP: big.NewRat(rapid.Int64Range(0, 3000).Draw(t, "rate"), 1000), Per: per, Quantity: big.NewRat(rapid.Int64Range(0, 5_000_000).Draw(t, "list"), 100),
		})
	}
	if rapid.IntRange(0, 4).Draw(t, "has a share") == 0 {
		b.Share = big.NewRat(rapid.Int64Range(0, 4).Draw(t, "share"), 4)
	}
	return b
}

// requireMovements holds that effects add up to movements and movements to the lines, and that rounding is a penny a line.
func requireMovements(t require.TestingT, in *VarianceInput, report *VarianceReport) {
	var this, last, change money.Pence
	lines := make(map[movementKey]int)
	for _, line := range in.Lines {
		this += line.Amount
		lines[movementKey{line.PCNCode, line.PaymentCode}]++
	}
	for _, line := range in.Previous {
		last += line.Amount
	}
	for _, m := range report.Movements {
		require.Equal(t, m.This-m.Last, m.Change)
		var effects, reasons money.Pence
		for _, e := range m.Effects {
			effects += e.Amount
			require.NotEmpty(t, e.Sentence)
			require.True(t, !in.First || e.Cause == MovedByFirst || e.Cause == MovedByCorrection)
			if e.Cause == MovedByRounding {
				require.LessOrEqual(t, distance(e.Amount, 0), money.Pence(1))
			}
		}
		require.Equal(t, m.Change, effects)
		for _, e := range m.Reasons {
			reasons += e.Amount
		}
		require.Equal(t, m.Difference, reasons)
		if m.Entitled {
			require.Equal(t, m.This-m.Expected, m.Difference)
		}
		change += m.Change
	}
	require.Equal(t, this-last, change)
	require.Equal(t, this, report.Totals.This)
	require.Equal(t, last, report.Totals.Last)
	var causes, payments money.Pence
	for _, c := range report.Totals.Causes {
		causes += c.Amount
	}
	for _, p := range report.Payments {
		payments += p.Change
	}
	var reasons money.Pence
	for _, c := range report.Totals.Reasons {
		reasons += c.Amount
	}
	require.Equal(t, report.Totals.Difference, reasons)
	require.Equal(t, change, causes)
	require.Equal(t, change, payments)
}

func TestVariance_EffectsAddUpInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawVariance(t)
		report, err := Variance(in)
		require.NoError(t, err)
		requireMovements(t, in, report)
		again, err := Variance(&VarianceInput{
			Month: may, First: in.First, Lines: permuted(t, "this in another order", in.Lines), Previous: permuted(t, "last in another order", in.Previous),
			Entitlements: permuted(t, "entitlements in another order", in.Entitlements),
		})
		require.NoError(t, err)
		require.Equal(t, report, again)
	})
}

// TestVariance_TellsRateFromList holds that of one line whose rate and list changed the effects are those of the rate on the old
// list and of the list at the new rate, to the penny that rounding can shift between them, and nothing else.
func TestVariance_TellsRateFromList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		make := func(label string) (VarianceLine, *LineFactor) {
			b := &LineBasis{Instalments: 12, Convention: byPCNAnnual, Factors: []LineFactor{{
				RateGBP: big.NewRat(rapid.Int64Range(1, 3000).Draw(t, label+" rate"), 1000), Per: "registered_patient",
				Quantity: big.NewRat(rapid.Int64Range(1, 60_000).Draw(t, label+" list"), 1),
			}}}
			amount, err := b.instalment()
			require.NoError(t, err)
			return VarianceLine{LineID: label, PCNCode: "U", PaymentCode: "CORE", Amount: amount, Basis: b}, &b.Factors[0]
		}
		this, now := make("this")
		last, was := make("last")
		this.ForMonth, last.ForMonth = may, may.Add(-1)
		report, err := Variance(&VarianceInput{Month: may, Lines: []VarianceLine{this}, Previous: []VarianceLine{last}})
		require.NoError(t, err)
		exact := map[MovementCause]*big.Rat{
			MovedByRate: quotient(product(subtractRats(now.RateGBP, was.RateGBP), was.Quantity), 12),
			MovedByList: quotient(product(subtractRats(now.Quantity, was.Quantity), now.RateGBP), 12),
		}
		for _, e := range report.Movements[0].Effects {
			require.Contains(t, exact, e.Cause)
			off := subtractRats(e.Amount.GBP(), exact[e.Cause])
			require.LessOrEqual(t, off.Abs(off).Cmp(big.NewRat(1, 100)), 0, "%s is %s", e.Sentence, exact[e.Cause].FloatString(4))
		}
	})
}

func FuzzVariance(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("lines of any month, with any figures behind them"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		in := drawVariance(t)
		for i := range in.Lines {
			if rapid.IntRange(0, 5).Draw(t, "beyond measure") == 0 && in.Lines[i].Basis != nil {
				in.Lines[i].Basis.Factors[0].Quantity = new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(3), uint(rapid.IntRange(0, 200).Draw(t, "bits"))))
			}
		}
		report, err := Variance(in)
		require.NoError(t, err)
		requireMovements(t, in, report)
	}))
}

// BenchmarkVariance compares 17,000 lines with as many of the month before, of which every list changed.
func BenchmarkVariance(b *testing.B) {
	in := &VarianceInput{Month: may}
	add := func(lines *[]VarianceLine, i int, month period.Month, list int64) {
		line := VarianceLine{
			LineID: strconv.Itoa(i), PCNCode: "U" + strconv.Itoa(i/10), PaymentCode: "P" + strconv.Itoa(i%10), ForMonth: month,
			Basis: &LineBasis{Instalments: 12, Convention: byPCNAnnual, Factors: []LineFactor{{
				RateGBP: big.NewRat(3, 2), Per: "registered_patient", Quantity: big.NewRat(list, 1),
			}}},
		}
		line.Amount, _ = line.Basis.instalment()
		*lines = append(*lines, line)
	}
	for i := range 17_000 {
		add(&in.Lines, i, may, int64(53_560+i))
		add(&in.Previous, i, may.Add(-1), int64(53_560))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Variance(in); err != nil {
			b.Fatal(err)
		}
	}
}
