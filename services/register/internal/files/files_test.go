package files

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

func day(t testing.TB, text string) period.Date {
	t.Helper()
	d, err := period.ParseDate(text)
	require.NoError(t, err)
	return d
}

func spool(t testing.TB, content io.Reader) *Spooled {
	t.Helper()
	s, err := Spool(content, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func check(t testing.TB, content string, o Options) (*Report, error) {
	t.Helper()
	return spool(t, strings.NewReader(content)).Check(o)
}

func rowsOf(t testing.TB, content string, o Options) []*Row {
	t.Helper()
	s := spool(t, strings.NewReader(content))
	_, err := s.Check(o)
	require.NoError(t, err)
	var out []*Row
	for row, err := range s.Rows(o) {
		require.NoError(t, err)
		out = append(out, row)
	}
	return out
}

func TestCheck_ReadsThePublishedFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file, date string
		kind       rules.Kind
		read, good int64
		passed     map[string]int64
	}{
		{"gp-reg-pat-prac-map_2020-09-01.csv", "2020-09-01", rules.PracticeMapping, 45, 45, nil},
		{"gp-reg-pat-prac-map_2022-01-01.csv", "2022-01-01", rules.PracticeMapping, 45, 45, nil},
		{"gp-reg-pat-prac-map_2025-10-01.csv", "2025-10-01", rules.PracticeMapping, 42, 42, nil},
		{"gp-reg-pat-prac-map_2026-01-01.csv", "2026-01-01", rules.PracticeMapping, 42, 42, nil},
		{"gp-reg-pat-prac-map_2026-07-01.csv", "2026-07-01", rules.PracticeMapping, 41, 41, nil},
		{"gp-reg-pat-prac-all_2021-01-01.csv", "2021-01-01", rules.RegisteredLists, 45, 45, nil},
		{"gp-reg-pat-prac-all_2022-01-01.csv", "2022-01-01", rules.RegisteredLists, 45, 45, nil},
		{"epcn_core_partner_details_2022-05.csv", "2022-05-01", rules.PCNPartners, 53, 53, nil},
		{"epcn_core_partner_details_2024-10.csv", "2024-10-01", rules.PCNPartners, 55, 55, nil},
		{"epcn_pcn_details_2022-05.csv", "2022-05-01", rules.PCNDetails, 13, 13, nil},
		{"epcn_pcn_details_2024-10.csv", "2024-10-01", rules.PCNDetails, 14, 14, nil},
		{"weighted_lists.csv", "2022-01-01", rules.WeightedLists, 102, 90, map[string]int64{passedNoWeight: 12}},
		{"practice_adjusted_population_2025-01-01.csv", "2025-01-01", rules.AdjustedPopulations, 44, 43, map[string]int64{passedTotals: 1}},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			file, err := os.Open(filepath.Join("..", "..", "testdata", c.file))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, file.Close()) })
			report, err := spool(t, file).Check(Options{})
			require.NoError(t, err)
			require.Equal(t, c.kind, report.Kind)
			require.Empty(t, report.Bad)
			require.Empty(t, report.Warnings)
			require.Equal(t, c.read, report.RowsRead)
			require.Equal(t, c.good, report.RowsGood)
			require.Equal(t, c.date, report.ExtractDate.String())
			if c.passed == nil {
				c.passed = map[string]int64{}
			}
			require.Equal(t, c.passed, report.PassedOver)
		})
	}
}

const (
	listHeader    = "PUBLICATION,EXTRACT_DATE,TYPE,CCG_CODE,ONS_CCG_CODE,CODE,POSTCODE,SEX,AGE,NUMBER_OF_PATIENTS\n"
	partnerHeader = "Partner Organisation Code,Partner Name,Practice Parent Sub ICB Loc Code,Practice Parent Sub ICB Loc Name,PCN Code,PCN Name," +
		"PCN Parent Sub ICB Loc Code,PCN Parent Sub ICB Loc Name,Practice to PCN Relationship Start Date,Practice to PCN Relationship End Date,Match\n"
)

func listRow(code, date, patients string) string {
	return fmt.Sprintf("GP_PRAC_PAT_LIST,%s,GP,00L,E38000130,%s,NE65 7UW,ALL,ALL,%s\n", date, code, patients)
}

func TestCheck_ReportsEveryBadValue(t *testing.T) {
	t.Parallel()
	good := listRow("A84001", "01Jan2022", "100")
	windows := []rules.Window{{Opens: day(t, "2022-04-01"), Closes: day(t, "2022-04-30")}}
	for _, c := range []struct {
		name, content, reason, column, value string
		line                                 int64
	}{
		{"exponent", listHeader + good + listRow("A84002", "01Jan2022", "1e9"), rules.ReasonNumberMalformed, "NUMBER_OF_PATIENTS", "1e9", 3},
		{"negative", listHeader + good + listRow("A84002", "01Jan2022", "-5"), rules.ReasonNumberOutOfRange, "NUMBER_OF_PATIENTS", "-5", 3},
		{"decimals of patients", listHeader + good + listRow("A84002", "01Jan2022", "5.5"), rules.ReasonNumberOutOfRange, "NUMBER_OF_PATIENTS", "5.5", 3},
		{"other digits", listHeader + good + listRow("A84002", "01Jan2022", "٣"), rules.ReasonNumberMalformed, "NUMBER_OF_PATIENTS", "٣", 3},
		{"not a number", listHeader + good + listRow("A84002", "01Jan2022", "NaN"), rules.ReasonNumberMalformed, "NUMBER_OF_PATIENTS", "NaN", 3},
		{"separator", listHeader + good + listRow("A84002", "01Jan2022", `"1,234"`), rules.ReasonNumberMalformed, "NUMBER_OF_PATIENTS", "1,234", 3},
		{"too many patients", listHeader + good + listRow("A84002", "01Jan2022", "1000001"), rules.ReasonNumberOutOfRange, "NUMBER_OF_PATIENTS", "1000001", 3},
		{"no number", listHeader + good + listRow("A84002", "01Jan2022", ""), rules.ReasonValueMissing, "NUMBER_OF_PATIENTS", "", 3},
		{"30 February", listHeader + good + listRow("A84002", "30Feb2022", "5"), rules.ReasonDateMalformed, "EXTRACT_DATE", "30Feb2022", 3},
		{"American date", listHeader + good + listRow("A84002", "01/31/2022", "5"), rules.ReasonDateMalformed, "EXTRACT_DATE", "01/31/2022", 3},
		{"another day", listHeader + good + listRow("A84002", "01Feb2022", "5"), rules.ReasonExtractDateMixed, "EXTRACT_DATE", "01Feb2022", 3},
		{"the same practice twice", listHeader + good + good, rules.ReasonRowDuplicate, "", "A84001", 3},
		{"malformed code", listHeader + good + listRow("A84/02", "01Jan2022", "5"), rules.ReasonCodeMalformed, "CODE", "A84/02", 3},
		{"long code", listHeader + good + listRow("A840020000000", "01Jan2022", "5"), rules.ReasonCodeMalformed, "CODE", "A840020000000", 3},
		{"no code", listHeader + good + listRow("", "01Jan2022", "5"), rules.ReasonValueMissing, "CODE", "", 3},
		{"too few cells", listHeader + good + "a,b\n", rules.ReasonRowRagged, "", "a,b", 3},
		{"too many cells", listHeader + good + strings.TrimSpace(listRow("A84002", "01Jan2022", "5")) + ",x\n", rules.ReasonRowRagged, "", "", 3},
		{"not UTF-8", listHeader + good + listRow("A84\xff02", "01Jan2022", "5"), rules.ReasonFileDamaged, "CODE", "A84\uFFFD02", 3},
		{"NUL", listHeader + good + listRow("A84\x0002", "01Jan2022", "5"), rules.ReasonFileDamaged, "CODE", "A84\uFFFD02", 3},
		{"one sex only", listHeader + good + strings.Replace(listRow("A84002", "01Jan2022", "5"), "ALL,ALL", "FEMALE,ALL", 1), rules.ReasonValueNotAllowed, "SEX", "FEMALE", 3},
		{
			"reversed period", partnerHeader + "A81001,A,16C,B,U89141,C,16C,B,20220401,20220331,1\n",
			rules.ReasonPeriodReversed, "Practice to PCN Relationship End Date", "20220331", 2,
		},
		{"month", "pcn_code,month,beds,coding_satisfied\nU89141,2022-13,5,true\n", rules.ReasonMonthMalformed, "month", "2022-13", 2},
		{"truth value", "pcn_code,month,beds,coding_satisfied\nU89141,2022-04,5,perhaps\n", rules.ReasonValueNotAllowed, "coding_satisfied", "perhaps", 2},
		{"financial year", "financial_year,practice_code,registered_patients,weighted_patients\n2021/23,A81001,1,1\n", rules.ReasonDateMalformed, "financial_year", "2021/23", 2},
		{"notice outside", "practice_code,participating,notice_date,effective_from\nA81001,false,2022-05-01,2022-06-01\n", rules.ReasonOptOutOutsideWindow, "notice_date", "2022-05-01", 2},
		{"no notice", "practice_code,participating,notice_date,effective_from\nA81001,false,,2022-06-01\n", rules.ReasonValueMissing, "notice_date", "", 2},
		{"kind of body", "code,name,kind,region_code,system_code,open_date,close_date\n00L,A,club,Y63,QHM,2013-04-01,\n", rules.ReasonValueNotAllowed, "kind", "club", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			report, err := check(t, c.content, Options{Windows: windows})
			require.NoError(t, err)
			require.Equal(t, int64(1), report.RowsBad)
			require.Len(t, report.Bad, 1)
			bad := report.Bad[0]
			require.Equal(t, c.reason, bad.Reason)
			require.Equal(t, c.line, bad.Line)
			require.Equal(t, c.column, bad.Column)
			if c.value != "" {
				require.Equal(t, c.value, bad.Value)
			}
			require.NotEmpty(t, bad.Detail)
			require.LessOrEqual(t, len([]rune(bad.Value)), maxShown)
		})
	}
}

func TestCheck_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	mapping, _ := os.ReadFile(filepath.Join("..", "..", "testdata", "gp-reg-pat-prac-map_2022-01-01.csv"))
	for _, c := range []struct {
		name, content, reason string
		options               Options
	}{
		{"empty", "", rules.ReasonFileEmpty, Options{}},
		{"only a mark", "\xef\xbb\xbf", rules.ReasonFileEmpty, Options{}},
		{"only a header", listHeader, rules.ReasonFileEmpty, Options{}},
		{"unknown header", "a,b,c\n1,2,3\n", rules.ReasonFileKindUnknown, Options{}},
		{"a comparison file", "list_date,practice_code,commissioner_code,pcn_code,registered_patients\n2018-04-01,A81001,00K,,4086\n", rules.ReasonFileKindUnknown, Options{}},
		{"another kind", string(mapping), rules.ReasonFileKindMismatch, Options{Expected: rules.RegisteredLists}},
		{"a column short", "pcn_code,month,beds\nU89141,2022-04,5\n", rules.ReasonColumnMissing, Options{Expected: rules.CareHomeBedCounts}},
		{"a column twice", "pcn_code,PCN Code,month,beds,coding_satisfied\nU1,U2,2022-04,1,true\n", rules.ReasonFileDamaged, Options{}},
		{"unclosed quote", listHeader + "\"GP_PRAC_PAT_LIST,01Jan2022\n", rules.ReasonFileDamaged, Options{}},
		{"stray quote", listHeader + "GP\"x,01Jan2022\n", rules.ReasonFileDamaged, Options{}},
		{"header not text", "\xff\xfeP\x00C\x00N\x00\n", rules.ReasonFileDamaged, Options{}},
		{"a column twice, of another kind", "practice_code,pcn_code,adjusted_population,PCN Code,month,beds,coding_satisfied\nA81001,U1,5,U2,2022-04,1,true\n", rules.ReasonFileDamaged, Options{Expected: rules.CareHomeBedCounts}},
		{"nothing but totals", "financial_year,practice_code,weighted_patients\n2021/22,A81001,0\n", rules.ReasonFileEmpty, Options{}},
		{"nobody says the day", "practice_code,adjusted_population\nA81001,5\n", rules.ReasonValueMissing, Options{}},
		{"the request says another day", string(mapping), rules.ReasonExtractDateMixed, Options{ExtractDate: day(t, "2022-02-01")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := check(t, c.content, c.options)
			require.Equal(t, c.reason, fault.ReasonOf(err), "%v", err)
		})
	}
}

func TestCheck_TakesTheDayOfTheFirstGoodRow(t *testing.T) {
	t.Parallel()
	report, err := check(t, listHeader+listRow("A84001", "01Jan2021", "-5")+listRow("A84002", "01Jan2022", "5")+listRow("A84003", "01Jan2022", "5"), Options{})
	require.NoError(t, err)
	require.Equal(t, "2022-01-01", report.ExtractDate.String())
	require.Equal(t, int64(2), report.RowsGood)
	require.Len(t, report.Bad, 1)
}

func TestCheck_BoundsTheRows(t *testing.T) {
	t.Parallel()
	content := "pcn_code,month,beds,coding_satisfied\n" + strings.Repeat("U1,2022-04,1,true\n", MaxRows)
	_, err := check(t, content, Options{})
	require.NoError(t, err)
	_, err = check(t, content+"U1,2022-04,1,true\n", Options{})
	require.ErrorContains(t, err, "more than 200000 rows: send it in parts")
}

func TestSpool_LeavesNoFileWithAName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Spool(strings.NewReader(listHeader+listRow("A84001", "01Jan2022", "5")), dir)
	require.NoError(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "a crash leaves none")
	report, err := s.Check(Options{})
	require.NoError(t, err)
	require.Equal(t, int64(1), report.RowsGood)
	require.NoError(t, s.Close())
}

func TestCheck_ReadsHeadersInAnyCaseAndOrder(t *testing.T) {
	t.Parallel()
	rows := rowsOf(t, "\xef\xbb\xbfCoding-Satisfied, BEDS ,ignored,Month,pcn_CODE\r\nyes,12,x,2022-04,U89141\r\n\r\n", Options{})
	require.Len(t, rows, 1)
	require.Equal(t, rules.Beds{PCN: "U89141", Month: day(t, "2022-04-01").Month(), Beds: 12, CodingSatisfied: true}, *rows[0].Beds)
	require.Equal(t, int64(2), rows[0].Line)
}

func TestCheck_ReadsPlainAdjustedPopulations(t *testing.T) {
	t.Parallel()
	o := Options{ExtractDate: day(t, "2025-01-01"), AppliedFrom: day(t, "2025-06-01").Month()}
	pcn := rowsOf(t, "pcn_code,adjusted_population\nU89141,50000\n", o)
	require.Equal(t, []rules.Population{{
		Organisation: "U89141", Kind: rules.Adjusted, Reference: day(t, "2025-01-01"), Value: "50000", AppliedFrom: day(t, "2025-06-01").Month(),
	}}, pcn[0].Populations)
	practice := rowsOf(t, "practice_code,adjusted_population,reference_date\nA81001,5000,01/01/2025\n", Options{})
	require.Equal(t, day(t, "2025-01-01"), practice[0].Populations[0].Reference)
}

func TestCheck_PassesOverPracticesOfWalesAndScotlandByName(t *testing.T) {
	t.Parallel()
	report, err := check(t, partnerHeader+
		"W81001,A,7A1,B,U89141,C,16C,B,20220401,,1\nS81001,A,,B,U89141,C,16C,B,20220401,,1\nA81001,A,16C,B,U89141,C,16C,B,20220401,,1\n", Options{})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{passedWelsh: 1, passedScottish: 1}, report.PassedOver)
	require.Equal(t, int64(1), report.RowsGood)
}

func TestCheck_WarnsOfUnusualCodes(t *testing.T) {
	t.Parallel()
	report, err := check(t, listHeader+listRow("G2I9Z", "01Jan2022", "5")+listRow("a84002", "01Jan2022", "5"), Options{})
	require.NoError(t, err)
	require.Equal(t, int64(2), report.RowsGood)
	require.Len(t, report.Warnings, 2)
}

func TestCheck_BoundsWarningsAndBadValues(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	content.WriteString(listHeader)
	for i := range 2000 {
		content.WriteString(listRow(fmt.Sprintf("X%d", i), "01Jan2022", "5"))
		content.WriteString(listRow(fmt.Sprintf("A%05d", i), "01Jan2022", "many"))
	}
	s := spool(t, strings.NewReader(content.String()))
	report, err := s.Check(Options{})
	require.NoError(t, err)
	require.Len(t, report.Warnings, maxWarnings)
	require.Len(t, report.Bad, MaxBadShown)
	require.Equal(t, int64(2000), report.RowsBad)
	count := 0
	for _, err := range s.BadRows(Options{}) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 2000, count, "all bad values can be listed")
}

func TestParseDate_KnowsTheStyles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"01-Sep-20": "2020-09-01", "01Jan2022": "2022-01-01", "01JAN2021": "2021-01-01", "20191001": "2019-10-01", "2022-01-01": "2022-01-01",
		"31/12/2022": "2022-12-31", "29Feb2024": "2024-02-29", "1-Sep-20": "", "30Feb2022": "", "29Feb2023": "", "20221301": "", "31/02/2022": "",
		"0001-01-01": "", "": "", "yesterday": "", "２０１９１００１": "", "2022-01-01T00:00:00Z": "",
	} {
		got, ok := parseDate(text)
		require.Equal(t, want != "", ok, text)
		require.Equal(t, want, got.String(), text)
	}
}

func compress(t testing.TB, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestSpool_HashesWhatIsInside(t *testing.T) {
	t.Parallel()
	content := listHeader + listRow("A84001", "01Jan2022", "5")
	plain := spool(t, strings.NewReader(content))
	packed := spool(t, bytes.NewReader(compress(t, content)))
	require.Equal(t, plain.SHA256, packed.SHA256)
	require.Equal(t, int64(len(content)), packed.Bytes)
}

func TestSpool_RefusesDamagedCompression(t *testing.T) {
	t.Parallel()
	whole := compress(t, strings.Repeat(listHeader, 1000))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-5] ^= 0xff
	broken := bytes.Clone(whole)
	broken[len(broken)/2] ^= 0xff
	for name, content := range map[string][]byte{
		"truncated": whole[:len(whole)-9], "only the magic": whole[:2], "half a header": whole[:7], "checksum": flipped, "body": broken,
		"rubbish after": append(bytes.Clone(whole), "rubbish"...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := Spool(bytes.NewReader(content), dir)
			require.Equal(t, rules.ReasonFileDamaged, fault.ReasonOf(err), "%v", err)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left, "nothing is left on disk")
		})
	}
}

var errBroken = errors.New("the upload broke off")

func TestSpool_PassesErrorsOfTheStreamOn(t *testing.T) {
	t.Parallel()
	_, err := Spool(io.MultiReader(strings.NewReader(listHeader), failing{}), t.TempDir())
	require.ErrorIs(t, err, errBroken)
	_, err = Spool(io.MultiReader(bytes.NewReader(compress(t, listHeader)[:9]), failing{}), t.TempDir())
	require.ErrorIs(t, err, errBroken)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// endless is a line that never ends.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range n {
		p[i] = 'x'
	}
	e.left -= n
	return n, nil
}

func TestSpool_RefusesLongLinesInBoundedMemory(t *testing.T) {
	for name, start := range map[string]string{"plain": listHeader, "header": "", "quoted with line breaks": listHeader + "\"\n\n"} {
		t.Run(name, func(t *testing.T) {
			content := &endless{left: 200 << 20}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Spool(io.MultiReader(strings.NewReader(start), content), t.TempDir())
			runtime.ReadMemStats(&after)
			require.Equal(t, rules.ReasonLineTooLong, fault.ReasonOf(err), "%v", err)
			require.Greater(t, content.left, 190<<20, "the rest is not taken in")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20))
		})
	}
}

func TestSpool_TakesALineOfTheLimit(t *testing.T) {
	t.Parallel()
	head := "pcn_code,month,beds,coding_satisfied,remark\n"
	line := "U89141,2022-04,5,true,"
	fits := line + strings.Repeat("x", MaxLine-len(line)-1) + "\n"
	report, err := check(t, head+fits, Options{})
	require.NoError(t, err)
	require.Equal(t, int64(1), report.RowsGood)
	_, err = Spool(strings.NewReader(head+"x"+fits), t.TempDir())
	require.Equal(t, rules.ReasonLineTooLong, fault.ReasonOf(err))
}

func TestRows_OfALargeFileAreReadAgain(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	content.WriteString("organisation_code,payee_code,payee_name,effective_from\n")
	const count = maxKept + 10
	for i := range count {
		fmt.Fprintf(&content, "U%05d,A81001,Name,2022-04-01\n", i)
	}
	s := spool(t, strings.NewReader(content.String()))
	report, err := s.Check(Options{})
	require.NoError(t, err)
	require.Equal(t, int64(count), report.RowsGood)
	require.Nil(t, s.kept)
	rows := 0
	for row, err := range s.Rows(Options{}) {
		require.NoError(t, err)
		require.Equal(t, int64(rows+2), row.Line)
		rows++
	}
	require.Equal(t, count, rows)
}

func TestPopulationValue_ChecksByKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind               rules.PopulationKind
		text, want, reason string
	}{
		{rules.Registered, "4086", "4086", ""},
		{rules.Registered, "4086.5", "", rules.ReasonNumberOutOfRange},
		{rules.Weighted, "4703.50", "4703.5", ""},
		{rules.Adjusted, "-1", "", rules.ReasonNumberOutOfRange},
		{rules.Adjusted, "5000001", "", rules.ReasonNumberOutOfRange},
		{rules.Weighted, "1e3", "", rules.ReasonNumberMalformed},
	} {
		got, err := PopulationValue(c.kind, c.text)
		require.Equal(t, c.reason, fault.ReasonOf(err), c.text)
		require.Equal(t, c.want, got)
	}
}
