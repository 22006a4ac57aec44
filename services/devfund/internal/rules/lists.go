package rules

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// Domain is one of the six domains of support of the 2019 prospectus, or the development of clinical directors beside them.
type Domain string

// The domains.
const (
	SetUpAndSupport             Domain = "SET_UP_AND_SUPPORT"
	OrganisationalDevelopment   Domain = "ORGANISATIONAL_DEVELOPMENT"
	LeadershipDevelopment       Domain = "LEADERSHIP_DEVELOPMENT"
	CollaborativeWorking        Domain = "COLLABORATIVE_WORKING"
	PopulationHealth            Domain = "POPULATION_HEALTH"
	SocialPrescribing           Domain = "SOCIAL_PRESCRIBING"
	ClinicalDirectorDevelopment Domain = "CLINICAL_DIRECTOR_DEVELOPMENT"
)

// Domains returns the domains in the order of the prospectus, that of clinical directors last.
func Domains() []Domain {
	return []Domain{
		SetUpAndSupport, OrganisationalDevelopment, LeadershipDevelopment, CollaborativeWorking, PopulationHealth, SocialPrescribing,
		ClinicalDirectorDevelopment,
	}
}

// Area is one of the five areas of the maturity matrix. The matrix is for talk, and is no test.
type Area string

// The areas.
const (
	LeadershipPlanningPartnerships Area = "LEADERSHIP_PLANNING_PARTNERSHIPS"
	DataAndPopulationHealth        Area = "DATA_AND_POPULATION_HEALTH"
	IntegratingCare                Area = "INTEGRATING_CARE"
	ManagingResources              Area = "MANAGING_RESOURCES"
	PeopleAndCommunities           Area = "PEOPLE_AND_COMMUNITIES"
)

// Areas returns the areas in the order of the matrix.
func Areas() []Area {
	return []Area{LeadershipPlanningPartnerships, DataAndPopulationHealth, IntegratingCare, ManagingResources, PeopleAndCommunities}
}

// Priority is one of the four priorities of 2020/21.
type Priority string

// The priorities.
const (
	WorkforcePriority    Priority = "WORKFORCE"
	IntegrationPriority  Priority = "INTEGRATION"
	AccessPriority       Priority = "ACCESS"
	InequalitiesPriority Priority = "INEQUALITIES"
)

// Priorities returns the priorities in the order of the guidance.
func Priorities() []Priority {
	return []Priority{WorkforcePriority, IntegrationPriority, AccessPriority, InequalitiesPriority}
}

// The years from which lines name a domain, and priorities.
const (
	FirstYear              period.FinancialYear = 2019
	domainsFrom                                 = FirstYear
	prioritiesFrom         period.FinancialYear = 2020
	leadershipDecidedFrom  period.FinancialYear = 2020
	lowestScore, bestScore                      = 0, 4
)

// Assessment is where a network sees itself on the maturity matrix or a local version of it, and the one thing in service it wants
// to improve.
type Assessment struct {
	PCN                        string
	Scores                     map[Area]int
	ServiceImprovementPriority string
	On                         period.Date
}

// Check refuses an assessment that lacks an area, scores one beyond 0 to 4 or is of no day, or names no priority of service
// improvement.
func (a *Assessment) Check() error {
	wrong := fault.New(fault.Invalid, ReasonAssessmentMalformed, "the assessment of %s is not complete", a.PCN).With("pcn", a.PCN)
	bad := false
	say := func(field, words string) { wrong, bad = wrong.At(field, words), true }
	for _, area := range Areas() {
		score, scored := a.Scores[area]
		if !scored || score < lowestScore || score > bestScore {
			say("scores."+string(area), "it is scored from 0 to 4")
		}
	}
	for area := range a.Scores {
		if !slices.Contains(Areas(), area) {
			say("scores."+money.Clip(string(area)), "it is not an area of the matrix")
		}
	}
	if strings.TrimSpace(a.ServiceImprovementPriority) == "" {
		say("service_improvement_priority", "one is named")
	}
	if a.On.IsZero() {
		say("assessed_on", "the day is stated")
	}
	if !bad {
		return nil
	}
	slices.SortFunc(wrong.Violations, func(x, y fault.Violation) int { return strings.Compare(x.Field, y.Field) })
	return wrong
}

// Unassessed returns the networks that have not assessed themselves, in order of code.
func Unassessed(pcns []string, assessments []Assessment) []string {
	var out []string
	for _, pcn := range pcns {
		if !slices.ContainsFunc(assessments, func(a Assessment) bool { return a.PCN == pcn }) {
			out = append(out, pcn)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
