package activity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// rowsPage is the rows of a report on a page where the caller asks for no number.
const rowsPage = 1000

// seenReport loads a version that the caller may see: all of a commissioner's to its finance people and auditors, to others those that were
// published. Others see shared views.
func seenReport(ctx context.Context, q sqldb.Querier, id string) (row store.ReportRow, full bool, err error) {
	row, err = store.Report(ctx, q, id)
	by := caller(ctx)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !by.HoldsCommissioner(row.CommissionerCode)) {
		return row, false, noReport(id)
	}
	if err != nil || seesAll(by, row.CommissionerCode) {
		return row, true, err
	}
	published, err := store.PublicationsOf(ctx, q, id)
	if err == nil && len(published) == 0 {
		err = noReport(id)
	}
	return row, false, err
}

func noReport(id string) error {
	return fault.New(fault.NotFound, reasonReportNotFound, "there is no report %q that you may see", money.Clip(id))
}

// shown is a report as a caller sees it.
type shown struct {
	report *activityv1.Report
	view   *view
}

// show loads a report as the caller may see it.
func (s *Service) show(ctx context.Context, id string, level activityv1.ReportLevel, shared bool) (out shown, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, full, err := seenReport(ctx, q, id)
		if err != nil {
			return err
		}
		kept, err := keptReport(ctx, q, &row)
		if err != nil {
			return err
		}
		out.report = reportToProto(&row)
		if full && !shared {
			out.report.Level = levelOr(level)
			out.view, err = fullView(ctx, q, kept, row.Body.GetLastYearReportIds(), out.report.GetLevel())
		} else {
			out.report.Level = activityv1.ReportLevel_PCN_LEVEL
			settings, loadErr := store.Settings(ctx, q)
			if loadErr != nil {
				return loadErr
			}
			policy := policyOf(settingsOf(settings), row.CommissionerCode)
			if out.view, err = sharedView(ctx, q, kept, row.Body.GetLastYearReportIds(), policy.GetHiddenUpTo()); err == nil {
				out.view.share(out.report, policy)
			}
		}
		if err == nil {
			out.view.month = row.Month.String()
		}
		return err
	})
	return out, err
}

// GetReport returns one version, with its rows where asked for.
func (s *Service) GetReport(ctx context.Context, req *activityv1.GetReportRequest) (*activityv1.Report, error) {
	from, err := positionKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	out, err := s.show(ctx, req.GetReportId(), req.GetLevel(), req.GetShared())
	if err != nil || !req.GetIncludeRows() {
		return out.report, err
	}
	rows := out.view.rows()
	rows = rows[min(from, int64(len(rows))):]
	size := page.Size(req.GetPageSize(), rowsPage)
	if len(rows) > size {
		rows = rows[:size]
		out.report.NextPageToken = page.Token(strconv.FormatInt(from+int64(size), 10))
	}
	out.report.Rows = rows
	return out.report, nil
}

// DownloadReport returns the rows of a version as CSV.
func (s *Service) DownloadReport(ctx context.Context, req *activityv1.DownloadReportRequest) (*httpbody.HttpBody, error) {
	out, err := s.show(ctx, req.GetReportId(), req.GetLevel(), req.GetShared())
	if err != nil {
		return nil, err
	}
	text, err := writeCSV(out.report, out.view.rows())
	return csvBody(text), err
}

// ListReports returns versions without rows and sums by PCN, newest first.
func (s *Service) ListReports(ctx context.Context, req *activityv1.ListReportsRequest) (*activityv1.ListReportsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetMonth() != "" {
		if _, err := parseMonth(req.GetMonth()); err != nil {
			return nil, err
		}
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	// Whoever sees all of one commissioner's sees all of any that they hold: roles are held for all of them alike.
	full := seesAll(by, req.GetCommissionerCode()) || (len(scope) > 0 && seesAll(by, scope[0]))
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.ReportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Reports(ctx, q, store.ReportFilter{
			Commissioners: scope, One: req.GetCommissionerCode(), Month: req.GetMonth(), Published: !full, Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(activityv1.ListReportsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, store.ReportKey)
	for i := range rows {
		r := reportToProto(&rows[i])
		r.Pcns, r.Restatement, r.Missing = nil, nil, nil
		if !full {
			r.View, r.Totals, r.GeneratedBy, r.Sha256 = activityv1.ReportView_SHARED_VIEW, nil, "", ""
			r.Cut.Attendances, r.Cut.UnknownPractice, r.Cut.RecordedBy = nil, nil, ""
		}
		out.Reports = append(out.Reports, r)
	}
	return out, nil
}

// CompareReports tells what differs between two versions of a month.
func (s *Service) CompareReports(ctx context.Context, req *activityv1.CompareReportsRequest) (*activityv1.Restatement, error) {
	var out *activityv1.Restatement
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		after, _, err := seenReport(ctx, q, req.GetReportId())
		if err != nil {
			return err
		}
		before, err := versionBefore(ctx, q, &after, req.GetBeforeReportId())
		if err != nil {
			return err
		}
		was, err := keptReport(ctx, q, &before)
		if err != nil {
			return err
		}
		is, err := keptReport(ctx, q, &after)
		if err != nil {
			return err
		}
		k, err := s.known(ctx, q)
		if err != nil {
			return err
		}
		out = restatement(k, &before, was, after.Body, is)
		return nil
	})
	return out, err
}

// versionBefore loads the version that another is compared with.
func versionBefore(ctx context.Context, q sqldb.Querier, after *store.ReportRow, id string) (store.ReportRow, error) {
	if id == "" {
		before, err := store.ReportBefore(ctx, q, after.CommissionerCode, after.Month, after.Version)
		if errors.Is(err, sql.ErrNoRows) || after.Version == 1 {
			return before, fault.New(fault.Refused, reasonReportsNotComparable, "%s is the first version of its month", after.ID)
		}
		return before, err
	}
	before, _, err := seenReport(ctx, q, id)
	if err == nil && (before.CommissionerCode != after.CommissionerCode || before.Month != after.Month) {
		err = fault.New(fault.Invalid, reasonReportsNotComparable, "%s and %s are not of one commissioner and month", before.ID, after.ID).
			At("before_report_id", "a version of the same month and commissioner")
	}
	return before, err
}

// ReemitReport publishes the events of a report once more.
func (s *Service) ReemitReport(ctx context.Context, req *activityv1.ReemitReportRequest) (*activityv1.ReemitReportResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.ReemitReportResponse, error) {
		row, err := store.Report(ctx, tx, req.GetReportId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, noReport(req.GetReportId())
		}
		if err != nil {
			return nil, err
		}
		publications, err := store.PublicationsOf(ctx, tx, row.ID)
		if err != nil {
			return nil, err
		}
		ids := []string{row.EventID}
		for i := range publications {
			ids = append(ids, publications[i].EventID)
		}
		if _, err := outbox.Reemit(ctx, tx.Tx, ids); err != nil {
			return nil, err
		}
		err = tx.Record(ctx, "activity/reports/"+row.ID, row.CommissionerCode, fmt.Sprintf("published %d events once more", len(ids)))
		return &activityv1.ReemitReportResponse{EventIds: ids}, err
	})
}

// ListAuditEntries returns decisions recorded by activity, newest first.
func (s *Service) ListAuditEntries(ctx context.Context, req *activityv1.ListAuditEntriesRequest) (*activityv1.ListAuditEntriesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: scope, Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(activityv1.ListAuditEntriesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r audit.Row) string { return r.ID })
	for _, row := range rows {
		out.Entries = append(out.Entries, row.Proto())
	}
	return out, nil
}
