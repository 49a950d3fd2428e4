package ingestd

import (
	"slices"

	"github.com/nexero-vr/nexero/internal/config"
	"github.com/nexero-vr/nexero/internal/ingest"
)

func exposureOf(cfg *config.Exposure) ingest.Exposure {
	return ingest.Exposure{
		TrustedProxies:           cfg.TrustedProxies,
		CORSOrigins:              cfg.CORSOrigins,
		CORSCredentials:          cfg.CORSCredentials,
		TLS:                      cfg.TLSCertFile != "",
		MaxConnections:           cfg.MaxConnections,
		MaxConnectionsPerAddress: cfg.AddressConnections,
		MaxHeaderBytes:           int(cfg.HeaderBytes),
		MaxHeaders:               cfg.Headers,
		HeaderTimeout:            cfg.HeaderTimeout,
		IdleTimeout:              cfg.IdleTimeout,
	}
}

func ratesOf(cfg *config.Rates) ingest.Rates {
	return ingest.Rates{
		KeyRequests: cfg.KeyRequests, KeyBytes: int64(cfg.KeyBytes),
		AddressRequests: cfg.AddressRequests, AddressBytes: int64(cfg.AddressBytes),
		Burst: cfg.Burst, AuthFailures: cfg.AuthFailures, Remembered: cfg.Remembered,
		HighKeys: cfg.HighKeys, HighFactor: cfg.HighFactor,
	}
}

// Favour lets one more key send at the higher rates. It is for a pipeline that
// makes its own key, and comes before Run.
func (i *Ingest) Favour(keyID string) error {
	i.rates.HighKeys = append(slices.Clone(i.rates.HighKeys), keyID)
	return i.server.SetRates(i.rates)
}

// URL is where clients on this machine reach the edge.
func (i *Ingest) URL() string {
	if i.certificate != nil {
		return "https://" + i.Addr()
	}
	return "http://" + i.Addr()
}
