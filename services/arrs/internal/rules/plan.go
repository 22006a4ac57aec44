package rules

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Intention is how sure a plan line is.
type Intention string

// The intentions.
const (
	Firm       Intention = "firm"
	Indicative Intention = "indicative"
)

// PlanLine is one role of a network's workforce plan for one year.
type PlanLine struct {
	ID  string
	PCN string
	// PlannedIn is the year in which the plan is made, and Year the one it is for.
	PlannedIn, Year period.FinancialYear
	Role            string
	Band            string
	Post            Post
	Intention       Intention
	// InPost is the WTE in post when the plan is made, and WTE the planned WTE of each month, April first.
	InPost *big.Rat
	WTE    [monthsOfYear]*big.Rat
	// StartMonth is the month in which recruits are to start; zero where none are.
	StartMonth period.Month
	Employer   string
	// RecruitmentModel tells whether the post is the network's own, shared, rotational or joint.
	RecruitmentModel string
	// EstimatedCost is what the network expects to be reimbursed for the year.
	EstimatedCost money.Pence
	Risks         string
	Version       int
	// AgreedOn is the day on which the clinical director agreed, and CollatedOn that on which the commissioner collated; zero
	// while it has not.
	AgreedOn, CollatedOn period.Date
	RegionStatus         string
}

// Recruitment models of plan lines.
const (
	ModelOwn        = "own"
	ModelShared     = "shared"
	ModelRotational = "rotational"
	ModelJoint      = "joint"
)

// CheckPlanLine returns every bad field of a plan line: an unknown role, a negative figure, a start outside the year, a year
// before that of the plan or after the last it looks at, or a firm intention for a later year in a year (2020/21) that takes
// only indicative ones.
func CheckPlanLine(scheme *Scheme, line *PlanLine) []fault.Violation {
	v := violations{}
	if role, known := scheme.Role(line.Role); !known {
		v.add("role", ReasonRoleUnknown, fmt.Sprintf("%q is not a role", money.Clip(line.Role)))
	} else if !role.To.IsZero() && line.Year.First().First().After(role.To) {
		v.add("role", ReasonRoleNotReimbursable, fmt.Sprintf("%s is not reimbursable in %s", role.Code, line.Year))
	} else if role.From.After(line.Year.Last().Last()) && line.Intention == Firm {
		v.add("role", ReasonRoleNotReimbursable, fmt.Sprintf("%s is not reimbursable in %s", role.Code, line.Year))
	}
	if line.PCN == "" {
		v.add("pcn_code", ReasonValueRequired, "it is empty")
	}
	if line.Intention != Firm && line.Intention != Indicative {
		v.add("intention", ReasonValueOutOfRange, "it is firm or indicative")
	}
	v.planYears(scheme, line)
	v.planFigures(line)
	return v.found
}

func (v *violations) planYears(scheme *Scheme, line *PlanLine) {
	rule, known := PlanningFor(scheme.Planning, line.PlannedIn)
	switch {
	case !known:
		v.add("planned_in", ReasonPlanRulesUnknown, fmt.Sprintf("no planning rules of %s are known", line.PlannedIn))
	case line.Year < line.PlannedIn:
		v.add("financial_year", ReasonPlanYearOutOfRange, fmt.Sprintf("%s is before %s, in which the plan is made", line.Year, line.PlannedIn))
	case rule.IndicativeTo != 0 && line.Year > rule.IndicativeTo:
		v.add("financial_year", ReasonPlanYearOutOfRange, fmt.Sprintf("plans of %s look no further than %s", line.PlannedIn, rule.IndicativeTo))
	case line.Year > line.PlannedIn && line.Intention == Firm && rule.LaterFirm == No:
		v.add("intention", ReasonPlanFirmNotAllowed, fmt.Sprintf("plans of %s are firm for that year only", line.PlannedIn))
	}
}

func (v *violations) planFigures(line *PlanLine) {
	if line.InPost != nil && line.InPost.Sign() < 0 {
		v.add("wte_in_post", ReasonFigureNegative, "it is negative")
	}
	for i, wte := range line.WTE {
		if wte != nil && wte.Sign() < 0 {
			v.add("planned_wte", ReasonFigureNegative, fmt.Sprintf("that of %s is negative", line.Year.First().Add(i)))
		}
	}
	if line.EstimatedCost < 0 {
		v.add("estimated_cost", ReasonAmountNegative, "it is negative")
	}
	if !line.StartMonth.IsZero() && line.StartMonth.FinancialYear() != line.Year {
		v.add("start_month", ReasonMonthOutOfRange, fmt.Sprintf("%s does not lie in %s", line.StartMonth, line.Year))
	}
	models := []string{"", ModelOwn, ModelShared, ModelRotational, ModelJoint}
	if !slices.Contains(models, line.RecruitmentModel) {
		v.add("recruitment_model", ReasonValueOutOfRange, "it is own, shared, rotational or joint")
	}
}

// Locked refuses a change of a firm line that the director has agreed: a new version needs the agreement withdrawn first.
func (p *PlanLine) Locked() error {
	if p.Intention == Firm && !p.AgreedOn.IsZero() {
		return fault.New(fault.Refused, ReasonPlanLocked, "the line was agreed on %s", p.AgreedOn).With("agreed_on", p.AgreedOn)
	}
	return nil
}

// PlannedWTE is the planned WTE of a month; nothing outside the line's year.
func (p *PlanLine) PlannedWTE(month period.Month) *big.Rat {
	at := month.Sub(p.Year.First())
	if at < 0 || at >= monthsOfYear || p.WTE[at] == nil {
		return new(big.Rat)
	}
	return p.WTE[at]
}

// Collated is plan lines added up.
type Collated struct {
	Group     string
	Year      period.FinancialYear
	Role      string
	Intention Intention
	PCNs      int
	InPost    *big.Rat
	WTE       [monthsOfYear]*big.Rat
	Cost      money.Pence
}

// Collate adds plan lines up by year, role and intention within the group that the caller puts each network in: a place, a
// commissioner, a system. The result is ordered by group, year, role and intention.
func Collate(lines []PlanLine, groupOf func(pcn string) string) ([]Collated, error) {
	type key struct {
		group     string
		year      period.FinancialYear
		role      string
		intention Intention
	}
	sums := make(map[key]*Collated)
	networks := make(map[key]map[string]bool)
	for i := range lines {
		line := &lines[i]
		k := key{groupOf(line.PCN), line.Year, line.Role, line.Intention}
		sum := sums[k]
		if sum == nil {
			sum = &Collated{Group: k.group, Year: k.year, Role: k.role, Intention: k.intention, InPost: new(big.Rat)}
			for m := range sum.WTE {
				sum.WTE[m] = new(big.Rat)
			}
			sums[k], networks[k] = sum, make(map[string]bool)
		}
		networks[k][line.PCN] = true
		sum.PCNs = len(networks[k])
		if line.InPost != nil {
			sum.InPost.Add(sum.InPost, line.InPost)
		}
		for m := range sum.WTE {
			sum.WTE[m].Add(sum.WTE[m], line.PlannedWTE(line.Year.First().Add(m)))
		}
		var err error
		if sum.Cost, err = sum.Cost.Add(line.EstimatedCost); err != nil {
			return nil, err
		}
	}
	out := make([]Collated, 0, len(sums))
	for _, sum := range sums {
		out = append(out, *sum)
	}
	slices.SortFunc(out, func(a, b Collated) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Year, b.Year), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Intention, b.Intention))
	})
	return out, nil
}

// PlanOfPot compares a plan with a pot.
type PlanOfPot struct {
	Pot     Pot
	Usable  money.Pence
	Planned money.Pence
	// Gap is what the plan leaves unused; negative where it plans more than the pot.
	Gap     money.Pence
	Paid    money.Pence
	Refused *fault.Fault // the figure that is missing of the pot
}

// PlanOfRole compares what was planned of a role with what was claimed.
type PlanOfRole struct {
	Role string
	// Planned and Claimed are WTE by month, April first: planned of the year's lines, claimed as the average over the days of
	// each month.
	Planned, Claimed [monthsOfYear]*big.Rat
	PlannedCost      money.Pence
	Paid             money.Pence
}

// PlanComparison compares a network's plan for a year with its entitlement and its claims.
type PlanComparison struct {
	Pots  []PlanOfPot
	Roles []PlanOfRole
}

// ComparePlan compares a network's plan lines of the context's year, firm and indicative, with its pots and its assessed
// lines. A role is set against the pot that pays it in the last month of the year. Lines of other years are left out.
func ComparePlan(c *Context, plan []PlanLine, claims []Assessed) (*PlanComparison, error) {
	p := planComparing{roles: make(map[string]*PlanOfRole), pots: make(map[Pot]*PlanOfPot)}
	for _, sum := range c.Sums {
		p.pots[sum.Pot] = &PlanOfPot{Pot: sum.Pot, Usable: sum.Usable, Refused: sum.Refused}
	}
	for i := range plan {
		if plan[i].Year != c.Year {
			continue
		}
		pot, _ := PotOf(c.Scheme.SumRates, plan[i].Role, c.Year.Last())
		if err := p.planned(&plan[i], pot); err != nil {
			return nil, err
		}
	}
	for i := range claims {
		if err := p.claimed(&claims[i], c.Year); err != nil {
			return nil, err
		}
	}
	return p.done()
}

type planComparing struct {
	roles map[string]*PlanOfRole
	pots  map[Pot]*PlanOfPot
}

func (p *planComparing) role(code string) *PlanOfRole {
	role := p.roles[code]
	if role == nil {
		role = &PlanOfRole{Role: code}
		for m := range role.Planned {
			role.Planned[m], role.Claimed[m] = new(big.Rat), new(big.Rat)
		}
		p.roles[code] = role
	}
	return role
}

func (p *planComparing) planned(line *PlanLine, pot Pot) (err error) {
	role := p.role(line.Role)
	for m := range role.Planned {
		role.Planned[m].Add(role.Planned[m], line.PlannedWTE(line.Year.First().Add(m)))
	}
	if role.PlannedCost, err = role.PlannedCost.Add(line.EstimatedCost); err != nil {
		return err
	}
	if of := p.pots[pot]; of != nil {
		of.Planned, err = of.Planned.Add(line.EstimatedCost)
	}
	return err
}

func (p *planComparing) claimed(line *Assessed, year period.FinancialYear) (err error) {
	role, at := p.role(line.Role), line.Month.Sub(year.First())
	if at < 0 || at >= monthsOfYear {
		return fault.New(fault.Invalid, ReasonLineOfOtherYear, "line %s is not of %s", money.Clip(line.LineID), year)
	}
	if line.AdmittedWTEDays != nil {
		average := new(big.Rat).Quo(line.AdmittedWTEDays, whole(daysOf(line.Month)))
		role.Claimed[at].Add(role.Claimed[at], average)
	}
	if role.Paid, err = role.Paid.Add(line.Payable); err != nil {
		return err
	}
	if of := p.pots[line.Pot]; of != nil {
		of.Paid, err = of.Paid.Add(line.Payable)
	}
	return err
}

func (p *planComparing) done() (*PlanComparison, error) {
	out := new(PlanComparison)
	for _, pot := range p.pots {
		var err error
		if pot.Refused == nil {
			if pot.Gap, err = pot.Usable.Sub(pot.Planned); err != nil {
				return nil, err
			}
		}
		out.Pots = append(out.Pots, *pot)
	}
	for _, role := range p.roles {
		out.Roles = append(out.Roles, *role)
	}
	slices.SortFunc(out.Pots, func(a, b PlanOfPot) int { return cmp.Compare(a.Pot, b.Pot) })
	slices.SortFunc(out.Roles, func(a, b PlanOfRole) int { return cmp.Compare(a.Role, b.Role) })
	return out, nil
}
