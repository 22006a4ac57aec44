package rules

import (
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// CostFigure is one figure of the cost model: a reference salary, the pay level of a period, a rate of employer National
// Insurance or pension, a bound of the London supplement.
type CostFigure struct {
	Name string
	// Key is the band of a salary or the region of a supplement; empty for others.
	Key string
	Months
	// Version limits the figure to the first or the uplifted prices of 2025/26; anyVersion is of all.
	Version    string
	Value      *big.Rat // nil while unknown
	Source     string
	Confidence working.Confidence
	Note       string
}

// CostModel reproduces printed maxima from inferred salaries: maximum = (salary + London supplement) × (1 + NI rate + pension
// rate) − NI rate × NI threshold, rounded to the pound. It checks what a person typed and never replaces a price.
type CostModel []CostFigure

// Names of figures and of versions.
const (
	costSalary      = "SALARY"
	costPayLevel    = "PAY_LEVEL"
	costPension     = "PENSION"
	costNIRate      = "NI_RATE"
	costNIThreshold = "NI_THRESHOLD"
	costHCASShare   = "HCAS_SHARE"
	costHCASFloor   = "HCAS_FLOOR"
	costHCASCeiling = "HCAS_CEILING"
	costLondon      = "LONDON_ADDITION"

	anyVersion      = "any"
	FirstVersion    = "first"
	UpliftedVersion = "uplifted"
)

// OnCosts are the employer's additions to a salary: National Insurance above a yearly threshold, and pension.
type OnCosts struct {
	NIRate, NIThresholdGBP, PensionRate *big.Rat
}

// factor is 1 + NI rate + pension rate.
func (o OnCosts) factor() *big.Rat {
	sum := one()
	sum.Add(sum, o.NIRate)
	return sum.Add(sum, o.PensionRate)
}

// EmploymentCost is the yearly cost of a salary in pounds, unrounded. (Examples ARRS-S02, S13.)
func EmploymentCost(salaryGBP *big.Rat, o OnCosts) *big.Rat {
	cost := new(big.Rat).Mul(salaryGBP, o.factor())
	return cost.Sub(cost, new(big.Rat).Mul(o.NIRate, o.NIThresholdGBP))
}

// SupplementCost is what a London supplement adds to a yearly cost, unrounded. (Example ARRS-S14.)
func SupplementCost(supplementGBP *big.Rat, o OnCosts) *big.Rat {
	return new(big.Rat).Mul(supplementGBP, o.factor())
}

// CostWarning says that a price departs from the cost model by more than a pound.
type CostWarning struct {
	PriceID string
	// Stated is the price and Modelled what the model gives, in whole pounds a year; Difference is the first less the second.
	Stated, Modelled, Difference *big.Rat
}

// CheckCost compares a price with the cost model. It returns nil where they agree within a pound, where the price has no
// figure, and where the model has none: prices before October 2022 do not follow it.
func CheckCost(model CostModel, price *Price) *CostWarning {
	modelled, found := model.Maximum(price)
	if price.AnnualGBP == nil || !found {
		return nil
	}
	difference := new(big.Rat).Sub(price.AnnualGBP, modelled)
	if new(big.Rat).Abs(difference).Cmp(one()) <= 0 {
		return nil
	}
	return &CostWarning{price.ID, price.AnnualGBP, modelled, difference}
}

// Maximum is what the model gives for a price's role, band, region and first month, in whole pounds; false where a figure is
// missing.
func (m CostModel) Maximum(price *Price) (*big.Rat, bool) {
	q := costQuery{model: m, month: price.From, version: price.Version}
	if q.version != FirstVersion && q.version != UpliftedVersion {
		q.version = UpliftedVersion // a typed price of 2025/26 is held against the later of the two tables
	}
	band := strings.TrimPrefix(price.Band, "up to ")
	salary := q.value(costSalary, band)
	if band != GP {
		salary = q.times(salary, q.value(costPayLevel, ""))
	}
	costs := OnCosts{q.value(costNIRate, ""), q.value(costNIThreshold, ""), q.value(costPension, "")}
	supplement := q.supplement(price.Region, band, salary)
	if q.absent || supplement == nil || price.Percent == nil {
		return nil, false
	}
	cost := EmploymentCost(new(big.Rat).Add(salary, supplement), costs)
	if price.Post == FirstPost {
		cost.Mul(cost, price.Percent)
		cost.Quo(cost, whole(100))
	}
	return money.Round(cost, money.HalfUp, 0), true
}

// costQuery looks figures up and remembers that one was absent.
type costQuery struct {
	model   CostModel
	month   period.Month
	version string
	absent  bool
}

func (q *costQuery) find(name, key string) *big.Rat {
	for i := range q.model {
		f := &q.model[i]
		if f.Name == name && f.Key == key && f.Covers(q.month) && (f.Version == anyVersion || f.Version == q.version) {
			return f.Value
		}
	}
	return nil
}

func (q *costQuery) value(name, key string) *big.Rat {
	value := q.find(name, key)
	q.absent = q.absent || value == nil
	return value
}

func (q *costQuery) times(a, b *big.Rat) *big.Rat {
	if a == nil || b == nil {
		return nil
	}
	return new(big.Rat).Mul(a, b)
}

// supplement is nothing outside London, one amount for GPs, and otherwise a share of the salary between a floor and a ceiling.
// A floor that is not known silences the model unless the ceiling binds.
func (q *costQuery) supplement(region Region, band string, salary *big.Rat) *big.Rat {
	if region == National || salary == nil {
		return new(big.Rat)
	}
	if band == GP {
		return q.value(costLondon, band)
	}
	share := q.times(salary, q.value(costHCASShare, region.String()))
	floor, ceiling := q.find(costHCASFloor, region.String()), q.value(costHCASCeiling, region.String())
	switch {
	case share == nil || ceiling == nil:
		return nil
	case share.Cmp(ceiling) >= 0:
		return ceiling
	case floor == nil:
		return nil
	case share.Cmp(floor) < 0:
		return floor
	}
	return share
}
