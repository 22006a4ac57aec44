package files

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
)

// maxWarnings bounds the warnings kept of one file.
const maxWarnings = 100

// Options says what the caller knows of a file.
type Options struct {
	// Expected is the kind the caller named; empty lets the header decide.
	Expected rules.Kind
	// ExtractDate is the day the figures speak for, where the file does not say; zero if the caller did not say either.
	ExtractDate period.Date
	// AppliedFrom is the first month the national payment system uses the figures; zero means all.
	AppliedFrom period.Month
	// Windows are the opt-out windows that notices are checked against.
	Windows []rules.Window
}

// reader reads one file from its header to its end.
type reader struct {
	csv     *csv.Reader
	options Options
	form    *form
	header  []string
	// at gives, for each column of the form, its place in the file, or -1.
	at          []int
	extractDate period.Date
	newestDate  period.Date
	rows        int64
	seen        map[string]int64
	warnings    []string

	lastDateText string
	lastDate     period.Date
}

// outcome is what became of one row: it is good, bad, or carries nothing to store.
type outcome struct {
	row    *Row
	bad    []Bad
	passed string
}

// newReader reads the header and recognises the form.
func newReader(content io.Reader, o Options) (*reader, error) {
	source := csv.NewReader(skipBOM(content))
	source.FieldsPerRecord = -1
	source.ReuseRecord = true
	r := &reader{csv: source, options: o, seen: make(map[string]int64)}
	header, err := source.Read()
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, rules.ReasonFileEmpty, "the file is empty")
	}
	if err != nil {
		return nil, explainCSV(err)
	}
	for _, name := range header {
		if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return nil, fault.New(fault.Invalid, rules.ReasonFileDamaged, "the header is not UTF-8 text")
		}
		r.header = append(r.header, strings.TrimSpace(strings.Clone(name)))
	}
	if r.form, r.at, err = recognise(r.header, o.Expected); err != nil {
		return nil, err
	}
	if r.form.begin != nil {
		err = r.form.begin(r)
	}
	return r, err
}

// next returns the next row's outcome; io.EOF ends the file.
func (r *reader) next() (outcome, error) {
	values, err := r.csv.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return outcome{}, io.EOF
		}
		return outcome{}, explainCSV(err)
	}
	if r.rows++; r.rows > MaxRows {
		return outcome{}, fault.New(fault.Invalid, rules.ReasonFileDamaged, "the file has more than %d rows: send it in parts", MaxRows).With("limit_rows", MaxRows)
	}
	line, _ := r.csv.FieldPos(0)
	c := &cells{reader: r, line: int64(line), values: values}
	if len(values) != len(r.header) {
		return outcome{bad: []Bad{{
			Line: c.line, Reason: rules.ReasonRowRagged, Value: show(strings.Join(values, ",")),
			Detail: fmt.Sprintf("the row has %d cells, the header %d", len(values), len(r.header)),
		}}}, nil
	}
	if bad := unreadable(c); len(bad) > 0 {
		return outcome{bad: bad}, nil
	}
	row, key := r.form.parse(c)
	if c.passed != "" {
		return outcome{passed: c.passed}, nil
	}
	if len(c.bad) == 0 {
		r.once(c, key)
	}
	if len(c.bad) > 0 {
		return outcome{bad: c.bad}, nil
	}
	if !c.stated.IsZero() {
		r.extractDate = c.stated
	}
	row.Line = c.line
	return outcome{row: row}, nil
}

// once refuses a subject that stood in the file before.
func (r *reader) once(c *cells, key string) {
	if first, ok := r.seen[key]; ok {
		c.bad = append(c.bad, Bad{
			Line: c.line, Reason: rules.ReasonRowDuplicate, Value: show(strings.ReplaceAll(key, "\x1f", " ")),
			Detail: fmt.Sprintf("the same subject stands on line %d", first),
		})
		return
	}
	r.seen[key] = c.line
}

// unreadable reports cells that are not text.
func unreadable(c *cells) []Bad {
	var bad []Bad
	for i, value := range c.values {
		switch {
		case !utf8.ValidString(value):
			bad = append(bad, Bad{Line: c.line, Column: c.reader.header[i], Value: show(value), Reason: rules.ReasonFileDamaged, Detail: "the value is not UTF-8 text"})
		case strings.IndexByte(value, 0) >= 0:
			bad = append(bad, Bad{Line: c.line, Column: c.reader.header[i], Value: show(value), Reason: rules.ReasonFileDamaged, Detail: "the value holds a NUL byte"})
		}
	}
	return bad
}

func (r *reader) warn(format string, args ...any) {
	if len(r.warnings) < maxWarnings {
		r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
	}
}

// explainCSV turns a reading error into a fault.
func explainCSV(err error) error {
	var broken *csv.ParseError
	if errors.As(err, &broken) {
		return fault.New(fault.Invalid, rules.ReasonFileDamaged, "line %d cannot be read as CSV: %v", broken.Line, broken.Err).With("line", broken.Line)
	}
	return fmt.Errorf("read the spooled file: %w", err)
}

// skipBOM leaves out the byte order mark that spreadsheets write before UTF-8.
func skipBOM(content io.Reader) io.Reader {
	var start [3]byte
	n, err := io.ReadFull(content, start[:])
	if n == 3 && string(start[:]) == "\xef\xbb\xbf" {
		return content
	}
	head := strings.NewReader(string(start[:n]))
	if err != nil {
		return head
	}
	return io.MultiReader(head, content)
}
