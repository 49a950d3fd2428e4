package ingest

import (
	"net/http"
	"sync"
	"time"
)

// arrivals are the bodies that are arriving. It sets their deadlines, and can
// bring them forward when the server stops. It is safe for concurrent use.
type arrivals struct {
	mu    sync.Mutex // guards what follows and the order of setting deadlines
	under map[*exchange]*http.ResponseController
	// until is the latest deadline of any body; zero while the server runs.
	until time.Time
}

// begin sets the deadline of x's body.
func (a *arrivals) begin(x *exchange, patience time.Duration) {
	controller := http.NewResponseController(x.Response)
	deadline := time.Now().Add(patience)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.until.IsZero() && a.until.Before(deadline) {
		deadline = a.until
	}
	if a.under == nil {
		a.under = map[*exchange]*http.ResponseController{}
	}
	a.under[x] = controller
	_ = controller.SetReadDeadline(deadline)
}

// end is called when nothing more of x's body is read.
func (a *arrivals) end(x *exchange) {
	a.mu.Lock()
	defer a.mu.Unlock()
	controller := a.under[x]
	delete(a.under, x)
	if x.BodyOver && !a.until.IsZero() {
		// The server takes the deadline away with the body's end, but hurry may
		// have set it after that: the client would seem to leave in the middle
		// of its answer.
		_ = controller.SetReadDeadline(time.Time{})
	}
}

// hurry brings the deadlines of all bodies forward to until.
func (a *arrivals) hurry(until time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.until = until
	for _, controller := range a.under {
		_ = controller.SetReadDeadline(until)
	}
}
