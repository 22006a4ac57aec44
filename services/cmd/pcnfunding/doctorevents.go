package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

const (
	connectLimit = 3 * time.Second
	// waitingAlarm is how many events may wait for a service, as for the alert InboxBehind.
	waitingAlarm = 1000
	// gapSlack is how far the database's note of a publication may be from the broker's: the row is marked after the answer.
	gapSlack = time.Minute
	// gapHorizon is how far back events are missed: less than both the stream and the outbox keep them.
	gapHorizon = bus.DefaultMaxAge - 24*time.Hour
)

// broker looks at the broker and the streams of the services. A broker inside a suite that runs is asked through that suite.
func (e *examination) broker(ctx context.Context) {
	if len(e.services) == 0 {
		return
	}
	if e.command.NATS == "" {
		if e.running {
			e.status(ctx)
			return
		}
		if _, err := os.Stat(e.storeDir()); err != nil {
			e.note("broker", fine, "", "the first start makes the embedded one in %s", e.storeDir())
			return
		}
	}
	embedded, err := e.embedded()
	if err != nil {
		e.note("broker", broken, "see what the log of serve says", "%v", err)
		return
	}
	for i, name := range e.services {
		broker, err := e.connect(ctx, name, embedded)
		if err != nil {
			e.note("broker", broken, "see that it runs, that its address is right (--nats) and that it lets these credentials in (--nats-creds)", "as %s: %v", name, err)
			return
		}
		e.closing = append(e.closing, broker.Close)
		e.stream(ctx, broker, name, i == 0)
		e.consumers(ctx, broker, name)
	}
}

func (e *examination) storeDir() string { return filepath.Join(e.command.DataDir, "events") }

// embedded starts the broker of the data folder, which takes no connections of others meanwhile; it is nil where there is one elsewhere.
func (e *examination) embedded() (*bus.Server, error) {
	if e.command.NATS != "" {
		return nil, nil //nolint:nilnil // none is what there is
	}
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: e.storeDir()})
	if err == nil {
		e.closing = append(e.closing, server.Stop)
	}
	return server, err
}

// connect opens the broker as a service does, and waits until it answers.
func (e *examination) connect(ctx context.Context, service string, embedded *bus.Server) (*bus.Bus, error) {
	broker, err := bus.Open(ctx, e.command.busConfig(service, embedded))
	if err != nil {
		return nil, err
	}
	if err := broker.Conn().FlushTimeout(connectLimit); err != nil {
		cause := errors.Join(err, broker.Conn().LastError())
		broker.Close()
		return nil, fmt.Errorf("it does not answer: %w", cause)
	}
	return broker, nil
}

// status passes on what a running suite says of its parts.
func (e *examination) status(ctx context.Context) {
	scheme, web := "http://", http.DefaultClient
	// What is wrong with the certificate has a line of its own.
	if source, err := e.command.source(slog.New(slog.DiscardHandler)); err == nil && source != nil {
		transport := &http.Transport{TLSClientConfig: clientTLS(source, e.command.Service), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		scheme, web = "https://", &http.Client{Transport: transport}
	}
	url := scheme + cmp.Or(e.command.Ops, e.command.HTTP) + "/status"
	var answer struct {
		Parts map[string]part `json:"parts"`
	}
	if _, err := ask(ctx, web, url, &answer); err != nil {
		e.note("running suite", unverified, "", "it does not tell its state at %s (--http): %v", url, err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(answer.Parts)) {
		if p := answer.Parts[name]; p.State != "ok" {
			e.note(name, doubtful, "look for \"degraded\" in the log of the running suite", "%s: %s", p.State, p.Detail)
		} else if strings.HasSuffix(name, " broker") {
			e.note(name, fine, "", "the running suite has just stored a message")
		}
	}
	e.note("streams", unverified, "", "the broker is inside the suite that runs; stop it to have them looked at")
}

// stream looks at the stream of a service, and compares it with what the database has sent.
func (e *examination) stream(ctx context.Context, broker *bus.Bus, service string, first bool) {
	wanted, check := bus.ServiceStream(service), service+" stream"
	before := time.Now()
	asked, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	stream, err := broker.JetStream().Stream(asked, wanted.Name)
	after := time.Now()
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		e.missing(ctx, check, service, wanted.Name)
		return
	case err != nil: // a broker that answers is silent to who may not ask
		e.note(check, broken, "see that the credentials are those of "+service+" (--nats-creds) and that JetStream is enabled", "it does not answer %s: %v", service, err)
		return
	}
	info := stream.CachedInfo()
	if first {
		e.clock("clock of the broker", info.TimeStamp, before, after, 0)
	}
	for _, f := range broker.Verify(asked, wanted) {
		switch {
		case strings.HasPrefix(f.What, "stream "):
			e.note(check, verdictOf(f.State), "pcnfunding serve "+service+" sets what it can at its start; the detail says the rest", "%s", f.Detail)
		case first:
			e.note(f.What, verdictOf(f.State), "see the detail", "%s", f.Detail)
		}
	}
	if db := e.stores[service]; db != nil {
		e.gap(ctx, service, db, info)
	}
}

// verdictOf is what the doctor calls what the broker was found to be.
func verdictOf(state bus.State) verdict {
	switch state {
	case bus.OK:
		return fine
	case bus.Wrong:
		return broken
	case bus.Unverified:
	}
	return unverified
}

// consumers looks at those by which a service takes in the events of others.
func (e *examination) consumers(ctx context.Context, broker *bus.Bus, service string) {
	durables := brokerUser(service).Durables
	if len(durables) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	check := service + " consumers"
	var waiting uint64
	var missing []string
	for _, d := range durables {
		consumer, err := broker.JetStream().Consumer(ctx, d.Stream, d.Name)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, d.Stream)
		case err != nil:
			e.note(check, unverified, "", "on %s: %v", d.Stream, err)
			return
		default:
			waiting += consumer.CachedInfo().NumPending
		}
	}
	switch {
	case len(missing) > 0:
		e.note(check, doubtful, "pcnfunding serve "+service+" makes them once the streams are there", "there is none on %s", strings.Join(missing, ", "))
	case waiting > waitingAlarm:
		e.note(check, doubtful, "pcnfunding serve "+service+" takes them in; if it runs, follow docs/runbooks/InboxBehind.md",
			"%d events wait on %d streams", waiting, len(durables))
	default:
		e.note(check, fine, "", "%d events wait on %d streams", waiting, len(durables))
	}
}

// sent is what the database knows of its publications.
type sent struct {
	events int64     // those not older than gapHorizon
	last   time.Time // zero if there was none
}

// sentBy counts the events whose last publication lies in a span, and finds the last of all.
func sentBy(ctx context.Context, db *sqldb.DB, from, to time.Time) (s sent, err error) {
	err = db.Read(ctx, func(q sqldb.Querier) error {
		var last int64
		const count = `SELECT COUNT(*) FROM (SELECT event_id FROM outbox WHERE sent_at IS NOT NULL GROUP BY event_id
			HAVING MAX(sent_at) >= $1 AND MAX(sent_at) < $2) AS gone`
		if err := q.QueryRow(ctx, count, sqldb.Micros(from), sqldb.Micros(to)).Scan(&s.events); err != nil {
			return err
		}
		if err := q.QueryRow(ctx, `SELECT COALESCE(MAX(sent_at), 0) FROM outbox`).Scan(&last); err != nil || last == 0 {
			return err
		}
		s.last = sqldb.FromMicros(last)
		return nil
	})
	return s, err
}

// missing judges a stream that is not there.
func (e *examination) missing(ctx context.Context, check, service, stream string) {
	now := time.Now()
	if db := e.stores[service]; db != nil {
		if s, err := sentBy(ctx, db, now.Add(-gapHorizon), now); err == nil && s.events > 0 {
			e.note(check, broken, "pcnfunding events rebuild "+service, "%s is gone, and with it %d events that were sent", stream, s.events)
			return
		}
	}
	e.note(check, doubtful, "pcnfunding serve "+service+" makes it at its start", "there is no stream %s yet", stream)
}

// gap compares the stream with the database: either can have been lost, or restored from an older copy.
func (e *examination) gap(ctx context.Context, service string, db *sqldb.DB, info *jetstream.StreamInfo) {
	check, rebuild := service+" stream and outbox", "pcnfunding events rebuild "+service
	now := time.Now()
	begins := now
	if info.State.Msgs > 0 {
		begins = info.State.FirstTime
	}
	s, err := sentBy(ctx, db, now.Add(-gapHorizon), begins.Add(-gapSlack))
	last := info.State.LastTime
	switch {
	case err != nil:
		e.note(check, unverified, "", "%v", err)
	case info.State.Msgs > 0 && last.After(s.last.Add(gapSlack)):
		e.note(check, broken, "pcnfunding events check "+service+", and then what it says; \"Streams\" in docs/operations/backup.md explains",
			"the stream is newer than the database: its last event is of %s, the last that the database sent of %s",
			last.UTC().Format(time.RFC3339), moment(s.last))
	case s.events > 0:
		e.note(check, broken, rebuild, "%d events that were sent are no longer in the stream", s.events)
	case s.last.After(last.Add(gapSlack)) && info.State.Msgs > 0:
		e.note(check, broken, rebuild, "the end of the stream is lost: its last event is of %s, the last that the database sent of %s",
			last.UTC().Format(time.RFC3339), moment(s.last))
	default:
		e.note(check, fine, "", "they agree")
	}
}

// moment writes a time that may not be there.
func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}
