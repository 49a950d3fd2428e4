package devstack

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	exptrace "golang.org/x/exp/trace"
)

// tracedMessages are published one after the other while a child traces itself.
const tracedMessages = 50

// pubAck is how the child's trace says that an acknowledgement has come.
const pubAck = "pubAck"

// traceSyncs is a child that runs a queue, publishes to it and writes a trace of
// itself: the runtime records every system call with the functions that made
// it, so what is counted are the calls that really happened, in their order.
func traceSyncs(ctx context.Context, storeDir, traceFile, syncAlways string) (err error) {
	options := natsOptions(NATSConfig{StoreDir: storeDir})
	if options.SyncAlways, err = strconv.ParseBool(syncAlways); err != nil {
		return err
	}
	srv, err := server.NewServer(options)
	if err != nil {
		return err
	}
	srv.Start()
	defer func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}}); err != nil {
		return err
	}
	file, err := os.Create(traceFile) //nolint:gosec // the test's own
	if err != nil {
		return err
	}
	if err := trace.Start(file); err != nil {
		return err
	}
	for i := range tracedMessages {
		if _, ackErr := js.Publish(ctx, "t", []byte{byte(i)}); ackErr != nil {
			err = errors.Join(err, ackErr)
		}
		trace.Log(ctx, pubAck, strconv.Itoa(i))
	}
	trace.Stop()
	return errors.Join(err, file.Close())
}

// syncsBeforeAcks returns, for each PubAck in a trace, how often the queue
// synced a file of messages since the one before.
func syncsBeforeAcks(t *testing.T, traceFile string) (syncs []int) {
	t.Helper()
	file, err := os.Open(traceFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := exptrace.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		event, err := reader.ReadEvent()
		if errors.Is(err, io.EOF) {
			return syncs
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case event.Kind() == exptrace.EventLog && event.Log().Category == pubAck:
			syncs, n = append(syncs, n), 0
		case event.Kind() == exptrace.EventStateTransition && isMessageSync(event.StateTransition()):
			n++
		}
	}
}

// isMessageSync reports whether a goroutine enters fsync for a file of messages.
func isMessageSync(transition exptrace.StateTransition) bool {
	if transition.Resource.Kind != exptrace.ResourceGoroutine {
		return false
	}
	if _, to := transition.Goroutine(); to != exptrace.GoSyscall {
		return false
	}
	var sync, message bool
	for frame := range transition.Stack.Frames() {
		sync = sync || frame.Func == "os.(*File).Sync"
		message = message || strings.Contains(frame.Func, "(*msgBlock)")
	}
	return sync && message
}

// Each PubAck comes after an fsync of its own. The queue's default, on the same
// counter, shows that it can tell: it answers first and syncs minutes later.
//
// rule 1
func TestNATS_FsyncsBeforeEveryPubAck(t *testing.T) {
	t.Parallel()
	traced := func(always bool) []int {
		dir := t.TempDir()
		file := filepath.Join(dir, "trace")
		_, kill := startChild(t, "traced", dir, file, strconv.FormatBool(always))
		kill()
		syncs := syncsBeforeAcks(t, file)
		if len(syncs) != tracedMessages {
			t.Fatalf("the trace has %d acknowledgements, want %d", len(syncs), tracedMessages)
		}
		return syncs
	}
	ours := natsOptions(NATSConfig{StoreDir: t.TempDir()}).SyncAlways
	if syncs := traced(ours); slices.Contains(syncs, 0) {
		t.Errorf("with our settings the queue synced %v times before its acknowledgements, want at least once each", syncs)
	}
	if syncs := traced(false); !slices.Contains(syncs, 0) {
		t.Errorf("by default the queue synced %v times before its acknowledgements, so the counter shows nothing", syncs)
	}
}
