package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
)

type restoreCommand struct {
	storage `embed:""`
	Dir     string `arg:"" help:"Folder of the backup." type:"existingdir"`
	Service string `help:"The one service to restore; without it, all that the backup holds." placeholder:"NAME"`
}

// Run restores services into places where there is nothing of them, and holds what came of it against the manifest. The suite must not
// run meanwhile.
func (r *restoreCommand) Run(ctx context.Context) (err error) {
	m, err := readManifest(r.Dir)
	if err != nil {
		return err
	}
	if m.Engine != r.engine().String() {
		return fmt.Errorf("the backup is of %s, and the flags name %s", m.Engine, r.engine())
	}
	services := slices.DeleteFunc(slices.Clone(m.Services), func(s serviceBackup) bool { return r.Service != "" && s.Name != r.Service })
	if len(services) == 0 {
		return fmt.Errorf("the backup holds nothing of %q", r.Service)
	}
	restore := r.load
	if r.engine() == sqldb.SQLite {
		release, locked := r.lock()
		if locked != nil {
			return locked
		}
		defer func() { err = errors.Join(err, release()) }()
		restore = r.copyFile
	}
	for _, s := range services { // before anything is written
		if err := r.checkEmpty(ctx, s.Name); err != nil {
			return err
		}
	}
	for _, s := range services {
		if err := restore(ctx, s); err != nil {
			return fmt.Errorf("restore %s: %w", s.Name, err)
		}
		if err := r.verify(ctx, s); err != nil {
			return fmt.Errorf("restored %s is not as it was backed up: %w", s.Name, err)
		}
		fmt.Printf("restored %-10s %d tables, %d rows, as they were backed up\n", s.Name, len(s.Tables), s.rows())
	}
	fmt.Printf("it is as it was at %s; next: docs/operations/backup.md says how to grant again, and to mend the streams and what follows them\n", m.MadeAt)
	return nil
}

// sqliteFiles are what SQLite may keep of a database: itself, and what it would read into whatever stands beside it.
var sqliteFiles = []string{".db", ".db-wal", ".db-shm", ".db-journal"}

// checkEmpty refuses a place where there is something of a service.
func (r *restoreCommand) checkEmpty(ctx context.Context, name string) (err error) {
	if r.engine() == sqldb.SQLite {
		for _, suffix := range sqliteFiles {
			if _, err := os.Stat(filepath.Join(r.DataDir, name+suffix)); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("%s has data of %s: move %[2]s%[3]s away first, or name another --data-dir", r.DataDir, name, suffix)
			}
		}
		return nil
	}
	db, err := r.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables []string
	err = db.Read(ctx, func(q sqldb.Querier) error {
		tables, err = db.TableNames(ctx, q)
		return err
	})
	if err == nil && len(tables) > 0 {
		return fmt.Errorf("schema %s has %d tables: drop or rename it first, or name another database", name, len(tables))
	}
	return err
}

// copyFile puts a file of SQLite in its place, whole or not at all.
func (r *restoreCommand) copyFile(_ context.Context, s serviceBackup) (err error) {
	from, err := os.Open(filepath.Join(r.Dir, s.File))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	part := filepath.Join(r.DataDir, s.Name+".restoring")
	to, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(r.DataDir, s.Name+".db"))
}

// load restores a schema in one transaction.
func (r *restoreCommand) load(ctx context.Context, s serviceBackup) (err error) {
	db, err := r.open(ctx, s.Name)
	if err != nil {
		return err
	}
	if err := errors.Join(db.MakeSchema(ctx), db.Close()); err != nil {
		return err
	}
	cmd, err := postgresCommand(commandIn(ctx), "pg_restore", r.DatabaseURL, "--single-transaction", "--exit-on-error", "--no-owner",
		"--no-privileges", "--schema="+s.Name)
	if err != nil {
		return err
	}
	cmd.Args = append(cmd.Args, filepath.Join(r.Dir, s.File))
	return runTool(cmd)
}

// verify holds a restored service against its backup, and its books against themselves.
func (r *restoreCommand) verify(ctx context.Context, s serviceBackup) (err error) {
	db, err := r.open(ctx, s.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	restored := serviceBackup{}
	if err := restored.describe(ctx, db); err != nil {
		return err
	}
	if restored.Version != s.Version || restored.SchemaSHA256 != s.SchemaSHA256 {
		return fmt.Errorf("its schema has migrations %+v and hash %s, and had %+v and %s", restored.Version, restored.SchemaSHA256, s.Version, s.SchemaSHA256)
	}
	read := db.Read
	if db.Dialect() == sqldb.Postgres {
		read = func(ctx context.Context, fn func(sqldb.Querier) error) error { // without the time limits of a service
			return db.Snapshot(ctx, "", func(q sqldb.Querier, _ string) error { return fn(q) })
		}
	}
	return read(ctx, func(q sqldb.Querier) error {
		tables, err := db.Digests(ctx, q)
		if err != nil {
			return err
		}
		if err := sameTables(tables, s.Tables); err != nil {
			return err
		}
		return sound(ctx, q, s.Name)
	})
}

// sameTables tells each table that holds something else than it should.
func sameTables(has, want []sqldb.TableDigest) error {
	var errs []error
	for _, w := range want {
		at := slices.IndexFunc(has, func(h sqldb.TableDigest) bool { return h.Name == w.Name })
		switch {
		case at < 0:
			errs = append(errs, fmt.Errorf("table %s is missing", w.Name))
		case has[at] != w:
			errs = append(errs, fmt.Errorf("table %s has %d rows, and other content than the %d that were backed up", w.Name, has[at].Rows, w.Rows))
		}
	}
	if len(has) > len(want) {
		errs = append(errs, fmt.Errorf("there are %d tables, and %d were backed up", len(has), len(want)))
	}
	return errors.Join(errs...)
}
