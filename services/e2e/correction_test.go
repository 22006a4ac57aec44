package e2e

import (
	"maps"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

const causePopulation = "ADJUSTMENT_CAUSE_POPULATION"

// correction is a PCN of one commissioner, one of its practices, and the list of that practice as first published.
type correction struct {
	ccg, icb, pcn, practice string
	published               int64
	patients                *big.Rat // of the whole PCN, as published
	preparer                caller
}

// correctable finds a PCN with several practices whose lists can be corrected by the commissioner's successor.
func correctable(t testing.TB, ccg, icb string) correction {
	t.Helper()
	c := correction{ccg: ccg, icb: icb, patients: new(big.Rat), preparer: as(t, "finance_preparer", ccg, icb)}
	picture := read[snapshot](t, c.preparer, "/v1/register/snapshot?commissioner_code="+ccg+"&membership_date=2022-04-01")
	now := read[snapshot](t, c.preparer, "/v1/register/snapshot?commissioner_code="+icb+"&membership_date=2025-04-01")
	open := make(map[string]bool)
	for _, pcn := range now.PCNs {
		for _, practice := range pcn.Practices {
			open[practice.PracticeCode] = true
		}
	}
	at := slices.IndexFunc(picture.PCNs, func(p snapshotPCN) bool {
		return p.PayerCode == ccg && p.Closed == "" && len(p.Practices) > 2 && open[p.Practices[0].PracticeCode]
	})
	require.GreaterOrEqual(t, at, 0, "%s has no PCN to correct", ccg)
	c.pcn, c.practice = picture.PCNs[at].PCNCode, picture.PCNs[at].Practices[0].PracticeCode
	for _, practice := range picture.PCNs[at].Practices {
		c.patients.Add(c.patients, exact(t, practice.population("REGISTERED")))
	}
	var err error
	c.published, err = strconv.ParseInt(picture.PCNs[at].Practices[0].population("REGISTERED"), 10, 64)
	require.NoError(t, err)
	return c
}

// record corrects the practice's list of January 2022 by a number of patients.
func (c correction) record(t testing.TB, by int64) load {
	t.Helper()
	source := "correction " + unique()
	got := write[load](t, c.preparer, "/v1/register/populations", fields{
		"request_id": unique(), "commissioner_code": c.icb, "organisation_code": c.practice, "kind": "POPULATION_KIND_REGISTERED",
		"reference_date": "2022-01-01", "value": strconv.FormatInt(c.published+by, 10), "source": source,
	})
	require.Equal(t, "RECORDED", got.Kind)
	require.Equal(t, source, got.Source)
	return got
}

// due returns what each payment per registered patient comes to when the list differs from the published one.
func (c correction) due(t testing.TB, by int64) map[string]int64 {
	t.Helper()
	out := make(map[string]int64)
	for payment, terms := range perHead {
		out[payment] = instalment(t, terms.rate, new(big.Rat).Add(c.patients, big.NewRat(by, 1)), terms.months)
	}
	return out
}

// requireAdjustments checks that the lines of a month are differences of the three payments per patient and nothing else, each
// adjusting the line it should.
func (c correction) requireAdjustments(t testing.TB, lines []line, month string, want map[string]int64, adjusts map[string]string) {
	t.Helper()
	lines = find(lines, func(l line) bool { return l.ForMonth == month })
	require.Len(t, lines, len(want), "differences for %s", month)
	for payment, amount := range want {
		l := only(t, lines, c.pcn, payment, month)
		require.Equal(t, amount, l.AmountPence, payment)
		require.Equal(t, causePopulation, l.AdjustmentCause)
		require.Equal(t, adjusts[payment], l.AdjustsLineID, payment)
		explained := read[explainedLine](t, c.preparer, "/v1/core/lines/"+l.LineID)
		require.True(t, explained.Verified)
		require.Equal(t, amount, evaluate(t, explained.Line.Working))
	}
}

// lineIDs returns the line of each payment per patient of the PCN for a month.
func (c correction) lineIDs(t testing.TB, lines []line, month string) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for payment := range perHead {
		out[payment] = only(t, lines, c.pcn, payment, month).LineID
	}
	return out
}

func less(a, b map[string]int64) map[string]int64 {
	out := make(map[string]int64)
	for k := range a {
		out[k] = a[k] - b[k]
	}
	return out
}

func TestCorrection_OfAListIsScheduledAsDifferences(t *testing.T) {
	t.Parallel()
	c := correctable(t, "15N", "QJK")
	first := read[schedule](t, c.preparer, "/v1/core/schedules/core-15N-2022-04-1")
	published, more, fewer := c.due(t, 0), c.due(t, 1000), c.due(t, -250)
	april := c.lineIDs(t, first.Lines, "2022-04")
	for payment, amount := range published {
		require.Equal(t, amount, only(t, first.Lines, c.pcn, payment, "2022-04").AmountPence)
	}

	c.record(t, 1000)
	preview := read[schedule](t, c.preparer, "/v1/core/commissioners/15N/months/2022-04:preview")
	require.Len(t, preview.Lines, 3)
	second := closeMonth(t, c.preparer, "15N", "2022-04")
	require.Equal(t, "core-15N-2022-04-2", second.ScheduleID)
	require.Equal(t, 2, second.Sequence)
	require.Len(t, second.Lines, 3, "a later sequence holds differences only")
	c.requireAdjustments(t, second.Lines, "2022-04", less(more, published), april)
	require.Equal(t, second.ScheduleID, closeMonth(t, c.preparer, "15N", "2022-04").ScheduleID, "nothing has changed")
	require.Equal(t, first, read[schedule](t, c.preparer, "/v1/core/schedules/core-15N-2022-04-1"), "what was scheduled stays")

	may := closeMonth(t, c.preparer, "15N", "2022-05")
	require.Equal(t, 1, may.Sequence)
	require.Empty(t, find(may.Lines, func(l line) bool { return l.ForMonth != "2022-05" || l.AdjustsLineID != "" }))
	require.Len(t, may.Lines, first.LineCount)
	for payment, amount := range more {
		require.Equal(t, amount, only(t, may.Lines, c.pcn, payment, "2022-05").AmountPence)
	}

	c.record(t, -250)
	third := closeMonth(t, c.preparer, "15N", "2022-05")
	require.Equal(t, "core-15N-2022-05-2", third.ScheduleID)
	require.Len(t, third.Lines, 6, "a close picks up what has changed in earlier months")
	c.requireAdjustments(t, third.Lines, "2022-04", less(fewer, more), c.lineIDs(t, second.Lines, "2022-04"))
	c.requireAdjustments(t, third.Lines, "2022-05", less(fewer, more), c.lineIDs(t, may.Lines, "2022-05"))
	c.requireTotals(t, fewer)
}

// requireTotals checks over all schedules that each payment of the PCN for April and May came to what is due now, and that
// nothing is left to schedule.
func (c correction) requireTotals(t testing.TB, due map[string]int64) {
	t.Helper()
	sums := map[string]map[string]int64{"2022-04": {}, "2022-05": {}}
	for _, month := range slices.Sorted(maps.Keys(sums)) {
		for _, l := range read[pcnMonth](t, c.preparer, "/v1/core/pcns/"+c.pcn+"/months/"+month).Lines {
			if l.PaymentCode != "NPP" {
				sums[l.ForMonth][l.PaymentCode] += l.AmountPence
			}
		}
	}
	require.Equal(t, map[string]map[string]int64{"2022-04": due, "2022-05": due}, sums)
	for month := range sums {
		require.Empty(t, read[schedule](t, c.preparer, "/v1/core/commissioners/"+c.ccg+"/months/"+month+":preview").Lines)
	}
	summary := read[monthSummary](t, c.preparer, "/v1/core/months/2022-05/summary?commissioner_code="+c.ccg)
	adjusted := less(due, c.due(t, 1000))
	for _, p := range summary.Payments {
		require.Equal(t, 2*adjusted[p.PaymentCode], p.AdjustmentPence, p.PaymentCode)
	}
}

func TestCorrection_AfterSuccessionIsOwedByTheSuccessor(t *testing.T) {
	t.Parallel()
	c := correctable(t, "06Q", "QH8")
	first := read[schedule](t, c.preparer, "/v1/core/schedules/core-06Q-2022-04-1")
	c.record(t, 77)
	later := closeMonth(t, c.preparer, "QH8", "2025-04")
	require.Equal(t, 2, later.Sequence)
	require.Len(t, later.Lines, 3, "only the corrected list")
	c.requireAdjustments(t, later.Lines, "2022-04", less(c.due(t, 77), c.due(t, 0)), c.lineIDs(t, first.Lines, "2022-04"))
	require.Equal(t, "core-06Q-2022-04-1", closeMonth(t, c.preparer, "06Q", "2022-04").ScheduleID, "it is not scheduled twice")

	c.record(t, 150)
	byCCG := closeMonth(t, c.preparer, "06Q", "2022-04")
	require.Len(t, byCCG.Lines, 3, "the commissioner of the time may correct its month too")
	for payment, amount := range less(c.due(t, 150), c.due(t, 77)) {
		require.Equal(t, amount, only(t, byCCG.Lines, c.pcn, payment, "2022-04").AmountPence)
	}
	require.Equal(t, later.ScheduleID, closeMonth(t, c.preparer, "QH8", "2025-04").ScheduleID, "nor the other way round")
}

func TestCorrection_IsKnownFromItsRecordingOn(t *testing.T) {
	t.Parallel()
	c := correctable(t, "06T", "QJG")
	path := "/v1/core/commissioners/06T/months/2022-04:preview?from_scratch=true"
	before := read[schedule](t, c.preparer, path)
	knownAt := read[struct {
		KnownAt string `json:"known_at"`
	}](t, c.preparer, "/v1/register/snapshot?commissioner_code=06T&membership_date=2022-04-01").KnownAt
	c.record(t, 300)
	after := read[schedule](t, c.preparer, path)
	require.NotEqual(t, before.PayTotalPence, after.PayTotalPence)
	then := read[schedule](t, c.preparer, path+"&known_at="+knownAt)
	require.Equal(t, before.PayTotalPence, then.PayTotalPence, "as known before the correction")
	require.Equal(t, before.Lines, then.Lines)
}

func TestCorrection_OfAPayeeMovesTheMoney(t *testing.T) {
	t.Parallel()
	c := correctable(t, "06H", "QUE")
	first := read[schedule](t, c.preparer, "/v1/core/schedules/core-06H-2022-04-1")
	old := only(t, first.Lines, c.pcn, "CORE_PCN", "2022-04")
	write[load](t, c.preparer, "/v1/register/payees", fields{
		"request_id": unique(), "commissioner_code": "QUE", "organisation_code": c.pcn, "payee_code": "E2E01", "payee_name": "NEW PAYEE",
		"effective_from": "2022-04-01", "source": "e2e",
	})
	moved := closeMonth(t, c.preparer, "06H", "2022-04")
	require.Zero(t, moved.PayTotalPence, "the sum stays")
	require.Len(t, moved.Lines, 6, "each of three payments is taken back and paid anew")
	for _, l := range find(moved.Lines, func(l line) bool { return l.PaymentCode == "CORE_PCN" }) {
		require.Equal(t, "ADJUSTMENT_CAUSE_PAYEE", l.AdjustmentCause)
		require.Equal(t, old.LineID, l.AdjustsLineID)
		want := map[string]int64{"E2E01": old.AmountPence, old.Payee.Code: -old.AmountPence}
		require.Equal(t, want[l.Payee.Code], l.AmountPence)
	}
}
