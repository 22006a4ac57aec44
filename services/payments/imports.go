package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/period"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	paymentsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/payments/v1"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/payments/internal/store"
)

const (
	// maxFileBytes bounds a file, and maxFileRows its rows: some 200,000 lines are a year of all England.
	maxFileBytes = 16 << 20
	maxFileRows  = 200_000
	// maxViolations bounds the bad values that a refusal shows.
	maxViolations = 20
	// importLimit bounds the transaction that takes a file in.
	importLimit = 2 * time.Minute
)

// Import reads a file of confirmations or of amounts actually paid.
func (s *Service) Import(stream grpc.ClientStreamingServer[paymentsv1.ImportRequest, paymentsv1.ImportResponse]) error {
	ctx := stream.Context()
	header, err := upload.Header[*paymentsv1.ImportHeader](stream, rules.ReasonFileMalformed)
	if err != nil {
		return err
	}
	if err := upload.Identified(header); err != nil {
		return err
	}
	if _, err := visible(ctx, header.GetCommissionerCode()); err != nil {
		return err
	}
	content, sum, err := upload.Content[*paymentsv1.ImportHeader](stream, maxFileBytes, header.GetSha256(), rules.ReasonFileMalformed)
	if err != nil {
		return err
	}
	rows, err := readFile(header.GetKind(), content, period.DateOf(s.db.Now()))
	if err != nil {
		return err
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = sum
	answer, err := change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*paymentsv1.ImportResponse, error) {
		return s.takeIn(ctx, tx, header, request.GetSha256(), rows)
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

// takeIn gives the rows of a file their effect. Of the same bytes again only those rows are tried that had none.
func (s *Service) takeIn(ctx context.Context, tx *change.Tx, header *paymentsv1.ImportHeader, sha256 string, rows []fileRow) (*paymentsv1.ImportResponse, error) {
	code := header.GetCommissionerCode()
	if err := tx.Allow(ctx, importLimit); err != nil {
		return nil, err
	}
	reach, err := lockedReach(ctx, tx, code)
	if err != nil {
		return nil, err
	}
	stored, err := store.ImportOf(ctx, tx, code, header.GetKind(), sha256)
	stands := true
	if err == nil && header.GetKind() == paymentsv1.FileKind_FILE_KIND_PAID_AMOUNTS {
		// Amounts that a newer file put in the place of these are put back by sending these again.
		newest, err := store.ImportOf(ctx, tx, code, header.GetKind(), "")
		if err != nil {
			return nil, err
		}
		stands = newest.ID == stored.ID
	}
	switch {
	case err == nil && stored.Unmatched == 0 && stands:
		return &paymentsv1.ImportResponse{File: importToProto(stored), AlreadyImported: true}, nil
	case err == nil:
		err = knownFrom(ctx, tx, stored.ID, rows)
	case errors.Is(err, sql.ErrNoRows):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	row := store.ImportRow{
		ID: tx.NewID(), CommissionerCode: code, Kind: header.GetKind(), FileName: header.GetFileName(), SHA256: sha256, Rows: len(rows),
		ImportedBy: tx.By.Subject, ImportedAt: sqldb.Micros(tx.Now()),
	}
	concerned := []string{code}
	if header.GetKind() == paymentsv1.FileKind_FILE_KIND_CONFIRMATIONS {
		if concerned, err = s.confirm(ctx, tx, reach, rows); err != nil {
			return nil, err
		}
	}
	out := make([]store.FileRow, len(rows))
	for i := range rows {
		if rows[i].Outcome == "" {
			rows[i].Outcome = outcomeStored
		}
		out[i] = rows[i].FileRow
		if row.Amount, err = row.Amount.Add(rows[i].Amount); err != nil {
			return nil, err
		}
		switch rows[i].Outcome {
		case outcomeSettled, outcomeRejected, outcomeStored:
			row.Applied++
		case outcomeKnown:
			row.Known++
		default:
			row.Unmatched++
		}
	}
	if err := store.InsertImport(ctx, tx.Tx, row, out); err != nil {
		return nil, err
	}
	file := importToProto(row)
	if _, err := tx.Announce(ctx, "import/"+row.ID, code, &paymentsv1.FileImported{File: file}); err != nil {
		return nil, err
	}
	summary := fmt.Sprintf("imported %s: %d rows, %d applied, %d known before, %d unmatched", header.GetKind(), row.Rows, row.Applied, row.Known, row.Unmatched)
	for _, code := range concerned {
		if err := tx.Record(ctx, "payments/imports/"+row.ID, code, summary); err != nil {
			return nil, err
		}
	}
	return &paymentsv1.ImportResponse{File: file}, nil
}

// knownFrom notes for the rows of a file which of them took effect, or were known, when the same bytes were imported before.
func knownFrom(ctx context.Context, q sqldb.Querier, importID string, rows []fileRow) error {
	before, err := store.FileRows(ctx, q, store.FileRowFilter{ImportID: importID})
	if err != nil {
		return err
	}
	payments := make(map[int]string, len(before))
	for _, row := range before {
		switch row.Outcome {
		case outcomeSettled, outcomeRejected, outcomeKnown:
			payments[row.Line] = row.PaymentID
		}
	}
	for i := range rows {
		if id, known := payments[rows[i].Line]; known {
			rows[i].Outcome, rows[i].PaymentID = outcomeKnown, id
		}
	}
	return nil
}

// ListImports returns a page of files.
func (s *Service) ListImports(ctx context.Context, req *paymentsv1.ListImportsRequest) (*paymentsv1.ListImportsResponse, error) {
	by, err := pageOf(ctx, req.GetCommissionerCode(), req)
	if err != nil {
		return nil, err
	}
	var rows []store.ImportRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err = store.Imports(ctx, q, by)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListImportsResponse)
	rows, out.NextPageToken = page.Cut(rows, by.Limit-1, func(i store.ImportRow) string { return i.ID })
	for _, row := range rows {
		out.Files = append(out.Files, importToProto(row))
	}
	return out, nil
}

// ListImportedRows returns a page of the rows of a file.
func (s *Service) ListImportedRows(ctx context.Context, req *paymentsv1.ListImportedRowsRequest) (*paymentsv1.ListImportedRowsResponse, error) {
	after, err := lineKey(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	var rows []store.FileRow
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		file, err := store.Import(ctx, q, req.GetImportId())
		if errors.Is(err, sql.ErrNoRows) || (err == nil && !holds(ctx, file.CommissionerCode)) {
			return fault.New(fault.NotFound, rules.ReasonImportNotFound, "there is no file %q", req.GetImportId())
		}
		if err != nil {
			return err
		}
		rows, err = store.FileRows(ctx, q, store.FileRowFilter{ImportID: file.ID, UnmatchedOnly: req.GetUnmatchedOnly(), After: after, Limit: size + 1})
		return err
	})
	if err != nil {
		return nil, err
	}
	out := new(paymentsv1.ListImportedRowsResponse)
	rows, out.NextPageToken = page.Cut(rows, size, func(r store.FileRow) string { return fmt.Sprint(r.Line) })
	for _, row := range rows {
		out.Rows = append(out.Rows, fileRowToProto(row))
	}
	return out, nil
}
