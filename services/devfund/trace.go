package devfund

import (
	"context"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// Kinds of steps of a trace.
const (
	traceAllocation   = "ALLOCATION"
	traceSharing      = "SHARING"
	tracePlanLine     = "PLAN_LINE"
	traceTranche      = "TRANCHE"
	traceScheduleLine = "SCHEDULE_LINE"
	traceSpend        = "SPEND"
	traceTreatment    = "TREATMENT"
)

// trace follows the money of one line.
type trace struct {
	steps []*devfundv1.TraceStep
	whole bool
	line  *approvedLine
	// reports are those that stand, and treatments those that were not rejected.
	reports    []store.SpendRow
	treatments []store.TreatmentRow
	scheduled  []store.ClosedLine
}

// TraceLine follows the money of a line from the nation down to what was paid and spent. Each caller sees the allocations that they may
// see; whether every sum comes to the one above it is told of all.
func (s *Service) TraceLine(ctx context.Context, req *devfundv1.TraceLineRequest) (*devfundv1.TraceLineResponse, error) {
	t := &trace{whole: true}
	err := s.readAsHeir(ctx, func(ctx context.Context) error {
		return s.db.Read(ctx, func(q sqldb.Querier) (err error) {
			if t.line, err = s.lineOf(ctx, q, req.GetPlanId(), req.GetLineId()); err != nil {
				return err
			}
			if err := t.load(ctx, q); err != nil {
				return err
			}
			if err := t.allocations(ctx, q); err != nil {
				return err
			}
			t.planLine()
			return t.paid()
		})
	})
	if err != nil {
		return nil, err
	}
	t.spent()
	return &devfundv1.TraceLineResponse{Steps: t.steps, Whole: t.whole}, nil
}

// load loads what became of the line.
func (t *trace) load(ctx context.Context, q sqldb.Querier) error {
	key := t.line.row.Key()
	reports, err := store.SpendOf(ctx, q, key)
	if err != nil {
		return err
	}
	for i := range reports {
		if reports[i].Stands {
			t.reports = append(t.reports, reports[i])
		}
	}
	all, err := store.Treatments(ctx, q, store.Page{}, key.PlanID)
	if err != nil {
		return err
	}
	for _, row := range slices.Backward(all) {
		if row.LineID == key.LineID && row.State != devfundv1.TreatmentState_TREATMENT_REJECTED {
			t.treatments = append(t.treatments, row)
		}
	}
	t.scheduled, err = store.LinesOfLine(ctx, q, key)
	return err
}

// require notes that a sum comes to the one above it, or does not.
func (t *trace) require(holds bool) { t.whole = t.whole && holds }

// allocations adds the allocations from the nation down to that which the line draws on, with how each was shared.
func (t *trace) allocations(ctx context.Context, q sqldb.Querier) error {
	own, err := store.Allocation(ctx, q, t.line.row.AllocationID)
	if err != nil {
		return fmt.Errorf("load allocation %s: %w", t.line.row.AllocationID, err)
	}
	chain, err := store.Above(ctx, q, &own)
	if err != nil {
		return err
	}
	chain = append(chain, own)
	t.require(chain[0].Level == devfundv1.AllocationLevel_NATION)
	for i := range chain {
		if err := t.allocation(ctx, q, &chain[i]); err != nil {
			return err
		}
	}
	return t.committed(ctx, q, &own)
}

// allocation adds one allocation. What levels below hold of it must come to what it shares.
func (t *trace) allocation(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) error {
	children, err := store.Children(ctx, q, row.ID)
	if err != nil {
		return err
	}
	var held money.Pence
	for i := range children {
		if held, err = held.Add(children[i].Holding()); err != nil {
			return err
		}
	}
	t.require(row.Released != nil && held == row.Shared && row.Drawn() <= row.Holding())
	if !seesAllocation(caller(ctx), row) {
		return nil
	}
	if row.DecisionID != "" {
		if err := t.sharing(ctx, q, row); err != nil {
			return err
		}
	}
	versions, err := store.Versions(ctx, q, row.ID)
	if err != nil {
		return err
	}
	step := &devfundv1.TraceStep{
		Kind: traceAllocation, Id: row.ID, AmountPence: int64(row.Holding()),
		Words: fmt.Sprintf("%s of %s for %s, level %s", row.FundCode, row.Year, row.HolderCode, row.Level),
	}
	if stated := amountsOf(row, versions[row.ID], devfundv1.AllocationBasis_RELEASED).settled; stated != nil {
		step.DecidedBy, step.OnDate, step.Reference = stated.RecordedBy, stated.KnownFrom.String(), stated.Source
	} else {
		step.Words += "; what was released is not known"
	}
	t.steps = append(t.steps, step)
	return nil
}

// sharing adds the decision that made an allocation.
func (t *trace) sharing(ctx context.Context, q sqldb.Querier, row *store.AllocationRow) error {
	decision, err := store.Decision(ctx, q, row.DecisionID)
	if err != nil {
		return fmt.Errorf("load decision %s: %w", row.DecisionID, err)
	}
	of := decision.Decision
	t.steps = append(t.steps, &devfundv1.TraceStep{
		Kind: traceSharing, Id: decision.ID, Words: of.GetOutcome().GetMethodWords(), AmountPence: int64(row.Holding()),
		DecidedBy: of.GetDecidedBy(), OnDate: of.GetDecidedOn(), Reference: of.GetMinuteReference(),
	})
	return nil
}

// committed requires that lines of approved plans, less what approved treatments moved of them, come to what is committed of the allocation.
func (t *trace) committed(ctx context.Context, q sqldb.Querier, own *store.AllocationRow) error {
	drawn, err := store.Drawn(ctx, q, []string{own.ID})
	if err != nil {
		return err
	}
	moved, err := store.MovedFrom(ctx, q, own.ID)
	if err != nil {
		return err
	}
	left, err := drawn[own.ID].Committed.Sub(moved)
	if err != nil {
		return err
	}
	t.require(left == own.Committed)
	return nil
}

// planLine adds the line as it was approved.
func (t *trace) planLine() {
	row, approval := &t.line.row, t.line.head.Approval
	t.steps = append(t.steps, &devfundv1.TraceStep{
		Kind: tracePlanLine, Id: row.PlanID + "/" + row.LineID, Words: row.Message.GetDescription(), AmountPence: int64(row.Amount),
		DecidedBy: approval.GetBody(), OnDate: approval.GetApprovedOn(), Reference: approval.GetMinuteReference(),
	})
}

// paid adds the tranches, the lines of schedules and the treatments. Tranches come to the line, and what schedules hold comes to the tranches
// less what was taken back. What is paid outside schedules has neither.
func (t *trace) paid() (err error) {
	var due, held, returned money.Pence
	for i := range t.line.tranches {
		tranche := &t.line.tranches[i]
		if due, err = due.Add(tranche.Amount); err != nil {
			return err
		}
		t.steps = append(t.steps, &devfundv1.TraceStep{
			Kind: traceTranche, Id: fmt.Sprintf("%s/%s/%s/%s", tranche.PlanID, tranche.LineID, tranche.PCNCode, tranche.Month),
			Words: fmt.Sprintf("%s for %s", tranche.PCNCode, tranche.Month), AmountPence: int64(tranche.Amount),
			DecidedBy: t.line.head.Approval.GetBody(), OnDate: tranche.Month.First().String(), Reference: t.line.head.Approval.GetMinuteReference(),
		})
	}
	for i := range t.scheduled {
		line := &t.scheduled[i]
		if held, err = held.Add(money.Pence(line.Message.GetAmountPence())); err != nil {
			return err
		}
		words := fmt.Sprintf("%s for %s, paid by %s", line.Message.GetPcnCode(), line.Message.GetForMonth(), line.CommissionerCode)
		if line.Message.GetPayee().GetCode() == "" {
			words += "; nobody is on record to be paid"
			t.require(store.TakesBack(line.Message) || t.takenBack(line.Message.GetLineId()))
		}
		t.steps = append(t.steps, &devfundv1.TraceStep{
			Kind: traceScheduleLine, Id: line.Message.GetLineId(), Words: words, AmountPence: line.Message.GetAmountPence(),
			DecidedBy: line.ClosedBy, OnDate: dayOf(line.ClosedAt), Reference: line.ScheduleID,
		})
	}
	if t.line.row.Payee != devfundv1.PayeeKind_PCN_PAYEE {
		return nil
	}
	t.require(due == t.line.row.Amount)
	for _, row := range t.treatments {
		if row.State == devfundv1.TreatmentState_TREATMENT_APPROVED && row.Policy == devfundv1.UnspentPolicy_RETURN_TO_SYSTEM {
			if returned, err = returned.Add(row.Amount); err != nil {
				return err
			}
		}
	}
	owed, err := due.Sub(returned)
	t.require(owed == held)
	return err
}

// takenBack tells whether a later line takes back one that nobody could be paid.
func (t *trace) takenBack(id string) bool {
	for i := range t.scheduled {
		if m := t.scheduled[i].Message; store.TakesBack(m) && m.GetAdjustsLineId() == id {
			return true
		}
	}
	return false
}

// spent adds the latest report of the line and what became of what is unspent.
func (t *trace) spent() {
	if n := len(t.reports); n > 0 {
		last := &t.reports[n-1]
		t.steps = append(t.steps, &devfundv1.TraceStep{
			Kind: traceSpend, Id: last.ID, Words: fmt.Sprintf("spent to %s; %s forecast for the year", last.Month, last.Forecast), AmountPence: int64(last.ToDate),
			DecidedBy: last.RecordedBy, OnDate: dayOf(last.RecordedAt), Reference: last.Note,
		})
	}
	for i := range t.treatments {
		row := &t.treatments[i]
		step := &devfundv1.TraceStep{
			Kind: traceTreatment, Id: row.ID, Words: fmt.Sprintf("%s, %s: %s", row.Policy, row.State, row.Reason), AmountPence: int64(row.Amount),
			DecidedBy: row.DecidedBy, Reference: row.AllocationID,
		}
		if row.DecidedAt != 0 {
			step.OnDate = dayOf(row.DecidedAt)
		}
		t.steps = append(t.steps, step)
	}
}

// dayOf is the day of a moment in microseconds.
func dayOf(micros int64) string { return period.DateOf(sqldb.FromMicros(micros)).String() }
