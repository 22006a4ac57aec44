package partners

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// ProposeGrant proposes what a partner may have of a commissioner's events.
func (s *Service) ProposeGrant(ctx context.Context, req *partnersv1.ProposeGrantRequest) (*partnersv1.Grant, error) {
	scope, err := catalogue().Scope(req.GetEventTypes())
	if err != nil {
		return nil, err
	}
	if err := s.known(ctx, req.GetCommissionerCode()); err != nil {
		return nil, err
	}
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Grant, error) {
		partner, err := heldPartner(ctx, tx, req.GetPartnerId())
		if err != nil {
			return nil, err
		}
		if partner.CommissionerCode != "" && partner.CommissionerCode != req.GetCommissionerCode() {
			return nil, otherCommissioner(req.GetCommissionerCode(), partner.CommissionerCode)
		}
		waiting, err := liveGrant(ctx, tx, partner.ID, req.GetCommissionerCode(), partnersv1.GrantState_GRANT_PROPOSED)
		if err != nil {
			return nil, err
		}
		if waiting != nil {
			if err := endGrant(ctx, tx, waiting, partnersv1.GrantState_GRANT_REPLACED, "replaced by another proposal"); err != nil {
				return nil, err
			}
		}
		row := &store.GrantRow{PartnerID: partner.ID, CommissionerCode: req.GetCommissionerCode(), Scope: scope}
		err = propose(ctx, tx, row)
		return grantToProto(row), err
	})
}

// propose stores a grant as the caller's proposal.
func propose(ctx context.Context, tx *change.Tx, r *store.GrantRow) error {
	r.ID, r.State, r.ProposedBy, r.ProposedAt = tx.NewID(), partnersv1.GrantState_GRANT_PROPOSED, tx.By.Subject, sqldb.Micros(tx.Now())
	if err := store.InsertGrant(ctx, tx.Tx, r); err != nil {
		return err
	}
	return grantChanged(ctx, tx, r, "proposed a grant of "+strings.Join(r.Scope, ", "))
}

// grantChanged tells others, and the audit log, of a change of a grant.
func grantChanged(ctx context.Context, tx *change.Tx, r *store.GrantRow, summary string) error {
	if _, err := tx.Announce(ctx, "partner/"+r.PartnerID+"/"+r.CommissionerCode, r.CommissionerCode, &partnersv1.GrantChanged{Grant: grantToProto(r)}); err != nil {
		return err
	}
	return tx.Record(ctx, "partners/grants/"+r.ID, r.CommissionerCode, summary)
}

// endGrant ends a grant without what stands under it.
func endGrant(ctx context.Context, tx *change.Tx, r *store.GrantRow, state partnersv1.GrantState, summary string) error {
	// Whoever never was confirmed must not look as if it had been.
	if r.ConfirmedBy == "" {
		state = partnersv1.GrantState_GRANT_REVOKED
	}
	r.State, r.EndedAt = state, sqldb.Micros(tx.Now())
	if err := store.UpdateGrant(ctx, tx.Tx, r); err != nil {
		return err
	}
	return grantChanged(ctx, tx, r, summary)
}

// liveGrant returns the grant of a commissioner to a partner that is in a state, nil if none is.
func liveGrant(ctx context.Context, q sqldb.Querier, partner, commissioner string, state partnersv1.GrantState) (*store.GrantRow, error) {
	rows, err := store.LiveGrants(ctx, q, partner)
	for i := range rows {
		if rows[i].CommissionerCode == commissioner && rows[i].State == state {
			return &rows[i], err
		}
	}
	return nil, err
}

// grantInForce returns what a partner may have of a commissioner, or refuses what needs a grant.
func grantInForce(ctx context.Context, q sqldb.Querier, partner, commissioner string) (*store.GrantRow, error) {
	row, err := liveGrant(ctx, q, partner, commissioner, partnersv1.GrantState_GRANT_IN_FORCE)
	if err == nil && row == nil {
		err = fault.New(fault.Refused, reasonGrantRequired, "no grant of %s to the partner is in force: propose one, and have another person confirm it", commissioner).
			With("commissioner_code", commissioner)
	}
	return row, err
}

// ConfirmGrant puts a grant in force that another person proposed.
func (s *Service) ConfirmGrant(ctx context.Context, req *partnersv1.ConfirmGrantRequest) (*partnersv1.Grant, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Grant, error) {
		row, err := locked(ctx, tx, req.GetGrantId(), seenGrant)
		if err != nil {
			return nil, err
		}
		switch {
		case row.State != partnersv1.GrantState_GRANT_PROPOSED:
			return nil, fault.New(fault.Refused, reasonGrantNotProposed, "the grant does not wait to be confirmed").With("state", row.State)
		case row.ProposedBy == tx.By.Subject:
			return nil, fault.New(fault.Denied, reasonConfirmerIsProposer, "you proposed this grant: another person confirms it")
		}
		before, err := liveGrant(ctx, tx, row.PartnerID, row.CommissionerCode, partnersv1.GrantState_GRANT_IN_FORCE)
		if err != nil {
			return nil, err
		}
		if before != nil {
			if err := endGrant(ctx, tx, before, partnersv1.GrantState_GRANT_REPLACED, "replaced by grant "+row.ID); err != nil {
				return nil, err
			}
			_, lost := catalogue().Split(row.Scope)
			if err := store.CancelTypes(ctx, tx.Tx, row.PartnerID, row.CommissionerCode, lost); err != nil {
				return nil, err
			}
		}
		row.State, row.ConfirmedBy, row.ConfirmedAt = partnersv1.GrantState_GRANT_IN_FORCE, tx.By.Subject, sqldb.Micros(tx.Now())
		if err := store.UpdateGrant(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		if err := activate(ctx, tx, row.PartnerID); err != nil {
			return nil, err
		}
		if err := refeed(ctx, tx, row.PartnerID, row.CommissionerCode); err != nil {
			return nil, err
		}
		return grantToProto(&row), grantChanged(ctx, tx, &row, "confirmed a grant of "+strings.Join(row.Scope, ", ")+" that "+row.ProposedBy+" proposed")
	})
}

// activate notes that a partner has had a grant.
func activate(ctx context.Context, tx *change.Tx, id string) error {
	partner, err := store.Partner(ctx, tx, id)
	if err != nil || partner.State != partnersv1.PartnerState_PARTNER_PROPOSED {
		return err
	}
	partner.State = partnersv1.PartnerState_PARTNER_ACTIVE
	if err := store.SetPartnerState(ctx, tx.Tx, id, partner.State, 0); err != nil {
		return err
	}
	return partnerChanged(ctx, tx, &partner, partner.Name+" is a partner now")
}

// RevokeGrant takes back a grant with what stands under it.
func (s *Service) RevokeGrant(ctx context.Context, req *partnersv1.RevokeGrantRequest) (*partnersv1.Grant, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Grant, error) {
		row, err := locked(ctx, tx, req.GetGrantId(), seenGrant)
		if err != nil {
			return nil, err
		}
		if row.EndedAt != 0 {
			return nil, fault.New(fault.Refused, reasonGrantOver, "the grant was revoked or replaced before").With("state", row.State)
		}
		err = s.revokeGrant(ctx, tx, &row, req.GetReason())
		return grantToProto(&row), err
	})
}

// revokeGrant ends a grant; one in force with its credentials, consumers and webhooks. The partner is locked.
func (s *Service) revokeGrant(ctx context.Context, tx *change.Tx, r *store.GrantRow, reason string) error {
	inForce := r.State == partnersv1.GrantState_GRANT_IN_FORCE
	if err := endGrant(ctx, tx, r, partnersv1.GrantState_GRANT_REVOKED, "revoked the grant: "+reason); err != nil || !inForce {
		return err
	}
	under := store.OwnedFilter{Partners: []string{r.PartnerID}, Commissioners: []string{r.CommissionerCode}}
	credentials, err := store.Credentials(ctx, tx, under)
	if err != nil {
		return err
	}
	for i := range credentials {
		if credentials[i].Works(sqldb.Micros(tx.Now())) {
			if err := endCredential(ctx, tx, &credentials[i], 0, "revoked the credential with its grant"); err != nil {
				return err
			}
		}
	}
	if err := refeed(ctx, tx, r.PartnerID, r.CommissionerCode); err != nil {
		return err
	}
	webhooks, err := store.Webhooks(ctx, tx, under)
	if err != nil {
		return err
	}
	for i := range webhooks {
		if err := removeWebhook(ctx, tx, &webhooks[i], "removed the webhook with its grant"); err != nil {
			return err
		}
	}
	return nil
}

// refeed decides what consumers a partner is to have of a commissioner's events: while a credential works, those of the grant in force. The
// partner is locked.
func refeed(ctx context.Context, tx *change.Tx, partner, commissioner string) error {
	grant, err := grantInForce(ctx, tx, partner, commissioner)
	if fault.ReasonOf(err) == reasonGrantRequired {
		grant, err = new(store.GrantRow), nil
	}
	if err != nil {
		return err
	}
	used, err := working(ctx, tx, partner, commissioner)
	if err != nil {
		return err
	}
	wanted := grant.Scope.Subjects(commissioner)
	if len(used) == 0 {
		wanted = nil
	}
	feeds, err := store.Feeds(ctx, tx, partner, commissioner)
	if err != nil {
		return err
	}
	has := make(map[string]string)
	for _, f := range feeds {
		has[f.Stream] = strings.Join(f.Subjects, " ")
	}
	for _, service := range services() {
		stream, subjects := streamOf(service), wanted[service]
		if has[stream] == strings.Join(subjects, " ") {
			continue
		}
		feed := store.FeedRow{PartnerID: partner, CommissionerCode: commissioner, Stream: stream, Subjects: subjects, StartAt: grant.ConfirmedAt}
		if err := store.SetFeed(ctx, tx.Tx, &feed); err != nil {
			return err
		}
	}
	tx.Raise(brokerTopic)
	return nil
}

// ReplayEvents has the consumers of a partner start again from a moment.
func (s *Service) ReplayEvents(ctx context.Context, req *partnersv1.ReplayEventsRequest) (*partnersv1.ReplayEventsResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.ReplayEventsResponse, error) {
		partner, err := heldPartner(ctx, tx, req.GetPartnerId())
		if err != nil {
			return nil, err
		}
		commissioner := req.GetCommissionerCode()
		if !caller(ctx).HoldsCommissioner(commissioner) {
			return nil, notFound(reasonPartnerNotFound, "partner", partner.ID)
		}
		if req.GetSince().AsTime().After(tx.Now()) {
			return nil, outOfRange("since", "it lies in the future")
		}
		if _, err := grantInForce(ctx, tx, partner.ID, commissioner); err != nil {
			return nil, err
		}
		if err := store.RestartFeeds(ctx, tx.Tx, partner.ID, commissioner, micros(req.GetSince())); err != nil {
			return nil, err
		}
		feeds, err := store.Feeds(ctx, tx, partner.ID, commissioner)
		if err != nil {
			return nil, err
		}
		out := new(partnersv1.ReplayEventsResponse)
		for _, f := range feeds {
			if len(f.Subjects) > 0 {
				out.Consumers = append(out.Consumers, &partnersv1.Consumer{Stream: f.Stream, Durable: durableOf(partner.ID, commissioner)})
			}
		}
		tx.Raise(brokerTopic)
		return out, tx.Record(ctx, "partners/partners/"+partner.ID, commissioner,
			fmt.Sprintf("had %d consumers start again from %s", len(out.GetConsumers()), req.GetSince().AsTime().Format("2006-01-02T15:04:05Z")))
	})
}

func outOfRange(field, description string) error {
	return fault.New(fault.Invalid, reasonTimeOutOfRange, "%s: %s", field, description).At(field, description)
}

// isMissing tells whether a row that was looked for is not there.
func isMissing(err error) bool { return errors.Is(err, sql.ErrNoRows) }
