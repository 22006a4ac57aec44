// Package table reads the tables of dated figures that services are built with: CSV whose columns are fixed, one row a figure. A
// table is read whole, and refused with everything that is wrong with it.
package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/working"
)

// Opener gives the text of a table by its file name, as embed.FS.ReadFile does.
type Opener func(name string) ([]byte, error)

// Read reads a table row by row. It fails on a table that has no rows or other columns than those given, parted by commas, and
// otherwise with the file, row and column of every value that the reading of a row marked as wrong.
func Read[T any](open Opener, name, columns string, read func(*Row) T) ([]T, error) {
	text, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	header := strings.Split(columns, ",")
	if len(rows) < 2 || !slices.Equal(rows[0], header) {
		return nil, fmt.Errorf("%s has no rows, or other columns than %s", name, columns)
	}
	out := make([]T, 0, len(rows)-1)
	var wrong []error
	for i, fields := range rows[1:] {
		row := Row{byColumn: make(map[string]string, len(header))}
		for j, column := range header {
			row.byColumn[column] = fields[j]
		}
		out = append(out, read(&row))
		if err := errors.Join(row.wrong...); err != nil {
			wrong = append(wrong, fmt.Errorf("%s row %d (%s): %w", name, i+2, fields[0], err))
		}
	}
	return out, errors.Join(wrong...)
}

// Source is a document that rows refer to.
type Source struct{ Ref, Title, URL string }

// Sources reads sources.csv.
func Sources(open Opener) ([]Source, error) {
	return Read(open, "sources.csv", "ref,title,url", func(r *Row) Source {
		return Source{r.Required("ref"), r.Required("title"), r.Text("url")}
	})
}

// Row gives the values of one row, and gathers what is wrong with them. What cannot be read is the zero value.
type Row struct {
	byColumn map[string]string
	wrong    []error
}

// Fail marks a value as wrong.
func (r *Row) Fail(column string, err error) {
	r.wrong = append(r.wrong, fmt.Errorf("%s: %w", column, err))
}

// Has tells whether the table has the column.
func (r *Row) Has(column string) bool {
	_, has := r.byColumn[column]
	return has
}

// Text returns a value as it stands; it may be empty.
func (r *Row) Text(column string) string { return r.byColumn[column] }

// Required returns a value that may not be empty.
func (r *Row) Required(column string) string {
	if r.byColumn[column] == "" {
		r.Fail(column, errors.New("it is empty"))
	}
	return r.byColumn[column]
}

// OneOf returns one of the values allowed.
func (r *Row) OneOf(column string, allowed ...string) string {
	if !slices.Contains(allowed, r.byColumn[column]) {
		r.Fail(column, fmt.Errorf("%q is not one of %v", r.byColumn[column], allowed))
	}
	return r.byColumn[column]
}

// Yes reads yes or no.
func (r *Row) Yes(column string) bool { return r.OneOf(column, "yes", "no") == "yes" }

// Value reads a value of any kind.
func Value[T any](r *Row, column string, parse func(string) (T, error)) T {
	read, err := parse(r.byColumn[column])
	if err != nil {
		r.Fail(column, err)
	}
	return read
}

// Optional reads a value that may be empty, and is then the zero value.
func Optional[T any](r *Row, column string, parse func(string) (T, error)) T {
	if r.byColumn[column] == "" {
		var none T
		return none
	}
	return Value(r, column, parse)
}

// Date reads a day, YYYY-MM-DD.
func (r *Row) Date(column string) period.Date { return Value(r, column, period.ParseDate) }

// OptionalDate reads a day that may be empty.
func (r *Row) OptionalDate(column string) period.Date {
	return Optional(r, column, period.ParseDate)
}

// Confidence reads how well a figure is founded.
func (r *Row) Confidence(column string) working.Confidence {
	return Value(r, column, working.ParseConfidence)
}

// Positive reads an exact decimal above nothing.
func (r *Row) Positive(column string) *big.Rat {
	read := Value(r, column, money.ParseDecimal)
	if read != nil && read.Sign() <= 0 {
		r.Fail(column, errors.New("it is not positive"))
	}
	return read
}

// OptionalDecimal reads an exact decimal that is not negative; nil where it is empty.
func (r *Row) OptionalDecimal(column string) *big.Rat {
	read := Optional(r, column, money.ParseDecimal)
	if read != nil && read.Sign() < 0 {
		r.Fail(column, errors.New("it is negative"))
	}
	return read
}
