package devfund

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// approvedLine is a line of the version of a plan that is committed.
type approvedLine struct {
	head     store.PlanHead
	row      store.PlanLineRow
	tranches []store.TrancheRow // of the line
}

// lineNotFound says the same of a line that is not there and of one that the caller may not see.
func lineNotFound(plan, line string) error {
	return fault.New(fault.NotFound, reasonLineNotFound, "there is no line %q of an approved version of plan %s that you may see", money.Clip(line), plan).
		With("plan_id", plan).With("line_id", money.Clip(line))
}

// approvedLineOf returns a line of the approved version of a plan.
func approvedLineOf(ctx context.Context, q sqldb.Querier, head *store.PlanHead, id string) (*approvedLine, error) {
	lines, err := store.LinesOf(ctx, q, head.Key())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(lines, func(r store.PlanLineRow) bool { return r.LineID == id })
	if head.Approved == 0 || i < 0 {
		return nil, lineNotFound(head.ID, id)
	}
	out := &approvedLine{head: *head, row: lines[i]}
	tranches, err := store.TranchesOf(ctx, q, head.Key())
	for _, t := range tranches {
		if t.LineID == id {
			out.tranches = append(out.tranches, t)
		}
	}
	return out, err
}

// committedVersion returns a plan with the version that is committed, or with its newest where none is, to who may see that; else
// PLAN_NOT_FOUND.
func committedVersion(ctx context.Context, q sqldb.Querier, id string) (*store.PlanHead, error) {
	plan, err := store.Plan(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, planNotFound(id)
	}
	if err != nil {
		return nil, err
	}
	head, err := store.PlanVersion(ctx, q, id, plan.Approved)
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	if by.HoldsCommissioner(head.CommissionerCode) {
		return &head, nil
	}
	covered, err := store.VersionPCNs(ctx, q, []store.VersionKey{head.Key()})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(covered[head.Key()], by.HoldsPCN) {
		return nil, planNotFound(id)
	}
	return &head, nil
}

// lineOf returns a line of an approved version to its commissioner, and to a PCN if the line pays it alone: what others get is not for it.
func (s *Service) lineOf(ctx context.Context, q sqldb.Querier, plan, id string) (*approvedLine, error) {
	head, err := committedVersion(ctx, q, plan)
	if err != nil {
		return nil, err
	}
	line, err := approvedLineOf(ctx, q, head, id)
	if err != nil {
		return nil, err
	}
	if by := caller(ctx); !by.HoldsCommissioner(head.CommissionerCode) && !line.paysOnly(by) {
		return nil, lineNotFound(head.ID, id)
	}
	return line, nil
}

// paysOnly tells whether the line pays networks that somebody acts for, and no other.
func (l *approvedLine) paysOnly(by auth.Principal) bool {
	paid := store.PaidBy(l.tranches, l.row.LineID)
	return l.row.Payee == devfundv1.PayeeKind_PCN_PAYEE && len(paid) > 0 && !slices.ContainsFunc(paid, func(pcn string) bool { return !by.HoldsPCN(pcn) })
}

// reported are reports as the rules go by them.
func reported(rows []store.SpendRow) []rules.Spend {
	out := make([]rules.Spend, len(rows))
	for i := range rows {
		out[i] = rules.Spend{Month: rows[i].Month, ToDate: rows[i].ToDate, Forecast: rows[i].Forecast, Position: rows[i].Position}
	}
	return out
}

// ReportSpend records what was spent of a line to the end of a month, and what the year is forecast to come to.
func (s *Service) ReportSpend(ctx context.Context, req *devfundv1.ReportSpendRequest) (*devfundv1.SpendReport, error) {
	month, err := period.ParseMonth(req.GetMonth())
	if err != nil {
		return nil, fault.New(fault.Invalid, reasonMonthMalformed, "%v", err).At("month", err.Error())
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.SpendReport, error) {
		head, err := committedVersion(ctx, tx, req.GetPlanId())
		if err != nil {
			return nil, err
		}
		if err := tx.Lock(ctx, commissionerLock(head.CommissionerCode)); err != nil {
			return nil, err
		}
		line, err := s.lineOf(ctx, tx, head.ID, req.GetLineId())
		if err != nil {
			return nil, err
		}
		if line.head.State == devfundv1.PlanState_CLOSED {
			return nil, fault.New(fault.Refused, rules.ReasonPlanStateWrong, "plan %s is closed: its spend is final", head.ID).With("plan_id", head.ID).With("state", line.head.State)
		}
		row := &store.SpendRow{
			ID: tx.NewID(), LineKey: line.row.Key(), CommissionerCode: head.CommissionerCode, Year: head.Year, Month: month, Position: 1,
			ToDate: money.Pence(req.GetSpentToDatePence()), Forecast: money.Pence(req.GetForecastPence()), Note: strings.TrimSpace(req.GetNote()), Stands: true,
			RecordedBy: tx.By.Subject, RecordedAt: sqldb.Micros(tx.Now()),
		}
		if err := checkReport(ctx, tx, row); err != nil {
			return nil, err
		}
		if err := store.InsertSpend(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		out := spendToProto(row)
		if _, err := tx.Announce(ctx, "plan/"+head.ID, head.CommissionerCode, &devfundv1.SpendReported{Report: out}); err != nil {
			return nil, err
		}
		return out, tx.Record(ctx, "devfund/plans/"+head.ID, head.CommissionerCode,
			fmt.Sprintf("line %s: %s spent to %s, %s forecast", row.LineID, row.ToDate, row.Month, row.Forecast))
	})
}

// checkReport refuses a report that contradicts others of its line, and one that lowers what was reported of its month without saying why.
func checkReport(ctx context.Context, tx *change.Tx, row *store.SpendRow) error {
	held, err := store.SpendOf(ctx, tx, row.LineKey)
	if err != nil {
		return err
	}
	for i := range held {
		if held[i].Month != row.Month {
			continue
		}
		row.Position = held[i].Position + 1
		if held[i].Stands && held[i].ToDate > row.ToDate && row.Note == "" {
			return fault.New(fault.Invalid, rules.ReasonSpendBelowEarlier, "%s spent to %s was reported, and it falls to %s: say why", held[i].ToDate, row.Month, row.ToDate).
				With("month", row.Month).With("reported_pence", int64(held[i].ToDate)).With("spent_pence", int64(row.ToDate)).At("note", "why the spend falls")
		}
	}
	return rules.CheckSpend(row.Year, period.DateOf(tx.Now()).Month(), reported(slices.DeleteFunc(held, func(r store.SpendRow) bool { return r.Month == row.Month })),
		&rules.Spend{Month: row.Month, ToDate: row.ToDate, Forecast: row.Forecast, Position: row.Position})
}

// ListSpendReports returns reports, newest first. A PCN sees those of lines that pay it alone.
func (s *Service) ListSpendReports(ctx context.Context, req *devfundv1.ListSpendReportsRequest) (*devfundv1.ListSpendReportsResponse, error) {
	ctx, err := s.listing(ctx, req)
	if err != nil {
		return nil, err
	}
	by, size, err := planPage(ctx, req)
	if err != nil {
		return nil, err
	}
	if by.Year, err = listedYear(req.GetFinancialYear()); err != nil {
		return nil, err
	}
	var rows []store.SpendRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.SpendReports(ctx, q, by, store.SpendFilter{PlanID: req.GetPlanId(), LineID: req.GetLineId(), Standing: req.GetStandingOnly()})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListSpendReportsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.SpendRow) string { return r.ID })
	for i := range rows {
		out.Reports = append(out.Reports, spendToProto(&rows[i]))
	}
	return out, nil
}

func spendToProto(r *store.SpendRow) *devfundv1.SpendReport {
	return &devfundv1.SpendReport{
		ReportId: r.ID, PlanId: r.PlanID, LineId: r.LineID, CommissionerCode: r.CommissionerCode, FinancialYear: yearWords(r.Year), Month: r.Month.String(),
		SpentToDatePence: int64(r.ToDate), ForecastPence: int64(r.Forecast), Note: r.Note, Stands: r.Stands, RecordedBy: r.RecordedBy, RecordedAt: timestamp(r.RecordedAt),
	}
}
