package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// tick is how often something is looked at until it is so.
const tick = 20 * time.Millisecond

// eventually waits until what is so returns "", which else says what is missing.
func eventually(t *testing.T, missing func() string) {
	t.Helper()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		what := missing()
		if what == "" {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// server is a service in a process of its own.
type server struct {
	*process

	url, metrics string
}

// serve starts a service on addresses that stay free for it, without waiting.
func serve(t *testing.T, name string, settings ...string) *server {
	t.Helper()
	listen, metrics := freeAddress(t), freeAddress(t)
	env := append([]string{
		"NEXERO_LISTEN=" + listen, "NEXERO_METRICS_LISTEN=" + metrics, "NEXERO_LOG_FORMAT=json",
		"NEXERO_ANONYMOUS_TENANT=acme", "NEXERO_QUEUE_MAX_BYTES=64MiB",
	}, settings...)
	return &server{process: start(t, name, env), url: "http://" + listen, metrics: "http://" + metrics}
}

// ready waits until the service says that it is.
func (s *server) ready() *server {
	s.t.Helper()
	eventually(s.t, func() string {
		select {
		case <-s.ended:
			s.t.Fatalf("the service ended before it was ready: %v\n%s", s.err, s.tail())
		default:
		}
		status, answer := get(s.t, s.metrics+"/readyz")
		if status != http.StatusOK {
			return "not ready: " + answer
		}
		return ""
	})
	return s
}

// get returns the status of a request, 0 without an answer, and the body.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return answered(request)
}

// answered sends a request on a connection of its own: one that waits for the
// next request may be closed by a stopping server just when that is sent.
func answered(request *http.Request) (status int, body string) {
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.command.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// exitCode waits for the end, no longer than limit, and returns the exit code.
func (p *process) exitCode(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("process %d has not ended after %s\n%s", p.command.Process.Pid, limit, p.tail())
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return exit.ExitCode()
	}
	if p.err != nil {
		p.t.Fatal(p.err)
	}
	return 0
}

// said waits for a line of the log with every one of parts.
func (p *process) said(parts ...string) {
	p.t.Helper()
	eventually(p.t, func() string {
		for line := range strings.Lines(string(p.output.bytes())) {
			found := true
			for _, part := range parts {
				found = found && strings.Contains(line, part)
			}
			if found {
				return ""
			}
		}
		select {
		case <-p.ended:
			p.t.Fatalf("ended without a line with %q:\n%s", parts, p.tail())
		default:
		}
		return fmt.Sprintf("no line with %q:\n%s", parts, p.tail())
	})
}

// step is a line of the log about something that was stopped.
type step struct {
	Msg   string   `json:"msg"`
	Name  string   `json:"name"`
	Took  *float64 `json:"took"`
	Clean bool     `json:"clean"`
}

// stops returns the steps of a stop in the order in which they ended.
func (p *process) stops() (all []step) {
	for line := range bytes.Lines(p.output.bytes()) {
		var s step
		if json.Unmarshal(line, &s) == nil && s.Msg == "service stopped" {
			all = append(all, s)
		}
	}
	return all
}

// load posts batches until it is stopped, each from a session of its own, and
// knows which were answered with 202.
type load struct {
	url  string
	wg   sync.WaitGroup
	stop context.CancelFunc
	next atomic.Int64

	mu       sync.Mutex // guards what follows
	accepted map[string]bool
	// asked are all that may be stored: what was cut off may be, too.
	asked map[string]bool
}

// loadEvents is how many events a batch has, and posters how many post.
const (
	loadEvents = 20
	posters    = 8
)

func startLoad(t *testing.T, url string) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{url: url, stop: stop, accepted: map[string]bool{}, asked: map[string]bool{}}
	for range posters {
		l.wg.Go(func() {
			// Until nobody is there any more.
			for ctx.Err() == nil && l.post(ctx) {
			}
		})
	}
	t.Cleanup(func() { l.end() })
	return l
}

// post posts a batch of a new session once and reports whether it was answered.
func (l *load) post(ctx context.Context) bool {
	session := fmt.Sprintf("tour-%d", l.next.Add(1))
	var body strings.Builder
	fmt.Fprintf(&body, `{"session_id":%q,"events":[`, session)
	now := time.Now().UTC()
	for i := range loadEvents {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"event_type":"zone_enter","zone_name":"zone %d","timestamp":%q}`,
			i, now.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
	}
	body.WriteString("]}")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+"/api/v1/unreal/tracking/batch", strings.NewReader(body.String()))
	if err != nil {
		return false
	}
	status, _ := answered(request)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked[session] = true
	if status == http.StatusAccepted {
		l.accepted[session] = true
	}
	return status != 0
}

// end stops posting and waits for the posters.
func (l *load) end() {
	l.stop()
	l.wg.Wait()
}

// answers waits until n batches were accepted.
func (l *load) answers(t *testing.T, n int) {
	t.Helper()
	eventually(t, func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.accepted) < n {
			return fmt.Sprintf("%d of %d posts accepted", len(l.accepted), n)
		}
		return ""
	})
}

// check compares what is stored with what was answered: of each session that was
// accepted all events once, of each other one all or none.
func (l *load) check(t *testing.T, database string) {
	t.Helper()
	stored := readSums(t, connect(t, database), `SELECT client_id, ARRAY[count(*)] FROM nexero.sessions JOIN nexero.events USING (session_no) GROUP BY client_id`)
	lost := 0
	for session := range l.accepted {
		if stored[session] == nil {
			lost++
		}
	}
	if lost > 0 || len(l.accepted) == 0 {
		t.Errorf("%d of %d accepted batches are not stored", lost, len(l.accepted))
	}
	for session, row := range stored {
		if row[0] != loadEvents || !l.asked[session] {
			t.Errorf("%d events of %s are stored, want %d; asked for: %v", row[0], session, loadEvents, l.asked[session])
		}
	}
	t.Logf("%d batches accepted, %d stored, %d sent", len(l.accepted), len(stored), len(l.asked))
}

// awaitEmptyQueue waits until what the queue held is stored.
func awaitEmptyQueue(t *testing.T, worker *server) {
	t.Helper()
	eventually(t, func() string {
		_, metrics := get(t, worker.metrics+"/metrics")
		for line := range strings.Lines(metrics) {
			if strings.HasPrefix(line, "nexero_queue_messages") && strings.HasSuffix(strings.TrimSpace(line), " 0") {
				return ""
			}
		}
		return "the queue holds messages"
	})
}
