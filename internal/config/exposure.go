package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Exposure is how a service faces its clients: who may come in, from where, and
// how many at once.
type Exposure struct {
	CORSOrigins        Origins       `name:"cors_origins" help:"Web origins whose pages may call the API, such as https://tours.example.com; empty: none; *: any, without credentials and not in production."`
	TrustedProxies     Networks      `name:"trusted_proxies" help:"Addresses or networks of proxies whose X-Forwarded-For names the client; empty: none, and the connection names it."`
	TLSCertFile        string        `name:"tls_cert_file" check:"file" help:"PEM file with the certificate and its chain; with tls_key_file the service serves TLS, read again when it changes."`
	TLSKeyFile         string        `name:"tls_key_file" check:"file" help:"PEM file with the certificate's private key."`
	MaxConnections     int           `name:"max_connections" default:"10000" min:"1" max:"1000000" help:"Most connections of clients; a tenth more is answered 503, and more than that closed."`
	AddressConnections int           `name:"max_connections_per_address" default:"500" min:"1" max:"1000000" help:"Most connections of one client address (IPv6: of one /64); trusted proxies are not counted."`
	HeaderBytes        Bytes         `name:"max_header_bytes" default:"16KiB" min:"4KiB" max:"1MiB" help:"Largest header of a request, its first line included."`
	Headers            int           `name:"max_headers" default:"100" min:"10" max:"10000" help:"Most header fields of a request."`
	HeaderTimeout      time.Duration `name:"header_timeout" default:"10s" min:"1s" max:"5m" help:"How long a client may take to send a header, TLS handshake included."`
	IdleTimeout        time.Duration `name:"idle_timeout" default:"2m" min:"1s" max:"1h" help:"How long a connection may lie idle between two requests."`
}

// Validate reports settings of which one needs or forbids another.
func (e *Exposure) Validate() error {
	var errs []error
	if (e.TLSCertFile == "") != (e.TLSKeyFile == "") {
		errs = append(errs, fmt.Errorf("%s and %s are needed together", title("tls_cert_file"), title("tls_key_file")))
	}
	if e.AddressConnections > e.MaxConnections {
		errs = append(errs, fmt.Errorf("%s is %d, above %s with %d",
			title("max_connections_per_address"), e.AddressConnections, title("max_connections"), e.MaxConnections))
	}
	return errors.Join(errs...)
}

// checkProduction reports what only development may leave open.
func (e *Exposure) checkProduction(p *Process) error {
	if p.Environment == Production && slices.Contains(e.CORSOrigins, anyOrigin) {
		return fmt.Errorf("%s must list the origins in production, not *", title("cors_origins"))
	}
	return nil
}

// check reports an intake that anybody on the web could post to, meant or not.
func (h *HTTP) check(p *Process, e *Exposure) error {
	var errs []error
	if p.Environment == Production && h.AnonymousTenant != "" && !h.AnonymousInProduction {
		errs = append(errs, fmt.Errorf("%s lets anybody post; in production this needs %s as well",
			title("anonymous_tenant"), title("anonymous_in_production")))
	}
	if h.CORSCredentials && slices.Contains(e.CORSOrigins, anyOrigin) {
		errs = append(errs, fmt.Errorf("%s must list the origins when %s is on: with * every page on the web could act for its visitors",
			title("cors_origins"), title("cors_credentials")))
	}
	return errors.Join(errs...)
}

// anyOrigin stands for every web origin.
const anyOrigin = "*"

// Origins are web origins, scheme and host and perhaps port each, or "*".
type Origins []string

// String returns the origins as a list.
func (o Origins) String() string { return strings.Join(o, ",") }

// UnmarshalText reads a list of origins, each in exactly the form in which a
// browser sends it: what differs in a letter would silently allow nobody.
func (o *Origins) UnmarshalText(text []byte) error {
	*o = nil
	for _, origin := range split(string(text)) {
		u, err := url.Parse(origin)
		exact := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
			origin == u.Scheme+"://"+u.Host && origin == strings.ToLower(origin) && !strings.ContainsAny(origin, "*?")
		switch {
		case origin == anyOrigin, exact:
			*o = append(*o, origin)
		default:
			return fmt.Errorf("%q is no origin such as https://tours.example.com: scheme, host and perhaps port, in small letters, no path, no pattern", origin)
		}
	}
	return nil
}

// Networks are networks of IP addresses.
type Networks []netip.Prefix

// String returns the networks as a list.
func (n Networks) String() string {
	texts := make([]string, len(n))
	for i, network := range n {
		texts[i] = network.String()
	}
	return strings.Join(texts, ",")
}

// UnmarshalText reads a list of addresses and networks in CIDR form.
func (n *Networks) UnmarshalText(text []byte) error {
	*n = nil
	for _, one := range split(string(text)) {
		network, err := netip.ParsePrefix(one)
		if address, addressErr := netip.ParseAddr(one); addressErr == nil && address.Zone() == "" {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		switch {
		case err != nil:
			return fmt.Errorf("%q is no address or network such as 10.0.0.7 or 10.0.0.0/24", one)
		case network != network.Masked():
			return fmt.Errorf("%q has bits beside its mask, did you mean %s?", one, network.Masked())
		case network.Bits() == 0:
			// Every client could then choose the address that it is known by.
			return fmt.Errorf("%q is everybody", one)
		}
		*n = append(*n, network)
	}
	return nil
}
