package rules

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

func TestFindWindow_WorkedExamples(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/opt_out.csv")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	for _, row := range rows[1:] {
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			var input struct {
				NoticeDate string `json:"notice_date"`
				Windows    []struct{ Opens, Closes string }
			}
			var expected struct {
				InsideWindow bool `json:"inside_window"`
			}
			require.NoError(t, json.Unmarshal([]byte(row[2]), &input))
			require.NoError(t, json.Unmarshal([]byte(row[3]), &expected))
			var windows []Window
			for _, w := range input.Windows {
				windows = append(windows, Window{Opens: on(t, w.Opens), Closes: on(t, w.Closes)})
			}
			_, inside := FindWindow(on(t, input.NoticeDate), windows)
			require.Equal(t, expected.InsideWindow, inside)
		})
	}
}

func TestCheckOptOut_NeedsNoticeInAWindow(t *testing.T) {
	t.Parallel()
	windows := []Window{{Opens: on(t, "2022-04-01"), Closes: on(t, "2022-04-30")}}
	for _, c := range []struct {
		name, notice, reason string
		participating        bool
	}{
		{"first day", "2022-04-01", "", false},
		{"last day", "2022-04-30", "", false},
		{"day before", "2022-03-31", ReasonOptOutOutsideWindow, false},
		{"day after", "2022-05-01", ReasonOptOutOutsideWindow, false},
		{"no notice", "", ReasonValueMissing, false},
		{"taking part again", "", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := Participation{Practice: "A81001", Participating: c.participating, Notice: on(t, c.notice)}
			require.Equal(t, c.reason, fault.ReasonOf(CheckOptOut(p, windows)))
		})
	}
}

// on reads a day; an empty text is no day.
func on(t testing.TB, text string) period.Date {
	t.Helper()
	if text == "" {
		return period.Date{}
	}
	day, err := period.ParseDate(text)
	require.NoError(t, err)
	return day
}
