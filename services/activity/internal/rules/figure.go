package rules

import (
	"cmp"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// England is the code under which figures and settings hold for every commissioner.
const England = "england"

// Figure says where a version of a price or a factor comes from, and since when it is known.
type Figure struct {
	ID         string
	Source     string
	Confidence working.Confidence
	// KnownFrom is the day from which the figure was known in the world, and KnownFromBasis says how that is known.
	KnownFrom      period.Date
	KnownFromBasis string
	Note           string
	// CommissionerCode is England, or the commissioner that entered the figure for itself.
	CommissionerCode string
	// Position is the order of recording.
	Position int64
}

// The ways in which it is known from which day a figure was known.
const (
	// KnownByPublication means that the figure was published on the day.
	KnownByPublication = "publication"
	// KnownByEntry means that a person entered the figure on the day, or the suite came with it.
	KnownByEntry = "entry"
)

// origin is where a working finds the figure; one without an identifier is of the request.
func (f *Figure) origin() working.Origin {
	if f.ID == "" {
		return working.Origin{Kind: working.FromRequest, Source: f.Source}
	}
	return working.Origin{Kind: working.FromRate, Ref: f.ID, Source: f.Source, Confidence: f.Confidence}
}

// tariffPrefix begins the name of a list that holds for the attendances of a financial year.
const tariffPrefix = "tariff-"

// TariffOf returns the name of the list that holds for attendances of a year, such as tariff-2020-21.
func TariffOf(year period.FinancialYear) string {
	return tariffPrefix + strings.ReplaceAll(year.String(), "/", "-")
}

// IsTariff tells a list that holds for a year from one that may stand in.
func IsTariff(list string) bool { return strings.HasPrefix(list, tariffPrefix) }

// Price is a version of what an attendance of a group costs by a list.
type Price struct {
	Figure
	List string
	HRG  string
	// Departments are those it holds for. None means that it is not stated: types 01 and 02 of a tariff, and all of another list.
	Departments []Department
	// Amount is in pounds; nil while unknown.
	Amount      *big.Rat
	Description string
}

// Subject names what versions of a price are versions of.
func (p *Price) Subject() string { return p.List + "/" + p.HRG }

// holds tells whether the price is one of departments of a type.
func (p *Price) holds(d Department) bool {
	if len(p.Departments) == 0 {
		return !IsTariff(p.List) || d <= SingleSpecialty
	}
	return slices.Contains(p.Departments, d)
}

// Check refuses a price that makes no sense.
func (p *Price) Check() error {
	if IsTariff(p.List) {
		year, err := period.ParseFinancialYear(strings.Replace(strings.TrimPrefix(p.List, tariffPrefix), "-", "/", 1))
		if err != nil || TariffOf(year) != p.List {
			return badSubject("price.list", "a tariff is named after its year, such as tariff-2020-21")
		}
		if slices.ContainsFunc(p.Departments, func(d Department) bool { return d > SingleSpecialty }) {
			return badSubject("price.department_types", "a tariff has prices of types 01 and 02; those of 03 and 04 are local, and come with the file")
		}
	}
	if p.Amount != nil && p.Amount.Sign() < 0 {
		return badSubject("price.gbp", "a price is not below 0")
	}
	return nil
}

// Factor is a version of the market forces factor of a provider.
type Factor struct {
	Figure
	Provider string
	Year     period.FinancialYear
	// Value is nil while unknown.
	Value *big.Rat
}

// Subject names what versions of a factor are versions of.
func (f *Factor) Subject() string {
	return f.Provider + "/" + strings.ReplaceAll(f.Year.String(), "/", "-")
}

// Check refuses a factor that makes no sense.
func (f *Factor) Check() error {
	if f.Value != nil && f.Value.Sign() <= 0 {
		return badSubject("factor.value", "a factor is above 0")
	}
	return nil
}

func badSubject(field, takes string) error {
	return fault.New(fault.Invalid, ReasonFigureSubjectInvalid, "%s", takes).At(field, takes)
}

// governing returns the version that holds for a commissioner, of versions of one figure; nil of none. It is the commissioner's own before
// England's, of those the one that became known last, and of one day the one recorded last, whatever the order in which they are loaded. A
// candidate takes the place only of what was not usable before it.
func governing[R any](rows []*R, figure func(*R) *Figure) *R {
	var stands, candidate *R
	for _, row := range rows {
		best := &stands
		if figure(row).Confidence == working.Candidate {
			best = &candidate
		}
		if *best == nil || figure(row).follows(figure(*best)) {
			*best = row
		}
	}
	if candidate != nil && (stands == nil || (!figure(stands).Confidence.Payable() && figure(candidate).follows(figure(stands)))) {
		return candidate
	}
	return stands
}

func (f *Figure) follows(g *Figure) bool {
	if own := f.CommissionerCode != England; own != (g.CommissionerCode != England) {
		return own
	}
	return cmp.Or(f.KnownFrom.Compare(g.KnownFrom), cmp.Compare(f.Position, g.Position), cmp.Compare(f.ID, g.ID)) > 0
}

// Terms is what costs of a commissioner in a year are worked out by.
type Terms struct {
	Year         period.FinancialYear
	Commissioner string
	// List is the one that prices are taken from.
	List string
	// StandIn is the setting that chose it in place of the tariff; nil where none did.
	StandIn *Setting

	prices  map[string]*Price
	factors map[string]*Factor
}

// TermsFor returns what holds for a commissioner in a year, of all versions that are known.
func TermsFor(prices []Price, factors []Factor, settings []Setting, commissioner string, year period.FinancialYear) *Terms {
	t := &Terms{Year: year, Commissioner: commissioner, List: TariffOf(year)}
	if s := Find(settings, commissioner, SettingStandInList, yearWords(year)); s != nil && s.Value != NoStandIn {
		t.StandIn, t.List = s, s.Value
	}
	t.take(prices, factors)
	return t
}

// On returns the terms with another list in place of the tariff; an empty one changes nothing.
func (t *Terms) On(list string, prices []Price, factors []Factor) *Terms {
	if list == "" || list == t.List {
		return t
	}
	out := &Terms{Year: t.Year, Commissioner: t.Commissioner, List: list}
	out.take(prices, factors)
	return out
}

func (t *Terms) take(prices []Price, factors []Factor) {
	byHRG := make(map[string][]*Price)
	for i := range prices {
		if p := &prices[i]; p.List == t.List && t.has(p.CommissionerCode) {
			byHRG[p.HRG] = append(byHRG[p.HRG], p)
		}
	}
	t.prices = make(map[string]*Price, len(byHRG))
	for hrg, versions := range byHRG {
		t.prices[hrg] = governing(versions, func(p *Price) *Figure { return &p.Figure })
	}
	byProvider := make(map[string][]*Factor)
	for i := range factors {
		if f := &factors[i]; f.Year == t.Year && t.has(f.CommissionerCode) {
			byProvider[f.Provider] = append(byProvider[f.Provider], f)
		}
	}
	t.factors = make(map[string]*Factor, len(byProvider))
	for provider, versions := range byProvider {
		t.factors[provider] = governing(versions, func(f *Factor) *Figure { return &f.Figure })
	}
}

func (t *Terms) has(commissioner string) bool {
	return commissioner == England || commissioner == t.Commissioner
}

// yearWords writes a year as requests and settings do, 2020-21.
func yearWords(year period.FinancialYear) string { return strings.Replace(year.String(), "/", "-", 1) }
