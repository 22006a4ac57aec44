package arrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/upload"
	arrsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/arrs/v1"
	"github.com/pcnfunding/pcnfunding/services/arrs/internal/store"
)

// claimImportLimit bounds the transaction that takes a file in.
const claimImportLimit = 2 * time.Minute

// errOnlyChecked undoes what a file that is only checked would have done.
var errOnlyChecked = errors.New("the file was only checked")

// ImportClaims reads a file of claims. It is taken in whole, in one transaction under the locks of its PCNs, or not at all.
func (s *Service) ImportClaims(stream grpc.ClientStreamingServer[arrsv1.ImportClaimsRequest, arrsv1.ImportClaimsResponse]) error {
	ctx := stream.Context()
	header, err := upload.Header[*arrsv1.ClaimsHeader](stream, reasonFileMalformed)
	if err != nil {
		return err
	}
	if !header.GetCheckOnly() {
		if err := upload.Identified(header); err != nil {
			return err
		}
	}
	content, sum, err := upload.Content[*arrsv1.ClaimsHeader](stream, maxClaimFileBytes, header.GetSha256(), reasonFileMalformed)
	if err != nil {
		return err
	}
	// With the hash of what was sent the header stands for the whole stream, so that another file under the same request_id is told
	// from a repetition.
	request := proto.CloneOf(header)
	request.Sha256 = sum
	file, err := readClaimFile(content, header.GetCommissionerCode(), header.GetDeclared())
	if err != nil {
		return err
	}
	by := caller(ctx)
	if err := file.permit(by, header.GetCommissionerCode()); err != nil {
		return err
	}
	var out *arrsv1.ImportClaimsResponse
	if header.GetCheckOnly() {
		out, err = s.checkFile(ctx, by, request, file)
	} else {
		out, err = s.takeFile(ctx, request, file)
	}
	if err != nil {
		return err
	}
	return stream.SendAndClose(out)
}

// permit notes the rows of PCNs that the caller may not claim for. Who may claim for nobody of the commissioner does not see it.
func (f *claimFile) permit(by auth.Principal, commissioner string) error {
	if prepares(by, commissioner) {
		return nil
	}
	permitted := false
	for _, claim := range f.claims {
		if speaksFor(by, claim.entry.GetPcnCode()) {
			permitted = true
			continue
		}
		for _, line := range claim.lines {
			f.bad(line, "pcn_code", reasonPCNNotYours, fmt.Sprintf("%q is no PCN that you may claim for", claim.entry.GetPcnCode()))
		}
	}
	if len(f.claims) > 0 && !permitted {
		return fault.New(fault.NotFound, auth.ReasonNotFound, "there is no PCN of the file that you may see")
	}
	return nil
}

// takeFile stores the claims of a file. The same bytes again change nothing, unless all claims they made were withdrawn or rejected.
func (s *Service) takeFile(ctx context.Context, request *arrsv1.ClaimsHeader, file *claimFile) (*arrsv1.ImportClaimsResponse, error) {
	kept, err := change.Do(ctx, s.db, request, func(ctx context.Context, tx *change.Tx) (*arrsv1.ImportClaimsResponse, error) {
		if err := lockFile(ctx, tx, file); err != nil {
			return nil, err
		}
		before, err := store.ClaimFile(ctx, tx, request.GetCommissionerCode(), request.GetSha256())
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		stands, err := store.AnyStands(ctx, tx, before.ClaimIDs)
		if err != nil {
			return nil, err
		}
		if stands {
			return namesOf(before.Rows, before.ClaimIDs, true), file.refusal()
		}
		rows, err := s.putFile(ctx, tx, file, false)
		if err != nil {
			return nil, err
		}
		row := store.ClaimFileRow{
			ID: cmp.Or(before.ID, tx.NewID()), CommissionerCode: request.GetCommissionerCode(), SHA256: request.GetSha256(), FileName: request.GetFileName(), Rows: file.rows,
			ImportedBy: tx.By.Subject, ImportedAt: sqldb.Micros(tx.Now()),
		}
		for _, claim := range rows {
			row.ClaimIDs = append(row.ClaimIDs, claim.ID)
		}
		if err := store.KeepClaimFile(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		summary := fmt.Sprintf("imported a file of claims: %d rows, %d claims", row.Rows, len(row.ClaimIDs))
		return namesOf(row.Rows, row.ClaimIDs, false), tx.Record(ctx, "arrs/claim-files/"+row.ID, row.CommissionerCode, summary)
	})
	if err != nil {
		return nil, err
	}
	return s.presentFile(ctx, kept)
}

// namesOf is what is kept for a repetition of the request: the claims hold pay, and their names do not.
func namesOf(rows int, ids []string, already bool) *arrsv1.ImportClaimsResponse {
	out := &arrsv1.ImportClaimsResponse{Rows: int32(rows), AlreadyImported: already} //nolint:gosec // bounded by maxClaimFileRows
	for _, id := range ids {
		out.Claims = append(out.Claims, &arrsv1.Claim{ClaimId: id})
	}
	return out
}

// presentFile puts the claims as they stand in the place of their names.
func (s *Service) presentFile(ctx context.Context, kept *arrsv1.ImportClaimsResponse) (*arrsv1.ImportClaimsResponse, error) {
	out := &arrsv1.ImportClaimsResponse{Rows: kept.GetRows(), AlreadyImported: kept.GetAlreadyImported()}
	err := s.db.Read(ctx, func(q sqldb.Querier) error {
		out.Claims = nil
		for _, named := range kept.GetClaims() {
			claim, err := claimOf(ctx, q, caller(ctx), named.GetClaimId())
			if err != nil {
				return err
			}
			out.Claims = append(out.Claims, claim)
		}
		return nil
	})
	return fitting(out), err
}

// maxClaimsAnswer bounds the answer to a file, below what a client takes: a file that was taken in must not end in an error.
const maxClaimsAnswer = 3 << 20

// fitting leaves out of a long answer what GetClaim shows: the workings of lines, and if need be the lines.
func fitting(out *arrsv1.ImportClaimsResponse) *arrsv1.ImportClaimsResponse {
	for _, leaveOut := range []func(*arrsv1.Claim){
		func(c *arrsv1.Claim) {
			for _, line := range c.GetLines() {
				line.Working = nil
			}
		},
		func(c *arrsv1.Claim) { c.Lines = nil },
	} {
		if proto.Size(out) <= maxClaimsAnswer {
			break
		}
		for _, claim := range out.GetClaims() {
			leaveOut(claim)
		}
	}
	return out
}

// lockFile holds the PCNs of a file, in one order for all.
func lockFile(ctx context.Context, tx *change.Tx, file *claimFile) error {
	if err := tx.Allow(ctx, claimImportLimit); err != nil {
		return err
	}
	pcns := make([]string, 0, len(file.claims))
	for _, claim := range file.claims {
		pcns = append(pcns, claim.entry.GetPcnCode())
	}
	return lockPCNs(ctx, tx, pcns)
}

// checkFile does what takeFile would, and undoes it.
func (s *Service) checkFile(ctx context.Context, by auth.Principal, request *arrsv1.ClaimsHeader, file *claimFile) (*arrsv1.ImportClaimsResponse, error) {
	var out *arrsv1.ImportClaimsResponse
	err := s.db.Write(ctx, func(tx *sqldb.Tx) error {
		out = &arrsv1.ImportClaimsResponse{Rows: int32(file.rows)} //nolint:gosec // bounded by maxClaimFileRows
		as := change.System(tx, by.Subject, "check")
		as.By = by
		if err := lockFile(ctx, as, file); err != nil {
			return err
		}
		rows, err := s.putFile(ctx, as, file, true)
		if err != nil {
			return err
		}
		for i := range rows {
			lines, err := store.Lines(ctx, tx, rows[i].ID, rows[i].Revision)
			if err != nil {
				return err
			}
			claim := claimToProto(&rows[i], lines)
			claim.ClaimId, claim.Etag, claim.State, claim.SubmittedAt, claim.SubmittedBy, claim.Revision = "", "", 0, nil, "", 0
			out.Claims = append(out.Claims, claim)
		}
		before, err := store.ClaimFile(ctx, tx, request.GetCommissionerCode(), request.GetSha256())
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if out.AlreadyImported, err = store.AnyStands(ctx, tx, before.ClaimIDs); err != nil {
			return err
		}
		return errOnlyChecked
	})
	if !errors.Is(err, errOnlyChecked) {
		return nil, err
	}
	return fitting(out), nil
}

// putFile reads the claims of a file against the form, and stores them if there is nothing bad in the whole file.
func (s *Service) putFile(ctx context.Context, tx *change.Tx, file *claimFile, check bool) ([]store.ClaimRow, error) {
	// A transaction may run again: what a run finds is its own.
	found := *file
	found.shown = slices.Clone(file.shown)
	grounds, refused := make([]*ground, len(found.claims)), make([]map[string]bool, len(found.claims))
	for i, claim := range found.claims {
		g, err := s.stand(ctx, tx, tx.By, claim.entry, claim.month, "", new(sqldb.Batch))
		if refusal, ok := refusalOf(err); ok {
			found.wrongClaim(claim, []badField{{-1, "pcn_code", refusal.Reason, refusal.Message}})
			continue
		}
		if err != nil {
			return nil, err
		}
		grounds[i] = g
		if refused[i], err = s.engage(ctx, tx, &found, claim); err != nil {
			return nil, err
		}
	}
	// A line may come before the one that states its engagement, so the lines are read when all engagements are known.
	forms := make([]*entered, len(found.claims))
	for i, claim := range found.claims {
		g := grounds[i]
		if g == nil {
			continue
		}
		f := form{scheme: g.scheme, year: g.year, today: g.today, by: tx.By.Subject, undeclared: check, pastMonths: prepares(tx.By, claim.entry.GetCommissionerCode())}
		var err error
		if f.engagements, err = store.EngagementsOf(ctx, tx, g.year.PCNCode); err != nil {
			return nil, err
		}
		var bad []badField
		forms[i], bad = f.read(claim.entry, claim.month)
		found.wrongClaim(claim, slices.DeleteFunc(bad, func(b badField) bool {
			return b.reason == reasonEngagementNotFound && refused[i][claim.entry.GetLines()[b.line].GetLabel()]
		}))
	}
	if err := found.refusal(); err != nil {
		return nil, err
	}
	rows := make([]store.ClaimRow, len(forms))
	for i, e := range forms {
		// The pots are read again: an earlier claim of the file may have drawn on them.
		g, err := s.stand(ctx, tx, tx.By, found.claims[i].entry, e.month, "", new(sqldb.Batch))
		if err != nil {
			return nil, err
		}
		rows[i], _, err = s.put(ctx, tx, g, e)
		if refused, ok := errors.AsType[formError](err); ok {
			found.wrongClaim(found.claims[i], refused.bad)
			return nil, found.refusal()
		}
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// refusalOf tells what an error refuses for good, as against a failure that may pass.
func refusalOf(err error) (*fault.Fault, bool) {
	refusal, ok := fault.As(err)
	return refusal, ok && (refusal.Kind == fault.Refused || refusal.Kind == fault.Invalid || refusal.Kind == fault.NotFound)
}
