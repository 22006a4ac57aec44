package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
)

const correctionColumns = `correction_id, pcn_code, financial_year, commissioner_code, state, result_id, lines, amount_pence, reason, proposed_by, proposed_at,
	decided_by, decided_at, decision_reason, payment_month, schedule_id, version`

func scanCorrection(rows *sql.Rows) (r CorrectionRow, err error) {
	var year, month string
	var body []byte
	if err := rows.Scan(&r.ID, &r.PCNCode, &year, &r.CommissionerCode, &r.State, &r.ResultID, &body, &r.Amount, &r.Reason, &r.ProposedBy, &r.ProposedAt,
		&r.DecidedBy, &r.DecidedAt, &r.DecisionReason, &month, &r.ScheduleID, &r.Version); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year, r.PaymentMonth = p.Year(year), p.Month(month); p.Err != nil {
		return r, p.Err
	}
	held, err := sqldb.Unmarshal(body, new(iifv1.Correction))
	r.Lines = held.GetLines()
	return r, err
}

// InsertCorrection adds a correction; its result is there.
func InsertCorrection(ctx context.Context, tx *sqldb.Tx, r CorrectionRow) error {
	body, err := sqldb.Marshal(&iifv1.Correction{Lines: r.Lines})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO corrections (`+correctionColumns+`) VALUES (`+sqldb.Placeholders(1, 17)+`)`,
		r.ID, r.PCNCode, r.Year.String(), r.CommissionerCode, r.State, r.ResultID, body, int64(r.Amount), r.Reason, r.ProposedBy, r.ProposedAt,
		r.DecidedBy, r.DecidedAt, r.DecisionReason, r.PaymentMonth.String(), r.ScheduleID, r.Version)
	if err != nil {
		return fmt.Errorf("insert correction of %s: %w", r.PCNCode, err)
	}
	return nil
}

// ChangeCorrection stores how a correction was decided, if its row is still the one that was read.
func ChangeCorrection(ctx context.Context, tx *sqldb.Tx, r CorrectionRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE corrections SET commissioner_code = $1, state = $2, decided_by = $3, decided_at = $4, decision_reason = $5,
		payment_month = $6, version = version + 1 WHERE correction_id = $7 AND version = $8`,
		r.CommissionerCode, r.State, r.DecidedBy, r.DecidedAt, r.DecisionReason, r.PaymentMonth.String(), r.ID, r.Version))
}

// LeadCorrections gives the corrections of the years of PCNs that are in no schedule yet to the commissioner that owes them now.
func LeadCorrections(ctx context.Context, tx *sqldb.Tx, year period.FinancialYear, pcns []string, commissioner string) error {
	return sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		to := f.Arg(commissioner)
		f.In("pcn_code", batch)
		f.Where("financial_year = ?", year.String())
		f.Where("commissioner_code <> ?", commissioner)
		f.Where("schedule_id = ''")
		if _, err := tx.Exec(ctx, `UPDATE corrections SET commissioner_code = `+to+`, version = version + 1`+f.String(), f.Args()...); err != nil {
			return fmt.Errorf("hand corrections over to %s: %w", commissioner, err)
		}
		return nil
	})
}

// Correction returns a correction, or sql.ErrNoRows.
func Correction(ctx context.Context, q sqldb.Querier, id string) (CorrectionRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanCorrection, `SELECT `+correctionColumns+` FROM corrections WHERE correction_id = $1`, id))
}

// LiveCorrections returns the corrections of a PCN's year that wait for a decision, or for a close.
func LiveCorrections(ctx context.Context, q sqldb.Querier, pcn string, year period.FinancialYear) ([]CorrectionRow, error) {
	return sqldb.Collect(ctx, q, scanCorrection, `SELECT `+correctionColumns+` FROM corrections
		WHERE pcn_code = $1 AND financial_year = $2 AND (state = 1 OR (state = 2 AND schedule_id = '')) ORDER BY correction_id`, pcn, year.String())
}

// Corrections returns corrections, newest first.
func Corrections(ctx context.Context, q sqldb.Querier, by Page) ([]CorrectionRow, error) {
	f := by.newest("financial_year", "correction_id")
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanCorrection, `SELECT `+correctionColumns+` FROM corrections`+conditions+` ORDER BY correction_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// CorrectionsOf returns the corrections of the years of some PCNs, by PCN in the order in which they were proposed.
func CorrectionsOf(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]CorrectionRow, error) {
	var out []CorrectionRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.Where("financial_year = ?", year.String())
		f.In("pcn_code", batch)
		rows, err := sqldb.Collect(ctx, q, scanCorrection, `SELECT `+correctionColumns+` FROM corrections`+f.String()+` ORDER BY pcn_code, correction_id`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}
