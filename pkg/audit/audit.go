// Package audit keeps the append-only log of who decided what.
//
// An entry is written in the transaction of the decision it tells of. The database refuses to change or delete one. From time
// to time [Seal] closes the entries of each commissioner that are not yet sealed: the seal is a hash over the commissioner's
// previous seal and these entries, so that [Verify] finds any entry changed, added or removed behind the database's back. Writers
// never wait for a seal. What lies behind the last seal is guarded by the database alone, as is the last seal's own presence;
// keep the latest hashes elsewhere, such as in a log, to guard that too.
package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

// England stands for the commissioner in entries that concern no single one.
const England = "england"

// Limits of a List.
const (
	defaultLimit = 100
	maxLimit     = 1001 // a page of 1,000 and the row that tells whether there is another
)

// Entry says who did what to which thing.
type Entry struct {
	// Actor is the subject of the caller's token.
	Actor string
	// Roles are those the caller held; none contains a comma.
	Roles []string
	// Method is the full name of the call.
	Method string
	// Resource names the thing acted on.
	Resource string
	// CommissionerCode is that of the thing, for the scope of a List; empty means England.
	CommissionerCode string
	// Summary says in words what was decided. It must not hold personal pay data.
	Summary string
}

// Row is an entry as stored.
type Row struct {
	Entry
	// ID names the entry; later entries have greater ids.
	ID string
	// At is when the transaction of the decision began, in UTC.
	At time.Time
	// Seal is the number of the seal that covers the entry among those of its commissioner, 0 while none does.
	Seal int64
}

// Filter says which entries to list.
type Filter struct {
	// CommissionerCodes limits the list to these commissioners (England among them only if named); nil means all.
	CommissionerCodes []string
	// Before is the ID of the last entry of the page before; empty begins with the newest.
	Before string
	// Limit bounds the number of rows; 0 means 100, and more than 1,001 means 1,001.
	Limit int
}

// Add writes an entry in the transaction of the decision.
func Add(ctx context.Context, tx *sqldb.Tx, e Entry) error {
	if e.Actor == "" || e.Method == "" {
		return errors.New("audit: the entry has no actor or no method")
	}
	if e.CommissionerCode == "" {
		e.CommissionerCode = England
	}
	const q = `INSERT INTO audit (id, at, actor, roles, method, resource, commissioner, summary)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	return tx.Queue(ctx, "add an audit entry", q, tx.NewID(), sqldb.Micros(tx.Now()), e.Actor, strings.Join(e.Roles, ","),
		e.Method, e.Resource, e.CommissionerCode, e.Summary)
}

// List returns entries, the newest first.
func List(ctx context.Context, q sqldb.Querier, f Filter) ([]Row, error) {
	if f.CommissionerCodes != nil && len(f.CommissionerCodes) == 0 {
		return nil, nil
	}
	limit := f.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	args := []any{min(limit, maxLimit)}
	where := "WHERE 1 = 1"
	if f.Before != "" {
		args = append(args, f.Before)
		where += fmt.Sprintf(" AND id < $%d", len(args))
	}
	if f.CommissionerCodes != nil {
		where += " AND commissioner IN (" + sqldb.Placeholders(len(args)+1, len(f.CommissionerCodes)) + ")"
		for _, code := range f.CommissionerCodes {
			args = append(args, code)
		}
	}
	rows, err := query(ctx, q, where+" ORDER BY id DESC LIMIT $1", args...)
	if err != nil {
		return nil, fmt.Errorf("list audit entries: %w", err)
	}
	return rows, nil
}

// query returns the entries that a clause selects.
func query(ctx context.Context, q sqldb.Querier, clause string, args ...any) (list []Row, err error) {
	rows, err := q.Query(ctx, `SELECT id, at, actor, roles, method, resource, commissioner, summary, seal FROM audit `+clause, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r Row
		var at int64
		var roles string
		var seal sql.NullInt64
		err := rows.Scan(&r.ID, &at, &r.Actor, &roles, &r.Method, &r.Resource, &r.CommissionerCode, &r.Summary, &seal)
		if err != nil {
			return nil, err
		}
		r.At, r.Seal = sqldb.FromMicros(at), seal.Int64
		if roles != "" {
			r.Roles = strings.Split(roles, ",")
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
