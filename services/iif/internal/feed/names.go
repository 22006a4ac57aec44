package feed

import (
	"embed"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

//go:embed roles.csv central.csv
var files embed.FS

// identifier names an indicator and a measure in the central feed (S35).
type identifier struct{ reference, attribute, code, measure string }

var (
	// roles are what short names mean in the official dictionaries of measures (S34), by name in plain: none changed between years.
	roles = sync.OnceValues(func() (map[string]target, error) {
		rows, err := table.Read(files.ReadFile, "roles.csv", "field,role,years,source", func(r *table.Row) target {
			if r.OneOf("role", string(rules.Exclusion), string(rules.Adjustment)) == string(rules.Exclusion) {
				return target{measure: Exclusion, short: r.Required("field")}
			}
			return target{measure: Adjustment, short: r.Required("field")}
		})
		out := make(map[string]target, len(rows))
		for _, t := range rows {
			out[plain(t.short)] = t
		}
		return out, err
	})
	identifiers = sync.OnceValues(func() ([]identifier, error) {
		return table.Read(files.ReadFile, "central.csv", "reference,attribute,code,measure,source", func(r *table.Row) identifier {
			return identifier{r.Required("reference"), r.Required("attribute"), r.Required("code"), r.Required("measure")}
		})
	})
)

// placeholders are the codes under which the extract carries what practices count for EHCH-04, whose numerator is counted centrally
// (S34, replace_placeholders). They look like management information.
var placeholders = []struct {
	code, stands, field string
	measure             Measure
}{
	{"NCDMI996", "NCD013", "", Denominator},
	{"NCDMI997", "NCD013", "PAT_AGEU18", Exclusion},
	{"NCDMI998", "NCD013", "NURSHOME", Exclusion},
	{"NCDMI999", "NCD013", "CARHOMDEC1", Adjustment},
}

// target is what a field means. With a cause its rows are tallied; without a measure its role is not known.
type target struct {
	measure Measure
	short   string
	cause   Cause
}

// named is an indicator with the names of its fields, in plain.
type named struct {
	code     string
	hospital bool
	fields   map[string]target
	only     *target // what every field means, under a placeholder
	// states are the roles of which the scheme names fields; the official dictionaries serve the others.
	states   map[Measure]bool
	official map[string]target
}

// Names finds indicators and fields of one financial year by the names that files give them. Several readers may use it at once.
type Names struct {
	year     period.FinancialYear
	byCode   map[string]*named
	official map[string]target
	conflict error // the first name with two meanings
}

// NewNames gathers the names of a year from the indicators of all its versions and from a field map, of which it passes over other
// years. Indicators are known by their CQRS code and by that of the scheme with and without hyphen; the official dictionaries give
// exclusions or adjustments of indicators of which the scheme names none. Its fault is NAMES_CONFLICT, for a name with two meanings.
func NewNames(year period.FinancialYear, indicators []rules.Indicator, fieldMap []MapRow) (*Names, error) {
	official, err := roles()
	if err != nil {
		return nil, err
	}
	known, err := identifiers()
	if err != nil {
		return nil, err
	}
	n := &Names{year: year, byCode: make(map[string]*named), official: official}
	for i := range indicators {
		n.add(&indicators[i])
	}
	for _, row := range fieldMap {
		if it := n.byCode[strings.ToUpper(row.Code)]; it != nil && row.Year == year {
			n.mapField(it, row)
		}
	}
	for _, id := range known {
		if it := n.byCode[id.code]; it != nil {
			if n.byCode[id.reference] == nil {
				n.byCode[id.reference] = &named{code: it.code, fields: make(map[string]target)}
			}
			n.name(n.byCode[id.reference], id.attribute, it.fields[id.measure])
		}
	}
	for _, p := range placeholders {
		if it := n.byCode[p.stands]; it != nil {
			n.byCode[p.code] = &named{code: it.code, only: &target{measure: p.measure, short: p.field}}
		}
	}
	if n.conflict != nil {
		return nil, n.conflict
	}
	return n, nil
}

func (n *Names) add(i *rules.Indicator) {
	it := n.byCode[i.Code]
	if it == nil || it.code != i.Code {
		it = &named{code: i.Code, fields: make(map[string]target), states: make(map[Measure]bool), official: n.official}
	}
	it.hospital = it.hospital || i.NumeratorFrom == rules.Admissions
	for _, name := range []string{i.Code, strings.ReplaceAll(i.Code, "-", ""), i.CQRSCode} {
		if held := n.byCode[name]; held != nil && held != it && n.conflict == nil {
			n.conflict = fault.New(fault.Invalid, rules.ReasonNamesConflict, "%s is %s and %s in %s", name, held.code, i.Code, n.year)
		}
		if name != "" {
			n.byCode[name] = it
		}
	}
	all := maps.Clone(words)
	maps.Copy(all, wordsOf[i.Kind])
	for name, t := range all {
		n.name(it, name, t)
	}
	it.states[Exclusion] = it.states[Exclusion] || len(i.Exclusions) > 0
	it.states[Adjustment] = it.states[Adjustment] || len(i.Adjustments) > 0
	for _, short := range i.Exclusions {
		n.name(it, short, target{measure: Exclusion, short: short})
	}
	for _, short := range i.Adjustments {
		n.name(it, short, target{measure: Adjustment, short: short})
	}
}

// words are the names of measures that need no table, and wordsOf those of some kinds of indicator, which come before words.
var (
	words = map[string]target{
		"numerator": {measure: Numerator}, "denominator": {measure: Denominator}, "register": {measure: Register},
		"mi count": {cause: ManagementCount}, "management information": {cause: ManagementCount}, "num patients in set": {cause: OtherMeasure},
	}
	wordsOf = map[rules.Kind]map[string]target{
		rules.Binary: {"numerator": {measure: Answer}, "answer": {measure: Answer}},
		rules.Change: {"baseline numerator": {measure: BaselineNumerator}, "baseline denominator": {measure: BaselineDenominator}},
		rules.Standardised: {
			"standardised numerator": {measure: Numerator},
			"baseline numerator":     {measure: BaselineNumerator}, "baseline denominator": {measure: BaselineDenominator},
			"base year numerator": {measure: BaselineNumerator}, "base year denominator": {measure: BaselineDenominator},
			"non-standardised numerator": {cause: OtherMeasure}, "baseline non-standardised numerator": {cause: OtherMeasure},
			"numerator - non-standardised": {cause: OtherMeasure}, "base year numerator - non-standardised": {cause: OtherMeasure},
		},
	}
)

// mapField adds a row of the field map: its short name is one that is known already, or has its role in the official dictionaries.
func (n *Names) mapField(it *named, row MapRow) {
	t, known := it.fields[plain(row.Short)]
	if !known {
		if t, known = n.official[plain(row.Short)]; !known {
			t.short = strings.ToUpper(row.Short)
		}
	}
	n.name(it, row.Short, t)
	n.name(it, row.Field, t)
}

func (n *Names) name(it *named, name string, t target) {
	name = plain(name)
	if held, twice := it.fields[name]; twice && held != t && n.conflict == nil {
		n.conflict = fault.New(fault.Invalid, rules.ReasonNamesConflict, "field %s of %s has two meanings in %s", money.Clip(name), it.code, n.year)
	}
	it.fields[name] = t
}

// look returns what a name in plain means.
func (it *named) look(name string) (target, bool) {
	if t, known := it.fields[name]; known {
		return t, true
	}
	t, known := it.official[name]
	if !known || it.states[t.measure] {
		return target{}, false
	}
	return t, true
}

// find returns what a field means: by its name, by its name after a rule's number or its role as the official metadata writes them
// ("Rule 3: FITNIDAT", "PCA: FITNIDAT"), or after the code as the annual publication does ("ACC-08 Numerator").
func (it *named) find(field string) (target, bool) {
	if it.only != nil {
		return *it.only, true
	}
	name := plain(field)
	if t, known := it.look(name); known {
		return t, true
	}
	if before, after, cut := strings.Cut(name, ": "); cut {
		t, known := it.look(after)
		number, rule := strings.CutPrefix(before, "rule ")
		switch {
		case !known || t.short == "":
		case rule && strings.Trim(number, "0123456789") == "", before == "pca" && t.measure == Adjustment,
			before == "exclusion" && t.measure == Exclusion:
			return t, true
		}
		return target{}, false
	}
	after, cut := strings.CutPrefix(name, plain(it.code)+" ")
	t, known := it.look(after)
	return t, cut && known
}

// meaning is what code and field of a row mean: a target, or why there is none.
type meaning struct {
	target
	code           string
	hospital       bool
	reason, detail string
}

// meaning finds what code and field of a file mean.
func (n *Names) meaning(code, field string) meaning {
	code = strings.ToUpper(code)
	it := n.byCode[code]
	if it == nil {
		cause := UnlistedCode
		if strings.HasPrefix(code, "NCDMI") {
			cause = ManagementCode
		}
		return meaning{target: target{cause: cause}}
	}
	t, known := it.find(field)
	switch {
	case !known:
		return meaning{reason: rules.ReasonFieldUnknown, detail: fmt.Sprintf(
			"no table knows this field of %s in %s: load the field map", it.code, n.year)}
	case t.cause == 0 && t.measure == 0:
		return meaning{reason: rules.ReasonFieldRoleUnknown, detail: fmt.Sprintf(
			"nothing says whether %s is an exclusion or an adjustment: enter it as a field of %s in %s", money.Clip(t.short), it.code, n.year)}
	}
	return meaning{target: t, code: it.code, hospital: it.hospital}
}

// plain takes case and the kind and number of blanks out of a name.
func plain(name string) string { return strings.ToLower(strings.Join(strings.Fields(name), " ")) }
