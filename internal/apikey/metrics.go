package apikey

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are the numbers of one Watcher.
type gauges struct {
	keys, revoked, comparedAt        prometheus.Gauge
	restarts, compareErrors, damaged prometheus.Counter
}

func newGauges() *gauges {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "nexero", Subsystem: "apikey", Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "nexero", Subsystem: "apikey", Name: name, Help: help})
	}
	return &gauges{
		keys:          gauge("keys", "Keys known to this process, revoked ones included."),
		revoked:       gauge("revoked_keys", "Keys known to this process that are revoked."),
		comparedAt:    gauge("compared_timestamp_seconds", "When the table of keys was last known to equal the bucket, 0 before."),
		restarts:      counter("watch_restarts_total", "Times the watch of the keys was made anew."),
		compareErrors: counter("compare_errors_total", "Times the bucket did not say how far it is."),
		damaged:       counter("damaged_records_total", "Records of keys that could not be read."),
	}
}

func (g *gauges) all() []prometheus.Collector {
	return []prometheus.Collector{g.keys, g.revoked, g.comparedAt, g.restarts, g.compareErrors, g.damaged}
}

// Describe implements [prometheus.Collector].
func (w *Watcher) Describe(out chan<- *prometheus.Desc) {
	for _, one := range w.gauges.all() {
		one.Describe(out)
	}
}

// Collect implements [prometheus.Collector].
func (w *Watcher) Collect(out chan<- prometheus.Metric) {
	known, revoked, equalAt := w.table.counts()
	w.gauges.keys.Set(float64(known))
	w.gauges.revoked.Set(float64(revoked))
	w.gauges.comparedAt.Set(seconds(equalAt))
	for _, one := range w.gauges.all() {
		one.Collect(out)
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
