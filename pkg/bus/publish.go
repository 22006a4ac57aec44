package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pcnfunding/pcnfunding/pkg/outbox"
)

// canaryStream is the stream of Check: it keeps one message of each user.
const canaryStream = "PCNFUNDING_CANARY"

func canarySubject(user string) string { return "pcnfunding.canary." + user }

var _ outbox.Publisher = (*Bus)(nil)

// Publish implements outbox.Publisher.
func (b *Bus) Publish(ctx context.Context, msgs []outbox.Message) ([]outbox.Ack, error) {
	if !b.conn.IsConnected() {
		return nil, errors.New("there is no connection to the broker")
	}
	futures, sendErr := b.send(msgs)
	acks, ackErr := b.await(ctx, futures)
	if err := errors.Join(sendErr, ackErr); err != nil {
		return acks, errors.Join(err, b.recover(ctx, err))
	}
	if b.config.Server != nil {
		b.config.Server.storeWorks()
	}
	return acks, nil
}

// send hands the messages to the connection; it stops at the first that it does not take.
func (b *Bus) send(msgs []outbox.Message) ([]jetstream.PubAckFuture, error) {
	futures := make([]jetstream.PubAckFuture, 0, len(msgs))
	for _, m := range msgs {
		header := make(nats.Header, len(m.Header)+1)
		for k, v := range m.Header {
			header[k] = []string{v}
		}
		future, err := b.js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: header, Data: m.Payload},
			jetstream.WithMsgID(m.ID), jetstream.WithStallWait(stallWait))
		if err != nil {
			return futures, fmt.Errorf("publish message %s: %w", m.ID, err)
		}
		futures = append(futures, future)
	}
	return futures, nil
}

// await collects what the broker says to each message. Of many failures it returns the first: they mostly have one cause.
// Acknowledgements that the leader of a stream took with it never come: when none has come for stallLimit, those still awaited are
// given up.
func (b *Bus) await(ctx context.Context, futures []jetstream.PubAckFuture) (acks []outbox.Ack, err error) {
	acks = make([]outbox.Ack, 0, len(futures))
	for _, f := range futures {
		id := f.Msg().Header.Get(nats.MsgIdHdr)
		stalled := time.AfterFunc(stallLimit, b.js.CleanupPublisher)
		select {
		case ack := <-f.Ok():
			acks = append(acks, outbox.Ack{ID: id, Duplicate: ack.Duplicate})
		case failure := <-f.Err():
			if err == nil {
				err = fmt.Errorf("publish message %s: %w", id, failure)
			}
		case <-ctx.Done():
			stalled.Stop()
			return acks, fmt.Errorf("wait for the broker: %w", ctx.Err())
		}
		stalled.Stop()
	}
	return acks, err
}

// recover mends what it can after a failure: a stream that is gone is made again, and an embedded broker whose store has failed is
// started again.
func (b *Bus) recover(ctx context.Context, err error) error {
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		return b.ensureAll(ctx)
	}
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || b.config.Server == nil || isStreamFull(refusal) {
		return nil
	}
	return b.config.Server.storeFailed()
}

// isStreamFull reports whether a stream has reached its own bound, for which the broker has no code of its own. Starting it again
// would change nothing.
func isStreamFull(refusal *jetstream.APIError) bool {
	return refusal.Description == server.ErrMaxBytes.Error() || refusal.Description == server.ErrMaxMsgs.Error()
}

// Check publishes a message to a stream for that, and so finds also a broker that answers but cannot store. Then it looks whether the
// streams that were ensured are as they should be; the error is a DriftError if one is not.
func (b *Bus) Check(ctx context.Context) error {
	subject := canarySubject(cmp.Or(b.config.User.Name, "suite"))
	_, err := b.js.Publish(ctx, subject, nil)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		_, err = b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: canaryStream, Subjects: []string{canarySubject("*")}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardOld,
			Storage: jetstream.FileStorage, Replicas: max(1, b.config.Replicas),
		})
		if err == nil {
			_, err = b.js.Publish(ctx, subject, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("check the broker: %w", err)
	}
	for _, s := range b.ensured() {
		have, err := b.js.Stream(ctx, s.Name)
		if err != nil {
			return fmt.Errorf("check stream %s: %w", s.Name, err)
		}
		if err := drift(s.config(b.config), have.CachedInfo().Config); err != nil {
			return err
		}
	}
	return nil
}
