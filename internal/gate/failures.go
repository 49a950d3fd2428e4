package gate

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// failures bound how many wrong keys an address may try. An address beyond that
// is refused before its key is looked at. Behind one address there may be a
// building of headsets, and a single one with a wrong key must not silence the
// others: keys that were right before are always looked at, and a wrong key that
// is sent again and again is counted apart from keys that were never seen. It is
// safe for concurrent use.
type failures struct {
	// seed is this process's own: nobody can make a key that looks like another.
	seed      maphash.Seed
	perMinute int
	forgotten prometheus.Counter
	// right and wrong are hashes of the keys that were found so lately.
	right, wrong *lru.Cache[uint64, struct{}]

	mu        sync.Mutex // guards addresses, and makes finding and adding one step
	addresses *simplelru.LRU[uint64, *tries]
}

// tries are the wrong keys that an address may send.
type tries struct{ fresh, repeated *rate.Limiter }

func newFailures(perMinute, most int, forgotten prometheus.Counter) (*failures, error) {
	f := &failures{seed: maphash.MakeSeed(), perMinute: perMinute, forgotten: forgotten}
	var errs [3]error
	f.right, errs[0] = lru.New[uint64, struct{}](most)
	f.wrong, errs[1] = lru.New[uint64, struct{}](most)
	f.addresses, errs[2] = simplelru.NewLRU[uint64, *tries](most, nil)
	return f, errors.Join(errs[:]...)
}

// blocked says how long the address has to wait until key is looked at; 0 means
// now.
func (f *failures) blocked(source netip.Prefix, key string, now time.Time) time.Duration {
	f.mu.Lock()
	of, ok := f.addresses.Get(maphash.Comparable(f.seed, source))
	f.mu.Unlock()
	if !ok {
		return 0
	}
	id := maphash.String(f.seed, key)
	if f.right.Contains(id) {
		return 0
	}
	left := of.fresh
	if f.wrong.Contains(id) {
		left = of.repeated
	}
	missing := 1 - left.TokensAt(now)
	return time.Duration(max(missing, 0) / float64(left.Limit()) * float64(time.Second))
}

// failed counts a key that was wrong, or is no longer right.
func (f *failures) failed(source netip.Prefix, key string, now time.Time) {
	id := maphash.String(f.seed, key)
	f.right.Remove(id)
	of := f.triesOf(source)
	if _, again := f.wrong.Get(id); again {
		of.repeated.AllowN(now, 1)
		return
	}
	f.wrong.Add(id, struct{}{})
	of.fresh.AllowN(now, 1)
}

func (f *failures) triesOf(source netip.Prefix) *tries {
	id := maphash.Comparable(f.seed, source)
	f.mu.Lock()
	defer f.mu.Unlock()
	if of, ok := f.addresses.Get(id); ok {
		return of
	}
	perSecond := rate.Limit(float64(f.perMinute) / time.Minute.Seconds())
	of := &tries{rate.NewLimiter(perSecond, f.perMinute), rate.NewLimiter(perSecond, f.perMinute)}
	if f.addresses.Add(id, of) {
		f.forgotten.Inc()
	}
	return of
}

// succeeded remembers a key that was right.
func (f *failures) succeeded(key string) {
	id := maphash.String(f.seed, key)
	if _, known := f.right.Get(id); !known {
		f.right.Add(id, struct{}{})
		f.wrong.Remove(id)
	}
}
