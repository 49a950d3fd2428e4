package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// ErrCutOff is a server that stopped before its last request was answered.
var ErrCutOff = errors.New("requests cut off")

// Requests counts the requests that a server has under way, so that a stop can
// say how many it did not wait for. Its zero value is ready. It is safe for
// concurrent use.
type Requests struct{ underWay atomic.Int64 }

// Count counts the requests that next answers.
func (r *Requests) Count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.underWay.Add(1)
		defer r.underWay.Add(-1)
		next.ServeHTTP(w, request)
	})
}

// Stop lets server finish its requests until ctx ends, and cuts off those that
// are left: nothing that they sent was acknowledged, and what stops after the
// server must not wait for them. The error is [ErrCutOff] with their number.
func (r *Requests) Stop(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if err == nil {
		return nil
	}
	// A connection may be left whose header has not come yet: no request.
	left := r.underWay.Load()
	return fmt.Errorf("%w: %d under way: %w", ErrCutOff, left, errors.Join(err, server.Close()))
}
