package rules

import "github.com/pcnfunding/pcnfunding/pkg/period"

// Observed is one publication's word on what an organisation belongs to; Other is empty where it says that it belongs to
// nothing.
type Observed struct {
	Load  int64
	Date  period.Date
	Other string
}

// Link is a dated link of an organisation to another. To is zero while open or not known.
type Link struct {
	Other    string
	From, To period.Date
	Load     int64
	// Observed says that From is the day of a publication, not the day the link began.
	Observed bool
}

// Runs joins publications that say the same one after another into one link, from the first of them. The observations are by
// date; of two for one day the later one counts.
func Runs(observations []Observed) []Link {
	var out []Link
	last := ""
	for i, o := range observations {
		if i+1 < len(observations) && observations[i+1].Date == o.Date {
			continue
		}
		if o.Other != last && o.Other != "" {
			out = append(out, Link{Other: o.Other, From: o.Date, Load: o.Load, Observed: true})
		}
		last = o.Other
	}
	return out
}

// PayeeLinks turns payees by first day into links, each to the day before the next begins. The payees are by first day; of two
// for one day the later one counts.
func PayeeLinks(payees []Payee) []Link {
	var out []Link
	for i, p := range payees {
		if i+1 < len(payees) && payees[i+1].From == p.From {
			continue
		}
		if len(out) > 0 {
			out[len(out)-1].To = p.From.AddDays(-1)
		}
		out = append(out, Link{Other: p.Code, From: p.From, Load: p.Load})
	}
	return out
}
