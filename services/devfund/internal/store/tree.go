package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// Under returns an allocation and everything that came out of it, down to the last level; the order is none.
func Under(ctx context.Context, q sqldb.Querier, root string) ([]AllocationRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanAllocation, `WITH RECURSIVE tree (id) AS (
			SELECT allocation_id FROM allocations WHERE allocation_id = $1
			UNION SELECT a.allocation_id FROM allocations a JOIN tree t ON a.parent_allocation_id = t.id
		) SELECT `+allocationColumns+` FROM allocations WHERE allocation_id IN (SELECT id FROM tree)`, root)
	if err != nil {
		return nil, fmt.Errorf("load what came out of %s: %w", root, err)
	}
	return rows, nil
}

// LineSums are what lines of plans that draw on an allocation come to.
type LineSums struct {
	Planned   money.Pence // of newest versions that are not approved yet
	Scheduled money.Pence // what schedules hold
	Spent     money.Pence // what was reported spent by the newest month
}

// A line that a plan has had under several allocations counts for the one of the approved version, or else of the newest.
const lineHomes = `WITH homes AS (
		SELECT l.plan_id, l.line_id, l.allocation_id FROM plan_lines l JOIN plans p ON p.plan_id = l.plan_id
		WHERE l.number = (SELECT MAX(n.number) FROM plan_lines n WHERE n.plan_id = l.plan_id AND n.line_id = l.line_id
			AND (p.approved_version = 0 OR n.number <= p.approved_version))
	) `

// SumsOfLines returns what lines of plans that draw on some allocations come to, by allocation.
func SumsOfLines(ctx context.Context, q sqldb.Querier, ids []string) (map[string]LineSums, error) {
	out := make(map[string]LineSums, len(ids))
	for _, of := range []struct {
		text string
		into func(*LineSums, money.Pence)
	}{
		// A state of 10 or above is a plan that was rejected or superseded.
		{`SELECT l.allocation_id, CAST(SUM(l.amount_pence) AS BIGINT) FROM plan_lines l
			JOIN plans p ON p.plan_id = l.plan_id AND p.newest_version = l.number AND p.approved_version <> p.newest_version
			JOIN plan_versions v ON v.plan_id = l.plan_id AND v.number = l.number AND v.state < 10
			WHERE l.%s GROUP BY l.allocation_id`, func(s *LineSums, sum money.Pence) { s.Planned = sum }},
		{lineHomes + `SELECT h.allocation_id, CAST(SUM(s.amount_pence) AS BIGINT) FROM homes h JOIN lines s ON s.plan_id = h.plan_id AND s.plan_line_id = h.line_id
			WHERE h.%s GROUP BY h.allocation_id`, func(s *LineSums, sum money.Pence) { s.Scheduled = sum }},
		{lineHomes + `SELECT h.allocation_id, CAST(SUM(r.spent_to_date_pence) AS BIGINT) FROM homes h JOIN spend_reports r ON r.plan_id = h.plan_id AND r.line_id = h.line_id
			AND NOT EXISTS (SELECT 1 FROM spend_reports later WHERE later.plan_id = r.plan_id AND later.line_id = r.line_id
				AND (later.month > r.month OR (later.month = r.month AND later.position > r.position)))
			WHERE h.%s GROUP BY h.allocation_id`, func(s *LineSums, sum money.Pence) { s.Spent = sum }},
	} {
		err := sqldb.InBatches(ids, func(batch []string) error {
			type sum struct {
				id    string
				pence money.Pence
			}
			sums, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (s sum, err error) {
				err = rows.Scan(&s.id, &s.pence)
				return s, err
			}, fmt.Sprintf(of.text, "allocation_id IN ("+sqldb.Placeholders(1, len(batch))+")"), anys(batch)...)
			if err != nil {
				return fmt.Errorf("sum lines of %d allocations: %w", len(batch), err)
			}
			for _, s := range sums {
				held := out[s.id]
				of.into(&held, s.pence)
				out[s.id] = held
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
