package activity

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// PublishReport gives every PCN its own rows of the newest version.
func (s *Service) PublishReport(ctx context.Context, req *activityv1.PublishReportRequest) (*activityv1.PublishReportResponse, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.PublishReportResponse, error) {
		if err := tx.Lock(ctx, commissionerLock(req.GetCommissionerCode())); err != nil {
			return nil, err
		}
		row, _, err := seenReport(ctx, tx, req.GetReportId())
		if err != nil {
			return nil, err
		}
		if row.CommissionerCode != req.GetCommissionerCode() || row.Month != month {
			return nil, noReport(req.GetReportId())
		}
		newest, err := store.NewestReport(ctx, tx, row.CommissionerCode, month)
		if err != nil {
			return nil, err
		}
		if newest.ID != row.ID {
			return nil, fault.New(fault.Stale, reasonReportReplaced, "%s was built after %s: look at it, and publish it", newest.ID, row.ID).With("report_id", newest.ID)
		}
		cut, err := newestCut(ctx, tx, row.CommissionerCode, month)
		if err != nil {
			return nil, err
		}
		if cut.ID != row.CutID {
			return nil, fault.New(fault.Refused, reasonReportOutdated, "%s was taken in after %s was built from %s: build it again", cut.ID, row.ID, row.CutID).With("cut_id", cut.ID)
		}
		return s.publish(ctx, tx, &row)
	})
}

// publish stores, announces and notes the publications that a version lacks.
func (s *Service) publish(ctx context.Context, tx *change.Tx, row *store.ReportRow) (*activityv1.PublishReportResponse, error) {
	earlier, err := store.Publications(ctx, tx, row.CommissionerCode, "", row.Month)
	if err != nil {
		return nil, err
	}
	has, restated := make(map[string]bool), make(map[string]bool)
	for i := range earlier {
		restated[earlier[i].PCN] = true
		if earlier[i].ReportID == row.ID {
			has[earlier[i].PCN] = true
		}
	}
	kept, err := keptReport(ctx, tx, row)
	if err != nil {
		return nil, err
	}
	settings, err := store.Settings(ctx, tx)
	if err != nil {
		return nil, err
	}
	limit, _ := rules.Limit(settingsOf(settings), row.CommissionerCode)
	shared, err := sharedView(ctx, tx, kept, row.Body.GetLastYearReportIds(), limit)
	if err != nil {
		return nil, err
	}
	full, err := fullView(ctx, tx, kept, row.Body.GetLastYearReportIds(), activityv1.ReportLevel_PRACTICE_LEVEL)
	if err != nil {
		return nil, err
	}
	full.month = row.Month.String()
	rows := rowsByPCN(full)
	out := &activityv1.PublishReportResponse{ReportId: row.ID}
	var added []store.PublicationRow
	for i := range kept.PCNs {
		pcn := &kept.PCNs[i]
		if !rules.IsPCN(pcn.Code) || has[pcn.Code] {
			continue
		}
		text, err := writeCSV(row.Body, rows[pcn.Code])
		if err != nil {
			return nil, err
		}
		p := store.PublicationRow{
			CommissionerCode: row.CommissionerCode, Month: row.Month, PCN: pcn.Code, Version: row.Version, ReportID: row.ID, SHA256: digestOf(text),
			PublishedAt: sqldb.Micros(tx.Now()), PublishedBy: tx.By.Subject,
		}
		event := &activityv1.ReportPublished{
			ReportId: row.ID, CommissionerCode: row.CommissionerCode, Month: row.Month.String(), Version: int32(row.Version), PcnCode: pcn.Code, //nolint:gosec // few
			Totals: shared.pcn(pcn), PublishedAt: timestamp(p.PublishedAt), Restated: restated[pcn.Code],
		}
		if p.EventID, err = tx.Announce(ctx, reportAggregate(row)+"/"+pcn.Code, row.CommissionerCode, event); err != nil {
			return nil, err
		}
		added = append(added, p)
		out.PcnCodes = append(out.PcnCodes, pcn.Code)
	}
	if len(added) == 0 {
		out.AlreadyPublished = true
		return out, tx.Record(ctx, "activity/reports/"+row.ID, row.CommissionerCode, "published it to nobody, since every PCN had it")
	}
	if err := store.InsertPublications(ctx, tx.Tx, added); err != nil {
		return nil, err
	}
	return out, tx.Record(ctx, "activity/reports/"+row.ID, row.CommissionerCode, fmt.Sprintf("published version %d of %s to %d PCNs", row.Version, row.Month, len(added)))
}

// rowsByPCN divides the rows of a view.
func rowsByPCN(v *view) map[string][]*activityv1.ReportRow {
	out := make(map[string][]*activityv1.ReportRow)
	for _, row := range v.rows() {
		out[row.GetPcnCode()] = append(out[row.GetPcnCode()], row)
	}
	return out
}
