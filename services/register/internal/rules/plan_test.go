package rules

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

func TestChoose_PicksTheSourcesOfADay(t *testing.T) {
	t.Parallel()
	mapping := func(position int64, date string) Load {
		return Load{Position: position, Kind: PracticeMapping, ExtractDate: on(t, date), Maps: true, Locates: true}
	}
	adjusted := func(position int64, date string) Load {
		return Load{Position: position, Kind: AdjustedPopulations, ExtractDate: on(t, date), Maps: true}
	}
	edition := func(position int64, date string) Load {
		return Load{Position: position, Kind: PCNPartners, ExtractDate: on(t, date)}
	}
	details := func(position int64, date string) Load {
		return Load{Position: position, Kind: PCNDetails, ExtractDate: on(t, date)}
	}
	for _, c := range []struct {
		name   string
		loads  []Load
		day    string
		plan   Plan
		reason string
	}{
		{name: "nothing", day: "2022-04-01", reason: ReasonMembershipNotLoaded},
		{
			name: "lists alone tell no members", loads: []Load{{Position: 1, Kind: RegisteredLists, ExtractDate: on(t, "2022-01-01")}},
			day: "2022-04-01", reason: ReasonMembershipNotLoaded,
		},
		{name: "mapping of a later day", loads: []Load{mapping(1, "2022-05-01")}, day: "2022-04-01", reason: ReasonMembershipNotLoaded},
		{
			name: "latest mapping up to the day", loads: []Load{mapping(1, "2020-09-01"), mapping(2, "2022-01-01"), mapping(3, "2025-10-01")},
			day: "2022-04-01", plan: Plan{Published: 2, LocatedBefore: 2, LocatedAfter: 3},
		},
		{
			name: "corrected mapping of one day", loads: []Load{mapping(1, "2022-01-01"), mapping(2, "2022-01-01")},
			day: "2022-01-01", plan: Plan{Published: 2, LocatedBefore: 2},
		},
		{
			name: "dated relationships outrank an earlier mapping", loads: []Load{mapping(1, "2022-01-01"), edition(2, "2022-05-01")},
			day: "2022-04-01", plan: Plan{Edition: 2, EditionSpeaks: true, Published: 1, LocatedBefore: 1},
		},
		{
			name: "and one of their own day", loads: []Load{mapping(1, "2022-05-01"), edition(2, "2022-05-01")},
			day: "2022-06-01", plan: Plan{Edition: 2, EditionSpeaks: true, Published: 1, LocatedBefore: 1},
		},
		{
			name: "a mapping published after the edition speaks", loads: []Load{edition(1, "2024-10-01"), adjusted(2, "2025-01-01")},
			day: "2025-04-01", plan: Plan{Edition: 1, Published: 2},
		},
		{
			name: "but not for days before it", loads: []Load{edition(1, "2024-10-01"), adjusted(2, "2025-01-01")},
			day: "2024-12-31", plan: Plan{Edition: 1, EditionSpeaks: true},
		},
		{
			name: "latest edition, of one day the one known later", loads: []Load{edition(1, "2024-10-01"), edition(2, "2022-05-01"), edition(3, "2024-10-01")},
			day: "2022-04-01", plan: Plan{Edition: 3, EditionSpeaks: true},
		},
		{name: "no relationship began before October 2019", loads: []Load{edition(1, "2024-10-01")}, day: "2019-09-30", reason: ReasonMembershipNotLoaded},
		{name: "first day of relationships", loads: []Load{edition(1, "2024-10-01")}, day: "2019-10-01", plan: Plan{Edition: 1, EditionSpeaks: true}},
		{
			name: "PCN details before, after and newest", day: "2022-07-01",
			loads: []Load{mapping(1, "2022-01-01"), details(2, "2022-05-01"), details(3, "2023-01-09"), details(4, "2024-10-01")},
			plan:  Plan{Published: 1, LocatedBefore: 1, DetailsBefore: 2, DetailsAfter: 3, DetailsNewest: 4},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plan, err := Choose(c.loads, on(t, c.day))
			require.Equal(t, c.reason, fault.ReasonOf(err))
			require.Equal(t, c.plan, plan)
		})
	}
}
