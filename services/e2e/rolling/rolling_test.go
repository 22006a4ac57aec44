package rolling

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
	registerv1 "github.com/pcnfunding/pcnfunding/proto/gen/pcnfunding/register/v1"
)

const (
	command = "github.com/pcnfunding/pcnfunding/services/cmd/pcnfunding"
	// fromVariable and toVariable name the programs before and after the upgrade. With both, every process of all services is replaced.
	fromVariable, toVariable = "ROLLING_FROM", "ROLLING_TO"
	// settleVariable is how long the second process of each service waits after the first, as by minReadySeconds of a Deployment: programs
	// older than this test look up addresses each 30 s only.
	settleVariable = "ROLLING_SETTLE"

	clients = 4
	// attempts and the pauses between them are those that docs/operations/rolling.md asks of clients.
	attempts   = 4
	pauseFirst = 100 * time.Millisecond
	callLimit  = 15 * time.Second
)

// TestUpgrade_LosesNothing replaces processes one after another while clients read and write, and holds that no request fails, that
// each write acknowledged is there once, and that its event is on the stream.
func TestUpgrade_LosesNothing(t *testing.T) {
	if os.Getenv(testkit.PostgresVariable) == "" {
		require.Empty(t, os.Getenv("CI"), "%s is not set", testkit.PostgresVariable)
		t.Skipf("%s is not set", testkit.PostgresVariable)
	}
	from, to := os.Getenv(fromVariable), os.Getenv(toVariable)
	short := from == "" || to == ""
	if short {
		from = programUnderTest(t)
		to = from
	}
	f := newFleet(t)
	services := append(f.migrate(from), "gateway") // one that is new has nothing to upgrade from
	rounds := [][]string{services, services}
	if short {
		services = []string{"register", "core", "gateway"}
		rounds = [][]string{services, {"register"}}
	}
	for range 2 {
		var started []*pod
		for _, service := range services {
			started = append(started, f.start(from, service))
		}
		f.ready(started...)
	}
	l := &load{fleet: f, token: mint(t, from, f.dir)}
	stop := l.begin(t)
	f.migrate(to)
	replaced := 0
	for i, round := range rounds {
		if i > 0 {
			settle(t)
		}
		for _, service := range round {
			f.replace(to, f.pods[service][0])
			replaced++
		}
	}
	stop()
	t.Logf("%d processes replaced; %d writes, %d reads, %d attempts repeated, %d failed",
		replaced, len(l.written), l.reads.Load(), l.repeated.Load(), len(l.failed))
	require.Empty(t, l.failed)
	require.Greater(t, len(l.written), 10*replaced, "there was load")
	l.judge(t)
}

// settle waits as long as is asked for, under load.
func settle(t *testing.T) {
	t.Helper()
	if text := os.Getenv(settleVariable); text != "" {
		pause, err := time.ParseDuration(text)
		require.NoError(t, err)
		<-time.After(pause)
	}
}

// programUnderTest is the binary given, or one built for the test.
func programUnderTest(t *testing.T) string {
	t.Helper()
	if binary := os.Getenv("PCN_BIN"); binary != "" {
		return binary
	}
	binary := filepath.Join(t.TempDir(), "pcnfunding")
	out, err := exec.Command("go", "build", "-o", binary, command).CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

func mint(t *testing.T, binary, dir string) string {
	t.Helper()
	out, err := exec.Command(binary, "token", "--data-dir", dir, "--role", "finance_preparer", "--commissioner", "QJ2").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// load is clients of the suite that read and write without pause.
type load struct {
	fleet           *fleet
	token           string
	reads, repeated atomic.Int64

	mu      sync.Mutex
	written map[string]string // title of each item that was acknowledged, by its identifier
	failed  []string
}

// begin starts the clients; what it returns stops them.
func (l *load) begin(t *testing.T) (stop func()) {
	t.Helper()
	l.written = make(map[string]string)
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for client := range clients {
		working.Go(func() {
			caller := l.client()
			for n := 0; ctx.Err() == nil; n++ {
				l.write(caller, fmt.Sprintf("client %d item %d", client, n))
				l.read(caller, "/v1/register/calendar?page_size=5")
				l.read(caller, "/v1/core/rates?page_size=5")
			}
		})
	}
	return func() { cancel(); working.Wait() }
}

// client keeps connections to gateways, and makes new ones to any that is ready, as behind a Service of Kubernetes.
func (l *load) client() *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ready := l.fleet.names.of("gateway")
		return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(ready[rand.N(len(ready))], httpPort))
	}
	return &http.Client{Timeout: callLimit, Transport: &http.Transport{DialContext: dial}}
}

// write adds an item to the planning calendar under a key, which makes it safe to repeat.
func (l *load) write(caller *http.Client, title string) {
	body, _ := json.Marshal(map[string]string{
		"commissioner_code": "QJ2", "title": title, "owner_level": "COMMISSIONER_LEVEL", "due_date": "2027-06-01", "source": "test",
		"confidence": "CONFIDENCE_OFFICIAL",
	})
	answer, err := l.call(caller, http.MethodPost, "/v1/register/calendar", strings.ReplaceAll(title, " ", "-"), body)
	var item struct {
		ID string `json:"item_id"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &item)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("write %s: %v", title, err))
		return
	}
	l.written[item.ID] = title
}

func (l *load) read(caller *http.Client, path string) {
	l.reads.Add(1)
	if _, err := l.call(caller, http.MethodGet, path, "", nil); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = append(l.failed, fmt.Sprintf("read %s: %v", path, err))
	}
}

// call sends a request, and again with the same key where there was no answer, or one that says to try again.
func (l *load) call(caller *http.Client, method, path, key string, body []byte) (answer []byte, err error) {
	for attempt := range attempts {
		if attempt > 0 {
			l.repeated.Add(1)
			<-time.After(pauseFirst << attempt)
		}
		var again bool
		if answer, again, err = l.once(caller, method, path, key, body); !again {
			return answer, err
		}
	}
	return nil, fmt.Errorf("after %d attempts: %w", attempts, err)
}

func (l *load) once(caller *http.Client, method, path, key string, body []byte) (answer []byte, again bool, err error) {
	request, err := http.NewRequest(method, "http://suite"+path, bytes.NewReader(body))
	if err != nil {
		return nil, false, err
	}
	request.Header.Set("Authorization", "Bearer "+l.token)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := caller.Do(request)
	if err != nil {
		return nil, true, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		return nil, true, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, response.StatusCode == http.StatusServiceUnavailable, fmt.Errorf("%s: %s", response.Status, answer)
	}
	return answer, false, nil
}

// judge reads what the suite holds now and what it told, and compares both with what it acknowledged.
func (l *load) judge(t *testing.T) {
	t.Helper()
	const items = "/v1/register/calendar?commissioner_code=QJ2&from_date=2027-06-01&to_date=2027-06-03&page_size=1000&page_token="
	held, page := make(map[string]int), ""
	for {
		answer, err := l.call(l.client(), http.MethodGet, items+page, "", nil)
		require.NoError(t, err)
		var list struct {
			Items []struct {
				ID    string `json:"item_id"`
				Title string `json:"title"`
			} `json:"items"`
			Next string `json:"next_page_token"`
		}
		require.NoError(t, json.Unmarshal(answer, &list))
		for _, item := range list.Items {
			if strings.HasPrefix(item.Title, "client ") {
				held[item.Title]++
			}
		}
		if page = list.Next; page == "" {
			break
		}
	}
	for _, title := range l.written {
		require.Equal(t, 1, held[title], "%s is there once", title)
	}
	require.Len(t, held, len(l.written), "nothing is there that was not acknowledged")
	require.Eventually(t, func() bool { return len(l.untold(t)) == 0 }, 20*time.Second, 500*time.Millisecond, "events are missing: %v", l.untold(t))
}

// untold lists the items of which the stream holds no event.
func (l *load) untold(t *testing.T) (missing []string) {
	t.Helper()
	conn, err := nats.Connect(l.fleet.broker.ClientURL())
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "PCNFUNDING_REGISTER")
	require.NoError(t, err)
	consumer, err := js.OrderedConsumer(t.Context(), "PCNFUNDING_REGISTER", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"pcnfunding.register.v1.CalendarItemChanged.QJ2"},
	})
	require.NoError(t, err)
	told := make(map[string]bool)
	batch, err := consumer.Fetch(int(stream.CachedInfo().State.Msgs), jetstream.FetchMaxWait(time.Second))
	require.NoError(t, err)
	for message := range batch.Messages() {
		event := new(registerv1.CalendarItemChanged)
		require.NoError(t, proto.Unmarshal(message.Data(), event))
		told[event.GetItem().GetItemId()] = true
	}
	for id, title := range l.written {
		if !told[id] {
			missing = append(missing, title)
		}
	}
	return missing
}
