package gate

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/time/rate"
)

// Rates bound how fast clients may send to this replica. They protect it and
// the queue behind it and are no quota: every replica counts for itself.
type Rates struct {
	// KeyRequests and KeyBytes are what all clients of one key may send in a
	// second, in requests and in bytes of inflated bodies. Bytes are 0 where
	// requests have no bodies; see [Options.LargestBody].
	KeyRequests int
	KeyBytes    int64
	// AddressRequests and AddressBytes are the same for one key from one client
	// address, so that one of a fleet cannot use up what all of it share.
	AddressRequests int
	AddressBytes    int64
	// Burst is how long a client that paused may have saved up for.
	Burst time.Duration
	// AuthFailures is how many wrong keys an address may send in a minute.
	AuthFailures int
	// Remembered bounds what is remembered of clients: the pairs of key and
	// address, the keys, the addresses that sent wrong keys.
	Remembered int
	// HighKeys are ids of keys that may send HighFactor times as fast.
	HighKeys   []string
	HighFactor int
}

// DefaultRates suit a fleet of some hundred headsets behind each key, and a
// building of them behind each address. Readers are fewer.
func DefaultRates() Rates {
	return Rates{
		KeyRequests: 1000, KeyBytes: 32 << 20,
		AddressRequests: 100, AddressBytes: 8 << 20,
		Burst: 10 * time.Second, AuthFailures: 30, Remembered: 20_000, HighFactor: 100,
	}
}

// validate reports rates that make no sense beside the largest body, all at
// once. A body larger than what a bucket holds would never be let in, and where
// there are no bodies there is no rate of them.
func (r Rates) validate(largestBody int64) error {
	var errs []error
	for _, bound := range []struct {
		name         string
		value, least int64
	}{
		{"key requests", int64(r.KeyRequests), 1},
		{"key bytes", r.KeyBytes, min(largestBody, 1)},
		{"address requests", int64(r.AddressRequests), 1},
		{"address bytes", r.AddressBytes, min(largestBody, 1)},
		{"burst", int64(r.Burst), int64(time.Second)},
		{"burst of key bytes", saved(r.KeyBytes, r.Burst), largestBody},
		{"burst of address bytes", saved(r.AddressBytes, r.Burst), largestBody},
		{"failed keys per minute", int64(r.AuthFailures), 1},
		{"remembered clients", int64(r.Remembered), 1},
		{"high factor", int64(r.HighFactor), 1},
	} {
		if bound.value < bound.least {
			errs = append(errs, fmt.Errorf("gate: rates: %s is %d, must be at least %d", bound.name, bound.value, bound.least))
		}
	}
	if largestBody == 0 && (r.KeyBytes != 0 || r.AddressBytes != 0) {
		errs = append(errs, errors.New("gate: rates: bytes are limited where requests have no bodies"))
	}
	if float64(r.KeyBytes)*r.Burst.Seconds()*float64(r.HighFactor) > math.MaxInt64/2 {
		errs = append(errs, errors.New("gate: rates: the burst of a key with high rates is too large to count"))
	}
	return errors.Join(errs...)
}

// saved is what a rate a second comes to in d.
func saved(perSecond int64, d time.Duration) int64 { return int64(float64(perSecond) * d.Seconds()) }

// quota is one of the limits that a request is measured by.
type quota struct {
	// code is the refusal's, and names the limit in the metrics.
	code string
	// policy is the name in the RateLimit headers.
	policy string
	// unit is what is counted, as the headers call it; "" is requests.
	unit  string
	rate  rate.Limit
	burst int
	// detail is the refusal's text.
	detail string
}

// measured says whether there is such a limit.
func (q *quota) measured() bool { return q.rate > 0 }

// class is the quotas of one kind of key.
type class struct {
	key, address struct{ requests, bytes quota }
	// header is the value of RateLimit-Policy; it is shared by all answers.
	header []string
}

// newClass makes the quotas of keys that may send factor times as fast.
func (r Rates) newClass(factor int, words *Wording) *class {
	n := int64(factor)
	of := func(code, policy, unit string, perSecond int64, phrase string) quota {
		detail := fmt.Sprintf("This server takes "+phrase+", and more has come. Other replicas count for themselves. "+
			"%sSend %s again after the time in Retry-After.", perSecond*n, words.Assurance, words.Again)
		return quota{code, policy, unit, rate.Limit(perSecond * n), int(saved(perSecond*n, r.Burst)), detail}
	}
	c := new(class)
	c.key.requests = of(KeyRequests, "replica-key-requests", "", int64(r.KeyRequests), "%d requests a second with one API key")
	c.key.bytes = of(KeyBytes, "replica-key-bytes", unitBytes, r.KeyBytes, "%d bytes a second with one API key")
	c.address.requests = of(AddressRequests, "replica-address-requests", "", int64(r.AddressRequests), "%d requests a second with one API key from one address")
	c.address.bytes = of(AddressBytes, "replica-address-bytes", unitBytes, r.AddressBytes, "%d bytes a second with one API key from one address")
	c.header = []string{policies(r.Burst, &c.key.requests, &c.key.bytes, &c.address.requests, &c.address.bytes)}
	return c
}

// limits are the rates at work, with what is remembered of clients. They are
// replaced as a whole when rates change. They are safe for concurrent use.
type limits struct {
	rates         Rates
	normal, high  *class
	keys, clients *purses
	failures      *failures
}

func (g *Guard) newLimits(r Rates) (*limits, error) {
	if err := r.validate(g.options.LargestBody); err != nil {
		return nil, err
	}
	r.HighKeys = slices.Clone(r.HighKeys)
	l := &limits{rates: r, normal: r.newClass(1, &g.options.Wording), high: r.newClass(r.HighFactor, &g.options.Wording)}
	var errs [3]error
	l.keys, errs[0] = newPurses(r.Remembered, g.metrics.forgottenClients)
	l.clients, errs[1] = newPurses(r.Remembered, g.metrics.forgottenClients)
	l.failures, errs[2] = newFailures(r.AuthFailures, r.Remembered, g.metrics.forgottenClients)
	return l, errors.Join(errs[:]...)
}

// SetRates replaces the rates while the server runs. What clients had used up
// is forgotten. The error is that of [New] for such rates; nothing changes then.
func (g *Guard) SetRates(r Rates) error {
	l, err := g.newLimits(r)
	if err == nil {
		g.limits.Store(l)
	}
	return err
}

// measure counts a request whose key was found right, and refuses it when its
// client, or all clients of its key, sent too many.
//
// The client's own buckets come first: one that is refused there uses up
// nothing of what it shares with others.
func (g *Guard) measure(x *Exchange) error {
	l := g.limits.Load()
	owner := x.KeyID
	if owner == "" {
		owner = "tenant " + x.Tenant // all who come without a key
	}
	of := l.normal
	if slices.Contains(l.rates.HighKeys, x.KeyID) {
		of = l.high
	}
	x.allowance = allowance{
		class: of, at: g.deps.Now(),
		address: l.clients.of(client{owner, x.source}, &of.address.requests, &of.address.bytes),
		key:     l.keys.of(client{owner, netip.Prefix{}}, &of.key.requests, &of.key.bytes),
	}
	return x.allowance.takeRequest()
}
