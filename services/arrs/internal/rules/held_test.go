package rules_test

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// drawMeeting makes the lines of a year in which a few persons, engagements and roles meet often.
func drawMeeting(t *rapid.T, year period.FinancialYear) []rules.ClaimLine {
	roles := []string{rules.ClinicalPharmacist, "DTL", "AP", rules.LinkWorker, "PA", "NOPE"}
	lines := make([]rules.ClaimLine, rapid.IntRange(1, 14).Draw(t, "lines"))
	for i := range lines {
		engagement := rapid.IntRange(0, 7).Draw(t, "engagement")
		month := year.First().Add(rapid.IntRange(0, 1).Draw(t, "month"))
		line := rules.ClaimLine{
			ID: fmt.Sprintf("L%02d", i), EngagementID: fmt.Sprintf("E%d", engagement), Person: fmt.Sprintf("P%d", engagement/2), Role: roles[engagement%len(roles)],
			Month: month, Start: year.First().First(), PerWeek: big.NewRat(int64(rapid.IntRange(1, 80).Draw(t, "half hours")), 2),
			Salary: money.Pence(rapid.Int64Range(0, 900_000).Draw(t, "salary")), EmployerNI: money.Pence(rapid.Int64Range(0, 90_000).Draw(t, "ni")),
			EmployerPension: money.Pence(rapid.Int64Range(0, 90_000).Draw(t, "pension")), Fees: money.Pence(rapid.Int64Range(0, 20_000).Draw(t, "fees")),
			Facts: rules.Facts{OnPathway: rapid.SampledFrom([]rules.Answer{rules.Yes, rules.No, rules.Unstated}).Draw(t, "pathway"), Level7: rules.Yes},
		}
		if rapid.Bool().Draw(t, "starts late") {
			line.Start = month.First().AddDays(rapid.IntRange(0, 27).Draw(t, "starts"))
		}
		if rapid.Bool().Draw(t, "leaves") {
			line.End = month.First().AddDays(rapid.IntRange(0, 35).Draw(t, "left"))
		}
		lines[i] = line
	}
	return lines
}

// TestAssessYear_ClaimByClaim holds that a year comes to the same whether its lines are assessed together or claim by claim, each after
// what the lines before it hold in its months and were paid.
func TestAssessYear_ClaimByClaim(t *testing.T) {
	t.Parallel()
	known := scheme(t)
	rapid.Check(t, func(t *rapid.T) {
		year := rapid.SampledFrom([]period.FinancialYear{2022, 2023, 2025}).Draw(t, "year")
		pot := rules.MainPot
		if year == 2025 {
			pot = rules.SinglePot
		}
		whole := rules.Context{
			Scheme: known, Year: year, PCN: "U1", Commissioner: "15N", Region: rules.National, List: rules.ListSize{Patients: 40_000, Known: true},
			Baselines: []rules.Baseline{{ID: "b1", Role: rules.ClinicalPharmacist, WTE: big.NewRat(1, 2)}, {ID: "b2", Role: "PA", WTE: new(big.Rat)}},
			Employed: []rules.Employed{
				{ID: "e1", Role: rules.ClinicalPharmacist, Month: year.First(), WTE: big.NewRat(3, 2)}, {ID: "e2", Role: "PA", Month: year.First().Add(1), WTE: big.NewRat(1, 3)},
			},
			Sums: []rules.PotSum{{Pot: pot, Usable: money.Pence(rapid.Int64Range(0, 3_000_000).Draw(t, "sum"))}},
		}
		lines := drawMeeting(t, year)
		together, err := rules.AssessYear(&whole, lines)
		require.NoError(t, err)

		var held []rules.Held
		var paid money.Pence
		for start := 0; start < len(lines); {
			end := min(len(lines), start+rapid.IntRange(1, 4).Draw(t, "lines of a claim"))
			months := make(map[period.Month]bool)
			for _, line := range lines[start:end] {
				months[line.Month] = true
			}
			part := whole
			part.Before = nil
			for _, h := range held {
				if months[h.Month] {
					part.Before = append(part.Before, h)
				}
			}
			part.Sums = []rules.PotSum{{Pot: pot, Usable: whole.Sums[0].Usable, PaidBefore: paid}}
			alone, err := rules.AssessYear(&part, lines[start:end])
			require.NoError(t, err)
			for i := range alone.Lines {
				require.Equal(t, together.Lines[start+i], alone.Lines[i])
				held = append(held, alone.Lines[i].Held)
				paid += alone.Lines[i].Payable
			}
			start = end
		}
	})
}

func TestReplaced_OnlyWhereTheMaximumWasBackdated(t *testing.T) {
	t.Parallel()
	c := &rules.Context{Scheme: scheme(t), Commissioner: "15N", Region: rules.National}
	for text, want := range map[string]bool{"2025-04": true, "2025-07": true, "2025-08": false, "2024-11": false} {
		line := rules.ClaimLine{Role: rules.ClinicalPharmacist, Month: month(t, text)}
		require.Equal(t, want, rules.Replaced(c, &line, date(t, "2026-01-15")), text)
		require.False(t, rules.Replaced(c, &line, date(t, "2025-07-31")), "%s: not known yet", text)
	}
	require.False(t, rules.Replaced(c, &rules.ClaimLine{Role: "NOPE", Month: month(t, "2025-04")}, date(t, "2026-01-15")))
}

func TestKeptSince_ReadsTheSetting(t *testing.T) {
	t.Parallel()
	today := date(t, "2026-01-15")
	since, err := rules.KeptSince(nil, "15N", today)
	require.NoError(t, err)
	require.Equal(t, date(t, "2019-01-15"), since)
	set := []rules.Setting{{ID: "s", CommissionerCode: "15N", Name: rules.SettingRetentionMonths, Value: "24", From: month(t, "2020-01")}}
	since, err = rules.KeptSince(set, "15N", today)
	require.NoError(t, err)
	require.Equal(t, date(t, "2024-01-15"), since)
	since, err = rules.KeptSince(set, "11N", today)
	require.NoError(t, err)
	require.Equal(t, date(t, "2019-01-15"), since, "another's setting")
	for _, text := range []string{"", "23", "1201", "x", "24.5"} {
		_, err := rules.RetentionMonths(text)
		require.Error(t, err, text)
	}
	set[0].Value = "0"
	_, err = rules.KeptSince(set, "15N", today)
	require.Error(t, err)
}
