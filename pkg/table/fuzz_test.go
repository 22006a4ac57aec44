package table_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
)

// FuzzRead checks that a table which is taken has only values that were read whole.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		"", "code,from,rate,flag\n", "code,from,rate,flag\nA,2022-04-01,1.5,yes\n", "code,from,rate,flag\nA,2022-02-30,1,no\n", "code,from,rate,flag\n,,,\n",
		"code,from,rate\nA,2022-04-01,1\n", "code,from,rate,flag\nA,2022-04-01,0,yes\n", "code,from,rate,flag\n\"A\nB\",2022-04-01,1/3,yes\n", "code,from,rate,flag\nA\n",
		"\xef\xbb\xbfcode,from,rate,flag\nA,2022-04-01,1,yes\n", "code,from,rate,flag\r\nA,2022-04-01,1e9,yes\r\n", "code,from,rate,flag\n\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		opener := func(string) ([]byte, error) { return []byte(text), nil }
		var rows int
		got, err := table.Read(opener, "rates.csv", "code,from,rate,flag", func(r *table.Row) int {
			rows++
			code, from, rate, flag := r.Required("code"), r.Date("from"), r.Positive("rate"), r.OneOf("flag", "yes", "no")
			if code == "" || from == (period.Date{}) || rate == nil || rate.Sign() <= 0 || flag != "yes" && flag != "no" {
				return -1
			}
			return rows
		})
		if err != nil {
			return
		}
		require.NotEmpty(t, got)
		for i, row := range got {
			require.Equal(t, i+1, row, "a row whose values are missing was taken")
		}
	})
}
