package payments

import (
	"cmp"
	"context"
	"fmt"
	"slices"

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
	in, names := rules.VarianceInput{}, make(map[string]string)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		run, err := visibleRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		in, err = varianceInput(ctx, q, run, names)
		return err
	})
	if err != nil {
		return nil, err
	}
	report, err := rules.Variance(&in)
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.Variance{RunId: req.GetRunId(), Total: &paymentsv1.VarianceRow{
		ThisMonthPence: int64(report.Totals.This), LastMonthPence: int64(report.Totals.Last), MovementPence: int64(report.Totals.Change),
		ExpectedPence: new(int64(report.Totals.Expected)), AgainstExpectedPence: new(int64(report.Totals.Difference)),
	}}
	for _, cause := range report.Totals.Causes {
		out.Total.Causes = append(out.Total.Causes, &paymentsv1.VarianceCause{Cause: string(cause.Cause), EffectPence: int64(cause.Amount)})
	}
	largest := int(req.GetLargest())
	if largest == 0 {
		largest = largestMovements
	}
	for _, m := range report.Largest(largest) {
		out.Largest = append(out.Largest, movementToProto(&m, names))
	}
	key := func(m rules.Movement) string { return m.PCNCode + " " + m.PaymentCode }
	rows := slices.DeleteFunc(report.Movements, func(m rules.Movement) bool { return after != "" && key(m) <= after })
	rows, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	for i := range rows {
		out.Rows = append(out.Rows, movementToProto(&rows[i], names))
	}
	return out, nil
}

// varianceInput gathers the lines of a run, those that last month's runs paid, and the year's amounts.
func varianceInput(ctx context.Context, q sqldb.Querier, run store.RunRow, names map[string]string) (rules.VarianceInput, error) {
	in := rules.VarianceInput{Month: run.Month}
	gather := func(into *[]rules.VarianceLine, by store.LineFilter) error {
		return store.EachLine(ctx, q, by, func(l store.LineRow) error {
			line, err := varianceLine(l, names)
			*into = append(*into, line)
			return err
		})
	}
	if err := gather(&in.Lines, linesOf(run)); err != nil {
		return in, err
	}
	bodies, err := predecessors(ctx, q, run.CommissionerCode)
	if err != nil {
		return in, err
	}
	bodies = append(bodies, run.CommissionerCode)
	before, err := store.Runs(ctx, q, store.RunFilter{Page: store.Page{Commissioners: bodies}, Month: run.Month.Add(-1).String()})
	if err != nil {
		return in, err
	}
	for _, earlier := range before {
		if earlier.State == rejected || earlier.State == withdrawn {
			continue
		}
		if err := gather(&in.Previous, linesOf(earlier)); err != nil {
			return in, err
		}
	}
	slices.SortFunc(in.Previous, func(a, b rules.VarianceLine) int { return cmp.Compare(a.LineID, b.LineID) })
	in.Previous = slices.CompactFunc(in.Previous, func(a, b rules.VarianceLine) bool { return a.LineID == b.LineID })
	paid := make(map[string]bool)
	for i := range in.Lines {
		paid[in.Lines[i].PCNCode+" "+in.Lines[i].PaymentCode] = true
	}
	for i := range in.Previous {
		paid[in.Previous[i].PCNCode+" "+in.Previous[i].PaymentCode] = true
	}
	stated, err := store.Entitlements(ctx, q, store.EntitlementFilter{CommissionerCodes: bodies, Month: run.Month})
	if err != nil {
		return in, err
	}
	for _, e := range stated {
		// What another system pays is stated too, and is in no run.
		if paid[e.PCNCode+" "+e.PaymentCode] {
			in.Entitlements = append(in.Entitlements, entitlementRule(e))
		}
	}
	return in, nil
}

func entitlementRule(e store.Entitlement) rules.Entitlement {
	return rules.Entitlement{
		PCNCode: e.PCNCode, PracticeCode: e.PracticeCode, PaymentCode: e.PaymentCode, FundingSource: fundName(e.Fund), Amount: e.Amount,
		From: e.From, To: e.To, Instalments: e.Instalments,
	}
}

func movementToProto(m *rules.Movement, names map[string]string) *paymentsv1.VarianceRow {
	out := &paymentsv1.VarianceRow{
		PcnCode: m.PCNCode, PcnName: names[m.PCNCode], PaymentCode: m.PaymentCode, ThisMonthPence: int64(m.This), LastMonthPence: int64(m.Last),
		MovementPence: int64(m.Change), Sentence: m.Sentence(),
	}
	if m.Entitled {
		out.ExpectedPence, out.AgainstExpectedPence = new(int64(m.Expected)), new(int64(m.Difference))
	}
	for _, effect := range m.Effects {
		out.Causes = append(out.Causes, &paymentsv1.VarianceCause{Cause: string(effect.Cause), EffectPence: int64(effect.Amount), Evidence: effect.Sentence})
	}
	return out
}

// GetReconciliation compares what was expected with what was paid.
func (s *Service) GetReconciliation(ctx context.Context, req *paymentsv1.GetReconciliationRequest) (*paymentsv1.Reconciliation, error) {
	after, err := lineKey(req.GetPageToken())
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
	var in rules.ReconcileInput
	pcns := make(map[string]string)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		in, err = reconcileInput(ctx, q, req.GetCommissionerCode(), from, to, pcns)
		return err
	})
	if err != nil {
		return nil, err
	}
	found, err := rules.Reconcile(&in)
	if err != nil {
		return nil, err
	}
	out := &paymentsv1.Reconciliation{CommissionerCode: req.GetCommissionerCode(), FromMonth: from.String(), ToMonth: to.String(), Totals: reconcileTotals(found)}
	rows := make([]*paymentsv1.ReconciliationRow, 0, len(found.Findings))
	for i := range found.Findings {
		if f := &found.Findings[i]; f.Status != rules.Matched || !req.GetDifferencesOnly() {
			rows = append(rows, findingToProto(f, in.Rows, pcns))
		}
	}
	slices.SortStableFunc(rows, func(a, b *paymentsv1.ReconciliationRow) int {
		return cmp.Compare(matchOrder(a.GetMatch()), matchOrder(b.GetMatch()))
	})
	size := page.Size(req.GetPageSize(), defaultPage)
	rows = rows[min(after, len(rows)):]
	if len(rows) > size {
		rows, out.NextPageToken = rows[:size], page.Token(fmt.Sprint(after+size))
	}
	out.Rows = rows
	return out, nil
}

// matchOrder puts what needs a person first.
func matchOrder(m paymentsv1.Match) int {
	return slices.Index([]paymentsv1.Match{
		paymentsv1.Match_MATCH_DIFFERENT, paymentsv1.Match_MATCH_MISSING, paymentsv1.Match_MATCH_EXTRA, paymentsv1.Match_MATCH_MATCHED,
	}, m)
}

// reconcileInput gathers the lines expected in some months and what was paid for them: by the files of paid amounts, and, where
// these do not name a payee's payment of a month, by the confirmations of the payments that were sent.
func reconcileInput(
	ctx context.Context, q sqldb.Querier, code string, from, to period.Month, pcns map[string]string,
) (in rules.ReconcileInput, err error) {
	stated, err := store.PaidAmounts(ctx, q, code, from, to)
	if err != nil {
		return in, err
	}
	named := make(map[string]bool)
	for i, row := range stated {
		paid := rules.PaidRow{Row: i + 1, Reference: row.Reference, PayeeCode: row.PayeeCode, PaymentCode: row.PaymentCode, Month: row.From, Amount: row.Amount}
		if row.From != row.To {
			paid.Month, paid.Year = period.Month{}, row.From.FinancialYear()
		}
		in.Rows = append(in.Rows, paid)
		for m := row.From; !m.After(row.To); m = m.Add(1) {
			named[paidKey(row.PayeeCode, row.PaymentCode, m)] = true
		}
	}
	filter := store.LineFilter{Commissioners: []string{code}, FromMonth: from.String(), ToMonth: to.String()}
	err = store.EachLine(ctx, q, filter, func(l store.LineRow) error {
		expected, err := expectedLine(l)
		if err != nil {
			return err
		}
		pcns[expected.LineID] = expected.PCNCode
		in.Lines = append(in.Lines, expected)
		if l.State == store.Settled && !named[paidKey(expected.PayeeCode, expected.PaymentCode, expected.ScheduleMonth)] {
			in.Rows = append(in.Rows, rules.PaidRow{
				Row: len(in.Rows) + 1, PayeeCode: expected.PayeeCode, PaymentCode: expected.PaymentCode, Month: expected.ScheduleMonth, Amount: expected.Amount,
			})
		}
		return nil
	})
	if err != nil {
		return in, err
	}
	entitled, err := store.Entitlements(ctx, q, store.EntitlementFilter{CommissionerCodes: []string{code}, Month: from})
	for _, e := range entitled {
		in.Entitlements = append(in.Entitlements, entitlementRule(e))
	}
	return in, err
}

func paidKey(payee, payment string, month period.Month) string {
	return payee + " " + payment + " " + month.String()
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
func reconcileTotals(found *rules.Reconciliation) []*paymentsv1.ReconciliationTotal {
	var out []*paymentsv1.ReconciliationTotal
	for i := range found.Findings {
		f := &found.Findings[i]
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

func findingToProto(f *rules.Finding, paid []rules.PaidRow, pcns map[string]string) *paymentsv1.ReconciliationRow {
	out := &paymentsv1.ReconciliationRow{
		Match: matches[f.Status], PayeeCode: f.PayeeCode, PaymentCode: f.PaymentCode, Period: f.Month.String(), ExpectedPence: int64(f.Expected),
		PaidPence: int64(f.Paid), DifferencePence: int64(f.Difference), Cause: string(f.Cause), Evidence: f.Evidence, LineIds: f.LineIDs,
		Instruction: typev1.Instruction_INSTRUCTION_PAY,
	}
	if f.Month.IsZero() {
		out.Period = f.Year.String()
	}
	if len(f.LineIDs) > 0 {
		out.PcnCode = pcns[f.LineIDs[0]]
	}
	if f.ReconcileOnly != 0 {
		out.Instruction = typev1.Instruction_INSTRUCTION_RECONCILE_ONLY
	}
	for _, number := range f.Rows {
		if row := paid[number-1]; row.Reference != "" {
			out.Reference = row.Reference
		}
	}
	return out
}
