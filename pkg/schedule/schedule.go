// Package schedule holds what every fund and every consumer of payment schedules does alike: hash the lines, split them into
// events and put them together again, and verify that what came is what was closed. It knows no fund.
package schedule

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// MaxEventBytes bounds the lines, or other repeated content, of one event; what is larger goes in several.
const MaxEventBytes = 512 << 10

// Reasons why a schedule is not believed.
const (
	// ReasonHeaderInvalid says that the month of a schedule is malformed, or that parts are not of one schedule.
	ReasonHeaderInvalid = "SCHEDULE_HEADER_INVALID"
	// ReasonLineInvalid says that a line has no identifier or instruction, no amount, or a month that cannot be.
	ReasonLineInvalid = "SCHEDULE_LINE_INVALID"
	// ReasonLineOrder says that line ids do not rise strictly.
	ReasonLineOrder = "SCHEDULE_LINE_ORDER"
	// ReasonCountDiffers says that another number of lines was announced than came.
	ReasonCountDiffers = "SCHEDULE_COUNT_DIFFERS"
	// ReasonSumDiffers says that the lines come to other pence than announced.
	ReasonSumDiffers = "SCHEDULE_SUM_DIFFERS"
	// ReasonHashDiffers says that the lines are not those that were hashed.
	ReasonHashDiffers = "SCHEDULE_HASH_DIFFERS"
)

// Hash returns the SHA-256, in lower-case hexadecimal, of lines in the order given: of each the length as an unsigned varint and
// the deterministic binary form. A schedule is hashed in order of line id and without workings. It fails on text that is not
// UTF-8.
func Hash(lines []*typev1.PaymentLine) (string, error) {
	sum := sha256.New()
	var buffer []byte
	for _, line := range lines {
		bytes, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(buffer[:0], line)
		if err != nil {
			return "", fmt.Errorf("marshal line %s: %w", line.GetLineId(), err)
		}
		sum.Write(binary.AppendUvarint(nil, uint64(len(bytes))))
		sum.Write(bytes)
		buffer = bytes
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Split cuts messages, such as the lines of a schedule, into parts whose sizes stay within a bound, in order; one that is larger
// by itself is a part of its own. There is at least one part, so that what is empty is announced too.
func Split[M proto.Message](messages []M, maxBytes int) [][]M {
	var parts [][]M
	first, size := 0, 0
	for i, message := range messages {
		n := proto.Size(message)
		if i > first && size+n > maxBytes {
			parts = append(parts, messages[first:i:i])
			first, size = i, 0
		}
		size += n
	}
	return append(parts, messages[first:])
}

// Join puts the parts of one schedule together, in order of their number, and verifies the whole (see Verify). Parts whose
// headers differ are refused with ReasonHeaderInvalid.
func Join(parts []*typev1.PaymentSchedule) (*typev1.PaymentSchedule, error) {
	if len(parts) == 0 {
		return nil, fault.New(fault.Refused, ReasonHeaderInvalid, "a schedule has at least one part")
	}
	out := header(parts[0])
	for i, part := range parts {
		if !proto.Equal(header(part), header(parts[0])) {
			return nil, fault.New(fault.Refused, ReasonHeaderInvalid, "part %d has another header than part 1 of %s", i+1, parts[0].GetScheduleId()).
				With("schedule_id", parts[0].GetScheduleId()).With("part", i+1)
		}
		out.Lines = append(out.Lines, part.GetLines()...)
		out.Refusals = append(out.Refusals, part.GetRefusals()...)
		out.Withheld = append(out.Withheld, part.GetWithheld()...)
	}
	return out, Verify(out, out.GetLines())
}

// header returns what every part of a schedule repeats.
func header(part *typev1.PaymentSchedule) *typev1.PaymentSchedule {
	out := new(typev1.PaymentSchedule)
	part.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !field.IsList() {
			out.ProtoReflect().Set(field, value)
		}
		return true
	})
	return out
}

// Verify holds all lines of a schedule against its header: each line by itself, then order, count, both sums and hash. The lines
// of the header are not looked at. It returns a fault of kind Refused with the reason and the figures that differ.
func Verify(header *typev1.PaymentSchedule, lines []*typev1.PaymentLine) error {
	v := verifying{header: header}
	var err error
	if v.month, err = period.ParseMonth(header.GetMonth()); err != nil {
		return v.refuse(ReasonHeaderInvalid, "%v", err).With("month", header.GetMonth())
	}
	for i, line := range lines {
		if err := v.line(i, line); err != nil {
			return err
		}
		if i > 0 && line.GetLineId() <= lines[i-1].GetLineId() {
			return v.refuse(ReasonLineOrder, "line %q stands after line %q", line.GetLineId(), lines[i-1].GetLineId()).
				With("line_id", line.GetLineId()).With("line_before", lines[i-1].GetLineId())
		}
	}
	if announced := int(header.GetLineCount()); len(lines) != announced {
		return v.refuse(ReasonCountDiffers, "%d lines came, %d were announced", len(lines), announced).
			With("lines", len(lines)).With("line_count", announced)
	}
	if err := v.sums(lines); err != nil {
		return err
	}
	return v.hash(lines)
}

type verifying struct {
	header *typev1.PaymentSchedule
	month  period.Month
}

func (v *verifying) refuse(reason, format string, args ...any) *fault.Fault {
	return fault.New(fault.Refused, reason, "%s: "+format, append([]any{v.header.GetScheduleId()}, args...)...).
		With("schedule_id", v.header.GetScheduleId())
}

// line refuses a line that no fund writes.
func (v *verifying) line(i int, line *typev1.PaymentLine) error {
	invalid := func(format string, args ...any) *fault.Fault {
		args = append([]any{i + 1, line.GetLineId()}, args...)
		return v.refuse(ReasonLineInvalid, "line %d %q "+format, args...).With("line_id", line.GetLineId()).With("line", i+1)
	}
	if line.GetLineId() == "" {
		return invalid("has no identifier")
	}
	switch line.GetInstruction() {
	case typev1.Instruction_INSTRUCTION_PAY, typev1.Instruction_INSTRUCTION_RECONCILE_ONLY:
	case typev1.Instruction_INSTRUCTION_UNSPECIFIED:
		fallthrough
	default:
		return invalid("has the instruction %s", line.GetInstruction()).With("instruction", line.GetInstruction())
	}
	if line.GetAmountPence() == 0 {
		return invalid("has no amount")
	}
	month, err := period.ParseMonth(line.GetForMonth())
	if err != nil {
		return invalid("is for no month: %v", err).With("for_month", line.GetForMonth())
	}
	if month.After(v.month) {
		return invalid("is for %s, after the month of its schedule", month).With("for_month", month).With("month", v.month)
	}
	return nil
}

func (v *verifying) sums(lines []*typev1.PaymentLine) error {
	pay, reconcile, err := Totals(lines)
	if err != nil {
		return v.refuse(ReasonSumDiffers, "the amounts cannot be added up").Because(err)
	}
	wantPay, wantReconcile := money.Pence(v.header.GetPayTotalPence()), money.Pence(v.header.GetReconcileTotalPence())
	if cmp.Or(cmp.Compare(pay, wantPay), cmp.Compare(reconcile, wantReconcile)) == 0 {
		return nil
	}
	return v.refuse(ReasonSumDiffers, "the lines come to %s to pay and %s to reconcile, announced were %s and %s",
		pay, reconcile, wantPay, wantReconcile).
		With("pay_pence", int64(pay)).With("pay_total_pence", int64(wantPay)).
		With("reconcile_pence", int64(reconcile)).With("reconcile_total_pence", int64(wantReconcile))
}

// Totals adds up the lines to pay and those for reconciliation only, in pence; a line of neither counts in none. It returns a
// fault with money.ReasonOverflow where 64 bits do not hold a sum.
func Totals(lines []*typev1.PaymentLine) (pay, reconcile money.Pence, err error) {
	for _, line := range lines {
		switch line.GetInstruction() {
		case typev1.Instruction_INSTRUCTION_PAY:
			pay, err = pay.Add(money.Pence(line.GetAmountPence()))
		case typev1.Instruction_INSTRUCTION_RECONCILE_ONLY:
			reconcile, err = reconcile.Add(money.Pence(line.GetAmountPence()))
		case typev1.Instruction_INSTRUCTION_UNSPECIFIED:
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return pay, reconcile, nil
}

func (v *verifying) hash(lines []*typev1.PaymentLine) error {
	sum, err := Hash(lines)
	if err != nil {
		return v.refuse(ReasonLineInvalid, "a line cannot be written as bytes").Because(err)
	}
	if sum != v.header.GetLinesSha256() {
		return v.refuse(ReasonHashDiffers, "the lines hash to %s, announced was %q", sum, v.header.GetLinesSha256()).
			With("sha256", sum).With("lines_sha256", v.header.GetLinesSha256())
	}
	return nil
}
