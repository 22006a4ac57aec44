package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// goal is what a work has to reach.
type goal struct {
	id, work, unit string
	// at is the bound of the goal: of the ratio where there is a bound, of the figure itself where there is none.
	at float64
	// least is true where more is better.
	least bool
	note  string
}

// line is one line of the report.
type line struct {
	goal
	figures, bounds []float64
}

// report gathers the lines of a run.
type report struct {
	lines []line
	plain []string
}

// ratio adds a figure with its bound, round by round.
func (r *report) ratio(b *testing.B, g goal, figures, bounds []float64) {
	b.Helper()
	require.NotEmpty(b, figures)
	require.Len(b, bounds, len(figures), "rounds of %s", g.work)
	l := line{goal: g, figures: figures, bounds: bounds}
	r.lines = append(r.lines, l)
	b.ReportMetric(median(l.ratios()), strings.ReplaceAll(g.id+"/"+g.work, " ", "_")+"-ratio")
}

// limit adds a figure that has a bound of its own and needs none beside it.
func (r *report) limit(b *testing.B, g goal, figures []float64) {
	b.Helper()
	require.NotEmpty(b, figures)
	r.lines = append(r.lines, line{goal: g, figures: figures})
	b.ReportMetric(median(figures), strings.ReplaceAll(g.id+"/"+g.work, " ", "_")+"-"+strings.ReplaceAll(g.unit, " ", "_"))
}

// ratios compares round with round, so that what slows the machine for a while slows both sides of one ratio.
func (l line) ratios() []float64 {
	out := make([]float64, len(l.figures))
	for i := range l.figures {
		out[i] = l.figures[i] / l.bounds[i]
	}
	return out
}

// judged returns what the goal is about.
func (l line) judged() []float64 {
	if l.bounds == nil {
		return l.figures
	}
	return l.ratios()
}

func (l line) met() bool {
	got := median(l.judged())
	if l.least {
		return got >= l.at
	}
	return got <= l.at
}

// print writes the table and the state of the machine.
func (r *report) print(out io.Writer, mode string, before, after machine) {
	if len(r.lines) == 0 && len(r.plain) == 0 {
		return
	}
	write := func(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	met := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	write(w, "\nid\twork\tfigure\tbound\tratio\t(rounds)\tgoal\t\tnote\n")
	slices.SortStableFunc(r.lines, func(x, y line) int { return cmp.Compare(x.order(), y.order()) })
	for _, l := range r.lines {
		verdict := "MISSED"
		if l.met() {
			met++
			verdict = "met"
		}
		bound, ratio, want := "", "", value(l.at, l.unit)
		if l.bounds != nil {
			bound, ratio, want = value(median(l.bounds), l.unit), fmt.Sprintf("%.2f", median(l.ratios())), fmt.Sprintf("%.2f x", l.at)
		}
		sign := "<="
		if l.least {
			sign = ">="
		}
		write(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s %s\t%s\t%s\n", l.id, l.work, value(median(l.figures), l.unit), bound, ratio, l.span(), sign, want, verdict, l.note)
	}
	_ = w.Flush()
	write(out, "\n%d of %d goals met. Medians of the rounds; a ratio is the median of the ratios of its rounds, with the least and the greatest beside it.\n", met, len(r.lines))
	for _, text := range r.plain {
		write(out, "%s\n", text)
	}
	write(out, "\nBENCH=%s, %s\nbefore: %s\nafter:  %s\n", mode, constants(), before, after)
}

// order sorts by number: P3 before P13.
func (l line) order() int {
	n := math.MaxInt
	if _, err := fmt.Sscanf(l.id, "P%d", &n); err != nil {
		return math.MaxInt
	}
	return n
}

// span shows the least and the greatest round.
func (l line) span() string {
	got := l.judged()
	if len(got) == 1 {
		return ""
	}
	if l.bounds == nil {
		return fmt.Sprintf("(%s..%s)", value(slices.Min(got), l.unit), value(slices.Max(got), l.unit))
	}
	return fmt.Sprintf("(%.2f..%.2f)", slices.Min(got), slices.Max(got))
}

// value writes a figure with its unit; times are in seconds.
func value(v float64, unit string) string {
	switch unit {
	case "s":
		switch {
		case v < 1e-4:
			return fmt.Sprintf("%.0f ns", v*1e9)
		case v < 1:
			return fmt.Sprintf("%.3g ms", v*1e3)
		default:
			return fmt.Sprintf("%.2f s", v)
		}
	case "":
		return fmt.Sprintf("%.4g", v)
	case "/s":
		return fmt.Sprintf("%.0f/s", v)
	default:
		return fmt.Sprintf("%.4g %s", v, unit)
	}
}

// median returns the middle of some numbers; of an even count, the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return math.NaN()
	case n%2 == 1:
		return sorted[n/2]
	default:
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
}

// quantile returns the least of some durations, in seconds, that the given part of them does not exceed.
func quantile(values []time.Duration, part float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(part*float64(len(sorted))))-1)].Seconds()
}

// machine is what decides how far figures can be trusted.
type machine struct {
	load string
	sync time.Duration
}

// machineNow reads the load average and measures a synced write, on which every commit rests.
func machineNow() machine {
	m := machine{load: "unknown"}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	m.sync, _ = timeSync() // shown as 0 where it cannot be measured
	return m
}

// timeSync returns the median time of a synced write of 4 KiB beside the test databases.
func timeSync() (time.Duration, error) {
	file, err := os.Create(filepath.Join(os.TempDir(), fmt.Sprintf("pcnfunding-sync-%d", os.Getpid())))
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(file.Name()); _ = file.Close() }()
	var took []float64
	for range 21 {
		began := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(began)))
	}
	return time.Duration(median(took)), nil
}

func (m machine) String() string {
	return fmt.Sprintf("load average %s, synced write of 4 KiB %s", m.load, m.sync.Round(time.Microsecond))
}

// constants describes what does not change during a run.
func constants() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for entry := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(entry, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	postgres := "no Postgres: " + testkit.PostgresVariable + " is not set"
	if os.Getenv(testkit.PostgresVariable) != "" {
		postgres = "with Postgres"
	}
	return fmt.Sprintf("%d cores (%s), GOMAXPROCS %d, %s %s/%s, %s", runtime.NumCPU(), model, runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH, postgres)
}

func TestMedian_IsTheMiddle(t *testing.T) {
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
	require.True(t, math.IsNaN(median(nil)))
}

func TestQuantile_IsReachedByThatPart(t *testing.T) {
	var values []time.Duration
	for i := range 100 {
		values = append(values, time.Duration(100-i)*time.Second)
	}
	require.InDelta(t, 99, quantile(values, 0.99), 0)
	require.InDelta(t, 50, quantile(values, 0.5), 0)
	require.InDelta(t, 7, quantile([]time.Duration{7 * time.Second}, 0.5), 0)
}

func TestLine_IsMetByItsMedian(t *testing.T) {
	l := line{goal: goal{at: 0.3, least: true}, figures: []float64{1, 30, 40}, bounds: []float64{100, 100, 100}}
	require.True(t, l.met())
	l.at = 0.31
	require.False(t, l.met())
	l = line{goal: goal{at: 10}, figures: []float64{9, 10, 11}}
	require.True(t, l.met())
}
