package obs

import (
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNewReadiness_FollowsTheChecks(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	registry := prometheus.NewRegistry()
	if err := registry.Register(NewReadiness([]Check{
		{Name: "queue", Ready: func() error { return away }},
		{Name: "keys", Ready: func() error { return nil }},
		{Name: "queue", Ready: func() error { return nil }}, // another service's, in the same process
	})); err != nil {
		t.Fatal(err)
	}
	expect := func(queue string) {
		t.Helper()
		want := `# HELP nexero_ready 1 while what the label names is ready for work, as on /readyz.
# TYPE nexero_ready gauge
nexero_ready{check="keys"} 1
nexero_ready{check="queue"} ` + queue + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	expect("0")
	away = nil
	expect("1")
}
