package rules_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

func decimal(t require.TestingT, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	require.NoError(t, err, text)
	return value
}

func given(t require.TestingT, text string) rules.Given {
	return rules.Given{Value: decimal(t, text), Origin: working.Origin{Kind: working.FromRequest, Confidence: working.Official}}
}

func sum(pence money.Pence) rules.Amount {
	return rules.Amount{Pence: pence, Origin: working.Origin{Kind: working.FromRequest, Confidence: working.Official}}
}

func pool(pence money.Pence) *rules.Pool { return &rules.Pool{Amount: sum(pence)} }

// requireGives holds that a working alone gives the pence.
func requireGives(t require.TestingT, w *working.Working, want money.Pence) {
	require.NotNil(t, w)
	got, err := working.Evaluate(w)
	require.NoError(t, err)
	require.Zero(t, got.Cmp(want.GBP()), "the working gives %s, the amount is %s", money.Format(got), want)
	require.NotEmpty(t, working.Sentences(w))
}

// requireAddsUp holds what is true of everything shared.
func requireAddsUp(t require.TestingT, s *rules.Shared) {
	all := s.HeldBack
	for i := range s.Slices {
		all += s.Slices[i].Amount
		require.GreaterOrEqual(t, s.Slices[i].Amount, money.Pence(0))
		requireGives(t, s.Slices[i].Working, s.Slices[i].Amount)
	}
	for i := range s.Parts {
		all += s.Parts[i].Amount
		require.GreaterOrEqual(t, s.Parts[i].Amount, money.Pence(0))
		requireGives(t, s.Parts[i].Working, s.Parts[i].Amount)
		if i > 0 {
			require.Less(t, s.Parts[i-1].Code, s.Parts[i].Code)
		}
	}
	require.Equal(t, s.Pool, all)
	if s.HeldBackWorking != nil {
		requireGives(t, s.HeldBackWorking, s.HeldBack)
	}
}

func drawReceivers(t *rapid.T, most int) []rules.Receiver {
	out := make([]rules.Receiver, rapid.IntRange(1, most).Draw(t, "receivers"))
	for i := range out {
		out[i] = drawReceiver(t, fmt.Sprintf("U%05d", i+1))
	}
	// Somebody has patients, so that there is something to share by.
	out[0].Registered.Value, out[0].Weighted.Value, out[0].Adjusted.Value = big.NewRat(7, 1), big.NewRat(7, 2), big.NewRat(9, 1)
	out[0].NeedIndex.Value = big.NewRat(3, 4)
	return out
}

func drawReceiver(t *rapid.T, code string) rules.Receiver {
	patients := func(name string, places int64) rules.Given {
		return rules.Given{Value: big.NewRat(rapid.Int64Range(0, 90_000*places).Draw(t, name), places)}
	}
	bid := sum(money.Pence(rapid.Int64Range(0, 1_000).Draw(t, "bid")))
	r := rules.Receiver{Code: code, Registered: patients("registered", 1), Weighted: patients("weighted", 10_000), Adjusted: patients("adjusted", 1), Bid: &bid}
	if rapid.Bool().Draw(t, "need stated") {
		r.NeedIndex = patients("need", 1_000)
	}
	return r
}

func drawMethod(t *rapid.T) rules.Method {
	return rules.Method{
		Kind: rapid.SampledFrom([]rules.Kind{rules.Equal, rules.PerHead, rules.FlatPlusPerHead, rules.NeedIndex, rules.Bid}).Draw(t, "kind"),
		List: rapid.SampledFrom([]rules.List{rules.RegisteredList, rules.WeightedList, rules.AdjustedList}).Draw(t, "list"),
		Flat: sum(money.Pence(rapid.Int64Range(0, 1_000).Draw(t, "flat"))),
	}
}

// drawPool draws a pool that no flat sums or bids of drawReceivers exceed, whatever is set aside of it.
func drawPool(t *rapid.T, n int) *rules.Pool {
	p := pool(money.Pence(rapid.Int64Range(int64(n)*100_000, 5_000_000_000).Draw(t, "pool")))
	for i, percent := range []*rules.Given{&p.LeadershipPercent, &p.SystemPercent, &p.PlacePercent} {
		if rapid.Bool().Draw(t, "set aside") {
			percent.Value = big.NewRat(rapid.Int64Range(0, 32_000).Draw(t, fmt.Sprintf("percent %d", i)), 1_000)
		}
	}
	return p
}

func TestShare_ComesToThePoolWhateverTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		receivers := drawReceivers(t, 30)
		p, method := drawPool(t, len(receivers)), drawMethod(t)
		got, err := rules.Share(p, method, receivers)
		require.NoError(t, err)
		requireAddsUp(t, got)
		require.Len(t, got.Parts, len(receivers))

		other, err := rules.Share(p, method, rapid.Permutation(receivers).Draw(t, "another order"))
		require.NoError(t, err)
		require.Equal(t, got, other)
	})
}

func TestShare_SameWeightsAtAnotherScaleChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		receivers := drawReceivers(t, 20)
		p := drawPool(t, len(receivers))
		method := rules.Method{Kind: rules.PerHead, List: rules.WeightedList}
		before, err := rules.Share(p, method, receivers)
		require.NoError(t, err)
		factor := big.NewRat(rapid.Int64Range(1, 999).Draw(t, "factor"), 7)
		for i := range receivers {
			receivers[i].Weighted.Value = new(big.Rat).Mul(receivers[i].Weighted.Value, factor)
		}
		after, err := rules.Share(p, method, receivers)
		require.NoError(t, err)
		for i := range before.Parts {
			require.Equal(t, before.Parts[i].Amount, after.Parts[i].Amount)
			require.Zero(t, before.Parts[i].Exact.Cmp(after.Parts[i].Exact))
		}
	})
}

// A share is its exact value rounded down, or a penny more.
func TestShare_IsWithinAPennyOfTheExactShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		receivers := drawReceivers(t, 20)
		method := drawMethod(t)
		got, err := rules.Share(drawPool(t, len(receivers)), method, receivers)
		require.NoError(t, err)
		for i := range got.Parts {
			down, err := money.RoundDown(got.Parts[i].Exact)
			require.NoError(t, err)
			require.Contains(t, []money.Pence{down, down + 1}, got.Parts[i].Amount)
		}
	})
}

func TestShare_AnotherReceiverNeverRaisesAShareByMoreThanThePenny(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		receivers := drawReceivers(t, 20)
		p, method := drawPool(t, len(receivers)+1), drawMethod(t)
		if method.Kind == rules.Bid {
			method.Kind = rules.PerHead
		}
		before, err := rules.Share(p, method, receivers)
		require.NoError(t, err)
		joined := drawReceiver(t, rapid.SampledFrom([]string{"A00000", "U000055", "Z99999"}).Draw(t, "code"))
		after, err := rules.Share(p, method, append(receivers, joined))
		require.NoError(t, err)
		for i := range before.Parts {
			b := &before.Parts[i]
			a, found := after.Part(b.Code)
			require.True(t, found)
			require.LessOrEqual(t, a.Exact.Cmp(b.Exact), 0, "the exact share never rises")
			require.LessOrEqual(t, a.Amount, b.Amount+1)
		}
	})
}

// The penny does move: of 10 pence U00001 gets one beside U00003 and none without it, though its exact share falls.
func TestShare_AnotherReceiverMayMoveThePenny(t *testing.T) {
	t.Parallel()
	receivers := []rules.Receiver{
		{Code: "U00001", Registered: given(t, "1")}, {Code: "U00002", Registered: given(t, "20")}, {Code: "U00003", Registered: given(t, "1")},
	}
	byHead := rules.Method{Kind: rules.PerHead, List: rules.RegisteredList}
	before, err := rules.Share(pool(10), byHead, receivers[:2])
	require.NoError(t, err)
	after, err := rules.Share(pool(10), byHead, receivers)
	require.NoError(t, err)
	require.Equal(t, []money.Pence{0, 10}, []money.Pence{before.Parts[0].Amount, before.Parts[1].Amount})
	require.Equal(t, []money.Pence{1, 9, 0}, []money.Pence{after.Parts[0].Amount, after.Parts[1].Amount, after.Parts[2].Amount})
	require.Negative(t, after.Parts[0].Exact.Cmp(before.Parts[0].Exact))
}

func TestShare_GivesEqualRemaindersByCode(t *testing.T) {
	t.Parallel()
	got, err := rules.Share(pool(5), rules.Method{Kind: rules.Equal}, []rules.Receiver{{Code: "U00003"}, {Code: "U00001"}, {Code: "U00002"}})
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, []money.Pence{2, 2, 1}, []money.Pence{got.Parts[0].Amount, got.Parts[1].Amount, got.Parts[2].Amount})
	require.Contains(t, working.Sentences(got.Parts[2].Working),
		"penny left over = left over for this one 0 held between nothing 0 and a penny 0.01 = £0.00 (pool split: pennies left go one each to the "+
			"largest remainders, of equal ones to the lower code).")
}

func TestShare_OneReceiverGetsAllThereIsToShare(t *testing.T) {
	t.Parallel()
	p := pool(12_345)
	p.SystemPercent = given(t, "12.5")
	got, err := rules.Share(p, rules.Method{Kind: rules.NeedIndex, List: rules.RegisteredList}, []rules.Receiver{{Code: "U00001", Registered: given(t, "1")}})
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, money.Pence(1_543), got.Slices[0].Amount)
	require.Equal(t, money.Pence(10_802), got.Parts[0].Amount)
}

func TestShare_SetsAsideNoMoreThanIsLeft(t *testing.T) {
	t.Parallel()
	p := pool(1)
	p.LeadershipPercent, p.SystemPercent = given(t, "50"), given(t, "50")
	got, err := rules.Share(p, rules.Method{Kind: rules.Equal}, []rules.Receiver{{Code: "U00001"}})
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, money.Pence(1), got.Slices[0].Amount)
	require.Zero(t, got.Slices[1].Amount)
	require.Zero(t, got.ToShare)
	require.Equal(t, rules.LeadershipSlice, got.Slices[0].Kind)
	require.Equal(t, rules.SystemSlice, got.Slices[1].Kind)
}

func TestShare_NeedThatIsNotStatedIsOne(t *testing.T) {
	t.Parallel()
	method := rules.Method{Kind: rules.NeedIndex, List: rules.RegisteredList}
	got, err := rules.Share(pool(300), method, []rules.Receiver{
		{Code: "U00001", Registered: given(t, "10")}, {Code: "U00002", Registered: given(t, "10"), NeedIndex: given(t, "2")},
	})
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, []money.Pence{100, 200}, []money.Pence{got.Parts[0].Amount, got.Parts[1].Amount})
	require.Equal(t, "10", money.Format(got.Parts[0].Weight))
}

func TestShare_HoldsBackWhatNoBidTakes(t *testing.T) {
	t.Parallel()
	one, none := sum(2_500), sum(0)
	p := pool(10_000)
	p.LeadershipPercent = given(t, "10")
	got, err := rules.Share(p, rules.Method{Kind: rules.Bid}, []rules.Receiver{{Code: "U00001", Bid: &one}, {Code: "U00002", Bid: &none}})
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, money.Pence(6_500), got.HeldBack)
	require.Nil(t, got.Weight)
	_, found := got.Part("U00003")
	require.False(t, found)
}

// Flat sums, and bids, may take all there is to share.
func TestShare_TakesExactlyThePool(t *testing.T) {
	t.Parallel()
	all := sum(50)
	receivers := []rules.Receiver{{Code: "U00001", Registered: given(t, "1"), Bid: &all}, {Code: "U00002", Registered: given(t, "2"), Bid: &all}}
	for _, method := range []rules.Method{{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: all}, {Kind: rules.Bid}} {
		got, err := rules.Share(pool(100), method, receivers)
		require.NoError(t, err)
		requireAddsUp(t, got)
		require.Equal(t, []money.Pence{50, 50}, []money.Pence{got.Parts[0].Amount, got.Parts[1].Amount})
		require.Zero(t, got.HeldBack)
	}
}

func TestShare_ManyBidsAddUp(t *testing.T) {
	t.Parallel()
	bid := sum(3)
	receivers := make([]rules.Receiver, 2_500)
	for i := range receivers {
		receivers[i] = rules.Receiver{Code: fmt.Sprintf("U%05d", i), Bid: &bid}
	}
	got, err := rules.Share(pool(7_501), rules.Method{Kind: rules.Bid}, receivers)
	require.NoError(t, err)
	requireAddsUp(t, got)
	require.Equal(t, money.Pence(1), got.HeldBack)
}

func TestShare_RefusesByName(t *testing.T) {
	t.Parallel()
	byHead := rules.Method{Kind: rules.PerHead, List: rules.RegisteredList}
	listed := []rules.Receiver{{Code: "U00001", Registered: given(t, "2")}, {Code: "U00002", Registered: given(t, "3")}}
	bid, below, great := sum(60), sum(-1), sum(math.MaxInt64)
	percent := func(leadership, system, place string) *rules.Pool {
		p := pool(100)
		p.LeadershipPercent, p.SystemPercent, p.PlacePercent = given(t, leadership), given(t, system), given(t, place)
		return p
	}
	cases := map[string]struct {
		pool      *rules.Pool
		method    rules.Method
		receivers []rules.Receiver
		kind      fault.Kind
		reason    string
		meta      map[string]string
	}{
		"nobody": {pool(1), byHead, nil, fault.Invalid, rules.ReasonNoReceivers, nil},
		"twice": {
			pool(1), byHead, append(slices.Clone(listed), listed[0]), fault.Invalid, rules.ReasonReceiverTwice, map[string]string{"receiver": "U00001"},
		},
		"no code":   {pool(1), byHead, []rules.Receiver{{}}, fault.Invalid, rules.ReasonMethodMalformed, nil},
		"no method": {pool(1), rules.Method{Kind: "FAIR"}, listed, fault.Invalid, rules.ReasonMethodMalformed, nil},
		"no list":   {pool(1), rules.Method{Kind: rules.PerHead}, listed, fault.Invalid, rules.ReasonMethodMalformed, nil},
		"negative pool": {
			pool(-1), byHead, listed, fault.Invalid, rules.ReasonMethodMalformed, map[string]string{"pool_pence": "-1"},
		},
		"percentages": {
			percent("10", "40.5", "50"), byHead, listed, fault.Invalid, rules.ReasonPercentagesExceedPool, map[string]string{"percent": "100.5"},
		},
		"negative percentage": {percent("10", "-1", "0"), byHead, listed, fault.Invalid, rules.ReasonMethodMalformed, nil},
		"flat sums": {
			pool(100),
			rules.Method{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: sum(51)},
			listed,
			fault.Refused, rules.ReasonFlatsExceedPool,
			map[string]string{"flats_pence": "102", "pool_pence": "100", "flat_pence": "51", "receivers": "2"},
		},
		"flat sums beyond 64 bits": {
			pool(100), rules.Method{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: great}, listed, fault.Invalid, money.ReasonOverflow, nil,
		},
		"negative flat sum": {
			pool(100), rules.Method{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: below}, listed, fault.Invalid, rules.ReasonMethodMalformed, nil,
		},
		"bids": {
			percent("10", "0", "0"),
			rules.Method{Kind: rules.Bid},
			[]rules.Receiver{{Code: "U00001", Bid: &bid}, {Code: "U00002", Bid: &bid}},
			fault.Refused, rules.ReasonBidsExceedPool,
			map[string]string{"bids_pence": "120", "pool_pence": "90", "excess_pence": "30"},
		},
		"negative bid": {pool(1), rules.Method{Kind: rules.Bid}, []rules.Receiver{{Code: "U00001", Bid: &below}}, fault.Invalid, rules.ReasonMethodMalformed, nil},
		"bids beyond 64 bits": {
			pool(1), rules.Method{Kind: rules.Bid}, []rules.Receiver{{Code: "U00001", Bid: &great}, {Code: "U00002", Bid: &bid}}, fault.Invalid, money.ReasonOverflow, nil,
		},
		"no bid": {pool(1), rules.Method{Kind: rules.Bid}, listed, fault.Refused, rules.ReasonMethodMalformed, map[string]string{"receivers": "U00001,U00002"}},
		"no patients": {
			pool(1),
			rules.Method{Kind: rules.PerHead, List: rules.AdjustedList},
			listed, fault.Refused, rules.ReasonPopulationMissing,
			map[string]string{
				"receivers": "U00001,U00002", "missing": "adjusted patients of U00001, U00002", "remedy": "load the lists, state the patients, or leave the receiver out",
			},
		},
		"negative patients": {
			pool(1), byHead,
			[]rules.Receiver{{Code: "U00001", Registered: given(t, "-2")}},
			fault.Invalid, rules.ReasonWeightNegative,
			map[string]string{"receiver": "U00001", "value": "-2"},
		},
		"negative need": {
			pool(1),
			rules.Method{Kind: rules.NeedIndex, List: rules.RegisteredList},
			[]rules.Receiver{{Code: "U00001", Registered: given(t, "2"), NeedIndex: given(t, "-0.5")}},
			fault.Invalid, rules.ReasonWeightNegative, nil,
		},
		"nothing to weigh": {pool(1), byHead, []rules.Receiver{{Code: "U00001", Registered: given(t, "0")}}, fault.Invalid, rules.ReasonNoWeight, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := rules.Share(c.pool, c.method, c.receivers)
			requireFault(t, err, c.kind, c.reason)
			f, _ := fault.As(err)
			for key, want := range c.meta {
				require.Equal(t, want, f.Meta[key], key)
			}
		})
	}
}

func TestMethod_HasWords(t *testing.T) {
	t.Parallel()
	for want, method := range map[string]rules.Method{
		"the same for each":                                          {Kind: rules.Equal},
		"per head of weighted patients":                              {Kind: rules.PerHead, List: rules.WeightedList},
		"£100.00 for each, the rest per head of registered patients": {Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: sum(10_000)},
		"per head of adjusted patients × index of need":              {Kind: rules.NeedIndex, List: rules.AdjustedList},
		"bids as approved":                                           {Kind: rules.Bid},
		"":                                                           {Kind: "FAIR"},
	} {
		require.Equal(t, want, method.Words())
	}
}

func requireFault(t require.TestingT, err error, kind fault.Kind, reason string) {
	f, is := fault.As(err)
	require.True(t, is, "%v", err)
	require.Equal(t, reason, f.Reason)
	require.Equal(t, kind, f.Kind)
}

func TestCompare_PutsMethodsSideBySide(t *testing.T) {
	t.Parallel()
	receivers := []rules.Receiver{
		{Code: "U00051", Registered: given(t, "40000"), NeedIndex: given(t, "1.25")},
		{Code: "U00052", Registered: given(t, "40000"), NeedIndex: given(t, "0.90")},
		{Code: "U00053", Registered: given(t, "55000"), NeedIndex: given(t, "1.00")},
	}
	got, err := rules.Compare(pool(9_000_000), receivers, []rules.Method{
		{Kind: rules.PerHead, List: rules.RegisteredList},
		{Kind: rules.NeedIndex, List: rules.RegisteredList},
		{Kind: rules.PerHead, List: rules.AdjustedList},
		{Kind: rules.Equal},
	})
	require.NoError(t, err)
	require.Zero(t, got[0].Moved)
	require.Equal(t, []rules.Difference{{"U00051", 524_823}, {"U00052", -368_795}, {"U00053", -156_028}}, got[1].Differences)
	require.Equal(t, money.Pence(524_823), got[1].Moved)
	require.Equal(t, rules.ReasonPopulationMissing, got[2].Refused.Reason)
	require.Nil(t, got[2].Shared)
	require.Nil(t, got[2].Differences)
	require.Equal(t, money.Pence(666_666), got[3].Moved)
}

func TestCompare_MovesNothingOnTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		receivers := drawReceivers(t, 15)
		p := drawPool(t, len(receivers))
		got, err := rules.Compare(p, receivers, []rules.Method{drawMethod(t), drawMethod(t)})
		require.NoError(t, err)
		for i := range got {
			all, up := got[i].HeldBackMore, money.Pence(0)
			for _, d := range got[i].Differences {
				all += d.More
				up += max(d.More, 0)
			}
			require.Zero(t, all)
			require.Equal(t, up, got[i].Moved)
		}
	})
}

func TestCompare_WithoutAFirstThereIsNothingToHoldAgainst(t *testing.T) {
	t.Parallel()
	got, err := rules.Compare(pool(1), []rules.Receiver{{Code: "U00001"}}, []rules.Method{{Kind: rules.PerHead, List: rules.RegisteredList}, {Kind: rules.Equal}})
	require.NoError(t, err)
	require.NotNil(t, got[1].Shared)
	require.Nil(t, got[1].Differences)
}

// england returns as many receivers as England has networks, with weights that have decimals.
func england(n int) []rules.Receiver {
	out := make([]rules.Receiver, n)
	for i := range out {
		patients := int64(20_000 + (i*7919)%61_000)
		out[i] = rules.Receiver{
			Code: fmt.Sprintf("U%05d", i), Registered: rules.Given{Value: big.NewRat(patients, 1)},
			Weighted: rules.Given{Value: big.NewRat(patients*10_000+int64(i*31), 10_000)}, NeedIndex: rules.Given{Value: big.NewRat(int64(80+i%45), 100)},
		}
	}
	return out
}

func BenchmarkShare(b *testing.B) {
	p := pool(4_370_000_000)
	p.LeadershipPercent.Value, p.SystemPercent.Value, p.PlacePercent.Value = big.NewRat(10, 1), big.NewRat(15, 1), big.NewRat(20, 1)
	receivers := england(1_300)
	for _, method := range []rules.Method{
		{Kind: rules.Equal},
		{Kind: rules.PerHead, List: rules.WeightedList},
		{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: sum(1_000_000)},
		{Kind: rules.NeedIndex, List: rules.WeightedList},
	} {
		b.Run(string(method.Kind), func(b *testing.B) {
			for b.Loop() {
				if _, err := rules.Share(p, method, receivers); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
