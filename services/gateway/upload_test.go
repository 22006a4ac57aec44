package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/gateway"
)

const (
	importPath   = "/v1/register/imports"
	paymentsPath = "/v1/payments/imports"
)

func TestUpload_StreamsTheFileInChunks(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	file := bytes.Repeat([]byte("0123456789abcdef"), 100_000) // 1.6 MB: three full chunks and a rest
	a := s.send(t, http.MethodPost, importPath+"?expected_kind=PRACTICE_MAPPING&bad_rows=QUARANTINE&source=NHS+England"+
		"&file_name=map.csv&extract_date=2022-04-01&applied_from_month=2022-05", bytes.NewReader(file),
		"Content-Type", "text/csv; charset=utf-8", "Idempotency-Key", "k1", "Authorization", "Bearer t")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	require.Equal(t, "/v1/register/loads/load-1", a.Header.Get("Location"))
	require.Equal(t, false, a.json(t)["already_loaded"])
	require.Equal(t, file, s.register.data)
	require.Equal(t, []int{512 << 10, 512 << 10, 512 << 10, len(file) - 3*512<<10}, s.register.chunks)
	h := s.register.header
	require.Equal(t, registerv1.FileKind_PRACTICE_MAPPING, h.GetExpectedKind())
	require.Equal(t, registerv1.BadRows_QUARANTINE, h.GetBadRows())
	require.Equal(t, []string{"k1", "NHS England", "map.csv", "2022-04-01", "2022-05"},
		[]string{h.GetRequestId(), h.GetSource(), h.GetFileName(), h.GetExtractDate(), h.GetAppliedFromMonth()})
	require.Equal(t, []string{"Bearer t"}, s.register.md.Get("authorization"))
	require.Equal(t, []string{a.Header.Get("X-Correlation-Id")}, s.register.md.Get("x-correlation-id"))
}

func TestUpload_KnowsAFileLoadedBefore(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.register.already = true
	a := s.call(t, http.MethodPost, importPath, "a,b\n", "Content-Type", "application/octet-stream")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Empty(t, a.Header.Get("Location"))
	require.Equal(t, "true", a.Header.Get("Idempotent-Replay"))
}

func TestUpload_PassesAnEarlyRefusalOn(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.register.refuse = refusal(codes.InvalidArgument, "FILE_KIND_UNKNOWN", "no kind has this header", nil)
	a := s.send(t, http.MethodPost, importPath, bytes.NewReader(make([]byte, 4<<20)), "Content-Type", "application/gzip")
	a.problem(t, http.StatusBadRequest, "FILE_KIND_UNKNOWN")
}

func TestUpload_OfPaymentsStreamsTheFile(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	file := bytes.Repeat([]byte("16C-2022-04-1-U89141,PAID\n"), 50_000)
	a := s.send(t, http.MethodPost, paymentsPath+"?commissioner_code=16C&kind=FILE_KIND_CONFIRMATIONS&file_name=april.csv",
		bytes.NewReader(file), "Content-Type", "text/csv", "Idempotency-Key", "k1")
	require.Equal(t, http.StatusCreated, a.Status, a.Body)
	require.Equal(t, "/v1/payments/imports/imp-1/rows", a.Header.Get("Location"))
	require.Equal(t, false, a.json(t)["already_imported"])
	require.Equal(t, file, s.payments.data)
	h := s.payments.header
	require.Equal(t, paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS, h.GetKind())
	require.Equal(t, []string{"16C", "april.csv", "k1"}, []string{h.GetCommissionerCode(), h.GetFileName(), h.GetRequestId()})
	require.InDelta(t, 120, s.payments.deadline.Seconds(), 2)
	require.Empty(t, s.register.data, "the file goes to one service")
}

func TestUpload_OfPaymentsKnowsAFileTakenInBefore(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.payments.already = true
	a := s.call(t, http.MethodPost, paymentsPath+"?request_id=k1", "a,b\n", "Content-Type", "application/octet-stream")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Empty(t, a.Header.Get("Location"))
	require.Equal(t, "k1", s.payments.header.GetRequestId())
}

func TestUpload_OfPaymentsPassesAnEarlyRefusalOn(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	s.payments.refuse = refusal(codes.InvalidArgument, "FILE_HAS_BAD_ROWS", "nothing was stored", nil)
	a := s.send(t, http.MethodPost, paymentsPath, bytes.NewReader(make([]byte, 4<<20)), "Content-Type", "text/csv")
	a.problem(t, http.StatusBadRequest, "FILE_HAS_BAD_ROWS")
}

func TestUpload_SharesItsPathWithTheList(t *testing.T) {
	t.Parallel()
	s := newSuite(t)
	a := s.get(t, paymentsPath+"?commissioner_code=16C")
	require.Equal(t, http.StatusOK, a.Status, a.Body)
	require.Equal(t, "ListImports", s.payments.called)
	require.InDelta(t, 10, s.payments.deadline.Seconds(), 2)
}

func TestUpload_Refuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, query, contentType string
		body                     io.Reader
		headers                  []string
		status                   int
		reason                   string
	}{
		"JSON":                           {importPath, "", "application/json", strings.NewReader("{}"), nil, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"no type":                        {importPath, "", "", strings.NewReader("a"), nil, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"brotli":                         {importPath, "", "text/csv", strings.NewReader("a"), []string{"Content-Encoding", "br"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"unknown parameter":              {importPath, "?kind=PCN_DETAILS", "text/csv", strings.NewReader("a"), nil, 400, "UNKNOWN_FIELD"},
		"unknown kind":                   {importPath, "?expected_kind=NOTHING", "text/csv", strings.NewReader("a"), nil, 400, "REQUEST_INVALID"},
		"two identifiers":                {importPath, "?request_id=a", "text/csv", strings.NewReader("a"), []string{"Idempotency-Key", "b"}, 400, "REQUEST_INVALID"},
		"too large":                      {importPath, "", "text/csv", bytes.NewReader(make([]byte, gateway.MaxUploadBytes+1)), nil, 413, "BODY_TOO_LARGE"},
		"compressed, of payments":        {paymentsPath, "", "application/gzip", strings.NewReader("a"), nil, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"encoded, of payments":           {paymentsPath, "", "text/csv", strings.NewReader("a"), []string{"Content-Encoding", "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"unknown parameter, of payments": {paymentsPath, "?expected_kind=x", "text/csv", strings.NewReader("a"), nil, 400, "UNKNOWN_FIELD"},
		"unknown kind, of payments":      {paymentsPath, "?kind=NOTHING", "text/csv", strings.NewReader("a"), nil, 400, "REQUEST_INVALID"},
		"two identifiers, of payments":   {paymentsPath, "?request_id=a", "text/csv", strings.NewReader("a"), []string{"Idempotency-Key", "b"}, 400, "REQUEST_INVALID"},
		"too large, of payments":         {paymentsPath, "", "text/csv", bytes.NewReader(make([]byte, gateway.MaxUploadBytes+1)), nil, 413, "BODY_TOO_LARGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSuite(t)
			a := s.send(t, http.MethodPost, c.path+c.query, c.body, append([]string{"Content-Type", c.contentType}, c.headers...)...)
			a.problem(t, c.status, c.reason)
		})
	}
}
