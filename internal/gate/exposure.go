package gate

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Exposure is how a service faces the network.
type Exposure struct {
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// CORSOrigins are the web origins whose pages may call the API, "*" for any;
	// CORSCredentials lets browsers add what they know, never together with "*".
	CORSOrigins     []string
	CORSCredentials bool
	// TLS says that the service itself serves TLS, so browsers may insist on it.
	TLS bool
	// MaxConnections bounds connections, MaxConnectionsPerAddress those of one
	// client address. They work on a listener of [Guard.Limit].
	MaxConnections, MaxConnectionsPerAddress int
	// MaxHeaderBytes and MaxHeaders bound a request's header, its first line
	// included, in bytes and in fields.
	MaxHeaderBytes, MaxHeaders int
	// HeaderTimeout is how long a header may take, IdleTimeout how long a
	// connection may lie idle before one.
	HeaderTimeout, IdleTimeout time.Duration
}

// DefaultExposure is that of a server which browsers and proxies have nothing
// to do with.
func DefaultExposure() Exposure {
	return Exposure{
		MaxConnections: 10_000, MaxConnectionsPerAddress: 500,
		MaxHeaderBytes: 16 << 10, MaxHeaders: 100,
		HeaderTimeout: 10 * time.Second,
		// Longer than the pauses between the posts of a headset.
		IdleTimeout: 2 * time.Minute,
	}
}

// Validate reports every bound that makes no sense, all at once.
func (e *Exposure) Validate() error {
	var errs []error
	for _, bound := range []struct {
		name         string
		value, least int64
	}{
		{"max connections", int64(e.MaxConnections), 1},
		{"max connections per address", int64(e.MaxConnectionsPerAddress), 1},
		{"max header bytes", int64(e.MaxHeaderBytes), 1},
		{"max headers", int64(e.MaxHeaders), 1},
		{"header timeout", int64(e.HeaderTimeout), int64(time.Millisecond)},
		{"idle timeout", int64(e.IdleTimeout), int64(time.Millisecond)},
	} {
		if bound.value < bound.least {
			errs = append(errs, fmt.Errorf("gate: %s is %d, must be at least %d", bound.name, bound.value, bound.least))
		}
	}
	if e.CORSCredentials && slices.Contains(e.CORSOrigins, anyOrigin) {
		errs = append(errs, errors.New("gate: any origin together with credentials would let every page act for its visitors"))
	}
	return errors.Join(errs...)
}
