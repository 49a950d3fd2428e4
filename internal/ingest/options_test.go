package ingest

import (
	"encoding/binary"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/gate"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
	"github.com/nexero-vr/nexero/internal/unreal"
)

func TestNew_RefusesNonsense(t *testing.T) {
	t.Parallel()
	deps := func() Deps {
		return Deps{
			Decoder: unreal.NewDecoder(event.DefaultLimits(), nil), Publisher: newModelQueue(nil), Sessions: newModelStates(),
			Authenticate: caller.Authenticate, Log: slog.New(slog.DiscardHandler),
			Registerer: prometheus.NewRegistry(), Now: caller.Now,
		}
	}
	if _, err := New(deps(), DefaultOptions()); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if _, err := New(deps(), Options{}); err == nil || strings.Count(err.Error(), "\n") < 8 {
		t.Errorf("no options: %v", err) // every bound is named
	}
	for name, spoil := range map[string]func(*Deps, *Options){
		"no decoder":              func(d *Deps, _ *Options) { d.Decoder = nil },
		"no publisher":            func(d *Deps, _ *Options) { d.Publisher = nil },
		"no session states":       func(d *Deps, _ *Options) { d.Sessions = nil },
		"no authentication":       func(d *Deps, _ *Options) { d.Authenticate = nil },
		"too many events":         func(_ *Deps, o *Options) { o.Limits.Events = event.MaxEvents + 1 },
		"inflated below body":     func(_ *Deps, o *Options) { o.Limits.InflatedBytes = 1 },
		"no room for one request": func(_ *Deps, o *Options) { o.MaxInFlightBytes = 1 << 20 },
		"no room for one batch":   func(_ *Deps, o *Options) { o.MaxPendingBytes = 1 << 20 },
		"no flights":              func(_ *Deps, o *Options) { o.MaxEnvelopesInFlight = 0 },
		"no time":                 func(_ *Deps, o *Options) { o.RequestTimeout = 0 },
	} {
		d, o := deps(), DefaultOptions()
		spoil(&d, &o)
		if _, err := New(d, o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	d := deps()
	if _, err := New(d, DefaultOptions()); err != nil {
		t.Fatal(err)
	}
	if _, err := New(d, DefaultOptions()); err == nil {
		t.Error("metrics were registered twice")
	}
}

// The largest message fits into what the queue is set up for.
func TestOptions_LargestEnvelope(t *testing.T) {
	t.Parallel()
	if got := DefaultOptions().LargestEnvelope(); got > 8<<20-1024 {
		t.Errorf("the largest envelope has %d bytes", got)
	}
	small := DefaultOptions()
	small.Limits.InflatedBytes, small.Limits.Events = 1<<10, 1
	if got := small.LargestEnvelope(); got != small.EnvelopeBytes {
		t.Errorf("the largest envelope has %d bytes, want %d", got, small.EnvelopeBytes)
	}
}

// No batch that the decoder makes of the largest bodies is larger than said.
// rule 9
func TestOptions_LargestBatchHolds(t *testing.T) {
	t.Parallel()
	small := `{"event_type":"zone_enter","timestamp":1764685820,"zone_name":"ü"},`
	big := `{"event_type":"a","timestamp":1764685820,"p":"` + strings.Repeat("€", 5000) + `"},`
	bad := `{"a":"` + strings.Repeat("x", 4000) + `"},`
	for name, element := range map[string]string{"many": small, "large": big, "rejected": bad} {
		n := min(1000, 512<<10/len(element)-1)
		body := `{"session_id":"t","events":[` + strings.TrimSuffix(strings.Repeat(element, n), ",") + `]}`
		for form, body := range map[string]string{"UTF-8": body, "UTF-16": utf16Of(body)} {
			e := newEdge(t)
			e.post(t, pathBatch, body).Want(t, http.StatusAccepted, "")
			for _, message := range e.queue.stored {
				if len(message) > len(body)*3/2+n*rowOverhead {
					t.Errorf("%s, %s: %d events in a body of %d bytes make a message of %d", name, form, n, len(body), len(message))
				}
			}
		}
	}
}

// utf16Of encodes text as Unreal's file helper does.
func utf16Of(text string) string {
	encoded := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = binary.LittleEndian.AppendUint16(encoded, unit)
	}
	return string(encoded)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.post(t, pathBatch, tour(10, "a"))
	e.post(t, pathBatch, `{"session_id":"t","events":[{"event_type":"gaze"}]}`)
	e.send(t, http.MethodPost, pathBatch, "", map[string]string{"X-Api-Key": ""})
	e.send(t, http.MethodGet, "/made-up", "", nil)
	for name, tc := range map[string]struct {
		metric prometheus.Collector
		want   float64
	}{
		"accepted events":   {e.metrics.accepted, 10},
		"rejected events":   {e.metrics.rejected[event.MissingTimestamp], 1},
		"plain bodies":      {e.metrics.bodies[encodingIdentity], 2},
		"attempts":          {e.metrics.attempts[attemptStored], 2},
		"envelopes":         {e.metrics.envelopes.stored, 2},
		"bytes of bodies":   {e.metrics.bodyBytes, 0},
		"pending bytes":     {e.metrics.pendingBytes, 0},
		"flights":           {e.metrics.envelopesInFlight, 0},
		"panics":            {e.metrics.panics, 0},
		"waiters timed out": {e.metrics.waitersTimedOut, 0},
	} {
		if got := testutil.ToFloat64(tc.metric); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	for _, series := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"nexero_ingest_requests_total", []string{"route", routeBatch, "status", "2xx"}, 2},
		{"nexero_ingest_requests_total", []string{"route", routeBatch, "status", "4xx"}, 1},
		{"nexero_ingest_requests_total", []string{"route", gate.RouteOther, "status", "4xx"}, 1},
		{"nexero_ingest_problems_total", []string{"code", gate.MissingKey}, 1},
	} {
		if got := e.counted(t, series.name, series.labels...); got != series.want {
			t.Errorf("%s %v: %v, want %v", series.name, series.labels, got, series.want)
		}
	}
	problems, err := testutil.GatherAndLint(e.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	for _, code := range edgeCodes {
		if !code.Edge() {
			t.Errorf("%s is not given at the edge", code)
		}
	}
}

// rule 9
func TestBudget_NeverExceeded(t *testing.T) {
	t.Parallel()
	b := budget{most: 1000, gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "used", Help: "Bytes in use."})}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 1000 {
				if b.acquire(300) {
					if used := b.used.Load(); used > 1000 {
						t.Errorf("%d of 1000 bytes are used", used)
					}
					b.release(300)
				}
			}
		})
	}
	workers.Wait()
	if b.used.Load() != 0 || !b.acquire(1000) || b.acquire(1) {
		t.Error("the budget does not add up")
	}
}

func TestHourlyLimit(t *testing.T) {
	t.Parallel()
	l, err := newHourlyLimit(2)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2025, 12, 2, 14, 59, 59, 0, time.UTC)
	for i, tc := range []struct {
		owner string
		at    time.Duration
		want  bool
	}{
		{"a", 0, true},
		{"a", 0, true},
		{"a", 0, false},
		{"b", 0, true},
		{"a", time.Second, true},
		{"a", time.Second, true},
		{"a", 59 * time.Minute, false},
		{"a", time.Hour + time.Second, true},
	} {
		if got := l.allow(tc.owner, now.Add(tc.at)); got != tc.want {
			t.Errorf("%d: allowed %v, want %v", i, got, tc.want)
		}
	}
}
