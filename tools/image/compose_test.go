package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
)

const startLimit = 2 * time.Minute

// composeDir holds the Compose file and what it mounts.
var composeDir = filepath.Join(root, "deploy", "compose")

// theProject reads the Compose file as an engine would.
func theProject(t *testing.T) *types.Project {
	t.Helper()
	digest := "sha256:" + strings.Repeat("0", 64)
	options, err := cli.NewProjectOptions([]string{filepath.Join(composeDir, "compose.yaml")},
		cli.WithEnv([]string{"POSTGRES_DIGEST=" + digest, "NATS_DIGEST=" + digest}), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return must[*types.Project](t)(options.LoadProject(t.Context()))
}

// ours tells whether a service runs the suite's own image.
func ours(s types.ServiceConfig) bool { return strings.HasPrefix(s.Image, "pcnfunding:") }

func TestCompose_ContainersMayDoLittle(t *testing.T) {
	project := theProject(t)
	for name, s := range project.Services {
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may gain privileges", name)
		}
		if ours(s) && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Privileged || s.User != "") {
			t.Errorf("%s may do more than it needs", name)
		}
		if !ours(s) && !strings.Contains(s.Image, "@sha256:") {
			t.Errorf("%s is not named by its digest", name)
		}
		for _, secret := range s.Secrets {
			if owner, of := strings.CutPrefix(secret.Source, "nats_"); of && name != "partners" && owner != name {
				t.Errorf("%s gets credentials of %s at the broker", name, owner)
			}
		}
		for _, p := range s.Ports {
			if name != "gateway" || p.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s:%s", name, p.HostIP, p.Published)
			}
		}
	}
}

// machine runs the services of the Compose file as processes, each on an address of its own.
type machine struct {
	t        *testing.T
	project  *types.Project
	binary   string
	secrets  string // folder that holds each secret under its name, as containers see it
	volumes  string
	replacer *strings.Replacer
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, project: theProject(t), secrets: t.TempDir(), volumes: t.TempDir()}
	m.binary = filepath.Join(unpack(t, theImage(t).image), binaryPath)
	m.makeSecrets()
	replaced := []string{"/run/secrets/", m.secrets + "/", "//nats:4222", strings.TrimPrefix(m.broker(), "nats:"), "@postgres/", "@" + m.postgres() + "/"}
	for i, name := range slices.Sorted(maps.Keys(m.project.Services)) {
		replaced = append(replaced, "/"+name+":", "/"+m.address(i)+":")
	}
	m.replacer = strings.NewReplacer(replaced...)
	return m
}

// makeSecrets runs the script that makes them twice, of which the second changes nothing, and shows them as an engine would.
func (m *machine) makeSecrets() {
	m.t.Helper()
	made := m.t.TempDir()
	var before string
	for range 2 {
		script := exec.Command(filepath.Join(composeDir, "secrets.sh"), made)
		script.Env = append(os.Environ(), "PCN_BIN="+m.binary)
		m.run(script)
		after := string(m.run(exec.Command("sh", "-c", "find \"$0\" -type f | sort | xargs cksum", made)))
		if before != "" && before != after {
			m.t.Error("secrets.sh changes what is there")
		}
		before = after
	}
	for name, secret := range m.project.Secrets {
		inside := must[string](m.t)(filepath.Rel(must[string](m.t)(filepath.Abs(filepath.Join(composeDir, "secrets"))), secret.File))
		file := filepath.Join(made, inside)
		if info, err := os.Stat(file); err != nil || info.Size() < 32 {
			m.t.Errorf("secrets.sh does not make %s: %v", name, err)
		}
		if err := os.Symlink(file, filepath.Join(m.secrets, name)); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *machine) address(i int) string {
	return fmt.Sprintf("127.%d.%d.%d", 128+os.Getpid()%64, os.Getpid()/64%256, i+1)
}

func (m *machine) run(cmd *exec.Cmd) []byte {
	m.t.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s: %v: %s", cmd, err, said.String())
	}
	return out
}

// broker starts the broker with the configuration that its container gets, and returns its address.
func (m *machine) broker() string {
	m.t.Helper()
	text := must[[]byte](m.t)(os.ReadFile(filepath.Join(m.secrets, "nats-server.conf")))
	file := filepath.Join(m.volumes, "nats-server.conf")
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(`"/data/`), []byte(`"`+m.volumes+`/`)), 0o600); err != nil {
		m.t.Fatal(err)
	}
	options := must[*server.Options](m.t)(server.ProcessConfigFile(file))
	if !options.SyncAlways {
		m.t.Error("the broker would acknowledge before it has written to disk")
	}
	options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s := must[*server.Server](m.t)(server.NewServer(options))
	s.Start()
	m.t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(startLimit) {
		m.t.Fatal("the broker does not start")
	}
	return s.ClientURL()
}

// postgres starts a database, makes its roles as the container would, has it ask all but the administrator for their password, and
// returns its host and port.
func (m *machine) postgres() string {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "postgres")
	script := filepath.Join(root, ".ci", "postgres")
	said := string(m.run(exec.Command(script, "start", dir)))
	m.t.Cleanup(func() { _ = exec.Command(script, "stop", dir).Run() })
	address := must[*url.URL](m.t)(url.Parse(regexp.MustCompile(`postgres://[^']+`).FindString(said)))
	env := append(os.Environ(), "PGHOST="+address.Hostname(), "PGPORT="+address.Port(), "POSTGRES_USER=postgres", "POSTGRES_DB=pcnfunding", "SECRETS="+m.secrets)
	execute := func(name string, args ...string) {
		cmd := exec.Command(name, args...)
		cmd.Env = env
		m.run(cmd)
	}
	execute("psql", "-U", "postgres", "-c", "CREATE DATABASE pcnfunding")
	execute(filepath.Join(composeDir, "postgres", "roles.sh"))
	home := strings.TrimSpace(string(must[[]byte](m.t)(os.ReadFile(filepath.Join(dir, "home")))))
	rules := "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	file := must[*os.File](m.t)(os.OpenFile(filepath.Join(home, "data", "pg_hba.conf"), os.O_WRONLY|os.O_TRUNC, 0))
	_, err := file.WriteString(rules)
	if err = errors.Join(err, file.Close()); err != nil {
		m.t.Fatal(err)
	}
	execute("psql", "-U", "postgres", "-c", "SELECT pg_reload_conf()")
	return address.Host
}

// command is what a container of a service would run, with its environment and nothing else of ours.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	m.t.Helper()
	s := m.project.Services[name]
	at := slices.Index(slices.Sorted(maps.Keys(m.project.Services)), name)
	whole := slices.Concat(s.Entrypoint, s.Command, args)
	if len(whole) > 0 && whole[0] == binaryPath {
		whole = whole[1:]
	}
	cmd := exec.Command(m.binary, whole...)
	data := filepath.Join(m.volumes, name)
	for _, v := range s.Volumes {
		data = filepath.Join(m.volumes, v.Source)
	}
	cmd.Env = []string{"PCN_DATA_DIR=" + data}
	for key, value := range s.Environment {
		cmd.Env = append(cmd.Env, key+"="+strings.ReplaceAll(m.replacer.Replace(*value), "0.0.0.0", m.address(at)))
	}
	return cmd
}

// up starts what may start, in the order of the dependencies: a service that has to complete is waited for.
func (m *machine) up() {
	m.t.Helper()
	done := map[string]bool{"postgres": true, "nats": true, "token": true}
	for len(done) < len(m.project.Services) {
		before := len(done)
		for name, s := range m.project.Services {
			waits := slices.ContainsFunc(slices.Collect(maps.Keys(s.DependsOn)), func(on string) bool { return !done[on] })
			if done[name] || waits {
				continue
			}
			done[name] = true
			for on, how := range s.DependsOn {
				if how.Condition == types.ServiceConditionHealthy && ours(m.project.Services[on]) {
					m.healthy(on)
				}
			}
			if s.Restart == "no" {
				m.run(m.command(name))
				continue
			}
			m.start(name)
		}
		if len(done) == before {
			m.t.Fatal("the dependencies go round in a circle")
		}
	}
}

func (m *machine) start(name string) {
	m.t.Helper()
	cmd := m.command(name)
	log := must[*os.File](m.t)(os.Create(filepath.Join(m.volumes, name+".log")))
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			m.t.Errorf("%s did not stop in good order: %v", name, err)
		}
	})
}

// healthy waits until the health check of a service is content.
func (m *machine) healthy(name string) {
	m.t.Helper()
	check := m.project.Services[name].HealthCheck.Test
	deadline := time.After(startLimit)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		cmd := m.command(name)
		cmd.Args = append([]string{m.binary}, check[2:]...)
		if cmd.Run() == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			log, err := os.ReadFile(filepath.Join(m.volumes, name+".log"))
			m.t.Fatalf("%s is not healthy: %s (log read: %v)", name, log[max(0, len(log)-2000):], err)
		}
	}
}

// TestCompose_WorksAsProcesses has no engine: it runs each service's command with its environment on a real Postgres and a real
// broker, with names replaced by addresses, and so proves the wiring but not what an engine does.
func TestCompose_WorksAsProcesses(t *testing.T) {
	if _, err := exec.LookPath("psql"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no psql")
	}
	m := newMachine(t)
	m.up()
	for name, s := range m.project.Services {
		if ours(s) && s.HealthCheck != nil {
			m.healthy(name)
		}
	}
	token := strings.TrimSpace(string(m.run(m.command("token", "--role", "auditor"))))
	base := m.replacer.Replace("http://gateway:8080")
	for _, path := range []string{
		"register/audit", "core/audit", "arrs/audit", "iif/audit", "devfund/audit", "activity/audit", "payments/audit", "partners/audit-entries",
	} {
		if status, body := get(t, base+"/v1/"+path+"?page_size=1", token); status != http.StatusOK {
			t.Errorf("%s: %d: %s", path, status, body)
		}
	}
	for _, name := range []string{"register", "payments", "partners"} {
		doctor := m.command(name)
		doctor.Args = []string{m.binary, "doctor", name}
		out, _ := doctor.CombinedOutput() // the exit code tells of warnings too
		for _, line := range []string{name + " database", name + " schema", name + " role", name + " stream", "issuer", "broker"} {
			if !regexp.MustCompile(`(?m)^ok +` + line + ` `).Match(out) {
				t.Errorf("the doctor is not content with the %s:\n%s", line, out)
			}
		}
	}
}
