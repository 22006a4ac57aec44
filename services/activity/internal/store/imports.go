package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// ImportRow is a file of attendances that was taken in.
type ImportRow struct {
	ID               string
	Position         int64
	CommissionerCode string // rules.England for all
	SHA256           string
	Kind             int64 // as CutKind of the contract
	FileName         string
	Source           string
	ExtractDate      period.Date
	Rows             int64
	Attendances      int64
	ImportedBy       string
	ImportedAt       int64 // microseconds
}

const importColumns = `import_id, position, commissioner_code, sha256, kind, file_name, source, extract_date, row_count, attendances, imported_by, imported_at`

// InsertImport adds an import, which gets the next position. The caller holds the lock of imports.
func InsertImport(ctx context.Context, tx *sqldb.Tx, r *ImportRow) error {
	if err := tx.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) + 1 FROM imports`).Scan(&r.Position); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO imports (`+importColumns+`) VALUES (`+sqldb.Placeholders(1, 12)+`)`, r.ID, r.Position, r.CommissionerCode, r.SHA256,
		r.Kind, r.FileName, r.Source, r.ExtractDate.String(), r.Rows, r.Attendances, r.ImportedBy, r.ImportedAt)
	if err != nil {
		return fmt.Errorf("insert import: %w", err)
	}
	return nil
}

func scanImport(rows *sql.Rows) (r ImportRow, err error) {
	var extracted string
	err = rows.Scan(&r.ID, &r.Position, &r.CommissionerCode, &r.SHA256, &r.Kind, &r.FileName, &r.Source, &extracted, &r.Rows, &r.Attendances, &r.ImportedBy, &r.ImportedAt)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.ExtractDate = p.Date(extracted)
	return r, p.Err
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

// Imports returns imports, newest first, from below a position; 0 begins with the newest. They are those with a cut of some commissioners,
// nil for all, and of these with one of one; empty for all.
func Imports(ctx context.Context, q sqldb.Querier, commissioners []string, one string, before int64, limit int) ([]ImportRow, error) {
	var f sqldb.Filter
	for _, codes := range [][]string{commissioners, {one}} {
		if codes == nil || (len(codes) == 1 && codes[0] == "") {
			continue
		}
		args := make([]any, len(codes))
		for i, code := range codes {
			args[i] = code
		}
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(codes)), ", ")
		f.Where("import_id IN (SELECT import_id FROM cuts WHERE commissioner_code IN ("+cmp.Or(marks, "NULL")+"))", args...)
	}
	if before > 0 {
		f.Where("position < ?", before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports`+conditions+` ORDER BY position DESC`+f.Limit(limit), f.Args()...)
}

// CutRow is what an import brought of a commissioner and a month.
type CutRow struct {
	ID               string
	Position         int64
	CommissionerCode string
	Month            period.Month
	Number           int64
	Kind             int64 // as CutKind of the contract
	ImportID         string
	Rows             int64
	Attendances      int64
	UnknownPractice  int64
	Reason           string

	// Of the import.
	Source      string
	ExtractDate period.Date
	ImportedBy  string
	ImportedAt  int64 // microseconds
	// Newest is true where no later one takes its place.
	Newest bool
}

// NextCut returns the position that the next cut gets. The caller holds the lock of imports.
func NextCut(ctx context.Context, q sqldb.Querier) (position int64, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(position), 0) + 1 FROM cuts`).Scan(&position)
	return position, err
}

// InsertCuts adds cuts, which carry their positions and numbers.
func InsertCuts(ctx context.Context, tx *sqldb.Tx, cuts []CutRow) error {
	_, err := tx.BulkInsert(ctx, "cuts", []string{
		"cut_id", "position", "commissioner_code", "month", "number", "kind", "import_id", "row_count", "attendances", "unknown_practice", "reason",
	}, rowsOf(cuts, func(r *CutRow) ([]any, error) {
		return []any{r.ID, r.Position, r.CommissionerCode, r.Month.String(), r.Number, r.Kind, r.ImportID, r.Rows, r.Attendances, r.UnknownPractice, r.Reason}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert cuts: %w", err)
	}
	return nil
}

const cutQuery = `SELECT c.cut_id, c.position, c.commissioner_code, c.month, c.number, c.kind, c.import_id, c.row_count, c.attendances, c.unknown_practice, c.reason,
		i.source, i.extract_date, i.imported_by, i.imported_at, NOT EXISTS (
			SELECT 1 FROM cuts n WHERE n.commissioner_code = c.commissioner_code AND n.month = c.month AND n.number > c.number)
	FROM cuts c JOIN imports i ON i.import_id = c.import_id`

func scanCut(rows *sql.Rows) (r CutRow, err error) {
	var month, extracted string
	err = rows.Scan(&r.ID, &r.Position, &r.CommissionerCode, &month, &r.Number, &r.Kind, &r.ImportID, &r.Rows, &r.Attendances, &r.UnknownPractice, &r.Reason,
		&r.Source, &extracted, &r.ImportedBy, &r.ImportedAt, &r.Newest)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Month, r.ExtractDate = p.Month(month), p.Date(extracted)
	return r, p.Err
}

// Cut returns one cut, or sql.ErrNoRows.
func Cut(ctx context.Context, q sqldb.Querier, id string) (CutRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanCut, cutQuery+` WHERE c.cut_id = $1`, id))
}

// NewestCut returns the cut that stands of a commissioner and a month, or sql.ErrNoRows.
func NewestCut(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (CutRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanCut, cutQuery+` WHERE c.commissioner_code = $1 AND c.month = $2 ORDER BY c.number DESC LIMIT 1`,
		commissioner, month.String()))
}

// CutsOf returns the cuts of an import, by commissioner and month.
func CutsOf(ctx context.Context, q sqldb.Querier, importID string) ([]CutRow, error) {
	return sqldb.Collect(ctx, q, scanCut, cutQuery+` WHERE c.import_id = $1 ORDER BY c.commissioner_code, c.month`, importID)
}

// Cuts returns cuts, newest first, from below a position; 0 begins with the newest. They are those of some commissioners, nil for all, and
// of these those of one and of a month; empty for all.
func Cuts(ctx context.Context, q sqldb.Querier, commissioners []string, one, month string, before int64, limit int) ([]CutRow, error) {
	var f sqldb.Filter
	f.Within("c.commissioner_code", commissioners)
	f.Equal("c.commissioner_code", one, "c.month", month)
	if before > 0 {
		f.Where("c.position < ?", before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanCut, cutQuery+conditions+` ORDER BY c.position DESC`+f.Limit(limit), f.Args()...)
}

// PlacedAttendance is a row of a cut on its way to the database.
type PlacedAttendance struct {
	rules.Attendance
	Cut  int64 // position
	Site string
}

// InsertAttendances adds the rows of cuts, one by one and without keeping them.
func InsertAttendances(ctx context.Context, tx *sqldb.Tx, rows iter.Seq2[*PlacedAttendance, error]) error {
	_, err := tx.BulkInsert(ctx, "attendances", []string{
		"cut_position", "line", "provider_code", "site_code", "department_type", "category", "practice_code", "hrg_code", "attendances", "cost_pence",
	}, func(yield func([]any, error) bool) {
		for r, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			var cost any
			if r.HasGiven {
				cost = int64(r.Given)
			}
			if !yield([]any{r.Cut, r.Line, r.Provider, r.Site, int64(r.Department), r.Code, r.Practice, r.HRG, r.Count, cost}, nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("insert attendances: %w", err)
	}
	return nil
}

// AnalyzeAttendances follows a large number of new rows, which are then read.
func AnalyzeAttendances(ctx context.Context, tx *sqldb.Tx) error {
	return tx.Analyze(ctx, "attendances")
}

// Attendances hands over the rows of a cut, in no order. The row is used again for the next, and its texts are their own.
func Attendances(ctx context.Context, q sqldb.Querier, cut int64, each func(*rules.Attendance) error) error {
	texts := make(map[string]string)
	text := func(raw sql.RawBytes) string {
		if known, ok := texts[string(raw)]; ok {
			return known
		}
		out := string(raw)
		texts[out] = out
		return out
	}
	var a rules.Attendance
	var provider, code, practice, hrg sql.RawBytes
	return sqldb.Each(ctx, q, func(rows *sql.Rows) (*rules.Attendance, error) {
		var cost sql.NullInt64
		if err := rows.Scan(&a.Line, &provider, &a.Department, &code, &practice, &hrg, &a.Count, &cost); err != nil {
			return nil, err
		}
		a.Provider, a.Code, a.Practice, a.HRG = text(provider), text(code), text(practice), text(hrg)
		a.Given, a.HasGiven = money.Pence(cost.Int64), cost.Valid
		return &a, nil
	}, each, `SELECT line, provider_code, department_type, category, practice_code, hrg_code, attendances, cost_pence FROM attendances WHERE cut_position = $1`, cut)
}

// PracticesOf returns the practices of a cut, in order.
func PracticesOf(ctx context.Context, q sqldb.Querier, cut int64) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT practice_code FROM attendances WHERE cut_position = $1 AND practice_code <> '' ORDER BY practice_code`, cut)
}
