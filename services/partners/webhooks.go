package partners

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/change"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/page"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/rules"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/send"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

const (
	// maxWebhooks is how many webhooks a partner may have, of one commissioner.
	maxWebhooks = 10
	// secretBytes is the length of the key of signatures; the scheme asks for 24 to 64.
	secretBytes = 32
)

// newSecret makes the secret of a webhook's signatures.
func newSecret() string {
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// AddWebhook has events sent to an address from now on.
func (s *Service) AddWebhook(ctx context.Context, req *partnersv1.AddWebhookRequest) (*partnersv1.IssuedWebhook, error) {
	scope, err := catalogue().Scope(req.GetEventTypes())
	if err != nil {
		return nil, err
	}
	if err := send.CheckURL(req.GetUrl()); err != nil {
		return nil, fault.New(fault.Invalid, reasonURLNotAllowed, "nothing is sent to the address: %v", err).At("url", err.Error())
	}
	if err := s.hasKeys(); err != nil {
		return nil, err
	}
	var made secretOf
	out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.IssuedWebhook, error) {
		partner, err := heldPartner(ctx, tx, req.GetPartnerId())
		if err != nil {
			return nil, err
		}
		grant, err := grantInForce(ctx, tx, partner.ID, req.GetCommissionerCode())
		if err != nil {
			return nil, err
		}
		if err := scope.Within(grant.Scope); err != nil {
			return nil, err
		}
		others, err := store.Webhooks(ctx, tx, store.OwnedFilter{Partners: []string{partner.ID}, Commissioners: []string{req.GetCommissionerCode()}})
		if err != nil {
			return nil, err
		}
		if len(others) >= maxWebhooks {
			return nil, fault.New(fault.Refused, reasonTooMany, "the partner has %d webhooks, and may have no more: remove one", len(others)).With("most", maxWebhooks)
		}
		made = secretOf{tx.NewID(), newSecret()}
		row := &store.WebhookRow{
			ID: made.id, PartnerID: partner.ID, CommissionerCode: req.GetCommissionerCode(), URL: req.GetUrl(), Scope: scope, State: partnersv1.WebhookState_WEBHOOK_ACTIVE,
			Secret: s.keys.Seal([]byte(made.text), made.id), AddedBy: tx.By.Subject, AddedAt: sqldb.Micros(tx.Now()),
		}
		if err := store.InsertWebhook(ctx, tx.Tx, row); err != nil {
			return nil, err
		}
		return &partnersv1.IssuedWebhook{Webhook: webhookToProto(row, 0, row.AddedAt)}, announceWebhook(ctx, tx, row, "added a webhook")
	})
	return told(out, err, made)
}

// hasKeys refuses to make a secret that could not be kept.
func (s *Service) hasKeys() error {
	if s.keys == nil {
		return fault.New(fault.Refused, reasonWebhooksNotSet, "the suite has no key to seal the secrets of webhooks with: start partners with --webhook-key-file")
	}
	return nil
}

// told adds the secret of a webhook to the answer that is given, which is not the one that is stored.
func told(out *partnersv1.IssuedWebhook, err error, made secretOf) (*partnersv1.IssuedWebhook, error) {
	if err == nil {
		out.Secret = made.of(out.GetWebhook().GetWebhookId())
	}
	return out, err
}

// announceWebhook tells others, and the audit log, of a change of a webhook.
func announceWebhook(ctx context.Context, tx *change.Tx, r *store.WebhookRow, summary string) error {
	event := webhookChanged(r)
	if _, err := tx.Announce(ctx, "webhook/"+r.ID, r.CommissionerCode, event); err != nil {
		return err
	}
	return tx.Record(ctx, "partners/webhooks/"+r.ID, r.CommissionerCode, summary+" at "+event.GetHost())
}

// heldWebhook locks a webhook that the caller may see, and refuses one that was removed.
func heldWebhook(ctx context.Context, tx *change.Tx, id string) (store.WebhookRow, error) {
	row, err := locked(ctx, tx, id, seenWebhook)
	if err == nil && row.State == partnersv1.WebhookState_WEBHOOK_REMOVED {
		err = fault.New(fault.Refused, reasonWebhookGone, "the webhook was removed: add it anew").With("webhook_id", row.ID)
	}
	return row, err
}

// RotateWebhookSecret makes a new secret.
func (s *Service) RotateWebhookSecret(ctx context.Context, req *partnersv1.RotateWebhookSecretRequest) (*partnersv1.IssuedWebhook, error) {
	if err := s.hasKeys(); err != nil {
		return nil, err
	}
	var made secretOf
	out, err := change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.IssuedWebhook, error) {
		row, err := heldWebhook(ctx, tx, req.GetWebhookId())
		if err != nil {
			return nil, err
		}
		made = secretOf{row.ID, newSecret()}
		overlap := time.Duration(req.GetOverlapHours()) * time.Hour
		row.PreviousSecret, row.PreviousUntil = "", 0
		if overlap > 0 {
			row.PreviousSecret, row.PreviousUntil = row.Secret, sqldb.Micros(tx.Now().Add(overlap))
		}
		row.Secret = s.keys.Seal([]byte(made.text), row.ID)
		if err := store.UpdateWebhook(ctx, tx.Tx, &row); err != nil {
			return nil, err
		}
		out := &partnersv1.IssuedWebhook{Webhook: webhookToProto(&row, 0, sqldb.Micros(tx.Now()))}
		return out, announceWebhook(ctx, tx, &row, fmt.Sprintf("made a new secret, with %s of overlap, for the webhook", overlap))
	})
	if err != nil || made.text == "" {
		return out, err
	}
	// A run that came to nothing may have made another secret for the same webhook, so what is told is held against what is stored.
	signs, err := s.signsWith(ctx, made)
	if err == nil && !signs {
		made = secretOf{}
	}
	return told(out, err, made)
}

// signsWith tells whether a secret is that of its webhook.
func (s *Service) signsWith(ctx context.Context, made secretOf) (signs bool, err error) {
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		row, err := store.Webhook(ctx, q, made.id)
		if err != nil || row.Secret == "" {
			return err
		}
		secret, err := s.keys.Open(row.Secret, row.ID)
		signs = subtle.ConstantTimeCompare(secret, []byte(made.text)) == 1
		return err
	})
	return signs, err
}

// SetWebhookState enables a webhook, disables it, or removes it for good.
func (s *Service) SetWebhookState(ctx context.Context, req *partnersv1.SetWebhookStateRequest) (*partnersv1.Webhook, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.Webhook, error) {
		row, err := heldWebhook(ctx, tx, req.GetWebhookId())
		if err != nil {
			return nil, err
		}
		switch req.GetState() {
		case partnersv1.WebhookState_WEBHOOK_REMOVED:
			err = removeWebhook(ctx, tx, &row, "removed the webhook ("+req.GetReason()+")")
		case partnersv1.WebhookState_WEBHOOK_DISABLED:
			err = disableWebhook(ctx, tx, &row, partnersv1.DisabledCause_DISABLED_BY_REQUEST, "disabled the webhook ("+req.GetReason()+")")
		default:
			err = enableWebhook(ctx, tx, &row, "enabled the webhook ("+req.GetReason()+")")
		}
		if err != nil {
			return nil, err
		}
		waiting, err := store.Waiting(ctx, tx, []string{row.ID})
		return webhookToProto(&row, waiting[row.ID], sqldb.Micros(tx.Now())), err
	})
}

func enableWebhook(ctx context.Context, tx *change.Tx, r *store.WebhookRow, summary string) error {
	r.State, r.DisabledCause = partnersv1.WebhookState_WEBHOOK_ACTIVE, 0
	if err := store.UpdateWebhook(ctx, tx.Tx, r); err != nil {
		return err
	}
	var err error
	if r.FailingSince, err = store.SetFailing(ctx, tx.Tx, r.ID, 0); err != nil {
		return err
	}
	tx.Raise(webhookTopic)
	return announceWebhook(ctx, tx, r, summary)
}

func disableWebhook(ctx context.Context, tx *change.Tx, r *store.WebhookRow, cause partnersv1.DisabledCause, summary string) error {
	r.State, r.DisabledCause = partnersv1.WebhookState_WEBHOOK_DISABLED, cause
	if err := store.UpdateWebhook(ctx, tx.Tx, r); err != nil {
		return err
	}
	return announceWebhook(ctx, tx, r, summary)
}

// removeWebhook ends a webhook and what waits for it, and forgets its secrets. The partner is locked.
func removeWebhook(ctx context.Context, tx *change.Tx, r *store.WebhookRow, summary string) error {
	r.State, r.Secret, r.PreviousSecret, r.PreviousUntil = partnersv1.WebhookState_WEBHOOK_REMOVED, "", "", 0
	if err := store.UpdateWebhook(ctx, tx.Tx, r); err != nil {
		return err
	}
	if err := store.CancelDeliveries(ctx, tx.Tx, r.ID, sqldb.Micros(tx.Now())); err != nil {
		return err
	}
	return announceWebhook(ctx, tx, r, summary)
}

// ListWebhooks returns webhooks that were not removed.
func (s *Service) ListWebhooks(ctx context.Context, req *partnersv1.ListWebhooksRequest) (*partnersv1.ListWebhooksResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	out := new(partnersv1.ListWebhooksResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		f, err := visibleOf(ctx, q, req.GetPartnerId())
		if err != nil {
			return err
		}
		f.Before, f.Limit = before, size+1
		rows, err := store.Webhooks(ctx, q, f)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.WebhookRow) string { return r.ID })
		ids := make([]string, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		waiting, err := store.Waiting(ctx, q, ids)
		for i := range rows {
			out.Webhooks = append(out.Webhooks, webhookToProto(&rows[i], waiting[rows[i].ID], sqldb.Micros(s.db.Now())))
		}
		return err
	})
	return out, err
}

// ListDeliveries returns the delivery log of a webhook.
func (s *Service) ListDeliveries(ctx context.Context, req *partnersv1.ListDeliveriesRequest) (*partnersv1.ListDeliveriesResponse, error) {
	before, err := page.Key(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize(), defaultPage)
	out := new(partnersv1.ListDeliveriesResponse)
	err = s.db.Read(ctx, func(q sqldb.Querier) error {
		if _, err := seenWebhook(ctx, q, req.GetWebhookId()); err != nil {
			return err
		}
		rows, err := store.Deliveries(ctx, q, req.GetWebhookId(), req.GetState(), before, size+1)
		if err != nil {
			return err
		}
		rows, out.NextPageToken = page.Cut(rows, size, func(r store.DeliveryRow) string { return r.ID })
		byID, ids := make(map[string]*partnersv1.Delivery), make([]string, len(rows))
		for i := range rows {
			d := deliveryToProto(&rows[i])
			out.Deliveries, byID[d.GetDeliveryId()], ids[i] = append(out.Deliveries, d), d, d.GetDeliveryId()
		}
		attempts, err := store.Attempts(ctx, q, ids)
		for i := range attempts {
			d := byID[attempts[i].DeliveryID]
			d.Attempts = append(d.Attempts, attemptToProto(&attempts[i]))
		}
		return err
	})
	return out, err
}

// RedeliverEvents sends events once more.
func (s *Service) RedeliverEvents(ctx context.Context, req *partnersv1.RedeliverEventsRequest) (*partnersv1.RedeliverEventsResponse, error) {
	return change.Do(ctx, s.db, req, func(ctx context.Context, tx *change.Tx) (*partnersv1.RedeliverEventsResponse, error) {
		webhook, err := heldWebhook(ctx, tx, req.GetWebhookId())
		if err != nil {
			return nil, err
		}
		grant, err := grantInForce(ctx, tx, webhook.PartnerID, webhook.CommissionerCode)
		if err != nil {
			return nil, err
		}
		since, what := micros(req.GetSince()), "events since "+req.GetSince().AsTime().Format(time.RFC3339)
		if id := req.GetDeliveryId(); id != "" {
			what = "delivery " + id
			row, err := store.Delivery(ctx, tx, webhook.ID, id)
			if isMissing(err) {
				return nil, notFound(reasonDeliveryNotFound, "delivery", id)
			}
			if err != nil {
				return nil, err
			}
			if err := (rules.Scope{row.Type}).Within(grant.Scope); err != nil {
				return nil, err
			}
			if _, err := store.Event(ctx, tx, row.Source, row.EventID); isMissing(err) {
				return nil, fault.New(fault.Refused, reasonPayloadNotKept, "the event came more than %d days ago: read it from the stream, or from its service", payloadKeep/(24*time.Hour))
			} else if err != nil {
				return nil, err
			}
		}
		granted, _ := catalogue().Split(grant.Scope)
		n, err := store.Redeliver(ctx, tx.Tx, webhook.ID, req.GetDeliveryId(), since, granted)
		if err != nil {
			return nil, err
		}
		tx.Raise(webhookTopic)
		out := &partnersv1.RedeliverEventsResponse{Events: int32(min(n, 1<<31-1))} //nolint:gosec // bounded
		return out, tx.Record(ctx, "partners/webhooks/"+webhook.ID, webhook.CommissionerCode, fmt.Sprintf("had %s sent once more: %d", what, n))
	})
}
