package ingest

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// condition is one named check's outcome.
type condition struct {
	name string
	err  error
}

// transitions remembers which checks fail, so that a probe every second does
// not become a log line every second. It is safe for concurrent use.
type transitions struct {
	mu      sync.Mutex
	failing map[string]bool
}

// turned reports whether the check name changed from or to failing.
func (t *transitions) turned(name string, fails bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failing[name] == fails {
		return false
	}
	if t.failing == nil {
		t.failing = map[string]bool{}
	}
	t.failing[name] = fails
	return true
}

// conditions runs the checks in the order of their names, and logs those that
// begin or cease to fail.
func (s *Server) conditions(ctx context.Context) (list []condition, ready bool) {
	ready = true
	for _, name := range slices.Sorted(maps.Keys(s.deps.Ready)) {
		err := s.deps.Ready[name]()
		ready = ready && err == nil
		if s.checks.turned(name, err != nil) {
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", name), slog.Any("error", err))
			} else {
				s.log.LogAttrs(ctx, slog.LevelInfo, "ready again", slog.String("check", name))
			}
		}
		list = append(list, condition{name, err})
	}
	return list, ready
}

// getLive says that the process serves requests, nothing more: an orchestrator
// that restarts it because the queue is away would only make things worse.
func (s *Server) getLive(x *exchange) error {
	return x.Show(http.StatusOK, map[string]any{"status": "alive"})
}

// getReady says whether a post sent now can be accepted, check by check. The
// reasons go to the log and not to whoever asks: they name hosts.
func (s *Server) getReady(x *exchange) error {
	list, ready := s.conditions(x.Request.Context())
	checks := make(map[string]string, len(list)+1)
	for _, c := range list {
		checks[c.name] = "ok"
		if c.err != nil {
			checks[c.name] = "failed"
		}
	}
	checks["accepting"] = "ok"
	if s.draining.Load() {
		checks["accepting"], ready = "stopping", false
	}
	if !ready {
		return x.Show(http.StatusServiceUnavailable, map[string]any{"status": "not_ready", "checks": checks})
	}
	return x.Show(http.StatusOK, map[string]any{"status": "ready", "checks": checks})
}

// getHealth has the keys of the first version's health page. It is 200 as long
// as the process serves, as it always was: clients give up when it is not.
// What it says is true nevertheless; probes use /readyz.
func (s *Server) getHealth(x *exchange) error {
	list, ready := s.conditions(x.Request.Context())
	status, queue := "healthy", "connected"
	if !ready || s.draining.Load() {
		status = "degraded"
	}
	for _, c := range list {
		if c.name == ReadyQueue && c.err != nil {
			queue = "error"
		}
	}
	o := newObject(x.answer)
	o.text("status", status)
	o.timestamp("timestamp", s.deps.Now())
	o.text("environment", s.options.Environment)
	o.text("database", queue)
	o.text("version", s.deps.Version)
	o.text("uptime", "running")
	x.answer = o.end()
	x.Response.Header().Set("Cache-Control", "no-store")
	x.Write(http.StatusOK, x.answer)
	return nil
}

// getRoot introduces the service.
func (s *Server) getRoot(x *exchange) error {
	return x.Show(http.StatusOK, map[string]any{
		"service":     "Nexero",
		"version":     s.deps.Version,
		"status":      "running",
		"description": "Takes the events of VR property tours and keeps each of them once.",
		"endpoints": map[string]string{
			"api": "/api/v1/unreal", "batch": pathBatch, "session": pathSession,
			"event": pathEvent, "docs": "/docs", "openapi": "/openapi.json",
			"health": "/health", "ready": "/readyz", "live": "/livez",
		},
	})
}
