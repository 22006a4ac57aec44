package payments

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	moveProposed  = paymentsv1.MoveState_MOVE_STATE_PROPOSED
	moveConfirmed = paymentsv1.MoveState_MOVE_STATE_CONFIRMED
	moveWithdrawn = paymentsv1.MoveState_MOVE_STATE_WITHDRAWN
)

// ProposeMove says what an abolished commissioner would pass to its successor.
func (s *Service) ProposeMove(ctx context.Context, req *paymentsv1.ProposeMoveRequest) (*paymentsv1.Move, error) {
	from, to := req.GetFromCommissionerCode(), req.GetToCommissionerCode()
	if from == to {
		return nil, fault.New(fault.Invalid, rules.ReasonMoveRefused, "%s cannot take over from itself", from).At("to_commissioner_code", "another commissioner")
	}
	if err := holdsBoth(ctx, from, to); err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*paymentsv1.Move](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	known, err := s.succession(ctx, from, to, req.GetLocationCodes())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Move, error) {
		out := &paymentsv1.Move{
			MoveId: tx.NewID(), FromCommissionerCode: from, ToCommissionerCode: to, ToCommissionerName: known.GetSuccessorName(), EffectiveDate: known.GetEffectiveDate(),
			LocationCodes: req.GetLocationCodes(), Reason: req.GetReason(), State: moveProposed, ProposedBy: tx.By.Subject, ProposedAt: timestamp(sqldb.Micros(tx.Now())),
		}
		passing, err := s.lockedPassing(ctx, tx, out)
		if err != nil {
			return nil, err
		}
		passing.note(out)
		out.Etag = out.GetPassingSha256()
		if err := store.InsertProposal(ctx, tx.Tx, out); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("proposed to move open items from %s to %s: %s", from, to, figuresOf(out))
		return out, s.announceMove(ctx, tx, out, &paymentsv1.MoveProposed{Move: out}, summary)
	})
}

// holdsBoth refuses a caller who does not hold both commissioners.
func holdsBoth(ctx context.Context, codes ...string) error {
	for _, code := range codes {
		if _, err := visible(ctx, code); err != nil {
			return err
		}
	}
	return nil
}

// succession asks the register when one commissioner is succeeded by another, in some places or with none in all. It is asked before
// the transaction, which must not wait for another service.
func (s *Service) succession(ctx context.Context, from, to string, places []string) (*registerv1.Succession, error) {
	answer, err := s.register.ListSuccessions(ctx, &registerv1.ListSuccessionsRequest{CommissionerCode: from})
	if err != nil {
		if f, said := rpc.FaultOf(err); said && f.Reason != "" && f.Kind != fault.Busy {
			return nil, err
		}
		return nil, fault.New(fault.Busy, rules.ReasonRegisterNotReached, "the register gives no answer now on who succeeds %s: try again", from).Because(err)
	}
	var held []string
	var covering []*registerv1.Succession
	for _, known := range answer.GetSuccessions() {
		held = append(held, fmt.Sprintf("%s in %s from %s", known.GetSuccessorCode(), placesText(known.GetLocationCodes()), known.GetEffectiveDate()))
		if known.GetSuccessorCode() != to || !covers(known, places) {
			continue
		}
		if len(known.GetLocationCodes()) == len(places) {
			return known, inPast(s.db, known)
		}
		covering = append(covering, known)
	}
	if len(covering) > 0 {
		if err := agreeing(covering); err != nil {
			return nil, err
		}
		return covering[0], inPast(s.db, covering[0])
	}
	if len(held) == 0 {
		held = append(held, "by nobody")
	}
	return nil, fault.New(fault.Refused, rules.ReasonSuccessionNotRecorded,
		"the register does not hold that %s is succeeded by %s in %s; it holds: %s. Check the codes, or have the succession recorded there (POST /v1/register/successions)",
		from, to, placesText(places), strings.Join(held, "; ")).With("from_commissioner_code", from).With("to_commissioner_code", to)
}

// covers tells whether a succession is of all of some places, or for none of all; each stands once on both sides.
func covers(known *registerv1.Succession, places []string) bool {
	if len(known.GetLocationCodes()) == 0 {
		return true
	}
	return len(places) > 0 && !slices.ContainsFunc(places, func(place string) bool { return !slices.Contains(known.GetLocationCodes(), place) })
}

// agreeing refuses successions of which it cannot be told which one is meant: they cover the same places, and are of different days.
func agreeing(covering []*registerv1.Succession) error {
	var texts []string
	one := true
	for _, known := range covering {
		texts = append(texts, fmt.Sprintf("%s from %s", placesText(known.GetLocationCodes()), known.GetEffectiveDate()))
		one = one && known.GetEffectiveDate() == covering[0].GetEffectiveDate()
	}
	if one {
		return nil
	}
	return fault.New(fault.Refused, rules.ReasonSuccessionAmbiguous,
		"the register holds several successions by %s that cover these places: %s. Move the places of one of them, or have the succession of just these recorded",
		covering[0].GetSuccessorCode(), strings.Join(texts, "; ")).With("to_commissioner_code", covering[0].GetSuccessorCode())
}

// placesText names places; none means all.
func placesText(places []string) string {
	if len(places) == 0 {
		return "all places"
	}
	return strings.Join(places, ", ")
}

// inPast refuses a succession whose day has not come.
func inPast(db *sqldb.DB, known *registerv1.Succession) error {
	day, err := period.ParseDate(known.GetEffectiveDate())
	if err != nil {
		return fmt.Errorf("succession of the register on %q: %w", known.GetEffectiveDate(), err)
	}
	if today := period.DateOf(db.Now()); day.After(today) {
		return fault.New(fault.Refused, rules.ReasonMoveRefused, "the change of %s has not come: today is %s", day, today).With("effective_date", day)
	}
	return nil
}

// lockedPassing holds the money of both commissioners of a move and works out what it takes along.
func (s *Service) lockedPassing(ctx context.Context, tx *change.Tx, m *paymentsv1.Move) (*passing, error) {
	if err := lockBoth(ctx, tx, m); err != nil {
		return nil, err
	}
	if err := s.movable(ctx, tx, m); err != nil {
		return nil, err
	}
	return passingOf(ctx, tx, m)
}

// lockBoth holds the money of both commissioners of a move, in one order, so that two moves cannot wait for each other.
func lockBoth(ctx context.Context, tx *change.Tx, m *paymentsv1.Move) error {
	keys := []string{lockKey(m.GetFromCommissionerCode()), lockKey(m.GetToCommissionerCode())}
	slices.Sort(keys)
	return tx.LockAll(ctx, keys)
}

// figuresOf writes what a move comes to in words.
func figuresOf(m *paymentsv1.Move) string {
	return fmt.Sprintf("%d lines, %d payments, %s accrued, %s payable, %s sent, %s to be recovered", m.GetLines(), m.GetPayments(),
		money.Pence(m.GetAccruedPence()), money.Pence(m.GetPayablePence()), money.Pence(m.GetSentPence()), money.Pence(m.GetRecoveryPence()))
}

// announceMove tells both commissioners of a move, and notes it in the audit log of both.
func (s *Service) announceMove(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, event proto.Message, summary string) error {
	for _, code := range []string{m.GetFromCommissionerCode(), m.GetToCommissionerCode()} {
		if _, err := tx.Announce(ctx, moveSource(m.GetMoveId())+"/"+code, code, event); err != nil {
			return err
		}
		if err := tx.Record(ctx, "payments/moves/"+m.GetMoveId(), code, summary); err != nil {
			return err
		}
	}
	return nil
}

// visibleMove loads a move of a commissioner that the caller holds.
func visibleMove(ctx context.Context, q sqldb.Querier, id string) (*paymentsv1.Move, error) {
	scope, err := visible(ctx, "")
	if err != nil {
		return nil, err
	}
	found, err := store.MovesAndProposals(ctx, q, store.Page{Commissioners: scope}, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, rules.ReasonMoveNotFound, "there is no move %q", id)
	}
	return found[0], nil
}

// waiting refuses a move that was decided on, and one that the caller has not read.
func waiting(m *paymentsv1.Move, etag string) error {
	if m.GetState() != moveProposed {
		state := strings.ToLower(strings.TrimPrefix(m.GetState().String(), "MOVE_STATE_"))
		return fault.New(fault.Refused, rules.ReasonMoveStateDiffers, "move %s is %s", m.GetMoveId(), state).With("state", state)
	}
	return sameTag(etag, m.GetEtag())
}

// ConfirmMove passes on what another person proposed.
func (s *Service) ConfirmMove(ctx context.Context, req *paymentsv1.ConfirmMoveRequest) (*paymentsv1.Move, error) {
	if stored, found, err := change.Stored[*paymentsv1.Move](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	var proposed *paymentsv1.Move
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		proposed, err = visibleMove(ctx, q, req.GetMoveId())
		return err
	})
	if err != nil {
		return nil, err
	}
	from, to := proposed.GetFromCommissionerCode(), proposed.GetToCommissionerCode()
	if err := holdsBoth(ctx, from, to); err != nil {
		return nil, err
	}
	if err := waiting(proposed, req.GetEtag()); err != nil {
		return nil, err
	}
	known, err := s.succession(ctx, from, to, proposed.GetLocationCodes())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Move, error) {
		if err := lockBoth(ctx, tx, proposed); err != nil {
			return nil, err
		}
		m, err := visibleMove(ctx, tx, req.GetMoveId())
		if err != nil {
			return nil, err
		}
		if err := waiting(m, req.GetEtag()); err != nil {
			return nil, err
		}
		if m.GetProposedBy() == tx.By.Subject {
			return nil, fault.New(fault.Denied, rules.ReasonApproverIsPreparer, "move %s was proposed by the same person, who may withdraw it", m.GetMoveId())
		}
		return s.confirmMove(ctx, tx, m, known)
	})
}

// confirmMove works out anew what passes, and passes it on if it is what was proposed.
func (s *Service) confirmMove(ctx context.Context, tx *change.Tx, m *paymentsv1.Move, known *registerv1.Succession) (*paymentsv1.Move, error) {
	passing, err := s.lockedPassing(ctx, tx, m)
	if err != nil {
		return nil, err
	}
	now := proto.CloneOf(m)
	now.EffectiveDate, now.ToCommissionerName = known.GetEffectiveDate(), known.GetSuccessorName()
	passing.note(now)
	if err := unchanged(m, now); err != nil {
		return nil, err
	}
	now.State, now.MovedBy, now.MovedAt, now.Etag = moveConfirmed, tx.By.Subject, timestamp(sqldb.Micros(tx.Now())), ""
	if err := s.move(ctx, tx, now, passing); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("moved open items from %s to %s, as %s proposed: %s", now.GetFromCommissionerCode(), now.GetToCommissionerCode(), now.GetProposedBy(), figuresOf(now))
	return now, s.announceMove(ctx, tx, now, &paymentsv1.OpenItemsMoved{Move: now}, summary)
}

// unchanged refuses a move of anything else than what was proposed.
func unchanged(proposed, now *paymentsv1.Move) error {
	refused := fault.New(fault.Refused, rules.ReasonMoveChanged, "").With("move_id", now.GetMoveId())
	switch {
	case now.GetEffectiveDate() != proposed.GetEffectiveDate() || now.GetToCommissionerName() != proposed.GetToCommissionerName():
		refused.Message = fmt.Sprintf("the register says now that %s, %s, takes over on %s, and said %s, on %s, when the move was proposed",
			now.GetToCommissionerCode(), now.GetToCommissionerName(), now.GetEffectiveDate(), proposed.GetToCommissionerName(), proposed.GetEffectiveDate())
	case now.GetPassingSha256() != proposed.GetPassingSha256() && figuresOf(now) == figuresOf(proposed):
		refused.Message = fmt.Sprintf("what would pass comes to what was proposed, %s, but is not the same lines, payments, holds or runs", figuresOf(now))
	case now.GetPassingSha256() != proposed.GetPassingSha256():
		refused.Message = fmt.Sprintf("what would pass has changed: %s were proposed, %s would pass now", figuresOf(proposed), figuresOf(now))
	default:
		return nil
	}
	refused.Message += ": withdraw the move and propose it again"
	return refused
}

// WithdrawMove ends a proposal.
func (s *Service) WithdrawMove(ctx context.Context, req *paymentsv1.WithdrawMoveRequest) (*paymentsv1.Move, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Move, error) {
		m, err := visibleMove(ctx, tx, req.GetMoveId())
		if err != nil {
			return nil, err
		}
		if err := lockBoth(ctx, tx, m); err != nil {
			return nil, err
		}
		if m, err = visibleMove(ctx, tx, req.GetMoveId()); err != nil {
			return nil, err
		}
		if err := waiting(m, req.GetEtag()); err != nil {
			return nil, err
		}
		m.State, m.EndedBy, m.EndedAt, m.EndReason, m.Etag = moveWithdrawn, tx.By.Subject, timestamp(sqldb.Micros(tx.Now())), req.GetReason(), ""
		if err := saved(store.DecideProposal(ctx, tx.Tx, m, tx.By.Subject)); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("withdrew the move of open items from %s to %s: %s", m.GetFromCommissionerCode(), m.GetToCommissionerCode(), req.GetReason())
		return m, s.announceMove(ctx, tx, m, &paymentsv1.MoveWithdrawn{Move: m}, summary)
	})
}

// GetMove returns one move.
func (s *Service) GetMove(ctx context.Context, req *paymentsv1.GetMoveRequest) (out *paymentsv1.Move, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		out, err = visibleMove(ctx, q, req.GetMoveId())
		return err
	})
	return out, err
}

// ListMoves returns a page of moves.
func (s *Service) ListMoves(ctx context.Context, req *paymentsv1.ListMovesRequest) (*paymentsv1.ListMovesResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []*paymentsv1.Move
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.MovesAndProposals(ctx, q, by, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListMovesResponse)
	out.Moves, out.NextPageToken = page.Cut(rows, by.Limit-1, (*paymentsv1.Move).GetMoveId)
	return out, nil
}
