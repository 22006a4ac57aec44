package feed

import (
	"io"
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
)

// MapRow gives a field name of the extract, often a sentence, its short name: Numerator, Denominator, MI Count, or that of an
// exclusion or adjustment.
type MapRow struct {
	Line               int64
	Year               period.FinancialYear
	Code, Field, Short string
}

// ReadFieldMap reads a field map and hands each row to each, whose error ends the reading and is returned. Another layout is an
// Invalid fault, as for Read; a name with two meanings is found by NewNames.
func ReadFieldMap(r io.Reader, each func(MapRow) error) (*Report, error) {
	s, err := open(r, FieldMap)
	if err != nil {
		return nil, err
	}
	err = s.rows(func() error {
		row, ok := s.mapRow()
		if !ok {
			return nil
		}
		if !slices.Contains(s.report.Years, row.Year) {
			s.report.Years = append(s.report.Years, row.Year)
		}
		s.report.Kept++
		return each(row)
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(s.report.Years)
	return s.report, nil
}

func (s *scan) mapRow() (MapRow, bool) {
	row := MapRow{Line: s.line, Code: s.text(code), Field: s.text(field), Short: s.text(shortName)}
	for _, c := range []column{code, field, shortName} {
		if _, ok := s.required(c); !ok {
			return row, false
		}
	}
	var err error
	if row.Year, err = period.ParseFinancialYear(strings.Replace(s.text(service), "-", "/", 1)); err != nil {
		return row, s.bad(service, rules.ReasonValueNotAllowed, "a year of service is written as 2025-26")
	}
	return row, true
}
