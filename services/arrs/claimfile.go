package arrs

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
)

const (
	// maxClaimFileBytes bounds a file, and maxClaimFileRows its rows: a month of all England has some 30,000 lines.
	maxClaimFileBytes = 8 << 20
	maxClaimFileRows  = 50_000
	// maxClaimLines is the bound of the contract on the lines of one claim, and maxClaimNotes that on its notes.
	maxClaimLines = 500
	maxClaimNotes = 1000
	// maxBadValues bounds the bad values that a refusal shows; their count is told besides.
	maxBadValues = 50
)

// claimColumns are the columns of a file of claims.
var claimColumns = []struct {
	name     string
	required bool
}{
	{"pcn_code", true},
	{"month", true},
	{"label", true},
	{"per_week", false},
	{"left_date", false},
	{"salary", true},
	{"employer_ni", true},
	{"employer_pension", true},
	{"fees", false},
	{"notes", false},
}

// fileColumns are fields of the contract under the names of the columns.
var fileColumns = map[string]string{
	"salary_pence": "salary", "employer_ni_pence": "employer_ni", "employer_pension_pence": "employer_pension", "fees_pence": "fees", "engagement_id": "label",
}

// fileClaim is the rows of a file that make one claim.
type fileClaim struct {
	entry *arrsv1.ClaimEntry
	month period.Month
	lines []int               // of the file, of each line of the claim
	terms []map[string]string // by column, what each line states of its engagement; nil where it states nothing
	notes []string
}

// claimFile is a file of claims on its way.
type claimFile struct {
	at     map[string]int
	width  int
	rows   int
	claims []*fileClaim
	byKey  map[string]*fileClaim
	wrong  int
	shown  []fault.Violation
}

// readClaimFile reads a file whole. Whatever is bad in it stands in the file's own list; the error is for what is no such file at all.
func readClaimFile(content []byte, commissioner string, declared bool) (*claimFile, error) {
	malformed := func(format string, args ...any) error {
		return fault.New(fault.Invalid, reasonFileMalformed, format, args...)
	}
	if !utf8.Valid(content) || bytes.ContainsRune(content, 0) {
		return nil, malformed("the file is not text in UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\uFEFF"))))
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return nil, malformed("the file has no header row")
	}
	f := &claimFile{width: len(header), byKey: make(map[string]*fileClaim)}
	if err := f.arrange(header); err != nil {
		return nil, err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line := 0
			if parse, ok := errors.AsType[*csv.ParseError](err); ok {
				line = parse.StartLine
			}
			f.bad(line, "", reasonFileHasBadRows, "is no row of a CSV file")
			break
		}
		line, _ := r.FieldPos(0)
		if f.rows++; f.rows > maxClaimFileRows {
			return nil, malformed("the file has more than %d rows: divide it", maxClaimFileRows)
		}
		f.row(line, record, commissioner, declared)
	}
	if f.rows == 0 && f.wrong == 0 {
		return nil, malformed("the file has no row")
	}
	return f, nil
}

// arrange finds the columns by name.
func (f *claimFile) arrange(header []string) error {
	f.at = make(map[string]int)
	refused := fault.New(fault.Invalid, reasonFileMalformed, "the header row is not that of a file of claims")
	for i, cell := range header {
		name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(cell)), " ", "_")
		if !isClaimColumn(name) {
			continue
		}
		if _, twice := f.at[name]; twice {
			refused = refused.At(name, "stands twice")
		}
		f.at[name] = i
	}
	for _, column := range claimColumns {
		if _, found := f.at[column.name]; column.required && !found {
			refused = refused.At(column.name, "is missing")
		}
	}
	if len(refused.Violations) > 0 {
		return refused
	}
	return nil
}

func isClaimColumn(name string) bool {
	for i := range claimColumns {
		if claimColumns[i].name == name {
			return true
		}
	}
	return slices.ContainsFunc(termsColumns, func(c termsColumn) bool { return c.name == name })
}

// bad notes a bad value of a line, or of the row as a whole.
func (f *claimFile) bad(line int, column, reason, why string) {
	f.wrong++
	if len(f.shown) == maxBadValues {
		return
	}
	field := fmt.Sprintf("line %d", line)
	if column != "" {
		field += ", " + column
	}
	f.shown = append(f.shown, fault.Violation{Field: field, Reason: reason, Description: why})
}

// refusal names what is wrong with the file; nil if nothing is.
func (f *claimFile) refusal() error {
	if f.wrong == 0 {
		return nil
	}
	refused := fault.New(fault.Invalid, reasonFileHasBadRows, "%d values of the file are wrong; nothing of it was taken in", f.wrong).With("bad_values", f.wrong)
	refused.Violations = f.shown
	return refused
}

// row reads one row. Its cells are never repeated as a whole, and those of pay not at all.
func (f *claimFile) row(line int, record []string, commissioner string, declared bool) {
	if len(record) != f.width {
		f.bad(line, "", reasonFileHasBadRows, fmt.Sprintf("has %d values, the header %d", len(record), f.width))
		return
	}
	cell := func(name string) string {
		if i, found := f.at[name]; found {
			return strings.TrimSpace(record[i])
		}
		return ""
	}
	before := f.wrong
	value := func(column, why string) {
		f.bad(line, column, reasonFileHasBadRows, quoted(cell(column))+" "+why)
	}
	month, err := period.ParseMonth(cell("month"))
	if err != nil {
		value("month", "is no month written YYYY-MM")
	}
	if pcn := cell("pcn_code"); !isCode(pcn) {
		value("pcn_code", "is no code of a PCN")
	}
	if label := cell("label"); label == "" || len(label) > 60 {
		value("label", "is empty or longer than 60 bytes")
	}
	entry := &arrsv1.LineEntry{Label: cell("label"), PerWeek: cell("per_week"), LeftDate: cell("left_date")}
	if perWeek, err := money.ParseDecimal(entry.GetPerWeek()); entry.GetPerWeek() != "" && (err != nil || perWeek.Sign() <= 0) {
		value("per_week", "is no number of hours or sessions a week")
	}
	if _, err := period.ParseDate(entry.GetLeftDate()); entry.GetLeftDate() != "" && err != nil {
		value("left_date", "is no day written YYYY-MM-DD")
	}
	if notes := cell("notes"); len(notes) > maxClaimNotes || strings.ContainsFunc(notes, func(r rune) bool { return r < ' ' }) {
		f.bad(line, "notes", reasonFileHasBadRows, fmt.Sprintf("are longer than %d bytes or hold control characters", maxClaimNotes))
	}
	f.pay(line, cell, entry)
	terms := f.terms(line, cell)
	if f.wrong > before {
		return
	}
	f.add(line, cell, month, entry, terms, commissioner, declared)
}

// pay reads the amounts of a row, in pounds.
func (f *claimFile) pay(line int, cell func(string) string, entry *arrsv1.LineEntry) {
	for _, of := range []struct {
		column string
		into   *int64
	}{
		{"salary", &entry.SalaryPence}, {"employer_ni", &entry.EmployerNiPence}, {"employer_pension", &entry.EmployerPensionPence}, {"fees", &entry.FeesPence},
	} {
		text := strings.TrimPrefix(cell(of.column), "£")
		if text == "" && of.column == "fees" {
			continue
		}
		amount, err := money.ParsePence(text)
		if err != nil || amount < 0 {
			f.bad(line, of.column, reasonFileHasBadRows, "is no amount in pounds and pence of at least 0, in plain digits")
		}
		*of.into = int64(amount)
	}
}

// add puts a row to the claim of its PCN and month.
func (f *claimFile) add(line int, cell func(string) string, month period.Month, entry *arrsv1.LineEntry, terms map[string]string, commissioner string, declared bool) {
	key := cell("pcn_code") + "/" + month.String()
	claim := f.byKey[key]
	if claim == nil {
		claim = &fileClaim{month: month, entry: &arrsv1.ClaimEntry{
			PcnCode: cell("pcn_code"), CommissionerCode: commissioner, Month: month.String(), Kind: arrsv1.ClaimKind_MONTHLY, Declared: declared,
		}}
		f.byKey[key] = claim
		f.claims = append(f.claims, claim)
	}
	claim.lines, claim.terms = append(claim.lines, line), append(claim.terms, terms)
	claim.entry.Lines = append(claim.entry.Lines, entry)
	if len(claim.lines) == maxClaimLines+1 {
		f.bad(line, "", reasonFileHasBadRows, fmt.Sprintf("is above the %d lines of one claim", maxClaimLines))
	}
	if notes := cell("notes"); notes != "" && !slices.Contains(claim.notes, notes) {
		claim.notes = append(claim.notes, notes)
		if claim.entry.Notes = strings.Join(claim.notes, "; "); len(claim.entry.GetNotes()) > maxClaimNotes {
			f.bad(line, "notes", reasonFileHasBadRows, fmt.Sprintf("make the notes of the claim longer than %d bytes", maxClaimNotes))
		}
	}
}

// wrongClaim notes what is wrong with a claim of the file: a bad field of a line with that line, and of the claim with its first.
func (f *claimFile) wrongClaim(claim *fileClaim, bad []badField) {
	for _, b := range bad {
		line, column := claim.lines[max(b.line, 0)], b.field
		if name, found := fileColumns[b.field]; found {
			column = name
		}
		f.bad(line, column, b.reason, b.description)
	}
}

// figures are what pay is written with: three digits or more, or pounds and pence.
var figures = regexp.MustCompile(`[0-9]{3}|[0-9][.,][0-9]`)

// dayOrMonth is the shape of a day or a month.
var dayOrMonth = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}(-[0-9]{2})?$`)

// quoted repeats a bad text, unless it could be an amount: in a file whose columns have shifted, any may hold pay.
func quoted(text string) string {
	if figures.MatchString(text) && !dayOrMonth.MatchString(text) {
		return "what it holds"
	}
	return strconv.Quote(money.Clip(text))
}

func isCode(text string) bool {
	return text != "" && len(text) <= 12 && strings.ContainsFunc(text, unicode.IsLetter) && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}
