package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// MonthTotals adds up a closed month.
type MonthTotals struct {
	Commissioners      int
	Practices          int64
	RegisteredPatients int64
	Lines              int
	PCNs               int
	PayTotal           money.Pence
	ReconcileTotal     money.Pence
	HeldLines          int
}

// PaymentTotals adds up one payment of a closed month.
type PaymentTotals struct {
	PaymentCode   string
	Instruction   rules.Instruction
	Lines         int
	Beneficiaries int
	Amount        money.Pence
	Adjustments   money.Pence
}

// PCNTotals is the sum of one PCN in a closed month.
type PCNTotals struct {
	PCNCode, PCNName, CommissionerCode string
	Amount                             money.Pence
}

// Totals adds up the schedules of a month. Practices and patients are counted once a commissioner, from its first schedule.
func Totals(ctx context.Context, q sqldb.Querier, month string, commissioners []string) (MonthTotals, error) {
	var f sqldb.Filter
	f.Where("month = ?", month)
	f.Within("commissioner_code", commissioners)
	var t MonthTotals
	err := q.QueryRow(ctx, `SELECT COUNT(DISTINCT commissioner_code), CAST(COALESCE(SUM(CASE WHEN sequence = 1 THEN practices END), 0) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN sequence = 1 THEN registered_patients END), 0) AS BIGINT), CAST(COALESCE(SUM(line_count), 0) AS BIGINT),
		CAST(COALESCE(SUM(pay_total_pence), 0) AS BIGINT), CAST(COALESCE(SUM(reconcile_total_pence), 0) AS BIGINT) FROM schedules`+f.String(), f.Args()...).
		Scan(&t.Commissioners, &t.Practices, &t.RegisteredPatients, &t.Lines, &t.PayTotal, &t.ReconcileTotal)
	if err != nil {
		return t, fmt.Errorf("add up schedules: %w", err)
	}
	err = q.QueryRow(ctx, `SELECT COUNT(DISTINCT pcn_code), COALESCE(SUM(CASE WHEN holds <> '' THEN 1 ELSE 0 END), 0) FROM lines`+f.String(),
		f.Args()...).Scan(&t.PCNs, &t.HeldLines)
	if err != nil {
		return t, fmt.Errorf("add up lines: %w", err)
	}
	return t, nil
}

// TotalsByPayment adds up the lines of a month by payment and instruction.
func TotalsByPayment(ctx context.Context, q sqldb.Querier, month string, commissioners []string) ([]PaymentTotals, error) {
	var f sqldb.Filter
	f.Where("month = ?", month)
	f.Within("commissioner_code", commissioners)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (t PaymentTotals, err error) {
		err = rows.Scan(&t.PaymentCode, &t.Instruction, &t.Lines, &t.Beneficiaries, &t.Amount, &t.Adjustments)
		return t, err
	}, `SELECT payment_code, instruction, COUNT(*), COUNT(DISTINCT pcn_code || '/' || practice_code), CAST(SUM(amount_pence) AS BIGINT),
		CAST(COALESCE(SUM(CASE WHEN adjustment_cause <> 0 THEN amount_pence END), 0) AS BIGINT)
		FROM lines`+f.String()+` GROUP BY payment_code, instruction ORDER BY payment_code, instruction`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("add up payments: %w", err)
	}
	return rows, nil
}

// TotalsByPCN returns the largest or smallest sums of a month.
func TotalsByPCN(ctx context.Context, q sqldb.Querier, month string, commissioners []string, smallest bool, limit int) ([]PCNTotals, error) {
	var f sqldb.Filter
	f.Where("month = ?", month)
	f.Within("commissioner_code", commissioners)
	order := "DESC"
	if smallest {
		order = "ASC"
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (t PCNTotals, err error) {
		err = rows.Scan(&t.PCNCode, &t.PCNName, &t.CommissionerCode, &t.Amount)
		return t, err
	}, `SELECT pcn_code, MAX(pcn_name), MIN(commissioner_code), CAST(SUM(amount_pence) AS BIGINT) AS total FROM lines`+conditions+
		` GROUP BY pcn_code ORDER BY total `+order+`, pcn_code`+f.Limit(limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("add up networks: %w", err)
	}
	return rows, nil
}
