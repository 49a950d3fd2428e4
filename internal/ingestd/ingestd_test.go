package ingestd

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// The settings' defaults are written down twice, since config knows no stage:
// here they meet.
func TestOptions_DefaultsAreTheDesigns(t *testing.T) {
	t.Parallel()
	flags := pflag.NewFlagSet("ingest", pflag.ContinueOnError)
	if err := config.Register[config.Ingest](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Ingest](flags, []string{"NEXERO_NATS_URL=nats://127.0.0.1:4222"})
	if err != nil {
		t.Fatal(err)
	}
	options := optionsOf(cfg)
	if diff := cmp.Diff(event.DefaultLimits(), options.Limits); diff != "" {
		t.Errorf("limits (-design +settings):\n%s", diff)
	}
	if diff := cmp.Diff(gate.DefaultRates(), options.Rates); diff != "" {
		t.Errorf("rates (-design +settings):\n%s", diff)
	}
	if diff := cmp.Diff(gate.DefaultExposure(), options.Exposure); diff != "" {
		t.Errorf("exposure (-design +settings):\n%s", diff)
	}
	if options.BodyTimeout != 30*time.Second || options.RequestTimeout != 10*time.Second {
		t.Errorf("a body has %s, the queue %s", options.BodyTimeout, options.RequestTimeout)
	}
	// The private server's max_payload is the design's 8 MiB.
	if largest := options.LargestEnvelope(); largest > 8<<20 {
		t.Errorf("the largest envelope has %d bytes, more than a message may have", largest)
	}
}

// The key of the pipeline itself has the higher rates from the start.
func TestFavour(t *testing.T) {
	t.Parallel()
	i := startEdgeAt(t, testkit.NATS(t), "NEXERO_HIGH_RATE_KEYS=tool")
	if err := i.Favour("own"); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(i.pace.Rates().HighKeys, " "); got != "tool own" {
		t.Errorf("keys with higher rates: %s", got)
	}
}
