package e2e

import (
	"encoding/csv"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The figures of the sample: real published lists, at the rates of the published contract.
var (
	april2022 = monthSummary{
		Month: "2022-04", Commissioners: 106, PCNs: 1243, Practices: 6392, RegisteredPatients: 60_725_071, Lines: 10_117,
		PayTotalPence: 27_475_583_57,
		Payments: []paymentSummary{
			{"CLINICAL_DIRECTOR", "INSTRUCTION_PAY", 1243, 1243, 3_724_471_11, 0},
			{"CORE_PCN", "INSTRUCTION_PAY", 1243, 1243, 7_590_637_03, 0},
			{"EXTENDED_HOURS", "INSTRUCTION_PAY", 1243, 1243, 7_287_008_52, 0},
			{"NPP", "INSTRUCTION_PAY", 6388, 6388, 8_873_466_91, 0},
		},
	}
	april2025 = monthSummary{
		Month: "2025-04", Commissioners: 42, PCNs: 1284, Practices: 6168, RegisteredPatients: 63_445_855, Lines: 3852,
		ReconcileTotalPence: 77_354_214_49,
		Payments: []paymentSummary{
			{"CASP", "INSTRUCTION_RECONCILE_ONLY", 1284, 1284, 16_956_521_50, 0},
			{"CORE_PCN", "INSTRUCTION_RECONCILE_ONLY", 1284, 1284, 15_855_109_54, 0},
			{"ENHANCED_ACCESS", "INSTRUCTION_RECONCILE_ONLY", 1284, 1284, 44_542_583_45, 0},
		},
	}
)

// Not parallel: it adds up all of England before any other test changes a month.
func TestMonthSummary_EqualsThePublishedFigures(t *testing.T) {
	auditor := as(t, "auditor")
	for _, want := range []monthSummary{april2022, april2025} {
		got := read[monthSummary](t, auditor, "/v1/core/months/"+want.Month+"/summary")
		require.Equal(t, want, got)
	}
}

// Not parallel, for the same reason.
func TestMonthSummary_IsTheSumOfItsCommissioners(t *testing.T) {
	auditor := as(t, "auditor")
	for _, want := range []monthSummary{april2022, april2025} {
		schedules := read[scheduleList](t, auditor, "/v1/core/schedules?page_size=1000&month="+want.Month)
		require.Len(t, schedules.Schedules, want.Commissioners)
		require.Empty(t, schedules.NextPageToken)
		var lines int
		var pay, reconcile int64
		for _, s := range schedules.Schedules {
			require.Equal(t, 1, s.Sequence)
			require.Empty(t, s.Lines, "lists carry no lines")
			lines, pay, reconcile = lines+s.LineCount, pay+s.PayTotalPence, reconcile+s.ReconcileTotalPence
		}
		require.Equal(t, want.Lines, lines)
		require.Equal(t, want.PayTotalPence, pay)
		require.Equal(t, want.ReconcileTotalPence, reconcile)
	}
}

func TestMonthSummary_OfOneCommissionerIsItsSchedule(t *testing.T) {
	t.Parallel()
	integration := as(t, "integration", "00L")
	s := read[schedule](t, integration, "/v1/core/schedules/core-00L-2022-04-1")
	requireSums(t, s)
	summary := read[monthSummary](t, integration, "/v1/core/months/2022-04/summary?commissioner_code=00L")
	require.Equal(t, 1, summary.Commissioners)
	require.Equal(t, s.LineCount, summary.Lines)
	require.Equal(t, s.PayTotalPence, summary.PayTotalPence)
}

func TestPCNMonth_IsRecomputedFromItsWorking(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	for _, c := range []struct {
		month, commissioner string
		payments            map[string]int
	}{
		{"2022-04", "16C", map[string]int{"CORE_PCN": 1, "CLINICAL_DIRECTOR": 1, "EXTENDED_HOURS": 1, "NPP": 7}},
		{"2025-04", "QHM", map[string]int{"CORE_PCN": 1, "ENHANCED_ACCESS": 1, "CASP": 1}},
	} {
		got := read[pcnMonth](t, auditor, "/v1/core/pcns/U89141/months/"+c.month)
		require.Equal(t, []string{"core-" + c.commissioner + "-" + c.month + "-1"}, got.ScheduleIDs)
		count := make(map[string]int)
		var sum int64
		for _, l := range got.Lines {
			require.Equal(t, l.AmountPence, evaluate(t, l.Working), "%s %s", l.PaymentCode, l.PracticeCode)
			require.Equal(t, "U89141", l.PCNCode)
			require.Empty(t, l.AdjustsLineID)
			count[l.PaymentCode]++
			sum += l.AmountPence
		}
		require.Equal(t, c.payments, count)
		require.Equal(t, sum, got.PayTotalPence+got.ReconcileTotalPence)
	}
}

// perHead are the payments of April 2022 per registered patient: pounds for a period of so many months.
var perHead = map[string]struct {
	rate   string
	months int64
}{"CORE_PCN": {"1.5", 12}, "CLINICAL_DIRECTOR": {"0.736", 12}, "EXTENDED_HOURS": {"0.72", 6}}

func TestPCNMonth_FollowsTheContractFromThePublishedLists(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	got := read[pcnMonth](t, auditor, "/v1/core/pcns/U89141/months/2022-04")
	picture := read[snapshot](t, auditor, "/v1/register/snapshot?commissioner_code=16C&membership_date=2022-04-01")
	pcn := pictureOf(t, picture, "U89141")
	registered := new(big.Rat)
	for _, practice := range pcn.Practices {
		registered.Add(registered, exact(t, practice.population("REGISTERED")))
		npp := find(got.Lines, func(l line) bool { return l.PaymentCode == "NPP" && l.PracticeCode == practice.PracticeCode })
		require.Len(t, npp, 1)
		weighted := practice.population("WEIGHTED")
		require.Equal(t, instalment(t, "1.761", exact(t, weighted), 12), npp[0].AmountPence)
		require.Equal(t, practice.PracticeCode, npp[0].Payee.Code)
	}
	for payment, terms := range perHead {
		l := only(t, got.Lines, "U89141", payment, "2022-04")
		require.Equal(t, instalment(t, terms.rate, registered, terms.months), l.AmountPence, payment)
		require.Equal(t, pcn.Payee.Code, l.Payee.Code)
	}
}

func TestPCNMonth_MergedCoreFundingIsRoundedOnce(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	pcn := pictureOf(t, read[snapshot](t, auditor, "/v1/register/snapshot?commissioner_code=QHM&membership_date=2025-04-01"), "U89141")
	registered, adjusted := new(big.Rat), new(big.Rat)
	for _, practice := range pcn.Practices {
		registered.Add(registered, exact(t, practice.population("REGISTERED")))
		adjusted.Add(adjusted, exact(t, practice.population("ADJUSTED")))
	}
	year := new(big.Rat).Mul(exact(t, "2.266"), registered)
	year.Add(year, new(big.Rat).Mul(exact(t, "0.733"), adjusted))
	got := read[pcnMonth](t, auditor, "/v1/core/pcns/U89141/months/2025-04")
	require.Equal(t, pence(t, halfUp(year.Quo(year, big.NewRat(12, 1)), 2)), only(t, got.Lines, "U89141", "CORE_PCN", "2025-04").AmountPence)
	require.Equal(t, instalment(t, "8.427", adjusted, 12), only(t, got.Lines, "U89141", "ENHANCED_ACCESS", "2025-04").AmountPence)
	require.Equal(t, instalment(t, "3.208", adjusted, 12), only(t, got.Lines, "U89141", "CASP", "2025-04").AmountPence)
}

func pictureOf(t testing.TB, s snapshot, pcn string) snapshotPCN {
	t.Helper()
	at := slices.IndexFunc(s.PCNs, func(p snapshotPCN) bool { return p.PCNCode == pcn })
	require.GreaterOrEqual(t, at, 0, "%s is not in the snapshot", pcn)
	return s.PCNs[at]
}

func TestPCNMonth_IsOpenToThePCNsOwnManager(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, suite.binary, "a token for a PCN needs PCN_BIN")
	token, err := suite.tokenBy(suite.dataDir, "--role", "pcn_manager", "--pcn", "U89141")
	require.NoError(t, err)
	manager := caller{token: token}
	got := read[pcnMonth](t, manager, "/v1/core/pcns/U89141/months/2022-04")
	require.NotEmpty(t, got.Lines)
	explained := read[explainedLine](t, manager, "/v1/core/lines/"+got.Lines[0].LineID)
	require.True(t, explained.Verified)
	require.NotEmpty(t, explained.Sentences)
	require.Equal(t, got.Lines[0].LineID, explained.Line.LineID)
	require.Equal(t, got.Lines[0].AmountPence, evaluate(t, explained.Line.Working))
	manager.get(t, "/v1/core/pcns/U00070/months/2022-04").refused(t, 404, "RESOURCE_NOT_FOUND")
}

func TestDownload_SumsToTheSchedule(t *testing.T) {
	t.Parallel()
	auditor := as(t, "auditor")
	for _, id := range []string{"core-00N-2022-04-1", "core-QE1-2025-04-1"} {
		want := read[schedule](t, auditor, "/v1/core/schedules/"+id)
		file := auditor.get(t, "/v1/core/schedules/"+id+"/lines.csv")
		require.Equal(t, 200, file.Status)
		require.True(t, strings.HasPrefix(file.Header.Get("Content-Type"), "text/csv"), file.Header.Get("Content-Type"))
		require.Contains(t, file.Header.Get("Content-Disposition"), "attachment")
		rows, err := csv.NewReader(strings.NewReader(string(file.Body))).ReadAll()
		require.NoError(t, err)
		require.Len(t, rows, want.LineCount+1)
		amount, instruction, id := slices.Index(rows[0], "amount_gbp"), slices.Index(rows[0], "instruction"), slices.Index(rows[0], "line_id")
		sums := make(map[string]*big.Rat)
		for i, row := range rows[1:] {
			if sums[row[instruction]] == nil {
				sums[row[instruction]] = new(big.Rat)
			}
			sums[row[instruction]].Add(sums[row[instruction]], exact(t, row[amount]))
			require.Equal(t, want.Lines[i].LineID, row[id])
			require.Equal(t, want.Lines[i].AmountPence, pence(t, exact(t, row[amount])))
		}
		for name, total := range map[string]int64{"PAY": want.PayTotalPence, "RECONCILE_ONLY": want.ReconcileTotalPence} {
			if sums[name] == nil {
				sums[name] = new(big.Rat)
			}
			require.Equal(t, total, pence(t, sums[name]), name)
		}
		negotiated := auditor.get(t, "/v1/core/schedules/"+want.ScheduleID, "Accept", "text/csv")
		require.Equal(t, file.Body, negotiated.Body, "the schedule asked for as CSV is the same file")
	}
}

func TestPreview_ShowsTheWholeMonthAndWritesNothing(t *testing.T) {
	t.Parallel()
	integration := as(t, "integration", "00Q")
	closed := read[schedule](t, integration, "/v1/core/schedules/core-00Q-2022-04-1")
	again := read[schedule](t, integration, "/v1/core/commissioners/00Q/months/2022-04:preview")
	require.Empty(t, again.Lines, "nothing has changed")
	whole := read[schedule](t, integration, "/v1/core/commissioners/00Q/months/2022-04:preview?from_scratch=true&include_working=true")
	require.Equal(t, closed.PayTotalPence, whole.PayTotalPence)
	require.Len(t, whole.Lines, closed.LineCount)
	for _, l := range whole.Lines {
		require.Equal(t, l.AmountPence, evaluate(t, l.Working))
	}
	list := read[scheduleList](t, integration, "/v1/core/schedules?commissioner_code=00Q&month=2022-04")
	require.Len(t, list.Schedules, 1)
	require.Equal(t, closed.ScheduleID, list.Schedules[0].ScheduleID)
}
