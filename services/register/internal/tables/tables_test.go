package tables

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

func TestCommissioners_OnePeriodPerCodeAndDay(t *testing.T) {
	t.Parallel()
	rows, err := Commissioners()
	require.NoError(t, err)
	byCode := make(map[string][]rules.Commissioner)
	kinds := make(map[rules.BodyKind]map[string]bool)
	for _, c := range rows {
		for _, held := range byCode[c.Code] {
			apart := (!held.Closed.IsZero() && held.Closed.Before(c.Opened)) || (!c.Closed.IsZero() && c.Closed.Before(held.Opened))
			require.True(t, apart, "%s stands twice on one day", c.Code)
			require.Equal(t, held.Kind, c.Kind, c.Code)
		}
		byCode[c.Code] = append(byCode[c.Code], c)
		if kinds[c.Kind] == nil {
			kinds[c.Kind] = make(map[string]bool)
		}
		kinds[c.Kind][c.Code] = true
	}
	require.Len(t, kinds[rules.SystemBody], 42)
	require.Len(t, kinds[rules.RegionBody], 7)
	for _, c := range rows {
		if c.System != "" {
			require.True(t, kinds[rules.SystemBody][c.System], "%s lies in an unknown system", c.Code)
		}
		if c.Region != "" {
			require.True(t, kinds[rules.RegionBody][c.Region], "%s lies in an unknown region", c.Code)
		}
	}
	require.Len(t, CommissionersSHA256(), 64)
}

func TestWindows_AreTheKnownSix(t *testing.T) {
	t.Parallel()
	windows, err := Windows()
	require.NoError(t, err)
	require.Len(t, windows, 6)
}
