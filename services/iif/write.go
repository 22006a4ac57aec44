package iif

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

const (
	// paymentCode is the payment that schedules and statements name; the indicator is the item within it.
	paymentCode = "IIF"
	// fundingSource is the account that the fund is paid from.
	fundingSource = "IIF"
)

// linesOf makes a line of each that is due, in order of line id.
func linesOf(c *closing, d *decision) []store.ScheduleLine {
	networks := d.networks(c)
	var lines []store.ScheduleLine
	add := func(year period.FinancialYear, line *typev1.PaymentLine, steps *working.Working) {
		line.Confidence = working.ConfidenceToProto(steps.Confidence())
		line.LineId = lineID(c, d.sequence, line)
		lines = append(lines, store.ScheduleLine{
			ScheduleID: scheduleID(c.commissioner, c.month, d.sequence), CommissionerCode: c.commissioner, Year: year, Message: line, Working: working.ToProto(steps),
		})
	}
	for i := range d.due {
		due := &d.due[i]
		network := networks[due.PCNCode]
		line := &typev1.PaymentLine{
			ForMonth: due.Year.Last().String(), PaymentCode: paymentCode, PcnCode: due.PCNCode, PcnName: network.name, LocationCode: network.location,
			FundingSource: fundingSource, Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: int64(due.Amount), SourceItem: due.Code,
			Basis: &typev1.LineBasis{Instalments: 1, Clause: clauseOf(due)},
		}
		hold := &typev1.Hold{Reason: reasonPayeeNotRecorded, Remedy: c.payeeRemedy(due)}
		if network.payee.GetCode() != "" {
			line.Payee = &typev1.Payee{Code: network.payee.GetCode(), Name: network.payee.GetName()}
			// What a correction takes off a line without a payee stands beside it until there is one: the two are not the same money.
			line.AdjustsLineId = d.before.last[lineSubject{due.PCNCode, due.Year, due.Code}]
		} else {
			line.Holds = []*typev1.Hold{hold}
		}
		if line.GetAdjustsLineId() != "" {
			line.AdjustmentCause = adjustmentCause(due)
		}
		for _, held := range due.Held {
			back := proto.CloneOf(line)
			back.Payee, back.Holds, back.AmountPence = nil, []*typev1.Hold{hold}, -int64(held.Amount)
			back.AdjustsLineId, back.AdjustmentCause = held.LineID, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
			add(due.Year, back, held.TakenBack())
		}
		if due.Amount != 0 {
			add(due.Year, line, due.Working)
		}
	}
	slices.SortFunc(lines, func(x, y store.ScheduleLine) int { return cmp.Compare(x.Message.GetLineId(), y.Message.GetLineId()) })
	return lines
}

// payeeRemedy says how a network gets a payee that the body may see: of one that has another commissioner now, one of the last day of the
// year, when it was the body's.
func (c *closing) payeeRemedy(due *rules.DueLine) string {
	out := "record the nominated payee of " + due.PCNCode
	if _, here := c.now.pcns[due.PCNCode]; here {
		return out
	}
	return fmt.Sprintf("%s from %s or before: it is not among the PCNs of %s in %s", out, due.Year.Last().Last(), c.commissioner, c.month)
}

// networks returns what is known of the PCNs that something is due to.
func (d *decision) networks(c *closing) map[string]owedPCN {
	out := make(map[string]owedPCN)
	for i := range d.due {
		out[d.due[i].PCNCode] = c.network(d.due[i].PCNCode, "", "")
	}
	for i := range d.years {
		out[d.years[i].PCNCode] = c.network(d.years[i].PCNCode, d.years[i].PCNName, d.years[i].LocationCode)
	}
	for i := range d.corrections {
		out[d.corrections[i].PCNCode] = c.network(d.corrections[i].PCNCode, d.corrections[i].PCNName, d.corrections[i].LocationCode)
	}
	return out
}

// adjustmentCause tells why a line adds to what was scheduled for the same.
func adjustmentCause(due *rules.DueLine) typev1.AdjustmentCause {
	switch {
	case len(due.Held) == 0 && due.Years == 0:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_YEAR_CORRECTED
	case due.Years+due.Corrections == 0:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
	default:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL
	}
}

// clauseOf says in words what a line pays.
func clauseOf(due *rules.DueLine) string {
	var what []string
	if due.Years > 0 {
		what = append(what, "achievement of the year")
	}
	if due.Corrections > 0 {
		what = append(what, "correction of the year")
	}
	if len(due.Held) > 0 {
		what = append(what, "what had no payee before")
	}
	return fmt.Sprintf("Network Contract DES %s: Investment and Impact Fund, %s: %s", due.Year, due.Code, strings.Join(what, " and "))
}

// lineID derives the identifier of a line from its content key, so that a recomputation names the same line.
func lineID(c *closing, sequence int, l *typev1.PaymentLine) string {
	key := strings.Join([]string{
		Name, c.commissioner, c.month.String(), strconv.Itoa(sequence), l.GetForMonth(), l.GetPaymentCode(), l.GetPcnCode(), l.GetPracticeCode(),
		l.GetSourceItem(), l.GetPayee().GetCode(), l.GetFundingSource(), strconv.Itoa(int(l.GetInstruction())), l.GetAdjustsLineId(),
	}, "|")
	sum := sha256.Sum256([]byte(key))
	return Name + "-" + hex.EncodeToString(sum[:16])
}

// scheduleID names a schedule by what it is of.
func scheduleID(commissioner string, month period.Month, sequence int) string {
	return fmt.Sprintf("%s-%s-%s-%d", Name, commissioner, month, sequence)
}

// writeSchedule stores a schedule with its lines, its events and its audit entry, and notes it with the years and the corrections.
func (s *Service) writeSchedule(ctx context.Context, tx *change.Tx, c *closing, d *decision) (store.ScheduleRow, []store.ScheduleLine, error) {
	row := store.ScheduleRow{
		ID:               scheduleID(c.commissioner, c.month, d.sequence),
		CommissionerCode: c.commissioner, CommissionerName: c.now.name, Month: c.month, Sequence: d.sequence,
		LineCount: len(d.lines), SnapshotID: c.now.id, KnownAt: c.at,
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
	for _, event := range scheduleEvents(row, messages) {
		id, err := tx.Announce(ctx, "commissioner/"+c.commissioner, c.commissioner, event)
		if err != nil {
			return row, nil, err
		}
		row.EventIDs = append(row.EventIDs, id)
	}
	if err := store.InsertSchedule(ctx, tx.Tx, row, d.lines); err != nil {
		return row, nil, err
	}
	summary := fmt.Sprintf("closed %s, sequence %d: %d lines, %s to pay", c.month, d.sequence, len(d.lines), row.PayTotal)
	return row, d.lines, tx.Record(ctx, "iif/schedules/"+row.ID, c.commissioner, summary)
}

// takeUp notes the schedule with its years and corrections. What they come to is what the schedule does, and what all schedules hold of a
// year is what was approved of it.
func takeUp(ctx context.Context, tx *sqldb.Tx, row store.ScheduleRow, d *decision) error {
	var due money.Pence
	var err error
	years := make(map[period.FinancialYear][]string)
	for i := range d.years {
		if due, err = due.Add(d.years[i].Result.Due); err != nil {
			return err
		}
		years[d.years[i].Year] = append(years[d.years[i].Year], d.years[i].PCNCode)
	}
	ids := make([]string, len(d.corrections))
	for i := range d.corrections {
		if due, err = due.Add(d.corrections[i].Amount); err != nil {
			return err
		}
		ids[i] = d.corrections[i].ID
	}
	if due != row.PayTotal {
		return fault.Bug("%s does not come to what its years and corrections come to", row.ID)
	}
	marked, err := store.MarkCorrections(ctx, tx, row.ID, ids)
	if err != nil {
		return err
	}
	for year, pcns := range years {
		n, err := store.MarkYears(ctx, tx, row.ID, year, pcns)
		if err != nil {
			return err
		}
		marked += n
	}
	if want := len(d.years) + len(d.corrections); marked != int64(want) {
		return fault.Bug("%s takes up %d years and corrections, not %d", row.ID, marked, want)
	}
	return d.makesUp(ctx, tx)
}

// makesUp asserts that what schedules hold of each year that the close concerns is what was approved of it, the last correction counting.
func (d *decision) makesUp(ctx context.Context, q sqldb.Querier) error {
	held := d.before.sums
	for i := range d.lines {
		line := &d.lines[i]
		of := pcnYear{line.Message.GetPcnCode(), line.Year}
		var err error
		if held[of], err = held[of].Add(money.Pence(line.Message.GetAmountPence())); err != nil {
			return err
		}
	}
	for year, pcns := range d.subjects() {
		approved, err := store.ApprovedSums(ctx, q, year, pcns)
		if err != nil {
			return err
		}
		for _, code := range pcns {
			if sum, found := approved[code]; !found || held[pcnYear{code, year}] != sum {
				return fault.Bug("what schedules hold of %s of %s is not what was approved", year, code)
			}
		}
	}
	return nil
}

// scheduleEvents splits a schedule into events whose lines stay within the bound; each carries the header.
func scheduleEvents(row store.ScheduleRow, lines []*typev1.PaymentLine) []*iifv1.ScheduleClosed {
	parts := schedule.Split(lines, schedule.MaxEventBytes)
	events := make([]*iifv1.ScheduleClosed, len(parts))
	for i, lines := range parts {
		header := scheduleToProto(row, nil, false)
		header.Lines = lines
		events[i] = &iifv1.ScheduleClosed{Schedule: header, Part: int32(i + 1), Parts: int32(len(parts))} //nolint:gosec // a month has a few parts
	}
	return events
}
