package observe

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v2"
)

const (
	root      = "../.."
	deployed  = root + "/deploy/observability"
	rulesFile = deployed + "/rules/pcnfunding.yaml"
)

var promQL = parser.NewParser(parser.Options{})

// unitTests is what is read of a file of promtool's unit tests.
type unitTests struct {
	Tests []struct {
		Alerts []struct {
			Alert  string `yaml:"alertname"`
			Expect []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	} `yaml:"tests"`
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

// TestRules_AreTestedBothWays holds that each alert has a unit test in which it fires and one in which it does not; promtool runs them.
func TestRules_AreTestedBothWays(t *testing.T) {
	fires, quiet := make(map[string]bool), make(map[string]bool)
	files, err := filepath.Glob(deployed + "/tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no unit tests", err)
	}
	for _, file := range files {
		var tests unitTests
		content, err := os.ReadFile(file)
		if err == nil {
			err = yaml.Unmarshal(content, &tests)
		}
		if err != nil {
			t.Fatal(file, err)
		}
		for _, unit := range tests.Tests {
			for _, want := range unit.Alerts {
				fires[want.Alert] = fires[want.Alert] || len(want.Expect) > 0
				quiet[want.Alert] = quiet[want.Alert] || len(want.Expect) == 0
			}
		}
	}
	for _, rule := range rules(t) {
		if !fires[rule.Alert] || !quiet[rule.Alert] {
			t.Errorf("%s needs a test in which it fires (there: %t) and one in which it does not (there: %t)", rule.Alert, fires[rule.Alert], quiet[rule.Alert])
		}
	}
}

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
