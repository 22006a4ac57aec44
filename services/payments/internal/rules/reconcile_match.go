package rules

import (
	"cmp"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// monthKey is what lines and rows of one month are added up by.
type monthKey struct {
	payee, payment string
	month          period.Month
}

// yearKey is what lines and rows of one financial year are added up by.
type yearKey struct {
	payee, payment string
	year           period.FinancialYear
}

// reconciler is a reconciliation under way. Lines and rows are named by their place in the sorted input, so that nothing
// depends on the order they came in.
type reconciler struct {
	in                  *ReconcileInput
	lines               []ExpectedLine
	rows                []PaidRow
	lineTaken, rowTaken []bool
	findings            []Finding
}

func newReconciler(in *ReconcileInput) *reconciler {
	r := &reconciler{
		in: in, lines: slices.Clone(in.Lines), rows: slices.Clone(in.Rows),
		lineTaken: make([]bool, len(in.Lines)), rowTaken: make([]bool, len(in.Rows)),
		findings: make([]Finding, 0, max(len(in.Lines), len(in.Rows))),
	}
	slices.SortFunc(r.lines, func(a, b ExpectedLine) int {
		return cmp.Or(a.ScheduleMonth.Compare(b.ScheduleMonth), a.ForMonth.Compare(b.ForMonth), cmp.Compare(a.LineID, b.LineID))
	})
	slices.SortFunc(r.rows, func(a, b PaidRow) int { return cmp.Compare(a.Row, b.Row) })
	return r
}

// match puts every line and every row into one finding.
func (r *reconciler) match() {
	r.byReference()
	scheduled := func(l *ExpectedLine) (monthKey, bool) {
		return monthKey{l.PayeeCode, l.PaymentCode, l.ScheduleMonth}, true
	}
	inMonth := func(p *PaidRow) (monthKey, bool) {
		return monthKey{p.PayeeCode, p.PaymentCode, p.Month}, !p.Month.IsZero() && !p.Recovery
	}
	inYear := func(p *PaidRow) (yearKey, bool) { return yearKey{p.PayeeCode, p.PaymentCode, p.Year}, p.Year != 0 }
	scheduledYear := func(l *ExpectedLine) (yearKey, bool) {
		return yearKey{l.PayeeCode, l.PaymentCode, l.ScheduleMonth.FinancialYear()}, true
	}
	pairUp(r, ByPeriod, scheduled, inMonth)
	pairUp(r, ByForMonth, func(l *ExpectedLine) (monthKey, bool) {
		return monthKey{l.PayeeCode, l.PaymentCode, l.ForMonth}, true
	}, inMonth)
	pairUp(r, ByYear, scheduledYear, inYear)
	pairUp(r, ByYear, func(l *ExpectedLine) (yearKey, bool) {
		return yearKey{l.PayeeCode, l.PaymentCode, l.ForMonth.FinancialYear()}, true
	}, inYear)
	r.byAmount(scheduled, inMonth)
	r.byRecovery()
	differ(r, scheduled, inMonth)
	differ(r, scheduledYear, inYear)
	r.rest()
}

// keyGroup is the lines and the rows left under one key.
type keyGroup[K comparable] struct {
	key         K
	lines, rows []int
}

// collect gathers what is left by key, in order of the first line or row of each.
func collect[K comparable](r *reconciler, lineKey func(*ExpectedLine) (K, bool), rowKey func(*PaidRow) (K, bool)) []keyGroup[K] {
	places := make(map[K]int)
	var groups []keyGroup[K]
	at := func(key K) *keyGroup[K] {
		place, known := places[key]
		if !known {
			place = len(groups)
			places[key] = place
			groups = append(groups, keyGroup[K]{key: key})
		}
		return &groups[place]
	}
	for i := range r.lines {
		if r.lineTaken[i] {
			continue
		}
		if key, ok := lineKey(&r.lines[i]); ok {
			g := at(key)
			g.lines = append(g.lines, i)
		}
	}
	for i := range r.rows {
		if r.rowTaken[i] {
			continue
		}
		if key, ok := rowKey(&r.rows[i]); ok {
			g := at(key)
			g.rows = append(g.rows, i)
		}
	}
	return groups
}

// pairUp matches what is left under equal keys where the amounts are equal.
func pairUp[K comparable](r *reconciler, step MatchStep, lineKey func(*ExpectedLine) (K, bool), rowKey func(*PaidRow) (K, bool)) {
	for _, g := range collect(r, lineKey, rowKey) {
		r.pair(step, g.lines, g.rows)
	}
}

// differ calls what is left under equal keys on both sides different.
func differ[K comparable](r *reconciler, lineKey func(*ExpectedLine) (K, bool), rowKey func(*PaidRow) (K, bool)) {
	for _, g := range collect(r, lineKey, rowKey) {
		if len(g.lines) > 0 && len(g.rows) > 0 {
			r.take(Different, 0, g.lines, g.rows)
		}
	}
}

// byReference compares the lines of each instruction with the rows that bear its reference, payment by payment where the rows
// tell the payments apart. What stands on both sides of one reference belongs together, whatever the amounts.
func (r *reconciler) byReference() {
	groups := collect(r,
		func(l *ExpectedLine) (string, bool) { return l.Reference, l.Reference != "" },
		func(p *PaidRow) (string, bool) { return p.Reference, p.Reference != "" })
	for _, g := range groups {
		if len(g.lines) == 0 || len(g.rows) == 0 {
			continue
		}
		if len(g.rows) == 1 && r.expected(g.lines) == r.paid(g.rows) {
			r.take(Matched, ByReference, g.lines, g.rows)
			continue
		}
		lines, rows := make(map[string][]int), make(map[string][]int)
		var codes []string
		for _, l := range g.lines {
			code := r.lines[l].PaymentCode
			lines[code] = append(lines[code], l)
		}
		for _, p := range g.rows {
			code := r.rows[p].PaymentCode
			if rows[code] == nil {
				codes = append(codes, code)
			}
			rows[code] = append(rows[code], p)
		}
		for _, code := range codes {
			r.pairOrDiffer(lines[code], rows[code])
		}
		r.pairOrDiffer(r.freeLines(g.lines), r.freeRows(g.rows))
	}
}

func (r *reconciler) pairOrDiffer(lines, rows []int) {
	r.pair(ByReference, lines, rows)
	if lines, rows = r.freeLines(lines), r.freeRows(rows); len(lines) > 0 && len(rows) > 0 {
		r.take(Different, ByReference, lines, rows)
	}
}

// pair matches lines and rows that belong together by their key: all of them where the sums are equal; else one row that pays
// all lines; else rows that pay a part of the lines each, and then what is left where its sums are equal.
func (r *reconciler) pair(step MatchStep, lines, rows []int) {
	if len(lines) == 0 || len(rows) == 0 {
		return
	}
	expected := r.expected(lines)
	if expected == r.paid(rows) {
		r.take(Matched, step, lines, rows)
		return
	}
	for n, p := range rows {
		if r.rows[p].Amount == expected {
			r.take(Matched, step, lines, rows[n:n+1])
			return
		}
	}
	if len(lines) == 1 {
		return
	}
	r.pairParts(step, lines, rows)
	if lines, rows = r.freeLines(lines), r.freeRows(rows); len(lines) > 0 && len(rows) > 0 && r.expected(lines) == r.paid(rows) {
		r.take(Matched, step, lines, rows)
	}
}

// linePart is some of the lines of a key: those given, or all but those given.
type linePart struct {
	lines []int
	but   bool
}

// pairParts matches single rows with a month, a practice, an instruction or a line of the lines given, or with all but one of
// these.
func (r *reconciler) pairParts(step MatchStep, lines, rows []int) {
	parts := r.parts(lines)
	whole := true
	for _, p := range rows {
		amount := r.rows[p].Amount
		for len(parts[amount]) > 0 {
			candidate := parts[amount][0]
			parts[amount] = parts[amount][1:]
			chosen := candidate.lines
			if candidate.but {
				// Once a part is paid, the rest is compared as a whole afterwards, which costs less than trying every remainder.
				if !whole {
					continue
				}
				chosen = without(lines, candidate.lines)
			}
			if slices.ContainsFunc(chosen, func(l int) bool { return r.lineTaken[l] }) {
				continue
			}
			r.take(Matched, step, chosen, []int{p})
			whole = false
			break
		}
	}
}

// parts finds the parts of some lines by amount, larger ones first.
func (r *reconciler) parts(lines []int) map[money.Pence][]linePart {
	type class struct {
		kind  int
		month period.Month
		text  string
	}
	const byMonth, byPractice, byInstruction, single = 0, 1, 2, 3
	places := make(map[class]int)
	var classes [4][][]int
	add := func(c class, l int) {
		place, known := places[c]
		if !known {
			place = len(classes[c.kind])
			places[c] = place
			classes[c.kind] = append(classes[c.kind], nil)
		}
		classes[c.kind][place] = append(classes[c.kind][place], l)
	}
	for _, l := range lines {
		line := &r.lines[l]
		add(class{kind: byMonth, month: line.ForMonth}, l)
		add(class{kind: byPractice, text: line.PracticeCode}, l)
		instruction := "pay"
		if line.ReconcileOnly {
			instruction = "reconcile only"
		}
		add(class{kind: byInstruction, text: instruction}, l)
		classes[single] = append(classes[single], []int{l})
	}
	total := r.expected(lines)
	out := make(map[money.Pence][]linePart)
	for _, found := range classes {
		if len(found) < 2 {
			continue
		}
		for _, of := range found {
			sum := r.expected(of)
			out[sum] = append(out[sum], linePart{lines: of})
			out[total-sum] = append(out[total-sum], linePart{lines: of, but: true})
		}
	}
	return out
}

// without returns the places that are not among others; both are in ascending order.
func without(all, others []int) []int {
	out := make([]int, 0, len(all)-len(others))
	for _, l := range all {
		if _, found := slices.BinarySearch(others, l); !found {
			out = append(out, l)
		}
	}
	return out
}

// amountTier is one way in which a row that stands alone may pay the lines of a month.
type amountTier struct {
	samePayment bool
	deltas      []int // months from the lines to the row
	// not is what a row must not be, by its own month.
	not map[amountKey]bool
}

// amountKey finds lines and rows of equal amounts; payment is empty where the tier looks beyond one payment.
type amountKey struct {
	monthKey
	amount money.Pence
}

// byAmount matches rows with the lines of a month by payee and amount: in the month before or after, or under another payment code.
// Only what is left counts, it must be alone on both sides, and no row may be left that bears the lines' own payment and month. What
// repeats a payment of a month that is paid in full is of no other month.
func (r *reconciler) byAmount(scheduled func(*ExpectedLine) (monthKey, bool), inMonth func(*PaidRow) (monthKey, bool)) {
	r.matchTier(&amountTier{samePayment: true, deltas: []int{1, -1}, not: r.paidInFull()}, collect(r, scheduled, inMonth))
	r.matchTier(&amountTier{deltas: []int{0}}, collect(r, scheduled, inMonth))
}

// paidInFull returns what was paid in months whose every line was matched there: the amounts of the rows, and of the month.
func (r *reconciler) paidInFull() map[amountKey]bool {
	own := make([]bool, len(r.lines))
	out := make(map[amountKey]bool)
	for n := range r.findings {
		f := &r.findings[n]
		if f.Status != Matched || f.Year != 0 || len(f.months) != 1 {
			continue
		}
		for _, l := range f.lines {
			own[l] = true
		}
		for _, p := range f.rows {
			out[amountKey{f.key(), r.rows[p].Amount}] = true
		}
	}
	sums, open := make(map[monthKey]money.Pence), make(map[monthKey]bool)
	for l := range r.lines {
		line := &r.lines[l]
		key := monthKey{line.PayeeCode, line.PaymentCode, line.ScheduleMonth}
		sums[key] += line.Amount
		open[key] = open[key] || !own[l]
	}
	maps.DeleteFunc(out, func(key amountKey, _ bool) bool { return open[key.monthKey] })
	for key, sum := range sums {
		if !open[key] {
			out[amountKey{key, sum}] = true
		}
	}
	return out
}

func (r *reconciler) matchTier(tier *amountTier, groups []keyGroup[monthKey]) {
	places := make(map[monthKey]int, len(groups))
	lines, rows := make(map[amountKey][]int), make(map[amountKey][]int)
	left := make([]int, len(groups))
	var queue []int
	for n := range groups {
		g := &groups[n]
		places[g.key] = n
		left[n] = len(g.rows)
		if len(g.lines) > 0 {
			if sum := r.expected(g.lines); sum != 0 {
				key := tier.key(g.key, sum)
				lines[key] = append(lines[key], n)
				queue = append(queue, n)
			}
		}
		for _, p := range g.rows {
			key := tier.key(g.key, r.rows[p].Amount)
			if !tier.not[key] {
				rows[key] = append(rows[key], p)
			}
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		g := &groups[n]
		if r.lineTaken[g.lines[0]] || left[n] > 0 {
			continue
		}
		key := tier.key(g.key, r.expected(g.lines))
		p, only := onlyOne(rows, key, tier.deltas, 1, func(p int) bool { return !r.rowTaken[p] })
		if !only {
			continue
		}
		key.month = r.rows[p].Month
		if _, only = onlyOne(lines, key, tier.deltas, -1, func(n int) bool { return !r.lineTaken[groups[n].lines[0]] }); !only {
			continue
		}
		r.take(Matched, ByAmount, g.lines, []int{p})
		from := places[monthKey{r.rows[p].PayeeCode, r.rows[p].PaymentCode, r.rows[p].Month}]
		if left[from]--; left[from] == 0 && len(groups[from].lines) > 0 && r.expected(groups[from].lines) != 0 {
			queue = append(queue, from)
		}
	}
}

func (t *amountTier) key(k monthKey, amount money.Pence) amountKey {
	if !t.samePayment {
		k.payment = ""
	}
	return amountKey{k, amount}
}

// onlyOne returns the free entry of an index in the months around a key, and whether there is exactly one.
func onlyOne(index map[amountKey][]int, key amountKey, deltas []int, direction int, free func(int) bool) (found int, only bool) {
	month := key.month
	for _, delta := range deltas {
		key.month = month.Add(direction * delta)
		for _, n := range index[key] {
			switch {
			case !free(n):
			case only:
				return 0, false
			default:
				found, only = n, true
			}
		}
	}
	return found, only
}

// byRecovery compares the lines of a payee that were set against overpayments with what was taken off the payee's payments.
func (r *reconciler) byRecovery() {
	groups := collect(r,
		func(l *ExpectedLine) (string, bool) { return l.PayeeCode, l.Standing == CauseCarried },
		func(p *PaidRow) (string, bool) { return p.PayeeCode, p.Recovery })
	for _, g := range groups {
		switch {
		case len(g.lines) == 0 || len(g.rows) == 0:
		case r.expected(g.lines) == r.paid(g.rows):
			r.take(Matched, ByRecovery, g.lines, g.rows)
		default:
			r.take(Different, ByRecovery, g.lines, g.rows)
		}
	}
}

// standingKey is what lines that nothing was paid for are told apart by.
type standingKey struct {
	monthKey
	standing ReconcileCause
	where    string
}

// rest calls the lines left missing, by month and by how they stand, and the rows left extra, one by one. Lines that come to nothing
// together need no payment.
func (r *reconciler) rest() {
	standing := func(l *ExpectedLine) (standingKey, bool) {
		return standingKey{monthKey{l.PayeeCode, l.PaymentCode, l.ScheduleMonth}, l.Standing, l.Where}, true
	}
	for _, g := range collect(r, standing, func(*PaidRow) (standingKey, bool) { return standingKey{}, false }) {
		if r.expected(g.lines) == 0 {
			r.take(Matched, ByNetting, g.lines, nil)
			continue
		}
		r.take(Missing, 0, g.lines, nil)
	}
	for i := range r.rows {
		if !r.rowTaken[i] {
			r.take(Extra, 0, nil, []int{i})
		}
	}
}

// take makes a finding of lines and rows. A match by reference that went to another payee is a difference.
func (r *reconciler) take(status FindingStatus, step MatchStep, lines, rows []int) {
	f := Finding{Status: status, Step: step, Expected: r.expected(lines), Paid: r.paid(rows), lines: lines, rows: rows}
	f.Difference = f.Paid - f.Expected
	if len(lines) > 0 {
		first := &r.lines[lines[0]]
		f.PayeeCode, f.PaymentCode, f.Month = first.PayeeCode, first.PaymentCode, first.ScheduleMonth
	} else {
		first := &r.rows[rows[0]]
		f.PayeeCode, f.PaymentCode, f.Month = first.PayeeCode, first.PaymentCode, first.Month
	}
	f.LineIDs = make([]string, len(lines))
	for n, l := range lines {
		r.lineTaken[l] = true
		f.LineIDs[n] = r.lines[l].LineID
		f.months = append(f.months, r.lines[l].ScheduleMonth)
		if r.lines[l].ReconcileOnly {
			f.ReconcileOnly += r.lines[l].Amount
		}
	}
	f.Rows = make([]int, len(rows))
	for n, p := range rows {
		row := &r.rows[p]
		r.rowTaken[p] = true
		f.Rows[n] = row.Row
		if row.Year != 0 {
			f.Year, f.Month = row.Year, period.Month{}
		} else {
			f.months = append(f.months, row.Month)
		}
		if status == Matched && row.PayeeCode != "" && len(lines) > 0 && row.PayeeCode != f.PayeeCode {
			f.Status = Different
		}
	}
	f.months = slices.Compact(f.months)
	r.findings = append(r.findings, f)
}

func (r *reconciler) expected(lines []int) money.Pence {
	var sum money.Pence
	for _, l := range lines {
		sum += r.lines[l].Amount
	}
	return sum
}

func (r *reconciler) paid(rows []int) money.Pence {
	var sum money.Pence
	for _, p := range rows {
		sum += r.rows[p].Amount
	}
	return sum
}

func (r *reconciler) freeLines(lines []int) []int {
	return slices.DeleteFunc(slices.Clone(lines), func(l int) bool { return r.lineTaken[l] })
}

func (r *reconciler) freeRows(rows []int) []int {
	return slices.DeleteFunc(slices.Clone(rows), func(p int) bool { return r.rowTaken[p] })
}
