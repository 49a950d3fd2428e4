package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateInterval is how often, at most, the files of a certificate are
// looked at. A new one is in use this long after it was written.
const certificateInterval = 10 * time.Second

// certificate is a TLS certificate that follows its files: it is renewed every
// few weeks, and nobody restarts a service for that. It is safe for concurrent
// use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu       sync.Mutex // guards what follows
	current  *tls.Certificate
	lookedAt time.Time
	// read are the states of the files that current, or the last failed attempt,
	// was read from.
	read [2]fileState
}

// fileState tells one content of a file from another.
type fileState struct {
	modified time.Time
	size     int64
}

// loadCertificate reads the files. The error names them.
func loadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: now, lookedAt: now()}
	var err error
	if c.read, err = c.state(); err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	if c.current, err = c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the TLS certificate of %s and %s: %w", c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

func (c *certificate) state() (states [2]fileState, err error) {
	for i, path := range [...]string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(path)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		states[i] = fileState{info.ModTime(), info.Size()}
	}
	return states, err
}

// get is a TLS configuration's GetCertificate. Files that cannot be read, or
// are written just now, change nothing: the certificate that was good stays in
// use, and the log says so once.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.lookedAt) >= certificateInterval {
		c.lookedAt = now
		c.follow(hello.Context())
	}
	return c.current, nil
}

// follow reads the files again when they have changed. The caller holds mu.
func (c *certificate) follow(ctx context.Context) {
	states, err := c.state()
	if states == c.read {
		return
	}
	c.read = states
	var fresh *tls.Certificate
	if err == nil {
		fresh, err = c.load()
	}
	if err != nil {
		c.log.WarnContext(ctx, "changed tls certificate not usable, the old one stays", "error", err)
		return
	}
	c.current = fresh
	c.log.InfoContext(ctx, "tls certificate changed", "not_after", fresh.Leaf.NotAfter)
}

// config is the server's TLS configuration.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}
