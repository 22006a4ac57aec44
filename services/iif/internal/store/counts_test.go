package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

func TestLastCountDay_OfFewAndOfManyOrganisations(t *testing.T) {
	t.Parallel()
	day := period.NewDate(2025, time.June, 30)
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
			return store.InsertCounts(t.Context(), tx, []store.CountRow{{
				CountKey: store.CountKey{Organisation: "A00007", On: day, Indicator: "HI-03"}, Position: 1, CommissionerCode: rules.England, SourceID: "s",
				RecordedBy: "x", Cells: store.Cells{{Measure: feed.Numerator, Cell: rules.Count(4)}},
			}})
		}))
		for _, organisations := range []int{5, 10, 1300} {
			codes := make([]string, organisations)
			for i := range codes {
				codes[i] = fmt.Sprintf("A%05d", i)
			}
			require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) error {
				got, err := store.LastCountDay(t.Context(), q, store.CountFilter{Year: 2025, Bodies: []string{"QWO"}, Organisations: codes})
				require.Equal(t, organisations > 7, got == day, "%d organisations", organisations)
				return err
			}))
		}
	})
}
