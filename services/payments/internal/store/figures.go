package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
)

// Imbalance adds every entry of the ledger up. Each posting comes to nothing, and so must all of them; anything else means that entries
// were changed behind the suite's back. It reads the whole ledger.
func Imbalance(ctx context.Context, q sqldb.Querier) (money.Pence, error) {
	var total money.Pence
	// Postgres adds BIGINT up as NUMERIC.
	if err := q.QueryRow(ctx, `SELECT CAST(COALESCE(SUM(amount_pence), 0) AS BIGINT) FROM entries`).Scan(&total); err != nil {
		return 0, fmt.Errorf("add the ledger up: %w", err)
	}
	return total, nil
}

// RunsIn is how many runs are in a state.
type RunsIn struct {
	State paymentsv1.RunState
	Runs  int64
	// Since is when the oldest of them came into it, in microseconds; 0 in a state that ends a run.
	Since int64
}

// RunsByState counts the runs of every commissioner.
func RunsByState(ctx context.Context, q sqldb.Querier) ([]RunsIn, error) {
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r RunsIn, err error) {
		err = rows.Scan(&r.State, &r.Runs, &r.Since)
		return r, err
	}, `SELECT state, count(*), COALESCE(MIN(CASE state WHEN 1 THEN assembled_at WHEN 2 THEN submitted_at WHEN 4 THEN exported_at
			WHEN 3 THEN (SELECT MAX(a.approved_at) FROM approvals a WHERE a.run_id = runs.run_id) END), 0)
		FROM runs GROUP BY state ORDER BY state`)
}

// ClosedIn is how many commissioners' schedules of a fund are there for a month.
type ClosedIn struct {
	Fund          int
	Month         string
	Commissioners int64
}

// ClosedByFund counts the commissioners whose schedules came, for each fund and each of some months, those with none left out.
func ClosedByFund(ctx context.Context, q sqldb.Querier, months []string) ([]ClosedIn, error) {
	var f sqldb.Filter
	f.In("month", months)
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (c ClosedIn, err error) {
		err = rows.Scan(&c.Fund, &c.Month, &c.Commissioners)
		return c, err
	}, `SELECT fund, month, count(DISTINCT commissioner_code) FROM schedules`+f.String()+` GROUP BY fund, month ORDER BY fund, month`, f.Args()...)
}
