package rules

import (
	"maps"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

// Part is what a run comes to for one payee, as far as it is for one PCN. Net = LinesTotal + BroughtForward − CarriedForward, which
// may be below zero: then the PCN's debt was paid with what the payee got for others.
type Part struct {
	PayeeCode      string
	PCNCode        string
	LinesTotal     money.Pence
	BroughtForward money.Pence
	CarriedForward money.Pence
}

// Net is the PCN's part of what is sent.
func (p *Part) Net() money.Pence { return p.LinesTotal + p.BroughtForward - p.CarriedForward }

// PartsOf divides what a run comes to for one payee over its PCNs, in order of code. Lines holds the sum of each PCN's lines in the
// run, owed what each was overpaid in earlier runs and has not given back, a debt above zero. An overpayment is carried by the
// PCNs whose lines make it. What is taken off is taken from the PCNs in debt, in proportion; taken off in full, it clears every
// PCN. The parts sum to the payee's figures.
func PartsOf(total *PayeeTotal, lines, owed map[string]money.Pence) ([]Part, error) {
	codes := make(map[string]bool, len(lines)+len(owed))
	for code := range lines {
		codes[code] = true
	}
	taken := map[string]money.Pence{}
	if total.BroughtForward != 0 {
		var err error
		if taken, err = takenFrom(-total.BroughtForward, owed); err != nil {
			return nil, err
		}
		for code := range taken {
			codes[code] = true
		}
	}
	out := make([]Part, 0, len(codes))
	check := *total
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		part := Part{PayeeCode: total.PayeeCode, PCNCode: code, LinesTotal: lines[code], BroughtForward: -taken[code]}
		if total.CarriedForward != 0 {
			part.CarriedForward = part.LinesTotal
		}
		check.LinesTotal -= part.LinesTotal
		check.BroughtForward -= part.BroughtForward
		check.CarriedForward -= part.CarriedForward
		out = append(out, part)
	}
	if check.LinesTotal != 0 || check.BroughtForward != 0 || check.CarriedForward != 0 {
		return nil, fault.Bug("payee %s: its PCNs' parts leave %d of the lines, %d of what is taken off and %d of what is carried",
			total.PayeeCode, check.LinesTotal, check.BroughtForward, check.CarriedForward)
	}
	return out, nil
}

// takenFrom divides what is taken off a payee over the PCNs it was overpaid for.
func takenFrom(taken money.Pence, owed map[string]money.Pence) (map[string]money.Pence, error) {
	codes := slices.Sorted(maps.Keys(owed))
	weights := make([]*big.Rat, len(codes))
	var outstanding money.Pence
	for i, code := range codes {
		outstanding += owed[code]
		weights[i] = new(big.Rat).SetInt64(max(0, int64(owed[code])))
	}
	switch {
	case taken > outstanding:
		return nil, fault.Bug("take %d off PCNs that owe %d", taken, outstanding)
	case taken == outstanding:
		return owed, nil
	}
	parts, err := money.Allocate(taken, weights)
	if err != nil {
		return nil, err
	}
	out := make(map[string]money.Pence, len(codes))
	for i, part := range parts {
		if part != 0 {
			out[codes[i]] = part
		}
	}
	return out, nil
}
