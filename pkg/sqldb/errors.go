package sqldb

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pcnfunding/pcnfunding/pkg/fault"
)

// Reasons of the Busy faults that this package makes.
const (
	// ReasonTryAgain means that the database was out of reach, or another transaction was in the way.
	ReasonTryAgain = "TRY_AGAIN"
	// ReasonStorageFull means that the database's disk is full; reading goes on.
	ReasonStorageFull = "STORAGE_FULL"
)

// Postgres error codes that have a meaning here.
const (
	pgSerializationFailure = "40001"
	pgDeadlock             = "40P01"
	pgLockTimeout          = "55P03"
	pgUniqueViolation      = "23505"
	pgForeignKeyViolation  = "23503"
	pgCheckViolation       = "23514"
	pgDiskFull             = "53100"
)

// busyCodes are the Postgres codes after which the same request may well succeed, beside the whole class 08.
var busyCodes = map[string]bool{
	pgSerializationFailure: true,
	pgDeadlock:             true,
	pgLockTimeout:          true,
	"57014":                true, // statement_timeout, or cancelled by an operator
	"25P03":                true, // idle_in_transaction_session_timeout
	"25P04":                true, // transaction_timeout
	"53300":                true, // too many connections
	"57P01":                true, // the server is shutting down
	"57P02":                true, // the server has crashed
	"57P03":                true, // the server is starting
}

// IsUnique reports whether err says that a row with the same key is there already.
func IsUnique(err error) bool {
	return isCode(err, pgUniqueViolation, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

// IsForeignKey reports whether err says that a row refers to one that is not there.
func IsForeignKey(err error) bool {
	return isCode(err, pgForeignKeyViolation, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY)
}

// IsCheck reports whether err says that a row breaks a CHECK constraint.
func IsCheck(err error) bool {
	return isCode(err, pgCheckViolation, sqlite3.SQLITE_CONSTRAINT_CHECK)
}

func isCode(err error, pg string, lite ...int) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == pg
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		for _, code := range lite {
			if e.Code() == code {
				return true
			}
		}
	}
	return false
}

// isRetryable reports whether running the transaction again is the remedy.
func isRetryable(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == pgSerializationFailure || e.Code == pgDeadlock)
}

// explain turns the engine's errors that a caller can act on into faults, and leaves all others as they are.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	switch {
	case isStorageFull(err):
		return fault.New(fault.Busy, ReasonStorageFull, "the database has no space left to write").Because(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isBusy(err):
		return fault.New(fault.Busy, ReasonTryAgain, "the database could not do this just now").Because(err)
	}
	return err
}

func isStorageFull(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == pgDiskFull
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_FULL
}

func isBusy(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return busyCodes[e.Code] || strings.HasPrefix(e.Code, "08")
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		primary := e.Code() & 0xff
		return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	_, isNet := errors.AsType[net.Error](err)
	return isNet || errors.Is(err, driver.ErrBadConn) || errors.Is(err, net.ErrClosed) || isCutOff(err)
}

// isCutOff reports whether a connection ended in the middle of a talk.
func isCutOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.SafeToRetry(err)
}
