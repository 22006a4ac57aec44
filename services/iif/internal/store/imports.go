package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// ImportRow is a file of counts or of field names that was taken in.
type ImportRow struct {
	ID               string
	Position         int64
	CommissionerCode string // rules.England for all
	SHA256           string
	Summary          *iifv1.CountsImport
	ImportedBy       string
	ImportedAt       int64
	Figures          int64 // position of the last figure by which it was read
}

// InsertImport adds an import, which gets the next position.
func InsertImport(ctx context.Context, tx *sqldb.Tx, r *ImportRow) error {
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) + 1 FROM imports`).Scan(&r.Position); err != nil {
		return err
	}
	summary, err := sqldb.Marshal(r.Summary)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO imports (import_id, position, commissioner_code, sha256, summary, imported_by, imported_at,
		figures_position) VALUES (`+sqldb.Placeholders(1, 8)+`)`, r.ID, r.Position, r.CommissionerCode, r.SHA256, summary, r.ImportedBy, r.ImportedAt, r.Figures)
	if err != nil {
		return fmt.Errorf("insert import: %w", err)
	}
	return nil
}

const importColumns = `import_id, position, commissioner_code, sha256, summary, imported_by, imported_at, figures_position`

func scanImport(rows *sql.Rows) (r ImportRow, err error) {
	var summary []byte
	if err := rows.Scan(&r.ID, &r.Position, &r.CommissionerCode, &r.SHA256, &summary, &r.ImportedBy, &r.ImportedAt, &r.Figures); err != nil {
		return r, err
	}
	r.Summary, err = sqldb.Unmarshal(summary, new(iifv1.CountsImport))
	return r, err
}

// Import returns an import, or sql.ErrNoRows.
func Import(ctx context.Context, q sqldb.Querier, id string) (ImportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports WHERE import_id = $1`, id))
}

// ImportOf returns the newest import of a file for a commissioner, or sql.ErrNoRows.
func ImportOf(ctx context.Context, q sqldb.Querier, commissioner, sha256 string) (ImportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports WHERE commissioner_code = $1 AND sha256 = $2
		ORDER BY position DESC LIMIT 1`, commissioner, sha256))
}

// LastImport returns the position of the import taken in last, 0 if there is none.
func LastImport(ctx context.Context, q sqldb.Querier) (position int64, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) FROM imports`).Scan(&position)
	return position, err
}

// Imports returns imports, newest first, from below a position; 0 begins with the newest. They are those under some codes, nil for all,
// and of these under one; empty for all.
func Imports(ctx context.Context, q sqldb.Querier, commissioners []string, one string, before int64, limit int) ([]ImportRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", commissioners)
	f.Equal("commissioner_code", one)
	if before > 0 {
		f.Where("position < ?", before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports`+conditions+` ORDER BY position DESC`+f.Limit(limit), f.Args()...)
}

// StagedCell is a count of a file on its way to its indicator.
type StagedCell struct {
	CountKey
	Cell
	Line int64
}

// hiddenValue stands in the place of a hidden count.
const hiddenValue = int64(-1)

// StageCells adds the cells of a file to those on their way.
func StageCells(ctx context.Context, tx *sqldb.Tx, cells iter.Seq2[StagedCell, error]) error {
	days := make(map[period.Date]any) // few, and made once
	_, err := tx.BulkInsert(ctx, "import_cells", []string{
		"organisation_code", "achieved_on", "indicator_code", "measure", "field", "value", "defaulted", "line",
	}, func(yield func([]any, error) bool) {
		for c, err := range cells {
			value := c.N
			if c.State == rules.Suppressed {
				value = hiddenValue
			}
			day, known := days[c.On]
			if !known {
				day = c.On.String()
				days[c.On] = day
			}
			if !yield([]any{c.Organisation, day, c.Indicator, int64(c.Measure), c.Field, value, c.Defaulted, c.Line}, err) || err != nil {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("stage counts: %w", err)
	}
	return nil
}

// StagedCells hands over the staged cells of the organisations from one to another, in no order.
func StagedCells(ctx context.Context, q sqldb.Querier, first, last string, each func(StagedCell) error) error {
	days, repeated := make(map[string]period.Date), make(names)
	return sqldb.Each(ctx, q, func(rows *sql.Rows) (c StagedCell, err error) {
		var organisation, on, indicator, field sql.RawBytes
		var measure int64
		if err := rows.Scan(&organisation, &on, &indicator, &measure, &field, &c.N, &c.Defaulted, &c.Line); err != nil {
			return c, err
		}
		day, known := days[string(on)]
		if !known {
			if day, err = period.ParseDate(string(on)); err != nil {
				return c, err
			}
			days[string(on)] = day
		}
		c.CountKey = CountKey{repeated.of(organisation), day, repeated.of(indicator)}
		c.Measure, c.Field, c.State = feed.Measure(measure), repeated.of(field), rules.Stated
		if c.N == hiddenValue {
			c.Cell.Cell = rules.Cell{State: rules.Suppressed}
		}
		return c, nil
	}, each, `SELECT organisation_code, achieved_on, indicator_code, measure, field, value, defaulted, line FROM import_cells
		WHERE organisation_code >= $1 AND organisation_code <= $2`, first, last)
}

// ClearStage takes the staged cells away.
func ClearStage(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM import_cells`)
	return err
}

// InsertFieldNames adds versions of field names, at the position of the import that brings them.
func InsertFieldNames(ctx context.Context, tx *sqldb.Tx, r *ImportRow, rows []feed.MapRow) error {
	_, err := tx.BulkInsert(ctx, "field_names", []string{"financial_year", "code", "field_name", "position", "short_name", "import_id"},
		rowsOf(rows, func(row feed.MapRow) ([]any, error) {
			return []any{row.Year.String(), row.Code, row.Field, r.Position, row.Short, r.ID}, nil
		}))
	if err != nil {
		return fmt.Errorf("insert field names: %w", err)
	}
	return nil
}

// FieldNames returns the short names that stand, in order.
func FieldNames(ctx context.Context, q sqldb.Querier) ([]feed.MapRow, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r feed.MapRow, err error) {
		var year string
		if err := rows.Scan(&year, &r.Code, &r.Field, &r.Short); err != nil {
			return r, err
		}
		r.Year, err = period.ParseFinancialYear(year)
		return r, err
	}, `SELECT financial_year, code, field_name, short_name FROM field_names n WHERE NOT EXISTS (
			SELECT 1 FROM field_names o WHERE o.financial_year = n.financial_year AND o.code = n.code AND o.field_name = n.field_name AND o.position > n.position
		) ORDER BY financial_year, code, field_name`)
}
