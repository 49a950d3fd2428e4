package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"github.com/nexero-vr/nexero/internal/postgres"
)

// A cursor is 27 bytes in base64: version, the place (time in microseconds,
// batch, index), and the beginning of a digest of tenant and conditions. It
// holds nothing worth hiding and grants nothing: the tenant comes from the key
// each time. The digest keeps a client from going on under other conditions,
// which would leave out rows without a word.
const (
	cursorVersion = 1
	cursorBytes   = 1 + 8 + 8 + 2 + cursorDigest
	cursorDigest  = 8
)

// errCursor is a text that is no cursor for these conditions.
var errCursor = errors.New("query: no cursor of this listing")

// encodeCursor makes the text that goes on at the place in f.After.
func encodeCursor(f *postgres.RejectionFilter) string {
	raw := make([]byte, 0, cursorBytes)
	raw = append(raw, cursorVersion)
	raw = binary.BigEndian.AppendUint64(raw, uint64(f.After.WrittenAt))
	raw = binary.BigEndian.AppendUint64(raw, uint64(f.After.BatchNo))
	raw = binary.BigEndian.AppendUint16(raw, uint16(f.After.Index))
	return base64.RawURLEncoding.EncodeToString(append(raw, digestOf(f)...))
}

// decodeCursor reads the place out of text, if text was made under f.
func decodeCursor(text string, f *postgres.RejectionFilter) (postgres.RejectionCursor, error) {
	var at postgres.RejectionCursor
	// Strict: one place has one text.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != cursorBytes || raw[0] != cursorVersion || string(raw[cursorBytes-cursorDigest:]) != string(digestOf(f)) {
		return at, errCursor
	}
	at.WrittenAt = int64(binary.BigEndian.Uint64(raw[1:]))
	at.BatchNo = int64(binary.BigEndian.Uint64(raw[9:]))
	at.Index = int(int16(binary.BigEndian.Uint16(raw[17:])))
	// What the database cannot hold was not made here.
	if year := time.UnixMicro(at.WrittenAt).UTC().Year(); year < 2000 || year > 9999 || at.BatchNo < 0 || at.Index < -1 {
		return postgres.RejectionCursor{}, errCursor
	}
	return at, nil
}

// digestOf names tenant and conditions, each with its length before it, so that
// no two lists of them are the same. The number of rows may change on the way.
func digestOf(f *postgres.RejectionFilter) []byte {
	h := sha256.New()
	for _, part := range [...]string{f.Tenant, f.Session, f.Code, instant(f.From), instant(f.Until)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return h.Sum(nil)[:cursorDigest]
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixNano(), 10)
}
