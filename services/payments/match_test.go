package payments_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// bank imports a file of a bank, whose rows are reference, payee, status and the bank's own reference, and returns their outcomes. All are
// of £1,391.20 on the first day.
func (s *suite) bank(t testing.TB, rows ...string) (*paymentsv1.ImportedFile, []string) {
	t.Helper()
	var file strings.Builder
	file.WriteString("reference,payee,status,payment_reference,payment_date,amount,reason\n")
	for _, row := range rows {
		file.WriteString(row + "," + firstDay + ",1391.20," + map[bool]string{true: "account closed"}[!strings.Contains(row, "PAID")] + "\n")
	}
	got, err := s.confirm(t.Context(), s.next(), "15N", file.String())
	require.NoError(t, err)
	require.False(t, got.GetAlreadyImported())
	return got.GetFile(), outcomes(s.importedRows(t, got.GetFile().GetImportId(), false))
}

// sends has equal payments to P1 wait, one for each month, and one to P2 for the first.
func (s *suite) sends(t testing.TB, months ...string) (ids []string) {
	t.Helper()
	for i, month := range months {
		lines := []*typev1.PaymentLine{pay("P1", 139120)}
		if i == 0 {
			lines = append(lines, pay("P2", 139120))
		}
		s.closes(t, "15N", month, 1, lines...)
		s.pays(t, "15N-"+month+"-1")
		ids = append(ids, "15N-"+month+"-1-P1")
	}
	return ids
}

func TestConfirm_TellsEqualPaymentsApart(t *testing.T) {
	const (
		april, may = april1 + "-P1", may1 + "-P1"
		plain      = ",P1,PAID,"
		other      = ",P2,PAID,"
	)
	for name, c := range map[string]struct {
		files   [][]string
		want    []string
		settled []string
	}{
		"one by its reference, the other without": {
			[][]string{{april + ",,PAID,", plain}}, []string{"SETTLED", "SETTLED"}, []string{april, may},
		},
		"the other without, one by its reference": {
			[][]string{{plain, april + ",,PAID,"}}, []string{"SETTLED", "SETTLED"}, []string{april, may},
		},
		"a row for each":        {[][]string{{plain, plain}}, []string{"SETTLED", "SETTLED"}, []string{april, may}},
		"a row for one of two":  {[][]string{{plain, other}}, []string{"AMBIGUOUS", "SETTLED"}, nil},
		"a row more than wait":  {[][]string{{plain, plain, plain}}, []string{"SETTLED", "SETTLED", "NOT_FOUND"}, []string{april, may}},
		"each, and then again":  {[][]string{{plain, plain}, {plain, other, plain}}, []string{"SETTLED", "SETTLED", "KNOWN", "SETTLED", "KNOWN"}, []string{april, may}},
		"each, and then one":    {[][]string{{plain, plain}, {other, plain}}, []string{"SETTLED", "SETTLED", "SETTLED", "KNOWN"}, []string{april, may}},
		"all again in one file": {[][]string{{april + ",,PAID,", plain}, {plain, other, april + ",,PAID,"}}, []string{"SETTLED", "SETTLED", "KNOWN", "SETTLED", "KNOWN"}, []string{april, may}},
		"one by its reference, then a file without references has one": {
			[][]string{{april + ",,PAID,"}, {plain}}, []string{"SETTLED", "AMBIGUOUS"}, []string{april},
		},
		"one by its reference, then a file without references has both": {
			[][]string{{april + ",,PAID,"}, {plain, plain}}, []string{"SETTLED", "KNOWN", "SETTLED"}, []string{april, may},
		},
		"both by reference, then a file without references has both": {
			[][]string{{april + ",,PAID,", may + ",,PAID,"}, {plain, plain}}, []string{"SETTLED", "SETTLED", "KNOWN", "KNOWN"}, []string{april, may},
		},
		"another reference of the bank": {
			[][]string{{april + ",,PAID,B1"}, {",P1,PAID,B2"}}, []string{"SETTLED", "SETTLED"}, []string{april, may},
		},
		"the same reference of the bank": {
			[][]string{{april + ",,PAID,B1"}, {",P1,PAID,B1"}}, []string{"SETTLED", "KNOWN"}, []string{april},
		},
		"a reference of the bank that came later": {
			[][]string{{april + ",,PAID,"}, {",P1,PAID,B1"}}, []string{"SETTLED", "AMBIGUOUS"}, []string{april},
		},
		"rows that the bank tells apart": {
			[][]string{{",P1,PAID,B1", ",P1,PAID,B2"}, {",P1,PAID,B2", other}}, []string{"SETTLED", "SETTLED", "KNOWN", "SETTLED"}, []string{april, may},
		},
		"a row of each kind for two that wait": {
			[][]string{{plain, ",P1,REJECTED,"}}, []string{"AMBIGUOUS", "AMBIGUOUS"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.sends(t, "2022-04", "2022-05")
				var got []string
				for _, rows := range c.files {
					_, some := s.bank(t, rows...)
					got = append(got, some...)
				}
				require.Equal(t, c.want, got)
				for _, id := range []string{april, may} {
					want := stateSent
					for _, settled := range c.settled {
						if settled == id {
							want = stateSettled
						}
					}
					require.Equal(t, want, s.payment(t, id).GetState(), id)
				}
				s.books(t).hold(t)
			})
		})
	}
}

func TestConfirm_OfWhatWasSaidSettlesNothingElse(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		ids := s.sends(t, "2022-04", "2022-05")
		rows := []string{ids[0] + ",,PAID,", ",P1,PAID,"}
		_, got := s.bank(t, rows...)
		require.Equal(t, []string{"SETTLED", "SETTLED"}, got)
		s.closes(t, "15N", "2022-06", 1, pay("P1", 139120))
		s.pays(t, "15N-2022-06-1")
		june := "15N-2022-06-1-P1"
		for _, files := range [][]string{{rows[1]}, {rows[1], rows[0]}, {rows[1], ",P2,PAID,"}} {
			file, got := s.bank(t, files...)
			require.Equal(t, "AMBIGUOUS", got[0], "%q", files)
			unmatched := s.importedRows(t, file.GetImportId(), true)
			require.Len(t, unmatched, 1, "June waits, and could be meant")
			require.Empty(t, unmatched[0].GetPaymentId())
			require.Contains(t, unmatched[0].GetNote(), "reference")
			require.Equal(t, stateSent, s.payment(t, june).GetState())
		}
		_, got = s.bank(t, rows[1], rows[1])
		require.Equal(t, []string{"AMBIGUOUS", "AMBIGUOUS"}, got, "of April and May once more, or of one of them and of June")
		_, got = s.bank(t, rows[1], rows[0], rows[1])
		require.Equal(t, []string{"KNOWN", "KNOWN", "SETTLED"}, got, "a row more than before is a payment more")
		require.Equal(t, stateSettled, s.payment(t, june).GetState())
		s.books(t).hold(t)
	})
}

func TestConfirm_OfWhatWasPaidAndCameBackIsNotOfWhatWasIssuedAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		id := s.sends(t, "2022-04")[0]
		_, got := s.bank(t, ",P1,PAID,")
		require.Equal(t, []string{"SETTLED"}, got)
		_, got = s.bank(t, id+",,RETURNED,")
		require.Equal(t, []string{"REJECTED"}, got)
		again, err := s.reissue(t, id)
		require.NoError(t, err)
		s.pays(t, again.GetRunId())
		_, got = s.bank(t, ",P1,PAID,", ",P2,PAID,")
		require.Equal(t, []string{"AMBIGUOUS", "SETTLED"}, got)
		require.Equal(t, stateSent, s.payment(t, again.GetRunId()+"-P1").GetState())
		s.books(t).hold(t)
	})
}

func TestConfirm_TriesAgainWhatWasAmbiguous(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		ids := s.sends(t, "2022-04", "2022-05")
		file, got := s.bank(t, ",P1,PAID,")
		require.Equal(t, []string{"AMBIGUOUS"}, got)
		require.Equal(t, []int32{0, 0, 1}, []int32{file.GetRowsApplied(), file.GetRowsKnown(), file.GetRowsUnmatched()})
		row := s.importedRows(t, file.GetImportId(), true)
		require.Len(t, row, 1)
		require.Empty(t, row[0].GetPaymentId())
		require.Contains(t, row[0].GetNote(), "send the row with the payment's reference")
		s.clock.Advance(day)
		_, got = s.confirms(t, "15N", ids[0]+",,PAID,2026-01-16,1391.20,")
		require.Equal(t, []string{"SETTLED"}, got)
		_, got = s.bank(t, ",P1,PAID,")
		require.Equal(t, []string{"SETTLED"}, got, "April was paid on another day")
		require.Equal(t, stateSettled, s.payment(t, ids[1]).GetState())
		s.books(t).hold(t)
	})
}

func TestConfirm_TriesAgainWhatWasSaidBeforeWhileAnotherWaits(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		april := s.sends(t, "2022-04")[0]
		s.bank(t, ",P1,PAID,")
		s.closes(t, "15N", "2022-05", 1, pay("P1", 139120))
		s.pays(t, may1)
		rows := []string{",P1,PAID,", ",P2,PAID,"}
		file, got := s.bank(t, rows...)
		require.Equal(t, []string{"AMBIGUOUS", "SETTLED"}, got)
		require.Equal(t, []int32{1, 0, 1}, []int32{file.GetRowsApplied(), file.GetRowsKnown(), file.GetRowsUnmatched()})
		s.bank(t, may1+"-P1,,PAID,")
		file, got = s.bank(t, rows...)
		require.Equal(t, []string{"KNOWN", "KNOWN"}, got)
		require.Equal(t, april, s.importedRows(t, file.GetImportId(), false)[0].GetPaymentId())
		s.books(t).hold(t)
	})
}

// Whoever rejects a payment that is good has its payee paid twice, so a row has an effect only where it can be of no other payment.
func TestConfirm_RejectsNoPaymentThatIsGood(t *testing.T) {
	const (
		april, may         = april1 + "-P1", may1 + "-P1"
		paid               = ",P1,PAID,"
		returned, rejected = ",P1,RETURNED,", ",P1,REJECTED,"
		other              = ",P2,PAID,"
	)
	type states = [2]paymentsv1.PaymentState // of April and May
	for name, c := range map[string]struct {
		files [][]string
		want  []string
		then  states
	}{
		"what was paid comes back": {
			[][]string{{april + ",,PAID,"}, {returned}}, []string{"SETTLED", "REJECTED"}, states{stateRejected, stateSent},
		},
		"what waits is rejected": {
			[][]string{{april + ",,PAID,"}, {rejected}}, []string{"SETTLED", "REJECTED"}, states{stateSettled, stateRejected},
		},
		"what waits fails": {
			[][]string{{april + ",,PAID,"}, {",P1,FAILED,"}}, []string{"SETTLED", "REJECTED"}, states{stateSettled, stateRejected},
		},
		"one of each": {
			[][]string{{april + ",,PAID,"}, {rejected, returned}}, []string{"SETTLED", "REJECTED", "REJECTED"}, states{stateRejected, stateRejected},
		},
		"one of two that were paid": {
			[][]string{{paid, paid}, {returned}}, []string{"SETTLED", "SETTLED", "AMBIGUOUS"}, states{stateSettled, stateSettled},
		},
		"both that were paid": {
			[][]string{{paid, paid}, {returned, returned}}, []string{"SETTLED", "SETTLED", "REJECTED", "REJECTED"}, states{stateRejected, stateRejected},
		},
		"none waits, and one of two fails": {
			[][]string{{paid, paid}, {rejected}}, []string{"SETTLED", "SETTLED", "AMBIGUOUS"}, states{stateSettled, stateSettled},
		},
		"none was paid, and one of two comes back": {[][]string{{returned}}, []string{"AMBIGUOUS"}, states{stateSent, stateSent}},
		"both come back, one of them paid": {
			[][]string{{april + ",,PAID,"}, {returned, returned}}, []string{"SETTLED", "REJECTED", "REJECTED"}, states{stateRejected, stateRejected},
		},
		"more come back than there are": {
			[][]string{{april + ",,PAID,"}, {returned, returned, returned}}, []string{"SETTLED", "REJECTED", "REJECTED", "NOT_FOUND"}, states{stateRejected, stateRejected},
		},
		"the same comes back once more": {
			[][]string{{april + ",,PAID,"}, {returned}, {returned, other}},
			[]string{"SETTLED", "REJECTED", "AMBIGUOUS", "SETTLED"},
			states{stateRejected, stateSent},
		},
		"the same comes back once more, by the bank's reference": {
			[][]string{{april + ",,PAID,"}, {",P1,RETURNED,B1"}, {",P1,RETURNED,B1", other}},
			[]string{"SETTLED", "REJECTED", "KNOWN", "SETTLED"},
			states{stateRejected, stateSent},
		},
		"another comes back, by the bank's reference": {
			[][]string{{paid, paid}, {april + ",,RETURNED,B1"}, {",P1,RETURNED,B2"}},
			[]string{"SETTLED", "SETTLED", "REJECTED", "REJECTED"},
			states{stateRejected, stateRejected},
		},
		"said by reference, then without": {
			[][]string{{paid, paid}, {april + ",,RETURNED,"}, {returned}},
			[]string{"SETTLED", "SETTLED", "REJECTED", "AMBIGUOUS"},
			states{stateRejected, stateSettled},
		},
		"one by its reference, the other without": {
			[][]string{{paid, paid}, {april + ",,RETURNED,", returned}},
			[]string{"SETTLED", "SETTLED", "REJECTED", "REJECTED"},
			states{stateRejected, stateRejected},
		},
		"paid by its reference, and returned without, in one file": {
			[][]string{{april + ",,PAID,", returned}}, []string{"SETTLED", "REJECTED"}, states{stateRejected, stateSent},
		},
		"paid by its reference, and the other rejected without, in one file": {
			[][]string{{april + ",,PAID,", rejected}}, []string{"SETTLED", "REJECTED"}, states{stateSettled, stateRejected},
		},
		"the other rejected without, one paid by its reference, in one file": {
			[][]string{{rejected, april + ",,PAID,"}}, []string{"REJECTED", "SETTLED"}, states{stateSettled, stateRejected},
		},
		"one paid before, one paid by its reference after a row that returns": {
			[][]string{{april + ",,PAID,B1"}, {returned, may + ",,PAID,B2"}}, []string{"SETTLED", "AMBIGUOUS", "SETTLED"}, states{stateSettled, stateSettled},
		},
		"one paid before, one paid after a row that returns": {
			[][]string{{april + ",,PAID,B1"}, {returned, ",P1,PAID,B2"}}, []string{"SETTLED", "AMBIGUOUS", "SETTLED"}, states{stateSettled, stateSettled},
		},
		"one paid before, one paid ahead of a row that returns": {
			[][]string{{april + ",,PAID,B1"}, {",P1,PAID,B2", returned}}, []string{"SETTLED", "SETTLED", "AMBIGUOUS"}, states{stateSettled, stateSettled},
		},
		"both paid and one returned, and the same bytes again": {
			[][]string{{paid, paid, returned}, {paid, paid, returned}},
			[]string{"SETTLED", "SETTLED", "AMBIGUOUS", "KNOWN", "KNOWN", "AMBIGUOUS"},
			states{stateSettled, stateSettled},
		},
		"both paid and both returned": {
			[][]string{{paid, paid, returned, returned}}, []string{"SETTLED", "SETTLED", "REJECTED", "REJECTED"}, states{stateRejected, stateRejected},
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.sends(t, "2022-04", "2022-05")
				var got []string
				for _, rows := range c.files {
					_, some := s.bank(t, rows...)
					got = append(got, some...)
				}
				require.Equal(t, c.want, got)
				for i, id := range []string{april, may} {
					require.Equal(t, c.then[i], s.payment(t, id).GetState(), id)
				}
				s.books(t).hold(t)
			})
		})
	}
}

// A row that was ambiguous because two payments were paid is not of a third that was sent since.
func TestConfirm_TriesAgainAReturnOfWhatTheSameFilePaid(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		ids := s.sends(t, "2022-04", "2022-05")
		rows := []string{",P1,PAID,", ",P1,PAID,", ",P1,RETURNED,"}
		_, got := s.bank(t, rows...)
		require.Equal(t, []string{"SETTLED", "SETTLED", "AMBIGUOUS"}, got)
		s.closes(t, "15N", "2022-06", 1, pay("P1", 139120))
		s.pays(t, "15N-2022-06-1")
		_, got = s.bank(t, rows...)
		require.Equal(t, []string{"KNOWN", "KNOWN", "AMBIGUOUS"}, got)
		require.Equal(t, stateSent, s.payment(t, "15N-2022-06-1-P1").GetState())
		_, got = s.bank(t, ids[1]+",,RETURNED,")
		require.Equal(t, []string{"REJECTED"}, got)
		_, got = s.bank(t, rows...)
		require.Equal(t, []string{"KNOWN", "KNOWN", "AMBIGUOUS"}, got, "it may be of May once more, or of April")
		require.Equal(t, stateSettled, s.payment(t, ids[0]).GetState())
		s.books(t).hold(t)
	})
}

func TestConfirm_ReturnsOnlyWhatWasPaidByTheDay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		ids := s.sends(t, "2022-04", "2022-05")
		s.bank(t, ids[0]+",,PAID,")
		s.clock.Advance(2 * day)
		_, got := s.confirms(t, "15N", ids[1]+",,PAID,2026-01-17,1391.20,", ",P1,RETURNED,2026-01-16,1391.20,account closed")
		require.Equal(t, []string{"SETTLED", "REJECTED"}, got)
		require.Equal(t, stateRejected, s.payment(t, ids[0]).GetState())
		require.Equal(t, stateSettled, s.payment(t, ids[1]).GetState())
		s.books(t).hold(t)
	})
}

// A payment that was paid and rejected on one day is as it was, whichever row stands first, by reference or without.
func TestConfirm_TakesNeitherOfTwoRowsThatContradict(t *testing.T) {
	const april = april1 + "-P1"
	for name, c := range map[string]struct {
		before []string
		rows   []string
		want   []string // of the rows in this order; the others have it turned round
		then   paymentsv1.PaymentState
	}{
		"by reference":             {nil, []string{april + ",,PAID,", april + ",,REJECTED,"}, []string{"AMBIGUOUS", "AMBIGUOUS"}, stateSent},
		"without":                  {nil, []string{",P1,PAID,", ",P1,FAILED,"}, []string{"AMBIGUOUS", "AMBIGUOUS"}, stateSent},
		"paid by reference":        {nil, []string{april + ",,PAID,", ",P1,REJECTED,"}, []string{"AMBIGUOUS", "AMBIGUOUS"}, stateSent},
		"rejected by reference":    {nil, []string{",P1,PAID,", april + ",,REJECTED,"}, []string{"NOT_FOUND", "REJECTED"}, stateRejected},
		"another in between":       {nil, []string{april + ",,PAID,", ",P2,PAID,", april + ",,FAILED,"}, []string{"AMBIGUOUS", "SETTLED", "AMBIGUOUS"}, stateSent},
		"came back as well":        {nil, []string{april + ",,PAID,", april + ",,RETURNED,", april + ",,FAILED,"}, []string{"AMBIGUOUS", "AMBIGUOUS", "AMBIGUOUS"}, stateSent},
		"of what was paid before":  {[]string{april + ",,PAID,"}, []string{april + ",,PAID,", april + ",,REJECTED,"}, []string{"AMBIGUOUS", "AMBIGUOUS"}, stateSettled},
		"paid, and said once more": {nil, []string{april + ",,PAID,", april + ",,PAID,", ",P1,REJECTED,"}, []string{"AMBIGUOUS", "AMBIGUOUS", "AMBIGUOUS"}, stateSent},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *suite) {
				s.sends(t, "2022-04")
				if c.before != nil {
					s.bank(t, c.before...)
				}
				file, got := s.bank(t, c.rows...)
				require.Equal(t, c.want, got)
				for _, row := range s.importedRows(t, file.GetImportId(), true) {
					if row.GetOutcome() == "AMBIGUOUS" {
						require.Equal(t, april, row.GetPaymentId())
						require.Contains(t, row.GetNote(), "says both of this payment on one day")
					}
				}
				turned, want := slices.Clone(c.rows), slices.Clone(c.want)
				slices.Reverse(turned)
				slices.Reverse(want)
				for i := range want {
					if want[i] == "SETTLED" || want[i] == "REJECTED" {
						want[i] = "KNOWN"
					}
				}
				_, got = s.bank(t, turned...)
				require.Equal(t, want, got, "turned round, of the payments as they are")
				require.Equal(t, c.then, s.payment(t, april).GetState())
				s.books(t).hold(t)
			})
		})
	}
}
