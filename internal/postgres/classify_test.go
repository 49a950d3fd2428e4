package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/nexero-vr/nexero/internal/postgres"
)

func TestClassify_States(t *testing.T) {
	t.Parallel()
	for class, states := range map[postgres.Class][]string{
		postgres.ClassRetry: {
			"08000", "08006", "08001", "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "53000", "53100", "53200", "53300",
			"57014", "58030", "25P03", "23505",
		},
		postgres.ClassData: {"22021", "22P05", "22P02", "22003", "22008", "22007", "22P04", "22P03", "23514", "23502", "08P01", "54001"},
		postgres.ClassStop: {"42P01", "42501", "42703", "28P01", "28000", "3D000", "0A000", "25006", "57P04", "XX000", "XX001", "P0001", "", "99"},
	} {
		for _, state := range states {
			err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: state})
			if got := postgres.Classify(err); got != class {
				t.Errorf("%s is %v, want %v", state, got, class)
			}
		}
	}
	for _, err := range []error{
		context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, errors.New("unknown"), pgconn.ErrConnClosed,
	} {
		if got := postgres.Classify(err); got != postgres.ClassRetry {
			t.Errorf("%v is %v, want retry", err, got)
		}
	}
}

// Nothing that ends a session is a value's fault, nor a reason to stop by its
// being an internal error.
func TestClassify_WhatEndsASessionIsNoData(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]postgres.Class{
		"08P01": postgres.ClassRetry, "08006": postgres.ClassRetry, "22021": postgres.ClassRetry, "23514": postgres.ClassRetry,
		"54000": postgres.ClassRetry, "57P01": postgres.ClassRetry, "28P01": postgres.ClassStop, "28000": postgres.ClassStop,
		"3D000": postgres.ClassStop, "57P04": postgres.ClassStop,
		// A server on a full disk that takes nobody in; damage stays damage.
		"XX000": postgres.ClassRetry, "XX001": postgres.ClassStop,
	} {
		for _, err := range []*pgconn.PgError{
			{Code: state, SeverityUnlocalized: "FATAL", Severity: "SCHWERWIEGEND"},
			{Code: state, SeverityUnlocalized: "PANIC"},
			{Code: state, Severity: "FATAL"},
		} {
			if got := postgres.Classify(fmt.Errorf("wrapped: %w", err)); got != want {
				t.Errorf("%s %s is %v, want %v", err.Severity, state, got, want)
			}
		}
	}
	value := &pgconn.PgError{Code: "08P01", SeverityUnlocalized: "ERROR", Severity: "FATAL"}
	if got := postgres.Classify(value); got != postgres.ClassData {
		t.Errorf("an ERROR is %v, want data", got)
	}
}

// failing is a COPY's source that breaks.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("unable to encode") }

// Every error here comes from the real server.
func TestClassify_RealErrors(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, tt := range []struct {
		name  string
		class postgres.Class
		state string // empty: not the server's
		do    func(f *fixture, conn *pgx.Conn) error
	}{
		{"undefined table", postgres.ClassStop, "42P01", statement("SELECT * FROM nothing")},
		{"syntax", postgres.ClassStop, "42601", statement("SELEKT")},
		{"permission", postgres.ClassStop, "42501", statement("SET ROLE pg_monitor; SELECT * FROM nexero.batches")},
		{"read only", postgres.ClassStop, "25006", statement("BEGIN READ ONLY; DELETE FROM nexero.batches")},
		{"row-level security", postgres.ClassStop, "0A000", statement(`
			GRANT USAGE ON SCHEMA nexero TO pg_monitor; GRANT INSERT ON nexero.sessions TO pg_monitor;
			ALTER TABLE nexero.sessions ENABLE ROW LEVEL SECURITY; SET ROLE pg_monitor;
			COPY nexero.sessions FROM STDIN`)},
		{"no such database", postgres.ClassStop, "3D000", func(f *fixture, _ *pgx.Conn) error {
			u, _ := url.Parse(f.url)
			u.Path = "/nothing"
			_, err := pgx.Connect(f.Context(), u.String())
			return err
		}},
		{"nobody listens", postgres.ClassRetry, "", func(f *fixture, _ *pgx.Conn) error {
			u, _ := url.Parse(f.url)
			u.Host = "127.0.0.1:1"
			_, err := pgx.Connect(f.Context(), u.String())
			return err
		}},
		{"statement timeout", postgres.ClassRetry, "57014", statement("SET statement_timeout = 1; SELECT pg_sleep(10)")},
		{"deadline", postgres.ClassRetry, "", func(f *fixture, conn *pgx.Conn) error {
			ctx, cancel := context.WithTimeout(f.Context(), 1)
			defer cancel()
			_, err := conn.Exec(ctx, "SELECT pg_sleep(10)")
			return err
		}},
		{"terminated", postgres.ClassRetry, "57P01", statement("SELECT pg_terminate_backend(pg_backend_pid())")},
		{"lock timeout", postgres.ClassRetry, "55P03", func(f *fixture, conn *pgx.Conn) error {
			_, release := f.block("LOCK TABLE nexero.batches")
			defer release()
			return statement("SET lock_timeout = 1; SELECT count(*) FROM nexero.batches")(f, conn)
		}},
		{"serialization", postgres.ClassRetry, "40001", func(f *fixture, conn *pgx.Conn) error {
			f.exec("INSERT INTO nexero.tenants (name) VALUES ('x')")
			if err := statement("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM nexero.tenants")(f, conn); err != nil {
				return err
			}
			f.exec("UPDATE nexero.tenants SET name = 'y'")
			return statement("UPDATE nexero.tenants SET name = 'z'")(f, conn)
		}},
		{"outdated plan", postgres.ClassRetry, "0A000", func(f *fixture, conn *pgx.Conn) error {
			return statement("PREPARE p AS SELECT * FROM nexero.tenants; EXECUTE p; ALTER TABLE nexero.tenants ADD COLUMN more text; EXECUTE p")(f, conn)
		}},
		{"FATAL while connecting", postgres.ClassRetry, "22023", func(f *fixture, _ *pgx.Conn) error {
			u, _ := url.Parse(f.url)
			query := u.Query()
			query.Set("statement_timeout", "never")
			u.RawQuery = query.Encode()
			_, err := pgx.Connect(f.Context(), u.String())
			return err
		}},
		{"COPY broken off by us", postgres.ClassData, "57014", func(f *fixture, conn *pgx.Conn) error {
			_, err := conn.PgConn().CopyFrom(f.Context(), failing{}, "COPY nexero.tenants (name) FROM STDIN")
			return err
		}},
		{"number out of range", postgres.ClassData, "22003", statement("SELECT 99999::smallint")},
		{"no partition", postgres.ClassData, "23514", statement("INSERT INTO nexero.rejected_events SELECT * FROM jsonb_populate_record(NULL::nexero.rejected_events, '{\"written_at\": \"1999-01-01\"}')")},
	} {
		f.begin(tt.name)
		conn, err := pgx.Connect(t.Context(), f.url)
		if err != nil {
			t.Fatal(err)
		}
		err = tt.do(f, conn)
		state := ""
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
			state = pgErr.Code
		}
		if err == nil || state != tt.state || postgres.Classify(err) != tt.class {
			t.Errorf("%v is SQLSTATE %q of class %v, want %q of class %v", err, state, postgres.Classify(err), tt.state, tt.class)
		}
		_ = conn.Close(t.Context())
	}
}

// statement runs statements in the simple protocol.
func statement(sql string) func(*fixture, *pgx.Conn) error {
	return func(f *fixture, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(f.Context(), sql).ReadAll()
		return err
	}
}

// What PostgreSQL says around an error is translated, and quotes the client.
func TestLineOf(t *testing.T) {
	t.Parallel()
	for where, want := range map[string]int{
		"COPY events, line 12, column zone":                       12,
		"COPY events, line 7":                                     7,
		"COPY events, Zeile 3, Spalte props":                      3,
		"events のCOPY、5 行目、列 zone":                                5,
		"JSON data, line 1: COPY e, line 99\nCOPY events, line 4": 4,
		"":                      0,
		"PL/pgSQL function f()": 0,
		"COPY events, line 99999999999999999999999999, column zone": 0,
	} {
		if got := postgres.LineOf(where); got != want {
			t.Errorf("%q names line %d, want %d", where, got, want)
		}
	}
}

func FuzzLineOf(f *testing.F) {
	f.Add("COPY events, line 12, column zone")
	f.Add("JSON data, line 1: \x00\nCOPY events, line 4")
	f.Fuzz(func(t *testing.T, where string) {
		if line := postgres.LineOf(where); line < 0 {
			t.Errorf("%q names line %d", where, line)
		}
	})
}
