package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// lastMonth is the last that the tables speak of.
var lastMonth = period.FinancialYear(2026).Last()

// check holds the tables as a whole: identifiers are unique, roles are known, versions of one period have an order, and a
// figure has neither overlaps nor gaps from the role's first day on.
func check(s *rules.Scheme, prices []rules.Price) []error {
	c := checking{scheme: s, ids: make(map[string]bool)}
	byKey := make(map[rules.PriceKey][]rules.Price)
	for _, p := range prices {
		c.row(&p.Figure, p.Role)
		key := rules.PriceKey{Role: p.Role, Region: p.Region, Post: p.Post}
		if p.Post != rules.OnlyPost {
			key.Band = p.Band
		}
		byKey[key] = append(byKey[key], p)
	}
	for key, rows := range byKey {
		c.periods(key, rows)
	}
	c.starts(byKey)
	for i := range s.Limits {
		c.row(&s.Limits[i].Figure, s.Limits[i].Role)
	}
	for i := range s.Eligibility {
		c.row(&s.Eligibility[i].Figure, s.Eligibility[i].Role)
	}
	for i := range s.Training {
		c.row(&s.Training[i].Figure, s.Training[i].Role)
	}
	for i := range s.Transfers {
		c.row(&s.Transfers[i].Figure, s.Transfers[i].Role)
	}
	for i := range s.SumRates {
		c.row(&s.SumRates[i].Figure, "")
	}
	for i := range s.Parameters {
		c.row(&s.Parameters[i].Figure, s.Parameters[i].Role)
	}
	c.sums()
	slices.SortFunc(c.wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c.wrong
}

type checking struct {
	scheme *rules.Scheme
	ids    map[string]bool
	wrong  []error
}

func (c *checking) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Errorf(format, args...))
}

func (c *checking) row(f *rules.Figure, role string) {
	if c.ids[f.ID] {
		c.fail("%s stands twice", f.ID)
	}
	c.ids[f.ID] = true
	if _, known := c.scheme.Role(role); role != "" && !known {
		c.fail("%s is of %q, which is not a role", f.ID, role)
	}
}

// periods holds that a price's periods follow one another; rows of one period come in the order in which they became known.
func (c *checking) periods(key rules.PriceKey, rows []rules.Price) {
	slices.SortStableFunc(rows, func(a, b rules.Price) int { return a.From.Compare(b.From) })
	for i := 1; i < len(rows); i++ {
		before, after := &rows[i-1], &rows[i]
		switch {
		case before.From == after.From && before.To == after.To:
			if before.Version == after.Version || !before.KnownFrom.Before(after.KnownFrom) {
				c.fail("%s and %s are versions of one period without an order", before.ID, after.ID)
			}
			if before.Percent.Cmp(after.Percent) != 0 {
				c.fail("%s and %s are versions of one price on different terms", before.ID, after.ID)
			}
		case !after.From.After(before.To):
			c.fail("%s and %s overlap", before.ID, after.ID)
		case after.From != before.To.Add(1):
			c.fail("no price of %s covers %s to %s", key, before.To.Add(1), after.From.Add(-1))
		}
	}
}

// starts holds that every role has a row for every region from its first month to its last, known or not.
func (c *checking) starts(byKey map[rules.PriceKey][]rules.Price) {
	for i := range c.scheme.Roles {
		role := &c.scheme.Roles[i]
		last := lastMonth
		if !role.To.IsZero() {
			last = role.To.Month()
		}
		for region := rules.National; region <= rules.OuterLondon; region++ {
			for month := role.From.Month(); !month.After(last); month = month.Add(1) {
				if !covered(byKey, role.Code, region, month) {
					c.fail("no price of %s in %s covers %s", role.Code, region, month)
				}
			}
		}
	}
}

func covered(byKey map[rules.PriceKey][]rules.Price, role string, region rules.Region, month period.Month) bool {
	for key, rows := range byKey {
		if key.Role == role && (key.Region == region || key.Region == rules.AllEngland) &&
			slices.ContainsFunc(rows, func(p rules.Price) bool { return p.Covers(month) }) {
			return true
		}
	}
	return false
}

// sums holds that from April 2020 each month has the main or the single pot, not both.
func (c *checking) sums() {
	for month := period.FinancialYear(2020).First(); !month.After(lastMonth); month = month.Add(1) {
		main := rules.SumRateFor(c.scheme.SumRates, rules.MainPot, rules.England, month, period.Date{})
		single := rules.SumRateFor(c.scheme.SumRates, rules.SinglePot, rules.England, month, period.Date{})
		if (main == nil) == (single == nil) {
			c.fail("%s has no pot for every role, or two", month)
		}
	}
}
