package files

import (
	"errors"
	"io"
	"iter"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// MaxBadShown bounds the bad values a report holds; all are counted, and BadRows yields them all.
const MaxBadShown = 1000

// maxKept is the most good rows kept in memory between the check and the storing of a file; a larger file is read again.
const maxKept = 50_000

// Report is what a check of a whole file found.
type Report struct {
	Kind rules.Kind
	// ExtractDate is the day the figures speak for; zero where neither the file nor the caller says.
	ExtractDate period.Date
	// RowsRead counts data rows; RowsGood those that may be stored; RowsBad those with at least one bad value.
	RowsRead, RowsGood, RowsBad int64
	// PassedOver counts rows that carry nothing to store, by reason.
	PassedOver map[string]int64
	// Bad holds the first bad values.
	Bad []Bad
	// Warnings are about values that are stored but worth a look.
	Warnings []string
	// Maps and Locates say that the file tells the PCN, and the location, of each practice.
	Maps, Locates bool
}

// Whole tells whether the file replaces everything that its kind told of the day, so that an organisation whose row is set
// aside would be lost.
func (r *Report) Whole() bool {
	return r.Maps || r.Kind == rules.PCNPartners || r.Kind == rules.PCNDetails
}

// Check reads a file whole and reports on it. A file that cannot be read at all is an Invalid fault.
func (s *Spooled) Check(o Options) (*Report, error) {
	r, err := newReader(s.Open(), o)
	if err != nil {
		return nil, err
	}
	report := &Report{Kind: r.form.kind, PassedOver: make(map[string]int64)}
	for {
		found, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch {
		case found.row != nil:
			report.RowsGood++
			s.keep(found.row, report.RowsGood)
		case found.passed != "":
			report.PassedOver[found.passed]++
		default:
			report.RowsBad++
			report.Bad = append(report.Bad, found.bad[:min(len(found.bad), MaxBadShown-len(report.Bad))]...)
		}
	}
	if r.rows == 0 {
		return nil, fault.New(fault.Invalid, rules.ReasonFileEmpty, "the file has a header but no rows")
	}
	if report.RowsGood+report.RowsBad == 0 {
		return nil, fault.New(fault.Invalid, rules.ReasonFileEmpty, "no row of the file carries anything to store")
	}
	if err := r.form.finish(r); err != nil {
		return nil, err
	}
	report.RowsRead, report.ExtractDate, report.Warnings = r.rows, r.extractDate, r.warnings
	report.Maps, report.Locates = r.form.maps && report.RowsGood > 0, r.form.locates && report.RowsGood > 0
	return report, nil
}

// keep holds the rows of a file of usual size, so that it is not parsed twice.
func (s *Spooled) keep(row *Row, count int64) {
	switch {
	case count == 1:
		s.kept = []*Row{row}
	case count > maxKept:
		s.kept = nil
	case s.kept != nil:
		s.kept = append(s.kept, row)
	}
}

// Rows yields the good rows of a file that was checked with the same options.
func (s *Spooled) Rows(o Options) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		if s.kept != nil {
			for _, row := range s.kept {
				if !yield(row, nil) {
					return
				}
			}
			return
		}
		for found, err := range s.outcomes(o) {
			if err != nil {
				yield(nil, err)
				return
			}
			if found.row != nil && !yield(found.row, nil) {
				return
			}
		}
	}
}

// BadRows reads the file again and yields all its bad values.
func (s *Spooled) BadRows(o Options) iter.Seq2[Bad, error] {
	return func(yield func(Bad, error) bool) {
		for found, err := range s.outcomes(o) {
			if err != nil {
				yield(Bad{}, err)
				return
			}
			for _, bad := range found.bad {
				if !yield(bad, nil) {
					return
				}
			}
		}
	}
}

func (s *Spooled) outcomes(o Options) iter.Seq2[outcome, error] {
	return func(yield func(outcome, error) bool) {
		r, err := newReader(s.Open(), o)
		if err != nil {
			yield(outcome{}, err)
			return
		}
		for {
			found, err := r.next()
			if errors.Is(err, io.EOF) || !yield(found, err) || err != nil {
				return
			}
		}
	}
}
