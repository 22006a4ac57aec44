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
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
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

// ScheduleLine is a line of a schedule as it is kept.
type ScheduleLine struct {
	ScheduleID       string
	CommissionerCode string
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
		"line_id", "schedule_id", "commissioner_code", "month", "pcn_code", "payee_code", "message", "working",
	}, rowsOf(lines, func(l ScheduleLine) ([]any, error) {
		message, err := sqldb.Marshal(l.Message)
		if err != nil {
			return nil, err
		}
		steps, err := sqldb.Marshal(l.Working)
		return []any{l.Message.GetLineId(), s.ID, s.CommissionerCode, s.Month.String(), l.Message.GetPcnCode(), l.Message.GetPayee().GetCode(), message, steps}, err
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
	rows, err := sqldb.Collect(ctx, q, scanScheduleLine, `SELECT schedule_id, commissioner_code, message, `+column+` FROM lines WHERE schedule_id = $1 ORDER BY line_id`, scheduleID)
	if err != nil {
		return nil, fmt.Errorf("load lines of %s: %w", scheduleID, err)
	}
	return rows, nil
}

// ExplainedLine returns one line with its working, and the month of its schedule; sql.ErrNoRows if there is none.
func ExplainedLine(ctx context.Context, q sqldb.Querier, id string) (line ScheduleLine, month string, err error) {
	line, err = sqldb.First(sqldb.Collect(ctx, q, scanScheduleLine, `SELECT schedule_id, commissioner_code, message, working FROM lines WHERE line_id = $1`, id))
	if err != nil {
		return line, "", err
	}
	row, err := Schedule(ctx, q, line.ScheduleID)
	return line, row.Month.String(), err
}

func scanScheduleLine(rows *sql.Rows) (l ScheduleLine, err error) {
	var message, steps []byte
	if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &message, &steps); err != nil {
		return l, err
	}
	if l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine)); err != nil || steps == nil {
		return l, err
	}
	l.Working, err = sqldb.Unmarshal(steps, new(typev1.Working))
	return l, err
}

// LinesSince returns the lines of some PCNs in schedules of months from one on, in the order in which they were closed. Of one schedule
// the line that gives comes after the one that takes back.
func LinesSince(ctx context.Context, q sqldb.Querier, pcns []string, from period.Month) ([]ScheduleLine, error) {
	return linesWhere(ctx, q, pcns, "l.month >= ?", from.String())
}

// LinesWithoutPayee returns the lines of some PCNs that nobody can be paid, and those that took such lines back, in the order in which
// they were closed.
func LinesWithoutPayee(ctx context.Context, q sqldb.Querier, pcns []string) ([]ScheduleLine, error) {
	return linesWhere(ctx, q, pcns, "l.payee_code = ''")
}

// TakesBack tells whether a line takes back one that nobody could be paid. Only such a line has the cause PAYEE and no payee.
func TakesBack(line *typev1.PaymentLine) bool {
	return line.GetPayee().GetCode() == "" && line.GetAdjustmentCause() == typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
}

func linesWhere(ctx context.Context, q sqldb.Querier, pcns []string, condition string, args ...any) ([]ScheduleLine, error) {
	type closedLine struct {
		ScheduleLine
		at int64
	}
	var found []closedLine
	err := sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.pcn_code", batch)
		f.Where(condition, args...)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (l closedLine, err error) {
			var message []byte
			if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &message, &l.at); err != nil {
				return l, err
			}
			l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine))
			return l, err
		}, func(l closedLine) error {
			found = append(found, l)
			return nil
		}, `SELECT l.schedule_id, l.commissioner_code, l.message, s.closed_at FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id`+
			f.String(), f.Args()...)
	})
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

// DueClaim is what of a claim waits for a close, with the commissioner that owes it: the one it was put forward to, or that paid what a
// correction replaces.
type DueClaim struct {
	rules.DueClaim
	CommissionerCode string
}

// DueClaims returns what of the claims of some PCNs, for months up to one, was approved and is in no schedule: by claim and pot. Of a
// correction it is the difference to what it replaces, which can be below nothing.
func DueClaims(ctx context.Context, q sqldb.Querier, pcns []string, upTo period.Month) ([]DueClaim, error) {
	var out []DueClaim
	err := sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.pcn_code", batch)
		f.Where("c.month <= ?", upTo.String())
		rows, err := sqldb.Collect(ctx, q, scanDue, `SELECT l.claim_id, l.pcn_code, `+owing+`, c.month, c.financial_year, l.pot,
			CAST(SUM(l.approved_pence - l.paid_pence) AS BIGINT), COUNT(*), MAX(l.confidence), c.kind FROM claim_lines l JOIN claims c ON c.claim_id = l.claim_id`+
			f.String()+` AND `+waiting+` GROUP BY l.claim_id, l.pcn_code, `+owing+`, c.month, c.financial_year, c.kind, l.pot`, f.Args()...)
		out = append(out, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load what is due: %w", err)
	}
	return out, nil
}

// owing is whom a claim was put forward to; of a correction it is the body that paid what it replaces.
const owing = `CASE WHEN l.paid_by <> '' THEN l.paid_by ELSE c.commissioner_code END`

// waiting selects lines of which something else was approved than is in schedules, and that no correction has replaced; it is what the
// index of due lines is of. A correction to nothing is due and no longer live.
const waiting = `l.replaced_by = '' AND l.schedule_id = '' AND l.approved_pence <> l.paid_pence`

func scanDue(rows *sql.Rows) (d DueClaim, err error) {
	var month, year, pot string
	var confidence int64
	var kind ClaimKind
	if err := rows.Scan(&d.ClaimID, &d.PCNCode, &d.CommissionerCode, &month, &year, &pot, &d.Amount, &d.Lines, &confidence, &kind); err != nil {
		return d, err
	}
	var p stored.Texts
	d.Pot, d.Confidence, d.Correction = rules.Pot(pot), working.Confidence(confidence), kind == Correction
	d.Month, d.Year = p.Month(month), stored.Parse(&p, year, period.ParseFinancialYear)
	return d, p.Err
}

// ClaimingPCNs returns the PCNs that ever put a claim forward to a commissioner, or of which it paid what a correction that waits for a close
// replaces, in order.
func ClaimingPCNs(ctx context.Context, q sqldb.Querier, commissioner string) ([]string, error) {
	codes, err := sqldb.Collect(ctx, q, sqldb.Text, `SELECT pcn_code FROM claims WHERE commissioner_code = $1
		UNION SELECT l.pcn_code FROM claim_lines l WHERE l.paid_by = $1 AND `+waiting+` ORDER BY pcn_code`, commissioner)
	if err != nil {
		return nil, fmt.Errorf("load PCNs with claims: %w", err)
	}
	return codes, nil
}

// MarkScheduled notes the schedule of the lines of claims that wait for one and that a body owes, and by whom they are now paid. It returns
// how many lines they are.
func MarkScheduled(ctx context.Context, tx *sqldb.Tx, scheduleID, paidBy, owedBy string, claims []string) (marked int64, err error) {
	err = sqldb.InBatches(claims, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.claim_id", batch)
		f.Where(strings.ReplaceAll(owing, "c.commissioner_code", "(SELECT c.commissioner_code FROM claims c WHERE c.claim_id = l.claim_id)")+" = ?", owedBy)
		schedule, by := f.Arg(scheduleID), f.Arg(paidBy)
		result, err := tx.Exec(ctx, `UPDATE claim_lines AS l SET schedule_id = `+schedule+`, paid_by = `+by+f.String()+` AND `+waiting, f.Args()...)
		if err != nil {
			return fmt.Errorf("note %s with lines of claims: %w", scheduleID, err)
		}
		n, err := result.RowsAffected()
		marked += n
		return err
	})
	return marked, err
}
