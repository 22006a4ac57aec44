package devfund

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// PreviewMonth computes what a close would fix now, and writes nothing.
func (s *Service) PreviewMonth(ctx context.Context, req *devfundv1.PreviewMonthRequest) (*typev1.PaymentSchedule, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	c, err := s.gather(ctx, req.GetCommissionerCode(), month)
	if err != nil {
		return nil, err
	}
	row := store.ScheduleRow{
		CommissionerCode: c.commissioner, CommissionerName: c.now.name, Month: month, SnapshotID: c.now.id, KnownAt: c.at,
	}
	var decided *decision
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		latest, err := store.LatestSchedule(ctx, q, c.commissioner, month)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		row.Sequence = latest.Sequence + 1
		decided, err = s.decideMonth(ctx, q, c, row.Sequence)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := scheduleToProto(row, decided.lines, req.GetIncludeWorking())
	pay, reconcile, err := schedule.Totals(out.GetLines())
	out.LineCount, out.PayTotalPence, out.ReconcileTotalPence = int32(len(decided.lines)), int64(pay), int64(reconcile) //nolint:gosec // lines of one month
	return out, err
}

// GetSchedule returns one schedule with its lines.
func (s *Service) GetSchedule(ctx context.Context, req *devfundv1.GetScheduleRequest) (*typev1.PaymentSchedule, error) {
	row, lines, err := s.loadSchedule(ctx, req.GetScheduleId(), req.GetIncludeWorking())
	if err != nil {
		return nil, err
	}
	return scheduleToProto(row, lines, req.GetIncludeWorking()), nil
}

// loadSchedule loads a schedule that the caller may see.
func (s *Service) loadSchedule(ctx context.Context, id string, withWorking bool) (row store.ScheduleRow, lines []store.ScheduleLine, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err = store.Schedule(ctx, q, id)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, "")) {
			return fault.New(fault.NotFound, reasonScheduleNotFound, "there is no schedule %q", id)
		}
		if err != nil {
			return err
		}
		lines, err = store.ScheduleLines(ctx, q, id, withWorking)
		return err
	})
	return row, lines, err
}

// GetLine returns one line of a schedule with its explanation, to those who see the commissioner or the PCN. A PCN sees its part of what a
// line of a plan pays, and not what others get of it.
func (s *Service) GetLine(ctx context.Context, req *devfundv1.GetLineRequest) (*devfundv1.ExplainedLine, error) {
	var row store.ScheduleLine
	var month string
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		row, month, err = store.ExplainedLine(ctx, q, req.GetLineId())
		return err
	})
	if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, row.Message.GetPcnCode())) {
		return nil, fault.New(fault.NotFound, reasonLineNotFound, "there is no line %q", req.GetLineId())
	}
	if err != nil {
		return nil, err
	}
	steps, err := working.FromProto(row.Working)
	if err != nil {
		return nil, err
	}
	if !caller(ctx).HoldsCommissioner(row.CommissionerCode) {
		steps = rules.OwnPart(steps)
	}
	line := proto.CloneOf(row.Message)
	line.Working = working.ToProto(steps)
	result, err := working.Evaluate(steps)
	return &devfundv1.ExplainedLine{
		Line: line, Sentences: working.Sentences(steps), ScheduleId: row.ScheduleID, CommissionerCode: row.CommissionerCode, Month: month,
		Verified: err == nil && result.Cmp(money.Pence(line.GetAmountPence()).GBP()) == 0,
	}, nil
}

// ListSchedules returns a page of schedules without their lines.
func (s *Service) ListSchedules(ctx context.Context, req *devfundv1.ListSchedulesRequest) (*devfundv1.ListSchedulesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetMonth() != "" {
		if _, err := period.ParseMonth(req.GetMonth()); err != nil {
			return nil, fault.New(fault.Invalid, reasonMonthMalformed, "%v", err).At("month", err.Error())
		}
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.ScheduleRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Schedules(ctx, q, store.ScheduleFilter{
			Commissioners: scope, Month: req.GetMonth(), Before: before, Limit: size + 1,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(devfundv1.ListSchedulesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.ScheduleRow) string { return r.Month.String() + " " + r.ID })
	for i := range rows {
		out.Schedules = append(out.Schedules, scheduleToProto(rows[i], nil, false))
	}
	return out, nil
}

// DownloadSchedule returns the lines of a schedule as CSV. A cell that a spreadsheet would take for a formula is made text.
func (s *Service) DownloadSchedule(ctx context.Context, req *devfundv1.DownloadScheduleRequest) (*httpbody.HttpBody, error) {
	row, lines, err := s.loadSchedule(ctx, req.GetScheduleId(), false)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write([]string{
		"schedule_id", "commissioner_code", "month", "sequence", "line_id", "for_month", "payment_code", "pcn_code", "pcn_name",
		"practice_code", "source_item", "payee_code", "payee_name", "location_code", "funding_source", "instruction", "amount_gbp",
		"adjusts_line_id", "adjustment_cause", "confidence", "holds",
	})
	for i := range lines {
		line := lines[i].Message
		var holds []string
		for _, hold := range line.GetHolds() {
			holds = append(holds, hold.GetReason())
		}
		_ = w.Write(spreadsheet.Cells(
			row.ID, row.CommissionerCode, row.Month.String(), fmt.Sprint(row.Sequence), line.GetLineId(), line.GetForMonth(),
			line.GetPaymentCode(), line.GetPcnCode(), line.GetPcnName(), line.GetPracticeCode(), line.GetSourceItem(), line.GetPayee().GetCode(),
			line.GetPayee().GetName(), line.GetLocationCode(), line.GetFundingSource(),
			strings.TrimPrefix(line.GetInstruction().String(), "INSTRUCTION_"), money.Pence(line.GetAmountPence()).Plain(),
			line.GetAdjustsLineId(), strings.TrimPrefix(line.GetAdjustmentCause().String(), "ADJUSTMENT_CAUSE_"),
			working.ConfidenceFromProto(line.GetConfidence()).String(), strings.Join(holds, " "),
		))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of %s: %w", row.ID, err)
	}
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text.String())}, nil
}

// ReemitSchedule publishes the events of a schedule once more.
func (s *Service) ReemitSchedule(ctx context.Context, req *devfundv1.ReemitScheduleRequest) (*devfundv1.ReemitScheduleResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*devfundv1.ReemitScheduleResponse, error) {
		row, err := store.Schedule(ctx, tx, req.GetScheduleId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.New(fault.NotFound, reasonScheduleNotFound, "there is no schedule %q", req.GetScheduleId())
		}
		if err != nil {
			return nil, err
		}
		if _, err := outbox.Reemit(ctx, tx.Tx, row.EventIDs); err != nil {
			return nil, err
		}
		err = tx.Record(ctx, Name+"/schedules/"+row.ID, row.CommissionerCode, fmt.Sprintf("published %d events once more", len(row.EventIDs)))
		return &devfundv1.ReemitScheduleResponse{EventIds: row.EventIDs}, err
	})
}

func scheduleToProto(s store.ScheduleRow, lines []store.ScheduleLine, withWorking bool) *typev1.PaymentSchedule {
	out := &typev1.PaymentSchedule{
		ScheduleId: s.ID, Fund: typev1.Fund_FUND_DEVFUND, CommissionerCode: s.CommissionerCode, CommissionerName: s.CommissionerName,
		Month: s.Month.String(), Sequence: int32(s.Sequence), LineCount: int32(s.LineCount), //nolint:gosec // counts of one month
		PayTotalPence: int64(s.PayTotal), ReconcileTotalPence: int64(s.ReconcileTotal), LinesSha256: s.LinesSHA256,
		SnapshotId: s.SnapshotID, KnownAt: timestamp(s.KnownAt), ClosedBy: s.ClosedBy, ClosedAt: timestamp(s.ClosedAt),
		Lines: make([]*typev1.PaymentLine, len(lines)),
	}
	for i := range lines {
		out.Lines[i] = lines[i].Message
		if withWorking {
			out.Lines[i] = proto.CloneOf(lines[i].Message)
			out.Lines[i].Working = lines[i].Working
		}
	}
	return out
}
