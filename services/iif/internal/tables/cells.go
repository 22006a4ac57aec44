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
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

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

// dates reads days parted by semicolons.
func (c *cells) dates(column string) []period.Date {
	if c.byName[column] == "" {
		return nil
	}
	var out []period.Date
	for _, text := range strings.Split(c.byName[column], ";") {
		day, err := period.ParseDate(text)
		if err != nil {
			c.fail(column, err)
		}
		out = append(out, day)
	}
	return out
}

func (c *cells) year() period.FinancialYear {
	return value(c, "financial_year", period.ParseFinancialYear)
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

// figure reads what every row says of itself.
func (c *cells) figure(id string) rules.Figure {
	f := rules.Figure{
		ID: c.required(id), Source: c.required("source"), Confidence: c.confidence("confidence"), Note: c.text("note"), CommissionerCode: rules.England,
	}
	if _, dated := c.byName["known_from"]; dated {
		f.KnownFrom = c.date("known_from")
		f.KnownFromBasis = c.oneOf("known_from_basis", rules.KnownByPublication, rules.KnownByPublicationMonth, rules.KnownByEffectiveDate)
	}
	return f
}

func (c *cells) confidence(column string) working.Confidence {
	return value(c, column, working.ParseConfidence)
}

// stated reads one figure of a row, with its own confidence. It is left out exactly where that is unknown.
func (c *cells) stated(of rules.Figure, key rules.Key, column, confidence string) rules.Value {
	of.ID += ":" + string(key.Field)
	of.Confidence = c.confidence(confidence)
	amount := c.optionalDecimal(column)
	if (c.byName[column] == "") != (of.Confidence == working.Unknown) {
		c.fail(column, errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	return rules.Value{Figure: of, Key: key, Amount: amount}
}
