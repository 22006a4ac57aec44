package iif_test

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

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
)

// The practices of England, the indicators of a year with three counts each, and a fifth of the practices for a look.
const (
	benchPractices, lookPractices = 6_500, 1_300
	benchIndicators, benchFields  = 36, 3
)

// benchFile writes an extract of practices, with as many rows as the real one.
type benchFile struct {
	practices int
	block     string
	rest      []byte
	done      int
}

const extractHeader = "QUALITY_SERVICE,NAME,ORG_CODE,ACH_DATE,IND_CODE,FIELD_NAME,VALUE,DEFAULT_VALUES_USED,SUBMIT_USER_ID,SUBMIT_DATE,SUBMIT_TIME,LAST_SUBMISSION\n"

// benchCodes are the indicators of October 2022 that are counted.
func benchCodes() []string {
	return strings.Fields(`VI-01 VI-02 VI-03 HI-01 HI-02 CVD-01 CVD-03 CVD-04 CVD-05 CVD-06 PC-01 CAN-01 RESP-01 RESP-02 SMR-01A SMR-01B SMR-01C SMR-01D SMR-02A SMR-02B
		SMR-02C SMR-02D SMR-03 EHCH-01 EHCH-02 EHCH-04 EHCH-06 AC-02 ACC-02 ACC-07 ACC-08 ACC-09 ES-01 ES-02 CVD-02`)
}

func newBenchFile(practices int) *benchFile {
	var block strings.Builder
	for i, code := range benchCodes() {
		for n, field := range []string{"Numerator", "Denominator", "Register"} {
			fmt.Fprintf(&block, "NCD2223,Network Contract DES 2022/23,A00000,20230331,%s,%s,%d,None,cro-processor,05/04/2023,19:36:07,Y\n", code, field, 1000+7*i+n)
		}
	}
	return &benchFile{practices: practices, block: block.String(), rest: []byte(extractHeader)}
}

func benchPractice(n int) string { return fmt.Sprintf("%c%05d", 'A'+n%20, n) }

func (f *benchFile) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		if f.done == f.practices {
			return 0, io.EOF
		}
		f.done++
		// The extract comes in no order of practices.
		f.rest = bytes.ReplaceAll([]byte(f.block), []byte("A00000"), []byte(benchPractice(f.done*2_741%f.practices)))
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *benchFile) rows() int64 { return int64(f.practices * len(benchCodes()) * benchFields) }

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

// BenchmarkImportCounts takes in the extract of a year of England: 6,500 practices with 35 indicators of three counts, some 682,000 rows.
// It gives the most memory that was live meanwhile, which does not grow with the file. The bound is 20 seconds.
func BenchmarkImportCounts(b *testing.B) {
	for name, open := range countsStores {
		b.Run(name, func(b *testing.B) {
			var live uint64
			for b.Loop() {
				b.StopTimer()
				s := newCountsSuite(b, open)
				file := newBenchFile(benchSize())
				runtime.GC()
				stop := peak()
				b.StartTimer()
				out, err := s.send(s.as(b, testkit.Operator()), &iifv1.CountsHeader{RequestId: "r", Source: "a benchmark"}, file)
				b.StopTimer()
				live = max(live, stop())
				require.NoError(b, err)
				require.Equal(b, file.rows(), out.GetCountsImport().GetCounts())
				require.Equal(b, file.rows()/benchFields, out.GetCountsImport().GetChanged())
				b.StartTimer()
			}
			b.ReportMetric(float64(live)/(1<<20), "MiB-live")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/import")
		})
	}
}

// BenchmarkLoadCounts loads what stands for all of England, some 227,000 indicators of practices. The bound is a second.
func BenchmarkLoadCounts(b *testing.B) {
	for name, open := range countsStores {
		b.Run(name, func(b *testing.B) {
			s := newCountsSuite(b, open)
			_, err := s.send(s.as(b, testkit.Operator()), &iifv1.CountsHeader{RequestId: "r", Source: "a benchmark"}, newBenchFile(benchSize()))
			require.NoError(b, err)
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				of, _, _, err := s.service.CountsOf(b.Context(), "", 2022, period.NewDate(2023, time.March, 31), nil, 0)
				if err != nil || len(of) != benchSize() {
					b.Fatalf("%d practices, %v", len(of), err)
				}
			}
		})
	}
}
