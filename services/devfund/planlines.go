package devfund

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

// maxPlanViolations bounds the bad fields that a refusal shows.
const maxPlanViolations = 20

// planOf reads what a plan says of itself and buys, for PCNs that it covers. It refuses texts that are no dates, months or decimals, all of
// them together; whether the lines make sense is asked by rules.
func planOf(year period.FinancialYear, header *devfundv1.PlanHeader, lines []*devfundv1.PlanLine, pcns []string) (*rules.Plan, error) {
	r := planReader{at: "header"}
	out := &rules.Plan{
		Year: year, PCNs: pcns, LeadershipPercent: r.decimal("leadership_percent", header.GetLeadershipPercent()), LeadershipReason: header.GetLeadershipReason(),
		Lines: make([]rules.Line, len(lines)),
	}
	for i, line := range lines {
		r.at = fmt.Sprintf("lines[%d]", i)
		out.Lines[i] = r.line(line)
	}
	if r.wrong != nil {
		return nil, bounded(r.wrong)
	}
	return out, nil
}

// checkedPlan is planOf, with lines that make sense.
func checkedPlan(year period.FinancialYear, header *devfundv1.PlanHeader, lines []*devfundv1.PlanLine, pcns []string) (*rules.Plan, error) {
	out, err := planOf(year, header, lines, pcns)
	if err != nil {
		return nil, err
	}
	err = out.CheckLines()
	if wrong, ok := fault.As(err); ok {
		return nil, bounded(wrong)
	}
	return out, err
}

// bounded shows no more bad fields than an answer holds, and how many there are.
func bounded(wrong *fault.Fault) *fault.Fault {
	wrong = wrong.With("bad_fields", len(wrong.Violations))
	wrong.Violations = wrong.Violations[:min(len(wrong.Violations), maxPlanViolations)]
	return wrong
}

// planReader reads the texts of a plan and keeps what it cannot read.
type planReader struct {
	at    string
	wrong *fault.Fault
}

func (r *planReader) say(reason, field string, err error) {
	if r.wrong == nil {
		r.wrong = fault.New(fault.Invalid, reason, "the plan has fields that cannot be read")
	}
	r.wrong = r.wrong.At(r.at+"."+field, err.Error())
	r.wrong.Violations[len(r.wrong.Violations)-1].Reason = reason
}

// decimal reads an exact decimal; an empty one is nil.
func (r *planReader) decimal(field, text string) *big.Rat {
	if text == "" {
		return nil
	}
	value, err := money.ParseDecimal(text)
	if err != nil {
		r.say(reasonDecimalMalformed, field, err)
	}
	return value
}

func (r *planReader) date(field, text string) (day period.Date) {
	if text == "" {
		return day
	}
	day, err := period.ParseDate(text)
	if err != nil {
		r.say(reasonDateMalformed, field, err)
	}
	return day
}

func (r *planReader) month(field, text string) period.Month {
	month, err := period.ParseMonth(text)
	if err != nil {
		r.say(reasonMonthMalformed, field, err)
	}
	return month
}

func (r *planReader) line(l *devfundv1.PlanLine) rules.Line {
	out := rules.Line{
		ID: l.GetLineId(), Description: l.GetDescription(), Level: levelOf(l.GetLevel()), LevelReason: l.GetLevelReason(), Domain: named(l.GetDomain(), rules.Domain("")),
		Proposal: rules.Proposal{
			Category: l.GetCategory(), FreesTime: l.GetReleaseTime(), DevelopmentActivity: l.GetDevelopmentActivity(), ActivityOn: r.date("activity_date", l.GetActivityDate()),
		},
		Priorities: namedAll[rules.Priority](l.GetPriorities()), StaffGroups: namedAll[rules.StaffGroup](l.GetStaffGroups()),
		Alignments: namedAll[rules.Alignment](l.GetAlignments()), Payee: named(l.GetPayee(), rules.PayeeKind("")), SupplierCode: l.GetSupplierCode(),
		StartsOn: r.date("starts_on", l.GetStartsOn()), EndsOn: r.date("ends_on", l.GetEndsOn()), Amount: money.Pence(l.GetAmountPence()),
		Allocation: l.GetAllocationId(), WiderPartners: l.GetWiderPartners(),
		Beneficiaries: r.beneficiaries(l.GetBeneficiaries()), Instalments: r.instalments(l.GetTranches()),
	}
	return out
}

func (r *planReader) beneficiaries(of []*devfundv1.Beneficiary) []rules.Beneficiary {
	out := make([]rules.Beneficiary, len(of))
	for i, b := range of {
		out[i] = rules.Beneficiary{PCN: b.GetPcnCode(), Percent: r.decimal(fmt.Sprintf("beneficiaries[%d].share_percent", i), b.GetSharePercent())}
	}
	return out
}

func (r *planReader) instalments(of []*devfundv1.Tranche) []rules.Instalment {
	out := make([]rules.Instalment, len(of))
	for i, t := range of {
		at := fmt.Sprintf("tranches[%d].", i)
		out[i] = rules.Instalment{Month: r.month(at+"month", t.GetMonth()), Percent: r.decimal(at+"percent", t.GetPercent())}
	}
	return out
}

// enum is a value of the contract.
type enum interface {
	~int32
	String() string
}

// named reads a value of the contract whose name is that of the rules; an unspecified one is unspecified there.
func named[E enum, T ~string](value E, unspecified T) T {
	if value == 0 {
		return unspecified
	}
	return T(value.String())
}

func namedAll[T ~string, E enum](values []E) []T {
	out := make([]T, len(values))
	for i, value := range values {
		out[i] = named(value, T(""))
	}
	return out
}

// levelOf reads where a line is bought; the names of the contract are those of the rules behind a prefix.
func levelOf(level devfundv1.LineLevel) rules.Level {
	return rules.Level(strings.TrimPrefix(string(named(level, rules.Level(""))), "LINE_"))
}

// stateOf and stateToProto pair the states of a version with those of the contract, whose names are the same.
func stateOf(state devfundv1.PlanState) rules.State { return named(state, rules.State("")) }

func stateToProto(state rules.State) devfundv1.PlanState {
	return devfundv1.PlanState(devfundv1.PlanState_value[string(state)])
}

// assessmentOf reads where a PCN sees itself.
func assessmentOf(m *devfundv1.SelfAssessment) (rules.Assessment, error) {
	on, err := parseDate("assessed_on", m.GetAssessedOn())
	out := rules.Assessment{
		PCN: m.GetPcnCode(), Scores: make(map[rules.Area]int, len(m.GetScores())), ServiceImprovementPriority: m.GetServiceImprovementPriority(), On: on,
	}
	for _, score := range m.GetScores() {
		out.Scores[named(score.GetArea(), rules.Area(""))] = int(score.GetScore())
	}
	return out, err
}

func checksToProto(all []rules.Check) []*devfundv1.GovernanceCheck {
	out := make([]*devfundv1.GovernanceCheck, len(all))
	for i := range all {
		out[i] = &devfundv1.GovernanceCheck{
			Check: string(all[i].ID), Passed: all[i].Passed(), Clause: all[i].Clause, Missing: all[i].Missing(), Words: all[i].Words(),
		}
	}
	return out
}
