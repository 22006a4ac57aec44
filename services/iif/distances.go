package iif

import (
	"fmt"

	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// distancesOf tells how far a PCN is from the thresholds of every indicator that pays.
func distancesOf(mine *worked) ([]*iifv1.Distance, error) {
	distances, err := rules.Distances(mine.terms, &mine.network, mine.counts)
	if err != nil {
		return nil, err
	}
	standing := refusals(mine.result)
	out := make([]*iifv1.Distance, len(distances))
	for i := range distances {
		d := &distances[i]
		if why := standing[d.Code]; why != nil {
			d.Refused = why // it also knows of counts that contradict each other, which were left out
		}
		it, _ := mine.terms.Find(d.Code)
		out[i] = &iifv1.Distance{IndicatorCode: d.Code, ToFirst: d.ToFirst, ToAll: d.ToAll, Refusal: missingToProto(d.Refused), Sentence: distanceSentence(it, d)}
		if d.Known() {
			out[i].WorthFirst, out[i].WorthAll = paymentToProto(&d.WorthFirst, false), paymentToProto(&d.WorthAll, false)
		}
	}
	return out, nil
}

// distanceSentence says what would bring an indicator further, such as "12 more of HI-03 earn £1,140.00".
func distanceSentence(it *rules.IndicatorTerms, d *rules.Distance) string {
	switch {
	case !d.Known():
		return fmt.Sprintf("What more of %s would earn is not known: %s", d.Code, d.Refused.Message)
	case d.ToAll == 0:
		return fmt.Sprintf("%s has earned all its points", d.Code)
	case it.Kind == rules.Binary:
		return fmt.Sprintf("A yes to %s earns %s", d.Code, worthWords(&d.WorthAll))
	case d.ToFirst == 0 || d.ToFirst == d.ToAll:
		return stepsWords(it, d.ToAll) + worthWords(&d.WorthAll)
	}
	return fmt.Sprintf("%s%s, and %d in all %s", stepsWords(it, d.ToFirst), worthWords(&d.WorthFirst), d.ToAll, worthWords(&d.WorthAll))
}

// stepsWords says how many more, or fewer where that is better, of what the numerator counts.
func stepsWords(it *rules.IndicatorTerms, steps int64) string {
	way, verb := "more", "earn"
	if it.Direction == rules.LowerBetter {
		way = "fewer"
	}
	if steps == 1 {
		verb = "earns"
	}
	return fmt.Sprintf("%d %s of %s %s ", steps, way, it.Code, verb)
}

// worthWords writes pounds, or why they are not known.
func worthWords(p *rules.Payment) string {
	if p.Known() {
		return p.Amount.String()
	}
	return "points whose worth is not known: " + p.Refused.Message
}
