package payments

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// openStages are those in which something is still owed, by a commissioner or to it.
func openStages() []rules.Stage {
	return []rules.Stage{rules.Accrued, rules.Payable, rules.Sent, rules.Recovered}
}

// ownerOf returns who owes the lines of a commissioner and a place now: itself, or the one that its open items passed to. A move
// that names the place comes before one of all places.
func ownerOf(ctx context.Context, q sqldb.Querier, code, location string) (commissioner, error) {
	owner := commissioner{code: code}
	seen := map[string]bool{code: true}
	for {
		moves, err := store.Moves(ctx, q, owner.code)
		if err != nil {
			return owner, err
		}
		at := slices.IndexFunc(moves, func(m *paymentsv1.Move) bool {
			return location != "" && slices.Contains(m.GetLocationCodes(), location)
		})
		if at < 0 {
			at = slices.IndexFunc(moves, isWhole)
		}
		if at < 0 || seen[moves[at].GetToCommissionerCode()] {
			return owner, nil
		}
		owner = commissioner{code: moves[at].GetToCommissionerCode()}
		seen[owner.code] = true
	}
}

// isWhole tells a move of all places from one of some.
func isWhole(m *paymentsv1.Move) bool { return len(m.GetLocationCodes()) == 0 }

// lockedOwner returns who owes the lines of a commissioner now, and holds that owner's money. What passes on while it waits for the
// lock it follows.
func lockedOwner(ctx context.Context, tx *change.Tx, code, location string) (commissioner, error) {
	for {
		owner, err := ownerOf(ctx, tx, code, location)
		if err != nil {
			return owner, err
		}
		if err := tx.Lock(ctx, lockKey(owner.code)); err != nil {
			return owner, err
		}
		if still, err := ownerOf(ctx, tx, code, location); err != nil || still == owner {
			return owner, err
		}
	}
}

// predecessors returns the commissioners whose open items passed to one, near or far.
func predecessors(ctx context.Context, q sqldb.Querier, code string) ([]string, error) {
	moves, err := store.Moves(ctx, q, "")
	if err != nil {
		return nil, err
	}
	out := []string{}
	for i := -1; i < len(out); i++ {
		heir := code
		if i >= 0 {
			heir = out[i]
		}
		for _, m := range moves {
			if from := m.GetFromCommissionerCode(); m.GetToCommissionerCode() == heir && from != code && !slices.Contains(out, from) {
				out = append(out, from)
			}
		}
	}
	return out, nil
}

// closers returns the commissioners whose funds close a month that one pays: itself, and for a month before they were abolished those
// whose items have all passed to it.
func closers(ctx context.Context, q sqldb.Querier, code string, month period.Month) ([]string, error) {
	moves, err := store.Moves(ctx, q, "")
	if err != nil {
		return nil, err
	}
	out, succeeded := []string{}, false
	for i := -1; i < len(out); i++ {
		heir := code
		if i >= 0 {
			heir = out[i]
		}
		for _, m := range moves {
			day, err := period.ParseDate(m.GetEffectiveDate())
			if err != nil {
				return nil, fault.Bug("move %s on %q", m.GetMoveId(), m.GetEffectiveDate())
			}
			from := m.GetFromCommissionerCode()
			if m.GetToCommissionerCode() == heir && isWhole(m) && month.Before(day.Month()) && from != code && !slices.Contains(out, from) {
				out, succeeded = append(out, from), true
			}
		}
	}
	own, err := store.Schedules(ctx, q, store.Page{Commissioners: []string{code}, Limit: 1}, month.String())
	if err != nil {
		return nil, err
	}
	if !succeeded || len(own) > 0 {
		out = append(out, code)
	}
	return out, nil
}

// notSucceeded refuses a new run of a commissioner whose open items have all passed to another.
func notSucceeded(ctx context.Context, q sqldb.Querier, code string, month period.Month) error {
	moves, err := store.Moves(ctx, q, code)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if isWhole(m) {
			return fault.New(fault.Refused, rules.ReasonCommissionerSucceeded, "the open items of %s passed to %s on %s: assemble %s for %s",
				code, m.GetToCommissionerCode(), m.GetEffectiveDate(), month, m.GetToCommissionerCode()).With("successor", m.GetToCommissionerCode())
		}
	}
	return nil
}

// movable refuses while runs of the abolished commissioner are under way, a succession that would lead back, and one of a whole book
// that passed to another body.
func (s *Service) movable(ctx context.Context, tx *change.Tx, m *paymentsv1.Move) error {
	from, to := m.GetFromCommissionerCode(), m.GetToCommissionerCode()
	for _, state := range []paymentsv1.RunState{submitted, approved} {
		runs, err := store.Runs(ctx, tx, store.RunFilter{Page: store.Page{Commissioners: []string{from}, Limit: 1}, State: state})
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			remedy := "withdraw or reject it first"
			if state == approved {
				remedy = "export it first"
			}
			return fault.New(fault.Refused, rules.ReasonMoveRefused, "run %s of %s is %s: %s", runs[0].ID, from, stateName(state), remedy).
				With("run_id", runs[0].ID)
		}
	}
	before, err := predecessors(ctx, tx, from)
	if err != nil {
		return err
	}
	if slices.Contains(before, to) {
		return fault.New(fault.Refused, rules.ReasonMoveRefused, "%s took over from %s before, and cannot give back to it", from, to)
	}
	if !isWhole(m) {
		return nil
	}
	moves, err := store.Moves(ctx, tx, from)
	if err != nil {
		return err
	}
	for _, earlier := range moves {
		if heir := earlier.GetToCommissionerCode(); isWhole(earlier) && heir != to {
			return fault.New(fault.Refused, rules.ReasonMoveRefused, "all of %s passed to %s by move %s: what it owes since passes there too, and on from there",
				from, heir, earlier.GetMoveId()).With("successor", heir)
		}
	}
	return nil
}

// move passes balances, items and payments on, and asserts that nothing was lost.
func (s *Service) move(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, passing *passing) error {
	from, to := m.GetFromCommissionerCode(), m.GetToCommissionerCode()
	day, err := period.ParseDate(m.GetEffectiveDate())
	if err != nil {
		return fault.Bug("move %s on %q", m.GetMoveId(), m.GetEffectiveDate())
	}
	before, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return err
	}
	newest, err := store.NewestEffective(ctx, tx, from)
	if err != nil {
		return err
	}
	// What took effect after the change passes on when it did: no account may hold less than nothing in between.
	takes, err := period.ParseDate(max(newest, day.String()))
	if err != nil {
		return fault.Bug("books of %s up to %q", from, newest)
	}
	if err := store.Post(ctx, tx.Tx, tx.By.Subject, takes, transfers(m, passing.balances)); err != nil {
		return err
	}
	if err := s.passOn(ctx, tx, m, passing); err != nil {
		return err
	}
	after, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return err
	}
	if before != after {
		return fault.Bug("move from %s to %s: %d pence were open, %d are", from, to, before, after)
	}
	m.OpenBeforePence, m.OpenAfterPence = int64(before), int64(after)
	// The database takes no move that another person has not confirmed.
	if err := saved(store.DecideProposal(ctx, tx.Tx, m, tx.By.Subject)); err != nil {
		return err
	}
	if err := store.InsertMove(ctx, tx.Tx, m); err != nil {
		return err
	}
	if err := s.endEmptied(ctx, tx, m, passing.runs); err != nil {
		return err
	}
	return s.assembleMoved(ctx, tx, m, day.Month())
}

// passing is what a move takes along: payees with all they are owed or owe, and single open lines of payees that serve other places
// too, whose payments and debts cannot be divided.
type passing struct {
	whole  bool
	payees map[string]bool
	lines  map[string]bool
	items  []string // line ids of all items that pass
	runs   []string // assembled runs that lose lines

	balances []store.Balance
	payments []store.PaymentRow
	held     []store.HoldRow // that pass
	shared   []store.HoldRow // on payees that are owed by both from then on, and are held by both
}

// has tells whether a balance passes.
func (p *passing) has(b store.Balance) bool {
	return p.whole || p.payees[b.PayeeCode] || (b.Stage == rules.Accrued && p.lines[b.LineID])
}

// passingOf works out what a move takes along.
func passingOf(ctx context.Context, q sqldb.Querier, m *paymentsv1.Move) (*passing, error) {
	items, err := store.ItemsOf(ctx, q, m.GetFromCommissionerCode())
	if err != nil {
		return nil, err
	}
	known, err := store.PayeesOf(ctx, q, m.GetFromCommissionerCode())
	if err != nil {
		return nil, err
	}
	out := &passing{whole: isWhole(m), payees: make(map[string]bool), lines: make(map[string]bool)}
	here := func(i store.MovingItem) bool {
		return out.whole || slices.Contains(m.GetLocationCodes(), i.LocationCode)
	}
	elsewhere := make(map[string]bool)
	for _, item := range items {
		if here(item) {
			out.payees[item.PayeeCode] = true
		} else {
			elsewhere[item.PayeeCode] = true
		}
	}
	for payee := range out.payees {
		// Lines without a payee have nothing in common.
		if elsewhere[payee] || (payee == "" && !out.whole) {
			delete(out.payees, payee)
		}
	}
	if out.whole {
		for _, payee := range known {
			out.payees[payee] = true
		}
	}
	for _, item := range items {
		live := item.State == store.Open || item.State == store.Sent || item.State == store.Rejected
		if !live || !here(item) || (!out.payees[item.PayeeCode] && item.State != store.Open) {
			continue
		}
		out.items = append(out.items, item.LineID)
		out.lines[item.LineID] = true
		if item.State == store.Open && item.RunID != "" && !slices.Contains(out.runs, item.RunID) {
			out.runs = append(out.runs, item.RunID)
		}
	}
	slices.Sort(out.runs)
	if out.payments, err = passingPayments(ctx, q, m.GetFromCommissionerCode(), out); err != nil {
		return nil, err
	}
	out.balances, err = store.Balances(ctx, q, store.BalanceFilter{CommissionerCode: m.GetFromCommissionerCode(), ByLine: true, Stages: openStages()})
	if err != nil {
		return nil, err
	}
	out.balances = slices.DeleteFunc(out.balances, func(b store.Balance) bool { return !out.has(b) })
	return out, out.hold(ctx, q, m.GetFromCommissionerCode())
}

// hold works out which holds pass.
func (p *passing) hold(ctx context.Context, q sqldb.Querier, from string) error {
	held, err := store.Holds(ctx, q, store.Page{Commissioners: []string{from}}, true)
	for _, hold := range held {
		switch {
		case p.whole, p.lines[hold.LineID], hold.PayeeCode != "" && p.payees[hold.PayeeCode]:
			p.held = append(p.held, hold)
		case hold.PayeeCode != "":
			p.shared = append(p.shared, hold)
		}
	}
	return err
}

// note writes into a move what passes.
func (p *passing) note(m *paymentsv1.Move) {
	sums := make(map[rules.Stage]money.Pence)
	for _, b := range p.balances {
		sums[b.Stage] += b.Amount
	}
	m.Lines, m.Payments = int32(len(p.items)), int32(len(p.payments)) //nolint:gosec // counts of one commissioner
	m.AccruedPence, m.PayablePence, m.SentPence = -int64(sums[rules.Accrued]), -int64(sums[rules.Payable]), -int64(sums[rules.Sent])
	m.RecoveryPence, m.RunIds, m.PassingSha256 = int64(sums[rules.Recovered]), p.runs, p.hash()
}

// hash tells what passes from anything else, also of the same sums.
func (p *passing) hash() string {
	var rows []string
	for _, id := range p.items {
		rows = append(rows, fmt.Sprintf("line %q", id))
	}
	for i := range p.payments {
		rows = append(rows, fmt.Sprintf("payment %q %d", p.payments[i].ID, p.payments[i].State))
	}
	for _, hold := range p.held {
		rows = append(rows, fmt.Sprintf("hold %q", hold.ID))
	}
	for _, hold := range p.shared {
		rows = append(rows, fmt.Sprintf("hold of both %q", hold.ID))
	}
	for _, id := range p.runs {
		rows = append(rows, fmt.Sprintf("run %q", id))
	}
	for _, b := range p.balances {
		rows = append(rows, fmt.Sprintf("balance %d %d %q %q %d", b.Fund, b.Stage, b.PayeeCode, b.LineID, b.Amount))
	}
	slices.Sort(rows)
	sum := sha256.Sum256([]byte(strings.Join(rows, "\n")))
	return hex.EncodeToString(sum[:])
}

// passOn changes who owes the items and payments, whom holds are placed by, and with whom instalments are agreed.
func (s *Service) passOn(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, p *passing) error {
	from, to := m.GetFromCommissionerCode(), m.GetToCommissionerCode()
	if err := store.MoveItems(ctx, tx.Tx, to, p.items); err != nil {
		return err
	}
	for i := range p.payments {
		p.payments[i].CommissionerCode = to
		if err := saved(store.UpdatePayment(ctx, tx.Tx, &p.payments[i])); err != nil {
			return err
		}
	}
	if err := moveHolds(ctx, tx, to, p); err != nil {
		return err
	}
	return store.MovePlans(ctx, tx.Tx, from, to, sortedKeys(p.payees))
}

// moveHolds passes holds on.
func moveHolds(ctx context.Context, tx *change.Tx, to string, p *passing) error {
	moved := make([]string, len(p.held))
	for i, hold := range p.held {
		moved[i] = hold.ID
	}
	if err := store.MoveHolds(ctx, tx.Tx, to, moved); err != nil {
		return err
	}
	copied := slices.Clone(p.shared)
	for i := range copied {
		copied[i].ID, copied[i].CommissionerCode = tx.NewID(), to
	}
	return store.InsertHolds(ctx, tx.Tx, copied)
}

// openBetween adds up what two commissioners together owe and are owed.
func openBetween(ctx context.Context, q sqldb.Querier, codes ...string) (sum money.Pence, err error) {
	for _, code := range codes {
		balances, err := store.Balances(ctx, q, store.BalanceFilter{CommissionerCode: code, Stages: openStages()})
		if err != nil {
			return 0, err
		}
		for _, b := range balances {
			if sum, err = sum.Add(-b.Amount); err != nil {
				return 0, err
			}
		}
	}
	return sum, nil
}

// transfers returns the postings that clear balances in the books of one commissioner and open them in those of another, payee by
// payee.
func transfers(m *paymentsv1.Move, balances []store.Balance) []rules.Posting {
	byPayee := make(map[string][]store.Balance)
	for _, b := range balances {
		byPayee[b.PayeeCode] = append(byPayee[b.PayeeCode], b)
	}
	var out []rules.Posting
	for _, payee := range sortedKeys(byPayee) {
		leaving := rules.Posting{CommissionerCode: m.GetFromCommissionerCode(), Kind: rules.Transfer, Source: moveSource(m.GetMoveId())}
		arriving := rules.Posting{CommissionerCode: m.GetToCommissionerCode(), Kind: rules.Transfer, Source: leaving.Source}
		for _, b := range byPayee[payee] {
			here := rules.Entry{Fund: b.Fund, PayeeCode: payee, Stage: b.Stage, Amount: -b.Amount, LineID: b.LineID}
			across := rules.Entry{Fund: b.Fund, PayeeCode: payee, Stage: rules.Transferred, Amount: b.Amount, LineID: b.LineID}
			leaving.Entries = append(leaving.Entries, here, across)
			here.Amount, across.Amount = -here.Amount, -across.Amount
			arriving.Entries = append(arriving.Entries, here, across)
		}
		out = append(out, leaving, arriving)
	}
	return out
}

// moveSource names the cause of what a move posts.
func moveSource(id string) string { return "move/" + id }

// passingPayments returns the payments that pass: those of payees that pass with all they have, unless they are settled. One that was
// issued again and that a ledger has to take back passes with the whole book only: a body that lives on takes back what it booked.
func passingPayments(ctx context.Context, q sqldb.Querier, from string, p *passing) (out []store.PaymentRow, err error) {
	const (
		sent  = paymentsv1.PaymentState_PAYMENT_STATE_SENT
		no    = paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
		again = paymentsv1.PaymentState_PAYMENT_STATE_REISSUED
	)
	for _, state := range []paymentsv1.PaymentState{sent, no, again} {
		rows, err := store.Payments(ctx, q, store.PaymentFilter{Page: store.Page{Commissioners: []string{from}}, State: state})
		if err != nil {
			return nil, err
		}
		out = append(out, slices.DeleteFunc(rows, func(row store.PaymentRow) bool {
			return !p.payees[row.PayeeCode] || (state == again && (!p.whole || row.TakenBackBy != ""))
		})...)
	}
	return out, nil
}

// assembleMoved puts what was open into runs of the successor: that of the month of the change, which begins only for lines that could
// be paid, and of later months where one is assembled.
func (s *Service) assembleMoved(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, month period.Month) error {
	to := m.GetToCommissionerCode()
	_, err := store.AssembledRun(ctx, tx, to, month)
	wanted := err == nil
	if errors.Is(err, sql.ErrNoRows) {
		wanted, err = store.HasPayable(ctx, tx, to, month)
	}
	if err != nil {
		return err
	}
	if wanted {
		if _, err := s.gathered(ctx, tx, commissioner{to, m.GetToCommissionerName()}, month); err != nil {
			return err
		}
	}
	return s.gatherLatest(ctx, tx, to)
}

// endEmptied withdraws the assembled runs that a move has left without a line that could be paid: those that lost lines, and after a
// move of all places those that had none. Lines on hold wait for the next run.
func (s *Service) endEmptied(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, lost []string) error {
	by := store.RunFilter{Page: store.Page{Commissioners: []string{m.GetFromCommissionerCode()}}, State: assembled}
	runs, err := store.Runs(ctx, tx, by)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if !isWhole(m) && !slices.Contains(lost, run.ID) {
			continue
		}
		items, err := store.RunItems(ctx, tx, run.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(items, func(i rules.RunItem) bool { return !i.Held }) {
			continue
		}
		if err := store.Detach(ctx, tx.Tx, run.ID, nil); err != nil {
			return err
		}
		if err := s.withdraw(ctx, tx, run, "its lines passed to "+m.GetToCommissionerCode()); err != nil {
			return err
		}
	}
	return nil
}

// withdraw ends an assembled run that has no lines.
func (s *Service) withdraw(ctx context.Context, tx *change.Tx, run store.RunRow, reason string) error {
	run.State, run.EndedBy, run.EndedAt, run.EndReason = withdrawn, tx.By.Subject, sqldb.Micros(tx.Now()), reason
	if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
		return err
	}
	summary := fmt.Sprintf("withdrew run %s: %s", run.ID, reason)
	return s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunWithdrawn{Run: r} })
}
