package rules

import (
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Codes of the roles that a rule names. The codes are this suite's own; no national list of codes was found.
const (
	ClinicalPharmacist = "CP"
	LinkWorker         = "SPLW"
	MentalHealth       = "MHP"
	GP                 = "GP"
	OtherDirectCare    = "OTHER_DPC"
	OtherAgreed        = "OTHER_AGREED"
)

// Measure is what a role's working time is counted in.
type Measure int

// The measures.
const (
	HoursPerWeek Measure = iota + 1
	SessionsPerWeek
)

// String returns the measure as tables write it.
func (m Measure) String() string {
	switch m {
	case HoursPerWeek:
		return "hours"
	case SessionsPerWeek:
		return "sessions"
	default:
		return ""
	}
}

// ParseMeasure reads what String writes.
func ParseMeasure(text string) (Measure, error) {
	for m := HoursPerWeek; m <= SessionsPerWeek; m++ {
		if m.String() == text {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%q is not a measure: hours or sessions", text)
}

// Role is one kind of post on the national list.
type Role struct {
	Figure
	Code, Name string
	// From and To are the days between which the role is reimbursable; To is zero while it is.
	From, To period.Date
	// EarlyFrom is the day of hire from which a commissioner may agree to pay out of what is unspent of 2019/20: a role of that
	// year without the network's share, another before From. It is zero where it may not.
	EarlyFrom period.Date
	Measure   Measure
	// FullTime is the hours or sessions a week of one WTE.
	FullTime *big.Rat
	// Baseline tells whether the staff of 31 March 2019 are set against the role.
	Baseline bool
	// NeedsAgreement tells whether each post needs the commissioner's agreement.
	NeedsAgreement bool
}

// WTE is a week's hours or sessions as an exact part of full time: 22.5 hours of 37.5 are 0.6, six sessions of nine are 2/3.
func (r *Role) WTE(perWeek *big.Rat) *big.Rat { return new(big.Rat).Quo(perWeek, r.FullTime) }

// Training is time in training that is reimbursable for a role.
type Training struct {
	Figure
	Months
	Code string
	Role string
}

// Parameter is a figure of the scheme that is not a price, such as the supplier's fee of link workers or a limit of the form.
type Parameter struct {
	Figure
	Months
	Name string
	// Role limits the figure to a role; empty for all the others.
	Role  string
	Value *big.Rat // nil while unknown
	Unit  string
}

// Names of parameters.
const (
	SupplierFee         = "SUPPLIER_FEE"
	FormSalary          = "FORM_SALARY"
	FormEmployerNI      = "FORM_EMPLOYER_NI"
	FormEmployerPension = "FORM_EMPLOYER_PENSION"
	FormFees            = "FORM_FEES"
	FormHoursLeast      = "FORM_HOURS_LEAST"
	FormHoursMost       = "FORM_HOURS_MOST"
	FormMonthsBack      = "FORM_MONTHS_BACK"
	FormMonthsAhead     = "FORM_MONTHS_AHEAD"
)

// ParameterFor returns the parameter that governs a month, of the role before that of all roles; nil where there is none.
func ParameterFor(parameters []Parameter, name, role, commissioner string, month period.Month, known period.Date) *Parameter {
	figure := func(p *Parameter) *Figure { return &p.Figure }
	for _, of := range []string{role, ""} {
		found := governing(parameters, figure, commissioner, known, func(p *Parameter) bool {
			return p.Name == name && p.Role == of && p.Covers(month)
		})
		if found != nil {
			return found
		}
	}
	return nil
}
