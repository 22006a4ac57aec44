package feed_test

import (
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
)

// FuzzCheck feeds any bytes to the reader: it never panics, refuses with a fault or accounts for every row, and hands on only what may be
// stored.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		header + good + good, paid + "RVW,,2020-11,04,UNKNOWN,V81999,,0,12,16C\r\n\"half\n", "\ufeff" + header + "\x00\n\"\"\n,\n" + good,
		paid + "R0A,R0A01,2020-11,01,1,A81001,VB11Z,1,,16C\nx\n", "nhs_number\n", "\x00", "\"", "a\n", header + "caf\xe9" + good,
		header + strings.Repeat(good, 3) + strings.Repeat("x", 2000),
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, content []byte, england bool) {
		o := of("16C")
		if england {
			o = of("")
		}
		var rows []feed.Row
		report, err := feed.Read(strings.NewReader(string(content)), o, func(row *feed.Row) error {
			rows = append(rows, *row)
			require.Regexp(t, `^[A-Z0-9]{3,5}$`, row.Commissioner)
			require.Regexp(t, `^[A-Z0-9]{3,6}$`, row.Provider)
			require.Regexp(t, `^([A-Z0-9]{3,9})?$`, row.Site)
			require.Regexp(t, `^0[1-4]$`, row.Department)
			require.Regexp(t, `^([A-TV-Z][0-9]{5})?$`, row.Practice)
			require.Regexp(t, `^([A-Z]{2}[0-9]{2}[A-Z])?$`, row.HRG)
			require.False(t, row.Month.IsZero() || row.Month.After(o.Latest))
			require.NotEqual(t, "none", row.Category.String())
			require.True(t, row.Attendances >= 0 && row.Attendances <= feed.MaxAttendances && row.Cost >= 0 && row.Cost <= feed.MaxCost)
			require.True(t, row.Line > 1 && utf8.ValidString(row.CategoryCode) && !strings.ContainsRune(row.CategoryCode, 0))
			return nil
		})
		checked, again := feed.Check(func() io.Reader { return strings.NewReader(string(content)) }, o)
		if err != nil {
			found, ok := fault.As(err)
			require.True(t, ok && found.Kind == fault.Invalid && report == nil && checked == nil, "%v", err)
			require.Equal(t, found.Reason, fault.ReasonOf(again))
			return
		}
		require.NoError(t, again)
		addsUp(t, rows, report)
		require.Equal(t, checked.Rows, checked.Kept+checked.BadRows)
		require.GreaterOrEqual(t, checked.BadRows, report.BadRows)
		require.LessOrEqual(t, len(checked.Bad), feed.MaxBad)
		for _, bad := range checked.Bad {
			require.True(t, bad.Line > 1 && bad.Reason != "" && bad.Detail != "" && utf8.ValidString(bad.Value+bad.Column), "%+v", bad)
		}
	})
}
