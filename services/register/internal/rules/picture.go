package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Picture puts together who belongs to which PCN on a day, who owes it money, who receives it, and its populations on the
// reference date. Equal facts give an equal picture.
func Picture(facts Facts, plan Plan, day, reference period.Date) *National {
	n := &National{
		Day: day, Reference: reference,
		places: newPlaces(facts.Places, facts.Commissioners, day),
		loads:  facts.Loads,
	}
	all := members(facts, plan, day)
	b := newBuilder(n, facts, plan)
	b.addListed(all)
	byPCN := make(map[string][]Practice)
	for _, code := range slices.Sorted(maps.Keys(all)) {
		if b.left(code, all[code]) {
			continue
		}
		practice := b.practice(code, all[code])
		if practice.PCN == "" {
			n.Outside = append(n.Outside, practice)
			continue
		}
		byPCN[practice.PCN] = append(byPCN[practice.PCN], practice)
	}
	for _, code := range slices.Sorted(maps.Keys(byPCN)) {
		n.PCNs = append(n.PCNs, b.pcn(code, byPCN[code]))
	}
	n.membershipFindings(all)
	n.outsideFindings(b)
	n.populationFindings()
	n.sizeFindings()
	n.index()
	return n
}

// builder looks things up while a picture is made.
type builder struct {
	n              *National
	day            period.Date
	plan           Plan
	rows           map[string]sourceRow
	located        []map[string]locatedRow
	editionNames   map[string]named
	pcnNames       map[string]string
	pcnParents     map[string]string
	editionDate    period.Date
	details        map[int64]map[string]Detail
	detailDates    map[int64]period.Date
	populations    map[string][]Population
	disputes       map[string][]string // of the populations of each organisation
	payees         map[string]Payee
	participations map[string]Participation
	beds           map[string]Beds
	mapped         map[string]bool
	// hasLists says that registered lists of the reference date are loaded.
	hasLists bool
	// locatedOn is the day of the latest mapping with locations up to the day.
	locatedOn period.Date
}

// sourceRow is a practice's row in the published mapping of the day.
type sourceRow struct {
	MappingRow
	load int64
}

// locatedRow is a location of a practice that some source observed.
type locatedRow struct {
	location string
	load     int64
}

type named struct{ name string }

func newBuilder(n *National, facts Facts, plan Plan) *builder {
	b := &builder{
		n: n, day: n.Day, plan: plan,
		rows: make(map[string]sourceRow), editionNames: make(map[string]named), pcnNames: make(map[string]string),
		pcnParents: make(map[string]string), details: make(map[int64]map[string]Detail), detailDates: make(map[int64]period.Date),
		payees:         payeesOn(facts.Payees, n.Day),
		participations: participationsOn(facts.Participations, n.Day), beds: bedsIn(facts.Beds, n.Day.Month()),
		mapped: make(map[string]bool), locatedOn: facts.Mappings[plan.LocatedBefore].Load.ExtractDate,
	}
	b.populations, b.disputes = latestPopulations(facts)
	for _, p := range facts.Populations {
		b.hasLists = b.hasLists || p.Kind == Registered
	}
	b.readEdition(facts.Editions[plan.Edition])
	for _, position := range []int64{plan.LocatedAfter, plan.LocatedBefore, plan.Published} {
		b.readNames(facts.Mappings[position])
	}
	published := facts.Mappings[plan.Published]
	for _, row := range published.Rows {
		b.rows[row.Practice] = sourceRow{row, published.Load.Position}
	}
	b.readLocations(facts, plan)
	for _, position := range newestFirst(facts.Details) {
		edition := facts.Details[position]
		rows := make(map[string]Detail, len(edition.Rows))
		for _, d := range edition.Rows {
			rows[d.PCN] = d
			if b.pcnNames[d.PCN] == "" {
				b.pcnNames[d.PCN] = d.Name
			}
		}
		b.details[position], b.detailDates[position] = rows, edition.Load.ExtractDate
	}
	return b
}

// newestFirst orders editions of PCN details.
func newestFirst(details map[int64]DetailsEdition) []int64 {
	return slices.SortedFunc(maps.Keys(details), func(x, y int64) int {
		return cmp.Or(details[y].Load.ExtractDate.Compare(details[x].Load.ExtractDate), cmp.Compare(y, x))
	})
}

func (b *builder) readEdition(edition Edition) {
	b.editionDate = edition.Load.ExtractDate
	for _, r := range edition.Rows {
		b.editionNames[r.Practice] = named{r.PracticeName}
		b.pcnNames[r.PCN] = r.PCNName
		b.pcnParents[r.PCN] = r.PCNLocation
		b.mapped[r.Practice] = true
	}
}

// readNames lets a mapping name PCNs and practices unless the edition speaks for the day and has named them.
func (b *builder) readNames(mapping Mapping) {
	for _, row := range mapping.Rows {
		b.mapped[row.Practice] = true
		if _, ok := b.editionNames[row.Practice]; !ok || !b.plan.EditionSpeaks {
			b.editionNames[row.Practice] = named{row.PracticeName}
		}
		if row.PCN != "" && (b.pcnNames[row.PCN] == "" || !b.plan.EditionSpeaks) {
			b.pcnNames[row.PCN] = row.PCNName
		}
	}
}

// readLocations orders the sources of practice locations: those observed up to the day, the latest first, then those observed
// after it, the earliest first.
func (b *builder) readLocations(facts Facts, plan Plan) {
	type source struct {
		date period.Date
		rows map[string]locatedRow
	}
	var sources []source
	for _, position := range slices.Compact([]int64{plan.LocatedBefore, plan.LocatedAfter}) {
		mapping, ok := facts.Mappings[position]
		if !ok {
			continue
		}
		rows := make(map[string]locatedRow, len(mapping.Rows))
		for _, r := range mapping.Rows {
			rows[r.Practice] = locatedRow{r.Location, position}
		}
		sources = append(sources, source{mapping.Load.ExtractDate, rows})
	}
	if edition, ok := facts.Editions[plan.Edition]; ok {
		rows := make(map[string]locatedRow, len(edition.Rows))
		for _, r := range edition.Rows {
			rows[r.Practice] = locatedRow{r.PracticeLocation, edition.Load.Position}
		}
		sources = append(sources, source{edition.Load.ExtractDate, rows})
	}
	slices.SortStableFunc(sources, func(x, y source) int {
		if x.date.After(b.day) != y.date.After(b.day) {
			return cmp.Compare(boolToInt(x.date.After(b.day)), boolToInt(y.date.After(b.day)))
		}
		if x.date.After(b.day) {
			return x.date.Compare(y.date)
		}
		return y.date.Compare(x.date)
	})
	for _, s := range sources {
		b.located = append(b.located, s.rows)
	}
}

func boolToInt(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// left tells whether a practice that only an older mapping names has closed since: dated relationships show it in no PCN, as the
// mapping's day does not contradict, and it has no list though others have.
func (b *builder) left(code string, m membership) bool {
	if m.pcn != "" || len(m.disputes) > 0 || !b.plan.EditionSpeaks || !b.hasLists {
		return false
	}
	_, listed := registeredOf(b.populations[code])
	return !listed
}

// addListed adds practices that have a list on the reference date and that the sources of the day do not name: they belong to
// no PCN as far as is known.
func (b *builder) addListed(all map[string]membership) {
	for organisation, populations := range b.populations {
		if _, ok := all[organisation]; ok {
			continue
		}
		// A count for a PCN as a whole belongs to the PCN, not to a practice of the same code.
		if _, isPCN := b.pcnNames[organisation]; isPCN {
			continue
		}
		if _, listed := registeredOf(populations); listed {
			all[organisation] = membership{}
		}
	}
}

func (b *builder) practice(code string, m membership) Practice {
	p := Practice{Code: code, Name: b.editionNames[code].name, PCN: m.pcn, Participating: true, Populations: b.populations[code]}
	p.use(m.load)
	b.locate(&p)
	if payee, ok := b.payees[code]; ok {
		p.Payee = &payee
		p.use(payee.Load)
	}
	if participation, ok := b.participations[code]; ok {
		p.Participating = participation.Participating
		p.use(participation.Load)
	}
	for _, population := range p.Populations {
		p.use(population.Load)
	}
	b.populationDisputes(p.PCN, code, code)
	return p
}

// populationDisputes reports recorded populations of an organisation that a later file contradicts.
func (b *builder) populationDisputes(pcn, practice, organisation string) {
	for _, words := range b.disputes[organisation] {
		b.n.find(Finding{Kind: SourcesDisagree, PCN: pcn, Practice: practice, Detail: organisation + ": " + words})
	}
}

// locate finds where a practice lies. A mapping that knows only the ICB settles the payer; a location seen elsewhere is added
// only if it lies in that ICB.
func (b *builder) locate(p *Practice) {
	places := b.n.places
	row := b.rows[p.Code]
	for _, rows := range b.located {
		found := rows[p.Code]
		if !places.stood(found.location) {
			continue
		}
		if row.Location == "" && row.System != "" && eraOfICBs(b.day) && places.systemOf(found.location).code != row.System {
			continue
		}
		p.Location, p.Payer = found.location, places.payerOf(found.location)
		lies := places.systemOf(found.location)
		p.System, p.Region = lies.code, lies.region
		p.use(found.load)
		p.use(lies.load)
		return
	}
	if row.System != "" && places.standing(row.System, b.day) != notInForce {
		p.System, p.Region = row.System, row.RegionCode
		if eraOfICBs(b.day) {
			p.Payer = row.System
		}
		p.use(row.load)
	}
}

func (p *Practice) use(load int64) { p.sources = addSource(p.sources, load) }
func (p *PCN) use(load int64)      { p.sources = addSource(p.sources, load) }

func addSource(sources []int64, load int64) []int64 {
	if load == 0 || slices.Contains(sources, load) {
		return sources
	}
	return append(sources, load)
}

func (b *builder) pcn(code string, practices []Practice) PCN {
	p := PCN{Code: code, Name: b.pcnNames[code], Practices: practices, Populations: b.populations[code]}
	b.lead(&p)
	p.PayerName = b.n.places.name(p.Payer, b.day)
	if payee, ok := b.payees[code]; ok {
		p.Payee = &payee
		p.use(payee.Load)
	}
	if beds, ok := b.beds[code]; ok {
		p.Beds = &beds
		p.use(beds.Load)
	}
	for _, population := range p.Populations {
		p.use(population.Load)
	}
	if d, ok := b.details[b.plan.DetailsNewest][code]; ok {
		p.Opened, p.Closed = d.Opened, d.Closed
		p.use(b.plan.DetailsNewest)
	}
	b.populationDisputes(code, "", code)
	b.lifetimeFinding(p)
	b.commissionerFinding(p)
	return p
}

// lifetimeFinding reports a PCN that has members though it was closed, or not yet open, on the day.
func (b *builder) lifetimeFinding(p PCN) {
	var detail string
	switch {
	case !p.Closed.IsZero() && p.Closed.Before(b.day):
		detail = fmt.Sprintf("PCN %s closed on %s, but the source of %s still shows %d members", p.Code, p.Closed, b.day, len(p.Practices))
	case p.Opened.After(b.day):
		detail = fmt.Sprintf("PCN %s opened only on %s, but the source of %s shows %d members", p.Code, p.Opened, b.day, len(p.Practices))
	default:
		return
	}
	b.n.find(Finding{Kind: PCNClosed, PCN: p.Code, Detail: detail})
}

// commissionerFinding reports a PCN whose practices, or whose practices and lead, are under different payers.
func (b *builder) commissionerFinding(p PCN) {
	payers := make(map[string]bool)
	if p.Payer != "" {
		payers[p.Payer] = true
	}
	for _, practice := range p.Practices {
		if practice.Payer != "" {
			payers[practice.Payer] = true
		}
	}
	if len(payers) > 1 {
		b.n.find(Finding{
			Kind: PCNUnderTwoCommissioners, PCN: p.Code,
			Detail: fmt.Sprintf("PCN %s, led by %s, has practices of %v", p.Code, p.Payer, slices.Sorted(maps.Keys(payers))),
		})
	}
}

func registeredOf(populations []Population) (int64, bool) {
	for _, p := range populations {
		if p.Kind == Registered {
			count, err := money.ParseWhole(p.Value)
			return count, err == nil
		}
	}
	return 0, false
}

// latestPopulations keeps, per organisation and kind, the count known last, in the order registered, weighted, adjusted. A
// count recorded by a call outranks files; where the last file known after it says otherwise, the words tell so.
func latestPopulations(facts Facts) (kept map[string][]Population, disputes map[string][]string) {
	kept, disputes = make(map[string][]Population), make(map[string][]string)
	type key struct {
		organisation string
		kind         PopulationKind
	}
	outranked := make(map[key]Population)
	for _, p := range facts.Populations {
		held := kept[p.Organisation]
		at := slices.IndexFunc(held, func(h Population) bool { return h.Kind == p.Kind })
		switch {
		case at < 0:
			kept[p.Organisation] = append(held, p)
		case facts.recorded(held[at].Load) && !facts.recorded(p.Load):
			outranked[key{p.Organisation, p.Kind}] = p
		default:
			held[at] = p
			delete(outranked, key{p.Organisation, p.Kind})
		}
	}
	for organisation, held := range kept {
		slices.SortFunc(held, func(a, b Population) int { return cmp.Compare(populationOrder[a.Kind], populationOrder[b.Kind]) })
		for _, p := range held {
			if file, ok := outranked[key{organisation, p.Kind}]; ok && file.Value != p.Value {
				disputes[organisation] = append(disputes[organisation], fmt.Sprintf(
					"a call recorded the %s population %s of %s, a file known later says %s; the recorded one was taken", p.Kind, p.Value, p.Reference, file.Value))
			}
		}
	}
	return kept, disputes
}

var populationOrder = map[PopulationKind]int{Registered: 1, Weighted: 2, Adjusted: 3}

// payeesOn returns the payee of each organisation on a day: the latest first day, of one day the latest known.
func payeesOn(payees []Payee, day period.Date) map[string]Payee {
	out := make(map[string]Payee)
	for _, p := range payees {
		if held, ok := out[p.Organisation]; p.From.After(day) || (ok && held.From.After(p.From)) {
			continue
		}
		out[p.Organisation] = p
	}
	return out
}

func participationsOn(participations []Participation, day period.Date) map[string]Participation {
	out := make(map[string]Participation)
	for _, p := range participations {
		if held, ok := out[p.Practice]; p.From.After(day) || (ok && held.From.After(p.From)) {
			continue
		}
		out[p.Practice] = p
	}
	return out
}

// bedsIn returns the beds of each PCN in a month: those of the latest month stated up to it, of one month the latest known.
func bedsIn(beds []Beds, month period.Month) map[string]Beds {
	out := make(map[string]Beds)
	for _, count := range beds {
		if held, ok := out[count.PCN]; count.Month.After(month) || (ok && held.Month.After(count.Month)) {
			continue
		}
		out[count.PCN] = count
	}
	return out
}
