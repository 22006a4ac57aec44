package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// TestTracker holds both databases to the same promises.
func TestTracker(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		for name, test := range map[string]func(*testing.T, *sqldb.DB){
			"Requirements_ComeBackAsTheyWereKnown": requirementsComeBack,
			"Steps_ComeBackAsTheyWereKnown":        stepsComeBack,
			"Items_StandAsTheLastChangeLeftThem":   itemsStand,
			"Reminders_AreStoredOnce":              remindersAreStoredOnce,
			"Nothing_IsChangedOrTakenBack":         trackerNeverChanges,
			"Predecessors_AreThoseNotTakenBack":    predecessorsAreTold,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
				test(t, db)
			})
		}
	})
}

func write(t testing.TB, db *sqldb.DB, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return fn(t.Context(), tx) }))
}

func version(t testing.TB, db *sqldb.DB, v store.RequirementVersion) store.RequirementVersion {
	t.Helper()
	at := time.Date(2022, 5, 1, 0, 0, 0, 0, time.UTC)
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return store.AddRequirement(ctx, tx, &v, at) })
	return v
}

func requirementsComeBack(t *testing.T, db *sqldb.DB) {
	full := store.RequirementVersion{
		Requirement: rules.Requirement{
			ID: "a", Year: 2022, Name: "n", Phase: "p", Focus: "f", Start: on(t, "2022-04-01"), Due: on(t, "2022-07-31"), Other: on(t, "2022-08-31"),
			End: on(t, "2023-03-31"), PutOff: true, Evidence: "e", HoldBasis: "h", Source: "s", Note: "x", Confidence: working.Secondary,
		},
		RecordedBy: "me", Reason: "why",
	}
	first := version(t, db, full)
	own := full
	own.Commissioner, own.TakenBack, own.Due, own.Other = "16C", true, period.Date{}, period.Date{}
	second := version(t, db, own)
	other := full
	other.ID, other.Year = "b", 2023
	third := version(t, db, other)
	require.Equal(t, []int64{1, 2, 3}, []int64{first.Position, second.Position, third.Position})
	require.True(t, second.KnownFrom.After(first.KnownFrom), "a clock that stands makes no two versions known at once")
	ask := func(id, year string, known time.Time) []store.RequirementVersion {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.RequirementVersion, error) {
			return store.Requirements(ctx, q, id, year, known)
		})
	}
	late := third.KnownFrom.Add(time.Hour)
	require.Equal(t, []store.RequirementVersion{first, second, third}, ask("", "", late))
	require.Equal(t, []store.RequirementVersion{first, second}, ask("a", "", late))
	require.Equal(t, []store.RequirementVersion{third}, ask("", "2023/24", late))
	require.Equal(t, []store.RequirementVersion{first}, ask("", "", first.KnownFrom))
	require.Empty(t, ask("", "", first.KnownFrom.Add(-time.Microsecond)))
}

func stepsComeBack(t *testing.T, db *sqldb.DB) {
	at := time.Date(2022, 5, 1, 0, 0, 0, 1000, time.UTC)
	step := func(requirement, pcn string, number int64, at time.Time) store.Step {
		return store.Step{
			Step: rules.Step{
				Number: number, Kind: rules.DeliverStep, Planned: on(t, "2022-04-01"), Met: on(t, "2022-04-02"), Evidence: "e", Where: "w", Reason: "r", By: "me",
			},
			Requirement: requirement, PCN: pcn, Commissioner: "16C", RecordedAt: at,
		}
	}
	all := []store.Step{step("a", "U1", 1, at), step("a", "U1", 2, at.Add(time.Hour)), step("a", "U2", 1, at), step("b", "U1", 1, at)}
	for _, s := range all {
		write(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return store.AddStep(ctx, tx, s) })
	}
	require.Error(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.AddStep(t.Context(), tx, all[0]) }), "a number stands once")
	ask := func(pcn string, known time.Time, ids ...string) map[store.StepKey][]store.Step {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) (map[store.StepKey][]store.Step, error) {
			var pcns []string
			if pcn != "" {
				pcns = []string{pcn}
			}
			return store.Steps(ctx, q, ids, pcns, known)
		})
	}
	late := at.Add(2 * time.Hour)
	require.Equal(t, map[store.StepKey][]store.Step{{Requirement: "a", PCN: "U1"}: all[:2], {Requirement: "a", PCN: "U2"}: all[2:3]}, ask("", late, "a"))
	require.Equal(t, map[store.StepKey][]store.Step{{Requirement: "a", PCN: "U1"}: all[:1], {Requirement: "b", PCN: "U1"}: all[3:]}, ask("U1", at, "a", "b"))
	require.Empty(t, ask("U1", at))
}

func itemsStand(t *testing.T, db *sqldb.DB) {
	at := time.Date(2022, 5, 1, 0, 0, 0, 0, time.UTC)
	item := func(id string, number int64, level rules.Level, owner, commissioner string) store.ItemChange {
		return store.ItemChange{
			Item: rules.Item{
				ID: id, Title: "t", Level: level, Owner: owner, Commissioner: commissioner, Due: on(t, "2022-04-01"), From: on(t, "2022-04-02"), Till: on(t, "2022-04-03"),
				Rule: rules.NextWorking, Evidence: "e", State: rules.ItemDone, Completed: on(t, "2022-04-04"), Linked: "l", Source: "s", Reason: "r",
				Confidence: working.Inferred, Known: on(t, "2022-05-01"),
			},
			Number: number, RecordedBy: "me", RecordedAt: at,
		}
	}
	all := []store.ItemChange{
		item("a", 1, rules.NationLevel, "", ""), item("a", 2, rules.NationLevel, "", ""), item("b", 1, rules.CommissionerLevel, "", "16C"),
		item("c", 1, rules.PCNLevel, "U1", "84H"), item("d", 1, rules.PCNLevel, "U2", "84H"),
	}
	for _, c := range all {
		write(t, db, func(ctx context.Context, tx *sqldb.Tx) error { return store.AddItemChange(ctx, tx, c) })
	}
	ask := func(commissioners, pcns []string) []store.ItemChange {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.ItemChange, error) {
			return store.Items(ctx, q, commissioners, pcns)
		})
	}
	require.Equal(t, all[1:], ask(nil, nil))
	require.Equal(t, all[1:3], ask([]string{"16C"}, nil))
	require.Equal(t, []store.ItemChange{all[1], all[3]}, ask([]string{}, []string{"U1"}))
	require.Equal(t, all[1:2], ask([]string{}, nil))
	history := read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.ItemChange, error) {
		return store.ItemHistory(ctx, q, "a")
	})
	require.Equal(t, all[:2], history)
}

func remindersAreStoredOnce(t *testing.T, db *sqldb.DB) {
	r := store.Reminder{Subject: "calendar/a", Due: "2022-07-31", Moment: "14"}
	add := func(r store.Reminder) (isNew bool) {
		write(t, db, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			isNew, err = store.AddReminder(ctx, tx, r)
			return err
		})
		return isNew
	}
	require.True(t, add(r))
	require.False(t, add(r))
	moved := r
	moved.Due = "2022-08-31"
	require.True(t, add(moved), "a day that moves is reminded of again")
	sent := read(t, db, func(ctx context.Context, q sqldb.Querier) (map[store.Reminder]bool, error) {
		return store.Reminders(ctx, q, []string{r.Subject, "calendar/none"})
	})
	require.Equal(t, map[store.Reminder]bool{r: true, moved: true}, sent)
	take := func() (isNew bool) {
		write(t, db, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			isNew, err = store.TakeEdition(ctx, tx, "abc")
			return err
		})
		return isNew
	}
	require.True(t, take())
	require.False(t, take())
	require.True(t, read(t, db, func(ctx context.Context, q sqldb.Querier) (bool, error) { return store.HasEdition(ctx, q, "abc") }))
}

func trackerNeverChanges(t *testing.T, db *sqldb.DB) {
	version(t, db, store.RequirementVersion{Requirement: rules.Requirement{ID: "a", Year: 2022}})
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		return store.AddStep(ctx, tx, store.Step{Requirement: "a", PCN: "U1"})
	})
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		return store.AddItemChange(ctx, tx, store.ItemChange{Item: rules.Item{ID: "a"}})
	})
	write(t, db, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := store.AddReminder(ctx, tx, store.Reminder{Subject: "a"})
		return err
	})
	db = testkit.Owner(t, db)
	for table, column := range map[string]string{
		"requirement_versions": "name", "requirement_steps": "reason", "calendar_changes": "title", "reminders": "moment",
	} {
		for _, statement := range []string{"DELETE FROM " + table, "UPDATE " + table + " SET " + column + " = 'x'"} {
			err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			})
			require.ErrorContains(t, err, table+" is append-only", statement)
		}
	}
}

func predecessorsAreTold(t *testing.T, db *sqldb.DB) {
	record := func(id, predecessor, day, location string) {
		passes := &rules.Succession{Predecessor: predecessor, Successor: "QNEW"}
		if day != "" {
			passes.Day = on(t, day)
		}
		if location != "" {
			passes.Locations = []string{location}
		}
		l := store.Load{Load: rules.Load{ID: id, Kind: rules.Recorded, Source: "test", ExtractDate: on(t, "2026-04-01")}, SHA256: id, LoadedBy: "tester"}
		facts(t, db, l, one(&files.Row{Succession: passes}))
	}
	record("1", "QA", "2026-04-01", "")
	record("2", "QB", "2026-04-01", "")
	record("3", "QC", "2026-04-01", "16C")
	record("4", "QB", "", "")
	ask := func(position int64) map[string][]string {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) (map[string][]string, error) {
			return store.Predecessors(ctx, q, position)
		})
	}
	require.Equal(t, map[string][]string{"QNEW": {"QA", "QB"}}, ask(3))
	require.Equal(t, map[string][]string{"QNEW": {"QA"}}, ask(4))
	require.Empty(t, ask(0))
}
