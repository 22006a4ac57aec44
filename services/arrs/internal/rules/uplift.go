package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// UpliftItem is one line already paid, whose price was replaced backdated.
type UpliftItem struct {
	// PassedOn: the network has paid the uplift to the person.
	PassedOn Answer
	// Paid is everything paid for the line so far.
	Paid money.Pence
	// After is the line assessed anew, with the cost after the uplift and the prices now known, in the pots as they are.
	After *Assessed
}

// UpliftedLine is what an item comes to.
type UpliftedLine struct {
	LineID string
	// Due is what the line comes to now, within the new maximum; Payable is the difference that is to pay.
	Due, Paid, Payable money.Pence
	// Withheld is a difference that is not to pay, and Reason why: the uplift was not passed on, the year's sum is used up, or a
	// figure is missing, which Missing then names. Reason also says that less is due now than was paid; nothing is then
	// recovered here.
	Withheld money.Pence
	Reason   string
	Missing  string
	// Working gives Payable.
	Working *working.Working
}

// Uplifted is what an uplift comes to.
type Uplifted struct {
	Lines   []UpliftedLine
	Payable money.Pence
	// Left is the pots' money after it.
	Left map[Pot]money.Pence
}

// Uplift pays, for each line of a person whom the network has paid the uplift, the difference between what is due under the
// new maximum and what was paid, in the order of the items and within what is left of the year's sums (2025/26: prices
// replaced on 1 August 2025, backdated to 1 April; example ARRS-S31). Left is what is left of each pot.
func Uplift(items []UpliftItem, left map[Pot]money.Pence) (*Uplifted, error) {
	out := &Uplifted{Lines: make([]UpliftedLine, len(items)), Left: make(map[Pot]money.Pence, len(left))}
	seen := make(map[string]bool, len(items))
	for pot, amount := range left {
		out.Left[pot] = max(amount, 0)
	}
	for i, item := range items {
		if seen[item.After.LineID] {
			return nil, fault.New(fault.Invalid, ReasonLineTwice, "line %s stands twice", money.Clip(item.After.LineID))
		}
		seen[item.After.LineID] = true
		line, err := item.difference(out.Left[item.After.Pot])
		if err != nil {
			return nil, err
		}
		out.Left[item.After.Pot] -= line.Payable
		if out.Payable, err = out.Payable.Add(line.Payable); err != nil {
			return nil, err
		}
		out.Lines[i] = line
	}
	return out, nil
}

func (item *UpliftItem) difference(left money.Pence) (UpliftedLine, error) {
	after := item.After
	line := UpliftedLine{LineID: after.LineID, Due: after.WithinMaximum, Paid: item.Paid}
	if item.Paid < 0 {
		return line, fault.New(fault.Invalid, ReasonAmountNegative, "what was paid for line %s is negative", money.Clip(after.LineID))
	}
	for _, part := range after.Parts {
		if part.Missing != "" {
			line.Reason, line.Missing = part.Reason, part.Missing
			return line, nil
		}
	}
	difference := line.Due - line.Paid
	switch {
	case difference <= 0:
		if difference < 0 {
			line.Reason = ReasonUpliftBelowPaid
		}
		return line, nil
	case item.PassedOn != Yes:
		line.Withheld, line.Reason = difference, ReasonUpliftNotPassedOn
		return line, nil
	}
	line.Payable = min(difference, left)
	if line.Withheld = difference - line.Payable; line.Withheld > 0 {
		line.Reason = ReasonOverYearSum
	}
	const clause = "ARRS 2025/26: the difference to the new maximum, for staff already paid the uplift"
	b := new(working.Builder)
	origin := working.Origin{Kind: working.FromLine, Ref: after.LineID}
	due := b.Input("due under the new maximum", line.Due.GBP(), gbp, working.Origin{Kind: working.FromLine, Ref: after.LineID, Confidence: after.Confidence})
	paid := b.Input("paid before", line.Paid.GBP(), gbp, origin)
	room := b.Input("left of the year's sum", left.GBP(), gbp, working.Origin{Kind: working.FromLine, Source: "lines before this one"})
	result := b.Step("payable", working.Minimum, gbp, clause, b.Step("difference", working.Subtract, gbp, clause, due, paid), room)
	line.Working = b.Done()
	if result.Value.Cmp(new(big.Rat).Set(line.Payable.GBP())) != 0 {
		return line, fault.Bug("line %s: the working does not give the uplift", after.LineID)
	}
	return line, nil
}
