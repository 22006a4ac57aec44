package statement

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// PDF returns the statement as a document of A4 pages to print and sign. The same statement makes the same bytes. A letter that
// the embedded fonts do not have is drawn as an empty box.
func PDF(s *Statement) ([]byte, error) { return draw(s, true) }

// draw draws twice, because each page says how many there are.
func draw(s *Statement, compressed bool) ([]byte, error) {
	f, err := s.check()
	if err != nil {
		return nil, err
	}
	funds, err := s.byFund()
	if err != nil {
		return nil, err
	}
	first := &document{newSheet(0, compressed), s, f, funds}
	first.draw()
	second := &document{newSheet(first.page, compressed), s, f, funds}
	second.draw()
	return second.bytes()
}

type document struct {
	*sheet
	st    *Statement
	f     figures
	funds []fundSum
}

// draw draws every part that has something to show; payments are shown even where there are none.
func (d *document) draw() {
	d.describe()
	d.turn()
	d.head()
	d.parties()
	d.summary()
	d.fundTable()
	d.lines("Payments", "", "Payments of the period", d.st.Payments, d.f.payments)
	if len(d.st.Payments) == 0 {
		d.paragraph(quiet, left, "Nothing was scheduled in this period.", right-left)
	}
	if len(d.st.Corrections) > 0 {
		d.lines("Corrections", "For earlier months, or adjusting lines that were scheduled before.", "Corrections of the period",
			d.st.Corrections, d.f.corrections)
	}
	d.settled()
	d.transfers()
	d.recoveries()
	d.held()
	if len(d.st.ReconcileOnly) > 0 {
		d.lines("Paid by PCSE", "For information. PCSE pays these through its own system; they are in no sum of this statement.",
			"Paid by PCSE", d.st.ReconcileOnly, d.f.reconcileOnly)
	}
	d.entitlements()
	d.notes()
	d.signatures()
}

// describe sets what a reader's library shows, and the running header.
func (d *document) describe() {
	s := d.st
	d.pdf.SetTitle(letters(fmt.Sprintf("Payment statement %s: %s, %s", s.Number, s.PCN.Name, s.Period)), true)
	d.pdf.SetAuthor(letters(join(" ", s.Commissioner.Code, s.Commissioner.Name)), true)
	d.pdf.SetSubject(letters("What was owed and paid to "+join(" ", s.PCN.Code, s.PCN.Name)), true)
	d.pdf.SetCreator("pcnfunding", true)
	d.pdf.SetLang("en-GB")
	d.pdf.SetCreationDate(s.DrawnUp.UTC())
	d.pdf.SetModificationDate(s.DrawnUp.UTC())
	d.header = [2]string{join(" · ", s.PCN.Name, s.Period), "Statement " + s.Number}
	d.footer = fmt.Sprintf("Drawn up %s, as known at %s", moment(s.DrawnUp), moment(s.KnownAt))
}

func (d *document) head() {
	s := d.st
	d.text(left, d.y+1400, titleFace, "Payment statement")
	d.textRight(right, d.y+1400, sectionFace, d.clip(sectionFace, s.Number, 26000))
	d.y += 2100
	d.paragraph(face{false, 1150, grey}, left, join(" · ", s.Period, s.PCN.Name), right-left)
	d.y += 600
	d.rule(left, right, d.y, 150, navy)
	d.y += 700
}

// parties names the organisations side by side.
func (d *document) parties() {
	const gap unit = 1000
	width := (right - left - 3*gap) / 4
	s := d.st
	months := shortMonth(s.From)
	if s.To != s.From {
		months += " to " + shortMonth(s.To)
	}
	begin, end := d.y, d.y
	for i, block := range []struct{ title, name, code string }{
		{"Commissioner", s.Commissioner.Name, s.Commissioner.Code},
		{"Primary care network", s.PCN.Name, s.PCN.Code},
		{"Paid to", or(s.Payee.Name, "Not recorded"), s.Payee.Code},
		{"Period", s.Period, months},
	} {
		x := left + unit(i)*(width+gap)
		d.y = begin
		d.paragraph(columnFace, x, block.title, width)
		d.y += 150
		d.paragraph(strong, x, block.name, width)
		d.paragraph(small, x, block.code, width)
		end = max(end, d.y)
	}
	d.y = end + 1300
}

// entry is a line of the summary.
type entry struct {
	label  string
	amount money.Pence
	sum    bool
}

// summary draws the account, and beside it what is no part of it.
func (d *document) summary() {
	s, r := d.st, &d.f.recovery
	account := []entry{
		{"Balance brought forward", s.Opening, false},
		{"Payments", d.f.payments, false},
		{"Corrections", d.f.corrections, false},
		{"Total of the period", s.Total, true},
		{"Sent to payees", -d.f.paid, false},
	}
	if len(s.Transfers) > 0 {
		account = append(account, entry{"Passed from and to others", d.f.passed, false})
	}
	account = append(account, entry{"Balance carried forward", s.Closing, true})
	aside := []entry{
		{"To be recovered, brought forward", r.BroughtForward, false},
		{"Arisen in the period", r.Arisen, false},
		{"Recovered from payments", r.Recovered, false},
		{"To be recovered, carried forward", r.CarriedForward, false},
		{"Held back for now", d.f.held, false},
		{"Paid by PCSE", d.f.reconcileOnly, false},
	}
	if r.Passed != 0 {
		aside = slices.Insert(aside, 2, entry{"Passed from and to others", r.Passed, false})
	}
	const (
		line    unit = 1600
		padding unit = 1100
		gap     unit = 2600
	)
	height := 2*padding + line*unit(1+max(len(account), len(aside))) + 900
	d.room(height)
	d.box(left, d.y, right-left, height, tint)
	middle := left + (right-left)*54/100
	d.entries(left+padding, middle, d.y+padding, line, "Account", account)
	d.entries(middle+gap, right-padding, d.y+padding, line, "For information", aside)
	says := "Nothing is owed at the end of the period."
	switch {
	case s.Closing > 0:
		says = "The balance carried forward is owed to the PCN."
	case s.Closing < 0:
		says = "The balance carried forward is to be recovered from the PCN."
	}
	d.text(left+padding, d.y+height-padding, small, says)
	d.y += height
}

func (d *document) entries(from, to, y, line unit, title string, entries []entry) {
	d.text(from, y+800, columnFace, title)
	y += line
	for _, e := range entries {
		f := plain
		if e.sum {
			f = strong
			d.rule(from, to, y-350, 70, navy)
		}
		d.text(from, y+800, f, e.label)
		d.textRight(to, y+800, f, amount(e.amount))
		y += line
	}
}

func (d *document) fundTable() {
	if len(d.funds) == 0 {
		return
	}
	d.section("By fund", "")
	rows := make([]row, 0, len(d.funds)+1)
	for i := range d.funds {
		f := &d.funds[i]
		rows = append(rows, row{cells: []cellText{
			{{plain, or(f.fund, "Not stated")}}, {{plain, amount(f.payments)}}, {{plain, amount(f.corrections)}}, {{plain, amount(f.total)}},
		}})
	}
	rows = append(rows, row{total: true, cells: []cellText{
		{{strong, "Total of the period"}}, {{strong, amount(d.f.payments)}}, {{strong, amount(d.f.corrections)}}, {{strong, amount(d.st.Total)}},
	}})
	d.table([]column{
		{"Fund", right - left - 27000, false},
		{"Payments", 9000, true},
		{"Corrections", 9000, true},
		{"Total", 9000, true},
	}, rows)
}

// lineColumns are the columns of every table of lines.
var lineColumns = []column{
	{"Payment", right - left - 32500, false},
	{"For", 5800, false},
	{"Fund", 11200, false},
	{"State", 6900, false},
	{"Amount", 8600, true},
}

// lines draws a table of lines; where they come from several runs, each run has its subtotal.
func (d *document) lines(title, remark, totalled string, lines []Line, total money.Pence) {
	d.section(title, remark)
	if len(lines) == 0 {
		return
	}
	groups := byMonth(lines)
	var rows []row
	for _, group := range groups {
		if len(groups) > 1 {
			// The whole adds up without overflow; a part of it may not, and is then left without a subtotal.
			var subtotal string
			if of, err := sum(group, lineAmount); err == nil {
				subtotal = amount(of)
			}
			rows = append(rows, row{shaded: true, first: true, cells: []cellText{
				{{strong, or(monthName(group[0].Month), "Month not stated")}}, nil, nil, {{small, count(len(group), "line", "lines")}}, {{strong, subtotal}},
			}})
		}
		for i := range group {
			rows = append(rows, lineRow(&group[i]))
		}
	}
	d.table(lineColumns, append(rows, totalRow(totalled, total)))
}

func totalRow(label string, total money.Pence) row {
	return row{total: true, cells: []cellText{{{strong, label}}, nil, nil, nil, {{strong, amount(total)}}}}
}

func lineRow(l *Line) row {
	return row{
		cells: []cellText{
			{{plain, or(l.PaymentName, l.PaymentCode)}, {small, l.PracticeCode}},
			{{plain, shortMonth(l.ForMonth)}},
			{{small, l.Fund}},
			{{small, l.State}, {caution, label(l.Confidence)}},
			{{plain, amount(l.Amount)}},
		},
		below: lineWorking(l),
	}
}

// lineWorking says under a line how its amount came about.
func lineWorking(l *Line) []styled {
	var out []styled
	if l.Adjusts != "" || l.Cause != "" {
		adjusts := ""
		if l.Adjusts != "" {
			adjusts = "Adjusts line " + l.Adjusts
		}
		out = append(out, styled{small, join(": ", adjusts, l.Cause)})
	}
	for i := range l.Factors {
		f := &l.Factors[i]
		sentence := f.sentence()
		if i > 0 {
			sentence = "+ " + sentence
		}
		if i == len(l.Factors)-1 {
			sentence = join(" ", sentence, l.spread())
		}
		clause := f.Clause
		if clause == l.Clause {
			clause = ""
		}
		out = append(out, styled{small, join(" · ", sentence, clause, f.Source)})
		if note := label(f.Confidence); note != "" && f.Confidence != l.Confidence {
			out = append(out, styled{caution, note})
		}
	}
	return append(out, styled{small, join(" · ", l.Clause, l.PaymentCode, l.LineID)})
}

func (d *document) settled() {
	if len(d.st.Settled) == 0 {
		return
	}
	d.section("Sent to payees", "The PCN's part of each payment. What counts reduces the balance; a sum that was rejected does not.")
	rows := make([]row, 0, len(d.st.Settled)+1)
	for i := range d.st.Settled {
		s := &d.st.Settled[i]
		counts := "–"
		if s.Counts {
			counts = amount(s.Amount)
		}
		rows = append(rows, row{cells: []cellText{
			{{plain, day(s.Date)}}, {{plain, s.Reference}}, {{small, join(" ", s.Payee.Code, s.Payee.Name)}}, {{plain, s.State}}, {{plain, amount(s.Amount)}}, {{plain, counts}},
		}})
	}
	d.table([]column{
		{"Date", 7600, false},
		{"Reference", 10400, false},
		{"Payee", right - left - 36000, false},
		{"State", 5000, false},
		{"Amount", 6500, true},
		{"Counts", 6500, true},
	}, append(rows, row{total: true, cells: []cellText{{{strong, "Sent to payees"}}, nil, nil, nil, nil, {{strong, amount(d.f.paid)}}}}))
}

func (d *document) recoveries() {
	if len(d.st.Recoveries) == 0 {
		return
	}
	d.section("Recoveries", "What payees were paid too much for the PCN in earlier runs. Recovered was taken out of payments.")
	rows := make([]row, 0, len(d.st.Recoveries)+1)
	for i := range d.st.Recoveries {
		r := &d.st.Recoveries[i]
		rows = append(rows, recoveryRow(plain, join(" ", r.Payee.Code, r.Payee.Name), r))
	}
	total := recoveryRow(strong, "All", &d.f.recovery)
	total.total = true
	d.table([]column{
		{"Payee", right - left - 34000, false},
		{"Brought forward", 6800, true},
		{"Arisen", 6800, true},
		{"Passed", 6800, true},
		{"Recovered", 6800, true},
		{"Carried forward", 6800, true},
	}, append(rows, total))
}

// transfers says what passed to or from other commissioners.
func (d *document) transfers() {
	if len(d.st.Transfers) == 0 {
		return
	}
	d.section("Passed from and to others", "What this commissioner took over from another, or another from it, as it was owed then. Each amount is in one account only.")
	rows := make([]row, 0, len(d.st.Transfers)+1)
	for i := range d.st.Transfers {
		t := &d.st.Transfers[i]
		rows = append(rows, row{cells: []cellText{
			{{plain, day(t.Date)}}, {{small, join(" ", t.Other.Code, t.Other.Name)}}, {{small, t.Reference}}, {{plain, amount(t.Amount)}},
		}})
	}
	d.table([]column{
		{"Date", 7600, false},
		{"Commissioner", right - left - 30100, false},
		{"Move", 16000, false},
		{"Amount", 6500, true},
	}, append(rows, row{total: true, cells: []cellText{{{strong, "Passed from and to others"}}, nil, nil, {{strong, amount(d.f.passed)}}}}))
}

func recoveryRow(f face, payee string, r *Recovery) row {
	return row{cells: []cellText{
		{{f, payee}},
		{{f, amount(r.BroughtForward)}},
		{{f, amount(r.Arisen)}},
		{{f, amount(r.Passed)}},
		{{f, amount(r.Recovered)}},
		{{f, amount(r.CarriedForward)}},
	}}
}

func (d *document) held() {
	if len(d.st.Held) == 0 {
		return
	}
	d.section("Held back", "Owed, but not to be sent until the remedy is done. The balance carried forward holds them.")
	rows := make([]row, len(d.st.Held))
	for i := range d.st.Held {
		h := &d.st.Held[i]
		rows[i] = lineRow(&h.Line)
		rows[i].below = append([]styled{{caution, join(": ", h.Reason, h.Remedy)}, {small, h.Codes}}, rows[i].below...)
	}
	d.table(lineColumns, append(rows, totalRow("Held back", d.f.held)))
}

func (d *document) entitlements() {
	if len(d.st.Entitlements) == 0 {
		return
	}
	d.section("What remains of each entitlement", "The year's amount, what was scheduled of it so far, and what is still to come.")
	columns := []column{
		{"Payment", right - left - 36500, false},
		{"Year", 7000, false},
		{"Year's amount", 7000, true},
		{"Scheduled", 7000, true},
		{"Remaining", 7000, true},
		{"Scheduled so far", 8500, true},
	}
	rows := make([]row, len(d.st.Entitlements))
	for i := range d.st.Entitlements {
		e := &d.st.Entitlements[i]
		rows[i].cells = []cellText{
			{{plain, or(e.PaymentName, e.PaymentCode)}, {caution, label(e.Confidence)}},
			{{plain, e.Period}},
			{{quiet, "not known"}},
			nil, nil, nil,
		}
		if e.Known {
			copy(rows[i].cells[2:], []cellText{
				{{plain, amount(e.Year)}}, {{plain, amount(e.Scheduled)}}, {{plain, amount(e.Remaining)}}, {{plain, percent(e.Scheduled, e.Year)}},
			})
			fill := filled(e.Scheduled, e.Year, barLength(columns))
			rows[i].bar = &fill
		}
	}
	d.table(columns, rows)
}

func (d *document) notes() {
	if len(d.st.Notes) == 0 {
		return
	}
	d.section("Notes", "")
	for i, note := range d.st.Notes {
		const indent unit = 1500
		d.y += 200
		d.room(plain.leading())
		d.text(left, d.y+plain.leading()*8/10, plain, strconv.Itoa(i+1)+".")
		d.paragraph(plain, left+indent, note, right-left-indent)
	}
}

// signatures draws the lines to sign on, all on one page.
func (d *document) signatures() {
	const (
		height unit = 13500
		line   unit = 2700
		gap    unit = 3000
		indent unit = 5200
	)
	d.y += sectionSpace
	d.room(height)
	width := (right - left - gap) / 2
	for i, title := range []string{"Prepared by", "Approved by"} {
		x, y := left+unit(i)*(width+gap), d.y
		d.text(x, y, sectionFace, title)
		for _, label := range []string{"Name", "Signature", "Date"} {
			y += line
			d.text(x, y, small, label)
			d.rule(x+indent, x+width, y+100, 60, grey)
		}
	}
	d.y += height
}
