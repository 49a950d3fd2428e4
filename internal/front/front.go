// Package front is the listener on which clients reach a service: it opens the
// address, with TLS where there is a certificate, and serves and stops the
// HTTP server on it. It also turns settings into what internal/gate is told.
//
// A [Front] owns its listener from Open on: Stop closes it, after which Serve
// returns.
package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/daemon"
)

// Front is an address that is listened on. It is safe for concurrent use, but
// for Host.
type Front struct {
	http     *http.Server
	requests daemon.Requests
	listener net.Listener
	// certificate is nil where the service does not serve TLS itself.
	certificate *certificate
}

// Open listens at address for server. limit is the guard's, which bounds the
// connections that are accepted.
func Open(
	ctx context.Context, address string, exposure *config.Exposure, server *http.Server,
	limit func(net.Listener) net.Listener, log *slog.Logger,
) (*Front, error) {
	f := &Front{http: server}
	server.Handler = f.requests.Count(server.Handler)
	if exposure.TLSCertFile != "" {
		var err error
		if f.certificate, err = loadCertificate(exposure.TLSCertFile, exposure.TLSKeyFile, log, time.Now); err != nil {
			return nil, err
		}
		server.TLSConfig = f.certificate.config()
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	f.listener = limit(listener)
	return f, nil
}

// Serve serves until Stop.
func (f *Front) Serve() error {
	err := f.serve()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (f *Front) serve() error {
	if f.certificate != nil {
		return f.http.ServeTLS(f.listener, "", "") // the files are the certificate's
	}
	return f.http.Serve(f.listener)
}

// Stop lets the server finish its requests until ctx ends, and cuts off those
// that are left: nothing behind it must wait for them. The error is that of
// [daemon.Requests].
func (f *Front) Stop(ctx context.Context) error {
	return f.requests.Stop(ctx, f.http)
}

// Host lets guest answer the paths that it owns, where one address serves all.
// It is called before Serve. Connections, headers and time are bounded for both
// by the host; all else the guest bounds itself, and it must serve until the
// host has stopped.
func (f *Front) Host(owns func(path string) bool, guest http.Handler) {
	host := f.http.Handler
	guest = f.requests.Count(guest)
	f.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if owns(r.URL.Path) {
			guest.ServeHTTP(w, r)
			return
		}
		host.ServeHTTP(w, r)
	})
}

// Addr is the address that is listened on, with its port.
func (f *Front) Addr() string { return f.listener.Addr().String() }

// URL is where clients on this machine reach the service.
func (f *Front) URL() string {
	if f.certificate != nil {
		return "https://" + f.Addr()
	}
	return "http://" + f.Addr()
}
