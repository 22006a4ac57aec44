package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tests of this file are not parallel: each proves that the list of loads stays as it was.

// loadsNow returns the first page of loads.
func loadsNow(t testing.TB) []load {
	t.Helper()
	return read[loadList](t, as(t, "auditor"), "/v1/register/loads?page_size=1000").Loads
}

const (
	listsHeader    = "PUBLICATION,EXTRACT_DATE,TYPE,CCG_CODE,ONS_CCG_CODE,CODE,POSTCODE,SEX,AGE,NUMBER_OF_PATIENTS\n"
	weightsHeader  = "financial_year,practice_code,registered_patients,weighted_patients\n"
	payeesHeader   = "organisation_code,payee_code,payee_name,effective_from\n"
	detailsHeader  = "PCN Code,PCN Name,Current Sub ICB Loc Code,Sub ICB Location,Open Date,Close Date\n"
	partakerHeader = "practice_code,participating,notice_date,effective_from\n"
)

func TestBadFile_IsRefusedWholeAndStoresNothing(t *testing.T) {
	operator, before := as(t, "operator"), loadsNow(t)
	beds := bedsHeader + "U00001,2019-07,3,true\n"
	packed := gzipped(t, beds)
	broken := bytes.Clone(packed)
	broken[len(broken)/2] ^= 0xff
	for _, c := range []struct{ name, media, file, query, reason string }{
		{"empty", csvType, "", "", "FILE_EMPTY"},
		{"header only", csvType, bedsHeader, "", "FILE_EMPTY"},
		{"unknown header", csvType, "colour,size\nred,3\n", "", "FILE_KIND_UNKNOWN"},
		{"column missing", csvType, "pcn_code,month,beds\nU00001,2019-07,3\n", "expected_kind=CARE_HOME_BEDS", "COLUMN_MISSING"},
		{"column twice", csvType, "pcn_code,month,beds,beds,coding_satisfied\nU00001,2019-07,3,4,true\n", "", "FILE_DAMAGED"},
		{"another kind than named", csvType, beds, "expected_kind=NOMINATED_PAYEES", "FILE_KIND_MISMATCH"},
		{"a kind that no file is of", csvType, beds, "expected_kind=RECORDED", "VALUE_NOT_ALLOWED"},
		{"a kind that does not exist", csvType, beds, "expected_kind=COLOURS", "REQUEST_INVALID"},
		{"two files in one", csvType, beds + partakerHeader + "A81001,true,,2022-04-01\n", "", "FILE_HAS_BAD_ROWS"},
		{"truncated gzip", gzipType, string(packed[:len(packed)-9]), "", "FILE_DAMAGED"},
		{"gzip header only", gzipType, string(packed[:6]), "", "FILE_DAMAGED"},
		{"damaged gzip", gzipType, string(broken), "", "FILE_DAMAGED"},
		{"junk after gzip", gzipType, string(packed) + "junk", "", "FILE_DAMAGED"},
		{"three MiB in a line", csvType, bedsHeader + strings.Repeat("A", 3<<20) + "\n", "", "LINE_TOO_LONG"},
		{"three MiB of header", csvType, strings.Repeat("A,", 3<<19), "", "LINE_TOO_LONG"},
		{"three MiB in quotes", csvType, bedsHeader + `"` + strings.Repeat("A\n", 3<<19), "", "LINE_TOO_LONG"},
		{"open quote", csvType, bedsHeader + "\"U00001,2019-07,3,true\n", "", "FILE_DAMAGED"},
		{"UTF-16", csvType, "\xff\xfep\x00c\x00n\x00", "", "FILE_DAMAGED"},
		{"header not UTF-8", csvType, "pcn_code,month,beds,coding_satisfied,\xff\nU00001,2019-07,3,true,x\n", "", "FILE_DAMAGED"},
		{"cell not UTF-8", csvType, bedsHeader + "U00\xff1,2019-07,3,true\n", "", "FILE_HAS_BAD_ROWS"},
		{"overlong UTF-8", csvType, bedsHeader + "U00\xc0\xaf1,2019-07,3,true\n", "", "FILE_HAS_BAD_ROWS"},
		{"NUL in a cell", csvType, bedsHeader + "U00\x001,2019-07,3,true\n", "", "FILE_HAS_BAD_ROWS"},
		{"duplicate rows", csvType, beds + "U00001,2019-07,3,true\n", "", "FILE_HAS_BAD_ROWS"},
		{"ragged rows", csvType, beds + "U00002,2019-07,3\n", "", "FILE_HAS_BAD_ROWS"},
		{"blank cells", csvType, bedsHeader + ",,,\n", "", "FILE_HAS_BAD_ROWS"},
		{"extract date that is none", csvType, beds, "extract_date=2022-02-30", "DATE_MALFORMED"},
		{"month that is none", csvType, beds, "applied_from_month=2022-13", "MONTH_MALFORMED"},
		{"unknown parameter", csvType, beds, "colour=red", "UNKNOWN_FIELD"},
		{"two dates in one file", csvType, listsHeader + "P,01Jan2019,GP,00L,E,A84002,X,ALL,ALL,1\nP,01Feb2019,GP,00L,E,A84005,X,ALL,ALL,1\n", "", "FILE_HAS_BAD_ROWS"},
	} {
		query, err := url.ParseQuery(c.query)
		require.NoError(t, err)
		query.Set("source", "e2e")
		got := operator.upload(t, c.media, strings.NewReader(c.file), query)
		t.Run(c.name, func(t *testing.T) { got.refused(t, http.StatusBadRequest, c.reason) })
	}
	require.Equal(t, before, loadsNow(t), "nothing was stored")
}

func TestBadValue_IsNamedByLineColumnAndReason(t *testing.T) {
	operator, before := as(t, "operator"), loadsNow(t)
	for _, c := range []struct{ file, column, reason string }{
		{bedsHeader + "U00001,2019-07,1e9,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,-5,true", "beds", "NUMBER_OUT_OF_RANGE"},
		{bedsHeader + "U00001,2019-07,٣,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,３,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,NaN,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + `U00001,2019-07,"1,234",true`, "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,0x10,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,1_000,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,+5,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,1/2,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,∞,true", "beds", "NUMBER_MALFORMED"},
		{bedsHeader + "U00001,2019-07,5.5,true", "beds", "NUMBER_OUT_OF_RANGE"},
		{bedsHeader + "U00001,2019-07,99999999999999999999999999,true", "beds", "NUMBER_OUT_OF_RANGE"},
		{bedsHeader + "U00001,2019-07,100001,true", "beds", "NUMBER_OUT_OF_RANGE"},
		{bedsHeader + "U00001,2019-07,,true", "beds", "VALUE_MISSING"},
		{bedsHeader + "U00001,2019-00,3,true", "month", "MONTH_MALFORMED"},
		{bedsHeader + "U00001,2019-7,3,true", "month", "MONTH_MALFORMED"},
		{bedsHeader + "U00001,2019-07,3,2", "coding_satisfied", "VALUE_NOT_ALLOWED"},
		{bedsHeader + "U 001,2019-07,3,true", "pcn_code", "CODE_MALFORMED"},
		{bedsHeader + "=1+1,2019-07,3,true", "pcn_code", "CODE_MALFORMED"},
		{bedsHeader + "U٣٣٣٣٣,2019-07,3,true", "pcn_code", "CODE_MALFORMED"},
		{bedsHeader + "U000000000000,2019-07,3,true", "pcn_code", "CODE_MALFORMED"},
		{weightsHeader + "2018/19,A81001,1,1e9", "weighted_patients", "NUMBER_MALFORMED"},
		{weightsHeader + "2018/19,A81001,1,-0.5", "weighted_patients", "NUMBER_OUT_OF_RANGE"},
		{weightsHeader + "2018/19,A81001,1,1.2.3", "weighted_patients", "NUMBER_MALFORMED"},
		{weightsHeader + "2018/20,A81001,1,5", "financial_year", "DATE_MALFORMED"},
		{listsHeader + "P,30Feb2019,GP,00L,E,A84002,X,ALL,ALL,1", "EXTRACT_DATE", "DATE_MALFORMED"},
		{listsHeader + "P,2019-02-30,GP,00L,E,A84002,X,ALL,ALL,1", "EXTRACT_DATE", "DATE_MALFORMED"},
		{listsHeader + "P,01Jan2019,GP,00L,E,A84002,X,MALE,ALL,1", "SEX", "VALUE_NOT_ALLOWED"},
		{listsHeader + "P,01Jan2019,GP,00L,E,A84002,X,ALL,ALL,1000001", "NUMBER_OF_PATIENTS", "NUMBER_OUT_OF_RANGE"},
		{payeesHeader + "U00001,P1,Payee,2022-02-30", "effective_from", "DATE_MALFORMED"},
		{payeesHeader + "U00001,P1,,2022-02-01", "payee_name", "VALUE_MISSING"},
		{payeesHeader + "U00001,P1," + strings.Repeat("é", 301) + ",2022-02-01", "payee_name", "VALUE_NOT_ALLOWED"},
		{detailsHeader + "U00001,A PCN,00L,Place,2022-05-01,2022-04-30", "Close Date", "PERIOD_REVERSED"},
		{partakerHeader + "A81001,false,,2022-04-01", "notice_date", "VALUE_MISSING"},
		{partakerHeader + "A81001,false,1999-01-01,2022-04-01", "notice_date", "OPT_OUT_OUTSIDE_WINDOW"},
	} {
		p := operator.upload(t, csvType, strings.NewReader(c.file+"\n"), sourced("e2e"))
		t.Run(c.column+" "+c.reason, func(t *testing.T) {
			found := p.refused(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
			require.Equal(t, "1", found.Metadata["rows_bad"])
			require.Len(t, found.Errors, 1, "%s", p)
			require.Equal(t, "line 2, column "+c.column, found.Errors[0].Field)
			require.Equal(t, c.reason, found.Errors[0].Reason)
		})
	}
	require.Equal(t, before, loadsNow(t), "nothing was stored")
}

// repeated yields the same bytes again and again, and counts what was taken. The client may go on reading for a moment after
// the answer has come, so the count is atomic.
type repeated struct {
	part  []byte
	left  int64
	at    int
	taken atomic.Int64
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.part[r.at:])
	r.at = (r.at + n) % len(r.part)
	r.left -= int64(n)
	r.taken.Add(int64(n))
	return n, nil
}

const (
	gigabyte   = 1 << 30
	mostGrowth = 100 << 20
)

// resident returns the memory of the server, in bytes.
func resident(t testing.TB) *big.Rat {
	t.Helper()
	metrics := caller{}.get(t, "/metrics")
	for text := range strings.Lines(string(metrics.Body)) {
		if value, ok := strings.CutPrefix(text, "process_resident_memory_bytes "); ok {
			out, ok := new(big.Rat).SetString(strings.TrimSpace(value))
			require.True(t, ok, value)
			return out
		}
	}
	require.Fail(t, "the metrics do not tell the memory")
	return nil
}

// highest samples the server's memory while something runs.
func highest(t testing.TB, run func()) *big.Rat {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		run()
	}()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	most := resident(t)
	for {
		select {
		case <-done:
			return most
		case <-ticker.C:
			if now := resident(t); now.Cmp(most) > 0 {
				most = now
			}
		}
	}
}

func requireBounded(t testing.TB, before, most *big.Rat) {
	t.Helper()
	growth := new(big.Rat).Sub(most, before)
	require.Negative(t, growth.Cmp(big.NewRat(mostGrowth, 1)), "the server grew by %s bytes", growth.RatString())
}

func TestHugeLine_PlainIsCutOffEarly(t *testing.T) {
	operator, before, memory := as(t, "operator"), loadsNow(t), resident(t)
	line := &repeated{part: bytes.Repeat([]byte("A"), 64<<10), left: gigabyte}
	var got answer
	var err error
	most := highest(t, func() {
		got, err = suite.send(context.Background(), request{
			method: http.MethodPost, path: importsPath + url.Values{"source": {"e2e"}, "request_id": {unique()}}.Encode(), token: operator.token,
			body: io.MultiReader(strings.NewReader(bedsHeader), line), headers: []string{"Content-Type", csvType},
		})
	})
	require.NoError(t, err)
	got.refused(t, http.StatusBadRequest, "LINE_TOO_LONG")
	require.Less(t, line.taken.Load(), int64(64<<20), "the server reads on though it has refused")
	requireBounded(t, memory, most)
	require.Equal(t, before, loadsNow(t))
}

func TestHugeLine_CompressedTakesNoMemory(t *testing.T) {
	operator, before, memory := as(t, "operator"), loadsNow(t), resident(t)
	const part = 16 << 20
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, err := w.Write(bytes.Repeat([]byte("A"), part))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	body := io.MultiReader(bytes.NewReader(gzipped(t, bedsHeader)), &repeated{part: member.Bytes(), left: int64(member.Len()) * gigabyte / part})
	var got answer
	most := highest(t, func() {
		got, err = suite.send(context.Background(), request{
			method: http.MethodPost, path: importsPath + url.Values{"source": {"e2e"}, "request_id": {unique()}}.Encode(), token: operator.token,
			body: body, headers: []string{"Content-Type", gzipType},
		})
	})
	require.NoError(t, err)
	got.refused(t, http.StatusBadRequest, "LINE_TOO_LONG")
	requireBounded(t, memory, most)
	require.Equal(t, before, loadsNow(t))
}
