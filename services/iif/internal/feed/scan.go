package feed

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// scan goes through a file row by row, and notes those that are bad.
type scan struct {
	csv    *csv.Reader
	form   *form
	header []string
	at     [columns]int // where the file has each column of the form
	line   int64
	record []string
	report *Report
}

// open reads the header and recognises the layout.
func open(r io.Reader, want Layout) (*scan, error) {
	source := csv.NewReader(newLines(r))
	source.FieldsPerRecord = -1
	source.ReuseRecord = true
	header, err := source.Read()
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, io.EOF):
		return nil, fault.New(fault.Invalid, rules.ReasonFileEmpty, "the file is empty")
	case errors.As(err, &syntax) || (err == nil && strings.HasPrefix(header[0], spoiled)):
		return nil, fault.New(fault.Invalid, rules.ReasonLayoutUnknown, "the header is no line of CSV text")
	case err != nil:
		return nil, fmt.Errorf("read the file of counts: %w", err)
	}
	s := &scan{csv: source, header: make([]string, len(header))}
	for i, name := range header {
		s.header[i] = strings.ToUpper(strings.TrimSpace(name))
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
		var err error
		var syntax *csv.ParseError
		s.record, err = s.csv.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.As(err, &syntax):
			return fmt.Errorf("read the file of counts: %w", err)
		}
		s.report.Rows++
		if syntax != nil {
			s.line = int64(syntax.StartLine)
			s.bad(whole, rules.ReasonRowDamaged, "%v", syntax.Err)
			continue
		}
		line, _ := s.csv.FieldPos(0)
		s.line = int64(line)
		if reason, is := strings.CutPrefix(s.record[0], spoiled); is {
			s.record = s.record[1:]
			s.bad(whole, reason, "a line is text of at most %d bytes, with quotation marks in pairs and no NUL", maxLine)
			continue
		}
		if len(s.record) != len(s.header) {
			s.bad(whole, rules.ReasonRowRagged, "the row has %d values, the header %d", len(s.record), len(s.header))
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
