package payments_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// payFor makes a line of a PCN that a payee gets.
func payFor(pcn, payee string, pence int64) *typev1.PaymentLine {
	line := pay(payee, pence)
	line.PcnCode, line.PcnName = pcn, "Network "+pcn
	return line
}

func (s *suite) statement(t testing.TB, pcn, period string) *paymentsv1.Statement {
	t.Helper()
	out, err := s.payments.GetStatement(s.as(t.Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: pcn, Period: period})
	require.NoError(t, err)
	return out
}

// sums are the opening, lines, what passed, what was sent, and the closing of a statement.
func sums(s *paymentsv1.Statement) []int64 {
	return []int64{s.GetOpeningPence(), s.GetTotalPence(), s.GetPassedPence(), s.GetSentPence(), s.GetClosingPence()}
}

// figures are those of a statement that nothing later may change.
func figures(s *paymentsv1.Statement) *paymentsv1.Statement {
	return &paymentsv1.Statement{
		StatementId: s.GetStatementId(), OpeningPence: s.GetOpeningPence(), TotalPence: s.GetTotalPence(), SentPence: s.GetSentPence(),
		ClosingPence: s.GetClosingPence(), Sent: s.GetSent(), Recoveries: s.GetRecoveries(),
	}
}

// overpays has a payee of two PCNs be overpaid for the first.
func overpays(t *testing.T, s *suite) {
	t.Helper()
	s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", -6000), payFor("U2", "P1", 1000), payFor("U3", "P3", 10))
	s.pays(t, "15N-2022-04-1")
}

// recovers has that payee earn for the second.
func recovers(t *testing.T, s *suite) {
	t.Helper()
	s.closes(t, "15N", "2022-05", 1, payFor("U2", "P1", 8000))
	s.pays(t, "15N-2022-05-1")
}

func TestStatement_PartsSumToWhatWasSent(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		overpays(t, s)
		recovers(t, s)
		first, second := s.statement(t, "U1", "2022-05"), s.statement(t, "U2", "2022-05")
		require.Equal(t, int64(3000), s.payment(t, "15N-2022-05-1-P1").GetAmountPence())
		require.Len(t, first.GetSent(), 1, "a PCN without a line has a part in the payment")
		require.Len(t, second.GetSent(), 1)
		require.Equal(t, int64(-6000), first.GetSent()[0].GetPcnPence())
		require.Equal(t, int64(9000), second.GetSent()[0].GetPcnPence())
		require.Zero(t, first.GetClosingPence(), "the debt was taken off")
		require.Zero(t, second.GetClosingPence())
	})
}

func TestStatement_OfAnEarlierMonthStays(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		before := make(map[string]*paymentsv1.Statement)
		note := func(month string) {
			for _, pcn := range []string{"U1", "U2"} {
				before[pcn+" "+month] = figures(s.statement(t, pcn, month))
			}
		}
		overpays(t, s)
		note("2022-04")
		require.Equal(t, int64(6000), before["U1 2022-04"].GetRecoveries()[0].GetOutstandingPence())
		recovers(t, s)
		note("2022-05")
		s.closes(t, "QJK", "2022-05", 1, payFor("U9", "P1", -5000), payFor("U9", "P9", 1))
		s.pays(t, "QJK-2022-05-1")
		for key, was := range before {
			var pcn, month string
			_, err := fmt.Sscan(key, &pcn, &month)
			require.NoError(t, err)
			now := figures(s.statement(t, pcn, month))
			require.True(t, proto.Equal(was, now), "%s was %v and is %v", key, was, now)
		}
	})
}

func TestStatement_ShowsTheDebtOfEachPayee(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		practice := payFor("U1", "A1", -700)
		practice.PracticeCode = "A1"
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", -6000), practice, payFor("U2", "P1", -50), payFor("U2", "P2", 1))
		s.pays(t, "15N-2022-04-1")
		owed := make(map[string]int64)
		for _, recovery := range s.statement(t, "U1", "2022-04").GetRecoveries() {
			owed[recovery.GetPayee().GetCode()] = recovery.GetOutstandingPence()
		}
		require.Equal(t, map[string]int64{"P1": 6000, "A1": 700}, owed)
	})
}

func TestStatement_TellsWhatIsRecoveredFromWhatArises(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", -6000), payFor("U3", "P3", 10))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, payFor("U1", "P1", 2000), payFor("U2", "P1", 500), payFor("U3", "P3", 10))
		s.pays(t, "15N-2022-05-1")
		rows := make(map[string]string)
		for _, row := range s.printed(t, "U1", "2022-05") {
			if row["section"] == "recovery" {
				rows[row["item"]] = row["amount_gbp"]
			}
			if row["item"] == "line" {
				require.Equal(t, "recovered", row["state"])
			}
		}
		require.Equal(t, map[string]string{"brought_forward": "60.00", "arisen": "0.00", "passed": "0.00", "recovered": "25.00", "carried_forward": "35.00"}, rows)
		other := s.statement(t, "U2", "2022-05")
		require.Zero(t, other.GetClosingPence(), "what was due for U2 made up for what its payee had got for U1")
		require.Len(t, other.GetSent(), 1)
		require.Empty(t, other.GetSent()[0].GetPayment().GetPaymentId())
		require.Equal(t, int64(500), other.GetSent()[0].GetPcnPence())
		require.Empty(t, other.GetRecoveries())
	})
}

// printed reads a statement's CSV, row by row.
func (s *suite) printed(t testing.TB, pcn, period string) []map[string]string {
	t.Helper()
	file, err := s.payments.DownloadStatementCsv(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{PcnCode: pcn, Period: period})
	require.NoError(t, err)
	return cells(t, file.GetData())
}

// cells reads CSV, row by row.
func cells(t testing.TB, content []byte) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	require.NoError(t, err)
	out := make([]map[string]string, len(rows)-1)
	for i, row := range rows[1:] {
		out[i] = make(map[string]string)
		for n, cell := range row {
			out[i][rows[0][n]] = cell
		}
	}
	return out
}

func TestStatement_PrintsALineOnHoldOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		doubtful := payFor("U1", "P1", 2000)
		doubtful.Holds = []*typev1.Hold{{Reason: "RATE_DOUBTFUL", Remedy: "ask for the rate"}}
		lines := s.closes(t, "15N", "2022-04", 1, doubtful, payFor("U1", "P2", 5)).GetLines()
		for _, on := range []*paymentsv1.PlaceHoldRequest{{PayeeCode: "P1"}, {LineId: lines[0].GetLineId()}} {
			on.RequestId, on.CommissionerCode, on.Reason = s.next(), "15N", "account in doubt"
			_, err := s.payments.PlaceHold(s.as(t.Context(), "maker"), on)
			require.NoError(t, err)
		}
		var held []map[string]string
		for _, row := range s.printed(t, "U1", "2022-04") {
			if row["section"] == "held" {
				held = append(held, row)
			}
		}
		require.Len(t, held, 1)
		require.Equal(t, "20.00", held[0]["amount_gbp"])
		require.Equal(t, "PLACED RATE_DOUBTFUL", held[0]["hold_codes"])
		require.Equal(t, "account in doubt; rate doubtful", held[0]["reason"])
		require.Equal(t, "ask for the rate", held[0]["remedy"])
		require.Equal(t, "core", held[0]["fund"])
		require.Equal(t, "CORE", held[0]["funding_source"])
		require.Equal(t, "P1", held[0]["payee_code"])
	})
}

// TestStatement_IsOneCommissionersWhoeverAsks has two commissioners owe a PCN.
func TestStatement_IsOneCommissionersWhoeverAsks(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 100))
		s.closes(t, "QJK", "2022-04", 1, payFor("U1", "P1", 7), payFor("U2", "P1", 9))
		ask := func(who auth.Principal, code string) (*paymentsv1.Statement, error) {
			s.clock.Advance(time.Second)
			return s.payments.GetStatement(testkit.As(t.Context(), who), &paymentsv1.GetStatementRequest{PcnCode: "U1", Period: "2022-04", CommissionerCode: code})
		}
		for code, total := range map[string]int64{"15N": 100, "QJK": 7, "": 7} {
			for name, who := range map[string]auth.Principal{"England": person("auditor"), "PCN": testkit.PCNManager("U1"), "QJK": testkit.Auditor("QJK"), "15N": testkit.Auditor("15N")} {
				got, err := ask(who, code)
				if name != "England" && name != "PCN" && name != cmp.Or(code, "QJK") {
					require.Equal(t, "STATEMENT_EMPTY", reason(err), "%s asks for %q", name, code)
					continue
				}
				if assert.NoError(t, err) {
					other := map[string]string{"15N": "QJK", "QJK": "15N"}[got.GetCommissionerCode()]
					assert.Equal(t, cmp.Or(code, "QJK")+"-U1-2022-04", got.GetStatementId())
					assert.Equal(t, total, got.GetTotalPence(), "%s asks for %q", name, code)
					assert.Equal(t, []string{other}, got.GetAlsoOwedBy())
				}
			}
		}
		notes := 0
		for _, row := range s.printed(t, "U1", "2022-04") {
			if row["section"] == "note" {
				notes++
				require.Contains(t, row["text"], "15N")
			}
		}
		require.Equal(t, 1, notes)
	})
}

func TestStatement_OfASuccessorGoesOn(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 100), payFor("U2", "P2", -40), payFor("U3", "P3", 1))
		s.pays(t, "15N-2022-04-1")
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{"15N-2022-04-1-P1", "PAID", "1.00"}))
		require.NoError(t, err)
		april := figures(s.statement(t, "U1", "2022-04"))
		s.closes(t, "15N", "2022-06", 1, payFor("U1", "P1", 30), payFor("U2", "P2", 25))
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.closes(t, "QJK", "2022-07", 1, payFor("U3", "P3", 1))
		now := figures(s.statement(t, "U1", "2022-04"))
		require.True(t, proto.Equal(april, now), "%v was %v", now, april)
		require.Equal(t, "15N-U1-2022-04", now.GetStatementId())
		s.pays(t, "QJK-2022-07-1")
		year := s.statement(t, "U1", "2022-23")
		require.Equal(t, "QJK", year.GetCommissionerCode())
		require.Equal(t, []int64{0, 0, 30, 30, 0}, sums(year), "what it took over it has sent")
		require.Equal(t, int64(-15), s.statement(t, "U2", "2022-07").GetClosingPence(), "of 40 that one was owed, the other has recovered 25")
	})
}

// TestStatement_AfterAMoveEachPoundIsInOneAccount has a CCG leave a line, a debt, a payment that comes back and one on hold to its ICB.
func TestStatement_AfterAMoveEachPoundIsInOneAccount(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 100), payFor("U2", "P2", -40), payFor("U4", "P4", 50))
		s.pays(t, "15N-2022-04-1")
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{"15N-2022-04-1-P1", "PAID", "1.00"}))
		require.NoError(t, err)
		s.closes(t, "15N", "2022-06", 1, payFor("U1", "P1", 30), payFor("U5", "P5", 7))
		_, err = s.holdOn(t, "15N", "P5")
		require.NoError(t, err)
		ask := func(who auth.Principal, pcn, period, code string) (*paymentsv1.Statement, error) {
			s.clock.Advance(time.Second)
			return s.payments.GetStatement(testkit.As(t.Context(), who), &paymentsv1.GetStatementRequest{PcnCode: pcn, Period: period, CommissionerCode: code})
		}
		read := make(map[string]*paymentsv1.Statement)
		for _, pcn := range []string{"U1", "U2", "U5"} {
			for _, month := range []string{"2022-04", "2022-06"} {
				if got, err := ask(testkit.Auditor("15N"), pcn, month, ""); err == nil {
					read[pcn+" "+month] = figures(got)
				}
			}
		}
		require.Len(t, read, 5)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		_, err = s.confirm(t.Context(), s.next(), "QJK", confirmations([3]string{"15N-2022-04-1-P4", "REJECTED", "0.50"}))
		require.NoError(t, err)
		s.closes(t, "QJK", "2022-07", 1, payFor("U3", "P3", 1))
		s.pays(t, "QJK-2022-07-1")

		for key, was := range read {
			pcn, month, _ := strings.Cut(key, " ")
			for _, code := range []string{"", "15N"} {
				got, err := ask(testkit.Auditor("15N"), pcn, month, code)
				require.NoError(t, err, "what could be read before can be read now")
				require.True(t, proto.Equal(was, figures(got)), "%s was %v and is %v", key, was, got)
			}
		}
		for _, c := range []struct {
			code, pcn, period string
			want              []int64
		}{
			{"15N", "U1", "2022-07", []int64{30, 0, -30, 0, 0}},
			{"15N", "U1", "2022-23", []int64{0, 130, -30, 100, 0}},
			{"QJK", "U1", "2022-07", []int64{0, 0, 30, 30, 0}},
			{"QJK", "U1", "2022-08", []int64{0, 0, 0, 0, 0}},
			{"15N", "U2", "2022-23", []int64{0, -40, 40, 0, 0}},
			{"QJK", "U2", "2022-23", []int64{0, 0, -40, 0, -40}},
			{"15N", "U4", "2022-23", []int64{0, 50, -50, 0, 0}},
			{"QJK", "U4", "2022-07", []int64{0, 0, 50, 0, 50}},
			{"15N", "U5", "2022-07", []int64{7, 0, -7, 0, 0}},
			{"QJK", "U5", "2022-07", []int64{0, 0, 7, 0, 7}},
		} {
			got, err := ask(person("auditor"), c.pcn, c.period, c.code)
			require.NoError(t, err)
			require.Equal(t, c.code+"-"+c.pcn+"-"+c.period, got.GetStatementId())
			require.Equal(t, c.want, sums(got), got.GetStatementId())
		}
		old, err := ask(person("auditor"), "U1", "2022-23", "15N")
		require.NoError(t, err)
		require.Equal(t, []string{"QJK", "Heir QJK", "2022-07-01"}, []string{
			old.GetPassed()[0].GetCommissionerCode(), old.GetPassed()[0].GetCommissionerName(), old.GetPassed()[0].GetEffectiveDate(),
		})
		require.Equal(t, []string{"", "QJK"}, []string{old.GetPayments()[0].GetPassedTo(), old.GetPayments()[1].GetPassedTo()})
		require.Equal(t, []string{"QJK"}, old.GetAlsoOwedBy())
		old, err = ask(person("auditor"), "U2", "2022-23", "15N")
		require.NoError(t, err)
		require.Empty(t, old.GetRecoveries(), "the debt has passed on")
		heir, err := ask(person("auditor"), "U2", "2022-23", "QJK")
		require.NoError(t, err)
		require.Equal(t, []any{"QJK", int64(40)}, []any{heir.GetRecoveries()[0].GetCommissionerCode(), heir.GetRecoveries()[0].GetOutstandingPence()})
		heir, err = ask(person("auditor"), "U5", "2022-07", "")
		require.NoError(t, err)
		require.Equal(t, "QJK", heir.GetCommissionerCode(), "who owes the newest line")
		require.Equal(t, "doubt", heir.GetPassed()[0].GetLines()[0].GetHolds()[0].GetReason())

		for _, c := range []struct {
			who          auth.Principal
			asked, comes string
		}{
			{testkit.Auditor("15N"), "", "15N"},
			{testkit.Auditor("15N"), "15N", "15N"},
			{testkit.Auditor("15N"), "QJK", ""},
			{testkit.Auditor("QJK"), "", "QJK"},
			{testkit.Auditor("QJK"), "15N", "15N"},
			{testkit.Auditor("QU9"), "15N", ""},
			{testkit.PCNManager("U1"), "", "QJK"},
			{testkit.PCNManager("U1"), "15N", "15N"},
			{person("auditor"), "QU9", ""},
		} {
			got, err := ask(c.who, "U1", "2022-07", c.asked)
			if c.comes == "" {
				require.Equal(t, "STATEMENT_EMPTY", reason(err), c)
				require.ErrorContains(t, err, c.asked)
				continue
			}
			require.NoError(t, err, c)
			require.Equal(t, c.comes, got.GetCommissionerCode())
		}
		rows := make(map[string]string)
		file, err := s.payments.DownloadStatementCsv(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{PcnCode: "U2", Period: "2022-23", CommissionerCode: "15N"})
		require.NoError(t, err)
		for _, row := range cells(t, file.GetData()) {
			rows[row["section"]+" "+row["item"]] = row["amount_gbp"]
		}
		require.Equal(t, []string{"0.40", "0.40", "-0.40", "0.00"}, []string{
			rows["summary passed"], rows["transfer passed"], rows["recovery passed"], rows["recovery carried_forward"],
		})
		_, err = s.payments.DownloadStatement(s.as(t.Context(), "auditor"), &paymentsv1.DownloadStatementRequest{PcnCode: "U2", Period: "2022-23", CommissionerCode: "15N"})
		require.NoError(t, err)
	})
}

// TestStatement_CountsALineThatWasIssuedAgainOnce has a payee with a payment issued again, whose line is open, and another under way pass.
func TestStatement_CountsALineThatWasIssuedAgainOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 100))
		s.pays(t, "15N-2022-04-1")
		s.closes(t, "15N", "2022-05", 1, payFor("U1", "P1", 30))
		s.pays(t, "15N-2022-05-1")
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{"15N-2022-04-1-P1", "REJECTED", "1.00"}))
		require.NoError(t, err)
		_, err = s.reissue(t, "15N-2022-04-1-P1")
		require.NoError(t, err)
		move := s.succeeds(t, "15N", "QJK", "2022-07-01")
		require.Equal(t, []int64{100, 30}, []int64{move.GetAccruedPence(), move.GetSentPence()})
		for code, want := range map[string][]int64{"15N": {0, 130, -100, 30, 0}, "QJK": {0, 0, 100, 0, 100}} {
			got, err := s.payments.GetStatement(s.as(t.Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: "U1", Period: "2022-23", CommissionerCode: code})
			require.NoError(t, err)
			require.Equal(t, want, sums(got), code)
		}
	})
}

// account is the statement of a commissioner that is named, or not.
func (s *suite) account(t testing.TB, pcn, period, code string) *paymentsv1.Statement {
	t.Helper()
	out, err := s.payments.GetStatement(s.as(t.Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: pcn, Period: period, CommissionerCode: code})
	require.NoError(t, err)
	return out
}

// TestStatement_OfASuccessorSendsNothingBeforeItCame has an heir issue an April payment again, and take a debt off a late run of May.
func TestStatement_OfASuccessorSendsNothingBeforeItCame(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 268952), payFor("U2", "P2", -40), payFor("U3", "P3", 1))
		s.closes(t, "QJK", "2022-04", 1, payFor("U1", "P4", 7), payFor("U2", "P4", 7))
		s.pays(t, april1)
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{april1 + "-P1", "REJECTED", "2689.52"}))
		require.NoError(t, err)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		again, err := s.reissue(t, april1+"-P1")
		require.NoError(t, err)
		require.Equal(t, "QJK-2022-04-1", again.GetRunId())
		s.closes(t, "15N", "2022-05", 1, payFor("U2", "P2", 100))
		for _, id := range []string{"QJK-2022-04-1", "QJK-2022-05-1"} {
			_, err := s.payments.SubmitRun(s.as(t.Context(), "maker"), &paymentsv1.SubmitRunRequest{
				RequestId: s.next(), RunId: id, Etag: s.run(t, id).GetEtag(), MissingFunds: []*paymentsv1.MissingFund{{Fund: typev1.Fund_FUND_CORE, Reason: "late"}},
			})
			require.NoError(t, err)
			_, err = s.approve(t, "ann", id)
			require.NoError(t, err)
			_, err = s.export(t, id, variation)
			require.NoError(t, err)
		}
		for _, c := range []struct {
			pcn, period string
			want        []int64
		}{
			{"U1", "2022-04", []int64{0, 7, 0, 7, 0}},
			{"U1", "2022-06", []int64{0, 0, 0, 0, 0}},
			{"U1", "2022-07", []int64{0, 0, 268952, 268952, 0}},
			{"U1", "2022-23", []int64{0, 7, 268952, 268959, 0}},
			{"U2", "2022-05", []int64{0, 100, 0, 0, 100}},
			{"U2", "2022-07", []int64{100, 0, -40, 60, 0}},
		} {
			got := s.account(t, c.pcn, c.period, "QJK")
			require.Equal(t, c.want, sums(got), got.GetStatementId())
			require.Empty(t, got.GetRecoveries())
		}
		require.Equal(t, []int64{0, 268952, 0, 0, 268952}, sums(s.account(t, "U1", "2022-04", "15N")))
		_, err = s.payments.GetStatement(s.as(t.Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: "U3", Period: "2022-04", CommissionerCode: "QJK"})
		require.Equal(t, "STATEMENT_EMPTY", reason(err))
	})
}

// TestStatement_PassesNothingOnBeforeItCame has a second succession that began before the first.
func TestStatement_PassesNothingOnBeforeItCame(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", 100), payFor("U2", "P2", -40), payFor("U3", "P3", 50))
		s.hold(t, "P1")
		s.pays(t, april1)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		s.succeeds(t, "QJK", "QU9", "2022-06-01")
		_, err := s.confirm(t.Context(), s.next(), "QU9", confirmations([3]string{april1 + "-P3", "REJECTED", "0.50"}))
		require.NoError(t, err)
		for pcn, pence := range map[string]int64{"U1": 100, "U2": -40, "U3": 50} {
			for _, code := range []string{"QJK", "QU9"} {
				_, err := s.payments.GetStatement(s.as(t.Context(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: pcn, Period: "2022-06", CommissionerCode: code})
				if err != nil {
					require.Equal(t, "STATEMENT_EMPTY", reason(err))
					continue
				}
				require.Equal(t, []int64{0, 0, 0, 0, 0}, sums(s.account(t, pcn, "2022-06", code)), code)
			}
			require.Equal(t, []int64{0, pence, 0, 0, pence}, sums(s.account(t, pcn, "2022-04", "15N")))
			require.Equal(t, []int64{pence, 0, -pence, 0, 0}, sums(s.account(t, pcn, "2022-07", "15N")))
			require.Equal(t, []int64{0, 0, 0, 0, 0}, sums(s.account(t, pcn, "2022-07", "QJK")))
			require.Equal(t, []int64{0, 0, pence, 0, pence}, sums(s.account(t, pcn, "2022-07", "")))
		}
	})
}

// TestStatement_IsOfTheSuccessorOnceTheBookPassed has the newest lines of PCNs be open, sent and settled when all passed.
func TestStatement_IsOfTheSuccessorOnceTheBookPassed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P5", -249022), payFor("U2", "P2", 1098429), payFor("U3", "P3", 30), payFor("U4", "P6", 9))
		s.pays(t, april1)
		s.closes(t, "15N", "2022-06", 1, payFor("U1", "P1", 100), payFor("U2", "P4", 50))
		s.pays(t, "15N-2022-06-1")
		_, err := s.confirm(t.Context(), s.next(), "15N", confirmations([3]string{april1 + "-P2", "REJECTED", "10984.29"}, [3]string{april1 + "-P3", "PAID", "0.30"}))
		require.NoError(t, err)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		for _, c := range []struct {
			pcn, period, asked, code string
			closing                  int64
			others                   []string
		}{
			{"U1", "2022-06", "", "15N", -249022, nil},
			{"U1", "2022-08", "", "QJK", -249022, nil},
			{"U1", "2022-08", "15N", "15N", 0, []string{"QJK"}},
			{"U1", "2022-07", "", "QJK", -249022, []string{"15N"}},
			{"U2", "2022-08", "", "QJK", 1098429, nil},
			{"U2", "2022-08", "15N", "15N", 0, []string{"QJK"}},
			{"U3", "2022-08", "", "QJK", 0, nil},
			{"U3", "2022-08", "QJK", "QJK", 0, nil},
			{"U3", "2022-08", "15N", "15N", 0, nil},
			{"U3", "2022-23", "", "QJK", 0, []string{"15N"}},
			{"U4", "2022-08", "", "QJK", 0, nil},
			{"U4", "2022-08", "15N", "15N", 0, []string{"QJK"}},
		} {
			got := s.account(t, c.pcn, c.period, c.asked)
			require.Equal(t, []any{c.code + "-" + c.pcn + "-" + c.period, c.closing}, []any{got.GetStatementId(), got.GetClosingPence()})
			require.Equal(t, c.others, got.GetAlsoOwedBy(), "%s asks for %q", got.GetStatementId(), c.asked)
		}
		require.Equal(t, "Heir QJK", s.account(t, "U3", "2022-08", "").GetCommissionerName())
	})
}

// TestStatement_RestoresADebtWhereItsPaymentIsIssuedAgain has a payment pass of which a debt was taken off.
func TestStatement_RestoresADebtWhereItsPaymentIsIssuedAgain(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.closes(t, "15N", "2022-04", 1, payFor("U1", "P1", -40), payFor("U3", "P3", 1))
		s.pays(t, april1)
		const august1 = "15N-2022-08-1"
		s.closes(t, "15N", "2022-08", 1, payFor("U1", "P1", 100))
		s.pays(t, august1)
		s.succeeds(t, "15N", "QJK", "2022-07-01")
		_, err := s.confirm(t.Context(), s.next(), "QJK", confirmations([3]string{august1 + "-P1", "REJECTED", "0.60"}))
		require.NoError(t, err)
		for range 2 {
			require.Equal(t, []int64{0, 60, -60, 0, 0}, sums(s.account(t, "U1", "2022-23", "15N")))
			require.Equal(t, []int64{0, 0, 60, 0, 60}, sums(s.account(t, "U1", "2022-23", "QJK")))
			_, err = s.reissue(t, august1+"-P1")
			require.True(t, err == nil || reason(err) == "PAYMENT_NOT_REJECTED")
		}
		require.Equal(t, []int64{-40, 100, -60, 0, 0}, sums(s.account(t, "U1", "2022-08", "15N")), "the debt passed with its payment, not before")
		require.Equal(t, int64(40), s.account(t, "U1", "2022-23", "QJK").GetRecoveries()[0].GetOutstandingPence())
		require.Empty(t, s.account(t, "U1", "2022-23", "15N").GetRecoveries())
	})
}

// accounts is a random course for two commissioners, three PCNs and two payees who serve them all.
type accounts struct {
	*rapid.T

	s        *suite
	month    int
	sequence map[string]int32
	least    int64 // that a line may be
}

func (a *accounts) current() string { return fmt.Sprintf("2022-%02d", 4+a.month) }

// may makes a call that may be refused.
func (a *accounts) may(_ any, err error) bool {
	if err != nil {
		require.NotEmpty(a, reason(err), err)
	}
	return err == nil
}

func (a *accounts) pick(label string, of ...string) string {
	return rapid.SampledFrom(of).Draw(a.T, label)
}

func (a *accounts) close() {
	code := a.pick("commissioner", "15N", "QJK")
	lines := make([]*typev1.PaymentLine, rapid.IntRange(1, 5).Draw(a.T, "lines"))
	for i := range lines {
		pence := rapid.Int64Range(a.least, 1000).Filter(func(n int64) bool { return n != 0 }).Draw(a.T, "pence")
		lines[i] = in(a.pick("place", "L1", "L1", "L2"), payFor(a.pick("pcn", "U1", "U2", "U3"), a.pick("payee", "P1", "P2"), pence))
	}
	a.sequence[code+a.current()]++
	of := closed(a, code, a.current(), a.sequence[code+a.current()], lines...)
	for _, part := range parts(of, schedule.MaxEventBytes) {
		require.Equal(a, []inbox.Verdict{inbox.Settled}, a.s.service.Inbox().Take(context.Background(), []inbox.Delivery{a.s.delivery(a, code, part)}))
	}
}

// pay takes a run to an export, with a payee on hold at times once it is approved.
func (a *accounts) pay() {
	ctx := context.Background()
	for _, found := range a.s.texts(a, `SELECT run_id || '|' || version FROM runs WHERE state = 1 ORDER BY run_id`) {
		id, tag, _ := strings.Cut(found, "|")
		run, err := a.s.payments.SubmitRun(a.s.as(ctx, "maker"), &paymentsv1.SubmitRunRequest{
			RequestId: a.s.next(), RunId: id, Etag: tag, MissingFunds: []*paymentsv1.MissingFund{{Fund: typev1.Fund_FUND_CORE, Reason: "later"}},
		})
		if !a.may(run, err) {
			continue
		}
		_, err = a.s.payments.ApproveRun(a.s.as(ctx, "ann"), &paymentsv1.ApproveRunRequest{RequestId: a.s.next(), RunId: id, Etag: run.GetEtag()})
		require.NoError(a, err)
		if rapid.Bool().Draw(a.T, "held") {
			a.may(a.s.payments.PlaceHold(a.s.as(ctx, "maker"), &paymentsv1.PlaceHoldRequest{
				RequestId: a.s.next(), CommissionerCode: id[:3], PayeeCode: a.pick("payee", "P1", "P2"), Reason: "asked",
			}))
		}
		a.hold()
		a.may(a.s.payments.ExportRun(a.s.as(ctx, "maker"), &paymentsv1.ExportRunRequest{RequestId: a.s.next(), RunId: id, Format: variation}))
	}
}

func (a *accounts) release() {
	for _, found := range a.s.texts(a, `SELECT hold_id || '|' || version FROM holds WHERE released_at = 0 ORDER BY hold_id`) {
		id, tag, _ := strings.Cut(found, "|")
		a.may(a.s.payments.ReleaseHold(a.s.as(context.Background(), "ann"), &paymentsv1.ReleaseHoldRequest{RequestId: a.s.next(), HoldId: id, Etag: tag, Reason: "answered"}))
	}
}

// confirm has the payer pay or reject everything that waits, and return some that it paid, and issues again what was rejected.
func (a *accounts) confirm() {
	ctx := context.Background()
	for _, found := range a.s.texts(a, `SELECT payment_id || '|' || commissioner_code || '|' || amount_pence || '|' || state FROM payments WHERE state IN (1, 2) ORDER BY payment_id`) {
		cells := strings.Split(found, "|")
		pence, err := strconv.Atoi(cells[2])
		require.NoError(a, err)
		status := a.pick("status", "PAID", "PAID", "REJECTED")
		if cells[3] == "2" && status == "PAID" {
			continue
		}
		_, err = a.s.confirm(ctx, a.s.next(), cells[1], confirmations([3]string{cells[0], status, fmt.Sprintf("%d.%02d", pence/100, pence%100)}))
		require.NoError(a, err)
		if status == "PAID" {
			continue
		}
		a.hold()
		p, err := a.s.payments.GetPayment(a.s.as(ctx, "auditor"), &paymentsv1.GetPaymentRequest{PaymentId: cells[0]})
		require.NoError(a, err)
		a.may(a.s.payments.ReissuePayment(a.s.as(ctx, "maker"), &paymentsv1.ReissuePaymentRequest{RequestId: a.s.next(), PaymentId: cells[0], Etag: p.GetEtag(), Reason: "again"}))
	}
}

func (a *accounts) plan() {
	a.may(a.s.payments.PlanRecovery(a.s.as(context.Background(), "ann"), &paymentsv1.PlanRecoveryRequest{
		RequestId: a.s.next(), CommissionerCode: a.pick("commissioner", "15N", "QJK"), FromMonth: "2022-04", PayeeCode: a.pick("payee", "P1", "P2"),
		InstalmentPence: rapid.Int64Range(0, 300).Draw(a.T, "instalment"), Reason: "agreed",
	}))
}

func (a *accounts) move() {
	from := a.pick("giver", "15N", "15N", "QJK")
	places := rapid.SampledFrom([][]string{nil, nil, {"L1"}}).Draw(a.T, "places")
	a.may(a.s.move(context.Background(), from, map[string]string{"15N": "QJK", "QJK": "QU9"}[from], a.current()+"-01", places...))
}

// hold holds the statements against the ledger.
func (a *accounts) hold() {
	sums, amounts := make(map[string]int64), make(map[string]int64)
	closing, debts := make(map[string]int64), make(map[string]int64)
	for _, pcn := range []string{"U1", "U2", "U3"} {
		for _, code := range []string{"15N", "QJK", "QU9"} {
			got, err := a.s.payments.GetStatement(a.s.as(context.Background(), "auditor"), &paymentsv1.GetStatementRequest{
				PcnCode: pcn, CommissionerCode: code, Period: "2022-23",
			})
			if err != nil {
				require.Equal(a, "STATEMENT_EMPTY", reason(err), err)
				continue
			}
			require.Equal(a, code+"-"+pcn+"-2022-23", got.GetStatementId())
			_, err = a.s.payments.DownloadStatementCsv(a.s.as(context.Background(), "auditor"), &paymentsv1.DownloadStatementCsvRequest{
				PcnCode: pcn, CommissionerCode: code, Period: "2022-23",
			})
			require.NoError(a, err)
			closing[code] += got.GetClosingPence()
			for _, r := range got.GetRecoveries() {
				debts[code] += r.GetOutstandingPence()
			}
			for _, p := range got.GetSent() {
				key := p.GetPayment().GetRunId() + "-" + p.GetPayment().GetPayee().GetCode()
				sums[key], amounts[key] = sums[key]+p.GetPcnPence(), p.GetPayment().GetAmountPence()
			}
		}
	}
	require.Equal(a, amounts, sums, "the PCNs' parts are not the payments")
	open, owed := make(map[string]int64), make(map[string]int64)
	for account, balance := range a.s.books(a).balances() {
		switch account.stage {
		case recovered:
			owed[account.commissioner] += balance
			open[account.commissioner] -= balance
		case accrued, toPay:
			open[account.commissioner] -= balance
		}
	}
	for _, code := range []string{"15N", "QJK", "QU9"} {
		require.Equal(a, open[code], closing[code], "the PCNs' balances with %s are not its ledger's", code)
		require.GreaterOrEqual(a, debts[code], owed[code], "less is shown to be recovered by %s than is", code)
	}
}

// follow holds the statements of the months against each other, and against what may be owed by a PCN.
func (a *accounts) follow() {
	ask := func(pcn, code, period string) *paymentsv1.Statement {
		got, err := a.s.payments.GetStatement(a.s.as(context.Background(), "auditor"), &paymentsv1.GetStatementRequest{PcnCode: pcn, CommissionerCode: code, Period: period})
		if err != nil {
			require.Equal(a, "STATEMENT_EMPTY", reason(err), err)
		}
		return got
	}
	for _, pcn := range []string{"U1", "U2", "U3"} {
		for _, code := range []string{"15N", "QJK", "QU9"} {
			var closing int64
			for month := 4; month <= 9; month++ {
				period := fmt.Sprintf("2022-%02d", month)
				got := ask(pcn, code, period)
				require.Equal(a, closing, got.GetOpeningPence(), "%s with %s in %s goes on from another month", pcn, code, period)
				closing = got.GetClosingPence()
				below := a.s.texts(a, fmt.Sprintf(`SELECT CAST(COALESCE(SUM(l.amount_pence), 0) AS TEXT) FROM lines l JOIN items i ON i.line_id = l.line_id
					WHERE l.amount_pence < 0 AND l.pcn_code = '%s' AND l.month <= '%s'`, pcn, period))
				least, err := strconv.ParseInt(below[0], 10, 64)
				require.NoError(a, err)
				require.GreaterOrEqual(a, closing, least, "%s owes %s in %s what nobody took off", pcn, code, period)
			}
			require.Equal(a, ask(pcn, code, "2022-23").GetClosingPence(), closing, "%s with %s", pcn, code)
		}
	}
}

// TestStatement_AgreesWithTheLedger plays out random courses.
func TestStatement_AgreesWithTheLedger(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := openSuite(t, open)
				defer func() { require.NoError(t, s.db.Close()) }()
				a := &accounts{T: rt, s: s, sequence: make(map[string]int32), least: rapid.SampledFrom([]int64{-800, 1}).Draw(rt, "least")}
				actions := map[string]func(){
					"close": a.close, "pay": a.pay, "release": a.release, "confirm": a.confirm, "plan": a.plan, "move": a.move,
					"turn": func() { a.month = min(a.month+1, 5) },
				}
				order := strings.Split("close,close,close,pay,pay,release,confirm,confirm,plan,turn,turn,close,pay,move,move", ",")
				for range 20 {
					actions[a.pick("action", order...)]()
					a.hold()
				}
				a.follow()
			})
		})
	}
}
