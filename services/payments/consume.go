package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

// self is who acts where an event is taken in.
const self = "payments"

// fund is one of those whose schedules are paid.
type fund struct {
	name   string
	code   typev1.Fund
	events []proto.Message
	// claimed says that payments are made on claims: what the fund states of a period is the most that can be claimed, and nothing is to
	// be expected of a month.
	claimed bool
}

// funds lists them with the events taken from each.
func funds() []fund {
	return []fund{
		{name: "core", code: typev1.Fund_FUND_CORE, events: []proto.Message{new(corev1.ScheduleClosed), new(corev1.EntitlementsStated)}},
		{
			name: "arrs", code: typev1.Fund_FUND_ARRS, claimed: true,
			events: []proto.Message{new(arrsv1.ScheduleClosed), new(arrsv1.EntitlementsStated)},
		},
		{name: "iif", code: typev1.Fund_FUND_IIF, events: []proto.Message{new(iifv1.ScheduleClosed)}},
		{name: "devfund", code: typev1.Fund_FUND_DEVFUND, events: []proto.Message{new(devfundv1.ScheduleClosed)}},
	}
}

// paidOnClaims tells whether a fund pays on claims.
func paidOnClaims(code int) bool {
	return slices.ContainsFunc(funds(), func(f fund) bool { return int(f.code) == code && f.claimed })
}

// scheduleClosed is what the ScheduleClosed of every fund has.
type scheduleClosed interface {
	proto.Message
	GetSchedule() *typev1.PaymentSchedule
	GetPart() int32
	GetParts() int32
}

// entitlementsStated is what the EntitlementsStated of every fund has.
type entitlementsStated interface {
	proto.Message
	GetCommissionerCode() string
	GetMonth() string
	GetScheduleId() string
	GetEntitlements() []*typev1.Entitlement
}

// newEvent returns an empty event of a type that is taken in.
func newEvent(name string) (proto.Message, bool) {
	for _, f := range funds() {
		for _, event := range f.events {
			if string(event.ProtoReflect().Descriptor().FullName()) == name {
				return event.ProtoReflect().New().Interface(), true
			}
		}
	}
	return nil, false
}

// take gives an event of a fund its effect. What it refuses is put in quarantine.
func (s *Service) take(ctx context.Context, tx *sqldb.Tx, e inbox.Event) error {
	at := slices.IndexFunc(funds(), func(f fund) bool { return "/pcnfunding/"+f.name == e.Source })
	if at < 0 {
		return fault.New(fault.Refused, rules.ReasonScheduleMalformed, "no fund sends events as %s", e.Source)
	}
	from := funds()[at]
	books := change.System(tx, self, e.Type)
	switch event := e.Message.(type) {
	case scheduleClosed:
		return s.takeSchedule(ctx, books, from, e, event)
	case entitlementsStated:
		return takeEntitlements(ctx, tx, from, e, event)
	default:
		return fault.New(fault.Refused, rules.ReasonScheduleMalformed, "event %s is not taken in", e.Type)
	}
}

// takeSchedule stores a schedule once all its parts are there and it verifies. One that is stored already changes nothing.
func (s *Service) takeSchedule(ctx context.Context, tx *change.Tx, from fund, e inbox.Event, event scheduleClosed) error {
	header := event.GetSchedule()
	if header.GetFund() != from.code || header.GetCommissionerCode() != e.CommissionerCode || event.GetPart() < 1 || event.GetPart() > event.GetParts() {
		return fault.New(fault.Refused, rules.ReasonScheduleMalformed, "schedule %s of %s for %s, part %d of %d, came from %s for %s",
			header.GetScheduleId(), header.GetFund(), header.GetCommissionerCode(), event.GetPart(), event.GetParts(), from.name, e.CommissionerCode)
	}
	if err := tx.Lock(ctx, lockKey(header.GetCommissionerCode())); err != nil {
		return err
	}
	stored, err := store.ScheduleHash(ctx, tx, header.GetScheduleId())
	switch {
	case err == nil && stored == header.GetLinesSha256():
		return nil
	case err == nil:
		return fault.New(fault.Refused, rules.ReasonScheduleChanged, "schedule %s is stored with lines of another hash", header.GetScheduleId()).
			With("stored_sha256", stored).With("sent_sha256", header.GetLinesSha256())
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	whole, err := whole(ctx, tx, e, event)
	if err != nil || whole == nil {
		return err
	}
	return s.store(ctx, tx, e.ID, whole, whole.GetLines())
}

// whole puts a schedule together out of its parts and verifies it, or returns nil while some are missing.
func whole(ctx context.Context, tx *change.Tx, e inbox.Event, event scheduleClosed) (*typev1.PaymentSchedule, error) {
	if event.GetParts() == 1 {
		return event.GetSchedule(), schedule.Verify(event.GetSchedule(), event.GetSchedule().GetLines())
	}
	payload, err := proto.Marshal(event.GetSchedule())
	if err != nil {
		return nil, fmt.Errorf("keep part %d of %s: %w", event.GetPart(), event.GetSchedule().GetScheduleId(), err)
	}
	stored, err := store.AddPart(ctx, tx.Tx, event.GetSchedule().GetScheduleId(), event.GetPart(), e.ID, payload)
	if err != nil || len(stored) < int(event.GetParts()) {
		return nil, err
	}
	parts := make([]*typev1.PaymentSchedule, event.GetParts())
	for n := range parts {
		parts[n] = new(typev1.PaymentSchedule)
		if err := proto.Unmarshal(stored[int32(n+1)], parts[n]); err != nil {
			return nil, fmt.Errorf("read part %d of %s: %w", n+1, event.GetSchedule().GetScheduleId(), err)
		}
	}
	return schedule.Join(parts)
}

// store writes a schedule, posts what it accrues, and puts its lines to pay into a run.
func (s *Service) store(ctx context.Context, tx *change.Tx, eventID string, whole *typev1.PaymentSchedule, lines []*typev1.PaymentLine) error {
	month, err := period.ParseMonth(whole.GetMonth())
	if err != nil {
		return fault.New(fault.Refused, rules.ReasonMonthMalformed, "schedule %s: %v", whole.GetScheduleId(), err)
	}
	header := proto.CloneOf(whole)
	header.Lines = nil
	row := store.ScheduleRow{Header: header, EventID: eventID, ReceivedAt: sqldb.Micros(tx.Now())}
	if err := store.InsertSchedule(ctx, tx.Tx, row, lines); err != nil {
		return err
	}
	if _, err := store.DropParts(ctx, tx.Tx, whole.GetScheduleId()); err != nil {
		return err
	}
	byOwner, owners := make(map[string][]store.LineRow), make(map[string]commissioner)
	for _, line := range lines {
		if line.GetInstruction() != typev1.Instruction_INSTRUCTION_PAY {
			continue
		}
		owner, known := owners[line.GetLocationCode()]
		if !known {
			if owner, err = lockedOwner(ctx, tx, whole.GetCommissionerCode(), line.GetLocationCode()); err != nil {
				return err
			}
			owners[line.GetLocationCode()] = owner
		}
		byOwner[owner.code] = append(byOwner[owner.code], store.LineRow{
			Line: line, ScheduleID: whole.GetScheduleId(), Fund: int(whole.GetFund()), Month: whole.GetMonth(), CommissionerCode: owner.code,
		})
	}
	for _, code := range sortedKeys(byOwner) {
		if err := s.owe(ctx, tx, commissioner{code, nameOf(code, whole)}, month, byOwner[code]); err != nil {
			return err
		}
	}
	summary := fmt.Sprintf("took in %s: %d lines, %s to pay, %s to reconcile", whole.GetScheduleId(), len(lines),
		money.Pence(whole.GetPayTotalPence()), money.Pence(whole.GetReconcileTotalPence()))
	return tx.Record(ctx, "payments/schedules/"+whole.GetScheduleId(), whole.GetCommissionerCode(), summary)
}

// nameOf returns the name of a commissioner as a schedule has it; that of a successor is looked up when it is shown.
func nameOf(code string, whole *typev1.PaymentSchedule) string {
	if code == whole.GetCommissionerCode() {
		return whole.GetCommissionerName()
	}
	return ""
}

// owe posts what new lines accrue to a commissioner and puts them into the run of their month.
func (s *Service) owe(ctx context.Context, tx *change.Tx, owner commissioner, month period.Month, lines []store.LineRow) error {
	run, begun, err := s.assembledRun(ctx, tx, owner, month)
	if err != nil {
		return err
	}
	byPayee := make(map[string][]rules.Amount)
	var holds []store.HoldRow
	for i := range lines {
		lines[i].RunID = run.ID
		line := lines[i].Line
		payee := line.GetPayee().GetCode()
		byPayee[payee] = append(byPayee[payee], rules.Amount{Fund: lines[i].Fund, LineID: line.GetLineId(), Pence: money.Pence(line.GetAmountPence())})
		holds = append(holds, fundHolds(tx, owner.code, line)...)
	}
	if err := store.InsertItems(ctx, tx.Tx, lines); err != nil {
		return err
	}
	if err := store.InsertHolds(ctx, tx.Tx, holds); err != nil {
		return err
	}
	postings := make([]rules.Posting, 0, len(byPayee))
	for _, payee := range sortedKeys(byPayee) {
		postings = append(postings, rules.Posting{
			CommissionerCode: owner.code, Kind: rules.Accrual, Source: "schedule/" + lines[0].ScheduleID,
			Entries: rules.Moved(payee, rules.Expense, rules.Accrued, byPayee[payee]),
		})
	}
	if err := store.Post(ctx, tx.Tx, self, effective(tx, month), postings); err != nil {
		return err
	}
	if err := cancelOut(ctx, tx, month, lines); err != nil {
		return err
	}
	older, err := store.Gather(ctx, tx.Tx, owner.code, month, run.ID)
	if err != nil {
		return err
	}
	return s.grown(ctx, tx, &run, begun, older+int64(len(lines)))
}

// cancelOut closes lines that nobody could be paid, where new ones take them back: neither can ever be sent.
func cancelOut(ctx context.Context, tx *change.Tx, month period.Month, lines []store.LineRow) error {
	for _, l := range lines {
		if l.Line.GetPayee().GetCode() != "" || l.Line.GetAdjustsLineId() == "" {
			continue
		}
		taken, err := store.Lines(ctx, tx, store.LineFilter{LineID: l.Line.GetAdjustsLineId(), Commissioners: []string{l.CommissionerCode}, ToPayOnly: true})
		if err != nil {
			return err
		}
		if len(taken) != 1 || taken[0].State != store.Open || taken[0].Line.GetPayee().GetCode() != "" ||
			taken[0].Line.GetAmountPence() != -l.Line.GetAmountPence() {
			continue
		}
		why := l.Line.GetLineId() + " takes back " + taken[0].Line.GetLineId()
		if err := store.CancelOut(ctx, tx.Tx, []string{l.Line.GetLineId(), taken[0].Line.GetLineId()}, self, why); err != nil {
			return err
		}
		posting := rules.Posting{CommissionerCode: l.CommissionerCode, Kind: rules.Cancellation, Source: "schedule/" + l.ScheduleID, Entries: []rules.Entry{
			{Fund: taken[0].Fund, Stage: rules.Accrued, Amount: money.Pence(taken[0].Line.GetAmountPence()), LineID: taken[0].Line.GetLineId()},
			{Fund: l.Fund, Stage: rules.Accrued, Amount: money.Pence(l.Line.GetAmountPence()), LineID: l.Line.GetLineId()},
		}}
		if err := store.Post(ctx, tx.Tx, self, effective(tx, month), []rules.Posting{posting}); err != nil {
			return err
		}
	}
	return nil
}

// fundHolds are the holds that a line came with, and one for a line that nobody can be paid.
func fundHolds(tx *change.Tx, owner string, line *typev1.PaymentLine) []store.HoldRow {
	var out []store.HoldRow
	add := func(code, reason string) {
		out = append(out, store.HoldRow{
			ID: tx.NewID(), CommissionerCode: owner, LineID: line.GetLineId(), ReasonCode: code, Reason: reason, PlacedBy: self,
			PlacedAt: sqldb.Micros(tx.Now()),
		})
	}
	for _, hold := range line.GetHolds() {
		add(hold.GetReason(), hold.GetRemedy())
	}
	nobody := line.GetPayee().GetCode() == "" && !slices.ContainsFunc(line.GetHolds(), func(h *typev1.Hold) bool {
		return h.GetReason() == rules.ReasonPayeeNotRecorded
	})
	if nobody {
		add(rules.ReasonPayeeNotRecorded, "record the payee in the register and close the month again")
	}
	return out
}

// takeEntitlements stores what a fund says an amount comes to for its whole period.
func takeEntitlements(ctx context.Context, tx *sqldb.Tx, from fund, e inbox.Event, event entitlementsStated) error {
	if event.GetCommissionerCode() != e.CommissionerCode {
		return fault.New(fault.Refused, rules.ReasonScheduleMalformed, "amounts of %s came for %s", event.GetCommissionerCode(), e.CommissionerCode)
	}
	month, err := period.ParseMonth(event.GetMonth())
	if err != nil {
		return fault.New(fault.Refused, rules.ReasonMonthMalformed, "amounts of %s: %v", event.GetCommissionerCode(), err)
	}
	rows := make([]store.Entitlement, len(event.GetEntitlements()))
	for i, stated := range event.GetEntitlements() {
		first, err := period.ParseMonth(stated.GetFromMonth())
		if err != nil {
			return fault.New(fault.Refused, rules.ReasonMonthMalformed, "amount of %s: %v", stated.GetPcnCode(), err)
		}
		last, err := period.ParseMonth(stated.GetToMonth())
		if err != nil {
			return fault.New(fault.Refused, rules.ReasonMonthMalformed, "amount of %s: %v", stated.GetPcnCode(), err)
		}
		rows[i] = store.Entitlement{
			Month: month, ScheduleID: event.GetScheduleId(), Fund: int(from.code), CommissionerCode: event.GetCommissionerCode(), PCNCode: stated.GetPcnCode(), PracticeCode: stated.GetPracticeCode(),
			PaymentCode: stated.GetPaymentCode(), From: first, To: last, Instalments: int(stated.GetInstalments()),
			Amount: money.Pence(stated.GetAmountPence()), Confidence: stated.GetConfidence(),
		}
	}
	return store.InsertEntitlements(ctx, tx, e.ID, sqldb.Micros(e.OccurredAt), rows)
}

// quarantined notes in the audit log that an event did not verify. Parts of a schedule that cannot be put together are forgotten, so
// that the fund can send all of them again.
func (s *Service) quarantined(ctx context.Context, tx *sqldb.Tx, h inbox.Held) error {
	if event, ok := h.Event.Message.(scheduleClosed); ok && event.GetParts() > 1 {
		ids, err := store.DropParts(ctx, tx, event.GetSchedule().GetScheduleId())
		if err != nil {
			return err
		}
		if err := inbox.Forget(ctx, tx, h.Event.Source, ids); err != nil {
			return err
		}
	}
	return audit.Add(ctx, tx, audit.Entry{
		Actor: self, Method: h.Event.Type, Resource: "payments/held-events/" + h.ID, CommissionerCode: h.Event.CommissionerCode,
		Summary: fmt.Sprintf("put event %s of %s in quarantine: %s", h.Event.ID, h.Event.Aggregate, h.Reason),
	})
}
