package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

const (
	killOf      = "15N" // the commissioner whose month is taken through
	killMonth   = "2022-05"
	killRejects = "L83003" // the payee whose payment the payer rejects
	killLatest  = 40 * time.Millisecond
	// killsVariable names how many steps the suite dies in; a few unless it is set.
	killsVariable = "E2E_KILLS"
	killsUsual    = 4
)

// mortal is a suite of its own that can be killed and started again on the same data.
type mortal struct {
	t       *testing.T
	harness *harness
	nats    string
	args    []string
	storage []string // flags of commands that work on its databases
}

// newMortal makes a suite on a new folder, or on a new Postgres database beside it, where each service has a role of its own.
func newMortal(t *testing.T, onPostgres bool) *mortal {
	t.Helper()
	dir := t.TempDir()
	m := &mortal{t: t, harness: &harness{
		dir: dir, dataDir: filepath.Join(dir, "data"), binary: suite.binary, client: &http.Client{Timeout: callLimit}, tokens: make(map[string]string),
	}}
	if m.harness.binary == "" {
		m.harness.binary = filepath.Join(dir, "pcnfunding")
		out, err := exec.Command("go", "build", "-o", m.harness.binary, command).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	m.nats = freeAddress(t)
	m.args = []string{
		"serve", "all", "--data-dir", m.harness.dataDir, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--nats-listen", m.nats,
	}
	m.storage = []string{"--data-dir", m.harness.dataDir}
	if onPostgres {
		owner, service := newDatabase(t, m.harness.binary)
		key := filepath.Join(dir, "person.key")
		require.NoError(t, os.WriteFile(key, bytes.Repeat([]byte("k"), 32), 0o600))
		m.args = append(m.args, "--database-url", service, "--migrate=false", "--person-key-file", key)
		m.storage = append([]string{"--database-url", owner}, m.storage...) // credentials of the broker stay in the folder
	}
	return m
}

// freeAddress returns an address on loopback at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start runs the suite and waits until it is ready; the first time it loads its sample.
func (m *mortal) start(more ...string) {
	m.t.Helper()
	h := m.harness
	log, err := os.OpenFile(filepath.Join(h.dir, "stderr.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(m.t, err)
	defer func() { _ = log.Close() }()
	h.process = exec.Command(h.binary, append(m.args, more...)...)
	h.process.Stderr = log
	stdout, err := h.process.StdoutPipe()
	require.NoError(m.t, err)
	require.NoError(m.t, h.process.Start())
	address := make(chan string, 1)
	h.drained = make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		findAddress(stdout, address)
	}(h.drained)
	select {
	case h.base = <-address:
	case <-time.After(startLimit):
	}
	require.NotEmpty(m.t, h.base, "the suite did not start: %s", h.logTail())
	m.t.Cleanup(m.kill)
}

// kill ends the suite at once, as a crash would.
func (m *mortal) kill() {
	if m.harness.process == nil {
		return
	}
	_ = m.harness.process.Process.Kill()
	<-m.harness.drained
	_ = m.harness.process.Wait()
	m.harness.process = nil
}

// change is one step of the month, named so that it can be repeated.
type change struct {
	name, role, path, media string
	body                    func(m *mortal) string
}

// die makes a change and kills the suite some milliseconds into the call.
func (m *mortal) die(s change, chance *rand.Rand) {
	m.t.Helper()
	body := s.body(m)
	_, err := m.harness.mint(s.role, "", killOf) // which takes longer than the call
	require.NoError(m.t, err)
	timer := time.AfterFunc(time.Duration(chance.Int64N(int64(killLatest))), func() { _ = m.harness.process.Process.Kill() })
	_, err = m.post(s, body)
	timer.Stop()
	m.t.Logf("killed in %s: %v", s.name, err)
	m.kill()
	m.start()
}

// perform makes a change, or repeats it under the same name.
func (m *mortal) perform(s change) {
	m.t.Helper()
	got, err := m.post(s, s.body(m))
	require.NoError(m.t, err, s.name)
	require.Less(m.t, got.Status, 300, "%s: %s", s.name, got)
}

func (m *mortal) post(s change, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	token, err := m.harness.mint(s.role, "", killOf)
	if err != nil {
		return answer{}, err
	}
	media := s.media
	if media == "" {
		media = "application/json"
	}
	return m.harness.send(ctx, request{
		method: http.MethodPost, path: s.path, token: token, body: strings.NewReader(body),
		headers: []string{"Idempotency-Key", "kill-" + s.name, "Content-Type", media},
	})
}

// read returns what a path holds, once it is there.
func (m *mortal) read(path string, ready func(map[string]any) bool) map[string]any {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	token, err := m.harness.mint("finance_preparer", "", killOf)
	require.NoError(m.t, err)
	var out map[string]any
	err = m.harness.wait(ctx, path, func() bool {
		got, err := m.harness.send(ctx, request{method: http.MethodGet, path: path, token: token})
		if err != nil || got.Status != http.StatusOK {
			return false
		}
		out = nil
		return json.Unmarshal(got.Body, &out) == nil && ready(out)
	})
	require.NoError(m.t, err, "%v", out)
	return out
}

func there(map[string]any) bool { return true }

// tag returns the body of a change that needs the tag of a run as it stands, which a repetition must not change.
func tag(run, etag, rest string) func(*mortal) string {
	return func(m *mortal) string {
		m.read("/v1/payments/runs/"+run, there)
		return fmt.Sprintf(`{"etag": %q%s}`, etag, rest)
	}
}

func fixed(body string) func(*mortal) string { return func(*mortal) string { return body } }

// wholeMonth is everything that is done to a run, from the close to the re-issue of what was rejected.
func wholeMonth() []change {
	run, next := killOf+"-"+killMonth+"-1", killOf+"-"+killMonth+"-2"
	codes := func(*mortal) string {
		var mappings []string
		for _, stream := range []string{"CORE_PCN", "CLINICAL_DIRECTOR", "EXTENDED_HOURS", "NPP", "CONTROL", "RECOVERY"} {
			mappings = append(mappings, fmt.Sprintf(`{"stream": %q, "effective_from": "2022-04-01", "entity": "SAM", "cost_centre": "000000",
				"subjective": "00000000", "analysis1": "00000", "analysis2": "000000", "spare": "000000", "vat_treatment": "VAT_TREATMENT_EXEMPT"}`, stream))
		}
		return fmt.Sprintf(`{"commissioner_code": %q, "reason": "test", "mappings": [%s]}`, killOf, strings.Join(mappings, ", "))
	}
	export := `{"format": "FORMAT_REMITTANCE", "accounting_date": "2022-05-31"}`
	instruct := `{"format": "FORMAT_JOURNAL", "accounting_date": "2022-05-31"}`
	again := `{"format": "FORMAT_JOURNAL"}` // of today: what came back is not sent again before it did
	profile := fmt.Sprintf(`{"commissioner_code": %q, "from_month": "2022-04", "reason": "test", "export_profile":
		{"format": "FORMAT_JOURNAL", "texts": {"journal_source": "TEST", "journal_category": "PCN"}}}`, killOf)
	runs := "/v1/payments/runs/"
	imports := fmt.Sprintf("/v1/payments/imports?commissioner_code=%s&kind=FILE_KIND_CONFIRMATIONS&file_name=confirmed.csv", killOf)
	return []change{
		{name: "close", role: "finance_preparer", path: "/v1/core/commissioners/" + killOf + "/months/" + killMonth + ":close", body: fixed("{}")},
		{name: "codes", role: "finance_approver", path: "/v1/payments/codes", body: codes},
		{name: "profile", role: "finance_approver", path: "/v1/payments/settings", body: fixed(profile)},
		{name: "submit", role: "finance_preparer", path: runs + run + ":submit", body: tag(run, "1", "")},
		{name: "approve", role: "finance_approver", path: runs + run + ":approve", body: tag(run, "2", "")},
		{name: "export", role: "finance_preparer", path: runs + run + ":export", body: fixed(instruct)},
		{name: "remittance", role: "finance_preparer", path: runs + run + ":export", body: fixed(export)},
		{name: "confirm", role: "finance_preparer", path: imports, media: "text/csv", body: confirmationsOf},
		{name: "reissue", role: "finance_preparer", path: "/v1/payments/payments/" + run + "-" + killRejects + ":reissue", body: fixed(`{"etag": "2", "reason": "new account"}`)},
		{name: "submit again", role: "finance_preparer", path: runs + next + ":submit", body: tag(next, "1", "")},
		{name: "approve again", role: "finance_approver", path: runs + next + ":approve", body: tag(next, "2", "")},
		{name: "export again", role: "finance_preparer", path: runs + next + ":export", body: fixed(again)},
	}
}

// TestMonth_SurvivesKills takes a month from its close to a re-issued payment while the suite is killed in the middle of some steps,
// and holds that it ends as it does undisturbed, on either store: nothing lost, nothing twice.
func TestMonth_SurvivesKills(t *testing.T) {
	t.Parallel()
	kills := killsUsual
	if text := os.Getenv(killsVariable); text != "" {
		_, err := fmt.Sscan(text, &kills)
		require.NoError(t, err)
	}
	stores := map[string]bool{"SQLite": false}
	if os.Getenv(testkit.PostgresVariable) != "" {
		stores["Postgres"] = true
	}
	model := newMortal(t, false)
	undisturbed := outcome(t, model, nil, nil)
	model.kill()
	for name, onPostgres := range stores {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			chance := rand.New(rand.NewPCG(seed, 0))
			deadly := make(map[int]bool)
			for _, at := range chance.Perm(len(wholeMonth()))[:min(kills, len(wholeMonth()))] {
				deadly[at] = true
			}
			m := newMortal(t, onPostgres)
			require.Equal(t, undisturbed, outcome(t, m, deadly, chance))
			m.kill()
			drill(t, m, newMortal(t, onPostgres), undisturbed)
		})
	}
}

// outcome takes the month through, with a kill in some of its steps, and returns what came of it, without times and new identifiers.
func outcome(t *testing.T, m *mortal, deadly map[int]bool, chance *rand.Rand) map[string]any {
	t.Helper()
	m.start("--sample", "--no-sample-claims", "--no-sample-activity")
	for at, s := range wholeMonth() {
		if deadly[at] {
			m.die(s, chance)
		}
		m.perform(s)
	}
	return m.books()
}

// books returns what stands in the books of the commissioner, without times and new identifiers.
func (m *mortal) books() map[string]any {
	m.t.Helper()
	out := make(map[string]any)
	for _, number := range []string{"1", "2"} {
		run := m.read("/v1/payments/runs/"+killOf+"-"+killMonth+"-"+number, there)
		out["run "+number] = []any{run["state"], run["totals"], run["lines_sha256"], run["replaced_by_run_id"]}
	}
	balance := m.read("/v1/payments/commissioners/"+killOf+"/trial-balance?by_payee=true&page_size=1000", there)
	out["ledger"] = []any{balance["balances"], balance["debit_pence"], balance["credit_pence"]}
	for _, list := range []string{"payments", "exports", "schedules", "holds", "recoveries"} {
		var rows []any
		for _, row := range m.read("/v1/payments/"+list+"?page_size=1000&commissioner_code="+killOf, there)[list].([]any) {
			rows = append(rows, timeless(row.(map[string]any)))
		}
		out[list] = rows
	}
	return out
}

// timeless leaves out what differs from one suite to another.
func timeless(row map[string]any) map[string]any {
	for name, value := range row {
		switch value := value.(type) {
		case map[string]any:
			timeless(value)
		case string:
			if strings.HasSuffix(name, "_at") || name == "event_id" || name == "snapshot_id" {
				delete(row, name)
			}
		}
	}
	return row
}

// confirmationsOf says that every payment of the run was paid, but for one.
func confirmationsOf(m *mortal) string {
	list := m.read("/v1/payments/payments?page_size=1000&run_id="+killOf+"-"+killMonth+"-1", there)
	rows := []string{"reference,status,payment_date,amount,reject_reason"}
	for _, row := range list["payments"].([]any) {
		payment := row.(map[string]any)
		var pence int64
		_, _ = fmt.Sscan(payment["amount_pence"].(string), &pence)
		status, why := "PAID", ""
		if strings.HasSuffix(payment["payment_id"].(string), "-"+killRejects) {
			status, why = "REJECTED", "account closed"
		}
		rows = append(rows, fmt.Sprintf("%s,%s,2022-06-10,%d.%02d,%s", payment["payment_id"], status, pence/100, pence%100, why))
	}
	return strings.Join(rows, "\n") + "\n"
}
