package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// sqliteBusyMillis is how long a statement waits for a lock that another process holds on the file.
const sqliteBusyMillis = 10_000

// openSQLite opens one connection that writes and a pool that can only read. The writer comes first: it makes the file and
// switches it to write-ahead logging, which the readers then find.
func (db *DB) openSQLite(ctx context.Context, path string, o Options) error {
	if path == "" {
		return errors.New("sqlite: no file named")
	}
	unclean := leftOpen(path)
	db.dialect, db.path, db.role = SQLite, path, ""
	if err := makePrivate(path); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	writes, err := sqliteConnector(sqliteDSN(path, "_txlock=immediate"))
	if err != nil {
		return fmt.Errorf("sqlite %s: %w", path, err)
	}
	db.writer = sql.OpenDB(writes)
	db.writer.SetMaxOpenConns(1)
	if err := checkPragmas(ctx, db.writer); err != nil {
		return fmt.Errorf("sqlite %s: %w", path, err)
	}
	if unclean {
		if err := quickCheck(ctx, db.writer); err != nil {
			return fmt.Errorf("sqlite %s was not closed properly: %w", path, err)
		}
	}
	reads, err := sqliteConnector(sqliteDSN(path, "_txlock=deferred&_pragma=query_only(1)"))
	if err != nil {
		return fmt.Errorf("sqlite %s: %w", path, err)
	}
	db.reader = sql.OpenDB(reads)
	db.reader.SetMaxOpenConns(o.MaxConns)
	db.reader.SetMaxIdleConns(o.MaxConns)
	if err := db.reader.PingContext(ctx); err != nil {
		return fmt.Errorf("sqlite %s: %w", path, err)
	}
	return nil
}

// makePrivate makes the file, if it is not there, for its owner only; the log beside it takes after it.
func makePrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	return file.Close()
}

// sqliteDSN names the file and the settings. Without recursive triggers REPLACE would delete rows past the triggers that refuse it.
func sqliteDSN(path, extra string) string {
	return fmt.Sprintf("file:%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"+
		"&_pragma=recursive_triggers(1)&%s",
		(&url.URL{Path: path}).EscapedPath(), sqliteBusyMillis, extra)
}

// leftOpen reports whether the file's last user ended without closing it (or still has it open): a clean close empties and
// removes the write-ahead log.
func leftOpen(path string) bool {
	info, err := os.Stat(path + "-wal")
	return err == nil && info.Size() > 0
}

// checkPragmas reads the settings back, since SQLite ignores a misspelt one in silence.
func checkPragmas(ctx context.Context, conn *sql.DB) error {
	for _, p := range []struct{ name, want string }{
		{"journal_mode", "wal"},
		{"synchronous", "2"},
		{"foreign_keys", "1"},
		{"recursive_triggers", "1"},
		{"busy_timeout", fmt.Sprint(sqliteBusyMillis)},
	} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return fmt.Errorf("read setting %s: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("setting %s is %s and must be %s", p.name, got, p.want)
		}
	}
	return nil
}

// quickCheck looks for damage that does not need the indexes to be seen.
func quickCheck(ctx context.Context, conn *sql.DB) error {
	var verdict string
	if err := conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("check for damage: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("the file is damaged: %s", verdict)
	}
	return nil
}
