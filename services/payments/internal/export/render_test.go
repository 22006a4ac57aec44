package export_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path)
	if assert.NoError(t, err) {
		require.Equal(t, string(want), string(got))
	}
}

func rendered(t require.TestingT, profile *export.Profile, batch *export.Batch) []byte {
	var out bytes.Buffer
	require.NoError(t, export.Render(&out, profile, batch, coding()))
	return out.Bytes()
}

func TestRender_WritesTheFileAsReviewed(t *testing.T) {
	t.Parallel()
	for name, profile := range sheets(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rendered(t, profile, realistic())
			golden(t, name+".csv", got)
			require.Equal(t, string(got), string(rendered(t, profile, shuffled(realistic()))), "the order of the batch does not matter")
			require.NotContains(t, string(got), "\uFEFF")
			require.Equal(t, bytes.Count(got, []byte("\n")), bytes.Count(got, []byte("\r\n")))
		})
	}
}

func TestRender_TakesAPaymentBackAsReviewed(t *testing.T) {
	t.Parallel()
	batch := realistic()
	first := batch.Payments[0]
	first.Reference, first.Control = "16C-2022-03-1-"+first.Payee.Code, coding().Control
	back, err := first.Reversed()
	require.NoError(t, err)
	batch.Payments = append(batch.Payments, back)
	for name, format := range map[string]export.Format{"journal_reversal": export.Journal, "payables_credit_note": export.PayablesInvoices} {
		golden(t, name+".csv", rendered(t, layout(t, format), batch))
	}
	for _, format := range []export.Format{export.PCSEVariation, export.Remittance, export.Pain001} {
		require.Panics(t, func() { _ = export.Render(new(bytes.Buffer), layout(t, format), batch, coding()) }, format)
	}
}

// TestRender_FollowsTheProfile holds that order, headers, constants, dates and the delimiter are the commissioner's.
func TestRender_FollowsTheProfile(t *testing.T) {
	t.Parallel()
	profile := &export.Profile{
		Format: export.Journal, Delimiter: '|', DateFormat: export.DateLedger, SignRule: export.CreditPositive, HeaderRow: false,
		Columns: []export.Column{
			{Field: export.FieldAmount},
			{Field: export.FieldDate},
			{Constant: "NEW"},
			{Field: export.FieldPeriodName},
			{Field: export.FieldEntity},
			{Field: export.FieldRowNumber},
		},
	}
	batch := realistic()
	batch.Payments = batch.Payments[2:]
	require.Equal(t, "-4020.00|30-APR-2022|NEW|APR-22|16C|1\r\n-12500.00|30-APR-2022|NEW|APR-22|Q74|2\r\n"+
		"4020.00|30-APR-2022|NEW|APR-22|16C|3\r\n12500.00|30-APR-2022|NEW|APR-22|Q74|4\r\n", string(rendered(t, profile, batch)))
	for format, want := range map[export.DateFormat]string{
		export.DateISO: "2022-04-30", export.DateSlashes: "30/04/2022", export.DateCompact: "20220430",
	} {
		profile.DateFormat = format
		require.Contains(t, string(rendered(t, profile, batch)), "|"+want+"|")
	}
}

func TestRender_LeavesOutEmptyColumnsAtTheEndOfAVariation(t *testing.T) {
	t.Parallel()
	batch := realistic()
	batch.Payments = batch.Payments[2:]
	records := read(t, layout(t, export.PCSEVariation), rendered(t, layout(t, export.PCSEVariation), batch))
	for _, record := range records {
		require.Len(t, record, 8, "no line takes part")
	}
	records = read(t, layout(t, export.PCSEVariation), rendered(t, layout(t, export.PCSEVariation), realistic()))
	require.Len(t, records[0], 10)
}

func TestRender_RefusesAProfileThatCannotLayOutItsFile(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(*export.Profile)
		field  string
	}{
		"unknown format":         {func(p *export.Profile) { p.Format = "BACS18" }, "format"},
		"unknown field":          {func(p *export.Profile) { p.Columns[0].Field = "sort_code" }, "columns[0].field"},
		"field of another file":  {func(p *export.Profile) { p.Columns[0].Field = export.FieldGross }, "columns[0].field"},
		"field and constant":     {func(p *export.Profile) { p.Columns[1].Constant = "x" }, "columns[1]"},
		"no header":              {func(p *export.Profile) { p.Columns[2].Header = " \n" }, "columns[2].header"},
		"delimiter":              {func(p *export.Profile) { p.Delimiter = '"' }, "delimiter"},
		"date format":            {func(p *export.Profile) { p.DateFormat = "MM/DD/YY" }, "date_format"},
		"no sign rule":           {func(p *export.Profile) { p.SignRule = "" }, "sign_rule"},
		"sign rule elsewhere":    {func(p *export.Profile) { p.Format = export.Remittance }, "sign_rule"},
		"no money":               {func(p *export.Profile) { p.Columns = p.Columns[:6] }, "columns"},
		"money under both rules": {func(p *export.Profile) { p.SignRule = export.DebitPositive }, "columns"},
		"money twice": {func(p *export.Profile) {
			p.Columns = append(p.Columns, export.Column{Header: "x", Field: export.FieldDebit})
		}, "columns"},
		"signs of a bank file":   {func(p *export.Profile) { p.Format = export.Pain001 }, "sign_rule"},
		"days of a bank file":    {func(p *export.Profile) { p.Format = export.Pain001 }, "date_format"},
		"marks of a bank file":   {func(p *export.Profile) { p.Format = export.Pain001 }, "delimiter"},
		"columns of a bank file": {func(p *export.Profile) { p.Format = export.Pain001 }, "columns"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			profile := export.DefaultJournal(export.DebitCredit)
			c.change(&profile)
			var out bytes.Buffer
			f, ok := fault.As(export.Render(&out, &profile, realistic(), coding()))
			if assert.True(t, ok) {
				require.Equal(t, export.ReasonProfileInvalid, f.Reason)
				var fields []string
				for _, violation := range f.Violations {
					fields = append(fields, violation.Field)
				}
				require.Contains(t, fields, c.field)
			}
			require.Empty(t, out.Bytes())
		})
	}
}

func TestDefault_KnowsEveryFormatAndNoOther(t *testing.T) {
	t.Parallel()
	for _, format := range []export.Format{
		export.Journal, export.PayablesInvoices, export.PCSEVariation, export.Remittance, export.Transparency, export.Pain001,
	} {
		profile, err := export.Default(format)
		if assert.NoError(t, err) {
			require.NoError(t, profile.Check(), format)
		}
	}
	_, err := export.Default("BACS18")
	require.Equal(t, export.ReasonProfileInvalid, fault.ReasonOf(err))
	require.Empty(t, export.Fields("BACS18"))
}

// TestRender_HoldsItsInvariants shows that a batch which does not add up is a bug of the caller, never a file.
func TestRender_HoldsItsInvariants(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*export.Batch){
		"net":       func(b *export.Batch) { b.Payments[0].Net++ },
		"line":      func(b *export.Batch) { b.Payments[0].Lines[0].Amount-- },
		"reference": func(b *export.Batch) { b.Payments[0].Reference = b.Payments[1].Reference },
		"unnamed":   func(b *export.Batch) { b.Payments[0].Reference = "" },
		"nothing":   func(b *export.Batch) { b.Payments[0].Lines, b.Payments[0].Net = nil, 0 },
	} {
		batch := realistic()
		change(batch)
		for _, profile := range sheets(t) {
			if profile.Format == export.Transparency && name == "nothing" {
				continue
			}
			require.Panics(t, func() { _ = export.Render(new(bytes.Buffer), profile, batch, coding()) }, "%s %s", name, profile.Format)
		}
	}
}

// TestRender_ShowsInAJournalAloneWhatComesToNothing holds that lines which are carried or taken off in full are booked, without a
// control row, and are in no other file.
func TestRender_ShowsInAJournalAloneWhatComesToNothing(t *testing.T) {
	t.Parallel()
	batch := realistic()
	carried := &batch.Payments[1]
	carried.Lines[1].Amount, carried.Net = -carried.Lines[0].Amount, 0
	for name, profile := range sheets(t) {
		if profile.Format == export.Journal {
			file := string(rendered(t, profile, batch))
			require.Equal(t, 2, strings.Count(file, carried.Reference), "%s: the lines and no control row", name)
			continue
		}
		require.Panics(t, func() { _ = export.Render(new(bytes.Buffer), profile, batch, coding()) }, name)
	}
	require.Panics(t, func() { _ = export.Render(new(bytes.Buffer), layout(t, export.Pain001), batch, coding()) })
}

// TestRender_NamesThePayeeWhereALineIsForNoOther holds which organisation an overpayment is taken back from.
func TestRender_NamesThePayeeWhereALineIsForNoOther(t *testing.T) {
	t.Parallel()
	batch := realistic()
	batch.Payments = batch.Payments[1:2]
	back := &batch.Payments[0].Lines[1]
	back.PracticeCode, back.PCN, back.Codes.Spare = "", export.Party{}, ""
	rows := read(t, layout(t, export.PCSEVariation), rendered(t, layout(t, export.PCSEVariation), batch))
	require.Equal(t, []string{"Organisation Code", surgery.Code, surgery.Code}, []string{rows[0][1], rows[1][1], rows[2][1]})
	gaps := export.Missing(layout(t, export.Journal), batch, coding())
	require.Len(t, gaps, 1)
	require.Equal(t, []string{surgery.Code}, gaps[0].Beneficiaries)
}

// TestRender_WritesNothingOfWhatOverflows holds that a file is either whole or not begun.
func TestRender_WritesNothingOfWhatOverflows(t *testing.T) {
	t.Parallel()
	batch := realistic()
	for i := range batch.Payments {
		payment := &batch.Payments[i]
		payment.Net = 1<<63 - 1
		payment.Lines = payment.Lines[:1]
		payment.Lines[0].Amount = payment.Net
	}
	var out bytes.Buffer
	for _, format := range []export.Format{export.Journal, export.Pain001} {
		require.Equal(t, money.ReasonOverflow, fault.ReasonOf(export.Render(&out, layout(t, format), batch, coding())), format)
	}
	batch.Payments[1].Payee.Code = batch.Payments[0].Payee.Code
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(export.Render(&out, layout(t, export.Remittance), batch, coding())))
	require.Empty(t, out.Bytes())
}

// TestRender_TakesTheYearOfTheRunWhereALineHasNoMonth holds which year's codes such a line is asked for.
func TestRender_TakesTheYearOfTheRunWhereALineHasNoMonth(t *testing.T) {
	t.Parallel()
	batch := realistic()
	batch.Payments[0].Lines[3].ForMonth = period.Month{}
	batch.Payments[0].Lines[3].Codes.Spare = ""
	gaps := export.Missing(layout(t, export.Journal), batch, coding())
	require.Len(t, gaps, 1)
	require.Equal(t, april.FinancialYear(), gaps[0].Year)
}

type brokenWriter struct{}

var errBroken = errors.New("disk full")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestRender_ReportsAWriterThatFails(t *testing.T) {
	t.Parallel()
	for name, profile := range sheets(t) {
		require.ErrorIs(t, export.Render(brokenWriter{}, profile, realistic(), coding()), errBroken, name)
	}
	require.ErrorIs(t, export.Render(brokenWriter{}, layout(t, export.Pain001), realistic(), coding()), errBroken)
}

// TestRenderSpend_ShowsEveryLineOfWhatExceedsTheLimit holds that the limit is for the transaction and must be exceeded.
func TestRenderSpend_ShowsEveryLineOfWhatExceedsTheLimit(t *testing.T) {
	t.Parallel()
	bought := func(reference string, date period.Date, amounts ...money.Pence) export.Transaction {
		out := export.Transaction{Date: date, Payment: export.Payment{Reference: reference, Payee: surgery}}
		for _, amount := range amounts {
			out.Lines = append(out.Lines, export.Line{
				LineID: reference, Kind: export.Scheduled, Fund: "arrs", PaymentCode: "ARRS_CLAIM", ForMonth: april, Amount: amount,
			})
			out.Net += amount
		}
		return out
	}
	list := &export.SpendList{Commissioner: realistic().Commissioner, Month: april, Transactions: []export.Transaction{
		bought("R-3", period.NewDate(2022, time.April, 29), 25_000_01),
		bought("R-2", period.NewDate(2022, time.April, 20), 12_000_00, 13_000_00, 1),
		bought("R-1", period.NewDate(2022, time.April, 8), 25_000_00),
		bought("R-4", period.NewDate(2022, time.April, 20), 30_000_00, -5_000_00),
	}}
	profile := layout(t, export.Transparency)
	profile.Columns = []export.Column{
		{Header: "Date", Field: export.FieldDate}, {Header: "No", Field: export.FieldReference}, {Header: "Amount", Field: export.FieldAmount},
	}
	var out bytes.Buffer
	require.NoError(t, export.RenderSpend(&out, profile, list, coding()))
	require.Equal(t, "Date,No,Amount\r\n2022-04-20,R-2,0.01\r\n2022-04-20,R-2,12000.00\r\n2022-04-20,R-2,13000.00\r\n"+
		"2022-04-29,R-3,25000.01\r\n", out.String())

	list.Transactions[0].Date = period.Date{}
	require.Equal(t, export.ReasonIncomplete, fault.ReasonOf(export.RenderSpend(&out, profile, list, coding())))
	require.Len(t, list.Missing(profile, coding()), 1)
	list.Transactions = nil
	out.Reset()
	require.NoError(t, export.RenderSpend(&out, profile, list, coding()))
	require.Equal(t, "Date,No,Amount\r\n", out.String())
	require.Equal(t, export.ReasonProfileInvalid, fault.ReasonOf(export.RenderSpend(&out, layout(t, export.Journal), list, coding())))
}
