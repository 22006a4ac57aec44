package activity

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
)

// guard lets a file through whose header is one of attendances, and nothing of any other: records of patients are not even put on disk.
type guard struct {
	source  *bufio.Reader
	options feed.Options
	header  io.Reader // nil before it was looked at
}

func newGuard(source io.Reader, options feed.Options) *guard {
	return &guard{source: bufio.NewReaderSize(source, feed.MaxLine), options: options}
}

// Read returns what comes after a good header, and the header before it.
func (g *guard) Read(p []byte) (int, error) {
	if g.header == nil {
		// A line that is longer is refused by its beginning.
		line, err := g.source.ReadSlice('\n')
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
		header := bytes.Clone(line)
		if _, err := feed.Read(bytes.NewReader(header), g.options, func(*feed.Row) error { return nil }); err != nil {
			return 0, err
		}
		g.header = bytes.NewReader(header)
	}
	if n, err := g.header.Read(p); n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	return g.source.Read(p)
}
