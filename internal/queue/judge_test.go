package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

// What cannot be provoked from a healthy server in a test is judged here. An
// error nobody thought of must come out as unknown: definite means that ingest
// need not repeat it.
func TestJudge(t *testing.T) {
	t.Parallel()
	api := func(code jetstream.ErrorCode, text string) error {
		return fmt.Errorf("nats: %w", &jetstream.APIError{Code: 500, ErrorCode: code, Description: text})
	}
	for name, test := range map[string]struct {
		err  error
		want error
	}{
		"stream full":                    {api(10077, "maximum bytes exceeded"), ErrFull},
		"stream full by number":          {api(10077, "maximum messages exceeded"), ErrFull},
		"store's own limit":              {api(10077, "message too large"), ErrTooLarge},
		"store closed, replicas may not": {api(10077, "store is closed"), ErrUnknownOutcome},
		"account full":                   {api(10002, "resource limits exceeded for account"), ErrFull},
		"server full":                    {api(10023, "insufficient resources"), ErrFull},
		"disk limit":                     {api(10047, "insufficient storage resources available"), ErrFull},
		"stream's message limit":         {api(10054, "message size exceeds maximum allowed"), ErrTooLarge},
		"client's message limit":         {nats.ErrMaxPayload, ErrTooLarge},
		"in process elsewhere":           {api(10158, "duplicate message id is in process"), ErrUnknownOutcome},
		"too many requests":              {api(10167, "too many requests"), ErrUnavailable},
		"another stream":                 {api(10060, "expected stream does not match"), ErrUnavailable},
		"sealed":                         {api(10109, "invalid operation on sealed stream"), ErrUnavailable},
		"a code of tomorrow":             {api(19999, "whatever"), ErrUnknownOutcome},
		"no stream":                      {jetstream.ErrNoStreamResponse, ErrUnavailable},
		"nobody listens":                 {nats.ErrNoResponders, ErrUnavailable},
		"no buffer while away":           {nats.ErrReconnectBufExceeded, ErrUnavailable},
		"draining":                       {nats.ErrConnectionDraining, ErrUnavailable},
		"closed, before or after":        {nats.ErrConnectionClosed, ErrUnknownOutcome},
		"disconnected while waiting":     {nats.ErrDisconnected, ErrUnknownOutcome},
		"deadline":                       {context.DeadlineExceeded, ErrUnknownOutcome},
		"cancelled":                      {context.Canceled, ErrUnknownOutcome},
		"garbled answer":                 {jetstream.ErrInvalidJSAck, ErrUnknownOutcome},
		"broken pipe":                    {io.ErrClosedPipe, ErrUnknownOutcome},
	} {
		what, got := judge(test.err)
		if !errors.Is(got, test.want) || !errors.Is(got, test.err) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		for _, other := range []error{ErrFull, ErrTooLarge, ErrUnavailable, ErrUnknownOutcome} {
			if other != test.want && errors.Is(got, other) { //nolint:errorlint // compares the sentinels themselves
				t.Errorf("%s: is also %v", name, other)
			}
		}
		if what == outcomeStored || what == outcomeDuplicate {
			t.Errorf("%s: counted as %s", name, what)
		}
	}
}

func TestReadStatus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code, text string
		want       end
	}{
		{"100", "Idle Heartbeat", stillOpen},
		{"404", "No Messages", endServed},
		{"408", "Request Timeout", endExpired},
		{"408", "Interest Expired", endExpired},
		{"408", "Requests Pending", endBusy},
		{"409", "Message Size Exceeds MaxBytes", endOversize},
		{"409", "Batch Completed", endServed},
		{"409", "Consumer Deleted", endMissing},
		{"409", "Leadership Change", endMoved},
		{"409", "Server Shutdown", endMoved},
		{"409", "Exceeded MaxWaiting", endBusy},
		{"409", "Consumer is push based", endRefused},
		{"409", "Exceeded MaxRequestBatch of 1", endRefused},
		{"400", "Bad Request", endRefused},
		{"503", "", endMissing},
		{"", "", endRefused},
	} {
		got, _ := readStatus(nats.Header{"Status": {test.code}, "Description": {test.text}})
		if got != test.want {
			t.Errorf("%s %s: got %d, want %d", test.code, test.text, got, test.want)
		}
	}
}

// A process with the default of one replica must not throw away two copies of
// everybody's queue.
func TestReconcile_NeverLowersReplicas(t *testing.T) {
	t.Parallel()
	want := eventStream(Config{Replicas: 1, MaxBytes: 1 << 30})
	have := want
	have.Replicas = 3
	target, changes := reconcile(&jetstream.StreamInfo{Config: have}, want)
	if target.Replicas != 3 || len(changes) != 0 {
		t.Errorf("replicas %d, changes %v, want 3 and none", target.Replicas, changes)
	}
	target, changes = reconcile(&jetstream.StreamInfo{Config: want}, have)
	if target.Replicas != 3 || len(changes) != 1 {
		t.Errorf("replicas %d, changes %v, want 3 and one", target.Replicas, changes)
	}
}

// A second run changes nothing: otherwise processes with the same settings
// would take turns.
func TestReconcile_Settles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Replicas: rapid.SampledFrom([]int{1, 3}).Draw(t, "replicas"), MaxBytes: rapid.Int64Range(1<<20, 1<<40).Draw(t, "max bytes")}
		want := rapid.SampledFrom([]jetstream.StreamConfig{eventStream(cfg), keyBucketStream(cfg)}).Draw(t, "stream")
		info := &jetstream.StreamInfo{Config: want}
		info.State.Bytes = rapid.Uint64Range(0, 1<<41).Draw(t, "stored")
		info.Config.Replicas = rapid.SampledFrom([]int{1, 3}).Draw(t, "replicas now")
		info.Config.MaxBytes = rapid.SampledFrom([]int64{-1, 1 << 20, 1 << 30, 1 << 50}).Draw(t, "max bytes now")
		info.Config.MaxMsgs = rapid.SampledFrom([]int64{-1, 0, 10}).Draw(t, "max messages now")
		info.Config.MaxMsgsPerSubject = rapid.SampledFrom([]int64{-1, 1, keyHistory, 64}).Draw(t, "history now")
		info.Config.MaxMsgSize = rapid.SampledFrom([]int32{-1, 0, 100, 1 << 20}).Draw(t, "message size now")
		info.Config.AllowDirect = rapid.Bool().Draw(t, "direct now")
		info.Config.AllowRollup = rapid.Bool().Draw(t, "roll-up now")

		target, _ := reconcile(info, want)
		if target.Replicas < info.Config.Replicas {
			t.Fatalf("replicas lowered from %d to %d", info.Config.Replicas, target.Replicas)
		}
		if target.MaxBytes != info.Config.MaxBytes && info.State.Bytes > uint64(max(target.MaxBytes, 0)) {
			t.Fatalf("limit %d set below the %d bytes stored", target.MaxBytes, info.State.Bytes)
		}
		if target.AllowDirect {
			t.Fatal("direct reads stay on")
		}
		info.Config = target
		if _, changes := reconcile(info, want); len(changes) != 0 {
			t.Fatalf("changes again: %v", changes)
		}
	})
}

func TestFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOf(rapid.IntRange(0, 50)).Draw(t, "sizes")
		maxMessages, maxBytes := rapid.IntRange(1, 20).Draw(t, "max messages"), rapid.IntRange(0, 200).Draw(t, "max bytes")
		var messages []*Message
		for _, size := range sizes {
			messages = append(messages, &Message{data: make([]byte, size)})
		}
		// The longest prefix within the limits, and one message at least.
		want := 0
		for n, total := 1, 0; n <= min(len(sizes), maxMessages); n++ {
			if total += sizes[n-1]; n > 1 && maxBytes > 0 && total > maxBytes {
				break
			}
			want = n
		}
		if diff := cmp.Diff(want, fits(messages, maxMessages, maxBytes)); diff != "" {
			t.Fatalf("sizes %v (-want +got):\n%s", sizes, diff)
		}
	})
}

// The last word on a request that is over says nothing about the next one on
// its lane.
func TestLane_IgnoresTheLastWordOnAnotherRequest(t *testing.T) {
	t.Parallel()
	l := &lane{puller: new(puller), wake: make(chan struct{}, 1), request: "inbox.2"}
	deleted := nats.Header{"Status": {"409"}, "Description": {"Consumer Deleted"}}
	l.receive(&nats.Msg{Subject: "inbox.1", Header: deleted})
	if l.ended != stillOpen {
		t.Error("ended by the word on an earlier request")
	}
	l.receive(&nats.Msg{Subject: "inbox.2", Header: deleted})
	if l.ended != endMissing {
		t.Errorf("ended as %d, want %d", l.ended, endMissing)
	}
}

// What a cluster says while it elects somebody, or while servers are away, is
// waited for; what a person has to change is not.
func TestPassing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"no leader":            {&jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		"not the leader":       {&jetstream.APIError{Code: 500, ErrorCode: 10009}, true},
		"too few servers":      {&jetstream.APIError{Code: 400, ErrorCode: 10005}, true},
		"stream offline":       {&jetstream.APIError{Code: 500, ErrorCode: 10118}, true},
		"consumer offline":     {&jetstream.APIError{Code: 500, ErrorCode: 10119}, true},
		"no answer":            {context.DeadlineExceeded, true},
		"not connected":        {nats.ErrReconnectBufExceeded, true},
		"nobody listens":       {nats.ErrNoResponders, true},
		"called off":           {context.Canceled, false},
		"closed":               {nats.ErrConnectionClosed, false},
		"no room":              {&jetstream.APIError{Code: 500, ErrorCode: 10047}, false},
		"replicas without one": {&jetstream.APIError{Code: 500, ErrorCode: 10074}, false},
		"incompatible":         {ErrIncompatible, false},
	} {
		if got := passing(fmt.Errorf("nats: %w", test.err)); got != test.want {
			t.Errorf("%s: passing is %t, want %t", name, got, test.want)
		}
	}
}
