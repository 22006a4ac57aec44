package activity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// pcnReport is what a PCN gets of a month.
type pcnReport struct {
	message     *activityv1.PcnReport
	publication store.PublicationRow
	csv         string
}

// GetPcnReport returns the newest published version of a PCN's own rows. Where somebody of the PCN reads it, that is noted.
func (s *Service) GetPcnReport(ctx context.Context, req *activityv1.GetPcnReportRequest) (*activityv1.PcnReport, error) {
	out, err := s.fetch(ctx, req.GetPcnCode(), req.GetMonth(), req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	return out.message, nil
}

// DownloadPcnReport returns the same rows as CSV, and notes it in the same way.
func (s *Service) DownloadPcnReport(ctx context.Context, req *activityv1.DownloadPcnReportRequest) (*httpbody.HttpBody, error) {
	out, err := s.fetch(ctx, req.GetPcnCode(), req.GetMonth(), req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	return csvBody(out.csv), nil
}

// fetch reads the newest published version, and notes the delivery in the transaction in which somebody of the PCN first reads it.
func (s *Service) fetch(ctx context.Context, pcn, monthText, commissioner string) (*pcnReport, error) {
	month, err := parseMonth(monthText)
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	var out *pcnReport
	noted := true
	receipt := func() *store.ReceiptRow {
		return &store.ReceiptRow{ReportID: out.publication.ReportID, PCN: pcn, Kind: int64(activityv1.ReceiptKind_FETCHED), Person: by.Subject, SHA256: out.publication.SHA256}
	}
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if out, err = loadPCNReport(ctx, q, pcn, month, commissioner); err != nil || !speaksFor(by, pcn) {
			return err
		}
		noted, err = store.HasReceipt(ctx, q, receipt())
		return err
	})
	if err != nil || noted {
		return out, err
	}
	err = s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if out, err = loadPCNReport(ctx, tx, pcn, month, commissioner); err != nil {
			return err
		}
		return deliver(ctx, tx, by, "/pcnfunding.activity.v1.ActivityService/GetPcnReport", &out.publication, receipt())
	})
	return out, err
}

// deliver keeps proof that somebody got a version, announces and notes it; once for each person and kind.
func deliver(ctx context.Context, tx *sqldb.Tx, by auth.Principal, method string, p *store.PublicationRow, receipt *store.ReceiptRow) error {
	receipt.ReceivedAt = sqldb.Micros(tx.Now())
	added, err := store.InsertReceipt(ctx, tx, receipt)
	if err != nil || !added {
		return err
	}
	kind := activityv1.ReceiptKind(receipt.Kind) //nolint:gosec // few
	event := &activityv1.ReportDelivered{
		CommissionerCode: p.CommissionerCode, Month: p.Month.String(), PcnCode: p.PCN, ReportId: p.ReportID, Kind: kind,
		ReceivedAt: timestamp(receipt.ReceivedAt),
	}
	_, err = outbox.Add(ctx, tx, outbox.Event{
		Aggregate: "report/" + p.CommissionerCode + "/" + p.Month.String() + "/" + p.PCN, CommissionerCode: p.CommissionerCode, Message: event,
	})
	if err != nil {
		return err
	}
	return audit.Add(ctx, tx, audit.Entry{
		Actor: by.Subject, Roles: by.RoleNames(), Method: method, Resource: "activity/reports/" + p.ReportID + "/" + p.PCN, CommissionerCode: p.CommissionerCode,
		Summary: fmt.Sprintf("%s got the rows with hash %s", p.PCN, receipt.SHA256),
	})
}

// loadPCNReport loads the newest published version of a PCN that the caller may see: of the commissioner named, else of the one that leads
// the PCN, else of the only one.
func loadPCNReport(ctx context.Context, q sqldb.Querier, pcn string, month period.Month, commissioner string) (*pcnReport, error) {
	all, err := store.Publications(ctx, q, commissioner, pcn, month)
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	newest := make(map[string]store.PublicationRow)
	var codes []string
	for _, p := range all { // by commissioner and version
		if !by.MaySee(p.CommissionerCode, pcn) {
			continue
		}
		if _, known := newest[p.CommissionerCode]; !known {
			codes = append(codes, p.CommissionerCode)
		}
		newest[p.CommissionerCode] = p
	}
	if len(codes) == 0 {
		return nil, fault.New(fault.NotFound, reasonReportNotFound, "there is no published report of %q for %s that you may see", money.Clip(pcn), month)
	}
	var chosen *pcnReport
	for _, code := range codes {
		row, err := store.Report(ctx, q, newest[code].ReportID)
		if err != nil {
			return nil, err
		}
		led := true
		for _, p := range row.Body.GetPcns() {
			led = led && (p.GetPcnCode() != pcn || !p.GetLedElsewhere())
		}
		if len(codes) == 1 || led {
			if chosen, err = pcnReportOf(ctx, q, &row, newest[code], all); err != nil {
				return nil, err
			}
		}
	}
	if chosen == nil {
		return nil, fault.New(fault.Refused, reasonCommissionerAmbiguous, "%v have reports of %s for %s: name one", codes, pcn, month).At("commissioner_code", fmt.Sprint("one of ", codes))
	}
	return chosen, nil
}

// pcnReportOf puts together what a PCN gets of a version.
func pcnReportOf(ctx context.Context, q sqldb.Querier, row *store.ReportRow, p store.PublicationRow, all []store.PublicationRow) (*pcnReport, error) {
	kept, err := keptRows(ctx, q, row, p.PCN)
	if err != nil {
		return nil, err
	}
	v, err := ownView(ctx, q, kept, row.Body.GetLastYearReportIds(), p.PCN)
	if err != nil {
		return nil, err
	}
	v.month = row.Month.String()
	rows := v.rows()
	text, err := writeCSV(row.Body, rows)
	if err != nil {
		return nil, err
	}
	if digestOf(text) != p.SHA256 {
		return nil, fault.Bug("the rows of %s in %s are not those that were published", p.PCN, p.ReportID)
	}
	report := ownReport(row, p.PCN)
	out := &pcnReport{publication: p, csv: text, message: &activityv1.PcnReport{
		PcnCode: p.PCN, Report: report, Rows: rows, Sha256: p.SHA256, PublishedAt: timestamp(p.PublishedAt),
	}}
	for i := range kept.PCNs {
		if kept.PCNs[i].Code == p.PCN {
			out.message.PcnName, out.message.Totals = kept.PCNs[i].Name, v.pcn(&kept.PCNs[i])
		}
	}
	out.message.Restatement, err = restatedFor(ctx, q, p, kept, all)
	return out, err
}

// ownReport is the report without what it says of others than a PCN.
func ownReport(row *store.ReportRow, pcn string) *activityv1.Report {
	out := reportToProto(row)
	out.Pcns, out.Totals, out.Missing, out.RowCount, out.Sha256 = nil, nil, nil, 0, ""
	out.Cut.Rows, out.Cut.Attendances, out.Cut.UnknownPractice = nil, nil, nil
	out.Level = activityv1.ReportLevel_PRACTICE_LEVEL
	if r := out.GetRestatement(); r != nil {
		others := func(d *activityv1.PcnDifference) bool { return d.GetPcnCode() != pcn }
		out.Restatement = &activityv1.Restatement{
			BeforeReportId: r.GetBeforeReportId(), AfterReportId: r.GetAfterReportId(), Causes: r.GetCauses(), Differences: slices.DeleteFunc(r.GetDifferences(), others),
		}
	}
	return out
}

// restatedFor says what a version changed for the PCN of the one published to it before; nil for a first one.
func restatedFor(ctx context.Context, q sqldb.Querier, p store.PublicationRow, is *rules.Report, all []store.PublicationRow) (*activityv1.PcnDifference, error) {
	var before *store.PublicationRow
	for i := range all {
		if all[i].CommissionerCode == p.CommissionerCode && all[i].Version < p.Version {
			before = &all[i]
		}
	}
	if before == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	row, err := store.Report(ctx, q, before.ReportID)
	if err != nil {
		return nil, err
	}
	was, err := keptRows(ctx, q, &row, p.PCN)
	if err != nil {
		return nil, err
	}
	if differs := rules.Compare(was, is); len(differs) > 0 { // both have the rows of the PCN alone
		return differenceToProto(&differs[0]), nil
	}
	return &activityv1.PcnDifference{PcnCode: p.PCN}, nil
}

// AcknowledgeReport says that a PCN has got a version.
func (s *Service) AcknowledgeReport(ctx context.Context, req *activityv1.AcknowledgeReportRequest) (*activityv1.Delivery, error) {
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*activityv1.Delivery](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	var commissioner string
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Report(ctx, q, req.GetReportId())
		if errors.Is(err, sql.ErrNoRows) {
			return noReport(req.GetReportId())
		}
		commissioner = row.CommissionerCode
		return err
	})
	if err != nil {
		return nil, err
	}
	d, err := s.newDeliveries(ctx, commissioner, month)
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*activityv1.Delivery, error) {
		if err := tx.Lock(ctx, commissionerLock(commissioner)); err != nil {
			return nil, err
		}
		all, err := store.Publications(ctx, tx, commissioner, req.GetPcnCode(), month)
		if err != nil {
			return nil, err
		}
		var p *store.PublicationRow
		for i := range all {
			if all[i].ReportID == req.GetReportId() {
				p = &all[i]
			}
		}
		if p == nil {
			return nil, noReport(req.GetReportId())
		}
		if p.SHA256 != req.GetSha256() {
			return nil, fault.New(fault.Invalid, reasonHashDiffers, "the rows of %s in %s have another hash: fetch them again", p.PCN, p.ReportID).At("sha256", "that of the rows as CSV")
		}
		receipt := &store.ReceiptRow{ReportID: p.ReportID, PCN: p.PCN, Kind: int64(activityv1.ReceiptKind_ACKNOWLEDGED), Person: tx.By.Subject, SHA256: p.SHA256}
		if err := deliver(ctx, tx.Tx, tx.By, "/pcnfunding.activity.v1.ActivityService/AcknowledgeReport", p, receipt); err != nil {
			return nil, err
		}
		return d.ofPublication(ctx, tx, p)
	})
}
