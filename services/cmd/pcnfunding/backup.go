package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/audit"
	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

// manifestFile is written last: a folder without it holds no whole backup.
const manifestFile = "manifest.json"

// manifestFormat is the version of the manifest.
const manifestFormat = 1

// manifest says what a backup holds, so that a restored database can be held against it.
type manifest struct {
	Format   int             `json:"format"`
	MadeAt   time.Time       `json:"made_at"`
	Release  string          `json:"release"`
	Engine   string          `json:"engine"`
	Services []serviceBackup `json:"services"`

	unsound []error // what is wrong with the databases themselves
}

// judge notes what is wrong with the books of a service; who cannot read them has a fault of another kind.
func (m *manifest) judge(service string, err error) error {
	if _, refused := fault.As(err); !refused {
		return err
	}
	m.unsound = append(m.unsound, fmt.Errorf("%s: %w", service, err))
	return nil
}

// serviceBackup is what a backup holds of a service.
type serviceBackup struct {
	Name         string              `json:"name"`
	File         string              `json:"file"`
	SHA256       string              `json:"sha256"` // of the file
	Version      sqldb.Version       `json:"version"`
	SchemaSHA256 string              `json:"schema_sha256"`
	Tables       []sqldb.TableDigest `json:"tables"`
}

type backupCommand struct {
	storage `embed:""`
	Dir     string `arg:"" help:"New or empty folder for the backup." type:"path"`
}

// Run writes a backup of every service that has data. On Postgres it is one moment of all of them; files of SQLite are each of one
// moment, consumers of events before their producers. The suite may go on meanwhile.
func (b *backupCommand) Run(ctx context.Context) error {
	if err := emptyDir(b.Dir); err != nil {
		return err
	}
	m := &manifest{Format: manifestFormat, MadeAt: time.Now().UTC().Truncate(time.Second), Release: version, Engine: b.engine().String()}
	take := b.files
	if b.engine() == sqldb.Postgres {
		take = b.dumps
	}
	if err := take(ctx, m); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if len(m.Services) == 0 {
		return errors.New("back up: there is no data; see --data-dir and --database-url")
	}
	if err := m.write(b.Dir); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	for _, s := range m.Services {
		fmt.Printf("%-10s %s, %d tables, %d rows\n", s.Name, s.File, len(s.Tables), s.rows())
	}
	fmt.Println("keys, credentials and accounts files are not in a backup: keep them apart from it")
	if len(m.unsound) > 0 {
		return fmt.Errorf("the backup is whole, but the database it was taken of is not as it should be, and restore would refuse it: %w", errors.Join(m.unsound...))
	}
	return nil
}

// sound holds the books of a service against themselves: the seals of its audit log, and its ledger if it has one.
func sound(ctx context.Context, q sqldb.Querier, service string) error {
	if err := audit.Verify(ctx, q); err != nil {
		return err
	}
	if service == payments.Name {
		return payments.VerifyLedger(ctx, q)
	}
	return nil
}

// engine is the one that the flags choose.
func (s *storage) engine() sqldb.Dialect {
	if s.DatabaseURL != "" {
		return sqldb.Postgres
	}
	return sqldb.SQLite
}

func (s *serviceBackup) rows() (total int64) {
	for _, t := range s.Tables {
		total += t.Rows
	}
	return total
}

// emptyDir makes a folder for its owner only, and refuses one that holds anything.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the backup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look into the folder of the backup: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: a backup takes a folder of its own", dir)
	}
	return nil
}

// files copies the files of SQLite. A consumer is copied before its producers, so that no copy knows of an event that its producer's
// copy has not got.
func (b *backupCommand) files(ctx context.Context, m *manifest) error {
	for _, name := range slices.Backward(serviceNames) {
		if _, err := os.Stat(filepath.Join(b.DataDir, name+".db")); errors.Is(err, os.ErrNotExist) {
			continue
		}
		s, err := b.file(ctx, m, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		m.Services = append(m.Services, s)
	}
	return nil
}

func (b *backupCommand) file(ctx context.Context, m *manifest, name string) (s serviceBackup, err error) {
	db, err := b.open(ctx, name)
	if err != nil {
		return s, err
	}
	s = serviceBackup{Name: name, File: name + ".db"}
	path := filepath.Join(b.Dir, s.File)
	if err := errors.Join(db.CopyTo(ctx, path), db.Close()); err != nil {
		return s, err
	}
	made, err := sqldb.Open(ctx, "sqlite:"+path, sqldb.Options{Schema: name, Clock: time.Now})
	if err != nil {
		return s, err
	}
	err = made.Read(ctx, func(q sqldb.Querier) error {
		if s.Tables, err = made.Digests(ctx, q); err != nil {
			return err
		}
		return m.judge(name, sound(ctx, q, name))
	})
	return s, errors.Join(err, s.describe(ctx, made), made.Close(), s.seal(b.Dir))
}

// describe adds what the schema is.
func (s *serviceBackup) describe(ctx context.Context, db *sqldb.DB) (err error) {
	if s.Version, err = db.Version(ctx); err != nil {
		return err
	}
	s.SchemaSHA256, err = db.SchemaDigest(ctx)
	return err
}

// seal adds the hash of the file, and has the disk keep it.
func (s *serviceBackup) seal(dir string) (err error) {
	s.SHA256, err = hashFile(filepath.Join(dir, s.File))
	return err
}

// hashFile returns the hash of a file that the disk has kept.
func hashFile(path string) (sum string, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator names the folder
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), file.Sync()
}

// dumps writes a dump of each schema, all on one snapshot.
func (b *backupCommand) dumps(ctx context.Context, m *manifest) error {
	if strings.Contains(b.DatabaseURL, serviceMark) {
		return errors.New("a backup of one moment takes one login: name the role that owns the schemas in --database-url")
	}
	first, err := b.open(ctx, serviceNames[0])
	if err != nil {
		return err
	}
	err = first.Snapshot(ctx, "", func(_ sqldb.Querier, snapshot string) error {
		for _, name := range serviceNames {
			s, err := b.dump(ctx, m, name, snapshot)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if len(s.Tables) > 0 {
				m.Services = append(m.Services, s)
			}
		}
		return nil
	})
	return errors.Join(err, first.Close())
}

// dump writes the dump of a schema as it stands in a snapshot; one without tables is passed over.
func (b *backupCommand) dump(ctx context.Context, m *manifest, name, snapshot string) (s serviceBackup, err error) {
	db, err := b.open(ctx, name)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s = serviceBackup{Name: name, File: name + ".dump"}
	err = db.Snapshot(ctx, snapshot, func(q sqldb.Querier, _ string) error {
		if s.Tables, err = db.Digests(ctx, q); err != nil || len(s.Tables) == 0 {
			return err
		}
		return m.judge(name, sound(ctx, q, name))
	})
	if err != nil || len(s.Tables) == 0 {
		return s, err
	}
	// Rights are left out, since migrate grants them. Row security lets all be read, and is said to be meant.
	cmd, err := postgresCommand(commandIn(ctx), "pg_dump", b.DatabaseURL, "--format=custom", "--no-owner", "--no-privileges", "--enable-row-security",
		"--snapshot="+snapshot, "--schema="+name, "--file="+filepath.Join(b.Dir, s.File))
	if err != nil {
		return s, err
	}
	if err := runTool(cmd); err != nil {
		return s, err
	}
	return s, errors.Join(s.describe(ctx, db), s.seal(b.Dir))
}

// commandIn makes commands that end with a context.
func commandIn(ctx context.Context) func(name string, args ...string) *exec.Cmd {
	return func(name string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, name, args...) //nolint:gosec // a program of Postgres, with arguments of ours
	}
}

// write keeps the manifest.
func (m *manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestFile)
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		return err
	}
	_, err = hashFile(path)
	return err
}

// readManifest reads what a backup holds, and makes sure that its files are as they were written.
func readManifest(dir string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestFile)) //nolint:gosec // the operator names the folder
	if err != nil {
		return nil, fmt.Errorf("read the manifest, without which a backup is not whole: %w", err)
	}
	m := new(manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if m.Format != manifestFormat {
		return nil, fmt.Errorf("the backup has format %d and this release reads %d: restore it with release %s", m.Format, manifestFormat, m.Release)
	}
	for _, s := range m.Services {
		if !slices.Contains(serviceNames, s.Name) || filepath.Base(s.File) != s.File {
			return nil, fmt.Errorf("the manifest names %s in file %q, which this release does not know", s.Name, s.File)
		}
		sum, err := hashFile(filepath.Join(dir, s.File))
		if err != nil {
			return nil, fmt.Errorf("read the backup of %s: %w", s.Name, err)
		}
		if sum != s.SHA256 {
			return nil, fmt.Errorf("%s is not as it was written: take another backup", s.File)
		}
	}
	return m, nil
}
