package ingestd

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// reload makes the edge take over a configuration of its own settings and more.
func reload(t *testing.T, i *Ingest, env ...string) error {
	t.Helper()
	flags := pflag.NewFlagSet("ingest", pflag.ContinueOnError)
	if err := config.Register[config.Ingest](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Ingest](flags, append(env, "NEXERO_NATS_URL=nats://127.0.0.1:4222"))
	if err != nil {
		t.Fatal(err)
	}
	return i.Reload(t.Context(), cfg)
}

// left posts once and returns how many requests are left of the nearest limit.
func left(t *testing.T, i *Ingest) (requests int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL()+"/api/v1/unreal/tracking/event",
		strings.NewReader(`{"session_id":"tour","event_type":"zone_enter","zone_name":"kitchen","timestamp":"2026-01-02T03:04:05Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	const form = `"replica-address-requests";r=%d;`
	if _, err := fmt.Sscanf(response.Header.Get("RateLimit"), form, &requests); err != nil {
		t.Fatalf("status %d, RateLimit %q: %v", response.StatusCode, response.Header.Get("RateLimit"), err)
	}
	return requests
}

// rule 9: limits that change while requests are served hold from then on.
func TestReload_TakesRates(t *testing.T) {
	t.Parallel()
	// 300 at once, and one more each second: a slow machine does not matter.
	few := []string{"NEXERO_ADDRESS_REQUESTS_PER_SECOND=1", "NEXERO_RATE_BURST=5m"}
	i := startEdgeAt(t, testkit.NATS(t), append(few, "NEXERO_ANONYMOUS_TENANT=acme")...)
	const posts = 100
	for range posts {
		left(t, i)
	}
	// Other settings that changed must not make clients forget what they used.
	if err := reload(t, i, append(few, "NEXERO_LOG_LEVEL=debug")...); err != nil {
		t.Fatal(err)
	}
	if got := left(t, i); got > 300-posts/2 {
		t.Errorf("after other settings changed %d of 300 are left", got)
	}
	if err := reload(t, i, "NEXERO_ADDRESS_REQUESTS_PER_SECOND=50"); err != nil {
		t.Fatal(err)
	}
	if got := left(t, i); got != 499 {
		t.Errorf("with 50 a second for 10 s, one post leaves %d", got)
	}
}

// The key of a pipeline that makes its own stays favoured.
func TestReload_KeepsFavour(t *testing.T) {
	t.Parallel()
	i := startEdge(t)
	if err := i.Favour("own"); err != nil {
		t.Fatal(err)
	}
	for _, keys := range []string{"a,b", "own,c", ""} {
		if err := reload(t, i, "NEXERO_HIGH_RATE_KEYS="+keys); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(i.pace.Rates().HighKeys, "own") {
			t.Errorf("with %q, keys with higher rates are %v", keys, i.pace.Rates().HighKeys)
		}
	}
	// What is refused changes nothing.
	before := i.pace.Rates()
	if err := i.pace.Set(ratesOf(&config.Ingest{})); err == nil || i.pace.Rates().KeyRequests != before.KeyRequests {
		t.Errorf("no rates at all: %v, and %d requests a second", err, i.pace.Rates().KeyRequests)
	}
}
