package partners

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

const (
	// brokerTopic is where changes meant for the broker are signalled, and the name under which one process brings them there.
	brokerTopic = "partners broker"
	// brokerPoll is how often they are looked for unasked: a credential may end at any moment.
	brokerPoll = time.Second
	// brokerMend is how often all consumers and revocations are compared with what the broker has, which may have lost one with its
	// stream or its accounts; brokerAgain is when it is tried again after it failed.
	brokerMend  = 5 * time.Minute
	brokerAgain = 10 * time.Second
	// brokerLimit bounds one step at the broker.
	brokerLimit = 10 * time.Second

	// ackWait is how long a partner may take for an event before it comes again.
	ackWait = 75 * time.Second
	// maxAckPending is how many events may be under way to a partner.
	maxAckPending = 1000
	// leadPause is the pause after the lead was lost.
	leadPause = time.Second
)

// lead runs fn while this process alone does, and again after it failed, until ctx ends.
func (s *Service) lead(ctx context.Context, topic string, fn func(context.Context) error) error {
	for ctx.Err() == nil {
		if err := s.db.Lead(ctx, topic, fn); err != nil && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "begins again", "part", topic, "error", err)
			pause(ctx, leadPause)
		}
	}
	return nil
}

// keepBroker brings decisions to the broker while this process leads: revocations and consumers, neither of which waits for the other.
func (s *Service) keepBroker(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, apply := range []func(context.Context, bool) error{s.cutOff, s.applyFeeds} {
		group.Go(func() error { return s.keepApplying(ctx, apply) })
	}
	return group.Wait()
}

// keepApplying brings what was decided to the broker, and from time to time all of it. What fails is logged once, and tried again.
func (s *Service) keepApplying(ctx context.Context, apply func(ctx context.Context, all bool) error) error {
	poll := time.NewTicker(brokerPoll)
	defer poll.Stop()
	failing, mend := false, s.clock()
	for ctx.Err() == nil {
		began := s.clock()
		all := !began.Before(mend)
		err := apply(ctx, all)
		if err != nil && !failing && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "decisions about partners wait for the broker", "error", err)
		}
		failing = err != nil
		switch {
		case all && failing:
			mend = began.Add(brokerAgain)
		case all:
			mend = began.Add(brokerMend)
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-s.db.Signal(brokerTopic):
		}
	}
	return context.Cause(ctx)
}

// cutOff tells the broker of credentials that were revoked: of those that it has not been told of, or of all that would work otherwise. One
// that fails does not keep the others from it.
func (s *Service) cutOff(ctx context.Context, all bool) error {
	if s.authority == nil {
		return nil
	}
	var rows []store.CredentialRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.ToCutOff(ctx, q, sqldb.Micros(s.db.Now()), all)
		return err
	})
	for i := range rows {
		r := &rows[i]
		err = errors.Join(err, s.step(ctx, func(ctx context.Context) error {
			if err := s.authority.Revoke(ctx, r.PublicKey, sqldb.FromMicros(r.ExpiresAt)); err != nil {
				return fmt.Errorf("revoke credential %s: %w", r.ID, err)
			}
			return store.SetCutOff(ctx, s.db, r.ID, sqldb.Micros(s.db.Now()))
		}))
	}
	return err
}

// applyFeeds makes, changes and deletes consumers: those that changed, or all. One that fails does not keep the others from it.
func (s *Service) applyFeeds(ctx context.Context, all bool) error {
	if s.js == nil {
		return nil
	}
	var rows []store.FeedRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.FeedsToApply(ctx, q, all)
		return err
	})
	for i := range rows {
		r := &rows[i]
		err = errors.Join(err, s.step(ctx, func(ctx context.Context) error {
			if err := s.applyFeed(ctx, r); err != nil {
				return fmt.Errorf("consumer %s of %s: %w", durableOf(r.PartnerID, r.CommissionerCode), r.Stream, err)
			}
			return store.SetApplied(ctx, s.db, r)
		}))
	}
	return err
}

func (s *Service) step(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, brokerLimit)
	defer cancel()
	return fn(ctx)
}

// applyFeed brings one consumer to what it is to be. The start of a consumer is fixed when it is made, so one that is to start elsewhere is
// made anew.
func (s *Service) applyFeed(ctx context.Context, r *store.FeedRow) error {
	wanted := feedConfig(r)
	has, err := s.js.Consumer(ctx, r.Stream, wanted.Durable)
	missing := errors.Is(err, jetstream.ErrConsumerNotFound)
	gone := missing || errors.Is(err, jetstream.ErrStreamNotFound)
	switch {
	case gone && len(r.Subjects) == 0:
		return nil
	case err != nil && !missing:
		return err
	}
	if !missing {
		config := has.CachedInfo().Config
		starts := config.OptStartTime != nil && config.OptStartTime.Equal(*wanted.OptStartTime)
		if starts && slices.Equal(config.FilterSubjects, wanted.FilterSubjects) {
			return nil
		}
		if !starts || len(r.Subjects) == 0 {
			if err := s.js.DeleteConsumer(ctx, r.Stream, wanted.Durable); err != nil {
				return err
			}
		}
	}
	if len(r.Subjects) == 0 {
		return nil
	}
	_, err = s.js.CreateOrUpdateConsumer(ctx, r.Stream, wanted)
	return err
}

// feedConfig is the broker's form of a consumer. It never gives an event up, since nobody would have kept it.
func feedConfig(r *store.FeedRow) jetstream.ConsumerConfig {
	start := sqldb.FromMicros(r.StartAt)
	return jetstream.ConsumerConfig{
		Durable: durableOf(r.PartnerID, r.CommissionerCode), Description: "partner " + r.PartnerID, FilterSubjects: r.Subjects,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &start, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: ackWait, MaxAckPending: maxAckPending, MaxDeliver: -1,
	}
}
