package store

import (
	"context"
	"database/sql"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
)

// PartnerRow is a partner.
type PartnerRow struct {
	ID, Name, ContactEmail, CommissionerCode, Subject string
	State                                             partnersv1.PartnerState
	AddedBy                                           string
	AddedAt, EndedAt                                  int64
}

const partnerColumns = `partner_id, name, contact_email, commissioner_code, subject, state, added_by, added_at, ended_at`

func scanPartner(rows *sql.Rows) (r PartnerRow, err error) {
	err = rows.Scan(&r.ID, &r.Name, &r.ContactEmail, &r.CommissionerCode, &r.Subject, &r.State, &r.AddedBy, &r.AddedAt, &r.EndedAt)
	return r, err
}

// InsertPartner adds a partner.
func InsertPartner(ctx context.Context, tx *sqldb.Tx, r *PartnerRow) error {
	return tx.Queue(ctx, "insert partner", `INSERT INTO partners (`+partnerColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.ID, r.Name, r.ContactEmail, r.CommissionerCode, r.Subject, int64(r.State), r.AddedBy, r.AddedAt, r.EndedAt)
}

// SetPartnerState changes the state of a partner, which ends at a time if that is not 0.
func SetPartnerState(ctx context.Context, tx *sqldb.Tx, id string, state partnersv1.PartnerState, endedAt int64) error {
	return tx.Queue(ctx, "change partner", `UPDATE partners SET state = $2, ended_at = $3 WHERE partner_id = $1`, id, int64(state), endedAt)
}

// Partner returns a partner, or sql.ErrNoRows.
func Partner(ctx context.Context, q sqldb.Querier, id string) (PartnerRow, error) {
	row, err := sqldb.First(sqldb.Collect(ctx, q, scanPartner, `SELECT `+partnerColumns+` FROM partners WHERE partner_id = $1`, id))
	return row, in(err, "read partner "+id)
}

// PartnerFilter says which partners are wanted.
type PartnerFilter struct {
	// Commissioners limits the list to those of the commissioners, an empty code among them for national ones; nil means all.
	Commissioners []string
	// Subject limits the list to those whose tokens have it, unless it is empty.
	Subject string
	// After is the id of the last partner of the page before; Limit is how many are wanted.
	After string
	Limit int
}

// Partners returns partners by id, which is the order in which they were added.
func Partners(ctx context.Context, q sqldb.Querier, by PartnerFilter) ([]PartnerRow, error) {
	var f sqldb.Filter
	f.Within("commissioner_code", by.Commissioners)
	f.Equal("subject", by.Subject)
	f.Where("partner_id > ?", by.After)
	text := `SELECT ` + partnerColumns + ` FROM partners` + f.String() + ` ORDER BY partner_id` + f.Limit(by.Limit)
	rows, err := sqldb.Collect(ctx, q, scanPartner, text, f.Args()...)
	return rows, in(err, "list partners")
}

// GrantRow is a grant.
type GrantRow struct {
	ID, PartnerID, CommissionerCode string
	Scope                           rules.Scope
	State                           partnersv1.GrantState
	ProposedBy                      string
	ProposedAt                      int64
	ConfirmedBy                     string
	ConfirmedAt, EndedAt            int64
}

const grantColumns = `grant_id, partner_id, commissioner_code, event_types, state, proposed_by, proposed_at, confirmed_by, confirmed_at, ended_at`

func scanGrant(rows *sql.Rows) (r GrantRow, err error) {
	var types string
	err = rows.Scan(&r.ID, &r.PartnerID, &r.CommissionerCode, &types, &r.State, &r.ProposedBy, &r.ProposedAt, &r.ConfirmedBy, &r.ConfirmedAt, &r.EndedAt)
	r.Scope = scope(types)
	return r, err
}

// InsertGrant adds a grant.
func InsertGrant(ctx context.Context, tx *sqldb.Tx, r *GrantRow) error {
	return tx.Queue(ctx, "insert grant", `INSERT INTO grants (`+grantColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		r.ID, r.PartnerID, r.CommissionerCode, lines(r.Scope), int64(r.State), r.ProposedBy, r.ProposedAt, r.ConfirmedBy, r.ConfirmedAt, r.EndedAt)
}

// UpdateGrant writes what changes of a grant.
func UpdateGrant(ctx context.Context, tx *sqldb.Tx, r *GrantRow) error {
	return tx.Queue(ctx, "change grant", `UPDATE grants SET state = $2, confirmed_by = $3, confirmed_at = $4, ended_at = $5 WHERE grant_id = $1`,
		r.ID, int64(r.State), r.ConfirmedBy, r.ConfirmedAt, r.EndedAt)
}

// Grant returns a grant, or sql.ErrNoRows.
func Grant(ctx context.Context, q sqldb.Querier, id string) (GrantRow, error) {
	row, err := sqldb.First(sqldb.Collect(ctx, q, scanGrant, `SELECT `+grantColumns+` FROM grants WHERE grant_id = $1`, id))
	return row, in(err, "read grant "+id)
}

// LiveGrants returns the grants of partners that are proposed or in force, by commissioner and state.
func LiveGrants(ctx context.Context, q sqldb.Querier, partners ...string) ([]GrantRow, error) {
	var f sqldb.Filter
	f.In("partner_id", partners)
	f.Where("state IN (1, 2)")
	rows, err := sqldb.Collect(ctx, q, scanGrant, `SELECT `+grantColumns+` FROM grants`+f.String()+` ORDER BY commissioner_code, state`, f.Args()...)
	return rows, in(err, "list grants")
}

// CredentialRow is a credential without its file.
type CredentialRow struct {
	ID, PartnerID, CommissionerCode, PublicKey string
	Streams                                    []string
	IssuedBy                                   string
	IssuedAt, ExpiresAt, RevokedAt, CutOffAt   int64
	ReplacedBy                                 string
}

// Works tells whether the credential works at a time.
func (r *CredentialRow) Works(at int64) bool {
	return at < r.ExpiresAt && (r.RevokedAt == 0 || at < r.RevokedAt)
}

const credentialColumns = `credential_id, partner_id, commissioner_code, public_key, streams, issued_by, issued_at, expires_at, revoked_at, cut_off_at, replaced_by` //nolint:gosec // names of columns

func scanCredential(rows *sql.Rows) (r CredentialRow, err error) {
	var streams string
	err = rows.Scan(&r.ID, &r.PartnerID, &r.CommissionerCode, &r.PublicKey, &streams, &r.IssuedBy, &r.IssuedAt, &r.ExpiresAt, &r.RevokedAt, &r.CutOffAt, &r.ReplacedBy)
	r.Streams = list(streams)
	return r, err
}

// InsertCredential adds a credential.
func InsertCredential(ctx context.Context, tx *sqldb.Tx, r *CredentialRow) error {
	return tx.Queue(ctx, "insert credential", `INSERT INTO credentials (`+credentialColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		r.ID, r.PartnerID, r.CommissionerCode, r.PublicKey, lines(r.Streams), r.IssuedBy, r.IssuedAt, r.ExpiresAt, r.RevokedAt, r.CutOffAt, r.ReplacedBy)
}

// UpdateCredential writes when a credential ends and what takes its place.
func UpdateCredential(ctx context.Context, tx *sqldb.Tx, r *CredentialRow) error {
	return tx.Queue(ctx, "change credential", `UPDATE credentials SET revoked_at = $2, replaced_by = $3 WHERE credential_id = $1`, r.ID, r.RevokedAt, r.ReplacedBy)
}

// Credential returns a credential, or sql.ErrNoRows.
func Credential(ctx context.Context, q sqldb.Querier, id string) (CredentialRow, error) {
	row, err := sqldb.First(sqldb.Collect(ctx, q, scanCredential, `SELECT `+credentialColumns+` FROM credentials WHERE credential_id = $1`, id))
	return row, in(err, "read credential "+id)
}

// OwnedFilter says which credentials or webhooks are wanted, the newest first.
type OwnedFilter struct {
	// Partners and Commissioners limit the list; nil means all.
	Partners, Commissioners []string
	// Before is the id of the last one of the page before; Limit is how many are wanted, 0 for all.
	Before string
	Limit  int
}

func (by *OwnedFilter) clause(f *sqldb.Filter, id string) string {
	f.Within("partner_id", by.Partners)
	f.Within("commissioner_code", by.Commissioners)
	if by.Before != "" {
		f.Where(id+" < ?", by.Before)
	}
	return f.String() + ` ORDER BY ` + id + ` DESC` + f.Limit(by.Limit)
}

// Credentials returns credentials, the newest first.
func Credentials(ctx context.Context, q sqldb.Querier, by OwnedFilter) ([]CredentialRow, error) {
	var f sqldb.Filter
	text := `SELECT ` + credentialColumns + ` FROM credentials` + by.clause(&f, "credential_id")
	rows, err := sqldb.Collect(ctx, q, scanCredential, text, f.Args()...)
	return rows, in(err, "list credentials")
}

// ToCutOff returns credentials that were revoked by a time and have not expired: those that the broker has not been told of, or all.
func ToCutOff(ctx context.Context, q sqldb.Querier, now int64, all bool) ([]CredentialRow, error) {
	condition := `revoked_at > 0 AND revoked_at <= $1 AND expires_at > $1`
	if !all {
		condition += ` AND cut_off_at = 0`
	}
	rows, err := sqldb.Collect(ctx, q, scanCredential, `SELECT `+credentialColumns+` FROM credentials WHERE `+condition+` ORDER BY revoked_at`, now)
	return rows, in(err, "list credentials to be cut off")
}

// SetCutOff notes that the broker was told of the end of a credential.
func SetCutOff(ctx context.Context, db *sqldb.DB, id string, at int64) error {
	_, err := db.Exec(ctx, `UPDATE credentials SET cut_off_at = $2 WHERE credential_id = $1 AND cut_off_at = 0`, id, at)
	return in(err, "note that a credential is cut off")
}

// FeedRow is a durable consumer that a partner is to have; without subjects it is to go.
type FeedRow struct {
	PartnerID, CommissionerCode, Stream string
	Subjects                            []string
	StartAt, Version                    int64
}

// SetFeed writes what a consumer is to be. Its start stays, unless the feed is new or was to go.
func SetFeed(ctx context.Context, tx *sqldb.Tx, r *FeedRow) error {
	return tx.Queue(ctx, "change consumer", `INSERT INTO feeds (partner_id, commissioner_code, stream, subjects, start_at, version, applied) VALUES ($1, $2, $3, $4, $5, 1, 0)
		ON CONFLICT (partner_id, commissioner_code, stream) DO UPDATE SET subjects = excluded.subjects, version = feeds.version + 1,
			start_at = CASE WHEN feeds.subjects = '' THEN excluded.start_at ELSE feeds.start_at END`,
		r.PartnerID, r.CommissionerCode, r.Stream, lines(r.Subjects), r.StartAt)
}

// RestartFeeds has the consumers of a partner start again from a time.
func RestartFeeds(ctx context.Context, tx *sqldb.Tx, partner, commissioner string, startAt int64) error {
	return tx.Queue(ctx, "restart consumers", `UPDATE feeds SET start_at = $3, version = version + 1 WHERE partner_id = $1 AND commissioner_code = $2 AND subjects <> ''`,
		partner, commissioner, startAt)
}

const feedColumns = `partner_id, commissioner_code, stream, subjects, start_at, version`

func scanFeed(rows *sql.Rows) (r FeedRow, err error) {
	var subjects string
	err = rows.Scan(&r.PartnerID, &r.CommissionerCode, &r.Stream, &subjects, &r.StartAt, &r.Version)
	r.Subjects = list(subjects)
	return r, err
}

// Feeds returns the consumers of a partner for a commissioner's events, by stream.
func Feeds(ctx context.Context, q sqldb.Querier, partner, commissioner string) ([]FeedRow, error) {
	rows, err := sqldb.Collect(ctx, q, scanFeed, `SELECT `+feedColumns+` FROM feeds WHERE partner_id = $1 AND commissioner_code = $2 ORDER BY stream`, partner, commissioner)
	return rows, in(err, "list consumers")
}

// FeedsToApply returns the consumers that the broker does not have as they are to be, or all, with those that are to be gone.
func FeedsToApply(ctx context.Context, q sqldb.Querier, all bool) ([]FeedRow, error) {
	condition := ` WHERE applied <> version`
	if all {
		condition = ``
	}
	rows, err := sqldb.Collect(ctx, q, scanFeed, `SELECT `+feedColumns+` FROM feeds`+condition+` ORDER BY partner_id, commissioner_code, stream`)
	return rows, in(err, "list consumers to be made")
}

// SetApplied notes that the broker has a version of a consumer.
func SetApplied(ctx context.Context, db *sqldb.DB, r *FeedRow) error {
	_, err := db.Exec(ctx, `UPDATE feeds SET applied = $4 WHERE partner_id = $1 AND commissioner_code = $2 AND stream = $3 AND applied < $4`,
		r.PartnerID, r.CommissionerCode, r.Stream, r.Version)
	return in(err, "note that a consumer is made")
}
