package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Held is what a line keeps from the lines after it, in its month: the days of its engagement, which are claimed once, and the working
// time that counts against the ceiling of its person, the number of its role and the baseline. With what earlier lines hold, later ones
// are assessed without them.
type Held struct {
	LineID       string
	EngagementID string
	Person       string
	Role         string
	Month        period.Month
	// From and To are the days claimed, numbered from 1; both are 0 where the line claims none.
	From, To int
	// Admitted is the working time that passed the first two tests, by days.
	Admitted []HeldTime
}

// HeldTime is some WTE on some days of a month, numbered from 1; both ends count.
type HeldTime struct {
	From, To int
	WTE      *big.Rat
}

// take sets the state of the year to what earlier lines left.
func (a *assessor) take(before []Held) {
	for i := range before {
		h := &before[i]
		if h.From > 0 {
			key := personMonth{h.EngagementID, h.Month}
			a.claimed[key] = append(a.claimed[key], span{from: h.From, to: h.To})
		}
		spans := make([]span, len(h.Admitted))
		for j, time := range h.Admitted {
			spans[j] = span{time.From, time.To, time.WTE}
		}
		a.occupy(h.Person, h.Role, h.Month, spans)
	}
}

// occupy counts working time against a person's ceiling, a role's number and its baseline.
func (a *assessor) occupy(person, role string, month period.Month, spans []span) {
	byPerson, byRole := personMonth{person, month}, roleMonth{role, month}
	a.persons[byPerson] = append(a.persons[byPerson], spans...)
	a.limited[byRole] = append(a.limited[byRole], spans...)
	a.additional[byRole] = append(a.additional[byRole], spans...)
}

// Replaced tells whether the maximum of the line's month was replaced after the month ended, backdated to it: only then is there an
// uplift to claim. A version without a figure counts, so that its absence is named and not passed over.
func Replaced(c *Context, line *ClaimLine, known period.Date) bool {
	role, found := c.Scheme.Role(line.Role)
	if !found || known.Before(line.Month.Last()) {
		return false
	}
	key := c.priceKey(role, line)
	then, _ := c.Scheme.Prices.At(key, c.Commissioner, line.Month, line.Month.Last())
	now, _ := c.Scheme.Prices.At(key, c.Commissioner, line.Month, known)
	return now != nil && (then == nil || then.ID != now.ID)
}

func (c *Context) priceKey(role *Role, line *ClaimLine) PriceKey {
	key := PriceKey{Role: line.Role, Region: line.Region}
	if key.Region == 0 {
		key.Region = c.Region
	}
	if role.Code == MentalHealth || role.NeedsAgreement {
		key.Band, key.Post = line.Band, line.Post
	}
	return key
}
