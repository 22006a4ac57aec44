package arrs

import (
	"cmp"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// entered is a claim that passed the form.
type entered struct {
	kind  store.ClaimKind
	month period.Month
	notes string
	lines []enteredLine
	// approved is what the lines of an uplift raise, or those of a correction replace.
	approved approvedMonths
}

// enteredLine is a line of it, with the engagement it is of.
type enteredLine struct {
	entry      *arrsv1.LineEntry
	engagement *store.EngagementRow
	terms      *arrsv1.EngagementTerms // that it was read by, with the working time claimed
	month      period.Month            // whose cost it is
	left       string                  // last day of the person's work, if it says so
	line       rules.ClaimLine
}

func (l *enteredLine) of() store.EngagementMonth {
	return store.EngagementMonth{EngagementID: l.engagement.ID, Month: l.month}
}

// badField is a field that the form does not take. Line counts from 0, and is -1 for a field of the claim itself.
type badField struct {
	line                       int
	field, reason, description string
}

// form is what a claim is read against.
type form struct {
	scheme      *rules.Scheme
	year        store.YearRow
	engagements []store.EngagementRow // of the PCN
	today       period.Date
	by          string
	// approved is what uplifts and corrections can be of.
	approved approvedMonths
	// undeclared lets a claim through that is only checked, and pastMonths one for a month that was let through before, or that the
	// commissioner enters.
	undeclared, pastMonths bool
}

// read checks a claim whole and returns every bad field of it.
func (f *form) read(in *arrsv1.ClaimEntry, month period.Month) (*entered, []badField) {
	out := &entered{kind: kindOf(in), month: month, notes: strings.TrimSpace(in.GetNotes()), approved: f.approved}
	var bad []badField
	head := rules.ClaimHead{
		// The payee is the register's to name when the month is closed; until then the PCN stands for it.
		Month: month, ListSize: strconv.FormatInt(f.year.RegisteredPatients, 10), PCNCode: in.GetPcnCode(), PayeeCode: in.GetPcnCode(),
		CommissionerCode: in.GetCommissionerCode(), SubmittedBy: f.by, Declared: in.GetDeclared() || f.undeclared, PastMonths: f.pastMonths,
	}
	for _, v := range rules.ValidateHead(f.scheme, head, f.today) {
		bad = append(bad, badField{-1, formField(v.Field), v.Reason, v.Description})
	}
	for i, entry := range in.GetLines() {
		line, wrong := f.line(out.kind, month, entry)
		for _, b := range wrong {
			b.line = i
			bad = append(bad, b)
		}
		out.lines = append(out.lines, line)
	}
	return out, bad
}

func kindOf(in *arrsv1.ClaimEntry) store.ClaimKind {
	if in.GetKind() == arrsv1.ClaimKind_CLAIM_KIND_UNSPECIFIED {
		return store.Monthly
	}
	return store.ClaimKind(in.GetKind())
}

// formFields are the fields of the national form under the names of the contract.
var formFields = map[string]string{
	"claim_month": "month", "declaration": "declared", "hours_worked_per_week": "per_week", "sessions_worked_per_week": "per_week",
	"monthly_salary": "salary_pence", "monthly_employer_ni": "employer_ni_pence", "monthly_employer_pension": "employer_pension_pence",
	"monthly_fees": "fees_pence",
}

func formField(name string) string { return cmp.Or(formFields[name], name) }

// termsFields are those that stand in the engagement, where they are mended.
var termsFields = map[string]string{
	"role": "role_code", "band": "band", "post": "post", "start_date": "start_date", "meets_training_requirements": "facts.on_pathway",
	"training_requirements_reason": "facts.reason_not_on_pathway",
}

func (f *form) line(kind store.ClaimKind, month period.Month, entry *arrsv1.LineEntry) (enteredLine, []badField) {
	out := enteredLine{entry: proto.CloneOf(entry), month: month}
	var bad []badField
	add := func(field, reason, description string) { bad = append(bad, badField{0, field, reason, description}) }
	out.engagement = f.engagement(entry)
	if out.engagement == nil {
		field, named := "label", entry.GetLabel()
		if entry.GetEngagementId() != "" {
			field, named = "engagement_id", entry.GetEngagementId()
		}
		add(field, reasonEngagementNotFound, fmt.Sprintf("%s has no engagement %s: record it first", f.year.PCNCode, quoted(named)))
		return out, bad
	}
	out.entry.EngagementId, out.entry.Label = out.engagement.ID, out.engagement.Label
	if entry.GetStayed() && (kind != store.Correction || entry.GetLeftDate() != "") {
		add("stayed", rules.ReasonValueOutOfRange, "it is for corrections, and in the place of left_date")
	}
	if why := out.setMonth(kind, month); why != "" {
		add("uplift_month", reasonUpliftMonthInvalid, why)
		return out, bad
	}
	terms, left, person := out.engagement.Terms, out.entry.GetLeftDate(), out.engagement.Person()
	perWeek := cmp.Or(out.entry.GetPerWeek(), terms.GetPerWeek())
	if was := f.approved[out.of()]; was != nil {
		// An uplift is of what was claimed, whatever the engagement says now. A correction goes by the engagement as it is stated now, but
		// takes no other hours or days than were claimed unless it says so.
		perWeek = cmp.Or(out.entry.GetPerWeek(), was.time.Terms.GetPerWeek())
		if !out.entry.GetStayed() {
			left = cmp.Or(left, was.time.Left)
		}
		if kind == store.Uplift {
			terms, person = was.time.Terms, was.time.Person
		}
	}
	out.terms = proto.CloneOf(terms)
	out.terms.PerWeek = perWeek
	text := formOf(out.entry, out.terms)
	text.LeftDate = left
	if role, known := f.scheme.Role(terms.GetRoleCode()); known && role.Measure == rules.SessionsPerWeek {
		text.HoursPerWeek, text.SessionsPerWeek = "", text.HoursPerWeek
	}
	line, violations := rules.ValidateLine(f.scheme, text, out.month, f.year.CommissionerCode)
	for _, v := range violations {
		if inTerms, found := termsFields[v.Field]; found {
			add("label", v.Reason, fmt.Sprintf("%s of engagement %s: %s; change the engagement", inTerms, out.engagement.Label, v.Description))
			continue
		}
		add(formField(v.Field), v.Reason, v.Description)
	}
	if line == nil {
		return out, bad
	}
	out.line = *line
	out.line.EngagementID, out.line.Person = out.engagement.ID, person
	if kind != store.Uplift {
		out.left = left
	}
	// Who left in an earlier month, as a claim of it says, has no day in this one.
	if end := out.engagement.End; !end.IsZero() && end.Before(out.month.First()) {
		out.line.End = end
	}
	// The end was read when the engagement was stated.
	if end, err := period.ParseDate(terms.GetEndDate()); err == nil && (out.line.End.IsZero() || end.Before(out.line.End)) {
		out.line.End = end
	}
	stateFacts(&out.line, terms.GetFacts())
	return out, bad
}

// engagement finds whose cost a line claims.
func (f *form) engagement(entry *arrsv1.LineEntry) *store.EngagementRow {
	label := strings.TrimSpace(entry.GetLabel())
	for i := range f.engagements {
		e := &f.engagements[i]
		if id := entry.GetEngagementId(); (id != "" && e.ID == id) || (id == "" && label != "" && e.Label == label) {
			return e
		}
	}
	return nil
}

// setMonth reads the month that an uplift is of, and tells why it cannot be.
func (l *enteredLine) setMonth(kind store.ClaimKind, month period.Month) string {
	text := l.entry.GetUpliftMonth()
	switch {
	case kind != store.Uplift && (text != "" || l.entry.GetPassedOn()):
		return "it is for claims of kind UPLIFT"
	case kind != store.Uplift:
		return ""
	case text == "":
		return "a claim of kind UPLIFT names the month whose cost the uplift raised"
	}
	of, err := period.ParseMonth(text)
	switch {
	case err != nil:
		return err.Error()
	case of.After(month):
		return fmt.Sprintf("%s comes after the month of the claim", of)
	case of.FinancialYear() != month.FinancialYear():
		return fmt.Sprintf("%s is not of %s: claim it under a month of its own year", of, month.FinancialYear())
	}
	l.month = of
	return ""
}

// formOf writes a line as the form takes it, but for the day that the person left.
func formOf(entry *arrsv1.LineEntry, terms *arrsv1.EngagementTerms) rules.FormLine {
	return rules.FormLine{
		Role: terms.GetRoleCode(), Band: terms.GetBand(), Post: terms.GetPost(), StartDate: terms.GetStartDate(),
		HoursPerWeek:  terms.GetPerWeek(),
		MonthlySalary: money.Pence(entry.GetSalaryPence()).Plain(), MonthlyNI: money.Pence(entry.GetEmployerNiPence()).Plain(),
		MonthlyPension: money.Pence(entry.GetEmployerPensionPence()).Plain(), MonthlyFees: money.Pence(entry.GetFeesPence()).Plain(),
		OnPathway: answerOf(terms.GetFacts().GetOnPathway()), ReasonNotOnPathway: terms.GetFacts().GetReasonNotOnPathway(),
	}
}

// stateFacts adds to a line what its engagement says of the person. Days were read when the engagement was stated.
func stateFacts(line *rules.ClaimLine, in *arrsv1.EngagementFacts) {
	line.Facts = factsOf(in, func(_, text string) period.Date {
		day, err := period.ParseDate(text)
		if err != nil {
			return period.Date{}
		}
		return day
	})
	if line.Training = in.GetTraining(); line.Training == "" {
		return
	}
	line.TrainingShare = big.NewRat(1, 1)
	if share, err := money.ParseDecimal(in.GetTrainingShare()); err == nil {
		line.TrainingShare = share
	}
}

// factsOf reads what is said of a person, with the days as day reads them.
func factsOf(in *arrsv1.EngagementFacts, day func(field, text string) period.Date) rules.Facts {
	return rules.Facts{
		TrainedOn: day("trained_on", in.GetTrainedOn()), SubstantiveGPBefore: answerOf(in.GetSubstantiveGpBefore()), Temporary: answerOf(in.GetTemporary()),
		SalariedElsewhere: answerOf(in.GetSalariedElsewhere()), ModelTerms: answerOf(in.GetModelTerms()), HeldPost: answerOf(in.GetHeldPost()),
		LastPostEnded: day("last_post_ended", in.GetLastPostEnded()), MoreSenior: answerOf(in.GetMoreSenior()), OnPathway: answerOf(in.GetOnPathway()),
		ReasonNotOnPathway: strings.TrimSpace(in.GetReasonNotOnPathway()) != "", Level7: answerOf(in.GetLevel_7()), Rotational: answerOf(in.GetRotational()),
		Nurse: answerOf(in.GetNurse()), InBaseline: answerOf(in.GetInBaseline()), TransferScheme: in.GetTransferScheme(),
		TransferredOn: day("transferred_on", in.GetTransferredOn()),
	}
}

func answerOf(in arrsv1.Answer) rules.Answer {
	switch in {
	case arrsv1.Answer_YES:
		return rules.Yes
	case arrsv1.Answer_NO:
		return rules.No
	default:
		return rules.Unstated
	}
}

// formError is the refusal of a claim, with the fields that are wrong as a file names them by its own rows.
type formError struct {
	*fault.Fault
	bad []badField
}

// Unwrap returns the refusal as others read it.
func (r formError) Unwrap() error { return r.Fault }

// refuseForm names every bad field of a claim. No description repeats pay.
func refuseForm(bad []badField) error {
	if len(bad) == 0 {
		return nil
	}
	refused := fault.New(fault.Invalid, reasonClaimInvalid, "%d fields of the claim are wrong; nothing of it was taken in", len(bad)).With("bad_fields", len(bad))
	for _, b := range bad {
		field := "claim." + b.field
		if b.line >= 0 {
			field = fmt.Sprintf("claim.lines[%d].%s", b.line, b.field)
		}
		refused.Violations = append(refused.Violations, fault.Violation{Field: field, Reason: b.reason, Description: b.description})
	}
	return formError{refused, bad}
}
