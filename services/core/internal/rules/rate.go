package rules

import (
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Unit is what a rate is paid per. The values equal those of pcnfunding.core.v1.Unit.
type Unit int

// The units. The three populations are never exchanged: a rate goes with its own.
const (
	RegisteredPatient Unit = iota + 1
	WeightedPatient
	AdjustedPatient
	CareHomeBed
)

// Singular returns the unit as it is written in tables and in the units of a working, such as registered_patient.
func (u Unit) Singular() string {
	switch u {
	case RegisteredPatient:
		return "registered_patient"
	case WeightedPatient:
		return "weighted_patient"
	case AdjustedPatient:
		return "adjusted_patient"
	case CareHomeBed:
		return "care_home_bed"
	default:
		return "unit"
	}
}

// Plural returns what a quantity of the unit counts: patients or beds.
func (u Unit) Plural() string {
	if u == CareHomeBed {
		return beds
	}
	return patients
}

// Adjective returns which population the unit belongs to, such as registered.
func (u Unit) Adjective() string {
	switch u {
	case RegisteredPatient:
		return "registered"
	case WeightedPatient:
		return "weighted"
	case AdjustedPatient:
		return "adjusted"
	case CareHomeBed:
		return "care home bed"
	default:
		return ""
	}
}

// String is Singular.
func (u Unit) String() string { return u.Singular() }

// ParseUnit reads what Singular writes.
func ParseUnit(text string) (Unit, error) {
	for u := RegisteredPatient; u <= CareHomeBed; u++ {
		if u.Singular() == text {
			return u, nil
		}
	}
	return 0, fmt.Errorf("%q is not a unit: registered_patient, weighted_patient, adjusted_patient or care_home_bed", text)
}

const (
	patients = "patients"
	beds     = "beds"
)

// Timing is when a rate's period value is paid. The values equal those of pcnfunding.core.v1.Timing.
type Timing int

// The timings.
const (
	// Monthly pays in equal instalments, one for each month of the period.
	Monthly Timing = iota + 1
	// OnDeclaration pays once, on a declaration that is accepted.
	OnDeclaration
)

// String returns the timing as tables write it.
func (t Timing) String() string {
	switch t {
	case Monthly:
		return "monthly"
	case OnDeclaration:
		return "on_declaration"
	default:
		return ""
	}
}

// ParseTiming reads what String writes.
func ParseTiming(text string) (Timing, error) {
	for t := Monthly; t <= OnDeclaration; t++ {
		if t.String() == text {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is not a timing: monthly or on_declaration", text)
}

// Convention is how a period's rate becomes monthly pence. The Network Contract DES as far as it was seen does not say;
// published totals show each of the first three. The values equal those of pcnfunding.core.v1.Convention, and the zero value
// means PCNAnnual.
type Convention int

// The conventions.
const (
	// PCNAnnual pays the period's rate × the network's population ÷ months, rounded half up each month, without true-up.
	PCNAnnual Convention = iota + 1
	// PCNMonthlyRate pays the published monthly rate × the network's population, rounded half up each month.
	PCNMonthlyRate
	// PracticeSum rounds as PCNAnnual does, but practice by practice, and adds.
	PracticeSum
	// ResidualLast pays as PCNAnnual does, but the last instalment is what remains of the period's amount rounded once.
	ResidualLast
)

// String returns the convention as settings and requests write it.
func (c Convention) String() string {
	switch c {
	case PCNMonthlyRate:
		return "PCN_MONTHLY_RATE"
	case PracticeSum:
		return "PRACTICE_SUM"
	case ResidualLast:
		return "RESIDUAL_LAST"
	case PCNAnnual:
		return "PCN_ANNUAL"
	default:
		return ""
	}
}

// ParseConvention reads what String writes.
func ParseConvention(text string) (Convention, error) {
	for c := PCNAnnual; c <= ResidualLast; c++ {
		if c.String() == text {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%q is not a convention: PCN_ANNUAL, PCN_MONTHLY_RATE, PRACTICE_SUM or RESIDUAL_LAST", text)
}

// Rate is one version of one figure: the pounds paid per unit for the whole of a period of whole months.
type Rate struct {
	ID          string
	PaymentCode string
	// Component tells apart the rates that are added up in one payment, such as REGISTERED and ADJUSTED of core PCN
	// funding from April 2024; empty for a payment with one rate.
	Component string
	Name      string
	// From and To are the first and the last month of the period.
	From, To period.Month
	// RateGBP is pounds per unit for the whole period; nil while unknown.
	RateGBP *big.Rat
	// MonthlyRateGBP is the published figure in pounds per unit and month; nil where none is published.
	MonthlyRateGBP *big.Rat
	Unit           Unit
	Timing         Timing
	// FirstPaidMonth is the month in which the payment is first made, with the instalments of the months before; the zero
	// value means that each is paid in its own month.
	FirstPaidMonth period.Month
	// PopulationDate is the reference date of the population; the zero value means that beds are counted month by month.
	PopulationDate period.Date
	PaidToPractice bool
	FundingSource  string
	Source         string
	Version        string
	Confidence     working.Confidence
	// KnownFrom is the day from which the figure was known in the world, and KnownFromBasis says how that is known.
	KnownFrom        period.Date
	KnownFromBasis   string
	Note             string
	CommissionerCode string
}

// Months returns the number of months in the period, which is the number of instalments of a monthly payment.
func (r Rate) Months() int { return r.To.Sub(r.From) + 1 }

// The ways in which the day is known from which a figure was known.
const (
	// KnownByPublication means that the figure was published on the day.
	KnownByPublication = "publication"
	// KnownByEffectiveDate means that the day of publication is not known, and the first day of the period stands for it.
	KnownByEffectiveDate = "effective_date"
	// KnownByEntry means that a person entered the figure on the day.
	KnownByEntry = "entry"
)
