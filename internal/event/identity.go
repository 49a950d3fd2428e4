package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// SessionKey is the identity of a session: the same for every spelling of one
// id, different between tenants, and not guessable from one tenant by another.
// normalised comes from [NormaliseSessionID].
func SessionKey(tenant, normalised string) UUID {
	return NameUUID("session", tenant, normalised)
}

// NameUUID makes a version 8 UUID (RFC 9562) from SHA-256 over parts. Each
// part is preceded by its length, so no two lists of parts collide by joining.
func NameUUID(parts ...string) UUID {
	h := sha256.New()
	var length [8]byte
	// A part is hashed through a buffer on the stack: converted to bytes it would
	// be copied as a whole, and handed to a function the buffer would escape.
	var chunk [1024]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		for rest := part; rest != ""; {
			n := copy(chunk[:], rest)
			h.Write(chunk[:n])
			rest = rest[n:]
		}
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return uuidFrom(sum)
}

func uuidFrom(sum [sha256.Size]byte) UUID {
	var id UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// DigestOf is the digest that tells two bodies under one id apart: the first
// 16 bytes of SHA-256.
func DigestOf(raw string) [16]byte {
	h := sha256.New()
	var chunk [1024]byte // see NameUUID
	for rest := raw; rest != ""; {
		n := copy(chunk[:], rest)
		h.Write(chunk[:n])
		rest = rest[n:]
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return [16]byte(sum[:16])
}

// ReusedID is the ledger id of a batch whose own id was taken by other content.
func ReusedID(id UUID, digest [16]byte) UUID {
	return NameUUID("batch_id_reused", string(id[:]), string(digest[:]))
}

// maxSessionID is the longest opaque session id, in bytes.
const maxSessionID = 128

// NormaliseSessionID brings the spellings of one session id together: engine
// prefixes ("AnalyticsET@@"), braces, dashes, spaces and case of a GUID fall
// away; any other id is kept as it is. ok is false when raw cannot be an id:
// empty, an all-zero GUID, longer than 128 bytes, or holding anything but
// letters, digits and ". _ : @ -".
func NormaliseSessionID(raw string) (id string, ok bool) {
	// Until nothing falls away any more: a normal form must be its own.
	for before := ""; raw != before; {
		before = raw
		if prefix, rest, found := strings.Cut(raw, "@@"); found && isWord(prefix) {
			raw = rest
		}
		raw = strings.Trim(raw, " \t\r\n{}()")
	}
	if raw == "" || len(raw) > maxSessionID {
		return "", false
	}
	if hexDigits := strings.ReplaceAll(raw, "-", ""); len(hexDigits) == 32 {
		if b, err := hex.DecodeString(hexDigits); err == nil {
			guid := UUID(b)
			return guid.String(), guid != UUID{}
		}
	}
	for i := range len(raw) {
		if c := raw[i]; !isWordByte(c) && !strings.ContainsRune(".:@-", rune(c)) {
			return "", false
		}
	}
	return raw, true
}

func isWord(s string) bool {
	for i := range len(s) {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// String returns the usual 8-4-4-4-12 form in lower case.
func (u UUID) String() string {
	var text [36]byte
	hex.Encode(text[0:8], u[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], u[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], u[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], u[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], u[10:16])
	return string(text[:])
}
