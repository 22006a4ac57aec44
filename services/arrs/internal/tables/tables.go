// Package tables holds the dated figures that arrs starts with: roles, maxima, rates of the yearly sum, limits, rules of
// eligibility, planning, and the cost model that maxima are checked by. They seed the database and are versioned there;
// decisions read the database only.
//
// Every row carries its source, by the references of sources.csv, and its confidence. A figure that is not published has a row
// all the same, with confidence unknown and no figure, so that what cannot be computed is refused by name and never taken for
// nothing.
package tables

import (
	"bytes"
	"embed"
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

//go:embed *.csv
var files embed.FS

// Source is a document that rows refer to.
type Source struct{ Ref, Title, URL string }

// Scheme returns the tables that arrs starts with; rows of one figure come in the order in which they became known. It fails,
// with everything that is wrong, on a table that breaks a promise of the package. The caller must not change what it gets.
var Scheme = sync.OnceValues(func() (*rules.Scheme, error) { return parse(embedded) })

// Sources returns the documents that rows refer to.
func Sources() ([]Source, error) {
	return read(embedded, "sources.csv", "ref,title,url", func(c *cells) Source {
		return Source{c.required("ref"), c.required("title"), c.text("url")}
	})
}

// opener gives the text of a table.
type opener func(name string) ([]byte, error)

func embedded(name string) ([]byte, error) { return files.ReadFile(name) }

func parse(open opener) (*rules.Scheme, error) {
	var wrong [10]error
	s := new(rules.Scheme)
	var prices []rules.Price
	s.Roles, wrong[0] = read(open, "roles.csv", rolesColumns, role)
	prices, wrong[1] = read(open, "prices.csv", pricesColumns, price)
	s.SumRates, wrong[2] = read(open, "sums.csv", sumsColumns, sumRate)
	s.Limits, wrong[3] = read(open, "limits.csv", limitsColumns, limit)
	s.Eligibility, wrong[4] = read(open, "eligibility.csv", eligibilityColumns, eligibility)
	s.Training, wrong[5] = read(open, "training.csv", trainingColumns, training)
	s.Transfers, wrong[6] = read(open, "transfers.csv", transfersColumns, transfer)
	s.Parameters, wrong[7] = read(open, "parameters.csv", parametersColumns, parameter)
	s.Planning, wrong[8] = read(open, "planning.csv", planningColumns, planning)
	s.CostModel, wrong[9] = read(open, "cost_model.csv", costColumns, costFigure)
	if err := errors.Join(wrong[:]...); err != nil {
		return nil, err
	}
	s.Prices = rules.NewPrices(prices)
	return s, errors.Join(check(s, prices)...)
}

const (
	known              = ",source,confidence,known_from,known_from_basis,note"
	versioned          = ",source,version,confidence,known_from,known_from_basis,note"
	rolesColumns       = "role,name,reimbursable_from,reimbursable_to,early_from,measure,full_time,baseline,needs_agreement" + known
	pricesColumns      = "price_id,role,band,post,region,effective_from,effective_to,annual_gbp,percent" + versioned
	sumsColumns        = "sum_id,pot,effective_from,effective_to,gbp_per_weighted_patient,national_total_gbp" + versioned
	limitsColumns      = "limit_id,role,effective_from,effective_to,list_from,list_to,wte_certain,wte_most,needs_agreement" + versioned
	eligibilityColumns = "rule_id,role,rule,effective_from,effective_to,months,waivable" + known
	trainingColumns    = "training_id,training,role,effective_from,effective_to" + known
	transfersColumns   = "transfer_id,scheme,role,window_from,window_to,agreed_to,source,confidence,note"
	parametersColumns  = "parameter_id,parameter,role,effective_from,effective_to,value,unit" + known
	planningColumns    = "financial_year,plan_by,unclaimed_by,next_plan_by,returns_by,agreed_by,indicative_to,unclaimed,awards_until,later_years,source,confidence"
	costColumns        = "figure,key,effective_from,effective_to,version,value,source,confidence,note"
)

func role(c *cells) rules.Role {
	return rules.Role{
		Figure: c.figure("role"), Code: c.required("role"), Name: c.required("name"),
		From: c.date("reimbursable_from"), To: c.optionalDate("reimbursable_to"), EarlyFrom: c.optionalDate("early_from"),
		Measure: value(c, "measure", rules.ParseMeasure), FullTime: c.positive("full_time"),
		Baseline: c.yes("baseline"), NeedsAgreement: c.yes("needs_agreement"),
	}
}

func price(c *cells) rules.Price {
	row := rules.Price{
		Figure: c.figure("price_id"), Months: c.months(), Role: c.required("role"), Band: c.required("band"),
		Post:      rules.Post(c.oneOf("post", "", string(rules.FirstPost), string(rules.LaterPost), string(rules.AnyPost))),
		Region:    value(c, "region", rules.ParseRegion),
		AnnualGBP: c.stated("annual_gbp"), Percent: c.positive("percent"),
	}
	c.wholeYears(row.Months)
	return row
}

func sumRate(c *cells) rules.SumRate {
	row := rules.SumRate{
		Figure: c.figure("sum_id"), Months: c.months(), Pot: value(c, "pot", rules.ParsePot),
		RateGBP: c.stated("gbp_per_weighted_patient"), NationalGBP: c.optionalDecimal("national_total_gbp"),
	}
	c.wholeYears(row.Months)
	return row
}

func limit(c *cells) rules.Limit {
	row := rules.Limit{
		Figure: c.figure("limit_id"), Months: c.months(), Role: c.required("role"), ListFrom: value(c, "list_from", money.ParseWhole), ListTo: -1,
		Certain: c.optionalDecimal("wte_certain"), Most: c.optionalDecimal("wte_most"), NeedsAgreement: c.yes("needs_agreement"),
	}
	if c.text("list_to") != "" {
		row.ListTo = value(c, "list_to", money.ParseWhole)
	}
	same := row.Certain != nil && row.Most != nil && row.Certain.Cmp(row.Most) == 0
	if same == (row.Confidence == working.Unknown) || (row.Certain != nil && row.Most != nil && row.Certain.Cmp(row.Most) > 0) {
		c.fail("wte_most", errors.New("the two are equal exactly where the limit is known"))
	}
	return row
}

func eligibility(c *cells) rules.Eligibility {
	row := rules.Eligibility{
		Figure: c.figure("rule_id"), Months: c.months(), Role: c.required("role"), Rule: rules.Rule(c.required("rule")), Waivable: c.yes("waivable"),
	}
	if !slices.Contains(rules.Rules(), row.Rule) {
		c.fail("rule", fmt.Errorf("%q is not a rule", row.Rule))
	}
	if c.text("months") != "" {
		row.Span = int(value(c, "months", money.ParseWhole))
	}
	spans := row.Rule == rules.NoPostInNetwork || row.Rule == rules.TrainedWithin || row.Rule == rules.NotSubstantiveInNetwork
	if spans != (row.Span > 0) {
		c.fail("months", errors.New("it stands exactly where the rule speaks of months"))
	}
	return row
}

func training(c *cells) rules.Training {
	return rules.Training{Figure: c.figure("training_id"), Months: c.months(), Code: c.required("training"), Role: c.required("role")}
}

func transfer(c *cells) rules.Transfer {
	row := rules.Transfer{
		Figure: rules.Figure{
			ID: c.required("transfer_id"), Source: c.required("source"), Confidence: value(c, "confidence", working.ParseConfidence),
			Note: c.text("note"), CommissionerCode: rules.England,
		},
		Scheme: c.required("scheme"), Role: c.required("role"),
		From: c.date("window_from"), To: c.optionalDate("window_to"), AgreedTo: c.optionalDate("agreed_to"),
	}
	if row.To.IsZero() != (row.Confidence == working.Unknown) {
		c.fail("window_to", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}

func parameter(c *cells) rules.Parameter {
	row := rules.Parameter{
		Figure: c.figure("parameter_id"), Months: c.months(), Name: c.required("parameter"), Role: c.text("role"),
		Value: c.optionalDecimal("value"), Unit: c.required("unit"),
	}
	if (row.Value == nil) != (row.Confidence == working.Unknown) {
		c.fail("value", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}

func planning(c *cells) rules.PlanningYear {
	row := rules.PlanningYear{
		Year:   value(c, "financial_year", period.ParseFinancialYear),
		PlanBy: c.optionalDate("plan_by"), UnclaimedBy: c.optionalDate("unclaimed_by"), NextPlanBy: c.optionalDate("next_plan_by"),
		ReturnsBy: c.optionalDate("returns_by"), AgreedBy: c.optionalDate("agreed_by"), AwardsUntil: c.optionalDate("awards_until"),
		Unclaimed: rules.UnclaimedRule(c.oneOf("unclaimed", string(rules.UnclaimedShared), string(rules.UnclaimedNone), string(rules.UnclaimedUnknown))),
		Source:    c.required("source"), Confidence: value(c, "confidence", working.ParseConfidence),
	}
	if c.text("indicative_to") != "" {
		row.IndicativeTo = value(c, "indicative_to", period.ParseFinancialYear)
	}
	switch c.oneOf("later_years", "firm", "indicative_only", "") {
	case "firm":
		row.LaterFirm = rules.Yes
	case "indicative_only":
		row.LaterFirm = rules.No
	}
	return row
}

func costFigure(c *cells) rules.CostFigure {
	row := rules.CostFigure{
		Name: c.required("figure"), Key: c.text("key"), Months: c.months(), Source: c.required("source"), Note: c.text("note"),
		Version: c.oneOf("version", "any", rules.FirstVersion, rules.UpliftedVersion), Confidence: value(c, "confidence", working.ParseConfidence),
	}
	if c.text("value") != "" {
		row.Value = value(c, "value", money.ParseExact)
	}
	if (row.Value == nil) != (row.Confidence == working.Unknown) {
		c.fail("value", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}

// read reads a table row by row and gathers everything that is wrong with it.
func read[T any](open opener, name, columns string, row func(*cells) T) ([]T, error) {
	text, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	header := splitColumns(columns)
	if len(rows) < 2 || !slices.Equal(rows[0], header) {
		return nil, fmt.Errorf("%s has no rows, or other columns than %s", name, columns)
	}
	out := make([]T, 0, len(rows)-1)
	var wrong []error
	for i, fields := range rows[1:] {
		c := cells{byName: make(map[string]string, len(header))}
		for j, column := range header {
			c.byName[column] = fields[j]
		}
		out = append(out, row(&c))
		if err := errors.Join(c.wrong...); err != nil {
			wrong = append(wrong, fmt.Errorf("%s row %d (%s): %w", name, i+2, fields[0], err))
		}
	}
	return out, errors.Join(wrong...)
}
