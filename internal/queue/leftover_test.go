package queue_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nexero-vr/nexero/internal/devstack"
	"github.com/nexero-vr/nexero/internal/queue"
)

// A server on a full disk takes acknowledgements and cannot remove what they are
// of. Started again it holds messages that its consumer calls acknowledged:
// they have to come once more, or they stay for ever.
//
// rule 9
func TestFetch_LeftoversComeOnceMore(t *testing.T) {
	t.Parallel()
	server := startServer(t, devstack.NATSConfig{})
	b := setupAt(t, server.nats.URL(), queue.Consumer)
	ids := b.put(t, 3, 100)
	messages := filesOf(t, server.cfg.StoreDir)
	kept := t.TempDir()
	restart := func(between func()) {
		t.Helper()
		server.stop(t)
		between()
		server.start(t)
	}
	restart(func() {
		if err := os.CopyFS(kept, os.DirFS(messages)); err != nil {
			t.Fatal(err)
		}
	})
	ack(t, fetch(t, b.conn, len(ids), 0)...)
	b.stored(t, 0)
	// What a removal that failed leaves: the messages as they were, and a consumer
	// that has done with them.
	restart(func() {
		if err := os.RemoveAll(messages); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(messages, os.DirFS(kept)); err != nil {
			t.Fatal(err)
		}
	})
	var again []string
	eventually(t, func() string {
		fetched, err := b.conn.Fetch(t.Context(), len(ids), 0, 100*time.Millisecond)
		if err != nil {
			return err.Error()
		}
		ack(t, fetched...)
		again = append(again, idsOf(fetched)...)
		return cmp.Diff(ids, again)
	})
	b.stored(t, 0)
}

// filesOf returns where a server keeps the messages of the stream of events.
func filesOf(t *testing.T, storeDir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(storeDir, "jetstream", "*", "streams", queue.StreamName, "msgs"))
	if err != nil || len(found) != 1 {
		t.Fatalf("files of the stream: %v, %v", found, err)
	}
	return found[0]
}
