package files

import (
	"slices"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// column is one column a form knows, by its names in the publications. Names are compared without case, spaces, underscores
// and hyphens; a name that ends in * stands for all that begin so.
type column struct {
	names    []string
	required bool
}

// form is one layout of one kind of file.
type form struct {
	kind    rules.Kind
	columns []column
	// begin reads what the header itself says, such as a date in a column's name.
	begin func(*reader) error
	// parse reads one row and names its subject, which may stand only once in a file.
	parse func(*cells) (*Row, string)
	// finish settles the day of the file once all rows are read.
	finish func(*reader) error
	// maps and locates say that the form tells the PCN, and the location, of each practice.
	maps, locates bool
}

// recognise finds the form that a header fits. Forms are tried in order, those that need more columns first; the order of the
// columns in the file does not matter and columns no form knows are passed over.
func recognise(header []string, expected rules.Kind) (*form, []int, error) {
	for _, f := range forms {
		at, missing := f.match(header)
		if len(missing) > 0 {
			continue
		}
		if expected != "" && f.kind != expected {
			if other, at, ok := recogniseAs(header, expected); ok {
				return other, at, checkOnce(other, header, at)
			}
			return nil, nil, fault.New(fault.Invalid, rules.ReasonFileKindMismatch, "the header is that of %s, not of %s", f.kind, expected).
				With("found", f.kind).With("expected", expected)
		}
		return f, at, checkOnce(f, header, at)
	}
	if expected != "" {
		return nil, nil, missingColumns(header, expected)
	}
	return nil, nil, fault.New(fault.Invalid, rules.ReasonFileKindUnknown, "the header matches no kind of file the register reads: %s",
		show(strings.Join(header, ","))).With("kinds", kindNames())
}

// recogniseAs finds a form of one kind.
func recogniseAs(header []string, kind rules.Kind) (*form, []int, bool) {
	for _, f := range forms {
		if f.kind != kind {
			continue
		}
		if at, missing := f.match(header); len(missing) == 0 {
			return f, at, true
		}
	}
	return nil, nil, false
}

// missingColumns names what the nearest form of the expected kind lacks.
func missingColumns(header []string, expected rules.Kind) error {
	var least []string
	known := false
	for _, f := range forms {
		if f.kind != expected {
			continue
		}
		if _, missing := f.match(header); !known || len(missing) < len(least) {
			least, known = missing, true
		}
	}
	out := fault.New(fault.Invalid, rules.ReasonColumnMissing, "the file lacks columns that %s needs: %s", expected, strings.Join(least, ", ")).
		With("expected", expected)
	for _, name := range least {
		out = out.At("column "+name, "the column is required")
	}
	return out
}

// match finds the columns of a form in a header and names the required ones that are not there.
func (f *form) match(header []string) (at []int, missing []string) {
	at = make([]int, len(f.columns))
	for i, c := range f.columns {
		at[i] = slices.IndexFunc(header, c.fits)
		if at[i] < 0 && c.required {
			missing = append(missing, c.names[0])
		}
	}
	return at, missing
}

// checkOnce refuses a header in which a column that is read stands twice.
func checkOnce(f *form, header []string, at []int) error {
	for i, c := range f.columns {
		if at[i] < 0 {
			continue
		}
		for later := at[i] + 1; later < len(header); later++ {
			if c.fits(header[later]) {
				return fault.New(fault.Invalid, rules.ReasonFileDamaged, "the columns %q and %q mean the same", header[at[i]], header[later])
			}
		}
	}
	return nil
}

func (c column) fits(name string) bool {
	plain := plainName(name)
	for _, known := range c.names {
		if start, ok := strings.CutSuffix(known, "*"); ok {
			if strings.HasPrefix(plain, plainName(start)) {
				return true
			}
		} else if plain == plainName(known) {
			return true
		}
	}
	return false
}

// plainName takes case, spaces, underscores and hyphens out of a column's name.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '_', '-', '\t', '\n', '\r', '\u00a0':
			return -1
		default:
			return r
		}
	}, strings.ToLower(name))
}

func kindNames() string {
	var names []string
	for _, f := range forms {
		if name := string(f.kind); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
