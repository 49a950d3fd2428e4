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
	below("max_inflated_bytes", i.InflatedBytes, "max_in_flight_bytes", i.MaxInFlightBytes)
	return errors.Join(errs...)
}

// Validate reports time limits that would let a message be delivered again
// while it is still being written: every wait in PostgreSQL must end first.
func (w *Worker) Validate() error { return checkTimes(&w.Queue, &w.Database, &w.Loading) }

// Validate reports what [Worker.Validate] does.
func (u *Up) Validate() error { return checkTimes(&u.Queue, &u.Database, &u.Loading) }

func checkTimes(queue *Queue, database *Database, loading *Loading) error {
	var errs []error
	below := func(low string, shorter time.Duration, high string, longer time.Duration) {
		if shorter >= longer {
			errs = append(errs, fmt.Errorf("%s is %s, which is not below %s with %s", title(low), shorter, title(high), longer))
		}
	}
	below("database_lock_timeout", database.LockTimeout, "database_statement_timeout", database.StatementTimeout)
	below("database_statement_timeout", database.StatementTimeout, "load_timeout", loading.LoadTimeout)
	below("database_idle_timeout", database.IdleTimeout, "queue_ack_wait", queue.AckWait)
	below("load_timeout", loading.LoadTimeout, "queue_ack_wait", queue.AckWait)
	// One connection more than loops: partitions are made beside the loads.
	if database.MaxConns <= loading.Loops {
		errs = append(errs, fmt.Errorf("%s is %d, too few for %s with %d and one more",
			title("database_max_conns"), database.MaxConns, title("worker_loops"), loading.Loops))
	}
	return errors.Join(errs...)
}
