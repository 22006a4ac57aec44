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

// ownerOf returns who owes the lines of a commissioner now: itself, or the one that its open items passed to.
func ownerOf(ctx context.Context, q sqldb.Querier, code, location string) (commissioner, error) {
	owner := commissioner{code: code}
	seen := map[string]bool{code: true}
	for {
		moves, err := store.Moves(ctx, q, store.Page{}, owner.code)
		if err != nil {
			return owner, err
		}
		at := slices.IndexFunc(moves, func(m *paymentsv1.Move) bool {
			return len(m.GetLocationCodes()) == 0 || slices.Contains(m.GetLocationCodes(), location)
		})
		if at < 0 || seen[moves[at].GetToCommissionerCode()] {
			return owner, nil
		}
		owner = commissioner{code: moves[at].GetToCommissionerCode()}
		seen[owner.code] = true
	}
}

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

// notSucceeded refuses a new run of a commissioner whose open items have all passed to another.
func notSucceeded(ctx context.Context, q sqldb.Querier, code string, month period.Month) error {
	moves, err := store.Moves(ctx, q, store.Page{}, code)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if len(m.GetLocationCodes()) == 0 {
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
			return fault.New(fault.Refused, rules.ReasonMoveRefused, "run %s of %s is %s: finish it, or withdraw or reject it, first", runs[0].ID, from, stateName(state)).
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
		MoveId: tx.NewID(), FromCommissionerCode: from, ToCommissionerCode: to, EffectiveDate: day.String(), LocationCodes: req.GetLocationCodes(),
		Reason: req.GetReason(), MovedBy: tx.By.Subject, MovedAt: timestamp(sqldb.Micros(tx.Now())),
	}
	before, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return nil, err
	}
	payees, err := store.PayeesIn(ctx, tx, from, req.GetLocationCodes())
	if err != nil {
		return nil, err
	}
	balances, err := store.Balances(ctx, tx, store.BalanceFilter{CommissionerCode: from, ByLine: true, Stages: openStages(), Payees: payees})
	if err != nil {
		return nil, err
	}
	if err := store.Post(ctx, tx.Tx, tx.By.Subject, day, transfers(out, balances)); err != nil {
		return nil, err
	}
	lines, payments, err := s.moveItems(ctx, tx, out, payees, req.GetToCommissionerName())
	if err != nil {
		return nil, err
	}
	after, err := openBetween(ctx, tx, from, to)
	if err != nil {
		return nil, err
	}
	if before != after {
		return nil, fault.Bug("move from %s to %s: %d pence were open, %d are", from, to, before, after)
	}
	out.Lines, out.Payments, out.OpenBeforePence, out.OpenAfterPence = int32(lines), int32(payments), int64(before), int64(after) //nolint:gosec // counts of one commissioner
	if err := store.InsertMove(ctx, tx.Tx, out); err != nil {
		return nil, err
	}
	if _, err := tx.Announce(ctx, "move/"+out.GetMoveId(), to, &paymentsv1.OpenItemsMoved{Move: out}); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("moved open items from %s to %s: %d lines, %d payments, %s open", from, to, lines, payments, after)
	for _, code := range []string{from, to} {
		if err := tx.Record(ctx, "payments/moves/"+out.GetMoveId(), code, summary); err != nil {
			return nil, err
		}
	}
	return out, nil
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

// moveItems changes who owes the items, payments and holds that are not settled, and with whom instalments are agreed; it ends the
// runs that are assembled, and puts what was open into a run of the successor.
func (s *Service) moveItems(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, payees []string, name string) (lines int64, payments int, err error) {
	from, to := m.GetFromCommissionerCode(), m.GetToCommissionerCode()
	if lines, err = store.MoveItems(ctx, tx.Tx, from, to, payees); err != nil {
		return 0, 0, err
	}
	if payments, err = movePayments(ctx, tx, from, to, payees); err != nil {
		return 0, 0, err
	}
	if err := store.MoveHolds(ctx, tx.Tx, from, to, payees); err != nil {
		return 0, 0, err
	}
	if err := store.MovePlans(ctx, tx.Tx, from, to, payees); err != nil {
		return 0, 0, err
	}
	if err := s.endAssembled(ctx, tx, m); err != nil || lines == 0 {
		return lines, payments, err
	}
	day, err := period.ParseDate(m.GetEffectiveDate())
	if err != nil {
		return 0, 0, fault.Bug("move on %q", m.GetEffectiveDate())
	}
	run, err := s.assembled(ctx, tx, commissioner{to, name}, day.Month())
	if err != nil {
		return 0, 0, err
	}
	if _, err = store.Gather(ctx, tx.Tx, to, run.Month, run.ID); err != nil {
		return 0, 0, err
	}
	// Lines of later months go into a later run of the successor, if one is assembled.
	return lines, payments, s.gatherLatest(ctx, tx, to)
}

// movePayments passes on the payments that are not settled.
func movePayments(ctx context.Context, tx *change.Tx, from, to string, payees []string) (moved int, err error) {
	for _, state := range []paymentsv1.PaymentState{paymentsv1.PaymentState_PAYMENT_STATE_SENT, paymentsv1.PaymentState_PAYMENT_STATE_REJECTED} {
		rows, err := store.Payments(ctx, tx, store.PaymentFilter{Page: store.Page{Commissioners: []string{from}}, State: state})
		if err != nil {
			return 0, err
		}
		for i := range rows {
			if !slices.Contains(payees, rows[i].PayeeCode) {
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

// endAssembled withdraws the assembled runs of a commissioner that have nothing left to pay.
func (s *Service) endAssembled(ctx context.Context, tx *change.Tx, m *paymentsv1.Move) error {
	runs, err := store.Runs(ctx, tx, store.RunFilter{Page: store.Page{Commissioners: []string{m.GetFromCommissionerCode()}}, State: assembled})
	if err != nil {
		return err
	}
	for _, run := range runs {
		items, err := store.RunItems(ctx, tx, run.ID)
		if err != nil {
			return err
		}
		if len(items) > 0 {
			continue
		}
		run.State, run.EndedBy, run.EndedAt = withdrawn, tx.By.Subject, sqldb.Micros(tx.Now())
		run.EndReason = "its lines passed to " + m.GetToCommissionerCode()
		if err := saved(store.UpdateRun(ctx, tx.Tx, &run)); err != nil {
			return err
		}
		summary := fmt.Sprintf("withdrew run %s: %s", run.ID, run.EndReason)
		if err := s.announce(ctx, tx, run, summary, func(r *paymentsv1.Run) proto.Message { return &paymentsv1.RunWithdrawn{Run: r} }); err != nil {
			return err
		}
	}
	return nil
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
