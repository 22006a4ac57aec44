package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Dialect names the database engine.
type Dialect int

// The engines.
const (
	// SQLite is the embedded engine: one file, one writer.
	SQLite Dialect = iota + 1
	// Postgres is the engine of production.
	Postgres
)

// String returns the engine's name in lower case, as used in the names of migration files.
func (d Dialect) String() string {
	switch d {
	case SQLite:
		return "sqlite"
	case Postgres:
		return "postgres"
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

// Options says how to open a database.
type Options struct {
	// Schema is the Postgres schema that holds the service's tables; empty means public. SQLite has none.
	Schema string
	// Role is the Postgres role that sessions act as (SET ROLE); empty means the one that logs in. Migrations are made as the one that logs
	// in, and grant the role what it needs. SQLite has no roles.
	Role string
	// MaxConns bounds the connections of the pool (on SQLite, of the readers); 0 means 16.
	MaxConns int
	// Clock tells the time; it is required.
	Clock func() time.Time
	// Logger receives warnings; nil discards them.
	Logger *slog.Logger
	// AllowUnsafe accepts a Postgres server that does not promise to keep a commit through a power cut. Only for tests.
	AllowUnsafe bool
}

// acquireLimit is the longest wait for a connection (or for SQLite's one writer) before the caller is told to try again.
const acquireLimit = 5 * time.Second

const defaultMaxConns = 16

// DB is one service's database. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	schema  string
	role    string // Postgres only
	path    string // SQLite only
	clock   func() time.Time
	logger  *slog.Logger
	writer  *sql.DB
	reader  *sql.DB
	config  *pgx.ConnConfig // Postgres only

	signals    sync.Map // topic → chan struct{}
	secured    sync.Map // table → bool, whether row security binds us
	trustLocks atomic.Bool
	figures    *figures // nil unless Measure was called
}

// TrustLocks makes writes on Postgres run at READ COMMITTED in place of SERIALIZABLE. It is for a service each of whose decisions
// rests on rows that a lock taken before (Tx.Lock) keeps from all others: what is read after the lock is then what stands, while
// a SERIALIZABLE transaction that waited for a lock goes on with what stood before, fails and is run again, and transactions on
// rows that have nothing to do with each other, but lie on one page, undo each other. On SQLite, which has one writer, nothing
// changes.
func (db *DB) TrustLocks() { db.trustLocks.Store(true) }

// Open opens the database at url: "sqlite:/path/to/file.db" or "postgres://…". It checks that the engine keeps a commit
// through a power cut (unless Options.AllowUnsafe), and that a SQLite file left open by a crash is whole.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Clock == nil {
		return nil, errors.New("open database: no clock given")
	}
	if o.MaxConns == 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.Schema == "" {
		o.Schema = "public"
	}
	if !isIdentifier(o.Schema) {
		return nil, fmt.Errorf("open database: schema %q is not a plain lower-case identifier", o.Schema)
	}
	db := &DB{schema: o.Schema, role: o.Role, clock: o.Clock, logger: o.Logger}
	if db.logger == nil {
		db.logger = slog.New(slog.DiscardHandler)
	}
	path, isFile := strings.CutPrefix(url, "sqlite:")
	var err error
	switch {
	case isFile:
		err = db.openSQLite(ctx, path, o)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		err = db.openPostgres(ctx, url, o)
	default:
		err = errors.New("the address must begin with sqlite: or postgres://")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// Dialect returns the engine.
func (db *DB) Dialect() Dialect { return db.dialect }

// Schema returns the Postgres schema, or "public" on SQLite, where it means nothing.
func (db *DB) Schema() string { return db.schema }

// Now returns the time by the clock given to Open, in UTC, truncated to microseconds.
func (db *DB) Now() time.Time { return db.clock().UTC().Truncate(time.Microsecond) }

// Close closes every connection; transactions under way are waited for.
func (db *DB) Close() error {
	var errs []error
	if db.reader != nil && db.reader != db.writer {
		errs = append(errs, db.reader.Close())
	}
	if db.writer != nil {
		errs = append(errs, db.writer.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.reader.PingContext(ctx); err != nil {
		return explain(fmt.Errorf("ping database: %w", err))
	}
	return nil
}

// Signal returns the channel of a topic: it holds at most one token, so raising it often wakes its one listener once. It
// lets a background task of this process, such as the outbox relay, start as soon as a transaction has committed.
func (db *DB) Signal(topic string) chan struct{} {
	ch, _ := db.signals.LoadOrStore(topic, make(chan struct{}, 1))
	return ch.(chan struct{}) //nolint:forcetypeassert // the map holds nothing else
}

// Raise puts a token into the topic's channel, unless one waits there already.
func (db *DB) Raise(topic string) {
	select {
	case db.Signal(topic) <- struct{}{}:
	default:
	}
}

// Micros returns t as stored in a BIGINT column: microseconds since 1970, UTC.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros returns the UTC time of a value stored by Micros.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// isIdentifier reports whether s can stand unquoted in SQL as the name of a table, column or schema.
func isIdentifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'a' && r <= 'z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 63
}
