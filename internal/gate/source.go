package gate

import (
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/labstack/echo/v4"
)

// sources tells where requests come from. A header that names the client is
// believed only from proxies that the operator named: anybody can write it.
type sources struct {
	proxies []netip.Prefix
	// behind reads X-Forwarded-For from its right end, where the nearest proxy
	// wrote, to the first address that is no proxy of ours.
	behind echo.IPExtractor
}

func newSources(proxies []netip.Prefix) sources {
	// Echo trusts private networks unless it is told not to.
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, proxy := range proxies {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: proxy.Addr().AsSlice(), Mask: net.CIDRMask(proxy.Bits(), proxy.Addr().BitLen()),
		}))
	}
	return sources{proxies: proxies, behind: echo.ExtractIPFromXFFHeader(options...)}
}

// of returns the client's network. It never leaves memory: no log line, table
// or answer has it.
func (s *sources) of(request *http.Request) netip.Prefix {
	peer := addressOf(request.RemoteAddr)
	if !s.trusts(peer) {
		return network(peer)
	}
	named, err := netip.ParseAddr(s.behind(request))
	if err != nil {
		return network(peer)
	}
	return network(named)
}

// trusts says whether peer is a proxy of ours.
func (s *sources) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(proxy netip.Prefix) bool { return proxy.Contains(peer) })
}

// addressOf is the address in a connection's "host:port", the zero one where
// there is none, as on a Unix socket.
func addressOf(hostPort string) netip.Addr {
	peer, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap()
}

// subscriber is the part of an IPv6 address that whoever has one has whole:
// with the rest they could come from a new address with every request.
const subscriber = 64

// network is what counts as one address.
func network(address netip.Addr) netip.Prefix {
	address = address.Unmap()
	bits := address.BitLen()
	if address.Is6() {
		bits = subscriber
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
