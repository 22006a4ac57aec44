package core

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	corev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// write stores a schedule with its lines, its events and its audit entry.
func (s *Service) write(ctx context.Context, tx *change.Tx, b *basis, d *decision) (store.ScheduleRow, []store.LineRow, error) {
	row := store.ScheduleRow{
		ID:               scheduleID(b.commissioner, b.month, d.sequence),
		CommissionerCode: b.commissioner, CommissionerName: b.name, Month: b.month, Sequence: d.sequence,
		LineCount: len(d.lines), SnapshotID: b.snapshotID, KnownAt: b.at,
		ClosedBy: tx.By.Subject,
		// Taken under the lock, so that of two closes the later one bears the later time.
		ClosedAt: sqldb.Micros(s.db.Now()),
		Refusals: gatherRefusals(d.months), Withheld: gatherWithheld(d.months),
	}
	row.Practices, row.RegisteredPatients = covered(b)
	var err error
	if row.PayTotal, row.ReconcileTotal, err = totals(d.lines); err != nil {
		return row, nil, err
	}
	lines := make([]store.LineRow, len(d.lines))
	messages := make([]*typev1.PaymentLine, len(d.lines))
	for i := range d.lines {
		lines[i] = store.LineRow{Line: d.lines[i], ScheduleID: row.ID, CommissionerCode: b.commissioner, Month: b.month, Sequence: d.sequence}
		messages[i] = lineToProto(&lines[i])
	}
	if row.LinesSHA256, err = schedule.Hash(messages); err != nil {
		return row, nil, err
	}
	closed, err := announce(ctx, tx, "commissioner", b.commissioner, scheduleEvents(row, messages))
	if err != nil {
		return row, nil, err
	}
	stated, err := announce(ctx, tx, "entitlements", b.commissioner, entitlementEvents(row, d.months[b.month].Periods))
	if err != nil {
		return row, nil, err
	}
	row.EventIDs = slices.Concat(closed, stated)
	if err := store.InsertSchedule(ctx, tx.Tx, row, d.lines); err != nil {
		return row, nil, err
	}
	summary := fmt.Sprintf("closed %s, sequence %d: %d lines, %s to pay, %s to reconcile", b.month, d.sequence, len(lines), row.PayTotal, row.ReconcileTotal)
	return row, lines, tx.Record(ctx, "core/schedules/"+row.ID, b.commissioner, summary)
}

// announce adds events of one aggregate to the outbox, addressed to the commissioner, and returns their identifiers.
func announce[E proto.Message](ctx context.Context, tx *change.Tx, aggregate, commissioner string, events []E) ([]string, error) {
	ids := make([]string, len(events))
	for i, event := range events {
		var err error
		if ids[i], err = tx.Announce(ctx, aggregate+"/"+commissioner, commissioner, event); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// scheduleID names a schedule by what it is of.
func scheduleID(commissioner string, month period.Month, sequence int) string {
	return fmt.Sprintf("core-%s-%s-%d", commissioner, month, sequence)
}

// covered counts the practices and registered patients of the networks the commissioner leads in the month.
func covered(b *basis) (practices, patients int64) {
	sum := new(big.Rat)
	for _, m := range b.months {
		if m.month != b.month {
			continue
		}
		for i := range m.picture.PCNs {
			pcn := &m.picture.PCNs[i]
			if pcn.PayerCode != b.commissioner || !pcn.InForce(m.picture.Day) {
				continue
			}
			practices += int64(len(pcn.Practices))
			sum.Add(sum, pcn.RegisteredPatients())
		}
	}
	return practices, sum.Num().Int64()
}

func totals(lines []rules.Line) (pay, reconcile money.Pence, err error) {
	for i := range lines {
		switch lines[i].Instruction {
		case rules.Pay:
			pay, err = pay.Add(lines[i].Amount)
		case rules.ReconcileOnly:
			reconcile, err = reconcile.Add(lines[i].Amount)
		default:
			err = fault.Bug("line %s has no instruction", lines[i].LineID)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return pay, reconcile, nil
}

// scheduleEvents splits a schedule into events whose lines stay within the bound; each carries the header.
func scheduleEvents(row store.ScheduleRow, lines []*typev1.PaymentLine) []*corev1.ScheduleClosed {
	parts := schedule.Split(lines, schedule.MaxEventBytes)
	events := make([]*corev1.ScheduleClosed, len(parts))
	for i, lines := range parts {
		header := scheduleToProto(row, nil)
		header.Lines, header.Refusals, header.Withheld = lines, nil, nil
		events[i] = &corev1.ScheduleClosed{Schedule: header, Part: int32(i + 1), Parts: int32(len(parts))} //nolint:gosec // a month has a few parts
	}
	return events
}

// entitlementEvents states what the payments of a schedule's month come to, in events that stay within the bound.
func entitlementEvents(row store.ScheduleRow, periods []rules.PeriodAmount) []*corev1.EntitlementsStated {
	entitlements := make([]*typev1.Entitlement, len(periods))
	for i := range periods {
		entitlements[i] = periodToProto(&periods[i])
	}
	slices.SortFunc(entitlements, compareEntitlements)
	parts := schedule.Split(entitlements, schedule.MaxEventBytes)
	events := make([]*corev1.EntitlementsStated, len(parts))
	for i, part := range parts {
		events[i] = &corev1.EntitlementsStated{
			CommissionerCode: row.CommissionerCode, CommissionerName: row.CommissionerName, Month: row.Month.String(), ScheduleId: row.ID,
			Entitlements: part,
		}
	}
	return events
}

// gatherRefusals puts refusals of one cause together: reason, payment, month and missing figure.
func gatherRefusals(months map[period.Month]*rules.Entitled) []*typev1.Refusal {
	type cause struct {
		reason, payment, missing string
		month                    period.Month
	}
	found := make(map[cause]*typev1.Refusal)
	quantities := make(map[cause]*big.Rat)
	for _, entitled := range months {
		for i := range entitled.Refusals {
			r := &entitled.Refusals[i]
			key := cause{r.Reason, r.PaymentCode, r.Missing, r.ForMonth}
			out := found[key]
			if out == nil {
				out = &typev1.Refusal{
					Reason: r.Reason, PaymentCode: r.PaymentCode, ForMonth: r.ForMonth.String(), Missing: r.Missing, Remedy: r.Remedy, Unit: r.Unit,
				}
				found[key], quantities[key] = out, new(big.Rat)
			}
			out.PcnCodes = append(out.PcnCodes, r.PCNCode)
			out.PracticeCodes = append(out.PracticeCodes, r.Practices...)
			if r.Quantity != nil {
				quantities[key].Add(quantities[key], r.Quantity)
			}
			if r.Candidate != nil {
				out.CandidatePence = proto.Int64(out.GetCandidatePence() + int64(*r.Candidate))
			}
		}
	}
	out := make([]*typev1.Refusal, 0, len(found))
	for key, refusal := range found {
		refusal.PcnCodes, refusal.PracticeCodes = sorted(refusal.GetPcnCodes()), sorted(refusal.GetPracticeCodes())
		if refusal.GetUnit() != "" {
			refusal.Quantity = money.Format(quantities[key])
		}
		out = append(out, refusal)
	}
	slices.SortFunc(out, compareRefusals)
	return out
}

func gatherWithheld(months map[period.Month]*rules.Entitled) []*typev1.Withheld {
	var out []*typev1.Withheld
	for _, entitled := range months {
		for i := range entitled.Withheld {
			w := &entitled.Withheld[i]
			if w.Amount == 0 {
				continue // paid before it was withheld
			}
			out = append(out, &typev1.Withheld{
				PaymentCode: w.PaymentCode, ForMonth: w.ForMonth.String(), PcnCode: w.PCNCode, PracticeCode: w.PracticeCode,
				AmountPence: int64(w.Amount), Reason: w.Reason, Note: w.Note, WithholdingId: w.WithholdingID,
			})
		}
	}
	slices.SortFunc(out, compareWithheld)
	return out
}

func sorted(codes []string) []string {
	slices.Sort(codes)
	return slices.Compact(codes)
}
