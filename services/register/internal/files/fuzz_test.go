package files

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// FuzzCheck feeds any bytes to the reader: it never panics, refuses with a fault or counts every row once, and says the same
// when the rows are read again.
func FuzzCheck(f *testing.F) {
	samples, err := filepath.Glob(filepath.Join("..", "..", "testdata", "*.csv"))
	if err != nil || len(samples) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range samples {
		content, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content[:min(len(content), 700)])
	}
	for _, text := range []string{
		"pcn_code,month,beds,coding_satisfied\nU1,2022-04,5,true\n", "practice_code,participating,notice_date,effective_from\nA81001,1,,2022-06-01\n",
		"code,name,kind,region_code,system_code,open_date,close_date\n00L,A,ccg,Y63,QHM,2013-04-01,\n", "\x1f\x8b\x08\x00", "\xef\xbb\xbf\"\n", "a,\"b\n\"\"c\",\r\n",
	} {
		f.Add([]byte(text))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := Spool(bytes.NewReader(content), dir)
		if err != nil {
			mustBeFault(t, err)
			return
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		report, err := s.Check(Options{})
		if err != nil {
			mustBeFault(t, err)
			return
		}
		passed := int64(0)
		for _, count := range report.PassedOver {
			passed += count
		}
		if report.RowsGood+report.RowsBad+passed != report.RowsRead {
			t.Fatalf("rows do not add up: %+v", report)
		}
		again(t, s, report)
	})
}

func mustBeFault(t *testing.T, err error) {
	t.Helper()
	if found, ok := fault.As(err); !ok || found.Kind != fault.Invalid {
		t.Fatalf("not an Invalid fault: %v", err)
	}
}

// again reads the rows anew, as for a large file, and holds them against the report.
func again(t *testing.T, s *Spooled, report *Report) {
	t.Helper()
	s.kept = nil
	good := int64(0)
	for row, err := range s.Rows(Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range row.Populations {
			if !rules.ValidCode(p.Organisation) || p.Value == "" {
				t.Fatalf("a bad population passed: %+v", p)
			}
		}
		good++
	}
	if good != report.RowsGood {
		t.Fatalf("%d good rows, then %d", report.RowsGood, good)
	}
	for bad, err := range s.BadRows(Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		if bad.Reason == "" || bad.Line < 2 || !utf8.ValidString(bad.Value) || !utf8.ValidString(bad.Column) {
			t.Fatalf("a bad value is not fit to be shown: %+v", bad)
		}
	}
}
