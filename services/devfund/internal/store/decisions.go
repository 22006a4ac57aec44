package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// DecisionRow is a sharing decision as it is kept: what was asked, what it rested on and what it came to, with every working.
type DecisionRow struct {
	ID               string
	AllocationID     string
	Year             period.FinancialYear
	CommissionerCode string
	Decision         *devfundv1.SharingDecision
	ReplacedBy       string // empty while it stands
	RecordedBy       string
	RecordedAt       int64 // microseconds
}

const decisionColumns = `decision_id, allocation_id, financial_year, commissioner_code, decision, replaced_by, recorded_by, recorded_at`

func scanDecision(rows *sql.Rows) (r DecisionRow, err error) {
	var year string
	var body []byte
	if err := rows.Scan(&r.ID, &r.AllocationID, &year, &r.CommissionerCode, &body, &r.ReplacedBy, &r.RecordedBy, &r.RecordedAt); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year = p.Year(year); p.Err != nil {
		return r, p.Err
	}
	r.Decision, err = sqldb.Unmarshal(body, new(devfundv1.SharingDecision))
	return r, err
}

// InsertDecision adds a decision. One on an allocation stands at a time: an earlier one is replaced before.
func InsertDecision(ctx context.Context, tx *sqldb.Tx, r *DecisionRow) error {
	body, err := sqldb.Marshal(r.Decision)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO decisions (`+decisionColumns+`) VALUES (`+sqldb.Placeholders(1, 8)+`)`,
		r.ID, r.AllocationID, r.Year.String(), r.CommissionerCode, body, r.ReplacedBy, r.RecordedBy, r.RecordedAt)
	if err != nil {
		return fmt.Errorf("insert decision on %s: %w", r.AllocationID, err)
	}
	return nil
}

// ReplaceDecision says which decision took the place of one that stands; false where it stands no more.
func ReplaceDecision(ctx context.Context, tx *sqldb.Tx, id, by string) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE decisions SET replaced_by = $1 WHERE decision_id = $2 AND replaced_by = ''`, by, id))
}

// Decision returns a decision, or sql.ErrNoRows.
func Decision(ctx context.Context, q sqldb.Querier, id string) (DecisionRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanDecision, `SELECT `+decisionColumns+` FROM decisions WHERE decision_id = $1`, id))
}

// StandingDecision returns the identifier of the decision that stands on an allocation, or an empty one.
func StandingDecision(ctx context.Context, q sqldb.Querier, allocation string) (string, error) {
	ids, err := sqldb.Collect(ctx, q, sqldb.Text, `SELECT decision_id FROM decisions WHERE allocation_id = $1 AND replaced_by = ''`, allocation)
	if err != nil {
		return "", fmt.Errorf("find the decision on %s: %w", allocation, err)
	}
	if len(ids) == 0 {
		return "", nil
	}
	return ids[0], nil
}

// Decisions returns decisions, newest first: of an allocation, or of all where it is empty.
func Decisions(ctx context.Context, q sqldb.Querier, by Page, allocation string) ([]DecisionRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("commissioner_code", by.CommissionerCode, "financial_year", by.Year, "allocation_id", allocation)
	if by.Before != "" {
		f.Where("decision_id < ?", by.Before)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanDecision, `SELECT `+decisionColumns+` FROM decisions`+conditions+` ORDER BY decision_id DESC`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	return rows, nil
}
