package payments_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

func (s *suite) release(t testing.TB, id string) *paymentsv1.Hold {
	t.Helper()
	held, err := s.payments.ListHolds(s.as(t.Context(), "auditor"), &paymentsv1.ListHoldsRequest{OpenOnly: true})
	require.NoError(t, err)
	for _, h := range held.GetHolds() {
		if h.GetHoldId() != id {
			continue
		}
		out, err := s.payments.ReleaseHold(s.as(t.Context(), "ann"), &paymentsv1.ReleaseHoldRequest{
			RequestId: s.next(), HoldId: id, Etag: h.GetEtag(), Reason: "answered",
		})
		require.NoError(t, err)
		return out
	}
	require.Fail(t, "no such hold is in force", id)
	return nil
}

func TestHold_OfWhatIsHeldIsRefused(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		flagged := pay("P3", 30)
		flagged.Holds = []*typev1.Hold{{Reason: "RATE_DOUBTFUL", Remedy: "ask"}}
		lines := s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), flagged).GetLines()
		line := func(by, id string) (*paymentsv1.Hold, error) {
			return s.payments.PlaceHold(s.as(t.Context(), by), &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", LineId: id, Reason: "doubt"})
		}
		payee, err := s.holdOn(t, "15N", "P1")
		require.NoError(t, err)
		single, err := line("maker", lines[0].GetLineId())
		require.NoError(t, err, "one line may be held longer than the rest of its payee's")
		before := s.dump(t)
		for _, again := range []struct {
			of   *paymentsv1.Hold
			call func() error
		}{
			{payee, func() error { _, err := s.holdOn(t, "15N", "P1"); return err }},
			{single, func() error { _, err := line("bob", lines[0].GetLineId()); return err }},
		} {
			err := again.call()
			require.Equal(t, codes.AlreadyExists, status.Code(err))
			require.Equal(t, "HOLD_EXISTS", reason(err))
			require.ErrorContains(t, err, "maker")
			require.Equal(t, again.of.GetHoldId(), rpc.FaultFromStatus(status.Convert(err)).Meta["hold_id"])
		}
		require.Equal(t, before, s.dump(t))
		_, err = line("maker", lines[2].GetLineId())
		require.NoError(t, err, "a person's doubt may outlive the fund's")
		s.release(t, payee.GetHoldId())
		_, err = s.holdOn(t, "15N", "P1")
		require.NoError(t, err)
	})
}

func TestRace_OneHoldOfAPayee(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		atOnce(t, "hold", func(ctx context.Context, request string) error {
			_, err := s.payments.PlaceHold(ctx, &paymentsv1.PlaceHoldRequest{RequestId: request, CommissionerCode: "15N", PayeeCode: "P1", Reason: "doubt"})
			return err
		}, "HOLD_EXISTS")
		require.Equal(t, 1, s.count(t, "holds"))
	})
}

func (s *suite) runLines(t testing.TB, id string) []*paymentsv1.RunLine {
	t.Helper()
	got, err := s.payments.ListRunLines(s.as(t.Context(), "auditor"), &paymentsv1.ListRunLinesRequest{RunId: id})
	require.NoError(t, err)
	return got.GetLines()
}

func (s *suite) runPayees(t testing.TB, id string) []*paymentsv1.PayeeTotal {
	t.Helper()
	got, err := s.payments.ListRunPayees(s.as(t.Context(), "auditor"), &paymentsv1.ListRunPayeesRequest{RunId: id})
	require.NoError(t, err)
	return got.GetPayees()
}

func TestRun_ShowsWhatWasKeptBack(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 500), pay("P2", 50), pay("P3", -20))
		s.passes(t, april1)
		doubt, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		sent := func() []int64 {
			run := s.run(t, april1)
			require.Equal(t, []int64{2, 10550}, []int64{int64(run.GetTotals().GetPayments()), run.GetTotals().GetNetPence()}, "what was approved stays")
			if run.GetSent() == nil {
				return nil
			}
			return []int64{int64(run.GetSent().GetPayments()), run.GetSent().GetPence(), int64(run.GetSent().GetKeptBackPayments()), run.GetSent().GetKeptBackPence()}
		}
		require.Nil(t, sent(), "nothing was exported")
		for _, p := range s.runPayees(t, april1) {
			require.False(t, p.GetKeptBack())
			require.Empty(t, p.GetPaymentId())
		}
		file, err := s.export(t, april1, variation)
		require.NoError(t, err)
		require.Equal(t, int64(10000), file.GetAmountPence())
		require.Equal(t, []int64{1, 10000, 1, 550}, sent())
		list, err := s.payments.ListRuns(s.as(t.Context(), "auditor"), &paymentsv1.ListRunsRequest{})
		require.NoError(t, err)
		require.Equal(t, int64(550), list.GetRuns()[0].GetSent().GetKeptBackPence())
		for event, want := range map[string]*paymentsv1.RunSent{"RunApproved": nil, "RunExported": {Payments: 1, Pence: 10000, KeptBackPayments: 1, KeptBackPence: 550}} {
			var run paymentsv1.RunExported // whose first field is that of both
			require.NoError(t, proto.Unmarshal(s.payload(t, event), &run))
			require.True(t, proto.Equal(want, run.GetRun().GetSent()), "%s: %v", event, run.GetRun().GetSent())
		}
		for _, p := range s.runPayees(t, april1) {
			require.Equal(t, p.GetPayee().GetCode() == "P2", p.GetKeptBack(), p.GetPayee().GetCode())
			require.Equal(t, map[string]string{"P1": april1 + "-P1"}[p.GetPayee().GetCode()], p.GetPaymentId())
		}

		s.release(t, doubt.GetHoldId())
		again, err := s.assemble(t, "15N", "2022-04")
		require.NoError(t, err)
		require.Equal(t, "15N-2022-04-2", again.GetRunId())
		for _, l := range s.runLines(t, april1) {
			kept := l.GetLine().GetPayee().GetCode() == "P2"
			require.Equal(t, kept, l.GetKeptBack(), l.GetLine().GetLineId())
			require.Equal(t, map[bool]string{false: april1, true: again.GetRunId()}[kept], l.GetRunId())
		}
		s.pays(t, again.GetRunId())
		require.Equal(t, []int64{1, 10000, 1, 550}, sent())
		body, err := s.payments.DownloadRunLines(s.as(t.Context(), "auditor"), &paymentsv1.DownloadRunLinesRequest{RunId: april1})
		require.NoError(t, err)
		var rows []string
		for _, row := range table(t, string(body.GetData())) {
			rows = append(rows, row["payee_code"]+" "+row["state"]+" "+row["kept_back"]+" "+row["now_in_run_id"])
		}
		require.Equal(t, []string{"P1 SENT  " + april1, "P2 SENT yes " + again.GetRunId(), "P2 SENT yes " + again.GetRunId(), "P3 CARRIED  " + april1}, rows)
		for _, l := range s.runLines(t, again.GetRunId()) {
			require.False(t, l.GetKeptBack())
		}
		s.books(t).hold(t)
	})
}

// A page of runs says of each what a look at that one says.
func TestListRuns_ShowEachRunAsItIs(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 10000), pay("P2", 550))
		s.closes(t, "QJK", "2022-04", 1, pay("P1", 700), pay("P2", 30))
		s.closes(t, "36J", "2022-04", 1, pay("P4", -20))
		s.closes(t, "70F", "2022-04", 1, pay("P1", 5))
		_, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		s.pays(t, april1)
		for _, body := range []string{"QJK", "36J"} {
			s.passes(t, body+"-2022-04-1")
		}
		_, err = s.holdOn(t, "QJK", "P2")
		require.NoError(t, err)
		for _, body := range []string{"QJK", "36J"} {
			s.codedFor(t, body)
			_, err = s.export(t, body+"-2022-04-1", journal)
			require.NoError(t, err)
		}
		list, err := s.payments.ListRuns(s.as(t.Context(), "auditor"), &paymentsv1.ListRunsRequest{})
		require.NoError(t, err)
		sent := make(map[string]string)
		for _, run := range list.GetRuns() {
			require.True(t, proto.Equal(s.run(t, run.GetRunId()), run), run.GetRunId())
			sent[run.GetCommissionerCode()] = "none"
			if got := run.GetSent(); got != nil {
				sent[run.GetCommissionerCode()] = fmt.Sprintf("%d of %d, %d of %d", got.GetPayments(), got.GetPence(), got.GetKeptBackPayments(), got.GetKeptBackPence())
				require.Len(t, run.GetApprovals(), 1)
			}
		}
		require.Equal(t, map[string]string{"15N": "1 of 10000, 0 of 0", "QJK": "1 of 700, 1 of 30", "36J": "0 of 0, 0 of 0", "70F": "none"}, sent,
			"what was on hold when a run was put forward was not approved")
	})
}

// payload returns the only event of a type.
func (s *suite) payload(t testing.TB, event string) []byte {
	t.Helper()
	found := collect(t, s.db, func(rows *sql.Rows, payload *[]byte) error { return rows.Scan(payload) },
		`SELECT payload FROM outbox WHERE type = 'pcnfunding.payments.v1.`+event+`'`)
	require.Len(t, found, 1)
	return found[0]
}

// runsOf returns the runs that the lines of a payee are in now.
func (s *suite) runsOf(t testing.TB, payee string) []string {
	t.Helper()
	return s.texts(t, `SELECT DISTINCT run_id FROM items WHERE payee_code = '`+payee+`' ORDER BY run_id`)
}

func TestRelease_PutsTheLinesIntoARun(t *testing.T) {
	const april2 = "15N-2022-04-2"
	for name, c := range map[string]struct {
		// held brings a run of P1 and P2 as far as wanted, with a hold on P2 or its line.
		held func(t *testing.T, s *suite, hold func() *paymentsv1.Hold) *paymentsv1.Hold
		want []string
	}{
		"held at submit, released after the approval": {func(t *testing.T, s *suite, hold func() *paymentsv1.Hold) *paymentsv1.Hold {
			t.Helper()
			out := hold()
			s.passes(t, april1)
			return out
		}, []string{april2}},
		"held at submit, released before the approval": {func(t *testing.T, s *suite, hold func() *paymentsv1.Hold) *paymentsv1.Hold {
			t.Helper()
			out := hold()
			_, err := s.submit(t, "maker", april1)
			require.NoError(t, err)
			return out
		}, []string{april2}},
		"held at submit, with a later month assembled": {func(t *testing.T, s *suite, hold func() *paymentsv1.Hold) *paymentsv1.Hold {
			t.Helper()
			out := hold()
			s.passes(t, april1)
			s.closes(t, "15N", "2022-05", 1, pay("P1", 7))
			return out
		}, []string{may1}},
		"held while its run is assembled": {func(t *testing.T, _ *suite, hold func() *paymentsv1.Hold) *paymentsv1.Hold {
			t.Helper()
			return hold()
		}, []string{april1}},
	} {
		for _, of := range []string{"payee", "line"} {
			t.Run(name+", of a "+of, func(t *testing.T) {
				each(t, func(t *testing.T, s *suite) {
					lines := s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500)).GetLines()
					hold := c.held(t, s, func() *paymentsv1.Hold {
						req := &paymentsv1.PlaceHoldRequest{RequestId: s.next(), CommissionerCode: "15N", Reason: "doubt", PayeeCode: "P2"}
						if of == "line" {
							req.PayeeCode, req.LineId = "", lines[1].GetLineId()
						}
						out, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), req)
						require.NoError(t, err)
						return out
					})
					released := s.release(t, hold.GetHoldId())
					require.Equal(t, c.want, released.GetRunIds())
					require.Equal(t, c.want, s.runsOf(t, "P2"))
					require.Equal(t, paymentsv1.RunState_RUN_STATE_ASSEMBLED, s.run(t, c.want[0]).GetState())
					var event paymentsv1.HoldReleased
					require.NoError(t, proto.Unmarshal(s.payload(t, "HoldReleased"), &event))
					require.Equal(t, c.want, event.GetHold().GetRunIds())
					require.Equal(t, 1, s.count(t, "audit WHERE summary LIKE $1", "released the hold on %: answered; its lines are in "+c.want[0]))
					s.books(t).hold(t)
				})
			})
		}
	}
}

func TestRelease_OfAPayeeKeptBackBeginsARun(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), pay("P3", 30))
		s.passes(t, april1)
		second, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		third, err := s.holdOn(t, "15N", "P3")
		require.NoError(t, err)
		_, err = s.export(t, april1, variation)
		require.NoError(t, err)
		require.Equal(t, []string{""}, s.runsOf(t, "P2"), "while it is held there is nothing to put forward")
		released := s.release(t, second.GetHoldId())
		require.Equal(t, []string{"15N-2022-04-2"}, released.GetRunIds())
		run := s.run(t, "15N-2022-04-2")
		require.Equal(t, []int64{500, 30}, []int64{run.GetTotals().GetNetPence(), run.GetTotals().GetHeldPence()})
		s.pays(t, run.GetRunId())
		require.Equal(t, []string{"15N-2022-04-3"}, s.release(t, third.GetHoldId()).GetRunIds())
		s.pays(t, "15N-2022-04-3")
		s.books(t).hold(t)
	})
}

func TestRelease_BeginsNoRunOfNothing(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		lines := s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500), pay("", 3)).GetLines()
		payee, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		line, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), &paymentsv1.PlaceHoldRequest{
			RequestId: s.next(), CommissionerCode: "15N", LineId: lines[1].GetLineId(), Reason: "doubt",
		})
		require.NoError(t, err)
		s.pays(t, april1)
		require.Empty(t, s.release(t, payee.GetHoldId()).GetRunIds(), "its line is held still, and P1 is paid")
		require.Equal(t, 1, s.count(t, "runs"))
		require.Equal(t, 1, s.count(t, "audit WHERE summary LIKE 'released the hold on P2: answered; no line of it waits in a run'"))
		require.Equal(t, []string{"15N-2022-04-2"}, s.release(t, line.GetHoldId()).GetRunIds())

		paid, err := s.holdOn(t, "15N", "P1")
		require.NoError(t, err)
		require.Empty(t, s.release(t, paid.GetHoldId()).GetRunIds())
		require.Equal(t, 2, s.count(t, "runs"))
	})
}

func TestRelease_InAnApprovedRunSaysThatItsLinesAreThere(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		s.passes(t, april1)
		doubt, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		require.Equal(t, []string{april1}, s.release(t, doubt.GetHoldId()).GetRunIds())
		require.Equal(t, 1, s.count(t, "runs"))
		file, err := s.export(t, april1, variation)
		require.NoError(t, err)
		require.Equal(t, int64(1500), file.GetAmountPence())
	})
}

func TestRelease_BeginsNoRunOfABodyThatWasSucceeded(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 500))
		doubt, err := s.holdOn(t, "15N", "P2")
		require.NoError(t, err)
		s.pays(t, april1)
		s.moves(t, "15N", "QJK")
		released := s.release(t, doubt.GetHoldId())
		require.Equal(t, "QJK", released.GetCommissionerCode())
		require.Len(t, released.GetRunIds(), 1)
		require.Equal(t, "QJK", s.run(t, released.GetRunIds()[0]).GetCommissionerCode())

		_, err = s.holdOn(t, "15N", "P1")
		require.Equal(t, "COMMISSIONER_SUCCEEDED", reason(err), "a hold there would hold nobody")
		s.books(t).hold(t)
	})
}
