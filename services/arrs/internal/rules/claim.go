package rules

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// ClaimLine claims one month, or some days of it, of one engagement. Its amounts are one person's pay: they never go into an
// error.
type ClaimLine struct {
	ID           string
	EngagementID string
	// Person is a keyed pseudonym; lines of one person share it.
	Person string
	Role   string
	Band   string // of mental health practitioners and of roles agreed locally
	Post   Post   // of mental health practitioners
	// Region is that of the place of work where the commissioner goes by it; 0 takes the network's.
	Region Region
	Month  period.Month
	// Start is the first day of the engagement and End its last; End is zero while it lasts.
	Start, End period.Date
	// From and To are the first and the last day that the line claims within the month; zero where it claims all days of the
	// engagement in it.
	From, To period.Date
	// PerWeek is the hours, or for GPs the sessions, worked in a week.
	PerWeek *big.Rat
	// Salary, EmployerNI and EmployerPension are what was paid for the month, and Fees what the supplier of a link worker
	// charged besides.
	Salary, EmployerNI, EmployerPension, Fees money.Pence
	// Training names time in training that the line claims for, and TrainingShare the part of the cost that it is, from 0 to 1.
	Training      string
	TrainingShare *big.Rat
	Facts         Facts
	// Standing is what was approved before, out of StandingPot, of what a correction replaces. The year's sum takes none of it, though it
	// was lowered since.
	Standing    money.Pence
	StandingPot Pot
	// Known is the day whose knowledge of figures decides the line: that of its submission, or of a later decision to assess it
	// anew. No day takes the context's.
	Known period.Date
	// PriceKnown is the day whose knowledge of prices decides, where it is not that of the other figures.
	PriceKnown period.Date
}

// Cost is everything that the line claims.
func (l *ClaimLine) Cost() (money.Pence, error) {
	return money.Sum(l.Salary, l.EmployerNI, l.EmployerPension, l.Fees)
}

// days returns the first and the last day that the line is for, and false where the engagement has none of them.
func (l *ClaimLine) days() (from, to period.Date, some bool) {
	from, to = l.Month.First(), l.Month.Last()
	for _, day := range []period.Date{l.Start, l.From} {
		if !day.IsZero() && day.After(from) {
			from = day
		}
	}
	for _, day := range []period.Date{l.End, l.To} {
		if !day.IsZero() && day.Before(to) {
			to = day
		}
	}
	return from, to, !to.Before(from)
}

// check holds what Assess relies on: names, a month of the year, amounts of at least nothing, a working time.
func (l *ClaimLine) check(year period.FinancialYear) error {
	bad := func(field, reason string) error {
		return fault.New(fault.Invalid, reason, "line %s cannot be assessed for its %s", money.Clip(l.ID), field).
			With("line", money.Clip(l.ID)).At(field, "it is missing, or not one that can be assessed")
	}
	switch {
	case l.ID == "":
		return bad("id", ReasonValueRequired)
	case l.EngagementID == "":
		return bad("engagement_id", ReasonValueRequired)
	case l.Person == "":
		return bad("person", ReasonValueRequired)
	case l.Month.IsZero() || l.Month.FinancialYear() != year:
		return bad("month", ReasonLineOfOtherYear)
	case l.Start.IsZero():
		return bad("start_date", ReasonValueRequired)
	case l.PerWeek == nil || l.PerWeek.Sign() <= 0:
		return bad("per_week", ReasonValueOutOfRange)
	case l.TrainingShare != nil && (l.TrainingShare.Sign() < 0 || l.TrainingShare.Cmp(one()) > 0):
		return bad("training_share", ReasonValueOutOfRange)
	}
	for field, amount := range l.amounts() {
		if amount < 0 {
			return bad(field, ReasonAmountNegative)
		}
	}
	return nil
}

func (l *ClaimLine) amounts() map[string]money.Pence {
	return map[string]money.Pence{
		"monthly_salary": l.Salary, "monthly_employer_ni": l.EmployerNI,
		"monthly_employer_pension": l.EmployerPension, "monthly_fees": l.Fees,
	}
}

// ClaimHead is a claim without its lines, as the form takes it.
type ClaimHead struct {
	Month            period.Month
	ListSize         string // registered or weighted patients, in digits
	PCNCode          string
	PayeeCode        string
	CommissionerCode string
	SubmittedBy      string
	Declared         bool
	// PastMonths lets months through that are longer past than the form lists: the commissioner enters the claim, or the month was
	// let through when the claim was put forward first.
	PastMonths bool
}

// FormLine is a line as the form takes it: texts, so that each bad one can be named.
type FormLine struct {
	ID              string
	Role            string
	Band            string
	Post            string
	StartDate       string
	LeftDate        string // empty while the engagement lasts
	HoursPerWeek    string // empty for GPs
	SessionsPerWeek string // of GPs only
	MonthlySalary   string
	MonthlyNI       string
	MonthlyPension  string
	MonthlyFees     string // empty is nothing
	// OnPathway and ReasonNotOnPathway answer whether training requirements are met and, if not, why.
	OnPathway          Answer
	ReasonNotOnPathway string
}

// Scheme is the tables of the fund, as known.
type Scheme struct {
	Roles       []Role
	Prices      Prices
	SumRates    []SumRate
	Limits      []Limit
	Eligibility []Eligibility
	Training    []Training
	Transfers   []Transfer
	Parameters  []Parameter
	Planning    []PlanningYear
	CostModel   CostModel
}

// Role finds a role by its code.
func (s *Scheme) Role(code string) (*Role, bool) {
	for i := range s.Roles {
		if s.Roles[i].Code == code {
			return &s.Roles[i], true
		}
	}
	return nil, false
}

// ValidateHead checks a claim against the form: the month lies within the months back and ahead of today that the form lists
// (6 and 23), codes and the submitter are given, the list is a number, and the declaration is made. Today is the day of the
// submission. It returns every bad field.
func ValidateHead(scheme *Scheme, head ClaimHead, today period.Date) []fault.Violation {
	v := violations{}
	v.month(scheme, head.Month, today, head.PastMonths)
	for _, field := range []struct{ name, value string }{
		{"pcn_code", head.PCNCode},
		{"payee_code", head.PayeeCode},
		{"commissioner_code", head.CommissionerCode},
		{"submitted_by", head.SubmittedBy},
	} {
		if strings.TrimSpace(field.value) == "" {
			v.add(field.name, ReasonValueRequired, "it is empty")
		}
	}
	if _, err := money.ParseWhole(head.ListSize); err != nil {
		v.add("list_size", ReasonDecimalMalformed, err.Error())
	}
	if !head.Declared {
		v.add("declaration", ReasonNotDeclared, "the declaration has to be confirmed before a claim is submitted")
	}
	return v.found
}

type violations struct{ found []fault.Violation }

func (v *violations) add(field, reason, description string) {
	v.found = append(v.found, fault.Violation{Field: field, Reason: reason, Description: description})
}

func (v *violations) month(scheme *Scheme, month period.Month, today period.Date, past bool) {
	if month.IsZero() {
		v.add("claim_month", ReasonValueRequired, "it is empty")
		return
	}
	current := today.Month()
	back := ParameterFor(scheme.Parameters, FormMonthsBack, "", England, current, today)
	ahead := ParameterFor(scheme.Parameters, FormMonthsAhead, "", England, current, today)
	distance := whole(month.Sub(current))
	if !past && back != nil && back.Value != nil && new(big.Rat).Neg(back.Value).Cmp(distance) > 0 {
		v.add("claim_month", ReasonMonthOutOfRange, fmt.Sprintf("%s is more than %s months before %s: the commissioner can enter it", month, money.Format(back.Value), current))
	}
	if ahead != nil && ahead.Value != nil && distance.Cmp(ahead.Value) > 0 {
		v.add("claim_month", ReasonMonthOutOfRange, fmt.Sprintf("%s is more than %s months after %s", month, money.Format(ahead.Value), current))
	}
}

// ValidateLine checks one line against the form (the fields and bounds of the national portal) and returns every bad field
// with its reason, the bound and, except for pay, the value. A bound that is not known is not checked. A line without a
// violation is returned read, without identifiers, facts or day of knowledge. (Example ARRS-S32.)
func ValidateLine(scheme *Scheme, form FormLine, month period.Month, commissioner string) (*ClaimLine, []fault.Violation) {
	f := formReading{scheme: scheme, form: &form, month: month, commissioner: commissioner, line: &ClaimLine{ID: form.ID, Month: month}}
	f.role()
	f.dates()
	f.workingTime()
	f.pay("monthly_salary", FormSalary, form.MonthlySalary, &f.line.Salary)
	f.pay("monthly_employer_ni", FormEmployerNI, form.MonthlyNI, &f.line.EmployerNI)
	f.pay("monthly_employer_pension", FormEmployerPension, form.MonthlyPension, &f.line.EmployerPension)
	if form.MonthlyFees != "" {
		f.pay("monthly_fees", FormFees, form.MonthlyFees, &f.line.Fees)
	}
	f.pathway()
	if len(f.found) > 0 {
		return nil, f.found
	}
	return f.line, nil
}

type formReading struct {
	violations
	scheme       *Scheme
	form         *FormLine
	month        period.Month
	commissioner string
	line         *ClaimLine
	kind         *Role
}

func (f *formReading) role() {
	role, known := f.scheme.Role(f.form.Role)
	if !known {
		f.add("role", ReasonRoleUnknown, fmt.Sprintf("%q is not a role", money.Clip(f.form.Role)))
		return
	}
	f.kind, f.line.Role, f.line.Band, f.line.Post = role, role.Code, f.form.Band, Post(f.form.Post)
	if (role.Code == MentalHealth || role.NeedsAgreement) && f.form.Band == "" {
		f.add("band", ReasonValueRequired, "the role has several bands")
	}
	ofPosts := f.line.Post == FirstPost || f.line.Post == LaterPost
	if role.Code == MentalHealth && !ofPosts {
		f.add("post", ReasonValueRequired, "it is first or later")
	}
	if role.Code != MentalHealth && f.line.Post != OnlyPost {
		f.add("post", ReasonValueOutOfRange, "it is for mental health practitioners only")
	}
}

func (f *formReading) dates() {
	read := func(field, text string) period.Date {
		day, err := period.ParseDate(text)
		if err != nil {
			f.add(field, ReasonValueOutOfRange, fmt.Sprintf("%q is not a day written YYYY-MM-DD", money.Clip(text)))
		}
		return day
	}
	if f.form.StartDate == "" {
		f.add("start_date", ReasonValueRequired, "it is empty")
	} else {
		f.line.Start = read("start_date", f.form.StartDate)
	}
	if f.line.Start.After(f.month.Last()) {
		f.add("start_date", ReasonDatesOutOfOrder, fmt.Sprintf("%s is after %s", f.line.Start, f.month))
	}
	if f.form.LeftDate == "" {
		return
	}
	f.line.End = read("left_date", f.form.LeftDate)
	if !f.line.End.IsZero() && f.line.End.Before(f.line.Start) {
		f.add("left_date", ReasonDatesOutOfOrder, fmt.Sprintf("%s is before the start", f.line.End))
	}
	if !f.line.End.IsZero() && f.line.End.Before(f.month.First()) {
		f.add("left_date", ReasonDatesOutOfOrder, fmt.Sprintf("%s is before %s", f.line.End, f.month))
	}
}

func (f *formReading) workingTime() {
	field, text := "hours_worked_per_week", f.form.HoursPerWeek
	sessions := f.kind != nil && f.kind.Measure == SessionsPerWeek
	if sessions {
		field, text = "sessions_worked_per_week", f.form.SessionsPerWeek
	}
	switch {
	case sessions && f.form.HoursPerWeek != "":
		f.add("hours_worked_per_week", ReasonMeasureMismatch, "a GP's working time is stated in sessions")
	case f.kind != nil && !sessions && f.form.SessionsPerWeek != "":
		f.add("sessions_worked_per_week", ReasonMeasureMismatch, "the role's working time is stated in hours")
	}
	if text == "" {
		f.add(field, ReasonValueRequired, "it is empty")
		return
	}
	value, err := money.ParseDecimal(text)
	if err != nil {
		f.add(field, ReasonDecimalMalformed, err.Error())
		return
	}
	f.line.PerWeek = value
	if sessions {
		if value.Sign() <= 0 {
			f.add(field, ReasonValueOutOfRange, "it is not more than 0")
		}
		return
	}
	fewest, most := f.bound(FormHoursLeast), f.bound(FormHoursMost)
	if fewest != nil && value.Cmp(fewest) < 0 || most != nil && value.Cmp(most) > 0 || value.Sign() <= 0 {
		// The number is not repeated: in a file whose columns have shifted it is pay.
		f.add(field, ReasonValueOutOfRange, fmt.Sprintf("it is not from %s to %s", boundText(fewest), boundText(most)))
	}
}

func boundText(bound *big.Rat) string {
	if bound == nil {
		return "any number"
	}
	return money.Format(bound)
}

func (f *formReading) bound(name string) *big.Rat {
	parameter := ParameterFor(f.scheme.Parameters, name, f.form.Role, f.commissioner, f.month, period.Date{})
	if parameter == nil || !parameter.Confidence.Payable() {
		return nil
	}
	return parameter.Value
}

// pay reads an amount. Neither a bad text nor a bad amount is repeated, because it is one person's pay.
func (f *formReading) pay(field, bound, text string, into *money.Pence) {
	if text == "" {
		f.add(field, ReasonValueRequired, "it is empty")
		return
	}
	amount, err := money.ParsePence(text)
	if err != nil {
		f.add(field, ReasonDecimalMalformed, "it is not pounds in plain digits with at most two decimals")
		return
	}
	*into = amount
	most := f.bound(bound)
	if amount < 0 || most != nil && amount.GBP().Cmp(most) > 0 {
		f.add(field, ReasonValueOutOfRange, fmt.Sprintf("it is not from £0 to £%s", boundText(most)))
	}
}

func (f *formReading) pathway() {
	f.line.Facts.OnPathway = f.form.OnPathway
	f.line.Facts.ReasonNotOnPathway = strings.TrimSpace(f.form.ReasonNotOnPathway) != ""
	if f.form.Role != ClinicalPharmacist {
		return
	}
	if f.form.OnPathway == Unstated {
		f.add("meets_training_requirements", ReasonValueRequired, "it is asked of clinical pharmacists")
	}
	if f.form.OnPathway == No && !f.line.Facts.ReasonNotOnPathway {
		f.add("training_requirements_reason", ReasonValueRequired, "reasons are needed where the requirements are not met")
	}
}
