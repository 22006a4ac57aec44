package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

// figure is what versions are versions of.
type figure struct{ payment, component string }

// pause is a time for which a payment has no rate because nothing was payable.
type pause struct {
	figure
	from, to period.Month
}

// pauses are the known ones: PCN support was paid twice, in summer 2020 for the deferred Investment and Impact Fund and in
// winter 2021/22 from suspended indicators.
var pauses = []pause{
	{figure{"PCN_SUPPORT", ""}, period.NewMonth(2020, 10), period.NewMonth(2021, 11)},
}

// check holds the table as a whole: identifiers are unique; the periods of a figure neither overlap, except as versions of
// one period, nor leave a gap; components stand together.
func check(rates []rules.Rate) []error {
	var wrong []error
	seen := make(map[string]bool, len(rates))
	byFigure := make(map[figure][]rules.Rate)
	for _, rate := range rates {
		if seen[rate.ID] {
			wrong = append(wrong, fmt.Errorf("rate_id %s stands twice", rate.ID))
		}
		seen[rate.ID] = true
		key := figure{rate.PaymentCode, rate.Component}
		byFigure[key] = append(byFigure[key], rate)
	}
	for key, versions := range byFigure {
		wrong = append(wrong, checkPeriods(key, versions)...)
	}
	wrong = append(wrong, checkComponents(rates)...)
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return wrong
}

// checkPeriods holds that periods follow one another. The table gives versions of one period in the order in which they
// became known, each under its own label and on the same terms.
func checkPeriods(key figure, versions []rules.Rate) []error {
	var wrong []error
	slices.SortStableFunc(versions, func(a, b rules.Rate) int { return a.From.Compare(b.From) })
	for i := 1; i < len(versions); i++ {
		before, after := versions[i-1], versions[i]
		switch {
		case before.From == after.From && before.To == after.To:
			if before.Version == after.Version || !before.KnownFrom.Before(after.KnownFrom) {
				wrong = append(wrong, fmt.Errorf("%s and %s are versions of one period without an order", before.ID, after.ID))
			}
			if before.Unit != after.Unit || before.Timing != after.Timing || before.PopulationDate != after.PopulationDate {
				wrong = append(wrong, fmt.Errorf("%s and %s are versions of one figure on different terms", before.ID, after.ID))
			}
		case !after.From.After(before.To):
			wrong = append(wrong, fmt.Errorf("%s and %s overlap", before.ID, after.ID))
		case after.From != before.To.Add(1) && !slices.Contains(pauses, pause{key, before.To.Add(1), after.From.Add(-1)}):
			wrong = append(wrong, fmt.Errorf("no rate of %s covers %s to %s", before.PaymentCode, before.To.Add(1), after.From.Add(-1)))
		}
	}
	return wrong
}

// checkComponents holds that in no month a payment has a rate of its own beside components, or one component alone, and that
// its components are paid at the same time from one account.
func checkComponents(rates []rules.Rate) []error {
	var wrong []error
	for _, a := range rates {
		partner := a.Component == ""
		for _, b := range rates {
			if a.PaymentCode != b.PaymentCode || a.Component == b.Component || a.From.After(b.To) || b.From.After(a.To) {
				continue
			}
			partner = true
			if a.Component == "" || b.Component == "" {
				wrong = append(wrong, fmt.Errorf("%s stands beside component %s", a.ID, b.ID))
			}
			if a.From != b.From || a.To != b.To || a.Timing != b.Timing || a.FundingSource != b.FundingSource {
				wrong = append(wrong, fmt.Errorf("components %s and %s are not paid together", a.ID, b.ID))
			}
		}
		if !partner {
			wrong = append(wrong, fmt.Errorf("component %s stands alone", a.ID))
		}
	}
	return wrong
}
