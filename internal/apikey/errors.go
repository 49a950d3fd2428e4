package apikey

import (
	"errors"
	"fmt"
)

// The errors of this package, tested with [errors.Is]. None of them holds any
// part of a key but its id.
var (
	// ErrMalformed: the text is not a key, or has been changed since it was one.
	ErrMalformed = errors.New("malformed API key")

	// ErrUnknown: no such key. A known id with a wrong secret is the same.
	ErrUnknown = errors.New("unknown API key")

	// ErrRevoked: the key was valid once.
	ErrRevoked = errors.New("revoked API key")

	// ErrExpired: the key's time is over, as of one that was rotated. It is an
	// [ErrRevoked] too: whoever need not know the difference need not ask.
	ErrExpired = fmt.Errorf("expired and so %w", ErrRevoked)

	// ErrScope: the key is valid, and not for this.
	ErrScope = errors.New("API key lacks the scope")

	// ErrUnavailable: nothing can be said about keys now.
	ErrUnavailable = errors.New("API keys are unavailable")

	// ErrExists: the id belongs to another key.
	ErrExists = errors.New("API key id is taken")

	// ErrSpec: a key cannot be made as asked for.
	ErrSpec = errors.New("invalid API key settings")
)
