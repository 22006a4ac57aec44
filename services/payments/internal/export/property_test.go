package export_test

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/export"
)

// naughty draws names that break careless writers.
var naughty = rapid.OneOf(
	rapid.String(),
	rapid.SampledFrom([]string{
		`"`, `a"b,c`, "two\nlines", "two\r\nlines", "\r", "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\uFEFFname", "\u202Eeman",
		"é™ 家 🙂", "'", "<b>&amp;</b>", "]]>", "a;b|c\td", "\xff\xfe", "\u2028=1", " -1", "-", "\\.", "",
	}),
)

// anyBatch draws a run that adds up: any names and codes, lines of either sign, several entities.
func anyBatch() *rapid.Generator[*export.Batch] {
	return rapid.Custom(func(t *rapid.T) *export.Batch {
		batch := realistic()
		batch.Commissioner.Name = naughty.Draw(t, "commissioner")
		batch.Payments = nil
		code := rapid.StringMatching(`[A-Z0-9]{1,8}`)
		for i := range rapid.IntRange(1, 6).Draw(t, "payments") {
			payment := export.Payment{
				Reference: fmt.Sprintf("16C-2022-04-1-P%05d", i),
				Payee:     export.Party{Code: rapid.SampledFrom([]string{"A81004", "U89141", "U56208"}).Draw(t, "payee"), Name: naughty.Draw(t, "name")},
				Supplier: export.Supplier{
					Number: code.Draw(t, "number"), Site: code.Draw(t, "site"), AccountToken: fmt.Sprintf("tok-%d", i),
					PONumber: naughty.Draw(t, "po"),
				},
			}
			for j := range rapid.IntRange(1, 6).Draw(t, "lines") {
				payment.Lines = append(payment.Lines, export.Line{
					LineID: fmt.Sprintf("ln-%d-%d", i, j), Fund: "core", FundingSource: naughty.Draw(t, "source"),
					Kind:        rapid.SampledFrom([]export.LineKind{export.Scheduled, export.Recovery}).Draw(t, "kind"),
					PaymentCode: rapid.SampledFrom([]string{"NPP", "CORE_PCN"}).Draw(t, "payment"),
					ForMonth:    april.Add(-rapid.IntRange(0, 20).Draw(t, "months")), Adjusts: rapid.Bool().Draw(t, "adjusts"),
					PCN:   export.Party{Code: code.Draw(t, "pcn"), Name: naughty.Draw(t, "pcn name")},
					Cause: naughty.Draw(t, "cause"), Basis: naughty.Draw(t, "basis"),
					Amount: money.Pence(rapid.Int64Range(-10_000_00, 40_000_00).Draw(t, "amount")),
					Codes: export.Segments{
						Entity: rapid.SampledFrom([]string{"16C", "Q74", "QHM"}).Draw(t, "entity"), CostCentre: "1", Subjective: "2", Analysis1: "3",
						Analysis2: "4", Spare: "5",
					},
					VAT: export.VAT{Treatment: export.Exempt, Code: "E1"},
				})
				payment.Net += payment.Lines[j].Amount
			}
			if lift := 1 - min(payment.Net, 0); payment.Net <= 0 {
				payment.Lines[0].Amount += lift
				payment.Net += lift
			}
			batch.Payments = append(batch.Payments, payment)
		}
		return batch
	})
}

// read parses a file as a strict reader does and holds what is true of every one of them.
func read(t require.TestingT, profile *export.Profile, file []byte) [][]string {
	in := csv.NewReader(bytes.NewReader(file))
	in.Comma = profile.Delimiter
	records, err := in.ReadAll()
	require.NoError(t, err)
	for i, record := range records {
		for _, value := range record {
			require.Equal(t, strings.TrimSpace(value), value)
			require.Equal(t, -1, strings.IndexFunc(value, unicode.IsControl), "%d: %q", i, value)
			if value != "" && strings.ContainsRune("=+-@", rune(value[0])) {
				_, err := money.ParsePence(value)
				if err != nil {
					_, err = money.ParseDecimal(value)
				}
				require.NoError(t, err, "a formula in %q", value)
			}
		}
	}
	require.Equal(t, len(records), bytes.Count(file, []byte("\r\n")), "one line for each record")
	return records
}

// sum adds what a column holds, in the rows that count.
func sum(t require.TestingT, records [][]string, header string, counts func(row func(header string) string) bool) money.Pence {
	at := make(map[string]int)
	for i, name := range records[0] {
		at[name] = i
	}
	require.Contains(t, at, header)
	var out money.Pence
	for _, record := range records[1:] {
		row := func(header string) string { return record[at[header]] }
		if value := row(header); value != "" && counts(row) {
			amount, err := money.ParsePence(value)
			require.NoError(t, err)
			out += amount
		}
	}
	return out
}

func all(func(string) string) bool { return true }

func ofType(want string) func(func(string) string) bool {
	return func(row func(string) string) bool { return row("Row Type") == want }
}

// withNothing adds a payment whose lines are taken off in full, which only a journal shows.
func withNothing(batch *export.Batch) *export.Batch {
	out := *batch
	nothing := batch.Payments[0]
	nothing.Reference += "0"
	back := nothing.Lines[0]
	back.LineID, back.Kind, back.Amount = "back", export.Recovery, -nothing.Net
	nothing.Lines, nothing.Net = append(slices.Clone(nothing.Lines), back), 0
	out.Payments = append(slices.Clone(batch.Payments), nothing)
	return &out
}

// TestRender_LosesNoMoney recomputes the totals of each file by parsing it.
func TestRender_LosesNoMoney(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		batch := anyBatch().Draw(t, "batch")
		var net, published money.Pence
		entities := make(map[string]money.Pence)
		for _, payment := range batch.Payments {
			net += payment.Net
			if payment.Net > export.TransparencyLimit {
				published += payment.Net
			}
		}
		for _, payment := range withNothing(batch).Payments {
			for _, line := range payment.Lines {
				entities[line.Codes.Entity] += line.Amount
			}
		}
		files := make(map[string][][]string)
		for name, profile := range sheets(t) {
			whole := batch
			if profile.Format == export.Journal {
				whole = withNothing(batch)
			}
			file := rendered(t, profile, whole)
			require.Equal(t, string(file), string(rendered(t, profile, shuffled(whole))))
			files[name] = read(t, profile, file)
		}
		for entity, amount := range entities {
			of := func(row func(string) string) bool { return row("Entity") == entity }
			lines := func(row func(string) string) bool {
				return of(row) && !strings.HasPrefix(row("Line Description"), "Payables ")
			}
			credit := files["journal_debit_credit"]
			require.Equal(t, sum(t, credit, "Debit", of), sum(t, credit, "Credit", of), "journal of %s", entity)
			require.Equal(t, amount, sum(t, credit, "Debit", lines)-sum(t, credit, "Credit", lines))
			for name, sign := range map[string]money.Pence{"journal_signed_debit_positive": 1, "journal_signed_credit_positive": -1} {
				require.Zero(t, sum(t, files[name], "Amount", of), "%s of %s", name, entity)
				require.Equal(t, amount, sign*sum(t, files[name], "Amount", lines))
			}
		}
		require.Equal(t, net, sum(t, files["payables_invoices"], "Gross", ofType("HEADER")))
		require.Equal(t, net, sum(t, files["payables_invoices"], "Gross", ofType("LINE")))
		require.Equal(t, net, sum(t, files["payables_invoices"], "Net", ofType("LINE"))+sum(t, files["payables_invoices"], "VAT Amount", all))
		require.Equal(t, net, sum(t, files["pcse_variation"], "Amount", all))
		require.Equal(t, net, sum(t, files["pcse_variation_older"], "Amount", all))
		remittance := files["remittance"]
		require.Equal(t, net, sum(t, remittance, "Amount", all))
		require.Equal(t, net, sum(t, remittance, "Payee Total", all))
		for _, kind := range []string{"LINE", "TOTAL"} {
			var apart money.Pence
			for _, column := range []string{"Scheduled", "Adjustment", "Recovered"} {
				apart += sum(t, remittance, column, ofType(kind))
			}
			require.Equal(t, net, apart)
		}
		require.Equal(t, published, sum(t, files["transparency"], "Amount", all))
	})
}

// TestResolve_LosesNoMoney recomputes the control total and count of a bank file by parsing it.
func TestResolve_LosesNoMoney(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		batch := anyBatch().Draw(t, "batch")
		template, err := export.ParsePain001Template(rendered(t, layout(t, export.Pain001), batch))
		require.NoError(t, err)
		held := map[string]export.Account{"tok-payer": accounts()["tok-payer"]}
		for i := range batch.Payments {
			held[batch.Payments[i].Supplier.AccountToken] = export.Account{
				Name: "x" + money.Clip(naughty.Draw(t, "holder")), SortCode: fmt.Sprintf("%06d", i), AccountNumber: fmt.Sprintf("%08d", i),
			}
		}
		file, err := export.Resolve(&template, held)
		require.NoError(t, err)
		var parsed struct {
			Sums      []string `xml:"CstmrCdtTrfInitn>GrpHdr>CtrlSum"`
			Counts    []int    `xml:"CstmrCdtTrfInitn>PmtInf>NbOfTxs"`
			Transfers []struct {
				Reference string `xml:"PmtId>EndToEndId"`
				Amount    string `xml:"Amt>InstdAmt"`
				SortCode  string `xml:"CdtrAgt>FinInstnId>ClrSysMmbId>MmbId"`
				Number    string `xml:"CdtrAcct>Id>Othr>Id"`
			} `xml:"CstmrCdtTrfInitn>PmtInf>CdtTrfTxInf"`
		}
		require.NoError(t, xml.Unmarshal(file, &parsed))
		require.NoError(t, published(t).check(file))
		want := make(map[string]export.Payment)
		var net, got money.Pence
		for _, payment := range batch.Payments {
			want[payment.Reference] = payment
			net += payment.Net
		}
		for _, transfer := range parsed.Transfers {
			amount, err := money.ParsePence(transfer.Amount)
			require.NoError(t, err)
			got += amount
			payment := want[transfer.Reference]
			require.Equal(t, payment.Net, amount)
			require.Equal(t, held[payment.Supplier.AccountToken].SortCode, transfer.SortCode)
			require.Equal(t, held[payment.Supplier.AccountToken].AccountNumber, transfer.Number)
			delete(want, transfer.Reference)
		}
		require.Empty(t, want)
		require.Equal(t, net, got)
		require.Equal(t, []string{net.Plain()}, parsed.Sums)
		require.Equal(t, []int{len(batch.Payments)}, parsed.Counts)
	})
}
