// Package csvrows reads the CSV files that others send, row by row and with no more memory for a long file than for a short one.
//
// A line is a row: values have no line breaks in them, so that a stray quotation mark spoils one line and not the rest of the file. A
// line that is no row is handed on all the same, with what is wrong with it, because whoever checks a file names every bad line.
// Blank lines are no rows, and a byte order mark is passed over.
package csvrows

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The errors of Open, for a file that is none of CSV.
var (
	// ErrEmpty is of a file without a line.
	ErrEmpty = errors.New("the file is empty")
	// ErrHeader is of a first line that is no line of CSV text, as in a compressed file or one of two bytes a letter.
	ErrHeader = errors.New("the header is no line of CSV text")
)

// Damage is why a line is no row.
type Damage int

// The damages; the zero value is none.
const (
	// Broken has quotation marks that do not pair, NUL, or bytes that are no text.
	Broken Damage = iota + 1
	// TooLong is beyond the bytes of Options.
	TooLong
	// Ragged has more or fewer values than the header.
	Ragged
)

// Options says how a file is read.
type Options struct {
	// MaxLine bounds a line in bytes; it is required.
	MaxLine int
	// Legacy, unless it is nil, reads each byte of a line that is not UTF-8, as charmap.Windows1252.DecodeByte does; with nil such a line
	// is Broken.
	Legacy func(byte) rune
}

// Row is one row of a file. Its values share the memory of their line, and Values itself is used again for the next row.
type Row struct {
	// Line is the number of the line, the header's being 1 where no blank line comes before.
	Line int64
	// Values are as many as in the header; of a row with Damage, what can be told of it.
	Values []string
	Damage Damage
	// Detail says in words what is wrong with a damaged row.
	Detail string
}

// Reader goes through a file row by row.
type Reader struct {
	csv    *csv.Reader
	header []string
	most   int
}

// Open reads the header. Its errors are ErrEmpty, ErrHeader and those of r.
func Open(r io.Reader, o Options) (*Reader, error) {
	source := csv.NewReader(newLines(r, o))
	source.FieldsPerRecord = -1
	source.ReuseRecord = true
	header, err := source.Read()
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return nil, ErrEmpty
	case errors.As(err, &syntax) || (err == nil && strings.HasPrefix(header[0], spoiled)):
		return nil, ErrHeader
	case err != nil:
		return nil, fmt.Errorf("read the header: %w", err)
	}
	out := &Reader{csv: source, header: make([]string, len(header)), most: o.MaxLine}
	for i, name := range header {
		out.header[i] = strings.TrimSpace(name)
	}
	return out, nil
}

// Header returns the names of the columns without the blanks around them. The caller must not change it.
func (r *Reader) Header() []string { return r.header }

// Next returns the next row, or io.EOF after the last. Other errors are those of the file's reader.
func (r *Reader) Next() (Row, error) {
	record, err := r.csv.Read()
	var syntax *csv.ParseError
	if errors.As(err, &syntax) {
		return Row{Line: int64(syntax.StartLine), Values: record, Damage: Broken, Detail: syntax.Err.Error()}, nil
	}
	if errors.Is(err, io.EOF) {
		return Row{}, io.EOF
	}
	if err != nil {
		return Row{}, fmt.Errorf("read a row: %w", err)
	}
	line, _ := r.csv.FieldPos(0)
	row := Row{Line: int64(line), Values: record}
	mark, is := strings.CutPrefix(record[0], spoiled)
	switch {
	case is && mark == markLong:
		row.Values, row.Damage, row.Detail = record[1:], TooLong, fmt.Sprintf("a line has at most %d bytes", r.most)
	case is:
		row.Values, row.Damage, row.Detail = record[1:], Broken, "a line is text with quotation marks in pairs and no NUL"
	case len(record) != len(r.header):
		row.Damage, row.Detail = Ragged, fmt.Sprintf("the row has %d values, the header %d", len(record), len(r.header))
	}
	return row, nil
}
