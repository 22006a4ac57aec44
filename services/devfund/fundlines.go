package devfund

import (
	"cmp"
	"context"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

// defaultFund is the fund that views are of where none is named and the nation has no total of the year.
const defaultFund = "PCN_DEV"

// fundOf is the fund that views of a year are of where none is named: PCN_DEV while the nation had it, after that the one it went into.
func fundOf(totals []rules.Total, year period.FinancialYear) string {
	fund := ""
	for i := range totals {
		if of := totals[i].Key; of.Year == year && of.FundCode != defaultFund {
			fund = of.FundCode
		} else if of.Year == year {
			return defaultFund
		}
	}
	return cmp.Or(fund, defaultFund)
}

// fundOfYear is a fund in a year, as far as some commissioners account for it; nil commissioners are all.
type fundOfYear struct {
	year  period.FinancialYear
	fund  string
	scope []string
}

// fundAsked reads a year and a fund, and what of it the caller may see.
func (s *Service) fundAsked(ctx context.Context, year, fund, commissioner string) (of fundOfYear, err error) {
	if of.year, err = planYear("financial_year", year); err != nil {
		return of, err
	}
	of.fund = cmp.Or(fund, fundOf(s.totals, of.year))
	of.scope, err = visible(ctx, commissioner)
	return of, err
}

func (f *fundOfYear) plans() store.PlanFilter {
	return store.PlanFilter{Commissioners: f.scope, Year: f.year.String(), FundCode: f.fund}
}

// fundLine is a line of an approved version with what became of it.
type fundLine struct {
	row        store.PlanLineRow
	reports    []rules.Spend
	scheduled  []store.ScheduledRow
	treatments []store.TreatmentRow
}

// fundLines loads the lines of approved versions, by plan in the order of their authors.
func fundLines(ctx context.Context, q sqldb.Querier, of *fundOfYear) ([]fundLine, error) {
	by := of.plans()
	rows, err := store.ApprovedLines(ctx, q, by)
	if err != nil {
		return nil, err
	}
	spend, err := store.Spend(ctx, q, by)
	if err != nil {
		return nil, err
	}
	scheduled, err := store.Scheduled(ctx, q, by)
	if err != nil {
		return nil, err
	}
	treatments, err := store.TreatmentsOf(ctx, q, by)
	if err != nil {
		return nil, err
	}
	out := make([]fundLine, len(rows))
	for i := range rows {
		key := rows[i].Key()
		out[i] = fundLine{row: rows[i], reports: reported(spend[key]), scheduled: scheduled[key], treatments: treatments[key]}
	}
	return out, nil
}

// end is where the line stands at the end of a month. What schedules hold of it is what they hold for months up to that one.
func (l *fundLine) end(month period.Month) (rules.LineEnd, error) {
	var held money.Pence
	for _, row := range l.scheduled {
		var err error
		if row.ForMonth.After(month) {
			continue
		}
		if held, err = held.Add(row.Amount); err != nil {
			return rules.LineEnd{}, err
		}
	}
	return rules.EndOf(&rules.LineYear{
		PlanID: l.row.PlanID, LineID: l.row.LineID, Payee: named(l.row.Payee, rules.PayeeKind("")), Committed: l.row.Amount, Scheduled: held, Reports: l.reports,
	}, month)
}

// moved is what approved treatments of the line move.
func (l *fundLine) moved() (money.Pence, error) {
	return treated(slices.DeleteFunc(slices.Clone(l.treatments), func(r store.TreatmentRow) bool {
		return r.State != devfundv1.TreatmentState_TREATMENT_APPROVED
	}), "")
}

// purse is what one commissioner accounts for of a fund in a year.
type purse struct {
	rows []store.AllocationRow
	// available is what is not passed on to others, as far as it is known.
	available money.Pence
	// unknown are allocations of which nothing may be shared or committed.
	unknown []store.AllocationRow
}

// pursesOf loads them by commissioner. What an allocation shares is left to those that hold it, so that together they come to what the
// highest of them hold; what is carried forward stays in the year that it was released for.
func pursesOf(ctx context.Context, q sqldb.Querier, of *fundOfYear) (map[string]*purse, error) {
	by := store.AllocationsBy{Scope: store.Scope{Commissioners: of.scope}, Year: of.year.String(), FundCode: of.fund}
	rows, err := store.Allocations(ctx, q, by)
	if err != nil {
		return nil, err
	}
	by.Year = (of.year + 1).String()
	next, err := store.Allocations(ctx, q, by)
	if err != nil {
		return nil, err
	}
	carried := make(map[string]money.Pence)
	for i := range next {
		if next[i].Purpose != devfundv1.AllocationPurpose_CARRIED_FORWARD {
			continue
		}
		if carried[next[i].ParentID], err = carried[next[i].ParentID].Add(next[i].Holding()); err != nil {
			return nil, err
		}
	}
	out := make(map[string]*purse)
	for i := range rows {
		row := &rows[i]
		if row.Level == devfundv1.AllocationLevel_NATION {
			continue
		}
		p := out[row.CommissionerCode]
		if p == nil {
			p = new(purse)
			out[row.CommissionerCode] = p
		}
		p.rows = append(p.rows, *row)
		available, known := row.Available()
		if !known {
			p.unknown = append(p.unknown, *row)
			continue
		}
		if p.available, err = money.Sum(p.available, available, -row.Shared, carried[row.ID]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
