// Command consumer reads the events of the PCN funding suite and prints one line for each. It is written to be copied: it
// needs the contracts module and nats.go, nothing else of the suite.
//
//	go run ./services/examples/consumer -commissioner 15N
//	go run ./services/examples/consumer -name replay -from-time 2022-04-01T00:00:00Z -once
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// options say what to read.
type options struct {
	url, credentials, stream, name, commissioner, fromTime string
	fromSequence                                           uint64
	once                                                   bool
}

func main() {
	var o options
	flag.StringVar(&o.url, "url", "nats://127.0.0.1:4222", "address of NATS")
	flag.StringVar(&o.credentials, "creds", "", "file of the partner's credentials")
	flag.StringVar(&o.stream, "stream", "PCNFUNDING_CORE", "stream: PCNFUNDING_REGISTER, PCNFUNDING_CORE, PCNFUNDING_ARRS, PCNFUNDING_IIF, PCNFUNDING_DEVFUND, PCNFUNDING_ACTIVITY or PCNFUNDING_PAYMENTS")
	flag.StringVar(&o.name, "name", "example", "name of the durable consumer; another name starts anew")
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
	settings := []nats.Option{nats.Name("pcnfunding example consumer"), nats.MaxReconnects(-1)}
	if o.credentials != "" {
		settings = append(settings, nats.UserCredentials(o.credentials))
	}
	conn, err := nats.Connect(o.url, settings...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", o.url, err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return consume(ctx, js, o, out)
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

// consume fetches events and hands them on until the context ends or, with -once, until none are left.
func consume(ctx context.Context, js jetstream.JetStream, o options, out io.Writer) error {
	config, err := o.config()
	if err != nil {
		return err
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, o.stream, config)
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
