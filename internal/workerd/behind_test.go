package workerd

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nexero-vr/nexero/internal/queue"
)

func TestBacklog_Behind(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		age     time.Duration
		pending uint64
		err     error
		want    bool
	}{
		{"old and many", 6 * time.Second, 64, nil, true},
		{"many and fresh", 4 * time.Second, 1000, nil, false},
		{"one that stays", time.Hour, 0, nil, false},
		{"a few old ones", time.Hour, 63, nil, false},
		{"unknown", 6 * time.Second, 64, errors.New("no answer"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &backlog{after: 5 * time.Second, messages: 64, status: func(context.Context) (queue.Status, error) {
					return queue.Status{Messages: 1000, Oldest: time.Now().Add(-test.age), Pending: test.pending}, test.err
				}}
				if got := b.behind(t.Context()); got != test.want {
					t.Errorf("behind %v, want %v", got, test.want)
				}
			})
		})
	}
	empty := &backlog{status: func(context.Context) (queue.Status, error) { return queue.Status{}, nil }}
	if empty.behind(t.Context()) {
		t.Error("an empty queue is behind")
	}
}

// Roll-ups ask before each of them: the server is asked once a second.
func TestBacklog_AnswersFromMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		b := &backlog{after: time.Second, messages: 1, status: func(ctx context.Context) (queue.Status, error) {
			looks++
			if looks == 2 { // no answer
				<-ctx.Done()
				return queue.Status{}, ctx.Err()
			}
			return queue.Status{Oldest: time.Now().Add(-time.Minute), Pending: 1}, nil
		}}
		for range 5 {
			if !b.behind(t.Context()) {
				t.Error("forgotten")
			}
		}
		if looks != 1 {
			t.Errorf("%d looks, want 1", looks)
		}
		wait := time.NewTimer(lookInterval)
		<-wait.C
		began := time.Now()
		if b.behind(t.Context()) || time.Since(began) != lookTimeout {
			t.Errorf("a server that does not answer is asked for %s", time.Since(began))
		}
	})
}
