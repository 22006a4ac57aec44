package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
	"github.com/pcnfunding/pcnfunding/pkg/inbox"
	"github.com/pcnfunding/pcnfunding/pkg/outbox"
	"github.com/pcnfunding/pcnfunding/pkg/sqldb"
	"github.com/pcnfunding/pcnfunding/services/payments"
)

const (
	// skewDoubtful and skewBroken are differences between two clocks; tokens are given 30 s.
	skewDoubtful = 2 * time.Second
	skewBroken   = 30 * time.Second

	// freeDoubtful and freeBroken are parts of a disk, in per cent, that are free.
	freeDoubtful = 20
	freeBroken   = 5

	// parkedAlarm is how long an event may wait for the one before it.
	parkedAlarm = time.Minute
)

// embeds tells whether something is kept in the data folder besides the local key.
func (e *examination) embeds() bool {
	return len(e.services) > 0 && (e.command.DatabaseURL == "" || e.command.NATS == "")
}

// folder looks at the data folder and takes it, so that no suite starts on it meanwhile; one that runs already is left alone.
func (e *examination) folder(context.Context) {
	dir := e.command.DataDir
	if !e.embeds() && e.command.OIDCIssuer != "" {
		return
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.note("data folder", doubtful, "pcnfunding migrate --data-dir "+dir, "%s is not there yet; the first start makes it", dir)
		return
	case err != nil:
		e.note("data folder", broken, "", "%v", err)
		return
	case info.Mode().Perm()&0o077 != 0:
		e.note("data folder access", doubtful, "chmod 700 "+dir, "others may look into %s (mode %o)", dir, info.Mode().Perm())
	}
	e.disk(dir)
	if !e.embeds() {
		return
	}
	release, err := e.command.lock()
	if errors.Is(err, fs.ErrPermission) {
		e.note("data folder", broken, "run this as the user whom the suite runs as, or give that user the folder", "%v", err)
		return
	}
	if err != nil {
		e.running = true
		e.note("data folder", fine, "", "%s is in use by a suite that runs", dir)
		return
	}
	e.closing = append(e.closing, func() { _ = release() })
	e.note("data folder", fine, "", "%s; no suite runs on it", dir)
}

func (e *examination) disk(dir string) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		e.note("disk", unverified, "", "%v", err)
		return
	}
	e.space(dir, stat.Bavail, stat.Blocks)
}

// space judges the blocks of a disk that are free.
func (e *examination) space(dir string, free, total uint64) {
	percent := 100 * free / max(total, 1)
	v := fine
	switch {
	case percent < freeBroken:
		v = broken
	case percent < freeDoubtful:
		v = doubtful
	}
	e.note("disk", v, "make room on the disk of "+dir+", or move the folder to a larger one", "%d %% free under %s", percent, dir)
}

// databases opens the database of each service and looks at all that rests on it.
func (e *examination) databases(ctx context.Context) {
	for _, name := range e.services {
		check := name + " database"
		file := filepath.Join(e.command.DataDir, name+".db")
		if e.command.DatabaseURL == "" {
			if _, err := os.Stat(file); err != nil {
				e.note(check, doubtful, "pcnfunding migrate "+name, "%s is not there yet; the first start makes it", file)
				continue
			}
		}
		db, err := e.command.open(ctx, name)
		if err != nil {
			e.note(check, broken, "see that the database runs, lets this role in and keeps what it acknowledges (--database-url)", "%v", err)
			continue
		}
		e.closing = append(e.closing, func() { _ = db.Close() })
		e.durability(ctx, check, db)
		if !e.schema(ctx, name, db) {
			continue
		}
		if db.Dialect() == sqldb.Postgres {
			if len(e.stores) == 0 {
				e.databaseClock(ctx, db)
			}
			e.privileges(ctx, name, db)
			e.locks(ctx, name, db)
		}
		e.stores[name] = db
		e.outbox(ctx, name, db)
		e.inbox(ctx, name, db)
		if name == payments.Name {
			e.ledger(ctx, db)
		}
	}
}

// locks tells whether what keeps rows from being changed is in force: an owner may have lifted it.
func (e *examination) locks(ctx context.Context, name string, db *sqldb.DB) {
	const text = `SELECT 'trigger ' || tgname || ' of ' || relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
			WHERE relnamespace = to_regnamespace($1) AND NOT tgisinternal AND tgenabled IN ('D', 'R')
		UNION SELECT 'row security of ' || relname FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
			WHERE relnamespace = to_regnamespace($1) AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1`
	var off []string
	err := db.Read(ctx, func(q sqldb.Querier) (err error) {
		off, err = sqldb.Collect(ctx, q, sqldb.Text, text, db.Schema())
		return err
	})
	check := name + " locks"
	switch {
	case err != nil:
		e.note(check, unverified, "", "%v", err)
	case len(off) > 0:
		e.note(check, broken, "find out who lifted them and what was changed (pcnfunding audit verify "+name+"), then ALTER TABLE ... ENABLE TRIGGER, ENABLE and FORCE ROW LEVEL SECURITY",
			"not in force: %s", strings.Join(off, ", "))
	default:
		e.note(check, fine, "", "what keeps rows from being changed is in force")
	}
}

// ledger adds the books up.
func (e *examination) ledger(ctx context.Context, db *sqldb.DB) {
	const check = "ledger"
	err := db.Read(ctx, func(q sqldb.Querier) error { return payments.VerifyLedger(ctx, q) })
	if _, refused := fault.As(err); refused && fault.ReasonOf(err) == payments.ReasonLedgerBroken {
		e.note(check, broken, "follow docs/runbooks/LedgerUnbalanced.md", "%v", err)
		return
	}
	if err != nil {
		e.note(check, unverified, "", "%v", err)
		return
	}
	e.note(check, fine, "", "every posting is whole and sums to zero")
}

func (e *examination) durability(ctx context.Context, check string, db *sqldb.DB) {
	settings, err := db.Durability(ctx)
	if err != nil {
		e.note(check, broken, "", "%v", err)
		return
	}
	said := make([]string, 0, len(settings))
	for _, s := range settings {
		said = append(said, s.Name+"="+s.Value)
	}
	e.note(check, fine, "", "a commit survives a power cut (%s)", strings.Join(said, ", "))
}

// schema tells whether the schema has all that this program needs.
func (e *examination) schema(ctx context.Context, name string, db *sqldb.DB) bool {
	check, mend := name+" schema", "pcnfunding migrate "+name
	has, err := db.Version(ctx)
	behind := db.CheckVersion(ctx, migrations(name))
	switch {
	case err != nil:
		e.note(check, broken, mend, "it cannot be read: %v", err)
		return false
	case has == sqldb.Version{}:
		e.note(check, broken, mend+", or give the login of "+name+" (--database-url, --database-role)", "it was never migrated, or this login may not see that it was")
		return false
	case behind != nil:
		e.note(check, broken, mend, "%v", behind)
		return false
	}
	e.note(check, fine, "", "migration %d of its mechanisms and %d of its own; this program needs no more", has.Mechanism, has.Service)
	return true
}

// rights are what the role of a session may do beyond its service.
type rights struct {
	role, others                     string
	super, bypass, maker, owner, ddl bool
}

// privileges tells whether the role could do more than its service should.
func (e *examination) privileges(ctx context.Context, name string, db *sqldb.DB) {
	const text = `SELECT rolname, rolsuper, rolbypassrls, rolcreaterole OR rolcreatedb,
		EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace($1) AND pg_has_role(pg_roles.oid, relowner, 'MEMBER')),
		has_schema_privilege(rolname, $1, 'CREATE'),
		COALESCE((SELECT string_agg(nspname, ', ' ORDER BY nspname) FROM pg_namespace
			WHERE nspname = ANY (string_to_array($2, ',')) AND nspname <> $1 AND has_schema_privilege(rolname, oid, 'USAGE')), '')
		FROM pg_roles WHERE rolname = current_user`
	var r rights
	err := db.Read(ctx, func(q sqldb.Querier) error {
		return q.QueryRow(ctx, text, db.Schema(), strings.Join(serviceNames, ",")).
			Scan(&r.role, &r.super, &r.bypass, &r.maker, &r.owner, &r.ddl, &r.others)
	})
	check := name + " role"
	if err != nil {
		e.note(check, unverified, "", "%v", err)
		return
	}
	e.judge(check, name, r)
}

func (e *examination) judge(check, name string, r rights) {
	mend := "pcnfunding migrate " + name + " as the owner with --app-role, and serve --no-migrate as that role"
	switch {
	case r.super || r.bypass:
		e.note(check, broken, mend, "%s is a superuser or passes row security by, so nothing keeps it from changing the ledger", r.role)
	case r.owner || r.ddl:
		e.note(check, doubtful, mend, "%s owns tables of %s, is a member of the role that does, or may make some; it needs none of that to serve", r.role, name)
	case r.others != "":
		e.note(check, doubtful, mend, "%s may also use the schemas of others: %s", r.role, r.others)
	case r.maker:
		e.note(check, doubtful, mend, "%s may make roles or databases", r.role)
	default:
		e.note(check, fine, "", "%s may do what %s needs and owns nothing", r.role, name)
	}
}

func (e *examination) databaseClock(ctx context.Context, db *sqldb.DB) {
	var micros int64
	before := time.Now()
	err := db.Read(ctx, func(q sqldb.Querier) error {
		return q.QueryRow(ctx, `SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)`).Scan(&micros)
	})
	if err != nil {
		e.note("clock of the database", unverified, "", "%v", err)
		return
	}
	e.clock("clock of the database", sqldb.FromMicros(micros), before, time.Now(), 0)
}

// clock compares a clock, read between two moments of ours and exact to a grain, with ours.
func (e *examination) clock(check string, theirs, before, after time.Time, grain time.Duration) {
	apart := max(before.Sub(theirs)-grain, theirs.Sub(after), 0)
	v := fine
	switch {
	case apart >= skewBroken:
		v = broken
	case apart >= skewDoubtful:
		v = doubtful
	}
	e.note(check, v, "have both machines follow one time server", "%s apart from ours", apart.Round(time.Millisecond))
}

func (e *examination) outbox(ctx context.Context, name string, db *sqldb.DB) {
	check := name + " outbox"
	waiting, err := outbox.Unsent(ctx, db)
	age, ageErr := outbox.OldestAge(ctx, db)
	if err := errors.Join(err, ageErr); err != nil {
		e.note(check, unverified, "", "%v", err)
		return
	}
	v := fine
	if age > outboxAlarm {
		v = doubtful
	}
	e.note(check, v, "pcnfunding serve "+name+" publishes them once it reaches the broker; see the lines of the broker",
		"%d events wait, the oldest for %s", waiting, age.Round(time.Second))
}

func (e *examination) inbox(ctx context.Context, name string, db *sqldb.DB) {
	check := name + " events taken in"
	held, err := inbox.Quarantine(ctx, db)
	parked, parkedErr := inbox.OldestParked(ctx, db)
	if err := errors.Join(err, parkedErr); err != nil {
		e.note(check, unverified, "", "%v", err)
		return
	}
	v, mend := fine, ""
	switch {
	case held > 0:
		v, mend = doubtful, "list the held events of "+name+", and release or discard each"
	case parked > parkedAlarm:
		v, mend = doubtful, "pcnfunding events rebuild SERVICE, on the service that the missing event is of"
	}
	e.note(check, v, mend, "%d in quarantine, the oldest that waits for one before it has waited %s", held, cmp.Or(parked, 0).Round(time.Second))
}
