package partners

import (
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners/internal/store"
)

// timestamp is a moment as stored, absent for 0.
func timestamp(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(sqldb.FromMicros(micros))
}

// micros is a moment as stored, 0 where it is absent.
func micros(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return sqldb.Micros(t.AsTime())
}

func partnerToProto(r *store.PartnerRow) *partnersv1.Partner {
	return &partnersv1.Partner{
		PartnerId: r.ID, Name: r.Name, ContactEmail: r.ContactEmail, CommissionerCode: r.CommissionerCode, Subject: r.Subject, State: r.State,
		AddedBy: r.AddedBy, AddedAt: timestamp(r.AddedAt),
	}
}

func grantToProto(r *store.GrantRow) *partnersv1.Grant {
	return &partnersv1.Grant{
		GrantId: r.ID, PartnerId: r.PartnerID, CommissionerCode: r.CommissionerCode, EventTypes: r.Scope, State: r.State,
		ProposedBy: r.ProposedBy, ProposedAt: timestamp(r.ProposedAt), ConfirmedBy: r.ConfirmedBy, ConfirmedAt: timestamp(r.ConfirmedAt),
	}
}

func credentialToProto(r *store.CredentialRow, now int64) *partnersv1.Credential {
	out := &partnersv1.Credential{
		CredentialId: r.ID, PartnerId: r.PartnerID, CommissionerCode: r.CommissionerCode, PublicKey: r.PublicKey,
		IssuedBy: r.IssuedBy, IssuedAt: timestamp(r.IssuedAt), ExpiresAt: timestamp(r.ExpiresAt), RevokedAt: timestamp(r.RevokedAt), CutOffAt: timestamp(r.CutOffAt),
		ReplacedBy: r.ReplacedBy,
	}
	for _, d := range durables(r) {
		out.Consumers = append(out.Consumers, &partnersv1.Consumer{Stream: d.Stream, Durable: d.Name})
	}
	switch {
	case r.RevokedAt > 0 && r.RevokedAt <= now:
		out.State = partnersv1.CredentialState_CREDENTIAL_REVOKED
	case r.ExpiresAt <= now:
		out.State = partnersv1.CredentialState_CREDENTIAL_EXPIRED
	case r.RevokedAt > 0:
		out.State = partnersv1.CredentialState_CREDENTIAL_ENDING
	default:
		out.State = partnersv1.CredentialState_CREDENTIAL_ACTIVE
	}
	return out
}

// durables are the consumers that a credential may fetch from.
func durables(r *store.CredentialRow) []Durable {
	out := make([]Durable, len(r.Streams))
	for i, stream := range r.Streams {
		out[i] = Durable{Stream: stream, Name: durableOf(r.PartnerID, r.CommissionerCode)}
	}
	return out
}

func webhookToProto(r *store.WebhookRow, waiting, now int64) *partnersv1.Webhook {
	out := &partnersv1.Webhook{
		WebhookId: r.ID, PartnerId: r.PartnerID, CommissionerCode: r.CommissionerCode, Url: r.URL, EventTypes: r.Scope, State: r.State,
		DisabledCause: r.DisabledCause, FailingSince: timestamp(r.FailingSince), AddedBy: r.AddedBy, AddedAt: timestamp(r.AddedAt), Waiting: waiting,
	}
	if r.PreviousUntil > now {
		out.PreviousSecretUntil = timestamp(r.PreviousUntil)
	}
	return out
}

// webhookChanged is what others are told of a webhook. Paths of addresses are often secrets, so it names the host alone.
func webhookChanged(r *store.WebhookRow) *partnersv1.WebhookChanged {
	host := ""
	if u, err := url.Parse(r.URL); err == nil {
		host = u.Host
	}
	return &partnersv1.WebhookChanged{
		WebhookId: r.ID, PartnerId: r.PartnerID, CommissionerCode: r.CommissionerCode, Host: host, EventTypes: r.Scope, State: r.State,
		DisabledCause: r.DisabledCause, FailingSince: timestamp(r.FailingSince),
	}
}

func deliveryToProto(r *store.DeliveryRow) *partnersv1.Delivery {
	out := &partnersv1.Delivery{
		DeliveryId: r.ID, WebhookId: r.WebhookID, EventId: r.EventID, Type: r.Type, Source: r.Source, Aggregate: r.Aggregate, Sequence: r.Sequence,
		State: r.State, CreatedAt: timestamp(r.CreatedAt), SettledAt: timestamp(r.SettledAt),
	}
	if r.State == partnersv1.DeliveryState_DELIVERY_WAITING {
		out.NextAt = timestamp(r.NextAt)
	}
	return out
}

func attemptToProto(r *store.AttemptRow) *partnersv1.Attempt {
	return &partnersv1.Attempt{
		Number: int32(r.Number), At: timestamp(r.At), Outcome: r.Outcome, NextAt: timestamp(r.NextAt), //nolint:gosec // a few
		Duration: durationpb.New(time.Duration(r.DurationMicros) * time.Microsecond),
	}
}
