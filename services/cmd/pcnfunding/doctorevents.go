package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	broker, err := e.connect(ctx)
	if err != nil {
		e.note("broker", broken, "see that it runs, that its address is right (--nats) and that it lets these credentials in (--nats-creds)", "%v", err)
		return
	}
	e.closing = append(e.closing, broker.Close)
	e.note("broker", fine, "", "connected")
	e.sync(ctx)
	for i, name := range e.services {
		e.stream(ctx, broker, name, i == 0)
	}
}

func (e *examination) storeDir() string { return filepath.Join(e.command.DataDir, "events") }

// connect opens the broker as serve would, and waits until it answers. An embedded one takes no connections of others meanwhile.
func (e *examination) connect(ctx context.Context) (*bus.Bus, error) {
	broker, err := bus.Open(ctx, bus.Config{
		URL: e.command.NATS, CredentialsFile: e.command.Creds, StoreDir: e.storeDir(), Replicas: e.command.Copies,
		Name: "pcnfunding-doctor",
	})
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
	url := "http://" + e.command.HTTP + "/status"
	var answer struct {
		Parts map[string]part `json:"parts"`
	}
	if _, err := ask(ctx, url, &answer); err != nil {
		e.note("running suite", unverified, "", "it does not tell its state at %s (--http): %v", url, err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(answer.Parts)) {
		if p := answer.Parts[name]; p.State != "ok" {
			e.note(name, doubtful, "look for \"degraded\" in the log of the running suite", "%s: %s", p.State, p.Detail)
		} else if name == "broker" {
			e.note(name, fine, "", "the running suite has just stored a message")
		}
	}
	e.note("streams", unverified, "", "the broker is inside the suite that runs; stop it to have them looked at")
}

// sync tells whether the broker writes to disk before it acknowledges, which a client cannot see.
func (e *examination) sync(ctx context.Context) {
	const check = "broker sync"
	if e.command.NATS == "" {
		e.note(check, fine, "", "the embedded broker writes to disk before it acknowledges")
		return
	}
	if e.command.Monitor == "" {
		e.note(check, unverified, "", "a client cannot see it: --nats-monitor names an address that tells, or vouch for sync_interval: always")
		return
	}
	var answer struct {
		JetStream struct {
			Config *struct {
				Always bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	_, err := ask(ctx, strings.TrimSuffix(e.command.Monitor, "/")+"/varz", &answer)
	switch {
	case err != nil:
		e.note(check, unverified, "", "%v", err)
	case answer.JetStream.Config == nil:
		e.note(check, broken, "turn JetStream on", "the broker at %s keeps no streams", e.command.Monitor)
	case !answer.JetStream.Config.Always:
		e.note(check, broken, "set sync_interval: always in the jetstream section of every server",
			"the broker acknowledges before it has written to disk: a power cut loses events")
	default:
		e.note(check, fine, "", "the broker writes to disk before it acknowledges")
	}
}

// stream looks at the stream of a service, and compares it with what the database has sent.
func (e *examination) stream(ctx context.Context, broker *bus.Bus, service string, first bool) {
	name, check := "PCNFUNDING_"+strings.ToUpper(service), service+" stream"
	before := time.Now()
	asked, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	stream, err := broker.JetStream().Stream(asked, name)
	after := time.Now()
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		e.missing(ctx, check, service, name)
		return
	case err != nil:
		e.note(check, unverified, "", "%v", err)
		return
	}
	info := stream.CachedInfo()
	if first {
		e.clock("clock of the broker", info.TimeStamp, before, after, 0)
	}
	if differ := drift(info.Config, max(1, e.command.Copies)); len(differ) > 0 {
		e.note(check, broken, "pcnfunding serve "+service+" sets them at its start", "%s", strings.Join(differ, "; "))
	} else {
		e.note(check, fine, "", "%d events, %d copies on disk, refuses what does not fit", info.State.Msgs, info.Config.Replicas)
	}
	if db := e.stores[service]; db != nil {
		e.gap(ctx, service, db, info)
	}
}

// drift lists the settings of a stream by which events could be lost.
func drift(c jetstream.StreamConfig, copies int) (differ []string) {
	for _, s := range []struct {
		name       string
		have, want any
	}{
		{"replicas", c.Replicas, copies},
		{"storage", c.Storage, jetstream.FileStorage},
		{"discard", c.Discard, jetstream.DiscardNew},
		{"retention", c.Retention, jetstream.LimitsPolicy},
		{"max_age", c.MaxAge, bus.DefaultMaxAge},
		{"max_msgs", c.MaxMsgs, int64(-1)},
		{"max_msgs_per_subject", c.MaxMsgsPerSubject, int64(-1)},
	} {
		if s.have != s.want {
			differ = append(differ, fmt.Sprintf("%s is %v and should be %v", s.name, s.have, s.want))
		}
	}
	return differ
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
		e.note(check, broken, "stop the service and follow \"The database is older than the stream\" in docs/operations/backup.md",
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
