package rollup

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/facts"
)

// Labels of kinds of work.
const (
	workSessions           = "sessions"
	workCustomers          = "customers"
	workBacklog            = "backlog"
	workExpired            = "expired"
	workSealing            = "sealing"
	workDropping           = "dropping"
	workForgetting         = "forgetting"
	workForgettingSessions = "forgetting_sessions"
)

// metrics are what a Roller counts. Every label comes from a list above, from
// outcome or from Class.
type metrics struct {
	sessions  *prometheus.CounterVec
	events    prometheus.Counter
	customers prometheus.Counter
	refused   prometheus.Counter
	sealed    prometheus.Counter
	dropped   prometheus.Counter
	forgotten prometheus.Counter
	expired   prometheus.Counter
	yields    prometheus.Counter
	errors    *prometheus.CounterVec

	duration  *prometheus.HistogramVec
	freshness prometheus.Histogram
	backlog   prometheus.Gauge
	lag       prometheus.Gauge
	troubled  prometheus.Gauge
}

// Names share one prefix.
const (
	namespace = "nexero"
	subsystem = "rollup"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sessions:  counters("sessions_total", "Sessions rolled up, by how.", "how"),
		events:    counter("events_folded_total", "Events folded, those of recomputed sessions again."),
		customers: counter("customers_total", "Customers rolled up."),
		refused:   counter("sessions_refused_total", "Sessions whose facts the database did not take; each is tried again later."),
		sealed:    counter("sessions_sealed_total", "Sessions sealed because raw events of theirs were about to be dropped."),
		dropped:   counter("partitions_dropped_total", "Partitions of raw events dropped at the end of their retention."),
		forgotten: counter("ledger_rows_deleted_total", "Rows of the ledger and of its repeats deleted because nothing in the queue can need them any more."),
		expired:   counter("sessions_expired_total", "Sessions deleted at the end of their retention; what they added to the aggregates stays."),
		yields:    counter("yields_total", "Times that a roll-up waited because the queue was behind."),
		errors:    counters("errors_total", "What failed, by what it was and what to do about it.", "work", "class"),

		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "duration_seconds",
			Help: "Time of a roll-up, failed ones included.", Buckets: prometheus.ExponentialBuckets(.001, 2, 17),
		}, []string{"work"}),
		freshness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "freshness_seconds",
			Help: "Time from the receipt of a batch to its facts being committed.",
			// Fine where the promise is: about 2 s after receipt.
			Buckets: []float64{.1, .25, .5, 1, 1.5, 2, 2.5, 3, 4, 5, 10, 30, 60, 300, 1800, 3600, 86400},
		}),
		backlog:  gauge("backlog_batches", "Batches of sessions that were loaded and not rolled up; above 50,000 PostgreSQL's own estimate, which can be minutes old."),
		lag:      gauge("lag_seconds", "Time since the receipt of the oldest batch that was loaded and not rolled up; 0 when there is none. Above 50,000 batches the oldest of the first 50,000 in the table, so at least this."),
		troubled: gauge("loops_in_trouble", "Loops whose last roll-up failed."),
	}
	for how := range outcomes {
		m.sessions.WithLabelValues(how.String()) // 0 from the start: a rate needs a first value
	}
	for _, c := range []prometheus.Collector{
		m.sessions, m.events, m.customers, m.refused, m.sealed, m.dropped, m.forgotten, m.expired, m.yields, m.errors,
		m.duration, m.freshness, m.backlog, m.lag, m.troubled,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

// rolled counts what a committed roll-up did.
func (m *metrics) rolled(r facts.Rolled, f *folding) {
	for how, sessions := range f.counts {
		m.sessions.WithLabelValues(outcome(how).String()).Add(float64(sessions))
	}
	m.events.Add(float64(r.Events))
	m.sealed.Add(float64(f.seals))
	for _, age := range r.Ages {
		m.freshness.Observe(max(age, 0).Seconds())
	}
}
