// Package observe pins promtool, which runs the unit tests of the alert rules, and proves what promtool does not look at: that each alert is
// tested both ways and has a runbook, and that no rule or dashboard asks for a metric that docs/observability.md does not list.
package observe
