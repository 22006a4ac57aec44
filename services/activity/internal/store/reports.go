package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
)

// ReportRow is a version of a report as it is kept.
type ReportRow struct {
	ID               string
	CommissionerCode string
	Month            period.Month
	Version          int64
	CutID            string
	Digest           string
	// Body is the report in full, without rows.
	Body        *activityv1.Report
	KnownAt     int64 // microseconds
	GeneratedAt int64 // microseconds
	GeneratedBy string
	EventID     string
}

const reportColumns = `report_id, commissioner_code, month, version, cut_id, digest, body, known_at, generated_at, generated_by, event_id`

// InsertReport adds a version with its rows.
func InsertReport(ctx context.Context, tx *sqldb.Tx, r *ReportRow, rows []rules.Row) error {
	body, err := sqldb.Marshal(r.Body)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO reports (`+reportColumns+`) VALUES (`+sqldb.Placeholders(1, 11)+`)`, r.ID, r.CommissionerCode, r.Month.String(), r.Version,
		r.CutID, r.Digest, body, r.KnownAt, r.GeneratedAt, r.GeneratedBy, r.EventID)
	if err != nil {
		return fmt.Errorf("insert report: %w", err)
	}
	number := int64(0)
	_, err = tx.BulkInsert(ctx, "report_rows", []string{
		"report_id", "number", "pcn_code", "practice_code", "department_type", "category", "hrg_code", "attendances", "uncosted", "costed_pence", "bases",
		"missing", "registered_list",
	}, rowsOf(rows, func(row *rules.Row) ([]any, error) {
		number++
		var list any
		if row.List != nil {
			list = *row.List
		}
		return []any{
			r.ID, number, row.PCN, row.Practice, int64(row.Department), int64(row.Category), row.HRG, row.Attendances, row.Uncosted, int64(row.Costed),
			int64(row.Bases), lackingText(row.Lacking), list,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert rows of a report: %w", err)
	}
	return nil
}

// lackingText writes what is missing as number:count, with spaces.
func lackingText(lacking []rules.Lacking) string {
	parts := make([]string, len(lacking))
	for i, l := range lacking {
		parts[i] = strconv.Itoa(l.Missing) + ":" + strconv.FormatInt(l.Count, 10)
	}
	return strings.Join(parts, " ")
}

func parseLacking(text string) (out []rules.Lacking, err error) {
	for part := range strings.FieldsSeq(text) {
		var l rules.Lacking
		if _, err := fmt.Sscanf(part, "%d:%d", &l.Missing, &l.Count); err != nil {
			return nil, fmt.Errorf("stored value %q: %w", part, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func scanReport(rows *sql.Rows) (r ReportRow, err error) {
	var month string
	var body []byte
	err = rows.Scan(&r.ID, &r.CommissionerCode, &month, &r.Version, &r.CutID, &r.Digest, &body, &r.KnownAt, &r.GeneratedAt, &r.GeneratedBy, &r.EventID)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Month = p.Month(month); p.Err != nil {
		return r, p.Err
	}
	r.Body, err = sqldb.Unmarshal(body, new(activityv1.Report))
	return r, err
}

// Report returns one version, or sql.ErrNoRows.
func Report(ctx context.Context, q sqldb.Querier, id string) (ReportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanReport, `SELECT `+reportColumns+` FROM reports WHERE report_id = $1`, id))
}

// NewestReport returns the newest version of a commissioner and a month, or sql.ErrNoRows.
func NewestReport(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (ReportRow, error) {
	return ReportBefore(ctx, q, commissioner, month, 0)
}

// ReportBefore returns the newest version below a number, 0 for the newest there is, or sql.ErrNoRows.
func ReportBefore(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month, version int64) (ReportRow, error) {
	var f sqldb.Filter
	f.Equal("commissioner_code", commissioner, "month", month.String())
	if version > 0 {
		f.Where("version < ?", version)
	}
	return sqldb.First(sqldb.Collect(ctx, q, scanReport, `SELECT `+reportColumns+` FROM reports`+f.String()+` ORDER BY version DESC LIMIT 1`, f.Args()...))
}

// NewestPublished returns the newest version of which something was published, or sql.ErrNoRows.
func NewestPublished(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (ReportRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanReport, `SELECT `+reportColumns+` FROM reports r WHERE commissioner_code = $1 AND month = $2
		AND EXISTS (SELECT 1 FROM publications p WHERE p.report_id = r.report_id) ORDER BY version DESC LIMIT 1`, commissioner, month.String()))
}

// ReportFilter says which reports are wanted.
type ReportFilter struct {
	Commissioners []string // nil for all
	One           string   // empty for all
	Month         string   // empty for all
	Published     bool     // only those of which something was published
	Before        string   // key of the last row seen
	Limit         int
}

// ReportKey orders reports: the newest month first, then by commissioner and the newest version first.
func ReportKey(r ReportRow) string {
	return fmt.Sprintf("%s %s %06d", r.Month, r.CommissionerCode, r.Version)
}

// Reports returns reports, the last by key first.
func Reports(ctx context.Context, q sqldb.Querier, by ReportFilter) ([]ReportRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("commissioner_code", by.One, "month", by.Month)
	if by.Published {
		f.Where("EXISTS (SELECT 1 FROM publications p WHERE p.report_id = reports.report_id)")
	}
	if by.Before != "" {
		var month, commissioner string
		var version int64
		if _, err := fmt.Sscanf(by.Before, "%s %s %d", &month, &commissioner, &version); err != nil {
			return nil, fmt.Errorf("page key %q: %w", by.Before, err)
		}
		f.Where("(month < ? OR (month = ? AND (commissioner_code < ? OR (commissioner_code = ? AND version < ?))))", month, month, commissioner, commissioner, version)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanReport, `SELECT `+reportColumns+` FROM reports`+conditions+` ORDER BY month DESC, commissioner_code DESC, version DESC`+
		f.Limit(by.Limit), f.Args()...)
}

// Rows returns the rows of a report by practice, in order; of one PCN, or of all where it is empty.
func Rows(ctx context.Context, q sqldb.Querier, reportID, pcn string) ([]rules.Row, error) {
	var f sqldb.Filter
	f.Equal("report_id", reportID, "pcn_code", pcn)
	rows, err := sqldb.Collect(ctx, q, scanRow, `SELECT pcn_code, practice_code, department_type, category, hrg_code, attendances, uncosted, costed_pence, bases,
		missing, registered_list FROM report_rows`+f.String()+` ORDER BY number`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("rows of report %s: %w", reportID, err)
	}
	return rows, nil
}

func scanRow(rows *sql.Rows) (r rules.Row, err error) {
	var costed int64
	var list sql.NullInt64
	var missing string
	err = rows.Scan(&r.PCN, &r.Practice, &r.Department, &r.Category, &r.HRG, &r.Attendances, &r.Uncosted, &costed, &r.Bases, &missing, &list)
	if err != nil {
		return r, err
	}
	r.Costed = money.Pence(costed)
	if list.Valid {
		r.List = &list.Int64
	}
	r.Lacking, err = parseLacking(missing)
	return r, err
}
