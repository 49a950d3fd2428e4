package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/version"
)

// program is a service without work that ends with err.
func program(build, run error) Program[config.Ingest] {
	return Program[config.Ingest]{
		Name:   "ingest",
		Common: func(cfg *config.Ingest) (config.Process, config.Log) { return cfg.Process, cfg.Log },
		Build: func(context.Context, *config.Ingest, *slog.Logger, prometheus.Registerer, trace.Tracer) (Service[config.Ingest], error) {
			return Service[config.Ingest]{
				Run:    func(context.Context) error { return run },
				Checks: []obs.Check{{Name: "work", Ready: func() error { return nil }}},
			}, build
		},
	}
}

func TestMain_ExitCodes(t *testing.T) {
	t.Parallel()
	nats := "NEXERO_NATS_URL=nats://u:hidden@127.0.0.1:4222"
	for _, test := range []struct {
		name           string
		args, env      []string
		build, run     error
		want           int
		stdout, stderr string
	}{
		{name: "serves and ends", env: []string{nats}, want: ExitOK, stderr: "service stopped"},
		{name: "fails", env: []string{nats}, run: errors.New("broke down"), want: ExitFailed, stderr: "broke down"},
		{name: "cannot start", env: []string{nats}, build: errors.New("no stream"), want: ExitFailed, stderr: "ingest: no stream"},
		{name: "stage cannot start", env: []string{nats}, build: errors.New("ingest: a bound is too low"), want: ExitFailed, stderr: "ingest: a bound is too low"},
		{name: "stage fails", env: []string{nats}, run: errors.New("ingest: lost"), want: ExitFailed, stderr: "ingest: lost"},
		{name: "unknown flag", args: []string{"--no-such"}, want: ExitUsage, stderr: "--no-such"},
		{name: "unknown variable", env: []string{nats, "NEXERO_LISTN=:1"}, want: ExitUsage, stderr: "NEXERO_LISTEN"},
		{name: "missing setting", want: ExitUsage, stderr: "NEXERO_NATS_URL"},
		{name: "metrics address taken", env: []string{nats, "NEXERO_METRICS_LISTEN=256.0.0.1:1"}, want: ExitFailed, stderr: "listen for metrics"},
		{name: "help", args: []string{"--help"}, want: ExitOK, stdout: "--nats-url"},
		{name: "version", args: []string{"--version"}, want: ExitOK, stdout: version.Get().String()},
		{name: "check config", args: []string{"--check-config"}, env: []string{nats}, want: ExitOK, stdout: "nats_url"},
		{name: "check health of nothing", args: []string{"--check-health"}, env: []string{nats}, want: ExitFailed, stderr: "no address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			got := Main(program(test.build, test.run), test.args, test.env, &stdout, &stderr)
			if got != test.want {
				t.Errorf("exit code %d, want %d", got, test.want)
			}
			if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
				t.Errorf("stdout %q, want %q in it; stderr %q, want %q in it", stdout.String(), test.stdout, stderr.String(), test.stderr)
			}
			if strings.Contains(stderr.String(), "ingest: ingest:") {
				t.Errorf("stderr %q says twice whose it is", stderr.String())
			}
			// rule 8
			if strings.Contains(stdout.String()+stderr.String(), "hidden") {
				t.Error("the password is printed")
			}
		})
	}
}

// A drain can be watched: metrics stop after the service. // rule 10
func TestMain_MetricsOutliveTheService(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	env := []string{"NEXERO_NATS_URL=nats://127.0.0.1:4222", "NEXERO_METRICS_LISTEN=127.0.0.1:0", "NEXERO_LOG_FORMAT=json"}
	if got := Main(program(nil, nil), nil, env, &stdout, &stderr); got != ExitOK {
		t.Fatalf("exit code %d: %s", got, stderr.String())
	}
	var stopped []string
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, `"msg":"service stopped"`) {
			continue
		}
		for _, name := range []string{"metrics", "ingest"} {
			if strings.Contains(line, `"name":"`+name+`"`) {
				stopped = append(stopped, name)
			}
		}
	}
	if want := []string{"ingest", "metrics"}; !slices.Equal(stopped, want) {
		t.Errorf("stopped %v, want %v:\n%s", stopped, want, stderr.String())
	}
}
