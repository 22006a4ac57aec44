package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// chance makes cells of every kind.
func chance(r *rand.Rand) Cells {
	var out Cells
	for range r.IntN(9) {
		c := Cell{Measure: feed.Measure(1 + r.IntN(7)), Cell: rules.Count(r.Int64N(math.MaxInt64)), Defaulted: r.IntN(2) == 0, ByHand: r.IntN(2) == 0}
		if r.IntN(3) == 0 {
			c.Cell = rules.Cell{State: rules.Suppressed}
		}
		if c.Measure == feed.Exclusion || c.Measure == feed.Adjustment {
			c.Field = fmt.Sprintf("F%d", r.IntN(4))
		}
		out = out.With(Cells{c})
	}
	return out
}

func TestCells_AreReadAsTheyWereKept(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	for range 2000 {
		cells := chance(r)
		makers := [][]string{nil, {"someone@example.test"}, {"a@example.test", "b@example.test"}}[r.IntN(3)]
		body := encodeCells(cells, makers)
		var got Cells
		who, err := decodeCells(body, make(names), func(c Cell) { got = append(got, c) })
		require.NoError(t, err)
		require.Equal(t, cells, got)
		require.Equal(t, makers, makersIn(who))
		require.True(t, slices.IsSortedFunc(got, Cell.Compare))
		if makers == nil {
			for end := range body {
				_, err := decodeCells(body[:end], make(names), func(Cell) {})
				require.ErrorIs(t, err, errCells, "what is cut off")
			}
		}
	}
}

// TestCells_AreKeptInOneForm holds the form of what databases have.
func TestCells_AreKeptInOneForm(t *testing.T) {
	t.Parallel()
	cells := Cells{
		{Measure: feed.Numerator, Cell: rules.Count(300)},
		{Measure: feed.Denominator, Cell: rules.Cell{State: rules.Suppressed}},
		{Measure: feed.Exclusion, Field: "AB", Cell: rules.Count(0), Defaulted: true},
		{Measure: feed.Answer, Cell: rules.Count(int64(rules.Yes)), ByHand: true},
	}
	require.Equal(t, []byte{1, 1, 0xac, 2, 0x12, 0x24, 2, 'A', 'B', 0, 0x48, 1, 0, 'm'}, encodeCells(cells, []string{"m"}))
}

func TestCells_MergeOneByOne(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	for range 2000 {
		before, given := chance(r), chance(r)
		kept := slices.Clone(before)
		after := before.With(given)
		require.Equal(t, kept, before, "the cells themselves stay")
		require.Equal(t, after, after.With(given), "the same again changes nothing")
		require.Equal(t, after, before.With(after.Differing(before)), "what differs is all that it takes")
		for _, c := range given {
			i, found := slices.BinarySearchFunc(after, c, Cell.Compare)
			require.True(t, found)
			require.True(t, after[i] == c || (c.State == rules.Suppressed && after[i].State == rules.Stated))
		}
	}
}
