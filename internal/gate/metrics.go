package gate

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are one guard's. Every label comes from a closed list of the program;
// nothing that a client sends becomes one.
type metrics struct {
	requests         map[string]*routeMetrics
	problems         map[string]prometheus.Counter
	forgottenClients prometheus.Counter
	open             prometheus.Gauge
	refused, closed  prometheus.Counter
}

// routeMetrics are one route's, with its children looked up once: a lookup by
// label costs more than the addition.
type routeMetrics struct {
	// byClass is indexed by status/100.
	byClass  [6]prometheus.Counter
	duration prometheus.Observer
}

func newMetrics(reg prometheus.Registerer, options *Options, kinds map[string]Kind) (*metrics, error) {
	prefix := "nexero_" + options.Service + "_"
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	requests := counters("requests_total", "Requests by route and class of status.", "route", "status")
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + "request_duration_seconds", Help: "Time from the end of a request's header to its answer.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
	}, []string{"route"})
	problems := counters("problems_total", "Refused requests by the code of the answer.", "code")
	beyond := counters("connections_refused_total",
		"Connections beyond the limits, by what became of them: answered 503, or closed.", "outcome")
	m := &metrics{
		requests: map[string]*routeMetrics{}, problems: map[string]prometheus.Counter{},
		forgottenClients: prometheus.NewCounter(prometheus.CounterOpts{
			Name: prefix + "clients_forgotten_total",
			Help: "Clients whose use was forgotten because too many others came; they start with full buckets again.",
		}),
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "connections", Help: "Open connections of clients."}),
		refused: beyond.WithLabelValues("answered"),
		closed:  beyond.WithLabelValues("closed"),
	}
	for _, route := range append([]string{RouteLive, RoutePreflight, RouteOther}, options.Routes...) {
		of := &routeMetrics{duration: duration.WithLabelValues(route)}
		for class, name := range [...]string{2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"} {
			if name != "" {
				of.byClass[class] = requests.WithLabelValues(route, name)
			}
		}
		m.requests[route] = of
	}
	for code := range kinds {
		m.problems[code] = problems.WithLabelValues(code)
	}
	var errs []error
	for _, c := range []prometheus.Collector{requests, duration, problems, beyond, m.forgottenClients, m.open} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}
