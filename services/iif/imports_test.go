package iif_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	typev1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/type/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// extract writes an extract of 2025/26 from rows of organisation, day, code, field and value; a sixth value is the default mark, and a
// seventh the mark of the last submission.
func extract(rows ...string) string {
	var out strings.Builder
	out.WriteString(extractHeader)
	for _, row := range rows {
		v := append(strings.Fields(row), "None", "Y")
		if len(v) > 7 {
			v = append(v[:len(v)-2:len(v)-2], "Y")
		}
		fmt.Fprintf(&out, "NCD2526,Network Contract DES 2025/26,%s,%s,%s,%s,%s,%s,cro-processor,05/10/2025,19:36:07,%s\n", v[0], v[1], v[2], v[3], v[4], v[5], v[6])
	}
	return out.String()
}

const (
	extractDay = "20250930"
	listedDay  = "2025-09-30"
)

var countsOn = period.NewDate(2025, time.September, 30)

// stands returns the counts of one indicator that stand for a commissioner on the day of the extract.
func (s *countsSuite) stands(t *testing.T, commissioner, organisation, code string) *rules.Counts {
	t.Helper()
	of, _, _, err := s.service.CountsOf(t.Context(), commissioner, 2025, countsOn, []string{organisation}, 0)
	require.NoError(t, err)
	for i := range of[organisation] {
		if of[organisation][i].Code == code {
			return &of[organisation][i].Counts
		}
	}
	return nil
}

func TestImportCounts_TakesAnExtractIn(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		file := extract(
			"A81001 20250930 CAN04 Numerator 41",
			"A81001 20250930 CAN04 Denominator 60",
			"A81001 20250930 CAN04 FITNIDAT 3 Default",
			"A81001 20250930 NCDMI001 Numerator 9",
			"A81001 20250930 CAN04 Numerator 40 None N",
			"U12345 20250930 HI03 Numerator 7",
		)
		out, err := s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{RequestId: "r1", Source: "CQRS", FileName: "september.csv"}, strings.NewReader(file))
		require.NoError(t, err)
		require.False(t, out.GetAlreadyImported())
		got := out.GetCountsImport()
		require.NotEmpty(t, got.GetImportId())
		require.Equal(t, iifv1.CountsLayout_CQRS_EXTRACT, got.GetLayout())
		require.Equal(t, rules.England, got.GetCommissionerCode())
		require.Equal(t, []int64{6, 4, 0, 1, 2}, []int64{got.GetRows(), got.GetCounts(), got.GetSuppressed(), got.GetDefaulted(), got.GetChanged()})
		require.Equal(t, []int32{1, 1, 0}, []int32{got.GetPractices(), got.GetPcns(), got.GetResultsReworked()})
		require.Equal(t, []string{"CAN-04", "HI-03"}, got.GetIndicatorCodes())
		require.Equal(t, []string{"2025-26"}, got.GetFinancialYears())
		require.Equal(t, []string{listedDay}, got.GetAchievedOn())
		require.Equal(t, []string{"operator@example.test", "september.csv", "CQRS"}, []string{got.GetImportedBy(), got.GetFileName(), got.GetSource()})
		causes := make(map[string]int64)
		for _, tally := range got.GetTallies() {
			causes[tally.GetCause()] = tally.GetRows()
			require.NotEmpty(t, tally.GetExamples())
		}
		require.Equal(t, map[string]int64{"MANAGEMENT_CODE": 1, "NOT_LAST_SUBMISSION": 1}, causes)

		counts := s.stands(t, "15N", "A81001", "CAN-04")
		require.Equal(t, []rules.Cell{rules.Count(41), rules.Count(60)}, []rules.Cell{counts.Numerator, counts.Denominator})
		require.Equal(t, []rules.FieldCount{{Field: "FITNIDAT", Cell: rules.Count(3)}}, counts.Adjustments)
		version := s.versions(t, &iifv1.ListCountsRequest{OrganisationCode: "A81001", FinancialYear: "2025-26"})
		require.Len(t, version, 1)
		require.True(t, version[0].GetDefaulted())
		require.True(t, version[0].GetStands())
		require.Equal(t, got.GetImportId(), version[0].GetSourceId())

		held, err := s.iif.GetImport(s.as(t, testkit.PCNManager("U12345")), &iifv1.GetImportRequest{ImportId: got.GetImportId()})
		require.NoError(t, err)
		require.True(t, proto.Equal(got, held))
		require.Zero(t, s.countRows(t, "import_cells"))
		require.Equal(t, 1, s.countRows(t, `outbox WHERE aggregate = 'counts/england'`))
		require.Equal(t, 1, s.countRows(t, `audit WHERE resource = 'iif/imports/`+got.GetImportId()+`'`))
	})
}

// TestImportCounts_HasItsEffectOnce sends the same request, the same file, the file packed, and its rows in any order.
func TestImportCounts_HasItsEffectOnce(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		rows := []string{
			"A81001 20250930 CAN04 Numerator 41", "A81001 20250930 CAN04 Denominator 60 Default", "A81001 20250930 CAN04 FITNIDAT 3",
			"A81001 20250831 CAN04 Numerator 30", "A81002 20250930 CAN04 GICANREF 5", "A81002 20250930 HI03 Denominator 60", "U12345 20250930 HI03 Numerator 7",
		}
		send := func(id, content string) *iifv1.ImportCountsResponse {
			out, err := s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{RequestId: id, Source: "CQRS"}, strings.NewReader(content))
			require.NoError(t, err)
			return out
		}
		first := send("r1", extract(rows...))
		require.EqualValues(t, 5, first.GetCountsImport().GetChanged())
		require.True(t, proto.Equal(first, send("r1", extract(rows...))), "the same request")
		again := send("r2", extract(rows...))
		require.True(t, again.GetAlreadyImported())
		require.True(t, proto.Equal(first.GetCountsImport(), again.GetCountsImport()))
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, err := io.WriteString(zip, extract(rows...))
		require.NoError(t, err)
		require.NoError(t, zip.Close())
		require.True(t, send("r3", packed.String()).GetAlreadyImported())

		_, err = s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{RequestId: "r1", Source: "CQRS"}, strings.NewReader(extract(rows[:3]...)))
		require.Equal(t, "REQUEST_ID_REUSED", refused(t, err).Reason)
		chance := rand.New(rand.NewPCG(1, 2))
		for range 5 {
			chance.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			out := send(s.next()+"p", extract(append(rows, rows[0])...))
			require.False(t, out.GetAlreadyImported())
			require.Zero(t, out.GetCountsImport().GetChanged())
		}
		require.Equal(t, 5, s.countRows(t, "counts"))
	})
}

// TestImportCounts_ChangesWhatItBrings takes one indicator in from two feeds, in either order.
func TestImportCounts_ChangesWhatItBrings(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		for organisation, files := range map[string][]string{
			"A81001": {"A81001 20250930 CAN04 Numerator 41", "A81001 20250930 CAN04 Denominator 60", "A81001 20250930 CAN04 Numerator 43"},
			"A81002": {"A81002 20250930 CAN04 Denominator 60", "A81002 20250930 CAN04 Numerator 41", "A81002 20250930 CAN04 Numerator 43"},
		} {
			for _, file := range files {
				require.EqualValues(t, 1, s.load(t, "", extract(file)).GetChanged())
			}
			counts := s.stands(t, "15N", organisation, "CAN-04")
			require.Equal(t, []rules.Cell{rules.Count(43), rules.Count(60)}, []rules.Cell{counts.Numerator, counts.Denominator}, "the last submission wins")

			versions := s.versions(t, &iifv1.ListCountsRequest{OrganisationCode: organisation, FinancialYear: "2025-26", PageSize: 1})
			require.Len(t, versions, 3)
			require.EqualValues(t, 43, versions[0].GetCounts().GetNumerator().GetValue())
			require.EqualValues(t, 41, versions[1].GetCounts().GetNumerator().GetValue())
			require.Equal(t, []bool{true, false, false}, []bool{versions[0].GetStands(), versions[1].GetStands(), versions[2].GetStands()})
			standing := s.versions(t, &iifv1.ListCountsRequest{OrganisationCode: organisation, FinancialYear: "2025-26", StandingOnly: true})
			require.Len(t, standing, 1)
			require.True(t, proto.Equal(versions[0], standing[0]))

			// What was known before a version is still found by its position.
			of, position, _, err := s.service.CountsOf(t.Context(), "15N", 2025, countsOn, []string{organisation}, 1)
			require.NoError(t, err)
			require.EqualValues(t, 1, position)
			require.LessOrEqual(t, len(of), 1)
		}
		of, position, _, err := s.service.CountsOf(t.Context(), "15N", 2025, countsOn, nil, 0)
		require.NoError(t, err)
		require.EqualValues(t, 6, position)
		require.Len(t, of, 2)
	})
}

// TestImportCounts_KeepsCommissionersApart holds counts of one commissioner from others, and merges England's into them.
func TestImportCounts_KeepsCommissionersApart(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		pair := func(commissioner string) [2]int64 {
			counts := s.stands(t, commissioner, "A81001", "CAN-04")
			return [2]int64{counts.Numerator.N, counts.Denominator.N}
		}
		s.load(t, "", extract("A81001 20250930 CAN04 Numerator 41", "A81001 20250930 CAN04 Denominator 60"))
		own := s.load(t, "15N", extract("A81001 20250930 CAN04 Denominator 58"))
		require.Equal(t, "15N", own.GetCommissionerCode())
		require.Equal(t, [2]int64{41, 58}, pair("15N"), "the own count, beside England's")
		require.Equal(t, [2]int64{41, 60}, pair("16C"))

		// England's say nothing new of the denominator: only the numerator changes, for all.
		s.load(t, "", extract("A81001 20250930 CAN04 Numerator 44", "A81001 20250930 CAN04 Denominator 60"))
		require.Equal(t, [2]int64{44, 58}, pair("15N"))
		require.Equal(t, [2]int64{44, 60}, pair("16C"))

		// The same file is another's import; and what stands already for the other changes nothing.
		file := extract("A81001 20250930 CAN04 Denominator 60")
		require.EqualValues(t, 1, s.load(t, "15N", file).GetChanged())
		require.EqualValues(t, 0, s.load(t, "16C", file).GetChanged())
		require.Equal(t, [2]int64{44, 60}, pair("15N"))

		for by, want := range map[*auth.Principal]int{
			new(testkit.Preparer("15N")): 4, new(testkit.Preparer("16C")): 3, new(testkit.Auditor("*")): 5, new(testkit.PCNManager("U12345")): 2,
		} {
			out, err := s.iif.ListImports(s.as(t, *by), &iifv1.ListImportsRequest{})
			require.NoError(t, err)
			require.Len(t, out.GetImports(), want, "%v", by)
		}
		_, err := s.iif.GetImport(s.as(t, testkit.Preparer("16C")), &iifv1.GetImportRequest{ImportId: own.GetImportId()})
		require.Equal(t, "IMPORT_NOT_FOUND", refused(t, err).Reason)
		_, err = s.iif.GetImport(s.as(t, testkit.Preparer("15N")), &iifv1.GetImportRequest{ImportId: own.GetImportId()})
		require.NoError(t, err)
	})
}

func TestImportCounts_IsForThoseWhoHoldThem(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		file := extract("A81001 20250930 CAN04 Numerator 41")
		for name, c := range map[string]struct {
			by           auth.Principal
			commissioner string
			reason       string
		}{
			"England by one commissioner's": {testkit.Preparer("15N"), "", auth.ReasonEnglandRequired},
			"another's":                     {testkit.Preparer("15N"), "16C", auth.ReasonNotFound},
			"an auditor":                    {testkit.Auditor("*"), "", auth.ReasonRoleRequired},
			"a PCN's manager":               {testkit.PCNManager("U12345"), "15N", auth.ReasonRoleRequired},
		} {
			_, err := s.send(s.as(t, c.by), &iifv1.CountsHeader{RequestId: s.next(), CommissionerCode: c.commissioner, Source: "x"}, strings.NewReader(file))
			require.Equal(t, c.reason, refused(t, err).Reason, name)
		}
		_, err := s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{Source: "x"}, strings.NewReader(file))
		require.Equal(t, "REQUEST_ID_REQUIRED", refused(t, err).Reason)
		require.Zero(t, s.countRows(t, "imports"))
	})
}

func TestImportCounts_RefusesAFileWhole(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		good := "A81001 20250930 CAN04 Numerator 41"
		for name, c := range map[string]struct {
			content string
			reason  string
			fields  []string
			why     string
		}{
			"bad rows": {
				extract(good, "B1 20250930 CAN04 Numerator 41", "A81001 20250931 CAN04 Numerator 1", "A81001 20260430 CAN04 Numerator 1", "A81001 20250930 CAN04 Denominator x"),
				"FILE_HAS_BAD_ROWS",
				[]string{"line 3, column ORG_CODE", "line 4, column ACH_DATE", "line 5, column QUALITY_SERVICE", "line 6, column VALUE"},
				"4 of 5 rows are bad",
			},
			"a count that stands twice": {
				extract(good, "A81002 20250930 CAN04 Numerator 1", "A81001 20250930 CAN04 Numerator 42"), rules.ReasonSubmissionTwice, []string{"line 4"}, "1 counts stand twice",
			},
			"hidden and stated": {extract(good, "A81001 20250930 CAN04 Numerator *"), rules.ReasonSubmissionTwice, []string{"line 3"}, ""},
			"no rows":           {extractHeader, "FILE_MALFORMED", nil, ""},
			"nothing":           {"", rules.ReasonFileEmpty, nil, ""},
			"another header":    {"A,B\n1,2\n", rules.ReasonLayoutUnknown, nil, ""},
			"a day to come":     {extract("A81001 20260331 CAN04 Numerator 1"), "COUNTS_INVALID", nil, "2026-03-31"},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := s.tryLoad(t, "", c.content)
				f := refused(t, err)
				require.Equal(t, []any{fault.Invalid, c.reason}, []any{f.Kind, f.Reason}, f.Message)
				require.Contains(t, f.Message, c.why)
				var fields []string
				for _, v := range f.Violations {
					fields = append(fields, v.Field)
				}
				require.Equal(t, c.fields, fields)
			})
		}
		_, err := s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{RequestId: "h", Source: "x", Sha256: strings.Repeat("0", 64)}, strings.NewReader(extract(good)))
		require.Equal(t, "FILE_MALFORMED", refused(t, err).Reason)
		_, err = s.send(s.as(t, testkit.Operator()), &iifv1.CountsHeader{RequestId: "l", Source: "x", Layout: iifv1.CountsLayout_CENTRAL_FEED}, strings.NewReader(extract(good)))
		require.Equal(t, rules.ReasonLayoutMismatch, refused(t, err).Reason)
		s.nothing(t)
	})
}

// nothing holds that no import left anything behind.
func (s *countsSuite) nothing(t *testing.T) {
	t.Helper()
	for _, table := range []string{"imports", "counts", "import_cells", "outbox", "audit", "idempotency"} {
		require.Zero(t, s.countRows(t, table), table)
	}
}

// TestImportCounts_TakesTurns sends files at the same time.
func TestImportCounts_TakesTurns(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		const files = 6
		failed := make(chan error, files)
		for i := range files {
			header := &iifv1.CountsHeader{RequestId: s.next(), Source: "x"}
			ctx := s.as(t, testkit.Operator())
			go func() {
				_, err := s.send(ctx, header, strings.NewReader(extract(fmt.Sprintf("A81001 20250930 CAN04 Numerator %d", i), fmt.Sprintf("A8200%d 20250930 HI03 Numerator 1", i))))
				failed <- err
			}()
		}
		for range files {
			require.NoError(t, <-failed)
		}
		require.Equal(t, files, s.countRows(t, `counts WHERE organisation_code = 'A81001'`))
		require.Equal(t, 2*files, s.countRows(t, `(SELECT DISTINCT position FROM counts) p`))
		require.Zero(t, s.countRows(t, "import_cells"))
	})
}

func TestImportCounts_NamesTheFirstOfManyBadRows(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		var bad, twice []string
		for i := range 30_000 {
			bad = append(bad, fmt.Sprintf("A%05d 20250930 CAN04 Numerator %s", i, []string{"1", "-1"}[i%2]))
			twice = append(twice, fmt.Sprintf("A%05d 20250930 CAN04 Numerator %d", i/2, i))
		}
		_, err := s.tryLoad(t, "", extract(bad...))
		f := refused(t, err)
		require.Len(t, f.Violations, 20)
		require.Equal(t, "15000", f.Meta["rows_bad"])
		require.Contains(t, f.Message, "14980 more")
		_, err = s.tryLoad(t, "", extract(twice...))
		f = refused(t, err)
		require.Equal(t, rules.ReasonSubmissionTwice, f.Reason)
		require.Len(t, f.Violations, 20)
		require.Contains(t, f.Message, "14980 more")
		s.nothing(t)
	})
}

// TestImportCounts_KeepsHiddenCountsHidden also holds that what is hidden takes the place of no count.
func TestImportCounts_KeepsHiddenCountsHidden(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		hidden := rules.Cell{State: rules.Suppressed}
		const publication = "PRACTICE_CODE,PRACTICE_NAME,QUALITY_SERVICE,ACH_DATE,IND_CODE,MEASURE,VALUE\n" +
			"A81001,THE SURGERY,NCD2526,30/09/2025,CAN04,Denominator,*\nA81001,THE SURGERY,NCD2526,30/09/2025,CAN04,Numerator,1\n"
		out := s.load(t, "", publication)
		require.EqualValues(t, 1, out.GetSuppressed())
		require.Equal(t, iifv1.CountsLayout_MONTHLY_PUBLICATION, out.GetLayout())
		require.Equal(t, hidden, s.stands(t, "15N", "A81001", "CAN-04").Denominator)
		shown := s.versions(t, &iifv1.ListCountsRequest{OrganisationCode: "A81001", FinancialYear: "2025-26"})[0].GetCounts().GetDenominator()
		require.True(t, shown.GetSuppressed())
		require.Nil(t, shown.Value)

		s.load(t, "", extract("A81001 20250930 CAN04 Denominator 1"))
		require.Equal(t, rules.Count(1), s.stands(t, "15N", "A81001", "CAN-04").Denominator)
		again := s.load(t, "", publication+"A81002,OTHER,NCD2526,30/09/2025,CAN04,Denominator,5\n")
		require.EqualValues(t, 1, again.GetChanged(), "that of the other practice")
		require.Equal(t, rules.Count(1), s.stands(t, "15N", "A81001", "CAN-04").Denominator)
	})
}

// TestImportCounts_OrderOfRowsDoesNotMatter takes one file in on two databases, in two orders, over the same counts from before.
func TestImportCounts_OrderOfRowsDoesNotMatter(t *testing.T) {
	t.Parallel()
	for name, open := range countsStores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			chance := rand.New(rand.NewPCG(7, 7))
			some := func(share float64) []string {
				var rows []string
				for practice := range 12 {
					for _, day := range []string{"20250831", "20250930"} {
						for _, code := range []string{"CAN04", "HI03"} {
							for _, field := range map[string][]string{"CAN04": {"Numerator", "Denominator", "FITNIDAT", "GICANREF"}, "HI03": {"Numerator", "PAT_AGEU14", "HLTHAPDEC"}}[code] {
								if chance.Float64() < share {
									value := fmt.Sprint(chance.IntN(4))
									if chance.IntN(9) == 0 {
										value = "*"
									}
									rows = append(rows, fmt.Sprintf("A%05d %s %s %s %s %s", practice, day, code, field, value, []string{"None", "Default"}[chance.IntN(2)]))
								}
							}
						}
					}
				}
				return rows
			}
			before, own, after := some(0.5), some(0.2), some(0.7)
			var pictures []string
			for range 2 {
				s := newCountsSuite(t, open)
				s.load(t, "", extract(before...))
				s.load(t, "15N", extract(own...))
				s.load(t, "", extract(after...))
				pictures = append(pictures, s.picture(t))
				for _, rows := range [][]string{before, own, after} {
					chance.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
				}
				require.Zero(t, s.load(t, "", extract(after...)).GetChanged(), "the same rows again")
				require.Equal(t, pictures[0], s.picture(t))
			}
			require.Equal(t, pictures[0], pictures[1])
		})
	}
}

// picture writes all versions down, but for the imports that they came by.
func (s *countsSuite) picture(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
		rows, err := q.Query(t.Context(), `SELECT position, organisation_code, achieved_on, indicator_code, commissioner_code, defaulted, body FROM counts ORDER BY position`)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var position int64
			var organisation, on, code, commissioner string
			var defaulted bool
			var body []byte
			if err := rows.Scan(&position, &organisation, &on, &code, &commissioner, &defaulted, &body); err != nil {
				return err
			}
			fmt.Fprintf(&out, "%d %s %s %s %s %t %x\n", position, organisation, on, code, commissioner, defaulted, body)
		}
		return rows.Err()
	}))
	return out.String()
}

// TestImportCounts_TakesThePublishedYear takes in the rows of three PCNs and four practices as they were published.
func TestImportCounts_TakesThePublishedYear(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		content, err := os.ReadFile(filepath.Join("internal", "feed", "testdata", "annual_2023-24.csv"))
		require.NoError(t, err)
		out := s.load(t, "", string(content))
		require.Equal(t, iifv1.CountsLayout_ANNUAL_PUBLICATION, out.GetLayout())
		require.Equal(t, []string{"2024-03-31"}, out.GetAchievedOn())
		tallied := int64(0)
		for _, tally := range out.GetTallies() {
			tallied += tally.GetRows()
		}
		require.Equal(t, out.GetRows(), out.GetCounts()+tallied)
		want := make(map[string]map[string]string)
		for _, line := range strings.Split(string(content), "\n") {
			if at := strings.Index(line, ",NCD2324,31/03/2024,NCD026,ACC-08 "); at >= 0 {
				v := strings.Split(line, ",")
				organisation := v[1]
				if want[organisation] == nil {
					want[organisation] = make(map[string]string)
				}
				want[organisation][strings.ToLower(strings.TrimPrefix(v[len(v)-2], "ACC-08 "))] = strings.TrimSpace(v[len(v)-1])
			}
		}
		require.NotEmpty(t, want)
		of, _, _, err := s.service.CountsOf(t.Context(), "", 2023, period.NewDate(2024, time.March, 31), nil, 0)
		require.NoError(t, err)
		for organisation, counts := range want {
			i := slices.IndexFunc(of[organisation], func(c rules.IndicatorCounts) bool { return c.Code == "ACC-08" })
			require.GreaterOrEqual(t, i, 0, organisation)
			require.Equal(t, counts["numerator"], of[organisation][i].Counts.Numerator.String())
			require.Equal(t, counts["denominator"], of[organisation][i].Counts.Denominator.String())
		}
	})
}

func TestImportCounts_TakesFieldNamesIn(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		sentence := extractHeader + `NCD2526,Network Contract DES 2025/26,A81001,20250930,CAN04,The number of patients who have had a lower gastrointestinal urgent suspected cancer referral in the reporting year,60,None,x,05/10/2025,19:36:07,Y` + "\n"
		_, err := s.tryLoad(t, "", sentence)
		require.Equal(t, rules.ReasonFieldUnknown, refused(t, err).Violations[0].Reason)

		content, err := os.ReadFile(filepath.Join("internal", "feed", "testdata", "field_map_2025-26.csv"))
		require.NoError(t, err)
		_, err = s.tryLoad(t, "15N", string(content))
		require.Equal(t, "FILE_MALFORMED", refused(t, err).Reason)
		out := s.load(t, "", string(content))
		require.Equal(t, iifv1.CountsLayout_FIELD_MAP, out.GetLayout())
		require.Equal(t, out.GetRows(), out.GetChanged())
		require.Equal(t, int(out.GetRows()), s.countRows(t, "field_names"))
		require.Zero(t, out.GetCounts())

		s.load(t, "", sentence)
		require.Equal(t, rules.Count(60), s.stands(t, "15N", "A81001", "CAN-04").Denominator)

		const head = "SERVICE_YEAR,IND_CODE,FIELD_NAME,SHORT_NAME\n"
		require.Zero(t, s.load(t, "", head+"2025-26,CAN04,FITNIDAT,FITNIDAT\n").GetChanged(), "a name that stands")
		require.EqualValues(t, 1, s.load(t, "", head+"2025-26,CAN04,A new sentence,FITNIDAT\n2025-26,CAN04,A new sentence,FITNIDAT\n").GetChanged())
		for name, content := range map[string]string{
			"two names":              head + "2025-26,CAN04,Another,FITNIDAT\n2025-26,CAN04,Another,GICANREF\n",
			"one that has a meaning": head + "2025-26,CAN04,Numerator,FITNIDAT\n",
			"one that means two now": head + "2025-26,CAN04,A NEW sentence,GICANREF\n",
		} {
			_, err := s.tryLoad(t, "", content)
			require.Equal(t, rules.ReasonNamesConflict, refused(t, err).Reason, name)
		}
	})
}

func TestImportCounts_TakesAFileInAgainOnceItsCodesAreListed(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		file := extract("A81001 20250930 CAN04 Numerator 41", "A81001 20250930 NEW01 Numerator 7", "A81001 20250930 NEW01 Denominator 9")
		s.load(t, "", file)
		again, err := s.tryLoad(t, "", file)
		require.NoError(t, err)
		require.True(t, again.GetAlreadyImported())
		require.NoError(t, s.propose(t, "2025-26", "IIF-2025-04", "NEW-01"))
		again, err = s.tryLoad(t, "", file)
		require.NoError(t, err)
		require.False(t, again.GetAlreadyImported())
		require.EqualValues(t, 1, again.GetCountsImport().GetChanged(), "the counts of the new indicator, and no others")
		require.NotNil(t, s.stands(t, "15N", "A81001", "NEW-01"))
	})
}

func TestImportCounts_TakesBackWhatAnotherFileSaid(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		right, wrong := extract("A81001 20250930 CAN04 Numerator 41"), extract("A81001 20250930 CAN04 Numerator 14")
		s.load(t, "", right)
		s.load(t, "", wrong)
		s.load(t, "", right)
		require.Equal(t, rules.Count(41), s.stands(t, "15N", "A81001", "CAN-04").Numerator)
	})
}

func TestImportCounts_MapsSideBySideAreReadByWhatStands(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		fieldMap := func(rows string) string { return "SERVICE_YEAR,IND_CODE,FIELD_NAME,SHORT_NAME\n" + rows }
		s.load(t, "", fieldMap("2025-26,CAN04,A sentence,FITNIDAT\n"))
		var all sync.WaitGroup
		var errs [2]error
		require.NoError(t, s.db.Write(t.Context(), func(tx *sqldb.Tx) error {
			require.NoError(t, tx.Lock(t.Context(), "counts"))
			for i, file := range []string{fieldMap("2025-26,CAN04,A sentence,FAECIMMDEC\n"), fieldMap("2025-26,CAN04,A sentence,FITNIDAT\n2025-26,CAN04,Another,GICANREF\n")} {
				ctx, id := s.as(t, testkit.Preparer("*")), s.next()
				all.Go(func() {
					_, errs[i] = s.send(ctx, &iifv1.CountsHeader{RequestId: id, Source: "a test", FileName: "map.csv"}, strings.NewReader(file))
				})
			}
			return nil
		}))
		all.Wait()
		require.NoError(t, errors.Join(errs[:]...))
		require.NoError(t, s.db.Read(t.Context(), func(q sqldb.Querier) error {
			last, err := sqldb.First(sqldb.Collect(t.Context(), q, sqldb.Text, `SELECT f.short_name FROM field_names f WHERE field_name = 'a sentence' OR field_name = 'A sentence' ORDER BY position DESC`))
			require.NoError(t, err)
			another, err := sqldb.First(sqldb.Collect(t.Context(), q, sqldb.Text, `SELECT i.import_id FROM imports i ORDER BY position DESC`))
			require.NoError(t, err)
			of, err := sqldb.First(sqldb.Collect(t.Context(), q, sqldb.Text, `SELECT import_id FROM field_names WHERE short_name = 'GICANREF'`))
			require.Equal(t, map[bool]string{true: "FITNIDAT", false: "FAECIMMDEC"}[another == of], last, "the map that was taken in last stands")
			return err
		}))
	})
}

// propose proposes an indicator that is measured as a percentage.
func (s *countsSuite) propose(t *testing.T, year, version, code string) error {
	t.Helper()
	_, err := s.iif.AddFigure(s.as(t, testkit.Preparer("*")), &iifv1.AddFigureRequest{
		RequestId: s.next(), FinancialYear: year, Source: "a letter", Confidence: typev1.Confidence_CONFIDENCE_CANDIDATE,
		Body: &iifv1.AddFigureRequest_Indicator{Indicator: &iifv1.SchemeIndicator{
			VersionId: version, IndicatorCode: code, Name: "N", Area: "A", Kind: iifv1.IndicatorKind_PERCENTAGE, Direction: iifv1.Direction_HIGHER,
			Status: iifv1.IndicatorStatus_ACTIVE, NumeratorFrom: iifv1.CountsFeed_EXTRACT, DenominatorFrom: iifv1.CountsFeed_EXTRACT,
		}},
	})
	return err
}

func TestAddFigure_KeepsFilesOfTheYearReadable(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		err := s.propose(t, "2021-22", "IIF-2021-04", "COV-01")
		require.ErrorContains(t, err, "no file of 2021/22 could be read beside the other versions")
		s.load(t, "", extractHeader+"NCD2122,Network Contract DES 2021/22,A81001,20220331,NCD002,Numerator,4,None,cro-processor,05/10/2025,19:36:07,Y\n")
	})
}

func TestRecordCounts_LeavesQuestionsToTheirAnswers(t *testing.T) {
	eachCounts(t, func(t *testing.T, s *countsSuite) {
		question := s.question("U12345", iifv1.Answer_YES, "2023-02-28", "")
		_, err := s.iif.RecordCounts(s.as(t, testkit.Preparer("15N")), &iifv1.RecordCountsRequest{
			RequestId: s.next(), CommissionerCode: "15N", OrganisationCode: "U12345", FinancialYear: "2022-23", AchievedOn: "2023-02-28", Reason: "r",
			Counts: &iifv1.IndicatorCounts{IndicatorCode: question.GetIndicatorCode(), Denominator: counted(3)},
		})
		require.ErrorContains(t, err, "1 things are wrong")
	})
}
