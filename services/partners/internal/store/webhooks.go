package store

import (
	"context"
	"database/sql"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

// WebhookRow is a webhook. Its secrets are sealed.
type WebhookRow struct {
	ID, PartnerID, CommissionerCode, URL string
	Scope                                rules.Scope
	State                                partnersv1.WebhookState
	DisabledCause                        partnersv1.DisabledCause
	FailingSince                         int64
	Secret, PreviousSecret               string
	PreviousUntil                        int64
	AddedBy                              string
	AddedAt                              int64
}

const webhookColumns = `webhook_id, partner_id, commissioner_code, url, event_types, state, disabled_cause, failing_since, secret, previous_secret, previous_until, added_by, added_at`

func scanWebhook(rows *sql.Rows) (r WebhookRow, err error) {
	var types string
	err = rows.Scan(&r.ID, &r.PartnerID, &r.CommissionerCode, &r.URL, &types, &r.State, &r.DisabledCause, &r.FailingSince, &r.Secret, &r.PreviousSecret, &r.PreviousUntil,
		&r.AddedBy, &r.AddedAt)
	r.Scope = scope(types)
	return r, err
}

// InsertWebhook adds a webhook.
func InsertWebhook(ctx context.Context, tx *sqldb.Tx, r *WebhookRow) error {
	return tx.Queue(ctx, "insert webhook", `INSERT INTO webhooks (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		r.ID, r.PartnerID, r.CommissionerCode, r.URL, lines(r.Scope), int64(r.State), int64(r.DisabledCause), r.FailingSince, r.Secret, r.PreviousSecret, r.PreviousUntil, r.AddedBy, r.AddedAt)
}

// UpdateWebhook writes what changes of a webhook, but for how it fares: that is written beside the lock of its partner (SetFailing).
func UpdateWebhook(ctx context.Context, tx *sqldb.Tx, r *WebhookRow) error {
	return tx.Queue(ctx, "change webhook", `UPDATE webhooks SET state = $2, disabled_cause = $3, secret = $4, previous_secret = $5, previous_until = $6
		WHERE webhook_id = $1`, r.ID, int64(r.State), int64(r.DisabledCause), r.Secret, r.PreviousSecret, r.PreviousUntil)
}

// Webhook returns a webhook, or sql.ErrNoRows.
func Webhook(ctx context.Context, q sqldb.Querier, id string) (WebhookRow, error) {
	row, err := sqldb.First(sqldb.Collect(ctx, q, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks WHERE webhook_id = $1`, id))
	return row, in(err, "read webhook "+id)
}

// Webhooks returns webhooks that were not removed, the newest first.
func Webhooks(ctx context.Context, q sqldb.Querier, by OwnedFilter) ([]WebhookRow, error) {
	var f sqldb.Filter
	f.Where("state < 3")
	text := `SELECT ` + webhookColumns + ` FROM webhooks` + by.clause(&f, "webhook_id")
	rows, err := sqldb.Collect(ctx, q, scanWebhook, text, f.Args()...)
	return rows, in(err, "list webhooks")
}

// Listener is a webhook that may want an event, with what is granted to its partner.
type Listener struct {
	WebhookID       string
	Wanted, Granted rules.Scope
}

// Listeners returns the webhooks that listen to a commissioner, or all for an event that concerns all.
func Listeners(ctx context.Context, q sqldb.Querier, commissioner string) ([]Listener, error) {
	var f sqldb.Filter
	f.Where("w.state < 3")
	f.Equal("w.commissioner_code", commissioner)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (l Listener, err error) {
		var wanted, granted string
		err = rows.Scan(&l.WebhookID, &wanted, &granted)
		l.Wanted, l.Granted = scope(wanted), scope(granted)
		return l, err
	}, `SELECT w.webhook_id, w.event_types, g.event_types FROM webhooks w
		JOIN grants g ON g.partner_id = w.partner_id AND g.commissioner_code = w.commissioner_code AND g.state = 2`+f.String()+` ORDER BY w.webhook_id`, f.Args()...)
	return rows, in(err, "look for webhooks")
}

// EventRow is an event that a webhook wants.
type EventRow struct {
	Source, ID, Type, Aggregate string
	Sequence                    int64
	CommissionerCode            string
	OccurredAt                  int64
	Payload                     []byte
}

// KeepEvent stores an event, unless it is there, and a delivery of it to each webhook that has none.
func KeepEvent(ctx context.Context, tx *sqldb.Tx, e *EventRow, webhooks []string) error {
	now := sqldb.Micros(tx.Now())
	err := tx.Queue(ctx, "keep event", `INSERT INTO events (source, event_id, type, aggregate, sequence, commissioner_code, occurred_at, payload, received_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
		e.Source, e.ID, e.Type, e.Aggregate, e.Sequence, e.CommissionerCode, e.OccurredAt, e.Payload, now)
	for _, webhook := range webhooks {
		if err == nil {
			err = tx.Queue(ctx, "queue delivery", `INSERT INTO deliveries
				(delivery_id, webhook_id, source, event_id, type, aggregate, sequence, state, attempts, failures, next_at, created_at, settled_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 1, 0, 0, $8, $8, 0) ON CONFLICT (webhook_id, source, event_id) DO NOTHING`,
				tx.NewID(), webhook, e.Source, e.ID, e.Type, e.Aggregate, e.Sequence, now)
		}
	}
	return err
}

// Event returns an event that is kept, or sql.ErrNoRows.
func Event(ctx context.Context, q sqldb.Querier, source, id string) (e EventRow, err error) {
	err = q.QueryRow(ctx, `SELECT source, event_id, type, aggregate, sequence, commissioner_code, occurred_at, payload FROM events WHERE source = $1 AND event_id = $2`, source, id).
		Scan(&e.Source, &e.ID, &e.Type, &e.Aggregate, &e.Sequence, &e.CommissionerCode, &e.OccurredAt, &e.Payload)
	return e, in(err, "read event "+id)
}

// DeliveryRow is an event on its way to a webhook.
type DeliveryRow struct {
	ID, WebhookID, Source, EventID, Type, Aggregate  string
	Sequence                                         int64
	State                                            partnersv1.DeliveryState
	Attempts, Failures, NextAt, CreatedAt, SettledAt int64
}

const deliveryColumns = `delivery_id, webhook_id, source, event_id, type, aggregate, sequence, state, attempts, failures, next_at, created_at, settled_at`

func scanDelivery(rows *sql.Rows) (r DeliveryRow, err error) {
	err = rows.Scan(&r.ID, &r.WebhookID, &r.Source, &r.EventID, &r.Type, &r.Aggregate, &r.Sequence, &r.State, &r.Attempts, &r.Failures, &r.NextAt, &r.CreatedAt, &r.SettledAt)
	return r, err
}

// DueWebhooks returns the active webhooks that have a delivery due.
func DueWebhooks(ctx context.Context, q sqldb.Querier, now int64) ([]WebhookRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanWebhook, `SELECT `+webhookColumns+` FROM webhooks
		WHERE state = 1 AND webhook_id IN (SELECT webhook_id FROM deliveries WHERE state = 1 AND next_at <= $1) ORDER BY webhook_id`, now)
	return rows, in(err, "look for webhooks with something due")
}

// Due returns deliveries to a webhook that are due and follow no other of the same thing that waits.
func Due(ctx context.Context, q sqldb.Querier, webhook string, now int64, limit int) ([]DeliveryRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries d
		WHERE webhook_id = $1 AND state = 1 AND next_at <= $2 AND NOT EXISTS (SELECT 1 FROM deliveries e
			WHERE e.webhook_id = d.webhook_id AND e.state = 1 AND e.source = d.source AND e.aggregate = d.aggregate AND e.sequence < d.sequence)
		ORDER BY next_at, delivery_id LIMIT $3`, webhook, now, limit)
	return rows, in(err, "look for deliveries due")
}

// AttemptRow is one request.
type AttemptRow struct {
	DeliveryID             string
	Number, At             int64
	Outcome                partnersv1.AttemptOutcome
	DurationMicros, NextAt int64
}

// NoteAttempt writes an attempt and what became of the delivery. It returns false where the delivery does not wait any more.
func NoteAttempt(ctx context.Context, tx *sqldb.Tx, a *AttemptRow, d *DeliveryRow) (bool, error) {
	waits, err := sqldb.One(tx.Exec(ctx, `UPDATE deliveries SET state = $2, attempts = $3, failures = $4, next_at = $5, settled_at = $6
		WHERE delivery_id = $1 AND state = 1 AND attempts = $3 - 1`, d.ID, int64(d.State), d.Attempts, d.Failures, d.NextAt, d.SettledAt))
	if err != nil || !waits {
		return false, in(err, "note a delivery")
	}
	return true, tx.Queue(ctx, "note an attempt", `INSERT INTO attempts (delivery_id, number, at, outcome, duration_micros, next_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.DeliveryID, a.Number, a.At, int64(a.Outcome), a.DurationMicros, a.NextAt)
}

// SetFailing notes since when a webhook fails, or with 0 that it works. It returns since when it fails now.
func SetFailing(ctx context.Context, tx *sqldb.Tx, webhook string, since int64) (failingSince int64, err error) {
	err = tx.QueryRow(ctx, `UPDATE webhooks SET failing_since = CASE WHEN CAST($2 AS BIGINT) = 0 OR failing_since = 0 THEN CAST($2 AS BIGINT) ELSE failing_since END
		WHERE webhook_id = $1 RETURNING failing_since`, webhook, since).Scan(&failingSince)
	return failingSince, in(err, "note how a webhook fares")
}

// GiveUpUnkept gives up deliveries whose event is no longer kept, and returns how many.
func GiveUpUnkept(ctx context.Context, db *sqldb.DB, now int64) (int64, error) {
	result, err := db.Exec(ctx, `UPDATE deliveries SET state = 3, settled_at = $1 WHERE state = 1 AND NOT EXISTS
		(SELECT 1 FROM events e WHERE e.source = deliveries.source AND e.event_id = deliveries.event_id)`, now)
	if err != nil {
		return 0, in(err, "give up deliveries")
	}
	return result.RowsAffected()
}

// CancelDeliveries ends what waits for a webhook.
func CancelDeliveries(ctx context.Context, tx *sqldb.Tx, webhook string, now int64) error {
	return tx.Queue(ctx, "cancel deliveries", `UPDATE deliveries SET state = 4, settled_at = $2 WHERE webhook_id = $1 AND state = 1`, webhook, now)
}

// CancelTypes ends what waits for the webhooks of a partner under a commissioner and is of one of some types.
func CancelTypes(ctx context.Context, tx *sqldb.Tx, partner, commissioner string, types []string) error {
	var f sqldb.Filter
	now := f.Arg(sqldb.Micros(tx.Now()))
	f.Where("state = 1")
	f.In("type", types)
	f.Where("webhook_id IN (SELECT webhook_id FROM webhooks WHERE partner_id = ? AND commissioner_code = ?)", partner, commissioner)
	return tx.Queue(ctx, "cancel deliveries", `UPDATE deliveries SET state = 4, settled_at = `+now+f.String(), f.Args()...)
}

// Delivery returns a delivery of a webhook, or sql.ErrNoRows.
func Delivery(ctx context.Context, q sqldb.Querier, webhook, id string) (DeliveryRow, error) {
	row, err := sqldb.First(sqldb.Collect(ctx, q, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries WHERE webhook_id = $1 AND delivery_id = $2`, webhook, id))
	return row, in(err, "read delivery "+id)
}

// Deliveries returns deliveries of a webhook, the newest first.
func Deliveries(ctx context.Context, q sqldb.Querier, webhook string, state partnersv1.DeliveryState, before string, limit int) ([]DeliveryRow, error) {
	var f sqldb.Filter
	f.Where("webhook_id = ?", webhook)
	if state != 0 {
		f.Where("state = ?", int64(state))
	}
	if before != "" {
		f.Where("delivery_id < ?", before)
	}
	text := `SELECT ` + deliveryColumns + ` FROM deliveries` + f.String() + ` ORDER BY delivery_id DESC` + f.Limit(limit)
	rows, err := sqldb.Collect(ctx, q, scanDelivery, text, f.Args()...)
	return rows, in(err, "list deliveries")
}

// Attempts returns the attempts of deliveries, by delivery and number.
func Attempts(ctx context.Context, q sqldb.Querier, deliveries []string) ([]AttemptRow, error) {
	var f sqldb.Filter
	f.In("delivery_id", deliveries)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (r AttemptRow, err error) {
		err = rows.Scan(&r.DeliveryID, &r.Number, &r.At, &r.Outcome, &r.DurationMicros, &r.NextAt)
		return r, err
	}, `SELECT delivery_id, number, at, outcome, duration_micros, next_at FROM attempts`+f.String()+` ORDER BY delivery_id, number`, f.Args()...)
	return rows, in(err, "list attempts")
}

// Waiting returns how many events wait for each of some webhooks.
func Waiting(ctx context.Context, q sqldb.Querier, webhooks []string) (map[string]int64, error) {
	var f sqldb.Filter
	f.In("webhook_id", webhooks)
	f.Where("state = 1")
	out := make(map[string]int64)
	err := sqldb.Each(ctx, q, func(rows *sql.Rows) (n int64, err error) {
		var webhook string
		err = rows.Scan(&webhook, &n)
		out[webhook] = n
		return n, err
	}, func(int64) error { return nil }, `SELECT webhook_id, COUNT(*) FROM deliveries`+f.String()+` GROUP BY webhook_id`, f.Args()...)
	return out, in(err, "count what waits")
}

// Oldest returns when the oldest event that waits for an active webhook came, 0 if none waits.
func Oldest(ctx context.Context, q sqldb.Querier) (created int64, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MIN(d.created_at), 0) FROM deliveries d JOIN webhooks w ON w.webhook_id = d.webhook_id WHERE d.state = 1 AND w.state = 1`).Scan(&created)
	return created, in(err, "look for the oldest event that waits")
}

// Redeliver has deliveries that are over made once more, and returns how many: one, or all since a time. Those of other types, and those whose
// event is no longer kept, stay as they are.
func Redeliver(ctx context.Context, tx *sqldb.Tx, webhook, id string, since int64, types []string) (int64, error) {
	var f sqldb.Filter
	now := f.Arg(sqldb.Micros(tx.Now()))
	f.Where("webhook_id = ?", webhook)
	f.Equal("delivery_id", id)
	f.Where("created_at >= ?", since)
	f.Where("state IN (2, 3)")
	f.In("type", types)
	result, err := tx.Exec(ctx, `UPDATE deliveries SET state = 1, failures = 0, settled_at = 0, next_at = `+now+f.String()+
		` AND EXISTS (SELECT 1 FROM events e WHERE e.source = deliveries.source AND e.event_id = deliveries.event_id)`, f.Args()...)
	if err != nil {
		return 0, in(err, "redeliver")
	}
	return result.RowsAffected()
}

// Forget deletes the payloads of events received before a time, and the log of deliveries made before another.
func Forget(ctx context.Context, db *sqldb.DB, events, log int64) error {
	for _, s := range []struct {
		text   string
		before int64
	}{
		{`DELETE FROM events WHERE (source, event_id) IN (SELECT source, event_id FROM events WHERE received_at < $1 LIMIT $2)`, events},
		{`DELETE FROM deliveries WHERE delivery_id IN (SELECT delivery_id FROM deliveries WHERE created_at < $1 AND state > 1 LIMIT $2)`, log},
	} {
		for {
			result, err := db.Exec(ctx, s.text, s.before, pruneBatch)
			if err != nil {
				return in(err, "forget what is old")
			}
			if n, err := result.RowsAffected(); err != nil || n < pruneBatch {
				if err != nil {
					return in(err, "forget what is old")
				}
				break
			}
		}
	}
	return nil
}

// pruneBatch bounds what is deleted at once.
const pruneBatch = 1000
