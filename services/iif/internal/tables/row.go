package tables

import (
	"errors"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// dates reads days parted by semicolons.
func dates(r *table.Row, column string) []period.Date {
	if r.Text(column) == "" {
		return nil
	}
	var out []period.Date
	for _, text := range strings.Split(r.Text(column), ";") {
		day, err := period.ParseDate(text)
		if err != nil {
			r.Fail(column, err)
		}
		out = append(out, day)
	}
	return out
}

func year(r *table.Row) period.FinancialYear {
	return table.Value(r, "financial_year", period.ParseFinancialYear)
}

// figure reads what every row says of itself.
func figure(r *table.Row, id string) rules.Figure {
	f := rules.Figure{
		ID: r.Required(id), Source: r.Required("source"), Confidence: r.Confidence("confidence"), Note: r.Text("note"), CommissionerCode: rules.England,
	}
	if r.Has("known_from") {
		f.KnownFrom = r.Date("known_from")
		f.KnownFromBasis = r.OneOf("known_from_basis", rules.KnownByPublication, rules.KnownByPublicationMonth, rules.KnownByEffectiveDate)
	}
	return f
}

// stated reads one figure of a row, with its own confidence. It is left out exactly where that is unknown.
func stated(r *table.Row, of rules.Figure, key rules.Key, column, confidence string) rules.Value {
	of.ID += ":" + string(key.Field)
	of.Confidence = r.Confidence(confidence)
	amount := r.OptionalDecimal(column)
	if (r.Text(column) == "") != (of.Confidence == working.Unknown) {
		r.Fail(column, errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	return rules.Value{Figure: of, Key: key, Amount: amount}
}
