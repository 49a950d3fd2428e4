package local

import (
	"context"
	"log/slog"
	"time"

	"github.com/nexero-vr/nexero/internal/ingestd"
	"github.com/nexero-vr/nexero/internal/lifecycle"
	"github.com/nexero-vr/nexero/internal/queryd"
)

// startQuery starts the read API: on the edge's address where this process has
// the edge too, else on one of its own. It starts before the edge, and so stops
// after it: the edge's server has its requests.
func (p *pipeline) startQuery(ctx context.Context) error {
	if !p.runs(serviceQuery) {
		return nil
	}
	if err := p.needs(serviceQuery, "NEXERO_NATS_URL", p.run.NATSURL); err != nil {
		return err
	}
	if err := p.needs(serviceQuery, "NEXERO_DATABASE_URL", p.run.DatabaseURL); err != nil {
		return err
	}
	build := queryd.New
	if p.runs(serviceIngest) {
		build = queryd.NewGuest
	}
	cfg := p.cfg.Query()
	q, err := build(ctx, &cfg, p.log.With(slog.String("service", serviceQuery)), p.labelled(serviceQuery), p.tracer)
	if err != nil {
		return err
	}
	p.query = q
	p.checks = append(p.checks, q.Checks()...)
	p.group.Add(lifecycle.Service{Name: serviceQuery, Run: q.Run, Deadline: q.StopDeadline() + time.Second})
	if p.runs(serviceIngest) {
		return nil // which makes the key
	}
	p.run.QueryURL = q.URL()
	p.run.APIKey, err = p.ensureKey(ctx)
	if err != nil {
		return err
	}
	return p.favour(q.Favour)
}

// hostQuery puts the read API on the edge's address. The edge's listener bounds
// connections, headers and time for both. Rates and failed keys count in each by
// itself, as they do where the two are processes of their own.
func (p *pipeline) hostQuery(edge *ingestd.Ingest) error {
	if p.query == nil {
		return nil
	}
	edge.Host(p.query.Owns, p.query.Handler())
	p.run.QueryURL = edge.URL()
	return p.favour(p.query.Favour)
}
