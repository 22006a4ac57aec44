package payments

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// consume takes in the events of every fund until the context ends.
func (s *Service) consume(ctx context.Context, broker *bus.Bus) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range funds() {
		config := bus.ConsumerConfig{Stream: "PCNFUNDING_" + strings.ToUpper(f.name), Durable: Name, Logger: s.logger, Meter: s.meter}
		for _, event := range f.events {
			config.Subjects = append(config.Subjects, string(event.ProtoReflect().Descriptor().FullName())+".>")
		}
		group.Go(func() error { return broker.Consume(ctx, config, s.inbox.Take) })
	}
	return group.Wait()
}

// ListReceivedSchedules returns a page of the schedules that came from the funds.
func (s *Service) ListReceivedSchedules(ctx context.Context, req *paymentsv1.ListReceivedSchedulesRequest) (*paymentsv1.ListReceivedSchedulesResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	if err := checkMonth("month", req.GetMonth()); err != nil {
		return nil, err
	}
	var rows []store.ScheduleRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Schedules(ctx, q, by, req.GetMonth())
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListReceivedSchedulesResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(r store.ScheduleRow) string { return r.Header.GetMonth() + " " + r.Header.GetScheduleId() })
	for _, row := range rows {
		out.Schedules = append(out.Schedules, &paymentsv1.ReceivedSchedule{Schedule: row.Header, ReceivedAt: timestamp(row.ReceivedAt), EventId: row.EventID})
	}
	return out, nil
}

// ListHeldEvents returns a page of events that did not verify, or wait.
func (s *Service) ListHeldEvents(ctx context.Context, req *paymentsv1.ListHeldEventsRequest) (*paymentsv1.ListHeldEventsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []inbox.Held
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = inbox.List(ctx, q, inbox.Filter{Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListHeldEventsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(h inbox.Held) string { return h.ID })
	for i := range rows {
		out.Events = append(out.Events, heldToProto(&rows[i]))
	}
	return out, nil
}

func heldToProto(h *inbox.Held) *paymentsv1.HeldEvent {
	return &paymentsv1.HeldEvent{
		EventId: h.ID, Source: h.Event.Source, Type: h.Event.Type, Aggregate: h.Event.Aggregate, Sequence: h.Event.Sequence,
		CommissionerCode: h.Event.CommissionerCode, Quarantined: h.Reason != "", Reason: h.Reason, Detail: h.Error,
		Attempts: int32(h.Attempts), HeldSince: timestamppb.New(h.HeldAt), //nolint:gosec // a few
	}
}

// ReleaseHeldEvent takes up a held event once more.
func (s *Service) ReleaseHeldEvent(ctx context.Context, req *paymentsv1.ReleaseHeldEventRequest) (*paymentsv1.HeldEventDecision, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.HeldEventDecision, error) {
		outcome, err := s.inbox.Release(ctx, tx.Tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		return s.decided(ctx, tx, &outcome, "released", req.GetReason())
	})
}

// DiscardHeldEvent drops a held event.
func (s *Service) DiscardHeldEvent(ctx context.Context, req *paymentsv1.DiscardHeldEventRequest) (*paymentsv1.HeldEventDecision, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.HeldEventDecision, error) {
		outcome, err := s.inbox.Discard(ctx, tx.Tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		return s.decided(ctx, tx, &outcome, "discarded", req.GetReason())
	})
}

// decided notes what a person did with a held event.
func (s *Service) decided(ctx context.Context, tx *change.Tx, outcome *inbox.Outcome, verb, reason string) (*paymentsv1.HeldEventDecision, error) {
	out := &paymentsv1.HeldEventDecision{EventId: outcome.Event.ID}
	if verb == "released" {
		out.HandledEventIds = append(out.HandledEventIds, outcome.Event.ID)
	}
	for i := range outcome.Drained {
		out.HandledEventIds = append(out.HandledEventIds, outcome.Drained[i].ID)
	}
	e := outcome.Event.Event
	summary := fmt.Sprintf("%s event %s of %s, and took up %d behind it: %s", verb, e.ID, e.Aggregate, len(outcome.Drained), reason)
	return out, tx.Record(ctx, "payments/held-events/"+outcome.Event.ID, e.CommissionerCode, summary)
}

// ListRunLines returns a page of the lines of a run.
func (s *Service) ListRunLines(ctx context.Context, req *paymentsv1.ListRunLinesRequest) (*paymentsv1.ListRunLinesResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	out := new(paymentsv1.ListRunLinesResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		run, of, err := readableRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		held, err := holdsByTarget(ctx, q, run.CommissionerCode)
		if err != nil {
			return err
		}
		kept, err := store.KeptBack(ctx, q, run.ID)
		if err != nil {
			return err
		}
		by := linesOf(run, of)
		by.PayeeCode, by.After = req.GetPayeeCode(), after
		var rows []*paymentsv1.RunLine
		err = store.EachLine(ctx, q, by, func(l store.LineRow) error {
			line := runLineToProto(l, held.of(l), kept[l.Line.GetPayee().GetCode()])
			if req.GetHeldOnly() && len(line.GetHolds()) == 0 {
				return nil
			}
			if rows = append(rows, line); len(rows) > size {
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		out.Lines, out.NextPageToken = page.Cut(rows, size, func(l *paymentsv1.RunLine) string { return l.GetLine().GetLineId() })
		return nil
	})
	return out, err
}

// errEnough ends the reading of lines once a page is full.
var errEnough = errors.New("the page is full")

// linesOf selects the lines of a run, or of a share of it: those in it now while it is assembled, those it was frozen with after.
func linesOf(run store.RunRow, of share) store.LineFilter {
	if run.State == assembled {
		return store.LineFilter{RunID: run.ID}
	}
	return store.LineFilter{FrozenRunID: run.ID, PaidBy: of.heirs}
}

// heldTargets are the holds in force of one commissioner, by payee and by line.
type heldTargets map[string][]*paymentsv1.Hold

func holdsByTarget(ctx context.Context, q sqldb.Querier, commissioner string) (heldTargets, error) {
	rows, err := store.Holds(ctx, q, store.Page{Commissioners: []string{commissioner}}, true)
	if err != nil {
		return nil, err
	}
	out := make(heldTargets)
	for _, row := range rows {
		key := "payee " + row.PayeeCode
		if row.LineID != "" {
			key = "line " + row.LineID
		}
		out[key] = append(out[key], holdToProto(row))
	}
	return out, nil
}

// of returns the holds on a line that is still open.
func (h heldTargets) of(l store.LineRow) []*paymentsv1.Hold {
	if l.State != store.Open {
		return nil
	}
	return append(append([]*paymentsv1.Hold(nil), h["line "+l.Line.GetLineId()]...), h["payee "+l.Line.GetPayee().GetCode()]...)
}

// DownloadRunLines returns the lines of a run as CSV.
func (s *Service) DownloadRunLines(ctx context.Context, req *paymentsv1.DownloadRunLinesRequest) (*httpbody.HttpBody, error) {
	var content strings.Builder
	w := csv.NewWriter(&content)
	w.UseCRLF = true
	_ = w.Write([]string{
		"run_id", "line_id", "schedule_id", "fund", "for_month", "payment_code", "pcn_code", "pcn_name", "practice_code", "payee_code", "payee_name",
		"funding_source", "amount_gbp", "adjusts_line_id", "adjustment_cause", "basis", "state", "holds", "kept_back", "now_in_run_id",
	})
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		run, of, err := readableRun(ctx, q, req.GetRunId())
		if err != nil {
			return err
		}
		held, err := holdsByTarget(ctx, q, run.CommissionerCode)
		if err != nil {
			return err
		}
		kept, err := store.KeptBack(ctx, q, run.ID)
		if err != nil {
			return err
		}
		return store.EachLine(ctx, q, linesOf(run, of), func(l store.LineRow) error {
			var reasons []string
			for _, hold := range held.of(l) {
				reasons = append(reasons, hold.GetReasonCode())
			}
			line, wasKept := l.Line, ""
			if kept[line.GetPayee().GetCode()] {
				wasKept = "yes"
			}
			return w.Write(spreadsheet.Cells(
				run.ID, line.GetLineId(), l.ScheduleID, fundName(l.Fund), line.GetForMonth(), line.GetPaymentCode(), line.GetPcnCode(), line.GetPcnName(),
				line.GetPracticeCode(), line.GetPayee().GetCode(), line.GetPayee().GetName(), line.GetFundingSource(),
				money.Pence(line.GetAmountPence()).Plain(), line.GetAdjustsLineId(),
				strings.TrimPrefix(line.GetAdjustmentCause().String(), "ADJUSTMENT_CAUSE_"), basisText(line),
				strings.TrimPrefix(paymentsv1.ItemState(l.State).String(), "ITEM_STATE_"), strings.Join(reasons, " "), //nolint:gosec // enum
				wasKept, l.RunID,
			))
		})
	})
	if err != nil {
		return nil, err
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write the lines of %s: %w", req.GetRunId(), err)
	}
	return &httpbody.HttpBody{ContentType: typeCSV, Data: []byte(content.String())}, nil
}

// ListRecoveries returns a page of overpayments that are still to be recovered.
func (s *Service) ListRecoveries(ctx context.Context, req *paymentsv1.ListRecoveriesRequest) (*paymentsv1.ListRecoveriesResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListRecoveriesResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		plans, sums, err := store.Recoveries(ctx, q, by, nil)
		if err != nil {
			return err
		}
		plans, out.NextPageToken = page.Cut(plans, by.Limit-1, func(p store.PlanRow) string { return p.CommissionerCode + " " + p.PayeeCode })
		for _, plan := range plans {
			recovery, err := recoveryToProto(ctx, q, plan, sums[plan.CommissionerCode+" "+plan.PayeeCode])
			if err != nil {
				return err
			}
			out.Recoveries = append(out.Recoveries, recovery)
		}
		return nil
	})
	return out, err
}

func recoveryToProto(ctx context.Context, q sqldb.Querier, p store.PlanRow, outstanding money.Pence) (*paymentsv1.Recovery, error) {
	name := p.PayeeName
	if name == "" {
		names, err := store.PayeeNames(ctx, q, []string{p.PayeeCode})
		if err != nil {
			return nil, err
		}
		name = names[p.PayeeCode]
	}
	return &paymentsv1.Recovery{
		CommissionerCode: p.CommissionerCode, Payee: &typev1.Payee{Code: p.PayeeCode, Name: name}, OutstandingPence: int64(outstanding),
		InstalmentPence: int64(p.Instalment), FromMonth: p.From.String(), Reason: p.Reason, PlannedBy: p.PlannedBy, PlannedAt: timestamp(p.PlannedAt),
		TakesAll: p.Instalment == 0,
	}, nil
}

// PlanRecovery sets the instalment in which an overpayment is taken off.
func (s *Service) PlanRecovery(ctx context.Context, req *paymentsv1.PlanRecoveryRequest) (*paymentsv1.Recovery, error) {
	from, err := parseMonth("from_month", req.GetFromMonth())
	if err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*paymentsv1.Recovery, error) {
		code, payee := req.GetCommissionerCode(), req.GetPayeeCode()
		if err := tx.Lock(ctx, lockKey(code)); err != nil {
			return nil, err
		}
		_, sums, err := store.Recoveries(ctx, tx, store.Page{Commissioners: []string{code}}, []string{payee})
		if err != nil {
			return nil, err
		}
		outstanding := sums[code+" "+payee]
		if outstanding == 0 {
			return nil, fault.New(fault.Refused, rules.ReasonNothingToRecover, "nothing is to be recovered from %s by %s", payee, code)
		}
		plan := store.PlanRow{
			CommissionerCode: code, PayeeCode: payee, Instalment: money.Pence(req.GetInstalmentPence()), From: from, Reason: req.GetReason(),
			PlannedBy: tx.By.Subject, PlannedAt: sqldb.Micros(tx.Now()),
		}
		names, err := store.PayeeNames(ctx, tx, []string{payee})
		if err != nil {
			return nil, err
		}
		plan.PayeeName = names[payee]
		if err := store.InsertPlan(ctx, tx.Tx, plan); err != nil {
			return nil, err
		}
		if err := store.TouchAssembled(ctx, tx.Tx, code); err != nil {
			return nil, err
		}
		out, err := recoveryToProto(ctx, tx, plan, outstanding)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Announce(ctx, payeeAggregate(code, payee), code, &paymentsv1.RecoveryPlanned{Recovery: out}); err != nil {
			return nil, err
		}
		by := plan.Instalment.String() + " a run"
		if out.GetTakesAll() {
			by = "all it can in each run"
		}
		summary := fmt.Sprintf("recover %s from %s by %s from %s: %s", outstanding, payee, by, from, plan.Reason)
		return out, tx.Record(ctx, "payments/recoveries/"+code+"/"+payee, code, summary)
	})
}

// ListAuditEntries returns a page of decisions, newest first.
func (s *Service) ListAuditEntries(ctx context.Context, req *paymentsv1.ListAuditEntriesRequest) (*paymentsv1.ListAuditEntriesResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: by.Commissioners, Before: by.Before, Limit: by.Limit})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListAuditEntriesResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(r audit.Row) string { return r.ID })
	for _, row := range rows {
		out.Entries = append(out.Entries, row.Proto())
	}
	return out, nil
}
