package payments

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// column is one that a file may have, under any of some names.
type column struct {
	name     string
	aliases  []string
	required bool
}

// columnsOf lists the columns of a kind of file.
func columnsOf(kind paymentsv1.FileKind) []column {
	if kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		return []column{
			{name: "reference", aliases: []string{"invoice_number", "payment_id", "end_to_end_id"}},
			{name: "payee_code", aliases: []string{"payee"}},
			{name: "status", required: true},
			{name: "payment_date", aliases: []string{"date"}, required: true},
			{name: "payment_reference", aliases: []string{"payer_reference"}},
			{name: "amount", aliases: []string{"amount_gbp"}, required: true},
			{name: "reject_reason", aliases: []string{"reason"}},
		}
	}
	return []column{
		{name: "reference"},
		{name: "payee_code", aliases: []string{"payee"}, required: true},
		{name: "month", aliases: []string{"period"}},
		{name: "financial_year", aliases: []string{"year"}},
		{name: "payment_code", aliases: []string{"payment"}, required: true},
		{name: "amount", aliases: []string{"amount_gbp"}, required: true},
	}
}

// fileRow is one row of a file as read.
type fileRow struct {
	store.FileRow
	cameBack     bool
	rejectReason string
}

// What a confirmation says of a payment.
const (
	statusPaid     = "PAID"
	statusRejected = "REJECTED"
)

// rejects tells whether a confirmation says that a payment was not paid, or came back.
func (r *fileRow) rejects() bool { return r.Status == statusRejected }

// makes returns the state of a payment on which a confirmation has an effect.
func (r *fileRow) makes() paymentsv1.PaymentState {
	if r.rejects() {
		return paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
	}
	return paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
}

// readFile checks a file of today whole: every bad value is named with its line, column and reason, and then nothing of it is taken in.
func readFile(kind paymentsv1.FileKind, content []byte, today period.Date) ([]fileRow, error) {
	if !utf8.Valid(content) || bytes.ContainsRune(content, 0) {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file is not text in UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\uFEFF"))))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file has no header row")
	}
	at, err := arrange(kind, header)
	if err != nil {
		return nil, err
	}
	check := rowCheck{kind: kind, at: at, width: len(header), today: today}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line := 0
			if parse, ok := errors.AsType[*csv.ParseError](err); ok {
				line = parse.StartLine
			}
			check.bad(line, "", "", "is no row of a CSV file")
			break
		}
		line, _ := r.FieldPos(0)
		check.row(line, record)
		if len(check.rows) > maxFileRows {
			return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file has more than %d rows: divide it", maxFileRows)
		}
	}
	return check.done()
}

// arrange finds the columns of a file by name.
func arrange(kind paymentsv1.FileKind, header []string) (map[string]int, error) {
	at := make(map[string]int)
	refused := fault.New(fault.Invalid, rules.ReasonFileMalformed, "the header row does not fit the kind of file")
	for i, cell := range header {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cell)), " ", "_")
		for _, c := range columnsOf(kind) {
			if name != c.name && !slices.Contains(c.aliases, name) {
				continue
			}
			if _, twice := at[c.name]; twice {
				refused = refused.At(c.name, "stands twice")
			}
			at[c.name] = i
		}
	}
	for _, c := range columnsOf(kind) {
		if _, found := at[c.name]; c.required && !found {
			refused = refused.At(c.name, "is missing")
		}
	}
	_, reference := at["reference"]
	_, payee := at["payee_code"]
	if kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS && !reference && !payee {
		refused = refused.At("reference", "is missing, and so is payee_code")
	}
	_, month := at["month"]
	_, year := at["financial_year"]
	if kind == paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS && !month && !year {
		refused = refused.At("month", "is missing, and so is financial_year")
	}
	if len(refused.Violations) > 0 {
		return nil, refused
	}
	return at, nil
}

// rowCheck reads rows and gathers what is wrong with them.
type rowCheck struct {
	kind  paymentsv1.FileKind
	at    map[string]int
	width int
	today period.Date
	rows  []fileRow
	wrong int
	shown []fault.Violation
}

// bad notes a bad value.
func (c *rowCheck) bad(line int, column, value, why string) {
	c.wrong++
	if len(c.shown) < maxViolations {
		field := fmt.Sprintf("line %d", line)
		if column != "" {
			field += ", " + column
		}
		c.shown = append(c.shown, fault.Violation{Field: field, Reason: rules.ReasonFileHasBadRows, Description: fmt.Sprintf("%q %s", money.Clip(value), why)})
	}
}

func (c *rowCheck) done() ([]fileRow, error) {
	if c.wrong > 0 {
		refused := fault.New(fault.Invalid, rules.ReasonFileHasBadRows, "%d values of the file are wrong; nothing of it was taken in", c.wrong).With("bad_values", c.wrong)
		refused.Violations = c.shown
		return nil, refused
	}
	if len(c.rows) == 0 {
		return nil, fault.New(fault.Invalid, rules.ReasonFileMalformed, "the file has a header and no rows")
	}
	return c.rows, nil
}

// row reads one row.
func (c *rowCheck) row(line int, record []string) {
	if len(record) != c.width {
		c.bad(line, "", strings.Join(record, ","), fmt.Sprintf("has %d values, the header %d", len(record), c.width))
		return
	}
	cell := func(name string) string {
		if i, found := c.at[name]; found {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	out := fileRow{FileRow: store.FileRow{Line: line, Reference: cell("reference"), PayeeCode: cell("payee_code"), PaymentCode: cell("payment_code")}}
	var err error
	if out.Amount, err = money.ParsePence(strings.TrimPrefix(cell("amount"), "£")); err != nil {
		c.bad(line, "amount", cell("amount"), "is no amount in pounds and pence, such as 6709.25")
	}
	for _, name := range []string{"reference", "payee_code", "payment_code", "payment_reference", "reject_reason"} {
		if value := cell(name); len(value) > 200 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) {
			c.bad(line, name, value, "is longer than 200 bytes or holds control characters")
		}
	}
	if c.kind == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		c.confirmation(line, cell, &out)
		if err == nil && out.Amount <= 0 {
			c.bad(line, "amount", cell("amount"), "is not above zero")
		}
	} else {
		c.paid(line, cell, &out)
	}
	c.rows = append(c.rows, out)
}

func (c *rowCheck) confirmation(line int, cell func(string) string, out *fileRow) {
	if out.Reference == "" && out.PayeeCode == "" {
		c.bad(line, "reference", "", "is empty, and so is payee_code")
	}
	switch status := strings.ToUpper(cell("status")); status {
	case "PAID", "SETTLED":
		out.Status = statusPaid
	case "REJECTED", "RETURNED", "FAILED":
		out.Status, out.cameBack, out.rejectReason = statusRejected, status == "RETURNED", cell("reject_reason")
		if out.rejectReason == "" {
			c.bad(line, "reject_reason", "", "is empty in a row that rejects")
		}
	default:
		c.bad(line, "status", cell("status"), "is none of PAID, SETTLED, REJECTED, RETURNED, FAILED")
	}
	day, err := period.ParseDate(cell("payment_date"))
	switch {
	case err != nil:
		c.bad(line, "payment_date", cell("payment_date"), "is no day written YYYY-MM-DD")
	case day.After(c.today):
		c.bad(line, "payment_date", cell("payment_date"), "lies after today, "+c.today.String())
	}
	out.ConfirmedOn, out.PayerReference = day.String(), cell("payment_reference")
}

func (c *rowCheck) paid(line int, cell func(string) string, out *fileRow) {
	if out.PayeeCode == "" {
		c.bad(line, "payee_code", "", "is empty")
	}
	if out.PaymentCode == "" {
		c.bad(line, "payment_code", "", "is empty")
	}
	month, year := cell("month"), cell("financial_year")
	switch {
	case (month == "") == (year == ""):
		c.bad(line, "month", month+year, "a row has a month or a financial year, and only one")
	case month != "":
		m, err := period.ParseMonth(month)
		if err != nil {
			c.bad(line, "month", month, "is no month written YYYY-MM")
			return
		}
		out.Period, out.From, out.To = month, m, m
	default:
		y, err := period.ParseFinancialYear(strings.ReplaceAll(year, "-", "/"))
		if err != nil {
			c.bad(line, "financial_year", year, "is no year written 2022/23")
			return
		}
		out.Period, out.From, out.To = y.String(), y.First(), y.Last()
	}
}
