package tables

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

func splitColumns(columns string) []string { return strings.Split(columns, ",") }

// cells reads the fields of one row and gathers what is wrong with them.
type cells struct {
	byName map[string]string
	wrong  []error
}

func (c *cells) fail(column string, err error) {
	c.wrong = append(c.wrong, fmt.Errorf("%s: %w", column, err))
}

func (c *cells) text(column string) string { return c.byName[column] }

func (c *cells) required(column string) string {
	if c.byName[column] == "" {
		c.fail(column, errors.New("it is empty"))
	}
	return c.byName[column]
}

func (c *cells) oneOf(column string, allowed ...string) string {
	if !slices.Contains(allowed, c.byName[column]) {
		c.fail(column, fmt.Errorf("%q is not one of %v", c.byName[column], allowed))
	}
	return c.byName[column]
}

func (c *cells) yes(column string) bool { return c.oneOf(column, "yes", "no") == "yes" }

func value[T any](c *cells, column string, parse func(string) (T, error)) T {
	read, err := parse(c.byName[column])
	if err != nil {
		c.fail(column, err)
	}
	return read
}

func (c *cells) date(column string) period.Date { return value(c, column, period.ParseDate) }

func (c *cells) optionalDate(column string) period.Date {
	if c.byName[column] == "" {
		return period.Date{}
	}
	return c.date(column)
}

// months reads effective_from and effective_to, which may be open, as a span of whole months.
func (c *cells) months() rules.Months {
	from, to := c.date("effective_from"), c.optionalDate("effective_to")
	if from != from.Month().First() || (!to.IsZero() && (to != to.Month().Last() || to.Before(from))) {
		c.fail("effective_to", fmt.Errorf("%s to %s is not a period of whole months", from, to))
	}
	span := rules.Months{From: from.Month()}
	if !to.IsZero() {
		span.To = to.Month()
	}
	return span
}

// wholeYears holds that a span is closed within one financial year.
func (c *cells) wholeYears(span rules.Months) {
	if span.To.IsZero() || span.From.FinancialYear() != span.To.FinancialYear() {
		c.fail("effective_to", errors.New("the period ends within its financial year"))
	}
}

func (c *cells) optionalDecimal(column string) *big.Rat {
	if c.byName[column] == "" {
		return nil
	}
	read := value(c, column, money.ParseDecimal)
	if read != nil && read.Sign() < 0 {
		c.fail(column, errors.New("it is negative"))
	}
	return read
}

func (c *cells) positive(column string) *big.Rat {
	read := value(c, column, money.ParseDecimal)
	if read != nil && read.Sign() <= 0 {
		c.fail(column, errors.New("it is not positive"))
	}
	return read
}

// stated reads a figure that is missing exactly where it is unknown.
func (c *cells) stated(column string) *big.Rat {
	unknown := c.byName["confidence"] == working.Unknown.String()
	if (c.byName[column] == "") != unknown {
		c.fail(column, errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	if c.byName[column] == "" {
		return nil
	}
	return c.positive(column)
}

// figure reads what every row says of itself.
func (c *cells) figure(id string) rules.Figure {
	f := rules.Figure{
		ID: c.required(id), Source: c.required("source"), Version: "current",
		Confidence: value(c, "confidence", working.ParseConfidence), KnownFrom: c.date("known_from"),
		KnownFromBasis: c.oneOf("known_from_basis", rules.KnownByPublication, rules.KnownByEffectiveDate),
		Note:           c.text("note"), CommissionerCode: rules.England,
	}
	if _, versions := c.byName["version"]; versions {
		f.Version = c.oneOf("version", "current", rules.FirstVersion, rules.UpliftedVersion)
	}
	return f
}
