package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func newKeysRotate(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "rotate ID",
		Short: "Make a key that takes the place of another",
		Long: `Make a key like the one with this id (see list) and print it, once. The old key
stays valid beside it for the overlap and then ends by itself, everywhere at
once. With --overlap 0 it is revoked now.

A key that ends already was rotated before and is not rotated again.`,
		Args: cobra.ExactArgs(1),
	}
	overlap := command.Flags().Duration("overlap", 24*time.Hour, "how long the old key stays valid")
	return operate(command, env, func(cmd *cobra.Command, o operator, args []string) error {
		if *overlap < 0 {
			return &exitError{code: exitUsage, err: fmt.Errorf("an overlap of %s is less than none", *overlap)}
		}
		return o.withKeys(cmd.Context(), func(bucket *apikey.Bucket, mirror *postgres.Store) error {
			key, err := replaceKey(cmd.Context(), bucket, mirror, args[0])
			if err != nil {
				return err
			}
			// Printed before the old one is touched: whatever fails from here on, the
			// new key is not lost.
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), key); err != nil {
				return err
			}
			old, err := endKey(cmd.Context(), bucket, mirror, args[0], *overlap)
			if err != nil {
				return fmt.Errorf("the new key is valid; about the old one: %w", err)
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s is %s\n", old.ID, keyState(old, time.Now()))
			return err
		})
	})
}

// replaceKey makes a key like the one with this id, and known.
func replaceKey(ctx context.Context, bucket *apikey.Bucket, mirror *postgres.Store, id string) (key string, err error) {
	old, err := bucket.Get(ctx, id)
	if err != nil {
		return "", err
	}
	if old.RevokedAt != nil || old.ExpiresAt != nil {
		return "", fmt.Errorf("%s cannot be rotated: it is %s", id, keyState(old, time.Now()))
	}
	key, record, err := apikey.New(old.Spec(), time.Now(), rand.Reader)
	if err != nil {
		return "", err
	}
	return key, addKey(ctx, bucket, mirror, record)
}

// endKey ends a key after the overlap, or revokes it now when there is none.
func endKey(ctx context.Context, bucket *apikey.Bucket, mirror *postgres.Store, id string, overlap time.Duration) (old apikey.Record, err error) {
	// The bucket goes first: it is what replicas ask.
	if overlap == 0 {
		old, err = bucket.Revoke(ctx, id, time.Now())
	} else {
		old, err = bucket.Expire(ctx, id, time.Now().Add(overlap))
	}
	if err != nil {
		return old, fmt.Errorf("it is as valid as before: %w", err)
	}
	if err := mirror.PutKey(ctx, local.MirrorRow(old)); err != nil {
		return old, errors.Join(fmt.Errorf("it is %s, which its mirror in the database does not know; run nexero keys sync", keyState(old, time.Now())), err)
	}
	return old, nil
}
