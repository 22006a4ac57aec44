package rules_test

import (
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

func assess(t *testing.T, c *rules.Context, line rules.ClaimLine) *rules.Assessed {
	t.Helper()
	got, err := rules.Assess(c, line)
	require.NoError(t, err)
	requireHolds(t, got)
	return got
}

// always is a decision of the year's every month.
func always(kind rules.DecisionKind, value *big.Rat, day period.Date) rules.Decision {
	return rules.Decision{ID: "D1", Kind: kind, Months: rules.Months{From: period.FinancialYear(2019).First()}, Value: value, Day: day}
}

// Each reason for which a pound is not paid, by the smallest change of a line that is paid.
func TestAssess_NamesWhyAPoundIsNotPaid(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, role, month string
		change            func(*rules.Context, *rules.ClaimLine)
		want              string // reasons of the parts, in order; empty where all is paid
		missing           bool   // a figure or a fact is awaited
	}{
		{"paid", "CC", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Salary = 190_000 }, "", false},
		{"no such role", "XX", "2023-05", nil, rules.ReasonRoleUnknown, false},
		{"before the role", "PARA", "2021-03", nil, rules.ReasonRoleNotReimbursable, false},
		{"GP before October", "GP", "2024-09", nil, rules.ReasonRoleNotReimbursable, false},
		{"not agreed", "OTHER_DPC", "2024-05", nil, rules.ReasonRoleNotAgreed, false},
		{"agreed, band missing", "OTHER_DPC", "2024-05", func(c *rules.Context, _ *rules.ClaimLine) {
			c.Decisions = []rules.Decision{always(rules.RoleAgreed, nil, period.Date{})}
		}, rules.ReasonFactMissing, true},
		{"agreed, price unknown", "OTHER_DPC", "2024-05", func(c *rules.Context, l *rules.ClaimLine) {
			c.Decisions = []rules.Decision{always(rules.RoleAgreed, nil, period.Date{})}
			l.Band = "4"
		}, rules.ReasonPriceUnknown, true},
		{"left before", "CC", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) { l.End = date(t, "2023-04-30") }, rules.ReasonOutsideEngagement, false},
		{"fee of another role", "CC", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Salary, l.Fees = 100_000, 5_000
		}, rules.ReasonFeeNotAllowed, false},
		{"fee too high", "SPLW", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Salary, l.Fees = 100_000, 30_000
		}, rules.ReasonFeeOverAllowance, false},
		{"training of another role", "PT", "2024-05", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Salary, l.Training, l.TrainingShare = 100_000, "PERSONALISED_CARE", big.NewRat(1, 5)
		}, rules.ReasonTrainingNotReimbursable, false},
		{"training too early", "CC", "2024-03", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Salary, l.Training, l.TrainingShare = 100_000, "PERSONALISED_CARE", big.NewRat(1, 1)
		}, rules.ReasonTrainingNotReimbursable, false},
		{"training paid", "CC", "2024-04", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Salary, l.Training, l.TrainingShare = 100_000, "PERSONALISED_CARE", big.NewRat(1, 1)
		}, "", false},
		{"list size not known", "AP", "2023-05", func(c *rules.Context, _ *rules.ClaimLine) { c.List.Known = false }, rules.ReasonListSizeMissing, true},
		{"limit not known", "FCP", "2020-05", nil, rules.ReasonLimitUnknown, true},
		{"limit of a large list not known", "AP", "2021-05", func(c *rules.Context, l *rules.ClaimLine) {
			c.List.Patients = 100_000
			l.PerWeek, l.Salary = big.NewRat(75, 1), 200_000
			c.Decisions = []rules.Decision{always(rules.OverCeilingAgreed, big.NewRat(2, 1), period.Date{})}
		}, rules.ReasonLimitUnknown, true},
		{"provider not asked", "MHP", "2022-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Band, l.Post = "7", rules.FirstPost }, rules.ReasonProviderNotAgreed, false},
		{"which post", "MHP", "2025-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Band = "7" }, rules.ReasonFactMissing, true},
		{"not on the pathway", "CP", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.OnPathway = rules.No }, rules.ReasonTrainingPathwayNotMet, false},
		{"pathway not stated", "CP", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.OnPathway = rules.Unstated }, rules.ReasonFactMissing, true},
		{"not of level 7", "EPN", "2024-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.Level7 = rules.No }, rules.ReasonLevelNotMet, false},
		{"paramedic of no level", "PARA", "2024-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.Level7 = rules.No }, rules.ReasonLevelNotMet, false},
		{"paramedic in rotation", "PARA", "2024-05", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Facts.Level7, l.Facts.Rotational = rules.No, rules.Yes
		}, "", false},
		{"nurse too early", "AP", "2022-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.Nurse = rules.Yes }, rules.ReasonNurseNotCounted, false},
		{"nurse", "AP", "2023-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.Nurse = rules.Yes }, "", false},
		{"nurse of the network", "NGPN", "2026-09", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Facts.HeldPost, l.Facts.LastPostEnded, l.Salary = rules.Yes, l.Start.AddDays(-30), 100_000
		}, rules.ReasonHeldPostInNetwork, false},
		{"nurse moving up", "NGPN", "2026-09", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Facts.HeldPost, l.Facts.LastPostEnded, l.Facts.MoreSenior, l.Salary = rules.Yes, l.Start.AddDays(-30), rules.Yes, 100_000
		}, "", false},
		{"nurse long gone", "NGPN", "2026-09", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Facts.HeldPost, l.Facts.LastPostEnded, l.Salary = rules.Yes, l.Start.AddDays(-367), 100_000
		}, "", false},
		{"GP trained long ago", "GP", "2024-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.TrainedOn = date(t, "2022-09-30") }, rules.ReasonTrainedTooLongAgo, false},
		{"GP tested on another day", "GP", "2024-11", func(c *rules.Context, l *rules.ClaimLine) {
			l.Facts.TrainedOn, l.Start, l.Salary = date(t, "2022-10-05"), date(t, "2024-10-20"), 300_000
			c.Decisions = []rules.Decision{always(rules.TrainingTestDay, nil, date(t, "2024-10-01"))}
		}, "", false},
		{"GP before", "GP", "2024-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.SubstantiveGPBefore = rules.Yes }, rules.ReasonSubstantiveGPBefore, false},
		{"GP before, agreed", "GP", "2024-11", func(c *rules.Context, l *rules.ClaimLine) {
			l.Facts.SubstantiveGPBefore = rules.Yes
			c.Decisions = []rules.Decision{always(rules.SubstantiveGPAgreed, nil, period.Date{})}
		}, "", false},
		{"GP before, agreement no longer open", "GP", "2025-07", func(c *rules.Context, l *rules.ClaimLine) {
			l.Facts.SubstantiveGPBefore = rules.Yes
			c.Decisions = []rules.Decision{always(rules.SubstantiveGPAgreed, nil, period.Date{})}
		}, rules.ReasonSubstantiveGPBefore, false},
		{"locum", "GP", "2024-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.Temporary = rules.Yes }, rules.ReasonTemporaryPost, false},
		{"second job", "GP", "2024-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.SalariedElsewhere = rules.Yes }, rules.ReasonSecondJob, false},
		{"terms", "GP", "2024-11", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.ModelTerms = rules.No }, rules.ReasonTermsBelowModel, false},
		{"any GP in 2026/27", "GP", "2026-09", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Facts.SubstantiveGPBefore, l.Facts.TrainedOn = rules.Yes, date(t, "2001-08-01")
		}, "", false},
		{"GP of the network in 2026/27", "GP", "2026-09", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.HeldPost = rules.Yes }, rules.ReasonSubstantiveGPBefore, false},
		{"baseline not recorded", "CP", "2023-05", func(c *rules.Context, _ *rules.ClaimLine) { c.Baselines = nil }, rules.ReasonBaselineMissing, true},
		{"in the baseline", "CP", "2023-05", func(_ *rules.Context, l *rules.ClaimLine) { l.Facts.InBaseline = rules.Yes }, rules.ReasonInBaseline, false},
		{"transferred in time", "CP", "2023-05", transferred("CP_GENERAL_PRACTICE", "2019-09-30", false), "", false},
		{"transferred late", "CP", "2023-05", transferred("CP_GENERAL_PRACTICE", "2019-10-01", false), rules.ReasonTransferredLate, false},
		{"transferred late, agreed", "CP", "2023-05", transferred("CP_CARE_HOMES", "2019-11-30", true), "", false},
		{"transferred too late, agreed", "CP", "2023-05", transferred("CP_CARE_HOMES", "2019-12-01", true), rules.ReasonTransferredLate, false},
		{"transferred in the later window", "CP", "2023-05", transferred("CP_CARE_HOMES", "2021-06-01", false), rules.ReasonTransferWindowUnknown, true},
		{"transferred from elsewhere", "CP", "2023-05", transferred("OTHER", "2019-09-01", false), rules.ReasonTransferNotKnown, false},
		{"candidate price", "PA", "2020-05", nil, rules.ReasonPriceNotConfirmed, true},
		{"region not recorded", "CC", "2023-05", func(c *rules.Context, _ *rules.ClaimLine) { c.Region = 0 }, rules.ReasonFactMissing, true},
		{"unknown price", "CP", "2021-05", nil, rules.ReasonPriceUnknown, true},
		{"share of a later post", "MHP", "2025-05", func(_ *rules.Context, l *rules.ClaimLine) {
			l.Band, l.Post, l.Known = "7", rules.LaterPost, l.Month.First()
		}, rules.ReasonAgreedShareMissing, true},
		{"later post", "MHP", "2025-05", func(c *rules.Context, l *rules.ClaimLine) {
			l.Band, l.Post, l.Known = "7", rules.LaterPost, l.Month.First()
			c.Decisions = []rules.Decision{always(rules.ShareAgreed, big.NewRat(3, 4), period.Date{})}
		}, rules.ReasonNetworkShare, false},
		{"over the maximum", "CC", "2023-05", nil, rules.ReasonOverMaximum, false},
		{"network's share", "CP", "2019-10", nil, rules.ReasonNetworkShare, false},
		{"hired late in 2019/20", "CP", "2020-03", func(c *rules.Context, l *rules.ClaimLine) {
			l.Start, l.Salary, l.EmployerPension = date(t, "2020-02-17"), 250_000, 0
			c.Decisions = []rules.Decision{always(rules.EarlyHireAgreed, nil, period.Date{})}
		}, "", false},
		{"role of 2020/21 hired early, without a price", "PT", "2020-03", func(c *rules.Context, l *rules.ClaimLine) {
			l.Start = date(t, "2020-02-17")
			c.Decisions = []rules.Decision{always(rules.EarlyHireAgreed, nil, period.Date{})}
		}, rules.ReasonPriceUnknown, true},
		{"role of 2020/21 hired too early", "PT", "2020-03", func(c *rules.Context, l *rules.ClaimLine) {
			l.Start = date(t, "2020-02-16")
			c.Decisions = []rules.Decision{always(rules.EarlyHireAgreed, nil, period.Date{})}
		}, rules.ReasonRoleNotReimbursable, false},
		{"sum missing", "CC", "2023-05", func(c *rules.Context, l *rules.ClaimLine) { c.Sums, l.Salary = nil, 100_000 }, rules.ReasonSumUnknown, true},
		{"sum used up", "CC", "2023-05", func(c *rules.Context, l *rules.ClaimLine) {
			c.Sums, l.Salary = []rules.PotSum{{Pot: rules.MainPot, Usable: 10_000}}, 100_000
		}, rules.ReasonOverYearSum, false},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			line := lineFor(t, test.role, test.month)
			c := contextFor(t, line.Month.FinancialYear())
			if test.change != nil {
				test.change(c, &line)
			}
			got := assess(t, c, line)
			require.Equal(t, test.want, reasonsOf(got))
			require.Equal(t, test.missing, got.Waiting() > 0)
			if test.missing {
				require.NotEmpty(t, got.Parts[0].Missing)
				require.NotEmpty(t, got.Parts[0].Remedy)
			}
		})
	}
}

func transferred(scheme, on string, agreed bool) func(*rules.Context, *rules.ClaimLine) {
	return func(c *rules.Context, l *rules.ClaimLine) {
		day, err := period.ParseDate(on)
		if err != nil {
			panic(err)
		}
		l.Facts.InBaseline, l.Facts.TransferScheme, l.Facts.TransferredOn = rules.Yes, scheme, day
		if agreed {
			c.Decisions = []rules.Decision{always(rules.TransferAgreed, nil, period.Date{})}
		}
	}
}

func TestAssess_LaterMentalHealthPostFollowsTheAgreedShare(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2025)
	c.Decisions = []rules.Decision{always(rules.ShareAgreed, big.NewRat(3, 4), period.Date{})}
	line := lineFor(t, rules.MentalHealth, "2025-05")
	line.Band, line.Post, line.Region, line.Known = "7", rules.LaterPost, rules.OuterLondon, line.Month.First()
	line.Salary, line.EmployerNI, line.EmployerPension = 800_000, 0, 0
	got := assess(t, c, line)
	require.Equal(t, "4520.44", got.Payable.Plain(), "three quarters of 72,327 ÷ 12")
	require.Equal(t, rules.ReasonNetworkShare+" "+rules.ReasonOverMaximum, reasonsOf(got))
}

func TestAssess_ScalesTheMaximumOfAPartMonth(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	line := lineFor(t, rules.ClinicalPharmacist, "2023-06")
	line.Start, line.Salary = date(t, "2023-06-11"), 600_000
	got := assess(t, c, line)
	require.Equal(t, "3295.11", got.Payable.Plain(), "59,312 ÷ 12 × 20 ÷ 30")
	require.Equal(t, 20, got.Days)

	c.Settings = []rules.Setting{{ID: "S", CommissionerCode: "QX", Name: rules.SettingPartMonth, Value: rules.PartMonthWholeMonth, From: month(t, "2023-04")}}
	require.Equal(t, "4942.67", assess(t, c, line).Payable.Plain(), "59,312 ÷ 12")
	c.Settings[0].CommissionerCode = "QY"
	require.Equal(t, "3295.11", assess(t, c, line).Payable.Plain(), "another commissioner's convention")
}

func TestAssess_RoundsOnceAndByConvention(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2025)
	line := lineFor(t, rules.ClinicalPharmacist, "2025-05")
	line.Region, line.Known, line.Salary = rules.OuterLondon, line.Month.First(), 700_000
	line.PerWeek = big.NewRat(25, 1)
	require.Equal(t, "4132.89", assess(t, c, line).Payable.Plain(), "74,392 × 2 ÷ 3 ÷ 12 = 4,132.888…")
	c.Settings = []rules.Setting{{Name: rules.SettingRounding, Value: rules.RoundingDown, CommissionerCode: rules.England}}
	require.Equal(t, "4132.88", assess(t, c, line).Payable.Plain())
}

func TestAssess_CountsOnePersonAsOne(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	line := lineFor(t, rules.ClinicalPharmacist, "2023-08")
	line.PerWeek, line.Salary = big.NewRat(40, 1), 900_000
	got := assess(t, c, line)
	require.Equal(t, "5195.00", got.Payable.Plain(), "62,340 ÷ 12, not × 40 ÷ 37.5")
	require.Equal(t, "16/15", money.Format(got.WTE))

	c.Decisions = []rules.Decision{always(rules.OverCeilingAgreed, big.NewRat(11, 10), period.Date{})}
	require.Equal(t, "5541.33", assess(t, c, line).Payable.Plain(), "× 40 ÷ 37.5, as agreed")
	c.Decisions[0].ID, c.Decisions[0].Value = "agreement", big.NewRat(21, 20)
	less := assess(t, c, line)
	require.Equal(t, "5454.75", less.Payable.Plain(), "× 1.05, as agreed")
	at := slices.IndexFunc(less.Working.Inputs, func(in working.Input) bool { return in.Name == "most WTE of one person" })
	require.Equal(t, "agreement", less.Working.Inputs[at].Origin.Ref)

	// Two posts of one person share the one WTE, by the day.
	c.Decisions = nil
	first, second := line, line
	first.PerWeek, second.PerWeek = big.NewRat(30, 1), big.NewRat(15, 1)
	second.ID, second.EngagementID, second.Start = "L2", "E2", date(t, "2023-08-17")
	year, err := rules.AssessYear(c, []rules.ClaimLine{first, second})
	require.NoError(t, err)
	require.Equal(t, "4156.00", year.Lines[0].Payable.Plain(), "0.8 WTE")
	require.Equal(t, "502.74", year.Lines[1].Payable.Plain(), "0.2 WTE for 15 days of 31")
	require.Equal(t, rules.ReasonOverMaximum, reasonsOf(&year.Lines[0]), "0.8 WTE is all that it claims")
	require.Equal(t, rules.ReasonOverMaximum+" "+rules.ReasonOverCeiling, reasonsOf(&year.Lines[1]), "0.4 WTE is claimed, and half of it counts")
	require.Equal(t, "502.74", year.Lines[1].Parts[1].Amount.Plain())
}

func TestAssessYear_SharesANumberBetweenPeopleByTheDay(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2024)
	leaver, joiner, third := lineFor(t, "EPN", "2024-06"), lineFor(t, "EPN", "2024-06"), lineFor(t, "EPN", "2024-06")
	leaver.End = date(t, "2024-06-10")
	joiner.ID, joiner.EngagementID, joiner.Person, joiner.Start = "L2", "E2", "P2", date(t, "2024-06-06")
	third.ID, third.EngagementID, third.Person = "L3", "E3", "P3"
	for _, line := range []*rules.ClaimLine{&leaver, &joiner, &third} {
		line.Salary, line.EmployerNI, line.EmployerPension = 250_000, 0, 0
	}
	year, err := rules.AssessYear(c, []rules.ClaimLine{leaver, joiner, third})
	require.NoError(t, err)
	for i := range year.Lines {
		requireHolds(t, &year.Lines[i])
	}
	require.Equal(t, "10", money.Format(year.Lines[0].AdmittedWTEDays))
	require.Equal(t, "20", money.Format(year.Lines[1].AdmittedWTEDays), "from 11 June on, of 25 days claimed")
	require.Equal(t, "2000.00", year.Lines[1].Payable.Plain())
	require.Equal(t, rules.Reduced, year.Lines[1].Tests[0].Outcome)
	// The third is claimed for the whole month from 1 June, and finds no day.
	require.Equal(t, rules.ReasonLimitReached, reasonsOf(&year.Lines[2]))
	require.Equal(t, rules.Failed, year.Lines[2].Tests[0].Outcome)
	require.Equal(t, rules.NotReached, year.Lines[2].Tests[3].Outcome)

	c.List.Patients = 100_000
	year, err = rules.AssessYear(c, []rules.ClaimLine{leaver, joiner, third})
	require.NoError(t, err)
	require.Equal(t, "25", money.Format(year.Lines[1].AdmittedWTEDays), "two posts from 100,000 patients on")
}

func TestAssessYear_PaysADayOnce(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	whole, again, half := lineFor(t, "CC", "2023-05"), lineFor(t, "CC", "2023-05"), lineFor(t, "CC", "2023-05")
	again.ID, half.ID = "L2", "L3"
	half.From = date(t, "2023-05-20")
	year, err := rules.AssessYear(c, []rules.ClaimLine{whole, again, half})
	require.NoError(t, err)
	require.Positive(t, year.Lines[0].Payable)
	require.Equal(t, rules.ReasonAlreadyClaimed, reasonsOf(&year.Lines[1]))
	require.Equal(t, rules.ReasonAlreadyClaimed, reasonsOf(&year.Lines[2]))

	whole.To = date(t, "2023-05-19")
	year, err = rules.AssessYear(c, []rules.ClaimLine{whole, half})
	require.NoError(t, err)
	require.Positive(t, year.Lines[1].Payable, "the rest of the month is another claim")
}

func TestAssessYear_PaysInClaimOrder(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2023)
	c.Sums = []rules.PotSum{{Pot: rules.MainPot, Usable: 400_000}}
	late, early := lineFor(t, "CC", "2023-06"), lineFor(t, "CC", "2023-05")
	early.ID = "L2"
	lines := []rules.ClaimLine{late, early}
	year, err := rules.AssessYear(c, lines)
	require.NoError(t, err)
	require.Equal(t, "2645.50", year.Lines[0].Payable.Plain(), "31,746 ÷ 12")
	require.Equal(t, "1354.50", year.Lines[1].Payable.Plain())
	require.Equal(t, "1291.00", year.Pots[0].Unfunded.Plain())
	require.Zero(t, year.Pots[0].Left)
}

func TestAssessYear_KeepsThePotsOf2024Apart(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2024)
	c.Sums = []rules.PotSum{{Pot: rules.MainPot, Usable: 10_000_000}, {Pot: rules.GPPot, Usable: 100_000}}
	gp, nurse := lineFor(t, rules.GP, "2024-11"), lineFor(t, "EPN", "2024-11")
	gp.Salary = 800_000
	nurse.ID, nurse.EngagementID, nurse.Person = "L2", "E2", "P2"
	year, err := rules.AssessYear(c, []rules.ClaimLine{gp, nurse})
	require.NoError(t, err)
	require.Equal(t, rules.GPPot, year.Lines[0].Pot)
	require.EqualValues(t, 100_000, year.Lines[0].Payable, "the main pot never helps out")
	require.Equal(t, rules.MainPot, year.Lines[1].Pot)
	require.Equal(t, []rules.Pot{rules.GPPot, rules.MainPot}, []rules.Pot{year.Pots[0].Pot, year.Pots[1].Pot})
}

func TestAssess_FollowsWhatWasKnown(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2025)
	line := lineFor(t, rules.ClinicalPharmacist, "2025-05")
	line.Salary, line.Known = 700_000, date(t, "2025-06-05")
	require.Equal(t, "5581.00", assess(t, c, line).Payable.Plain(), "66,972 ÷ 12")
	line.Known = date(t, "2025-08-05")
	later := assess(t, c, line)
	require.Equal(t, "CP-NAT-2025-04-UPLIFTED", later.PriceID)
	require.Equal(t, working.Inferred, later.Confidence)
	line.Region = rules.OuterLondon
	require.Equal(t, rules.ReasonPriceUnknown, reasonsOf(assess(t, c, line)), "the uplifted London price was not found")
}

// A price goes by its own day, so that a correction pays no backdated one, and sees every other figure as it is known by now.
func TestAssess_TakesPricesAsKnownOnAnotherDay(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2025)
	line := lineFor(t, rules.ClinicalPharmacist, "2025-05")
	line.Salary, line.PriceKnown = 700_000, date(t, "2025-06-05")
	require.Equal(t, "5581.00", assess(t, c, line).Payable.Plain(), "66,972 ÷ 12")

	c = contextFor(t, 2020)
	own := *c.Scheme
	c.Scheme = &own
	line = lineFor(t, "FCP", "2020-05")
	line.PriceKnown = date(t, "2020-06-05")
	require.Equal(t, rules.ReasonLimitUnknown, reasonsOf(assess(t, c, line)))
	entered := rules.Limit{Role: "FCP", Months: rules.Months{From: c.Year.First(), To: c.Year.Last()}, ListTo: -1, Certain: big.NewRat(1, 1), Most: big.NewRat(1, 1)}
	entered.ID, entered.CommissionerCode, entered.Confidence, entered.KnownFrom = "OWN", c.Commissioner, working.Official, date(t, "2026-01-10")
	own.Limits = append(own.Limits, entered)
	require.Empty(t, reasonsOf(assess(t, c, line)))
}

func TestAssess_TakesWhatACommissionerEntered(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2021)
	own := *c.Scheme
	c.Scheme = &own
	entered := priceOf(big.NewRat(56_500, 1))
	entered.ID, entered.Role, entered.Band, entered.CommissionerCode = "OWN", rules.ClinicalPharmacist, "7-8a", "QX"
	entered.Months, entered.KnownFrom = rules.Months{From: c.Year.First(), To: c.Year.Last()}, date(t, "2021-05-20")
	own.Prices = rules.NewPrices(append(own.Prices.Rows(), entered))
	line := lineFor(t, rules.ClinicalPharmacist, "2021-05")
	line.Salary = 600_000
	require.Equal(t, "4708.33", assess(t, c, line).Payable.Plain())
	line.Known = date(t, "2021-05-19")
	require.Equal(t, rules.ReasonPriceUnknown, reasonsOf(assess(t, c, line)))
	line.Known = period.Date{}
	c.Commissioner = "QY"
	require.Equal(t, rules.ReasonPriceUnknown, reasonsOf(assess(t, c, line)))
}

func TestAssessYear_RefusesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	cases := map[string]func(*rules.ClaimLine){
		"id":               func(l *rules.ClaimLine) { l.ID = "" },
		"engagement_id":    func(l *rules.ClaimLine) { l.EngagementID = "" },
		"person":           func(l *rules.ClaimLine) { l.Person = "" },
		"month":            func(l *rules.ClaimLine) { l.Month = l.Month.Add(12) },
		"start_date":       func(l *rules.ClaimLine) { l.Start = period.Date{} },
		"per_week":         func(l *rules.ClaimLine) { l.PerWeek = new(big.Rat) },
		"training_share":   func(l *rules.ClaimLine) { l.TrainingShare = big.NewRat(3, 2) },
		"monthly_salary":   func(l *rules.ClaimLine) { l.Salary = -987_654 },
		"monthly_fees":     func(l *rules.ClaimLine) { l.Fees = -987_654 },
		"amounts together": func(l *rules.ClaimLine) { l.Salary, l.EmployerNI = 1<<62, 1<<62 },
	}
	for field, change := range cases {
		line := lineFor(t, "CC", "2023-05")
		change(&line)
		_, err := rules.Assess(contextFor(t, 2023), line)
		refused, ok := fault.As(err)
		require.True(t, ok, field)
		require.Equal(t, fault.Invalid, refused.Kind)
		require.NotContains(t, err.Error(), "987", "pay is not repeated")
		if len(refused.Violations) > 0 {
			require.Equal(t, field, refused.Violations[0].Field)
		}
	}
	line := lineFor(t, "CC", "2023-05")
	_, err := rules.AssessYear(contextFor(t, 2023), []rules.ClaimLine{line, line})
	requireReason(t, err, rules.ReasonLineTwice)
	c := contextFor(t, 2023)
	c.Settings = []rules.Setting{{Name: rules.SettingWTECeiling, Value: "many", CommissionerCode: rules.England}}
	_, err = rules.Assess(c, line)
	requireReason(t, err, rules.ReasonSettingInvalid)
}

func TestAssess_TestsAreNamedInOrderWithTheirNumbers(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2024)
	got := assess(t, c, lineFor(t, "EPN", "2024-06"))
	names := []string{"ROLE_AND_LIMITS", "ADDITIONALITY", "MONTHLY_MAXIMUM", "YEARLY_SUM"}
	for i, test := range got.Tests {
		require.Equal(t, names[i], test.Test.String())
		require.Equal(t, rules.Passed, test.Outcome)
		require.Empty(t, test.Reasons)
	}
	require.Equal(t, []string{"WTE claimed", "days claimed", "WTE-days counted", "limit"}, numbersOf(got.Tests[0]))
	require.Equal(t, []string{"percent payable", "monthly maximum"}, numbersOf(got.Tests[2]))
	require.Equal(t, []string{"left of the year's sum"}, numbersOf(got.Tests[3]))
	require.NotEmpty(t, working.Sentences(got.Working))
}

func numbersOf(r rules.Result) []string {
	var names []string
	for _, number := range r.Numbers {
		names = append(names, number.Name)
	}
	return names
}

func TestAssess_CarriesTheConfidenceOfTheSum(t *testing.T) {
	t.Parallel()
	c := contextFor(t, 2022)
	sums, err := rules.Entitle(c.Scheme.SumRates, 2022, rules.Population{Value: big.NewRat(50_000, 1)}, "QX", period.Date{})
	require.NoError(t, err)
	sum, err := rules.Usable(sums[0], 0, 0)
	require.NoError(t, err)
	c.Sums = []rules.PotSum{sum}
	require.Equal(t, working.Inferred, assess(t, c, lineFor(t, "CC", "2022-11")).Confidence, "the rate of 2022/23 is inferred")
}

func TestPricesAt_PrefersTheLaterKnownTheOwnAndTheConfirmed(t *testing.T) {
	t.Parallel()
	row := func(id, commissioner, known string, confidence working.Confidence, gbp int64) rules.Price {
		price := priceOf(big.NewRat(gbp, 1))
		price.ID, price.CommissionerCode, price.Confidence, price.KnownFrom = id, commissioner, confidence, date(t, known)
		price.Role, price.Months = "CC", rules.Months{From: month(t, "2023-04"), To: month(t, "2024-03")}
		return price
	}
	first := row("first", rules.England, "2023-04-01", working.Secondary, 1)
	cases := []struct {
		name string
		rows []rules.Price
		want string
	}{
		{"later known", []rules.Price{first, row("second", rules.England, "2023-05-01", working.Official, 2)}, "second"},
		{"of one day the later recorded", []rules.Price{first, row("second", rules.England, "2023-04-01", working.Official, 2)}, "second"},
		{"known earlier, recorded later", []rules.Price{row("second", rules.England, "2023-05-01", working.Official, 2), first}, "second"},
		{"own", []rules.Price{row("own", "QX", "2023-04-01", working.Official, 2), row("second", rules.England, "2023-05-01", working.Official, 3)}, "own"},
		{"of another", []rules.Price{first, row("other", "QY", "2023-05-01", working.Official, 2)}, "first"},
		{"candidate beside payable", []rules.Price{first, row("candidate", rules.England, "2023-05-01", working.Candidate, 2)}, "first"},
		{"own candidate beside payable", []rules.Price{first, row("candidate", "QX", "2023-05-01", working.Candidate, 2)}, "first"},
		{"payable after candidate", []rules.Price{row("candidate", "QX", "2023-05-01", working.Candidate, 2), first}, "first"},
		{"known too late", []rules.Price{first, row("second", rules.England, "2023-08-01", working.Official, 2)}, "first"},
	}
	for _, c := range cases {
		key := rules.PriceKey{Role: "CC", Region: rules.National}
		price, err := rules.NewPrices(c.rows).At(key, "QX", month(t, "2023-06"), date(t, "2023-07-31"))
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, price.ID, c.name)
	}
}

func TestAssess_CountsTheFeeOfOnePersonAsOne(t *testing.T) {
	t.Parallel()
	line := lineFor(t, rules.LinkWorker, "2023-08")
	line.PerWeek, line.Salary, line.EmployerNI, line.EmployerPension, line.Fees = big.NewRat(40, 1), 100_000, 0, 0, 50_000
	require.Equal(t, "1200.00", assess(t, contextFor(t, 2023), line).Payable.Plain(), "200 for one WTE")
	line.Start = date(t, "2023-08-17")
	require.Equal(t, "1096.77", assess(t, contextFor(t, 2023), line).Payable.Plain(), "200 × 15 ÷ 31")
}
