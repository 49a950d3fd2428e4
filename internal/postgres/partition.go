package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// The tables that are partitioned by day, in the order in which their
// partitions are made.
const (
	posesTable    = "events_pose"
	othersTable   = "events_other"
	rejectedTable = "rejected_events"
)

// partitionLock is the advisory lock under which partitions are made and
// dropped: "nexero p" as a number.
const partitionLock int64 = 0x6e657865726f2070

// EnsurePartitions makes the partitions that loads will need: for events from
// the day of the oldest queued message, but not before the shortest retention,
// to 7 days ahead, for rejected_events from today. A worker calls it before its
// first load and hourly. oldest may be zero when nothing is queued.
//
// What is missing is made under a session-level advisory lock, so any number of
// workers may call it at once; it is idempotent, and whoever dies in the middle
// leaves nothing that the next call does not put right. A DETACH that was
// interrupted is finished first, since until then nothing can be attached; when
// nothing is missing, only if that is quick. Loads go on meanwhile.
func (s *Store) EnsurePartitions(ctx context.Context, oldest time.Time) error {
	now, err := s.readClock(ctx)
	if err != nil {
		return err
	}
	w := windowAt(now, s.config.PoseRetention)
	first := w.today
	if !oldest.IsZero() {
		first = min(max(dayOfTime(oldest), w.oldest), w.today)
	}
	return s.makePartitions(ctx, w.today, span(first, w.today+daysAhead), span(w.today, w.today+daysAhead))
}

// ensureDays makes what a gather needs and the last EnsurePartitions did not
// know of: the days of a message that is older than the oldest one then.
func (s *Store) ensureDays(ctx context.Context, wanted map[day]bool, today day) error {
	events, rejected := s.memory.days.missing(wanted, today)
	if len(events) == 0 && !rejected {
		return nil
	}
	var rejectedDays []day
	if rejected {
		rejectedDays = span(today, today+1)
	}
	slices.Sort(events)
	return s.makePartitions(ctx, today, events, rejectedDays)
}

// wantedDays are the partitions that must be there, by table.
type wantedDays []struct {
	table string
	days  []day
}

func (s *Store) makePartitions(ctx context.Context, today day, events, rejected []day) (err error) {
	// A connection of its own: it holds a session's lock and changes settings.
	conn, err := s.maintenance(ctx)
	if err != nil {
		return fmt.Errorf("postgres: make partitions: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	wanted := wantedDays{{posesTable, events}, {othersTable, events}, {rejectedTable, rejected}}
	// Most of the time all is there, and whoever holds the lock is nobody to wait
	// for: a retention that drops partitions may take long.
	found, err := listPartitions(ctx, conn)
	if err != nil {
		return err
	}
	if found.hold(wanted) {
		s.tidyDetaches(ctx, conn, found)
	} else if found, err = s.attachMissing(ctx, conn, wanted); err != nil {
		return err
	}
	s.memory.days.remember(events, rejected)
	s.metrics.horizon.Set((time.Duration(horizon(found.attached, today)) * 24 * time.Hour).Seconds())
	return nil
}

// attachMissing makes what is missing of wanted, under the lock.
func (s *Store) attachMissing(ctx context.Context, conn *pgx.Conn, wanted wantedDays) (partitions, error) {
	if err := lockPartitions(ctx, conn); err != nil {
		return partitions{}, fmt.Errorf("postgres: lock partitions: %w", err)
	}
	// Again: whoever had the lock may have made them.
	found, err := listPartitions(ctx, conn)
	if err != nil {
		return partitions{}, err
	}
	if found.hold(wanted) {
		return found, nil
	}
	crashpoint.At(crashpoint.PartitionsLocked)
	for partition, table := range found.detaching {
		s.log.WarnContext(ctx, "finishing an interrupted detach", slog.String("partition", partition))
		if err := finalizeDetach(ctx, conn, table, partition, 0); err != nil {
			return partitions{}, fmt.Errorf("postgres: finish detaching %s: %w", partition, err)
		}
	}
	for _, w := range wanted {
		if err := attachDays(ctx, conn, w.table, w.days, found.attached[w.table]); err != nil {
			return partitions{}, err
		}
	}
	return found, nil
}

// maintenance opens a connection for the partition lock, which is a session's and
// held between transactions: the server ends one that says nothing for longer
// than the idle timeout. Otherwise a worker that is frozen there would keep all
// others from the partitions that they need.
func (s *Store) maintenance(ctx context.Context) (*pgx.Conn, error) {
	config := s.pool.Config().ConnConfig
	config.RuntimeParams["idle_session_timeout"] = config.RuntimeParams["idle_in_transaction_session_timeout"]
	return pgx.ConnectConfig(ctx, config)
}

// lockWait is the time between two attempts to get the lock.
const lockWait = 50 * time.Millisecond

// lockPartitions waits for the lock as long as ctx allows. It asks again and
// again: a statement that waits would hold a snapshot, for which a DETACH by
// the lock's holder waits.
func lockPartitions(ctx context.Context, conn *pgx.Conn) error {
	for {
		got, err := tryLockPartitions(ctx, conn)
		if err != nil || got {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockWait):
		}
	}
}

func tryLockPartitions(ctx context.Context, conn *pgx.Conn) (got bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", partitionLock).Scan(&got)
	return got, err
}

// partitions are those that exist.
type partitions struct {
	// attached are the names of each table's partitions.
	attached map[string]map[string]bool
	// detaching are partitions whose detach was interrupted, with their tables.
	detaching map[string]string
}

func (p partitions) hold(wanted wantedDays) bool {
	for _, w := range wanted {
		for _, d := range w.days {
			if !p.attached[w.table][partitionName(w.table, d)] {
				return false
			}
		}
	}
	return true
}

func listPartitions(ctx context.Context, conn *pgx.Conn) (partitions, error) {
	const query = `
SELECT parent.relname, child.relname, i.inhdetachpending
FROM pg_inherits i
JOIN pg_class parent ON parent.oid = i.inhparent
JOIN pg_class child ON child.oid = i.inhrelid
WHERE parent.relnamespace = 'nexero'::regnamespace AND parent.relname = ANY($1)`
	rows, err := conn.Query(ctx, query, []string{posesTable, othersTable, rejectedTable})
	if err != nil {
		return partitions{}, fmt.Errorf("postgres: list partitions: %w", err)
	}
	found := partitions{
		attached:  map[string]map[string]bool{posesTable: {}, othersTable: {}, rejectedTable: {}},
		detaching: map[string]string{},
	}
	var table, partition string
	var detaching bool
	_, err = pgx.ForEachRow(rows, []any{&table, &partition, &detaching}, func() error {
		if detaching {
			found.detaching[partition] = table
		} else {
			found.attached[table][partition] = true
		}
		return nil
	})
	if err != nil {
		return partitions{}, fmt.Errorf("postgres: list partitions: %w", err)
	}
	return found, nil
}

// tidyPatience is how long a detach that is in nobody's way may keep us.
const tidyPatience = time.Second

// tidyDetaches finishes interrupted detaches as far as that is quick. They hurt
// nobody until a partition is needed: then attachMissing waits for them.
func (s *Store) tidyDetaches(ctx context.Context, conn *pgx.Conn, found partitions) {
	if len(found.detaching) == 0 {
		return
	}
	// Whoever has the lock may be finishing them.
	got, err := tryLockPartitions(ctx, conn)
	if err == nil && !got {
		return
	}
	for partition, table := range found.detaching {
		if err == nil {
			err = finalizeDetach(ctx, conn, table, partition, tidyPatience)
		}
		if err != nil {
			s.log.WarnContext(ctx, "an interrupted detach cannot be finished now", slog.String("partition", partition), slog.Any("error", err))
			return
		}
		s.log.WarnContext(ctx, "finished an interrupted detach", slog.String("partition", partition))
	}
}

// finalizeDetach waits for transactions that still see the partition, at most
// for patience; 0 is as long as ctx allows. The settings of a session are for
// statements that loads would wait behind, and this is none.
func finalizeDetach(ctx context.Context, conn *pgx.Conn, table, partition string, patience time.Duration) error {
	settings := fmt.Sprintf("SET statement_timeout = %d; SET lock_timeout = 0", patience.Milliseconds())
	if _, err := conn.Exec(ctx, settings); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE", qualified(table), qualified(partition)))
	if err != nil {
		return err
	}
	crashpoint.At(crashpoint.PartitionsFinalized)
	_, err = conn.Exec(ctx, "RESET statement_timeout; RESET lock_timeout")
	return err
}

// attachDays makes those partitions of table that are not attached, all in one
// transaction, and adds them to attached.
//
// CREATE TABLE … PARTITION OF would lock the parent against every load and
// query; LIKE and ATTACH lock it against other maintenance only. A table of the
// right name that is not attached was left there by hand: it is attached with
// what it holds, if that fits.
func attachDays(ctx context.Context, conn *pgx.Conn, table string, days []day, attached map[string]bool) error {
	var sql strings.Builder
	var made []string
	for _, d := range days {
		name := partitionName(table, d)
		if attached[name] {
			continue
		}
		made = append(made, name)
		fmt.Fprintf(&sql, "CREATE TABLE IF NOT EXISTS %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);\n",
			qualified(name), qualified(table))
		fmt.Fprintf(&sql, "COMMENT ON TABLE %s IS '%s';\n", qualified(name), partitionComment(table, d))
		sql.WriteString(attachStatement(table, d))
	}
	if len(made) == 0 {
		return nil
	}
	if _, err := conn.Exec(ctx, "BEGIN;\n"+sql.String()+"COMMIT"); err != nil {
		err = fmt.Errorf("postgres: make partitions of nexero.%s: %w", table, err)
		if Classify(err) == ClassData {
			// A table of that name holds rows of another day: no load can cure it.
			err = &classedError{class: ClassStop, err: err}
		}
		return err
	}
	crashpoint.At(crashpoint.PartitionsAttached)
	for _, name := range made {
		attached[name] = true
	}
	return nil
}

func attachStatement(table string, d day) string {
	return fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s 00:00:00+00') TO ('%s 00:00:00+00');\n",
		qualified(table), qualified(partitionName(table, d)), d, d+1)
}

// horizon returns for how many days from tomorrow on every table has its
// partition.
func horizon(attached map[string]map[string]bool, today day) int {
	ahead := 0
	for ; ahead < 10*daysAhead; ahead++ {
		for table, names := range attached {
			if !names[partitionName(table, today+1+day(ahead))] {
				return ahead
			}
		}
	}
	return ahead
}

// partitionAttached asks for the partition of events of one class and day.
func partitionAttached(ctx context.Context, conn *pgx.Conn, table string, d day) (bool, error) {
	var attached bool
	const query = `
SELECT EXISTS (
    SELECT FROM pg_inherits
    WHERE inhparent = to_regclass($1) AND inhrelid = to_regclass($2) AND NOT inhdetachpending)`
	err := conn.QueryRow(ctx, query, qualified(table), qualified(partitionName(table, d))).Scan(&attached)
	return attached, err
}

func partitionName(table string, d day) string { return table + "_" + d.suffix() }

func qualified(table string) string { return "nexero." + table }

// partitionComment is also the mark by which a detached table is known as ours.
func partitionComment(table string, d day) string {
	by := "events received on the day"
	if table == rejectedTable {
		by = "rows written on the day"
	}
	return fmt.Sprintf("Part of nexero.%s: %s of %s UTC.", table, by, d)
}
