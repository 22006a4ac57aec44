package rules

import (
	"cmp"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// places answers where a location lies and what a body is called on a day, from observations and the table of commissioners.
// An observation outranks the table from its date on. Locations lay in STPs to June 2022 and lie in ICBs after; an observation
// of the one era is used for the other only where nothing better is known.
type places struct {
	day        period.Date
	byLocation map[string][]Place
	bySystem   map[string][]Place
	byRegion   map[string][]Place
	table      map[string][]Commissioner
	resolved   map[string]system
}

// system is the STP or ICB of a location on the day, with the load that says so.
type system struct {
	code, region string
	load         int64
}

func newPlaces(observed []Place, table []Commissioner, day period.Date) *places {
	p := &places{
		day:        day,
		byLocation: make(map[string][]Place),
		bySystem:   make(map[string][]Place),
		byRegion:   make(map[string][]Place),
		table:      make(map[string][]Commissioner),
		resolved:   make(map[string]system),
	}
	ordered := slices.Clone(observed)
	slices.SortStableFunc(ordered, func(a, b Place) int {
		return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.Load, b.Load))
	})
	for _, o := range ordered {
		if o.Location != "" {
			p.byLocation[o.Location] = append(p.byLocation[o.Location], o)
		}
		if o.System != "" {
			p.bySystem[o.System] = append(p.bySystem[o.System], o)
		}
		p.byRegion[o.Region] = append(p.byRegion[o.Region], o)
	}
	for _, c := range table {
		rows := p.table[c.Code]
		if len(rows) > 0 && rows[0].Load < c.Load {
			rows = nil
		}
		p.table[c.Code] = append(rows, c)
	}
	return p
}

// eraOfICBs tells whether ICBs, not CCGs, owe the payments of a day.
func eraOfICBs(day period.Date) bool { return day.After(lastDayOfCCGs) }

func sameEra(a, b period.Date) bool { return eraOfICBs(a) == eraOfICBs(b) }

// row returns the table's row of a body on a day.
func (p *places) row(code string, day period.Date) (Commissioner, bool) {
	for _, c := range p.table[code] {
		if !day.Before(c.Opened) && (c.Closed.IsZero() || !day.After(c.Closed)) {
			return c, true
		}
	}
	return Commissioner{}, false
}

// standing says what is known of a body's existence on a day.
type standing int

const (
	standingUnknown standing = iota
	inForce
	notInForce
)

// standing looks at the table and, where a later publication contradicts it, at the observations.
func (p *places) standing(code string, day period.Date) standing {
	if p.replaced(code, day) {
		return notInForce
	}
	if _, ok := p.row(code, day); ok {
		return inForce
	}
	rows := p.table[code]
	if len(rows) == 0 {
		return standingUnknown
	}
	observations := p.byLocation[code]
	if observations == nil {
		observations = p.bySystem[code]
	}
	for _, o := range observations {
		if !o.Date.After(day) && closedBefore(rows, o.Date) {
			return inForce
		}
	}
	return notInForce
}

func closedBefore(rows []Commissioner, day period.Date) bool {
	for _, c := range rows {
		if c.Closed.IsZero() || !c.Closed.Before(day) {
			return false
		}
	}
	return true
}

// replaced tells whether a later publication, not after the day, shows locations of a system in another one and the system
// itself no more.
func (p *places) replaced(code string, day period.Date) bool {
	observations := p.bySystem[code]
	if len(observations) == 0 || !eraOfICBs(day) {
		return false
	}
	last := observations[0].Date
	for _, o := range observations {
		if !o.Date.After(day) {
			last = o.Date
		}
	}
	for _, o := range observations {
		for _, later := range p.byLocation[o.Location] {
			if later.System != code && later.Date.After(last) && !later.Date.After(day) && sameEra(last, later.Date) {
				return true
			}
		}
	}
	return false
}

// systemOf finds the STP or ICB a location lies in on the day.
func (p *places) systemOf(location string) system {
	if found, ok := p.resolved[location]; ok {
		return found
	}
	found := p.systemAt(location, p.day)
	p.resolved[location] = found
	return found
}

// systemAt tries, in order: the latest observation of the day's era up to the day; the earliest after it whose system is known
// to have stood; the table; the earliest after it; and the nearest of the other era whose system stood.
func (p *places) systemAt(location string, day period.Date) system {
	observations := p.byLocation[location]
	before, after := nearest(observations, day, true)
	if before != nil && p.standing(before.System, day) != notInForce {
		return systemOfPlace(*before)
	}
	if after != nil && p.standing(after.System, day) == inForce {
		return systemOfPlace(*after)
	}
	if c, ok := p.row(location, day); ok && c.System != "" && p.standing(c.System, day) != notInForce {
		return system{c.System, c.Region, c.Load}
	}
	if after != nil && p.standing(after.System, day) == standingUnknown {
		return systemOfPlace(*after)
	}
	before, after = nearest(observations, day, false)
	for _, o := range []*Place{before, after} {
		if o != nil && p.standing(o.System, day) != notInForce {
			return systemOfPlace(*o)
		}
	}
	return system{}
}

func systemOfPlace(o Place) system { return system{o.System, o.Region, o.Load} }

// nearest returns the latest observation up to a day and the earliest after it, of the day's era or of the other.
func nearest(observations []Place, day period.Date, sameEraOnly bool) (before, after *Place) {
	for i := range observations {
		o := &observations[i]
		if sameEra(o.Date, day) != sameEraOnly {
			continue
		}
		if !o.Date.After(day) {
			before = o
		} else if after == nil || o.Date.Compare(after.Date) == 0 {
			after = o
		}
	}
	return before, after
}

// payerOf returns the body that owes payments arising in a location on the day: the CCG itself to June 2022, the ICB after.
// It is empty where that is not known.
func (p *places) payerOf(location string) string {
	if location == "" {
		return ""
	}
	if eraOfICBs(p.day) {
		return p.systemOf(location).code
	}
	return location
}

// stood tells whether a location may be used on the day: it is not known to have been closed or not yet open, and from July
// 2022 its ICB is known.
func (p *places) stood(location string) bool {
	if location == "" || p.standing(location, p.day) == notInForce {
		return false
	}
	return !eraOfICBs(p.day) || p.systemOf(location).code != ""
}

// heirs returns the systems that owe the debts of a location of the day later on: the ICB that followed its CCG, and whatever
// ICB publications show it in after the day.
func (p *places) heirs(location string) []string {
	var out []string
	if !eraOfICBs(p.day) {
		if first := p.systemAt(location, lastDayOfCCGs.AddDays(1)); first.code != "" {
			out = append(out, first.code)
		}
	}
	for _, o := range p.byLocation[location] {
		if o.Date.After(p.day) && eraOfICBs(o.Date) && !slices.Contains(out, o.System) {
			out = append(out, o.System)
		}
	}
	return out
}

// name returns what a body is called on a day, or an empty string.
func (p *places) name(code string, day period.Date) string {
	name, _ := p.described(code, day)
	return name
}

// described returns a body's name on a day and its region.
func (p *places) described(code string, day period.Date) (name, region string) {
	observations, pick := p.byLocation[code], func(o Place) (string, string) { return o.LocationName, o.Region }
	if observations == nil {
		observations, pick = p.bySystem[code], func(o Place) (string, string) { return o.SystemName, o.Region }
	}
	if observations == nil {
		observations, pick = p.byRegion[code], func(o Place) (string, string) { return o.RegionName, o.Region }
	}
	before, after := nearest(observations, day, true)
	for _, o := range []*Place{before, after} {
		if o != nil {
			return pick(*o)
		}
	}
	if c, ok := p.row(code, day); ok {
		return c.Name, c.Region
	}
	before, after = nearest(observations, day, false)
	for _, o := range []*Place{before, after} {
		if o != nil {
			return pick(*o)
		}
	}
	if rows := p.table[code]; len(rows) > 0 {
		return rows[len(rows)-1].Name, rows[len(rows)-1].Region
	}
	return "", ""
}

// kind tells what sort of body a code is; an empty kind means that the register does not know it.
func (p *places) kind(code string) BodyKind {
	if rows := p.table[code]; len(rows) > 0 {
		return rows[0].Kind
	}
	switch {
	case code == "":
		return ""
	case p.byLocation[code] != nil:
		return LocationBody
	case p.bySystem[code] != nil:
		return SystemBody
	case p.byRegion[code] != nil:
		return RegionBody
	default:
		return ""
	}
}
