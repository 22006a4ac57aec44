package arrs_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/schedule"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 9, 0, 0, 0, time.UTC)
}

// stated returns what was announced of the pots, in order.
func (s *suite) stated(t *testing.T) (out []*typev1.Entitlement) {
	t.Helper()
	for _, p := range s.published(t) {
		if event, ok := p.event.(*arrsv1.EntitlementsStated); ok {
			require.Equal(t, "entitlements/"+event.GetCommissionerCode(), p.aggregate)
			require.LessOrEqual(t, proto.Size(event), schedule.MaxEventBytes+1024)
			out = append(out, event.GetEntitlements()...)
		}
	}
	return out
}

func TestFixYear_WorksOutTheSums(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30000), snapshotPCN("U3", "QT6", "QT6", 20000))
		out := s.fix(t, "QJK", "2023-24")
		require.Equal(t, int32(2), out.GetPcns())
		require.Equal(t, int32(2), out.GetChanged())
		require.Equal(t, "2023/24", out.GetFinancialYear())
		require.Empty(t, out.GetRefusals())
		require.Len(t, out.GetTotals(), 1)
		require.Equal(t, arrsv1.Pot_MAIN, out.GetTotals()[0].GetPot())
		require.Equal(t, int64(90685134+68014134), out.GetTotals()[0].GetEntitlementPence(), "22.671 × 40,000.5 and × 30,000.5")
		asked := s.register.asked[len(s.register.asked)-1]
		require.Equal(t, "2023-04-01", asked.GetMembershipDate())
		require.Equal(t, "2023-01-01", asked.GetPopulationReferenceDate())

		year, err := s.arrs.GetYear(s.as(t, testkit.Preparer("QJK")), &arrsv1.GetYearRequest{PcnCode: "U1", FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.Equal(t, "40000.5", year.GetWeightedPopulation())
		require.Equal(t, int64(40000), year.GetRegisteredPatients())
		require.Equal(t, arrsv1.Region_NATIONAL, year.GetRegion())
		require.Equal(t, int32(1), year.GetVersion())
		require.Equal(t, "QJK", year.GetCommissionerCode())
		pot := year.GetPots()[0]
		require.Equal(t, int64(90685134), pot.GetEntitlementPence())
		require.Equal(t, pot.GetEntitlementPence(), pot.GetRemainingPence())
		require.Equal(t, typev1.Confidence_CONFIDENCE_OFFICIAL, pot.GetConfidence())
		steps, err := working.FromProto(pot.GetWorking())
		require.NoError(t, err)
		gbp, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Equal(t, "906851.34", gbp.FloatString(2))

		stated := s.stated(t)
		require.Len(t, stated, 2)
		want := &typev1.Entitlement{
			PcnCode: "U1", PcnName: "Network U1", PaymentCode: "ARRS_MAIN", FundingSource: "ARRS", LocationCode: "QJK", FromMonth: "2023-04", ToMonth: "2024-03",
			Instalments: 1, AmountPence: 90685134, Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		}
		require.True(t, proto.Equal(want, stated[0]), stated[0].String())
		require.Equal(t, 1, s.count(t, `audit WHERE resource = 'arrs/years/2023/24/QJK'`))
	})
}

func TestFixYear_StatesWhatCanBeUsed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30000))
		s.fix(t, "QJK", "2023-24")
		require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			if err := store.MovePot(t.Context(), tx, store.PotRow{PCNCode: "U1", Year: 2023, Pot: rules.MainPot, GivenUp: 85_000_000}); err != nil {
				return err
			}
			return store.MovePot(t.Context(), tx, store.PotRow{PCNCode: "U2", Year: 2023, Pot: rules.MainPot, Awarded: 1_00})
		}))
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40100), snapshotPCN("U2", "QJK", "QJK", 30100))
		s.fix(t, "QJK", "2023-24")
		stated := s.stated(t)
		require.Len(t, stated, 4)
		require.Equal(t, int64(90911844-85_000_000), stated[2].GetAmountPence(), "less what was given up")
		require.Equal(t, int64(68240844+100), stated[3].GetAmountPence(), "with what was awarded")

		s.register.set(snapshotPCN("U1", "QJK", "QJK", 30000), snapshotPCN("U2", "QJK", "QJK", 30100))
		s.fix(t, "QJK", "2023-24")
		require.Zero(t, s.stated(t)[4].GetAmountPence(), "the sum fell below what was given up")
	})
}

func TestFixYear_MakesAVersionOnlyOfWhatChanged(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30000))
		s.fix(t, "QJK", "2023-24")
		require.Zero(t, s.fix(t, "QJK", "2023-24").GetChanged(), "another picture of the same")
		require.Equal(t, 2, s.count(t, `years`))
		require.Len(t, s.stated(t), 2)

		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30100))
		require.Equal(t, int32(1), s.fix(t, "QJK", "2023-24").GetChanged(), "a list")
		require.Len(t, s.stated(t), 3)

		_, err := s.arrs.RecordDecision(s.as(t, testkit.Preparer("QJK")), &arrsv1.RecordDecisionRequest{
			RequestId: s.next(), CommissionerCode: "QJK", Kind: arrsv1.DecisionKind_PCN_REGION, PcnCode: "U1", Value: "inner_london", FromMonth: "2023-04", Reason: "Camden",
		})
		require.NoError(t, err)
		require.Equal(t, int32(1), s.fix(t, "QJK", "2023-24").GetChanged(), "a region")
		year, err := s.arrs.GetYear(s.as(t, testkit.Auditor("QJK")), &arrsv1.GetYearRequest{PcnCode: "U1", FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.Equal(t, arrsv1.Region_INNER_LONDON, year.GetRegion())
		require.Equal(t, int32(2), year.GetVersion())

		_, err = s.arrs.AddFigure(s.as(t, testkit.Approver("*")), &arrsv1.AddFigureRequest{
			RequestId: s.next(), Kind: arrsv1.FigureKind_SUM_RATE, Pot: arrsv1.Pot_MAIN, EffectiveFrom: "2023-04-01", EffectiveTo: "2024-03-31", Value: "23",
			Source: "letter", Version: "revised", Confidence: typev1.Confidence_CONFIDENCE_OFFICIAL,
		})
		require.NoError(t, err)
		require.Equal(t, int32(2), s.fix(t, "QJK", "2023-24").GetChanged(), "a rate")
		require.Equal(t, int64(92001150), s.pot(t, "U1", "2023-24", arrsv1.Pot_MAIN).GetEntitlementPence(), "23 × 40,000.5")
		require.Equal(t, 6, s.count(t, `years`), "the versions before are kept")
	})
}

func TestFixYear_AnswersOnceForARequestID(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		req := &arrsv1.FixYearRequest{RequestId: "same", CommissionerCode: "QJK", FinancialYear: "2023-24"}
		first, err := s.arrs.FixYear(s.as(t, testkit.Preparer("QJK")), req)
		require.NoError(t, err)
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 50000))
		again, err := s.arrs.FixYear(s.as(t, testkit.Preparer("QJK")), req)
		require.NoError(t, err)
		require.True(t, proto.Equal(first, again))
		require.Equal(t, 1, s.count(t, `years`))
	})
}

func TestFixYear_RefusesSumsByName(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		without := snapshotPCN("U2", "QJK", "QJK", 30000)
		without.Practices[0].Populations = without.GetPractices()[0].GetPopulations()[:1]
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), without)
		out := s.fix(t, "QJK", "2023-24")
		require.Len(t, out.GetRefusals(), 1)
		require.Equal(t, "POPULATION_MISSING", out.GetRefusals()[0].GetReason())
		require.Equal(t, []string{"U2"}, out.GetRefusals()[0].GetPcnCodes())
		require.Equal(t, "ARRS_MAIN", out.GetRefusals()[0].GetPaymentCode())
		require.NotEmpty(t, out.GetRefusals()[0].GetRemedy())
		require.Len(t, s.stated(t), 1)

		for year, want := range map[string]string{"2021-22": "SUM_NOT_CONFIRMED", "2025-26": "SUM_UNKNOWN"} {
			refusals := s.fix(t, "QJK", year).GetRefusals()
			require.NotEmpty(t, refusals)
			require.Equal(t, want, refusals[0].GetReason(), year)
			require.Equal(t, []string{"U1", "U2"}, refusals[0].GetPcnCodes())
		}
		pot := s.pot(t, "U1", "2025-26", arrsv1.Pot_SINGLE)
		require.Equal(t, "SUM_UNKNOWN", pot.GetRefusal().GetReason())
		require.Zero(t, pot.GetRemainingPence())
	})
}

func TestFixYear_HasTwoPotsIn2024AndOffersIn2019(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 100_001))
		two := s.fix(t, "QJK", "2024-25")
		require.Len(t, two.GetTotals(), 2)
		gp := s.pot(t, "U1", "2024-25", arrsv1.Pot_GP)
		require.Equal(t, int64(5212065), gp.GetEntitlementPence(), "1.303 × 40,000.5")
		require.Equal(t, "2024-10", gp.GetFromMonth())
		offers := s.fix(t, "QJK", "2019-20")
		require.Equal(t, "2019-10-01", s.register.asked[len(s.register.asked)-1].GetMembershipDate(), "the day on which PCNs were given codes")
		require.Len(t, offers.GetTotals(), 2)
		require.Equal(t, int64(2835750), s.pot(t, "U1", "2019-20", arrsv1.Pot_OFFER_CLINICAL_PHARMACIST).GetEntitlementPence(), "37,810 × 9 ÷ 12")
		require.Equal(t, int64(2*2835750), s.pot(t, "U2", "2019-20", arrsv1.Pot_OFFER_CLINICAL_PHARMACIST).GetEntitlementPence())
		require.Equal(t, "LIMIT_UNKNOWN", s.pot(t, "U2", "2019-20", arrsv1.Pot_OFFER_LINK_WORKER).GetRefusal().GetReason())
		codes := make(map[string]bool)
		for _, e := range s.stated(t) {
			codes[e.GetPaymentCode()] = true
		}
		require.Equal(t, map[string]bool{"ARRS_MAIN": true, "ARRS_GP": true, "ARRS_OFFER_CP": true, "ARRS_OFFER_SPLW": true}, codes)
	})
}

func TestFixYear_CountsThePracticesThatTakePart(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		pcn, other := snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 10000).GetPractices()[0]
		other.Participating = false
		pcn.Practices = append(pcn.GetPractices(), other)
		whole := snapshotPCN("U3", "QJK", "QJK", 20000)
		whole.Populations, whole.Practices = whole.GetPractices()[0].GetPopulations(), nil
		closed := snapshotPCN("U4", "QJK", "QJK", 20000)
		closed.Closed = "2023-03-31"
		s.register.set(pcn, whole, closed)
		require.Equal(t, int32(2), s.fix(t, "QJK", "2023-24").GetPcns())
		list, err := s.arrs.ListYears(s.as(t, testkit.Auditor("QJK")), &arrsv1.ListYearsRequest{FinancialYear: "2023-24"})
		require.NoError(t, err)
		require.Equal(t, "40000.5", list.GetYears()[0].GetWeightedPopulation())
		require.Equal(t, "20000.5", list.GetYears()[1].GetWeightedPopulation())
	})
}

func TestFixYear_PassesFromCCGToICB(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.icbFrom = "2022-07-01"
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		s.clock.Set(day(2022, time.April, 20))
		s.fix(t, "15N", "2022-23")
		require.Equal(t, "2022-04-01", s.register.asked[0].GetMembershipDate())
		year := func(by auth.Principal) (*arrsv1.Year, error) {
			return s.arrs.GetYear(s.as(t, by), &arrsv1.GetYearRequest{PcnCode: "U1", FinancialYear: "2022-23"})
		}
		before, err := year(testkit.Preparer("15N"))
		require.NoError(t, err)
		require.Equal(t, "15N", before.GetCommissionerCode())

		s.clock.Set(day(2022, time.July, 10))
		require.Equal(t, int32(1), s.fix(t, "QJK", "2022-23").GetChanged())
		require.Equal(t, "2022-07-01", s.register.asked[1].GetMembershipDate())
		after, err := year(testkit.Preparer("QJK"))
		require.NoError(t, err)
		require.Equal(t, "QJK", after.GetCommissionerCode())
		require.Equal(t, int32(2), after.GetVersion())
		_, err = year(testkit.Preparer("15N"))
		require.Equal(t, "YEAR_NOT_FOUND", reason(err), "it is the ICB's by now")

		s.clock.Set(day(2023, time.May, 10))
		late := s.fix(t, "15N", "2022-23")
		require.Zero(t, late.GetPcns(), "a picture of April takes nothing back from who led in July")
		require.Zero(t, s.fix(t, "QJK", "2022-23").GetChanged())
	})
}

func TestFixYear_OfAPastYearIsTheSuccessors(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000))
		require.Equal(t, int32(1), s.fix(t, "15N", "2020-21").GetChanged())
		require.Equal(t, int32(1), s.fix(t, "QJK", "2020-21").GetChanged(), "who took over the debts")
		require.Zero(t, s.fix(t, "15N", "2020-21").GetPcns())
	})
}

func TestFixYear_RefusesYearsThatCannotBeFixed(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		for year, want := range map[string]string{"2018-19": "YEAR_OUT_OF_RANGE", "2027-28": "YEAR_OUT_OF_RANGE", "2025-27": "YEAR_MALFORMED", "2026-27": ""} {
			_, err := s.arrs.FixYear(s.as(t, testkit.Preparer("*")), &arrsv1.FixYearRequest{RequestId: year, CommissionerCode: "QJK", FinancialYear: year})
			require.Equal(t, want, reason(err), year)
		}
		_, err := s.arrs.FixYear(s.as(t, testkit.Preparer("*")), &arrsv1.FixYearRequest{RequestId: s.next(), CommissionerCode: "QT6", FinancialYear: "2025-26"})
		require.Equal(t, "COMMISSIONER_NOT_IN_FORCE", reason(err))
		_, err = s.arrs.FixYear(s.as(t, testkit.Approver("*")), &arrsv1.FixYearRequest{RequestId: s.next(), CommissionerCode: "QJK", FinancialYear: "2025-26"})
		require.Equal(t, codes.PermissionDenied, status.Code(err))
		require.Equal(t, 1, s.count(t, `years`))
	})
}

func TestFixYear_StartsAgainWhenAnotherCameBetween(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		s.register.before = func() {
			s.register.before = nil
			s.fix(t, "QJK", "2023-24")
		}
		s.fix(t, "QJK", "2023-24")
		require.Len(t, s.register.asked, 3, "the other's, one that was out of date, and one after it")
		require.Equal(t, 1, s.count(t, `years`))
	})
}

func TestFixYear_StormMakesOneVersion(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "15N", "QJK", 40000), snapshotPCN("U2", "15N", "QJK", 30000))
		ctx := s.as(t, testkit.Preparer("*"))
		failures := make(chan error, 20)
		var wg sync.WaitGroup
		for i := range cap(failures) {
			wg.Go(func() {
				_, err := s.arrs.FixYear(ctx, &arrsv1.FixYearRequest{RequestId: fmt.Sprint("storm", i), CommissionerCode: []string{"15N", "QJK"}[i%2], FinancialYear: "2020-21"})
				failures <- err
			})
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		require.LessOrEqual(t, s.count(t, `years`), 4, "one of the CCG's at most, and one of the ICB's")
	})
}

func TestFixYear_SplitsLargeEvents(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		pcns := make([]*registerv1.SnapshotPcn, 150)
		for i := range pcns {
			pcns[i] = snapshotPCN(fmt.Sprintf("U%03d", i), "QJK", "QJK", 1000+int64(i))
			pcns[i].Name = strings.Repeat("n", 4000)
		}
		s.register.set(pcns...)
		require.Equal(t, int32(150), s.fix(t, "QJK", "2023-24").GetPcns())
		require.Len(t, s.stated(t), 150)
		require.Greater(t, len(s.published(t)), 1)
	})
}

func TestYears_TellWhatIsLeft(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000))
		s.fix(t, "QJK", "2023-24")
		s.exec(t, `INSERT INTO pots (pcn_code, financial_year, pot, given_up_pence, awarded_pence, submitted_pence, approved_pence, scheduled_pence)
			VALUES ('U1', '2023/24', 'main', 685134, 1000000, 2000000, 3000000, 2500000)`)
		pot := s.pot(t, "U1", "2023-24", arrsv1.Pot_MAIN)
		require.Equal(t, int64(91000000), pot.GetUsablePence())
		require.Equal(t, int64(86000000), pot.GetRemainingPence())
		require.Equal(t, int64(2500000), pot.GetScheduledPence())
		require.Equal(t, int64(685134), pot.GetGivenUpPence())
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 100))
		s.fix(t, "QJK", "2023-24")
		require.Negative(t, s.pot(t, "U1", "2023-24", arrsv1.Pot_MAIN).GetRemainingPence(), "the sum was lowered")
	})
}

func TestYears_AreSeenByThoseWhoMay(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		s.register.set(snapshotPCN("U1", "QJK", "QJK", 40000), snapshotPCN("U2", "QJK", "QJK", 30000), snapshotPCN("U3", "QT6", "QT6", 20000))
		s.fix(t, "QJK", "2023-24")
		s.fix(t, "QT6", "2023-24")
		seen := func(by auth.Principal, req *arrsv1.ListYearsRequest) (out []string) {
			req.FinancialYear = "2023-24"
			list, err := s.arrs.ListYears(s.as(t, by), req)
			require.NoError(t, err)
			for _, y := range list.GetYears() {
				out = append(out, y.GetPcnCode())
				require.Len(t, y.GetPots(), 1)
				require.Nil(t, y.GetPots()[0].GetWorking())
			}
			return out
		}
		require.Equal(t, []string{"U1", "U2", "U3"}, seen(testkit.Auditor("*"), &arrsv1.ListYearsRequest{}))
		require.Equal(t, []string{"U1", "U2"}, seen(testkit.Auditor("QJK"), &arrsv1.ListYearsRequest{}))
		require.Equal(t, []string{"U3"}, seen(testkit.Auditor("*"), &arrsv1.ListYearsRequest{CommissionerCode: "QT6"}))
		require.Equal(t, []string{"U2"}, seen(testkit.PCNManager("U2"), &arrsv1.ListYearsRequest{}))
		_, err := s.arrs.ListYears(s.as(t, testkit.Auditor("QJK")), &arrsv1.ListYearsRequest{CommissionerCode: "QT6", FinancialYear: "2023-24"})
		require.Equal(t, codes.NotFound, status.Code(err))
		page, err := s.arrs.ListYears(s.as(t, testkit.Auditor("*")), &arrsv1.ListYearsRequest{FinancialYear: "2023-24", PageSize: 2})
		require.NoError(t, err)
		require.Equal(t, []string{"U3"}, seen(testkit.Auditor("*"), &arrsv1.ListYearsRequest{PageSize: 2, PageToken: page.GetNextPageToken()}))
		for name, c := range map[string]struct {
			by   auth.Principal
			want codes.Code
		}{
			"its commissioner": {testkit.Auditor("QJK"), codes.OK}, "another": {testkit.Auditor("QT6"), codes.NotFound},
			"itself": {testkit.PCNManager("U1"), codes.OK}, "another PCN": {testkit.PCNManager("U2"), codes.NotFound},
		} {
			_, err := s.arrs.GetYear(s.as(t, c.by), &arrsv1.GetYearRequest{PcnCode: "U1", FinancialYear: "2023-24"})
			require.Equal(t, c.want, status.Code(err), name)
		}
		_, err = s.arrs.GetYear(s.as(t, testkit.Auditor("*")), &arrsv1.GetYearRequest{PcnCode: "U1", FinancialYear: "2022-23"})
		require.Equal(t, "YEAR_NOT_FOUND", reason(err))
	})
}
