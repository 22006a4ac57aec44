package activity_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
)

// A month of England: its practices with as many rows each as make a million, for about as many commissioners as there were; a tenth of it
// for a look.
const (
	benchPractices, lookPractices = 6_500, 650
	benchRowsEach                 = 154
	benchCommissioners            = 106
)

// benchFile writes a file of attendances of practices, in no order of commissioners.
type benchFile struct {
	practices int
	block     string
	rest      []byte
	done      int
}

func newBenchFile(practices int) *benchFile {
	var block strings.Builder
	for n := range benchRowsEach {
		fmt.Fprintf(&block, "RH%d,RH%d01,2020-11,0%d,%s,A00000,VB%02dZ,%d,CCC\n", n/44%9, n/44%9, 1+n%4, []string{"first", "follow_up_planned"}[n/4%2], 1+n/4%11, 1+n%40)
	}
	return &benchFile{practices: practices, block: block.String(), rest: []byte(fileHeader + ",commissioner_code\n")}
}

func (f *benchFile) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.done == f.practices {
			return 0, io.EOF
		}
		f.done++
		n := f.done * 2_741 % f.practices
		f.rest = bytes.ReplaceAll([]byte(f.block), []byte("A00000"), fmt.Appendf(nil, "%c%05d", 'A'+n%20, n))
		f.rest = bytes.ReplaceAll(f.rest, []byte("CCC"), fmt.Appendf(nil, "%02dC", n%benchCommissioners%100))
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *benchFile) rows() int64 { return int64(f.practices * benchRowsEach) }

func benchSize() int {
	if os.Getenv("BENCH") == "short" {
		return lookPractices
	}
	return benchPractices
}

// peak watches the memory that is in use until it is stopped, and returns the most of it in bytes.
func peak() (stop func() uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	most := make(chan uint64)
	go func() {
		var highest uint64
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				most <- highest
				return
			case <-ticker.C:
				metrics.Read(sample)
				highest = max(highest, sample[0].Value.Uint64())
			}
		}
	}()
	return func() uint64 { cancel(); return <-most }
}

// BenchmarkImportAttendances takes in a million rows of all commissioners. It gives the most memory that was live meanwhile. The bounds are
// 30 seconds and 64 MiB.
func BenchmarkImportAttendances(b *testing.B) {
	for name, open := range stores {
		b.Run(name, func(b *testing.B) {
			var live uint64
			for b.Loop() {
				b.StopTimer()
				s := newSuite(b, open)
				file := newBenchFile(benchSize())
				header := &activityv1.AttendancesHeader{RequestId: "r", Cut: activityv1.CutKind_FIRST_CUT, Source: "a benchmark", ExtractDate: "2020-12-14"}
				runtime.GC()
				stop := peak()
				b.StartTimer()
				out, err := s.send(s.as(b, testkit.Operator()), header, file)
				b.StopTimer()
				live = max(live, stop())
				require.NoError(b, err)
				require.Equal(b, file.rows(), out.GetAttendancesImport().GetRows())
				b.StartTimer()
			}
			b.ReportMetric(float64(live)/(1<<20), "MiB-live")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/import")
		})
	}
}

// BenchmarkBuildReport builds the report of a commissioner with a hundred practices. The bound is a second.
func BenchmarkBuildReport(b *testing.B) {
	for name, open := range stores {
		b.Run(name, func(b *testing.B) {
			s := newSuite(b, open)
			s.register.practices = nil
			for n := range 100 {
				pcn := fmt.Sprintf("U%05d", 10_000+n/5)
				s.register.practices = append(s.register.practices, practice{fmt.Sprintf("%c%05d", 'A'+n%20, n), "15N", pcn, 9_000})
				s.register.leads[pcn] = "15N"
			}
			file := newBenchFile(100)
			file.block = strings.ReplaceAll(file.block, "CCC", "15N")
			_, err := s.send(s.as(b, testkit.Operator()), &activityv1.AttendancesHeader{RequestId: "r", Cut: activityv1.CutKind_FIRST_CUT, Source: "a benchmark", ExtractDate: "2020-12-14"}, file)
			require.NoError(b, err)
			b.ResetTimer()
			for b.Loop() {
				// A preview does all that a build does but for keeping it.
				out, err := s.activity.PreviewReport(s.as(b, testkit.Preparer("15N")), &activityv1.PreviewReportRequest{CommissionerCode: "15N", Month: "2020-11"})
				if err != nil || out.GetRowCount() < 1_000 {
					b.Fatalf("%d rows, %v", out.GetRowCount(), err)
				}
			}
		})
	}
}
