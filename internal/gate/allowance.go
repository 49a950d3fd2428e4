package gate

import (
	"fmt"
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// client is who a bucket belongs to: a key, at an address or everywhere.
type client struct {
	owner  string
	source netip.Prefix
}

// purse is what one client has left, in requests and in bytes; bytes is nil
// where they are not measured.
type purse struct{ requests, bytes *rate.Limiter }

// purses are the purses of many clients, by a hash of who they are: addresses
// are held no longer than a request. They are safe for concurrent use.
type purses struct {
	seed      maphash.Seed
	forgotten prometheus.Counter

	mu     sync.Mutex // guards recent, and makes finding and adding one step
	recent *simplelru.LRU[uint64, *purse]
}

func newPurses(most int, forgotten prometheus.Counter) (*purses, error) {
	recent, err := simplelru.NewLRU[uint64, *purse](most, nil)
	return &purses{seed: maphash.MakeSeed(), forgotten: forgotten, recent: recent}, err
}

// of returns who's purse, a full one for somebody new.
func (p *purses) of(who client, requests, bytes *quota) *purse {
	id := maphash.Comparable(p.seed, who)
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.recent.Get(id); ok {
		return known
	}
	fresh := &purse{requests: rate.NewLimiter(requests.rate, requests.burst)}
	if bytes.measured() {
		fresh.bytes = rate.NewLimiter(bytes.rate, bytes.burst)
	}
	if p.recent.Add(id, fresh) {
		p.forgotten.Inc()
	}
	return fresh
}

// allowance is what one request is measured by. Its zero value measures
// nothing, as befits a request whose key was not found right.
type allowance struct {
	class        *class
	address, key *purse
	// at is the time of measuring. One for the whole request: a limiter's time
	// must not go back and forth.
	at time.Time
	// charged are the bytes that were paid for.
	charged int64
}

func (a *allowance) takeRequest() error {
	if !a.address.requests.AllowN(a.at, 1) {
		return tooFast(&a.class.address.requests, a.address.requests, 1, a.at)
	}
	if !a.key.requests.AllowN(a.at, 1) {
		return tooFast(&a.class.key.requests, a.key.requests, 1, a.at)
	}
	return nil
}

// TakeBytes pays for a body of a stated size before any of it is read; size is
// -1 for a body that does not say it, which needs one byte to be left. Who owes
// bytes is refused whatever the size. The error is a [Problem].
func (x *Exchange) TakeBytes(size int64) error {
	a := &x.allowance
	if !a.measuresBytes() {
		return nil
	}
	n := int(size)
	if size < 0 {
		n = 1
	}
	if !a.address.bytes.AllowN(a.at, n) {
		return tooFast(&a.class.address.bytes, a.address.bytes, n, a.at)
	}
	if !a.key.bytes.AllowN(a.at, n) {
		return tooFast(&a.class.key.bytes, a.key.bytes, n, a.at)
	}
	a.charged = int64(n)
	return nil
}

// measuresBytes says whether the request has a client, and bytes count.
func (a *allowance) measuresBytes() bool { return a.class != nil && a.key.bytes != nil }

// Settle pays for what a body turned out to be beyond what it had said, because
// it did not say it or was compressed. It is there already, so it is not
// refused: the client owes it, and its next request waits.
func (x *Exchange) Settle(size int64) {
	a := &x.allowance
	owed := int(size - a.charged)
	if owed <= 0 || !a.measuresBytes() {
		return
	}
	a.address.bytes.ReserveN(a.at, min(owed, a.class.address.bytes.burst))
	a.key.bytes.ReserveN(a.at, min(owed, a.class.key.bytes.burst))
	a.charged = size
}

// tooFast is the refusal of somebody who wants n of a limit and has fewer.
func tooFast(q *quota, left *rate.Limiter, n int, now time.Time) *Problem {
	missing := float64(n) - left.TokensAt(now)
	p := Refused(q.code, q.detail)
	p.Wait = time.Duration(missing / float64(q.rate) * float64(time.Second))
	return p
}

// unitBytes is how the RateLimit headers call bytes; requests need no name.
const unitBytes = "content-bytes"

// policies is the value of RateLimit-Policy: how much of what in how many
// seconds. The names say that it is one replica's.
func policies(window time.Duration, quotas ...*quota) string {
	var out strings.Builder
	for _, q := range quotas {
		if !q.measured() {
			continue
		}
		if out.Len() > 0 {
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%q;q=%d;w=%d", q.policy, q.burst, int64(window.Seconds()))
		if q.unit != "" {
			fmt.Fprintf(&out, ";qu=%q", q.unit)
		}
	}
	return out.String()
}

// describe adds the RateLimit headers of the IETF's draft: all policies, and
// what is left of the one that is nearest to its end.
func (a *allowance) describe(header http.Header) {
	if a.class == nil {
		return
	}
	var nearest *quota
	var tokens, share float64
	for _, one := range [...]struct {
		*quota
		left *rate.Limiter
	}{
		{&a.class.key.requests, a.key.requests},
		{&a.class.key.bytes, a.key.bytes},
		{&a.class.address.requests, a.address.requests},
		{&a.class.address.bytes, a.address.bytes},
	} {
		if one.left == nil {
			continue
		}
		left := one.left.TokensAt(a.at)
		if part := left / float64(one.burst); nearest == nil || part < share {
			nearest, tokens, share = one.quota, left, part
		}
	}
	value := make([]byte, 0, 64)
	value = strconv.AppendQuote(value, nearest.policy)
	value = append(value, ";r="...)
	value = strconv.AppendInt(value, int64(max(tokens, 0)), 10)
	value = append(value, ";t="...)
	value = strconv.AppendInt(value, int64(math.Ceil((float64(nearest.burst)-tokens)/float64(nearest.rate))), 10)
	header["Ratelimit-Policy"] = a.class.header
	header["Ratelimit"] = []string{string(value)}
}
