package query

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the read API's own, beside those of its guard.
type metrics struct {
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nexero_query_reads_in_flight", Help: "Requests that are reading from the database.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexero_query_panics_total", Help: "Requests whose handler panicked: a bug.",
		}),
	}
	return m, errors.Join(reg.Register(m.inFlight), reg.Register(m.panics))
}
