package rules

import (
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Band is one band of age and sex.
type Band struct {
	Name string
	// Admissions of the network's patients, Patients of the network and of England in the band.
	Admissions, Patients, England int64
	Origin                        working.Origin
}

// StandardisedCount is what direct standardisation gives.
type StandardisedCount struct {
	Rate *big.Rat
	// Numerator is the rate × the network's patients, to a whole number, and Denominator those patients.
	Numerator, Denominator int64
	// Working gives the numerator.
	Working *working.Working
}

// Standardise directly standardises admissions by age and sex (AC-02; official indicator code; example IIF-039): the rate of each
// band by England's share of it; the rate × the network's patients is rounded half up to a whole number. A band without patients
// has no rate: without admissions it adds nothing, with some it is refused.
func Standardise(bands []Band) (*StandardisedCount, error) {
	const clause = "AC-02: direct standardisation by age and sex"
	b := new(working.Builder)
	var england, patients int64
	terms, everyone, list := make([]working.Term, 0, len(bands)), make([]working.Term, 0, len(bands)), make([]working.Term, 0, len(bands))
	for _, band := range bands {
		if band.Admissions < 0 || band.Patients < 0 || band.England < 0 {
			return nil, fault.New(fault.Invalid, ReasonCountMalformed, "band %s has a negative count", money.Clip(band.Name))
		}
		england += band.England
		patients += band.Patients
		all := b.Input("England "+band.Name, whole(band.England), unitPatients, band.Origin)
		everyone = append(everyone, all)
		if band.Patients == 0 {
			if band.Admissions > 0 {
				return nil, fault.New(fault.Refused, ReasonBandWithoutPeople, "band %s has %d admissions and no patients", money.Clip(band.Name), band.Admissions)
			}
			continue
		}
		admissions := b.Input("admissions "+band.Name, whole(band.Admissions), "admissions", band.Origin)
		own := b.Input("patients "+band.Name, whole(band.Patients), unitPatients, band.Origin)
		list = append(list, own)
		expected := b.Step("admissions by England "+band.Name, working.Multiply, "admissions", clause, admissions, all)
		terms = append(terms, b.Step("expected "+band.Name, working.Divide, "admissions", clause, expected, own))
	}
	if england == 0 || patients == 0 {
		return nil, missing(ReasonCountMissing, "population by band of age and sex", "load the populations")
	}
	sum := b.Step("expected in England", working.Add, "admissions", clause, terms...)
	total := b.Step("England", working.Add, unitPatients, clause, everyone...)
	rate := b.Step("standardised rate", working.Divide, "", clause, sum, total)
	own := b.Step("patients", working.Add, unitPatients, clause, list...)
	exact := b.Step("standardised admissions", working.Multiply, "admissions", clause, rate, own)
	rounded := b.Round("standardised numerator", money.HalfUp, 0, "admissions", clause, exact)
	if !rounded.Value.Num().IsInt64() {
		return nil, fault.New(fault.Invalid, ReasonCountMalformed, "the standardised numerator is beyond a count")
	}
	return &StandardisedCount{Rate: rate.Value, Numerator: rounded.Value.Num().Int64(), Denominator: patients, Working: b.Done()}, nil
}
