package payments_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// life is a random course of events and commands for two commissioners, of which the second may take over from the first.
type life struct {
	*rapid.T

	s        *suite
	codes    []string
	sequence map[string]int32
	lines    map[string][]*typev1.PaymentLine // scheduled before, by commissioner
	waiting  []inbox.Delivery
	taken    []inbox.Delivery
	done     map[string]int // commands and refusals, by name
	format   paymentsv1.Format
}

// run is a run as the database has it.
type run struct{ id, etag string }

// steps is how many a random life has at most.
const steps = 120

var months = []string{"2022-04", "2022-05", "2022-06"}

// lives plays out random lives and holds the books against each step.
func lives(rt *rapid.T, s *suite) {
	l := &life{
		T: rt, s: s, codes: []string{"15N", "QJK"}, sequence: make(map[string]int32),
		lines: make(map[string][]*typev1.PaymentLine), done: make(map[string]int),
		format: rapid.SampledFrom([]paymentsv1.Format{variation, journal, journal}).Draw(rt, "format"),
	}
	for _, code := range l.codes {
		s.codedFor(rt, code)
		l.step("policy", func(ctx context.Context) error {
			_, err := s.payments.SetSetting(s.as(ctx, "ann"), &paymentsv1.SetSettingRequest{
				RequestId: s.next(), CommissionerCode: code, FromMonth: "2022-04", Reason: "scheme", Choice: &paymentsv1.SetSettingRequest_ApprovalPolicy{
					ApprovalPolicy: &paymentsv1.ApprovalPolicy{SecondApprovalAbovePence: 60_000, Limits: []*paymentsv1.ApproverLimit{{Subject: "carl", LimitPence: 1000}}},
				},
			})
			return err
		})
	}
	actions := map[string]func(){
		"rest": func() {}, "close": l.close, "deliver": l.deliver, "hold": l.hold, "release": l.release, "assemble": l.assemble, "submit": l.submit,
		"approve": l.approve, "reject": l.reject, "withdraw": l.withdraw, "export": l.export, "export at once": l.exportAtOnce, "inform": l.inform,
		"confirm": l.confirm, "reissue": l.reissue, "plan": l.plan, "move": l.move,
	}
	order := strings.Split("rest,close,close,close,deliver,deliver,deliver,hold,release,release,assemble,submit,submit,submit,submit,approve,approve,approve,"+
		"approve,approve,approve,reject,withdraw,export,export,export,export at once,inform,confirm,confirm,confirm,reissue,reissue,reissue,plan,move", ",")
	for range steps {
		actions[rapid.SampledFrom(order).Draw(rt, "action")]()
	}
	l.take(l.waiting)
	require.Zero(rt, s.count(rt, "inbox_held"), "every event has had its effect")
	require.Zero(rt, s.count(rt, "schedule_parts"))
	s.books(rt).hold(rt)
	l.ledgersAgree()
	rt.Log(l.done)
}

// rarely is true one time in n.
func (l *life) rarely(n int, label string) bool {
	return rapid.SampledFrom(append(make([]bool, n-1), true)).Draw(l.T, label)
}

// step makes one command. It succeeds or is refused; refused, it has changed nothing. The books hold after it.
func (l *life) step(name string, command func(ctx context.Context) error) {
	before := l.s.dump(l)
	err := command(context.Background())
	if err != nil {
		require.Contains(l, []codes.Code{
			codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists, codes.PermissionDenied,
		}, status.Code(err), "%s: %v", name, err)
		require.NotEmpty(l, reason(err), "%s: %v", name, err)
		require.Equal(l, before, l.s.dump(l), "%s was refused and left a trace: %v", name, err)
		name += " " + reason(err)
	}
	l.done[name]++
	b := l.s.books(l)
	b.hold(l)
	l.trialBalance(b)
}

// ledgersAgree holds that who loads every journal has each payment once in the payables control, and each line once as expense: but for
// those issued again that no journal has taken back yet.
func (l *life) ledgersAgree() {
	if l.format != journal {
		return
	}
	got := make(map[string]int64)
	for _, content := range l.s.texts(l, `SELECT content FROM exports WHERE instructs AND size_bytes > 0`) {
		for subjective, pence := range debits(l, content) {
			got[subjective] += pence
		}
	}
	sum := func(query string) (pence int64) {
		for _, text := range l.s.texts(l, `SELECT CAST(COALESCE(SUM(pence), 0) AS BIGINT) FROM (`+query+`) AS found`) {
			n, err := strconv.ParseInt(text, 10, 64)
			require.NoError(l, err)
			pence += n
		}
		return pence
	}
	require.Equal(l, -sum(`SELECT amount_pence AS pence FROM payments WHERE taken_back_by = ''`), got["CONTROL"], "what the payables control owes")
	require.Equal(l, sum(`SELECT l.amount_pence AS pence FROM items i JOIN lines l ON l.line_id = i.line_id WHERE i.payment_id <> ''`)+
		sum(`SELECT l.amount_pence AS pence FROM items i JOIN lines l ON l.line_id = i.line_id JOIN exports e ON e.run_id = i.run_id AND e.instructs WHERE i.state = `+strconv.Itoa(carried))+
		sum(`SELECT f.amount_pence AS pence FROM run_lines f JOIN payments y ON y.run_id = f.run_id AND y.payee_code = f.payee_code WHERE y.state = 4 AND y.taken_back_by = ''`),
		got["EXPENSE"], "each line once")
	require.Zero(l, got["EXPENSE"]+got["RECOVERY"]+got["CONTROL"])
}

// trialBalance holds that the accounts the service shows are the sums of their entries.
func (l *life) trialBalance(b *books) {
	code := rapid.SampledFrom(l.codes).Draw(l.T, "books of")
	got, err := l.s.payments.GetTrialBalance(testkit.As(context.Background(), person("auditor")), &paymentsv1.GetTrialBalanceRequest{
		CommissionerCode: code, ByPayee: true, PageSize: 1000,
	})
	require.NoError(l, err)
	require.Equal(l, got.GetDebitPence(), got.GetCreditPence())
	shown := make(map[account]int64)
	for _, balance := range got.GetBalances() {
		shown[account{code, balance.GetAccount().GetPayeeCode(), int(balance.GetAccount().GetStage())}] = balance.GetBalancePence()
	}
	want := b.balances()
	for a := range want {
		if a.commissioner != code {
			delete(want, a)
		}
	}
	require.Equal(l, want, shown)
}

// one draws a row of a query and cuts it at the first bar; without rows it returns false.
func (l *life) one(label, query string) (id, tag string, found bool) {
	rows := l.s.texts(l, query)
	if len(rows) == 0 {
		return "", "", false
	}
	id, tag, _ = strings.Cut(rapid.SampledFrom(rows).Draw(l.T, label), "|")
	return id, tag, true
}

// run draws a run, mostly of the states given, with a tag that mostly is its own.
func (l *life) run(states string) (r run, found bool) {
	if l.rarely(10, "any state") {
		states = "1, 2, 3, 4, 5, 6, 7"
	}
	r.id, r.etag, found = l.one("run", `SELECT run_id || '|' || version FROM runs r WHERE state IN (`+states+`)
		AND (state <> 1 OR EXISTS (SELECT 1 FROM items i WHERE i.run_id = r.run_id)) ORDER BY run_id`)
	if l.rarely(20, "stale") {
		r.etag = rapid.SampledFrom([]string{"", "0", "99"}).Draw(l.T, "tag")
	}
	return r, found
}

// close has a fund close a month once more, with corrections of what it scheduled before. Its events are delivered later.
func (l *life) close() {
	code, month := rapid.SampledFrom(l.codes).Draw(l.T, "commissioner"), rapid.SampledFrom(months).Draw(l.T, "month")
	l.sequence[code+month]++
	var lines []*typev1.PaymentLine
	for range rapid.IntRange(0, 6).Draw(l.T, "lines") {
		line := pay(rapid.SampledFrom([]string{"P1", "P2", "P3", "P1", "P2", "P3", "P1", "P2", "P3", ""}).Draw(l.T, "payee"), rapid.Int64Range(1, 30_000).Draw(l.T, "pence"))
		line.LocationCode = rapid.SampledFrom([]string{"L1", "L2"}).Draw(l.T, "location")
		switch rapid.SampledFrom([]string{"", "", "", "", "", "reconcile", "held", "negative", "negative"}).Draw(l.T, "sort") {
		case "reconcile":
			line.Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
		case "held":
			line.Holds = []*typev1.Hold{{Reason: "RATE_DOUBTFUL", Remedy: "ask"}}
		case "negative":
			line.AmountPence = -line.GetAmountPence()
		}
		lines = append(lines, line)
	}
	if before := l.lines[code]; len(before) > 0 && rapid.Bool().Draw(l.T, "corrects") {
		was := rapid.SampledFrom(before).Draw(l.T, "corrected")
		line := pay(was.GetPayee().GetCode(), -was.GetAmountPence())
		line.LocationCode, line.Instruction, line.AdjustsLineId = was.GetLocationCode(), was.GetInstruction(), was.GetLineId()
		line.AdjustmentCause = typev1.AdjustmentCause_ADJUSTMENT_CAUSE_RATE
		lines = append(lines, line)
	}
	schedule := closed(l, code, month, l.sequence[code+month], lines...)
	l.lines[code] = append(l.lines[code], schedule.GetLines()...)
	for _, part := range parts(schedule, rapid.SampledFrom([]int{1, 300, 100_000}).Draw(l.T, "bytes of a part")) {
		l.waiting = append(l.waiting, l.s.delivery(l, code, part))
	}
}

// deliver hands over some of the events that wait, in any order, and some that came before.
func (l *life) deliver() {
	if len(l.waiting) == 0 {
		return
	}
	shuffled := rapid.Permutation(l.waiting).Draw(l.T, "order")
	n := rapid.IntRange(1, len(shuffled)).Draw(l.T, "how many")
	some := slices.Clone(shuffled[:n])
	l.waiting = shuffled[n:]
	if len(l.taken) > 0 && rapid.Bool().Draw(l.T, "again") {
		some = append(some, rapid.SampledFrom(l.taken).Draw(l.T, "taken before"))
	}
	l.take(some)
	l.taken = append(l.taken, some...)
}

func (l *life) take(some []inbox.Delivery) {
	l.step("take", func(ctx context.Context) error {
		for i, verdict := range l.s.service.Inbox().Take(ctx, some) {
			require.Equal(l, inbox.Settled, verdict, some[i].Header)
		}
		return nil
	})
}

func (l *life) hold() {
	req := &paymentsv1.PlaceHoldRequest{RequestId: l.s.next(), CommissionerCode: rapid.SampledFrom(l.codes).Draw(l.T, "commissioner"), Reason: "asked"}
	if rapid.Bool().Draw(l.T, "of a payee") {
		req.PayeeCode = rapid.SampledFrom([]string{"P1", "P2", "P3"}).Draw(l.T, "payee")
	} else {
		if req.LineId, _, _ = l.one("line", `SELECT line_id FROM lines ORDER BY line_id`); req.GetLineId() == "" {
			return
		}
	}
	l.step("hold", func(ctx context.Context) error {
		_, err := l.s.payments.PlaceHold(l.s.as(ctx, "maker"), req)
		return err
	})
}

func (l *life) release() {
	id, etag, found := l.one("hold", `SELECT hold_id || '|' || version FROM holds ORDER BY released_at, placed_at, payee_code, line_id`)
	if !found {
		return
	}
	l.step("release", func(ctx context.Context) error {
		_, err := l.s.payments.ReleaseHold(l.s.as(ctx, "ann"), &paymentsv1.ReleaseHoldRequest{RequestId: l.s.next(), HoldId: id, Etag: etag, Reason: "answered"})
		return err
	})
}

func (l *life) assemble() {
	req := &paymentsv1.AssembleRunRequest{
		RequestId: l.s.next(), CommissionerCode: rapid.SampledFrom(l.codes).Draw(l.T, "commissioner"), Month: rapid.SampledFrom(months).Draw(l.T, "month"),
	}
	l.step("assemble", func(ctx context.Context) error {
		_, err := l.s.payments.AssembleRun(l.s.as(ctx, "maker"), req)
		return err
	})
}

func (l *life) submit() {
	r, found := l.run("1")
	if !found {
		return
	}
	by := rapid.SampledFrom([]string{"maker", "maker", "ann"}).Draw(l.T, "by")
	req := &paymentsv1.SubmitRunRequest{RequestId: l.s.next(), RunId: r.id, Etag: r.etag}
	if !l.rarely(4, "waits for core") {
		req.MissingFunds = []*paymentsv1.MissingFund{{Fund: typev1.Fund_FUND_CORE, Reason: "later"}}
	}
	l.step("submit", func(ctx context.Context) error {
		_, err := l.s.payments.SubmitRun(l.s.as(ctx, by), req)
		return err
	})
}

func (l *life) approve() {
	r, found := l.run("2")
	if !found {
		return
	}
	by := rapid.SampledFrom([]string{"maker", "ann", "ann", "bob", "bob", "carl"}).Draw(l.T, "by")
	l.step("approve", func(ctx context.Context) error {
		_, err := l.s.payments.ApproveRun(l.s.as(ctx, by), &paymentsv1.ApproveRunRequest{RequestId: l.s.next(), RunId: r.id, Etag: r.etag})
		if maker := l.s.books(l).runs[r.id].maker; maker == by {
			require.Error(l, err, "the maker has approved")
		}
		return err
	})
}

func (l *life) reject() {
	r, found := l.run("2")
	if !found {
		return
	}
	by := rapid.SampledFrom([]string{"maker", "ann", "bob"}).Draw(l.T, "by")
	l.step("reject", func(ctx context.Context) error {
		_, err := l.s.payments.RejectRun(l.s.as(ctx, by), &paymentsv1.RejectRunRequest{RequestId: l.s.next(), RunId: r.id, Etag: r.etag, Reason: "doubt"})
		return err
	})
}

func (l *life) withdraw() {
	r, found := l.run("2")
	if !found {
		return
	}
	l.step("withdraw", func(ctx context.Context) error {
		_, err := l.s.payments.WithdrawRun(l.s.as(ctx, "maker"), &paymentsv1.WithdrawRunRequest{RequestId: l.s.next(), RunId: r.id, Etag: r.etag, Reason: "doubt"})
		return err
	})
}

func (l *life) exported(ctx context.Context, id string, format paymentsv1.Format) error {
	_, err := l.s.payments.ExportRun(l.s.as(ctx, "maker"), &paymentsv1.ExportRunRequest{RequestId: l.s.next(), RunId: id, Format: format})
	return err
}

func (l *life) export() {
	r, found := l.run("3, 3, 4")
	if !found {
		return
	}
	l.step("export", func(ctx context.Context) error { return l.exported(ctx, r.id, l.format) })
}

func (l *life) inform() {
	r, found := l.run("4, 5")
	if !found {
		return
	}
	l.step("inform", func(ctx context.Context) error { return l.exported(ctx, r.id, remittance) })
}

// exportAtOnce has two persons export one run at the same time: of an approved run just one succeeds.
func (l *life) exportAtOnce() {
	r, found := l.run("3")
	if !found {
		return
	}
	l.step("export at once", func(ctx context.Context) error {
		var errs [2]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = l.exported(ctx, r.id, l.format) })
		}
		wg.Wait()
		require.True(l, errs[0] != nil || errs[1] != nil, "both have sent the payments of %s", r.id)
		if errs[0] == nil {
			return nil
		}
		return errs[1]
	})
}

// confirm imports a file on payments of one commissioner, with rows that fit nothing among them.
func (l *life) confirm() {
	code := rapid.SampledFrom(l.codes).Draw(l.T, "commissioner")
	ids := l.s.texts(l, `SELECT payment_id || '|' || amount_pence FROM payments WHERE commissioner_code = '`+code+`' ORDER BY payment_id`)
	ids = append(ids, "none|100")
	rows := make([][3]string, 0, 4)
	for range rapid.IntRange(1, 4).Draw(l.T, "rows") {
		id, amount, _ := strings.Cut(rapid.SampledFrom(ids).Draw(l.T, "payment"), "|")
		pence, err := strconv.Atoi(amount)
		require.NoError(l, err)
		if l.rarely(8, "another amount") {
			pence++
		}
		rows = append(rows, [3]string{id, rapid.SampledFrom([]string{"PAID", "PAID", "REJECTED", "RETURNED"}).Draw(l.T, "status"), fmt.Sprintf("%d.%02d", pence/100, pence%100)})
	}
	l.step("confirm", func(ctx context.Context) error {
		_, err := l.s.confirm(ctx, l.s.next(), code, confirmations(rows...))
		return err
	})
}

func (l *life) reissue() {
	states := rapid.SampledFrom([]string{"3", "3", "3", "1, 2, 3, 4"}).Draw(l.T, "states")
	id, etag, found := l.one("payment", `SELECT payment_id || '|' || version FROM payments WHERE state IN (`+states+`) ORDER BY payment_id`)
	if !found {
		return
	}
	l.step("reissue", func(ctx context.Context) error {
		_, err := l.s.payments.ReissuePayment(l.s.as(ctx, "maker"), &paymentsv1.ReissuePaymentRequest{RequestId: l.s.next(), PaymentId: id, Etag: etag, Reason: "new account"})
		return err
	})
}

func (l *life) plan() {
	payee, code, found := l.one("debtor", `SELECT payee_code || '|' || commissioner_code FROM entries WHERE stage = 6 ORDER BY posting_id, number`)
	if !found || l.rarely(5, "anybody") {
		payee, code = "P1", rapid.SampledFrom(l.codes).Draw(l.T, "commissioner")
	}
	req := &paymentsv1.PlanRecoveryRequest{
		RequestId: l.s.next(), CommissionerCode: code, FromMonth: rapid.SampledFrom(months).Draw(l.T, "month"), PayeeCode: payee, InstalmentPence: rapid.Int64Range(0, 5000).Draw(l.T, "instalment"), Reason: "agreed",
	}
	l.step("plan", func(ctx context.Context) error {
		_, err := l.s.payments.PlanRecovery(l.s.as(ctx, "ann"), req)
		return err
	})
}

// move has one commissioner take over from the other, in some places or altogether.
func (l *life) move() {
	if !l.rarely(3, "is abolished") {
		return
	}
	from, to := l.codes[0], l.codes[1]
	if l.rarely(5, "back") {
		from, to = to, from
	}
	day := rapid.SampledFrom([]string{"2022-04-30", "2022-07-01"}).Draw(l.T, "day")
	places := rapid.SampledFrom([][]string{nil, nil, {"L1"}}).Draw(l.T, "places")
	l.step("move", func(ctx context.Context) error {
		_, err := l.s.move(ctx, from, to, day, places...)
		return err
	})
}

// TestLedger_HoldsThroughRandomLives goes through a few lives on each store; RAPID_CHECKS=1000 goes through as many.
func TestLedger_HoldsThroughRandomLives(t *testing.T) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				s := openSuite(t, open)
				defer func() { require.NoError(t, s.db.Close()) }()
				lives(rt, s)
			})
		})
	}
}
