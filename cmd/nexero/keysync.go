package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/apikey"
	"github.com/nexero-vr/nexero/internal/local"
	"github.com/nexero-vr/nexero/internal/postgres"
)

func newKeysSync(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "sync",
		Short: "Bring the queue's keys and their mirror in the database together",
		Long: `Bring the queue's bucket of keys and its mirror in the database together: what one
lacks comes from the other. It restores the keys of a queue that was lost.

A key that is revoked in either is revoked in both afterwards, and one that ends
ends at the earlier time: nothing here revives a key. One id with two different
keys is left alone and named.`,
		Args: cobra.NoArgs,
	}
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		return o.withKeys(cmd.Context(), func(bucket *apikey.Bucket, mirror *postgres.Store) error {
			did, err := syncKeys(cmd.Context(), bucket, mirror)
			_, printErr := fmt.Fprintf(cmd.OutOrStdout(), "%d keys restored in the queue, %d ended there, %d written to the mirror, %d were the same\n",
				did.restored, did.ended, did.mirrored, did.same)
			return errors.Join(err, printErr)
		})
	})
}

// synced counts what a sync did.
type synced struct{ restored, ended, mirrored, same int }

// syncKeys goes through every key that either side knows. A key that cannot be
// brought together does not keep the others from it; all such are in the error.
func syncKeys(ctx context.Context, bucket *apikey.Bucket, mirror *postgres.Store) (did synced, err error) {
	rows, err := mirror.ListKeys(ctx)
	if err != nil {
		return did, err
	}
	mirrored := make(map[string]apikey.Record, len(rows))
	for _, row := range rows {
		mirrored[row.ID] = local.MirroredRecord(row)
	}
	// Records that cannot be read are named in the error and not in the list.
	records, err := bucket.List(ctx)
	if err != nil && records == nil {
		return did, err
	}
	faults := []error{err}
	known := make(map[string]apikey.Record, len(records))
	for _, record := range records {
		known[record.ID] = record
	}
	ids := maps.Clone(mirrored)
	maps.Copy(ids, known)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		faults = append(faults, syncKey(ctx, bucket, mirror, known[id], mirrored[id], &did))
	}
	return did, errors.Join(faults...)
}

// syncKey brings one key together. A record without an id is one that its side
// lacks.
func syncKey(ctx context.Context, bucket *apikey.Bucket, mirror *postgres.Store, known, copied apikey.Record, did *synced) (err error) {
	both := known
	if copied.ID != "" {
		// The bucket first: it is what replicas ask.
		if both, err = bucket.Restore(ctx, copied); err != nil {
			return err
		}
	}
	before := *did
	switch {
	case known.ID == "":
		did.restored++
	case !both.SameEnd(known):
		did.ended++
	}
	if copied.ID == "" || !both.SameEnd(copied) {
		if err := mirror.PutKey(ctx, local.MirrorRow(both)); err != nil {
			return err
		}
		did.mirrored++
	}
	if *did == before {
		did.same++
	}
	return nil
}
