package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// registrar makes metrics and collects the errors of registering them, so that
// the list of metrics reads as a list.
type registrar struct {
	reg  prometheus.Registerer
	errs []error
}

func (r *registrar) register(c prometheus.Collector) {
	if err := r.reg.Register(c); err != nil {
		r.errs = append(r.errs, err)
	}
}

func (r *registrar) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.register(c)
	return c
}

func (r *registrar) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	r.register(g)
	return g
}

func (r *registrar) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	r.register(h)
	return h
}

func (r *registrar) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.register(c)
	return c
}

// timer starts a clock whose end is observed when the returned function is
// called.
func timer(o prometheus.Observer) func() {
	started := time.Now()
	return func() { o.Observe(time.Since(started).Seconds()) }
}
