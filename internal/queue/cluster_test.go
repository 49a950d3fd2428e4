package queue_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/queue"
)

// startCluster runs three servers that replicate, and returns their addresses.
func startCluster(t *testing.T) string {
	t.Helper()
	routes := make([]*url.URL, 3)
	for i := range routes {
		port := freePort(t)
		routes[i] = &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	var urls []string
	for i, route := range routes {
		options := &natsserver.Options{
			ServerName: fmt.Sprintf("node-%d", i), Host: "127.0.0.1", Port: natsserver.RANDOM_PORT,
			Cluster: natsserver.ClusterOpts{Name: "queue", Host: "127.0.0.1", Port: portOf(t, route.String())},
			Routes:  routes, MaxPayload: 8 << 20, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
		}
		node, err := natsserver.NewServer(options)
		if err != nil {
			t.Fatal(err)
		}
		node.Start()
		t.Cleanup(func() {
			node.Shutdown()
			node.WaitForShutdown()
		})
		if !node.ReadyForConnections(patience) {
			t.Fatal("server of the cluster does not come up")
		}
		urls = append(urls, node.ClientURL())
	}
	return strings.Join(urls, ",")
}

// With three replicas a request's last word waits for the replicated delivery,
// leaders move, and settings are agreed upon: the same calls have to work.
func TestCluster(t *testing.T) {
	t.Parallel()
	b := &bundle{url: startCluster(t), reg: prometheus.NewRegistry()}
	b.cfg = queue.Config{URL: b.url, MaxBytes: 64 << 20, Replicas: 3, RequestTimeout: time.Second}
	b.conn = connect(t, b.cfg, b.reg, queue.Consumer)
	b.js = observe(t, b.url)
	// Until the servers have a leader between them, nothing can be made.
	eventually(t, func() string {
		if err := b.conn.Provision(t.Context()); err != nil {
			return err.Error()
		}
		return ""
	})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := b.conn.Provision(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys := configOf(t, b.js, keyStream); keys.AllowDirect || keys.Replicas != 3 {
		t.Errorf("stream of keys: %+v", keys)
	}
	single := b.cfg
	single.Replicas = 1
	if err := connect(t, single, nil, queue.Consumer).Provision(t.Context()); err != nil {
		t.Error(err)
	}
	if got := b.info(t).Config.Replicas; got != 3 {
		t.Errorf("%d replicas after a process that asks for one, want 3", got)
	}

	publisher := connect(t, b.cfg, nil, queue.Publisher)
	var want, got []string
	for round := range 3 {
		for i := range 20 {
			id := fmt.Sprintf("message-%04d", 100*round+i)
			want = append(want, id)
			b.publishUntilStored(t, publisher, id)
		}
		if round > 0 {
			b.stepDown(t)
		}
		for len(got) < len(want) {
			for _, m := range fetch(t, b.conn, 7, 0) {
				ack(t, m)
				if !slices.Contains(got, idOf(m)) { // a new leader may deliver again
					got = append(got, idOf(m))
				}
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
	b.stored(t, 0)
}

func (b *bundle) publishUntilStored(t *testing.T, conn *queue.Conn, id string) {
	t.Helper()
	eventually(t, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := conn.Publish(ctx, id, []byte(id)); err != nil {
			return err.Error()
		}
		return ""
	})
}

// stepDown makes the leaders of stream and consumer resign.
func (b *bundle) stepDown(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{
		"$JS.API.STREAM.LEADER.STEPDOWN." + queue.StreamName,
		"$JS.API.CONSUMER.LEADER.STEPDOWN." + queue.StreamName + "." + queue.ConsumerName,
	} {
		eventually(t, func() string {
			m, err := nc.Request(subject, nil, time.Second)
			switch {
			case err != nil:
				return err.Error()
			case !strings.Contains(string(m.Data), `"success":true`):
				return string(m.Data)
			}
			return ""
		})
	}
}
