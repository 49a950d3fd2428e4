package deploy

import (
	"strings"
	"testing"

	"github.com/nexero-vr/nexero/internal/config"
)

// told is what .env may have: where traces and errors go.
func told() map[string]string {
	return map[string]string{
		"TRACE_ENDPOINT": "https://collector.example.com:4318", "TRACE_HEADERS": "authorization=Bearer k,x-team=vr",
		"TRACE_SAMPLE_RATIO": "0.25", "SENTRY_DSN": "https://4f9c01d27be84a6fa8c3e5d09b71f264@sentry.example.com/7",
	}
}

// Traces and errors leave the machine when .env says so, and else do not: each
// service gets all of it.
func TestCompose_PassesTelemetry(t *testing.T) {
	t.Parallel()
	environment := chosen()
	for name, value := range told() {
		environment[name] = value
		// It is offered, and not set: an address in an example would be copied.
		if !strings.Contains(read(t, "deploy/env.example"), "\n#"+name+"=\n") {
			t.Errorf("env.example does not offer %s", name)
		}
	}
	chatty, err := load(t, environment)
	if err != nil {
		t.Fatal(err)
	}
	silent := project(t)
	for name := range programs() {
		got := configured(t, chatty, name).process.Telemetry
		want := config.Telemetry{
			TraceEndpoint: config.ConnURL(told()["TRACE_ENDPOINT"]), TraceHeaders: config.Secret(told()["TRACE_HEADERS"]),
			TraceSampleRatio: 0.25, SentryDSN: config.ConnURL(told()["SENTRY_DSN"]),
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if got := configured(t, silent, name).process.Telemetry; got != (config.Telemetry{TraceSampleRatio: 0.01}) {
			t.Errorf("%s sends something, asked by nobody: %+v", name, got)
		}
	}
}
