package arrs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// linesOf makes a line of each total, in order of line id. Before holds the lines scheduled last for the same.
func linesOf(b *basis, sequence int, totals []rules.DueTotal, networks map[string]pcn, before map[lineSubject]string) ([]store.ScheduleLine, error) {
	var lines []store.ScheduleLine
	add := func(line *typev1.PaymentLine, steps *working.Working) {
		line.Confidence = working.ConfidenceToProto(steps.Confidence())
		line.LineId = lineID(b, sequence, line)
		lines = append(lines, store.ScheduleLine{
			ScheduleID: scheduleID(b.commissioner, b.month, sequence), CommissionerCode: b.commissioner, Message: line, Working: working.ToProto(steps),
		})
	}
	for i := range totals {
		total := &totals[i]
		code := potCode(total.Pot)
		if code == "" {
			return nil, fault.Bug("pot %q of %s has no payment code", total.Pot, total.PCNCode)
		}
		network := networks[total.PCNCode]
		line := &typev1.PaymentLine{
			ForMonth: total.ForMonth.String(), PaymentCode: code, PcnCode: total.PCNCode, PcnName: network.name, LocationCode: network.location,
			FundingSource: fundingSource, Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: int64(total.Amount),
			Basis: &typev1.LineBasis{Instalments: 1, Clause: clauseOf(total)},
		}
		hold := &typev1.Hold{Reason: reasonPayeeNotRecorded, Remedy: "record the nominated payee of " + total.PCNCode}
		if network.payee.GetCode() != "" {
			line.Payee = &typev1.Payee{Code: network.payee.GetCode(), Name: network.payee.GetName()}
		} else {
			line.Holds = []*typev1.Hold{hold}
		}
		// What a correction takes off a line without a payee stands beside it until there is one: the two are not the same money.
		if len(line.GetHolds()) == 0 || total.Corrections == 0 {
			line.AdjustsLineId = before[lineSubject{line.GetPcnCode(), code, line.GetForMonth()}]
		}
		if line.GetAdjustsLineId() != "" {
			line.AdjustmentCause = causeOf(total)
		}
		for _, held := range total.Held {
			back := proto.CloneOf(line)
			back.Payee, back.Holds, back.AmountPence = nil, []*typev1.Hold{hold}, -int64(held.Amount)
			back.AdjustsLineId, back.AdjustmentCause = held.LineID, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
			add(back, held.TakenBack())
		}
		if total.Amount != 0 {
			add(line, total.Working)
		}
	}
	slices.SortFunc(lines, func(x, y store.ScheduleLine) int { return cmp.Compare(x.Message.GetLineId(), y.Message.GetLineId()) })
	return lines, nil
}

// causeOf tells why a line adds to what was scheduled for the same.
func causeOf(t *rules.DueTotal) typev1.AdjustmentCause {
	switch {
	case len(t.Held) == 0 && t.Corrections == 0:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_LATE_CLAIM
	case len(t.Held) == 0 && t.Corrections == t.Claims:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_CLAIM_CORRECTED
	case t.Claims == 0:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
	default:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL
	}
}

// clauseOf says in words what a line pays. It tells how many claims there are and of which months, and nothing of their lines.
func clauseOf(t *rules.DueTotal) string {
	const start, moved = "Network Contract DES %s: %s, ", "what had no payee before"
	if t.Claims == 0 {
		return fmt.Sprintf(start+moved, t.Year, payNames[t.Pot])
	}
	months := t.First.String()
	if t.Last != t.First {
		months += " to " + t.Last.String()
	}
	var claims []string
	if n := t.Claims - t.Corrections; n > 0 {
		claims = append(claims, counted(n, "approved claim"))
	}
	if t.Corrections > 0 {
		claims = append(claims, counted(t.Corrections, "correction"))
	}
	if len(t.Held) > 0 {
		months += ", and " + moved
	}
	return fmt.Sprintf(start+"%s for %s", t.Year, payNames[t.Pot], strings.Join(claims, " and "), months)
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// payNames say in words what a pot pays.
var payNames = map[rules.Pot]string{
	rules.MainPot: "Additional roles reimbursement", rules.GPPot: "Additional roles reimbursement for GPs",
	rules.SinglePot: "Additional roles reimbursement", rules.PharmacistOffer: "Clinical pharmacist reimbursement",
	rules.LinkWorkerOffer: "Social prescribing link worker reimbursement",
}

// lineID derives the identifier of a line from its content key, so that a recomputation names the same line.
func lineID(b *basis, sequence int, l *typev1.PaymentLine) string {
	key := strings.Join([]string{
		Name, b.commissioner, b.month.String(), strconv.Itoa(sequence), l.GetForMonth(), l.GetPaymentCode(), l.GetPcnCode(), l.GetPracticeCode(),
		l.GetSourceItem(), l.GetPayee().GetCode(), l.GetFundingSource(), strconv.Itoa(int(l.GetInstruction())), l.GetAdjustsLineId(),
	}, "|")
	sum := sha256.Sum256([]byte(key))
	return Name + "-" + hex.EncodeToString(sum[:16])
}

// scheduleID names a schedule by what it is of.
func scheduleID(commissioner string, month period.Month, sequence int) string {
	return fmt.Sprintf("%s-%s-%s-%d", Name, commissioner, month, sequence)
}

// write stores a schedule with its lines, its events and its audit entry, and notes it with the claims and the pots.
func (s *Service) write(ctx context.Context, tx *change.Tx, b *basis, d *decision) (store.ScheduleRow, []store.ScheduleLine, error) {
	row := store.ScheduleRow{
		ID:               scheduleID(b.commissioner, b.month, d.sequence),
		CommissionerCode: b.commissioner, CommissionerName: b.now.name, Month: b.month, Sequence: d.sequence,
		LineCount: len(d.lines), SnapshotID: b.now.id, KnownAt: b.at,
		ClosedBy: tx.By.Subject,
		// Taken under the lock, so that of two closes the later one bears the later time.
		ClosedAt: sqldb.Micros(s.db.Now()),
	}
	messages := make([]*typev1.PaymentLine, len(d.lines))
	for i := range d.lines {
		messages[i] = d.lines[i].Message
	}
	var err error
	if row.PayTotal, row.ReconcileTotal, err = schedule.Totals(messages); err != nil {
		return row, nil, err
	}
	if row.LinesSHA256, err = schedule.Hash(messages); err != nil {
		return row, nil, err
	}
	if err := takeUp(ctx, tx.Tx, row, d); err != nil {
		return row, nil, err
	}
	closed, err := announce(ctx, tx, "commissioner", b.commissioner, scheduleEvents(row, messages))
	if err != nil {
		return row, nil, err
	}
	entitlements, err := b.entitlements(ctx, tx, d)
	if err != nil {
		return row, nil, err
	}
	stated, err := state(ctx, tx, &arrsv1.EntitlementsStated{
		CommissionerCode: row.CommissionerCode, CommissionerName: row.CommissionerName, Month: row.Month.String(), ScheduleId: row.ID,
	}, entitlements)
	if err != nil {
		return row, nil, err
	}
	row.EventIDs = slices.Concat(closed, stated)
	if err := store.InsertSchedule(ctx, tx.Tx, row, d.lines); err != nil {
		return row, nil, err
	}
	summary := fmt.Sprintf("closed %s, sequence %d: %d lines, %s to pay", b.month, d.sequence, len(d.lines), row.PayTotal)
	return row, d.lines, tx.Record(ctx, "arrs/schedules/"+row.ID, b.commissioner, summary)
}

// takeUp notes the schedule with the lines of its claims and moves the pots. What the lines of claims come to is what the schedule does.
func takeUp(ctx context.Context, tx *sqldb.Tx, row store.ScheduleRow, d *decision) error {
	claims := make(map[string][]string) // by the body that owed them
	var lines, marked int64
	due := row.PayTotal
	for i := range d.claims {
		owed := d.claims[i].CommissionerCode
		claims[owed] = append(claims[owed], d.claims[i].ClaimID)
		lines += int64(d.claims[i].Lines)
		due -= d.claims[i].Amount
	}
	if due != 0 {
		return fault.Bug("%s does not come to what its claims come to", row.ID)
	}
	for _, owed := range slices.Sorted(maps.Keys(claims)) {
		n, err := store.MarkScheduled(ctx, tx, row.ID, row.CommissionerCode, owed, sorted(claims[owed]))
		if err != nil {
			return err
		}
		marked += n
	}
	if marked != lines {
		return fault.Bug("%s takes up %d lines of claims, not %d", row.ID, marked, lines)
	}
	for i := range d.totals {
		t := &d.totals[i]
		if t.New == 0 {
			continue
		}
		if err := store.MovePot(ctx, tx, store.PotRow{PCNCode: t.PCNCode, Year: t.Year, Pot: t.Pot, Scheduled: t.New}); err != nil {
			return err
		}
	}
	for year, codes := range pcnsByYear(d.claims) {
		pots, err := store.Pots(ctx, tx, year, codes)
		if err != nil {
			return err
		}
		left, err := store.DueClaims(ctx, tx, codes, year.Last())
		if err != nil {
			return err
		}
		waiting := make(map[pot]money.Pence)
		for i := range left {
			waiting[potKeyOf(left[i].DueClaim)] += left[i].Amount
		}
		for _, p := range pots {
			if p.Scheduled+waiting[pot{p.PCNCode, p.Year, p.Pot}] != p.Approved {
				return fault.Bug("what is scheduled and what waits of pot %s of %s do not make up what is approved", p.Pot, p.PCNCode)
			}
		}
	}
	return nil
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

// scheduleEvents splits a schedule into events whose lines stay within the bound; each carries the header.
func scheduleEvents(row store.ScheduleRow, lines []*typev1.PaymentLine) []*arrsv1.ScheduleClosed {
	parts := schedule.Split(lines, schedule.MaxEventBytes)
	events := make([]*arrsv1.ScheduleClosed, len(parts))
	for i, lines := range parts {
		header := scheduleToProto(row, nil, false)
		header.Lines = lines
		events[i] = &arrsv1.ScheduleClosed{Schedule: header, Part: int32(i + 1), Parts: int32(len(parts))} //nolint:gosec // a month has a few parts
	}
	return events
}

// entitlements returns what can be used of the pots: of the month's year for every PCN the commissioner owes, and of earlier years for
// those whose claims are taken up.
func (b *basis) entitlements(ctx context.Context, q sqldb.Querier, d *decision) ([]*typev1.Entitlement, error) {
	years := pcnsByYear(d.claims)
	current := b.month.FinancialYear()
	for code, network := range b.now.pcns {
		if network.owed {
			years[current] = append(years[current], code)
		}
	}
	var out []*typev1.Entitlement
	for _, year := range slices.Sorted(maps.Keys(years)) {
		stated, err := entitlementsOf(ctx, q, year, sorted(years[year]))
		if err != nil {
			return nil, err
		}
		out = append(out, stated...)
	}
	slices.SortFunc(out, func(x, y *typev1.Entitlement) int {
		return cmp.Or(cmp.Compare(x.GetPcnCode(), y.GetPcnCode()), cmp.Compare(x.GetPaymentCode(), y.GetPaymentCode()), cmp.Compare(x.GetFromMonth(), y.GetFromMonth()))
	})
	return out, nil
}
