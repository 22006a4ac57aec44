package store

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// Organisation is a code the register has seen, with its latest name. Opened and Closed are those of its latest description;
// zero where not known.
type Organisation struct {
	Kind, Code, Name string
	Opened, Closed   period.Date
}

// The kinds of organisation, as sightings name them.
const (
	KindPractice = "practice"
	KindPCN      = "PCN"
	KindLocation = string(rules.LocationBody)
	KindSystem   = string(rules.SystemBody)
	KindRegion   = string(rules.RegionBody)
)

// latestSightings picks, per code, the latest name known; a sighting without a name counts only where there is no other.
const latestSightings = `SELECT s.kind, s.code, s.name,
		COALESCE(d.opened, c.opened, '') AS opened, COALESCE(d.closed, c.closed, '') AS closed
	FROM (SELECT kind, code, name, row_number() OVER (PARTITION BY kind, code
		ORDER BY CASE WHEN name = '' THEN 1 ELSE 0 END, seen_on DESC, load_position DESC) AS n
		FROM sightings WHERE load_position <= $1 AND %s) s
	LEFT JOIN pcn_details d ON s.kind = 'PCN' AND d.pcn_code = s.code AND d.load_position = (
		SELECT l.position FROM loads l WHERE l.kind = 'PCN_DETAILS' AND l.position <= $1 ORDER BY l.extract_date DESC, l.position DESC LIMIT 1)
	LEFT JOIN commissioners c ON s.kind <> 'PCN' AND s.kind <> 'practice' AND c.code = s.code AND c.load_position = (
		SELECT max(e.load_position) FROM commissioners e WHERE e.code = s.code AND e.load_position <= $1)
		AND c.opened = (SELECT max(f.opened) FROM commissioners f WHERE f.code = s.code AND f.load_position = c.load_position)
	WHERE s.n = 1`

func scanOrganisation(row scanner) (Organisation, error) {
	var o Organisation
	var opened, closed string
	if err := row.Scan(&o.Kind, &o.Code, &o.Name, &opened, &closed); err != nil {
		return o, err
	}
	var err error
	if o.Opened, err = date(opened); err != nil {
		return o, err
	}
	o.Closed, err = date(closed)
	return o, err
}

// Organisations lists the codes of one kind after a code, as loads up to a number show them.
func Organisations(ctx context.Context, q sqldb.Querier, position int64, kind, after string, limit int) ([]Organisation, error) {
	out, err := list(ctx, q, scanOrganisation, fmt.Sprintf(latestSightings, "kind = $2 AND code > $3")+` ORDER BY s.code LIMIT $4`,
		position, kind, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list organisations: %w", err)
	}
	return out, nil
}

// OrganisationsByCode returns what a code stands for, as loads up to a number show it: nothing if it was never seen.
func OrganisationsByCode(ctx context.Context, q sqldb.Querier, position int64, code string) ([]Organisation, error) {
	out, err := list(ctx, q, scanOrganisation, fmt.Sprintf(latestSightings, "code = $2")+` ORDER BY s.kind`, position, code)
	if err != nil {
		return nil, fmt.Errorf("look for organisation %s: %w", code, err)
	}
	return out, nil
}

// Sighted tells whether a code was seen as one of some kinds.
func Sighted(ctx context.Context, q sqldb.Querier, code string, kinds ...string) (bool, error) {
	args := []any{code}
	for _, kind := range kinds {
		args = append(args, kind)
	}
	var count int64
	err := q.QueryRow(ctx, `SELECT count(*) FROM sightings WHERE code = $1 AND kind IN (`+sqldb.Placeholders(2, len(kinds))+`)`, args...).Scan(&count)
	if err != nil {
		return false, fmt.Errorf("look for organisation %s: %w", code, err)
	}
	return count > 0, nil
}

// Names returns the latest names of codes, of whatever kind.
func Names(ctx context.Context, q sqldb.Querier, position int64, codes []string) (map[string]string, error) {
	out := make(map[string]string, len(codes))
	for _, code := range codes {
		if _, done := out[code]; done {
			continue
		}
		found, err := OrganisationsByCode(ctx, q, position, code)
		if err != nil {
			return nil, err
		}
		out[code] = ""
		if len(found) > 0 {
			out[code] = found[0].Name
		}
	}
	return out, nil
}

// History is what loads up to a number say about the links of one organisation.
type History struct {
	Dated    []rules.Link
	PCN      []rules.Observed
	Location []rules.Observed
	System   []rules.Observed
	Region   []rules.Observed
	Payees   []rules.Payee
}

// ReadHistory reads the links of an organisation of a kind.
func ReadHistory(ctx context.Context, q sqldb.Querier, position int64, kind, code string) (History, error) {
	r := &factReader{ctx: ctx, q: q, last: position, days: make(map[string]period.Date)}
	var h History
	switch kind {
	case KindPractice:
		h.Dated = append(r.relationships(code), r.recordedLinks(code)...)
		h.PCN = r.observed(`m.pcn_code`, `published_mappings m`, `m.practice_code`, code)
		h.Location = r.observed(`CASE WHEN m.location_code <> '' THEN m.location_code ELSE m.system_code END`, `published_mappings m`, `m.practice_code`, code)
	case KindPCN:
		h.Location = r.observed(`m.location_code`, `pcn_details m`, `m.pcn_code`, code)
	case KindLocation:
		h.System = r.observed(`m.system_code`, `places m`, `m.location_code`, code)
	case KindSystem:
		h.Region = r.observed(`m.region_code`, `(SELECT load_position, system_code, min(region_code) AS region_code FROM places
			GROUP BY load_position, system_code) m`, `m.system_code`, code)
	}
	h.Payees = gather(r, func(row scanner, p *rules.Payee) error {
		var from string
		err := row.Scan(&p.Load, &p.Code, &p.Name, &from)
		p.From = r.day(from)
		return err
	}, `SELECT load_position, payee_code, payee_name, effective_from FROM payees
		WHERE organisation_code = $1 AND load_position <= $2 ORDER BY effective_from, load_position`, code, position)
	if r.err != nil {
		return History{}, fmt.Errorf("read the links of %s: %w", code, r.err)
	}
	return h, nil
}

// observed reads what each publication says of a code in one column.
func (r *factReader) observed(column, table, key, code string) []rules.Observed {
	return gather(r, func(row scanner, o *rules.Observed) error {
		var seen string
		err := row.Scan(&o.Load, &seen, &o.Other)
		o.Date = r.day(seen)
		return err
	}, `SELECT DISTINCT l.position, l.extract_date, `+column+` FROM `+table+` JOIN loads l ON l.position = m.load_position
		WHERE `+key+` = $1 AND l.position <= $2 ORDER BY l.extract_date, l.position`, code, r.last)
}

// relationships reads a practice's relationships in the latest edition.
func (r *factReader) relationships(practice string) []rules.Link {
	return gather(r, func(row scanner, l *rules.Link) error {
		var starts, ends string
		err := row.Scan(&l.Load, &l.Other, &starts, &ends)
		l.From, l.To = r.day(starts), r.day(ends)
		return err
	}, `SELECT load_position, pcn_code, starts, ends FROM dated_memberships WHERE practice_code = $1 AND load_position = (
			SELECT position FROM loads WHERE kind = 'PCN_PARTNERS' AND position <= $2 ORDER BY extract_date DESC, position DESC LIMIT 1)
		ORDER BY starts, pcn_code`, practice, r.last)
}

// recordedLinks reads a practice's memberships recorded by calls.
func (r *factReader) recordedLinks(practice string) []rules.Link {
	return gather(r, func(row scanner, l *rules.Link) error {
		var starts, ends string
		err := row.Scan(&l.Load, &l.Other, &starts, &ends)
		l.From, l.To = r.day(starts), r.day(ends)
		return err
	}, `SELECT load_position, pcn_code, starts, ends FROM recorded_memberships
		WHERE practice_code = $1 AND pcn_code <> '' AND load_position <= $2 ORDER BY starts, load_position`, practice, r.last)
}
