package arrs

import (
	"context"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// potKey names a pot of a PCN.
type potKey struct {
	pcn string
	pot rules.Pot
}

// yearData is what the years of some PCNs rest on and what was claimed in them, loaded once for all.
type yearData struct {
	scheme       *rules.Scheme
	year         period.FinancialYear
	entitlements map[string][]store.EntitlementRow
	pots         map[potKey]store.PotRow
	paid         map[string][]store.PaidRow
	plans        map[string]store.PlanRow
	lines        map[string][]rules.PlanLine
}

// loadYearData reads what the PCNs have of a year: sums, running totals, money claimed by month, and the plan that counts for it.
func (s *Service) loadYearData(ctx context.Context, q sqldb.Querier, year period.FinancialYear, pcns []string) (*yearData, error) {
	scheme, err := s.scheme(ctx, q)
	if err != nil {
		return nil, err
	}
	d := &yearData{
		scheme: scheme, year: year, entitlements: make(map[string][]store.EntitlementRow), pots: make(map[potKey]store.PotRow),
		paid: make(map[string][]store.PaidRow), plans: make(map[string]store.PlanRow), lines: make(map[string][]rules.PlanLine),
	}
	entitlements, err := store.Entitlements(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	for i := range entitlements {
		d.entitlements[entitlements[i].PCNCode] = append(d.entitlements[entitlements[i].PCNCode], entitlements[i])
	}
	pots, err := store.Pots(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	for _, pot := range pots {
		d.pots[potKey{pot.PCNCode, pot.Pot}] = pot
	}
	paid, err := store.Paid(ctx, q, year, pcns)
	if err != nil {
		return nil, err
	}
	for _, row := range paid {
		d.paid[row.PCNCode] = append(d.paid[row.PCNCode], row)
	}
	return d, d.loadPlans(ctx, q, pcns)
}

func (d *yearData) loadPlans(ctx context.Context, q sqldb.Querier, pcns []string) error {
	plans, err := store.PlansFor(ctx, q, d.year, pcns)
	if err != nil {
		return err
	}
	lines, err := store.PlanLines(ctx, q, plans)
	if err != nil {
		return err
	}
	for _, plan := range plans {
		d.plans[plan.PCNCode] = plan
	}
	for i := range lines {
		if lines[i].Year == d.year {
			d.lines[lines[i].PCN] = append(d.lines[lines[i].PCN], lines[i])
		}
	}
	return nil
}

// context returns what the rules need of a PCN's year. What was paid for lines that are there no more, because their pay was erased,
// counts as paid before.
func (d *yearData) context(y *store.YearRow) (*rules.Context, error) {
	known := make(map[rules.Pot]money.Pence)
	for _, row := range d.paid[y.PCNCode] {
		known[row.Pot] += row.Amount // a part of the pot's total, which is a number
	}
	c := &rules.Context{
		Scheme: d.scheme, Year: d.year, PCN: y.PCNCode, Commissioner: y.CommissionerCode, Region: y.Region,
		List: rules.ListSize{Patients: y.RegisteredPatients, Known: y.RegisteredPatients > 0},
	}
	for i := range d.entitlements[y.PCNCode] {
		e := &d.entitlements[y.PCNCode][i]
		pot := d.pots[potKey{y.PCNCode, e.Pot}]
		sum, err := potSum(e.Entitlement, pot)
		if err != nil {
			return nil, err
		}
		claimed, err := money.Sum(pot.Submitted, pot.Approved)
		if err != nil {
			return nil, err
		}
		sum.PaidBefore = max(claimed-known[e.Pot], 0)
		c.Sums = append(c.Sums, sum)
	}
	return c, nil
}

// lastClaimed is the last month up to one that a PCN claimed; the March before its year where it claimed none.
func (d *yearData) lastClaimed(pcn string, to period.Month) period.Month {
	last := d.year.First().Add(-1)
	for _, row := range d.paid[pcn] {
		if row.Month.After(last) && !row.Month.After(to) {
			last = row.Month
		}
	}
	return last
}

// assessedPaid is the money claimed as the rules read lines: one for each pot and month.
func (d *yearData) assessedPaid(pcn string) []rules.Assessed {
	out := make([]rules.Assessed, 0, len(d.paid[pcn]))
	for _, row := range d.paid[pcn] {
		out = append(out, rules.Assessed{LineID: row.Month.String(), Month: row.Month, Pot: row.Pot, Payable: row.Amount})
	}
	return out
}

// assessedLine is a claimed line as the rules of plans and forecasts read it.
func assessedLine(scheme *rules.Scheme, row *store.ClaimedRow) rules.Assessed {
	from, to := row.Month.First(), row.Month.Last()
	if row.Start.After(from) {
		from = row.Start
	}
	if !row.End.IsZero() && row.End.Before(to) {
		to = row.End
	}
	days := 0
	if !to.Before(from) {
		days = int(to.Time().Sub(from.Time()).Hours()/24) + 1
	}
	wte := row.WTE
	if role, known := scheme.Role(row.Role); wte == nil && known && row.PerWeek != nil {
		wte = role.WTE(row.PerWeek)
	}
	out := rules.Assessed{
		LineID: row.LineID, EngagementID: row.EngagementID, Month: row.Month, Role: row.Role, Pot: row.Pot, Payable: row.Amount,
		WithinMaximum: row.Amount + row.OverSum, Days: days, WTE: wte, AdmittedWTEDays: new(big.Rat),
	}
	if wte != nil && out.WithinMaximum > 0 {
		out.AdmittedWTEDays.Mul(wte, new(big.Rat).SetInt64(int64(days)))
	}
	return out
}

// staffOf returns who is in post by the last month claimed, PCN by PCN. Lines that claim a month in parts make one month.
func staffOf(scheme *rules.Scheme, rows []store.ClaimedRow) map[string][]rules.Staff {
	out := make(map[string][]rules.Staff)
	engagement := ""
	for i := range rows {
		row := &rows[i]
		line := assessedLine(scheme, row)
		staff := out[row.PCNCode]
		if row.EngagementID == engagement {
			last := staff[len(staff)-1].Last
			last.WithinMaximum += line.WithinMaximum
			if line.AdmittedWTEDays.Cmp(last.AdmittedWTEDays) > 0 {
				last.AdmittedWTEDays = line.AdmittedWTEDays
			}
			continue
		}
		engagement = row.EngagementID
		out[row.PCNCode] = append(staff, rules.Staff{Last: &line, End: row.End})
	}
	return out
}

// vacancies are the posts that firm lines with a month of start plan above the staff in post.
func vacancies(plan []rules.PlanLine, staff []rules.Staff, asOf period.Month) []rules.Vacancy {
	inPost := make(map[string]*big.Rat)
	for _, s := range staff {
		if s.Last.Days == 0 || (!s.End.IsZero() && !s.End.After(asOf.Last())) {
			continue
		}
		if inPost[s.Last.Role] == nil {
			inPost[s.Last.Role] = new(big.Rat)
		}
		days := new(big.Rat).SetInt64(int64(s.Last.Days))
		inPost[s.Last.Role].Add(inPost[s.Last.Role], days.Quo(s.Last.AdmittedWTEDays, days))
	}
	var out []rules.Vacancy
	for i := range plan {
		line := &plan[i]
		if line.Intention != rules.Firm || line.StartMonth.IsZero() {
			continue
		}
		wte := new(big.Rat).Set(line.PlannedWTE(line.StartMonth))
		if held := inPost[line.Role]; held != nil {
			covered := new(big.Rat).Set(held)
			if covered.Cmp(wte) > 0 {
				covered.Set(wte)
			}
			held.Sub(held, covered)
			wte.Sub(wte, covered)
		}
		if wte.Sign() > 0 {
			out = append(out, rules.Vacancy{ID: line.ID, Role: line.Role, Band: line.Band, Post: line.Post, WTE: wte, Start: line.StartMonth})
		}
	}
	return out
}

// forecasts works out the years of PCNs to their end; a zero month takes the last that each PCN claimed.
func (s *Service) forecasts(ctx context.Context, q sqldb.Querier, year period.FinancialYear, years []store.YearRow, asOf period.Month) ([]rules.Forecast, *yearData, error) {
	pcns := make([]string, len(years))
	for i := range years {
		pcns[i] = years[i].PCNCode
	}
	d, err := s.loadYearData(ctx, q, year, pcns)
	if err != nil {
		return nil, nil, err
	}
	// A month that is to come has been worked by nobody, whatever was claimed for it.
	to := runningMonth(year, period.DateOf(s.db.Now()))
	if !asOf.IsZero() {
		to = asOf
	}
	last, err := store.LastClaimed(ctx, q, year.First(), to, pcns)
	if err != nil {
		return nil, nil, err
	}
	staff := staffOf(d.scheme, last)
	out := make([]rules.Forecast, len(years))
	for i := range years {
		y := &years[i]
		c, err := d.context(y)
		if err != nil {
			return nil, nil, err
		}
		of := asOf
		if of.IsZero() {
			of = d.lastClaimed(y.PCNCode, to)
		}
		forecast, err := rules.ForecastYear(c, rules.ForecastInput{
			AsOf: of, Claims: d.assessedPaid(y.PCNCode), Staff: staff[y.PCNCode], Plan: d.lines[y.PCNCode],
			Vacancies: vacancies(d.lines[y.PCNCode], staff[y.PCNCode], of),
		})
		if err != nil {
			return nil, nil, err
		}
		out[i] = *forecast
	}
	return out, d, nil
}
