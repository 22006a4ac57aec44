package arrs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

func months(t *testing.T, from, to string) rules.Months {
	t.Helper()
	r := reader{}
	out := rules.Months{From: r.month(from), To: r.month(to)}
	require.NoError(t, r.err)
	return out
}

func TestWithout_LeavesTheOtherMonths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of, out [2]string
		want    [][2]string
	}{
		{[2]string{"2025-04", ""}, [2]string{"2025-06", "2025-08"}, [][2]string{{"2025-04", "2025-05"}, {"2025-09", ""}}},
		{[2]string{"2025-04", "2025-12"}, [2]string{"2025-04", "2025-08"}, [][2]string{{"2025-09", "2025-12"}}},
		{[2]string{"2025-04", "2025-12"}, [2]string{"2025-08", ""}, [][2]string{{"2025-04", "2025-07"}}},
		{[2]string{"2025-04", "2025-12"}, [2]string{"2025-01", ""}, nil},
		{[2]string{"2025-04", "2025-12"}, [2]string{"2026-01", ""}, [][2]string{{"2025-04", "2025-12"}}},
		{[2]string{"2025-04", ""}, [2]string{"2024-01", "2025-03"}, [][2]string{{"2025-04", ""}}},
	} {
		var want []rules.Months
		for _, w := range c.want {
			want = append(want, months(t, w[0], w[1]))
		}
		require.Equal(t, want, without(months(t, c.of[0], c.of[1]), months(t, c.out[0], c.out[1])))
	}
}

func TestDecisionsOn_LetsTheLaterOneHoldMonthByMonth(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB, sqldb.Options) *sqldb.DB{"sqlite": testkit.SQLite, "postgres": testkit.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, sqldb.Options{Clock: testkit.NewClock(testkit.Start).Now})
			require.NoError(t, db.Migrate(t.Context(), Migrations()))
			rows := []store.DecisionRow{
				{ID: "01", Kind: store.TrainingTestDay, Value: "2024-10-01", Months: months(t, "2024-10", "")},
				{ID: "02", Kind: store.TrainingTestDay, PCNCode: "U1", Value: "2024-11-01", Months: months(t, "2025-06", "2025-08")},
				{ID: "03", Kind: store.ShareAgreed, PCNCode: "U1", EngagementID: "e", Value: "0.5", Months: months(t, "2025-04", "")},
				{ID: "04", Kind: store.ShareAgreed, PCNCode: "U1", EngagementID: "e", Value: "", Months: months(t, "2025-07", "2025-09")},
				{ID: "05", Kind: store.RoleAgreed, PCNCode: "U1", Role: "OTHER_DPC", Months: months(t, "2025-04", "")},
				{ID: "06", Kind: store.RoleAgreed, PCNCode: "U1", Role: "OTHER_DPC", Value: withdrawn, Months: months(t, "2025-10", "")},
				{ID: "07", Kind: store.BaselineWTE, PCNCode: "U1", Role: "CP", Value: "1", Months: months(t, "2019-07", "")},
				{ID: "08", Kind: store.BaselineWTE, PCNCode: "U1", Role: "CP", Value: "1.5", Months: months(t, "2025-04", "")},
				{ID: "09", Kind: store.ExemptWTE, PCNCode: "U1", Role: "CP", Value: "0.5", Months: months(t, "2019-07", "")},
				{ID: "10", Kind: store.BaselineWTE, PCNCode: "U1", Role: "PA", Value: "2", Months: months(t, "2019-07", "")},
				{ID: "10a", Kind: store.BaselineWTE, Role: "CP", Value: "0", Months: months(t, "2019-07", "")},
				{ID: "10b", Kind: store.BaselineWTE, Role: "SPLW", Value: "0", Months: months(t, "2019-07", "")},
				{ID: "11", Kind: store.EmployedWTE, PCNCode: "U1", Role: "CP", Value: "3", Months: months(t, "2025-02", "2025-05")},
				{ID: "12", Kind: store.EmployedWTE, PCNCode: "U1", Role: "CP", Value: "4", Months: months(t, "2025-05", "2025-05")},
				{ID: "13", Kind: store.PCNRegion, PCNCode: "U1", Value: "outer_london", Months: months(t, "2021-04", "")},
				{ID: "14", Kind: store.PCNRegion, PCNCode: "U1", Value: "inner_london", Months: months(t, "2026-02", "")},
				{ID: "15", Kind: store.PCNRegion, PCNCode: "U2", Value: "inner_london", Months: months(t, "2021-04", "")},
				{ID: "17", Kind: store.BaselineWTE, PCNCode: "U1", Role: "PA", Value: "3", Months: months(t, "2025-12", "")},
				{ID: "16", CommissionerCode: "QT6", Kind: store.TrainingTestDay, Value: "2023-01-01", Months: months(t, "2021-04", "")},
			}
			require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
				for _, row := range rows {
					if row.CommissionerCode == "" {
						row.CommissionerCode = "QJK"
					}
					if err := store.InsertDecision(t.Context(), tx, row); err != nil {
						return err
					}
				}
				return nil
			}))
			require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
				of := func(pcn string) (*decidedOn, error) {
					rows, err := store.DecisionsOn("QJK", pcn).All(t.Context(), q)
					require.NoError(t, err)
					return decidedBy(rows, 2025)
				}
				on, err := of("U1")
				require.NoError(t, err)
				var got []string
				for _, d := range on.decisions {
					got = append(got, d.ID+" "+d.From.String()+" "+d.To.String()+" "+decimal(d.Value)+d.Day.String())
				}
				require.Equal(t, []string{
					"01 2024-10  2024-10-01", "02 2025-06 2025-08 2024-11-01", "03 2025-04 2025-06 0.5", "03 2025-10  0.5", "05 2025-04 2025-09 ",
				}, got, "those for all PCNs first")
				in := func(text string) period.Month { return months(t, text, "").From }
				baselines := make(map[string][]string)
				for _, b := range on.baselines {
					baselines[b.Month.String()] = append(baselines[b.Month.String()], fmt.Sprintf("%s %s %s exempt %s", b.ID, b.Role, decimal(b.WTE), decimal(b.ExemptWTE)))
				}
				require.Len(t, baselines, 12)
				require.Equal(t, []string{"08 CP 1.5 exempt 0.5", "10b SPLW 0 exempt 0", "10 PA 2 exempt 0"}, baselines["2025-04"])
				require.Equal(t, []string{"08 CP 1.5 exempt 0.5", "10b SPLW 0 exempt 0", "17 PA 3 exempt 0"}, baselines["2025-12"], "each month has its own")
				require.Len(t, on.employed, 2)
				require.Equal(t, "2025-04", on.employed[0].Month.String())
				require.Equal(t, "3", decimal(on.employed[0].WTE))
				require.Equal(t, "4", decimal(on.employed[1].WTE))
				require.Equal(t, regionDecided{rules.OuterLondon, true}, on.regions[in("2026-01")])
				require.Equal(t, regionDecided{rules.InnerLondon, true}, on.regions[in("2026-02")])
				on, err = of("U3")
				require.Equal(t, regionDecided{rules.National, false}, on.regions[in("2026-01")])
				return err
			}))
		})
	}
}
