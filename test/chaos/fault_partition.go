package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitionFaults take days away that can be written.
func partitionFaults() []fault {
	return []fault{{name: "day without partition", weight: 2, draw: drawNoPartition}}
}

// drawNoPartition drops every partition that holds nothing, from a drawn day on,
// behind the workers' backs, and has tours of that day arrive: workers that
// remember the day as there have to notice and make it again. They look at the
// days ahead at their start.
func drawNoPartition(r *rand.Rand) blow {
	days, hold, seed := r.IntN(4)-2, between(r, 500*time.Millisecond, 1500*time.Millisecond), r.Uint64()
	worker := fmt.Sprintf("worker-%d", r.IntN(workers))
	offset := time.Duration(days) * oneDay
	return blow{
		detail: fmt.Sprintf("empty ones dropped from %+d days on, tours of that day for %s, %s started again", days, hold, worker),
		strike: func(ctx context.Context, f *field) error {
			dropped, err := f.dropEmpty(ctx, time.Now().Add(offset))
			if err != nil {
				return err
			}
			if dropped > 0 {
				f.reached("partitions dropped")
			}
			return f.withGuest(ctx, offset, func(guest *service) error {
				return f.tourAt(ctx, guest, offset, hold, seed)
			})
		},
		heal: func(ctx context.Context, f *field) error {
			p, err := f.find(worker)
			if err != nil {
				return err
			}
			if err := p.kill(ctx); err != nil {
				return err
			}
			return p.start()
		},
	}
}

// dropEmpty drops the partitions without a row, from a day to two
// weeks ahead, and returns how many. A database that is away, or that does not
// give the lock, has none.
func (s *stand) dropEmpty(ctx context.Context, from time.Time) (int, error) {
	db, err := s.database.connect(ctx)
	if err != nil {
		return 0, nil // it is away by another fault
	}
	defer func() { _ = db.Close(ctx) }()
	dropped := 0
	for _, table := range []string{"events_pose", "events_other", "rejected_events"} {
		for ahead := range 14 {
			name := "nexero." + table + "_" + from.UTC().AddDate(0, 0, ahead).Format("20060102")
			if dropIfEmpty(ctx, db, name) == nil {
				dropped++
			}
		}
	}
	return dropped, ctx.Err()
}

// dropIfEmpty fails where the partition is not there or not empty. Its lock
// comes before the look, so nobody writes in between.
func dropIfEmpty(ctx context.Context, db *pgx.Conn, name string) error {
	_, err := db.Exec(ctx, fmt.Sprintf(`DO $$ BEGIN
		SET LOCAL lock_timeout = '1s';
		LOCK TABLE %[1]s IN ACCESS EXCLUSIVE MODE;
		IF EXISTS (SELECT FROM %[1]s) THEN RAISE 'not empty'; END IF;
		DROP TABLE %[1]s;
	END $$`, name))
	return err
}
