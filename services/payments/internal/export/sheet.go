package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/spreadsheet"
)

// cell is one value before it is laid out: a text, an amount or a day.
type cell struct {
	text     string
	amount   money.Pence
	day      period.Date
	isAmount bool
}

func text(value string) cell        { return cell{text: value} }
func pounds(value money.Pence) cell { return cell{amount: value, isAmount: true} }
func day(value period.Date) cell    { return cell{day: value} }

// record is one row by field; a field it does not hold is empty.
type record map[Field]cell

// rows hands the records of a file to put, in order, and stops at its first error.
type rows func(put func(record) error) error

// writeSheet lays the records out and writes them one by one, once all of them could be made. In a contract variation, columns
// at the end that are empty in every record are left out: its upload rejects them.
func writeSheet(w io.Writer, p *Profile, every rows) error {
	width := len(p.Columns)
	if p.Format == PCSEVariation {
		width = 0
	}
	err := every(func(r record) error {
		for i := len(p.Columns); i > width; i-- {
			if p.cell(r, p.Columns[i-1]) != "" {
				width = i
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if width == 0 {
		width = len(p.Columns)
	}
	out := csv.NewWriter(w)
	out.Comma, out.UseCRLF = p.Delimiter, true
	line := make([]string, width)
	if p.HeaderRow {
		for i := range line {
			line[i] = guarded(p.Columns[i].Header)
		}
		if err := out.Write(line); err != nil {
			return fmt.Errorf("write the header of a %s file: %w", p.Format, err)
		}
	}
	err = every(func(r record) error {
		for i := range line {
			line[i] = p.cell(r, p.Columns[i])
		}
		return out.Write(line)
	})
	if err == nil {
		out.Flush()
		err = out.Error()
	}
	if err != nil {
		return fmt.Errorf("write a %s file: %w", p.Format, err)
	}
	return nil
}

func (p *Profile) cell(r record, column Column) string {
	if column.Field == "" {
		return guarded(column.Constant)
	}
	value := r[column.Field]
	switch {
	case value.isAmount:
		return value.amount.Plain()
	case !value.day.IsZero():
		return p.DateFormat.write(value.day)
	default:
		return guarded(value.text)
	}
}

func (f DateFormat) write(date period.Date) string {
	switch f {
	case DateSlashes:
		return date.Time().Format("02/01/2006")
	case DateLedger:
		return strings.ToUpper(date.Time().Format("02-Jan-2006"))
	case DateCompact:
		return date.Time().Format("20060102")
	default:
		return date.String()
	}
}

// guarded makes one line of a text, and text of what a spreadsheet would run as a formula.
func guarded(value string) string { return spreadsheet.Cell(clean(value)) }

// clean makes one line of a text: control characters and line ends become spaces, invisible ones that turn or hide others go.
func clean(value string) string {
	value = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(value, "\uFFFD"))
	return strings.TrimSpace(value)
}
