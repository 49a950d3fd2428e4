package postgres

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are this package's series. A second Store on one registry shares them.
type Metrics struct {
	load    prometheus.Histogram
	commit  prometheus.Histogram
	batches *prometheus.CounterVec
	rows    *prometheus.CounterVec
	retries prometheus.Counter
	horizon prometheus.Gauge
}

// Values of the label outcome.
const (
	outcomeStored      = "stored"
	outcomeRejected    = "rejected"
	outcomeRefused     = "refused"
	outcomeAside       = "aside"
	outcomeQuarantined = "quarantined"
	outcomeReused      = "reused"
	outcomeRepeat      = "repeat"
	outcomeRedelivered = "redelivered"
)

func newMetrics(reg prometheus.Registerer) *Metrics {
	return &Metrics{
		load: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nexero_postgres_load_duration_seconds",
			Help:    "Time from the start of a load to its COMMIT, loads that failed included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		})),
		commit: register(reg, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "nexero_postgres_commit_duration_seconds",
			Help:    "Time that COMMIT took.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 15),
		})),
		batches: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexero_postgres_batches_total",
			Help: "Batches loaded, by outcome.",
		}, []string{"outcome"})),
		rows: register(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexero_postgres_rows_total",
			Help: "Events and reports loaded, by outcome: refused pages someone, since the edge had accepted them.",
		}, []string{"outcome"})),
		retries: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexero_postgres_copy_retries_total",
			Help: "COPY commands repeated to find the rows that PostgreSQL refuses.",
		})),
		horizon: register(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nexero_postgres_partition_horizon_seconds",
			Help: "How far beyond today partitions reach without a hole, in whole days, when last looked at.",
		})),
	}
}

// register registers c, or returns the one that is already there. reg may be nil.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	if err := reg.Register(c); err != nil {
		if before, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			if existing, ok := before.ExistingCollector.(C); ok {
				return existing
			}
		}
	}
	return c
}

// count adds a committed load to the counters.
func (m *Metrics) count(r *LoadResult) {
	for outcome, n := range map[string]int{
		outcomeStored:      r.Batches - r.Quarantined - r.Reused,
		outcomeQuarantined: r.Quarantined,
		outcomeReused:      r.Reused,
		outcomeRepeat:      r.Repeats,
		outcomeRedelivered: r.Redelivered,
	} {
		m.batches.WithLabelValues(outcome).Add(float64(n))
	}
	for outcome, n := range map[string]int{
		outcomeStored:   r.Rows + r.Reports,
		outcomeRejected: r.Rejected,
		outcomeRefused:  r.Refused,
		outcomeAside:    r.Aside,
	} {
		m.rows.WithLabelValues(outcome).Add(float64(n))
	}
}
