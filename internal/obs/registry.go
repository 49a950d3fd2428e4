package obs

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/nexero-vr/nexero/internal/version"
)

// NewRegistry returns a registry that already tells about the Go runtime, the
// process and the build. Each process, and each test, has its own.
func NewRegistry(build version.Build) (*prometheus.Registry, error) {
	about := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "nexero_build_info",
		Help: "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{
			"version": build.Version, "commit": build.Commit, "go_version": build.Go,
		},
	})
	about.Set(1)
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		about,
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("obs: register metrics: %w", err)
		}
	}
	return registry, nil
}
