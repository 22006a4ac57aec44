package activity

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	activityv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/activity/v1"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/feed"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/activity/internal/store"
)

const (
	// maxFileBytes bounds a file after decompression: more than as many rows as a file may have.
	maxFileBytes = 1 << 29
	// importLimit bounds the transaction that stores a file.
	importLimit = 5 * time.Minute
	// maxViolations bounds the bad rows, or the cuts, that a refusal shows.
	maxViolations = 20
	// manyRows is from how many rows on the database is told that the table has grown.
	manyRows = 10_000
)

// ImportAttendances reads a file of attendances, checks it whole and takes it in, or nothing of it.
func (s *Service) ImportAttendances(stream grpc.ClientStreamingServer[activityv1.ImportAttendancesRequest, activityv1.ImportAttendancesResponse]) (err error) {
	ctx := stream.Context()
	header, err := upload.Header[*activityv1.AttendancesHeader](stream, reasonFileMalformed)
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
	extracted, err := s.checkHeader(header)
	if err != nil {
		return err
	}
	spooled, err := upload.Spool(upload.Reader[*activityv1.AttendancesHeader](stream, reasonFileMalformed), upload.SpoolOptions{
		MaxBytes: maxFileBytes, Reason: reasonFileMalformed,
		Through: func(content io.Reader) io.Reader {
			return newGuard(content, feed.Options{Commissioner: addressOf(commissioner)})
		},
	})
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
	f := &file{request: request, commissioner: commissioner, extracted: extracted, spooled: spooled}
	answer, err := s.importFile(ctx, f)
	if errors.Is(err, errUnchecked) {
		f.anew = true
		answer, err = s.importFile(ctx, f)
	}
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// mayImport returns under which code a file is taken in, if the caller may: England for an empty one.
func mayImport(ctx context.Context, commissioner string) (string, error) {
	if commissioner == rules.England {
		commissioner = ""
	}
	switch {
	case !caller(ctx).HoldsCommissioner(commissioner) && commissioner == "":
		return "", fault.New(fault.Denied, auth.ReasonEnglandRequired, "a file of all England needs a role for England: name your commissioner")
	case !caller(ctx).HoldsCommissioner(commissioner):
		return "", noCommissioner(commissioner)
	}
	return orEngland(commissioner), nil
}

// checkHeader holds together what a header says, and returns the day of the extract.
func (s *Service) checkHeader(h *activityv1.AttendancesHeader) (period.Date, error) {
	day, err := parseDate("extract_date", h.GetExtractDate())
	if err != nil {
		return day, err
	}
	if today := period.DateOf(s.db.Now()); day.After(today) {
		return day, fault.New(fault.Invalid, reasonExtractInFuture, "data cannot have been extracted on %s: today is %s", day, today).At("extract_date", "not after today")
	}
	if h.GetSupersedeFinal() && h.GetReason() == "" {
		return day, fault.New(fault.Invalid, reasonReasonRequired, "say why a first cut follows a final one, or an older extract a newer one").At("reason", "required with supersede_final")
	}
	return day, nil
}

// file is a file of attendances on its way in.
type file struct {
	request      *activityv1.AttendancesHeader
	commissioner string // rules.England for all
	extracted    period.Date
	spooled      *upload.Spooled
	// anew is true where it is checked even if its cuts stand.
	anew bool

	// What a check finds, and the last figure or setting that it knew.
	report   *feed.Report
	position int64
}

// errUnchecked says that the cuts of a file stood when it was sent, and did not when it was its turn: what it needs of the register was not
// asked, which is not for transactions.
var errUnchecked = errors.New("the file was not checked")

// importFile takes a file in once: the same request, or the same bytes while nothing came after them, change nothing.
func (s *Service) importFile(ctx context.Context, f *file) (*activityv1.ImportAttendancesResponse, error) {
	if answer, found, err := change.Stored[*activityv1.ImportAttendancesResponse](ctx, s.db, f.request); err != nil || found {
		return answer, err
	}
	var k *known
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		held, err := standingImport(ctx, q, f)
		if err == nil && (held == nil || f.anew) {
			k, err = s.known(ctx, q)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if k != nil {
		if err := f.check(k); err != nil {
			return nil, err
		}
		if err := s.reportable(ctx, f.report.Sums); err != nil {
			return nil, err
		}
	}
	return change.Do(ctx, s.db, f.request, func(ctx context.Context, tx *change.Tx) (*activityv1.ImportAttendancesResponse, error) {
		if err := errors.Join(tx.Allow(ctx, importLimit), tx.Lock(ctx, importsLock)); err != nil {
			return nil, err
		}
		held, err := standingImport(ctx, tx, f)
		if err != nil {
			return nil, err
		}
		if held != nil {
			return &activityv1.ImportAttendancesResponse{AttendancesImport: held, AlreadyImported: true}, nil
		}
		if f.report == nil {
			return nil, errUnchecked
		}
		now, err := s.known(ctx, tx)
		if err != nil {
			return nil, err
		}
		// Meanings that came between the check and the lock may read the file otherwise; whose months it holds they leave as they are.
		if f.position != now.position {
			if err := f.check(now); err != nil {
				return nil, err
			}
		}
		return s.take(ctx, tx, f)
	})
}

// standingImport returns the import of the same bytes as the same kind of cut, if all its cuts still stand; nil otherwise.
func standingImport(ctx context.Context, q sqldb.Querier, f *file) (*activityv1.AttendancesImport, error) {
	row, err := store.ImportOf(ctx, q, f.commissioner, f.request.GetSha256())
	if errors.Is(err, sql.ErrNoRows) || (err == nil && activityv1.CutKind(row.Kind) != f.request.GetCut()) { //nolint:gosec // few
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, err
	}
	cuts, err := store.CutsOf(ctx, q, row.ID)
	if err != nil || slices.ContainsFunc(cuts, func(c store.CutRow) bool { return !c.Newest }) {
		return nil, err
	}
	return withCuts(&row, cuts), nil
}

func withCuts(row *store.ImportRow, cuts []store.CutRow) *activityv1.AttendancesImport {
	out := importToProto(row)
	for i := range cuts {
		out.Cuts = append(out.Cuts, cutToProto(&cuts[i]))
	}
	return out
}

// options says how a file is read, with what codes of category mean. Nobody in it arrived after the day of the extract, which is not after
// today.
func (f *file) options(settings []rules.Setting) feed.Options {
	type code struct{ commissioner, text string }
	meanings := make(map[code]feed.Category)
	return feed.Options{
		Commissioner: addressOf(f.commissioner), Latest: f.extracted.Month(),
		Category: func(commissioner, text string) (feed.Category, bool) {
			at := code{commissioner, text}
			meaning, asked := meanings[at]
			if !asked {
				if set := rules.Find(settings, commissioner, rules.SettingCategory, text); set != nil {
					meaning = feed.Category(rules.CategoryOf(set.Value))
				}
				meanings[at] = meaning
			}
			return meaning, meaning != 0
		},
	}
}

// check reads the file whole, and refuses it if anything in it is wrong.
func (f *file) check(k *known) (err error) {
	f.position = k.position
	if f.report, err = feed.Check(f.spooled.Open, f.options(k.settings)); err != nil {
		return err
	}
	if f.report.Rows == 0 {
		return fault.New(fault.Invalid, reasonFileMalformed, "the file has a header and no rows")
	}
	return badRows(f.report)
}

// badRows refuses a file with bad rows, and shows the first of them.
func badRows(report *feed.Report) error {
	if report.BadRows == 0 {
		return nil
	}
	out := fault.New(fault.Invalid, reasonFileHasBadRows, "%d of %d rows are bad, so nothing was stored", report.BadRows, report.Rows)
	shown := report.Bad[:min(len(report.Bad), maxViolations)]
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

// take stores a file that was checked as cuts, and notes and announces them.
func (s *Service) take(ctx context.Context, tx *change.Tx, f *file) (*activityv1.ImportAttendancesResponse, error) {
	row := store.ImportRow{
		ID: tx.NewID(), CommissionerCode: f.commissioner, SHA256: f.request.GetSha256(), Kind: int64(f.request.GetCut()), FileName: f.request.GetFileName(),
		Source: f.request.GetSource(), ExtractDate: f.extracted, Rows: f.report.Rows, ImportedBy: tx.By.Subject, ImportedAt: sqldb.Micros(tx.Now()),
	}
	for _, sum := range f.report.Sums {
		row.Attendances += sum.Attendances
	}
	cuts, notes, err := newCuts(ctx, tx, f, &row)
	if err != nil {
		return nil, err
	}
	if err := store.InsertImport(ctx, tx.Tx, &row); err != nil {
		return nil, err
	}
	if err := store.InsertCuts(ctx, tx.Tx, cuts); err != nil {
		return nil, err
	}
	if err := store.InsertAttendances(ctx, tx.Tx, f.placed(cuts)); err != nil {
		return nil, err
	}
	if f.report.Rows > manyRows {
		if err := store.AnalyzeAttendances(ctx, tx.Tx); err != nil {
			return nil, err
		}
	}
	for i := range cuts {
		c := &cuts[i]
		event := &activityv1.AttendancesImported{
			ImportId: row.ID, CutId: c.ID, CommissionerCode: c.CommissionerCode, Month: c.Month.String(), Number: int32(c.Number), Kind: f.request.GetCut(), //nolint:gosec // few
			Source: row.Source, ExtractDate: row.ExtractDate.String(), Rows: c.Rows,
		}
		if _, err := tx.Announce(ctx, "attendances/"+c.CommissionerCode+"/"+c.Month.String(), c.CommissionerCode, event); err != nil {
			return nil, err
		}
	}
	words := fmt.Sprintf("imported %d rows as cuts of %d months of commissioners, from %s", row.Rows, len(cuts), row.Source)
	if f.request.GetReason() != "" {
		words += ": " + f.request.GetReason()
	}
	return &activityv1.ImportAttendancesResponse{AttendancesImport: withCuts(&row, cuts), Notes: notes},
		tx.Record(ctx, "activity/imports/"+row.ID, addressOf(f.commissioner), words)
}

// newCuts numbers the cuts of a file after those that stand, under the locks of their commissioners, and notes what somebody should look at.
func newCuts(ctx context.Context, tx *change.Tx, f *file, row *store.ImportRow) (out []store.CutRow, notes []string, err error) {
	var locks []string
	for _, sum := range f.report.Sums {
		locks = append(locks, commissionerLock(sum.Commissioner))
	}
	if err := tx.LockAll(ctx, slices.Compact(locks)); err != nil {
		return nil, nil, err
	}
	position, err := store.NextCut(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	var finals, newer []store.CutRow
	for _, sum := range f.report.Sums {
		before, err := store.NewestCut(ctx, tx, sum.Commissioner, sum.Month)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, nil, err
		}
		c := store.CutRow{
			ID: fmt.Sprintf("activity-%s-%s-cut-%d", sum.Commissioner, sum.Month, before.Number+1), Position: position, CommissionerCode: sum.Commissioner, Month: sum.Month,
			Number: before.Number + 1, Kind: row.Kind, ImportID: row.ID, Rows: sum.Rows, Attendances: sum.Attendances, UnknownPractice: sum.UnknownPractice,
			Source: row.Source, ExtractDate: row.ExtractDate, ImportedBy: row.ImportedBy, ImportedAt: row.ImportedAt, Newest: true,
		}
		if row.Kind == int64(activityv1.CutKind_FIRST_CUT) && before.Kind == int64(activityv1.CutKind_FINAL_CUT) {
			finals = append(finals, before)
			c.Reason = f.request.GetReason()
		}
		switch {
		case before.Number == 0:
		case row.ExtractDate.Before(before.ExtractDate):
			newer = append(newer, before)
			c.Reason = f.request.GetReason()
		case row.ExtractDate == before.ExtractDate && row.Kind == before.Kind:
			notes = append(notes, fmt.Sprintf("%s takes the place of %s, which is of the same kind and was extracted on the same day, %s: make sure that this is the later of the two",
				c.ID, before.ID, before.ExtractDate))
		}
		out = append(out, c)
		position++
	}
	if len(finals) > 0 && !f.request.GetSupersedeFinal() {
		return nil, nil, finalStands(finals)
	}
	if len(newer) > 0 && !f.request.GetSupersedeFinal() {
		return nil, nil, newerStands(newer, row.ExtractDate)
	}
	return out, notes, nil
}

// newerStands refuses an extract of months that have one of a later day.
func newerStands(cuts []store.CutRow, extracted period.Date) error {
	out := fault.New(fault.Refused, reasonExtractOlder, "the file was extracted on %s, and %d months of commissioners have a cut that was extracted later, such as %s on %s: "+
		"send the later extract, or say why with supersede_final", extracted, len(cuts), cuts[0].ID, cuts[0].ExtractDate).
		With("cuts", len(cuts)).With("extract_date", extracted)
	for _, c := range cuts[:min(len(cuts), maxViolations)] {
		out = out.At("extract_date", fmt.Sprintf("%s of %s has the cut %s, extracted on %s; this file was on %s", c.Month, c.CommissionerCode, c.ID, c.ExtractDate, extracted))
	}
	return out
}

// finalStands refuses a first cut of months that have a final one.
func finalStands(cuts []store.CutRow) error {
	out := fault.New(fault.Refused, reasonFinalCutStands, "%d months of commissioners have a final cut, which a first one does not follow: send the final cut, or say why with supersede_final", len(cuts)).
		With("cuts", len(cuts))
	for _, c := range cuts[:min(len(cuts), maxViolations)] {
		out = out.At("cut", fmt.Sprintf("%s of %s has the final cut %s, extracted on %s", c.Month, c.CommissionerCode, c.ID, c.ExtractDate))
	}
	return out
}

var errDatabaseFull = errors.New("the database takes no more rows")

// placed reads the file once more, and hands over its rows with their cuts.
func (f *file) placed(cuts []store.CutRow) iter.Seq2[*store.PlacedAttendance, error] {
	at := make(map[feed.Cut]int64, len(cuts))
	for i := range cuts {
		at[feed.Cut{Commissioner: cuts[i].CommissionerCode, Month: cuts[i].Month}] = cuts[i].Position
	}
	// What codes mean was checked, and is not kept with the rows: every code will do here.
	o := feed.Options{
		Commissioner: addressOf(f.commissioner), Latest: f.latest(),
		Category: func(string, string) (feed.Category, bool) { return feed.UnknownCategory, true },
	}
	return func(yield func(*store.PlacedAttendance, error) bool) {
		var placed store.PlacedAttendance
		_, err := feed.Read(f.spooled.Open(), o, func(row *feed.Row) error {
			placed = store.PlacedAttendance{Cut: at[feed.Cut{Commissioner: row.Commissioner, Month: row.Month}], Site: row.Site, Attendance: rules.Attendance{
				Line: row.Line, Provider: row.Provider, Department: rules.DepartmentOf(row.Department), Code: row.CategoryCode, Practice: row.Practice, HRG: row.HRG,
				Count: row.Attendances, Given: row.Cost, HasGiven: row.CostGiven,
			}}
			if !row.PracticeKnown {
				placed.Practice = ""
			}
			if !yield(&placed, nil) {
				return errDatabaseFull
			}
			return nil
		})
		if err != nil && !errors.Is(err, errDatabaseFull) {
			yield(nil, err)
		}
	}
}

// latest is the last month of the file.
func (f *file) latest() (last period.Month) {
	for _, sum := range f.report.Sums {
		if last.IsZero() || sum.Month.After(last) {
			last = sum.Month
		}
	}
	return last
}

// GetImport returns one import with those of its cuts that the caller may see.
func (s *Service) GetImport(ctx context.Context, req *activityv1.GetImportRequest) (*activityv1.AttendancesImport, error) {
	var row store.ImportRow
	var cuts []store.CutRow
	err := s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		if row, err = store.Import(ctx, q, req.GetImportId()); err != nil {
			return err
		}
		cuts, err = store.CutsOf(ctx, q, row.ID)
		return err
	})
	by := caller(ctx)
	cuts = slices.DeleteFunc(cuts, func(c store.CutRow) bool { return !by.HoldsCommissioner(c.CommissionerCode) })
	if errors.Is(err, sql.ErrNoRows) || (err == nil && len(cuts) == 0) {
		return nil, fault.New(fault.NotFound, reasonImportNotFound, "there is no import %q that you may see", money.Clip(req.GetImportId()))
	}
	if err != nil {
		return nil, err
	}
	out := withCuts(&row, cuts)
	ownSums(by, out)
	return out, nil
}

// ownSums takes out of an import of all England what it tells of others.
func ownSums(by auth.Principal, i *activityv1.AttendancesImport) {
	if i.GetCommissionerCode() == rules.England && !by.HoldsEngland() {
		i.Rows, i.Attendances = 0, 0
		for _, c := range i.GetCuts() {
			i.Rows += c.GetRows()
			i.Attendances += c.GetAttendances()
		}
	}
}

// ListImports returns imports without their cuts, newest first.
func (s *Service) ListImports(ctx context.Context, req *activityv1.ListImportsRequest) (*activityv1.ListImportsResponse, error) {
	before, err := positionKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.ImportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Imports(ctx, q, scope, req.GetCommissionerCode(), before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(activityv1.ListImportsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.ImportRow) string { return strconv.FormatInt(r.Position, 10) })
	for i := range rows {
		shown := importToProto(&rows[i])
		ownSums(caller(ctx), shown)
		out.Imports = append(out.Imports, shown)
	}
	return out, nil
}

// positionKey reads the key of a page of things that are numbered; 0 for the first page.
func positionKey(token string) (int64, error) {
	key, err := page.Key(token)
	if err != nil || key == "" {
		return 0, err
	}
	before, err := strconv.ParseInt(key, 10, 64)
	if err != nil || before <= 0 {
		return 0, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").At("page_token", "use next_page_token of the page before")
	}
	return before, nil
}

// ListCuts returns cuts, the newest first.
func (s *Service) ListCuts(ctx context.Context, req *activityv1.ListCutsRequest) (*activityv1.ListCutsResponse, error) {
	before, err := positionKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if req.GetMonth() != "" {
		if _, err := parseMonth(req.GetMonth()); err != nil {
			return nil, err
		}
	}
	scope, err := visible(ctx, req.GetCommissionerCode())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.CutRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Cuts(ctx, q, scope, req.GetCommissionerCode(), req.GetMonth(), before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(activityv1.ListCutsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.CutRow) string { return strconv.FormatInt(r.Position, 10) })
	for i := range rows {
		out.Cuts = append(out.Cuts, cutToProto(&rows[i]))
	}
	return out, nil
}
