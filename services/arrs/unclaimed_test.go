package arrs_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
)

func (s *planSuite) estimate(t *testing.T, id, pcn, year string, pence int64) (*arrsv1.Unclaimed, error) {
	t.Helper()
	return s.arrs.EstimateUnclaimed(planAs(t, testkit.Preparer("QJK")), &arrsv1.EstimateUnclaimedRequest{
		RequestId: id, CommissionerCode: "QJK", PcnCode: pcn, FinancialYear: year, Pot: arrsv1.Pot_MAIN, AmountPence: pence, Note: "by the plan",
	})
}

func (s *planSuite) giveUp(t *testing.T, pcn string, pence int64) {
	t.Helper()
	estimate, err := s.estimate(t, "e-"+pcn, pcn, "2022-23", pence)
	require.NoError(t, err)
	_, err = s.arrs.AgreeUnclaimed(planAs(t, director(pcn)), &arrsv1.AgreeUnclaimedRequest{RequestId: "a-" + pcn, UnclaimedId: estimate.GetUnclaimedId(), Etag: estimate.GetEtag()})
	require.NoError(t, err)
}

func (s *planSuite) bid(t *testing.T, id, pcn string, pence int64) *arrsv1.Bid {
	t.Helper()
	bid, err := s.arrs.PlaceBid(planAs(t, director(pcn)), &arrsv1.PlaceBidRequest{
		RequestId: id, PcnCode: pcn, FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, AskedPence: pence, Purpose: "two paramedics",
	})
	require.NoError(t, err)
	return bid
}

func award(id string, bids ...*arrsv1.Bid) *arrsv1.AwardUnclaimedRequest {
	req := &arrsv1.AwardUnclaimedRequest{
		RequestId: id, CommissionerCode: "QJK", FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, Reason: "need", AwardedOn: "2022-12-01",
	}
	for _, bid := range bids {
		req.Bids = append(req.Bids, &arrsv1.BidChoice{BidId: bid.GetBidId()})
	}
	return req
}

func TestUnclaimed_AgreedMoneyIsLost(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2022/23", "main", 100_000)
		s.pot(t, "U1", "2022/23", "main", 20_000, 30_000)
		_, err := s.estimate(t, "r1", "U1", "2022-23", 50_001)
		require.Equal(t, "UNCLAIMED_EXCEEDS_SUM", planReason(err), "what is claimed is not given up")
		estimate, err := s.estimate(t, "r2", "U1", "2022-23", 50_000)
		require.NoError(t, err)
		require.Equal(t, "2022/23", estimate.GetFinancialYear())
		req := &arrsv1.AgreeUnclaimedRequest{RequestId: "r3", UnclaimedId: estimate.GetUnclaimedId(), Etag: estimate.GetEtag()}
		for _, other := range []auth.Principal{director("U2"), testkit.PCNManager("U2")} {
			_, err = s.arrs.AgreeUnclaimed(planAs(t, other), req)
			require.Equal(t, "UNCLAIMED_NOT_FOUND", planReason(err))
		}
		_, err = s.arrs.AgreeUnclaimed(planAs(t, testkit.Preparer("QJK")), req)
		require.Equal(t, codes.PermissionDenied, status.Code(err), "a commissioner does not agree for a PCN")
		s.pot(t, "U1", "2022/23", "main", 1, 0)
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U1")), req)
		require.Equal(t, "UNCLAIMED_EXCEEDS_SUM", planReason(err), "a penny was claimed meanwhile")
		s.pot(t, "U1", "2022/23", "main", -1, 0)
		agreed, err := s.arrs.AgreeUnclaimed(planAs(t, director("U1")), req)
		require.NoError(t, err)
		require.Equal(t, arrsv1.UnclaimedState_UNCLAIMED_AGREED, agreed.GetState())
		again, err := s.arrs.AgreeUnclaimed(planAs(t, director("U1")), req)
		require.NoError(t, err)
		require.Equal(t, agreed.GetEtag(), again.GetEtag())
		givenUp, _ := s.held(t, "U1", "2022/23", "main")
		require.Equal(t, int64(50_000), givenUp, "once")
		require.Equal(t, []string{"QJK Body QJK 2022-04 U1 ARRS_MAIN 50000"}, s.stated(t), "what is left to use, once")
		req.RequestId, req.Etag = "r4", agreed.GetEtag()
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U1")), req)
		require.Equal(t, "UNCLAIMED_NOT_WAITING", planReason(err))
		_, err = s.estimate(t, "r5", "U1", "2022-23", 1)
		require.Equal(t, "UNCLAIMED_EXCEEDS_SUM", planReason(err), "nothing is left")
	})
}

func TestUnclaimed_DisputeAndEstimateAnew(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2022/23", "main", 100_000)
		first, err := s.estimate(t, "r1", "U1", "2022-23", 40_000)
		require.NoError(t, err)
		disputed, err := s.arrs.DisputeUnclaimed(planAs(t, testkit.PCNManager("U1")), &arrsv1.DisputeUnclaimedRequest{
			RequestId: "r2", UnclaimedId: first.GetUnclaimedId(), Etag: first.GetEtag(), Reason: "two start in May",
		})
		require.NoError(t, err)
		require.Equal(t, arrsv1.UnclaimedState_UNCLAIMED_DISPUTED, disputed.GetState())
		second, err := s.estimate(t, "r3", "U1", "2022-23", 10_000)
		require.NoError(t, err)
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U1")), &arrsv1.AgreeUnclaimedRequest{RequestId: "r4", UnclaimedId: first.GetUnclaimedId(), Etag: "3"})
		require.Equal(t, "UNCLAIMED_NOT_WAITING", planReason(err))
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U1")), &arrsv1.AgreeUnclaimedRequest{RequestId: "r5", UnclaimedId: second.GetUnclaimedId(), Etag: "9"})
		require.Equal(t, "VERSION_CHANGED", planReason(err))
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U1")), &arrsv1.AgreeUnclaimedRequest{RequestId: "r6", UnclaimedId: second.GetUnclaimedId()})
		require.Equal(t, "ETAG_REQUIRED", planReason(err))
		for _, caller := range []auth.Principal{testkit.PCNManager("U1"), testkit.Auditor("*"), regional("QJK")} {
			list, err := s.arrs.ListUnclaimed(planAs(t, caller), &arrsv1.ListUnclaimedRequest{FinancialYear: "2022-23"})
			require.NoError(t, err)
			require.Len(t, list.GetUnclaimed(), 2)
			require.Equal(t, []arrsv1.UnclaimedState{arrsv1.UnclaimedState_UNCLAIMED_ESTIMATED, arrsv1.UnclaimedState_UNCLAIMED_REPLACED},
				[]arrsv1.UnclaimedState{list.GetUnclaimed()[0].GetState(), list.GetUnclaimed()[1].GetState()})
		}
		list, err := s.arrs.ListUnclaimed(planAs(t, testkit.PCNManager("U2")), &arrsv1.ListUnclaimedRequest{})
		require.NoError(t, err)
		require.Empty(t, list.GetUnclaimed())
		page, err := s.arrs.ListUnclaimed(planAs(t, testkit.Auditor("QJK")), &arrsv1.ListUnclaimedRequest{PageSize: 1})
		require.NoError(t, err)
		require.NotEmpty(t, page.GetNextPageToken())
		page, err = s.arrs.ListUnclaimed(planAs(t, testkit.Auditor("QJK")), &arrsv1.ListUnclaimedRequest{PageSize: 1, PageToken: page.GetNextPageToken()})
		require.NoError(t, err)
		require.Equal(t, first.GetUnclaimedId(), page.GetUnclaimed()[0].GetUnclaimedId())
		require.Empty(t, page.GetNextPageToken())
	})
}

func TestUnclaimed_EstimateFromTheForecast(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U1", "QJK", "2022/23", "main", 2_000_000)
		p := post{"U1", "QJK", "CP 1", "CP", "37.5", "2022-04-01", ""}
		s.engage(t, p)
		s.claim(t, p, "2022-04", "2022/23", "main", 100_000, 0, true)
		estimate, err := s.estimate(t, "r1", "U1", "2022-23", 0)
		require.NoError(t, err)
		require.True(t, estimate.GetFromForecast())
		require.Equal(t, int64(1_200_000), estimate.GetForecastPence(), "twelve months as the one claimed")
		require.Equal(t, int64(2_000_000), estimate.GetForecastPence()+estimate.GetAmountPence())
		s.year(t, "U2", "QJK", "2022/23", "main", 100_000)
		s.pot(t, "U2", "2022/23", "main", 0, 100_000)
		_, err = s.estimate(t, "r2", "U2", "2022-23", 0)
		require.Equal(t, "UNCLAIMED_NOTHING", planReason(err))
	})
}

func TestUnclaimed_FollowsTheRuleOfTheYear(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		for year, want := range map[string]string{
			"2019/20": "PLAN_RULES_UNKNOWN", "2020/21": "", "2021/22": "", "2022/23": "", "2023/24": "", "2024/25": "NO_UNCLAIMED_MECHANISM", "2026/27": "NO_UNCLAIMED_MECHANISM",
		} {
			s.year(t, "U1", "QJK", year, "main", 100_000)
			s.year(t, "U2", "QJK", year, "main", 100_000)
			_, err := s.estimate(t, year, "U1", strings.Replace(year, "/", "-", 1), 100)
			require.Equal(t, want, planReason(err), year)
			_, err = s.arrs.PlaceBid(planAs(t, director("U2")), &arrsv1.PlaceBidRequest{
				RequestId: year, PcnCode: "U2", FinancialYear: strings.Replace(year, "/", "-", 1), Pot: arrsv1.Pot_MAIN, AskedPence: 100, Purpose: "p",
			})
			require.Equal(t, want, planReason(err), year)
		}
		_, err := s.estimate(t, "other", "U9", "2022-23", 100)
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err))
		_, err = s.arrs.EstimateUnclaimed(planAs(t, testkit.Preparer("QT6")), &arrsv1.EstimateUnclaimedRequest{
			RequestId: "x", CommissionerCode: "QT6", PcnCode: "U1", FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, AmountPence: 1,
		})
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err), "of another commissioner")
		_, err = s.arrs.EstimateUnclaimed(planAs(t, testkit.Preparer("QJK")), &arrsv1.EstimateUnclaimedRequest{
			RequestId: "y", CommissionerCode: "QJK", PcnCode: "U1", FinancialYear: "2022-23", Pot: arrsv1.Pot_SINGLE, AmountPence: 1,
		})
		require.Equal(t, "NO_POT", planReason(err))
	})
}

func TestAwardUnclaimed_SharesToThePenny(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		for i := range 5 {
			s.year(t, fmt.Sprintf("U%d", i), "QJK", "2022/23", "main", 100_000)
		}
		s.giveUp(t, "U0", 101)
		a, b, c := s.bid(t, "b1", "U1", 50), s.bid(t, "b2", "U2", 50), s.bid(t, "b3", "U3", 50)
		declined := s.bid(t, "b4", "U4", 10)
		req := award("w1", c, a, b)
		req.DeclinedBidIds = []string{declined.GetBidId()}
		got, err := s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), req)
		require.NoError(t, err)
		require.Equal(t, []int64{101, 101, 0}, []int64{got.GetAvailablePence(), got.GetAwardedPence(), got.GetLeftPence()})
		var shares []int64
		for _, share := range got.GetShares() {
			shares = append(shares, share.GetAwardedPence())
		}
		require.Equal(t, []int64{34, 34, 33}, shares, "of equal remainders to the earlier bids")
		for pcn, want := range map[string]int64{"U1": 34, "U2": 34, "U3": 33, "U4": 0} {
			_, awarded := s.held(t, pcn, "2022/23", "main")
			require.Equal(t, want, awarded, pcn)
		}
		require.Equal(t, []string{
			"QJK Body QJK 2022-04 U0 ARRS_MAIN 99899", "QJK Body QJK 2022-04 U1 ARRS_MAIN 100034", "QJK Body QJK 2022-04 U2 ARRS_MAIN 100034",
			"QJK Body QJK 2022-04 U3 ARRS_MAIN 100033",
		}, s.stated(t), "what was given up, and what was awarded")
		list, err := s.arrs.ListBids(planAs(t, director("U4")), &arrsv1.ListBidsRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetBids(), 1, "a PCN sees its own")
		require.Equal(t, arrsv1.BidState_BID_DECLINED, list.GetBids()[0].GetState())
		_, err = s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), award("w2", a))
		require.Equal(t, "BID_NOT_OPEN", planReason(err))
		late := s.bid(t, "b5", "U4", 10)
		_, err = s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), award("w3", late))
		require.Equal(t, "AWARD_EMPTY", planReason(err), "all is awarded")
		pool, err := s.arrs.GetUnclaimedPool(planAs(t, regional("QJK")), &arrsv1.GetUnclaimedPoolRequest{CommissionerCode: "QJK", FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Equal(t, "shared", pool.GetRule())
		require.Equal(t, "2022-09-30", pool.GetUnclaimedBy())
		require.Equal(t, "2023-03-31", pool.GetAwardsUntil())
		require.Len(t, pool.GetPots(), 1)
		require.Equal(t, []int64{101, 101, 0, 1, 10}, []int64{
			pool.GetPots()[0].GetGivenUpPence(), pool.GetPots()[0].GetAwardedPence(), pool.GetPots()[0].GetLeftPence(), int64(pool.GetPots()[0].GetOpenBids()),
			pool.GetPots()[0].GetAskedPence(),
		})
		awards, err := s.arrs.ListAwards(planAs(t, testkit.Auditor("QJK")), &arrsv1.ListAwardsRequest{FinancialYear: "2022-23"})
		require.NoError(t, err)
		require.Len(t, awards.GetAwards(), 1)
		require.Len(t, awards.GetAwards()[0].GetShares(), 3)
	})
}

func TestAwardUnclaimed_ByWeight(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		for i := range 3 {
			s.year(t, fmt.Sprintf("U%d", i), "QJK", "2022/23", "main", 100_000)
		}
		s.giveUp(t, "U0", 100)
		a, b := s.bid(t, "b1", "U1", 90), s.bid(t, "b2", "U2", 90)
		req := award("w1", a, b)
		req.Basis = arrsv1.AwardBasis_BY_STATED_WEIGHT
		_, err := s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), req)
		require.Equal(t, "DECIMAL_MALFORMED", planReason(err))
		req.Bids[0].Weight, req.Bids[1].Weight = "3", "1"
		got, err := s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), req)
		require.NoError(t, err)
		require.Equal(t, int64(75), got.GetShares()[0].GetAwardedPence())
		require.Equal(t, "3", got.GetShares()[0].GetWeight())
		require.Equal(t, int64(25), got.GetShares()[1].GetAwardedPence())
	})
}

func TestAwardUnclaimed_IsRefused(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		for i := range 3 {
			s.year(t, fmt.Sprintf("U%d", i), "QJK", "2022/23", "main", 100_000)
			s.year(t, fmt.Sprintf("U%d", i), "QJK", "2023/24", "main", 100_000)
		}
		s.giveUp(t, "U0", 100)
		_, err := s.arrs.PlaceBid(planAs(t, director("U0")), &arrsv1.PlaceBidRequest{
			RequestId: "own", PcnCode: "U0", FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, AskedPence: 1, Purpose: "p",
		})
		require.Equal(t, "BIDDER_GAVE_UP", planReason(err))
		_, err = s.arrs.PlaceBid(planAs(t, auth.Principal{
			Subject: "x", Roles: []optionsv1.Role{optionsv1.Role_ROLE_PCN_MANAGER}, Commissioners: []string{"QJK"},
		}), &arrsv1.PlaceBidRequest{RequestId: "c", PcnCode: "U1", FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, AskedPence: 1, Purpose: "p"})
		require.Equal(t, "RESOURCE_NOT_FOUND", planReason(err), "a commissioner does not bid for a PCN")
		both := auth.Principal{
			Subject: "both", Roles: []optionsv1.Role{optionsv1.Role_ROLE_CLINICAL_DIRECTOR, optionsv1.Role_ROLE_FINANCE_APPROVER},
			Commissioners: []string{"QJK"}, PCNs: []string{"U1"},
		}
		own, err := s.arrs.PlaceBid(planAs(t, both), &arrsv1.PlaceBidRequest{
			RequestId: "b", PcnCode: "U1", FinancialYear: "2022-23", Pot: arrsv1.Pot_MAIN, AskedPence: 50, Purpose: "p",
		})
		require.NoError(t, err)
		_, err = s.arrs.AwardUnclaimed(planAs(t, both), award("w1", own))
		require.Equal(t, "AWARDER_IS_BIDDER", planReason(err))
		approver := planAs(t, testkit.Approver("QJK"))
		_, err = s.arrs.AwardUnclaimed(approver, award("w2", own, own))
		require.Equal(t, "BID_INVALID", planReason(err))
		_, err = s.arrs.AwardUnclaimed(approver, award("w3", &arrsv1.Bid{BidId: "none"}))
		require.Equal(t, "BID_NOT_FOUND", planReason(err))
		_, err = s.arrs.AwardUnclaimed(approver, award("w4"))
		require.Equal(t, "AWARD_EMPTY", planReason(err))
		future := award("w5", own)
		future.AwardedOn = "2999-01-01"
		_, err = s.arrs.AwardUnclaimed(approver, future)
		require.Equal(t, "DAY_IN_FUTURE", planReason(err))
		early := award("w5a", own)
		early.AwardedOn = "2022-03-31"
		_, err = s.arrs.AwardUnclaimed(approver, early)
		require.Equal(t, "VALUE_OUT_OF_RANGE", planReason(err), "before the year")
		late := award("w6", own)
		late.AwardedOn = "2023-04-01"
		_, err = s.arrs.AwardUnclaimed(approver, late)
		require.Equal(t, "AWARDS_STOPPED", planReason(err), "after the year")
		_, err = s.arrs.WithdrawBid(planAs(t, director("U2")), &arrsv1.WithdrawBidRequest{RequestId: "x", BidId: own.GetBidId(), Etag: own.GetEtag(), Reason: "no"})
		require.Equal(t, "BID_NOT_FOUND", planReason(err))
		withdrawn, err := s.arrs.WithdrawBid(planAs(t, director("U1")), &arrsv1.WithdrawBidRequest{RequestId: "y", BidId: own.GetBidId(), Etag: own.GetEtag(), Reason: "no"})
		require.NoError(t, err)
		require.Equal(t, arrsv1.BidState_BID_WITHDRAWN, withdrawn.GetState())
		_, err = s.arrs.AwardUnclaimed(approver, award("w7", own))
		require.Equal(t, "BID_NOT_OPEN", planReason(err))
		require.Zero(t, s.count(t, "awards"))
	})
}

func TestAwardUnclaimed_StopsAfter16November2023(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U0", "QJK", "2023/24", "main", 100_000)
		s.year(t, "U1", "QJK", "2023/24", "main", 100_000)
		estimate, err := s.estimate(t, "e", "U0", "2023-24", 100)
		require.NoError(t, err)
		_, err = s.arrs.AgreeUnclaimed(planAs(t, director("U0")), &arrsv1.AgreeUnclaimedRequest{RequestId: "a", UnclaimedId: estimate.GetUnclaimedId(), Etag: "1"})
		require.NoError(t, err)
		bid, err := s.arrs.PlaceBid(planAs(t, director("U1")), &arrsv1.PlaceBidRequest{
			RequestId: "b", PcnCode: "U1", FinancialYear: "2023-24", Pot: arrsv1.Pot_MAIN, AskedPence: 60, Purpose: "p",
		})
		require.NoError(t, err)
		req := award("w1", bid)
		req.FinancialYear, req.AwardedOn = "2023-24", "2023-11-17"
		_, err = s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), req)
		require.Equal(t, "AWARDS_STOPPED", planReason(err))
		req.AwardedOn = "2023-11-16"
		got, err := s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), req)
		require.NoError(t, err)
		require.Equal(t, int64(40), got.GetLeftPence())
	})
}

func TestAwardUnclaimed_StormAwardsOnce(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U0", "QJK", "2022/23", "main", 100_000)
		s.giveUp(t, "U0", 100)
		var bids []*arrsv1.Bid
		for i := range 6 {
			pcn := fmt.Sprintf("V%d", i)
			s.year(t, pcn, "QJK", "2022/23", "main", 100_000)
			bids = append(bids, s.bid(t, "b"+pcn, pcn, 60))
		}
		var wg sync.WaitGroup
		for i := range bids {
			wg.Go(func() {
				_, _ = s.arrs.AwardUnclaimed(planAs(t, testkit.Approver("QJK")), award(fmt.Sprintf("w%d", i), bids[i]))
			})
		}
		wg.Wait()
		var total int64
		for i := range bids {
			_, awarded := s.held(t, fmt.Sprintf("V%d", i), "2022/23", "main")
			total += awarded
		}
		require.Equal(t, int64(100), total, "never more than was given up")
	})
}

func TestUnclaimed_EventsHoldNoWords(t *testing.T) {
	eachPlan(t, func(t *testing.T, s *planSuite) {
		s.year(t, "U0", "QJK", "2022/23", "main", 100_000)
		s.year(t, "U1", "QJK", "2022/23", "main", 100_000)
		s.giveUp(t, "U0", 100)
		s.bid(t, "b", "U1", 10)
		var bodies []string
		require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
			rows, err := q.Query(t.Context(), `SELECT * FROM outbox`)
			if err != nil {
				return err
			}
			defer rows.Close() //nolint:errcheck // a test
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				values := make([]any, len(columns))
				into := make([]any, len(columns))
				for i := range values {
					into[i] = &values[i]
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				bodies = append(bodies, fmt.Sprintf("%s", values))
			}
			return rows.Err()
		}))
		require.Len(t, bodies, 4, "estimated, stated anew, agreed, bid")
		for _, body := range bodies {
			require.NotContains(t, body, "by the plan")
			require.NotContains(t, body, "paramedics")
		}
	})
}
