package payments_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// books are all that payments holds, read back by plain SQL, so that the sums here owe nothing to the service's own.
type books struct {
	lines    []bookLine
	items    map[string]bookItem
	postings map[string]bookPosting
	entries  []bookEntry
	runs     map[string]bookRun
	frozen   []bookFrozen
	totals   []bookTotal
	payments map[string]bookPayment
	exports  []bookExport
	holds    []bookHold
}

type bookLine struct {
	id, commissioner, payee string
	instruction             typev1.Instruction
	pence                   int64
}

type bookItem struct {
	commissioner, month, payee, run, payment string
	state                                    int
}

type bookPosting struct {
	commissioner, reverses string
	entries                int
}

type bookEntry struct {
	posting, commissioner, payee, line string
	fund, stage                        int
	pence                              int64
}

type bookRun struct {
	id, commissioner, month string
	state                   paymentsv1.RunState
	maker, hash             string
}

type bookFrozen struct {
	run, line, payee string
	pence            int64
}

type bookTotal struct {
	run, payee                                 string
	lines, pence, brought, carriedForward, net int64
}

type bookPayment struct {
	id, run, commissioner, payee string
	pence                        int64
	state                        paymentsv1.PaymentState
}

type bookExport struct {
	run             string
	early           bool // made before the payments were sent
	payments, pence int64
}

type bookHold struct{ commissioner, payee, line string }

func collect[T any](t require.TestingT, db *sqldb.DB, scan func(rows *sql.Rows, out *T) error, query string) (out []T) {
	require.NoError(t, db.Read(context.Background(), func(q sqldb.Querier) (err error) {
		out, err = sqldb.Collect(context.Background(), q, func(rows *sql.Rows) (row T, err error) { err = scan(rows, &row); return row, err }, query)
		return err
	}))
	return out
}

func (s *suite) books(t require.TestingT) *books {
	b := &books{items: make(map[string]bookItem), postings: make(map[string]bookPosting), runs: make(map[string]bookRun), payments: make(map[string]bookPayment)}
	b.lines = collect(t, s.db, func(r *sql.Rows, l *bookLine) error {
		return r.Scan(&l.id, &l.commissioner, &l.payee, &l.instruction, &l.pence)
	}, `SELECT line_id, commissioner_code, payee_code, instruction, amount_pence FROM lines`)
	collect(t, s.db, func(r *sql.Rows, i *bookItem) (err error) {
		var line string
		err = r.Scan(&line, &i.commissioner, &i.month, &i.payee, &i.state, &i.run, &i.payment)
		b.items[line] = *i
		return err
	}, `SELECT line_id, commissioner_code, month, payee_code, state, run_id, payment_id FROM items`)
	collect(t, s.db, func(r *sql.Rows, p *bookPosting) (err error) {
		var id string
		err = r.Scan(&id, &p.commissioner, &p.reverses, &p.entries)
		b.postings[id] = *p
		return err
	}, `SELECT posting_id, commissioner_code, reverses, entry_count FROM postings`)
	b.entries = collect(t, s.db, func(r *sql.Rows, e *bookEntry) error {
		return r.Scan(&e.posting, &e.commissioner, &e.payee, &e.line, &e.fund, &e.stage, &e.pence)
	}, `SELECT posting_id, commissioner_code, payee_code, line_id, fund, stage, amount_pence FROM entries`)
	collect(t, s.db, func(r *sql.Rows, x *bookRun) (err error) {
		err = r.Scan(&x.id, &x.commissioner, &x.month, &x.state, &x.maker, &x.hash)
		b.runs[x.id] = *x
		return err
	}, `SELECT run_id, commissioner_code, month, state, submitted_by, lines_sha256 FROM runs`)
	b.frozen = collect(t, s.db, func(r *sql.Rows, f *bookFrozen) error { return r.Scan(&f.run, &f.line, &f.payee, &f.pence) },
		`SELECT run_id, line_id, payee_code, amount_pence FROM run_lines ORDER BY run_id, line_id`)
	b.totals = collect(t, s.db, func(r *sql.Rows, p *bookTotal) error {
		return r.Scan(&p.run, &p.payee, &p.lines, &p.pence, &p.brought, &p.carriedForward, &p.net)
	}, `SELECT run_id, payee_code, lines, lines_pence, brought_forward_pence, carried_forward_pence, net_pence FROM run_payees`)
	collect(t, s.db, func(r *sql.Rows, p *bookPayment) (err error) {
		err = r.Scan(&p.id, &p.run, &p.commissioner, &p.payee, &p.pence, &p.state)
		b.payments[p.id] = *p
		return err
	}, `SELECT payment_id, run_id, commissioner_code, payee_code, amount_pence, state FROM payments`)
	b.exports = collect(t, s.db, func(r *sql.Rows, e *bookExport) error { return r.Scan(&e.run, &e.early, &e.payments, &e.pence) },
		`SELECT e.run_id, r.export_id = '' OR e.exported_at < r.exported_at, e.payments, e.amount_pence FROM exports e JOIN runs r ON r.run_id = e.run_id`)
	b.holds = collect(t, s.db, func(r *sql.Rows, h *bookHold) error { return r.Scan(&h.commissioner, &h.payee, &h.line) },
		`SELECT commissioner_code, payee_code, line_id FROM holds WHERE released_at = 0`)
	return b
}

// account is one of a payee in the books of a commissioner.
type account struct {
	commissioner, payee string
	stage               int
}

// add adds to a sum and forgets one that comes to nothing.
func add[K comparable](sums map[K]int64, key K, pence int64) {
	if sums[key] += pence; sums[key] == 0 {
		delete(sums, key)
	}
}

// hold asserts what must be true of the books after every step.
func (b *books) hold(t require.TestingT) {
	b.postingsBalance(t)
	b.linesAreOwedOnce(t)
	b.itemsAgree(t)
	b.runsAddUp(t)
	b.nobodyIsPaidTwice(t)
	b.nothingIsForgotten(t)
}

// balances adds up every account.
func (b *books) balances() map[account]int64 {
	out := make(map[account]int64)
	for _, e := range b.entries {
		add(out, account{e.commissioner, e.payee, e.stage}, e.pence)
	}
	return out
}

func (b *books) postingsBalance(t require.TestingT) {
	sums, entries := make(map[string]int64), make(map[string]int)
	byCommissioner := make(map[string]int64)
	for _, e := range b.entries {
		require.Equal(t, b.postings[e.posting].commissioner, e.commissioner, "an entry in another's books")
		add(sums, e.posting, e.pence)
		entries[e.posting]++
		add(byCommissioner, e.commissioner, e.pence)
	}
	require.Empty(t, sums, "postings out of balance")
	require.Empty(t, byCommissioner, "debits are not credits")
	require.Len(t, entries, len(b.postings))
	for id, p := range b.postings {
		require.Equal(t, p.entries, entries[id])
	}
}

// linesAreOwedOnce holds that each line to pay became an expense once, and is accrued just while it is open.
func (b *books) linesAreOwedOnce(t require.TestingT) {
	spent, waits := make(map[string]int64), make(map[string]int64)
	for _, e := range b.entries {
		switch e.stage {
		case expense:
			add(spent, e.line, e.pence)
		case accrued:
			add(waits, e.line+" of "+e.commissioner, e.pence)
		}
	}
	for _, line := range b.lines {
		item, found := b.items[line.id]
		require.Equal(t, line.instruction == typev1.Instruction_INSTRUCTION_PAY, found, line.id)
		if !found {
			continue
		}
		require.Equal(t, line.payee, item.payee)
		add(spent, line.id, -line.pence)
		if item.state == open {
			add(waits, line.id+" of "+item.commissioner, line.pence)
		}
	}
	require.Empty(t, spent, "expense of a line other than its amount")
	require.Empty(t, waits, "accrued and open differ")
}

// inEffect tells whether the approval of a payee's total stands: neither kept back at the export nor issued again since.
func (b *books) inEffect(p bookTotal) bool {
	switch b.runs[p.run].state {
	case paymentsv1.RunState_RUN_STATE_APPROVED:
		return true
	case paymentsv1.RunState_RUN_STATE_EXPORTED, paymentsv1.RunState_RUN_STATE_SETTLED:
		payment, found := b.payments[p.run+"-"+p.payee]
		return p.net == 0 || found && payment.state != paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
	default:
		return false
	}
}

// itemsAgree holds that payable, sent, settled and to be recovered is in the ledger what items, payments and runs say.
func (b *books) itemsAgree(t require.TestingT) {
	want := make(map[account]int64)
	recover, across := make(map[string]int64), make(map[string]int64)
	for _, p := range b.totals {
		if !b.inEffect(p) {
			continue
		}
		add(recover, p.payee, p.brought-p.carriedForward)
		if b.runs[p.run].state == paymentsv1.RunState_RUN_STATE_APPROVED {
			add(want, account{b.runs[p.run].commissioner, p.payee, toPay}, -p.net)
		}
	}
	stage := map[paymentsv1.PaymentState]int{
		paymentsv1.PaymentState_PAYMENT_STATE_SENT: underway, paymentsv1.PaymentState_PAYMENT_STATE_SETTLED: paid,
		paymentsv1.PaymentState_PAYMENT_STATE_REJECTED: toPay,
	}
	for _, p := range b.payments {
		if s := stage[p.state]; s != 0 {
			add(want, account{p.commissioner, p.payee, s}, -p.pence)
		}
	}
	got := b.balances()
	for a, pence := range got {
		switch a.stage {
		case expense, accrued:
			delete(got, a)
		case recovered:
			require.Positive(t, pence, "%s owes %s less than nothing", a.payee, a.commissioner)
			add(recover, a.payee, -pence)
			delete(got, a)
		case transferred:
			add(across, a.payee, pence)
			delete(got, a)
		}
	}
	require.Equal(t, want, got, "items and ledger differ")
	require.Empty(t, recover, "to be recovered is other than was carried forward and not taken")
	require.Empty(t, across, "a transfer is not on both sides")
	for line, item := range b.items {
		b.itemStands(t, line, item)
	}
}

// itemStands holds that an item is in a run or a payment that fits its state.
func (b *books) itemStands(t require.TestingT, line string, item bookItem) {
	run, payment := b.runs[item.run], b.payments[item.payment]
	fits := map[int]paymentsv1.PaymentState{
		sent: paymentsv1.PaymentState_PAYMENT_STATE_SENT, settled: paymentsv1.PaymentState_PAYMENT_STATE_SETTLED,
		rejected: paymentsv1.PaymentState_PAYMENT_STATE_REJECTED,
	}
	switch item.state {
	case open:
		require.Empty(t, item.payment)
		if item.run != "" {
			require.Contains(t, []paymentsv1.RunState{paymentsv1.RunState_RUN_STATE_ASSEMBLED, paymentsv1.RunState_RUN_STATE_SUBMITTED}, run.state, line)
			require.Equal(t, run.commissioner, item.commissioner, line)
			require.LessOrEqual(t, item.month, run.month, line)
		}
	case payable:
		require.Equal(t, paymentsv1.RunState_RUN_STATE_APPROVED, run.state, line)
		require.Empty(t, item.payment)
	case carried:
		require.Contains(t, []paymentsv1.RunState{
			paymentsv1.RunState_RUN_STATE_APPROVED, paymentsv1.RunState_RUN_STATE_EXPORTED, paymentsv1.RunState_RUN_STATE_SETTLED,
		}, run.state, line)
		require.Empty(t, item.payment)
	case cancelled:
		require.Empty(t, item.payee+item.run+item.payment, line)
	default:
		require.Equal(t, fits[item.state], payment.state, line)
		require.Equal(t, item.run, payment.run)
		require.Equal(t, item.payee, payment.payee)
		require.Equal(t, item.commissioner, payment.commissioner)
	}
}

// runsAddUp holds that what was frozen is one set of figures: lines, payees, net sum and hash; and that what was approved is
// what was sent, or waits, or was kept back.
func (b *books) runsAddUp(t require.TestingT) {
	lines, count := make(map[string]int64), make(map[string]int64)
	text := make(map[string]*strings.Builder)
	for _, f := range b.frozen {
		add(lines, f.run+"-"+f.payee, f.pence)
		count[f.run+"-"+f.payee]++
		if text[f.run] == nil {
			text[f.run] = new(strings.Builder)
		}
		fmt.Fprintf(text[f.run], "%s %d\n", f.line, f.pence)
	}
	for id, run := range b.runs {
		if text[id] == nil {
			require.Empty(t, run.hash, id)
			continue
		}
		sum := sha256.Sum256([]byte(text[id].String()))
		require.Equal(t, hex.EncodeToString(sum[:]), run.hash, id)
	}
	out, number := make(map[string]int64), make(map[string]int64)
	for _, p := range b.payments {
		add(out, p.run, p.pence)
		number[p.run]++
	}
	for _, e := range b.exports {
		if e.early {
			continue
		}
		require.Equal(t, out[e.run], e.pence, "a file of %s with another sum than was sent", e.run)
		require.Equal(t, number[e.run], e.payments)
	}
	for _, p := range b.totals {
		id := p.run + "-" + p.payee
		require.Equal(t, lines[id], p.pence, id)
		require.Equal(t, count[id], p.lines, id)
		require.Equal(t, p.pence+p.brought-p.carriedForward, p.net, id)
		require.GreaterOrEqual(t, p.net, int64(0), id)
		if payment, found := b.payments[id]; found {
			require.Equal(t, p.net, payment.pence, id)
			require.Positive(t, payment.pence)
		}
	}
}

// nobodyIsPaidTwice holds that each line is in one payment at most that was not rejected, and that one is the item's.
func (b *books) nobodyIsPaidTwice(t require.TestingT) {
	by := make(map[string][]string)
	for _, f := range b.frozen {
		p, found := b.payments[f.run+"-"+f.payee]
		if found && (p.state == paymentsv1.PaymentState_PAYMENT_STATE_SENT || p.state == paymentsv1.PaymentState_PAYMENT_STATE_SETTLED) {
			by[f.line] = append(by[f.line], p.id)
		}
	}
	for line, item := range b.items {
		if item.state == sent || item.state == settled {
			require.Equal(t, []string{item.payment}, by[line], line)
			continue
		}
		require.Empty(t, by[line], line)
	}
}

// nothingIsForgotten holds that no line that could be paid stands beside a run that could take it.
func (b *books) nothingIsForgotten(t require.TestingT) {
	for line, item := range b.items {
		held := slices.ContainsFunc(b.holds, func(h bookHold) bool {
			return h.commissioner == item.commissioner && (h.line == line || h.payee != "" && h.payee == item.payee)
		})
		if item.state != open || item.run != "" || held {
			continue
		}
		for _, run := range b.runs {
			require.False(t, run.state == paymentsv1.RunState_RUN_STATE_ASSEMBLED && run.commissioner == item.commissioner && run.month >= item.month,
				"line %s is in no run, though %s is assembled", line, run.id)
		}
	}
}
