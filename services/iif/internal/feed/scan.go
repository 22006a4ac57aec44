package feed

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"github.com/pcnfunding/pcnfunding/pkg/csvrows"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// maxLine bounds a line in bytes: the longest sentence of a field map has under a thousand letters.
const maxLine = 16 << 10

// damages are the reasons of lines that are no rows.
var damages = map[csvrows.Damage]string{
	csvrows.Broken: rules.ReasonRowDamaged, csvrows.TooLong: rules.ReasonLineTooLong, csvrows.Ragged: rules.ReasonRowRagged,
}

// scan goes through a file row by row, and notes those that are bad.
type scan struct {
	csv    *csvrows.Reader
	form   *form
	header []string
	at     [columns]int // where the file has each column of the form
	line   int64
	record []string
	report *Report
}

// open reads the header and recognises the layout.
func open(r io.Reader, want Layout) (*scan, error) {
	source, err := csvrows.Open(r, csvrows.Options{MaxLine: maxLine, Legacy: charmap.Windows1252.DecodeByte})
	switch {
	case errors.Is(err, csvrows.ErrEmpty):
		return nil, fault.New(fault.Invalid, rules.ReasonFileEmpty, "%v", err)
	case errors.Is(err, csvrows.ErrHeader):
		return nil, fault.New(fault.Invalid, rules.ReasonLayoutUnknown, "%v", err)
	case err != nil:
		return nil, fmt.Errorf("read the file of counts: %w", err)
	}
	s := &scan{csv: source, header: make([]string, len(source.Header()))}
	for i, name := range source.Header() {
		s.header[i] = strings.ToUpper(name)
	}
	if s.form, err = recognise(s.header, want); err != nil {
		return nil, err
	}
	for i := range s.at {
		s.at[i] = -1
	}
	for i, name := range s.header {
		s.at[headings[name]] = i
	}
	s.report = &Report{Layout: s.form.layout}
	return s, nil
}

// rows calls each for every whole row. It returns errors of each and of the file's reader.
func (s *scan) rows(each func() error) error {
	for {
		row, err := s.csv.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the file of counts: %w", err)
		}
		s.report.Rows++
		s.line, s.record = row.Line, row.Values
		if row.Damage != 0 {
			s.bad(whole, damages[row.Damage], "%s", row.Detail)
			continue
		}
		if err := each(); err != nil {
			return err
		}
	}
}

// has tells whether the layout has a column.
func (s *scan) has(c column) bool { return s.at[c] >= 0 }

// text returns the value of a column that the layout has.
func (s *scan) text(c column) string { return strings.TrimSpace(s.record[s.at[c]]) }

// bad notes that the row is bad. It returns false, for callers that say by it whether to go on.
func (s *scan) bad(c column, reason, format string, args ...any) bool {
	if s.report.BadRows++; len(s.report.Bad) == MaxBad {
		return false
	}
	b := Bad{Line: s.line, Value: money.Clip(strings.Join(s.record, ",")), Reason: reason, Detail: fmt.Sprintf(format, args...)}
	if c != whole {
		b.Column, b.Value = s.header[s.at[c]], strings.Clone(money.Clip(s.record[s.at[c]]))
	}
	s.report.Bad = append(s.report.Bad, b)
	return false
}

// required returns the value of a column, and false with a bad row where there is none.
func (s *scan) required(c column) (string, bool) {
	text := s.text(c)
	if text == "" {
		return "", s.bad(c, rules.ReasonValueMissing, "a value is required")
	}
	return text, true
}

// oneOf checks the value of a column, whose case does not count.
func (s *scan) oneOf(c column, allowed ...string) bool {
	if slices.ContainsFunc(allowed, func(one string) bool { return strings.EqualFold(one, s.text(c)) }) {
		return true
	}
	return s.bad(c, rules.ReasonValueNotAllowed, "the value is one of: %s", strings.Join(allowed, ", "))
}
