package iif

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	iifv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/iif/v1"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/iif/internal/store"
)

const (
	// maxCountsBytes bounds a file after decompression: five years' extract of England in one.
	maxCountsBytes = 1 << 29
	// maxFieldNames bounds a map of field names, which is held in memory: some ten years of them.
	maxFieldNames = 50_000
	// countsImportLimit bounds the transaction that stores a file.
	countsImportLimit = 5 * time.Minute
	// maxCountsViolations bounds the bad rows that a refusal shows.
	maxCountsViolations = 20
	// importsPage is the rows of a page where the caller asks for no number.
	importsPage = 100
)

// ImportCounts reads a file of counts or of field names, checks it whole and takes it in, or nothing of it.
func (s *Service) ImportCounts(stream grpc.ClientStreamingServer[iifv1.ImportCountsRequest, iifv1.ImportCountsResponse]) (err error) {
	ctx := stream.Context()
	header, err := upload.Header[*iifv1.CountsHeader](stream, reasonFileMalformed)
	if err != nil {
		return err
	}
	if err := upload.Identified(header); err != nil {
		return err
	}
	commissioner, err := mayImport(ctx, header.GetCommissionerCode())
	if err != nil {
		return err
	}
	spooled, err := upload.Spool(upload.Reader[*iifv1.CountsHeader](stream, reasonFileMalformed), upload.SpoolOptions{MaxBytes: maxCountsBytes, Reason: reasonFileMalformed})
	if err != nil {
		return fmt.Errorf("take in %q: %w", money.Clip(header.GetFileName()), err)
	}
	defer func() { err = errors.Join(err, spooled.Close()) }()
	if header.GetSha256() != "" && header.GetSha256() != spooled.SHA256 {
		return fault.New(fault.Invalid, reasonFileMalformed, "the file did not come as it was sent: its hash is %s", spooled.SHA256).
			At("sha256", "is not that of the file, without compression")
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = spooled.SHA256
	answer, err := s.importFile(ctx, request, commissioner, spooled)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// mayImport returns under which code counts are taken in, if the caller may: England for an empty one.
func mayImport(ctx context.Context, commissioner string) (string, error) {
	if commissioner == rules.England {
		commissioner = ""
	}
	switch {
	case !caller(ctx).HoldsCommissioner(commissioner) && commissioner == "":
		return "", fault.New(fault.Denied, auth.ReasonEnglandRequired, "a file for all of England needs a role for England: name your commissioner")
	case !caller(ctx).HoldsCommissioner(commissioner):
		return "", fault.New(fault.NotFound, auth.ReasonNotFound, "there is no commissioner %q that you may see", money.Clip(commissioner))
	case commissioner == "":
		return rules.England, nil
	}
	return commissioner, nil
}

// addressOf is to whom something under a code is addressed: nobody in particular where it holds for England.
func addressOf(commissioner string) string {
	if commissioner == rules.England {
		return ""
	}
	return commissioner
}

// importFile takes a spooled file in once: the same request, or the same bytes for the commissioner again, change nothing.
func (s *Service) importFile(ctx context.Context, request *iifv1.CountsHeader, commissioner string, spooled *upload.Spooled) (*iifv1.ImportCountsResponse, error) {
	if answer, found, err := change.Stored[*iifv1.ImportCountsResponse](ctx, s.db, request); err != nil || found {
		return answer, err
	}
	var file *countsFile
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		_, standing, err := standingImport(ctx, q, commissioner, request.GetSha256())
		if err == nil && !standing {
			file, err = s.openCounts(ctx, q, request, commissioner, spooled)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if file != nil {
		if err := file.check(period.DateOf(s.db.Now())); err != nil {
			return nil, err
		}
	}
	return change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*iifv1.ImportCountsResponse, error) {
		if err := errors.Join(tx.Allow(ctx, countsImportLimit), tx.Lock(ctx, countsLock)); err != nil {
			return nil, err
		}
		held, standing, err := standingImport(ctx, tx, commissioner, request.GetSha256())
		if err != nil {
			return nil, err
		}
		if standing {
			return &iifv1.ImportCountsResponse{CountsImport: held.Summary, AlreadyImported: true}, nil
		}
		now, err := s.openCounts(ctx, tx, request, commissioner, spooled)
		if err != nil {
			return nil, err
		}
		// Names that came between the check and the lock may read the file otherwise.
		if file == nil || file.knew != now.knew {
			if err := now.check(period.DateOf(tx.Now())); err != nil {
				return nil, err
			}
			file = now
		}
		summary, err := s.takeCounts(ctx, tx, file)
		return &iifv1.ImportCountsResponse{CountsImport: summary}, err
	})
}

// standingImport returns the import of the same bytes for a commissioner, and tells whether it stands for another one: no other file was
// taken in since, and no figure was entered that may list a code which it passed over. Else the bytes are taken in once more, which
// changes what they say otherwise than what stands.
func standingImport(ctx context.Context, q sqldb.Querier, commissioner, sha256 string) (held store.ImportRow, standing bool, err error) {
	if held, err = store.ImportOf(ctx, q, commissioner, sha256); errors.Is(err, sql.ErrNoRows) {
		return held, false, nil
	}
	if err != nil {
		return held, false, err
	}
	last, err := store.LastImport(ctx, q)
	if err != nil {
		return held, false, err
	}
	figure, _, err := store.LastPosition(ctx, q)
	unlisted := slices.ContainsFunc(held.Summary.GetTallies(), func(t *iifv1.CountsTally) bool { return t.GetCause() == tallyCauses[feed.UnlistedCode] })
	return held, last == held.Position && (figure == held.Figures || !unlisted), err
}

// known is what was known when a file was read: the last import, and the last figure.
type known struct{ imports, figures int64 }

// countsFile is a file on its way in.
type countsFile struct {
	knew         known
	request      *iifv1.CountsHeader
	commissioner string
	spooled      *upload.Spooled
	scheme       *rules.Scheme
	held         []feed.MapRow // field names that stand
	names        map[period.FinancialYear]*feed.Names

	// What a check finds.
	report                *feed.Report
	suppressed, defaulted int64
	// cells are the counts of each organisation.
	cells map[string]int
	codes map[string]bool
	// fieldNames are those of a map.
	fieldNames []feed.MapRow
}

func (s *Service) openCounts(
	ctx context.Context, q sqldb.Querier, request *iifv1.CountsHeader, commissioner string, spooled *upload.Spooled,
) (*countsFile, error) {
	scheme, figures, err := s.scheme(ctx, q, latest)
	if err != nil {
		return nil, err
	}
	imports, err := store.LastImport(ctx, q)
	if err != nil {
		return nil, err
	}
	held, err := store.FieldNames(ctx, q)
	return &countsFile{
		knew:    known{imports, figures},
		request: request, commissioner: commissioner, spooled: spooled, scheme: scheme, held: held, names: make(map[period.FinancialYear]*feed.Names),
	}, err
}

// namesOf finds the names of a year; nil where the scheme has no such year.
func (f *countsFile) namesOf(year period.FinancialYear) (names *feed.Names, err error) {
	if known, ok := f.names[year]; ok {
		return known, nil
	}
	if indicators := indicatorsOf(f.scheme, f.commissioner, year); len(indicators) > 0 {
		names, err = feed.NewNames(year, indicators, f.held)
	}
	f.names[year] = names
	return names, err
}

// indicatorsOf returns the indicators of every version of a year, as they hold for a commissioner. A version of which nothing is known
// has none.
func indicatorsOf(scheme *rules.Scheme, commissioner string, year period.FinancialYear) []rules.Indicator {
	var out []rules.Indicator
	var seen []period.Date
	for i := range scheme.Versions {
		version := &scheme.Versions[i]
		if version.Year != year || slices.Contains(seen, version.From) {
			continue
		}
		seen = append(seen, version.From)
		terms, err := rules.TermsFor(scheme, rules.Query{Year: year, Commissioner: commissioner, On: version.From})
		if err != nil {
			continue
		}
		for n := range terms.Indicators {
			out = append(out, terms.Indicators[n].Indicator)
		}
	}
	// A proposal names nothing that somebody has confirmed for another version of the year.
	confirmed := make(map[string]bool)
	for i := range out {
		confirmed[out[i].Code] = confirmed[out[i].Code] || out[i].Confidence.Payable()
	}
	return slices.DeleteFunc(out, func(i rules.Indicator) bool { return confirmed[i.Code] && !i.Confidence.Payable() })
}

// read reads the file once more, and hands over its counts.
func (f *countsFile) read(each func(feed.Row) error) (*feed.Report, error) {
	return feed.Read(f.spooled.Open(), f.namesOf, feed.Layout(f.request.GetLayout()), each)
}

// check reads the file whole, and refuses it if anything in it is wrong.
func (f *countsFile) check(today period.Date) error {
	if err := f.sound(today); err != nil {
		return fmt.Errorf("check %q: %w", money.Clip(f.request.GetFileName()), err)
	}
	return nil
}

func (f *countsFile) sound(today period.Date) (err error) {
	f.cells, f.codes = make(map[string]int), make(map[string]bool)
	layout := f.request.GetLayout()
	if layout != iifv1.CountsLayout_FIELD_MAP {
		f.report, err = f.read(func(row feed.Row) error {
			f.cells[row.Organisation]++
			f.codes[row.Code] = true
			if row.Defaulted {
				f.defaulted++
			}
			if fedCell(&row).State == rules.Suppressed {
				f.suppressed++
			}
			return nil
		})
	}
	// Where no layout is stated, a map shows by its header.
	isMap := layout == iifv1.CountsLayout_COUNTS_LAYOUT_UNSPECIFIED && fault.ReasonOf(err) == rules.ReasonLayoutMismatch
	if layout == iifv1.CountsLayout_FIELD_MAP || isMap {
		err = f.checkMap()
	}
	if err != nil {
		return err
	}
	if f.report.Rows == 0 {
		return fault.New(fault.Invalid, reasonFileMalformed, "the file has a header and no rows")
	}
	if days := f.report.Days; len(days) > 0 && days[len(days)-1].After(today) {
		return fault.New(fault.Invalid, reasonCountsInvalid, "the file has counts of %s, which is still to come", days[len(days)-1]).With("achieved_on", days[len(days)-1])
	}
	return badCounts(f.report)
}

// checkMap reads a map of field names, and keeps those that are new or differ.
func (f *countsFile) checkMap() (err error) {
	if f.commissioner != rules.England {
		return fault.New(fault.Invalid, reasonFileMalformed, "field names hold for all of England: leave the commissioner out").At("commissioner_code", "empty for a map of field names")
	}
	type place struct {
		year        period.FinancialYear
		code, field string
	}
	stands, given := make(map[place]string), make(map[place]feed.MapRow)
	for _, row := range f.held {
		stands[place{row.Year, row.Code, row.Field}] = row.Short
	}
	f.fieldNames = nil
	f.report, err = feed.ReadFieldMap(f.spooled.Open(), func(row feed.MapRow) error {
		at := place{row.Year, row.Code, row.Field}
		if before, twice := given[at]; twice {
			if before.Short == row.Short {
				return nil
			}
			return fault.New(fault.Invalid, rules.ReasonNamesConflict, "lines %d and %d give field %s of %s in %s two short names",
				before.Line, row.Line, money.Clip(row.Field), money.Clip(row.Code), row.Year)
		}
		if len(given) == maxFieldNames {
			return fault.New(fault.Invalid, reasonFileMalformed, "a map has at most %d field names: divide it", maxFieldNames).With("limit", maxFieldNames)
		}
		given[at] = row
		if short, known := stands[at]; !known || short != row.Short {
			f.fieldNames = append(f.fieldNames, row)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// What would stand has to be free of contradiction, or no file of the year could be read.
	all := slices.DeleteFunc(slices.Clone(f.held), func(row feed.MapRow) bool {
		_, replaced := given[place{row.Year, row.Code, row.Field}]
		return replaced
	})
	all = append(all, slices.Collect(maps.Values(given))...)
	for _, year := range f.report.Years {
		if indicators := indicatorsOf(f.scheme, f.commissioner, year); len(indicators) > 0 {
			if _, err := feed.NewNames(year, indicators, all); err != nil {
				return err
			}
		}
	}
	return nil
}

// badCounts refuses a file with bad rows, and shows the first of them.
func badCounts(report *feed.Report) error {
	if report.BadRows == 0 {
		return nil
	}
	out := fault.New(fault.Invalid, reasonFileHasBadRows, "%d of %d rows are bad, so nothing was stored", report.BadRows, report.Rows)
	shown := report.Bad[:min(len(report.Bad), maxCountsViolations)]
	if more := report.BadRows - int64(len(shown)); more > 0 {
		out.Message += fmt.Sprintf(": the first %d are named, and there are %d more", len(shown), more)
	}
	for _, bad := range shown {
		out.Violations = append(out.Violations, fault.Violation{
			Field: lineField(bad.Line, bad.Column), Reason: bad.Reason, Description: fmt.Sprintf("%q: %s", bad.Value, bad.Detail),
		})
	}
	return out.With("rows", report.Rows).With("rows_bad", report.BadRows)
}

func lineField(line int64, column string) string {
	field := "line " + strconv.FormatInt(line, 10)
	if column != "" {
		field += ", column " + column
	}
	return field
}

// fedCell is a row as a cell of its indicator. A count that a publication rounds is kept as hidden: what it was is not known, and it
// never pays.
func fedCell(row *feed.Row) store.Cell {
	out := store.Cell{Measure: row.Measure, Field: row.Field, Cell: row.Cell, Defaulted: row.Defaulted}
	switch {
	case row.Measure == feed.Answer:
		out.Cell = rules.Count(int64(row.Answer))
	case row.Rounded && out.N != 0:
		out.Cell = rules.Cell{State: rules.Suppressed}
	}
	return out
}

// manyCounts is from how many changed counts on the database is told that the table has grown, before years are worked out from it.
const manyCounts = 10_000

// takeCounts stores a file that was checked, works out again what rests on it, and notes and announces it.
func (s *Service) takeCounts(ctx context.Context, tx *change.Tx, f *countsFile) (*iifv1.CountsImport, error) {
	row := store.ImportRow{ID: tx.NewID(), CommissionerCode: f.commissioner, SHA256: f.request.GetSha256(), ImportedBy: tx.By.Subject, ImportedAt: sqldb.Micros(tx.Now()), Figures: f.knew.figures}
	row.Summary = f.summary(&row)
	if len(f.cells) > 0 {
		taken := &intake{countsFile: f, tx: tx, row: &row}
		if err := taken.all(ctx); err != nil {
			return nil, err
		}
		if row.Summary.Changed = taken.changed; taken.changed > manyCounts {
			if err := store.AnalyzeCounts(ctx, tx.Tx); err != nil {
				return nil, err
			}
		}
		for _, year := range slices.Sorted(maps.Keys(taken.organisations)) {
			c := changed{year: year, commissioner: f.commissioner, national: f.commissioner == rules.England, cause: rules.DataAmended, words: fmt.Sprintf("counts were imported as %s: %s", row.ID, f.request.GetSource())}
			// The years of some PCNs or of the PCNs of some practices are found; where rows of both changed, all are gone through.
			if pcns, practices := split(taken.organisations[year]); len(pcns) == 0 || len(practices) == 0 {
				c.pcns, c.practices = pcns, practices
			}
			reworked, err := s.rework(ctx, tx, c)
			if err != nil {
				return nil, err
			}
			row.Summary.ResultsReworked += int32(reworked) //nolint:gosec // at most the PCNs of England, a year
		}
	}
	row.Summary.Changed += int64(len(f.fieldNames))
	if err := store.InsertImport(ctx, tx.Tx, &row); err != nil {
		return nil, err
	}
	if err := store.InsertFieldNames(ctx, tx.Tx, &row, f.fieldNames); err != nil {
		return nil, err
	}
	event := &iifv1.CountsImported{CountsImport: row.Summary}
	if _, err := tx.Announce(ctx, "counts/"+f.commissioner, addressOf(f.commissioner), event); err != nil {
		return nil, err
	}
	words := fmt.Sprintf("imported a file of the %s: %d rows, %d counts, %d changed", f.report.Layout, row.Summary.GetRows(), row.Summary.GetCounts(), row.Summary.GetChanged())
	return row.Summary, tx.Record(ctx, "iif/imports/"+row.ID, addressOf(f.commissioner), words)
}

// split tells PCNs from practices, each in order.
func split(organisations map[string]bool) (pcns, practices []string) {
	for _, code := range slices.Sorted(maps.Keys(organisations)) {
		if isPCN(code) {
			pcns = append(pcns, code)
		} else {
			practices = append(practices, code)
		}
	}
	return pcns, practices
}

var tallyCauses = map[feed.Cause]string{
	feed.ManagementCode: "MANAGEMENT_CODE", feed.UnlistedCode: "CODE_NOT_LISTED", feed.ManagementCount: "MANAGEMENT_COUNT",
	feed.NotLast: "NOT_LAST_SUBMISSION", feed.OtherMeasure: "MEASURE_DOES_NOT_PAY",
}

func (f *countsFile) summary(row *store.ImportRow) *iifv1.CountsImport {
	out := &iifv1.CountsImport{
		ImportId: row.ID, Layout: iifv1.CountsLayout(f.report.Layout), FileName: f.request.GetFileName(), Sha256: row.SHA256, Source: f.request.GetSource(), //nolint:gosec // enum
		CommissionerCode: f.commissioner, Rows: f.report.Rows, Suppressed: f.suppressed, Defaulted: f.defaulted, IndicatorCodes: slices.Sorted(maps.Keys(f.codes)),
		ImportedBy: row.ImportedBy, ImportedAt: timestamppb.New(sqldb.FromMicros(row.ImportedAt)),
	}
	if f.report.Layout != feed.FieldMap {
		out.Counts = f.report.Kept
	}
	for _, tally := range f.report.Tallies {
		t := &iifv1.CountsTally{Cause: tallyCauses[tally.Cause], Rows: tally.Rows}
		for _, e := range tally.Examples {
			t.Examples = append(t.Examples, fmt.Sprintf("line %d: %s %s", e.Line, e.Code, e.Field))
		}
		out.Tallies = append(out.Tallies, t)
	}
	for code := range f.cells {
		if isPCN(code) {
			out.Pcns++
		} else {
			out.Practices++
		}
	}
	for _, year := range f.report.Years {
		out.FinancialYears = append(out.FinancialYears, yearWords(year))
	}
	for _, day := range f.report.Days {
		out.AchievedOn = append(out.AchievedOn, day.String())
	}
	return out
}

// visibleImports are the codes whose imports the caller may see; nil for all. What holds for England concerns everybody.
func visibleImports(ctx context.Context) []string {
	held := caller(ctx).CommissionerScope()
	if held == nil {
		return nil
	}
	return append(held, rules.England)
}

// GetImport returns one import.
func (s *Service) GetImport(ctx context.Context, req *iifv1.GetImportRequest) (*iifv1.CountsImport, error) {
	var row store.ImportRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		row, err = store.Import(ctx, q, req.GetImportId())
		return err
	})
	visible := visibleImports(ctx)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && visible != nil && !slices.Contains(visible, row.CommissionerCode)) {
		return nil, fault.New(fault.NotFound, reasonImportNotFound, "there is no import %q that you may see", money.Clip(req.GetImportId()))
	}
	return row.Summary, err
}

// ListImports returns imports, newest first.
func (s *Service) ListImports(ctx context.Context, req *iifv1.ListImportsRequest) (*iifv1.ListImportsResponse, error) {
	key, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var before int64
	if key != "" {
		if before, err = strconv.ParseInt(key, 10, 64); err != nil || before <= 0 {
			return nil, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").At("page_token", "use next_page_token of the page before")
		}
	}
	size := page.Size(req.GetPageSize(), importsPage)
	var rows []store.ImportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Imports(ctx, q, visibleImports(ctx), req.GetCommissionerCode(), before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(iifv1.ListImportsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.ImportRow) string { return strconv.FormatInt(r.Position, 10) })
	for i := range rows {
		out.Imports = append(out.Imports, rows[i].Summary)
	}
	return out, nil
}
