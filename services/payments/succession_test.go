package payments_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// in puts a line in a place.
func in(place string, line *typev1.PaymentLine) *typev1.PaymentLine {
	line.LocationCode = place
	return line
}

// propose has ann propose a move of some places, or with none of all.
func (s *suite) propose(ctx context.Context, from, to string, places ...string) (*paymentsv1.Move, error) {
	return s.payments.ProposeMove(s.as(ctx, "ann"), &paymentsv1.ProposeMoveRequest{
		RequestId: s.next(), FromCommissionerCode: from, ToCommissionerCode: to, LocationCodes: places, Reason: "boundary change",
	})
}

// agree has a person confirm a move as it was proposed.
func (s *suite) agree(ctx context.Context, who string, m *paymentsv1.Move) (*paymentsv1.Move, error) {
	return s.payments.ConfirmMove(s.as(ctx, who), &paymentsv1.ConfirmMoveRequest{RequestId: s.next(), MoveId: m.GetMoveId(), Etag: m.GetEtag()})
}

// move has open items pass on, of some places, or with none of all: the register holds it, ann proposes and bob confirms.
func (s *suite) move(ctx context.Context, from, to, day string, places ...string) (*paymentsv1.Move, error) {
	s.heirs.record(from, to, day, places...)
	m, err := s.propose(ctx, from, to, places...)
	if err != nil {
		return nil, err
	}
	return s.agree(ctx, "bob", m)
}

// succeeds has open items pass on.
func (s *suite) succeeds(t testing.TB, from, to, day string, places ...string) *paymentsv1.Move {
	t.Helper()
	out, err := s.move(t.Context(), from, to, day, places...)
	require.NoError(t, err)
	return out
}

// owed lists who owes the lines of a schedule, in their order.
func (s *suite) owed(t testing.TB, schedule *typev1.PaymentSchedule) []string {
	t.Helper()
	return s.texts(t, `SELECT commissioner_code FROM items WHERE line_id LIKE '`+schedule.GetScheduleId()+`/%' ORDER BY line_id`)
}

// holdOn keeps a payee's lines back.
func (s *suite) holdOn(t testing.TB, code, payee string) (*paymentsv1.Hold, error) {
	t.Helper()
	return s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{
		RequestId: s.next(), CommissionerCode: code, PayeeCode: payee, Reason: "doubt",
	})
}

func (s *suite) assemble(t testing.TB, code, month string) (*paymentsv1.Run, error) {
	t.Helper()
	return s.payments.AssembleRun(s.as(t.Context(), "maker"), &paymentsv1.AssembleRunRequest{RequestId: s.next(), CommissionerCode: code, Month: month})
}

func TestMove_SendsLateLinesWhereTheirPlaceWent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		first := s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)), in("L1", pay("P3", 20)), in("L2", pay("P3", 30)))
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, []string{"QJK", "15N", "QJK", "15N"}, s.owed(t, first))
		s.succeeds(t, "15N", "QU9", "2022-07-01")
		require.Equal(t, []string{"QJK", "QU9", "QJK", "QU9"}, s.owed(t, first))
		late := s.closes(t, "15N", "2022-04", 2, in("L1", pay("P1", 7)), in("L2", pay("P2", 9)), in("L1", pay("P9", 1)), in("L2", pay("P9", 2)))
		require.Equal(t, []string{"QJK", "QU9", "QJK", "QU9"}, s.owed(t, late))
		s.books(t).hold(t)
	})
}

func TestMove_OfAPlaceDividesItsPayees(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P1", 500)), in("L1", pay("P3", 55)))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, in("L1", pay("P1", -700)), in("L1", pay("P3", -5)), in("L1", pay("P2", 1)))
		s.pays(t, "15N-2022-05-1")
		june := s.closes(t, "15N", "2022-06", 1, in("L1", pay("P1", 11)), in("L2", pay("P1", 22)), in("L1", pay("", 33)), in("L2", pay("", 44)))
		move := s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, []string{"QJK", "15N", "QJK", "15N"}, s.owed(t, june), "of each payee what is open in the place")
		require.Equal(t, int64(11+33), move.GetAccruedPence())
		require.Equal(t, int64(55+1), move.GetSentPence())
		require.Equal(t, int64(5), move.GetRecoveryPence())
		require.Equal(t, int32(2), move.GetPayments())
		require.Equal(t, []string{"15N-2022-04-1-P1 15N", "15N-2022-04-1-P3 QJK", "15N-2022-05-1-P2 QJK"},
			s.texts(t, `SELECT payment_id || ' ' || commissioner_code FROM payments ORDER BY payment_id`), "a payment of two places stays")
		require.Equal(t, []string{"15N P1 700", "QJK P3 5"}, s.texts(t, `SELECT commissioner_code || ' ' || payee_code || ' ' || SUM(amount_pence)
			FROM entries WHERE stage = 6 GROUP BY commissioner_code, payee_code HAVING SUM(amount_pence) <> 0 ORDER BY payee_code`), "and so does its debt")
		s.books(t).hold(t)
	})
}

func TestMove_TakesHoldsAlong(t *testing.T) {
	for name, c := range map[string]struct {
		places []string
		// hold says by whom holds are in force after the move, by commissioner and payee.
		holds   []string
		atL1    string
		heldAt1 int32
		atL2    string
	}{
		"of all":  {nil, []string{"QJK P1", "QJK P9"}, "QJK-2022-05-1", 4, "QJK-2022-05-1"},
		"of some": {[]string{"L1"}, []string{"15N P1", "15N P9", "QJK P1", "QJK P9"}, "QJK-2022-05-1", 2, "15N-2022-05-1"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P1", 500)), in("L1", pay("P2", 1)))
				require.NoError(t, s.addCodes(t, "ann", nil, supplier("P9", "ACC.P9")))
				for _, payee := range []string{"P1", "P9"} {
					_, err := s.holdOn(t, "15N", payee)
					require.NoError(t, err, "a payee is known by its lines, or as a supplier")
				}
				s.succeeds(t, "15N", "QJK", "2022-07-01", c.places...)
				require.Equal(t, c.holds, s.texts(t, `SELECT commissioner_code || ' ' || payee_code FROM holds WHERE released_at = 0 ORDER BY 1`))
				s.closes(t, "15N", "2022-05", 1, in("L1", pay("P1", 10)), in("L2", pay("P1", 20)), in("L1", pay("P9", 30)), in("L2", pay("P9", 40)))
				require.Equal(t, c.heldAt1, s.run(t, c.atL1).GetTotals().GetHeldLines(), "late lines are held too")
				require.Zero(t, s.run(t, c.atL1).GetTotals().GetLines())
				require.Zero(t, s.run(t, c.atL2).GetTotals().GetLines())
				s.books(t).hold(t)
			})
		})
	}
}

func TestMove_WaitsForItsDay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		before := s.dump(t)
		_, err := s.move(t.Context(), "15N", "QJK", "2026-01-16")
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.Equal(t, "MOVE_REFUSED", reason(err))
		require.Equal(t, before, s.dump(t))
		s.succeeds(t, "15N", "QJK", "2026-01-15")
	})
}

func TestMove_IsAnnouncedToBoth(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		move := s.succeeds(t, "15N", "QJK", "2022-07-01")
		require.Equal(t, "Heir QJK", move.GetToCommissionerName())
		var want []string
		for _, code := range []string{"15N", "QJK"} {
			want = append(want, "move/"+move.GetMoveId()+"/"+code+" to "+code)
		}
		got := s.texts(t, `SELECT aggregate || ' to ' || subject FROM outbox WHERE type = 'pcnfunding.payments.v1.OpenItemsMoved' ORDER BY aggregate`)
		for i := range got {
			aggregate, subject, _ := strings.Cut(got[i], " to ")
			got[i] = aggregate + " to " + subject[strings.LastIndex(subject, ".")+1:]
		}
		require.Equal(t, want, got)
	})
}

func TestMove_EndsOnlyRunsThatLostLines(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)))
		_, err := s.assemble(t, "15N", "2022-05")
		require.NoError(t, err)
		s.closes(t, "15N", "2022-06", 1, in("L1", pay("P1", 10)), in("L2", pay("P2", 20)))
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, paymentsv1.RunState_RUN_STATE_WITHDRAWN, s.run(t, "15N-2022-04-1").GetState())
		require.Equal(t, paymentsv1.RunState_RUN_STATE_ASSEMBLED, s.run(t, "15N-2022-05-1").GetState(), "it was empty before")
		require.Equal(t, int32(1), s.run(t, "15N-2022-06-1").GetTotals().GetLines())
	})
}

func TestMove_NamesTheSuccessor(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		require.Equal(t, "Heir QJK", s.run(t, "QJK-2022-07-1").GetCommissionerName())
		s.succeeds(t, "QU9", "QOC", "2022-07-01")
		run, err := s.assemble(t, "QOC", "2022-08")
		require.NoError(t, err)
		require.Equal(t, "Heir QOC", run.GetCommissionerName(), "known from the move alone")
	})
}

// TestMove_LeavesNoAccountBelowNothing holds that on no day anybody owes less than nothing, whatever took effect around the change.
func TestMove_LeavesNoAccountBelowNothing(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-08", 1, in("L1", pay("P1", 300)), in("L2", pay("P2", 200)), in("L1", pay("P3", -60)))
		s.pays(t, "15N-2022-08-1")
		s.closes(t, "15N", "2022-06", 1, in("L1", pay("P1", 70)), in("L2", pay("P3", 80)))
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		s.neverBelowNothing(t)
		s.succeeds(t, "15N", "QU9", "2022-07-01")
		s.succeeds(t, "QJK", "QOC", "2022-07-15")
		s.neverBelowNothing(t)
		for _, id := range []string{"QOC-2022-07-1", "QU9-2022-07-1"} {
			_, err := s.payments.SubmitRun(s.as(t.Context(), "maker"), &paymentsv1.SubmitRunRequest{
				RequestId: s.next(), RunId: id, Etag: s.run(t, id).GetEtag(), MissingFunds: []*paymentsv1.MissingFund{{Fund: typev1.Fund_FUND_CORE, Reason: "none"}},
			})
			require.NoError(t, err)
			_, err = s.approve(t, "ann", id)
			require.NoError(t, err)
		}
		s.neverBelowNothing(t)
		s.books(t).hold(t)
	})
}

// neverBelowNothing reads the trial balance of every body on every day.
func (s *suite) neverBelowNothing(t testing.TB) {
	t.Helper()
	days := s.texts(t, `SELECT DISTINCT effective_date FROM entries ORDER BY 1`)
	for _, code := range s.texts(t, `SELECT DISTINCT commissioner_code FROM entries ORDER BY 1`) {
		for _, day := range days {
			got, err := s.payments.GetTrialBalance(s.as(t.Context(), "auditor"), &paymentsv1.GetTrialBalanceRequest{
				CommissionerCode: code, EffectiveTo: day, PageSize: 1000,
			})
			require.NoError(t, err)
			for _, b := range got.GetBalances() {
				switch int(b.GetAccount().GetStage()) {
				case accrued, toPay, underway, paid:
					assert.Negative(t, b.GetBalancePence(), "%s on %s: %v", code, day, b.GetAccount())
				case recovered:
					assert.Positive(t, b.GetBalancePence(), "%s on %s: %v", code, day, b.GetAccount())
				}
			}
		}
	}
}

// coreClosed tells whether core has closed a run's month, as the run sees it.
func (s *suite) coreClosed(t testing.TB, id string) bool {
	t.Helper()
	funds := s.run(t, id).GetFunds()
	at := slices.IndexFunc(funds, func(f *paymentsv1.ExpectedFund) bool { return f.GetFund() == typev1.Fund_FUND_CORE })
	require.GreaterOrEqual(t, at, 0)
	return funds[at].GetClosed()
}

func TestClosers_OfAPlaceAreTheSuccessorToo(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		for _, month := range []string{"2022-06", "2022-07"} {
			s.closes(t, "15N", month, 1, in("L1", pay("P1", 1000)), in("L2", pay("P2", 500)))
		}
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		for _, month := range []string{"2022-06", "2022-07"} {
			run, err := s.assemble(t, "QJK", month)
			require.NoError(t, err)
			require.False(t, s.coreClosed(t, run.GetRunId()), "the close of the body that gave up a place is not its own")
			_, err = s.submit(t, "maker", run.GetRunId())
			require.Equal(t, "FUND_NOT_CLOSED", reason(err))
			s.closes(t, "QJK", month, 1, pay("P7", 1))
			require.True(t, s.coreClosed(t, run.GetRunId()))
			require.True(t, s.coreClosed(t, "15N-"+month+"-1"))
		}
	})
}

func TestClosers_OfAMonthBeforeAreThePredecessors(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-06", 1, pay("P1", 1000))
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.succeeds(t, "16C", "QJK", "2022-07-01")
		_, err := s.assemble(t, "QJK", "2022-06")
		require.NoError(t, err)
		_, err = s.assemble(t, "QJK", "2022-07")
		require.NoError(t, err)
		require.False(t, s.coreClosed(t, "QJK-2022-06-1"), "one of two has closed June")
		s.closes(t, "16C", "2022-06", 1, pay("P2", 500))
		require.True(t, s.coreClosed(t, "QJK-2022-06-1"), "and QJK need not: it pays June for others alone")
		s.closes(t, "15N", "2022-07", 1, pay("P1", 3))
		s.closes(t, "16C", "2022-07", 1, pay("P2", 4))
		require.False(t, s.coreClosed(t, "QJK-2022-07-1"), "July is its own")
		s.closes(t, "QJK", "2022-07", 1, pay("P3", 5))
		require.True(t, s.coreClosed(t, "QJK-2022-07-1"))
	})
}

func TestExport_LeavesWhatWasBookedToWhoBookedIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format    paymentsv1.Format
		places    []string
		old, heir int32 // payments taken back by the next files of both
	}{
		"invoices, of some places": {invoices, []string{"L1"}, 1, 0},
		"invoices, of the whole":   {invoices, nil, 0, 0},
		"journal, of some places":  {journal, []string{"L1"}, 1, 0},
		"journal, of the whole":    {journal, nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				for _, code := range []string{"15N", "QJK"} {
					s.codedFor(t, code)
					s.suppliedFor(t, code, "P1", "P2", "P3")
				}
				s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 10000)), in("L2", pay("P2", 500)))
				s.passes(t, april1)
				_, err := s.export(t, april1, c.format)
				require.NoError(t, err)
				s.issuedAgain(t, april1+"-P1", "100.00")
				s.succeeds(t, "15N", "QJK", "2022-07-01", c.places...)
				s.closes(t, "QJK", "2022-07", 1, in("L3", pay("P3", 9)))
				if c.places != nil {
					s.closes(t, "15N", "2022-07", 1, in("L2", pay("P2", 70)))
				}
				sent := func(code string) (reversals int32) {
					for _, run := range s.texts(t, `SELECT run_id FROM runs WHERE state = 1 AND commissioner_code = '`+code+`' ORDER BY run_id`) {
						s.passes(t, run)
						file, err := s.export(t, run, c.format)
						require.NoError(t, err)
						reversals += file.GetReversals()
					}
					return reversals
				}
				require.Equal(t, []int32{c.old, c.heir}, []int32{sent("15N"), sent("QJK")})
				s.books(t).hold(t)
			})
		})
	}
}

func TestConfirm_PostsAPaymentThatPassedNotBeforeItCame(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: april1, Format: variation, AccountingDate: "2022-05-10"})
		require.NoError(t, err)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		_, err = s.confirm(t.Context(), s.next(), "QJK", "reference,status,payment_date,amount\n"+april1+"-P1,PAID,2022-06-17,100.00\n")
		require.NoError(t, err)
		require.Equal(t, "2022-06-17", s.payment(t, april1+"-P1").GetConfirmedOn(), "the payer's day")
		before, err := s.payments.GetTrialBalance(s.as(t.Context(), "auditor"), &paymentsv1.GetTrialBalanceRequest{CommissionerCode: "QJK", EffectiveTo: "2022-06-30"})
		require.NoError(t, err)
		require.Empty(t, before.GetBalances(), "the successor was not there")
		after, err := s.payments.GetTrialBalance(s.as(t.Context(), "auditor"), &paymentsv1.GetTrialBalanceRequest{CommissionerCode: "QJK", EffectiveTo: "2022-07-01"})
		require.NoError(t, err)
		require.Len(t, after.GetBalances(), 2, "settled, and transferred")
		s.books(t).hold(t)
	})
}

func TestPlaceHold_RefusesABodyWhoseItemsPassed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		held := func(code, payee string) error {
			_, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{
				RequestId: s.next(), CommissionerCode: code, PayeeCode: payee, Reason: "stop",
			})
			return err
		}
		s.closes(t, "15N", "2022-04", 1, in("L1", pay("P1", 10000)), in("L2", pay("P2", 500)))
		s.succeeds(t, "15N", "QJK", "2022-07-01", "L1")
		require.Equal(t, "COMMISSIONER_SUCCEEDED", reason(held("15N", "P1")), "all that is owed to it passed")
		require.NoError(t, held("15N", "P2"))
		require.NoError(t, held("QJK", "P1"))
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		require.Equal(t, "COMMISSIONER_SUCCEEDED", reason(held("15N", "P2")))
	})
}

func TestExport_TakesNothingBackBeforeItWasBooked(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.coded(t)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000))
		s.passes(t, april1)
		_, err := s.export(t, april1, journal)
		require.NoError(t, err)
		again := s.issuedAgain(t, april1+"-P1", "100.00")
		s.closes(t, "15N", "2022-05", 1, pay("P2", 70))
		s.passes(t, may1)
		late, err := s.exportBy(t, "bob", &paymentsv1.ExportRunRequest{RunId: may1, Format: journal, AccountingDate: "2022-05-31"})
		require.NoError(t, err)
		require.Zero(t, late.GetReversals(), "what was booked in January 2026 is not taken out of May 2022")
		s.passes(t, again)
		file, err := s.export(t, again, journal)
		require.NoError(t, err)
		require.Equal(t, int32(1), file.GetReversals())
	})
}
