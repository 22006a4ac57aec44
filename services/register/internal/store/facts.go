package store

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// ReadFacts reads what a set of loads says about a day and a reference date: the sources of a plan whole, and all else as far
// as it matters. The loads are all those up to a number, as LoadsUpTo returns them.
func ReadFacts(ctx context.Context, q sqldb.Querier, loads []rules.Load, plan rules.Plan, reference period.Date) (rules.Facts, error) {
	r, byPosition := newFactReader(ctx, q, loads)
	f := rules.Facts{
		Loads: byPosition, Mappings: make(map[int64]rules.Mapping),
		Editions: make(map[int64]rules.Edition), Details: make(map[int64]rules.DetailsEdition),
	}
	for _, position := range []int64{plan.Published, plan.LocatedBefore, plan.LocatedAfter} {
		if _, done := f.Mappings[position]; !done && position != 0 {
			f.Mappings[position] = rules.Mapping{Load: f.Loads[position], Rows: r.mapping(position)}
		}
	}
	if plan.Edition != 0 {
		f.Editions[plan.Edition] = rules.Edition{Load: f.Loads[plan.Edition], Rows: r.edition(plan.Edition)}
	}
	for _, position := range []int64{plan.DetailsBefore, plan.DetailsAfter, plan.DetailsNewest} {
		if _, done := f.Details[position]; !done && position != 0 {
			f.Details[position] = rules.DetailsEdition{Load: f.Loads[position], Rows: r.details(position)}
		}
	}
	f.Places = r.places(f.Loads)
	f.Commissioners = r.commissioners()
	f.Recorded = r.recorded()
	f.Populations = r.populations(reference)
	f.Beds = r.beds()
	f.Payees = r.payees()
	f.Participations = r.participations()
	if r.err != nil {
		return rules.Facts{}, fmt.Errorf("read the facts: %w", r.err)
	}
	return f, nil
}

// factReader reads tables one after another and keeps the first error.
type factReader struct {
	ctx  context.Context //nolint:containedctx // lives for one call of what reads facts
	q    sqldb.Querier
	last int64
	err  error
	// days keeps parsed days: few distinct ones stand in many rows.
	days map[string]period.Date
}

// newFactReader makes a reader of what some loads say, and gives the loads by their numbers.
func newFactReader(ctx context.Context, q sqldb.Querier, loads []rules.Load) (*factReader, map[int64]rules.Load) {
	r, byPosition := &factReader{ctx: ctx, q: q, days: make(map[string]period.Date)}, make(map[int64]rules.Load, len(loads))
	for _, l := range loads {
		byPosition[l.Position] = l
		r.last = max(r.last, l.Position)
	}
	return r, byPosition
}

func gather[T any](r *factReader, scan func(row scanner, into *T) error, query string, args ...any) []T {
	if r.err != nil {
		return nil
	}
	var out []T
	r.err = each(r.ctx, r.q, func(row scanner) error {
		var value T
		if err := scan(row, &value); err != nil {
			return err
		}
		out = append(out, value)
		return nil
	}, query, args...)
	return out
}

// day reads a stored day.
func (r *factReader) day(text string) period.Date {
	if text == "" {
		return period.Date{}
	}
	if day, ok := r.days[text]; ok {
		return day
	}
	day, err := period.ParseDate(text)
	if err != nil && r.err == nil {
		r.err = err
	}
	r.days[text] = day
	return day
}

// month reads a stored month.
func (r *factReader) month(text string) period.Month {
	m, err := month(text)
	if err != nil && r.err == nil {
		r.err = err
	}
	return m
}

func (r *factReader) mapping(position int64) []rules.MappingRow {
	return gather(r, func(row scanner, m *rules.MappingRow) error {
		return row.Scan(&m.Practice, &m.PracticeName, &m.PCN, &m.PCNName, &m.Location, &m.System, &m.RegionCode)
	}, `SELECT practice_code, practice_name, pcn_code, pcn_name, location_code, system_code, region_code
		FROM published_mappings WHERE load_position = $1 ORDER BY practice_code`, position)
}

func (r *factReader) edition(position int64) []rules.Relationship {
	return gather(r, func(row scanner, d *rules.Relationship) error {
		var starts, ends string
		err := row.Scan(&d.Practice, &d.PracticeName, &d.PracticeLocation, &d.PCN, &d.PCNName, &d.PCNLocation, &starts, &ends)
		d.Starts, d.Ends = r.day(starts), r.day(ends)
		return err
	}, `SELECT practice_code, practice_name, practice_location_code, pcn_code, pcn_name, pcn_location_code, starts, ends
		FROM dated_memberships WHERE load_position = $1 ORDER BY practice_code, pcn_code, starts`, position)
}

func (r *factReader) details(position int64) []rules.Detail {
	return gather(r, func(row scanner, d *rules.Detail) error {
		var opened, closed string
		err := row.Scan(&d.PCN, &d.Name, &d.Location, &d.LocationName, &opened, &closed)
		d.Opened, d.Closed = r.day(opened), r.day(closed)
		return err
	}, `SELECT pcn_code, name, location_code, location_name, opened, closed FROM pcn_details WHERE load_position = $1 ORDER BY pcn_code`, position)
}

func (r *factReader) places(loads map[int64]rules.Load) []rules.Place {
	return gather(r, func(row scanner, p *rules.Place) error {
		err := row.Scan(&p.Load, &p.Location, &p.LocationName, &p.System, &p.SystemName, &p.Region, &p.RegionName)
		p.Date = loads[p.Load].ExtractDate
		return err
	}, `SELECT load_position, location_code, location_name, system_code, system_name, region_code, region_name
		FROM places WHERE load_position <= $1 ORDER BY load_position, location_code, system_code, region_code`, r.last)
}

func (r *factReader) commissioners() []rules.Commissioner {
	return gather(r, func(row scanner, c *rules.Commissioner) error {
		var opened, closed string
		err := row.Scan(&c.Load, &c.Code, &c.Name, &c.Kind, &c.Region, &c.System, &opened, &closed)
		c.Opened, c.Closed = r.day(opened), r.day(closed)
		return err
	}, `SELECT load_position, code, name, kind, region_code, system_code, opened, closed
		FROM commissioners WHERE load_position <= $1 ORDER BY load_position, code, opened`, r.last)
}

func (r *factReader) recorded() []rules.RecordedMembership {
	return gather(r, func(row scanner, m *rules.RecordedMembership) error {
		var starts, ends string
		err := row.Scan(&m.Load, &m.Practice, &m.PCN, &starts, &ends)
		m.Starts, m.Ends = r.day(starts), r.day(ends)
		return err
	}, `SELECT load_position, practice_code, pcn_code, starts, ends
		FROM recorded_memberships WHERE load_position <= $1 ORDER BY load_position`, r.last)
}

func (r *factReader) populations(reference period.Date) []rules.Population {
	return gather(r, func(row scanner, p *rules.Population) error {
		var applied string
		err := row.Scan(&p.Load, &p.Organisation, &p.Kind, &p.Value, &applied)
		p.Reference, p.AppliedFrom = reference, r.month(applied)
		return err
	}, `SELECT load_position, organisation_code, kind, value, applied_from_month
		FROM populations WHERE reference_date = $1 AND load_position <= $2 ORDER BY load_position`, reference.String(), r.last)
}

// HasPopulations tells whether loads up to a number hold a population of any kind of a reference date.
func HasPopulations(ctx context.Context, q sqldb.Querier, position int64, reference period.Date) (bool, error) {
	var count int64
	err := q.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM populations WHERE reference_date = $1 AND load_position <= $2 LIMIT 1) p`,
		reference.String(), position).Scan(&count)
	if err != nil {
		return false, fmt.Errorf("look for populations of %s: %w", reference, err)
	}
	return count > 0, nil
}

func (r *factReader) beds() []rules.Beds {
	return gather(r, func(row scanner, b *rules.Beds) error {
		var stated string
		err := row.Scan(&b.Load, &b.PCN, &stated, &b.Beds, &b.CodingSatisfied)
		b.Month = r.month(stated)
		return err
	}, `SELECT load_position, pcn_code, month, beds, coding_satisfied FROM care_home_beds WHERE load_position <= $1 ORDER BY load_position`, r.last)
}

func (r *factReader) payees() []rules.Payee {
	return gather(r, func(row scanner, p *rules.Payee) error {
		var from string
		err := row.Scan(&p.Load, &p.Organisation, &p.Code, &p.Name, &from)
		p.From = r.day(from)
		return err
	}, `SELECT load_position, organisation_code, payee_code, payee_name, effective_from
		FROM payees WHERE load_position <= $1 ORDER BY load_position`, r.last)
}

func (r *factReader) participations() []rules.Participation {
	return gather(r, func(row scanner, p *rules.Participation) error {
		var notice, from string
		err := row.Scan(&p.Load, &p.Practice, &p.Participating, &notice, &from)
		p.Notice, p.From = r.day(notice), r.day(from)
		return err
	}, `SELECT load_position, practice_code, participating, notice_date, effective_from
		FROM participations WHERE load_position <= $1 ORDER BY load_position`, r.last)
}
