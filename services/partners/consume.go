package partners

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// self is who acts where no caller does.
const self = "partners"

// Run takes events in, sends them to webhooks, and keeps consumers and revocations at the broker as they were decided, until ctx ends. Any
// number of processes may run it.
func (s *Service) Run(ctx context.Context, broker *bus.Bus) error {
	defer s.sender.Close()
	group, ctx := errgroup.WithContext(ctx)
	for _, service := range services() {
		config := bus.ConsumerConfig{Stream: streamOf(service), Durable: Name, Logger: s.logger, Meter: s.meter}
		group.Go(func() error { return broker.Consume(ctx, config, s.inbox.Take) })
	}
	group.Go(func() error { return s.lead(ctx, webhookTopic, s.sendAll) })
	group.Go(func() error { return s.lead(ctx, brokerTopic, s.keepBroker) })
	return group.Wait()
}

// take keeps an event for the webhooks that want it and may have it.
func (s *Service) take(ctx context.Context, tx *sqldb.Tx, e inbox.Event) error {
	commissioner := e.CommissionerCode
	if commissioner == outbox.England {
		commissioner = ""
	}
	listeners, err := store.Listeners(ctx, tx, commissioner)
	if err != nil {
		return err
	}
	var webhooks []string
	for _, l := range listeners {
		if l.Wanted.Covers(e.Type) && l.Granted.Covers(e.Type) {
			webhooks = append(webhooks, l.WebhookID)
		}
	}
	if len(webhooks) == 0 {
		return nil
	}
	payload, err := proto.Marshal(e.Message)
	if err != nil {
		return fmt.Errorf("keep event %s: %w", e.ID, err)
	}
	tx.Raise(webhookTopic)
	return store.KeepEvent(ctx, tx, &store.EventRow{
		Source: e.Source, ID: e.ID, Type: e.Type, Aggregate: e.Aggregate, Sequence: e.Sequence, CommissionerCode: e.CommissionerCode,
		OccurredAt: sqldb.Micros(e.OccurredAt), Payload: payload,
	}, webhooks)
}

// quarantined notes in the audit log that an event could not be read.
func (s *Service) quarantined(ctx context.Context, tx *sqldb.Tx, h inbox.Held) error {
	return audit.Add(ctx, tx, audit.Entry{
		Actor: self, Method: h.Event.Type, Resource: "partners/held-events/" + h.ID, CommissionerCode: h.Event.CommissionerCode,
		Summary: fmt.Sprintf("put event %s of %s in quarantine: %s", h.Event.ID, h.Event.Aggregate, h.Reason),
	})
}
