package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// PlanLineRow is a line of a version, with what is asked of lines without reading them.
type PlanLineRow struct {
	VersionKey
	LineID           string
	CommissionerCode string // of the plan
	Year             period.FinancialYear
	AllocationID     string
	Level            devfundv1.LineLevel
	Domain           devfundv1.SupportDomain
	Payee            devfundv1.PayeeKind
	Amount           money.Pence
	Message          *devfundv1.PlanLine // as its author wrote it
}

const lineColumns = `l.plan_id, l.number, l.line_id, p.commissioner_code, p.financial_year, l.allocation_id, l.level, l.domain, l.payee, l.amount_pence, l.message`

func scanLine(rows *sql.Rows) (r PlanLineRow, err error) {
	var year string
	var body []byte
	if err := rows.Scan(&r.PlanID, &r.Number, &r.LineID, &r.CommissionerCode, &year, &r.AllocationID, &r.Level, &r.Domain, &r.Payee, &r.Amount, &body); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year = p.Year(year); p.Err != nil {
		return r, p.Err
	}
	r.Message, err = sqldb.Unmarshal(body, new(devfundv1.PlanLine))
	return r, err
}

// VersionLines returns the lines of versions, each in the order of its author.
func VersionLines(ctx context.Context, q sqldb.Querier, keys []VersionKey) (map[VersionKey][]PlanLineRow, error) {
	out := make(map[VersionKey][]PlanLineRow, len(keys))
	return out, ofVersions("l", keys, func(f sqldb.Filter) error {
		return sqldb.Each(ctx, q, scanLine, func(r PlanLineRow) error {
			out[r.VersionKey] = append(out[r.VersionKey], r)
			return nil
		}, `SELECT `+lineColumns+` FROM plan_lines l JOIN plans p ON p.plan_id = l.plan_id`+f.String()+
			` ORDER BY l.plan_id, l.number, l.position`, f.Args()...)
	})
}

// LinesOf returns the lines of one version in the order of its author.
func LinesOf(ctx context.Context, q sqldb.Querier, key VersionKey) ([]PlanLineRow, error) {
	lines, err := VersionLines(ctx, q, []VersionKey{key})
	return lines[key], err
}

// ApprovedLines returns the lines of the versions that are committed, by plan in the order of their authors.
func ApprovedLines(ctx context.Context, q sqldb.Querier, by PlanFilter) ([]PlanLineRow, error) {
	var f sqldb.Filter
	by.on(&f)
	return sqldb.Collect(ctx, q, scanLine, `SELECT `+lineColumns+` FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id AND v.number = p.approved_version
		JOIN plan_lines l ON l.plan_id = v.plan_id AND l.number = v.number`+f.String()+` ORDER BY l.plan_id, l.position`, f.Args()...)
}

// DrawnRow is what lines of versions that are committed draw on an allocation, and what lines of newest versions would that are not.
type DrawnRow struct {
	AllocationID string
	Committed    money.Pence
	Planned      money.Pence
}

// Drawn returns that of some allocations. One on which nothing is drawn has no row.
func Drawn(ctx context.Context, q sqldb.Querier, allocations []string) (map[string]DrawnRow, error) {
	out := make(map[string]DrawnRow, len(allocations))
	return out, sqldb.InBatches(allocations, func(batch []string) error {
		var f sqldb.Filter
		rejected, superseded := f.Arg(int64(devfundv1.PlanState_REJECTED)), f.Arg(int64(devfundv1.PlanState_SUPERSEDED))
		f.In("l.allocation_id", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r DrawnRow, err error) {
			return r, rows.Scan(&r.AllocationID, &r.Committed, &r.Planned)
		}, func(r DrawnRow) error {
			out[r.AllocationID] = r
			return nil
		}, `SELECT l.allocation_id, CAST(COALESCE(SUM(CASE WHEN l.number = p.approved_version THEN l.amount_pence ELSE 0 END), 0) AS BIGINT),
			CAST(COALESCE(SUM(CASE WHEN l.number = p.newest_version AND p.newest_version <> p.approved_version AND v.state NOT IN (`+rejected+`, `+superseded+`)
				THEN l.amount_pence ELSE 0 END), 0) AS BIGINT)
			FROM plan_lines l JOIN plans p ON p.plan_id = l.plan_id JOIN plan_versions v ON v.plan_id = l.plan_id AND v.number = l.number`+f.String()+
			` GROUP BY l.allocation_id`, f.Args()...)
	})
}

// TrancheRow is what an approved version pays a PCN in a month for one line.
type TrancheRow struct {
	VersionKey
	LineID           string
	CommissionerCode string // of the plan
	PCNCode          string
	Month            period.Month
	Amount           money.Pence
}

// InsertTranches adds what a version pays. A version has them once: they are fixed at its approval.
func InsertTranches(ctx context.Context, tx *sqldb.Tx, rows []TrancheRow) error {
	_, err := tx.BulkInsert(ctx, "tranches", []string{"plan_id", "number", "line_id", "pcn_code", "month", "amount_pence"},
		rowsOf(rows, func(r TrancheRow) ([]any, error) {
			return []any{r.PlanID, r.Number, r.LineID, r.PCNCode, r.Month.String(), int64(r.Amount)}, nil
		}))
	if err != nil {
		return fmt.Errorf("insert tranches: %w", err)
	}
	return nil
}

const trancheColumns = `t.plan_id, t.number, t.line_id, p.commissioner_code, t.pcn_code, t.month, t.amount_pence`

func scanTranche(rows *sql.Rows) (r TrancheRow, err error) {
	var month string
	if err := rows.Scan(&r.PlanID, &r.Number, &r.LineID, &r.CommissionerCode, &r.PCNCode, &month, &r.Amount); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Month = p.Month(month)
	return r, p.Err
}

// TranchesOf returns what one version pays, in order of line, PCN and month; nothing before it is approved.
func TranchesOf(ctx context.Context, q sqldb.Querier, key VersionKey) ([]TrancheRow, error) {
	return sqldb.Collect(ctx, q, scanTranche, `SELECT `+trancheColumns+` FROM tranches t JOIN plans p ON p.plan_id = t.plan_id
		WHERE t.plan_id = $1 AND t.number = $2 ORDER BY t.line_id, t.pcn_code, t.month`, key.PlanID, key.Number)
}

// ApprovedTranches returns what the versions that are committed pay up to a month, in order of plan, line, PCN and month.
func ApprovedTranches(ctx context.Context, q sqldb.Querier, through period.Month, by PlanFilter) ([]TrancheRow, error) {
	var f sqldb.Filter
	by.on(&f)
	f.Where("t.month <= ?", through.String())
	return sqldb.Collect(ctx, q, scanTranche, `SELECT `+trancheColumns+` FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id AND v.number = p.approved_version
		JOIN tranches t ON t.plan_id = v.plan_id AND t.number = v.number`+f.String()+` ORDER BY t.plan_id, t.line_id, t.pcn_code, t.month`, f.Args()...)
}

// ScheduledKey names a tranche across the versions of its plan.
type ScheduledKey struct {
	LineID, PCNCode string
	Month           period.Month
}

// SchedulesOf tells for the tranches of a plan the schedule that took each first.
func SchedulesOf(ctx context.Context, q sqldb.Querier, plan string) (map[ScheduledKey]string, error) {
	type row struct {
		ScheduledKey
		schedule string
	}
	out := make(map[ScheduledKey]string)
	return out, sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
		var month string
		if err := rows.Scan(&r.LineID, &r.PCNCode, &month, &r.schedule); err != nil {
			return r, err
		}
		var p stored.Texts
		r.Month = p.Month(month)
		return r, p.Err
	}, func(r row) error {
		if _, known := out[r.ScheduledKey]; !known {
			out[r.ScheduledKey] = r.schedule
		}
		return nil
	}, `SELECT l.plan_line_id, l.pcn_code, l.for_month, l.schedule_id FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id
		WHERE l.plan_id = $1 ORDER BY s.closed_at, s.month, s.sequence, l.line_id`, plan)
}

// UnreportedLines returns the lines of a version with an amount of which no spend was reported for a month, in the order of their author.
func UnreportedLines(ctx context.Context, q sqldb.Querier, key VersionKey, month period.Month) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT l.line_id FROM plan_lines l WHERE l.plan_id = $1 AND l.number = $2 AND l.amount_pence > 0
		AND NOT EXISTS (SELECT 1 FROM spend_reports r WHERE r.plan_id = l.plan_id AND r.line_id = l.line_id AND r.month = $3)
		ORDER BY l.position`, key.PlanID, key.Number, month.String())
}

// TreatedOf returns what approved treatments moved of the lines of a plan, by line.
func TreatedOf(ctx context.Context, q sqldb.Querier, plan string) (map[string]money.Pence, error) {
	type row struct {
		line   string
		amount money.Pence
	}
	out := make(map[string]money.Pence)
	return out, sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
		return r, rows.Scan(&r.line, &r.amount)
	}, func(r row) error {
		out[r.line] = r.amount
		return nil
	}, `SELECT line_id, CAST(SUM(amount_pence) AS BIGINT) FROM treatments WHERE plan_id = $1 AND state = 2 GROUP BY line_id`, plan)
}
