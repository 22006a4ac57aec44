package rules

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Pot is a sum of money that lines are paid from. Money never moves between pots.
type Pot string

// The pots.
const (
	// MainPot pays every role of 2020/21 to 2023/24, and every role but GPs in 2024/25.
	MainPot Pot = "main"
	// GPPot pays GPs from October 2024 to March 2025, and nothing else.
	GPPot Pot = "gp"
	// SinglePot pays every role from April 2025.
	SinglePot Pot = "single"
	// PharmacistOffer and LinkWorkerOffer are the two offers of 2019/20.
	PharmacistOffer Pot = "offer_clinical_pharmacist"
	LinkWorkerOffer Pot = "offer_link_worker"
)

// ParsePot reads a pot that has a rate.
func ParsePot(text string) (Pot, error) {
	switch pot := Pot(text); pot {
	case MainPot, GPPot, SinglePot:
		return pot, nil
	default:
		return "", fmt.Errorf("%q is not a pot with a rate: main, gp or single", text)
	}
}

// SumRate is one version of the pounds per weighted patient of a pot, for the whole of its period: a year, or the six months
// of the GP pot of 2024/25.
type SumRate struct {
	Figure
	Months
	Pot Pot
	// RateGBP is pounds per contractor weighted patient for the whole period; nil while unknown.
	RateGBP *big.Rat
	// NationalGBP is the national total; nil where it is not known. It serves comparison only.
	NationalGBP *big.Rat
}

// SumRateFor returns the rate of a pot that governs a month, as known on a day; nil where the pot has none.
func SumRateFor(rates []SumRate, pot Pot, commissioner string, month period.Month, known period.Date) *SumRate {
	return governing(rates, func(r *SumRate) *Figure { return &r.Figure }, commissioner, known, func(r *SumRate) bool {
		return r.Pot == pot && r.Covers(month)
	})
}

// PotOf returns the pot that pays a role in a month: in 2019/20 the offer of the role, in the months of the GP pot that pot
// for GPs and the main pot for everyone else, and otherwise the one pot of the year. It returns false where nothing pays it.
func PotOf(rates []SumRate, role string, month period.Month) (Pot, bool) {
	if month.FinancialYear() == firstYear {
		switch role {
		case ClinicalPharmacist:
			return PharmacistOffer, true
		case LinkWorker:
			return LinkWorkerOffer, true
		default:
			return MainPot, true // hires before the year, from what is unspent of the offers; its sum is a person's to enter
		}
	}
	var found Pot
	for i := range rates {
		switch pot := rates[i].Pot; {
		case !rates[i].Covers(month):
		case pot == GPPot && role == GP:
			return GPPot, true
		case pot != GPPot:
			found = pot
		}
	}
	return found, found != ""
}

const firstYear = period.FinancialYear(2019)

// Population is a contractor weighted population with where it came from.
type Population struct {
	Value  *big.Rat // nil while unknown
	Origin working.Origin
}

// Entitlement is the most a network may claim from one pot in one financial year.
type Entitlement struct {
	Year   period.FinancialYear
	Pot    Pot
	From   period.Month
	To     period.Month
	Amount money.Pence
	// RateID is the rate, or the price of an offer, that the amount rests on.
	RateID string
	// Refused says which figure is missing; the amount then means nothing.
	Refused *fault.Fault
	Working *working.Working
}

// Known tells whether the amount could be computed.
func (e *Entitlement) Known() bool { return e.Refused == nil }

// Entitle computes the yearly sums of a network: rate × contractor weighted population at 1 January before the year, rounded
// half up to the penny (Network Contract DES 2025/26 paragraph 10.5.4; examples ARRS-S01, S08 to S12). 2024/25 has two pots
// once its GP pot is known. A pot without a figure comes back refused by name. For 2019/20 see Offers.
func Entitle(rates []SumRate, year period.FinancialYear, population Population, commissioner string, known period.Date) ([]Entitlement, error) {
	var out []Entitlement
	for _, pot := range []Pot{MainPot, GPPot, SinglePot} {
		var rate *SumRate
		for month := year.First(); rate == nil && !month.After(year.Last()); month = month.Add(1) {
			rate = SumRateFor(rates, pot, commissioner, month, known)
		}
		if rate == nil {
			continue
		}
		entitlement, err := entitle(rate, year, population)
		if err != nil {
			return nil, err
		}
		out = append(out, entitlement)
	}
	return out, nil
}

func entitle(rate *SumRate, year period.FinancialYear, population Population) (Entitlement, error) {
	e := Entitlement{Year: year, Pot: rate.Pot, From: rate.From, To: rate.To, RateID: rate.ID}
	what := "rate per weighted patient of the " + string(rate.Pot) + " pot of " + year.String()
	switch {
	case rate.RateGBP == nil:
		e.Refused = missing(ReasonSumUnknown, what, "enter the figure with its source")
		return e, nil
	case !rate.Confidence.Payable():
		e.Refused = missing(ReasonSumNotConfirmed, what, "confirm candidate "+rate.ID+", or enter the figure with its source")
		return e, nil
	case population.Value == nil:
		e.Refused = missing(ReasonPopulationMissing, "contractor weighted population at "+year.ListDate().String(), "load the list, or enter the figure")
		return e, nil
	case population.Value.Sign() < 0:
		return e, fault.New(fault.Invalid, ReasonFigureNegative, "a population cannot be negative")
	}
	const clause = "ARRS: rate × contractor weighted population at 1 January before the year"
	b := new(working.Builder)
	perHead := b.Input("rate", rate.RateGBP, "GBP per weighted patient", rate.origin())
	patients := b.Input("contractor weighted population", population.Value, "weighted patients", population.Origin)
	product := b.Step("sum before rounding", working.Multiply, "GBP", clause, perHead, patients)
	rounded := b.Round("yearly sum", money.HalfUp, 2, "GBP", "convention: rounded half up to the penny", product)
	amount, err := money.RoundHalfUp(rounded.Value)
	e.Amount, e.Working = amount, b.Done()
	return e, err
}

// Offers returns what 2019/20 offers a network: for each of its two roles the yearly amount × the number that its list allows
// × nine months of twelve. How the year's sum was formed nationally was not found; this is what the monthly maxima of the
// offered posts come to. An offer whose number is not known for the list comes back refused by name.
func Offers(prices Prices, limits []Limit, region Region, list ListSize, commissioner string, known period.Date) ([]Entitlement, error) {
	var out []Entitlement
	for _, offer := range []struct {
		pot  Pot
		role string
	}{{PharmacistOffer, ClinicalPharmacist}, {LinkWorkerOffer, LinkWorker}} {
		price, err := prices.At(PriceKey{Role: offer.role, Region: region}, commissioner, offersFrom, known)
		e := Entitlement{Year: firstYear, Pot: offer.pot, From: offersFrom, To: firstYear.Last()}
		if refused, ok := fault.As(err); ok {
			e.Refused = refused
			out = append(out, e)
			continue
		}
		e.RateID = price.ID
		limit, refused := limitFor(limits, offer.role, list, commissioner, offersFrom, known)
		if refused == nil && (limit == nil || !limit.settled()) {
			refused = missing(ReasonLimitUnknown, "number of "+offer.role+" offered in 2019/20 for the network's list", "enter the figure with its source")
		}
		if e.Refused = refused; refused == nil {
			if err := e.offer(price, limit); err != nil {
				return nil, err
			}
		}
		out = append(out, e)
	}
	return out, nil
}

var offersFrom = firstYear.First().Add(3)

func (e *Entitlement) offer(price *Price, limit *Limit) error {
	const clause = "ARRS 2019/20: one clinical pharmacist and one link worker, from July 2019"
	b := new(working.Builder)
	annual := b.Input("yearly amount", price.AnnualGBP, "GBP per WTE", price.origin())
	number := b.Input("number offered", limit.Most, "WTE", limit.origin())
	months := b.Input("months offered", whole(e.To.Sub(e.From)+1), "months", working.Origin{Kind: working.FromContract})
	year := b.Input("months of a year", whole(monthsOfYear), "months", working.Origin{Kind: working.FromContract})
	full := b.Step("full-year offer", working.Multiply, "GBP", clause, annual, number, months)
	part := b.Step("offer before rounding", working.Divide, "GBP", clause, full, year)
	rounded := b.Round("offer", money.HalfUp, 2, "GBP", clause, part)
	amount, err := money.RoundHalfUp(rounded.Value)
	e.Amount, e.Working = amount, b.Done()
	return err
}

// PotSum is what a network may use of a pot, as a year is assessed.
type PotSum struct {
	Pot Pot
	// Usable is the entitlement less what was given up and with what was awarded.
	Usable money.Pence
	// Confidence is that of the figures the sum rests on.
	Confidence working.Confidence
	// Refused says which figure is missing; Usable then means nothing and no line of the pot is paid.
	Refused *fault.Fault
	// PaidBefore was paid in the year for lines that are not among those assessed.
	PaidBefore money.Pence
}

// Usable is a pot's entitlement with the unclaimed money that was agreed away, or awarded, taken into account. It fails where
// more is given up than there is.
func Usable(e Entitlement, givenUp, awarded money.Pence) (PotSum, error) {
	sum := PotSum{Pot: e.Pot, Refused: e.Refused}
	if !e.Known() {
		return sum, nil
	}
	if givenUp < 0 || awarded < 0 {
		return sum, fault.New(fault.Invalid, ReasonAmountNegative, "what is given up or awarded cannot be negative")
	}
	if givenUp > e.Amount {
		return sum, fault.New(fault.Refused, ReasonUnclaimedExceedsSum, "%s cannot be given up of a sum of %s", givenUp, e.Amount)
	}
	usable, err := (e.Amount - givenUp).Add(awarded)
	sum.Usable = usable
	if e.Working != nil {
		sum.Confidence = e.Working.Confidence()
	}
	return sum, err
}

// Position is how much of a pot is left at a moment.
type Position struct {
	Pot       Pot
	Usable    money.Pence
	Paid      money.Pence
	Committed money.Pence // expected for staff in post to the end of the year
	Expected  money.Pence // expected besides, for posts planned or vacant
	// Remaining is what is not paid, FreeOfCommitments what is left of that after Committed, and Forecast what is left at the
	// end of the year; each is negative where the pot is overdrawn or would be.
	Remaining         money.Pence
	FreeOfCommitments money.Pence
	Forecast          money.Pence
}

// PositionOf computes a position. Money left at the end of the year is lost: nothing carries forward.
func PositionOf(sum PotSum, paid, committed, expected money.Pence) (Position, error) {
	p := Position{Pot: sum.Pot, Usable: sum.Usable, Paid: paid, Committed: committed, Expected: expected}
	if sum.Refused != nil {
		return p, sum.Refused
	}
	var wrong [3]error
	p.Remaining, wrong[0] = sum.Usable.Sub(paid)
	p.FreeOfCommitments, wrong[1] = p.Remaining.Sub(committed)
	p.Forecast, wrong[2] = p.FreeOfCommitments.Sub(expected)
	return p, errors.Join(wrong[:]...)
}
