package rules

import (
	"math/big"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

func TestQuote_PartsSumToTheTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		stream := Stream{
			PaymentCode: "P", Terms: in.Terms, Instalments: in.Instalments,
			Convention:       Convention(rapid.IntRange(0, 4).Draw(t, "convention")),
			FirstInstalments: rapid.IntRange(0, in.Instalments).Draw(t, "first"),
			PartInstalments:  rapid.IntRange(0, in.Instalments).Draw(t, "part"),
		}
		q, err := Quote(stream)
		require.NoError(t, err)
		sum, err := money.Sum(q.Instalments...)
		require.NoError(t, err)
		require.Equal(t, sum, q.Total)
		require.Equal(t, q.Total, q.Part+q.Rest)
		require.Len(t, q.Instalments, in.Instalments)
		require.Equal(t, in.Instalments, max(stream.FirstInstalments, 1)+q.Remaining)
		requireGives(t, q.Working, q.Instalments[0])
		for n := range q.Instalments {
			in.Convention = stream.Convention
			require.Equal(t, pay(t, in, n+1), q.Instalments[n], "instalment %d", n+1)
		}
	})
}

func TestQuote_GivesThePeriodUnrounded(t *testing.T) {
	t.Parallel()
	q, err := Quote(Stream{Terms: []Term{perHead(t, "0.699", "", "49873")}, Instalments: 12})
	require.NoError(t, err)
	require.Equal(t, "34861.227", money.Format(q.UnroundedGBP))
	require.EqualValues(t, 3486123, q.RoundedOnce)

	q, err = Quote(Stream{Terms: []Term{perHead(t, "", "0.061", "1000")}, Instalments: 12, Convention: PCNMonthlyRate})
	require.NoError(t, err)
	require.Equal(t, "732", money.Format(q.UnroundedGBP), "months added up where only a monthly rate is given")
}

func TestQuote_RefusesPartsBeyondThePeriod(t *testing.T) {
	t.Parallel()
	for _, s := range []Stream{{FirstInstalments: 13}, {PartInstalments: 13}, {FirstInstalments: -1}, {PartInstalments: -1}} {
		s.Terms, s.Instalments = []Term{perHead(t, "1", "", "1")}, 12
		_, err := Quote(s)
		require.Equal(t, ReasonQuoteIncomplete, fault.ReasonOf(err))
	}
	_, err := Quote(Stream{Terms: []Term{perHead(t, "1", "", "1")}})
	require.Equal(t, ReasonQuoteIncomplete, fault.ReasonOf(err))
}

func TestQuoteCorrection_ArrearsMakeGoodWhatWasPaid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawInput(t), drawInput(t)
		after.Instalments = before.Instalments
		convention := Convention(rapid.IntRange(1, 4).Draw(t, "convention"))
		paid := rapid.IntRange(0, before.Instalments).Draw(t, "paid")
		old := Stream{Terms: before.Terms, Instalments: before.Instalments, Convention: convention}
		due := Stream{Terms: after.Terms, Instalments: after.Instalments, Convention: convention}
		c, err := QuoteCorrection(old, due, paid)
		require.NoError(t, err)
		whole, err := Quote(due)
		require.NoError(t, err)
		require.Equal(t, whole.Total, c.Total)
		require.Equal(t, c.Total, c.PaidBefore+c.Arrears+c.PaidAfter)
		if paid == 0 {
			require.Zero(t, c.Arrears)
			require.Equal(t, c.After, c.Next)
		}
	})
}

func TestShare_SumsToThePool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pool := money.Pence(rapid.Int64Range(0, 1_000_000_000_00).Draw(t, "pool"))
		lists := rapid.SliceOfN(rapid.Int64Range(0, 150_000), 1, 40).Draw(t, "lists")
		lists[0]++
		populations := make(map[string]*big.Rat, len(lists))
		total := new(big.Rat)
		for i, list := range lists {
			populations["U"+strconv.Itoa(10_000+i)] = big.NewRat(list, 1)
			total.Add(total, big.NewRat(list, 1))
		}
		shares, err := Share(pool, populations)
		require.NoError(t, err)
		var sum money.Pence
		for code, share := range shares {
			sum += share
			exact := new(big.Rat).Mul(big.NewRat(int64(pool), 1), populations[code])
			exact.Quo(exact, total)
			difference := new(big.Rat).Sub(big.NewRat(int64(share), 1), exact)
			require.Negative(t, difference.Abs(difference).Cmp(big.NewRat(1, 1)), "less than a penny from the exact share")
		}
		require.Equal(t, pool, sum)
	})
}

func TestShare_GivesTiesToTheLowerCode(t *testing.T) {
	t.Parallel()
	shares, err := Share(100, map[string]*big.Rat{"U00003": big.NewRat(1, 1), "U00001": big.NewRat(1, 1), "U00002": big.NewRat(1, 1)})
	require.NoError(t, err)
	require.Equal(t, map[string]money.Pence{"U00001": 34, "U00002": 33, "U00003": 33}, shares)
}

func TestServiceHours_RoundsToTheNearestQuarter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ population, minutes, per1000, hours string }{
		{"50000", "1500", "30", "25.00"},
		{"47333", "1419.99", "30", "23.75"},
		{"47250", "1417.5", "30", "23.75"},
		{"47249", "1417.47", "30", "23.50"},
		{"44500", "2670", "60", "44.50"},
		{"0", "0", "60", "0.00"},
	} {
		minutes, hours := ServiceHours(decimal(t, c.population), decimal(t, c.per1000))
		require.Equal(t, c.minutes, money.Format(minutes))
		require.Equal(t, c.hours, hours.FloatString(2), c.population)
	}
}

func TestImpliedPopulation_RoundsToTheNearestThousand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		national, rate string
		want           int64
	}{
		{"16250000", "0.27", 60185000},
		{"1499.99", "1", 1000},
		{"1500", "1", 2000},
		{"499", "1", 0},
	} {
		got, err := ImpliedPopulation(decimal(t, c.national), decimal(t, c.rate))
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

func TestNeedWeight_MixesByShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ care, inequality, share, want string }{
		{"20255.66", "31825.79", "0.15", "21991.18"},
		{"10", "20", "0", "10"},
		{"10", "20", "1", "20"},
	} {
		got, err := NeedWeight(decimal(t, c.care), decimal(t, c.inequality), decimal(t, c.share))
		require.NoError(t, err)
		require.Equal(t, c.want, money.Format(got))
	}
}

func TestBedsInForce_TakesTheLastStatedBefore(t *testing.T) {
	t.Parallel()
	stated := map[period.Month]int64{period.NewMonth(2020, 8): 180, period.NewMonth(2020, 11): 196}
	for month, want := range map[string]int64{"2020-08": 180, "2020-10": 180, "2020-11": 196, "2021-03": 196} {
		m, err := period.ParseMonth(month)
		require.NoError(t, err)
		count, _, found := BedsInForce(stated, m)
		require.True(t, found)
		require.Equal(t, want, count, month)
	}
	_, _, found := BedsInForce(stated, period.NewMonth(2020, 7))
	require.False(t, found)
}

func TestPerHead_AddsRates(t *testing.T) {
	t.Parallel()
	sum := PerHead(map[string]*big.Rat{"CORE_PCN": decimal(t, "1.50"), "CLINICAL_DIRECTOR": decimal(t, "0.729"), "LEADERSHIP_MANAGEMENT": decimal(t, "0.684")})
	require.Equal(t, "2.913", money.Format(sum))
}
