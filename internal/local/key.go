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

	"github.com/prometheus/client_golang/prometheus"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
)

const (
	// keyFileName holds the pipeline's own key, readable by its owner only.
	keyFileName = "api-key"
	// keyTenant is whose events the pipeline's own key posts.
	keyTenant = "local"
	keyName   = "nexero up"
)

// keptSecret returns what the file at path holds, and keeps what create makes
// there when there is no such file.
func keptSecret(path string, create func() (string, error)) (string, error) {
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if secret := strings.TrimSpace(string(kept)); secret != "" {
		return secret, nil
	}
	secret, err := create()
	if err != nil {
		return "", err
	}
	return secret, os.WriteFile(path, []byte(secret+"\n"), 0o600)
}

// ensureKey returns the key that this pipeline accepts: the one that was given,
// else the one made by an earlier run, else a new one. It makes sure that the
// queue's bucket knows it.
func (p *pipeline) ensureKey(ctx context.Context) (string, error) {
	spec := apikey.Spec{
		Tenant: keyTenant, Environment: p.cfg.Process.Environment, Name: keyName,
		Scopes: []apikey.Scope{apikey.ScopePost, apikey.ScopeRead, apikey.ScopeAdmin},
	}
	key := p.cfg.Parts.APIKey.Reveal()
	made := false
	var err error
	if key == "" {
		// The file comes first: a key in the bucket that nobody knows is no use.
		key, err = keptSecret(filepath.Join(p.cfg.Local.DataDir, keyFileName), func() (string, error) {
			made = true
			text, _, err := apikey.New(spec, time.Now(), rand.Reader)
			return text, err
		})
	}
	if err != nil {
		return "", fmt.Errorf("local: API key: %w", err)
	}
	record, err := apikey.Import(key, spec, time.Now())
	if err != nil {
		return "", fmt.Errorf("local: API key: %w", err)
	}
	if record, err = p.registerKey(ctx, record, made); err != nil {
		return "", err
	}
	if record.RevokedAt != nil {
		return "", fmt.Errorf("local: API key %s was revoked; remove %s for a new one", record.ID, keyFileName)
	}
	if record.Expired(time.Now()) {
		return "", fmt.Errorf("local: API key %s was rotated and has ended; remove %s for a new one", record.ID, keyFileName)
	}
	if err := p.mirrorKey(ctx, record); err != nil {
		// Intake stands alone: it must start while the database is away. The next
		// start mirrors the key.
		p.log.LogAttrs(ctx, slog.LevelWarn, "api key not mirrored in the database",
			slog.String("key_id", record.ID), slog.Any("error", err))
	}
	return key, nil
}

// registerKey puts record into the bucket unless it is there, and returns what
// is there. A key that was revoked stays revoked. made says that the key is new.
func (p *pipeline) registerKey(ctx context.Context, record apikey.Record, made bool) (_ apikey.Record, err error) {
	conn, err := queue.Connect(ctx, queue.Config{URL: p.run.NATSURL, CredsFile: p.cfg.Queue.CredsFile}, p.log, nil, queue.Operator)
	if err != nil {
		return record, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	kv, stream, err := conn.Keys(ctx)
	if err != nil {
		return record, err
	}
	bucket := apikey.NewBucket(kv, stream)
	known, err := bucket.Get(ctx, record.ID)
	if !errors.Is(err, apikey.ErrUnknown) {
		return known, err
	}
	// A bucket that was lost does not know what was revoked or has ended; the
	// mirror does. A key that this run just made cannot be in it.
	if !made {
		revokedAt, expiresAt, err := p.endInMirror(ctx, record.ID)
		if err != nil {
			return record, fmt.Errorf("local: ask whether API key %s was revoked, which the queue does not know: %w", record.ID, err)
		}
		record.RevokedAt, record.ExpiresAt = revokedAt, expiresAt
		if revokedAt != nil {
			return record, nil
		}
	}
	p.log.LogAttrs(ctx, slog.LevelInfo, "api key registered", slog.String("key_id", record.ID), slog.String("tenant", record.Tenant))
	return record, bucket.Put(ctx, record)
}

// withMirror opens the database's copy of the keys, if this process knows one.
func (p *pipeline) withMirror(ctx context.Context, do func(*postgres.Store) error) error {
	if p.run.DatabaseURL == "" {
		return nil
	}
	mirror, err := postgres.Open(ctx, postgres.Config{URL: p.run.DatabaseURL, MaxConns: 1}, p.log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer mirror.Close()
	return do(mirror)
}

// endInMirror returns when the key was revoked and when it ends, as far as the
// database knows.
func (p *pipeline) endInMirror(ctx context.Context, id string) (revokedAt, expiresAt *time.Time, err error) {
	err = p.withMirror(ctx, func(mirror *postgres.Store) error {
		rows, err := mirror.ListKeys(ctx)
		for _, row := range rows {
			if row.ID == id {
				revokedAt, expiresAt = row.RevokedAt, row.ExpiresAt
			}
		}
		return err
	})
	return revokedAt, expiresAt, err
}

// mirrorKey keeps the record in the database too, so that a lost bucket can be
// restored.
func (p *pipeline) mirrorKey(ctx context.Context, record apikey.Record) error {
	return p.withMirror(ctx, func(mirror *postgres.Store) error { return mirror.PutKey(ctx, MirrorRow(record)) })
}
