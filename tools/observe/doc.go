// Package observe proves the alert rules and the dashboards of deploy/observability: that each rule fires and keeps quiet as its unit tests
// say, has a runbook, and asks for no metric that docs/observability.md does not list.
//
// It links Prometheus's query engine and reads unit tests of promtool's form. Promtool itself links every service discovery that
// Prometheus has, and takes more than four minutes of processor time to build.
package observe
