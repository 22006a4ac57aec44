// Package partners says which systems of other organisations may follow which events, gives them credentials for the broker, and sends events
// to those that have none.
//
// A partner belongs to a commissioner, or to the nation. A grant lets it have events of one commissioner, with the national ones of the same
// types; one person proposes it and another confirms it. Under a grant stand credentials, whose holders fetch from durable consumers that the
// service keeps at the broker, and webhooks, to which the service posts. Neither the file of a credential nor the secret of a webhook is
// stored in clear, logged or told twice.
//
// Events come in by an inbox. Those that a webhook wants are kept for 30 days, with a delivery for each webhook; one process at a time works
// through the deliveries. A receiver gets each event at least once, and those of one aggregate in their order unless one is given up.
package partners
