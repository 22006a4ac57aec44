package rules_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

func dueClaim(id, month string, pence money.Pence) rules.DueClaim {
	m, err := period.ParseMonth(month)
	if err != nil {
		panic(err)
	}
	return rules.DueClaim{ClaimID: id, PCNCode: "U1", Month: m, Year: m.FinancialYear(), Pot: rules.MainPot, Amount: pence, Lines: 1}
}

func TestDue_SetsApartPotsAndYears(t *testing.T) {
	other := dueClaim("c4", "2025-01", 8)
	other.Pot = rules.GPPot
	totals, err := rules.Due([]rules.DueClaim{
		dueClaim("c1", "2025-02", 1), dueClaim("c2", "2024-03", 2), dueClaim("c3", "2024-12", 4), other,
	}, nil, period.NewMonth(2025, 2))
	require.NoError(t, err)
	var got []string
	for i := range totals {
		total := &totals[i]
		got = append(got, fmt.Sprintf("%s %s for %s: %d claims %s to %s, %d", total.Pot, total.Year, total.ForMonth, total.Claims, total.First, total.Last, total.Amount))
		result, err := working.Evaluate(total.Working)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(total.Amount.GBP()))
	}
	require.Equal(t, []string{
		"gp 2024/25 for 2025-02: 1 claims 2025-01 to 2025-01, 8",
		"main 2023/24 for 2024-03: 1 claims 2024-03 to 2024-03, 2",
		"main 2024/25 for 2025-02: 2 claims 2024-12 to 2025-02, 5",
	}, got)
}

func TestDue_AddsUpMoreClaimsThanAStepTakes(t *testing.T) {
	var claims []rules.DueClaim
	for i := range 2500 {
		claims = append(claims, dueClaim(fmt.Sprintf("c%04d", i), "2025-01", 3))
	}
	totals, err := rules.Due(claims, nil, period.NewMonth(2025, 2))
	require.NoError(t, err)
	require.Len(t, totals, 1)
	require.Equal(t, money.Pence(7500), totals[0].Amount)
	result, err := working.Evaluate(totals[0].Working)
	require.NoError(t, err)
	require.Zero(t, result.Cmp(money.Pence(7500).GBP()))
}

func TestDue_RefusesWhatCannotBeDue(t *testing.T) {
	totals, err := rules.Due(nil, nil, period.NewMonth(2025, 2))
	require.NoError(t, err)
	require.Empty(t, totals)
	for name, claim := range map[string]rules.DueClaim{
		"a later month": dueClaim("c1", "2025-03", 1), "a later year": dueClaim("c1", "2025-04", 1),
	} {
		require.Panics(t, func() { _, _ = rules.Due([]rules.DueClaim{claim}, nil, period.NewMonth(2025, 2)) }, name)
	}
}
