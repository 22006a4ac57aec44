package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// reasonPlaced marks a hold that a person placed.
const reasonPlaced = "PLACED"

// PlaceHold keeps a payee's lines, or one line, out of runs.
func (s *Service) PlaceHold(ctx context.Context, req *paymentsv1.PlaceHoldRequest) (*paymentsv1.Hold, error) {
	if (req.GetPayeeCode() == "") == (req.GetLineId() == "") {
		return nil, fault.New(fault.Invalid, rules.ReasonHoldTargetInvalid, "a hold is on a payee or on a line").
			At("payee_code", "give it or line_id, and only one").At("line_id", "give it or payee_code, and only one")
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Hold, error) {
		if err := tx.Lock(ctx, lockKey(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		if err := notPassed(ctx, tx, req); err != nil {
			return nil, err
		}
		if err := holdable(ctx, tx, req); err != nil {
			return nil, err
		}
		if err := notHeld(ctx, tx, req); err != nil {
			return nil, err
		}
		row := store.HoldRow{
			ID: tx.NewID(), CommissionerCode: req.GetCommissionerCode(), PayeeCode: req.GetPayeeCode(), LineID: req.GetLineId(),
			ReasonCode: reasonPlaced, Reason: req.GetReason(), PlacedBy: tx.By.Subject, PlacedAt: sqldb.Micros(tx.Now()), Version: 1,
		}
		if err := store.InsertHolds(ctx, tx.Tx, []store.HoldRow{row}); err != nil {
			return nil, err
		}
		if err := store.TouchAssembled(ctx, tx.Tx, row.CommissionerCode); err != nil {
			return nil, err
		}
		out := holdToProto(row)
		if _, err := tx.Announce(ctx, holdAggregate(row), row.CommissionerCode, &paymentsv1.HoldPlaced{Hold: out}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("held %s: %s", row.PayeeCode+row.LineID, row.Reason)
		return out, tx.Record(ctx, "payments/holds/"+row.ID, row.CommissionerCode, summary)
	})
}

// holdAggregate is the thing whose events tell of a hold; one that passed to another commissioner is another.
func holdAggregate(row store.HoldRow) string { return "hold/" + row.CommissionerCode + "/" + row.ID }

// notPassed refuses a hold in the name of a commissioner whose items, or all of whose items of the payee, passed to another: it would
// hold nobody.
func notPassed(ctx context.Context, q sqldb.Querier, req *paymentsv1.PlaceHoldRequest) error {
	code := req.GetCommissionerCode()
	owner, err := ownerOf(ctx, q, code, "")
	if err != nil {
		return err
	}
	heir := owner.code
	if heir == code && req.GetPayeeCode() != "" {
		heirs, err := successors(ctx, q, code)
		if err != nil || len(heirs) == 0 {
			return err
		}
		owing, err := store.OwersOf(ctx, q, req.GetPayeeCode(), append(heirs, code))
		if err != nil || len(owing) == 0 || slices.Contains(owing, code) {
			return err
		}
		heir = owing[0]
	}
	if heir == code {
		return nil
	}
	return fault.New(fault.Refused, rules.ReasonCommissionerSucceeded, "the open items of %s passed to %s: place the hold there", code, heir).With("successor", heir)
}

// holdable refuses a line that the commissioner does not owe, or that is in a frozen run.
func holdable(ctx context.Context, q sqldb.Querier, req *paymentsv1.PlaceHoldRequest) error {
	if req.GetLineId() == "" {
		known, err := store.KnowsPayee(ctx, q, req.GetCommissionerCode(), req.GetPayeeCode())
		if err == nil && !known {
			err = fault.New(fault.Refused, rules.ReasonHoldTargetInvalid, "%s neither owes %q anything nor knows it as a supplier: a hold on it would hold nobody",
				req.GetCommissionerCode(), req.GetPayeeCode()).At("payee_code", "a payee with a line, or a supplier")
		}
		return err
	}
	lines, err := store.Lines(ctx, q, store.LineFilter{LineID: req.GetLineId(), Commissioners: []string{req.GetCommissionerCode()}, ToPayOnly: true})
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return fault.New(fault.NotFound, rules.ReasonLineNotFound, "%s owes no line %q", req.GetCommissionerCode(), req.GetLineId())
	}
	frozen := fault.New(fault.Refused, rules.ReasonLineFrozen, "line %s is in run %s, which is frozen: withdraw or reject it first, or hold the payee",
		req.GetLineId(), lines[0].RunID).With("run_id", lines[0].RunID)
	if lines[0].State != store.Open {
		return fault.New(fault.Refused, rules.ReasonLineFrozen, "line %s is approved already: hold its payee to keep back what is not sent yet", req.GetLineId()).
			With("run_id", lines[0].RunID)
	}
	if lines[0].RunID == "" {
		return nil
	}
	run, err := store.Run(ctx, q, lines[0].RunID)
	if err == nil && run.State != assembled {
		return frozen
	}
	return err
}

// notHeld refuses what a person holds already: one release would then leave it held. A hold that came with a line is the fund's, and
// is released for the fund's reasons.
func notHeld(ctx context.Context, q sqldb.Querier, req *paymentsv1.PlaceHoldRequest) error {
	held, err := store.HoldOn(ctx, q, req.GetCommissionerCode(), req.GetPayeeCode(), req.GetLineId(), reasonPlaced)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return fault.New(fault.Exists, rules.ReasonHoldExists, "%s is held by %s already, by hold %s", held.PayeeCode+held.LineID, held.PlacedBy, held.ID).
		With("hold_id", held.ID).With("placed_by", held.PlacedBy)
}

// ReleaseHold ends a hold; its lines go into an assembled run, which begins if there is none for them.
func (s *Service) ReleaseHold(ctx context.Context, req *paymentsv1.ReleaseHoldRequest) (*paymentsv1.Hold, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Hold, error) {
		row, err := store.Hold(ctx, tx, req.GetHoldId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, row.CommissionerCode)) {
			return nil, fault.New(fault.NotFound, rules.ReasonHoldNotFound, "there is no hold %q", req.GetHoldId())
		}
		if err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, lockKey(row.CommissionerCode)); err != nil {
			return nil, err
		}
		if err := releasable(row, req.GetEtag()); err != nil {
			return nil, err
		}
		row.ReleasedBy, row.ReleasedAt, row.ReleaseReason = tx.By.Subject, sqldb.Micros(tx.Now()), req.GetReason()
		if err := saved(store.ReleaseHold(ctx, tx.Tx, row)); err != nil {
			return nil, err
		}
		row.Version++
		if err := store.TouchAssembled(ctx, tx.Tx, row.CommissionerCode); err != nil {
			return nil, err
		}
		if err := s.gatherReleased(ctx, tx, row.CommissionerCode); err != nil {
			return nil, err
		}
		out := holdToProto(row)
		if out.RunIds, err = store.WaitingIn(ctx, tx, row.CommissionerCode, row.PayeeCode, row.LineID); err != nil {
			return nil, err
		}
		if _, err := tx.Announce(ctx, holdAggregate(row), row.CommissionerCode, &paymentsv1.HoldReleased{Hold: out}); err != nil {
			return nil, err
		}
		where := "no line of it waits in a run"
		if len(out.GetRunIds()) > 0 {
			where = "its lines are in " + strings.Join(out.GetRunIds(), ", ")
		}
		summary := fmt.Sprintf("released the hold on %s: %s; %s", row.PayeeCode+row.LineID, req.GetReason(), where)
		return out, tx.Record(ctx, "payments/holds/"+row.ID, row.CommissionerCode, summary)
	})
}

func releasable(row store.HoldRow, etag string) error {
	if err := checkTag(etag, row.Version); err != nil {
		return err
	}
	if row.ReleasedAt != 0 {
		return fault.New(fault.Refused, rules.ReasonHoldReleased, "hold %s was released by %s", row.ID, row.ReleasedBy)
	}
	if row.ReasonCode == rules.ReasonPayeeNotRecorded {
		return fault.New(fault.Refused, rules.ReasonPayeeNotRecorded,
			"line %s has no payee, so nobody can be paid: record the payee in the register and close the month again, which takes the line back and schedules it anew",
			row.LineID)
	}
	return nil
}

// gatherReleased puts a commissioner's open lines that are in no run into the assembled run of the latest month. Lines that could be
// paid and have none of their month or after begin one, unless the commissioner was succeeded.
func (s *Service) gatherReleased(ctx context.Context, tx *change.Tx, code string) error {
	if err := s.gatherLatest(ctx, tx, code); err != nil {
		return err
	}
	left, err := store.LatestFree(ctx, tx, code)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if owner, err := ownerOf(ctx, tx, code, ""); err != nil || owner.code != code {
		return err
	}
	_, err = s.gathered(ctx, tx, commissioner{code: code}, left)
	return err
}

// gatherLatest puts a commissioner's open lines that are in no run into the assembled run of the latest month, if there is one.
func (s *Service) gatherLatest(ctx context.Context, tx *change.Tx, commissioner string) error {
	run, err := store.LatestAssembledRun(ctx, tx, commissioner)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	lines, err := store.Gather(ctx, tx.Tx, commissioner, run.Month, run.ID)
	if err != nil {
		return err
	}
	return s.grown(ctx, tx, &run, false, lines)
}

// ListHolds returns a page of holds.
func (s *Service) ListHolds(ctx context.Context, req *paymentsv1.ListHoldsRequest) (*paymentsv1.ListHoldsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.HoldRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Holds(ctx, q, by, req.GetOpenOnly())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListHoldsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(r store.HoldRow) string { return r.ID })
	for _, row := range rows {
		out.Holds = append(out.Holds, holdToProto(row))
	}
	return out, nil
}
