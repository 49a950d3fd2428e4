package obs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Bounds of what errors may cost. Reports beyond them are dropped: nothing ever
// waits for Sentry.
const (
	reportsAMinute = 30
	reportsAtOnce  = 10
	reportQueue    = 30
	reportTimeout  = 10 * time.Second
	maxReportText  = 500
)

// StopReports bounds [Reports.Stop].
const StopReports = 3 * time.Second

// ReportConfig says where errors go.
type ReportConfig struct {
	// DSN is a Sentry project, https://key@host/project. Empty: no reports.
	DSN string
	// Service, Version and Environment are in every report.
	Service, Version, Environment string
}

// Reports sends the log's errors to Sentry. It is safe for concurrent use.
type Reports struct {
	client    *sentry.Client // nil: off
	service   string
	transport *http.Transport
	limiter   *rate.Limiter
	queued    prometheus.Counter
	dropped   prometheus.Counter
}

// NewReports makes reports that go to one client of their own: there is no hub
// and no global. Nothing is sent before there is an error.
func NewReports(c ReportConfig, reg prometheus.Registerer) (*Reports, error) {
	if c.DSN == "" {
		return &Reports{}, nil
	}
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nexero_error_reports_total", Help: "Errors in the log by what became of their report: handed to Sentry's library (queued), which does not tell what it loses to its own full queue, the network or Sentry's limits, or dropped beyond the rate.",
	}, []string{"outcome"})
	if err := reg.Register(outcomes); err != nil {
		return nil, fmt.Errorf("obs: register metrics of error reports: %w", err)
	}
	r := &Reports{
		service:   c.Service,
		transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: time.Minute},
		limiter:   rate.NewLimiter(rate.Limit(reportsAMinute/time.Minute.Seconds()), reportsAtOnce),
		queued:    outcomes.WithLabelValues("queued"), dropped: outcomes.WithLabelValues("dropped"),
	}
	transport := sentry.NewHTTPTransport()
	transport.BufferSize = reportQueue
	var err error
	r.client, err = sentry.NewClient(sentry.ClientOptions{
		Dsn: c.DSN, Environment: c.Environment, Release: "nexero@" + c.Version, ServerName: c.Service,
		HTTPClient: &http.Client{Transport: r.transport, Timeout: reportTimeout, CheckRedirect: refuseRedirect},
		Transport:  transport,
		// They add lines of source, modules and the machine: nothing that helps here.
		Integrations:         func([]sentry.Integration) []sentry.Integration { return nil },
		DisableClientReports: true,
	})
	if err != nil {
		// Its text repeats the DSN, which holds a key.
		return nil, errors.New("obs: the address of Sentry is none that it can be reached at")
	}
	return r, nil
}

// Logger returns a logger that writes what log writes and reports its errors as
// well; log itself when reports are off.
func (r *Reports) Logger(log *slog.Logger) *slog.Logger {
	if r.client == nil {
		return log
	}
	return slog.New(&reporter{Handler: log.Handler(), reports: r})
}

// Report sends an error that ends the process, which no log line tells.
func (r *Reports) Report(message string, err error) {
	if r.client == nil || err == nil {
		return
	}
	record := slog.NewRecord(time.Now(), slog.LevelError, message, 0)
	record.AddAttrs(slog.Any("error", err))
	r.send(record, nil)
}

// Stop sends what is queued until ctx ends. What is left then is lost: the log
// has it.
func (r *Reports) Stop(ctx context.Context) {
	if r.client == nil {
		return
	}
	r.client.FlushWithContext(ctx)
	r.client.Close()
	r.transport.CloseIdleConnections()
}

// reporter is a log's handler that reports errors on the way.
type reporter struct {
	slog.Handler

	reports *Reports
	attrs   []slog.Attr
	// grouped says that attributes have a name in front, which no tag has.
	grouped bool
}

// Handle implements [slog.Handler].
func (h *reporter) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelError {
		h.reports.send(record, slices.Concat(h.attrs, traceAttrs(ctx)))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements [slog.Handler].
func (h *reporter) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := &reporter{Handler: h.Handler.WithAttrs(attrs), reports: h.reports, attrs: h.attrs, grouped: h.grouped}
	if !h.grouped {
		with.attrs = slices.Concat(h.attrs, attrs)
	}
	return with
}

// WithGroup implements [slog.Handler].
func (h *reporter) WithGroup(name string) slog.Handler {
	return &reporter{Handler: h.Handler.WithGroup(name), reports: h.reports, attrs: h.attrs, grouped: true}
}

// tags are the attributes that leave with a report. The list is closed, so that
// a new attribute stays here until somebody thought about it: no address, no
// body, no header, no visitor.
//
//nolint:gochecknoglobals // a table that never changes
var tags = map[string]bool{
	"service": true, "correlation_id": true, "trace_id": true, "route": true, "work": true, "step": true, "class": true,
	"msg_id": true, "batch": true, "sequence": true, "batch_no": true, "session_no": true, "event_index": true, "partition": true,
	"sqlstate": true, "column": true, "messages": true, "batches": true, "rows": true, "bytes": true, "deliveries": true,
}

// send makes a report of record and queues it.
func (r *Reports) send(record slog.Record, attrs []slog.Attr) {
	if !r.limiter.Allow() {
		r.dropped.Inc()
		return
	}
	event := sentry.NewEvent()
	event.Level, event.Timestamp, event.Logger = sentry.LevelError, record.Time, "slog"
	event.Message = record.Message
	event.Tags = map[string]string{"service": r.service}
	exception := sentry.Exception{Type: record.Message}
	note := func(a slog.Attr) bool {
		switch value := a.Value.Resolve(); {
		case a.Key == "panic":
			exception.Value, exception.Stacktrace = panicText(value.Any()), sentry.NewStacktrace()
		case a.Key == "error" || a.Key == "reason":
			exception.Value = tellable(value.String())
		case tags[a.Key]:
			event.Tags[a.Key] = value.String()
		}
		return true
	}
	for _, a := range attrs {
		note(a)
	}
	record.Attrs(note)
	event.Exception = []sentry.Exception{exception}
	// It returns an id also when the library's queue is full and the event is gone.
	// That is noted for Sentry only, out of our reach.
	r.client.CaptureEvent(event, nil, nil)
	r.queued.Inc()
}

// panicText is what may be told of a panic. A value of our own making can hold
// anything, the runtime's own errors hold numbers and types.
func panicText(p any) string {
	if err, ok := p.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", p)
}

// quoted is where errors repeat what somebody sent: PostgreSQL quotes values, and
// so do number and time parsers.
var quoted = regexp.MustCompile("\"[^\"]*\"|'[^']*'|`[^`]*`")

// tellable is the part of an error's text that may leave: bounded, and without
// what stands in quotation marks.
func tellable(text string) string {
	text = quoted.ReplaceAllString(text, `"…"`)
	return text[:min(len(text), maxReportText)]
}
