package rules_test

import (
	"encoding/csv"
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/tables"
)

// inputs is one example's question; fields hold texts, whole numbers, truths and lists.
type inputs map[string]any

func (in inputs) text(name string) string {
	text, _ := in[name].(string)
	return text
}

func (in inputs) has(name string) bool {
	_, has := in[name]
	return has
}

func (in inputs) number(t require.TestingT, name string) int64 {
	number, ok := in[name].(json.Number)
	require.True(t, ok, name)
	n, err := number.Int64()
	require.NoError(t, err)
	return n
}

func (in inputs) cell(t require.TestingT, name string) rules.Cell {
	if !in.has(name) {
		return rules.Cell{}
	}
	return rules.Count(in.number(t, name))
}

func (in inputs) group(name string) inputs {
	group, _ := in[name].(map[string]any)
	return group
}

func (in inputs) list(name string) []inputs {
	rows, _ := in[name].([]any)
	out := make([]inputs, len(rows))
	for i, row := range rows {
		out[i] = row.(map[string]any)
	}
	return out
}

func (in inputs) texts(name string) []string {
	rows, _ := in[name].([]any)
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = row.(string)
	}
	return out
}

func (in inputs) decimal(t require.TestingT, name string) *big.Rat {
	switch value := in[name].(type) {
	case string:
		return decimal(t, value)
	case json.Number:
		return decimal(t, value.String())
	}
	return nil
}

func decimal(t require.TestingT, text string) *big.Rat {
	value, err := money.ParseDecimal(text)
	require.NoError(t, err, text)
	return value
}

func date(t require.TestingT, text string) period.Date {
	day, err := period.ParseDate(text)
	require.NoError(t, err, text)
	return day
}

func scheme(t require.TestingT) *rules.Scheme {
	s, err := tables.Scheme()
	require.NoError(t, err)
	return s
}

func terms(t require.TestingT, year string) *rules.Terms {
	y, err := period.ParseFinancialYear(year)
	require.NoError(t, err)
	out, err := rules.TermsFor(scheme(t), rules.Query{Year: y, Commissioner: "QX"})
	require.NoError(t, err)
	return out
}

// shown writes a value as examples do: a decimal where it ends within ten places, else rounded to ten.
func shown(value *big.Rat) any {
	if value == nil {
		return nil
	}
	if places, exact := value.FloatPrec(); exact && places <= 10 {
		return money.Format(value)
	}
	return value.FloatString(10)
}

func count(n int64) json.Number { return json.Number(big.NewInt(n).String()) }

// stated is a figure that an example states.
func stated(key rules.Key, value *big.Rat) rules.Held {
	return rules.Held{Key: key, Value: &rules.Value{
		Figure: rules.Figure{ID: "stated:" + string(key.Field), Confidence: working.Official, CommissionerCode: rules.England}, Key: key, Amount: value,
	}}
}

// The examples that other packages answer, with the reason.
var elsewhere = map[string]string{
	"IIF-030": "the support payment that stood in for the fund in 2020/21 is a payment per head, which core pays (PCN_SUPPORT)",
}

func TestExamples(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/iif.csv")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 40)
	for _, row := range rows[1:] {
		if elsewhere[row[0]] != "" {
			continue
		}
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			var in inputs
			parse(t, row[2], &in)
			var expected map[string]any
			parse(t, row[3], &expected)
			answer := answerOf(in)
			require.NotNil(t, answer, "no answer")
			got := answer(t, in)
			for field, want := range expected {
				require.Contains(t, got, field)
				require.Equal(t, want, normal(t, got[field]), "%s: %s", row[1], field)
			}
		})
	}
}

func parse(t *testing.T, text string, into any) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(into))
}

// normal gives a value the shape in which JSON reads it.
func normal(t *testing.T, value any) any {
	text, err := json.Marshal(value)
	require.NoError(t, err)
	var out any
	parse(t, string(text), &out)
	return out
}

type answer func(*testing.T, inputs) map[string]any

// answerOf tells an example's question by the fields it has.
func answerOf(in inputs) answer {
	for _, question := range []struct {
		field  string
		answer answer
	}{
		{"vaccinated", exampleAdjusted},
		{"patients", examplePatients},
		{"assumed_share_paid", exampleNationalValue},
		{"points_earned", exampleWholeFund},
		{"status_at_year_end", exampleSuspended},
		{"measured", exampleReplaced},
		{"pcn_register", exampleIdentity},
		{"indicators", exampleTotal},
		{"events", exampleCourse},
		{"financially_approved_on", exampleCalendar},
		{"rows", exampleSubmissions},
		{"measures", examplePublished},
		{"values", exampleHospital},
		{"bands", exampleStandardised},
		{"indicator_code", exampleIndicator},
	} {
		if in.has(question.field) {
			return question.answer
		}
	}
	return nil
}

// exampleTerms builds terms of one indicator from what the example states, and from the tables where it states nothing. What both
// know is held equal, unless the example asks for another version than the one that judges the year.
func exampleTerms(t *testing.T, in inputs) (*rules.Terms, *rules.IndicatorTerms) {
	year, err := period.ParseFinancialYear(in.text("financial_year"))
	require.NoError(t, err)
	q := rules.Query{Year: year, Commissioner: "QX"}
	if in.has("version_from") {
		q.On = date(t, in.text("version_from"))
	}
	out, err := rules.TermsFor(scheme(t), q)
	require.NoError(t, err)
	it, found := out.Find(in.text("indicator_code"))
	require.True(t, found)
	if in.has("version_from") {
		require.Equal(t, in.text("version_from"), out.Version.From.String())
	}
	require.Equal(t, in.text("kind") == "binary", it.Kind == rules.Binary)
	if direction, _, _ := strings.Cut(in.text("direction"), "_"); direction != "" {
		require.Equal(t, direction, string(it.Direction))
	}
	take := func(held *rules.Held, field string) {
		value := in.decimal(t, field)
		if value == nil {
			return
		}
		require.NotNil(t, held.Value, field)
		require.Zero(t, value.Cmp(held.Value.Amount), "%s: the tables hold %s", field, held.Value.Amount)
	}
	take(&out.Price, "gbp_per_point")
	take(&it.Points, "points_available")
	take(&it.Lower, "lower_threshold_pct")
	take(&it.Upper, "upper_threshold_pct")
	if value := in.decimal(t, "national_average_list_size"); value != nil {
		out.Average = stated(out.Average.Key, value)
	}
	if value := in.decimal(t, "national_prevalence_pct"); value != nil {
		it.National = stated(it.National.Key, value)
	}
	if in.has("rounding") {
		require.Equal(t, money.HalfUp, out.Version.Rounding.Mode)
		require.False(t, out.Version.Rounding.PointsFirst)
	}
	return out, it
}

func exampleNetwork(t *testing.T, in inputs) *rules.Network {
	asked := working.Origin{Kind: working.FromRequest}
	n := &rules.Network{PCN: "U00001", ListSize: rules.Given{Value: in.decimal(t, "pcn_list_size"), Origin: asked}}
	if in.has("pcn_prevalence_denominator") && n.ListSize.Value == nil {
		n.ListSize.Value = in.decimal(t, "pcn_prevalence_denominator")
	}
	return n
}

// exampleQuotation holds the adjustments that an example states.
func exampleQuotation(t *testing.T, in inputs, code string) rules.Quotation {
	asked := working.Origin{Kind: working.FromRequest}
	return rules.Quotation{
		ListSize:   rules.Given{Value: in.decimal(t, "list_size_adjustment"), Origin: asked},
		Prevalence: map[string]rules.Given{code: {Value: in.decimal(t, "prevalence_adjustment"), Origin: asked}},
	}
}

func exampleCounts(t *testing.T, in inputs) *rules.Counts {
	asked := working.Origin{Kind: working.FromRequest}
	c := &rules.Counts{
		Numerator: in.cell(t, "numerator"), Denominator: in.cell(t, "denominator"), Register: in.cell(t, "register"),
		BaselineNumerator: in.cell(t, "baseline_numerator"), BaselineDenominator: in.cell(t, "baseline_denominator"),
		Origin: asked,
	}
	if in.has("exclusions") {
		c.Exclusions = []rules.FieldCount{{Field: "GICANREF", Cell: in.cell(t, "exclusions")}}
	}
	adjustments := in.group("personalised_care_adjustments_not_in_numerator")
	for field := range adjustments {
		c.Adjustments = append(c.Adjustments, rules.FieldCount{Field: field, Cell: adjustments.cell(t, field)})
	}
	if achieved, asks := in["achieved"].(bool); asks {
		c.Answer = rules.No
		if achieved {
			c.Answer = rules.Yes
		}
	}
	return c
}

func requireGives(t require.TestingT, w *working.Working, amount money.Pence) {
	require.NotNil(t, w)
	got, err := working.Evaluate(w)
	require.NoError(t, err)
	require.Zero(t, got.Cmp(amount.GBP()), "the working gives %s, not %s", got, amount)
}

func exampleIndicator(t *testing.T, in inputs) map[string]any {
	out := make(map[string]any)
	at, it := exampleTerms(t, in)
	got, err := rules.Quote(at, it, exampleNetwork(t, in), exampleCounts(t, in), exampleQuotation(t, in, it.Code))
	require.NoError(t, err)
	out["achievement_pct"] = shown(got.Measure.Value)
	if got.Measure.Denominator != nil {
		out["denominator"] = json.Number(got.Measure.Denominator.Num().String())
	}
	if it.Kind == rules.Change {
		require.Equal(t, rules.ReasonPointsUnknown, got.Due.Refused.Reason)
		share, err := rules.Share(it.Direction, it.Lower.Value.Amount, it.Upper.Value.Amount, got.Measure.Value)
		require.NoError(t, err)
		out["share_of_points"] = shown(share)
		return out
	}
	require.Nil(t, got.Due.Refused)
	requireGives(t, got.Due.Working, got.Due.Amount)
	requireGives(t, got.Measured.Working, got.Measured.Amount)
	if in.has("national_override") {
		require.Equal(t, rules.Overridden, got.Status)
		out["points_without_override"] = shown(got.Measured.Points)
	}
	out["points"], out["payment_gbp"] = shown(got.Due.Points), got.Due.Amount.Plain()
	if in.has("pcn_prevalence_numerator") {
		requireStep(t, got, "prevalence of the network", new(big.Rat).Quo(
			new(big.Rat).Mul(in.decimal(t, "pcn_prevalence_numerator"), big.NewRat(100, 1)), in.decimal(t, "pcn_prevalence_denominator")))
		requireStep(t, got, "prevalence adjustment", got.Prevalence)
	}
	out["list_size_adjustment"], out["prevalence_adjustment"] = shown(got.ListSize), shown(got.Prevalence)
	for _, note := range got.Notes {
		if note == rules.ReasonNoPercentage {
			out["flag"] = "review"
		}
	}
	return out
}

// requireStep holds what a step of the working gives.
func requireStep(t *testing.T, r *rules.Result, name string, want *big.Rat) {
	t.Helper()
	i := slices.IndexFunc(r.Due.Working.Steps, func(s working.Step) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	require.Zero(t, r.Due.Working.Steps[i].Result.Cmp(want), "%s: %s", name, r.Due.Working.Steps[i].Result)
}

func exampleAdjusted(t *testing.T, in inputs) map[string]any {
	at, it := exampleTerms(t, in)
	asked := &rules.Counts{Register: in.cell(t, "register"), Numerator: in.cell(t, "vaccinated"), Adjustments: []rules.FieldCount{
		{Field: "FLUDEC_DAT", Cell: in.cell(t, "declined_not_vaccinated")}, {Field: "FLUEXPCON", Cell: in.cell(t, "unsuitable_not_vaccinated")},
	}}
	got, err := rules.Assess(at, it, exampleNetwork(t, in), asked)
	require.NoError(t, err)
	m := got.Measure
	return map[string]any{
		"numerator": json.Number(m.Numerator.Num().String()), "denominator": json.Number(m.Denominator.Num().String()),
		"achievement_pct": shown(m.Value), "achievement_pct_without_adjustment": shown(m.Unadjusted),
	}
}

func examplePatients(t *testing.T, in inputs) map[string]any {
	var patients []rules.Patient
	for _, row := range in.list("patients") {
		p := rules.Patient{}
		p.Met, _ = row["vaccinated"].(bool)
		if declined, _ := row["declined"].(bool); declined {
			p.Adjusted = []string{"FLUDEC_DAT"}
		}
		patients = append(patients, p)
	}
	c := rules.CountPatients(patients)
	at, it := exampleTerms(t, in)
	got, err := rules.Assess(at, it, exampleNetwork(t, in), &c)
	require.NoError(t, err)
	return map[string]any{
		"numerator": count(c.Numerator.N), "denominator": count(c.Denominator.N),
		"personalised_care_adjustments": count(c.Adjustments[0].Cell.N), "achievement_pct": shown(got.Measure.Value),
	}
}

func exampleNationalValue(t *testing.T, in inputs) map[string]any {
	at, it := exampleTerms(t, in)
	require.Zero(t, it.Points.Value.Amount.Cmp(in.decimal(t, "points")))
	value := rules.NationalValue(it.Points.Value.Amount, at.Price.Value.Amount, in.decimal(t, "assumed_share_paid"), in.number(t, "number_of_pcns"))
	return map[string]any{
		"national_value_gbp":            value.FloatString(2),
		"published_rounded_gbp_million": new(big.Rat).Quo(value, big.NewRat(1_000_000, 1)).FloatString(1),
	}
}

// exampleWholeFund multiplies the points of a whole year by the price. The published result is that product: no one question of yes
// or no was worth 194 points, and four of the indicators that were have no figures, so that the year itself cannot be worked out.
func exampleWholeFund(t *testing.T, in inputs) map[string]any {
	at := terms(t, in.text("financial_year"))
	points := in.decimal(t, "points_earned")
	require.Zero(t, at.Version.Points.Cmp(points))
	require.Zero(t, at.Price.Value.Amount.Cmp(in.decimal(t, "gbp_per_point")))
	it := rules.IndicatorTerms{
		Indicator: rules.Indicator{Kind: rules.Binary, Status: rules.Active}, Points: stated(rules.Key{Field: rules.PointsField}, points),
	}
	got, err := rules.Quote(at, &it, exampleNetwork(t, in), &rules.Counts{Answer: rules.Yes}, exampleQuotation(t, in, ""))
	require.NoError(t, err)
	require.Nil(t, got.Due.Refused)
	requireGives(t, got.Due.Working, got.Due.Amount)
	return map[string]any{"payment_gbp": got.Due.Amount.Plain()}
}

func exampleSuspended(t *testing.T, in inputs) map[string]any {
	at, it := exampleTerms(t, in)
	require.Equal(t, in.text("status_at_year_end"), string(it.Status))
	got, err := rules.Assess(at, it, &rules.Network{}, &rules.Counts{Numerator: rules.Count(96), Denominator: rules.Count(100)})
	require.NoError(t, err)
	require.Equal(t, in.text("achievement_pct"), shown(got.Measure.Value))
	require.Contains(t, got.Tests[rules.TestStatus-1].Reasons, rules.ReasonIndicatorSuspended)
	return map[string]any{"points": shown(got.Due.Points), "payment_gbp": got.Due.Amount.Plain()}
}

func exampleReplaced(t *testing.T, in inputs) map[string]any {
	at := terms(t, in.text("financial_year"))
	require.Equal(t, in.text("assessment_date"), at.On.String())
	var counts []rules.IndicatorCounts
	for code := range in.group("measured") {
		of := in.group("measured").group(code)
		c := exampleCounts(t, of)
		counts = append(counts, rules.IndicatorCounts{Code: code, Counts: *c})
	}
	year, err := rules.QuoteYear(at, exampleNetwork(t, in), counts, exampleQuotation(t, in, "CAN-04"))
	require.NoError(t, err)
	out := make(map[string]any)
	for _, r := range year.Results {
		if r.Code == "HI-03" {
			continue
		}
		if r.Status != rules.Active {
			require.Equal(t, []string{rules.ReasonIndicatorReplaced}, r.Tests[rules.TestStatus-1].Reasons)
			require.Zero(t, r.Due.Amount)
			continue
		}
		out["assessed_indicator"], out["achievement_pct"] = r.Code, shown(r.Measure.Value)
		out["points"], out["payment_gbp"] = shown(r.Due.Points), r.Due.Amount.Plain()
	}
	return out
}

// exampleIdentity reads both sides off what the package pays for all points: amount ÷ (points × price) is the register over the
// average one, and the register ÷ the product of the adjustments that average.
func exampleIdentity(t *testing.T, in inputs) map[string]any {
	at := terms(t, "2021/22")
	it, _ := at.Find("VI-01")
	at.Average = stated(at.Average.Key, in.decimal(t, "national_average_list_size"))
	it.National = stated(it.National.Key, in.decimal(t, "national_prevalence_pct"))
	register := in.cell(t, "pcn_register")
	got, err := rules.Assess(at, it, exampleNetwork(t, in), &rules.Counts{Numerator: register, Denominator: register})
	require.NoError(t, err)
	require.Nil(t, got.Due.Refused)
	requireGives(t, got.Due.Working, got.Due.Amount)
	product := new(big.Rat).Mul(got.ListSize, got.Prevalence)
	paid := new(big.Rat).Quo(got.Due.Amount.GBP(), new(big.Rat).Mul(got.Due.Points, at.Price.Value.Amount))
	return map[string]any{
		"list_size_adjustment": shown(got.ListSize), "prevalence_adjustment": shown(got.Prevalence),
		"product": shown(product), "average_register": shown(new(big.Rat).Quo(got.Measure.Denominator, product)),
		"register_over_average_register": shown(paid),
	}
}

// exampleTotal works out the year of both indicators. The example states points, not counts: thresholds of 0 and 100 are stated
// here, and counts that earn those points of the available ones.
func exampleTotal(t *testing.T, in inputs) map[string]any {
	at := terms(t, in.text("financial_year"))
	require.Zero(t, at.Price.Value.Amount.Cmp(in.decimal(t, "gbp_per_point")))
	q := exampleQuotation(t, in, "")
	var counts []rules.IndicatorCounts
	for _, row := range in.list("indicators") {
		it, found := at.Find(row.text("indicator_code"))
		require.True(t, found)
		it.Lower, it.Upper = stated(it.Lower.Key, new(big.Rat)), stated(it.Upper.Key, big.NewRat(100, 1))
		share := new(big.Rat).Quo(row.decimal(t, "points"), it.Points.Value.Amount)
		counts = append(counts, rules.IndicatorCounts{Code: it.Code, Counts: rules.Counts{
			Numerator: rules.Count(share.Num().Int64()), Denominator: rules.Count(share.Denom().Int64()),
		}})
		q.Prevalence[it.Code] = rules.Given{Value: row.decimal(t, "prevalence_adjustment")}
	}
	year, err := rules.QuoteYear(at, exampleNetwork(t, in), counts, q)
	require.NoError(t, err)
	require.True(t, year.Whole())
	requireGives(t, year.Working, year.Due)
	var payments []any
	for i, row := range in.list("indicators") {
		r, found := year.Find(row.text("indicator_code"))
		require.True(t, found)
		require.Zero(t, r.Due.Points.Cmp(row.decimal(t, "points")), i)
		payments = append(payments, map[string]any{"indicator_code": r.Code, "payment_gbp": r.Due.Amount.Plain()})
	}
	return map[string]any{"indicator_payments": payments, "total_gbp": year.Due.Plain()}
}

var (
	declarer  = rules.Actor{Person: "declarer", Role: rules.RolePCNManager, Nominated: true}
	preparer  = rules.Actor{Person: "preparer", Role: rules.RolePreparer}
	approver  = rules.Actor{Person: "approver", Role: rules.RoleApprover}
	theSystem = rules.Actor{Role: rules.RoleSystem}
)

// exampleCourse takes the steps of an example, of a network that has committed to reinvest.
func exampleCourse(t *testing.T, in inputs) map[string]any {
	events := map[string]rules.Event{
		"service_aggregated":                {Step: rules.Aggregated, By: theSystem, ResultID: "1"},
		"provider_declares":                 {Step: rules.ProviderDeclares, By: declarer, ResultID: "1"},
		"commissioner_declares":             {Step: rules.CommissionerDeclares, By: preparer, ResultID: "1"},
		"commissioner_financially_approves": {Step: rules.FinanciallyApproves, By: approver, ResultID: "1"},
		"practice_left_pcn":                 {Step: rules.DataChanged, By: theSystem, ResultID: "2", Cause: rules.PracticeLeft},
	}
	c := committed(t)
	states := make([]string, 0, 4)
	for _, name := range in.texts("events") {
		event, known := events[name]
		require.True(t, known, name)
		event.On = date(t, "2026-06-01")
		var err error
		c, err = rules.Advance(c, event)
		require.NoError(t, err)
		states = append(states, c.State.Words())
	}
	return map[string]any{"states": states}
}

func committed(t require.TestingT) rules.Course {
	on := date(t, "2026-05-01")
	c, err := rules.Advance(rules.Course{Year: 2025, State: rules.Open}, rules.Event{
		Step: rules.Commits, By: declarer, On: on, Commitment: rules.Commitment{Person: declarer.Person, On: on, Year: 2025, Text: "more clinics"},
	})
	require.NoError(t, err)
	return c
}

func exampleCalendar(t *testing.T, in inputs) map[string]any {
	year, err := period.ParseFinancialYear(in.text("financial_year"))
	require.NoError(t, err)
	var days []any
	for _, on := range in.texts("financially_approved_on") {
		run, err := rules.RunFor(scheme(t), rules.Query{Year: year, Commissioner: "QX"}, date(t, on))
		if err != nil {
			require.Equal(t, rules.ReasonPaymentDayUnknown, fault.ReasonOf(err))
			days = append(days, nil)
			continue
		}
		days = append(days, run.PayOn.String())
	}
	return map[string]any{"payment_dates": days}
}

func exampleSubmissions(t *testing.T, in inputs) map[string]any {
	var rows []rules.Submission
	for _, row := range in.list("rows") {
		cell, err := rules.ParseCell(row.text("VALUE"))
		require.NoError(t, err)
		rows = append(rows, rules.Submission{
			CellKey: rules.CellKey{
				Organisation: row.text("ORG_CODE"), AchievementDate: row.text("ACH_DATE"), Code: row.text("IND_CODE"), Field: row.text("FIELD_NAME"),
			},
			Cell: cell, Last: row.text("LAST_SUBMISSION") == "Y",
		})
	}
	last, err := rules.LastSubmissions(rows)
	require.NoError(t, err)
	require.Len(t, last, 1)
	return map[string]any{"value": count(last[rows[0].CellKey].N)}
}

func examplePublished(t *testing.T, in inputs) map[string]any {
	m := in.group("measures")
	c := rules.Counts{Numerator: m.cell(t, "Numerator"), Denominator: m.cell(t, "Denominator")}
	for field := range m.group("PCA") {
		c.Adjustments = append(c.Adjustments, rules.FieldCount{Field: field, Cell: m.group("PCA").cell(t, field)})
	}
	out := rules.Publish(&c)
	hidden := make(map[string]any)
	for _, f := range out.Adjustments {
		hidden[f.Field] = f.Cell.String()
	}
	return map[string]any{"published": map[string]any{"Numerator": out.Numerator.String(), "Denominator": out.Denominator.String(), "PCA": hidden}}
}

func exampleHospital(t *testing.T, in inputs) map[string]any {
	values, _ := in["values"].([]any)
	out := make([]string, len(values))
	for i, value := range values {
		n, err := value.(json.Number).Int64()
		require.NoError(t, err)
		out[i] = rules.PublishHospital(n).String()
	}
	return map[string]any{"published": out}
}

func exampleStandardised(t *testing.T, in inputs) map[string]any {
	var bands []rules.Band
	for i, row := range in.list("bands") {
		bands = append(bands, rules.Band{
			Name: string(rune('a' + i)), Admissions: row.number(t, "admissions"), Patients: row.number(t, "pcn_population"),
			England: row.number(t, "england_population"),
		})
	}
	got, err := rules.Standardise(bands)
	require.NoError(t, err)
	whole, err := working.Evaluate(got.Working)
	require.NoError(t, err)
	require.Equal(t, got.Numerator, whole.Num().Int64())
	return map[string]any{
		"directly_standardised_rate": shown(got.Rate), "standardised_numerator": count(got.Numerator), "denominator": count(got.Denominator),
	}
}
