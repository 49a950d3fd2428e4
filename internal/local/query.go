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
	q, err := build(ctx, &cfg, p.log.With(slog.String("service", serviceQuery)), p.labelled(serviceQuery))
	if err != nil {
		return err
	}
	p.query = q
	p.checks = append(p.checks, q.Checks()...)
	p.group.Add(lifecycle.Service{Name: serviceQuery, Run: q.Run, Deadline: q.StopDeadline() + time.Second})
	if p.runs(serviceIngest) {
		return nil // which makes the key
	}
	p.run.QueryURL = "http://" + q.Addr()
	p.run.APIKey, err = p.ensureKey(ctx)
	return err
}

// hostQuery puts the read API on the edge's address.
func (p *pipeline) hostQuery(edge *ingestd.Ingest) {
	if p.query == nil {
		return
	}
	edge.Host(p.query.Owns, p.query.Handler())
	p.run.QueryURL = edge.URL()
}
