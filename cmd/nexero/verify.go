package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/nexero-vr/nexero/internal/obs"
	"github.com/nexero-vr/nexero/internal/postgres"
	"github.com/nexero-vr/nexero/internal/queue"
)

// Exit codes of verify.
const (
	exitMismatch    = 1
	exitNotVerified = 2
)

// emptyInterval is how often verify looks whether everything has settled.
const emptyInterval = 100 * time.Millisecond

func newVerify(env []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "verify",
		Short: "Check that what is stored is exact",
		Long: `Wait until nothing is queued and every session and customer is rolled up. Then,
in one snapshot of the database, compare the ledger with the raw rows, fold every
session again and compare its facts, and add up what sessions and customers have
contributed and compare each aggregate row.

Exit code 0: exact. 1: something differs; each difference is printed, which row
it is and by how much. 2: it could not be checked.`,
		Args: cobra.NoArgs,
	}
	wait := command.Flags().Duration("wait", time.Minute, "how long to wait until nothing is queued and all is rolled up; 0: check what is there")
	return operate(command, env, func(cmd *cobra.Command, o operator, _ []string) error {
		verification, err := runVerify(cmd, o, *wait)
		if err != nil {
			return &exitError{code: exitNotVerified, err: fmt.Errorf("not verified: %w", err)}
		}
		if _, err := io.WriteString(cmd.OutOrStdout(), report(&verification)); err != nil {
			return &exitError{code: exitNotVerified, err: err}
		}
		if !verification.Exact() {
			return &exitError{code: exitMismatch, err: fmt.Errorf("%d differences", verification.Differences)}
		}
		return nil
	})
}

func runVerify(cmd *cobra.Command, o operator, wait time.Duration) (v postgres.Verification, err error) {
	ctx := cmd.Context()
	conn, err := o.connectQueue(ctx)
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	url, err := o.databaseURL(ctx)
	if err != nil {
		return v, err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 1, PoseRetention: o.cfg.Database.PoseRetention}, o.log, prometheus.NewRegistry())
	if err != nil {
		return v, err
	}
	defer store.Close()
	if wait > 0 {
		if err := awaitSettled(ctx, conn, store, wait); err != nil {
			return v, err
		}
	}
	progress, done := showProgress(cmd.ErrOrStderr())
	defer done()
	return store.VerifyWith(ctx, progress)
}

// awaitSettled waits until the queue holds nothing, every message having been
// loaded and acknowledged, and then until roll-ups have seen all of it.
func awaitSettled(ctx context.Context, conn *queue.Conn, store *postgres.Store, wait time.Duration) error {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(emptyInterval)
	defer tick.Stop()
	for {
		// The queue first: what leaves it is touched by then.
		status, err := conn.Status(ctx)
		if err != nil {
			return err
		}
		var touched postgres.Touched
		if status.Messages == 0 {
			if touched, err = store.Touched(ctx); err != nil {
				return err
			}
			if touched == (postgres.Touched{}) {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			if status.Messages > 0 {
				return fmt.Errorf("after %s %d messages are still queued, %d of them with a worker", wait, status.Messages, status.AckPending)
			}
			return fmt.Errorf("after %s %d sessions and %d customers are still not rolled up; is a worker running? --wait 0 checks the others",
				wait, touched.Sessions, touched.Customers)
		}
	}
}

// showProgress returns what draws a bar for each step on a terminal, and what
// wipes the last one away.
func showProgress(stderr io.Writer) (show func(postgres.Progress), done func()) {
	if !obs.IsTerminal(stderr) {
		return func(postgres.Progress) {}, func() {}
	}
	// A bar that cannot be drawn is no reason to stop.
	var bar *progressbar.ProgressBar
	var step string
	done = func() {
		if bar != nil {
			_ = bar.Finish()
		}
	}
	return func(p postgres.Progress) {
		if p.Step != step {
			done()
			step = p.Step
			total := p.Total
			if total == 0 {
				total = -1 // not known: something turns instead
			}
			bar = progressbar.NewOptions64(total,
				progressbar.OptionSetWriter(stderr), progressbar.OptionSetDescription("checking "+step),
				progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
		_ = bar.Set64(p.Done)
	}, done
}

// report says what was checked and what was found.
func report(v *postgres.Verification) string {
	var b strings.Builder
	line := func(label, format string, arguments ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", label, fmt.Sprintf(format, arguments...))
	}
	line("batches", "%d, %d sent again", v.Batches, v.Repeats)
	line("events", "%d in %d sessions", v.Events, v.Sessions)
	line("rejected", "%d", v.Rejected)
	line("facts", "%d sessions folded again, %d sealed ones compared; %d visits", v.Folded, v.Sealed, v.Visits)
	line("customers", "%d counted again", v.Customers)
	if v.Past > 0 {
		line("past", "sums of deleted sessions for %d properties and days", v.Past)
	}
	if v.Waiting+v.CustomersWaiting > 0 {
		line("waiting", "%d sessions and %d customers are not rolled up yet and were not compared", v.Waiting, v.CustomersWaiting)
	}
	label := "sums"
	for _, table := range v.Aggregates {
		line(label, "%-24s%d rows", table.Table, table.Rows)
		label = ""
	}
	for _, d := range v.Named {
		line("differs", "%s: %s: %s", d.Check, d.Row, d.Found)
	}
	if unnamed := v.Differences - int64(len(v.Named)); unnamed > 0 {
		line("", "and %d more", unnamed)
	}
	if v.Exact() {
		b.WriteString("exact\n")
	}
	return b.String()
}
