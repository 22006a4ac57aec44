package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	devfundv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/devfund/v1"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/store"
)

func month(text string) period.Month {
	m, err := period.ParseMonth(text)
	if err != nil {
		panic(err)
	}
	return m
}

// plan adds a plan of two versions, the first of them approved: each has lines of £1.00 and £2.00 times its number on an allocation, paid to
// a PCN in two months.
func plan(t *testing.T, tx *sqldb.Tx, id, commissioner, allocation, pcn string) {
	t.Helper()
	require.NoError(t, store.InsertPlan(t.Context(), tx, store.PlanRow{ID: id, Year: 2025, CommissionerCode: commissioner, AllocationID: allocation, Newest: 2, Approved: 1, Version: 1}))
	for number := 1; number <= 2; number++ {
		key := store.VersionKey{PlanID: id, Number: number}
		var lines []*devfundv1.PlanLine
		var tranches []store.TrancheRow
		for i, line := range []string{"z", "a"} {
			amount := money.Pence(100 * (i + 1) * number)
			lines = append(lines, &devfundv1.PlanLine{LineId: line, AllocationId: allocation, AmountPence: int64(amount), Payee: devfundv1.PayeeKind_PCN_PAYEE, Description: line + id})
			for _, m := range []string{"2025-05", "2025-09"} {
				tranches = append(tranches, store.TrancheRow{VersionKey: key, LineID: line, PCNCode: pcn, Month: month(m), Amount: amount / 2})
			}
		}
		require.NoError(t, store.InsertPlanVersion(t.Context(), tx, store.PlanVersionRow{
			PlanID: id, Number: number, State: devfundv1.PlanState_PLAN_DRAFTED, Header: &devfundv1.PlanHeader{Title: id}, Planned: money.Pence(300 * number), Author: "a",
		}, []string{pcn}, lines))
		require.NoError(t, store.InsertTranches(t.Context(), tx, tranches))
	}
}

func TestPlans_GiveOthersWhatIsApproved(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		db := open(t)
		ctx := t.Context()
		require.NoError(t, db.Migrate(ctx, store.Migrations()))
		require.NoError(t, db.Write(ctx, func(tx *sqldb.Tx) error {
			released := money.Pence(10_000)
			for _, id := range []string{"A", "B"} {
				require.NoError(t, store.InsertAllocations(ctx, tx, store.AllocationRow{
					ID: id, Year: 2025, FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: id, CommissionerCode: "36J",
					Purpose: devfundv1.AllocationPurpose_GENERAL, Released: &released, Version: 1,
				}))
			}
			plan(t, tx, "p1", "36J", "A", "U1")
			plan(t, tx, "p2", "99X", "B", "U2")
			_, err := tx.Exec(ctx, `INSERT INTO schedules (schedule_id, commissioner_code, commissioner_name, month, sequence, line_count, pay_total_pence, reconcile_total_pence,
				lines_sha256, snapshot_id, known_at, closed_by, closed_at, event_ids) VALUES ('s2', '36J', '', '2025-06', 1, 1, 1, 0, '', '', 0, '', 2, ''),
				('s1', '36J', '', '2025-05', 1, 1, 1, 0, '', '', 0, '', 1, '')`)
			require.NoError(t, err)
			_, err = tx.Exec(ctx, `INSERT INTO lines (line_id, schedule_id, commissioner_code, month, pcn_code, plan_id, plan_line_id, for_month, amount_pence, payee_code, message, working)
				VALUES ('1', 's2', '36J', '2025-06', 'U1', 'p1', 'z', '2025-05', -1, 'P', '', ''), ('2', 's1', '36J', '2025-05', 'U1', 'p1', 'z', '2025-05', 50, 'P', '', '')`)
			return err
		}))
		require.NoError(t, db.Read(ctx, func(q sqldb.Querier) error {
			lines, err := store.ApprovedLines(ctx, q, store.PlanFilter{CommissionerCode: "36J"})
			require.NoError(t, err)
			require.Len(t, lines, 2)
			require.Equal(t, "z", lines[0].LineID, "in the order of its author")
			require.Equal(t, "zp1", lines[0].Message.GetDescription())
			require.Equal(t, period.FinancialYear(2025), lines[0].Year)
			require.EqualValues(t, 100, lines[0].Amount)

			due := func(through string, by store.PlanFilter) (out []money.Pence) {
				tranches, err := store.ApprovedTranches(ctx, q, month(through), by)
				require.NoError(t, err)
				for _, tranche := range tranches {
					require.Equal(t, 1, tranche.Number)
					out = append(out, tranche.Amount)
				}
				return out
			}
			require.Empty(t, due("2025-04", store.PlanFilter{}))
			require.Equal(t, []money.Pence{100, 50, 100, 50}, due("2025-05", store.PlanFilter{}))
			require.Equal(t, []money.Pence{100, 100, 50, 50}, due("2025-09", store.PlanFilter{CommissionerCode: "99X"}))
			require.Equal(t, []money.Pence{100, 50}, due("2025-08", store.PlanFilter{PCNCode: "U1", Year: "2025/26"}))
			require.Empty(t, due("2025-09", store.PlanFilter{AllocationIDs: []string{}}))

			drawn, err := store.Drawn(ctx, q, []string{"A", "B", "C"})
			require.NoError(t, err)
			require.Equal(t, map[string]store.DrawnRow{"A": {"A", 300, 600}, "B": {"B", 300, 600}}, drawn)

			heads, err := store.ApprovedPlans(ctx, q, store.PlanFilter{AllocationIDs: []string{"B"}})
			require.NoError(t, err)
			require.Len(t, heads, 1)
			require.Equal(t, 1, heads[0].Number)
			require.Equal(t, 2, heads[0].Newest)

			schedules, err := store.SchedulesOf(ctx, q, "p1")
			require.NoError(t, err)
			require.Equal(t, map[store.ScheduledKey]string{{LineID: "z", PCNCode: "U1", Month: month("2025-05")}: "s1"}, schedules, "the first that took it")
			return nil
		}))
		require.NoError(t, db.Write(ctx, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE plan_versions SET state = $1 WHERE number = 2`, int64(devfundv1.PlanState_REJECTED))
			require.NoError(t, err)
			drawn, err := store.Drawn(ctx, tx, []string{"A"})
			require.Equal(t, map[string]store.DrawnRow{"A": {"A", 300, 0}}, drawn, "what is rejected draws nothing")
			return err
		}))
	})
}

func TestPlans_AreKept(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		db := open(t)
		ctx := t.Context()
		require.NoError(t, db.Migrate(ctx, store.Migrations()))
		require.NoError(t, db.Write(ctx, func(tx *sqldb.Tx) error {
			released := money.Pence(10_000)
			require.NoError(t, store.InsertAllocations(ctx, tx, store.AllocationRow{
				ID: "A", Year: 2025, FundCode: "PCN_DEV", Level: devfundv1.AllocationLevel_SYSTEM, HolderCode: "A", CommissionerCode: "36J",
				Purpose: devfundv1.AllocationPurpose_GENERAL, Released: &released, Version: 1,
			}))
			plan(t, tx, "p1", "36J", "A", "U1")
			return nil
		}))
		db = testkit.Owner(t, db)
		for _, statement := range []string{
			`UPDATE plan_lines SET amount_pence = 0`, `DELETE FROM tranches`, `UPDATE tranches SET amount_pence = 0`, `UPDATE plan_pcns SET pcn_code = 'X'`, `DELETE FROM plans`,
			`DELETE FROM plan_versions`,
		} {
			require.ErrorContains(t, db.Write(ctx, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(ctx, statement)
				return err
			}), "append-only", statement)
		}
	})
}
