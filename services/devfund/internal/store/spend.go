package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

// LineKey names a line across the versions of its plan.
type LineKey struct {
	PlanID, LineID string
}

// Key names the line across the versions of its plan.
func (r *PlanLineRow) Key() LineKey { return LineKey{r.PlanID, r.LineID} }

// SpendRow is what was reported of a line for a month.
type SpendRow struct {
	ID string
	LineKey
	CommissionerCode string // of the plan
	Year             period.FinancialYear
	Month            period.Month
	Position         int64       // among the reports of the line and month, from 1
	ToDate           money.Pence // from April to the end of the month
	Forecast         money.Pence // for the whole year
	Note             string
	Stands           bool // no later report of the line and month takes its place
	RecordedBy       string
	RecordedAt       int64 // microseconds
}

// later is the condition that another report of the line and month takes the place of r.
const later = `EXISTS (SELECT 1 FROM spend_reports n WHERE n.plan_id = r.plan_id AND n.line_id = r.line_id AND n.month = r.month AND n.position > r.position)`

const spendColumns = `r.report_id, r.plan_id, r.line_id, r.commissioner_code, r.financial_year, r.month, r.position, r.spent_to_date_pence, r.forecast_pence,
	r.note, NOT ` + later + `, r.recorded_by, r.recorded_at`

func scanSpend(rows *sql.Rows) (r SpendRow, err error) {
	var year, month string
	if err := rows.Scan(&r.ID, &r.PlanID, &r.LineID, &r.CommissionerCode, &year, &month, &r.Position, &r.ToDate, &r.Forecast,
		&r.Note, &r.Stands, &r.RecordedBy, &r.RecordedAt); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year, r.Month = p.Year(year), p.Month(month)
	return r, p.Err
}

// InsertSpend adds a report. Its position follows that of the report whose place it takes.
func InsertSpend(ctx context.Context, tx *sqldb.Tx, r *SpendRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO spend_reports (report_id, plan_id, line_id, commissioner_code, financial_year, month, position, spent_to_date_pence,
		forecast_pence, note, recorded_by, recorded_at) VALUES (`+sqldb.Placeholders(1, 12)+`)`, r.ID, r.PlanID, r.LineID, r.CommissionerCode, r.Year.String(),
		r.Month.String(), r.Position, int64(r.ToDate), int64(r.Forecast), r.Note, r.RecordedBy, r.RecordedAt)
	if err != nil {
		return fmt.Errorf("insert spend of line %s of plan %s: %w", r.LineID, r.PlanID, err)
	}
	return nil
}

// SpendOf returns every report of a line, by month in the order in which they were recorded.
func SpendOf(ctx context.Context, q sqldb.Querier, of LineKey) ([]SpendRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanSpend, `SELECT `+spendColumns+` FROM spend_reports r WHERE r.plan_id = $1 AND r.line_id = $2
		ORDER BY r.month, r.position`, of.PlanID, of.LineID)
	if err != nil {
		return nil, fmt.Errorf("load spend of line %s of plan %s: %w", of.LineID, of.PlanID, err)
	}
	return rows, nil
}

// SpendFilter narrows a list of reports. Empty values narrow nothing.
type SpendFilter struct {
	PlanID, LineID string
	Standing       bool // leaves out reports that others took the place of
}

// paysNobodyElse is the condition that the approved version of a report's line pays networks, and of these no other than some.
func paysNobodyElse(f *sqldb.Filter, commissioners, pcns []string) {
	tranches := `SELECT 1 FROM tranches t JOIN plans p ON p.plan_id = t.plan_id AND p.approved_version = t.number WHERE t.plan_id = r.plan_id AND t.line_id = r.line_id`
	f.Where(`(`+among("r.commissioner_code", len(commissioners))+` OR (EXISTS (`+tranches+`) AND NOT EXISTS (`+tranches+` AND NOT (`+among("t.pcn_code", len(pcns))+`))))`,
		append(anys(commissioners), anys(pcns)...)...)
}

// SpendReports returns reports, newest first: those of plans of the commissioners of the page's scope, and of lines that pay its PCNs alone.
func SpendReports(ctx context.Context, q sqldb.Querier, page Page, by SpendFilter) ([]SpendRow, error) {
	var f sqldb.Filter
	if page.Commissioners != nil {
		paysNobodyElse(&f, page.Commissioners, page.PCNs)
	}
	f.Equal("r.commissioner_code", page.CommissionerCode, "r.financial_year", page.Year, "r.plan_id", by.PlanID, "r.line_id", by.LineID)
	if by.Standing {
		f.Where("NOT " + later)
	}
	if page.Before != "" {
		f.Where("r.report_id < ?", page.Before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanSpend, `SELECT `+spendColumns+` FROM spend_reports r`+conditions+` ORDER BY r.report_id DESC`+f.Limit(page.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("list spend: %w", err)
	}
	return rows, nil
}

// ofApproved joins plans with the versions of them that are committed, for PlanFilter.
const ofApproved = ` JOIN plans p ON p.plan_id = r.plan_id JOIN plan_versions v ON v.plan_id = p.plan_id AND v.number = p.approved_version`

// Spend returns the standing reports of plans with an approved version, by line in order of month.
func Spend(ctx context.Context, q sqldb.Querier, by PlanFilter) (map[LineKey][]SpendRow, error) {
	var f sqldb.Filter
	by.on(&f)
	f.Where("NOT " + later)
	out := make(map[LineKey][]SpendRow)
	err := sqldb.Each(ctx, q, scanSpend, func(r SpendRow) error {
		out[r.LineKey] = append(out[r.LineKey], r)
		return nil
	}, `SELECT `+spendColumns+` FROM spend_reports r`+ofApproved+f.String()+` ORDER BY r.plan_id, r.line_id, r.month`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load spend: %w", err)
	}
	return out, nil
}

// ScheduledRow is what schedules of a body hold of a line for a month.
type ScheduledRow struct {
	Payer    string // body that the schedules are of
	ForMonth period.Month
	Amount   money.Pence
}

// Scheduled returns what schedules hold of lines of plans with an approved version, by line, payer and month.
func Scheduled(ctx context.Context, q sqldb.Querier, by PlanFilter) (map[LineKey][]ScheduledRow, error) {
	type row struct {
		LineKey
		ScheduledRow
	}
	var f sqldb.Filter
	by.on(&f)
	out := make(map[LineKey][]ScheduledRow)
	err := sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
		var month string
		if err := rows.Scan(&r.PlanID, &r.LineID, &r.Payer, &month, &r.Amount); err != nil {
			return r, err
		}
		r.ForMonth, err = storedMonth(month)
		return r, err
	}, func(r row) error {
		out[r.LineKey] = append(out[r.LineKey], r.ScheduledRow)
		return nil
	}, `SELECT r.plan_id, r.plan_line_id, r.commissioner_code, r.for_month, CAST(SUM(r.amount_pence) AS BIGINT) FROM lines r`+ofApproved+f.String()+
		` GROUP BY r.plan_id, r.plan_line_id, r.commissioner_code, r.for_month ORDER BY r.plan_id, r.plan_line_id, r.commissioner_code, r.for_month`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load what schedules hold: %w", err)
	}
	return out, nil
}

// ClosedLine is a line of a schedule with when and by whom that was closed.
type ClosedLine struct {
	ScheduleLine
	ClosedBy string
	ClosedAt int64 // microseconds
}

// LinesOfLine returns what schedules hold of a line of a plan, in the order in which it was closed.
func LinesOfLine(ctx context.Context, q sqldb.Querier, of LineKey) ([]ClosedLine, error) {
	var f sqldb.Filter
	f.Equal("l.plan_id", of.PlanID, "l.plan_line_id", of.LineID)
	found, err := closedLines(ctx, q, &f)
	lines, err := inOrderOfClose(found, err)
	if err != nil {
		return nil, err
	}
	schedules := make(map[string]ScheduleRow)
	out := make([]ClosedLine, len(lines))
	for i := range lines {
		id := lines[i].ScheduleID
		if _, known := schedules[id]; !known {
			if schedules[id], err = Schedule(ctx, q, id); err != nil {
				return nil, fmt.Errorf("load schedule %s: %w", id, err)
			}
		}
		out[i] = ClosedLine{ScheduleLine: lines[i], ClosedBy: schedules[id].ClosedBy, ClosedAt: schedules[id].ClosedAt}
	}
	return out, nil
}

// PaidBy returns the networks that tranches of the approved version of a line pay, by code.
func PaidBy(tranches []TrancheRow, line string) []string {
	var out []string
	for i := range tranches {
		if tranches[i].LineID == line {
			out = append(out, tranches[i].PCNCode)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
