package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	optionsv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/options/v1"
	partnersv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/partners/v1"
)

type partnerCommand struct {
	Add        partnerAddCommand        `cmd:"" help:"Propose a partner with its first grant, which another person confirms."`
	Grant      partnerGrantCommand      `cmd:"" help:"Propose what a partner may have of a commissioner's events, in place of what it has."`
	Confirm    partnerConfirmCommand    `cmd:"" help:"Confirm a grant that another person proposed."`
	Revoke     partnerRevokeCommand     `cmd:"" help:"Take a grant back, with its credentials and webhooks."`
	End        partnerEndCommand        `cmd:"" help:"Take everything back that a partner has."`
	List       partnerListCommand       `cmd:"" help:"List partners with their grants, credentials and webhooks."`
	Replay     partnerReplayCommand     `cmd:"" help:"Have the consumers of a partner start again from a moment."`
	Credential partnerCredentialCommand `cmd:"" help:"Issue, rotate and revoke credentials for the broker."`
	Webhook    partnerWebhookCommand    `cmd:"" help:"Add webhooks, rotate their secrets, see what was delivered, and deliver it once more."`
}

// asPartnerStaff calls fn as somebody who decides about partners. With the local key, whoever confirms is another than who proposes.
func (c *client) asPartnerStaff(fn func(partnersv1.PartnersServiceClient) error) error {
	return c.withClients(optionsv1.Role_ROLE_FINANCE_APPROVER, func(suite clients) error { return fn(suite.partners) })
}

type partnerAddCommand struct {
	client       `embed:""`
	Name         string   `arg:"" help:"Name of the organisation and its system."`
	Events       []string `arg:"" help:"Events, such as pcnfunding.payments.v1.PaymentApproved, or pcnfunding.payments.v1.* for all of a service."`
	Commissioner string   `help:"Commissioner whose events are granted." required:""`
	Email        string   `help:"Mailbox of the organisation." required:""`
	Subject      string   `help:"Subject of the tokens with which the partner calls the suite."`
	National     bool     `help:"Make it a national partner, to which other commissioners may grant their events too."`
}

// Run proposes the partner.
func (c *partnerAddCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		req := &partnersv1.AddPartnerRequest{
			RequestId: newRequestID(), CommissionerCode: c.Commissioner, GrantCommissionerCode: c.Commissioner, Name: c.Name, ContactEmail: c.Email, Subject: c.Subject, EventTypes: c.Events,
		}
		if c.National {
			req.CommissionerCode = ""
		}
		p, err := service.AddPartner(ctx, req)
		if err != nil {
			return err
		}
		fmt.Printf("proposed partner %s; another person confirms it: pcnfunding partner confirm %s\n", p.GetPartnerId(), p.GetGrants()[0].GetGrantId())
		return nil
	})
}

type partnerGrantCommand struct {
	client       `embed:""`
	Partner      string   `arg:"" help:"Partner."`
	Events       []string `arg:"" help:"All events that it is to have."`
	Commissioner string   `help:"Commissioner whose events are granted." required:""`
}

// Run proposes the grant.
func (c *partnerGrantCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		g, err := service.ProposeGrant(ctx, &partnersv1.ProposeGrantRequest{
			RequestId: newRequestID(), PartnerId: c.Partner, CommissionerCode: c.Commissioner, EventTypes: c.Events,
		})
		if err == nil {
			fmt.Printf("proposed; another person confirms it: pcnfunding partner confirm %s\n", g.GetGrantId())
		}
		return err
	})
}

type partnerConfirmCommand struct {
	client `embed:""`
	Grant  string `arg:"" help:"Grant."`
}

// Run confirms the grant.
func (c *partnerConfirmCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_OPERATOR, func(suite clients) error {
		g, err := suite.partners.ConfirmGrant(ctx, &partnersv1.ConfirmGrantRequest{RequestId: newRequestID(), GrantId: c.Grant})
		if err == nil {
			fmt.Printf("partner %s may have of %s: %s\n", g.GetPartnerId(), g.GetCommissionerCode(), strings.Join(g.GetEventTypes(), " "))
		}
		return err
	})
}

type partnerRevokeCommand struct {
	client `embed:""`
	Grant  string `arg:"" help:"Grant."`
	Reason string `help:"Why." required:""`
}

// Run revokes the grant.
func (c *partnerRevokeCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		_, err := service.RevokeGrant(ctx, &partnersv1.RevokeGrantRequest{RequestId: newRequestID(), GrantId: c.Grant, Reason: c.Reason})
		return err
	})
}

type partnerEndCommand struct {
	client  `embed:""`
	Partner string `arg:"" help:"Partner."`
	Reason  string `help:"Why." required:""`
}

// Run ends the partner.
func (c *partnerEndCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		_, err := service.EndPartner(ctx, &partnersv1.EndPartnerRequest{RequestId: newRequestID(), PartnerId: c.Partner, Reason: c.Reason})
		return err
	})
}

type partnerReplayCommand struct {
	client       `embed:""`
	Partner      string    `arg:"" help:"Partner."`
	Commissioner string    `help:"Commissioner whose events are wanted again." required:""`
	Since        time.Time `help:"Moment, such as 2026-01-01T00:00:00Z." required:""`
}

// Run has the consumers start again.
func (c *partnerReplayCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		out, err := service.ReplayEvents(ctx, &partnersv1.ReplayEventsRequest{
			RequestId: newRequestID(), PartnerId: c.Partner, CommissionerCode: c.Commissioner, Since: timestamppb.New(c.Since),
		})
		for _, consumer := range out.GetConsumers() {
			fmt.Println(consumer.GetStream(), consumer.GetDurable())
		}
		return err
	})
}

type partnerListCommand struct {
	client       `embed:""`
	Commissioner string `help:"Only partners of this commissioner."`
}

// Run prints partners with what they have.
func (c *partnerListCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		req := &partnersv1.ListPartnersRequest{CommissionerCode: c.Commissioner, PageSize: samplePage}
		for {
			answer, err := suite.partners.ListPartners(ctx, req)
			if err != nil {
				return err
			}
			for _, p := range answer.GetPartners() {
				if err := tellPartner(ctx, w, suite.partners, p); err != nil {
					return err
				}
			}
			if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
				return w.Flush()
			}
		}
	})
}

// tellPartner prints a partner with what it has, newest first and at most a page of it.
func tellPartner(ctx context.Context, w io.Writer, service partnersv1.PartnersServiceClient, p *partnersv1.Partner) error {
	_, _ = fmt.Fprintf(w, "partner\t%s\t%s\t%s\t%s\n", p.GetPartnerId(), short(p.GetState(), "PARTNER_"), orNational(p.GetCommissionerCode()), p.GetName())
	for _, g := range p.GetGrants() {
		_, _ = fmt.Fprintf(w, "  grant\t%s\t%s\t%s\t%s\n", g.GetGrantId(), short(g.GetState(), "GRANT_"), g.GetCommissionerCode(), strings.Join(g.GetEventTypes(), " "))
	}
	credentials, err := service.ListCredentials(ctx, &partnersv1.ListCredentialsRequest{PartnerId: p.GetPartnerId()})
	if err != nil {
		return err
	}
	for _, k := range credentials.GetCredentials() {
		_, _ = fmt.Fprintf(w, "  credential\t%s\t%s\t%s\tuntil %s\n", k.GetCredentialId(), short(k.GetState(), "CREDENTIAL_"), k.GetCommissionerCode(), endOf(k))
	}
	webhooks, err := service.ListWebhooks(ctx, &partnersv1.ListWebhooksRequest{PartnerId: p.GetPartnerId()})
	if err != nil {
		return err
	}
	for _, h := range webhooks.GetWebhooks() {
		_, _ = fmt.Fprintf(w, "  webhook\t%s\t%s\t%s\t%s, %d waiting\n", h.GetWebhookId(), short(h.GetState(), "WEBHOOK_"), h.GetCommissionerCode(), h.GetUrl(), h.GetWaiting())
	}
	return nil
}

// endOf writes when a credential stops working: the day on which it expires, or the moment for which it was ended before.
func endOf(k *partnersv1.Credential) string {
	if k.GetRevokedAt() != nil {
		return k.GetRevokedAt().AsTime().Format(time.RFC3339)
	}
	return k.GetExpiresAt().AsTime().Format(time.DateOnly)
}

// short writes the value of an enum without what all its values begin with.
func short(value fmt.Stringer, prefix string) string {
	return lower(strings.TrimPrefix(value.String(), prefix))
}

func orNational(commissioner string) string {
	if commissioner == "" {
		return "national"
	}
	return commissioner
}

type partnerCredentialCommand struct {
	Issue  partnerIssueCommand            `cmd:"" help:"Issue a credential, and write its file."`
	Rotate partnerRotateCommand           `cmd:"" help:"Issue a credential in the place of one, which goes on working for a while."`
	Revoke partnerRevokeCredentialCommand `cmd:"" help:"Have the broker refuse a credential from now on."`
}

// credsFile says where the file of a credential goes, and how long the credential works.
type credsFile struct {
	Out  string `help:"File to write; it must not be there yet." required:"" type:"path"`
	Days int    `help:"Days for which the credential works, at most 366." required:""`
}

func (f *credsFile) expires() *timestamppb.Timestamp {
	return timestamppb.New(time.Now().Add(time.Duration(f.Days) * 24 * time.Hour))
}

// with opens the file before the credential is made, lest it be made for nothing, and writes what fn returns, which cannot be had again.
func (f *credsFile) with(fn func() (*partnersv1.IssuedCredential, error)) (err error) {
	file, err := os.OpenFile(f.Out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the file of the credential: %w", err)
	}
	issued, err := fn()
	if err != nil {
		return errors.Join(err, file.Close(), os.Remove(f.Out))
	}
	_, err = file.WriteString(issued.GetCreds())
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the file of credential %s, which has to be revoked: %w", issued.GetCredential().GetCredentialId(), err)
	}
	fmt.Printf("credential %s until %s, in %s\n", issued.GetCredential().GetCredentialId(), issued.GetCredential().GetExpiresAt().AsTime().Format(time.DateOnly), f.Out)
	for _, consumer := range issued.GetCredential().GetConsumers() {
		fmt.Println(" ", consumer.GetStream(), consumer.GetDurable())
	}
	return nil
}

type partnerIssueCommand struct {
	client       `embed:""`
	credsFile    `embed:""`
	Partner      string `arg:"" help:"Partner."`
	Commissioner string `help:"Commissioner under whose grant it is issued." required:""`
}

// Run issues a credential.
func (c *partnerIssueCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		return c.with(func() (*partnersv1.IssuedCredential, error) {
			return service.IssueCredential(ctx, &partnersv1.IssueCredentialRequest{
				RequestId: newRequestID(), PartnerId: c.Partner, CommissionerCode: c.Commissioner, ExpiresAt: c.expires(),
			})
		})
	})
}

type partnerRotateCommand struct {
	client     `embed:""`
	credsFile  `embed:""`
	Credential string `arg:"" help:"Credential to be replaced."`
	Overlap    int32  `help:"Hours for which it goes on working, at most 168." default:"24"`
}

// Run rotates a credential.
func (c *partnerRotateCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		return c.with(func() (*partnersv1.IssuedCredential, error) {
			return service.RotateCredential(ctx, &partnersv1.RotateCredentialRequest{
				RequestId: newRequestID(), CredentialId: c.Credential, ExpiresAt: c.expires(), OverlapHours: c.Overlap,
			})
		})
	})
}

type partnerRevokeCredentialCommand struct {
	client     `embed:""`
	Credential string `arg:"" help:"Credential."`
	Reason     string `help:"Why." required:""`
}

// Run revokes a credential.
func (c *partnerRevokeCredentialCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		_, err := service.RevokeCredential(ctx, &partnersv1.RevokeCredentialRequest{RequestId: newRequestID(), CredentialId: c.Credential, Reason: c.Reason})
		return err
	})
}

type partnerWebhookCommand struct {
	Add        webhookAddCommand        `cmd:"" help:"Have events sent to an address, and print the secret of its signatures."`
	Rotate     webhookRotateCommand     `cmd:"" help:"Make a new secret, beside which the one before signs for a while, and print it."`
	Set        webhookSetCommand        `cmd:"" help:"Enable, disable or remove a webhook."`
	Deliveries webhookDeliveriesCommand `cmd:"" help:"Print the newest of the delivery log."`
	Redeliver  webhookRedeliverCommand  `cmd:"" help:"Send a delivery, or all since a moment, once more."`
}

type webhookAddCommand struct {
	client       `embed:""`
	Partner      string   `arg:"" help:"Partner."`
	URL          string   `arg:"" name:"url" help:"Address, https."`
	Events       []string `arg:"" help:"Events, all of them granted."`
	Commissioner string   `help:"Commissioner whose events are sent." required:""`
}

// Run adds the webhook.
func (c *webhookAddCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		return tellSecret(service.AddWebhook(ctx, &partnersv1.AddWebhookRequest{
			RequestId: newRequestID(), PartnerId: c.Partner, CommissionerCode: c.Commissioner, Url: c.URL, EventTypes: c.Events,
		}))
	})
}

func tellSecret(issued *partnersv1.IssuedWebhook, err error) error {
	if err == nil {
		fmt.Printf("webhook %s\nsecret, which is not shown again: %s\n", issued.GetWebhook().GetWebhookId(), issued.GetSecret())
	}
	return err
}

type webhookRotateCommand struct {
	client  `embed:""`
	Webhook string `arg:"" help:"Webhook."`
	Overlap int32  `help:"Hours for which the present secret signs too, at most 168." default:"24"`
}

// Run rotates the secret.
func (c *webhookRotateCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		return tellSecret(service.RotateWebhookSecret(ctx, &partnersv1.RotateWebhookSecretRequest{RequestId: newRequestID(), WebhookId: c.Webhook, OverlapHours: c.Overlap}))
	})
}

type webhookSetCommand struct {
	client  `embed:""`
	Webhook string `arg:"" help:"Webhook."`
	State   string `arg:"" help:"active, disabled or removed." enum:"active,disabled,removed"`
	Reason  string `help:"Why." required:""`
}

// Run changes the state.
func (c *webhookSetCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		_, err := service.SetWebhookState(ctx, &partnersv1.SetWebhookStateRequest{
			RequestId: newRequestID(), WebhookId: c.Webhook, State: partnersv1.WebhookState(partnersv1.WebhookState_value["WEBHOOK_"+strings.ToUpper(c.State)]), Reason: c.Reason,
		})
		return err
	})
}

type webhookDeliveriesCommand struct {
	client  `embed:""`
	Webhook string `arg:"" help:"Webhook."`
	State   string `help:"Only those in this state: waiting, delivered, given_up or cancelled." enum:",waiting,delivered,given_up,cancelled" default:""`
}

// Run prints the log as a table.
func (c *webhookDeliveriesCommand) Run(ctx context.Context) error {
	return c.withClients(optionsv1.Role_ROLE_AUDITOR, func(suite clients) error {
		answer, err := suite.partners.ListDeliveries(ctx, &partnersv1.ListDeliveriesRequest{
			WebhookId: c.Webhook, State: partnersv1.DeliveryState(partnersv1.DeliveryState_value["DELIVERY_"+strings.ToUpper(c.State)]),
		})
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "delivery\tevent\ttype\tstate\tattempts\tlast\tnext")
		for _, d := range answer.GetDeliveries() {
			last, next := "", ""
			if n := len(d.GetAttempts()); n > 0 {
				last = short(d.GetAttempts()[n-1].GetOutcome(), "ATTEMPT_")
			}
			if d.GetNextAt() != nil {
				next = d.GetNextAt().AsTime().Format(time.DateTime)
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.GetDeliveryId(), d.GetEventId(), d.GetType(), short(d.GetState(), "DELIVERY_"), len(d.GetAttempts()), last, next)
		}
		return w.Flush()
	})
}

type webhookRedeliverCommand struct {
	client   `embed:""`
	Webhook  string    `arg:"" help:"Webhook."`
	Delivery string    `help:"Delivery, as deliveries showed it." xor:"what" required:""`
	Since    time.Time `help:"Moment, such as 2026-01-01T00:00:00Z." xor:"what" required:""`
}

// Run has events sent once more.
func (c *webhookRedeliverCommand) Run(ctx context.Context) error {
	return c.asPartnerStaff(func(service partnersv1.PartnersServiceClient) error {
		req := &partnersv1.RedeliverEventsRequest{RequestId: newRequestID(), WebhookId: c.Webhook, DeliveryId: c.Delivery}
		if c.Delivery == "" {
			req.Since = timestamppb.New(c.Since)
		}
		out, err := service.RedeliverEvents(ctx, req)
		if err == nil {
			fmt.Printf("%d events are sent once more\n", out.GetEvents())
		}
		return err
	})
}
