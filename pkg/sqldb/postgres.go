package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Time limits of a session, each shorter than the caller's own.
const (
	statementLimit   = 4 * time.Second
	lockLimit        = 2 * time.Second
	idleLimit        = 10 * time.Second
	transactionLimit = 10 * time.Second

	// roleParameter is the setting that SET ROLE changes.
	roleParameter = "role"

	// transactionTimeoutSince is the first server version that knows transaction_timeout.
	transactionTimeoutSince = 17
)

// openPostgres opens the pool, with the schema as search path and the session's time limits set.
func (db *DB) openPostgres(ctx context.Context, dsn string, o Options) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("postgres: read the address: %w", err)
	}
	maps.Copy(config.RuntimeParams, map[string]string{
		"search_path":                         db.schema,
		"timezone":                            "UTC",
		"statement_timeout":                   millis(statementLimit),
		"lock_timeout":                        millis(lockLimit),
		"idle_in_transaction_session_timeout": millis(idleLimit),
	})
	if db.role != "" {
		config.RuntimeParams[roleParameter] = db.role
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "pcnfunding-" + db.schema
	}
	config.AfterConnect = limitTransactions
	db.dialect = Postgres
	db.config = config
	db.writer = stdlib.OpenDB(*config)
	db.reader = db.writer
	db.writer.SetMaxOpenConns(o.MaxConns)
	db.writer.SetMaxIdleConns(o.MaxConns)
	db.writer.SetConnMaxIdleTime(5 * time.Minute)
	settings, err := db.Durability(ctx)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	for _, s := range settings {
		if s.Safe {
			continue
		}
		if !o.AllowUnsafe {
			return fmt.Errorf("postgres: %s is %s, so an acknowledged commit could be lost in a power cut", s.Name, s.Value)
		}
		db.logger.WarnContext(ctx, "the database may lose acknowledged commits", "setting", s.Name, "value", s.Value)
	}
	return nil
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// limitTransactions sets the limit on a whole transaction where the server knows it.
func limitTransactions(ctx context.Context, conn *pgconn.PgConn) error {
	major, _, _ := strings.Cut(conn.ParameterStatus("server_version"), ".")
	if version, err := strconv.Atoi(major); err != nil || version < transactionTimeoutSince {
		return nil //nolint:nilerr // an unreadable version is taken for an old one
	}
	if err := conn.Exec(ctx, "SET transaction_timeout = "+millis(transactionLimit)).Close(); err != nil {
		return fmt.Errorf("set transaction_timeout: %w", err)
	}
	return nil
}

// Setting is one of the engine's settings that decide whether a commit survives a power cut.
type Setting struct {
	Name, Value string
	Safe        bool
}

// Durability returns the settings on which the promise of a commit rests, as the server has them now.
func (db *DB) Durability(ctx context.Context) ([]Setting, error) {
	if db.dialect == SQLite {
		if err := checkPragmas(ctx, db.writer); err != nil {
			return nil, err
		}
		return []Setting{{"journal_mode", "wal", true}, {"synchronous", "full", true}}, nil
	}
	settings := []Setting{{Name: "fsync"}, {Name: "full_page_writes"}, {Name: "synchronous_commit"}}
	for i := range settings {
		s := &settings[i]
		if err := db.reader.QueryRowContext(ctx, "SHOW "+s.Name).Scan(&s.Value); err != nil {
			return nil, fmt.Errorf("read setting %s: %w", s.Name, explain(err))
		}
		s.Safe = s.Value == "on" || (s.Name == "synchronous_commit" && s.Value == "remote_apply")
	}
	return settings, nil
}

// pgxConn hands the pgx connection under conn to fn.
func pgxConn(conn *sql.Conn, fn func(*pgx.Conn) error) error {
	return conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return errors.New("the connection is not one of pgx")
		}
		return fn(c.Conn())
	})
}
