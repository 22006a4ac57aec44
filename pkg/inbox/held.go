package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Reasons for which an event that is held cannot be decided on.
const (
	// ReasonHeldNotFound means that no such event is held.
	ReasonHeldNotFound = "HELD_EVENT_NOT_FOUND"
	// ReasonHeldBehind means that an earlier event of the same aggregate is held, which has to be decided on first.
	ReasonHeldBehind = "HELD_EVENT_BEHIND_ANOTHER"
)

// Held is an event that is parked or in quarantine.
type Held struct {
	// ID names this row; those of later ones sort behind it.
	ID string
	// Event is what is known of the event. It has no Message, and of what cannot be read no more than what came.
	Event Event
	// Reason is why it is in quarantine; it is empty if the event is parked.
	Reason string
	// Error is what the last attempt failed on, in words.
	Error string
	// Attempts is how often it has failed; 0 if it only waits for an earlier event.
	Attempts int
	// HeldAt is since when it has been held.
	HeldAt time.Time
	// Header is as delivered.
	Header map[string]string
	// Payload is as delivered; only Get fills it in.
	Payload []byte
}

// Filter selects the events to list.
type Filter struct {
	// Commissioners are the codes of those whose events are wanted, outbox.England among them; empty means all.
	Commissioners []string
	// Before is the ID of the last one of the page before; empty means the first page.
	Before string
	// Limit is how many are wanted at most.
	Limit int
}

// Outcome is what a decision of a person has brought about.
type Outcome struct {
	// Event is what was decided on.
	Event Held
	// Drained are the events that were parked behind it and have been handled in the same transaction, without payloads. Any
	// more that can be are handled soon after.
	Drained []Held
}

const heldColumns = `id, event, aggregate, sequence, subject, commissioner, header, reason, error, attempts, held_at, payload`

// scanHeld reads a row of heldColumns, and returns the keys of its event and its aggregate beside it.
func scanHeld(scan func(...any) error) (h Held, event, aggregate string, err error) {
	var header []byte
	var heldAt, sequence int64
	var subject, commissioner string
	err = scan(&h.ID, &event, &aggregate, &sequence, &subject, &commissioner, &header, &h.Reason, &h.Error, &h.Attempts, &heldAt, &h.Payload)
	if err != nil {
		return h, event, aggregate, err
	}
	if err := json.Unmarshal(header, &h.Header); err != nil {
		return h, event, aggregate, fmt.Errorf("read the headers of event %s: %w", event, err)
	}
	it := item{delivery: Delivery{Subject: subject, Header: h.Header}}
	_ = it.readHeader() // what is wrong with it was stored with it
	it.Sequence, it.CommissionerCode = sequence, commissioner
	h.Event, h.HeldAt = it.Event, sqldb.FromMicros(heldAt)
	return h, event, aggregate, nil
}

// restore makes an item of what is held.
func (in *Inbox) restore(h Held, event, aggregate string) *item {
	it := in.read(Delivery{Subject: h.Event.Subject, Header: h.Header, Payload: h.Payload})
	it.event, it.aggregate, it.Sequence, it.CommissionerCode = event, aggregate, h.Event.Sequence, h.Event.CommissionerCode
	return it
}

// List returns held events, the newest first, without their payloads.
func List(ctx context.Context, q sqldb.Querier, f Filter) (page []Held, err error) {
	columns := strings.Replace(heldColumns, "payload", "NULL", 1)
	text := `SELECT ` + columns + ` FROM inbox_held WHERE ($1 = '' OR id < $1)`
	args := []any{f.Before, f.Limit}
	if len(f.Commissioners) > 0 {
		text += ` AND commissioner IN (` + sqldb.Placeholders(len(args)+1, len(f.Commissioners)) + `)`
		for _, code := range f.Commissioners {
			args = append(args, code)
		}
	}
	rows, err := q.Query(ctx, text+` ORDER BY id DESC LIMIT $2`, args...)
	if err != nil {
		return nil, fmt.Errorf("list held events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		h, _, _, err := scanHeld(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("list held events: %w", err)
		}
		page = append(page, h)
	}
	return page, rows.Err()
}

// Get returns a held event with its payload.
func Get(ctx context.Context, q sqldb.Querier, id string) (Held, error) {
	h, _, _, err := get(ctx, q, id)
	return h, err
}

func get(ctx context.Context, q sqldb.Querier, id string) (h Held, event, aggregate string, err error) {
	h, event, aggregate, err = scanHeld(q.QueryRow(ctx, `SELECT `+heldColumns+` FROM inbox_held WHERE id = $1`, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return h, "", "", fault.New(fault.NotFound, ReasonHeldNotFound, "no event %s is held", id).With("event", id)
	}
	if err != nil {
		return h, "", "", fmt.Errorf("read held event: %w", err)
	}
	return h, event, aggregate, nil
}

// Quarantine returns how many events are in quarantine.
func Quarantine(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		return q.QueryRow(ctx, `SELECT count(*) FROM inbox_held WHERE reason <> ''`).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the events in quarantine: %w", err)
	}
	return n, nil
}

// parkedMost bounds what Parked counts.
const parkedMost = 100_000

// Parked returns how many events are parked, or 100,000 if there are more.
func Parked(ctx context.Context, db *sqldb.DB) (n int64, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		return q.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM inbox_held WHERE reason = '' LIMIT $1) AS parked`, parkedMost).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the parked events: %w", err)
	}
	return n, nil
}

// OldestParked returns how long the oldest parked event has waited, 0 if none waits.
func OldestParked(ctx context.Context, db *sqldb.DB) (age time.Duration, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		var heldAt int64
		err := q.QueryRow(ctx, `SELECT held_at FROM inbox_held WHERE reason = '' ORDER BY held_at LIMIT 1`).Scan(&heldAt)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		age = max(0, db.Now().Sub(sqldb.FromMicros(heldAt)))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("age of the oldest parked event: %w", err)
	}
	return age, nil
}

// Release hands a held event to the handler now, as it is stored, and on success takes up what is parked behind it. A gap before
// the event is accepted: its aggregate goes on after it. Whatever the handler returns comes back wrapped, and then nothing of
// tx may stay. An event that cannot be read is refused with what is wrong with it, and one behind another that is held with
// ReasonHeldBehind.
func (in *Inbox) Release(ctx context.Context, tx *sqldb.Tx, id string) (Outcome, error) {
	return in.decide(ctx, tx, id, func(w *work, it *item) error {
		if err := in.readable(it); err != nil {
			return err
		}
		if err := in.handle(ctx, tx, it); err != nil {
			return err
		}
		w.handled++
		return nil
	})
}

// Discard drops a held event for good, as if it had been handled: its id counts as seen, its aggregate goes on after it, and what
// is parked behind it is taken up. One behind another that is held is refused with ReasonHeldBehind.
func (in *Inbox) Discard(ctx context.Context, tx *sqldb.Tx, id string) (Outcome, error) {
	return in.decide(ctx, tx, id, func(*work, *item) error { return nil })
}

// readable returns why a held event cannot be handed to the handler. Its size, which put it in quarantine, a person may accept.
func (in *Inbox) readable(it *item) error {
	if fault.ReasonOf(it.poison) == ReasonTooLarge {
		it.poison = in.unmarshal(it)
	}
	f, ok := fault.As(it.poison)
	if !ok {
		return it.poison
	}
	refused := *f
	refused.Kind = fault.Refused
	return &refused
}

// decide ends the holding of an event once effect has succeeded.
func (in *Inbox) decide(ctx context.Context, tx *sqldb.Tx, id string, effect func(*work, *item) error) (out Outcome, err error) {
	if err := tx.Lock(ctx, lockKey); err != nil {
		return out, err
	}
	h, event, aggregate, err := get(ctx, tx, id)
	if err != nil {
		return out, err
	}
	out.Event = h
	it := in.restore(h, event, aggregate)
	w, err := in.newWork(ctx, tx, it)
	if err != nil {
		return out, err
	}
	if err := w.isFirst(ctx, it); err != nil {
		return out, err
	}
	if err := effect(w, it); err != nil {
		return out, err
	}
	if err := w.settle(ctx, it); err != nil {
		return out, err
	}
	if err := w.flush(ctx); err != nil {
		return out, err
	}
	out.Drained, err = in.drainBehind(ctx, tx, aggregate)
	return out, err
}

// isFirst refuses an item that has to wait for another that is held.
func (w *work) isFirst(ctx context.Context, it *item) error {
	if it.aggregate == "" {
		return nil
	}
	var id string
	const q = `SELECT id FROM inbox_held WHERE aggregate = $1 AND sequence < $2 AND sequence > $3 ORDER BY sequence LIMIT 1`
	err := w.tx.QueryRow(ctx, q, it.aggregate, it.Sequence, w.last[it.aggregate]).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an earlier event of %s: %w", it.aggregate, err)
	}
	return fault.New(fault.Refused, ReasonHeldBehind, "an earlier event of %s is held and has to be decided on first", it.Aggregate).
		With("first", id)
}

// drainBehind takes up what is parked behind an event, within the transaction that decided on it, at most one batch. It ends at the
// first event that fails, and leaves that one and what follows to Take, which deals with failures.
func (in *Inbox) drainBehind(ctx context.Context, tx *sqldb.Tx, aggregate string) (drained []Held, err error) {
	if aggregate == "" {
		return nil, nil
	}
	items, err := in.ready(ctx, tx, []string{aggregate}, batchSize)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		h, ok, err := in.tryParked(ctx, tx, it)
		if err != nil || !ok {
			return drained, err
		}
		drained = append(drained, h)
	}
	return drained, nil
}

// tryParked takes up one parked event and reports whether it was handled. If that fails, all that it has written is taken back.
func (in *Inbox) tryParked(ctx context.Context, tx *sqldb.Tx, it *item) (h Held, ok bool, err error) {
	if _, err := tx.Exec(ctx, "SAVEPOINT inbox"); err != nil {
		return h, false, fmt.Errorf("take up event %s: %w", it.event, err)
	}
	w, err := in.newWork(ctx, tx, it)
	if err == nil {
		h = Held{ID: w.held[it.event].id, Event: it.Event, Attempts: w.attempts(it), Header: it.delivery.Header}
		h.Event.Message = nil
		err = w.take(ctx, it)
	}
	if err == nil {
		err = w.flush(ctx)
	}
	end := "RELEASE SAVEPOINT inbox"
	if err != nil {
		in.logger.WarnContext(it.traced(ctx), "a parked event was not handled", "event", it.event, "type", it.Type, "error", err)
		end = "ROLLBACK TO SAVEPOINT inbox"
	}
	if _, endErr := tx.Exec(ctx, end); endErr != nil {
		return h, false, errors.Join(err, fmt.Errorf("take up event %s: %w", it.event, endErr))
	}
	return h, err == nil && it.verdict == Settled, nil
}

// due is the condition of a parked event h whose time has come. A time too far off was set by a clock that has been put back since.
const due = `h.reason = '' AND (h.retry_at <= $1 OR h.retry_at > $2)`

func dueArgs(now time.Time) []any {
	return []any{sqldb.Micros(now), sqldb.Micros(now.Add(retries[len(retries)-1]))}
}

// waiting returns the aggregates that have parked events to be taken up.
func (in *Inbox) waiting(ctx context.Context) (aggregates []string, err error) {
	const text = `SELECT DISTINCT h.aggregate FROM inbox_held h JOIN inbox_sequence s ON s.aggregate = h.aggregate
		WHERE ` + due + ` AND h.sequence <= s.last + 1`
	err = in.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err := q.Query(ctx, text, dueArgs(in.db.Now())...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var aggregate string
			if err := rows.Scan(&aggregate); err != nil {
				return err
			}
			aggregates = append(aggregates, aggregate)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	}
	return aggregates, nil
}

// ready returns parked events of some aggregates whose time has come: those that follow the last one without a gap, and those before
// it. It looks no further ahead than one batch, since any number may be parked.
func (in *Inbox) ready(ctx context.Context, tx *sqldb.Tx, aggregates []string, limit int) (items []*item, err error) {
	args := append(dueArgs(tx.Now()), limit, batchSize)
	first := len(args) + 1
	for _, a := range aggregates {
		args = append(args, a)
	}
	q := `SELECT ` + heldColumns + ` FROM (
			SELECT h.*, h.sequence - s.last AS ahead, row_number() OVER (PARTITION BY h.aggregate, h.sequence > s.last ORDER BY h.sequence) AS place
			FROM inbox_sequence s JOIN inbox_held h ON h.aggregate = s.aggregate AND h.sequence <= s.last + $4
			WHERE s.aggregate IN (` + sqldb.Placeholders(first, len(aggregates)) + `) AND ` + due + `) AS parked
		WHERE ahead <= 0 OR ahead = place ORDER BY aggregate, sequence LIMIT $3`
	rows, err := tx.Query(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("look for parked events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		h, event, aggregate, err := scanHeld(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("look for parked events: %w", err)
		}
		items = append(items, in.restore(h, event, aggregate))
	}
	return items, rows.Err()
}
