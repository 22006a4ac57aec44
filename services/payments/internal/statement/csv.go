package statement

import (
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
)

// columns are the columns of the CSV, in order.
var columns = []string{
	"section", "item", "statement_number", "commissioner_code", "pcn_code", "payee_code", "run_month", "for_month", "date", "reference",
	"line_id", "payment_code", "payment_name", "practice_code", "fund", "funding_source", "state", "confidence", "rate_gbp", "rate_per", "quantity",
	"quantity_unit", "instalments", "convention", "clause", "source", "adjusts_line_id", "cause", "hold_codes", "reason", "remedy", "text",
	"amount_gbp",
}

// CSV returns the statement as one flat table in UTF-8 with CRLF line ends, as RFC 4180 has it. The column section says what a
// row belongs to, and item which part of it: the rows of one section with one item sum to the statement's figure. Amounts are
// pounds with two decimals. A cell that a spreadsheet would take for a formula is made text. A factor names its line.
func CSV(s *Statement) ([]byte, error) {
	f, err := s.check()
	if err != nil {
		return nil, err
	}
	t := &table{common: record{
		"statement_number": s.Number, "commissioner_code": s.Commissioner.Code, "pcn_code": s.PCN.Code,
	}}
	t.w = csv.NewWriter(&t.text)
	t.w.UseCRLF = true
	_ = t.w.Write(columns)
	t.head(s, f)
	t.lines("payment", s.Payments)
	t.lines("correction", s.Corrections)
	for i := range s.Settled {
		t.settlement(&s.Settled[i])
	}
	for i := range s.Transfers {
		t.transfer(&s.Transfers[i])
	}
	for i := range s.Recoveries {
		t.recovery(&s.Recoveries[i])
	}
	for i := range s.Held {
		held := &s.Held[i]
		t.line("held", &held.Line, record{"hold_codes": held.Codes, "reason": held.Reason, "remedy": held.Remedy})
	}
	t.lines("reconcile_only", s.ReconcileOnly)
	for i := range s.Entitlements {
		t.entitlement(&s.Entitlements[i])
	}
	for i, note := range s.Notes {
		t.write("note", strconv.Itoa(i+1), record{"text": note})
	}
	t.w.Flush()
	if err := t.w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of statement %s: %w", s.Number, err)
	}
	return []byte(t.text.String()), nil
}

// record is a row by column name.
type record map[string]string

type table struct {
	text   strings.Builder
	w      *csv.Writer
	common record
}

func (t *table) write(section, item string, r record) {
	row := make([]string, len(columns))
	for i, column := range columns {
		switch column {
		case "section":
			row[i] = section
		case "item":
			row[i] = item
		default:
			row[i] = cell(t.common[column] + r[column])
		}
	}
	_ = t.w.Write(row)
}

func (t *table) head(s *Statement, f figures) {
	for _, party := range []struct {
		item string
		Party
	}{{"commissioner", s.Commissioner}, {"pcn", s.PCN}, {"payee", s.Payee}} {
		t.write("statement", party.item, record{"reference": party.Code, "text": party.Name})
	}
	t.write("statement", "period", record{"text": s.Period})
	t.write("statement", "from", record{"text": s.From.String()})
	t.write("statement", "to", record{"text": s.To.String()})
	t.write("statement", "drawn_up", record{"text": s.DrawnUp.UTC().Format(time.RFC3339)})
	t.write("statement", "known_at", record{"text": s.KnownAt.UTC().Format(time.RFC3339)})
	for _, part := range []struct {
		item   string
		amount money.Pence
	}{
		{"opening", s.Opening},
		{"payments", f.payments},
		{"corrections", f.corrections},
		{"total", s.Total},
		{"passed", f.passed},
		{"paid", f.paid},
		{"closing", s.Closing},
	} {
		t.write("summary", part.item, record{"amount_gbp": part.amount.Plain()})
	}
}

func (t *table) lines(section string, lines []Line) {
	for _, group := range byMonth(lines) {
		for i := range group {
			t.line(section, &group[i], record{})
		}
	}
}

func (t *table) line(section string, l *Line, r record) {
	r["run_month"], r["for_month"], r["line_id"] = l.Month.String(), l.ForMonth.String(), l.LineID
	r["payment_code"], r["payment_name"], r["practice_code"] = l.PaymentCode, l.PaymentName, l.PracticeCode
	r["payee_code"], r["fund"], r["funding_source"], r["state"], r["confidence"] = l.Payee.Code, l.Fund, l.FundingSource, l.State, l.Confidence
	r["convention"], r["clause"], r["adjusts_line_id"], r["cause"] = l.Convention, l.Clause, l.Adjusts, l.Cause
	r["amount_gbp"] = l.Amount.Plain()
	if l.Instalments > 1 {
		r["instalments"] = strconv.Itoa(l.Instalments)
	}
	t.write(section, "line", r)
	for _, f := range l.Factors {
		t.write("factor", section, record{
			"line_id": l.LineID, "rate_gbp": f.RateGBP, "rate_per": f.Per, "quantity": f.Quantity, "quantity_unit": f.Unit,
			"clause": f.Clause, "source": f.Source, "confidence": f.Confidence,
		})
	}
}

func (t *table) settlement(s *Settlement) {
	item := "counted"
	if !s.Counts {
		item = "not_counted"
	}
	t.write("settlement", item, record{
		"payee_code": s.Payee.Code, "date": s.Date.String(), "reference": s.Reference, "state": s.State, "amount_gbp": s.Amount.Plain(),
	})
}

// transfer writes what was taken over, or passed on; text names the other commissioner.
func (t *table) transfer(of *Transfer) {
	t.write("transfer", "passed", record{
		"date": of.Date.String(), "reference": of.Reference, "text": strings.TrimSpace(of.Other.Code + " " + of.Other.Name), "amount_gbp": of.Amount.Plain(),
	})
}

func (t *table) recovery(r *Recovery) {
	for _, movement := range []struct {
		item   string
		amount money.Pence
	}{
		{"brought_forward", r.BroughtForward},
		{"arisen", r.Arisen},
		{"passed", r.Passed},
		{"recovered", r.Recovered},
		{"carried_forward", r.CarriedForward},
	} {
		t.write("recovery", movement.item, record{"payee_code": r.Payee.Code, "text": r.Payee.Name, "amount_gbp": movement.amount.Plain()})
	}
}

func (t *table) entitlement(e *Entitlement) {
	for _, part := range []struct {
		item   string
		amount money.Pence
	}{{"year", e.Year}, {"scheduled", e.Scheduled}, {"remaining", e.Remaining}} {
		r := record{"payment_code": e.PaymentCode, "payment_name": e.PaymentName, "text": e.Period, "confidence": e.Confidence}
		if e.Known {
			r["amount_gbp"] = part.amount.Plain()
		}
		t.write("entitlement", part.item, r)
	}
}

// cell makes one line of valid UTF-8 of a text, and text of what a spreadsheet would run as a formula, in its plain or its
// wide form; a negative amount stays a number.
func cell(value string) string {
	value = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(value, string(utf8.RuneError)))
	return spreadsheet.Cell(value)
}
