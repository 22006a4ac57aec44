package sqldb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// TableDigest tells what a table holds: how many rows, and a hash of all their values in the order of the primary key. Of one content it is
// the same on every database of an engine, whatever its collation.
type TableDigest struct {
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Snapshot runs fn on one snapshot of a Postgres database, for as long as it takes. name is that of another call's snapshot of the same
// database, which must still run, or empty for a new one; fn is told it, for programs that can read the same snapshot.
func (db *DB) Snapshot(ctx context.Context, name string, fn func(q Querier, name string) error) error {
	if db.dialect != Postgres {
		return errors.New("take a snapshot: SQLite copies its file instead")
	}
	if strings.ContainsAny(name, `'\`) {
		return fmt.Errorf("take a snapshot: %q is not the name of one", name)
	}
	conn, err := acquire(ctx, db.reader)
	if err != nil {
		return explain(fmt.Errorf("take a snapshot: %w", err))
	}
	defer conn.Close() //nolint:errcheck // it only goes back to the pool
	defer rollback(ctx, conn)
	statements := []string{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
	if name != "" {
		statements = append(statements, "SET TRANSACTION SNAPSHOT '"+name+"'")
	}
	statements = append(statements, `SELECT set_config(name, '0', true) FROM pg_settings
		WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')`)
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return explain(fmt.Errorf("take a snapshot: %w", err))
		}
	}
	q := querier{conn, db.dialect, new(openRows)}
	defer q.open.close()
	if name == "" {
		if err := q.QueryRow(ctx, `SELECT pg_export_snapshot()`).Scan(&name); err != nil {
			return explain(fmt.Errorf("take a snapshot: %w", err))
		}
	}
	return explain(orCancelled(ctx, fn(q, name)))
}

// CopyTo writes a copy of a SQLite database, as it stands at one moment, to a file that is not there yet. Others may go on to use it.
func (db *DB) CopyTo(ctx context.Context, path string) error {
	if db.dialect != SQLite {
		return errors.New("copy the database: only SQLite is one file")
	}
	if _, err := db.writer.ExecContext(ctx, "VACUUM INTO $1", path); err != nil {
		return explain(fmt.Errorf("copy the database to %s: %w", path, err))
	}
	return nil
}

// TableNames returns the tables of the schema in order of name; none where it is not there.
func (db *DB) TableNames(ctx context.Context, q Querier) ([]string, error) {
	text, args := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`, []any(nil)
	if db.dialect == Postgres {
		text = `SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') ORDER BY relname COLLATE "C"`
		args = []any{db.schema}
	}
	names, err := Collect(ctx, q, Text, text, args...)
	if err != nil {
		return nil, fmt.Errorf("list the tables of schema %s: %w", db.schema, err)
	}
	return names, nil
}

// Digests returns what every table of the schema holds. It reads all of it.
func (db *DB) Digests(ctx context.Context, q Querier) ([]TableDigest, error) {
	names, err := db.TableNames(ctx, q)
	if err != nil {
		return nil, err
	}
	list := make([]TableDigest, len(names))
	for i, name := range names {
		if list[i], err = db.digest(ctx, q, name); err != nil {
			return nil, fmt.Errorf("read all of table %s: %w", name, err)
		}
	}
	return list, nil
}

func (db *DB) digest(ctx context.Context, q Querier, table string) (d TableDigest, err error) {
	d.Name = table
	order, err := db.keyOf(ctx, q, table)
	if err != nil {
		return d, err
	}
	rows, err := q.Query(ctx, `SELECT * FROM `+table+` ORDER BY `+order)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return d, err
	}
	h := sha256.New()
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return d, err
		}
		for i, value := range values {
			addValue(h, columns[i], value)
		}
		d.Rows++
	}
	d.SHA256 = hex.EncodeToString(h.Sum(nil))
	return d, rows.Err()
}

// keyOf returns what to order a table by: its primary key, or all columns where it has none.
func (db *DB) keyOf(ctx context.Context, q Querier, table string) (string, error) {
	text := `SELECT name FROM pragma_table_info($1) ORDER BY CASE pk WHEN 0 THEN 1000 ELSE pk END, cid`
	order := func(column string) string { return column }
	if db.dialect == Postgres {
		text = `SELECT attname FROM pg_attribute LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
			WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY array_position(indkey, attnum) NULLS LAST, attnum`
		order = func(column string) string { return column + `::text COLLATE "C"` }
	}
	columns, err := Collect(ctx, q, Text, text, table)
	if err != nil {
		return "", fmt.Errorf("look for its key: %w", err)
	}
	for i, column := range columns {
		if !isIdentifier(column) {
			return "", fmt.Errorf("column %q is not a plain lower-case identifier", column)
		}
		columns[i] = order(column)
	}
	return strings.Join(columns, ", "), nil
}

// addValue adds a value to a hash, preceded by its column and its length, so that no two rows look the same to the hash.
func addValue(h hash.Hash, column string, value any) {
	var text []byte
	switch v := value.(type) {
	case nil:
		_, _ = fmt.Fprintf(h, "%s NULL;", column)
		return
	case []byte:
		text = v
	case string:
		text = []byte(v)
	default:
		text = fmt.Append(nil, v)
	}
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(text)))
	h.Write([]byte(column))
	h.Write(size[:])
	h.Write(text)
}

// MakeSchema makes the Postgres schema if it is not there, as Migrate does; SQLite has none.
func (db *DB) MakeSchema(ctx context.Context) error {
	if db.dialect == SQLite {
		return nil
	}
	_, done, err := db.migrationPool(ctx)
	if err != nil {
		return fmt.Errorf("make schema %s: %w", db.schema, explain(err))
	}
	done()
	return nil
}
