package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/nexero-vr/nexero/internal/crashpoint"
)

// KeepDamaged stores a queue message that no program can read, whole, and
// returns after COMMIT. It is idempotent: the same bytes are kept once. reason
// says what the decoder found.
func (s *Store) KeepDamaged(ctx context.Context, message []byte, reason string) error {
	digest := sha256.Sum256(message)
	const insert = "INSERT INTO nexero.damaged_messages (digest, reason, message) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
	if _, err := s.pool.Exec(ctx, insert, digest[:], storable(reason), message); err != nil {
		return fmt.Errorf("postgres: keep a damaged message: %w", err)
	}
	crashpoint.At(crashpoint.DamagedKept)
	return nil
}
