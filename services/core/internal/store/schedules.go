package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// ScheduleRow is a schedule as it is kept, without its lines.
type ScheduleRow struct {
	ID                 string
	CommissionerCode   string
	CommissionerName   string
	Month              period.Month
	Sequence           int
	LineCount          int
	PayTotal           money.Pence
	ReconcileTotal     money.Pence
	LinesSHA256        string
	SnapshotID         string
	KnownAt            int64
	ClosedBy           string
	ClosedAt           int64
	Practices          int64
	RegisteredPatients int64
	Refusals           []*typev1.Refusal
	Withheld           []*typev1.Withheld
	EventIDs           []string
}

const scheduleColumns = `schedule_id, commissioner_code, commissioner_name, month, sequence, line_count, pay_total_pence,
	reconcile_total_pence, lines_sha256, snapshot_id, known_at, closed_by, closed_at, practices, registered_patients, waiting, event_ids`

// InsertSchedule adds a schedule and its lines. A schedule of the same commissioner, month and sequence is a unique
// violation.
func InsertSchedule(ctx context.Context, tx *sqldb.Tx, s ScheduleRow, lines []rules.Line) error {
	waiting, err := proto.MarshalOptions{Deterministic: true}.Marshal(&typev1.PaymentSchedule{Refusals: s.Refusals, Withheld: s.Withheld})
	if err != nil {
		return fmt.Errorf("marshal refusals: %w", err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO schedules (`+scheduleColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		s.ID, s.CommissionerCode, s.CommissionerName, s.Month.String(), s.Sequence, s.LineCount, int64(s.PayTotal),
		int64(s.ReconcileTotal), s.LinesSHA256, s.SnapshotID, s.KnownAt, s.ClosedBy, s.ClosedAt, s.Practices, s.RegisteredPatients,
		waiting, strings.Join(s.EventIDs, " "))
	if err != nil {
		return fmt.Errorf("insert schedule %s: %w", s.ID, err)
	}
	stored, err := tx.BulkInsert(ctx, "lines", []string{
		"line_id", "schedule_id", "commissioner_code", "month", "sequence", "for_month", "payment_code", "pcn_code", "pcn_name",
		"practice_code", "item", "payee_code", "payee_name", "location_code", "funding_source", "instruction", "amount_pence",
		"adjusts_line_id", "adjustment_cause", "confidence", "holds", "working", "basis",
	}, func(yield func([]any, error) bool) {
		for i := range lines {
			if !yield(lineRow(s, &lines[i])) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("insert lines of %s: %w", s.ID, err)
	}
	if stored != int64(len(lines)) {
		return fmt.Errorf("insert lines of %s: %d of %d stored", s.ID, stored, len(lines))
	}
	return nil
}

func lineRow(s ScheduleRow, l *rules.Line) ([]any, error) {
	steps, err := proto.MarshalOptions{Deterministic: true}.Marshal(working.ToProto(l.Working))
	if err != nil {
		return nil, fmt.Errorf("marshal working of %s: %w", l.LineID, err)
	}
	basis, err := marshalBasis(l.Basis)
	if err != nil {
		return nil, fmt.Errorf("marshal basis of %s: %w", l.LineID, err)
	}
	holds := ""
	if len(l.Holds) > 0 {
		text, err := json.Marshal(l.Holds)
		if err != nil {
			return nil, fmt.Errorf("marshal holds of %s: %w", l.LineID, err)
		}
		holds = string(text)
	}
	return []any{
		l.LineID, s.ID, s.CommissionerCode, s.Month.String(), int64(s.Sequence), l.ForMonth.String(), l.PaymentCode, l.PCNCode,
		l.PCNName, l.PracticeCode, l.Item, l.PayeeCode, l.PayeeName, l.LocationCode, l.FundingSource, int64(l.Instruction),
		int64(l.Amount), l.Adjusts, int64(l.Cause), int64(l.Confidence), holds, steps, basis,
	}, nil
}

// Schedule returns one, or sql.ErrNoRows.
func Schedule(ctx context.Context, q sqldb.Querier, id string) (ScheduleRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules WHERE schedule_id = $1`, id))
}

// LatestSchedule returns the one of the greatest sequence that was closed by a moment, or sql.ErrNoRows.
func LatestSchedule(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month, asOf int64) (ScheduleRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules
		WHERE commissioner_code = $1 AND month = $2 AND closed_at <= $3 ORDER BY sequence DESC LIMIT 1`, commissioner, month.String(), asOf))
}

// ScheduleFilter selects schedules.
type ScheduleFilter struct {
	Commissioners []string // nil means all
	Month         string   // empty means all
	Before        string   // month and identifier of the last one seen, parted by a space; empty for the first page
	ClosedBy      int64    // microseconds; 0 means whenever
	Limit         int      // 0 means all
}

// Schedules returns schedules, newest month first.
func Schedules(ctx context.Context, q sqldb.Querier, by ScheduleFilter) ([]ScheduleRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	if by.Month != "" {
		f.Where("month = ?", by.Month)
	}
	if month, id, ok := strings.Cut(by.Before, " "); ok {
		f.Where("(month < ? OR (month = ? AND schedule_id > ?))", month, month, id)
	}
	if by.ClosedBy != 0 {
		f.Where("closed_at <= ?", by.ClosedBy)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules`+conditions+
		` ORDER BY month DESC, schedule_id`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load schedules: %w", err)
	}
	return rows, nil
}

func scanSchedule(rows *sql.Rows) (ScheduleRow, error) {
	var s ScheduleRow
	var month, events string
	var waiting []byte
	if err := rows.Scan(&s.ID, &s.CommissionerCode, &s.CommissionerName, &month, &s.Sequence, &s.LineCount, &s.PayTotal,
		&s.ReconcileTotal, &s.LinesSHA256, &s.SnapshotID, &s.KnownAt, &s.ClosedBy, &s.ClosedAt, &s.Practices, &s.RegisteredPatients,
		&waiting, &events); err != nil {
		return s, err
	}
	var lists typev1.PaymentSchedule
	if err := proto.Unmarshal(waiting, &lists); err != nil {
		return s, fmt.Errorf("refusals of %s: %w", s.ID, err)
	}
	s.Refusals, s.Withheld, s.EventIDs = lists.GetRefusals(), lists.GetWithheld(), strings.Fields(events)
	var p stored.Texts
	s.Month = p.Month(month)
	return s, p.Err
}

// ClosedMonth says that a commissioner has scheduled something for a month, or closed it without lines.
type ClosedMonth struct {
	CommissionerCode string
	Month            period.Month
}

// ClosedMonths returns the months that commissioners had scheduled something for, in schedules of months up to one, by a
// moment.
func ClosedMonths(ctx context.Context, q sqldb.Querier, upTo period.Month, asOf int64) (map[ClosedMonth]bool, error) {
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (c ClosedMonth, err error) {
		var month string
		if err := rows.Scan(&c.CommissionerCode, &month); err != nil {
			return c, err
		}
		var p stored.Texts
		c.Month = p.Month(month)
		return c, p.Err
	}, `SELECT commissioner_code, month FROM schedules WHERE sequence = 1 AND month <= $1 AND closed_at <= $2
		UNION SELECT l.commissioner_code, l.for_month FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id
		WHERE l.month <= $1 AND l.for_month < l.month AND s.closed_at <= $2`, upTo.String(), asOf)
	if err != nil {
		return nil, fmt.Errorf("load closed months: %w", err)
	}
	out := make(map[ClosedMonth]bool, len(rows))
	for _, row := range rows {
		out[row] = true
	}
	return out, nil
}

// LineRow is a line as it is kept.
type LineRow struct {
	rules.Line
	ScheduleID       string
	CommissionerCode string
	Month            period.Month
	Sequence         int
	WorkingBytes     []byte // absent unless asked for
}

const (
	lineColumns = `line_id, schedule_id, commissioner_code, month, sequence, for_month, payment_code, pcn_code, pcn_name, practice_code,
	item, payee_code, payee_name, location_code, funding_source, instruction, amount_pence, adjusts_line_id, adjustment_cause,
	confidence, holds, basis`
	noWorking = `, NULL`
)

// LineFilter selects lines; at least one field is set.
type LineFilter struct {
	ScheduleID    string
	LineID        string
	PCNCode       string
	Month         string   // month of the schedule
	Commissioners []string // nil means all
	WithWorking   bool
}

// Lines returns lines in order of line id.
func Lines(ctx context.Context, q sqldb.Querier, by LineFilter) ([]LineRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	for _, condition := range []struct{ column, value string }{
		{"schedule_id", by.ScheduleID}, {"line_id", by.LineID}, {"pcn_code", by.PCNCode}, {"month", by.Month},
	} {
		if condition.value != "" {
			f.Where(condition.column+" = ?", condition.value)
		}
	}
	last := noWorking
	if by.WithWorking {
		last = `, working`
	}
	rows, err := sqldb.Collect(ctx, q, scanLine, `SELECT `+lineColumns+last+` FROM lines`+f.String()+` ORDER BY line_id`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load lines: %w", err)
	}
	return rows, nil
}

func scanLine(rows *sql.Rows) (LineRow, error) {
	var l LineRow
	var month, forMonth, holds string
	var basis []byte
	var instruction, cause, confidence int64
	if err := rows.Scan(&l.LineID, &l.ScheduleID, &l.CommissionerCode, &month, &l.Sequence, &forMonth, &l.PaymentCode, &l.PCNCode, &l.PCNName,
		&l.PracticeCode, &l.Item, &l.PayeeCode, &l.PayeeName, &l.LocationCode, &l.FundingSource, &instruction, &l.Amount, &l.Adjusts,
		&cause, &confidence, &holds, &basis, &l.WorkingBytes); err != nil {
		return l, err
	}
	l.Instruction, l.Cause, l.Confidence = rules.Instruction(instruction), rules.Cause(cause), working.Confidence(confidence)
	if holds != "" {
		if err := json.Unmarshal([]byte(holds), &l.Holds); err != nil {
			return l, fmt.Errorf("holds of %s: %w", l.LineID, err)
		}
	}
	var err error
	if l.Basis, err = readBasis(basis); err != nil {
		return l, fmt.Errorf("basis of %s: %w", l.LineID, err)
	}
	var p stored.Texts
	l.Month, l.ForMonth = p.Month(month), p.Month(forMonth)
	return l, p.Err
}

// Scheduled returns what commissioners had scheduled for a month by a moment, in whichever month they did.
func Scheduled(ctx context.Context, q sqldb.Querier, commissioners []string, forMonth period.Month, asOf int64) ([]rules.ScheduledLine, error) {
	var f sqldb.Filter
	f.In("l.commissioner_code", commissioners)
	f.Where("l.for_month = ?", forMonth.String())
	f.Where("s.closed_at <= ?", asOf)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (l rules.ScheduledLine, err error) {
		l.ForMonth = forMonth
		err = rows.Scan(&l.LineID, &l.CommissionerCode, &l.PaymentCode, &l.PCNCode, &l.PracticeCode, &l.Item, &l.PayeeCode, &l.FundingSource,
			&l.PCNName, &l.PayeeName, &l.LocationCode, &l.Instruction, &l.Amount, &l.Sequence)
		return l, err
	}, `SELECT l.line_id, l.commissioner_code, l.payment_code, l.pcn_code, l.practice_code, l.item, l.payee_code, l.funding_source,
		l.pcn_name, l.payee_name, l.location_code, l.instruction, l.amount_pence, s.closed_at
		FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id`+f.String(), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load what was scheduled for %s: %w", forMonth, err)
	}
	return rows, nil
}

// Workings returns the workings of lines, by line id.
func Workings(ctx context.Context, q sqldb.Querier, ids []string) (map[string]*working.Working, error) {
	out := make(map[string]*working.Working, len(ids))
	const batch = 500
	for start := 0; start < len(ids); start += batch {
		var f sqldb.Filter
		f.In("line_id", ids[start:min(start+batch, len(ids))])
		rows, err := sqldb.Collect(ctx, q, scanLine, `SELECT `+lineColumns+`, working FROM lines`+f.String(), f.Args()...)
		if err != nil {
			return nil, fmt.Errorf("load workings: %w", err)
		}
		for i := range rows {
			if out[rows[i].LineID], err = rows[i].ReadWorking(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// ReadWorking reads the stored working.
func (l *LineRow) ReadWorking() (*working.Working, error) {
	var message typev1.Working
	if err := proto.Unmarshal(l.WorkingBytes, &message); err != nil {
		return nil, fmt.Errorf("working of %s: %w", l.LineID, err)
	}
	return working.FromProto(&message)
}
