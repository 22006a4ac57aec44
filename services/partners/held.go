package partners

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
)

// ListHeldEvents returns a page of events that could not be read, or wait.
func (s *Service) ListHeldEvents(ctx context.Context, req *partnersv1.ListHeldEventsRequest) (*partnersv1.ListHeldEventsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []inbox.Held
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = inbox.List(ctx, q, inbox.Filter{Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(partnersv1.ListHeldEventsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(h inbox.Held) string { return h.ID })
	for i := range rows {
		h := &rows[i]
		out.Events = append(out.Events, &partnersv1.HeldEvent{
			EventId: h.ID, Source: h.Event.Source, Type: h.Event.Type, Aggregate: h.Event.Aggregate, Sequence: h.Event.Sequence,
			CommissionerCode: h.Event.CommissionerCode, Quarantined: h.Reason != "", Reason: h.Reason, Detail: h.Error,
			Attempts: int32(h.Attempts), HeldSince: timestamppb.New(h.HeldAt), //nolint:gosec // a few
		})
	}
	return out, nil
}

// ReleaseHeldEvent takes up a held event once more.
func (s *Service) ReleaseHeldEvent(ctx context.Context, req *partnersv1.ReleaseHeldEventRequest) (*partnersv1.HeldEventDecision, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.HeldEventDecision, error) {
		outcome, err := s.inbox.Release(ctx, tx.Tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		return decided(ctx, tx, &outcome, "released", req.GetReason(), outcome.Event.ID)
	})
}

// DiscardHeldEvent drops a held event.
func (s *Service) DiscardHeldEvent(ctx context.Context, req *partnersv1.DiscardHeldEventRequest) (*partnersv1.HeldEventDecision, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.HeldEventDecision, error) {
		outcome, err := s.inbox.Discard(ctx, tx.Tx, req.GetEventId())
		if err != nil {
			return nil, err
		}
		return decided(ctx, tx, &outcome, "discarded", req.GetReason())
	})
}

// decided notes what a person did with a held event.
func decided(ctx context.Context, tx *change.Tx, outcome *inbox.Outcome, verb, reason string, handled ...string) (*partnersv1.HeldEventDecision, error) {
	out := &partnersv1.HeldEventDecision{EventId: outcome.Event.ID, HandledEventIds: handled}
	for i := range outcome.Drained {
		out.HandledEventIds = append(out.HandledEventIds, outcome.Drained[i].ID)
	}
	e := outcome.Event.Event
	summary := fmt.Sprintf("%s event %s of %s, and took up %d behind it: %s", verb, e.ID, e.Aggregate, len(outcome.Drained), reason)
	return out, tx.Record(ctx, "partners/held-events/"+outcome.Event.ID, e.CommissionerCode, summary)
}

// ListAuditEntries returns decisions recorded by partners, newest first.
func (s *Service) ListAuditEntries(ctx context.Context, req *partnersv1.ListAuditEntriesRequest) (*partnersv1.ListAuditEntriesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	by, asked := caller(ctx), req.GetCommissionerCode()
	scope := by.CommissionerScope()
	if asked != "" {
		if !by.HoldsCommissioner(asked) {
			return nil, notFound(auth.ReasonNotFound, "commissioner", asked)
		}
		scope = []string{asked}
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []audit.Row
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = audit.List(ctx, q, audit.Filter{CommissionerCodes: scope, Before: before, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(partnersv1.ListAuditEntriesResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r audit.Row) string { return r.ID })
	for _, row := range rows {
		out.Entries = append(out.Entries, row.Proto())
	}
	return out, nil
}
