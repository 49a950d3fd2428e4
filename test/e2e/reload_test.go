package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
)

// TestReload sends SIGHUP to running services: the log level and the rates
// follow the file, a broken file changes nothing, what needs a restart is named,
// and nothing ends by it.
//
// rule 8, rule 9
func TestReload(t *testing.T) {
	t.Parallel()
	nats, database := testkit.NATS(t), testkit.Database(t)
	for _, name := range []string{"ingest", "worker", "query"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nexero.yaml")
			configure(t, file, "high_rate_factor: 2")
			s := serve(t, name, "NEXERO_CONFIG="+file, "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database).ready()
			policy := s.policy(t)

			configure(t, file, "log_level: debug", "address_requests_per_second: 77", "drain_timeout: 9s", "nats_creds: /hidden/place")
			s.signal(syscall.SIGHUP)
			s.said(`"configuration reloaded"`, `"log_level"`)
			s.said(`"changed settings need a restart"`, `"drain_timeout"`, `"nats_creds"`)
			if name == "ingest" {
				s.said(`"configuration reloaded"`, `"address_requests_per_second"`)
				if got := s.policy(t); got == policy || !strings.Contains(got, "q=770") {
					t.Errorf("after 77 a second the policy is %q", got)
				}
				s.said(`"level":"DEBUG"`, `"route"`) // a line for each request
			}

			configure(t, file, "log_level: loud", "address_requests_per_second: 0")
			s.signal(syscall.SIGHUP)
			s.said(`"configuration not reloaded, all stays as it was"`, `log_level`)
			if name == "ingest" {
				if got := s.policy(t); !strings.Contains(got, "q=770") {
					t.Errorf("after a broken file the policy is %q", got)
				}
			}
			s.ready()
			s.signal(syscall.SIGTERM)
			if code := s.exitCode(patience); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.tail())
			}
			if strings.Contains(string(s.output.bytes()), "hidden") {
				t.Errorf("a value is logged:\n%s", s.tail())
			}
		})
	}
}

// configure replaces a file in one step, as an editor does.
func configure(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// policy posts and returns what the edge says of its limits, "" where there is
// no edge.
func (s *server) policy(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/unreal/tracking/batch", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	return response.Header.Get("RateLimit-Policy")
}

// TestReload_Up reloads the pipeline in one process: its own key stays favoured.
func TestReload_Up(t *testing.T) {
	t.Parallel()
	base := dataRoot(t)
	file := filepath.Join(base, "nexero.yaml")
	configure(t, file, "listen: 127.0.0.1:0")
	p := up(t, filepath.Join(base, "data"), []string{"NEXERO_NATS_URL=" + testkit.NATS(t), "NEXERO_CONFIG=" + file}, "--services", "ingest")
	configure(t, file, "listen: 127.0.0.1:0", "log_level: debug", "address_requests_per_second: 7", "high_rate_keys: other")
	p.signal(syscall.SIGHUP)
	p.said(`"configuration reloaded"`, `"log_level","address_requests_per_second","high_rate_keys"`)
	run := p.run()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, run.URL+"/api/v1/unreal/tracking/batch", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", run.APIKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	// 100 times as fast, for 10 s.
	if got := response.Header.Get("RateLimit-Policy"); !strings.Contains(got, `"replica-address-requests";q=7000;`) {
		t.Errorf("the pipeline's own key has %q", got)
	}
	// Where the private parts are is the program's own business, and no change.
	if strings.Contains(string(p.output.bytes()), "need a restart") {
		t.Errorf("something is said to need a restart:\n%s", p.tail())
	}
	p.stop()
}
