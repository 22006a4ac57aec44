package payments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// largestMovements is how many a variance report explains unless asked otherwise.
	largestMovements = 10
	// maxCompared is the most months compared at once.
	maxCompared = 24
)

// basisOf reads what a line rests on; nil where it does not say.
func basisOf(line *typev1.PaymentLine) (*rules.LineBasis, error) {
	in := line.GetBasis()
	if len(in.GetFactors()) == 0 {
		return nil, nil //nolint:nilnil // not known
	}
	out := &rules.LineBasis{Instalments: int(in.GetInstalments()), Convention: in.GetConvention()}
	if in.GetShare() != "" {
		share, err := money.ParseExact(in.GetShare())
		if err != nil {
			return nil, fault.Bug("share of line %s: %v", line.GetLineId(), err)
		}
		out.Share = share
	}
	for _, f := range in.GetFactors() {
		rate, err := money.ParseExact(f.GetRateGbp())
		if err != nil {
			return nil, fault.Bug("rate of line %s: %v", line.GetLineId(), err)
		}
		quantity, err := money.ParseExact(f.GetQuantity())
		if err != nil {
			return nil, fault.Bug("quantity of line %s: %v", line.GetLineId(), err)
		}
		out.Factors = append(out.Factors, rules.LineFactor{RateGBP: rate, Per: f.GetPer(), Quantity: quantity, RateID: f.GetRateId()})
	}
	return out, nil
}

func causeName(cause typev1.AdjustmentCause) string {
	if cause == typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPECIFIED {
		return ""
	}
	return cause.String()[len("ADJUSTMENT_CAUSE_"):]
}

// varianceLine writes a line for a comparison of months, and notes the name of its PCN.
func varianceLine(l store.LineRow, names map[string]string) (rules.VarianceLine, error) {
	line := l.Line
	names[line.GetPcnCode()] = line.GetPcnName()
	month, err := period.ParseMonth(line.GetForMonth())
	if err != nil {
		return rules.VarianceLine{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	basis, err := basisOf(line)
	return rules.VarianceLine{
		LineID: line.GetLineId(), PCNCode: line.GetPcnCode(), PracticeCode: line.GetPracticeCode(), PayeeCode: line.GetPayee().GetCode(),
		PaymentCode: line.GetPaymentCode(), Item: line.GetSourceItem(), ForMonth: month, Amount: money.Pence(line.GetAmountPence()),
		Adjusts: line.GetAdjustsLineId(), Cause: causeName(line.GetAdjustmentCause()), Basis: basis,
	}, err
}

// GetVariance compares a run with last month and with the year's amounts.
func (s *Service) GetVariance(ctx context.Context, req *paymentsv1.GetVarianceRequest) (*paymentsv1.Variance, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	v := varied{own: make(map[string]money.Pence), names: make(map[string]string), seen: make(map[string]bool)}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		run, err := wholeRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		return v.gather(ctx, q, run)
	})
	if err != nil {
		return nil, err
	}
	report, err := rules.Variance(&v.in)
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.Variance{RunId: req.GetRunId(), RunIds: v.runs, LastMonthRunIds: v.before, Total: sumToProto(&report.Totals)}
	largest := int(req.GetLargest())
	if largest == 0 {
		largest = largestMovements
	}
	for _, m := range report.Largest(largest) {
		out.Largest = append(out.Largest, v.toProto(&m))
	}
	for i := range report.Payments {
		sum := sumToProto(&report.Payments[i].VarianceTotals)
		sum.PaymentCode = report.Payments[i].PaymentCode
		out.Payments = append(out.Payments, sum)
	}
	for i := range report.Movements {
		m := &report.Movements[i]
		own := int64(v.own[movementName(m.PCNCode, m.PaymentCode)])
		out.Total.ThisRunPence += own
		at := slices.IndexFunc(out.GetPayments(), func(p *paymentsv1.VarianceRow) bool { return p.GetPaymentCode() == m.PaymentCode })
		out.Payments[at].ThisRunPence += own
	}
	key := func(m rules.Movement) string { return movementName(m.PCNCode, m.PaymentCode) }
	rows := slices.DeleteFunc(report.Movements, func(m rules.Movement) bool { return after != "" && key(m) <= after })
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for i := range rows {
		out.Rows = append(out.Rows, v.toProto(&rows[i]))
	}
	return out, nil
}

// movementName names what a row of a variance report is of.
func movementName(pcn, payment string) string { return pcn + " " + payment }

// varied is what a run is compared with.
type varied struct {
	in           rules.VarianceInput
	runs, before []string               // runs of the month, and of the one before
	own          map[string]money.Pence // what the run itself comes to, by movement
	names        map[string]string      // of PCNs
	seen         map[string]bool        // lines of the month
}

// gather reads the lines of a run and of the month's runs before it, what last month's runs came to, and the year's amounts.
func (v *varied) gather(ctx context.Context, q sqldb.Querier, run store.RunRow) error {
	v.in.Month = run.Month
	err := store.EachLine(ctx, q, linesOf(run, share{}), func(l store.LineRow) error {
		line, err := varianceLine(l, v.names)
		v.in.Lines, v.seen[line.LineID] = append(v.in.Lines, line), true
		v.own[movementName(line.PCNCode, line.PaymentCode)] += line.Amount
		return err
	})
	if err != nil {
		return err
	}
	bodies, err := predecessors(ctx, q, run.CommissionerCode)
	if err != nil {
		return err
	}
	bodies = append(bodies, run.CommissionerCode)
	// A later run must not change the report that an approver has seen.
	sofar, err := liveRuns(ctx, q, bodies, run.Month, func(other store.RunRow) bool {
		return other.CommissionerCode != run.CommissionerCode || other.Number < run.Number
	})
	if err != nil {
		return err
	}
	before, err := liveRuns(ctx, q, bodies, run.Month.Add(-1), func(store.RunRow) bool { return true })
	if err != nil {
		return err
	}
	for _, other := range sofar {
		v.runs = append(v.runs, other.ID)
		if err := v.add(ctx, q, other, &v.in.Lines); err != nil {
			return err
		}
	}
	v.runs = append(v.runs, run.ID)
	for _, earlier := range before {
		v.before = append(v.before, earlier.ID)
		if err := v.add(ctx, q, earlier, &v.in.Previous); err != nil {
			return err
		}
	}
	v.in.First = len(before) == 0
	return v.entitle(ctx, q, bodies)
}

// liveRuns returns the wanted runs of a month that were neither rejected nor withdrawn.
func liveRuns(ctx context.Context, q sqldb.Querier, bodies []string, month period.Month, wanted func(store.RunRow) bool) ([]store.RunRow, error) {
	runs, err := store.Runs(ctx, q, store.RunFilter{Page: store.Page{Commissioners: bodies}, Month: month.String()})
	return slices.DeleteFunc(runs, func(r store.RunRow) bool { return r.State == rejected || r.State == withdrawn || !wanted(r) }), err
}

// add appends the lines that a run pays. What was kept back or issued again has left it, and a line on hold is not paid by it.
func (v *varied) add(ctx context.Context, q sqldb.Querier, run store.RunRow, into *[]rules.VarianceLine) error {
	held, err := holdsByTarget(ctx, q, run.CommissionerCode)
	if err != nil {
		return err
	}
	return store.EachLine(ctx, q, store.LineFilter{RunID: run.ID}, func(l store.LineRow) error {
		if v.seen[l.Line.GetLineId()] || len(held.of(l)) > 0 {
			return nil
		}
		line, err := varianceLine(l, v.names)
		*into = append(*into, line)
		return err
	})
}

// entitle reads the year's amounts of what is compared. What another system pays is stated too, and is in no run.
func (v *varied) entitle(ctx context.Context, q sqldb.Querier, bodies []string) error {
	paid := make(map[string]bool)
	for _, lines := range [][]rules.VarianceLine{v.in.Lines, v.in.Previous} {
		for i := range lines {
			paid[movementName(lines[i].PCNCode, lines[i].PaymentCode)] = true
		}
	}
	stated, err := store.Entitlements(ctx, q, store.EntitlementFilter{CommissionerCodes: bodies, Month: v.in.Month})
	for _, e := range stated {
		if paid[movementName(e.PCNCode, e.PaymentCode)] && !paidOnClaims(e.Fund) {
			v.in.Entitlements = append(v.in.Entitlements, entitlementRule(e))
		}
	}
	return err
}

func entitlementRule(e store.Entitlement) rules.Entitlement {
	return rules.Entitlement{
		PCNCode: e.PCNCode, PracticeCode: e.PracticeCode, PaymentCode: e.PaymentCode, FundingSource: fundName(e.Fund), Amount: e.Amount,
		From: e.From, To: e.To, Instalments: e.Instalments,
	}
}

func (v *varied) toProto(m *rules.Movement) *paymentsv1.VarianceRow {
	out := &paymentsv1.VarianceRow{
		PcnCode: m.PCNCode, PcnName: v.names[m.PCNCode], PaymentCode: m.PaymentCode, ThisMonthPence: int64(m.This), LastMonthPence: int64(m.Last),
		MovementPence: int64(m.Change), Sentence: m.Sentence(), ThisRunPence: int64(v.own[movementName(m.PCNCode, m.PaymentCode)]),
		Causes: effectsToProto(m.Effects), AgainstExpectedCauses: effectsToProto(m.Reasons),
	}
	if m.Entitled {
		out.ExpectedPence, out.AgainstExpectedPence = new(int64(m.Expected)), new(int64(m.Difference))
	}
	return out
}

func effectsToProto(effects []rules.Effect) (out []*paymentsv1.VarianceCause) {
	for _, e := range effects {
		out = append(out, &paymentsv1.VarianceCause{Cause: string(e.Cause), EffectPence: int64(e.Amount), Evidence: e.Sentence})
	}
	return out
}

// sumToProto writes the sum of some movements, without the part of the run itself.
func sumToProto(t *rules.VarianceTotals) *paymentsv1.VarianceRow {
	out := &paymentsv1.VarianceRow{
		ThisMonthPence: int64(t.This), LastMonthPence: int64(t.Last), MovementPence: int64(t.Change), Causes: causesToProto(t.Causes),
		AgainstExpectedCauses: causesToProto(t.Reasons), RowsWithoutExpected: int32(t.WithoutEntitlement), //nolint:gosec // bounded
	}
	if t.WithoutEntitlement < t.Movements {
		out.ExpectedPence, out.AgainstExpectedPence = new(int64(t.Expected)), new(int64(t.Difference))
	}
	return out
}

func causesToProto(totals []rules.CauseTotal) (out []*paymentsv1.VarianceCause) {
	for _, t := range totals {
		out = append(out, &paymentsv1.VarianceCause{Cause: string(t.Cause), EffectPence: int64(t.Amount)})
	}
	return out
}

// GetReconciliation compares what was expected with what was paid.
func (s *Service) GetReconciliation(ctx context.Context, req *paymentsv1.GetReconciliationRequest) (*paymentsv1.Reconciliation, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	from, err := parseMonth("from_month", req.GetFromMonth())
	if err != nil {
		return nil, err
	}
	to := from
	if req.GetToMonth() != "" {
		if to, err = parseMonth("to_month", req.GetToMonth()); err != nil {
			return nil, err
		}
	}
	if to.Before(from) || to.Sub(from) >= maxCompared {
		return nil, fault.New(fault.Invalid, rules.ReasonPeriodInvalid, "from %s to %s is no period of 1 to %d months", from, to, maxCompared).
			At("to_month", fmt.Sprintf("0 to %d months after from_month", maxCompared-1))
	}
	c := newComparison(req.GetCommissionerCode(), from, to)
	if err := s.db.Read(ctx, func(q sqldb.Querier) error { return c.gather(ctx, q) }); err != nil {
		return nil, err
	}
	report, err := rules.Reconcile(&c.in)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(report.Findings, func(f rules.Finding) bool { return !f.Touches(from, to) })
	out := &paymentsv1.Reconciliation{CommissionerCode: req.GetCommissionerCode(), FromMonth: from.String(), ToMonth: to.String(), Totals: reconcileTotals(found)}
	rows := make([]keyedFinding, 0, len(found))
	for i := range found {
		f := &found[i]
		if key := c.key(f); key > after && (f.Status != rules.Matched || !req.GetDifferencesOnly()) {
			rows = append(rows, keyedFinding{key, f})
		}
	}
	slices.SortFunc(rows, func(a, b keyedFinding) int { return cmp.Compare(a.key, b.key) })
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), func(k keyedFinding) string { return k.key })
	for _, row := range rows {
		out.Rows = append(out.Rows, c.toProto(row.finding))
	}
	return out, nil
}

// keyedFinding is a finding with its place in the list.
type keyedFinding struct {
	key     string
	finding *rules.Finding
}

// paidSource is where a paid row comes from.
type paidSource struct {
	id        string // of its own
	reference string // of the payment; may be empty
}

// confirmedKey is what the confirmation of a payment says of one payment code and month.
type confirmedKey struct {
	paymentID, paymentCode string
	month                  period.Month
}

// reference is one that only the lines confirmed together share.
func (k confirmedKey) reference() string {
	return k.paymentID + " " + k.paymentCode + " " + k.month.String()
}

// comparison gathers what is compared for some months. A month before and one after are read too, because payments run early and late,
// and all of a year for which an amount was stated.
type comparison struct {
	code        string
	from, to    period.Month // asked for
	first, last period.Month // read
	in          rules.ReconcileInput
	sources     []paidSource         // of the rows, in order
	pcns        map[string]string    // by line
	stated      map[string]bool      // payee, payment and month, or reference and payment, for which a file counts
	otherYears  map[string]bool      // payee, payment and month whose lines a row for another year is about
	overruled   map[string]bool      // payments whose confirmation does not count for every line
	confirmed   map[confirmedKey]int // place of its row
}

func newComparison(code string, from, to period.Month) *comparison {
	return &comparison{
		code: code, from: from, to: to, first: from.Add(-1), last: to.Add(1), pcns: make(map[string]string), stated: make(map[string]bool),
		otherYears: make(map[string]bool), overruled: make(map[string]bool), confirmed: make(map[confirmedKey]int),
	}
}

// gather reads the lines, and what was paid for them: by the files of paid amounts, and, where these do not name a payee's payment of
// a month, by the confirmations of the payments that were sent.
func (c *comparison) gather(ctx context.Context, q sqldb.Querier) error {
	// An amount for a year is compared with all of the year, and so with all that is stated for it.
	rows, err := store.PaidAmounts(ctx, q, c.code, c.from.FinancialYear().First().Add(-1), c.to.FinancialYear().Last().Add(1))
	if err != nil {
		return err
	}
	c.state(rows)
	held, err := holdsByTarget(ctx, q, c.code)
	if err != nil {
		return err
	}
	filter := store.LineFilter{Commissioners: []string{c.code}, FromMonth: c.first.String(), ToMonth: c.last.String()}
	if err := store.EachLine(ctx, q, filter, func(l store.LineRow) error { return c.expect(l, held.of(l)) }); err != nil {
		return err
	}
	if err := c.recover(ctx, q); err != nil {
		return err
	}
	entitled, err := store.Entitlements(ctx, q, store.EntitlementFilter{CommissionerCodes: []string{c.code}, Month: c.from})
	for _, e := range entitled {
		if !paidOnClaims(e.Fund) {
			c.in.Entitlements = append(c.in.Entitlements, entitlementRule(e))
		}
	}
	return err
}

// state takes the rows of files that touch the months read. A row for a year that the months asked for are not in is left out, with
// the lines it is about.
func (c *comparison) state(rows []store.PaidAmount) {
	touches := func(row *store.PaidAmount, from, to period.Month) bool {
		return !row.From.After(to) && !row.To.Before(from)
	}
	for i := range rows {
		if row := &rows[i]; touches(row, c.from, c.to) {
			if row.From.Before(c.first) {
				c.first = row.From
			}
			if row.To.After(c.last) {
				c.last = row.To
			}
		}
	}
	for i := range rows {
		row := &rows[i]
		if !touches(row, c.first, c.last) {
			continue
		}
		names, counts := c.stated, true
		if row.From != row.To && !touches(row, c.from, c.to) {
			names, counts = c.otherYears, false
		}
		for m := row.From; !m.After(row.To); m = m.Add(1) {
			names[paidKey(row.PayeeCode, row.PaymentCode, m)] = true
		}
		// An amount of nothing takes back what an earlier file said.
		if !counts || row.Amount == 0 {
			continue
		}
		paid := rules.PaidRow{Reference: row.Reference, PayeeCode: row.PayeeCode, PaymentCode: row.PaymentCode, Month: row.From, Amount: row.Amount}
		if row.From != row.To {
			paid.Month, paid.Year = period.Month{}, row.From.FinancialYear()
		}
		if row.Reference != "" {
			c.stated[referredKey(row.Reference, row.PaymentCode)] = true
		}
		c.add(paid, paidSource{fmt.Sprintf("%s/%06d", row.ImportID, row.Line), row.Reference})
	}
}

func paidKey(payee, payment string, month period.Month) string {
	return "payee " + payee + " " + payment + " " + month.String()
}

func referredKey(reference, payment string) string { return "reference " + reference + " " + payment }

func (c *comparison) add(row rules.PaidRow, source paidSource) {
	row.Row = len(c.in.Rows) + 1
	c.in.Rows, c.sources = append(c.in.Rows, row), append(c.sources, source)
}

// expect takes a line, and, if it was confirmed as paid and no file says otherwise, what was paid for it.
func (c *comparison) expect(l store.LineRow, held []*paymentsv1.Hold) error {
	line, err := expectedLine(l)
	if err != nil {
		return err
	}
	key := paidKey(line.PayeeCode, line.PaymentCode, line.ScheduleMonth)
	byFile := c.stated[key] || c.stated[referredKey(l.PaymentID, line.PaymentCode)]
	if !byFile && c.otherYears[key] {
		return nil
	}
	c.pcns[line.LineID] = line.PCNCode
	line.Standing, line.Where = unpaid(l, held)
	if l.State == store.Settled {
		if byFile {
			c.overruled[l.PaymentID] = true
		} else {
			confirmed := confirmedKey{l.PaymentID, line.PaymentCode, line.ScheduleMonth}
			line.Reference = confirmed.reference()
			c.confirm(confirmed, &line)
		}
	}
	c.in.Lines = append(c.in.Lines, line)
	return nil
}

// confirm adds a line to what the confirmation of its payment says was paid.
func (c *comparison) confirm(key confirmedKey, line *rules.ExpectedLine) {
	at, known := c.confirmed[key]
	if !known {
		at = len(c.in.Rows)
		c.confirmed[key] = at
		row := rules.PaidRow{Reference: line.Reference, PayeeCode: line.PayeeCode, PaymentCode: line.PaymentCode, Month: line.ScheduleMonth}
		c.add(row, paidSource{line.Reference, key.paymentID})
	}
	c.in.Rows[at].Amount += line.Amount
}

// recover takes what was taken off confirmed payments for overpayments, as a row of its own for each: what was paid is less than the
// lines by that. Where a file counts for a payment, it says what was paid after all was taken off.
func (c *comparison) recover(ctx context.Context, q sqldb.Querier) error {
	bodies, err := predecessors(ctx, q, c.code)
	if err != nil {
		return err
	}
	runs, err := store.Runs(ctx, q, store.RunFilter{Page: store.Page{Commissioners: append(bodies, c.code)}})
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.ExportID == "" || run.Totals.GetBroughtForwardPence() == 0 || run.Month.Before(c.first) || run.Month.After(c.last) {
			continue
		}
		payees, err := store.FrozenPayees(ctx, q, run.ID)
		if err != nil {
			return err
		}
		taken := make(map[string]money.Pence, len(payees))
		for _, p := range payees {
			taken[p.PayeeCode] = p.BroughtForward
		}
		payments, err := store.Payments(ctx, q, store.PaymentFilter{
			Page: store.Page{Commissioners: []string{c.code}}, RunID: run.ID, State: paymentsv1.PaymentState_PAYMENT_STATE_SETTLED,
		})
		if err != nil {
			return err
		}
		for i := range payments {
			p := &payments[i]
			if taken[p.PayeeCode] == 0 || c.overruled[p.ID] {
				continue
			}
			row := rules.PaidRow{PayeeCode: p.PayeeCode, PaymentCode: streamRecovery, Month: run.Month, Amount: taken[p.PayeeCode], Recovery: true}
			c.add(row, paidSource{p.ID, p.ID})
		}
	}
	return nil
}

// unpaid tells why nothing can have been paid for a line by itself; empty where a payment is to be expected.
func unpaid(l store.LineRow, held []*paymentsv1.Hold) (cause rules.ReconcileCause, where string) {
	switch l.State {
	case store.Open:
		switch {
		case len(held) > 0:
			reasons := make([]string, len(held))
			for i, h := range held {
				reasons[i] = h.GetReason()
			}
			return rules.CauseOnHold, "it is on hold: " + strings.Join(reasons, "; ")
		case l.RunID == "":
			return rules.CauseNotSent, "it is in no run"
		}
		return rules.CauseNotSent, "run " + l.RunID + ", which it is in, is not approved"
	case store.Payable:
		return rules.CauseNotSent, "run " + l.RunID + ", which it is in, is approved and not exported"
	case store.Sent:
		return rules.CauseAwaiting, "payment " + l.PaymentID + " waits to be confirmed"
	case store.Rejected:
		return rules.CauseRejected, "the payer rejected payment " + l.PaymentID
	case store.Cancelled:
		return rules.CauseNotSent, "nobody could be paid, and another line takes it back"
	case store.Carried:
		return rules.CauseCarried, "run " + l.RunID + " set it against overpayments, and sent nothing for it"
	case store.Settled:
	}
	return "", ""
}

func expectedLine(l store.LineRow) (rules.ExpectedLine, error) {
	line := l.Line
	month, err := period.ParseMonth(line.GetForMonth())
	if err != nil {
		return rules.ExpectedLine{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	scheduled, err := period.ParseMonth(l.Month)
	if err != nil {
		return rules.ExpectedLine{}, fault.Bug("line %s: %v", line.GetLineId(), err)
	}
	basis, err := basisOf(line)
	payee := line.GetPayee().GetCode()
	if payee == "" {
		payee = cmp.Or(line.GetPracticeCode(), line.GetPcnCode())
	}
	return rules.ExpectedLine{
		LineID: line.GetLineId(), Reference: l.PaymentID, PayeeCode: payee, PCNCode: line.GetPcnCode(), PracticeCode: line.GetPracticeCode(),
		PaymentCode: line.GetPaymentCode(), ForMonth: month, ScheduleMonth: scheduled, Amount: money.Pence(line.GetAmountPence()),
		ReconcileOnly: line.GetInstruction() == typev1.Instruction_INSTRUCTION_RECONCILE_ONLY, Adjusts: line.GetAdjustsLineId(), Basis: basis,
	}, err
}

var matches = map[rules.FindingStatus]paymentsv1.Match{
	rules.Matched: paymentsv1.Match_MATCH_MATCHED, rules.Different: paymentsv1.Match_MATCH_DIFFERENT,
	rules.Missing: paymentsv1.Match_MATCH_MISSING, rules.Extra: paymentsv1.Match_MATCH_EXTRA,
}

// reconcileTotals adds up findings by outcome and likely cause.
func reconcileTotals(found []rules.Finding) []*paymentsv1.ReconciliationTotal {
	var out []*paymentsv1.ReconciliationTotal
	for i := range found {
		f := &found[i]
		at := slices.IndexFunc(out, func(t *paymentsv1.ReconciliationTotal) bool {
			return t.GetMatch() == matches[f.Status] && t.GetCause() == string(f.Cause)
		})
		if at < 0 {
			at = len(out)
			out = append(out, &paymentsv1.ReconciliationTotal{Match: matches[f.Status], Cause: string(f.Cause)})
		}
		out[at].Rows++
		out[at].ExpectedPence += int64(f.Expected)
		out[at].PaidPence += int64(f.Paid)
	}
	slices.SortFunc(out, func(a, b *paymentsv1.ReconciliationTotal) int {
		return cmp.Or(cmp.Compare(a.GetMatch(), b.GetMatch()), cmp.Compare(a.GetCause(), b.GetCause()))
	})
	return out
}

// key is the place of a finding in the list: what needs a person first. Codes are clipped so that a token of it is short; the first line
// or row tells findings apart.
func (c *comparison) key(f *rules.Finding) string {
	const most = 64
	var first string
	if len(f.LineIDs) > 0 {
		first = f.LineIDs[0]
	} else {
		first = c.sources[f.Rows[0]-1].id
	}
	clip := func(text string) string { return text[:min(len(text), most)] }
	order := slices.Index([]rules.FindingStatus{rules.Different, rules.Missing, rules.Extra, rules.Matched}, f.Status)
	return fmt.Sprintf("%d %s %s %s %s", order, clip(f.PayeeCode), clip(f.PaymentCode), periodOf(f), first)
}

func periodOf(f *rules.Finding) string {
	if f.Month.IsZero() {
		return f.Year.String()
	}
	return f.Month.String()
}

func (c *comparison) toProto(f *rules.Finding) *paymentsv1.ReconciliationRow {
	out := &paymentsv1.ReconciliationRow{
		Match: matches[f.Status], PayeeCode: f.PayeeCode, PaymentCode: f.PaymentCode, Period: periodOf(f), ExpectedPence: int64(f.Expected),
		PaidPence: int64(f.Paid), DifferencePence: int64(f.Difference), Cause: string(f.Cause), Evidence: f.Evidence, LineIds: f.LineIDs,
		Instruction: typev1.Instruction_INSTRUCTION_PAY,
	}
	if len(f.LineIDs) > 0 {
		out.PcnCode = c.pcns[f.LineIDs[0]]
	}
	if f.ReconcileOnly != 0 {
		out.Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
	}
	for _, number := range f.Rows {
		if reference := c.sources[number-1].reference; reference != "" {
			out.Reference = reference
		}
	}
	return out
}
