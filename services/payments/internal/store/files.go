package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// ExportRow is an export as it is kept. Content is absent unless asked for.
type ExportRow struct {
	ID               string
	RunID            string
	CommissionerCode string
	Format           paymentsv1.Format
	Instructs        bool
	Payments         int
	Amount           money.Pence
	Reversals        int         // payments that it takes back
	Reversed         money.Pence // what they come to, above zero
	SHA256           string
	Size             int64
	FileName         string
	AccountingDate   string // day the file bears; empty if it was not kept
	ExportedBy       string
	ExportedAt       int64
	Content          []byte
}

const exportColumns = `export_id, run_id, commissioner_code, format, instructs, payments, amount_pence, reversals,
	reversed_pence, sha256, size_bytes, file_name, exported_by, exported_at, accounting_date`

// InsertExport adds an export. A second one of the same run that instructs payments is a unique violation.
func InsertExport(ctx context.Context, tx *sqldb.Tx, e ExportRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO exports (`+exportColumns+`, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		e.ID, e.RunID, e.CommissionerCode, int64(e.Format), e.Instructs, e.Payments, int64(e.Amount), e.Reversals, int64(e.Reversed), e.SHA256,
		e.Size, e.FileName, e.ExportedBy, e.ExportedAt, e.AccountingDate, e.Content)
	if err != nil {
		return fmt.Errorf("insert export %s: %w", e.ID, err)
	}
	return nil
}

func scanExport(rows *sql.Rows) (e ExportRow, err error) {
	err = rows.Scan(&e.ID, &e.RunID, &e.CommissionerCode, &e.Format, &e.Instructs, &e.Payments, &e.Amount, &e.Reversals, &e.Reversed, &e.SHA256,
		&e.Size, &e.FileName, &e.ExportedBy, &e.ExportedAt, &e.AccountingDate, &e.Content)
	return e, err
}

// Export returns one with its content, or sql.ErrNoRows.
func Export(ctx context.Context, q sqldb.Querier, id string) (ExportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanExport, `SELECT `+exportColumns+`, content FROM exports WHERE export_id = $1`, id))
}

// Exports returns exports without their content, newest first. Before holds the time and the identifier of the last one seen.
func Exports(ctx context.Context, q sqldb.Querier, by Page, runID string) ([]ExportRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("run_id", runID)
	if at, id, ok := cut(by.Before); ok {
		f.Where("(exported_at < CAST(? AS BIGINT) OR (exported_at = CAST(? AS BIGINT) AND export_id > ?))", at, at, id)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanExport, `SELECT `+exportColumns+`, NULL FROM exports`+conditions+` ORDER BY exported_at DESC, export_id`+f.Limit(by.Limit),
		f.Args()...)
}

// ImportRow is a file that was read.
type ImportRow struct {
	ID               string
	CommissionerCode string
	Kind             paymentsv1.FileKind
	FileName         string
	SHA256           string
	Rows             int
	Applied          int
	Known            int
	Unmatched        int
	Amount           money.Pence
	ImportedBy       string
	ImportedAt       int64
}

// FileRow is one row of a file and what became of it.
type FileRow struct {
	Line        int
	Reference   string
	PayeeCode   string
	Period      string
	From, To    period.Month // of PAID_AMOUNTS
	PaymentCode string
	Amount      money.Pence
	Outcome     string
	PaymentID   string
	Note        string
	// Of CONFIRMATIONS: the day and what happened on it, and the payer's own reference.
	ConfirmedOn, Status, PayerReference string
}

const importColumns = `import_id, commissioner_code, kind, file_name, sha256, rows_read, rows_applied, rows_known, rows_unmatched, amount_pence,
	imported_by, imported_at`

// InsertImport adds a file and its rows.
func InsertImport(ctx context.Context, tx *sqldb.Tx, i ImportRow, rows []FileRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO imports (`+importColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`, i.ID, i.CommissionerCode,
		int64(i.Kind), i.FileName, i.SHA256, i.Rows, i.Applied, i.Known, i.Unmatched, int64(i.Amount), i.ImportedBy, i.ImportedAt)
	if err != nil {
		return fmt.Errorf("insert import %s: %w", i.ID, err)
	}
	_, err = tx.BulkInsert(ctx, "imported_rows", []string{
		"import_id", "line", "commissioner_code", "kind", "reference", "payee_code", "period", "from_month", "to_month", "payment_code",
		"amount_pence", "outcome", "payment_id", "note", "confirmed_on", "status", "payer_reference",
	}, rowsOf(rows, func(r FileRow) ([]any, error) {
		return []any{
			i.ID, int64(r.Line), i.CommissionerCode, int64(i.Kind), r.Reference, r.PayeeCode, r.Period, r.From.String(), r.To.String(), r.PaymentCode,
			int64(r.Amount), r.Outcome, r.PaymentID, r.Note, r.ConfirmedOn, r.Status, r.PayerReference,
		}, nil
	}))
	return err
}

func scanImport(rows *sql.Rows) (i ImportRow, err error) {
	err = rows.Scan(&i.ID, &i.CommissionerCode, &i.Kind, &i.FileName, &i.SHA256, &i.Rows, &i.Applied, &i.Known, &i.Unmatched, &i.Amount,
		&i.ImportedBy, &i.ImportedAt)
	return i, err
}

// ImportOf returns the newest import of a commissioner's files of a kind, or with a hash of those bytes; sql.ErrNoRows if there is none.
func ImportOf(ctx context.Context, q sqldb.Querier, commissioner string, kind paymentsv1.FileKind, sha256 string) (ImportRow, error) {
	var f sqldb.Filter
	f.Equal("commissioner_code", commissioner, "sha256", sha256)
	f.Where("kind = ?", int64(kind))
	return sqldb.First(sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports`+f.String()+` ORDER BY imported_at DESC, import_id DESC LIMIT 1`,
		f.Args()...))
}

// Import returns one, or sql.ErrNoRows.
func Import(ctx context.Context, q sqldb.Querier, id string) (ImportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports WHERE import_id = $1`, id))
}

// Imports returns files, newest first.
func Imports(ctx context.Context, q sqldb.Querier, by Page) ([]ImportRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	if by.Before != "" {
		f.Where("import_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanImport, `SELECT `+importColumns+` FROM imports`+conditions+` ORDER BY import_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// FileRowFilter selects rows of files.
type FileRowFilter struct {
	ImportID      string
	UnmatchedOnly bool
	After         int // line
	Limit         int
}

const fileRowColumns = `line, reference, payee_code, period, from_month, to_month, payment_code, amount_pence, outcome, payment_id, note`

// FileRows returns the rows of a file in their order.
func FileRows(ctx context.Context, q sqldb.Querier, by FileRowFilter) ([]FileRow, error) {
	var f sqldb.Filter
	f.Where("import_id = ?", by.ImportID)
	f.Where("line > ?", by.After)
	if by.UnmatchedOnly {
		f.Where("outcome IN ('AMBIGUOUS', 'AMOUNT_DIFFERS', 'DATE_DIFFERS', 'NOT_FOUND', 'STATE_DIFFERS')")
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanFileRow, `SELECT `+fileRowColumns+` FROM imported_rows`+conditions+` ORDER BY line`+f.Limit(by.Limit), f.Args()...)
}

func scanFileRow(rows *sql.Rows) (r FileRow, err error) {
	var from, to string
	if err := rows.Scan(&r.Line, &r.Reference, &r.PayeeCode, &r.Period, &from, &to, &r.PaymentCode, &r.Amount, &r.Outcome, &r.PaymentID,
		&r.Note); err != nil {
		return r, err
	}
	if r.From, err = month(from); err == nil {
		r.To, err = month(to)
	}
	return r, err
}

// WordsOf returns the words of the confirmations that said something of some payments on a day, payment by payment.
func WordsOf(ctx context.Context, q sqldb.Querier, paymentIDs []string, day, status string) (map[string][]rules.Words, error) {
	type row struct {
		payment string
		words   rules.Words
	}
	out := make(map[string][]rules.Words)
	err := sqldb.InBatches(paymentIDs, func(batch []string) error {
		var f sqldb.Filter
		f.Where("payment_id <> ''")
		f.In("payment_id", batch)
		f.Equal("confirmed_on", day, "status", status)
		f.Where("outcome IN ('SETTLED', 'REJECTED', 'KNOWN')")
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
			err = rows.Scan(&r.payment, &r.words.Reference, &r.words.PayerReference)
			return r, err
		}, func(r row) error {
			out[r.payment] = append(out[r.payment], r.words)
			return nil
		}, `SELECT DISTINCT payment_id, reference, payer_reference FROM imported_rows`+f.String()+` ORDER BY payment_id, reference, payer_reference`, f.Args()...)
	})
	return out, err
}

// PaidAmount is what a file says was paid.
type PaidAmount struct {
	FileRow
	ImportID string
}

// PaidAmounts returns the amounts said to be paid for periods that touch some months, in order of file and row. Of one payee, payment and
// period the newest file speaks.
func PaidAmounts(ctx context.Context, q sqldb.Querier, commissioner string, from, to period.Month) ([]PaidAmount, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (p PaidAmount, err error) {
		var first, last string
		if err := rows.Scan(&p.ImportID, &p.Line, &p.Reference, &p.PayeeCode, &p.Period, &first, &last, &p.PaymentCode, &p.Amount); err != nil {
			return p, err
		}
		if p.From, err = month(first); err == nil {
			p.To, err = month(last)
		}
		return p, err
	}, `SELECT r.import_id, r.line, r.reference, r.payee_code, r.period, r.from_month, r.to_month, r.payment_code, r.amount_pence
		FROM imported_rows r WHERE r.commissioner_code = $1 AND r.kind = $2 AND r.from_month <= $3 AND r.to_month >= $4
		AND NOT EXISTS (SELECT 1 FROM imported_rows n WHERE n.commissioner_code = $1 AND n.kind = $2 AND n.payee_code = r.payee_code
			AND n.payment_code = r.payment_code AND n.from_month = r.from_month AND n.to_month = r.to_month AND n.import_id > r.import_id)
		ORDER BY r.import_id, r.line`, commissioner, int64(paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS), to.String(), from.String())
}
