package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
)

func newKeys(env []string) *cobra.Command {
	command := &cobra.Command{Use: "keys", Short: "Make, list, rotate and revoke API keys"}
	command.AddCommand(newKeysCreate(env), newKeysList(env), newKeysRotate(env), newKeysRevoke(env), newKeysSync(env))
	return command
}

func newKeysCreate(env []string) *cobra.Command {
	var spec apikey.Spec
	var scopes []string
	command := &cobra.Command{
		Use:   "create",
		Short: "Make a key and print it, once",
		Long: `Make an API key for a tenant and print it. It is stored as a hash, so it cannot be
shown again. Replicas know it within a second.`,
		Args: cobra.NoArgs,
	}
	f := command.Flags()
	f.StringVar(&spec.Tenant, "tenant", "", "tenant that the key posts for (required)")
	f.StringVar(&spec.Name, "name", "", "what to call it in lists")
	f.StringSliceVar(&scopes, "scopes", []string{string(apikey.ScopePost)}, "what it may do: post, read, admin")
	f.BoolVar(&spec.Publishable, "publishable", false, "the key is no secret, since it is part of what is handed out: it may post and nothing else")
	f.StringVar(&spec.Environment, "for", "development", "environment in the key's text: development, staging or production")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		for _, scope := range scopes {
			spec.Scopes = append(spec.Scopes, apikey.Scope(scope))
		}
		key, record, err := apikey.New(spec, time.Now(), rand.Reader)
		if err != nil {
			return err
		}
		if err := o.withKeys(cmd.Context(), func(bucket *apikey.Bucket, mirror *postgres.Store) error {
			return addKey(cmd.Context(), bucket, mirror, record)
		}); err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), key)
		return err
	})
}

// addKey makes a new key known. The mirror goes first: a key that works and is
// not mirrored would be gone after a loss of the bucket.
func addKey(ctx context.Context, bucket *apikey.Bucket, mirror *postgres.Store, record apikey.Record) error {
	if err := mirror.PutKey(ctx, local.MirrorRow(record)); err != nil {
		return err
	}
	return bucket.Put(ctx, record)
}

func newKeysList(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "list",
		Short: "List the keys, without their secrets",
		Long: `List the keys, oldest first: whose they are, what they may do, how old they are and
whether they are valid. A key's secret was shown once, when it was made.`,
		Args: cobra.NoArgs,
	}
	tenant := command.Flags().String("tenant", "", "list the keys of this tenant only")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		return o.withQueue(cmd.Context(), func(conn *queue.Conn) error {
			bucket, err := openKeys(cmd.Context(), conn)
			if err != nil {
				return err
			}
			// Records that cannot be read do not hide the others.
			records, err := bucket.List(cmd.Context())
			if *tenant != "" {
				records = slices.DeleteFunc(records, func(r apikey.Record) bool { return r.Tenant != *tenant })
			}
			return errors.Join(printKeys(cmd.OutOrStdout(), records, time.Now()), err)
		})
	})
}

func newKeysRevoke(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a key, for good",
		Long: `Revoke the key with this id (see list). Every replica refuses it within a second.
A revoked key is never revived.`,
		Args: cobra.ExactArgs(1),
	}
	return operate(command, env, func(cmd *cobra.Command, o operator, args []string) error {
		err := o.withKeys(cmd.Context(), func(bucket *apikey.Bucket, mirror *postgres.Store) error {
			// The bucket goes first: it is what replicas ask.
			record, err := bucket.Revoke(cmd.Context(), args[0], time.Now())
			if err != nil {
				return err
			}
			// Put, not change: a mirror that never knew the key must know this.
			if err := mirror.PutKey(cmd.Context(), local.MirrorRow(record)); err != nil {
				return fmt.Errorf("the key is revoked, but its mirror in the database is not; run this again: %w", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "revoked %s\n", args[0])
		return err
	})
}

// withStore opens the database with one connection and does something.
func (o operator) withStore(ctx context.Context, do func(*postgres.Store) error) error {
	url, err := o.databaseURL(ctx)
	if err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{
		URL: url, MaxConns: 1, PoseRetention: o.cfg.Database.PoseRetention, EventRetention: o.cfg.Database.EventRetention,
	}, o.log, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	defer store.Close()
	return do(store)
}

// withKeys opens the bucket of keys and its mirror, and does something.
func (o operator) withKeys(ctx context.Context, do func(*apikey.Bucket, *postgres.Store) error) error {
	return o.withStore(ctx, func(mirror *postgres.Store) error {
		return o.withQueue(ctx, func(conn *queue.Conn) error {
			bucket, err := openKeys(ctx, conn)
			if err != nil {
				return err
			}
			return do(bucket, mirror)
		})
	})
}

// openKeys opens the bucket of keys, and makes it when this is the first
// command that ever needed it.
func openKeys(ctx context.Context, conn *queue.Conn) (*apikey.Bucket, error) {
	kv, stream, err := conn.Keys(ctx)
	if errors.Is(err, queue.ErrNoStream) {
		if err := conn.ProvisionKeys(ctx); err != nil {
			return nil, err
		}
		kv, stream, err = conn.Keys(ctx)
	}
	if err != nil {
		return nil, err
	}
	return apikey.NewBucket(kv, stream), nil
}

func printKeys(w io.Writer, records []apikey.Record, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A tabwriter reports its errors when it is flushed.
	_, _ = fmt.Fprintln(table, "ID\tTENANT\tENVIRONMENT\tSCOPES\tCREATED\tAGE\tSTATE\tNAME")
	for _, r := range records {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			r.ID, r.Tenant, r.Environment, scopesText(r), r.CreatedAt.UTC().Format(time.DateTime),
			strings.TrimSpace(humanize.RelTime(r.CreatedAt, now, "", "")), keyState(r, now), r.Name)
	}
	return table.Flush()
}

func scopesText(r apikey.Record) string {
	scopes := make([]string, len(r.Scopes))
	for i, scope := range r.Scopes {
		scopes[i] = string(scope)
	}
	text := strings.Join(scopes, ",")
	if r.Publishable {
		text += " (publishable)"
	}
	return text
}

// keyState says whether a key is valid, and until or since when.
func keyState(r apikey.Record, now time.Time) string {
	switch {
	case r.RevokedAt != nil:
		return "revoked " + r.RevokedAt.UTC().Format(time.DateTime)
	case r.Expired(now):
		return "ended " + r.ExpiresAt.UTC().Format(time.DateTime)
	case r.ExpiresAt != nil:
		return "valid until " + r.ExpiresAt.UTC().Format(time.DateTime)
	}
	return "valid"
}
