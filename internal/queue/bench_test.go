package queue_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/queue"
	"github.com/nexero-vr/nexero/internal/testkit"
)

// These compare the three ways of taking messages; docs/decisions/0004-fetch.md
// says what came out. Every message is given back, so each round costs the same.
// The server runs in this process and its allocations are counted too.

const benchBatch = 32

func benchSetup(b *testing.B, messages int) (*queue.Conn, jetstream.Consumer) {
	b.Helper()
	url := testkit.NATS(b)
	conn, err := queue.Connect(b.Context(), queue.Config{URL: url, MaxBytes: 1 << 30}, testkit.Logger(b), nil, queue.Consumer)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.WithoutCancel(b.Context())) })
	if err := conn.Provision(b.Context()); err != nil {
		b.Fatal(err)
	}
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	for i := range messages {
		if _, err := js.Publish(b.Context(), queue.Subject, make([]byte, 4<<10), jetstream.WithMsgID(strconv.Itoa(i))); err != nil {
			b.Fatal(err)
		}
	}
	consumer, err := js.Consumer(b.Context(), queue.StreamName, queue.ConsumerName)
	if err != nil {
		b.Fatal(err)
	}
	return conn, consumer
}

func BenchmarkFetch_Conn(b *testing.B) {
	conn, _ := benchSetup(b, benchBatch)
	b.ReportAllocs()
	for b.Loop() {
		for taken := 0; taken < benchBatch; {
			messages, err := conn.Fetch(b.Context(), benchBatch, 16<<20, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			taken += len(messages)
			for _, m := range messages {
				if err := m.Nak(0); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

func BenchmarkFetch_LibraryCount(b *testing.B) {
	_, consumer := benchSetup(b, benchBatch)
	benchLibrary(b, func() (jetstream.MessageBatch, error) {
		return consumer.Fetch(benchBatch, jetstream.FetchMaxWait(time.Second), jetstream.FetchMaxBytes(16<<20))
	})
}

func BenchmarkFetch_LibraryBytes(b *testing.B) {
	_, consumer := benchSetup(b, benchBatch)
	benchLibrary(b, func() (jetstream.MessageBatch, error) {
		return consumer.FetchBytes(benchBatch*4<<10, jetstream.FetchMaxWait(50*time.Millisecond))
	})
}

func benchLibrary(b *testing.B, fetch func() (jetstream.MessageBatch, error)) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		for taken := 0; taken < benchBatch; {
			batch, err := fetch()
			if err != nil {
				b.Fatal(err)
			}
			for m := range batch.Messages() {
				taken++
				if err := m.Nak(); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

func BenchmarkFetchEmpty_Conn(b *testing.B) {
	conn, _ := benchSetup(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Fetch(b.Context(), benchBatch, 16<<20, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchEmpty_Library(b *testing.B) {
	_, consumer := benchSetup(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		batch, err := consumer.FetchNoWait(benchBatch)
		if err != nil {
			b.Fatal(err)
		}
		for range batch.Messages() {
			b.Fatal("a message")
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	conn, _ := benchSetup(b, 0)
	body := make([]byte, 16<<10)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := conn.Publish(b.Context(), fmt.Sprintf("%036d", i), body); err != nil {
			b.Fatal(err)
		}
	}
}
