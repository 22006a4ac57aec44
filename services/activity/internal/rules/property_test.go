package rules

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// world is a commissioner with whatever members, prices and attendances.
type world struct {
	members     *Members
	terms       *Terms
	attendances []Attendance
	sum         int64
}

func anyWorld(r *rand.Rand) *world {
	w := &world{members: &Members{Practices: make(map[string]Member), Networks: make(map[string]Network)}}
	for i := range 6 {
		code := fmt.Sprintf("U1000%d", i)
		n := Network{Code: code, Name: "Network " + code, LedElsewhere: r.IntN(4) == 0}
		if list := int64(r.IntN(50_000)); list > 0 && r.IntN(5) > 0 {
			n.List = &list
		}
		w.members.Networks[code] = n
	}
	for i := range 20 {
		if r.IntN(5) > 0 { // else the register does not know it
			w.members.Practices[fmt.Sprintf("L8300%02d", i)] = Member{PCN: fmt.Sprintf("U1000%d", r.IntN(6))}
		}
	}
	var prices []Price
	var factors []Factor
	confidences := []working.Confidence{working.Official, working.Inferred, working.Candidate, working.Unknown}
	for i := range 5 {
		confidence := confidences[r.IntN(len(confidences))]
		p := Price{Figure: Figure{ID: fmt.Sprint("p", i), Confidence: confidence, CommissionerCode: England}, List: "tariff-2020-21", HRG: fmt.Sprintf("VB0%dZ", i)}
		if confidence != working.Unknown {
			p.Amount = big.NewRat(int64(r.IntN(100_000)), 100)
		}
		prices = append(prices, p)
		factors = append(factors, Factor{Figure: Figure{ID: fmt.Sprint("f", i), Confidence: working.Official, CommissionerCode: England}, Provider: fmt.Sprint("RH", i), Year: 2020, Value: big.NewRat(int64(9_000+r.IntN(3_000)), 10_000)})
	}
	w.terms = TermsFor(prices, factors, nil, "15N", 2020)
	for line := range 1 + r.IntN(200) {
		a := Attendance{
			Line: int64(line), Provider: fmt.Sprint("RH", r.IntN(7)), Department: Department(1 + r.IntN(4)), Code: []string{"first", "FOLLOW_UP_PLANNED", "unknown", "77"}[r.IntN(4)],
			HRG: []string{"", "VB00Z", "VB01Z", "VB02Z", "VB03Z", "VB09Z"}[r.IntN(6)], Count: int64(r.IntN(30)),
		}
		if r.IntN(6) > 0 {
			a.Practice = fmt.Sprintf("L8300%02d", r.IntN(22))
		}
		if a.HasGiven = r.IntN(8) == 0; a.HasGiven {
			a.Given = money.Pence(r.IntN(1_000_000))
		}
		w.sum += a.Count
		w.attendances = append(w.attendances, a)
	}
	return w
}

func (w *world) build(t *testing.T) *Report {
	t.Helper()
	b := NewBuilder(w.terms, w.members, Categories(nil, "15N"))
	for i := range w.attendances {
		require.NoError(t, b.Add(&w.attendances[i]))
	}
	r, err := b.Done(w.sum)
	require.NoError(t, err)
	return r
}

// TestBuild_AddsUpWhateverTheFileAndTheMembers also holds every row's cost against one worked out on its own.
func TestBuild_AddsUpWhateverTheFileAndTheMembers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		w := anyWorld(r)
		report := w.build(t)
		var expected Totals
		for i := range w.attendances {
			a := &w.attendances[i]
			expected.Attendances += a.Count
			unit := w.terms.Unit(a.Provider, a.Department, a.HRG)
			switch {
			case a.HasGiven:
				expected.Costed += a.Given
			case unit.Missing != nil:
				expected.Uncosted += a.Count
			default:
				result, err := working.Evaluate(unit.Working(a.Count, working.Origin{Kind: working.FromRequest}))
				require.NoError(t, err)
				pence, err := money.RoundHalfUp(result)
				require.NoError(t, err)
				require.Zero(t, pence.GBP().Cmp(result), "a working ends in whole pence")
				expected.Costed += pence
			}
		}
		require.Equal(t, expected, report.Totals)
		networks, err := Networks(report.Rows)
		require.NoError(t, err)
		for _, rows := range [][]Row{report.Rows, networks} {
			var sum Totals
			var lacking int64
			for i := range rows {
				sum, err = sum.Add(rows[i].Totals)
				require.NoError(t, err)
				of := int64(0)
				for _, l := range rows[i].Lacking {
					of += l.Count
				}
				require.Equal(t, rows[i].Uncosted, of)
				lacking += of
			}
			require.Equal(t, expected, sum)
			require.Equal(t, expected.Uncosted, lacking)
		}
		var pcns Totals
		for i := range report.PCNs {
			pcns, err = pcns.Add(report.PCNs[i].Totals)
			require.NoError(t, err)
		}
		require.Equal(t, expected, pcns)
		for code, network := range w.members.Networks {
			listed := slices.ContainsFunc(report.PCNs, func(p PCN) bool { return p.Code == code })
			require.True(t, listed || network.LedElsewhere, "%s is led here and has its place even without rows", code)
		}
	}
}

func TestBuild_OrderOfRowsChangesNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		w := anyWorld(r)
		first := w.build(t)
		r.Shuffle(len(w.attendances), func(i, j int) { w.attendances[i], w.attendances[j] = w.attendances[j], w.attendances[i] })
		second := w.build(t)
		require.Equal(t, first, second)
		require.Equal(t, first.Words(), second.Words())
		require.Empty(t, Compare(first, second))
	}
}

func TestBuild_RefusesWhatDoesNotAddUp(t *testing.T) {
	t.Parallel()
	w := anyWorld(rand.New(rand.NewPCG(5, 6)))
	b := NewBuilder(w.terms, w.members, Categories(nil, "15N"))
	require.NoError(t, b.Add(&Attendance{Count: 3, Department: Emergency, Code: "first"}))
	require.Panics(t, func() { _, _ = b.Done(4) }, "a sum that does not add up is a bug, and loud under test")
}

// TestShare_HoldsForWhateverReport checks on larger reports what readers with sums could do: of hidden rows whose sum can be had there are
// always two or more, and more than the limit beyond one each.
func TestShare_HoldsForWhateverReport(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		w := anyWorld(r)
		rows, err := Networks(w.build(t).Rows)
		require.NoError(t, err)
		report := w.build(t)
		limit := int64(r.IntN(12))
		var own []string
		if r.IntN(3) == 0 {
			own = []string{"U10001"}
		}
		s := Share(rows, report.PCNs, limit, own...)
		var openPCNs, openSum int64
		for _, p := range report.PCNs {
			if slices.Contains(own, p.Code) {
				require.False(t, s.PCNs[p.Code])
				continue
			}
			require.False(t, p.Attendances >= 1 && p.Attendances <= limit && !s.PCNs[p.Code], "%s shows %d", p.Code, p.Attendances)
			var open, sum int64
			for i := range rows {
				if rows[i].PCN != p.Code {
					continue
				}
				n := rows[i].Attendances
				require.False(t, n >= 1 && n <= limit && !s.Rows[i])
				if s.Rows[i] {
					open, sum = open+1, sum+n
				}
			}
			if s.PCNs[p.Code] {
				openPCNs, openSum = openPCNs+1, openSum+p.Attendances
			} else if open > 0 {
				require.GreaterOrEqual(t, open, int64(2))
				require.GreaterOrEqual(t, sum-open, limit)
			}
		}
		if openPCNs > 0 && !s.Total {
			require.GreaterOrEqual(t, openPCNs, int64(2))
			require.GreaterOrEqual(t, openSum-openPCNs, limit)
		}
		require.Equal(t, limit == 0, limit == 0 && !s.Any())
	}
}

func TestRate_RoundsHalfUp(t *testing.T) {
	t.Parallel()
	list := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		attendances int64
		list        *int64
		want        string
	}{{203, list(20_000), "10.15"}, {1, list(8), "125.00"}, {1, list(16_000), "0.06"}, {1, list(200_000), "0.01"}, {0, list(5), "0.00"}, {3, nil, ""}, {3, list(0), ""}} {
		require.Equal(t, c.want, Rate(c.attendances, c.list))
	}
}

func TestDueOn_CountsDaysAndWorkingDays(t *testing.T) {
	t.Parallel()
	month := func(text string) period.Month {
		m, err := period.ParseMonth(text)
		require.NoError(t, err)
		return m
	}
	england := func(name, subject, value string) Setting {
		s := Setting{CommissionerCode: England, Name: name, Subject: subject, Value: value}
		require.NoError(t, s.Check())
		return s
	}
	holidays := []string{"2021-01-01", "2021-04-02", "2021-04-05"}
	for _, c := range []struct {
		due, month, want string
	}{
		{"DAY 20", "2020-11", "2020-12-20"},
		{"DAY 31", "2021-01", "2021-02-28"},
		{"WORKING_DAY 1", "2020-12", "2021-01-04"},
		{"WORKING_DAY 3", "2021-03", "2021-04-07"},
		{"WORKING_DAY 23", "2021-01", "2021-02-26"},
	} {
		on, missing := DueOn([]Setting{england(SettingDueDay, "", c.due)}, "15N", month(c.month), holidays)
		require.Nil(t, missing)
		require.Equal(t, c.want, on.String(), c.due)
	}
	_, missing := DueOn([]Setting{england(SettingDueDay, "", "WORKING_DAY 1")}, "15N", month("2021-12"), nil)
	require.Equal(t, ReasonBankHolidaysUnknown, missing.Reason)
	require.Equal(t, "bank holidays of England in 2022", missing.Figure)
	on, missing := DueOn([]Setting{england(SettingDueDay, "", "DAY 20")}, "15N", month("2021-12"), nil)
	require.Nil(t, missing, "a day of the month takes no holidays")
	require.Equal(t, "2022-01-20", on.String())
}

func TestSetting_RefusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, s := range []Setting{
		{Name: SettingCategory, Subject: "first", Value: "FIRST"},
		{Name: SettingCategory, Value: "FIRST"},
		{Name: SettingCategory, Subject: "01", Value: "SECOND"},
		{Name: SettingStandInList, Subject: "2020-21", Value: "tariff-2019-20"},
		{Name: SettingStandInList, Subject: "2020", Value: "NONE"},
		{Name: SettingDueDay, Value: "DAY 32"},
		{Name: SettingDueDay, Value: "DAY"},
		{Name: SettingDueDay, Value: "WORKING_DAY 0"},
		{Name: SettingDueDay, Subject: "x", Value: "DAY 2"},
		{Name: "BANK_HOLIDAYS", CommissionerCode: England, Subject: "2021", Value: "2021-01-01"},
		{Name: SettingSmallNumbers, Value: "101"},
		{Name: SettingSmallNumbers, Value: "-1"},
		{Name: SettingListDate, Subject: "2020-21", Value: "1 January"},
		{Name: "OTHER"},
	} {
		require.Error(t, s.Check(), "%+v", s)
	}
}

func TestFind_OwnGoesBeforeEnglands(t *testing.T) {
	t.Parallel()
	settings := []Setting{
		{CommissionerCode: "15N", Name: "A", Value: "own", Position: 1},
		{CommissionerCode: England, Name: "A", Value: "old", Position: 2},
		{CommissionerCode: England, Name: "A", Value: "new", Position: 3},
	}
	require.Equal(t, "own", Find(settings, "15N", "A", "").Value)
	require.Equal(t, "new", Find(settings, "11X", "A", "").Value)
	require.Nil(t, Find(settings, "11X", "A", "b"))
}
