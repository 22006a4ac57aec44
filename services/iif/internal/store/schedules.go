package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
)

// ScheduleRow is a schedule as it is kept, without its lines.
type ScheduleRow struct {
	ID               string
	CommissionerCode string
	CommissionerName string
	Month            period.Month
	Sequence         int
	LineCount        int
	PayTotal         money.Pence
	ReconcileTotal   money.Pence
	LinesSHA256      string
	SnapshotID       string
	KnownAt          int64
	ClosedBy         string
	ClosedAt         int64
	EventIDs         []string
}

const scheduleColumns = `schedule_id, commissioner_code, commissioner_name, month, sequence, line_count, pay_total_pence,
	reconcile_total_pence, lines_sha256, snapshot_id, known_at, closed_by, closed_at, event_ids`

// ScheduleLine is a line of a schedule as it is kept. The indicator is the source item of its message.
type ScheduleLine struct {
	ScheduleID       string
	CommissionerCode string
	Year             period.FinancialYear
	// Message is the line without its working.
	Message *typev1.PaymentLine
	// Working is absent unless asked for.
	Working *typev1.Working
}

// InsertSchedule adds a schedule and its lines. A schedule of the same commissioner, month and sequence is a unique violation.
func InsertSchedule(ctx context.Context, tx *sqldb.Tx, s ScheduleRow, lines []ScheduleLine) error {
	_, err := tx.Exec(ctx, `INSERT INTO schedules (`+scheduleColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		s.ID, s.CommissionerCode, s.CommissionerName, s.Month.String(), s.Sequence, s.LineCount, int64(s.PayTotal), int64(s.ReconcileTotal),
		s.LinesSHA256, s.SnapshotID, s.KnownAt, s.ClosedBy, s.ClosedAt, strings.Join(s.EventIDs, " "))
	if err != nil {
		return fmt.Errorf("insert schedule %s: %w", s.ID, err)
	}
	stored, err := tx.BulkInsert(ctx, "lines", []string{
		"line_id", "schedule_id", "commissioner_code", "month", "pcn_code", "financial_year", "indicator_code", "payee_code", "message", "working",
	}, rowsOf(lines, func(l ScheduleLine) ([]any, error) {
		message, err := sqldb.Marshal(l.Message)
		if err != nil {
			return nil, err
		}
		steps, err := sqldb.Marshal(l.Working)
		return []any{
			l.Message.GetLineId(), s.ID, s.CommissionerCode, s.Month.String(), l.Message.GetPcnCode(), l.Year.String(), l.Message.GetSourceItem(),
			l.Message.GetPayee().GetCode(), message, steps,
		}, err
	}))
	if err != nil {
		return fmt.Errorf("insert lines of %s: %w", s.ID, err)
	}
	if stored != int64(len(lines)) {
		return fmt.Errorf("insert lines of %s: %d of %d stored", s.ID, stored, len(lines))
	}
	return nil
}

// Schedule returns one, or sql.ErrNoRows.
func Schedule(ctx context.Context, q sqldb.Querier, id string) (ScheduleRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules WHERE schedule_id = $1`, id))
}

// LatestSchedule returns the one of the greatest sequence, or sql.ErrNoRows.
func LatestSchedule(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (ScheduleRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules
		WHERE commissioner_code = $1 AND month = $2 ORDER BY sequence DESC LIMIT 1`, commissioner, month.String()))
}

// ScheduleFilter selects schedules.
type ScheduleFilter struct {
	Commissioners []string // nil means all
	Month         string   // empty means all
	Before        string   // month and identifier of the last one seen, parted by a space; empty for the first page
	Limit         int      // 0 means all
}

// Schedules returns schedules, newest month first.
func Schedules(ctx context.Context, q sqldb.Querier, by ScheduleFilter) ([]ScheduleRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("month", by.Month)
	if month, id, ok := strings.Cut(by.Before, " "); ok {
		f.Where("(month < ? OR (month = ? AND schedule_id > ?))", month, month, id)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanSchedule, `SELECT `+scheduleColumns+` FROM schedules`+conditions+
		` ORDER BY month DESC, schedule_id`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load schedules: %w", err)
	}
	return rows, nil
}

func scanSchedule(rows *sql.Rows) (s ScheduleRow, err error) {
	var month, events string
	if err := rows.Scan(&s.ID, &s.CommissionerCode, &s.CommissionerName, &month, &s.Sequence, &s.LineCount, &s.PayTotal, &s.ReconcileTotal,
		&s.LinesSHA256, &s.SnapshotID, &s.KnownAt, &s.ClosedBy, &s.ClosedAt, &events); err != nil {
		return s, err
	}
	s.EventIDs = strings.Fields(events)
	var p stored.Texts
	s.Month = p.Month(month)
	return s, p.Err
}

// ScheduleLines returns the lines of a schedule, in order of line id.
func ScheduleLines(ctx context.Context, q sqldb.Querier, scheduleID string, withWorking bool) ([]ScheduleLine, error) {
	column := `NULL`
	if withWorking {
		column = `working`
	}
	rows, err := sqldb.Collect(ctx, q, scanScheduleLine, `SELECT schedule_id, commissioner_code, financial_year, message, `+column+`
		FROM lines WHERE schedule_id = $1 ORDER BY line_id`, scheduleID)
	if err != nil {
		return nil, fmt.Errorf("load lines of %s: %w", scheduleID, err)
	}
	return rows, nil
}

// ExplainedLine returns one line with its working, and the month of its schedule; sql.ErrNoRows if there is none.
func ExplainedLine(ctx context.Context, q sqldb.Querier, id string) (line ScheduleLine, month string, err error) {
	line, err = sqldb.First(sqldb.Collect(ctx, q, scanScheduleLine, `SELECT schedule_id, commissioner_code, financial_year, message, working
		FROM lines WHERE line_id = $1`, id))
	if err != nil {
		return line, "", err
	}
	row, err := Schedule(ctx, q, line.ScheduleID)
	return line, row.Month.String(), err
}

func scanScheduleLine(rows *sql.Rows) (l ScheduleLine, err error) {
	var year string
	var message, steps []byte
	if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &year, &message, &steps); err != nil {
		return l, err
	}
	var p stored.Texts
	if l.Year = p.Year(year); p.Err != nil {
		return l, p.Err
	}
	if l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine)); err != nil || steps == nil {
		return l, err
	}
	l.Working, err = sqldb.Unmarshal(steps, new(typev1.Working))
	return l, err
}

// LinesSince returns the lines of some PCNs for years from one on, in the order in which they were closed. Of one schedule the line that
// gives comes after the one that takes back.
func LinesSince(ctx context.Context, q sqldb.Querier, pcns []string, from period.FinancialYear) ([]ScheduleLine, error) {
	return linesWhere(ctx, q, pcns, "l.financial_year >= ?", from.String())
}

// LinesWithoutPayee returns the lines of some PCNs that nobody can be paid, and those that took such lines back, in the order in which
// they were closed.
func LinesWithoutPayee(ctx context.Context, q sqldb.Querier, pcns []string) ([]ScheduleLine, error) {
	return linesWhere(ctx, q, pcns, withoutPayee)
}

// UnpaidLines returns those of all PCNs.
func UnpaidLines(ctx context.Context, q sqldb.Querier) ([]ScheduleLine, error) {
	var f sqldb.Filter
	f.Where(withoutPayee)
	return inOrderOfClose(closedLines(ctx, q, &f))
}

// withoutPayee repeats the condition of the index lines_without_payee.
const withoutPayee = `l.payee_code = ''`

// TakesBack tells whether a line takes back one that nobody could be paid. Only such a line has the cause PAYEE and no payee.
func TakesBack(line *typev1.PaymentLine) bool {
	return line.GetPayee().GetCode() == "" && line.GetAdjustmentCause() == typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
}

func linesWhere(ctx context.Context, q sqldb.Querier, pcns []string, condition string, args ...any) ([]ScheduleLine, error) {
	var found []closedLine
	err := sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.pcn_code", batch)
		f.Where(condition, args...)
		lines, err := closedLines(ctx, q, &f)
		found = append(found, lines...)
		return err
	})
	return inOrderOfClose(found, err)
}

// closedLine is a line and when its schedule was closed.
type closedLine struct {
	ScheduleLine
	at int64
}

func closedLines(ctx context.Context, q sqldb.Querier, f *sqldb.Filter) ([]closedLine, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (l closedLine, err error) {
		var year string
		var message []byte
		if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &year, &message, &l.at); err != nil {
			return l, err
		}
		var p stored.Texts
		if l.Year = p.Year(year); p.Err != nil {
			return l, p.Err
		}
		l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine))
		return l, err
	}, `SELECT l.schedule_id, l.commissioner_code, l.financial_year, l.message, s.closed_at
		FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id`+f.String(), f.Args()...)
}

// inOrderOfClose puts lines in the order in which they were closed; of one schedule the one that gives after the one that takes back.
func inOrderOfClose(found []closedLine, err error) ([]ScheduleLine, error) {
	if err != nil {
		return nil, fmt.Errorf("load lines of PCNs: %w", err)
	}
	slices.SortFunc(found, func(a, b closedLine) int {
		takes := func(l *closedLine) int {
			if TakesBack(l.Message) {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(takes(&a), takes(&b)), cmp.Compare(a.Message.GetLineId(), b.Message.GetLineId()))
	})
	out := make([]ScheduleLine, len(found))
	for i := range found {
		out[i] = found[i].ScheduleLine
	}
	return out, nil
}

// Debt is whose money something is: it was put to a commissioner, for a year of a PCN.
type Debt struct {
	CommissionerCode, PCNCode string
	Year                      period.FinancialYear
}

// Conditions of what waits for a close of a month or a later one: years and corrections that were approved and are in no schedule. They
// repeat the conditions of the indices achievements_due and corrections_due.
const (
	waitingYears       = `a.payment_month <> '' AND a.schedule_id = '' AND a.payment_month <= ?`
	waitingCorrections = `c.state = 2 AND c.schedule_id = '' AND c.payment_month <> '' AND c.payment_month <= ?`
)

// WaitingDebts returns what waits for a close of a month, of whatever commissioner, in order.
func WaitingDebts(ctx context.Context, q sqldb.Querier, upTo period.Month) ([]Debt, error) {
	var years, corrections sqldb.Filter
	years.Where(waitingYears, upTo.String())
	corrections.Where(waitingCorrections, upTo.String())
	rows, err := sqldb.Collect(ctx, q, scanDebt, `SELECT a.commissioner_code, a.pcn_code, a.financial_year FROM achievements a`+years.String()+`
		UNION SELECT c.commissioner_code, c.pcn_code, c.financial_year FROM corrections c`+corrections.String()+`
		ORDER BY commissioner_code, pcn_code, financial_year`, upTo.String())
	if err != nil {
		return nil, fmt.Errorf("load what waits for a close: %w", err)
	}
	return rows, nil
}

func scanDebt(rows *sql.Rows) (d Debt, err error) {
	var year string
	if err := rows.Scan(&d.CommissionerCode, &d.PCNCode, &year); err != nil {
		return d, err
	}
	var p stored.Texts
	d.Year = p.Year(year)
	return d, p.Err
}

// DueYear is an approved year that waits for a close, with the result that was approved.
type DueYear struct {
	Debt
	PCNName, LocationCode string
	// Result is without who worked it out, and when.
	Result ResultRow
}

// DueYears returns the years that were put to some commissioners and wait for a close of a month, in order of year and PCN.
func DueYears(ctx context.Context, q sqldb.Querier, commissioners []string, upTo period.Month) ([]DueYear, error) {
	var f sqldb.Filter
	f.Where(waitingYears, upTo.String())
	f.In("a.commissioner_code", commissioners)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (y DueYear, err error) {
		var year string
		var body []byte
		r := &y.Result
		if err := rows.Scan(&y.CommissionerCode, &y.PCNCode, &year, &y.PCNName, &y.LocationCode, &r.ID, &r.CommissionerCode, &body, &r.Digest, &r.Due, &r.Whole); err != nil {
			return y, err
		}
		var p stored.Texts
		if y.Year = p.Year(year); p.Err != nil {
			return y, p.Err
		}
		r.PCNCode, r.Year = y.PCNCode, y.Year
		r.Basis, err = sqldb.Unmarshal(body, new(iifv1.YearResult))
		return y, err
	}, `SELECT a.commissioner_code, a.pcn_code, a.financial_year, a.pcn_name, a.location_code, a.result_id, r.commissioner_code, r.basis, r.digest, r.due_pence, r.whole
		FROM achievements a JOIN results r ON r.result_id = a.result_id`+f.String()+` ORDER BY a.financial_year, a.pcn_code`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load years that are due: %w", err)
	}
	return rows, nil
}

// DueCorrection is an approved correction that waits for a close.
type DueCorrection struct {
	Debt
	ID                    string
	PCNName, LocationCode string
	Lines                 []*iifv1.CorrectionLine
	Amount                money.Pence
	// YearScheduled tells whether the year that it corrects is in a schedule.
	YearScheduled bool
}

// DueCorrections returns the corrections that were put to some commissioners and wait for a close of a month, in order of identifier.
func DueCorrections(ctx context.Context, q sqldb.Querier, commissioners []string, upTo period.Month) ([]DueCorrection, error) {
	var f sqldb.Filter
	f.Where(waitingCorrections, upTo.String())
	f.In("c.commissioner_code", commissioners)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (c DueCorrection, err error) {
		var year string
		var body []byte
		if err := rows.Scan(&c.CommissionerCode, &c.PCNCode, &year, &c.ID, &c.PCNName, &c.LocationCode, &body, &c.Amount, &c.YearScheduled); err != nil {
			return c, err
		}
		var p stored.Texts
		if c.Year = p.Year(year); p.Err != nil {
			return c, p.Err
		}
		kept, err := sqldb.Unmarshal(body, new(iifv1.Correction))
		c.Lines = kept.GetLines()
		return c, err
	}, `SELECT c.commissioner_code, c.pcn_code, c.financial_year, c.correction_id, a.pcn_name, a.location_code, c.lines, c.amount_pence, a.schedule_id <> ''
		FROM corrections c JOIN achievements a ON a.pcn_code = c.pcn_code AND a.financial_year = c.financial_year`+f.String()+
		` ORDER BY c.correction_id`, f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load corrections that are due: %w", err)
	}
	return rows, nil
}

// MarkYears notes the schedule of a year of some PCNs that wait for one. It returns how many they are.
func MarkYears(ctx context.Context, tx *sqldb.Tx, scheduleID string, year period.FinancialYear, pcns []string) (int64, error) {
	return mark(ctx, tx, scheduleID, "achievements", "pcn_code", pcns, `financial_year = ? AND payment_month <> ''`, year.String())
}

// MarkCorrections notes the schedule of corrections that wait for one. It returns how many they are.
func MarkCorrections(ctx context.Context, tx *sqldb.Tx, scheduleID string, ids []string) (int64, error) {
	return mark(ctx, tx, scheduleID, "corrections", "correction_id", ids, `state = 2`)
}

func mark(ctx context.Context, tx *sqldb.Tx, scheduleID, table, key string, keys []string, condition string, args ...any) (marked int64, err error) {
	err = sqldb.InBatches(keys, func(batch []string) error {
		var f sqldb.Filter
		f.In(key, batch)
		f.Where(condition+` AND schedule_id = ''`, args...)
		schedule := f.Arg(scheduleID)
		result, err := tx.Exec(ctx, `UPDATE `+table+` SET schedule_id = `+schedule+`, version = version + 1`+f.String(), f.Args()...)
		if err != nil {
			return fmt.Errorf("note %s with %s: %w", scheduleID, table, err)
		}
		n, err := result.RowsAffected()
		marked += n
		return err
	})
	return marked, err
}

// ApprovedSums returns what a year of some PCNs comes to by what schedules took up of it: by its result, or by that of the last correction.
// A PCN whose year is in no schedule has none.
func ApprovedSums(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) (map[string]money.Pence, error) {
	type approved struct {
		pcn string
		due money.Pence
	}
	out := make(map[string]money.Pence)
	err := sqldb.InBatches(pcns, func(batch []string) error {
		for _, from := range []string{
			`achievements t JOIN results r ON r.result_id = t.result_id%s ORDER BY t.pcn_code`,
			`corrections t JOIN results r ON r.result_id = t.result_id%s ORDER BY t.decided_at, t.correction_id`,
		} {
			var f sqldb.Filter
			f.Where(`t.schedule_id <> '' AND t.financial_year = ?`, year.String())
			f.In("t.pcn_code", batch)
			rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (a approved, err error) {
				err = rows.Scan(&a.pcn, &a.due)
				return a, err
			}, `SELECT t.pcn_code, r.due_pence FROM `+fmt.Sprintf(from, f.String()), f.Args()...)
			if err != nil {
				return err
			}
			for _, a := range rows {
				out[a.pcn] = a.due
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load what was approved: %w", err)
	}
	return out, nil
}
