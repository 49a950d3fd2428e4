package postgres_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// migrated returns the address of a database that Migrate has made.
func migrated(t testing.TB) string {
	t.Helper()
	address := testkit.EmptyDatabase(t)
	if err := postgres.Migrate(t.Context(), address, testkit.Logger(t)); err != nil {
		t.Fatal(err)
	}
	return address
}

// withOption sets a server parameter for every session through address.
func withOption(t testing.TB, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// rule 3
func TestCheckDurable(t *testing.T) {
	t.Parallel()
	empty, current, newer := testkit.EmptyDatabase(t), migrated(t), migrated(t)
	(&fixture{TB: t, url: newer}).exec1("UPDATE public.nexero_schema_version SET version = 1000")
	for _, tt := range []struct {
		name   string
		config postgres.Config
		is     error
		says   string
	}{
		{"as it should be", postgres.Config{URL: current}, nil, ""},
		{
			"synchronous_commit off",
			postgres.Config{URL: withOption(t, current, "synchronous_commit", "off")},
			postgres.ErrNotDurable, "synchronous_commit is off",
		},
		{
			"synchronous_commit local",
			postgres.Config{URL: withOption(t, current, "synchronous_commit", "local")},
			postgres.ErrNotDurable, "synchronous_commit is local",
		},
		{
			"read only",
			postgres.Config{URL: withOption(t, current, "default_transaction_read_only", "on")},
			postgres.ErrNotDurable, "default_transaction_read_only",
		},
		{
			"no standby",
			postgres.Config{URL: current, RequireSyncStandby: true},
			postgres.ErrNotDurable, "synchronous_standby_names is empty",
		},
		{"never migrated", postgres.Config{URL: empty}, postgres.ErrSchemaOlder, "run `nexero migrate`"},
		{
			"migrated by a newer program",
			postgres.Config{URL: newer},
			postgres.ErrSchemaNewer, "it has version 1000, this program knows up to ",
		},
		{
			"everything at once",
			postgres.Config{URL: withOption(t, empty, "synchronous_commit", "off"), RequireSyncStandby: true},
			postgres.ErrSchemaOlder, "synchronous_standby_names",
		},
	} {
		store, err := postgres.Open(t.Context(), tt.config, testkit.Logger(t), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		err = store.CheckDurable(t.Context())
		store.Close()
		if !errors.Is(err, tt.is) || !strings.Contains(fmt.Sprint(err), tt.says) {
			t.Errorf("%s: got %v, want %v saying %q", tt.name, err, tt.is, tt.says)
		}
		if tt.is != nil && postgres.Classify(err) != postgres.ClassStop {
			t.Errorf("%s: %v is of class %v", tt.name, err, postgres.Classify(err))
		}
	}
}

// rule 3
func TestStore_SessionsHaveTheirSettings(t *testing.T) {
	t.Parallel()
	f := setupWith(t, postgres.Config{StatementTimeout: 7 * time.Second, LockTimeout: 6 * time.Second, IdleTimeout: 5 * time.Second})
	for name, want := range map[string]string{
		"application_name": "nexero-worker", "statement_timeout": "7s", "lock_timeout": "6s",
		"idle_in_transaction_session_timeout": "5s", "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "3",
		"tcp_keepalives_count": "3", "tcp_user_timeout": "7000", "TimeZone": "UTC", "client_encoding": "UTF8",
	} {
		var got string
		err := f.store.Pool().QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got)
		if err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
		}
	}
}

// rule 8
func TestOpen_ErrorsKeepThePassword(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, address := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/db",
		"postgres://u:" + secret + "@127.0.0.1:port/db",
		"postgres://u:" + secret + "@[::1/db",
		"host=127.0.0.1 port=1 password='" + secret,
		"host=127.0.0.1 port=1 user=u password=" + secret + " sslmode=what",
		"postgres://u:p%zz" + secret + "@127.0.0.1/db",
	} {
		errs := []error{postgres.Migrate(t.Context(), address, testkit.Logger(t))}
		_, _, err := postgres.SchemaVersion(t.Context(), address)
		errs = append(errs, err)
		store, err := postgres.Open(t.Context(), postgres.Config{URL: address}, testkit.Logger(t), nil)
		if err == nil {
			_, err = store.Load(t.Context(), sealed(t))
			errs = append(errs, err, store.CheckDurable(t.Context()), store.EnsurePartitions(t.Context(), time.Now()), store.KeepDamaged(t.Context(), nil, ""))
			store.Close()
		} else {
			errs = append(errs, err)
		}
		for _, err := range errs {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

func TestOpen_RefusesSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]postgres.Config{
		"no URL":             {},
		"no connections":     {URL: "postgres://localhost/x", MaxConns: -1},
		"no time":            {URL: "postgres://localhost/x", StatementTimeout: time.Microsecond},
		"lock outlasts":      {URL: "postgres://localhost/x", LockTimeout: time.Hour},
		"retention of none":  {URL: "postgres://localhost/x", PoseRetention: time.Hour},
		"poses kept longest": {URL: "postgres://localhost/x", PoseRetention: 400 * 24 * time.Hour},
	} {
		if store, err := postgres.Open(t.Context(), config, testkit.Logger(t), nil); err == nil {
			store.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOpen_TwiceOnOneRegistry(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for range 2 {
		store, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://localhost/x"}, testkit.Logger(t), registry)
		if err != nil {
			t.Fatal(err)
		}
		store.Close()
	}
}
