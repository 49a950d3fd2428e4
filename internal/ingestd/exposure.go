package ingestd

import (
	"context"
	"reflect"
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

// Favour lets one more key send at the higher rates, whatever is reloaded. It
// is for a pipeline that makes its own key, and comes before Run.
func (i *Ingest) Favour(keyID string) error {
	i.favoured = append(i.favoured, keyID)
	return i.setRates(i.rates)
}

// Reload takes over the rates of cfg and nothing else: what bounds memory goes
// with the memory that the process was given, and the rest is part of a listener
// or of a connection. It is called by one goroutine at a time, during Run.
func (i *Ingest) Reload(_ context.Context, cfg *config.Ingest) error {
	return i.setRates(ratesOf(&cfg.Rates))
}

// setRates puts rates to work, unless they are. The exception matters: new rates
// forget what clients have used up.
func (i *Ingest) setRates(rates ingest.Rates) error {
	for _, keyID := range i.favoured {
		if !slices.Contains(rates.HighKeys, keyID) {
			rates.HighKeys = append(slices.Clone(rates.HighKeys), keyID)
		}
	}
	if reflect.DeepEqual(rates, i.rates) {
		return nil
	}
	if err := i.server.SetRates(rates); err != nil {
		return err
	}
	i.rates = rates
	return nil
}

// URL is where clients on this machine reach the edge.
func (i *Ingest) URL() string {
	if i.certificate != nil {
		return "https://" + i.Addr()
	}
	return "http://" + i.Addr()
}
