package httptrace

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

const (
	theirTrace = "0af7651916cd43dd8448eb211c80319c"
	sampled    = "00-" + theirTrace + "-b7ad6b7169203331-01"
	unsampled  = "00-" + theirTrace + "-b7ad6b7169203331-00"
)

// Clients say what they like, and only the operator decides what is traced.
// rule 9
func TestBegin_Clients(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                  string
		headers               []string
		ours                  bool // whether our own share is all or nothing
		follow                bool
		traced, joined, links bool
	}{
		{name: "nothing sent, all traced", ours: true, traced: true},
		{name: "nothing sent, none traced"},
		{name: "sampled", headers: []string{sampled}, ours: true, traced: true, links: true},
		{name: "sampled forces nothing", headers: []string{sampled}},
		{name: "not sampled hides nothing", headers: []string{unsampled}, ours: true, traced: true, links: true},
		{name: "followed", headers: []string{sampled}, follow: true, traced: true, joined: true},
		{name: "followed in what is not traced", headers: []string{unsampled}, ours: true, follow: true},
		{name: "two of them", headers: []string{sampled, sampled}, ours: true, follow: true, traced: true},
		{name: "rubbish", headers: []string{"00-xyz"}, ours: true, follow: true, traced: true},
		{name: "all zero", headers: []string{"00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-01"}, ours: true, follow: true, traced: true},
		{name: "very long", headers: []string{sampled + strings.Repeat("-00", 10_000)}, ours: true, follow: true, traced: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			share := sdktrace.NeverSample()
			if test.ours {
				share = sdktrace.AlwaysSample()
			}
			spans := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(share)), sdktrace.WithSpanProcessor(spans))
			request := httptest.NewRequest("BREW", "/secret?key=secret", nil)
			request.Header["Traceparent"] = test.headers
			traced, span := Begin(provider.Tracer("test"), request, "route", test.follow)
			if (span != nil) != test.traced || (traced != request) != test.traced {
				t.Fatalf("traced %v, want %v", span != nil, test.traced)
			}
			End(span, http.StatusServiceUnavailable)
			if !test.traced {
				return
			}
			ended := spans.Ended()[0]
			if joined := ended.SpanContext().TraceID().String() == theirTrace; joined != test.joined || ended.Parent().IsValid() != test.joined {
				t.Errorf("joined %v, want %v", joined, test.joined)
			}
			if (len(ended.Links()) == 1) != test.links || test.links && ended.Links()[0].SpanContext.IsSampled() {
				t.Errorf("links %v", ended.Links())
			}
			if !trace.SpanContextFromContext(traced.Context()).Equal(ended.SpanContext()) {
				t.Error("the request does not have its span")
			}
			for _, a := range ended.Attributes() {
				// rule 8
				if text := a.Value.String(); strings.Contains(text, "secret") || strings.Contains(text, "BREW") {
					t.Errorf("%s is %q", a.Key, text)
				}
			}
		})
	}
}
