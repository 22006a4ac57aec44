package rules

import (
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// firstRelationship is the day the PCN codes were created: dated relationships say nothing about earlier days.
var firstRelationship = period.NewDate(2019, time.October, 1)

// lastDayOfCCGs is the last day on which CCGs owed the payments; ICBs owe them from the day after.
var lastDayOfCCGs = period.NewDate(2022, time.June, 30)

// Plan names the loads, by position, that speak for a day; 0 means none.
type Plan struct {
	// Edition is the latest edition of dated relationships.
	Edition int64
	// EditionSpeaks says that Edition, not Published, tells the members.
	EditionSpeaks bool
	// Published is the latest published mapping of the day or earlier.
	Published int64
	// LocatedBefore and LocatedAfter are the nearest mappings with locations, not after and after the day.
	LocatedBefore, LocatedAfter int64
	// DetailsBefore and DetailsAfter are the nearest editions of PCN details, not after and after the day; DetailsNewest the
	// newest of all, which knows closures best.
	DetailsBefore, DetailsAfter, DetailsNewest int64
}

// Choose picks the sources for a day from the loads then known. Dated relationships outrank a published mapping unless the
// mapping was published after the edition. A day that no source tells is refused.
func Choose(loads []Load, day period.Date) (Plan, error) {
	var plan Plan
	edition := newest(loads, func(l Load) bool { return l.Kind == PCNPartners })
	published := newest(loads, func(l Load) bool { return l.Maps && !l.ExtractDate.After(day) })
	plan.Edition, plan.Published = edition.Position, published.Position
	if edition.Position != 0 && !day.Before(firstRelationship) {
		plan.EditionSpeaks = published.Position == 0 || !published.ExtractDate.After(edition.ExtractDate)
	}
	if !plan.EditionSpeaks && plan.Published == 0 {
		return Plan{}, notLoaded(day)
	}
	plan.LocatedBefore = newest(loads, func(l Load) bool { return l.Locates && !l.ExtractDate.After(day) }).Position
	plan.LocatedAfter = earliest(loads, func(l Load) bool { return l.Locates && l.ExtractDate.After(day) }).Position
	plan.DetailsBefore = newest(loads, func(l Load) bool { return l.Kind == PCNDetails && !l.ExtractDate.After(day) }).Position
	plan.DetailsAfter = earliest(loads, func(l Load) bool { return l.Kind == PCNDetails && l.ExtractDate.After(day) }).Position
	plan.DetailsNewest = newest(loads, func(l Load) bool { return l.Kind == PCNDetails }).Position
	return plan, nil
}

func notLoaded(day period.Date) *fault.Fault {
	return fault.New(fault.Refused, ReasonMembershipNotLoaded,
		"nothing is loaded that tells which practice belonged to which PCN on %s: load a practice mapping (gp-reg-pat-prac-map) or "+
			"an adjusted population file of that day or earlier, or, for days from %s, PCN core partner details (ePCN)",
		day, firstRelationship).With("membership_date", day)
}

// newest returns the load of the greatest extract date; of two for one day the one known later, which corrects the other.
func newest(loads []Load, want func(Load) bool) Load {
	var found Load
	for _, l := range loads {
		if !want(l) {
			continue
		}
		order := l.ExtractDate.Compare(found.ExtractDate)
		if found.Position == 0 || order > 0 || (order == 0 && l.Position > found.Position) {
			found = l
		}
	}
	return found
}

// earliest returns the load of the least extract date; of two for one day the one known later.
func earliest(loads []Load, want func(Load) bool) Load {
	var found Load
	for _, l := range loads {
		if !want(l) {
			continue
		}
		order := l.ExtractDate.Compare(found.ExtractDate)
		if found.Position == 0 || order < 0 || (order == 0 && l.Position > found.Position) {
			found = l
		}
	}
	return found
}
