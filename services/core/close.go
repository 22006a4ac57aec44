package core

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
	"github.com/pcnfunding/pcnfunding/services/core/internal/tables"
)

// errInputsMoved says that another close changed what this one rests on; it starts again.
var errInputsMoved = errors.New("another close came between")

// whenever is a moment after every schedule: a close sees all that were committed before it took its lock.
const whenever = math.MaxInt64

// closeAttempts bounds how often a close starts again.
const closeAttempts = 5

// CloseMonth fixes what a commissioner owes for a month: see the contract. The register's pictures are fetched before the
// transaction; if another close came between, it starts again.
func (s *Service) CloseMonth(ctx context.Context, req *corev1.CloseMonthRequest) (*typev1.PaymentSchedule, error) {
	month, err := s.startedMonth(req.GetMonth())
	if err != nil {
		return nil, err
	}
	if stored, found, err := change.Stored[*typev1.PaymentSchedule](ctx, s.db, req); found || err != nil {
		return stored, err
	}
	for range closeAttempts {
		basis, err := s.gather(ctx, req.GetCommissionerCode(), month, 0, false)
		if err != nil {
			return nil, err
		}
		schedule, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*typev1.PaymentSchedule, error) {
			row, lines, err := s.fix(ctx, tx, basis)
			if err != nil {
				return nil, err
			}
			if req.GetOmitLines() {
				lines = nil
			}
			return scheduleToProto(row, lines), nil
		})
		if !errors.Is(err, errInputsMoved) {
			return schedule, err
		}
	}
	return nil, fault.New(fault.Busy, rules.ReasonCloseInProgress, "%s is being closed for %s by others", month, req.GetCommissionerCode())
}

// startedMonth reads a month and refuses one that has not begun.
func (s *Service) startedMonth(text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fault.New(fault.Invalid, rules.ReasonMonthMalformed, "%v", err).At("month", err.Error())
	}
	if today := period.DateOf(s.db.Now()); month.First().After(today) {
		return month, fault.New(fault.Refused, rules.ReasonMonthNotStarted, "%s has not started: today is %s", month, today).
			With("month", month).With("today", today)
	}
	return month, nil
}

// basis is what a close rests on that is fetched before its transaction.
type basis struct {
	commissioner string
	name         string
	month        period.Month
	settings     []rules.Setting
	months       []basisMonth
	closed       map[store.ClosedMonth]bool
	snapshotID   string
	at           int64 // microseconds: the moment whose knowledge is used
	asKnown      int64 // the same where the caller named it; 0 for now, of which the register knows best
	fromScratch  bool  // true to leave out what was scheduled
}

// basisMonth is one month to compute, with its picture and those who scheduled it.
type basisMonth struct {
	month, paid period.Month
	due         bool // first paid in the month that is closed, or the month itself
	picture     *rules.Picture
	payers      []string        // the commissioner, and the payers of the day whose debts it took over
	debtors     []string        // those, and the bodies that owed the debts in between
	locations   map[string]bool // places whose debts the commissioner owes
}

// gather fetches the pictures of the month and of every month closed before by the commissioner or by those it succeeded.
func (s *Service) gather(ctx context.Context, commissioner string, month period.Month, asKnown int64, fromScratch bool) (*basis, error) {
	b := &basis{commissioner: commissioner, month: month, asKnown: asKnown, at: s.knownAt(asKnown), fromScratch: fromScratch}
	var rates []rules.Rate
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if b.settings, err = loadSettings(ctx, q, b.at); err != nil {
			return err
		}
		if rates, err = loadRates(ctx, q, b.at); err != nil {
			return err
		}
		b.closed, err = store.ClosedMonths(ctx, q, month, b.at)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(rules.Governing(rates, commissioner, month)) == 0 {
		return nil, fault.New(fault.Refused, rules.ReasonMonthWithoutRates, "no payment has a rate for %s", month).With("month", month)
	}
	b.months = dueMonths(rates, commissioner, month)
	for closed := range b.closed {
		known := slices.ContainsFunc(b.months, func(m basisMonth) bool { return m.month == closed.Month })
		if closed.Month.Before(month) && !known && !fromScratch {
			b.months = append(b.months, basisMonth{month: closed.Month, paid: paidIn(rates, commissioner, closed.Month, month)})
		}
	}
	slices.SortFunc(b.months, func(x, y basisMonth) int { return y.month.Compare(x.month) })
	if err := s.pictures(ctx, b); err != nil {
		return nil, err
	}
	return b, b.keepScheduled()
}

// dueMonths returns the month itself and the earlier months whose instalments are first paid in it.
func dueMonths(rates []rules.Rate, commissioner string, month period.Month) []basisMonth {
	months := []basisMonth{{month: month, paid: month, due: true}}
	for _, components := range rules.Governing(rates, commissioner, month) {
		if components[0].FirstPaidMonth != month {
			continue
		}
		for earlier := components[0].From; earlier.Before(month); earlier = earlier.Add(1) {
			if !slices.ContainsFunc(months, func(m basisMonth) bool { return m.month == earlier }) {
				months = append(months, basisMonth{month: earlier, paid: month, due: true})
			}
		}
	}
	return months
}

// paidIn returns the month that first paid an earlier one: the month itself, or a later one where its payments started late.
func paidIn(rates []rules.Rate, commissioner string, month, closing period.Month) period.Month {
	paid := month
	for _, components := range rules.Governing(rates, commissioner, month) {
		if first := components[0].FirstPaidMonth; first.After(paid) && !first.After(closing) {
			paid = first
		}
	}
	return paid
}

// payable lets through the payments that had started by the month that is closed.
func (b *basis) payable(r rules.Rate) bool {
	return r.FirstPaidMonth.IsZero() || !r.FirstPaidMonth.After(b.month)
}

// pictures fetches the picture of each month. An earlier month for which the commissioner owed nothing is dropped.
func (s *Service) pictures(ctx context.Context, b *basis) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range b.months {
		m := &b.months[i]
		group.Go(func() error {
			day := rules.MembershipDay(b.settings, m.paid)
			snapshot, err := s.register.GetSnapshot(ctx, snapshotRequest(b.commissioner, day, m.month, b.asKnown))
			if err != nil {
				if m.month == b.month {
					return err
				}
				return earlierOrFail(err)
			}
			if m.picture, err = pictureFromProto(snapshot); err != nil {
				return err
			}
			m.payers = payersOf(m.picture, b.commissioner)
			m.debtors = sorted(append(slices.Clone(m.payers), m.picture.Debtors...))
			m.locations = m.picture.OwedLocations()
			if m.month == b.month {
				b.name, b.snapshotID = snapshot.GetCommissionerName(), snapshot.GetSnapshotId()
			}
			return nil
		})
	}
	return group.Wait()
}

// earlierOrFail lets an earlier month go for which the body did not exist or nothing is known of its members.
func earlierOrFail(err error) error {
	switch reasonOf(err) {
	case rules.ReasonCommissionerNotInForce, "ORGANISATION_UNKNOWN", "MEMBERSHIP_NOT_LOADED":
		return nil
	}
	return err
}

// payersOf lists the commissioner and the bodies whose debts of the day it took over.
func payersOf(picture *rules.Picture, commissioner string) []string {
	codes := map[string]bool{commissioner: true}
	for i := range picture.PCNs {
		pcn := &picture.PCNs[i]
		if pcn.Owed && pcn.PayerCode != "" {
			codes[pcn.PayerCode] = true
		}
		for j := range pcn.Practices {
			if practice := &pcn.Practices[j]; practice.Owed && practice.PayerCode != "" {
				codes[practice.PayerCode] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(codes))
}

// keepScheduled drops the earlier months that neither the commissioner nor those it succeeded have scheduled, and refuses a
// body that owes nothing in the month itself.
func (b *basis) keepScheduled() error {
	var kept []basisMonth
	for _, m := range b.months {
		switch {
		case m.month == b.month:
			if !paysIn(m.picture, b.commissioner) {
				return fault.New(fault.Refused, rules.ReasonCommissionerNotInForce, "%s owes nothing in %s: close the month for the body that does", b.commissioner, b.month).
					With("commissioner", b.commissioner).With("month", b.month)
			}
		case m.picture == nil, !m.due && !slices.ContainsFunc(m.debtors, func(code string) bool {
			return b.closed[store.ClosedMonth{CommissionerCode: code, Month: m.month}]
		}):
			continue
		}
		kept = append(kept, m)
	}
	b.months = kept
	return nil
}

func paysIn(picture *rules.Picture, commissioner string) bool {
	return slices.ContainsFunc(picture.PCNs, func(p rules.PCN) bool {
		return p.PayerCode == commissioner || p.PayerCode == "" ||
			slices.ContainsFunc(p.Practices, func(pr rules.Practice) bool { return pr.PayerCode == commissioner })
	})
}

// fix decides and writes one schedule, or returns the latest one if nothing has changed.
func (s *Service) fix(ctx context.Context, tx *change.Tx, b *basis) (store.ScheduleRow, []store.LineRow, error) {
	none := store.ScheduleRow{}
	if err := tx.Lock(ctx, "close/"+b.commissioner); err != nil {
		return none, nil, err
	}
	closed, err := store.ClosedMonths(ctx, tx, b.month, whenever)
	if err != nil {
		return none, nil, err
	}
	if !b.stillHolds(closed) {
		return none, nil, errInputsMoved
	}
	b.closed = closed
	latest, err := store.LatestSchedule(ctx, tx, b.commissioner, b.month, whenever)
	first := errors.Is(err, sql.ErrNoRows)
	if err != nil && !first {
		return none, nil, fmt.Errorf("load latest schedule: %w", err)
	}
	decided, err := s.decide(ctx, tx, b, latest.Sequence+1, whenever)
	if err != nil {
		return none, nil, err
	}
	if !first && len(decided.lines) == 0 {
		lines, err := store.Lines(ctx, tx, store.LineFilter{ScheduleID: latest.ID})
		return latest, lines, err
	}
	return s.write(ctx, tx, b, decided)
}

// ofOthers tells a line that is none of the commissioner's business: scheduled by another body, for a beneficiary and in a place
// whose debts it has not taken over.
func (m *basisMonth) ofOthers(commissioner string, line rules.ScheduledLine) bool {
	return line.CommissionerCode != commissioner && !m.locations[line.LocationCode] && !m.picture.Owed(line.PCNCode, line.PracticeCode)
}

// stillHolds tells whether the commissioner and its predecessors have closed no month that was not taken into account.
func (b *basis) stillHolds(closed map[store.ClosedMonth]bool) bool {
	mine := make(map[string]bool)
	for _, m := range b.months {
		for _, code := range m.debtors {
			mine[code] = true
		}
	}
	for c := range closed {
		if mine[c.CommissionerCode] && !b.closed[c] && c.Month != b.month {
			return false
		}
	}
	return true
}

// decision is what a close comes to.
type decision struct {
	sequence int
	lines    []rules.Line
	months   map[period.Month]*rules.Entitled
}

// decide loads what the rules need beside the pictures and applies them: rates as known with the pictures, and what was
// scheduled by a moment. It writes nothing.
func (s *Service) decide(ctx context.Context, q sqldb.Querier, b *basis, sequence int, asOf int64) (*decision, error) {
	rates, err := loadRates(ctx, q, b.at)
	if err != nil {
		return nil, err
	}
	closing := rules.Close{
		CommissionerCode: b.commissioner, Month: b.month, Sequence: sequence,
		Months: make(map[period.Month]*rules.Entitled, len(b.months)), Closed: make(map[period.Month]bool),
	}
	if closing.Rails, err = tables.Rails(); err != nil {
		return nil, err
	}
	var codes, pcns []string
	for _, m := range b.months {
		codes = append(codes, m.debtors...)
		for i := range m.picture.PCNs {
			pcns = append(pcns, m.picture.PCNs[i].Code)
		}
	}
	codes, pcns = sorted(codes), sorted(pcns)
	decisions, err := loadDecisions(ctx, q, pcns, b.asKnown)
	if err != nil {
		return nil, err
	}
	for _, m := range b.months {
		entitled, err := rules.Entitle(rules.ForMonth{
			Month: m.month, PaidMonth: m.paid, Picture: m.picture, Rates: rates, Settings: b.settings,
			Withholdings: decisions.withholdings, Declarations: decisions.declarations, Payments: b.payable,
		})
		if err != nil {
			return nil, err
		}
		closing.Months[m.month] = entitled
		for _, code := range m.debtors {
			closing.Closed[m.month] = closing.Closed[m.month] || b.closed[store.ClosedMonth{CommissionerCode: code, Month: m.month}]
		}
		if b.fromScratch {
			continue
		}
		scheduled, err := store.Scheduled(ctx, q, m.debtors, m.month, asOf)
		if err != nil {
			return nil, err
		}
		scheduled = slices.DeleteFunc(scheduled, func(line rules.ScheduledLine) bool { return m.ofOthers(b.commissioner, line) })
		entitled.LessScheduled(scheduled)
		closing.Scheduled = append(closing.Scheduled, scheduled...)
	}
	if closing.Waiting, err = loadWaiting(ctx, q, codes, asOf); err != nil {
		return nil, err
	}
	lines, err := differences(ctx, q, &closing)
	return &decision{sequence: sequence, lines: lines, months: closing.Months}, err
}

// differences applies the comparison and loads the workings it needs to name causes.
func differences(ctx context.Context, q sqldb.Querier, closing *rules.Close) ([]rules.Line, error) {
	found, err := rules.Differences(closing)
	if err != nil {
		return nil, err
	}
	var previous []string
	for i := range found {
		if id := found[i].Previous(); id != "" {
			previous = append(previous, id)
		}
	}
	slices.Sort(previous)
	workings, err := store.Workings(ctx, q, slices.Compact(previous))
	if err != nil {
		return nil, err
	}
	return rules.Explain(closing, found, workings)
}
