package partners

// Stable reason codes of what handlers refuse; those of scopes are in internal/rules. Together they equal the values of
// pcnfunding.partners.v1.Reason.
const (
	reasonPartnerNotFound     = "PARTNER_NOT_FOUND"
	reasonPartnerOver         = "PARTNER_OVER"
	reasonGrantNotFound       = "GRANT_NOT_FOUND"
	reasonGrantNotProposed    = "GRANT_NOT_PROPOSED"
	reasonGrantOver           = "GRANT_OVER"
	reasonConfirmerIsProposer = "CONFIRMER_IS_PROPOSER"
	reasonGrantRequired       = "GRANT_REQUIRED"
	reasonCommissionerUnknown = "COMMISSIONER_UNKNOWN"
	reasonCommissionerOther   = "COMMISSIONER_NOT_OF_PARTNER"
	reasonCredentialNotFound  = "CREDENTIAL_NOT_FOUND" //nolint:gosec // a reason, no credential
	reasonCredentialOver      = "CREDENTIAL_OVER"      //nolint:gosec // a reason, no credential
	reasonTimeOutOfRange      = "TIME_OUT_OF_RANGE"
	reasonCredentialsNotSet   = "CREDENTIALS_NOT_CONFIGURED"
	reasonTooMany             = "TOO_MANY"
	reasonWebhookNotFound     = "WEBHOOK_NOT_FOUND"
	reasonWebhookGone         = "WEBHOOK_GONE"
	reasonURLNotAllowed       = "URL_NOT_ALLOWED"
	reasonDeliveryNotFound    = "DELIVERY_NOT_FOUND"
	reasonPayloadNotKept      = "PAYLOAD_NOT_KEPT"
	reasonWebhooksNotSet      = "WEBHOOKS_NOT_CONFIGURED"
)
