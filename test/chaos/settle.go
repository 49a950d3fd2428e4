package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nexero-vr/nexero/internal/queue"
)

// settlePatience bounds the wait for an empty queue and for roll-ups. A message
// that a dead worker held comes back after AckWait, and again.
const settlePatience = 2 * time.Minute

// mend brings the stand back to what it was before any fault.
func (s *stand) mend(ctx context.Context) error {
	if err := s.raise(ctx); err != nil {
		return err
	}
	// A cluster may be electing somebody who could give the stream its room back.
	return errors.Join(poll(ctx, raisePatience, "the stream to have its limit again", func() (bool, error) {
		err := s.onStream(ctx, restoreLimit)
		return err == nil, err
	}), s.rightClocks(), s.liftRefusals(ctx))
}

// settle waits until all that was sent has come to rest: no ingest has anything
// on its way, the queue is empty, roll-ups have seen every batch.
func (s *stand) settle(ctx context.Context) error {
	connection, err := s.look(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close(ctx) }()
	for _, ingest := range s.of(kindIngest) {
		if err := poll(ctx, settlePatience, ingest.name+" to have nothing on its way", func() (bool, error) {
			now, err := ingest.gauges(ctx)
			return err == nil && now["nexero_ingest_pending_bytes"] == 0 && now["nexero_ingest_envelopes_in_flight"] == 0, err
		}); err != nil {
			return err
		}
	}
	if err := poll(ctx, settlePatience, "an empty queue", func() (bool, error) {
		status, err := connection.Status(ctx)
		if err != nil {
			return false, err
		}
		if status.LostMessages > 0 {
			return false, fmt.Errorf("the NATS server lost %d messages", status.LostMessages)
		}
		// Without its consumer it says nothing of what is with workers.
		return status.Messages == 0 && status.AckPending == 0 && !status.ConsumerMissing,
			fmt.Errorf("%d messages, %d with workers", status.Messages, status.AckPending)
	}); err != nil {
		return err
	}
	db, err := s.database.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	return poll(ctx, settlePatience, "every session and customer to be rolled up", func() (bool, error) {
		var sessions, customers int
		err := db.QueryRow(ctx, `SELECT (SELECT count(*) FROM nexero.session_touches),
			(SELECT count(*) FROM nexero.customer_touches)`).Scan(&sessions, &customers)
		return err == nil && sessions+customers == 0, errors.Join(err, fmt.Errorf("%d and %d touches left", sessions, customers))
	})
}

// look opens a connection to the queue that changes nothing. The caller closes
// it.
func (s *stand) look(ctx context.Context) (*queue.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	return queue.Connect(ctx, queue.Config{URL: s.queueURL(), Replicas: s.cluster.size(), MaxBytes: streamBytes, AckWait: ackWait}, s.log, nil, queue.Operator)
}
