package partners_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
	"github.com/pcnfunding/pcnfunding/services/partners"
)

func TestGrant_TakesTwoPersons(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.add(t, allOfCore)
		grant := p.GetGrants()[0]
		require.Equal(t, partnersv1.PartnerState_PARTNER_PROPOSED, p.GetState())
		require.Equal(t, partnersv1.GrantState_GRANT_PROPOSED, grant.GetState())
		_, err := s.partners.ConfirmGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant.GetGrantId()})
		require.Equal(t, "CONFIRMER_IS_PROPOSER", refused(t, err))
		_, err = s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90),
		})
		require.Equal(t, "GRANT_REQUIRED", refused(t, err), "a proposal gives nothing")
		confirmed := s.confirm(t, grant.GetGrantId())
		require.Equal(t, partnersv1.GrantState_GRANT_IN_FORCE, confirmed.GetState())
		require.Equal(t, "second@example.test", confirmed.GetConfirmedBy())
		_, err = s.partners.ConfirmGrant(s.as(t, second("QWE")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant.GetGrantId()})
		require.Equal(t, "GRANT_NOT_PROPOSED", refused(t, err))
		got, err := s.partners.GetPartner(s.as(t, testkit.Auditor("QWE")), &partnersv1.GetPartnerRequest{PartnerId: p.GetPartnerId()})
		require.NoError(t, err)
		require.Equal(t, partnersv1.PartnerState_PARTNER_ACTIVE, got.GetState())
		require.Len(t, got.GetGrants(), 1)
	})
}

func TestGrant_ReplacesTheOneBefore(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		propose := func(types ...string) *partnersv1.Grant {
			out, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{
				RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", EventTypes: types,
			})
			require.NoError(t, err)
			return out
		}
		dropped, wider := propose(settingChange), propose(allOfCore, "pcnfunding.payments.v1.PaymentApproved")
		_, err := s.partners.ConfirmGrant(s.as(t, second("QWE")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: dropped.GetGrantId()})
		require.Equal(t, "GRANT_NOT_PROPOSED", refused(t, err), "another proposal took its place")
		s.confirm(t, wider.GetGrantId())
		got, err := s.partners.GetPartner(s.as(t, testkit.Auditor("QWE")), &partnersv1.GetPartnerRequest{PartnerId: p.GetPartnerId()})
		require.NoError(t, err)
		require.Len(t, got.GetGrants(), 1)
		require.Equal(t, []string{allOfCore, "pcnfunding.payments.v1.PaymentApproved"}, got.GetGrants()[0].GetEventTypes())
	})
}

func TestGrant_IsOfKnownEventsOfKnownCommissioners(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		for reason, req := range map[string]*partnersv1.AddPartnerRequest{
			"EVENT_TYPE_NOT_KNOWN":        {CommissionerCode: "QWE", EventTypes: []string{"pcnfunding.partners.v1.WebhookChanged"}},
			"COMMISSIONER_UNKNOWN":        {CommissionerCode: "QXX", EventTypes: []string{rateAdded}},
			"COMMISSIONER_NOT_OF_PARTNER": {CommissionerCode: "QWE", GrantCommissionerCode: "QHM", EventTypes: []string{rateAdded}},
		} {
			req.RequestId, req.Name, req.ContactEmail = s.next(), "Data platform", "platform@example.test"
			_, err := s.partners.AddPartner(s.as(t, testkit.Approver("*")), req)
			require.Equal(t, reason, refused(t, err))
		}
		for _, code := range []string{"L83001", "england"} {
			_, err := s.partners.AddPartner(s.as(t, testkit.Operator()), &partnersv1.AddPartnerRequest{
				RequestId: s.next(), Name: "Data platform", ContactEmail: "platform@example.test", GrantCommissionerCode: code, EventTypes: []string{rateAdded},
			})
			require.Equal(t, "COMMISSIONER_UNKNOWN", refused(t, err), code)
		}
	})
}

// TestScope_EndsAtTheCommissioner goes through what an approver of QHM might try on a partner of QWE, and one of QWE on events of QHM.
func TestScope_EndsAtTheCommissioner(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, allOfCore)
		grant, credential := p.GetGrants()[0].GetGrantId(), s.issue(t, p).GetCredential().GetCredentialId()
		webhook := s.hook(t, p, "https://127.0.0.1:1/hook", rateAdded).GetWebhook().GetWebhookId()
		id := p.GetPartnerId()
		other := func() auth.Principal { return testkit.Approver("QHM") }
		for name, try := range map[string]func() error{
			"get": func() error {
				_, err := s.partners.GetPartner(s.as(t, other()), &partnersv1.GetPartnerRequest{PartnerId: id})
				return err
			},
			"end": func() error {
				_, err := s.partners.EndPartner(s.as(t, other()), &partnersv1.EndPartnerRequest{RequestId: s.next(), PartnerId: id, Reason: "x"})
				return err
			},
			"grant own events": func() error {
				_, err := s.partners.ProposeGrant(s.as(t, other()), &partnersv1.ProposeGrantRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QHM", EventTypes: []string{rateAdded}})
				return err
			},
			"grant QWE's events": func() error {
				_, err := s.partners.ProposeGrant(s.as(t, other()), &partnersv1.ProposeGrantRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QWE", EventTypes: []string{rateAdded}})
				return err
			},
			"grant QHM's events as QWE": func() error {
				_, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QHM", EventTypes: []string{rateAdded}})
				return err
			},
			"confirm": func() error {
				_, err := s.partners.ConfirmGrant(s.as(t, other()), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant})
				return err
			},
			"revoke a grant": func() error {
				_, err := s.partners.RevokeGrant(s.as(t, other()), &partnersv1.RevokeGrantRequest{RequestId: s.next(), GrantId: grant, Reason: "x"})
				return err
			},
			"issue": func() error {
				_, err := s.partners.IssueCredential(s.as(t, other()), &partnersv1.IssueCredentialRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QHM", ExpiresAt: s.in(1)})
				return err
			},
			"rotate": func() error {
				_, err := s.partners.RotateCredential(s.as(t, other()), &partnersv1.RotateCredentialRequest{RequestId: s.next(), CredentialId: credential, ExpiresAt: s.in(1)})
				return err
			},
			"revoke a credential": func() error {
				_, err := s.partners.RevokeCredential(s.as(t, other()), &partnersv1.RevokeCredentialRequest{RequestId: s.next(), CredentialId: credential, Reason: "x"})
				return err
			},
			"replay": func() error {
				_, err := s.partners.ReplayEvents(s.as(t, other()), &partnersv1.ReplayEventsRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QWE", Since: s.in(-1)})
				return err
			},
			"add a webhook": func() error {
				_, err := s.partners.AddWebhook(s.as(t, other()), &partnersv1.AddWebhookRequest{RequestId: s.next(), PartnerId: id, CommissionerCode: "QHM", Url: "https://a.example", EventTypes: []string{rateAdded}})
				return err
			},
			"rotate a secret": func() error {
				_, err := s.partners.RotateWebhookSecret(s.as(t, other()), &partnersv1.RotateWebhookSecretRequest{RequestId: s.next(), WebhookId: webhook})
				return err
			},
			"remove a webhook": func() error {
				_, err := s.partners.SetWebhookState(s.as(t, other()), &partnersv1.SetWebhookStateRequest{RequestId: s.next(), WebhookId: webhook, State: partnersv1.WebhookState_WEBHOOK_REMOVED, Reason: "x"})
				return err
			},
			"read the log": func() error {
				_, err := s.partners.ListDeliveries(s.as(t, other()), &partnersv1.ListDeliveriesRequest{WebhookId: webhook})
				return err
			},
			"redeliver": func() error {
				_, err := s.partners.RedeliverEvents(s.as(t, other()), &partnersv1.RedeliverEventsRequest{RequestId: s.next(), WebhookId: webhook, Since: s.in(-1)})
				return err
			},
			"credentials of a partner": func() error {
				_, err := s.partners.ListCredentials(s.as(t, other()), &partnersv1.ListCredentialsRequest{PartnerId: id})
				return err
			},
			"partners of another": func() error {
				_, err := s.partners.ListPartners(s.as(t, other()), &partnersv1.ListPartnersRequest{CommissionerCode: "QWE"})
				return err
			},
			"add a partner of another": func() error {
				_, err := s.partners.AddPartner(s.as(t, other()), &partnersv1.AddPartnerRequest{RequestId: s.next(), CommissionerCode: "QWE", Name: "x", ContactEmail: "a@b.example", EventTypes: []string{rateAdded}})
				return err
			},
		} {
			require.Equal(t, codes.NotFound, status.Code(try()), name)
		}
		for name, size := range map[string]func() (int, error){
			"partners": func() (int, error) {
				out, err := s.partners.ListPartners(s.as(t, other()), &partnersv1.ListPartnersRequest{})
				return len(out.GetPartners()), err
			},
			"credentials": func() (int, error) {
				out, err := s.partners.ListCredentials(s.as(t, other()), &partnersv1.ListCredentialsRequest{})
				return len(out.GetCredentials()), err
			},
			"webhooks": func() (int, error) {
				out, err := s.partners.ListWebhooks(s.as(t, other()), &partnersv1.ListWebhooksRequest{})
				return len(out.GetWebhooks()), err
			},
			"audit": func() (int, error) {
				out, err := s.partners.ListAuditEntries(s.as(t, other()), &partnersv1.ListAuditEntriesRequest{})
				return len(out.GetEntries()), err
			},
		} {
			n, err := size()
			require.NoError(t, err)
			require.Zero(t, n, name)
		}
		_, err := s.partners.AddPartner(s.as(t, testkit.Approver("QWE")), &partnersv1.AddPartnerRequest{
			RequestId: s.next(), Name: "x", ContactEmail: "a@b.example", GrantCommissionerCode: "QWE", EventTypes: []string{rateAdded},
		})
		require.Equal(t, auth.ReasonEnglandRequired, refused(t, err), "a national partner")
	})
}

// TestNationalPartner_HasAGrantOfEachCommissioner: each grants its own events, and sees neither the grants nor the credentials of others.
func TestNationalPartner_HasAGrantOfEachCommissioner(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p, err := s.partners.AddPartner(s.as(t, testkit.Operator()), &partnersv1.AddPartnerRequest{
			RequestId: s.next(), Name: "Payment agent", ContactEmail: "agent@example.test", GrantCommissionerCode: "QWE", EventTypes: []string{rateAdded},
		})
		require.NoError(t, err)
		s.confirm(t, p.GetGrants()[0].GetGrantId())
		grant, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QHM")), &partnersv1.ProposeGrantRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QHM", EventTypes: []string{allOfCore},
		})
		require.NoError(t, err)
		_, err = s.partners.ConfirmGrant(s.as(t, second("QWE")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant.GetGrantId()})
		require.Equal(t, "GRANT_NOT_FOUND", refused(t, err))
		_, err = s.partners.ConfirmGrant(s.as(t, second("QHM")), &partnersv1.ConfirmGrantRequest{RequestId: s.next(), GrantId: grant.GetGrantId()})
		require.NoError(t, err)
		got, err := s.partners.GetPartner(s.as(t, testkit.Approver("QHM")), &partnersv1.GetPartnerRequest{PartnerId: p.GetPartnerId()})
		require.NoError(t, err)
		require.Len(t, got.GetGrants(), 1)
		require.Equal(t, "QHM", got.GetGrants()[0].GetCommissionerCode())
		s.issue(t, p)
		require.Equal(t, []partners.Durable{{Stream: "PCNFUNDING_CORE", Name: "partner-" + p.GetPartnerId() + "-QWE"}}, s.authority.issued[0].Durables)
		list, err := s.partners.ListCredentials(s.as(t, testkit.Approver("QHM")), &partnersv1.ListCredentialsRequest{PartnerId: p.GetPartnerId()})
		require.NoError(t, err)
		require.Empty(t, list.GetCredentials())
		_, err = s.partners.EndPartner(s.as(t, testkit.Approver("QHM")), &partnersv1.EndPartnerRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), Reason: "x"})
		require.Equal(t, auth.ReasonEnglandRequired, refused(t, err))
	})
}

// TestIntegration_SeesItselfAlone: a partner's token reads its own partner, and another of the same commissioner reads nothing of it.
func TestIntegration_SeesItselfAlone(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, allOfCore)
		s.issue(t, p)
		webhook := s.hook(t, p, "https://127.0.0.1:1/hook", rateAdded).GetWebhook().GetWebhookId()
		own, stranger := testkit.Integration("QWE"), testkit.Integration("QWE")
		stranger.Subject = "stranger@example.test"
		for by, want := range map[*auth.Principal]int{&own: 1, &stranger: 0} {
			list, err := s.partners.ListPartners(s.as(t, *by), &partnersv1.ListPartnersRequest{})
			require.NoError(t, err)
			require.Len(t, list.GetPartners(), want)
			credentials, err := s.partners.ListCredentials(s.as(t, *by), &partnersv1.ListCredentialsRequest{})
			require.NoError(t, err)
			require.Len(t, credentials.GetCredentials(), want)
			webhooks, err := s.partners.ListWebhooks(s.as(t, *by), &partnersv1.ListWebhooksRequest{})
			require.NoError(t, err)
			require.Len(t, webhooks.GetWebhooks(), want)
			code := codes.NotFound
			if want == 1 {
				code = codes.OK
			}
			_, err = s.partners.GetPartner(s.as(t, *by), &partnersv1.GetPartnerRequest{PartnerId: p.GetPartnerId()})
			require.Equal(t, code, status.Code(err))
			_, err = s.partners.ListDeliveries(s.as(t, *by), &partnersv1.ListDeliveriesRequest{WebhookId: webhook})
			require.Equal(t, code, status.Code(err))
			_, err = s.partners.RedeliverEvents(s.as(t, *by), &partnersv1.RedeliverEventsRequest{RequestId: s.next(), WebhookId: webhook, Since: s.in(-1)})
			require.Equal(t, code, status.Code(err))
			_, err = s.partners.ReplayEvents(s.as(t, *by), &partnersv1.ReplayEventsRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", Since: s.in(-1)})
			require.Equal(t, code, status.Code(err))
			_, err = s.partners.IssueCredential(s.as(t, *by), &partnersv1.IssueCredentialRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(1)})
			require.Equal(t, codes.PermissionDenied, status.Code(err))
		}
		elsewhere := testkit.Integration("QHM")
		_, err := s.partners.GetPartner(s.as(t, elsewhere), &partnersv1.GetPartnerRequest{PartnerId: p.GetPartnerId()})
		require.Equal(t, codes.NotFound, status.Code(err), "the same subject without the commissioner")
	})
}

func TestCredential_IsToldOnce(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded, "pcnfunding.payments.v1.*")
		req := &partnersv1.IssueCredentialRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90)}
		first, err := s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), req)
		require.NoError(t, err)
		require.Contains(t, first.GetCreds(), fileContent)
		again, err := s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), req)
		require.NoError(t, err)
		require.Empty(t, again.GetCreds())
		require.Equal(t, first.GetCredential().GetCredentialId(), again.GetCredential().GetCredentialId())
		require.Len(t, s.authority.issued, 1)
		name := "partner-" + p.GetPartnerId() + "-QWE"
		require.Equal(t, partners.Grant{
			Partner: p.GetPartnerId(), Credential: first.GetCredential().GetCredentialId(), Expires: req.GetExpiresAt().AsTime(),
			Durables: []partners.Durable{{Stream: "PCNFUNDING_CORE", Name: name}, {Stream: "PCNFUNDING_PAYMENTS", Name: name}},
		}, s.authority.issued[0])
		require.NotContains(t, s.everything(t), fileContent)
	})
}

func TestCredential_EndsInTime(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		for name, at := range map[string]*timestamppb.Timestamp{"now": timestamppb.New(s.clock.Now()), "before": s.in(-1), "too late": s.in(367)} {
			_, err := s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
				RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: at,
			})
			require.Equal(t, "TIME_OUT_OF_RANGE", refused(t, err), name)
		}
		_, err := s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE"})
		require.Equal(t, codes.InvalidArgument, status.Code(err), "an end has to be named")
		c := s.issue(t, p).GetCredential()
		s.clock.Advance(91 * 24 * time.Hour)
		list, err := s.partners.ListCredentials(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListCredentialsRequest{})
		require.NoError(t, err)
		require.Equal(t, partnersv1.CredentialState_CREDENTIAL_EXPIRED, list.GetCredentials()[0].GetState())
		_, err = s.partners.RotateCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RotateCredentialRequest{RequestId: s.next(), CredentialId: c.GetCredentialId(), ExpiresAt: s.in(90)})
		require.Equal(t, "CREDENTIAL_OVER", refused(t, err))
	})
}

func TestCredential_RotatesWithAnOverlap(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		old := s.issue(t, p).GetCredential()
		rotated, err := s.partners.RotateCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RotateCredentialRequest{
			RequestId: s.next(), CredentialId: old.GetCredentialId(), ExpiresAt: s.in(90), OverlapHours: 24,
		})
		require.NoError(t, err)
		require.NotEmpty(t, rotated.GetCreds())
		require.Equal(t, old.GetConsumers()[0].GetDurable(), rotated.GetCredential().GetConsumers()[0].GetDurable(), "the new one goes on where the old one stops")
		states := func() (out []partnersv1.CredentialState) {
			list, err := s.partners.ListCredentials(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListCredentialsRequest{PartnerId: p.GetPartnerId()})
			require.NoError(t, err)
			for _, c := range list.GetCredentials() {
				out = append(out, c.GetState())
			}
			return out
		}
		require.Equal(t, []partnersv1.CredentialState{partnersv1.CredentialState_CREDENTIAL_ACTIVE, partnersv1.CredentialState_CREDENTIAL_ENDING}, states())
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		require.Empty(t, s.authority.revoked, "the old one still works")
		_, err = s.partners.RotateCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RotateCredentialRequest{RequestId: s.next(), CredentialId: old.GetCredentialId(), ExpiresAt: s.in(90)})
		require.Equal(t, "CREDENTIAL_OVER", refused(t, err))
		s.clock.Advance(24 * time.Hour)
		require.Equal(t, []partnersv1.CredentialState{partnersv1.CredentialState_CREDENTIAL_ACTIVE, partnersv1.CredentialState_CREDENTIAL_REVOKED}, states())
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		require.Len(t, s.authority.revoked, 1)
		require.Contains(t, s.authority.revoked, old.GetPublicKey())
	})
}

func TestCredential_IsRevokedAlsoWhereTheBrokerIsAway(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		c := s.issue(t, p).GetCredential()
		s.authority.away = true
		_, err := s.partners.RevokeCredential(s.as(t, second("QWE")), &partnersv1.RevokeCredentialRequest{RequestId: s.next(), CredentialId: c.GetCredentialId(), Reason: "leaked"})
		require.NoError(t, err)
		require.ErrorContains(t, s.service.ApplyToBroker(t.Context(), false), "the broker is away")
		cut := func() *timestamppb.Timestamp {
			list, err := s.partners.ListCredentials(s.as(t, testkit.Auditor("QWE")), &partnersv1.ListCredentialsRequest{})
			require.NoError(t, err)
			require.Equal(t, partnersv1.CredentialState_CREDENTIAL_REVOKED, list.GetCredentials()[0].GetState())
			return list.GetCredentials()[0].GetCutOffAt()
		}
		require.Nil(t, cut())
		s.authority.away = false
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		require.Contains(t, s.authority.revoked, c.GetPublicKey())
		require.NotNil(t, cut())
	})
}

// TestCredential_IsRevokedAgainWhereTheBrokerForgot: a broker that is set up anew, or restored, has no revocations.
func TestCredential_IsRevokedAgainWhereTheBrokerForgot(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		leaked, kept := s.issue(t, p).GetCredential(), s.issue(t, p).GetCredential()
		_, err := s.partners.RevokeCredential(s.as(t, second("QWE")), &partnersv1.RevokeCredentialRequest{RequestId: s.next(), CredentialId: leaked.GetCredentialId(), Reason: "leaked"})
		require.NoError(t, err)
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		clear(s.authority.revoked)
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		require.Empty(t, s.authority.revoked, "it is not asked all the time")
		require.NoError(t, s.service.ApplyToBroker(t.Context(), true))
		require.Contains(t, s.authority.revoked, leaked.GetPublicKey())
		require.NotContains(t, s.authority.revoked, kept.GetPublicKey())
		clear(s.authority.revoked)
		s.clock.Advance(91 * 24 * time.Hour)
		require.NoError(t, s.service.ApplyToBroker(t.Context(), true))
		require.Empty(t, s.authority.revoked, "one that has expired is refused anyway")
	})
}

func TestEndPartner_TakesEverythingBack(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, allOfCore)
		c := s.issue(t, p).GetCredential()
		webhook := s.hook(t, p, "https://127.0.0.1:1/hook", rateAdded).GetWebhook().GetWebhookId()
		s.tell(t, "QWE", "rate/QWE/a", 1)
		ended, err := s.partners.EndPartner(s.as(t, testkit.Approver("QWE")), &partnersv1.EndPartnerRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), Reason: "contract over"})
		require.NoError(t, err)
		require.Equal(t, partnersv1.PartnerState_PARTNER_ENDED, ended.GetState())
		require.NoError(t, s.service.ApplyToBroker(t.Context(), false))
		require.Contains(t, s.authority.revoked, c.GetPublicKey())
		require.Nil(t, s.state(t, webhook))
		require.Equal(t, partnersv1.DeliveryState_DELIVERY_CANCELLED, s.deliveries(t, webhook)[0].GetState())
		for name, try := range map[string]func() error{
			"PARTNER_OVER": func() error {
				_, err := s.partners.ProposeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.ProposeGrantRequest{RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", EventTypes: []string{rateAdded}})
				return err
			},
			"GRANT_OVER": func() error {
				_, err := s.partners.RevokeGrant(s.as(t, testkit.Approver("QWE")), &partnersv1.RevokeGrantRequest{RequestId: s.next(), GrantId: p.GetGrants()[0].GetGrantId(), Reason: "x"})
				return err
			},
			"CREDENTIAL_OVER": func() error {
				_, err := s.partners.RevokeCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RevokeCredentialRequest{RequestId: s.next(), CredentialId: c.GetCredentialId(), Reason: "x"})
				return err
			},
			"WEBHOOK_GONE": func() error {
				_, err := s.partners.RotateWebhookSecret(s.as(t, testkit.Approver("QWE")), &partnersv1.RotateWebhookSecretRequest{RequestId: s.next(), WebhookId: webhook})
				return err
			},
		} {
			require.Equal(t, name, refused(t, try()))
		}
	})
}

func TestIssueCredential_SaysWhatIsMissing(t *testing.T) {
	alone(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		s.deps.Authority = nil
		bare := partnersv1.NewPartnersServiceClient(testkit.Serve(t, partners.New(s.deps).Register))
		_, err := bare.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90),
		})
		require.Equal(t, "CREDENTIALS_NOT_CONFIGURED", refused(t, err))
		for range 5 {
			s.issue(t, p)
		}
		_, err = s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90),
		})
		require.Equal(t, "TOO_MANY", refused(t, err))
	})
}

func TestRotateCredential_HasRoomBesideAsManyAsMayWork(t *testing.T) {
	each(t, func(t *testing.T, s *suite) {
		p := s.partner(t, rateAdded)
		rotate := func(credential string) (*partnersv1.IssuedCredential, error) {
			return s.partners.RotateCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.RotateCredentialRequest{
				RequestId: s.next(), CredentialId: credential, ExpiresAt: s.in(90), OverlapHours: 24,
			})
		}
		var lasting []string
		for range 5 {
			lasting = append(lasting, s.issue(t, p).GetCredential().GetCredentialId())
		}
		for i, id := range lasting {
			rotated, err := rotate(id)
			require.NoError(t, err)
			lasting[i] = rotated.GetCredential().GetCredentialId()
		}
		_, err := rotate(lasting[0])
		require.Equal(t, "TOO_MANY", refused(t, err), "ten work, of which five end")
		_, err = s.partners.IssueCredential(s.as(t, testkit.Approver("QWE")), &partnersv1.IssueCredentialRequest{
			RequestId: s.next(), PartnerId: p.GetPartnerId(), CommissionerCode: "QWE", ExpiresAt: s.in(90),
		})
		require.Equal(t, "TOO_MANY", refused(t, err))
		s.clock.Advance(24 * time.Hour)
		_, err = rotate(lasting[0])
		require.NoError(t, err)
	})
}

// TestMigrations_ComeBeforeAndAfter: the schema can be made twice.
func TestMigrations_CanBeMadeTwice(t *testing.T) {
	t.Parallel()
	db := testkit.SQLite(t, sqldb.Options{})
	require.NoError(t, db.Migrate(t.Context(), partners.Migrations()))
	require.NoError(t, db.Migrate(t.Context(), partners.Migrations()))
}
