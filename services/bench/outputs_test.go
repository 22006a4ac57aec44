package bench

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The package whose benchmarks tell what a line costs, as .ci/bench names its output.
const rulesOutput = "services_core_internal_rules"

// Packages whose benchmarks tell what a claim and a posting cost, as .ci/bench names their output.
const (
	arrsOutput          = "services_arrs"
	paymentsOutput      = "services_payments"
	paymentsStoreOutput = "services_payments_internal_store"
)

// output holds what the benchmarks of another package printed: by name and unit, one number for each round.
type output struct {
	names []string
	runs  map[string]map[string][]float64
}

// processors is what go test puts behind a benchmark's name: the number of processors.
var processors = regexp.MustCompile(`-[0-9]+$`)

// readOutput reads the output of go test -bench, of any number of runs one after the other.
func readOutput(text string) output {
	o := output{runs: make(map[string]map[string][]float64)}
	scan := bufio.NewScanner(strings.NewReader(text))
	for scan.Scan() {
		fields := strings.Fields(scan.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(fields[0], "")
		if o.runs[name] == nil {
			o.runs[name] = make(map[string][]float64)
			o.names = append(o.names, name)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				o.runs[name][fields[i+1]] = append(o.runs[name][fields[i+1]], v)
			}
		}
	}
	return o
}

// of returns the rounds of a benchmark in seconds per operation.
func (o output) of(name string) []float64 {
	return pick(o.runs[name]["ns/op"], func(ns float64) float64 { return ns / 1e9 })
}

// outputs reads those of every package there is.
func outputs() (map[string]output, error) {
	dir := os.Getenv(envOutputs)
	if dir == "" {
		return nil, nil
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	all := make(map[string]output, len(files))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = readOutput(string(text))
	}
	return all, nil
}

// lineCost returns what one line with its working costs in process, in seconds; 0 if that was not measured.
func lineCost() (float64, error) {
	all, err := outputs()
	if err != nil || len(all[rulesOutput].of(simplestLine)) == 0 {
		return 0, err
	}
	return median(all[rulesOutput].of(simplestLine)), nil
}

const simplestLine = "BenchmarkInstalment/one_population"

// BenchmarkPackages takes over what the benchmarks of single packages found, which the caller has run beforehand.
func BenchmarkPackages(b *testing.B) {
	all, err := outputs()
	require.NoError(b, err)
	b.ReportMetric(0, "ns/op")
	rules := all[rulesOutput]
	for _, name := range rules.names {
		kind, ok := strings.CutPrefix(name, "BenchmarkInstalment/")
		if figures, bounds := rules.of(name), rules.of("BenchmarkBound"); ok && len(bounds) == len(figures) {
			results.ratio(b, goal{
				id: "P5", work: "line with working, " + strings.ReplaceAll(kind, "_", " "), unit: "s", at: 20,
				note: fmt.Sprintf("%.0f allocations, bound %.0f", median(rules.runs[name]["allocs/op"]), median(rules.runs["BenchmarkBound"]["allocs/op"])),
			}, figures, bounds)
		}
	}
	requests := all["pkg_idempotency"].runs
	figures, bounds := requests["BenchmarkRequest/full"]["requests/s"], requests["BenchmarkRequest/plain"]["requests/s"]
	if len(figures) > 0 && len(figures) == len(bounds) {
		results.ratio(b, goal{
			id: "P1", work: "change with request id, audit, event", unit: "/s", at: 0.25, least: true,
			note: "in process, Postgres, against a plain transaction of four statements",
		}, figures, bounds)
	}
	afterMany(b, all[arrsOutput], "BenchmarkSubmitClaim/", goal{id: "P10", work: "claim", unit: "s", at: 1.25, note: "of one line, by gRPC"})
	afterMany(b, all[paymentsOutput], "BenchmarkPostings/", goal{id: "P15", work: "posting", unit: "s", at: 1.25, note: "one of 60 in a transaction"})
	for _, store := range stores() {
		if posted := all[paymentsStoreOutput].runs["BenchmarkPost/"+store]; len(posted["s/posted"]) > 0 {
			results.ratio(b, goal{
				id: "P14", work: "ledger of a month of England on " + store, unit: "s", at: postingRatio, note: "50,000 postings, 100,000 entries, against bare inserts of them",
			}, posted["s/posted"], posted["s/bare"])
		}
	}
	for _, store := range []string{"sqlite", "postgres"} {
		if figures := all["pkg_inbox"].runs["BenchmarkCatchUp/"+store]["events/s"]; len(figures) > 0 {
			results.limit(b, goal{
				id: "P16", work: "inbox works off a backlog on " + store, unit: "/s", at: 2000, least: true, note: "10,000 events of 100 aggregates, from the broker",
			}, figures)
		}
	}
	var packages []string
	for name := range all {
		packages = append(packages, name)
	}
	slices.Sort(packages)
	for _, name := range packages {
		results.plain = append(results.plain, "", strings.ReplaceAll(name, "_", "/")+":")
		for _, benchmark := range all[name].names {
			results.plain = append(results.plain, "  "+all[name].describe(benchmark))
		}
	}
}

// afterMany takes over what something costs after many of its kind, beside what it costs after few.
func afterMany(b *testing.B, from output, benchmark string, g goal) {
	b.Helper()
	work := g.work
	for _, name := range from.names {
		kind, ok := strings.CutPrefix(name, benchmark)
		if costs := from.runs[name]; ok && len(costs["s/few"]) > 0 {
			store, sizes, _ := strings.Cut(kind, "/after_")
			few, many, _ := strings.Cut(sizes, "_and_")
			g.work = work + " after " + many + " on " + store + ", bound after " + few
			results.ratio(b, g, costs["s/many"], costs["s/few"])
		}
	}
}

// describe writes the medians of a benchmark.
func (o output) describe(name string) string {
	text := fmt.Sprintf("%-42s", strings.TrimPrefix(name, "Benchmark"))
	var units []string
	for unit := range o.runs[name] {
		units = append(units, unit)
	}
	slices.Sort(units)
	for _, unit := range units {
		text += fmt.Sprintf("  %12.6g %s", median(o.runs[name][unit]), unit)
	}
	return text + fmt.Sprintf("  (%d)", len(o.runs[name][units[0]]))
}

func TestReadOutput_TakesEveryRound(t *testing.T) {
	o := readOutput(`goos: linux
BenchmarkBound-2        	 1548379	       277.8 ns/op	      56 B/op	       5 allocs/op
BenchmarkDrain/plain-2  	       1	  1000000 ns/op	  12.5 events/s
PASS
BenchmarkBound-2        	 1441234	       240.9 ns/op	      56 B/op	       5 allocs/op
`)
	require.Equal(t, []string{"BenchmarkBound", "BenchmarkDrain/plain"}, o.names)
	require.Equal(t, []float64{277.8, 240.9}, o.runs["BenchmarkBound"]["ns/op"])
	require.Equal(t, []float64{12.5}, o.runs["BenchmarkDrain/plain"]["events/s"])
	require.InDeltaSlice(t, []float64{0.001}, o.of("BenchmarkDrain/plain"), 1e-12)
	require.Empty(t, o.of("BenchmarkAbsent"))
}
