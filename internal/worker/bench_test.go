package worker

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// bench is a worker between models, inside a bubble of fake time.
type bench struct {
	*testing.T

	queue    *modelQueue
	store    *modelStore
	worker   *Worker
	registry *prometheus.Registry
	log      *lines
	next     uint64

	cancel context.CancelFunc
	ended  chan error
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// count returns the number of lines that contain text.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range strings.Lines(l.out.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// inBubble runs test with fresh models. One loop, so that what a gather holds
// is certain, unless opts says otherwise.
func inBubble(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, store: newModelStore()}
		b.queue = newModelQueue(b.store)
		if opts.Loops == 0 {
			opts.Loops = 1
		}
		b.renew(opts)
		test(b)
		for _, violation := range b.queue.violations() {
			t.Error(violation)
		}
	})
}

// renew makes a new worker on the same models, as a restarted process would.
func (b *bench) renew(opts Options) {
	b.Helper()
	b.registry, b.log = prometheus.NewRegistry(), &lines{}
	w, err := New(Deps{
		Source: b.queue, Store: b.store, Classify: classify, OldestMessage: b.queue.oldest,
		Log: slog.New(slog.NewTextHandler(b.log, nil)), Registerer: b.registry,
	}, opts)
	if err != nil {
		b.Fatal(err)
	}
	b.worker = w
}

// pass lets time pass, which in a bubble takes none.
func (b *bench) pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // moves the bubble's clock
}

// start runs the worker until stop, or until ctx ends.
func (b *bench) start() {
	ctx, cancel := context.WithCancel(b.Context())
	b.cancel, b.ended = cancel, make(chan error, 1)
	worker, ended := b.worker, b.ended
	go func() { ended <- worker.Run(ctx) }()
}

// stop ends the worker's context and returns what Run returned.
func (b *bench) stop() error {
	b.cancel()
	return b.wait()
}

// wait returns what Run returned and checks that nothing stayed in hand.
func (b *bench) wait() error {
	b.Helper()
	err := <-b.ended
	b.cancel()
	if got := testutil.ToFloat64(b.worker.metrics.inHand); got != 0 {
		b.Errorf("%v messages in hand after Run", got)
	}
	return err
}

// message returns an envelope with one batch of so many events.
func (b *bench) message(events ...int) (data []byte, ids []event.UUID) {
	b.Helper()
	var builder envelope.Builder
	for _, n := range events {
		b.next++
		batch := event.Batch{Tenant: "acme", Sessions: []event.Session{{ClientID: "s"}}, ReceivedAt: event.MicrosOf(time.Now())}
		binary.BigEndian.PutUint64(batch.ID[:], b.next)
		for i := range n {
			batch.Events = append(batch.Events, event.Event{Index: i, Type: event.Pose, OccurredAt: batch.ReceivedAt})
		}
		encoded, err := envelope.AppendBatch(nil, &batch)
		if err != nil {
			b.Fatal(err)
		}
		builder.Add(encoded)
		ids = append(ids, batch.ID)
	}
	return builder.Seal(), ids
}

// publish puts n messages of one batch with one event into the queue.
func (b *bench) publish(n int) []*modelMessage {
	b.Helper()
	messages := make([]*modelMessage, n)
	for i := range messages {
		data, ids := b.message(1)
		messages[i] = b.queue.publish(data, ids...)
	}
	return messages
}

// oldest is Deps.OldestMessage.
func (q *modelQueue) oldest(context.Context) (time.Time, bool, error) {
	f := q.faultOf("oldest")
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if !m.acked {
			return m.storedAt, true, f.err
		}
	}
	return time.Time{}, false, f.err
}

// wantLoads checks the sizes of the loads that succeeded, in batches.
func (b *bench) wantLoads(want ...int) {
	b.Helper()
	if diff := cmp.Diff(want, b.store.successful()); diff != "" {
		b.Errorf("loads (-want +got):\n%s", diff)
	}
}

// wantEmpty checks that everything is acknowledged.
func (b *bench) wantEmpty() {
	b.Helper()
	if left := b.queue.left(); left > 0 {
		b.Errorf("%d messages are left in the queue", left)
	}
}

func (b *bench) wantReady(want string) {
	b.Helper()
	err := b.worker.Ready()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		b.Errorf("Ready() = %v, want %q", err, want)
	}
}

// publishAtOnce publishes n messages between two steps of the worker, the first
// one changed by change.
func (b *bench) publishAtOnce(n int, change ...func(data []byte)) {
	b.Helper()
	all := make([]*modelMessage, n)
	for i := range all {
		all[i] = &modelMessage{storedAt: time.Now()}
		all[i].data, all[i].ids = b.message(1)
	}
	for _, f := range change {
		f(all[0].data)
	}
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	b.queue.messages = append(b.queue.messages, all...)
	b.queue.wake()
}
