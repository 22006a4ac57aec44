package rules_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// payment is a working that comes to some pence.
func payment(amount money.Pence, confidence working.Confidence) *working.Working {
	b := new(working.Builder)
	points := b.Input("points", big.NewRat(int64(amount), 20000), "points", working.Origin{Kind: working.FromDeclaration, Confidence: confidence})
	price := b.Input("GBP_per_point", big.NewRat(200, 1), "GBP", working.Origin{Kind: working.FromRate})
	b.Step("payment", working.Multiply, "GBP", "", points, price)
	return b.Done()
}

func dueItem(pcn, code, correction string, amount money.Pence) rules.DueItem {
	return rules.DueItem{PCNCode: pcn, Year: 2023, Code: code, CorrectionID: correction, Amount: amount, Working: payment(amount, working.Secondary)}
}

func heldLine(pcn, code, id string, amount money.Pence) rules.HeldLine {
	return rules.HeldLine{LineID: id, PCNCode: pcn, Year: 2023, Code: code, Amount: amount, Confidence: working.Inferred}
}

var june = period.NewMonth(2024, 6)

func TestDue_OneAmountKeepsItsWorking(t *testing.T) {
	t.Parallel()
	item := dueItem("U1", "HI-03", "", 12345)
	lines, err := rules.Due([]rules.DueItem{item}, nil, june)
	require.NoError(t, err)
	require.Equal(t, []rules.DueLine{{PCNCode: "U1", Year: 2023, Code: "HI-03", Years: 1, New: 12345, Amount: 12345, Working: item.Working}}, lines)
}

func TestDue_AddsUpWhatIsOfOneIndicator(t *testing.T) {
	t.Parallel()
	lines, err := rules.Due([]rules.DueItem{
		dueItem("U1", "HI-03", "c2", -200), dueItem("U1", "HI-03", "", 1000), dueItem("U1", "HI-03", "c1", 50), dueItem("U1", "CAN-02", "", 7), dueItem("U0", "HI-03", "", 9),
	}, []rules.HeldLine{heldLine("U1", "HI-03", "l1", 30), heldLine("U2", "HI-03", "l2", 4)}, june)
	require.NoError(t, err)
	var said []string
	for i := range lines {
		l := &lines[i]
		said = append(said, strings.Join([]string{l.PCNCode, l.Code, l.New.String(), l.Amount.String()}, " "))
		requireGives(t, l.Working, l.Amount)
	}
	require.Equal(t, []string{"U0 HI-03 £0.09 £0.09", "U1 CAN-02 £0.07 £0.07", "U1 HI-03 £8.50 £8.80", "U2 HI-03 £0.00 £0.04"}, said)
	several := lines[2]
	require.Equal(t, []int{1, 2, 1}, []int{several.Years, several.Corrections, len(several.Held)})
	require.Equal(t, working.Inferred, several.Working.Confidence(), "the least of what goes in")
	last := several.Working.Steps[len(several.Working.Steps)-1]
	require.Equal(t, []string{"year: payment", "correction c1: payment", "correction c2: payment", "line l1"}, last.Operands, "the year first, then its corrections in order")
}

func TestDue_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	other := dueItem("U1", "HI-03", "", 5)
	other.Amount = 6
	none := dueItem("U1", "HI-03", "", 5)
	none.Working = nil
	for name, items := range map[string][]rules.DueItem{"a working of other pence": {other}, "no working": {none}} {
		require.Panics(t, func() { _, _ = rules.Due(items, nil, june) }, name)
	}
	require.Panics(t, func() {
		_, _ = rules.Due([]rules.DueItem{dueItem("U1", "HI-03", "", 5)}, nil, period.NewMonth(2024, 2))
	}, "a year is not paid before its last month")
}

func TestDueOf_LeavesOutWhatComesToNothing(t *testing.T) {
	t.Parallel()
	year := &rules.Year{PCN: "U1", Due: 30, Results: []rules.Result{
		{Code: "HI-03", Due: rules.Payment{Amount: 10, Working: payment(10, 0)}},
		{Code: "CAN-02", Due: rules.Payment{Working: payment(0, 0)}},
		{Code: "ACC-08", Due: rules.Payment{Amount: 20, Working: payment(20, 0)}},
	}}
	items, err := rules.DueOf(year, 2023)
	require.NoError(t, err)
	require.Len(t, items, 2)
	require.Equal(t, []string{"HI-03", "ACC-08"}, []string{items[0].Code, items[1].Code})

	year.Due = 31
	require.Panics(t, func() { _, _ = rules.DueOf(year, 2023) }, "a year is the sum of its indicators")
	year.Due, year.Missing = 30, []string{"HI-03"}
	require.Panics(t, func() { _, _ = rules.DueOf(year, 2023) }, "a year that is not whole is not approved")
}

func TestTakenBack_GivesTheAmountTheOtherWay(t *testing.T) {
	t.Parallel()
	for _, amount := range []money.Pence{100, -100} {
		requireGives(t, heldLine("U1", "HI-03", "l1", amount).TakenBack(), -amount)
	}
}

// Nothing is lost or paid twice, and whatever goes in, each line's working gives its pence.
func TestDue_ComesToWhatGoesIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var items []rules.DueItem
		var held []rules.HeldLine
		var sum money.Pence
		for range rapid.IntRange(0, 12).Draw(t, "parts") {
			pcn, code := rapid.SampledFrom([]string{"U1", "U2"}).Draw(t, "PCN"), rapid.SampledFrom([]string{"HI-03", "CAN-02"}).Draw(t, "indicator")
			amount := money.Pence(rapid.Int64Range(-100000, 100000).Draw(t, "amount"))
			id := "x" + big.NewInt(int64(len(items)+len(held))).String()
			if rapid.Bool().Draw(t, "held") {
				held = append(held, heldLine(pcn, code, id, amount))
			} else {
				items = append(items, dueItem(pcn, code, id, amount))
			}
			sum += amount
		}
		lines, err := rules.Due(items, held, june)
		require.NoError(t, err)
		for i := range lines {
			requireGives(t, lines[i].Working, lines[i].Amount)
			sum -= lines[i].Amount
		}
		require.Zero(t, sum)
		again, err := rules.Due(rapid.Permutation(items).Draw(t, "another order"), held, june)
		require.NoError(t, err)
		require.Equal(t, lines, again)
	})
}

func TestSums_AreRefusedBeyondWhatPenceHold(t *testing.T) {
	t.Parallel()
	most := rules.Payment{Amount: math.MaxInt64}
	year := &rules.Year{PCN: "U1", Due: -2, Results: []rules.Result{{Code: "HI-03", Due: most}, {Code: "CAN-02", Due: most}}}
	_, err := rules.DueOf(year, 2023)
	requireReason(t, err, money.ReasonOverflow)
	_, err = rules.Correct(year, []rules.Paid{{Code: "HI-03", Amount: math.MaxInt64}, {Code: "CAN-02", Amount: math.MaxInt64}})
	requireReason(t, err, money.ReasonOverflow)
}
