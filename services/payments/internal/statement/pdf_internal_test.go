package statement

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLineWorking_SaysAClauseOnce(t *testing.T) {
	t.Parallel()
	line := Line{Clause: "clause 10.3", Factors: []Factor{{RateGBP: "1.50", Clause: "clause 10.3"}, {RateGBP: "2.00", Clause: "clause 10.4"}}}
	var text strings.Builder
	for _, part := range lineWorking(&line) {
		text.WriteString(part.text + "\n")
	}
	require.Equal(t, 1, strings.Count(text.String(), "clause 10.3"))
	require.Equal(t, 1, strings.Count(text.String(), "clause 10.4"))
}
