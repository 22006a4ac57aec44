// Package tables holds the dated figures that devfund starts with: national totals by year, fund and basis, and the leadership portion.
// They seed the database and are versioned there; decisions read the database only.
//
// Every row carries its source and its confidence. A figure that is not published has a row all the same, with confidence unknown and
// no figure, so that what cannot be shared is refused by name and never taken for nothing. What was planned stands apart from what was
// released: of 2020/21 £45m were planned and £43.7m released, and money is shared on the second.
//
// The leadership and management payment (PCN_LM, and PCN_LM_BASELINE from 2024/25) is not here: it is another fund with other payers,
// tests and evidence, is paid per head, and belongs to core.
package tables

import (
	"embed"
	"errors"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
)

//go:embed *.csv
var files embed.FS

const (
	known          = "source,confidence,known_from,known_from_basis,note"
	totalColumns   = "total_id,financial_year,fund_code,fund_name,basis,combined,total_gbp," + known
	portionColumns = "portion_id,financial_year,percent," + known
)

// Totals returns the national totals that devfund starts with. It fails, with everything that is wrong, on a table that breaks a
// promise of the package.
func Totals() ([]rules.Total, error) { return parseTotals(files.ReadFile) }

// Portions returns the leadership portions that devfund starts with. It fails as Totals does.
func Portions() ([]rules.Portion, error) { return parsePortions(files.ReadFile) }

func parseTotals(open table.Opener) ([]rules.Total, error) {
	rows, err := table.Read(open, "totals.csv", totalColumns, total)
	if err != nil {
		return nil, err
	}
	ids, keys := make(map[string]bool), make(map[rules.Key]bool)
	var wrong []error
	for i := range rows {
		if ids[rows[i].ID] || keys[rows[i].Key] {
			wrong = append(wrong, fmt.Errorf("totals.csv: %s stands twice", rows[i].ID))
		}
		ids[rows[i].ID], keys[rows[i].Key] = true, true
	}
	return rows, errors.Join(wrong...)
}

func parsePortions(open table.Opener) ([]rules.Portion, error) {
	rows, err := table.Read(open, "leadership.csv", portionColumns, portion)
	if err != nil {
		return nil, err
	}
	years := make(map[period.FinancialYear]bool)
	var wrong []error
	for i := range rows {
		if years[rows[i].Year] {
			wrong = append(wrong, fmt.Errorf("leadership.csv: %s stands twice", rows[i].Year))
		}
		years[rows[i].Year] = true
	}
	return rows, errors.Join(wrong...)
}

func total(r *table.Row) rules.Total {
	out := rules.Total{
		Figure: figure(r, "total_id", "total_gbp"), Name: r.Required("fund_name"), Combined: r.Yes("combined"),
		Key: rules.Key{
			Year: year(r), FundCode: r.Required("fund_code"), Basis: rules.Basis(r.OneOf("basis", string(rules.Planned), string(rules.Released))),
		},
	}
	if r.Text("total_gbp") != "" {
		amount := table.Value(r, "total_gbp", money.ParsePence)
		if amount <= 0 {
			r.Fail("total_gbp", errors.New("it is not positive"))
		}
		out.Amount = &amount
	}
	return out
}

func portion(r *table.Row) rules.Portion {
	out := rules.Portion{Figure: figure(r, "portion_id", "percent"), Year: year(r), Percent: r.OptionalDecimal("percent")}
	if out.Percent != nil && out.Percent.Cmp(big.NewRat(100, 1)) > 0 {
		r.Fail("percent", errors.New("it is above 100"))
	}
	return out
}

func year(r *table.Row) period.FinancialYear {
	read := table.Value(r, "financial_year", period.ParseFinancialYear)
	if read < rules.FirstYear {
		r.Fail("financial_year", fmt.Errorf("the fund begins in %s", rules.FirstYear))
	}
	return read
}

// figure reads what every row says of itself. The figure is left out exactly where it is unknown.
func figure(r *table.Row, id, column string) rules.Figure {
	f := rules.Figure{
		ID: r.Required(id), Source: r.Required("source"), Confidence: r.Confidence("confidence"), KnownFrom: r.Date("known_from"),
		KnownFromBasis: r.OneOf("known_from_basis", rules.KnownByPublication, rules.KnownByPublicationMonth, rules.KnownByEffectiveDate), Note: r.Text("note"),
	}
	if (r.Text(column) == "") != (f.Confidence == working.Unknown) {
		r.Fail(column, errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	first := table.Value(r, "financial_year", period.ParseFinancialYear).First().First()
	switch {
	case f.KnownFromBasis == rules.KnownByEffectiveDate && f.KnownFrom != first:
		r.Fail("known_from", errors.New("it is not the first day of the year, on which it is said to rest"))
	case f.KnownFromBasis == rules.KnownByPublicationMonth && f.KnownFrom != f.KnownFrom.Month().Last():
		r.Fail("known_from", errors.New("it is not the last day of a month, on which it is said to rest"))
	}
	return f
}
