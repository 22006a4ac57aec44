// Command consumer reads the events of the PCN funding suite and prints one line for each. It is written to be copied: it
// needs the contracts module and nats.go, nothing else of the suite.
//
//	go run ./services/examples/consumer -commissioner 15N
//	go run ./services/examples/consumer -name replay -from-time 2022-04-01T00:00:00Z -once
//	go run ./services/examples/consumer -url tls://nats.example:4222 -creds partner.creds -name partner-x
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// options say what to read.
type options struct {
	url, ca, credentials, stream, name, commissioner, fromTime string
	fromSequence                                               uint64
	once                                                       bool
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "nats://127.0.0.1:4222", "address of NATS")
	flag.StringVar(&o.ca, "ca", "", "PEM file of the authorities that sign the certificate of NATS, if the machine does not know them")
	flag.StringVar(&o.credentials, "creds", "var/events/listener.creds", "credentials: those of a partner, or of the person at the machine of a local run")
	flag.StringVar(&o.stream, "stream", "PCNFUNDING_CORE", "stream: PCNFUNDING_REGISTER, PCNFUNDING_CORE, PCNFUNDING_ARRS, PCNFUNDING_IIF, PCNFUNDING_DEVFUND, PCNFUNDING_ACTIVITY, PCNFUNDING_PAYMENTS or PCNFUNDING_PARTNERS")
	flag.StringVar(&o.name, "name", "example", "name of the durable consumer; another name starts anew, where the credentials let a consumer be made")
	flag.StringVar(&o.commissioner, "commissioner", "", "only events of this commissioner and national ones")
	flag.Uint64Var(&o.fromSequence, "from-sequence", 0, "start at this sequence of the stream")
	flag.StringVar(&o.fromTime, "from-time", "", "start at this moment, RFC 3339")
	flag.BoolVar(&o.once, "once", false, "stop when there is nothing more to read")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := connect(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// connect opens the connection and reads until the context ends. The client reconnects by itself for as long as it takes.
func connect(ctx context.Context, o options, out io.Writer) error {
	settings := []nats.Option{nats.Name("pcnfunding example consumer"), nats.MaxReconnects(-1), nats.UserCredentials(o.credentials)}
	if o.ca != "" {
		settings = append(settings, nats.RootCAs(o.ca))
	}
	who, err := readIdentity(o.credentials)
	if err != nil {
		return err
	}
	// Answers come only under the prefix that the credentials allow.
	conn, err := nats.Connect(o.url, append(settings, nats.CustomInboxPrefix("_INBOX."+who.Name))...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", o.url, err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if who.isPartner() {
		js, err = jetstream.NewWithDomain(conn, "pcnfunding")
	}
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return consume(ctx, js, who, o, out)
}

// identity is what credentials say of whose they are. The broker checks it; this program only has to know it.
type identity struct {
	Name string `json:"name"`
	NATS struct {
		Tags []string `json:"tags"`
	} `json:"nats"`
}

// isPartner tells credentials of a partner from those of the suite.
func (i identity) isPartner() bool {
	return slices.ContainsFunc(i.NATS.Tags, func(tag string) bool { return strings.HasPrefix(tag, "partner:") })
}

// readIdentity reads the token in a file of credentials.
func readIdentity(file string) (who identity, err error) {
	text, err := os.ReadFile(file) //nolint:gosec // the caller names the file
	if err != nil {
		return who, fmt.Errorf("read the credentials: %w", err)
	}
	_, token, _ := strings.Cut(string(text), "-----BEGIN NATS USER JWT-----")
	token, _, _ = strings.Cut(token, "------END NATS USER JWT------")
	if parts := strings.Split(strings.TrimSpace(token), "."); len(parts) == 3 {
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			return who, fmt.Errorf("read the credentials: %w", err)
		}
		err = json.Unmarshal(claims, &who)
		if err != nil {
			return who, fmt.Errorf("read the credentials: %w", err)
		}
	}
	if who.Name == "" {
		return who, fmt.Errorf("read the credentials: %s has no token of a user", file)
	}
	return who, nil
}

// config is the durable consumer: explicit acknowledgement, at most 256 events under way, each again after 30 seconds. Where it
// starts is fixed when it is first made.
func (o options) config() (jetstream.ConsumerConfig, error) {
	service, ok := strings.CutPrefix(o.stream, "PCNFUNDING_")
	if !ok {
		return jetstream.ConsumerConfig{}, fmt.Errorf("stream %q is none of the suite's", o.stream)
	}
	events := "pcnfunding." + strings.ToLower(service) + ".v1"
	config := jetstream.ConsumerConfig{
		Durable: o.name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 256,
		DeliverPolicy: jetstream.DeliverAllPolicy, FilterSubjects: []string{events + ".>"},
	}
	if o.commissioner != "" {
		config.FilterSubjects = []string{events + ".*." + o.commissioner, events + ".*.england"}
	}
	switch {
	case o.fromSequence > 0 && o.fromTime != "":
		return config, errors.New("-from-sequence and -from-time exclude each other")
	case o.fromSequence > 0:
		config.DeliverPolicy, config.OptStartSeq = jetstream.DeliverByStartSequencePolicy, o.fromSequence
	case o.fromTime != "":
		at, err := time.Parse(time.RFC3339, o.fromTime)
		if err != nil {
			return config, fmt.Errorf("read -from-time: %w", err)
		}
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &at
	}
	return config, nil
}

// open returns the durable consumer. That of a partner was made by the suite, with the commissioners that it was granted.
func open(ctx context.Context, js jetstream.JetStream, who identity, o options) (jetstream.Consumer, error) {
	if who.isPartner() {
		return js.Consumer(ctx, o.stream, o.name)
	}
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	return js.CreateOrUpdateConsumer(ctx, o.stream, config)
}

// consume fetches events and hands them on until the context ends or, with -once, until none are left.
func consume(ctx context.Context, js jetstream.JetStream, who identity, o options, out io.Writer) error {
	consumer, err := open(ctx, js, who, o)
	if err != nil {
		return fmt.Errorf("open consumer %s on %s: %w", o.name, o.stream, err)
	}
	reader := newReader(out)
	for ctx.Err() == nil {
		var batch jetstream.MessageBatch
		if o.once {
			batch, err = consumer.FetchNoWait(100)
		} else {
			batch, err = consumer.Fetch(100, jetstream.FetchMaxWait(2*time.Second))
		}
		if err != nil {
			return fmt.Errorf("fetch events: %w", err)
		}
		count := 0
		for msg := range batch.Messages() {
			count++
			if err := reader.read(msg); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) && ctx.Err() == nil {
			return fmt.Errorf("fetch events: %w", err)
		}
		if o.once && count == 0 {
			return nil
		}
	}
	return nil
}
