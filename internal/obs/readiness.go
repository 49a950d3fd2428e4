package obs

import "github.com/prometheus/client_golang/prometheus"

// readyGauge reports checks at each scrape, as /readyz does when it is asked:
// who watches metrics need not probe as well.
type readyGauge struct {
	*prometheus.GaugeVec

	checks []Check
}

// NewReadiness returns a collector of nexero_ready, which is 1 for each of
// checks that holds and 0 for one that does not. Checks of one name, as services
// that share a process have them, hold together. It is safe for concurrent use
// as far as the checks are.
func NewReadiness(checks []Check) prometheus.Collector {
	return &readyGauge{
		GaugeVec: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "nexero_ready", Help: "1 while what the label names is ready for work, as on /readyz.",
		}, []string{"check"}),
		checks: checks,
	}
}

// Collect implements [prometheus.Collector].
func (r *readyGauge) Collect(out chan<- prometheus.Metric) {
	ready := map[string]float64{}
	for _, check := range r.checks {
		if _, known := ready[check.Name]; !known {
			ready[check.Name] = 1
		}
		if check.Ready() != nil {
			ready[check.Name] = 0
		}
	}
	for name, value := range ready {
		r.WithLabelValues(name).Set(value)
	}
	r.GaugeVec.Collect(out)
}
