package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// PlanningYear is how a financial year plans its workforce and what it does with money that is not claimed.
type PlanningYear struct {
	Year period.FinancialYear
	// PlanBy is the day of the year's plan, UnclaimedBy that of the agreed estimate of unclaimed money, NextPlanBy that of the
	// plan for later years, ReturnsBy that of the commissioner's returns and AgreedBy that of the region's agreement. Days that
	// are not known are zero.
	PlanBy, UnclaimedBy, NextPlanBy, ReturnsBy, AgreedBy period.Date
	// IndicativeTo is the last year that the plan looks at; 0 where it is not known.
	IndicativeTo period.FinancialYear
	Unclaimed    UnclaimedRule
	// AwardsUntil is the last day on which a bid may be approved; zero where the year ends without one.
	AwardsUntil period.Date
	// LaterFirm tells whether intentions for later years may be firm.
	LaterFirm  Answer
	Source     string
	Confidence working.Confidence
}

// UnclaimedRule is what becomes of money that a network will not claim.
type UnclaimedRule string

// The rules.
const (
	// UnclaimedShared lets a network agree an estimate, by which it loses the right to the money, and others bid for it.
	UnclaimedShared UnclaimedRule = "shared"
	// UnclaimedNone holds each network to its own sum.
	UnclaimedNone UnclaimedRule = "none"
	// UnclaimedUnknown stands where no rule was found.
	UnclaimedUnknown UnclaimedRule = ""
)

// PlanningFor finds the rules of a year.
func PlanningFor(years []PlanningYear, year period.FinancialYear) (PlanningYear, bool) {
	for _, y := range years {
		if y.Year == year {
			return y, true
		}
	}
	return PlanningYear{Year: year}, false
}

// EstimateUnclaimed is what a network will leave of its sum by its forecast; nothing where it will use it all.
func EstimateUnclaimed(usable, forecast money.Pence) money.Pence { return max(usable-forecast, 0) }

// AgreeUnclaimed tells whether an estimate may be agreed, after which the network has no right to the money. Sum is the pot's
// amount still usable by the network, with what it claimed of it or gave up before already taken off. It refuses in a year
// without the mechanism, and more than there is. (Example ARRS-S30.)
func AgreeUnclaimed(year PlanningYear, sum, estimate money.Pence) error {
	if err := year.shares(); err != nil {
		return err
	}
	if estimate <= 0 {
		return fault.New(fault.Invalid, ReasonAmountNegative, "an estimate of unclaimed money is more than nothing")
	}
	if estimate > sum {
		return fault.New(fault.Refused, ReasonUnclaimedExceedsSum, "%s cannot be given up of %s", estimate, sum)
	}
	return nil
}

func (y PlanningYear) shares() error {
	switch y.Unclaimed {
	case UnclaimedShared:
		return nil
	case UnclaimedNone:
		return fault.New(fault.Refused, ReasonNoUnclaimedMechanism, "in %s each network is held to its own sum", y.Year).With("year", y.Year)
	default:
		return missing(ReasonPlanRulesUnknown, "rule for unclaimed money in "+y.Year.String(), "none was found")
	}
}

// Bid is what a network asks of the unclaimed money of others.
type Bid struct {
	ID    string
	PCN   string
	Asked money.Pence
	// Weight is what the money is shared by where it does not suffice; nil for all shares by what is asked. How bids were
	// ranked was not found, so that the weight is the commissioner's to choose and record.
	Weight *big.Rat
}

// Award is what a bid comes to.
type Award struct {
	BidID   string
	PCN     string
	Asked   money.Pence
	Awarded money.Pence
}

// AwardUnclaimed shares the money given up among bids approved on a day: each in full where it suffices, otherwise by weight
// and never more than is asked, in whole pence by largest remainder, of equal remainders to the earlier bid. What is left is
// returned. It refuses in a year without the mechanism and after the last day of its awards: on 17 November 2023 commissioners
// were told to approve no more.
func AwardUnclaimed(year PlanningYear, available money.Pence, bids []Bid, on period.Date) (awards []Award, left money.Pence, err error) {
	if err := year.shares(); err != nil {
		return nil, 0, err
	}
	last := year.Year.Last().Last()
	if !year.AwardsUntil.IsZero() {
		last = year.AwardsUntil
	}
	if on.After(last) {
		return nil, 0, fault.New(fault.Refused, ReasonAwardsStopped, "no award is approved in %s after %s", year.Year, last).With("last_day", last)
	}
	awards, err = openAwards(available, bids)
	if err != nil {
		return nil, 0, err
	}
	left = available
	for left > 0 {
		given, err := awardRound(awards, bids, left)
		if err != nil {
			return nil, 0, err
		}
		if given == 0 {
			break
		}
		left -= given
	}
	return awards, left, checkAwards(awards, available, left)
}

func openAwards(available money.Pence, bids []Bid) ([]Award, error) {
	if available < 0 {
		return nil, fault.New(fault.Invalid, ReasonAmountNegative, "what is shared cannot be negative")
	}
	awards := make([]Award, len(bids))
	asked := make([]money.Pence, len(bids))
	seen := make(map[string]bool, len(bids))
	for i, bid := range bids {
		weighs := bid.Weight != nil
		if bid.Asked <= 0 || bid.PCN == "" || seen[bid.ID] || weighs != (bids[0].Weight != nil) || (weighs && bid.Weight.Sign() <= 0) {
			return nil, fault.New(fault.Invalid, ReasonBidInvalid, "bid %s asks for nothing, stands twice, names no network, or has a weight where others have none", money.Clip(bid.ID))
		}
		seen[bid.ID] = true
		awards[i], asked[i] = Award{BidID: bid.ID, PCN: bid.PCN, Asked: bid.Asked}, bid.Asked
	}
	_, err := money.Sum(asked...) // what is asked together must be a number before it is shared
	return awards, err
}

// awardRound shares what is left among the bids that are not yet met, and caps each at what it asked.
func awardRound(awards []Award, bids []Bid, left money.Pence) (money.Pence, error) {
	weights := make([]*big.Rat, len(bids))
	var open money.Pence
	for i := range awards {
		short := awards[i].Asked - awards[i].Awarded
		open += short
		weights[i] = new(big.Rat)
		if short > 0 {
			weights[i] = new(big.Rat).SetInt64(int64(awards[i].Asked))
			if bids[i].Weight != nil {
				weights[i] = bids[i].Weight
			}
		}
	}
	if open == 0 {
		return 0, nil
	}
	parts, err := money.Allocate(min(left, open), weights)
	if err != nil {
		return 0, err
	}
	var given money.Pence
	for i, part := range parts {
		part = min(part, awards[i].Asked-awards[i].Awarded)
		awards[i].Awarded += part
		given += part
	}
	return given, nil
}

func checkAwards(awards []Award, available, left money.Pence) error {
	sum := left
	for _, award := range awards {
		sum += award.Awarded
		if award.Awarded > award.Asked {
			return fault.Bug("bid %s was awarded more than it asked", award.BidID)
		}
	}
	if sum != available || left < 0 {
		return fault.Bug("awards and rest do not make up what was shared")
	}
	return nil
}
