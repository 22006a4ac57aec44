// Package weights reads the weighted populations of practices as NHS England publishes them behind its allocations: one row a practice,
// with the population allocated for and the weighted populations by component.
//
// They serve the check and the forecast of unmet need, and never payment, which rests on the published populations of PCNs.
package weights

import (
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/csvrows"
	"github.com/pcnfunding/pcnfunding/pkg/money"
)

const (
	// MaxBytes bounds a file after decompression; a year of England is some three million bytes.
	MaxBytes = 32 << 20
	// maxLine is above any line of the publication.
	maxLine = 4096
	// maxBad bounds the bad values that are kept; all are counted.
	maxBad = 1000
	// maxRows bounds a file: England never had ten thousand practices in a year.
	maxRows = 20_000
)

// Row is the weights of one practice, exact as they are published.
type Row struct {
	Practice string
	// Population is the practice's part of the population allocated for.
	Population *big.Rat
	// PrimaryMedicalCare and HealthInequality are the two weights that the third is made of.
	PrimaryMedicalCare *big.Rat
	HealthInequality   *big.Rat
	// Final is the final weight for primary medical care.
	Final *big.Rat
}

// Flaw is the kind of a bad value.
type Flaw int

// The flaws.
const (
	// Damaged is a row that cannot be read.
	Damaged Flaw = iota
	// NoDecimal is a value that is no exact decimal.
	NoDecimal
	// BelowNothing is a weight below nothing.
	BelowNothing
	// Repeated is a practice that stands twice.
	Repeated
	// NoCode is a code that none has.
	NoCode
)

// Bad is a value, or a whole row, that cannot be read.
type Bad struct {
	Line   int64
	Column string // empty for the whole row
	Value  string
	Flaw   Flaw
	Detail string
}

// File is a file as it was read.
type File struct {
	Rows []Row
	// Skipped are rows that are no practices, such as totals.
	Skipped []string
	// Bad are the first bad values, and BadCount is how many there are.
	Bad      []Bad
	BadCount int
}

// ErrFormat tells that a file is not of the publication.
var ErrFormat = errors.New("not a file of weighted populations of practices")

// Columns of the publication that are read. The one of the population is named after a year, which is not always that of the file.
const (
	columnPractice   = "Practice_Code"
	columnPopulation = "pop "
	columnPrimary    = "Primary Medical Care WP"
	columnInequality = "Health Ineq WP"
	columnFinal      = "Final PMC WP"
)

// practiceCode bounds codes without enforcing a shape: successors have other shapes.
var practiceCode = regexp.MustCompile(`^[A-Z0-9]{3,12}$`)

// Read reads a file whole: CSV in UTF-8, other columns passed over. What is wrong with its rows stands in File.Bad; an error that wraps
// ErrFormat means that it is another file, and any other is that of the reader.
func Read(content io.Reader) (*File, error) {
	rows, err := csvrows.Open(content, csvrows.Options{MaxLine: maxLine})
	if errors.Is(err, csvrows.ErrEmpty) || errors.Is(err, csvrows.ErrHeader) {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err != nil {
		return nil, err
	}
	r := reading{File: new(File), seen: make(map[string]int64)}
	if err := r.find(rows.Header()); err != nil {
		return nil, err
	}
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		r.row(&row)
		if len(r.Rows) > maxRows {
			return nil, fmt.Errorf("%w: it has more than %d practices", ErrFormat, maxRows)
		}
	}
	if len(r.Rows) == 0 && r.BadCount == 0 {
		return nil, fmt.Errorf("%w: it has no practices", ErrFormat)
	}
	return r.File, nil
}

// column is where the file has a column, and under what name.
type column struct {
	at   int
	name string
}

type reading struct {
	*File
	practice                               column
	population, primary, inequality, final column
	seen                                   map[string]int64 // line by practice
}

func (r *reading) find(header []string) error {
	for _, want := range []struct {
		name   string
		prefix bool
		into   *column
	}{
		{columnPractice, false, &r.practice},
		{columnPopulation, true, &r.population},
		{columnPrimary, false, &r.primary},
		{columnInequality, false, &r.inequality},
		{columnFinal, false, &r.final},
	} {
		found := 0
		for at, name := range header {
			if name == want.name || want.prefix && strings.HasPrefix(name, want.name) {
				*want.into = column{at, name}
				found++
			}
		}
		if found != 1 {
			return fmt.Errorf("%w: it has %d columns %q, not one", ErrFormat, found, strings.TrimSpace(want.name))
		}
	}
	return nil
}

func (r *reading) bad(b Bad) {
	if r.BadCount++; len(r.Bad) < maxBad {
		b.Value = strings.Clone(money.Clip(b.Value))
		r.Bad = append(r.Bad, b)
	}
}

func (r *reading) row(row *csvrows.Row) {
	if row.Damage != 0 {
		r.bad(Bad{Line: row.Line, Value: strings.Join(row.Values, ","), Flaw: Damaged, Detail: row.Detail})
		return
	}
	code := strings.TrimSpace(row.Values[r.practice.at])
	if noPractice(code) {
		r.Skipped = append(r.Skipped, fmt.Sprintf("line %d: %q is no practice", row.Line, money.Clip(code)))
		return
	}
	if !practiceCode.MatchString(code) {
		r.bad(Bad{row.Line, r.practice.name, code, NoCode, "a code has 3 to 12 capital letters and digits"})
		return
	}
	if before, twice := r.seen[code]; twice {
		r.bad(Bad{row.Line, r.practice.name, code, Repeated, fmt.Sprintf("it stands in line %d already", before)})
		return
	}
	out := Row{Practice: strings.Clone(code)}
	r.seen[out.Practice] = row.Line
	before := r.BadCount
	for _, want := range []struct {
		column
		into **big.Rat
	}{{r.population, &out.Population}, {r.primary, &out.PrimaryMedicalCare}, {r.inequality, &out.HealthInequality}, {r.final, &out.Final}} {
		text := strings.TrimSpace(row.Values[want.at])
		value, err := money.ParseDecimal(text)
		switch {
		case err != nil:
			r.bad(Bad{row.Line, want.name, text, NoDecimal, "a weight is written in plain digits with at most one point"})
		case value.Sign() < 0:
			r.bad(Bad{row.Line, want.name, text, BelowNothing, "a weight is nothing or more"})
		default:
			*want.into = value
		}
	}
	if r.BadCount == before {
		r.Rows = append(r.Rows, out)
	}
}

// noPractice tells rows apart that published files have beside practices.
func noPractice(code string) bool {
	lower := strings.ToLower(code)
	return lower == "" || lower == "no_data" || strings.HasPrefix(lower, "total") || lower == "england"
}
