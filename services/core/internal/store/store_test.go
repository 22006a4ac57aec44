package store_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"math"
	"math/big"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/core/internal/store"
)

// conform runs one promise of the store on both databases.
func conform(t *testing.T, promise func(t *testing.T, db *sqldb.DB)) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
		promise(t, db)
	})
}

func month(text string) period.Month {
	m, err := period.ParseMonth(text)
	if err != nil {
		panic(err)
	}
	return m
}

func write(t *testing.T, db *sqldb.DB, fn func(tx *sqldb.Tx) error) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), fn))
}

func read[T any](t *testing.T, db *sqldb.DB, fn func(q sqldb.Querier) (T, error)) T {
	t.Helper()
	var out T
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) (err error) {
		out, err = fn(q)
		return err
	}))
	return out
}

// schedule makes one of a commissioner and month with one line for each month given.
func schedule(commissioner, of string, sequence int, closedAt int64, amount money.Pence, forMonths ...string) (store.ScheduleRow, []rules.Line) {
	row := store.ScheduleRow{
		ID: "core-" + commissioner + "-" + of + "-" + string(rune('0'+sequence)), CommissionerCode: commissioner, CommissionerName: "Body",
		Month: month(of), Sequence: sequence, LineCount: len(forMonths), SnapshotID: "s", KnownAt: closedAt, ClosedBy: "a", ClosedAt: closedAt,
		Refusals: []*typev1.Refusal{{Reason: "BEDS_MISSING", PcnCodes: []string{"U1"}}}, EventIDs: []string{"e1", "e2"},
	}
	var lines []rules.Line
	for _, m := range forMonths {
		var b working.Builder
		b.Round("amount", money.HalfUp, 2, "GBP", "", b.Input("given", amount.GBP(), "GBP", working.Origin{Kind: working.FromRequest}))
		lines = append(lines, rules.Line{
			LineID: row.ID + "/" + m, PCNName: "Ünïcode Network", PayeeName: "Payee", LocationCode: "15N", Instruction: rules.Pay, Amount: amount,
			Key:     rules.Key{Group: rules.Group{ForMonth: month(m), PaymentCode: "CORE_PCN", PCNCode: "U1"}, PayeeCode: "P1", FundingSource: "F"},
			Holds:   []rules.Hold{{Reason: "R", Remedy: "do"}},
			Working: b.Done(),
			Basis: &rules.Basis{
				Instalments: 12, Convention: rules.ResidualLast, Clause: "contract", Share: big.NewRat(1, 3),
				Factors: []rules.Factor{{
					RateGBP: big.NewRat(51430, 100000), Per: "registered_patient", Quantity: big.NewRat(3145801, 100), Unit: "patients", Clause: "component",
					Origin: working.Origin{Kind: working.FromRate, Ref: "r", Source: "the page", Confidence: working.Inferred},
				}},
			},
		})
		row.PayTotal += amount
	}
	return row, lines
}

func insert(t *testing.T, db *sqldb.DB, row store.ScheduleRow, lines []rules.Line) {
	t.Helper()
	write(t, db, func(tx *sqldb.Tx) error { return store.InsertSchedule(t.Context(), tx, row, lines) })
}

func TestStore_ReadsBackWhatWasWritten(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		row, lines := schedule("15N", "2022-05", 1, 7, math.MaxInt64, "2022-04")
		insert(t, db, row, lines)
		got := read(t, db, func(q sqldb.Querier) (store.ScheduleRow, error) { return store.Schedule(t.Context(), q, row.ID) })
		require.Equal(t, row.PayTotal, got.PayTotal, "64 bits")
		require.Equal(t, row.EventIDs, got.EventIDs)
		require.Equal(t, "BEDS_MISSING", got.Refusals[0].GetReason())
		stored := read(t, db, func(q sqldb.Querier) ([]store.LineRow, error) {
			return store.Lines(t.Context(), q, store.LineFilter{ScheduleID: row.ID, WithWorking: true})
		})
		require.Len(t, stored, 1)
		require.Equal(t, lines[0].PCNName, stored[0].PCNName)
		require.Equal(t, lines[0].Holds, stored[0].Holds)
		require.True(t, proto.Equal(store.BasisToProto(lines[0].Basis), store.BasisToProto(stored[0].Basis)))
		require.Equal(t, "0.5143", store.BasisToProto(stored[0].Basis).GetFactors()[0].GetRateGbp())
		steps, err := stored[0].ReadWorking()
		require.NoError(t, err)
		result, err := working.Evaluate(steps)
		require.NoError(t, err)
		require.Zero(t, result.Cmp(lines[0].Amount.GBP()))
	})
}

// migrationsBefore returns the migrations of before a number.
func migrationsBefore(t *testing.T, number string) fs.FS {
	t.Helper()
	all, err := fs.Glob(store.Migrations(), "*.sql")
	require.NoError(t, err)
	out := make(fstest.MapFS)
	for _, name := range all {
		if name < number {
			data, err := fs.ReadFile(store.Migrations(), name)
			require.NoError(t, err)
			out[name] = &fstest.MapFile{Data: data}
		}
	}
	return out
}

func TestStore_KeepsLinesOfBeforeTheBasis(t *testing.T) {
	t.Parallel()
	testkit.OwnedDatabases(t, func(t *testing.T, open func(t *testing.T) *sqldb.DB) {
		t.Helper()
		db := open(t)
		require.NoError(t, db.Migrate(t.Context(), migrationsBefore(t, "00003")))
		write(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO schedules VALUES ('s1', '15N', 'Body', '2022-04', 1, 2, 200, 0, '', 's', 1, 'a', 1, 0, 0, $1, '')`, []byte{})
			return err
		})
		insertOld := func(id string) {
			write(t, db, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), `INSERT INTO lines (line_id, schedule_id, commissioner_code, month, sequence, for_month, payment_code,
					pcn_code, pcn_name, practice_code, item, payee_code, payee_name, location_code, funding_source, instruction, amount_pence,
					adjusts_line_id, adjustment_cause, confidence, holds, working)
					VALUES ($1, 's1', '15N', '2022-04', 1, '2022-04', 'CORE_PCN', 'U1', 'N', '', '', 'P1', 'P', '15N', 'F', 1, 100, '', 0, 1, '', $2)`,
					id, []byte{})
				return err
			})
		}
		insertOld("before")
		require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
		insertOld("meanwhile")
		stored := read(t, db, func(q sqldb.Querier) ([]store.LineRow, error) {
			return store.Lines(t.Context(), q, store.LineFilter{ScheduleID: "s1"})
		})
		require.Len(t, stored, 2, "of the old program, before the migration and after")
		for _, line := range stored {
			require.Nil(t, line.Basis)
		}
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE lines SET basis = $1`, []byte{1})
			return err
		})
		require.ErrorContains(t, err, "append-only")
	})
}

func TestStore_KeepsOneScheduleOfASequence(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		row, lines := schedule("15N", "2022-04", 1, 1, 100, "2022-04")
		insert(t, db, row, lines)
		again, others := schedule("15N", "2022-04", 1, 2, 200, "2022-04")
		again.ID, others[0].LineID = "other", "other"
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.InsertSchedule(t.Context(), tx, again, others) })
		require.True(t, sqldb.IsUnique(err), "%v", err)
		lower, lowerLines := schedule("15n", "2022-04", 1, 2, 200, "2022-04")
		insert(t, db, lower, lowerLines)
	})
}

func TestStore_LeavesNothingBehindOnFailure(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		broken := errors.New("broken off")
		row, lines := schedule("15N", "2022-04", 1, 1, 100, "2022-04")
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			if err := store.InsertSchedule(t.Context(), tx, row, lines); err != nil {
				return err
			}
			return broken
		})
		require.ErrorIs(t, err, broken)
		err = db.Read(t.Context(), func(q sqldb.Querier) error {
			_, err := store.Schedule(t.Context(), q, row.ID)
			return err
		})
		require.ErrorIs(t, err, sql.ErrNoRows)
		require.Empty(t, read(t, db, func(q sqldb.Querier) ([]store.LineRow, error) {
			return store.Lines(t.Context(), q, store.LineFilter{ScheduleID: row.ID})
		}))
	})
}

func TestStore_TellsWhatWasScheduledByAMoment(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		row, lines := schedule("15N", "2019-07", 1, 10, 100, "2019-04", "2019-07")
		insert(t, db, row, lines)
		row, lines = schedule("15N", "2019-08", 1, 20, 50, "2019-04", "2019-08")
		insert(t, db, row, lines)
		for asOf, want := range map[int64]int{9: 0, 10: 1, 20: 2, math.MaxInt64: 2} {
			scheduled := read(t, db, func(q sqldb.Querier) ([]rules.ScheduledLine, error) {
				return store.Scheduled(t.Context(), q, []string{"15N"}, month("2019-04"), asOf)
			})
			require.Len(t, scheduled, want)
		}
		closed := read(t, db, func(q sqldb.Querier) (map[store.ClosedMonth]bool, error) {
			return store.ClosedMonths(t.Context(), q, month("2019-08"), 10)
		})
		require.Equal(t, map[store.ClosedMonth]bool{
			{CommissionerCode: "15N", Month: month("2019-04")}: true, {CommissionerCode: "15N", Month: month("2019-07")}: true,
		}, closed)
	})
}

func TestStore_OrdersRatesByBecomingKnown(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		rate := func(id string, knownAt int64, figure *big.Rat) store.RateRow {
			return store.RateRow{
				Rate: rules.Rate{
					ID: id, PaymentCode: "CASP", Name: "n", From: month("2023-04"), To: month("2024-03"), RateGBP: figure, Unit: rules.AdjustedPatient,
					Timing: rules.Monthly, Source: "s", Confidence: working.Secondary, CommissionerCode: rules.England,
				},
				KnownAt: knownAt, RecordedBy: "a",
			}
		}
		exact, _ := new(big.Rat).SetString("0.51430")
		for _, r := range []store.RateRow{rate("later", 20, exact), rate("first", 10, big.NewRat(3, 2)), rate("second", 10, big.NewRat(2, 1))} {
			write(t, db, func(tx *sqldb.Tx) error { return store.InsertRate(t.Context(), tx, r) })
		}
		rows := read(t, db, func(q sqldb.Querier) ([]store.RateRow, error) { return store.Rates(t.Context(), q, 20) })
		require.Equal(t, []string{"first", "second", "later"}, []string{rows[0].ID, rows[1].ID, rows[2].ID})
		require.Zero(t, rows[2].RateGBP.Cmp(exact))
		require.Len(t, read(t, db, func(q sqldb.Querier) ([]store.RateRow, error) { return store.Rates(t.Context(), q, 19) }), 2)
	})
}

func TestStore_ChangesADecisionOnlyOnTheVersionThatWasRead(t *testing.T) {
	conform(t, func(t *testing.T, db *sqldb.DB) {
		declaration := store.DeclarationRow{
			Declaration:      rules.Declaration{ID: "d1", PCNCode: "U1", PaymentCode: "CAIP_RISK", Month: month("2025-10"), Share: big.NewRat(1, 1)},
			CommissionerCode: "QJK", PeriodFrom: month("2025-04"), Evidence: "e", State: store.Declared, DeclaredBy: "a", Version: 1,
		}
		write(t, db, func(tx *sqldb.Tx) error { return store.InsertDeclaration(t.Context(), tx, declaration) })
		decided := declaration
		decided.State, decided.DecidedBy = store.Accepted, "b"
		for _, want := range []bool{true, false} {
			write(t, db, func(tx *sqldb.Tx) error {
				changed, err := store.DecideDeclaration(t.Context(), tx, decided)
				require.Equal(t, want, changed)
				return err
			})
		}
		self := declaration
		self.Version, self.DecidedBy = 2, "a"
		err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
			_, err := store.DecideDeclaration(t.Context(), tx, self)
			return err
		})
		require.True(t, sqldb.IsCheck(err), "the database itself refuses that a person decides what they declared: %v", err)
	})
}
