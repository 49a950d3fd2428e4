package main

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// diskFaults leave no room to write.
func diskFaults() []fault {
	return []fault{
		{name: "disk full under nats", weight: 2, cannot: noDisks, draw: drawNATSDiskFull},
		{name: "disk full under postgres", weight: 2, cannot: noDisks, draw: drawDatabaseDiskFull},
	}
}

// fullFor fills a disk for a while. It holds up the other faults of the round:
// none of them is healed on a full disk.
func fullFor(ctx context.Context, d *disk, hold time.Duration) (err error) {
	defer func() { err = errors.Join(err, d.free()) }()
	if err := d.fill(); err != nil {
		return err
	}
	pause(ctx, hold)
	return ctx.Err()
}

// drawNATSDiskFull: posts are answered 503, and what was acknowledged stays. The
// server takes nothing more once a write has failed, also with room again, until
// it is started again: docs/operations.md tells operators to.
func drawNATSDiskFull(r *rand.Rand) blow {
	hold := between(r, time.Second, ackWait+2*time.Second)
	return blow{
		detail: "for " + hold.String(),
		strike: func(ctx context.Context, f *field) error {
			before := f.traffic.ledger.acknowledged()
			if err := fullFor(ctx, f.natsDisk, hold); err != nil {
				return err
			}
			if f.traffic.ledger.acknowledged() == before {
				f.reached("no post acknowledged while the disk was full")
			}
			if _, err := f.queue.terminate(ctx, drainTimeout); err != nil && !errors.Is(err, errStillThere) {
				return err
			}
			return f.queue.start()
		},
	}
}

// drawDatabaseDiskFull: workers wait, put nothing aside, and go on when there is
// room. Forced on to new segments of its log the server cannot even do that and
// ends; it recovers when it is started with room.
func drawDatabaseDiskFull(r *rand.Rand) blow {
	hold, segments := between(r, 2*time.Second, 8*time.Second), 0
	detail := "for " + hold.String()
	if r.IntN(2) == 0 {
		segments = 12
		detail += ", with its log as well"
	}
	return blow{
		detail: detail,
		strike: func(ctx context.Context, f *field) error {
			logged := f.sizeOfDatabaseLog()
			if err := f.databaseDisk.fill(); err != nil {
				return errors.Join(err, f.databaseDisk.free())
			}
			for range segments {
				f.switchLog(ctx)
			}
			err := fullFor(ctx, f.databaseDisk, hold)
			if f.databaseSaid(logged, "No space left on device") {
				f.reached("postgres without room")
			}
			if f.databaseSaid(logged, "PANIC") {
				f.reached("postgres without room for its log")
			}
			return err
		},
	}
}

// switchLog has PostgreSQL begin another segment of its log.
func (s *stand) switchLog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	db, err := s.database.connect(ctx)
	if err != nil {
		return
	}
	// A segment without anything in it is not left.
	_, _ = db.Exec(ctx, `SELECT pg_logical_emit_message(false, 'chaos', '')`)
	_, _ = db.Exec(ctx, `SELECT pg_switch_wal()`)
	_ = db.Close(ctx)
}

func (s *stand) sizeOfDatabaseLog() int64 {
	info, err := os.Stat(filepath.Join(s.dir, "postgres.log"))
	if err != nil {
		return 0
	}
	return info.Size()
}

// databaseSaid reports whether PostgreSQL logged a text after so many bytes.
func (s *stand) databaseSaid(from int64, text string) bool {
	log, err := os.ReadFile(filepath.Join(s.dir, "postgres.log"))
	return err == nil && int64(len(log)) > from && bytes.Contains(log[from:], []byte(text))
}
