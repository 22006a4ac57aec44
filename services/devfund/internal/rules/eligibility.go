package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Category is one kind of thing that plans propose to buy, and whether the fund buys it (development fund, section 2.6).
type Category struct {
	Code string
	// Eligible tells whether the fund buys it. What it never buys is services to patients and running costs.
	Eligible bool
	// Basis is what that rests on.
	Basis string
}

// ReleaseTime is the category of time that staff are freed to develop: eligible with a stated activity and day, and only so.
const ReleaseTime = "release_time_for_development"

const (
	pageOf        = "NHS England, PCN development support page: "
	priorities20  = pageOf + "priority of 2020/21"
	namedExample  = pageOf + "named example"
	namedNot      = pageOf + "excluded by name"
	answerYes     = "eligible"
	answerNo      = "ineligible:"
	clauseRelease = "pay for a session is development where it frees someone to develop, and service delivery where it does not"
)

var categories = []Category{
	{"recruitment_and_retention_support", true, priorities20},
	{"staff_induction_and_supervision", true, priorities20},
	{"wellbeing_and_resilience", true, namedExample},
	{"demand_modelling_and_redesign", true, priorities20},
	{"quality_improvement", true, namedExample},
	{"change_management", true, namedExample},
	{"leadership_development", true, namedExample},
	{ReleaseTime, true, namedExample},
	{"integration_and_mdt_working", true, priorities20},
	{"access_improvement", true, priorities20},
	{"population_health_and_inequalities", true, priorities20},
	{"service_specification_preparation", true, pageOf + "purpose of 2019/20"},
	{"service_delivery", false, namedNot},
	{"operating_cost", false, namedNot + "; that rent and utilities are such costs is interpretation"},
	{"business_as_usual_cost", false, "NHS England, SDF and GPIT funding guidance 2024/25: neither business-as-usual staff nor costs of the commissioner"},
}

// Categories returns what plans may propose, in the order of the guidance.
func Categories() []Category { return slices.Clone(categories) }

// FindCategory returns a category by its code.
func FindCategory(code string) (Category, bool) {
	i := slices.IndexFunc(categories, func(c Category) bool { return c.Code == code })
	if i < 0 {
		return Category{}, false
	}
	return categories[i], true
}

// Answer is eligible, or ineligible with the category (example DF-006).
func (c Category) Answer() string {
	if c.Eligible {
		return answerYes
	}
	return answerNo + c.Code
}

// Proposal is what eligibility is asked of.
type Proposal struct {
	Category string
	// FreesTime is true where the money pays for time that staff are freed, whatever the category.
	FreesTime bool
	// DevelopmentActivity and ActivityOn say what freed staff develop, and when.
	DevelopmentActivity string
	ActivityOn          period.Date
}

// frees tells whether the money pays for time.
func (p *Proposal) frees() bool { return p.FreesTime || p.Category == ReleaseTime }

// Eligibility is whether something may be bought.
type Eligibility struct {
	Eligible bool
	// Answer is eligible, ineligible with the category, or RELEASE_TIME_WITHOUT_DEVELOPMENT.
	Answer string
	// Basis is what that rests on.
	Basis string
}

// Judge tells whether a proposal may be bought: by its category, and where it frees time, only with a development activity and its
// day. It refuses a category that the guidance does not have.
func Judge(p *Proposal) (Eligibility, error) {
	category, found := FindCategory(p.Category)
	if !found {
		codes := make([]string, len(categories))
		for i := range categories {
			codes[i] = categories[i].Code
		}
		return Eligibility{}, fault.New(fault.Invalid, ReasonPlanLineMalformed, "%q is not a category: choose one of %s",
			money.Clip(p.Category), strings.Join(codes, ", ")).With("category", money.Clip(p.Category))
	}
	if category.Eligible && p.frees() && (strings.TrimSpace(p.DevelopmentActivity) == "" || p.ActivityOn.IsZero()) {
		return Eligibility{false, ReasonReleaseTimeWithoutDevelopment, clauseRelease}, nil
	}
	return Eligibility{category.Eligible, category.Answer(), category.Basis}, nil
}
