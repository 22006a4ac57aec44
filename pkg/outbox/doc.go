// Package outbox publishes events without losing one: [Add] writes the event in the transaction of the change it tells of, and a
// [Relay] sends what is written to the broker and marks what the broker has acknowledged.
//
// Delivery is at least once. Events of one aggregate carry a sequence without gaps, counted up in the same transaction, and a
// consumer uses it to put them in order. The database stays the record: a sent row is kept for 13 months ([Prune]) and can be
// sent again ([Reemit], [ReemitSince]), under the same event id but a new message id, since the broker drops in silence what
// bears a message id it has seen.
//
// On the wire an event is a CloudEvent 1.0 in binary mode: its attributes are headers, its data is the protobuf message.
package outbox
