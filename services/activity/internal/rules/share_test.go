package rules

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// tables calls fn with every table of n counts from 0 to most.
func tables(n int, most int64, fn func(counts []int64)) {
	counts := make([]int64, n)
	var at func(i int)
	at = func(i int) {
		if i == n {
			fn(counts)
			return
		}
		for v := int64(0); v <= most; v++ {
			counts[i] = v
			at(i + 1)
		}
	}
	at(0)
}

// TestConceal_NoReaderCanTellAHiddenCount shows a reader who knows how counts are hidden, and who knows the sum, every table there is: each
// hidden count can be two numbers at least.
func TestConceal_NoReaderCanTellAHiddenCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n           int
		limit, most int64
	}{{2, 3, 20}, {3, 3, 14}, {4, 2, 9}, {3, 1, 12}, {4, 3, 9}} {
		type cell struct {
			view string
			at   int
		}
		seen := make(map[cell]map[int64]bool)
		open := make(map[string]int64)
		tables(c.n, c.most, func(counts []int64) {
			hidden, whole := conceal(counts, make([]bool, c.n), c.limit)
			if whole {
				return // the sum is hidden, and so are the counts by those above
			}
			view, sum := "", int64(0)
			for i, n := range counts {
				switch {
				case hidden[i]:
					view += " x"
					sum += n
				default:
					require.False(t, n >= 1 && n <= c.limit, "%v shows %d", counts, n)
					view += fmt.Sprintf(" %d", n)
				}
			}
			view += fmt.Sprintf(" = %d", sum)
			open[view] = sum
			for i, n := range counts {
				if hidden[i] {
					at := cell{view, i}
					if seen[at] == nil {
						seen[at] = make(map[int64]bool)
					}
					seen[at][n] = true
				}
			}
		})
		for at, values := range seen {
			if open[at.view] <= c.most { // beyond it some of the tables were not made
				require.Greater(t, len(values), 1, "%d counts, limit %d: number %d of %q can only be %v", c.n, c.limit, at.at, at.view, values)
			}
		}
	}
}

// TestShare_NoReaderCanTellAHiddenCountFromSums does the same with sums of PCNs and of all.
func TestShare_NoReaderCanTellAHiddenCountFromSums(t *testing.T) {
	t.Parallel()
	const most, limit = 6, 2
	type cell struct {
		view string
		at   int
	}
	seen := make(map[cell]map[int64]bool)
	open := make(map[string]int64)
	codes := []string{"U1", "U1", "U2", "U2", "U3", "U3"}
	tables(len(codes), most, func(counts []int64) {
		rows := make([]Row, len(counts))
		for i, n := range counts {
			rows[i] = Row{Key: Key{PCN: codes[i]}, Totals: Totals{Attendances: n}}
		}
		pcns, err := sums(rows, nil)
		require.NoError(t, err)
		s := Share(rows, pcns, limit)
		var total, hidden int64
		view := ""
		for _, p := range pcns {
			total += p.Attendances
			if s.PCNs[p.Code] {
				view += " x"
			} else {
				view += fmt.Sprintf(" %d", p.Attendances)
			}
		}
		if s.Total {
			view += " x:"
		} else {
			view += fmt.Sprintf(" %d:", total)
		}
		for i, n := range counts {
			if s.Rows[i] {
				view += " x"
				hidden += n
			} else {
				view += fmt.Sprintf(" %d", n)
			}
		}
		open[view] = max(open[view], hidden)
		for i, n := range counts {
			if s.Rows[i] {
				at := cell{view, i}
				if seen[at] == nil {
					seen[at] = make(map[int64]bool)
				}
				seen[at][n] = true
			} else {
				require.False(t, n >= 1 && n <= limit, "%v shows %d", counts, n)
			}
		}
	})
	for at, values := range seen {
		if open[at.view] <= most {
			require.Greater(t, len(values), 1, "number %d of %q can only be %v", at.at, at.view, values)
		}
	}
}
