package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Totals are sums over rows.
type Totals struct {
	Attendances int64
	// Uncosted are those of the attendances that have no cost.
	Uncosted int64
	// Costed is the notional cost of the others.
	Costed money.Pence
}

// Whole returns the notional cost, and false where some attendances have none.
func (t Totals) Whole() (money.Pence, bool) { return t.Costed, t.Uncosted == 0 }

// Add returns the sum of two.
func (t Totals) Add(u Totals) (Totals, error) {
	pence, err := t.Costed.Add(u.Costed)
	if err != nil || t.Attendances > math.MaxInt64-u.Attendances {
		return t, tooLarge(err)
	}
	return Totals{t.Attendances + u.Attendances, t.Uncosted + u.Uncosted, pence}, nil
}

// Key is what a row is of.
type Key struct {
	PCN string
	// Practice is empty at the level of PCNs, and where it is not known.
	Practice   string
	Department Department
	Category   Category
	HRG        string
}

// Compare orders rows by PCN, practice, department, category and group.
func (k Key) Compare(l Key) int {
	return cmp.Or(cmp.Compare(k.PCN, l.PCN), cmp.Compare(k.Practice, l.Practice), cmp.Compare(k.Department, l.Department), cmp.Compare(k.Category, l.Category), cmp.Compare(k.HRG, l.HRG))
}

// Lacking counts the attendances that have no cost for want of one thing, by its number in the report.
type Lacking struct {
	Missing int
	Count   int64
}

// Row is one row of a report.
type Row struct {
	Key
	Totals
	// Bases has a bit for each basis, 1 << Basis.
	Bases uint8
	// Lacking is in order of what is missing.
	Lacking []Lacking
	// List is the registered patients of the practice; nil where not known, and at the level of PCNs.
	List *int64
}

// PCN is what a report says of a PCN as a whole, or of what stands in the place of one.
type PCN struct {
	Network
	Totals
}

// Report is the attendances of a commissioner's PCNs in a month.
type Report struct {
	// Rows are by practice, in order.
	Rows []Row
	// PCNs are all that have rows, all that the commissioner leads, and all that the version before had, in order.
	PCNs   []PCN
	Totals Totals
	// Missing are the figures that costs wait for, in order.
	Missing []Missing
	// Figures are the versions of prices and factors that were used, in order: what the tariff version and the version of the factors are.
	Prices, Factors []string
	// Settings are those that were used for categories, in order.
	Settings []string
	// UnmappedCodes are codes of category that nobody has given a meaning, in order.
	UnmappedCodes []string
}

// Builder adds the rows of a cut up.
type Builder struct {
	terms    *Terms
	members  *Members
	category func(string) (Category, *Setting)

	units   map[unitKey]*UnitCost
	rows    map[Key]*Row
	missing map[Missing]*missed
	prices  map[string]bool
	factors map[string]bool
	set     map[string]bool
	codes   map[string]bool
	totals  Totals
	// lacking counts by what is missing, of each row.
	lacking map[Key]map[*missed]int64
}

type unitKey struct {
	provider   string
	department Department
	hrg        string
}

type missed struct{ Missing }

// NewBuilder begins a report.
func NewBuilder(terms *Terms, members *Members, category func(string) (Category, *Setting)) *Builder {
	return &Builder{
		terms: terms, members: members, category: category, units: make(map[unitKey]*UnitCost), rows: make(map[Key]*Row), missing: make(map[Missing]*missed),
		prices: make(map[string]bool), factors: make(map[string]bool), set: make(map[string]bool), codes: make(map[string]bool),
		lacking: make(map[Key]map[*missed]int64),
	}
}

// Add adds one row of the cut. It keeps none of its texts beyond those of a new key.
func (b *Builder) Add(a *Attendance) error {
	pcn, list := b.members.attribute(a.Practice)
	category, setting := b.category(a.Code)
	switch {
	case setting != nil:
		b.set[setting.ID] = true
	case CategoryOf(a.Code) == 0:
		b.codes[a.Code] = true
	}
	key := Key{pcn, a.Practice, a.Department, category, a.HRG}
	row := b.rows[key]
	if row == nil {
		row = &Row{Key: key, List: list}
		b.rows[key] = row
	}
	totals, basis, missing, err := b.cost(a)
	if err != nil {
		return fmt.Errorf("line %d: %w", a.Line, err)
	}
	if missing != nil {
		if b.lacking[key] == nil {
			b.lacking[key] = make(map[*missed]int64)
		}
		b.lacking[key][missing] += a.Count
	} else {
		row.Bases |= 1 << basis
	}
	if row.Totals, err = row.Add(totals); err != nil {
		return err
	}
	b.totals, err = b.totals.Add(totals)
	return err
}

// cost returns what a row comes to.
func (b *Builder) cost(a *Attendance) (t Totals, basis Basis, missing *missed, err error) {
	t.Attendances = a.Count
	if a.HasGiven {
		t.Costed = a.Given
		return t, Given, nil, nil
	}
	at := unitKey{a.Provider, a.Department, a.HRG}
	unit := b.units[at]
	if unit == nil {
		unit = b.terms.Unit(a.Provider, a.Department, a.HRG)
		b.units[at] = unit
	}
	if unit.Missing != nil {
		t.Uncosted = a.Count
		known := b.missing[*unit.Missing]
		if known == nil {
			known = &missed{*unit.Missing}
			b.missing[*unit.Missing] = known
		}
		return t, 0, known, nil
	}
	b.prices[unit.Price.ID] = true
	if unit.Factor != nil {
		b.factors[unit.Factor.ID] = true
	}
	t.Costed, err = unit.Of(a.Count)
	return t, unit.Basis, nil, err
}

// Done returns the report, and refuses one that does not add up to the attendances of its cut.
func (b *Builder) Done(cut int64) (*Report, error) {
	r := &Report{
		Totals: b.totals, Prices: slices.Sorted(maps.Keys(b.prices)), Factors: slices.Sorted(maps.Keys(b.factors)),
		Settings: slices.Sorted(maps.Keys(b.set)), UnmappedCodes: slices.Sorted(maps.Keys(b.codes)),
	}
	numbers := make(map[*missed]int, len(b.missing))
	for _, m := range slices.SortedFunc(maps.Values(b.missing), func(a, c *missed) int {
		return cmp.Or(cmp.Compare(a.Reason, c.Reason), cmp.Compare(a.Figure, c.Figure), cmp.Compare(a.Remedy, c.Remedy))
	}) {
		numbers[m] = len(r.Missing)
		r.Missing = append(r.Missing, m.Missing)
	}
	for _, key := range slices.SortedFunc(maps.Keys(b.rows), Key.Compare) {
		row := *b.rows[key]
		for m, count := range b.lacking[key] {
			row.Lacking = append(row.Lacking, Lacking{numbers[m], count})
		}
		slices.SortFunc(row.Lacking, func(a, c Lacking) int { return cmp.Compare(a.Missing, c.Missing) })
		r.Rows = append(r.Rows, row)
	}
	var err error
	if r.PCNs, err = sums(r.Rows, b.members.Networks); err != nil {
		return nil, err
	}
	return r, r.reconcile(cut)
}

// sums adds rows up by PCN, with those PCNs that have none.
func sums(rows []Row, networks map[string]Network) ([]PCN, error) {
	byCode := make(map[string]*PCN)
	for code, network := range networks {
		if !network.LedElsewhere {
			byCode[code] = &PCN{Network: network}
		}
	}
	for i := range rows {
		code := rows[i].PCN
		p := byCode[code]
		if p == nil {
			network, known := networks[code]
			if !known {
				network = Network{Code: code, Name: placeNames[code]}
			}
			p = &PCN{Network: network}
			byCode[code] = p
		}
		var err error
		if p.Totals, err = p.Add(rows[i].Totals); err != nil {
			return nil, err
		}
	}
	out := make([]PCN, 0, len(byCode))
	for _, code := range slices.Sorted(maps.Keys(byCode)) {
		out = append(out, *byCode[code])
	}
	return out, nil
}

// Carry adds the PCNs of the version before that have nothing any more, so that they too are told: those of the day as members has them.
func (r *Report) Carry(before *Report, members *Members) {
	for i := range before.PCNs {
		code := before.PCNs[i].Code
		at, found := slices.BinarySearchFunc(r.PCNs, code, func(p PCN, code string) int { return cmp.Compare(p.Code, code) })
		if found || !IsPCN(code) {
			continue
		}
		network, known := members.Networks[code]
		if !known {
			network = Network{Code: code, Name: before.PCNs[i].Name, LedElsewhere: true}
		}
		r.PCNs = slices.Insert(r.PCNs, at, PCN{Network: network})
	}
}

// reconcile holds the rows and the sums of PCNs against each other and against the cut.
func (r *Report) reconcile(cut int64) error {
	var rows, pcns Totals
	var err error
	for i := range r.Rows {
		if rows, err = rows.Add(r.Rows[i].Totals); err != nil {
			return err
		}
	}
	for i := range r.PCNs {
		if pcns, err = pcns.Add(r.PCNs[i].Totals); err != nil {
			return err
		}
	}
	if rows != r.Totals || pcns != r.Totals || r.Totals.Attendances != cut {
		return fault.Bug("%s: the cut has %d attendances, its rows %d, those of the report %d and of its PCNs %d", ReasonNotReconciled,
			cut, r.Totals.Attendances, rows.Attendances, pcns.Attendances)
	}
	return nil
}

// Networks adds the rows of practices up to those of PCNs.
func Networks(rows []Row) ([]Row, error) {
	byKey := make(map[Key]*Row)
	for i := range rows {
		from := &rows[i]
		key := from.Key
		key.Practice = ""
		to := byKey[key]
		if to == nil {
			to = &Row{Key: key}
			byKey[key] = to
		}
		to.Bases |= from.Bases
		to.Lacking = lacking(to.Lacking, from.Lacking)
		var err error
		if to.Totals, err = to.Add(from.Totals); err != nil {
			return nil, err
		}
	}
	out := make([]Row, 0, len(byKey))
	for _, key := range slices.SortedFunc(maps.Keys(byKey), Key.Compare) {
		out = append(out, *byKey[key])
	}
	return out, nil
}

func lacking(a, b []Lacking) []Lacking {
	out := slices.Clone(a)
	for _, l := range b {
		i, found := slices.BinarySearchFunc(out, l.Missing, func(have Lacking, missing int) int { return cmp.Compare(have.Missing, missing) })
		if found {
			out[i].Count += l.Count
		} else {
			out = slices.Insert(out, i, l)
		}
	}
	return out
}

// Merge adds reports of several commissioners up as if they were of one.
func Merge(reports []*Report) (*Report, error) {
	if len(reports) == 1 {
		return reports[0], nil
	}
	byKey := make(map[Key]*Row)
	networks := make(map[string]Network)
	out := new(Report)
	for _, r := range reports {
		for i := range r.Rows {
			row := byKey[r.Rows[i].Key]
			if row == nil {
				row = &Row{Key: r.Rows[i].Key}
				byKey[row.Key] = row
			}
			var err error
			if row.Totals, err = row.Add(r.Rows[i].Totals); err != nil {
				return nil, err
			}
		}
		for _, p := range r.PCNs {
			if have, known := networks[p.Code]; !known || have.LedElsewhere {
				networks[p.Code] = p.Network
			}
		}
		var err error
		if out.Totals, err = out.Totals.Add(r.Totals); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(byKey), Key.Compare) {
		out.Rows = append(out.Rows, *byKey[key])
	}
	var err error
	out.PCNs, err = sums(out.Rows, networks)
	return out, err
}

const (
	perThousand = 1000
	ratePlaces  = 2
)

// Rate returns attendances for each 1,000 patients, rounded half up to two decimals; empty where there is no list, or an empty one.
func Rate(attendances int64, list *int64) string {
	if list == nil || *list <= 0 {
		return ""
	}
	exact := new(big.Rat).Quo(whole(attendances), whole(*list))
	return money.Round(exact.Mul(exact, whole(perThousand)), money.HalfUp, ratePlaces).FloatString(ratePlaces)
}

// Words writes all that a report says, in one order, for its digest.
func (r *Report) Words() string {
	var out strings.Builder
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintf(&out, "row %s %s %s %s %s %d %d %d %d %v %s\n", row.PCN, row.Practice, row.Department, row.Category, row.HRG, row.Attendances, row.Uncosted,
			row.Costed, row.Bases, row.Lacking, optional(row.List))
	}
	for i := range r.PCNs {
		p := &r.PCNs[i]
		fmt.Fprintf(&out, "pcn %s %q %s %t\n", p.Code, p.Name, optional(p.List), p.LedElsewhere)
	}
	fmt.Fprintf(&out, "missing %q\nprices %q\nfactors %q\nsettings %q\nunmapped %q\n", r.Missing, r.Prices, r.Factors, r.Settings, r.UnmappedCodes)
	return out.String()
}

func optional(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}
