package feed_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// FuzzRead feeds any bytes to the readers: they never panic, refuse with a fault or account for every row, and hand on only what may
// be stored.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		extractHeader + goodExtract + "NCD2425,x,A81001,20240930,HI21,\"a, b\",1,None,x,05/10/2024,19:36:07,N\n",
		oldHeader + "NCD2223,A81001,20230331,NCDMI996,Denominator,*,\r\nNCD2122,U64356,20220331,NCD009,Answer,No,x\r\n",
		monthlyHeader + "A81001,CAF\xc9,NCD2425,30/09/2024,HI03,Numerator,*\n", annualHeader + "PCN,U00070,X,NCD2223,31/03/2023,NCD022,Numerator,5\n",
		centralHeader + "A81001,2023-03-31,FB4334A8-2E9C-43AB-9D1F-51C4A4F14E6B,982C9A99-A4EA-48FB-ABE9-B60B3E2F1719,1,int,x\n",
		"\ufeff" + mapHeader + "2025-26,HI03,\"a, b\",Numerator\n", "\x00", "\"", extractHeader + "\"\"\n,\n\x00,\n",
	} {
		f.Add([]byte(text), 0)
	}
	f.Add([]byte(oldHeader), int(feed.CQRSExtractOld))
	for _, name := range []string{"annual_2023-24.csv", "field_map_2025-26.csv"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(content, 0)
	}
	known := make(map[period.FinancialYear]*feed.Names)
	for year := period.FinancialYear(2020); year <= 2025; year++ {
		of, err := feed.NewNames(year, indicators(f, year), nil)
		require.NoError(f, err)
		known[year] = of
	}
	ask := func(year period.FinancialYear) (*feed.Names, error) { return known[year], nil }
	f.Fuzz(func(t *testing.T, content []byte, want int) {
		report, err := feed.Read(strings.NewReader(string(content)), ask, feed.Layout(want), func(row feed.Row) error {
			require.Regexp(t, `^[A-Z][0-9]{5}$`, row.Organisation)
			require.Equal(t, row.Organisation[0] == 'U', row.OrganisationKind == feed.PCN)
			require.Equal(t, row.Year, row.AchievedOn.Month().FinancialYear())
			require.NotNil(t, known[row.Year])
			require.NotEmpty(t, row.Code)
			require.NotEqual(t, "unknown", row.Measure.String())
			require.Equal(t, row.Measure == feed.Exclusion || row.Measure == feed.Adjustment, row.Field != "")
			require.Equal(t, row.Measure == feed.Answer, row.Answer != rules.Unanswered)
			require.Equal(t, row.Measure == feed.Answer, row.Cell.State == rules.Absent)
			require.True(t, utf8.ValidString(row.SubmittedAt+row.Approval))
			return nil
		})
		check(t, report, err)
		report, err = feed.ReadFieldMap(strings.NewReader(string(content)), func(row feed.MapRow) error {
			require.NotContains(t, []string{row.Code, row.Field, row.Short}, "")
			require.True(t, utf8.ValidString(row.Code+row.Field+row.Short))
			return nil
		})
		check(t, report, err)
	})
}

func check(t *testing.T, report *feed.Report, err error) {
	t.Helper()
	if err != nil {
		found, ok := fault.As(err)
		require.True(t, ok && found.Kind == fault.Invalid && report == nil, "%v", err)
		return
	}
	addsUp(t, report)
	require.LessOrEqual(t, len(report.Bad), feed.MaxBad)
	for _, bad := range report.Bad {
		require.True(t, bad.Line > 1 && bad.Reason != "" && bad.Detail != "" && utf8.ValidString(bad.Value+bad.Column), "%+v", bad)
	}
	for _, tally := range report.Tallies {
		require.NotEmpty(t, tally.Examples)
		require.LessOrEqual(t, len(tally.Examples), feed.MaxExamples)
	}
}

// generated is an extract of a year as long as England's, made as it is read.
type generated struct {
	practice, practices int
	block               string // of one practice, with A00000 for its code
	rest                string
}

func (g *generated) Read(p []byte) (int, error) {
	if g.rest == "" {
		if g.practice == g.practices {
			return 0, io.EOF
		}
		g.practice++
		g.rest = strings.ReplaceAll(g.block, "A00000", fmt.Sprintf("%c%05d", 'A'+g.practice%20, g.practice))
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// BenchmarkRead reads 702,000 rows, 36 indicators with three counts each of 6,500 practices. What it allocates does not stay: a row
// holds nothing of its line.
func BenchmarkRead(b *testing.B) {
	var codes []string
	for _, i := range indicators(b, 2022) {
		if i.VersionID == "IIF-2022-04" && i.Kind != rules.Binary {
			codes = append(codes, i.Code)
		}
	}
	var block strings.Builder
	for i := range 36 {
		for _, field := range []string{"Numerator", "Denominator", "Num Patients in Set"} {
			fmt.Fprintf(&block, "NCD2223,Network Contract DES 2022/23,A00000,20230331,%s,%s,%d,None,cro-processor,05/04/2023,19:36:07,Y\n", codes[i%len(codes)], field, 1000+i)
		}
	}
	ask := names(b)
	b.ReportAllocs()
	for b.Loop() {
		report, err := feed.Read(io.MultiReader(strings.NewReader(extractHeader), &generated{practices: 6500, block: block.String()}), ask, feed.CQRSExtract, func(feed.Row) error { return nil })
		if err != nil || report.Rows != 702_000 || report.BadRows != 0 {
			b.Fatalf("%d rows, %d bad, %v", report.Rows, report.BadRows, err)
		}
	}
	b.ReportMetric(702_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
