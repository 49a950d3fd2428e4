package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// workerName is how our connections call themselves.
const workerName = "nexero-worker"

const (
	// stalledLook is how often a load that takes long looks for others that
	// hold it up.
	stalledLook = time.Second
	// stalledTimeout bounds one look.
	stalledTimeout = 2 * time.Second
)

// endStalled ends loads whose worker fell silent in the middle of a COPY: it is
// frozen, or its machine is. The server would wait for ever. It does not act on
// statement_timeout while it waits for the rows of a COPY, only when the next
// ones come; the idle timeouts are not for a statement in progress; and the
// frozen machine's kernel still answers keepalives. Only the end of the session
// from outside reaches it.
//
// The server keeps the beginning of a statement's text only, which is all that
// is looked at. What it ends has had all the time that a statement may take, so the server
// would cancel it as soon as it moved. Ending it by mistake costs a repeat.
const endStalled = `
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = '` + workerName + `' AND pid <> pg_backend_pid()
  AND state = 'active' AND wait_event = 'ClientRead' AND query LIKE '%SAVEPOINT rows; COPY nexero.events (%'
  AND query_start < clock_timestamp() - $1::bigint * interval '1 millisecond'`

// What endStalled needs in order to see others and to be allowed to end them.
const seesStalled = `
SELECT current_setting('track_activities')::boolean,
       EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND usename <> current_user AND application_name = '` + workerName + `')`

// StalledUnseen says why a load that falls silent in the middle of a COPY may not
// be found and ended, as a session of ours sees it, or "". Nothing else depends on
// it: without it a frozen worker holds others up until somebody wakes or ends it.
func (s *Store) StalledUnseen(ctx context.Context) (reason string, err error) {
	var tracked, others bool
	if err := s.pool.QueryRow(ctx, seesStalled).Scan(&tracked, &others); err != nil {
		return "", fmt.Errorf("postgres: look whether stalled loads can be seen: %w", err)
	}
	switch {
	case !tracked:
		return "track_activities is off for this role: set it to on (ALTER ROLE or postgresql.conf)", nil
	case others:
		return "workers of this database connect as different users: give them one, or none sees the other's", nil
	}
	return "", nil
}

// watchStalled looks for stalled loads as long as a load of our own takes, which
// may be because of them, so that a frozen worker holds others up for the
// statement timeout and a moment, and not until somebody wakes it. Call the
// result when the load is over: it waits for the end of the watch.
func (s *Store) watchStalled(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(stalledLook)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.endStalledLoads(ctx)
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// endStalledLoads makes one look. Whatever goes wrong is tried again a moment
// later, and the load that waits says what it waited for.
func (s *Store) endStalledLoads(ctx context.Context) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return
	}
	defer pooled.Release()
	// Not the load's context: its end would cost the connection.
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), stalledTimeout)
	defer cancel()
	rows, err := pooled.Query(look, endStalled, s.config.StatementTimeout.Milliseconds())
	if err != nil {
		return
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil || len(ended) > 0 {
		s.log.WarnContext(ctx, "loads whose worker fell silent in the middle of a copy were ended",
			slog.Int("loads", len(ended)), slog.Any("error", err))
	}
}
