package rules

import (
	"bytes"
	"encoding/csv"
	"flag"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readTable reads a file of examples; its first line names the columns.
func readTable(t testing.TB, name string) []map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	reader := csv.NewReader(bytes.NewReader(text))
	reader.Comment = '#'
	records, err := reader.ReadAll()
	require.NoError(t, err)
	rows := make([]map[string]string, 0, len(records)-1)
	for _, record := range records[1:] {
		row := make(map[string]string, len(record))
		for i, column := range records[0] {
			row[column] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// holdGolden holds records against a file of testdata.
func holdGolden(t *testing.T, name string, records [][]string) {
	t.Helper()
	var text strings.Builder
	require.NoError(t, csv.NewWriter(&text).WriteAll(records))
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	}
	want, err := os.ReadFile(path)
	if assert.NoError(t, err) {
		assert.Equal(t, string(want), text.String())
	}
}

func ratOf(t testing.TB, text string) *big.Rat {
	t.Helper()
	value, err := money.ParseDecimal(text)
	require.NoError(t, err)
	return value
}

func rats(t testing.TB, text, separator string) []*big.Rat {
	t.Helper()
	if text == "" {
		return nil
	}
	var out []*big.Rat
	for field := range strings.SplitSeq(text, separator) {
		out = append(out, ratOf(t, field))
	}
	return out
}

func monthOf(t testing.TB, text string) period.Month {
	t.Helper()
	if text == "" {
		return period.Month{}
	}
	m, err := period.ParseMonth(text)
	require.NoError(t, err)
	return m
}

func penceOf(t testing.TB, text string) money.Pence {
	t.Helper()
	amount, err := money.ParsePence(text)
	require.NoError(t, err)
	return amount
}

func numberOf(t testing.TB, text string) int {
	t.Helper()
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// basis reads the factors of an example: components are separated by a plus, practices by a blank.
func basis(t testing.TB, row map[string]string) *LineBasis {
	t.Helper()
	if row["rate"] == "" {
		return nil
	}
	out := &LineBasis{Instalments: numberOf(t, row["instalments"]), Convention: row["convention"]}
	rates, pers, quantities := strings.Split(row["rate"], "+"), strings.Split(row["per"], "+"), strings.Split(row["quantity"], "+")
	for i := range rates {
		factor := LineFactor{RateGBP: ratOf(t, rates[i]), Per: pers[i], RateID: row["rate_id"]}
		factor.Quantity = new(big.Rat)
		practices := rats(t, quantities[i], " ")
		for _, practice := range practices {
			factor.Quantity.Add(factor.Quantity, practice)
		}
		if len(practices) > 1 {
			factor.Practices = practices
		}
		out.Factors = append(out.Factors, factor)
	}
	return out
}

// reconcileExamples reads the examples: a line for each of "to" months from "month".
func reconcileExamples(t testing.TB) (names []string, examples map[string]*ReconcileInput) {
	t.Helper()
	examples = make(map[string]*ReconcileInput)
	for _, row := range readTable(t, "reconcile.csv") {
		name := row["example"]
		if examples[name] == nil {
			examples[name] = new(ReconcileInput)
			names = append(names, name)
		}
		in := examples[name]
		from, months := monthOf(t, row["month"]), max(1, numberOf(t, row["months"]))
		for n := range months {
			switch row["side"] {
			case "expected", "reconcile_only", "NOT_SENT", "ON_HOLD", "CARRIED":
				line := ExpectedLine{
					LineID: "L" + strconv.Itoa(len(in.Lines)+1), Reference: row["reference"], PayeeCode: row["payee"], PCNCode: "U1", PracticeCode: row["practice"],
					PaymentCode: row["payment"], ScheduleMonth: from.Add(n), ForMonth: from.Add(n), Amount: penceOf(t, row["amount"]),
					ReconcileOnly: row["side"] == "reconcile_only", Adjusts: row["adjusts"], Basis: basis(t, row),
				}
				if row["for_month"] != "" {
					line.ForMonth = monthOf(t, row["for_month"]).Add(n)
				}
				if row["side"] == strings.ToUpper(row["side"]) {
					line.Standing, line.Where = ReconcileCause(row["side"]), "the suite knows"
				}
				in.Lines = append(in.Lines, line)
			case "paid", "recovered":
				paid := PaidRow{
					Row: len(in.Rows) + 1, Reference: row["reference"], PayeeCode: row["payee"], PaymentCode: row["payment"],
					Amount: penceOf(t, row["amount"]), Recovery: row["side"] == "recovered",
				}
				if row["year"] == "" {
					paid.Month = from.Add(n)
				} else {
					year, err := period.ParseFinancialYear(row["year"])
					require.NoError(t, err)
					paid.Year = year
				}
				in.Rows = append(in.Rows, paid)
			case "rate":
				in.Rates = append(in.Rates, KnownRate{PaymentCode: row["payment"], Per: row["per"], RateID: row["rate_id"], RateGBP: ratOf(t, row["rate"])})
			case "list":
				in.Quantities = append(in.Quantities, KnownQuantity{PCNCode: "U1", Per: row["per"], Quantity: ratOf(t, row["quantity"]), Source: row["reference"]})
			case "entitlement":
				in.Entitlements = append(in.Entitlements, Entitlement{
					PCNCode: "U1", PaymentCode: row["payment"], Amount: penceOf(t, row["amount"]), From: from, To: from.Add(11), Instalments: numberOf(t, row["instalments"]),
				})
			default:
				t.Fatalf("side %q", row["side"])
			}
		}
	}
	return names, examples
}

var statusNames = map[FindingStatus]string{Matched: "matched", Different: "different", Missing: "missing", Extra: "extra"}

var stepNames = map[MatchStep]string{
	ByReference: "reference", ByPeriod: "period", ByForMonth: "for month", ByYear: "year", ByAmount: "amount", ByNetting: "netting", ByRecovery: "recovery",
}

// TestReconcile_Examples holds the findings of the worked examples, plain matches in one row each, against the golden file.
func TestReconcile_Examples(t *testing.T) {
	t.Parallel()
	names, examples := reconcileExamples(t)
	records := [][]string{{"example", "status", "step", "payee", "payment", "period", "lines", "rows", "expected", "paid", "difference", "cause", "evidence"}}
	for _, name := range names {
		report, err := Reconcile(examples[name])
		require.NoError(t, err, name)
		for _, f := range report.Findings {
			when := f.Month.String()
			if f.Year != 0 {
				when = f.Year.String()
			}
			rows := make([]string, len(f.Rows))
			for i, row := range f.Rows {
				rows[i] = strconv.Itoa(row)
			}
			records = append(records, []string{
				name, statusNames[f.Status], stepNames[f.Step], f.PayeeCode, f.PaymentCode, when, strings.Join(f.LineIDs, " "), strings.Join(rows, " "),
				f.Expected.Plain(), f.Paid.Plain(), f.Difference.Plain(), string(f.Cause), f.Evidence,
			})
		}
	}
	holdGolden(t, "reconcile_findings.csv", records)
}

func TestReconcile_AddsUpByPaymentAndInstruction(t *testing.T) {
	t.Parallel()
	april := period.NewMonth(2025, 4)
	report, err := Reconcile(&ReconcileInput{
		Lines: []ExpectedLine{
			{LineID: "a", PayeeCode: "P", PaymentCode: "CORE", ForMonth: april, ScheduleMonth: april, Amount: 100, ReconcileOnly: true},
			{LineID: "b", PayeeCode: "P", PaymentCode: "CORE", ForMonth: april.Add(-1), ScheduleMonth: april, Amount: 30, Adjusts: "x"},
			{LineID: "c", PayeeCode: "P", PaymentCode: "BEDS", ForMonth: april, ScheduleMonth: april, Amount: 70},
			{LineID: "d", PayeeCode: "Q", PaymentCode: "BEDS", ForMonth: april, ScheduleMonth: april, Amount: 50},
		},
		Rows: []PaidRow{
			{Row: 1, PayeeCode: "P", PaymentCode: "CORE", Month: april, Amount: 130},
			{Row: 2, PayeeCode: "P", PaymentCode: "BEDS", Month: april, Amount: 71},
			{Row: 3, PayeeCode: "P", PaymentCode: "ARRS", Month: april, Amount: 999},
		},
	})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1, 1, 1}, []int{report.Matched, report.Different, report.Missing, report.Extra})
	assert.Equal(t, ReconcileTotals{
		Expected: 250, ExpectedMatched: 130, ExpectedDifferent: 70, Missing: 50,
		Paid: 1200, PaidMatched: 130, PaidDifferent: 71, Extra: 999, ReconcileOnly: 100, Lines: 4, Rows: 3,
	}, report.Totals)
	assert.Equal(t, []PaymentTotals{
		{"ARRS", ReconcileTotals{Paid: 999, Extra: 999, Rows: 1}},
		{"BEDS", ReconcileTotals{Expected: 120, ExpectedDifferent: 70, Missing: 50, Paid: 71, PaidDifferent: 71, Lines: 2, Rows: 1}},
		{"CORE", ReconcileTotals{Expected: 130, ExpectedMatched: 130, Paid: 130, PaidMatched: 130, ReconcileOnly: 100, Lines: 2, Rows: 1}},
	}, report.Payments)
	assert.EqualValues(t, 100, report.Findings[0].ReconcileOnly)
}

func TestFinding_TouchesTheMonthsOfItsLinesAndRows(t *testing.T) {
	t.Parallel()
	april := period.NewMonth(2025, 4)
	report, err := Reconcile(&ReconcileInput{
		Lines: []ExpectedLine{
			{LineID: "a", PayeeCode: "P", PaymentCode: "CORE", ForMonth: april, ScheduleMonth: april, Amount: 100},
			{LineID: "b", PayeeCode: "Q", PaymentCode: "CORE", ForMonth: april, ScheduleMonth: april, Amount: -50, Standing: CauseCarried},
			{LineID: "c", PayeeCode: "R", PaymentCode: "CORE", ForMonth: april, ScheduleMonth: april, Amount: 7},
		},
		Rows: []PaidRow{
			{Row: 1, PayeeCode: "P", PaymentCode: "CORE", Month: april.Add(1), Amount: 100},
			{Row: 2, PayeeCode: "Q", PaymentCode: "RECOVERY", Month: april.Add(2), Amount: -50, Recovery: true},
			{Row: 3, PayeeCode: "R", PaymentCode: "CORE", Year: april.FinancialYear(), Amount: 8},
		},
	})
	require.NoError(t, err)
	touched := make(map[string]string)
	for _, f := range report.Findings {
		for n := -1; n < 4; n++ {
			if month := april.Add(n); f.Touches(month, month) {
				touched[f.PayeeCode] += month.String()[5:] + " "
			}
		}
	}
	assert.Equal(t, map[string]string{"P": "04 05 ", "Q": "04 06 ", "R": "04 05 06 07 "}, touched)
}

func TestReconcile_RefusesWhatCannotBeCompared(t *testing.T) {
	t.Parallel()
	april := period.NewMonth(2025, 4)
	line := ExpectedLine{LineID: "a", PaymentCode: "CORE", ForMonth: april, ScheduleMonth: april, Amount: 1}
	row := PaidRow{Row: 1, PayeeCode: "P", PaymentCode: "CORE", Month: april, Amount: 1}
	lines := func(change func(*ExpectedLine)) *ReconcileInput {
		changed := line
		change(&changed)
		return &ReconcileInput{Lines: []ExpectedLine{changed}}
	}
	rows := func(change func(*PaidRow)) *ReconcileInput {
		changed := row
		change(&changed)
		return &ReconcileInput{Rows: []PaidRow{changed}}
	}
	cases := []struct {
		name, reason string
		in           *ReconcileInput
	}{
		{"no identifier", ReasonExpectedLineInvalid, lines(func(l *ExpectedLine) { l.LineID = "" })},
		{"no payment", ReasonExpectedLineInvalid, lines(func(l *ExpectedLine) { l.PaymentCode = "" })},
		{"no month", ReasonExpectedLineInvalid, lines(func(l *ExpectedLine) { l.ForMonth = period.Month{} })},
		{"no schedule month", ReasonExpectedLineInvalid, lines(func(l *ExpectedLine) { l.ScheduleMonth = period.Month{} })},
		{"a line twice", ReasonExpectedLineTwice, &ReconcileInput{Lines: []ExpectedLine{line, line}}},
		{"no row number", ReasonPaidRowInvalid, rows(func(r *PaidRow) { r.Row = 0 })},
		{"neither month nor year", ReasonPaidRowInvalid, rows(func(r *PaidRow) { r.Month = period.Month{} })},
		{"month and year", ReasonPaidRowInvalid, rows(func(r *PaidRow) { r.Year = 2025 })},
		{"nobody", ReasonPaidRowInvalid, rows(func(r *PaidRow) { r.PayeeCode = "" })},
		{"a row without a payment", ReasonPaidRowInvalid, rows(func(r *PaidRow) { r.PaymentCode = "" })},
		{"a row twice", ReasonPaidRowTwice, &ReconcileInput{Rows: []PaidRow{row, row}}},
		{"too much", money.ReasonOverflow, lines(func(l *ExpectedLine) { l.Amount = math.MaxInt64 })},
		{"too little", money.ReasonOverflow, rows(func(r *PaidRow) { r.Amount = math.MinInt64 })},
		{"a rate without a figure", ReasonKnownFigureInvalid, &ReconcileInput{Rates: []KnownRate{{RateID: "R"}}}},
		{"a list without a figure", ReasonKnownFigureInvalid, &ReconcileInput{Quantities: []KnownQuantity{{PCNCode: "U1"}}}},
		{"an entitlement without instalments", ReasonEntitlementInvalid, &ReconcileInput{Entitlements: []Entitlement{{PCNCode: "U1"}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Reconcile(c.in)
			require.Equal(t, c.reason, fault.ReasonOf(err))
			f, _ := fault.As(err)
			require.Equal(t, fault.Invalid, f.Kind)
		})
	}
}
