package config

import (
	"errors"
	"fmt"
	"time"
)

// Validate reports limits that contradict each other.
func (i *Intake) Validate() error {
	var errs []error
	below := func(low string, lowest Bytes, high string, highest Bytes) {
		if lowest > highest {
			errs = append(errs, fmt.Errorf("%s is %s, above %s with %s", title(low), lowest, title(high), highest))
		}
	}
	below("max_body_bytes", i.BodyBytes, "max_inflated_bytes", i.InflatedBytes)
	below("max_event_bytes", i.EventBytes, "max_body_bytes", i.BodyBytes)
	below("max_string_bytes", i.StringBytes, "max_event_bytes", i.EventBytes)
	// A body counts as sent and as inflated while it is read: one that can never
	// fit would be told to come again for ever, so ingest would not start.
	if needed := i.BodyBytes + i.InflatedBytes; needed > i.MaxInFlightBytes {
		errs = append(errs, fmt.Errorf("%s is %s, too few for one request with %s and %s: %s",
			title("max_in_flight_bytes"), i.MaxInFlightBytes, title("max_body_bytes"), title("max_inflated_bytes"), needed))
	}
	return errors.Join(errs...)
}

// Validate reports an edge that is more open than its environment allows, and
// rates that contradict what a request may hold.
func (i *Ingest) Validate() error {
	return errors.Join(i.Exposure.checkProduction(&i.Process), i.HTTP.check(&i.Process, &i.Exposure), i.ByteRates.check(&i.Rates, &i.Intake))
}

// Validate reports time limits that would let a message be delivered again
// while it is still being written: every wait in PostgreSQL must end first. It
// also reports too few connections for what runs at the same time, and
// retentions that contradict each other.
func (w *Worker) Validate() error { return checkWorker(w) }

// Validate reports what [Worker.Validate], [Ingest.Validate] and
// [Query.Validate] do.
func (u *Up) Validate() error {
	w, i, q := u.Worker(), u.Ingest(), u.Query()
	return errors.Join(checkWorker(&w), i.Validate(), q.Validate())
}

// besideLoops is how many connections are used beside the loops' own: for
// partitions, customers, retention and the look at what waits.
const besideLoops = 4

func checkWorker(w *Worker) error {
	var errs []error
	below := func(low string, shorter time.Duration, high string, longer time.Duration) {
		if shorter >= longer {
			errs = append(errs, fmt.Errorf("%s is %s, which is not below %s with %s", title(low), shorter, title(high), longer))
		}
	}
	below("database_lock_timeout", w.Database.LockTimeout, "database_statement_timeout", w.Database.StatementTimeout)
	below("database_statement_timeout", w.Database.StatementTimeout, "load_timeout", w.Loading.LoadTimeout)
	below("database_idle_timeout", w.Database.IdleTimeout, "queue_ack_wait", w.Queue.AckWait)
	below("load_timeout", w.Loading.LoadTimeout, "queue_ack_wait", w.Queue.AckWait)
	// A loop that waits for a connection would hold messages, or let facts age.
	if needed := w.Loading.Loops + w.Rollup.Loops + besideLoops; w.Database.MaxConns < needed {
		errs = append(errs, fmt.Errorf("%s is %d, too few for %s with %d, %s with %d and %d more",
			title("database_max_conns"), w.Database.MaxConns, title("worker_loops"), w.Loading.Loops, title("rollup_loops"), w.Rollup.Loops, besideLoops))
	}
	// Loads go by the shorter retention: what is older has no partition.
	if w.Database.EventRetention < w.Database.PoseRetention {
		errs = append(errs, fmt.Errorf("%s is %s, below %s with %s",
			title("event_retention"), w.Database.EventRetention, title("pose_retention"), w.Database.PoseRetention))
	}
	// What is stored of a session says what its raw events mean.
	if w.Database.SessionRetention < w.Database.EventRetention {
		errs = append(errs, fmt.Errorf("%s is %s, below %s with %s",
			title("session_retention"), w.Database.SessionRetention, title("event_retention"), w.Database.EventRetention))
	}
	return errors.Join(errs...)
}
