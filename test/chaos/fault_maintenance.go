package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/queue"
)

// maintenanceFaults kill a worker in the middle of what it does about days that
// are to come and days that are over. Workers look after both at their start, so
// the one that is to die is started with something to do.
func maintenanceFaults() []fault {
	return []fault{
		{name: "death in making partitions", weight: 2, draw: drawMakingCrash},
		{name: "death in retention", weight: 4, draw: drawRetentionCrash},
		{name: "death in forgetting", weight: 2, draw: drawForgettingCrash},
	}
}

func makingPoints() []crashpoint.Point {
	return []crashpoint.Point{crashpoint.PartitionsLocked, crashpoint.PartitionsAttached}
}

// retentionPoints are reached when a day is given up; those of halfPoints when
// somebody died before in the middle of the detach, and had not sealed.
func retentionPoints() []crashpoint.Point {
	return append([]crashpoint.Point{
		crashpoint.RetentionPortion, crashpoint.RetentionSealed, crashpoint.RetentionLooked, crashpoint.RetentionDetached,
		crashpoint.RetentionBeforeDrop, crashpoint.RetentionDropped,
	}, halfPoints()...)
}

func halfPoints() []crashpoint.Point {
	return []crashpoint.Point{crashpoint.PartitionsFinalized, crashpoint.RetentionTakingBack}
}

func forgettingPoints() []crashpoint.Point {
	return []crashpoint.Point{
		crashpoint.ForgetAsked, crashpoint.ForgetFound, crashpoint.ForgetRepeatsDeleted, crashpoint.ForgetEntriesDeleted,
		crashpoint.ForgetBeforeCommit, crashpoint.ForgetCommitted,
	}
}

// maintenancePatience is crashPatience for steps with longer ones before them.
const maintenancePatience = 8 * time.Second

func drawWorker(r *rand.Rand) string { return fmt.Sprintf("worker-%d", r.IntN(workers)) }

// drawMakingCrash drops partitions without a row behind the workers' backs, so
// that the one that is started has to make them, and dies at it.
func drawMakingCrash(r *rand.Rand) blow {
	name, point := drawWorker(r), makingPoints()[r.IntN(len(makingPoints()))]
	nth := 1
	if point == crashpoint.PartitionsAttached {
		nth += r.IntN(3) // once for each table
	}
	return blow{
		detail: name + " dies at " + point.Nth(nth) + " with empty ones dropped",
		strike: func(ctx context.Context, f *field) error {
			if _, err := f.dropEmpty(ctx, time.Now()); err != nil {
				return err
			}
			p, err := f.arm(ctx, name, point.Nth(nth))
			if err != nil {
				return err
			}
			return f.awaitDeath(ctx, p, point, maintenancePatience)
		},
		heal: disarm(name),
	}
}

// drawRetentionCrash has tours of a day arrive that is expired for a worker with
// the usual retention, whose like all others on the stand are not: it gives the
// day up, and dies at it. The end of the round finishes what it began; see
// [round.giveUp].
func drawRetentionCrash(r *rand.Rand) blow {
	name, points := drawWorker(r), retentionPoints()
	number := r.IntN(len(points))
	point, half := points[number], number >= len(points)-len(halfPoints())
	hold, seed := between(r, 500*time.Millisecond, 1500*time.Millisecond), r.Uint64()
	detail := name + " dies at " + point.Nth(1) + " of an expired day"
	if half {
		detail += ", which is half detached"
	}
	return blow{
		detail: detail,
		strike: func(ctx context.Context, f *field) error {
			offset, ok := f.takeExpiredDay()
			if !ok {
				return nil
			}
			loaded := false
			if err := f.withGuest(ctx, offset, func(guest *service) error {
				loaded = true
				return f.tourAt(ctx, guest, offset, hold, seed)
			}); err != nil {
				return err
			}
			// A worker with the usual retention would not take these messages.
			if !loaded || !f.loadedSoFar(ctx) {
				return ctx.Err()
			}
			if half && !f.halfDetach(ctx, time.Now().Add(offset)) {
				return ctx.Err()
			}
			p, err := f.arm(ctx, name, point.Nth(1), retentionSetting(usualRetention))
			if err != nil {
				return err
			}
			return f.awaitDeath(ctx, p, point, maintenancePatience)
		},
		heal: disarm(name),
	}
}

// drawForgettingCrash writes ledger rows that nothing needs any more, in two
// steps to delete, and has a worker die at deleting them. That moves the
// horizon: for the rest of the round receipts of more than five days ago are put
// aside, because nobody can check them, and stored by a replay.
func drawForgettingCrash(r *rand.Rand) blow {
	name, point, nth := drawWorker(r), forgettingPoints()[r.IntN(len(forgettingPoints()))], 1+r.IntN(2)
	return blow{
		detail: name + " dies at " + point.Nth(nth) + " of old ledger rows",
		strike: func(ctx context.Context, f *field) error {
			if !f.ageLedger(ctx) {
				return ctx.Err()
			}
			p, err := f.arm(ctx, name, point.Nth(nth))
			if err != nil {
				return err
			}
			return f.awaitDeath(ctx, p, point, maintenancePatience)
		},
		heal: disarm(name),
	}
}

// loadedSoFar waits until workers have acknowledged all that is in the queue now,
// and reports whether they have. The queue deletes what was acknowledged.
func (s *stand) loadedSoFar(ctx context.Context) bool {
	last := uint64(0)
	err := poll(ctx, drainPatience, "what is queued to be loaded", func() (bool, error) {
		loaded := false
		err := s.withStream(ctx, func(ctx context.Context, js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, queue.StreamName)
			if err != nil {
				return err
			}
			state := &stream.CachedInfo().State
			if last == 0 {
				last = state.LastSeq
			}
			loaded = state.FirstSeq > last
			return nil
		})
		return loaded, err
	})
	return err == nil
}

// halfDetach leaves a day's poses as a worker does that dies while its DETACH
// waits, and reports whether it could: not without the database or the day.
func (s *stand) halfDetach(ctx context.Context, day time.Time) bool {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reader, err := s.database.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = reader.Close(context.WithoutCancel(ctx)) }()
	dying, err := s.database.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = dying.Close(context.WithoutCancel(ctx)) }()
	if _, err := reader.Exec(ctx, `BEGIN; LOCK TABLE nexero.events_pose IN ACCESS SHARE MODE`); err != nil {
		return false
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// It waits for the reader until it is ended.
		_, _ = dying.Exec(ctx, `ALTER TABLE nexero.events_pose DETACH PARTITION nexero.`+posesOf(day)+` CONCURRENTLY`)
	}()
	half := poll(ctx, patience, "a detach to wait", func() (bool, error) {
		var pending bool
		err := reader.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)`).Scan(&pending)
		return pending || err != nil, err
	})
	_, err = reader.Exec(ctx, `SELECT pg_terminate_backend($1)`, dying.PgConn().PID())
	cancel() // also where the server did not hear of it
	<-ended
	return half == nil && err == nil
}

func posesOf(day time.Time) string { return "events_pose_" + day.UTC().Format("20060102") }

// ageLedger writes ledger rows of batches that nobody has seen for longer than
// any is remembered, and repeats of them, more than one step deletes. It reports
// whether it could.
func (s *stand) ageLedger(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*lookPatience)
	defer cancel()
	db, err := s.database.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = db.Close(context.WithoutCancel(ctx)) }()
	s.expires = true
	_, err = db.Exec(ctx, `
WITH aged AS (
    INSERT INTO nexero.batches (batch_id, receipt_id, received_at, written_at, tenant_id, accepted, late, corrected, digest)
    SELECT gen_random_uuid(), gen_random_uuid(), now() - interval '40 days', now() - interval '40 days', t.tenant_id, 1, 0, 0, ''
    FROM nexero.tenants t, generate_series(1, 1500) WHERE t.name = $1
    RETURNING batch_id, received_at)
INSERT INTO nexero.batch_repeats (batch_id, receipt_id, received_at)
SELECT batch_id, gen_random_uuid(), received_at FROM aged, generate_series(1, 2)`, tenant)
	return err == nil
}
