package rules_test

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func day(month time.Month, d int) period.Date { return period.NewDate(2020, month, d) }

func month(m time.Month) period.Month {
	if m < time.April {
		return period.NewMonth(2021, m)
	}
	return period.NewMonth(2020, m)
}

// goodPlan passes every check: cash to one network, a system line for all, and support in kind for the third.
func goodPlan() *rules.Plan {
	available := money.Pence(3_000_000)
	line := func(id, category string, level rules.Level, payee rules.PayeeKind, amount money.Pence, pcns ...string) rules.Line {
		l := rules.Line{
			ID: id, Proposal: rules.Proposal{Category: category}, Description: "facilitated programme", Level: level,
			Domain: rules.OrganisationalDevelopment, Priorities: []rules.Priority{rules.AccessPriority}, StaffGroups: []rules.StaffGroup{rules.Clinical},
			Payee: payee, Amount: amount, StartsOn: day(time.October, 1), EndsOn: day(time.December, 31),
			Alignments: []rules.Alignment{rules.NetworkContract}, WiderPartners: "community pharmacy",
		}
		for _, pcn := range pcns {
			l.Beneficiaries = append(l.Beneficiaries, rules.Beneficiary{PCN: pcn})
		}
		if level != rules.PCNLevel {
			l.LevelReason = "one contract costs less than three"
		}
		if payee == rules.Supplier {
			l.SupplierCode = "S1"
		}
		return l
	}
	p := &rules.Plan{
		Year: 2020, PCNs: []string{"U00041", "U00042", "U00043"}, LeadershipPercent: big.NewRat(10, 1), Available: &available, AvailableOf: "A1",
		Lines: []rules.Line{
			line("1", "change_management", rules.PCNLevel, rules.PCNPayee, 1_000_000, "U00041"),
			line("2", rules.ReleaseTime, rules.SystemLevel, rules.Supplier, 2_000_000, "U00041", "U00042"),
			line("3", "wellbeing_and_resilience", rules.PCNLevel, rules.InKind, 0, "U00043"),
		},
	}
	p.Lines[1].DevelopmentActivity, p.Lines[1].ActivityOn = "team development day", day(time.November, 4)
	p.Lines[2].StaffGroups = []rules.StaffGroup{rules.NonClinical}
	for _, pcn := range p.PCNs {
		p.Agreements = append(p.Agreements, rules.Agreement{PCN: pcn, Director: "director of " + pcn, On: day(time.September, 30)})
	}
	return p
}

func checked(t require.TestingT, p *rules.Plan, assumed ...rules.CheckID) []rules.Check {
	all, err := rules.CheckPlan(p, assumed...)
	require.NoError(t, err)
	require.Len(t, all, 8)
	for i, id := range rules.CheckIDs() {
		require.Equal(t, id, all[i].ID)
		require.NotEmpty(t, all[i].Clause)
		require.NotEmpty(t, all[i].Words())
	}
	return all
}

func TestCheckPlan_PassesAGoodPlan(t *testing.T) {
	t.Parallel()
	p := goodPlan()
	require.NoError(t, p.CheckLines())
	all := checked(t, p)
	require.Empty(t, rules.Failed(all))
	require.NoError(t, rules.Approvable(all))
	require.Equal(t, []string{"U00041"}, p.Paid())
}

// Each plan differs from one that passes in one thing, and fails exactly one check, which names what is missing.
func TestCheckPlan_EachCheckFailsAlone(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		spoil   func(*rules.Plan)
		check   rules.CheckID
		missing []string
		words   string
	}{
		"a service to patients": {
			func(p *rules.Plan) { p.Lines[0].Category = "service_delivery" }, rules.DevelopmentNotDelivery, []string{"1"}, "ineligible:service_delivery",
		},
		"rent": {func(p *rules.Plan) { p.Lines[2].Category = "operating_cost" }, rules.DevelopmentNotDelivery, []string{"3"}, "ineligible:operating_cost"},
		"costs of the commissioner": {
			func(p *rules.Plan) { p.Lines[2].Category = "business_as_usual_cost" }, rules.DevelopmentNotDelivery, []string{"3"}, "2024/25",
		},
		"a category nobody knows": {func(p *rules.Plan) { p.Lines[2].Category = "parking" }, rules.DevelopmentNotDelivery, []string{"3"}, `"parking"`},
		"freed time without an activity": {
			func(p *rules.Plan) { p.Lines[1].DevelopmentActivity = " " }, rules.DevelopmentNotDelivery, []string{"2"}, "RELEASE_TIME_WITHOUT_DEVELOPMENT",
		},
		"freed time without a day": {
			func(p *rules.Plan) { p.Lines[1].ActivityOn = period.Date{} }, rules.DevelopmentNotDelivery, []string{"2"}, "RELEASE_TIME_WITHOUT_DEVELOPMENT",
		},
		"freed time under another category": {
			func(p *rules.Plan) { p.Lines[0].FreesTime = true }, rules.DevelopmentNotDelivery, []string{"1"}, "RELEASE_TIME_WITHOUT_DEVELOPMENT",
		},
		"a network without an offer": {
			func(p *rules.Plan) { p.Lines[2].Beneficiaries[0].PCN = "U00041" }, rules.UniversalOffer, []string{"U00043"}, "U00043 gets neither",
		},
		"non-clinical staff left out": {
			func(p *rules.Plan) { p.Lines[2].StaffGroups = []rules.StaffGroup{rules.Clinical} }, rules.UniversalOffer, []string{"NON_CLINICAL"}, "non-clinical staff",
		},
		"clinical staff left out": {
			func(p *rules.Plan) {
				for i := range p.Lines {
					p.Lines[i].StaffGroups = []rules.StaffGroup{rules.NonClinical}
				}
			}, rules.UniversalOffer, []string{"CLINICAL"}, "no line covers clinical staff",
		},
		"no network at all": {
			func(p *rules.Plan) { p.PCNs, p.Agreements = nil, nil }, rules.UniversalOffer, []string{"pcn_codes"}, "covers no network",
		},
		"a director who did not agree": {
			func(p *rules.Plan) { p.Agreements = slices.Delete(p.Agreements, 1, 2) }, rules.AgreedWithClinicalDirectors, []string{"U00042"}, "director of U00042",
		},
		"an agreement of no day": {
			func(p *rules.Plan) { p.Agreements[2].On = period.Date{} }, rules.AgreedWithClinicalDirectors, []string{"U00043"}, "U00043",
		},
		"an agreement of nobody": {
			func(p *rules.Plan) { p.Agreements[0].Director = "" }, rules.AgreedWithClinicalDirectors, []string{"U00041"}, "U00041",
		},
		"no level": {func(p *rules.Plan) { p.Lines[0].Level = "" }, rules.LevelDecided, []string{"1"}, "whether it is bought"},
		"bought once without a reason": {
			func(p *rules.Plan) { p.Lines[1].LevelReason = "" }, rules.LevelDecided, []string{"2"}, "does not say why",
		},
		"no portion for leadership": {
			func(p *rules.Plan) { p.LeadershipPercent = nil }, rules.LeadershipPortionDecided, []string{"leadership_percent"}, "no portion",
		},
		"nothing for leadership without a reason": {
			func(p *rules.Plan) { p.LeadershipPercent = new(big.Rat) }, rules.LeadershipPortionDecided, []string{"leadership_reason"}, "no reason",
		},
		"more than all for leadership": {
			func(p *rules.Plan) { p.LeadershipPercent = big.NewRat(101, 1) }, rules.LeadershipPortionDecided, []string{"leadership_percent"}, "101",
		},
		"nothing for leadership in 2019/20": {
			func(p *rules.Plan) { p.Year, p.LeadershipPercent, p.LeadershipReason = 2019, new(big.Rat), "why" },
			rules.LeadershipPortionDecided,
			[]string{"leadership_percent"},
			"2019/20",
		},
		"a line that serves nothing": {func(p *rules.Plan) { p.Lines[0].Alignments = nil }, rules.DESAndLTPAlignment, []string{"1"}, "Long Term Plan"},
		"a line without partners":    {func(p *rules.Plan) { p.Lines[2].WiderPartners = "" }, rules.Collaboration, []string{"3"}, "wider partners"},
		"too much": {
			func(p *rules.Plan) { *p.Available = 2_999_999 }, rules.WithinAllocation, []string{"A1"}, "£30,000.00, the allocation holds £29,999.99: plan £0.01 less",
		},
		"an allocation nobody knows": {
			func(p *rules.Plan) { p.Available, p.AvailableOf = nil, "" }, rules.WithinAllocation, []string{"allocation"}, "not known",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := goodPlan()
			c.spoil(p)
			all := checked(t, p)
			require.Equal(t, []rules.CheckID{c.check}, rules.Failed(all))
			i := slices.IndexFunc(all, func(check rules.Check) bool { return !check.Passed() })
			require.Equal(t, c.missing, all[i].Missing())
			require.Contains(t, all[i].Words(), c.words)
			err := rules.Approvable(all)
			requireFault(t, err, fault.Refused, rules.ReasonChecksFailed)
			f, _ := fault.As(err)
			require.Equal(t, string(c.check), f.Meta["failed_checks"])
		})
	}
}

func TestCheckPlan_PassesWhatTheGuidanceLeavesOpen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*rules.Plan){
		"nothing for leadership with a reason": func(p *rules.Plan) { p.LeadershipPercent, p.LeadershipReason = new(big.Rat), "paid by the system" },
		"the default of 2019/20":               func(p *rules.Plan) { p.Year, p.LeadershipPercent = 2019, nil },
		"exactly the allocation":               func(p *rules.Plan) { *p.Available = 3_000_000 },
		"a deputy":                             func(p *rules.Plan) { p.Agreements[0].Deputy = true },
		"support in kind for everybody": func(p *rules.Plan) {
			p.Lines = p.Lines[2:]
			p.Lines[0].StaffGroups = []rules.StaffGroup{rules.Clinical, rules.NonClinical}
			p.Lines[0].Beneficiaries = []rules.Beneficiary{{PCN: "U00041"}, {PCN: "U00042"}, {PCN: "U00043"}}
		},
		"networks in another order": func(p *rules.Plan) { slices.Reverse(p.PCNs) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := goodPlan()
			change(p)
			require.Empty(t, rules.Failed(checked(t, p)))
		})
	}
}

func TestCheckPlan_ShowsEveryCheckOfAnEmptyPlan(t *testing.T) {
	t.Parallel()
	all := checked(t, &rules.Plan{Year: 2021, PCNs: []string{"U00002", "U00001", "U00002"}})
	require.Equal(t, []rules.CheckID{
		rules.UniversalOffer, rules.AgreedWithClinicalDirectors, rules.LeadershipPortionDecided, rules.WithinAllocation,
	}, rules.Failed(all))
	require.Equal(t, []string{"CLINICAL", "NON_CLINICAL", "U00001", "U00002"}, all[1].Missing())
}

func TestCheckPlan_AssumesOnlyWhatIsAsked(t *testing.T) {
	t.Parallel()
	p := &rules.Plan{Year: 2020, PCNs: []string{"U00001"}}
	all := checked(t, p, rules.UniversalOffer, rules.LeadershipPortionDecided, rules.WithinAllocation)
	require.Equal(t, []rules.CheckID{rules.AgreedWithClinicalDirectors}, rules.Failed(all))
	require.True(t, all[1].Assumed)
	require.Contains(t, all[1].Words(), "taken as passed")
}

func TestCheckPlan_DoesNotOverflow(t *testing.T) {
	t.Parallel()
	p := goodPlan()
	p.Lines[0].Amount, p.Lines[1].Amount = 1<<62, 1<<62
	_, err := rules.CheckPlan(p)
	require.Equal(t, money.ReasonOverflow, fault.ReasonOf(err))
}

func TestCheckLines_NamesEveryFault(t *testing.T) {
	t.Parallel()
	half := big.NewRat(50, 1)
	cases := map[string]struct {
		spoil  func(*rules.Plan)
		reason string
		field  string
	}{
		"a line without a name":   {func(p *rules.Plan) { p.Lines[1].ID = "" }, rules.ReasonPlanLineMalformed, "lines[1].line_id"},
		"two lines of one name":   {func(p *rules.Plan) { p.Lines[2].ID = "1" }, rules.ReasonPlanLineMalformed, "lines[2].line_id"},
		"an unknown category":     {func(p *rules.Plan) { p.Lines[0].Category = "parking" }, rules.ReasonPlanLineMalformed, "lines[0].category"},
		"no description":          {func(p *rules.Plan) { p.Lines[0].Description = "\t" }, rules.ReasonPlanLineMalformed, "lines[0].description"},
		"no domain":               {func(p *rules.Plan) { p.Lines[0].Domain = "" }, rules.ReasonPlanLineMalformed, "lines[0].domain"},
		"an unknown domain":       {func(p *rules.Plan) { p.Lines[0].Domain = "SEVENTH" }, rules.ReasonPlanLineMalformed, "lines[0].domain"},
		"no priority":             {func(p *rules.Plan) { p.Lines[0].Priorities = nil }, rules.ReasonPlanLineMalformed, "lines[0].priorities"},
		"an unknown priority":     {func(p *rules.Plan) { p.Lines[0].Priorities[0] = "FIFTH" }, rules.ReasonPlanLineMalformed, "lines[0].priorities"},
		"an unknown staff group":  {func(p *rules.Plan) { p.Lines[0].StaffGroups[0] = "OTHER" }, rules.ReasonPlanLineMalformed, "lines[0].staff_groups"},
		"an alignment twice":      {func(p *rules.Plan) { l := &p.Lines[0]; l.Alignments = append(l.Alignments, l.Alignments[0]) }, rules.ReasonPlanLineMalformed, "lines[0].alignments"},
		"an unknown level":        {func(p *rules.Plan) { p.Lines[0].Level = "REGION" }, rules.ReasonPlanLineMalformed, "lines[0].level"},
		"an end before the start": {func(p *rules.Plan) { p.Lines[0].EndsOn = day(time.September, 30) }, rules.ReasonPlanLineMalformed, "lines[0].ends_on"},
		"no payee":                {func(p *rules.Plan) { p.Lines[0].Payee = "" }, rules.ReasonPlanLineMalformed, "lines[0].payee"},
		"cash of nothing":         {func(p *rules.Plan) { p.Lines[0].Amount = 0 }, rules.ReasonPlanLineMalformed, "lines[0].amount_pence"},
		"a negative contract":     {func(p *rules.Plan) { p.Lines[1].Amount = -1 }, rules.ReasonPlanLineMalformed, "lines[1].amount_pence"},
		"a supplier of no name":   {func(p *rules.Plan) { p.Lines[1].SupplierCode = "" }, rules.ReasonPlanLineMalformed, "lines[1].supplier_code"},
		"support in kind at cost": {func(p *rules.Plan) { p.Lines[2].Amount = 1 }, rules.ReasonPlanLineMalformed, "lines[2].amount_pence"},
		"nobody served":           {func(p *rules.Plan) { p.Lines[0].Beneficiaries = nil }, rules.ReasonBeneficiariesMalformed, "lines[0].beneficiaries"},
		"a network twice":         {func(p *rules.Plan) { p.Lines[1].Beneficiaries[1].PCN = "U00041" }, rules.ReasonBeneficiariesMalformed, "lines[1].beneficiaries"},
		"half of the parts":       {func(p *rules.Plan) { p.Lines[1].Beneficiaries[0].Percent = half }, rules.ReasonBeneficiariesMalformed, "lines[1].beneficiaries"},
		"parts of fifty percent":  {func(p *rules.Plan) { p.Lines[0].Beneficiaries[0].Percent = half }, rules.ReasonBeneficiariesMalformed, "lines[0].beneficiaries"},
		"another system's PCN":    {func(p *rules.Plan) { p.Lines[0].Beneficiaries[0].PCN = "U99999" }, rules.ReasonNotOfPCN, "lines[0].beneficiaries"},
		"a tranche of next year": {
			func(p *rules.Plan) {
				p.Lines[0].Instalments = []rules.Instalment{{Month: period.NewMonth(2021, time.April)}}
			}, rules.ReasonTranchesMalformed, "lines[0].tranches",
		},
		"tranches of a supplier": {
			func(p *rules.Plan) { p.Lines[1].Instalments = []rules.Instalment{{Month: month(time.May)}} }, rules.ReasonTranchesMalformed, "lines[1].tranches",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := goodPlan()
			c.spoil(p)
			err := p.CheckLines()
			requireFault(t, err, fault.Invalid, c.reason)
			f, _ := fault.As(err)
			require.Len(t, f.Violations, 1)
			require.Equal(t, c.field, f.Violations[0].Field)
			require.Equal(t, c.reason, f.Violations[0].Reason)
			require.NotEmpty(t, f.Violations[0].Description)
			require.NotContains(t, f.Violations[0].Description, c.reason, "the violation has it already")
		})
	}
}

func TestCheckLines_AsksForDomainAndPriorityFromTheirYearOn(t *testing.T) {
	t.Parallel()
	p := goodPlan()
	p.Year = 2019
	for i := range p.Lines {
		p.Lines[i].Priorities = nil
	}
	require.NoError(t, p.CheckLines())
	p.Lines[0].Domain, p.Lines[1].Description = "", ""
	err := p.CheckLines()
	f, _ := fault.As(err)
	require.Len(t, f.Violations, 2, "every fault is named at once")
}

func TestJudge_AnswersByCategoryAndByTime(t *testing.T) {
	t.Parallel()
	for _, category := range rules.Categories() {
		p := rules.Proposal{Category: category.Code, DevelopmentActivity: "day of development", ActivityOn: day(time.June, 1)}
		got, err := rules.Judge(&p)
		require.NoError(t, err)
		require.Equal(t, category.Eligible, got.Eligible)
		require.Equal(t, category.Answer(), got.Answer)
		require.NotEmpty(t, got.Basis)
		p.FreesTime, p.ActivityOn = true, period.Date{}
		got, err = rules.Judge(&p)
		require.NoError(t, err)
		require.False(t, got.Eligible)
		if category.Eligible {
			require.Equal(t, rules.ReasonReleaseTimeWithoutDevelopment, got.Answer)
		} else {
			require.Equal(t, category.Answer(), got.Answer, "a day of development does not mend it")
		}
	}
	_, err := rules.Judge(&rules.Proposal{Category: "parking"})
	requireFault(t, err, fault.Invalid, rules.ReasonPlanLineMalformed)
	_, found := rules.FindCategory("")
	require.False(t, found)
}

func TestAssessment_IsCompleteOrRefused(t *testing.T) {
	t.Parallel()
	good := func() rules.Assessment {
		a := rules.Assessment{PCN: "U00041", Scores: map[rules.Area]int{}, ServiceImprovementPriority: "frailty", On: day(time.September, 1)}
		for i, area := range rules.Areas() {
			a.Scores[area] = i
		}
		return a
	}
	whole := good()
	require.NoError(t, whole.Check())
	for name, spoil := range map[string]func(*rules.Assessment){
		"an area without a score": func(a *rules.Assessment) { delete(a.Scores, rules.ManagingResources) },
		"a score of five":         func(a *rules.Assessment) { a.Scores[rules.ManagingResources] = 5 },
		"a score below nothing":   func(a *rules.Assessment) { a.Scores[rules.ManagingResources] = -1 },
		"a sixth area":            func(a *rules.Assessment) { a.Scores["SIXTH"] = 1 },
		"no priority":             func(a *rules.Assessment) { a.ServiceImprovementPriority = "" },
		"no day":                  func(a *rules.Assessment) { a.On = period.Date{} },
	} {
		a := good()
		spoil(&a)
		err := a.Check()
		requireFault(t, err, fault.Invalid, rules.ReasonAssessmentMalformed)
		f, _ := fault.As(err)
		require.Len(t, f.Violations, 1, name)
	}
	require.Equal(t, []string{"U00001", "U00042"}, rules.Unassessed([]string{"U00042", "U00041", "U00001", "U00042"}, []rules.Assessment{whole}))
}
