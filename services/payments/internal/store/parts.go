package store

import (
	"context"
	"database/sql"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// ByPCN holds amounts by payee and PCN.
type ByPCN map[string]map[string]money.Pence

// collectByPCN reads payee, PCN and amount.
func collectByPCN(ctx context.Context, q sqldb.Querier, out ByPCN, query string, args ...any) error {
	type row struct {
		payee, pcn string
		amount     money.Pence
	}
	return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.payee, &r.pcn, &r.amount)
		return r, err
	}, func(r row) error {
		if out[r.payee] == nil {
			out[r.payee] = make(map[string]money.Pence)
		}
		out[r.payee][r.pcn] += r.amount
		return nil
	}, query, args...)
}

// LinesByPCN adds up the lines that a run was frozen with.
func LinesByPCN(ctx context.Context, q sqldb.Querier, runID string) (ByPCN, error) {
	out := make(ByPCN)
	return out, collectByPCN(ctx, q, out, `SELECT f.payee_code, l.pcn_code, CAST(SUM(f.amount_pence) AS BIGINT) FROM run_lines f
		JOIN lines l ON l.line_id = f.line_id WHERE f.run_id = $1 GROUP BY f.payee_code, l.pcn_code`, runID)
}

// OwedByPCN returns for some payees what each of their PCNs was overpaid in runs of some commissioners and has not given back: a
// debt above zero.
func OwedByPCN(ctx context.Context, q sqldb.Querier, commissioners, payees []string) (ByPCN, error) {
	out := make(ByPCN)
	return out, sqldb.InBatches(payees, func(batch []string) error {
		var f sqldb.Filter
		f.In("t.payee_code", batch)
		f.In("r.commissioner_code", commissioners)
		f.Where("(t.brought_forward_pence <> 0 OR t.carried_forward_pence <> 0)")
		// What was issued again or kept back is undone.
		f.Where(`NOT EXISTS (SELECT 1 FROM postings a JOIN postings b ON b.reverses = a.posting_id
			WHERE a.source = 'run/' || t.run_id || '/' || t.payee_code)`)
		return collectByPCN(ctx, q, out, `SELECT t.payee_code, t.pcn_code, CAST(SUM(t.brought_forward_pence - t.carried_forward_pence) AS BIGINT)
			FROM run_parts t JOIN runs r ON r.run_id = t.run_id`+f.String()+` GROUP BY t.payee_code, t.pcn_code`, f.Args()...)
	})
}

// InsertParts adds the PCNs' parts of a run that is approved.
func InsertParts(ctx context.Context, tx *sqldb.Tx, runID string, parts []rules.Part) error {
	at := sqldb.Micros(tx.Now())
	_, err := tx.BulkInsert(ctx, "run_parts", []string{
		"run_id", "payee_code", "pcn_code", "lines_pence", "brought_forward_pence", "carried_forward_pence", "approved_at",
	}, rowsOf(parts, func(p rules.Part) ([]any, error) {
		return []any{runID, p.PayeeCode, p.PCNCode, int64(p.LinesTotal), int64(p.BroughtForward), int64(p.CarriedForward), at}, nil
	}))
	return err
}

// PartRow is a PCN's part of what an approved run comes to for a payee.
type PartRow struct {
	rules.Part
	// Run has its id, commissioner and month.
	Run RunRow
	// CommissionerCode is the one that owes the payment now, or else the run's.
	CommissionerCode string
	ApprovedAt       int64 // microseconds
	// Payee is what was frozen for the payee: name, what is carried, and what is sent.
	Payee rules.PayeeTotal
	// Payment has no ID where none was sent.
	Payment PaymentRow
}

// PartsOfPCN returns a PCN's parts of approved runs, in order of run and payee.
func PartsOfPCN(ctx context.Context, q sqldb.Querier, pcn string) ([]PartRow, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (p PartRow, err error) {
		var text string
		y := &p.Payment
		if err := rows.Scan(&p.Run.ID, &p.PayeeCode, &p.LinesTotal, &p.BroughtForward, &p.CarriedForward, &p.ApprovedAt, &p.CommissionerCode,
			&p.Run.CommissionerCode, &p.Run.CommissionerName, &text, &p.Payee.PayeeName, &p.Payee.CarriedForward, &p.Payee.Net, &y.ID, &y.Amount, &y.State, &y.SentAt, &y.SentOn,
			&y.ConfirmedOn, &y.PayerReference, &y.RejectReason, &y.Version); err != nil {
			return p, err
		}
		p.PCNCode, p.Payee.PayeeCode = pcn, p.PayeeCode
		y.RunID, y.CommissionerCode, y.PayeeCode, y.PayeeName = p.Run.ID, p.CommissionerCode, p.PayeeCode, p.Payee.PayeeName
		p.Run.Month, err = month(text)
		return p, err
	}, `SELECT t.run_id, t.payee_code, t.lines_pence, t.brought_forward_pence, t.carried_forward_pence, t.approved_at,
		COALESCE(y.commissioner_code, r.commissioner_code), r.commissioner_code, r.commissioner_name, r.month, p.payee_name, p.carried_forward_pence, p.net_pence,
		COALESCE(y.payment_id, ''), COALESCE(y.amount_pence, 0), COALESCE(y.state, 0), COALESCE(y.sent_at, 0), COALESCE(y.sent_on, ''),
		COALESCE(y.confirmed_on, ''), COALESCE(y.payer_reference, ''), COALESCE(y.reject_reason, ''), COALESCE(y.version, 0)
		FROM run_parts t JOIN runs r ON r.run_id = t.run_id JOIN run_payees p ON p.run_id = t.run_id AND p.payee_code = t.payee_code
		LEFT JOIN payments y ON y.run_id = t.run_id AND y.payee_code = t.payee_code
		WHERE t.pcn_code = $1 ORDER BY r.month, t.run_id, t.payee_code`, pcn)
}

// FrozenRow says that a run was frozen with a line of a payee.
type FrozenRow struct{ RunID, PayeeCode, LineID string }

// FrozenForPCN returns with which of some lines approved runs were frozen that have a part of the PCN.
func FrozenForPCN(ctx context.Context, q sqldb.Querier, pcn string, lines []string) ([]FrozenRow, error) {
	var out []FrozenRow
	return out, sqldb.InBatches(lines, func(batch []string) error {
		var f sqldb.Filter
		f.In("f.line_id", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r FrozenRow, err error) {
			err = rows.Scan(&r.RunID, &r.PayeeCode, &r.LineID)
			return r, err
		}, func(r FrozenRow) error { out = append(out, r); return nil }, `SELECT f.run_id, f.payee_code, f.line_id
			FROM (SELECT DISTINCT run_id FROM run_parts WHERE pcn_code = `+f.Arg(pcn)+`) t JOIN run_lines f ON f.run_id = t.run_id`+f.String(), f.Args()...)
	})
}

// Reversed returns which of some sources caused postings that were undone, and when, in microseconds.
func Reversed(ctx context.Context, q sqldb.Querier, sources []string) (map[string]int64, error) {
	type undone struct {
		source string
		at     int64
	}
	out := make(map[string]int64)
	return out, sqldb.InBatches(sources, func(batch []string) error {
		var f sqldb.Filter
		f.In("a.source", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (u undone, err error) {
			err = rows.Scan(&u.source, &u.at)
			return u, err
		}, func(u undone) error { out[u.source] = u.at; return nil },
			`SELECT a.source, MIN(b.recorded_at) FROM postings a JOIN postings b ON b.reverses = a.posting_id`+f.String()+` GROUP BY a.source`, f.Args()...)
	})
}

// NewestPlans returns the instalments last agreed with some payees, by payee.
func NewestPlans(ctx context.Context, q sqldb.Querier, commissioners, payees []string) (map[string]PlanRow, error) {
	var f sqldb.Filter
	f.In("commissioner_code", commissioners)
	f.In("payee_code", payees)
	out := make(map[string]PlanRow)
	return out, sqldb.Each(ctx, q, scanPlan, func(p PlanRow) error { out[p.PayeeCode] = p; return nil },
		`SELECT commissioner_code, payee_code, payee_name, instalment_pence, from_month, reason, planned_by, planned_at FROM recovery_plans`+f.String()+
			` ORDER BY planned_at, plan_id`, f.Args()...)
}
