package payments

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
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
		moves, err := store.Moves(ctx, q, store.Page{}, owner.code)
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
	moves, err := store.Moves(ctx, q, store.Page{}, "")
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
	moves, err := store.Moves(ctx, q, store.Page{}, "")
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
	moves, err := store.Moves(ctx, q, store.Page{}, code)
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

// MoveOpenItems passes what an abolished commissioner owes, or is owed, to its successor.
func (s *Service) MoveOpenItems(ctx context.Context, req *paymentsv1.MoveOpenItemsRequest) (*paymentsv1.Move, error) {
	day, err := parseDate("effective_date", req.GetEffectiveDate())
	if err != nil {
		return nil, err
	}
	from, to := req.GetFromCommissionerCode(), req.GetToCommissionerCode()
	if from == to {
		return nil, fault.New(fault.Invalid, rules.ReasonMoveRefused, "%s cannot take over from itself", from).At("to_commissioner_code", "another commissioner")
	}
	if today := period.DateOf(s.db.Now()); day.After(today) {
		return nil, fault.New(fault.Invalid, rules.ReasonMoveRefused, "the change of %s has not come: today is %s", day, today).At("effective_date", "today or earlier")
	}
	for _, code := range []string{from, to} {
		if !holds(ctx, code) {
			_, err := visible(ctx, code)
			return nil, err
		}
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Move, error) {
		// In one order, so that two moves cannot wait for each other.
		for _, code := range sortedKeys(map[string]bool{from: true, to: true}) {
			if err := tx.Lock(ctx, lockKey(code)); err != nil {
				return nil, err
			}
		}
		if err := s.movable(ctx, tx, from, to); err != nil {
			return nil, err
		}
		return s.move(ctx, tx, req, day)
	})
}

// movable refuses while runs of the abolished commissioner are under way, and a succession that would lead back.
func (s *Service) movable(ctx context.Context, tx *change.Tx, from, to string) error {
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
	return nil
}

// move passes balances, items and payments on, and asserts that nothing was lost.
func (s *Service) move(ctx context.Context, tx *change.Tx, req *paymentsv1.MoveOpenItemsRequest, day period.Date) (*paymentsv1.Move, error) {
	from, to := req.GetFromCommissionerCode(), req.GetToCommissionerCode()
	out := &paymentsv1.Move{
		MoveId: tx.NewID(), FromCommissionerCode: from, ToCommissionerCode: to, ToCommissionerName: req.GetToCommissionerName(), EffectiveDate: day.String(),
		LocationCodes: req.GetLocationCodes(), Reason: req.GetReason(), MovedBy: tx.By.Subject, MovedAt: timestamp(sqldb.Micros(tx.Now())),
	}
	before, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return nil, err
	}
	passing, err := passingOf(ctx, tx, out)
	if err != nil {
		return nil, err
	}
	balances, err := store.Balances(ctx, tx, store.BalanceFilter{CommissionerCode: from, ByLine: true, Stages: openStages()})
	if err != nil {
		return nil, err
	}
	balances = slices.DeleteFunc(balances, func(b store.Balance) bool { return !passing.has(b) })
	newest, err := store.NewestEffective(ctx, tx, from)
	if err != nil {
		return nil, err
	}
	// What took effect after the change passes on when it did: no account may hold less than nothing in between.
	takes, err := period.ParseDate(max(newest, day.String()))
	if err != nil {
		return nil, fault.Bug("books of %s up to %q", from, newest)
	}
	if err := store.Post(ctx, tx.Tx, tx.By.Subject, takes, transfers(out, balances)); err != nil {
		return nil, err
	}
	if err := s.passOn(ctx, tx, out, passing); err != nil {
		return nil, err
	}
	after, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return nil, err
	}
	if before != after {
		return nil, fault.Bug("move from %s to %s: %d pence were open, %d are", from, to, before, after)
	}
	out.OpenBeforePence, out.OpenAfterPence = int64(before), int64(after)
	if err := store.InsertMove(ctx, tx.Tx, out); err != nil {
		return nil, err
	}
	if err := s.endEmptied(ctx, tx, out, passing.runs); err != nil {
		return nil, err
	}
	if err := s.assembleMoved(ctx, tx, out, day); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("moved open items from %s to %s: %d lines, %d payments, %s open", from, to, out.GetLines(), out.GetPayments(), after)
	for _, code := range []string{from, to} {
		if _, err := tx.Announce(ctx, "move/"+out.GetMoveId()+"/"+code, code, &paymentsv1.OpenItemsMoved{Move: out}); err != nil {
			return nil, err
		}
		if err := tx.Record(ctx, "payments/moves/"+out.GetMoveId(), code, summary); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// passing is what a move takes along: payees with all they are owed or owe, and single open lines of payees that serve other places
// too, whose payments and debts cannot be divided.
type passing struct {
	whole  bool
	payees map[string]bool
	lines  map[string]bool
	items  []string // line ids of all items that pass
	runs   []string // assembled runs that lose lines
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
	return out, nil
}

// passOn changes who owes the items and payments, whom holds are placed by, and with whom instalments are agreed.
func (s *Service) passOn(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, p *passing) error {
	from, to := m.GetFromCommissionerCode(), m.GetToCommissionerCode()
	if err := store.MoveItems(ctx, tx.Tx, to, p.items); err != nil {
		return err
	}
	payments, err := movePayments(ctx, tx, from, to, p)
	if err != nil {
		return err
	}
	m.Lines, m.Payments = int32(len(p.items)), int32(payments) //nolint:gosec // counts of one commissioner
	if err := moveHolds(ctx, tx, from, to, p); err != nil {
		return err
	}
	return store.MovePlans(ctx, tx.Tx, from, to, sortedKeys(p.payees))
}

// moveHolds passes holds on. A payee that is owed by both from now on is held by both.
func moveHolds(ctx context.Context, tx *change.Tx, from, to string, p *passing) error {
	held, err := store.Holds(ctx, tx, store.Page{Commissioners: []string{from}}, true)
	if err != nil {
		return err
	}
	var moved []string
	var copied []store.HoldRow
	for _, hold := range held {
		switch {
		case p.whole, p.lines[hold.LineID], hold.PayeeCode != "" && p.payees[hold.PayeeCode]:
			moved = append(moved, hold.ID)
		case hold.PayeeCode != "":
			hold.ID, hold.CommissionerCode = tx.NewID(), to
			copied = append(copied, hold)
		}
	}
	if err := store.MoveHolds(ctx, tx.Tx, to, moved); err != nil {
		return err
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
// payee, and adds them up by stage.
func transfers(m *paymentsv1.Move, balances []store.Balance) []rules.Posting {
	sums := map[rules.Stage]*int64{
		rules.Accrued: &m.AccruedPence, rules.Payable: &m.PayablePence, rules.Sent: &m.SentPence, rules.Recovered: &m.RecoveryPence,
	}
	byPayee := make(map[string][]store.Balance)
	for _, b := range balances {
		byPayee[b.PayeeCode] = append(byPayee[b.PayeeCode], b)
		*sums[b.Stage] -= int64(b.Amount)
	}
	m.RecoveryPence = -m.GetRecoveryPence()
	var out []rules.Posting
	for _, payee := range sortedKeys(byPayee) {
		leaving := rules.Posting{CommissionerCode: m.GetFromCommissionerCode(), Kind: rules.Transfer, Source: "move/" + m.GetMoveId()}
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

// movePayments passes on the payments that are not settled.
func movePayments(ctx context.Context, tx *change.Tx, from, to string, p *passing) (moved int, err error) {
	for _, state := range []paymentsv1.PaymentState{paymentsv1.PaymentState_PAYMENT_STATE_SENT, paymentsv1.PaymentState_PAYMENT_STATE_REJECTED} {
		rows, err := store.Payments(ctx, tx, store.PaymentFilter{Page: store.Page{Commissioners: []string{from}}, State: state})
		if err != nil {
			return 0, err
		}
		for i := range rows {
			if !p.payees[rows[i].PayeeCode] {
				continue
			}
			rows[i].CommissionerCode = to
			if err := saved(store.UpdatePayment(ctx, tx.Tx, &rows[i])); err != nil {
				return 0, err
			}
			moved++
		}
	}
	return moved, nil
}

// assembleMoved puts what was open into runs of the successor: that of the month of the change, and of later months where one is
// assembled.
func (s *Service) assembleMoved(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, day period.Date) error {
	if m.GetLines() == 0 {
		return nil
	}
	to := m.GetToCommissionerCode()
	if _, err := s.gathered(ctx, tx, commissioner{to, m.GetToCommissionerName()}, day.Month()); err != nil {
		return err
	}
	return s.gatherLatest(ctx, tx, to)
}

// endEmptied withdraws the assembled runs that a move has left without lines.
func (s *Service) endEmptied(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, ids []string) error {
	for _, id := range ids {
		run, err := store.Run(ctx, tx, id)
		if err != nil {
			return err
		}
		items, err := store.RunItems(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(items) > 0 {
			continue
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

// ListMoves returns a page of moves.
func (s *Service) ListMoves(ctx context.Context, req *paymentsv1.ListMovesRequest) (*paymentsv1.ListMovesResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []*paymentsv1.Move
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Moves(ctx, q, by, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListMovesResponse)
	out.Moves, out.NextPageToken = page.Cut(rows, by.Limit-1, (*paymentsv1.Move).GetMoveId)
	return out, nil
}
