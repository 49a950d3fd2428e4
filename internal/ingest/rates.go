package ingest

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
	// second, in requests and in bytes of inflated bodies.
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
// building of them behind each address.
func DefaultRates() Rates {
	return Rates{
		KeyRequests: 1000, KeyBytes: 32 << 20,
		AddressRequests: 100, AddressBytes: 8 << 20,
		Burst: 10 * time.Second, AuthFailures: 30, Remembered: 20_000, HighFactor: 100,
	}
}

// validate reports rates that make no sense beside the largest body, all at
// once. A body larger than what a bucket holds would never be let in.
func (r Rates) validate(largestBody int64) error {
	var errs []error
	for _, bound := range []struct {
		name         string
		value, least int64
	}{
		{"key requests", int64(r.KeyRequests), 1},
		{"key bytes", r.KeyBytes, 1},
		{"address requests", int64(r.AddressRequests), 1},
		{"address bytes", r.AddressBytes, 1},
		{"burst", int64(r.Burst), int64(time.Second)},
		{"burst of key bytes", saved(r.KeyBytes, r.Burst), largestBody},
		{"burst of address bytes", saved(r.AddressBytes, r.Burst), largestBody},
		{"failed keys per minute", int64(r.AuthFailures), 1},
		{"remembered clients", int64(r.Remembered), 1},
		{"high factor", int64(r.HighFactor), 1},
	} {
		if bound.value < bound.least {
			errs = append(errs, fmt.Errorf("ingest: rates: %s is %d, must be at least %d", bound.name, bound.value, bound.least))
		}
	}
	if float64(r.KeyBytes)*r.Burst.Seconds()*float64(r.HighFactor) > math.MaxInt64/2 {
		errs = append(errs, errors.New("ingest: rates: the burst of a key with high rates is too large to count"))
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
	unit   string
	rate   rate.Limit
	burst  int
	phrase string
}

// class is the quotas of one kind of key.
type class struct {
	key, address struct{ requests, bytes quota }
	// header is the value of RateLimit-Policy; it is shared by all answers.
	header []string
}

// newClass makes the quotas of keys that may send factor times as fast.
func (r Rates) newClass(factor int) *class {
	n := int64(factor)
	of := func(code, policy, unit string, perSecond int64, phrase string) quota {
		return quota{code, policy, unit, rate.Limit(perSecond * n), int(saved(perSecond*n, r.Burst)), fmt.Sprintf(phrase, perSecond*n)}
	}
	c := new(class)
	c.key.requests = of(codeKeyRequests, "replica-key-requests", "", int64(r.KeyRequests), "%d requests a second with one API key")
	c.key.bytes = of(codeKeyBytes, "replica-key-bytes", unitBytes, r.KeyBytes, "%d bytes a second with one API key")
	c.address.requests = of(codeAddressRequests, "replica-address-requests", "", int64(r.AddressRequests), "%d requests a second with one API key from one address")
	c.address.bytes = of(codeAddressBytes, "replica-address-bytes", unitBytes, r.AddressBytes, "%d bytes a second with one API key from one address")
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

func (s *Server) newLimits(r Rates) (*limits, error) {
	if err := r.validate(s.options.Limits.InflatedBytes); err != nil {
		return nil, err
	}
	r.HighKeys = slices.Clone(r.HighKeys)
	l := &limits{rates: r, normal: r.newClass(1), high: r.newClass(r.HighFactor)}
	var errs [3]error
	l.keys, errs[0] = newPurses(r.Remembered, s.metrics.forgottenClients)
	l.clients, errs[1] = newPurses(r.Remembered, s.metrics.forgottenClients)
	l.failures, errs[2] = newFailures(r.AuthFailures, r.Remembered, s.metrics.forgottenClients)
	return l, errors.Join(errs[:]...)
}

// SetRates replaces the rates while the server runs. What clients had used up
// is forgotten. The error is that of [New] for such rates; nothing changes then.
func (s *Server) SetRates(r Rates) error {
	l, err := s.newLimits(r)
	if err == nil {
		s.limits.Store(l)
	}
	return err
}

// measure counts a request whose key was found right, and refuses it when its
// client, or all clients of its key, sent too many.
//
// The client's own buckets come first: one that is refused there uses up
// nothing of what it shares with others.
func (s *Server) measure(x *exchange) error {
	l := s.limits.Load()
	owner := x.keyID
	if owner == "" {
		owner = "tenant " + x.tenant // all who come without a key
	}
	of := l.normal
	if slices.Contains(l.rates.HighKeys, x.keyID) {
		of = l.high
	}
	x.allowance = allowance{
		class: of, at: s.deps.Now(),
		address: l.clients.of(client{owner, x.source}, &of.address.requests, &of.address.bytes),
		key:     l.keys.of(client{owner, netip.Prefix{}}, &of.key.requests, &of.key.bytes),
	}
	return x.allowance.takeRequest()
}
