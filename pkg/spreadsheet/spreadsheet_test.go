package spreadsheet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
)

func TestCells_MakesTextOfFormulas(t *testing.T) {
	t.Parallel()
	got := spreadsheet.Cells("=1+1", "+44", "-12.30", "@SUM(A1)", "-cmd", "\tx", "\rx", "", "A1", "O'Brien", "1-2", " =1", "＝1")
	require.Equal(t, []string{"'=1+1", "'+44", "-12.30", "'@SUM(A1)", "'-cmd", "'\tx", "'\rx", "", "A1", "O'Brien", "1-2", "' =1", "'＝1"}, got)
}
