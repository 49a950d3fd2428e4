package obs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// counted returns the sum of a counter's series with an outcome.
func counted(t *testing.T, registry *prometheus.Registry, name, outcome string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == outcome {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// startTracing makes traces that go to a collector which answers with handle.
func startTracing(t *testing.T, handle http.HandlerFunc, log *slog.Logger) (*Tracing, *prometheus.Registry) {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	registry := prometheus.NewRegistry()
	tracing, err := NewTracing(t.Context(), TraceConfig{
		Endpoint: server.URL, Headers: map[string]string{"Authorization": "Bearer hidden"}, Ratio: 1, Service: "test",
	}, log, registry)
	if err != nil {
		t.Fatal(err)
	}
	return tracing, registry
}

func TestTracing_SendsWhatIsLeft(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	tracing, registry := startTracing(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path != "/v1/traces" || r.Header.Get("Authorization") != "Bearer hidden" {
			t.Errorf("%s, authorization %q", r.URL.Path, r.Header.Get("Authorization"))
		}
	}, slog.New(slog.DiscardHandler))
	_, span := tracing.Tracer().Start(t.Context(), "work")
	span.End()
	if err := tracing.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != 1 || counted(t, registry, "nexero_trace_spans_total", "exported") != 1 {
		t.Errorf("the collector was asked %d times", asked.Load())
	}
	// What comes too late costs nothing either.
	_, span = tracing.Tracer().Start(t.Context(), "late")
	span.End()
}

// A collector that is away, or takes nothing, is counted and told once; it holds
// up neither the work nor the stop. // rule 10
func TestTracing_CollectorThatFails(t *testing.T) {
	t.Parallel()
	// Nobody else gets what is secret. // rule 8
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect is followed to %s, authorization %q", r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	for name, handle := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) },
		"redirects": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			// Without its body read, a server does not see that a client has left.
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lines bytes.Buffer
			tracing, registry := startTracing(t, handle, slog.New(slog.NewTextHandler(&lines, nil)))
			for range 3 * spansAtOnce {
				_, span := tracing.Tracer().Start(t.Context(), "work")
				span.End()
			}
			patience := time.Minute
			if name == "hangs" {
				patience = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := tracing.Stop(ctx); err != nil {
				t.Errorf("Stop: %v", err)
			}
			if exported := counted(t, registry, "nexero_trace_spans_total", "exported"); exported != 0 {
				t.Errorf("%v spans are exported", exported)
			}
			if name == "hangs" {
				return // its lines come when the process has ended
			}
			if got := strings.Count(lines.String(), "collector takes no traces"); got != 1 || strings.Contains(lines.String(), "hidden") {
				t.Errorf("%d complaints: %s", got, lines.String())
			}
			if failed := counted(t, registry, "nexero_trace_spans_total", "failed"); failed != 3*spansAtOnce {
				t.Errorf("%v spans failed", failed)
			}
		})
	}
}

func TestTracing_Off(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	tracing, err := NewTracing(t.Context(), TraceConfig{}, nil, registry)
	if err != nil || tracing.Tracer() != nil || tracing.Stop(t.Context()) != nil {
		t.Errorf("traces that are off: %v, %v", tracing.Tracer(), err)
	}
}

func TestSampler(t *testing.T) {
	t.Parallel()
	ids := func(flags trace.TraceFlags) trace.SpanContext {
		return trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: flags, Remote: true})
	}
	none := sampler{sdktrace.ParentBased(sdktrace.NeverSample())}
	for _, test := range []struct {
		name           string
		parent, linked trace.SpanContext
		want           bool
	}{
		{name: "alone"},
		{name: "parent", parent: ids(1), want: true},
		{name: "parent that is not", parent: ids(0), linked: ids(1)},
		{name: "link", linked: ids(1), want: true},
		{name: "link to what is not", linked: ids(0)},
	} {
		result := none.ShouldSample(sdktrace.SamplingParameters{
			ParentContext: trace.ContextWithRemoteSpanContext(t.Context(), test.parent), Links: []trace.Link{{SpanContext: test.linked}},
		})
		if got := result.Decision == sdktrace.RecordAndSample; got != test.want {
			t.Errorf("%s: sampled %v", test.name, got)
		}
	}
}

func TestNewLogger_TraceID(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	log, err := NewLogger(&lines, Logging{Format: FormatJSON})
	if err != nil {
		t.Fatal(err)
	}
	for flags, want := range map[trace.TraceFlags]int{0: 0, 1: 1} {
		lines.Reset()
		ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{2}, TraceFlags: flags,
		}))
		log.With("a", 1).InfoContext(ctx, "something")
		log.Info("elsewhere")
		if got := strings.Count(lines.String(), `"trace_id":"ab0000`); got != want {
			t.Errorf("flags %v: %s", flags, lines.String())
		}
	}
}
