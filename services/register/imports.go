package register

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/files"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

const (
	// maxViolations bounds the bad values that a refusal shows; the report of the file keeps all.
	maxViolations = 20
	// importLimit bounds the transaction that stores a file.
	importLimit = 5 * time.Minute
	// maxWarnings bounds the warnings of a load.
	maxWarnings = 100
)

// Import reads one file of reference data, checks it whole and stores it as a load.
func (s *Service) Import(stream grpc.ClientStreamingServer[registerv1.ImportRequest, registerv1.ImportResponse]) (err error) {
	ctx := stream.Context()
	header, err := upload.Header[*registerv1.ImportHeader](stream, rules.ReasonValueMissing)
	if err != nil {
		return err
	}
	if err := upload.Identified(header); err != nil {
		return err
	}
	options, err := s.importOptions(header)
	if err != nil {
		return err
	}
	spooled, err := files.Spool(upload.Reader[*registerv1.ImportHeader](stream, rules.ReasonValueNotAllowed), s.spoolDir)
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

// importFile stores a spooled file once: the same request, or the bytes of the newest load of the kind and day again, give the
// load there is.
func (s *Service) importFile(
	ctx context.Context, header *registerv1.ImportHeader, options files.Options, spooled *files.Spooled,
) (*registerv1.ImportResponse, error) {
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = spooled.SHA256
	if header.GetSha256() != "" && header.GetSha256() != spooled.SHA256 {
		return nil, fault.New(fault.Invalid, rules.ReasonFileDamaged, "the file did not come as it was sent: its hash is %s", spooled.SHA256).
			At("sha256", "is not that of the file")
	}
	if answer, found, err := change.Stored[*registerv1.ImportResponse](ctx, s.db, request); err != nil || found {
		return answer, err
	}
	report, err := spooled.Check(options)
	if err != nil {
		return nil, fmt.Errorf("check %q: %w", header.GetFileName(), err)
	}
	answer, err := change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*registerv1.ImportResponse, error) {
		return s.storeFile(ctx, tx, header, options, spooled, report)
	})
	if refused, ok := fault.As(err); ok && refused.Reason == rules.ReasonFileHasBadRows {
		return nil, s.keepReport(ctx, options, spooled, report, refused)
	}
	return answer, err
}

// keepReport stores all that is wrong with a refused file and names it in the refusal.
func (s *Service) keepReport(
	ctx context.Context, options files.Options, spooled *files.Spooled, report *files.Report, refused *fault.Fault,
) error {
	by, _ := auth.From(ctx)
	id := loadID(report.Kind, "refused", spooled.SHA256, report.ExtractDate.String(), options.AppliedFrom.String())
	err := s.db.Write(ctx, func(tx *sqldb.Tx) error {
		if err := tx.Allow(ctx, importLimit); err != nil {
			return err
		}
		return store.AddRefused(ctx, tx, id, by.Subject, spooled.BadRows(options))
	})
	if err != nil {
		// The refusal stands, with the first bad values.
		s.logger.WarnContext(ctx, "the report of a refused file was not kept", "error", err)
		return refused
	}
	return refused.With("report_id", id)
}

func (s *Service) storeFile(
	ctx context.Context, tx *change.Tx, header *registerv1.ImportHeader, options files.Options, spooled *files.Spooled, report *files.Report,
) (*registerv1.ImportResponse, error) {
	if err := errors.Join(tx.Allow(ctx, importLimit), tx.Lock(ctx, store.LockLoads)); err != nil {
		return nil, err
	}
	load := store.Load{
		Load: rules.Load{
			Kind: report.Kind, Source: header.GetSource(), ExtractDate: report.ExtractDate, Maps: report.Maps, Locates: report.Locates,
		},
		FileName: header.GetFileName(), SHA256: spooled.SHA256, RowsRead: report.RowsRead, RowsStored: report.RowsGood, RowsQuarantined: report.RowsBad,
		PassedOver: report.PassedOver, Warnings: report.Warnings, LoadedBy: tx.By.Subject, AppliedFrom: options.AppliedFrom,
	}
	held, err := store.NewestOf(ctx, tx, load.Kind, load.ExtractDate)
	if err == nil && held.SHA256 == load.SHA256 && held.AppliedFrom == load.AppliedFrom {
		return &registerv1.ImportResponse{Load: loadToProto(held), AlreadyLoaded: true}, nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("look for the file: %w", err)
	}
	if refused := badRows(report, header.GetBadRows()); refused != nil {
		return nil, refused
	}
	if load.ID, err = fileID(ctx, tx, load); err != nil {
		return nil, err
	}
	if err := s.addLoad(ctx, tx, &load, summaryOf(load), func() error {
		return addFile(ctx, tx.Tx, &load, spooled, options)
	}); err != nil {
		return nil, err
	}
	answer := &registerv1.ImportResponse{Load: loadToProto(load)}
	for _, bad := range report.Bad {
		answer.BadRows = append(answer.BadRows, badToProto(bad))
	}
	return answer, nil
}

// addFile writes what a file says, what of it was set aside, and warns of organisations that no load has shown.
func addFile(ctx context.Context, tx *sqldb.Tx, load *store.Load, spooled *files.Spooled, options files.Options) error {
	if err := store.AddFacts(ctx, tx, *load, spooled.Rows(options)); err != nil {
		return err
	}
	if load.RowsQuarantined > 0 {
		if err := store.AddQuarantine(ctx, tx, load.Position, spooled.BadRows(options)); err != nil {
			return err
		}
	}
	unknown, err := store.Unknown(ctx, tx, *load, maxWarnings)
	for _, code := range unknown[:min(len(unknown), maxWarnings-len(load.Warnings))] {
		load.Warnings = append(load.Warnings, fmt.Sprintf("no load has shown an organisation %s before", code))
	}
	return err
}

// addLoad writes a load with its facts, and notes and announces it to whom it concerns.
func (s *Service) addLoad(ctx context.Context, tx *change.Tx, load *store.Load, summary string, facts func() error) error {
	if err := store.AddLoad(ctx, tx.Tx, load, s.db.Now, facts); err != nil {
		return err
	}
	if err := tx.Record(ctx, loadResource(load.ID), load.Commissioner, summary); err != nil {
		return err
	}
	_, err := tx.Announce(ctx, aggregateOf(load.Commissioner), load.Commissioner, &registerv1.LoadRecorded{Load: loadToProto(*load)})
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

// fileID names the load of a file; a file that was loaded before, and outranked since, gets a name of its own.
func fileID(ctx context.Context, tx *change.Tx, l store.Load) (string, error) {
	parts := []string{l.SHA256, l.ExtractDate.String(), l.AppliedFrom.String()}
	before, err := store.Versions(ctx, tx, l)
	if before > 0 {
		parts = append(parts, strconv.FormatInt(before, 10))
	}
	return loadID(l.Kind, parts...), err
}

// loadID names a load by what it holds, so that the same data have the same name in every installation.
func loadID(kind rules.Kind, parts ...string) string {
	sum := sha256.Sum256([]byte(string(kind) + "\x00" + strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// badRows refuses a file of which nothing is to be stored, and shows its first bad values; nil if it may be stored. No row of a
// file that tells a whole picture may be set aside: what it tells of would be lost from the picture.
func badRows(report *files.Report, wanted registerv1.BadRows) error {
	why := "so nothing was stored"
	switch {
	case report.RowsBad == 0:
		return nil
	case report.RowsGood == 0:
		why = "and none is good, so nothing was stored"
	case wanted != registerv1.BadRows_QUARANTINE:
	case report.Whole():
		why = "and no row of a file that tells the whole picture of a day may be set aside, so nothing was stored"
	default:
		return nil
	}
	out := fault.New(fault.Invalid, rules.ReasonFileHasBadRows, "%d of %d rows are bad, %s", report.RowsBad, report.RowsRead, why).
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
