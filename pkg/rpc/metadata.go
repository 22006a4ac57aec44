package rpc

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/telemetry"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Metadata keys of requests and responses. The gateway maps the HTTP headers of the same names onto them.
const (
	// KeyAuthorization carries "Bearer <token>".
	KeyAuthorization = "authorization"
	// KeyIdempotencyKey fills an empty request_id.
	KeyIdempotencyKey = "idempotency-key"
	// KeyIfMatch fills an empty etag.
	KeyIfMatch = "if-match"
	// KeyCorrelationID names the request across services, logs and errors; it is returned with every answer.
	KeyCorrelationID = "x-correlation-id"
	// KeyETag is the response's etag, in quotes.
	KeyETag = "etag"
	// KeyReplay is "true" on an answer that was stored for an earlier request with the same id.
	KeyReplay = "idempotent-replay"
)

const (
	bearerPrefix = "bearer "
	// maxCorrelationBytes bounds what a caller can write into every log line.
	maxCorrelationBytes = 64

	fieldRequestID = protoreflect.Name("request_id")
	fieldETag      = protoreflect.Name("etag")
)

// MarkReplay marks the answer to a call as the stored answer to an earlier one. It does nothing outside a call.
func MarkReplay(ctx context.Context) {
	// The only errors are those of a call that has already been answered or is none.
	_ = grpc.SetHeader(ctx, metadata.Pairs(KeyReplay, "true"))
}

// first returns the first value of a key of the incoming metadata.
func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// bearer returns the token of the incoming metadata, or an empty string.
func bearer(md metadata.MD) string {
	value := first(md, KeyAuthorization)
	if len(value) < len(bearerPrefix) || !strings.EqualFold(value[:len(bearerPrefix)], bearerPrefix) {
		return ""
	}
	return strings.TrimSpace(value[len(bearerPrefix):])
}

// correlate adopts the caller's correlation id, or makes one where there is none or it is not plain.
func correlate(ctx context.Context, md metadata.MD) (context.Context, string) {
	id := first(md, KeyCorrelationID)
	if !plainID(id) {
		id = uuid.NewString()
	}
	return telemetry.WithCorrelation(ctx, id), id
}

func plainID(id string) bool {
	if id == "" || len(id) > maxCorrelationBytes {
		return false
	}
	for _, c := range []byte(id) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// ReasonContradiction refuses a call whose headers say one thing and whose message another.
const ReasonContradiction = "HEADER_CONTRADICTS_BODY"

// fillFromMetadata puts the idempotency key into an empty request_id and If-Match into an empty etag; where both are given they
// must agree. A message that has no request_id of its own passes it to those of its message fields that are set, as the header
// that opens an upload.
func fillFromMetadata(md metadata.MD, req proto.Message) error {
	if key := first(md, KeyIdempotencyKey); key != "" {
		if err := fillRequestID(req.ProtoReflect(), key); err != nil {
			return err
		}
	}
	if match := first(md, KeyIfMatch); match != "" {
		_, err := fillEmpty(req.ProtoReflect(), fieldETag, unquote(match))
		return err
	}
	return nil
}

func fillRequestID(m protoreflect.Message, key string) error {
	if filled, err := fillEmpty(m, fieldRequestID, key); filled || err != nil {
		return err
	}
	var failed error
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Kind() == protoreflect.MessageKind && !field.IsList() && !field.IsMap() {
			_, failed = fillEmpty(value.Message(), fieldRequestID, key)
		}
		return failed == nil
	})
	return failed
}

// fillEmpty sets a string field that is empty, and refuses one that holds something else. It tells whether the message has
// the field.
func fillEmpty(m protoreflect.Message, name protoreflect.Name, value string) (bool, error) {
	field := m.Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return false, nil
	}
	switch m.Get(field).String() {
	case "":
		m.Set(field, protoreflect.ValueOfString(value))
	case value:
	default:
		return true, fault.New(fault.Invalid, ReasonContradiction, "the header and the field %s say different things", name).
			At(string(name), "leave out one of the two, or make them the same")
	}
	return true, nil
}

// unquote strips the quotes of an entity tag; a weak tag stays as it is and so matches nothing.
func unquote(tag string) string {
	tag = strings.TrimSpace(tag)
	if len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
		return tag[1 : len(tag)-1]
	}
	return tag
}

// etagOf returns the etag field of a response as an entity tag, or an empty string.
func etagOf(resp any) string {
	message, ok := resp.(proto.Message)
	if !ok {
		return ""
	}
	m := message.ProtoReflect()
	if !m.IsValid() {
		return ""
	}
	field := m.Descriptor().Fields().ByName(fieldETag)
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return ""
	}
	if tag := m.Get(field).String(); tag != "" {
		return `"` + tag + `"`
	}
	return ""
}
