package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// lockKey lets one transaction at a time work on the inbox: those of replicas would otherwise undo each other again and again.
const lockKey = "inbox"

// retries are the pauses after the failures of an event; the failure after the last of them puts it in quarantine.
var retries = [...]time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// work is the inbox's part of one transaction. What it changes is kept here until flush writes it.
type work struct {
	in *Inbox
	tx *sqldb.Tx

	seen map[string]bool     // events whose effect is in the database
	held map[string]*heldRow // events parked or in quarantine
	last map[string]int64    // the last number of each aggregate that has one

	done  []string        // events to be marked as seen
	moved map[string]bool // aggregates whose last has moved

	handled, duplicates int64
	delays              []time.Duration // of those handled
}

// heldRow is what decides about an event that is held already.
type heldRow struct {
	id, reason string
	attempts   int
}

// newWork locks the inbox and reads what is known of the items.
func (in *Inbox) newWork(ctx context.Context, tx *sqldb.Tx, items ...*item) (*work, error) {
	w := &work{
		in: in, tx: tx, seen: make(map[string]bool), held: make(map[string]*heldRow), last: make(map[string]int64),
		moved: make(map[string]bool),
	}
	if err := tx.Lock(ctx, lockKey); err != nil {
		return nil, err
	}
	events, aggregates := make([]any, 0, batchSize), make([]any, 0, batchSize)
	for _, it := range items {
		events = append(events, it.event)
		if it.aggregate != "" {
			aggregates = append(aggregates, it.aggregate)
		}
	}
	err := w.readSeen(ctx, events)
	if err == nil {
		err = w.readHeld(ctx, events)
	}
	if err == nil {
		err = w.readLast(ctx, aggregates)
	}
	if err != nil {
		return nil, fmt.Errorf("look up events: %w", err)
	}
	return w, nil
}

// query runs a query for a list of keys, and read for each row. The list is filled up to one of a few lengths, so that the
// database need not plan a new statement for each.
func (w *work) query(ctx context.Context, text string, keys []any, read func(scan func(...any) error) error) (err error) {
	if len(keys) == 0 {
		return nil
	}
	keys = fill(keys)
	rows, err := w.tx.Query(ctx, text+` IN (`+sqldb.Placeholders(1, len(keys))+`)`, keys...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// fill repeats the last key of a list up to one of a few lengths.
func fill(keys []any) []any {
	length := batchSize
	for _, shorter := range []int{8, 1} {
		if len(keys) <= shorter {
			length = shorter
		}
	}
	for len(keys) < length {
		keys = append(keys, keys[len(keys)-1])
	}
	return keys
}

func (w *work) readSeen(ctx context.Context, events []any) error {
	return w.query(ctx, `SELECT event FROM inbox_seen WHERE event`, events, func(scan func(...any) error) error {
		var event string
		err := scan(&event)
		w.seen[event] = true
		return err
	})
}

func (w *work) readHeld(ctx context.Context, events []any) error {
	const q = `SELECT event, id, reason, attempts FROM inbox_held WHERE event`
	return w.query(ctx, q, events, func(scan func(...any) error) error {
		var event string
		row := new(heldRow)
		err := scan(&event, &row.id, &row.reason, &row.attempts)
		w.held[event] = row
		return err
	})
}

func (w *work) readLast(ctx context.Context, aggregates []any) error {
	const q = `SELECT aggregate, last FROM inbox_sequence WHERE aggregate`
	return w.query(ctx, q, aggregates, func(scan func(...any) error) error {
		var aggregate string
		var last int64
		err := scan(&aggregate, &last)
		w.last[aggregate] = last
		return err
	})
}

// take handles, parks or quarantines an item, or passes it by. After an error nothing of the transaction may stay.
func (w *work) take(ctx context.Context, it *item) error {
	it.verdict = Settled
	if w.seen[it.event] {
		w.duplicates++
		return w.letGo(ctx, it)
	}
	next := w.next(it)
	switch {
	case it.poison != nil:
		return w.quarantine(ctx, it, it.poison, w.attempts(it)+1)
	case it.Sequence > next:
		return w.park(ctx, it, nil, w.attempts(it), 0)
	}
	if err := w.in.handle(ctx, w.tx, it); err != nil {
		return err
	}
	w.handled++
	w.delays = append(w.delays, max(0, w.tx.Now().Sub(it.OccurredAt)))
	return w.settle(ctx, it)
}

// next returns the number that the aggregate of an item waits for, and has it stored for an aggregate not met before: the search for
// parked events begins there.
func (w *work) next(it *item) int64 {
	last, known := w.last[it.aggregate]
	if !known && it.aggregate != "" {
		if w.in.options.AnyStart {
			last = it.Sequence - 1
		}
		w.last[it.aggregate], w.moved[it.aggregate] = last, true
	}
	return last + 1
}

func (w *work) attempts(it *item) int {
	if row := w.held[it.event]; row != nil {
		return row.attempts
	}
	return 0
}

// settle notes an event as done with: it is seen, counts in its aggregate, and is not held any more.
func (w *work) settle(ctx context.Context, it *item) error {
	w.done = append(w.done, it.event)
	w.seen[it.event] = true
	if it.aggregate != "" && it.Sequence > w.last[it.aggregate] {
		w.last[it.aggregate] = it.Sequence
		w.moved[it.aggregate] = true
	}
	return w.letGo(ctx, it)
}

// letGo ends the holding of an item, if it is held.
func (w *work) letGo(ctx context.Context, it *item) error {
	row := w.held[it.event]
	if row == nil {
		return nil
	}
	delete(w.held, it.event)
	if _, err := w.tx.Exec(ctx, `DELETE FROM inbox_held WHERE id = $1`, row.id); err != nil {
		return fmt.Errorf("let go of event %s: %w", it.event, err)
	}
	return nil
}

// flush writes what take has left to be written at once, and counts after the commit.
func (w *work) flush(ctx context.Context) error {
	if len(w.done) > 0 {
		args := []any{sqldb.Micros(w.tx.Now())}
		values := make([]string, len(w.done))
		for i, event := range w.done {
			args = append(args, event)
			values[i] = fmt.Sprintf("($%d, $1)", i+2)
		}
		q := `INSERT INTO inbox_seen (event, seen_at) VALUES ` + strings.Join(values, ", ") + ` ON CONFLICT (event) DO NOTHING`
		if _, err := w.tx.Exec(ctx, q, args...); err != nil {
			return fmt.Errorf("mark events as seen: %w", err)
		}
	}
	if len(w.moved) > 0 {
		args := make([]any, 0, 2*len(w.moved))
		values := make([]string, 0, len(w.moved))
		for _, aggregate := range slices.Sorted(maps.Keys(w.moved)) {
			values = append(values, fmt.Sprintf("($%d, $%d)", len(args)+1, len(args)+2))
			args = append(args, aggregate, w.last[aggregate])
		}
		q := `INSERT INTO inbox_sequence (aggregate, last) VALUES ` + strings.Join(values, ", ") +
			` ON CONFLICT (aggregate) DO UPDATE SET last = excluded.last`
		if _, err := w.tx.Exec(ctx, q, args...); err != nil {
			return fmt.Errorf("count the events of aggregates: %w", err)
		}
	}
	w.tx.AfterCommit(func() {
		w.in.handled.Add(ctx, w.handled, w.in.of)
		w.in.duplicates.Add(ctx, w.duplicates, w.in.of)
		for _, delay := range w.delays {
			w.in.delay.Record(ctx, delay.Seconds(), w.in.of)
		}
	})
	return nil
}

// fail notes that the handler failed on an item: it is parked to be tried again, or goes into quarantine.
func (w *work) fail(ctx context.Context, it *item, err error) error {
	it.verdict = Settled
	if w.seen[it.event] {
		return nil
	}
	w.next(it)
	attempts := w.attempts(it) + 1
	row := w.held[it.event]
	if isPoison(err) || attempts > len(retries) || (row != nil && row.reason != "") {
		return w.quarantine(ctx, it, err, attempts)
	}
	return w.park(ctx, it, err, attempts, sqldb.Micros(w.tx.Now().Add(retries[attempts-1])))
}

func (w *work) park(ctx context.Context, it *item, cause error, attempts int, retryAt int64) error {
	_, err := w.hold(ctx, it, Held{Error: errorText(cause), Attempts: attempts}, retryAt)
	return err
}

func (w *work) quarantine(ctx context.Context, it *item, cause error, attempts int) error {
	it.verdict = Quarantined
	reason := fault.ReasonOf(cause)
	if reason == "" {
		reason = ReasonFailed
	}
	before := w.held[it.event]
	held, err := w.hold(ctx, it, Held{Reason: reason, Error: errorText(cause), Attempts: attempts}, 0)
	if err != nil || (before != nil && before.reason != "") {
		return err
	}
	if w.in.options.OnQuarantine != nil {
		if err := w.in.options.OnQuarantine(it.traced(ctx), w.tx, held); err != nil {
			return fmt.Errorf("tell of the quarantine of event %s: %w", it.event, err)
		}
	}
	w.tx.AfterCommit(func() {
		w.in.quarantined.Add(ctx, 1, w.in.of)
		w.in.logger.WarnContext(it.traced(ctx), "an event is in quarantine",
			"held", held.ID, "event", it.event, "type", it.Type, "aggregate", it.Aggregate, "reason", reason, "attempts", attempts, "error", cause)
	})
	return nil
}

// hold stores an item, or puts it in the place of an earlier delivery of the same event.
func (w *work) hold(ctx context.Context, it *item, h Held, retryAt int64) (Held, error) {
	header, err := json.Marshal(it.delivery.Header)
	if err != nil {
		return h, fmt.Errorf("hold event %s: %w", it.event, err)
	}
	h.Event, h.HeldAt, h.ID = it.Event, w.tx.Now(), w.tx.NewID()
	h.Header, h.Payload = it.delivery.Header, it.delivery.Payload
	payload := h.Payload
	if payload == nil {
		payload = []byte{} // not NULL
	}
	const q = `INSERT INTO inbox_held
			(id, event, aggregate, sequence, subject, commissioner, header, payload, reason, error, attempts, retry_at, held_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (event) DO UPDATE SET aggregate = excluded.aggregate, sequence = excluded.sequence, subject = excluded.subject,
			commissioner = excluded.commissioner, header = excluded.header, payload = excluded.payload, reason = excluded.reason,
			error = excluded.error, attempts = excluded.attempts, retry_at = excluded.retry_at
		RETURNING id, held_at`
	var heldAt int64
	err = w.tx.QueryRow(ctx, q, h.ID, it.event, it.aggregate, it.Sequence, clean(it.Subject), clean(it.CommissionerCode), header, payload,
		h.Reason, h.Error, h.Attempts, retryAt, sqldb.Micros(h.HeldAt)).Scan(&h.ID, &heldAt)
	if err != nil {
		return h, fmt.Errorf("hold event %s: %w", it.event, err)
	}
	h.HeldAt = sqldb.FromMicros(heldAt)
	w.held[it.event] = &heldRow{id: h.ID, reason: h.Reason, attempts: h.Attempts}
	return h, nil
}

// isPoison reports whether an error is the event's own, so that trying again does not help.
func isPoison(err error) bool {
	f, ok := fault.As(err)
	return ok && (f.Kind == fault.Invalid || f.Kind == fault.Refused)
}

// isBusy reports whether an error says nothing about the event.
func isBusy(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	f, ok := fault.As(err)
	return ok && f.Kind == fault.Busy
}

// errorText returns what may be shown of an error: of a fault its message, since its cause is for the log only.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	if f, ok := fault.As(err); ok {
		return clean(f.Message)
	}
	return clean(err.Error())
}

// clean makes a text of unknown origin fit for a column: valid, without control characters, and of bounded length.
func clean(s string) string {
	const most = 1000
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
