package register

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

const (
	// maxViolations bounds the bad values that a refusal shows.
	maxViolations = 20
	// importLimit bounds the transaction that stores a file.
	importLimit = 5 * time.Minute
)

// Import reads one file of reference data, checks it whole and stores it as a load.
func (s *Service) Import(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) (err error) {
	ctx := stream.Context()
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || (err == nil && first.GetHeader() == nil) {
		return fault.New(fault.Invalid, rules.ReasonValueMissing, "an upload begins with its header").At("header", "the first message carries it")
	}
	if err != nil {
		return err
	}
	header := first.GetHeader()
	options, err := s.importOptions(header)
	if err != nil {
		return err
	}
	spooled, err := files.Spool(&chunks{stream: stream}, s.spoolDir)
	if err != nil {
		return fmt.Errorf("take in %q: %w", header.GetFileName(), err)
	}
	defer func() { err = errors.Join(err, spooled.Close()) }()
	answer, err := s.importFile(ctx, header, options, spooled)
	if err != nil {
		return err
	}
	return stream.SendAndClose(answer)
}

func (s *Service) importOptions(header *registerv1.ImportHeader) (files.Options, error) {
	day, err := dateField("extract_date", header.GetExtractDate())
	if err != nil {
		return files.Options{}, err
	}
	month, err := monthField("applied_from_month", header.GetAppliedFromMonth())
	if err != nil {
		return files.Options{}, err
	}
	expected := kindFromProto(header.GetExpectedKind())
	if expected == rules.Recorded {
		return files.Options{}, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "no file is of the kind RECORDED").
			At("expected_kind", "one of the kinds of file, or none")
	}
	return files.Options{Expected: expected, ExtractDate: day, AppliedFrom: month, Windows: s.windows}, nil
}

// importFile stores a spooled file once: the same request, or the same bytes as the same kind, give the load there is.
func (s *Service) importFile(
	ctx context.Context, header *registerv1.ImportHeader, options files.Options, spooled *files.Spooled,
) (*registerv1.ImportResponse, error) {
	request, err := importRequest(header, spooled.SHA256)
	if err != nil {
		return nil, err
	}
	if answer, found, err := change.Stored[*registerv1.ImportResponse](ctx, s.db, request); err != nil || found {
		return answer, err
	}
	report, err := spooled.Check(options)
	if err != nil {
		return nil, fmt.Errorf("check %q: %w", header.GetFileName(), err)
	}
	return change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*registerv1.ImportResponse, error) {
		return s.storeFile(ctx, tx, header, options, spooled, report)
	})
}

func (s *Service) storeFile(
	ctx context.Context, tx *change.Tx, header *registerv1.ImportHeader, options files.Options, spooled *files.Spooled, report *files.Report,
) (*registerv1.ImportResponse, error) {
	if err := errors.Join(tx.Allow(ctx, importLimit), tx.Lock(ctx, store.LockLoads)); err != nil {
		return nil, err
	}
	held, err := store.LoadByContent(ctx, tx, report.Kind, spooled.SHA256)
	if err == nil {
		return &registerv1.ImportResponse{Load: loadToProto(held), AlreadyLoaded: true}, nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("look for the file: %w", err)
	}
	if report.RowsBad > 0 && header.GetBadRows() != registerv1.BadRows_QUARANTINE {
		return nil, hasBadRows(report)
	}
	load := store.Load{
		Load: rules.Load{
			ID: loadID(report.Kind, spooled.SHA256), Kind: report.Kind, Source: header.GetSource(), ExtractDate: report.ExtractDate,
			Maps: report.Maps, Locates: report.Locates,
		},
		FileName: header.GetFileName(), SHA256: spooled.SHA256, RowsRead: report.RowsRead, RowsStored: report.RowsGood, RowsQuarantined: report.RowsBad,
		PassedOver: report.PassedOver, Warnings: report.Warnings, LoadedBy: tx.By.Subject, AppliedFrom: options.AppliedFrom,
	}
	if err := s.addLoad(ctx, tx, &load, func() error {
		if err := store.AddFacts(ctx, tx.Tx, load, spooled.Rows(options)); err != nil || report.RowsBad == 0 {
			return err
		}
		return store.AddQuarantine(ctx, tx.Tx, load.Position, spooled.BadRows(options))
	}); err != nil {
		return nil, err
	}
	answer := &registerv1.ImportResponse{Load: loadToProto(load)}
	for _, bad := range report.Bad {
		answer.BadRows = append(answer.BadRows, badToProto(bad))
	}
	return answer, nil
}

// addLoad numbers a load, has its facts written, and notes and announces it.
func (s *Service) addLoad(ctx context.Context, tx *change.Tx, load *store.Load, facts func() error) error {
	if err := store.AddLoad(ctx, tx.Tx, load); err != nil {
		return err
	}
	if err := facts(); err != nil {
		return err
	}
	if err := tx.Record(ctx, loadResource(load.ID), "", summaryOf(*load)); err != nil {
		return err
	}
	_, err := tx.Announce(ctx, aggregate, "", &registerv1.LoadRecorded{Load: loadToProto(*load)})
	return err
}

func summaryOf(l store.Load) string {
	text := fmt.Sprintf("loaded %s: %d rows stored", l.Kind, l.RowsStored)
	if l.RowsQuarantined > 0 {
		text += fmt.Sprintf(", %d set aside", l.RowsQuarantined)
	}
	if l.FileName != "" {
		text += " from " + l.FileName
	}
	return text
}

func loadResource(id string) string { return "register/loads/" + id }

// loadID names a load by what it holds, so that the same data have the same name in every installation.
func loadID(kind rules.Kind, parts ...string) string {
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// hasBadRows refuses a file of which nothing was stored, and shows its first bad values.
func hasBadRows(report *files.Report) error {
	out := fault.New(fault.Invalid, rules.ReasonFileHasBadRows, "%d of %d rows are bad, so nothing was stored", report.RowsBad, report.RowsRead).
		With("rows_read", report.RowsRead).With("rows_bad", report.RowsBad).With("kind", report.Kind)
	for _, bad := range report.Bad[:min(len(report.Bad), maxViolations)] {
		field := fmt.Sprintf("line %d", bad.Line)
		if bad.Column != "" {
			field += ", column " + bad.Column
		}
		out.Violations = append(out.Violations, fault.Violation{Field: field, Reason: bad.Reason, Description: fmt.Sprintf("%q: %s", bad.Value, bad.Detail)})
	}
	return out
}

// chunks reads the bytes of an upload after its header.
type chunks struct {
	stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]
	rest   []byte
}

// Read implements io.Reader.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		part, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		if part.GetHeader() != nil {
			return 0, fault.New(fault.Invalid, rules.ReasonValueNotAllowed, "an upload has one header, in its first message").At("header", "send it once")
		}
		c.rest = part.GetChunk()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
