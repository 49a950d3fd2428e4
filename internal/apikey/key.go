package apikey

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"time"
)

const (
	// alphabet has 32 characters, five bits each, none of which is mistaken for
	// another when read aloud or typed off a screen.
	alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

	prefix         = "nxr"
	idLength       = 10
	secretLength   = 36 // 180 bits
	checksumLength = 6  // the lower 30 bits of a CRC-32

	form = prefix + "_<dev|stg|prod>_<10 characters>_<42 characters>"
)

// short is how an environment is written in a key, and whether there is one of
// that name.
func short(environment string) (string, bool) {
	switch environment {
	case "development":
		return "dev", true
	case "staging":
		return "stg", true
	case "production":
		return "prod", true
	}
	return "", false
}

// long is the reverse of short.
func long(code string) (string, bool) {
	switch code {
	case "dev":
		return "development", true
	case "stg":
		return "staging", true
	case "prod":
		return "production", true
	}
	return "", false
}

// New makes a key as spec says, with random bytes from random, which has to be
// crypto/rand's Reader but in tests. The text is the key: show it once and
// forget it. The errors are [ErrSpec] and those of random.
func New(spec Spec, now time.Time, random io.Reader) (text string, record Record, err error) {
	spec, err = spec.check()
	if err != nil {
		return "", Record{}, err
	}
	id, err := randomDigits(random, idLength)
	if err != nil {
		return "", Record{}, err
	}
	secret, err := randomDigits(random, secretLength)
	if err != nil {
		return "", Record{}, err
	}
	environment, _ := short(spec.Environment)
	body := prefix + "_" + environment + "_" + id + "_" + secret
	text = body + checksum(body)
	return text, spec.record(id, text, now), nil
}

// randomDigits draws n characters of the alphabet.
func randomDigits(random io.Reader, n int) (string, error) {
	raw := make([]byte, n)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("make API key: %w", err)
	}
	for i, b := range raw {
		raw[i] = alphabet[b%32] // 32 divides 256: every character is as likely
	}
	return string(raw), nil
}

func isDigits(text string, n int) bool { return len(text) == n && strings.Trim(text, alphabet) == "" }

// Import makes the record of a key that somebody brings along. The environment
// is the key's own; spec's, if any, has to be the same. The errors are
// [ErrMalformed], which says what a key looks like, and [ErrSpec].
func Import(text string, spec Spec, now time.Time) (Record, error) {
	id, environment, err := parse(text)
	if err != nil {
		return Record{}, fmt.Errorf("%w; nexero keys create makes a valid one", err)
	}
	if spec.Environment == "" {
		spec.Environment = environment
	}
	if spec.Environment != environment {
		return Record{}, fmt.Errorf("%w for %s: it is for %s", ErrMalformed, spec.Environment, environment)
	}
	if spec, err = spec.check(); err != nil {
		return Record{}, err
	}
	return spec.record(id, text, now), nil
}

// Parse returns the id in a key's text, or [ErrMalformed] with the reason. It
// says nothing about whether the key is valid.
func Parse(text string) (id string, err error) {
	id, _, err = parse(text)
	return id, err
}

func parse(text string) (id, environment string, err error) {
	parts := strings.Split(text, "_")
	if len(parts) != 4 || parts[0] != prefix || len(parts[2]) != idLength || len(parts[3]) != secretLength+checksumLength {
		return "", "", fmt.Errorf("%w: it has the form %s", ErrMalformed, form)
	}
	environment, ok := long(parts[1])
	if !ok {
		return "", "", fmt.Errorf("%w: the environment in it is none of dev, stg and prod", ErrMalformed)
	}
	if !isDigits(parts[2], idLength) || !isDigits(parts[3], secretLength+checksumLength) {
		return "", "", fmt.Errorf("%w: a character in it is none of %s", ErrMalformed, alphabet)
	}
	if body := text[:len(text)-checksumLength]; text != body+checksum(body) {
		return "", "", fmt.Errorf("%w: its last characters do not fit the rest, so it was mistyped or cut", ErrMalformed)
	}
	return parts[2], environment, nil
}

// checksum is made of a CRC-32 in the key's alphabet, most significant bits first.
func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var out [checksumLength]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = alphabet[sum%32]
		sum /= 32
	}
	return string(out[:])
}

// hashOf is what is kept of a key.
func hashOf(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }
