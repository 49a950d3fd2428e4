package config

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// load is what a main does, with args and env as given.
func load[T any](t *testing.T, args, env []string) (*T, error) {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if err := Register[T](fs); err != nil {
		t.Fatalf("Register: %v", err)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return Load[T](fs, env)
}

// writeFile writes a configuration file and returns its path.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nexero.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	natsEnv     = "NEXERO_NATS_URL=nats://queue:4222"
	databaseEnv = "NEXERO_DATABASE_URL=" + databaseURL
	databaseURL = "postgres://nexero:hunter2@db/nexero"
)

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	got, err := load[Worker](t, nil, []string{natsEnv, databaseEnv, "HOME=/home/ada", "OTHER=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := &Worker{
		Process: Process{Environment: "development", DrainTimeout: 20 * time.Second, Telemetry: Telemetry{TraceSampleRatio: 0.01}},
		Log:     Log{Level: slog.LevelInfo, Format: "auto"},
		Queue: Queue{
			URL: "nats://queue:4222", Replicas: 1, MaxBytes: 4 << 30,
			AckWait: 30 * time.Second, RequestTimeout: 5 * time.Second,
		},
		Database: Database{
			URL: databaseURL, MaxConns: 12, StatementTimeout: 15 * time.Second,
			LockTimeout: 5 * time.Second, IdleTimeout: 10 * time.Second, PoseRetention: 30 * 24 * time.Hour,
			EventRetention: 396 * 24 * time.Hour, SessionRetention: 396 * 24 * time.Hour,
		},
		Loading: Loading{
			Loops: 2, GatherMessages: 64, GatherBytes: 16 << 20, GatherEvents: 50000,
			GatherAge: 20 * time.Millisecond, LoadTimeout: 20 * time.Second,
		},
		Rollup: Rollup{
			Loops: 1, Interval: 2 * time.Second, Sessions: 64, Pause: 250 * time.Millisecond, YieldAfter: 5 * time.Second,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Load (-want +got):\n%s", diff)
	}
}

func TestLoad_FlagOverEnvironmentOverFileOverDefault(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "nats_url: nats://file:4222\nworker_loops: 3\nrequire_sync_standby: true\nlog_level: warn\n")
	for _, test := range []struct {
		name string
		args []string
		env  []string
		want int
	}{
		{"default", nil, nil, 2},
		{"file by flag", []string{"--config", file}, nil, 3},
		{"file by environment", nil, []string{"NEXERO_CONFIG=" + file}, 3},
		{"environment", []string{"--config", file}, []string{"NEXERO_WORKER_LOOPS=4"}, 4},
		{"flag", []string{"--config", file, "--worker-loops=5"}, []string{"NEXERO_WORKER_LOOPS=4"}, 5},
		{"flag with the default's value", []string{"--worker-loops=2"}, []string{"NEXERO_WORKER_LOOPS=4"}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := load[Up](t, test.args, append(test.env, "NEXERO_DATA_DIR=/srv/nexero"))
			if err != nil {
				t.Fatal(err)
			}
			if got.Loading.Loops != test.want {
				t.Errorf("worker_loops = %d, want %d", got.Loading.Loops, test.want)
			}
			if fromFile := test.want >= 3; fromFile != got.Database.RequireSyncStandby || fromFile != (got.Log.Level == slog.LevelWarn) {
				t.Errorf("the file's other settings: %+v", got)
			}
		})
	}
}

func TestLoad_EveryForm(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "strict_tenants: [acme, beta]\ngather_bytes: 16777216\nqueue_max_bytes: 8GiB\npose_retention: 7d\n")
	got, err := load[Up](t, []string{"--api-key", "nxr_secret", "--config", file}, []string{
		"NEXERO_LOG_LEVEL=debug", "NEXERO_REQUIRE_SYNC_STANDBY=true", "NEXERO_GATHER_AGE=5ms",
		"NEXERO_SERVICES=nats, ingest", "NEXERO_DATA_DIR=/srv/nexero", "NEXERO_METRICS_LISTEN=",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Parts.APIKey.Reveal() != "nxr_secret" || got.Log.Level != slog.LevelDebug ||
		!got.Database.RequireSyncStandby || got.Loading.GatherAge != 5*time.Millisecond ||
		got.Loading.GatherBytes != 16<<20 || got.Queue.MaxBytes != 8<<30 || got.Database.PoseRetention != 7*24*time.Hour {
		t.Errorf("Load = %+v", got)
	}
	if diff := cmp.Diff([]string{"acme", "beta"}, got.Intake.StrictTenants); diff != "" {
		t.Errorf("strict_tenants (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nats", "ingest"}, got.Parts.Services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if ingest := got.Ingest(); ingest.Queue.MaxBytes != 8<<30 {
		t.Errorf("Up.Ingest() = %+v", ingest)
	}
	if worker := got.Worker(); worker.Loading.GatherBytes != 16<<20 {
		t.Errorf("Up.Worker() = %+v", worker)
	}
}

// Each mistake is named with what can repair it.
func TestLoad_Refuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		args []string
		env  []string
		file string
		want []string
	}{
		{name: "misspelt variable", env: []string{"NEXERO_NATS_ULR=x"}, want: []string{"NEXERO_NATS_ULR, did you mean NEXERO_NATS_URL?"}},
		{name: "variable in lower case", env: []string{"NEXERO_nats_url=x"}, want: []string{"NEXERO_nats_url, did you mean NEXERO_NATS_URL?"}},
		{name: "unlike anything", env: []string{"NEXERO_FROBNICATE=x"}, want: []string{"no variable is called NEXERO_FROBNICATE"}},
		{name: "test variable not listed", env: []string{"NEXERO_TEST_MAGIC=x"}, want: []string{"NEXERO_TEST_MAGIC"}},
		{name: "misspelt key", file: "worker_lops: 3", want: []string{`"worker_lops", did you mean worker_loops?`}},
		{name: "nested key", file: "nats:\n  url: x", want: []string{`"nats.url", did you mean nats_url?`}},
		{name: "file inside a file", file: "config: other.yaml", want: []string{`"config"`}},
		{name: "no YAML", file: "a: b: c", want: []string{"config (--config, NEXERO_CONFIG)", "mapping values"}},
		{name: "mapping for a value", file: "worker_loops: {a: 1}", want: []string{"worker_loops.a"}},
		{name: "no file", args: []string{"--config", "/nonexistent/nexero.yaml"}, want: []string{"config (--config, NEXERO_CONFIG)", "no such file"}},
		{name: "unknown flag", args: []string{"--worker-lops=3"}, want: []string{"--worker-lops"}},
		{name: "flag out of bounds", args: []string{"--worker-loops=0"}, want: []string{"--worker-loops", "0 is below 1"}},
		{name: "number", env: []string{"NEXERO_WORKER_LOOPS=two"}, want: []string{
			`worker_loops (--worker-loops, NEXERO_WORKER_LOOPS): "two" is no whole number, from the environment`,
		}},
		{name: "bool", env: []string{"NEXERO_REQUIRE_SYNC_STANDBY=yes"}, want: []string{"neither true nor false"}},
		{name: "duration without a unit", file: "load_timeout: 20", want: []string{`"20" is no duration`, "from the file"}},
		{name: "size", env: []string{"NEXERO_QUEUE_MAX_BYTES=lots"}, want: []string{"is no size"}},
		{name: "above", env: []string{"NEXERO_DRAIN_TIMEOUT=1h"}, want: []string{"1h0m0s is above 10m"}},
		{name: "one of", env: []string{"NEXERO_ENVIRONMENT=prod"}, want: []string{`"prod" is none of development, staging, production`}},
		{name: "one of numbers", env: []string{"NEXERO_QUEUE_REPLICAS=2"}, want: []string{`"2" is none of 1, 3`}},
		{name: "level", env: []string{"NEXERO_LOG_LEVEL=loud"}, want: []string{"log_level (--log-level, NEXERO_LOG_LEVEL)"}},
		{name: "address", env: []string{"NEXERO_METRICS_LISTEN=9090"}, want: []string{`"9090" is no address`}},
		{name: "empty number", env: []string{"NEXERO_WORKER_LOOPS="}, want: []string{"is empty; leave it out for the default"}},
		{name: "required and empty", env: []string{"NEXERO_NATS_URL="}, want: []string{"nats_url (--nats-url, NEXERO_NATS_URL): is required and empty"}},
		{name: "between settings", env: []string{"NEXERO_LOAD_TIMEOUT=40s"}, want: []string{
			"load_timeout (--load-timeout, NEXERO_LOAD_TIMEOUT) is 40s, which is not below queue_ack_wait (--queue-ack-wait, NEXERO_QUEUE_ACK_WAIT) with 30s",
		}},
		{name: "too few connections", env: []string{"NEXERO_WORKER_LOOPS=8"}, want: []string{"database_max_conns", "is 12, too few for worker_loops"}},
		{name: "too few connections for roll-ups", env: []string{"NEXERO_ROLLUP_LOOPS=7"}, want: []string{"database_max_conns", "is 12, too few", "rollup_loops"}},
		{name: "retentions", env: []string{"NEXERO_EVENT_RETENTION=7d"}, want: []string{"event_retention", "below pose_retention"}},
		{name: "retention of sessions", env: []string{"NEXERO_SESSION_RETENTION=395d"}, want: []string{"session_retention", "below event_retention"}},
		{name: "all at once", args: []string{"--gather-events=7"}, env: []string{"NEXERO_NOPE=1", "NEXERO_GATHER_AGE=soon"}, file: "x: 1", want: []string{
			"NEXERO_NOPE", `"soon"`, `"x"`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := append([]string{natsEnv, databaseEnv}, test.env...)
			if test.file != "" {
				env = append(env, "NEXERO_CONFIG="+writeFile(t, test.file))
			}
			got, err := load[Worker](t, test.args, env)
			if err == nil {
				t.Fatalf("Load took it: %+v", got)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Load: %q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error holds the password: %q", err)
			}
		})
	}
}

func TestLoad_Required(t *testing.T) {
	t.Parallel()
	_, err := load[Worker](t, nil, nil)
	for _, want := range []string{
		"nats_url (--nats-url, NEXERO_NATS_URL): is required",
		"database_url (--database-url, NEXERO_DATABASE_URL): is required",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: %v, want %q in it", err, want)
		}
	}
	if _, err := load[Up](t, nil, []string{"NEXERO_DATA_DIR=/srv/nexero"}); err != nil {
		t.Errorf("the all-in-one program needs no URLs: %v", err)
	}
}

func TestLoad_IntakeLimitsAgree(t *testing.T) {
	t.Parallel()
	for set, want := range map[string]string{
		"NEXERO_MAX_INFLATED_BYTES=512KiB": "max_body_bytes (--max-body-bytes, NEXERO_MAX_BODY_BYTES) is 1MiB, above max_inflated_bytes",
		// 4 MiB inflated fit, but not beside the 1 MiB that they were sent as.
		"NEXERO_MAX_IN_FLIGHT_BYTES=4608KiB": "max_in_flight_bytes (--max-in-flight-bytes, NEXERO_MAX_IN_FLIGHT_BYTES) is 4608KiB, too few for one request",
	} {
		if _, err := load[Ingest](t, nil, []string{natsEnv, set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", set, err, want)
		}
	}
	if _, err := load[Ingest](t, nil, []string{natsEnv, "NEXERO_MAX_IN_FLIGHT_BYTES=5MiB"}); err != nil {
		t.Errorf("room for one request: %v", err)
	}
}

// One environment and one file serve every program, and a shell of the test
// harness can start one.
func TestLoad_ToleratesOtherProgramsNames(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "database_url: postgres://db/nexero\nworker_loops: 3\n")
	_, err := load[Ingest](t, []string{"--config", file}, []string{
		natsEnv, databaseEnv, "NEXERO_SERVICES=nats", "NEXERO_TEST_DATABASE_URL=postgres://db/test",
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLoad_FileIsBounded(t *testing.T) {
	t.Parallel()
	file := writeFile(t, strings.Repeat("#", fileBytes+1))
	if _, err := load[Up](t, []string{"--config", file}, nil); err == nil || !strings.Contains(err.Error(), "larger than 1MiB") {
		t.Errorf("Load: %v, want a refusal of its size", err)
	}
}
