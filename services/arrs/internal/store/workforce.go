package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/workforce"
)

// WorkforceImportRow is an import of the published workforce as it is kept.
type WorkforceImportRow struct {
	ID         string
	Position   int64
	Month      period.Month
	Replaced   bool
	FileName   string
	Source     string
	SHA256     string
	Rows       int
	PCNs       int
	WTE        *big.Rat
	Warnings   []string
	ImportedBy string
	ImportedAt int64
}

// WorkforceRow is the posts of one published name in one PCN, numbered within its import.
type WorkforceRow struct {
	workforce.Row
	Number int64
}

// InsertWorkforce adds an import and its rows; the import gets the next position.
func InsertWorkforce(ctx context.Context, tx *sqldb.Tx, r *WorkforceImportRow, rows []workforce.Row) error {
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) + 1 FROM workforce_imports`).Scan(&r.Position); err != nil {
		return err
	}
	warnings, err := json.Marshal(append([]string{}, r.Warnings...))
	if err != nil {
		return fmt.Errorf("keep warnings: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO workforce_imports (import_id, position, month, file_name, source, sha256, row_count, pcn_count, wte, warnings, imported_by,
		imported_at) VALUES (`+sqldb.Placeholders(1, 12)+`)`, r.ID, r.Position, r.Month.String(), r.FileName, r.Source, r.SHA256, r.Rows, r.PCNs, decimalText(r.WTE),
		string(warnings), r.ImportedBy, r.ImportedAt)
	if err != nil {
		return fmt.Errorf("insert workforce import: %w", err)
	}
	number := int64(0)
	_, err = tx.BulkInsert(ctx, "workforce", []string{
		"import_id", "number", "pcn_code", "pcn_name", "location_code", "system_code", "staff_group", "staff_role", "detailed_staff_role", "posts", "wte",
	}, rowsOf(rows, func(w workforce.Row) ([]any, error) {
		number++
		return []any{r.ID, number, w.PCN, w.PCNName, w.Location, w.System, w.Group, w.Role, w.Detailed, int64(w.Posts), decimalText(w.WTE)}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert workforce of %s: %w", r.Month, err)
	}
	return nil
}

const workforceImportColumns = `i.import_id, i.position, i.month, i.file_name, i.source, i.sha256, i.row_count, i.pcn_count, i.wte, i.warnings, i.imported_by,
	i.imported_at, EXISTS (SELECT 1 FROM workforce_imports n WHERE n.month = i.month AND n.position > i.position)`

func scanWorkforceImport(rows *sql.Rows) (r WorkforceImportRow, err error) {
	var month, wte, warnings string
	if err := rows.Scan(&r.ID, &r.Position, &month, &r.FileName, &r.Source, &r.SHA256, &r.Rows, &r.PCNs, &wte, &warnings, &r.ImportedBy, &r.ImportedAt,
		&r.Replaced); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Month, r.WTE = p.Month(month), p.Decimal(wte)
	if p.Err != nil {
		return r, p.Err
	}
	return r, json.Unmarshal([]byte(warnings), &r.Warnings)
}

// WorkforceImport returns an import, or sql.ErrNoRows.
func WorkforceImport(ctx context.Context, q sqldb.Querier, id string) (WorkforceImportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanWorkforceImport, `SELECT `+workforceImportColumns+` FROM workforce_imports i WHERE i.import_id = $1`, id))
}

// NewestWorkforce returns the import that counts for the last month from one month to another of which there is any, or
// sql.ErrNoRows. Zero months leave that end open.
func NewestWorkforce(ctx context.Context, q sqldb.Querier, from, to period.Month) (WorkforceImportRow, error) {
	var f sqldb.Filter
	if !from.IsZero() {
		f.Where("i.month >= ?", from.String())
	}
	if !to.IsZero() {
		f.Where("i.month <= ?", to.String())
	}
	return sqldb.First(sqldb.Collect(ctx, q, scanWorkforceImport, `SELECT `+workforceImportColumns+` FROM workforce_imports i`+f.String()+
		` ORDER BY i.month DESC, i.position DESC LIMIT 1`, f.Args()...))
}

// WorkforceImports returns imports, newest first, from below a position; 0 begins with the newest.
func WorkforceImports(ctx context.Context, q sqldb.Querier, before int64, limit int) ([]WorkforceImportRow, error) {
	var f sqldb.Filter
	if before > 0 {
		f.Where("i.position < ?", before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanWorkforceImport, `SELECT `+workforceImportColumns+` FROM workforce_imports i`+conditions+` ORDER BY i.position DESC`+
		f.Limit(limit), f.Args()...)
}

// WorkforceFilter says which rows of an import are wanted.
type WorkforceFilter struct {
	PCN   string   // only this one's; empty for all
	PCNs  []string // only these; nil for all
	Body  string   // only of this sub-ICB location or ICB; empty for all
	After int64    // number of the last row seen
	Limit int      // 0 means all
}

// Workforce returns rows of an import, in order.
func Workforce(ctx context.Context, q sqldb.Querier, importID string, by WorkforceFilter) ([]WorkforceRow, error) {
	var f sqldb.Filter
	f.Where("import_id = ?", importID)
	f.Where("number > ?", by.After)
	f.Equal("pcn_code", by.PCN)
	f.Within("pcn_code", by.PCNs)
	if by.Body != "" {
		f.Where("(location_code = ? OR system_code = ?)", by.Body, by.Body)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r WorkforceRow, err error) {
		var wte string
		if err := rows.Scan(&r.Number, &r.PCN, &r.PCNName, &r.Location, &r.System, &r.Group, &r.Role, &r.Detailed, &r.Posts, &wte); err != nil {
			return r, err
		}
		var p stored.Texts
		r.WTE = p.Decimal(wte)
		return r, p.Err
	}, `SELECT number, pcn_code, pcn_name, location_code, system_code, staff_group, staff_role, detailed_staff_role, posts, wte FROM workforce`+conditions+
		` ORDER BY number`+f.Limit(by.Limit), f.Args()...)
}
