package outbox

import (
	"context"
	"strconv"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Headers of a published event: CloudEvents 1.0, binary mode, in the NATS binding.
const (
	HeaderSpecVersion = "ce-specversion"
	HeaderID          = "ce-id"       // the event's id, the same when it is sent again
	HeaderSource      = "ce-source"   // the service, such as /pcnfunding/core
	HeaderType        = "ce-type"     // the full name of the protobuf message
	HeaderTime        = "ce-time"     // when the change was made, RFC 3339, UTC
	HeaderSubject     = "ce-subject"  // the aggregate
	HeaderSequence    = "ce-sequence" // the event's number among those of the aggregate, decimal, from 1
	HeaderContentType = "content-type"
	HeaderTraceparent = "traceparent"

	contentType = "application/protobuf"
)

// Message is an event as handed to the broker.
type Message struct {
	// ID is the message's own; the broker drops a second message of the same ID.
	ID      string
	Subject string
	Header  map[string]string
	Payload []byte

	position, created int64
}

// Ack says that the broker has stored a message.
type Ack struct {
	// ID is the message's.
	ID string
	// Duplicate is true if the broker had a message of this ID already.
	Duplicate bool
}

// Publisher hands messages to a broker.
type Publisher interface {
	// Publish sends all messages, waits for the broker, and returns an Ack for each message that it has stored. If that is not
	// all of them, the error says why.
	Publish(ctx context.Context, msgs []Message) ([]Ack, error)
}

// row is a message as stored.
type row struct {
	id, eventID, aggregate, subject, typeName, traceparent string
	position, sequence, occurredAt, createdAt              int64
	payload                                                []byte
}

const rowColumns = `position, id, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, created_at`

func (r *row) fields() []any {
	return []any{
		&r.position, &r.id, &r.eventID, &r.aggregate, &r.sequence, &r.subject, &r.typeName, &r.payload, &r.traceparent, &r.occurredAt,
		&r.createdAt,
	}
}

// message makes what is sent of a row.
func (r *row) message(source string) Message {
	header := map[string]string{
		HeaderSpecVersion: "1.0",
		HeaderID:          r.eventID,
		HeaderSource:      source,
		HeaderType:        r.typeName,
		HeaderTime:        sqldb.FromMicros(r.occurredAt).Format(time.RFC3339Nano),
		HeaderSubject:     r.aggregate,
		HeaderSequence:    strconv.FormatInt(r.sequence, 10),
		HeaderContentType: contentType,
	}
	if r.traceparent != "" {
		header[HeaderTraceparent] = r.traceparent
	}
	return Message{ID: r.id, Subject: r.subject, Header: header, Payload: r.payload, position: r.position, created: r.createdAt}
}
