package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/pcnfunding/pcnfunding/pkg/auth"
	"github.com/pcnfunding/pcnfunding/pkg/bus"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/pkg/testkit"
)

// examined runs the doctor as from the command line.
func examined(t *testing.T, args ...string) *examination {
	t.Helper()
	var c commands
	parser, err := kong.New(&c, kong.DefaultEnvars("PCN"))
	require.NoError(t, err)
	parsed, err := parser.Parse(append([]string{"doctor"}, args...))
	require.NoError(t, err)
	e := &examination{command: &c.Doctor, flags: flagValues(parsed)}
	e.run(t.Context())
	return e
}

// line returns the line of a check; the last if there are several.
func (e *examination) line(t *testing.T, check string) finding {
	t.Helper()
	for i := len(e.findings) - 1; i >= 0; i-- {
		if e.findings[i].Check == check {
			return e.findings[i]
		}
	}
	require.Fail(t, "no such line", "%s in %v", check, e.findings)
	return finding{}
}

// heldEvent puts an event into quarantine.
const heldEvent = `INSERT INTO inbox_held VALUES ('held', 'e', 'a', 1, 's', '', '', '', 'UNREADABLE', 'text', 6, 0, 0)`

// patient is a data folder with the register on it, an event sent and its stream.
type patient struct {
	t      *testing.T
	dir    string
	stored storage
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{t: t, dir: filepath.Join(t.TempDir(), "data")}
	p.stored.DataDir = p.dir
	require.NoError(t, os.Mkdir(p.dir, 0o700))
	p.database(func(db *sqldb.DB) {
		require.NoError(t, migrate(t.Context(), db, "register"))
	})
	p.stream(func(b *bus.Bus) { p.send(b, time.Now()) })
	return p
}

func (p *patient) database(change func(*sqldb.DB)) {
	p.t.Helper()
	db, err := p.stored.open(p.t.Context(), "register")
	require.NoError(p.t, err)
	change(db)
	require.NoError(p.t, db.Close())
}

func (p *patient) exec(query string, args ...any) {
	p.t.Helper()
	p.database(func(db *sqldb.DB) {
		_, err := db.Exec(p.t.Context(), query, args...)
		require.NoError(p.t, err)
	})
}

func (p *patient) stream(change func(*bus.Bus)) {
	p.t.Helper()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: filepath.Join(p.dir, "events")})
	require.NoError(p.t, err)
	defer server.Stop()
	b, err := bus.Open(p.t.Context(), bus.Config{Server: server})
	require.NoError(p.t, err)
	defer b.Close()
	require.NoError(p.t, b.EnsureStream(p.t.Context(), bus.Stream{Name: "PCNFUNDING_REGISTER", Subjects: []string{"pcnfunding.register.v1.>"}}))
	change(b)
}

// send publishes an event, with the row in the outbox that a relay would have marked at a time.
func (p *patient) send(b *bus.Bus, at time.Time) {
	p.t.Helper()
	id := uuid.NewString()
	p.row(id, at, at)
	_, err := b.Publish(p.t.Context(), []outbox.Message{{
		ID: id, Subject: "pcnfunding.register.v1.LoadRecorded.england", Header: map[string]string{outbox.HeaderID: id},
	}})
	require.NoError(p.t, err)
}

// row adds an event to the outbox; one not sent has the zero time for it.
func (p *patient) row(id string, created, sentAt time.Time) {
	var marked any
	if !sentAt.IsZero() {
		marked = sqldb.Micros(sentAt)
	}
	p.exec(`INSERT INTO outbox (id, event_id, aggregate, aggregate_sequence, subject, type, payload, traceparent, occurred_at, created_at, sent_at)
		VALUES ($1, $1, $1, 1, 'pcnfunding.register.v1.LoadRecorded.england', 'x', '', '', $2, $2, $3)`, id, sqldb.Micros(created), marked)
}

func TestDoctor_FindsNothingOnAHealthyFolder(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	e := examined(t, "register", "--data-dir", p.dir)
	for _, f := range e.findings {
		if f.Check == "disk" {
			continue // that of the machine
		}
		require.Equal(t, fine, f.Verdict, "%v", f)
		require.Empty(t, f.Mend)
	}
	require.Equal(t, "they agree", e.line(t, "register stream and outbox").Detail)
	var text, document bytes.Buffer
	require.NoError(t, e.print(&text, false))
	require.NoError(t, e.print(&document, true))
	require.Contains(t, text.String(), "ok            register schema  ")
	require.Contains(t, document.String(), `"verdict": "ok"`)
}

// TestDoctor_NamesWhatIsBroken breaks one thing at a time and looks for its line.
func TestDoctor_NamesWhatIsBroken(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		harm         func(*patient)
		check        string
		verdict      verdict
		detail, mend string
	}{
		"a folder that others may read": {
			func(p *patient) { require.NoError(p.t, os.Chmod(p.dir, 0o755)) },
			"data folder access", doubtful, "mode 755", "chmod 700",
		},
		"no database": {
			func(p *patient) { require.NoError(p.t, os.Remove(filepath.Join(p.dir, "register.db"))) },
			"register database", doubtful, "not there yet", "pcnfunding migrate register",
		},
		"a damaged database": {
			func(p *patient) {
				require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, "register.db"), bytes.Repeat([]byte("no database "), 1000), 0o600))
			},
			"register database", broken, "not a database", "--database-url",
		},
		"a schema that is behind": {
			func(p *patient) {
				p.exec(`DELETE FROM schema_service WHERE version_id = (SELECT MAX(version_id) FROM schema_service)`)
			},
			"register schema", broken, "of its own", "pcnfunding migrate register",
		},
		"tables of the mechanisms that are behind": {
			func(p *patient) {
				p.exec(`DELETE FROM schema_mechanism WHERE version_id = (SELECT MAX(version_id) FROM schema_mechanism)`)
			},
			"register schema", broken, "of its mechanisms", "pcnfunding migrate register",
		},
		"a schema that was never made": {
			func(p *patient) { p.exec(`DROP TABLE schema_service`); p.exec(`DROP TABLE schema_mechanism`) },
			"register schema", broken, "never migrated", "pcnfunding migrate register",
		},
		"an event that waits": {
			func(p *patient) { p.row("waits", hour, time.Time{}) },
			"register outbox", doubtful, "1 events wait, the oldest for 1h", "broker",
		},
		"an event in quarantine": {
			func(p *patient) {
				p.exec(heldEvent)
			},
			"register events taken in", doubtful, "1 in quarantine", "release or discard",
		},
		"a stream that deletes": {
			func(p *patient) {
				p.stream(func(b *bus.Bus) {
					stream, err := b.JetStream().Stream(p.t.Context(), "PCNFUNDING_REGISTER")
					require.NoError(p.t, err)
					settings := stream.CachedInfo().Config
					settings.MaxAge = time.Hour
					_, err = b.JetStream().UpdateStream(p.t.Context(), settings)
					require.NoError(p.t, err)
				})
			},
			"register stream", broken, "max_age is 1h0m0s", "pcnfunding serve register",
		},
		"a stream that is gone": {
			func(p *patient) {
				p.stream(func(b *bus.Bus) {
					require.NoError(p.t, b.JetStream().DeleteStream(p.t.Context(), "PCNFUNDING_REGISTER"))
				})
			},
			"register stream", broken, "1 events that were sent", "pcnfunding events rebuild register",
		},
		"a stream that has lost its beginning": {
			func(p *patient) { p.row("lost", hour, hour) },
			"register stream and outbox", broken, "1 events that were sent are no longer in the stream", "pcnfunding events rebuild register",
		},
		"a stream that has lost its end": {
			func(p *patient) { p.row("lost", time.Now(), time.Now().Add(time.Hour)) },
			"register stream and outbox", broken, "the end of the stream is lost", "pcnfunding events rebuild register",
		},
		"a database older than the stream": {
			func(p *patient) { p.exec(`DELETE FROM outbox`) },
			"register stream and outbox", broken, "the stream is newer than the database", "docs/operations/backup.md",
		},
		"a local key that others may read": {
			func(p *patient) {
				_, err := auth.OpenLocalIssuer(p.dir, time.Now)
				require.NoError(p.t, err)
				require.NoError(p.t, os.Chmod(filepath.Join(p.dir, "local-issuer.key"), 0o644))
			},
			"local issuer", broken, "may be read by others", "chmod 600",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t)
			c.harm(p)
			got := examined(t, "register", "--data-dir", p.dir).line(t, c.check)
			require.Equal(t, c.verdict, got.Verdict, "%v", got)
			require.Contains(t, got.Detail, c.detail)
			require.Contains(t, got.Mend, c.mend)
		})
	}
}

func TestDoctor_AsksASuiteThatRuns(t *testing.T) {
	t.Parallel()
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", events: events{Copies: 1}, quiet: true}
	command.DataDir = filepath.Join(t.TempDir(), "data")
	suite, err := command.assemble(t.Context())
	require.NoError(t, err)
	stop := suite.start(t.Context())
	args := []string{"all", "--data-dir", command.DataDir, "--http", suite.httpAddr}
	e := examined(t, args...)
	require.Contains(t, e.line(t, "data folder").Detail, "in use by a suite that runs")
	require.Equal(t, fine, e.line(t, "register schema").Verdict, "databases can be read beside the suite")
	require.Equal(t, fine, e.line(t, "register broker").Verdict)
	require.Equal(t, unverified, e.line(t, "streams").Verdict)
	_, err = suite.stores["payments"].Exec(t.Context(), heldEvent)
	require.NoError(t, err)
	require.Contains(t, examined(t, args...).line(t, "payments events").Detail, "degraded: 1 events are in quarantine")
	for _, name := range []string{"payments", "partners"} {
		for _, d := range brokerUser(name).Durables {
			require.Eventually(t, func() bool {
				_, err := suite.buses[name].JetStream().Consumer(t.Context(), d.Stream, d.Name)
				return err == nil
			}, time.Minute, 50*time.Millisecond, "%s is at work on %s", name, d.Stream)
		}
	}
	require.NoError(t, stop())
	e = examined(t, args...)
	require.Contains(t, e.line(t, "data folder").Detail, "no suite runs on it")
	require.Equal(t, fine, e.line(t, "payments stream and outbox").Verdict)
	require.Equal(t, fine, e.line(t, "payments consumers").Verdict)
	require.Contains(t, e.line(t, "partners consumers").Detail, "events wait on 7 streams")
	loseConsumer(t, command)
	e = examined(t, args...)
	require.Equal(t, doubtful, e.line(t, "payments consumers").Verdict)
	require.Contains(t, e.line(t, "payments consumers").Detail, "PCNFUNDING_CORE")

	release, err := command.lock()
	require.NoError(t, err)
	defer func() { _ = release() }()
	require.Equal(t, unverified, examined(t, args...).line(t, "running suite").Verdict, "it does not answer")
}

// loseConsumer deletes the consumer of payments on the stream of core.
func loseConsumer(t *testing.T, command *serveCommand) {
	t.Helper()
	server, err := bus.StartServer(bus.ServerConfig{StoreDir: filepath.Join(command.DataDir, "events")})
	require.NoError(t, err)
	defer server.Stop()
	broker, err := bus.Open(t.Context(), bus.Config{Server: server})
	require.NoError(t, err)
	defer broker.Close()
	require.NoError(t, broker.JetStream().DeleteConsumer(t.Context(), "PCNFUNDING_CORE", "payments"))
}

func TestDoctor_AsksASuiteWithCertificates(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	command := &serveCommand{Service: "all", Migrate: true, GRPC: "127.0.0.1:0", HTTP: "127.0.0.1:0", events: events{Copies: 1}, quiet: true}
	command.DataDir, command.transport = filepath.Join(t.TempDir(), "data"), shown(ca.Certify(t.TempDir(), "all"))
	suite := running(t, command)
	args := []string{"all", "--data-dir", command.DataDir, "--http", suite.httpAddr}
	flags := func(files transport) []string {
		return append(args, "--tls-cert-file", files.TLSCertFile, "--tls-key-file", files.TLSKeyFile, "--tls-ca-file", files.TLSCAFile)
	}
	require.Equal(t, fine, examined(t, flags(command.transport)...).line(t, "register broker").Verdict)
	stranger := shown(testkit.NewCA(t).Certify(t.TempDir(), "all"))
	require.Contains(t, examined(t, flags(stranger)...).line(t, "running suite").Detail, "certificate")
}

func TestDoctor_TellsWhatServeWouldRefuse(t *testing.T) {
	t.Parallel()
	e := examined(t, "core", "--data-dir", filepath.Join(t.TempDir(), "none"))
	require.Equal(t, broken, e.line(t, "configuration").Verdict)
	require.Contains(t, e.line(t, "configuration").Detail, "--register-address")
	require.Equal(t, doubtful, e.line(t, "data folder").Verdict)
	require.Equal(t, exitError(2), e.outcome())
}

func TestDoctor_LooksAtTheBroker(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	away := examined(t, "register", "--data-dir", p.dir, "--nats", "nats://127.0.0.1:1")
	require.Equal(t, broken, away.line(t, "broker").Verdict)
	require.Equal(t, fine, examined(t, "register", "--data-dir", p.dir).line(t, "broker storage").Verdict)
}

func TestDoctor_ComparesClocksAndSpace(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for apart, want := range map[time.Duration]verdict{
		0: fine, time.Second: fine, -time.Second: fine, 10 * time.Second: doubtful, -10 * time.Second: doubtful, time.Minute: broken, -time.Minute: broken,
	} {
		e := new(examination)
		e.clock("clock", now.Add(apart), now, now, 0)
		require.Equal(t, want, e.line(t, "clock").Verdict, apart)
	}
	for free, want := range map[uint64]verdict{100: fine, 20: fine, 19: doubtful, 5: doubtful, 4: broken, 0: broken} {
		e := new(examination)
		e.space("/data", free, 100)
		require.Equal(t, want, e.line(t, "disk").Verdict, free)
	}
}

func TestDoctor_ExitCodeIsOfTheWorstLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		verdicts []verdict
		want     error
	}{
		{nil, nil},
		{[]verdict{fine, unverified}, nil},
		{[]verdict{fine, doubtful}, exitError(1)},
		{[]verdict{broken, doubtful, fine}, exitError(2)},
	} {
		e := new(examination)
		for _, v := range c.verdicts {
			e.note("x", v, "", "")
		}
		require.Equal(t, c.want, e.outcome())
	}
}
