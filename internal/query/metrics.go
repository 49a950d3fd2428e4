package query

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the series of the read API. Labels are the lists of routes, codes
// and status classes.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	problems map[string]prometheus.Counter
	inFlight prometheus.Gauge
	panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	problems := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "nexero_query_problems_total", Help: "Requests that were refused, by the code of the answer.",
	}, []string{"code"})
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nexero_query_requests_total", Help: "Requests that were answered, by route and class of status.",
		}, []string{"route", "class"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nexero_query_request_duration_seconds", Help: "Time from a request's header to its answer, by route.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}, []string{"route"}),
		problems: make(map[string]prometheus.Counter, len(problemKinds)),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "nexero_query_reads_in_flight", Help: "Requests that are reading from the database.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "nexero_query_panics_total", Help: "Requests whose handler panicked: a bug.",
		}),
	}
	for code := range problemKinds {
		m.problems[code] = problems.WithLabelValues(code)
	}
	for _, route := range routes {
		m.duration.WithLabelValues(route)
	}
	return m, errors.Join(reg.Register(problems), reg.Register(m.requests), reg.Register(m.duration),
		reg.Register(m.inFlight), reg.Register(m.panics))
}

func (m *metrics) answered(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Inc()
	m.duration.WithLabelValues(route).Observe(took.Seconds())
}
