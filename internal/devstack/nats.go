package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// DefaultMaxPayload is the largest message, in bytes. It must hold the
	// largest envelope that ingest makes.
	DefaultMaxPayload = 8 << 20
	// DefaultMaxStore is what streams and buckets may take on disk, in bytes.
	DefaultMaxStore = 10 << 30

	natsUser      = "nexero"
	natsMemory    = 256 << 20        // for memory streams, of which we have none
	natsReadyWait = 60 * time.Second // from when the streams are read back
	// Below 25 ms the server would spin instead of waiting.
	natsReadyTick = 50 * time.Millisecond
)

// NATSConfig says how the private NATS server runs.
type NATSConfig struct {
	// StoreDir holds the streams. It is made when missing. Required.
	StoreDir string
	// Host is a loopback address; empty is 127.0.0.1.
	Host string
	// Port is the client port; 0 takes a free one.
	Port int
	// Password, when set, is asked of every client; [NATS.URL] carries it.
	Password string
	// MaxStore limits the disk space of all streams, in bytes; 0 is DefaultMaxStore.
	MaxStore int64
	// MaxPayload limits a message, in bytes; 0 is DefaultMaxPayload.
	MaxPayload int32
	// Log gets the server's messages. Required.
	Log *slog.Logger
}

// NATS is a NATS server with JetStream that runs in this process. Its methods
// are safe for concurrent use.
type NATS struct {
	server *server.Server
	lock   *dirLock
	log    *slog.Logger
	url    string

	stopping sync.Once
	stopped  chan struct{} // closed when the server is down and the lock free
	stopErr  error         // valid once stopped is closed
}

// StartNATS starts a server on cfg.StoreDir and returns when it takes
// connections, which includes reading back the streams. It fails with ErrInUse
// when another process owns the directory.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	if cfg.StoreDir == "" {
		return nil, errors.New("start nats: no store directory given")
	}
	if host := cmp.Or(cfg.Host, loopback); !isLoopback(host) {
		return nil, fmt.Errorf("start nats: %s is not a loopback address", host)
	}
	// An empty one would be the server's default below $TMPDIR, which two
	// servers share without noticing.
	if err := os.MkdirAll(cfg.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	lock, err := lockDir(cfg.StoreDir)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	srv, err := runNATS(ctx, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start nats on %s: %w", cfg.StoreDir, err), lock.release())
	}
	n := &NATS{server: srv, lock: lock, log: cfg.Log, stopped: make(chan struct{})}
	n.url = natsURL(srv.ClientURL(), cfg.Password)
	cfg.Log.InfoContext(ctx, "nats started", "address", srv.Addr().String(), "store_dir", cfg.StoreDir)
	return n, nil
}

// runNATS starts the server and hands it out only when it is ready and proven;
// in every other case it is down again.
func runNATS(ctx context.Context, cfg NATSConfig) (*server.Server, error) {
	srv, err := server.NewServer(natsOptions(cfg))
	if err != nil {
		return nil, err
	}
	logger := &natsLogger{log: cfg.Log.With("component", "nats")}
	srv.SetLoggerV2(logger, false, false, false)

	// Start reads the streams back before it returns and cannot be interrupted,
	// so a shutdown has to wait for it.
	started := make(chan struct{})
	go func() {
		defer close(started)
		srv.Start()
	}()
	err = natsReady(ctx, started, srv.ReadyForConnections, logger)
	if err == nil {
		err = natsProven(srv)
	}
	if err != nil {
		<-started
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, err
	}
	return srv, nil
}

// natsReady waits until the server takes connections. Reading back gigabytes may
// take as long as it takes: until started is closed, only ctx and a fatal
// message end the wait.
func natsReady(ctx context.Context, started <-chan struct{}, ready func(time.Duration) bool, logger *natsLogger) error {
	ticker := time.NewTicker(natsReadyTick)
	defer ticker.Stop()
	for recovering := true; recovering; {
		select {
		case <-started:
			recovering = false
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if reason := logger.fatal(); reason != "" {
			return errors.New(reason)
		}
	}
	deadline := time.Now().Add(natsReadyWait)
	for ctx.Err() == nil && !ready(natsReadyTick) {
		if reason := logger.fatal(); reason != "" {
			return errors.New(reason)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not ready %s after the streams were read back", natsReadyWait)
		}
	}
	return ctx.Err()
}

// natsProven proves that srv runs with JetStream and syncs every message (rule
// 1): without JetStream the server only logs and lives on.
func natsProven(srv *server.Server) error {
	js := srv.JetStreamConfig()
	if js == nil {
		return errors.New("jetstream is not running")
	}
	if !js.SyncAlways {
		return errors.New("jetstream does not sync every message")
	}
	return nil
}

// isLoopback takes addresses only: what a name means is decided elsewhere.
func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// natsOptions spells out every limit whose default depends on the machine: free
// disk, free memory.
func natsOptions(cfg NATSConfig) *server.Options {
	opts := &server.Options{
		ServerName:         "nexero",
		Host:               cmp.Or(cfg.Host, loopback),
		Port:               cmp.Or(cfg.Port, server.RANDOM_PORT),
		MaxPayload:         cmp.Or(cfg.MaxPayload, DefaultMaxPayload),
		JetStream:          true,
		JetStreamMaxMemory: natsMemory,
		JetStreamMaxStore:  cmp.Or(cfg.MaxStore, DefaultMaxStore),
		StoreDir:           cfg.StoreDir,
		// The default writes a message to disk up to two minutes after it was
		// acknowledged.
		SyncAlways: true,
		// Otherwise the server catches signals and ends the process by itself.
		NoSigs: true,
	}
	if cfg.Password != "" {
		opts.Username, opts.Password = natsUser, cfg.Password
	}
	return opts
}

// natsURL puts the password where every client library looks for it.
func natsURL(address, password string) string {
	u, err := url.Parse(address)
	if err != nil || password == "" {
		return address
	}
	u.User = url.UserPassword(natsUser, password)
	return u.String()
}

// URL is the address for clients, with the password if there is one.
func (n *NATS) URL() string { return n.url }

// Stop ends the server: clients are cut off, files are closed, the directory is
// free. It waits until ctx is done and can be called again, then waiting for the
// same shutdown, which goes on in any case.
func (n *NATS) Stop(ctx context.Context) error {
	n.stopping.Do(func() {
		go func() {
			defer close(n.stopped)
			n.server.Shutdown()
			n.server.WaitForShutdown()
			n.stopErr = n.lock.release()
		}()
	})
	select {
	case <-n.stopped:
		return n.stopErr
	case <-ctx.Done():
		return fmt.Errorf("stop nats: %w", context.Cause(ctx))
	}
}
