package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/facts"
)

// rawDay names the partition of one table and day.
type rawDay struct {
	table string
	day   day
}

func (r rawDay) name() string { return partitionName(r.table, r.day) }

func (r rawDay) holdsEvents() bool { return r.table != rejectedTable }

// parseRawDay reads a partition's name. Nothing that it accepts needs quoting.
func parseRawDay(name string) (rawDay, bool) {
	for _, table := range []string{posesTable, othersTable, rejectedTable} {
		suffix, found := strings.CutPrefix(name, table+"_")
		if !found {
			continue
		}
		start, err := time.Parse("20060102", suffix)
		r := rawDay{table: table, day: dayOfTime(start)}
		return r, err == nil && r.name() == name
	}
	return rawDay{}, false
}

// attachment is how a partition's table hangs on to its parent.
type attachment int

const (
	// detached tables are what an interrupted drop left; of a name that is ours
	// only those count that have our comment as well.
	detached attachment = iota
	detaching
	attached
)

const findRawDays = `
SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), ''), i.inhparent IS NOT NULL, coalesce(i.inhdetachpending, false)
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'nexero'::regnamespace AND c.relkind = 'r' AND c.relname ~ '_\d{8}$'
  AND (i.inhparent IS NULL OR i.inhparent = to_regclass('nexero.' || left(c.relname, -9)))`

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// rawDays returns all partitions, and tables that were partitions.
func rawDays(ctx context.Context, q querier) (map[rawDay]attachment, error) {
	rows, err := q.Query(ctx, findRawDays)
	if err != nil {
		return nil, err
	}
	found := make(map[rawDay]attachment)
	var name, comment string
	var isAttached, isDetaching bool
	_, err = pgx.ForEachRow(rows, []any{&name, &comment, &isAttached, &isDetaching}, func() error {
		r, ours := parseRawDay(name)
		switch {
		case !ours:
		case isDetaching:
			found[r] = detaching
		case isAttached:
			found[r] = attached
		case comment == partitionComment(r.table, r.day):
			found[r] = detached
		}
		return nil
	})
	return found, err
}

// maxClockLead is how far the database's clock may be ahead of ours while it
// decides what is dropped: what a clock a year ahead drops never comes back.
const maxClockLead = 24 * time.Hour

// horizons are the windows outside which each table's days are dropped. They
// go by the database's time, read now.
func (s *Store) horizons(ctx context.Context) (map[string]window, error) {
	now, err := s.readClock(ctx)
	if err != nil {
		return nil, err
	}
	if err := trustClock(now, time.Now()); err != nil {
		return nil, err
	}
	return map[string]window{
		posesTable:    windowAt(now, s.config.PoseRetention),
		othersTable:   windowAt(now, s.config.EventRetention),
		rejectedTable: windowAt(now, rejectedRetention),
	}, nil
}

func trustClock(database, ours time.Time) error {
	if lead := database.Sub(ours); lead > maxClockLead {
		return fmt.Errorf("the database's clock is %s ahead of ours: one of them is wrong, and nothing is dropped by it", lead.Round(time.Second))
	}
	return nil
}

// Expired returns the partitions that retention gives up, oldest first: poses,
// other events and rejected events that were received, or written, longer ago
// than they are kept and a day of slack. Tables that an interrupted [Store.Drop]
// left behind are among them; a detached table of another name, or without the
// comment that partitions are made with, is somebody's own.
func (s *Store) Expired(ctx context.Context) ([]facts.Expired, error) {
	horizons, err := s.horizons(ctx)
	if err != nil {
		return nil, fmt.Errorf("postgres: find expired partitions: %w", err)
	}
	found, err := rawDays(ctx, s.pool)
	if err != nil {
		return nil, fmt.Errorf("postgres: find expired partitions: %w", err)
	}
	var days []rawDay
	for r := range found {
		if horizons[r.table].drops(r.day) {
			days = append(days, r)
		}
	}
	slices.SortFunc(days, func(a, b rawDay) int { return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.table, b.table)) })
	expired := make([]facts.Expired, len(days))
	for i, r := range days {
		expired[i] = facts.Expired{Partition: r.name(), Poses: r.table == posesTable, Rejections: r.table == rejectedTable}
	}
	return expired, nil
}

// Drop detaches and drops an expired partition. It refuses one that holds rows
// of a session that is not sealed, and one that is not expired; one that is gone
// is dropped already.
//
// Loads and roll-ups go on meanwhile. The detach waits for every transaction
// that may still read the partition, as long as ctx allows, and nobody can make
// or drop another partition until then. Interrupted at any step, it leaves what
// the next Drop finishes.
func (s *Store) Drop(ctx context.Context, expired facts.Expired) (err error) {
	r, ok := parseRawDay(expired.Partition)
	if !ok {
		return fmt.Errorf("postgres: drop %q: no partition of ours has this name", expired.Partition)
	}
	horizons, err := s.horizons(ctx)
	if err != nil {
		return fmt.Errorf("postgres: drop %s: %w", expired.Partition, err)
	}
	if !horizons[r.table].drops(r.day) {
		return fmt.Errorf("postgres: drop %s: it is not old enough", expired.Partition)
	}
	conn, err := s.maintenance(ctx)
	if err != nil {
		return fmt.Errorf("postgres: drop %s: %w", expired.Partition, err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := s.drop(ctx, conn, r); err != nil {
		return fmt.Errorf("postgres: drop %s: %w", expired.Partition, err)
	}
	return nil
}

// drop works its way from whatever state the partition is in. A detach that is
// given up half-way is in everybody's way until somebody finishes it, so no
// timeout of ours ends a statement here.
func (s *Store) drop(ctx context.Context, conn *pgx.Conn, r rawDay) error {
	if err := lockPartitions(ctx, conn); err != nil {
		return fmt.Errorf("lock partitions: %w", err)
	}
	// Only one partition of a table can be on its way out, whichever it is.
	found, err := listPartitions(ctx, conn)
	if err != nil {
		return err
	}
	for partition, table := range found.detaching {
		s.log.WarnContext(ctx, "finishing an interrupted detach", slog.String("partition", partition))
		if err := finalizeDetach(ctx, conn, table, partition, 0); err != nil {
			return fmt.Errorf("finish detaching %s: %w", partition, err)
		}
	}
	days, err := rawDays(ctx, conn)
	if err != nil {
		return err
	}
	state, there := days[r]
	if !there {
		return nil
	}
	if _, err := conn.Exec(ctx, "SET statement_timeout = 0; SET lock_timeout = 0"); err != nil {
		return err
	}
	if state == attached {
		if err := s.detach(ctx, conn, r); err != nil {
			return err
		}
	}
	return s.dropDetached(ctx, conn, r)
}

// detach takes the partition out of its table unless it is still needed.
func (s *Store) detach(ctx context.Context, conn *pgx.Conn, r rawDay) error {
	unsealed, err := allUnsealed(ctx, conn, r)
	if err != nil {
		return err
	}
	if len(unsealed) > 0 {
		return unsealedError(len(unsealed))
	}
	crashpoint.At(crashpoint.RetentionLooked)
	if _, err := conn.Exec(ctx, "ALTER TABLE "+qualified(r.table)+" DETACH PARTITION "+qualified(r.name())+" CONCURRENTLY"); err != nil {
		return fmt.Errorf("detach: %w", err)
	}
	crashpoint.At(crashpoint.RetentionDetached)
	return nil
}

// dropDetached drops a table that nobody writes to any more. It looks once more
// whether all its sessions are sealed, for between the first look and the detach
// a load could still write, one with a clock that stood still; and the table may
// have been detached by somebody who did not look.
func (s *Store) dropDetached(ctx context.Context, conn *pgx.Conn, r rawDay) error {
	unsealed, err := allUnsealed(ctx, conn, r)
	if err != nil {
		return err
	}
	if len(unsealed) > 0 {
		if err := takeBack(ctx, conn, r, unsealed); err != nil {
			return fmt.Errorf("attach it again: %w", err)
		}
		s.log.WarnContext(ctx, "a detached partition holds sessions that are not sealed; it is attached again",
			slog.String("partition", r.name()), slog.Int("sessions", len(unsealed)))
		return unsealedError(len(unsealed))
	}
	crashpoint.At(crashpoint.RetentionBeforeDrop)
	if _, err := conn.Exec(ctx, "DROP TABLE "+qualified(r.name())); err != nil {
		return fmt.Errorf("drop the table: %w", err)
	}
	crashpoint.At(crashpoint.RetentionDropped)
	s.log.InfoContext(ctx, "dropped a day that is no longer kept", slog.String("partition", r.name()))
	return nil
}

func unsealedError(sessions int) error {
	return fmt.Errorf("%d sessions with rows in it are not sealed", sessions)
}

// takeBack attaches a table again. While it was detached its sessions may have
// been folded without it, so what is stored of them counts as unknown: to seal
// them is to fold them anew, from all rows. That and the rows become visible at
// the same instant.
func takeBack(ctx context.Context, conn *pgx.Conn, r rawDay, unsealed []int64) error {
	const forget = `
UPDATE nexero.session_facts SET facts_version = 0
WHERE generation = ` + liveGeneration + ` AND session_no IN (
    SELECT session_no FROM nexero.session_facts
    WHERE session_no = ANY($1) AND generation = ` + liveGeneration + ` AND NOT sealed
    ORDER BY session_no
    FOR UPDATE)`
	// Now loads can have to wait for us.
	if _, err := conn.Exec(ctx, "RESET lock_timeout"); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forget, unsealed); err != nil {
			return err
		}
		crashpoint.At(crashpoint.RetentionTakingBack)
		_, err := tx.Exec(ctx, attachStatement(r.table, r.day))
		return err
	})
}
