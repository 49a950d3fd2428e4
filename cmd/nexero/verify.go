package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
)

// Exit codes of verify.
const (
	exitMismatch    = 1
	exitNotVerified = 2
)

// emptyInterval is how often verify looks whether the queue is empty.
const emptyInterval = 100 * time.Millisecond

func newVerify(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "verify",
		Short: "Check that what is stored is exact",
		Long: `Wait until the queue is empty, then compare the ledger with the rows in one
snapshot of the database.

Exit code 0: exact. 1: something differs; each difference is printed. 2: it
could not be checked.`,
		Args: cobra.NoArgs,
	}
	wait := command.Flags().Duration("wait", time.Minute, "how long to wait until nothing is queued")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		verification, err := runVerify(cmd.Context(), o, *wait)
		if err != nil {
			return &exitError{code: exitNotVerified, err: fmt.Errorf("not verified: %w", err)}
		}
		if err := printVerification(cmd.OutOrStdout(), verification); err != nil {
			return &exitError{code: exitNotVerified, err: err}
		}
		if !verification.Exact() {
			return &exitError{code: exitMismatch, err: fmt.Errorf("%d differences", verification.Differences)}
		}
		return nil
	})
}

func runVerify(ctx context.Context, o operator, wait time.Duration) (v postgres.Verification, err error) {
	conn, err := o.connectQueue(ctx)
	if err != nil {
		return v, err
	}
	err = awaitEmpty(ctx, conn, wait)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return v, err
	}
	url, err := o.databaseURL(ctx)
	if err != nil {
		return v, err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 1, PoseRetention: o.cfg.Database.PoseRetention}, o.log, prometheus.NewRegistry())
	if err != nil {
		return v, err
	}
	defer store.Close()
	return store.Verify(ctx)
}

// awaitEmpty waits until the queue holds nothing: every message was loaded and
// acknowledged.
func awaitEmpty(ctx context.Context, conn *queue.Conn, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(emptyInterval)
	defer tick.Stop()
	for {
		status, err := conn.Status(ctx)
		if err != nil {
			return err
		}
		if status.Messages == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("after %s %d messages are still queued, %d of them with a worker", wait, status.Messages, status.AckPending)
		}
	}
}

func printVerification(w io.Writer, v postgres.Verification) error {
	_, err := fmt.Fprintf(w, "batches   %d, %d sent again\nevents    %d in %d sessions\nrejected  %d\n",
		v.Batches, v.Repeats, v.Events, v.Sessions, v.Rejected)
	for _, d := range v.Named {
		if err == nil {
			_, err = fmt.Fprintf(w, "differs   %s: %s: %s\n", d.Check, d.Row, d.Found)
		}
	}
	if err != nil {
		return err
	}
	if unnamed := v.Differences - int64(len(v.Named)); unnamed > 0 {
		_, err = fmt.Fprintf(w, "          and %d more\n", unnamed)
		return err
	}
	if v.Exact() {
		_, err = fmt.Fprintln(w, "exact")
	}
	return err
}
