// Package tables holds the prices of attendances that activity starts with, by list. They seed the database and are versioned there;
// costs are worked out from the database only.
//
// No price of the tariffs of 2019/20 and 2020/21 was found: each has its row with confidence unknown and no figure, so that a cost is
// refused by the name of what is missing. The unit costs of 2024/25 are official as average costs and are no prices: they stand in only
// where a person chooses their list. Unit costs of which nobody has said the year are candidates. No market forces factor was found, and
// none has a row, because providers come and go.
package tables

import (
	"embed"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

//go:embed *.csv
var files embed.FS

// Kind is what a list of prices is for.
type Kind string

// The kinds.
const (
	// Tariff holds for the attendances of its financial year.
	Tariff Kind = "tariff"
	// StandIn holds for none, and is used where a person chooses it in place of the tariff.
	StandIn Kind = "stand_in"
)

// List is a list of prices.
type List struct {
	Name string
	Kind Kind
	// Year is what the list is of; 0 where nobody has said.
	Year  period.FinancialYear
	Title string
	// Source is the titles of the documents that tell of it.
	Source string
	Note   string
}

// The ways in which the day is known from which a price was known.
const (
	// KnownByPublication means that the list was published on the day.
	KnownByPublication = "publication"
	// KnownByEffectiveDate means that the day of publication is not known, and the first day of the year stands for it.
	KnownByEffectiveDate = "effective_date"
	// KnownByEntry means that the figure was entered on the day.
	KnownByEntry = "entry"
)

// Price is what one attendance costs by a list.
type Price struct {
	ID          string
	List        string
	HRG         string
	Description string
	// Departments are the types it holds for; none means that nobody has said.
	Departments []string
	// GBP is exact, and nil where Confidence is unknown.
	GBP *big.Rat
	// Source is the titles of the documents it was read in.
	Source         string
	Confidence     working.Confidence
	KnownFrom      period.Date
	KnownFromBasis string
	Note           string
}

// Prices are the lists with their rows.
type Prices struct {
	Lists []List
	Rows  []Price
}

// All returns the prices that activity starts with. It fails, with everything that is wrong, on a table that breaks a promise of the
// package. The caller must not change what it gets.
var All = sync.OnceValues(func() (*Prices, error) { return parse(files.ReadFile) })

// Sources returns the documents that rows refer to.
func Sources() ([]table.Source, error) { return table.Sources(files.ReadFile) }

const (
	listColumns  = "list,kind,financial_year,title,source,note"
	priceColumns = "price_id,list,hrg_code,description,department_types,gbp,source,confidence,known_from,known_from_basis,note"
)

func parse(open table.Opener) (*Prices, error) {
	var p Prices
	var wrong [3]error
	p.Lists, wrong[0] = table.Read(open, "lists.csv", listColumns, list)
	p.Rows, wrong[1] = table.Read(open, "prices.csv", priceColumns, price)
	sources, err := table.Sources(open)
	wrong[2] = err
	if err := errors.Join(wrong[:]...); err != nil {
		return nil, err
	}
	if err := errors.Join(check(&p, sources)...); err != nil {
		return nil, err
	}
	for i := range p.Lists {
		p.Lists[i].Source = inWords(p.Lists[i].Source, sources)
	}
	for i := range p.Rows {
		p.Rows[i].Source = inWords(p.Rows[i].Source, sources)
	}
	return &p, nil
}

// inWords returns the titles of the sources that a row refers to: who reads a cost has no sources.csv.
func inWords(refs string, sources []table.Source) string {
	return sourceRef.ReplaceAllStringFunc(strings.ReplaceAll(refs, ";", "; "), func(ref string) string {
		return sources[slices.IndexFunc(sources, func(s table.Source) bool { return s.Ref == ref })].Title
	})
}

func list(r *table.Row) List {
	return List{
		Name: r.Required("list"), Kind: Kind(r.OneOf("kind", string(Tariff), string(StandIn))), Title: r.Required("title"),
		Year: table.Optional(r, "financial_year", period.ParseFinancialYear), Source: r.Required("source"), Note: r.Text("note"),
	}
}

var isHRG = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z]$`)

func price(r *table.Row) Price {
	p := Price{
		ID: r.Required("price_id"), List: r.Required("list"), HRG: r.Required("hrg_code"), Description: r.Required("description"),
		GBP: r.OptionalDecimal("gbp"), Source: r.Required("source"), Confidence: r.Confidence("confidence"), KnownFrom: r.Date("known_from"),
		KnownFromBasis: r.OneOf("known_from_basis", KnownByPublication, KnownByEffectiveDate, KnownByEntry), Note: r.Text("note"),
	}
	if !isHRG.MatchString(p.HRG) {
		r.Fail("hrg_code", fmt.Errorf("%q is no HRG", p.HRG))
	}
	if text := r.Text("department_types"); text != "" {
		p.Departments = strings.Split(text, ";")
	}
	for i, of := range p.Departments {
		if !slices.Contains([]string{"01", "02", "03", "04"}, of) || slices.Contains(p.Departments[:i], of) {
			r.Fail("department_types", fmt.Errorf("%q is no type of department, or stands twice", of))
		}
	}
	if (r.Text("gbp") == "") != (p.Confidence == working.Unknown) {
		r.Fail("gbp", errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	return p
}
