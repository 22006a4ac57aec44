package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// fullPercent is how much of a bound may be used before it is an alarm.
	fullPercent = 80
	// monitorWait is how long the monitoring endpoint may take.
	monitorWait = 5 * time.Second
)

// State is what Verify thinks of one thing.
type State string

// The states of a Finding.
const (
	OK         State = "ok"
	Wrong      State = "wrong"
	Unverified State = "not verified"
)

// Finding is one thing that Verify looked at.
type Finding struct {
	// What was looked at, such as stream PCNFUNDING_CORE.
	What string
	// State is what was found.
	State State
	// Detail says what is wrong, and how to mend it.
	Detail string
}

// Verify compares what the broker really has with what the suite needs, and changes nothing: the connection, the streams that were
// ensured and those given, and whether a message is on disk before it is acknowledged, which only the broker's monitoring endpoint
// tells.
func (b *Bus) Verify(ctx context.Context, streams ...Stream) []Finding {
	if !b.conn.IsConnected() {
		detail := "there is no connection: check address, certificates and credentials"
		if err := b.conn.LastError(); err != nil {
			detail += " (" + err.Error() + ")"
		}
		return []Finding{{"broker", Wrong, detail}}
	}
	found := []Finding{{"broker", OK, "connected to " + b.conn.ConnectedUrlRedacted()}}
	for _, s := range append(b.ensured(), streams...) {
		found = append(found, b.verifyStream(ctx, s))
	}
	return append(found, b.verifySync(ctx))
}

func (b *Bus) verifyStream(ctx context.Context, s Stream) Finding {
	f := Finding{What: "stream " + s.Name, State: Wrong}
	stream, err := b.js.Stream(ctx, s.Name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		f.Detail = "it is not there: its service makes it at start; then pcnfunding events rebuild publishes its events once more"
		return f
	case err != nil:
		f.Detail = "it cannot be read: " + err.Error()
		return f
	}
	info := stream.CachedInfo()
	var drifted *DriftError
	switch {
	case errors.As(drift(s.config(b.config), info.Config), &drifted):
		f.Detail = strings.Join(drifted.Settings, "; ") + ": start its service again, which sets them, or change the flags to what is meant"
	case info.Cluster != nil && info.Cluster.Leader == "":
		f.Detail = "it has no leader: most of its servers are away"
	case len(behind(info)) > 0:
		f.Detail = "copies are away or behind: " + strings.Join(behind(info), ", ")
	case isFull(info.State.Bytes, info.Config.MaxBytes):
		f.Detail = fmt.Sprintf("it has %d of %d bytes: give it more with --nats-max-bytes; when it is full, events wait in the outbox",
			info.State.Bytes, info.Config.MaxBytes)
	default:
		f.State = OK
		f.Detail = fmt.Sprintf("%d messages, %d bytes, %d copies", info.State.Msgs, info.State.Bytes, info.Config.Replicas)
	}
	return f
}

// behind names the servers whose copy of a stream is not current.
func behind(info *jetstream.StreamInfo) (names []string) {
	if info.Cluster == nil {
		return nil
	}
	for _, r := range info.Cluster.Replicas {
		if r.Offline || !r.Current {
			names = append(names, r.Name)
		}
	}
	return names
}

// isFull tells whether so much of a bound is used that somebody has to do something; a bound below 1 is none.
func isFull(used uint64, bound int64) bool {
	return bound > 0 && used/fullPercent >= uint64(bound)/100
}

// varz is what is read of the broker's monitoring endpoint.
type varz struct {
	JetStream struct {
		Config *struct {
			MaxStorage int64 `json:"max_storage"`
			SyncAlways bool  `json:"sync_always"`
		} `json:"config"`
		Stats struct {
			Storage uint64 `json:"storage"`
		} `json:"stats"`
	} `json:"jetstream"`
}

// verifySync finds out whether messages are synced before they are acknowledged.
func (b *Bus) verifySync(ctx context.Context) Finding {
	f := Finding{What: "broker storage", State: Unverified}
	if b.config.Server != nil {
		f.State, f.Detail = OK, "each message is synced before it is acknowledged"
		return f
	}
	if b.config.Monitor == "" {
		f.Detail = "a client cannot see whether messages are synced before they are acknowledged: name the monitoring endpoint with --nats-monitor, or see " +
			"to it that every server has sync_interval: always"
		return f
	}
	seen, err := readVarz(ctx, b.config.Monitor)
	switch {
	case err != nil:
		f.Detail = "the monitoring endpoint cannot be read: " + err.Error()
	case seen.JetStream.Config == nil:
		f.State, f.Detail = Wrong, "JetStream is not enabled on the server asked"
	case !seen.JetStream.Config.SyncAlways:
		f.State, f.Detail = Wrong, "messages are acknowledged before they are synced, and a power cut loses them: set sync_interval: always in jetstream"
	case isFull(seen.JetStream.Stats.Storage, seen.JetStream.Config.MaxStorage):
		f.State = Wrong
		f.Detail = fmt.Sprintf("%d of %d bytes are used: make room or raise max_file_store; a server that met a full disk has to be started again",
			seen.JetStream.Stats.Storage, seen.JetStream.Config.MaxStorage)
	default:
		f.State, f.Detail = OK, "the server asked syncs each message before it is acknowledged"
	}
	return f
}

func readVarz(ctx context.Context, monitor string) (v varz, err error) {
	ctx, cancel := context.WithTimeout(ctx, monitorWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(monitor, "/")+"/varz", nil)
	if err != nil {
		return v, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if resp.StatusCode != http.StatusOK {
		return v, fmt.Errorf("it answers %s", resp.Status)
	}
	return v, json.NewDecoder(resp.Body).Decode(&v)
}
