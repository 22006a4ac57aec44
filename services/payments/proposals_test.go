package payments_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// withdrawMove has a person end a proposal.
func (s *suite) withdrawMove(t testing.TB, who string, m *paymentsv1.Move) (*paymentsv1.Move, error) {
	t.Helper()
	return s.payments.WithdrawMove(s.as(t.Context(), who), &paymentsv1.WithdrawMoveRequest{
		RequestId: s.next(), MoveId: m.GetMoveId(), Etag: m.GetEtag(), Reason: "not meant",
	})
}

func TestProposeMove_TakesWhatTheRegisterHolds(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)))
		s.heirs.record("15N", "QJK", "2022-07-01", "L1")
		s.heirs.record("15N", "QU9", "2023-04-01")
		before := s.dump(t)
		for name, c := range map[string]struct {
			from, to string
			places   []string
			holds    string
		}{
			"nobody follows":         {"QJK", "15N", nil, "by nobody"},
			"another body":           {"15N", "QOC", nil, "QJK in L1 from 2022-07-01; QU9 in all places from 2023-04-01"},
			"all, where some passed": {"15N", "QJK", nil, "QJK in L1 from 2022-07-01"},
			"a place that stayed":    {"15N", "QJK", []string{"L1", "L2"}, "QJK in L1 from 2022-07-01"},
		} {
			_, err := s.propose(t.Context(), c.from, c.to, c.places...)
			require.Equal(t, codes.FailedPrecondition, status.Code(err), name)
			require.Equal(t, "SUCCESSION_NOT_RECORDED", reason(err), name)
			require.ErrorContains(t, err, c.holds, name)
			require.ErrorContains(t, err, "POST /v1/register/successions", name)
		}
		require.Equal(t, before, s.dump(t))
		some, err := s.propose(t.Context(), "15N", "QJK", "L1")
		require.NoError(t, err)
		require.Equal(t, []string{"2022-07-01", "Heir QJK"}, []string{some.GetEffectiveDate(), some.GetToCommissionerName()})
		part, err := s.propose(t.Context(), "15N", "QU9", "L2")
		require.NoError(t, err, "what passes in all places passes in one")
		require.Equal(t, "2023-04-01", part.GetEffectiveDate())
	})
}

func TestProposeMove_WaitsForTheRegister(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.heirs.record("15N", "QJK", "2022-07-01")
		m, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		s.blunt.Store(true)
		s.heirs.fail(status.Error(codes.Unavailable, "connection refused"))
		before := s.dump(t)
		for _, call := range []func() error{
			func() error { _, err := s.propose(t.Context(), "15N", "QJK"); return err },
			func() error { _, err := s.agree(t.Context(), "bob", m); return err },
		} {
			require.Equal(t, codes.Canceled, status.Code(call()), "which stands for a refusal that the client makes again")
		}
		require.Equal(t, before, s.dump(t))
		s.blunt.Store(false)
		s.heirs.fail(nil)
		_, err = s.agree(t.Context(), "bob", m)
		require.NoError(t, err)
	})
}

func TestMove_TakesTwoPersons(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L1", pay("P2", -40)), in("L1", pay("P3", 7)))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, in("L1", pay("P1", 30)))
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{"15N-2022-04-1-P3", "REJECTED", "0.07"}))
		require.NoError(t, err)
		s.heirs.record("15N", "QJK", "2022-07-01")
		books := s.books(t).balances()
		m, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		require.Equal(t, paymentsv1.MoveState_MOVE_STATE_PROPOSED, m.GetState())
		require.Equal(t, []int64{3, 2, 30, 7, 1000, 40}, []int64{
			int64(m.GetLines()), int64(m.GetPayments()), m.GetAccruedPence(), m.GetPayablePence(), m.GetSentPence(), m.GetRecoveryPence(),
		})
		require.Equal(t, []string{"15N-2022-05-1"}, m.GetRunIds())
		require.Equal(t, books, s.books(t).balances(), "nothing has passed")
		require.Equal(t, "15N", s.payment(t, "15N-2022-04-1-P1").GetCommissionerCode())

		_, err = s.agree(t.Context(), "ann", m)
		require.Equal(t, "APPROVER_IS_PREPARER", reason(err))
		stale := proto.CloneOf(m)
		stale.Etag = "7"
		_, err = s.agree(t.Context(), "bob", stale)
		require.Equal(t, codes.Aborted, status.Code(err))
		_, err = s.payments.ConfirmMove(testkit.As(t.Context(), testkit.Preparer("15N")), &paymentsv1.ConfirmMoveRequest{RequestId: s.next(), MoveId: m.GetMoveId(), Etag: m.GetEtag()})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		_, err = s.payments.ConfirmMove(testkit.As(t.Context(), testkit.Approver("15N")), &paymentsv1.ConfirmMoveRequest{RequestId: s.next(), MoveId: m.GetMoveId(), Etag: m.GetEtag()})
		require.Equal(t, codes.NotFound, status.Code(err), "who confirms holds both")
		require.Error(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(context.Background(), `UPDATE move_proposals SET state = 2, decided_by = 'ann'`)
			return err
		}), "the database refuses it too")
		s.heirs.record("15N", "QJK", "2022-07-02")
		_, err = s.agree(t.Context(), "bob", m)
		require.Equal(t, "MOVE_CHANGED", reason(err), "the register says another day now")
		s.heirs.record("15N", "QJK", "2022-07-01")

		done, err := s.agree(t.Context(), "bob", m)
		require.NoError(t, err)
		require.Equal(t, []string{"ann", "bob"}, []string{done.GetProposedBy(), done.GetMovedBy()})
		require.Equal(t, paymentsv1.MoveState_MOVE_STATE_CONFIRMED, done.GetState())
		require.Equal(t, m.GetPassingSha256(), done.GetPassingSha256())
		require.Equal(t, int64(1000+30+7-40), done.GetOpenAfterPence())
		require.Equal(t, "QJK", s.payment(t, "15N-2022-04-1-P1").GetCommissionerCode())
		for _, who := range []func(*paymentsv1.Move) error{
			func(m *paymentsv1.Move) error { _, err := s.agree(t.Context(), "bob", m); return err },
			func(m *paymentsv1.Move) error { _, err := s.withdrawMove(t, "ann", m); return err },
		} {
			require.Equal(t, "MOVE_STATE_DIFFERS", reason(who(done)))
		}
		listed, err := s.payments.ListMoves(s.as(t.Context(), "auditor"), &paymentsv1.ListMovesRequest{CommissionerCode: "QJK"})
		require.NoError(t, err)
		require.Len(t, listed.GetMoves(), 1)
		require.True(t, proto.Equal(done, listed.GetMoves()[0]))
		s.books(t).hold(t)
	})
}

func TestConfirmMove_MovesWhatWasShown(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L1", pay("P2", 500)))
		s.heirs.record("15N", "QJK", "2022-07-01")
		first, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		s.closes(t, "15N", "2022-04", 2, in("L1", pay("P1", 7)), in("L1", pay("P2", -7)))
		before := s.dump(t)
		_, err = s.agree(t.Context(), "bob", first)
		require.Equal(t, "MOVE_CHANGED", reason(err), "the sum is what it was, and its lines are not")
		require.ErrorContains(t, err, "2 lines, 0 payments, £15.00 accrued")
		require.ErrorContains(t, err, "4 lines, 0 payments, £15.00 accrued")
		require.Equal(t, before, s.dump(t))
		_, err = s.withdrawMove(t, "ann", first)
		require.NoError(t, err)
		second, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		_, err = s.agree(t.Context(), "bob", second)
		require.NoError(t, err)
		s.books(t).hold(t)
	})
}

// TestConfirmMove_TakesTheTagOfWhatPasses changes what would pass, of the same sums, between the proposal and the confirmation.
func TestConfirmMove_TakesTheTagOfWhatPasses(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *suite){
		"a hold is placed": func(t *testing.T, s *suite) {
			_, err := s.holdOn(t, "15N", "P1")
			require.NoError(t, err)
		},
		"a hold is released, and its line in a run": func(t *testing.T, s *suite) {
			_, err := s.payments.ReleaseHold(s.as(t.Context(), "ann"), &paymentsv1.ReleaseHoldRequest{
				RequestId: s.next(), HoldId: s.texts(t, `SELECT hold_id FROM holds`)[0], Etag: "1", Reason: "answered",
			})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L1", pay("P2", 500)))
				_, err := s.holdOn(t, "15N", "P2")
				require.NoError(t, err)
				s.heirs.record("15N", "QJK", "2022-07-01")
				first, err := s.propose(t.Context(), "15N", "QJK")
				require.NoError(t, err)
				require.Equal(t, first.GetPassingSha256(), first.GetEtag())
				change(t, s)
				_, err = s.agree(t.Context(), "bob", first)
				require.Equal(t, "MOVE_CHANGED", reason(err))
				require.ErrorContains(t, err, "comes to what was proposed")
				second, err := s.propose(t.Context(), "15N", "QJK")
				require.NoError(t, err)
				second.MoveId, first.MoveId = first.GetMoveId(), second.GetMoveId()
				_, err = s.agree(t.Context(), "bob", first)
				require.Equal(t, codes.Aborted, status.Code(err), "the tag is of what passed by another proposal")
				first.Etag = second.GetEtag()
				done, err := s.agree(t.Context(), "bob", first)
				require.NoError(t, err)
				require.Empty(t, done.GetEtag())
			})
		})
	}
}

func TestProposeMove_TakesTheSuccessionOfThesePlaces(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)), in("L3", pay("P3", 20)))
		s.heirs.record("15N", "QJK", "2022-06-01", "L1", "L2")
		s.heirs.record("15N", "QJK", "2022-07-01", "L2", "L3")
		s.heirs.record("15N", "QJK", "2022-08-01", "L1")
		s.heirs.record("15N", "QJK", "2022-09-01")
		for day, places := range map[string][]string{"2022-06-01": {"L2", "L1"}, "2022-08-01": {"L1"}, "2022-09-01": nil} {
			m, err := s.propose(t.Context(), "15N", "QJK", places...)
			require.NoError(t, err)
			require.Equal(t, day, m.GetEffectiveDate(), "%v", places)
		}
		_, err := s.propose(t.Context(), "15N", "QJK", "L2")
		require.Equal(t, "SUCCESSION_AMBIGUOUS", reason(err))
		require.ErrorContains(t, err, "L1, L2 from 2022-06-01; L2, L3 from 2022-07-01; all places from 2022-09-01")
		s.heirs.record("15N", "QJK", "2022-06-01", "L2", "L3")
		s.heirs.record("15N", "QJK", "2022-06-01")
		m, err := s.propose(t.Context(), "15N", "QJK", "L2")
		require.NoError(t, err, "all say one day")
		require.Equal(t, "2022-06-01", m.GetEffectiveDate())
	})
}

func TestMove_OfAWholeBookHasOneSuccessor(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)))
		s.heirs.record("15N", "QJK", "2022-07-01")
		s.heirs.record("15N", "QU9", "2022-07-01")
		first, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		second, err := s.propose(t.Context(), "15N", "QU9")
		require.NoError(t, err, "nothing has passed")
		_, err = s.agree(t.Context(), "bob", first)
		require.NoError(t, err)
		before := s.dump(t)
		_, err = s.agree(t.Context(), "bob", second)
		require.Equal(t, "MOVE_REFUSED", reason(err))
		require.ErrorContains(t, err, "passed to QJK")
		_, err = s.propose(t.Context(), "15N", "QU9")
		require.Equal(t, "MOVE_REFUSED", reason(err))
		require.Equal(t, before, s.dump(t))
		s.succeeds(t, "15N", "QU9", "2022-07-01", "L2")
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.succeeds(t, "QJK", "QU9", "2022-08-01")
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.books(t).hold(t)
	})
}

func TestWithdrawMove_IsForTheTwoBodies(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.heirs.record("15N", "QJK", "2022-07-01")
		end := func(m *paymentsv1.Move, who auth.Principal) error {
			_, err := s.payments.WithdrawMove(testkit.As(t.Context(), who), &paymentsv1.WithdrawMoveRequest{RequestId: s.next(), MoveId: m.GetMoveId(), Etag: m.GetEtag(), Reason: "not meant"})
			return err
		}
		operator := testkit.Operator()
		operator.Commissioners = []string{"QU9"}
		for _, code := range []string{"15N", "QJK"} {
			m, err := s.propose(t.Context(), "15N", "QJK")
			require.NoError(t, err)
			require.Equal(t, "MOVE_NOT_FOUND", reason(end(m, operator)))
			require.Equal(t, "MOVE_NOT_FOUND", reason(end(m, testkit.Approver("QU9"))))
			require.NoError(t, end(m, testkit.Preparer(code)), "either side may refuse")
		}
	})
}

func TestWithdrawMove_EndsAProposal(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.heirs.record("15N", "QJK", "2022-07-01")
		m, err := s.propose(t.Context(), "15N", "QJK")
		require.NoError(t, err)
		_, err = s.payments.GetMove(testkit.As(t.Context(), testkit.Auditor("QU9")), &paymentsv1.GetMoveRequest{MoveId: m.GetMoveId()})
		require.Equal(t, "MOVE_NOT_FOUND", reason(err))
		ended, err := s.withdrawMove(t, "bob", m)
		require.NoError(t, err)
		require.Equal(t, []string{"bob", "not meant"}, []string{ended.GetEndedBy(), ended.GetEndReason()})
		_, err = s.agree(t.Context(), "carl", ended)
		require.Equal(t, "MOVE_STATE_DIFFERS", reason(err))
		for _, code := range []string{"15N", "QJK"} {
			seen, err := s.payments.GetMove(testkit.As(t.Context(), testkit.Auditor(code)), &paymentsv1.GetMoveRequest{MoveId: m.GetMoveId()})
			require.NoError(t, err)
			require.True(t, proto.Equal(ended, seen))
			require.Equal(t, []string{"pcnfunding.payments.v1.MoveProposed", "pcnfunding.payments.v1.MoveWithdrawn"},
				s.texts(t, `SELECT type FROM outbox WHERE aggregate = 'move/`+m.GetMoveId()+`/`+code+`' ORDER BY position`))
		}
		require.Equal(t, "15N", s.texts(t, `SELECT commissioner_code FROM items`)[0])
		entries, err := s.payments.ListAuditEntries(s.as(t.Context(), "ann"), &paymentsv1.ListAuditEntriesRequest{CommissionerCode: "QJK"})
		require.NoError(t, err)
		require.Equal(t, "withdrew the move of open items from 15N to QJK: not meant", entries.GetEntries()[0].GetSummary())
		require.Contains(t, entries.GetEntries()[1].GetSummary(), "proposed to move open items from 15N to QJK: 1 lines, 0 payments, £10.00 accrued")
	})
}

// TestMove_LeavesNoEmptyRun has a move find nothing that could be paid.
func TestMove_LeavesNoEmptyRun(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, s *suite){
		"everything on hold": func(t *testing.T, s *suite) {
			s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L1", pay("", 500)))
			_, err := s.holdOn(t, "15N", "P1")
			require.NoError(t, err)
		},
		"everything sent": func(t *testing.T, s *suite) {
			s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)))
			s.pays(t, "15N-2022-04-1")
		},
		"nothing at all": func(t *testing.T, s *suite) {
			_, err := s.assemble(t, "15N", "2022-05")
			require.NoError(t, err)
		},
		"later months": func(t *testing.T, s *suite) {
			s.closes(t, "15N", "2022-08", 1, in("L1", pay("P1", 1000)))
			s.closes(t, "QJK", "2022-08", 1, in("L1", pay("P2", 1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				leave(t, s)
				s.succeeds(t, "15N", "QJK", "2022-07-01")
				for _, id := range s.texts(t, `SELECT run_id FROM runs WHERE state = 1`) {
					require.Positive(t, s.run(t, id).GetTotals().GetLines(), id)
				}
				for _, code := range s.texts(t, `SELECT DISTINCT commissioner_code FROM items WHERE state = 1`) {
					require.Equal(t, "QJK", code)
				}
				s.closes(t, "QJK", "2022-09", 1, in("L1", pay("P3", 5)))
				run := s.run(t, "QJK-2022-09-1")
				require.Zero(t, s.count(t, `items WHERE state = 1 AND run_id = ''`), "the next run takes what waited")
				require.Equal(t, int32(1), run.GetTotals().GetLines())
				s.books(t).hold(t)
			})
		})
	}
}
