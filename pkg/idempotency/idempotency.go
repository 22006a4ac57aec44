// Package idempotency makes a mutating request take effect once, however often it is sent.
//
// The caller names each request by its field request_id. [Do] notes that name, with a fingerprint of the request, in the same
// transaction as the effect and the answer. A repetition finds the note: with the same content it gets the same answer, and
// with other content a refusal that names the fields that differ. Copies sent at the same time wait for the first and get its
// answer. A request that is refused leaves no note, so it may be sent again when the state of things has changed.
package idempotency

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Reasons of this package's faults.
const (
	// ReasonRequired means that the request has no request_id.
	ReasonRequired = "REQUEST_ID_REQUIRED"
	// ReasonReused means that the request_id was used before, for other content; Meta "differs" lists the fields.
	ReasonReused = "REQUEST_ID_REUSED"
)

// field is the request's own name for itself.
const field = "request_id"

// Keep is how long an answer must be kept: month-end money is retried late.
const Keep = 396 * 24 * time.Hour

// pruneBatch bounds the rows that one statement of Prune deletes, and so the time it holds locks.
const pruneBatch = 1000

// Caller says whose request it is: request ids are the caller's own, and set apart by method.
type Caller struct {
	Subject string
	Method  string
}

// Do runs fn in one transaction of db, unless caller has sent req before: then it returns the answer given at that time, and
// replayed is true. Other content under the same request_id is an Exists fault, a missing request_id an Invalid one. An error
// of fn undoes everything and is not remembered. Fn may run for a repetition too, up to the first statement that it does not queue,
// and nothing of that stays.
func Do[T proto.Message](
	ctx context.Context, db *sqldb.DB, caller Caller, req proto.Message, fn func(context.Context, *sqldb.Tx) (T, error),
) (resp T, replayed bool, err error) {
	var zero T
	n, err := newNote(caller, req)
	if err != nil {
		return zero, false, err
	}
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := n.insert(ctx, tx); err != nil {
			return err
		}
		if resp, err = fn(ctx, tx); err != nil {
			// The note goes with the first thing that fn reads. What fn refuses before that it may not have refused the first time.
			return cmp.Or(tx.Settle(ctx), err)
		}
		return n.answer(ctx, tx, resp)
	})
	if replayed = errors.Is(err, errNoted); replayed {
		err = db.Read(ctx, func(q sqldb.Querier) error {
			resp, err = load[T](ctx, q, n)
			return err
		})
	}
	if err != nil {
		return zero, false, fmt.Errorf("%s: %w", caller.Method, err)
	}
	return resp, replayed, nil
}

// Stored returns the answer that Do would replay, if there is one already, without doing anything. It saves costly preparation
// outside the transaction; Do still decides.
func Stored[T proto.Message](ctx context.Context, db *sqldb.DB, caller Caller, req proto.Message) (resp T, found bool, err error) {
	var zero T
	n, err := newNote(caller, req)
	if err != nil {
		return zero, false, err
	}
	err = db.Read(ctx, func(q sqldb.Querier) error {
		resp, err = load[T](ctx, q, n)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return zero, false, nil
	}
	if err != nil {
		return zero, false, fmt.Errorf("%s: %w", caller.Method, err)
	}
	return resp, true, nil
}

// Prune deletes the notes made before a time and returns how many. Use a time at least Keep ago.
func Prune(ctx context.Context, db *sqldb.DB, before time.Time) (int64, error) {
	const q = `DELETE FROM idempotency WHERE (caller, method, request_id) IN (
		SELECT caller, method, request_id FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)`
	for total := int64(0); ; {
		result, err := db.Exec(ctx, q, sqldb.Micros(before), pruneBatch)
		if err != nil {
			return total, fmt.Errorf("delete old answers: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("delete old answers: %w", err)
		}
		if total += n; n < pruneBatch {
			return total, nil
		}
	}
}

// note is what is kept of a request: its name, and its content without the name and without what its contract marks debug_redact, such
// as a person's pay. The fingerprint is of all of it.
type note struct {
	caller      Caller
	requestID   string
	content     []byte
	fingerprint []byte
	request     proto.Message
}

func newNote(caller Caller, req proto.Message) (note, error) {
	if caller.Subject == "" || caller.Method == "" {
		return note{}, errors.New("idempotency: the caller has no subject or no method")
	}
	content := proto.Clone(req)
	m := content.ProtoReflect()
	id := m.Descriptor().Fields().ByName(field)
	if id == nil || id.Kind() != protoreflect.StringKind || id.Cardinality() == protoreflect.Repeated {
		return note{}, fmt.Errorf("idempotency: %s has no string field %s", m.Descriptor().FullName(), field)
	}
	requestID := m.Get(id).String()
	if requestID == "" {
		return note{}, fault.New(fault.Invalid, ReasonRequired, "the request needs a %s", field).At(field, "must not be empty")
	}
	m.Clear(id)
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(content)
	if err != nil {
		return note{}, fmt.Errorf("idempotency: encode the request: %w", err)
	}
	sum := sha256.Sum256(append([]byte(m.Descriptor().FullName()+"\x00"), body...))
	if redact(m) {
		if body, err = (proto.MarshalOptions{Deterministic: true}).Marshal(content); err != nil {
			return note{}, fmt.Errorf("idempotency: encode the request: %w", err)
		}
	}
	return note{caller: caller, requestID: requestID, content: body, fingerprint: sum[:], request: content}, nil
}

// redact clears the fields that their contract marks debug_redact, at any depth, and tells whether there were any.
func redact(m protoreflect.Message) (found bool) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		options, _ := field.Options().(*descriptorpb.FieldOptions)
		switch {
		case options.GetDebugRedact():
			m.Clear(field)
			found = true
		case field.IsMap() && field.MapValue().Message() != nil:
			value.Map().Range(func(_ protoreflect.MapKey, entry protoreflect.Value) bool {
				found = redact(entry.Message()) || found
				return true
			})
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				found = redact(value.List().Get(i).Message()) || found
			}
		case field.Message() != nil && !field.IsMap():
			found = redact(value.Message()) || found
		}
		return true
	})
	return found
}

// errNoted ends the transaction of a request that was noted before: its answer is there to be read.
var errNoted = errors.New("the request is noted already")

// insert notes the request, or fails with errNoted. It waits for a copy under way.
func (n note) insert(ctx context.Context, tx *sqldb.Tx) error {
	const q = `INSERT INTO idempotency (caller, method, request_id, fingerprint, request, created_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
	return tx.QueueFirst(ctx, errNoted, "note the request", q, n.caller.Subject, n.caller.Method, n.requestID, n.fingerprint, n.content, sqldb.Micros(tx.Now()))
}

// answer adds the answer to the note.
func (n note) answer(ctx context.Context, tx *sqldb.Tx, resp proto.Message) error {
	if !resp.ProtoReflect().IsValid() {
		return fault.Bug("%s returned neither an answer nor an error", n.caller.Method)
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(resp)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	// The row is there, and the conflict finds it: an UPDATE would do the same, but would count as having read what other requests
	// write next to it, and Postgres would undo some of them for that.
	const q = `INSERT INTO idempotency (caller, method, request_id, fingerprint, request, response, created_at)
		VALUES ($1, $2, $3, '', '', $4, 0) ON CONFLICT (caller, method, request_id) DO UPDATE SET response = excluded.response`
	return tx.Queue(ctx, "note the answer", q, n.caller.Subject, n.caller.Method, n.requestID, body)
}

// load returns the answer noted under n's name, if its content is n's.
func load[T proto.Message](ctx context.Context, q sqldb.Querier, n note) (T, error) {
	var zero T
	const text = `SELECT fingerprint, request, response FROM idempotency WHERE caller = $1 AND method = $2 AND request_id = $3`
	var fingerprint, request, response []byte
	row := q.QueryRow(ctx, text, n.caller.Subject, n.caller.Method, n.requestID)
	if err := row.Scan(&fingerprint, &request, &response); err != nil {
		return zero, fmt.Errorf("read the stored answer: %w", err)
	}
	if string(fingerprint) != string(n.fingerprint) {
		return zero, n.reused(request)
	}
	resp, ok := zero.ProtoReflect().Type().New().Interface().(T)
	if !ok {
		return zero, fault.Bug("%T is not made by its own type", zero)
	}
	if err := proto.Unmarshal(response, resp); err != nil {
		return zero, fmt.Errorf("decode the stored answer: %w", err)
	}
	return resp, nil
}

// reused makes the refusal of other content, naming the fields that differ but not their values.
func (n note) reused(stored []byte) error {
	f := fault.New(fault.Exists, ReasonReused, "this %s was used before with other content; use a new one", field)
	earlier := n.request.ProtoReflect().New()
	if err := proto.Unmarshal(stored, earlier.Interface()); err != nil {
		return f.Because(err)
	}
	if paths := differences(earlier, n.request.ProtoReflect()); len(paths) > 0 {
		f = f.With("differs", strings.Join(paths, ","))
	}
	return f
}
