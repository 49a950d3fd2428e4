package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nexero-vr/nexero/internal/crashpoint"
	"github.com/nexero-vr/nexero/internal/envelope"
	"github.com/nexero-vr/nexero/internal/event"
)

// DamagedMessage is a queue message that was not loaded whole.
type DamagedMessage struct {
	// Digest is SHA-256 of the message, its name.
	Digest [32]byte
	// WrittenAt is when it was kept, Reason why, Bytes how long it is.
	WrittenAt time.Time
	Reason    string
	Bytes     int
}

// maxDamaged bounds a list of damaged messages. There should be none.
const maxDamaged = 1000

// DamagedMessages returns the messages that were not loaded whole, oldest first,
// at most a thousand.
func (s *Store) DamagedMessages(ctx context.Context) ([]DamagedMessage, error) {
	rows, err := s.pool.Query(ctx,
		"SELECT digest, written_at, reason, length(message) FROM nexero.damaged_messages ORDER BY written_at, digest LIMIT $1", maxDamaged)
	if err != nil {
		return nil, fmt.Errorf("postgres: list damaged messages: %w", err)
	}
	messages, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m DamagedMessage, err error) {
		var digest []byte
		err = row.Scan(&digest, &m.WrittenAt, &m.Reason, &m.Bytes)
		copy(m.Digest[:], digest)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("postgres: list damaged messages: %w", err)
	}
	return messages, nil
}

// Why a damaged message stays where it is.
var (
	// ErrStillDamaged is a message that this build cannot read or load either.
	ErrStillDamaged = errors.New("postgres: the message is still damaged")
	// ErrTooOldToCheck is a message with a batch from before what the ledger
	// remembers for certain: it may be stored already.
	ErrTooOldToCheck = errors.New("postgres: the message is too old to be checked against the ledger")
	// ErrNoMessage is a damaged message that is not there, or not any more.
	ErrNoMessage = errors.New("postgres: there is no such damaged message")
)

// ledgerCertain is for how long the ledger knows a batch for certain: the time
// within which a repeat adds nothing.
const ledgerCertain = 30 * 24 * time.Hour

// LoadDamaged loads a damaged message as a worker would and lets go of it. The
// ledger knows those of its batches that were loaded, so it may be called any
// number of times, by anybody, and a crash in between costs nothing.
//
// A message with a batch that is too old for the ledger to know for certain is
// refused, unless setAside asks for what a load makes of such a batch: what the
// horizon says nothing about is put among the rejected events, where only an
// operator's word stores it. The message's other batches are loaded then. The errors
// are [ErrStillDamaged], [ErrTooOldToCheck], [ErrNoMessage] and the database's;
// after any of them the message is where it was.
func (s *Store) LoadDamaged(ctx context.Context, digest [32]byte, setAside bool) (LoadResult, error) {
	var message []byte
	var certain time.Time
	const query = `
SELECT message, greatest(clock_timestamp() - $2::interval, (` + readHorizon + `))
FROM nexero.damaged_messages WHERE digest = $1`
	err := s.pool.QueryRow(ctx, query, digest[:], ledgerCertain).Scan(&message, &certain)
	if errors.Is(err, pgx.ErrNoRows) {
		return LoadResult{}, ErrNoMessage
	}
	if err != nil {
		return LoadResult{}, fmt.Errorf("postgres: read damaged message %x: %w", digest[:4], err)
	}
	batches, err := envelope.Open(message)
	if err != nil {
		return LoadResult{}, fmt.Errorf("%w: %w", ErrStillDamaged, err)
	}
	oldest := event.MicrosOf(certain)
	for i := range batches {
		if batches[i].ReceivedAt < oldest && !setAside {
			return LoadResult{}, fmt.Errorf("%w: batch %s was received at %s", ErrTooOldToCheck, batches[i].ID, batches[i].ReceivedAt.Time())
		}
	}
	result, err := s.Load(ctx, batches)
	if dataError(err) != nil {
		return LoadResult{}, fmt.Errorf("%w: %w", ErrStillDamaged, err)
	}
	if err != nil {
		return LoadResult{}, err
	}
	crashpoint.At(crashpoint.DamagedLoaded)
	if _, err := s.pool.Exec(ctx, "DELETE FROM nexero.damaged_messages WHERE digest = $1", digest[:]); err != nil {
		return result, fmt.Errorf("postgres: damaged message %x is loaded and still kept: %w", digest[:4], err)
	}
	return result, nil
}
