package csvrows_test

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/csvrows"
)

// latin is the older letters that a test reads: those of ISO 8859-1.
func latin(b byte) rune { return rune(b) }

func rows(t testing.TB, text string, o csvrows.Options) []csvrows.Row {
	t.Helper()
	r, err := csvrows.Open(strings.NewReader(text), o)
	require.NoError(t, err)
	var out []csvrows.Row
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		row.Values = append([]string(nil), row.Values...)
		out = append(out, row)
	}
}

func TestReader_ReadsRows(t *testing.T) {
	t.Parallel()
	want := []csvrows.Row{{Line: 2, Values: []string{"A81001", "Café, the"}}, {Line: 4, Values: []string{"", ""}}}
	for name, text := range map[string]string{
		"as it is": "code, name \nA81001,\"Café, the\"\n\n,\n",
		"mark":     "\ufeffcode,name\nA81001,\"Café, the\"\n\n,\n",
		"CRLF":     "code,name\r\nA81001,\"Café, the\"\r\n\r\n,\r\n",
		"no end":   "code,name\nA81001,\"Café, the\"\n\n,",
		"legacy":   "code,name\nA81001,\"Caf\xe9, the\"\n\n,\n",
	} {
		require.Equal(t, want, rows(t, text, csvrows.Options{MaxLine: 40, Legacy: latin}), name)
	}
	r, err := csvrows.Open(strings.NewReader(" code,\"na\"\"me\" \n"), csvrows.Options{MaxLine: 40})
	require.ErrorIs(t, err, csvrows.ErrHeader, "a blank before a quotation mark")
	require.Nil(t, r)
	r, err = csvrows.Open(strings.NewReader("\" code\",\"na\"\"me\"\n"), csvrows.Options{MaxLine: 40})
	require.NoError(t, err)
	require.Equal(t, []string{"code", `na"me`}, r.Header())
}

func TestReader_SaysWhatIsNoRow(t *testing.T) {
	t.Parallel()
	const header = "code,name\n"
	for name, test := range map[string]struct {
		line   string
		damage csvrows.Damage
		detail string
		start  string
	}{
		"half a quotation":   {`a,"b`, csvrows.Broken, "pairs", "a,b"},
		"a quotation inside": {`a,b"c"`, csvrows.Broken, "bare", "a"},
		"NUL":                {"a,b\x00", csvrows.Broken, "NUL", "a,b"},
		"no text":            {"a,\xff", csvrows.Broken, "text", "a,\ufffd"},
		"too long":           {"a," + strings.Repeat("x", 40), csvrows.TooLong, "at most 40 bytes", "a," + strings.Repeat("x", 40)},
		"beyond the buffer":  {strings.Repeat("y", 100_000), csvrows.TooLong, "at most 40 bytes", strings.Repeat("y", 60) + "…"},
		"too few":            {"a", csvrows.Ragged, "1 values, the header 2", "a"},
		"too many":           {"a,b,c", csvrows.Ragged, "3 values, the header 2", "a,b,c"},
	} {
		got := rows(t, header+test.line+"\nA81001,good\n", csvrows.Options{MaxLine: 40})
		require.Len(t, got, 2, name)
		require.Equal(t, test.damage, got[0].Damage, name)
		require.EqualValues(t, 2, got[0].Line, name)
		require.Contains(t, got[0].Detail, test.detail, name)
		require.Equal(t, test.start, strings.Join(got[0].Values, ","), name)
		require.Equal(t, csvrows.Row{Line: 3, Values: []string{"A81001", "good"}}, got[1], "%s: the row after it", name)
	}
}

func TestOpen_RefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"": csvrows.ErrEmpty, "\n\r\n": csvrows.ErrEmpty, "\"a\n": csvrows.ErrHeader, "a\x00": csvrows.ErrHeader, "\xff\xfea": csvrows.ErrHeader,
		strings.Repeat("x", 100): csvrows.ErrHeader, "a\"b\"\n": csvrows.ErrHeader,
	} {
		_, err := csvrows.Open(strings.NewReader(text), csvrows.Options{MaxLine: 40})
		require.ErrorIs(t, err, want, "%q", text)
	}
	broken := errors.New("broken")
	_, err := csvrows.Open(iotest.ErrReader(broken), csvrows.Options{MaxLine: 40})
	require.ErrorIs(t, err, broken)
	r, err := csvrows.Open(io.MultiReader(strings.NewReader("a,b\n1,2\n3"), iotest.ErrReader(broken)), csvrows.Options{MaxLine: 40})
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, broken)
}

// FuzzReader holds that a line is a row: any file has as many as it has lines with anything in them, whatever spoils some, and what is
// read of a good one is what CSV says.
func FuzzReader(f *testing.F) {
	for _, text := range []string{"a,b\n1,2\n", "a\n\"\n\"\n1\n", "a\n\x00\n\xff\n\r\n \n", "a,b\n\"x\"\"y\",1\n\"x\"y,\n,\"\"\n", "\ufeffa\n" + strings.Repeat("x", 90) + "\n1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := csvrows.Options{MaxLine: 64}
		if _, err := csvrows.Open(strings.NewReader(text), o); err != nil {
			return
		}
		lines := 0
		for line := range strings.SplitSeq(text, "\n") {
			if line != "" && line != "\r" && (lines > 0 || line != "\ufeff") {
				lines++
			}
		}
		got := rows(t, text, o)
		if !strings.HasSuffix(text, "\r") && !strings.HasPrefix(text, "\ufeff") {
			require.Len(t, got, lines-1)
		}
		all := strings.Split(text, "\n")
		for _, row := range got {
			require.Equal(t, row.Damage != 0, row.Detail != "")
			require.True(t, utf8.ValidString(strings.Join(row.Values, "")))
			if row.Damage == 0 {
				alone := csv.NewReader(strings.NewReader(all[row.Line-1]))
				want, err := alone.Read()
				require.NoError(t, err)
				require.Equal(t, want, row.Values)
			}
		}
	})
}
