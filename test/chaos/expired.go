package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexero-vr/nexero/internal/event"
)

// Workers of a stand keep poses for twice as long as usual, so that tours can be
// stored on days that are over for a worker with the usual retention: it is such
// a one that gives them up, and what a fault lets it do is known to the harness.
const (
	usualRetention = 30 * oneDay
	longRetention  = 60 * oneDay
	// slackDays are not used at either end of the days in between: retention
	// spares one, and midnight may pass.
	slackDays = 2
)

func retentionSetting(d time.Duration) string {
	return fmt.Sprintf("NEXERO_POSE_RETENTION=%dh", d/time.Hour)
}

// takeExpiredDay returns how far from now a day lies that is over and that no
// tour was sent to before: what is stored of a day that was given up once would
// otherwise be some of its tours. It is false when there is none left.
func (s *stand) takeExpiredDay() (offset time.Duration, ok bool) {
	offset = -usualRetention - time.Duration(slackDays+1+s.expiredDays)*oneDay
	if offset < -longRetention+slackDays*oneDay {
		return 0, false
	}
	s.expiredDays++
	s.expires = true
	return offset, true
}

// posesIn counts what of a batch is kept for weeks only, by session and kind.
func posesIn(batch *event.Batch) tallies {
	poses := tallies{}
	for i := range batch.Events {
		e := &batch.Events[i]
		if e.Class() == event.ClassPose {
			normal, _ := event.NormaliseSessionID(batch.Sessions[e.Session].ClientID)
			poses[normal+"|"+e.Type.String()]++
		}
	}
	return poses
}

// gone is how many rows of the batch retention has given up.
func (e *entry) gone() (n int) {
	if e.givenUp {
		for _, poses := range e.poses {
			n += int(poses)
		}
	}
	return n
}

// gone adds up what retention has given up of the batches that are stored.
func (l *ledger) gone(rows []row) tallies {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := tallies{}
	for i := range rows {
		if e := l.entries[rows[i].id]; e != nil && e.givenUp {
			for name, n := range e.poses {
				all[name] += n
			}
		}
	}
	return all
}

// giveUp notes that the days are gone on which batches arrived that were over,
// and returns how many rows that were.
func (l *ledger) giveUp() (rows int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.poses != nil && !e.givenUp {
			e.givenUp = true
			rows += e.gone()
		}
	}
	return rows
}

// Of what is expired.
const (
	// retentionRounds is how often a worker may begin anew: as it does every hour.
	// A day that was half detached is attached again by one round, and given up by
	// the next.
	retentionRounds   = 4
	retentionPatience = 10 * time.Second
)

// giveUp lets a worker with the usual retention finish what faults of this round
// began: afterwards no day that is over has poses, no partition is half detached,
// the ledger has forgotten what it no longer needs. Nothing may be on its way:
// such a worker does not take what counts as received on these days.
func (r *round) giveUp(ctx context.Context) error {
	s := r.stand
	if !s.expires {
		return nil
	}
	worker := s.of(kindWorker)[r.number%workers]
	var err error
	for range retentionRounds {
		// In order: the lock of partitions is to be free for the next one.
		if status, err := worker.terminate(ctx, stopPatience); err != nil || status != 0 {
			r.broken("after SIGTERM %s exits %d (%v), see %s.log", worker.name, status, err, worker.name)
			return nil
		}
		if err := worker.launch(false, retentionSetting(usualRetention)); err != nil {
			return err
		}
		err = poll(ctx, retentionPatience, "what is expired to be gone", func() (bool, error) { return s.nothingExpired(ctx) })
		if err == nil {
			break
		}
	}
	if err != nil {
		return r.judge("giving up what is expired", err)
	}
	if r.ledger.giveUp() > 0 {
		r.reach("poses of an expired day given up")
	}
	s.expires = false
	if _, err := worker.terminate(ctx, stopPatience); err != nil {
		r.broken("after SIGTERM %v; its stacks are in %s.log", err, worker.name)
		return nil
	}
	if err := s.takeBackHorizon(ctx); err != nil {
		return err
	}
	return r.judge("after giving up what is expired", errors.Join(s.raise(ctx), s.settle(ctx)))
}

// nothingExpired looks whether all is gone that is expired.
func (s *stand) nothingExpired(ctx context.Context) (bool, error) {
	db, err := s.database.connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close(ctx) }()
	const query = `
SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'nexero'::regnamespace AND relkind = 'r' AND relname ~ '^events_pose_\d{8}$'
          AND to_date(right(relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - $1::integer - 1),
       (SELECT count(*) FROM pg_inherits WHERE inhdetachpending),
       (SELECT count(*) FROM nexero.batches WHERE written_at < now() - interval '36 days')`
	var days, half, rows int
	if err := db.QueryRow(ctx, query, int(usualRetention/oneDay)).Scan(&days, &half, &rows); err != nil {
		return false, err
	}
	return days+half+rows == 0, fmt.Errorf("%d days, %d of any age half detached, %d rows of the ledger left", days, half, rows)
}

// takeBackHorizon takes back that the ledger has forgotten anything: it forgot
// what the harness had written itself. Otherwise all receipts of more than five
// days ago would be put aside from now on.
func (s *stand) takeBackHorizon(ctx context.Context) error {
	db, err := s.database.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	_, err = db.Exec(ctx, `UPDATE nexero.ledger_horizon SET written_before = 'epoch', received_before = 'epoch'`)
	return err
}
