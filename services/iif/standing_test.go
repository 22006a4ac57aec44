package iif_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif"
)

// standingRegister gives one picture for every day: two commissioners, each with PCNs of two practices and 25,000 patients each.
type standingRegister struct {
	registerv1.RegisterServiceClient
}

var standingPCNs = map[string][]string{"QX1": {"U00001", "U00002", "U00003", "U00004"}, "QY1": {"U00009"}}

func (standingRegister) GetSnapshot(_ context.Context, req *registerv1.GetSnapshotRequest, _ ...grpc.CallOption) (*registerv1.Snapshot, error) {
	if req.GetCommissionerCode() == "" {
		return nil, rpc.Status(fault.New(fault.Denied, "ROLE_REQUIRED", "all of England is for few")).Err()
	}
	out := &registerv1.Snapshot{
		SnapshotId: "picture " + req.GetMembershipDate(), CommissionerCode: req.GetCommissionerCode(), MembershipDate: req.GetMembershipDate(),
	}
	for payer, pcns := range standingPCNs {
		if asked := req.GetCommissionerCode(); asked != "" && asked != payer {
			continue
		}
		for _, code := range pcns {
			pcn := &registerv1.SnapshotPcn{PcnCode: code, Name: "Network " + code, PayerCode: payer, Owed: true}
			for _, practice := range standingPractices(code) {
				pcn.Practices = append(pcn.Practices, &registerv1.SnapshotPractice{
					PracticeCode: practice, Participating: true,
					Populations: []*registerv1.SnapshotPopulation{{Kind: typev1.PopulationKind_POPULATION_KIND_REGISTERED, Value: "25000"}},
				})
			}
			out.Pcns = append(out.Pcns, pcn)
		}
	}
	if len(out.GetPcns()) == 0 {
		return nil, rpc.Status(fault.New(fault.Refused, "COMMISSIONER_NOT_IN_FORCE", "%s owes nothing", req.GetCommissionerCode())).Err()
	}
	return out, nil
}

// GetPcnSnapshot gives the picture of a PCN's payer.
func (r standingRegister) GetPcnSnapshot(ctx context.Context, req *registerv1.GetPcnSnapshotRequest, opts ...grpc.CallOption) (*registerv1.Snapshot, error) {
	for payer, pcns := range standingPCNs {
		if slices.Contains(pcns, req.GetPcnCode()) {
			return r.GetSnapshot(ctx, &registerv1.GetSnapshotRequest{CommissionerCode: payer, MembershipDate: req.GetMembershipDate()}, opts...)
		}
	}
	return nil, rpc.Status(fault.New(fault.NotFound, auth.ReasonNotFound, "there is no %s", req.GetPcnCode())).Err()
}

func standingPractices(pcn string) []string { return []string{"A81" + pcn[3:], "B82" + pcn[3:]} }

// standingSuite is iif with the figures of 2025/26 that nobody published, in the middle of that year.
type standingSuite struct {
	iif      iifv1.IifServiceClient
	clock    *testkit.Clock
	requests int
}

func eachStanding(t *testing.T, test func(t *testing.T, s *standingSuite)) {
	t.Helper()
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := testkit.NewClock(testkit.Start)
			db := open(t, sqldb.Options{Clock: clock.Now})
			require.NoError(t, db.Migrate(t.Context(), iif.Migrations()))
			service, err := iif.New(t.Context(), iif.Deps{DB: db, Register: standingRegister{}, Logger: testkit.Logger(t)})
			require.NoError(t, err)
			s := &standingSuite{iif: iifv1.NewIifServiceClient(testkit.Serve(t, service.Register)), clock: clock}
			s.figure(t, "HI-03", iifv1.ValueField_LOWER_THRESHOLD, "49")
			s.figure(t, "HI-03", iifv1.ValueField_UPPER_THRESHOLD, "80")
			s.figure(t, "HI-03", iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT, "0.2")
			s.figure(t, "CAN-04", iifv1.ValueField_PREVALENCE_ADJUSTED, "0")
			s.figure(t, "", iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, "50000")
			test(t, s)
		})
	}
}

func (s *standingSuite) as(t *testing.T, p auth.Principal) context.Context {
	t.Helper()
	s.clock.Advance(time.Second)
	return testkit.As(t.Context(), p)
}

func (s *standingSuite) next() string {
	s.requests++
	return "r" + strconv.Itoa(s.requests)
}

func (s *standingSuite) figure(t *testing.T, code string, field iifv1.ValueField, value string) {
	t.Helper()
	v := &iifv1.SchemeValue{VersionId: "IIF-2025-04", IndicatorCode: code, Field: field, Value: value}
	switch field { //nolint:exhaustive // these two belong to a year
	case iifv1.ValueField_NATIONAL_AVERAGE_LIST_SIZE, iifv1.ValueField_NATIONAL_PREVALENCE_PERCENT:
		v.VersionId = ""
	}
	_, err := s.iif.AddFigure(s.as(t, testkit.Approver(auth.England)), &iifv1.AddFigureRequest{
		RequestId: s.next(), FinancialYear: "2025-26", Body: &iifv1.AddFigureRequest_Value{Value: v}, Source: "a test",
		Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL, KnownFrom: "2025-06-01",
	})
	require.NoError(t, err)
}

// count records counts of a practice.
func (s *standingSuite) count(t *testing.T, commissioner, practice, day, code string, numerator, denominator int64) {
	t.Helper()
	_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer(commissioner)), &iifv1.RecordCountsRequest{
		RequestId: s.next(), CommissionerCode: commissioner, OrganisationCode: practice, FinancialYear: "2025-26", AchievedOn: day,
		Counts: &iifv1.IndicatorCounts{
			IndicatorCode: code, Numerator: &iifv1.Count{Value: &numerator}, Denominator: &iifv1.Count{Value: &denominator},
		},
		Reason: "a test",
	})
	require.NoError(t, err)
}

// fill records December's counts: 68 of 100, 79 of 100 and 68 of 100 patients of HI-03, of U00004 one practice only, and CAN-04 of one PCN.
func (s *standingSuite) fill(t *testing.T) {
	t.Helper()
	for pcn, numerator := range map[string]int64{"U00001": 34, "U00002": 40, "U00003": 34} {
		for i, practice := range standingPractices(pcn) {
			s.count(t, "QX1", practice, "2025-12-31", "HI-03", numerator-int64(i)*(numerator/40), 50)
		}
	}
	s.count(t, "QX1", standingPractices("U00004")[0], "2025-12-31", "HI-03", 50, 50)
	for _, practice := range standingPractices("U00001") {
		s.count(t, "QX1", practice, "2025-12-31", "CAN-04", 35, 50)
	}
	s.count(t, "QY1", standingPractices("U00009")[0], "2025-12-31", "HI-03", 50, 50)
	s.count(t, "QY1", standingPractices("U00009")[1], "2025-12-31", "HI-03", 50, 50)
}

func (s *standingSuite) standing(t *testing.T, by auth.Principal, pcn, day string) (*iifv1.Standing, error) {
	t.Helper()
	return s.iif.GetStanding(s.as(t, by), &iifv1.GetStandingRequest{PcnCode: pcn, FinancialYear: "2025-26", AchievedOn: day})
}

func standingReason(err error) string {
	if refused := rpc.FaultFromStatus(status.Convert(err)); refused != nil {
		return refused.Reason
	}
	return ""
}

func TestStanding_TellsWhereAPCNStandsOnTheLastCounts(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		s.fill(t)
		for _, by := range []auth.Principal{
			testkit.PCNManager("U00001"), testkit.Auditor("QX1"), testkit.Auditor("QY1", "QX1"), testkit.Auditor(auth.England),
		} {
			got, err := s.standing(t, by, "U00001", "")
			require.NoError(t, err)
			result := got.GetResult()
			require.Equal(t, "2025-12-31", result.GetAchievedOn())
			require.Equal(t, "QX1", result.GetCommissionerCode())
			require.Equal(t, []string{"A81001", "B82001"}, result.GetPracticeCodes())
			require.True(t, result.GetWhole())
			// HI-03: 36 × 19/31 points × £198 × 1 × (0.2% ÷ 0.2%); CAN-04: 22 × 5/15 × £198 × 1.
			require.Equal(t, int64(436877+145200), result.GetDuePence())
			require.Empty(t, result.GetResultId(), "a standing is not kept")
			require.Len(t, got.GetDistances(), 2)
			require.Equal(t, "12 more of HI-03 earn £2,759.23", got.GetDistances()[0].GetSentence())
			require.Equal(t, "10 more of CAN-04 earn £2,904.00", got.GetDistances()[1].GetSentence())
			require.Len(t, got.GetRanks(), 2)
			require.Equal(t, []any{int32(2), int32(3), "79", "68"}, rankWords(got.GetRanks()[0]))
			require.Equal(t, []any{int32(1), int32(1), "70", "70"}, rankWords(got.GetRanks()[1]))
			text := protojson.Format(got)
			for _, other := range []string{"U00002", "U00003", "U00004", "A81002", "B82003", "U00009"} {
				require.NotContains(t, text, other, "others are not told of")
			}
		}
	})
}

func rankWords(r *iifv1.Rank) []any {
	return []any{r.GetPlace(), r.GetAmong(), r.GetBest(), r.GetMedian()}
}

func TestStanding_SaysWhatIsMissing(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		s.fill(t)
		got, err := s.standing(t, testkit.PCNManager("U00004"), "U00004", "")
		require.NoError(t, err)
		require.Equal(t, []string{"HI-03", "CAN-04"}, got.GetResult().GetMissing())
		require.Equal(t, []string{"A81004", "B82004"}, got.GetResult().GetIncompletePractices())
		require.Equal(t, "COUNT_MISSING", got.GetDistances()[0].GetRefusal().GetReason())
		require.Nil(t, got.GetDistances()[0].GetWorthAll())
		require.Equal(t, []any{int32(0), int32(3), "79", "68"}, rankWords(got.GetRanks()[0]))
	})
}

func TestStanding_TakesTheLastDayWithCounts(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		_, err := s.standing(t, testkit.PCNManager("U00001"), "U00001", "")
		require.Equal(t, "COUNTS_NOT_LOADED", standingReason(err))
		s.fill(t)
		s.count(t, "QX1", standingPractices("U00002")[0], "2026-01-14", "HI-03", 40, 50)
		got, err := s.standing(t, testkit.PCNManager("U00001"), "U00001", "")
		require.NoError(t, err)
		require.Equal(t, "2026-01-14", got.GetResult().GetAchievedOn(), "all PCNs of a commissioner are seen on one day")
		got, err = s.standing(t, testkit.PCNManager("U00001"), "U00001", "2025-12-31")
		require.NoError(t, err)
		require.Equal(t, "2025-12-31", got.GetResult().GetAchievedOn())
		require.True(t, got.GetResult().GetWhole())
		s.clock.Set(time.Date(2026, time.April, 1, 0, 0, 0, 0, time.UTC))
		got, err = s.standing(t, testkit.PCNManager("U00001"), "U00001", "")
		require.NoError(t, err)
		require.Equal(t, "2026-03-31", got.GetResult().GetAchievedOn(), "that day judges the year")
		require.False(t, got.GetResult().GetWhole())
	})
}

func TestStanding_RefusesWhatMayNotBeSeen(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		s.fill(t)
		for name, row := range map[string]struct {
			by                auth.Principal
			pcn, day, refused string
		}{
			"another PCN":                {testkit.PCNManager("U00002"), "U00001", "", auth.ReasonNotFound},
			"another commissioner":       {testkit.Auditor("QY1"), "U00001", "", auth.ReasonNotFound},
			"no such commissioner":       {testkit.Auditor("QZ9"), "U00001", "", auth.ReasonNotFound},
			"no such PCN":                {testkit.Auditor(auth.England), "U00077", "", auth.ReasonNotFound},
			"a PCN that nobody owes":     {testkit.PCNManager("U00077"), "U00077", "", auth.ReasonNotFound},
			"a day of another year":      {testkit.PCNManager("U00001"), "U00001", "2025-03-31", "DAY_INVALID"},
			"a day of no calendar":       {testkit.PCNManager("U00001"), "U00001", "2025-02-30", "DATE_MALFORMED"},
			"a day that lies in no year": {testkit.PCNManager("U00001"), "U00001", "2026-04-01", "DAY_INVALID"},
		} {
			_, err := s.standing(t, row.by, row.pcn, row.day)
			require.Equal(t, row.refused, standingReason(err), name)
		}
		_, err := s.iif.GetStanding(s.as(t, testkit.PCNManager("U00001")), &iifv1.GetStandingRequest{PcnCode: "U00001", FinancialYear: "2026-27"})
		require.Equal(t, "COUNTS_NOT_LOADED", standingReason(err))
		_, err = s.iif.ListStandings(s.as(t, testkit.PCNManager("U00001")), &iifv1.ListStandingsRequest{CommissionerCode: "QX1", FinancialYear: "2025-26"})
		require.Error(t, err, "a ranking names others")
		_, err = s.iif.ListStandings(s.as(t, testkit.Auditor("QX1")), &iifv1.ListStandingsRequest{
			CommissionerCode: "QX1", FinancialYear: "2025-26", IndicatorCode: "VI-01",
		})
		require.Equal(t, "INDICATOR_UNKNOWN", standingReason(err))
		_, err = s.iif.QuoteCounts(s.as(t, testkit.PCNManager("U00002")), &iifv1.QuoteCountsRequest{PcnCode: "U00001", FinancialYear: "2025-26"})
		require.Equal(t, auth.ReasonNotFound, standingReason(err))
	})
}

func TestListStandings_RanksByAnIndicatorAndByPounds(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		s.fill(t)
		list := func(code string) (places []string) {
			out, err := s.iif.ListStandings(s.as(t, testkit.Preparer("QX1")), &iifv1.ListStandingsRequest{
				CommissionerCode: "QX1", FinancialYear: "2025-26", IndicatorCode: code,
			})
			require.NoError(t, err)
			require.Equal(t, "2025-12-31", out.GetAchievedOn())
			var sum int64
			for _, row := range out.GetRows() {
				places = append(places, strconv.Itoa(int(row.GetPlace()))+" "+row.GetPcnName()+" "+row.GetAchievement())
				sum += row.GetDuePence()
			}
			require.Equal(t, sum, out.GetDuePence())
			return places
		}
		require.Equal(t, []string{"1 Network U00002 79", "2 Network U00001 68", "2 Network U00003 68", "0 Network U00004 "}, list("HI-03"))
		require.Equal(t, []string{"1 Network U00002 ", "2 Network U00001 ", "3 Network U00003 ", "0 Network U00004 "}, list(""))
	})
}

// TestQuoteCounts_EarnsWhatTheDistancesPromise applies every distance, and leaves what is kept as it was.
func TestQuoteCounts_EarnsWhatTheDistancesPromise(t *testing.T) {
	eachStanding(t, func(t *testing.T, s *standingSuite) {
		s.fill(t)
		by := testkit.PCNManager("U00001")
		s.count(t, "QX1", "A81001", "2025-12-31", "CAN-04", 10, 50) // below the lower threshold
		got, err := s.standing(t, by, "U00001", "")
		require.NoError(t, err)
		applied := 0
		for i, d := range got.GetDistances() {
			r := got.GetResult().GetIndicators()[i]
			require.Equal(t, d.GetIndicatorCode(), r.GetIndicatorCode())
			for _, way := range []struct {
				steps int64
				worth *iifv1.EarnedPayment
			}{{d.GetToFirst(), d.GetWorthFirst()}, {d.GetToAll(), d.GetWorthAll()}} {
				if way.steps == 0 {
					continue
				}
				numerator, denominator := standingWhole(t, r.GetNumerator())+way.steps, standingWhole(t, r.GetDenominator())
				out, err := s.iif.QuoteCounts(s.as(t, by), &iifv1.QuoteCountsRequest{
					PcnCode: "U00001", FinancialYear: "2025-26",
					Instead: []*iifv1.IndicatorCounts{{
						IndicatorCode: d.GetIndicatorCode(), Numerator: &iifv1.Count{Value: &numerator}, Denominator: &iifv1.Count{Value: &denominator},
					}},
				})
				require.NoError(t, err)
				require.Len(t, out.GetEffects(), 1)
				effect := out.GetEffects()[0]
				require.Equal(t, way.worth.GetAmountPence(), effect.GetAfterPence()-effect.GetBeforePence(), d.GetSentence())
				require.Equal(t, way.worth.GetAmountPence(), out.GetAfter().GetDuePence()-out.GetBefore().GetDuePence())
				require.Equal(t, got.GetResult().GetDuePence(), out.GetBefore().GetDuePence())
				applied++
			}
		}
		require.Equal(t, 3, applied)
		after, err := s.standing(t, by, "U00001", "")
		require.NoError(t, err)
		require.Equal(t, got.GetResult().GetDuePence(), after.GetResult().GetDuePence())
	})
}

func standingWhole(t *testing.T, text string) int64 {
	t.Helper()
	n, err := money.ParseWhole(text)
	require.NoError(t, err)
	return n
}
