package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoad_Telemetry(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		env  []string
		err  string
	}{
		{"all", []string{
			"NEXERO_TRACE_ENDPOINT=https://collector:4318/v1/traces", "NEXERO_TRACE_HEADERS=Authorization=Bearer hidden, X-Scope=a=b",
			"NEXERO_TRACE_SAMPLE_RATIO=1", "NEXERO_TRACE_FOLLOW_CLIENTS=true", "NEXERO_SENTRY_DSN=https://hidden@sentry.example.com/7",
		}, ""},
		{"none traced", []string{"NEXERO_TRACE_ENDPOINT=http://c", "NEXERO_TRACE_SAMPLE_RATIO=0"}, ""},
		{"more than all", []string{"NEXERO_TRACE_SAMPLE_RATIO=1.01"}, "is no share"},
		{"less than none", []string{"NEXERO_TRACE_SAMPLE_RATIO=-0.1"}, "is no share"},
		{"no number", []string{"NEXERO_TRACE_SAMPLE_RATIO=NaN"}, "is no share"},
		{"no scheme", []string{"NEXERO_TRACE_ENDPOINT=collector:4318"}, "NEXERO_TRACE_ENDPOINT"},
		{"gRPC", []string{"NEXERO_TRACE_ENDPOINT=grpc://collector:4317"}, "NEXERO_TRACE_ENDPOINT"},
		{"password in the address", []string{"NEXERO_TRACE_ENDPOINT=http://u:hidden@collector"}, "NEXERO_TRACE_HEADERS"},
		{"header without value", []string{"NEXERO_TRACE_HEADERS=a=hidden,b"}, "number 2"},
		{"header of two lines", []string{"NEXERO_TRACE_HEADERS=a=hidden\r\nb: c"}, "number 1"},
		{"DSN without key", []string{"NEXERO_SENTRY_DSN=https://sentry.example.com/7"}, "NEXERO_SENTRY_DSN"},
		{"DSN without project", []string{"NEXERO_SENTRY_DSN=https://hidden@sentry.example.com/"}, "NEXERO_SENTRY_DSN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := load[Worker](t, nil, append(test.env, natsEnv, "NEXERO_DATABASE_URL=postgres://h/d"))
			if (err != nil) != (test.err != "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Fatalf("Load: %v, want %q", err, test.err)
			}
			printed := new(strings.Builder)
			if err == nil {
				if err := Print(printed, cfg); err != nil {
					t.Fatal(err)
				}
			} else {
				printed.WriteString(err.Error())
			}
			// rule 8
			if strings.Contains(printed.String(), "hidden") {
				t.Errorf("a secret is printed: %s", printed)
			}
		})
	}
}

func TestTelemetry_Headers(t *testing.T) {
	t.Parallel()
	got, err := (&Telemetry{TraceHeaders: "Authorization=Bearer x, X-Scope=a=b"}).Headers()
	if diff := cmp.Diff(map[string]string{"Authorization": "Bearer x", "X-Scope": "a=b"}, got); diff != "" || err != nil {
		t.Errorf("headers (-want +got), %v:\n%s", err, diff)
	}
}
