package ingestd

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/ingest"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// startEdge makes an edge on a queue of its own that may hold 16 MiB, the least
// that a setting allows.
func startEdge(t *testing.T) *Ingest {
	t.Helper()
	return startEdgeAt(t, testkit.NATS(t))
}

// startEdgeAt makes an edge on the queue at url, with further settings.
func startEdgeAt(t *testing.T, url string, env ...string) *Ingest {
	t.Helper()
	flags := pflag.NewFlagSet("ingest", pflag.ContinueOnError)
	if err := config.Register[config.Ingest](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[config.Ingest](flags, append(env,
		"NEXERO_NATS_URL="+url, "NEXERO_LISTEN=127.0.0.1:0", "NEXERO_QUEUE_MAX_BYTES=16MiB",
	))
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(t.Context(), cfg, testkit.Logger(t), prometheus.NewRegistry(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return i
}

// rule 5: a full queue is told apart from one of which nothing is known.
func TestPublisher_SpeaksTheEdgesWords(t *testing.T) {
	t.Parallel()
	p := publisher{startEdge(t).conn}
	// A message of which two fill the stream, under the server's 8 MiB.
	message := make([]byte, 7<<20)
	var err error
	for _, id := range []string{"a", "b", "c"} {
		if err = p.Publish(t.Context(), id, message); err != nil {
			break
		}
	}
	if !errors.Is(err, ingest.ErrFull) {
		t.Errorf("a full queue: %v, want %v", err, ingest.ErrFull)
	}
	if err := p.Publish(t.Context(), "huge", make([]byte, 9<<20)); !errors.Is(err, ingest.ErrTooLarge) {
		t.Errorf("a huge message: %v, want %v", err, ingest.ErrTooLarge)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Publish(ended, "late", message[:1]); err == nil || errors.Is(err, ingest.ErrFull) || errors.Is(err, ingest.ErrTooLarge) {
		t.Errorf("without time: %v, want an unknown outcome", err)
	}
}

// rule 8: only a key with the scope may post.
func TestAuthenticate_WantsTheScope(t *testing.T) {
	t.Parallel()
	i := startEdge(t)
	kv, stream, err := i.conn.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	bucket := apikey.NewBucket(kv, stream)
	keys := map[apikey.Scope]string{}
	for _, scope := range []apikey.Scope{apikey.ScopePost, apikey.ScopeRead} {
		key, record, err := apikey.New(apikey.Spec{
			Tenant: "acme", Environment: "development", Scopes: []apikey.Scope{scope},
		}, time.Now(), rand.Reader)
		if err := errors.Join(err, bucket.Put(t.Context(), record)); err != nil {
			t.Fatal(err)
		}
		keys[scope] = key
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var tenant string
	for range 6000 {
		if tenant, _, err = i.authenticate(keys[apikey.ScopePost]); err == nil {
			break
		}
		<-tick.C
	}
	if err != nil || tenant != "acme" {
		t.Errorf("a key that may post: tenant %q, %v", tenant, err)
	}
	for range 6000 {
		if _, _, err = i.authenticate(keys[apikey.ScopeRead]); !errors.Is(err, apikey.ErrUnknown) {
			break
		}
		<-tick.C
	}
	if !errors.Is(err, apikey.ErrScope) {
		t.Errorf("a key that may read: %v, want %v", err, apikey.ErrScope)
	}
	for _, check := range i.Checks() {
		if err := check.Ready(); err != nil {
			t.Errorf("%s is not ready: %v", check.Name, err)
		}
	}
}
