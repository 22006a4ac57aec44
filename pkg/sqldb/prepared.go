package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	"modernc.org/sqlite"
)

// preparedMost bounds the statements that a connection to SQLite keeps.
const preparedMost = 500

// preparing makes connections to SQLite that keep their statements prepared: to parse and plan a text costs more than to run it.
type preparing struct{ driver.Connector }

func sqliteConnector(dsn string) (driver.Connector, error) {
	connector, err := sqlite.NewConnector(dsn)
	return preparing{connector}, err
}

// Connect makes a connection.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	plain, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := plain.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the connection is not one of SQLite"), plain.Close())
	}
	return &preparedConn{sqliteConn: conn, idle: make(map[string]sqliteStmt)}, nil
}

// sqliteConn and sqliteStmt are what database/sql uses of the driver.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// preparedConn is a connection with the statements that it has prepared and that are not in use. It is for one goroutine at a time.
type preparedConn struct {
	sqliteConn
	idle map[string]sqliteStmt
}

// ExecContext runs a statement that returns no rows.
func (c *preparedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	result, err := stmt.ExecContext(ctx, args)
	return result, errors.Join(err, c.giveBack(text, stmt))
}

// QueryContext runs a query.
func (c *preparedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	rows, err := stmt.QueryContext(ctx, args)
	if err != nil {
		return nil, errors.Join(err, c.giveBack(text, stmt))
	}
	return &preparedRows{Rows: rows, done: func() error { return c.giveBack(text, stmt) }}, nil
}

// Close closes the statements and the connection.
func (c *preparedConn) Close() error { return errors.Join(c.forget(), c.sqliteConn.Close()) }

// take returns the statement of a text, for one use.
func (c *preparedConn) take(ctx context.Context, text string) (sqliteStmt, error) {
	if stmt, found := c.idle[text]; found {
		delete(c.idle, text)
		return stmt, nil
	}
	plain, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	stmt, ok := plain.(sqliteStmt)
	if !ok {
		return nil, errors.Join(errors.New("the statement is not one of SQLite"), plain.Close())
	}
	return stmt, nil
}

// giveBack keeps a statement for the next use of its text. A pragma may do its work when it is prepared, so none is kept.
func (c *preparedConn) giveBack(text string, stmt sqliteStmt) error {
	if _, twice := c.idle[text]; twice || strings.HasPrefix(text, "PRAGMA") {
		return stmt.Close()
	}
	var err error
	if len(c.idle) >= preparedMost {
		err = c.forget()
	}
	c.idle[text] = stmt
	return err
}

func (c *preparedConn) forget() error {
	var errs []error
	for _, stmt := range c.idle {
		errs = append(errs, stmt.Close())
	}
	clear(c.idle)
	return errors.Join(errs...)
}

// preparedRows give their statement back when they are closed.
type preparedRows struct {
	driver.Rows
	done func() error
}

// Close closes the rows.
func (r *preparedRows) Close() error { return errors.Join(r.Rows.Close(), r.done()) }
