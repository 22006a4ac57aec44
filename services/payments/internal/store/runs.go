package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// cut parts a page key of two texts.
func cut(key string) (first, second string, ok bool) { return strings.Cut(key, " ") }

// InsertItems adds where the amounts of new lines to pay stand: open, and in a run or in none.
func InsertItems(ctx context.Context, tx *sqldb.Tx, lines []LineRow) error {
	_, err := tx.BulkInsert(ctx, "items", []string{
		"line_id", "commissioner_code", "month", "payee_code", "location_code", "state", "run_id", "payment_id",
	}, rowsOf(lines, func(l LineRow) ([]any, error) {
		return []any{
			l.Line.GetLineId(), l.CommissionerCode, l.Month, l.Line.GetPayee().GetCode(), l.Line.GetLocationCode(), int64(Open), l.RunID, "",
		}, nil
	}))
	return err
}

// Gather puts a commissioner's open items up to a month that are in no run into one, and returns how many.
func Gather(ctx context.Context, tx *sqldb.Tx, commissioner string, upTo period.Month, runID string) (int64, error) {
	result, err := tx.Exec(ctx, `UPDATE items SET run_id = $1 WHERE commissioner_code = $2 AND run_id = '' AND state = $3 AND month <= $4`,
		runID, commissioner, int64(Open), upTo.String())
	if err != nil {
		return 0, fmt.Errorf("gather %s: %w", runID, err)
	}
	return result.RowsAffected()
}

// LatestFree returns the latest month of a commissioner's open items that are in no run and on which no hold is in force, or
// sql.ErrNoRows.
func LatestFree(ctx context.Context, q sqldb.Querier, commissioner string) (period.Month, error) {
	found, err := sqldb.First(sqldb.Collect(ctx, q, sqldb.Text, `SELECT i.month FROM items i WHERE i.commissioner_code = $1 AND i.run_id = '' AND i.state = $2
		AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.commissioner_code = i.commissioner_code AND h.released_at = 0
			AND (h.line_id = i.line_id OR (h.payee_code <> '' AND h.payee_code = i.payee_code)))
		ORDER BY i.month DESC LIMIT 1`, commissioner, int64(Open)))
	if err != nil {
		return period.Month{}, err
	}
	return month(found)
}

// WaitingIn returns the runs in which items of one payee, or that of one line, are open or approved and not sent.
func WaitingIn(ctx context.Context, q sqldb.Querier, commissioner, payee, lineID string) ([]string, error) {
	var f sqldb.Filter
	f.Equal("commissioner_code", commissioner, "payee_code", payee, "line_id", lineID)
	f.Where("run_id <> ''")
	f.Where("state IN (?, ?)", int64(Open), int64(Payable))
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT run_id FROM items`+f.String()+` ORDER BY run_id`, f.Args()...)
}

// HasPayable tells whether a commissioner has open items up to a month that are in no run and not on hold.
func HasPayable(ctx context.Context, q sqldb.Querier, commissioner string, upTo period.Month) (has bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM items i WHERE i.commissioner_code = $1 AND i.run_id = '' AND i.state = $2 AND i.month <= $3
		AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.commissioner_code = i.commissioner_code AND h.released_at = 0
			AND (h.line_id = i.line_id OR (h.payee_code <> '' AND h.payee_code = i.payee_code))))`,
		commissioner, int64(Open), upTo.String()).Scan(&has)
	return has, err
}

// Detach takes the open items of a run out of it: all of them, or those of some lines.
func Detach(ctx context.Context, tx *sqldb.Tx, runID string, lineIDs []string) error {
	if lineIDs == nil {
		_, err := tx.Exec(ctx, `UPDATE items SET run_id = '' WHERE run_id = $1 AND state = $2`, runID, int64(Open))
		return err
	}
	return sqldb.InBatches(lineIDs, func(batch []string) error {
		var f sqldb.Filter
		f.Where("run_id = ?", runID)
		f.Where("state = ?", int64(Open))
		f.In("line_id", batch)
		_, err := tx.Exec(ctx, `UPDATE items SET run_id = ''`+f.String(), f.Args()...)
		return err
	})
}

// Advance moves the items of one payee in a run from one state to another, and notes the payment that carries them.
func Advance(ctx context.Context, tx *sqldb.Tx, runID, payee string, from, to ItemState, paymentID string) error {
	_, err := tx.Exec(ctx, `UPDATE items SET state = $1, payment_id = $2 WHERE run_id = $3 AND payee_code = $4 AND state = $5`,
		int64(to), paymentID, runID, payee, int64(from))
	if err != nil {
		return fmt.Errorf("advance %s of %s: %w", payee, runID, err)
	}
	return nil
}

// AdvanceRun moves the items of a run from one state to another: all of them, or with payees those of some.
func AdvanceRun(ctx context.Context, tx *sqldb.Tx, runID string, payees []string, from, to ItemState) error {
	if payees == nil {
		_, err := tx.Exec(ctx, `UPDATE items SET state = $1 WHERE run_id = $2 AND state = $3`, int64(to), runID, int64(from))
		if err != nil {
			return fmt.Errorf("advance %s: %w", runID, err)
		}
		return nil
	}
	return sqldb.InBatches(payees, func(batch []string) error {
		var f sqldb.Filter
		f.Where("run_id = ?", runID)
		f.Where("state = ?", int64(from))
		f.In("payee_code", batch)
		conditions := f.String()
		_, err := tx.Exec(ctx, fmt.Sprintf(`UPDATE items SET state = %d`, to)+conditions, f.Args()...)
		if err != nil {
			return fmt.Errorf("advance %d payees of %s: %w", len(batch), runID, err)
		}
		return nil
	})
}

// OwersOf returns which of some commissioners have items of a payee that are open, approved, sent or rejected.
func OwersOf(ctx context.Context, q sqldb.Querier, payee string, of []string) ([]string, error) {
	var f sqldb.Filter
	f.Equal("payee_code", payee)
	f.In("commissioner_code", of)
	f.Where("state IN (?, ?, ?, ?)", int64(Open), int64(Payable), int64(Sent), int64(Rejected))
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT commissioner_code FROM items`+f.String()+` ORDER BY commissioner_code`, f.Args()...)
}

// SendItems notes for every payable item of a run that it is sent, and the payment that carries it: the prefix and the payee's code.
func SendItems(ctx context.Context, tx *sqldb.Tx, runID, prefix string) error {
	_, err := tx.Exec(ctx, `UPDATE items SET state = $1, payment_id = CAST($2 AS TEXT) || payee_code WHERE run_id = $3 AND state = $4`,
		int64(Sent), prefix, runID, int64(Payable))
	if err != nil {
		return fmt.Errorf("send %s: %w", runID, err)
	}
	return nil
}

// ItemAmount is what an item comes to.
type ItemAmount struct {
	rules.Amount
	PayeeCode string
	PaymentID string
}

// EachAmount hands over what the items of a run come to, in order of line id.
func EachAmount(ctx context.Context, q sqldb.Querier, runID string, fn func(ItemAmount) error) error {
	return sqldb.Each(ctx, q, func(rows *sql.Rows) (a ItemAmount, err error) {
		err = rows.Scan(&a.LineID, &a.Fund, &a.Pence, &a.PayeeCode, &a.PaymentID)
		return a, err
	}, fn, `SELECT i.line_id, l.fund, l.amount_pence, i.payee_code, i.payment_id FROM items i JOIN lines l ON l.line_id = i.line_id
		WHERE i.run_id = $1 ORDER BY i.line_id`, runID)
}

// CancelOut closes lines that take each other back and that nobody could be paid, and releases their holds.
func CancelOut(ctx context.Context, tx *sqldb.Tx, lineIDs []string, by, why string) error {
	var items sqldb.Filter
	items.In("line_id", lineIDs)
	if _, err := tx.Exec(ctx, `UPDATE items SET state = `+items.Arg(int64(Cancelled))+`, run_id = ''`+items.String(), items.Args()...); err != nil {
		return fmt.Errorf("cancel %s: %w", why, err)
	}
	var holds sqldb.Filter
	holds.Where("released_at = 0")
	holds.In("line_id", lineIDs)
	_, err := tx.Exec(ctx, `UPDATE holds SET version = version + 1, released_by = `+holds.Arg(by)+`, released_at = `+holds.Arg(sqldb.Micros(tx.Now()))+
		`, release_reason = `+holds.Arg(why)+holds.String(), holds.Args()...)
	return err
}

// Reopen makes the items of a rejected payment open again, in no run.
func Reopen(ctx context.Context, tx *sqldb.Tx, paymentID string) error {
	_, err := tx.Exec(ctx, `UPDATE items SET state = $1, run_id = '', payment_id = '' WHERE payment_id = $2 AND state = $3`,
		int64(Open), paymentID, int64(Rejected))
	return err
}

// RunItems returns the items of a run, in order of line id.
func RunItems(ctx context.Context, q sqldb.Querier, runID string) ([]rules.RunItem, error) {
	held, err := heldIn(ctx, q, runID)
	if err != nil {
		return nil, err
	}
	var out []rules.RunItem
	err = EachLine(ctx, q, LineFilter{RunID: runID}, func(l LineRow) error {
		payee := l.Line.GetPayee()
		out = append(out, rules.RunItem{
			LineID: l.Line.GetLineId(), Fund: l.Fund, PayeeCode: payee.GetCode(), PayeeName: payee.GetName(),
			Amount: money.Pence(l.Line.GetAmountPence()), Held: held[l.Line.GetLineId()],
		})
		return nil
	})
	return out, err
}

// heldIn returns the lines of a run on which a hold is in force.
func heldIn(ctx context.Context, q sqldb.Querier, runID string) (map[string]bool, error) {
	held := make(map[string]bool)
	err := sqldb.Each(ctx, q, sqldb.Text, func(id string) error { held[id] = true; return nil }, `SELECT i.line_id FROM items i
		JOIN holds h ON h.commissioner_code = i.commissioner_code AND h.released_at = 0 AND (h.line_id = i.line_id OR (h.payee_code <> '' AND h.payee_code = i.payee_code))
		WHERE i.run_id = $1`, runID)
	return held, err
}

// HeldPayees returns the payees of a frozen run who are to be sent something and on whom a hold is in force.
func HeldPayees(ctx context.Context, q sqldb.Querier, runID string) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT p.payee_code FROM run_payees p JOIN runs r ON r.run_id = p.run_id
		JOIN holds h ON h.commissioner_code = r.commissioner_code AND h.payee_code = p.payee_code AND h.released_at = 0
		WHERE p.run_id = $1 AND p.net_pence > 0 ORDER BY p.payee_code`, runID)
}

// RunRow is a run as it is kept.
type RunRow struct {
	ID               string
	CommissionerCode string
	CommissionerName string
	Month            period.Month
	Number           int
	State            paymentsv1.RunState
	Version          int64
	Totals           *paymentsv1.RunTotals
	Funds            []*paymentsv1.ExpectedFund
	AssembledAt      int64
	SubmittedBy      string
	SubmittedAt      int64
	SubmitNote       string
	LinesSHA256      string
	ApprovalsNeeded  int
	// Policy is who may approve how much, as it stood when the run was put forward, and PolicyBy who set it.
	Policy     *paymentsv1.ApprovalPolicy
	PolicyBy   string
	EndedBy    string
	EndedAt    int64
	EndReason  string
	ReplacedBy string
	ExportID   string
	ExportedAt int64
	SettledAt  int64
}

const runColumns = `run_id, commissioner_code, commissioner_name, month, number, state, version, totals, funds, assembled_at, submitted_by,
	submitted_at, submit_note, lines_sha256, approvals_needed, policy, policy_by, ended_by, ended_at, end_reason, replaced_by, export_id, exported_at, settled_at`

// InsertRun adds an assembled run.
func InsertRun(ctx context.Context, tx *sqldb.Tx, r RunRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO runs (run_id, commissioner_code, commissioner_name, month, number, state, totals, funds, policy, assembled_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, r.ID, r.CommissionerCode, r.CommissionerName, r.Month.String(), r.Number, int64(r.State),
		[]byte{}, []byte{}, []byte{}, r.AssembledAt)
	if err != nil {
		return fmt.Errorf("insert run %s: %w", r.ID, err)
	}
	return nil
}

// TouchAssembled counts up the versions of a commissioner's assembled runs, whose sums have changed though their lines have not.
func TouchAssembled(ctx context.Context, tx *sqldb.Tx, commissioner string) error {
	_, err := tx.Exec(ctx, `UPDATE runs SET version = version + 1 WHERE commissioner_code = $1 AND state = 1`, commissioner)
	return err
}

// UpdateRun writes a run back if nobody has changed it since it was read, and counts its version up; false means that somebody
// has.
func UpdateRun(ctx context.Context, tx *sqldb.Tx, r *RunRow) (bool, error) {
	totals, err := sqldb.Marshal(r.Totals)
	if err != nil {
		return false, err
	}
	funds, err := sqldb.Marshal(&paymentsv1.Run{Funds: r.Funds})
	if err != nil {
		return false, err
	}
	policy, err := sqldb.Marshal(r.Policy)
	if err != nil {
		return false, err
	}
	updated, err := sqldb.One(tx.Exec(ctx, `UPDATE runs SET state = $3, version = version + 1, totals = $4, funds = $5, submitted_by = $6, submitted_at = $7,
		submit_note = $8, lines_sha256 = $9, approvals_needed = $10, ended_by = $11, ended_at = $12, end_reason = $13, replaced_by = $14,
		export_id = $15, exported_at = $16, settled_at = $17, policy = $18, policy_by = $19 WHERE run_id = $1 AND version = $2`, r.ID, r.Version, int64(r.State), totals, funds,
		r.SubmittedBy, r.SubmittedAt, r.SubmitNote, r.LinesSHA256, r.ApprovalsNeeded, r.EndedBy, r.EndedAt, r.EndReason, r.ReplacedBy,
		r.ExportID, r.ExportedAt, r.SettledAt, policy, r.PolicyBy))
	if err != nil {
		return false, fmt.Errorf("update run %s: %w", r.ID, err)
	}
	if updated {
		r.Version++
	}
	return updated, nil
}

func scanRun(rows *sql.Rows) (r RunRow, err error) {
	var monthText string
	var totals, funds, policy []byte
	if err := rows.Scan(&r.ID, &r.CommissionerCode, &r.CommissionerName, &monthText, &r.Number, &r.State, &r.Version, &totals, &funds, &r.AssembledAt,
		&r.SubmittedBy, &r.SubmittedAt, &r.SubmitNote, &r.LinesSHA256, &r.ApprovalsNeeded, &policy, &r.PolicyBy, &r.EndedBy, &r.EndedAt, &r.EndReason, &r.ReplacedBy,
		&r.ExportID, &r.ExportedAt, &r.SettledAt); err != nil {
		return r, err
	}
	if r.Month, err = month(monthText); err != nil {
		return r, err
	}
	if r.Totals, err = sqldb.Unmarshal(totals, new(paymentsv1.RunTotals)); err != nil {
		return r, err
	}
	if r.Policy, err = sqldb.Unmarshal(policy, new(paymentsv1.ApprovalPolicy)); err != nil {
		return r, err
	}
	list, err := sqldb.Unmarshal(funds, new(paymentsv1.Run))
	r.Funds = list.GetFunds()
	return r, err
}

// Run returns one, or sql.ErrNoRows.
func Run(ctx context.Context, q sqldb.Querier, id string) (RunRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanRun, `SELECT `+runColumns+` FROM runs WHERE run_id = $1`, id))
}

// RunFilter selects runs.
type RunFilter struct {
	Page  // Before holds month and run id
	Month string
	State paymentsv1.RunState // 0 means any
}

// Runs returns runs, newest month first.
func Runs(ctx context.Context, q sqldb.Querier, by RunFilter) ([]RunRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("month", by.Month)
	if by.State != 0 {
		f.Where("state = ?", int64(by.State))
	}
	if m, id, ok := cut(by.Before); ok {
		f.Where("(month < ? OR (month = ? AND run_id > ?))", m, m, id)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanRun, `SELECT `+runColumns+` FROM runs`+conditions+` ORDER BY month DESC, run_id`+f.Limit(by.Limit), f.Args()...)
}

// AssembledRun returns the assembled run of a month, or sql.ErrNoRows.
func AssembledRun(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (RunRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanRun, `SELECT `+runColumns+` FROM runs WHERE commissioner_code = $1 AND month = $2 AND state = 1`,
		commissioner, month.String()))
}

// LatestAssembledRun returns the assembled run of the latest month, or sql.ErrNoRows.
func LatestAssembledRun(ctx context.Context, q sqldb.Querier, commissioner string) (RunRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanRun, `SELECT `+runColumns+` FROM runs WHERE commissioner_code = $1 AND state = 1
		ORDER BY month DESC LIMIT 1`, commissioner))
}

// LastRunNumber returns the greatest number among the runs of a month, 0 if there is none.
func LastRunNumber(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) (n int, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(number), 0) FROM runs WHERE commissioner_code = $1 AND month = $2`, commissioner, month.String()).Scan(&n)
	return n, err
}

// InsertFrozen adds what a run was frozen with.
func InsertFrozen(ctx context.Context, tx *sqldb.Tx, runID string, items []rules.RunItem, payees []rules.PayeeTotal) error {
	_, err := tx.BulkInsert(ctx, "run_lines", []string{"run_id", "line_id", "payee_code", "amount_pence"},
		rowsOf(items, func(i rules.RunItem) ([]any, error) { return []any{runID, i.LineID, i.PayeeCode, int64(i.Amount)}, nil }))
	if err != nil {
		return err
	}
	_, err = tx.BulkInsert(ctx, "run_payees", []string{
		"run_id", "payee_code", "payee_name", "lines", "lines_pence", "brought_forward_pence", "carried_forward_pence", "net_pence",
	}, rowsOf(payees, func(p rules.PayeeTotal) ([]any, error) {
		return []any{
			runID, p.PayeeCode, p.PayeeName, int64(p.Lines), int64(p.LinesTotal), int64(p.BroughtForward), int64(p.CarriedForward), int64(p.Net),
		}, nil
	}))
	return err
}

const frozenPayees = `SELECT payee_code, payee_name, lines, lines_pence, brought_forward_pence, carried_forward_pence, net_pence
	FROM run_payees WHERE run_id = $1`

func scanPayee(rows *sql.Rows) (p rules.PayeeTotal, err error) {
	err = rows.Scan(&p.PayeeCode, &p.PayeeName, &p.Lines, &p.LinesTotal, &p.BroughtForward, &p.CarriedForward, &p.Net)
	return p, err
}

// FrozenPayees returns what a run comes to payee by payee, as it was frozen.
func FrozenPayees(ctx context.Context, q sqldb.Querier, runID string) ([]rules.PayeeTotal, error) {
	return sqldb.Collect(ctx, q, scanPayee, frozenPayees+` ORDER BY payee_code`, runID)
}

// FrozenPayee returns what a run comes to for one payee, or sql.ErrNoRows.
func FrozenPayee(ctx context.Context, q sqldb.Querier, runID, payee string) (rules.PayeeTotal, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanPayee, frozenPayees+` AND payee_code = $2`, runID, payee))
}

// ApprovalRow is one person's consent.
type ApprovalRow struct {
	RunID      string
	ApprovedBy string
	ApprovedAt int64
}

// InsertApproval adds a consent. One by the person who put the run forward breaks a check.
func InsertApproval(ctx context.Context, tx *sqldb.Tx, run RunRow, by string) error {
	_, err := tx.Exec(ctx, `INSERT INTO approvals (run_id, approved_by, submitted_by, approved_at) VALUES ($1, $2, $3, $4)`,
		run.ID, by, run.SubmittedBy, sqldb.Micros(tx.Now()))
	return err
}

// Approvals returns the consents to some runs, by run and in order.
func Approvals(ctx context.Context, q sqldb.Querier, runIDs []string) (map[string][]ApprovalRow, error) {
	out := make(map[string][]ApprovalRow, len(runIDs))
	return out, sqldb.InBatches(runIDs, func(batch []string) error {
		var f sqldb.Filter
		f.In("run_id", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (a ApprovalRow, err error) {
			err = rows.Scan(&a.RunID, &a.ApprovedBy, &a.ApprovedAt)
			return a, err
		}, func(a ApprovalRow) error {
			out[a.RunID] = append(out[a.RunID], a)
			return nil
		}, `SELECT run_id, approved_by, approved_at FROM approvals`+f.String()+` ORDER BY approved_at, approved_by`, f.Args()...)
	})
}

// HoldRow is a hold as it is kept.
type HoldRow struct {
	ID               string
	CommissionerCode string
	PayeeCode        string
	LineID           string
	ReasonCode       string
	Reason           string
	PlacedBy         string
	PlacedAt         int64
	ReleasedBy       string
	ReleasedAt       int64
	ReleaseReason    string
	Version          int64
}

const holdColumns = `hold_id, commissioner_code, payee_code, line_id, reason_code, reason, placed_by, placed_at, released_by, released_at,
	release_reason, version`

func scanHold(rows *sql.Rows) (h HoldRow, err error) {
	err = rows.Scan(&h.ID, &h.CommissionerCode, &h.PayeeCode, &h.LineID, &h.ReasonCode, &h.Reason, &h.PlacedBy, &h.PlacedAt, &h.ReleasedBy,
		&h.ReleasedAt, &h.ReleaseReason, &h.Version)
	return h, err
}

// InsertHolds adds holds.
func InsertHolds(ctx context.Context, tx *sqldb.Tx, holds []HoldRow) error {
	_, err := tx.BulkInsert(ctx, "holds", []string{
		"hold_id", "commissioner_code", "payee_code", "line_id", "reason_code", "reason", "placed_by", "placed_at",
	}, rowsOf(holds, func(h HoldRow) ([]any, error) {
		return []any{h.ID, h.CommissionerCode, h.PayeeCode, h.LineID, h.ReasonCode, h.Reason, h.PlacedBy, h.PlacedAt}, nil
	}))
	return err
}

// ReleaseHold ends a hold that is in force and unchanged since it was read; false means that it is not.
func ReleaseHold(ctx context.Context, tx *sqldb.Tx, h HoldRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE holds SET released_by = $1, released_at = $2, release_reason = $3, version = version + 1
		WHERE hold_id = $4 AND version = $5 AND released_at = 0`, h.ReleasedBy, h.ReleasedAt, h.ReleaseReason, h.ID, h.Version))
}

// Hold returns one, or sql.ErrNoRows.
func Hold(ctx context.Context, q sqldb.Querier, id string) (HoldRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanHold, `SELECT `+holdColumns+` FROM holds WHERE hold_id = $1`, id))
}

// HoldOn returns the hold in force that came for a reason on just this payee, or this line, or sql.ErrNoRows.
func HoldOn(ctx context.Context, q sqldb.Querier, commissioner, payee, lineID, reasonCode string) (HoldRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanHold, `SELECT `+holdColumns+` FROM holds WHERE commissioner_code = $1 AND released_at = 0
		AND payee_code = $2 AND line_id = $3 AND reason_code = $4 ORDER BY hold_id LIMIT 1`, commissioner, payee, lineID, reasonCode))
}

// Holds returns holds, newest first.
func Holds(ctx context.Context, q sqldb.Querier, by Page, openOnly bool) ([]HoldRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	if openOnly {
		f.Where("released_at = 0")
	}
	if by.Before != "" {
		f.Where("hold_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanHold, `SELECT `+holdColumns+` FROM holds`+conditions+` ORDER BY hold_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// PaymentRow is a payment as it is kept.
type PaymentRow struct {
	ID               string
	RunID            string
	CommissionerCode string
	PayeeCode        string
	PayeeName        string
	Amount           money.Pence
	State            paymentsv1.PaymentState
	SentAt           int64
	SentOn           string // day the sending takes effect
	ConfirmedOn      string
	PayerReference   string
	RejectReason     string
	TakenBackBy      string // export that takes it back out of the payer's ledger; empty if none does
	Version          int64
}

const paymentColumns = `payment_id, run_id, commissioner_code, payee_code, payee_name, amount_pence, state, sent_at, sent_on, confirmed_on, payer_reference,
	reject_reason, taken_back_by, version`

func scanPayment(rows *sql.Rows) (p PaymentRow, err error) {
	err = rows.Scan(&p.ID, &p.RunID, &p.CommissionerCode, &p.PayeeCode, &p.PayeeName, &p.Amount, &p.State, &p.SentAt, &p.SentOn, &p.ConfirmedOn,
		&p.PayerReference, &p.RejectReason, &p.TakenBackBy, &p.Version)
	return p, err
}

// InsertPayments adds payments that are sent.
func InsertPayments(ctx context.Context, tx *sqldb.Tx, payments []PaymentRow) error {
	_, err := tx.BulkInsert(ctx, "payments", []string{
		"payment_id", "run_id", "commissioner_code", "payee_code", "payee_name", "amount_pence", "state", "sent_at", "sent_on",
	}, rowsOf(payments, func(p PaymentRow) ([]any, error) {
		return []any{p.ID, p.RunID, p.CommissionerCode, p.PayeeCode, p.PayeeName, int64(p.Amount), int64(p.State), p.SentAt, p.SentOn}, nil
	}))
	return err
}

// UpdatePayment writes a payment back if nobody has changed it since it was read; false means that somebody has.
func UpdatePayment(ctx context.Context, tx *sqldb.Tx, p *PaymentRow) (bool, error) {
	updated, err := sqldb.One(tx.Exec(ctx, `UPDATE payments SET commissioner_code = $1, state = $2, confirmed_on = $3, payer_reference = $4, reject_reason = $5,
		version = version + 1 WHERE payment_id = $6 AND version = $7`, p.CommissionerCode, int64(p.State), p.ConfirmedOn, p.PayerReference,
		p.RejectReason, p.ID, p.Version))
	if updated {
		p.Version++
	}
	return updated, err
}

// paymentBatch is how many payments one statement writes back.
const paymentBatch = 50

// UpdatePayments writes payments back that each have changed once since they were read, and whose version counts that change
// already. False means that somebody else has changed one of them.
func UpdatePayments(ctx context.Context, tx *sqldb.Tx, payments []PaymentRow) (bool, error) {
	for batch := range slices.Chunk(payments, paymentBatch) {
		values, args := make([]string, len(batch)), make([]any, 0, 7*len(batch))
		for i := range batch {
			p, n := &batch[i], len(args)
			values[i] = fmt.Sprintf("($%d, CAST($%d AS BIGINT), $%d, CAST($%d AS BIGINT), $%d, $%d, $%d)", n+1, n+2, n+3, n+4, n+5, n+6, n+7)
			args = append(args, p.ID, p.Version, p.CommissionerCode, int64(p.State), p.ConfirmedOn, p.PayerReference, p.RejectReason)
		}
		result, err := tx.Exec(ctx, `WITH new (id, version, commissioner, state, confirmed_on, reference, reason) AS (VALUES `+strings.Join(values, ", ")+`)
			UPDATE payments SET commissioner_code = new.commissioner, state = new.state, confirmed_on = new.confirmed_on, payer_reference = new.reference,
				reject_reason = new.reason, version = new.version
			FROM new WHERE payments.payment_id = new.id AND payments.version = new.version - 1`, args...)
		if err != nil {
			return false, fmt.Errorf("update %d payments: %w", len(batch), err)
		}
		if n, err := result.RowsAffected(); err != nil || n != int64(len(batch)) {
			return false, err
		}
	}
	return true, nil
}

// PaymentsByID returns those payments of a selection that have one of some identifiers.
func PaymentsByID(ctx context.Context, q sqldb.Querier, by PaymentFilter, ids []string) (out []PaymentRow, err error) {
	err = sqldb.InBatches(ids, func(batch []string) error {
		f := by.conditions()
		f.In("payment_id", batch)
		found, err := sqldb.Collect(ctx, q, scanPayment, `SELECT `+paymentColumns+` FROM payments`+f.String(), f.Args()...)
		out = append(out, found...)
		return err
	})
	return out, err
}

// ToTakeBack returns the payments of a commissioner that were issued again, and that a file of a format booked by a day which none has
// taken back yet.
func ToTakeBack(ctx context.Context, q sqldb.Querier, commissioner string, format paymentsv1.Format, by period.Date) ([]PaymentRow, error) {
	return sqldb.Collect(ctx, q, scanPayment, `SELECT `+paymentColumns+` FROM payments WHERE commissioner_code = $1 AND state = 4 AND taken_back_by = ''
		AND sent_on <= $2 AND EXISTS (SELECT 1 FROM exports e WHERE e.run_id = payments.run_id AND e.instructs AND e.format = $3) ORDER BY payment_id`,
		commissioner, by.String(), int64(format))
}

// TakeBack notes the export that takes payments back.
func TakeBack(ctx context.Context, tx *sqldb.Tx, ids []string, exportID string) error {
	return sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("payment_id", batch)
		set := f.Arg(exportID)
		_, err := tx.Exec(ctx, `UPDATE payments SET version = version + 1, taken_back_by = `+set+f.String(), f.Args()...)
		return err
	})
}

// PaymentFilter selects payments.
type PaymentFilter struct {
	Page                                 // Before holds when the last one seen was sent, and its identifier
	RunsOf                      []string // commissioners whose runs sent them; nil means any
	RunID, PayeeCode, PaymentID string
	State                       paymentsv1.PaymentState // 0 means any
}

func (by PaymentFilter) conditions() (f sqldb.Filter) {
	f.Within("commissioner_code", by.Commissioners)
	f.Within("(SELECT r.commissioner_code FROM runs r WHERE r.run_id = payments.run_id)", by.RunsOf)
	f.Equal("run_id", by.RunID, "payee_code", by.PayeeCode, "payment_id", by.PaymentID)
	if by.State != 0 {
		f.Where("state = ?", int64(by.State))
	}
	if at, id, ok := cut(by.Before); ok {
		f.Where("(sent_at < CAST(? AS BIGINT) OR (sent_at = CAST(? AS BIGINT) AND payment_id > ?))", at, at, id)
	}
	return f
}

// SentOf returns what was sent of each of some runs that were exported, by run; one that had nothing to send is not in it.
func SentOf(ctx context.Context, q sqldb.Querier, runIDs []string) (map[string]*paymentsv1.RunSent, error) {
	type row struct {
		runID string
		sent  *paymentsv1.RunSent
	}
	out := make(map[string]*paymentsv1.RunSent, len(runIDs))
	return out, sqldb.InBatches(runIDs, func(batch []string) error {
		var f sqldb.Filter
		f.In("run_id", batch)
		// Added up side by side and not joined: a join without statistics compares each with each.
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
			r.sent = new(paymentsv1.RunSent)
			err = rows.Scan(&r.runID, &r.sent.Payments, &r.sent.Pence, &r.sent.KeptBackPayments, &r.sent.KeptBackPence)
			return r, err
		}, func(r row) error { out[r.runID] = r.sent; return nil }, `SELECT run_id, SUM(sent), CAST(SUM(sent_pence) AS BIGINT), SUM(approved - sent),
				CAST(SUM(approved_pence - sent_pence) AS BIGINT) FROM (
			SELECT run_id, 1 AS approved, net_pence AS approved_pence, 0 AS sent, 0 AS sent_pence FROM run_payees`+f.String()+` AND net_pence > 0
			UNION ALL SELECT run_id, 0, 0, 1, amount_pence FROM payments`+f.String()+`
		) AS both_sides GROUP BY run_id`, f.Args()...)
	})
}

// KeptBack returns the payees to whom a run sent nothing of what was approved; none before its export.
func KeptBack(ctx context.Context, q sqldb.Querier, runID string) (map[string]bool, error) {
	kept := make(map[string]bool)
	return kept, sqldb.Each(ctx, q, sqldb.Text, func(payee string) error { kept[payee] = true; return nil }, `SELECT payee_code FROM run_payees
		WHERE run_id = $1 AND net_pence > 0 AND EXISTS (SELECT 1 FROM runs WHERE run_id = $1 AND export_id <> '')
		EXCEPT SELECT payee_code FROM payments WHERE run_id = $1`, runID)
}

// HoldsPaymentOf tells whether one of some commissioners owes a payment of a run now.
func HoldsPaymentOf(ctx context.Context, q sqldb.Querier, runID string, commissioners []string) (holds bool, err error) {
	f := PaymentFilter{RunID: runID, Page: Page{Commissioners: commissioners}}.conditions()
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM payments`+f.String()+`)`, f.Args()...).Scan(&holds)
	return holds, err
}

// Payments returns payments, newest first.
func Payments(ctx context.Context, q sqldb.Querier, by PaymentFilter) ([]PaymentRow, error) {
	f := by.conditions()
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanPayment, `SELECT `+paymentColumns+` FROM payments`+conditions+` ORDER BY sent_at DESC, payment_id`+f.Limit(by.Limit),
		f.Args()...)
}

// Payment returns one, or sql.ErrNoRows.
func Payment(ctx context.Context, q sqldb.Querier, id string) (PaymentRow, error) {
	return sqldb.First(Payments(ctx, q, PaymentFilter{PaymentID: id}))
}
