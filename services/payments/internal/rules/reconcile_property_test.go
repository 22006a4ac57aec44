package rules

import (
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// drawReconcile draws few payees, payments, months and amounts, so that many things may be taken for one another.
func drawReconcile(t *rapid.T) *ReconcileInput {
	codes := func(label string, options ...string) string { return rapid.SampledFrom(options).Draw(t, label) }
	april := period.NewMonth(2025, time.April)
	in := new(ReconcileInput)
	for n := range rapid.IntRange(0, 14).Draw(t, "lines") {
		month := april.Add(rapid.IntRange(0, 4).Draw(t, "month"))
		line := ExpectedLine{
			LineID: "L" + strconv.Itoa(n), Reference: codes("reference", "", "", "R1", "R2"), PayeeCode: codes("payee", "P", "P", "Q"), PCNCode: "U",
			PracticeCode: codes("practice", "", "A", "B"), PaymentCode: codes("payment", "CORE", "CORE", "BEDS"), ScheduleMonth: month,
			ForMonth: month.Add(-rapid.IntRange(0, 2).Draw(t, "earlier")), ReconcileOnly: rapid.Bool().Draw(t, "reconcile only"),
		}
		if rapid.Bool().Draw(t, "has a basis") {
			line.Basis = &LineBasis{Instalments: 12, Convention: byPCNAnnual, Factors: []LineFactor{{
				RateGBP: big.NewRat(rapid.SampledFrom([]int64{150, 160}).Draw(t, "rate"), 100), Per: "registered_patient",
				Quantity: big.NewRat(rapid.Int64Range(1, 5).Draw(t, "list"), 1),
			}}}
			line.Amount, _ = line.Basis.instalment()
		} else {
			line.Amount = money.Pence(rapid.Int64Range(-3, 40).Draw(t, "amount"))
		}
		if rapid.IntRange(0, 3).Draw(t, "adjusts") == 0 {
			line.Adjusts = "L"
		}
		line.Standing = rapid.SampledFrom([]ReconcileCause{"", "", "", CauseNotSent, CauseCarried}).Draw(t, "standing")
		in.Lines = append(in.Lines, line)
	}
	for n := range rapid.IntRange(0, 14).Draw(t, "rows") {
		row := PaidRow{
			Row: n + 1, Reference: codes("row reference", "", "", "R1", "R2", "X"), PayeeCode: codes("row payee", "P", "P", "Q"),
			PaymentCode: codes("row payment", "CORE", "CORE", "BEDS", "ARRS"), Amount: money.Pence(rapid.Int64Range(-3, 60).Draw(t, "paid")),
		}
		if rapid.IntRange(0, 5).Draw(t, "year") == 0 {
			row.Year = 2025
		} else {
			row.Recovery = rapid.IntRange(0, 4).Draw(t, "recovery") == 0
			row.Month = april.Add(rapid.IntRange(-1, 5).Draw(t, "row month"))
		}
		in.Rows = append(in.Rows, row)
	}
	return in
}

func permuted[T any](t *rapid.T, label string, in []T) []T {
	return rapid.Permutation(in).Draw(t, label)
}

// requireSound holds that every line and row of the input is in one finding, that all sums hold, and that whatever is not a plain
// match has a cause with its evidence.
func requireSound(t require.TestingT, in *ReconcileInput, report *Reconciliation) {
	lines, rows := make(map[string]int), make(map[int]int)
	var matched, missing, extra, different, differentPaid money.Pence
	amounts, paid := make(map[string]money.Pence), make(map[int]money.Pence)
	var expectedTotal, paidTotal money.Pence
	for _, line := range in.Lines {
		amounts[line.LineID] = line.Amount
		expectedTotal += line.Amount
	}
	for _, row := range in.Rows {
		paid[row.Row] = row.Amount
		paidTotal += row.Amount
	}
	for _, f := range report.Findings {
		var expected, received money.Pence
		for _, id := range f.LineIDs {
			lines[id]++
			expected += amounts[id]
		}
		for _, row := range f.Rows {
			rows[row]++
			received += paid[row]
		}
		require.Equal(t, expected, f.Expected)
		require.Equal(t, received, f.Paid)
		require.Equal(t, received-expected, f.Difference)
		switch f.Status {
		case Matched:
			require.Zero(t, f.Difference)
			matched += f.Expected
			continue
		case Different:
			require.True(t, len(f.LineIDs) > 0 && len(f.Rows) > 0)
			different += f.Expected
			differentPaid += f.Paid
		case Missing:
			require.True(t, len(f.LineIDs) > 0 && len(f.Rows) == 0)
			missing += f.Expected
		case Extra:
			require.True(t, len(f.LineIDs) == 0 && len(f.Rows) == 1)
			extra += f.Paid
		}
		require.NotEmpty(t, f.Cause)
		require.NotEmpty(t, f.Evidence)
	}
	require.Len(t, lines, len(in.Lines))
	require.Len(t, rows, len(in.Rows))
	for id, count := range lines {
		require.Equal(t, 1, count, id)
	}
	for row, count := range rows {
		require.Equal(t, 1, count, row)
	}
	require.Equal(t, expectedTotal, matched+missing+different)
	require.Equal(t, paidTotal, matched+extra+differentPaid)
	require.Equal(t, expectedTotal, report.Totals.Expected)
	require.Equal(t, paidTotal, report.Totals.Paid)
}

func TestReconcile_MatchesNothingTwiceInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawReconcile(t)
		report, err := Reconcile(in)
		require.NoError(t, err)
		requireSound(t, in, report)
		again, err := Reconcile(&ReconcileInput{Lines: permuted(t, "lines in another order", in.Lines), Rows: permuted(t, "rows in another order", in.Rows)})
		require.NoError(t, err)
		require.Equal(t, report.Totals, again.Totals)
		require.Equal(t, report.Payments, again.Payments)
		require.Equal(t, plain(report.Findings), plain(again.Findings))
	})
}

// plain leaves off what is not part of the report.
func plain(findings []Finding) []Finding {
	out := slices.Clone(findings)
	for i := range out {
		out[i].lines, out[i].rows = nil, nil
	}
	return out
}

// TestReconcile_FindsWhatIsLeftOut holds that a file that pays every payee, payment and month matches throughout, and that
// without one of its rows just that month is missing.
func TestReconcile_FindsWhatIsLeftOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawReconcile(t)
		in.Rows = nil
		sums, references := make(map[monthKey]money.Pence), rapid.Bool().Draw(t, "references")
		var keys []monthKey
		for i := range in.Lines {
			line := &in.Lines[i]
			line.Amount = money.Pence(1) << (2 * i) // no sum is that of other lines
			line.Basis, line.Standing = nil, ""
			if line.Reference = ""; references {
				line.Reference = "R" + line.PayeeCode + line.PaymentCode + line.ScheduleMonth.String()
			}
			key := monthKey{line.PayeeCode, line.PaymentCode, line.ScheduleMonth}
			if sums[key] == 0 {
				keys = append(keys, key)
			}
			sums[key] += line.Amount
		}
		for n, key := range keys {
			row := PaidRow{Row: n + 1, PayeeCode: key.payee, PaymentCode: key.payment, Month: key.month, Amount: sums[key]}
			if references {
				row.Reference = "R" + key.payee + key.payment + key.month.String()
			}
			in.Rows = append(in.Rows, row)
		}
		report, err := Reconcile(in)
		require.NoError(t, err)
		require.Equal(t, len(keys), report.Matched)
		require.Len(t, report.Findings, len(keys))
		if len(keys) == 0 {
			return
		}
		out := rapid.IntRange(0, len(keys)-1).Draw(t, "left out")
		in.Rows = slices.Delete(in.Rows, out, out+1)
		report, err = Reconcile(in)
		require.NoError(t, err)
		require.Equal(t, 1, report.Missing)
		require.Equal(t, sums[keys[out]], report.Totals.Missing)
		require.Equal(t, len(keys)-1, report.Matched)
	})
}

// TestReconcile_TellsAConvention holds that what another convention pays is called rounding.
func TestReconcile_TellsAConvention(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := &LineBasis{Instalments: 12, Convention: byPCNAnnual, Factors: []LineFactor{{
			RateGBP: big.NewRat(rapid.Int64Range(1, 15_000).Draw(t, "rate"), 1000), Per: "registered_patient", Quantity: new(big.Rat),
		}}}
		for range rapid.IntRange(1, 9).Draw(t, "practices") {
			list := big.NewRat(rapid.Int64Range(1, 60_000).Draw(t, "list"), 1)
			b.Factors[0].Practices = append(b.Factors[0].Practices, list)
			b.Factors[0].Quantity.Add(b.Factors[0].Quantity, list)
		}
		amount, err := b.instalment()
		require.NoError(t, err)
		march := period.NewMonth(2026, time.March)
		line := ExpectedLine{LineID: "L", PayeeCode: "P", PaymentCode: "CORE", ForMonth: march, ScheduleMonth: march, Amount: amount, Basis: b}
		c := rapid.SampledFrom(conventions).Draw(t, "convention")
		paid, applies := c.of([]*ExpectedLine{&line})
		if !applies || paid == amount || paid == -amount {
			return
		}
		report, err := Reconcile(&ReconcileInput{
			Lines: []ExpectedLine{line}, Rows: []PaidRow{{Row: 1, PayeeCode: "P", PaymentCode: "CORE", Month: march, Amount: paid}},
		})
		require.NoError(t, err)
		require.Equal(t, CauseRounding, report.Findings[0].Cause, "%+v", report.Findings[0])
		require.Contains(t, report.Findings[0].Evidence, paid.String())
	})
}

// FuzzReconcile holds that whatever a file and the schedules bring is accounted for, and that nothing takes it by surprise.
func FuzzReconcile(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("lines and rows of any kind, in any order, with any amount"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		in := drawReconcile(t)
		scale := rapid.Int64Range(1, 1_000_000_000_000).Draw(t, "scale")
		for i := range in.Lines {
			in.Lines[i].Amount *= money.Pence(scale)
		}
		for i := range in.Rows {
			in.Rows[i].Amount *= money.Pence(scale)
		}
		report, err := Reconcile(in)
		require.NoError(t, err)
		requireSound(t, in, report)
	}))
}

// benchReconcile makes n lines, a month of each of n/10 payees with ten payments, and rows of which one in "odd" differs.
func benchReconcile(n, odd int) *ReconcileInput {
	random := rand.New(rand.NewPCG(1, 2))
	april := period.NewMonth(2025, time.April)
	in := new(ReconcileInput)
	for i := range n {
		pcn := "U" + strconv.Itoa(i/120)
		line := ExpectedLine{
			LineID: "L" + strconv.Itoa(i), PayeeCode: pcn, PCNCode: pcn, PaymentCode: "P" + strconv.Itoa(i%10),
			ScheduleMonth: april.Add(i / 10 % 12), ForMonth: april.Add(i / 10 % 12),
			Basis: &LineBasis{Instalments: 12, Convention: byPCNAnnual, Factors: []LineFactor{{
				RateGBP: big.NewRat(int64(1000+i%10), 1000), Per: "registered_patient", Quantity: big.NewRat(int64(30_000+random.IntN(20_000)), 1),
			}}},
		}
		line.Amount, _ = line.Basis.instalment()
		in.Lines = append(in.Lines, line)
		row := PaidRow{Row: i + 1, PayeeCode: line.PayeeCode, PaymentCode: line.PaymentCode, Month: line.ScheduleMonth, Amount: line.Amount}
		if odd > 0 && i%odd == 0 {
			row.Amount += money.Pence(random.IntN(100_000))
		}
		in.Rows = append(in.Rows, row)
	}
	return in
}

func BenchmarkReconcile(b *testing.B) {
	oneKey := func(amount func(int) money.Pence) *ReconcileInput {
		in := benchReconcile(17_000, 0)
		for i := range in.Lines {
			in.Lines[i].PayeeCode, in.Lines[i].PaymentCode, in.Lines[i].ScheduleMonth, in.Lines[i].Basis = "P", "CORE", in.Lines[0].ScheduleMonth, nil
			in.Rows[i].PayeeCode, in.Rows[i].PaymentCode, in.Rows[i].Month = "P", "CORE", in.Rows[0].Month
			in.Rows[i].Amount = amount(i)
		}
		return in
	}
	for _, c := range []struct {
		name string
		in   *ReconcileInput
	}{
		{"equal", benchReconcile(17_000, 0)},
		{"one_in_ten_differs", benchReconcile(17_000, 10)},
		{"all_differ", benchReconcile(17_000, 1)},
		{"one_payee_and_month", oneKey(func(i int) money.Pence { return money.Pence(i) })},
		{"one_payee_month_and_amount", oneKey(func(int) money.Pence { return 250_000 })},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Reconcile(c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestReconcile_IsNotQuadratic holds that ten times the lines of one payee, payment and month take nothing like a hundred times
// the memory.
func TestReconcile_IsNotQuadratic(t *testing.T) {
	allocations := func(n int) float64 {
		in := benchReconcile(n, 0)
		for i := range in.Lines {
			in.Lines[i].PayeeCode, in.Lines[i].PaymentCode, in.Lines[i].ScheduleMonth = "P", "CORE", in.Lines[0].ScheduleMonth
			in.Rows[i].PayeeCode, in.Rows[i].PaymentCode, in.Rows[i].Month = "P", "CORE", in.Rows[0].Month
			in.Rows[i].Amount = money.Pence(i)
		}
		return testing.AllocsPerRun(1, func() {
			_, err := Reconcile(in)
			assert.NoError(t, err)
		})
	}
	assert.Less(t, allocations(5_000), 30*allocations(500))
}
