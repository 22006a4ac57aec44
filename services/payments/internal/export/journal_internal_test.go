package export

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBalanced_SeesAJournalThatDoesNot shows that the assertion behind every journal can fail.
func TestBalanced_SeesAJournalThatDoesNot(t *testing.T) {
	t.Parallel()
	require.NoError(t, balanced("x", map[string]*book{"A": {debits: 5, credits: 5}, "B": {}}))
	require.Panics(t, func() {
		_ = balanced("x", map[string]*book{"A": {debits: 5, credits: 4}, "B": {debits: 4, credits: 5}})
	})
}
