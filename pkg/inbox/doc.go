// Package inbox takes events in so that each has its effect once and in order, and so that one that cannot be handled holds up
// nothing but its own aggregate. It is the other end of package outbox: [Inbox.Take] is fed by a consumer of the broker, such as
// bus.Consume, and says of each message what the broker is to be told.
//
// Effect, event id and last sequence of the aggregate are written in one transaction, and the message is acknowledged after its
// commit. An id that was seen has no second effect. Events are handled in batches; a batch that fails is done again one by one.
//
// Within an aggregate the sequence decides. The next number is handled. A higher one is parked: stored, acknowledged, and taken up
// when the gap is filled. A lower one under an id not seen, such as one that fills a gap which a person has accepted, goes to
// the handler too, which has to be idempotent by its own keys.
//
// An event that fails is not lost and does not come again from the broker:
//   - A Busy fault or an ended context says nothing about the event. Nothing is stored, and the broker delivers it later.
//   - An Invalid or Refused fault, attributes or a payload that cannot be read, and a type or version not known put it in
//     quarantine at once.
//   - After any other error, a panic among them, it is parked and tried again after 1 s, 5 s, 30 s, 2 min and 10 min; the sixth
//     failure puts it in quarantine. The database counts, so that restarts, replicas and outages change nothing about it.
//
// Later events of the aggregate park behind it. A quarantined event leaves by [Inbox.Release], by [Inbox.Discard], or by being
// sent again: the new delivery takes the place of the old and is tried at once.
//
// Any number of processes may take in for one database; one transaction at a time works on the inbox.
package inbox
