package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// BedsAsked is a question about the care home premium of one period.
type BedsAsked struct {
	// RateGBP is pounds per bed for the whole period.
	RateGBP *big.Rat
	// First is the first month of the period, and Months their number.
	First  period.Month
	Months int
	// Stated is the beds stated, by month.
	Stated map[period.Month]int64
}

// BedsQuotation is what the premium comes to.
type BedsQuotation struct {
	Months  []money.Pence
	Total   money.Pence
	Working *working.Working // of the first month
}

// BedsInForce returns the beds that hold for a month, and the month for which they were stated: a month for which none were
// stated takes the last count stated before it. It returns false where there is none.
func BedsInForce(stated map[period.Month]int64, month period.Month) (count int64, statedFor period.Month, found bool) {
	for candidate, number := range stated {
		if !candidate.After(month) && (!found || candidate.After(statedFor)) {
			count, statedFor, found = number, candidate, true
		}
	}
	return count, statedFor, found
}

// QuoteBeds pays, for each month, the period's rate ÷ months × the beds in force for that month, rounded half up. The total
// is the sum of the months, never rate × beds of the year's end.
func QuoteBeds(in BedsAsked) (*BedsQuotation, error) {
	out := &BedsQuotation{Months: make([]money.Pence, in.Months)}
	for stated := range in.Stated {
		if stated.Sub(in.First) >= in.Months {
			return nil, fault.New(fault.Invalid, ReasonQuoteIncomplete, "beds are stated for %s, after the period ends", stated)
		}
	}
	for n := range out.Months {
		month := in.First.Add(n)
		count, statedFor, found := BedsInForce(in.Stated, month)
		if !found {
			return nil, fault.New(fault.Refused, ReasonBedsMissing, "no beds are stated for %s or a month before it", month).With("month", month)
		}
		pence, steps, err := Instalment(InstalmentInput{
			PaymentCode: "CARE_HOME_PREMIUM", Instalments: in.Months, Number: n + 1, Clause: "Care home premium, beds in force for the month",
			Terms: []Term{{
				RateGBP: in.RateGBP, RateOrigin: fromRequest, Unit: beds, Per: CareHomeBed.Singular(),
				Population: Population{
					Value:  new(big.Rat).SetInt64(count),
					Origin: working.Origin{Kind: working.FromRequest, Source: "beds stated for " + statedFor.String()},
				},
			}},
		})
		if err != nil {
			return nil, err
		}
		out.Months[n] = pence
		if n == 0 {
			out.Working = steps
		}
	}
	var err error
	out.Total, err = money.Sum(out.Months...)
	return out, err
}

var fromRequest = working.Origin{Kind: working.FromRequest}
