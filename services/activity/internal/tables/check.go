package tables

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// groups are the HRGs of emergency medicine that a tariff prices; a list may have others besides.
var groups = []string{"VB01Z", "VB02Z", "VB03Z", "VB04Z", "VB05Z", "VB06Z", "VB07Z", "VB08Z", "VB09Z", "VB10Z", "VB11Z"}

var (
	isListName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	sourceRef  = regexp.MustCompile(`\bA\d+\b`)
)

// check holds the tables as a whole: identifiers are unique, a price is of a list, once, a tariff has every group of emergency medicine
// and only for the departments that national prices are for, and every source is known.
func check(p *Prices, sources []table.Source) []error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	cited := func(where, text string) {
		refs := sourceRef.FindAllString(text, -1)
		if len(refs) == 0 {
			fail("%s has no source of sources.csv", where)
		}
		for _, ref := range refs {
			if !slices.ContainsFunc(sources, func(s table.Source) bool { return s.Ref == ref }) {
				fail("%s names the source %s, which sources.csv does not have", where, ref)
			}
		}
	}
	lists := make(map[string]*List, len(p.Lists))
	for i := range p.Lists {
		l := &p.Lists[i]
		if lists[l.Name] != nil || !isListName.MatchString(l.Name) {
			fail("list %q stands twice, or is no name of a list", l.Name)
		}
		lists[l.Name] = l
		if l.Kind == Tariff && l.Name != "tariff-"+strings.ReplaceAll(l.Year.String(), "/", "-") {
			fail("list %q is not named after its year %s", l.Name, l.Year)
		}
		cited("list "+l.Name, l.Source)
	}
	ids, prices := make(map[string]bool), make(map[[2]string]bool)
	for i := range p.Rows {
		row := &p.Rows[i]
		of := [2]string{row.List, row.HRG}
		if ids[row.ID] || prices[of] {
			fail("%s stands twice, or its price does", row.ID)
		}
		ids[row.ID], prices[of] = true, true
		cited(row.ID, row.Source)
		l := lists[row.List]
		if l == nil {
			fail("%s is of the list %q, which there is not", row.ID, row.List)
			continue
		}
		if l.Kind == Tariff && !slices.Equal(row.Departments, []string{"01", "02"}) {
			fail("%s is of a tariff and for departments %v: national prices are for types 01 and 02", row.ID, row.Departments)
		}
		if l.Year == 0 && row.Confidence != working.Candidate {
			fail("%s is %s, but nobody has said what year its list is of", row.ID, row.Confidence)
		}
	}
	for _, l := range p.Lists {
		for _, hrg := range groups {
			if l.Kind == Tariff && !prices[[2]string{l.Name, hrg}] {
				fail("%s has no row for %s", l.Name, hrg)
			}
		}
	}
	return wrong
}
