package payments_test

import (
	"database/sql"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func TestParts_ThatCannotBeJoinedCanBeSentAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		whole := closed(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		good := []inbox.Delivery{s.delivery(t, "15N", parts(whole, 1)[0]), s.delivery(t, "15N", parts(whole, 1)[1])}
		altered := parts(whole, 1)[0]
		altered.Schedule.Lines[0].PcnName = "Another"
		payload, err := proto.Marshal(altered)
		require.NoError(t, err)
		bad := good[0]
		bad.Payload = payload
		require.Equal(t, []inbox.Verdict{inbox.Settled, inbox.Quarantined}, s.service.Inbox().Take(t.Context(), []inbox.Delivery{bad, good[1]}))
		require.Equal(t, schedule.ReasonHashDiffers, s.held(t)[0].GetReason())
		require.Zero(t, s.count(t, "schedules"))
		require.Zero(t, s.count(t, "schedule_parts"), "what cannot be joined is forgotten")
		for range 2 {
			require.Equal(t, []inbox.Verdict{inbox.Settled, inbox.Settled}, s.service.Inbox().Take(t.Context(), good))
			require.Equal(t, 1, s.count(t, "schedules"))
			require.Equal(t, 2, s.count(t, "items"))
			require.Zero(t, s.count(t, "schedule_parts"))
			require.Empty(t, s.held(t))
		}
		s.books(t).hold(t)
	})
}

func TestRun_TagStandsForWhatWasSeen(t *testing.T) {
	for name, alter := range map[string]func(t *testing.T, s *suite){
		"a line": func(t *testing.T, s *suite) {
			t.Helper()
			s.closes(t, "15N", "2022-05", 2, pay("P2", 7))
		},
		"a line of a run that was withdrawn": func(t *testing.T, s *suite) {
			t.Helper()
			_, err := s.payments.WithdrawRun(s.as(t.Context(), "maker"), &paymentsv1.WithdrawRunRequest{
				RequestId: s.next(), RunId: "15N-2022-04-2", Etag: s.run(t, "15N-2022-04-2").GetEtag(), Reason: "together with May",
			})
			require.NoError(t, err)
		},
		"a hold": func(t *testing.T, s *suite) {
			t.Helper()
			_, err := s.holdOn(t, "15N", "P2")
			require.NoError(t, err)
		},
		"a release": func(t *testing.T, s *suite) {
			t.Helper()
			held, err := s.payments.ListHolds(s.as(t.Context(), "auditor"), &paymentsv1.ListHoldsRequest{CommissionerCode: "15N", OpenOnly: true})
			require.NoError(t, err)
			require.Len(t, held.GetHolds(), 1)
			hold := held.GetHolds()[0]
			_, err = s.payments.ReleaseHold(s.as(t.Context(), "ann"), &paymentsv1.ReleaseHoldRequest{
				RequestId: s.next(), HoldId: hold.GetHoldId(), Etag: hold.GetEtag(), Reason: "answered",
			})
			require.NoError(t, err)
		},
		"a recovery plan": func(t *testing.T, s *suite) {
			t.Helper()
			_, err := s.payments.PlanRecovery(s.as(t.Context(), "ann"), &paymentsv1.PlanRecoveryRequest{
				RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P1", InstalmentPence: 5, FromMonth: "2022-05", Reason: "agreed",
			})
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.closes(t, "15N", "2022-04", 1, pay("P1", -50), pay("P2", 20))
				s.pays(t, "15N-2022-04-1")
				s.closes(t, "15N", "2022-04", 2, pay("P2", 1))
				s.closes(t, "15N", "2022-05", 1, pay("P1", 1000), pay("P2", 500), pay("P3", 30))
				_, err := s.holdOn(t, "15N", "P3")
				require.NoError(t, err)
				seen := s.run(t, "15N-2022-05-1")
				alter(t, s)
				require.False(t, proto.Equal(seen.GetTotals(), s.run(t, "15N-2022-05-1").GetTotals()))
				before := s.dump(t)
				_, err = s.payments.SubmitRun(s.as(t.Context(), "maker"), &paymentsv1.SubmitRunRequest{
					RequestId: s.next(), RunId: seen.GetRunId(), Etag: seen.GetEtag(),
				})
				require.Equal(t, codes.Aborted, status.Code(err))
				require.Equal(t, "RUN_CHANGED", reason(err))
				require.Equal(t, before, s.dump(t))
				_, err = s.submit(t, "maker", seen.GetRunId())
				require.NoError(t, err)
			})
		})
	}
}

// accruals lists what was not paid at the end of a month, by payee.
func (s *suite) accruals(t testing.TB, month string) (out []string) {
	t.Helper()
	got, err := s.payments.ListAccruals(s.as(t.Context(), "auditor"), &paymentsv1.ListAccrualsRequest{CommissionerCode: "15N", Month: month})
	require.NoError(t, err)
	var sum int64
	for _, a := range got.GetAccruals() {
		out = append(out, fmt.Sprintf("%s %s %d", a.GetPayee().GetCode(), a.GetPaymentCode(), a.GetAmountPence()))
		sum += a.GetAmountPence()
	}
	require.Equal(t, sum, got.GetTotalPence())
	return out
}

func TestAccruals_AreFreeOfWhatWasCarriedAndCleared(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", -1000), pay("P2", 20))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, pay("P1", 400), pay("P1", 600))
		require.Equal(t, []string{"P1 CORE_PCN 1000", "P2 CORE_PCN 20"}, s.accruals(t, "2022-05"), "P2 was sent its money in 2026")
		_, err := s.submit(t, "maker", "15N-2022-05-1")
		require.NoError(t, err)
		run, err := s.approve(t, "ann", "15N-2022-05-1")
		require.NoError(t, err)
		require.Equal(t, paymentsv1.RunState_RUN_STATE_SETTLED, run.GetState())
		require.Equal(t, []string{"P2 CORE_PCN 20"}, s.accruals(t, "2022-05"))
		s.books(t).hold(t)
	})
}

func TestCancel_LineThatNobodyCouldBePaid(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		first := s.closes(t, "15N", "2022-04", 1, pay("", 300), pay("P2", 20))
		require.Equal(t, int32(1), s.run(t, "15N-2022-04-1").GetTotals().GetHeldLines())
		back := pay("", -300)
		back.AdjustsLineId, back.AdjustmentCause = first.GetLines()[0].GetLineId(), typev1.AdjustmentCause_ADJUSTMENT_CAUSE_RATE
		again := s.closes(t, "15N", "2022-04", 2, back, pay("P3", 300))
		for _, line := range []*typev1.PaymentLine{first.GetLines()[0], again.GetLines()[0]} {
			require.Equal(t, 1, s.count(t, "items WHERE line_id = $1 AND state = $2 AND run_id = ''", line.GetLineId(), cancelled), line.GetLineId())
			require.Equal(t, 1, s.count(t, "holds WHERE line_id = $1 AND released_at > 0", line.GetLineId()), line.GetLineId())
		}
		require.Zero(t, s.count(t, "holds WHERE released_at = 0"))
		totals := s.run(t, "15N-2022-04-1").GetTotals()
		require.Zero(t, totals.GetHeldLines())
		require.Equal(t, int64(320), totals.GetNetPence())
		require.Equal(t, []string{"P2 CORE_PCN 20", "P3 CORE_PCN 300"}, s.accruals(t, "2022-04"))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, pay("P2", 1))
		require.Zero(t, s.run(t, "15N-2022-05-1").GetTotals().GetHeldLines())
		s.books(t).hold(t)
	})
}

func TestHold_OnAnUnknownPayeeIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		before := s.dump(t)
		_, err := s.holdOn(t, "15N", "P9")
		require.Equal(t, codes.FailedPrecondition, status.Code(err))
		require.Equal(t, "HOLD_TARGET_INVALID", reason(err))
		_, err = s.holdOn(t, "QJK", "P1")
		require.Equal(t, "HOLD_TARGET_INVALID", reason(err), "known to another only")
		require.Equal(t, before, s.dump(t))
	})
}

func TestAssemble_WaitsForItsMonth(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		_, err := s.assemble(t, "15N", "2026-02")
		require.Equal(t, codes.InvalidArgument, status.Code(err))
		require.Equal(t, "PERIOD_INVALID", reason(err))
		require.Zero(t, s.count(t, "runs"))
		_, err = s.assemble(t, "15N", "2026-01")
		require.NoError(t, err)
	})
}

func TestWithdraw_EndsAnAssembledRun(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		run, err := s.payments.WithdrawRun(s.as(t.Context(), "maker"), &paymentsv1.WithdrawRunRequest{
			RequestId: s.next(), RunId: "15N-2022-04-1", Etag: s.run(t, "15N-2022-04-1").GetEtag(), Reason: "together with May",
		})
		require.NoError(t, err)
		require.Equal(t, paymentsv1.RunState_RUN_STATE_WITHDRAWN, run.GetState())
		require.Equal(t, "maker", run.GetEndedBy())
		require.Equal(t, 1, s.count(t, "outbox WHERE type = 'pcnfunding.payments.v1.RunWithdrawn'"))
		s.closes(t, "15N", "2022-05", 1, pay("P1", 7))
		require.Equal(t, int64(1007), s.run(t, "15N-2022-05-1").GetTotals().GetNetPence())
		s.books(t).hold(t)
	})
}

func TestRunAssembled_TellsOfItsLines(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), pay("", 3))
		_, err := s.submit(t, "maker", "15N-2022-04-1")
		require.NoError(t, err)
		_, err = s.payments.RejectRun(s.as(t.Context(), "ann"), &paymentsv1.RejectRunRequest{
			RequestId: s.next(), RunId: "15N-2022-04-1", Etag: s.run(t, "15N-2022-04-1").GetEtag(), Reason: "doubt",
		})
		require.NoError(t, err)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		var ids []string
		payloads := collect(t, s.db, func(rows *sql.Rows, payload *[]byte) error { return rows.Scan(payload) },
			`SELECT payload FROM outbox WHERE type = 'pcnfunding.payments.v1.RunAssembled' ORDER BY position`)
		for _, payload := range payloads {
			var event paymentsv1.RunAssembled
			require.NoError(t, proto.Unmarshal(payload, &event))
			ids = append(ids, event.GetRun().GetRunId())
			require.Equal(t, int32(2), event.GetRun().GetTotals().GetLines(), event.GetRun().GetRunId())
			require.Equal(t, int64(1500), event.GetRun().GetTotals().GetNetPence(), event.GetRun().GetRunId())
			require.Equal(t, int32(1), event.GetRun().GetTotals().GetHeldLines(), event.GetRun().GetRunId())
		}
		require.Equal(t, []string{"15N-2022-04-1", "15N-2022-04-2", "QJK-2022-07-1"}, ids)
	})
}

// TestPostgres_CommissionersDoNotUndoEachOther takes the runs of eight through their month at once: none waits for another, or fails for it.
func TestPostgres_CommissionersDoNotUndoEachOther(t *testing.T) {
	t.Parallel()
	s := openSuite(t, testkit.Postgres)
	const bodies, payees = 8, 40
	ids := make([]string, bodies)
	for i := range ids {
		code := fmt.Sprintf("C%02d", i)
		ids[i] = code + "-2022-04-1"
		var lines []*typev1.PaymentLine
		for n := range payees {
			lines = append(lines, pay(fmt.Sprintf("P%02d", n), int64(n+1)))
		}
		s.closes(t, code, "2022-04", 1, lines...)
	}
	var isolation string
	require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
		return tx.QueryRow(t.Context(), `SELECT current_setting('transaction_isolation')`).Scan(&isolation)
	}))
	require.Equal(t, "read committed", isolation, "retries would hide a few failures, and not those of a busy day")
	s.blunt.Store(true)
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			run, err := s.submit(t, "maker", id)
			if assert.NoError(t, err) {
				run, err = s.approve(t, "ann", id)
			}
			if assert.NoError(t, err, run.GetRunId()) {
				_, err = s.export(t, id, variation)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, bodies*payees, s.count(t, "payments"))
	s.books(t).hold(t)
}

func TestAccruals_NameTheirPayees(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		april := s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P1", 5), pay("P2", 20), pay("", 3))
		renamed := pay("P2", 7)
		renamed.Payee.Name = "P2 and partners"
		late := pay("P1", 1)
		late.ForMonth, late.Payee.Name = "2022-04", "P1 and partners"
		s.closes(t, "15N", "2022-05", 1, renamed, late)
		s.closes(t, "QJK", "2022-05", 1, pay("P1", 9))
		got, err := s.payments.ListAccruals(s.as(t.Context(), "auditor"), &paymentsv1.ListAccrualsRequest{CommissionerCode: "15N", Month: "2022-05"})
		require.NoError(t, err)
		var names []string
		for _, a := range got.GetAccruals() {
			names = append(names, fmt.Sprintf("%s %s %d", a.GetPayee().GetName(), a.GetForMonth(), a.GetAmountPence()))
		}
		require.Equal(t, []string{" 2022-04 3", "P1 and partners 2022-04 1006", "P2 and partners 2022-04 20", "P2 and partners 2022-05 7"}, names, "the name of the newest line")
		require.Nil(t, got.GetAccruals()[0].GetPayee())
		require.NotEmpty(t, april)

		s.moves(t, "15N", "QJK")
		past, err := s.payments.ListAccruals(s.as(t.Context(), "auditor"), &paymentsv1.ListAccrualsRequest{CommissionerCode: "15N", Month: "2022-05"})
		require.NoError(t, err)
		require.Equal(t, got.GetAccruals()[1].GetPayee().GetName(), past.GetAccruals()[1].GetPayee().GetName(), "also of lines that passed on since")
	})
}

func TestRecovery_SaysWhatNoInstalmentMeans(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", -5000), pay("P2", 100))
		s.pays(t, "15N-2022-04-1")
		list := func() *paymentsv1.Recovery {
			got, err := s.payments.ListRecoveries(s.as(t.Context(), "auditor"), &paymentsv1.ListRecoveriesRequest{CommissionerCode: "15N"})
			require.NoError(t, err)
			require.Len(t, got.GetRecoveries(), 1)
			return got.GetRecoveries()[0]
		}
		require.True(t, list().GetTakesAll(), "nothing is planned")
		for pence, says := range map[int64]string{500: "£5.00 a run", 0: "all it can in each run"} {
			got, err := s.payments.PlanRecovery(s.as(t.Context(), "ann"), &paymentsv1.PlanRecoveryRequest{
				RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P1", InstalmentPence: pence, FromMonth: "2022-05", Reason: "agreed",
			})
			require.NoError(t, err)
			require.Equal(t, pence == 0, got.GetTakesAll())
			require.Equal(t, pence == 0, list().GetTakesAll())
			require.Equal(t, 1, s.count(t, "audit WHERE summary LIKE $1", "recover £50.00 from P1 by "+says+" from 2022-05%"))
		}
	})
}

// TestRecovery_TakesNothingBeforeItsFirstMonth holds for the runs of a month that was before what was agreed, whenever they come.
func TestRecovery_TakesNothingBeforeItsFirstMonth(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		plan := func(pence int64, from string) {
			_, err := s.payments.PlanRecovery(s.as(t.Context(), "ann"), &paymentsv1.PlanRecoveryRequest{
				RequestId: s.next(), CommissionerCode: "15N", PayeeCode: "P1", InstalmentPence: pence, FromMonth: from, Reason: "agreed",
			})
			require.NoError(t, err)
		}
		taken := func(run string) int64 { return s.runPayees(t, run)[0].GetBroughtForwardPence() }
		s.closes(t, "15N", "2022-04", 1, pay("P1", -5000), pay("P2", 100))
		s.pays(t, "15N-2022-04-1")
		plan(500, "2022-06")
		s.closes(t, "15N", "2022-04", 2, pay("P1", 7000))
		s.closes(t, "15N", "2022-05", 1, pay("P1", 7000))
		s.closes(t, "15N", "2022-06", 1, pay("P1", 7000))
		require.Zero(t, taken("15N-2022-04-2"))
		require.Zero(t, taken("15N-2022-05-1"))
		require.EqualValues(t, -500, taken("15N-2022-06-1"))
		plan(0, "2022-05")
		require.EqualValues(t, -5000, taken("15N-2022-05-1"))
		require.EqualValues(t, -500, taken("15N-2022-06-1"), "the plan of June stands")
	})
}
