package front

import (
	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/gate"
)

// Exposure is what settings say of how a service faces the network.
func Exposure(cfg *config.Exposure) gate.Exposure {
	return gate.Exposure{
		TrustedProxies:           cfg.TrustedProxies,
		CORSOrigins:              cfg.CORSOrigins,
		TLS:                      cfg.TLSCertFile != "",
		MaxConnections:           cfg.MaxConnections,
		MaxConnectionsPerAddress: cfg.AddressConnections,
		MaxHeaderBytes:           int(cfg.HeaderBytes),
		MaxHeaders:               cfg.Headers,
		HeaderTimeout:            cfg.HeaderTimeout,
		IdleTimeout:              cfg.IdleTimeout,
	}
}

// Rates is what settings say of how fast clients may ask. Bytes are not among
// them: not every service has bodies.
func Rates(cfg *config.Rates) gate.Rates {
	return gate.Rates{
		KeyRequests: cfg.KeyRequests, AddressRequests: cfg.AddressRequests,
		Burst: cfg.Burst, AuthFailures: cfg.AuthFailures, Remembered: cfg.Remembered,
		HighKeys: cfg.HighKeys, HighFactor: cfg.HighFactor,
	}
}
