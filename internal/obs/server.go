package obs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the server: its clients are a scraper and a container's probe.
const (
	requestTimeout  = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	headerBytes     = 16 << 10
	scrapesAtOnce   = 4
	shutdownTimeout = 2 * time.Second
)

// Check is one thing that must hold before a process is ready for work.
type Check struct {
	// Name says what is checked, in lower case.
	Name string
	// Ready returns nil or why not. It must not wait: it reports what is known.
	Ready func() error
}

// Server answers /metrics, /livez, /readyz and /debug/pprof/. It is safe for concurrent use.
type Server struct {
	listener net.Listener // nil: switched off
	http     *http.Server
}

// Listen binds address, for example "127.0.0.1:9090" or ":0" for a free port,
// and returns a server that waits for Run. An empty address makes a server
// that listens nowhere and does nothing, so that a caller need not care.
func Listen(ctx context.Context, address string, gatherer prometheus.Gatherer, checks []Check, log *slog.Logger) (*Server, error) {
	s := &Server{}
	if address == "" {
		return s, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("obs: listen for metrics: %w", err)
	}
	s.listener = listener
	s.http = &http.Server{
		Handler:           Handler(gatherer, checks),
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Addr returns the address that is listened on, as "127.0.0.1:9090", or ""
// when the server is switched off.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Run serves until ctx ends and then finishes the answers in progress. It runs
// once.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("obs: serve metrics: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		// A probe that hangs is no work left undone: cut it off.
		err = s.http.Close()
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if err != nil {
		return fmt.Errorf("obs: close metrics: %w", err)
	}
	return nil
}

// Close frees the address of a server that never ran. After Run it does
// nothing.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("obs: close metrics: %w", err)
	}
	return nil
}

// Handler returns what Listen serves:
//
//   - /metrics, in Prometheus' text format;
//   - /livez, 200 as long as the process answers at all;
//   - /readyz, 200 when every check passes, else 503; either way a JSON object
//     with the result of each;
//   - /debug/pprof/, profiles for `go tool pprof`, one at a time.
func Handler(gatherer prometheus.Gatherer, checks []Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesAtOnce,
		Timeout:             requestTimeout,
	}))
	mux.Handle("GET "+profilePath, profiles())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, readiness{Status: "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		result := readiness{Status: "ready", Checks: make(map[string]string, len(checks))}
		status := http.StatusOK
		for _, check := range checks {
			result.Checks[check.Name] = "ok"
			if err := check.Ready(); err != nil {
				result.Checks[check.Name] = err.Error()
				result.Status, status = "not ready", http.StatusServiceUnavailable
			}
		}
		answer(w, status, result)
	})
	return mux
}

// readiness is the body of /livez and /readyz.
type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

func answer(w http.ResponseWriter, status int, body readiness) {
	encoded, err := json.Marshal(body)
	if err != nil { // strings in a map always encode
		status, encoded = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(encoded, '\n')) // the prober has gone: nobody to tell
}
