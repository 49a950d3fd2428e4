package ingest

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/event"
)

// labelledKeys is how many keys have series of their own, for as long as this
// process lives: an operator makes keys by the dozen, and each can cost a series
// for every code.
const labelledKeys = 200

// Keys that have no series of their own.
const (
	keyAnonymous = "anonymous" // a request without a key
	keyOther     = "other"     // one beyond labelledKeys
)

// rejectedByKey counts rejected events by who sent them, so that an operator
// sees which application is broken. The label is the public id of a key that was
// found valid: no client can invent one.
type rejectedByKey struct {
	counters *prometheus.CounterVec

	mu   sync.Mutex
	keys map[string]bool
}

func newRejectedByKey(counters *prometheus.CounterVec) *rejectedByKey {
	return &rejectedByKey{counters: counters, keys: make(map[string]bool)}
}

// label returns what a key is called in the series.
func (r *rejectedByKey) label(keyID string) string {
	if keyID == "" {
		return keyAnonymous
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.keys[keyID]:
	case len(r.keys) >= labelledKeys:
		return keyOther
	default:
		r.keys[keyID] = true
	}
	return keyID
}

// count adds the rejections of a batch that was acknowledged.
func (r *rejectedByKey) count(keyID string, rejected []event.Rejection) {
	if len(rejected) == 0 {
		return
	}
	key := r.label(keyID)
	for i := range rejected {
		code := string(rejected[i].Code)
		if !rejected[i].Code.Valid() {
			code = keyOther
		}
		r.counters.WithLabelValues(key, code).Inc()
	}
}
