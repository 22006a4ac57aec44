// Package tables holds the dated rates that core starts with. They seed the database and are versioned there; decisions
// read the database only.
//
// Every row carries its source and its confidence. A payment whose figure is not published has a row all the same, with
// confidence unknown and no figure, so that what cannot be computed is refused by name and never taken for nothing.
package tables

import (
	"embed"
	"errors"
	"fmt"
	"math/big"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/core/internal/rules"
)

//go:embed *.csv
var files embed.FS

// columns are those of rates.csv, in order.
const columns = "rate_id,payment_code,component,name,effective_from,effective_to,rate_gbp,monthly_rate_gbp,unit," +
	"timing,first_paid_month,population_date,paid_to,funding_source,source,version,confidence," +
	"known_from,known_from_basis,note"

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
func Rates() ([]rules.Rate, error) { return parse(files.ReadFile) }

func parse(open table.Opener) ([]rules.Rate, error) {
	rates, err := table.Read(open, "rates.csv", columns, rate)
	if err != nil {
		return nil, err
	}
	if wrong := check(rates); len(wrong) > 0 {
		return nil, fmt.Errorf("rates.csv: %w", errors.Join(wrong...))
	}
	return rates, nil
}

func rate(r *table.Row) rules.Rate {
	from, to := r.Date("effective_from"), r.Date("effective_to")
	if from != from.Month().First() || to != to.Month().Last() || to.Before(from) {
		r.Fail("effective_to", fmt.Errorf("%s to %s is not a period of whole months", from, to))
	}
	out := rules.Rate{
		ID: r.Required("rate_id"), PaymentCode: r.Required("payment_code"), Component: r.Text("component"),
		Name: r.Required("name"), From: from.Month(), To: to.Month(),
		RateGBP: positive(r, "rate_gbp"), MonthlyRateGBP: positive(r, "monthly_rate_gbp"),
		Unit: table.Value(r, "unit", rules.ParseUnit), Timing: table.Value(r, "timing", rules.ParseTiming),
		FirstPaidMonth: table.Optional(r, "first_paid_month", period.ParseMonth),
		PopulationDate: r.OptionalDate("population_date"),
		PaidToPractice: r.OneOf("paid_to", "pcn", "practice") == "practice",
		FundingSource:  r.OneOf("funding_source", FundingSources()...),
		Source:         r.Required("source"), Version: r.OneOf("version", "current", "first", "revised"),
		Confidence:     r.Confidence("confidence"),
		KnownFrom:      r.Date("known_from"),
		KnownFromBasis: r.OneOf("known_from_basis", rules.KnownByPublication, rules.KnownByEffectiveDate),
		Note:           r.Text("note"), CommissionerCode: rules.England,
	}
	checkFigures(r, &out)
	checkDates(r, &out)
	return out
}

// checkFigures holds that a figure is missing exactly where it is unknown.
func checkFigures(r *table.Row, rate *rules.Rate) {
	if (rate.RateGBP == nil) != (rate.Confidence == working.Unknown) {
		r.Fail("rate_gbp", errors.New("a figure is left out exactly where the confidence is unknown"))
	}
	if rate.RateGBP == nil && rate.MonthlyRateGBP != nil {
		r.Fail("monthly_rate_gbp", errors.New("a monthly rate needs the period's rate"))
	}
	if rate.Timing == rules.OnDeclaration && rate.MonthlyRateGBP != nil {
		r.Fail("monthly_rate_gbp", errors.New("a payment made once has no monthly rate"))
	}
}

func checkDates(r *table.Row, rate *rules.Rate) {
	if rate.PopulationDate.IsZero() != (rate.Unit == rules.CareHomeBed) {
		r.Fail("population_date", errors.New("it stands for patients, and not for beds"))
	}
	if first := rate.FirstPaidMonth; !first.IsZero() && (rate.Timing != rules.Monthly || !first.After(rate.From) || first.After(rate.To)) {
		r.Fail("first_paid_month", errors.New("it lies in the period of a monthly payment, after the first month"))
	}
	if rate.KnownFromBasis == rules.KnownByEffectiveDate && rate.KnownFrom != rate.From.First() {
		r.Fail("known_from", errors.New("it is not the first day of the period, on which it is said to rest"))
	}
}

// positive reads a positive decimal; nil where the field is empty.
func positive(r *table.Row, column string) *big.Rat {
	if r.Text(column) == "" {
		return nil
	}
	return r.Positive(column)
}
