package csvrows

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/money"
)

const (
	// spoiled begins a line that stands for one that cannot be read. It is in no text, because NUL spoils a line too. A mark says why.
	spoiled    = "\x00"
	markBroken = "broken"
	markLong   = "long"
)

// lines passes a file on line by line, in UTF-8 and without byte order mark, such that each line is a whole record of CSV: one that
// is too long, or that a quotation mark would join to the next, becomes a spoiled line that says why.
type lines struct {
	in     *bufio.Reader
	legacy func(byte) rune
	most   int
	rest   []byte // of the line at hand, not yet passed on
	own    []byte // holds a line that is not as it came
	more   bool   // the first line is past
}

func newLines(r io.Reader, o Options) *lines {
	// What is read at once is not less than a page of the disk, however short the lines.
	return &lines{in: bufio.NewReaderSize(r, max(o.MaxLine+1, 1<<15)), legacy: o.Legacy, most: o.MaxLine}
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		if err := l.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *lines) next() error {
	line, err := l.in.ReadSlice('\n')
	if !l.more {
		l.more = true
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	over := errors.Is(err, bufio.ErrBufferFull)
	switch {
	case !over && err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)):
		return err
	case len(line) > l.most:
		l.spoil(markLong, line)
	case bytes.Count(line, []byte{'"'})%2 != 0 || bytes.IndexByte(line, 0) >= 0:
		l.spoil(markBroken, line)
	case utf8.Valid(line):
		l.rest = line
	case l.legacy == nil:
		l.spoil(markBroken, line)
	default:
		l.rest = l.utf8(line)
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.in.ReadSlice('\n')
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// spoil keeps why a line cannot be read, and the start of it.
func (l *lines) spoil(mark string, line []byte) {
	start := strings.NewReplacer("\x00", "", `"`, "", "\r", "", "\n", "").Replace(strings.ToValidUTF8(string(line), "\ufffd"))
	l.rest = []byte(spoiled + mark + "," + money.Clip(start) + "\n")
}

// utf8 reads a line in the older letters.
func (l *lines) utf8(line []byte) []byte {
	l.own = l.own[:0]
	for _, b := range line {
		l.own = utf8.AppendRune(l.own, l.legacy(b))
	}
	return l.own
}
