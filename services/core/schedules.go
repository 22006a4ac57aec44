package core

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/httpbody"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

const defaultPage = 100

// PreviewMonth computes what a close would fix, or the whole of a month from scratch, and writes nothing.
func (s *Service) PreviewMonth(ctx context.Context, req *corev1.PreviewMonthRequest) (*typev1.PaymentSchedule, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	var knownAt int64
	if at := req.GetKnownAt(); at != nil {
		if at.AsTime().After(s.db.Now()) {
			return nil, fault.New(fault.Invalid, rules.ReasonKnownAtInFuture, "known_at lies in the future").At("known_at", "must not lie in the future")
		}
		knownAt = sqldb.Micros(at.AsTime())
	}
	b, err := s.gather(ctx, req.GetCommissionerCode(), month, knownAt, req.GetFromScratch())
	if err != nil {
		return nil, err
	}
	row := store.ScheduleRow{
		CommissionerCode: b.commissioner, CommissionerName: b.name, Month: month, SnapshotID: b.snapshotID, KnownAt: b.at,
	}
	var decided *decision
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		latest, err := store.LatestSchedule(ctx, q, b.commissioner, month, b.at)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		row.Sequence = latest.Sequence + 1
		decided, err = s.decide(ctx, q, b, row.Sequence, b.at)
		return err
	})
	if err != nil {
		return nil, err
	}
	return previewed(row, decided, req.GetIncludeWorking())
}

func previewed(row store.ScheduleRow, decided *decision, withWorking bool) (*typev1.PaymentSchedule, error) {
	row.Refusals, row.Withheld, row.LineCount = gatherRefusals(decided.months), gatherWithheld(decided.months), len(decided.lines)
	var err error
	if row.PayTotal, row.ReconcileTotal, err = totals(decided.lines); err != nil {
		return nil, err
	}
	out := scheduleToProto(row, nil)
	for i := range decided.lines {
		line := lineToProto(&store.LineRow{Line: decided.lines[i]})
		if withWorking {
			line.Working = working.ToProto(decided.lines[i].Working)
		}
		out.Lines = append(out.Lines, line)
	}
	return out, nil
}

// GetSchedule returns one schedule with its lines.
func (s *Service) GetSchedule(ctx context.Context, req *corev1.GetScheduleRequest) (*typev1.PaymentSchedule, error) {
	row, lines, err := s.loadSchedule(ctx, req.GetScheduleId(), req.GetIncludeWorking())
	if err != nil {
		return nil, err
	}
	out := scheduleToProto(row, nil)
	out.Lines = make([]*typev1.PaymentLine, len(lines))
	for i := range lines {
		if out.Lines[i] = lineToProto(&lines[i]); req.GetIncludeWorking() {
			if out.Lines[i], _, err = lineWithWorking(&lines[i]); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// loadSchedule loads a schedule that the caller may see.
func (s *Service) loadSchedule(ctx context.Context, id string, withWorking bool) (row store.ScheduleRow, lines []store.LineRow, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err = store.Schedule(ctx, q, id)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !maySee(ctx, row.CommissionerCode, "")) {
			return fault.New(fault.NotFound, rules.ReasonScheduleNotFound, "there is no schedule %q", id)
		}
		if err != nil {
			return err
		}
		lines, err = store.Lines(ctx, q, store.LineFilter{ScheduleID: id, WithWorking: withWorking})
		return err
	})
	return row, lines, err
}

func maySee(ctx context.Context, commissioner, pcn string) bool {
	principal, known := auth.From(ctx)
	return known && principal.MaySee(commissioner, pcn)
}

// visible returns the commissioners a list is limited to: the one asked for, or all that the caller holds. Nil means all. One
// that the caller does not hold is not found.
func visible(ctx context.Context, asked string) ([]string, error) {
	principal, _ := auth.From(ctx)
	switch {
	case asked == "":
		return principal.CommissionerScope(), nil
	case principal.HoldsCommissioner(asked):
		return []string{asked}, nil
	default:
		return nil, fault.New(fault.NotFound, "RESOURCE_NOT_FOUND", "there is no commissioner %q that you may see", asked).With("commissioner_code", asked)
	}
}

// ListSchedules returns a page of schedules without their lines.
func (s *Service) ListSchedules(ctx context.Context, req *corev1.ListSchedulesRequest) (*corev1.ListSchedulesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetMonth() != "" {
		if _, err := parseMonth("month", req.GetMonth()); err != nil {
			return nil, err
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
	out := new(corev1.ListSchedulesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.ScheduleRow) string { return r.Month.String() + " " + r.ID })
	for i := range rows {
		out.Schedules = append(out.Schedules, scheduleToProto(rows[i], nil))
	}
	return out, nil
}

// DownloadSchedule returns the lines of a schedule as CSV. A cell that a spreadsheet would take for a formula is made text.
func (s *Service) DownloadSchedule(ctx context.Context, req *corev1.DownloadScheduleRequest) (*httpbody.HttpBody, error) {
	row, lines, err := s.loadSchedule(ctx, req.GetScheduleId(), false)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	_ = w.Write([]string{
		"schedule_id", "commissioner_code", "month", "sequence", "line_id", "for_month", "payment_code", "pcn_code", "pcn_name",
		"practice_code", "payee_code", "payee_name", "location_code", "funding_source", "instruction", "amount_gbp",
		"adjusts_line_id", "adjustment_cause", "confidence", "holds",
	})
	for i := range lines {
		line := lineToProto(&lines[i])
		var holds []string
		for _, hold := range line.GetHolds() {
			holds = append(holds, hold.GetReason())
		}
		_ = w.Write(spreadsheet.Cells(
			row.ID, row.CommissionerCode, row.Month.String(), fmt.Sprint(row.Sequence), line.GetLineId(), line.GetForMonth(),
			line.GetPaymentCode(), line.GetPcnCode(), line.GetPcnName(), line.GetPracticeCode(), line.GetPayee().GetCode(),
			line.GetPayee().GetName(), line.GetLocationCode(), line.GetFundingSource(),
			strings.TrimPrefix(line.GetInstruction().String(), "INSTRUCTION_"), money.Pence(line.GetAmountPence()).Plain(),
			line.GetAdjustsLineId(), strings.TrimPrefix(line.GetAdjustmentCause().String(), "ADJUSTMENT_CAUSE_"),
			lines[i].Confidence.String(), strings.Join(holds, " "),
		))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write CSV of %s: %w", row.ID, err)
	}
	return &httpbody.HttpBody{ContentType: "text/csv; charset=utf-8; header=present", Data: []byte(text.String())}, nil
}

// ReemitSchedule publishes the events of a schedule once more.
func (s *Service) ReemitSchedule(ctx context.Context, req *corev1.ReemitScheduleRequest) (*corev1.ReemitScheduleResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*corev1.ReemitScheduleResponse, error) {
		row, err := store.Schedule(ctx, tx, req.GetScheduleId())
		if errors.Is(err, sql.ErrNoRows) {
			return nil, fault.New(fault.NotFound, rules.ReasonScheduleNotFound, "there is no schedule %q", req.GetScheduleId())
		}
		if err != nil {
			return nil, err
		}
		if _, err := outbox.Reemit(ctx, tx.Tx, row.EventIDs); err != nil {
			return nil, err
		}
		err = tx.Record(ctx, "core/schedules/"+row.ID, row.CommissionerCode, fmt.Sprintf("published %d events once more", len(row.EventIDs)))
		return &corev1.ReemitScheduleResponse{EventIds: row.EventIDs}, err
	})
}

// GetPcnMonth returns every line scheduled for a PCN in a month.
func (s *Service) GetPcnMonth(ctx context.Context, req *corev1.GetPcnMonthRequest) (*corev1.PcnMonth, error) {
	if _, err := parseMonth("month", req.GetMonth()); err != nil {
		return nil, err
	}
	out := &corev1.PcnMonth{PcnCode: req.GetPcnCode(), Month: req.GetMonth()}
	principal, _ := auth.From(ctx)
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		var scope []string
		if !principal.HoldsPCN(req.GetPcnCode()) {
			scope = principal.CommissionerScope()
		}
		lines, err := store.Lines(ctx, q, store.LineFilter{PCNCode: req.GetPcnCode(), Month: req.GetMonth(), Commissioners: scope, WithWorking: true})
		if err != nil {
			return err
		}
		schedules, err := store.Schedules(ctx, q, store.ScheduleFilter{Commissioners: scope, Month: req.GetMonth()})
		if err != nil {
			return err
		}
		return fillPCNMonth(out, lines, latestOnly(schedules))
	})
	if err != nil {
		return nil, err
	}
	if len(out.GetScheduleIds()) == 0 {
		return nil, fault.New(fault.NotFound, rules.ReasonPCNNotFound, "nothing is scheduled for %s in %s", req.GetPcnCode(), req.GetMonth())
	}
	return out, nil
}

// fillPCNMonth orders lines as a person reads them: payment by payment, the earliest month first.
func fillPCNMonth(out *corev1.PcnMonth, lines []store.LineRow, schedules []store.ScheduleRow) error {
	slices.SortStableFunc(lines, func(a, b store.LineRow) int {
		return cmp.Or(cmp.Compare(a.PaymentCode, b.PaymentCode), a.ForMonth.Compare(b.ForMonth), cmp.Compare(a.PracticeCode, b.PracticeCode))
	})
	for i := range lines {
		line, _, err := lineWithWorking(&lines[i])
		if err != nil {
			return err
		}
		out.Lines = append(out.Lines, line)
		out.ScheduleIds = append(out.ScheduleIds, lines[i].ScheduleID)
		switch lines[i].Instruction {
		case rules.Pay:
			out.PayTotalPence += line.GetAmountPence()
		case rules.ReconcileOnly:
			out.ReconcileTotalPence += line.GetAmountPence()
		}
	}
	for i := range schedules {
		concerned := false
		for _, refusal := range schedules[i].Refusals {
			eachRefused(refusal, func(pcn, _ string) {
				if pcn == out.GetPcnCode() {
					out.Refusals, concerned = append(out.Refusals, refusalOf(refusal, pcn)), true
				}
			})
		}
		for _, w := range schedules[i].Withheld {
			if w.GetPcnCode() == out.GetPcnCode() {
				out.Withheld, concerned = append(out.Withheld, w), true
			}
		}
		if concerned {
			out.ScheduleIds = append(out.ScheduleIds, schedules[i].ID)
		}
	}
	out.ScheduleIds = sorted(out.GetScheduleIds())
	return nil
}

// refusalOf cuts a refusal down to one PCN: what others wait for is not its business.
func refusalOf(refusal *typev1.Refusal, pcn string) *typev1.Refusal {
	return &typev1.Refusal{
		Reason: refusal.GetReason(), PaymentCode: refusal.GetPaymentCode(), ForMonth: refusal.GetForMonth(),
		Missing: refusal.GetMissing(), Remedy: refusal.GetRemedy(), PcnCodes: []string{pcn},
	}
}

// GetLine returns one line with the sentences that explain it, and whether its working evaluates to its pence.
func (s *Service) GetLine(ctx context.Context, req *corev1.GetLineRequest) (*corev1.ExplainedLine, error) {
	var rows []store.LineRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Lines(ctx, q, store.LineFilter{LineID: req.GetLineId(), WithWorking: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || !maySee(ctx, rows[0].CommissionerCode, rows[0].PCNCode) {
		return nil, fault.New(fault.NotFound, rules.ReasonLineNotFound, "there is no line %q", req.GetLineId())
	}
	line, steps, err := lineWithWorking(&rows[0])
	if err != nil {
		return nil, err
	}
	result, err := working.Evaluate(steps)
	return &corev1.ExplainedLine{
		Line: line, Sentences: working.Sentences(steps), ScheduleId: rows[0].ScheduleID, CommissionerCode: rows[0].CommissionerCode,
		Month: rows[0].Month.String(), Verified: err == nil && result.Cmp(rows[0].Amount.GBP()) == 0,
	}, nil
}
