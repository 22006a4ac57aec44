package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// alikeFrom reads rows and candidates as confirmations.csv writes them.
func alikeFrom(t testing.TB, row map[string]string) *Alike {
	t.Helper()
	words := func(text string) Words {
		parts := strings.Split(text+"///", "/")
		return Words{PayerReference: parts[1], Reference: parts[2]}
	}
	out := &Alike{PaidToo: row["paid too"] == "yes"}
	for text := range strings.SplitSeq(row["rows"], "; ") {
		out.Rows = append(out.Rows, Confirmation{Words: words(text), CameBack: strings.HasPrefix(text, "back")})
	}
	for text := range strings.SplitSeq(row["candidates"], "; ") {
		if text == "" {
			continue
		}
		fields := strings.Fields(text)
		c := Candidate{PaymentID: fields[0], Named: slices.Contains(fields, "named"), Paid: slices.Contains(fields, "paid")}
		if last := fields[len(fields)-1]; strings.HasPrefix(last, "said") {
			own, isOwn := strings.CutPrefix(last, "said/own")
			said := words(own)
			if !isOwn {
				said = words(last)
			} else {
				said.Reference = c.PaymentID
			}
			c.Said = []Words{said}
		}
		out.Candidates = append(out.Candidates, c)
	}
	return out
}

func TestShareOut(t *testing.T) {
	t.Parallel()
	examples := readTable(t, "confirmations.csv")
	require.NotEmpty(t, examples)
	for _, row := range examples {
		var got []string
		for _, found := range alikeFrom(t, row).ShareOut() {
			got = append(got, map[Verdict]string{Unfound: "none", Ambiguous: "?", Known: found.PaymentID, Effective: "!" + found.PaymentID}[found.Verdict])
		}
		assert.Equal(t, row["want"], strings.Join(got, "; "), row["example"])
	}
}

// TestShareOut_ChangesNothingThatIsInDoubt holds that no payment is given to two rows, and that a row changes one only if every payment
// that is as good for it is changed too.
func TestShareOut_ChangesNothingThatIsInDoubt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		reference := rapid.SampledFrom([]string{"", "", "B1", "B2"})
		var in Alike
		standing := make(map[string]Candidate)
		for i := range rapid.IntRange(0, 5).Draw(rt, "payments") {
			c := Candidate{PaymentID: fmt.Sprint("P", i)}
			switch rapid.IntRange(0, 2).Draw(rt, "standing") {
			case 0:
				c.Said, c.Named = []Words{{PayerReference: reference.Draw(rt, "said")}}, rapid.Bool().Draw(rt, "named")
			case 1:
				c.Paid = true
			}
			in.Candidates = append(in.Candidates, c)
			standing[c.PaymentID] = c
		}
		for range rapid.IntRange(1, 5).Draw(rt, "rows") {
			in.Rows = append(in.Rows, Confirmation{Words: Words{PayerReference: reference.Draw(rt, "row")}, CameBack: rapid.Bool().Draw(rt, "back")})
		}
		in.PaidToo = rapid.Bool().Draw(rt, "paid too")
		found := in.ShareOut()
		require.Len(rt, found, len(in.Rows))
		given := make(map[string]bool)
		for i, f := range found {
			if f.Verdict == Unfound || f.Verdict == Ambiguous {
				require.Empty(rt, f.PaymentID)
				continue
			}
			require.False(rt, given[f.PaymentID], "row %d: %s has a row", i, f.PaymentID)
			given[f.PaymentID] = true
			require.Equal(rt, f.Verdict == Known, len(standing[f.PaymentID].Said) > 0)
		}
		for i, f := range found {
			if f.Verdict != Effective {
				continue
			}
			for _, c := range in.Candidates {
				if len(c.Said) == 0 && c.Paid == standing[f.PaymentID].Paid {
					require.True(rt, given[c.PaymentID], "row %d can be of %s as well as of %s", i, c.PaymentID, f.PaymentID)
				}
			}
			if standing[f.PaymentID].Paid != in.Rows[i].CameBack || in.PaidToo {
				for _, c := range in.Candidates {
					require.True(rt, len(c.Said) > 0 || given[c.PaymentID], "row %d can be of %s as well as of %s", i, c.PaymentID, f.PaymentID)
				}
			}
		}
	})
}
