package config

import (
	"slices"
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
