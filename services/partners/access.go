package partners

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"google.golang.org/grpc/status"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/money"
	"github.com/pcnfunding/pcnfunding/pkg/rpc"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// defaultPage is the rows of a page where the caller asks for no number.
const defaultPage = 100

// partnerLock is held by whatever changes a partner or what it has.
func partnerLock(id string) string { return "partner/" + id }

// caller returns who calls; outside a call nobody, who may nothing.
func caller(ctx context.Context) auth.Principal {
	by, _ := auth.From(ctx)
	return by
}

// isStaff tells whether the caller works for a commissioner or the nation, rather than being a partner's own system.
func isStaff(by auth.Principal) bool {
	return by.HasRole(optionsv1.Role_ROLE_FINANCE_APPROVER, optionsv1.Role_ROLE_OPERATOR, optionsv1.Role_ROLE_AUDITOR)
}

// sees tells whether the caller may see a partner: one of a commissioner that they hold, or a national one. A partner's own system sees
// itself alone.
func sees(by auth.Principal, p *store.PartnerRow) bool {
	if !isStaff(by) && (p.Subject == "" || p.Subject != by.Subject) {
		return false
	}
	if p.CommissionerCode == "" {
		return len(by.Commissioners) > 0
	}
	return by.HoldsCommissioner(p.CommissionerCode)
}

// seenPartner returns a partner that the caller may see.
func seenPartner(ctx context.Context, q sqldb.Querier, id string) (store.PartnerRow, error) {
	row, err := store.Partner(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !sees(caller(ctx), &row) {
		return row, notFound(reasonPartnerNotFound, "partner", id)
	}
	return row, err
}

// seesOf tells whether the caller may see what a partner has of a commissioner.
func seesOf(ctx context.Context, q sqldb.Querier, partner, commissioner string) (bool, error) {
	by := caller(ctx)
	if !by.HoldsCommissioner(commissioner) {
		return false, nil
	}
	row, err := store.Partner(ctx, q, partner)
	return err == nil && sees(by, &row), err
}

// owned is what a partner has of a commissioner.
type owned interface {
	Owner() (partner, commissioner string)
}

// seen returns what read finds, if the caller may see it; else it is not found, in the words of what.
func seen[T any, P interface {
	*T
	owned
}](ctx context.Context, q sqldb.Querier, id, reason, what string, read func(context.Context, sqldb.Querier, string) (T, error),
) (T, error) {
	row, err := read(ctx, q, id)
	if errors.Is(err, sql.ErrNoRows) {
		return row, notFound(reason, what, id)
	}
	if err != nil {
		return row, err
	}
	partner, commissioner := P(&row).Owner()
	ok, err := seesOf(ctx, q, partner, commissioner)
	if err == nil && !ok {
		err = notFound(reason, what, id)
	}
	return row, err
}

func seenGrant(ctx context.Context, q sqldb.Querier, id string) (store.GrantRow, error) {
	return seen(ctx, q, id, reasonGrantNotFound, "grant", store.Grant)
}

func seenCredential(ctx context.Context, q sqldb.Querier, id string) (store.CredentialRow, error) {
	return seen(ctx, q, id, reasonCredentialNotFound, "credential", store.Credential)
}

func seenWebhook(ctx context.Context, q sqldb.Querier, id string) (store.WebhookRow, error) {
	return seen(ctx, q, id, reasonWebhookNotFound, "webhook", store.Webhook)
}

// locked reads what a change is about, locks its partner, and reads it again as it stands then.
func locked[T any, P interface {
	*T
	owned
}](ctx context.Context, tx *change.Tx, id string, read func(context.Context, sqldb.Querier, string) (T, error),
) (T, error) {
	row, err := read(ctx, tx, id)
	if err != nil {
		return row, err
	}
	partner, _ := P(&row).Owner()
	if err := tx.Lock(ctx, partnerLock(partner)); err != nil {
		return row, err
	}
	return read(ctx, tx, id)
}

func notFound(reason, what, id string) error {
	return fault.New(fault.NotFound, reason, "there is no %s %q that you may see", what, money.Clip(id)).With(what+"_id", money.Clip(id))
}

// visibleOf returns what limits a list of credentials or webhooks to those that the caller may see, of one partner where it is named.
func visibleOf(ctx context.Context, q sqldb.Querier, partner string) (store.OwnedFilter, error) {
	by := caller(ctx)
	f := store.OwnedFilter{Commissioners: by.CommissionerScope()}
	if partner != "" {
		if _, err := seenPartner(ctx, q, partner); err != nil {
			return f, err
		}
		f.Partners = []string{partner}
		return f, nil
	}
	if isStaff(by) {
		return f, nil
	}
	own, err := store.Partners(ctx, q, store.PartnerFilter{Subject: by.Subject, Commissioners: withNational(by.CommissionerScope())})
	f.Partners = make([]string, 0, len(own))
	for i := range own {
		f.Partners = append(f.Partners, own[i].ID)
	}
	return f, err
}

// withNational adds national partners to commissioners; nil, which means all, has them.
func withNational(commissioners []string) []string {
	if len(commissioners) == 0 {
		return commissioners
	}
	return append(slices.Clone(commissioners), "")
}

// known refuses a commissioner that the register does not know. It asks another service, so it is not for transactions.
func (s *Service) known(ctx context.Context, code string) error {
	answer, err := s.register.GetOrganisation(ctx, &registerv1.GetOrganisationRequest{OrganisationCode: code})
	if f := rpc.FaultFromStatus(status.Convert(err)); err != nil && (f == nil || f.Kind != fault.NotFound) {
		return err
	}
	switch answer.GetKind() {
	case registerv1.OrganisationKind_COMMISSIONER_LOCATION, registerv1.OrganisationKind_SYSTEM:
		return nil
	default:
		return fault.New(fault.Refused, reasonCommissionerUnknown, "the register knows no commissioner %q: load it first", money.Clip(code)).
			With("commissioner_code", money.Clip(code))
	}
}
