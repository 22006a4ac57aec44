package partners

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// AddPartner proposes a partner with its first grant.
func (s *Service) AddPartner(ctx context.Context, req *partnersv1.AddPartnerRequest) (*partnersv1.Partner, error) {
	first := req.GetGrantCommissionerCode()
	if home := req.GetCommissionerCode(); home != "" {
		if first != "" && first != home {
			return nil, otherCommissioner(first, home)
		}
		first = home
	}
	if first == "" {
		return nil, fault.New(fault.Invalid, reasonCommissionerOther, "a national partner has grants of single commissioners").
			At("grant_commissioner_code", "name the commissioner whose events are granted first")
	}
	scope, err := catalogue().Scope(req.GetEventTypes())
	if err != nil {
		return nil, err
	}
	if err := s.known(ctx, first); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Partner, error) {
		row := store.PartnerRow{
			ID: tx.NewID(), Name: req.GetName(), ContactEmail: req.GetContactEmail(), CommissionerCode: req.GetCommissionerCode(), Subject: req.GetSubject(),
			State: partnersv1.PartnerState_PARTNER_PROPOSED, AddedBy: tx.By.Subject, AddedAt: sqldb.Micros(tx.Now()),
		}
		if err := store.InsertPartner(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		if err := partnerChanged(ctx, tx, &row, "proposed "+row.Name+" as a partner"); err != nil {
			return nil, err
		}
		grant := &store.GrantRow{PartnerID: row.ID, CommissionerCode: first, Scope: scope}
		if err := propose(ctx, tx, grant); err != nil {
			return nil, err
		}
		out := partnerToProto(&row)
		out.Grants = append(out.Grants, grantToProto(grant))
		return out, nil
	})
}

func otherCommissioner(code, home string) error {
	return fault.New(fault.Invalid, reasonCommissionerOther, "the partner is of %s: events of %s are for a partner of its own, or a national one", home, code).
		With("commissioner_code", home)
}

// partnerChanged tells others, and the audit log, of a change of a partner.
func partnerChanged(ctx context.Context, tx *change.Tx, r *store.PartnerRow, summary string) error {
	event := &partnersv1.PartnerChanged{PartnerId: r.ID, Name: r.Name, CommissionerCode: r.CommissionerCode, State: r.State}
	if _, err := tx.Announce(ctx, "partner/"+r.ID, r.CommissionerCode, event); err != nil {
		return err
	}
	return tx.Record(ctx, "partners/partners/"+r.ID, r.CommissionerCode, summary)
}

// GetPartner returns a partner with its grants.
func (s *Service) GetPartner(ctx context.Context, req *partnersv1.GetPartnerRequest) (out *partnersv1.Partner, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := seenPartner(ctx, q, req.GetPartnerId())
		if err != nil {
			return err
		}
		list, err := withGrants(ctx, q, []store.PartnerRow{row})
		if err != nil {
			return err
		}
		out = list[0]
		return nil
	})
	return out, err
}

// ListPartners returns partners that the caller may see.
func (s *Service) ListPartners(ctx context.Context, req *partnersv1.ListPartnersRequest) (*partnersv1.ListPartnersResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	by := caller(ctx)
	size := page.Size(req.GetPageSize(), defaultPage)
	f := store.PartnerFilter{Commissioners: withNational(by.CommissionerScope()), After: after, Limit: size + 1}
	if asked := req.GetCommissionerCode(); asked != "" {
		if !by.HoldsCommissioner(asked) {
			return nil, notFound(auth.ReasonNotFound, "commissioner", asked)
		}
		f.Commissioners = []string{asked}
	}
	if !isStaff(by) {
		f.Subject = by.Subject
	}
	out := new(partnersv1.ListPartnersResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		rows, err := store.Partners(ctx, q, f)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.PartnerRow) string { return r.ID })
		out.Partners, err = withGrants(ctx, q, rows)
		return err
	})
	return out, err
}

// withGrants adds to partners the grants that the caller may see.
func withGrants(ctx context.Context, q sqldb.Querier, rows []store.PartnerRow) ([]*partnersv1.Partner, error) {
	out, byID, ids := make([]*partnersv1.Partner, len(rows)), make(map[string]*partnersv1.Partner), make([]string, len(rows))
	for i := range rows {
		out[i] = partnerToProto(&rows[i])
		byID[rows[i].ID], ids[i] = out[i], rows[i].ID
	}
	grants, err := store.LiveGrants(ctx, q, ids...)
	if err != nil {
		return nil, err
	}
	for i := range grants {
		if caller(ctx).HoldsCommissioner(grants[i].CommissionerCode) {
			p := byID[grants[i].PartnerID]
			p.Grants = append(p.Grants, grantToProto(&grants[i]))
		}
	}
	return out, nil
}

// EndPartner takes everything back that a partner has.
func (s *Service) EndPartner(ctx context.Context, req *partnersv1.EndPartnerRequest) (*partnersv1.Partner, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Partner, error) {
		row, err := heldPartner(ctx, tx, req.GetPartnerId())
		if err != nil {
			return nil, err
		}
		if !caller(ctx).HoldsCommissioner(row.CommissionerCode) {
			return nil, fault.New(fault.Denied, auth.ReasonEnglandRequired, "a national partner is ended by those who hold all of England; revoke your grant to it")
		}
		grants, err := store.LiveGrants(ctx, tx, row.ID)
		if err != nil {
			return nil, err
		}
		for i := range grants {
			if err := s.revokeGrant(ctx, tx, &grants[i], req.GetReason()); err != nil {
				return nil, err
			}
		}
		row.State, row.EndedAt = partnersv1.PartnerState_PARTNER_ENDED, sqldb.Micros(tx.Now())
		if err := store.SetPartnerState(ctx, tx.Tx, row.ID, row.State, row.EndedAt); err != nil {
			return nil, err
		}
		return partnerToProto(&row), partnerChanged(ctx, tx, &row, fmt.Sprintf("ended partner %s with %d grants: %s", row.Name, len(grants), req.GetReason()))
	})
}

// heldPartner locks a partner that the caller may see, and refuses one that was ended.
func heldPartner(ctx context.Context, tx *change.Tx, id string) (store.PartnerRow, error) {
	if err := tx.Lock(ctx, partnerLock(id)); err != nil {
		return store.PartnerRow{}, err
	}
	row, err := seenPartner(ctx, tx, id)
	if err == nil && row.State == partnersv1.PartnerState_PARTNER_ENDED {
		err = fault.New(fault.Refused, reasonPartnerOver, "partner %s was ended: add it anew", row.Name).With("partner_id", row.ID)
	}
	return row, err
}
