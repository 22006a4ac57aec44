package table_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

type rate struct {
	id, kind   string
	gbp, other *big.Rat
	from, to   period.Date
	paid, held bool
	confidence working.Confidence
}

const columns = "id,kind,gbp,other,from,to,paid,confidence"

func read(text string) ([]rate, error) {
	open := func(string) ([]byte, error) { return []byte(text), nil }
	return table.Read(open, "rates.csv", columns, func(r *table.Row) rate {
		return rate{
			id: r.Required("id"), kind: r.OneOf("kind", "", "first"), gbp: r.Positive("gbp"), other: r.OptionalDecimal("other"),
			from: r.Date("from"), to: r.OptionalDate("to"), paid: r.Yes("paid"), confidence: r.Confidence("confidence"), held: r.Has("kind") && !r.Has("note"),
		}
	})
}

func TestRead_GivesEachRow(t *testing.T) {
	t.Parallel()
	rows, err := read(columns + "\na,first,1.50,0,2020-04-01,,yes,official\nb,,2,,2021-04-01,2021-09-30,no,unknown\n")
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, "1.5", money.Format(rows[0].gbp))
	require.Zero(t, rows[0].other.Sign())
	require.True(t, rows[0].paid)
	require.True(t, rows[0].held)
	require.True(t, rows[0].to.IsZero())
	require.Nil(t, rows[1].other)
	require.Equal(t, "2021-09-30", rows[1].to.String())
	require.Equal(t, working.Unknown, rows[1].confidence)
}

func TestRead_NamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := read(columns + "\n,second,0,-1,soon,never,perhaps,sure\nb,,2,,2021-04-01,,no,official\nc,,x,,2021-04-01,,no,official\n")
	for _, want := range []string{
		"rates.csv row 2 ()", "id: it is empty", `kind: "second" is not one of [ first]`, "gbp: it is not positive", "other: it is negative",
		"from: ", "to: ", `paid: "perhaps"`, "confidence: ", "rates.csv row 4 (c): gbp: ",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "row 3")
}

func TestRead_RefusesATableOfAnotherForm(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no rows": columns + "\n", "other columns": "id\na\n", "nothing": "", "short row": columns + "\na,b\n",
	} {
		_, err := read(text)
		require.ErrorContains(t, err, "rates.csv", name)
	}
}
