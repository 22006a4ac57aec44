package feed_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
)

const (
	header = "provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances\n"
	paid   = "provider_code,site_code,arrival_month,department_type,attendance_category,practice_code,hrg_code,attendances,cost_pence,commissioner_code\n"
	good   = "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14\n"
)

var november = period.NewMonth(2020, time.November)

// of holds a file to be of one commissioner, who entered the code 1.
func of(commissioner string) feed.Options {
	return feed.Options{
		Commissioner: commissioner, Latest: period.NewMonth(2020, time.December),
		Category: func(commissioner, code string) (feed.Category, bool) {
			return feed.First, commissioner == "16C" && code == "1"
		},
	}
}

func read(t testing.TB, text string, o feed.Options) ([]feed.Row, *feed.Report) {
	t.Helper()
	var rows []feed.Row
	report, err := feed.Read(strings.NewReader(text), o, func(row *feed.Row) error {
		rows = append(rows, *row)
		return nil
	})
	require.NoError(t, err)
	addsUp(t, rows, report)
	return rows, report
}

func addsUp(t testing.TB, rows []feed.Row, report *feed.Report) {
	t.Helper()
	require.Equal(t, report.Rows, report.Kept+report.BadRows, "every row is kept or bad")
	require.Equal(t, report.Kept, int64(len(rows)))
	sums := make(map[feed.Cut]feed.Sum)
	for _, row := range rows {
		cut := feed.Cut{Commissioner: row.Commissioner, Month: row.Month}
		sum := sums[cut]
		if sum.Cut = cut; sum.Rows == 0 {
			sum.Line = row.Line
		}
		sum.Rows++
		sum.Attendances += row.Attendances
		if !row.PracticeKnown {
			sum.UnknownPractice += row.Attendances
		}
		sums[cut] = sum
	}
	require.Len(t, report.Sums, len(sums))
	for _, sum := range report.Sums {
		require.Equal(t, sums[sum.Cut], sum)
	}
}

func TestRead_ReadsRows(t *testing.T) {
	t.Parallel()
	want := feed.Row{
		Line: 2, Commissioner: "16C", Provider: "RVW", Site: "RVWAA", Month: november, Department: "01", CategoryCode: "first", Category: feed.First,
		Practice: "A81001", PracticeKnown: true, HRG: "VB09Z", Attendances: 14,
	}
	with := func(change func(*feed.Row)) feed.Row {
		row := want
		change(&row)
		return row
	}
	for name, test := range map[string]struct {
		text string
		o    feed.Options
		want feed.Row
	}{
		"of one commissioner": {header + good, of("16C"), want},
		"of all England":      {paid + "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,,16C\n", of(""), want},
		"with a cost":         {paid + "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,0,\n", of("16C"), with(func(r *feed.Row) { r.CostGiven = true })},
		"with pence":          {paid + "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,254968,16C\n", of("16C"), with(func(r *feed.Row) { r.CostGiven, r.Cost = true, 254968 })},
		"in another order": {
			"attendances,hrg_code,practice_code,attendance_category,department_type,arrival_month,site_code,provider_code\n14,VB09Z,A81001,first,01,2020-11,RVWAA,RVW\n",
			of("16C"), want,
		},
		"words in any case":   {strings.ToUpper(header) + strings.Replace(good, "first", "First", 1), of("16C"), want},
		"blanks":              {strings.ReplaceAll(header+good, ",", " , "), of("16C"), want},
		"mark and line ends":  {"\ufeff" + strings.ReplaceAll(header+good, "\n", "\r\n"), of("16C"), want},
		"no last line end":    {strings.TrimSuffix(header+good, "\n"), of("16C"), want},
		"quoted":              {header + `"RVW","RVWAA","2020-11","01","first","A81001","VB09Z","14"` + "\n", of("16C"), want},
		"a code of theirs":    {header + strings.Replace(good, "first", "1", 1), of("16C"), with(func(r *feed.Row) { r.CategoryCode = "1" })},
		"a planned follow-up": {header + strings.Replace(good, "first", "follow_up_planned", 1), of("16C"), with(func(r *feed.Row) { r.CategoryCode, r.Category = "follow_up_planned", feed.FollowUpPlanned })},
		"an unplanned one":    {header + strings.Replace(good, "first", "follow_up_unplanned", 1), of("16C"), with(func(r *feed.Row) { r.CategoryCode, r.Category = "follow_up_unplanned", feed.FollowUpUnplanned })},
		"not known which":     {header + strings.Replace(good, "first", "UNKNOWN", 1), of("16C"), with(func(r *feed.Row) { r.CategoryCode, r.Category = "unknown", feed.UnknownCategory })},
		"no practice":         {header + strings.Replace(good, "A81001", "", 1), of("16C"), with(func(r *feed.Row) { r.Practice, r.PracticeKnown = "", false })},
		"not registered":      {header + strings.Replace(good, "A81001", "V81997", 1), of("16C"), with(func(r *feed.Row) { r.Practice, r.PracticeKnown = "V81997", false })},
		"does not apply":      {header + strings.Replace(good, "A81001", "V81998", 1), of("16C"), with(func(r *feed.Row) { r.Practice, r.PracticeKnown = "V81998", false })},
		"not recorded":        {header + strings.Replace(good, "A81001", "V81999", 1), of("16C"), with(func(r *feed.Row) { r.Practice, r.PracticeKnown = "V81999", false })},
		"another of V":        {header + strings.Replace(good, "A81001", "V81996", 1), of("16C"), with(func(r *feed.Row) { r.Practice = "V81996" })},
		"not grouped":         {header + strings.Replace(good, "VB09Z", "", 1), of("16C"), with(func(r *feed.Row) { r.HRG = "" })},
		"no site":             {header + strings.Replace(good, "RVWAA", "", 1), of("16C"), with(func(r *feed.Row) { r.Site = "" })},
		"nobody":              {header + strings.Replace(good, ",14", ",0", 1), of("16C"), with(func(r *feed.Row) { r.Attendances = 0 })},
		"a walk-in centre": {header + strings.Replace(strings.Replace(good, "01", "04", 1), "RVW,", "Y02147,", 1), of("16C"), with(func(r *feed.Row) {
			r.Department, r.Provider = "04", "Y02147"
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, report := read(t, test.text, test.o)
			require.Empty(t, report.Bad)
			require.Equal(t, []feed.Row{test.want}, rows)
		})
	}
}

func TestRead_RefusesFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, commissioner string
		reason, detail     string
	}{
		"nothing":                 {"", "16C", feed.ReasonFileEmpty, "empty"},
		"blank lines":             {"\n\r\n", "16C", feed.ReasonFileEmpty, "empty"},
		"another file":            {"a,b\n1,2\n", "16C", feed.ReasonLayoutMismatch, "begins with provider_code,site_code"},
		"a column is missing":     {strings.Replace(header, ",attendances", "", 1), "16C", feed.ReasonLayoutMismatch, "the header lacks attendances"},
		"a column twice":          {"site_code," + header, "16C", feed.ReasonLayoutMismatch, "the header has site_code twice"},
		"no commissioner":         {header + good, "", feed.ReasonCommissionerUnset, "commissioner_code"},
		"the number of a patient": {"NHS Number," + header, "16C", feed.ReasonPatientLevel, "column 1 is nhs_number"},
		"an attendance's":         {strings.Replace(header, "\n", ",attendance_id,age\n", 1), "16C", feed.ReasonPatientLevel, "column 9 is attendance_id; column 10 is age"},
		"who knows what":          {strings.Replace(header, "\n", ",remarks\n", 1), "16C", feed.ReasonPatientLevel, "see column 9. The columns are provider_code"},
		"one missing, one twice":  {strings.Replace(header, "hrg_code,attendances", "attendances,attendances", 1), "16C", feed.ReasonLayoutMismatch, "the header lacks hrg_code, and has attendances twice"},
		"two bytes a letter":      {"p\x00r\x00o\x00", "16C", feed.ReasonLayoutMismatch, "no line of CSV"},
		"compressed":              {"\x1f\x8b\x08\x00", "16C", feed.ReasonLayoutMismatch, "no line of CSV"},
		"Windows-1252":            {"caf\xe9," + header, "16C", feed.ReasonLayoutMismatch, "no line of CSV"},
		"half a quotation":        {"\"" + header, "16C", feed.ReasonLayoutMismatch, "no line of CSV"},
		"one long line":           {strings.Repeat("x", 1<<20), "16C", feed.ReasonLayoutMismatch, "no line of CSV"},
		"many columns":            {strings.Repeat("x,", 400) + header, "16C", feed.ReasonPatientLevel, "10, and more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := feed.Read(strings.NewReader(test.text), of(test.commissioner), func(*feed.Row) error { return nil })
			require.Nil(t, report)
			found, ok := fault.As(err)
			require.True(t, ok, "%v", err)
			require.Equal(t, fault.Invalid, found.Kind)
			require.Equal(t, test.reason, found.Reason)
			require.ErrorContains(t, err, test.detail)
		})
	}
}

// A file that is refused for its columns shows nothing of what stands in them, not even where the first line is a patient.
func TestRead_RepeatsNothingOfPatients(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"9434765919,Jane Doe,1950-01-31\n", "provider_code,9434765919\n", "nhs_number,Jane Doe\n9434765919,x\n",
		strings.Replace(header, "site_code", "Jane Doe 9434765919 1950-01-31", 1) + good,
	} {
		_, err := feed.Read(strings.NewReader(text), of("16C"), func(*feed.Row) error { return nil })
		require.Error(t, err)
		for _, secret := range []string{"9434765919", "jane", "1950"} {
			require.NotContains(t, strings.ToLower(err.Error()), secret)
		}
	}
}

func TestRead_NamesEachBadRow(t *testing.T) {
	t.Parallel()
	in := func(old, replacement string) string {
		return strings.Replace(strings.TrimSuffix(good, "\n")+",5,16C\n", old, replacement, 1)
	}
	for name, test := range map[string]struct {
		row  string
		want feed.Bad
	}{
		"too few values":       {"RVW,x\n", feed.Bad{Value: "RVW,x", Reason: feed.ReasonRowRagged, Detail: "2 values, the header 10"}},
		"too many values":      {in("16C", "16C,"), feed.Bad{Value: "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,5,16C,", Reason: feed.ReasonRowRagged, Detail: "11 values"}},
		"half a quotation":     {in("first", "\"first"), feed.Bad{Value: "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,5,16C", Reason: feed.ReasonRowDamaged, Detail: "pairs"}},
		"a NUL":                {in("first", "fir\x00st"), feed.Bad{Value: "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,14,5,16C", Reason: feed.ReasonRowDamaged, Detail: "no NUL"}},
		"other letters":        {in("first", "caf\xe9"), feed.Bad{Value: "RVW,RVWAA,2020-11,01,caf\ufffd,A81001,VB09Z,14,5,16C", Reason: feed.ReasonRowDamaged, Detail: "text"}},
		"a long line":          {"x" + strings.Repeat("é", 40_000) + "\n", feed.Bad{Value: "x" + strings.Repeat("é", 59) + "…", Reason: feed.ReasonLineTooLong, Detail: "1024 bytes"}},
		"no provider":          {in("RVW,", " ,"), feed.Bad{Column: "provider_code", Value: " ", Reason: feed.ReasonValueMissing, Detail: "required"}},
		"small letters":        {in("RVW,", "rvw,"), feed.Bad{Column: "provider_code", Value: "rvw", Reason: feed.ReasonCodeMalformed, Detail: "capitals"}},
		"a long provider":      {in("RVW,", "RVWAAAA,"), feed.Bad{Column: "provider_code", Value: "RVWAAAA", Reason: feed.ReasonCodeMalformed, Detail: "3 to 6"}},
		"a letter from afar":   {in("RVW,", "RVŁ,"), feed.Bad{Column: "provider_code", Value: "RVŁ", Reason: feed.ReasonCodeMalformed, Detail: "capitals"}},
		"the site":             {in("RVWAA", "R-1"), feed.Bad{Column: "site_code", Value: "R-1", Reason: feed.ReasonCodeMalformed, Detail: "3 to 9"}},
		"no month":             {in("2020-11", ""), feed.Bad{Column: "arrival_month", Reason: feed.ReasonValueMissing, Detail: "required"}},
		"a day":                {in("2020-11", "2020-11-03"), feed.Bad{Column: "arrival_month", Value: "2020-11-03", Reason: feed.ReasonMonthMalformed, Detail: "without a day"}},
		"a month in words":     {in("2020-11", "Nov-20"), feed.Bad{Column: "arrival_month", Value: "Nov-20", Reason: feed.ReasonMonthMalformed, Detail: "2020-11"}},
		"no month there is":    {in("2020-11", "2020-13"), feed.Bad{Column: "arrival_month", Value: "2020-13", Reason: feed.ReasonMonthMalformed, Detail: "2020-11"}},
		"a month to come":      {in("2020-11", "2021-01"), feed.Bad{Column: "arrival_month", Value: "2021-01", Reason: feed.ReasonMonthNotBegun, Detail: "after 2020-12"}},
		"no department":        {in("01", ""), feed.Bad{Column: "department_type", Reason: feed.ReasonValueMissing, Detail: "required"}},
		"a fifth department":   {in("01", "05"), feed.Bad{Column: "department_type", Value: "05", Reason: feed.ReasonDepartmentUnknown, Detail: "01, 02, 03 or 04"}},
		"without its zero":     {in("01", "1"), feed.Bad{Column: "department_type", Value: "1", Reason: feed.ReasonDepartmentUnknown, Detail: "01, 02, 03 or 04"}},
		"no category":          {in("first", ""), feed.Bad{Column: "attendance_category", Reason: feed.ReasonValueMissing, Detail: "required"}},
		"a category":           {in("first", "3"), feed.Bad{Column: "attendance_category", Value: "3", Reason: feed.ReasonCategoryUnmapped, Detail: "for 16C: enter it, or send first, follow_up_planned"}},
		"a short practice":     {in("A81001", "A8100"), feed.Bad{Column: "practice_code", Value: "A8100", Reason: feed.ReasonCodeMalformed, Detail: "five digits"}},
		"a network":            {in("A81001", "U81001"), feed.Bad{Column: "practice_code", Value: "U81001", Reason: feed.ReasonCodeMalformed, Detail: "other than U"}},
		"the number of people": {in("A81001", "9434765919"), feed.Bad{Column: "practice_code", Value: "9434765919", Reason: feed.ReasonCodeMalformed, Detail: "V81997"}},
		"an HRG":               {in("VB09Z", "VB9Z"), feed.Bad{Column: "hrg_code", Value: "VB9Z", Reason: feed.ReasonCodeMalformed, Detail: "VB09Z"}},
		"no count":             {in(",14,", ",,"), feed.Bad{Column: "attendances", Reason: feed.ReasonValueMissing, Detail: "required"}},
		"a broken count":       {in(",14,", ",14.0,"), feed.Bad{Column: "attendances", Value: "14.0", Reason: feed.ReasonCountMalformed, Detail: "whole number"}},
		"less than nothing":    {in(",14,", ",-1,"), feed.Bad{Column: "attendances", Value: "-1", Reason: feed.ReasonCountMalformed, Detail: "whole number"}},
		"a hidden count":       {in(",14,", ",*,"), feed.Bad{Column: "attendances", Value: "*", Reason: feed.ReasonCountMalformed, Detail: "whole number"}},
		"thousands apart":      {in(",14,", ",\"1,400\","), feed.Bad{Column: "attendances", Value: "1,400", Reason: feed.ReasonCountMalformed, Detail: "whole number"}},
		"more than England":    {in(",14,", ",10000001,"), feed.Bad{Column: "attendances", Value: "10000001", Reason: feed.ReasonCountMalformed, Detail: "10000000"}},
		"pounds":               {in(",5,", ",5.00,"), feed.Bad{Column: "cost_pence", Value: "5.00", Reason: feed.ReasonCostMalformed, Detail: "pence"}},
		"a cost beyond":        {in(",5,", ",1000000000001,"), feed.Bad{Column: "cost_pence", Value: "1000000000001", Reason: feed.ReasonCostMalformed, Detail: "1000000000000"}},
		"another commissioner": {in("16C", "01A"), feed.Bad{Column: "commissioner_code", Value: "01A", Reason: feed.ReasonCommissionerElsewhere, Detail: "of 16C"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, report := read(t, paid+"\n"+test.row, of("16C"))
			require.EqualValues(t, 1, report.BadRows)
			require.Len(t, report.Bad, 1)
			got := report.Bad[0]
			require.Contains(t, got.Detail, test.want.Detail)
			test.want.Line, test.want.Detail = 3, got.Detail
			require.Equal(t, test.want, got)
		})
	}
	_, report := read(t, paid+in("16C", ""), of(""))
	require.Equal(t, feed.ReasonValueMissing, report.Bad[0].Reason, "all England names the commissioner of each row")
	_, report = read(t, paid+in("16C", "16 C"), of(""))
	require.Equal(t, feed.ReasonCodeMalformed, report.Bad[0].Reason)
	_, report = read(t, paid+strings.Replace(in("16C", "01A"), "first", "1", 1), of(""))
	require.Equal(t, feed.ReasonCategoryUnmapped, report.Bad[0].Reason, "a code is entered for a commissioner")
	_, report = read(t, header+strings.Replace(good, "first", "1", 1), feed.Options{Commissioner: "16C", Latest: november})
	require.Equal(t, feed.ReasonCategoryUnmapped, report.Bad[0].Reason, "nobody entered any")
}

func TestRead_GoesOnAfterABadRow(t *testing.T) {
	t.Parallel()
	rows, report := read(t, header+strings.Repeat("\"half,\n"+good, feed.MaxBad+20), of("16C"))
	require.Len(t, rows, feed.MaxBad+20)
	require.Len(t, report.Bad, feed.MaxBad)
	require.EqualValues(t, feed.MaxBad+20, report.BadRows)
	require.EqualValues(t, 2*feed.MaxBad, report.Bad[feed.MaxBad-1].Line)
}

func TestRead_SumsByCommissionerAndMonth(t *testing.T) {
	t.Parallel()
	_, report := read(t, paid+"RVW,,2020-11,01,first,A81001,VB09Z,5,,16C\nRVW,,2020-10,01,first,A81001,VB09Z,3,,16C\nRVW,,2020-11,03,first,,VB09Z,2,,16C\n"+
		"RVW,,2020-11,01,first,A81001,VB09Z,7,,01A\nRVW,,2020-11,01,first,bad,VB09Z,9,,16C\n", of(""))
	october := november.Add(-1)
	require.Equal(t, []feed.Sum{
		{Cut: feed.Cut{Commissioner: "01A", Month: november}, Line: 5, Rows: 1, Attendances: 7},
		{Cut: feed.Cut{Commissioner: "16C", Month: october}, Line: 3, Rows: 1, Attendances: 3},
		{Cut: feed.Cut{Commissioner: "16C", Month: november}, Line: 2, Rows: 2, Attendances: 7, UnknownPractice: 2},
	}, report.Sums)
}

func TestRead_ReturnsTheErrorsOfOthers(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var called int
	_, err := feed.Read(strings.NewReader(header+good+good), of("16C"), func(*feed.Row) error {
		called++
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, called)
	none := func(*feed.Row) error { return nil }
	for _, before := range []string{"", "prov", header, header + good + "RVW", header + strings.Repeat("x", 50_000)} {
		_, err = feed.Read(io.MultiReader(strings.NewReader(before), iotest.ErrReader(broken)), of("16C"), none)
		require.ErrorIs(t, err, broken, before)
	}
	begun := 0
	_, err = feed.Check(func() io.Reader {
		if begun++; begun == 1 {
			return strings.NewReader(header + good + good)
		}
		return iotest.ErrReader(broken)
	}, of("16C"))
	require.ErrorIs(t, err, broken, "the second reading")
	require.Equal(t, 2, begun)
}

func check(t testing.TB, text string, o feed.Options) *feed.Report {
	t.Helper()
	report, err := feed.Check(func() io.Reader { return strings.NewReader(text) }, o)
	require.NoError(t, err)
	require.Equal(t, report.Rows, report.Kept+report.BadRows)
	return report
}

func TestCheck_FindsRepeatedKeys(t *testing.T) {
	t.Parallel()
	none := check(t, header+good+strings.Replace(good, "RVWAA", "RVWAB", 1)+strings.Replace(good, "first", "1", 1), of("16C"))
	require.Empty(t, none.Bad, "another site; and a code of the same meaning, which is of other attendances")

	again := check(t, header+good+strings.Replace(good, "VB09Z", "VB11Z", 1)+"x\n"+strings.Replace(good, "first,", "First ,", 1)+strings.Replace(good, ",14", ",3", 1), of("16C"))
	require.EqualValues(t, 3, again.BadRows)
	require.EqualValues(t, 2, again.Kept)
	require.Equal(t, feed.ReasonRowRagged, again.Bad[0].Reason)
	for i, line := range []int64{5, 6} {
		bad := again.Bad[i+1]
		require.Contains(t, bad.Detail, "line 2 has the same values")
		bad.Detail = ""
		require.Equal(t, feed.Bad{Line: line, Value: "RVW,RVWAA,2020-11,01,first,A81001,VB09Z,16C", Reason: feed.ReasonKeyRepeated}, bad)
	}

	mixed := check(t, paid+"RVW,,2020-11,01,first,A81001,VB09Z,5,,16C\nRVW,,2020-11,01,first,A81001,VB09Z,5,,01A\n", of(""))
	require.Empty(t, mixed.Bad, "another commissioner")
}

// One file sent twice in one, which repeats more keys than a report names or a second reading holds.
func TestCheck_CountsWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	const keys = 2_500
	for range 2 {
		for i := range keys {
			fmt.Fprintf(&text, "RVW,,2020-11,01,first,A%05d,VB09Z,5\n", i)
		}
	}
	report := check(t, header+text.String(), of("16C"))
	require.EqualValues(t, keys, report.BadRows)
	require.EqualValues(t, keys, report.Kept)
	require.Len(t, report.Bad, feed.MaxBad)
	require.EqualValues(t, keys+2, report.Bad[0].Line)
	require.Contains(t, report.Bad[0].Detail, "line 2 ")
}

// lines draws rows of which some are bad and some repeat.
func lines(r *rapid.T) []string {
	pick := func(r *rapid.T, label string, of ...string) string { return rapid.SampledFrom(of).Draw(r, label) }
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) string {
		return strings.Join([]string{
			pick(r, "provider", "RVW", "R0A", "r"), pick(r, "site", "", "RVWAA"), pick(r, "month", "2020-11", "2020-10", "2020-11", "2021-11"),
			pick(r, "department", "01", "03", "04", "9"), pick(r, "category", "first", "1", "unknown", "2"), pick(r, "practice", "A81001", "A81002", "", "V81999", "x"),
			pick(r, "hrg", "VB09Z", "", "VB11Z", "\""), pick(r, "attendances", "0", "7", "1200", "-"), pick(r, "cost", "", "", "5", "x"), pick(r, "commissioner", "16C", "01A"),
		}, ",") + "\n"
	}), 1, 60).Draw(r, "lines")
}

func TestCheck_OrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		these := lines(r)
		text := paid + strings.Join(these, "")
		one, other := check(t, text, of("")), check(t, paid+strings.Join(rapid.Permutation(these).Draw(r, "order"), ""), of(""))
		require.Equal(r, one.Rows, other.Rows)
		require.Equal(r, one.BadRows, other.BadRows)
		for _, sums := range [][]feed.Sum{one.Sums, other.Sums} {
			for i := range sums {
				sums[i].Line = 0 // which is of the order
			}
		}
		require.Equal(r, one.Sums, other.Sums)

		rows, _ := read(t, text, of(""))
		stood := make(map[feed.Row]bool)
		var repeated int64
		for _, row := range rows {
			row.Line, row.Attendances, row.Cost, row.CostGiven = 0, 0, 0, false
			if stood[row] {
				repeated++
			}
			stood[row] = true
		}
		require.Equal(r, int64(len(rows))-repeated, one.Kept)
		named := slices.DeleteFunc(slices.Clone(one.Bad), func(b feed.Bad) bool { return b.Reason != feed.ReasonKeyRepeated })
		require.Len(r, named, int(repeated))
	})
}

func TestColumns_AreThoseOfTheLayout(t *testing.T) {
	t.Parallel()
	required, optional := feed.Columns()
	require.Equal(t, strings.TrimSpace(header), strings.Join(required, ","))
	require.Equal(t, strings.TrimSpace(paid), strings.Join(append(required, optional...), ","))
	require.Equal(t, "none", feed.Category(0).String())
	require.Equal(t, "none", feed.Category(9).String())
}

// generated is a file of as many rows as all England has in a month by practice, department, category and HRG, made as it is read.
type generated struct {
	n, of int
	seed  *rand.Rand
	rest  []byte
	line  []byte
}

func (g *generated) Read(p []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.n == g.of {
			return 0, io.EOF
		}
		practice, hrg := g.n/150, g.n%150
		g.line = fmt.Appendf(g.line[:0], "R%02d,R%02dAA,2020-%02d,%02d,first,%c%05d,VB%02dZ,%d,,16C\n", practice%100, practice%100, 1+hrg/44%12, 1+hrg/11%4, 'A'+practice%16, practice, 1+hrg%11, 1+g.seed.IntN(400))
		g.rest = g.line
		g.n++
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

func begin(rows int) func() io.Reader {
	return func() io.Reader {
		return io.MultiReader(strings.NewReader(paid), &generated{of: rows, seed: rand.New(rand.NewPCG(1, 2))})
	}
}

// BenchmarkCheck looks through a million rows: what it holds is 8 bytes a row.
func BenchmarkCheck(b *testing.B) {
	const rows = 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		report, err := feed.Check(begin(rows), of(""))
		if err != nil || report.Kept != rows {
			b.Fatalf("%+v, %v", report, err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
