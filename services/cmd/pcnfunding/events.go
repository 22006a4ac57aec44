package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

type eventsCommand struct {
	Check   eventsCheckCommand   `cmd:"" help:"Hold the events of the database against those of the stream, and fail if they differ."`
	Rebuild eventsRebuildCommand `cmd:"" help:"Publish once more every event since a moment, from the database; for a stream that was lost."`
	Adopt   eventsAdoptCommand   `cmd:"" help:"Take events that only the stream has into the database; for a database that was restored to a moment before them."`
}

// brokerFlags say where the streams are.
type brokerFlags struct {
	NATS  string `name:"nats" help:"Broker; that of serve all is at its --nats-listen." default:"nats://127.0.0.1:4222"`
	Creds string `name:"nats-creds" help:"Credentials file of the operator at the broker; without one that which serve all keeps in the data folder." type:"path"`
	CA    string `name:"nats-ca-file" help:"PEM file of the authorities that sign the broker's certificate; with it the connection is TLS." type:"path"`
	Cert  string `name:"nats-cert-file" help:"PEM file of the certificate shown to the broker, if it asks for one." type:"path"`
	Key   string `name:"nats-key-file" help:"PEM file of the key of --nats-cert-file." type:"path"`
}

// reachLimit is how long a command waits for the broker.
const reachLimit = 10 * time.Second

// with connects to the broker and calls fn.
func (b *brokerFlags) with(ctx context.Context, s *storage, fn func(jetstream.JetStream) error) error {
	broker, err := bus.Open(ctx, bus.Config{
		URL: b.NATS, User: operator(), CredentialsFile: cmp.Or(b.Creds, localCredentials(s.DataDir, operator())),
		CAFile: b.CA, CertFile: b.Cert, KeyFile: b.Key,
		Name: "pcnfunding-events", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer broker.Close()
	reach, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	if err := broker.Conn().FlushWithContext(reach); err != nil {
		return fmt.Errorf("the broker at %s (--nats) does not answer to %s (--nats-creds): %w", b.NATS, cmp.Or(b.Creds, localCredentials(s.DataDir, operator())),
			cmp.Or(broker.Conn().LastError(), err))
	}
	if _, err := broker.JetStream().AccountInfo(reach); err != nil {
		return fmt.Errorf("reach the streams at %s: %w", b.NATS, err)
	}
	return fn(broker.JetStream())
}

// eachService calls fn for each service chosen that has a database.
func eachService(ctx context.Context, s *storage, service string, fn func(name string, db *sqldb.DB) error) error {
	names, err := chosen(service)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == gatewayName {
			continue
		}
		db, err := s.open(ctx, name)
		if err != nil {
			return err
		}
		if err := errors.Join(fn(name, db), db.Close()); err != nil {
			return fmt.Errorf("events of %s: %w", name, err)
		}
	}
	return nil
}

type eventsRebuildCommand struct {
	storage     `embed:""`
	brokerFlags `embed:""`
	Service     string    `arg:"" help:"all, register, core, arrs, iif, devfund, activity, payments or partners."`
	Since       time.Time `help:"Moment, such as 2026-01-01T00:00:00Z; without one, all that is kept."`
	Replace     bool      `help:"Delete the stream first, with what only it has: for a suite that was restored as a whole to a moment before the stream."`
}

// Run puts the events back into the outbox; the relay of the running service publishes them.
func (e *eventsRebuildCommand) Run(ctx context.Context) error {
	rebuild := func(name string, db *sqldb.DB) error {
		n, err := outbox.ReemitSince(ctx, db, e.Since)
		if err == nil {
			fmt.Printf("%d events of %s wait to be published once more\n", n, name)
		}
		return err
	}
	if !e.Replace {
		return eachService(ctx, &e.storage, e.Service, rebuild)
	}
	return e.with(ctx, &e.storage, func(js jetstream.JetStream) error {
		return eachService(ctx, &e.storage, e.Service, func(name string, db *sqldb.DB) error {
			if err := js.DeleteStream(ctx, bus.ServiceStream(name).Name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return fmt.Errorf("delete stream %s: %w", bus.ServiceStream(name).Name, err)
			}
			return rebuild(name, db)
		})
	})
}

type eventsCheckCommand struct {
	storage     `embed:""`
	brokerFlags `embed:""`
	Service     string `arg:"" default:"all" help:"all, register, core, arrs, iif, devfund, activity, payments or partners."`
}

// Run prints how the events of each service differ between database and stream, and what to do.
func (e *eventsCheckCommand) Run(ctx context.Context) error {
	differ := 0
	err := e.with(ctx, &e.storage, func(js jetstream.JetStream) error {
		return eachService(ctx, &e.storage, e.Service, func(name string, db *sqldb.DB) error {
			d, err := compare(ctx, db, js, name)
			if err == nil {
				differ += d.missing + len(d.unknown)
				d.print(name)
			}
			return err
		})
	})
	if err == nil && differ > 0 {
		return fmt.Errorf("%d events differ between databases and streams", differ)
	}
	return err
}

// difference is how the events of a service differ.
type difference struct {
	same    int
	waiting int              // only in the database, and not published yet
	missing int              // only in the database, though they were published
	unknown []outbox.Message // only in the stream
}

func (d *difference) print(service string) {
	fmt.Printf("%s: %d events are in both, %d wait to be published\n", service, d.same, d.waiting)
	if d.missing > 0 {
		fmt.Printf("  %d were published and are not in the stream: pcnfunding events rebuild %s\n", d.missing, service)
	}
	if len(d.unknown) > 0 {
		fmt.Printf("  %d are in the stream only, so the database is older than the stream: pcnfunding events adopt %[2]s,\n"+
			"  or, where all services went back together, pcnfunding events rebuild %[2]s --replace\n", len(d.unknown), service)
	}
	const shown = 5
	for i, m := range d.unknown {
		if i == shown {
			fmt.Printf("    and %d more\n", len(d.unknown)-shown)
			break
		}
		fmt.Printf("    %s %s number %s of %s, %s\n", m.Header[outbox.HeaderID], m.Subject, m.Header[outbox.HeaderSequence], m.Header[outbox.HeaderSubject],
			m.Header[outbox.HeaderTime])
	}
}

// compare reads the whole stream of a service and holds it against the outbox. The outbox is read last, so that an event published
// meanwhile is known. Events that stream or outbox may have forgotten by their age are left out.
func compare(ctx context.Context, db *sqldb.DB, js jetstream.JetStream, service string) (d difference, err error) {
	since := time.Now().Add(-gapHorizon)
	found := make(map[string]bool)
	var messages []outbox.Message
	err = eachMessage(ctx, js, bus.ServiceStream(service).Name, func(m outbox.Message) {
		if id := m.Header[outbox.HeaderID]; !found[id] {
			found[id] = true
			messages = append(messages, m)
		}
	})
	if err != nil {
		return d, err
	}
	kept, err := outbox.KeptIn(ctx, db, since)
	if err != nil {
		return d, err
	}
	for _, m := range messages {
		at, err := time.Parse(time.RFC3339Nano, m.Header[outbox.HeaderTime])
		switch {
		case kept.Has(m.Header[outbox.HeaderID]):
			d.same++
		case err != nil || !at.Before(since):
			d.unknown = append(d.unknown, m)
		}
	}
	for id := range kept.Sent {
		if !found[id] {
			d.missing++
		}
	}
	for id := range kept.Waiting {
		if !found[id] {
			d.waiting++
		}
	}
	return d, nil
}

// eachMessage calls fn for every message of a stream, without its payload. A stream that is not there has none.
func eachMessage(ctx context.Context, js jetstream.JetStream, name string, fn func(outbox.Message)) error {
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open stream %s: %w", name, err)
	}
	last := stream.CachedInfo().State.LastSeq
	if stream.CachedInfo().State.Msgs == 0 {
		return nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(reachLimit))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		at, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		fn(messageOf(m, at.Sequence.Stream))
		if at.Sequence.Stream >= last || at.NumPending == 0 {
			return nil
		}
	}
}

// messageOf notes the place in the stream as the message's id.
func messageOf(m jetstream.Msg, sequence uint64) outbox.Message {
	out := outbox.Message{ID: fmt.Sprint(sequence), Subject: m.Subject(), Header: make(map[string]string, len(m.Headers()))}
	for name, values := range m.Headers() {
		if len(values) > 0 {
			out.Header[name] = values[0]
		}
	}
	return out
}

type eventsAdoptCommand struct {
	storage     `embed:""`
	brokerFlags `embed:""`
	Service     string `arg:"" help:"register, core, arrs, iif, devfund, activity, payments or partners." enum:"register,core,arrs,iif,devfund,activity,payments,partners"`
}

// Run takes what only the stream has into the outbox, in the order of the stream.
func (e *eventsAdoptCommand) Run(ctx context.Context) error {
	return e.with(ctx, &e.storage, func(js jetstream.JetStream) error {
		return eachService(ctx, &e.storage, e.Service, func(name string, db *sqldb.DB) error {
			n, err := adopt(ctx, db, js, name)
			if err == nil {
				fmt.Printf("%d events of %s are in the database again; what they tell of is not: see docs/operations/backup.md\n", n, name)
			}
			return err
		})
	})
}

// adoptBatch is how many events are adopted in one transaction, which a service may not keep open for long.
const adoptBatch = 500

// adopt takes the events of a service in that only the stream has, and returns how many. It ends at the first that cannot be adopted; what
// is adopted already is passed over the next time.
func adopt(ctx context.Context, db *sqldb.DB, js jetstream.JetStream, service string) (adopted int, err error) {
	d, err := compare(ctx, db, js, service)
	if err != nil || len(d.unknown) == 0 {
		return 0, err
	}
	stream, err := js.Stream(ctx, bus.ServiceStream(service).Name)
	if err != nil {
		return 0, fmt.Errorf("open stream %s: %w", bus.ServiceStream(service).Name, err)
	}
	for i := range d.unknown {
		m := &d.unknown[i]
		var sequence uint64
		if _, err := fmt.Sscan(m.ID, &sequence); err != nil {
			return 0, fmt.Errorf("read the place of a message: %w", err)
		}
		whole, err := stream.GetMsg(ctx, sequence)
		if err != nil {
			return 0, fmt.Errorf("read message %d of stream %s: %w", sequence, bus.ServiceStream(service).Name, err)
		}
		m.Payload = whole.Data
	}
	for batch := range slices.Chunk(d.unknown, adoptBatch) {
		err := db.Write(ctx, func(tx *sqldb.Tx) error {
			for _, m := range batch {
				if err := outbox.Adopt(ctx, tx, m); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return adopted, err
		}
		adopted += len(batch)
	}
	return adopted, nil
}
