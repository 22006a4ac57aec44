package spreadsheet_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
)

// FuzzCell holds that no cell but a number starts what a spreadsheet would work out, and that nothing is lost.
func FuzzCell(f *testing.F) {
	for _, value := range []string{"", "=1+1", " =1", "-1.5", "-1+1", "+44", "@SUM(A1)", "\t=1", "\r=1", "'=1", "name", "\u00a0=1", "＝1"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := spreadsheet.Cell(value)
		require.Equal(t, value, strings.TrimPrefix(got, got[:len(got)-len(value)]))
		if _, err := money.ParseDecimal(got); err == nil {
			return
		}
		shown := strings.TrimSpace(got)
		require.False(t, shown != "" && strings.ContainsRune("=+-@", rune(shown[0])), "%q", got)
	})
}
