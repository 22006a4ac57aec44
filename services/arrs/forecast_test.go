package arrs_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

func (s *planSuite) forecast(t *testing.T, pcn, asOf string) *arrsv1.Forecast {
	t.Helper()
	got, err := s.arrs.GetForecast(planAs(t, testkit.Auditor("*")), &arrsv1.GetForecastRequest{PcnCode: pcn, FinancialYear: "2023-24", AsOfMonth: asOf})
	require.NoError(t, err)
	return got
}

func TestForecast_CarriesStaffOn(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2023/24", "main", 10_000_000)
		stays, leaves := post{"U1", "QJK", "CP 1", "CP", "37.5", "2023-04-01", ""}, post{"U1", "QJK", "PT 1", "PT", "37.5", "2023-05-17", "2023-07-31"}
		s.engage(t, stays)
		s.engage(t, leaves)
		s.claim(t, stays, "2023-04", "2023/24", "main", 300_000, 0, true)
		s.claim(t, stays, "2023-05", "2023/24", "main", 310_000, 0, false)
		s.claim(t, leaves, "2023-05", "2023/24", "main", 150_000, 0, false) // 15 days of 31
		got := s.forecast(t, "U1", "")
		require.Equal(t, "2023-05", got.GetAsOfMonth())
		pot := got.GetPots()[0]
		require.Equal(t, int64(760_000), pot.GetClaimedPence())
		require.Equal(t, int64(10*310_000+2*310_000), pot.GetCommittedPence(), "ten months on, and two of the leaver")
		require.Equal(t, int64(760_000+3_720_000), pot.GetSpendPence())
		require.Equal(t, pot.GetUsablePence()-pot.GetSpendPence(), pot.GetUnspentPence())
		codes := make(map[string]string)
		for _, assumption := range got.GetAssumptions() {
			codes[assumption.GetCode()] = assumption.GetText()
			require.NotEmpty(t, assumption.GetText())
		}
		require.Contains(t, codes, "PAY_AS_LAST_CLAIMED")
		earlier := s.forecast(t, "U1", "2023-04")
		require.Equal(t, int64(300_000), earlier.GetPots()[0].GetClaimedPence())
		require.Equal(t, int64(11*300_000), earlier.GetPots()[0].GetCommittedPence())
		_, err := s.arrs.GetForecast(planAs(t, testkit.Auditor("*")), &arrsv1.GetForecastRequest{PcnCode: "U1", FinancialYear: "2023-24", AsOfMonth: "2025-01"})
		require.Equal(t, "FORECAST_PERIOD_INVALID", planReason(err))
	})
}

func TestForecast_CountsPlansAboveStaffInPost(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2023/24", "main", 100_000_000)
		p := post{"U1", "QJK", "CP 1", "CP", "37.5", "2023-04-01", ""}
		s.engage(t, p)
		s.claim(t, p, "2023-06", "2023/24", "main", 400_000, 0, true)
		line := planned("2023-24", "CP", arrsv1.Intention_FIRM, "2", 1)
		line.StartMonth = "2023-10"
		_, err := s.submit(t, "p", "U1", "2023-24", "", line, planned("2023-24", "PT", arrsv1.Intention_INDICATIVE, "5", 1), planned("2023-24", "MHP", arrsv1.Intention_FIRM, "1", 1))
		require.NoError(t, err)
		got := s.forecast(t, "U1", "")
		require.NotEmpty(t, got.GetPlanId())
		// One vacancy from October, six months at £62,340, and the plan's second post from July, three months.
		require.Equal(t, int64(519_500*9), got.GetPots()[0].GetExpectedPence())
		require.Len(t, got.GetMissing(), 1, "no price of a mental health practitioner is known")
		require.Equal(t, int32(1), got.GetMissingCount())
		require.Equal(t, "MISSING_PRICES_NOTHING", got.GetAssumptions()[len(got.GetAssumptions())-1].GetCode())
	})
}

func TestForecast_KnowsTheEndOfTheSum(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2023/24", "main", 100_000)
		p := post{"U1", "QJK", "CP 1", "CP", "37.5", "2023-04-01", ""}
		s.engage(t, p)
		s.claim(t, p, "2024-02", "2023/24", "main", 100_000, 300_000, true)
		pot := s.forecast(t, "U1", "").GetPots()[0]
		require.Equal(t, []int64{100_000, 400_000, 100_000, 500_000, 0}, []int64{
			pot.GetClaimedPence(), pot.GetCommittedPence(), pot.GetSpendPence(), pot.GetWantedPence(), pot.GetUnspentPence(),
		}, "what the sum has no room for is wanted all the same")
		// Pay that was erased leaves the pot's total, and the forecast's.
		s.exec(t, `UPDATE claim_lines SET claimed_pence = 0, payable_pence = 0, approved_pence = 0, assessment = $1, entry = $1`, []byte{})
		pot = s.forecast(t, "U1", "").GetPots()[0]
		require.Equal(t, int64(100_000), pot.GetClaimedPence())
	})
}

func TestForecast_AddsUpForCommissionersAndEngland(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2023/24", "main", 1_000)
		s.year(t, "U2", "QJK", "2023/24", "main", -1)
		s.year(t, "U3", "QT6", "2023/24", "main", 5_000)
		s.pot(t, "U1", "2023/24", "main", 100, 200)
		s.pot(t, "U3", "2023/24", "main", 0, 1_000)
		of, err := s.arrs.GetCommissionerForecast(planAs(t, regional("QJK")), &arrsv1.GetCommissionerForecastRequest{CommissionerCode: "QJK", FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.Len(t, of.GetPcns(), 2)
		require.Equal(t, "SUM_UNKNOWN", of.GetPcns()[1].GetPots()[0].GetRefusal().GetReason())
		total := of.GetTotals()[0]
		require.Equal(t, []int64{2, 1, 1_000, 300, 700}, []int64{
			int64(total.GetPcns()), int64(total.GetUnknownPcns()), total.GetUsablePence(), total.GetClaimedPence(), total.GetUnspentPence(),
		})
		england, err := s.arrs.GetNationalForecast(planAs(t, testkit.Auditor("*")), &arrsv1.GetNationalForecastRequest{FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.Len(t, england.GetCommissioners(), 2)
		require.Equal(t, int64(4_000), england.GetCommissioners()[1].GetTotals()[0].GetUnspentPence())
		require.Equal(t, int64(4_700), england.GetTotals()[0].GetUnspentPence())
		require.Empty(t, england.GetCommissioners()[0].GetPcns())
		_, err = s.arrs.GetNationalForecast(planAs(t, testkit.Auditor("QJK")), &arrsv1.GetNationalForecastRequest{FinancialYear: "2023-24"})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		_, err = s.arrs.GetCommissionerForecast(planAs(t, testkit.Auditor("QJK")), &arrsv1.GetCommissionerForecastRequest{CommissionerCode: "QT6", FinancialYear: "2023-24"})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = s.arrs.GetForecast(planAs(t, testkit.PCNManager("U1")), &arrsv1.GetForecastRequest{PcnCode: "U1", FinancialYear: "2023-24"})
		require.NoError(t, err)
		_, err = s.arrs.GetForecast(planAs(t, testkit.Preparer("QT6")), &arrsv1.GetForecastRequest{PcnCode: "U1", FinancialYear: "2023-24"})
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err))
	})
}
