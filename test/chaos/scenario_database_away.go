package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Of all scenarios in which something comes back.
const (
	// resumeWithin is the promise of how soon work goes on by itself.
	resumeWithin = 5 * time.Second
	// resumePatience is how long a scenario waits for it before it says never.
	resumePatience = 90 * time.Second
	warmUp         = 20 * time.Second
)

// databaseAway stops PostgreSQL under load. Intake must not notice.
//
// rule 6
func databaseAway() scenario {
	return scenario{
		name: "database-away", minutes: 10 * time.Minute,
		about: "PostgreSQL is stopped in order under load, and started again",
		// Ten minutes of load have to fit.
		settings: []string{"NEXERO_QUEUE_MAX_BYTES=1GiB"},
		play:     playDatabaseAway,
	}
}

func playDatabaseAway(ctx context.Context, a *act) error {
	l, err := startLoad(ctx, a, headsets, 600*time.Millisecond)
	if err != nil {
		return err
	}
	memory := startSampler(ctx, a.stand, kindIngest, kindWorker)
	defer memory.finish()
	begun := time.Now()
	if !pause(ctx, warmUp) {
		return ctx.Err()
	}
	url := a.database.url() // while it is away nobody says
	away := time.Now()
	if err := a.database.end(ctx, syscall.SIGINT); err != nil {
		return err
	}
	if !pause(ctx, a.lasts) {
		return ctx.Err()
	}
	returned := time.Now()
	before, during := l.meter.between(begun, away), l.meter.between(away, returned)
	a.show("away", "%s", returned.Sub(away).Round(time.Second))
	a.promise(during.unwell() == 0, "posts while it is away", "every one answered 202 (a session 201) at its first attempt", "%s", during)
	a.show("answers before", "%s", quantiles(before.accepted))
	a.show("answers while it is away", "%s", quantiles(during.accepted))
	a.flat(memory, kindIngest, "while it is away", away, returned)
	a.flat(memory, kindWorker, "while it is away", away, returned)
	if err := a.databaseReturns(ctx, url); err != nil {
		return err
	}
	return l.finish()
}

// databaseReturns starts PostgreSQL and measures what happens then, in order.
// The load goes on.
func (a *act) databaseReturns(ctx context.Context, url string) error {
	queue, err := a.look(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = queue.Close(ctx) }()
	backlog, err := queue.Status(ctx)
	if err != nil {
		return err
	}
	a.show("backlog", "%d messages, %s", backlog.Messages, mib(int64(backlog.Bytes)))
	started := make(chan error, 1)
	go func() { started <- a.database.start(ctx) }()
	var db *pgx.Conn
	err = poll(ctx, raisePatience, "PostgreSQL to accept connections", func() (holds bool, err error) {
		db, err = pgx.Connect(ctx, url)
		return err == nil, err
	})
	accepts := time.Now()
	if err := <-started; err != nil {
		return err
	}
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	batches, err := count(ctx, db, "SELECT count(*) FROM nexero.batches")
	if err != nil {
		return err
	}
	if err := a.timed(ctx, "from accepting connections to the first COMMIT of a load", accepts, resumeWithin, resumePatience, func() (bool, error) {
		now, err := count(ctx, db, "SELECT count(*) FROM nexero.batches")
		return now > batches, err
	}); err != nil {
		return err
	}
	// What has come by the time is what was waiting, and more than enough.
	if err := a.timed(ctx, "until the backlog was loaded", accepts, 0, a.lasts+settlePatience, func() (bool, error) {
		now, err := queue.Status(ctx)
		return now.FirstSequence > backlog.LastSequence, err
	}); err != nil {
		return err
	}
	if err := a.timed(ctx, "until facts and aggregates had caught up", accepts, 0, a.lasts+settlePatience, func() (bool, error) {
		left, err := count(ctx, db, "SELECT count(*) FROM nexero.session_touches WHERE received_at <= $1", accepts)
		return left == 0, err
	}); err != nil {
		return err
	}
	restarts := len(a.takeAlone())
	a.promise(restarts == 0, "workers that had to be started again", "none", "%d", restarts)
	return nil
}

func count(ctx context.Context, db *pgx.Conn, query string, arguments ...any) (n int64, err error) {
	if err := db.QueryRow(ctx, query, arguments...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count: %w", err)
	}
	return n, nil
}
