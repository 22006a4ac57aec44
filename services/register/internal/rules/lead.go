package rules

import (
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/period"
)

// lead settles who owes a PCN's payments. In order: the PCN details observed up to the day, those observed after it, the
// parent in the dated relationships, the location or the payer that all its practices share. A location that was closed on the
// day is passed over: no line is addressed to a body that did not exist.
func (b *builder) lead(p *PCN) {
	for _, observed := range []struct {
		location string
		load     int64
		date     period.Date
	}{
		{b.details[b.plan.DetailsBefore][p.Code].Location, b.plan.DetailsBefore, b.detailDates[b.plan.DetailsBefore]},
		{b.details[b.plan.DetailsAfter][p.Code].Location, b.plan.DetailsAfter, b.detailDates[b.plan.DetailsAfter]},
		{b.pcnParents[p.Code], b.plan.Edition, b.editionDate},
	} {
		if !b.n.places.stood(observed.location) || b.outdated(*p, observed.location, observed.date) {
			continue
		}
		b.settle(p, observed.location, observed.load)
		if observed.date.After(b.day) {
			b.carriedBack(*p, observed.date)
		}
		return
	}
	if location, ok := shared(p.Practices, func(q Practice) string { return q.Location }); ok {
		b.settle(p, location, 0)
		return
	}
	if _, ok := shared(p.Practices, func(q Practice) string { return q.Payer }); ok {
		p.Payer, p.System, p.Region = p.Practices[0].Payer, p.Practices[0].System, p.Practices[0].Region
		return
	}
	b.n.find(Finding{
		Kind: LeadCommissionerUnknown, PCN: p.Code,
		Detail: fmt.Sprintf("the lead commissioner of PCN %s on %s is not recorded and its practices do not settle it: load PCN details (ePCN)", p.Code, b.day),
	})
}

// outdated tells whether a later publication, not after the day, shows every member of a PCN outside the location its lead was
// observed in, as when a location is dissolved.
func (b *builder) outdated(p PCN, location string, observed period.Date) bool {
	if !b.locatedOn.After(observed) {
		return false
	}
	for _, practice := range p.Practices {
		if practice.Location == location || practice.Location == "" {
			return false
		}
	}
	return true
}

func (b *builder) settle(p *PCN, location string, load int64) {
	lies := b.n.places.systemOf(location)
	p.Location, p.Payer, p.System, p.Region = location, b.n.places.payerOf(location), lies.code, lies.region
	p.use(load)
	p.use(lies.load)
}

// carriedBack reports a lead observed only after the day, unless every practice of the PCN lay in that location on the day.
func (b *builder) carriedBack(p PCN, observed period.Date) {
	if location, ok := shared(p.Practices, func(q Practice) string { return q.Location }); ok && location == p.Location {
		return
	}
	b.n.find(Finding{
		Kind: LeadCarriedBack, PCN: p.Code,
		Detail: fmt.Sprintf("the lead commissioner of PCN %s, %s, was observed on %s and is carried back to %s", p.Code, p.Location, observed, b.day),
	})
}

// shared returns the value all practices have in common; an unknown value is shared with nobody.
func shared(practices []Practice, of func(Practice) string) (string, bool) {
	first := of(practices[0])
	for _, p := range practices {
		if of(p) != first {
			return "", false
		}
	}
	return first, first != ""
}
