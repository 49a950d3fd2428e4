package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/queue"
)

const (
	// keyFileName holds the pipeline's own key, readable by its owner only.
	keyFileName = "api-key"
	// keyTenant is whose events the pipeline's own key posts.
	keyTenant = "local"
	keyName   = "nexero up"
)

// ensureKey returns the key that this pipeline accepts: the one that was given,
// else the one made by an earlier run, else a new one. It makes sure that the
// queue's bucket knows it.
func (p *pipeline) ensureKey(ctx context.Context) (string, error) {
	path := filepath.Join(p.cfg.Local.DataDir, keyFileName)
	spec := apikey.Spec{
		Tenant: keyTenant, Environment: p.cfg.Process.Environment, Name: keyName,
		Scopes: []apikey.Scope{apikey.ScopePost, apikey.ScopeRead, apikey.ScopeAdmin},
	}
	key := p.cfg.Parts.APIKey.Reveal()
	if key == "" {
		kept, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("local: read the API key: %w", err)
		}
		key = strings.TrimSpace(string(kept))
	}
	var record apikey.Record
	var err error
	if key == "" {
		key, record, err = apikey.New(spec, time.Now(), rand.Reader)
	} else {
		record, err = apikey.Import(key, spec, time.Now())
	}
	if err != nil {
		return "", fmt.Errorf("local: API key: %w", err)
	}
	// The file comes first: a key in the bucket that nobody knows is no use.
	//nolint:gosec // the operator names the directory
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("local: keep the API key: %w", err)
	}
	return key, p.registerKey(ctx, record)
}

// registerKey puts record into the bucket unless it is there. A key that was
// revoked stays revoked.
func (p *pipeline) registerKey(ctx context.Context, record apikey.Record) (err error) {
	conn, err := queue.Connect(ctx, queue.Config{URL: p.run.NATSURL, CredsFile: p.cfg.Queue.CredsFile}, p.log, nil, queue.Operator)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	kv, stream, err := conn.Keys(ctx)
	if err != nil {
		return err
	}
	bucket := apikey.NewBucket(kv, stream)
	known, err := bucket.Get(ctx, record.ID)
	switch {
	case errors.Is(err, apikey.ErrUnknown):
		p.log.LogAttrs(ctx, slog.LevelInfo, "api key registered", slog.String("key_id", record.ID), slog.String("tenant", record.Tenant))
		return bucket.Put(ctx, record)
	case err != nil:
		return err
	case known.RevokedAt != nil:
		return fmt.Errorf("local: API key %s was revoked; remove %s for a new one", record.ID, keyFileName)
	}
	return nil
}
