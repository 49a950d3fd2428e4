package ingest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// edge is a server with a model queue behind it.
type edge struct {
	*Server

	queue    *modelQueue
	states   *modelStates
	registry *prometheus.Registry
	logged   *caller.Log
}

// newEdge makes an edge whose queue takes everything; adjust changes that.
func newEdge(t testing.TB, adjust ...func(*Deps, *Options)) *edge {
	t.Helper()
	e := &edge{queue: newModelQueue(nil), states: newModelStates(), registry: prometheus.NewRegistry(), logged: new(caller.Log)}
	options := DefaultOptions()
	deps := Deps{
		Publisher:    e.queue,
		Sessions:     e.states,
		Authenticate: caller.Authenticate,
		Log:          e.logged.Logger(),
		Registerer:   e.registry,
		Ready:        map[string]func() error{ReadyQueue: func() error { return nil }},
		Now:          caller.Now,
		Version:      "1.2.3",
	}
	for _, change := range adjust {
		change(&deps, &options)
	}
	if queue, ok := deps.Publisher.(*modelQueue); ok {
		e.queue = queue
	}
	if states, ok := deps.Sessions.(*modelStates); ok {
		e.states = states
	}
	deps.Decoder = unreal.NewDecoder(options.Limits, nil)
	server, err := New(deps, options)
	if err != nil {
		t.Fatal(err)
	}
	e.Server = server
	t.Cleanup(func() {
		// The test's context has ended: what is still in flight is cut short.
		_ = server.Drain(t.Context())
		<-server.committer.idle
		// Handlers whose client is gone end on their own.
		caller.Eventually(t, "the budget is given back", func() bool { return server.budget.used.Load() == 0 })
	})
	return e
}

// fated gives the queue a fate for every attempt.
func fated(f fate) func(*Deps, *Options) {
	return fates(func(int) fate { return f })
}

// fates gives the queue's attempts their fates.
func fates(next func(attempt int) fate) func(*Deps, *Options) {
	return func(d *Deps, _ *Options) { d.Publisher = newModelQueue(next) }
}

// send makes a request, with caller.Key unless header says otherwise.
func (e *edge) send(t testing.TB, method, target, body string, header map[string]string) caller.Answer {
	t.Helper()
	pairs := []string{"X-Api-Key", caller.Key}
	for name, value := range header {
		pairs = append(pairs, name, value)
	}
	return caller.Call(t, e.Handler(), caller.Here, method, target, body, pairs...)
}

func (e *edge) post(t testing.TB, path, body string) caller.Answer {
	t.Helper()
	return e.send(t, http.MethodPost, path, body, map[string]string{"Content-Type": "application/json"})
}

// stored returns all batches in the queue, in order.
func (e *edge) stored(t testing.TB) []envelope.Batch {
	t.Helper()
	if _, wrong := e.queue.batches(); wrong != nil {
		t.Error(wrong)
	}
	e.queue.mu.Lock()
	defer e.queue.mu.Unlock()
	var all []envelope.Batch
	for _, id := range e.queue.ids {
		batches, err := envelope.Open(e.queue.stored[id])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batches...)
	}
	return all
}

// tour is a batch of n events as a headset sends it; mark tells tours apart.
func tour(n int, mark string) string {
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"event_type":"zone_enter","timestamp":%d.5,"zone_name":"room %d",`+
			`"position":{"x":1.5,"y":-2,"z":160},"rotation":{"pitch":0,"yaw":90,"roll":0},"session_id":%q}`,
			caller.Now().Unix()-int64(n)+int64(i), i, mark)
	}
	return fmt.Sprintf(`{"session_id":%q,"sent_at":%d.25,"events":[%s]}`, mark, caller.Now().Unix(), strings.Join(events, ","))
}
