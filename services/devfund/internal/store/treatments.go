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

// TreatmentRow is what is to become, or became, of unspent money of a line.
type TreatmentRow struct {
	ID string
	LineKey
	CommissionerCode string // of the plan
	Year             period.FinancialYear
	Policy           devfundv1.UnspentPolicy
	Amount           money.Pence
	Reason           string
	State            devfundv1.TreatmentState
	ProposedBy       string
	ProposedAt       int64  // microseconds
	DecidedBy        string // empty while it waits
	DecidedAt        int64  // microseconds; 0 while it waits
	DecisionReason   string
	AllocationID     string // of the next year; empty unless carried forward
	Version          int64  // counts changes, for the tag
}

const treatmentColumns = `r.treatment_id, r.plan_id, r.line_id, r.commissioner_code, r.financial_year, r.policy, r.amount_pence, r.reason, r.state,
	r.proposed_by, r.proposed_at, r.decided_by, r.decided_at, r.decision_reason, r.allocation_id, r.version`

func scanTreatment(rows *sql.Rows) (r TreatmentRow, err error) {
	var year string
	if err := rows.Scan(&r.ID, &r.PlanID, &r.LineID, &r.CommissionerCode, &year, &r.Policy, &r.Amount, &r.Reason, &r.State,
		&r.ProposedBy, &r.ProposedAt, &r.DecidedBy, &r.DecidedAt, &r.DecisionReason, &r.AllocationID, &r.Version); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year = p.Year(year)
	return r, p.Err
}

// InsertTreatment adds a treatment that waits. Of one line one waits at a time.
func InsertTreatment(ctx context.Context, tx *sqldb.Tx, r *TreatmentRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO treatments (treatment_id, plan_id, line_id, commissioner_code, financial_year, policy, amount_pence, reason, state,
		proposed_by, proposed_at, version) VALUES (`+sqldb.Placeholders(1, 12)+`)`, r.ID, r.PlanID, r.LineID, r.CommissionerCode, r.Year.String(),
		int64(r.Policy), int64(r.Amount), r.Reason, int64(r.State), r.ProposedBy, r.ProposedAt, r.Version)
	if err != nil {
		return fmt.Errorf("insert treatment of line %s of plan %s: %w", r.LineID, r.PlanID, err)
	}
	return nil
}

// ChangeTreatment stores how a treatment was decided, if its row is still the one that was read.
func ChangeTreatment(ctx context.Context, tx *sqldb.Tx, r *TreatmentRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE treatments SET state = $1, decided_by = $2, decided_at = $3, decision_reason = $4, allocation_id = $5,
		version = version + 1 WHERE treatment_id = $6 AND version = $7`,
		int64(r.State), r.DecidedBy, r.DecidedAt, r.DecisionReason, r.AllocationID, r.ID, r.Version))
}

// Treatment returns a treatment, or sql.ErrNoRows.
func Treatment(ctx context.Context, q sqldb.Querier, id string) (TreatmentRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanTreatment, `SELECT `+treatmentColumns+` FROM treatments r WHERE r.treatment_id = $1`, id))
}

// Treatments returns treatments, newest first.
func Treatments(ctx context.Context, q sqldb.Querier, page Page, plan string) ([]TreatmentRow, error) {
	var f sqldb.Filter
	f.Within("r.commissioner_code", page.Commissioners)
	f.Equal("r.financial_year", page.Year, "r.plan_id", plan)
	if page.Before != "" {
		f.Where("r.treatment_id < ?", page.Before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanTreatment, `SELECT `+treatmentColumns+` FROM treatments r`+conditions+` ORDER BY r.treatment_id DESC`+f.Limit(page.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("list treatments: %w", err)
	}
	return rows, nil
}

// TreatmentsOf returns the treatments of lines of plans with an approved version, by line in the order in which they were proposed.
func TreatmentsOf(ctx context.Context, q sqldb.Querier, by PlanFilter) (map[LineKey][]TreatmentRow, error) {
	var f sqldb.Filter
	by.on(&f)
	out := make(map[LineKey][]TreatmentRow)
	err := sqldb.Each(ctx, q, scanTreatment, func(r TreatmentRow) error {
		out[r.LineKey] = append(out[r.LineKey], r)
		return nil
	}, `SELECT `+treatmentColumns+` FROM treatments r`+ofApproved+f.String()+` ORDER BY r.proposed_at, r.treatment_id`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load treatments: %w", err)
	}
	return out, nil
}

// InsertRecoveries adds what an approved treatment takes back from networks.
func InsertRecoveries(ctx context.Context, tx *sqldb.Tx, rows []RecoveryRow) error {
	_, err := tx.BulkInsert(ctx, "recoveries", []string{"treatment_id", "plan_id", "line_id", "pcn_code", "month", "amount_pence"},
		rowsOf(rows, func(r RecoveryRow) ([]any, error) {
			return []any{r.TreatmentID, r.PlanID, r.LineID, r.PCNCode, r.Month.String(), int64(r.Amount)}, nil
		}))
	if err != nil {
		return fmt.Errorf("insert money taken back: %w", err)
	}
	return nil
}

// RecoverySchedules returns the schedules that took back what approved treatments take back, by treatment: of each network the first that was
// closed of the line and month after the decision.
func RecoverySchedules(ctx context.Context, q sqldb.Querier, treatments []string) (map[string][]string, error) {
	out := make(map[string][]string)
	return out, sqldb.InBatches(treatments, func(batch []string) error {
		var f sqldb.Filter
		f.In("r.treatment_id", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r [2]string, err error) {
			err = rows.Scan(&r[0], &r[1])
			return r, err
		}, func(r [2]string) error {
			out[r[0]] = append(out[r[0]], r[1])
			return nil
		}, `SELECT DISTINCT r.treatment_id, l.schedule_id FROM recoveries r JOIN treatments x ON x.treatment_id = r.treatment_id AND x.state = 2
			JOIN lines l ON l.plan_id = r.plan_id AND l.plan_line_id = r.line_id AND l.pcn_code = r.pcn_code AND l.for_month = r.month
			JOIN schedules s ON s.schedule_id = l.schedule_id AND s.closed_at >= x.decided_at
			AND NOT EXISTS (SELECT 1 FROM lines m JOIN schedules e ON e.schedule_id = m.schedule_id
				WHERE m.plan_id = l.plan_id AND m.plan_line_id = l.plan_line_id AND m.pcn_code = l.pcn_code AND m.for_month = l.for_month
				AND e.closed_at >= x.decided_at AND (e.closed_at < s.closed_at OR (e.closed_at = s.closed_at AND e.schedule_id < s.schedule_id)))`+f.String()+
			` ORDER BY r.treatment_id, l.schedule_id`, f.Args()...)
	})
}

// MovedFrom is what approved treatments moved of lines of approved versions that draw on an allocation.
func MovedFrom(ctx context.Context, q sqldb.Querier, allocation string) (sum money.Pence, err error) {
	err = q.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(r.amount_pence), 0) AS BIGINT) FROM treatments r JOIN plans p ON p.plan_id = r.plan_id
		JOIN plan_lines l ON l.plan_id = r.plan_id AND l.number = p.approved_version AND l.line_id = r.line_id
		WHERE l.allocation_id = $1 AND r.state = 2`, allocation).Scan(&sum)
	if err != nil {
		return 0, fmt.Errorf("sum treatments of %s: %w", allocation, err)
	}
	return sum, nil
}
