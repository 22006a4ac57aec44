package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/weights"
)

// InsertNeed adds a file of weighted populations as the newest of its year.
func InsertNeed(ctx context.Context, tx *sqldb.Tx, summary *devfundv1.NeedImport, rows []weights.Row) error {
	message, err := sqldb.Marshal(summary)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO need_imports (import_id, financial_year, position, sha256, summary, imported_by, imported_at)
		VALUES ($1, $2, (SELECT COALESCE(MAX(position), 0) + 1 FROM need_imports WHERE financial_year = $2), $3, $4, $5, $6)`,
		summary.GetImportId(), summary.GetFinancialYear(), summary.GetSha256(), message, summary.GetImportedBy(), sqldb.Micros(summary.GetImportedAt().AsTime()))
	if err != nil {
		return fmt.Errorf("insert import of weights: %w", err)
	}
	_, err = tx.BulkInsert(ctx, "need_weights", []string{
		"import_id", "practice_code", "population", "primary_medical_care", "health_inequality", "final_weighted",
	}, rowsOf(rows, func(r weights.Row) ([]any, error) {
		return []any{
			summary.GetImportId(), r.Practice, money.Format(r.Population), money.Format(r.PrimaryMedicalCare), money.Format(r.HealthInequality), money.Format(r.Final),
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert weights: %w", err)
	}
	return nil
}

func scanNeedImport(rows *sql.Rows) (*devfundv1.NeedImport, error) {
	var message []byte
	if err := rows.Scan(&message); err != nil {
		return nil, err
	}
	return sqldb.Unmarshal(message, new(devfundv1.NeedImport))
}

// NeedOf returns the import of the same bytes for a year, or sql.ErrNoRows.
func NeedOf(ctx context.Context, q sqldb.Querier, year, sha256 string) (*devfundv1.NeedImport, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanNeedImport, `SELECT summary FROM need_imports WHERE financial_year = $1 AND sha256 = $2`, year, sha256))
}

// NewestNeed returns the import that counts for a year, which is the newest, or sql.ErrNoRows.
func NewestNeed(ctx context.Context, q sqldb.Querier, year string) (*devfundv1.NeedImport, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanNeedImport, `SELECT summary FROM need_imports WHERE financial_year = $1 ORDER BY position DESC LIMIT 1`, year))
}

// NeedWeights returns the weights of an import, by practice.
func NeedWeights(ctx context.Context, q sqldb.Querier, importID string) ([]weights.Row, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r weights.Row, err error) {
		var population, primary, inequality, final string
		if err := rows.Scan(&r.Practice, &population, &primary, &inequality, &final); err != nil {
			return r, err
		}
		if r.Population, err = money.ParseExact(population); err != nil {
			return r, err
		}
		if r.PrimaryMedicalCare, err = money.ParseExact(primary); err != nil {
			return r, err
		}
		if r.HealthInequality, err = money.ParseExact(inequality); err != nil {
			return r, err
		}
		r.Final, err = money.ParseExact(final)
		return r, err
	}, `SELECT practice_code, population, primary_medical_care, health_inequality, final_weighted FROM need_weights WHERE import_id = $1 ORDER BY practice_code`, importID)
}
