// Package workforce reads the workforce of PCNs as NHS England publishes it (Primary Care Network Workforce, individual-level CSV):
// one row a post, with the census month, the PCN, the published name of the role and its full-time equivalent. It adds rows up by PCN
// and name, and gives names the role codes of the suite.
//
// The publication counts all staff of a PCN, whoever pays them, and leaves out PCNs that returned nothing: it serves comparison only.
package workforce

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
)

//go:embed roles.csv
var rolesCSV string

// MaxBytes bounds a file as it is read: a month of all England is some ten million bytes.
const MaxBytes = 64 << 20

// Name is how the publication names a role.
type Name struct{ Group, Role, Detailed string }

// Mapping gives published names their role.
type Mapping struct {
	Name
	// Code is the role of the suite; empty where the name is none of a reimbursable role, or is not told apart from others.
	Code       string
	Source     string
	Confidence string
	Note       string
}

var mappings = sync.OnceValues(func() (map[Name]Mapping, error) {
	rows, err := csv.NewReader(strings.NewReader(rolesCSV)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("roles of the workforce: %w", err)
	}
	out := make(map[Name]Mapping, len(rows))
	for i, row := range rows[1:] {
		m := Mapping{Name: Name{row[0], row[1], row[2]}, Code: row[3], Source: row[4], Confidence: row[5], Note: row[6]}
		if _, twice := out[m.Name]; twice || m.Source == "" || m.Confidence == "" {
			return nil, fmt.Errorf("roles of the workforce, line %d: %v stands twice, or without source or confidence", i+2, m.Name)
		}
		out[m.Name] = m
	}
	return out, nil
})

// Mappings returns the table of names.
func Mappings() ([]Mapping, error) {
	held, err := mappings()
	if err != nil {
		return nil, err
	}
	out := make([]Mapping, 0, len(held))
	for _, m := range held {
		out = append(out, m)
	}
	return out, nil
}

// RoleOf returns the role of a published name, empty where it has none, and false for a name that the table does not know.
func RoleOf(name Name) (code string, known bool, err error) {
	held, err := mappings()
	m, known := held[name]
	return m.Code, known, err
}

// Row is the posts of one name in one PCN.
type Row struct {
	Name
	PCN, PCNName     string
	Location, System string // sub-ICB location and ICB, as published
	Posts            int
	WTE              *big.Rat
}

// Bad is a value that cannot be read.
type Bad struct {
	Line   int
	Column string
	Detail string
}

// File is a published file, added up.
type File struct {
	Month    period.Month
	Posts    int
	PCNs     int
	WTE      *big.Rat
	Rows     []Row // by PCN and name
	Warnings []string
	Bad      []Bad
}

// Columns of the publication that are read.
var columns = []string{
	"CENSUS_YEAR", "CENSUS_MONTH", "PCN_CODE", "PCN_NAME", "SUB_ICB_CODE", "ICB_CODE", "STAFF_GROUP", "STAFF_ROLE", "DETAILED_STAFF_ROLE", "FTE",
}

var (
	pcnCode = regexp.MustCompile(`^U[0-9]{5}$`)
	// mostFTE is above any published row; a contracted service stands as one row of several people.
	mostFTE = big.NewRat(100, 1)
)

const (
	maxWarnings = 20
	maxName     = 200
)

// ErrFormat tells that a file is not of the publication.
var ErrFormat = errors.New("not a file of the PCN workforce")

// Read reads a file whole: CSV in UTF-8 or Windows-1252, as it comes or compressed with gzip. What is wrong with its rows stands in
// File.Bad; an error wraps ErrFormat and means that it is another file.
func Read(content []byte) (*File, error) {
	text, err := decode(content)
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = -1
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: its header cannot be read: %w", ErrFormat, err)
	}
	f := reading{File: &File{WTE: new(big.Rat)}, at: make(map[string]int), width: len(header), rows: make(map[rowKey]*Row)}
	for _, column := range columns {
		at := slices.Index(header, column)
		if at < 0 || slices.Contains(header[at+1:], column) {
			return nil, fmt.Errorf("%w: it has no column %s, or several", ErrFormat, column)
		}
		f.at[column] = at
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var syntax *csv.ParseError
			if errors.As(err, &syntax) {
				f.Bad = append(f.Bad, Bad{Line: syntax.Line, Detail: syntax.Err.Error()})
				break
			}
			return nil, fmt.Errorf("%w: %w", ErrFormat, err)
		}
		line, _ := r.FieldPos(0)
		f.row(line, record)
	}
	if f.Posts == 0 && len(f.Bad) == 0 {
		return nil, fmt.Errorf("%w: it has no rows", ErrFormat)
	}
	f.done()
	return f.File, nil
}

// decode unpacks a file and reads its letters: the files to 2022 are in Windows-1252, later ones in UTF-8 with a mark.
func decode(content []byte) (string, error) {
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		packed, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrFormat, err)
		}
		if content, err = io.ReadAll(io.LimitReader(packed, MaxBytes+1)); err != nil {
			return "", fmt.Errorf("%w: %w", ErrFormat, err)
		}
	}
	if len(content) > MaxBytes {
		return "", fmt.Errorf("%w: it is larger than %d bytes", ErrFormat, MaxBytes)
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if bytes.IndexByte(content, 0) >= 0 {
		return "", fmt.Errorf("%w: it is not text", ErrFormat)
	}
	if utf8.Valid(content) {
		return string(content), nil
	}
	var text strings.Builder
	text.Grow(len(content))
	for _, b := range content {
		if b >= 0x80 && b < 0xa0 {
			text.WriteRune(windows1252[b-0x80])
		} else {
			text.WriteRune(rune(b))
		}
	}
	return text.String(), nil
}

// windows1252 is what the bytes from 0x80 to 0x9f stand for, where it differs from Latin-1.
var windows1252 = []rune("€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ")

type rowKey struct {
	pcn  string
	name Name
}

type reading struct {
	*File
	at       map[string]int
	width    int
	rows     map[rowKey]*Row
	negative int
}

func (f *reading) row(line int, record []string) {
	bad := func(column, format string, args ...any) {
		f.Bad = append(f.Bad, Bad{Line: line, Column: column, Detail: fmt.Sprintf(format, args...)})
	}
	if len(record) != f.width {
		bad("", "it has %d fields, the header has %d", len(record), f.width)
		return
	}
	before := len(f.Bad)
	field := func(column string) string { return strings.TrimSpace(record[f.at[column]]) }
	month, err := period.ParseMonth(fmt.Sprintf("%s-%02s", field("CENSUS_YEAR"), field("CENSUS_MONTH")))
	switch {
	case err != nil:
		bad("CENSUS_MONTH", "%s and %s are no year and month", money.Clip(field("CENSUS_YEAR")), money.Clip(field("CENSUS_MONTH")))
	case f.Month.IsZero():
		f.Month = month
	case f.Month != month:
		bad("CENSUS_MONTH", "it is of %s, rows before it of %s", month, f.Month)
	}
	row := Row{
		Name: Name{field("STAFF_GROUP"), field("STAFF_ROLE"), field("DETAILED_STAFF_ROLE")}, PCN: field("PCN_CODE"), PCNName: field("PCN_NAME"),
		Location: field("SUB_ICB_CODE"), System: field("ICB_CODE"),
	}
	if !pcnCode.MatchString(row.PCN) {
		bad("PCN_CODE", "%s is not the code of a PCN", money.Clip(row.PCN))
	}
	for column, text := range map[string]string{
		"STAFF_GROUP": row.Group, "STAFF_ROLE": row.Role, "DETAILED_STAFF_ROLE": row.Detailed, "PCN_NAME": row.PCNName, "SUB_ICB_CODE": row.Location, "ICB_CODE": row.System,
	} {
		if len(text) > maxName || (text == "" && strings.Contains(column, "STAFF")) {
			bad(column, "it is empty, or longer than %d letters", maxName)
		}
	}
	if row.WTE, err = money.ParseDecimal(field("FTE")); err != nil {
		bad("FTE", "%v", err)
	} else if new(big.Rat).Abs(row.WTE).Cmp(mostFTE) > 0 {
		bad("FTE", "%s is more than %s", money.Clip(field("FTE")), mostFTE.RatString())
	}
	if len(f.Bad) == before {
		f.add(line, &row)
	}
}

func (f *reading) add(line int, row *Row) {
	if row.WTE.Sign() < 0 {
		if f.negative++; f.negative <= maxWarnings {
			f.Warnings = append(f.Warnings, fmt.Sprintf("line %d: an FTE below nothing, of %s in %s, is taken as it is published", line, row.Detailed, row.PCN))
		}
	}
	f.Posts++
	f.WTE.Add(f.WTE, row.WTE)
	key := rowKey{row.PCN, row.Name}
	if held := f.rows[key]; held != nil {
		held.Posts++
		held.WTE.Add(held.WTE, row.WTE)
		return
	}
	row.Posts = 1
	f.rows[key] = row
}

func (f *reading) done() {
	pcns := make(map[string]bool)
	for _, row := range f.rows {
		f.Rows = append(f.Rows, *row)
		pcns[row.PCN] = true
	}
	f.PCNs = len(pcns)
	slices.SortFunc(f.Rows, func(a, b Row) int {
		for _, pair := range [][2]string{{a.PCN, b.PCN}, {a.Group, b.Group}, {a.Role, b.Role}, {a.Detailed, b.Detailed}} {
			if c := strings.Compare(pair[0], pair[1]); c != 0 {
				return c
			}
		}
		return 0
	})
	slices.SortStableFunc(f.Bad, func(a, b Bad) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return strings.Compare(a.Column, b.Column)
	})
}
