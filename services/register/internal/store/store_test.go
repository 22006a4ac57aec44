package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// TestStore holds both databases to the same promises.
func TestStore(t *testing.T) {
	t.Parallel()
	testkit.Databases(t, func(t *testing.T, open func(*testing.T) *sqldb.DB) {
		for name, test := range map[string]func(*testing.T, *sqldb.DB){
			"Loads_AreNumberedInTheOrderTheyBecomeKnown": loadsAreNumbered,
			"Loads_ArePaged":                     loadsArePaged,
			"Loads_BecomeKnownAfterTheirFacts":   loadBecomesKnownLast,
			"Loads_AreToldByDayAndBytes":         loadsAreTold,
			"Loads_AreShownByCommissioner":       loadsAreShown,
			"Refused_FilesKeepTheirReport":       refusedKeepsReport,
			"Unknown_NamesCodesNeverSeen":        unknownIsNamed,
			"Facts_ComeBackAsTheyWereRead":       factsComeBack,
			"Facts_AreThoseKnownUpToALoad":       factsUpToALoad,
			"Quarantine_IsListedInOrder":         quarantineIsListed,
			"Nothing_IsChangedOrTakenBack":       nothingChanges,
			"Snapshots_AreStoredOnce":            snapshotsAreStoredOnce,
			"Organisations_CarryTheirLatestName": organisationsCarryNames,
			"Migrations_MayRunTwice": func(t *testing.T, db *sqldb.DB) {
				require.NoError(t, db.Migrate(t.Context(), store.Migrations()))
			},
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

func on(t testing.TB, text string) period.Date {
	t.Helper()
	day, err := period.ParseDate(text)
	require.NoError(t, err)
	return day
}

// bare writes a load without facts.
func bare(t testing.TB, db *sqldb.DB, kind rules.Kind, id, date string) store.Load {
	t.Helper()
	l := store.Load{Load: rules.Load{ID: id, Kind: kind, Source: "test", ExtractDate: on(t, date)}, SHA256: id, LoadedBy: "tester"}
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.AddLoad(t.Context(), tx, &l, db.Now, nil) }))
	return l
}

// file loads an excerpt.
func file(t testing.TB, db *sqldb.DB, name string) store.Load {
	t.Helper()
	content, err := os.Open(filepath.Join("..", "..", "testdata", name))
	require.NoError(t, err)
	spooled, err := files.Spool(content, t.TempDir())
	require.NoError(t, err)
	require.NoError(t, content.Close())
	t.Cleanup(func() { require.NoError(t, spooled.Close()) })
	options := files.Options{AppliedFrom: period.NewMonth(2025, time.June)}
	report, err := spooled.Check(options)
	require.NoError(t, err)
	l := store.Load{
		Load: rules.Load{
			ID: name, Kind: report.Kind, Source: "test", ExtractDate: report.ExtractDate, Maps: report.Maps, Locates: report.Locates,
		},
		FileName: name, SHA256: spooled.SHA256, RowsRead: report.RowsRead, RowsStored: report.RowsGood, PassedOver: report.PassedOver,
		Warnings: []string{"one", "two"}, LoadedBy: "tester", AppliedFrom: options.AppliedFrom,
	}
	return facts(t, db, l, spooled.Rows(options))
}

func facts(t testing.TB, db *sqldb.DB, l store.Load, rows iter.Seq2[*files.Row, error]) store.Load {
	t.Helper()
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		return store.AddLoad(t.Context(), tx, &l, db.Now, func() error { return store.AddFacts(t.Context(), tx, l, rows) })
	}))
	return l
}

func one(row *files.Row) iter.Seq2[*files.Row, error] {
	return func(yield func(*files.Row, error) bool) { yield(row, nil) }
}

func read[T any](t testing.TB, db *sqldb.DB, fn func(context.Context, sqldb.Querier) (T, error)) T {
	t.Helper()
	var out T
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) (err error) {
		out, err = fn(t.Context(), q)
		return err
	}))
	return out
}

func loadsAreNumbered(t *testing.T, db *sqldb.DB) {
	var last store.Load
	for i := range 5 {
		l := bare(t, db, rules.Recorded, fmt.Sprint("load", i), "2022-01-01")
		require.Equal(t, int64(i+1), l.Position)
		require.True(t, l.KnownFrom.After(last.KnownFrom))
		last = l
	}
	position, known := knownAt(t, db, last.KnownFrom.Add(time.Hour))
	require.Equal(t, int64(5), position)
	require.Equal(t, last.KnownFrom, known, "nothing is known of what comes after")
	position, known = knownAt(t, db, last.KnownFrom)
	require.Equal(t, int64(5), position)
	require.Equal(t, last.KnownFrom, known)
	before := last.KnownFrom.Add(-time.Microsecond)
	position, known = knownAt(t, db, before)
	require.Equal(t, int64(4), position)
	require.Equal(t, before, known)
	position, _ = knownAt(t, db, last.KnownFrom.Add(-time.Hour))
	require.Zero(t, position)
}

// loadBecomesKnownLast holds that a load is known from the moment after its facts were written, whenever the transaction began.
func loadBecomesKnownLast(t *testing.T, db *sqldb.DB) {
	bare(t, db, rules.Recorded, "first", "2022-01-01")
	seen, stated := knownAt(t, db, db.Now().Add(time.Hour))
	l := store.Load{Load: rules.Load{ID: "second", Kind: rules.Recorded}, SHA256: "second"}
	var written time.Time
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		return store.AddLoad(t.Context(), tx, &l, func() time.Time { return db.Now().Add(time.Minute) }, func() error {
			l.Warnings = append(l.Warnings, "of the facts")
			written = db.Now()
			return nil
		})
	}))
	require.False(t, l.KnownFrom.Before(written.Add(time.Minute)))
	again, _ := knownAt(t, db, stated)
	require.Equal(t, seen, again)
	held := read(t, db, func(ctx context.Context, q sqldb.Querier) (store.Load, error) {
		return store.LoadByID(ctx, q, "second")
	})
	require.Equal(t, []string{"of the facts"}, held.Warnings)
}

func knownAt(t testing.TB, db *sqldb.DB, at time.Time) (position int64, known time.Time) {
	t.Helper()
	require.NoError(t, db.Read(t.Context(), func(q sqldb.Querier) (err error) {
		position, known, err = store.KnownAt(t.Context(), q, at)
		return err
	}))
	return position, known
}

func loadsArePaged(t *testing.T, db *sqldb.DB) {
	for i := range 5 {
		kind := rules.Recorded
		if i%2 == 1 {
			kind = rules.NominatedPayees
		}
		bare(t, db, kind, fmt.Sprint("load", i), "2022-01-01")
	}
	ids := func(kind rules.Kind, before int64, limit int) []string {
		var out []string
		for _, l := range read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.Load, error) {
			return store.Loads(ctx, q, store.LoadFilter{Kind: kind, Before: before, Limit: limit})
		}) {
			out = append(out, l.ID)
		}
		return out
	}
	require.Equal(t, []string{"load4", "load3"}, ids("", 0, 2))
	require.Equal(t, []string{"load2", "load1"}, ids("", 4, 2))
	require.Equal(t, []string{"load3", "load1"}, ids(rules.NominatedPayees, 0, 10))
}

func loadsAreTold(t *testing.T, db *sqldb.DB) {
	first := file(t, db, "gp-reg-pat-prac-all_2022-01-01.csv")
	newest := func(kind rules.Kind, day string) (l store.Load, err error) {
		err = db.Read(t.Context(), func(q sqldb.Querier) error {
			l, err = store.NewestOf(t.Context(), q, kind, on(t, day))
			return err
		})
		return l, err
	}
	held, err := newest(rules.RegisteredLists, "2022-01-01")
	require.NoError(t, err)
	require.Equal(t, first, held, "a load comes back as it was written")
	_, err = newest(rules.RegisteredLists, "2021-01-01")
	require.ErrorIs(t, err, sql.ErrNoRows)
	_, err = newest(rules.PracticeMapping, "2022-01-01")
	require.ErrorIs(t, err, sql.ErrNoRows)
	versions := func() int64 {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) (int64, error) {
			return store.Versions(ctx, q, first)
		})
	}
	require.Equal(t, int64(1), versions())
	again := first
	again.ID = "another"
	again = facts(t, db, again, func(func(*files.Row, error) bool) {})
	require.Equal(t, int64(2), versions())
	held, err = newest(rules.RegisteredLists, "2022-01-01")
	require.NoError(t, err)
	require.Equal(t, again, held)
}

func loadsAreShown(t *testing.T, db *sqldb.DB) {
	for _, code := range []string{"", "02Q", "16C"} {
		l := store.Load{Load: rules.Load{ID: "for " + code, Kind: rules.Recorded}, Commissioner: code}
		facts(t, db, l, func(func(*files.Row, error) bool) {})
	}
	for _, c := range []struct {
		commissioners []string
		want          []string
	}{
		{nil, []string{"for 16C", "for 02Q", "for "}},
		{[]string{}, []string{"for "}},
		{[]string{"02Q", "QT1"}, []string{"for 02Q", "for "}},
	} {
		var got []string
		for _, l := range read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.Load, error) {
			return store.Loads(ctx, q, store.LoadFilter{Commissioners: c.commissioners, Limit: 10})
		}) {
			got = append(got, l.ID)
		}
		require.Equal(t, c.want, got)
	}
}

func refusedKeepsReport(t *testing.T, db *sqldb.DB) {
	add := func(to string) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.AddRefused(t.Context(), tx, "r", to, fiveBad) }))
	}
	add("ann")
	add("ben")
	require.Equal(t, "ann", read(t, db, func(ctx context.Context, q sqldb.Querier) (string, error) { return store.RefusedTo(ctx, q, "r") }))
	rows := read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.BadRow, error) {
		return store.RefusedRows(ctx, q, "r", 3, 10)
	})
	require.Len(t, rows, 2)
	require.Equal(t, int64(4), rows[0].Number)
	err := db.Read(t.Context(), func(q sqldb.Querier) error {
		_, err := store.RefusedTo(t.Context(), q, "s")
		return err
	})
	require.ErrorIs(t, err, sql.ErrNoRows)
}

func unknownIsNamed(t *testing.T, db *sqldb.DB) {
	file(t, db, "epcn_pcn_details_2022-05.csv")
	l := store.Load{Load: rules.Load{ID: "beds", Kind: rules.CareHomeBedCounts}}
	l = facts(t, db, l, func(yield func(*files.Row, error) bool) {
		for _, code := range []string{"U00002", "U01315", "U00001"} {
			if !yield(&files.Row{Beds: &rules.Beds{PCN: code, Month: period.NewMonth(2022, time.April)}}, nil) {
				return
			}
		}
	})
	unknown := func(limit int) []string {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) ([]string, error) { return store.Unknown(ctx, q, l, limit) })
	}
	require.Equal(t, []string{"U00001", "U00002"}, unknown(100))
	require.Len(t, unknown(1), 1)
}

func factsComeBack(t *testing.T, db *sqldb.DB) {
	mapping := file(t, db, "gp-reg-pat-prac-map_2022-01-01.csv")
	file(t, db, "gp-reg-pat-prac-all_2022-01-01.csv")
	file(t, db, "weighted_lists.csv")
	edition := file(t, db, "epcn_core_partner_details_2022-05.csv")
	details := file(t, db, "epcn_pcn_details_2022-05.csv")
	adjusted := file(t, db, "practice_adjusted_population_2025-01-01.csv")
	recorded := store.Load{Load: rules.Load{ID: "r1", Kind: rules.Recorded, ExtractDate: on(t, "2022-04-01")}, SHA256: "r1"}
	recorded = facts(t, db, recorded, one(&files.Row{
		Beds:          &rules.Beds{PCN: "U89141", Month: period.NewMonth(2022, time.April), Beds: 12, CodingSatisfied: true},
		Payee:         &rules.Payee{Organisation: "U89141", Code: "A81001", Name: "The Densham Surgery", From: on(t, "2022-04-01")},
		Participation: &rules.Participation{Practice: "A81001", Notice: on(t, "2022-04-02"), From: on(t, "2022-05-01")},
	}))
	member := rules.RecordedMembership{Practice: "A81001", PCN: "U89141", Starts: on(t, "2022-04-01")}
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error {
		l := store.Load{Load: rules.Load{ID: "r2", Kind: rules.Recorded, ExtractDate: on(t, "2022-04-01")}, SHA256: "r2"}
		return store.AddLoad(t.Context(), tx, &l, db.Now, func() error {
			member.Load = l.Position
			return store.AddMembership(t.Context(), tx, l, member)
		})
	}))
	plan := rules.Plan{
		Edition: edition.Position, Published: mapping.Position, LocatedBefore: mapping.Position, DetailsAfter: details.Position, DetailsNewest: details.Position,
	}
	f := readFacts(t, db, plan, 100, "2022-01-01")
	require.Len(t, f.Mappings, 1)
	require.Len(t, f.Mappings[mapping.Position].Rows, 45)
	require.Contains(t, f.Mappings[mapping.Position].Rows, rules.MappingRow{
		Practice: "A84035", PracticeName: "RIVERSDALE SURGERY", Location: "00L", System: "QHM", RegionCode: "Y63",
	})
	require.Len(t, f.Editions[edition.Position].Rows, 53)
	require.Contains(t, f.Details[details.Position].Rows, rules.Detail{
		PCN: "U01315", Name: detailName(f, details.Position, "U01315"), Location: "91Q", LocationName: "NHS KENT AND MEDWAY CCG",
		Opened: on(t, "2019-10-01"), Closed: on(t, "2022-03-31"),
	})
	require.Equal(t, []rules.Beds{{Load: recorded.Position, PCN: "U89141", Month: period.NewMonth(2022, time.April), Beds: 12, CodingSatisfied: true}}, f.Beds)
	require.Equal(t, []rules.Payee{{Load: recorded.Position, Organisation: "U89141", Code: "A81001", Name: "The Densham Surgery", From: on(t, "2022-04-01")}}, f.Payees)
	require.Equal(t, []rules.Participation{{Load: recorded.Position, Practice: "A81001", Notice: on(t, "2022-04-02"), From: on(t, "2022-05-01")}}, f.Participations)
	require.Equal(t, []rules.RecordedMembership{member}, f.Recorded)
	kinds := make(map[rules.PopulationKind]int)
	for _, p := range f.Populations {
		require.Equal(t, on(t, "2022-01-01"), p.Reference)
		kinds[p.Kind]++
	}
	require.Equal(t, map[rules.PopulationKind]int{rules.Registered: 45, rules.Weighted: 45}, kinds)
	later := readFacts(t, db, plan, 100, "2025-01-01")
	require.Len(t, later.Populations, 86)
	require.Equal(t, adjusted.Position, later.Populations[0].Load)
	require.Equal(t, period.NewMonth(2025, time.June), later.Populations[0].AppliedFrom)
}

func detailName(f rules.Facts, position int64, pcn string) string {
	for _, d := range f.Details[position].Rows {
		if d.PCN == pcn {
			return d.Name
		}
	}
	return ""
}

func readFacts(t testing.TB, db *sqldb.DB, plan rules.Plan, position int64, reference string) rules.Facts {
	t.Helper()
	return read(t, db, func(ctx context.Context, q sqldb.Querier) (rules.Facts, error) {
		loads, err := store.LoadsUpTo(ctx, q, position)
		if err != nil {
			return rules.Facts{}, err
		}
		return store.ReadFacts(ctx, q, loads, plan, on(t, reference))
	})
}

func factsUpToALoad(t *testing.T, db *sqldb.DB) {
	list := file(t, db, "gp-reg-pat-prac-all_2022-01-01.csv")
	facts(t, db, store.Load{Load: rules.Load{ID: "r", Kind: rules.Recorded, ExtractDate: on(t, "2022-01-01")}, SHA256: "r"}, one(&files.Row{
		Populations: []rules.Population{{Organisation: "A84035", Kind: rules.Registered, Reference: on(t, "2022-01-01"), Value: "7"}},
	}))
	require.Len(t, readFacts(t, db, rules.Plan{}, list.Position, "2022-01-01").Populations, 45)
	after := readFacts(t, db, rules.Plan{}, list.Position+1, "2022-01-01").Populations
	require.Len(t, after, 46)
	require.Equal(t, "7", after[45].Value, "in the order in which they became known")
}

func fiveBad(yield func(files.Bad, error) bool) {
	for i := range 5 {
		if !yield(files.Bad{Line: int64(10 - i), Column: "CODE", Value: "x", Reason: "CODE_MALFORMED", Detail: "words"}, nil) {
			return
		}
	}
}

func quarantineIsListed(t *testing.T, db *sqldb.DB) {
	l := bare(t, db, rules.RegisteredLists, "bad", "2022-01-01")
	require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) error { return store.AddQuarantine(t.Context(), tx, l.Position, fiveBad) }))
	rows := read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.BadRow, error) {
		return store.QuarantinedRows(ctx, q, l.Position, 2, 2)
	})
	require.Len(t, rows, 2)
	require.Equal(t, int64(3), rows[0].Number)
	require.Equal(t, files.Bad{Line: 8, Column: "CODE", Value: "x", Reason: "CODE_MALFORMED", Detail: "words"}, rows[0].Bad)
}

func nothingChanges(t *testing.T, db *sqldb.DB) {
	db = testkit.Owner(t, db)
	l := file(t, db, "gp-reg-pat-prac-map_2022-01-01.csv")
	require.Equal(t, int64(45), l.RowsStored)
	for _, table := range []string{"loads", "published_mappings", "places", "sightings"} {
		for _, statement := range []string{"DELETE FROM " + table, "UPDATE " + table + " SET " + anyColumn(table)} {
			err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			})
			require.ErrorContains(t, err, table+" is append-only", statement)
		}
	}
}

func anyColumn(table string) string {
	if table == "loads" {
		return "source = 'another'"
	}
	return "load_position = 1"
}

func snapshotsAreStoredOnce(t *testing.T, db *sqldb.DB) {
	s := store.Snapshot{
		ID: "abc", Commissioner: "02Q", MembershipDate: "2022-04-01", Reference: "2022-01-01", KnownAt: time.Date(2022, 5, 1, 0, 0, 0, 1000, time.UTC),
		Content: []byte{0, 1, 2, 255},
	}
	add := func() (isNew bool) {
		require.NoError(t, db.Write(t.Context(), func(tx *sqldb.Tx) (err error) {
			isNew, err = store.AddSnapshot(t.Context(), tx, s)
			return err
		}))
		return isNew
	}
	require.True(t, add())
	require.False(t, add())
	require.Equal(t, s, read(t, db, func(ctx context.Context, q sqldb.Querier) (store.Snapshot, error) {
		return store.SnapshotByID(ctx, q, "abc")
	}))
	require.True(t, read(t, db, func(ctx context.Context, q sqldb.Querier) (bool, error) { return store.HasSnapshot(ctx, q, "abc") }))
	require.False(t, read(t, db, func(ctx context.Context, q sqldb.Querier) (bool, error) { return store.HasSnapshot(ctx, q, "abd") }))
}

func organisationsCarryNames(t *testing.T, db *sqldb.DB) {
	file(t, db, "gp-reg-pat-prac-all_2022-01-01.csv")
	first := file(t, db, "gp-reg-pat-prac-map_2022-01-01.csv")
	file(t, db, "gp-reg-pat-prac-map_2020-09-01.csv")
	file(t, db, "epcn_pcn_details_2022-05.csv")
	last := file(t, db, "gp-reg-pat-prac-map_2026-07-01.csv")
	find := func(position int64, code string) []store.Organisation {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.Organisation, error) {
			return store.OrganisationsByCode(ctx, q, position, code)
		})
	}
	require.Equal(t, "NHS Tees Valley CCG", find(first.Position, "16C")[0].Name)
	require.Equal(t, "NHS North East and North Cumbria ICB - 16C", find(last.Position, "16C")[0].Name)
	require.Equal(t, store.KindSystem, find(last.Position, "QHM")[0].Kind)
	closed := find(last.Position, "U01315")[0]
	require.Equal(t, store.KindPCN, closed.Kind)
	require.Equal(t, on(t, "2022-03-31"), closed.Closed)
	require.Empty(t, find(last.Position, "ZZZ"))
	page := func(after string, limit int) []store.Organisation {
		return read(t, db, func(ctx context.Context, q sqldb.Querier) ([]store.Organisation, error) {
			return store.Organisations(ctx, q, last.Position, store.KindPractice, after, limit)
		})
	}
	all := page("", 1000)
	require.Len(t, all, 45)
	require.Equal(t, all[2:4], page(all[1].Code, 2))
}
