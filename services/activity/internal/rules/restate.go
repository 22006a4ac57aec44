package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Rested is what the costs and categories of a version rest on.
type Rested struct {
	// Figures and Settings are the identifiers of those used.
	Figures, Settings []string
	// Missing are the names of the figures that costs wait for.
	Missing []string
}

// needed is a figure that a version used.
type needed struct {
	id, name, value string
	// missing tells whether something missing is this figure.
	missing func(string) bool
}

// FigureCauses says in words which prices and factors that two versions both needed were not the same. One that only one of them needed,
// because the other has no attendances of its group or provider, is no cause.
func FigureCauses(was, is *Rested, prices []Price, factors []Factor) (out []string) {
	known := make(map[string]needed, len(prices)+len(factors))
	for i := range prices {
		p := &prices[i]
		of, by := "price of "+p.HRG, " by "+p.List
		n := needed{id: p.ID, name: of + by, missing: func(name string) bool { return strings.HasPrefix(name, of+" in ") && strings.HasSuffix(name, by) }}
		if p.Amount != nil {
			n.value = "£" + money.Format(p.Amount)
		}
		known[p.ID] = n
	}
	for i := range factors {
		f := &factors[i]
		name := factorName(f.Provider, f.Year)
		n := needed{id: f.ID, name: name, missing: func(missing string) bool { return missing == name }}
		if f.Value != nil {
			n.value = money.Format(f.Value)
		}
		known[f.ID] = n
	}
	before, after := used(was, known), used(is, known)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		now := after[name]
		then, both := before[name]
		switch {
		case both && then.value != now.value:
			out = append(out, fmt.Sprintf("%s: %s after %s", name, now.value, then.value))
		case both && then.id != now.id:
			out = append(out, fmt.Sprintf("%s: %s as before, from another entry", name, now.value))
		case !both && slices.ContainsFunc(was.Missing, now.missing):
			out = append(out, fmt.Sprintf("%s: %s, which was missing", name, now.value))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, both := after[name]; !both && slices.ContainsFunc(is.Missing, before[name].missing) {
			out = append(out, fmt.Sprintf("%s: missing after %s", name, before[name].value))
		}
	}
	return out
}

// used are the figures of a version by name.
func used(by *Rested, known map[string]needed) map[string]needed {
	out := make(map[string]needed, len(by.Figures))
	for _, id := range by.Figures {
		if n, found := known[id]; found {
			out[n.name] = n
		}
	}
	return out
}

// CategoryCauses says in words which codes of category that two versions both had mean something else.
func CategoryCauses(was, is *Rested, settings []Setting) (out []string) {
	meanings := func(ids []string) map[string]string {
		found := make(map[string]string)
		for i := range settings {
			if settings[i].Name == SettingCategory && slices.Contains(ids, settings[i].ID) {
				found[settings[i].Subject] = settings[i].Value
			}
		}
		return found
	}
	before, after := meanings(was.Settings), meanings(is.Settings)
	for _, code := range slices.Sorted(maps.Keys(after)) {
		if then, both := before[code]; both && then != after[code] {
			out = append(out, fmt.Sprintf("meaning of the category %s: %s after %s", code, after[code], then))
		}
	}
	return out
}

// Difference is what a version changed for a PCN.
type Difference struct {
	Code, Name string
	// Before and After are nil where it had no rows.
	Before, After *Totals
	// Rows is how many rows differ, those that one of the two lacks among them.
	Rows int64
}

// Compare returns what differs between two reports, by PCN; PCNs without a difference are left out.
func Compare(before, after *Report) []Difference {
	was, is := byKey(before), byKey(after)
	out := make(map[string]*Difference)
	of := func(pcn string) *Difference {
		if out[pcn] == nil {
			out[pcn] = &Difference{Code: pcn}
		}
		return out[pcn]
	}
	for key, row := range is {
		if old := was[key]; old == nil || old.Totals != row.Totals {
			of(key.PCN).Rows++
		}
	}
	for key := range was {
		if is[key] == nil {
			of(key.PCN).Rows++
		}
	}
	for _, p := range before.PCNs {
		if d := out[p.Code]; d != nil {
			d.Name, d.Before = p.Name, &p.Totals
		}
	}
	for _, p := range after.PCNs {
		if d := out[p.Code]; d != nil {
			d.Name, d.After = p.Name, &p.Totals
		}
	}
	all := slices.SortedFunc(maps.Values(out), func(a, b *Difference) int { return cmp.Compare(a.Code, b.Code) })
	list := make([]Difference, len(all))
	for i, d := range all {
		list[i] = *d
	}
	return list
}

func byKey(r *Report) map[Key]*Row {
	out := make(map[Key]*Row, len(r.Rows))
	for i := range r.Rows {
		out[r.Rows[i].Key] = &r.Rows[i]
	}
	return out
}
