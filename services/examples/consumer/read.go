package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1" // makes the events of activity known by name
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"     // makes the events of arrs known by name
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/core/v1"     // those of core
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"  // makes the events of devfund known by name
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"      // makes the events of iif known by name
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1" // those of partners
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1" // those of payments
	_ "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1" // and those of the register
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// reader handles one event after the other. It keeps in memory what a real consumer keeps in its database, in the same
// transaction as the effect of the event: the ids it has seen, and the parts of a schedule that is not complete.
type reader struct {
	out   io.Writer
	seen  map[string]bool
	parts map[string]map[int32]part
}

// part is one part of a schedule that waits for the others. It is acknowledged with them, so that a crash loses none.
type part struct {
	msg   jetstream.Msg
	event scheduleClosed
}

// scheduleClosed is what the ScheduleClosed of every fund has.
type scheduleClosed interface {
	GetSchedule() *typev1.PaymentSchedule
	GetPart() int32
	GetParts() int32
}

func newReader(out io.Writer) *reader {
	return &reader{out: out, seen: map[string]bool{}, parts: map[string]map[int32]part{}}
}

// read prints an event and acknowledges it. An error means that the broker cannot be told.
func (r *reader) read(msg jetstream.Msg) error {
	if r.seen[msg.Headers().Get("ce-id")] {
		r.print(msg, "seen before")
		return ack(msg)
	}
	event, err := decode(msg)
	switch event := event.(type) {
	case nil:
		if err != nil { // damaged: delivering it again would not help
			r.print(msg, "REFUSED: "+err.Error())
			return terminate(msg)
		}
		r.print(msg, "of a type this program does not know")
	case scheduleClosed:
		return r.schedule(msg, event)
	default:
		text, err := protojson.Marshal(event)
		if err != nil {
			return fmt.Errorf("write event: %w", err)
		}
		r.print(msg, string(text))
	}
	r.seen[msg.Headers().Get("ce-id")] = true
	return ack(msg)
}

// decode returns the event's message; nothing at all for a type of a later version, which is passed over.
func decode(msg jetstream.Msg) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(msg.Headers().Get("ce-type")))
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // a type that is not known is no error
	}
	event := kind.New().Interface()
	if err := proto.Unmarshal(msg.Data(), event); err != nil {
		return nil, fmt.Errorf("payload is not a %s: %w", kind.Descriptor().FullName(), err)
	}
	return event, nil
}

// schedule gathers the parts of a schedule and, once all are there, verifies it before anything is believed.
func (r *reader) schedule(msg jetstream.Msg, event scheduleClosed) error {
	id := event.GetSchedule().GetScheduleId()
	if r.parts[id] == nil {
		r.parts[id] = map[int32]part{}
	}
	r.parts[id][event.GetPart()] = part{msg, event}
	if len(r.parts[id]) < int(event.GetParts()) {
		r.print(msg, fmt.Sprintf("%s: part %d of %d, waits for the others", id, event.GetPart(), event.GetParts()))
		return nil
	}
	settle, parts := ack, r.parts[id]
	delete(r.parts, id)
	schedule, err := verify(parts)
	if err != nil {
		r.print(msg, fmt.Sprintf("%s: REFUSED: %v", id, err))
		settle = terminate // a person has to look at it
	} else {
		r.print(msg, fmt.Sprintf("%s: %d lines, %d pence to pay, %d to reconcile; count, sums and hash are right",
			id, schedule.GetLineCount(), schedule.GetPayTotalPence(), schedule.GetReconcileTotalPence()))
	}
	for _, p := range parts {
		r.seen[p.msg.Headers().Get("ce-id")] = true
		if err := settle(p.msg); err != nil {
			return err
		}
	}
	return nil
}

// verify puts the parts together and checks count, sums and hash of the lines against the schedule's own.
func verify(parts map[int32]part) (*typev1.PaymentSchedule, error) {
	first, ok := parts[1]
	if !ok || len(parts) != int(first.event.GetParts()) {
		return nil, errors.New("parts are numbered wrongly")
	}
	schedule, sum, last := first.event.GetSchedule(), sha256.New(), ""
	count, pay, reconcile := int32(0), int64(0), int64(0)
	for n := range int32(len(parts)) { //nolint:gosec // a schedule has a few parts
		p, ok := parts[n+1]
		if !ok || p.event.GetSchedule().GetLinesSha256() != schedule.GetLinesSha256() {
			return nil, fmt.Errorf("part %d does not belong to the others", n+1)
		}
		for _, line := range p.event.GetSchedule().GetLines() {
			if line.GetLineId() <= last {
				return nil, fmt.Errorf("line %s is out of order", line.GetLineId())
			}
			last = line.GetLineId()
			data, err := proto.MarshalOptions{Deterministic: true}.Marshal(line)
			if err != nil {
				return nil, fmt.Errorf("write line %s: %w", last, err)
			}
			sum.Write(binary.AppendUvarint(nil, uint64(len(data))))
			sum.Write(data)
			count++
			switch line.GetInstruction() {
			case typev1.Instruction_INSTRUCTION_PAY:
				pay += line.GetAmountPence()
			case typev1.Instruction_INSTRUCTION_RECONCILE_ONLY:
				reconcile += line.GetAmountPence()
			case typev1.Instruction_INSTRUCTION_UNSPECIFIED:
				return nil, fmt.Errorf("line %s says neither pay nor reconcile", last)
			}
		}
	}
	switch {
	case count != schedule.GetLineCount():
		return nil, fmt.Errorf("%d lines came, %d were announced", count, schedule.GetLineCount())
	case pay != schedule.GetPayTotalPence(), reconcile != schedule.GetReconcileTotalPence():
		return nil, fmt.Errorf("lines come to %d and %d pence, %d and %d were announced", pay, reconcile,
			schedule.GetPayTotalPence(), schedule.GetReconcileTotalPence())
	case hex.EncodeToString(sum.Sum(nil)) != schedule.GetLinesSha256():
		return nil, errors.New("the hash of the lines differs")
	}
	return schedule, nil
}

// print writes one line: when, what, of which aggregate, and the event's number there.
func (r *reader) print(msg jetstream.Msg, text string) {
	h := msg.Headers()
	name := h.Get("ce-type")
	_, _ = fmt.Fprintf(r.out, "%s %s %s #%s %s\n", h.Get("ce-time"), name[strings.LastIndexByte(name, '.')+1:], h.Get("ce-subject"),
		h.Get("ce-sequence"), text)
}

func ack(msg jetstream.Msg) error {
	if err := msg.Ack(); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

func terminate(msg jetstream.Msg) error {
	if err := msg.Term(); err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	return nil
}
