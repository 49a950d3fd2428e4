package ingest

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// instant stores nothing and answers at once: what is left is the edge.
type instant struct{}

func (instant) Publish(context.Context, string, []byte) error { return nil }

// discard is a client that looks at the status only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// body is a request's body that can be read again.
type rewound struct{ *strings.Reader }

func (rewound) Close() error { return nil }

func benchmarkHandler(b *testing.B, events int) {
	b.Helper()
	e := newEdge(b, func(d *Deps, o *Options) {
		o.Rates.KeyRequests, o.Rates.AddressRequests = 1e9, 1e9
		o.Rates.KeyBytes, o.Rates.AddressBytes = 1<<50, 1<<50
		d.Publisher = instant{}
		d.Log = slog.New(slog.DiscardHandler)
		d.Now = time.Now
	})
	body := tour(events, "A51CF3A04C2D4F0B9E6D1B2C3D4E5F60")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		reader := strings.NewReader(body)
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, pathBatch, rewound{reader})
		if err != nil {
			b.Error(err)
			return
		}
		request.ContentLength = int64(len(body))
		request.Header.Set("X-Api-Key", caller.Key)
		request.Header.Set("Content-Type", "application/json")
		for pb.Next() {
			reader.Reset(body)
			answer := &discard{header: http.Header{}}
			e.Handler().ServeHTTP(answer, request)
			if answer.status != http.StatusAccepted {
				b.Errorf("answered %d", answer.status)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)*float64(events)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkHandler_10Events(b *testing.B)  { benchmarkHandler(b, 10) }
func BenchmarkHandler_100Events(b *testing.B) { benchmarkHandler(b, 100) }

func BenchmarkSubmit(b *testing.B) {
	c := testCommitter(b, instant{}, nil)
	batch := encodedBatch(b, "b", 10_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
			if err := c.Submit(ctx, batch); err != nil {
				b.Error(err)
			}
			cancel()
		}
	})
}
