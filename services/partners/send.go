package partners

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/send"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

const (
	// webhookTopic is where deliveries are signalled, and the name under which one process makes them.
	webhookTopic = "partners webhooks"
	// sendPoll is how often deliveries are looked for whose time has come.
	sendPoll = time.Second
	// sendMost is how many requests are under way at once, sendEach to one webhook. One that fails gets one at a time, so that many receivers
	// that hang leave room for the others.
	sendMost = 256
	sendEach = 4
	// measureLimit bounds what a reader of figures waits for the database.
	measureLimit = time.Second
	// noteLimit bounds what is written after an attempt; it is not cut short when the process ends.
	noteLimit = 10 * time.Second
	// heldBack is how long a delivery waits that could not be made or noted for a cause of our own, lest the receiver be flooded.
	heldBack = 10 * time.Second

	// payloadKeep is how long the payload of an event is kept for redelivery.
	payloadKeep = 30 * 24 * time.Hour
	// logKeep is how long the delivery log is kept.
	logKeep = 396 * 24 * time.Hour

	contentType = "application/cloudevents+json; charset=utf-8"
)

// instrument makes the figures. A figure that cannot be made is logged and does not stop the service.
func (s *Service) instrument() {
	var errs [2]error
	s.attempts, errs[0] = s.meter.Int64Counter("partners_webhook_attempts_total", metric.WithDescription("Requests made to webhooks, by how they ended."))
	if s.attempts == nil {
		s.attempts = noop.Int64Counter{}
	}
	_, errs[1] = s.meter.Float64ObservableGauge("partners_webhook_oldest_waiting_seconds",
		metric.WithDescription("How long the oldest event waits that was to be sent to an active webhook."),
		metric.WithFloat64Callback(func(ctx context.Context, o metric.Float64Observer) error {
			ctx, cancel := context.WithTimeout(ctx, measureLimit)
			defer cancel()
			var created int64
			err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
				created, err = store.Oldest(ctx, q)
				return err
			})
			switch {
			case err != nil: // an error given to the reader would take the figures of all others with it
				s.logger.WarnContext(ctx, "a figure of the webhooks is left out", "error", err)
			case created > 0:
				o.Observe(max(0, s.db.Now().Sub(sqldb.FromMicros(created))).Seconds())
			default:
				o.Observe(0)
			}
			return nil
		}))
	if err := errors.Join(errs[:]...); err != nil {
		s.logger.Error("partners has no metrics", "error", err)
	}
}

// round is the requests under way of the process that sends.
type round struct {
	service *Service
	done    chan struct{} // holds a token after a request has ended

	mu       sync.Mutex
	underWay map[string]string // webhooks by delivery
	wg       sync.WaitGroup
}

// sendAll makes deliveries while this process leads, and ends with those under way.
func (s *Service) sendAll(ctx context.Context) error {
	r := s.newRound()
	defer r.wg.Wait()
	poll := time.NewTicker(sendPoll)
	defer poll.Stop()
	failing := false
	for ctx.Err() == nil {
		err := r.begin(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			s.logger.WarnContext(ctx, "webhooks wait", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-r.done:
		case <-s.db.Signal(webhookTopic):
		}
	}
	return context.Cause(ctx)
}

func (s *Service) newRound() *round {
	return &round{service: s, done: make(chan struct{}, 1), underWay: make(map[string]string)}
}

// begin begins the requests that are due and for which there is room.
func (r *round) begin(ctx context.Context) error {
	s := r.service
	// Taken before the database is read: whatever ends meanwhile is still due by what is read, and is not to be sent once more.
	r.mu.Lock()
	busy := maps.Clone(r.underWay)
	r.mu.Unlock()
	return s.db.Read(ctx, func(q sqldb.Querier) error {
		now := sqldb.Micros(s.db.Now())
		webhooks, err := store.DueWebhooks(ctx, q, now)
		if err != nil {
			return err
		}
		// Those that work go first: what is left of the room is for those that fail.
		slices.SortStableFunc(webhooks, func(a, b store.WebhookRow) int { return cmp.Compare(min(a.FailingSince, 1), min(b.FailingSince, 1)) })
		for i := range webhooks {
			if err := r.beginFor(ctx, q, &webhooks[i], busy, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// beginFor begins the requests to one webhook, and adds them to those that keep room busy.
func (r *round) beginFor(ctx context.Context, q sqldb.Querier, w *store.WebhookRow, busy map[string]string, now int64) error {
	room := sendEach
	if w.FailingSince != 0 {
		room = 1
	}
	for _, webhook := range busy {
		if webhook == w.ID {
			room--
		}
	}
	if room = min(room, sendMost-len(busy)); room <= 0 {
		return nil
	}
	due, err := store.Due(ctx, q, w.ID, now, room+sendEach)
	if err != nil {
		return err
	}
	for i := range due {
		d := &due[i]
		if _, is := busy[d.ID]; is || room == 0 {
			continue
		}
		event, err := store.Event(ctx, q, d.Source, d.EventID)
		if isMissing(err) {
			continue // upkeep gives it up
		}
		if err != nil {
			return err
		}
		room--
		busy[d.ID] = w.ID
		r.start(ctx, w, d, &event)
	}
	return nil
}

// start makes one attempt beside the others.
func (r *round) start(ctx context.Context, w *store.WebhookRow, d *store.DeliveryRow, e *store.EventRow) {
	r.mu.Lock()
	r.underWay[d.ID] = w.ID
	r.mu.Unlock()
	r.wg.Go(func() {
		if err := r.service.attempt(ctx, w, d, e); err != nil && ctx.Err() == nil {
			r.service.logger.ErrorContext(ctx, "a delivery is held back", "webhook", w.ID, "event", d.EventID, "error", err)
			pause(ctx, heldBack)
		}
		r.mu.Lock()
		delete(r.underWay, d.ID)
		r.mu.Unlock()
		select {
		case r.done <- struct{}{}:
		default:
		}
	})
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// attempt makes one request and notes how it ended. One whose end is not known, for the process ends, is not noted: it is made again, and the
// receiver knows the event by its id. The error says why nothing could be sent or noted.
func (s *Service) attempt(ctx context.Context, w *store.WebhookRow, d *store.DeliveryRow, e *store.EventRow) error {
	message, err := s.message(w, e)
	if err != nil {
		return err
	}
	began := s.clock()
	result, err := s.sender.Post(ctx, w.URL, message)
	if err != nil {
		return err
	}
	s.attempts.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", result.Outcome.String())))
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer cancel()
	if err := s.note(noting, w.ID, d, result, message.At, s.clock().Sub(began)); err != nil {
		return fmt.Errorf("note an attempt, which will be made again: %w", err)
	}
	return nil
}

// note writes how an attempt ended, and what follows for the delivery and its webhook.
func (s *Service) note(ctx context.Context, webhook string, d *store.DeliveryRow, result send.Result, at time.Time, took time.Duration) error {
	disable := partnersv1.DisabledCause_DISABLED_CAUSE_UNSPECIFIED
	err := s.db.Write(ctx, func(tx *sqldb.Tx) error {
		disable = partnersv1.DisabledCause_DISABLED_CAUSE_UNSPECIFIED
		after, now := *d, sqldb.Micros(tx.Now())
		after.Attempts++
		settle(&after, result, now)
		a := &store.AttemptRow{
			DeliveryID: d.ID, Number: after.Attempts, At: sqldb.Micros(at), Outcome: result.Outcome, DurationMicros: took.Microseconds(),
		}
		if after.SettledAt == 0 {
			a.NextAt = after.NextAt
		}
		noted, err := store.NoteAttempt(ctx, tx, a, &after)
		if err != nil || !noted {
			return err
		}
		since := int64(0)
		if result.Outcome != partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED {
			since = now
		}
		since, err = store.SetFailing(ctx, tx, webhook, since)
		switch {
		case err != nil:
			return err
		case result.Gone:
			disable = partnersv1.DisabledCause_DISABLED_AS_GONE
		case since > 0 && time.Duration(now-since)*time.Microsecond >= rules.DisableAfter:
			disable = partnersv1.DisabledCause_DISABLED_AFTER_FAILURES
		}
		return nil
	})
	if err == nil && disable != partnersv1.DisabledCause_DISABLED_CAUSE_UNSPECIFIED {
		err = s.disable(ctx, webhook, disable)
	}
	return err
}

// settle decides what becomes of a delivery after an attempt.
func settle(d *store.DeliveryRow, result send.Result, now int64) {
	if result.Outcome == partnersv1.AttemptOutcome_ATTEMPT_ACCEPTED {
		d.State, d.SettledAt = partnersv1.DeliveryState_DELIVERY_DELIVERED, now
		return
	}
	d.Failures++
	wait, again := rules.Pause(int(d.Failures))
	if !again {
		d.State, d.SettledAt = partnersv1.DeliveryState_DELIVERY_GIVEN_UP, now
		return
	}
	// A tenth either way spreads what failed together.
	spread := wait / 10
	d.NextAt = now + (wait - spread + rand.N(2*spread)).Microseconds() //nolint:gosec // spreads retries, guards nothing
}

// disable disables a webhook by policy, unless somebody changed it meanwhile.
func (s *Service) disable(ctx context.Context, id string, cause partnersv1.DisabledCause) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		row, err := store.Webhook(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := tx.Lock(ctx, partnerLock(row.PartnerID)); err != nil {
			return err
		}
		if row, err = store.Webhook(ctx, tx, id); err != nil || row.State != partnersv1.WebhookState_WEBHOOK_ACTIVE {
			return err
		}
		why := "disabled the webhook, since its receiver answers that it is gone,"
		if cause == partnersv1.DisabledCause_DISABLED_AFTER_FAILURES {
			why = "disabled the webhook, which has accepted nothing since " + sqldb.FromMicros(row.FailingSince).Format(time.RFC3339) + ","
		}
		return disableWebhook(ctx, change.System(tx, self, "policy"), &row, cause, why)
	})
}

// cloudEvent is the body of a request: a CloudEvent 1.0 in JSON.
type cloudEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject"`
	Time            string          `json:"time"`
	Sequence        int64           `json:"sequence,string"`
	Commissioner    string          `json:"commissioner"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// message makes what is posted of an event.
func (s *Service) message(w *store.WebhookRow, e *store.EventRow) (*send.Message, error) {
	event, known := newEvent(e.Type)
	if !known {
		return nil, fmt.Errorf("events of type %s are not known here", e.Type)
	}
	if err := proto.Unmarshal(e.Payload, event); err != nil {
		return nil, fmt.Errorf("read event %s: %w", e.ID, err)
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	body, err := json.Marshal(cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Aggregate, Time: sqldb.FromMicros(e.OccurredAt).Format(time.RFC3339Nano),
		Sequence: e.Sequence, Commissioner: e.CommissionerCode, DataContentType: "application/json", Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	secrets, err := s.secrets(w)
	return &send.Message{ID: e.ID, At: s.db.Now(), ContentType: contentType, Body: body, Secrets: secrets}, err
}

// secrets opens those that sign the requests of a webhook now.
func (s *Service) secrets(w *store.WebhookRow) ([]string, error) {
	if err := s.hasKeys(); err != nil {
		return nil, err
	}
	sealed := []string{w.Secret}
	if w.PreviousUntil > sqldb.Micros(s.db.Now()) {
		sealed = append(sealed, w.PreviousSecret)
	}
	out := make([]string, len(sealed))
	for i, text := range sealed {
		secret, err := s.keys.Open(text, w.ID)
		if err != nil {
			return nil, err
		}
		out[i] = string(secret)
	}
	return out, nil
}

// Upkeep forgets payloads and log entries that are past their time, gives up what waits for such payloads, and seals secrets anew that an
// earlier key has sealed.
func (s *Service) Upkeep(ctx context.Context) error {
	now := s.db.Now()
	err := store.Forget(ctx, s.db, sqldb.Micros(now.Add(-payloadKeep)), sqldb.Micros(now.Add(-logKeep)))
	_, gaveUp := store.GiveUpUnkept(ctx, s.db, sqldb.Micros(now))
	return errors.Join(err, gaveUp, s.reseal(ctx))
}

// reseal seals secrets anew that were sealed under a key which is to go.
func (s *Service) reseal(ctx context.Context) error {
	if s.keys == nil {
		return nil
	}
	var rows []store.WebhookRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Webhooks(ctx, q, store.OwnedFilter{})
		return err
	})
	for i := range rows {
		if s.keys.Stale(rows[i].Secret) || rows[i].PreviousSecret != "" && s.keys.Stale(rows[i].PreviousSecret) {
			err = errors.Join(err, s.resealOne(ctx, &rows[i]))
		}
	}
	return err
}

// Unopened counts the webhooks whose secret none of the keys opens: nothing is sent to them until the key is back.
func Unopened(ctx context.Context, db *sqldb.DB, keys *Keys) (n int, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Webhooks(ctx, q, store.OwnedFilter{})
		for i := range rows {
			if keys == nil {
				n++
			} else if _, err := keys.Open(rows[i].Secret, rows[i].ID); err != nil {
				n++
			}
		}
		return err
	})
	return n, err
}

func (s *Service) resealOne(ctx context.Context, old *store.WebhookRow) error {
	return s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Lock(ctx, partnerLock(old.PartnerID)); err != nil {
			return err
		}
		row, err := store.Webhook(ctx, tx, old.ID)
		if err != nil {
			return err
		}
		for _, sealed := range []*string{&row.Secret, &row.PreviousSecret} {
			if *sealed == "" || !s.keys.Stale(*sealed) {
				continue
			}
			secret, err := s.keys.Open(*sealed, row.ID)
			if err != nil {
				return err
			}
			*sealed = s.keys.Seal(secret, row.ID)
		}
		return store.UpdateWebhook(ctx, tx, &row)
	})
}
