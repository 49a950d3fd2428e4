package postgres

import (
	"cmp"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Class is what to do about an error.
type Class int

const (
	// ClassRetry is a database that cannot work now: connection, disk, lock,
	// serialization, timeout. Back off, stop fetching, repeat the same batches.
	ClassRetry Class = iota
	// ClassStop is a database that will not work until a person changes it:
	// schema, permission, configuration, damage. Stop loudly.
	ClassStop
	// ClassData is a value that PostgreSQL refuses. Load isolates these, so one
	// that comes out of it is a bug in Load.
	ClassData
)

// String returns the class's name in logs and metrics.
func (c Class) String() string {
	switch c {
	case ClassRetry:
		return "retry"
	case ClassStop:
		return "stop"
	case ClassData:
		return "data"
	default:
		return "unknown"
	}
}

// classedError is an error whose SQLSTATE would mislead.
type classedError struct {
	class Class
	err   error
}

func (e *classedError) Error() string { return e.err.Error() }
func (e *classedError) Unwrap() error { return e.err }

// Classify says what to do about an error of this package. An error that did
// not come from the server (a broken connection, a deadline, a refused
// connection) is ClassRetry: the data waits in the queue meanwhile.
//
// A refused value never ends a session. What comes while connecting, or as
// FATAL, speaks of the connection whatever its SQLSTATE says: a pooler that
// loses its server sends FATAL 08P01. An internal error then is a server that
// cannot take anybody in now: one on a full disk sends FATAL XX000, "could not
// write init file".
func Classify(err error) Class {
	if classed, ok := errors.AsType[*classedError](err); ok {
		return classed.class
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ClassRetry
	}
	class := classOfAnswer(pgErr)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	if (class == ClassData || pgErr.Code == "XX000") && (connecting || endsSession(pgErr)) {
		return ClassRetry
	}
	return class
}

// endsSession reports whether the server closed the connection with this error.
// A pooler may send the severity in its translated field only.
func endsSession(err *pgconn.PgError) bool {
	severity := cmp.Or(err.SeverityUnlocalized, err.Severity)
	return severity == "FATAL" || severity == "PANIC"
}

func classOfAnswer(pgErr *pgconn.PgError) Class {
	if class, ok := classOfState[pgErr.Code]; ok {
		return class
	}
	switch pgErr.Code {
	case "57014": // query_canceled: by a timeout, or because the client broke off a COPY
		if pgErr.Routine == "CopyGetData" || strings.HasPrefix(pgErr.Message, "COPY from stdin failed") {
			return ClassData
		}
		return ClassRetry
	case "XX000": // internal_error, which is also how jsonb refuses a version byte
		// Routines, unlike messages, are never translated.
		if strings.HasSuffix(pgErr.Routine, "_recv") {
			return ClassData
		}
		return ClassStop
	case "0A000": // feature_not_supported, also for a plan that a migration outdated
		if pgErr.Routine == "RevalidateCachedQuery" {
			return ClassRetry
		}
		return ClassStop
	}
	if len(pgErr.Code) == 5 {
		if class, ok := classOfPrefix[pgErr.Code[:2]]; ok {
			return class
		}
	}
	return ClassStop
}

//nolint:gochecknoglobals // a table that never changes
var classOfState = map[string]Class{
	"08P01": ClassData,  // protocol_violation: a binary field of the wrong length
	"23505": ClassRetry, // unique_violation: somebody else was faster
	"25P03": ClassRetry, // idle_in_transaction_session_timeout
	"25P04": ClassRetry, // transaction_timeout
	"26000": ClassRetry, // invalid_sql_statement_name: the server forgot a prepared statement
	"55006": ClassRetry, // object_in_use
	"55P03": ClassRetry, // lock_not_available: lock_timeout
	"57P04": ClassStop,  // database_dropped
}

// classOfPrefix holds SQLSTATE classes; what is in neither table is ClassStop.
//
//nolint:gochecknoglobals // a table that never changes
var classOfPrefix = map[string]Class{
	"08": ClassRetry, // connection_exception
	"22": ClassData,  // data_exception
	"23": ClassData,  // integrity_constraint_violation, also: no partition for a row
	"40": ClassRetry, // transaction_rollback: serialization, deadlock
	"53": ClassRetry, // insufficient_resources: disk full, out of memory, too many connections
	"54": ClassData,  // program_limit_exceeded: a value too deep or too large
	"57": ClassRetry, // operator_intervention: shutdown, crash, starting up
	"58": ClassRetry, // system_error: I/O
}
