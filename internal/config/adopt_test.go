package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAdopt(t *testing.T) {
	t.Parallel()
	with := func(env ...string) *Ingest {
		t.Helper()
		loaded, err := load[Ingest](t, nil, append([]string{"NEXERO_NATS_URL=nats://127.0.0.1:4222"}, env...))
		if err != nil {
			t.Fatal(err)
		}
		return loaded
	}
	running := with("NEXERO_HIGH_RATE_KEYS=a,b")
	fresh := with("NEXERO_HIGH_RATE_KEYS=a,c", "NEXERO_LOG_LEVEL=warn", "NEXERO_DRAIN_TIMEOUT=9s", "NEXERO_CORS_ORIGINS=https://a.example")
	got, changes, err := Adopt(running, fresh)
	if err != nil {
		t.Fatal(err)
	}
	want := Changes{Adopted: []string{"log_level", "high_rate_keys"}, Restart: []string{"drain_timeout", "cors_origins"}}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(with("NEXERO_HIGH_RATE_KEYS=a,c", "NEXERO_LOG_LEVEL=warn"), got); diff != "" {
		t.Errorf("adopted (-want +got):\n%s", diff)
	}
	if !slices.Equal(running.Rates.HighKeys, []string{"a", "b"}) {
		t.Errorf("what ran is changed: %v", running.Rates.HighKeys)
	}
}

// What is taken over must make sense beside what waits for a restart.
func TestAdopt_Mix(t *testing.T) {
	t.Parallel()
	running, err := load[Ingest](t, nil, []string{"NEXERO_NATS_URL=nats://127.0.0.1:4222"})
	if err != nil {
		t.Fatal(err)
	}
	// Enough for the body of 1 MiB that only a restart brings.
	fresh, err := load[Ingest](t, nil, []string{
		"NEXERO_NATS_URL=nats://127.0.0.1:4222", "NEXERO_ADDRESS_BYTES_PER_SECOND=200KiB", "NEXERO_MAX_INFLATED_BYTES=1MiB",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Adopt(running, fresh); err == nil || !strings.Contains(err.Error(), "address_bytes_per_second") {
		t.Errorf("error %v, want one that names the rate", err)
	}
}
