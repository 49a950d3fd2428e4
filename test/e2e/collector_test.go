package e2e

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traceCollector takes spans over OTLP/HTTP as a real one does.
type traceCollector struct {
	url string

	mu    sync.Mutex
	spans []*otlp.Span
	raw   []byte // all that came, for what must not be in it
}

func startCollector(t *testing.T) *traceCollector {
	t.Helper()
	c := &traceCollector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s with %s is no OTLP", r.URL.Path, r.Header.Get("Content-Type"))
		}
		if err := c.take(r); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *traceCollector) take(r *http.Request) error {
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(plain)
	if err != nil {
		return err
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, body...)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return nil
}

// named returns the spans of a name.
func (c *traceCollector) named(name string) []*otlp.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*otlp.Span
	for _, span := range c.spans {
		if span.GetName() == name {
			found = append(found, span)
		}
	}
	return found
}

// one waits for a span of a name, and fails unless there is just one.
func (c *traceCollector) one(t *testing.T, name string) *otlp.Span {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if found := c.named(name); len(found) == 1 {
			return found[0]
		} else if len(found) > 1 {
			t.Fatalf("%d spans are called %s", len(found), name)
		}
		<-tick.C
	}
	t.Fatalf("no span is called %s", name)
	return nil
}

// attribute returns the text of a span's attribute.
func attribute(span *otlp.Span, key string) string {
	for _, a := range span.GetAttributes() {
		if a.GetKey() == key {
			if text, ok := a.GetValue().GetValue().(*common.AnyValue_StringValue); ok {
				return text.StringValue
			}
			return a.GetValue().String()
		}
	}
	return ""
}

// linked reports whether a span links to another.
func linked(from, to *otlp.Span) bool {
	for _, link := range from.GetLinks() {
		if string(link.GetSpanId()) == string(to.GetSpanId()) && string(link.GetTraceId()) == string(to.GetTraceId()) {
			return true
		}
	}
	return false
}
