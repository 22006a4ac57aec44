package rules

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Staff is someone in post, as the forecast sees the person: the last month assessed, carried on.
type Staff struct {
	// Last is the last assessed line of the engagement. Its month need not have been a whole one: it is taken to a whole month
	// by its days.
	Last *Assessed
	// End is the last day of the engagement; zero while it lasts.
	End period.Date
}

// Vacancy is a post that is to be filled.
type Vacancy struct {
	ID     string
	Role   string
	Band   string
	Post   Post
	Region Region // 0 takes the network's
	WTE    *big.Rat
	Start  period.Month
}

// Assumption is one thing that a forecast takes for granted.
type Assumption string

// The assumptions of every forecast, and those that a figure brings in.
const (
	// AssumePayAsLastClaimed: staff in post cost each month what their last assessed month came to.
	AssumePayAsLastClaimed Assumption = "PAY_AS_LAST_CLAIMED"
	// AssumeLeaversLeave: who has an end date is paid to that day, and not replaced unless a vacancy or the plan says so.
	AssumeLeaversLeave Assumption = "LEAVERS_LEAVE"
	// AssumePostsAtMaximum: vacancies and planned posts cost the maximum now known, from the first day of their month.
	AssumePostsAtMaximum Assumption = "POSTS_AT_MAXIMUM"
	// AssumeFirmPlanOnly: only firm plan lines count, as far as their WTE exceeds staff in post and vacancies.
	AssumeFirmPlanOnly Assumption = "FIRM_PLAN_ONLY"
	// AssumeNoLaterClaims: earlier months bring no further claims but for staff in post.
	AssumeNoLaterClaims Assumption = "NO_LATER_CLAIMS"
	// AssumeLimitsNotBinding: number limits and baseline do not bind posts to come.
	AssumeLimitsNotBinding Assumption = "LIMITS_NOT_BINDING"
	// AssumeMissingPricesNothing: posts without a known price count as nothing, and are listed.
	AssumeMissingPricesNothing Assumption = "MISSING_PRICES_NOTHING"
)

// ForecastOf is a pot's year to its end.
type ForecastOf struct {
	Position
	// Spend is what will be paid by the year's end, within the usable sum; Wanted what would be without it.
	Spend, Wanted money.Pence
	Refused       *fault.Fault
}

// Forecast is a network's year to its end.
type Forecast struct {
	PCN  string
	Year period.FinancialYear
	// AsOf is the last month that claims are counted of; before the year's first claim it is the March before.
	AsOf        period.Month
	Pots        []ForecastOf
	Assumptions []Assumption
	// Missing names the posts that have no known price.
	Missing []Refusal
}

// Refusal names what could not be computed, for want of which figure, and what to do.
type Refusal struct {
	For     string
	Reason  string
	Missing string
	Remedy  string
}

// ForecastInput is what a forecast rests on.
type ForecastInput struct {
	AsOf period.Month
	// Claims are the year's assessed lines.
	Claims    []Assessed
	Staff     []Staff
	Vacancies []Vacancy
	Plan      []PlanLine
}

// ForecastYear forecasts a network's spend to the end of its context's year: what was paid, with staff in post carried on,
// and posts vacant or firmly planned from their months on. Its assumptions are listed with it.
func ForecastYear(c *Context, in ForecastInput) (*Forecast, error) {
	if in.AsOf.IsZero() || in.AsOf.Before(c.Year.First().Add(-1)) || in.AsOf.After(c.Year.Last()) {
		return nil, fault.New(fault.Invalid, ReasonForecastPeriodInvalid, "%s does not lie in %s, or just before", in.AsOf, c.Year)
	}
	f := forecasting{Context: c, in: &in, pots: make(map[Pot]*tally), wte: make(map[roleMonth]*big.Rat), out: &Forecast{
		PCN: c.PCN, Year: c.Year, AsOf: in.AsOf, Assumptions: []Assumption{
			AssumePayAsLastClaimed, AssumeLeaversLeave, AssumePostsAtMaximum, AssumeFirmPlanOnly, AssumeNoLaterClaims, AssumeLimitsNotBinding,
		},
	}}
	for i := range in.Claims {
		if err := f.paid(&in.Claims[i]); err != nil {
			return nil, err
		}
	}
	for i := range in.Staff {
		if err := f.staff(&in.Staff[i]); err != nil {
			return nil, err
		}
	}
	for i := range in.Vacancies {
		if err := f.vacancy(&in.Vacancies[i]); err != nil {
			return nil, err
		}
	}
	for i := range in.Plan {
		f.plan(&in.Plan[i])
	}
	return f.done()
}

// tally is what falls on one pot, exact until it is rounded once.
type tally struct {
	paid                money.Pence
	committed, expected big.Rat
}

type forecasting struct {
	*Context
	in   *ForecastInput
	pots map[Pot]*tally
	// wte is the WTE in post or to be filled, by role and month to come.
	wte map[roleMonth]*big.Rat
	out *Forecast
}

func (f *forecasting) pot(role string, month period.Month) *tally {
	pot, _ := PotOf(f.Scheme.SumRates, role, month)
	return f.of(pot)
}

func (f *forecasting) of(pot Pot) *tally {
	if f.pots[pot] == nil {
		f.pots[pot] = new(tally)
	}
	return f.pots[pot]
}

func (f *forecasting) paid(line *Assessed) (err error) {
	if line.Month.FinancialYear() != f.Year {
		return fault.New(fault.Invalid, ReasonLineOfOtherYear, "line %s is not of %s", money.Clip(line.LineID), f.Year)
	}
	if line.Payable > 0 && !line.Month.After(f.in.AsOf) {
		of := f.of(line.Pot)
		of.paid, err = of.paid.Add(line.Payable)
	}
	return err
}

func (f *forecasting) fill(role string, month period.Month, wte *big.Rat) {
	key := roleMonth{role, month}
	if f.wte[key] == nil {
		f.wte[key] = new(big.Rat)
	}
	f.wte[key].Add(f.wte[key], wte)
}

// staff carries the last month on, to the end of the engagement or of the year. Months between the last claim and AsOf count
// too: their claims are still to come.
func (f *forecasting) staff(s *Staff) error {
	last := s.Last
	if last.Month.After(f.in.AsOf) {
		return fault.New(fault.Invalid, ReasonForecastPeriodInvalid, "line %s is of a month after %s", money.Clip(last.LineID), f.in.AsOf)
	}
	if last.Days == 0 || last.AdmittedWTEDays == nil || last.Month.FinancialYear() != f.Year {
		return nil
	}
	inMonth := whole(daysOf(last.Month))
	claimed := whole(last.Days)
	monthly := new(big.Rat).Mul(last.WithinMaximum.GBP(), inMonth)
	monthly.Quo(monthly, claimed)
	wte := new(big.Rat).Quo(last.AdmittedWTEDays, claimed)
	for month := last.Month.Add(1); !month.After(f.Year.Last()); month = month.Add(1) {
		share := one()
		if !s.End.IsZero() && s.End.Before(month.Last()) {
			if s.End.Before(month.First()) {
				break
			}
			share = big.NewRat(int64(dayOfMonth(s.End)), int64(daysOf(month)))
		}
		of := f.pot(last.Role, month)
		of.committed.Add(&of.committed, new(big.Rat).Mul(monthly, share))
		f.fill(last.Role, month, new(big.Rat).Mul(wte, share))
	}
	return nil
}

func (f *forecasting) vacancy(v *Vacancy) error {
	if v.WTE == nil || v.WTE.Sign() < 0 {
		return fault.New(fault.Invalid, ReasonFigureNegative, "the WTE of vacancy %s is missing or negative", money.Clip(v.ID))
	}
	key := PriceKey{Role: v.Role, Band: v.Band, Post: v.Post, Region: v.Region}
	from := v.Start
	if !from.After(f.in.AsOf) {
		from = f.in.AsOf.Add(1) // a post that was not filled in time starts now
	}
	for month := from; !month.After(f.Year.Last()); month = month.Add(1) {
		f.fill(v.Role, month, v.WTE)
		if f.post(key, month, v.WTE, "vacancy "+v.ID) {
			break
		}
	}
	return nil
}

// plan adds what a firm line plans above staff in post and vacancies.
func (f *forecasting) plan(line *PlanLine) {
	if line.Intention != Firm || line.Year != f.Year {
		return
	}
	key := PriceKey{Role: line.Role, Band: line.Band, Post: line.Post}
	for month := f.in.AsOf.Add(1); !month.After(f.Year.Last()); month = month.Add(1) {
		more := new(big.Rat).Set(line.PlannedWTE(month))
		if held := f.wte[roleMonth{line.Role, month}]; held != nil {
			covered := new(big.Rat).Set(least(more, held))
			held.Sub(held, covered) // two lines of a role are not both met by the same staff
			more.Sub(more, covered)
		}
		if more.Sign() > 0 && f.post(key, month, more, "plan line "+line.ID) {
			break
		}
	}
}

// post adds one month of a post at its maximum. It tells whether the price is missing, and then notes it once.
func (f *forecasting) post(key PriceKey, month period.Month, wte *big.Rat, what string) bool {
	if key.Region == 0 {
		key.Region = f.Region
	}
	if key.Role != MentalHealth && key.Role != OtherDirectCare && key.Role != OtherAgreed {
		key.Band = ""
	}
	price, err := f.Scheme.Prices.At(key, f.Commissioner, month, f.Known)
	if refused, ok := fault.As(err); ok {
		f.out.Missing = append(f.out.Missing, Refusal{what, refused.Reason, refused.Meta[metaMissing], refused.Meta[metaRemedy]})
		return true
	}
	of := f.pot(key.Role, month)
	monthly := new(big.Rat).Mul(price.AnnualGBP, wte)
	of.expected.Add(&of.expected, monthly.Quo(monthly, whole(monthsOfYear)))
	return false
}

func (f *forecasting) done() (*Forecast, error) {
	for _, sum := range f.Sums {
		of := f.of(sum.Pot)
		committed, err := money.RoundHalfUp(&of.committed)
		if err != nil {
			return nil, err
		}
		expected, err := money.RoundHalfUp(&of.expected)
		if err != nil {
			return nil, err
		}
		pot := ForecastOf{Refused: sum.Refused}
		if of.paid, err = of.paid.Add(sum.PaidBefore); err != nil {
			return nil, err
		}
		if pot.Wanted, err = money.Sum(of.paid, committed, expected); err != nil {
			return nil, err
		}
		pot.Position = Position{Pot: sum.Pot, Paid: of.paid, Committed: committed, Expected: expected}
		if sum.Refused == nil {
			if pot.Position, err = PositionOf(sum, of.paid, committed, expected); err != nil {
				return nil, err
			}
			pot.Spend = max(min(pot.Wanted, sum.Usable), of.paid)
		}
		f.out.Pots = append(f.out.Pots, pot)
	}
	slices.SortFunc(f.out.Pots, func(a, b ForecastOf) int { return cmp.Compare(a.Pot, b.Pot) })
	if len(f.out.Missing) > 0 {
		f.out.Assumptions = append(f.out.Assumptions, AssumeMissingPricesNothing)
	}
	return f.out, nil
}

// CommissionerForecast is the forecasts of a commissioner's networks, added up by pot.
type CommissionerForecast struct {
	Year period.FinancialYear
	Pots []ForecastTotal
	// Assumptions are those that any of the forecasts makes.
	Assumptions []Assumption
	// Missing counts the posts without a known price.
	Missing int
}

// ForecastTotal is one pot of all networks.
type ForecastTotal struct {
	Pot    Pot
	PCNs   int
	Usable money.Pence
	Paid   money.Pence
	Spend  money.Pence
	Wanted money.Pence
	// Unspent is what the networks together will leave unused, each held to its own sum.
	Unspent money.Pence
	// Unknown counts the networks whose sum is not known; they are in PCNs, and in no amount but Paid and Wanted.
	Unknown int
}

// ForecastAll adds up the forecasts of one year. It refuses forecasts of different years, and two of one network.
func ForecastAll(forecasts []Forecast) (*CommissionerForecast, error) {
	out := new(CommissionerForecast)
	totals := make(map[Pot]*ForecastTotal)
	seen := make(map[string]bool, len(forecasts))
	for i := range forecasts {
		f := &forecasts[i]
		if seen[f.PCN] || f.Year != forecasts[0].Year {
			return nil, fault.New(fault.Invalid, ReasonForecastPeriodInvalid, "network %s stands twice or is of another year", money.Clip(f.PCN))
		}
		seen[f.PCN], out.Year = true, f.Year
		out.Missing += len(f.Missing)
		for _, assumption := range f.Assumptions {
			if !slices.Contains(out.Assumptions, assumption) {
				out.Assumptions = append(out.Assumptions, assumption)
			}
		}
		for j := range f.Pots {
			if totals[f.Pots[j].Pot] == nil {
				totals[f.Pots[j].Pot] = &ForecastTotal{Pot: f.Pots[j].Pot}
			}
			if err := totals[f.Pots[j].Pot].add(&f.Pots[j]); err != nil {
				return nil, err
			}
		}
	}
	for _, total := range totals {
		out.Pots = append(out.Pots, *total)
	}
	slices.SortFunc(out.Pots, func(a, b ForecastTotal) int { return cmp.Compare(a.Pot, b.Pot) })
	return out, nil
}

func (t *ForecastTotal) add(f *ForecastOf) error {
	t.PCNs++
	if f.Refused != nil {
		t.Unknown++
	}
	for _, pair := range []struct {
		into  *money.Pence
		more  money.Pence
		known bool
	}{
		{&t.Usable, f.Usable, f.Refused == nil},
		{&t.Paid, f.Paid, true},
		{&t.Spend, f.Spend, f.Refused == nil},
		{&t.Wanted, f.Wanted, true},
		{&t.Unspent, max(f.Usable-f.Spend, 0), f.Refused == nil},
	} {
		if !pair.known {
			continue
		}
		sum, err := pair.into.Add(pair.more)
		if err != nil {
			return err
		}
		*pair.into = sum
	}
	return nil
}
