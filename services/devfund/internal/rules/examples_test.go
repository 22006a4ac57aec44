package rules_test

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/devfund/internal/tables"
)

// inputs is one example's question; fields hold texts, whole numbers, truths and lists.
type inputs map[string]any

func (in inputs) has(name string) bool {
	_, has := in[name]
	return has
}

func (in inputs) text(name string) string {
	text, _ := in[name].(string)
	return text
}

func (in inputs) count(t *testing.T, name string) int64 {
	n, err := in[name].(json.Number).Int64()
	require.NoError(t, err)
	return n
}

func (in inputs) amount(t *testing.T, name string) rules.Amount {
	pence, err := money.ParsePence(in.text(name))
	require.NoError(t, err, name)
	return sum(pence)
}

// percent is what an example states, or nothing.
func (in inputs) percent(t *testing.T, name string) rules.Given {
	if !in.has(name) {
		return rules.Given{}
	}
	return given(t, in.text(name))
}

func (in inputs) texts(name string) []string {
	rows, _ := in[name].([]any)
	out := make([]string, len(rows))
	for i, row := range rows {
		out[i] = row.(string)
	}
	return out
}

// populations makes receivers of patients by code, in any order.
func (in inputs) populations(t *testing.T, name string, set func(*rules.Receiver, rules.Given)) []rules.Receiver {
	group, _ := in[name].(map[string]any)
	require.NotEmpty(t, group)
	var out []rules.Receiver
	for code, value := range group {
		r := rules.Receiver{Code: code}
		set(&r, given(t, value.(json.Number).String()))
		out = append(out, r)
	}
	return out
}

func gbp(amount money.Pence) string { return amount.GBP().FloatString(2) }

func TestExamples(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/development_fund.csv")
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 17)
	answered := 0
	for _, row := range rows[1:] {
		if strings.HasPrefix(row[0], "LM-") {
			continue // core pays leadership and management, and answers its examples
		}
		answered++
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			var in inputs
			parse(t, row[2], &in)
			var expected map[string]any
			parse(t, row[3], &expected)
			answer := examples[row[0]]
			require.NotNil(t, answer, "no answer")
			got := answer(t, in)
			for field, want := range expected {
				require.Contains(t, got, field)
				require.Equal(t, want, normal(t, got[field]), "%s: %s", row[1], field)
			}
		})
	}
	require.Equal(t, len(examples), answered)
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

var examples = map[string]func(*testing.T, inputs) map[string]any{
	"DF-001": exampleKingston,
	"DF-002": exampleAverage,
	"DF-003": exampleWeighted,
	"DF-004": exampleFlat,
	"DF-005": exampleSlices,
	"DF-006": exampleEligibility,
	"DF-007": exampleGate,
	"DF-008": exampleNeed,
}

// shared shares a pool, and holds that every part's working gives its pence.
func shared(t *testing.T, p *rules.Pool, method rules.Method, receivers []rules.Receiver) *rules.Shared {
	s, err := rules.Share(p, method, receivers)
	require.NoError(t, err)
	requireAddsUp(t, s)
	return s
}

func shares(s *rules.Shared) map[string]string {
	out := make(map[string]string, len(s.Parts))
	for i := range s.Parts {
		out[s.Parts[i].Code] = gbp(s.Parts[i].Amount)
	}
	return out
}

func exampleKingston(t *testing.T, in inputs) map[string]any {
	receivers := make([]rules.Receiver, in.count(t, "pcn_count"))
	for i := range receivers {
		receivers[i].Code = string(rune('A' + i))
	}
	require.Equal(t, "equal", in.text("method"))
	p := &rules.Pool{Amount: in.amount(t, "allocation_gbp"), LeadershipPercent: in.percent(t, "clinical_director_percent")}
	portions, err := tables.Portions()
	require.NoError(t, err)
	byDefault, err := rules.LeadershipPercent(2019, rules.Given{}, "", portions)
	require.NoError(t, err)
	require.Zero(t, byDefault.Value.Cmp(p.LeadershipPercent.Value))
	rest := shared(t, p, rules.Method{Kind: rules.Equal}, receivers)
	leadership := shared(t, pool(rest.Slices[0].Amount), rules.Method{Kind: rules.Equal}, receivers)
	return map[string]any{
		"clinical_director_total_gbp": gbp(rest.Slices[0].Amount), "clinical_director_per_pcn_gbp": gbp(leadership.Parts[0].Amount),
		"pcn_development_total_gbp": gbp(rest.ToShare), "pcn_development_per_pcn_gbp": gbp(rest.Parts[0].Amount),
		"all_per_pcn_gbp": gbp(leadership.Parts[0].Amount + rest.Parts[0].Amount),
	}
}

func exampleAverage(t *testing.T, in inputs) map[string]any {
	totals, err := tables.Totals()
	require.NoError(t, err)
	total, err := rules.Usable(totals, 2019, "PCN_DEV", period.Date{})
	require.NoError(t, err)
	require.Equal(t, in.amount(t, "national_total_gbp").Pence, total.Pence)
	average, w, err := rules.Average(total, rules.Given{}, in.count(t, "pcn_count"))
	require.NoError(t, err)
	requireGives(t, w, average)
	portion, w, err := rules.Average(total, in.percent(t, "clinical_director_percent"), in.count(t, "pcn_count"))
	require.NoError(t, err)
	requireGives(t, w, portion)
	return map[string]any{
		"average_per_pcn_gbp": gbp(average), "clinical_director_per_pcn_gbp": gbp(portion),
		"within_quoted_range": portion >= 300_000 && portion <= 400_000,
	}
}

func exampleWeighted(t *testing.T, in inputs) map[string]any {
	receivers := in.populations(t, "weighted_population", func(r *rules.Receiver, g rules.Given) { r.Weighted = g })
	s := shared(t, &rules.Pool{Amount: in.amount(t, "pool_gbp")}, rules.Method{Kind: rules.PerHead, List: rules.WeightedList}, receivers)
	out := make(map[string]any)
	for code, amount := range shares(s) {
		out[code] = amount
	}
	return out
}

func exampleFlat(t *testing.T, in inputs) map[string]any {
	receivers := in.populations(t, "registered_list", func(r *rules.Receiver, g rules.Given) { r.Registered = g })
	method := rules.Method{Kind: rules.FlatPlusPerHead, List: rules.RegisteredList, Flat: in.amount(t, "flat_per_pcn_gbp")}
	s := shared(t, &rules.Pool{Amount: in.amount(t, "pool_gbp")}, method, receivers)
	steps := s.Parts[0].Working.Steps
	i := slices.IndexFunc(steps, func(step working.Step) bool { return step.Name == "to share per head" })
	return map[string]any{"per_head_pool_gbp": steps[i].Result.FloatString(2), "shares_gbp": shares(s)}
}

func exampleSlices(t *testing.T, in inputs) map[string]any {
	p := &rules.Pool{
		Amount: in.amount(t, "pool_gbp"), LeadershipPercent: in.percent(t, "leadership_percent"), SystemPercent: in.percent(t, "system_level_percent"),
		PlacePercent: in.percent(t, "place_level_percent"),
	}
	receivers := in.populations(t, "weighted_population", func(r *rules.Receiver, g rules.Given) { r.Weighted = g })
	s := shared(t, p, rules.Method{Kind: rules.PerHead, List: rules.WeightedList}, receivers)
	return map[string]any{
		"leadership_gbp": gbp(s.Slices[0].Amount), "system_level_gbp": gbp(s.Slices[1].Amount), "place_level_gbp": gbp(s.Slices[2].Amount),
		"pcn_pool_gbp": gbp(s.ToShare), "pcn_shares_gbp": shares(s),
	}
}

// exampleEligibility answers by category, as the example asks. It states no day for the time that its second line frees, so that as a line
// of a plan it fails by name until one is stated.
func exampleEligibility(t *testing.T, in inputs) map[string]any {
	out := make(map[string]any)
	for _, row := range in["lines"].([]any) {
		line := inputs(row.(map[string]any))
		category, found := rules.FindCategory(line.text("category"))
		require.True(t, found)
		out[line["id"].(json.Number).String()] = category.Answer()
		p := rules.Proposal{Category: category.Code, DevelopmentActivity: line.text("purpose")}
		judged, err := rules.Judge(&p)
		require.NoError(t, err)
		if category.Code == rules.ReleaseTime {
			require.Equal(t, rules.ReasonReleaseTimeWithoutDevelopment, judged.Answer)
			p.ActivityOn = period.NewDate(2020, 11, 4)
			judged, err = rules.Judge(&p)
			require.NoError(t, err)
		}
		require.Equal(t, category.Answer(), judged.Answer)
	}
	return out
}

func exampleGate(t *testing.T, in inputs) map[string]any {
	p := goodPlan()
	p.PCNs = in.texts("clinical_directors")
	p.Agreements = nil
	for _, pcn := range in.texts("agreed_by") {
		p.Agreements = append(p.Agreements, rules.Agreement{PCN: pcn, Director: pcn, On: period.NewDate(2020, 11, 4)})
	}
	require.Equal(t, true, in["des_alignment"])
	require.Equal(t, true, in["universal_offer"])
	all, err := rules.CheckPlan(p, rules.DESAndLTPAlignment, rules.UniversalOffer)
	require.NoError(t, err)
	var missing []string
	for i := range all {
		missing = append(missing, all[i].Missing()...)
	}
	return map[string]any{"approvable": rules.Approvable(all) == nil, "failed_checks": rules.Failed(all), "missing": missing}
}

func exampleNeed(t *testing.T, in inputs) map[string]any {
	var receivers []rules.Receiver
	for code, row := range in["pcns"].(map[string]any) {
		facts := inputs(row.(map[string]any))
		receivers = append(receivers, rules.Receiver{
			Code: code, Registered: given(t, facts["list"].(json.Number).String()), NeedIndex: given(t, facts.text("need_index")),
		})
	}
	s := shared(t, &rules.Pool{Amount: in.amount(t, "pool_gbp")}, rules.Method{Kind: rules.NeedIndex, List: rules.RegisteredList}, receivers)
	weighted := make(map[string]string)
	for i := range s.Parts {
		weighted[s.Parts[i].Code] = s.Parts[i].Weight.FloatString(2)
	}
	return map[string]any{"weighted": weighted, "shares_gbp": shares(s)}
}
