package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

const (
	// mostMonths is how many months before a lump may reach back to.
	mostMonths = 11
	// mostKnown bounds the other rates, or lists, that are tried for one line; the latest come first.
	mostKnown = 24
	// mostPairs bounds the rates, and the lists, that are tried together.
	mostPairs = 6
)

// seriesKey is one payment to one payee, month after month.
type seriesKey struct{ payee, payment string }

// monthSum is what a month of a series comes to, whatever the findings it is in.
type monthSum struct {
	expected, paid money.Pence
	lines          []int
	rows           int
}

// listKey is what lists and beds belong to.
type listKey struct{ pcn, practice, per string }

// rateKey is what versions of a rate belong to.
type rateKey struct{ payment, per string }

// unitKey is what entitlements belong to.
type unitKey struct{ pcn, practice, payment string }

// drift is how a series runs a month late (1) or early (-1); zero where it does not.
type drift struct {
	delta, months int
	sure          bool
}

// detective holds what causes are found with.
type detective struct {
	*reconciler
	months       map[monthKey]*monthSum
	series       map[seriesKey][]period.Month
	drifts       map[seriesKey]drift
	rates        map[rateKey][]KnownRate
	quantities   map[listKey][]KnownQuantity
	entitlements map[unitKey][]int
	seen         map[amountKey]int // first row of an amount, by payee, payment and month
	referenced   map[string]int    // first row of an amount, by reference
	missing      map[amountKey]int // finding by payment, month and amount, whoever the payee
	extra        map[amountKey]int
	gives        []answer            // whether the basis of a line gives its amount
	lumps        map[monthKey]string // months that a later row made good
}

// explain gives every finding that needs one its likely cause with the evidence. The simplest explanation that gives the very
// pence is taken.
func (r *reconciler) explain() {
	d := &detective{reconciler: r, lumps: make(map[monthKey]string), gives: make([]answer, len(r.lines))}
	d.sumUp()
	if slices.ContainsFunc(r.findings, func(f Finding) bool { return f.Status == Different }) {
		d.know()
	}
	d.indexRows()
	for n := range r.findings {
		f := &r.findings[n]
		switch f.Status {
		case Matched:
			f.Cause, f.Evidence = d.ofMatch(f)
		case Different:
			f.Cause, f.Evidence = d.ofDifference(f)
		case Extra:
			f.Cause, f.Evidence = d.ofExtra(f)
		case Missing:
		}
	}
	// What a later month made good is known only now.
	for n := range r.findings {
		f := &r.findings[n]
		switch {
		case f.Status == Missing:
			f.Cause, f.Evidence = d.ofMissing(f)
		case f.Status == Different && d.lumps[f.key()] != "":
			f.Evidence += "; " + d.lumps[f.key()]
		}
	}
}

func (f *Finding) key() monthKey { return monthKey{f.PayeeCode, f.PaymentCode, f.Month} }

// sumUp adds up lines and rows month by month.
func (d *detective) sumUp() {
	d.months = make(map[monthKey]*monthSum, len(d.lines))
	d.series = make(map[seriesKey][]period.Month)
	d.drifts = make(map[seriesKey]drift)
	at := func(key monthKey) *monthSum {
		if d.months[key] == nil {
			d.months[key] = new(monthSum)
			series := seriesKey{key.payee, key.payment}
			d.series[series] = append(d.series[series], key.month)
		}
		return d.months[key]
	}
	for i := range d.lines {
		line := &d.lines[i]
		sum := at(monthKey{line.PayeeCode, line.PaymentCode, line.ScheduleMonth})
		sum.expected += line.Amount
		sum.lines = append(sum.lines, i)
	}
	counted := make([]bool, len(d.rows))
	for n := range d.findings {
		f := &d.findings[n]
		if !d.paidElsewhere(f) {
			continue
		}
		for _, l := range f.lines {
			line := &d.lines[l]
			sum := at(monthKey{line.PayeeCode, line.PaymentCode, line.ScheduleMonth})
			sum.paid += line.Amount
			sum.rows++
		}
		for _, p := range f.rows {
			counted[p] = true
		}
	}
	for i := range d.rows {
		if row := &d.rows[i]; row.Year == 0 && !counted[i] {
			sum := at(monthKey{row.PayeeCode, row.PaymentCode, row.Month})
			sum.paid += row.Amount
			sum.rows++
		}
	}
}

// paidElsewhere tells whether lines were matched with rows that bear another month or payment than they do: they count as paid in
// their own.
func (d *detective) paidElsewhere(f *Finding) bool {
	if f.Status != Matched || len(f.rows) == 0 || f.Step == ByPeriod {
		return false
	}
	return f.Step != ByAmount || d.rows[f.rows[0]].PaymentCode != f.PaymentCode
}

// know gathers the rates and lists that lines rest on or that are given, each figure once.
func (d *detective) know() {
	d.rates, d.quantities = make(map[rateKey][]KnownRate), make(map[listKey][]KnownQuantity)
	d.entitlements = make(map[unitKey][]int, len(d.in.Entitlements))
	for i := range d.in.Entitlements {
		e := &d.in.Entitlements[i]
		key := unitKey{e.PCNCode, e.PracticeCode, e.PaymentCode}
		d.entitlements[key] = append(d.entitlements[key], i)
	}
	addRate := func(rate KnownRate) {
		key := rateKey{rate.PaymentCode, rate.Per}
		if known := d.rates[key]; len(known) < mostKnown && !slices.ContainsFunc(known, func(k KnownRate) bool {
			return k.RateGBP.Cmp(rate.RateGBP) == 0 && k.Instalments == rate.Instalments
		}) {
			d.rates[key] = append(known, rate)
		}
	}
	addQuantity := func(quantity KnownQuantity) {
		key := listKey{quantity.PCNCode, quantity.PracticeCode, quantity.Per}
		if known := d.quantities[key]; len(known) < mostKnown && !slices.ContainsFunc(known, func(k KnownQuantity) bool {
			return k.Quantity.Cmp(quantity.Quantity) == 0
		}) {
			d.quantities[key] = append(known, quantity)
		}
	}
	rates := slices.Clone(d.in.Rates)
	slices.SortFunc(rates, func(a, b KnownRate) int {
		return cmp.Or(cmp.Compare(a.RateID, b.RateID), a.RateGBP.Cmp(b.RateGBP), cmp.Compare(a.Instalments, b.Instalments))
	})
	for _, rate := range rates {
		addRate(rate)
	}
	quantities := slices.Clone(d.in.Quantities)
	slices.SortFunc(quantities, func(a, b KnownQuantity) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), a.Quantity.Cmp(b.Quantity))
	})
	for _, quantity := range quantities {
		addQuantity(quantity)
	}
	for i := len(d.lines) - 1; i >= 0; i-- {
		line := &d.lines[i]
		if !line.Basis.usable() {
			continue
		}
		for _, factor := range line.Basis.Factors {
			addRate(KnownRate{line.PaymentCode, factor.Per, factor.RateID, factor.RateGBP, line.Basis.Instalments})
			addQuantity(KnownQuantity{line.PCNCode, line.PracticeCode, factor.Per, factor.Quantity, "the lines of " + line.ScheduleMonth.String()})
		}
	}
}

// indexRows finds the first row of each amount, and what is missing or extra by its amount.
func (d *detective) indexRows() {
	d.seen, d.referenced = make(map[amountKey]int, len(d.rows)), make(map[string]int)
	for i := range d.rows {
		row := &d.rows[i]
		if row.Reference != "" {
			key := row.Reference + "|" + strconv.FormatInt(int64(row.Amount), 10)
			if _, known := d.referenced[key]; !known {
				d.referenced[key] = i
			}
		}
		key := amountKey{monthKey{row.PayeeCode, row.PaymentCode, row.Month}, row.Amount}
		if _, known := d.seen[key]; !known {
			d.seen[key] = i
		}
	}
	d.missing, d.extra = make(map[amountKey]int), make(map[amountKey]int)
	for n := range d.findings {
		f := &d.findings[n]
		switch {
		case f.Year != 0:
		case f.Status == Missing:
			d.missing[amountKey{monthKey{"", f.PaymentCode, f.Month}, f.Expected}] = n
		case f.Status == Extra:
			d.extra[amountKey{monthKey{"", f.PaymentCode, f.Month}, f.Paid}] = n
		}
	}
}

// ofMatch names what is odd about a match: its month or its payment code.
func (d *detective) ofMatch(f *Finding) (cause ReconcileCause, evidence string) {
	switch f.Step {
	case ByRecovery:
		return CauseRecovered, fmt.Sprintf("%s was carried forward as overpaid, and is what was taken off later payments", f.Expected)
	case ByAmount:
		row := &d.rows[f.rows[0]]
		if row.Month != f.Month {
			return CauseOneMonthShift, fmt.Sprintf("%s of %s was paid in %s (row %d)%s",
				f.Paid, f.Month, row.Month, row.Row, d.drift(seriesKey{f.PayeeCode, f.PaymentCode}).words())
		}
		return CauseOtherPayment, fmt.Sprintf("%s of %s was paid under %s (row %d)", f.Paid, f.PaymentCode, row.PaymentCode, row.Row)
	case ByReference, ByPeriod, ByForMonth, ByYear, ByNetting:
	}
	return "", ""
}

// ofDifference tells why an amount differs.
func (d *detective) ofDifference(f *Finding) (ReconcileCause, string) {
	if f.Step == ByRecovery {
		return CauseRecovered, fmt.Sprintf("%s was carried forward as overpaid and %s taken off payments in these months: %s is taken off in others, or still owed",
			f.Expected, f.Paid, f.Expected-f.Paid)
	}
	if payee := d.otherPayee(f); payee != "" {
		return CauseOtherPayee, fmt.Sprintf("%s was paid to %s; %s was expected to go to %s", f.Paid, payee, f.Expected, f.PayeeCode)
	}
	if f.Paid == -f.Expected {
		return CauseSign, fmt.Sprintf("%s was paid, %s was expected: the opposite sign", f.Paid, f.Expected)
	}
	drift := d.drift(seriesKey{f.PayeeCode, f.PaymentCode})
	causes := []func(*Finding) (ReconcileCause, string){d.rounding}
	if drift.sure {
		causes = append(causes, d.shift)
	}
	causes = append(causes, d.arrears, d.twice, d.oldRate, d.oldList, d.oldBoth, d.shift, d.component, d.wholePeriod, d.severalMonths)
	for _, find := range causes {
		if cause, evidence := find(f); cause != "" {
			return cause, evidence
		}
	}
	return unexplained(f)
}

func (d *detective) otherPayee(f *Finding) string {
	for _, p := range f.rows {
		if payee := d.rows[p].PayeeCode; payee != "" && payee != f.PayeeCode {
			return payee
		}
	}
	return ""
}

func unexplained(f *Finding) (ReconcileCause, string) {
	return CauseUnknown, fmt.Sprintf("%s was expected and %s paid: %s, which no known figure gives", f.Expected, f.Paid, signed(f.Difference))
}

// shift finds the month before or after that expected what was paid.
func (d *detective) shift(f *Finding) (ReconcileCause, string) {
	if f.Month.IsZero() {
		return "", ""
	}
	found := d.drift(seriesKey{f.PayeeCode, f.PaymentCode})
	for _, delta := range []int{cmp.Or(found.delta, 1), -cmp.Or(found.delta, 1)} {
		key := f.key()
		key.month = key.month.Add(-delta)
		if sum := d.months[key]; sum != nil && len(sum.lines) > 0 && sum.expected == f.Paid {
			text := fmt.Sprintf("%s is what was expected in %s; %s was expected in %s", f.Paid, key.month, f.Expected, f.Month)
			if delta == found.delta {
				text += found.words()
			}
			return CauseOneMonthShift, text
		}
	}
	return "", ""
}

// drift tells whether a series as a whole runs a month late or early: what was paid in every month is what another was expected
// to be, month for month on both sides, or else in two months at least where it is not what the month itself expected.
func (d *detective) drift(series seriesKey) drift {
	if known, done := d.drifts[series]; done {
		return known
	}
	d.drifts[series] = drift{}
	for _, delta := range []int{1, -1} {
		if found := d.drifting(series, delta); found.delta != 0 {
			d.drifts[series] = found
			break
		}
	}
	return d.drifts[series]
}

func (d *detective) drifting(series seriesKey, delta int) drift {
	var paid, expected, telling int
	for _, month := range d.series[series] {
		key := monthKey{series.payee, series.payment, month}
		here := d.months[key]
		if len(here.lines) > 0 {
			expected++
		}
		if here.rows == 0 {
			continue
		}
		paid++
		key.month = month.Add(-delta)
		there := d.months[key]
		if there == nil || len(there.lines) == 0 || there.expected != here.paid {
			return drift{}
		}
		if here.expected != here.paid {
			telling++
		}
	}
	if paid < 2 || telling == 0 || (paid != expected && telling < 2) {
		return drift{}
	}
	return drift{delta: delta, months: paid, sure: true}
}

func (s drift) words() string {
	switch s.delta {
	case 1:
		return fmt.Sprintf("; in all %d months paid the amount is that expected the month before", s.months)
	case -1:
		return fmt.Sprintf("; in all %d months paid the amount is that expected the month after", s.months)
	default:
		return ""
	}
}

// arrears finds the months before whose shortfall was paid on top, and notes that they were made good.
func (d *detective) arrears(f *Finding) (ReconcileCause, string) {
	if f.Month.IsZero() {
		return "", ""
	}
	above := f.Difference
	if f.Status == Extra {
		above = f.Paid
	}
	var lack money.Pence
	var months []string
	var lines []*ExpectedLine
	whole := f.Status == Different // nothing was paid for the months before, and every amount can be recomputed
	if whole {
		var fixed money.Pence
		lines, fixed = d.split(f)
		whole = fixed == 0 && len(lines) == len(f.lines)
	}
	key := f.key()
	for n := 1; n <= mostMonths; n++ {
		key.month = f.Month.Add(-n)
		sum := d.months[key]
		if sum == nil || len(sum.lines) == 0 {
			return "", ""
		}
		lack += sum.expected - sum.paid
		months = append(months, fmt.Sprintf("%s %s expected and %s paid", key.month, sum.expected, sum.paid))
		if whole = whole && sum.rows == 0; whole {
			lines, whole = d.alike(lines, sum.lines)
		}
		if lack == 0 {
			continue
		}
		if lack == above {
			return d.lump(f, n, fmt.Sprintf("%s is what %d %s before lacked (%s)", lack, n, plural(n, "month"), strings.Join(months, ", ")))
		}
		if !whole {
			continue
		}
		if once, ok := toPence(sumOf(lines), money.HalfUp); ok && once == f.Paid {
			return d.lump(f, n, fmt.Sprintf("%s and the %d %s before rounded once come to %s (%s)",
				f.Month, n, plural(n, "month"), f.Paid, strings.Join(months, ", ")))
		}
	}
	return "", ""
}

// alike appends the lines of a month where each can be recomputed.
func (d *detective) alike(lines []*ExpectedLine, month []int) ([]*ExpectedLine, bool) {
	for _, l := range month {
		if !d.recomputable(l) {
			return lines, false
		}
		lines = append(lines, &d.lines[l])
	}
	return lines, true
}

// lump notes that the months before were made good.
func (d *detective) lump(f *Finding, months int, evidence string) (ReconcileCause, string) {
	key := f.key()
	for n := 1; n <= months; n++ {
		key.month = f.Month.Add(-n)
		if sum := d.months[key]; sum.expected != sum.paid && d.lumps[key] == "" {
			d.lumps[key] = fmt.Sprintf("%s of %s %s paid in %s (%s)", sum.expected-sum.paid, key.month,
				"seems to be among what was", f.Month, rowWords(f.Rows))
		}
	}
	if f.Status == Different {
		evidence = fmt.Sprintf("%s is the %s expected and %s more: %s", f.Paid, f.Expected, f.Difference, evidence)
	}
	return CauseArrearsLump, evidence
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func rowWords(rows []int) string {
	const most = 5
	texts := make([]string, 0, most+1)
	for n, row := range rows {
		if n == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, strconv.Itoa(row))
	}
	return plural(len(rows), "row") + " " + strings.Join(texts, ", ")
}

// twice finds an amount paid twice.
func (d *detective) twice(f *Finding) (ReconcileCause, string) {
	if f.Paid != 2*f.Expected {
		return "", ""
	}
	return CauseDuplicate, fmt.Sprintf("%s is twice the %s expected", f.Paid, f.Expected)
}

// severalMonths finds a sum of this month and some before, although these were paid.
func (d *detective) severalMonths(f *Finding) (ReconcileCause, string) {
	if f.Month.IsZero() {
		return "", ""
	}
	key, sum := f.key(), f.Expected
	for n := 1; n <= mostMonths; n++ {
		key.month = f.Month.Add(-n)
		month := d.months[key]
		if month == nil || len(month.lines) == 0 {
			break
		}
		if sum += month.expected; sum == f.Paid {
			return CauseArrearsLump, fmt.Sprintf("%s is what was expected for %s and the %d %s before together, though these were not left unpaid",
				f.Paid, f.Month, n, plural(n, "month"))
		}
	}
	return "", ""
}

// wholePeriod finds the amount of the whole period.
func (d *detective) wholePeriod(f *Finding) (ReconcileCause, string) {
	e, of := d.entitled(f)
	if !of || e.Instalments == 1 || e.Amount != f.Paid {
		return "", ""
	}
	return CauseWholePeriod, fmt.Sprintf("%s is the amount of the whole period %s to %s, payable in %d instalments; %s was expected",
		f.Paid, e.From, e.To, e.Instalments, f.Expected)
}

// component finds that only one of several components was paid.
func (d *detective) component(f *Finding) (ReconcileCause, string) {
	lines, fixed := d.split(f)
	if len(lines) != 1 {
		return "", ""
	}
	basis := lines[0].Basis
	for i := range basis.Factors {
		if len(basis.Factors) == 1 {
			break
		}
		only := basis.with(basis.Factors[i : i+1])
		if amount, err := only.instalment(); err == nil && amount+fixed == f.Paid {
			return CausePartial, fmt.Sprintf("%s is the part per %s alone: %s; %s was expected",
				f.Paid, inWords(only.Factors[0].Per), only.formula(), f.Expected)
		}
	}
	return "", ""
}

func inWords(name string) string { return strings.ReplaceAll(name, "_", " ") }

// ofExtra tells why something was paid that no line expects.
func (d *detective) ofExtra(f *Finding) (ReconcileCause, string) {
	row := &d.rows[f.rows[0]]
	if row.Recovery {
		return CauseRecovered, fmt.Sprintf("%s was taken off a payment of %s for an overpayment carried forward in another month", f.Paid, f.Month)
	}
	if row.Reference != "" {
		if first := d.referenced[row.Reference+"|"+strconv.FormatInt(int64(row.Amount), 10)]; first != f.rows[0] {
			return CauseDuplicate, fmt.Sprintf("%s was paid already under reference %s (row %d)", f.Paid, row.Reference, d.rows[first].Row)
		}
	}
	key := amountKey{f.key(), f.Paid}
	if first := d.seen[key]; first != f.rows[0] && f.Year == 0 {
		return CauseDuplicate, fmt.Sprintf("%s was paid already in %s (row %d)", f.Paid, f.Month, d.rows[first].Row)
	}
	for _, delta := range []int{0, -1, 1} {
		other := amountKey{monthKey{f.PayeeCode, f.PaymentCode, f.Month.Add(delta)}, -f.Paid}
		if first, known := d.seen[other]; known && f.Paid != 0 && f.Year == 0 {
			return CauseReversed, fmt.Sprintf("%s stands against %s of %s (row %d)", f.Paid, -f.Paid, other.month, d.rows[first].Row)
		}
	}
	key.payee = ""
	if n, known := d.missing[key]; known && f.Year == 0 && d.findings[n].PayeeCode != f.PayeeCode {
		return CauseOtherPayee, fmt.Sprintf("%s of %s is missing from %s", f.Paid, f.Month, d.findings[n].PayeeCode)
	}
	if drift := d.drift(seriesKey{f.PayeeCode, f.PaymentCode}); drift.sure && f.Year == 0 && d.months[f.key()].paid == f.Paid {
		return CauseOneMonthShift, fmt.Sprintf("%s is what was expected in %s%s", f.Paid, f.Month.Add(-drift.delta), drift.words())
	}
	if cause, evidence := d.arrears(f); cause != "" {
		return cause, evidence
	}
	when := f.Month.String()
	if f.Year != 0 {
		when = f.Year.String()
	}
	return CauseUnknown, fmt.Sprintf("%s was paid for %s in %s, and no line expects it",
		f.Paid, f.PaymentCode, when)
}

// ofMissing tells why something was not paid.
func (d *detective) ofMissing(f *Finding) (ReconcileCause, string) {
	if line := &d.lines[f.lines[0]]; line.Standing != "" {
		return line.Standing, fmt.Sprintf("%s was expected in %s: %s", f.Expected, f.Month, line.Where)
	}
	if lump := d.lumps[f.key()]; lump != "" {
		return CauseArrearsLump, lump
	}
	if n, known := d.extra[amountKey{monthKey{"", f.PaymentCode, f.Month}, f.Expected}]; known && d.findings[n].PayeeCode != f.PayeeCode {
		return CauseOtherPayee, fmt.Sprintf("%s of %s was paid to %s (row %d)", f.Expected, f.Month, d.findings[n].PayeeCode, d.findings[n].Rows[0])
	}
	sum := d.months[f.key()]
	if drift := d.drift(seriesKey{f.PayeeCode, f.PaymentCode}); drift.sure && sum.rows == 0 {
		return CauseOneMonthShift, fmt.Sprintf("%s of %s would have been paid in %s%s", f.Expected, f.Month, f.Month.Add(drift.delta), drift.words())
	}
	if sum.paid != 0 && sum.expected != f.Expected {
		return CausePartial, fmt.Sprintf("of %s expected in %s %s was paid, and %s of it was not", sum.expected, f.Month, sum.paid, f.Expected)
	}
	return CauseUnknown, fmt.Sprintf("%s was expected in %s, and nothing was paid", f.Expected, f.Month)
}
