package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/config"
)

// newReloader returns a reloader of an edge whose file is at path, what it logs,
// and the requests a second that are at work.
func newReloader(t *testing.T, path string, refuse error) (*Reloader[config.Ingest], *bytes.Buffer, *int) {
	t.Helper()
	load := func() (*config.Ingest, error) {
		fresh, _, err := config.Parse[config.Ingest]("ingest", []string{"--config", path}, []string{"NEXERO_RATE_BURST=20s"}, new(bytes.Buffer))
		return fresh, err
	}
	running, err := load()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	rate := running.Rates.KeyRequests
	r := &Reloader[config.Ingest]{
		Load: load, Running: running,
		Level: new(slog.LevelVar), LevelOf: func(cfg *config.Ingest) slog.Level { return cfg.Log.Level },
		Apply: func(_ context.Context, cfg *config.Ingest) error {
			if refuse == nil {
				rate = cfg.Rates.KeyRequests
			}
			return refuse
		},
	}
	r.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: r.Level}))
	return r, &out, &rate
}

func TestReloader_Reload(t *testing.T) {
	t.Parallel()
	const first = "nats_url: nats://u:hidden@127.0.0.1:4222\nkey_requests_per_second: 500\n"
	for _, test := range []struct {
		name, second string
		refuse       error
		rate         int
		level        slog.Level
		logged       []string
	}{
		{
			"rates and level", first[:strings.Index(first, "500")] + "600\nlog_level: debug\n", nil, 600, slog.LevelDebug,
			[]string{`level=INFO msg="configuration reloaded"`, "[log_level key_requests_per_second]"},
		},
		{"nothing", first, nil, 500, slog.LevelInfo, []string{"configuration reloaded", "changed=[]"}},
		{"a higher level is announced", first + "log_level: error\n", nil, 500, slog.LevelError, []string{"configuration reloaded", "[log_level]"}},
		{
			"a secret waits for a restart", "nats_url: nats://u:concealed@127.0.0.1:4222\nkey_requests_per_second: 600\n", nil, 600, slog.LevelInfo,
			[]string{"[key_requests_per_second]", `level=WARN msg="changed settings need a restart" settings=[nats_url]`},
		},
		{"the environment still wins over the file", first + "rate_burst: 30s\n", nil, 500, slog.LevelInfo, []string{"changed=[]"}},
		{"broken", first + "log_level: loud\n", nil, 500, slog.LevelInfo, []string{"level=ERROR", "not reloaded", "log_level"}},
		{"misspelt", first + "log_leve: debug\n", nil, 500, slog.LevelInfo, []string{"not reloaded", "log_level"}},
		{"against each other", first + "address_requests_per_second: 501\n", nil, 500, slog.LevelInfo, []string{"not reloaded", "address_requests_per_second"}},
		// 20 s of it are enough for the smaller body that only a restart brings.
		{
			"a mix that makes no sense", first + "address_bytes_per_second: 150KiB\nmax_inflated_bytes: 2MiB\n", nil, 500, slog.LevelInfo,
			[]string{"not reloaded", "not without a restart", "address_bytes_per_second"},
		},
		{"refused by the service", first + "log_level: debug\n", errors.New("no such rate"), 500, slog.LevelInfo, []string{"not reloaded", "no such rate"}},
		{"no file", "", nil, 500, slog.LevelInfo, []string{"not reloaded", "config"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "nexero.yaml")
			write(t, path, first)
			r, out, rate := newReloader(t, path, test.refuse)
			if write(t, path, test.second); test.second == "" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			before := r.Running
			r.Reload(t.Context())
			if *rate != test.rate || r.Level.Level() != test.level {
				t.Errorf("%d requests a second and level %s, want %d and %s", *rate, r.Level.Level(), test.rate, test.level)
			}
			for _, part := range test.logged {
				if !strings.Contains(out.String(), part) {
					t.Errorf("the log lacks %q:\n%s", part, out.String())
				}
			}
			if failed := strings.Contains(out.String(), "not reloaded"); failed != (r.Running == before) {
				t.Errorf("what runs is not what is logged:\n%s", out.String())
			}
			// rule 8
			if text := out.String(); strings.Contains(text, "hidden") || strings.Contains(text, "concealed") {
				t.Errorf("a password is logged:\n%s", text)
			}
		})
	}
}

// What waits for a restart is named at every reload until there is one; what was
// taken over is no news the second time.
func TestReloader_Twice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nexero.yaml")
	write(t, path, "nats_url: nats://127.0.0.1:4222\n")
	r, out, _ := newReloader(t, path, nil)
	write(t, path, "nats_url: nats://127.0.0.1:4223\nkey_requests_per_second: 700\n")
	for _, changed := range []string{"changed=[key_requests_per_second]", "changed=[]"} {
		out.Reset()
		r.Reload(t.Context())
		if !strings.Contains(out.String(), changed) || !strings.Contains(out.String(), "settings=[nats_url]") {
			t.Errorf("the log lacks %s or the restart:\n%s", changed, out.String())
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
