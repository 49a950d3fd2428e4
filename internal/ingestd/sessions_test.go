package ingestd

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// client posts to an edge with a key that it knows.
type client struct {
	edge *Ingest
	key  string
}

func newClient(t *testing.T, i *Ingest) *client {
	t.Helper()
	kv, stream, err := i.conn.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key, record, err := apikey.New(apikey.Spec{Tenant: "acme", Environment: "development", Scopes: []apikey.Scope{apikey.ScopePost}}, time.Now(), rand.Reader)
	if err := errors.Join(err, apikey.NewBucket(kv, stream).Put(t.Context(), record)); err != nil {
		t.Fatal(err)
	}
	c := &client{edge: i, key: key}
	eventually(t, func() bool { _, _, err := i.authenticate(key); return err == nil })
	return c
}

func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 6000 {
		if holds() {
			return
		}
		<-tick.C
	}
	t.Fatal("never happened")
}

// ask sends a request below the API's prefix and reads the JSON answer.
func (c *client) ask(t *testing.T, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	status, _, text := c.send(t, method, "/api/v1/unreal"+path, body)
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return status, answer
}

func (c *client) send(t *testing.T, method, path, body string) (status int, header http.Header, answer []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.edge.Addr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Api-Key", c.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, answer
}

// The bucket of session states is lost, and then made into one that takes
// nothing: every post is accepted, and what clients may ask comes back.
func TestSessions_BucketLost(t *testing.T) {
	t.Parallel()
	url := testkit.NATS(t)
	edge := startEdgeAt(t, url)
	c := newClient(t, edge)
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	post := func(id string) {
		t.Helper()
		if status, answer := c.ask(t, http.MethodPost, "/tracking/event", fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":%q}`, now, id)); status != http.StatusAccepted {
			t.Errorf("an event is answered %d %v", status, answer)
		}
		if status, answer := c.ask(t, http.MethodPost, "/session", fmt.Sprintf(`{"session_id":%q,"session_start":%d.5,"session_end":%d.5}`, id, now, now+5)); status != http.StatusCreated || answer["duration_seconds"] != 5.0 {
			t.Errorf("a session is answered %d %v", status, answer)
		}
	}
	completed := func(id string) bool {
		status, answer := c.ask(t, http.MethodGet, "/session/"+id+"/status", "")
		return status == http.StatusOK && answer["status"] == "completed"
	}
	post("before")
	if !completed("before") {
		t.Error("a session is not found on the replica that took it")
	}
	const bucket = "KV_" + queue.SessionBucket
	if err := js.DeleteStream(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	post("lost")
	eventually(t, func() bool { post("lost"); return completed("lost") })
	stream, err := js.Stream(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxMsgSize = 1
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	post("full")
	if completed("full") {
		t.Error("the bucket took what it should refuse: this test proves nothing")
	}
	if err := edge.conn.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}
