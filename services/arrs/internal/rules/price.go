package rules

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Region is the price region of a network or a place of work. Fringe areas have no price of their own: they are National.
type Region int

// The regions. AllEngland stands in prices only, for those of 2019/20 and 2020/21, when London had none of its own.
const (
	National Region = iota + 1
	InnerLondon
	OuterLondon
	AllEngland
)

// String returns the region as tables write it.
func (r Region) String() string {
	switch r {
	case National:
		return "national"
	case InnerLondon:
		return "inner_london"
	case OuterLondon:
		return "outer_london"
	case AllEngland:
		return "england"
	default:
		return ""
	}
}

// ParseRegion reads what String writes.
func ParseRegion(text string) (Region, error) {
	for r := National; r <= AllEngland; r++ {
		if r.String() == text {
			return r, nil
		}
	}
	return 0, fmt.Errorf("%q is not a region: national, inner_london, outer_london or england", text)
}

// Post tells the posts of mental health practitioners apart.
type Post string

// The posts. AnyPost stands in prices only, for the years in which the posts had one price.
const (
	OnlyPost  Post = ""
	FirstPost Post = "first"
	LaterPost Post = "later"
	AnyPost   Post = "any"
)

// AnyBand stands in prices of roles whose band is agreed post by post.
const AnyBand = "any"

// Price is one version of a role's yearly maximum for one WTE: salary, employer National Insurance and employer pension.
type Price struct {
	Figure
	Months
	Role   string
	Band   string
	Post   Post
	Region Region
	// AnnualGBP is the most that is payable for a year, after the percentage; nil while unknown.
	AnnualGBP *big.Rat
	// Percent is the share of the actual cost that is payable.
	Percent *big.Rat
}

// PriceKey asks for a price.
type PriceKey struct {
	Role string
	// Band counts for mental health practitioners and for roles that were agreed locally; others have one band.
	Band   string
	Post   Post
	Region Region
}

func (k PriceKey) String() string {
	text := k.Role
	if k.Band != "" {
		text += " band " + k.Band
	}
	if k.Post != OnlyPost {
		text += " " + string(k.Post) + " post"
	}
	return text + " " + k.Region.String()
}

// Prices holds the price rows known, ready to be asked.
type Prices struct{ byRole map[string][]Price }

// NewPrices takes rows in the order in which they became known.
func NewPrices(rows []Price) Prices {
	p := Prices{byRole: make(map[string][]Price)}
	for _, row := range rows {
		p.byRole[row.Role] = append(p.byRole[row.Role], row)
	}
	return p
}

// Rows returns all rows, role by role.
func (p Prices) Rows() []Price {
	roles := make([]string, 0, len(p.byRole))
	for role := range p.byRole {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	var rows []Price
	for _, role := range roles {
		rows = append(rows, p.byRole[role]...)
	}
	return rows
}

// At returns the maximum that governs a claim month, as it was known on a day: of several versions the one that became known
// last, and a commissioner's own before England's. No day asks for what is known now. It refuses with PRICE_UNKNOWN or
// PRICE_NOT_CONFIRMED, naming the price, where nobody has stated or confirmed a figure; the price is then returned all the
// same, as far as there is one.
func (p Prices) At(key PriceKey, commissioner string, month period.Month, known period.Date) (*Price, error) {
	figure := func(row *Price) *Figure { return &row.Figure }
	match := func(exact bool) *Price {
		return governing(p.byRole[key.Role], figure, commissioner, known, func(row *Price) bool { return row.answers(key, month, exact) })
	}
	price := match(true)
	if price == nil {
		price = match(false)
	}
	what := "maximum of " + key.String() + " for " + month.String()
	switch {
	case price == nil || price.AnnualGBP == nil:
		return price, missing(ReasonPriceUnknown, what, "enter the figure with its source")
	case !price.Confidence.Payable():
		return price, missing(ReasonPriceNotConfirmed, what, "confirm candidate "+price.ID+", or enter the figure with its source")
	}
	return price, nil
}

// answers tells whether the row is of the key and the month: a figure for the very band, or where exact is false one for any.
func (row *Price) answers(key PriceKey, month period.Month, exact bool) bool {
	if !row.Covers(month) || (row.Region != key.Region && row.Region != AllEngland) {
		return false
	}
	if row.Post != key.Post && (row.Post != AnyPost || key.Post == OnlyPost) {
		return false
	}
	if exact || row.Band != AnyBand {
		return row.Band == key.Band || (row.Post == OnlyPost && key.Band == "" && row.Band != AnyBand)
	}
	return true
}

// Monthly returns the maximum of so much WTE for a whole month: yearly maximum × WTE ÷ 12, rounded half up (74,392 for one WTE
// gives £6,199.33; examples ARRS-S05 to S07). Lines are not computed from it: they round once, at their end.
func (row *Price) Monthly(wte *big.Rat) (money.Pence, error) {
	if row.AnnualGBP == nil || !row.Confidence.Payable() {
		return 0, fault.New(fault.Refused, ReasonPriceUnknown, "%s has no payable figure", row.ID).With("price", row.ID)
	}
	monthly := new(big.Rat).Mul(row.AnnualGBP, wte)
	return money.RoundHalfUp(monthly.Quo(monthly, whole(monthsOfYear)))
}

const monthsOfYear = 12

// monthlyMaximum notes yearly maximum × WTE-days ÷ 12 ÷ days, times the share agreed where there is one.
func monthlyMaximum(b *working.Builder, price *Price, wteDays working.Term, days int, share *big.Rat, shareOrigin working.Origin) working.Term {
	annual := b.Input("yearly maximum", price.AnnualGBP, "GBP per WTE", price.origin())
	months := b.Input("months", whole(monthsOfYear), "months", working.Origin{Kind: working.FromContract})
	inMonth := b.Input("days of the month", whole(days), "days", working.Origin{Kind: working.FromContract})
	year := b.Step("yearly maximum of the days", working.Multiply, "GBP", clauseMaximum, annual, wteDays)
	if share != nil {
		agreed := b.Input("agreed share", share, "", shareOrigin)
		year = b.Step("agreed share of the maximum", working.Multiply, "GBP", clauseMaximum, year, agreed)
	}
	month := b.Step("maximum by month", working.Divide, "GBP", clauseMaximum, year, months)
	return b.Step("monthly maximum", working.Divide, "GBP", clauseMaximum, month, inMonth)
}

const clauseMaximum = "ARRS: the maximum of the claim month, by WTE and days employed"
