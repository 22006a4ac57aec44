package store

import (
	"context"
	"fmt"
	"iter"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// table is one fact table: its columns after load_position, and the values a row of a file gives it.
type table struct {
	name    string
	columns []string
	values  func(*files.Row) [][]any
}

var mappingTable = table{
	"published_mappings",
	[]string{"practice_code", "practice_name", "pcn_code", "pcn_name", "location_code", "system_code", "region_code"},
	func(r *files.Row) [][]any {
		m := r.Mapping
		if m == nil {
			return nil
		}
		return [][]any{{m.Practice, m.PracticeName, m.PCN, m.PCNName, m.Location, m.System, m.RegionCode}}
	},
}

var populationTable = table{
	"populations",
	[]string{"organisation_code", "kind", "reference_date", "value", "applied_from_month"},
	func(r *files.Row) [][]any {
		out := make([][]any, 0, len(r.Populations))
		for _, p := range r.Populations {
			out = append(out, []any{p.Organisation, string(p.Kind), p.Reference.String(), p.Value, p.AppliedFrom.String()})
		}
		return out
	},
}

var relationshipTable = table{
	"dated_memberships",
	[]string{
		"practice_code", "practice_name", "practice_location_code", "practice_location_name", "pcn_code", "pcn_name",
		"pcn_location_code", "pcn_location_name", "starts", "ends",
	},
	func(r *files.Row) [][]any {
		d := r.Relationship
		if d == nil {
			return nil
		}
		return [][]any{{
			d.Practice, d.PracticeName, d.PracticeLocation, d.PracticeLocationName, d.PCN, d.PCNName, d.PCNLocation, d.PCNLocationName,
			d.Starts.String(), d.Ends.String(),
		}}
	},
}

var detailTable = table{
	"pcn_details",
	[]string{"pcn_code", "name", "location_code", "location_name", "opened", "closed"},
	func(r *files.Row) [][]any {
		d := r.Detail
		if d == nil {
			return nil
		}
		return [][]any{{d.PCN, d.Name, d.Location, d.LocationName, d.Opened.String(), d.Closed.String()}}
	},
}

var bedsTable = table{
	"care_home_beds",
	[]string{"pcn_code", "month", "beds", "coding_satisfied"},
	func(r *files.Row) [][]any {
		if r.Beds == nil {
			return nil
		}
		return [][]any{{r.Beds.PCN, r.Beds.Month.String(), r.Beds.Beds, r.Beds.CodingSatisfied}}
	},
}

var payeeTable = table{
	"payees",
	[]string{"organisation_code", "payee_code", "payee_name", "effective_from"},
	func(r *files.Row) [][]any {
		if r.Payee == nil {
			return nil
		}
		return [][]any{{r.Payee.Organisation, r.Payee.Code, r.Payee.Name, r.Payee.From.String()}}
	},
}

var participationTable = table{
	"participations",
	[]string{"practice_code", "participating", "notice_date", "effective_from"},
	func(r *files.Row) [][]any {
		p := r.Participation
		if p == nil {
			return nil
		}
		return [][]any{{p.Practice, p.Participating, p.Notice.String(), p.From.String()}}
	},
}

var commissionerTable = table{
	"commissioners",
	[]string{"code", "name", "kind", "region_code", "system_code", "opened", "closed"},
	func(r *files.Row) [][]any {
		c := r.Commissioner
		if c == nil {
			return nil
		}
		return [][]any{{c.Code, c.Name, string(c.Kind), c.Region, c.System, c.Opened.String(), c.Closed.String()}}
	},
}

// tablesOf names the tables that a kind of file fills.
var tablesOf = map[rules.Kind][]table{
	rules.PracticeMapping:     {mappingTable},
	rules.RegisteredLists:     {populationTable},
	rules.PCNPartners:         {relationshipTable},
	rules.PCNDetails:          {detailTable},
	rules.WeightedLists:       {populationTable},
	rules.AdjustedPopulations: {mappingTable, populationTable},
	rules.CareHomeBedCounts:   {bedsTable},
	rules.NominatedPayees:     {payeeTable},
	rules.Participations:      {participationTable},
	rules.Commissioners:       {commissionerTable},
	rules.Recorded:            {populationTable, bedsTable, payeeTable, participationTable, successionTable},
}

// AddFacts writes the rows of a load that AddLoad has numbered. The rows are taken once for each table they fill.
func AddFacts(ctx context.Context, tx *sqldb.Tx, l Load, rows iter.Seq2[*files.Row, error]) error {
	for _, t := range tablesOf[l.Kind] {
		columns := append([]string{"load_position"}, t.columns...)
		if _, err := tx.BulkInsert(ctx, t.name, columns, valuesOf(l.Position, t, rows)); err != nil {
			return fmt.Errorf("store the rows of %s: %w", l.Kind, err)
		}
	}
	if l.Maps {
		if err := addPlaces(ctx, tx, l.Position, rows); err != nil {
			return err
		}
	}
	return addSightings(ctx, tx, l)
}

func valuesOf(position int64, t table, rows iter.Seq2[*files.Row, error]) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, values := range t.values(row) {
				if !yield(append([]any{position}, values...), nil) {
					return
				}
			}
		}
	}
}

// addPlaces writes where each location lay, once per location.
func addPlaces(ctx context.Context, tx *sqldb.Tx, position int64, rows iter.Seq2[*files.Row, error]) error {
	type place struct{ location, system, region string }
	seen := make(map[place]bool)
	distinct := func(yield func([]any, error) bool) {
		for row, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			m := row.Mapping
			if m == nil || seen[place{m.Location, m.System, m.RegionCode}] {
				continue
			}
			seen[place{m.Location, m.System, m.RegionCode}] = true
			if !yield([]any{position, m.Location, m.LocationName, m.System, m.SystemName, m.RegionCode, m.RegionName}, nil) {
				return
			}
		}
	}
	columns := []string{"load_position", "location_code", "location_name", "system_code", "system_name", "region_code", "region_name"}
	if _, err := tx.BulkInsert(ctx, "places", columns, distinct); err != nil {
		return fmt.Errorf("store the places: %w", err)
	}
	return nil
}

// AddMembership writes the one fact of a recorded membership.
func AddMembership(ctx context.Context, tx *sqldb.Tx, l Load, m rules.RecordedMembership) error {
	_, err := tx.Exec(ctx, `INSERT INTO recorded_memberships (load_position, practice_code, pcn_code, starts, ends) VALUES ($1, $2, $3, $4, $5)`,
		l.Position, m.Practice, m.PCN, m.Starts.String(), m.Ends.String())
	if err != nil {
		return fmt.Errorf("store a membership: %w", err)
	}
	return addSightings(ctx, tx, l)
}

// sightingSources are the queries that show organisations, by kind of load; $1 is the load.
var sightingSources = map[rules.Kind][]string{
	rules.PracticeMapping:     mappingSightings,
	rules.AdjustedPopulations: mappingSightings,
	rules.PCNPartners: {
		`SELECT 'practice' AS kind, practice_code AS code, practice_name AS name FROM dated_memberships WHERE load_position = $1`,
		`SELECT 'PCN' AS kind, pcn_code AS code, pcn_name AS name FROM dated_memberships WHERE load_position = $1`,
		`SELECT 'location' AS kind, practice_location_code AS code, practice_location_name AS name FROM dated_memberships WHERE load_position = $1`,
		`SELECT 'location' AS kind, pcn_location_code AS code, pcn_location_name AS name FROM dated_memberships WHERE load_position = $1`,
	},
	rules.PCNDetails: {
		`SELECT 'PCN' AS kind, pcn_code AS code, name FROM pcn_details WHERE load_position = $1`,
		`SELECT 'location' AS kind, location_code AS code, location_name AS name FROM pcn_details WHERE load_position = $1`,
	},
	rules.RegisteredLists: {listSightings},
	rules.WeightedLists:   {listSightings},
	rules.Commissioners: {
		`SELECT kind, code, name FROM commissioners c WHERE load_position = $1 AND opened = (
			SELECT max(opened) FROM commissioners d WHERE d.load_position = c.load_position AND d.code = c.code)`,
	},
	rules.Recorded: {
		`SELECT 'practice' AS kind, practice_code AS code, '' AS name FROM recorded_memberships WHERE load_position = $1`,
		`SELECT 'PCN' AS kind, pcn_code AS code, '' AS name FROM recorded_memberships WHERE load_position = $1`,
	},
}

const listSightings = `SELECT 'practice' AS kind, organisation_code AS code, '' AS name FROM populations WHERE load_position = $1`

var mappingSightings = []string{
	`SELECT 'practice' AS kind, practice_code AS code, practice_name AS name FROM published_mappings WHERE load_position = $1`,
	`SELECT 'PCN' AS kind, pcn_code AS code, pcn_name AS name FROM published_mappings WHERE load_position = $1`,
	`SELECT 'location' AS kind, location_code AS code, location_name AS name FROM places WHERE load_position = $1`,
	`SELECT 'system' AS kind, system_code AS code, system_name AS name FROM places WHERE load_position = $1`,
	`SELECT 'region' AS kind, region_code AS code, region_name AS name FROM places WHERE load_position = $1`,
}

// addSightings notes codes not seen before, and names other than the latest known.
func addSightings(ctx context.Context, tx *sqldb.Tx, l Load) error {
	for _, source := range sightingSources[l.Kind] {
		_, err := tx.Exec(ctx, `INSERT INTO sightings (kind, code, name, seen_on, load_position)
			SELECT f.kind, f.code, max(f.name), $2, $1 FROM (`+source+`) f
			WHERE f.code <> '' AND CASE WHEN f.name = ''
				THEN NOT EXISTS (SELECT 1 FROM sightings s WHERE s.kind = f.kind AND s.code = f.code)
				ELSE f.name <> COALESCE((SELECT s.name FROM sightings s WHERE s.kind = f.kind AND s.code = f.code AND s.name <> ''
					ORDER BY s.seen_on DESC, s.load_position DESC LIMIT 1), '') END
			GROUP BY f.kind, f.code ON CONFLICT DO NOTHING`, l.Position, l.ExtractDate.String())
		if err != nil {
			return fmt.Errorf("note the organisations of a load: %w", err)
		}
	}
	return nil
}

// naming are the queries for the organisations that a kind of file says something of without showing them; $1 is the load.
var naming = map[rules.Kind]string{
	rules.CareHomeBedCounts:   `SELECT pcn_code AS code FROM care_home_beds WHERE load_position = $1`,
	rules.NominatedPayees:     `SELECT organisation_code AS code FROM payees WHERE load_position = $1`,
	rules.Participations:      `SELECT practice_code AS code FROM participations WHERE load_position = $1`,
	rules.AdjustedPopulations: `SELECT organisation_code AS code FROM populations WHERE load_position = $1`,
}

// Unknown returns the codes that the facts of a load are about and that no load has shown as a practice or PCN, by code.
func Unknown(ctx context.Context, q sqldb.Querier, l Load, limit int) ([]string, error) {
	source, ok := naming[l.Kind]
	if !ok {
		return nil, nil
	}
	out, err := list(ctx, q, func(row scanner) (code string, err error) {
		err = row.Scan(&code)
		return code, err
	}, `SELECT DISTINCT f.code FROM (`+source+`) f
		WHERE NOT EXISTS (SELECT 1 FROM sightings s WHERE s.code = f.code AND s.kind IN ('practice', 'PCN')) ORDER BY f.code LIMIT $2`,
		l.Position, limit)
	if err != nil {
		return nil, fmt.Errorf("look for unknown organisations: %w", err)
	}
	return out, nil
}
