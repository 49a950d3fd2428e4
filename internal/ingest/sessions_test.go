package ingest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/event"
	"github.com/nexero-vr/nexero/internal/testkit/caller"
)

// wound is a clock that a test moves.
func wound(at *time.Time) func(*Deps, *Options) {
	return func(d *Deps, _ *Options) { d.Now = func() time.Time { return *at } }
}

func (e *edge) statusOf(t *testing.T, id string, header map[string]string) map[string]any {
	t.Helper()
	return e.send(t, http.MethodGet, pathSession+"/"+id+"/status", "", header).Want(t, http.StatusOK, "").JSON
}

// twoTenants gives the key "zenith" to another tenant.
func twoTenants(d *Deps, _ *Options) {
	d.Authenticate = func(key string) (tenant, keyID string, err error) {
		if key == "zenith" {
			return "zenith", "key2", nil
		}
		return caller.Authenticate(key)
	}
}

// One id names two sessions for two tenants, and neither hears of the other's.
// rule 8
func TestSessions_OfAnotherTenant(t *testing.T) {
	t.Parallel()
	e := newEdge(t, twoTenants)
	zenith := map[string]string{"X-Api-Key": "zenith"}
	const id = "7aff2d5c-4fdb-fa8b-8a9f-daa1efa98ce8"
	storedSession(t, e, `{"session_id":"`+id+`","session_start":"1727653800","session_end":"1727654100"}`)
	e.post(t, pathEvent, fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":"opaque"}`, caller.Now().Unix())).Want(t, 202, "")
	for _, id := range []string{id, "opaque"} {
		if got := e.statusOf(t, id, zenith); got["status"] != "not_found" || got["started_at"] != nil || got["ended_at"] != nil {
			t.Errorf("another tenant reads %v", got)
		}
		e.send(t, http.MethodPost, pathSession+"/"+id+"/heartbeat", "", zenith).Want(t, http.StatusNotFound, "unknown_session")
		if got := e.statusOf(t, id, nil); got["status"] == "not_found" {
			t.Errorf("its own tenant reads %v", got)
		}
	}
	// The other tenant's session of that id does not touch the first.
	e.send(t, http.MethodPost, pathSession, `{"session_id":"`+id+`","session_start":"1600000000"}`, zenith).Want(t, 201, "")
	if got := e.statusOf(t, id, nil); got["started_at"] != "2024-09-29T23:50:00.000000+00:00" {
		t.Errorf("its own tenant reads %v", got)
	}
	// Nor does a key get in by being none.
	for key, want := range map[string]int{"": 401, "revoked": 401, "misplaced": 403, "away": 503} {
		header := map[string]string{"X-Api-Key": key}
		if got := e.send(t, http.MethodGet, pathSession+"/"+id+"/status", "", header); got.Status != want {
			t.Errorf("status with the key %q: %d, want %d", key, got.Status, want)
		}
		if got := e.send(t, http.MethodPost, pathSession+"/"+id+"/heartbeat", "", header); got.Status != want {
			t.Errorf("heartbeat with the key %q: %d, want %d", key, got.Status, want)
		}
	}
}

// Neither who the session is of nor what it is called lies in the bucket. // rule 8
func TestSessions_BucketNamesNobody(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	storedSession(t, e, `{"session_id":"secret-tour","session_start":"1727653800","customer_id":"secret-customer","property_id":"secret-villa","device_type":"secret-device"}`)
	if len(e.states.values) != 1 {
		t.Errorf("%d values", len(e.states.values))
	}
	for key, value := range e.states.values {
		if all := key + string(value); strings.Contains(all, "secret") || strings.Contains(all, "acme") {
			t.Errorf("the bucket holds %s", all)
		}
	}
}

// Tracking posts write at first sight and then every five minutes, whatever
// comes in between; a session's end is written at once.
func TestSessions_TrackingWritesSeldom(t *testing.T) {
	t.Parallel()
	now := caller.Now()
	e := newEdge(t, wound(&now))
	post := func(kind string, at time.Time) {
		t.Helper()
		e.post(t, pathBatch, fmt.Sprintf(`{"session_id":"t","events":[{"event_type":%q,"timestamp":%d.5}]}`, kind, at.Unix())).Want(t, 202, "")
	}
	writes := func(want int) {
		t.Helper()
		if _, got := e.states.counted(); got != want {
			t.Errorf("%d writes after %s, want %d", got, now.Sub(caller.Now()), want)
		}
	}
	post("gaze", now)
	writes(1)
	if got := e.statusOf(t, "t", nil); got["status"] != "active" || got["started_at"] != "2025-12-02T14:30:20.500000+00:00" {
		t.Errorf("at first sight: %v", got)
	}
	for range 29 {
		now = now.Add(10 * time.Second)
		post("gaze", now)
	}
	writes(1)
	now = now.Add(10*time.Second - 1)
	post("gaze", caller.Now().Add(-time.Minute)) // an earlier event waits its turn
	writes(1)
	now = now.Add(1)
	post("gaze", now)
	writes(2)
	if got := e.statusOf(t, "t", nil); got["started_at"] != "2025-12-02T14:29:20.500000+00:00" {
		t.Errorf("the earlier start is lost: %v", got)
	}
	post("session_end", now)
	writes(3)
	if got := e.statusOf(t, "t", nil); got["status"] != "completed" {
		t.Errorf("after its end: %v", got)
	}
}

// Two replicas together write a session once in five minutes, and it is never
// longer than that since it was seen.
func TestSessions_ReplicasShareTheWrites(t *testing.T) {
	t.Parallel()
	now := caller.Now()
	states := newModelStates()
	shared := func(d *Deps, _ *Options) { d.Sessions = states }
	a, b := newEdge(t, wound(&now), shared), newEdge(t, wound(&now), shared)
	body := func() string {
		return fmt.Sprintf(`{"session_id":"t","events":[{"event_type":"gaze","timestamp":%d.5}]}`, now.Unix())
	}
	a.post(t, pathBatch, body()).Want(t, 202, "")
	now = now.Add(4 * time.Minute)
	b.post(t, pathBatch, body()).Want(t, 202, "") // first sight caller.There, but known
	if _, writes := states.counted(); writes != 1 {
		t.Errorf("%d writes, want 1", writes)
	}
	now = now.Add(time.Minute)
	b.post(t, pathBatch, body()).Want(t, 202, "")
	if _, writes := states.counted(); writes != 2 {
		t.Errorf("%d writes five minutes after the first, want 2", writes)
	}
	if got := testutil.ToFloat64(b.metrics.sessionStates.unchanged); got != 1 {
		t.Errorf("%v unchanged", got)
	}
	now = now.Add(30*time.Minute - 1)
	if got := a.statusOf(t, "t", nil); got["status"] != "active" {
		t.Errorf("before half an hour: %v", got)
	}
	now = now.Add(1)
	if got := a.statusOf(t, "t", nil); got["status"] != "dropped" || got["duration_so_far"] != nil || got["started_at"] == nil {
		t.Errorf("silent for half an hour: %v", got)
	}
	// It was not gone after all.
	a.post(t, pathBatch, body()).Want(t, 202, "")
	if got := b.statusOf(t, "t", nil); got["status"] != "active" {
		t.Errorf("after it spoke again: %v", got)
	}
}

// Another replica writes in the middle of every write of ours: both count.
func TestSessions_CompareAndSet(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	other := sessionState{start: event.MicrosOf(caller.Now().Add(-time.Hour)), end: event.MicrosOf(caller.Now()), seen: event.MicrosOf(caller.Now())}
	done := false
	e.states.interfere = func(key string) {
		if !done {
			done = true
			e.states.put(key, other.encode())
		}
	}
	e.post(t, pathSession, fmt.Sprintf(`{"session_id":"t","session_start":%d.5}`, caller.Now().Unix()-10)).Want(t, 201, "")
	got := e.statusOf(t, "t", nil)
	if got["status"] != "completed" || got["started_at"] != "2025-12-02T13:30:20.123456+00:00" {
		t.Errorf("the other replica's write is lost: %v", got)
	}
}

// A bucket that fails or hangs costs nothing but what it is for. // rule 6
func TestSessions_BucketAway(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*modelStates){
		"fails": func(m *modelStates) { m.err = errStatesAway },
		"hangs": func(m *modelStates) { m.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t, func(_ *Deps, o *Options) { o.SessionTimeout = time.Millisecond })
			spoil(e.states)
			summary := `{"session_start":"1727653800","session_end":"1727654100"}`
			first := e.post(t, pathSession, summary).Want(t, 201, "")
			again := e.post(t, pathSession, summary).Want(t, 201, "")
			if first.JSON["duration_seconds"] != 300.0 || again.JSON["session_id"] != first.JSON["session_id"] || again.JSON["duplicate"] != true {
				t.Errorf("answered %v and %v", first.JSON, again.JSON)
			}
			e.post(t, pathBatch, tour(3, "a")).Want(t, 202, "")
			e.post(t, pathEvent, fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":"b"}`, caller.Now().Unix())).Want(t, 202, "")
			if stored := e.stored(t); len(stored) != 4 {
				t.Errorf("%d batches are stored, want 4", len(stored))
			}
			for _, tc := range []struct{ method, path string }{{"GET", "/a/status"}, {"POST", "/a/heartbeat"}} {
				got := e.send(t, tc.method, pathSession+tc.path, "", nil).Want(t, http.StatusServiceUnavailable, "sessions_unavailable")
				if got.Header.Get("Retry-After") == "" || strings.Contains(fmt.Sprint(got.JSON), "10.1.2.3") {
					t.Errorf("%s: %v, %v", tc.path, got.Header, got.JSON)
				}
			}
			if got := e.send(t, http.MethodGet, "/readyz", "", nil); got.Status != http.StatusOK {
				t.Errorf("ready: %d", got.Status)
			}
			if got := strings.Count(e.logged.String(), "session states cannot be reached"); got != 1 {
				t.Errorf("%d log lines about one bucket", got)
			}
		})
	}
}

// Tracking posts leave a bucket alone that has just failed, and come back.
func TestSessions_BucketComesBack(t *testing.T) {
	t.Parallel()
	now := caller.Now()
	e := newEdge(t, wound(&now))
	e.states.fail(errStatesAway)
	for i := range 20 {
		e.post(t, pathBatch, tour(1, fmt.Sprintf("t%d", i))).Want(t, 202, "")
	}
	if calls, _ := e.states.counted(); calls != 1 {
		t.Errorf("%d posts in one second called a bucket that is away, want 1", calls)
	}
	e.states.fail(nil)
	now = now.Add(time.Second)
	e.post(t, pathBatch, tour(1, "t1")).Want(t, 202, "")
	if got := e.statusOf(t, "t1", nil); got["status"] != "active" {
		t.Errorf("after a second: %v", got)
	}
	e.post(t, pathBatch, tour(1, "t0")).Want(t, 202, "")
	if got := e.statusOf(t, "t0", nil); got["status"] != "not_found" {
		t.Errorf("the session whose write failed was tried again at once: %v", got)
	}
	now = now.Add(9 * time.Second)
	e.post(t, pathBatch, tour(1, "t0")).Want(t, 202, "")
	if got := e.statusOf(t, "t0", nil); got["status"] != "active" {
		t.Errorf("after ten seconds: %v", got)
	}
}

// A damaged value is as good as none, and the next post mends it.
func TestSessions_DamagedValue(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	key := event.SessionKey("acme", "t").String()
	e.states.put(key, []byte("{"))
	e.send(t, http.MethodGet, pathSession+"/t/status", "", nil).Want(t, http.StatusServiceUnavailable, "sessions_unavailable")
	e.post(t, pathBatch, tour(1, "t")).Want(t, 202, "")
	if got := e.statusOf(t, "t", nil); got["status"] != "active" {
		t.Errorf("after a post: %v", got)
	}
}

// What a post of very many sessions costs has an end, and the rest have their
// turn. // rule 9
func TestSessions_ManyInOnePost(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	events := make([]string, 100)
	for i := range events {
		events[i] = fmt.Sprintf(`{"event_type":"gaze","timestamp":%d.5,"session_id":"s%d"}`, caller.Now().Unix(), i)
	}
	body := `{"events":[` + strings.Join(events, ",") + `]}`
	e.post(t, pathBatch, body).Want(t, 202, "")
	if _, writes := e.states.counted(); writes != mostTouches {
		t.Errorf("%d writes, want %d", writes, mostTouches)
	}
	if got := testutil.ToFloat64(e.metrics.sessionStates.skipped); got != 100-mostTouches {
		t.Errorf("%v are counted as left out", got)
	}
	for range 6 {
		e.post(t, pathBatch, body).Want(t, 202, "")
	}
	if _, writes := e.states.counted(); writes != 100 {
		t.Errorf("%d writes in the end, want 100", writes)
	}
}

// What was not accepted says nothing of a session, nor does what the queue did
// not take.
func TestSessions_OnlyWhatIsDurable(t *testing.T) {
	t.Parallel()
	e := newEdge(t, fates(script(fate{answer: ErrFull}, fate{answer: ErrFull})))
	e.post(t, pathBatch, tour(1, "t")).Want(t, 503, "queue_full")
	e.post(t, pathSession, `{"session_id":"t","session_start":"1727653800"}`).Want(t, 503, "queue_full")
	e.post(t, pathBatch, `{"session_id":"t","events":[{"event_type":"gaze"}]}`).Want(t, 202, "")
	e.post(t, pathSession, `{}`).Want(t, 201, "")
	if calls, _ := e.states.counted(); calls != 0 {
		t.Errorf("%d calls", calls)
	}
}

// A session of which only the id is known began at the latest with its post.
func TestSessions_WithoutTimes(t *testing.T) {
	t.Parallel()
	now := caller.Now()
	e := newEdge(t, wound(&now))
	e.post(t, pathSession, `{"session_id":"t","customer_id":"c"}`).Want(t, 201, "")
	e.post(t, pathSession, fmt.Sprintf(`{"session_id":"u","session_end":%d.5}`, now.Unix())).Want(t, 201, "")
	now = now.Add(time.Minute)
	if got := e.statusOf(t, "t", nil); got["status"] != "active" || got["duration_so_far"] != 60.0 {
		t.Errorf("without a time: %v", got)
	}
	if got := e.statusOf(t, "u", nil); got["status"] != "completed" || got["started_at"] != nil || got["duration_seconds"] != nil {
		t.Errorf("with an end alone: %v", got)
	}
}

// A client that leaves while it waits is no sign that the bucket is away.
func TestSessions_ClientLeaves(t *testing.T) {
	t.Parallel()
	e := newEdge(t, func(_ *Deps, o *Options) { o.SessionTimeout = time.Minute })
	e.states.hangs = true
	ctx, leave := context.WithCancel(t.Context())
	leave()
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, pathSession+"/t/status", nil)
	request.Header.Set("X-Api-Key", caller.Key)
	e.Handler().ServeHTTP(httptest.NewRecorder(), request)
	if log := e.logged.String(); strings.Contains(log, "session states cannot be reached") || !strings.Contains(log, `"client_left":true`) {
		t.Errorf("logged: %s", log)
	}
}
