package arrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/workforce"
)

const (
	// workforceLimit bounds the transaction that stores a file.
	workforceLimit = 2 * time.Minute
	// maxWorkforceViolations bounds the bad values that a refusal shows; a check shows up to maxWorkforceBadRows.
	maxWorkforceViolations = 20
	maxWorkforceBadRows    = 1000
)

// ImportWorkforce reads a published file of PCN workforce, checks it whole and stores it by PCN and role.
func (s *Service) ImportWorkforce(stream grpc.ClientStreamingServer[arrsv1.ImportWorkforceRequest, arrsv1.ImportWorkforceResponse]) error {
	ctx := stream.Context()
	header, err := upload.Header[*arrsv1.WorkforceHeader](stream, reasonFileMalformed)
	if err != nil {
		return err
	}
	if err := upload.Identified(header); err != nil {
		return err
	}
	content, sum, err := upload.Content[*arrsv1.WorkforceHeader](stream, workforce.MaxBytes, header.GetSha256(), reasonFileMalformed)
	if err != nil {
		return err
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = sum
	file, err := workforce.Read(content)
	if errors.Is(err, workforce.ErrFormat) {
		return fault.New(fault.Invalid, reasonFileMalformed, "%v", err)
	}
	if err != nil {
		return err
	}
	answer, err := s.takeWorkforce(ctx, request, file)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

func (s *Service) takeWorkforce(ctx context.Context, request *arrsv1.WorkforceHeader, file *workforce.File) (*arrsv1.ImportWorkforceResponse, error) {
	row := store.WorkforceImportRow{
		Month: file.Month, FileName: request.GetFileName(), Source: request.GetSource(), SHA256: request.GetSha256(), Rows: file.Posts, PCNs: file.PCNs, WTE: file.WTE,
		Warnings: file.Warnings,
	}
	if request.GetCheckOnly() {
		out := &arrsv1.ImportWorkforceResponse{}
		for _, bad := range file.Bad[:min(len(file.Bad), maxWorkforceBadRows)] {
			out.BadRows = append(out.BadRows, &arrsv1.WorkforceBadRow{
				Line: int32(bad.Line), Column: bad.Column, Reason: reasonFileHasBadRows, Detail: bad.Detail, //nolint:gosec // lines of a bounded file
			})
		}
		var err error
		out.WorkforceImport, err = s.workforceImport(ctx, row, file.Rows)
		return out, err
	}
	if len(file.Bad) > 0 {
		return nil, badWorkforce(file)
	}
	return change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*arrsv1.ImportWorkforceResponse, error) {
		if err := errors.Join(tx.Allow(ctx, workforceLimit), tx.Lock(ctx, "workforce")); err != nil {
			return nil, err
		}
		held, err := store.NewestWorkforce(ctx, tx, file.Month, file.Month)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if err == nil && held.SHA256 == row.SHA256 {
			return &arrsv1.ImportWorkforceResponse{WorkforceImport: workforceHead(held), AlreadyImported: true}, nil
		}
		row.ID, row.ImportedBy, row.ImportedAt = tx.NewID(), tx.By.Subject, sqldb.Micros(tx.Now())
		if err := store.InsertWorkforce(ctx, tx.Tx, &row, file.Rows); err != nil {
			return nil, err
		}
		if _, err := tx.Announce(ctx, "workforce/"+row.Month.String(), "", &arrsv1.WorkforceImported{WorkforceImport: workforceHead(row)}); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("imported the published workforce of %s: %d posts in %d PCNs from %s", row.Month, row.Rows, row.PCNs, row.FileName)
		if err := tx.Record(ctx, "arrs/workforce/"+row.ID, "", summary); err != nil {
			return nil, err
		}
		full, err := withLists(ctx, tx, row, file.Rows)
		return &arrsv1.ImportWorkforceResponse{WorkforceImport: full}, err
	})
}

func badWorkforce(file *workforce.File) error {
	out := fault.New(fault.Invalid, reasonFileHasBadRows, "%d values are bad beside %d good rows, so nothing was stored: a check names them all",
		len(file.Bad), file.Posts).With("bad_values", len(file.Bad)).With("rows_good", file.Posts)
	for _, bad := range file.Bad[:min(len(file.Bad), maxWorkforceViolations)] {
		field := "line " + strconv.Itoa(bad.Line)
		if bad.Column != "" {
			field += ", column " + bad.Column
		}
		out.Violations = append(out.Violations, fault.Violation{Field: field, Reason: reasonFileHasBadRows, Description: bad.Detail})
	}
	return out
}

// GetWorkforceImport returns an import, with the names of roles that have no code and the PCNs that are absent.
func (s *Service) GetWorkforceImport(ctx context.Context, req *arrsv1.GetWorkforceImportRequest) (out *arrsv1.WorkforceImport, err error) {
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.WorkforceImport(ctx, q, req.GetImportId())
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, reasonWorkforceImportNotFound, "there is no import %q", money.Clip(req.GetImportId()))
		}
		if err != nil {
			return err
		}
		held, err := store.Workforce(ctx, q, row.ID, store.WorkforceFilter{})
		if err != nil {
			return err
		}
		rows := make([]workforce.Row, len(held))
		for i := range held {
			rows[i] = held[i].Row
		}
		out, err = withLists(ctx, q, row, rows)
		return err
	})
}

func (s *Service) workforceImport(ctx context.Context, row store.WorkforceImportRow, rows []workforce.Row) (out *arrsv1.WorkforceImport, err error) {
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		out, err = withLists(ctx, q, row, rows)
		return err
	})
}

// withLists adds to an import the names that the table does not know, and the PCNs that are in the file or among those of the year
// alone.
func withLists(ctx context.Context, q sqldb.Querier, row store.WorkforceImportRow, rows []workforce.Row) (*arrsv1.WorkforceImport, error) {
	out := workforceHead(row)
	out.Warnings = row.Warnings
	inFile := make(map[string]bool)
	unmapped := make(map[workforce.Name]*workforce.Row)
	for i := range rows {
		inFile[rows[i].PCN] = true
		_, known, err := workforce.RoleOf(rows[i].Name)
		if err != nil {
			return nil, err
		}
		if known {
			continue
		}
		sum := unmapped[rows[i].Name]
		if sum == nil {
			sum = &workforce.Row{Name: rows[i].Name, WTE: new(big.Rat)}
			unmapped[rows[i].Name] = sum
		}
		sum.Posts += rows[i].Posts
		sum.WTE.Add(sum.WTE, rows[i].WTE)
	}
	for _, sum := range unmapped {
		out.Unmapped = append(out.Unmapped, workforceRole(sum))
	}
	slices.SortFunc(out.Unmapped, func(a, b *arrsv1.WorkforceRole) int {
		return slices.Compare([]string{a.GetStaffGroup(), a.GetStaffRole(), a.GetDetailedStaffRole()}, []string{b.GetStaffGroup(), b.GetStaffRole(), b.GetDetailedStaffRole()})
	})
	if row.Month.IsZero() {
		return out, nil
	}
	years, err := store.Years(ctx, q, store.Page{}, row.Month.FinancialYear())
	if err != nil {
		return nil, err
	}
	for _, y := range years {
		if !inFile[y.PCNCode] {
			out.AbsentPcnCodes = append(out.AbsentPcnCodes, y.PCNCode)
		}
		delete(inFile, y.PCNCode)
	}
	for pcn := range inFile {
		out.UnknownPcnCodes = append(out.UnknownPcnCodes, pcn)
	}
	slices.Sort(out.UnknownPcnCodes)
	return out, nil
}

// ListWorkforceImports returns imports, newest first.
func (s *Service) ListWorkforceImports(ctx context.Context, req *arrsv1.ListWorkforceImportsRequest) (*arrsv1.ListWorkforceImportsResponse, error) {
	before, err := numberKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.WorkforceImportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.WorkforceImports(ctx, q, before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(arrsv1.ListWorkforceImportsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.WorkforceImportRow) string { return strconv.FormatInt(r.Position, 10) })
	for _, row := range rows {
		out.Imports = append(out.Imports, workforceHead(row))
	}
	return out, nil
}

// numberKey reads a page token whose key is a number; 0 for the first page.
func numberKey(token string) (int64, error) {
	key, err := page.Key(token)
	if err != nil || key == "" {
		return 0, err
	}
	number, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, page.ReasonToken, "the page token is not one that this list gave out").At("page_token", "use next_page_token of the page before")
	}
	return number, nil
}

// ListWorkforce returns the published workforce of a month.
func (s *Service) ListWorkforce(ctx context.Context, req *arrsv1.ListWorkforceRequest) (*arrsv1.ListWorkforceResponse, error) {
	after, err := numberKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	var month period.Month
	if req.GetMonth() != "" {
		if month, err = period.ParseMonth(req.GetMonth()); err != nil {
			return nil, fault.New(fault.Invalid, rules.ReasonMonthOutOfRange, "month: %v", err).At("month", "a month, YYYY-MM")
		}
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	out := new(arrsv1.ListWorkforceResponse)
	return out, s.db.Read(ctx, func(q sqldb.Querier) error {
		held, err := store.NewestWorkforce(ctx, q, month, month)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		out.Month, out.ImportId = held.Month.String(), held.ID
		rows, err := store.Workforce(ctx, q, held.ID, store.WorkforceFilter{PCN: req.GetPcnCode(), Body: req.GetBodyCode(), After: after, Limit: size + 1})
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.WorkforceRow) string { return strconv.FormatInt(r.Number, 10) })
		for i := range rows {
			code, _, err := workforce.RoleOf(rows[i].Name)
			if err != nil {
				return err
			}
			out.Rows = append(out.Rows, &arrsv1.WorkforceRow{
				PcnCode: rows[i].PCN, PcnName: rows[i].PCNName, LocationCode: rows[i].Location, SystemCode: rows[i].System, RoleCode: code,
				Published: workforceRole(&rows[i].Row),
			})
		}
		return nil
	})
}

func workforceRole(r *workforce.Row) *arrsv1.WorkforceRole {
	return &arrsv1.WorkforceRole{
		StaffGroup: r.Group, StaffRole: r.Role, DetailedStaffRole: r.Detailed, Posts: int32(r.Posts), Wte: money.Format(r.WTE), //nolint:gosec // rows of a bounded file
	}
}

// workforceHead writes an import without its lists.
func workforceHead(r store.WorkforceImportRow) *arrsv1.WorkforceImport {
	return &arrsv1.WorkforceImport{
		ImportId: r.ID, Month: r.Month.String(), Replaced: r.Replaced, FileName: r.FileName, Source: r.Source, Sha256: r.SHA256,
		Rows: int32(r.Rows), Pcns: int32(r.PCNs), Wte: money.Format(r.WTE), ImportedBy: r.ImportedBy, ImportedAt: timestamp(r.ImportedAt), //nolint:gosec // rows of a bounded file
	}
}
