package files

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// mostPatients bounds a population of a practice or PCN.
var mostPatients = big.NewRat(maxPCNPatients, 1)

// PopulationValue checks one population given by a call and writes it as it is stored: whole patients, or an exact decimal for
// weighted ones.
func PopulationValue(kind rules.PopulationKind, text string) (string, error) {
	number, err := money.ParseDecimal(text)
	if err != nil {
		return "", fault.New(fault.Invalid, rules.ReasonNumberMalformed, "value %q is not a number in plain digits", money.Clip(text)).
			At("value", "plain digits with at most one point")
	}
	whole := kind != rules.Weighted
	if number.Sign() < 0 || (whole && !number.IsInt()) || number.Cmp(mostPatients) > 0 {
		return "", fault.New(fault.Invalid, rules.ReasonNumberOutOfRange, "value %s is not a possible %s population", money.Clip(text), kind).
			At("value", "whole patients, or a decimal for weighted, from 0 to 5,000,000")
	}
	return money.Format(number), nil
}
