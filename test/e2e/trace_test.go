package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
	"github.com/nexero-vr/nexero/internal/ingestd"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/workerd"
)

// A post is one trace, from HTTP through the envelope to COMMIT, whatever the
// client says about traces; and nothing in it tells who posted.
//
// rule 8
func TestTrace_FromPostToCommit(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	nats, database := testkit.NATS(t), testkit.Database(t)
	env := []string{
		"NEXERO_NATS_URL=" + nats, "NEXERO_DATABASE_URL=" + database, "NEXERO_LISTEN=127.0.0.1:0", "NEXERO_QUEUE_MAX_BYTES=16MiB",
		"NEXERO_ANONYMOUS_TENANT=acme", "NEXERO_TRACE_ENDPOINT=" + c.url, "NEXERO_TRACE_SAMPLE_RATIO=1", "NEXERO_ROLLUP_INTERVAL=5m",
	}
	edge := settingsOf[config.Ingest](t, env)
	i, err := ingestd.New(t.Context(), edge, testkit.Logger(t), prometheus.NewRegistry(), tracerOf(t, "ingest", &edge.Process))
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, i.Run)
	loader := settingsOf[config.Worker](t, env)
	w, err := workerd.New(t.Context(), loader, testkit.Logger(t), prometheus.NewRegistry(), tracerOf(t, "worker", &loader.Process))
	if err != nil {
		t.Fatal(err)
	}
	serveUntilEnd(t, w.Run)

	const theirs = "0af7651916cd43dd8448eb211c80319c"
	postTraced(t, i.Addr(), theirs)
	stored, load := c.one(t, "stored"), c.one(t, "load")
	post, commit, publish := c.one(t, "tracking_batch"), c.one(t, "group commit"), c.one(t, "publish envelope")

	// HTTP → envelope → COMMIT.
	for name, parentage := range map[string][2]string{
		"the post begins a trace":        {"", hex.EncodeToString(post.GetParentSpanId())},
		"decoding is part of the post":   {hex.EncodeToString(post.GetSpanId()), hex.EncodeToString(c.one(t, "decode").GetParentSpanId())},
		"the queue is part of the post":  {hex.EncodeToString(post.GetSpanId()), hex.EncodeToString(commit.GetParentSpanId())},
		"storing follows from the queue": {hex.EncodeToString(commit.GetSpanId()), hex.EncodeToString(stored.GetParentSpanId())},
		"one trace":                      {hex.EncodeToString(post.GetTraceId()), hex.EncodeToString(stored.GetTraceId())},
	} {
		if parentage[0] != parentage[1] {
			t.Errorf("%s: want %s, got %s", name, parentage[0], parentage[1])
		}
	}
	// What many batches share has a trace of its own and links.
	if !linked(publish, commit) || !linked(commit, publish) || !linked(load, commit) || !linked(stored, load) {
		t.Errorf("links: envelope to batch %v and back %v, load to batch %v, batch to load %v",
			linked(publish, commit), linked(commit, publish), linked(load, commit), linked(stored, load))
	}
	// The load's steps, the last of which is the COMMIT that the batch's trace ends with.
	ended := uint64(0)
	for _, step := range []string{"ledger", "sessions", "rows", "rejected events"} {
		if span := c.one(t, step); !bytes.Equal(span.GetParentSpanId(), load.GetSpanId()) {
			t.Errorf("%s is no part of the load", step)
		}
	}
	for _, span := range c.named("commit") {
		if bytes.Equal(span.GetParentSpanId(), load.GetSpanId()) {
			ended = span.GetEndTimeUnixNano()
		}
	}
	if ended == 0 || stored.GetEndTimeUnixNano() < ended {
		t.Errorf("COMMIT ended at %d, the trace at %d", ended, stored.GetEndTimeUnixNano())
	}
	for _, span := range []*struct{ id, batch string }{
		{attribute(post, "nexero.correlation_id"), attribute(post, "nexero.batch_id")},
		{attribute(stored, "nexero.correlation_id"), attribute(stored, "nexero.batch_id")},
	} {
		if span.id != "tour-1" || span.batch == "" || span.batch != attribute(post, "nexero.batch_id") {
			t.Errorf("correlation id %q, batch %q", span.id, span.batch)
		}
	}
	// A client's trace is linked and not joined.
	if links := post.GetLinks(); hex.EncodeToString(post.GetTraceId()) == theirs || len(links) != 1 || hex.EncodeToString(links[0].GetTraceId()) != theirs {
		t.Errorf("the client's trace: %v", links)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, secret := range []string{"127.0.0.1", "nxr_", "kitchen", "tour-of-ada", "Traceparent"} {
		if bytes.Contains(c.raw, []byte(secret)) {
			t.Errorf("%q is in a span", secret)
		}
	}
}

// postTraced posts one event as a client does that traces itself.
func postTraced(t *testing.T, address, theirTrace string) {
	t.Helper()
	body := fmt.Sprintf(`{"session_id":"tour-of-ada","events":[{"event_type":"zone_enter","zone_name":"kitchen","timestamp":%q}]}`,
		time.Now().UTC().Format(time.RFC3339Nano))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/api/v1/unreal/tracking/batch", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Correlation-Id", "tour-1")
	request.Header.Set("Traceparent", "00-"+theirTrace+"-b7ad6b7169203331-01")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusAccepted || !strings.Contains(string(answer), `"processed":1`) {
		t.Fatalf("status %d, %s, %v", response.StatusCode, answer, err)
	}
}

func settingsOf[T any](t *testing.T, env []string) *T {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	if err := config.Register[T](flags); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load[T](flags, env)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// tracerOf makes a service's tracer as its main does.
func tracerOf(t *testing.T, name string, p *config.Process) trace.Tracer {
	t.Helper()
	tracing, err := daemon.NewTracing(t.Context(), name, p, testkit.Logger(t), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), obs.StopTracing)
		defer cancel()
		if err := tracing.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return tracing.Tracer()
}

// serveUntilEnd runs a service until the test ends.
func serveUntilEnd(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
