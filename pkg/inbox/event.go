package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Reasons for which an event goes into quarantine, beside those of the faults that the handler returns.
const (
	// ReasonMalformed means that an attribute of the event is missing or cannot be read.
	ReasonMalformed = "EVENT_MALFORMED"
	// ReasonVersionUnknown means that the event is no CloudEvent 1.0 with a protobuf message in it.
	ReasonVersionUnknown = "EVENT_VERSION_UNKNOWN"
	// ReasonTypeUnknown means that the consumer knows no such type of event.
	ReasonTypeUnknown = "EVENT_TYPE_UNKNOWN"
	// ReasonUndecodable means that the payload is not a message of the event's type.
	ReasonUndecodable = "EVENT_UNDECODABLE"
	// ReasonTooLarge means that the payload is larger than any event of the suite may be.
	ReasonTooLarge = "EVENT_TOO_LARGE"
	// ReasonFailed means that the handler has failed six times, for no reason of its own naming.
	ReasonFailed = "EVENT_FAILED"
)

const (
	// MaxPayload is the largest payload that is handled, in bytes; the outbox makes none that comes near it.
	MaxPayload = 1 << 20

	// maxAttribute bounds an attribute that becomes part of a key, in bytes.
	maxAttribute = 512

	specVersion = "1.0"
	contentType = "application/protobuf"
)

// Delivery is a message as the broker delivers it.
type Delivery struct {
	// Subject is the broker's: the event's type, and after the last dot the commissioner's code.
	Subject string
	Header  map[string]string
	Payload []byte
}

// Event is what the handler gets.
type Event struct {
	// ID names the event, together with Source; it is the same when the event is sent again.
	ID string
	// Source is the producer, such as /pcnfunding/core.
	Source string
	// Type is the full name of the message.
	Type string
	// Aggregate is what changed; Sequence numbers its events from 1.
	Aggregate string
	Sequence  int64
	// Subject is the broker's; CommissionerCode is its last token, outbox.England for an event that concerns all.
	Subject          string
	CommissionerCode string
	// OccurredAt is when the change was made, in UTC.
	OccurredAt time.Time
	Message    proto.Message
}

// item is an event on its way through the inbox.
type item struct {
	Event
	delivery Delivery
	// event and aggregate are the keys of the tables; aggregate is empty if the event cannot be put in order.
	event, aggregate string
	// poison is why no handler can take it; nil if one can.
	poison error
	// verdict is what has become of it.
	verdict Verdict
}

// read makes an item of a delivery. Whatever is wrong with it becomes its poison.
func (in *Inbox) read(d Delivery) *item {
	it := &item{delivery: d}
	it.poison = it.readHeader()
	if it.poison == nil {
		it.poison = in.decode(it)
	}
	return it
}

// readHeader sets the keys and what the headers say, and returns what is wrong with them. An event that names itself has its own key
// even if the rest cannot be read, so that a mended one takes its place.
func (it *item) readHeader() error {
	d, header := it.delivery, it.delivery.Header
	it.Event = Event{
		ID: header[outbox.HeaderID], Source: header[outbox.HeaderSource], Type: header[outbox.HeaderType],
		Aggregate: header[outbox.HeaderSubject], Subject: d.Subject, CommissionerCode: d.Subject[strings.LastIndexByte(d.Subject, '.')+1:],
	}
	if isName(it.ID) && isName(it.Source) && !strings.Contains(it.Source, " ") {
		it.event = it.Source + " " + it.ID
	} else {
		it.event = contentKey(it.delivery)
		return malformed(outbox.HeaderID, "%s and %s do not name an event", outbox.HeaderSource, outbox.HeaderID)
	}
	if !isName(it.Aggregate) {
		return malformed(outbox.HeaderSubject, "%s does not name what changed", outbox.HeaderSubject)
	}
	sequence, err := strconv.ParseInt(header[outbox.HeaderSequence], 10, 64)
	if err != nil || sequence < 1 {
		return malformed(outbox.HeaderSequence, "%s is not a number from 1", outbox.HeaderSequence)
	}
	it.aggregate, it.Sequence = it.Source+" "+it.Aggregate, sequence
	at, err := time.Parse(time.RFC3339Nano, header[outbox.HeaderTime])
	if err != nil {
		return malformed(outbox.HeaderTime, "%s is not a time", outbox.HeaderTime)
	}
	it.OccurredAt = at.UTC()
	if v := header[outbox.HeaderSpecVersion]; v != specVersion {
		return fault.New(fault.Invalid, ReasonVersionUnknown, "the event is not a CloudEvent %s", specVersion)
	}
	if v := header[outbox.HeaderContentType]; v != contentType {
		return fault.New(fault.Invalid, ReasonVersionUnknown, "the content of the event is not %s", contentType)
	}
	return nil
}

func malformed(field, format string, args ...any) error {
	return fault.New(fault.Invalid, ReasonMalformed, format, args...).At(field, "cannot be read")
}

// isName reports whether s can be part of a key.
func isName(s string) bool {
	return s != "" && len(s) <= maxAttribute && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// contentKey names a message that does not name itself, by what is in it.
func contentKey(d Delivery) string {
	sum := sha256.New()
	add := func(b []byte) {
		sum.Write(binary.AppendUvarint(nil, uint64(len(b))))
		sum.Write(b)
	}
	add([]byte(d.Subject))
	for _, k := range slices.Sorted(maps.Keys(d.Header)) {
		add([]byte(k))
		add([]byte(d.Header[k]))
	}
	add(d.Payload)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// decode reads the payload.
func (in *Inbox) decode(it *item) error {
	if len(it.delivery.Payload) > MaxPayload {
		return fault.New(fault.Invalid, ReasonTooLarge, "the payload has %d bytes and may have %d", len(it.delivery.Payload), MaxPayload)
	}
	return in.unmarshal(it)
}

// unmarshal reads a payload of any size.
func (in *Inbox) unmarshal(it *item) error {
	message, known := in.options.New(it.Type)
	if !known {
		return fault.New(fault.Invalid, ReasonTypeUnknown, "an event of this type is not known here")
	}
	if err := proto.Unmarshal(it.delivery.Payload, message); err != nil {
		return fault.New(fault.Invalid, ReasonUndecodable, "the payload is not a message of the event's type").Because(err)
	}
	it.Message = message
	return nil
}

// handle runs the handler in the trace of the event. A panic is an error like others: the next start would only meet it again.
func (in *Inbox) handle(ctx context.Context, tx *sqldb.Tx, it *item) (err error) {
	ctx, ended := in.span(ctx, it)
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("handle event %s: panic: %v", it.event, cause)
		}
		ended(err)
	}()
	if err := in.options.Handle(ctx, tx, it.Event); err != nil {
		return fmt.Errorf("handle event %s: %w", it.event, err)
	}
	return nil
}

// traced continues the trace of the call that caused the event.
func (it *item) traced(ctx context.Context) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier(it.delivery.Header))
}
