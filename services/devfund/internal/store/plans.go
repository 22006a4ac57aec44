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
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
)

// PlanRow is a plan as it is kept, whatever its versions say.
type PlanRow struct {
	ID               string
	Year             period.FinancialYear
	CommissionerCode string
	AllocationID     string
	Newest           int   // number of the newest version
	Approved         int   // number of the version that is committed; 0 before the first approval
	Version          int64 // counts changes
}

// PlanVersionRow is one version of a plan as it is kept. Its state and its approval change, all else stays.
type PlanVersionRow struct {
	PlanID    string
	Number    int
	State     devfundv1.PlanState
	Header    *devfundv1.PlanHeader
	Planned   money.Pence
	Author    string
	Approval  *devfundv1.PlanApproval // nil before it is approved
	DraftedAt int64
}

// VersionKey names one version of a plan.
type VersionKey struct {
	PlanID string
	Number int
}

// Key names the version.
func (r *PlanVersionRow) Key() VersionKey { return VersionKey{r.PlanID, r.Number} }

// PlanHead is a plan with one of its versions.
type PlanHead struct {
	PlanRow
	PlanVersionRow
}

const (
	planColumns    = `p.plan_id, p.financial_year, p.commissioner_code, p.allocation_id, p.newest_version, p.approved_version, p.version`
	versionColumns = `v.plan_id, v.number, v.state, v.header, v.planned_pence, v.author, v.approval, v.drafted_at`
)

// planFields are where the columns of a plan go; its year is read by year.
func (r *PlanRow) planFields(year *string) []any {
	return []any{&r.ID, year, &r.CommissionerCode, &r.AllocationID, &r.Newest, &r.Approved, &r.Version}
}

func scanPlan(rows *sql.Rows) (r PlanRow, err error) {
	var year string
	if err := rows.Scan(r.planFields(&year)...); err != nil {
		return r, err
	}
	var p stored.Texts
	r.Year = p.Year(year)
	return r, p.Err
}

// versionFields are where the columns of a version go; its messages are read by read.
func (r *PlanVersionRow) versionFields(header, approval *[]byte) []any {
	return []any{&r.PlanID, &r.Number, &r.State, header, &r.Planned, &r.Author, approval, &r.DraftedAt}
}

func (r *PlanVersionRow) read(header, approval []byte) (err error) {
	if r.Header, err = sqldb.Unmarshal(header, new(devfundv1.PlanHeader)); err != nil || approval == nil {
		return err
	}
	r.Approval, err = sqldb.Unmarshal(approval, new(devfundv1.PlanApproval))
	return err
}

func scanHead(rows *sql.Rows) (r PlanHead, err error) {
	var year string
	var header, approval []byte
	if err := rows.Scan(append(r.planFields(&year), r.versionFields(&header, &approval)...)...); err != nil {
		return r, err
	}
	var p stored.Texts
	if r.Year = p.Year(year); p.Err != nil {
		return r, p.Err
	}
	return r, r.read(header, approval)
}

// InsertPlan adds a plan; its versions are added beside it.
func InsertPlan(ctx context.Context, tx *sqldb.Tx, r PlanRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO plans (plan_id, financial_year, commissioner_code, allocation_id, newest_version, approved_version, version)
		VALUES (`+sqldb.Placeholders(1, 7)+`)`, r.ID, r.Year.String(), r.CommissionerCode, r.AllocationID, r.Newest, r.Approved, r.Version)
	if err != nil {
		return fmt.Errorf("insert plan of %s: %w", r.CommissionerCode, err)
	}
	return nil
}

// ChangePlan stores which versions of a plan are the newest and the approved one, if its row is still the one that was read.
func ChangePlan(ctx context.Context, tx *sqldb.Tx, r PlanRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE plans SET newest_version = $1, approved_version = $2, version = version + 1 WHERE plan_id = $3 AND version = $4`,
		r.Newest, r.Approved, r.ID, r.Version))
}

// InsertPlanVersion adds a version with the PCNs that it covers and its lines, each with its position.
func InsertPlanVersion(ctx context.Context, tx *sqldb.Tx, r PlanVersionRow, pcns []string, lines []*devfundv1.PlanLine) error {
	header, err := sqldb.Marshal(r.Header)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO plan_versions (plan_id, number, state, header, planned_pence, author, drafted_at) VALUES (`+sqldb.Placeholders(1, 7)+`)`,
		r.PlanID, r.Number, int64(r.State), header, int64(r.Planned), r.Author, r.DraftedAt)
	if err != nil {
		return fmt.Errorf("insert version %d of plan %s: %w", r.Number, r.PlanID, err)
	}
	_, err = tx.BulkInsert(ctx, "plan_pcns", []string{"plan_id", "number", "pcn_code"}, rowsOf(pcns, func(pcn string) ([]any, error) {
		return []any{r.PlanID, r.Number, pcn}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert PCNs of plan %s: %w", r.PlanID, err)
	}
	position := 0
	_, err = tx.BulkInsert(ctx, "plan_lines", []string{
		"plan_id", "number", "line_id", "position", "allocation_id", "level", "domain", "payee", "amount_pence", "message",
	}, rowsOf(lines, func(l *devfundv1.PlanLine) ([]any, error) {
		position++
		body, err := sqldb.Marshal(l)
		return []any{
			r.PlanID, r.Number, l.GetLineId(), position, l.GetAllocationId(), int64(l.GetLevel()), int64(l.GetDomain()), int64(l.GetPayee()), l.GetAmountPence(), body,
		}, err
	}))
	if err != nil {
		return fmt.Errorf("insert lines of plan %s: %w", r.PlanID, err)
	}
	return nil
}

// ChangePlanVersion stores where a version stands, and its approval once it has one. Whoever calls it holds the plan's commissioner.
func ChangePlanVersion(ctx context.Context, tx *sqldb.Tx, r PlanVersionRow) error {
	var approval any
	if r.Approval != nil {
		body, err := sqldb.Marshal(r.Approval)
		if err != nil {
			return err
		}
		approval = body
	}
	if _, err := tx.Exec(ctx, `UPDATE plan_versions SET state = $1, approval = $2 WHERE plan_id = $3 AND number = $4`,
		int64(r.State), approval, r.PlanID, r.Number); err != nil {
		return fmt.Errorf("change version %d of plan %s: %w", r.Number, r.PlanID, err)
	}
	return nil
}

// Authors returns who drafted a version of a plan, in order of name.
func Authors(ctx context.Context, q sqldb.Querier, plan string) ([]string, error) {
	return sqldb.Collect(ctx, q, sqldb.Text, `SELECT DISTINCT author FROM plan_versions WHERE plan_id = $1 ORDER BY author`, plan)
}

// Plan returns a plan, or sql.ErrNoRows.
func Plan(ctx context.Context, q sqldb.Querier, id string) (PlanRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans p WHERE p.plan_id = $1`, id))
}

// PlanVersion returns a plan with one version of it, or sql.ErrNoRows; number 0 is the newest.
func PlanVersion(ctx context.Context, q sqldb.Querier, id string, number int) (PlanHead, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanHead, `SELECT `+planColumns+`, `+versionColumns+` FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id
		WHERE p.plan_id = $1 AND v.number = CASE WHEN $2 = 0 THEN p.newest_version ELSE $2 END`, id, number))
}

// PlanFilter narrows a list of plans. Empty values narrow nothing.
type PlanFilter struct {
	CommissionerCode string
	Commissioners    []string // of which the plan is one's; nil means any
	FundCode         string   // of the allocation that the plan spends
	Year             string
	PCNCode          string // covered by the version
	State            devfundv1.PlanState
	AllocationIDs    []string // one of which the plan spends; nil means any
}

func (by *PlanFilter) on(f *sqldb.Filter) {
	f.Equal("p.commissioner_code", by.CommissionerCode, "p.financial_year", by.Year)
	if by.PCNCode != "" {
		f.Where(covered+" = ?)", by.PCNCode)
	}
	if by.State != devfundv1.PlanState_PLAN_STATE_UNSPECIFIED {
		f.Where("v.state = ?", int64(by.State))
	}
	if by.FundCode != "" {
		f.Where("p.allocation_id IN (SELECT a.allocation_id FROM allocations a WHERE a.fund_code = ?)", by.FundCode)
	}
	f.Within("p.commissioner_code", by.Commissioners)
	f.Within("p.allocation_id", by.AllocationIDs)
}

// covered begins the condition that the version covers a PCN.
const covered = `EXISTS (SELECT 1 FROM plan_pcns c WHERE c.plan_id = v.plan_id AND c.number = v.number AND c.pcn_code`

// Plans returns plans with their newest versions, newest plans first: what lies under the commissioners or covers the PCNs of the page's
// scope.
func Plans(ctx context.Context, q sqldb.Querier, page Page, by PlanFilter) ([]PlanHead, error) {
	var f sqldb.Filter
	if page.Commissioners != nil {
		codes := make([]any, 0, len(page.Commissioners)+len(page.PCNs))
		for _, code := range slices.Concat(page.Commissioners, page.PCNs) {
			codes = append(codes, code)
		}
		f.Where(`(`+among("p.commissioner_code", len(page.Commissioners))+` OR EXISTS (SELECT 1 FROM plan_pcns c WHERE c.plan_id = v.plan_id AND c.number = v.number AND `+
			among("c.pcn_code", len(page.PCNs))+`))`, codes...)
	}
	by.on(&f)
	if page.Before != "" {
		f.Where("p.plan_id < ?", page.Before)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanHead, `SELECT `+planColumns+`, `+versionColumns+` FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id
		AND v.number = p.newest_version`+conditions+` ORDER BY p.plan_id DESC`+f.Limit(page.Limit), f.Args()...)
}

// ApprovedPlans returns plans with the versions of them that are committed, in order of identifier; those without one are left out.
func ApprovedPlans(ctx context.Context, q sqldb.Querier, by PlanFilter) ([]PlanHead, error) {
	var f sqldb.Filter
	by.on(&f)
	return sqldb.Collect(ctx, q, scanHead, `SELECT `+planColumns+`, `+versionColumns+` FROM plans p JOIN plan_versions v ON v.plan_id = p.plan_id
		AND v.number = p.approved_version`+f.String()+` ORDER BY p.plan_id`, f.Args()...)
}

// VersionPCNs returns the PCNs that versions cover, each in order of code.
func VersionPCNs(ctx context.Context, q sqldb.Querier, keys []VersionKey) (map[VersionKey][]string, error) {
	type row struct {
		VersionKey
		pcn string
	}
	out := make(map[VersionKey][]string, len(keys))
	return out, ofVersions("plan_pcns", keys, func(f sqldb.Filter) error {
		return sqldb.Each(ctx, q, func(rows *sql.Rows) (r row, err error) {
			return r, rows.Scan(&r.PlanID, &r.Number, &r.pcn)
		}, func(r row) error {
			out[r.VersionKey] = append(out[r.VersionKey], r.pcn)
			return nil
		}, `SELECT plan_id, number, pcn_code FROM plan_pcns`+f.String()+` ORDER BY plan_id, number, pcn_code`, f.Args()...)
	})
}

// ofVersions calls fn with filters that select the rows of some versions, a few hundred at a time, from a table of that name.
func ofVersions(table string, keys []VersionKey, fn func(f sqldb.Filter) error) error {
	one := fmt.Sprintf("(%s.plan_id = ? AND %s.number = ?) OR ", table, table)
	for batch := range slices.Chunk(keys, 200) {
		var f sqldb.Filter
		args := make([]any, 0, 2*len(batch))
		for _, key := range batch {
			args = append(args, key.PlanID, key.Number)
		}
		f.Where("("+strings.TrimSuffix(strings.Repeat(one, len(batch)), " OR ")+")", args...)
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}
