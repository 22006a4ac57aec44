package core

import (
	"context"
	"math/big"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// extremes is how many of the largest and smallest networks a summary names.
const extremes = 5

// GetMonthSummary adds up a closed month.
func (s *Service) GetMonthSummary(ctx context.Context, req *corev1.GetMonthSummaryRequest) (*corev1.MonthSummary, error) {
	if _, err := parseMonth("month", req.GetMonth()); err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	out := &corev1.MonthSummary{Month: req.GetMonth()}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		totals, err := store.Totals(ctx, q, req.GetMonth(), scope)
		if err != nil {
			return err
		}
		fillTotals(out, totals)
		payments, err := store.TotalsByPayment(ctx, q, req.GetMonth(), scope)
		if err != nil {
			return err
		}
		for _, p := range payments {
			out.Payments = append(out.Payments, &corev1.PaymentSummary{
				PaymentCode: p.PaymentCode, Instruction: typev1.Instruction(p.Instruction), //nolint:gosec // enum
				Lines: int32(p.Lines), Beneficiaries: int32(p.Beneficiaries), //nolint:gosec // counts of one month
				AmountPence: int64(p.Amount), AdjustmentPence: int64(p.Adjustments),
			})
		}
		if out.LargestPcns, err = pcnTotals(ctx, q, req.GetMonth(), scope, false); err != nil {
			return err
		}
		if out.SmallestPcns, err = pcnTotals(ctx, q, req.GetMonth(), scope, true); err != nil {
			return err
		}
		schedules, err := store.Schedules(ctx, q, store.ScheduleFilter{Commissioners: scope, Month: req.GetMonth()})
		if err != nil {
			return err
		}
		out.Refusals, out.WithheldPence = waitingOf(latestOnly(schedules))
		return nil
	})
	return out, err
}

func fillTotals(out *corev1.MonthSummary, t store.MonthTotals) {
	out.Commissioners, out.Pcns, out.Practices = int32(t.Commissioners), int32(t.PCNs), int32(t.Practices)      //nolint:gosec // counts of one month
	out.RegisteredPatients, out.Lines, out.HeldLines = t.RegisteredPatients, int32(t.Lines), int32(t.HeldLines) //nolint:gosec // counts of one month
	out.PayTotalPence, out.ReconcileTotalPence = int64(t.PayTotal), int64(t.ReconcileTotal)
}

func pcnTotals(ctx context.Context, q sqldb.Querier, month string, scope []string, smallest bool) ([]*corev1.PcnTotal, error) {
	rows, err := store.TotalsByPCN(ctx, q, month, scope, smallest, extremes)
	if err != nil {
		return nil, err
	}
	out := make([]*corev1.PcnTotal, len(rows))
	for i, row := range rows {
		out[i] = &corev1.PcnTotal{PcnCode: row.PCNCode, PcnName: row.PCNName, CommissionerCode: row.CommissionerCode, AmountPence: int64(row.Amount)}
	}
	return out, nil
}

// latestOnly keeps the latest schedule of each commissioner: what it refused is what waits still.
func latestOnly(schedules []store.ScheduleRow) []store.ScheduleRow {
	latest := make(map[string]store.ScheduleRow)
	for _, row := range schedules {
		if row.Sequence > latest[row.CommissionerCode].Sequence {
			latest[row.CommissionerCode] = row
		}
	}
	out := make([]store.ScheduleRow, 0, len(latest))
	for _, row := range latest {
		out = append(out, row)
	}
	return out
}

// waitingOf puts the refusals of several schedules together, and adds up what is withheld.
func waitingOf(schedules []store.ScheduleRow) ([]*typev1.Refusal, int64) {
	type cause struct{ reason, payment, month, missing string }
	found := make(map[cause]*typev1.Refusal)
	var withheld int64
	for i := range schedules {
		for _, w := range schedules[i].Withheld {
			withheld += w.GetAmountPence()
		}
		for _, r := range schedules[i].Refusals {
			key := cause{r.GetReason(), r.GetPaymentCode(), r.GetForMonth(), r.GetMissing()}
			if found[key] == nil {
				found[key] = proto.CloneOf(r)
				continue
			}
			merge(found[key], r)
		}
	}
	out := make([]*typev1.Refusal, 0, len(found))
	for _, r := range found {
		r.PcnCodes, r.PracticeCodes = sorted(r.GetPcnCodes()), sorted(r.GetPracticeCodes())
		out = append(out, r)
	}
	slices.SortFunc(out, compareRefusals)
	return out, withheld
}

func merge(into, r *typev1.Refusal) {
	into.PcnCodes = append(into.PcnCodes, r.GetPcnCodes()...)
	into.PracticeCodes = append(into.PracticeCodes, r.GetPracticeCodes()...)
	if r.CandidatePence != nil {
		into.CandidatePence = proto.Int64(into.GetCandidatePence() + r.GetCandidatePence())
	}
	sum := new(big.Rat)
	for _, text := range []string{into.GetQuantity(), r.GetQuantity()} {
		if quantity, err := money.ParseExact(text); err == nil {
			sum.Add(sum, quantity)
		}
	}
	if into.GetUnit() != "" {
		into.Quantity = money.Format(sum)
	}
}

// ListAuditEntries returns decisions recorded by core, newest first.
func (s *Service) ListAuditEntries(ctx context.Context, req *corev1.ListAuditEntriesRequest) (*corev1.ListAuditEntriesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: scope, Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(corev1.ListAuditEntriesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r audit.Row) string { return r.ID })
	for _, row := range rows {
		out.Entries = append(out.Entries, row.Proto())
	}
	return out, nil
}
