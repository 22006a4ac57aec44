package activity

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

// deliveries is what is known of where the reports of a month stand.
type deliveries struct {
	commissioner string
	month        period.Month
	today        period.Date
	due          period.Date
	unknown      *rules.Missing
	publications []store.PublicationRow // by PCN and version
	receipts     []store.ReceiptRow     // by PCN, newest version first
}

// newDeliveries finds by when the reports of a month are due. Where that is a working day it asks the register for the bank holidays, so it
// is not for transactions.
func (s *Service) newDeliveries(ctx context.Context, commissioner string, month period.Month) (*deliveries, error) {
	d := &deliveries{commissioner: commissioner, month: month, today: period.DateOf(s.db.Now())}
	var rows []store.SettingRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Settings(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	settings := settingsOf(rows)
	d.due, d.unknown = rules.DueOn(settings, commissioner, month, nil)
	if d.unknown == nil || d.unknown.Reason != rules.ReasonBankHolidaysUnknown {
		return d, nil
	}
	answer, err := s.register.ListBankHolidays(ctx, &registerv1.ListBankHolidaysRequest{Year: int32(month.Add(1).First().Time().Year())}) //nolint:gosec // a year
	if f := rpc.FaultFromStatus(status.Convert(err)); f != nil && f.Reason == rules.ReasonBankHolidaysUnknown {
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	var holidays []string
	for _, h := range answer.GetHolidays() {
		holidays = append(holidays, h.GetDate())
	}
	d.due, d.unknown = rules.DueOn(settings, commissioner, month, holidays)
	return d, nil
}

// load reads what was published and received, of all PCNs or of one.
func (d *deliveries) load(ctx context.Context, q sqldb.Querier, pcn string) (err error) {
	if d.publications, err = store.Publications(ctx, q, d.commissioner, pcn, d.month); err != nil {
		return err
	}
	d.receipts, err = store.Receipts(ctx, q, d.commissioner, pcn, d.month)
	return err
}

// of says where the report of one PCN stands.
func (d *deliveries) of(network rules.Network) *activityv1.Delivery {
	out := &activityv1.Delivery{
		PcnCode: network.Code, PcnName: network.Name, CommissionerCode: d.commissioner, Month: d.month.String(), LedElsewhere: network.LedElsewhere,
		DueUnknown: refusalToProto(d.unknown),
	}
	known := rules.Publication{Due: d.due}
	if d.unknown == nil {
		out.DueOn = d.due.String()
	}
	for i := range d.publications {
		p := &d.publications[i]
		if p.PCN != network.Code {
			continue
		}
		if known.First.IsZero() {
			known.First = period.DateOf(sqldb.FromMicros(p.PublishedAt))
			out.FirstPublishedAt = timestamp(p.PublishedAt)
		}
		out.ReportId, out.Version, out.PublishedAt, out.PublishedBy, out.Sha256 = p.ReportID, int32(p.Version), timestamp(p.PublishedAt), p.PublishedBy, p.SHA256 //nolint:gosec // few
	}
	for i := range d.receipts {
		r := &d.receipts[i]
		if r.PCN != network.Code {
			continue
		}
		out.Receipts = append(out.Receipts, &activityv1.Receipt{
			Kind: activityv1.ReceiptKind(r.Kind), Person: r.Person, ReceivedAt: timestamp(r.ReceivedAt), ReportId: r.ReportID, Sha256: r.SHA256, //nolint:gosec // few
		})
		if r.ReportID == out.GetReportId() && !known.Received {
			known.Received, out.DeliveredAt = true, timestamp(r.ReceivedAt)
		}
	}
	state, late := known.At(d.today)
	out.State, out.Late, out.Missing = stateToProto(state), late, state == rules.Absent
	return out
}

// ofPublication says where the report of a PCN stands, in the transaction of a change.
func (d *deliveries) ofPublication(ctx context.Context, q sqldb.Querier, p *store.PublicationRow) (*activityv1.Delivery, error) {
	if err := d.load(ctx, q, p.PCN); err != nil {
		return nil, err
	}
	row, err := store.Report(ctx, q, p.ReportID)
	if err != nil {
		return nil, err
	}
	return d.of(networksOf(&row)[p.PCN]), nil
}

// networksOf are the PCNs of a report by code, without what stands in the place of one.
func networksOf(row *store.ReportRow) map[string]rules.Network {
	out := make(map[string]rules.Network)
	for _, p := range row.Body.GetPcns() {
		if rules.IsPCN(p.GetPcnCode()) {
			out[p.GetPcnCode()] = rules.Network{Code: p.GetPcnCode(), Name: p.GetPcnName(), LedElsewhere: p.GetLedElsewhere()}
		}
	}
	return out
}

// ListDeliveries tells for every PCN where the report of a month stands: for those of the newest version and those that have got one, and
// before there is one for those that the commissioner leads.
func (s *Service) ListDeliveries(ctx context.Context, req *activityv1.ListDeliveriesRequest) (*activityv1.ListDeliveriesResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	month, err := parseMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	commissioner := req.GetCommissionerCode()
	d, err := s.newDeliveries(ctx, commissioner, month)
	if err != nil {
		return nil, err
	}
	var newest store.ReportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if newest, err = store.NewestReport(ctx, q, commissioner, month); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return d.load(ctx, q, "")
	})
	if err != nil {
		return nil, err
	}
	networks := make(map[string]rules.Network)
	if newest.ID != "" {
		networks = networksOf(&newest)
	} else {
		p, err := s.picture(ctx, commissioner, month.First(), month.FinancialYear().ListDate())
		if err != nil {
			return nil, err
		}
		for code, network := range p.members.Networks {
			if !network.LedElsewhere {
				networks[code] = network
			}
		}
	}
	for i := range d.publications {
		if code := d.publications[i].PCN; networks[code].Code == "" {
			networks[code] = rules.Network{Code: code}
		}
	}
	return listed(d, networks, req, after), nil
}

// listed counts all deliveries by state, and returns a page of those wanted.
func listed(d *deliveries, networks map[string]rules.Network, req *activityv1.ListDeliveriesRequest, after string) *activityv1.ListDeliveriesResponse {
	out := &activityv1.ListDeliveriesResponse{States: make(map[string]int32)}
	var rows []*activityv1.Delivery
	for _, network := range networks {
		row := d.of(network)
		out.States[row.GetState().String()]++
		if row.GetPcnCode() > after && (req.GetState() == 0 || row.GetState() == req.GetState()) {
			rows = append(rows, row)
		}
	}
	key := func(r *activityv1.Delivery) string { return r.GetPcnCode() }
	slices.SortFunc(rows, func(a, b *activityv1.Delivery) int { return cmp.Compare(key(a), key(b)) })
	out.Deliveries, out.NextPageToken = page.Cut(rows, page.Size(req.GetPageSize(), defaultPage), key)
	return out
}
