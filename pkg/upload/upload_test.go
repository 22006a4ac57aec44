package upload_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
)

type header struct{ requestID string }

func (h *header) GetRequestId() string { return h.requestID }

type part struct {
	header *header
	chunk  string
}

func (p part) GetHeader() *header { return p.header }
func (p part) GetChunk() []byte   { return []byte(p.chunk) }

// stream gives parts in order, and ends as it is told.
type stream struct {
	parts []part
	end   error
}

func (s *stream) Recv() (part, error) {
	if len(s.parts) == 0 {
		return part{}, s.end
	}
	next := s.parts[0]
	s.parts = s.parts[1:]
	return next, nil
}

const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

var errBroken = errors.New("the line is broken")

func reason(err error) string {
	if refused, ok := fault.As(err); ok {
		return refused.Reason
	}
	return ""
}

func TestHeader_IsInTheFirstMessage(t *testing.T) {
	want := &header{requestID: "r1"}
	got, err := upload.Header[*header](&stream{parts: []part{{header: want}}, end: io.EOF}, "NO_HEADER")
	require.NoError(t, err)
	require.Same(t, want, got)
	for _, s := range []*stream{{end: io.EOF}, {parts: []part{{chunk: "abc"}}, end: io.EOF}} {
		_, err := upload.Header[*header](s, "NO_HEADER")
		require.Equal(t, "NO_HEADER", reason(err))
	}
	_, err = upload.Header[*header](&stream{end: errBroken}, "NO_HEADER")
	require.ErrorIs(t, err, errBroken)
}

func TestIdentified_NeedsARequestID(t *testing.T) {
	require.NoError(t, upload.Identified(&header{requestID: "r1"}))
	require.Equal(t, "REQUEST_ID_REQUIRED", reason(upload.Identified(new(header))))
}

func TestContent_JoinsThePieces(t *testing.T) {
	for _, parts := range [][]part{{{chunk: "abc"}}, {{chunk: "a"}, {}, {chunk: "bc"}}} {
		for _, stated := range []string{"", abc} {
			content, sum, err := upload.Content[*header](&stream{parts: parts, end: io.EOF}, 3, stated, "BAD")
			require.NoError(t, err)
			require.Equal(t, "abc", string(content))
			require.Equal(t, abc, sum)
		}
	}
}

func TestContent_RefusesWhatIsNotTheFileThatWasSent(t *testing.T) {
	for name, c := range map[string]struct {
		parts  []part
		stated string
	}{
		"a byte too many": {parts: []part{{chunk: "abc"}, {chunk: "d"}}},
		"another hash":    {parts: []part{{chunk: "abd"}}, stated: abc},
		"a second header": {parts: []part{{chunk: "a"}, {header: new(header)}, {chunk: "bc"}}},
		"a header again":  {parts: []part{{header: new(header)}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := upload.Content[*header](&stream{parts: c.parts, end: io.EOF}, 3, c.stated, "BAD")
			require.Equal(t, "BAD", reason(err))
		})
	}
	_, _, err := upload.Content[*header](&stream{parts: []part{{chunk: "a"}}, end: errBroken}, 3, "", "BAD")
	require.ErrorIs(t, err, errBroken)
}

func TestReader_GivesTheBytesInPiecesOfAnySize(t *testing.T) {
	r := upload.Reader[*header](&stream{parts: []part{{chunk: "abc"}, {chunk: strings.Repeat("d", 5)}}, end: io.EOF}, "BAD")
	piece := make([]byte, 2)
	var out []byte
	for {
		n, err := r.Read(piece)
		out = append(out, piece[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	require.Equal(t, "abcddddd", string(out))
}

// packed compresses a text.
func packed(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	_, err := io.WriteString(zip, text)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	return out.String()
}

func TestSpool_ReadsAsOftenAsNeeded(t *testing.T) {
	dir := t.TempDir()
	for _, sent := range []string{"abc", packed(t, "abc")} {
		s, err := upload.Spool(strings.NewReader(sent), upload.SpoolOptions{Dir: dir, MaxBytes: 3, Reason: "BAD"})
		require.NoError(t, err)
		require.Equal(t, abc, s.SHA256)
		require.EqualValues(t, 3, s.Bytes)
		for range 2 {
			got, err := io.ReadAll(s.Open())
			require.NoError(t, err)
			require.Equal(t, "abc", string(got))
		}
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left, "a crash leaves nothing")
		require.NoError(t, s.Close())
	}
}

func TestSpool_RefusesWhatIsTooLargeOrDamaged(t *testing.T) {
	whole := packed(t, strings.Repeat("abc", 1000))
	for name, sent := range map[string]string{
		"a byte too many": "abcd", "too many when unpacked": packed(t, "abcd"), "cut off": whole[:len(whole)/2], "no compression behind its mark": "\x1f\x8bxyz",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := upload.Spool(strings.NewReader(sent), upload.SpoolOptions{Dir: t.TempDir(), MaxBytes: 3, Reason: "BAD"})
			require.Equal(t, "BAD", reason(err))
		})
	}
	_, err := upload.Spool(upload.Reader[*header](&stream{parts: []part{{chunk: "abc"}}, end: errBroken}, "X"), upload.SpoolOptions{Dir: t.TempDir(), MaxBytes: 9, Reason: "BAD"})
	require.ErrorIs(t, err, errBroken)
	refuses := func(io.Reader) io.Reader { return iotest.ErrReader(errBroken) }
	_, err = upload.Spool(strings.NewReader("abc"), upload.SpoolOptions{Dir: t.TempDir(), MaxBytes: 9, Reason: "BAD", Through: refuses})
	require.ErrorIs(t, err, errBroken)
}
