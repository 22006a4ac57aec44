package partners

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

const (
	// maxLife is the longest that a credential may work.
	maxLife = 366 * 24 * time.Hour
	// maxWorking is how many credentials of a partner may work at once, of one commissioner. As many again may work beside them for the
	// overlap after which another takes their place.
	maxWorking = 5
)

// secretOf is what an answer shows once: it is told of what it is, since a change may be run more than once.
type secretOf struct{ id, text string }

// of returns the secret if it is that of a thing.
func (s secretOf) of(id string) string {
	if s.id != id {
		return ""
	}
	return s.text
}

// IssueCredential makes a credential under the grant in force.
func (s *Service) IssueCredential(ctx context.Context, req *partnersv1.IssueCredentialRequest) (*partnersv1.IssuedCredential, error) {
	var made secretOf
	out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.IssuedCredential, error) {
		partner, err := heldPartner(ctx, tx, req.GetPartnerId())
		if err != nil {
			return nil, err
		}
		row, creds, err := s.issue(ctx, tx, partner.ID, req.GetCommissionerCode(), req.GetExpiresAt(), "")
		if err != nil {
			return nil, err
		}
		made = secretOf{row.ID, creds}
		return &partnersv1.IssuedCredential{Credential: credentialToProto(row, sqldb.Micros(tx.Now()))}, refeed(ctx, tx, partner.ID, row.CommissionerCode)
	})
	return shown(out, err, made)
}

// shown adds the file of a credential to the answer that is given, which is not the one that is stored.
func shown(out *partnersv1.IssuedCredential, err error, made secretOf) (*partnersv1.IssuedCredential, error) {
	if err == nil {
		out.Creds = made.of(out.GetCredential().GetCredentialId())
	}
	return out, err
}

// issue signs and stores a credential, which may take the place of another. The partner is locked.
func (s *Service) issue(
	ctx context.Context, tx *change.Tx, partner, commissioner string, expires *timestamppb.Timestamp, replaced string,
) (*store.CredentialRow, string, error) {
	if s.authority == nil {
		return nil, "", fault.New(fault.Refused, reasonCredentialsNotSet,
			"the suite has no key to sign credentials with: start partners with --nats-account-key-file, or use a webhook")
	}
	if at := expires.AsTime(); !at.After(tx.Now()) || at.After(tx.Now().Add(maxLife)) {
		return nil, "", outOfRange("expires_at", fmt.Sprintf("it has to lie within %d days from now", maxLife/(24*time.Hour)))
	}
	grant, err := grantInForce(ctx, tx, partner, commissioner)
	if err != nil {
		return nil, "", err
	}
	if err := room(ctx, tx, partner, commissioner, replaced); err != nil {
		return nil, "", err
	}
	row := &store.CredentialRow{
		ID: tx.NewID(), PartnerID: partner, CommissionerCode: commissioner, IssuedBy: tx.By.Subject, IssuedAt: sqldb.Micros(tx.Now()), ExpiresAt: micros(expires),
	}
	for _, service := range grant.Scope.Services() {
		row.Streams = append(row.Streams, streamOf(service))
	}
	creds, key, err := s.authority.Issue(Grant{Partner: partner, Credential: row.ID, Durables: durables(row), Expires: expires.AsTime()})
	if err != nil {
		return nil, "", fmt.Errorf("sign a credential: %w", err)
	}
	row.PublicKey = key
	if err := store.InsertCredential(ctx, tx.Tx, row); err != nil {
		return nil, "", err
	}
	return row, string(creds), credentialChanged(ctx, tx, row, "issued a credential until "+expires.AsTime().Format(time.DateOnly))
}

// room refuses one credential more than may work at once, where one is to be replaced, if any.
func room(ctx context.Context, tx *change.Tx, partner, commissioner, replaced string) error {
	used, err := working(ctx, tx, partner, commissioner)
	if err != nil {
		return err
	}
	lasting := 0
	for i := range used {
		if used[i].ReplacedBy == "" && used[i].ID != replaced {
			lasting++
		}
	}
	if lasting >= maxWorking || len(used) >= 2*maxWorking {
		return fault.New(fault.Refused, reasonTooMany, "%d credentials of the partner work, and no more may: revoke one", len(used)).With("most", maxWorking)
	}
	return nil
}

// credentialChanged tells others, and the audit log, of a change of a credential.
func credentialChanged(ctx context.Context, tx *change.Tx, r *store.CredentialRow, summary string) error {
	event := &partnersv1.CredentialChanged{Credential: credentialToProto(r, sqldb.Micros(tx.Now()))}
	if _, err := tx.Announce(ctx, "partner/"+r.PartnerID+"/"+r.CommissionerCode, r.CommissionerCode, event); err != nil {
		return err
	}
	return tx.Record(ctx, "partners/credentials/"+r.ID, r.CommissionerCode, summary)
}

// endCredential has a credential end after an overlap, and the broker told then. The partner is locked.
func endCredential(ctx context.Context, tx *change.Tx, r *store.CredentialRow, overlap time.Duration, summary string) error {
	r.RevokedAt = sqldb.Micros(tx.Now().Add(overlap))
	if err := store.UpdateCredential(ctx, tx.Tx, r); err != nil {
		return err
	}
	tx.Raise(brokerTopic)
	return credentialChanged(ctx, tx, r, summary)
}

// working returns the credentials of a partner that work, of one commissioner.
func working(ctx context.Context, tx *change.Tx, partner, commissioner string) (out []store.CredentialRow, err error) {
	rows, err := store.Credentials(ctx, tx, store.OwnedFilter{Partners: []string{partner}, Commissioners: []string{commissioner}})
	for i := range rows {
		if rows[i].Works(sqldb.Micros(tx.Now())) {
			out = append(out, rows[i])
		}
	}
	return out, err
}

// workingCredential locks a credential that the caller may see, and refuses one that does not work.
func workingCredential(ctx context.Context, tx *change.Tx, id string) (store.CredentialRow, error) {
	row, err := locked(ctx, tx, id, seenCredential)
	if err == nil && !row.Works(sqldb.Micros(tx.Now())) {
		err = fault.New(fault.Refused, reasonCredentialOver, "the credential was revoked, or has expired").With("credential_id", row.ID)
	}
	return row, err
}

// RotateCredential issues a credential in the place of one.
func (s *Service) RotateCredential(ctx context.Context, req *partnersv1.RotateCredentialRequest) (*partnersv1.IssuedCredential, error) {
	var made secretOf
	out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.IssuedCredential, error) {
		old, err := workingCredential(ctx, tx, req.GetCredentialId())
		if err != nil {
			return nil, err
		}
		if old.ReplacedBy != "" {
			return nil, fault.New(fault.Refused, reasonCredentialOver, "credential %s takes its place already: rotate that one", old.ReplacedBy).With("credential_id", old.ReplacedBy)
		}
		row, creds, err := s.issue(ctx, tx, old.PartnerID, old.CommissionerCode, req.GetExpiresAt(), old.ID)
		if err != nil {
			return nil, err
		}
		old.ReplacedBy = row.ID
		overlap := time.Duration(req.GetOverlapHours()) * time.Hour
		if err := endCredential(ctx, tx, &old, overlap, fmt.Sprintf("put credential %s in its place, with %s of overlap", row.ID, overlap)); err != nil {
			return nil, err
		}
		made = secretOf{row.ID, creds}
		return &partnersv1.IssuedCredential{Credential: credentialToProto(row, sqldb.Micros(tx.Now()))}, refeed(ctx, tx, row.PartnerID, row.CommissionerCode)
	})
	return shown(out, err, made)
}

// RevokeCredential has the broker refuse a credential.
func (s *Service) RevokeCredential(ctx context.Context, req *partnersv1.RevokeCredentialRequest) (*partnersv1.Credential, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Credential, error) {
		row, err := workingCredential(ctx, tx, req.GetCredentialId())
		if err != nil {
			return nil, err
		}
		if err := endCredential(ctx, tx, &row, 0, "revoked the credential: "+req.GetReason()); err != nil {
			return nil, err
		}
		return credentialToProto(&row, sqldb.Micros(tx.Now())), refeed(ctx, tx, row.PartnerID, row.CommissionerCode)
	})
}

// ListCredentials returns credentials without their files.
func (s *Service) ListCredentials(ctx context.Context, req *partnersv1.ListCredentialsRequest) (*partnersv1.ListCredentialsResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	out := new(partnersv1.ListCredentialsResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		f, err := visibleOf(ctx, q, req.GetPartnerId())
		if err != nil {
			return err
		}
		f.Before, f.Limit = before, size+1
		rows, err := store.Credentials(ctx, q, f)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.CredentialRow) string { return r.ID })
		for i := range rows {
			out.Credentials = append(out.Credentials, credentialToProto(&rows[i], sqldb.Micros(s.db.Now())))
		}
		return nil
	})
	return out, err
}
