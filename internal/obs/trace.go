package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Bounds of what traces may cost. Spans that find the queue full are dropped:
// nothing ever waits for a collector.
const (
	maxSpans       = 4096
	spansAtOnce    = 512
	spanDelay      = 2 * time.Second
	exportTimeout  = 10 * time.Second
	firstRetry     = 500 * time.Millisecond
	lastRetry      = 2 * time.Second
	retriesEnd     = 6 * time.Second
	spanTextBytes  = 256
	spanAttributes = 32
	spanEvents     = 32
	spanLinks      = 128
)

// StopTracing bounds [Tracing.Stop] as a service.
const StopTracing = 5 * time.Second

// tracerName is the scope of every span.
const tracerName = "github.com/nexero-vr/nexero"

// TraceConfig says where traces go and which are made.
type TraceConfig struct {
	// Endpoint is an OTLP/HTTP collector, http://host:4318; a path replaces
	// /v1/traces. Empty: no traces.
	Endpoint string
	// Headers go with every request to it. They may be secret.
	Headers map[string]string
	// Ratio is the share of traces that are made of those that begin here.
	Ratio float64
	// Service, Version and Environment are what the spans are of.
	Service, Version, Environment string
}

// Tracing makes spans and sends them away. It is safe for concurrent use.
type Tracing struct {
	provider  *sdktrace.TracerProvider // nil: off
	exporter  *otlptrace.Exporter
	transport *http.Transport
	log       *slog.Logger
}

// NewTracing starts sending what its tracer makes, until Stop. It sets no
// global: spans come only from [Tracing.Tracer]. A collector that is away, now
// or later, costs spans, counted and logged once a minute, and nothing else.
func NewTracing(ctx context.Context, c TraceConfig, log *slog.Logger, reg prometheus.Registerer) (*Tracing, error) {
	if c.Endpoint == "" {
		return &Tracing{}, nil
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("obs: address of traces: %w", err)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces"
	}
	headers := c.Headers
	if headers == nil {
		headers = map[string]string{} // nil would be filled from the environment
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
	t := &Tracing{transport: transport, log: log}
	// Everything is said here, so that no OTEL_ variable changes what the
	// configuration shows.
	t.exporter, err = otlptracehttp.New(ctx,
		otlptracehttp.WithEndpointURL(endpoint.String()),
		otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: exportTimeout, CheckRedirect: refuseRedirect}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: firstRetry, MaxInterval: lastRetry, MaxElapsedTime: retriesEnd,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("obs: send traces: %w", err)
	}
	counting, err := newCountingExporter(t.exporter, log, reg)
	if err != nil {
		return nil, errors.Join(err, t.exporter.Shutdown(ctx))
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.namespace", "nexero"),
			attribute.String("service.name", c.Service),
			attribute.String("service.version", c.Version),
			attribute.String("deployment.environment.name", c.Environment),
		)),
		sdktrace.WithSampler(sampler{sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.Ratio))}),
		sdktrace.WithRawSpanLimits(sdktrace.SpanLimits{
			AttributeValueLengthLimit: spanTextBytes, AttributeValueDepthLimit: 1, AttributeCountLimit: spanAttributes,
			EventCountLimit: spanEvents, LinkCountLimit: spanLinks,
			AttributePerEventCountLimit: spanAttributes, AttributePerLinkCountLimit: spanAttributes,
		}),
		sdktrace.WithSpanProcessor(newSpanQueue(counting)),
	)
	return t, nil
}

// refuseRedirect keeps headers, which may be secret, from going elsewhere.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Tracer returns what makes spans, nil when traces are off: who has none then
// need not even ask.
func (t *Tracing) Tracer() trace.Tracer {
	if t.provider == nil {
		return nil
	}
	return t.provider.Tracer(tracerName)
}

// Stop sends what is left until ctx ends, and returns when nothing runs any
// more. What could not be sent by then is logged and no error: a lost span is no
// work left undone.
func (t *Tracing) Stop(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.LogAttrs(ctx, slog.LevelWarn, "traces were left behind", slog.Any("error", err))
		// Cut off the request in progress; what follows it then fails at once.
		_ = t.exporter.Shutdown(context.WithoutCancel(ctx))
	}
	t.transport.CloseIdleConnections()
	return nil
}

// sampler decides which spans are made: those that go on with a span that is,
// those that are linked to one, and the configured share of the rest. An
// envelope or a load has no parent, but it is part of each traced batch's story.
type sampler struct{ sdktrace.Sampler }

// ShouldSample implements [sdktrace.Sampler].
func (s sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if !trace.SpanContextFromContext(p.ParentContext).IsValid() {
		for i := range p.Links {
			if p.Links[i].SpanContext.IsSampled() {
				return sdktrace.AlwaysSample().ShouldSample(p)
			}
		}
	}
	return s.Sampler.ShouldSample(p)
}
