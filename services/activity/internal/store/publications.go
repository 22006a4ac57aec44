package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
)

// PublicationRow says which version a PCN was given, and when.
type PublicationRow struct {
	CommissionerCode string
	Month            period.Month
	PCN              string
	Version          int64
	ReportID         string
	SHA256           string // of the PCN's rows as CSV
	PublishedAt      int64  // microseconds
	PublishedBy      string
	EventID          string
}

// InsertPublications adds publications.
func InsertPublications(ctx context.Context, tx *sqldb.Tx, rows []PublicationRow) error {
	_, err := tx.BulkInsert(ctx, "publications", []string{
		"commissioner_code", "month", "pcn_code", "version", "report_id", "sha256", "published_at", "published_by", "event_id",
	}, rowsOf(rows, func(r *PublicationRow) ([]any, error) {
		return []any{r.CommissionerCode, r.Month.String(), r.PCN, r.Version, r.ReportID, r.SHA256, r.PublishedAt, r.PublishedBy, r.EventID}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert publications: %w", err)
	}
	return nil
}

const publicationColumns = `commissioner_code, month, pcn_code, version, report_id, sha256, published_at, published_by, event_id`

func scanPublication(rows *sql.Rows) (r PublicationRow, err error) {
	var month string
	err = rows.Scan(&r.CommissionerCode, &month, &r.PCN, &r.Version, &r.ReportID, &r.SHA256, &r.PublishedAt, &r.PublishedBy, &r.EventID)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Month = p.Month(month)
	return r, p.Err
}

// Publications returns all publications of a month, those of one commissioner or PCN where these are not empty, by PCN, commissioner and
// version.
func Publications(ctx context.Context, q sqldb.Querier, commissioner, pcn string, month period.Month) ([]PublicationRow, error) {
	var f sqldb.Filter
	f.Equal("month", month.String(), "commissioner_code", commissioner, "pcn_code", pcn)
	return sqldb.Collect(ctx, q, scanPublication, `SELECT `+publicationColumns+` FROM publications`+f.String()+` ORDER BY pcn_code, commissioner_code, version`, f.Args()...)
}

// PublicationsOf returns the publications of a report, by PCN.
func PublicationsOf(ctx context.Context, q sqldb.Querier, reportID string) ([]PublicationRow, error) {
	return sqldb.Collect(ctx, q, scanPublication, `SELECT `+publicationColumns+` FROM publications WHERE report_id = $1 ORDER BY pcn_code`, reportID)
}

// ReceiptRow is proof that somebody of a PCN got a version.
type ReceiptRow struct {
	ReportID   string
	PCN        string
	Kind       int64 // as ReceiptKind of the contract
	Person     string
	SHA256     string
	ReceivedAt int64 // microseconds
}

// InsertReceipt adds a receipt, and returns false where the person has one of the kind already.
func InsertReceipt(ctx context.Context, tx *sqldb.Tx, r *ReceiptRow) (added bool, err error) {
	added, err = sqldb.One(tx.Exec(ctx, `INSERT INTO receipts (report_id, pcn_code, kind, person, sha256, received_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT DO NOTHING`, r.ReportID, r.PCN, r.Kind, r.Person, r.SHA256, r.ReceivedAt))
	if err != nil {
		return false, fmt.Errorf("insert receipt: %w", err)
	}
	return added, nil
}

// Receipts returns the receipts of a commissioner and a month, those of one PCN where it is not empty, the newest version first and within
// it in order of receipt.
func Receipts(ctx context.Context, q sqldb.Querier, commissioner, pcn string, month period.Month) ([]ReceiptRow, error) {
	var f sqldb.Filter
	f.Equal("p.commissioner_code", commissioner, "p.month", month.String(), "p.pcn_code", pcn)
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r ReceiptRow, err error) {
		err = rows.Scan(&r.ReportID, &r.PCN, &r.Kind, &r.Person, &r.SHA256, &r.ReceivedAt)
		return r, err
	}, `SELECT r.report_id, r.pcn_code, r.kind, r.person, r.sha256, r.received_at FROM receipts r
		JOIN publications p ON p.report_id = r.report_id AND p.pcn_code = r.pcn_code`+f.String()+` ORDER BY r.pcn_code, p.version DESC, r.received_at, r.kind, r.person`, f.Args()...)
}

// HasReceipt tells whether a person has a receipt of a kind.
func HasReceipt(ctx context.Context, q sqldb.Querier, r *ReceiptRow) (bool, error) {
	var n int
	err := q.QueryRow(ctx, `SELECT COUNT(*) FROM receipts WHERE report_id = $1 AND pcn_code = $2 AND kind = $3 AND person = $4`, r.ReportID, r.PCN, r.Kind, r.Person).Scan(&n)
	return n > 0, err
}
