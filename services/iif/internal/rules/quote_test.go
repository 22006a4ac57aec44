package rules_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// TestQuotePoints_PaysWhatCountsThatEarnThemPay asks for the points that counts have earned, with the adjustments of the network.
func TestQuotePoints_PaysWhatCountsThatEarnThemPay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		for i := range at.Indicators {
			it := &at.Indicators[i]
			c := drawCounts(t, it)
			got, err := rules.Assess(at, it, n, &c)
			require.NoError(t, err)
			if it.Status != rules.Active || it.Override != nil || !got.Due.Known() {
				continue
			}
			q := rules.Quotation{Prevalence: map[string]rules.Given{it.Code: {Value: got.Prevalence}}}
			paid, err := rules.QuotePoints(at, it, n, rules.Given{Value: got.Due.Points}, q)
			require.NoError(t, err)
			require.True(t, paid.Known(), it.ID)
			require.Equal(t, got.Due.Amount, paid.Amount, it.ID)
			require.Zero(t, got.Due.Points.Cmp(paid.Points), it.ID)
			requireGives(t, paid.Working, paid.Amount)
		}
	})
}

// TestQuoteAdjustments_AreThoseOfThePayment holds the adjustments against those of all points, and the identity between them.
func TestQuoteAdjustments_AreThoseOfThePayment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, n := drawTerms(t), drawNetwork(t)
		register := rapid.Int64Range(1, 5_000).Draw(t, "register")
		for i := range at.Indicators {
			it := &at.Indicators[i]
			got, err := rules.QuoteAdjustments(at, it, n, rules.Given{Value: big.NewRat(register, 1)}, rules.Quotation{})
			require.NoError(t, err)
			product, err := working.Evaluate(got.Working)
			require.NoError(t, err)
			require.Zero(t, product.Cmp(got.Product), it.ID)
			require.Zero(t, product.Cmp(new(big.Rat).Mul(got.ListSize, got.Prevalence)), it.ID)
			if got.Share == nil {
				require.Zero(t, got.Prevalence.Cmp(big.NewRat(1, 1)), it.ID)
				continue
			}
			require.Zero(t, got.Share.Cmp(product), it.ID)
			require.Zero(t, new(big.Rat).Mul(got.AverageRegister, got.Share).Cmp(big.NewRat(register, 1)), it.ID)
		}
	})
}

func TestQuotePoints_RefusesWhatCannotBeEarned(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, year, code, points, reason string
	}{
		{"one part too many", "2025/26", "CAN-04", "22.0001", rules.ReasonFigureInvalid},
		{"fewer than none", "2025/26", "CAN-04", "-1", rules.ReasonFigureInvalid},
		{"suspended", "2021/22", "HI-02", "1", rules.ReasonIndicatorSuspended},
		{"replaced", "2024/25", "CAN-02", "1", rules.ReasonIndicatorReplaced},
		{"unknown points", "2022/23", "VI-01", "1", rules.ReasonPointsUnknown},
		{"undefined", "2020/21", "MED-SAFETY-2", "1", rules.ReasonPointsUnknown},
		{"an unknown list", "2025/26", "CAN-04", "1", rules.ReasonAverageNotConfirmed},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			at := terms(t, row.year)
			it, found := at.Find(row.code)
			require.True(t, found)
			got, err := rules.QuotePoints(at, it, new(rules.Network), rules.Given{Value: decimal(t, row.points)}, rules.Quotation{})
			if err != nil {
				require.Equal(t, row.reason, fault.ReasonOf(err))
				return
			}
			require.Equal(t, row.reason, got.Refused.Reason)
			require.NotEmpty(t, got.Refused.Meta["missing"])
			require.NotEmpty(t, got.Refused.Meta["remedy"])
		})
	}
}

func TestQuoteNationalValue_NamesWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	share := rules.Given{Value: big.NewRat(9, 10)}
	at := terms(t, "2021/22")
	whole, err := rules.QuoteNationalValue(at, at.WholeScheme(), share, 1251)
	require.NoError(t, err)
	require.Equal(t, "87595020", whole.Result().RatString()) // 389 × £200 × 0.9 × 1,251
	at = terms(t, "2022/23")
	it, _ := at.Find("VI-01")
	_, err = rules.QuoteNationalValue(at, it, share, 1251)
	require.Equal(t, rules.ReasonPointsUnknown, fault.ReasonOf(err))
	_, err = rules.QuoteNationalValue(at, at.WholeScheme(), rules.Given{Value: big.NewRat(-1, 10)}, 1251)
	require.Equal(t, rules.ReasonFigureInvalid, fault.ReasonOf(err))
}
