package main

import (
	"context"
	"math/rand/v2"
	"syscall"
	"time"
)

// databaseFaults end or freeze PostgreSQL.
func databaseFaults() []fault {
	return []fault{
		{name: "database end", weight: 4, draw: drawDatabaseEnd},
		{name: "database freeze", weight: 2, draw: drawDatabaseFreeze},
		{name: "database backend kill", weight: 2, draw: drawBackendKill},
		{name: "database sessions ended", weight: 2, draw: drawSessionsEnded},
	}
}

// drawDatabaseEnd ends the server in one of three ways and starts it again,
// which then may have to recover.
func drawDatabaseEnd(r *rand.Rand) blow {
	way := []struct {
		name   string
		signal syscall.Signal
	}{
		{"pg_ctl stop -m immediate", syscall.SIGQUIT}, {"SIGKILL", syscall.SIGKILL}, {"pg_ctl stop -m fast", syscall.SIGINT},
	}[r.IntN(3)]
	hold := between(r, 0, 6*time.Second)
	return blow{
		detail: lasting(way.name+", away", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error {
			if err := f.database.thaw(); err != nil {
				return err
			}
			return f.database.end(ctx, way.signal)
		},
		heal: func(ctx context.Context, f *field) error { return f.database.start(ctx) },
	}
}

// drawDatabaseFreeze stops all of the server's processes where they are: it
// holds its locks and answers nobody.
func drawDatabaseFreeze(r *rand.Rand) blow {
	hold := between(r, time.Second, ackWait+3*time.Second)
	return blow{
		detail: lasting("frozen", hold), hold: hold,
		strike: func(ctx context.Context, f *field) error { return f.database.freeze(ctx) },
		heal:   func(_ context.Context, f *field) error { return f.database.thaw() },
	}
}

// drawBackendKill kills one client's server process. PostgreSQL cuts off all
// others and recovers.
func drawBackendKill(r *rand.Rand) blow {
	pick := r.IntN(1000)
	return blow{
		detail: "SIGKILL, then recovery",
		strike: func(ctx context.Context, f *field) error { return f.database.killBackend(ctx, pick) },
	}
}

// endSessions cuts off all clients. A server that is away, by another fault, has
// none.
func (d *database) endSessions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*lookPatience)
	defer cancel()
	if db, err := d.connect(ctx); err == nil {
		_, _ = db.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'`)
		_ = db.Close(ctx)
	}
}

// drawSessionsEnded cuts off all clients, some of them within a transaction,
// while the server goes on.
func drawSessionsEnded(r *rand.Rand) blow {
	times := 1 + r.IntN(3)
	return blow{
		detail: "pg_terminate_backend of every client, " + plural(times, "time"),
		strike: func(ctx context.Context, f *field) error {
			for range times {
				f.database.endSessions(ctx)
				if !pause(ctx, 100*time.Millisecond) {
					return ctx.Err()
				}
			}
			return nil
		},
	}
}
