package ingest

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/event"
)

// metrics are the edge's own, beside those of its guard. Every label comes from a closed list of this
// program; nothing that a client sends becomes one.
type metrics struct {
	accepted        prometheus.Counter
	rejected        map[event.Code]prometheus.Counter
	rejectedOther   prometheus.Counter
	rejectedByKey   *rejectedByKey
	bodies          map[string]prometheus.Counter
	unreadable      struct{ kept, notKept, overLimit prometheus.Counter }
	sessionStates   struct{ written, unchanged, skipped, failed prometheus.Counter }
	sessionLookups  struct{ found, unknown, failed prometheus.Counter }
	commitSeconds   prometheus.Histogram
	waitersTimedOut prometheus.Counter
	panics          prometheus.Counter
	bodyBytes       prometheus.Gauge

	attempts          map[string]prometheus.Counter
	envelopes         struct{ stored, failed, abandoned prometheus.Counter }
	envelopeBytes     prometheus.Histogram
	envelopeBatches   prometheus.Histogram
	envelopesInFlight prometheus.Gauge
	pendingBytes      prometheus.Gauge
}

// Values of the label outcome of an attempt.
const (
	attemptStored   = "stored"
	attemptFull     = "full"
	attemptTooLarge = "too_large"
	attemptPanic    = "panic"
	attemptUnknown  = "unknown"
)

// newMetrics registers the metrics. It fails when they are registered already.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	r := registrar{reg: reg}
	m := &metrics{
		rejected:      map[event.Code]prometheus.Counter{},
		bodies:        map[string]prometheus.Counter{},
		attempts:      map[string]prometheus.Counter{},
		accepted:      r.counter("nexero_ingest_events_accepted_total", "Events that were accepted and acknowledged by the queue."),
		commitSeconds: r.histogram("nexero_ingest_commit_duration_seconds", "Time a batch waited for its envelope's acknowledgement.", prometheus.ExponentialBuckets(0.0005, 2, 14)),
		waitersTimedOut: r.counter("nexero_ingest_waiters_timed_out_total",
			"Requests that stopped waiting for the queue, their outcome open."),
		panics:    r.counter("nexero_ingest_panics_total", "Panics that were caught. Every one is a bug."),
		bodyBytes: r.gauge("nexero_ingest_in_flight_bytes", "Bytes reserved for the bodies of requests under way."),
		envelopeBytes: r.histogram("nexero_ingest_envelope_bytes", "Size of stored envelopes.",
			prometheus.ExponentialBuckets(1<<10, 2, 14)),
		envelopeBatches: r.histogram("nexero_ingest_envelope_batches", "Batches in a stored envelope.",
			prometheus.ExponentialBuckets(1, 2, 11)),
		envelopesInFlight: r.gauge("nexero_ingest_envelopes_in_flight", "Envelopes that wait for the queue's acknowledgement."),
		pendingBytes:      r.gauge("nexero_ingest_pending_bytes", "Encoded batches that are not acknowledged yet."),
	}
	m.vectors(&r)
	return m, errors.Join(r.errs...)
}

// vectors fills in the metrics that have labels.
func (m *metrics) vectors(r *registrar) {
	rejected := r.counters("nexero_ingest_events_rejected_total", "Events that were rejected and kept, by reason.", "code")
	for _, code := range edgeCodes {
		m.rejected[code] = rejected.WithLabelValues(string(code))
	}
	m.rejectedOther = rejected.WithLabelValues("other")
	m.rejectedByKey = newRejectedByKey(r.counters("nexero_ingest_key_events_rejected_total",
		"Events that were rejected and kept, by the key's public id and reason; the first 200 keys of a process, then other.", "key_id", "code"))
	bodies := r.counters("nexero_ingest_bodies_total", "Bodies by their content encoding.", "encoding")
	for _, encoding := range encodings {
		m.bodies[encoding] = bodies.WithLabelValues(encoding)
	}
	unreadable := r.counters("nexero_ingest_unreadable_bodies_total",
		"Bodies that could not be read, by whether their beginning was kept.", "kept")
	m.unreadable.kept = unreadable.WithLabelValues("yes")
	m.unreadable.notKept = unreadable.WithLabelValues("failed")
	m.unreadable.overLimit = unreadable.WithLabelValues("over_limit")
	states := r.counters("nexero_ingest_session_states_total",
		"States of sessions to be written, by outcome: written, unchanged (known already), skipped (left to a later post), failed.", "outcome")
	m.sessionStates.written = states.WithLabelValues("written")
	m.sessionStates.unchanged = states.WithLabelValues("unchanged")
	m.sessionStates.skipped = states.WithLabelValues("skipped")
	m.sessionStates.failed = states.WithLabelValues("failed")
	lookups := r.counters("nexero_ingest_session_lookups_total", "Questions after sessions by outcome.", "outcome")
	m.sessionLookups.found = lookups.WithLabelValues("found")
	m.sessionLookups.unknown = lookups.WithLabelValues("unknown")
	m.sessionLookups.failed = lookups.WithLabelValues("failed")
	attempts := r.counters("nexero_ingest_publish_attempts_total", "Offers of an envelope to the queue by outcome.", "outcome")
	for _, outcome := range []string{attemptStored, attemptFull, attemptTooLarge, attemptPanic, attemptUnknown} {
		m.attempts[outcome] = attempts.WithLabelValues(outcome)
	}
	envelopes := r.counters("nexero_ingest_envelopes_total",
		"Envelopes by outcome: stored, failed (not confirmed), abandoned (never offered, everybody had left).", "outcome")
	m.envelopes.stored = envelopes.WithLabelValues("stored")
	m.envelopes.failed = envelopes.WithLabelValues("failed")
	m.envelopes.abandoned = envelopes.WithLabelValues("abandoned")
}

func (m *metrics) stored(bytes, batches int) {
	m.envelopes.stored.Inc()
	m.envelopeBytes.Observe(float64(bytes))
	m.envelopeBatches.Observe(float64(batches))
}

func (m *metrics) attempted(err error) {
	outcome := attemptUnknown
	switch {
	case err == nil:
		outcome = attemptStored
	case errors.Is(err, ErrFull):
		outcome = attemptFull
	case errors.Is(err, ErrTooLarge):
		outcome = attemptTooLarge
	case errors.Is(err, errPublisherPanicked):
		outcome = attemptPanic
	}
	m.attempts[outcome].Inc()
}

// judged counts an acknowledged batch's events. keyID is empty for a request
// without a key.
func (m *metrics) judged(b *event.Batch, keyID string) {
	m.rejectedByKey.count(keyID, b.Rejected)
	m.accepted.Add(float64(len(b.Events)))
	for i := range b.Rejected {
		if counter, ok := m.rejected[b.Rejected[i].Code]; ok {
			counter.Inc()
		} else {
			m.rejectedOther.Inc()
		}
	}
}
