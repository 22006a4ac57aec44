// Package tables holds the dated figures that arrs starts with: roles, maxima, rates of the yearly sum, limits, rules of
// eligibility, planning, and the cost model that maxima are checked by. They seed the database and are versioned there;
// decisions read the database only.
//
// Every row carries its source, by the references of sources.csv, and its confidence. A figure that is not published has a row
// all the same, with confidence unknown and no figure, so that what cannot be computed is refused by name and never taken for
// nothing.
package tables

import (
	"embed"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/table"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
)

//go:embed *.csv
var files embed.FS

// Scheme returns the tables that arrs starts with; rows of one figure come in the order in which they became known. It fails,
// with everything that is wrong, on a table that breaks a promise of the package. The caller must not change what it gets.
var Scheme = sync.OnceValues(func() (*rules.Scheme, error) { return parse(files.ReadFile) })

// Sources returns the documents that rows refer to.
func Sources() ([]table.Source, error) { return table.Sources(files.ReadFile) }

func parse(open table.Opener) (*rules.Scheme, error) {
	var wrong [10]error
	s := new(rules.Scheme)
	var prices []rules.Price
	s.Roles, wrong[0] = table.Read(open, "roles.csv", rolesColumns, role)
	prices, wrong[1] = table.Read(open, "prices.csv", pricesColumns, price)
	s.SumRates, wrong[2] = table.Read(open, "sums.csv", sumsColumns, sumRate)
	s.Limits, wrong[3] = table.Read(open, "limits.csv", limitsColumns, limit)
	s.Eligibility, wrong[4] = table.Read(open, "eligibility.csv", eligibilityColumns, eligibility)
	s.Training, wrong[5] = table.Read(open, "training.csv", trainingColumns, training)
	s.Transfers, wrong[6] = table.Read(open, "transfers.csv", transfersColumns, transfer)
	s.Parameters, wrong[7] = table.Read(open, "parameters.csv", parametersColumns, parameter)
	s.Planning, wrong[8] = table.Read(open, "planning.csv", planningColumns, planning)
	s.CostModel, wrong[9] = table.Read(open, "cost_model.csv", costColumns, costFigure)
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

func role(r *table.Row) rules.Role {
	return rules.Role{
		Figure: figure(r, "role"), Code: r.Required("role"), Name: r.Required("name"),
		From: r.Date("reimbursable_from"), To: r.OptionalDate("reimbursable_to"), EarlyFrom: r.OptionalDate("early_from"),
		Measure: table.Value(r, "measure", rules.ParseMeasure), FullTime: r.Positive("full_time"),
		Baseline: r.Yes("baseline"), NeedsAgreement: r.Yes("needs_agreement"),
	}
}

func price(r *table.Row) rules.Price {
	row := rules.Price{
		Figure: figure(r, "price_id"), Months: months(r), Role: r.Required("role"), Band: r.Required("band"),
		Post:      rules.Post(r.OneOf("post", "", string(rules.FirstPost), string(rules.LaterPost), string(rules.AnyPost))),
		Region:    table.Value(r, "region", rules.ParseRegion),
		AnnualGBP: stated(r, "annual_gbp"), Percent: r.Positive("percent"),
	}
	wholeYears(r, row.Months)
	return row
}

func sumRate(r *table.Row) rules.SumRate {
	row := rules.SumRate{
		Figure: figure(r, "sum_id"), Months: months(r), Pot: table.Value(r, "pot", rules.ParsePot),
		RateGBP: stated(r, "gbp_per_weighted_patient"), NationalGBP: r.OptionalDecimal("national_total_gbp"),
	}
	wholeYears(r, row.Months)
	return row
}

func limit(r *table.Row) rules.Limit {
	row := rules.Limit{
		Figure: figure(r, "limit_id"), Months: months(r), Role: r.Required("role"), ListFrom: table.Value(r, "list_from", money.ParseWhole), ListTo: -1,
		Certain: r.OptionalDecimal("wte_certain"), Most: r.OptionalDecimal("wte_most"), NeedsAgreement: r.Yes("needs_agreement"),
	}
	if r.Text("list_to") != "" {
		row.ListTo = table.Value(r, "list_to", money.ParseWhole)
	}
	same := row.Certain != nil && row.Most != nil && row.Certain.Cmp(row.Most) == 0
	if same == (row.Confidence == working.Unknown) || (row.Certain != nil && row.Most != nil && row.Certain.Cmp(row.Most) > 0) {
		r.Fail("wte_most", errors.New("the two are equal exactly where the limit is known"))
	}
	return row
}

func eligibility(r *table.Row) rules.Eligibility {
	row := rules.Eligibility{
		Figure: figure(r, "rule_id"), Months: months(r), Role: r.Required("role"), Rule: rules.Rule(r.Required("rule")), Waivable: r.Yes("waivable"),
	}
	if !slices.Contains(rules.Rules(), row.Rule) {
		r.Fail("rule", fmt.Errorf("%q is not a rule", row.Rule))
	}
	if r.Text("months") != "" {
		row.Span = int(table.Value(r, "months", money.ParseWhole))
	}
	spans := row.Rule == rules.NoPostInNetwork || row.Rule == rules.TrainedWithin || row.Rule == rules.NotSubstantiveInNetwork
	if spans != (row.Span > 0) {
		r.Fail("months", errors.New("it stands exactly where the rule speaks of months"))
	}
	return row
}

func training(r *table.Row) rules.Training {
	return rules.Training{Figure: figure(r, "training_id"), Months: months(r), Code: r.Required("training"), Role: r.Required("role")}
}

func transfer(r *table.Row) rules.Transfer {
	row := rules.Transfer{
		Figure: rules.Figure{
			ID: r.Required("transfer_id"), Source: r.Required("source"), Confidence: table.Value(r, "confidence", working.ParseConfidence),
			Note: r.Text("note"), CommissionerCode: rules.England,
		},
		Scheme: r.Required("scheme"), Role: r.Required("role"),
		From: r.Date("window_from"), To: r.OptionalDate("window_to"), AgreedTo: r.OptionalDate("agreed_to"),
	}
	if row.To.IsZero() != (row.Confidence == working.Unknown) {
		r.Fail("window_to", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}

func parameter(r *table.Row) rules.Parameter {
	row := rules.Parameter{
		Figure: figure(r, "parameter_id"), Months: months(r), Name: r.Required("parameter"), Role: r.Text("role"),
		Value: r.OptionalDecimal("value"), Unit: r.Required("unit"),
	}
	if (row.Value == nil) != (row.Confidence == working.Unknown) {
		r.Fail("value", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}

func planning(r *table.Row) rules.PlanningYear {
	row := rules.PlanningYear{
		Year:   table.Value(r, "financial_year", period.ParseFinancialYear),
		PlanBy: r.OptionalDate("plan_by"), UnclaimedBy: r.OptionalDate("unclaimed_by"), NextPlanBy: r.OptionalDate("next_plan_by"),
		ReturnsBy: r.OptionalDate("returns_by"), AgreedBy: r.OptionalDate("agreed_by"), AwardsUntil: r.OptionalDate("awards_until"),
		Unclaimed: rules.UnclaimedRule(r.OneOf("unclaimed", string(rules.UnclaimedShared), string(rules.UnclaimedNone), string(rules.UnclaimedUnknown))),
		Source:    r.Required("source"), Confidence: table.Value(r, "confidence", working.ParseConfidence),
	}
	if r.Text("indicative_to") != "" {
		row.IndicativeTo = table.Value(r, "indicative_to", period.ParseFinancialYear)
	}
	switch r.OneOf("later_years", "firm", "indicative_only", "") {
	case "firm":
		row.LaterFirm = rules.Yes
	case "indicative_only":
		row.LaterFirm = rules.No
	}
	return row
}

func costFigure(r *table.Row) rules.CostFigure {
	row := rules.CostFigure{
		Name: r.Required("figure"), Key: r.Text("key"), Months: months(r), Source: r.Required("source"), Note: r.Text("note"),
		Version: r.OneOf("version", "any", rules.FirstVersion, rules.UpliftedVersion), Confidence: table.Value(r, "confidence", working.ParseConfidence),
	}
	if r.Text("value") != "" {
		row.Value = table.Value(r, "value", money.ParseExact)
	}
	if (row.Value == nil) != (row.Confidence == working.Unknown) {
		r.Fail("value", errors.New("it is left out exactly where the confidence is unknown"))
	}
	return row
}
