package ingest

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"slices"
)

// condition is one named check's outcome.
type condition struct {
	name string
	err  error
}

// conditions runs the checks in the order of their names.
func (s *Server) conditions() (list []condition, ready bool) {
	ready = true
	for _, name := range slices.Sorted(maps.Keys(s.deps.Ready)) {
		err := s.deps.Ready[name]()
		ready = ready && err == nil
		list = append(list, condition{name, err})
	}
	return list, ready
}

// getLive says that the process serves requests, nothing more: an orchestrator
// that restarts it because the queue is away would only make things worse.
func (s *Server) getLive(x *exchange) error {
	return x.show(http.StatusOK, map[string]any{"status": "alive"})
}

// getReady says whether a post sent now can be accepted, check by check. The
// reasons go to the log and not to whoever asks: they name hosts.
func (s *Server) getReady(x *exchange) error {
	list, ready := s.conditions()
	checks := make(map[string]string, len(list)+1)
	for _, c := range list {
		checks[c.name] = "ok"
		if c.err != nil {
			checks[c.name] = "failed"
			s.log.LogAttrs(x.request.Context(), slog.LevelWarn, "not ready",
				slog.String("check", c.name), slog.Any("error", c.err))
		}
	}
	checks["accepting"] = "ok"
	if s.draining.Load() {
		checks["accepting"], ready = "stopping", false
	}
	if !ready {
		return x.show(http.StatusServiceUnavailable, map[string]any{"status": "not_ready", "checks": checks})
	}
	return x.show(http.StatusOK, map[string]any{"status": "ready", "checks": checks})
}

// getHealth has the keys of the first version's health page. It is 200 as long
// as the process serves, as it always was: clients give up when it is not.
// What it says is true nevertheless; probes use /readyz.
func (s *Server) getHealth(x *exchange) error {
	list, ready := s.conditions()
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
	x.response.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, x.answer)
	return nil
}

// getRoot introduces the service.
func (s *Server) getRoot(x *exchange) error {
	return x.show(http.StatusOK, map[string]any{
		"service":     "Nexero",
		"version":     s.deps.Version,
		"status":      "running",
		"description": "Takes the events of VR property tours and keeps each of them once.",
		"endpoints": map[string]string{
			"api": "/api/v1/unreal", "batch": pathBatch, "session": pathSession,
			"health": "/health", "ready": "/readyz", "live": "/livez",
		},
	})
}

// show answers with v.
func (x *exchange) show(status int, v map[string]any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.response.Header().Set("Cache-Control", "no-store")
	x.write(status, body)
	return nil
}
