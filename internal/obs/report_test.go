package obs

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
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// fakeSentry keeps what is sent to a project.
type fakeSentry struct {
	dsn string

	mu       sync.Mutex
	received []string
}

func startSentry(t *testing.T) *fakeSentry {
	t.Helper()
	s := &fakeSentry{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/api/7/envelope/" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.received = append(s.received, string(body))
	}))
	t.Cleanup(server.Close)
	s.dsn = strings.Replace(server.URL, "http://", "http://publickey@", 1) + "/7"
	return s
}

func (s *fakeSentry) events() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received
}

func startReports(t *testing.T, dsn string) (*Reports, *slog.Logger, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	reports, err := NewReports(ReportConfig{DSN: dsn, Service: "ingest", Version: "v1.2.3", Environment: "staging"}, registry)
	if err != nil {
		t.Fatal(err)
	}
	lines := new(bytes.Buffer)
	return reports, reports.Logger(slog.New(slog.NewJSONHandler(lines, nil))), lines, registry
}

// An error leaves with what finds it again, and with nothing of a client.
//
// rule 8
func TestReports_Error(t *testing.T) {
	t.Parallel()
	s := startSentry(t)
	reports, log, lines, _ := startReports(t, s.dsn)
	log.Warn("no error", "correlation_id", "c-0")
	log.With("work", "sessions", "body", "kitchen-body").Error("store refuses a roll-up",
		"correlation_id", "c-1", "address", "192.0.2.7", "error", errors.New(`invalid input syntax for type json: "kitchen-secret" (SQLSTATE 22P02)`))
	reports.Stop(t.Context())
	sent := s.events()
	if len(sent) != 1 {
		t.Fatalf("%d reports: %q", len(sent), sent)
	}
	for _, part := range []string{
		"store refuses a roll-up", `"correlation_id":"c-1"`, `"work":"sessions"`, `"service":"ingest"`, `"environment":"staging"`, `"release":"nexero@v1.2.3"`,
		"invalid input syntax", "22P02",
	} {
		if !strings.Contains(sent[0], part) {
			t.Errorf("the report lacks %s: %s", part, sent[0])
		}
	}
	for _, part := range []string{"kitchen", "192.0.2.7", "127.0.0.1:1", `"user":{"`, `"request":{"`, "modules"} {
		if strings.Contains(sent[0], part) {
			t.Errorf("the report has %s: %s", part, sent[0])
		}
	}
	if got := strings.Count(lines.String(), "\n"); got != 2 {
		t.Errorf("%d lines are logged", got)
	}
}

// As an edge recovers: with the stack, and without a value that can be anything.
func TestReports_Panic(t *testing.T) {
	t.Parallel()
	s := startSentry(t)
	reports, log, _, _ := startReports(t, s.dsn)
	for _, cause := range []func(){
		func() { panic("a body with kitchen in it") },
		func() { _ = make([]int, len(s.dsn))[len(s.dsn)+3] },
	} {
		func() {
			defer func() {
				log.LogAttrs(t.Context(), slog.LevelError, "request panicked", slog.String("correlation_id", "c-2"), slog.Any("panic", recover()), slog.String("stack", "at kitchen"))
			}()
			cause()
		}()
	}
	reports.Stop(t.Context())
	all := strings.Join(s.events(), "")
	if len(s.events()) != 2 || !strings.Contains(all, "TestReports_Panic") || !strings.Contains(all, "index out of range") || !strings.Contains(all, `"value":"string"`) {
		t.Errorf("reports: %s", all)
	}
	if strings.Contains(all, "with kitchen") || strings.Contains(all, "at kitchen") {
		t.Errorf("the panic's value is in a report: %s", all)
	}
}

// Errors come in floods. // rule 9
func TestReports_Bounded(t *testing.T) {
	t.Parallel()
	s := startSentry(t)
	reports, log, lines, registry := startReports(t, s.dsn)
	const flood = 200
	for i := range flood {
		log.Error("the same", "sequence", i)
	}
	reports.Stop(t.Context())
	if got := len(s.events()); got < 1 || got > reportsAtOnce+2 {
		t.Errorf("%d reports", got)
	}
	queued, dropped := counted(t, registry, "nexero_error_reports_total", "queued"), counted(t, registry, "nexero_error_reports_total", "dropped")
	if queued+dropped != flood || strings.Count(lines.String(), "\n") != flood {
		t.Errorf("%v queued, %v dropped, of %d", queued, dropped, flood)
	}
}

// A Sentry that hangs holds up neither the log nor, beyond its deadline, the stop.
// rule 10
func TestReports_Away(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); hanging.Close() })
	for _, dsn := range []string{"http://key@127.0.0.1:1/7", strings.Replace(hanging.URL, "http://", "http://key@", 1) + "/7"} {
		reports, log, lines, _ := startReports(t, dsn)
		for range 2 * reportQueue {
			log.Error("it broke")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		reports.Stop(ctx)
		cancel()
		if got := strings.Count(lines.String(), "\n"); got != 2*reportQueue {
			t.Errorf("%d lines are logged", got)
		}
	}
}

func TestReports_OffAndWrong(t *testing.T) {
	t.Parallel()
	off, err := NewReports(ReportConfig{}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if off.Logger(log) != log {
		t.Error("a logger is wrapped for nothing")
	}
	off.Report("nothing", errors.New("x"))
	off.Stop(t.Context())
	// rule 8
	if _, err := NewReports(ReportConfig{DSN: "http://hidden@/"}, prometheus.NewRegistry()); err == nil || strings.Contains(err.Error(), "hidden") {
		t.Errorf("a DSN that is none: %v", err)
	}
}
