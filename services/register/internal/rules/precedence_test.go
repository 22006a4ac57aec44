package rules

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// recorded states a membership by a call.
func (w *world) recorded(m RecordedMembership) *world {
	m.Load = w.load(Recorded, m.Starts.String(), false).Position
	w.facts.Recorded = append(w.facts.Recorded, m)
	return w
}

func TestPicture_LaterStartWinsBetweenRecordedAndDatedMemberships(t *testing.T) {
	t.Parallel()
	world := func(first, last, next string) *National {
		return newWorld(t).
			mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}).
			recorded(RecordedMembership{Practice: "P1", PCN: "U2", Starts: on(t, "2022-02-01")}).
			edition("2023-05-01", [6]string{"P1", "L01", "U1", "L01", first, last}, [6]string{"P1", "L01", "U3", "L01", next, ""}).
			picture("2023-06-01")
	}
	later := world("2019-10-01", "2023-03-31", "2023-04-01")
	require.Equal(t, "U3", pcnOf(later, "P1"))
	require.Len(t, found(later, SourcesDisagree), 1)
	require.Contains(t, found(later, SourcesDisagree)[0].Detail, "U2")
	earlier := world("2019-10-01", "2020-03-31", "2020-04-01")
	require.Equal(t, "U2", pcnOf(earlier, "P1"))
	require.Len(t, found(earlier, SourcesDisagree), 1, "the edition came after the recorded start and shows another")
	same := world("2019-10-01", "2022-01-31", "2022-02-01")
	require.Equal(t, "U2", pcnOf(same, "P1"), "of one start the recorded one")
}

func TestPicture_RecordedMembershipThatEndedHidesNoOpenOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t).
		mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}).
		recorded(RecordedMembership{Practice: "P1", PCN: "U2", Starts: on(t, "2022-02-01")}).
		recorded(RecordedMembership{Practice: "P1", PCN: "U3", Starts: on(t, "2022-03-01"), Ends: on(t, "2022-04-30")})
	require.Equal(t, "U3", pcnOf(w.picture("2022-04-30"), "P1"))
	require.Equal(t, "U2", pcnOf(w.picture("2022-05-01"), "P1"))
}

func TestPicture_NewestDetailsNameAPCN(t *testing.T) {
	t.Parallel()
	for range 50 {
		w := newWorld(t).
			mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}).
			details("2022-02-01", [4]string{"U2", "L01", "2020-01-01", ""}).
			details("2022-05-01", [4]string{"U2", "L01", "2020-01-01", ""}).
			recorded(RecordedMembership{Practice: "P1", PCN: "U2", Starts: on(t, "2022-03-01")})
		w.facts.Details[3].Rows[0].Name, w.facts.Details[4].Rows[0].Name = "Old name", "New name"
		require.Equal(t, "New name", w.picture("2022-04-01").PCNs[0].Name)
	}
}

func TestPicture_NewerMappingThatContradictsTheEditionIsReported(t *testing.T) {
	t.Parallel()
	n := newWorld(t).
		edition("2022-02-01", [6]string{"P1", "L01", "U1", "L01", "2019-10-01", ""}, [6]string{"P2", "L01", "U1", "L01", "2019-10-01", ""}).
		mapping("2022-03-01", [4]string{"P1", "U2", "L01", "Q01"}, [4]string{"P2", "U1", "L01", "Q01"}, [4]string{"P3", "U1", "L01", "Q01"}).
		picture("2022-04-01")
	require.Equal(t, "U2", pcnOf(n, "P1"))
	disputed := found(n, SourcesDisagree)
	require.Len(t, disputed, 1)
	require.Equal(t, "P1", disputed[0].Practice)
	require.Contains(t, disputed[0].Detail, "the mapping was taken")
}

func TestPicture_RecordedPopulationOutranksALaterFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t).mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}).lists([2]string{"P1", "100"})
	r := w.load(Recorded, "2022-01-01", false)
	w.facts.Populations = append(w.facts.Populations, Population{
		Load: r.Position, Organisation: "P1", Kind: Registered, Reference: on(t, "2022-01-01"), Value: "200",
	})
	require.Empty(t, found(w.picture("2022-04-01"), SourcesDisagree), "the file it corrects was known")
	n := w.lists([2]string{"P1", "100"}).picture("2022-04-01")
	require.Equal(t, "200", n.PCNs[0].Practices[0].Populations[0].Value)
	disputed := found(n, SourcesDisagree)
	require.Len(t, disputed, 1)
	require.Equal(t, "P1", disputed[0].Practice)
	require.Equal(t, "U1", disputed[0].PCN)
	require.Empty(t, found(w.lists([2]string{"P1", "200"}).picture("2022-04-01"), SourcesDisagree), "the last file agrees")
}

func TestCommissions_KnowsTheLocationOfTheDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t).mapping("2022-01-01", [4]string{"P1", "U1", "L01", "Q01"}, [4]string{"P2", "U2", "L01", "Q01"}, [4]string{"P3", "", "L01", "Q01"})
	n := w.adjusted("2025-01-01", [3]string{"P1", "U1", "Q01"}, [3]string{"P2", "U2", "Q02"}).picture("2025-04-01")
	require.True(t, n.Commissions("L01", "U1"), "the location of the newest mapping that knows locations")
	require.True(t, n.Commissions("L01", "P1"))
	require.True(t, n.Commissions("Q01", "U1"))
	require.False(t, n.Commissions("L01", "U2"), "which lies in another ICB now")
	require.False(t, n.Commissions("L01", "P2"))
	require.False(t, n.Commissions("", "U2"))
	require.True(t, NoPCN("u"))
}
