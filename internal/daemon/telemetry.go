package daemon

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/version"
)

// NewReports makes the error reports that p asks for, of a program.
func NewReports(name string, p *config.Process, reg prometheus.Registerer) (*obs.Reports, error) {
	return obs.NewReports(obs.ReportConfig{
		DSN:     p.Telemetry.SentryDSN.Reveal(),
		Service: name, Version: version.Get().Version, Environment: p.Environment,
	}, reg)
}

// NewTracing makes the traces that p asks for, of a program.
func NewTracing(ctx context.Context, name string, p *config.Process, log *slog.Logger, reg prometheus.Registerer) (*obs.Tracing, error) {
	headers, err := p.Telemetry.Headers()
	if err != nil {
		return nil, err
	}
	return obs.NewTracing(ctx, obs.TraceConfig{
		Endpoint: p.Telemetry.TraceEndpoint.Reveal(), Headers: headers, Ratio: float64(p.Telemetry.TraceSampleRatio),
		Service: name, Version: version.Get().Version, Environment: p.Environment,
	}, log, reg)
}
