package e2e

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/nexero-vr/nexero/internal/testkit"
	"github.com/nexero-vr/nexero/internal/testkit/link"
)

// stuck is a service whose stop cannot finish what is under way.
type stuck struct {
	*process

	// after is called when the process has ended: it checks that nothing that was
	// answered is lost.
	after func()
}

// TestStop_SaysWhatIsLeft stops services that wait for a server that fell
// silent: they end in time nevertheless, not as if all was well, and say what
// they left.
//
// rule 2, rule 3, rule 10
func TestStop_SaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		stuck func(t *testing.T) stuck
		// left is what the error says, each with a number above 0.
		left []string
	}{
		{"ingest", stuckIngest, []string{
			`requests cut off: [1-9]\d* under way`, `[1-9]\d* bytes of [1-9]\d* batches in [1-9]\d* flights unconfirmed`,
		}},
		{"worker", stuckWorker, []string{`[1-9]\d* messages given back`}},
		{"query", stuckQuery, []string{`requests cut off: 3 under way`}},
		{"up", stuckUp, []string{`[1-9]\d* messages given back`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := test.stuck(t)
			s.signal(syscall.SIGTERM)
			if code := s.exitCode(stopLimit); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			// The last lines are for whoever started it.
			said := string(s.output.bytes())
			said = said[strings.LastIndex(said, "\n{")+1:]
			_, said, _ = strings.Cut(said, "\n")
			for _, left := range test.left {
				if !regexp.MustCompile(left).MatchString(said) {
					t.Errorf("what is said at the end lacks %q:\n%s", left, said)
				}
			}
			t.Logf("%s", said)
			if t.Failed() {
				t.Logf("%s", s.tail())
			}
			s.after()
		})
	}
}

// stuckIngest has posts under way whose queue does not answer any more.
func stuckIngest(t *testing.T) stuck {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	line, through := link.Before(t, nats)
	ingest := serve(t, "ingest", shortDrain, "NEXERO_NATS_URL="+through).ready()
	l := startLoad(t, ingest.url)
	l.answers(t, 50)
	line.Blackhole()
	eventually(t, func() string {
		_, metrics := get(t, ingest.metrics+"/metrics")
		if !regexp.MustCompile(`(?m)^nexero_ingest_in_flight_bytes [1-9]`).MatchString(metrics) {
			return "no post is under way"
		}
		return ""
	})
	return stuck{ingest.process, func() {
		l.end()
		store(t, nats, database, l)
	}}
}

// frozenLoad brings a worker, started by run with the address of its database,
// into the middle of a load that never ends.
func frozenLoad(t *testing.T, nats, database string, run func(database string) *process) stuck {
	t.Helper()
	line, through := link.Before(t, database)
	release := lockTable(t, database, "nexero.batches")
	p := run(through)
	l := startLoad(t, serve(t, "ingest", "NEXERO_NATS_URL="+nats).ready().url)
	l.answers(t, 50)
	awaitWaiters(t, database, 1)
	line.Blackhole()
	release()
	l.end()
	return stuck{p, func() {
		store(t, nats, database, l)
	}}
}

// quickDatabase makes the server give up soon on a client that fell silent.
func quickDatabase() []string {
	return []string{shortDrain, "NEXERO_DATABASE_IDLE_TIMEOUT=3s"}
}

func stuckWorker(t *testing.T) stuck {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	return frozenLoad(t, nats, database, func(address string) *process {
		return serve(t, "worker", append(quickDatabase(), "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+address)...).ready().process
	})
}

func stuckUp(t *testing.T) stuck {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	return frozenLoad(t, nats, database, func(address string) *process {
		return up(t, filepath.Join(dataRoot(t), "data"), append(quickDatabase(), "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+address),
			"--services", "worker,query,ingest", "--listen", "127.0.0.1:0")
	})
}

// stuckQuery has reads under way that wait for somebody else's transaction.
func stuckQuery(t *testing.T) stuck {
	t.Helper()
	nats, database := testkit.NATS(t), testkit.Database(t)
	query := serve(t, "query", shortDrain, "NEXERO_NATS_URL="+nats, "NEXERO_DATABASE_URL="+database,
		"NEXERO_ANONYMOUS_READ=true", "NEXERO_READ_STATEMENT_TIMEOUT=1m", "NEXERO_READ_REQUEST_TIMEOUT=1m").ready()
	release := lockTable(t, database, "nexero.rejected_events")
	const reads = 3
	ended := make(chan struct{})
	for range reads {
		go func() {
			_, _ = get(t, query.url+"/api/v1/rejections")
			ended <- struct{}{}
		}()
	}
	awaitWaiters(t, database, reads)
	return stuck{query.process, func() {
		release()
		for range reads {
			<-ended
		}
	}}
}

// TestStop_BeforeReady stops services that wait for a server since they were
// started: nothing was taken on, so nothing failed. // rule 10
func TestStop_BeforeReady(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, waits string
		start       func(t *testing.T) *process
	}{
		{"ingest without a queue", "queue does not answer", func(t *testing.T) *process {
			t.Helper()
			return serve(t, "ingest", "NEXERO_NATS_URL=nats://"+freeAddress(t)).process
		}},
		{"ingest with a queue that is silent", "queue does not answer", func(t *testing.T) *process {
			t.Helper()
			line, through := link.Before(t, testkit.NATS(t))
			line.Blackhole()
			return serve(t, "ingest", "NEXERO_NATS_URL="+through).process
		}},
		{"worker without a database", "database cannot be checked", func(t *testing.T) *process {
			t.Helper()
			return serve(t, "worker", "NEXERO_NATS_URL="+testkit.NATS(t), "NEXERO_DATABASE_URL=postgres://u:p@"+freeAddress(t)+"/none").process
		}},
		{"query without a queue", "queue does not answer", func(t *testing.T) *process {
			t.Helper()
			return serve(t, "query", "NEXERO_NATS_URL=nats://"+freeAddress(t), "NEXERO_DATABASE_URL="+testkit.Database(t)).process
		}},
		{"up without a queue", "queue does not answer", func(t *testing.T) *process {
			t.Helper()
			return start(t, "nexero", []string{"NEXERO_NATS_URL=nats://" + freeAddress(t)}, "up",
				"--data-dir", filepath.Join(dataRoot(t), "data"), "--services", "ingest", "--log-format", "json", "--listen", "127.0.0.1:0")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := test.start(t)
			p.said(test.waits)
			p.signal(syscall.SIGHUP) // asks for nothing yet, and ends nothing
			p.signal(syscall.SIGTERM)
			if code := p.exitCode(stopLimit); code != 0 {
				t.Errorf("exit code %d\n%s", code, p.tail())
			}
		})
	}
}

// TestStop_AtOnce asks a service twice that has minutes left to drain. // rule 10
func TestStop_AtOnce(t *testing.T) {
	t.Parallel()
	line, through := link.Before(t, testkit.NATS(t))
	ingest := serve(t, "ingest", "NEXERO_DRAIN_TIMEOUT=10m", "NEXERO_REQUEST_TIMEOUT=5m", "NEXERO_NATS_URL="+through).ready()
	l := startLoad(t, ingest.url)
	l.answers(t, 10)
	line.Blackhole()
	ingest.signal(syscall.SIGTERM)
	ingest.said(`"stopping"`)
	// The first one's handler is taken away at about the same time.
	eventually(t, func() string {
		ingest.signal(syscall.SIGTERM)
		select {
		case <-ingest.ended:
			return ""
		default:
			return "it drains"
		}
	})
	exit, ok := errors.AsType[*exec.ExitError](ingest.err)
	if !ok {
		t.Fatalf("ended with %v, want a signal", ingest.err)
	}
	if status, _ := exit.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("ended with %v, want a signal", exit)
	}
}
