package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/stored"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// PlanRow is a version of a PCN's plan as it is kept.
type PlanRow struct {
	ID               string
	PCNCode          string
	CommissionerCode string
	LocationCode     string
	PlannedIn        period.FinancialYear
	Version          int
	Replaced         bool
	SubmittedBy      string
	SubmittedAt      int64
	AgreedOn         period.Date
	AgreedBy         string
	WithdrawalReason string
	WithdrawnBy      string
	CollatedOn       period.Date
	CollatedBy       string
	SystemCode       string
	RegionStatus     int64
	RowVersion       int64
}

const planColumns = `plan_id, pcn_code, commissioner_code, location_code, planned_in, version, replaced, submitted_by, submitted_at, agreed_on, agreed_by,
	withdrawal_reason, withdrawn_by, collated_on, collated_by, system_code, region_status, row_version`

func scanPlan(rows *sql.Rows) (r PlanRow, err error) {
	var in, agreed, collated string
	if err := rows.Scan(&r.ID, &r.PCNCode, &r.CommissionerCode, &r.LocationCode, &in, &r.Version, &r.Replaced, &r.SubmittedBy, &r.SubmittedAt, &agreed,
		&r.AgreedBy, &r.WithdrawalReason, &r.WithdrawnBy, &collated, &r.CollatedBy, &r.SystemCode, &r.RegionStatus, &r.RowVersion); err != nil {
		return r, err
	}
	var p stored.Texts
	r.PlannedIn, r.AgreedOn, r.CollatedOn = stored.Parse(&p, in, period.ParseFinancialYear), p.Date(agreed), p.Date(collated)
	return r, p.Err
}

// InsertPlan adds a version with its lines; their versions and days are those of the plan.
func InsertPlan(ctx context.Context, tx *sqldb.Tx, r PlanRow, lines []rules.PlanLine) error {
	_, err := tx.Exec(ctx, `INSERT INTO plans (`+planColumns+`) VALUES (`+sqldb.Placeholders(1, 18)+`)`,
		r.ID, r.PCNCode, r.CommissionerCode, r.LocationCode, r.PlannedIn.String(), r.Version, r.Replaced, r.SubmittedBy, r.SubmittedAt, r.AgreedOn.String(),
		r.AgreedBy, r.WithdrawalReason, r.WithdrawnBy, r.CollatedOn.String(), r.CollatedBy, r.SystemCode, r.RegionStatus, r.RowVersion)
	if err != nil {
		return fmt.Errorf("insert plan of %s: %w", r.PCNCode, err)
	}
	number := 0
	_, err = tx.BulkInsert(ctx, "plan_lines", []string{
		"line_id", "plan_id", "number", "pcn_code", "financial_year", "role_code", "band", "post", "intention", "wte_in_post", "planned_wte", "start_month",
		"employer", "recruitment_model", "estimated_cost_pence", "risks",
	}, rowsOf(lines, func(l rules.PlanLine) ([]any, error) {
		number++
		wte := make([]string, len(l.WTE))
		for i, value := range l.WTE {
			wte[i] = decimalText(value)
		}
		return []any{
			l.ID, r.ID, int64(number), r.PCNCode, l.Year.String(), l.Role, l.Band, string(l.Post), string(l.Intention), decimalText(l.InPost), strings.Join(wte, " "),
			l.StartMonth.String(), l.Employer, l.RecruitmentModel, int64(l.EstimatedCost), l.Risks,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("insert lines of plan %s: %w", r.ID, err)
	}
	return nil
}

// ChangePlan stores what may change of a version, if its row is still the one that was read.
func ChangePlan(ctx context.Context, tx *sqldb.Tx, r PlanRow) (bool, error) {
	return sqldb.One(tx.Exec(ctx, `UPDATE plans SET replaced = $1, agreed_on = $2, agreed_by = $3, withdrawal_reason = $4, withdrawn_by = $5, collated_on = $6,
		collated_by = $7, system_code = $8, region_status = $9, row_version = row_version + 1 WHERE plan_id = $10 AND row_version = $11`,
		r.Replaced, r.AgreedOn.String(), r.AgreedBy, r.WithdrawalReason, r.WithdrawnBy, r.CollatedOn.String(), r.CollatedBy, r.SystemCode, r.RegionStatus,
		r.ID, r.RowVersion))
}

// Plan returns a version, or sql.ErrNoRows.
func Plan(ctx context.Context, q sqldb.Querier, id string) (PlanRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans WHERE plan_id = $1`, id))
}

// NewestPlan returns the newest version that a PCN made in a year, or sql.ErrNoRows.
func NewestPlan(ctx context.Context, q sqldb.Querier, pcn string, in period.FinancialYear) (PlanRow, error) {
	return sqldb.First(sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans WHERE pcn_code = $1 AND planned_in = $2 AND NOT replaced`, pcn, in.String()))
}

// Plans returns plans, newest first. Without the replaced versions each PCN has one for each year in which it planned.
func Plans(ctx context.Context, q sqldb.Querier, by Page, replaced bool) ([]PlanRow, error) {
	f := by.newest("planned_in", "plan_id")
	if !replaced {
		f.Where("NOT replaced")
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans`+conditions+` ORDER BY plan_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// PlansMade returns the newest versions that some PCNs made in a year, in order of PCN.
func PlansMade(ctx context.Context, q sqldb.Querier, in period.FinancialYear, pcns []string) ([]PlanRow, error) {
	var out []PlanRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("pcn_code", batch)
		f.Where("planned_in = ?", in.String())
		f.Where("NOT replaced")
		rows, err := sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans`+f.String()+` ORDER BY pcn_code`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

// PlansFor returns, for some PCNs, the newest version made in a year or, where none was, in the last one before that has lines for it.
func PlansFor(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]PlanRow, error) {
	var out []PlanRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		var f sqldb.Filter
		f.In("p.pcn_code", batch)
		f.Where("NOT p.replaced")
		f.Where("p.planned_in <= ?", year.String())
		f.Where(`p.planned_in = (SELECT MAX(n.planned_in) FROM plans n WHERE n.pcn_code = p.pcn_code AND NOT n.replaced AND n.planned_in <= ?
			AND EXISTS (SELECT 1 FROM plan_lines l WHERE l.plan_id = n.plan_id AND l.financial_year = ?))`, year.String(), year.String())
		rows, err := sqldb.Collect(ctx, q, scanPlan, `SELECT `+planColumns+` FROM plans p`+f.String()+` ORDER BY p.pcn_code`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

// PlanLines returns the lines of versions, in order of version and line.
func PlanLines(ctx context.Context, q sqldb.Querier, plans []PlanRow) ([]rules.PlanLine, error) {
	byID := make(map[string]*PlanRow, len(plans))
	ids := make([]string, len(plans))
	for i := range plans {
		byID[plans[i].ID], ids[i] = &plans[i], plans[i].ID
	}
	var out []rules.PlanLine
	return out, sqldb.InBatches(ids, func(batch []string) error {
		var f sqldb.Filter
		f.In("plan_id", batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (rules.PlanLine, error) { return scanPlanLine(rows, byID) },
			`SELECT line_id, plan_id, financial_year, role_code, band, post, intention, wte_in_post, planned_wte, start_month, employer, recruitment_model,
			estimated_cost_pence, risks FROM plan_lines`+f.String()+` ORDER BY plan_id, number`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

func scanPlanLine(rows *sql.Rows, plans map[string]*PlanRow) (l rules.PlanLine, err error) {
	var plan, year, post, intention, inPost, planned, start string
	if err := rows.Scan(&l.ID, &plan, &year, &l.Role, &l.Band, &post, &intention, &inPost, &planned, &start, &l.Employer, &l.RecruitmentModel,
		&l.EstimatedCost, &l.Risks); err != nil {
		return l, err
	}
	var p stored.Texts
	l.Year, l.Post, l.Intention, l.InPost, l.StartMonth = stored.Parse(&p, year, period.ParseFinancialYear), rules.Post(post), rules.Intention(intention), p.Decimal(inPost), p.Month(start)
	for i, text := range strings.Split(planned, " ") {
		if i < len(l.WTE) {
			l.WTE[i] = p.Decimal(text)
		}
	}
	of := plans[plan]
	l.PCN, l.PlannedIn, l.Version, l.AgreedOn, l.CollatedOn = of.PCNCode, of.PlannedIn, of.Version, of.AgreedOn, of.CollatedOn
	return l, p.Err
}

// SystemPlanRow is a version of a system's plan as it is kept.
type SystemPlanRow struct {
	ID               string
	CommissionerCode string
	SystemCode       string
	PlannedIn        period.FinancialYear
	Version          int
	Replaced         bool
	Items            []*arrsv1.SystemPlanItem
	SubmittedBy      string
	SubmittedAt      int64
}

// InsertSystemPlan adds a version.
func InsertSystemPlan(ctx context.Context, tx *sqldb.Tx, r SystemPlanRow) error {
	items, err := sqldb.Marshal(&arrsv1.SystemPlan{Items: r.Items})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO system_plans (system_plan_id, commissioner_code, system_code, planned_in, version, items, submitted_by, submitted_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.ID, r.CommissionerCode, r.SystemCode, r.PlannedIn.String(), r.Version, items, r.SubmittedBy, r.SubmittedAt)
	if err != nil {
		return fmt.Errorf("insert system plan of %s: %w", r.SystemCode, err)
	}
	return nil
}

// SystemPlans returns system plans, newest first; a system narrows them to its own.
func SystemPlans(ctx context.Context, q sqldb.Querier, by Page, system string, replaced bool) ([]SystemPlanRow, error) {
	var f sqldb.Filter
	if by.Commissioners != nil {
		f.In("commissioner_code", by.Commissioners)
	}
	f.Equal("commissioner_code", by.CommissionerCode, "planned_in", by.Year, "system_code", system)
	if by.Before != "" {
		f.Where("system_plan_id < ?", by.Before)
	}
	const later = `EXISTS (SELECT 1 FROM system_plans n WHERE n.commissioner_code = s.commissioner_code AND n.system_code = s.system_code
		AND n.planned_in = s.planned_in AND n.version > s.version)`
	if !replaced {
		f.Where("NOT " + later)
	}
	conditions := f.String()
	return sqldb.Collect(ctx, q, func(rows *sql.Rows) (r SystemPlanRow, err error) {
		var in string
		var items []byte
		if err := rows.Scan(&r.ID, &r.CommissionerCode, &r.SystemCode, &in, &r.Version, &items, &r.SubmittedBy, &r.SubmittedAt, &r.Replaced); err != nil {
			return r, err
		}
		var p stored.Texts
		r.PlannedIn = stored.Parse(&p, in, period.ParseFinancialYear)
		if p.Err != nil {
			return r, p.Err
		}
		held, err := sqldb.Unmarshal(items, new(arrsv1.SystemPlan))
		r.Items = held.GetItems()
		return r, err
	}, `SELECT system_plan_id, commissioner_code, system_code, planned_in, version, items, submitted_by, submitted_at, `+later+` FROM system_plans s`+
		conditions+` ORDER BY system_plan_id DESC`+f.Limit(by.Limit), f.Args()...)
}

// PaidRow is the money of live lines of one PCN, pot and month: approved where the claim is decided, else payable.
type PaidRow struct {
	PCNCode string
	Pot     rules.Pot
	Month   period.Month
	Amount  money.Pence
}

// lineAmount is what counts of a line as claimed.
const lineAmount = `CASE WHEN c.state IN (4, 5, 6) THEN l.approved_pence ELSE l.payable_pence END`

// Paid adds up the live lines of some PCNs in a year.
func Paid(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) ([]PaidRow, error) {
	var out []PaidRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		f := linesOf(year.First(), year.Last(), batch)
		rows, err := sqldb.Collect(ctx, q, func(rows *sql.Rows) (r PaidRow, err error) {
			var pot, month string
			if err := rows.Scan(&r.PCNCode, &pot, &month, &r.Amount); err != nil {
				return r, err
			}
			var p stored.Texts
			r.Pot, r.Month = rules.Pot(pot), p.Month(month)
			return r, p.Err
		}, `SELECT l.pcn_code, l.pot, l.month, CAST(SUM(`+lineAmount+`) AS BIGINT) FROM claim_lines l JOIN claims c ON c.claim_id = l.claim_id`+f.String()+
			` GROUP BY l.pcn_code, l.pot, l.month ORDER BY l.pcn_code, l.pot, l.month`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}

func linesOf(from, to period.Month, pcns []string) (f sqldb.Filter) {
	f.Where("l.live")
	f.Where("l.month >= ?", from.String())
	f.Where("l.month <= ?", to.String())
	f.In("l.pcn_code", pcns)
	return f
}

// ClaimedRow is what a plan or a forecast sees of a claimed line.
type ClaimedRow struct {
	LineID       string
	PCNCode      string
	EngagementID string
	Month        period.Month
	Role         string
	Pot          rules.Pot
	Amount       money.Pence
	Uplift       bool // money that a backdated uplift added, for no working time
	// Start and End are the days of the engagement; End is zero while it lasts.
	Start, End period.Date
	// PerWeek is the hours or sessions of the engagement as its terms stand; WTE is that of the line, nil once its pay was erased.
	PerWeek, WTE *big.Rat
	// OverSum is what the line found no money for in the year's sum.
	OverSum money.Pence
}

const claimedColumns = `l.line_id, l.pcn_code, l.engagement_id, l.month, l.role_code, l.pot, l.kind, ` + lineAmount + `, e.start_date, ` + endOf + `, e.terms, l.assessment`

func scanClaimed(rows *sql.Rows) (r ClaimedRow, err error) {
	var month, pot, start, end string
	var kind int64
	var terms, assessment []byte
	if err := rows.Scan(&r.LineID, &r.PCNCode, &r.EngagementID, &month, &r.Role, &pot, &kind, &r.Amount, &start, &end, &terms, &assessment); err != nil {
		return r, err
	}
	stated, err := sqldb.Unmarshal(terms, new(arrsv1.EngagementTerms))
	if err != nil {
		return r, err
	}
	assessed, err := sqldb.Unmarshal(assessment, new(arrsv1.ClaimLine))
	if err != nil {
		return r, err
	}
	var p stored.Texts
	r.Uplift = kind == int64(Uplift)
	r.Month, r.Pot, r.Start, r.End, r.PerWeek = p.Month(month), rules.Pot(pot), p.Date(start), p.Date(end), p.Decimal(stated.GetPerWeek())
	if p.Err != nil {
		return r, p.Err
	}
	for _, part := range assessed.GetParts() {
		if part.GetReason() == rules.ReasonOverYearSum {
			r.OverSum += money.Pence(part.GetAmountPence())
		}
	}
	r.WTE, err = optionalExact(assessed.GetWte())
	return r, err
}

// Claimed hands over the live lines of some PCNs in a year.
func Claimed(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string, fn func(ClaimedRow) error) error {
	return sqldb.InBatches(pcns, func(batch []string) error {
		f := linesOf(year.First(), year.Last(), batch)
		return sqldb.Each(ctx, q, scanClaimed, fn, `SELECT `+claimedColumns+` FROM claim_lines l JOIN claims c ON c.claim_id = l.claim_id
			JOIN engagements e ON e.engagement_id = l.engagement_id`+f.String()+` ORDER BY l.pcn_code, l.month, l.line_id`, f.Args()...)
	})
}

// LastClaimed returns, engagement by engagement, the live lines of working time of the last month claimed up to a month. An engagement has
// several where its month was claimed in parts.
func LastClaimed(ctx context.Context, q sqldb.Querier, from, to period.Month, pcns []string) ([]ClaimedRow, error) {
	var out []ClaimedRow
	return out, sqldb.InBatches(pcns, func(batch []string) error {
		f := linesOf(from, to, batch)
		f.Where("l.kind <> ?", int64(Uplift))
		rows, err := sqldb.Collect(ctx, q, scanClaimed, `SELECT `+claimedColumns+` FROM (
				SELECT l.line_id, RANK() OVER (PARTITION BY l.engagement_id ORDER BY l.month DESC) AS place FROM claim_lines l`+f.String()+`
			) AS ranked JOIN claim_lines l ON l.line_id = ranked.line_id JOIN claims c ON c.claim_id = l.claim_id
			JOIN engagements e ON e.engagement_id = l.engagement_id WHERE ranked.place = 1 ORDER BY l.pcn_code, l.engagement_id, l.line_id`, f.Args()...)
		out = append(out, rows...)
		return err
	})
}
