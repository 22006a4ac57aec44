package payments_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// firstDay is the day on which a suite begins; later days are a multiple of day after it.
const (
	firstDay = "2026-01-15"
	day      = 24 * time.Hour
)

// payerFile writes a file of confirmations out of rows of reference, payee, status, day, amount and reason.
func payerFile(rows ...string) string {
	return "reference,payee_code,status,payment_date,amount,reject_reason\n" + strings.Join(rows, "\n") + "\n"
}

// confirms imports rows of confirmations and returns the file and the outcome of each row.
func (s *suite) confirms(t testing.TB, code string, rows ...string) (*paymentsv1.ImportedFile, []string) {
	t.Helper()
	got, err := s.confirm(t.Context(), s.next(), code, payerFile(rows...))
	require.NoError(t, err)
	require.False(t, got.GetAlreadyImported())
	return got.GetFile(), outcomes(s.importedRows(t, got.GetFile().GetImportId(), false))
}

func (s *suite) importedRows(t testing.TB, id string, unmatched bool) []*paymentsv1.ImportedRow {
	t.Helper()
	got, err := s.payments.ListImportedRows(s.as(t.Context(), "auditor"), &paymentsv1.ListImportedRowsRequest{ImportId: id, UnmatchedOnly: unmatched})
	require.NoError(t, err)
	return got.GetRows()
}

func outcomes(rows []*paymentsv1.ImportedRow) (out []string) {
	for _, row := range rows {
		out = append(out, row.GetOutcome())
	}
	return out
}

func (s *suite) moves(t testing.TB, from, to string) {
	t.Helper()
	s.succeeds(t, from, to, "2022-07-01")
}

const (
	stateSent     = paymentsv1.PaymentState_PAYMENT_STATE_SENT
	stateSettled  = paymentsv1.PaymentState_PAYMENT_STATE_SETTLED
	stateRejected = paymentsv1.PaymentState_PAYMENT_STATE_REJECTED
)

func TestConfirm_ByPayeeSettlesOnlyWhatWasSentByTheDay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		april, may := "15N-2022-04-1-P1", "15N-2022-05-1-P1"
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		s.clock.Advance(31 * day)
		s.closes(t, "15N", "2022-05", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-05-1")
		_, got := s.confirms(t, "15N", ",P1,PAID,"+firstDay+",10.00,")
		require.Equal(t, []string{"SETTLED"}, got)
		require.Equal(t, stateSettled, s.payment(t, april).GetState())
		require.Equal(t, stateSent, s.payment(t, may).GetState())

		_, got = s.confirms(t, "15N", ",P1,PAID,"+firstDay+",10.00,", ",P1,PAID,2026-02-15,10.00,")
		require.Equal(t, []string{"KNOWN", "SETTLED"}, got, "the payer's file repeats what it said before")
		require.Equal(t, "2026-02-15", s.payment(t, may).GetConfirmedOn())
		s.books(t).hold(t)
	})
}

func TestConfirm_ByPayeeKnowsWhatWasSaidOfADay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 700))
		s.pays(t, "15N-2022-04-1")
		said := []string{",P1,PAID," + firstDay + ",10.00,", ",P2,REJECTED," + firstDay + ",7.00,account closed"}
		_, got := s.confirms(t, "15N", said...)
		require.Equal(t, []string{"SETTLED", "REJECTED"}, got)
		s.closes(t, "15N", "2022-05", 1, pay("P1", 1000), pay("P2", 700))
		s.pays(t, "15N-2022-05-1")
		_, got = s.confirms(t, "15N", append(said, "15N-2022-04-1-P1,,PAID,"+firstDay+",10.00,")...)
		require.Equal(t, []string{"AMBIGUOUS", "AMBIGUOUS", "KNOWN"}, got, "May waits, and could be meant")
		require.Equal(t, stateSent, s.payment(t, "15N-2022-05-1-P1").GetState(), "never paid")
		require.Equal(t, stateSent, s.payment(t, "15N-2022-05-1-P2").GetState(), "never rejected")
		s.books(t).hold(t)
	})
}

func TestConfirm_RefusesADayThatIsNotYet(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		_, err := s.confirm(t.Context(), s.next(), "15N", payerFile("15N-2022-04-1-P1,,PAID,2026-01-16,10.00,"))
		require.Equal(t, "FILE_HAS_BAD_ROWS", reason(err))
		bad := rpc.FaultFromStatus(status.Convert(err)).Violations
		require.Len(t, bad, 1)
		require.Equal(t, "line 2, payment_date", bad[0].Field)
		require.Equal(t, `"2026-01-16" lies after today, 2026-01-15`, bad[0].Description)
		require.Zero(t, s.count(t, "imports"))
	})
}

func TestConfirm_PostsNothingOfADayBeforeThePaymentWasSent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		postings := s.count(t, "postings")
		for _, said := range []string{"PAID,2026-01-14,10.00,", "RETURNED,2026-01-14,10.00,account closed"} {
			file, got := s.confirms(t, "15N", "15N-2022-04-1-P1,,"+said)
			require.Equal(t, []string{"DATE_DIFFERS"}, got)
			require.Equal(t, int32(1), file.GetRowsUnmatched())
			unmatched := s.importedRows(t, file.GetImportId(), true)
			require.Len(t, unmatched, 1)
			require.Equal(t, "15N-2022-04-1-P1", unmatched[0].GetPaymentId())
			require.NotEmpty(t, unmatched[0].GetNote())
		}
		require.Equal(t, postings, s.count(t, "postings"))
		require.Equal(t, stateSent, s.payment(t, "15N-2022-04-1-P1").GetState())
	})
}

func TestConfirm_ReturnsNothingBeforeItWasPaid(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		s.clock.Advance(2 * day)
		_, got := s.confirms(t, "15N", "15N-2022-04-1-P1,,PAID,2026-01-17,10.00,")
		require.Equal(t, []string{"SETTLED"}, got)
		postings := s.count(t, "postings")
		_, got = s.confirms(t, "15N", "15N-2022-04-1-P1,,RETURNED,2026-01-16,10.00,account closed")
		require.Equal(t, []string{"DATE_DIFFERS"}, got)
		require.Equal(t, postings, s.count(t, "postings"), "in between, more would be settled than was sent")
		_, got = s.confirms(t, "15N", "15N-2022-04-1-P1,,RETURNED,2026-01-17,10.00,account closed")
		require.Equal(t, []string{"REJECTED"}, got)
		s.books(t).hold(t)
	})
}

func TestImport_TriesAgainWhatWasUnmatched(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, pay("P2", 700))
		rows := []string{
			",P1,PAID," + firstDay + ",10.00,", "15N-2022-04-1-P1,,RETURNED," + firstDay + ",10.00,account closed", "15N-2022-05-1-P2,,PAID," + firstDay + ",7.00,",
		}
		first, got := s.confirms(t, "15N", rows...)
		require.Equal(t, []string{"SETTLED", "REJECTED", "NOT_FOUND"}, got)
		again, err := s.reissue(t, "15N-2022-04-1-P1")
		require.NoError(t, err)
		s.pays(t, again.GetRunId())
		s.pays(t, "15N-2022-05-1")

		second, got := s.confirms(t, "15N", rows...)
		require.NotEqual(t, first.GetImportId(), second.GetImportId())
		require.Equal(t, []string{"KNOWN", "KNOWN", "SETTLED"}, got, "what took effect does so once")
		require.Equal(t, []int32{1, 2, 0}, []int32{second.GetRowsApplied(), second.GetRowsKnown(), second.GetRowsUnmatched()})
		require.Equal(t, stateSent, s.payment(t, again.GetRunId()+"-P1").GetState(), "the payment issued again is another")
		require.Equal(t, stateSettled, s.payment(t, "15N-2022-05-1-P2").GetState())

		third, err := s.confirm(t.Context(), s.next(), "15N", payerFile(rows...))
		require.NoError(t, err)
		require.True(t, third.GetAlreadyImported())
		require.Equal(t, second.GetImportId(), third.GetFile().GetImportId())
		require.Equal(t, 2, s.count(t, "imports"))
		s.books(t).hold(t)
	})
}

func TestReissue_NeverPaysInTheNameOfABodyThatWasSucceeded(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000))
		s.pays(t, "15N-2022-04-1")
		id := "15N-2022-04-1-P1"
		s.confirms(t, "15N", id+",,PAID,"+firstDay+",10.00,")
		s.moves(t, "15N", "QJK")
		_, got := s.confirms(t, "15N", id+",,RETURNED,"+firstDay+",10.00,account closed")
		require.Equal(t, []string{"REJECTED"}, got)
		_, err := s.reissue(t, id)
		require.Equal(t, "COMMISSIONER_SUCCEEDED", reason(err))
		require.ErrorContains(t, err, "move the open items again first")
		require.Equal(t, stateRejected, s.payment(t, id).GetState())

		s.moves(t, "15N", "QJK")
		again, err := s.reissue(t, id)
		require.NoError(t, err)
		require.Equal(t, "QJK", s.run(t, again.GetRunId()).GetCommissionerCode())
		s.books(t).hold(t)
	})
}

func TestConfirm_FollowsAPaymentToItsOwner(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 700), pay("P3", 500))
		s.pays(t, "15N-2022-04-1")
		s.moves(t, "15N", "QJK")
		s.moves(t, "QJK", "QOX")
		s.closes(t, "QOX", "2022-07", 1, pay("P2", 700))
		s.pays(t, "QOX-2022-07-1")
		rows := []string{"15N-2022-04-1-P1,,PAID," + firstDay + ",10.00,", ",P2,PAID," + firstDay + ",7.00,", "QOX-2022-07-1-P2,,PAID," + firstDay + ",7.00,"}

		stranger := testkit.As(t.Context(), auth.Principal{
			Subject: "stranger", Commissioners: []string{"15N"}, Roles: []optionsv1.Role{optionsv1.Role_ROLE_FINANCE_PREPARER},
		})
		blind, err := s.confirmAs(stranger, s.next(), "15N", payerFile(rows...))
		require.NoError(t, err)
		for _, row := range s.importedRows(t, blind.GetFile().GetImportId(), false) {
			require.Equal(t, "NOT_FOUND", row.GetOutcome())
			require.Empty(t, row.GetPaymentId())
			require.Contains(t, row.GetNote(), "passed to another commissioner")
			require.NotContains(t, row.GetNote(), "QOX")
		}

		file, got := s.confirms(t, "15N", rows...)
		require.Equal(t, []string{"SETTLED", "SETTLED", "NOT_FOUND"}, got, "a payment that was never the old body's is none of its file")
		require.Equal(t, "15N-2022-04-1-P2", s.importedRows(t, file.GetImportId(), false)[1].GetPaymentId())
		require.Equal(t, []string{"P2", "P3"}, s.texts(t, `SELECT payee_code FROM payments WHERE state = 1 ORDER BY payee_code`))
		_, got = s.confirms(t, "QJK", "15N-2022-04-1-P3,,PAID,"+firstDay+",5.00,")
		require.Equal(t, []string{"SETTLED"}, got, "one in between")
		require.Equal(t, []string{"QJK", "QOX", "15N", "QOX"}, s.texts(t, `SELECT commissioner FROM audit WHERE summary LIKE '%1 applied%' OR summary LIKE '%2 applied%'
			ORDER BY summary, commissioner`))
		s.books(t).hold(t)
	})
}

func TestListPayments_NewestFirst(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "QJK", "2022-05", 1, pay("P1", 1), pay("P2", 2))
		s.pays(t, "QJK-2022-05-1")
		s.clock.Advance(day)
		s.closes(t, "15N", "2022-04", 1, pay("P1", 1), pay("P2", 2))
		s.pays(t, "15N-2022-04-1")
		s.clock.Advance(day)
		s.closes(t, "QJK", "2022-04", 1, pay("P1", 1))
		s.pays(t, "QJK-2022-04-1")
		want := []string{"QJK-2022-04-1-P1", "15N-2022-04-1-P1", "15N-2022-04-1-P2", "QJK-2022-05-1-P1", "QJK-2022-05-1-P2"}
		for size := range int32(7) {
			var got []string
			for token := ""; ; {
				list, err := s.payments.ListPayments(s.as(t.Context(), "auditor"), &paymentsv1.ListPaymentsRequest{PageSize: size, PageToken: token})
				require.NoError(t, err)
				for _, p := range list.GetPayments() {
					got = append(got, p.GetPaymentId())
				}
				if token = list.GetNextPageToken(); token == "" {
					break
				}
			}
			require.Equal(t, want, got, "pages of %d", size)
		}
	})
}

// What was paid and then returned takes effect in the order of the rows, in one file as in two.
func TestConfirm_TakesRowsInTheirOrder(t *testing.T) {
	const id = "15N-2022-04-1-P1"
	paidRow, returned := id+",,PAID,"+firstDay+",10.00,", id+",,RETURNED,"+firstDay+",10.00,account closed"
	other := "15N-2022-04-1-P2,,PAID," + firstDay + ",7.00,"
	for name, files := range map[string]struct {
		rows [][]string
		want []string
		then paymentsv1.PaymentState
	}{
		"paid, then returned, in one":    {[][]string{{paidRow, other, returned}}, []string{"SETTLED", "SETTLED", "REJECTED"}, stateRejected},
		"paid, then returned, in two":    {[][]string{{paidRow, other}, {returned}}, []string{"SETTLED", "SETTLED", "REJECTED"}, stateRejected},
		"returned, then paid, in one":    {[][]string{{returned, other, paidRow}}, []string{"REJECTED", "SETTLED", "STATE_DIFFERS"}, stateRejected},
		"returned, then paid, in two":    {[][]string{{returned, other}, {paidRow}}, []string{"REJECTED", "SETTLED", "STATE_DIFFERS"}, stateRejected},
		"paid, returned, said once more": {[][]string{{paidRow, other, returned, returned}}, []string{"SETTLED", "SETTLED", "REJECTED", "KNOWN"}, stateRejected},
		"paid, said once more":           {[][]string{{paidRow, other, paidRow}}, []string{"SETTLED", "SETTLED", "KNOWN"}, stateSettled},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.closes(t, "15N", "2022-04", 1, pay("P1", 1000), pay("P2", 700))
				s.pays(t, "15N-2022-04-1")
				var got []string
				for _, rows := range files.rows {
					_, some := s.confirms(t, "15N", rows...)
					got = append(got, some...)
				}
				require.Equal(t, files.want, got)
				require.Equal(t, files.then, s.payment(t, id).GetState())
				require.Equal(t, paymentsv1.RunState_RUN_STATE_SETTLED, s.run(t, "15N-2022-04-1").GetState())
				s.books(t).hold(t)
			})
		})
	}
}
