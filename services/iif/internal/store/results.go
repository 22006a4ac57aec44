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
	"github.com/pcnfunding/pcnfunding/pkg/working"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// InsertResults adds results.
func InsertResults(ctx context.Context, tx *sqldb.Tx, results []ResultRow) error {
	_, err := tx.BulkInsert(ctx, "results", []string{
		"result_id", "pcn_code", "financial_year", "commissioner_code", "basis", "digest", "due_pence", "whole", "worked_by", "worked_at",
	}, rowsOf(results, func(r ResultRow) ([]any, error) {
		body, err := sqldb.Marshal(r.Basis)
		return []any{r.ID, r.PCNCode, r.Year.String(), r.CommissionerCode, body, r.Digest, int64(r.Due), r.Whole, r.WorkedBy, r.WorkedAt}, err
	}))
	if err != nil {
		return fmt.Errorf("insert %d results: %w", len(results), err)
	}
	return nil
}

func scanResult(rows *sql.Rows) (r ResultRow, err error) {
	var year string
	var body []byte
	if err := rows.Scan(&r.ID, &r.PCNCode, &year, &r.CommissionerCode, &body, &r.Digest, &r.Due, &r.Whole, &r.WorkedBy, &r.WorkedAt); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year = p.Year(year); p.Err != nil {
		return r, p.Err
	}
	r.Basis, err = sqldb.Unmarshal(body, new(iifv1.YearResult))
	return r, err
}

// Results returns results by identifier, in any order; those that there are not are left out.
func Results(ctx context.Context, q sqldb.Querier, ids []string) ([]ResultRow, error) {
	var out []ResultRow
	return out, sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("result_id", batch)
		rows, err := sqldb.Collect(ctx, q, scanResult, `SELECT result_id, pcn_code, financial_year, commissioner_code, basis, digest, due_pence, whole, worked_by,
			worked_at FROM results`+f.String(), f.Args()...)
		out = append(out, rows...)
		return err
	})
}

// Result returns a result, or sql.ErrNoRows.
func Result(ctx context.Context, q sqldb.Querier, id string) (ResultRow, error) {
	return sqldb.First(Results(ctx, q, []string{id}))
}

// Authors returns who recorded some figures and settings, and the candidates that the figures confirmed, without those of the suite itself.
func Authors(ctx context.Context, q sqldb.Querier, figures, settings []string, suite string) ([]string, error) {
	var out []string
	err := sqldb.InBatches(figures, func(batch []string) error {
		var f sqldb.Filter
		f.In("f.figure_id", batch)
		candidate := f.Arg(int64(working.Candidate))
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (authors [2]string, err error) {
			err = rows.Scan(&authors[0], &authors[1])
			return authors, err
		}, `SELECT f.recorded_by, COALESCE(c.recorded_by, '') FROM figures f
			LEFT JOIN figures c ON c.figure_id = f.replaces_figure_id AND c.confidence = `+candidate+f.String(), f.Args()...)
		for _, authors := range rows {
			out = append(out, authors[0], authors[1])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load authors of figures: %w", err)
	}
	err = sqldb.InBatches(settings, func(batch []string) error {
		var f sqldb.Filter
		f.In("setting_id", batch)
		rows, err := sqldb.Collect(ctx, q, sqldb.Text, `SELECT recorded_by FROM settings`+f.String(), f.Args()...)
		out = append(out, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load authors of settings: %w", err)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(out, func(author string) bool { return author == "" || author == suite }), nil
}

// PaidRow is what the schedules hold of an indicator of a PCN's year.
type PaidRow struct {
	PCNCode string
	Year    period.FinancialYear
	Code    string
	Amount  money.Pence
	// LineID is the line scheduled last, which a difference adjusts.
	LineID string
}

// PaidOf returns what schedules hold of the years of some PCNs, corrections included, in order of PCN, year and indicator.
func PaidOf(ctx context.Context, q sqldb.Querier, pcns []string) ([]PaidRow, error) {
	var out []PaidRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.pcn_code", batch)
		return sqldb.Each(ctx, q, scanPaid, func(row PaidRow) error {
			last := len(out) - 1
			if last < 0 || out[last].PCNCode != row.PCNCode || out[last].Year != row.Year || out[last].Code != row.Code {
				out = append(out, row)
				return nil
			}
			var err error
			if row.LineID != "" {
				out[last].LineID = row.LineID
			}
			out[last].Amount, err = out[last].Amount.Add(row.Amount)
			return err
		}, `SELECT l.pcn_code, l.financial_year, l.indicator_code, l.line_id, l.message FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id`+f.String()+
			` ORDER BY l.pcn_code, l.financial_year, l.indicator_code, s.closed_at, l.line_id`, f.Args()...)
	})
}

// scanPaid reads a line. One that takes back what nobody could be paid is not the one to adjust: it stands beside the line that pays it.
func scanPaid(rows *sql.Rows) (r PaidRow, err error) {
	var year string
	var body []byte
	if err := rows.Scan(&r.PCNCode, &year, &r.Code, &r.LineID, &body); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year = p.Year(year); p.Err != nil {
		return r, p.Err
	}
	line, err := sqldb.Unmarshal(body, new(typev1.PaymentLine))
	r.Amount = money.Pence(line.GetAmountPence())
	if TakesBack(line) {
		r.LineID = ""
	}
	return r, err
}
