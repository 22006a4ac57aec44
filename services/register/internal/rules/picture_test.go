package rules

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// world builds facts from few words: two CCGs, L01 and L02, of systems Q01 and Q02, to which ICBs of the same codes succeeded,
// except that L02's is Q03.
type world struct {
	t     *testing.T
	facts Facts
	loads []Load
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, facts: Facts{
		Loads: make(map[int64]Load), Mappings: make(map[int64]Mapping), Editions: make(map[int64]Edition), Details: make(map[int64]DetailsEdition),
	}}
	table := w.load(Commissioners, "2022-07-01", false)
	ccg, icb := period.NewDate(2013, time.April, 1), period.NewDate(2022, time.July, 1)
	for _, c := range []Commissioner{
		{Code: "L01", Name: "One CCG", Kind: LocationBody, System: "Q01", Region: "Y01", Opened: ccg},
		{Code: "L02", Name: "Two CCG", Kind: LocationBody, System: "Q03", Region: "Y01", Opened: ccg},
		{Code: "L00", Name: "Old CCG", Kind: LocationBody, System: "Q01", Region: "Y01", Opened: ccg, Closed: on(t, "2021-03-31")},
		{Code: "Q01", Name: "First STP", Kind: SystemBody, Region: "Y01", Closed: lastDayOfCCGs},
		{Code: "Q01", Name: "First ICB", Kind: SystemBody, Region: "Y01", Opened: icb},
		{Code: "Q02", Name: "Second STP", Kind: SystemBody, Region: "Y01", Closed: lastDayOfCCGs},
		{Code: "Q02", Name: "Second ICB", Kind: SystemBody, Region: "Y01", Opened: icb},
		{Code: "Q03", Name: "Third STP", Kind: SystemBody, Region: "Y01", Closed: lastDayOfCCGs},
		{Code: "Q03", Name: "Third ICB", Kind: SystemBody, Region: "Y01", Opened: icb},
		{Code: "Y01", Name: "Region", Kind: RegionBody},
	} {
		c.Load = table.Position
		w.facts.Commissioners = append(w.facts.Commissioners, c)
	}
	return w
}

func (w *world) load(kind Kind, date string, maps bool) Load {
	l := Load{Position: int64(len(w.loads) + 1), Kind: kind, ExtractDate: on(w.t, date), Maps: maps, Locates: maps && kind == PracticeMapping}
	l.ID = string(kind) + "/" + date
	w.loads = append(w.loads, l)
	w.facts.Loads[l.Position] = l
	return l
}

// mapping loads a published mapping; each row is practice, PCN, location, system.
func (w *world) mapping(date string, rows ...[4]string) *world {
	l := w.load(PracticeMapping, date, true)
	m := Mapping{Load: l}
	for _, r := range rows {
		m.Rows = append(m.Rows, MappingRow{
			Practice: r[0], PracticeName: "Practice " + r[0], PCN: r[1], PCNName: "PCN " + r[1], Location: r[2], System: r[3], RegionCode: "Y01",
		})
		place := Place{
			Load: l.Position, Date: l.ExtractDate, Location: r[2], LocationName: r[2] + " as published", System: r[3],
			SystemName: r[3] + " as published", Region: "Y01", RegionName: "Region",
		}
		if !slices.Contains(w.facts.Places, place) {
			w.facts.Places = append(w.facts.Places, place)
		}
	}
	w.facts.Mappings[l.Position] = m
	return w
}

// adjusted loads a mapping that knows only ICBs; each row is practice, PCN, ICB.
func (w *world) adjusted(date string, rows ...[3]string) *world {
	l := w.load(AdjustedPopulations, date, true)
	m := Mapping{Load: l}
	for _, r := range rows {
		m.Rows = append(m.Rows, MappingRow{Practice: r[0], PCN: r[1], System: r[2], RegionCode: "Y01"})
		w.facts.Places = append(w.facts.Places, Place{Load: l.Position, Date: l.ExtractDate, System: r[2], SystemName: r[2] + " as published", Region: "Y01"})
	}
	w.facts.Mappings[l.Position] = m
	return w
}

// edition loads dated relationships; each row is practice, its location, PCN, its location, first and last day.
func (w *world) edition(date string, rows ...[6]string) *world {
	l := w.load(PCNPartners, date, false)
	e := Edition{Load: l}
	for _, r := range rows {
		e.Rows = append(e.Rows, Relationship{
			Practice: r[0], PracticeLocation: r[1], PCN: r[2], PCNName: "PCN " + r[2], PCNLocation: r[3], Starts: on(w.t, r[4]), Ends: on(w.t, r[5]),
		})
	}
	w.facts.Editions[l.Position] = e
	return w
}

// details loads an edition of PCN details; each row is PCN, location, opened, closed.
func (w *world) details(date string, rows ...[4]string) *world {
	l := w.load(PCNDetails, date, false)
	e := DetailsEdition{Load: l}
	for _, r := range rows {
		e.Rows = append(e.Rows, Detail{PCN: r[0], Name: "PCN " + r[0], Location: r[1], Opened: on(w.t, r[2]), Closed: on(w.t, r[3])})
	}
	w.facts.Details[l.Position] = e
	return w
}

// lists loads registered lists of 1 January 2022; each row is practice, patients.
func (w *world) lists(rows ...[2]string) *world {
	l := w.load(RegisteredLists, "2022-01-01", false)
	for _, r := range rows {
		w.facts.Populations = append(w.facts.Populations, Population{
			Load: l.Position, Organisation: r[0], Kind: Registered, Reference: on(w.t, "2022-01-01"), Value: r[1],
		})
	}
	return w
}

func (w *world) picture(text string) *National {
	w.t.Helper()
	date := on(w.t, text)
	plan, err := Choose(w.loads, date)
	require.NoError(w.t, err)
	return Picture(w.facts, plan, date, on(w.t, "2022-01-01"))
}

func pcnOf(n *National, practice string) string {
	for _, p := range n.PCNs {
		for _, q := range p.Practices {
			if q.Code == practice {
				return p.Code
			}
		}
	}
	return ""
}

func found(n *National, kind FindingKind) []Finding {
	var out []Finding
	for _, f := range n.Findings {
		if f.Kind == kind {
			out = append(out, f)
		}
	}
	return out
}

func TestPicture_PublishedMappingIsTheWholePicture(t *testing.T) {
	t.Parallel()
	n := newWorld(t).
		mapping("2021-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}).
		mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P3", "", "L02", "Q02"}).
		lists([2]string{"P1", "100"}, [2]string{"P3", "30"}, [2]string{"P9", "5"}).
		picture("2022-04-01")
	require.Equal(t, "U1", pcnOf(n, "P1"))
	require.Empty(t, pcnOf(n, "P2"), "a practice absent from the mapping is out")
	require.Len(t, n.PCNs, 1)
	require.Equal(t, "L01", n.PCNs[0].Payer)
	require.Equal(t, "L01 as published", n.PCNs[0].PayerName)
	require.Equal(t, "Q01", n.PCNs[0].System)
	outside := found(n, PracticeWithoutPCN)
	require.Len(t, outside, 1)
	require.Equal(t, Finding{
		Kind: PracticeWithoutPCN, Practice: "P3", Detail: "practice P3 is in no PCN on 2022-04-01", RegisteredPatients: 30, Location: "L02", Payer: "L02",
	}, outside[0])
	unmapped := found(n, ListWithoutPractice)
	require.Len(t, unmapped, 1)
	require.Equal(t, int64(5), unmapped[0].RegisteredPatients)
	s, err := n.Cut("")
	require.NoError(t, err)
	c := n.CoverageOf(s)
	require.Equal(t, Coverage{
		Practices: 3, PracticesInPCN: 1, PCNs: 1, Patients: 135, PatientsInPCN: 100, BasisPoints: 7407, Findings: n.Findings,
	}, c)
}

func TestPicture_DatedRelationshipsOutrankThePublishedMapping(t *testing.T) {
	t.Parallel()
	n := newWorld(t).
		mapping("2022-01-01",
			[4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}, [4]string{"P3", "U1", "L01", "Q01"}, [4]string{"P4", "U1", "L01", "Q01"}).
		edition("2022-05-01",
			[6]string{"P1", "L01", "U1", "L01", "2019-10-01", "2022-03-31"}, [6]string{"P1", "L01", "U2", "L01", "2022-04-01", ""},
			[6]string{"P2", "L01", "U2", "L01", "2021-04-01", ""},
			[6]string{"P4", "L01", "U1", "L01", "2019-10-01", ""}, [6]string{"P5", "L01", "U1", "L01", "2022-04-01", "2022-04-01"}).
		picture("2022-04-01")
	require.Equal(t, "U2", pcnOf(n, "P1"), "it moved after the mapping's day, which is no disagreement")
	require.Equal(t, "U2", pcnOf(n, "P2"))
	require.Empty(t, pcnOf(n, "P3"))
	require.Equal(t, "U1", pcnOf(n, "P5"), "end dates are inclusive")
	var disputed []string
	for _, f := range found(n, SourcesDisagree) {
		disputed = append(disputed, f.Practice)
	}
	slices.Sort(disputed)
	require.Equal(t, []string{"P2", "P3"}, disputed)
}

func TestPicture_LaterStartWinsBetweenTwoPCNs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rows [][6]string
		pcn  string
		two  bool
	}{
		{"the later start", [][6]string{{"P1", "L01", "U1", "L01", "2019-10-01", "2022-07-01"}, {"P1", "L01", "U2", "L01", "2022-07-01", ""}}, "U2", true},
		{"of one start the longer", [][6]string{{"P1", "L01", "U2", "L01", "2022-07-01", ""}, {"P1", "L01", "U1", "L01", "2022-07-01", "2022-07-01"}}, "U2", true},
		{"the same PCN twice is one", [][6]string{{"P1", "L01", "U1", "L01", "2019-10-01", ""}, {"P1", "L01", "U1", "L01", "2022-07-01", ""}}, "U1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newWorld(t).edition("2022-07-01", c.rows...).picture("2022-07-01")
			require.Equal(t, c.pcn, pcnOf(n, "P1"))
			require.Equal(t, c.two, len(found(n, PracticeInTwoPCNs)) == 1)
		})
	}
}

func TestPicture_RecordedMembershipOutranksAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}).
		edition("2022-05-01", [6]string{"P1", "L01", "U1", "L01", "2019-10-01", ""}, [6]string{"P2", "L01", "U1", "L01", "2019-10-01", ""})
	for _, r := range []RecordedMembership{
		{Practice: "P1", PCN: "U2", Starts: on(t, "2022-04-01"), Ends: on(t, "2022-06-30")},
		{Practice: "P2", PCN: "U2", Starts: on(t, "2022-04-01")},
		{Practice: "P2", PCN: "", Starts: on(t, "2022-06-01")},
	} {
		r.Load = w.load(Recorded, r.Starts.String(), false).Position
		w.facts.Recorded = append(w.facts.Recorded, r)
	}
	require.Equal(t, "U1", pcnOf(w.picture("2022-03-31"), "P1"))
	require.Equal(t, "U2", pcnOf(w.picture("2022-04-01"), "P1"))
	require.Equal(t, "U2", pcnOf(w.picture("2022-06-30"), "P1"))
	require.Equal(t, "U1", pcnOf(w.picture("2022-07-01"), "P1"))
	require.Equal(t, "U2", pcnOf(w.picture("2022-05-31"), "P2"))
	require.Empty(t, pcnOf(w.picture("2022-06-01"), "P2"), "an empty PCN means in none")
}

func TestPicture_SettlesTheLead(t *testing.T) {
	t.Parallel()
	one := [4]string{"P1", "U1", "L01", "Q01"}
	two := [4]string{"P2", "U1", "L02", "Q02"}
	old := [4]string{"P1", "U1", "L00", "Q01"}
	for _, c := range []struct {
		name                    string
		world                   func(*world)
		day                     string
		location, payer, system string
		finding                 FindingKind
	}{
		{"details up to the day", func(w *world) {
			w.mapping("2022-01-01", one, two).details("2022-02-01", [4]string{"U1", "L02", "2019-10-01", ""}).details("2022-05-01", [4]string{"U1", "L01", "2019-10-01", ""})
		}, "2022-04-01", "L02", "L02", "Q02", PCNUnderTwoCommissioners},
		{"details after the day are carried back", func(w *world) {
			w.mapping("2022-01-01", one, two).details("2022-05-01", [4]string{"U1", "L02", "2019-10-01", ""})
		}, "2022-04-01", "L02", "L02", "Q02", LeadCarriedBack},
		{"the parent in dated relationships", func(w *world) {
			w.mapping("2022-01-01", one, two).edition("2022-02-01",
				[6]string{"P1", "L01", "U1", "L02", "2019-10-01", ""}, [6]string{"P2", "L02", "U1", "L02", "2019-10-01", ""})
		}, "2022-04-01", "L02", "L02", "Q02", PCNUnderTwoCommissioners},
		{"the location all practices share", func(w *world) { w.mapping("2022-01-01", one) }, "2022-04-01", "L01", "L01", "Q01", ""},
		{"practices that differ settle nothing", func(w *world) { w.mapping("2022-01-01", one, two) }, "2022-04-01", "", "", "", LeadCommissionerUnknown},
		{"the ICB of the location after June 2022", func(w *world) { w.mapping("2022-01-01", one) }, "2022-07-01", "L01", "Q01", "Q01", ""},
		{"an ICB other than the STP", func(w *world) { w.mapping("2022-01-01", two) }, "2022-07-01", "L02", "Q03", "Q03", ""},
		{"the last day of the CCGs", func(w *world) { w.mapping("2022-01-01", two) }, "2022-06-30", "L02", "L02", "Q02", ""},
		{"a mapping that knows only the ICB", func(w *world) {
			w.adjusted("2025-01-01", [3]string{"P1", "U1", "Q01"}, [3]string{"P2", "U1", "Q01"})
		}, "2025-04-01", "", "Q01", "Q01", ""},
		{"with a location seen elsewhere in that ICB", func(w *world) {
			w.mapping("2022-01-01", one).adjusted("2025-01-01", [3]string{"P1", "U1", "Q01"})
		}, "2025-04-01", "L01", "Q01", "Q01", ""},
		{"but not one seen in another", func(w *world) {
			w.mapping("2022-01-01", one).adjusted("2025-01-01", [3]string{"P1", "U1", "Q02"})
		}, "2025-04-01", "", "Q02", "Q02", ""},
		{"a CCG that had closed is passed over", func(w *world) {
			w.mapping("2020-09-01", old).mapping("2022-01-01", one)
		}, "2021-04-01", "L01", "L01", "Q01", ""},
		{"a dissolved location gives way to a later publication", func(w *world) {
			w.mapping("2026-01-01", one).details("2024-10-01", [4]string{"U1", "L01", "2019-10-01", ""}).mapping("2026-07-01", [4]string{"P1", "U1", "L09", "Q09"})
		}, "2026-07-01", "L09", "Q09", "Q09", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.world(w)
			n := w.picture(c.day)
			require.Len(t, n.PCNs, 1)
			p := n.PCNs[0]
			require.Equal(t, [3]string{c.location, c.payer, c.system}, [3]string{p.Location, p.Payer, p.System})
			if c.finding != "" {
				require.Len(t, found(n, c.finding), 1, "%v", n.Findings)
			}
		})
	}
}

func TestPicture_ReportsPCNsOutsideTheirLifetime(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U2", "L01", "Q01"}, [4]string{"P3", "U3", "L01", "Q01"}).
		details("2022-05-01", [4]string{"U1", "L01", "2019-10-01", "2022-03-31"}, [4]string{"U2", "L01", "2022-05-01", ""}, [4]string{"U3", "L01", "2019-10-01", "2022-04-01"}).
		lists([2]string{"P1", "1000"}, [2]string{"P2", "2000"}, [2]string{"P3", "3000"})
	closed := found(w.picture("2022-04-01"), PCNClosed)
	require.Len(t, closed, 2)
	require.Equal(t, "U1", closed[0].PCN)
	require.Equal(t, int64(1000), closed[0].RegisteredPatients)
	require.Equal(t, "U2", closed[1].PCN)
	n := w.picture("2022-03-31")
	require.Len(t, found(n, PCNClosed), 1, "the last day is inclusive")
	require.Len(t, n.PCNs, 3, "a closed PCN stays in the picture for the payer to refuse")
}

func TestPicture_TakesFiguresInForceOnTheDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}).lists([2]string{"P1", "100"}, [2]string{"P1", "101"})
	w.facts.Beds = []Beds{{PCN: "U1", Month: period.NewMonth(2022, time.April), Beds: 10}, {PCN: "U1", Month: period.NewMonth(2022, time.May), Beds: 20}}
	w.facts.Payees = []Payee{
		{Organisation: "U1", Code: "X1", From: on(t, "2022-04-01")},
		{Organisation: "U1", Code: "X3", From: on(t, "2022-05-02")},
		{Organisation: "U1", Code: "X2", From: on(t, "2022-04-01")},
	}
	w.facts.Participations = []Participation{
		{Practice: "P1", From: on(t, "2022-04-30")}, {Practice: "P1", Participating: true, From: on(t, "2022-06-01")},
	}
	april, may, june := w.picture("2022-04-01").PCNs[0], w.picture("2022-05-31").PCNs[0], w.picture("2022-06-30").PCNs[0]
	require.Equal(t, int64(10), april.Beds.Beds)
	require.Equal(t, int64(20), june.Beds.Beds, "a count holds until another is stated")
	require.Equal(t, "X2", april.Payee.Code, "of one first day the payee known later")
	require.Equal(t, "X3", may.Payee.Code)
	require.True(t, april.Practices[0].Participating)
	require.False(t, may.Practices[0].Participating)
	require.True(t, june.Practices[0].Participating)
	require.Equal(t, "101", april.Practices[0].Populations[0].Value, "the list known later wins")
	require.Nil(t, w.picture("2022-03-31").PCNs[0].Beds)
}

func TestPicture_ReportsMissingPopulationsOncePerKindOrPractice(t *testing.T) {
	t.Parallel()
	n := newWorld(t).
		mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}).
		lists([2]string{"P1", "100"}).
		picture("2022-04-01")
	lists := found(n, PracticeWithoutList)
	require.Len(t, lists, 1)
	require.Equal(t, "P2", lists[0].Practice)
	weights := found(n, PracticeWithoutWeight)
	require.Len(t, weights, 1)
	require.Empty(t, weights[0].Practice)
}

func TestPicture_LeavesOutPracticesThatClosedSinceAnOlderMapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2021-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}, [4]string{"P3", "", "L01", "Q01"}).
		edition("2022-05-01", [6]string{"P1", "L01", "U1", "L01", "2019-10-01", ""}, [6]string{"P2", "L01", "U1", "L01", "2019-10-01", "2021-09-30"})
	outside := func(n *National) []string {
		var out []string
		for _, p := range n.Outside {
			out = append(out, p.Code)
		}
		return out
	}
	require.Equal(t, []string{"P2", "P3"}, outside(w.picture("2022-04-01")), "without lists nothing tells that they closed")
	w.lists([2]string{"P1", "100"}, [2]string{"P3", "30"})
	require.Equal(t, []string{"P3"}, outside(w.picture("2022-04-01")))
}

func TestCut_HoldsWhatConcernsTheCommissioner(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2022-01-01",
			[4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U2", "L02", "Q02"}, [4]string{"P3", "U1", "L02", "Q02"}, [4]string{"P4", "", "L02", "Q02"}).
		details("2022-02-01", [4]string{"U1", "L01", "2019-10-01", ""}, [4]string{"U2", "L02", "2019-10-01", ""})
	codes := func(n *National, commissioner string) []string {
		t.Helper()
		s, err := n.Cut(commissioner)
		require.NoError(t, err)
		var out []string
		for _, p := range s.PCNs {
			out = append(out, p.Code)
		}
		return out
	}
	ccg, icb := w.picture("2022-04-01"), w.picture("2022-07-01")
	require.Equal(t, []string{"U1"}, codes(ccg, "L01"))
	require.Equal(t, []string{"U1", "U2"}, codes(ccg, "L02"), "a PCN of another with a practice of its own, whole")
	require.Equal(t, []string{"U1"}, codes(ccg, "Q01"), "an ICB gets the PCNs of the CCGs it followed")
	require.Equal(t, []string{"U1", "U2"}, codes(ccg, "Q03"), "the ICB that followed, not the STP before it")
	require.Empty(t, codes(ccg, "Q02"))
	require.Equal(t, []string{"U1", "U2"}, codes(icb, "Q03"))
	require.Equal(t, []string{"U1", "U2"}, codes(ccg, ""))
	followed, err := ccg.Cut("Q03")
	require.NoError(t, err)
	require.True(t, followed.Owes("U2"))
	require.False(t, followed.Owes("U1"), "only its practice P3 is the ICB's")
	require.True(t, followed.Owes("P3"))
	require.Equal(t, []string{"L02", "Q03"}, followed.Debtors)
	s, err := ccg.Cut("L01")
	require.NoError(t, err)
	require.Equal(t, "L01 as published", s.CommissionerName)
	for _, f := range s.Findings {
		require.NotEqual(t, "P4", f.Practice)
		require.NotEqual(t, "U2", f.PCN)
	}
	require.True(t, ccg.Commissions("L02", "P3"))
	require.False(t, ccg.Commissions("L02", "U1"))
	require.True(t, ccg.Commissions("L01", "U1"))
	require.True(t, ccg.Commissions("L02", "P4"))
	payers := icb.Payers()
	require.Equal(t, []Payer{{"Q01", "First ICB", "Q01", "Y01", 1}, {"Q03", "Third ICB", "Q03", "Y01", 1}}, payers)
}

func TestCut_RefusesBodiesThatOwedNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t).mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"})
	for _, c := range []struct{ name, day, code, reason string }{
		{"unknown", "2022-04-01", "ZZZ", ReasonOrganisationUnknown},
		{"a region", "2022-04-01", "Y01", ReasonOrganisationUnknown},
		{"a CCG on its last day", "2022-06-30", "L01", ""},
		{"a sub-ICB location", "2022-07-01", "L01", ReasonCommissionerNotInForce},
		{"a CCG closed before", "2022-01-01", "L00", ReasonCommissionerNotInForce},
		{"an ICB", "2022-07-01", "Q01", ""},
		{"an ICB for days before it", "2022-04-01", "Q01", ""},
		{"an ICB without PCNs here", "2022-07-01", "Q02", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.picture(c.day).Cut(c.code)
			require.Equal(t, c.reason, fault.ReasonOf(err))
		})
	}
}

func TestCut_LetsANewICBTakeOverDebts(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2026-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U2", "L02", "Q03"}).
		mapping("2026-07-01", [4]string{"P1", "U1", "L01", "S0E4D"}, [4]string{"P2", "U2", "L02", "Q03"})
	before, after := w.picture("2026-03-01"), w.picture("2026-07-01")
	s, err := before.Cut("S0E4D")
	require.NoError(t, err)
	require.Len(t, s.PCNs, 1)
	require.Equal(t, "Q01", s.PCNs[0].Payer, "the ICB of the day is named as the payer")
	require.Equal(t, []string{"Q01", "S0E4D"}, s.Debtors)
	require.Equal(t, "S0E4D", after.PCNs[0].Payer)
	_, err = after.Cut("Q01")
	require.Equal(t, ReasonCommissionerNotInForce, fault.ReasonOf(err))
}

func TestPicture_EqualFactsGiveEqualPictures(t *testing.T) {
	t.Parallel()
	build := func() Snapshot {
		n := newWorld(t).
			mapping("2022-01-01", [4]string{"P2", "U2", "L02", "Q02"}, [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P3", "", "L01", "Q01"}).
			lists([2]string{"P1", "1"}, [2]string{"P2", "2"}, [2]string{"P8", "8"}, [2]string{"P7", "7"}).
			picture("2022-04-01")
		s, err := n.Cut("")
		require.NoError(t, err)
		return s
	}
	first := build()
	for range 20 {
		require.Equal(t, first, build())
	}
}

func TestRuns_JoinsPublicationsThatAgree(t *testing.T) {
	t.Parallel()
	links := Runs([]Observed{
		{1, on(t, "2020-09-01"), "U1"},
		{2, on(t, "2022-01-01"), "U9"},
		{3, on(t, "2022-01-01"), "U1"},
		{4, on(t, "2023-01-01"), ""},
		{5, on(t, "2024-01-01"), "U1"},
	})
	require.Equal(t, []Link{
		{Other: "U1", From: on(t, "2020-09-01"), Load: 1, Observed: true}, {Other: "U1", From: on(t, "2024-01-01"), Load: 5, Observed: true},
	}, links)
}

func TestPayeeLinks_EndTheDayBeforeTheNext(t *testing.T) {
	t.Parallel()
	links := PayeeLinks([]Payee{
		{Load: 1, Code: "X1", From: on(t, "2022-04-01")},
		{Load: 2, Code: "X2", From: on(t, "2022-04-01")},
		{Load: 3, Code: "X3", From: on(t, "2022-10-01")},
	})
	require.Equal(t, []Link{
		{Other: "X2", From: on(t, "2022-04-01"), To: on(t, "2022-09-30"), Load: 2}, {Other: "X3", From: on(t, "2022-10-01"), Load: 3},
	}, links)
}
