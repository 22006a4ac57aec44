package tables

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

// months reads effective_from and effective_to, which may be open, as a span of whole months.
func months(r *table.Row) rules.Months {
	from, to := r.Date("effective_from"), r.OptionalDate("effective_to")
	if from != from.Month().First() || (!to.IsZero() && (to != to.Month().Last() || to.Before(from))) {
		r.Fail("effective_to", fmt.Errorf("%s to %s is not a period of whole months", from, to))
	}
	span := rules.Months{From: from.Month()}
	if !to.IsZero() {
		span.To = to.Month()
	}
	return span
}

// wholeYears holds that a span is closed within one financial year.
func wholeYears(r *table.Row, span rules.Months) {
	if span.To.IsZero() || span.From.FinancialYear() != span.To.FinancialYear() {
		r.Fail("effective_to", errors.New("the period ends within its financial year"))
	}
}

// stated reads a figure that is missing exactly where it is unknown.
func stated(r *table.Row, column string) *big.Rat {
	unknown := r.Text("confidence") == working.Unknown.String()
	if (r.Text(column) == "") != unknown {
		r.Fail(column, errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	if r.Text(column) == "" {
		return nil
	}
	return r.Positive(column)
}

// figure reads what every row says of itself.
func figure(r *table.Row, id string) rules.Figure {
	f := rules.Figure{
		ID: r.Required(id), Source: r.Required("source"), Version: "current",
		Confidence: table.Value(r, "confidence", working.ParseConfidence), KnownFrom: r.Date("known_from"),
		KnownFromBasis: r.OneOf("known_from_basis", rules.KnownByPublication, rules.KnownByEffectiveDate),
		Note:           r.Text("note"), CommissionerCode: rules.England,
	}
	if r.Has("version") {
		f.Version = r.OneOf("version", "current", rules.FirstVersion, rules.UpliftedVersion)
	}
	return f
}
