package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// nowhere takes spans and keeps none.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// poster returns what makes one post to an edge.
func poster(b *testing.B, body string, adjust ...func(*Deps, *Options)) (post func()) {
	b.Helper()
	e := newEdge(b, append(adjust, func(d *Deps, o *Options) {
		o.Rates.KeyRequests, o.Rates.AddressRequests = 1e9, 1e9
		o.Rates.KeyBytes, o.Rates.AddressBytes = 1<<50, 1<<50
		d.Publisher, d.Log, d.Now = instant{}, slog.New(slog.DiscardHandler), time.Now
	})...)
	reader := strings.NewReader(body)
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, pathBatch, rewound{reader})
	if err != nil {
		b.Fatal(err)
	}
	request.ContentLength = int64(len(body))
	request.Header.Set("X-Api-Key", caller.Key)
	request.Header.Set("Content-Type", "application/json")
	return func() {
		reader.Reset(body)
		answer := &discard{header: http.Header{}}
		e.Handler().ServeHTTP(answer, request)
		if answer.status != http.StatusAccepted {
			b.Fatalf("answered %d", answer.status)
		}
	}
}

// BenchmarkTrace compares the median post of 10 events with traces to one
// without, by turns, so that whatever else the machine does meets both. "off"
// compares two edges without: how far the figures can be trusted.
func BenchmarkTrace(b *testing.B) {
	body := tour(10, "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60")
	for _, share := range []struct {
		name  string
		ratio float64
	}{{"off", -1}, {"none", 0}, {"1_in_100", 0.01}, {"all", 1}} {
		b.Run(share.name, func(b *testing.B) {
			var adjust []func(*Deps, *Options)
			if share.ratio >= 0 {
				provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}),
					sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(share.ratio))))
				defer func() { _ = provider.Shutdown(context.WithoutCancel(b.Context())) }()
				adjust = append(adjust, func(d *Deps, _ *Options) { d.Tracer = provider.Tracer("bench") })
			}
			without, with := poster(b, body), poster(b, body, adjust...)
			var off, on []time.Duration
			measure := func(post func(), took []time.Duration) []time.Duration {
				began := time.Now()
				post()
				return append(took, time.Since(began))
			}
			for b.Loop() {
				off = measure(without, off)
				on = measure(with, on)
				// And the other way round: who comes second finds the caches warm.
				on = measure(with, on)
				off = measure(without, off)
			}
			slices.Sort(off)
			slices.Sort(on)
			middleOff, middleOn := off[len(off)/2], on[len(on)/2]
			b.ReportMetric(middleOff.Seconds()*1e6, "µs/post-without")
			b.ReportMetric(middleOn.Seconds()*1e6, "µs/post-with")
			b.ReportMetric(middleOn.Seconds()/middleOff.Seconds(), "ratio")
		})
	}
}
