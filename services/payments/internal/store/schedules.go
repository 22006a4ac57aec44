package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// ScheduleRow is a schedule that came, without its lines.
type ScheduleRow struct {
	Header     *typev1.PaymentSchedule
	EventID    string
	ReceivedAt int64 // microseconds
}

// InsertSchedule adds a schedule and its lines.
func InsertSchedule(ctx context.Context, tx *sqldb.Tx, s ScheduleRow, lines []*typev1.PaymentLine) error {
	header, err := sqldb.Marshal(s.Header)
	if err != nil {
		return err
	}
	id := s.Header.GetScheduleId()
	_, err = tx.Exec(ctx, `INSERT INTO schedules (schedule_id, fund, commissioner_code, month, sequence, lines_sha256, header, event_id, received_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, id, int64(s.Header.GetFund()), s.Header.GetCommissionerCode(), s.Header.GetMonth(),
		s.Header.GetSequence(), s.Header.GetLinesSha256(), header, s.EventID, s.ReceivedAt)
	if err != nil {
		return fmt.Errorf("insert schedule %s: %w", id, err)
	}
	_, err = tx.BulkInsert(ctx, "lines", []string{
		"line_id", "schedule_id", "fund", "commissioner_code", "month", "for_month", "payment_code", "pcn_code", "practice_code", "payee_code",
		"instruction", "amount_pence", "message",
	}, rowsOf(lines, func(l *typev1.PaymentLine) ([]any, error) {
		message, err := sqldb.Marshal(l)
		return []any{
			l.GetLineId(), id, int64(s.Header.GetFund()), s.Header.GetCommissionerCode(), s.Header.GetMonth(), l.GetForMonth(), l.GetPaymentCode(),
			l.GetPcnCode(), l.GetPracticeCode(), l.GetPayee().GetCode(), int64(l.GetInstruction()), l.GetAmountPence(), message,
		}, err
	}))
	return err
}

// rowsOf makes rows of things for a bulk insert.
func rowsOf[T any](things []T, row func(T) ([]any, error)) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, thing := range things {
			if !yield(row(thing)) {
				return
			}
		}
	}
}

// ScheduleHash returns the hash of a stored schedule's lines, or sql.ErrNoRows.
func ScheduleHash(ctx context.Context, q sqldb.Querier, id string) (hash string, err error) {
	err = q.QueryRow(ctx, `SELECT lines_sha256 FROM schedules WHERE schedule_id = $1`, id).Scan(&hash)
	return hash, err
}

// Schedules returns schedules of a month, or of all, newest month first.
func Schedules(ctx context.Context, q sqldb.Querier, by Page, month string) ([]ScheduleRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("month", month)
	if m, id, ok := cut(by.Before); ok {
		f.Where("(month < ? OR (month = ? AND schedule_id > ?))", m, m, id)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (s ScheduleRow, err error) {
		var header []byte
		if err := rows.Scan(&header, &s.EventID, &s.ReceivedAt); err != nil {
			return s, err
		}
		s.Header, err = sqldb.Unmarshal(header, new(typev1.PaymentSchedule))
		return s, err
	}, `SELECT header, event_id, received_at FROM schedules`+conditions+` ORDER BY month DESC, schedule_id`+f.Limit(by.Limit), f.Args()...)
}

// ClosedFund is a schedule by which a fund has closed a month.
type ClosedFund struct {
	CommissionerCode string
	Fund             int
	ScheduleID       string
}

// ClosedFunds returns the schedules of a month that came for some commissioners, in order.
func ClosedFunds(ctx context.Context, q sqldb.Querier, commissioners []string, month period.Month) ([]ClosedFund, error) {
	var f sqldb.Filter
	f.In("commissioner_code", commissioners)
	f.Where("month = ?", month.String())
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (c ClosedFund, err error) {
		err = rows.Scan(&c.CommissionerCode, &c.Fund, &c.ScheduleID)
		return c, err
	}, `SELECT commissioner_code, fund, schedule_id FROM schedules`+f.String()+` ORDER BY fund, schedule_id`, f.Args()...)
}

// AddPart keeps one part of a schedule until all have come, and returns the payloads there are, by part number.
func AddPart(ctx context.Context, tx *sqldb.Tx, scheduleID string, part int32, eventID string, payload []byte) (map[int32][]byte, error) {
	_, err := tx.Exec(ctx, `INSERT INTO schedule_parts (schedule_id, part, event_id, payload) VALUES ($1, $2, $3, $4)
		ON CONFLICT (schedule_id, part) DO UPDATE SET event_id = excluded.event_id, payload = excluded.payload`, scheduleID, part, eventID, payload)
	if err != nil {
		return nil, fmt.Errorf("keep part %d of %s: %w", part, scheduleID, err)
	}
	parts := make(map[int32][]byte)
	err = sqldb.Each(ctx, tx, func(rows *sql.Rows) (p struct {
		number  int32
		payload []byte
	}, err error,
	) {
		err = rows.Scan(&p.number, &p.payload)
		return p, err
	}, func(p struct {
		number  int32
		payload []byte
	},
	) error {
		parts[p.number] = p.payload
		return nil
	}, `SELECT part, payload FROM schedule_parts WHERE schedule_id = $1`, scheduleID)
	return parts, err
}

// DropParts forgets the parts of a schedule, and returns the events they came with.
func DropParts(ctx context.Context, tx *sqldb.Tx, scheduleID string) ([]string, error) {
	ids, err := sqldb.Collect(ctx, tx, sqldb.Text, `SELECT event_id FROM schedule_parts WHERE schedule_id = $1 ORDER BY part`, scheduleID)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM schedule_parts WHERE schedule_id = $1`, scheduleID)
	return ids, err
}

// LineRow is a line with where it stands. State is 0 for a line that is not for payment here.
type LineRow struct {
	Line       *typev1.PaymentLine
	ScheduleID string
	Fund       int
	Month      string // of the schedule
	// CommissionerCode is the one that owes it now; of a line that is not for payment, the one that scheduled it.
	CommissionerCode string
	// ScheduledBy is the commissioner of its schedule.
	ScheduledBy string
	State       ItemState
	RunID       string
	PaymentID   string
}

// ItemState is where the amount of a line stands.
type ItemState int

// The states of an item.
const (
	Open ItemState = iota + 1
	Payable
	Sent
	Settled
	Rejected
	Carried
	Cancelled
)

// LineFilter selects lines; at least one field is set.
type LineFilter struct {
	RunID         string
	FrozenRunID   string   // lines as frozen in a run, also in one that was rejected
	PaidBy        []string // commissioners that owe a payee's payment of the frozen run now; nil means all
	LineID        string
	LineIDs       []string // nil means all; a few hundred at most
	PCNCode       string
	PayeeCode     string
	PaymentID     string
	ScheduleID    string
	FromMonth     string // of the schedule
	ToMonth       string
	Commissioners []string // nil means all
	ToPayOnly     bool
	After         string // line id
	Limit         int
}

// Lines returns lines in order of line id.
func Lines(ctx context.Context, q sqldb.Querier, by LineFilter) ([]LineRow, error) {
	var out []LineRow
	err := EachLine(ctx, q, by, func(l LineRow) error { out = append(out, l); return nil })
	return out, err
}

// EachLine hands over lines one by one, in order of line id.
func EachLine(ctx context.Context, q sqldb.Querier, by LineFilter, fn func(LineRow) error) error {
	var f sqldb.Filter
	f.Within("COALESCE(i.commissioner_code, l.commissioner_code)", by.Commissioners)
	f.Within("l.line_id", by.LineIDs)
	f.Equal("i.run_id", by.RunID, "l.line_id", by.LineID, "l.pcn_code", by.PCNCode, "l.payee_code", by.PayeeCode, "i.payment_id", by.PaymentID,
		"l.schedule_id", by.ScheduleID)
	for _, bound := range []struct{ condition, value string }{
		{"l.month >= ?", by.FromMonth},
		{"l.month <= ?", by.ToMonth},
		{"l.line_id > ?", by.After},
		{"l.line_id IN (SELECT line_id FROM run_lines WHERE run_id = ?)", by.FrozenRunID},
	} {
		if bound.value != "" {
			f.Where(bound.condition, bound.value)
		}
	}
	if by.PaidBy != nil {
		f.In("(SELECT y.commissioner_code FROM payments y WHERE y.run_id = "+f.Arg(by.FrozenRunID)+" AND y.payee_code = l.payee_code)", by.PaidBy)
	}
	if by.ToPayOnly {
		f.Where("i.state IS NOT NULL")
	}
	conditions := f.String()
	return sqldb.Each(ctx, q, scanLine, fn, `SELECT l.message, l.schedule_id, l.fund, l.month,
		COALESCE(i.commissioner_code, l.commissioner_code), l.commissioner_code, COALESCE(i.state, 0), COALESCE(i.run_id, ''), COALESCE(i.payment_id, '')
		FROM lines l LEFT JOIN items i ON i.line_id = l.line_id`+conditions+` ORDER BY l.line_id`+f.Limit(by.Limit), f.Args()...)
}

func scanLine(rows *sql.Rows) (l LineRow, err error) {
	var message []byte
	if err := rows.Scan(&message, &l.ScheduleID, &l.Fund, &l.Month, &l.CommissionerCode, &l.ScheduledBy, &l.State, &l.RunID, &l.PaymentID); err != nil {
		return l, err
	}
	l.Line, err = sqldb.Unmarshal(message, new(typev1.PaymentLine))
	return l, err
}

// Entitlement is an amount for a period as a fund stated it.
type Entitlement struct {
	// Month is the month whose figures were used, and ScheduleID the schedule it was stated with.
	Month            period.Month
	ScheduleID       string
	Fund             int
	CommissionerCode string
	PCNCode          string
	PracticeCode     string
	PaymentCode      string
	From, To         period.Month
	Instalments      int
	Amount           money.Pence
	Confidence       typev1.Confidence
}

// InsertEntitlements adds what a fund stated at a moment; the same event again changes nothing.
func InsertEntitlements(ctx context.Context, tx *sqldb.Tx, eventID string, statedAt int64, stated []Entitlement) error {
	if len(stated) == 0 {
		return nil
	}
	// Looked for first: an insert that fails would end the transaction on Postgres.
	var known int
	first := stated[0]
	err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM entitlements WHERE pcn_code = $1 AND practice_code = $2 AND fund = $3 AND payment_code = $4
		AND from_month = $5 AND to_month = $6 AND stated_at = $7 AND event_id = $8`, first.PCNCode, first.PracticeCode, first.Fund, first.PaymentCode,
		first.From.String(), first.To.String(), statedAt, eventID).Scan(&known)
	if err != nil || known > 0 {
		return err
	}
	_, err = tx.BulkInsert(ctx, "entitlements", []string{
		"month", "schedule_id", "fund", "commissioner_code", "pcn_code", "practice_code", "payment_code", "from_month", "to_month", "instalments",
		"amount_pence", "confidence", "stated_at", "event_id",
	}, rowsOf(stated, func(e Entitlement) ([]any, error) {
		return []any{
			e.Month.String(), e.ScheduleID, int64(e.Fund), e.CommissionerCode, e.PCNCode, e.PracticeCode, e.PaymentCode, e.From.String(), e.To.String(),
			int64(e.Instalments), int64(e.Amount), int64(e.Confidence), statedAt, eventID,
		}, nil
	}))
	return err
}

// EntitlementFilter selects entitlements whose period holds a month, as known from that month and those before. Commissioner or PCN
// is set.
type EntitlementFilter struct {
	CommissionerCodes []string
	PCNCode           string
	Month             period.Month
}

// Entitlements returns what each commissioner's fund stated last for the month or, if it has not yet, for the newest month before: what
// it states no more with a schedule is at an end. What it stated since without a schedule, such as a year fixed anew, replaces single
// amounts. Of an amount that two state, such as a predecessor and its successor, that of the later month counts. They come in order of
// PCN, practice, fund and payment.
func Entitlements(ctx context.Context, q sqldb.Querier, by EntitlementFilter) ([]Entitlement, error) {
	var f sqldb.Filter
	f.Within("e.commissioner_code", by.CommissionerCodes)
	f.Equal("e.pcn_code", by.PCNCode)
	upTo := f.Arg(by.Month.String())
	f.Where("e.from_month <= " + upTo)
	f.Where("e.to_month >= " + upTo)
	last := ` FROM entitlements n WHERE n.commissioner_code = e.commissioner_code AND n.fund = e.fund AND n.month <= ` + upTo +
		` AND n.schedule_id <> '' ORDER BY n.month DESC, n.stated_at DESC LIMIT 1`
	f.Where(`(e.schedule_id = (SELECT n.schedule_id` + last + `)
		OR (e.schedule_id = '' AND e.month <= ` + upTo + ` AND e.stated_at > COALESCE((SELECT n.stated_at` + last + `), 0)))`)
	found, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (e Entitlement, err error) {
		var stated, from, to string
		if err := rows.Scan(&stated, &e.ScheduleID, &e.Fund, &e.CommissionerCode, &e.PCNCode, &e.PracticeCode, &e.PaymentCode, &from, &to,
			&e.Instalments, &e.Amount, &e.Confidence); err != nil {
			return e, err
		}
		if e.Month, err = month(stated); err != nil {
			return e, err
		}
		if e.From, err = month(from); err == nil {
			e.To, err = month(to)
		}
		return e, err
	}, `SELECT e.month, e.schedule_id, e.fund, e.commissioner_code, e.pcn_code, e.practice_code, e.payment_code, e.from_month, e.to_month,
		e.instalments, e.amount_pence, e.confidence FROM entitlements e`+f.String()+
		` ORDER BY e.pcn_code, e.practice_code, e.fund, e.payment_code, CASE WHEN e.schedule_id = '' THEN `+upTo+` ELSE e.month END DESC,
		e.stated_at DESC, e.from_month DESC`, f.Args()...)
	return slices.CompactFunc(found, func(a, b Entitlement) bool {
		return a.PCNCode == b.PCNCode && a.PracticeCode == b.PracticeCode && a.Fund == b.Fund && a.PaymentCode == b.PaymentCode
	}), err
}
