// Package bench measures the suite against bounds: what the same work costs at the least, on the same machine, in the same run.
// Each goal is a ratio of the two, because a figure alone says more about the machine than about the suite. Works that are
// compared take turns, round by round, and medians are shown.
//
// The benchmarks run once each (-benchtime 1x), make their own rounds, and leave a table at the end; make bench runs them with
// what they need. BENCH=full takes five rounds, BENCH=short three shorter ones. A goal that is missed is shown as missed and
// fails nothing: only a benchmark that cannot be run fails.
package bench

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Names of the environment variables that say how to measure.
const (
	// envMode holds full or short.
	envMode = "BENCH"
	// envOutputs names a folder with the output of other packages' benchmarks, one file per package.
	envOutputs = "BENCH_OUTPUTS"
	// envBinary names the binary to measure.
	envBinary = "BENCH_BINARY"
)

// mode says how long to measure.
type mode struct {
	rounds   int
	load     time.Duration // of one round of calls
	backlog  int           // events that wait for the relay
	open     time.Duration // of one round of events in open loop
	months   int           // of England that are paid in one round
	postings int           // rounds of that
}

var modes = map[string]mode{
	"full":  {rounds: 5, load: 2 * time.Second, backlog: 100_000, open: 5 * time.Second, months: 12, postings: 3},
	"short": {rounds: 3, load: 400 * time.Millisecond, backlog: 10_000, open: 2 * time.Second, months: 1, postings: 1},
}

// chosen is the mode of this run.
var chosen mode

// results is the report of this run.
var results report

func TestMain(m *testing.M) {
	name := os.Getenv(envMode)
	if name == "" {
		name = "short"
	}
	var known bool
	if chosen, known = modes[name]; !known {
		fmt.Fprintf(os.Stderr, "%s=%s: it is full or short\n", envMode, name)
		os.Exit(2)
	}
	before := machineNow()
	code := m.Run()
	results.print(os.Stdout, name, before, machineNow())
	os.Exit(code)
}
