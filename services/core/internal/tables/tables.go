// Package tables holds the dated rates that core starts with. They seed the database and are versioned there; decisions
// read the database only.
//
// Every row carries its source and its confidence. A payment whose figure is not published has a row all the same, with
// confidence unknown and no figure, so that what cannot be computed is refused by name and never taken for nothing.
package tables

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

//go:embed rates.csv
var ratesCSV []byte

// columns are those of rates.csv, in order.
var columns = []string{
	"rate_id", "payment_code", "component", "name", "effective_from", "effective_to", "rate_gbp", "monthly_rate_gbp", "unit",
	"timing", "first_paid_month", "population_date", "paid_to", "funding_source", "source", "version", "confidence",
	"known_from", "known_from_basis", "note",
}

// Accounts that payments come from.
const (
	// CCGCoreAllocation is the general (programme) allocation of a CCG, which paid core PCN funding to March 2022.
	CCGCoreAllocation = "CCG_CORE_ALLOCATION"
	// PrimaryMedicalAllocation is the primary medical care allocation.
	PrimaryMedicalAllocation = "PRIMARY_MEDICAL_ALLOCATION"
	// NationalCOVID is the national COVID funding of 2021.
	NationalCOVID = "NATIONAL_COVID"
	// LeadershipAllocation is the additional £43m allocated for leadership and management.
	LeadershipAllocation = "LEADERSHIP_ALLOCATION"
	// RedirectedIIF is money of the Investment and Impact Fund that was directed to other payments.
	RedirectedIIF = "REDIRECTED_IIF"
)

// FundingSources returns the codes of the accounts that payments come from.
func FundingSources() []string {
	return []string{CCGCoreAllocation, PrimaryMedicalAllocation, NationalCOVID, LeadershipAllocation, RedirectedIIF}
}

// Rates returns the rates that core starts with, versions of one figure in the order in which they became known. It fails,
// with everything that is wrong, on a table that breaks a promise of the package.
func Rates() ([]rules.Rate, error) { return parse(ratesCSV) }

func parse(text []byte) ([]rules.Rate, error) {
	reader := csv.NewReader(bytes.NewReader(text))
	reader.FieldsPerRecord = len(columns)
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read rates.csv: %w", err)
	}
	if len(rows) < 2 || !slices.Equal(rows[0], columns) {
		return nil, fmt.Errorf("rates.csv has no rows, or other columns than %v", columns)
	}
	rates := make([]rules.Rate, 0, len(rows)-1)
	var wrong []error
	for i, row := range rows[1:] {
		rate, err := parseRow(row)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("row %d (%s): %w", i+2, row[0], err))
			continue
		}
		rates = append(rates, rate)
	}
	wrong = append(wrong, check(rates)...)
	if len(wrong) > 0 {
		return nil, fmt.Errorf("rates.csv: %w", errors.Join(wrong...))
	}
	return rates, nil
}

// cells reads the fields of one row and gathers what is wrong with them.
type cells struct {
	byName map[string]string
	wrong  []error
}

func parseRow(row []string) (rules.Rate, error) {
	c := cells{byName: make(map[string]string, len(columns))}
	for i, column := range columns {
		c.byName[column] = row[i]
	}
	from, to := c.date("effective_from"), c.date("effective_to")
	if from != from.Month().First() || to != to.Month().Last() || to.Before(from) {
		c.fail("effective_to", fmt.Errorf("%s to %s is not a period of whole months", from, to))
	}
	rate := rules.Rate{
		ID: c.required("rate_id"), PaymentCode: c.required("payment_code"), Component: c.byName["component"],
		Name: c.required("name"), From: from.Month(), To: to.Month(),
		RateGBP: c.figure("rate_gbp"), MonthlyRateGBP: c.figure("monthly_rate_gbp"),
		Unit: read(&c, "unit", rules.ParseUnit), Timing: read(&c, "timing", rules.ParseTiming),
		FirstPaidMonth: optional(&c, "first_paid_month", period.ParseMonth),
		PopulationDate: optional(&c, "population_date", period.ParseDate),
		PaidToPractice: c.oneOf("paid_to", "pcn", "practice") == "practice",
		FundingSource:  c.oneOf("funding_source", FundingSources()...),
		Source:         c.required("source"), Version: c.oneOf("version", "current", "first", "revised"),
		Confidence:     read(&c, "confidence", working.ParseConfidence),
		KnownFrom:      c.date("known_from"),
		KnownFromBasis: c.oneOf("known_from_basis", rules.KnownByPublication, rules.KnownByEffectiveDate),
		Note:           c.byName["note"], CommissionerCode: rules.England,
	}
	c.checkFigures(rate)
	c.checkDates(rate)
	return rate, errors.Join(c.wrong...)
}

// checkFigures holds that a figure is missing exactly where it is unknown.
func (c *cells) checkFigures(rate rules.Rate) {
	if (rate.RateGBP == nil) != (rate.Confidence == working.Unknown) {
		c.fail("rate_gbp", errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	if rate.RateGBP == nil && rate.MonthlyRateGBP != nil {
		c.fail("monthly_rate_gbp", errors.New("a monthly rate needs the period's rate"))
	}
	if rate.Timing == rules.OnDeclaration && rate.MonthlyRateGBP != nil {
		c.fail("monthly_rate_gbp", errors.New("a payment made once has no monthly rate"))
	}
}

func (c *cells) checkDates(rate rules.Rate) {
	if rate.PopulationDate.IsZero() != (rate.Unit == rules.CareHomeBed) {
		c.fail("population_date", errors.New("it stands for patients, and not for beds"))
	}
	if first := rate.FirstPaidMonth; !first.IsZero() && (rate.Timing != rules.Monthly || !first.After(rate.From) || first.After(rate.To)) {
		c.fail("first_paid_month", errors.New("it lies in the period of a monthly payment, after the first month"))
	}
	if rate.KnownFromBasis == rules.KnownByEffectiveDate && rate.KnownFrom != rate.From.First() {
		c.fail("known_from", errors.New("it is not the first day of the period, on which it is said to rest"))
	}
}

func (c *cells) fail(column string, err error) {
	c.wrong = append(c.wrong, fmt.Errorf("%s: %w", column, err))
}

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

func (c *cells) date(column string) period.Date { return read(c, column, period.ParseDate) }

// figure reads a positive decimal; nil where the field is empty.
func (c *cells) figure(column string) *big.Rat {
	value := optional(c, column, money.ParseDecimal)
	if value != nil && value.Sign() <= 0 {
		c.fail(column, fmt.Errorf("%s is not positive", money.Format(value)))
	}
	return value
}

func read[T any](c *cells, column string, parse func(string) (T, error)) T {
	value, err := parse(c.byName[column])
	if err != nil {
		c.fail(column, err)
	}
	return value
}

func optional[T any](c *cells, column string, parse func(string) (T, error)) T {
	if c.byName[column] == "" {
		var none T
		return none
	}
	return read(c, column, parse)
}
