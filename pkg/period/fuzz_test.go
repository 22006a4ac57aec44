package period_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// FuzzParse holds that what is read as a date, a month or a year is written as it was read.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "2022-04", "2022-04-01", "2022/23", "2022-23", "2024-02-30", "1999/00", "0000-00", "２０２２-04", "2022-4", "9999-12-31"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		same := func(value fmt.Stringer, err error) {
			if err == nil {
				require.Equal(t, text, value.String())
			}
		}
		date, err := period.ParseDate(text)
		same(date, err)
		month, err := period.ParseMonth(text)
		same(month, err)
		year, err := period.ParseFinancialYear(text)
		same(year, err)
	})
}
