package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// Post records postings, which take effect on a day. The entries are written first and the headers last: the database then checks
// that each posting balances, and takes no more entries of it.
func Post(ctx context.Context, tx *sqldb.Tx, by string, effective period.Date, postings []rules.Posting) error {
	ids := make([]string, len(postings))
	for i := range postings {
		if err := postings[i].Check(); err != nil {
			return err
		}
		ids[i] = tx.NewID()
	}
	day, at := effective.String(), sqldb.Micros(tx.Now())
	_, err := tx.BulkInsert(ctx, "entries", []string{
		"posting_id", "number", "commissioner_code", "fund", "payee_code", "stage", "amount_pence", "line_id", "effective_date", "recorded_at",
	}, func(yield func([]any, error) bool) {
		for i := range postings {
			for n, e := range postings[i].Entries {
				row := []any{
					ids[i], int64(n + 1), postings[i].CommissionerCode, int64(e.Fund), e.PayeeCode, int64(e.Stage), int64(e.Amount), e.LineID, day, at,
				}
				if !yield(row, nil) {
					return
				}
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write entries: %w", err)
	}
	n := -1
	_, err = tx.BulkInsert(ctx, "postings", []string{
		"posting_id", "commissioner_code", "kind", "effective_date", "recorded_at", "source", "reverses", "recorded_by", "entry_count",
	}, rowsOf(postings, func(p rules.Posting) ([]any, error) {
		n++
		return []any{ids[n], p.CommissionerCode, int64(p.Kind), day, at, p.Source, p.Reverses, by, int64(len(p.Entries))}, nil
	}))
	if err != nil {
		return fmt.Errorf("write postings: %w", err)
	}
	return nil
}

// PostingRow is a posting as it is kept.
type PostingRow struct {
	rules.Posting
	ID            string
	EffectiveDate string
	RecordedAt    int64
	RecordedBy    string
}

// PostingFilter selects postings.
type PostingFilter struct {
	Page
	Sources   []string // nil means any
	PayeeCode string
	ID        string
}

// Postings returns postings with their entries, newest first.
func Postings(ctx context.Context, q sqldb.Querier, by PostingFilter) ([]PostingRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Within("source", by.Sources)
	f.Equal("posting_id", by.ID)
	if by.PayeeCode != "" {
		f.Where("EXISTS (SELECT 1 FROM entries e WHERE e.posting_id = postings.posting_id AND e.payee_code = ?)", by.PayeeCode)
	}
	if by.Before != "" {
		f.Where("posting_id < ?", by.Before)
	}
	conditions := f.String()
	postings, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (p PostingRow, err error) {
		err = rows.Scan(&p.ID, &p.CommissionerCode, &p.Kind, &p.EffectiveDate, &p.RecordedAt, &p.Source, &p.Reverses, &p.RecordedBy)
		return p, err
	}, `SELECT posting_id, commissioner_code, kind, effective_date, recorded_at, source, reverses, recorded_by FROM postings`+conditions+
		` ORDER BY posting_id DESC`+f.Limit(by.Limit), f.Args()...)
	if err != nil || len(postings) == 0 {
		return nil, err
	}
	return postings, fillEntries(ctx, q, postings)
}

func fillEntries(ctx context.Context, q sqldb.Querier, postings []PostingRow) error {
	at := make(map[string]int, len(postings))
	ids := make([]string, len(postings))
	for i := range postings {
		at[postings[i].ID], ids[i] = i, postings[i].ID
	}
	type row struct {
		posting string
		entry   rules.Entry
	}
	return sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("posting_id", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
			err = rows.Scan(&r.posting, &r.entry.Fund, &r.entry.PayeeCode, &r.entry.Stage, &r.entry.Amount, &r.entry.LineID)
			return r, err
		}, func(r row) error {
			p := &postings[at[r.posting]]
			p.Entries = append(p.Entries, r.entry)
			return nil
		}, `SELECT posting_id, fund, payee_code, stage, amount_pence, line_id FROM entries`+f.String()+` ORDER BY posting_id, number`, f.Args()...)
	})
}

// Balance is what an account, or a group of accounts, comes to.
type Balance struct {
	Fund      int
	PayeeCode string
	Stage     rules.Stage
	LineID    string // where asked for
	Amount    money.Pence
	Entries   int64
}

// BalanceFilter selects entries of one commissioner.
type BalanceFilter struct {
	CommissionerCode string
	EffectiveTo      string // last day; empty means all
	KnownAt          int64  // microseconds; 0 means now
	ByPayee          bool
	ByLine           bool // and by payee
	Stages           []rules.Stage
	Payees           []string // nil means all
}

// Balances adds up entries account by account, those that come to nothing left out, in order of fund, stage and payee.
func Balances(ctx context.Context, q sqldb.Querier, by BalanceFilter) ([]Balance, error) {
	columns := []string{"fund", "stage"}
	payee, line := "''", "''"
	if by.ByPayee || by.ByLine {
		columns, payee = append(columns, "payee_code"), "payee_code"
	}
	if by.ByLine {
		columns, line = append(columns, "line_id"), "line_id"
	}
	var f sqldb.Filter
	f.Equal("commissioner_code", by.CommissionerCode)
	if by.EffectiveTo != "" {
		f.Where("effective_date <= ?", by.EffectiveTo)
	}
	if by.KnownAt != 0 {
		f.Where("recorded_at <= ?", by.KnownAt)
	}
	if by.Stages != nil {
		stages := make([]string, len(by.Stages))
		for i, s := range by.Stages {
			stages[i] = fmt.Sprint(int(s))
		}
		f.Where("stage IN (" + strings.Join(stages, ", ") + ")")
	}
	f.Within("payee_code", by.Payees)
	group := strings.Join(columns, ", ")
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (b Balance, err error) {
		err = rows.Scan(&b.Fund, &b.Stage, &b.PayeeCode, &b.LineID, &b.Amount, &b.Entries)
		return b, err
	}, `SELECT fund, stage, `+payee+`, `+line+`, CAST(SUM(amount_pence) AS BIGINT), COUNT(*) FROM entries`+f.String()+
		` GROUP BY `+group+` HAVING SUM(amount_pence) <> 0 ORDER BY `+group, f.Args()...)
}

// NewestArrival returns the latest day on which lines of a frozen run came into the commissioner's books other than with their schedule,
// or debts of which it takes something off did; empty if none.
func NewestArrival(ctx context.Context, q sqldb.Querier, commissioner, runID string) (day string, err error) {
	err = q.QueryRow(ctx, `SELECT COALESCE(MAX(day), '') FROM (
			SELECT MAX(p.effective_date) AS day FROM postings p JOIN entries e ON e.posting_id = p.posting_id WHERE p.commissioner_code = $1
				AND p.kind IN (7, 8) AND e.line_id IN (SELECT line_id FROM run_lines WHERE run_id = $2)
			UNION ALL SELECT MAX(effective_date) FROM entries WHERE commissioner_code = $1 AND stage = 6
				AND payee_code IN (SELECT payee_code FROM run_payees WHERE run_id = $2 AND brought_forward_pence <> 0)
		) AS arrivals`, commissioner, runID).Scan(&day)
	return day, err
}

// Arrivals returns the latest days on which payees passed to a commissioner, by payee.
func Arrivals(ctx context.Context, q sqldb.Querier, commissioner string) (map[string]string, error) {
	type arrival struct{ payee, day string }
	out := make(map[string]string)
	err := sqldb.Each(ctx, q, func(rows *sql.Rows) (a arrival, err error) {
		err = rows.Scan(&a.payee, &a.day)
		return a, err
	}, func(a arrival) error { out[a.payee] = a.day; return nil }, `SELECT e.payee_code, MAX(p.effective_date) FROM postings p
		JOIN entries e ON e.posting_id = p.posting_id WHERE p.commissioner_code = $1 AND p.kind = $2 GROUP BY e.payee_code`, commissioner, int64(rules.Transfer))
	return out, err
}

// Debts returns what each payee has been overpaid and has not given back, with the instalment planned for a month, or that the plan starts
// after it.
func Debts(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) ([]rules.Debt, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (d rules.Debt, err error) {
		err = rows.Scan(&d.PayeeCode, &d.Outstanding, &d.Instalment, &d.NotYet)
		return d, err
	}, `SELECT e.payee_code, CAST(SUM(e.amount_pence) AS BIGINT), COALESCE((SELECT p.instalment_pence FROM recovery_plans p
			WHERE p.commissioner_code = $1 AND p.payee_code = e.payee_code AND p.from_month <= $2 ORDER BY p.from_month DESC, p.planned_at DESC LIMIT 1), 0),
			COALESCE((SELECT MIN(p.from_month) > $2 FROM recovery_plans p WHERE p.commissioner_code = $1 AND p.payee_code = e.payee_code), FALSE)
		FROM entries e WHERE e.commissioner_code = $1 AND e.stage = 6 GROUP BY e.payee_code HAVING SUM(e.amount_pence) > 0 ORDER BY e.payee_code`,
		commissioner, month.String())
}

// Owed returns what is to be recovered from a payee, fund by fund: a debt above zero.
func Owed(ctx context.Context, q sqldb.Querier, commissioner, payee string) ([]rules.Amount, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (a rules.Amount, err error) {
		err = rows.Scan(&a.Fund, &a.Pence)
		return a, err
	}, `SELECT fund, CAST(SUM(amount_pence) AS BIGINT) FROM entries WHERE commissioner_code = $1 AND payee_code = $2 AND stage = 6
		GROUP BY fund HAVING SUM(amount_pence) <> 0 ORDER BY fund`, commissioner, payee)
}

// Clearance is money that reached a payee, or came back from it.
type Clearance struct {
	PaymentID, RunID string
	Day              period.Date // on which it takes effect
	Returned         bool
}

// Clearances returns what a commissioner's ledger says was settled in a month, and what was settled and came back in it, in order of
// posting.
func Clearances(ctx context.Context, q sqldb.Querier, commissioner string, month period.Month) ([]Clearance, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (c Clearance, err error) {
		var day string
		if err := rows.Scan(&c.PaymentID, &c.RunID, &day, &c.Returned); err != nil {
			return c, err
		}
		c.Day, err = period.ParseDate(day)
		return c, err
	}, `SELECT p.payment_id, p.run_id, g.effective_date, g.kind = $2 FROM postings g JOIN payments p ON p.payment_id = SUBSTR(g.source, 9)
		WHERE g.commissioner_code = $1 AND g.source LIKE 'payment/%' AND g.kind IN ($2, $3) AND g.effective_date >= $4 AND g.effective_date <= $5
		AND EXISTS (SELECT 1 FROM entries e WHERE e.posting_id = g.posting_id AND e.stage = $6) ORDER BY g.posting_id`,
		commissioner, int64(rules.Rejection), int64(rules.Settlement), month.First().String(), month.Last().String(), int64(rules.Settled))
}

// PlanRow is an agreed instalment.
type PlanRow struct {
	CommissionerCode, PayeeCode, PayeeName, Reason, PlannedBy string
	Instalment                                                money.Pence
	From                                                      period.Month
	PlannedAt                                                 int64
}

// InsertPlan adds an instalment.
func InsertPlan(ctx context.Context, tx *sqldb.Tx, p PlanRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO recovery_plans (plan_id, commissioner_code, payee_code, payee_name, instalment_pence, from_month, reason,
		planned_by, planned_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, tx.NewID(), p.CommissionerCode, p.PayeeCode, p.PayeeName,
		int64(p.Instalment), p.From.String(), p.Reason, p.PlannedBy, p.PlannedAt)
	return err
}

// Recoveries returns what is still to be recovered, with the newest plan of each payee, in order of commissioner and payee.
func Recoveries(ctx context.Context, q sqldb.Querier, by Page, payees []string) ([]PlanRow, map[string]money.Pence, error) {
	var f sqldb.Filter
	f.Where("stage = 6")
	f.Within("commissioner_code", by.Commissioners)
	f.Within("payee_code", payees)
	if by.Before != "" {
		f.Where("commissioner_code || ' ' || payee_code > ?", by.Before)
	}
	conditions := f.String()
	type row struct {
		commissioner, payee string
		outstanding         money.Pence
	}
	found, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.commissioner, &r.payee, &r.outstanding)
		return r, err
	}, `SELECT commissioner_code, payee_code, CAST(SUM(amount_pence) AS BIGINT) FROM entries`+conditions+
		` GROUP BY commissioner_code, payee_code HAVING SUM(amount_pence) > 0 ORDER BY commissioner_code, payee_code`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, nil, err
	}
	out, sums := make([]PlanRow, len(found)), make(map[string]money.Pence, len(found))
	for i, r := range found {
		plans, err := sqldb.Collect(ctx, q, scanPlan, `SELECT commissioner_code, payee_code, payee_name, instalment_pence, from_month, reason, planned_by,
			planned_at FROM recovery_plans WHERE commissioner_code = $1 AND payee_code = $2 ORDER BY from_month DESC, planned_at DESC LIMIT 1`, r.commissioner, r.payee)
		if err != nil {
			return nil, nil, err
		}
		out[i] = PlanRow{CommissionerCode: r.commissioner, PayeeCode: r.payee}
		if len(plans) > 0 {
			out[i] = plans[0]
		}
		sums[r.commissioner+" "+r.payee] = r.outstanding
	}
	return out, sums, nil
}

func scanPlan(rows *sql.Rows) (p PlanRow, err error) {
	var from string
	if err := rows.Scan(&p.CommissionerCode, &p.PayeeCode, &p.PayeeName, &p.Instalment, &from, &p.Reason, &p.PlannedBy, &p.PlannedAt); err != nil {
		return p, err
	}
	p.From, err = month(from)
	return p, err
}

// PayeeNames returns the names that payees had in the last run that was frozen with them, by code.
func PayeeNames(ctx context.Context, q sqldb.Querier, payees []string) (map[string]string, error) {
	type row struct{ code, name string }
	out := make(map[string]string, len(payees))
	return out, sqldb.InBatches(payees, func(batch []string) error {
		var f sqldb.Filter
		f.In("p.payee_code", batch)
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
			err = rows.Scan(&r.code, &r.name)
			return r, err
		}, func(r row) error { out[r.code] = r.name; return nil }, `SELECT payee_code, payee_name FROM (
				SELECT p.payee_code, p.payee_name, ROW_NUMBER() OVER (PARTITION BY p.payee_code ORDER BY r.month DESC, r.number DESC, r.run_id) AS place
				FROM run_payees p JOIN runs r ON r.run_id = p.run_id`+f.String()+`
			) AS placed WHERE place = 1`, f.Args()...)
	})
}

// NamesOnLines returns the names of payees, by code, as some lines have them.
func NamesOnLines(ctx context.Context, q sqldb.Querier, lineIDs []string) (map[string]string, error) {
	out := make(map[string]string, len(lineIDs))
	err := sqldb.InBatches(lineIDs, func(batch []string) error {
		return EachLine(ctx, q, LineFilter{LineIDs: batch}, func(l LineRow) error {
			out[l.Line.GetPayee().GetCode()] = l.Line.GetPayee().GetName()
			return nil
		})
	})
	return out, err
}

// RunsOfLine returns the runs that a line was frozen in.
func RunsOfLine(ctx context.Context, q sqldb.Querier, lineID string) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT run_id FROM run_lines WHERE line_id = $1 ORDER BY run_id`, lineID)
}

// Accrual is what was earned and not paid for one payee, payment and month.
type Accrual struct {
	PayeeCode   string
	Fund        int
	PaymentCode string
	ForMonth    string
	Lines       int
	Amount      money.Pence // above zero: owed
	// NewestMonth and NewestLine are the month and the identifier of the newest line; empty for what is of no line.
	NewestMonth, NewestLine string
}

// Accruals returns what had been earned by the end of a day and not confirmed as paid, as known at a moment, in order of payee, fund,
// payment and month.
func Accruals(ctx context.Context, q sqldb.Querier, commissioner string, day period.Date, knownAt int64) ([]Accrual, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (a Accrual, err error) {
		err = rows.Scan(&a.PayeeCode, &a.Fund, &a.PaymentCode, &a.ForMonth, &a.Lines, &a.Amount, &a.NewestMonth, &a.NewestLine)
		return a, err
	}, `SELECT payee_code, fund, payment_code, for_month, COUNT(*), CAST(-SUM(total) AS BIGINT), MAX(month),
			MAX(CASE WHEN place = 1 THEN line_id ELSE '' END) FROM (
			SELECT *, ROW_NUMBER() OVER (PARTITION BY payee_code, fund, payment_code, for_month ORDER BY month DESC, line_id DESC) AS place FROM (
				SELECT e.payee_code, e.fund, COALESCE(l.payment_code, 'RECOVERY') AS payment_code, COALESCE(l.for_month, '') AS for_month,
					COALESCE(l.month, '') AS month, e.line_id, SUM(e.amount_pence) AS total
				FROM entries e LEFT JOIN lines l ON l.line_id = e.line_id
				WHERE e.commissioner_code = $1 AND e.effective_date <= $2 AND e.recorded_at <= $3 AND e.stage IN (2, 3, 4)
				GROUP BY e.payee_code, e.fund, l.payment_code, l.for_month, l.month, e.line_id HAVING SUM(e.amount_pence) <> 0
			) AS open_lines
		) AS placed GROUP BY payee_code, fund, payment_code, for_month HAVING SUM(total) <> 0 ORDER BY payee_code, fund, payment_code, for_month`,
		commissioner, day.String(), knownAt)
}
