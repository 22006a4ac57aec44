package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// AllocationRow is an allocation with the sums that stand.
type AllocationRow struct {
	ID               string
	Year             period.FinancialYear
	FundCode         string
	Level            devfundv1.AllocationLevel
	HolderCode       string
	HolderName       string
	CommissionerCode string // england for the nation
	Purpose          devfundv1.AllocationPurpose
	ParentID         string // empty for the nation
	DecisionID       string // empty where the amount was given
	Combined         bool
	Planned          *money.Pence // nil where none is known, as Released and PCNShare
	Released         *money.Pence // confirmed amounts only
	PCNShare         *money.Pence
	Shared           money.Pence // what levels below hold of it
	Committed        money.Pence // what lines of approved plans draw on it
	Version          int64       // counts changes, for the tag
}

// Available is what may be shared by a decision or committed by a plan, and false while that is not known: of a fund that mixes PCN
// development with other money no more than its share for PCN development.
func (r *AllocationRow) Available() (money.Pence, bool) {
	switch {
	case r.PCNShare != nil:
		return *r.PCNShare, true
	case r.Combined || r.Released == nil:
		return 0, false
	default:
		return *r.Released, true
	}
}

// Drawn is what levels below hold of the allocation and what plans have committed of it.
func (r *AllocationRow) Drawn() money.Pence { return r.Shared + r.Committed }

// Left is what is available and not drawn, and false while that is not known.
func (r *AllocationRow) Left() (money.Pence, bool) {
	available, known := r.Available()
	return available - r.Drawn(), known
}

// Holding is what the allocation holds of the one above it.
func (r *AllocationRow) Holding() money.Pence {
	if r.Released == nil {
		return 0
	}
	return *r.Released
}

const allocationColumns = `allocation_id, financial_year, fund_code, level, holder_code, holder_name, commissioner_code, purpose,
	parent_allocation_id, decision_id, combined, planned_pence, released_pence, pcn_share_pence, shared_pence, committed_pence, version`

func scanAllocation(rows *sql.Rows) (r AllocationRow, err error) {
	var year string
	err = rows.Scan(&r.ID, &year, &r.FundCode, &r.Level, &r.HolderCode, &r.HolderName, &r.CommissionerCode, &r.Purpose,
		&r.ParentID, &r.DecisionID, &r.Combined, &r.Planned, &r.Released, &r.PCNShare, &r.Shared, &r.Committed, &r.Version)
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year = p.Year(year)
	return r, p.Err
}

// optional is an amount for a column that is null while it is not known.
func optional(amount *money.Pence) any {
	if amount == nil {
		return nil
	}
	return int64(*amount)
}

// InsertAllocations adds allocations. The keys of a holder below one parent are unique (sqldb.IsUnique).
func InsertAllocations(ctx context.Context, tx *sqldb.Tx, rows ...AllocationRow) error {
	_, err := tx.BulkInsert(ctx, "allocations", []string{
		"allocation_id", "financial_year", "fund_code", "level", "holder_code", "holder_name", "commissioner_code", "purpose",
		"parent_allocation_id", "decision_id", "combined", "planned_pence", "released_pence", "pcn_share_pence", "shared_pence", "committed_pence", "version",
	}, rowsOf(rows, func(r AllocationRow) ([]any, error) {
		return []any{
			r.ID, r.Year.String(), r.FundCode, int64(r.Level), r.HolderCode, r.HolderName, r.CommissionerCode, int64(r.Purpose),
			r.ParentID, r.DecisionID, r.Combined, optional(r.Planned), optional(r.Released), optional(r.PCNShare), int64(r.Shared), int64(r.Committed), r.Version,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert %d allocations: %w", len(rows), err)
	}
	return nil
}

// ChangeAllocation stores the sums of an allocation and what made it, if its row is still the one that was read.
func ChangeAllocation(ctx context.Context, tx *sqldb.Tx, r *AllocationRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE allocations SET commissioner_code = $1, decision_id = $2, planned_pence = $3, released_pence = $4, pcn_share_pence = $5,
		shared_pence = $6, committed_pence = $7, version = version + 1 WHERE allocation_id = $8 AND version = $9`,
		r.CommissionerCode, r.DecisionID, optional(r.Planned), optional(r.Released), optional(r.PCNShare), int64(r.Shared), int64(r.Committed), r.ID, r.Version))
}

// Allocation returns an allocation, or sql.ErrNoRows.
func Allocation(ctx context.Context, q sqldb.Querier, id string) (AllocationRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanAllocation, `SELECT `+allocationColumns+` FROM allocations WHERE allocation_id = $1`, id))
}

// AllocationsOf returns allocations by their identifiers; those that are not there are left out.
func AllocationsOf(ctx context.Context, q sqldb.Querier, ids []string) (map[string]AllocationRow, error) {
	out := make(map[string]AllocationRow, len(ids))
	return out, sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("allocation_id", batch)
		rows, err := sqldb.Collect(ctx, q, scanAllocation, `SELECT `+allocationColumns+` FROM allocations`+f.String(), f.Args()...)
		if err != nil {
			return fmt.Errorf("load %d allocations: %w", len(batch), err)
		}
		for _, r := range rows {
			out[r.ID] = r
		}
		return nil
	})
}

// Children returns what came out of an allocation, by level, holder and purpose.
func Children(ctx context.Context, q sqldb.Querier, parent string) ([]AllocationRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanAllocation, `SELECT `+allocationColumns+` FROM allocations WHERE parent_allocation_id = $1
		ORDER BY level, holder_code, purpose, financial_year`, parent)
	if err != nil {
		return nil, fmt.Errorf("load what came out of %s: %w", parent, err)
	}
	return rows, nil
}

// Above returns what an allocation came out of, the nation first, without itself.
func Above(ctx context.Context, q sqldb.Querier, r *AllocationRow) ([]AllocationRow, error) {
	var out []AllocationRow
	for id := r.ParentID; id != ""; id = out[0].ParentID {
		above, err := Allocation(ctx, q, id)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", id, err)
		}
		out = slices.Insert(out, 0, above)
	}
	return out, nil
}

// AllocationsBy selects allocations of a list; empty fields select all.
type AllocationsBy struct {
	// Scope limits the list: allocations that its commissioners account for, and those that its PCNs hold.
	Scope
	// Nation lets national allocations through whatever the scope.
	Nation           bool
	CommissionerCode string
	Year             string
	FundCode         string
	Level            devfundv1.AllocationLevel
	HolderCode       string
	ParentID         string
	After            string // identifier of the last row seen
	Limit            int    // 0 means all
}

// Allocations returns allocations in order of their identifiers.
func Allocations(ctx context.Context, q sqldb.Querier, by AllocationsBy) ([]AllocationRow, error) {
	var f sqldb.Filter
	if by.Commissioners != nil {
		condition, args := among("commissioner_code", len(by.Commissioners)), anys(by.Commissioners)
		condition += fmt.Sprintf(" OR (level = %d AND %s)", devfundv1.AllocationLevel_PCN, among("holder_code", len(by.PCNs)))
		if by.Nation {
			condition += fmt.Sprintf(" OR level = %d", devfundv1.AllocationLevel_NATION)
		}
		f.Where("("+condition+")", append(args, anys(by.PCNs)...)...)
	}
	f.Equal("commissioner_code", by.CommissionerCode, "financial_year", by.Year, "fund_code", by.FundCode, "holder_code", by.HolderCode,
		"parent_allocation_id", by.ParentID)
	if by.Level != 0 {
		f.Where("level = ?", int64(by.Level))
	}
	if by.After != "" {
		f.Where("allocation_id > ?", by.After)
	}
	conditions := f.String()
	rows, err := sqldb.Collect(ctx, q, scanAllocation,
		`SELECT `+allocationColumns+` FROM allocations`+conditions+` ORDER BY allocation_id`+f.Limit(by.Limit), f.Args()...)
	if err != nil {
		return nil, fmt.Errorf("list allocations: %w", err)
	}
	return rows, nil
}

// anys are values as a filter takes them.
func anys(values []string) []any {
	out := make([]any, len(values))
	for i, value := range values {
		out[i] = value
	}
	return out
}

// VersionRow is one statement of an amount.
type VersionRow struct {
	AllocationID string
	Number       int
	Basis        devfundv1.AllocationBasis
	Amount       *money.Pence // nil while it is not known
	Source       string
	Confidence   working.Confidence
	KnownFrom    period.Date
	Reason       string
	RecordedBy   string
	RecordedAt   int64 // microseconds
}

// Usable tells whether money may rest on the statement.
func (r *VersionRow) Usable() bool { return r.Amount != nil && r.Confidence.Payable() }

// InsertVersions adds statements, each with its number.
func InsertVersions(ctx context.Context, tx *sqldb.Tx, rows ...VersionRow) error {
	_, err := tx.BulkInsert(ctx, "allocation_versions", []string{
		"allocation_id", "version", "basis", "amount_pence", "source", "confidence", "known_from", "reason", "recorded_by", "recorded_at",
	}, rowsOf(rows, func(r VersionRow) ([]any, error) {
		return []any{
			r.AllocationID, int64(r.Number), int64(r.Basis), optional(r.Amount), r.Source, int64(r.Confidence), r.KnownFrom.String(), r.Reason, r.RecordedBy, r.RecordedAt,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert %d amounts of allocations: %w", len(rows), err)
	}
	return nil
}

// Versions returns every statement of some allocations, by allocation, in order of number.
func Versions(ctx context.Context, q sqldb.Querier, ids ...string) (map[string][]VersionRow, error) {
	out := make(map[string][]VersionRow, len(ids))
	return out, sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("allocation_id", batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (r VersionRow, err error) {
			var known string
			err = rows.Scan(&r.AllocationID, &r.Number, &r.Basis, &r.Amount, &r.Source, &r.Confidence, &known, &r.Reason, &r.RecordedBy, &r.RecordedAt)
			if err != nil {
				return r, err
			}
			var p stored.Texts
			r.KnownFrom = p.Date(known)
			return r, p.Err
		}, `SELECT allocation_id, version, basis, amount_pence, source, confidence, known_from, reason, recorded_by, recorded_at
			FROM allocation_versions`+f.String()+` ORDER BY allocation_id, version`, f.Args()...)
		if err != nil {
			return fmt.Errorf("load amounts of %d allocations: %w", len(batch), err)
		}
		for _, r := range rows {
			out[r.AllocationID] = append(out[r.AllocationID], r)
		}
		return nil
	})
}
