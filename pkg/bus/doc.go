// Package bus connects to NATS JetStream, the broker of events: to a server elsewhere, or to one embedded in this process.
//
// A server that acknowledges before it has synced its file loses everything since the last flush in a power cut. The embedded
// server syncs each message. Of a server elsewhere, only its operator can say so: set sync_interval: always.
package bus
