package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
)

// InsertProposal notes a move that waits for another person.
func InsertProposal(ctx context.Context, tx *sqldb.Tx, m *paymentsv1.Move) error {
	value, err := sqldb.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO move_proposals (move_id, from_code, to_code, state, value, proposed_by, proposed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		m.GetMoveId(), m.GetFromCommissionerCode(), m.GetToCommissionerCode(), int64(m.GetState()), value, m.GetProposedBy(), sqldb.Micros(tx.Now()))
	return err
}

// DecideProposal writes what a person decided on a proposal that still waits; false means that somebody decided before.
func DecideProposal(ctx context.Context, tx *sqldb.Tx, m *paymentsv1.Move, by string) (bool, error) {
	value, err := sqldb.Marshal(m)
	if err != nil {
		return false, err
	}
	return sqldb.One(tx.Exec(ctx, `UPDATE move_proposals SET state = $1, value = $2, decided_by = $3 WHERE move_id = $4 AND state = $5`,
		int64(m.GetState()), value, by, m.GetMoveId(), int64(paymentsv1.MoveState_MOVE_STATE_PROPOSED)))
}

// InsertMove notes that open items passed from one commissioner to another.
func InsertMove(ctx context.Context, tx *sqldb.Tx, m *paymentsv1.Move) error {
	value, err := sqldb.Marshal(m)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO moves (move_id, from_code, to_code, effective_date, value, moved_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.GetMoveId(), m.GetFromCommissionerCode(), m.GetToCommissionerCode(), m.GetEffectiveDate(), value, sqldb.Micros(tx.Now()))
	return err
}

// scanMove reads a move. One without a state took effect.
func scanMove(rows *sql.Rows) (*paymentsv1.Move, error) {
	var value []byte
	if err := rows.Scan(&value); err != nil {
		return nil, err
	}
	m, err := sqldb.Unmarshal(value, new(paymentsv1.Move))
	if m.GetState() == paymentsv1.MoveState_MOVE_STATE_UNSPECIFIED {
		m.State = paymentsv1.MoveState_MOVE_STATE_CONFIRMED
	}
	return m, err
}

// Moves returns the moves that took effect, of all commissioners or from one, newest first.
func Moves(ctx context.Context, q sqldb.Querier, from string) ([]*paymentsv1.Move, error) {
	var f sqldb.Filter
	f.Equal("from_code", from)
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanMove, `SELECT value FROM moves`+conditions+` ORDER BY moved_at DESC, move_id DESC`, f.Args()...)
}

// MovesAndProposals returns moves from or to some commissioners, whatever their state, the one proposed last first. With an id it is
// that one.
func MovesAndProposals(ctx context.Context, q sqldb.Querier, by Page, id string) ([]*paymentsv1.Move, error) {
	var f sqldb.Filter
	if by.Commissioners != nil {
		if len(by.Commissioners) == 0 {
			return nil, nil
		}
		marks := make([]string, len(by.Commissioners))
		for i, code := range by.Commissioners {
			marks[i] = f.Arg(code)
		}
		in := " IN (" + strings.Join(marks, ", ") + ")"
		f.Where("(from_code" + in + " OR to_code" + in + ")")
	}
	f.Equal("move_id", id)
	if by.Before != "" {
		f.Where("move_id < ?", by.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanMove, fmt.Sprintf(`SELECT value FROM (SELECT move_id, from_code, to_code, value FROM moves
		UNION ALL SELECT move_id, from_code, to_code, value FROM move_proposals WHERE state <> %d) AS m`, paymentsv1.MoveState_MOVE_STATE_CONFIRMED)+
		conditions+` ORDER BY move_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// TransferRow says that a move took something out of the books of a commissioner: a line of a PCN in a stage, or without a line
// something of a payee.
type TransferRow struct {
	Source, CommissionerCode string
	Stage                    rules.Stage
	PayeeCode, LineID        string
}

// TransfersOfPCN returns the transfers in the books of some commissioners that concern a PCN: of its lines, and of what was approved for
// the payees of its parts of runs.
func TransfersOfPCN(ctx context.Context, q sqldb.Querier, pcn string, commissioners []string) ([]TransferRow, error) {
	if len(commissioners) == 0 {
		return nil, nil
	}
	var f sqldb.Filter
	of := f.Arg(pcn)
	marks := make([]string, len(commissioners))
	for i, code := range commissioners {
		marks[i] = f.Arg(code)
	}
	// The other side of each entry leads to it, of which there is an index; a partial one, for which the stage is a literal.
	by := fmt.Sprintf("x.stage = %d AND x.commissioner_code IN (%s)", rules.Transferred, strings.Join(marks, ", "))
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (t TransferRow, err error) {
		err = rows.Scan(&t.Source, &t.CommissionerCode, &t.Stage, &t.PayeeCode, &t.LineID)
		return t, err
	}, fmt.Sprintf(`WITH passed AS (
			SELECT x.posting_id, x.line_id, x.line_id AS own FROM lines l JOIN entries x ON x.line_id = l.line_id WHERE l.pcn_code = %[1]s AND %[2]s
			UNION SELECT x.posting_id, x.line_id, '' FROM (SELECT DISTINCT payee_code FROM run_parts WHERE pcn_code = %[1]s) t
				JOIN entries x ON x.payee_code = t.payee_code WHERE %[2]s
		) SELECT DISTINCT p.source, p.commissioner_code, e.stage, e.payee_code, x.own FROM passed x JOIN postings p ON p.posting_id = x.posting_id
			JOIN entries e ON e.posting_id = x.posting_id AND e.line_id = x.line_id
		WHERE p.kind = %[3]d AND e.stage <> %[4]d AND (x.own <> '' OR e.stage <> %[5]d) ORDER BY 1, 2, 3, 4, 5`,
		of, by, rules.Transfer, rules.Transferred, rules.Accrued), f.Args()...)
}
