package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/nexero-vr/nexero/internal/config"
)

// posted keeps what a collector and Sentry get, by path.
type posted struct {
	mu     sync.Mutex
	bodies map[string]string
}

func (p *posted) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what does not come is missed by the test
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies[r.URL.Path] += string(body)
}

// A process that ends has sent what it had to tell, the reason of its end last.
func TestMain_TellsBeforeItEnds(t *testing.T) {
	t.Parallel()
	told := &posted{bodies: map[string]string{}}
	server := httptest.NewServer(told)
	t.Cleanup(server.Close)
	p := program(nil, errors.New("broke down"))
	build := p.Build
	p.Build = func(ctx context.Context, cfg *config.Ingest, log *slog.Logger, reg prometheus.Registerer, tracer trace.Tracer) (Service[config.Ingest], error) {
		_, span := tracer.Start(ctx, "work")
		span.End()
		log.ErrorContext(ctx, "work went wrong")
		return build(ctx, cfg, log, reg, tracer)
	}
	var stdout, stderr bytes.Buffer
	if got := Main(p, nil, []string{
		"NEXERO_NATS_URL=nats://127.0.0.1:4222", "NEXERO_TRACE_ENDPOINT=" + server.URL, "NEXERO_TRACE_SAMPLE_RATIO=1",
		"NEXERO_SENTRY_DSN=" + strings.Replace(server.URL, "http://", "http://hidden@", 1) + "/7",
	}, &stdout, &stderr); got != ExitFailed {
		t.Fatalf("exit code %d: %s", got, stderr.String())
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	if told.bodies["/v1/traces"] == "" {
		t.Error("the collector got nothing")
	}
	for _, part := range []string{"work went wrong", "the service failed", "broke down"} {
		if !strings.Contains(told.bodies["/api/7/envelope/"], part) {
			t.Errorf("Sentry did not get %q", part)
		}
	}
	// rule 8
	if strings.Contains(stdout.String()+stderr.String(), "hidden") {
		t.Error("the key is printed")
	}
}
