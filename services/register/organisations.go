package register

import (
	"context"
	"fmt"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
	"github.com/pcnfunding/pcnfunding/services/register/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/register/internal/store"
)

// defaultList is the rows of a page where the caller asks for no number.
const defaultList = 100

var organisationKinds = map[registerv1.OrganisationKind]string{
	registerv1.OrganisationKind_PRACTICE:              store.KindPractice,
	registerv1.OrganisationKind_PCN:                   store.KindPCN,
	registerv1.OrganisationKind_COMMISSIONER_LOCATION: store.KindLocation,
	registerv1.OrganisationKind_SYSTEM:                store.KindSystem,
	registerv1.OrganisationKind_REGION:                store.KindRegion,
}

func organisationToProto(o store.Organisation) *registerv1.Organisation {
	out := &registerv1.Organisation{OrganisationCode: o.Code, Name: o.Name, Opened: o.Opened.String(), Closed: o.Closed.String()}
	for kind, name := range organisationKinds {
		if name == o.Kind {
			out.Kind = kind
		}
	}
	return out
}

// ListOrganisations returns organisations of one kind, by code.
func (s *Service) ListOrganisations(
	ctx context.Context, req *registerv1.ListOrganisationsRequest,
) (*registerv1.ListOrganisationsResponse, error) {
	after, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	_, position, err := s.knownAt(ctx, nil)
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultList)
	var rows []store.Organisation
	err = s.db.Read(ctx, func(q sqldb.Querier) (err error) {
		rows, err = store.Organisations(ctx, q, position, organisationKinds[req.GetKind()], after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &registerv1.ListOrganisationsResponse{}
	rows, out.NextPageToken = page.Cut(rows, size, func(o store.Organisation) string { return o.Code })
	for _, o := range rows {
		out.Organisations = append(out.Organisations, organisationToProto(o))
	}
	return out, nil
}

// GetOrganisation returns one organisation with its dated relationships, as known at a moment.
func (s *Service) GetOrganisation(ctx context.Context, req *registerv1.GetOrganisationRequest) (*registerv1.Organisation, error) {
	_, position, err := s.knownAt(ctx, req.GetKnownAt())
	if err != nil {
		return nil, err
	}
	var out *registerv1.Organisation
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		found, err := store.OrganisationsByCode(ctx, q, position, req.GetOrganisationCode())
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return organisationUnknown(req.GetOrganisationCode())
		}
		out = organisationToProto(found[0])
		history, err := store.ReadHistory(ctx, q, position, found[0].Kind, found[0].Code)
		if err != nil {
			return err
		}
		return addRelationships(ctx, q, position, out, history)
	})
	if err != nil {
		return nil, fmt.Errorf("organisation %s: %w", req.GetOrganisationCode(), err)
	}
	return out, nil
}

func organisationUnknown(code string) *fault.Fault {
	return fault.New(fault.NotFound, rules.ReasonOrganisationUnknown, "the register knows no organisation %s that you may see", code).
		With("organisation_code", code)
}

// addRelationships adds the dated links of a history to an organisation, with the names of the others.
func addRelationships(ctx context.Context, q sqldb.Querier, position int64, o *registerv1.Organisation, h store.History) error {
	loads, err := store.LoadsUpTo(ctx, q, position)
	if err != nil {
		return err
	}
	ids := make(map[int64]string, len(loads))
	for _, l := range loads {
		ids[l.Position] = l.ID
	}
	payeeNames := make(map[string]string, len(h.Payees))
	for _, p := range h.Payees {
		payeeNames[p.Code] = p.Name
	}
	for _, group := range []struct {
		kind  registerv1.RelationshipKind
		links []rules.Link
	}{
		{registerv1.RelationshipKind_MEMBER_OF_PCN, append(h.Dated, rules.Runs(h.PCN)...)},
		{registerv1.RelationshipKind_COMMISSIONED_BY, rules.Runs(h.Location)},
		{registerv1.RelationshipKind_IN_SYSTEM, rules.Runs(h.System)},
		{registerv1.RelationshipKind_IN_REGION, rules.Runs(h.Region)},
		{registerv1.RelationshipKind_PAID_TO, rules.PayeeLinks(h.Payees)},
	} {
		codes := make([]string, 0, len(group.links))
		for _, link := range group.links {
			codes = append(codes, link.Other)
		}
		names, err := store.Names(ctx, q, position, codes)
		if err != nil {
			return err
		}
		if group.kind == registerv1.RelationshipKind_PAID_TO {
			names = payeeNames
		}
		for _, link := range group.links {
			o.Relationships = append(o.Relationships, &registerv1.Relationship{
				Kind: group.kind, OtherCode: link.Other, OtherName: names[link.Other], EffectiveFrom: link.From.String(),
				EffectiveTo: link.To.String(), Observed: link.Observed, LoadId: ids[link.Load],
			})
		}
	}
	return nil
}
