// Package natsauth makes the keys, accounts and users of a NATS broker in operator mode.
//
// There are three accounts. The suite's services and their streams share one; each service is a user that may publish its own
// events, look after its own stream and take from the consumers it was named, and nothing else. Partners are in a second, which
// imports of the first only the calls that fetch from a consumer, describe it and acknowledge: a reply that a partner asks for
// stays in the account of partners, wherever the partner points it. The third is the broker's own system account.
package natsauth
