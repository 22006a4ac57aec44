// Package change runs what alters the state of a service: once for each request_id, in one transaction with its audit entries
// and its events.
package change

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/idempotency"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Tx is the transaction of one change by one caller.
type Tx struct {
	*sqldb.Tx
	// By is who makes the change.
	By     auth.Principal
	method string
}

// Do runs fn once for the request's request_id and stores its answer with it. The same request again gets the stored answer,
// marked as a replay in the response headers; other content under the same id is refused.
func Do[T proto.Message](ctx context.Context, db *sqldb.DB, req proto.Message, fn func(ctx context.Context, tx *Tx) (T, error)) (T, error) {
	by, caller, err := Caller(ctx)
	if err != nil {
		var none T
		return none, err
	}
	answer, replayed, err := idempotency.Do(ctx, db, caller, req, func(ctx context.Context, tx *sqldb.Tx) (T, error) {
		return fn(ctx, &Tx{Tx: tx, By: by, method: caller.Method})
	})
	if replayed {
		rpc.MarkReplay(ctx)
	}
	return answer, err
}

// System returns a transaction in which the suite itself acts, such as a service that takes in an event. The subject and the cause
// stand in the audit log for the caller and the call.
func System(tx *sqldb.Tx, subject, cause string) *Tx {
	return &Tx{Tx: tx, By: auth.Principal{Subject: subject}, method: cause}
}

// Stored returns the answer a request_id got before, marked as a replay. It serves calls whose preparation costs much.
func Stored[T proto.Message](ctx context.Context, db *sqldb.DB, req proto.Message) (answer T, found bool, err error) {
	_, caller, err := Caller(ctx)
	if err != nil {
		return answer, false, err
	}
	answer, found, err = idempotency.Stored[T](ctx, db, caller, req)
	if found {
		rpc.MarkReplay(ctx)
	}
	return answer, found, err
}

// Caller returns who calls which method.
func Caller(ctx context.Context) (auth.Principal, idempotency.Caller, error) {
	by, known := auth.From(ctx)
	method, inCall := grpc.Method(ctx)
	if !known || !inCall {
		return by, idempotency.Caller{}, fmt.Errorf("a change needs a caller: principal %t, method %t", known, inCall)
	}
	return by, idempotency.Caller{Subject: by.Subject, Method: method}, nil
}

// Record notes the change in the audit log. The resource names what was changed, the commissioner whom it concerns; an empty
// one means all of England.
func (tx *Tx) Record(ctx context.Context, resource, commissioner, summary string) error {
	return audit.Add(ctx, tx.Tx, audit.Entry{
		Actor: tx.By.Subject, Roles: tx.By.RoleNames(), Method: tx.method, Resource: resource, CommissionerCode: commissioner, Summary: summary,
	})
}

// Announce adds an event to the outbox, addressed to a commissioner; an empty one means all of England.
func (tx *Tx) Announce(ctx context.Context, aggregate, commissioner string, event proto.Message) (string, error) {
	return outbox.Add(ctx, tx.Tx, outbox.Event{Aggregate: aggregate, CommissionerCode: commissioner, Message: event})
}
