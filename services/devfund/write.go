package devfund

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
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

const (
	// paymentCode is the payment that schedules and statements name; plan and line are the item within it.
	paymentCode = "PCN_DEVELOPMENT"
	// fundingSource is the account that the fund is paid from.
	fundingSource = "DEVELOPMENT"
)

// linesOf makes a line of each that is due, in order of line id.
func linesOf(c *closing, d *decision, networks map[string]owedPCN) []store.ScheduleLine {
	var lines []store.ScheduleLine
	add := func(due *rules.DueLine, line *typev1.PaymentLine, steps *working.Working) {
		line.Confidence = working.ConfidenceToProto(steps.Confidence())
		line.LineId = lineID(c, d.sequence, line)
		lines = append(lines, store.ScheduleLine{
			ScheduleID: scheduleID(c.commissioner, c.month, d.sequence), CommissionerCode: c.commissioner,
			PlanID: due.PlanID, PlanLineID: due.LineID, Message: line, Working: working.ToProto(steps),
		})
	}
	for i := range d.due {
		due := &d.due[i]
		network := networks[due.PCNCode]
		paid := d.paid[[2]string{due.PlanID, due.LineID}]
		line := &typev1.PaymentLine{
			ForMonth: due.ForMonth.String(), PaymentCode: paymentCode, PcnCode: due.PCNCode, PcnName: network.name, LocationCode: network.location,
			FundingSource: fundingSource, Instruction: typev1.Instruction_INSTRUCTION_PAY, AmountPence: int64(due.Amount),
			SourceItem: due.PlanID + "/" + due.LineID, Basis: &typev1.LineBasis{Instalments: 1, Clause: clauseOf(&paid, due)},
			AdjustsLineId: due.Adjusts,
		}
		hold := &typev1.Hold{Reason: reasonPayeeNotRecorded, Remedy: c.payeeRemedy(due)}
		if network.payee.GetCode() != "" {
			line.Payee = &typev1.Payee{Code: network.payee.GetCode(), Name: network.payee.GetName()}
		} else {
			// What takes something off a line without a payee stands beside it until there is one: the two are not the same money.
			line.Holds = []*typev1.Hold{hold}
		}
		if line.GetAdjustsLineId() != "" {
			line.AdjustmentCause = adjustmentCause(due.Cause)
		}
		for _, held := range due.Held {
			back := proto.CloneOf(line)
			back.Payee, back.Holds, back.AmountPence = nil, []*typev1.Hold{hold}, -int64(held.Amount)
			back.AdjustsLineId, back.AdjustmentCause = held.LineID, typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
			add(due, back, held.TakenBack())
		}
		if due.Amount != 0 {
			add(due, line, due.Working)
		}
	}
	slices.SortFunc(lines, func(x, y store.ScheduleLine) int { return cmp.Compare(x.Message.GetLineId(), y.Message.GetLineId()) })
	return lines
}

// payeeRemedy says how a network gets a payee that the body may see: of one that has another commissioner now, one of the month that the
// money is for.
func (c *closing) payeeRemedy(due *rules.DueLine) string {
	out := "record the nominated payee of " + due.PCNCode
	if _, here := c.now.pcns[due.PCNCode]; here {
		return out
	}
	return fmt.Sprintf("%s from %s or before: it is not among the PCNs of %s in %s", out, due.ForMonth.First(), c.commissioner, c.month)
}

// adjustmentCause tells why a line differs from what was scheduled for the same.
func adjustmentCause(cause rules.DueCause) typev1.AdjustmentCause {
	switch cause {
	case rules.DuePlanChanged:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PLAN_CHANGED
	case rules.DueUnspent:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPENT
	case rules.DuePayee:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
	case rules.DueSeveral:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_SEVERAL
	default:
		return typev1.AdjustmentCause_ADJUSTMENT_CAUSE_UNSPECIFIED
	}
}

// clauseOf says in words what a line pays: the name of the payment, then category and description of the plan's line, then what of it.
func clauseOf(paid *store.PaidLine, due *rules.DueLine) string {
	what := "tranche of " + due.ForMonth.String()
	switch due.Cause {
	case rules.DuePlanChanged:
		what = "changed tranche of " + due.ForMonth.String()
	case rules.DueUnspent:
		what = "unspent money taken back"
	case rules.DuePayee:
		what += ", which had no payee before"
	case rules.DueSeveral:
		what = "what changed of the tranche of " + due.ForMonth.String()
	default:
	}
	return fmt.Sprintf("PCN development fund %s: PCN development, %s (%s): %s", strings.Replace(paid.Year, "-", "/", 1), money.Clip(paid.Message.GetDescription()),
		strings.ReplaceAll(paid.Message.GetCategory(), "_", " "), what)
}

// lineID names a line by its content, so that a recomputation names the same line.
func lineID(c *closing, sequence int, l *typev1.PaymentLine) string {
	key := strings.Join([]string{
		Name, c.commissioner, c.month.String(), strconv.Itoa(sequence), l.GetForMonth(), l.GetPaymentCode(), l.GetPcnCode(), l.GetPracticeCode(),
		l.GetSourceItem(), l.GetPayee().GetCode(), l.GetFundingSource(), strconv.Itoa(int(l.GetInstruction())), l.GetAdjustsLineId(),
	}, "|")
	sum := sha256.Sum256([]byte(key))
	return Name + "-" + hex.EncodeToString(sum[:16])
}

// scheduleID names a schedule by what it is of.
func scheduleID(commissioner string, month fmt.Stringer, sequence int) string {
	return fmt.Sprintf("%s-%s-%s-%d", Name, commissioner, month, sequence)
}

// writeSchedule stores a schedule with its lines, its events and its audit entry.
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
	if err := d.makesUp(ctx, tx.Tx, c, row); err != nil {
		return row, nil, err
	}
	summary := fmt.Sprintf("closed %s, sequence %d: %d lines, %s to pay", c.month, d.sequence, len(d.lines), row.PayTotal)
	return row, d.lines, tx.Record(ctx, Name+"/schedules/"+row.ID, c.commissioner, summary)
}

// makesUp asserts that the schedule comes to what is due, and that schedules now hold of each line of a plan, PCN and month up to the closed
// one what its approved tranches come to less what was taken back, as far as the commissioner owes it.
func (d *decision) makesUp(ctx context.Context, q sqldb.Querier, c *closing, row store.ScheduleRow) error {
	var due money.Pence
	var err error
	for i := range d.due {
		if due, err = due.Add(d.due[i].New); err != nil {
			return err
		}
	}
	if due != row.PayTotal {
		return fault.Bug("%s does not come to what is due", row.ID)
	}
	left, err := store.Waiting(ctx, q, c.bodies(), c.month)
	if err != nil {
		return err
	}
	for i := range left {
		if w := &left[i]; c.owes(w.Debt) {
			return fault.Bug("schedules hold %s of line %s of plan %s for %s in %s, not %s less %s", w.Held, w.LineID, w.PlanID, w.PCNCode, w.Month,
				w.Tranche, w.Taken)
		}
	}
	return nil
}

// scheduleEvents splits a schedule into events whose lines stay within the bound; each carries the header.
func scheduleEvents(row store.ScheduleRow, lines []*typev1.PaymentLine) []*devfundv1.ScheduleClosed {
	parts := schedule.Split(lines, schedule.MaxEventBytes)
	events := make([]*devfundv1.ScheduleClosed, len(parts))
	for i, lines := range parts {
		header := scheduleToProto(row, nil, false)
		header.Lines = lines
		events[i] = &devfundv1.ScheduleClosed{Schedule: header, Part: int32(i + 1), Parts: int32(len(parts))} //nolint:gosec // a month has a few parts
	}
	return events
}
