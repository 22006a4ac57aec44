package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// ItemChange is an item of the calendar as one change left it.
type ItemChange struct {
	rules.Item
	Number     int64
	RecordedBy string
	RecordedAt time.Time
}

const itemColumns = `item_id, number, title, owner_level, owner_code, commissioner_code, due_date, window_start, window_end, working_day_rule, evidence,
	state, completed_date, linked_record, source, confidence, reason, recorded_by, recorded_at`

func scanItem(row scanner) (ItemChange, error) {
	var c ItemChange
	var due, from, till, completed string
	var at int64
	err := row.Scan(&c.ID, &c.Number, &c.Title, &c.Level, &c.Owner, &c.Commissioner, &due, &from, &till, &c.Rule, &c.Evidence, &c.State, &completed,
		&c.Linked, &c.Source, &c.Confidence, &c.Reason, &c.RecordedBy, &at)
	if err != nil {
		return c, err
	}
	var d days
	c.Due, c.From, c.Till, c.Completed, c.RecordedAt = d.day(due), d.day(from), d.day(till), d.day(completed), sqldb.FromMicros(at)
	c.Known = period.DateOf(c.RecordedAt)
	return c, d.err
}

// AddItemChange stores a change of an item; its number must be the next.
func AddItemChange(ctx context.Context, tx *sqldb.Tx, c ItemChange) error {
	_, err := tx.Exec(ctx, `INSERT INTO calendar_changes (`+itemColumns+`) VALUES (`+sqldb.Placeholders(1, 19)+`)`,
		c.ID, c.Number, c.Title, string(c.Level), c.Owner, c.Commissioner, c.Due.String(), c.From.String(), c.Till.String(), string(c.Rule), c.Evidence,
		string(c.State), c.Completed.String(), c.Linked, c.Source, int64(c.Confidence), c.Reason, c.RecordedBy, sqldb.Micros(c.RecordedAt))
	if err != nil {
		return fmt.Errorf("store item %s: %w", c.ID, err)
	}
	return nil
}

// Items returns items of the calendar as they stand, by identifier: those for all of England, and those of some commissioners or PCNs; nil
// commissioners mean all.
func Items(ctx context.Context, q sqldb.Querier, commissioners, pcns []string) ([]ItemChange, error) {
	var f sqldb.Filter
	f.Where(`number = (SELECT max(l.number) FROM calendar_changes l WHERE l.item_id = calendar_changes.item_id)`)
	if commissioners != nil {
		args := []any{}
		for _, code := range commissioners {
			args = append(args, code)
		}
		condition := "(commissioner_code = ''"
		if len(commissioners) > 0 {
			condition += " OR commissioner_code IN (" + marks(len(commissioners)) + ")"
		}
		if len(pcns) > 0 {
			condition += " OR (owner_level = 'PCN_LEVEL' AND owner_code IN (" + marks(len(pcns)) + "))"
			for _, code := range pcns {
				args = append(args, code)
			}
		}
		f.Where(condition+")", args...)
	}
	out, err := list(ctx, q, scanItem, `SELECT `+itemColumns+` FROM calendar_changes`+f.String()+` ORDER BY item_id`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("read the calendar: %w", err)
	}
	return out, nil
}

func marks(count int) string { return strings.TrimSuffix(strings.Repeat("?, ", count), ", ") }

// ItemHistory returns the changes of an item, oldest first; none if there is no such item.
func ItemHistory(ctx context.Context, q sqldb.Querier, id string) ([]ItemChange, error) {
	out, err := list(ctx, q, scanItem, `SELECT `+itemColumns+` FROM calendar_changes WHERE item_id = $1 ORDER BY number`, id)
	if err != nil {
		return nil, fmt.Errorf("read item %s: %w", id, err)
	}
	return out, nil
}

// Reminder is a reminder that was sent. PCN is empty for an item.
type Reminder struct{ Subject, PCN, Due, Moment string }

// Reminders returns those sent of some subjects.
func Reminders(ctx context.Context, q sqldb.Querier, subjects []string) (map[Reminder]bool, error) {
	out := make(map[Reminder]bool)
	err := sqldb.InBatches(subjects, func(batch []string) error {
		var f sqldb.Filter
		f.In("subject", batch)
		return each(ctx, q, func(row scanner) error {
			var r Reminder
			err := row.Scan(&r.Subject, &r.PCN, &r.Due, &r.Moment)
			out[r] = true
			return err
		}, `SELECT subject, pcn_code, due_date, moment FROM reminders`+f.String(), f.Args()...)
	})
	if err != nil {
		return nil, fmt.Errorf("read the reminders: %w", err)
	}
	return out, nil
}

// AddReminder stores that a reminder is sent, and tells whether it is new.
func AddReminder(ctx context.Context, tx *sqldb.Tx, r Reminder) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `INSERT INTO reminders (subject, pcn_code, due_date, moment, sent_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		r.Subject, r.PCN, r.Due, r.Moment, sqldb.Micros(tx.Now())))
}

// TakeEdition stores that an edition of the program's own requirements and calendar is taken in, and tells whether it is new.
func TakeEdition(ctx context.Context, tx *sqldb.Tx, sha256 string) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `INSERT INTO tracker_editions (sha256, taken_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, sha256, sqldb.Micros(tx.Now())))
}

// HasEdition tells whether an edition was taken in before.
func HasEdition(ctx context.Context, q sqldb.Querier, sha256 string) (bool, error) {
	var count int64
	err := q.QueryRow(ctx, `SELECT count(*) FROM tracker_editions WHERE sha256 = $1`, sha256).Scan(&count)
	return count > 0, err
}

// Predecessors returns those of whom it was recorded that all they owe passes to another, by the other, as loads up to a number tell it; a
// record without a day takes an earlier one back.
func Predecessors(ctx context.Context, q sqldb.Querier, position int64) (map[string][]string, error) {
	out := make(map[string][]string)
	err := each(ctx, q, func(row scanner) error {
		var predecessor, successor string
		err := row.Scan(&predecessor, &successor)
		out[successor] = append(out[successor], predecessor)
		return err
	}, `SELECT s.predecessor_code, s.successor_code FROM successions s
		WHERE s.location_codes = '' AND s.effective_date <> '' AND s.load_position = (
			SELECT max(l.load_position) FROM successions l WHERE l.predecessor_code = s.predecessor_code AND l.successor_code = s.successor_code
			AND l.location_codes = '' AND l.load_position <= $1) ORDER BY 1`, position)
	if err != nil {
		return nil, fmt.Errorf("read the successions: %w", err)
	}
	return out, nil
}
