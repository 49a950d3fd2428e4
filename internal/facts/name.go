package facts

import (
	"crypto/sha256"
	"encoding/hex"
	"unicode/utf8"
)

// MaxNameBytes is how long a name is in facts. A key of the aggregates has up to
// four of them and must fit the 2.7 KB of an index entry, whatever limits the
// edge was given.
const MaxNameBytes = 500

// Name returns name as facts, and so session_facts and the aggregates, have it:
// name itself, or for a longer one its beginning and, so that different
// names stay different, a digest of all of it.
func Name(name string) string {
	if len(name) <= MaxNameBytes {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	digest := "~" + hex.EncodeToString(sum[:8])
	end := MaxNameBytes - len(digest)
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + digest
}
