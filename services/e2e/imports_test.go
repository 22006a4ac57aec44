package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	csvType     = "text/csv"
	gzipType    = "application/gzip"
	octetType   = "application/octet-stream"
	bedsHeader  = "pcn_code,month,beds,coding_satisfied\n"
	importsPath = "/v1/register/imports?"
)

// upload sends a file as an import.
func (c caller) upload(t testing.TB, media string, file io.Reader, query url.Values) answer {
	t.Helper()
	if !query.Has("request_id") {
		query.Set("request_id", unique())
	}
	return c.call(t, request{method: http.MethodPost, path: importsPath + query.Encode(), body: file, headers: []string{"Content-Type", media}})
}

func sourced(source string) url.Values { return url.Values{"source": {source}} }

// freshBeds is a file that no run has sent before, of beds of networks that do not exist in a year before any payment.
func freshBeds(t testing.TB, rows int) string {
	t.Helper()
	var text strings.Builder
	text.WriteString(bedsHeader)
	for i := range rows {
		beds, err := rand.Int(rand.Reader, big.NewInt(100_000))
		require.NoError(t, err)
		fmt.Fprintf(&text, "U%05d,2019-07,%d,true\n", i, beds)
	}
	return text.String()
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestImport_TakesTheSameFilePlainAndCompressedOnce(t *testing.T) {
	t.Parallel()
	operator := named(t, "e2e.operator", "operator")
	file, source := freshBeds(t, 50), "e2e "+unique()
	query := url.Values{"source": {source}, "file_name": {"beds.csv"}, "request_id": {unique()}, "expected_kind": {"CARE_HOME_BEDS"}, "extract_date": {"2019-08-17"}}
	first := operator.upload(t, csvType, strings.NewReader(file), query)
	require.Equal(t, http.StatusCreated, first.Status, "%s", first)
	var got importAnswer
	first.read(t, &got)
	sum := sha256.Sum256([]byte(file))
	require.Equal(t, hex.EncodeToString(sum[:]), got.Load.SHA256)
	require.Equal(t, "CARE_HOME_BEDS", got.Load.Kind)
	require.Equal(t, source, got.Load.Source)
	require.Equal(t, "beds.csv", got.Load.FileName)
	require.Equal(t, "e2e.operator", got.Load.LoadedBy)
	require.EqualValues(t, 50, got.Load.RowsStored)
	require.False(t, got.AlreadyLoaded)
	location := first.Header.Get("Location")
	require.Equal(t, "/v1/register/loads/"+got.Load.LoadID, location)
	require.Equal(t, got.Load, read[load](t, operator, location))

	again := operator.upload(t, csvType, strings.NewReader(file), query)
	require.Equal(t, "true", again.Header.Get("Idempotent-Replay"))
	require.Equal(t, http.StatusCreated, again.Status)
	require.JSONEq(t, string(first.Body), string(again.Body))
	operator.upload(t, csvType, strings.NewReader(freshBeds(t, 1)), query).refused(t, http.StatusConflict, "REQUEST_ID_REUSED")

	for _, media := range []string{gzipType, octetType, csvType} { // the content tells what it is
		words := sourced("other words")
		words.Set("extract_date", query.Get("extract_date"))
		packed := operator.upload(t, media, bytes.NewReader(gzipped(t, file)), words)
		require.Equal(t, http.StatusOK, packed.Status, "%s", packed)
		var known importAnswer
		packed.read(t, &known)
		require.True(t, known.AlreadyLoaded)
		require.Equal(t, got.Load, known.Load)
	}
	encoded := operator.call(t, request{
		method: http.MethodPost, path: importsPath + url.Values{"source": {source}, "request_id": {unique()}}.Encode(),
		body: bytes.NewReader(gzipped(t, freshBeds(t, 2))), headers: []string{"Content-Type", csvType, "Content-Encoding", "gzip"},
	})
	require.Equal(t, http.StatusCreated, encoded.Status, "%s", encoded)
}

func TestImport_SetsBadRowsAsideWhenAskedTo(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	file := freshBeds(t, 3) + "U00009,2019-07,-4,true\nU00010,2019-13,1,perhaps\nU00001,2019-07,1,true\n"
	query := sourced("e2e")
	query.Set("bad_rows", "QUARANTINE")
	stored := operator.upload(t, csvType, strings.NewReader(file), query)
	require.Equal(t, http.StatusCreated, stored.Status, "%s", stored)
	var got importAnswer
	stored.read(t, &got)
	require.EqualValues(t, 6, got.Load.RowsRead)
	require.EqualValues(t, 3, got.Load.RowsStored)
	require.EqualValues(t, 3, got.Load.RowsQuarantined)
	type place struct {
		line           int64
		column, reason string
	}
	var places []place
	for _, row := range got.BadRows {
		places = append(places, place{row.Line, row.Column, row.Reason})
		require.NotEmpty(t, row.Detail)
	}
	require.ElementsMatch(t, []place{
		{5, "beds", "NUMBER_OUT_OF_RANGE"}, {6, "month", "MONTH_MALFORMED"}, {6, "coding_satisfied", "VALUE_NOT_ALLOWED"}, {7, "", "ROW_DUPLICATE"},
	}, places)
	var all []quarantinedRow
	for token := ""; ; {
		page := read[struct {
			Rows          []quarantinedRow `json:"rows"`
			NextPageToken string           `json:"next_page_token"`
		}](t, operator, "/v1/register/loads/"+got.Load.LoadID+"/quarantine?page_size=1&page_token="+url.QueryEscape(token))
		all = append(all, page.Rows...)
		if token = page.NextPageToken; token == "" {
			break
		}
		require.Less(t, len(all), 10)
	}
	require.Equal(t, got.BadRows, all)
}

func TestImport_WarnsOfOddCodesAndStoresThem(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	file := freshBeds(t, 1) + "X1,2019-07,3,true\nu90002,2019-07,3,true\nABCDEFGHIJKL,2019-07,3,true\nU123456,2019-07,3,true\n"
	stored := operator.upload(t, csvType, strings.NewReader(file), sourced("e2e"))
	require.Equal(t, http.StatusCreated, stored.Status, "%s", stored)
	var got importAnswer
	stored.read(t, &got)
	require.EqualValues(t, 5, got.Load.RowsStored)
	for _, warning := range got.Load.Warnings[4:] {
		require.Contains(t, warning, "no load has shown an organisation")
	}
	for i, code := range []string{"X1", "u90002", "ABCDEFGHIJKL", "U123456"} {
		require.Contains(t, got.Load.Warnings[i], code)
		require.Contains(t, got.Load.Warnings[i], fmt.Sprintf("line %d", i+3))
	}
}

func TestImport_ReadsWhatSpreadsheetsWrite(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	plain := freshBeds(t, 2)
	quoted := strings.ReplaceAll(plain, "U00000,2019-07", `"U00000","2019-07"`)
	for name, file := range map[string]string{
		"byte order mark": "\ufeff" + plain, "CRLF": strings.ReplaceAll(plain, "\n", "\r\n"), "no last line break": strings.TrimSuffix(plain, "\n"), "quotes": quoted,
		"columns in other order and unknown ones": "note,beds,month,PCN Code,Coding-Satisfied\nx,7,2019-08,U00001,Yes\n",
	} {
		stored := operator.upload(t, csvType, strings.NewReader(file), sourced("e2e "+name))
		require.Contains(t, []int{http.StatusCreated, http.StatusOK}, stored.Status, "%s: %s", name, stored)
	}
}

func TestLoads_AreListedNewestFirstPageByPage(t *testing.T) {
	t.Parallel()
	operator := as(t, "operator")
	source := "e2e " + unique()
	require.Equal(t, http.StatusCreated, operator.upload(t, csvType, strings.NewReader(freshBeds(t, 1)), sourced(source)).Status)
	seen := make(map[string]bool)
	found := 0
	for token := ""; ; {
		page := read[loadList](t, operator, "/v1/register/loads?kind=CARE_HOME_BEDS&page_size=2&page_token="+url.QueryEscape(token))
		for _, l := range page.Loads {
			require.Equal(t, "CARE_HOME_BEDS", l.Kind)
			require.False(t, seen[l.LoadID], "none stands twice")
			seen[l.LoadID] = true
			if l.Source == source {
				found++
			}
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	require.Equal(t, 1, found)
}
