package queue_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/ingest"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/unreal"
)

// replica is one ingest server on a connection of its own.
func replica(t *testing.T, cfg queue.Config) http.Handler {
	t.Helper()
	conn := connect(t, cfg, nil, queue.Publisher)
	server, err := ingest.New(ingest.Deps{
		Decoder:      unreal.NewDecoder(event.DefaultLimits(), nil),
		Publisher:    conn,
		Sessions:     conn.SessionStates(sessionRoom),
		Authenticate: func(string) (tenant, keyID string, err error) { return "acme", "key1", nil },
		Log:          slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
	}, ingest.DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	return server.Handler()
}

func ask(t *testing.T, on http.Handler, method, path, body string) string {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	request.Header.Set("X-Api-Key", "k")
	recorder := httptest.NewRecorder()
	on.ServeHTTP(recorder, request)
	if recorder.Code >= http.StatusMultipleChoices {
		t.Errorf("%s %s on replica: %d %s", method, path, recorder.Code, recorder.Body)
	}
	return recorder.Body.String()
}

// Whoever heard that a post was accepted reads it on the other replica, which
// speaks to another server of the cluster. With the library's direct reads every
// twentieth of these would be stale.
func TestSessionStates_ClusterReadsItsOwnWrites(t *testing.T) {
	t.Parallel()
	urls := strings.Split(startCluster(t), ",")
	cfg := queue.Config{URL: urls[0], MaxBytes: 64 << 20, Replicas: 3, RequestTimeout: 5 * time.Second}
	conn := connect(t, cfg, nil, queue.Consumer)
	eventually(t, func() string {
		if err := conn.Provision(t.Context()); err != nil {
			return err.Error()
		}
		if err := conn.SessionStates(sessionRoom).Provision(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	if config := configOf(t, observe(t, urls[0]), sessionStream); config.AllowDirect || config.Replicas != 3 || config.Storage != jetstream.FileStorage {
		t.Errorf("stream of session states: %+v", config)
	}
	var replicas []http.Handler
	for _, url := range urls {
		cfg.URL = url
		replicas = append(replicas, replica(t, cfg))
	}
	const session = "/api/v1/unreal/session"
	now := time.Now().Unix()
	for i := range 60 {
		id := fmt.Sprintf("tour-%d", i)
		write, read := replicas[i%3], replicas[(i+1+i%2)%3]
		start := fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":%q}`, now, id)
		ask(t, write, http.MethodPost, "/api/v1/unreal/tracking/event", start)
		if got := ask(t, read, http.MethodGet, session+"/"+id+"/status", ""); !strings.Contains(got, `"active"`) {
			t.Errorf("after its first event: %s", got)
		}
		ask(t, read, http.MethodPost, session+"/"+id+"/heartbeat", "")
		// The end goes to the other replica, which has never seen the session.
		ask(t, read, http.MethodPost, session, fmt.Sprintf(`{"session_id":%q,"session_end":%d.5}`, id, now+10))
		if got := ask(t, write, http.MethodGet, session+"/"+id+"/status", ""); !strings.Contains(got, `"completed"`) || !strings.Contains(got, `"duration_seconds":10`) {
			t.Errorf("after its end: %s", got)
		}
	}
}
