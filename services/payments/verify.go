package payments

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// ReasonLedgerBroken means that a posting of the ledger does not balance, or is not whole.
const ReasonLedgerBroken = "LEDGER_BROKEN"

// VerifyLedger reads the whole ledger and refuses it if a posting does not sum to zero, has not as many entries as its header says, or
// has none. The database refuses to write such a one; this finds what came about behind its back.
func VerifyLedger(ctx context.Context, q sqldb.Querier) error {
	const broken = `SELECT p.posting_id FROM postings p
			LEFT JOIN (SELECT posting_id, COUNT(*) AS entries, SUM(amount_pence) AS total FROM entries GROUP BY posting_id) e ON e.posting_id = p.posting_id
			WHERE e.entries IS NULL OR e.entries <> p.entry_count OR e.total <> 0
		UNION SELECT posting_id FROM entries WHERE NOT EXISTS (SELECT 1 FROM postings p WHERE p.posting_id = entries.posting_id)
		ORDER BY 1`
	ids, err := sqldb.Collect(ctx, q, sqldb.Text, broken)
	if err != nil {
		return fmt.Errorf("verify the ledger: %w", err)
	}
	if len(ids) > 0 {
		return fault.New(fault.Refused, ReasonLedgerBroken, "%d postings do not balance or are not whole, the first is %s", len(ids), ids[0]).
			With("postings", len(ids)).With("first", ids[0])
	}
	return nil
}
