package observe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"go.yaml.in/yaml/v2"
)

const (
	root      = "../.."
	deployed  = root + "/deploy/observability"
	rulesFile = deployed + "/rules/pcnfunding.yaml"
)

var promQL = parser.NewParser(parser.Options{})

// unitTests is a file of promtool's unit tests, as far as it is used.
type unitTests struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	Tests              []unitTest     `yaml:"tests"`
}

type unitTest struct {
	Name     string         `yaml:"name"`
	Interval model.Duration `yaml:"interval"`
	Input    []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	Alerts []struct {
		At     model.Duration `yaml:"eval_time"`
		Alert  string         `yaml:"alertname"`
		Expect []struct {
			Labels map[string]string `yaml:"exp_labels"`
		} `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
}

// rules reads the rule file as Prometheus does.
func rules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, promQL, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// TestRules_FireAndKeepQuiet runs the unit tests, of which each alert needs one in which it fires and one in which it does not.
func TestRules_FireAndKeepQuiet(t *testing.T) {
	byName := make(map[string]rulefmt.Rule)
	for _, rule := range rules(t) {
		byName[rule.Alert] = rule
	}
	fires, quiet := make(map[string]bool), make(map[string]bool)
	files, err := filepath.Glob(deployed + "/tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no unit tests", err)
	}
	for _, file := range files {
		var tests unitTests
		content, err := os.ReadFile(file)
		if err == nil {
			err = yaml.UnmarshalStrict(content, &tests)
		}
		if err != nil {
			t.Fatal(file, err)
		}
		for _, unit := range tests.Tests {
			t.Run(unit.Name, func(t *testing.T) {
				stored := load(t, unit)
				for _, want := range unit.Alerts {
					rule, known := byName[want.Alert]
					if !known {
						t.Fatalf("there is no alert %s", want.Alert)
					}
					fires[want.Alert], quiet[want.Alert] = fires[want.Alert] || len(want.Expect) > 0, quiet[want.Alert] || len(want.Expect) == 0
					var expected []string
					for _, e := range want.Expect {
						expected = append(expected, labels.FromMap(e.Labels).String())
					}
					slices.Sort(expected)
					if got := firing(t, stored, rule, time.Duration(tests.EvaluationInterval), time.Duration(want.At)); !slices.Equal(got, expected) {
						t.Errorf("%s after %s:\n got %v\nwant %v", want.Alert, want.At, got, expected)
					}
				}
			})
		}
	}
	for name := range byName {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s needs a test in which it fires (there: %t) and one in which it does not (there: %t)", name, fires[name], quiet[name])
		}
	}
}

// firing evaluates an alert from the start to a time as Prometheus does, and returns the labels of those that fire then.
func firing(t *testing.T, stored storage.Queryable, rule rulefmt.Rule, every, until time.Duration) []string {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: 10 * time.Second, LookbackDelta: 5 * time.Minute, Parser: promQL, EnableAtModifier: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return every.Milliseconds() },
	})
	defer func() { _ = engine.Close() }()
	since := make(map[string]time.Duration) // labels of what is active → since when
	for at := time.Duration(0); at <= until; at += every {
		query, err := engine.NewInstantQuery(context.Background(), stored, nil, rule.Expr, time.UnixMilli(at.Milliseconds()))
		if err != nil {
			t.Fatal(rule.Alert, err)
		}
		result, err := query.Exec(context.Background()).Vector()
		if err != nil {
			t.Fatal(rule.Alert, err)
		}
		active := make(map[string]time.Duration)
		for _, sample := range result {
			with := labels.NewBuilder(sample.Metric)
			with.Del(labels.MetricName)
			for name, value := range rule.Labels {
				with.Set(name, value)
			}
			key := with.Labels().String()
			active[key] = at
			if before, was := since[key]; was {
				active[key] = before
			}
		}
		query.Close()
		since = active
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(since)) {
		if until-since[key] >= time.Duration(rule.For) {
			out = append(out, key)
		}
	}
	return out
}

// load stores the series of a unit test.
func load(t *testing.T, unit unitTest) storage.Queryable {
	t.Helper()
	var all []storage.Series
	for _, input := range unit.Input {
		name, values, err := promQL.ParseSeriesDesc(input.Series + " " + input.Values)
		if err != nil {
			t.Fatal(input.Series, err)
		}
		var samples []chunks.Sample
		for i, value := range values {
			if !value.Omitted {
				samples = append(samples, sample{int64(i) * time.Duration(unit.Interval).Milliseconds(), value.Value})
			}
		}
		all = append(all, storage.NewListSeries(name, samples))
	}
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			var found []storage.Series
			for _, series := range all {
				if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(series.Labels().Get(m.Name)) }) {
					found = append(found, series)
				}
			}
			slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
			return &seriesSet{series: found, at: -1}
		},
	}}
}

// sample is one value of a series.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// seriesSet goes through series.
type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// headings are those of every runbook.
var headings = []string{"## What it means", "## What is at stake", "## How to look", "## What to do", "## When to escalate"}

// TestRules_AreComplete holds each alert against the form that people who are woken by it rely on.
func TestRules_AreComplete(t *testing.T) {
	listed, seen := documented(t), make(map[string]bool)
	for _, rule := range rules(t) {
		if seen[rule.Alert] {
			t.Errorf("%s is there twice", rule.Alert)
		}
		seen[rule.Alert] = true
		if !slices.Contains([]string{"page", "ticket"}, rule.Labels["severity"]) {
			t.Errorf("%s: the severity is page or ticket, not %q", rule.Alert, rule.Labels["severity"])
		}
		if rule.Annotations["summary"] == "" {
			t.Errorf("%s has no summary", rule.Alert)
		}
		page := "docs/runbooks/" + rule.Alert + ".md"
		if !strings.HasSuffix(rule.Annotations["runbook_url"], "/"+page) {
			t.Errorf("%s: the runbook is at …/%s, not %q", rule.Alert, page, rule.Annotations["runbook_url"])
		}
		content, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Errorf("%s has no runbook: %v", rule.Alert, err)
		}
		for _, heading := range append([]string{"# " + rule.Alert}, headings...) {
			if !bytes.Contains(content, []byte(heading+"\n")) {
				t.Errorf("%s lacks %q", page, heading)
			}
		}
		for _, metric := range strangers(t, rule.Expr, listed) {
			t.Errorf("%s asks for %s, which docs/observability.md does not list", rule.Alert, metric)
		}
	}
	pages, err := filepath.Glob(root + "/docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); name != "README" && !seen[name] {
			t.Errorf("%s is the runbook of no alert", page)
		}
	}
}

// strangers returns the metrics that a query asks for and that are not listed; of a histogram, what Prometheus makes of it may be asked for.
func strangers(t *testing.T, query string, listed map[string]bool) (names []string) {
	t.Helper()
	expr, err := promQL.ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return nil
	}
	histogram := regexp.MustCompile(`_(bucket|sum|count)$`)
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if ok && selector.Name != "up" && !listed[selector.Name] && !listed[histogram.ReplaceAllString(selector.Name, "")] { // up is Prometheus's own
			names = append(names, selector.Name)
		}
		return nil
	})
	return names
}

// documented returns the metrics that docs/observability.md lists.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(root + "/docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(string(content)) {
		if cells := strings.Split(line, "|"); len(cells) > 5 && strings.HasPrefix(cells[1], " `") {
			listed[strings.Trim(cells[1], " `")] = true
		}
	}
	if len(listed) < 20 {
		t.Fatal(fmt.Sprint("docs/observability.md lists only ", len(listed), " metrics"))
	}
	return listed
}
