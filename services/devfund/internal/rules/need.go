package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Need is how practice weights follow from one another: final = PrimaryShare × primary medical care weighted + InequalityShare × health
// inequality weighted.
type Need struct {
	PrimaryShare, InequalityShare *big.Rat
	// Tolerance is the largest gap of a practice that passes, in patients, and SumTolerance that of the sum of a column.
	Tolerance, SumTolerance *big.Rat
}

// UnmetNeed returns the identity that NHS England's practice weighted populations of 2022/23 obey: 85% primary medical care and 15%
// unmet need, to 0.01 of a patient for each practice and to 1 patient in the sum. It is computed from that file, and not published.
func UnmetNeed() Need {
	return Need{big.NewRat(85, 100), big.NewRat(15, 100), big.NewRat(1, 100), big.NewRat(1, 1)}
}

// NeedWeight is what is published of one practice, in patients.
type NeedWeight struct {
	Practice                                         string
	Population, PrimaryCare, HealthInequality, Final *big.Rat
}

// NeedGap is how far a practice's published weight lies from the identity.
type NeedGap struct {
	NeedWeight
	Expected *big.Rat
	// Gap is published less expected.
	Gap *big.Rat
}

// NeedCheck is what the identity comes to over a file.
type NeedCheck struct {
	Need
	Practices int
	// Largest is the practice furthest from the identity, and Gaps are those beyond the tolerance; the furthest comes first.
	Largest NeedGap
	Gaps    []NeedGap
	// Population, PrimaryCare, HealthInequality and Final are sums of the columns.
	Population, PrimaryCare, HealthInequality, Final *big.Rat
	// SumsAgree tells whether the sum of every weighted column is that of the population.
	SumsAgree bool
}

// Passed tells whether every practice and every sum is within its tolerance.
func (c *NeedCheck) Passed() bool { return len(c.Gaps) == 0 && c.SumsAgree }

// CheckNeed holds published weights against the identity, and their sums against the population (development fund, section 3.2). It is a
// check of a file, and never serves payment: adjusted populations are loaded as published. It refuses a file without practices, and one
// in which a practice stands twice, lacks a figure or has one below nothing.
func CheckNeed(need Need, rows []NeedWeight) (NeedCheck, error) {
	c := NeedCheck{
		Need: need, Practices: len(rows), Population: new(big.Rat), PrimaryCare: new(big.Rat), HealthInequality: new(big.Rat), Final: new(big.Rat),
	}
	if err := checkWeights(rows); err != nil {
		return c, err
	}
	for i := range rows {
		row := &rows[i]
		c.Population.Add(c.Population, row.Population)
		c.PrimaryCare.Add(c.PrimaryCare, row.PrimaryCare)
		c.HealthInequality.Add(c.HealthInequality, row.HealthInequality)
		c.Final.Add(c.Final, row.Final)
		expected := new(big.Rat).Mul(need.PrimaryShare, row.PrimaryCare)
		expected.Add(expected, new(big.Rat).Mul(need.InequalityShare, row.HealthInequality))
		gap := NeedGap{*row, expected, new(big.Rat).Sub(row.Final, expected)}
		if i == 0 || gap.furtherThan(&c.Largest) {
			c.Largest = gap
		}
		if new(big.Rat).Abs(gap.Gap).Cmp(need.Tolerance) > 0 {
			c.Gaps = append(c.Gaps, gap)
		}
	}
	slices.SortFunc(c.Gaps, func(a, b NeedGap) int {
		if a.furtherThan(&b) {
			return -1
		}
		return 1
	})
	c.SumsAgree = true
	for _, sum := range []*big.Rat{c.PrimaryCare, c.HealthInequality, c.Final} {
		off := new(big.Rat).Sub(sum, c.Population)
		c.SumsAgree = c.SumsAgree && off.Abs(off).Cmp(need.SumTolerance) <= 0
	}
	return c, nil
}

// furtherThan puts gaps in order: the larger first, of equal ones the lower code.
func (g *NeedGap) furtherThan(other *NeedGap) bool {
	size := new(big.Rat).Abs(g.Gap).Cmp(new(big.Rat).Abs(other.Gap))
	return cmp.Or(size, cmp.Compare(other.Practice, g.Practice)) > 0
}

func checkWeights(rows []NeedWeight) error {
	if len(rows) == 0 {
		return refuse(ReasonNeedWeightsNotFound, "weighted populations of practices", "load the published file")
	}
	seen := make(map[string]bool, len(rows))
	for i := range rows {
		row := &rows[i]
		if seen[row.Practice] {
			return fault.New(fault.Invalid, ReasonReceiverTwice, "practice %s stands twice", money.Clip(row.Practice)).With("practice", money.Clip(row.Practice))
		}
		seen[row.Practice] = true
		for _, value := range []*big.Rat{row.Population, row.PrimaryCare, row.HealthInequality, row.Final} {
			if value == nil {
				return refuse(ReasonPopulationMissing, "a weighted population of practice "+money.Clip(row.Practice), "correct the file")
			}
			if err := notNegative(row.Practice, "a population", value); err != nil {
				return err
			}
		}
	}
	return nil
}

// NeedList is the registered list of one practice.
type NeedList struct {
	Practice string
	// PCN is empty for a practice in none.
	PCN        string
	Registered *big.Rat
}

// NeedForecastRow is the forecast of one network, in patients.
type NeedForecastRow struct {
	PCN        string
	Registered *big.Rat
	// Forecast is of the adjusted population.
	Forecast *big.Rat
	// WithoutWeight are members of which no weight is published; they count as listed.
	WithoutWeight []string
}

// NeedForecast is what weighting for need would make of lists.
type NeedForecast struct {
	// Scale brings the sum of the weighted lists to that of the lists.
	Scale *big.Rat
	// Rows are in order of network; practices in none stand together under an empty code.
	Rows                 []NeedForecastRow
	Registered, Forecast *big.Rat
}

// forecastPlaces is how many decimals a practice's weighted list has before it is scaled: enough to change no patient, and so few that
// thousands of practices add up exactly.
const forecastPlaces = 6

// ForecastNeed weights lists for need (development fund, section 3.2): list × final weight ÷ population of the allocation, half up to six
// decimals, and scaled so that the sum equals that of the lists exactly. Lists are those of the whole nation, whatever part is
// looked at, because the scale is national. A practice without a weight, or with a population of nothing, counts as listed.
//
// It is a check of published adjusted populations and a forecast of coming ones, and never serves payment.
func ForecastNeed(rows []NeedWeight, lists []NeedList) (*NeedForecast, error) {
	if err := checkWeights(rows); err != nil {
		return nil, err
	}
	weights := make(map[string]*NeedWeight, len(rows))
	for i := range rows {
		weights[rows[i].Practice] = &rows[i]
	}
	out := &NeedForecast{Registered: new(big.Rat), Forecast: new(big.Rat)}
	byPCN, seen, weighted := make(map[string]*NeedForecastRow), make(map[string]bool, len(lists)), new(big.Rat)
	for _, l := range lists {
		if l.Registered == nil {
			return nil, refuse(ReasonPopulationMissing, "registered list of practice "+l.Practice, "load the lists")
		}
		if err := notNegative(l.Practice, "a list", l.Registered); err != nil {
			return nil, err
		}
		if seen[l.Practice] {
			return nil, fault.New(fault.Invalid, ReasonReceiverTwice, "practice %s stands twice", l.Practice).With("practice", l.Practice)
		}
		seen[l.Practice] = true
		row := byPCN[l.PCN]
		if row == nil {
			row = &NeedForecastRow{PCN: l.PCN, Registered: new(big.Rat), Forecast: new(big.Rat)}
			byPCN[l.PCN] = row
		}
		patients := l.Registered
		if w := weights[l.Practice]; w == nil || w.Population.Sign() == 0 {
			row.WithoutWeight = append(row.WithoutWeight, l.Practice)
		} else {
			exact := new(big.Rat).Quo(w.Final, w.Population)
			patients = money.Round(exact.Mul(exact, l.Registered), money.HalfUp, forecastPlaces)
		}
		row.Registered.Add(row.Registered, l.Registered)
		row.Forecast.Add(row.Forecast, patients)
		out.Registered.Add(out.Registered, l.Registered)
		weighted.Add(weighted, patients)
	}
	switch {
	case out.Registered.Sign() == 0:
		return nil, refuse(ReasonPopulationMissing, "registered lists", "load the lists")
	case weighted.Sign() == 0:
		return nil, fault.New(fault.Invalid, ReasonNoWeight, "no practice with patients has a weight")
	}
	out.Scale = new(big.Rat).Quo(out.Registered, weighted)
	for _, row := range byPCN {
		row.Forecast.Mul(row.Forecast, out.Scale)
		slices.Sort(row.WithoutWeight)
		out.Rows = append(out.Rows, *row)
	}
	slices.SortFunc(out.Rows, func(a, b NeedForecastRow) int { return cmp.Compare(a.PCN, b.PCN) })
	for i := range out.Rows {
		out.Forecast.Add(out.Forecast, out.Rows[i].Forecast)
	}
	if out.Forecast.Cmp(out.Registered) != 0 {
		return nil, fault.Bug("a forecast of %s patients is made of lists of %s", money.Format(out.Forecast), money.Format(out.Registered))
	}
	return out, nil
}
