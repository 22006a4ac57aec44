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
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
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

// ScheduleLine is a line of a schedule as it is kept.
type ScheduleLine struct {
	ScheduleID string
	// CommissionerCode is the body that the schedule is of.
	CommissionerCode   string
	PlanID, PlanLineID string
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
		"line_id", "schedule_id", "commissioner_code", "month", "pcn_code", "plan_id", "plan_line_id", "for_month", "amount_pence", "payee_code",
		"message", "working",
	}, rowsOf(lines, func(l ScheduleLine) ([]any, error) {
		message, err := sqldb.Marshal(l.Message)
		if err != nil {
			return nil, err
		}
		steps, err := sqldb.Marshal(l.Working)
		return []any{
			l.Message.GetLineId(), s.ID, s.CommissionerCode, s.Month.String(), l.Message.GetPcnCode(), l.PlanID, l.PlanLineID, l.Message.GetForMonth(),
			l.Message.GetAmountPence(), l.Message.GetPayee().GetCode(), message, steps,
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
	s.Month, err = storedMonth(month)
	return s, err
}

// storedMonth reads a month as a column holds it.
func storedMonth(text string) (period.Month, error) {
	month, err := period.ParseMonth(text)
	if err != nil {
		return month, fmt.Errorf("stored value: %w", err)
	}
	return month, nil
}

const scheduleLineColumns = `l.schedule_id, l.commissioner_code, l.plan_id, l.plan_line_id, l.message`

// ScheduleLines returns the lines of a schedule, in order of line id.
func ScheduleLines(ctx context.Context, q sqldb.Querier, scheduleID string, withWorking bool) ([]ScheduleLine, error) {
	column := `NULL`
	if withWorking {
		column = `l.working`
	}
	rows, err := sqldb.Collect(ctx, q, scanScheduleLine, `SELECT `+scheduleLineColumns+`, `+column+` FROM lines l WHERE l.schedule_id = $1
		ORDER BY l.line_id`, scheduleID)
	if err != nil {
		return nil, fmt.Errorf("load lines of %s: %w", scheduleID, err)
	}
	return rows, nil
}

// ExplainedLine returns one line with its working, and the month of its schedule; sql.ErrNoRows if there is none.
func ExplainedLine(ctx context.Context, q sqldb.Querier, id string) (line ScheduleLine, month string, err error) {
	line, err = sqldb.First(sqldb.Collect(ctx, q, scanScheduleLine, `SELECT `+scheduleLineColumns+`, l.working FROM lines l WHERE l.line_id = $1`, id))
	if err != nil {
		return line, "", err
	}
	row, err := Schedule(ctx, q, line.ScheduleID)
	return line, row.Month.String(), err
}

func scanScheduleLine(rows *sql.Rows) (l ScheduleLine, err error) {
	var message, steps []byte
	if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &l.PlanID, &l.PlanLineID, &message, &steps); err != nil {
		return l, err
	}
	if l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine)); err != nil || steps == nil {
		return l, err
	}
	l.Working, err = sqldb.Unmarshal(steps, new(typev1.Working))
	return l, err
}

// TakesBack tells whether a line takes back one that nobody could be paid. Only such a line has the cause PAYEE and no payee.
func TakesBack(line *typev1.PaymentLine) bool {
	return line.GetPayee().GetCode() == "" && line.GetAdjustmentCause() == typev1.AdjustmentCause_ADJUSTMENT_CAUSE_PAYEE
}

// LinesOfPlans returns what schedules hold of some plans for some months, in the order in which it was closed. Of one schedule the line
// that gives comes after the one that takes back.
func LinesOfPlans(ctx context.Context, q sqldb.Querier, plans []string, months []period.Month) ([]ScheduleLine, error) {
	texts := make([]string, len(months))
	for i, month := range months {
		texts[i] = month.String()
	}
	var found []closedLine
	err := sqldb.InBatches(plans, func(batch []string) error {
		var f sqldb.Filter
		f.In("l.plan_id", batch)
		f.In("l.for_month", texts)
		lines, err := closedLines(ctx, q, &f)
		found = append(found, lines...)
		return err
	})
	return inOrderOfClose(found, err)
}

// UnpaidLines returns the lines of plans of some commissioners that nobody could be paid and that no line has taken back, for months up to
// one, in the order in which they were closed.
func UnpaidLines(ctx context.Context, q sqldb.Querier, commissioners []string, upTo period.Month) ([]WaitingRow, error) {
	var f sqldb.Filter
	f.Where("l.payee_code = '' AND l.for_month <= ?", upTo.String())
	f.Where("l.plan_id IN (SELECT p.plan_id FROM plans p WHERE "+among("p.commissioner_code", len(commissioners))+")", anys(commissioners)...)
	found, err := closedLines(ctx, q, &f)
	lines, err := inOrderOfClose(found, err)
	if err != nil {
		return nil, err
	}
	taken := make(map[string]bool)
	for i := range lines {
		if TakesBack(lines[i].Message) {
			taken[lines[i].Message.GetAdjustsLineId()] = true
		}
	}
	owners, err := ownersOf(ctx, q, commissioners)
	if err != nil {
		return nil, err
	}
	var out []WaitingRow
	for i := range lines {
		line := lines[i].Message
		if TakesBack(line) || taken[line.GetLineId()] {
			continue
		}
		month, err := storedMonth(line.GetForMonth())
		if err != nil {
			return nil, err
		}
		out = append(out, WaitingRow{
			Debt:   Debt{CommissionerCode: owners[lines[i].PlanID], PCNCode: line.GetPcnCode(), Month: month},
			PlanID: lines[i].PlanID, LineID: lines[i].PlanLineID,
		})
	}
	return out, nil
}

// ownersOf returns the commissioners of the plans of some, by plan.
func ownersOf(ctx context.Context, q sqldb.Querier, commissioners []string) (map[string]string, error) {
	var f sqldb.Filter
	f.In("commissioner_code", commissioners)
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (row [2]string, err error) {
		err = rows.Scan(&row[0], &row[1])
		return row, err
	}, `SELECT plan_id, commissioner_code FROM plans`+f.String(), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("load commissioners of plans: %w", err)
	}
	out := make(map[string]string, len(rows))
	for _, row := range rows {
		out[row[0]] = row[1]
	}
	return out, nil
}

// closedLine is a line and when its schedule was closed.
type closedLine struct {
	ScheduleLine
	at int64
}

func closedLines(ctx context.Context, q sqldb.Querier, f *sqldb.Filter) ([]closedLine, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (l closedLine, err error) {
		var message []byte
		if err := rows.Scan(&l.ScheduleID, &l.CommissionerCode, &l.PlanID, &l.PlanLineID, &message, &l.at); err != nil {
			return l, err
		}
		l.Message, err = sqldb.Unmarshal(message, new(typev1.PaymentLine))
		return l, err
	}, `SELECT `+scheduleLineColumns+`, s.closed_at FROM lines l JOIN schedules s ON s.schedule_id = l.schedule_id`+f.String(), f.Args()...)
}

// inOrderOfClose puts lines in the order in which they were closed; of one schedule the one that gives after the one that takes back.
func inOrderOfClose(found []closedLine, err error) ([]ScheduleLine, error) {
	if err != nil {
		return nil, fmt.Errorf("load lines of plans: %w", err)
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

// Debt is whose money something is: a commissioner's plan pays a PCN for a month.
type Debt struct {
	CommissionerCode, PCNCode string
	Month                     period.Month
}

// WaitingRow is a line of a plan for a PCN and a month of which schedules do not hold what is owed.
type WaitingRow struct {
	Debt
	PlanID, LineID string
	// Tranche is what the approved version pays, Taken what approved treatments take back of it, Held what schedules hold.
	Tranche, Taken, Held money.Pence
}

// payeeOfPCNs repeats PCN_PAYEE of the contract: what is paid to a supplier, or in kind, is in no schedule.
const payeeOfPCNs = `1`

// Waiting returns that of plans of some commissioners for months up to one, in order of plan, line, PCN and month.
func Waiting(ctx context.Context, q sqldb.Querier, commissioners []string, upTo period.Month) ([]WaitingRow, error) {
	// Each part of the union says for itself whose plans it is of: not every planner puts a condition on the whole into the parts.
	mine := ` WHERE p.commissioner_code IN (` + sqldb.Placeholders(2, len(commissioners)) + `)`
	rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (w WaitingRow, err error) {
		var month string
		if err := rows.Scan(&w.CommissionerCode, &w.PlanID, &w.LineID, &w.PCNCode, &month, &w.Tranche, &w.Taken, &w.Held); err != nil {
			return w, err
		}
		w.Month, err = storedMonth(month)
		return w, err
	}, `SELECT d.commissioner_code, d.plan_id, d.line_id, d.pcn_code, d.month,
		CAST(SUM(d.tranche) AS BIGINT), CAST(SUM(d.taken) AS BIGINT), CAST(SUM(d.held) AS BIGINT)
		FROM (
			SELECT p.commissioner_code, t.plan_id, t.line_id, t.pcn_code, t.month, t.amount_pence AS tranche, 0 AS taken, 0 AS held
			FROM plans p JOIN plan_lines pl ON pl.plan_id = p.plan_id AND pl.number = p.approved_version AND pl.payee = `+payeeOfPCNs+`
			JOIN tranches t ON t.plan_id = pl.plan_id AND t.number = pl.number AND t.line_id = pl.line_id`+mine+` AND t.month <= $1
			UNION ALL
			SELECT p.commissioner_code, r.plan_id, r.line_id, r.pcn_code, r.month, 0, r.amount_pence, 0
			FROM treatments x JOIN recoveries r ON r.treatment_id = x.treatment_id JOIN plans p ON p.plan_id = r.plan_id`+mine+`
			AND x.state = 2 AND r.month <= $1
			UNION ALL
			SELECT p.commissioner_code, l.plan_id, l.plan_line_id, l.pcn_code, l.for_month, 0, 0, l.amount_pence
			FROM plans p JOIN lines l ON l.plan_id = p.plan_id`+mine+` AND l.for_month <= $1
		) d
		GROUP BY d.commissioner_code, d.plan_id, d.line_id, d.pcn_code, d.month
		HAVING SUM(d.tranche) - SUM(d.taken) <> SUM(d.held)
		ORDER BY d.plan_id, d.line_id, d.pcn_code, d.month`, append([]any{upTo.String()}, anys(commissioners)...)...)
	if err != nil {
		return nil, fmt.Errorf("load what waits for a close: %w", err)
	}
	return rows, nil
}

// Tranches returns what the approved versions of some plans pay PCNs for some months, whether it is scheduled or not. Held and Taken are
// not filled in.
func Tranches(ctx context.Context, q sqldb.Querier, plans []string, months []period.Month) ([]WaitingRow, error) {
	texts := make([]string, len(months))
	for i, month := range months {
		texts[i] = month.String()
	}
	var out []WaitingRow
	err := sqldb.InBatches(plans, func(batch []string) error {
		var f sqldb.Filter
		f.In("t.plan_id", batch)
		f.In("t.month", texts)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (w WaitingRow, err error) {
			var month string
			if err := rows.Scan(&w.CommissionerCode, &w.PlanID, &w.LineID, &w.PCNCode, &month, &w.Tranche); err != nil {
				return w, err
			}
			w.Month, err = storedMonth(month)
			return w, err
		}, `SELECT p.commissioner_code, t.plan_id, t.line_id, t.pcn_code, t.month, t.amount_pence
			FROM plans p JOIN tranches t ON t.plan_id = p.plan_id AND t.number = p.approved_version
			JOIN plan_lines pl ON pl.plan_id = t.plan_id AND pl.number = t.number AND pl.line_id = t.line_id AND pl.payee = `+payeeOfPCNs+
			f.String(), f.Args()...)
		out = append(out, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load tranches: %w", err)
	}
	return out, nil
}

// PayersOf returns the commissioners whose approved plans pay some PCNs.
func PayersOf(ctx context.Context, q sqldb.Querier, pcns []string) ([]string, error) {
	var out []string
	err := sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("t.pcn_code", batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (code string, err error) {
			err = rows.Scan(&code)
			return code, err
		}, `SELECT DISTINCT p.commissioner_code FROM tranches t JOIN plans p ON p.plan_id = t.plan_id`+f.String(), f.Args()...)
		out = append(out, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load whose plans pay PCNs: %w", err)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// RecoveryRow is unspent money that an approved treatment takes back from a PCN.
type RecoveryRow struct {
	TreatmentID, PlanID, LineID, PCNCode string
	Month                                period.Month
	Amount                               money.Pence
}

// Recoveries returns those of some plans, in the order in which they were approved.
func Recoveries(ctx context.Context, q sqldb.Querier, plans []string) ([]RecoveryRow, error) {
	var out []RecoveryRow
	err := sqldb.InBatches(plans, func(batch []string) error {
		var f sqldb.Filter
		f.In("r.plan_id", batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (r RecoveryRow, err error) {
			var month string
			if err := rows.Scan(&r.TreatmentID, &r.PlanID, &r.LineID, &r.PCNCode, &month, &r.Amount); err != nil {
				return r, err
			}
			r.Month, err = storedMonth(month)
			return r, err
		}, `SELECT r.treatment_id, r.plan_id, r.line_id, r.pcn_code, r.month, r.amount_pence
			FROM recoveries r JOIN treatments x ON x.treatment_id = r.treatment_id AND x.state = 2`+f.String()+
			` ORDER BY x.decided_at, r.treatment_id, r.pcn_code`, f.Args()...)
		out = append(out, rows...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load money taken back: %w", err)
	}
	return out, nil
}

// PaidLine is a line of a plan as the newest version has it that was approved or drafted before that, with what a schedule says of it.
type PaidLine struct {
	PlanID, LineID string
	Year           string // as it is stored
	// Approved is the version that stands; Version is the newest that has the line.
	Approved, Version int
	Message           *devfundv1.PlanLine
	// Confidence is that of the allocation which the line draws on; 0 where none is stated.
	Confidence typev1.Confidence
}

// PaidLines returns the lines of some plans, by plan and line.
func PaidLines(ctx context.Context, q sqldb.Querier, plans []string) (map[[2]string]PaidLine, error) {
	out := make(map[[2]string]PaidLine)
	err := sqldb.InBatches(plans, func(batch []string) error {
		var f sqldb.Filter
		f.Where("l.number <= p.approved_version")
		f.In("l.plan_id", batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (l PaidLine, err error) {
			var body []byte
			if err := rows.Scan(&l.PlanID, &l.LineID, &l.Year, &l.Approved, &l.Version, &body, &l.Confidence); err != nil {
				return l, err
			}
			l.Message, err = sqldb.Unmarshal(body, new(devfundv1.PlanLine))
			return l, err
		}, `SELECT l.plan_id, l.line_id, p.financial_year, p.approved_version, l.number, l.message, COALESCE((
				SELECT v.confidence FROM allocation_versions v WHERE v.allocation_id = l.allocation_id AND v.basis >= 2 AND v.confidence <= 3
				ORDER BY v.basis DESC, v.version DESC LIMIT 1), 0)
			FROM plan_lines l JOIN plans p ON p.plan_id = l.plan_id`+f.String()+` ORDER BY l.number`, f.Args()...)
		for i := range rows {
			out[[2]string{rows[i].PlanID, rows[i].LineID}] = rows[i]
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load lines of plans: %w", err)
	}
	return out, nil
}
