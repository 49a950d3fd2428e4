package query

import "net/http"

// getLive says that the process serves requests, nothing more: an orchestrator
// that restarts it because the database is away would only make things worse.
func (s *Server) getLive(x *exchange) error {
	return x.Show(http.StatusOK, map[string]any{"status": "alive"})
}

// getReady says whether a read sent now can be served, check by check. The
// reasons stay with the log and the metrics listener: they name hosts.
func (s *Server) getReady(x *exchange) error {
	checks := make(map[string]string, len(s.deps.Ready)+1)
	ready := true
	for name, check := range s.deps.Ready {
		checks[name] = "ok"
		if check() != nil {
			checks[name], ready = "failed", false
		}
	}
	checks["accepting"] = "ok"
	if s.Accepting() != nil {
		checks["accepting"], ready = "stopping", false
	}
	if !ready {
		return x.Show(http.StatusServiceUnavailable, map[string]any{"status": "not_ready", "checks": checks})
	}
	return x.Show(http.StatusOK, map[string]any{"status": "ready", "checks": checks})
}

// getRoot introduces the service.
func (s *Server) getRoot(x *exchange) error {
	return x.Show(http.StatusOK, map[string]any{
		"service":     "Nexero",
		"version":     s.deps.Version,
		"status":      "running",
		"description": "Reads what became of the events of VR property tours.",
		"endpoints": map[string]string{
			"session": pathSessions + "/{id}", "rejections": pathRejections,
			"ready": "/readyz", "live": "/livez",
		},
	})
}
